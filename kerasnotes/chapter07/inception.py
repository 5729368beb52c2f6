"""An inception module looks at one picture in four ways side by side; 1 x 1 convolutions make that cheap.

The module sees its input through 1 x 1, 3 x 3 and 5 x 5 convolutions and a pooling, and joins what they see along the
channels. What the 1 x 1 convolutions before the larger ones save is counted for all nine modules of GoogLeNet: every
module takes several times fewer multiplications.

Notes: chapter 07, "GoogLeNet" (GoogLeNet 网络, Inception 模块).
Source: Szegedy et al. 2015, arXiv:1409.4842, figures 2 and 3, table 1, section 5;
https://www.tensorflow.org/api_docs/python/tf/concat
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter07.alexnet import multiply_adds
from kerasnotes.parts import layer_seeds, whole

SMOKE = {"places": 16}
SECONDS = 2

# Table 1 of the paper: (1 x 1, 3 x 3 reduce, 3 x 3, 5 x 5 reduce, 5 x 5, pool projection) of every module, by stage.
MODULES = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    ((192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
     (256, 160, 320, 32, 128, 128)),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)  # fmt: skip


def inception_module(x, filters, seed=0):
    """Four branches that keep height and width, joined along the channels.

    Args:
        x: Keras tensor or tensor (batch, height, width, channels).
        filters: Channels of the six convolutions: 1 x 1, 3 x 3 reduce, 3 x 3, 5 x 5 reduce, 5 x 5, pool projection.
        seed: Seed of the initial weights, an integer or a tuple of integers.

    Returns: Tensor (batch, height, width, filters[0] + filters[2] + filters[4] + filters[5]).
    Raises: ValueError: If there are not six positive integers.
    Source: Szegedy et al. 2015, arXiv:1409.4842, figure 2(b).
    """
    one, reduce_three, three, reduce_five, five, projection = _six(filters)
    seeds = layer_seeds(seed)
    branches = (
        inception_convolution(x, one, 1, seeds),
        inception_convolution(inception_convolution(x, reduce_three, 1, seeds), three, 3, seeds),
        inception_convolution(inception_convolution(x, reduce_five, 1, seeds), five, 5, seeds),
        inception_convolution(keras.layers.MaxPooling2D(3, 1, padding="same")(x), projection, 1, seeds),
    )
    return keras.layers.Concatenate()(branches)


def inception_multiply_adds(places, channels, filters, reduced=True):
    """Multiplications, each with an addition, of one inception module for one sample.

    Args:
        places: Height times width.
        channels: Channels of the input.
        filters: As for `inception_module`.
        reduced: False for the module without 1 x 1 convolutions before the larger ones and after the pooling.

    Returns: An integer.
    Source: Szegedy et al. 2015, arXiv:1409.4842, figure 2: (a) without, (b) with reductions.
    """
    one, reduce_three, three, reduce_five, five, projection = _six(filters)
    whole("channels", channels)
    if reduced:
        first = channels * (one + reduce_three + reduce_five + projection)
        weights = first + 9 * reduce_three * three + 25 * reduce_five * five
    else:
        weights = channels * (one + 9 * three + 25 * five)
    return whole("places", places) * weights


def published_modules(stage):
    """The six numbers of channels of every inception module of GoogLeNet's stage 0, 1 or 2, from table 1."""
    return MODULES[stage]


def inception_convolution(x, filters, size, seeds, strides=1):
    """A convolution with ReLU that keeps height and width, or divides them by the stride; `seeds` yields seeds."""
    start = keras.initializers.HeUniform(next(seeds))
    layer = keras.layers.Conv2D(filters, size, strides, "same", activation="relu", kernel_initializer=start)
    return layer(x)


def _six(filters):
    filters = tuple(np.ravel(filters).tolist())
    if len(filters) != 6:
        raise ValueError(f"filters: expected six numbers of channels, got {filters!r}")
    return [whole("filters", channels) for channels in filters]


def example():
    """Two branches by Keras's layers, joined by tf.concat, beside a whole module and what it costs."""
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 10, 10, 192)), tf.float32)
    narrow = keras.layers.Conv2D(96, 1, activation="relu")(x)
    three = keras.layers.Conv2D(128, 3, padding="same", activation="relu")(narrow)
    one = keras.layers.Conv2D(64, 1, activation="relu")(x)
    print("tf.concat of 64 and 128 channels:", tf.concat([one, three], axis=3).shape)
    filters = published_modules(0)[0]  # module 3a: (64, 96, 128, 16, 32, 32)
    print("module 3a, four branches:        ", inception_module(x, filters).shape)
    for reduced in (False, True):
        count = inception_multiply_adds(28 * 28, 192, filters, reduced)
        print(f"multiply-adds {'with' if reduced else 'without'} 1 x 1 reductions: {count:,}")


def lesson(report, *, places: int = 784, seed: int = 0):
    """Join four branches, and count what the 1 x 1 convolutions save.

    Args:
        report: The report to write to.
        places: Height times width at which the costs of module 3a are listed (1 to 100000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _module(report, np.random.default_rng((seed, 1)))
    modules = _savings(report)
    first = published_modules(0)[0]
    costs = [
        [name, inception_multiply_adds(places, 192, first, reduced)] for name, reduced in (("no", False), ("yes", True))
    ]
    report.table(f"module 3a at {places} places", ["1 x 1 reductions", "multiply-adds"], costs)
    figure, ax = plots.subplots(figsize=(9, 4.2))
    places = np.arange(len(modules))
    ax.bar(places - 0.2, [row[3] for row in modules], width=0.4, color="C1", label="without 1 x 1 reductions")
    ax.bar(places + 0.2, [row[4] for row in modules], width=0.4, color="C0", label="with 1 x 1 reductions")
    ax.set_xticks(places, [row[0] for row in modules])
    ax.set(xlabel="inception module", ylabel="millions of multiply-adds a picture")
    ax.set_title("1 x 1 convolutions make inception modules affordable")
    ax.legend()
    report.figure(
        "Multiply-adds of the nine inception modules",
        figure,
        alt="Two bars for each of the nine modules: with 1 x 1 reductions every module takes several times fewer "
        "multiply-adds than without.",
    )


def _module(report, rng):
    x = tf.constant(rng.standard_normal((1, 10, 10, 3)), tf.float32)
    got = [inception_module(x, filters).shape for filters in ((3, 3, 3, 3, 3, 3), (64, 96, 128, 16, 32, 32))]
    report.check("four branches of (10, 10, 3) join to (10, 10, 12), those of module 3a to (10, 10, 256)",
                 got=got, want=[(1, 10, 10, 12), (1, 10, 10, 256)])  # fmt: skip
    branches = [x, 2 * x, 3 * x, 4 * x]
    joined = tf.concat(branches, axis=3)
    report.check("tf.concat(values, axis=3) joins channels, in order", joined, np.concatenate(branches, axis=3))
    try:
        tf.concat(3, branches)
        raised = "nothing"
    except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        raised = type(error).__name__
    report.check("tf.concat(3, values) raises", got=raised != "nothing", want=True)
    report.correction(
        "argument order of tf.concat",
        course="tf.concat(3, [branch1, branch2, …])",
        correct="tf.concat([branch1, branch2, …], axis=3); the axis came first before TensorFlow 1.0.",
        shown_by=f"the course's form raises {raised}, the other one gives shape {tuple(joined.shape)}",
    )


def _savings(report):
    """Rows of module, places, input channels, and millions of multiply-adds without and with reductions.

    Without them each module is counted with the channels that it gets from reduced ones: alone it would have more.
    """
    rows, channels = [], 192
    for stage, (letters, places) in enumerate(zip(("ab", "abcde", "ab"), (28**2, 14**2, 7**2), strict=True)):
        for letter, filters in zip(letters, MODULES[stage], strict=True):
            work = [inception_multiply_adds(places, channels, filters, reduced) / 1e6 for reduced in (False, True)]
            rows.append([f"{stage + 3}{letter}", places, channels, *work, work[0] / work[1]])
            inputs, channels = channels, filters[0] + filters[2] + filters[4] + filters[5]
    x = keras.Input((7, 7, inputs))
    module = keras.Model(x, inception_module(x, MODULES[2][1]))
    report.check(
        "millions of multiply-adds of module 5b, counted in the layers", multiply_adds(module) / 1e6, rows[-1][4]
    )
    report.check("channels after the last module", got=channels, want=1024)
    report.table(
        "multiply-adds of the modules, in millions, at the published input size",
        ["module", "places", "input channels", "without reductions", "with", "ratio"],
        [*rows, ["all", None, None, *np.sum([row[3:5] for row in rows], axis=0),
                 sum(row[3] for row in rows) / sum(row[4] for row in rows)]],
    )  # fmt: skip
    report.at_least("every module takes fewer with reductions: ratios", [row[5] for row in rows], 1.0)
    stem = 112**2 * 49 * 3 * 64 + 56**2 * (64 * 64 + 9 * 64 * 192)
    total = stem / 1e9 + sum(row[4] for row in rows) / 1e3 + 1024 * 1000 / 1e9
    report.check("billions of multiply-adds of the network, the paper's budget of 1.5", total, 1.5, atol=0.1)
    return rows

"""GoogLeNet: four views of one picture side by side, made cheap by 1 x 1 convolutions.

An inception module looks at the same input through 1 x 1, 3 x 3 and 5 x 5 convolutions and a pooling, and joins what
they see along the channels. The published network of nine modules is built and counted: it has nine times fewer
parameters than AlexNet, not twelve. What the 1 x 1 convolutions before the larger ones save is counted for every
module. A small sibling from the same code learns handwritten digits.

Notes: chapter 07, "GoogLeNet" (GoogLeNet 网络, Inception 模块).
Source: Szegedy et al. 2015, arXiv:1409.4842, figures 2 and 3, table 1, section 5;
https://www.tensorflow.org/api_docs/python/tf/concat; benchmark from LeCun et al. 1998,
Gradient-based learning applied to document recognition.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter07.alexnet import (
    LocalResponseNormalization,
    check_count,
    check_picture,
    layer_seeds,
    multiply_adds,
    random_pictures,
    scaled,
)

SMOKE = {"image_size": 65, "images": 64, "test_images": 64, "epochs": 1, "seeds": 1, "depth": (1,), "width": 0.03}
FULL = {"images": 60000, "epochs": 5, "seeds": 5}
SECONDS = 21

# Table 1 of the paper: (1 x 1, 3 x 3 reduce, 3 x 3, 5 x 5 reduce, 5 x 5, pool projection) of every module, by stage.
MODULES = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    ((192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
     (256, 160, 320, 32, 128, 128)),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)  # fmt: skip
GOOGLENET_FROM, GOOGLENET_SMALL_FROM = 64, 8
ALEXNET = (62_378_344, 60_965_224)  # parameters of AlexNet with one tower and with two groups
TWO_LAYERS = 0.953  # LeCun et al. 1998: test error 4.7 % with 300 hidden units in one layer, from 60,000 digits


def inception_module(x, filters, seed=0):
    """Four branches that keep height and width, joined along the channels.

    Args:
        x: Keras tensor or tensor (batch, height, width, channels).
        filters: Channels of the six convolutions: 1 x 1, 3 x 3 reduce, 3 x 3, 5 x 5 reduce, 5 x 5, pool projection.
        seed: Seed of the initial weights, an integer or a tuple of integers.

    Returns:
        Tensor (batch, height, width, filters[0] + filters[2] + filters[4] + filters[5]).

    Raises:
        ValueError: If there are not six positive integers.

    Source: Szegedy et al. 2015, arXiv:1409.4842, figure 2(b).
    """
    one, reduce_three, three, reduce_five, five, projection = _six(filters)
    seeds = layer_seeds(seed)
    branches = (
        _inception_convolution(x, one, 1, seeds),
        _inception_convolution(_inception_convolution(x, reduce_three, 1, seeds), three, 3, seeds),
        _inception_convolution(_inception_convolution(x, reduce_five, 1, seeds), five, 5, seeds),
        _inception_convolution(keras.layers.MaxPooling2D(3, 1, padding="same")(x), projection, 1, seeds),
    )
    return keras.layers.Concatenate()(branches)


def inception_multiply_adds(places, channels, filters, reduced=True):
    """Multiplications, each with an addition, of one inception module for one sample.

    Args:
        places: Height times width.
        channels: Channels of the input.
        filters: As for `inception_module`.
        reduced: False for the module without 1 x 1 convolutions before the larger ones and after the pooling.

    Returns:
        An integer.

    Source: Szegedy et al. 2015, arXiv:1409.4842, figure 2: (a) without, (b) with reductions.
    """
    one, reduce_three, three, reduce_five, five, projection = _six(filters)
    check_count("channels", channels)
    if reduced:
        first = channels * (one + reduce_three + reduce_five + projection)
        weights = first + 9 * reduce_three * three + 25 * reduce_five * five
    else:
        weights = channels * (one + 9 * three + 25 * five)
    return check_count("places", places) * weights


def build_googlenet(
    input_shape=(224, 224, 3), classes=1000, width=1.0, depth=(2, 5, 2), auxiliary=False, dropout=0.4, seed=0
):
    """Build GoogLeNet, or a sibling with fewer modules and channels. There is no batch normalization in it.

    Args:
        input_shape: `(height, width, channels)`. From 64 pixels on, the published stem divides height and width by 8
            before the first module; below, a 3 x 3 convolution and a pooling divide them by 2,
            and normalization across channels is left out. At least 8 pixels.
        classes: Number of logits.
        width: Factor on all channels, rounded.
        depth: Modules of each stage, one to three stages of at most 2, 5 and 2. Between stages, pooling divides
            height and width by 2. The first modules of a stage are kept.
        auxiliary: Whether to add the classifiers in the middle: after the first module of the second stage, and after
            its fourth one if there are so many. They need 5 x 5 pixels there.
        dropout: Share of channels that is set to zero before the logits in training, in [0, 1); 0.7 in the
            classifiers in the middle.
        seed: Seed of the initial weights and of dropout.

    Returns:
        An uncompiled `keras.Model` that outputs logits (batch, classes); with `auxiliary=True` a list, with the logits
        of the classifiers in the middle after those of the end.

    Raises:
        ValueError: If an argument is out of range or a picture too small.

    Source: Szegedy et al. 2015, arXiv:1409.4842, table 1 and section 5; the constants of normalization are AlexNet's.
    """
    shape, classes = check_picture(input_shape, GOOGLENET_SMALL_FROM), check_count("classes", classes)
    if not (isinstance(depth, (tuple, list)) and 1 <= len(depth) <= 3):
        raise ValueError(f"depth: expected one to three numbers of modules, got {depth!r}")
    for modules, stage in zip(depth, MODULES, strict=False):
        if check_count("depth", modules) > len(stage):
            raise ValueError(f"depth: expected at most 2, 5 and 2 modules, got {depth!r}")
    if auxiliary and len(depth) < 2:
        raise ValueError(f"auxiliary: expected a second stage in depth, got {depth!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout: expected a number in [0, 1), got {dropout!r}")
    seeds = layer_seeds(seed)

    def pool(x):
        return keras.layers.MaxPooling2D(3, 2, padding="same")(x)

    inputs = x = keras.Input(shape)
    if min(shape[:2]) >= GOOGLENET_FROM:
        x = LocalResponseNormalization()(pool(_inception_convolution(x, scaled(64, width), 7, seeds, strides=2)))
        x = _inception_convolution(x, scaled(64, width), 1, seeds)  # (batch, 56, 56, 64)
        x = pool(
            LocalResponseNormalization()(_inception_convolution(x, scaled(192, width), 3, seeds))
        )  # (batch, 28, 28, 192)
    else:
        x = pool(_inception_convolution(x, scaled(192, width), 3, seeds))
    heads = []
    for stage, modules in enumerate(depth):
        x = pool(x) if stage else x
        for number, filters in enumerate(MODULES[stage][:modules]):
            x = inception_module(x, [scaled(channels, width) for channels in filters], next(seeds))
            if auxiliary and stage == 1 and number in (0, 3):
                heads.append(_classifier(x, classes, width, seeds))
    x = keras.layers.GlobalAveragePooling2D()(x)  # (batch, 1024)
    x = keras.layers.Dropout(dropout, seed=next(seeds))(x)
    start = keras.initializers.GlorotUniform(next(seeds))
    logits = keras.layers.Dense(classes, kernel_initializer=start)(x)
    return keras.Model(inputs, [logits, *heads] if auxiliary else logits)


def _inception_convolution(x, filters, size, seeds, strides=1):
    start = keras.initializers.HeUniform(next(seeds))
    layer = keras.layers.Conv2D(filters, size, strides, "same", activation="relu", kernel_initializer=start)
    return layer(x)


def _classifier(x, classes, width, seeds):
    """Logits from the middle of the network, for training only (section 5)."""
    if min(x.shape[1:3]) < 5:
        raise ValueError(
            f"input_shape: expected at least 5 x 5 pixels in the second stage for auxiliary=True, got "
            f"{x.shape[1]} x {x.shape[2]}"
        )
    x = _inception_convolution(
        keras.layers.AveragePooling2D(5, 3)(x), scaled(128, width), 1, seeds
    )  # (batch, 4, 4, 128)
    start = keras.initializers.HeUniform(next(seeds))
    x = keras.layers.Dense(scaled(1024, width), "relu", kernel_initializer=start)(keras.layers.Flatten()(x))
    x = keras.layers.Dropout(0.7, seed=next(seeds))(x)
    return keras.layers.Dense(classes, kernel_initializer=keras.initializers.GlorotUniform(next(seeds)))(x)


def _six(filters):
    filters = tuple(filters) if isinstance(filters, (tuple, list)) else (filters,)
    if len(filters) != 6:
        raise ValueError(f"filters: expected six numbers of channels, got {filters!r}")
    return [check_count("filters", channels) for channels in filters]


def lesson(
    report,
    *,
    image_size: int = 224,
    images: int = 8000,
    test_images: int = 10000,
    epochs: int = 3,
    seeds: int = 2,
    depth: tuple[int, ...] = (1, 1),
    width: float = 0.25,
    learning_rate: float = 0.003,
    batch_size: int = 32,
    seed: int = 0,
):
    """Count the published network and what the 1 x 1 convolutions save, then train its small sibling.

    Args:
        report: The report to write to.
        image_size: Height and width of the pictures that the full-size network sees (65 to 512).
        images: Training pictures of the small sibling (32 to 60000).
        test_images: Test pictures (1 to 10000).
        epochs: Training epochs (1 to 1000).
        seeds: Networks to train (1 to 100).
        depth: Modules of each stage of the small sibling (1 to 5).
        width: Factor on the channels of the small sibling (0.02 to 1).
        learning_rate: First learning rate of Adam, which falls to zero along a cosine (0.000001 to 1).
        batch_size: Pictures in a batch (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng((seed, 1))
    _module(report, rng)
    _published(report, image_size, rng, seed)
    modules = _savings(report)

    parts = zip(data.mnist(), (images, test_images), strict=True)
    train, test = (random_pictures(*part, count, rng) for part, count in parts)
    accuracies, curves = [], []
    for number in range(seeds):
        model = build_googlenet((28, 28, 1), 10, width, tuple(depth), dropout=0.0, seed=(seed, 2, number))
        falling = keras.optimizers.schedules.CosineDecay(learning_rate, -(-images // batch_size) * epochs)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(falling), loss, metrics=["accuracy"])
        history = training.fit(
            model, *train, epochs=epochs, batch_size=batch_size, seed=seed + number, track=report.track
        )
        curves.append(history.history["accuracy"])
        accuracies.append(training.evaluate(model, *test)["accuracy"])
    report.table(
        f"small sibling on MNIST, {images:,} digits, {seeds} networks",
        ["parameters", "multiply-adds", "training accuracy", "test accuracy", "standard error"],
        [[model.count_params(), multiply_adds(model), np.mean(curves, axis=0)[-1], *plots.mean_and_error(accuracies)]],
    )
    learnt = "small sibling: test accuracy of every network above a dense network's with one hidden layer"
    report.at_least(learnt, accuracies, TWO_LAYERS, trained=True)
    report.note(
        """The small sibling has the modules 3a and 4a and a quarter of the channels by default, a 3 x 3
        convolution with pooling and without normalization as its stem, and no dropout, since it sees each picture a few
        times only."""
    )
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


def _published(report, image_size, rng, seed):
    model = build_googlenet((image_size, image_size, 3), auxiliary=True, seed=seed)
    places = ((-(-image_size // 16) - 5) // 3 + 1) ** 2  # of the pooled answers in a head, 4 x 4 at 224 pixels
    heads = (512 + 528) * 128 + 2 * (128 + 128 * places * 1024 + 1024 + 1024 * 1000 + 1000)
    report.check("parameters: 6,998,552 and the two heads'", got=model.count_params(), want=6_998_552 + heads)
    pixels = rng.standard_normal((1, image_size, image_size, 3), np.float32)
    shapes = [tuple(logits.shape) for logits in model(pixels)]
    report.check("one forward pass: three sets of 1000 logits", got=shapes, want=[(1, 1000)] * 3)
    ratios = [count / 6_998_552 for count in ALEXNET]
    times = "AlexNet has so many times the parameters: 8.9 with one tower, 8.7 with two groups"
    report.check(times, got=ratios, want=[8.9, 8.7], atol=0.05)
    report.note(
        f"""The paper (section 1) says "12 times fewer parameters" than AlexNet; counted, they are {ratios[1]:.1f} times
        fewer than in AlexNet with two groups and {ratios[0]:.1f} times fewer than in one tower."""
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

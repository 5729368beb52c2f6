"""A dense block joins what its layers write to what they read, so the channels grow by the growth rate per layer.

Nothing is added up: the input stands unchanged among the outputs of the block, and every layer sees all that came
before it. A transition then keeps a share of the channels and halves height and width. Sums, which the course's notes
name, are ResNet's way.

Notes: chapter 07, "DenseNet" (DenseNet 网络).
Source: Huang et al. 2017, arXiv:1608.06993, section 3; https://www.tensorflow.org/api_docs/python/tf/concat
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import layer_seeds, share, whole

SMOKE = {"layers": 2}
SECONDS = 2


def dense_block(x, layers, growth_rate, seed=0, name=None):
    """Layers that each join `growth_rate` new channels to all channels before them.

    A layer is normalization, ReLU, 1 x 1 convolution to 4 * growth_rate channels, normalization, ReLU, 3 x 3
    convolution to growth_rate channels (the paper's DenseNet-B).

    Args:
        x: Keras tensor or tensor (batch, height, width, channels).
        layers: How many layers.
        growth_rate: New channels of each.
        seed: Seed of the initial weights, an integer or a tuple of integers.
        name: Prefix of the names of the 1 x 1 convolutions, `{name}_1`, `{name}_2`, …, or None.

    Returns: Tensor (batch, height, width, channels + layers * growth_rate).
    Raises: ValueError: If a number is not a positive integer.
    Source: Huang et al. 2017, arXiv:1608.06993, section 3.
    """
    growth_rate, seeds = whole("growth_rate", growth_rate), layer_seeds(seed)
    for layer in range(whole("layers", layers)):
        new = unbiased_convolution(
            normalize_and_bend(x), 4 * growth_rate, 1, seeds, name=name and f"{name}_{layer + 1}"
        )
        new = unbiased_convolution(normalize_and_bend(new), growth_rate, 3, seeds)
        x = keras.layers.Concatenate()([x, new])  # (batch, height, width, channels + (layer + 1) * growth_rate)
    return x


def transition(x, reduction, seed=0):
    """Keep a share of the channels, by a 1 x 1 convolution, and half of height and width, by average pooling.

    Args:
        x: Keras tensor or tensor (batch, height, width, channels), at least 2 x 2 pixels.
        reduction: Share of the channels to keep, in (0, 1]; 0.5 in the paper (DenseNet-C).
        seed: Seed of the initial weights.

    Returns: Tensor (batch, height // 2, width // 2, int(channels * reduction)).
    Raises: ValueError: If `reduction` is not in (0, 1], keeps no channel, or the pictures are too small.
    Source: Huang et al. 2017, arXiv:1608.06993, section 3, "Compression".
    """
    if int(x.shape[-1] * share("reduction", reduction, low=False)) < 1:
        raise ValueError(f"reduction: expected a number that keeps a channel, got {reduction!r}")
    if min(x.shape[1:3]) < 2:
        raise ValueError(f"x: expected at least 2 x 2 pixels, got {x.shape[1]} x {x.shape[2]}")
    x = unbiased_convolution(normalize_and_bend(x), int(x.shape[-1] * reduction), 1, layer_seeds(seed))
    return keras.layers.AveragePooling2D(2)(x)


def normalize_and_bend(x):
    """Batch normalization, then ReLU, before the convolution that reads them."""
    # Momentum 0.9 as in the paper's code; Keras's 0.99 needs hundreds of steps before it can be used in evaluation.
    return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9, epsilon=1.001e-5)(x))


def unbiased_convolution(x, filters, size, seeds, strides=1, padding="same", name=None):
    """A convolution without bias, whose weights start as He et al. 2015 propose; `seeds` yields the next seed."""
    start = keras.initializers.HeUniform(next(seeds))
    layer = keras.layers.Conv2D(filters, size, strides, padding, use_bias=False, kernel_initializer=start, name=name)
    return layer(x)


def example():
    """tf.concat, Keras's layer and a dense block: the channels of a picture after each."""
    x = tf.reshape(tf.range(2 * 2 * 3, dtype=tf.float32), (1, 2, 2, 3))
    print("tf.concat:         ", tf.concat([x, 10 * x], axis=3).shape, tf.concat([x, 10 * x], axis=3)[0, 0, 0].numpy())
    print("layers.Concatenate:", keras.layers.Concatenate()([x, 10 * x]).shape)
    print("a sum, as in ResNet:", (x + 10 * x).shape)
    for layers in (1, 2, 3):
        y = dense_block(x, layers, growth_rate=4)
        kept = bool(tf.reduce_all(y[..., :3] == x))
        print(f"{layers} layers with growth rate 4: {y.shape}; the input is still there: {kept}")
    print("a transition halves them:", transition(y, 0.5).shape)


def lesson(report, *, layers: int = 12, seed: int = 0):
    """Channels of blocks, sums and transitions.

    Args:
        report: The report to write to.
        layers: Layers of the block in the figure (1 to 48).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _shapes(report, np.random.default_rng((seed, 1)))
    report.figure(
        "Channels of a dense block and of a sum",
        _figure(report, layers),
        alt="Channels against layers: a straight line upwards for the dense block, a level one for residual sums; "
        "beside them the weights of each layer's 1 x 1 convolution, which grow along.",
    )


def _shapes(report, rng):
    x = tf.constant(rng.standard_normal((1, 6, 6, 5)), tf.float32)
    grown = [dense_block(x, layers, 4) for layers in (1, 2, 3)]
    report.check("channels grow by the growth rate per layer: 5 + 4, 5 + 8, 5 + 12",
                 got=[block.shape[-1] for block in grown], want=[9, 13, 17])  # fmt: skip
    report.check(
        "the first channels are the input itself, unchanged", got=grown[2][..., :5], want=x, rtol=0.0, atol=0.0
    )
    halved = transition(grown[2], 0.5)
    report.check(
        "a transition halves the channels (rounded down), height and width", got=halved.shape, want=(1, 3, 3, 8)
    )
    branch = tf.constant(rng.standard_normal((1, 6, 6, 5)), tf.float32)
    added, joined = keras.layers.Add()([x, branch]), keras.layers.Concatenate()([x, branch])
    report.check("a sum keeps 5 channels, a concatenation has 10", [added.shape[-1], joined.shape[-1]], [5, 10])
    report.correction(
        "what joins the layers of DenseNet",
        course="DenseNet adds the inputs of a layer up, as a sum with a residual.",
        correct="It concatenates them along the channels; sums are ResNet's. The channels grow by the growth rate.",
        shown_by=f"three layers with growth rate 4 on 5 channels give {grown[2].shape[-1]} channels, a sum keeps 5",
    )


def _figure(report, layers, channels=16, growth_rate=8):
    inputs = keras.Input((4, 4, channels))
    model = keras.Model(inputs, dense_block(inputs, layers, growth_rate, name="block"))
    joined = [channels] + [layer.output.shape[-1] for layer in model.layers if "concatenate" in layer.name]
    report.check(
        "channels of the built block, layer by layer", joined, [channels + growth_rate * n for n in range(layers + 1)]
    )
    weights = [int(np.prod(model.get_layer(f"block_{n + 1}").kernel.shape)) for n in range(layers)]
    report.check("weights of its 1 x 1 convolutions: channels times four growth rates", weights,
                 [(channels + growth_rate * n) * 4 * growth_rate for n in range(layers)])  # fmt: skip
    figure, (left, right) = plots.subplots(1, 2, figsize=(10, 3.8))
    places = np.arange(layers + 1)
    series = {"dense block": joined, "residual sums": [channels] * (layers + 1)}
    plots.curves(places, series, xlabel="layers", ylabel="channels", title="Joined, not added", marker="o", ax=left)
    plots.bars([str(n + 1) for n in range(layers)], weights, ylabel="weights of the 1 x 1 convolution", ax=right)
    right.set(xlabel="layer", title="Later layers read more")
    return figure

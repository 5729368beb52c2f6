"""LeNet-5 reads digits with 60,000 weights, in the form of 1998 and in today's.

The network of 1998 is built twice from one function: as it was published, with a table of which maps see which and
with pooling that has weights, and in the form of today's textbooks. Weights and connections are counted layer by layer.
Today's form alone is trained, in two ways that compute the same: with Keras's layers, and with `ConvPool`, made for
speed. After five epochs it is about as accurate as the published one; a figure shows which digits it still misses.

Notes: chapter 07, "LeNet-5" (LeNet-5 网络).
Source: LeCun et al. 1998, doi:10.1109/5.726791, section II and table I; one cycle of the learning rate: Smith 2018,
arXiv:1803.09820; smoothed labels: Szegedy et al. 2015, arXiv:1512.00567.
"""

import math
import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter07.conv_pool import ConvPool, pooling_matrix  # noqa: F401
from kerasnotes.chapter07.lenet_1998 import (  # names with "noqa" are also to be had from here
    CodeDistance,  # noqa: F401
    PartialConv2D,  # noqa: F401
    TrainablePool,  # noqa: F401
    build_original,
    scaled_tanh,  # noqa: F401
)
from kerasnotes.parts import positive, whole

SMOKE = {"epochs": 1, "keras_epochs": 0, "samples": 128, "test_samples": 64, "batch_size": 32}
SECONDS = 30


def build_lenet5(input_shape=(32, 32, 1), classes=10, width=1.0, seed=0, fast=False, original=False):
    """Build LeNet-5: two convolutions of 5 x 5, each with pooling, and three dense layers.

    The names are the paper's: C for convolution, S for subsampling, which is pooling, F for full connection. C5 is
    dense here: a convolution there, but at 32 x 32 pixels its kernel covers all that is left.

    Args:
        input_shape: `(height, width, channels)`; height and width multiples of 4, at least 16.
        classes: Number of logits.
        width: Factor on the maps and units of all hidden layers.
        seed: Seed of the initial weights.
        fast: True for `ConvPool` in place of `Conv2D` and `MaxPooling2D`; the weights have the same shapes and order.
        original: True for the network as published: C3 sees S2 by table I, pooling has weights, units are scaled
            tanh, and outputs are distances to fixed codes. False for the usual form of today: every map sees every
            map, max pooling, ReLU, and a dense layer of logits.

    Returns: An uncompiled `keras.Model` that outputs logits (batch, classes), with layers named as in the paper.
    Raises: ValueError: If an argument is out of range, or the original is asked for with `fast` or another width.
    Source: LeCun et al. 1998, section II.B, figure 2.
    """
    shape = check_picture(input_shape, 16)
    if shape[0] % 4 or shape[1] % 4:
        raise ValueError(f"input_shape: expected multiples of 4, got {shape[0]} x {shape[1]} pixels")
    if original and (fast or width != 1):
        raise ValueError(f"original: expected fast=False and width=1, got fast={fast!r} and width={width!r}")
    if original:
        return build_original(shape, whole("classes", classes), seed)
    c1, c3, c5, f6 = (scaled(maps, width) for maps in (6, 16, 120, 84))
    seeds = [int(number) for number in np.random.default_rng(seed).integers(2**31, size=5)]
    inputs = x = keras.Input(shape)
    starts = [keras.initializers.HeUniform(seed) for seed in seeds[:4]]
    for number, (name, filters) in enumerate((("C1", c1), ("C3", c3))):
        kind = ConvPool if fast else keras.layers.Conv2D
        x = kind(filters, 5, activation="relu", kernel_initializer=starts[number], name=name)(x)
        x = x if fast else keras.layers.MaxPooling2D(2, name=f"S{2 * number + 2}")(x)  # 14 x 14 x 6, then 5 x 5 x 16
    x = keras.layers.Flatten()(x)  # (batch, 5 * 5 * 16) for 32 x 32 pixels
    x = keras.layers.Dense(c5, "relu", kernel_initializer=starts[2], name="C5")(x)
    x = keras.layers.Dense(f6, "relu", kernel_initializer=starts[3], name="F6")(x)
    start = keras.initializers.GlorotUniform(seeds[4])
    return keras.Model(
        inputs, keras.layers.Dense(whole("classes", classes), kernel_initializer=start, name="logits")(x)
    )


def check_picture(input_shape, smallest):
    """`input_shape` as `(height, width, channels)`, if it is that and has at least `smallest` pixels a side.

    Raises: ValueError: If there are not three positive integers, or a side is too small.
    """
    shape = tuple(input_shape) if isinstance(input_shape, (tuple, list)) else ()
    if len(shape) != 3 or not all(isinstance(size, (int, np.integer)) and size > 0 for size in shape):
        raise ValueError(f"input_shape: expected (height, width, channels), positive integers, got {input_shape!r}")
    if min(shape[:2]) < smallest:
        raise ValueError(f"input_shape: expected at least {smallest} x {smallest} pixels, got {shape[0]} x {shape[1]}")
    return shape


def scaled(channels, width, multiple=1):
    """Channels of a wider or narrower network: `channels * width`, rounded to a positive multiple of `multiple`.

    Raises: ValueError: If `width` is not a positive number.
    """
    return multiple * max(1, round(channels * positive("width", width) / multiple))


def example():
    """Keras's layers one by one, as today's form has them, beside the builder."""
    layers = keras.layers
    by_hand = keras.Sequential([
        keras.Input((32, 32, 1)),
        layers.Conv2D(6, 5, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(16, 5, activation="relu"), layers.MaxPooling2D(2),
        layers.Flatten(), layers.Dense(120, "relu"), layers.Dense(84, "relu"), layers.Dense(10),
    ])  # fmt: skip
    ours, original = build_lenet5(), build_lenet5(original=True)
    print("weights by hand:", by_hand.count_params(), "and by the builder:", ours.count_params())
    print("as published:", sum(int(np.prod(weight.shape)) for weight in original.trainable_weights), "to train")
    ours.set_weights(by_hand.get_weights())
    pictures = np.random.default_rng(0).uniform(size=(2, 32, 32, 1)).astype(np.float32)
    print("largest difference of the logits:", float(np.abs(ours(pictures) - by_hand(pictures)).max()))


def lesson(
    report,
    *,
    epochs: int = 5,
    keras_epochs: int = 5,
    samples: int = 60000,
    test_samples: int = 10000,
    batch_size: int = 64,
    learning_rate: float = 5e-3,
    weight_decay: float = 0.05,
    smoothing: float = 0.1,
    seed: int = 0,
):
    """Count weights, check that both ways compute the same, then train on MNIST with `ConvPool` and Keras's layers.

    Args:
        report: The report to write to.
        epochs: Training epochs of the network with `ConvPool` (1 to 1000).
        keras_epochs: Training epochs of the same network with Keras's layers, 0 for none (0 to 1000).
        samples: Training images (32 to 60000).
        test_samples: Test images (32 to 10000).
        batch_size: Images in a batch (1 to 10000).
        learning_rate: Largest learning rate of AdamW, after three tenths of the steps (0.000001 to 1).
        weight_decay: Part of each weight that AdamW takes away, times the learning rate (0 to 10).
        smoothing: Part of each target that is spread evenly over all classes (0 to 0.9).
        seed: Seed of all random draws (0 to 4294967295).
    """
    (x, y), (x_test, y_test) = data.mnist()
    x, x_test = (_padded(pictures) for pictures in (x[:samples], x_test[:test_samples]))
    y, y_test = y[:samples], y_test[:test_samples]
    models = {"ConvPool": build_lenet5(seed=seed, fast=True), "Conv2D, MaxPooling2D": build_lenet5(seed=seed)}
    fast, plain = models.values()
    original = build_lenet5(seed=seed, original=True)
    # Compare before any training; this also gives both the same weights to start from.
    _counts(report, plain, original)
    _whole_network(report, fast, plain, x[:32], y[:32])

    # Learn: the same digits in the same order, and the clock runs.
    targets = tf.one_hot(y, 10) * (1 - smoothing) + smoothing / 10  # (samples, 10), no target is quite sure
    curves, rows = {}, []
    for (name, model), passes in zip(models.items(), (epochs, keras_epochs), strict=True):
        if passes == 0:
            continue
        steps = passes * -(-len(x) // batch_size)
        model.compile(
            keras.optimizers.AdamW(_one_cycle(learning_rate, steps), weight_decay=weight_decay),
            keras.losses.CategoricalCrossentropy(from_logits=True),
        )
        model.optimizer.build(model.trainable_variables)  # else the training step would be traced once more
        clock = _Clock(x_test, y_test)
        training.fit(
            model, x, targets, batch_size=batch_size, epochs=passes, callbacks=[clock], seed=seed, track=report.track
        )
        seconds, accuracy = curves[name] = np.cumsum(clock.seconds), np.array(clock.accuracy)
        reached = seconds[accuracy >= 0.99]
        a_step = 1000 * np.median(clock.seconds) * passes / steps  # median: the first epoch also compiles
        rows.append([name, passes, accuracy[-1], a_step, seconds[-1], reached[0] if len(reached) else None])
    # Judge, on digits that were never learnt.
    _results(report, rows, len(x), batch_size)
    _figures(report, curves, fast, x_test, y_test)


def _padded(pictures):
    """MNIST as the network wants it: (samples, 32, 32, 1), from 0 to 1, two pixels of nothing around each digit."""
    return np.pad(pictures / np.float32(255), ((0, 0), (2, 2), (2, 2)))[..., None]


def _counts(report, model, original):
    """Weights and connections layer by layer, beside the published numbers. A shared weight has many connections."""
    published = {  # trainable weights and connections: LeCun et al. 1998, section II.B
        "C1": (156, 122_304), "S2": (12, 5_880), "C3": (1_516, 151_600), "S4": (32, 2_000), "C5": (48_120, 48_120),
        "F6": (10_164, 10_164), "logits": (0, 840),
    }  # fmt: skip
    rows, weights, connections = [], {}, {}
    for name in published:
        layer, today = original.get_layer(name), model.get_layer(name)
        weights[name] = sum(math.prod(weight.shape) for weight in layer.trainable_weights)
        places = math.prod(layer.output.shape[1:-1])  # at each of which all weights are used; 1 for a dense layer
        inputs = layer.count_params() if name not in ("S2", "S4") else 5 * layer.output.shape[-1]  # 4 pixels and a bias
        connections[name] = inputs * places
        products = math.prod(today.kernel.shape) * math.prod(today.output.shape[1:-1]) if today.weights else 0
        size = " x ".join(map(str, today.output.shape[1:]))
        rows.append([name, size, weights[name], connections[name], today.count_params(), products])
    report.check("1998: weights of each layer as published", weights, {name: n for name, (n, _) in published.items()})
    report.check("1998: 60,000 weights to train", sum(weights.values()), 60_000)
    wanted = {name: n for name, (_, n) in published.items()}
    report.check("1998: connections of each layer as published", connections, wanted)
    report.check("1998: 340,908 connections", sum(connections.values()), 340_908)
    report.check("today's form: 61,706 weights", model.count_params(), 61_706)
    rows.append(["sum", "", *(sum(row[column] for row in rows) for column in range(2, 6))])
    columns = ["layer", "output", "1998: trainable weights", "1998: connections", "today: weights", "multiply-adds"]
    report.table("LeNet-5, layer by layer", columns, rows)


def _whole_network(report, fast, model, pictures, labels):
    """Today's form by `ConvPool` and by Keras's layers, from the same weights, on digits."""
    fast.set_weights(model.get_weights())
    right = tf.one_hot(labels, 10)  # as the scale, so that the loss hangs on the right class's logit only
    results = [_gradients(each, [weight.value for weight in each.trainable_weights], pictures, right)
               for each in (fast, model)]  # fmt: skip
    report.check("both ways give the same logits on digits", *(y for y, _ in results), rtol=1e-4, atol=1e-4)
    report.check("and the same gradients of all ten weights", *(slopes for _, slopes in results), rtol=1e-3, atol=1e-3)


def _gradients(function, variables, x, scale=1.0):
    """The output, and gradients of a sum of sines: its slopes differ from number to number, so that no swap hides."""
    with tf.GradientTape() as tape:
        tape.watch(variables)
        y = function(x)
        loss = tf.reduce_sum(tf.sin(scale * y))
    return y, tape.gradient(loss, variables)


def _one_cycle(peak, steps):
    """The rate goes up from a small one for three tenths of the steps, and down to 0 in the others."""
    warm = max(1, round(0.3 * steps))
    return keras.optimizers.schedules.CosineDecay(
        peak / 25, max(1, steps - warm), warmup_target=peak, warmup_steps=warm
    )


class _Clock(keras.callbacks.Callback):
    """Seconds of training alone, and the test accuracy, after every epoch."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y, self.seconds, self.accuracy = x, y, [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)
        self.accuracy.append(np.mean(training.predict(self.model, self.x).argmax(axis=1) == self.y))


def _results(report, rows, samples, batch_size):
    columns = ["network", "epochs", "test accuracy", "ms a step", "seconds of training", "seconds to 0.990"]
    report.table(f"Training on {samples} digits in batches of {batch_size}", columns, rows)
    report.at_least("test accuracy with ConvPool (LeCun et al. 1998: 0.9905)", rows[0][2], 0.990, trained=True)
    report.note(
        "Today's form departs from the paper: every map of C3 sees every map of S2, max pooling and ReLU in place of "
        "weighted sums and tanh, logits in place of distances, AdamW with one cycle of the rate, smoothed labels. "
        "Smith's cycle of the momentum is left out. The settings were chosen on the last 10,000 training images, with "
        "other seeds."
    )
    passes = [row[1] for row in rows]
    if len(set(passes)) > 1:
        report.note(
            f"For time, Keras's layers are trained for {passes[1]} epochs, in one cycle, ConvPool for {passes[0]}."
        )


def _figures(report, curves, model, x, y):
    figure, ax = plots.subplots(figsize=(7.5, 4.2))
    for number, (name, (seconds, accuracy)) in enumerate(curves.items()):
        ax.plot(
            seconds,
            100 * (1 - accuracy),
            plots.LINE_STYLES[number],
            marker="os"[number],
            label=f"{name}: {len(seconds)} epochs",
        )
    ax.axhline(0.95, color="C7", linestyle=":", label="LeCun et al. 1998: 0.95 %")
    ax.set(xlabel="seconds of training", ylabel="test error, %", yscale="log")
    ax.set_yticks([0.5, 1, 2, 5], ["0.5", "1", "2", "5"])
    ax.minorticks_off()
    ax.set_title("One network, computed in two ways: test error against time")
    ax.legend()
    report.figure(
        "Test error against seconds", figure,
        alt="Two falling curves, one of ConvPool and one of Keras's layers; both end near the published 0.95 %.",
    )  # fmt: skip
    probability = tf.nn.softmax(training.predict(model, x)).numpy()
    answer = probability.argmax(axis=1)
    wrong = np.flatnonzero(answer != y)
    surest = wrong[np.argsort(-probability[wrong, answer[wrong]], kind="stable")][:16]
    titles = [f"{y[i]}, read as {answer[i]}" for i in surest]
    report.figure(
        "Digits that the network misses",
        plots.images(x[surest], titles=titles, title=f"The surest of {len(wrong)} errors in {len(y)} digits"),
        alt="Handwritten digits, most of them hard to read, each with its label and the network's answer.",
    )

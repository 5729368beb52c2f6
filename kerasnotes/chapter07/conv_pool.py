"""One matrix product can do a convolution, its pooling and its activation at once.

Every cell of a 2 x 2 max pooling needs the convolution at four positions, and these see one patch of pixels. A layer
of our own multiplies all patches by one matrix and takes the largest of four: the same outputs and gradients as Keras's
two layers, also where several of the four are equal. It is a device for speed, and for XLA only.

Notes: chapter 07, "LeNet-5" (LeNet-5 网络).
Source: https://keras.io/api/layers/convolution_layers/convolution2d; Chellapilla, Puri, Simard 2006,
https://inria.hal.science/inria-00112631 (convolution as a matrix product).
"""

import timeit

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import whole

SMOKE = {"batch": 2, "repeats": 1}
SECONDS = 6

MONOTONE = ("linear", "relu", "sigmoid", "softplus", "tanh")  # these may change places with a maximum


def pooling_matrix(kernel):
    """Place a kernel at the four positions of a 2 x 2 pooling cell, as one matrix.

    The four positions together see a patch of (size + 1) x (size + 1) pixels. The patch is cut into blocks of 2 x 2
    pixels, so its side is rounded up to an even number.

    Args:
        kernel: Tensor (size, size, channels, filters).

    Returns:
        Tensor (blocks * blocks * 4 * channels, 4 * filters), with blocks = ⌈(size + 1) / 2⌉: the rows go through the
        blocks, the pixels of a block and the channels; the columns through the positions and the filters.

    Raises:
        ValueError: If the kernel has another rank or is not square.
    """
    if len(kernel.shape) != 4 or kernel.shape[0] != kernel.shape[1]:
        raise ValueError(f"kernel: expected (size, size, channels, filters), got {tuple(kernel.shape)}")
    size, _, channels, filters = kernel.shape
    blocks = size // 2 + 1
    spare = 2 * blocks - size
    placed = [
        tf.pad(kernel, [[row, spare - row], [column, spare - column], [0, 0], [0, 0]])
        for row in (0, 1) for column in (0, 1)
    ]  # fmt: skip
    matrix = tf.reshape(tf.stack(placed, axis=3), (blocks, 2, blocks, 2, channels, 4 * filters))
    return tf.reshape(tf.transpose(matrix, (0, 2, 1, 3, 4, 5)), (-1, 4 * filters))


@keras.saving.register_keras_serializable("kerasnotes")
class ConvPool(keras.layers.Layer):
    """A convolution with stride 1, max pooling 2 x 2 and an activation, computed together.

    Equal to `Conv2D(filters, kernel_size, activation=activation, padding=padding)` and `MaxPooling2D(2)`, with weights
    of the same shapes. Every pooled cell needs the convolution at four positions, and these need one patch of pixels:
    a matrix product of all patches with `pooling_matrix(kernel)`, then the largest of four. Bias and activation come
    last, on a quarter of the numbers; the maximum allows it because they never turn an order round.

    Worth its while inside XLA only (`training.fit`, or `compile(jit_compile=True)`); TensorFlow's own loop runs Keras's
    two layers faster. Where the activation rounds different numbers to one (tanh beyond ±9), Keras's gradient goes to
    the first position and ours to the largest; both are then as good as 0.

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the kernel, one positive integer.
        activation: Name of an activation that never falls, one of `MONOTONE`; None is "linear".
        padding: "valid" or "same", as in Keras.
        kernel_initializer: As in Keras.

    Raises:
        ValueError: If an argument is out of range; when called, if the convolution's height or width is odd.
    """

    def __init__(
        self, filters, kernel_size, activation=None, padding="valid", kernel_initializer="glorot_uniform", **kw
    ):
        super().__init__(**kw)
        self.filters, self.kernel_size = whole("filters", filters), whole("kernel_size", kernel_size)
        if activation not in (None, *MONOTONE):
            raise ValueError(f"activation: expected None or one of {', '.join(MONOTONE)}, got {activation!r}")
        if padding not in ("valid", "same"):
            raise ValueError(f"padding: expected 'valid' or 'same', got {padding!r}")
        self.activation, self.padding = keras.activations.get(activation), padding
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def _sizes(self, input_shape):
        """Height and width of the convolution's output."""
        if len(input_shape) != 4 or None in input_shape[1:]:
            raise ValueError(f"x: expected (batch, height, width, channels), all but batch known, got {input_shape}")
        lost = self.kernel_size - 1 if self.padding == "valid" else 0
        height, width = (size - lost for size in input_shape[1:3])
        if min(height, width) < 2 or height % 2 or width % 2:
            raise ValueError(f"x: expected an even height and width after the convolution, got {height} x {width}")
        return height, width

    def build(self, input_shape):
        self._sizes(input_shape)
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=self.kernel_initializer, name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def compute_output_shape(self, input_shape):
        height, width = self._sizes(input_shape)
        return (input_shape[0], height // 2, width // 2, self.filters)

    def call(self, x):
        rows, columns = (size // 2 for size in self._sizes(x.shape))
        blocks = self.kernel_size // 2 + 1
        before = (self.kernel_size - 1) // 2 if self.padding == "same" else 0
        after = [2 * (cells + blocks - 1) - size - before
                 for cells, size in ((rows, x.shape[1]), (columns, x.shape[2]))]  # fmt: skip
        if before or any(after):
            x = tf.pad(x, [[0, 0], [before, after[0]], [before, after[1]], [0, 0]])
        x = tf.nn.space_to_depth(x, 2)  # (batch, rows + blocks - 1, columns + blocks - 1, 4 channels)
        views = [x[:, i : i + rows, j : j + columns] for i in range(blocks) for j in range(blocks)]
        matrix = pooling_matrix(tf.cast(self.kernel, x.dtype))
        patches = tf.reshape(tf.concat(views, axis=-1), (-1, matrix.shape[0]))  # (batch rows columns, patch)
        four = tf.reshape(patches @ matrix, (-1, 4, self.filters))  # (batch rows columns, 4, filters)
        y = self.activation(_maximum(four) + tf.cast(self.bias, x.dtype))
        return tf.reshape(y, (-1, rows, columns, self.filters))

    def get_config(self):
        names = {"activation": keras.activations.serialize(self.activation),
                 "kernel_initializer": keras.initializers.serialize(self.kernel_initializer)}  # fmt: skip
        own = {"filters": self.filters, "kernel_size": self.kernel_size, "padding": self.padding}
        return {**super().get_config(), **own, **names}


@tf.custom_gradient
def _maximum(x):
    """Largest number along axis 1. Its gradient goes to the first of equal ones, as in TensorFlow's max pooling."""

    def gradient(upstream):
        return tf.one_hot(tf.argmax(x, axis=1), x.shape[1], axis=1, dtype=x.dtype) * upstream[:, None]

    return tf.reduce_max(x, axis=1), gradient


def example():
    """Keras's two layers and the one layer on the same weights, and their gradients."""
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 12, 12, 1)), tf.float32)
    theirs = keras.Sequential([keras.layers.Conv2D(4, 5, activation="relu"), keras.layers.MaxPooling2D(2)])
    ours = ConvPool(4, 5, activation="relu")
    for layer in (theirs, ours):
        layer.build(x.shape)
    ours.set_weights(theirs.get_weights())
    results = []
    for layer in (theirs, ours):
        with tf.GradientTape() as tape:
            y = layer(x)
            loss = tf.reduce_sum(tf.sin(y))
        results.append([y, *tape.gradient(loss, [weight.value for weight in layer.trainable_weights])])
        print(layer.name, "gives", y.shape, "and the loss", round(float(loss), 4))
    for name, a, b in zip(("output", "gradient of the kernel", "of the bias"), *results, strict=True):
        print(f"largest difference, {name}: {float(tf.reduce_max(tf.abs(a - b))):.1e}")


def lesson(report, *, batch: int = 64, repeats: int = 20, seed: int = 0):
    """Compare the layer with Keras's two, in numbers and in time.

    Args:
        report: The report to write to.
        batch: Pictures in a batch when time is measured (1 to 1024).
        repeats: Runs of which the shortest counts (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _one_product(report, np.random.default_rng((seed, 1)))
    _times(report, batch, repeats)
    report.note(
        "Seconds depend on the computer. The layer is made for training inside XLA, where a convolution is slow on "
        "most processors and a matrix product is fast; in TensorFlow's own loop Keras's two layers are the faster ones."
    )


def _gradients(function, variables, x, scale=1.0):
    with tf.GradientTape() as tape:
        tape.watch(variables)
        y = function(x)
        loss = tf.reduce_sum(tf.sin(scale * y))
    return y, tape.gradient(loss, variables)


def _one_product(report, rng):
    """The fast layer against Keras's two, also where several of the four positions are equal."""
    for label, numbers in (("random numbers", rng.normal(size=(3, 12, 12, 2))),
                           ("equal numbers in a cell", rng.integers(-1, 2, size=(3, 12, 12, 2)))):  # fmt: skip
        x = tf.constant(numbers, tf.float32)
        ours = ConvPool(4, 5, activation="relu", padding="same")
        theirs = keras.Sequential([keras.layers.Conv2D(4, 5, activation="relu", padding="same"),
                                   keras.layers.MaxPooling2D(2)])  # fmt: skip
        ours.build(x.shape)
        theirs.build(x.shape)
        kernel = rng.integers(-1, 2, size=ours.kernel.shape) if "equal" in label else rng.normal(size=ours.kernel.shape)
        ours.set_weights([kernel, rng.integers(-1, 2, size=4)])
        theirs.set_weights(ours.get_weights())
        results = [
            _gradients(layer, [x, *(weight.value for weight in layer.trainable_weights)], x) for layer in (ours, theirs)
        ]
        report.check(
            f"ConvPool is Conv2D and MaxPooling2D, {label}", results[0][0], results[1][0], rtol=1e-4, atol=1e-4
        )
        report.check(f"gradients too, {label}", results[0][1], results[1][1], rtol=1e-4, atol=1e-4)


def _times(report, batch, repeats):
    """Milliseconds of a forward and backward pass of LeNet-5's first part, by TensorFlow's loop and by XLA."""
    x, rows = tf.random.stateless_normal((batch, 32, 32, 1), (1, 2)), {}
    layers = {
        "Conv2D, MaxPooling2D": keras.Sequential(
            [keras.layers.Conv2D(6, 5, activation="relu", kernel_initializer="ones"), keras.layers.MaxPooling2D(2)]
        ),
        "ConvPool": ConvPool(6, 5, activation="relu", kernel_initializer="ones"),
    }
    for name, layer in layers.items():
        layer.build(x.shape)
        weights = [weight.value for weight in layer.trainable_weights]
        rows[name] = []
        for jit_compile in (False, True):
            step = tf.function(_gradients, jit_compile=jit_compile)
            step(layer, weights, x)
            shortest = min(timeit.repeat(lambda: step(layer, weights, x), number=1, repeat=repeats))  # noqa: B023
            rows[name].append(1e3 * shortest)
    report.table(f"milliseconds of a pass there and back, {batch} pictures", ["layer", "TensorFlow", "XLA"],
                 [[name, *values] for name, values in rows.items()])  # fmt: skip
    figure, axes = plots.subplots(1, 2, figsize=(9, 3.8))
    for ax, way, values in zip(axes, ("TensorFlow's loop", "XLA"), zip(*rows.values(), strict=True), strict=True):
        plots.bars(list(rows), values, ylabel="milliseconds a batch", title=way, ax=ax)
    report.figure(
        "One layer or two, in TensorFlow's loop and in XLA",
        figure,
        alt="Two panels with a bar for Keras's two layers and one for the single layer: milliseconds of a pass there "
        "and back in TensorFlow's own loop, and compiled by XLA.",
    )

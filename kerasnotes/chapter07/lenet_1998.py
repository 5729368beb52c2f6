"""LeNet-5 as published had weights in its pooling, a table of which maps see which, and codes for its answers.

Three parts of the network of 1998 that today's textbook form has dropped are built as layers: pooling with a factor and
a bias for each map, a convolution whose maps see some of the maps before them only, and outputs that measure the
distance to a fixed code. Together with the activation 1.7159 tanh(2x/3) they have the published 60,000 weights.

Notes: chapter 07, "LeNet-5" (LeNet-5 网络).
Source: LeCun et al. 1998, doi:10.1109/5.726791, section II.B, table I, appendix A.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.parts import whole

SMOKE = {"pictures": 4}
SECONDS = 2

C3_TABLE = (  # the maps of S2 that each map of C3 sees: LeCun et al. 1998, table I
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
)  # fmt: skip


@keras.saving.register_keras_serializable("kerasnotes")
class PartialConv2D(keras.layers.Layer):
    """A convolution with `scaled_tanh` in which every output map sees some of the input maps only.

    Args:
        table: For every output map, the numbers of the input maps that it sees.
        kernel_size: Height and width of the kernel.
        seed: Seed of the initial weights, uniform up to ±2.4 / inputs.

    Source: LeCun et al. 1998, section II.B, table I, appendix A.
    """

    def __init__(self, table, kernel_size, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.table, self.kernel_size, self.seed = tuple(map(tuple, table)), whole("kernel_size", kernel_size), seed
        if not self.table or not all(len(set(row)) == len(row) > 0 and min(row) >= 0 for row in self.table):
            raise ValueError(f"table: expected different numbers of input maps for every output map, got {table!r}")

    def build(self, input_shape):
        pairs = [(source, target) for target, row in enumerate(self.table) for source in row]
        if max(source for source, _ in pairs) >= input_shape[-1]:
            raise ValueError(f"table: expected numbers below {input_shape[-1]}, the input maps, got {self.table!r}")
        inputs = np.array([self.kernel_size**2 * len(self.table[target]) for _, target in pairs])
        start = keras.initializers.RandomUniform(-1, 1, seed=self.seed)
        self.kernel = self.add_weight(
            shape=(self.kernel_size, self.kernel_size, len(pairs)),
            initializer=lambda shape, dtype: start(shape, dtype) * (2.4 / inputs).astype(dtype), name="kernel",
        )  # fmt: skip
        self.bias = self.add_weight(shape=(len(self.table),), initializer="zeros", name="bias")
        self._place = np.zeros((len(pairs), input_shape[-1], len(self.table)), np.float32)
        for number, (source, target) in enumerate(pairs):
            self._place[number, source, target] = 1

    def call(self, x):
        kernel = tf.tensordot(tf.convert_to_tensor(self.kernel), self._place, 1)  # (size, size, in, out), zeros added
        return scaled_tanh(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "VALID"), self.bias))

    def get_config(self):
        return {**super().get_config(), "table": self.table, "kernel_size": self.kernel_size, "seed": self.seed}


@keras.saving.register_keras_serializable("kerasnotes")
class TrainablePool(keras.layers.Layer):
    """The sum of every 2 x 2 pixels, times a coefficient, plus a bias, both learnt for each map, through `scaled_tanh`.

    The coefficient starts at 1/4, which makes it a mean. Source: LeCun et al. 1998, section II.B.
    """

    def build(self, input_shape):
        quarter = keras.initializers.Constant(0.25)
        self.coefficient = self.add_weight(shape=(input_shape[-1],), initializer=quarter, name="coefficient")
        self.bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="bias")

    def call(self, x):
        return scaled_tanh(4 * tf.nn.avg_pool2d(x, 2, 2, "VALID") * self.coefficient + self.bias)


@keras.saving.register_keras_serializable("kerasnotes")
class CodeDistance(keras.layers.Layer):
    """Minus the squared distances to one fixed code of -1 and +1 for each class, as logits: it has nothing to learn.

    Source: LeCun et al. 1998, section II.B, whose codes are small pictures of the characters. These are drawn at
    random, which the paper names as another choice.
    """

    def __init__(self, classes, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.classes, self.seed = whole("classes", classes), seed

    def build(self, input_shape):
        signs = np.random.default_rng(self.seed).choice([-1.0, 1.0], size=(self.classes, input_shape[-1]))
        self.codes = self.add_weight(
            shape=signs.shape, initializer=lambda shape, dtype: tf.constant(signs, dtype), trainable=False, name="codes"
        )

    def call(self, x):
        return -tf.reduce_sum(tf.square(x[:, None] - self.codes), axis=-1)  # (batch, classes)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes, "seed": self.seed}


@keras.saving.register_keras_serializable("kerasnotes")
def scaled_tanh(x):
    """1.7159 tanh(2x/3), which is ±1 at ±1. Source: LeCun et al. 1998, section II.B and appendix A."""
    return 1.7159 * tf.tanh(x * (2 / 3))


def build_original(input_shape=(32, 32, 1), classes=10, seed=0):
    """Build LeNet-5 as published: C3 sees S2 by table I, pooling has weights, outputs are distances to fixed codes.

    Args:
        input_shape: `(height, width, channels)`; height and width multiples of 4, at least 16.
        classes: Number of logits.
        seed: Seed of the initial weights and of the codes.

    Returns: An uncompiled `keras.Model` that outputs logits (batch, classes), with layers named as in the paper.
    Source: LeCun et al. 1998, section II.B, figure 2.
    """
    seeds = [int(number) for number in np.random.default_rng(seed).integers(2**31, size=5)]

    def start(number, count):  # uniform up to ±2.4 / inputs
        return keras.initializers.RandomUniform(-2.4 / count, 2.4 / count, seed=seeds[number])

    inputs = keras.Input(input_shape)
    first = start(0, 25 * input_shape[2])
    x = keras.layers.Conv2D(6, 5, activation=scaled_tanh, kernel_initializer=first, name="C1")(inputs)
    x = TrainablePool(name="S2")(x)
    x = PartialConv2D(C3_TABLE, 5, seed=seeds[1], name="C3")(x)
    x = keras.layers.Flatten()(TrainablePool(name="S4")(x))  # (batch, 5 * 5 * 16) for 32 x 32 pixels
    x = keras.layers.Dense(120, scaled_tanh, kernel_initializer=start(2, x.shape[-1]), name="C5")(x)
    x = keras.layers.Dense(84, scaled_tanh, kernel_initializer=start(3, 120), name="F6")(x)
    return keras.Model(inputs, CodeDistance(classes, seed=seeds[4], name="logits")(x))


def example():
    """The pooling of 1998 beside Keras's, and a table of maps beside a full convolution."""
    x = tf.constant([[1.0, 2, 0, 0], [3, 4, 0, 4]])[None, :, :, None]
    print("layers.AveragePooling2D:", np.ravel(keras.layers.AveragePooling2D(2)(x)))
    print("TrainablePool at first: ", np.ravel(TrainablePool()(x)), "which is that through 1.7159 tanh(2x/3)")
    print("at -1 and 1 this is", scaled_tanh(tf.constant([-1.0, 1.0])).numpy())
    maps = tf.zeros((1, 14, 14, 6))
    by_table, full = PartialConv2D(C3_TABLE, 5), keras.layers.Conv2D(16, 5)
    print("both give", by_table(maps).shape, full(maps).shape)
    print("weights by the table:", by_table.count_params(), "and without it:", full.count_params())
    codes = CodeDistance(3)
    codes.build((None, 8))
    print("logits of the first code:", codes(codes.codes[:1]).numpy(), ": minus the squared distances to all codes")


def lesson(report, *, pictures: int = 32, seed: int = 0):
    """Take the layers of 1998 apart.

    Args:
        report: The report to write to.
        pictures: Digits to send through the network (1 to 60000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    x = np.pad(data.mnist()[0][0][:pictures] / np.float32(255), ((0, 0), (2, 2), (2, 2)))[..., None]
    original = build_original(seed=seed)
    _published_layers(report, original, x, np.random.default_rng((seed, 2)))
    report.figure(
        "Table I: which maps of C3 see which maps of S2",
        _figure(),
        alt="A grid of 6 rows and 16 columns; the first six columns have three neighbouring dark cells each, the next "
        "nine four, the last one all six.",
    )


def _published_layers(report, original, pictures, rng):
    """The parts that only the network of 1998 has."""
    layer = original.get_layer("C3")
    kernel = np.zeros((5, 5, 6, 16), np.float32)
    used = iter(np.moveaxis(layer.kernel.numpy(), -1, 0))
    for target, sources in enumerate(C3_TABLE):
        for source in sources:
            kernel[:, :, source, target] = next(used)
    x = rng.normal(size=(2, 14, 14, 6)).astype(np.float32)
    wanted = scaled_tanh(tf.nn.conv2d(x, kernel, 1, "VALID"))
    report.check(
        "C3 by table I is a convolution with 36 of its 96 kernels zero", layer(x), wanted, rtol=1e-4, atol=1e-5
    )
    report.check("every map of S2 goes to ten of C3", np.bincount(np.concatenate(C3_TABLE)), [10] * 6)
    report.check("1.7159 tanh(2x/3) at ±1", scaled_tanh(tf.constant([-1.0, 1.0])), [-1.0, 1.0], atol=1e-4)
    features = keras.Model(original.input, original.get_layer("F6").output)(pictures).numpy()
    codes = original.get_layer("logits").codes.numpy()
    distances = np.linalg.norm(features[:, None].astype(np.float64) - codes, axis=-1) ** 2
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(original(pictures)))
    slopes = tape.gradient(loss, original.trainable_variables)
    moved = sum(np.count_nonzero(slope) for slope in slopes)
    report.check("1998: weights that one batch of digits gives a gradient", moved, 60_000)
    report.check("1998: logits are minus the squared distances to the codes", original(pictures), -distances, rtol=1e-4)


def _figure():
    sees = np.zeros((6, len(C3_TABLE)))
    for column, row in enumerate(C3_TABLE):
        sees[list(row), column] = 1
    figure, ax = plots.subplots(figsize=(8, 3.6))
    ax.imshow(sees, cmap="Blues", vmax=1.4)
    ax.set(xlabel="map of C3", ylabel="map of S2", xticks=range(16), yticks=range(6))
    ax.set_title(f"{int(sees.sum())} of 96 kernels of C3 are there")
    ax.grid(False)
    return figure

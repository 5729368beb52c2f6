"""Two LSTMs that run along diagonals share out all earlier pixels, so that none of them is out of sight.

A state that walks from pixel to pixel would take 784 steps for a digit. On a diagonal no pixel needs another one, so
all its states are computed at once, and 55 steps do. One LSTM brings what lies to the left of a pixel, the other what
lies above and not to the left. What the reader should see: gradients at every earlier pixel, where masked convolutions
have a blind spot; a skewed image that turns diagonals into columns, and Keras's `ConvLSTM1D` over these columns as the
same computation; and fewer nats an image than a masked network that has seen the same digits. The settings of both were
chosen on test images, and are judged on the last of the training set, which neither training nor choice has seen.

Notes: chapter 10, "PixelRNN" (逐像素生成：PixelRNN).
Source: van den Oord, Kalchbrenner, Kavukcuoglu 2016, arXiv:1601.06759 (Diagonal BiLSTM, published nats).
"""

import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter10.pixel_cnn import binarize, build_pixel_cnn, input_gradients, log_likelihood
from kerasnotes.parts import layer_seeds, shape, whole

SMOKE = {"images": 32, "epochs": 1, "units": 2, "new_images": 20}
FULL = {"images": 50000, "epochs": 20, "units": 64}
SECONDS = 39


def skew(x):
    """Move row i of images i places to the right, so that a diagonal becomes a column.

    Args:
        x: Tensor (samples, height, width, channels).

    Returns:
        Tensor (samples, height, height + width − 1, channels), 0 where no pixel came to lie.
    """
    samples, height, width, channels = _sizes(x)
    x = tf.pad(x, [[0, 0], [0, 0], [0, height], [0, 0]])
    # Read in rows of one place less, each row begins one place further to the left of its pixels.
    x = tf.reshape(x, [samples, height * (width + height), channels])[:, : height * (width + height - 1)]
    return tf.reshape(x, [samples, height, width + height - 1, channels])


def unskew(x):
    """Undo `skew`: (samples, height, height + width − 1, channels) to (samples, height, width, channels)."""
    samples, height, columns, channels = _sizes(x)
    x = tf.pad(tf.reshape(x, [samples, height * columns, channels]), [[0, 0], [0, height], [0, 0]])
    return tf.reshape(x, [samples, height, columns + 1, channels])[:, :, : columns + 1 - height]


def diagonal_lstm(x, kernel, recurrent_kernel, bias):
    """Run LSTMs over images: the states at a pixel come from those at its left and upper neighbours.

    Several LSTMs with weights of their own run side by side, which takes no more steps than one.

    Args:
        x: Inputs (lstms, samples, height, width, channels).
        kernel: Weights from the input (lstms, channels, 4 units), in Keras's order: input, forget, candidate, output.
        recurrent_kernel: Weights from the hidden states above, then to the left (lstms, 2 units, 4 units).
        bias: (lstms, 4 units).

    Returns:
        Hidden states (lstms, samples, height, width, units); those at a pixel depend on the pixel itself and on the
        rectangle above and to the left of it.

    Raises:
        ValueError: If a shape does not fit.

    Source: van den Oord et al. 2016, arXiv:1601.06759.
    """
    lstms, units = shape("kernel", kernel, None, x.shape[-1], None).shape[0], kernel.shape[-1] // 4
    shape("recurrent_kernel", recurrent_kernel, lstms, 2 * units, 4 * units), shape("bias", bias, lstms, 4 * units)
    _, samples, height, width, channels = _sizes(shape("x", x, lstms, None, None, None, None))
    sums = tf.reshape(x, [lstms, -1, channels]) @ kernel + bias[:, None]  # the inputs' part, for all pixels at once
    # Outside of the image all sums are 0, and states that begin at 0 stay there.
    sums = skew(tf.reshape(sums, [lstms * samples, height, width, 4 * units]))
    columns = tf.reshape(tf.transpose(sums, [2, 0, 1, 3]), [-1, lstms, samples * height, 4 * units])

    def step(states, column):
        h, c = states  # (lstms, samples · height, units), of the diagonal before
        above = tf.pad(tf.reshape(h, [lstms, samples, height, units])[:, :, :-1], [[0, 0], [0, 0], [1, 0], [0, 0]])
        both = tf.concat([tf.reshape(above, tf.shape(h)), h], axis=-1)  # (…, 2 units)
        i, f, g, o = tf.split(column + both @ recurrent_kernel, 4, axis=-1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        return tf.sigmoid(o) * tf.tanh(c), c

    start = tf.zeros([lstms, samples * height, units], x.dtype)
    h, _ = tf.scan(step, columns, (start, start))  # (height + width − 1, lstms, …)
    h = tf.transpose(tf.reshape(h, [-1, lstms * samples, height, units]), [1, 2, 0, 3])
    return tf.reshape(unskew(h), [lstms, samples, height, width, units])


def _sizes(x):
    """Sizes of a tensor, those that a `tf.function` does not know yet as tensors."""
    return [known if known is not None else tf.shape(x)[axis] for axis, known in enumerate(x.shape)]


class DiagonalBiLSTM(keras.layers.Layer):
    """States from all pixels before a pixel and from no others: (batch, height, width, 2 units).

    The LSTM from the left ends at the left neighbour: it has seen all columns to the left, down to the pixel's own row.
    The one from the right ends at the upper neighbour: it has seen all other columns, down to the row above.

    Args:
        units: Size of each LSTM's state.
        seed: Seed of the start.

    Source: van den Oord et al. 2016, arXiv:1601.06759 (there in several layers, with residual connections).
    """

    def __init__(self, units, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.units, self.seeds = whole("units", units), layer_seeds(seed)

    def build(self, input_shape):
        def weights(inputs):
            starts = [keras.initializers.GlorotUniform(next(self.seeds))((inputs, 4 * self.units)) for _ in range(2)]
            return self.add_weight((2, inputs, 4 * self.units), initializer=lambda *_, **__: tf.stack(starts))

        self.kernel, self.recurrent_kernel = weights(input_shape[-1]), weights(2 * self.units)
        self.bias = self.add_weight((2, 4 * self.units), initializer="zeros")
        ones = np.repeat([[0, 1, 0, 0]], self.units, axis=1) + np.zeros((2, 1))
        self.bias.assign(ones)  # forget gates begin open, as in Keras

    def call(self, x):
        both = tf.stack([x, tf.reverse(x, [2])])  # the second LSTM sees the image in a mirror
        left, right = tf.unstack(diagonal_lstm(both, self.kernel, self.recurrent_kernel, self.bias))
        left = tf.pad(left[:, :, :-1], [[0, 0], [0, 0], [1, 0], [0, 0]])  # the left neighbour's
        right = tf.pad(tf.reverse(right, [2])[:, :-1], [[0, 0], [1, 0], [0, 0], [0, 0]])  # the upper neighbour's
        return tf.concat([left, right], axis=-1)


def build_pixel_rnn(units=16, seed=0):
    """A network from images of 0 and 1 (batch, height, width, 1) to a logit for each pixel, from all earlier ones.

    Args:
        units: Size of the state of each of the two LSTMs.
        seed: Seed of the start.
    """
    seeds = layer_seeds((seed, 1))
    layers = [DiagonalBiLSTM(units, seed)]
    for size, activation in ((32, "relu"), (1, None)):  # within a pixel
        start = keras.initializers.HeUniform(next(seeds))
        layers.append(keras.layers.Dense(size, activation, kernel_initializer=start))
    return keras.Sequential(layers)


def example():
    """A diagonal LSTM by Keras's `ConvLSTM1D`, whose steps are the columns of the skewed image, and by ours."""
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(1, 2, 3, 4, 2)), tf.float32)  # 2 images, 3 rows, 4 columns, 2 channels
    kernel, recurrent = np.float32(rng.normal(size=(1, 2, 12))), np.float32(rng.normal(size=(1, 6, 12)))
    ours = diagonal_lstm(x, kernel, recurrent, np.zeros((1, 12), "float32"))[0]
    print("a row moves with its number:", skew(tf.ones((1, 3, 4, 1)))[0, :, :, 0].numpy().astype(int).tolist())
    print("largest difference to Keras:", float(tf.reduce_max(tf.abs(ours - by_conv_lstm(x[0], kernel, recurrent)))))
    model = build_pixel_rnn(units=3)
    print("logits:", model(np.zeros((1, 4, 5, 1), "float32")).shape)


def by_conv_lstm(x, kernel, recurrent_kernel):
    """The states of one LSTM without bias by `keras.layers.ConvLSTM1D`: its kernel of three rows sees none below."""
    units = kernel.shape[-1] // 4
    layer = keras.layers.ConvLSTM1D(units, 3, padding="same", use_bias=False, return_sequences=True)
    columns = tf.transpose(skew(x), [0, 2, 1, 3])  # (samples, columns as steps, rows, channels)
    layer.build(columns.shape)
    above, left = np.split(np.asarray(recurrent_kernel[0]), 2)
    nothing = np.zeros_like(kernel[0])
    layer.set_weights([np.stack([nothing, kernel[0], nothing]), np.stack([above, left, np.zeros_like(left)])])
    return unskew(tf.transpose(layer(columns), [0, 2, 1, 3]))


def lesson(report, *, images: int = 8000, units: int = 16, epochs: int = 1, new_images: int = 1000, seed: int = 0):
    """Look where a pixel looks, compare with Keras, add up probabilities, and learn digits beside a masked network.

    Args:
        report: The report to write to.
        images: Digits to learn from (32 to 50000).
        units: Size of the state of each LSTM (1 to 512).
        epochs: Passes over them (1 to 1000).
        new_images: New digits whose likelihood is computed (20 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    shares = _where_a_pixel_looks(report, seed)
    _same_as_keras(report, seed)
    curves = _learn(report, images, units, epochs, new_images, seed)
    _figure(report, shares, *curves)


def _where_a_pixel_looks(report, seed, size=9):
    """Which LSTM brings which pixel to the middle one: 1 the left one, 2 the right one, 0 neither."""
    layer, middle = DiagonalBiLSTM(8, (seed, 1)), size // 2
    noise = np.random.default_rng((seed, 2)).integers(0, 2, (16, size, size, 1))
    halves = [
        input_gradients(lambda x, half=half: tf.split(layer(x), 2, axis=-1)[half], noise, middle, middle) > 0
        for half in (0, 1)
    ]
    row, column = np.indices((size, size)) - middle
    earlier = (row < 0) | (row == 0) & (column < 0)
    report.check("pixels with a gradient are all earlier ones, and no other", halves[0] | halves[1], earlier)
    report.check("one LSTM brings what is to the left, down to the pixel's row", halves[0], (column < 0) & (row <= 0))
    report.check("the other brings the rest, down to the row above", halves[1], (column >= 0) & (row < 0))
    return halves[0] + 2 * halves[1]


def _same_as_keras(report, seed):
    rng = np.random.default_rng((seed, 3))
    x = tf.constant(rng.normal(size=(1, 3, 5, 6, 2)), tf.float32)
    kernel, recurrent = np.float32(rng.normal(size=(1, 2, 16))), np.float32(rng.normal(size=(1, 8, 16)))
    ours = diagonal_lstm(x, kernel, recurrent, np.zeros((1, 16), "float32"))[0]
    label = "states equal Keras's ConvLSTM1D over the skewed image's columns"
    report.check(label, ours, by_conv_lstm(x[0], kernel, recurrent), atol=1e-5)
    pictures = np.float32((np.arange(512)[:, None] >> np.arange(9)) & 1).reshape(-1, 3, 3, 1)
    total = np.exp(log_likelihood(pictures, build_pixel_rnn(4, (seed, 4)))).sum()
    report.check("probabilities of all 512 pictures of 3 × 3 pixels add up to", total, 1.0, rtol=1e-5)
    report.check("steps in a row for 28 × 28 pixels", skew(tf.zeros((1, 28, 28, 1))).shape[2], 55)


def _learn(report, images, units, epochs, new_images, seed, batch_size=16, points=4):
    """Train both kinds on the same digits. Returns digits seen, and by name the nats of new ones after so many."""
    (x, _), _ = data.mnist()
    x, new = binarize(x[:images], (seed, 4)), binarize(x[-new_images:], (seed, 5))
    steps = max(1, epochs * len(x) // batch_size // points)  # between two looks at new digits
    results, curves, rows = {}, {}, []
    for name, model, rate in (
        ("masked convolutions", build_pixel_cnn(positions=False, seed=(seed, 6)), 5e-3),
        ("diagonal LSTMs", build_pixel_rnn(units, (seed, 7)), 1e-2),
    ):
        model.build((None, 28, 28, 1))
        rates = keras.optimizers.schedules.CosineDecay(
            rate / 10, points * steps, 1e-2, warmup_target=rate, warmup_steps=points * steps // 20 + 1
        )
        model.compile(keras.optimizers.Adam(rates), keras.losses.BinaryCrossentropy(from_logits=True))
        begin = time.perf_counter()
        history = training.fit(
            model, x, x, batch_size=batch_size, epochs=points, steps_per_epoch=steps, seed=seed,
            validation_data=(new[:200], new[:200]), track=report.track,
        )  # fmt: skip
        seconds = time.perf_counter() - begin
        results[name] = -log_likelihood(new, model)
        curves[name] = 784 * np.array(history.history["val_loss"])
        error = float(results[name].std() / np.sqrt(len(new)))
        rows.append([name, model.count_params(), 55 if "LSTM" in name else 1, (float(results[name].mean()), error),
                     round(seconds, 1)])  # fmt: skip
    rows.append(["PixelCNN, published", None, 1, 81.3, None])
    columns = ["network", "weights", "steps in a row for all pixels", "−ln p, nats an image", "seconds of training"]
    report.table("binarized MNIST after the same digits", columns, rows)
    report.note(
        "Neither network is told where a pixel lies, as that of the lesson on PixelCNN is. Both are small and saw "
        "few digits: compared is what they make of them."
    )
    ours = results["diagonal LSTMs"]
    report.at_most("−ln p of a new image, diagonal LSTMs, nats", got=ours.mean(), bound=101.0, trained=True)
    gain = np.mean(results["masked convolutions"] - ours)
    report.at_least("nats an image that they gain on masked convolutions", got=gain, bound=1.0, trained=True)
    return steps * batch_size * np.arange(1, points + 1), curves


def _figure(report, shares, seen, curves):
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.6))
    left.imshow(shares, cmap="cividis", vmin=-1, vmax=2)
    left.grid(False)
    for column, row, text in ((4, 4, "x"), (1.5, 2, "LSTM from\nthe left"), (6, 1.5, "LSTM from\nthe right"),
                              (4, 6.5, "later")):  # fmt: skip
        left.text(column, row, text, ha="center", va="center", color="black" if "right" in text else "white")
    left.set(xlabel="column", ylabel="row", title="Which LSTM brings\nwhich pixel to x")
    plots.curves(seen, curves, xlabel="digits seen in training", ylabel="−ln p, nats an image", ax=right, marker="o")
    right.set_title("What they learn\nfrom the same digits")
    report.figure(
        "All earlier pixels, shared out",
        figure,
        alt="Left: nine by nine pixels around x; the LSTM from the left brings the columns to the left to x's row, "
        "the one from the right all others down to the row above. Right: nats an image fall with the digits seen, "
        "for masked convolutions and for diagonal LSTMs.",
    )

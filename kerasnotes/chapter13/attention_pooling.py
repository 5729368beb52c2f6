"""Pooling by attention finds a digit among fragments of others, and shows where it looked.

A softmax of one score for each place takes the weighted mean over places; with scores of 0 it is the global average.
What the reader should see: a digit among six fragments of others, which the mean over all places drowns; the weights
lie on the digit, although nobody ever told the network where it is; and the maximum, which reads far better than the
mean but has no place that one could ask it for.

Notes: chapter 13, "Attention in pictures" (空间注意力与通道注意力).
Source: Jetley et al. 2018, arXiv:1804.02391 (attention over the places of a convolutional network).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.parts import layer_seeds, shape, whole

SMOKE = {"samples": 64, "test_samples": 32, "epochs": 1, "seeds": 1}
FULL = {"samples": 20_000, "seeds": 5}
SECONDS = 20

DIGIT, FRAGMENT, FRAGMENTS = 14, 7, 6  # pixels, pixels, number
RATE = 2e-3


class AttentionPooling(keras.layers.Layer):
    """One vector for a picture: the mean over its places, weighted by a softmax of one score for each place."""

    def build(self, input_shape):
        """Create a weight for each channel; all start at 0, where the pooling is the global average."""
        self.score = self.add_weight(name="score", shape=(input_shape[-1],), initializer="zeros")

    def weights_of(self, features):
        """Weights (batch, height · width), at least 0, that sum to 1."""
        scores = tf.tensordot(features, self.score, axes=1)  # (batch, height, width)
        return tf.nn.softmax(tf.reshape(scores, (-1, features.shape[1] * features.shape[2])))

    def call(self, features):
        """Pool features (batch, height, width, channels) to (batch, channels)."""
        places = tf.reshape(features, (-1, features.shape[1] * features.shape[2], features.shape[3]))
        return tf.einsum("bp,bpc->bc", self.weights_of(features), places)


def cluttered_digits(images, labels, samples, size=40, seed=0):
    """Pictures of one digit, half as high as it was, somewhere among six fragments of others.

    Args:
        images: Pictures (n, 28, 28), uint8, as `data.mnist` gives them.
        labels: Digits (n,).
        samples: Pictures to make; image k is the digit of picture k, modulo n.
        size: Height and width of the pictures, at least 14.
        seed: Seed of places and fragments.

    Returns:
        `(x, y, box)`: float32 (samples, size, size, 1) from 0 to 1, int32 (samples,), and the digit's first row, first
        column, row behind the last and column behind the last, int32 (samples, 4).

    Raises:
        ValueError: If a shape or number does not fit.
    """
    rng, n = np.random.default_rng(seed), len(shape("images", images, None, 28, 28))
    shape("labels", labels, n)
    whole("samples", samples)
    whole("size", size, DIGIT)
    x, box = np.zeros((samples, size, size), np.float32), np.zeros((samples, 4), np.int32)
    small = np.float32(images).reshape(n, DIGIT, 2, DIGIT, 2).mean(axis=(2, 4)) / 255
    corners = rng.integers(size - DIGIT + 1, size=(samples, 2))
    others = rng.integers(n, size=(samples, FRAGMENTS))
    cuts = rng.integers(DIGIT - FRAGMENT + 1, size=(samples, FRAGMENTS, 2))
    places = rng.integers(size - FRAGMENT + 1, size=(samples, FRAGMENTS, 2))
    for number, (row, column) in enumerate(corners):
        for other, (top, left), (to_row, to_column) in zip(others[number], cuts[number], places[number], strict=True):
            fragment = small[other, top : top + FRAGMENT, left : left + FRAGMENT]
            cell = x[number, to_row : to_row + FRAGMENT, to_column : to_column + FRAGMENT]
            np.maximum(cell, fragment, out=cell)
        cell = x[number, row : row + DIGIT, column : column + DIGIT]
        np.maximum(cell, small[number % n], out=cell)
        box[number] = row, column, row + DIGIT, column + DIGIT
    return x[..., None], np.int32(labels)[np.arange(samples) % n], box


def example():
    """Attention pooling beside Keras's global average and maximum, and a picture with its box."""
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 2)).astype(np.float32)  # (batch, height, width, channels)
    pooling = AttentionPooling()
    print("weights 0: ", pooling(x).numpy().round(3), "Keras's average:",
          keras.layers.GlobalAveragePooling2D()(x).numpy().round(3))  # fmt: skip
    pooling.score.assign([9.0, 0.0])  # look where channel 0 is large
    print("channel 0: ", pooling(x).numpy().round(3), "Keras's maximum:",
          keras.layers.GlobalMaxPooling2D()(x).numpy().round(3))  # fmt: skip
    images = np.full((3, 28, 28), 255, np.uint8)
    x, y, box = cluttered_digits(images, np.array([4, 5, 6]), samples=2, size=30)
    print("pictures", x.shape, "digits", y, "boxes", box.tolist())


def lesson(report, *, samples: int = 10_000, test_samples: int = 2000, epochs: int = 5, seeds: int = 1, seed: int = 0):
    """A pooling that is the average to begin with, and a digit among fragments.

    Args:
        report: The report to write to.
        samples: Training pictures (64 to 60000).
        test_samples: Test pictures (32 to 10000).
        epochs: Training epochs (1 to 1000).
        seeds: Runs of each network (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    x, pooling = np.random.default_rng(seed).normal(size=(3, 6, 5, 4)).astype(np.float32), AttentionPooling()
    report.check("weights 0: attention pooling is the global average", pooling(x), x.mean(axis=(1, 2)))
    _find_digits(report, samples, test_samples, epochs, seeds, seed)


def _dense(units, seed, activation=None):
    return keras.layers.Dense(units, activation, kernel_initializer=keras.initializers.GlorotUniform(seed))


def _convolution(filters, seed, kernel_size=3, strides=1):
    start = keras.initializers.HeNormal(seed)
    return keras.layers.Conv2D(filters, kernel_size, strides, "same", activation="relu", kernel_initializer=start)


def _network(pooling, seed):
    """Three convolutions, one of the poolings, two dense layers: logits for 40 × 40 pixels; features of 10 × 10."""
    seeds = layer_seeds(seed)
    layers = [keras.Input((40, 40, 1)), _convolution(16, next(seeds), 5, 2), _convolution(32, next(seeds), 3, 2),
              _convolution(48, next(seeds)), pooling()]  # fmt: skip
    return keras.Sequential([*layers, _dense(64, next(seeds), "relu"), _dense(10, next(seeds))])


def _compiled(model):
    model.compile(keras.optimizers.Adam(RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, training.restarter(model)


def _find_digits(report, samples, test_samples, epochs, seeds, seed):
    (images, labels), test = data.mnist()
    x_test, y_test, box = cluttered_digits(*test, test_samples, seed=(seed, 1))
    poolings = {"attention": AttentionPooling, "average": keras.layers.GlobalAveragePooling2D,
                "maximum": keras.layers.GlobalMaxPooling2D}  # fmt: skip
    accuracy, inside, rows = {}, [], []
    for name in report.track(poolings, "training"):
        accuracy[name] = []
        model, restart = _compiled(_network(poolings[name], seed))
        for run in range(seeds):
            chosen = np.random.default_rng((seed, 2, run)).permutation(len(images))[:samples]
            x, y, _ = cluttered_digits(images[chosen], labels[chosen], samples, seed=(seed, 3, run))
            restart(_network(poolings[name], seed + run).get_weights())
            training.fit(model, x, y, batch_size=64, epochs=epochs, seed=seed + run)
            logits = training.predict(model, x_test, batch_size=500)
            accuracy[name].append(float(np.mean(logits.argmax(axis=1) == y_test)))
            if name == "attention":
                features = training.predict(keras.Sequential(model.layers[:3]), x_test, batch_size=500)
                weights = model.layers[3].weights_of(features).numpy().reshape(-1, 10, 10)
                inside.append(float(np.mean(np.sum(weights * _share_inside(box), axis=(1, 2)))))
                written = logits.argmax(axis=1)
        rows.append([name, model.count_params(), plots.mean_and_error(accuracy[name])])
    report.table(f"a digit among six fragments, {seeds} runs", ["pooling", "parameters", "test accuracy"], rows)
    area = float(_share_inside(box).mean())
    report.note(f"The digit's box is {area:.3f} of the area; nobody tells the network where it is.")
    label = "accuracy with attention pooling, above the average's, every run"
    report.at_least(label, np.subtract(accuracy["attention"], accuracy["average"]), 0.05, trained=True)
    report.at_least("weight inside the digit's box, every run", inside, 0.7, trained=True)
    report.figure("Where the network looks", _figure(x_test, box, weights, y_test, written),
                  alt="Six pictures of a digit among fragments, and below each the weights of its places: they lie on "
                  "the digit, which a frame marks.")  # fmt: skip


def _share_inside(box, cells=10, size=40):
    """How much of each cell of a grid lies in the box: (samples, cells, cells) for boxes (samples, 4)."""
    edges = np.arange(cells + 1) * size / cells
    sides = [np.clip(np.minimum(edges[1:], box[:, [axis + 2]]) - np.maximum(edges[:-1], box[:, [axis]]), 0, None)
             for axis in (0, 1)]  # fmt: skip
    return sides[0][:, :, None] * sides[1][:, None] / (size / cells) ** 2


def _figure(x, box, weights, labels, written, shown=6):
    figure, axes = plots.subplots(2, shown, figsize=(12, 4.4))
    for number, (above, below) in enumerate(axes.T):
        above.imshow(x[number, ..., 0], cmap="gray_r")
        below.imshow(weights[number], cmap="cividis", extent=(-0.5, 39.5, 39.5, -0.5), vmin=0)
        above.set_title(f"a {labels[number]}, read as {written[number]}", fontsize=11, loc="center")
        top, left, bottom, right = box[number] - 0.5
        for ax, color in ((above, "C1"), (below, "white")):
            ax.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=color)
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
    axes[0, 0].set_ylabel("picture")
    axes[1, 0].set_ylabel("weights of places")
    return figure

"""What is written and how it is written can be kept in two codes, if labels claim the one and a price the other.

An autoencoder with two codes has no reason to sort: any mixture rebuilds the image as well. Here the content's code is
trained to name the digit, and every nat in the style's code costs three nats of loss, so that it does not repeat what
the other code says already. What the reader should see: one digit drawn with the slant and thickness of another; a
ranking of slants that follows the style's source and not the content's; and two networks of the same build, one without
labels and price and one without the price, whose swaps mix both.

Notes: chapter 10, "Feature disentangling" (特征解缠).
Source: Kingma, Mohamed, Rezende, Welling 2014, arXiv:1406.5298 (a label beside a Gaussian code, and analogies); Chou et
al. 2018, arXiv:1804.02812 (voice conversion).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter10.kl_divergence import gaussian_kl_to_standard
from kerasnotes.chapter10.likelihood_bounds import pixel_cross_entropy
from kerasnotes.chapter10.reparameterization import Sampling
from kerasnotes.parts import layer_seeds, shape, whole

SMOKE = {"images": 256, "epochs": 1, "hidden": 8, "pairs": 100}
FULL = {"epochs": 30, "hidden": 500}
SECONDS = 30


class ContentStyle(keras.Model):
    """An autoencoder with two codes: probabilities of classes, and a Gaussian. `build_content_style` makes it.

    Fit it on images (samples, pixels) in [0, 1] and labels (samples,). Its loss: the pixels' cross-entropy, plus
    `label_weight` times that of the label, plus `kl_weight` times the divergence of the style from a standard normal.
    """

    def __init__(self, encoder, decoder, label_weight, kl_weight, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder, self.sampling = encoder, decoder, Sampling(seed)
        # Variables, so that one compiled loop trains networks with other weights as well.
        self.label_weight, self.kl_weight = (
            self.add_weight((), initializer=keras.initializers.Constant(value), trainable=False, name=name)
            for name, value in (("label_weight", label_weight), ("kl_weight", kl_weight))
        )
        self.trackers = [keras.metrics.Mean(name) for name in ("loss", "reconstruction", "label", "kl")]

    @property
    def metrics(self):
        return self.trackers

    def build(self, input_shape):
        """Nothing is left to do: encoder and decoder are built already."""

    def codes(self, x):
        """Images to `(content, mean, log_variance)`: (batch, classes), of sum 1, and twice (batch, style_size)."""
        logits, mean, log_variance = self.encoder(x)
        return tf.nn.softmax(logits), mean, log_variance

    def call(self, x):
        """Images to the logits of their reconstructions, from the mean of the style's code."""
        content, mean, _ = self.codes(x)
        return self.decoder(tf.concat([content, mean], axis=-1))

    def train_step(self, data):
        x, labels = data
        with tf.GradientTape() as tape:
            logits, mean, log_variance = self.encoder(x)
            code = tf.concat([tf.nn.softmax(logits), self.sampling((mean, log_variance))], axis=-1)
            reconstruction = tf.reduce_mean(pixel_cross_entropy(x, self.decoder(code)))
            label = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
            kl = tf.reduce_mean(gaussian_kl_to_standard(mean, log_variance))
            loss = reconstruction + self.label_weight * label + self.kl_weight * kl
        self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
        for tracker, value in zip(self.trackers, (loss, reconstruction, label, kl), strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


def build_content_style(pixels=784, classes=10, style_size=8, hidden=256, label_weight=50.0, kl_weight=3.0, seed=0):
    """A `ContentStyle`, not compiled: dense layers from images to the two codes and back.

    Args:
        pixels, classes, style_size, hidden: Numbers in an image, in the two codes, and in each hidden layer.
        label_weight: What a nat of the label's cross-entropy counts; with 0 labels are not used.
        kl_weight: What a nat of the style's divergence counts; with 0 the style's code is free.
        seed: Seed of start and draws.

    Raises:
        ValueError: If a size is no positive whole number, or a weight is negative.
    """
    if not (0 <= label_weight < np.inf and 0 <= kl_weight < np.inf):
        raise ValueError(f"label_weight, kl_weight: expected numbers of at least 0, got {label_weight}, {kl_weight}")
    seeds = layer_seeds(seed)

    def dense(units, x, activation=None):
        start = keras.initializers.HeUniform if activation else keras.initializers.GlorotUniform
        return keras.layers.Dense(whole("units", units), activation, kernel_initializer=start(next(seeds)))(x)

    image, code = keras.Input((pixels,)), keras.Input((classes + style_size,))
    h = dense(hidden, image, "relu")
    encoder = keras.Model(image, [dense(classes, h), dense(style_size, h), dense(style_size, h)])
    decoder = keras.Model(code, dense(pixels, dense(hidden, code, "relu")))
    return ContentStyle(encoder, decoder, label_weight, kl_weight, next(seeds))


def swap(content_of, style_of, model):
    """Draw what is written in some images as it is written in others.

    Args:
        content_of, style_of: Images (samples, pixels), in pairs.
        model: A `ContentStyle`.

    Returns:
        float32 (samples, pixels), probabilities of the pixels.

    Raises:
        ValueError: If the two have different shapes.
    """
    shape("style_of", style_of, *shape("content_of", content_of, None, None).shape)
    content, style = model.codes(content_of)[0], model.codes(style_of)[1]
    return tf.sigmoid(model.decoder(tf.concat([content, style], axis=-1))).numpy()


def slant_and_thickness(images):
    """Two measures of handwriting, without any network.

    Args:
        images: Array (samples, height, width), ink from 0 to 1, some of it in every image.

    Returns:
        `(slant, thickness)`, each (samples,): columns to the right for each row up, by the moments of the ink; and a
        fifth of the ink in the 5 × 5 pixels around a point of ink, on average: the width of a line, up to 3 pixels.

    Raises:
        ValueError: If the array has another shape, or an image has no ink or ink in one row only.
    """
    images = np.float64(shape("images", np.asarray(images), None, None, None))
    ink = images.sum(axis=(1, 2), keepdims=True)
    row, column = np.indices(images.shape[1:])
    row, column = (each - np.sum(images * each, axis=(1, 2), keepdims=True) / np.maximum(ink, 1e-9)
                   for each in (row, column))  # fmt: skip
    height = np.sum(images * row**2, axis=(1, 2))
    if not np.all(height > 1e-9):
        raise ValueError("images: expected ink in at least two rows of every image")
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    around = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(1, 2)).sum(axis=(-1, -2)) / 5
    return -np.sum(images * row * column, axis=(1, 2)) / height, np.sum(images * around, axis=(1, 2)) / ink[:, 0, 0]


def rank_correlation(a, b):
    """Correlation of the ranks of two lists of numbers (n,), from −1 to 1 (Spearman); for lists without ties."""
    if np.shape(a) != np.shape(b) or np.ndim(a) != 1:
        raise ValueError(f"a, b: expected two lists of one length, got shapes {np.shape(a)} and {np.shape(b)}")
    return float(np.corrcoef(np.argsort(np.argsort(a)), np.argsort(np.argsort(b)))[0, 1])


def without_class_means(values, labels):
    """Values (n,) minus the mean of their class: a slant beyond that which its digit has by itself."""
    return values - (np.bincount(labels, values) / np.maximum(np.bincount(labels), 1))[labels]


def example():
    """Upright and slanted bars: slant and thickness by formula, and a model's codes before any training."""
    images = np.zeros((3, 12, 12))
    for row in range(2, 10):
        images[0, row, 5] = 1  # upright, one pixel wide
        images[1, row, 10 - row // 2] = 1  # half a column to the right for each row up
        images[2, row, 4:8] = 1  # upright, four wide
    print("slant, thickness:", *(each.round(2) for each in slant_and_thickness(images)))
    model = build_content_style(pixels=144, classes=3, style_size=2, hidden=8)
    flat = np.float32(images.reshape(3, -1))
    model.compile(keras.optimizers.Adam(0.01))
    losses = model.fit(flat, np.arange(3), epochs=30, verbose=0).history["loss"]
    print(f"Keras's fit: loss from {losses[0]:.0f} to {losses[-1]:.0f}, content", model.codes(flat)[0].numpy().round(2))
    print("the third bar, written as the first:", swap(flat[2:], flat[:1], model).shape)


def lesson(
    report,
    *,
    images: int = 60000,
    epochs: int = 2,
    hidden: int = 256,
    pairs: int = 5000,
    seed: int = 0,
):
    """Train three networks of one build, swap styles between test digits, and measure what went where.

    Args:
        report: The report to write to.
        images: Training images (256 to 60000).
        epochs: Passes over them (1 to 1000).
        hidden: Units of the hidden layers (1 to 4096).
        pairs: Pairs of test images (100 to 5000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    (x, y), (x_test, y_test) = data.mnist()
    x, x_test = (np.float32(each).reshape(len(each), -1) / 255 for each in (x[:images], x_test))
    y, y_test = np.int32(y[:images]), np.int32(y_test)
    judge = _classifier(report, x, y, x_test, y_test, seed)
    order = np.random.default_rng((seed, 1)).permutation(len(x_test))[: 2 * pairs].reshape(2, -1)
    results, pictures = [], []
    for name, model in _three_networks(report, x, y, epochs, hidden, seed):
        results.append(_what_went_where(name, model, judge, x_test, y_test, *order))
        pictures.append((name, _table_of_swaps(model, x_test, y_test)))
    rebuilt = tf.sigmoid(model(x_test[:100]))
    report.check("swapped with itself an image is its reconstruction", swap(*[x_test[:100]] * 2, model), rebuilt)
    _compare(report, results)
    _figure(report, pictures)


def _classifier(report, x, y, x_test, y_test, seed):
    """A judge of digits that has no part in the networks' training."""
    seeds = layer_seeds((seed, 3))
    layers = [keras.layers.Dense(units, activation, kernel_initializer=keras.initializers.HeUniform(next(seeds)))
              for units, activation in ((256, "relu"), (10, None))]  # fmt: skip
    judge = keras.Sequential(layers)
    judge.compile(keras.optimizers.Adam(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    training.fit(judge, x, y, batch_size=128, epochs=3, seed=seed)
    right = np.mean(training.predict(judge, x_test).argmax(axis=1) == y_test)
    report.at_least("the judge's own accuracy on test digits", got=right, bound=0.96, trained=True)
    return judge


def _three_networks(report, x, y, epochs, hidden, seed, batch_size=32):
    """Yield names and networks of one build and start, one after the other; the last is the one with both."""
    model = build_content_style(hidden=hidden, seed=(seed, 2))
    steps = epochs * -(-len(x) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(2e-4, steps, 1e-2, warmup_target=2e-3, warmup_steps=steps // 20 + 1)
    model.compile(keras.optimizers.Adam(rate))
    model(x[:1])
    restart, weights = training.restarter(model), model.get_weights()
    form = "xla" if steps > training.WORTH_COMPILING else "auto"
    for name, labels, price in (("neither", 0, 0), ("labels", 1, 0), ("labels and price", 1, 1)):
        restart(weights)
        model.label_weight.assign(labels * model.label_weight)
        model.kl_weight.assign(price * model.kl_weight)
        training.fit(model, x, y, batch_size=batch_size, epochs=epochs, seed=seed, form=form, track=report.track)
        yield name, model


def _what_went_where(name, model, judge, x_test, y_test, content_of, style_of):
    """A row of the table: shares of digits kept and taken, correlations of slant and thickness, digits in the style."""
    drawn = swap(x_test[content_of], x_test[style_of], model)
    named = training.predict(judge, drawn).argmax(axis=1)
    row = [name, np.mean(named == y_test[content_of]), np.mean(named == y_test[style_of])]
    measured = (slant_and_thickness(each.reshape(-1, 28, 28)) for each in (drawn, x_test[style_of], x_test[content_of]))
    for result, style, content in zip(*measured, strict=True):
        result = without_class_means(result, y_test[content_of])
        row.append(rank_correlation(result, without_class_means(style, y_test[style_of])))
        row.append(rank_correlation(result, without_class_means(content, y_test[content_of])))
    # How well a linear classifier, by least squares on one half of the codes, names the digit from the style.
    code = np.column_stack([model.codes(x_test)[1], np.ones(len(x_test))])
    half = len(code) // 2
    linear = np.linalg.lstsq(code[:half], np.eye(10)[y_test[:half]], rcond=None)[0]
    return [*row, np.mean((code[half:] @ linear).argmax(axis=1) == y_test[half:])]


def _compare(report, rows):
    columns = ["trained with", "digit: content's", "digit: style's", "slant: style's", "slant: content's"]
    columns += ["thickness: style's", "thickness: content's", "digits named from the style's code"]
    report.table("what a swapped digit takes from which source: shares, and rank correlations", columns, rows)
    _, kept, _, slant, old_slant, thickness, old_thickness, named = rows[-1]
    report.at_least("swapped digits that the judge names as their content's source", kept, 0.9, trained=True)
    report.at_least("rank correlation of the slant with the style's source", slant, 0.5, trained=True)
    report.at_least("rank correlation of the thickness with the style's source", thickness, 0.5, trained=True)
    label = "largest rank correlation of either with the content's source"
    report.at_most(label, max(abs(old_slant), abs(old_thickness)), 0.1, trained=True)
    report.at_least("labels alone do not do it: digits kept more with the price", kept - rows[1][1], 0.3, trained=True)
    label = "digits named from the style's code: more without labels and price"
    report.at_least(label, rows[0][-1] - named, 0.2, trained=True)
    report.note(
        "Slants and thicknesses are taken without the mean of their digit, as some digits lean by themselves. Voice "
        "conversion is this with sound, words being the content and the speaker the style; no sound is used here."
    )


def _table_of_swaps(model, x_test, y_test):
    """Tiles (7, 11, 28, 28): digits 0 to 9 above, six writers on the left, and each digit as each writer's."""
    contents = x_test[[np.flatnonzero(y_test == digit)[0] for digit in range(10)]]
    slant, thickness = slant_and_thickness(x_test[:1000].reshape(-1, 28, 28))
    writers = x_test[[*np.argsort(slant)[[5, 500, -6]], *np.argsort(thickness)[[5, 500, -6]]]]
    drawn = swap(np.tile(contents, (6, 1)), np.repeat(writers, 10, axis=0), model).reshape(6, 10, -1)
    rows = np.concatenate([writers[:, None], drawn], axis=1)
    return np.concatenate([[[0 * contents[0], *contents]], rows]).reshape(7, 11, 28, 28)


def _figure(report, pictures):
    figure, axes = plots.subplots(1, 2, figsize=(12, 4.4))
    names = ["what", "slant: left", "middle", "right", "thin", "middle", "thick"]
    for ax, (name, tiles) in zip(axes, pictures[1:], strict=True):
        plots.tiles(tiles, ax, names if ax is axes[0] else None, low=0)
        ax.axvline(27.5, color="C1")
        ax.axhline(27.5, color="C1")
        ax.set_title(f"Trained with {name}")
    report.figure(
        "Ten digits as six writers would write them",
        figure,
        alt="Two tables of digits, ten digits above and six writers' images on the left. With labels alone the left "
        "images show through; with labels and price a row keeps slant and thickness, a column its digit.",
    )

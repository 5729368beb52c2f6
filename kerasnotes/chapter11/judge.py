"""A classifier judges digits only: shown noise, it names a digit all the same, and is often sure of it.

Drawn images are judged by a classifier that was trained on real ones: its probabilities and its last hidden layer, the
features, stand for what a person sees. What the reader should see: a small network that knows nearly every test digit;
features and probabilities that belong together; and, while noise is added to the digits, an accuracy that falls to
chance and a confidence that does not. So a confident answer is no proof of a digit, and scores built on one classifier
compare sets of images with each other, with nothing outside.

Notes: chapter 11, "Evaluating generative models" (生成模型的评价).
Source: Salimans et al. 2016, arXiv:1606.03498, section 4 (a classifier as judge); Nguyen, Yosinski, Clune 2015,
arXiv:1412.1897 (confident answers on noise).
"""

import functools
import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.parts import whole

SMOKE = {"images": 512, "test_images": 100, "classifier_epochs": 1}
SECONDS = 15


def build_classifier(steps, seed=0):
    """A small convolutional classifier of digits, compiled, whose last hidden layer gives features of images.

    Train it with `fit` on pixels from −1 to 1 (samples, 28, 28, 1) and labels 0 to 9, in `steps` batches.

    Args:
        steps: Training steps over which the learning rate falls to zero, at least 1.
        seed: Seed of the initial weights.

    Returns:
        A compiled `keras.Model` with outputs logits (batch, 10) and a layer "features" of 64 units.

    Raises:
        ValueError: If `steps` is not a positive whole number.
    """
    rate = keras.optimizers.schedules.CosineDecay(2e-3, whole("steps", steps))
    seeds = [int(number) for number in np.random.default_rng(seed).integers(2**31, size=4)]
    starts = [keras.initializers.HeUniform(number) for number in seeds]
    inputs = x = keras.Input((28, 28, 1))
    for filters, start in ((16, starts[0]), (32, starts[1])):
        x = keras.layers.Conv2D(filters, 5, 2, "same", activation="relu", kernel_initializer=start)(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(64, "relu", kernel_initializer=starts[2], name="features")(x)
    classifier = keras.Model(inputs, keras.layers.Dense(10, kernel_initializer=starts[3], name="logits")(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return classifier


@functools.lru_cache(maxsize=2)
def trained_classifier(load, fit, images=60000, epochs=4, seed=0):
    """A classifier trained on digits; a second call with the same arguments returns the same one at once.

    Args:
        load: Callable without arguments that returns `((x, y), (x_test, y_test))` with pixels from 0 to 255, such as
            `keras.datasets.mnist.load_data`.
        fit: Callable `(model, x, y, batch_size=…, epochs=…, seed=…)` that trains a compiled model.
        images: The classifier sees so many of the first images, in batches of 128.
        epochs: How often it sees each.
        seed: Seed of weights and order.

    Returns:
        A model as `build_classifier` makes it. All callers share it: do not train it further.

    Raises:
        ValueError: If images or epochs are not positive whole numbers.
    """
    (x, y), _ = load()
    x, y = np.float32(x[:images])[..., None] / 127.5 - 1, np.int32(y[:images])
    classifier = build_classifier(whole("epochs", epochs) * math.ceil(whole("images", images) / 128), seed)
    fit(classifier, x, y, batch_size=128, epochs=epochs, seed=seed)
    return classifier


def classify(classifier, images, batch_size=1000):
    """Features and class probabilities of images.

    Args:
        classifier: A model with a layer "features" and outputs logits, such as `build_classifier` returns.
        images: Array (samples, 28, 28, 1), pixels from −1 to 1.
        batch_size: Images at a time.

    Returns:
        `(features, probabilities)`: float32 (samples, units of the layer), float64 (samples, classes).

    Raises:
        ValueError: If there are no images, or a pixel is not a number from −1 to 1.
    """
    images = as_pixels(images)
    features, logits = _with_features(classifier).predict(images, batch_size=batch_size, verbose=0)
    exponentials = np.exp(np.float64(logits) - logits.max(axis=1, keepdims=True))
    return np.float32(features), exponentials / exponentials.sum(axis=1, keepdims=True)


@functools.lru_cache(maxsize=4)
def _with_features(classifier):
    """The same layers with two outputs; kept, since Keras compiles a new model's prediction anew."""
    return keras.Model(classifier.inputs, [classifier.get_layer("features").output, classifier.output])


def as_pixels(images):
    """Images as float32, none of them outside the range that networks here draw and judge.

    Args:
        images: Array (samples, height, width, channels), pixels from −1 to 1.

    Returns:
        float32 array of that shape.

    Raises:
        ValueError: If there are no images, or a pixel is not a number from −1 to 1.
    """
    images = np.asarray(images, np.float32)
    if images.ndim != 4 or images.size == 0:
        raise ValueError(f"images: expected (samples, height, width, channels), not empty, got shape {images.shape}")
    if not np.abs(images).max() <= 1 + 1e-6:
        raise ValueError(f"images: expected pixels from −1 to 1, got {images.min():g} to {images.max():g}")
    return images


def nearest_distances(images, others):
    """Euclidean distance from each image to the nearest of others.

    Args:
        images, others: Arrays (n, ...) and (m, ...) with equally many numbers an image.

    Returns:
        float64 (n,).

    Raises:
        ValueError: If a set is empty, images have different sizes, or a number is not finite.
    """
    a, b = (np.asarray(each, np.float32) for each in (images, others))
    if 0 in (a.size, b.size) or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"images, others: expected two sets of images of one size, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("images, others: expected finite numbers, got NaN or infinity")
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    nearest = np.empty(len(a), np.int64)
    lengths = np.einsum("ij,ij->i", b, b)
    for start in range(0, len(a), 500):
        nearest[start : start + 500] = np.argmin(lengths - 2 * a[start : start + 500] @ b.T, axis=1)
    return np.linalg.norm(a.astype(np.float64) - b[nearest], axis=1)  # exact, where the products above are rounded


def mode_coverage(labels, classes):
    """Share of the classes that occur among labels.

    Args:
        labels: Whole numbers (samples,) from 0 to classes − 1.
        classes: Number of classes that there are.

    Returns:
        A float from 1/classes to 1.

    Raises:
        ValueError: If there is no label, a label is no class, or `classes` is not a positive whole number.
    """
    whole("classes", classes)
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0 or labels.dtype.kind not in "iu":
        raise ValueError(f"labels: expected whole numbers (samples,), not empty, got {labels.dtype} {labels.shape}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels: expected 0 to {classes - 1}, got {labels.min()} to {labels.max()}")
    return len(np.unique(labels)) / int(classes)


def draw_images(generator, count, seed, batch_size=1000):
    """Images from a generator, with the moving statistics of its batch normalization.

    Args:
        generator: Model from noise (batch, latent_size).
        count: Number of images.
        seed: Seed of the noise, standard normal.
        batch_size: Images at a time.

    Returns:
        float32 (count, ...), such as (count, 28, 28, 1).

    Raises:
        ValueError: If a count is not a positive whole number.
    """
    size = (whole("count", count), generator.input_shape[-1])
    noise = np.random.default_rng(seed).standard_normal(size, np.float32)
    starts = range(0, count, whole("batch_size", batch_size))
    return np.concatenate([generator(noise[i : i + batch_size], training=False).numpy() for i in starts])


def example():
    """A classifier's probabilities by Keras and by `classify`, for images that are nothing."""
    rng = np.random.default_rng(0)
    images = np.float32(rng.uniform(-1, 1, (6, 28, 28, 1)))
    classifier = build_classifier(steps=20)
    classifier.fit(images, np.arange(6), epochs=20, verbose=0)  # it learns six pictures of noise by heart
    features, probabilities = classify(classifier, images)
    print("features:", features.shape)
    print("Keras:", keras.ops.softmax(classifier.predict(images, verbose=0))[0].numpy().round(3))
    print("ours: ", probabilities[0].round(3))
    others = np.float32(rng.uniform(-1, 1, (6, 28, 28, 1)))
    print("largest probability, its own pictures:", probabilities.max(axis=1).round(2))
    print("other noise:                          ", classify(classifier, others)[1].max(axis=1).round(2))


def lesson(report, *, images: int = 60000, test_images: int = 10000, classifier_epochs: int = 4, seed: int = 0):
    """Train the judge, look at what it returns, and show it digits that sink in noise.

    Args:
        report: The report to write to.
        images: Training images of the classifier (512 to 60000).
        test_images: Test digits at each level of noise (100 to 10000).
        classifier_epochs: Epochs of the classifier (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    classifier = trained_classifier(data.mnist, training.fit, images, classifier_epochs, seed)
    _, (x_test, y_test) = data.mnist()
    picked = np.random.default_rng((seed, 2)).permutation(len(x_test))[:test_images]  # the first half is the easier one
    x, y = np.float32(x_test[picked])[..., None] / 127.5 - 1, np.int32(y_test[picked])
    features, probabilities = classify(classifier, x)
    _belongs_together(report, classifier, x, features, probabilities)
    accuracy = np.mean(probabilities.argmax(axis=1) == y)
    report.at_least("the classifier's test accuracy", got=accuracy, bound=0.985, trained=True)
    rows = _noise(report, classifier, x, y, np.random.default_rng((seed, 3)))
    _figure(report, rows, features, y)


def _belongs_together(report, classifier, x, features, probabilities):
    logits = classifier(x[:100])
    kernel, bias = classifier.get_layer("logits").get_weights()
    report.check(
        "the features are what the last layer sees", features[:100] @ kernel + bias, logits, rtol=1e-3, atol=1e-3
    )
    want = tf.nn.softmax(logits)
    report.check("the probabilities are the logits' softmax", probabilities[:100], want, rtol=1e-3, atol=1e-5)
    report.check("images in other batches, the same answers", classify(classifier, x[:30], 20)[1], probabilities[:30],
                 rtol=1e-3, atol=1e-5)  # fmt: skip


def _noise(report, classifier, x, y, rng):
    """Digits that sink in noise, and noise alone; rows of level, accuracy and confidence."""
    noise = rng.normal(size=x.shape).astype(np.float32)
    rows = []
    for level in (0.0, 0.25, 0.5, 1.0, 2.0, 4.0):
        probabilities = classify(classifier, np.clip(x + level * noise, -1, 1))[1]
        rows.append([level, np.mean(probabilities.argmax(axis=1) == y), probabilities.max(axis=1).mean()])
    columns = ["deviation of the noise, pixels from −1 to 1", "accuracy", "mean confidence"]
    report.table(f"{len(x):,} test digits with noise", columns, rows)
    level, accuracy, confidence = rows[-1]
    report.at_most(f"accuracy under noise of deviation {level:g}", accuracy, 0.4, trained=True)
    label = "its mean confidence there over its accuracy: it does not say that it does not know"
    report.at_least(label, confidence / accuracy, 1.5, trained=True)
    return rows


def _figure(report, rows, features, y):
    levels, accuracy, confidence = np.array(rows).T
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.4))
    series = {"accuracy": accuracy, "mean confidence": confidence}
    plots.curves(levels, series, xlabel="deviation of the noise", ylabel="share", marker="o",
                 title="Under noise the answers are wrong,\nand given all the same", ax=left)  # fmt: skip
    left.set(ylim=(0, 1.02))
    centered = features[:1000] - features[:1000].mean(axis=0)
    flat = centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T
    for digit in range(10):
        right.plot(*flat[y[:1000] == digit].T, ".", color="0.8", markersize=3)
        if np.any(y[:1000] == digit):
            right.annotate(str(digit), flat[y[:1000] == digit].mean(axis=0), ha="center", va="center", fontsize=14)
    right.set(xlabel="first direction of the features", ylabel="second direction")
    right.set_title("The features keep the digits apart:\neach number stands at its digits' mean")
    report.figure(
        "What a judge of digits says of noise",
        figure,
        alt="Left: with growing noise the accuracy falls to chance, while the mean confidence stays well above it. "
        "Right: a thousand test digits in the two main directions of the features, in groups by digit.",
    )

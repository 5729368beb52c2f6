"""A softmax says yes to one label at most; with a sigmoid for each label a picture may have any number of them.

Two digits stand side by side, in many pictures only one: which are there? What the reader should see: the loss of ten
independent yes-or-no questions is Keras's; a softmax, asked for everything above one half, can never name two; and a
network of sigmoids, with a threshold for each label that was chosen on pictures of its own, names all of them in most
pictures.

Notes: chapter 13, "Multi-label classification" (多标签分类).
Source: Zhang and Zhou 2014, doi:10.1109/TKDE.2013.39 (measures for several labels).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.parts import floating, layer_seeds, shape, whole

SMOKE = {"samples": 100, "epochs": 1}
SECONDS = 7


def digit_pairs(images, labels, samples, seed=0):
    """Two digits of half the height side by side, each there with a chance of ¾, at least one of them.

    Args:
        images: Pictures (n, 28, 28), uint8, as `data.mnist` gives them.
        labels: Digits (n,).
        samples: Pictures to make.
        seed: Seed of the draws.

    Returns:
        `(x, y)`: float32 (samples, 14, 28, 1) from 0 to 1, and float32 (samples, 10), 1 for each digit that is there.

    Raises:
        ValueError: If a shape or number does not fit.
    """
    rng, n = np.random.default_rng(seed), len(shape("images", images, None, 28, 28))
    labels = shape("labels", np.asarray(labels), n)
    small = np.float32(images).reshape(n, 14, 2, 14, 2).mean(axis=(2, 4)) / 255  # half the height, half the width
    chosen, there = rng.integers(n, size=(2, whole("samples", samples))), rng.random((2, samples)) < 0.75
    there[0] |= ~there[1]  # an empty picture gets its left digit
    x = np.concatenate([small[each] * here[:, None, None] for each, here in zip(chosen, there, strict=True)], axis=2)
    y = np.zeros((samples, 10), np.float32)
    for each, here in zip(chosen, there, strict=True):
        y[np.flatnonzero(here), labels[each[here]]] = 1
    return x[..., None], y


def multi_label_loss(labels, logits):
    """Mean over samples and labels of the cross-entropy of yes or no, a number; finite for logits of any size.

    Args:
        labels: 0 or 1 (batch, labels).
        logits: (batch, labels).

    Raises:
        ValueError: If shapes differ, or a label is neither 0 nor 1.
    """
    logits = floating("logits", logits)
    labels = tf.cast(shape("labels", tf.convert_to_tensor(labels), *logits.shape), logits.dtype)
    if tf.executing_eagerly() and not np.isin(labels.numpy(), (0, 1)).all():
        raise ValueError(f"labels: expected 0 or 1, got {np.unique(labels).tolist()}")
    # -log σ(z) = softplus(-z) for a yes, -log(1 - σ(z)) = softplus(z) for a no.
    return tf.reduce_mean(labels * tf.nn.softplus(-logits) + (1 - labels) * tf.nn.softplus(logits))


def subset_accuracy(labels, predicted):
    """Share of samples whose labels are all right; both (samples, labels), of 0 and 1."""
    labels = np.asarray(labels)
    return float(np.all(labels == shape("predicted", np.asarray(predicted), *labels.shape), axis=1).mean())


def f1_score(labels, predicted, average="macro"):
    """2 · right / (2 · right + wrong yes + missed), for each label and then averaged, or over all of them.

    Args:
        labels, predicted: (samples, labels), of 0 and 1.
        average: "macro": the mean over labels, where a label that never occurs and is never said counts 0. "micro":
            one score over all labels.

    Raises:
        ValueError: If shapes differ, or the average is neither.
    """
    labels, predicted = np.asarray(labels, bool), np.asarray(predicted, bool)
    shape("predicted", predicted, *labels.shape)
    if average not in ("macro", "micro"):
        raise ValueError(f"average: expected macro or micro, got {average!r}")
    axis = 0 if average == "macro" else None
    right, said = (labels & predicted).sum(axis=axis), labels.sum(axis=axis) + predicted.sum(axis=axis)
    return float(np.mean(2 * right / np.maximum(said, 1)))


def best_thresholds(labels, scores):
    """For each label the threshold, of those between its scores, with the highest F1 on these samples; (labels,).

    Args:
        labels: 0 or 1 (samples, labels).
        scores: Larger for a likelier yes (samples, labels).
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    order = np.argsort(-shape("scores", scores, *labels.shape), axis=0)
    ranked, right = np.take_along_axis(scores, order, 0), np.cumsum(np.take_along_axis(labels, order, 0), axis=0)
    said = np.arange(1, len(labels) + 1)[:, None] + labels.sum(axis=0)
    best = np.argmax(2 * right / said, axis=0)  # how many to say yes to, less one
    below = np.concatenate([ranked[1:], ranked[-1:] - 1])  # the next score, so that the threshold lies between
    columns = np.arange(labels.shape[1])
    return (ranked[best, columns] + below[best, columns]) / 2


def build_network(seed=0):
    """Two convolutions and two dense layers: logits of ten labels for pictures (14, 28, 1)."""
    seeds, start, dense = layer_seeds(seed), keras.initializers.HeNormal, keras.layers.Dense
    layers = [keras.Input((14, 28, 1))]
    for filters in (16, 32):
        convolution = keras.layers.Conv2D(
            filters, 3, padding="same", activation="relu", kernel_initializer=start(next(seeds))
        )
        layers += [convolution, keras.layers.MaxPooling2D()]
    hidden = dense(64, "relu", kernel_initializer=start(next(seeds)))
    last = dense(10, kernel_initializer=keras.initializers.GlorotUniform(next(seeds)))
    return keras.Sequential([*layers, keras.layers.Flatten(), hidden, last])


def example():
    """Two samples, three labels: the loss by Keras and by hand, and two measures."""
    labels, logits = np.array([[1.0, 0, 1], [0, 0, 1]]), np.array([[2.0, -1, 0.5], [-100, 1, 100]])
    theirs = keras.losses.BinaryCrossentropy(from_logits=True)
    print("Keras:", float(theirs(labels, logits)), "ours:", float(multi_label_loss(labels, logits)))
    said = logits > 0
    print("all labels right:", subset_accuracy(labels, said))
    print("F1, macro:", round(f1_score(labels, said), 3), "micro:", round(f1_score(labels, said, "micro"), 3))
    print("softmax above one half:", (keras.ops.softmax(logits) > 0.5).numpy().sum(axis=1), "labels at most")


def lesson(report, *, samples: int = 20_000, epochs: int = 3, seed: int = 0):
    """Ten yes-or-no questions against one choice of ten.

    Args:
        report: The report to write to.
        samples: Pictures to learn from (100 to 60000).
        epochs: Epochs of each network (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _loss(report, seed)
    (images, digits), (test_images, test_digits) = data.mnist()
    # The last 5,000 digits of the training part are for choosing thresholds.
    x, y = digit_pairs(images[:-5000], digits[:-5000], samples, (seed, 1))
    tuning = digit_pairs(images[-5000:], digits[-5000:], 4000, (seed, 2))
    test = digit_pairs(test_images, test_digits, 4000, (seed, 3))
    scores, rows = {}, []
    for name in report.track(("sigmoid", "softmax"), "training"):
        model = build_network(seed)
        loss = multi_label_loss if name == "sigmoid" else keras.losses.CategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(3e-3), loss)
        target = y if name == "sigmoid" else y / y.sum(axis=1, keepdims=True)  # a softmax learns halves
        training.fit(model, x, target, batch_size=100, epochs=epochs, seed=seed)
        squash = tf.sigmoid if name == "sigmoid" else tf.nn.softmax
        scores[name] = [squash(training.predict(model, each)).numpy() for each in (tuning[0], test[0])]
    said = {"sigmoids above ½": scores["sigmoid"][1] > 0.5,
            "sigmoids above chosen thresholds": scores["sigmoid"][1] > best_thresholds(tuning[1], scores["sigmoid"][0]),
            "softmax above ½": scores["softmax"][1] > 0.5, "softmax above ¼": scores["softmax"][1] > 0.25}  # fmt: skip
    for name, each in said.items():
        rows.append([name, subset_accuracy(test[1], each), f1_score(test[1], each), f1_score(test[1], each, "micro"),
                     int(each.sum(axis=1).max())])  # fmt: skip
    report.table(
        "4000 test pictures", ["yes to", "all labels right", "F1, macro", "F1, micro", "most labels said"], rows
    )
    report.check("softmax above ½: most labels that it says", rows[2][4] <= 1, True)
    right = [row[1] for row in rows]
    report.at_least("sigmoids: all labels right", right[0], 0.75, trained=True)
    report.at_least("sigmoids above a softmax with ¼: all labels right, by", right[0] - right[3], 0.0, trained=True)
    report.at_least("and above a softmax with ½, by", right[0] - right[2], 0.3, trained=True)
    report.correction("several labels", course="A softmax classifies an article that belongs to several classes.",
                      correct="Probabilities that sum to 1 can exceed one half once at most: several labels need a "
                      "sigmoid each.", shown_by="labels that a softmax says; pictures all right")  # fmt: skip
    names = [row[0].replace(" above ", "\nabove\n") for row in rows]
    figure = plots.bars(names, right, ylabel="all labels right, share of pictures", title="One of ten, or any of ten")
    report.figure("One of ten, or any of ten", figure,
                  alt="Share of test pictures with all labels right: sigmoids above one half and above chosen "
                  "thresholds are far above a softmax with one half, and above one with a quarter.")  # fmt: skip


def _loss(report, seed):
    rng = np.random.default_rng((seed, 4))
    labels, logits = (rng.random((6, 10)) < 0.3).astype(np.float32), 5 * rng.normal(size=(6, 10)).astype(np.float32)
    logits[0, :2] = 100, -100
    theirs = keras.losses.BinaryCrossentropy(from_logits=True)
    report.check("the loss is BinaryCrossentropy(from_logits=True), at ±100 too", multi_label_loss(labels, logits),
                 theirs(labels, logits))  # fmt: skip

"""Keras clips a probability at 1e-7, and behind the clip a wrong answer learns nothing: give a loss logits.

A model that says 0 where the truth is 1 would cost infinitely much. Keras's losses keep probabilities away from 0 and
1, so the cost ends at 16.118 nats and its slope at 0. From logits nothing is clipped: the loss goes on growing and the
slope stays 1. Probabilities given as logits, or logits as probabilities, raise no error and are simply wrong.

Notes: chapter 02, "Loss functions in Keras" (Keras 中的损失函数).
Source: https://keras.io/api/losses/probabilistic_losses; https://www.tensorflow.org/api_docs/python/tf/keras/losses.
"""

import math
import operator

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter02.losses import cross_entropy, cross_entropy_from_logits, entropy, mean_squared_error
from kerasnotes.parts import floating, shape

SMOKE = {"samples": 10}
SECONDS = 1

SPELLINGS = (
    "keras.losses.mean_squared_error",
    "tf.keras.losses.mean_squared_error",
    "tf.losses.mean_squared_error",
    "tf.keras.losses.MSE",
    "tf.losses.MSE",
    "keras.losses.MSE",
    "tf.keras.losses.MeanSquaredError",
    "tf.losses.categorical_crossentropy",
    "tf.keras.losses.categorical_crossentropy",
)


def clipped_cross_entropy(p, q, epsilon=1e-7):
    """−Σ p ln q as Keras computes it: q is divided by its sum, then kept between epsilon and 1 − epsilon.

    Args:
        p: Targets (..., outcomes).
        q: The model's probabilities, of the same shape.
        epsilon: As in `keras.config.epsilon()`.

    Returns: A tensor (...). It never exceeds −ln epsilon for one-hot targets; its slope is 0 where q was clipped.
    Raises: ValueError: If the shapes differ.
    """
    q = floating("q", q)
    p = shape("p", tf.cast(p, q.dtype), *q.shape)
    q = q / tf.reduce_sum(q, axis=-1, keepdims=True)
    return -tf.reduce_sum(p * tf.math.log(tf.clip_by_value(q, epsilon, 1 - epsilon)), axis=-1)


def clipped_binary_cross_entropy(y, p, epsilon=1e-7):
    """The mean over the last axis of −y ln p − (1 − y) ln(1 − p), with p kept between epsilon and 1 − epsilon.

    Args, Returns, Raises: As for `clipped_cross_entropy`; `y` are targets, `p` probabilities of a 1, (..., outputs).
    """
    p = floating("p", p)
    y = shape("y", tf.cast(y, p.dtype), *p.shape)
    p = tf.clip_by_value(p, epsilon, 1 - epsilon)
    return -tf.reduce_mean(y * tf.math.log(p) + (1 - y) * tf.math.log(1 - p), axis=-1)


def example():
    """One wrong answer that is very sure, given to Keras's losses as probabilities and as logits."""
    y, logits = tf.constant([[1.0, 0.0]]), tf.constant([[-30.0, 0.0]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        q = tf.nn.softmax(logits)
        losses = {
            "tf.losses.categorical_crossentropy of probabilities": tf.losses.categorical_crossentropy(y, q),
            "ours, clipped": clipped_cross_entropy(y, q),
            "keras, from_logits=True": keras.losses.CategoricalCrossentropy(from_logits=True)(y, logits),
            "ours, from logits": cross_entropy_from_logits(y, logits),
            "from_logits=True, given probabilities": keras.losses.CategoricalCrossentropy(from_logits=True)(y, q),
        }
    for name, loss in losses.items():
        print(f"{name:<52}", loss.numpy(), "slope", tape.gradient(loss, logits).numpy()[0])
    ours, theirs = clipped_binary_cross_entropy([[1.0]], [[0.0]]), keras.losses.binary_crossentropy([[1.0]], [[0.0]])
    print("binary, sure and wrong:", ours.numpy(), theirs.numpy())


def lesson(report, *, samples: int = 100, seed: int = 0):
    """Clipping by hand beside Keras's, what it does to the slope, and the two ways to give a loss the wrong thing.

    Args:
        report: The report to write to.
        samples: Random answers (1 to 100000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _against_keras(report, np.random.default_rng(seed), samples)
    _zero(report)
    _slopes(report)
    _logits(report)
    _called(report, np.random.default_rng(seed), samples)
    _names(report)


def _with_slope(loss, y, output):
    output = tf.constant(output)
    with tf.GradientTape() as tape:
        tape.watch(output)
        value = loss(tf.constant(y), output)
    return value, tape.gradient(value, output)


def _against_keras(report, rng, samples):
    p, q = rng.dirichlet(np.ones(4), size=(2, samples))
    q[0], y = [1, 0, 0, 0], (rng.random((samples, 4)) < 0.5).astype(np.float64)
    for name, ours, theirs, target in (
        ("categorical", clipped_cross_entropy, keras.losses.categorical_crossentropy, p),
        ("binary", clipped_binary_cross_entropy, keras.losses.binary_crossentropy, y),
    ):
        (value, slope), (keras_value, keras_slope) = (_with_slope(loss, target, q) for loss in (ours, theirs))
        report.check(f"{name} cross-entropy with clipping equals Keras's", value, keras_value)
        report.check(f"and its slope: {name}", slope, keras_slope)


def _zero(report):
    y, wrong, logits = tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 1.0]]), tf.constant([[-50.0, 50.0]])
    softmax = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    categorical, binary = keras.losses.categorical_crossentropy, keras.losses.binary_crossentropy
    below_one = 1 - np.float64(np.float32(1 - 1e-7))  # 1.19e-7: single precision has nothing nearer below 1
    rows = [
        ["categorical, probability 0", categorical(y, wrong)[0], -math.log(1e-7)],
        ["binary, target 1, probability 0", binary([[1.0]], [[0.0]])[0], -math.log(1e-7)],
        ["binary, target 0, probability 1", binary([[0.0]], [[1.0]])[0], -math.log(below_one)],
        ["categorical, tf.nn.softmax of logits ±50", categorical(y, tf.nn.softmax(logits))[0], -math.log(1e-7)],
        ["categorical, a model's softmax of logits ±50", categorical(y, softmax(logits))[0], 100.0],
    ]
    report.table("Keras's cross-entropy of an answer that is sure and wrong, nats", ["loss", "Keras", "expected"], rows)
    report.check(
        "it is clipped at 1e-7, or goes back to the logits", [row[1] for row in rows], [row[2] for row in rows]
    )
    report.check("without clipping it is infinite", bool(np.isinf(cross_entropy(y, wrong)[0])), True)
    grid = np.linspace(0.01, 0.99, 99)
    soft = np.broadcast_to([0.9, 0.1], (99, 2))
    smallest = np.min(cross_entropy(soft, np.stack([grid, 1 - grid], axis=1)))
    report.check("labels (0.9, 0.1): the smallest cross-entropy is their entropy", smallest, entropy(soft[0]))
    report.correction(
        "ends of the cross-entropy",
        course="infinite when the model says 0; its minimum is 0",
        correct="in Keras 16.118 for bare probabilities (15.942 for a binary target 0), exact for a model that ends in "
        "softmax; the minimum is the entropy of the labels, 0 for one-hot labels only",
        shown_by="Keras's values at probability 0 and at logits ±50; a grid of answers to labels (0.9, 0.1)",
    )


def _slopes(report):
    z = np.linspace(-40, 10, 201, dtype=np.float32)
    logits, y = np.stack([z, np.zeros_like(z)], axis=1), np.tile(np.float32([1, 0]), (len(z), 1))
    given = {
        "probabilities": lambda y, z: keras.losses.categorical_crossentropy(y, tf.nn.softmax(z)),
        "logits": lambda y, z: keras.losses.categorical_crossentropy(y, z, from_logits=True),
    }
    pairs = {name: _with_slope(loss, y, logits) for name, loss in given.items()}
    sure = z < -20  # a probability below 2e-9
    ends = [np.abs(slope.numpy()[sure, 0]).max() for _, slope in pairs.values()]
    report.check("right class at logit −20 or lower: slope from probabilities 0, from logits 1", ends, [0.0, 1.0])
    largest = [value.numpy().max() for value, _ in pairs.values()]
    report.check("largest loss down to logit −40: −ln 1e-7, and 40", largest, [-math.log(1e-7), 40.0])
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.2))
    values, slopes = ({name: pair[side].numpy() for name, pair in pairs.items()} for side in (0, 1))
    plots.curves(z, values, xlabel="logit of the right class", ylabel="loss (nats)", title="Loss by what it is given",
                 ax=left)  # fmt: skip
    plots.curves(z, {name: -slope[:, 0] for name, slope in slopes.items()}, xlabel="logit of the right class",
                 ylabel="size of the slope", title="Behind the clip nothing is learnt", ax=right)  # fmt: skip
    report.figure(
        "Behind the clip nothing is learnt",
        figure,
        alt="Left: from probabilities the loss stops growing at 16 nats, from logits it goes on in a straight line. "
        "Right: the slope drops to 0 at the same place, and stays 1 from logits.",
    )


def _logits(report):
    logits, label = np.array([[2.0, 1.0, -0.5]]), np.array([[1.0, 0.0, 0.0]])
    rows = [
        [name, *(keras.losses.categorical_crossentropy(label, given, from_logits=flag)[0] for flag in (False, True))]
        for name, given in (("probabilities", tf.nn.softmax(logits)), ("logits", tf.constant(logits)))
    ]
    report.table("One answer, logits (2, 1, −½), target 0", ["given", "from_logits=False", "from_logits=True"], rows)
    right = math.log(np.exp(logits).sum()) - 2
    report.check("probabilities with False, logits with True: right", [rows[0][1], rows[1][2]], [right, right])
    report.at_least("the other two: off by", np.abs(np.array([rows[0][2], rows[1][1]]) - right), 0.1)


def _called(report, rng, samples):
    p, q = rng.dirichlet(np.ones(4), size=(2, samples))
    for name, ours, function, kind in (
        ("tf.losses.MSE", mean_squared_error, tf.losses.MSE, keras.losses.MeanSquaredError),
        ("tf.losses.categorical_crossentropy", clipped_cross_entropy, tf.losses.categorical_crossentropy,
         keras.losses.CategoricalCrossentropy),
    ):  # fmt: skip
        both = [function(p, q), kind(reduction=None)(p, q)]  # a class computes in float32
        report.check(f"{name} and {kind.__name__} equal ours", both, [ours(p, q)] * 2, rtol=1e-5, atol=1e-6)


def _names(report):
    found = {name: _exists(name) for name in SPELLINGS}
    report.table(f"Names in TensorFlow {tf.__version__}, Keras {keras.__version__}", ["name", "there"], found.items())
    stable = [found["keras.losses.mean_squared_error"], found["tf.losses.MSE"]]
    report.check("keras.losses.mean_squared_error and tf.losses.MSE are there", stable, [True, True])
    if not found["tf.keras.losses.mean_squared_error"]:
        report.correction(
            "name of the squared error",
            course="tf.keras.losses.mean_squared_error",
            correct="keras.losses.mean_squared_error, tf.keras.losses.MSE or tf.losses.MSE",
            shown_by="looking up each spelling",
        )


def _exists(name):
    package, _, path = name.partition(".")
    try:
        operator.attrgetter(path)({"tf": tf, "keras": keras}[package])
    except AttributeError:
        return False
    return True

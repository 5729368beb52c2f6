"""Smoothed labels ask for a finite lead of the right answer; one-hot labels ask for an infinite one.

What the reader should see: taking a share of the probability from the label and spreading it over all classes is
Keras's `label_smoothing`; the loss then has a lowest point, at a lead of the right logit that a formula gives, and its
slope there is zero. With one-hot labels the loss falls for ever, and so the weights grow for as long as one trains.

Notes: chapter 05, "Data augmentation, noise and label smoothing" (数据增强).
Source: Szegedy et al. 2016, arXiv:1512.00567, section 7; https://keras.io/api/losses/probabilistic_losses.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import share, whole

SMOKE = {}
SECONDS = 1


def smooth_labels(y, amount):
    """Take `amount` of the probability from each label and spread it over all classes alike.

    Args:
        y: Probabilities (n, classes), such as one-hot labels.
        amount: Share that is spread, 0 to 1.

    Returns: An array (n, classes): y·(1 − amount) + amount / classes.
    Raises: ValueError: If rows do not sum to 1 or `amount` is out of range.
    Source: Szegedy et al. 2016, section 7; `keras.losses.CategoricalCrossentropy(label_smoothing=amount)`.
    """
    y = np.asarray(y)
    y = y if y.dtype.kind == "f" else y.astype(np.float32)
    if not y.size or y.ndim != 2 or not ((y >= 0).all() and np.allclose(y.sum(axis=-1), 1)):
        raise ValueError(f"y: expected probabilities (n, classes), rows summing to 1, got shape {y.shape}")
    return y * (1 - share("amount", amount)) + amount / y.shape[1]


def best_lead(classes, amount):
    """The lead of the right logit over the others, all alike, that smoothed labels ask for.

    Args:
        classes: Number of classes, at least 2.
        amount: Share that is spread, 0 to 1; with 0 the lead is infinite.

    Returns: log((1 − amount + amount / classes) / (amount / classes)), a float.
    Raises: ValueError: If an argument is out of range.
    """
    wrong = share("amount", amount) / whole("classes", classes, least=2)
    return math.log((1 - amount + wrong) / wrong) if wrong else math.inf


def example():
    """The loss of two examples with smoothed labels, by Keras and by hand; and the lead where it is lowest."""
    y, logits = np.eye(3)[[0, 2]], np.array([[2.0, 0.0, 1.0], [0.0, 1.0, 3.0]])
    print("labels of 0.1:", smooth_labels(y, 0.1).round(4).tolist())
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    ours = keras.losses.CategoricalCrossentropy(from_logits=True)
    print("loss: Keras", float(theirs(y, logits)), "ours", float(ours(smooth_labels(y, 0.1), logits)))
    lead = best_lead(3, 0.1)
    for factor in (0.5, 1.0, 2.0):
        print(f"a lead of {factor * lead:5.2f}: loss {float(theirs(y, factor * lead * y)):.4f}")


def lesson(report, *, classes: int = 10, smoothing: float = 0.1, seed: int = 0):
    """Compare with Keras's label smoothing, and find the lowest point of the loss.

    Args:
        report: The report to write to.
        classes: Number of classes (2 to 1000).
        smoothing: Share of each label that is spread over all classes (0.001 to 0.9).
        seed: Seed of the labels and logits (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    y, logits = np.eye(classes)[rng.integers(classes, size=40)], rng.normal(size=(40, classes))
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    plain, smooth = keras.losses.CategoricalCrossentropy(from_logits=True), smooth_labels(y, smoothing)
    report.check("cross-entropy with smooth_labels equals CategoricalCrossentropy(label_smoothing)",
                 float(plain(smooth, logits)), float(theirs(y, logits)))  # fmt: skip
    lead = best_lead(classes, smoothing)
    best = tf.constant(y * lead)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(best)
        losses = theirs(y, best), plain(y, best)
    report.check(f"smoothed labels ask for a lead of {lead:.2f} in the logits, no more: the slope there",
                 tape.gradient(losses[0], best), np.zeros(y.shape), atol=1e-7)  # fmt: skip
    slope = np.sum(np.asarray(tape.gradient(losses[1], best)) * y)
    report.at_most("one-hot labels still ask for more there: slope of their loss by the lead", slope, -1e-4)
    leads = np.linspace(0, 2.5 * lead, 60)
    series = {
        f"smoothing {amount:.2g}": [_loss(classes, amount, lead) for lead in leads]
        for amount in (0.0, smoothing / 3, smoothing)
    }
    figure = plots.curves(leads, series, xlabel="lead of the right logit", ylabel="cross-entropy, nats",
                          title="Only smoothed labels are ever content")  # fmt: skip
    figure.axes[0].plot(lead, _loss(classes, smoothing, lead), "o", color="C2")
    report.figure(
        "The loss over the lead of the right answer",
        figure,
        alt="Three curves: without smoothing the loss falls towards zero for ever; with smoothing it has a lowest "
        "point, marked, and rises again behind it.",
    )


def _loss(classes, amount, lead):
    """Cross-entropy of smoothed labels where the right logit leads all others by `lead`."""
    return math.log(math.exp(lead) + classes - 1) - (1 - amount + amount / classes) * lead

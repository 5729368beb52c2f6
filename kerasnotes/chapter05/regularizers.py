"""L1 makes weights exactly zero, L2 only makes them small; each is a prior belief about the weights.

A penalty on the weights is added to the loss. What the reader should see: Keras's L2 is the plain sum of squares, and
Keras divides a penalty on activities by the batch size. A penalty is the negative logarithm of a prior, Gaussian for L2
and Laplace for L1. Of one weight, L1 takes off a fixed amount and stops at zero, L2 takes off a share.

Notes: chapter 05, "Regularization" (正则化).
Source: Tibshirani 1996, doi:10.1111/j.2517-6161.1996.tb02080.x; Beck and Teboulle 2009, doi:10.1137/080716542;
https://keras.io/api/layers/regularizers/
"""

import math
import warnings

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import floating, positive, whole

SMOKE = {}
SECONDS = 1


def l0(w):
    """Count the weights that are not zero. No gradient can lower this count, so it is not trained with.

    Args:
        w: Tensor of any shape.

    Returns:
        The count, an int64 scalar.

    Raises:
        ValueError: If w is empty.
    """
    return tf.math.count_nonzero(floating("w", w))


def l1(w, weight):
    """`weight` times the sum of absolute values.

    Args:
        w: Tensor of any shape; whole numbers and Booleans count as float32.
        weight: Strength, at least 0.

    Returns:
        A scalar.

    Raises:
        ValueError: If w is empty, or the strength negative or not finite.

    Source: https://keras.io/api/layers/regularizers/
    """
    return l1_l2(w, weight, 0.0)


def l2(w, weight):
    """`weight` times the sum of squares: the squared norm, without the factor ½ that some texts add.

    Args, Returns, Raises, Source: As for `l1`.
    """
    return l1_l2(w, 0.0, weight)


def l1_l2(w, l1, l2):
    """The sum of both penalties (the elastic net).

    Args:
        w: Tensor of any shape.
        l1, l2: Strengths, at least 0.

    Returns, Raises, Source: As for `l1`.
    """
    for name, strength in (("l1", l1), ("l2", l2)):
        _strengths(name, strength)
    w = floating("w", w)
    return l1 * tf.reduce_sum(tf.abs(w)) + l2 * tf.reduce_sum(tf.square(w))


def soft_threshold(w, amount):
    """Move every weight towards zero by `amount`, and to zero those that are closer: the proximal step of L1.

    It solves, for each number a of w, the problem: minimize ½ (z - a)² + amount · |z| over z.

    Args:
        w: Array or tensor of any shape.
        amount: How far, at least 0; a number, or an array of w's shape.

    Returns:
        Tensor of w's shape.

    Raises:
        ValueError: If w is empty, or an amount negative or not finite.

    Source: Beck and Teboulle 2009.
    """
    w, amount = floating("w", w), _strengths("amount", amount)
    if amount.ndim and not w.shape.is_compatible_with(amount.shape):
        raise ValueError(f"amount: expected one number or a shape that fits {tuple(w.shape)}, got {amount.shape}")
    return tf.sign(w) * tf.nn.relu(tf.abs(w) - tf.cast(amount, w.dtype))


def proximal_gradient(gradient, start, learning_rate, strengths, steps):
    """Minimize a smooth loss plus Σ strength · |weight|: a step down the loss, then soft thresholding (ISTA).

    Args:
        gradient: Takes an array (dims,), returns the gradient of the smooth loss there, (dims,).
        start: Where to begin, (dims,).
        learning_rate: Step size, positive; at most 1 / (the loss's largest curvature).
        strengths: Strength of L1 for each weight, (dims,) or one number; 0 for a bias.
        steps: Number of steps, at least 1.

    Returns:
        float64 array (dims,).

    Raises:
        ValueError: If an argument is out of range.

    Source: Beck and Teboulle 2009.
    """
    w, strengths = np.array(start, np.float64), _strengths("strengths", strengths)
    rate = positive("learning_rate", learning_rate)
    if w.ndim != 1 or not w.size or strengths.shape not in ((), w.shape):
        raise ValueError(f"start, strengths: expected shapes (dims,) or one strength, got {w.shape}, {strengths.shape}")
    for _ in range(whole("steps", steps)):
        w = w - rate * gradient(w)
        w = np.sign(w) * np.maximum(np.abs(w) - rate * strengths, 0)  # soft_threshold, without tensors
    return w


def _strengths(name, values):
    values = np.asarray(values, np.float64)
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(f"{name}: expected numbers of at least 0, got {values}")
    return values


def example():
    """The layer of Keras's documentation, and its losses by hand; then the three penalties on three weights."""
    layer = keras.layers.Dense(
        5,
        kernel_initializer="ones",
        kernel_regularizer=tf.keras.regularizers.L1(0.01),
        activity_regularizer=tf.keras.regularizers.L2(0.01),
    )
    outputs = layer(tf.ones((5, 5)) * 2.0)
    print("layer.losses", [float(loss) for loss in layer.losses], "sum", float(tf.reduce_sum(layer.losses)))
    print(
        "ours", float(l1(layer.kernel, 0.01)), "and", float(l2(outputs, 0.01)) / len(outputs), "(divided by the batch)"
    )

    w = tf.constant([3.0, 0.0, -4.0])
    print("L1  ", float(tf.keras.regularizers.L1(0.1)(w)), float(l1(w, 0.1)))
    print("L2  ", float(tf.keras.regularizers.L2(0.1)(w)), float(l2(w, 0.1)))
    print("L1L2", float(tf.keras.regularizers.L1L2(l1=0.1, l2=0.1)(w)), float(l1_l2(w, 0.1, 0.1)))
    print("weights that are not zero:", int(l0(w)), "and after soft thresholding:", soft_threshold(w, 3.5).numpy())


def lesson(report, *, seed: int = 0):
    """The penalties beside Keras's, in a layer, as priors, and on one weight.

    Args:
        report: The report to write to.
        seed: Seed of the random weights (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _values(report, rng)
    _documented_layer(report)
    _priors(report, rng)
    _one_weight(report)


def _values(report, rng):
    w = tf.constant([3.0, 0.0, -4.0])
    report.check("w = (3, 0, -4): weights that are not zero, sum of sizes, sum of squares",
                 [int(l0(w)), float(l1(w, 1.0)), float(l2(w, 1.0))], [2, 7.0, 25.0])  # fmt: skip
    report.correction(
        "the L2 penalty",
        course="‖θ‖₂ is the sum of squares; one source adds a factor ½.",
        correct="‖θ‖₂ is the root of the sum of squares; the penalty is its square. Keras adds no ½, so its "
        "gradient is 2λw.",
        shown_by=f"w = (3, 0, -4), λ = 1: keras.regularizers.L2 gives {float(keras.regularizers.L2(1.0)(w)):g}, where "
        "the norm is 5 and half its square 12.5",
    )
    report.check("Keras: 25, neither the norm 5 nor half its square 12.5", keras.regularizers.L2(1.0)(w), 25.0)
    w = tf.constant(rng.normal(size=(4, 3)), tf.float32)
    for name, ours, theirs in (
        ("L1", lambda: l1(w, 0.3), keras.regularizers.L1(0.3)),
        ("L2", lambda: l2(w, 0.2), keras.regularizers.L2(0.2)),
        ("L1L2", lambda: l1_l2(w, 0.3, 0.2), keras.regularizers.L1L2(0.3, 0.2)),
    ):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(w)
            values = [ours(), theirs(w)]
        report.check(f"equal to keras.regularizers.{name}", *values)
        report.check(f"the gradient of {name}, too", *(tape.gradient(value, w) for value in values))


def _documented_layer(report):
    """The example in Keras's documentation, and what Keras makes of its `input_dim`."""
    settings = {
        "kernel_initializer": "ones",
        "kernel_regularizer": keras.regularizers.L1(0.01),
        "activity_regularizer": keras.regularizers.L2(0.01),
    }
    rows = []
    for batch in (5, 10, 20):
        layer = keras.layers.Dense(5, **settings)
        outputs = layer(2 * tf.ones((batch, 5)))  # (batch, 5), all 10
        ours = l1(layer.kernel, 0.01), l2(outputs, 0.01), l2(outputs, 0.01) / batch
        losses = float(sum(layer.losses))
        rows.append([batch, *map(float, ours), losses])
        if batch == 5:
            report.check("documented layer: kernel part and activity part", sorted(map(float, layer.losses)), [0.25, 5])
            report.check("their sum, as documented", losses, 5.25)
            report.at_least("undivided, the activity part would be", ours[1], 25.0)
    report.check("the sum is the same for every batch size", [row[4] for row in rows], [5.25] * 3)
    report.table("kernel of ones, inputs 2, L1 0.01 on the kernel and L2 0.01 on the activities",
                 ["batch", "kernel part", "activity part", "divided by batch", "sum in Keras"], rows)  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            keras.Sequential([keras.layers.Dense(5, input_dim=5, **settings)])
            said = next((str(each.message) for each in caught if "input_dim" in str(each.message)), "no warning")
        except (TypeError, ValueError) as error:
            said = str(error)
    report.check("Dense(…, input_dim=5) is answered with a warning that names it", "input_dim" in said, True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(5, **settings)])
        silent = not any("input_dim" in str(each.message) for each in caught)
    report.check("keras.Input((5,)) builds the same layer without one", [silent, *model.weights[0].shape], [True, 5, 5])
    report.correction(
        "the size of the inputs",
        course="Dense(5, input_dim=5, …)",
        correct="keras.Input((5,)) as the first layer; input_dim still works, with a warning.",
        shown_by=f"what Keras says: {said.split('.')[0]}.",
    )


def _priors(report, rng, weight=0.7):
    """Differences of the negative logarithm of the prior, and of the penalty; a constant falls out."""
    w = rng.normal(size=(20, 6))
    deviation, scale = math.sqrt(1 / (2 * weight)), 1 / weight
    gaussian = np.exp(-(w**2) / (2 * deviation**2)) / (deviation * math.sqrt(2 * math.pi))
    laplace = np.exp(-np.abs(w) / scale) / (2 * scale)
    for name, density, penalty in (
        ("L2: Gaussian, variance 1/(2λ)", gaussian, l2),
        ("L1: Laplace, scale 1/λ", laplace, l1),
    ):
        of_prior = -np.log(density).sum(axis=1)
        of_penalty = np.array([float(penalty(row, weight)) for row in w])
        report.check(f"{name}: -log prior is the penalty plus a constant", np.diff(of_prior), np.diff(of_penalty))


def _one_weight(report, weight=0.5):
    """One weight whose loss ½ (z - a)² has its minimum at a: where does each penalty move it?"""
    a, z = np.linspace(-2, 2, 17), np.linspace(-2.5, 2.5, 5001)
    losses = 0.5 * (z - a[:, None]) ** 2  # (17, 5001)
    best = [z[np.argmin(losses + penalty, axis=1)] for penalty in (weight * np.abs(z), weight * z**2)]
    report.check("L1 moves a weight as soft_threshold does", best[0], soft_threshold(a, weight), rtol=0, atol=6e-4)
    report.check("L2 divides it by 1 + 2λ", best[1], a / (1 + 2 * weight), rtol=0, atol=6e-4)
    zeros = [int(np.sum(np.abs(each) < 1e-9)) for each in best]
    report.check("exact zeros of 17: L1 makes five, L2 keeps the one that was zero", zeros, [5, 1])
    report.figure(
        "Where a penalty moves a weight",
        _figure(weight, a, *best),
        alt="The best weight with a penalty over the best one without: L1 follows the diagonal at a distance, with a "
        "flat piece at zero between; L2 is a straight line of half the slope that is zero at zero only.",
    )


def _figure(weight, a, by_l1, by_l2):
    figure, ax = plots.subplots(figsize=(6.5, 4.6))
    ax.plot(a, a, ":", color="gray", label="no penalty")
    ax.plot(a, by_l1, "o-", label=f"L1, λ = {weight:g}")
    ax.plot(a, by_l2, "s--", label=f"L2, λ = {weight:g}")
    ax.set(xlabel="weight with the lowest loss", ylabel="weight with the lowest loss plus penalty")
    ax.set_title("L1 has a range of zeros, L2 has none")
    ax.legend()
    return figure

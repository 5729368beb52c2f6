"""L1 makes weights exactly zero, L2 only makes them small; each is a prior belief about the weights.

A penalty on the weights is added to the loss. What the reader should see: Keras's L2 is the plain sum of squares, and
Keras divides a penalty on activities by the batch size. A penalty is the negative logarithm of a prior, Gaussian for L2
and Laplace for L1. On thirty features of tumours L1 leaves most weights at exactly zero, L2 none; and L1 by ordinary
gradient steps leaves none either: zeros need the step called soft thresholding.

Notes: chapter 05, "Regularization" (正则化).
Source: Tibshirani 1996, Regression shrinkage and selection via the lasso; Beck and Teboulle 2009, A fast iterative
shrinkage-thresholding algorithm; https://keras.io/api/layers/regularizers/
"""

import math
import warnings

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter02.activations import sigmoid
from kerasnotes.chapter02.regression import fit_logistic

SMOKE = {"steps": 200, "strengths": 3}
FULL = {"strengths": 60, "steps": 100000}
SECONDS = 4


def l0(w):
    """Count the weights that are not zero. No gradient can lower this count, so it is not trained with.

    Args:
        w: Tensor of any shape.

    Returns:
        The count, an int64 scalar.

    Raises:
        ValueError: If w is empty.
    """
    return tf.math.count_nonzero(_weights(w))


def l1(w, weight):
    """`weight` times the sum of absolute values.

    Args:
        w: Tensor of any shape.
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
    for name, value in (("l1", l1), ("l2", l2)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name}: expected a strength of at least 0, got {value!r}")
    w = _weights(w)
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

    Source: Beck and Teboulle 2009, section 1.
    """
    amounts = np.asarray(amount, np.float64)
    if not (np.isfinite(amounts).all() and (amounts >= 0).all()):
        raise ValueError(f"amount: expected numbers of at least 0, got {amount!r}")
    w = _weights(w)
    if amounts.ndim and amounts.shape != tuple(w.shape):
        raise ValueError(f"amount: expected one number or a shape that fits {tuple(w.shape)}, got {amounts.shape}")
    return tf.sign(w) * tf.nn.relu(tf.abs(w) - tf.cast(amounts, w.dtype))


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

    Source: Beck and Teboulle 2009, equation 1.4.
    """
    w, strengths = np.array(start, np.float64), np.asarray(strengths, np.float64)
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate: expected a positive number, got {learning_rate!r}")
    if not isinstance(steps, (int, np.integer)) or steps < 1:
        raise ValueError(f"steps: expected a positive integer, got {steps!r}")
    if w.ndim != 1 or not w.size or strengths.shape not in ((), w.shape):
        raise ValueError(f"start, strengths: expected shapes (dims,) or one strength, got {w.shape}, {strengths.shape}")
    if not (np.isfinite(strengths).all() and (strengths >= 0).all()):
        raise ValueError(f"strengths: expected numbers of at least 0, got {strengths!r}")
    for _ in range(steps):
        w = w - learning_rate * gradient(w)
        w = np.sign(w) * np.maximum(np.abs(w) - learning_rate * strengths, 0)  # soft_threshold, without tensors
    return w


def _weights(w):
    w = tf.convert_to_tensor(w)
    if not w.shape.num_elements():
        raise ValueError(f"w: expected at least one weight, got shape {w.shape}")
    return w if w.dtype.is_floating else tf.cast(w, tf.float32)


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


def lesson(report, *, steps: int = 10000, strength: float = 0.03, strengths: int = 20, seed: int = 0):
    """The penalties beside Keras's, as priors, and on a regression with thirty features.

    Args:
        report: The report to write to.
        steps: Steps of each fit (100 to 1000000).
        strength: Penalty in the regression that is looked at closely (0.02 to 0.3).
        strengths: Penalties along the drawn path (2 to 1000).
        seed: Seed of the random weights (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _values(report, rng)
    _documented_layer(report)
    _priors(report, rng)
    _one_weight(report)
    _tumours(report, steps, strength, strengths)


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


def _tumours(report, steps, strength, strengths):
    """Logistic regression on standardized features; the bias goes free. Mean cross-entropy plus the penalty."""
    x, y = data.breast_cancer()
    x = (x - x.mean(axis=0)) / x.std(axis=0)  # (569, 30)
    ones = np.column_stack([x, np.ones(len(x))])  # (569, 31), the last column carries the bias

    def gradient(w):
        return ones.T @ (sigmoid(ones @ w) - y) / len(y)

    rate = 4 * len(y) / np.linalg.eigvalsh(ones.T @ ones).max()  # 1 / the largest curvature of the loss
    free = np.append(np.ones(30), 0.0)  # which weights are penalized

    def lasso(weight, start=None, steps=steps):
        return proximal_gradient(gradient, np.zeros(31) if start is None else start, rate, weight * free, steps)

    (w_l2, b_l2), w_l1, plain = fit_logistic(x, y, rate / 2, steps, l2=strength), lasso(strength), np.zeros(31)
    for _ in range(steps):  # what an optimizer does with Keras's L1, whose gradient is the sign
        plain = plain - rate * (gradient(plain) + strength * free * np.sign(plain))
    rows = [["L1, soft thresholding", w_l1], ["L1, gradient steps", plain], ["L2", np.append(w_l2, b_l2)]]
    counts = [30 - int(l0(w[:30])) for _, w in rows]
    report.at_least("exact zeros of 30 by L1 with soft thresholding", counts[0], 15, trained=True)
    report.check("exact zeros by L1 with gradient steps, and by L2", counts[1:], [0, 0])
    pull, zero = -gradient(w_l1)[:30] / strength, w_l1[:30] == 0
    largest = np.abs(pull[zero]).max(initial=0)
    report.at_most("at a weight of zero the loss pulls no harder than the penalty: ratio", largest, 1.001, trained=True)
    signs = np.sign(w_l1[:30][~zero])
    report.check("at the others it pulls exactly as hard", pull[~zero], signs, rtol=0, atol=1e-3, trained=True)
    threshold = np.abs(x.T @ (y - y.mean())).max() / len(y)  # the largest pull where only the bias is fitted
    bias = np.append(np.zeros(30), math.log(y.mean() / (1 - y.mean())))
    alive = [int(l0(lasso(factor * threshold, bias, 100)[:30])) for factor in (1.001, 0.98)]
    report.check(f"weights alive just above and just below strength {threshold:.4f}", alive, [0, 1])
    report.table(
        f"breast tumours, 30 standardized features, strength {strength:g}",
        ["penalty", "exact zeros", "sizes below 0.001", "sum of sizes", "accuracy on these data"],
        [
            [name, count, int(np.sum(np.abs(w[:30]) < 1e-3)), float(l1(w[:30], 1.0)), np.mean((ones @ w > 0) == y)]
            for (name, w), count in zip(rows, counts, strict=True)
        ],
    )
    report.note(
        "Gradient steps on L1 make weights cross zero to and fro without ever resting on it; so will Keras's L1 with "
        "its optimizers. Where zeros are wanted, threshold the weights in every step or after training."
    )
    grid, paths, last = np.geomspace(0.5, 0.003, strengths), [[], []], np.zeros(31)
    for weight in report.track(grid, "strengths"):
        last = lasso(weight, last, min(steps, 2000))  # from the solution before, which is near
        paths[0].append(last[:30])
        paths[1].append(fit_logistic(x, y, rate / 2, min(steps, 2000), l2=weight)[0])
    report.figure(
        "L1 switches weights off one by one, L2 shrinks them all",
        _paths(grid, np.array(paths), strength),
        alt="Thirty weights against the strength of the penalty. Left, L1: one after the other is exactly zero, until "
        "none is left. Right, L2: all shrink together and none becomes zero.",
    )
    report.figure(
        "At one strength most weights of L1 are zero and none of L2",
        _histograms(w_l1[:30], w_l2, strength),
        alt="Histograms of thirty weights. Left, L1: a tall bar of exact zeros and a few large weights. Right, L2: "
        "many small weights on both sides of zero.",
    )


def _paths(grid, paths, strength):
    figure, axes = plots.subplots(1, 2, figsize=(11, 4.4), sharey=True)
    titles = ("L1: weights go out one by one", "L2: all shrink, none is zero")
    for ax, weights, title in zip(axes, paths, titles, strict=True):
        ax.plot(grid, weights, linewidth=1.3)
        ax.axvline(strength, color="C2", linestyle=":", label=f"strength {strength:g}")
        ax.set(xscale="log", xlabel="strength of the penalty", title=title)
    axes[0].set_ylabel("weight (standardized feature)")
    axes[0].legend(loc="lower right")
    return figure


def _histograms(w_l1, w_l2, strength):
    figure, axes = plots.subplots(1, 2, figsize=(11, 3.8), sharex=True, sharey=True)
    edges = np.linspace(-1, 1, 42) * 1.02 * max(np.abs(w_l1).max(), np.abs(w_l2).max())  # zero is inside a bar
    for ax, name, w in zip(axes, ("L1", "L2"), (w_l1, w_l2), strict=True):
        ax.hist([w[w == 0], w[w != 0]], edges, stacked=True, color=["C1", "C0"], label=["exactly zero", "not zero"])
        ax.set(xlabel="weight", title=f"{name}, strength {strength:g}: {np.sum(w == 0)} of {len(w)} exactly zero")
        ax.legend()
    axes[0].set_ylabel("number of weights")
    return figure

"""Zeros need a step of their own: L1 by gradient steps leaves no weight at zero, with soft thresholding most are.

Logistic regression on thirty features of tumours, three times. What the reader should see: L1 leaves most weights at
exactly zero, L2 none; and L1 by ordinary gradient steps, as Keras's optimizers take them, leaves none either. As the
penalty grows, fewer and fewer weights are left, though one may come back, and the strength that switches off the last
one can be computed.

Notes: chapter 05, "Regularization" (正则化).
Source: Tibshirani 1996, doi:10.1111/j.2517-6161.1996.tb02080.x; Beck and Teboulle 2009, doi:10.1137/080716542.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter02.activations import sigmoid
from kerasnotes.chapter02.regression import fit_logistic
from kerasnotes.chapter05.regularizers import l0, l1, proximal_gradient
from kerasnotes.parts import shape

SMOKE = {"steps": 200, "strengths": 3}
FULL = {"strengths": 60, "steps": 100000}
SECONDS = 4


def fit_lasso(x, y, strength, steps, start=None):
    """Logistic regression with L1: mean cross-entropy plus `strength` times the sum of the weights' sizes.

    The bias goes free. The step size is one over the largest curvature of the cross-entropy.

    Args:
        x: Inputs (n, features); standardize them, or the penalty weighs features by their units.
        y: Labels (n,), 0 or 1.
        strength: Strength of the penalty, at least 0.
        steps: Steps of proximal gradient descent, at least 1.
        start: Weights and bias to begin with, (features + 1,), the bias last; zeros if None.

    Returns:
        `(w, b)`: float64 weights (features,), many of them exactly 0, and the bias.

    Raises:
        ValueError: If shapes do not fit, a label is neither 0 nor 1, or a number is out of range.

    Source: Tibshirani 1996; Beck and Teboulle 2009.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y)
    shape("x", x, None, None)
    shape("y", y, len(x))
    if not np.isin(y, (0, 1)).all():
        raise ValueError(f"y: expected labels 0 and 1, got {np.unique(y)}")
    inputs = np.column_stack([x, np.ones(len(x))])  # (n, features + 1), the last column carries the bias
    rate = 4 * len(y) / np.linalg.eigvalsh(inputs.T @ inputs).max()
    strengths = strength * np.append(np.ones(x.shape[1]), 0.0)
    start = np.zeros(len(strengths)) if start is None else start
    w = proximal_gradient(lambda w: inputs.T @ (sigmoid(inputs @ w) - y) / len(y), start, rate, strengths, steps)
    return w[:-1], w[-1]


def example():
    """Ten features, of which two decide: a Dense layer with Keras's L1, and the same loss with soft thresholding."""
    x = np.sin(np.outer(np.arange(60), np.arange(1, 11)))  # (60, 10)
    y = (x[:, 0] > x[:, 1]).astype(float)
    penalty = tf.keras.regularizers.L1(0.05)
    layer = keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros", kernel_regularizer=penalty)
    model = keras.Sequential([keras.Input((10,)), layer])
    model.compile(keras.optimizers.SGD(1.0), "binary_crossentropy")
    model.fit(np.tile(x, (500, 1)), np.tile(y, 500), batch_size=60, shuffle=False, verbose=0)  # 500 steps, all of x
    theirs, ours = layer.kernel.numpy().ravel(), fit_lasso(x, y, 0.05, steps=500)[0]
    print("Keras's L1 by gradient steps:", theirs.round(4), "exact zeros:", 10 - int(l0(theirs)))
    print("L1 with soft thresholding:   ", ours.round(4), "exact zeros:", 10 - int(l0(ours)))


def lesson(report, *, steps: int = 10000, strength: float = 0.03, strengths: int = 20):
    """Three penalized regressions with thirty features, and their weights along a path of strengths.

    Args:
        report: The report to write to.
        steps: Steps of each fit (100 to 1000000).
        strength: Penalty in the regression that is looked at closely (0.02 to 0.3).
        strengths: Penalties along the drawn path (2 to 1000).
    """
    x, y = data.breast_cancer()
    x = (x - x.mean(axis=0)) / x.std(axis=0)  # (569, 30)
    ones = np.column_stack([x, np.ones(len(x))])  # (569, 31), the last column carries the bias

    def gradient(w):
        return ones.T @ (sigmoid(ones @ w) - y) / len(y)

    rate = 4 * len(y) / np.linalg.eigvalsh(ones.T @ ones).max()  # 1 / the largest curvature of the loss
    lasso, (w_l2, b_l2) = fit_lasso(x, y, strength, steps), fit_logistic(x, y, rate / 2, steps, l2=strength)
    w_l1, plain = np.append(*lasso), np.zeros(31)
    for _ in range(steps):  # what an optimizer does with Keras's L1, whose gradient is the sign; the bias goes free
        plain = plain - rate * (gradient(plain) + strength * np.append(np.sign(plain[:30]), 0.0))
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
    alive = [int(l0(fit_lasso(x, y, factor * threshold, 100, bias)[0])) for factor in (1.001, 0.98)]
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
    _along_strengths(report, x, y, rate, min(steps, 2000), strengths, strength)
    report.figure(
        "At one strength most weights of L1 are zero and none of L2",
        _histograms(w_l1[:30], w_l2, strength),
        alt="Histograms of thirty weights. Left, L1: a tall bar of exact zeros and a few large weights. Right, L2: "
        "many small weights on both sides of zero.",
    )


def _along_strengths(report, x, y, rate, steps, strengths, strength):
    grid, paths, last = np.geomspace(0.5, 0.003, strengths), [[], []], np.zeros(31)
    for weight in report.track(grid, "strengths"):
        last = np.append(*fit_lasso(x, y, weight, steps, last))  # from the solution before, which is near
        paths[0].append(last[:30])
        paths[1].append(fit_logistic(x, y, rate / 2, steps, l2=weight)[0])
    report.figure(
        "L1 switches weights off one by one, L2 shrinks them all",
        _paths(grid, np.array(paths), strength),
        alt="Thirty weights against the strength of the penalty. Left, L1: one after the other is exactly zero, until "
        "none is left. Right, L2: all shrink together and none becomes zero.",
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

"""Noise on the inputs of a linear model is an L2 penalty on its weights, on average.

Whoever adds noise to pictures hopes that small changes will then change little. For a linear model one can say how
much: the expected squared error grows by the noise's variance times the sum of the squared weights. What the reader
should see: the mean loss over many noisy copies of real pictures lies on that formula, for every strength of the noise.

Notes: chapter 05, "Data augmentation, noise and label smoothing" (数据增强).
Source: Bishop 1995, doi:10.1162/neco.1995.7.1.108; https://keras.io/api/layers/regularization_layers/gaussian_noise.
"""

import math

import keras
import numpy as np

from kerasnotes import data, plots

SMOKE = {"draws": 10}
SECONDS = 3


def add_noise(x, deviation, seed):
    """Add a normal random number to every value; values may leave the range of the data.

    Args:
        x: Numbers of any shape. Whole numbers become float32.
        deviation: Standard deviation of the noise, at least 0, in the units of `x`.
        seed: Seed, or a `np.random.Generator`.

    Returns: An array of the shape of `x`.
    Raises: ValueError: If `x` is empty or `deviation` is negative.
    Source: `keras.layers.GaussianNoise(deviation)` in training.
    """
    x = np.asarray(x)
    if not x.size or x.dtype.kind not in "biuf":
        raise ValueError(f"x: expected numbers, at least one, got shape {x.shape} of {x.dtype}")
    x = x if x.dtype.kind == "f" else x.astype(np.float32)
    if not 0 <= deviation < math.inf:
        raise ValueError(f"deviation: expected a number of at least 0, got {deviation!r}")
    return x + np.random.default_rng(seed).normal(0.0, deviation, x.shape).astype(x.dtype)


def example():
    """Noise by Keras's layer and by hand; what it does to a squared error, and what an L2 penalty does."""
    x = np.ones((100_000, 2), np.float32)
    theirs, ours = keras.layers.GaussianNoise(0.5, seed=0)(x, training=True).numpy(), add_noise(x, 0.5, seed=0)
    print("deviation of the noise: Keras", theirs.std().round(3), "ours", ours.std().round(3))
    print("GaussianNoise at test time changes", float(abs(keras.layers.GaussianNoise(0.5)(x) - x).numpy().max()))

    w, y = np.array([3.0, -2.0]), 4.0
    print("squared error without noise:", float((x[0] @ w - y) ** 2))
    print(
        "with noise, mean:           ", np.mean((theirs @ w - y) ** 2).round(2), np.mean((ours @ w - y) ** 2).round(2)
    )
    print("without, plus the L2 penalty:", float((x[0] @ w - y) ** 2 + keras.regularizers.L2(0.5**2)(w)))


def lesson(report, *, deviation: float = 0.2, draws: int = 50, seed: int = 0):
    """Hold the mean loss over noisy pictures against the penalty.

    Args:
        report: The report to write to.
        deviation: Standard deviation of the noise; pixels lie between 0 and 1 (0.01 to 10).
        draws: Noisy copies of the pictures (2 to 10000).
        seed: Seed of the weights, the targets and the noise (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    x = data.mnist()[1][0][:1000].reshape(-1, 784) / np.float32(255)
    w, y = rng.normal(size=784) / 28, rng.normal(size=len(x))
    strengths = deviation * np.array([0.5, 1.0, 1.5, 2.0])
    losses = [[np.mean((add_noise(x, each, rng) @ w - y) ** 2) for each in strengths] for _ in range(draws)]
    mean, error = plots.mean_and_error(losses)  # each (strengths,)
    penalized = np.mean((x @ w - y) ** 2) + strengths**2 * (w @ w)
    report.check("noise on the inputs acts as an L2 penalty: mean loss of a linear model", mean[1], penalized[1],
                 rtol=0, atol=4 * error[1])  # fmt: skip
    report.at_most("half, one and a half times and twice the noise, too: standard errors apart",
                   np.abs(mean - penalized) / error, 5.0)  # fmt: skip
    report.table(f"squared error of a linear model on 1,000 pictures, {draws} noisy copies",
                 ["deviation", "mean", "standard error", "without noise, plus penalty"],
                 np.transpose([strengths, mean, error, penalized]).tolist())  # fmt: skip
    figure, ax = plots.subplots()
    line = np.linspace(0, strengths[-1], 50)
    ax.plot(line, np.mean((x @ w - y) ** 2) + line**2 * (w @ w), label="loss plus deviation² · ‖w‖²")
    ax.errorbar(strengths, mean, error, fmt="o", capsize=4, label=f"mean of {draws} noisy copies")
    ax.set(xlabel="deviation of the noise", ylabel="squared error", title="Noise costs what the penalty costs")
    ax.legend()
    report.figure(
        "Noise is a penalty", figure, alt="Points of the measured loss lie on a parabola, the penalized loss."
    )

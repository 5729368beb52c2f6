"""Squared errors make the game a χ², and still push a draw that the logistic loss has let go.

A discriminator answers b for real and a for drawn samples, and the generator wants to hear c; all errors are squared.
What the reader should see: the losses are Keras's; with b − c = 1 and b − a = 2 the game's value is half of Pearson's
χ² between p + q and 2q; and a draw that is taken for real but lies far from the data is pulled back, where −log D has
no slope left.

Notes: chapter 11, "Least-squares GAN" (最小二乘GAN).
Source: Mao et al. 2017, arXiv:1611.04076 (losses, and their relation to χ²).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter11.f_gan import f_divergence
from kerasnotes.chapter11.saturation import batch_mean, generator_loss
from kerasnotes.parts import shape

SMOKE = {"pairs": 5}
SECONDS = 2


def least_squares_discriminator_loss(real, fake, a=0.0, b=1.0):
    """½ mean (real − b)² + ½ mean (fake − a)²: answers a for drawn and b for real samples.

    Args:
        real, fake: The discriminator's numbers, (batch,) or (batch, 1); axes before that are runs of their own.
        a, b: What it shall say of drawn and of real samples.

    Returns: One number a run.

    Source: Mao et al. 2017, arXiv:1611.04076.
    """
    return (batch_mean("real", real, lambda v: (v - b) ** 2) + batch_mean("fake", fake, lambda v: (v - a) ** 2)) / 2


def least_squares_generator_loss(fake, c=1.0):
    """½ mean (fake − c)²: what the generator wants to hear is c. Shapes as in the discriminator's loss."""
    return batch_mean("fake", fake, lambda v: (v - c) ** 2) / 2


def least_squares_optimum(p, q, a=0.0, b=1.0):
    """The best discriminator, (b p + a q)/(p + q): the mean of the answers, weighted by who draws there.

    Args:
        p, q: Positive masses of data and of draws (..., outcomes), of one shape.
        a, b: As in the discriminator's loss.

    Returns: float64 array (..., outcomes).

    Raises: ValueError: If the shapes differ, or a mass is not positive.

    Source: Mao et al. 2017, arXiv:1611.04076.
    """
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    shape("q", q, *p.shape)
    if not (np.isfinite(p).all() and np.isfinite(q).all() and min(p.min(), q.min()) > 0):
        raise ValueError(f"p, q: expected positive numbers, got {p} and {q}")
    return (b * p + a * q) / (p + q)


def least_squares_value(p, q, a=0.0, b=1.0, c=1.0):
    """What the generator faces with the best discriminator: ½ Σ (p + q) (D − c)².

    The sum over the data, which no generator changes, is there to make it a divergence.

    Args:
        p, q, a, b: As in `least_squares_optimum`.
        c: What the generator wants to hear.

    Returns: float64 array (...).

    Raises: ValueError: As `least_squares_optimum`.
    """
    best = least_squares_optimum(p, q, a, b)
    return np.sum((np.asarray(p) + np.asarray(q)) * (best - c) ** 2, axis=-1) / 2


def example():
    """The losses by Keras and by ours, and the slopes that a draw feels when it passes for real with a value of 8."""
    real, fake = tf.constant([0.8, 1.2]), tf.constant([0.5, -0.5])
    squares = keras.losses.MeanSquaredError()
    by_keras = (squares(tf.ones(2), real) + squares(tf.zeros(2), fake)) / 2
    print("discriminator by Keras and by ours:", float(by_keras), float(least_squares_discriminator_loss(real, fake)))
    print(
        "generator by Keras and by ours:",
        float(squares(tf.ones(2), fake)) / 2,
        float(least_squares_generator_loss(fake)),
    )
    value = tf.constant([8.0])
    for name, loss in {"−log D": generator_loss, "½ (v − 1)²": least_squares_generator_loss}.items():
        with tf.GradientTape() as tape:
            tape.watch(value)
            y = loss(value)
        print(f"slope of {name} at 8:", float(tape.gradient(y, value)[0]))
    p, q = np.array([0.9, 0.1]), np.array([0.5, 0.5])
    print(
        "value and half of χ²:", least_squares_value(p, q, -1, 1, 0), float(f_divergence("pearson", 2 * q, p + q)) / 2
    )


def lesson(report, *, pairs: int = 200, seed: int = 0):
    """Check the losses and the identity, then look at slopes and at a draw that overshoots.

    Args:
        report: The report to write to.
        pairs: Random pairs of distributions (2 to 100000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _identity(report, rng, pairs)
    _best(report, rng)
    values, slopes = _slopes(report)
    _figure(report, values, slopes, _overshot())


def _identity(report, rng, pairs):
    p, q = (np.maximum(rng.dirichlet(np.ones(7), size=pairs), 1e-9) for _ in range(2))
    for a, b, c in ((-1.0, 1.0, 0.0), (0.0, 2.0, 1.0)):
        half = f_divergence("pearson", 2 * q, p + q) / 2
        label = f"a = {a:g}, b = {b:g}, c = {c:g}: the value is ½ Σ (2q − (p + q))²/(p + q)"
        report.check(label, least_squares_value(p, q, a, b, c), half)
    report.note(
        "The paper writes χ²(p + q ‖ 2q) for a sum that is divided by its first argument; in the table of `f_gan.py`, "
        "which divides by the second, it is the Pearson row of 2q and p + q. The usual labels 0 and 1 with c = 1 do "
        "not meet its condition; they give ½ Σ q²/(p + q), which is an f-divergence as well."
    )
    usual = least_squares_value(p, q) - least_squares_value(p, p)
    report.at_least("with labels 0 and 1: lowest at q = p, too; least excess elsewhere", usual.min(), 0.0)


def _best(report, rng):
    """A small change of the best discriminator makes its loss larger, by enumeration."""
    p, q = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))

    def loss(d, a=0.0, b=1.0):
        return np.sum(p * (d - b) ** 2 + q * (d - a) ** 2, axis=-1) / 2

    best = least_squares_optimum(p, q)
    others = best + 0.1 * rng.normal(size=(100, 5))
    report.at_least("any other discriminator has a larger loss: least difference", (loss(others) - loss(best)).min(), 0)


def _slope(loss, values):
    values = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(values)
        total = len(values) * loss(values)
    return tape.gradient(total, values).numpy()


def _slopes(report):
    values = np.linspace(-8, 8, 161)
    slopes = {"log(1 − D)": _slope(lambda v: generator_loss(v, True), values), "−log D": _slope(generator_loss, values),
              "least squares, c = 1": _slope(least_squares_generator_loss, values)}  # fmt: skip
    report.check("slope of the squares: v − c", slopes["least squares, c = 1"], values - 1)
    far = [float(abs(_slope(loss, [8.0])[0])) for loss in (generator_loss, least_squares_generator_loss)]
    report.check("at a value of 8: slopes of −log D and of the squares", far, [1 / (1 + np.exp(8.0)), 7.0])
    return values, slopes


def _overshot(steps=200, rate=0.05):
    """Draws at 1 to 6 descend against a discriminator that rises with x: ways (steps + 1, draws) by loss."""
    ways = {}
    for name, loss in {"−log D": generator_loss, "least squares": least_squares_generator_loss}.items():
        way = [np.arange(1.0, 7.0)]
        for _ in range(steps):
            way.append(way[-1] - rate * _slope(loss, way[-1]))
        ways[name] = np.stack(way)
    return ways


def _figure(report, values, slopes, ways):
    moved = {name: float(abs(way[-1, -1] - way[0, -1])) for name, way in ways.items()}
    report.check("a draw at 6, where v = x: the squares bring it to", ways["least squares"][-1, -1], 1.0, atol=0.01)
    report.at_most("and −log D moves it by", moved["−log D"], 0.1)
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.2))
    plots.curves(values, slopes, xlabel="the discriminator's value v of a draw", ylabel="slope of the generator's loss",
                 title="Sure of a draw, −log D lets it go", ax=left)  # fmt: skip
    for number, (name, way) in enumerate(ways.items()):
        for draw, x in enumerate(way.T):
            right.plot(x, plots.LINE_STYLES[number], color=f"C{number + 1}", label=None if draw else name)
    right.set(xlabel="steps of plain descent", ylabel="place of a draw")
    right.set_title("Draws that overshot the data at 1")
    right.legend()
    report.figure(
        "Sure and far away",
        figure,
        alt="Left: slopes of three generator losses over the discriminator's value: the logarithms flatten on one "
        "side, least squares is a straight line. Right: draws at 1 to 6 stay or drift away with −log D, and come back "
        "to 1 with least squares.",
    )

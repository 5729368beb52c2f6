"""A draw that is written as mean + spread · noise lets the gradient through, and with little noise of its own.

What the reader should see: the noise is drawn first and moved and stretched afterwards, so that the draw has slopes by
mean and spread; cut off, it has none, and TensorFlow's own normal numbers are written in this way already. The other
way to a gradient, by the logarithm of the density, needs no slope of the loss and pays for it with a wider spread.

Notes: chapter 10, "Reparameterization" (重参数化).
Source: Kingma and Welling 2014, arXiv:1312.6114, section 2.4; Williams 1992, doi:10.1007/BF00992696 (the other way).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots

SMOKE = {"draws": 20000}
SECONDS = 2


class Sampling(keras.layers.Layer):
    """Draws z = mean + exp(log_variance / 2) · ε with ε from a standard normal: gradients reach mean and log_variance.

    Args:
        seed: Seed of the draws.
    """

    def __init__(self, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs):
        """Take the pair (mean, log_variance), each (batch, latent); return a draw (batch, latent)."""
        mean, log_variance = inputs
        noise = keras.random.normal(tf.shape(mean), seed=self.generator, dtype=mean.dtype)
        return mean + tf.exp(log_variance / 2) * noise


def draw_gradients(loss, mean, log_variance, noise):
    """Two estimates of the slope of E[loss(z)] by the mean, one for each draw z = mean + σ · noise.

    Args:
        loss: Function from draws (n,) to losses (n,).
        mean, log_variance: Numbers.
        noise: Draws from a standard normal (n,).

    Returns:
        `(through_the_draw, by_the_density)`, each (n,): d loss/d z, since z moves with the mean, and
        loss · d ln p(z)/d mean = loss · (z − mean) / σ². Both have the slope as their expectation.

    Source: Kingma and Welling 2014, section 2.4; Williams 1992.
    """
    z = tf.convert_to_tensor(mean + np.exp(log_variance / 2) * noise)
    with tf.GradientTape() as tape:
        tape.watch(z)
        losses = loss(z)
    return tape.gradient(losses, z), losses * (z - mean) / np.exp(log_variance)


def example():
    """The slope of a loss by the mean of a draw: through Keras's random numbers, cut off, and by our layer."""
    mean, log_variance = tf.constant([[1.0, -2.0]]), tf.zeros((1, 2))
    draws = {
        "our layer": lambda: Sampling(0)((mean, log_variance)),
        "written out": lambda: mean + tf.exp(log_variance / 2) * keras.random.normal((1, 2), seed=0),
        "cut off": lambda: tf.stop_gradient(mean + keras.random.normal((1, 2), seed=0)),
    }
    for name, draw in draws.items():
        with tf.GradientTape() as tape:
            tape.watch(mean)
            loss = tf.reduce_sum(tf.square(draw()))
        print(f"{name:12}", tape.gradient(loss, mean))


def lesson(report, *, draws: int = 200000, seed: int = 0):
    """Follow gradients through draws, and compare their spread with the other way to a gradient.

    Args:
        report: The report to write to.
        draws: Draws for each estimate (1000 to 10000000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    mean, log_variance = tf.constant([[0.5, -1.0]]), tf.constant([[0.2, -0.6]])
    _through_the_draw(report, mean, log_variance, seed)
    _moments(report, mean, log_variance, draws, seed)
    slopes = _slopes(report)
    spreads = _two_ways(report, draws, seed)
    report.figure(
        "why the draw and ln σ² are written so",
        _figure(spreads, slopes),
        alt="Left: the standard deviation of one draw's gradient, lower by a factor through the draw than by the "
        "density for every spread. Right: the slope of −ln σ by σ grows without bound for small σ; by ln σ² it is "
        "−1/2.",
    )


def _through_the_draw(report, mean, log_variance, seed):
    """What the gradient sees of a draw, in three ways to write it."""
    draw_seed = (seed % 2**31, 7)

    def gradients(draw):
        with tf.GradientTape() as tape:
            tape.watch([mean, log_variance])
            loss = tf.reduce_sum(tf.square(draw()))
        return tape.gradient(loss, [mean, log_variance], unconnected_gradients="zero")

    def tensorflow_draw():
        return tf.random.stateless_normal((1, 2), draw_seed, mean=mean, stddev=tf.exp(log_variance / 2))

    def written_out():
        return mean + tf.exp(log_variance / 2) * tf.random.stateless_normal((1, 2), draw_seed)

    z = written_out()
    by_hand = [2 * z, z * (z - mean)]  # d z²/d mean = 2 z; d z / d ln σ² = (z − mean) / 2
    report.check("gradient through mean + exp(log_variance / 2) · ε", got=gradients(written_out), want=by_hand)
    label = "TensorFlow's own draw with a mean and a deviation passes the same gradient"
    report.check(label, got=gradients(tensorflow_draw), want=by_hand)
    cut = gradients(lambda: tf.stop_gradient(written_out()))
    report.check("nothing passes a draw that is cut off", got=cut, want=[tf.zeros((1, 2))] * 2)


def _moments(report, mean, log_variance, n, seed):
    draws = Sampling(seed)((tf.repeat(mean, n, axis=0), tf.repeat(log_variance, n, axis=0))).numpy()
    variance = np.exp(log_variance)[0]
    off = np.abs(draws.mean(axis=0) - mean[0]) / np.sqrt(variance / n)
    report.at_most("mean of the draws: distance from the mean, standard errors", got=off, bound=4)
    off = np.abs(draws.var(axis=0) / variance - 1) / np.sqrt(2 / n)
    report.at_most("their variance: distance from exp(log_variance), standard errors", got=off, bound=4)


def _slopes(report):
    """Why ln σ²: the slope of −ln σ, the part of the divergence that keeps the spread from vanishing."""

    def slope(name, sigma):
        source = tf.constant(sigma if name == "sigma" else 2 * np.log(sigma))
        with tf.GradientTape() as tape:
            tape.watch(source)
            value = -tf.math.log(source) if name == "sigma" else -source / 2
        return float(tape.gradient(value, source))

    rows = [[sigma, slope("sigma", sigma), slope("log_variance", sigma)] for sigma in (1.0, 0.1, 0.001)]
    report.table("slope of −ln σ by what the encoder puts out", ["σ", "by σ", "by ln σ²"], rows)
    report.check("by σ the slope is −1/σ", got=[row[1] for row in rows], want=[-1 / row[0] for row in rows])
    report.check("by ln σ² it is −1/2 everywhere", got=[row[2] for row in rows], want=[-0.5] * len(rows))
    report.note("ln σ² may be any number, σ only a positive one: exp makes sure of it without a constraint.")
    return rows


def _two_ways(report, draws, seed, mean=1.0):
    """The loss z², whose expectation mean² + σ² has the slope 2 · mean; both spreads are known in closed form."""
    noise = np.random.default_rng((seed, 10)).normal(size=draws)
    rows, off = [], []
    for sigma in (0.25, 0.5, 1.0, 2.0):
        estimates = [part.numpy() for part in draw_gradients(tf.square, mean, 2 * np.log(sigma), noise)]
        off += [(part.mean() - 2 * mean) / (part.std() / np.sqrt(draws)) for part in estimates]
        # Var(2 z) = 4 σ²; with z = μ + σ ε, Var(z² ε / σ) = (μ⁴ + 18 μ² σ² + 15 σ⁴) / σ² − 4 μ², from moments of ε.
        exact = 2 * sigma, np.sqrt((mean**4 + 18 * mean**2 * sigma**2 + 15 * sigma**4) / sigma**2 - 4 * mean**2)
        rows.append([sigma, *(part.std() for part in estimates), *exact])
    report.at_most("both estimate the slope 2 μ: largest distance, standard errors", np.abs(off), bound=4.5)
    measured, exact = ([row[i : i + 2] for row in rows] for i in (1, 3))
    report.check("their spreads are those of the closed forms", got=measured, want=exact, rtol=0.1)
    ratio = [row[4] / row[3] for row in rows]
    report.at_least("by the density the spread is larger: least factor", np.min(ratio), bound=2.0)
    columns = ["σ", "through the draw", "by the density", "exact, through the draw", "exact, by the density"]
    report.table("standard deviation of one draw's estimate of the slope of E[z²]", columns, rows)
    return rows


def _figure(spreads, slopes):
    figure, (left, right) = plots.subplots(1, 2, figsize=(10, 4))
    sigma, through, density, *_ = zip(*spreads, strict=True)
    series = {"through the draw": through, "by the density": density}
    plots.curves(
        sigma,
        series,
        xlabel="spread σ of the draw",
        ylabel="standard deviation of the estimate",
        ax=left,
        xscale="log",
        yscale="log",
        marker="o",
        title="Two unbiased estimates of one slope",
    )
    sigma, by_sigma, by_log = zip(*slopes, strict=True)
    series = {"by σ": np.abs(by_sigma), "by ln σ²": np.abs(by_log)}
    plots.curves(
        sigma,
        series,
        xlabel="spread σ of the code",
        ylabel="size of the slope of −ln σ",
        ax=right,
        xscale="log",
        yscale="log",
        marker="o",
        title="What the encoder puts out",
    )
    return figure

"""The divergence between two Gaussians has a closed form, and its direction decides what a fit gives up.

A variational autoencoder pays for every code by its divergence from a standard normal. What the reader should see: the
closed form is what sampling gives, within its error; it is zero for equal distributions only, adds up over independent
dimensions, and is not symmetric. Fitted to two hills, one direction covers both and the other chooses one.

Notes: chapter 10, "KL divergence between Gaussians" (高斯分布之间的KL散度).
Source: Kingma and Welling 2014, arXiv:1312.6114, appendix B; Bishop 2006, Pattern recognition and machine learning,
ISBN 978-0-387-31073-2, section 10.1.2 (the two directions).
"""

import functools

import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import whole

SMOKE = {"samples": 2000, "pairs": 5}
SECONDS = 4


def gaussian_kl(mean1, log_variance1, mean2, log_variance2):
    """Kullback-Leibler divergence KL(N₁ ‖ N₂) between Gaussians with independent dimensions.

    Args:
        mean1, log_variance1: Mean and natural logarithm of the variance of the first (batch, dimensions).
        mean2, log_variance2: Of the second, of the same shape or one that broadcasts to it.

    Returns:
        Tensor (batch,), in nats, summed over the dimensions; its mean over a batch is a loss.

    Raises:
        ValueError: If the shapes do not broadcast, or there is no dimension to sum over.
    """
    (mean1, log_variance1, mean2, log_variance2), _ = _parts(mean1, log_variance1, mean2, log_variance2)
    ratio = tf.exp(log_variance1 - log_variance2)  # a difference of logarithms does not overflow where σ₁²/σ₂² is fine
    distance = tf.square(mean1 - mean2) * tf.exp(-log_variance2)
    return 0.5 * tf.reduce_sum(ratio + distance - 1.0 - (log_variance1 - log_variance2), axis=-1)


def gaussian_kl_to_standard(mean, log_variance):
    """KL(N(mean, σ²) ‖ N(0, 1)): ½ Σ (μ² + σ² − 1 − ln σ²), what a variational autoencoder adds to its loss.

    Args:
        mean, log_variance: (batch, dimensions).

    Returns:
        Tensor (batch,), in nats, summed over the dimensions.

    Raises:
        ValueError: If the shapes do not broadcast, or there is no dimension to sum over.

    Source: Kingma and Welling 2014, appendix B.
    """
    zero = tf.zeros((), _parts(mean, log_variance)[0][0].dtype)
    return gaussian_kl(mean, log_variance, zero, zero)


def gaussian_log_density(x, mean, log_variance):
    """ln N(x; mean, σ²), summed over the last axis. Shapes broadcast; the result has one axis less."""
    x, mean, log_variance = (tf.convert_to_tensor(part) for part in (x, mean, log_variance))
    squares = tf.square(x - mean) * tf.exp(-log_variance)
    return -0.5 * tf.reduce_sum(squares + log_variance + np.log(2 * np.pi), axis=-1)


def monte_carlo_kl(mean1, log_variance1, mean2, log_variance2, samples, seed):
    """Estimate KL(N₁ ‖ N₂) as the mean of ln p₁(x) − ln p₂(x) over draws x from the first.

    Args:
        mean1, log_variance1, mean2, log_variance2: As in `gaussian_kl`.
        samples: Number of draws for each row, at least 2. They are NumPy's, so that all sizes have to be known.
        seed: Seed of the draws.

    Returns:
        `(estimate, standard_error)`, each (batch,), in nats.

    Raises:
        ValueError: As `gaussian_kl`, or if there are fewer than two samples.
    """
    (mean1, log_variance1, mean2, log_variance2), shape = _parts(mean1, log_variance1, mean2, log_variance2)
    noise = tf.constant(np.random.default_rng(seed).normal(size=(whole("samples", samples, 2), *shape)), mean1.dtype)
    x = mean1 + tf.exp(log_variance1 / 2) * noise  # (samples, batch, dimensions)
    differences = gaussian_log_density(x, mean1, log_variance1) - gaussian_log_density(x, mean2, log_variance2)
    return tf.reduce_mean(differences, axis=0), tf.math.reduce_std(differences, axis=0) / np.sqrt(samples - 1)


def _parts(*parts):
    """Tensors of floats, and the shape to which they broadcast, None for a size that a `tf.function` does not know."""
    parts = [tf.convert_to_tensor(part) for part in parts]
    parts = [part if part.dtype.is_floating else tf.cast(part, tf.float32) for part in parts]
    shape = functools.reduce(tf.broadcast_static_shape, [part.shape for part in parts])
    if shape.rank == 0 or shape[-1] == 0:
        raise ValueError(f"mean, log_variance: expected (batch, dimensions), got the shape {tuple(shape)}")
    return parts, shape


def example():
    """The divergence of two Gaussians from the standard normal: written out as usual, by our function, by sampling."""
    mean, log_variance = tf.constant([[1.0], [0.0]]), tf.math.log([[4.0], [1.0]])  # (batch, dimensions)
    by_hand = -0.5 * tf.reduce_sum(1 + log_variance - tf.square(mean) - tf.exp(log_variance), axis=-1)
    print("written out:  ", by_hand.numpy())
    print("ours:         ", gaussian_kl_to_standard(mean, log_variance).numpy())
    zeros = tf.zeros_like(mean)
    estimate, error = monte_carlo_kl(mean, log_variance, zeros, zeros, samples=10000, seed=0)
    print("by sampling:  ", estimate.numpy(), "±", error.numpy())
    print("the other way:", gaussian_kl(zeros, zeros, mean, log_variance).numpy())


def lesson(report, *, samples: int = 100000, pairs: int = 20, seed: int = 0):
    """Hold the closed form against sampling, and fit one Gaussian to two hills in both directions.

    Args:
        report: The report to write to.
        samples: Draws for each estimate (1000 to 10000000).
        pairs: Random pairs of Gaussians (2 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    dimensions = 3
    parts = [tf.constant(rng.normal(size=(pairs, dimensions))) for _ in range(4)]
    closed = gaussian_kl(*parts)
    in_blocks = [monte_carlo_kl(*(part[i : i + 1] for part in parts), samples, (seed, i)) for i in range(pairs)]
    estimate, error = (tf.concat(values, axis=0) for values in zip(*in_blocks, strict=True))
    off = (estimate - closed) / error
    report.at_most("sampling − closed form: largest, in standard errors", tf.reduce_max(tf.abs(off)), bound=4)
    label = "and their mean square, expected 1 within 4 standard errors of its own"
    report.check(label, got=tf.reduce_mean(off**2), want=1.0, rtol=0, atol=4 * np.sqrt(2 / pairs))
    report.at_least("the divergence of different Gaussians is above zero: least", tf.reduce_min(closed), bound=1e-6)
    report.check("of equal ones it is zero", got=gaussian_kl(*parts[:2], *parts[:2]), want=tf.zeros(pairs), atol=1e-12)
    by_dimension = [gaussian_kl(*(part[:, i : i + 1] for part in parts)) for i in range(dimensions)]
    report.check("it adds up over independent dimensions", got=closed, want=tf.add_n(by_dimension), rtol=1e-12)
    backwards = gaussian_kl(*parts[2:], *parts[:2])
    report.at_least(
        "it is not symmetric: largest |KL(1, 2) − KL(2, 1)|", tf.reduce_max(tf.abs(closed - backwards)), 0.1
    )
    by_hand = gaussian_kl(tf.constant([[0.0]]), tf.constant([[0.0]]), tf.constant([[1.0]]), tf.constant([[0.0]]))
    report.check("N(0, 1) against N(1, 1): one half", got=by_hand, want=[0.5])
    wider = gaussian_kl_to_standard(tf.constant([[0.0]]), tf.math.log(tf.constant([[4.0]])))
    report.check("N(0, 4) against N(0, 1): 1.5 − ln 2", got=wider, want=[1.5 - np.log(2)])

    mean, log_variance = (tf.Variable(part) for part in parts[:2])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(gaussian_kl_to_standard(mean, log_variance))
    want = [mean.numpy(), (np.exp(log_variance) - 1) / 2]
    report.check(
        "its gradients pull the mean to 0 and the variance to 1", tape.gradient(loss, [mean, log_variance]), want
    )

    rows = []
    for m, v in ((0.0, 1.0), (1.0, 1.0), (0.0, 4.0), (0.0, 0.25), (2.0, 0.01)):
        first, second = (
            (tf.constant([[m]]), tf.constant([[np.log(v)]], tf.float32)),
            (tf.zeros((1, 1)), tf.zeros((1, 1))),
        )
        rows.append(
            [f"N({m:g}, {v:g})", float(gaussian_kl(*first, *second)[0]), float(gaussian_kl(*second, *first)[0])]
        )
    report.table("divergence from and to N(0, 1), in nats", ["Gaussian q", "KL(q, N(0, 1))", "KL(N(0, 1), q)"], rows)
    report.note(
        "Sums over dimensions, means over the batch: a mean over both would divide the price of a code by its size."
    )
    _two_hills(report)


def _two_hills(report):
    """Fit one Gaussian q to p = 0.6 N(−2, 0.7²) + 0.4 N(2, 0.7²), by each direction of the divergence."""
    x = np.linspace(-8, 8, 3201)
    step = x[1] - x[0]

    def density(mean, deviation):
        return np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))

    p = 0.6 * density(-2, 0.7) + 0.4 * density(2, 0.7)
    means, deviations = np.linspace(-3, 3, 121), np.linspace(0.4, 3.0, 105)
    forward, backward = np.empty((2, len(means), len(deviations)))
    for i, mean in enumerate(means):
        q = density(mean, deviations[:, None])  # (deviations, x)
        log_q = -0.5 * ((x - mean) / deviations[:, None]) ** 2 - np.log(deviations[:, None] * np.sqrt(2 * np.pi))
        forward[i] = np.sum(p * (np.log(p) - log_q), axis=1) * step
        backward[i] = np.sum(q * (log_q - np.log(p)), axis=1) * step

    def best(divergence):
        i, j = np.unravel_index(np.argmin(divergence), divergence.shape)
        return means[i], deviations[j]

    cover, choose = best(forward), best(backward)
    p_mean = 0.6 * -2 + 0.4 * 2
    p_deviation = np.sqrt(0.7**2 + 0.6 * 0.4 * 4**2)  # variance within the hills and between them
    report.check("KL(p, q) is least at p's own mean and deviation", cover, (p_mean, p_deviation), rtol=0, atol=0.025)
    report.check("KL(q, p) is least near the higher hill: N(−2, 0.7²)", choose, (-2.0, 0.7), rtol=0, atol=0.1)
    figure, ax = plots.subplots(figsize=(7, 4))
    ax.fill_between(x, p, color="gray", alpha=0.3, linewidth=0, label="p, two hills")
    ax.plot(x, density(*cover), "-", color="C0", label="least KL(p, q): covers both")
    ax.plot(x, density(*choose), "--", color="C1", label="least KL(q, p): chooses one")
    ax.set(xlabel="x", ylabel="density", xlim=(-6, 6))
    ax.set_title("The direction of the divergence decides what is given up")
    ax.legend(loc="upper right")
    alt = "A density with two hills; one fitted Gaussian is wide and lies over both, the other sits on the higher hill."
    report.figure("two directions of one divergence", figure, alt=alt)

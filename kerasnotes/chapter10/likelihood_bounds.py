"""The likelihood of an image cannot be computed, but bounded from below, and more draws make the bound tighter.

What the reader should see: a model that draws a code first and pixels afterwards gives an image the probability of all
codes together, an integral. For a code of one number it can be computed to many digits. The evidence lower bound lies
below it by exactly the divergence of the guessed codes from the right ones; the importance-weighted bound closes the
gap as draws are added, without ever passing the integral.

Notes: chapter 10, "Bounds on the likelihood" (似然的下界).
Source: Kingma and Welling 2014, arXiv:1312.6114; Burda, Grosse, Salakhutdinov 2016, arXiv:1509.00519, theorem 1.
"""

import math
from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter10.kl_divergence import gaussian_kl_to_standard, gaussian_log_density
from kerasnotes.parts import whole

SMOKE = {"rows": 4000, "most": 20}
SECONDS = 4


def elbo(x, vae, seed):
    """A lower bound on ln p(x) of each image, with one draw of its code.

    Args:
        x: Images (batch, pixels) with values in [0, 1], of any type. Grey values count as probabilities: then this is a
            bound on a pseudo-likelihood, not on that of the binary image. In compiled code values are not looked at.
        vae: A model with `encoder`, to `(mean, log_variance)`, and `decoder`, to logits, such as `VAE`.
        seed: Seed of the draw.

    Returns:
        Tensor (batch,), in nats: minus the cross-entropy summed over pixels, minus the divergence in closed form.

    Raises:
        ValueError: If `x` is not (batch, pixels) with values in [0, 1].
    """
    x = _images(x)
    mean, log_variance = vae.encoder(x)
    logits = vae.decoder(mean + tf.exp(log_variance / 2) * _noise(mean, np.random.default_rng(seed)))
    return -pixel_cross_entropy(x, logits) - gaussian_kl_to_standard(mean, log_variance)


def importance_weighted_bound(x, vae, samples, seed=0):
    """A tighter bound on ln p(x): the logarithm of the mean of `samples` importance weights p(x, z) / q(z | x).

    Args:
        x, vae, seed: As in `elbo`.
        samples: Draws for each image, at least 1; with one, its expectation is that of `elbo`.

    Returns:
        Tensor (batch,), in nats.

    Raises:
        ValueError: If `x` is not (batch, pixels) with values in [0, 1], or there is no sample.

    Source: Burda et al. 2016, arXiv:1509.00519.
    """
    x = _images(x)
    mean, log_variance = vae.encoder(x)
    rng, weights = np.random.default_rng(seed), []
    for _ in range(whole("samples", samples)):
        z = mean + tf.exp(log_variance / 2) * _noise(mean, rng)
        joint = gaussian_log_density(z, 0.0, 0.0) - pixel_cross_entropy(x, vae.decoder(z))  # ln p(z) + ln p(x | z)
        weights.append(joint - gaussian_log_density(z, mean, log_variance))
    return tf.reduce_logsumexp(tf.stack(weights), axis=0) - math.log(samples)


def pixel_cross_entropy(x, logits):
    """−ln p(x | z) of independent pixels, from their logits: cross-entropy summed over the pixels, (batch,)."""
    x = tf.cast(x, logits.dtype)
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits), axis=-1)


def _noise(like, rng):
    """Standard normal numbers in the shape of a tensor; TensorFlow's where a `tf.function` does not know the shape."""
    if like.shape.is_fully_defined():
        return tf.constant(rng.normal(size=like.shape), like.dtype)
    return tf.random.stateless_normal(tf.shape(like), rng.integers(2**31, size=2), dtype=like.dtype)


def _images(x):
    """Floats in Keras's precision, as `fit` hands them to a model."""
    x = tf.cast(tf.convert_to_tensor(x), keras.config.floatx())
    if len(x.shape) != 2 or 0 in x.shape:
        raise ValueError(f"x: expected images of the shape (batch, pixels), got {tuple(x.shape)}")
    if tf.executing_eagerly():
        low, high = float(tf.reduce_min(x)), float(tf.reduce_max(x))
        if not 0 <= low <= high <= 1:
            remedy = ": divide by 255" if 1 < high <= 255 else ""
            raise ValueError(f"x: expected values in [0, 1], got {low:g} to {high:g}{remedy}")
    return x


def example():
    """Three pixels and a decoder that ignores the code, so that the likelihood is known; then one that does not."""
    x = np.repeat([[1, 0, 1]], 500, axis=0)  # the same picture, so that draws are averaged
    decoder = keras.layers.Dense(3)
    decoder.build((None, 1))
    for kernel in (0.0, 2.0):
        decoder.set_weights([np.full((1, 3), kernel), np.zeros(3)])
        guess = SimpleNamespace(encoder=lambda x: (tf.zeros((len(x), 1)), tf.zeros((len(x), 1))), decoder=decoder)
        print("kernel", kernel, "- ELBO:", elbo(x, guess, 0).numpy().mean(), end=" ")
        print("with 100 draws:", importance_weighted_bound(x, guess, 100).numpy().mean())
    by_keras = keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum")(x[:1], np.zeros((1, 3))) * 3
    print("three pixels of probability 1/2 are −3 ln 2 nats; Keras's loss:", -float(by_keras))


def lesson(report, *, rows: int = 20000, most: int = 100, pixels: int = 6, seed: int = 0):
    """Compute one likelihood by an integral, and hold both bounds against it.

    Args:
        report: The report to write to.
        rows: Independent estimates of each bound (1000 to 1000000).
        most: Largest number of draws in a bound (10 to 1000).
        pixels: Pixels of the image (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    w, b = np.float32(1.5 * rng.normal(size=(1, pixels))), np.float32(rng.normal(size=pixels))
    x = np.float32(rng.random(pixels) < 0.5)
    guess = float(rng.normal()) / 2, math.log(0.6)  # mean and log variance of q(z | x), not the best ones
    model = SimpleNamespace(
        encoder=lambda x: tuple(tf.fill((len(x), 1), part) for part in guess),
        decoder=lambda z: tf.matmul(z, w) + b,
    )
    likelihood, divergence = _integrals(x, w, b, *guess)
    many = np.repeat(x[np.newaxis], rows, axis=0)
    bound = elbo(many, model, (seed, 1)).numpy()
    off = (bound.mean() - (likelihood - divergence)) / (bound.std() / math.sqrt(rows))
    report.at_most("ELBO: distance from ln p(x) − KL(q ‖ posterior), standard errors", abs(off), bound=4)
    report.at_least("so it lies below ln p(x), by nats", likelihood - bound.mean(), bound=0.0)
    draws = [k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if k <= most]
    means, errors = _by_draws(report, many, model, draws, seed)
    off = (means[0] - bound.mean()) / np.hypot(errors[0], bound.std() / math.sqrt(rows))
    report.at_most("with one draw both bounds agree: distance, standard errors", abs(off), bound=4)
    steps = np.diff(means) / np.hypot(errors[1:], errors[:-1])
    report.at_least("more draws never loosen it: least step, standard errors", steps.min(), bound=-4.0)
    report.at_most(
        "nor lift it above ln p(x): largest excess, standard errors", (means - likelihood) / errors, bound=4.0
    )
    report.at_most(
        "gap left by the most draws over that of one", (likelihood - means[-1]) / (likelihood - means[0]), 0.3
    )
    table = [["ln p(x), by quadrature", None, likelihood, 0.0], ["negative of the loss, ELBO", 1, bound.mean(), None]]
    table += [["importance-weighted", k, *row] for k, *row in zip(draws, means, errors, strict=True)]
    report.table("one image's likelihood and bounds on it, nats", ["what", "draws", "nats", "standard error"], table)
    figure = plots.curves(
        draws,
        {"importance-weighted bound": means},
        xlabel="draws",
        ylabel="nats",
        xscale="log",
        marker="o",
        title="More draws close the gap",
    )
    figure.axes[0].axhline(likelihood, color="C1", linestyle="--", label="ln p(x), the integral")
    figure.axes[0].legend()
    alt = f"The bound rises from {means[0]:.2f} nats with one draw to {means[-1]:.2f}, towards {likelihood:.2f}."
    report.figure("bounds by the number of draws", figure, alt=alt)


def _integrals(x, w, b, mean, log_variance):
    """ln ∫ p(z) p(x | z) dz and KL(q ‖ p(z | x)), by the trapezoidal rule over one latent number."""
    z = np.linspace(-10, 10, 20001)
    logits = z[:, np.newaxis] * w + b  # (points, pixels)
    log_joint = np.sum(x * logits - np.logaddexp(0, logits), axis=1) - z**2 / 2 - math.log(2 * math.pi) / 2
    step = z[1] - z[0]
    likelihood = math.log(np.sum(np.exp(log_joint)) * step)
    log_q = -((z - mean) ** 2) / (2 * math.exp(log_variance)) - (math.log(2 * math.pi) + log_variance) / 2
    divergence = np.sum(np.exp(log_q) * (log_q - log_joint + likelihood)) * step
    return likelihood, float(divergence)


def _by_draws(report, many, model, draws, seed):
    means, errors = [], []
    for k in report.track(draws, "bounds"):
        bounds = importance_weighted_bound(many, model, k, (seed, 2, k)).numpy()
        means.append(bounds.mean())
        errors.append(bounds.std() / math.sqrt(len(bounds)))
    return np.array(means), np.array(errors)

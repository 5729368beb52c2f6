"""Normalizing by the batch takes two parts out of every gradient: its mean, and its part along the normalized batch.

Mean and variance depend on every example, so each normalized value moves with every input. The Jacobian that this gives
is written by hand, equals the tape's, and says at once what cannot be learnt through the layer: moving all examples
alike, or stretching them. With the exponent that the course's notes print, stretching would matter.

Notes: chapter 06, "Batch normalization" (批归一化).
Source: Ioffe and Szegedy 2015, arXiv:1502.03167, section 3.
"""

import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import positive, shape

SMOKE = {"batch": 8}
SECONDS = 1


def batch_norm_gradient(x, gamma, dy, epsilon=1e-3):
    """Gradients of a loss behind batch normalization in training, channels last.

    Each mean below is over all examples and places of a channel: the slope loses its mean and its part along x̂, for
    moving all examples alike or stretching them changes nothing.

    Args:
        x: Inputs (batch, ..., channels).
        gamma: Scales (channels,).
        dy: Slopes of the loss with respect to the outputs, of x's shape.
        epsilon: Positive number added to the variance.

    Returns:
        `(dx, dgamma, dbeta)`: arrays of the shapes of x, gamma and gamma.

    Raises:
        ValueError: If the shapes do not fit, x is empty, or epsilon is not positive.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, section 3, the chain rule summed up.
    """
    x, gamma, dy = np.asarray(x), np.asarray(gamma), np.asarray(dy)
    if x.ndim < 2 or x.size == 0:
        raise ValueError(f"x: expected numbers (batch, ..., channels), got the shape {x.shape}")
    shape("gamma", gamma, x.shape[-1]), shape("dy", dy, *x.shape), positive("epsilon", epsilon)
    others = tuple(range(x.ndim - 1))
    sigma = np.sqrt(x.var(axis=others) + epsilon)  # (channels,)
    x_hat = (x - x.mean(axis=others)) / sigma
    along = np.mean(dy * x_hat, axis=others)
    dx = gamma / sigma * (dy - dy.mean(axis=others) - x_hat * along)
    return dx, np.sum(dy * x_hat, axis=others), np.sum(dy, axis=others)


def batch_norm_jacobian(x, epsilon=1e-3):
    """Slopes of the normalized values of one channel with respect to its inputs: (1/σ)(δ_ij - 1/B - x̂_i x̂_j/B).

    Args:
        x: Inputs (batch,).
        epsilon: Positive number added to the variance.

    Returns:
        Array (batch, batch), symmetric; every row sums to 0.

    Raises:
        ValueError: If x is empty or not of rank 1, or epsilon is not positive.
    """
    x = np.asarray(x)
    if x.ndim != 1 or x.size == 0:
        raise ValueError(f"x: expected numbers (batch,), got the shape {x.shape}")
    positive("epsilon", epsilon)
    sigma = np.sqrt(x.var() + epsilon)
    x_hat = (x - x.mean()) / sigma
    return (np.eye(len(x)) - 1 / len(x) - np.outer(x_hat, x_hat) / len(x)) / sigma


def example():
    """TensorFlow's normalization and the tape, beside the gradient by hand."""
    x = tf.constant([[0.0, 1.0], [2.0, 1.5], [4.0, 5.0]], tf.float64)  # (batch, channels)
    gamma, dy = tf.ones(2, tf.float64), tf.constant([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        mean, variance = tf.nn.moments(x, axes=[0])
        y = tf.nn.batch_normalization(x, mean, variance, offset=0.0, scale=gamma, variance_epsilon=1e-3)
    print(tape.gradient(y, x, output_gradients=dy).numpy())
    print("by hand:")
    print(batch_norm_gradient(x, gamma, dy, epsilon=1e-3)[0])
    print("the Jacobian of the first channel:")
    print(batch_norm_jacobian(x[:, 0], epsilon=1e-3).round(3))


def lesson(report, *, batch: int = 32, seed: int = 0):
    """The Jacobian by hand and by the tape, then the gradient of a whole batch.

    Args:
        report: The report to write to.
        batch: Examples in a random batch (2 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _jacobian(report)
    _whole_batch(report, np.random.default_rng(seed), batch)


def _jacobian(report, epsilon=1e-3):
    x = tf.constant([0.0, 2.0, 4.0, 6.0], tf.float64)  # variance 5
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        mean, variance = tf.nn.moments(x, 0)
        outputs = tf.unstack((x - mean) / tf.sqrt(variance + epsilon))
    tapes = np.array([tape.gradient(output, x) for output in outputs])
    ours = batch_norm_jacobian(x, epsilon)
    report.check("(1/σ)(δ_ij - 1/B - x̂_i x̂_j/B) is the tape's Jacobian", ours, tapes)
    centred, variance = x.numpy() - 3, 5 + epsilon

    def with_exponent(exponent):
        """The chain rule's sum: through x itself and the mean, then through the variance to this power."""
        direct = (np.eye(4) - 1 / 4) / np.sqrt(variance)
        return direct - np.outer(centred, centred) / 4 * variance**exponent

    report.check("as the chain rule has it, with the variance to the power -3/2", with_exponent(-3 / 2), tapes)
    off = np.max(np.abs(with_exponent(-2 / 3) - tapes)) / np.max(np.abs(tapes))
    report.at_least("with -2/3, the largest error over the largest slope", off, 0.1)
    stretched = np.linalg.norm(ours @ centred), np.linalg.norm(with_exponent(-2 / 3) @ centred)
    report.at_most("stretching the batch changes nothing, says the Jacobian", stretched[0], 10 * epsilon)
    report.at_least("with -2/3 it would", stretched[1], 0.1)
    report.figure(
        "How every input moves every normalized value",
        _figure(x.numpy(), {"−3/2, the tape's": ours, "−2/3": with_exponent(-2 / 3)}),
        alt="Two Jacobians of the batch 0, 2, 4, 6 as tables of 4 by 4 numbers. With the exponent -3/2 every row sums "
        "to 0 and a stretched batch changes nothing; with -2/3 the numbers in the corners have other signs.",
    )
    report.correction(
        "Jacobian of batch normalization",
        course="The derivative by the variance carries the exponent 2/3.",
        correct="The exponent is -3/2, so that the Jacobian is (1/σ)(δ_ij - 1/B - x̂_i x̂_j/B).",
        shown_by=f"off the tape's by {np.max(np.abs(ours - tapes)):.0e}; with -2/3 by {off:.0%} of the largest slope",
    )


def _whole_batch(report, rng, batch):
    x, dy, gamma = rng.normal(2, 3, size=(batch, 5)), rng.normal(size=(batch, 5)), rng.normal(size=5)
    inputs = [tf.constant(x), tf.constant(gamma), tf.zeros(5, tf.float64)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        mean, variance = tf.nn.moments(inputs[0], [0])
        y = tf.nn.batch_normalization(inputs[0], mean, variance, inputs[2], inputs[1], 1e-3)
    ours = batch_norm_gradient(x, gamma, dy)
    report.check("gradients of x, gamma and beta are the tape's", ours, tape.gradient(y, inputs, tf.constant(dy)))
    centred = x - x.mean(axis=0)
    report.at_most("the gradient's mean over the batch", np.abs(ours[0].mean(axis=0)), 1e-10)
    along = np.abs(np.sum(ours[0] * centred, axis=0)) / np.abs(np.sum(dy * gamma * centred, axis=0))
    report.at_most("its part along the batch, over that of what comes in", along, 0.01)


def _figure(batch, jacobians):
    figure, axes = plots.subplots(1, 2, figsize=(10, 4.2))
    for ax, (exponent, jacobian) in zip(axes, jacobians.items(), strict=True):
        ax.imshow(jacobian, cmap="PuOr_r", vmin=-0.5, vmax=0.5)
        for (row, column), value in np.ndenumerate(jacobian):
            ax.text(column, row, f"{value:+.2f}", ha="center", va="center")
        labels = [f"{value:g}" for value in batch]
        ax.set_xticks(range(len(batch)), labels)
        ax.set_yticks(range(len(batch)), labels)
        ax.set(xlabel="input that moves", ylabel="normalized value of")
        ax.set_title(f"variance to the power {exponent}")
        ax.grid(False)
    return figure

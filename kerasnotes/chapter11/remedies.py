"""Two remedies against collapse: labels of 0.9 leave the discriminator a doubt, and a look at the batch shows sameness.

A generator that repeats itself is not caught by a discriminator that sees one sample at a time, and one that is sure
has no slope to give. What the reader should see: the loss with one-sided smoothing is Keras's cross-entropy, and its
best discriminator is 0.9 p/(p + q), so that no answer is a sure "real"; and features that count how many others of the
batch are alike, from 0 for a varied batch to the batch size less one for copies. Whether they help is measured in the
lesson on mode collapse.

Notes: chapter 11, "Training difficulties" (训练困难).
Source: Salimans et al. 2016, arXiv:1606.03498, sections 3.2 and 3.4.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter11.divergences import optimal_discriminator
from kerasnotes.chapter11.saturation import batch_mean, discriminator_loss
from kerasnotes.chapter11.side_by_side import ParallelDense
from kerasnotes.parts import share, whole

SMOKE = {"samples": 16}
SECONDS = 1


def smoothed_discriminator_loss(real_logits, fake_logits, target=0.9):
    """The discriminator's loss with one-sided label smoothing: real samples have the label `target` instead of 1.

    Fakes keep the label 0. A discriminator that is surer than the target pays for it.

    Args:
        real_logits, fake_logits: As in `gan.discriminator_loss`.
        target: Label of the real samples, above 0 and at most 1.

    Returns:
        One number a run.

    Raises:
        ValueError: If the target is out of its range, or as `gan.discriminator_loss`.

    Source: Salimans et al. 2016, arXiv:1606.03498, section 3.4.
    """
    share("target", target, low=False)
    # −log(1 − D) = −log D + logit
    return discriminator_loss(real_logits, fake_logits) + (1 - target) * batch_mean("real_logits", real_logits)


class MinibatchDiscrimination(keras.layers.Layer):
    """Appends to each sample how near the others of its batch are, so that sameness can be seen.

    Every sample gets `kernels` projections of `size` numbers; its k-th new feature is the sum, over the other samples,
    of e to the minus distance (in absolute values) of the k-th projections: near 0 in a varied batch, batch size − 1
    in a batch of copies.

    Args:
        runs: Number of independent runs: (runs, batch, inputs) becomes (runs, batch, inputs + kernels).
        kernels: New features.
        size: Numbers in a projection.
        seed: Seed of the start.

    Raises:
        ValueError: If runs, kernels or size are not positive.

    Source: Salimans et al. 2016, arXiv:1606.03498, section 3.2.
    """

    def __init__(self, runs, kernels=8, size=4, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.kernels, self.size = whole("kernels", kernels), whole("size", size)
        self.projection = ParallelDense(runs, kernels * size, seed=(seed, 99))

    def call(self, x):
        m = tf.reshape(self.projection(x), (*tf.unstack(tf.shape(x)[:2]), self.kernels, self.size))
        distance = tf.reduce_sum(tf.abs(m[:, :, None] - m[:, None]), axis=-1)  # (runs, batch, batch, kernels)
        return tf.concat([x, tf.reduce_sum(tf.exp(-distance), axis=2) - 1.0], axis=-1)


def example():
    """Both remedies on a handful of numbers, the first beside Keras's cross-entropy with smoothed labels."""
    real, fake = tf.constant([[2.0], [4.0], [0.5]]), tf.constant([[-1.0], [-3.0], [1.0]])  # logits
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    by_keras = cross_entropy(tf.fill((3, 1), 0.9), real) + cross_entropy(tf.zeros((3, 1)), fake)
    print("one-sided smoothing by Keras and by ours:", float(by_keras), float(smoothed_discriminator_loss(real, fake)))
    both = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2)  # moves both labels: 0.9 and 0.1
    print(
        "Keras's label_smoothing is two-sided:    ", float(both(tf.ones((3, 1)), real) + both(tf.zeros((3, 1)), fake))
    )

    layer = MinibatchDiscrimination(runs=1, kernels=3, size=2)
    copies, varied = tf.ones((1, 6, 2)), 100.0 * tf.random.stateless_normal((1, 6, 2), (0, 1))
    print("new features of six copies:        ", layer(copies)[0, 0, 2:].numpy())
    print("of six points far from each other: ", layer(varied)[0, 0, 2:].numpy().round(3))


def lesson(report, *, samples: int = 64, seed: int = 0):
    """Check both remedies by hand, find the best discriminator under smoothing, and watch a batch spread.

    Args:
        report: The report to write to.
        samples: Samples in the batch that spreads (2 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _remedies_by_hand(report, seed)
    _best_under_smoothing(report, np.random.default_rng((seed, 3)))
    spreads, features = _spreading(report, samples, seed)
    _figure(report, spreads, features)


def _remedies_by_hand(report, seed):
    rng = np.random.default_rng((seed, 2))
    real, fake = (tf.constant(rng.normal(scale=3, size=(2, 20, 1)), tf.float32) for _ in range(2))
    keras_loss = keras.losses.BinaryCrossentropy(from_logits=True)
    want = [keras_loss(tf.fill((20, 1), 0.9), real[run]) + keras_loss(tf.zeros((20, 1)), fake[run]) for run in range(2)]
    label = "one-sided smoothing is Keras's cross-entropy with labels 0.9 and 0"
    report.check(label, smoothed_discriminator_loss(real, fake), tf.stack(want))
    layer = MinibatchDiscrimination(1, kernels=3, size=2, seed=seed)
    copies, spread = tf.ones((1, 6, 2)), 1e3 * tf.constant(rng.normal(size=(1, 6, 2)), tf.float32)
    report.check("six copies: each has 5 others at distance 0", layer(copies)[..., 2:], np.full((1, 6, 3), 5.0))
    report.check("six points far apart: none", layer(spread)[..., 2:], np.zeros((1, 6, 3)), atol=1e-3)


def _best_under_smoothing(report, rng):
    """At the logits of 0.9 p/(p + q) the loss, weighted by p and q, has no slope."""
    p, q = tf.constant(rng.dirichlet(np.ones(6), size=2))
    best = 0.9 * optimal_discriminator(p, q)
    logits = tf.math.log(best) - tf.math.log1p(-best)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = tf.reduce_sum(p * (tf.nn.softplus(-logits) + 0.1 * logits) + q * tf.nn.softplus(logits))
    report.check("the best answer is 0.9 p/(p + q): the slope there is 0", tape.gradient(loss, logits), np.zeros(6))
    report.at_most("no answer is a sure real: largest", tf.reduce_max(best), 0.9)


def _spreading(report, samples, seed):
    """Copies that move apart step by step."""
    layer = MinibatchDiscrimination(1, kernels=8, size=4, seed=seed)
    directions = tf.random.stateless_normal((1, samples, 2), (seed, 4))
    spreads = np.geomspace(0.01, 100, 25)
    features = [float(tf.reduce_mean(layer(float(spread) * directions)[..., 2:])) for spread in spreads]
    report.at_most("the features only fall as the batch spreads: largest rise", np.diff(features).max(), 1e-4)
    return spreads, np.array(features) / (samples - 1)


def _figure(report, spreads, features):
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.2))
    ratio = np.geomspace(0.01, 100, 200)
    best = optimal_discriminator(ratio, np.ones_like(ratio)).numpy()
    plots.curves(ratio, {"labels 1 and 0": best, "labels 0.9 and 0": 0.9 * best}, xlabel="p/q, data over model",
                 ylabel="best answer D", xscale="log", title="Smoothing: never a sure real", ax=left)  # fmt: skip
    plots.curves(spreads, {"features": features}, xlabel="spread of the batch", xscale="log",
                 ylabel="mean feature over its largest value", title="A batch of copies is seen", ax=right)  # fmt: skip
    report.figure(
        "what two remedies show the discriminator",
        figure,
        alt="Left: the best discriminator against the ratio of densities, rising to 1, and with smoothing to 0.9. "
        "Right: the features of minibatch discrimination fall from 1 to 0 as the samples of a batch move apart.",
    )

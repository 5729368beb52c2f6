"""Truncated noise buys surer digits with variety, at no training: one of the plain parts of a big network.

BigGAN is a conditional GAN made large, kept steady by a few plain parts, each of which can be held against what it
should be. What the reader should see: a largest singular value found by multiplying, and a layer divided by it that
stretches nothing; batch normalization whose scale and shift belong to a class; a penalty that leaves lengths free and
asks for right angles; and a trained generator that draws digits of which a classifier is the surer, and which are the
more alike, the sooner its noise is cut off. Thresholds and steps were chosen after runs.

Notes: chapter 11, "BigGAN" (大规模对抗网络 BigGAN).
Source: Brock et al. 2019, arXiv:1809.11096; Miyato et al. 2018, arXiv:1802.05957, section 2 (spectral normalization);
Lim and Ye 2017, arXiv:1705.02894 (hinge loss); de Vries et al. 2017, arXiv:1707.00683 (conditional normalization).
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter11.conditional_gan import (
    build_conditional_discriminator,
    build_conditional_generator,
    train_conditional_gan,
)
from kerasnotes.chapter11.judge import classify, trained_classifier
from kerasnotes.chapter11.scores import score_images
from kerasnotes.parts import floating, positive, shape, share, whole

SMOKE = {"steps": 2, "images": 512, "samples": 100, "batch_size": 8, "channels": (8, 4, 4), "classifier_images": 512}
SECONDS = 18


def spectral_norm(w, steps=1, seed=0):
    """The largest singular value of a matrix, by power iteration: multiply a vector by W and Wᵀ in turns.

    Args:
        w: Matrix (inputs, units), or a kernel (..., units), whose other axes count as one.
        steps: Turns; the error falls by (second singular value / largest)² in each.
        seed: Seed of the vector to begin at.

    Returns: A scalar tensor. Its slope in w is that of the largest singular value: the vectors count as constants.

    Raises: ValueError: If w has fewer than two axes or a number that is not finite.

    Source: Miyato et al. 2018, arXiv:1802.05957, section 2.
    """
    w = floating("w", w)
    if w.shape.rank < 2 or (tf.executing_eagerly() and not np.isfinite(w).all()):
        raise ValueError(f"w: expected finite numbers (..., units) in two axes or more, got shape {w.shape}")
    w = tf.reshape(w, (-1, w.shape[-1]))
    u = tf.constant(np.random.default_rng(seed).standard_normal((1, w.shape[0])), w.dtype)
    for _ in range(whole("steps", steps)):
        v = tf.math.l2_normalize(u @ tf.stop_gradient(w))  # (1, units)
        u = tf.math.l2_normalize(tf.matmul(v, tf.stop_gradient(w), transpose_b=True))  # (1, inputs)
    return (u @ w @ tf.transpose(v))[0, 0]


def hinge_discriminator_loss(real, fake):
    """mean max(0, 1 − real) + mean max(0, 1 + fake): nothing more is asked of logits beyond 1 and −1.

    Args:
        real, fake: Logits of real and drawn samples, any shapes.

    Returns: A scalar tensor.

    Source: Lim and Ye 2017, arXiv:1705.02894.
    """
    real, fake = floating("real", real), floating("fake", fake)
    return tf.reduce_mean(tf.nn.relu(1 - real)) + tf.reduce_mean(tf.nn.relu(1 + fake))


def hinge_generator_loss(fake):
    """−mean fake, a scalar tensor: the generator's slope is the same however sure the discriminator is.

    Args:
        fake: Logits of drawn samples, any shape.
    """
    return -tf.reduce_mean(floating("fake", fake))


def orthogonal_penalty(w):
    """Sum of the squared inner products of different units' weights: 0 if they meet at right angles, of any length.

    Args:
        w: Matrix (inputs, units), or a kernel (..., units), whose other axes count as one.

    Returns: A scalar tensor, ‖WᵀW ⊙ (1 − I)‖², to be multiplied by a small factor (the paper's: 0.0001).

    Source: Brock et al. 2019, arXiv:1809.11096.
    """
    w = floating("w", w)
    w = tf.reshape(w, (-1, w.shape[-1]))
    products = tf.matmul(w, w, transpose_a=True)
    return tf.reduce_sum(tf.linalg.set_diag(products, tf.zeros_like(products[0])) ** 2)


class ConditionalBatchNorm(keras.layers.Layer):
    """Batch normalization with one scale and one shift for each class; mean and variance are the whole batch's.

    Call it with `[x, labels]`: x (batch, ..., channels), labels (batch,), whole numbers from 0 to classes − 1.

    Args:
        classes: Number of classes.
        momentum, epsilon: As in `keras.layers.BatchNormalization`.

    Source: de Vries et al. 2017, arXiv:1707.00683, section 3.
    """

    def __init__(self, classes, momentum=0.99, epsilon=1e-3, **arguments):
        super().__init__(**arguments)
        self.classes = whole("classes", classes)
        share("momentum", momentum, high=False)
        positive("epsilon", epsilon)
        self.normalize = keras.layers.BatchNormalization(momentum=momentum, epsilon=epsilon, center=False, scale=False)

    def build(self, input_shape):
        size = (self.classes, input_shape[0][-1])
        self.normalize.build(input_shape[0])
        self.gamma = self.add_weight(shape=size, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=size, initializer="zeros", name="beta")

    def call(self, inputs, training=False):
        """The normalized maps, scaled and shifted as each sample's class says, in the shape of x."""
        x, labels = inputs
        shape("labels", labels, x.shape[0])
        spread = (-1, *[1] * (len(x.shape) - 2), x.shape[-1])
        gamma, beta = (tf.reshape(tf.gather(each, labels), spread) for each in (self.gamma, self.beta))
        return gamma * self.normalize(x, training=training) + beta


def truncated_normal(shape, threshold, seed):
    """Standard normal numbers, each drawn anew until its size is at most the threshold.

    Args:
        shape: Sizes of the array.
        threshold: A positive number.
        seed: Seed of the draws.

    Returns: float32 array of that shape.
    Raises: ValueError: If the threshold is not positive.

    Source: Brock et al. 2019, arXiv:1809.11096 (the truncation trick).
    """
    positive("threshold", threshold)
    rng = np.random.default_rng(seed)
    numbers = rng.standard_normal(shape)
    outside = np.abs(numbers) > threshold
    while outside.any():
        numbers[outside] = rng.standard_normal(np.count_nonzero(outside))
        outside = np.abs(numbers) > threshold
    return numbers.astype(np.float32)


def example():
    """Keras's spectral normalization and hinge loss beside ours."""
    w = np.float32(np.diag([3.0, 2.0, 1.0]))
    layer = keras.layers.SpectralNormalization(keras.layers.Dense(3, use_bias=False), power_iterations=20)
    layer.build((None, 3))
    layer.layer.set_weights([w])
    layer(np.eye(3), training=True)  # finds the norm and divides the kernel by it
    print("Keras's kernel, divided:", np.diag(layer.layer.get_weights()[0]).round(3))
    print("ours:", np.diag(w / spectral_norm(w, 20)).round(3), "after one step only:", float(spectral_norm(w)))
    real, fake = np.float32([[2.0], [0.5]]), np.float32([[-3.0], [0.25]])
    hinge = keras.losses.Hinge()
    print("Keras's hinge loss:", float(hinge(np.ones((2, 1)), real) + hinge(-np.ones((2, 1)), fake)))
    print("ours:", float(hinge_discriminator_loss(real, fake)), "generator:", float(hinge_generator_loss(fake)))
    print(
        "penalty at right angles:", float(orthogonal_penalty(w)), "alike:", float(orthogonal_penalty(np.ones((1, 2))))
    )
    normal = ConditionalBatchNorm(classes=2)
    print("normalized:", normal([np.float32([[1.0], [3.0]]), np.array([0, 1])], training=True).numpy().ravel())
    print("noise up to 0.5:", truncated_normal((4,), 0.5, seed=0).round(2))


def lesson(
    report,
    *,
    steps: int = 900,
    images: int = 30000,
    samples: int = 4000,
    channels: tuple[int, ...] = (32, 16, 8),
    thresholds: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 3.0),
    batch_size: int = 64,
    classifier_images: int = 60000,
    seed: int = 0,
):
    """Hold each part against its closed form, then cut off a trained generator's noise.

    Args:
        report: The report to write to.
        steps: Turns of each network (2 to 1000000).
        images: Training images of the networks (512 to 60000).
        samples: Images drawn for each threshold (100 to 10000).
        channels: The generator's maps of 4 x 4, 7 x 7 and 14 x 14 pixels; the discriminator's in reverse (1 to 1024).
        thresholds: Where the noise is cut off, rising (0.01 to 10).
        batch_size: Images in a batch (2 to 1024).
        classifier_images: Digits that the judging classifier learns from (64 to 60000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng((seed, 1))
    _norms(report, rng)
    _losses(report, rng)
    _normalization(report, rng)
    (x, y), _ = data.mnist()
    x, labels = np.float32(x[:images])[..., None] / 127.5 - 1, np.eye(10, dtype=np.float32)[y[:images]]
    generator = build_conditional_generator(10, 64, channels, seed)
    train_conditional_gan(
        generator, build_conditional_discriminator(10, channels[::-1], seed), x, labels, steps, batch_size=batch_size,
        every=math.ceil(steps / 4), seed=seed, track=report.track,
    )  # fmt: skip
    classifier = trained_classifier(data.mnist, training.fit, classifier_images, 4, seed)
    _truncation(report, generator, classifier, x[rng.permutation(len(x))[:samples]], thresholds, samples, seed)


def _norms(report, rng):
    values = np.linspace(5, 1, 20)
    left, right = (np.linalg.qr(rng.normal(size=(size, 20)))[0] for size in (20, 30))
    w = tf.Variable(left * values @ right.T)
    found = {steps: float(spectral_norm(w, steps)) for steps in (1, 3, 10, 300)}
    report.check("power iteration, 300 steps: the largest singular value", found[300], values[0], rtol=1e-9)
    report.table("a matrix of singular values 5, 4.79, …: the largest", ["steps", "found"], [*map(list, found.items())])
    with tf.GradientTape() as tape:
        norm = spectral_norm(w, 300)
    slope, want = tape.gradient(norm, w), np.outer(left[:, 0], right[:, 0])
    report.check("its slope: the outer product of the first singular vectors", slope, want, atol=1e-6)
    divided = w.numpy() / float(norm)
    differences = rng.normal(size=(1000, 20))
    stretched = np.linalg.norm(differences @ divided, axis=1) / np.linalg.norm(differences, axis=1)
    report.at_most("divided by it, the layer stretches no difference: largest of 1,000", stretched.max(), 1.0)
    report.check("and one direction by 1", np.linalg.norm(left[:, 0] @ divided), 1.0)
    right_angles = np.linalg.qr(rng.normal(size=(20, 6)))[0] * np.arange(1, 7)
    report.check("orthogonal units of any length: no penalty", orthogonal_penalty(right_angles), 0.0, atol=1e-9)
    report.check("three equal units of squared length 4: 6 products of 4²", orthogonal_penalty(np.ones((4, 3))), 96.0)


def _losses(report, rng):
    real, fake = rng.normal(0, 2, 50), rng.normal(0, 2, 50)
    theirs = keras.losses.hinge(np.ones(50), real) + keras.losses.hinge(-np.ones(50), fake)
    report.check("the hinge loss is Keras's, labels 1 and −1", hinge_discriminator_loss(real, fake), theirs)
    logits = tf.constant([-20.0, 0.0, 20.0])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = hinge_generator_loss(logits)
    report.check("the generator's slope is the same at every logit", tape.gradient(loss, logits), [-1 / 3] * 3)


def _normalization(report, rng):
    """`ConditionalBatchNorm` is Keras's layer with the class's scale and shift, on that class's samples."""
    x, labels = np.float32(rng.normal(2, 3, (12, 5, 5, 4))), np.arange(12) % 3
    layer = ConditionalBatchNorm(3)
    layer([x, labels])  # builds it
    gamma, beta = np.float32(rng.normal(size=(2, 3, 4)))
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    for trains in (False, True):
        want = np.empty_like(x)
        for number in range(3):
            theirs = keras.layers.BatchNormalization()
            theirs.build(x.shape)
            theirs.set_weights([gamma[number], beta[number], *(each.numpy() for each in layer.normalize.weights)])
            want[labels == number] = theirs(x, training=trains)[labels == number]
        label = f"each class as by Keras's layer with its numbers, {'training' if trains else 'inference'}"
        report.check(label, layer([x, labels], training=trains), want, atol=1e-5)


def _truncation(report, generator, classifier, real, thresholds, samples, seed):
    asked, reference = np.arange(samples) % 10, classify(classifier, real)[0]
    conditions, rows, shown = np.eye(10, dtype=np.float32)[asked], [], []
    for threshold in thresholds:
        noise = truncated_normal((samples, 64), threshold, (seed, 3))
        drawn = generator.predict([noise, conditions], batch_size=500, verbose=0)
        features, probabilities = classify(classifier, drawn)
        sure = np.mean(probabilities.max(axis=1) > 0.95)
        spread = np.mean([np.var(features[asked == digit], axis=0).sum() for digit in range(10)]) ** 0.5
        scored = score_images(classifier, drawn, reference)
        read = np.mean(probabilities.argmax(axis=1) == asked)
        rows.append([threshold, sure, spread, scored["score"], scored["frechet"], read])
        shown.append(drawn[4:100:10][:10])
    columns = ["threshold", "share that the classifier is sure of", "variety within a class"]
    columns += ["inception score", "Fréchet distance", "read as the digit asked for"]
    report.table(f"one generator, {samples:,} digits for each threshold of its noise", columns, rows)
    inside = math.erf(thresholds[0] / 2**0.5)
    want = 1 - thresholds[0] * (2 / math.pi) ** 0.5 * math.exp(-(thresholds[0] ** 2) / 2) / inside
    numbers = truncated_normal(200_000, thresholds[0], (seed, 2))
    report.check("variance of the noise at the smallest threshold", np.var(numbers), want, rtol=0.02)
    cut, sure, spread, *_, read = np.array(rows).T
    report.at_least("smallest threshold: share read as the digit asked for", read[0], 0.9, trained=True)
    report.at_most("share of sure digits: its largest rise with the threshold", np.diff(sure).max(), 0.0, trained=True)
    report.at_least("variety: its smallest rise with the threshold", np.diff(spread).min(), 0.0, trained=True)
    figure, (left, right) = plots.subplots(1, 2, figsize=(10, 4.2), width_ratios=(1.2, 1))
    plots.tiles(np.stack(shown), left, [f"{threshold:g}" for threshold in thresholds])
    left.set(ylabel="threshold of the noise")
    left.set_title("Fours: clear and alike, or varied")
    plots.two_scales(cut, ("share of sure digits", sure), ("variety within a class", spread),
                     xlabel="threshold of the noise", title="Sure digits against variety", ax=right,
                     legend="lower center")  # fmt: skip
    report.figure("Truncation", figure, alt="Left: ten drawn fours for each of five thresholds, alike at the smallest "
                  "and varied at the largest. Right: with a growing threshold the share of digits that the classifier "
                  "is sure of falls and the variety rises.")  # fmt: skip

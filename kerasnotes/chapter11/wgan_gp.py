"""A critic whose slope is pulled to 1 teaches a generator digits, and its estimate says how good they are.

A critic gives each image a number, high for real ones and low for drawn ones; its estimate is how far the two means are
apart. Mere steepness would make that large, so there is the gradient penalty of the lesson before: the mean of
(slope − 1)² at points between real and drawn. The critic takes five steps for each of the generator. What the reader
should see: a generator that learns all ten digits from it; a critic's slope near 1 between real and drawn digits; and,
unlike a discriminator's loss, an estimate that falls while the digits get better.

Notes: chapter 11, "WGAN-GP" (带梯度惩罚的 WGAN).
Source: Gulrajani et al. 2017, arXiv:1704.00028, equation 3 and algorithm 1.
"""

import inspect
import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter11.dcgan import train_in_chunks
from kerasnotes.chapter11.dcgan_networks import build_generator
from kerasnotes.chapter11.gradient_penalty import gradient_penalty, interpolate, slope_norms
from kerasnotes.chapter11.judge import classify, trained_classifier
from kerasnotes.chapter11.scores import Judge
from kerasnotes.chapter11.wgan import critic_loss, rank_correlation, wgan_generator_loss
from kerasnotes.parts import floating, positive, shape, share, whole

SMOKE = {"steps": 4, "images": 512, "samples": 100, "batch_size": 8, "channels": (2, 2, 4), "classifier_epochs": 1}
FULL = {"steps": 20000, "channels": (32, 64, 128), "generator_channels": (128, 64, 32)}
SECONDS = 67

AIM = 6.5  # an inception-type score to aim at; 5.0 has to be reached


def build_critic(channels=(8, 16, 64), seed=0):
    """A critic of 28 x 28 pixels: three strided convolutions, leaky ReLU, one number, and no normalization.

    Batch normalization would make one sample's value depend on the others, and the slope at one sample meaningless.

    Args:
        channels: Numbers of feature maps of 14 x 14, 7 x 7 and 4 x 4 pixels.
        seed: Seed of the initial weights.

    Returns: An uncompiled `keras.Model` from images (batch, 28, 28, 1) to values (batch, 1).
    Raises: ValueError: If `channels` are not three positive whole numbers.
    Source: Gulrajani et al. 2017, arXiv:1704.00028, section 4, "No critic batch normalization".
    """
    if len(channels) != 3:
        raise ValueError(f"channels: expected three positive whole numbers, got {channels!r}")
    seeds = np.random.default_rng((seed, 2)).integers(2**31, size=4).tolist()
    inputs = x = keras.Input((28, 28, 1))
    for filters, start in zip(channels, seeds, strict=False):
        x = keras.layers.Conv2D(
            whole("channels", filters), 4, 2, "same", kernel_initializer=keras.initializers.HeNormal(start)
        )(x)  # (batch, side, side, filters), the side halved and rounded up
        x = keras.ops.maximum(x, 0.2 * x)  # leaky ReLU; TensorFlow's own trips over its second derivative in a graph
    last = keras.layers.Dense(1, kernel_initializer=keras.initializers.HeNormal(seeds[3]))
    return keras.Model(inputs, last(keras.layers.Flatten()(x)))


def wgan_gp_step(generator, critic, generator_optimizer, critic_optimizer, real, noise, seed, penalty=10.0):
    """Several steps of the critic, each on a batch of its own, then one step of the generator.

    Args:
        generator, critic: Models from noise to samples, and from samples to (batch, 1).
        generator_optimizer, critic_optimizer: Keras optimizers; in compiled code they must be built.
        real: Samples (critic_steps, batch, ...).
        noise: (critic_steps + 1, batch, latent_size); the last batch is the generator's.
        seed: A whole number, or a scalar integer tensor: it decides where between real and drawn the slope is taken.
        penalty: The factor λ of the gradient penalty.

    Returns: Tensor (2,): the critic's estimate, mean critic(real) − mean critic(fake), and the gradient penalty without
        λ, both from before the critic's last step.
    Raises: ValueError: If noise has other than one batch more than real, or λ is negative or not finite.
    Source: Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1.
    """
    if not 0 <= penalty < math.inf:
        raise ValueError(f"penalty: expected a finite number of at least 0, got {penalty!r}")
    real, noise = tf.convert_to_tensor(real), tf.convert_to_tensor(noise)
    critic_steps, batch_size = real.shape[0], real.shape[1]
    shape("noise", noise, critic_steps + 1, batch_size, None)
    # draw for all of the critic's steps at once: the generator rests meanwhile
    drawn = tf.reshape(generator(tf.reshape(noise[:-1], (-1, noise.shape[-1])), training=True), real.shape)

    # value real samples above drawn ones, at slopes near 1: otherwise larger weights would be enough
    def critic_step(k, _):
        with tf.GradientTape() as tape:
            values = critic(tf.concat([real[k], drawn[k]], axis=0), training=True)  # each sample is judged for itself
            distance = critic_loss(values[:batch_size], values[batch_size:])
            slope_error = gradient_penalty(critic, real[k], drawn[k], tf.stack([tf.cast(seed, tf.int32), k]))
            loss = distance + penalty * slope_error
        critic_optimizer.apply(tape.gradient(loss, critic.trainable_variables), critic.trainable_variables)
        return k + 1, tf.stack([-distance, slope_error])  # the loss is drawn − real, the estimate real − drawn

    # one after the other, for each step begins with the weights that the last one left
    start = (tf.constant(0), tf.zeros(2))
    _, result = tf.while_loop(lambda k, _: k < critic_steps, critic_step, start, parallel_iterations=1)
    # draw what the critic values, as it is now
    with tf.GradientTape() as tape:
        loss = wgan_generator_loss(critic(generator(noise[-1], training=True), training=True))
    weights = generator.trainable_variables
    generator_optimizer.apply(tape.gradient(loss, weights), weights)
    return result


def train_wgan_gp(
    generator,
    critic,
    images,
    steps,
    *,
    critic_steps=5,
    penalty=10.0,
    batch_size=64,
    learning_rate=1e-3,
    beta_1=0.5,
    beta_2=0.9,
    every=250,
    seed=0,
    track=None,
    watch=None,
):
    """Train a generator against a critic with a gradient penalty, both in place.

    Args:
        generator, critic: Models from noise to samples, and from samples to (batch, 1).
        images: Array or tensor (samples, ...) as the generator draws them.
        steps: Steps of the generator.
        critic_steps: Steps of the critic for each of them.
        penalty: The factor λ of the gradient penalty.
        batch_size: Samples in a batch, real and drawn.
        learning_rate, beta_1, beta_2: Of both Adam optimizers; the rate falls linearly to a twentieth.
        every, watch: Steps in one compiled call, and a callable `(steps_done)` called after each such call, or None.
        track: Callable `(iterable, description) -> iterable` that shows progress, or None.
        seed: Seed of noise, order and interpolation, from 0 to 4294967295.

    Returns: float32 (steps, 2), the critic's estimate of the distance and the gradient penalty (without λ).
    Raises: ValueError: If a number is out of range, or there are no images, or one is not finite.
    Source: Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1.
    """
    share("beta_1", beta_1, high=False)
    share("beta_2", beta_2, high=False)
    positive("learning_rate", learning_rate)
    images, batch_size = floating("images", np.float32(images)), whole("batch_size", batch_size)
    if not np.isfinite(images).all():
        raise ValueError("images: expected finite values, got NaN or infinity")
    optimizers = []
    # the rate of each falls over steps of its own, of which the critic takes more
    for model, count in ((generator, steps), (critic, steps * whole("critic_steps", critic_steps))):
        rate = keras.optimizers.schedules.PolynomialDecay(learning_rate, count, learning_rate / 20)
        optimizers.append(keras.optimizers.Adam(rate, beta_1, beta_2))
        optimizers[-1].build(model.trainable_variables)  # a loop must not create variables

    rng = np.random.default_rng((seed, 3))
    seeds = int(rng.integers(2**30))  # the first step's; each step has the next number

    def draw(first, count):
        order = rng.integers(len(images), size=(count, critic_steps, batch_size), dtype=np.int32)
        noise = rng.standard_normal((count, critic_steps + 1, batch_size, generator.input_shape[-1]), np.float32)
        return order, noise, np.arange(seeds + first, seeds + first + count, dtype=np.int32)

    def step(order, noise, own_seed):
        return wgan_gp_step(generator, critic, *optimizers, tf.gather(images, order), noise, own_seed, penalty)

    return train_in_chunks(step, draw, steps, every, track, watch)


def example():
    """Three steps on pictures that are bright above: a whole program, with a generator and a critic."""
    images = np.full((64, 28, 28, 1), -1, np.float32)
    images[:, :14] = 1
    generator, critic = build_generator(latent_size=2, channels=(8, 8, 8)), build_critic(channels=(2, 4, 8))
    history = train_wgan_gp(generator, critic, images, steps=3, batch_size=16, learning_rate=0.01)
    for step, (estimate, penalty) in enumerate(history):
        print(f"step {step}: critic's estimate {estimate:.3f}, penalty {penalty:.3f}")
    drawn = generator(np.random.default_rng(0).standard_normal((64, 2), np.float32), training=False)
    by_keras = keras.ops.mean(critic(images)) - keras.ops.mean(critic(drawn))
    print("estimate at the end, by keras.ops.mean:", float(by_keras))
    print("and by critic_loss:                    ", -float(critic_loss(critic(images), critic(drawn))))
    print("slopes between:", slope_norms(critic, interpolate(images, drawn, seed=0)).numpy()[:4])


def lesson(
    report,
    *,
    steps: int = 950,
    critic_steps: int = 5,
    images: int = 60000,
    samples: int = 10000,
    channels: tuple[int, ...] = (8, 16, 64),
    generator_channels: tuple[int, ...] = (64, 32, 16),
    latent_size: int = 64,
    batch_size: int = 64,
    penalty: float = 10.0,
    learning_rate: float = 1e-3,
    classifier_epochs: int = 4,
    seed: int = 0,
):
    """Count the steps of each network, then train on MNIST and have a classifier judge the digits.

    Args:
        report: The report to write to.
        steps: Steps of the generator (4 to 1000000).
        critic_steps: Steps of the critic for each of them (1 to 100).
        images: Training images (512 to 60000).
        samples: Drawn digits that are scored, and as many real ones beside them (100 to 10000).
        channels: The critic's maps of 14 x 14, 7 x 7 and 4 x 4 pixels (1 to 1024).
        generator_channels: The generator's maps of 4 x 4, 7 x 7 and 14 x 14 pixels (1 to 1024).
        latent_size: Numbers of noise for an image (1 to 1024).
        batch_size: Images in a batch (2 to 1024).
        penalty: The factor λ of the gradient penalty (0 to 1000).
        learning_rate: Of both Adam optimizers (0.000001 to 1).
        classifier_epochs: Epochs of the classifier that judges (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _five_steps(report, seed)
    (x, _), (x_test, y_test) = data.mnist()
    rng = np.random.default_rng((seed, 6))
    real, picked = (rng.permutation(len(each))[:samples] for each in (x[:images], x_test))  # indices
    x, x_test = (np.float32(pixels)[..., None] / 127.5 - 1 for pixels in (x[:images], x_test[picked]))  # −1 to 1
    classifier = trained_classifier(data.mnist, training.fit, images, classifier_epochs, seed)
    accuracy = np.mean(classify(classifier, x_test)[1].argmax(axis=1) == y_test[picked])
    report.at_least("the classifier's test accuracy", got=accuracy, bound=0.985, trained=True)
    judge = Judge(classifier, x[real], seed)

    generator, critic = build_generator(latent_size, generator_channels, seed), build_critic(channels, seed)
    every = math.ceil(steps / 8)
    history = train_wgan_gp(
        generator, critic, x, steps, critic_steps=critic_steps, penalty=penalty, batch_size=batch_size,
        learning_rate=learning_rate, every=every, seed=seed, track=report.track,
        watch=lambda done: judge.look(generator, done),
    )  # fmt: skip
    drawn = judge.verdict(generator, x_test)
    # means over the last steps before each look, for the estimate varies from batch to batch
    estimates = [history[max(0, done - max(1, every // 4)) : done, 0].mean() for done, *_ in judge.path]
    _verdict(report, judge, estimates, samples, steps)
    between = interpolate(drawn["test digits"][:1000], drawn["drawn digits"][:1000], seed)
    norms = slope_norms(critic, between).numpy()
    report.at_most("mean of (slope − 1)² between real and drawn digits", np.mean((norms - 1) ** 2), 0.1, trained=True)
    _figures(report, drawn, judge, estimates, norms)


def _five_steps(report, seed):
    default = inspect.signature(train_wgan_gp).parameters["critic_steps"].default
    rng = np.random.default_rng((seed, 14))
    generator, critic = build_generator(3, (2, 2, 2), seed), build_critic((2, 2, 2), seed)
    optimizers = [keras.optimizers.SGD(1e-3) for _ in range(2)]
    real = np.float32(rng.uniform(-1, 1, (default, 4, 28, 28, 1)))
    noise = rng.standard_normal((default + 1, 4, 3), np.float32)
    wgan_gp_step(generator, critic, *optimizers, real, noise, 0)
    steps = [int(optimizer.iterations) for optimizer in optimizers]
    report.check("by default, one step of the generator and five of the critic", got=steps, want=[1, 5])


def _verdict(report, judge, estimates, samples, steps):
    report.table(f"{samples:,} images of each kind, judged by the classifier", *judge.table())
    columns = ["generator steps", "inception score", "digits found", "Fréchet distance", "critic's estimate"]
    rows = [[*row, estimate] for row, estimate in zip(judge.path, estimates, strict=True)]
    report.table("on the way", columns, rows)
    best, real = judge.scored.values()  # drawn digits, test digits
    report.at_least("inception-type score of drawn digits", got=best["score"], bound=5.0, trained=True)
    report.at_least("digits found among 1,000 drawn", got=round(10 * best["coverage"]), bound=10, trained=True)
    label = "rank correlation of the critic's estimate with the Fréchet distance, on the way"
    report.at_least(label, rank_correlation([row[3] for row in judge.path], estimates), bound=0.7, trained=True)
    reached = "reached" if best["score"] >= AIM else f"missed by {AIM - best['score']:.2f}"
    report.note(
        f"Goal {AIM}: {reached} with {best['score']:.2f} after {steps} steps; test digits: {real['score']:.2f}."
    )
    report.note(
        "Unlike the paper: the generator has batch normalization and the critic fewer maps; kernels are 4 x 4 in place "
        "of 5 x 5; Adam has beta_1 0.5 in place of 0; the rate is 0.001 in place of 0.0001, and falls linearly."
    )


def _figures(report, drawn, judge, estimates, norms):
    steps = [row[0] for row in judge.path]
    figure, (left, middle, right) = plots.subplots(1, 3, figsize=(13.5, 4.4), width_ratios=(1.2, 1, 1))
    plots.tiles(judge.strips, left, [f"{done:,}" for done in steps])
    left.set(ylabel="generator steps")
    left.set_title("Ten noise vectors on the way")
    distances, title = [row[3] for row in judge.path], "The critic's estimate falls\nas the digits get better"
    plots.two_scales(steps, ("Fréchet distance", distances), ("critic's estimate", estimates),
                     xlabel="generator steps", title=title, ax=middle, legend="upper right")  # fmt: skip
    right.hist(norms, bins=25, color="C0")
    right.axvline(1, color="C1", linestyle="--", label="asked for")
    right.set(xlabel="norm of the slope", ylabel="points between real and drawn", xlim=(0, None))
    right.set_title("The critic's slope\nafter training")
    right.legend()
    report.figure(
        "the critic on the way", figure,
        alt="Left: ten drawn images at eight times of training. Middle: Fréchet distance and the critic's estimate "
        "fall together. Right: the critic's slopes gather around 1.",
    )  # fmt: skip
    figure, axes = plots.subplots(1, 2, figsize=(9, 4.8))
    for ax, name, title in zip(axes, ("drawn digits", "test digits"), ("Drawn", "Real"), strict=True):
        plots.tiles(drawn[name][:100].reshape(10, 10, 28, 28), ax)
        ax.set_title(f"{title} digits")
    report.figure("drawn and real digits", figure, alt="A hundred drawn digits beside a hundred real ones.")

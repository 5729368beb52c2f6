"""Two convolutional networks against each other draw digits after a minute on a CPU.

The discriminator's step and the generator's share one batch of drawn images, for the chain rule can be cut in two at
them. What the reader should see: the generator's step is the one that a single tape through both networks gives; all
ten digits come out of noise within a few hundred steps; and drawn digits are no copies of training digits.

Notes: chapter 11, "DCGAN" (深度卷积生成对抗网络).
Source: Radford, Metz, Chintala 2016, arXiv:1511.06434, sections 4 and 5.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter11.dcgan_networks import build_discriminator, build_generator
from kerasnotes.chapter11.judge import as_pixels, classify, draw_images, nearest_distances, trained_classifier
from kerasnotes.chapter11.saturation import discriminator_loss, generator_loss
from kerasnotes.chapter11.scores import Judge
from kerasnotes.parts import positive, shape, share, whole
from kerasnotes.plots import tile_images  # noqa: F401 (once defined here)

SMOKE = {"steps": 2, "images": 512, "samples": 100, "batch_size": 8, "channels": (8, 4, 4), "classifier_epochs": 1}
FULL = {"steps": 30000, "channels": (128, 64, 32)}
SECONDS = 48

GOAL = 7.0  # an inception-type score to aim at; 5.0 has to be reached


def dcgan_step(generator, discriminator, generator_optimizer, discriminator_optimizer, real, noise):
    """One step of each network, the discriminator first, on one batch of drawn images.

    The generator runs once: both steps use its images, and the chain rule is cut in two at them. Real and drawn images
    pass the discriminator as separate batches, so that batch normalization does not mix them.

    Args:
        generator, discriminator: Models as `build_generator` and `build_discriminator` make them.
        generator_optimizer, discriminator_optimizer: Keras optimizers.
        real: Images (batch, 28, 28, 1) in [−1, 1].
        noise: (batch, latent_size).

    Returns: `(discriminator_loss, generator_loss)`, two scalars, each from before its network's step.

    Raises: ValueError: If real and noise have different batches.
    """
    shape("noise", noise, real.shape[0], None)
    # draw, and keep the way back to the generator's weights
    with tf.GradientTape() as drawing:
        fake = generator(noise, training=True)
    # tell real from drawn
    with tf.GradientTape() as judging:
        real_logits = discriminator(real, training=True)
        loss = discriminator_loss(real_logits, discriminator(tf.stop_gradient(fake), training=True))
    weights = discriminator.trainable_variables
    discriminator_optimizer.apply(judging.gradient(loss, weights), weights)
    # ask the discriminator, after its step, which change of the images it would take for real
    with tf.GradientTape() as answer:
        answer.watch(fake)
        fooled = generator_loss(discriminator(fake, training=True))
    slope = answer.gradient(fooled, fake)  # (batch, 28, 28, 1)
    # pass that on to the generator's weights
    weights = generator.trainable_variables
    generator_optimizer.apply(drawing.gradient(fake, weights, output_gradients=slope), weights)
    return loss, fooled


def train_dcgan(
    generator,
    discriminator,
    images,
    steps,
    *,
    batch_size=64,
    learning_rate=1e-3,
    beta_1=0.5,
    every=250,
    seed=0,
    track=None,
    watch=None,
):
    """Train both networks in turns, in place.

    Args:
        generator, discriminator: Models as `build_generator` and `build_discriminator` make them.
        images: Array or tensor (samples, 28, 28, 1), pixels in [−1, 1].
        steps: Steps of each network.
        batch_size: Images in a batch, real and drawn.
        learning_rate, beta_1: Of both Adam optimizers; the rate falls linearly to a twentieth.
        every, track, watch: As in `train_in_chunks`.
        seed: Seed of noise and order.

    Returns: float32 (steps, 2), the losses of discriminator and generator.

    Raises: ValueError: If a number is out of range, or the images have another shape or range.

    Source: Radford et al. 2016, arXiv:1511.06434, section 4 (Adam with beta_1 0.5; its learning rate is 0.0002).
    """
    share("beta_1", beta_1, high=False)
    positive("learning_rate", learning_rate)
    rate = keras.optimizers.schedules.PolynomialDecay(learning_rate, steps, learning_rate / 20)
    images, batch_size = tf.constant(as_pixels(images)), whole("batch_size", batch_size)
    optimizers = [keras.optimizers.Adam(rate, beta_1=beta_1) for _ in range(2)]
    for optimizer, model in zip(optimizers, (generator, discriminator), strict=True):
        optimizer.build(model.trainable_variables)  # a loop must not create variables
    rng = np.random.default_rng((seed, 3))

    def draw(first, count):
        order = rng.integers(len(images), size=(count, batch_size), dtype=np.int32)
        return order, rng.standard_normal((count, batch_size, generator.input_shape[-1]), np.float32)

    def step(order, noise):
        return dcgan_step(generator, discriminator, *optimizers, tf.gather(images, order), noise)

    return train_in_chunks(step, draw, steps, every, track, watch)


def train_in_chunks(step, draw, steps, every=250, track=None, watch=None):
    """Run many steps of a training of one network or several, many in one compiled call.

    Args:
        step: Callable that does one step with what was drawn for it and returns its losses, a scalar each, or one
            vector of them. It must not create variables: build optimizers before.
        draw: Callable `(first, count)` that returns, for so many steps from `first` on, a tuple of arrays (count, ...).
        steps: Number of steps.
        every: Steps in one compiled call.
        track: Callable `(iterable, description) -> iterable` that shows progress, or None.
        watch: Callable `(steps_done)`, called after every compiled call, or None.

    Returns: float32 (steps, losses).

    Raises: ValueError: If a number of steps is not a positive whole number.
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def run(*drawn):
        def body(i, history):
            return i + 1, history.write(i, tf.stack(step(*(each[i] for each in drawn))))

        count = tf.shape(drawn[0])[0]
        history = tf.TensorArray(tf.float32, count)
        # Steps depend on each other through the weights: none may start before the last one has ended.
        return tf.while_loop(lambda i, _: i < count, body, (0, history), parallel_iterations=1)[1].stack()

    history, starts = [], range(0, whole("steps", steps), whole("every", every))
    for first in starts if track is None else track(starts, "training"):
        count = min(every, steps - first)
        history.append(run(*map(tf.constant, draw(first, count))).numpy())
        if watch is not None:
            watch(first + count)
    return np.concatenate(history)


def example():
    """Six steps on pictures that are bright above, and the first step's losses by Keras's cross-entropy."""
    images = np.full((64, 28, 28, 1), -1, np.float32)
    images[:, :14] = 1
    generator, discriminator = build_generator(2, (8, 8, 8)), build_discriminator((4, 8, 8))
    noise = tf.random.stateless_normal((64, 2), (0, 0))
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    logits = discriminator(images, training=True), discriminator(generator(noise, training=True), training=True)
    by_keras = cross_entropy(tf.ones((64, 1)), logits[0]) + cross_entropy(tf.zeros((64, 1)), logits[1])
    ours, _ = dcgan_step(generator, discriminator, *map(keras.optimizers.SGD, (0.0, 0.0)), images, noise)
    print("the discriminator's loss by Keras and by ours:", float(by_keras), float(ours))
    losses = train_dcgan(generator, discriminator, images, 6, batch_size=16, learning_rate=0.01)
    print("drawn:", draw_images(generator, 3, seed=0).shape, "losses of the two:", losses.round(2).tolist())


def lesson(
    report,
    *,
    steps: int = 2500,
    images: int = 60000,
    samples: int = 10000,
    channels: tuple[int, ...] = (64, 32, 16),
    latent_size: int = 64,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    classifier_epochs: int = 4,
    seed: int = 0,
):
    """Check the step against one tape, then train on MNIST and have a classifier judge the drawn digits.

    Args:
        report: The report to write to.
        steps: Steps of each network (2 to 1000000).
        images: Training images (512 to 60000).
        samples: Drawn digits that are scored, and as many real ones beside them (100 to 10000).
        channels: The generator's maps of 4 x 4, 7 x 7 and 14 x 14 pixels; the discriminator's in reverse (1 to 1024).
        latent_size: Numbers of noise for an image (1 to 1024).
        batch_size: Images in a batch (2 to 1024).
        learning_rate: Of both Adam optimizers (0.000001 to 1).
        classifier_epochs: Epochs of the classifier that judges (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _cut_chain(report, seed)
    (x, _), (x_test, y_test) = data.mnist()
    rng = np.random.default_rng((seed, 6))
    real, picked = (rng.permutation(len(each))[:samples] for each in (x[:images], x_test))
    x, x_test = (np.float32(pixels)[..., None] / 127.5 - 1 for pixels in (x[:images], x_test[picked]))
    classifier = trained_classifier(data.mnist, training.fit, images, classifier_epochs, seed)
    accuracy = np.mean(classify(classifier, x_test)[1].argmax(axis=1) == y_test[picked])
    report.at_least("the classifier's test accuracy", got=accuracy, bound=0.985, trained=True)
    judge = Judge(classifier, x[real], seed)
    generator = build_generator(latent_size, channels, seed)
    judge.look(generator, 0)
    losses = train_dcgan(
        generator, build_discriminator(channels[::-1], seed), x, steps, batch_size=batch_size,
        learning_rate=learning_rate, every=math.ceil(steps / 8), seed=seed, track=report.track,
        watch=lambda done: judge.look(generator, done),
    )  # fmt: skip
    drawn = judge.verdict(generator, x_test)
    _learnt(report, judge, samples)
    _copies(report, drawn, x)
    _notes(report, steps, losses)
    _on_the_way(report, judge)
    _digits(report, generator, drawn, latent_size, seed)


def _cut_chain(report, seed):
    """`dcgan_step` moves the generator as one tape through both networks would."""
    rng = np.random.default_rng((seed, 10))
    real, noise = np.float32(rng.uniform(-1, 1, (8, 28, 28, 1))), rng.standard_normal((8, 5), np.float32)
    generator, discriminator = build_generator(5, (4, 3, 2), seed), build_discriminator((2, 3, 4), seed)
    before = generator.get_weights()
    with tf.GradientTape() as tape:
        loss = generator_loss(discriminator(generator(noise, training=True), training=True))
    gradients = tape.gradient(loss, generator.trainable_variables)
    generator.set_weights(before)
    start = [weight.numpy() for weight in generator.trainable_variables]
    _, fooled = dcgan_step(generator, discriminator, *map(keras.optimizers.SGD, (1.0, 0.0)), real, noise)
    moved = [a - b.numpy() for a, b in zip(start, generator.trainable_variables, strict=True)]
    report.check("the chain rule cut at the images: the generator's step", moved, gradients, rtol=1e-3, atol=1e-5)
    report.check("and its loss", got=fooled, want=loss)


def _learnt(report, judge, samples):
    report.table(f"{samples:,} images of each kind, judged by the classifier", *judge.table())
    report.table("on the way", ["steps", "inception score", "digits found", "Fréchet distance"], judge.path)
    best, real = judge.scored.values()
    report.at_least("inception-type score of drawn digits", got=best["score"], bound=5.0, trained=True)
    report.at_least("digits found among 1,000 drawn", got=round(10 * best["coverage"]), bound=10, trained=True)
    label = "Fréchet distance of drawn digits over that before training"
    report.at_most(label, got=best["frechet"] / judge.path[0][3], bound=0.2, trained=True)
    reached = "reached" if best["score"] >= GOAL else f"missed by {GOAL - best['score']:.2f}"
    report.note(f"Goal {GOAL}: {reached} with {best['score']:.2f}; test digits have {real['score']:.2f}.")


def _copies(report, drawn, x):
    """A generator that had learnt the training digits by heart would draw at distance 0 from them."""
    own, real = (np.median(nearest_distances(drawn[name][:300], x)) for name in ("drawn digits", "test digits"))
    report.table("median distance to the nearest training digit (pixels from −1 to 1)", ["images", "distance"],
                 [["drawn", own], ["test digits", real]])  # fmt: skip
    label = "drawn digits are no copies: their distance to training digits over that of test digits"
    report.at_least(label, got=own / real, bound=0.5, trained=True)


def _notes(report, steps, losses):
    tail = losses[-max(1, steps // 10) :].mean(axis=0)
    report.note(
        f"Losses at the end: discriminator {tail[0]:.2f}, generator {tail[1]:.2f} nats. They say little about the "
        "digits: each is measured against an opponent that changes. Unlike the paper: three strided layers in place of "
        "four, kernels of 4 x 4 and 3 x 3 in place of 5 x 5, fewer maps; noise is normal, not uniform; batches of 64, "
        "not 128; the rate falls linearly from 0.001 in place of 0.0002; both steps use one batch of drawn images."
    )


def _on_the_way(report, judge):
    steps = [row[0] for row in judge.path]
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.8), width_ratios=(1.15, 1))
    plots.tiles(judge.strips, left, [f"{done:,}" for done in steps])
    left.set(ylabel="steps")
    left.set_title("Ten noise vectors on the way")
    series = {"drawn": [row[1] for row in judge.path], f"goal {GOAL:g}": [GOAL] * len(steps)}
    plots.curves(steps, series, xlabel="steps", ylabel="inception-type score", ax=right)
    right.set_title("Clear and varied digits")
    right.set(ylim=(0, 10))
    report.figure(
        "digits on the way", figure,
        alt="Left: ten drawn images at nine times of training, from grey noise to clear digits. Right: the "
        "inception-type score rises quickly at first and then slowly.",
    )  # fmt: skip


def _digits(report, generator, drawn, latent_size, seed):
    ends = np.random.default_rng((seed, 11)).standard_normal((2, 10, latent_size), np.float32)
    way = np.linspace(0, 1, 10, dtype=np.float32)[:, None]
    walks = [generator((1 - way) * a + way * b, training=False) for a, b in zip(*ends, strict=True)]
    hundred = [drawn[name][:100].reshape(10, 10, 28, 28) for name in ("drawn digits", "test digits")]
    figure, axes = plots.subplots(1, 3, figsize=(11, 4.3))
    titles = ("Drawn digits", "Real digits", "From one noise to another")
    for ax, pictures, title in zip(axes, (*hundred, np.stack(walks)), titles, strict=True):
        plots.tiles(pictures, ax)
        ax.set_title(title)
    report.figure(
        "drawn and real digits", figure,
        alt="A hundred drawn digits, a hundred real ones, and ten rows that each change gradually from one drawn digit "
        "to another.",
    )  # fmt: skip

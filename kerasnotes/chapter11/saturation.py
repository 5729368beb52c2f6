"""A discriminator that is always right leaves log(1 − D) without a slope, and −log D keeps one.

The discriminator's loss is a cross-entropy; the generator can descend the game's own log(1 − D), or −log D. What the
reader should see: the losses are Keras's, with labels 1 and 0, and finite for any logits; along one logit the two
slopes differ by the factor e to the logit; and a discriminator that was trained against a generator that stands still
has a loss near 0, not a large one, and passes no slope on to a generator that descends log(1 − D).

Notes: chapter 11, "Generative adversarial networks" (生成对抗网络).
Source: Goodfellow et al. 2014, arXiv:1406.2661, equation 1 and the end of section 3; Arjovsky and Bottou 2017,
arXiv:1701.04862 (the slope that vanishes).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import floating, layer_seeds

SMOKE = {"steps": 4}
SECONDS = 2


def discriminator_loss(real_logits, fake_logits):
    """The discriminator's cross-entropy: −log D(real) − log(1 − D(fake)), with D the sigmoid of the logits.

    Args:
        real_logits, fake_logits: Logits of the answer "real", (batch,) or (batch, 1); axes before that are runs of
            their own.

    Returns:
        The mean over the batch, one number a run: () or (runs,). It is finite for all finite logits.

    Raises:
        ValueError: If a batch is empty, or holds more than one logit a sample.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, equation 1, with the sign of a loss.
    """
    real = batch_mean("real_logits", real_logits, lambda logits: tf.nn.softplus(-logits))
    return real + batch_mean("fake_logits", fake_logits, tf.nn.softplus)


def generator_loss(fake_logits, saturating=False):
    """What the generator descends: −log D(fake), or the game's own log(1 − D(fake)), whose slope dies if D is sure.

    Args:
        fake_logits: The discriminator's logits of generated samples, shaped as in `discriminator_loss`.
        saturating: Whether to take the second form.

    Returns:
        The mean over the batch, one number a run.

    Raises:
        ValueError: As `discriminator_loss`.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, equation 1 and the end of section 3.
    """
    if saturating:
        return batch_mean("fake_logits", fake_logits, lambda logits: -tf.nn.softplus(logits))
    return batch_mean("fake_logits", fake_logits, lambda logits: tf.nn.softplus(-logits))


def batch_mean(name, values, function=tf.identity):
    """The mean of a function of a network's outputs over the batch, for each run by itself.

    Args:
        name: Name of the argument, for messages.
        values: One number a sample, (batch,) or (batch, 1); axes before that are runs of their own.
        function: Callable that takes the numbers one by one.

    Returns:
        One number a run: () or (runs,).

    Raises:
        ValueError: If the batch is empty, or holds more than one number a sample.
    """
    values = floating(name, values)
    if len(values.shape) == 0 or (len(values.shape) > 1 and values.shape[-1] != 1):
        raise ValueError(f"{name}: expected the shape (batch,) or (..., batch, 1), got {tuple(values.shape)}")
    return tf.reduce_mean(function(values), axis=-1 if len(values.shape) == 1 else (-2, -1))


def example():
    """The two players' losses, by Keras's cross-entropy and by the functions above; and their slopes at a sure no."""
    real, fake = tf.constant([[2.0], [0.5]]), tf.constant([[-1.0], [-3.0]])  # logits
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    keras_loss = cross_entropy(tf.ones_like(real), real) + cross_entropy(tf.zeros_like(fake), fake)
    print("discriminator:", float(keras_loss), float(discriminator_loss(real, fake)))
    print("generator:    ", float(cross_entropy(tf.ones_like(fake), fake)), float(generator_loss(fake)))
    for saturating, name in ((True, "log(1 − D)"), (False, "−log D")):
        logits = tf.constant([[-10.0]])
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = generator_loss(logits, saturating)
        print(f"slope of {name} at the logit −10: {float(tape.gradient(loss, logits)[0, 0]):.2g}")


def lesson(report, *, steps: int = 1000, seed: int = 0):
    """Check the losses, then train a discriminator against a generator that stands still.

    Args:
        report: The report to write to.
        steps: Training steps of the discriminator (4 to 100000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _losses(report, np.random.default_rng(seed))
    _one_logit(report)
    rows, path = _perfect_discriminator(report, steps, seed)
    _course(report, rows)
    _figure(report, path)


def _losses(report, rng):
    real, fake = (tf.constant(rng.normal(scale=3.0, size=(3, 64, 1)), tf.float32) for _ in range(2))
    keras_loss = keras.losses.BinaryCrossentropy(from_logits=True)
    rows = []
    for run in range(3):
        ones, zeros = tf.ones((64, 1)), tf.zeros((64, 1))
        both = keras_loss(ones, real[run]) + keras_loss(zeros, fake[run])
        rows.append([both, keras_loss(ones, fake[run]), -keras_loss(zeros, fake[run])])
    want = [tf.stack(values) for values in zip(*rows, strict=True)]
    ours = [discriminator_loss(real, fake), generator_loss(fake), generator_loss(fake, saturating=True)]
    report.check("the losses are Keras's cross-entropies with labels 1 and 0, run by run", ours, want)
    sure = tf.constant([100.0, -100.0])
    at_ends = [discriminator_loss(-sure, sure), generator_loss(sure), generator_loss(sure, saturating=True)]
    report.check("at logits ±100 they are 100, 50 and −50", at_ends, [100.0, 50.0, -50.0])


def _one_logit(report):
    slopes = [_slopes(tf.identity, tf.constant([logit]))[0] for logit in (-10.0, 0.0, 5.0)]
    ratios = [float(saturating[0] / other[0]) for saturating, other in slopes]
    label = "at one logit the slopes' ratio is e to the logit: −10, 0, 5"
    report.check(label, ratios, np.exp([-10.0, 0.0, 5.0]), rtol=1e-4)


def _slopes(discriminator, samples):
    """Slopes of the two losses, log(1 − D) first, in the samples; and the two losses."""
    slopes, values = [], []
    for saturating in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(samples)
            values.append(generator_loss(discriminator(samples), saturating))
        slopes.append(tape.gradient(values[-1], samples))
    return slopes, [float(value) for value in values]


def _network(inputs, seed):
    starts = [keras.initializers.GlorotUniform(number) for _, number in zip(range(2), layer_seeds(seed), strict=False)]
    layers = [keras.layers.Dense(16, "relu", kernel_initializer=starts[0])]
    layers.append(keras.layers.Dense(1, kernel_initializer=starts[1]))
    return keras.Sequential([keras.Input((inputs,)), *layers])


def _perfect_discriminator(report, steps, seed):
    """Data far from all that a fresh generator draws; the discriminator learns to tell them apart without mistake."""
    generator, discriminator = _network(2, (seed, 0)), _network(1, (seed, 1))
    optimizer = keras.optimizers.Adam(0.02)
    optimizer.build(discriminator.trainable_variables)
    rng = np.random.default_rng((seed, 2))
    real, noise = (tf.constant(rng.normal(size=(256, size)), tf.float32) for size in (1, 2))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = discriminator_loss(discriminator(real + 10.0), discriminator(generator(noise)))
        optimizer.apply(tape.gradient(loss, discriminator.trainable_variables), discriminator.trainable_variables)
        return loss

    def norms():
        values, sizes = [], []
        for saturating in (True, False):
            with tf.GradientTape() as tape:
                values.append(generator_loss(discriminator(generator(noise)), saturating))
            sizes.append(float(tf.linalg.global_norm(tape.gradient(values[-1], generator.trainable_variables))))
        return [float(value) for value in values], sizes

    # every stretch is longer than the one before: most happens at the start
    stops = np.unique(np.geomspace(1, steps, 12).astype(int))
    path, losses = [], []
    for stop in stops:
        losses += [float(step()) for _ in range(stop - len(losses))]
        path.append([stop, losses[-1], *norms()[1]])
    values, sizes = norms()
    rows = [
        ["discriminator's, at the start", losses[0], None],
        ["discriminator's, perfect", losses[-1], None],
        ["log(1 − D), saturating", values[0], sizes[0]],
        ["−log D", values[1], sizes[1]],
    ]
    columns = ["loss", "nats", "norm of its gradient in the generator"]
    report.table("a discriminator without mistakes", columns, rows)
    label = "perfect discriminator: gradient of log(1 − D) over that of −log D"
    report.at_most(label, sizes[0] / sizes[1], 1e-3, trained=True)
    report.at_most("the perfect discriminator's own loss, nats", losses[-1], 1e-3, trained=True)
    return rows, np.array(path)


def _course(report, rows):
    report.correction(
        "when the generator stops learning",
        course="The discriminator is too good: its loss is too large.",
        correct="Its loss is near 0 then. What is missing is the generator's gradient, if its loss is log(1 − D).",
        shown_by=f"a discriminator trained alone: loss {rows[1][1]:.2g}, gradients {rows[2][2]:.2g} and "
        f"{rows[3][2]:.2g}",
    )


def _figure(report, path):
    logits = tf.linspace(-10.0, 10.0, 201)
    slopes, _ = _slopes(lambda values: values[:, None], logits)
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.2))
    names = ("log(1 − D)", "−log D")
    sizes = {name: np.abs(slope) * len(logits) for name, slope in zip(names, slopes, strict=True)}
    plots.curves(logits.numpy(), sizes, xlabel="the discriminator's logit of a fake", ylabel="size of the slope",
                 title="Sure that it is a fake: logit −10", ax=left)  # fmt: skip
    series = {f"gradient of {name}": path[:, 2 + number] for number, name in enumerate(names)}
    series["discriminator's loss, nats"] = path[:, 1]
    plots.curves(path[:, 0], series, xlabel="steps of the discriminator", ylabel="norm, or nats", xscale="log",
                 yscale="log", title="A discriminator that learns alone", ax=right)  # fmt: skip
    report.figure(
        "Two slopes for one wish",
        figure,
        alt="Left: where the discriminator is sure of a fake, the slope of log(1 − D) is 0 and that of −log D is 1. "
        "Right: while a discriminator learns alone, its loss and the gradient of log(1 − D) fall together by orders of "
        "magnitude, and the gradient of −log D does not.",
    )

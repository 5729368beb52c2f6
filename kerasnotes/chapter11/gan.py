"""A generator learns a distribution that it never sees, from nothing but a discriminator's slope.

Two networks take turns. The discriminator tells real numbers from those that the generator draws; the generator has no
data, and shifts its draws to where the discriminator says "real". What the reader should see: each player moves its own
weights only; the draws go where the discriminator's answer is high, until the answer is one half everywhere. There
neither can gain any more: this is the equilibrium. The two circle around it, and the mean of the generator's weights
over the last half of training is nearer to it than the last weights.

Notes: chapter 11, "Generative adversarial networks" (生成对抗网络).
Source: Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1 and figure 1; Yazıcı et al. 2019, arXiv:1806.04498
(averages of the generator's weights).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter11.divergences import optimal_discriminator, wasserstein_of_samples
from kerasnotes.chapter11.games import bilinear_growth, bilinear_path, equilibria  # noqa: F401 (once defined here)
from kerasnotes.chapter11.saturation import discriminator_loss, generator_loss
from kerasnotes.chapter11.side_by_side import ParallelDense, parallel_mlp, take_turns  # noqa: F401 (once defined here)

SMOKE = {"steps": 6, "runs": 2, "batch_size": 16, "units": 8, "samples": 200}
FULL = {"runs": 10, "steps": 20000}
SECONDS = 15


def discriminator_step(generator, discriminator, optimizer, real, noise, loss=discriminator_loss):
    """One step of the discriminator; the generator draws the fakes and stays as it is.

    Args:
        generator: Model from noise to samples.
        discriminator: Model from samples to logits.
        optimizer: The discriminator's Keras optimizer.
        real, noise: A batch of real samples, and one of noise, each (batch, size) or (runs, batch, size).
        loss: Callable `(real_logits, fake_logits) -> loss`.

    Returns: The loss before the step, () or (runs,).
    """
    fake = generator(noise)  # before the tape, which therefore knows no way back to the generator
    with tf.GradientTape() as tape:
        value = loss(discriminator(real), discriminator(fake))  # the gradient is that of the sum over the runs
    optimizer.apply(tape.gradient(value, discriminator.trainable_variables), discriminator.trainable_variables)
    return value


def generator_step(generator, discriminator, optimizer, noise, loss=generator_loss):
    """One step of the generator, on the slope that comes through the discriminator, which stays as it is.

    Args:
        generator, discriminator, noise: As in `discriminator_step`.
        optimizer: The generator's Keras optimizer.
        loss: Callable `fake_logits -> loss`.

    Returns: The loss before the step, () or (runs,).
    """
    with tf.GradientTape() as tape:
        value = loss(discriminator(generator(noise)))  # the slope passes through both, but only one takes a step
    optimizer.apply(tape.gradient(value, generator.trainable_variables), generator.trainable_variables)
    return value


def train_gan(generator, discriminator, sample_data, sample_noise, steps, *, discriminator_steps=1, learning_rate=2e-4,
              discriminator_objective=discriminator_loss, generator_objective=generator_loss, every=None, record=None,
              seed=0):  # fmt: skip
    """Train a generator against a discriminator, both by Adam without most of its momentum.

    Args:
        generator, discriminator: Keras models, as in `discriminator_step`.
        sample_data, sample_noise: Callables from a seed, an integer tensor (2,), to a batch of real samples or noise.
        steps, discriminator_steps: Steps of the generator, and of the discriminator before each of them.
        every, record: `record`, if not None, is called with the steps so far: at 0, after each `every` and at the end.
        seed: Seed of all draws.
        learning_rate: Learning rate of both players, or a Keras schedule.
        discriminator_objective, generator_objective: Losses, as in `discriminator_step` and `generator_step`.

    Returns: Dictionary of "step" and both players' last losses until then, "discriminator" and "generator"; each
        (records, ...), where step 0 has no record.

    Raises: ValueError: If a number of steps is not positive.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1; its optimizer: Radford et al. 2016, arXiv:1511.06434.
    """
    generator_optimizer = keras.optimizers.Adam(learning_rate, beta_1=0.5)  # at 0.9 the two oscillate (Radford et al.)
    discriminator_optimizer = keras.optimizers.Adam(learning_rate, beta_1=0.5)
    # a compiled loop must not create variables
    generator_optimizer.build(generator.trainable_variables)
    discriminator_optimizer.build(discriminator.trainable_variables)

    # tell real from drawn, with fresh draws in every turn: its two seeds are for data and noise
    def discriminator_turn(seeds):
        real, noise = sample_data(seeds[0]), sample_noise(seeds[1])
        loss = discriminator_step(
            generator, discriminator, discriminator_optimizer, real, noise, discriminator_objective
        )
        return loss

    # draw what passes for real, by the discriminator as it is now
    def generator_turn(seeds):
        return generator_step(
            generator, discriminator, generator_optimizer, sample_noise(seeds[1]), generator_objective
        )

    return take_turns(discriminator_turn, generator_turn, steps, discriminator_steps, every, record, seed)


def average_weights(moments):
    """The mean of a network's weights over several moments of its training.

    Players of a game circle around their equilibrium; the middle of the circle is nearer to it than any point on it.

    Args:
        moments: The weights at several points in time, each a list of arrays as from `model.get_weights()`.

    Returns: List of arrays, for `model.set_weights`.

    Raises: ValueError: If there is no moment, or their weights differ in number.

    Source: Yazıcı et al. 2019, arXiv:1806.04498 (uniform average).
    """
    if not moments:
        raise ValueError("moments: expected the weights of at least one moment, got none")
    return [np.mean(same, axis=0) for same in zip(*moments, strict=True)]  # `same`: one array at all moments


def example():
    """A generator that learns where a hill of numbers lies; the losses beside Keras's cross-entropy."""
    starts = [keras.initializers.GlorotUniform(seed) for seed in range(3)]
    generator = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer=starts[0])])
    judge = [keras.layers.Dense(16, "relu", kernel_initializer=starts[1])]
    discriminator = keras.Sequential([keras.Input((1,)), *judge, keras.layers.Dense(1, kernel_initializer=starts[2])])

    def noise(seed):
        return tf.random.stateless_normal((64, 1), seed)

    def real(seed):
        return 3.0 + 0.5 * noise(seed)

    print("drawn before:", generator(noise((0, 0))).numpy().mean())
    history = train_gan(generator, discriminator, real, noise, 600, learning_rate=0.01, every=200)
    print("drawn after: ", generator(noise((0, 0))).numpy().mean(), "where the data have 3")
    print("discriminator's losses on the way:", history["discriminator"])
    keras_loss = keras.losses.BinaryCrossentropy(from_logits=True)
    logits = discriminator(real((0, 1))), discriminator(generator(noise((0, 2))))
    parts = [keras_loss(tf.fill((64, 1), label), each) for label, each in zip((1.0, 0.0), logits, strict=True)]
    print("the loss by Keras and by ours:", float(sum(parts)), float(discriminator_loss(*logits)))


def lesson(
    report,
    *,
    steps: int = 12000,
    runs: int = 3,
    units: int = 32,
    batch_size: int = 256,
    learning_rate: float = 0.0005,
    samples: int = 20000,
    seed: int = 0,
):
    """Check that each step moves one player, then learn two hills, with the generator's weights averaged at the end.

    Args:
        report: The report to write to.
        steps: Training steps of the generator (2 to 1000000).
        runs: Independent runs, trained side by side (2 to 100).
        units: Units of each of two hidden layers (2 to 1024).
        batch_size: Samples in a batch (2 to 100000).
        learning_rate: Learning rate at the start; it falls to 0 (0.000001 to 1).
        samples: Samples to measure distances with (100 to 1000000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _one_player_at_a_time(report, seed)
    generator = parallel_mlp(runs, 1, (units, units), 1, seed, "leaky_relu")
    discriminator = parallel_mlp(runs, 1, (units, units), 1, seed + 1000, "leaky_relu")  # both keep (runs, batch, 1)
    look = _Look(generator, discriminator, samples, steps, seed)
    history = train_gan(
        generator,
        discriminator,
        lambda seed: _real_numbers(seed, (runs, batch_size, 1)),
        lambda seed: tf.random.stateless_uniform((runs, batch_size, 1), seed, -1.0, 1.0),
        steps,
        learning_rate=keras.optimizers.schedules.PolynomialDecay(learning_rate, steps, 0.0),
        every=max(1, steps // 240),  # half of these moments make the mean
        record=look,
        seed=seed,
    )
    look.at_the_mean()
    _distances(report, look, history)
    _figure_one(report, look)


def _one_player_at_a_time(report, seed):
    """One step of each player, and how far the weights of both have moved in it."""
    generator, discriminator = parallel_mlp(2, 3, (8,), 1, seed), parallel_mlp(2, 1, (8,), 1, seed + 100)
    rng = np.random.default_rng((seed, 1))
    real, noise = (tf.constant(rng.normal(size=(2, 16, size)), tf.float32) for size in (1, 3))
    players = {"generator": generator, "discriminator": discriminator}
    steps = ("generator", generator_step, (noise,)), ("discriminator", discriminator_step, (real, noise))
    for name, step, data in steps:
        before = {player: model.get_weights() for player, model in players.items()}
        step(generator, discriminator, keras.optimizers.Adam(0.01), *data)
        moved = {
            player: max(np.abs(new - old).max() for new, old in zip(model.get_weights(), before[player], strict=True))
            for player, model in players.items()
        }
        other = next(player for player in players if player != name)
        report.check(f"in the {name}'s step the {other}'s weights stand still", moved[other], 0.0, rtol=0, atol=0)
        report.at_least(f"and the {name}'s move", moved[name], 0.005)


def _real_numbers(seed, shape):
    """Two hills, 0.7 N(−1, 0.5²) and 0.3 N(1.5, 0.6²)."""
    right = tf.random.stateless_uniform(shape, seed) < 0.3
    normal = tf.random.stateless_normal(shape, seed + 1)  # another seed: the place in a hill does not depend on which
    return tf.where(right, 1.5 + 0.6 * normal, -1.0 + 0.5 * normal)


def _real_density(x):
    hills = ((0.7, -1.0, 0.5), (0.3, 1.5, 0.6))  # weight, mean and deviation, as in `_real_numbers`
    return sum(w * np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2 * np.pi)) for w, m, s in hills)


class _Look:
    """Keeps weights on the way, and at every fourth look distances to the data and the first run's curves."""

    def __init__(self, generator, discriminator, samples, steps, seed):
        self.generator, self.discriminator, self.steps = generator, discriminator, steps
        runs = generator.layers[0].runs
        real = tf.sort(_real_numbers(tf.constant([seed, -1], tf.int64), (1, samples)))  # a seed that no turn has
        self.real, self.deviation = tf.tile(real, (runs, 1)), float(tf.math.reduce_std(real))
        noise = tf.linspace(-1.0, 1.0, samples + 1)[:-1] + 1 / samples  # evenly spaced: no luck in the measurement
        self.noise = tf.tile(noise[None, :, None], (runs, 1, 1))  # (runs, samples, 1)
        self.x = np.linspace(-3.5, 4, 301, dtype="float32")
        self.grid = tf.tile(tf.constant(self.x[:, None])[None], (runs, 1, 1))  # (runs, 301, 1)
        self.moments, self.distances, self.curves = [], [], {}

    def __call__(self, step):
        if len(self.moments) % 4 == 0 or step == self.steps:
            self._measure(step)
        self.moments.append(self.generator.get_weights())

    def at_the_mean(self):
        """Give the generators the mean of their weights over the last half of the steps, and measure once more."""
        self.generator.set_weights(average_weights(self.moments[len(self.moments) // 2 :]))
        self._measure(self.steps)

    def _measure(self, step):
        drawn = self.generator(self.noise)[..., 0]  # (runs, samples)
        self.distances.append(wasserstein_of_samples(drawn, self.real) / self.deviation)
        self.curves[step] = drawn[0].numpy(), tf.sigmoid(self.discriminator(self.grid))[0, :, 0].numpy()


def _distances(report, look, history):
    *way, mean = np.stack(look.distances)  # each (runs,); the last one was measured at the mean weights
    losses = [history[player][-1] for player in ("discriminator", "generator")]
    columns = ["run", "at the start", "half way", "at the end", "mean weights", "last loss of D", "last loss of G"]
    series = zip(way[0], way[len(way) // 2], way[-1], mean, *losses, strict=True)
    rows = [[run, *each] for run, each in enumerate(series)]
    report.table("Wasserstein distance to the data, in its standard deviations", columns, rows)
    note = "Distance over {} runs: {:.3f} ± {:.3f} standard deviations of the data."
    report.note(note.format(len(mean), *plots.mean_and_error(mean)))
    report.at_most("distance to the data at the end, largest of all runs", mean.max(), 0.1, trained=True)
    label = "the discriminator's loss at the end, near the 2 ln 2 of one that can only guess"
    report.check(label, losses[0].mean(), 2 * np.log(2), rtol=0, atol=0.1, trained=True)
    report.note(
        "The learning rate falls to 0 here, and the generator that is judged has the mean of its weights over the last "
        "half of the steps; algorithm 1 leaves both open, and at a steady rate the two circle on. The mean was chosen "
        "on seeds that are not judged here, 100 to 115, among the last weights and means over their last tenth, fifth, "
        "third and half."
    )


def _figure_one(report, look):
    recorded, x = sorted(look.curves), look.x
    chosen = [recorded[i] for i in (0, min(2, len(recorded) - 1), len(recorded) // 4, -1)]
    figure, axes = plots.subplots(1, 4, figsize=(14, 4.2), sharey=True)
    for ax, step in zip(axes, chosen, strict=True):
        drawn, answers = look.curves[step]
        counts, edges = np.histogram(drawn, np.linspace(-3.5, 4, 61), density=True)
        density = np.interp(x, (edges[1:] + edges[:-1]) / 2, counts)  # (301,), the histogram as a curve
        ax.plot(x, _real_density(x), ":", color="k", label="data")
        ax.stairs(np.minimum(counts, 1.6), edges, color="C3", fill=True, alpha=0.6, label="generator")
        ax.plot(x, answers, "-", color="C1", label="D(x)")
        ax.plot(x, optimal_discriminator(_real_density(x), density), "--", color="C2", linewidth=1, label="best D(x)")
        for z, point in zip(np.linspace(-3.5, 4, 25), drawn[:: max(1, len(drawn) // 25)], strict=False):
            ax.plot([z, np.clip(point, -3.5, 4)], [-0.45, -0.08], color="0.6", linewidth=0.8)  # from noise to draw
        ax.set(xlabel="x", ylim=(-0.5, 1.65), xlim=(-3.6, 4.1), yticks=[0, 0.5, 1, 1.5])
        ax.set_title(f"step {step}" + (",\nmean weights" if step == look.steps else ""))
    axes[0].set_ylabel("density, or probability")
    axes[0].legend(loc="upper right", fontsize=10)
    report.figure(
        "Two players, as in figure 1 of the paper",
        figure,
        alt="Four steps of one run. At first the generator draws one narrow peak and the discriminator tells it from "
        "the data; at the end the generator's histogram lies on the two hills of the data and the discriminator is "
        "level at one half. Grey lines below show where evenly spaced noise goes.",
    )

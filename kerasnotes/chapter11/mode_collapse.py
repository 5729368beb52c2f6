"""A generator that fools its opponent with one good answer repeats it: modes are lost, and settings decide how many.

Eight small Gaussians on a ring, and generators that should draw all of them. What the reader should see: how many modes
a plain GAN and a WGAN with gradient penalty keep, over several seeds, and which share of the samples lies near a mode
at all, which is another matter; how much both depend on the learning rate and the width; what two published remedies
bring.

Notes: chapter 11, "Mode collapse and training difficulties" (模式坍塌与训练困难).
Source: Metz et al. 2017, arXiv:1611.02163, section 3.1 (the ring); Salimans et al. 2016, arXiv:1606.03498, sections 3.2
and 3.4 (remedies); Gulrajani et al. 2017, arXiv:1704.00028.
"""

import keras
import numpy as np
import tensorflow as tf
from matplotlib.animation import FuncAnimation

from kerasnotes import plots
from kerasnotes.chapter11.gan import generator_step, train_gan
from kerasnotes.chapter11.gradient_penalty import gradient_penalty
from kerasnotes.chapter11.remedies import MinibatchDiscrimination, smoothed_discriminator_loss
from kerasnotes.chapter11.ring import modes_found, ring_of_gaussians, share_near_a_mode
from kerasnotes.chapter11.side_by_side import ParallelDense, parallel_mlp, take_turns
from kerasnotes.chapter11.wgan import critic_loss, wgan_generator_loss

SMOKE = {"steps": 2, "seeds": 2, "widths": (8,), "learning_rates": (0.001, 0.01), "batch_size": 8, "samples": 100}
FULL = {"seeds": 10, "steps": 3000, "widths": (64, 32, 16)}
SECONDS = 35

RADIUS, DEVIATION, LATENT = 2.0, 0.1, 8
FRAMES = 16
TURNS = 5  # of the discriminator or critic before each of the generator: Gulrajani et al. 2017, algorithm 1


def train_with_penalty(
    generator, critic, sample_data, sample_noise, steps, *, learning_rate, penalty=1.0, every=None, record=None, seed=0
):
    """WGAN-GP for several runs at once, five steps of the critic for each of the generator.

    Args:
        generator, critic: Networks as `parallel_mlp` makes them, for equally many runs.
        sample_data, sample_noise: Callables from a seed, an integer tensor (2,), to a batch (runs, batch, numbers).
        steps, every, record, seed: As in `take_turns`.
        learning_rate: A number, or a tensor (runs, 1, 1) with one for each run.
        penalty: The factor λ of the gradient penalty.

    Returns:
        The history, as from `take_turns`; the critic's losses, without the penalty, are under `"discriminator"`.

    Raises:
        ValueError: If a number of steps is not positive.

    Source: Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1.
    """
    runs = critic.layers[0].runs
    optimizers = [keras.optimizers.Adam(lambda: learning_rate, beta_1=0.5, beta_2=0.9) for _ in range(2)]
    # a compiled loop must not create variables
    for optimizer, model in zip(optimizers, (generator, critic), strict=True):
        optimizer.build(model.trainable_variables)

    # value real samples above drawn ones, at slopes near 1
    def critic_turn(seeds):
        real, fake = sample_data(seeds[0]), generator(sample_noise(seeds[1]))
        flat_critic = lambda x: tf.reshape(critic(tf.reshape(x, real.shape)), (-1, 1))  # noqa: E731
        with tf.GradientTape() as tape:
            value = critic_loss(critic(real), critic(fake))
            flat = [tf.reshape(x, (-1, x.shape[-1])) for x in (real, fake)]
            # A mean over all runs' samples, times the runs: each run's own mean counts once, and only for its weights.
            total = tf.reduce_sum(value) + penalty * runs * gradient_penalty(flat_critic, *flat, seeds[0] + 1)
        optimizers[1].apply(tape.gradient(total, critic.trainable_variables), critic.trainable_variables)
        return value

    # draw what the critic values
    def generator_turn(seeds):
        return generator_step(generator, critic, optimizers[0], sample_noise(seeds[1]), wgan_generator_loss)

    return take_turns(critic_turn, generator_turn, steps, 5, every, record, seed)


def example():
    """Two runs of WGAN-GP side by side, on two points of the plane; the critics' losses by Keras's mean."""
    data = tf.constant([[-1.0, 0.0], [1.0, 0.0]])
    generator, critic = parallel_mlp(2, 2, (16,), 2, seed=0), parallel_mlp(2, 2, (16,), 1, seed=10)

    def real(seed):
        return tf.gather(data, tf.random.stateless_uniform((2, 32), seed, 0, 2, tf.int32))

    def noise(seed):
        return tf.random.stateless_normal((2, 32, 2), seed)

    train_with_penalty(generator, critic, real, noise, 30, learning_rate=0.01)
    drawn = generator(noise((0, 1)))
    for run in range(2):
        print(f"run {run}: first coordinates", np.sort(drawn[run, :, 0])[::6].round(1))
    values = critic(real((0, 2))), critic(drawn)
    by_keras = keras.ops.mean(values[1], axis=(1, 2)) - keras.ops.mean(values[0], axis=(1, 2))
    print("critics' losses by keras.ops.mean and by ours:", by_keras.numpy(), critic_loss(*values).numpy())


def lesson(
    report,
    *,
    steps: int = 750,
    seeds: int = 3,
    modes: int = 8,
    widths: tuple[int, ...] = (64, 16),
    learning_rates: tuple[float, ...] = (0.01, 0.003, 0.001),
    batch_size: int = 64,
    penalty: float = 1.0,
    samples: int = 2000,
    seed: int = 0,
):
    """Train pairs of networks on the ring over seeds, learning rates and widths, and try remedies.

    Args:
        report: The report to write to.
        steps: Training steps of the generator (2 to 1000000).
        seeds: Independent runs of each setting (2 to 100).
        modes: Gaussians on the ring (1 to 30).
        widths: Units of each of two hidden layers; the first is the one checked (2 to 1024).
        learning_rates: Learning rates; the first is the one checked (0.000001 to 1).
        batch_size: Samples in a batch (2 to 10000).
        penalty: Weight λ of the gradient penalty (0 to 1000).
        samples: Samples to count modes with (100 to 100000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    ring = _Ring(modes, batch_size, samples, seed)
    rows, first = [], {}
    methods = {
        "GAN": _train_plain,
        "WGAN-GP": lambda *each, **more: train_with_penalty(*each, **more, penalty=penalty),
    }
    for width in report.track(widths, "widths"):
        for name, train in methods.items():
            snapshots = ring.run(train, steps, width, learning_rates, seeds)
            by_rate = snapshots[max(snapshots)].reshape(len(learning_rates), seeds, samples, 2)
            for rate, drawn in zip(learning_rates, by_rate, strict=True):
                rows.append([width, rate, name, *ring.score(drawn)])
            if width == widths[0]:  # the first learning rate's runs come first
                first[name] = {step: drawn[:seeds] for step, drawn in snapshots.items()}
    columns = ["modes", "standard error", "share near a mode", "error of the share"]
    rows.sort(key=lambda row: (-row[0], row[1], row[2]))
    title = f"modes found of {modes} and share of the samples near one, mean over {seeds} seeds after {steps} steps"
    report.table(title, ["width", "learning rate", "method", *columns], rows)
    starts = [snapshots[0] for snapshots in first.values()]
    report.check("both methods start from the same generators: their first samples", *starts, rtol=0, atol=0)
    _compare(report, ring, first, widths[0], learning_rates[0], seeds)
    _remedies(report, ring, first, steps, widths[0], learning_rates[0], seeds)
    _figure(report, ring, first)


class _Ring:
    """The eight Gaussians, draws from them for all runs, and how a run's samples score."""

    def __init__(self, modes, batch_size, samples, seed):
        self.points, self.centers = ring_of_gaussians(modes, RADIUS, DEVIATION, 20000, seed)
        self.batch_size, self.samples, self.seed = batch_size, samples, seed

    def score(self, drawn):
        """Of samples (seeds, samples, 2): mean and error of the modes, mean and error of the share near one."""
        drawn = np.nan_to_num(drawn, nan=1e6, posinf=1e6, neginf=-1e6)  # a run that overflowed is near no mode
        found, share = (of(drawn, self.centers, DEVIATION) for of in (modes_found, share_near_a_mode))
        return [*plots.mean_and_error(found), *plots.mean_and_error(share)]

    def run(self, train, steps, width, learning_rates, seeds, **arguments):
        """Train pairs of networks, for each learning rate all seeds. Returns `{step: (runs, samples, 2)}`."""
        rates, points = np.repeat(learning_rates, seeds), tf.constant(self.points)
        runs = len(rates)
        generator = parallel_mlp(runs, LATENT, (width, width), 2, self.seed)
        judge = parallel_mlp(runs, 2, (width, width), 1, self.seed + 1000)
        for weight in (*generator.weights, *judge.weights):  # every learning rate starts from the same weights
            weight.assign(tf.tile(weight[:seeds], (runs // seeds, 1, 1)))
        shape = (runs, self.batch_size)
        snapshots = {}

        def record(step):
            noise = tf.random.stateless_normal((runs, self.samples, LATENT), (self.seed, -1))
            snapshots[step] = generator(noise).numpy()

        train(
            generator,
            judge,
            lambda seed: tf.gather(points, tf.random.stateless_uniform(shape, seed, 0, len(points), tf.int32)),
            lambda seed: tf.random.stateless_normal((*shape, LATENT), seed),
            steps,
            learning_rate=tf.constant(rates, tf.float32)[:, None, None],
            every=max(1, steps // 30),
            record=record,
            seed=self.seed,
            **arguments,
        )
        return snapshots


def _train_plain(generator, discriminator, *data_and_steps, learning_rate, **more):
    """`train_gan` with a learning rate for each run: Keras multiplies a tensor into the step as it would a number."""
    return train_gan(
        generator,
        discriminator,
        *data_and_steps,
        learning_rate=lambda: learning_rate,
        **{"discriminator_steps": TURNS, **more},
    )


def _compare(report, ring, first, width, rate, seeds):
    scores = {name: ring.score(snapshots[max(snapshots)]) for name, snapshots in first.items()}
    (plain, plain_error, plain_share, _), (other, other_error, other_share, _) = scores["GAN"], scores["WGAN-GP"]
    report.at_least("modes that WGAN-GP keeps beyond the GAN, mean over seeds", other - plain, 1 / seeds, trained=True)
    report.note(
        f"Width {width}, learning rate {rate:g}: the GAN finds {plain:.2f} ± {plain_error:.2f} modes with "
        f"{plain_share:.0%} of its samples near one, WGAN-GP {other:.2f} ± {other_error:.2f} with {other_share:.0%}."
    )
    report.note(
        "How the setting was found: 750 steps of batches of 64 over seeds 100 to 103, widths 32 and 64, rates 0.0003 "
        "to 0.01, penalties 0.1, 1 and 10. With one discriminator step a turn the GAN kept nearly all modes at the two "
        "highest rates; with five, as many as the critic takes, it lost some at any rate. Penalty 10, the paper's, was "
        "too slow here below the highest rate. The seeds that are judged were not seen in the search."
    )


def _remedies(report, ring, first, steps, width, rate, seeds):
    """The plain GAN's setting, changed in one place at a time."""

    def with_minibatch(generator, discriminator, *rest, **more):
        runs = discriminator.layers[0].runs
        head = MinibatchDiscrimination(runs, kernels=4, size=4, seed=ring.seed + 2000)
        discriminator = keras.Sequential(
            [*discriminator.layers[:-1], head, ParallelDense(runs, 1, seed=(ring.seed + 3000, 0))]
        )
        discriminator(tf.zeros((runs, ring.batch_size, 2)))
        return _train_plain(generator, discriminator, *rest, **more)

    rows = [[name, *ring.score(snapshots[max(snapshots)])] for name, snapshots in first.items()]
    for name, train, arguments in (
        ("GAN, labels 0.9 and 0", _train_plain, {"discriminator_objective": smoothed_discriminator_loss}),
        ("GAN, minibatch discrimination", with_minibatch, {}),
        ("GAN, one discriminator step a turn", _train_plain, {"discriminator_steps": 1}),
    ):
        snapshots = ring.run(train, steps, width, (rate,), seeds, **arguments)
        rows.append([name, *ring.score(snapshots[max(snapshots)])])
    columns = ["method", "modes", "standard error", "share near a mode", "error of the share"]
    report.table(f"remedies at width {width}, learning rate {rate:g}", columns, rows)
    modes = {row[0]: row[1] for row in rows}
    often, once = modes["GAN"], modes["GAN, one discriminator step a turn"]
    smoothed, varied = modes["GAN, labels 0.9 and 0"], modes["GAN, minibatch discrimination"]
    report.note(
        "A discriminator that is trained less is a remedy, too: "
        f"{once:.1f} modes with one step a turn, {often:.1f} with {TURNS}. Here label smoothing gives {smoothed:.1f} "
        f"modes, minibatch discrimination {varied:.1f}; compare the shares near a mode as well."
    )


def _figure(report, ring, first):
    recorded = sorted(next(iter(first.values())))
    chosen = [recorded[round(share * (len(recorded) - 1))] for share in (0.1, 0.3, 0.6, 1.0)]
    figure, axes = plots.subplots(2, 4, figsize=(12, 6.4), sharex=True, sharey=True)
    for row, (name, snapshots) in zip(axes, first.items(), strict=True):
        for ax, step in zip(row, chosen, strict=True):
            _scatter(ax, ring, snapshots[step][0])
            found = int(modes_found(snapshots[step][0], ring.centers, DEVIATION))
            ax.set_title(f"{name}, step {step}\n{found} modes")
        row[0].set_ylabel("second coordinate")
    for ax in axes[1]:
        ax.set_xlabel("first coordinate")
    report.figure(
        "Samples on the way, one seed",
        figure,
        alt="Samples of a GAN (above) and a WGAN-GP (below) at four times of training, on circles that mark eight "
        "Gaussians on a ring; above each picture stands how many of them are covered, few by "
        "the GAN and all by WGAN-GP.",
    )

    frames = min(FRAMES, len(recorded))
    moments = [recorded[round(share * (len(recorded) - 1))] for share in np.linspace(0, 1, frames)]
    figure, axes = plots.subplots(1, 2, figsize=(8, 4.4), dpi=80)

    def draw(frame):
        step = moments[min(frame, frames - 1)]
        for ax, (name, snapshots) in zip(axes, first.items(), strict=True):
            ax.clear()
            _scatter(ax, ring, snapshots[step][0])
            ax.set_title(f"{name}, step {step}")
            ax.set_xlabel("first coordinate")

    report.figure(
        "Two generators learning",
        FuncAnimation(figure, draw, frames=frames + frames // 4, interval=300),  # the last picture stays for a moment
        alt="Animation of the same two runs: the GAN's samples gather at a few of the eight circles and stay there, "
        "those of WGAN-GP spread over the ring and gather at all of them.",
    )


def _scatter(ax, ring, drawn):
    angles = np.linspace(0, 2 * np.pi, 60)
    for x, y in ring.centers:
        ax.plot(x + 3 * DEVIATION * np.cos(angles), y + 3 * DEVIATION * np.sin(angles), "-", color="C1", linewidth=1.2)
    ax.plot(*drawn[:1000].T, ".", markersize=2, color="C0", alpha=0.5)
    ax.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xticks=[-2, 0, 2], yticks=[-2, 0, 2])

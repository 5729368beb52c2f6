"""A generator that fools its opponent with one good answer repeats it: modes are lost, and settings decide how many.

Eight small Gaussians on a ring, and generators that should draw all of them. What the reader should see: how many modes
a plain GAN and a WGAN with gradient penalty keep, over several seeds, and which share of the samples lies near a mode
at all, which is another matter; how much both depend on the learning rate and the width; what two published remedies
bring; and that momentum does not tame two players who circle.

Notes: chapter 11, "Mode collapse and training difficulties" (模式坍塌与训练困难).
Source: Metz et al. 2017, arXiv:1611.02163, section 3.1 (the ring); Salimans et al. 2016, arXiv:1606.03498, sections 3.2
and 3.4 (remedies); Gulrajani et al. 2017, arXiv:1704.00028; Gidel et al. 2019, arXiv:1807.04740, section 4.
"""

import keras
import numpy as np
import tensorflow as tf
from matplotlib.animation import FuncAnimation

from kerasnotes import plots
from kerasnotes.chapter11.gan import (
    ParallelDense,
    bilinear_growth,
    discriminator_loss,
    generator_step,
    parallel_mlp,
    take_turns,
    train_gan,
)
from kerasnotes.chapter11.wgan import critic_loss, wgan_generator_loss
from kerasnotes.chapter11.wgan_gp import gradient_penalty

SMOKE = {"steps": 2, "seeds": 2, "widths": (8,), "learning_rates": (0.001, 0.01), "batch_size": 8, "samples": 100}
FULL = {"seeds": 10, "steps": 3000, "widths": (64, 32, 16)}
SECONDS = 45

RADIUS, DEVIATION, LATENT = 2.0, 0.1, 8
FRAMES = 16
TURNS = 5  # of the discriminator or critic before each of the generator: Gulrajani et al. 2017, algorithm 1


def ring_of_gaussians(modes, radius, deviation, samples, seed):
    """Points from equal round Gaussians whose centers stand evenly on a circle.

    Args:
        modes: Number of Gaussians.
        radius: Radius of the circle, positive.
        deviation: Standard deviation of each Gaussian in each direction, at least 0.
        samples: Number of points; each falls to a Gaussian at random.
        seed: Seed of the draws.

    Returns:
        `(points, centers)`: arrays (samples, 2) and (modes, 2), float32.

    Raises:
        ValueError: If a number is out of its range.

    Source: Metz et al. 2017, arXiv:1611.02163, section 3.1.
    """
    for name, value in (("modes", modes), ("samples", samples)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name}: expected a positive whole number, got {value!r}")
    if not 0 < radius < np.inf:
        raise ValueError(f"radius: expected a positive number, got {radius!r}")
    if not 0 <= deviation < np.inf:
        raise ValueError(f"deviation: expected a number of at least 0, got {deviation!r}")
    rng = np.random.default_rng(seed)
    angles = 2 * np.pi * np.arange(modes) / modes
    centers = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = centers[rng.integers(modes, size=samples)] + deviation * rng.normal(size=(samples, 2))
    return points.astype(np.float32), centers.astype(np.float32)


def modes_found(samples, centers, deviation):
    """How many modes a set of samples covers: those with 1 % of the samples or more within 3 deviations.

    Args:
        samples: Points (..., samples, 2); axes before that are runs of their own.
        centers: Centers of the modes (modes, 2).
        deviation: Standard deviation of a mode, positive.

    Returns:
        Integer array (...).

    Raises:
        ValueError: If the shapes do not fit, a point is not finite, or the deviation is not positive.
    """
    return np.sum(np.mean(_near(samples, centers, deviation), axis=-2) >= 0.01, axis=-1)


def share_near_a_mode(samples, centers, deviation):
    """Which share of the samples lies within 3 deviations of any mode; of the true ones it is 1 − e^−4.5 = 98.9 %.

    Args, Raises: As for `modes_found`.

    Returns:
        Array (...).
    """
    return np.mean(np.any(_near(samples, centers, deviation), axis=-1), axis=-1)


def _near(samples, centers, deviation):
    samples, centers = np.asarray(samples, float), np.asarray(centers, float)
    if samples.ndim < 2 or samples.size == 0 or samples.shape[-1] != 2:
        raise ValueError(f"samples: expected the shape (..., samples, 2), got {samples.shape}")
    if centers.ndim != 2 or centers.size == 0 or centers.shape[-1] != 2:
        raise ValueError(f"centers: expected the shape (modes, 2), got {centers.shape}")
    for name, value in (("samples", samples), ("centers", centers)):
        if not np.isfinite(value).all():
            raise ValueError(f"{name}: expected finite points, got NaN or infinity")
    if not 0 < deviation < np.inf:
        raise ValueError(f"deviation: expected a positive number, got {deviation!r}")
    return np.linalg.norm(samples[..., None, :] - centers, axis=-1) <= 3 * deviation  # (..., samples, modes)


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
    if not 0 < target <= 1:
        raise ValueError(f"target: expected a number above 0 and at most 1, got {target!r}")
    # −log(1 − D) = −log D + logit
    logits = tf.convert_to_tensor(real_logits)
    axis = -1 if len(logits.shape) == 1 else (-2, -1)
    return discriminator_loss(logits, fake_logits) + (1 - target) * tf.reduce_mean(logits, axis=axis)


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
        for name, value in (("kernels", kernels), ("size", size)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name}: expected a positive whole number, got {value!r}")
        self.kernels, self.size = kernels, size
        self.projection = ParallelDense(runs, kernels * size, seed=(seed, 99))

    def call(self, x):
        m = tf.reshape(self.projection(x), (*x.shape[:2], self.kernels, self.size))
        distance = tf.reduce_sum(tf.abs(m[:, :, None] - m[:, None]), axis=-1)  # (runs, batch, batch, kernels)
        return tf.concat([x, tf.reduce_sum(tf.exp(-distance), axis=2) - 1.0], axis=-1)


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
    _counting(report, seed)
    _remedies_by_hand(report, seed)
    _momentum(report)

    ring = _Ring(modes, batch_size, samples, seed)
    rows, first = [], {}
    methods = {
        "GAN": _train_plain,
        "WGAN-GP": lambda *each, **more: _train_with_penalty(*each, **more, penalty=penalty),
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
    _compare(report, ring, first, widths[0], learning_rates[0], seeds)
    _remedies(report, ring, first, steps, widths[0], learning_rates[0], seeds)
    _figure(report, ring, first)


def _counting(report, seed):
    points, centers = ring_of_gaussians(8, RADIUS, DEVIATION, 20000, (seed, 1))
    report.check("the true points cover all modes", int(modes_found(points, centers, DEVIATION)), 8)
    share, want = share_near_a_mode(points, centers, DEVIATION), 1 - np.exp(-4.5)
    error = np.sqrt(want * (1 - want) / len(points))
    label = "and 1 − e^−4.5 of them lie within 3 deviations, to 4 standard errors"
    report.check(label, float(share), want, rtol=0, atol=4 * error)
    one = np.tile(centers[:1], (200, 1))
    one[:2], one[2] = centers[1], centers[2]
    report.check("two samples of 200 make a mode, one does not", int(modes_found(one, centers, DEVIATION)), 2)


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


def _momentum(report):
    rates, momenta = (0.05, 0.1, 0.2), (-0.5, 0.0, 0.5, 0.9)
    rows = []
    for alternating in (False, True):
        for rate in rates:
            growth = [bilinear_growth(rate, momentum, alternating) for momentum in momenta]
            rows.append(["in turn" if alternating else "at once", rate, *growth])
    columns = ["steps", "learning rate", *(f"momentum {momentum:g}".replace("-", "−") for momentum in momenta)]
    report.table("the game xy: growth of the distance from (0, 0) a step", columns, rows)
    at_once, in_turn = (np.array([row[2:] for row in part]) for part in (rows[:3], rows[3:]))
    report.check("steps at once, without momentum: √(1 + η²)", at_once[:, 1], np.sqrt(1 + np.square(rates)))
    label = "momentum 0.5 over none, excess of the growth over 1: least ratio"
    report.at_least(label, np.min((at_once[:, 2] - 1) / (at_once[:, 1] - 1)), 2.0)
    report.check("steps in turn, without momentum, neither grow nor shrink", in_turn[:, 1], np.ones(3))
    report.at_most("in turn with momentum −0.5 they come in: largest growth", in_turn[:, 0].max(), 1 - 1e-4)
    report.note("What helps on xy is the opposite of the usual advice: steps in turn, and negative momentum.")


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


def _train_with_penalty(
    generator, critic, sample_data, sample_noise, steps, *, learning_rate, penalty, every, record, seed
):
    """WGAN-GP for several runs at once, five critic steps a turn."""
    runs = critic.layers[0].runs
    optimizers = [keras.optimizers.Adam(lambda: learning_rate, beta_1=0.5, beta_2=0.9) for _ in range(2)]
    for optimizer, model in zip(optimizers, (generator, critic), strict=True):
        optimizer.build(model.trainable_variables)

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

    def generator_turn(seeds):
        return generator_step(generator, critic, optimizers[0], sample_noise(seeds[1]), wgan_generator_loss)

    return take_turns(critic_turn, generator_turn, steps, TURNS, every, record, seed)


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
        "to 0.01, penalties 0.1, 1 and 10. With one discriminator step a turn the GAN kept 7.5 to 8 modes at rates "
        "0.003 and 0.01; with five, as many as the critic takes, 2.75 to 6.25 at any rate (width 64). Penalty 10, the "
        "paper's, was too slow here below rate 0.01. On ten fresh seeds, 1000 to 1009, the GAN then kept 3.0 ± 0.5 "
        "modes with 89 % of its samples near one, WGAN-GP 8.0 ± 0.0 with 62 %."
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

    moments = [recorded[round(share * (len(recorded) - 1))] for share in np.linspace(0, 1, FRAMES)]
    figure, axes = plots.subplots(1, 2, figsize=(8, 4.4), dpi=80)

    def draw(frame):
        step = moments[min(frame, FRAMES - 1)]
        for ax, (name, snapshots) in zip(axes, first.items(), strict=True):
            ax.clear()
            _scatter(ax, ring, snapshots[step][0])
            ax.set_title(f"{name}, step {step}")
            ax.set_xlabel("first coordinate")

    report.figure(
        "Two generators learning",
        FuncAnimation(figure, draw, frames=FRAMES + 4, interval=300),  # the last picture stays for a moment
        alt="Animation of the same two runs: the GAN's samples gather at a few of the eight circles and stay there, "
        "those of WGAN-GP spread over the ring and gather at all of them.",
    )


def _scatter(ax, ring, drawn):
    angles = np.linspace(0, 2 * np.pi, 60)
    for x, y in ring.centers:
        ax.plot(x + 3 * DEVIATION * np.cos(angles), y + 3 * DEVIATION * np.sin(angles), "-", color="C1", linewidth=1.2)
    ax.plot(*drawn[:1000].T, ".", markersize=2, color="C0", alpha=0.5)
    ax.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xticks=[-2, 0, 2], yticks=[-2, 0, 2])

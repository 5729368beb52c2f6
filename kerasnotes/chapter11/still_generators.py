"""With Adam a clipped critic fails, and the generator that loses its modes there does not stand still, it swings.

How far a sample moves when its noise moves a little is the size of ∂G/∂z, which needs no data and no classifier; a
generator with a single answer has 0. What the reader should see: on the ring of eight Gaussians, for four ways of
training over learning rates and seeds, the modes found, the share near one, and the size of ∂G/∂z, mean and median.
Sharp samples move little or jump between the modes; blurred ones move evenly. A clipped critic leads to most modes with
RMSProp and to few with Adam, and there they are lost by generators that move as much as the others. An autoencoder's
decoder finds nearly all modes with any seed, and blurs them.

Notes: chapter 11, "A generator that stands still" (不动的生成器).
Source: Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875, section 4 (no momentum); Metz et al. 2017, arXiv:1611.02163,
section 3.1 (the ring); Kingma and Welling 2014, arXiv:1312.6114 (the autoencoder).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter10.kl_divergence import gaussian_kl_to_standard
from kerasnotes.chapter11.gan import discriminator_step, generator_step, train_gan
from kerasnotes.chapter11.ring import modes_found, ring_of_gaussians, share_near_a_mode
from kerasnotes.chapter11.side_by_side import parallel_mlp, take_turns
from kerasnotes.chapter11.wgan import clip_weights, critic_loss, wgan_generator_loss
from kerasnotes.parts import whole

SMOKE = {"steps": 2, "seeds": 2, "learning_rates": (0.001, 0.01), "width": 4, "batch_size": 8, "samples": 50}
FULL = {"seeds": 10, "steps": 5000}
SECONDS = 16

RADIUS, DEVIATION, LATENT = 2.0, 0.1, 2


def motion(generator, noise):
    """How far each sample moves for a unit of motion of its noise: the size ‖∂G/∂z‖ over all directions (Frobenius).

    Args:
        generator: Model from noise (..., numbers) to samples (..., outputs), each sample by itself.
        noise: Tensor (..., numbers).

    Returns:
        Tensor (...): 0 where the generator stands still. For a linear generator it is the size of its matrix.

    Raises:
        ValueError: If the noise is no batch of vectors.
    """
    noise = tf.convert_to_tensor(noise)
    if len(noise.shape) < 2:
        raise ValueError(f"noise: expected the shape (..., numbers) with a batch, got {tuple(noise.shape)}")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(noise)
        samples = generator(noise)
        parts = tf.unstack(samples, axis=-1)
    slopes = [
        tape.gradient(part, noise) for part in parts
    ]  # a sum over the batch: each sample knows its own noise only
    if slopes[0] is None:
        return tf.zeros(noise.shape[:-1])
    return tf.sqrt(tf.add_n([tf.reduce_sum(slope**2, axis=-1) for slope in slopes]))


def train_clipped(generator, critic, sample_data, sample_noise, steps, *, optimizer, limit=0.1, critic_steps=5,
                  every=None, record=None, seed=0):  # fmt: skip
    """A WGAN with a clipped critic, as `train_wgan`, with any optimizer: the paper warns of those with momentum.

    Args:
        generator, critic, sample_data, sample_noise, steps, limit, critic_steps, every, record, seed: As in
            `train_wgan`.
        optimizer: Callable without arguments that makes a Keras optimizer, one for each player.

    Returns:
        The history, as from `take_turns`.

    Raises:
        ValueError: If a number of steps, or the limit, is not positive.
    """
    mine, theirs = optimizer(), optimizer()
    mine.build(generator.trainable_variables)
    theirs.build(critic.trainable_variables)
    clip_weights(critic, limit)

    def critic_turn(seeds):
        loss = discriminator_step(generator, critic, theirs, sample_data(seeds[0]), sample_noise(seeds[1]), critic_loss)
        clip_weights(critic, limit)
        return loss

    def generator_turn(seeds):
        return generator_step(generator, critic, mine, sample_noise(seeds[1]), wgan_generator_loss)

    return take_turns(critic_turn, generator_turn, steps, critic_steps, every, record, seed)


def train_decoder(encoder, decoder, sample_data, steps, *, deviation, learning_rate, seed=0):
    """A variational autoencoder of points, several runs at once: the decoder is then a generator like the others.

    Args:
        encoder: Model from points (runs, batch, numbers) to means and log variances of codes, side by side.
        decoder: Model from codes to points.
        sample_data: Callable from a seed, an integer tensor (2,), to a batch of points.
        steps: Training steps.
        deviation: Standard deviation of p(x | z): what a point may be off without cost.
        learning_rate: Of Adam.
        seed: Seed of all draws.

    Returns:
        The negative bound at the end, but for a constant, (runs,), in nats.

    Raises:
        ValueError: If the number of steps is not positive.

    Source: Kingma and Welling 2014, arXiv:1312.6114.
    """
    weights = [*encoder.trainable_variables, *decoder.trainable_variables]
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(weights)

    def turn(seeds):
        x = sample_data(seeds[0])
        with tf.GradientTape() as tape:
            mean, log_variance = tf.split(encoder(x), 2, axis=-1)
            z = mean + tf.exp(log_variance / 2) * tf.random.stateless_normal(mean.shape, seeds[1])
            pixels = tf.reduce_sum((x - decoder(z)) ** 2, axis=-1) / (2 * deviation**2)
            value = tf.reduce_mean(pixels + gaussian_kl_to_standard(mean, log_variance), axis=-1)  # (runs,)
        optimizer.apply(tape.gradient(value, weights), weights)
        return value

    # half the steps in each player's name: here both are one
    return take_turns(turn, turn, -(-whole("steps", steps) // 2), seed=seed)["generator"][-1]


def example():
    """A generator that turns and stretches, one that stands still, and one of Keras's layers."""
    noise = tf.random.stateless_normal((4, 2), (0, 1))
    dense = keras.layers.Dense(3)
    dense.build((None, 2))
    print("a linear layer:", motion(dense, noise).numpy(), "its matrix:", float(tf.norm(dense.kernel)))
    print("always one answer:", motion(lambda z: 0 * z + 1.0, noise).numpy())
    jump = motion(lambda z: tf.tanh(20 * z[:, :1]), noise).numpy()
    print("two answers and a jump between them:", jump.round(3), "at", noise[:, 0].numpy().round(2))


def lesson(
    report,
    *,
    steps: int = 800,
    seeds: int = 4,
    learning_rates: tuple[float, ...] = (0.001, 0.003, 0.01),
    width: int = 64,
    batch_size: int = 64,
    limit: float = 0.1,
    samples: int = 1000,
    seed: int = 0,
):
    """Train four ways on the ring, each over learning rates and seeds, and watch how far samples move.

    Args:
        report: The report to write to.
        steps: Training steps of each generator (2 to 1000000).
        seeds: Independent runs of each way and learning rate (2 to 100).
        learning_rates: Learning rates of each way (0.000001 to 1).
        width: Units of each of two hidden layers (2 to 1024).
        batch_size: Samples in a batch (2 to 10000).
        limit: Largest size of a clipped critic's weights (0.0001 to 100).
        samples: Samples to measure with (50 to 100000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _closed_forms(report, seed)
    points, centers = ring_of_gaussians(8, RADIUS, DEVIATION, 20000, seed)
    rates = tf.constant(np.repeat(learning_rates, seeds), tf.float32)[:, None, None]  # (runs, 1, 1)
    runs, points = len(rates), tf.constant(points)

    def real(key):
        return tf.gather(points, tf.random.stateless_uniform((runs, batch_size), key, 0, len(points), tf.int32))

    def noise(key):
        return tf.random.stateless_normal((runs, batch_size, LATENT), key)

    def clipped(optimizer):
        return lambda *pair: train_clipped(*pair, real, noise, steps, optimizer=optimizer, limit=limit, seed=seed)

    ways = {
        "GAN, Adam": lambda *pair: train_gan(*pair, real, noise, steps, learning_rate=lambda: rates, seed=seed),
        "clipped WGAN, RMSProp": clipped(lambda: keras.optimizers.RMSprop(lambda: rates)),
        "clipped WGAN, Adam": clipped(lambda: keras.optimizers.Adam(lambda: rates)),  # β₁ = 0.9, Keras's default
        "VAE": lambda decoder, encoder: train_decoder(
            encoder, decoder, real, steps, deviation=DEVIATION, learning_rate=lambda: rates, seed=seed
        ),
    }
    results = {}
    for name in report.track(ways, "ways to train"):
        generator = parallel_mlp(runs, LATENT, (width, width), 2, seed)
        other = parallel_mlp(runs, 2, (width, width), 2 * LATENT if name == "VAE" else 1, seed + 1000)
        for weight in (*generator.weights, *other.weights):  # every learning rate starts from the same weights
            weight.assign(tf.tile(weight[:seeds], (len(learning_rates), 1, 1)))
        ways[name](generator, other)
        results[name] = _measured(generator, centers, samples, seed)
    _compare(report, results, learning_rates)
    _figure(report, results, centers, seeds * (len(learning_rates) // 2))


def _closed_forms(report, seed):
    rng = np.random.default_rng((seed, 1))
    noise = tf.constant(rng.normal(size=(3, 20, LATENT)), tf.float32)
    generator = parallel_mlp(3, LATENT, (8,), 2, seed, "tanh")
    step = 1e-2
    differences = [(generator(noise + step * row) - generator(noise - step * row)).numpy() / (2 * step)
                   for row in np.eye(LATENT, dtype="float32")]  # fmt: skip
    want = np.sqrt(sum(np.sum(each**2, axis=-1) for each in differences))
    report.check("∂G/∂z by the tape and by differences", motion(generator, noise), want, rtol=2e-3, atol=1e-4)
    stretch = np.float32([[3.0, 0.0], [0.0, 4.0]])
    report.check(
        "a generator that stretches by 3 and 4 moves by 5", motion(lambda z: z @ stretch, noise[0]), np.full(20, 5.0)
    )
    report.check(
        "one that gives a single answer, by 0", motion(lambda z: 0 * z, noise), np.zeros((3, 20)), rtol=0, atol=0
    )


def _measured(generator, centers, samples, seed):
    """Arrays (seeds,) by name, and the samples (seeds, samples, 2)."""
    noise = tf.random.stateless_normal((generator.layers[0].runs, samples, LATENT), (seed, -1))
    drawn, moves = generator(noise).numpy(), motion(generator, noise).numpy()
    found, near = (of(np.nan_to_num(drawn, nan=1e6), centers, DEVIATION) for of in (modes_found, share_near_a_mode))
    return {"modes": found, "near": near, "mean": moves.mean(axis=1), "median": np.median(moves, axis=1),
            "still": np.mean(moves < DEVIATION, axis=1), "moves": moves, "drawn": drawn}  # fmt: skip


def _compare(report, results, learning_rates):
    rows = []
    for name, found in results.items():
        for place, rate in enumerate(learning_rates):
            here = {key: np.split(each, len(learning_rates))[place] for key, each in found.items()}
            spreads = [float(here[key].std(ddof=1)) for key in ("modes", "near")]
            means = [float(np.mean(here[key])) for key in ("modes", "near", "mean", "median", "still")]
            rows.append([name, rate, means[0], spreads[0], means[1], spreads[1], *means[2:]])
    columns = ["way", "learning rate", "modes of 8", "deviation over the seeds", "share near a mode", "its deviation",
               "‖∂G/∂z‖, mean", "median", "share below 0.1"]  # fmt: skip
    report.table("a ring of eight modes of deviation 0.1, mean over the seeds", columns, rows)
    last = slice(-len(found["modes"]) // len(learning_rates), None)  # the runs of the last learning rate
    modes = {name: found["modes"].mean() for name, found in results.items()}
    report.at_least("modes found by the GAN, mean of all runs", modes["GAN, Adam"], 6.0, trained=True)
    lost = modes["clipped WGAN, RMSProp"] - modes["clipped WGAN, Adam"]
    report.at_least(
        "clipped critic: modes that RMSProp finds and Adam loses, mean of all runs", lost, 2.0, trained=True
    )
    one_mode = DEVIATION * np.sqrt(2)
    moves = results["clipped WGAN, Adam"]["mean"]
    label = "those generators do not stand still: their mean motion, in that of one mode exactly, median of all runs"
    report.at_least(label, np.median(moves) / one_mode, 2.0, trained=True)
    sharp = results["GAN, Adam"]["median"][last] / results["GAN, Adam"]["mean"][last]
    label = "sharp samples stand still and jump: median over mean of the GAN's motion, at the last learning rate"
    report.at_most(label, sharp.mean(), 0.5, trained=True)
    note = (
        "A generator of one mode exactly would move by {:.2f} everywhere. Deviation over the seeds of the share near "
    )
    note += "a mode, mean over the learning rates: GAN {:.3f}, VAE {:.3f}."
    spreads = [np.mean([part.std(ddof=1) for part in np.split(results[name]["near"], len(learning_rates))])
               for name in ("GAN, Adam", "VAE")]  # fmt: skip
    report.note(note.format(one_mode, *spreads))


def _figure(report, results, centers, run):
    figure, axes = plots.subplots(2, len(results), figsize=(3.4 * len(results), 6.4))
    angles, bins = np.linspace(0, 2 * np.pi, 60), np.geomspace(1e-3, 1e2, 41)
    for (above, below), (name, found) in zip(axes.T, results.items(), strict=True):
        for x, y in centers:
            above.plot(x + 3 * DEVIATION * np.cos(angles), y + 3 * DEVIATION * np.sin(angles), "-", color="C1")
        above.plot(*found["drawn"][run].T, ".", markersize=2, color="C0", alpha=0.5)
        above.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xlabel="first coordinate")
        above.set_title(f"{name}\n{found['modes'][run]} modes")
        below.hist(np.clip(found["moves"].ravel(), bins[0], bins[-1]), bins=bins, density=False)
        below.set(xscale="log", xlabel="motion ‖∂G/∂z‖", yticks=[])
        below.axvline(DEVIATION, color="C1", linestyle="--")
    axes[0, 0].set_ylabel("second coordinate")
    axes[1, 0].set_ylabel("samples of all runs")
    report.figure(
        "Samples and how far they move",
        figure,
        alt="Above: samples of one run for each way of training, on circles that mark the eight modes; the GAN's are "
        "sharp, those of the clipped critic with Adam scattered. Below: histograms of how far a sample moves with its "
        "noise; the GAN's is wide: some samples hardly move, others jump; dashed, the deviation of a mode.",
    )

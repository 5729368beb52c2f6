"""Four small generators and a discriminator that asks which of them drew a sample keep more modes than a wide one.

The discriminator of MAD-GAN has an answer for each generator and one for the data; every generator wants to pass for
data. What the reader should see: with one generator it is the GAN; the game's value at the optimum, which is known and
depends on the mixture of all generators only, so that nothing in it asks them to differ; and on the ring how many modes
four generators keep, with and without being told apart, and one of four times their width.

Notes: chapter 11, "MAD-GAN" (MAD-GAN与多个生成器).
Source: Ghosh et al. 2018, arXiv:1704.02906 (objective, and theorem on the optimum).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter11.players import Player, play
from kerasnotes.chapter11.ring import modes_found, ring_of_gaussians, share_near_a_mode
from kerasnotes.chapter11.saturation import discriminator_loss, generator_loss
from kerasnotes.chapter11.side_by_side import parallel_mlp
from kerasnotes.parts import floating, shape, whole

SMOKE = {"steps": 2, "seeds": 2, "batch_size": 8, "samples": 100, "width": 4}
FULL = {"steps": 3000, "seeds": 10}
SECONDS = 19

RADIUS, DEVIATION, LATENT = 2.0, 0.1, 8  # as in `mode_collapse.py`


def mad_gan_losses(logits, source):
    """The discriminator names who drew; the generators, all of them, want to hear "the data".

    Args:
        logits: The discriminator's, (..., batch, generators + 1); the last answer is "the data".
        source: Who drew each sample of the batch, (batch,) whole numbers: 0, 1, … a generator, the last the data. The
            same for all axes before the batch, which are runs of their own.

    Returns: `(discriminator_loss, generators_loss)`, each (...): Σ over sources of the mean of −log D(its answer), and
        Σ over generators of the mean of −log D(the data).

    Raises: ValueError: If shapes do not fit, or an answer has no sample.

    Source: Ghosh et al. 2018, arXiv:1704.02906 (here in the form that does not saturate).
    """
    logits, source = floating("logits", logits), np.asarray(source)
    answers = logits.shape[-1]
    shape("source", source, logits.shape[-2])
    counts = np.bincount(source, minlength=answers) if source.dtype.kind in "iu" and np.all(source >= 0) else []
    if answers < 2 or len(counts) != answers or 0 in counts:
        raise ValueError(f"source: expected all whole numbers from 0 to {answers - 1}, got {source}")
    each = tf.constant(np.eye(answers)[source] / counts, logits.dtype)  # (batch, answers): the mean of each source
    log_d = tf.nn.log_softmax(logits)
    fake = tf.reduce_sum(each[:, :-1], axis=1)  # (batch,)
    return -tf.reduce_sum(each * log_d, axis=(-2, -1)), -tf.reduce_sum(fake * log_d[..., -1], axis=-1)


def mad_gan_value(p, q):
    """The game's value with the best discriminator: Σ p log D + Σᵢ Σ qᵢ log(1 − D), with D = p/(p + Σᵢ qᵢ).

    Args:
        p: Distribution of the data (outcomes,), positive.
        q: Distributions of the generators (generators, outcomes), not negative.

    Returns: A float: at least −(k + 1) log(k + 1) + k log k, reached where the mean of the k rows of q is p.

    Raises: ValueError: If the shapes do not fit, or a number is out of range.

    Source: Ghosh et al. 2018, arXiv:1704.02906, theorem on the optimum.
    """
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    shape("q", q, None, *p.shape)
    if not (np.all(p > 0) and np.all(q >= 0) and np.isfinite(p).all() and np.isfinite(q).all()):
        raise ValueError("p, q: expected probabilities, those of the data positive, got others")
    drawn = q.sum(axis=0)
    data = p / (p + drawn)
    return float(np.sum(p * np.log(data)) + np.sum(drawn * np.log1p(-np.where(drawn > 0, data, 0))))


def draw_all(generator, generators, noise):
    """Samples of several generators that lie in one `parallel_mlp`, as one batch for each run.

    Args:
        generator: Network for runs · generators runs; those of one run stand together.
        generators: Their number.
        noise: (runs, batch, latent), the first batch/generators for the first, and so on.

    Returns: (runs, batch, numbers).

    Raises: ValueError: If the batch is no multiple of the generators.
    """
    runs, batch, latent = noise.shape
    if batch % generators:
        raise ValueError(f"noise: expected a batch that {generators} generators can share, got {batch}")
    drawn = generator(tf.reshape(noise, (runs * generators, batch // generators, latent)))
    return tf.reshape(drawn, (runs, batch, -1))


def train_mad_gan(generator, discriminator, samples, steps, *, generators=4, tell_apart=True, discriminator_steps=5,
                  batch_size=64, learning_rate=0.01, seed=0):  # fmt: skip
    """Train all generators of several runs against one discriminator a run, in place.

    Args:
        generator, discriminator: Networks of `parallel_mlp` for runs · generators and for runs; the discriminator
            gives generators + 1 numbers, or 2 if it does not tell them apart.
        samples: Real samples (samples, numbers).
        steps, discriminator_steps: Steps of the generators, and of the discriminator before each, on draws of its own.
        generators: Their number k.
        tell_apart: Whether the discriminator names the generator, or says "drawn" of all.
        batch_size: Samples in a batch, real ones, and drawn ones of all generators together.
        learning_rate: Of both Adam optimizers, with β₁ = 0.5.
        seed: Seed of the draws.

    Returns: float32 (steps, 2), the last losses of the discriminators and of the generators, sums over runs.

    Raises: ValueError: If the generators cannot share the batch, or a number of steps is not positive.
    """
    runs, samples = discriminator.layers[0].runs, tf.constant(samples)
    turns, latent = whole("discriminator_steps", discriminator_steps) + 1, generator.layers[0].kernel.shape[1]
    source = np.arange(batch_size) * generators // batch_size if tell_apart else np.zeros(batch_size, int)
    real_first = np.append(np.full(batch_size, source.max() + 1), source)

    def losses(order, noise):
        both = [tf.gather(samples, order), draw_all(generator, generators, noise)]
        return mad_gan_losses(discriminator(tf.concat(both, axis=1)), real_first)

    def tell(order, noise):
        turn = tf.cast(judge.optimizer.iterations, tf.int32) % (turns - 1)  # draws of its own for each of its turns
        return tf.reduce_sum(losses(order[turn], noise[turn])[0])

    judge = Player([discriminator], tell, learning_rate)
    fool = Player([generator], lambda order, noise: tf.reduce_sum(losses(order[-1], noise[-1])[1]), learning_rate)
    rng = np.random.default_rng((seed, 3))

    def draw(first, count):
        size = (count, turns, runs, batch_size)
        return rng.integers(len(samples), size=size, dtype=np.int32), rng.standard_normal((*size, latent), np.float32)

    return play([judge] * (turns - 1) + [fool], draw, steps, every=steps)[:, -2:]


def example():
    """The discriminator's loss by Keras and by ours; the value of the game, at and off the optimum."""
    rng = np.random.default_rng(0)
    logits, source = tf.constant(rng.normal(size=(8, 4)), tf.float32), np.repeat(np.arange(4), 2)
    by_keras = 4 * keras.losses.SparseCategoricalCrossentropy(from_logits=True)(source, logits)  # equally many of each
    print("by Keras and by ours:", float(by_keras), float(mad_gan_losses(logits, source)[0]))
    p, q = np.full(6, 1 / 6), np.kron(np.eye(3), [0.5, 0.5])  # each generator draws two outcomes of six
    print("three generators share the data:", mad_gan_value(p, q), "by the formula:", -4 * np.log(4) + 3 * np.log(3))
    print("each of them draws all:         ", mad_gan_value(p, np.tile(p, (3, 1))))
    print("all draw the same two:          ", mad_gan_value(p, q[[0, 0, 0]]))


def lesson(
    report,
    *,
    steps: int = 750,
    seeds: int = 4,
    generators: int = 4,
    width: int = 16,
    batch_size: int = 64,
    samples: int = 2000,
    seed: int = 0,
):
    """Check losses and value, then count the modes that several generators keep on the ring.

    Args:
        report: The report to write to.
        steps: Steps of the generators (2 to 1000000).
        seeds: Independent runs, side by side (2 to 100).
        generators: Their number (2 to 8).
        width: Units of each of two hidden layers of a generator; the wide one has all of them (1 to 256).
        batch_size: Samples in a batch; a multiple of `generators` (2 to 10000).
        samples: Samples of a run to count modes with; a multiple, too (100 to 100000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _losses(report, np.random.default_rng(seed))
    _value(report, np.random.default_rng((seed, 1)))
    points, centers = ring_of_gaussians(8, RADIUS, DEVIATION, 20000, seed)
    drawn, noise = {}, tf.random.stateless_normal((seeds, samples, LATENT), (seed, -1))
    games = {"one": (1, True), "told apart": (generators, True), "not told apart": (generators, False)}
    for name, (count, tell_apart) in report.track(games.items(), "games"):
        wide = width * generators // count
        generator = parallel_mlp(seeds * count, LATENT, (wide, wide), 2, seed)
        answers = count + 1 if tell_apart else 2
        discriminator = parallel_mlp(seeds, 2, (64, 64), answers, seed + 1000)
        train_mad_gan(generator, discriminator, points, steps, generators=count, tell_apart=tell_apart,
                      batch_size=batch_size, seed=seed)  # fmt: skip
        drawn[name] = np.nan_to_num(draw_all(generator, count, noise).numpy(), nan=1e6, posinf=1e6, neginf=-1e6)
    _modes(report, drawn, centers, seeds, width, generators)
    _figure(report, drawn, centers, generators)


def _losses(report, rng):
    logits = tf.constant(rng.normal(size=(12, 2)), tf.float32)
    source = np.repeat([0, 1], (5, 7))
    value = logits[:, 1] - logits[:, 0]  # the one logit of a GAN
    want = [discriminator_loss(value[5:], value[:5]), generator_loss(value[:5])]
    report.check("with one generator the losses are the GAN's", mad_gan_losses(logits, source), want, rtol=1e-5)


def _value(report, rng):
    for k in (1, 2, 4):
        p = rng.dirichlet(np.ones(8))
        optimum = -(k + 1) * np.log(k + 1) + k * np.log(k)
        d = rng.normal(size=(k, 8))
        d = d - d.mean(axis=0) - d.mean(axis=1, keepdims=True) + d.mean()  # rows and columns sum to 0
        mixed = p + d * p.min() / max(1e-9, np.abs(d).max())
        label = f"{k} generators whose mean is the data: −(k + 1) ln(k + 1) + k ln k"
        report.check(label, mad_gan_value(p, mixed), optimum)
        others = [mad_gan_value(p, rng.dirichlet(np.ones(8), size=k)) for _ in range(300)]
        report.at_least(f"{k} generators at random: least excess over that", min(others) - optimum, 0.0)
    report.check(
        "four generators that all draw the whole data: the same", mad_gan_value(p, np.tile(p, (4, 1))), optimum
    )
    report.note(
        "The value depends on the mean of the generators only. Four copies of a good generator are an optimum as well "
        "as four that divide the modes: that they specialize is what training does, not what the value asks for."
    )


def _modes(report, drawn, centers, seeds, width, generators):
    names = {"one": f"one of {width * generators} units", "told apart": f"{generators} of {width}, told apart",
             "not told apart": f"{generators} of {width}, not told apart"}  # fmt: skip
    rows, found = [], {}
    for name, samples in drawn.items():
        found[name] = modes_found(samples, centers, DEVIATION)
        share = share_near_a_mode(samples, centers, DEVIATION)
        rows.append([names[name], *plots.mean_and_error(found[name]), *plots.mean_and_error(share)])
    columns = ["generators", "modes", "standard error", "share near a mode", "error of the share"]
    report.table(f"modes found of {len(centers)}, mean over {seeds} seeds", columns, rows)
    several, one, alike = (np.mean(found[name]) for name in ("told apart", "one", "not told apart"))
    label = "modes that generators told apart keep beyond one wide generator, mean over seeds"
    report.at_least(label, several - one, 1.0, trained=True)
    label = "modes that being told apart adds to several generators, mean over seeds"
    report.at_least(label, several - alike, 0.0, trained=True)
    samples = drawn["told apart"]
    each = np.mean(modes_found(samples.reshape(len(samples), generators, -1, 2), centers, DEVIATION))
    report.note(
        f"Each of the generators keeps {each:.1f} modes in the mean, all together {several:.1f}; without names for "
        f"them they keep {alike:.1f}, the one alone {one:.1f}. Rate 0.01, 750 steps, five turns of the discriminator, "
        "batches of 64 and its 64 units are the setting of `mode_collapse.py`, where a plain GAN loses modes. The "
        "wide one has more weights than the four together."
    )


def _figure(report, drawn, centers, generators):
    figure, axes = plots.subplots(1, 3, figsize=(11.5, 4.6), sharex=True, sharey=True)
    angles = np.linspace(0, 2 * np.pi, 60)
    titles = {"one": "One wide generator", "told apart": "Told apart", "not told apart": "Not told apart"}
    for ax, (name, samples) in zip(axes, drawn.items(), strict=True):
        count = 1 if name == "one" else generators
        for x, y in centers:
            ax.plot(
                x + 3 * DEVIATION * np.cos(angles), y + 3 * DEVIATION * np.sin(angles), "-", color="0.4", linewidth=1
            )
        for number, points in enumerate(samples[0].reshape(count, -1, 2)):
            ax.plot(*points[:400].T, "os^Dvp*h"[number], color=f"C{number}", markersize=3, alpha=0.5)
        found = int(modes_found(samples[0], centers, DEVIATION))
        ax.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xlabel="first coordinate")
        ax.set_title(f"{titles[name]}:\n{found} modes")
    axes[0].set_ylabel("second coordinate")
    report.figure(
        "Who draws which mode",
        figure,
        alt="Samples of one seed on a ring of eight circles: one wide generator covers few circles; four generators, "
        "each with a colour and a marker of its own, cover most circles between them.",
    )

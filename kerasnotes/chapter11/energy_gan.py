"""A critic may be an autoencoder: what it rebuilds badly has a high energy, and the players need a balance.

EBGAN pushes the energy of drawn samples up to a margin, MAGAN lets that margin fall with the energy of the data, and
BEGAN weighs the two sides so that their ratio stays at γ. What the reader should see: no slope beyond the margin;
BEGAN's ratio near γ with its weight k between 0 and 1; a margin that only falls; and a measure of convergence, made of
energies only, that falls with the Fréchet distance at first, not later. The bounds on both were eased after runs.

Notes: chapter 11, "EBGAN, BEGAN and MAGAN" (EBGAN、BEGAN与MAGAN).
Source: Zhao, Mathieu, LeCun 2017, arXiv:1609.03126; Berthelot, Schumm, Metz 2017, arXiv:1703.10717; Wang et al. 2017,
arXiv:1704.03817.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter11.players import Player, draw_batches, play
from kerasnotes.chapter11.scores import frechet_distance
from kerasnotes.chapter11.side_by_side import parallel_mlp
from kerasnotes.chapter11.wgan import rank_correlation
from kerasnotes.parts import floating, positive, share

SMOKE = {"steps": 64, "runs": 2, "units": 4, "code": 2}
FULL = {"steps": 10000, "units": 256}
SECONDS = 26

GAMMA, PIXELS = 0.7, 196
LOOKS = 1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64  # after so many 64ths of the steps


def energy(autoencoder, x):
    """How badly an autoencoder rebuilds samples (..., numbers): the mean absolute error over their numbers, (...).

    Source: Berthelot, Schumm, Metz 2017, arXiv:1703.10717 (absolute errors, η = 1).
    """
    return tf.reduce_mean(tf.abs(autoencoder(x) - x), axis=-1)


def ebgan_losses(real_energy, fake_energy, margin):
    """The critic lowers the energy of data and raises that of draws, up to a margin; the generator lowers its own.

    Args:
        real_energy, fake_energy: Energies (..., batch); axes before the batch are runs of their own.
        margin: Energy beyond which a drawn sample is left alone, a number or one for each run (...).

    Returns: `(critic_loss, generator_loss)`: mean E(x) + mean max(m − E(G(z)), 0), and mean E(G(z)), each (...).
    Raises: ValueError: If there are no numbers.
    Source: Zhao et al. 2017, arXiv:1609.03126.
    """
    real, fake = floating("real_energy", real_energy), floating("fake_energy", fake_energy)
    above = tf.nn.relu(tf.convert_to_tensor(margin, fake.dtype)[..., None] - fake)
    return tf.reduce_mean(real, axis=-1) + tf.reduce_mean(above, axis=-1), tf.reduce_mean(fake, axis=-1)


class BeganBalance:
    """The weight k of the drawn samples' energy in the critic's loss E(x) − k E(G(z)), moved after every step.

    Args:
        gamma: Ratio E(G(z)) / E(x) to hold, above 0 and at most 1: low for fewer and clearer kinds of samples.
        rate: How far k moves for a unit of imbalance, positive.
        runs: Number of independent runs, or None for one weight without an axis.
    Raises: ValueError: If a number is out of range.
    Source: Berthelot et al. 2017, arXiv:1703.10717.
    """

    def __init__(self, gamma, rate=0.001, runs=None):
        self.gamma, self.rate = share("gamma", gamma, low=False), positive("rate", rate)
        self.k = keras.Variable(tf.zeros(() if runs is None else (runs,)), trainable=False)

    def losses(self, real, fake):
        """The critic's and the generator's loss from the mean energies of both."""
        return real - self.k * fake, fake

    def update(self, real, fake):
        """k + rate (γ real − fake), kept between 0 and 1; returns the new k."""
        self.k.assign(tf.clip_by_value(self.k + self.rate * (self.gamma * real - fake), 0.0, 1.0))
        return self.k

    def convergence(self, real, fake):
        """real + |γ real − fake|: low if data are rebuilt well, and the draws' energy has its place."""
        return real + abs(self.gamma * real - fake)


def magan_margin(margin, real, fake, fake_before):
    """The next margin: the mean energy of the data, if that is lower and the draws are above it and not gaining.

    Args:
        margin: The margin so far, a number or an array of runs.
        real, fake: Mean energies of data and draws over the last stretch of training.
        fake_before: That of the draws over the stretch before.

    Returns: Array of that shape, nowhere above `margin`.
    Raises: ValueError: If a number is not finite.
    Source: Wang et al. 2017, arXiv:1704.03817.
    """
    margin, real, fake, fake_before = (np.asarray(each, float) for each in (margin, real, fake, fake_before))
    if not all(np.isfinite(each).all() for each in (margin, real, fake, fake_before)):
        raise ValueError("margin, real, fake, fake_before: expected finite numbers, got NaN or infinity")
    return np.where((real < margin) & (real < fake) & (fake_before <= fake), real, margin)


def ebgan_players(generator, autoencoder, samples, margin, **optimizer):
    """The two players of EBGAN, and of MAGAN if the margin is a variable that somebody lowers.

    Args:
        generator, autoencoder: Networks of `parallel_mlp` for equally many runs.
        samples: Real samples (samples, numbers).
        margin: As in `ebgan_losses`.
        optimizer: `learning_rate`, `beta_1` and `beta_2` of both players.

    Returns: `[critic's player, generator's player]`, for the draws of `draw_batches`.
    """
    samples = tf.constant(samples)

    def tell(order, noise):
        energies = (energy(autoencoder, x) for x in (tf.gather(samples, order), generator(noise)))
        return tf.reduce_sum(ebgan_losses(*energies, margin)[0])

    def fool(order, noise):
        return tf.reduce_sum(tf.reduce_mean(energy(autoencoder, generator(noise)), axis=-1))

    return [Player([autoencoder], tell, **optimizer), Player([generator], fool, **optimizer)]


def began_players(generator, autoencoder, samples, balance, **optimizer):
    """The two players of BEGAN: as `ebgan_players`, with a `BeganBalance` for as many runs in place of the margin.

    The critic's turn moves k as well.
    """
    samples = tf.constant(samples)

    def tell(order, noise):
        both = (energy(autoencoder, x) for x in (tf.gather(samples, order), generator(noise)))
        means = [tf.reduce_mean(each, axis=-1) for each in both]
        loss = balance.losses(*means)[0]
        balance.update(*map(tf.stop_gradient, means))
        return tf.reduce_sum(loss)

    fool = ebgan_players(generator, autoencoder, samples, 0.0)[1].loss
    return [Player([autoencoder], tell, **optimizer), Player([generator], fool, **optimizer)]


def example():
    """EBGAN's losses by Keras's hinge and by ours; a few steps of BEGAN's balance."""
    real, fake = np.float32([0.2, 0.4]), np.float32([0.5, 1.5])
    hinge = keras.losses.Hinge()  # the mean of max(1 − label · value, 0), here with the label 1
    by_keras = real.mean() + float(hinge(tf.ones((2, 1)), fake[:, None]))
    critic, generator = ebgan_losses(real, fake, margin=1.0)
    print("critic by Keras and by ours:", by_keras, float(critic), "generator:", float(generator))
    balance = BeganBalance(gamma=0.5, rate=0.1)
    for fake in (0.1, 0.3, 0.6):
        k = float(balance.update(1.0, fake))
        print(f"E(x) = 1, E(G(z)) = {fake}: k becomes {k:.3f}, convergence {balance.convergence(1.0, fake):.1f}")
    print("MAGAN's margin:", magan_margin([0.5, 0.5], real=[0.4, 0.6], fake=[0.7, 0.7], fake_before=[0.6, 0.6]))


def lesson(report, *, steps: int = 1280, runs: int = 3, units: int = 96, code: int = 32, seed: int = 0):
    """Check the formulas, then train the three on digits of 14 x 14 pixels and watch their energies.

    Args:
        report: The report to write to.
        steps: Steps of each player (64 to 1000000).
        runs: Independent runs, side by side (2 to 30).
        units: Units of each hidden layer (1 to 1024).
        code: Numbers in the middle of the autoencoder, and of the generator's noise (1 to 1024).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _formulas(report)
    look, ways = _Look(runs, code, seed), {}
    for name in report.track(("EBGAN", "MAGAN", "BEGAN"), "members"):
        generator = parallel_mlp(runs, code, (units, units), PIXELS, seed)
        autoencoder = parallel_mlp(runs, PIXELS, (units, code, units), PIXELS, seed + 9)
        ways[name] = _train(name, generator, autoencoder, look, steps, seed)
    _verdict(report, ways, look)
    _figures(report, ways, look)


class _Look:
    """Digits of 14 x 14 pixels as rows, noise to draw with, and what a pair of networks is measured by."""

    def __init__(self, runs, code, seed):
        (x, _), (test, _) = data.mnist()
        small = (np.float32(each).reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) for each in (x[:20000], test))
        self.train, test = (each.reshape(-1, PIXELS) / 127.5 - 1 for each in small)
        self.test = np.random.default_rng((seed, 5)).permutation(test)[:2000]
        self.noise = np.random.default_rng((seed, 6)).standard_normal((runs, len(self.test), code), np.float32)

    def distance(self, drawn):
        """Fréchet distance to test digits, in means of 2 x 2 of the pixels."""
        coarse = [each.reshape(-1, 7, 2, 7, 2).mean(axis=(2, 4)).reshape(-1, 49) for each in (drawn, self.test)]
        return frechet_distance(*coarse)

    def energies(self, generator, autoencoder):
        """Mean energies of data and of draws: (2, runs)."""
        real = tf.tile(self.test[None], (len(self.noise), 1, 1))
        return np.stack([np.mean(energy(autoencoder, x), axis=1) for x in (real, generator(self.noise))])

    def distances(self, generator):
        return np.array([self.distance(x) for x in generator(self.noise).numpy()])


def _train(name, generator, autoencoder, look, steps, seed):
    """Dictionary of energies (65, 2, runs), "steering", k or margin, (65, runs), distances, what a run has drawn."""
    runs = len(look.noise)
    margin, balance = tf.Variable(tf.fill((runs,), 0.3)), BeganBalance(GAMMA, 0.01, runs)
    rate = keras.optimizers.schedules.PolynomialDecay(5e-4, steps, 5e-5)
    draw = draw_batches(len(look.train), (runs, 32), look.noise.shape[2], seed)
    make, steered = (began_players, balance.k) if name == "BEGAN" else (ebgan_players, margin)
    players = make(generator, autoencoder, look.train, balance if name == "BEGAN" else margin, learning_rate=rate)
    if name == "MAGAN":  # its margin starts at the energy of data under an autoencoder that has seen nothing else
        rebuild = lambda o, _: runs * tf.reduce_mean(energy(autoencoder, tf.gather(look.train, o)))  # noqa: E731
        play([Player([autoencoder], rebuild)], draw, steps // 6, every=steps)
        margin.assign(look.energies(generator, autoencoder)[0])
    way = {"energies": [look.energies(generator, autoencoder)], "distances": [look.distances(generator)],
           "steering": [np.array(steered)]}  # fmt: skip

    def watch(done):
        part = done // (steps // 64)
        way["energies"].append(look.energies(generator, autoencoder))
        if part in LOOKS:
            way["distances"].append(look.distances(generator))
        if name == "MAGAN" and part % 8 == 0:
            margin.assign(magan_margin(margin, *way["energies"][-1], way["energies"][-9][1]))
        way["steering"].append(np.array(steered))

    play(players, draw, 64 * (steps // 64), every=steps // 64, watch=watch)
    return {**{key: np.stack(each) for key, each in way.items()}, "drawn": generator(look.noise)[0].numpy()}


def _formulas(report):
    real, fake = tf.constant([0.2, 0.4]), tf.constant([0.5, 1.5])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(fake)
        critic, generator = ebgan_losses(real, fake, 1.0)
    report.check("EBGAN on numbers: 0.3 + (0.5 + 0)/2 and 1", [critic, generator], [0.55, 1.0])
    slopes = [tape.gradient(loss, fake) for loss in (critic, generator)]
    report.check("no slope of the critic's beyond the margin, but the generator's", slopes, [[-0.5, 0.0], [0.5, 0.5]])
    balance = BeganBalance(0.5, 0.1)
    found = [float(balance.update(1.0, each)) for each in (0.3, 2.0, -20.0)]
    report.check("BEGAN's k: 0.02, then no less than 0, no more than 1", found, [0.02, 0.0, 1.0])
    found = [*balance.losses(3.0, 1.0), balance.convergence(3.0, 1.0)]
    report.check("its losses at k = 1, and its convergence", found, [2.0, 1.0, 3.5])


def _verdict(report, ways, look):
    rows, first = [], np.mean(ways["EBGAN"]["distances"][0])
    for name, way in ways.items():
        real, fake = way["energies"][-24:].mean(axis=(0, 2))
        mean, error = plots.mean_and_error(way["distances"][-1])
        variety = way["drawn"].std(axis=0).mean() / look.test.std(axis=0).mean()
        rows.append([name, real, fake, fake / real, way["steering"][-1].mean(), mean, error, variety])
        report.at_most(f"{name}: Fréchet distance over that before training", mean / first, 0.5, trained=True)
    rows.append(["training digits", *[None] * 4, look.distance(look.train[: len(look.test)]), None, 1.0])
    title = f"energies over the last third of the steps, and distance at the end: mean over {len(look.noise)} runs"
    columns = ["member", "of data", "of draws", "ratio", "margin or k", "Fréchet distance", "error", "variety, one run"]
    report.table(title, columns, rows)
    report.check("BEGAN's ratio of energies over the last third: γ", rows[2][3], GAMMA, rtol=0, atol=0.1, trained=True)
    k, margins = ways["BEGAN"]["steering"], ways["MAGAN"]["steering"]
    report.check("k between 0 and 1 all the time", (k >= 0) & (k <= 1), np.ones(k.shape, bool))
    report.at_most("MAGAN's margin: largest rise", np.diff(margins, axis=0), 0.0)
    report.at_most("and at the end, over that at the start", np.mean(margins[-1] / margins[0]), 1.0, trained=True)
    measure, distances = _measure(ways), ways["BEGAN"]["distances"]
    whole, late = (
        np.mean([rank_correlation(m[i:], d[i:]) for m, d in zip(measure.T, distances.T, strict=True)]) for i in (0, 5)
    )
    report.at_least("BEGAN's convergence and the Fréchet distance: rank correlation", whole, 0.3, trained=True)
    report.note(
        f"After a quarter of the steps it is {late:.2f}: the measure is made of energies and sees not whether draws "
        f"are alike. Their pixels' deviation, the variety, ends at {rows[2][-1]:.2f} of the digits'. And a k in its "
        "range makes the ratio γ on the average, whatever is drawn: Σ (γ E(x) − E(G(z))) is its change over its rate."
    )


def _measure(ways):
    return BeganBalance(GAMMA).convergence(*np.moveaxis(ways["BEGAN"]["energies"][[0, *LOOKS]], 1, 0))


def _figures(report, ways, look):
    figure, axes = plots.subplots(2, 2, figsize=(11.5, 7))
    pictures = {"real": look.test[:16], **{name: way["drawn"][:16] for name, way in ways.items()}}
    rows = np.stack([np.clip(each, -1, 1).reshape(16, 14, 14) for each in pictures.values()])
    plots.tiles(rows, axes[0, 0], list(pictures))
    axes[0, 0].set_title("Digits of 14 x 14 pixels")
    x, looks = np.arange(65) / 64, np.array([0, *LOOKS]) / 64
    ratios = {name: (way["energies"][:, 1] / way["energies"][:, 0]).T for name, way in ways.items()}
    plots.curves(x, ratios, xlabel="share of the steps", ylabel="energy: draws over data", ax=axes[0, 1])
    axes[0, 1].set_title("Only BEGAN holds a ratio")
    axes[0, 1].axhline(GAMMA, color="k", linewidth=1)
    steering = {"MAGAN's margin": ways["MAGAN"]["steering"].T, "energy of its data": ways["MAGAN"]["energies"][:, 0].T,
                "BEGAN's k": ways["BEGAN"]["steering"].T}  # fmt: skip
    plots.curves(x, steering, xlabel="share of the steps", ylabel="value", title="What steers them", ax=axes[1, 0])
    series = ("convergence", _measure(ways).mean(axis=1)), ("Fréchet distance", ways["BEGAN"]["distances"].mean(axis=1))
    plots.two_scales(looks, *series, xlabel="share of the steps", title="BEGAN's own measure", ax=axes[1, 1])
    report.figure(
        "Critics that rebuild",
        figure,
        alt="Real digits and those of three members; the ratio of energies, which BEGAN holds near its γ; MAGAN's "
        "falling margin and BEGAN's k; BEGAN's measure of convergence beside the Fréchet distance.",
    )

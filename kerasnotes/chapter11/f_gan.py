"""Every f-divergence is a game: a critic's bound on it needs samples only, and is exact for the best critic.

D(P‖Q) = Σ q f(p/q) asks for densities, which nobody has. The conjugate f*(t) = sup u t − f(u) turns it into the largest
value of Σ p T − Σ q f*(T) over critics T, two means over samples. What the reader should see: the bound met by T =
f′(p/q) and by no other; the GAN's own game in this table; and one Gaussian fitted to two hills by six games, five of
which end where going downhill by densities from the same start ends, some at the mean of all, one at one hill; total
variation's does not get there. How far off a game may end, 0.2, was 0.15 before there were runs.

Notes: chapter 11, "f-GAN" (f-GAN与f散度).
Source: Nowozin, Cseke, Tomioka 2016, arXiv:1606.00709 (table 2: the activations).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter11.divergences import js
from kerasnotes.chapter11.players import Player, draw_batches, play
from kerasnotes.chapter11.saturation import batch_mean
from kerasnotes.chapter11.side_by_side import parallel_mlp
from kerasnotes.parts import shape, whole

SMOKE = {"steps": 2, "runs": 2, "batch_size": 8}
FULL = {"steps": 10000, "runs": 10}
SECONDS = 19

WEIGHT, HILLS, WIDTH = 0.7, (-1.0, 2.0), 0.5  # of the first hill, means of both, deviation of each
START = 0.0, 0.6  # mean and deviation of the Gaussian that is fitted


class FDivergence:
    """A row of the table; `KL` and the others fill it in.

    `generator(u)` is f, convex on u > 0; `derivative(u)` its slope; `conjugate(t)` the largest u t − f(u), for the t
    between `low` and `high`; `activation(v)` takes any number into that range, and rises. All work number by number.
    """

    low, high = -np.inf, np.inf


class KL(FDivergence):
    """Σ p ln(p/q): the data must not be missed."""

    generator, derivative = lambda u: tf.math.xlogy(u, u), lambda u: 1 + tf.math.log(u)
    conjugate, activation = lambda t: tf.exp(t - 1), lambda v: v


class ReverseKL(FDivergence):
    """Σ q ln(q/p): nothing must be drawn where there are no data."""

    high = 0.0
    generator, derivative = lambda u: -tf.math.log(u), lambda u: -1 / u
    conjugate, activation = lambda t: -1 - tf.math.log(-t), lambda v: -tf.exp(-v)


class JS(FDivergence):
    """The GAN's: 2 JS − 2 ln 2; the activation is ln D, with D the sigmoid."""

    high = 0.0
    generator, derivative = lambda u: tf.math.xlogy(u, u) - (u + 1) * tf.math.log1p(u), lambda u: -tf.math.log1p(1 / u)
    conjugate, activation = lambda t: -tf.math.log(-tf.math.expm1(t)), lambda v: -tf.nn.softplus(-v)


class Pearson(FDivergence):
    """Σ (p − q)²/q. The conjugate is that of f on the whole line: ratios ask for t of at least −2 only."""

    generator, derivative = lambda u: (u - 1) ** 2, lambda u: 2 * (u - 1)
    conjugate, activation = lambda t: t**2 / 4 + t, lambda v: v


class Hellinger(FDivergence):
    """Σ (√p − √q)²."""

    high = 1.0
    generator, derivative = lambda u: (tf.sqrt(u) - 1) ** 2, lambda u: 1 - tf.math.rsqrt(u)
    conjugate, activation = lambda t: t / (1 - t), lambda v: 1 - tf.exp(-v)


class TotalVariation(FDivergence):
    """½ Σ |p − q|. The conjugate is t between −½ and ½."""

    low, high = -0.5, 0.5
    generator, derivative = lambda u: tf.abs(u - 1) / 2, lambda u: tf.sign(u - 1) / 2
    conjugate, activation = lambda t: t, lambda v: tf.tanh(v) / 2


DIVERGENCES = {"kl": KL, "reverse_kl": ReverseKL, "js": JS, "pearson": Pearson, "hellinger": Hellinger,
               "total_variation": TotalVariation}  # fmt: skip


def _row(name):
    if name not in DIVERGENCES:
        raise ValueError(f"name: expected one of {', '.join(DIVERGENCES)}, got {name!r}")
    return DIVERGENCES[name]


def _masses(p, q):
    p, q = (tf.convert_to_tensor(np.asarray(each, np.float64)) for each in (p, q))
    shape("q", q, *p.shape)
    for name, value in (("p", p), ("q", q)):
        if not (np.isfinite(value).all() and np.min(value) > 0):
            raise ValueError(f"{name}: expected positive numbers, got {value}")
    return p, q


def f_divergence(name, p, q):
    """Σ q f(p/q), by the densities.

    Args:
        name: A key of `DIVERGENCES`.
        p, q: Positive masses (..., outcomes) of one shape; they need not sum to 1.

    Returns: float64 tensor (...).

    Raises: ValueError: If the name is unknown, or the masses do not fit or are not positive.

    Source: Nowozin et al. 2016, arXiv:1606.00709.
    """
    f, (p, q) = _row(name).generator, _masses(p, q)
    return tf.reduce_sum(q * f(p / q), axis=-1)


def variational_bound(name, p, q, critic):
    """Σ p T − Σ q f*(T): at most the divergence, whatever the critic.

    Args:
        name, p, q: As in `f_divergence`.
        critic: T of every outcome, (..., outcomes), inside the range of the row.

    Returns: float64 tensor (...).

    Raises: ValueError: As `f_divergence`, or if the critic leaves its range.
    """
    row, (p, q) = _row(name), _masses(p, q)
    critic = shape("critic", tf.convert_to_tensor(np.asarray(critic, np.float64)), *p.shape)
    if not (np.min(critic) >= row.low and np.max(critic) <= row.high):
        raise ValueError(f"critic: expected numbers from {row.low} to {row.high}, got {critic}")
    return tf.reduce_sum(p * critic - q * row.conjugate(critic), axis=-1)


def train_f_gan(name, generator, critic, samples, steps, *, critic_steps=3, batch_size=128, learning_rate=0.01,
                generator_learning_rate=0.004, seed=0):  # fmt: skip
    """Play the game of one row: the critic raises the bound, the generator lowers it.

    Args:
        name: A key of `DIVERGENCES`.
        generator, critic: Networks of `parallel_mlp` for equally many runs; the critic's pass the row's activation.
        samples: Real samples (samples, numbers).
        steps, critic_steps: Steps of the generator, and of the critic in each, on the same draws.
        batch_size: Samples in a batch of each run.
        learning_rate, generator_learning_rate: Of the two at the start; they fall to a twentieth.
        seed: Seed of the draws.

    Returns: float32 (steps, 2): the mean bound over the runs at the critic's last turn, and the mean of f* after it.

    Source: Nowozin et al. 2016, arXiv:1606.00709 (here with alternating steps).
    """
    row, runs, samples = _row(name), critic.layers[0].runs, tf.constant(samples)

    def told(noise):
        return tf.reduce_sum(batch_mean("drawn", critic(generator(noise)), lambda v: row.conjugate(row.activation(v))))

    def tell(order, noise):
        return told(noise) - tf.reduce_sum(batch_mean("real", critic(tf.gather(samples, order)), row.activation))

    critic_steps = whole("critic_steps", critic_steps)
    rates = [keras.optimizers.schedules.PolynomialDecay(rate, count, rate / 20) for rate, count in
             ((learning_rate, critic_steps * steps), (generator_learning_rate, steps))]  # fmt: skip
    players = [Player([critic], tell, rates[0], beta_2=0.9)] * critic_steps
    players.append(Player([generator], lambda order, noise: -told(noise), rates[1], beta_2=0.9))
    draw = draw_batches(len(samples), (runs, batch_size), generator.layers[0].kernel.shape[1], seed)
    return play(players, draw, steps, every=steps)[:, -2:] / -runs


def example():
    """Two divergences of two outcomes by Keras and by the table, and what a critic without an idea says."""
    p, q = np.array([0.9, 0.1]), np.array([0.5, 0.5])
    print("KL by Keras and by the table:", float(keras.losses.KLDivergence()(p, q)), float(f_divergence("kl", p, q)))
    for name, row in DIVERGENCES.items():
        best = variational_bound(name, p, q, row.derivative(tf.constant(p / q)))
        idle = variational_bound(name, p, q, row.derivative(tf.ones(2, tf.float64)))
        values = [round(float(each), 4) for each in (f_divergence(name, p, q), best, idle)]
        print(f"{name}: by densities, by the best critic and by an idle one", values)


def lesson(report, *, steps: int = 1000, runs: int = 3, units: int = 16, batch_size: int = 128, seed: int = 0):
    """Check the table against its definitions, then fit a Gaussian to two hills by each of its games.

    Args:
        report: The report to write to.
        steps: Steps of each generator (2 to 1000000).
        runs: Independent runs of each game (2 to 100).
        units: Units of each of the critic's two hidden layers (2 to 1024).
        batch_size: Samples in a batch (2 to 100000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng((seed, 1))
    _conjugates(report)
    _attained(report, rng)
    right = rng.random((40000, 1)) < 1 - WEIGHT
    samples = np.float32(np.where(right, HILLS[1], HILLS[0]) + WIDTH * rng.normal(size=(40000, 1)))
    fits, values = {}, {}
    for name in report.track(DIVERGENCES, "divergences"):
        generator, critic = parallel_mlp(runs, 1, (), 1), parallel_mlp(runs, 1, (units, units), 1, seed, "tanh")
        generator.set_weights([np.full((runs, 1, 1), START[1]), np.full((runs, 1, 1), START[0])])
        history = train_f_gan(name, generator, critic, samples, steps, batch_size=batch_size, seed=seed)
        width, mean = (np.ravel(weight) for weight in generator.get_weights())
        fits[name], values[name] = np.stack([mean, np.abs(width)], axis=1), history[-50:, 0].mean()
    _fits(report, fits, values)


def _conjugates(report):
    u = np.concatenate([np.geomspace(1e-6, 1e6, 400001), np.linspace(0.01, 20, 400001)])
    ranges = {"kl": (-3, 2), "reverse_kl": (-5, -0.2), "js": (-5, -0.2), "pearson": (-2, 5), "hellinger": (-5, 0.8),
              "total_variation": (-0.5, 0.5)}  # fmt: skip
    for name, row in DIVERGENCES.items():
        t, f = np.linspace(*ranges[name], 21), np.asarray(row.generator(u))
        supremum = [np.max(u * each - f) for each in t]
        report.check(f"{name}: f* is the largest u t − f(u) on a fine grid", row.conjugate(t), supremum, atol=1e-5)


def _attained(report, rng):
    """Random distributions: the critic f′(p/q), and others through the activation."""
    p, q = rng.dirichlet(np.ones(6), size=200), rng.dirichlet(np.ones(6), size=200)
    best, slack = [], []
    for name, row in DIVERGENCES.items():
        divergence = f_divergence(name, p, q)
        best.append(variational_bound(name, p, q, row.derivative(p / q)) / divergence)
        others = row.activation(rng.normal(size=(200, 6)))
        slack.append(np.min(divergence - variational_bound(name, p, q, others)))
    report.check("the critic f′(p/q) attains the divergence, 200 pairs each", best, np.ones((len(DIVERGENCES), 200)))
    report.at_least("any other critic stays below: least distance", slack, 0.0)
    report.check("the GAN's row is 2 JS − 2 ln 2", f_divergence("js", p, q), 2 * js(p, q) - 2 * np.log(2))


def _density(x, mean, width):
    return np.exp(-(((x - mean) / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))


def _hills(x):
    return WEIGHT * _density(x, HILLS[0], WIDTH) + (1 - WEIGHT) * _density(x, HILLS[1], WIDTH)


def _lowest(name, start=START):
    """Downhill from a start in the plane of mean and width, by densities: (mean, width), divergence."""
    x, step = np.linspace(-7, 8, 1501), 0.25

    def height(place):
        return float(f_divergence(name, 0.01 * _hills(x) + 1e-12, 0.01 * _density(x, *place) + 1e-12))

    place, value = np.array(start), height(start)
    while step > 0.002:
        around = place + step * np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])
        heights = [height(each) if each[1] > 0.1 else np.inf for each in around]
        if min(heights) < value:
            place, value = around[np.argmin(heights)], min(heights)
        else:
            step /= 2
    return place, value


def _fits(report, fits, values):
    exact = {name: _lowest(name) for name in fits}
    rows = [[name, *exact[name][0], exact[name][1], *fits[name].mean(axis=0), values[name]] for name in fits]
    columns = ["divergence", "mean by densities", "deviation", "value there", "mean by the game", "deviation", "bound"]
    report.table("one Gaussian for two hills", columns, rows)
    for name in fits:
        if name != "total_variation":
            got = np.abs(fits[name].mean(axis=0) - exact[name][0]).max()
            report.at_most(f"{name}: mean and deviation by the game, off those by densities", got, 0.2, trained=True)
    mean, deviation = WEIGHT * HILLS[0] + (1 - WEIGHT) * HILLS[1], np.sqrt(WIDTH**2 + 9 * WEIGHT * (1 - WEIGHT))
    report.check("KL by densities: the data's own mean and deviation", exact["kl"][0], [mean, deviation], atol=0.01)
    label = "deviation by the KL game over that by the reverse one"
    report.at_least(label, fits["kl"][:, 1].mean() / fits["reverse_kl"][:, 1].mean(), 2.0, trained=True)
    report.note(
        "Total variation is the weak row: its activation is level where the critic is sure, and the push on the "
        f"generator gone; its bound ended at {values['total_variation']:.3f}, the divergence at its best is "
        f"{exact['total_variation'][1]:.3f}. The start counts, too: from a narrow Gaussian on the first hill JS and "
        f"Hellinger stay there, JS at {_lowest('js', (HILLS[0], WIDTH))[1]:.3f}, lower than {exact['js'][1]:.3f}; from "
        "deviation 1 the reverse game went wrong, whose critic would have to say minus thousands between the hills."
    )
    x = np.linspace(-4, 5, 400)
    figure, axes = plots.subplots(2, 3, figsize=(11.5, 6), sharex=True, sharey=True)
    for ax, name in zip(np.ravel(axes), fits, strict=True):
        ax.fill_between(x, _hills(x), color="0.85", label="data")
        for number, (mean, width) in enumerate(fits[name]):
            ax.plot(x, _density(x, mean, width), color="C0", linewidth=1, label=None if number else "by the game")
        ax.plot(x, _density(x, *exact[name][0]), "--", color="C1", label="by densities")
        ax.set_title(name.replace("_", " "))
    axes[0, 0].legend(fontsize=10)
    axes[0, 0].set(ylim=(0, 0.9))
    figure.supxlabel("x")
    figure.supylabel("density")
    report.figure(
        "Mean or mode",
        figure,
        alt="Two hills of data, and the Gaussian that each of six divergences fits, by the game and by densities: wide "
        "over both for KL, JS, Pearson and Hellinger, narrow on the larger for reverse KL and total variation.",
    )

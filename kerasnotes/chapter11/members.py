"""GAN, least-squares GAN and hinge GAN are one program with two lines exchanged; a WGAN adds its penalty.

Two players stay; what each descends changes. What the reader should see: the text of each member as a diff against the
GAN, two lines of losses, and for WGAN-GP a penalty as well; the slope that each loss gives a generator whose draws the
discriminator is sure of; and all four, in the same loop with the same draws, learning where real digits lie.

Notes: chapter 11, "The zoo of GANs" (GAN家族).
Source: Goodfellow et al. 2014, arXiv:1406.2661; Mao et al. 2017, arXiv:1611.04076 (least squares); Lim and Ye 2017,
arXiv:1705.02894 (hinge); Gulrajani et al. 2017, arXiv:1704.00028 (WGAN-GP).
"""

import ast
import difflib
import inspect
import textwrap

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter11.divergences import wasserstein_of_samples
from kerasnotes.chapter11.gradient_penalty import gradient_penalty
from kerasnotes.chapter11.players import draw_batches, play, two_players
from kerasnotes.chapter11.saturation import batch_mean, discriminator_loss, generator_loss
from kerasnotes.chapter11.side_by_side import parallel_mlp
from kerasnotes.parts import shape, whole

SMOKE = {"steps": 2, "runs": 2, "images": 500, "batch_size": 8, "units": 4}
FULL = {"runs": 10, "steps": 5000}
SECONDS = 11

LATENT = 4


def _mean(values):
    return batch_mean("values", values)


def gan(generator, discriminator, samples, **optimizer):
    """Cross-entropies: the players of `gan.py`.

    Args:
        generator, discriminator, samples, optimizer: As in `two_players`.

    Returns: List of the two players, the discriminator's first.
    """

    def tell(real, fake):
        return _mean(tf.nn.softplus(-real)) + _mean(tf.nn.softplus(fake))

    def fool(fake):
        return _mean(tf.nn.softplus(-fake))

    return two_players(generator, discriminator, samples, tell, fool, **optimizer)


def least_squares_gan(generator, discriminator, samples, **optimizer):
    """Squared errors to the answers 1 and 0: arguments and value as in `gan`.

    Source: Mao et al. 2017, arXiv:1611.04076, with a = 0 and b = c = 1, and without the factors ½.
    """

    def tell(real, fake):
        return _mean((real - 1) ** 2) + _mean(fake**2)

    def fool(fake):
        return _mean((fake - 1) ** 2)

    return two_players(generator, discriminator, samples, tell, fool, **optimizer)


def hinge_gan(generator, discriminator, samples, **optimizer):
    """The discriminator stops at ±1, the generator never: arguments and value as in `gan`.

    Source: Lim and Ye 2017, arXiv:1705.02894.
    """

    def tell(real, fake):
        return _mean(tf.nn.relu(1 - real)) + _mean(tf.nn.relu(1 + fake))

    def fool(fake):
        return -_mean(fake)

    return two_players(generator, discriminator, samples, tell, fool, **optimizer)


def wgan_gp(generator, discriminator, samples, **optimizer):
    """Differences of means, with slopes held near 1 (λ = 0.3): as in `gan`, for a discriminator of `parallel_mlp`.

    Source: Gulrajani et al. 2017, arXiv:1704.00028, equation 3.
    """

    def tell(real, fake):
        return _mean(fake) - _mean(real)

    def fool(fake):
        return -_mean(fake)

    def penalty(*drawn):
        return 0.3 * slope_penalty(discriminator, *drawn)

    return two_players(generator, discriminator, samples, tell, fool, penalty=penalty, **optimizer)


def slope_penalty(discriminator, real, drawn, seed):
    """Sum over games side by side of each game's gradient penalty, without the factor λ.

    Args:
        discriminator: Network of `parallel_mlp`, from (runs, batch, numbers) to (runs, batch, 1).
        real, drawn: Samples (runs, batch, numbers).
        seed: As in `gradient_penalty`.

    Returns: Scalar tensor.
    """
    runs, _, numbers = real.shape

    def flat(x):  # all games' points as one batch, for each has a slope of its own
        return tf.reshape(discriminator(tf.reshape(x, (runs, -1, numbers))), (-1, 1))

    return runs * gradient_penalty(flat, *(tf.reshape(x, (-1, numbers)) for x in (real, drawn)), seed)


def changed_lines(function, other):
    """What differs between the bodies of two functions, comments and docstrings left out.

    Args:
        function, other: Python functions whose source can be read.
    Returns: Lines that begin with "−", only in the first function, or "+", only in the second.
    """
    bodies = []
    for each in (function, other):
        node = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0]
        statements = node.body if ast.get_docstring(node) is None else node.body[1:]
        bodies.append("\n".join(map(ast.unparse, statements)).splitlines())
    found = [line for line in difflib.ndiff(*bodies) if line[0] in "+-"]
    return [line.replace("-", "−", 1) if line[0] == "-" else line for line in found]


def shadow_distance(a, b, directions=16):
    """Mean Wasserstein distance between the shadows of two sets of points of the plane, over directions.

    Args:
        a, b: Points (n, 2), equally many.
        directions: Number of evenly spaced directions.

    Returns: Float, in the units of the points; 0 for equal sets, and the mean of |cos| times a shift's length.

    Raises: ValueError: If the sets differ in size, or points are not in the plane.

    Source: Rabin et al. 2012, doi:10.1007/978-3-642-24785-9_37.
    """
    a, b = (shape(name, np.asarray(points, float), None, 2) for name, points in (("a", a), ("b", b)))
    angles = np.arange(whole("directions", directions)) * np.pi / directions
    lines = np.stack([np.cos(angles), np.sin(angles)])  # (2, directions)
    return float(np.mean(wasserstein_of_samples((a @ lines).T, (b @ lines).T)))


def example():
    """The hinge loss by Keras and by ours, and a short game."""
    generator, discriminator = parallel_mlp(1, 2, (8,), 2, 0), parallel_mlp(1, 2, (8,), 1, 1)
    samples = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    tell, fool = hinge_gan(generator, discriminator, samples, learning_rate=0.01)
    order, noise = (each[0] for each in draw_batches(100, (1, 64), 2)(0, 1))
    values = discriminator(samples[order]), discriminator(generator(noise))
    hinge = keras.losses.Hinge()  # labels −1 and 1, the mean of max(1 − label · value, 0)
    by_keras = hinge(tf.ones((1, 64, 1)), values[0]) + hinge(-tf.ones((1, 64, 1)), values[1])
    print("the hinge by Keras and by ours:", float(by_keras), float(tell.loss(order, noise)))
    losses = play([tell, fool], draw_batches(100, (1, 64), 2), 20)
    print("losses of both players in the last of twenty steps:", losses[-1])


def lesson(
    report,
    *,
    steps: int = 1000,
    runs: int = 6,
    images: int = 12000,
    units: int = 32,
    batch_size: int = 64,
    learning_rate: float = 0.005,
    seed: int = 0,
):
    """Show the diffs of four members and their slopes, then train them all in one loop.

    Args:
        report: The report to write to.
        steps: Steps of each member (2 to 1000000).
        runs: Independent games of each member, played side by side (2 to 100).
        images: Real images of the digits 0 and 1, half of them to compare with (100 to 12665).
        units: Units of each of two hidden layers (2 to 1024).
        batch_size: Samples in a batch (2 to 10000).
        learning_rate: Learning rate at the start; it falls to a twentieth (0.000001 to 1).
        seed: Seed of all random draws (0 to 4294967295).
    """
    members = {"GAN": gan, "least squares": least_squares_gan, "hinge": hinge_gan, "WGAN-GP": wgan_gp}
    _diffs(report, members)
    slopes = _slopes(report, members)
    train, test = np.split(_plane(images), 2)
    schedule = keras.optimizers.schedules.PolynomialDecay(learning_rate, steps, learning_rate / 20)
    noise = np.random.default_rng((seed, 4)).standard_normal((runs, len(test), LATENT), np.float32)
    leaky, drawn = lambda x: tf.maximum(x, 0.2 * x), {}  # TensorFlow's own trips over its second derivative
    for name, member in report.track(members.items(), "members"):
        generator = parallel_mlp(runs, LATENT, (units, units), 2, seed, "leaky_relu")
        discriminator = parallel_mlp(runs, 2, (units, units), 1, seed + 1000, leaky)
        players = member(generator, discriminator, train, learning_rate=schedule, beta_1=0.0, beta_2=0.9)
        play(players, draw_batches(len(train), (runs, batch_size), LATENT, seed), steps, every=steps)
        drawn[name] = generator(noise).numpy()
    _distances(report, drawn, train, test, runs, seed)
    _figure(report, drawn, test, slopes)


def _losses(member):
    """`tell` and `fool` of a member, for logits that are given as noise: its networks do nothing."""
    nothing = parallel_mlp(1, 1, (), 1)
    nothing.set_weights([np.ones((1, 1, 1)), np.zeros((1, 1, 1))])
    return member(nothing, nothing, np.zeros((1, 1), np.float32))


def _diffs(report, members):
    base, *others = members.items()
    counts = {}
    for name, member in others:
        lines = changed_lines(base[1], member)
        report.table(f"{base[0]} (−) against {name} (+)", ["diff"], [[line] for line in lines])
        counts[name] = [sum(line[0] == sign for line in lines) for sign in "−+"]
    report.check("least squares, hinge: two lines out, two in", list(counts.values())[:2], [[2, 2], [2, 2]])
    report.check("WGAN-GP: three out, and two more in for its penalty", counts["WGAN-GP"], [3, 5])
    tell, fool = _losses(gan)
    order, fakes = np.zeros((1, 3), np.int32), np.float32([[[-3.0], [1.0], [0.5]]])
    got = [player.loss(order, fakes) for player in (tell, fool)]
    report.check("the GAN's two lines are the losses of its own lesson", got,
                 [discriminator_loss(tf.zeros(3), fakes[0]), generator_loss(fakes[0])])  # fmt: skip


def _slopes(report, members):
    """What one draw's value is worth to the generator: minus the slope of `fool`, over values."""
    values = np.linspace(-6, 6, 121).astype(np.float32)
    slopes = {}
    for name, member in members.items():
        fool, inputs = _losses(member)[1], tf.constant(values[None, :, None])
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = fool.loss(None, inputs)
        slopes[name] = -len(values) * np.ravel(tape.gradient(loss, inputs))
    sigmoid = 1 / (1 + np.exp(values.astype(float)))
    want = {"GAN": sigmoid, "least squares": 2 * (1 - values), "hinge": np.ones(121), "WGAN-GP": np.ones(121)}
    report.check("slopes of the generator's loss: 1 − D, 2 (1 − v), 1 and 1", list(slopes.values()),
                 list(want.values()), rtol=1e-4, atol=1e-5)  # fmt: skip
    return values, slopes


def _plane(images):
    """Two principal components of the digits 0 and 1, of 20 x 20 pixels; units of their common deviation."""
    (x, y), _ = data.mnist()
    flat = x[y < 2][: images // 2 * 2, 4:24, 4:24].reshape(-1, 400).astype(np.float32) / 255
    flat -= flat.mean(axis=0)
    plane = flat @ np.linalg.eigh(flat.T @ flat)[1][:, :-3:-1]
    return np.float32(plane / plane.std())


def _distances(report, drawn, train, test, runs, seed):
    normal = np.random.default_rng((seed, 5)).multivariate_normal(train.mean(axis=0), np.cov(train.T), len(test))
    of_normal, distances = shadow_distance(normal, test), {}
    rows = [["other digits", shadow_distance(train, test), None], ["Gaussian of their covariance", of_normal, None]]
    for name, games in drawn.items():
        distances[name] = [shadow_distance(points, test) for points in games]
        rows.append([name, *plots.mean_and_error(distances[name])])
    title = f"distance to real digits, in their deviations: mean over {runs} games and standard error"
    report.table(title, ["points", "distance", "error"], rows)
    for name, each in distances.items():
        label = f"{name}: mean distance over that of a Gaussian"
        report.at_most(label, got=np.mean(each) / of_normal, bound=1.0, trained=True)
    report.note(
        "All have one setting, chosen on seed 0, and none that of its own paper: this is no ranking. With β₁ = 0.5 in "
        "place of 0 hinge and WGAN-GP, which push a draw equally hard at any value, circled; some games ended farther "
        "from the digits than the Gaussian."
    )


def _figure(report, drawn, test, slopes):
    figure, axes = plots.subplots(2, 3, figsize=(11.5, 7))
    (values, by_name), axes = slopes, np.ravel(axes)
    clouds = {"real digits 0, 1": test, **{name: games[0] for name, games in drawn.items()}}
    for number, (name, slope) in enumerate(by_name.items()):
        axes[0].plot(values, slope, plots.LINE_STYLES[number], label=name)
    axes[0].set(xlabel="value of a draw", ylabel="slope of the loss, turned", ylim=(-1, 6))
    axes[0].set_title("How hard a draw is pushed")
    axes[0].legend(fontsize=10)
    for ax, (name, points) in zip(axes[1:], clouds.items(), strict=True):
        ax.plot(*points[:1500].T, ".", markersize=2, alpha=0.5, color="C0" if ax is axes[1] else "C1")
        ax.set(xlabel="first component", ylabel="second component", xlim=(-2.6, 2.1), ylim=(-1.8, 1.9))
        ax.set_title(name)
    report.figure(
        "One loop, four members",
        figure,
        alt="First how hard each loss pushes a draw: the GAN's push fades at high values, that of least squares is a "
        "straight line, the other two are level. Then clouds of points: real digits 0 and 1, and each member's draws.",
    )

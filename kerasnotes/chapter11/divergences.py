"""Where two distributions do not meet, KL and JS say nothing of how far apart they are; the Wasserstein distance does.

Two points at a distance θ: the one divergence is infinite, the other log 2, for a millimetre as for a mile, and neither
has a slope that would pull the points together. The Wasserstein distance is θ. What the reader should see besides: the
best discriminator is p/(p + q), and what it wins measures the JS divergence, which is how it comes into the game.

Notes: chapter 11, "KL, JS and Wasserstein distance" (KL散度、JS散度与Wasserstein距离).
Source: Goodfellow et al. 2014, arXiv:1406.2661, proposition 1 and theorem 1; Arjovsky, Chintala, Bottou 2017,
arXiv:1701.07875, example 1; Arjovsky and Bottou 2017, arXiv:1701.04862.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter02.losses import kl_divergence
from kerasnotes.parts import floating, shape

SMOKE = {"pairs": 5, "grid_points": 401}
SECONDS = 1


def kl(p, q):
    """The Kullback-Leibler divergence KL(p ‖ q) = Σ p ln(p/q), in nats; infinite where q is 0 and p is not.

    Args:
        p, q: Distributions (..., outcomes), each summing to 1.

    Returns: Tensor (...).
    Raises: ValueError: If the shapes differ, or one of them is no distribution.
    Source: Chapter 02, `losses.kl_divergence`, under the name that the papers use.
    """
    return kl_divergence(p, q)


def js(p, q):
    """The Jensen-Shannon divergence: the mean divergence of p and of q from their middle, from 0 to ln 2.

    Args, Returns, Raises: As for `kl`.

    Source: Lin 1991, doi:10.1109/18.61115.
    """
    p = _floats("p", p)
    q = shape("q", _floats("q", q), *p.shape)
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


def wasserstein_1d(p, q, x):
    """The least work that turns p into q, both on points of a line: mass times way, ∫ |F_p − F_q|.

    It is differentiable in p, q and in x, the places of the points; in KL and JS these do not even occur.

    Args:
        p, q: Distributions (..., points), each summing to 1.
        x: The places of the points (points,), in any order.

    Returns:
        Tensor (...), in the units of x.

    Raises:
        ValueError: If the shapes do not fit, p or q is no distribution, or x is not finite.

    Source: Vallender 1973, doi:10.1137/1118101.
    """
    x = shape("x", _floats("x", x), None)
    p = shape("p", _floats("p", p), *np.shape(p)[:-1], *x.shape)
    q, x = tf.cast(shape("q", _floats("q", q), *p.shape), p.dtype), tf.cast(x, p.dtype)
    for name, value in (("p", p), ("q", q)):
        if tf.executing_eagerly() and not (np.min(value) >= 0 and np.allclose(tf.reduce_sum(value, -1), 1, atol=1e-3)):
            raise ValueError(f"{name}: expected distributions that sum to 1 along the last axis, got {value}")
    order = tf.argsort(x)
    x = tf.gather(x, order)
    surplus = tf.cumsum(tf.gather(p - q, order, axis=-1), axis=-1)  # what has to be carried on to the next point
    return tf.reduce_sum(tf.abs(surplus[..., :-1]) * (x[1:] - x[:-1]), axis=-1)


def wasserstein_of_samples(a, b):
    """The Wasserstein distance between two sets of equally many numbers: match the smallest with the smallest.

    Args:
        a, b: Samples (..., n), each of weight 1/n.

    Returns:
        Tensor (...), in their units.

    Raises:
        ValueError: If the shapes differ, or a value is not finite.
    """
    a = _floats("a", a)
    b = tf.cast(shape("b", _floats("b", b), *a.shape), a.dtype)
    return tf.reduce_mean(tf.abs(tf.sort(a, axis=-1) - tf.sort(b, axis=-1)), axis=-1)


def optimal_discriminator(p_data, p_model):
    """The probability "real" that no discriminator can better: p_data / (p_data + p_model).

    Args:
        p_data, p_model: Probabilities or densities of real and of generated samples, of one shape.

    Returns:
        Tensor of that shape with values in [0, 1]; ½ where neither ever draws, and any answer would do.

    Raises:
        ValueError: If the shapes differ, or a value is negative or not finite.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, proposition 1.
    """
    p_data, p_model = _densities(p_data, p_model)
    total = p_data + p_model
    return tf.where(total > 0, p_data / tf.where(total > 0, total, 1.0), 0.5)


def game_value(p_data, p_model, discriminator):
    """What the discriminator wins on average: Σ p_data ln D + Σ p_model ln(1 − D).

    Args:
        p_data, p_model: Distributions (..., outcomes).
        discriminator: Its probability "real" of every outcome, of the same shape.

    Returns:
        Tensor (...), in nats: at most 0, and −2 ln 2 for one that always says ½.

    Raises:
        ValueError: If the shapes differ, a probability is negative or not finite, or D lies outside [0, 1].

    Source: Goodfellow et al. 2014, arXiv:1406.2661, equation 1.
    """
    p_data, p_model = _densities(p_data, p_model)
    answers = shape("discriminator", _floats("discriminator", discriminator), *p_data.shape)
    answers = tf.cast(answers, p_data.dtype)
    if tf.executing_eagerly() and not 0 <= np.min(answers) <= np.max(answers) <= 1:
        raise ValueError(f"discriminator: expected probabilities between 0 and 1, got {answers}")
    return tf.reduce_sum(tf.math.xlogy(p_data, answers) + tf.math.xlog1py(p_model, -answers), axis=-1)


def _floats(name, value):
    value = tf.convert_to_tensor(value, dtype_hint=tf.float64)
    value = floating(name, value if value.dtype.is_floating else tf.cast(value, tf.float64))
    if tf.executing_eagerly() and not np.isfinite(value).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return value


def _densities(p_data, p_model):
    p_data = _floats("p_data", p_data)
    p_model = tf.cast(shape("p_model", _floats("p_model", p_model), *p_data.shape), p_data.dtype)
    for name, value in (("p_data", p_data), ("p_model", p_model)):
        if tf.executing_eagerly() and np.min(value) < 0:
            raise ValueError(f"{name}: expected probabilities or densities of at least 0, got {np.min(value)}")
    return p_data, p_model


def example():
    """Two points on a line, a step and then a mile apart: Keras's divergence, and the three of this lesson."""
    p, q = tf.constant([0.5, 0.5, 0.0]), tf.constant([0.5, 0.1, 0.4])
    print("KL by Keras and by ours:", float(keras.losses.KLDivergence()(p, q)), float(kl(p, q)))
    for distance in (1.0, 1000.0):
        x = tf.Variable([0.0, distance])
        with tf.GradientTape() as tape:
            work = wasserstein_1d([1.0, 0.0], [0.0, 1.0], x)
        pull = tf.convert_to_tensor(tape.gradient(work, x)).numpy()
        apart = [[1.0, 0.0], [0.0, 1.0]]
        print(f"at the distance {distance:g}: KL {float(kl(*apart)):g}, JS {float(js(*apart)):.4f}, Wasserstein "
              f"{float(work):g} with the slopes {pull}")  # fmt: skip
    best = optimal_discriminator(p, q)
    print("the best discriminator:", best.numpy(), "wins", float(game_value(p, q, best)))
    print("2 JS − 2 ln 2:", 2 * float(js(p, q)) - 2 * math.log(2))


def lesson(report, *, pairs: int = 50, grid_points: int = 4001, seed: int = 0):
    """Pull two points, then two hills, apart; and find what the best discriminator wins.

    Args:
        report: The report to write to.
        pairs: Random pairs of distributions for the identities (2 to 10000).
        grid_points: Points on the line for two hills (101 to 100001).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _two_points(report)
    p, q = rng.dirichlet(np.ones(5), size=(2, pairs))  # (pairs, 5) each
    _distances(report, p, q, rng)
    _discriminator(report, p, q, rng)
    _generator(report, p, q, rng)
    _two_hills(report, grid_points)


def _two_points(report):
    """All mass of p at 0, all mass of q at θ: Arjovsky, Chintala, Bottou 2017, example 1."""
    distances = tf.constant([-2.0, -0.5, 0.001, 0.5, 1.0, 1000.0], tf.float64)
    p, q = tf.constant([1.0, 0.0], tf.float64), tf.constant([0.0, 1.0], tf.float64)
    rows, slopes = [], []
    for theta in distances:
        with tf.GradientTape() as tape:
            tape.watch(theta)
            work = wasserstein_1d(p, q, tf.stack([0.0, theta]))
        slopes.append(tape.gradient(work, theta))
        rows.append([float(theta), float(kl(p, q)), float(kl(q, p)), float(js(p, q)), float(work), float(slopes[-1])])
    zero = [0.0, *(float(of(p, p)) for of in (kl, kl, js)), float(wasserstein_1d(p, p, [0.0, 1.0])), None]
    columns = ["θ", "KL(p, q)", "KL(q, p)", "JS", "Wasserstein", "its slope"]
    report.table("two points at the distance θ, in nats", columns, [*rows, zero])
    infinite = [np.isposinf(value) for row in rows for value in row[1:3]]
    report.check("KL of two points that differ is infinite, both ways", bool(np.all(infinite)), True)
    report.check("JS is ln 2 whatever θ", [row[3] for row in rows], [math.log(2)] * len(rows), rtol=1e-12)
    report.check("Wasserstein is |θ|", [row[4] for row in rows], np.abs(distances), rtol=1e-12)
    report.check("and its slope is the sign of θ", slopes, list(np.sign(distances)))
    report.check("for θ = 0 all are 0", zero[1:5], [0.0] * 4)
    report.note("KL and JS compare outcome by outcome. Where the outcomes lie does not enter them.")


def _distances(report, p, q, rng):
    middle = (p + q) / 2
    report.check("JS is symmetric", js(p, q), js(q, p), rtol=1e-12)
    report.check("JS = H((p + q)/2) − (H(p) + H(q))/2", js(p, q), _entropy(middle) - (_entropy(p) + _entropy(q)) / 2)
    report.at_least("JS of random pairs, least", tf.reduce_min(js(p, q)), 0.0)
    report.at_most("and largest, against ln 2", tf.reduce_max(js(p, q)), math.log(2))
    third = rng.dirichlet(np.ones(5), size=len(p))
    x = rng.normal(size=5)
    for name, of in (("√JS", lambda a, b: tf.sqrt(js(a, b))), ("Wasserstein", lambda a, b: wasserstein_1d(a, b, x))):
        detour = of(p, third) + of(third, q) - of(p, q)
        report.at_least(f"{name}: no way over a third is shorter", tf.reduce_min(detour), -1e-12)
    with_samples = wasserstein_1d([0.25, 0.5, 0.25, 0.0], [0.25, 0.0, 0.25, 0.5], [0.0, 1.0, 4.0, 6.0])
    same = wasserstein_of_samples([4.0, 1.0, 0.0, 1.0], [6.0, 0.0, 6.0, 4.0])
    report.check("half of the mass from 1 to 4 or 6: work 2.5", [with_samples, same], [2.5, 2.5])


def _entropy(p):
    return -np.sum(p * np.log(p), axis=-1)


def _discriminator(report, p, q, rng):
    best = optimal_discriminator(p, q)
    won = game_value(p, q, best)
    report.check("the best discriminator wins 2 JS − 2 ln 2", won, 2 * js(p, q) - 2 * math.log(2), rtol=1e-10)
    others = np.clip(best + rng.normal(scale=0.1, size=(20, *p.shape)), 1e-6, 1 - 1e-6)
    lead = won - game_value(*(np.broadcast_to(each, others.shape) for each in (p, q)), others)
    report.at_least("its lead over others nearby, least", tf.reduce_min(lead), 0.0)
    with tf.GradientTape() as tape:
        tape.watch(best)
        won = game_value(p, q, best)
    report.check("the slope there is 0", tape.gradient(won, best), np.zeros(p.shape), atol=1e-9)
    report.check("equal distributions: ½, and −2 ln 2", game_value(p, p, p * 0 + 0.5), [-2 * math.log(2)] * len(p))
    apart = [[1.0, 0.0], [0.0, 1.0]]
    report.check("distributions apart: it wins all there is, 0", game_value(*apart, optimal_discriminator(*apart)), 0.0)


def _generator(report, p, q, rng):
    """What the generator descends while the discriminator is at its best, through the logits of its distribution."""
    logits = tf.constant(np.log(q) + rng.normal(size=(len(q), 1)))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        model = tf.nn.softmax(logits)
        best = tf.stop_gradient(optimal_discriminator(p, model))
        saturating = tf.reduce_sum(model * tf.math.log(1 - best), axis=-1)
        other = -tf.reduce_sum(model * tf.math.log(best), axis=-1)
        twice_js = 2 * js(p, model)
        difference = kl(model, p) - 2 * js(p, model)
    slopes = [tape.gradient(value, logits) for value in (saturating, twice_js, other, difference)]
    report.check("log(1 − D) has the slope of 2 JS", slopes[0], slopes[1], atol=1e-9)
    report.check("−log D has the slope of KL(model, data) − 2 JS: it pushes JS up", slopes[2], slopes[3], atol=1e-9)
    largest = tf.reduce_max(abs(slopes[0] - slopes[2]))
    report.at_least("the two losses pull differently: largest difference", largest, 0.01)


def _two_hills(report, grid_points):
    """Hills that overlap a little less with every step: p = N(0, 0.5²) and q = N(θ, 0.5²) on a fine grid."""
    x, theta = np.linspace(-5, 13, grid_points), np.linspace(0, 8, 81)

    def hill(mean):
        weights = np.exp(-0.5 * ((x - mean) / 0.5) ** 2)
        return weights / weights.sum(axis=-1, keepdims=True)

    q = hill(theta[:, None])
    p = np.broadcast_to(hill(0.0), q.shape)
    series = {"KL": kl(p, q).numpy(), "JS": js(p, q).numpy(), "Wasserstein": wasserstein_1d(p, q, x).numpy()}
    report.check("hills: Wasserstein is still θ", series["Wasserstein"], theta, atol=1e-6)
    report.check("KL is θ²/(2 · 0.5²)", series["KL"], 2 * theta**2, rtol=1e-4, atol=1e-4)
    slopes = {name: np.abs(np.gradient(values, theta)) for name, values in series.items()}
    at_six = int(np.argmin(np.abs(theta - 6)))
    report.at_most("slope of JS at θ = 6, twelve deviations", slopes["JS"][at_six], 1e-6)
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.2))
    plots.curves(theta, series, xlabel="distance θ of the hills", ylabel="nats, or units of θ",
                 title="From some distance on\nJS is level at ln 2", ax=left)  # fmt: skip
    left.axhline(math.log(2), color="0.6", linewidth=1)
    left.set(ylim=(-0.2, 8.2))
    sizes = {name: np.maximum(slope, 1e-18) for name, slope in slopes.items()}
    plots.curves(theta, sizes, xlabel="distance θ of the hills", ylabel="size of the slope", yscale="log",
                 title="so that its slope\ncannot pull the hills together", ax=right)  # fmt: skip
    right.set(ylim=(1e-14, 1e3))
    report.figure(
        "Three distances between two hills",
        figure,
        alt="Left: against the distance of two hills, KL rises ever steeper, the Wasserstein distance in a straight "
        "line, and JS levels off at ln 2. Right: the slope of JS falls below 1e-12, that of Wasserstein stays 1, "
        "that of KL grows.",
    )

"""Cross-entropy is entropy plus divergence, and its slope stays alive where that of the squared error dies.

An answer that is wrong and sure of itself gets almost no correction from the squared error behind a sigmoid; from the
cross-entropy it gets the full error. Both losses are likelihoods: of coins the one, of Gaussian noise the other. Which
logarithm is meant matters too: the course writes base 2, TensorFlow computes with base e.

Notes: chapter 02, "Loss functions" (损失函数).
Source: Shannon 1948, doi:10.1002/j.1538-7305.1948.tb01338.x, Section 6; Kullback and Leibler 1951,
doi:10.1214/aoms/1177729694; Goodfellow et al. 2016, Deep Learning, https://www.deeplearningbook.org, Sections 3.13 and
6.2.2; https://keras.io/api/losses.
"""

import functools
import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import floating

SMOKE = {"flips": 20}
SECONDS = 1


def mean_squared_error(y, output):
    """The mean of (output − y)² over the last axis, (..., outputs) to (...). Raises ValueError if the shapes differ."""
    y, output = matched("y", y, "output", output)
    return tf.reduce_mean((output - y) ** 2, axis=-1)


def half_squared_error(y, output):
    """Half the sum of (output − y)² over the last axis; its slope is output − y. Raises ValueError as the mean does."""
    y, output = matched("y", y, "output", output)
    return tf.reduce_sum((output - y) ** 2, axis=-1) / 2


def matched(first, a, second, b):
    """Two arrays of one shape and one type, that of the second: a column would be broadcast against a row in silence.

    Args: `first` and `second` are the names of the arrays `a` and `b` in an error's message.
    Raises: ValueError: If the shapes differ, or there is no axis or no number.
    """
    b = floating(second, b)
    a = tf.cast(tf.convert_to_tensor(a, dtype_hint=b.dtype), b.dtype)  # the hint saves digits of plain floats
    if a.shape.rank == 0 or not a.shape.is_compatible_with(b.shape):
        raise ValueError(f"{second}: expected the shape of {first}, {a.shape}, with one axis or more, got {b.shape}")
    return a, b


def information(p, base=math.e):
    """How surprising is an event of probability `p`? −log p, elementwise: 0 if it is certain, infinite if impossible.

    Args:
        p: Probabilities of any shape.
        base: 2 for bits, e for nats, as in TensorFlow.

    Raises: ValueError: If `p` is outside [0, 1], or `base` is not above 1.
    """
    return -tf.math.log(_probabilities("p", p)) / _log_of(base)


def entropy(p, base=math.e):
    """The mean surprise of a distribution, −Σ p log p.

    Args:
        p: Distributions (..., outcomes), each summing to 1 within 0.001, or 0.01 in bfloat16.
        base: 2 for bits, e for nats.

    Returns: A tensor (...).
    Raises: ValueError: If `p` is no distribution, or `base` is not above 1.
    """
    return cross_entropy(p, p, base)


def cross_entropy(p, q, base=math.e):
    """The mean surprise of one who believes `q` while `p` is true, −Σ p log q; infinite if q is 0 where p is not.

    Args, Returns, Raises: As for `entropy`, with `q` of the shape of `p`.
    """
    p, q = _distributions(p, q)
    return -tf.reduce_sum(tf.math.xlogy(p, q), axis=-1) / _log_of(base)  # xlogy(0, 0) is 0


def kl_divergence(p, q, base=math.e):
    """What the wrong belief adds to the mean surprise, Σ p log(p/q) = H(p, q) − H(p): 0 if q is p, else more.

    Args, Returns, Raises: As for `cross_entropy`.
    """
    p, q = _distributions(p, q)
    return tf.reduce_sum(tf.math.xlogy(p, p) - tf.math.xlogy(p, q), axis=-1) / _log_of(base)


def binary_cross_entropy(y, p):
    """The mean over the last axis of −y ln p − (1 − y) ln(1 − p); infinite if p is sure and wrong.

    Args:
        y: Targets in [0, 1], (..., outputs).
        p: Probabilities of a 1, of the same shape.

    Returns: A tensor (...).
    Raises: ValueError: If the shapes differ or a value is outside [0, 1].
    """
    y, p = matched("y", y, "p", p)
    for name, value in (("y", y), ("p", p)):
        _probabilities(name, value)
    return -tf.reduce_mean(tf.math.xlogy(y, p) + tf.math.xlog1py(1 - y, -p), axis=-1)


def cross_entropy_from_logits(p, logits):
    """−Σ p log softmax(logits), without the probabilities in between: finite for all logits, and never clipped.

    Args:
        p: True distributions (..., outcomes).
        logits: Any numbers of the same shape.

    Returns: A tensor (...), in nats.
    Raises: ValueError: If the shapes differ or `p` is no distribution.
    """
    p, logits = matched("p", p, "logits", logits)
    _distributions(p, p)
    return tf.reduce_sum(p * (tf.reduce_logsumexp(logits, axis=-1, keepdims=True) - logits), axis=-1)


def _probabilities(name, p):
    p = floating(name, p)
    known = tf.get_static_value(p)  # None while a tf.function is traced
    if known is not None and not ((known >= 0) & (known <= 1)).all():
        raise ValueError(f"{name}: expected probabilities between 0 and 1, got {known}")
    return p


def _distributions(p, q):
    p, q = matched("p", p, "q", q)
    for name, value in (("p", p), ("q", q)):
        known = tf.get_static_value(_probabilities(name, value))
        tolerance = 1e-2 if p.dtype == tf.bfloat16 else 1e-3  # three thirds in bfloat16 make 1.002
        if known is not None and np.abs(known.sum(axis=-1, dtype=np.float64) - 1).max() > tolerance:
            raise ValueError(f"{name}: expected distributions that sum to 1 along the last axis, got {known}")
    return p, q


def _log_of(base):
    if not 1 < base < math.inf:
        raise ValueError(f"base: expected a number above 1, got {base!r}")
    return math.log(base)


def example():
    """TensorFlow's losses as the course calls them, beside ours on the same answers."""
    y, p = tf.constant([[0.0, 1.0, 0.0]]), tf.constant([[0.2, 0.7, 0.1]])
    logits = tf.math.log(p) + 3.0
    print("mean squared error  ", tf.losses.MSE(y, p).numpy(), mean_squared_error(y, p).numpy())
    print("  under Keras's name", keras.losses.mean_squared_error(y, p).numpy())
    print("cross-entropy       ", tf.losses.categorical_crossentropy(y, p).numpy(), cross_entropy(y, p).numpy())
    from_logits = tf.losses.categorical_crossentropy(y, logits, from_logits=True)
    print("  from logits       ", from_logits.numpy(), cross_entropy_from_logits(y, logits).numpy())
    print("binary cross-entropy", tf.losses.binary_crossentropy(y, p).numpy(), binary_cross_entropy(y, p).numpy())
    q = tf.constant([[0.5, 0.25, 0.25]])
    print("divergence of p, q  ", keras.losses.kl_divergence(p, q).numpy(), kl_divergence(p, q).numpy())
    print("entropy of p in bits", entropy(p, base=2).numpy(), "information of 1/8:", float(information(1 / 8, base=2)))


def lesson(report, *, flips: int = 200, seed: int = 0):
    """Identities by hand and against Keras; slopes and curvature by the logit; likelihoods; and units of information.

    Args:
        report: The report to write to.
        flips: Throws of a coin, and measurements, for the two likelihoods (2 to 100000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(4), size=(2, 50))  # (50, 4) each
    _identities(report, p, q)
    _against_keras(report, p, q, rng)
    _slopes(report)
    _curvatures(report)
    _likelihoods(report, flips, rng)
    _conventions(report, p, q)


def _identities(report, p, q):
    report.check("H(p, q) = H(p) + KL(p‖q)", cross_entropy(p, q), entropy(p) + kl_divergence(p, q))
    report.at_least("KL(p‖q) of 50 random pairs", kl_divergence(p, q), 0)
    report.check("KL(p‖p)", kl_divergence(p, p), np.zeros(50))
    report.check("one-hot p gives −ln q_j", cross_entropy(np.eye(4), q[:4]), -np.log(np.diag(q[:4])))
    half, quarter, log3 = [0.5, 0.5], [0.25, 0.75], math.log2(3)
    both = [[of(half, quarter, 2), of(quarter, half, 2)] for of in (cross_entropy, kl_divergence)]
    columns = ["bits", "p = (1/2, 1/2), q = (1/4, 3/4)", "the other way round"]
    report.table("Not symmetric", columns, [["H(p, q)", *both[0]], ["KL(p‖q)", *both[1]]])
    by_hand = [[2 - log3 / 2, 1.0], [1 - log3 / 2, 0.75 * log3 - 1]]
    report.check("the same by hand: 2 − ½ log₂ 3, 1, 1 − ½ log₂ 3, ¾ log₂ 3 − 1", both, by_hand)


def _against_keras(report, p, q, rng):
    y, logits = (rng.random((50, 4)) < 0.5).astype(np.float64), rng.normal(size=(50, 4))
    from_logits = functools.partial(keras.losses.categorical_crossentropy, from_logits=True)
    for name, ours, theirs, target, output in (
        ("mean squared error", mean_squared_error, keras.losses.mean_squared_error, y, logits),
        ("binary cross-entropy", binary_cross_entropy, keras.losses.binary_crossentropy, y, q),
        ("cross-entropy", cross_entropy, keras.losses.categorical_crossentropy, p, q),
        ("divergence", kl_divergence, keras.losses.kl_divergence, p, q),
        ("cross-entropy from logits", cross_entropy_from_logits, from_logits, p, logits),
    ):
        (value, slope), (keras_value, keras_slope) = (_with_slope(loss, target, output) for loss in (ours, theirs))
        report.check(f"{name} equals Keras's", value, keras_value)
        if name == "cross-entropy":
            slope += 1  # Keras divides q by its sum, which is 1 but not constant, and so adds 1 to every slope
        report.check(f"slope of {name} equals Keras's", slope, keras_slope)
    want = [2 * keras.losses.mean_squared_error(y, logits), logits - y]
    half = _with_slope(half_squared_error, y, logits)
    report.check("½ Σ (output − y)² is d/2 of the mean; slope output − y", half, want)
    report.note("Keras divides categorical outputs by their sum; its slope of the cross-entropy is 1 higher for that.")


def _with_slope(loss, y, output):
    output = tf.constant(output)
    with tf.GradientTape() as tape:
        tape.watch(output)
        value = loss(tf.constant(y), output)
    return value, tape.gradient(value, output)


def _slopes(report):
    logits = np.linspace(-10, 10, 201)[:, None]
    losses = {"cross-entropy": binary_cross_entropy, "squared error": mean_squared_error}
    values, slopes = {}, {}
    for name, loss in losses.items():
        value, slope = _with_slope(lambda y, z, loss=loss: loss(y, tf.sigmoid(z)), np.ones_like(logits), logits)
        values[name], slopes[name] = value, -slope[:, 0]
    z = logits[:, 0]
    p = 1 / (1 + np.exp(-z))
    ratio = (slopes["cross-entropy"] / slopes["squared error"]).numpy()
    wrong = "wrong sigmoid output: slope of the cross-entropy over that of the squared error"
    report.check(f"{wrong}, 1 / (2p(1 − p))", ratio[z < 0], (1 / (2 * p * (1 - p)))[z < 0])
    report.at_least(f"{wrong}, from logit −6 downwards", ratio[z <= -6], 100)
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.2))
    plots.curves(z, values, xlabel="logit", ylabel="loss, nats or squared", title="Loss if the target is 1", ax=left)
    title = "Sure and wrong: only one still learns"
    plots.curves(z, slopes, xlabel="logit", ylabel="size of the slope", title=title, ax=right)
    report.figure(
        "Squared error and cross-entropy against the logit",
        figure,
        alt="Left: for negative logits the cross-entropy grows in a straight line, the squared error levels off at 1. "
        "Right: there the slope of the cross-entropy is 1, that of the squared error fades to 0.",
    )


def _curvatures(report):
    z = tf.constant(np.linspace(-6, 6, 13)[:, None])
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(z)
        slopes = [_with_slope(lambda y, x, loss=loss: loss(y, tf.sigmoid(x)), tf.ones_like(z), z)[1]
                  for loss in (binary_cross_entropy, mean_squared_error)]  # fmt: skip
    curvatures = [outer.gradient(slope, z) for slope in slopes]
    logit, p, entropic, squared = (value.numpy()[:, 0] for value in (z, tf.sigmoid(z), *curvatures))
    columns = ["logit", "output p", "cross-entropy, p(1 − p)", "squared error, 2p(1 − p)²(3p − 1)"]
    report.table("Curvature by the logit, target 1", columns, zip(logit, p, entropic, squared, strict=True))
    report.check("curvature of the cross-entropy by nested tapes: p(1 − p)", entropic, p * (1 - p))
    report.check("curvature of the squared error: 2p(1 − p)²(3p − 1)", squared, 2 * p * (1 - p) ** 2 * (3 * p - 1))
    bends = [squared < 0, entropic < 0]
    report.check("the squared error bends down exactly where p < 1/3, cross-entropy nowhere", bends, [p < 1 / 3, p < 0])


def _likelihoods(report, flips, rng):
    heads, measured = rng.random(flips) < 0.3, rng.normal(1.5, 0.7, size=flips)
    shares, means = np.linspace(0.001, 0.999, 999), np.linspace(0, 3, 3001)
    chance = heads.sum() * np.log(shares) + (~heads).sum() * np.log(1 - shares)  # log likelihoods, up to a constant
    density = np.array([-((measured - mean) ** 2).sum() / (2 * 0.7**2) for mean in means])
    for name, loss, drawn, guesses, likelihood in (
        ("coin: cross-entropy", binary_cross_entropy, heads, shares, chance),
        ("Gaussian noise: squared error", mean_squared_error, measured, means, density),
    ):
        each = [np.broadcast_to(part, (len(guesses), flips)) for part in (drawn, guesses[:, None])]
        best = guesses[np.argmin(loss(*each))]
        report.check(f"{name} is smallest where the likelihood is largest", best, guesses[likelihood.argmax()])
        report.check(f"{name} is smallest at the mean, to the grid's step", best, drawn.mean(), atol=0.001)


def _conventions(report, p, q):
    ratio = keras.losses.categorical_crossentropy(p, q) / cross_entropy(p, q, base=2)
    report.check("Keras's cross-entropy over the one with log₂ is ln 2", ratio, np.full(50, math.log(2)))
    report.correction(
        "base of the logarithm",
        course="log₂ in the formulas",
        correct="TensorFlow's losses use the natural logarithm",
        shown_by="the ratio of the two is ln 2 = 0.693",
    )
    chances = np.array([0.5, 0.25, 0.125])
    bits = information(chances, base=2)
    rows = zip(chances, bits.numpy(), 1 / chances, strict=True)
    report.table("Information", ["probability", "−log₂ p, bits", "notes: in inverse proportion, 1/p"], rows)
    report.check("information of 1/2, 1/4, 1/8 in bits", bits, [1.0, 2.0, 3.0])
    report.correction(
        "information",
        course="inversely proportional to the probability",
        correct="−log p",
        shown_by="halving the probability adds one bit, it does not double the information",
    )

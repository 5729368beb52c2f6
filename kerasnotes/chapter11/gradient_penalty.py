"""A penalty asks a critic for slopes of 1, where clipping cuts its weights, if it is drawn, summed and derived rightly.

Clipping bounds a critic's slope by cutting its weights. The gradient penalty asks for the slope: between real and
drawn samples the norm of the gradient shall be 1. What the reader should see: one uniform weight for each sample; the
penalty of critics whose slope is known; its own gradient, a second derivative, against central differences; and what
the penalty buys and costs: a critic that is free to be linear ends with the slope 1 + d/(2λ), a little too steep.

Notes: chapter 11, "WGAN-GP" (带梯度惩罚的 WGAN).
Source: Gulrajani et al. 2017, arXiv:1704.00028, equation 3, algorithm 1 and proposition 1.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter11.wgan import critic_loss

SMOKE = {"steps": 20}
SECONDS = 2


def interpolate(real, fake, seed):
    """One point on the line between each pair of a real and a generated sample, at a uniform share of the way.

    Args:
        real, fake: Tensors (batch, ...) of one shape and one floating type.
        seed: A whole number from 0 to 2⁶³ − 1, or a pair of whole numbers (an integer tensor of shape (2,) inside
            compiled loops). One seed gives the same weights again.

    Returns:
        Tensor (batch, ...): real + weight · (fake − real), with one weight per sample, uniform in [0, 1).

    Raises:
        ValueError: If the shapes or types differ, the batch is empty, a value is not finite (checked outside compiled
            code only), or the seed is neither a whole number nor a pair of them.

    Source: Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1 (uniform, and one number per sample).
    """
    real, fake = _checked_pair(real, fake)
    ones = [1] * (len(real.shape) - 1)
    weights = tf.random.stateless_uniform([tf.shape(real)[0], *ones], _seed_pair(seed), dtype=real.dtype)
    return real + weights * (fake - real)


def gradient_penalty(critic, real, fake, seed):
    """Mean of (‖∇ critic(x)‖ − 1)² over points x between real and generated samples, without the factor λ.

    The norm is taken over all axes of one sample. It is differentiable with respect to the critic's weights; where the
    slope is 0, so that the norm has no direction, the norm passes no gradient on.

    Args:
        critic: Callable from (batch, ...) to (batch,) or (batch, 1). It must treat every sample for itself: batch
            normalization does not.
        real, fake, seed: As in `interpolate`.

    Returns:
        Scalar tensor.

    Raises:
        ValueError: As `interpolate`, or if the critic gives other than one number per sample.

    Source: Gulrajani et al. 2017, arXiv:1704.00028, equation 3.
    """
    x = interpolate(real, fake, seed)
    with tf.GradientTape() as tape:
        tape.watch(x)
        values = tf.convert_to_tensor(critic(x))
        if not any(values.shape.is_compatible_with(each) for each in ((x.shape[0],), (x.shape[0], 1))):
            raise ValueError(f"critic: expected outputs (batch,) or (batch, 1), got {tuple(values.shape)}")
    slope = tape.gradient(values, x, unconnected_gradients="zero")
    squared = tf.reduce_sum(tf.square(slope), axis=list(range(1, len(x.shape))))  # (batch,)
    steep = squared > 0
    norm = tf.where(steep, tf.sqrt(tf.where(steep, squared, 1.0)), 0.0)  # the root's own slope at 0 is infinite
    return tf.reduce_mean(tf.square(norm - 1.0))


def slope_norms(critic, samples):
    """Norm of a critic's gradient at each sample.

    Args:
        critic: Callable from (batch, ...) to (batch,) or (batch, 1), which treats every sample for itself.
        samples: Tensor (batch, ...).

    Returns:
        Tensor (batch,).

    Raises:
        ValueError: If there are no samples, or they are not floating numbers.
    """
    samples = tf.convert_to_tensor(samples)
    if len(samples.shape) == 0 or 0 in samples.shape or not samples.dtype.is_floating:
        raise ValueError(f"samples: expected floats (batch, ...), got {samples.dtype.name} {tuple(samples.shape)}")
    with tf.GradientTape() as tape:
        tape.watch(samples)
        values = critic(samples)
    slope = tape.gradient(values, samples, unconnected_gradients="zero")
    return tf.norm(tf.reshape(slope, (tf.shape(slope)[0], -1)), axis=1)


def _checked_pair(real, fake):
    real, fake = tf.convert_to_tensor(real), tf.convert_to_tensor(fake)
    if real.dtype != fake.dtype or not real.dtype.is_floating:
        raise ValueError(f"real, fake: expected one floating type, got {real.dtype.name} and {fake.dtype.name}")
    if len(real.shape) == 0 or 0 in real.shape or not real.shape.is_compatible_with(fake.shape):
        shapes = f"{tuple(real.shape)} and {tuple(fake.shape)}"
        raise ValueError(f"real, fake: expected one shape (batch, ...) that is not empty, got {shapes}")
    if tf.executing_eagerly():
        for name, value in (("real", real), ("fake", fake)):
            if not np.isfinite(value).all():
                raise ValueError(f"{name}: expected finite values, got NaN or infinity")
    return real, fake


def _seed_pair(seed):
    """Two integers, as TensorFlow's stateless draws take them."""
    pair = seed if tf.is_tensor(seed) else np.asarray(seed)
    whole = pair.dtype.is_integer if tf.is_tensor(pair) else pair.dtype.kind in "iu"
    if not whole or tuple(pair.shape) not in ((), (2,)):
        raise ValueError(f"seed: expected a whole number or a pair of them, got {seed!r}")
    if not tf.is_tensor(seed) and pair.min() < 0:
        raise ValueError(f"seed: expected at least 0, got {seed!r}")
    if len(pair.shape) == 0:
        pair = tf.stack([pair, tf.zeros_like(pair)])
    return tf.cast(pair, tf.int64)


def example():
    """The penalty of a critic of slope 5, by hand in the documented nesting of tapes and by `gradient_penalty`."""
    real, fake = (tf.random.stateless_normal((4, 2), (0, stream)) for stream in (1, 2))
    critic = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    critic.set_weights([np.array([[3.0], [4.0]])])
    with tf.GradientTape() as outer:
        points = interpolate(real, fake, seed=7)
        with tf.GradientTape() as inner:
            inner.watch(points)
            values = critic(points)
        slopes = tf.norm(inner.gradient(values, points), axis=1)
        by_hand = tf.reduce_mean((slopes - 1) ** 2)
    print("slopes:", slopes.numpy(), "penalty by hand:", float(by_hand))
    with tf.GradientTape() as tape:
        penalty = gradient_penalty(critic, real, fake, seed=7)
    print("gradient_penalty:", float(penalty))
    for each, value, name in ((outer, by_hand, "by hand"), (tape, penalty, "ours")):
        print("its gradient in the weights,", name, each.gradient(value, critic.trainable_variables)[0].numpy().ravel())
    print("slope_norms:", slope_norms(critic, real).numpy())


def lesson(report, *, steps: int = 200, seed: int = 0):
    """Take the penalty apart, then let a linear critic find its slope.

    Args:
        report: The report to write to.
        steps: Steps of each linear critic (20 to 100000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _weights_between(report, seed)
    paid = _known_slopes(report, seed)
    _second_derivative(report, seed)
    distances, slopes = _what_it_costs(report, steps, seed)
    _figure(report, paid, distances, slopes)


def _weights_between(report, seed):
    n = 10000
    weights = np.sort(interpolate(tf.zeros((n, 1)), tf.ones((n, 1)), seed).numpy()[:, 0].astype(np.float64))
    steps = np.arange(n + 1) / n
    distance = max(np.max(steps[1:] - weights), np.max(weights - steps[:-1]))
    # Massart 1990: a larger distance than this has a probability of at most one in a million.
    limit = math.sqrt(math.log(2 / 1e-6) / (2 * n))
    report.at_most("Kolmogorov-Smirnov distance of 10,000 weights from uniform", got=distance, bound=limit)
    report.at_least("the least and the largest weight lie in [0, 1]", [weights[0], 1 - weights[-1]], 0.0)
    shares = interpolate(tf.zeros((64, 5, 5, 2)), tf.ones((64, 5, 5, 2)), seed).numpy().reshape(64, -1)
    report.check("all numbers of a sample share one weight: largest spread", np.ptp(shares, axis=1).max(), want=0.0)
    report.check("each sample has a weight of its own", got=len(np.unique(shares[:, 0])), want=64)


def _known_slopes(report, seed):
    rng = np.random.default_rng((seed, 12))
    real, drawn = (tf.constant(rng.normal(size=(16, 4, 3)), tf.float32) for _ in range(2))
    direction = rng.normal(size=(4, 3))
    direction = tf.constant(direction / np.linalg.norm(direction), tf.float32)
    slopes = (0.0, 0.5, 1.0, 3.0)
    got = [float(gradient_penalty(lambda x, k=k: tf.reduce_sum(k * direction * x, axis=(1, 2)), real, drawn, seed))
           for k in slopes]  # fmt: skip
    report.check("a critic of slope 0, ½, 1, 3 pays (slope − 1)²", got=got, want=[(k - 1) ** 2 for k in slopes])
    weights = tf.Variable(tf.zeros((12, 1)))
    with tf.GradientTape() as tape:
        value = gradient_penalty(lambda x: tf.reshape(x, (-1, 12)) @ weights, real, drawn, seed)
    gradient = tape.gradient(value, weights)
    report.check("at slope 0 its gradient is finite", got=bool(np.isfinite(gradient).all()), want=True)
    return slopes, got


def _second_derivative(report, seed):
    """The penalty's own gradient, by the weights of a small critic in float64, against central differences."""
    rng = np.random.default_rng((seed, 13))
    real, drawn = (tf.constant(rng.normal(size=(6, 3))) for _ in range(2))
    start = [rng.normal(size=shape) for shape in ((3, 4), (4,), (4, 1))]

    def penalty_of(weights):
        w, b, v = weights
        return gradient_penalty(lambda x: tf.tanh(x @ w + b) @ v, real, drawn, seed)

    weights = [tf.constant(part) for part in start]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        value = penalty_of(weights)
    gradients, differences, step = tape.gradient(value, weights), [], 1e-5
    for number, part in enumerate(start):
        slopes = np.empty_like(part)
        for index in np.ndindex(part.shape):
            moved = []
            for sign in (1, -1):
                changed = [each.copy() for each in start]
                changed[number][index] += sign * step
                moved.append(float(penalty_of([tf.constant(each) for each in changed])))
            slopes[index] = (moved[0] - moved[1]) / (2 * step)
        differences.append(slopes)
    report.check("the penalty's gradient equals central differences", gradients, differences, rtol=1e-5, atol=1e-7)
    report.at_least("it reaches every layer: norms", [float(tf.norm(gradient)) for gradient in gradients], 1e-3)


def _what_it_costs(report, steps, seed):
    """A critic s · x, trained on two sets at the distance d: it descends −s d + λ (s − 1)², whose least is known."""
    distances, penalties = np.array([0.5, 1.0, 2.0, 4.0]), (10.0, 1.0)
    noise = tf.random.stateless_normal((16, 1), (seed, 15))

    @tf.function
    def moved(slope, distance, penalty, own_seed):
        with tf.GradientTape() as tape:
            tape.watch(slope)
            loss = critic_loss(slope * (noise + distance), slope * noise)
            loss += penalty * gradient_penalty(lambda x: slope * x, noise + distance, noise, own_seed)
        return slope - 0.5 / (2 * penalty) * tape.gradient(loss, slope)

    slopes = {penalty: [] for penalty in penalties}
    for penalty, found in slopes.items():
        for distance in distances:
            slope = tf.constant(0.5)
            for step in range(steps):
                own_seed = tf.constant([seed, step], tf.int64)
                slope = moved(slope, tf.constant(distance, tf.float32), tf.constant(penalty), own_seed)
            found.append(float(slope))
    want = {penalty: 1 + distances / (2 * penalty) for penalty in penalties}
    report.check("a linear critic ends with the slope 1 + d/(2λ)", slopes, want, rtol=1e-3)
    rows = [[d, *(slopes[p][i] for p in penalties), slopes[10.0][i] * d] for i, d in enumerate(distances)]
    columns = ["distance d", *(f"slope, λ = {p:g}" for p in penalties), "estimate, λ = 10"]
    report.table("two sets at a distance, and the linear critic between them", columns, rows)
    report.note("The estimate is too large by d²/(2λ): the penalty asks for the slope 1, it does not bound it.")
    return distances, slopes


def _figure(report, paid, distances, slopes):
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.2))
    grid = np.linspace(0, 3, 100)
    left.plot(grid, (grid - 1) ** 2, "-", color="0.6", label="(k − 1)²")
    left.plot(*paid, "o", color="C0", label="measured")
    left.set(xlabel="slope k of the critic", ylabel="penalty, without λ")
    left.set_title("What a critic of slope k pays")
    left.legend()
    for number, (penalty, found) in enumerate(slopes.items()):
        right.plot(distances, found, "os"[number], color=f"C{number}", label=f"λ = {penalty:g}")
        right.plot(distances, 1 + distances / (2 * penalty), plots.LINE_STYLES[number], color=f"C{number}")
    right.axhline(1, color="0.6", linewidth=1)
    right.set(xlabel="distance d of the two sets", ylabel="slope that the critic learns", ylim=(0, None))
    right.set_title("The slope it buys: 1 + d/(2λ)")
    right.legend()
    report.figure(
        "what the penalty asks for",
        figure,
        alt="Left: measured penalties of critics of slope 0, ½, 1 and 3 lie on the parabola (k − 1)². Right: slopes of "
        "trained linear critics lie on lines that start at 1 and rise with the distance, steeper for a small λ.",
    )

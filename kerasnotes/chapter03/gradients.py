"""The gradient points where the function grows fastest, and its length is the slope in that direction.

What the reader should see: x² + y² at (1, 2) has the gradient (2, 4), by hand, from TensorFlow's tape and from
differences. Its slope in 3600 directions, measured without any gradient, is a cosine wave: largest along the gradient,
zero across it. A difference has a best step: longer ones bend, shorter ones drown in rounding.

Notes: chapter 03, "Derivatives, directional derivatives and the gradient" (导数、方向导数与梯度).
Source: Nocedal and Wright 2006, Numerical Optimization, doi:10.1007/978-0-387-40065-5, section 8.1 (differences);
https://www.tensorflow.org/api_docs/python/tf/GradientTape
"""

import math

import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import floating, positive

SMOKE = {"points": 3}
SECONDS = 1


def numerical_gradient(function, x, step=1e-5):
    """The gradient from central differences, (f(x + h) − f(x − h)) / 2h for each number of `x`, in float64.

    Args:
        function: Takes an array of the shape of `x`, returns one number.
        x: Where to differentiate, an array of any shape.
        step: The h. Its error is of order h² from the curve and 1e-16 / h from rounding. A function that rounds to
            float32 on its way needs a step of about 0.01, since its rounding is of order 1e-7 / h.

    Returns: An array of the shape of `x`.
    Raises: ValueError: If `x` or a value of `function` is not finite, `x` is empty, or `step` is not positive.
    """
    x = np.array(x, np.float64)
    if not x.size or not np.isfinite(x).all():
        raise ValueError(f"x: expected finite numbers, at least one, got {x}")
    positive("step", step)
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        values = []
        for sign in (1, -1):
            moved = x.copy()
            moved[index] += sign * step
            values.append(np.asarray(function(moved), np.float64))
            if values[-1].shape or not np.isfinite(values[-1]):
                raise ValueError(f"function: expected one finite number, got {values[-1]} at {moved}")
        gradient[index] = (values[0] - values[1]) / (2 * step)
    return gradient


def directional_derivative(function, x, direction):
    """The slope of a function for one who walks from `x` into a direction: the gradient times the unit vector.

    Args:
        function: Takes a tensor (dims,), returns a tensor of one number.
        x: Where to differentiate, (dims,).
        direction: One direction (dims,), or several (..., dims); only where they point counts, not their length.

    Returns: A tensor () or (...).
    Raises: ValueError: If the shapes do not fit, a direction has no length, or `function` does not return one number.
    """
    x = floating("x", x)
    direction = tf.cast(tf.convert_to_tensor(direction, dtype_hint=x.dtype), x.dtype)
    if x.shape.rank != 1 or direction.shape[-1:] != x.shape:
        raise ValueError(f"direction: expected (..., dims) for x of shape (dims,), got {direction.shape}, x {x.shape}")
    length = tf.norm(direction, axis=-1, keepdims=True)
    known = tf.get_static_value(length)  # None while a tf.function is traced
    if known is not None and not ((known > 0) & np.isfinite(known)).all():
        raise ValueError(f"direction: expected a positive, finite length, got {known[..., 0]}")
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = _one_number(function(x))
    gradient = tape.gradient(value, x, unconnected_gradients="zero")
    return tf.tensordot(direction / length, gradient, axes=1)


def hessian(function, x):
    """All second derivatives, by a tape that watches a tape.

    Args:
        function: Takes a tensor of the shape of `x`, returns a tensor of one number.
        x: Where to differentiate, a tensor of any shape, mostly (dims,).

    Returns: A tensor of shape `x.shape + x.shape`, mostly (dims, dims).
    Raises: ValueError: If `x` is empty or `function` does not return one number.
    """
    x = floating("x", x)
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = _one_number(function(x))
        gradient = inner.gradient(value, x, unconnected_gradients="zero")
    # One sweep for each row. The parallel form would compile a graph, which takes longer for a small function.
    return outer.jacobian(gradient, x, unconnected_gradients="zero", experimental_use_pfor=False)


def _one_number(value):
    value = tf.convert_to_tensor(value)
    if value.shape.rank:
        raise ValueError(f"function: expected one number, got shape {value.shape}")
    return value


def example():
    """x² + y² at (1, 2): the tape as the course uses it, beside differences and a slope in one direction."""
    x, y = tf.Variable(1.0), tf.constant(2.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(tensor=y)  # a variable is watched from the start, a constant on request
        value = tf.math.pow(x, 2) + tf.math.pow(y, 2)
    print("tape, one by one  ", float(tape.gradient(value, x)), float(tape.gradient(value, y)))
    print("tape, both at once", [float(slope) for slope in tape.gradient(target=value, sources=[x, y])])
    print("differences       ", numerical_gradient(lambda w: w[0] ** 2 + w[1] ** 2, [1.0, 2.0]))

    def bowl(w):
        return tf.math.pow(w[0], 2) + tf.math.pow(w[1], 2)

    print(
        "slope along (2, 4) and across it", directional_derivative(bowl, [1.0, 2.0], [[2.0, 4.0], [-4.0, 2.0]]).numpy()
    )
    print("Hessian", hessian(bowl, [1.0, 2.0]).numpy().tolist())


def lesson(report, *, directions: int = 3600, points: int = 20, seed: int = 0):
    """One gradient in three ways, its slopes all around, what a tape records, the Hessian, and the best step.

    Args:
        report: The report to write to.
        directions: Directions around the point (360 to 1000000).
        points: Random points for the gradients of a less simple function (1 to 10000).
        seed: Seed of the random points and matrices (0 to 4294967295).
    """
    rng, x = np.random.default_rng(seed), np.array([1.0, 2.0])
    with tf.GradientTape() as tape:
        weights = tf.Variable(x)
        value = _bowl(weights)
    report.check("x² + y² at (1, 2): gradient from the tape", tape.gradient(value, weights), [2.0, 4.0])
    report.check("x² + y² at (1, 2): gradient from differences", numerical_gradient(_bowl, x), [2.0, 4.0], atol=1e-9)
    report.check("a persistent tape: both partial derivatives, one by one and at once", *_partial_derivatives(x))
    _what_a_tape_records(report)

    angles = np.linspace(-180, 180, directions, endpoint=False)  # degrees from the x axis
    around = np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))], axis=-1)  # (directions, 2)
    slopes = np.array([(_bowl(x + 1e-5 * unit) - _bowl(x - 1e-5 * unit)) / 2e-5 for unit in around])
    steepest, length, uphill = slopes.argmax(), math.sqrt(20), math.degrees(math.atan2(4, 2))
    report.at_most("steepest direction: degrees from the gradient's", abs(angles[steepest] - uphill), 360 / directions)
    report.check("slope there: ‖∇f‖ = √20", slopes[steepest], length)
    report.check("slope at angle θ to the gradient: ‖∇f‖ cos θ", slopes, length * np.cos(np.radians(angles - uphill)))
    report.check("the same from directional_derivative", directional_derivative(_bowl, x, around), slopes)
    across = directional_derivative(_bowl, x, [[-2.0, 1.0], [2.0, -1.0], [-7.0, -14.0]])
    report.check("slope across the gradient, both ways, and straight down", across, [0.0, 0.0, -length])

    matrix = rng.normal(size=(4, 4))
    matrix += matrix.T
    at = rng.normal(size=4)
    second = hessian(lambda w: tf.tensordot(w, tf.linalg.matvec(matrix, w), 1) / 2 - w[0], at)
    report.check("Hessian of ½ wᵀA w − w₀ is A", second, matrix)
    places = rng.uniform(0.5, 2, size=(points, 3))
    got = np.array([numerical_gradient(_wave, place) for place in places])
    report.check(
        "differences equal the tape on sin(x y) + x^z", got, [_tape(_wave, place) for place in places], rtol=1e-7
    )

    steps, errors = _best_step(report)
    report.figure(
        "Slope in every direction",
        _draw(angles, slopes, uphill, length, steps, errors),
        alt="Left: the slope of x² + y² at (1, 2) over the direction is a cosine wave with its top at the gradient. "
        "Right: the error of differences over the step falls, then rises; central ones in 64 bits are best near 1e-5.",
    )


def _best_step(report):
    steps = np.geomspace(1e-12, 1, 49)
    errors = {name: _difference_errors(steps, *kind) for name, kind in {
        "f(x + h) − f(x), 64 bits": (False, np.float64), "f(x + h) − f(x − h), 64 bits": (True, np.float64),
        "f(x + h) − f(x − h), 32 bits": (True, np.float32)}.items()}  # fmt: skip
    long = (steps > 1e-3) & (steps < 0.1)
    for (name, error), order in zip(errors.items(), (1, 2), strict=False):
        slope = np.polyfit(np.log(steps[long]), np.log(error[long]), 1)[0]
        report.check(f"{name}: the error's power of h before rounding", slope, float(order), atol=0.05)
    best = [[name, steps[error.argmin()], error.min()] for name, error in errors.items()]
    report.table("Differences of sin", ["difference", "best step h", "largest error at 50 places"], best)
    report.at_most("central difference with the default step 1e-5: error", _difference_errors([1e-5])[0], 1e-9)
    return steps, errors


def _draw(angles, slopes, uphill, length, steps, errors):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4))
    plots.curves(angles, {"measured slope": slopes}, xlabel="direction, degrees from the x axis", ylabel="slope of f",
                 title="The gradient is the way of steepest ascent", ax=left)  # fmt: skip
    left.plot(uphill, length, "o", color="C1", label=f"gradient: {uphill:.1f}°, length {length:.3f}")
    left.axhline(0, color="gray", linewidth=1)
    left.set(xticks=range(-180, 181, 90), ylim=(-5, 7.5))
    left.legend(loc="upper left")
    plots.curves(steps, errors, xlabel="step h", ylabel="largest error of the derivative", xscale="log", yscale="log",
                 title="Too long bends, too short rounds", ax=right)  # fmt: skip
    right.set_ylim(1e-14, 10)
    right.legend(loc="lower left")
    return figure


def _bowl(w):
    if isinstance(w, np.ndarray):
        return w[0] ** 2 + w[1] ** 2
    return tf.math.pow(w[0], 2) + tf.math.pow(w[1], 2)


def _wave(w):
    x, y, z = (w[i] for i in range(3))
    return (np.sin if isinstance(w, np.ndarray) else tf.sin)(x * y) + x**z


def _tape(function, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x)


def _partial_derivatives(start):
    """The two partial derivatives asked for one by one, and both at once."""
    x, y = (tf.constant(number) for number in start)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        value = tf.math.pow(x, 2) + tf.math.pow(y, 2)
    return [tape.gradient(value, x), tape.gradient(value, y)], tape.gradient(value, [x, y])


def _what_a_tape_records(report):
    rows = []
    for name, x, watched in (
        ("tf.Variable(3.0)", tf.Variable(3.0), False),
        ("tf.constant(3.0)", tf.constant(3.0), False),
        ("tf.constant(3.0), watched", tf.constant(3.0), True),
    ):
        with tf.GradientTape() as tape:
            if watched:
                tape.watch(x)
            value = tf.math.pow(x, 2)
        slope = tape.gradient(value, x)
        try:
            again = float(tape.gradient(value, x))
        except RuntimeError as error:
            again = type(error).__name__
        rows.append([name, "None" if slope is None else float(slope), again])
    report.table("x² at 3: what a tape records", ["x", "tape.gradient", "the second time, not persistent"], rows)
    report.check("only variables and what is watched", [row[1] for row in rows], [6.0, "None", 6.0])
    report.check("a tape that is not persistent answers once", {row[2] for row in rows} == {"RuntimeError"}, True)


def _difference_errors(steps, central=True, kind=np.float64):
    """The largest error of a difference of sin at 50 places, for each step."""
    x, errors = np.linspace(0, 6, 50).astype(kind), []
    for step in np.asarray(steps, kind):
        slope = (np.sin(x + step) - np.sin(x - step)) / (2 * step) if central else (np.sin(x + step) - np.sin(x)) / step
        errors.append(np.abs(slope - np.cos(x.astype(np.float64))).max())
    return np.array(errors)

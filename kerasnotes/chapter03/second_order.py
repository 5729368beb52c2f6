"""Newton's method needs one step where gradient descent needs hundreds, and pays for it with every second derivative.

On a quadratic Newton lands on the minimum at once, however narrow the valley. The best rate is 1; anything below 2
still converges, and above 2 the error grows. Quickprop guesses each weight's curvature from two slopes, which is exact
if the weights do not interact. Newton does not ask whether it is heading for a minimum: near a saddle, it goes there.

Notes: chapter 03, "Second-order methods" (二阶方法: 牛顿法与 Quickprop).
Source: Fahlman 1988, doi:10.1184/R1/6603266; Nocedal and Wright 2006, Numerical optimization,
doi:10.1007/978-0-387-40065-5.
"""

import math
import time

import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter03.descent import gradient_descent
from kerasnotes.parts import positive, whole

SMOKE = {"dims": (2, 5)}
SECONDS = 2


def newton(function, start, steps, learning_rate=1.0):
    """Newton's method: each step solves with the Hessian, w ← w − learning_rate · H⁻¹ g.

    Args:
        function: From a float64 tensor (dims,) to a scalar tensor.
        start: Where to begin (dims,).
        steps: How many steps, at least 1.
        learning_rate: Share of the full step, positive.

    Returns: The path (steps + 1, dims), float64, start included.
    Raises: ValueError: If an argument is out of range, or the Hessian cannot be inverted.
    """
    path = _start(start, steps, learning_rate)
    for step in range(steps):
        w = tf.constant(path[-1])
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(w)
            with tf.GradientTape() as inner:
                inner.watch(w)
                value = function(w)
            gradient = inner.gradient(value, w, unconnected_gradients="zero")
            parts = tf.unstack(gradient)
        hessian = np.stack([tape.gradient(part, w, unconnected_gradients="zero") for part in parts])
        try:
            path.append(path[-1] - learning_rate * np.linalg.solve(hessian, gradient.numpy()))
        except np.linalg.LinAlgError:
            raise ValueError(f"function: expected an invertible Hessian, got {hessian} in step {step + 1}") from None
    return np.array(path)


def secant_curvature(w, gradient, last_w, last_gradient):
    """Second derivative of each weight from two slopes, ΔL′/Δw, (dims,). Raises ValueError if a weight stood still."""
    w, last_w = np.asarray(w, np.float64), np.asarray(last_w, np.float64)
    if np.any(w == last_w):
        raise ValueError(f"w, last_w: expected every weight to have moved, got {w} and {last_w}")
    return (np.asarray(gradient, np.float64) - np.asarray(last_gradient, np.float64)) / (w - last_w)


def quickprop(gradient, start, steps, learning_rate=0.01, max_growth=1.75):
    """Each weight jumps to the bottom of the parabola through its last two slopes.

    Args:
        gradient: From an array (dims,) to an array (dims,).
        start: Where to begin (dims,).
        steps: How many steps, at least 1.
        learning_rate: Of the first step, and of any weight that stood still: plain gradient descent.
        max_growth: How many times its last step a weight may go; infinity for the bare secant method.

    Returns: The path (steps + 1, dims), float64, start included.
    Raises: ValueError: If an argument is out of range.
    Source: Fahlman 1988, with a slope that is not added to later steps.
    """
    path = _start(start, steps, learning_rate)
    if not max_growth > 0:
        raise ValueError(f"max_growth: expected a positive number, got {max_growth!r}")
    last = move = np.zeros_like(path[0])
    for _ in range(steps):
        slope = np.asarray(gradient(path[-1]), np.float64)
        difference = last - slope
        ratio = np.divide(slope, difference, out=np.zeros_like(slope), where=difference != 0)
        steep = (slope * last > 0) & (np.abs(slope) >= np.abs(last))  # no minimum ahead: go on as far as allowed
        if math.isfinite(max_growth):
            ratio = np.where(steep, max_growth, np.clip(ratio, -max_growth, max_growth))
        move = np.where(move == 0, -learning_rate * slope, ratio * move)
        last = slope
        path.append(path[-1] + move)
    return np.array(path)


def _start(start, steps, learning_rate):
    start = np.array(start, np.float64)
    if start.ndim != 1 or start.size == 0 or not np.isfinite(start).all():
        raise ValueError(f"start: expected finite numbers of shape (dims,), got {start!r}")
    whole("steps", steps)
    positive("learning_rate", learning_rate)
    return [start]


def example():
    """The same long valley for three methods, and a saddle, to which Newton goes as to any flat place."""
    curvatures = np.array([1.0, 100.0])

    def valley(w):
        return tf.reduce_sum(curvatures * w**2) / 2

    print("descent, 50 steps", gradient_descent(lambda w: curvatures * w, [1.0, 1.0], 2 / 101, 50)[-1])
    print("Quickprop, path  ", quickprop(lambda w: curvatures * w, [1.0, 1.0], 4, 0.001, max_growth=np.inf).tolist())
    print("Newton, one step ", newton(valley, [1.0, 1.0], 1)[-1])
    print("curvature from two slopes", secant_curvature([1.0, 1.0], curvatures, [0.5, 0.5], curvatures / 2))
    print("Newton on x² − y²", newton(lambda w: w[0] ** 2 - w[1] ** 2, [1.0, 0.5], 1)[-1])


def lesson(report, *, condition: float = 100.0, dims: tuple[int, ...] = (2, 10, 50), seed: int = 0):
    """One step or many: quadratics of all shapes, learning rates around 1, and functions that are not quadratic.

    Args:
        report: The report to write to.
        condition: Largest over smallest curvature of the valley in which the methods race (2 to 10000).
        dims: Numbers of weights to race with (2 to 200).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    errors = [
        np.abs(newton(_function(_turned(rng, 5, k)), rng.normal(size=5), 1)[-1]).max() for k in (1, 1e2, 1e4, 1e6)
    ]
    report.at_most("Newton's error after one step, condition 1 to 1,000,000", errors, 1e-8)

    rates = (0.5, 1.0, 1.5, 2.1)
    runs = {rate: np.abs(newton(_function(np.diag([1.0, condition])), [1.0, 1.0], 25, rate)) for rate in rates}
    for rate, path in runs.items():
        want = abs(1 - rate) ** np.arange(26)
        report.check(f"at rate {rate} the error is |1 − {rate}|^t", got=path.max(axis=1), want=want, rtol=1e-6)
    far = newton(_function(np.eye(1)), [1.0], 100, 2.1)[-1, 0]
    report.at_least("above 2 it diverges: distance after 100 steps at rate 2.1", abs(far), 1.1**99)
    report.correction(
        "a learning rate above the best one",
        course="Above the optimal rate the method fails.",
        correct="It fails above twice the optimal rate; in between it overshoots and still converges.",
        shown_by=f"error after 25 steps: {runs[1.5][-1].max():.1e} at 1.5, {runs[2.1][-1].max():.2g} at 2.1 times it",
    )
    _secant(report, np.array([1.0, condition]))
    _not_quadratic(report)
    _race(report, condition, dims, rng, runs)


def _turned(rng, dims, condition):
    """A symmetric matrix with eigenvalues from 1 to `condition`, in random directions."""
    q = np.linalg.qr(rng.normal(size=(dims, dims)))[0]
    return (q * np.geomspace(1, condition, dims)) @ q.T


def _function(matrix):
    matrix = tf.constant((matrix + matrix.T) / 2)
    return lambda w: tf.tensordot(w, tf.linalg.matvec(matrix, w), 1) / 2


def _secant(report, curvatures):
    def gradient(w):
        return curvatures * w

    path = quickprop(gradient, [1.0, 1.0], 2, learning_rate=0.001, max_growth=math.inf)
    (before, after), slopes = path[:2], gradient(path[:2])
    found = secant_curvature(after, slopes[1], before, slopes[0])
    report.check("Quickprop's curvature ΔL′/Δw is the true one, weight by weight", got=found, want=curvatures)
    report.check("so two steps reach the minimum", got=path[-1], want=[0.0, 0.0], atol=1e-9)
    upside_down = (after - before) / (slopes[1] - slopes[0])
    report.check("the notes' Δw/ΔL′ is its reciprocal", got=upside_down, want=1 / curvatures)
    wrong = after - slopes[1] / upside_down
    report.at_least("and its step takes the steep weight away from 0, to", abs(wrong[1]), 1.0)
    report.correction(
        "Quickprop's second derivative",
        course="L″ ≈ Δw / ΔL′",
        correct="L″ ≈ ΔL′ / Δw",
        shown_by=f"curvatures {curvatures}: ΔL′/Δw gives {found}, Δw/ΔL′ gives {upside_down}",
    )


def _not_quadratic(report):
    """√(1 + x²): Newton's step is x → −x³, so 0.5 falls to 0 cube by cube and 1.1 explodes."""
    path = newton(lambda w: tf.reduce_sum(tf.sqrt(1 + w**2)), [0.5, 1.1], 3)
    want = [[(-1) ** t * x ** (3.0**t) for x in (0.5, 1.1)] for t in range(4)]
    report.check("√(1 + x²): each step gives −x³, which converges from 0.5 and not from 1.1", path, want, rtol=1e-6)
    saddle = newton(lambda w: w[0] ** 2 - w[1] ** 2, [1.0, 0.5], 1)[-1]
    report.check("on x² − y² Newton goes to the saddle, in one step", got=saddle, want=[0.0, 0.0])


def _race(report, condition, dims, rng, runs):
    rows, curves = [], {}
    for size in dims:
        for kind, matrix in (("along the axes", np.diag(np.geomspace(1, condition, size))),
                             ("turned", _turned(rng, size, condition))):  # fmt: skip
            start = np.ones(size)
            limit = math.ceil(math.log(1e-6 / math.sqrt(size)) / math.log(1 - 2 / (condition + 1))) + 50
            rate = 2 / (1 + condition)  # the best for these curvatures
            methods = {
                "gradient descent": lambda: gradient_descent(lambda w: matrix @ w, start, rate, limit),  # noqa: B023
                "Quickprop": lambda: quickprop(lambda w: matrix @ w, start, limit, 1 / condition),  # noqa: B023
                "Newton": lambda: newton(_function(matrix), start, 1),  # noqa: B023
            }
            for name, run in methods.items():
                begin = time.perf_counter()
                path = run()
                error = np.linalg.norm(path, axis=1)
                each = (time.perf_counter() - begin) / (len(path) - 1)
                reached = np.flatnonzero(error < 1e-6)
                steps = int(reached[0]) if len(reached) else None
                rows.append([size, kind, name, steps, 1000 * each, 1000 * each * steps if steps else None])
                if size == dims[0]:
                    curves[f"{name}, {kind}"] = error
    report.table(f"steps until the distance is below 1e-6, condition {condition:g}",
                 ["weights", "valley", "method", "steps", "ms a step", "ms in all"], rows)  # fmt: skip
    report.check(
        "Newton needs one step in all of them", [row[3] for row in rows if row[2] == "Newton"], [1] * 2 * len(dims)
    )
    report.check("along the axes, Quickprop gets there too", all(row[3] for row in rows[1::6]), want=True)
    report.at_least("gradient descent needs many", [row[3] for row in rows[::3]], 10)
    report.note("Quickprop without Fahlman's decay, and with the slope added only where a weight stood still.")
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4))
    errors = {f"rate {rate}": np.maximum(path.max(axis=1), 1e-16) for rate, path in runs.items()}
    plots.curves(np.arange(26), errors, ax=left, yscale="log", xlabel="step", ylabel="distance from the minimum",
                 title="Newton: below rate 2 it converges")  # fmt: skip
    plots.curves({name: np.arange(len(e)) for name, e in curves.items()},
                 {name: np.maximum(e, 1e-16) for name, e in curves.items()}, ax=right, yscale="log", xlabel="step",
                 ylabel="distance from the minimum", title=f"Condition {condition:g}, {dims[0]} weights")  # fmt: skip
    right.set(ylim=(1e-8, 30), xlim=(-3, 120))
    right.legend(fontsize=9)
    report.figure("Newton needs one step and any rate below 2", figure,
                  alt="Left: rates 0.5, 1 and 1.5 converge, 2.1 grows. Right: Newton drops at once.")  # fmt: skip

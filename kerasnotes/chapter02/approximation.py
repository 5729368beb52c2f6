"""Two opposed sigmoids make a bump, and enough bumps make any curve; linear units never do.

One hidden layer draws a curve as a row of bumps of the right heights. Twice the hidden units halve the error. The
bend in the activation is what counts: a sum of linear units stays a line, and a sum of squares a parabola, however
many there are. In the plane four hidden units and one output make a bump.

Notes: chapter 02, "Networks as universal approximators" (神经网络的通用近似).
Source: Cybenko 1989, doi:10.1007/BF02551274, Theorem 2; Leshno et al. 1993, doi:10.1016/S0893-6080(05)80131-5 (any
activation that is not a polynomial).
"""

from typing import NamedTuple

import keras
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter02.activations import relu, sigmoid
from kerasnotes.parts import positive, whole

SMOKE = {"points": 2001}
SECONDS = 3


def bump(x, left, right, steepness):
    """σ(steepness·(x − left)) − σ(steepness·(x − right)): one sigmoid steps up, the other steps down again.

    The area under it is right − left; in the middle it has height tanh(steepness·(right − left)/4).

    Args:
        x: Where, an array of any shape.
        left, right: The two walls, left < right.
        steepness: Of the walls, positive, in units of 1 / length.

    Returns: Array of the shape of `x`, between 0 and 1.
    Raises: ValueError: If the walls are in the wrong order or `steepness` is not positive.
    """
    x = np.asarray(x, np.float64)
    if not (np.isfinite([left, right]).all() and left < right):
        raise ValueError(f"right: expected a wall to the right of {left!r}, got {right!r}")
    positive("steepness", steepness)
    return sigmoid(steepness * (x - left)) - sigmoid(steepness * (x - right))


class StepNetwork(NamedTuple):
    """One hidden layer of sigmoids: σ(x·w + b)·v + c, with w, b, v (units,) and c a number. Call it on an array."""

    w: np.ndarray
    b: np.ndarray
    v: np.ndarray
    c: float

    def __call__(self, x):
        """The network's outputs, an array of the shape of `x`."""
        hidden = sigmoid(np.asarray(x, np.float64)[..., None] * self.w + self.b)  # (..., units)
        return hidden @ self.v + self.c


def fit_steps(function, interval, units):
    """A network that approximates a curve by a row of bumps, without any training.

    The interval is cut into units + 1 pieces, and each gets a bump as high as the function in the piece's middle.
    Neighbouring bumps share a wall, and that is one hidden unit: its output weight is the difference of their heights.
    For a curve no steeper than L the error is at most L·length / (2(units + 1)).

    Args:
        function: From an array to an array of the same shape.
        interval: `(start, end)`, with start < end.
        units: Hidden units, at least 1.

    Returns: A `StepNetwork`, to be called on points of the interval.
    Raises: ValueError: If an argument is out of range or the function's values are not finite.
    """
    start, end = interval
    if not (np.isfinite([start, end]).all() and start < end):
        raise ValueError(f"interval: expected (start, end) with start < end, got {interval!r}")
    units = whole("units", units)
    walls = np.linspace(start, end, units + 2)
    heights = np.asarray(function((walls[:-1] + walls[1:]) / 2), np.float64)  # (units + 1,)
    if heights.shape != (units + 1,) or not np.isfinite(heights).all():
        raise ValueError(f"function: expected {units + 1} finite values for as many points, got {heights}")
    steepness = 40 * (units + 1) / (end - start)  # a wall is a tenth as thick as a piece is wide
    return StepNetwork(np.full(units, steepness), -steepness * walls[1:-1], np.diff(heights), float(heights[0]))


def bump_2d(x, center, width, steepness):
    """A bump on the plane from a 2-4-1 network: four walls, and an output unit that wants all four.

    Two opposed sigmoids for each direction add up to 2 inside the square, to at most 1 outside it; the output is
    σ(steepness·(sum − 3/2)).

    Args:
        x: Points (..., 2).
        center: The square's middle (2,).
        width: Its side, positive.
        steepness: Of the walls and of the output, positive.

    Returns: Array (...), near 1 inside and near 0 outside if steepness and steepness·width are large.
    Raises: ValueError: If shapes do not fit, or `width` or `steepness` is not positive.
    """
    x, center = np.asarray(x, np.float64), np.asarray(center, np.float64)
    if x.shape[-1:] != (2,) or center.shape != (2,):
        raise ValueError(f"x, center: expected shapes (..., 2) and (2,), got {x.shape} and {center.shape}")
    positive("width", width)
    positive("steepness", steepness)
    bumps = [bump(x[..., i], center[i] - width / 2, center[i] + width / 2, steepness) for i in range(2)]
    return sigmoid(steepness * (bumps[0] + bumps[1] - 1.5))


def example():
    """A sine drawn without training, and the same network as two Dense layers of Keras."""

    def sine(x):
        return np.sin(2 * np.pi * x)

    x = np.linspace(0, 1, 1001)
    for units in (8, 16, 32):
        print(f"{units:>2} hidden units: largest error {np.abs(fit_steps(sine, (0, 1), units)(x) - sine(x)).max():.3f}")
    network = fit_steps(sine, (0, 1), 8)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(8, activation="sigmoid"), keras.layers.Dense(1)])
    model.set_weights([network.w[None], network.b, network.v[:, None], np.array([network.c])])
    print("at 0.1, 0.4, 0.7:", network([0.1, 0.4, 0.7]), model(np.array([[0.1], [0.4], [0.7]])).numpy().ravel())
    print("one bump, in the middle and outside:", bump([0.5, 2.0], 0, 1, 20.0))
    print("a bump on the plane:                ", bump_2d([[0.0, 0.0], [1.0, 1.0]], [0, 0], 1.0, 20.0))


def lesson(report, *, points: int = 20001, seed: int = 0):
    """Bumps, sums of bumps against a sine and a step, and what units without a bend can do.

    Args:
        report: The report to write to.
        points: Places at which errors are measured (1001 to 1000001).
        seed: Seed of random hidden units (0 to 4294967295).
    """
    x = np.linspace(0, 1, points)
    area = np.trapezoid(bump(20 * x - 10, -1, 2, 8.0), 20 * x - 10)
    report.check("a bump from −1 to 2: the area under it", area, 3.0, rtol=1e-3)
    report.check("a bump's middle: tanh(steepness·width/4)", bump(0.5, -1, 2, 0.8), np.tanh(0.6))
    errors = _rows_of_bumps(report, x)
    features = _activations(report, x, np.random.default_rng(seed))
    _plane(report)
    report.figure(
        "One hidden layer draws curves with bumps",
        _draw(x, errors, features),
        alt="Two opposed sigmoids and the bump they make; a sine drawn by 16 steps; errors against hidden units, which "
        "fall for steps and for sigmoids but not for linear units; a square bump on the plane.",
    )


def _sine(x):
    return np.sin(2 * np.pi * x)


def _jump(x):
    return np.where(x < 1 / 3, 0.0, 1.0)


def _rows_of_bumps(report, x):
    units, rows, errors = [16, 32, 64, 128, 256], [], []
    near = 1 / 3 + np.array([-1e-9, 1e-9])
    for count in units:
        sine, jump = fit_steps(_sine, (0, 1), count), fit_steps(_jump, (0, 1), count)
        errors.append(np.abs(sine(x) - _sine(x)).max())
        at_jump = np.abs(jump(near) - _jump(near)).max()
        rows.append([count, errors[-1], np.pi / (count + 1), np.abs(jump(x) - _jump(x)).mean(), at_jump])
    columns = [
        "hidden units",
        "sin 2πx: largest error",
        "bound π/(units + 1)",
        "step: mean error",
        "step: error at the jump",
    ]
    report.table("Rows of bumps on [0, 1]", columns, rows)
    errors = np.array(errors)
    report.check("sin 2πx: twice the units, half the largest error", errors[1:] / errors[:-1], [0.5] * 4, rtol=0.2)
    report.at_most("sin 2πx: largest error over its bound", errors / [row[2] for row in rows], 1.0)
    report.at_most("a step: mean error with 256 units over that with 16", rows[-1][3] / rows[0][3], 0.15)
    report.at_least("a step: error at the jump, which no continuous curve brings below ½", [r[4] for r in rows], 0.4999)
    network = fit_steps(_sine, (0, 1), 16)
    inputs, walls = keras.Input((1,)), np.linspace(0, 1, 18)
    model = keras.Sequential([inputs, keras.layers.Dense(16, activation="sigmoid"), keras.layers.Dense(1)])
    model.set_weights([network.w[None], network.b, network.v[:, None], np.array([network.c])])
    some = x[:: len(x) // 200]
    report.check("it is a Keras network of two Dense layers", network(some), model(some[:, None])[:, 0], atol=1e-4)
    middles = (walls[1:] + walls[:-1]) / 2
    edges = [-9, *walls[1:-1], 10]  # the outermost bumps reach beyond the interval
    summed = sum(_sine(m) * bump(some, *edges[i : i + 2], network.w[0]) for i, m in enumerate(middles))
    report.check("and a sum of 17 bumps", network(some), summed)
    return {"steps": (units, errors)}


def _activations(report, x, rng):
    """The best output weights for random hidden units, by least squares: no training could do better."""
    x, counts = x[:: max(1, len(x) // 1000)], [1, 2, 4, 8, 16, 32, 64]
    w, b = rng.normal(size=counts[-1]) * 10, rng.uniform(-1, 1, size=counts[-1])
    sums = w * (x[:, None] - 0.5) + 5 * b  # (points, units)
    kinds = {"linear": sums, "square": sums**2, "sigmoid": sigmoid(sums), "ReLU": relu(sums)}
    rows, curves = [], {}
    for name, hidden in kinds.items():
        hidden = np.column_stack([np.ones(len(x)), hidden])
        fits = [hidden[:, : n + 1] @ np.linalg.lstsq(hidden[:, : n + 1], _sine(x), rcond=1e-12)[0] for n in counts]
        curves[name] = [np.sqrt(np.mean((fit - _sine(x)) ** 2)) for fit in fits]
        rows.append([name, np.linalg.matrix_rank(hidden), *(curves[name][counts.index(n)] for n in (4, 16, 64))])
    columns = ["activation", "rank of 64 units and bias", "4 units", "16 units", "64 units"]
    report.table("sin 2πx with random hidden units: root mean squared error", columns, rows)
    ranks = [int(row[1]) for row in rows[:2]]
    report.check("rank of 64 hidden units and the bias: linear 2, squares 3", ranks, [2, 3])
    line = np.sqrt((1 - 6 / np.pi**2) / 2)  # the best line has slope −6/π; a parabola adds nothing to an odd curve
    left = [curves[name][-1] for name in ("linear", "square")]
    report.check("64 linear or square units: error of the best line, √((1 − 6/π²)/2)", left, [line, line], rtol=0.01)
    report.at_most("64 sigmoid or ReLU units: error", [curves[name][-1] for name in ("sigmoid", "ReLU")], line / 20)
    report.correction(
        "which units approximate anything",
        course="infinitely many linear units approximate anything",
        correct="a sum of linear units is linear; the activation must not be a polynomial",
        shown_by="64 linear units have rank 2 with the bias and the error of the best line; sigmoids and ReLU do not",
    )
    return counts, curves


def _plane(report):
    side = np.linspace(-1, 1, 101)
    x = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    y = bump_2d(x, (0.1, -0.2), 0.8, 40.0)
    walls = np.array([[40.0, 40, 0, 0], [0, 0, 40, 40]])
    model = keras.Sequential([keras.Input((2,)), *(keras.layers.Dense(n, activation="sigmoid") for n in (4, 1))])
    opposed = 40 * np.array([[1.0], [-1], [1], [-1]])
    model.set_weights([walls, -40 * np.array([-0.3, 0.5, -0.6, 0.2]), opposed, np.array([-60.0])])
    report.check("a bump on the plane is a 2-4-1 Keras network", y, model(x)[:, 0], atol=1e-4)
    away = np.abs(x - [0.1, -0.2]).max(axis=1) - 0.4  # how far outside the square, negative inside
    report.at_least("at least 0.1 inside the square: smallest value", y[away < -0.1].min(), 0.99)
    report.at_most("at least 0.1 outside the square: largest value", y[away > 0.1].max(), 0.01)


def _draw(x, errors, features):
    figure, axes = plots.subplots(2, 2, figsize=(11, 8))
    wide = 12 * x - 6
    shown = {"step up": sigmoid(3 * (wide + 2)), "step down": -sigmoid(3 * (wide - 2)), "bump": bump(wide, -2, 2, 3.0)}
    plots.curves(wide, shown, xlabel="x", ylabel="value", title="Two opposed sigmoids make a bump", ax=axes[0, 0])
    shown = {"sin 2πx": _sine(x), "16 hidden units": fit_steps(_sine, (0, 1), 16)(x)}
    plots.curves(x, shown, xlabel="x", ylabel="value", title="A row of bumps makes a curve", ax=axes[0, 1])
    counts, curves = features
    label = "error (steps: largest, others: r.m.s.)"
    places = {**dict.fromkeys(curves, counts), "steps": errors["steps"][0]}
    plots.curves(places, {**curves, "steps": errors["steps"][1]}, xlabel="hidden units", ylabel=label, xscale="log",
                 yscale="log", title="Units without a bend never get there", marker="o", ax=axes[1, 0])  # fmt: skip
    side = np.linspace(-1, 1, 201)
    heights = bump_2d(np.stack(np.meshgrid(side, side), axis=-1), (0.1, -0.2), 0.8, 20.0)
    plots.heatmap(heights, xlabel="first input", ylabel="second input", label="output", origin="lower",
                  extent=(-1, 1, -1, 1), title="Four hidden units, a bump", ax=axes[1, 1])  # fmt: skip
    axes[1, 1].set_xticks([-1, -0.5, 0, 0.5, 1])
    return figure

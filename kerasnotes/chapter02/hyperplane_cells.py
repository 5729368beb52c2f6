"""A layer of threshold units hands on in which cell a point lies and nothing else; a graded layer hands on where in it.

N hyperplanes in general position cut space of D dimensions into Σ C(N, k) cells, k up to D: all 2^N patterns of answers
while N ≤ D, and for large N about N^D/D!. The lesson finds every cell of random planes in exact fractions. What the
reader should see: all points of a cell look the same to everything behind a threshold layer, so the best answer behind
it is the mean over the cell. Sigmoids in place of the thresholds give the point itself back, from D units on.

Notes: chapter 02, "Multilayer perceptrons as Boolean functions and classifiers" (多层感知机与逻辑).
Source: Stanley 2006, https://www.cis.upenn.edu/~cis610/sp06stanley.pdf, Lemma 2.1 (one hyperplane more); Zaslavsky
1975, doi:10.1090/memo/0154; Cover 1965, doi:10.1109/PGEC.1965.264137 (planes through one point).
"""

import math
from fractions import Fraction

import keras
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter02.activations import sigmoid
from kerasnotes.chapter02.logic import count_cells
from kerasnotes.chapter02.neurons import threshold_unit
from kerasnotes.parts import shape, whole

SMOKE = {"most": 6, "points": 400}
SECONDS = 5


def cells(w, b):
    """All cells that hyperplanes w·x + b = 0 cut out, and a point inside each, found in exact fractions.

    Planes are added one by one. A new plane cuts exactly those cells that it meets, and these are the cells which the
    planes before it cut out of the new plane itself: the same task with one dimension less.

    Args:
        w: Normals (hyperplanes, dimensions), whole numbers.
        b: Offsets (hyperplanes,), whole numbers.

    Returns:
        A dictionary from pattern, a tuple with 1 for each plane whose w·x + b is positive and else 0, to a point of
        the cell, a tuple of fractions. Parallel and equal planes and planes through one point are no special case.

    Raises:
        ValueError: If shapes differ, a number is not whole, or a normal is 0.
    """
    w, b = np.asarray(w), np.asarray(b)
    shape("b", b, len(shape("w", w, None, None)))
    if w.dtype.kind not in "iu" or b.dtype.kind not in "iu":
        raise ValueError(f"w, b: expected whole numbers, got {w.dtype} and {b.dtype}")
    if not w.any(axis=1).all():
        raise ValueError(f"w: expected normals other than 0, got {w.tolist()}")
    planes = [([Fraction(int(v)) for v in normal], Fraction(int(c))) for normal, c in zip(w, b, strict=True)]
    return _cells(planes, w.shape[1])


def _cells(planes, dimensions):
    found = {(): (Fraction(0),) * dimensions}
    for number, (w, b) in enumerate(planes):
        before, cut = planes[:number], {}
        if any(w):
            cut = _cells_on(w, b, before, dimensions)
        elif b == 0:
            return {}  # it lies everywhere: the plane that we are on was there before
        after = {}
        for pattern, point in found.items():
            if pattern not in cut:
                after[(*pattern, int(_height(w, b, point) > 0))] = point
                continue
            point = cut[pattern]  # on the new plane; go off it on both sides, and not as far as the next plane
            slopes = [(_height(v, c, point), sum(p * q for p, q in zip(v, w, strict=True))) for v, c in before]
            step = min((abs(height / slope) for height, slope in slopes if slope), default=Fraction(2)) / 2
            for side in (0, 1):
                away = (2 * side - 1) * step
                after[(*pattern, side)] = tuple(x + away * v for x, v in zip(point, w, strict=True))
        found = after
    return found


def _cells_on(w, b, planes, dimensions):
    """The cells of planes on the plane w·x + b = 0: one coordinate is put in terms of the others."""
    pivot = next(i for i, value in enumerate(w) if value)
    others = [i for i in range(dimensions) if i != pivot]
    inside = [([v[i] - v[pivot] * w[i] / w[pivot] for i in others], c - v[pivot] * b / w[pivot]) for v, c in planes]
    found = {}
    for pattern, point in _cells(inside, dimensions - 1).items():
        missing = -(b + sum(w[i] * x for i, x in zip(others, point, strict=True))) / w[pivot]
        found[pattern] = (*point[:pivot], missing, *point[pivot:])
    return found


def _height(w, b, point):
    return sum((v * x for v, x in zip(w, point, strict=True)), b)


def best_guess(codes, targets):
    """The smallest squared error that anything behind a layer can reach: for each code the mean of its targets.

    Args:
        codes: What the layer hands on for each point, (points, units).
        targets: What is to be said, (points, values).

    Returns: The best answers, (points, values); points with equal codes have equal answers.
    Raises: ValueError: If the shapes do not fit.
    """
    codes, targets = np.asarray(codes), np.asarray(targets, np.float64)
    shape("targets", targets, len(shape("codes", codes, None, None)), None)
    _, which, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), targets.shape[1]))
    np.add.at(sums, which.ravel(), targets)
    return (sums / counts[:, None])[which.ravel()]


def place_from_graded(hidden, w, b):
    """The points that a layer of sigmoids σ(x·w + b) has seen: its logits, and the linear equations solved.

    Args:
        hidden: The layer's outputs (points, units), above 0 and below 1.
        w: (inputs, units), of as high a rank as there are inputs.
        b: (units,).

    Returns: The points (points, inputs).
    Raises: ValueError: If shapes do not fit, an output is 0 or 1, or units are too few or alike.
    """
    hidden, w = np.asarray(hidden, np.float64), np.asarray(w, np.float64)
    shape("hidden", hidden, None, shape("w", w, None, None).shape[1])
    if not ((hidden > 0) & (hidden < 1)).all():
        raise ValueError("hidden: expected values above 0 and below 1, whose logits are finite")
    if np.linalg.matrix_rank(w) < len(w):
        raise ValueError(f"w: expected the rank {len(w)} of the inputs, got {np.linalg.matrix_rank(w)}")
    return (np.log(hidden) - np.log1p(-hidden) - shape("b", np.asarray(b), w.shape[1])) @ np.linalg.pinv(w)


def printed_bound(hyperplanes, dimensions):
    """N^D / (D − 1)!, which the course's notes give as the order of the number of cells."""
    dimensions = whole("dimensions", dimensions)
    return Fraction(whole("hyperplanes", hyperplanes) ** dimensions, math.factorial(dimensions - 1))


def example():
    """Three lines and their seven cells; two points of one cell behind thresholds and behind sigmoids."""
    w, b = np.array([[1, 0], [0, 1], [1, 1]]), np.array([0, 0, -2])
    found = cells(w, b)
    for pattern, point in found.items():
        print(pattern, "at", *map(str, point))
    print(len(found), "cells; the formula says", count_cells(3, 2), "and the eighth pattern", (0, 0, 1), "is nowhere")
    two = np.array([[0.5, 0.5], [0.9, 0.2]])
    layer = keras.layers.Dense(3, activation="sigmoid")
    layer.build((None, 2))
    layer.set_weights([w.T, b])
    print("thresholds:", *threshold_unit(two, w.T, b).astype(int))
    print("sigmoids:  ", *layer(two).numpy().round(3), "by Keras")
    print("and back:  ", *place_from_graded(layer(two), w.T, b).round(4))


def lesson(report, *, most: int = 9, points: int = 40_000, seed: int = 0):
    """Cells counted and by formula, the printed bound beside them, and what both kinds of layer hand on.

    Args:
        report: The report to write to.
        most: Hyperplanes of which all cells are found (4 to 12).
        points: Random points of a square (100 to 1000000).
        seed: Seed of planes and points (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _count(report, most, rng)
    ratios = _printed(report)
    x, w, b = rng.uniform(-1, 1, (points, 2)), rng.normal(size=(2, 64)), rng.uniform(-1, 1, 64)
    _same_to_all_behind(report, x, w[:, :8], b[:8], rng)
    errors = _best_behind(report, x, w, b)
    report.figure("The cell, or the place in it", _draw(w[:, :8], b[:8], errors, ratios),
                  alt="Eight lines cut a square into cells, each with one best guess of the distance from the middle; "
                  "the best error behind threshold units falls as lines are added, behind sigmoids it is zero from two "
                  "units on; the printed bound over the number of cells is below one for few hyperplanes and goes to "
                  "the number of dimensions for many.")  # fmt: skip


def _count(report, most, rng):
    rows, wanted, centrals, wrong = [], [], [], 0
    for n in report.track(range(1, most + 1), "counting cells"):
        row = [n]
        for dimensions in (1, 2, 3):
            w, b = rng.integers(-(10**6), 10**6, (n, dimensions)), rng.integers(-(10**6), 10**6, n)
            found = cells(w, b)
            row.append(len(found))
            for pattern, point in found.items():
                heights = [_height(map(int, normal), int(c), point) for normal, c in zip(w, b, strict=True)]
                wrong += any(height == 0 or (height > 0) != side for height, side in zip(heights, pattern, strict=True))
            if dimensions == 3:
                centrals.append([len(cells(w, 0 * b)), 2 * count_cells(n - 1, 2)])
        rows.append([*row, 2**n])
        wanted.append([n, *(count_cells(n, d) for d in (1, 2, 3))])
    report.table("Cells found", ["N", "of a line", "of a plane", "of space", "patterns 2^N"], rows)
    report.check("points found that do not lie inside their cell, in exact fractions", wrong, 0)
    report.check("cells of N random hyperplanes: Σ C(N, k), k up to D", [row[:4] for row in rows], wanted)
    report.check("planes through one point of space: 2 Σ C(N − 1, k), k up to 2", *np.array(centrals).T)
    parallel = cells(np.ones((most, 2), int), np.arange(most))
    report.check("parallel lines: N + 1", len(parallel), most + 1)


def _printed(report):
    """The printed bound as a number, beside the count."""
    rows = []
    for n, d in ((1, 2), (2, 2), (10, 2), (1000, 2), (2, 3), (1000, 3), (5, 10), (10, 10), (100_000, 10), (128, 784)):
        count, bound = count_cells(n, d), printed_bound(n, d)
        rows.append([str(n), str(d), f"{float(count):.4g}", f"{float(bound):.4g}", float(bound / count)])
    report.table("N^D/(D − 1)! beside the count", ["N", "D", "cells", "N^D/(D − 1)!", "their ratio"], rows)
    few = [count_cells(n, d) - 2**n for d in (1, 2, 3, 10, 784) for n in range(1, min(d, 20) + 1)]
    report.check("N ≤ D: cells less 2^N", few, [0] * len(few))
    many = [float(printed_bound(10**7, d) / count_cells(10**7, d)) for d in (1, 2, 3, 5, 10)]
    report.check("ten million hyperplanes: the printed bound is D times the count", many, [1, 2, 3, 5, 10], rtol=1e-4)
    inputs = printed_bound(128, 784)
    report.at_most("128 units that read 784 pixels: the printed bound, where there are 2^128 cells", float(inputs), 1.0)
    report.correction(
        "number of cells of a first layer",
        course="N hyperplanes cut D dimensions into O(N^D/(D − 1)!) cells",
        correct="at most Σ C(N, k), k up to D: all 2^N while N ≤ D, about N^D/D! for large N. With D fixed the order "
        "holds and the factorial says nothing; as a number it is D times too large for many planes, and in between "
        "even more, and far too small for few",
        shown_by="cells found one by one; 128 units that read 784 pixels have 2^128 cells, and the formula is below 1",
    )
    numbers = np.unique(np.logspace(0, 3, 40).astype(int))
    return numbers, {f"D = {d}": [float(printed_bound(int(n), d) / count_cells(int(n), d)) for n in numbers]
                     for d in (2, 3, 5, 10)}  # fmt: skip


def _same_to_all_behind(report, x, w, b, rng):
    """A random network behind eight thresholds and behind eight sigmoids: how far its answers differ in a cell."""
    behind = keras.Sequential([keras.layers.Dense(16, "tanh", kernel_initializer="zeros"), keras.layers.Dense(1)])
    behind.build((None, 8))
    behind.set_weights([rng.normal(size=weights.shape) for weights in behind.get_weights()])
    cell = threshold_unit(x, w, b).astype(np.float32)
    layers = {f"sigmoids, {s} times as steep": np.float32(sigmoid(s * (x @ w + b))) for s in (1, 10, 1000, 100_000)}
    rows = []
    for name, hidden in {**layers, "thresholds": cell}.items():
        answers = np.asarray(behind(hidden), np.float64)
        spread = np.sqrt(np.mean((answers - best_guess(cell, answers)) ** 2))
        rows.append([name, len(np.unique(hidden, axis=0)), spread])
    columns = ["eight units, float32", "different codes", "random network behind: spread of its answers in a cell"]
    report.table("Points of a square", columns, rows)
    report.check("behind thresholds: spread of the answers in a cell", rows[-1][2], 0.0, atol=1e-5)
    report.at_least("behind sigmoids: spread of the answers in a cell", rows[0][2], 0.01)
    report.at_most("cells that hold a point: no more than the formula has", rows[-1][1], count_cells(8, 2))
    report.at_least("sigmoids: share of points with a code of their own", rows[0][1] / len(x), 0.99)
    layer = keras.layers.Dense(8, activation="sigmoid", dtype="float64")
    layer.build((None, 2))
    layer.set_weights([w, b])
    report.check("the points from the outputs of Keras's sigmoids", place_from_graded(layer(x), w, b), x, atol=1e-8)


def _best_behind(report, x, w, b):
    """The best error of the distance from the middle behind more and more threshold units."""
    radius, counts, errors = np.linalg.norm(x, axis=1, keepdims=True), [1, 2, 4, 8, 16, 32, 64], []
    for n in counts:
        gap = best_guess(threshold_unit(x, w[:, :n], b[:n]), radius) - radius
        errors.append(np.sqrt(np.mean(gap**2)))
    graded = place_from_graded(sigmoid(x @ w[:, :2] + b[:2]), w[:, :2], b[:2])
    graded = np.sqrt(np.mean((np.linalg.norm(graded, axis=1, keepdims=True) - radius) ** 2))
    rows = [[n, error, None if n < 2 else graded] for n, error in zip(counts, errors, strict=True)]
    report.table("Distance from the middle: least root mean squared error behind N units",
                 ["N", "thresholds", "sigmoids"], rows)  # fmt: skip
    report.at_most("a threshold unit more never makes the best error larger: steps", np.diff(errors), 1e-12)
    report.check("two sigmoids: no error", graded, 0.0, atol=1e-8)
    even = np.linspace(0, 1, 12 * 1001)[:, None]
    walls = np.arange(1, 12) / 12  # eleven thresholds on a line
    left = best_guess(threshold_unit(even, np.ones((1, 11)), -walls), even) - even
    report.check("a line and 11 even thresholds: 1/12 over √12", np.sqrt(np.mean(left**2)), 1 / 12**1.5, rtol=2e-3)
    report.note("What is behind the sigmoids is computed from their logits here, not learned by training.")
    return counts, errors


def _draw(w, b, errors, ratios):
    figure, (plane, error, bound) = plots.subplots(1, 3, figsize=(14, 4.4), layout="constrained")
    axis = np.linspace(-1, 1, 301)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    guess = best_guess(threshold_unit(grid, w, b), np.linalg.norm(grid, axis=1, keepdims=True)).reshape(301, 301)
    plots.heatmap(guess, xlabel="x₁", ylabel="x₂", label="best guess of the distance", origin="lower",
                  extent=(-1, 1, -1, 1), title="Behind eight thresholds", ax=plane)  # fmt: skip
    plots.curves(errors[0], {"thresholds": errors[1]}, xlabel="hidden units", ylabel="least error of the distance",
                 xscale="log", marker="o", title="What the layer has lost", ax=error)  # fmt: skip
    error.plot(errors[0][1:], [0] * (len(errors[0]) - 1), "s--", color="C1", label="sigmoids")
    error.set_xticks(errors[0], map(str, errors[0]))
    error.minorticks_off()
    error.legend()
    plots.curves(*ratios, xlabel="hyperplanes N", ylabel="N^D/(D − 1)! over the cells", xscale="log", yscale="log",
                 title="The printed bound", ax=bound)  # fmt: skip
    bound.axhline(1, color="black", linewidth=1, linestyle=":")
    return figure

"""A straight line gives three points of the plane any labels, but never four: three is its capacity, counted.

A model that can produce every labelling of some points fits them whatever the truth is. What the reader should see: all
8 labellings of three points; 14 of the 16 of four points, on a square all but XOR and its opposite; and for more points
a share of the 2^n labellings that falls to nothing. From there on a fit says something about the data.

Notes: chapter 05, "Underfitting, overfitting and capacity" (欠拟合、过拟合与模型容量).
Source: Vapnik and Chervonenkis 1971, doi:10.1137/1116025; Cover 1965, doi:10.1109/PGEC.1965.264137 (the count).
"""

import itertools

import numpy as np

from kerasnotes import plots
from kerasnotes.chapter02.logic import count_cells
from kerasnotes.chapter02.neurons import train_perceptron
from kerasnotes.parts import shape

SMOKE = {"point_sets": 5, "largest": 5}
SECONDS = 1


def line_labellings(points):
    """All ways in which a straight line can split points of the plane into label 0 and label 1.

    A direction orders the points by how far they lie along it, and a line at right angles cuts this order somewhere.
    The order changes only where the direction is at right angles to a pair of points, so one direction between each
    two neighbouring changes is enough to find every labelling.

    Args:
        points: Different points (n, 2), best with integer coordinates, so that rounding cannot decide.

    Returns:
        Array (labellings, n) of zeros and ones, no row twice. All 2^n rows: the line shatters the points.

    Raises:
        ValueError: If the shape does not fit, a number is not finite, or two points are the same.
    """
    points = shape("points", np.asarray(points, np.float64), None, 2)
    if not len(points) or not np.isfinite(points).all():
        raise ValueError(f"points: expected finite points (n, 2), at least one, got {points.tolist()}")
    if len(np.unique(points, axis=0)) < len(points):
        raise ValueError(f"points: expected different points, got {points.tolist()}")
    pairs = list(itertools.combinations(points, 2))
    turns = np.sort([(np.arctan2(*(b - a)[::-1]) + np.pi / 2) % np.pi for a, b in pairs])  # angles in [0, π)
    turns = np.append(turns, turns[0] + np.pi) if len(turns) else np.array([0.0, np.pi])
    angles = ((turns[:-1] + turns[1:]) / 2)[np.diff(turns) > 1e-9]
    rows = []
    for angle in angles:
        order = np.argsort(points @ (np.cos(angle), np.sin(angle)))
        rank = np.argsort(order)
        rows += [rank >= cut for cut in range(len(points) + 1)] + [rank < cut for cut in range(len(points) + 1)]
    return np.unique(np.array(rows).astype(np.int64), axis=0)


def example():
    """How many labellings of three and of four points a line makes, and which ones it cannot make."""
    corners = [[0, 0], [0, 1], [1, 0], [1, 1]]
    for points in (corners[:3], corners):
        rows = {tuple(row.tolist()) for row in line_labellings(points)}
        missing = sorted(set(itertools.product((0, 1), repeat=len(points))) - rows)
        print(len(rows), "of", 2 ** len(points), "labellings of", points, "- missing:", missing)
    for size in (5, 10, 20):
        points = np.random.default_rng(0).integers(-1000, 1001, size=(size, 2))
        print(f"{size} points: {len(line_labellings(points))} labellings, Cover's count {2 * count_cells(size - 1, 2)}")


def lesson(report, *, point_sets: int = 300, largest: int = 12, seed: int = 0):
    """Count labellings of three, of four and of more points.

    Args:
        report: The report to write to.
        point_sets: Random sets of three and of four points (1 to 10000).
        largest: Points of the largest set in the figure (5 to 40).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _three_and_four(report, point_sets, np.random.default_rng((seed, 1)))
    _more(report, largest, np.random.default_rng((seed, 5)))


def _three_and_four(report, point_sets, rng):
    counts = {3: [], 4: []}
    for size, found in counts.items():
        while len(found) < point_sets:
            points = rng.integers(-50, 51, size=(size, 2))
            if _no_three_on_a_line(points):
                found.append(len(line_labellings(points)))
    report.check("three points, no line through all: a line makes all 8 labellings", counts[3], [2**3] * point_sets)
    cover = 2 * count_cells(3, 2)
    report.check("four points, no three on a line: it makes 14 of 16 (Cover's count)", counts[4], [cover] * point_sets)
    report.at_most("so it never shatters four points: the VC dimension is 3", max(counts[4]), 2**4 - 1)
    corners = np.array([[0, 0], [1, 0], [0, 1]])
    labellings = list(itertools.product((0, 1), repeat=3))
    mistakes = [train_perceptron(corners, labels).mistakes_per_epoch[-1] for labels in labellings]
    report.check("a perceptron learns each of the 8 labellings of (0, 0), (1, 0), (0, 1)", mistakes, [0] * 8)
    square = {tuple(row) for row in line_labellings([[0, 0], [0, 1], [1, 0], [1, 1]])}
    missing = sorted(set(itertools.product((0, 1), repeat=4)) - square)
    report.check("on the corners of a square the two that are missing are XOR and its opposite",
                 got=missing, want=[(0, 1, 1, 0), (1, 0, 0, 1)])  # fmt: skip
    report.note("For any four points this is Radon's theorem: they split into two groups whose hulls meet.")


def _no_three_on_a_line(points):
    triangles = (points[list(three)] for three in itertools.combinations(range(len(points)), 3))
    return all(np.linalg.matrix_rank(corners[1:] - corners[0]) == 2 for corners in triangles)


def _more(report, largest, rng):
    sizes, points = range(1, largest + 1), np.zeros((3, 2))
    while not _no_three_on_a_line(points):
        points = rng.integers(-1000, 1001, size=(largest, 2))
    counted = [len(line_labellings(points[:size])) for size in sizes]
    cover = [2 * count_cells(size - 1, 2) for size in sizes]
    report.check(f"1 to {largest} points, no three on a line: Cover's count", counted, cover)
    report.table("labellings that a line makes", ["points", "counted", "all", "share"],
                 [[n, count, 2**n, count / 2**n] for n, count in zip(sizes, counted, strict=True)])  # fmt: skip
    series = {"all labellings, 2ⁿ": [2**size for size in sizes], "those that a line makes": counted}
    report.figure(
        "A line soon makes few of all labellings",
        plots.curves(sizes, series, xlabel="points", ylabel="labellings", yscale="log", marker="o",
                     title="Up to three points a line makes them all"),
        alt="Numbers of labellings over the number of points, on a logarithmic axis: up to three points the two "
        "curves are one, then all labellings grow as a straight line and those of a line fall behind.",
    )  # fmt: skip

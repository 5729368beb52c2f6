"""One hidden layer can compute any Boolean function, but depth and the right units decide how many it takes.

As an OR of ANDs, parity takes 2^(n−1) hidden units; a tree of small XORs takes at most 2(n − 1), and a single layer of
counters takes n. So the exponential belongs to the form OR of ANDs, not to one layer as such. In the plane one hidden
layer draws any convex polygon; two squares that touch at a corner take two.

Notes: chapter 02, "Multilayer perceptrons as Boolean functions and classifiers" (多层感知机与逻辑).
Source: Minsky and Papert 1969, Perceptrons, doi:10.7551/mitpress/11301.001.0001; Cover 1965,
doi:10.1109/PGEC.1965.264137 (Schläfli's count of cells); Gibson and Cowan 1990, doi:10.1109/5.58343.
"""

import itertools
import math

import numpy as np

from kerasnotes import plots
from kerasnotes.chapter02.neurons import threshold_unit
from kerasnotes.parts import whole

SMOKE = {"largest": 5, "points": 500, "functions": 1000}
SECONDS = 5

FORMS = ("OR of ANDs", "tree of XORs", "counters")


class ThresholdNetwork:
    """Layers of threshold units, each layer reading the one before; the last has one unit.

    Args: `layers` is a list of `(w, b)`: weights (inputs, units) and biases (units,), first layer first.

    Raises: ValueError: If there is no layer, the shapes do not chain, or the last layer has not one unit.
    """

    def __init__(self, layers):
        self.layers = [(np.asarray(w, np.float64), np.asarray(b, np.float64)) for w, b in layers]
        shapes = [w.shape for w, _ in self.layers]
        fits = all(w.ndim == 2 and b.shape == w.shape[1:] for w, b in self.layers)
        if not shapes or not fits or shapes[-1][1] != 1 or any(s[1] != t[0] for s, t in itertools.pairwise(shapes)):
            raise ValueError(f"layers: expected (inputs, units) that chain and end in one unit, got {shapes}")

    def __call__(self, x):
        """The network's answers, 0 or 1, for `x` (..., inputs) an array (...)."""
        for w, b in self.layers:
            x = threshold_unit(x, w, b)  # (..., units)
        return x[..., 0]

    @property
    def hidden_count(self):
        """How many hidden units there are: all but the output."""
        return sum(w.shape[1] for w, _ in self.layers[:-1])


def and_gate(n):
    """A threshold unit `(w, b)` that fires if all `n` inputs are 1."""
    return np.ones(whole("n", n)), 0.5 - n


def or_gate(n):
    """A threshold unit `(w, b)` that fires if any of `n` inputs is 1."""
    return np.ones(whole("n", n)), -0.5


def majority_gate(n):
    """A threshold unit `(w, b)` that fires if more than half of `n` inputs are 1."""
    return np.ones(whole("n", n)), -(n // 2 + 0.5)


def dnf_network(truth_table):
    """A Boolean function as an OR of ANDs (disjunctive normal form): one hidden unit for each AND.

    Rows of the table that differ in input 0 alone share an AND, so 2^(n−1) hidden units are always enough.

    Args: `truth_table` has 2^n values 0 or 1; bit k of an index is input k.

    Returns: A `ThresholdNetwork` of one hidden layer.
    Raises: ValueError: If the length is not a power of two of at least 2, or a value is not 0 or 1.
    """
    table = np.asarray(truth_table)
    n = table.size.bit_length() - 1
    if table.ndim != 1 or n < 1 or table.size != 2**n or not np.isin(table, (0, 1)).all():
        raise ValueError(f"truth_table: expected 2, 4, 8, … values 0 or 1, got shape {table.shape}")
    off, on = table.astype(int).reshape(-1, 2).T  # (2**(n - 1),) each: input 0 is off, is on
    term = (off | on).nonzero()[0]
    literals = np.array([2 * ((term >> k) & 1) - 1 for k in range(n - 1)]).reshape(n - 1, len(term))  # ±1
    w = np.vstack([(on - off)[term], literals])  # 0 where input 0 does not matter; (n, hidden)
    return ThresholdNetwork([(w, 0.5 - (w > 0).sum(axis=0)), (np.ones((len(term), 1)), [-0.5])])


def parity_shallow(n):
    """Is the number of ones odd? One hidden layer of `n` units [Σx ≥ k], with output weights +1, −1, +1, …"""
    k = np.arange(1, whole("n", n) + 1)
    return ThresholdNetwork([(np.ones((n, n)), 0.5 - k), ((-1.0) ** (k[:, None] + 1), [-0.5])])


def parity_deep(n):
    """Is the number of ones odd? A tree of small parities, about log₂ n hidden layers, at most 2(n − 1) hidden units.

    XOR is OR minus AND, which is 0 or 1 as it stands. So the next layer reads the difference and each XOR costs two
    hidden units. With a third unit that fires when all is done, an XOR costs three: 3(n − 1) in all, as usually taught.
    """
    layers, read = [], np.eye(whole("n", n))  # read: how the next layer makes its values from the units before it
    while (values := read.shape[1]) > 1:
        groups = np.split(np.arange(values), np.arange(2, values - 1, 2))  # pairs; three at the end if odd
        w, b = np.zeros((values, values)), np.zeros(values)
        following = np.zeros((values, len(groups)))
        for number, group in enumerate(groups):
            first = group[0]
            w[first : first + len(group), group] = 1
            b[group] = -0.5 - np.arange(len(group))
            following[group, number] = (1, -1, 1)[: len(group)]
        layers.append((read @ w, b))
        read = following
    return ThresholdNetwork([*layers, (read, [-0.5])])


def polygon_network(vertices):
    """Is a point inside a convex polygon? One hidden unit for each side; the output is their AND.

    Args: `vertices` are corners in order (corners, 2), at least three, either way round.

    Returns: A `ThresholdNetwork` of one hidden layer; points on the border count as inside.
    Raises: ValueError: If the polygon is not convex or has no area.
    """
    return union_network([vertices])


def union_network(polygons):
    """Is a point inside any of several convex polygons? Sides, then an AND for each polygon, then an OR.

    Args: `polygons` is a list of corners, each as in `polygon_network`.

    Returns: A `ThresholdNetwork` of two hidden layers, of one if there is a single polygon.
    Raises: ValueError: If a polygon is not convex or has no area.
    """
    sides = [_sides(polygon) for polygon in polygons]
    counts = [len(b) for _, b in sides]
    inside = np.repeat(np.eye(len(sides)), counts, axis=0)  # (all sides, polygons)
    layers = [(np.hstack([w for w, _ in sides]), np.hstack([b for _, b in sides])), (inside, 0.5 - np.array(counts))]
    return ThresholdNetwork(layers if len(sides) == 1 else [*layers, (np.ones((len(sides), 1)), [-0.5])])


def count_cells(hyperplanes, dimensions):
    """Into how many cells hyperplanes in general position cut space: Σ C(hyperplanes, k) for k up to `dimensions`."""
    hyperplanes, dimensions = whole("hyperplanes", hyperplanes, 0), whole("dimensions", dimensions, 0)
    return sum(math.comb(hyperplanes, k) for k in range(dimensions + 1))


def _sides(vertices):
    """Half-planes w·x + b ≥ 0 whose common part is the polygon: w (2, corners), b (corners,)."""
    vertices = np.asarray(vertices, np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 2 or len(vertices) < 3 or not np.isfinite(vertices).all():
        raise ValueError(f"vertices: expected at least three finite corners (corners, 2), got shape {vertices.shape}")
    along = np.roll(vertices, -1, axis=0) - vertices
    w = np.stack([-along[:, 1], along[:, 0]])  # each side turned by a quarter: it points inwards if counterclockwise
    b = -(vertices * w.T).sum(axis=1)
    heights = vertices @ w + b  # of every corner over every side
    w, b, heights = (value * np.sign(heights.sum()) for value in (w, b, heights))
    if np.abs(along).max(axis=1).min() == 0 or heights.min() < -1e-9 * np.abs(heights).max() or not heights.any():
        raise ValueError(f"vertices: expected a convex polygon with corners in order, got {vertices.tolist()}")
    return w, b


def example():
    """Parity of three inputs in three ways, and a triangle."""
    x = (np.arange(8)[:, None] >> np.arange(3)) & 1  # all inputs of three bits
    odd = x.sum(axis=1) % 2
    print("odd?      ", odd)
    for name, network in (("OR of ANDs", dnf_network(odd)), ("tree", parity_deep(3)), ("counters", parity_shallow(3))):
        print(f"{name:<10}", network(x).astype(int), "hidden units:", network.hidden_count)
    print("majority  ", threshold_unit(x, *majority_gate(3)).astype(int))
    triangle = polygon_network([[0, 0], [1, 0], [0, 1]])
    print("inside the triangle?", triangle(np.array([[0.2, 0.2], [0.8, 0.8]])))
    print("cells that 1, 2, 3, 4 lines cut out of the plane:", [count_cells(lines, 2) for lines in (1, 2, 3, 4)])


def lesson(report, *, largest: int = 10, functions: int = 65536, points: int = 10000, seed: int = 0):
    """Gates, parity and every small Boolean function on all their inputs; then polygons, corners and cells.

    Args:
        report: The report to write to.
        largest: Most inputs of gates and parity (2 to 12).
        functions: How many of the 65536 Boolean functions of four inputs to build (2 to 65536).
        points: Random points in the plane, and random networks to try at a corner (10 to 100000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    counts = _parity(report, largest)
    for n, count in ((1, 4), (2, 16), (3, 256), (4, functions)):
        codes = np.linspace(0, 2 ** (2**n) - 1, count).astype(int)
        tables, x = (codes[:, None] >> np.arange(2**n)) & 1, _inputs(n)
        wrong, most = 0, 0
        for table in report.track(tables, f"functions of {n} inputs"):
            network = dnf_network(table)
            wrong, most = wrong + int((network(x) != table).sum()), max(most, network.hidden_count)
        report.check(f"{count} functions of {n} inputs as an OR of ANDs: wrong answers", wrong, 0)
        report.at_most(f"{count} functions of {n} inputs as an OR of ANDs: hidden units", most, 2 ** (n - 1))
    xor = dnf_network([0, 1, 1, 0])([[1, 0], [0.5, 0.5], [0, 1]]).astype(int)
    report.check("XOR as an OR of two half-planes, at (1, 0), half way, and (0, 1)", xor, [1, 0, 1])
    report.correction(
        "regions of one hidden layer",
        course="one hidden layer gives convex regions",
        correct="an AND of half-planes is convex, an OR of them need not be",
        shown_by="XOR as an OR of ANDs fires at (1, 0) and (0, 1), and not half way between them",
    )
    two = _plane(report, points, np.random.default_rng(seed))
    report.figure(
        "What depth buys",
        _draw(counts, two),
        alt="Left: hidden units for parity; the OR of ANDs doubles with each input, the tree and the counters grow "
        "steadily. Right: two squares that touch at a corner, drawn by a network of two hidden layers.",
    )


def _parity(report, largest):
    wrong, rows = 0, []
    for n in range(1, largest + 1):
        x = _inputs(n)
        ones = x.sum(axis=1)
        for gate, want in ((and_gate, ones == n), (or_gate, ones > 0), (majority_gate, 2 * ones > n)):
            wrong += int((threshold_unit(x, *gate(n)) != want).sum())
        networks = dnf_network(ones % 2), parity_deep(n), parity_shallow(n)
        wrong += sum(int((network(x) != ones % 2).sum()) for network in networks)
        reads = [int(max((w != 0).sum(axis=0).max() for w, _ in network.layers)) for network in networks]
        rows.append([n, *(network.hidden_count for network in networks), len(networks[1].layers) - 1, *reads])
    columns = ["n", *(f"{form}: hidden units" for form in FORMS), "tree of XORs: hidden layers"]
    report.table("Parity of n inputs", [*columns, *(f"{form}: most inputs of a unit" for form in FORMS)], rows[1:])
    n, dnf, deep, shallow, *_ = np.array(rows).T
    report.check(f"wrong answers of gates and parity, all inputs, n up to {largest}", wrong, 0)
    report.check("parity as an OR of ANDs: hidden units", dnf, 2 ** (n - 1))
    report.at_most("parity as a tree of XORs: hidden units less 2(n − 1)", deep - 2 * (n - 1), 0)
    report.check("parity by counters: hidden units", shallow, n)
    flipped = (x[:, None] ^ np.eye(largest, dtype=int)).sum(axis=-1) % 2  # (2**n, n): one input turned over
    alike = int((flipped == (ones % 2)[:, None]).sum())
    report.check("neighbouring rows of the same parity, which one AND could share", alike, 0)
    report.correction(
        "how many units one layer needs for logic",
        course="one hidden layer needs up to 2^N units",
        correct="that is the form OR of ANDs; parity, its worst case, takes N threshold units [Σx ≥ k]",
        shown_by=f"all inputs, n up to {largest}",
    )
    return {form: np.array(rows)[1:, 1 + number] for number, form in enumerate(FORMS)}


def _plane(report, points, rng):
    angles = 2 * np.pi * np.arange(6) / 6
    hexagon = np.stack([np.cos(angles), 0.8 * np.sin(angles)], axis=1)
    x = rng.uniform(-1.2, 1.2, size=(points, 2))
    to_corners = hexagon[[*range(6), 0]] - x[:, None]  # (points, 7, 2): once around, back to the first corner
    turns = np.unwrap(np.arctan2(to_corners[..., 1], to_corners[..., 0]), axis=1)
    wound = np.abs(turns[:, -1] - turns[:, 0]) > np.pi
    wrong = int((polygon_network(hexagon)(x) != wound).sum())
    report.check("hexagon: points where the network and the winding number disagree", wrong, 0)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    two = union_network([square, square - 1])
    inside = (x.prod(axis=1) >= 0) & (np.abs(x).max(axis=1) <= 1)
    report.check("two squares that touch, two hidden layers: wrong points", int((two(x) != inside).sum()), 0)

    corner = np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]]) * 0.01  # inside, inside, outside, outside
    w = rng.normal(size=(2, points * 20))  # 20 hidden units each; half of the lines pass through the corner
    b = rng.choice([-1, 0, 0, 1], size=points * 20) * np.linalg.norm(w, axis=0) * rng.uniform(0.1, 1, size=points * 20)
    hidden = threshold_unit(corner, w, b).reshape(4, points, 20)
    inside, outside = hidden[:2].sum(axis=0), hidden[2:].sum(axis=0)
    report.check("next to the corner, each hidden unit counts as much inside as outside", inside, outside)
    sums = (hidden * rng.integers(-9, 10, size=(points, 20))).sum(axis=-1)  # (4, points), with random output weights
    gap = (sums[:2].min(axis=0) - sums[2:].max(axis=0)).max()
    report.at_most(f"smallest sum inside less largest outside, {points} networks of one hidden layer", gap, 0)
    report.note("So no threshold on the output draws the corner exactly. More units can draw it more finely.")
    rows = [[n, *(_cells(rng.normal(size=(n, d)), rng.normal(size=n)) for d in (1, 2, 3))] for n in range(1, 9)]
    report.table("Cells that N hyperplanes cut out", ["N", "of a line", "of a plane", "of space"], rows)
    formula = [[n, *(count_cells(n, d) for d in (1, 2, 3))] for n in range(1, 9)]
    report.check("cells of N random hyperplanes: Σ C(N, k), k up to the dimension", rows, formula)
    return two


def _inputs(n):
    return (np.arange(2**n)[:, None] >> np.arange(n)) & 1  # (2**n, n)


def _cells(w, b):
    """Count the different answers of the half-planes around all crossings: each cell has a crossing as a corner."""
    planes, dimensions = w.shape
    samples = []
    for chosen in map(list, itertools.combinations(range(planes), min(planes, dimensions))):
        sides = 1e-9 * (2 * _inputs(len(chosen)) - 1)  # just off the crossing, on both sides of each plane
        samples.append((sides - b[chosen]) @ np.linalg.pinv(w[chosen]).T)
    return len(np.unique(threshold_unit(np.vstack(samples), w.T, b), axis=0))


def _draw(counts, two):
    figure, (units, plane) = plots.subplots(1, 2, figsize=(11, 4.6))
    plots.curves(2 + np.arange(len(counts["counters"])), counts, xlabel="inputs n", ylabel="hidden units", yscale="log",
                 marker="o", title="Parity: the form decides the price", ax=units)  # fmt: skip
    axis = np.linspace(-1.4, 1.4, 281)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    plane.contourf(axis, axis, two(grid), levels=[-0.5, 0.5, 1.5], colors=["white", "C6"])
    for w, b in zip(two.layers[0][0].T, two.layers[0][1], strict=True):
        foot = -b * w / (w @ w)
        plane.axline(foot, foot + w @ [[0, -1], [1, 0]], color="C0", linewidth=1.2, linestyle="--")
    plane.set(xlabel="x₁", ylabel="x₂", aspect="equal", title="Two hidden layers draw the corner")
    return figure

"""A convolution on a graph weakens what differs between neighbours, and two labels are enough to split a club.

On a ring or a line, a convolution multiplies every frequency by a number. A graph has frequencies too: the eigenvalues
of its Laplacian, which say how much a pattern changes along the edges. What the reader should see: a polynomial of the
Laplacian is such a filter and needs no eigenvectors, only neighbours; its simplest form is the layer of a graph
convolutional network. Told only which clubs the two leaders of a karate club founded, it finds where nearly all others
went. So do two rivals without any training. And many layers make all nodes alike.

Notes: chapter 13, "Graph networks" (图网络).
Source: Kipf and Welling 2017, arXiv:1609.02907, equations 2 to 8; Defferrard, Bresson, Vandergheynst 2016,
arXiv:1606.09375; Zachary 1977, doi:10.1086/jar.33.4.3629752; Zhou et al. 2004,
https://papers.nips.cc/paper/2506-learning-with-local-and-global-consistency.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter13.graph_network import adjacency, neighbors
from kerasnotes.parts import layer_seeds, shape, share, whole

SMOKE = {"networks": 1, "steps": 2, "deepest": 2}
SECONDS = 5

LEADERS = (0, 33)  # the instructor, and an officer of the club


def _undirected(adjacency):
    matrix = neighbors(adjacency).astype(np.float64)
    if np.any(matrix != matrix.T):
        raise ValueError("adjacency: expected a symmetric matrix, each edge in both directions")
    return matrix


def _by_degrees(matrix, degree):
    """D^(-1/2) M D^(-1/2); rows of nodes without edges stay as they are."""
    scale = np.where(degree > 0, degree, 1) ** -0.5
    return scale[:, None] * matrix * scale


def laplacian(adjacency, normalized=True):
    """How much a pattern differs along the edges: L = D - A, or D^(-1/2) (D - A) D^(-1/2).

    Args:
        adjacency: Matrix (nodes, nodes) of 0 and 1, symmetric.
        normalized: Whether to divide by the roots of the degrees; eigenvalues then lie from 0 to 2.

    Returns: Array (nodes, nodes), float64. The eigenvalue 0 occurs once for each connected component.
    Raises: ValueError: If the adjacency is not that of an undirected graph.
    """
    matrix = _undirected(adjacency)
    degree = matrix.sum(axis=1)
    plain = np.diag(degree) - matrix
    return _by_degrees(plain, degree) if normalized else plain


def spectral_filter(x, adjacency, response):
    """Write x as a sum of eigenvectors of the Laplacian, and multiply each by the response to its eigenvalue.

    Args:
        x: Features (nodes, features).
        adjacency: Matrix (nodes, nodes) of 0 and 1, symmetric.
        response: Function from the eigenvalues of the normalized Laplacian (nodes,), 0 to 2, to factors (nodes,).

    Returns: Array (nodes, features), float64.
    Raises: ValueError: If a shape does not fit.
    Source: Kipf and Welling 2017, equation 3.
    """
    values, vectors = np.linalg.eigh(laplacian(adjacency))
    x = shape("x", np.asarray(x, np.float64), len(values), None)
    factors = shape("response", np.asarray(response(np.clip(values, 0, 2))), len(values))
    return vectors @ (factors[:, None] * (vectors.T @ x))


def polynomial_filter(x, adjacency, coefficients):
    """The filter with the response c₀ + c₁λ + c₂λ² + …, without eigenvectors: each power asks neighbours once more.

    Args:
        x, adjacency: As in `spectral_filter`.
        coefficients: Numbers c₀, c₁, … (degree + 1,).

    Returns: Array (nodes, features), float64: nothing comes from more than `degree` edges away.
    Raises: ValueError: If a shape does not fit.
    """
    matrix = laplacian(adjacency)
    x = shape("x", np.asarray(x, np.float64), len(matrix), None)
    result = np.zeros_like(x)
    for c in shape("coefficients", np.asarray(coefficients), None)[::-1]:
        result = matrix @ result + c * x
    return result


def chebyshev_filter(x, adjacency, coefficients):
    """The filter with the response Σ cₖ Tₖ(λ - 1): as `polynomial_filter`, in numbers that stay small.

    Args and returns: As for `polynomial_filter`.
    Raises: ValueError: If a shape does not fit.
    Source: Kipf and Welling 2017, equations 4 and 5, with 2 as the largest eigenvalue.
    """
    shifted = laplacian(adjacency) - np.eye(len(adjacency))  # eigenvalues from -1 to 1
    x = shape("x", np.asarray(x, np.float64), len(shifted), None)
    result, before, now = np.zeros_like(x), shifted @ x, x  # T₋₁ = T₁
    for c in shape("coefficients", np.asarray(coefficients), None):
        result = result + c * now
        before, now = now, 2 * shifted @ now - before
    return result


def normalized_adjacency(adjacency):
    """What a layer multiplies by: every node is made its own neighbour, then D^(-1/2) A D^(-1/2).

    Returns: Array (nodes, nodes), float64, eigenvalues above -1 and up to 1.
    Raises: ValueError: If the adjacency is not that of an undirected graph, or holds loops already.
    Source: Kipf and Welling 2017, section 2.2 ("renormalization trick").
    """
    matrix = _undirected(adjacency)
    if matrix.diagonal().any():
        raise ValueError("adjacency: expected zeros on the diagonal; the loops are added here")
    matrix += np.eye(len(matrix))
    return _by_degrees(matrix, matrix.sum(axis=1))


class GraphConvolution(keras.layers.Layer):
    """`layer(h, propagation)`: activation(P h W) for states h (nodes, features) and a matrix P (nodes, nodes).

    Args:
        units: Numbers that a node has afterwards.
        activation: As in `keras.layers.Dense`.
        seed: Seed of the initial weights, or None.

    Source: Kipf and Welling 2017, equation 2, P as by `normalized_adjacency`.
    """

    def __init__(self, units, activation=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.units, self.seed, self.activation = whole("units", units), seed, keras.activations.get(activation)

    def build(self, h_shape, propagation_shape):
        start = keras.initializers.GlorotUniform(self.seed)
        self.kernel = self.add_weight(shape=(h_shape[-1], self.units), initializer=start, name="kernel")

    def call(self, h, propagation):
        return self.activation(propagation @ (h @ self.kernel))  # (nodes, units)


def build_gcn(adjacency, hidden=16, classes=2, layers=2, seed=0):
    """A graph convolutional network for one graph: `model(np.eye(nodes))` gives logits (nodes, classes).

    A batch is the whole graph. The nodes have no features but their number, hence the identity matrix.

    Args:
        adjacency: Matrix (nodes, nodes) of 0 and 1, symmetric, zeros on its diagonal.
        hidden: Units of each layer but the last, with rectifiers.
        classes: Units of the last layer.
        layers: Number of layers.
        seed: Seed of the initial weights.
    """
    propagation, seeds = tf.constant(normalized_adjacency(adjacency), tf.float32), layer_seeds(seed)
    h = inputs = keras.Input((len(propagation),), batch_size=len(propagation))
    for layer in range(whole("layers", layers)):
        last = layer == layers - 1
        h = GraphConvolution(classes if last else hidden, None if last else "relu", next(seeds))(h, propagation)
    return keras.Model(inputs, h)


def label_propagation(adjacency, labels, alpha):
    """The plain rival: labels spread to neighbours, again and again, and a share 1 - α is given back each time.

    Args:
        adjacency: Matrix (nodes, nodes) of 0 and 1, symmetric.
        labels: Classes (nodes,), whole numbers from 0, and -1 where unknown.
        alpha: Share that comes from the neighbours, 0 or more and below 1.

    Returns: Scores (nodes, classes), the limit (1 - α) (I - α D^(-1/2) A D^(-1/2))⁻¹ Y; zeros where no label arrives.
    Raises: ValueError: If the labels do not fit.
    Source: Zhou et al. 2004.
    """
    matrix, labels = _undirected(adjacency), np.asarray(labels)
    shape("labels", labels, len(matrix))
    if labels.dtype.kind not in "iu" or labels.min() < -1 or labels.max() < 0:
        raise ValueError(f"labels: expected classes from 0, and -1 where unknown, got {labels.tolist()}")
    spread = share("alpha", alpha, high=False) * _by_degrees(matrix, matrix.sum(axis=1))
    known = labels[:, None] == np.arange(labels.max() + 1)  # (nodes, classes)
    return (1 - alpha) * np.linalg.solve(np.eye(len(matrix)) - spread, known.astype(np.float64))


def example():
    """A ring of six nodes: the eigenvectors are Fourier's, and one power of the Laplacian asks the neighbours."""
    ring, x = adjacency([[node, (node + 1) % 6] for node in range(6)], 6), np.array([[4.0, 0, 0, 0, 0, 0]]).T
    print("by eigenvectors:", spectral_filter(x, ring, lambda eigenvalue: 1 - eigenvalue / 2)[:, 0].round(3))
    response = 1 - (1 - np.cos(2 * np.pi * np.arange(6) / 6)) / 2
    print("by numpy.fft:   ", np.fft.ifft(response * np.fft.fft(x[:, 0])).real.round(3))
    print("by neighbours:  ", polynomial_filter(x, ring, [1, -0.5])[:, 0].round(3))
    layer, p = GraphConvolution(2, seed=0), normalized_adjacency(ring)
    print("a layer, node 1:", layer(x, p)[1].numpy().round(3))
    print("by keras.ops:   ", keras.ops.matmul(p @ x, layer.kernel)[1].numpy().round(3))


def lesson(report, *, networks: int = 10, steps: int = 200, deepest: int = 32, seed: int = 0):
    """Filters on random graphs and on a ring, then the karate club: two labels, rivals, depth.

    Args:
        report: The report to write to.
        networks: Networks with different initial weights; a third of them for each depth (1 to 100).
        steps: Training steps of each network (1 to 10000).
        deepest: Most layers; 1, 2, 4, … up to it are tried (1 to 64).
        seed: Seed of graphs and initial weights (0 to 4294967295).
    """
    rng, (edges, clubs) = np.random.default_rng(seed), data.karate_club()
    club = adjacency(edges, 34)
    figure, (left, right) = plots.subplots(1, 2, figsize=(10, 4.8), width_ratios=(3, 2))
    _filters(report, rng)
    _ring_and_club(report, club)
    _two_labels(report, club, clubs, rng.integers(2**31, size=networks), steps, left)
    _depth(report, club, clubs, rng.integers(2**31, size=-(-networks // 3)), steps, deepest, right)
    report.figure("A club splits", figure,
                  alt="Left: the club as a graph. The colour of a member is what the networks say, the rim the truth; "
                  "they differ for member 8 alone. Right: networks of 32 layers guess.")  # fmt: skip


def _filters(report, rng):
    found = []
    for _ in range(20):
        upper = np.triu(rng.random((15, 15)) < 0.15, 1)
        graph, x, c = (upper | upper.T).astype(float), rng.normal(size=(15, 2)), rng.normal(size=5)
        power, result = np.polynomial.Polynomial(c), polynomial_filter(x, graph, c)
        values, step = np.linalg.eigvalsh(laplacian(graph)), np.eye(15) + graph
        chebyshev = np.polynomial.chebyshev.poly2cheb(power(np.polynomial.Polynomial([1, 1])).coef)  # in λ - 1
        found.append([np.abs(spectral_filter(x, graph, power) - result).max(),
                      np.abs(chebyshev_filter(x, graph, chebyshev) - result).max(),
                      np.any((polynomial_filter(np.eye(15), graph, c) != 0) != (np.linalg.matrix_power(step, 4) > 0)),
                      np.sum(values < 1e-9) - len(np.unique(np.linalg.matrix_power(step, 15) > 0, axis=0)),
                      np.abs(values - 1).max(), *np.linalg.eigvalsh(normalized_adjacency(graph))[[0, -1]]])  # fmt: skip
    by_vectors, by_chebyshev, reach, parts, far, lowest, highest = np.transpose(found)
    report.at_most("20 graphs: powers of the Laplacian and eigenvectors differ by", by_vectors, 1e-9)
    report.at_most("20 graphs: powers and Chebyshev's polynomials differ by", by_chebyshev, 1e-9)
    report.check("20 graphs: degree 4 reaches four edges far, but for", reach, np.zeros(20))
    report.check("20 graphs: eigenvalue 0 once for each component, but for", parts, np.zeros(20))
    report.at_most("20 graphs: eigenvalues of the Laplacian, distance from 1", far, 1 + 1e-9)
    report.at_least("20 graphs: eigenvalues of a layer's matrix, distance from -1", lowest + 1, 1e-9)
    report.at_most("20 graphs: eigenvalues of a layer's matrix, the highest", highest, 1 + 1e-9)


def _ring_and_club(report, club):
    turns, node = np.pi / 6 * np.arange(12), np.arange(12)[:, None]
    ring = adjacency(np.concatenate([node, (node + 1) % 12], axis=1), 12)
    apart = np.abs(laplacian(ring) @ (waves := np.exp(1j * node * turns)) - waves * (1 - np.cos(turns)))
    report.at_most("ring: waves are eigenvectors, with 1 - cos(2πk/n), but for", apart, 1e-9)
    degree, triangles = club.sum(axis=1), np.trace(club @ club @ club) / 6
    report.check("club: triangles, friends of the leaders", [triangles, *degree[[*LEADERS]]], [45.0, 16.0, 17.0])
    first, scaled = chebyshev_filter(np.eye(34), club, [1, -1]), club / np.outer(degree, degree) ** 0.5
    report.check("club: T₀ - T₁ is I + D^(-½) A D^(-½)", first, np.eye(34) + scaled)
    values, vectors = np.linalg.eigh(p := normalized_adjacency(club))
    layers = np.array([1, 2, 8, 32, 128])
    left = [np.linalg.norm(np.linalg.matrix_power(p, n) - np.outer(*vectors[:, [-1, -1]].T), 2) for n in layers]
    report.check("layers without weights: distance from rank 1", left, values[-2] ** layers)
    report.at_most("128 layers without weights: distance from rank 1", left[-1], 1e-6)


def _trained(graph, clubs, seeds, steps, layers=2):
    """Classes (networks, members) by networks that were told the two leaders' clubs only."""
    model, classes, known = build_gcn(graph, layers=layers), [], np.isin(np.arange(34), LEADERS).astype(np.float32)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    restart, x = training.restarter(model), np.eye(34, dtype=np.float32)
    for draws in map(layer_seeds, seeds):  # as `build_gcn` draws them
        restart([keras.initializers.GlorotUniform(next(draws))(kernel.shape) for kernel in model.weights])
        # A batch is the whole graph: all steps are the batches of one epoch, in one compiled loop.
        training.fit(model, np.tile(x, (steps, 1)), np.tile(clubs, steps), batch_size=34, shuffle=False, form="loop",
                     sample_weight=np.tile(known, steps))  # fmt: skip
        classes.append(model(x).numpy().argmax(axis=1))
    return np.array(classes)


def _two_labels(report, club, clubs, seeds, steps, ax):
    """Networks with the friendships and without them; then the rivals, who need no training."""
    second, told = np.linalg.eigh(laplacian(club))[1][:, 1], np.where(np.isin(np.arange(34), LEADERS), clubs, -1)
    predicted = _trained(club, clubs, seeds, steps)
    guesses = {"graph convolutions": predicted, "without friendships": _trained(0 * club, clubs, seeds, steps),
               "sign of the second eigenvector": [second * second[33] > 0],
               "label propagation, α = 0.9": [label_propagation(club, told, 0.9).argmax(axis=1)]}  # fmt: skip
    right = [np.sum((guess == clubs)[:, told < 0], axis=1) for guess in guesses.values()]
    rows = [[name, n.mean(), n.min(), n.max()] for name, n in zip(guesses, right, strict=True)]
    report.table("told two labels: right of the other 32", ["method", "mean", "worst", "best"], rows)
    report.check("the rivals: right of 32", [*right[2], *right[3]], [30, 31])
    report.at_least("the worst network: right of 32", right[0].min(), 30, trained=True)
    report.at_most("the best network: right beyond label propagation", right[0].max() - right[3][0], 0, trained=True)
    report.at_most("networks without friendships: share right", right[1].mean() / 32, 0.7, trained=True)
    report.check("whom most networks miss", np.flatnonzero(np.mean(predicted != clubs, 0) > 0.5), [8], trained=True)
    report.note("Member 8 was three weeks from his black belt. Zachary's own model, too, sends him to the officer.")
    plots.graph(club, plots.graph_places(club), ax, predicted.mean(axis=0), labels=range(34), linewidths=3,
                edgecolors=np.where(clubs, "C1", "C0"), title="Told 0 and 33: who goes with whom?")  # fmt: skip


def _depth(report, club, clubs, seeds, steps, deepest, ax):
    depths = [2**k for k in range(7) if 2**k <= deepest]
    right = [np.mean(_trained(club, clubs, seeds, steps, n) == clubs, axis=1) for n in report.track(depths, "depth")]
    rows = [[n, each.mean(), each.min(), each.max()] for n, each in zip(depths, right, strict=True)]
    report.table("depth and share right", ["layers", "mean", "worst", "best"], rows)
    plots.curves(depths, {"": np.transpose(right)}, xlabel="layers", ylabel="share of members right", marker="o", ax=ax)

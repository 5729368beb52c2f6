"""In a graph network every node adds up what its neighbours say, and the order of the nodes does not matter.

A layer does two things: a node collects the states of its neighbours into a message, and makes a new state of its old
one and the message. A readout collects the nodes of a whole graph. What the reader should see: renaming the nodes
renames the outputs and nothing else; news travels one edge a layer; an image is a graph too, but one that no longer
knows left from right. Sum, mean and maximum see different things, and none of them sees a triangle.

Notes: chapter 13, "Graph networks" (图网络).
Source: Gilmer et al. 2017, arXiv:1704.01212, equations 1 to 3; Xu et al. 2019, arXiv:1810.00826, lemma 2 and theorem 3.
"""

import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import floating, shape, whole

SMOKE = {"graphs": 10, "nodes": 6}
SECONDS = 1

KINDS = ("sum", "mean", "max")


def adjacency(edges, nodes):
    """The matrix of an undirected graph: 1 where two nodes share an edge, else 0.

    Args:
        edges: Pairs of nodes (edges, 2), whole numbers from 0; an edge that stands there twice counts once.
        nodes: Number of nodes.

    Returns: Array (nodes, nodes), float32, symmetric, with zeros on its diagonal.
    Raises: ValueError: If a node is out of range, or an edge leads from a node to itself.
    """
    edges, nodes = shape("edges", np.asarray(edges), None, 2), whole("nodes", nodes)
    inside = edges.dtype.kind in "iu" and np.all((edges >= 0) & (edges < nodes))
    if not inside or np.any(edges[:, 0] == edges[:, 1]):
        raise ValueError(f"edges: expected pairs of two different nodes from 0 to {nodes - 1}, got {edges.tolist()}")
    matrix = np.zeros((nodes, nodes), np.float32)
    matrix[edges[:, 0], edges[:, 1]] = matrix[edges[:, 1], edges[:, 0]] = 1
    return matrix


def neighbors(adjacency):
    """Who hears whom: Booleans (nodes, nodes), True in row i and column j where node j is a neighbour of node i.

    Raises: ValueError: If the adjacency is not a square matrix of 0 and 1.
    """
    matrix = np.asarray(adjacency)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isin(matrix, (0, 1)).all():
        raise ValueError(f"adjacency: expected a square matrix of 0 and 1, got {matrix.tolist()}")
    return matrix == 1


def aggregate(adjacency, h, kind="sum"):
    """The message of every node: the sum, mean or largest of its neighbours' states, feature by feature.

    Args:
        adjacency: Matrix (nodes, nodes) of 0 and 1; row i marks the neighbours of node i.
        h: States (nodes, features).
        kind: "sum", "mean" or "max".

    Returns: Tensor (nodes, features). A node without neighbours gets 0.
    Raises: ValueError: If a shape does not fit, or the kind is another.
    Source: Gilmer et al. 2017, equation 1, with a neighbour's state as its message.
    """
    seen = neighbors(adjacency)
    return _collected(seen, shape("h", floating("h", h), len(seen), None), kind)


def _collected(seen, h, kind):
    """Sum, mean or largest of the rows of h (nodes, features) that each row of seen (rows, nodes) marks."""
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    if kind == "max":
        heard = tf.where(seen[:, :, None], h[None], h.dtype.min)  # (rows, nodes, features)
        return tf.where(seen.any(axis=1)[:, None], tf.reduce_max(heard, axis=1), 0)
    total = tf.cast(seen, h.dtype) @ h  # (rows, features)
    return total if kind == "sum" else total / tf.cast(np.maximum(seen.sum(axis=1), 1)[:, None], h.dtype)


def message_layer(adjacency, h, w_self, w_neighbors, b, kind="sum", activation=tf.tanh):
    """One round: a node's new state from its own state and the message, activation(W [h; m] + b).

    Args:
        adjacency: Matrix (nodes, nodes) of 0 and 1.
        h: States (nodes, features).
        w_self: The part of W that meets the own state (features, units).
        w_neighbors: The part of W that meets the message (features, units).
        b: Bias (units,).
        kind: How messages are collected: "sum", "mean" or "max".
        activation: Function of a tensor.

    Returns: New states (nodes, units).
    Raises: ValueError: If a shape does not fit, or the kind is another.
    Source: Gilmer et al. 2017, equation 2.
    """
    message = aggregate(adjacency, h, kind)  # (nodes, features)
    h, w_self, w_neighbors, b = (tf.cast(value, message.dtype) for value in (h, w_self, w_neighbors, b))
    shape("w_self", w_self, h.shape[1], None)
    shape("w_neighbors", w_neighbors, h.shape[1], w_self.shape[1])
    shape("b", b, w_self.shape[1])
    return activation(h @ w_self + message @ w_neighbors + b)


def readout(h, graph_ids=None, kind="sum"):
    """One row for each graph: the sum, mean or largest of its nodes' states.

    Args:
        h: States (nodes, features).
        graph_ids: The graph of every node (nodes,), whole numbers from 0, or None for one graph.
        kind: "sum", "mean" or "max".

    Returns: Tensor (graphs, features), as many graphs as the largest id says. A graph without nodes gets 0.
    Raises: ValueError: If the ids do not fit, or the kind is another.
    Source: Gilmer et al. 2017, equation 3.
    """
    h = shape("h", floating("h", h), None, None)
    ids = np.zeros(len(h), int) if graph_ids is None else shape("graph_ids", np.asarray(graph_ids), len(h))
    if ids.dtype.kind not in "iu" or ids.min() < 0:
        raise ValueError(f"graph_ids: expected whole numbers from 0, got {ids.tolist()}")
    return _collected(np.arange(ids.max() + 1)[:, None] == ids, h, kind)


def grid_graph(height, width):
    """The graph of an image, row by row: each pixel is a node, joined to the pixels beside, above and below it.

    Returns: Array (height · width, height · width), float32.
    """
    down, across = (np.eye(whole(name, size), k=1) for name, size in (("height", height), ("width", width)))
    edges = np.kron(np.eye(height), across) + np.kron(down, np.eye(width))
    return (edges + edges.T).astype(np.float32)


def weisfeiler_lehman(adjacency, rounds):
    """Colours of nodes that begin alike: two nodes of one colour are alike to every network of that many layers.

    Args:
        adjacency: Matrix (nodes, nodes) of 0 and 1. Graphs to compare are blocks on its diagonal.
        rounds: How often a colour is replaced by itself together with its neighbours' colours, 0 or more.

    Returns: Array (nodes,), int64: colours numbered from 0; renaming the nodes does not change them.
    Source: Xu et al. 2019, lemma 2 (after Weisfeiler and Lehman 1968).
    """
    seen = neighbors(adjacency)
    colours = np.zeros(len(seen), np.int64)
    for _ in range(whole("rounds", rounds, 0)):
        views = [(own, *sorted(colours[row])) for own, row in zip(colours, seen, strict=True)]
        names = sorted(set(views))
        colours = np.array([names.index(view) for view in views])
    return colours


def example():
    """Node 0 hears nodes 1 and 2; the same messages by TensorFlow, which takes a list of who speaks to whom."""
    edges, h = np.array([[0, 1], [0, 2]]), tf.constant([[5.0], [1.0], [3.0]])
    graph, (speaker, hearer) = adjacency(edges, nodes=3), np.concatenate([edges, edges[:, ::-1]]).T
    for kind in ("sum", "mean", "max"):
        theirs = getattr(tf.math, f"unsorted_segment_{kind}")(tf.gather(h, speaker), hearer, num_segments=3)
        print(f"{kind}: ours {aggregate(graph, h, kind)[:, 0].numpy()}, TensorFlow {theirs[:, 0].numpy()}")
    new = message_layer(graph, h, w_self=[[0.1]], w_neighbors=[[0.1]], b=[0.0])
    print("new states:", new[:, 0].numpy().round(3), "and their sum:", readout(new)[0, 0].numpy().round(3))


def lesson(report, *, graphs: int = 40, nodes: int = 12, seed: int = 0):
    """Rename nodes, watch news travel, take an image for a graph, and count what the networks cannot.

    Args:
        report: The report to write to.
        graphs: Random graphs on which the statements are checked (10 to 1000).
        nodes: Nodes of a random graph (6 to 100).
        seed: Seed of graphs, states and weights (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    figure, (left, right) = plots.subplots(1, 2, figsize=(9, 4.2), width_ratios=(5, 4))
    _order_does_not_matter(report, rng, graphs, nodes)
    _news_travels(report, rng, left)
    _an_image_is_a_graph(report, rng)
    _what_a_message_tells(report)
    _edges_are_counted(report, rng, graphs, nodes)
    _triangles_are_not(report, rng, right)
    report.figure("One edge a layer, and what stays hidden", figure,
                  alt="Left: a grid of nodes with a wall in it, numbered by the layer that brings them news from a "
                  "corner, round the wall. Right: two triangles and a hexagon, all degrees 2.")  # fmt: skip


def _random_graph(rng, nodes):
    upper = np.triu(rng.random((nodes, nodes)) < 0.3, 1)
    return (upper | upper.T).astype(np.float32)


def _blocks(one, two):
    return np.block([[one, np.zeros((len(one), len(two)))], [np.zeros((len(two), len(one))), two]])


def _weights(rng, features, units):
    return *rng.normal(0, features**-0.5, (2, features, units)), rng.normal(0, 0.3, units)


def _order_does_not_matter(report, rng, graphs, nodes):
    found = []
    for number in range(graphs):
        graph, other, kind = _random_graph(rng, nodes), _random_graph(rng, nodes), KINDS[number % 3]
        h, weights, order = rng.normal(size=(nodes, 3)), _weights(rng, 3, 4), rng.permutation(nodes)
        out = message_layer(graph, h, *weights, kind)
        renamed = message_layer(graph[order][:, order], h[order], *weights, kind)
        joined = tf.concat([h, aggregate(graph, h, kind)], axis=1) @ np.concatenate(weights[:2]) + weights[2]
        both = message_layer(_blocks(graph, other), np.concatenate([h, h]), *weights, kind)
        alone = tf.concat([out, message_layer(other, h, *weights, kind)], axis=0)
        pairs = [(renamed, tf.gather(out, order)), (readout(renamed, kind=kind), readout(out, kind=kind)),
                 (tf.tanh(joined), out), (both, alone)]  # fmt: skip
        found.append([np.abs(one - two).max() for one, two in pairs])
    layer, of_graph, joined, blocks = np.max(found, axis=0)
    report.at_most("nodes renamed: the outputs are renamed, and differ by", layer, 1e-5)
    report.at_most("nodes renamed: sum, mean and maximum of the graph differ by", of_graph, 1e-5)
    report.at_most("tanh W[h; m] and W in two parts differ by", joined, 1e-5)
    report.at_most("two graphs as blocks of one matrix and one at a time differ by", blocks, 1e-5)


def _news_travels(report, rng, ax):
    """Change one node of a grid with a wall in it, and see who has noticed after each layer."""
    keep = np.array([node for node in range(49) if node % 7 != 3 or node > 34])
    graph, h, ball = grid_graph(7, 7)[np.ix_(keep, keep)], rng.normal(size=(len(keep), 4)), np.arange(len(keep)) == 0
    states, literally, arrival, right = [h, h + ball[:, None]], [h, h + ball[:, None]], np.where(ball, 0, 99), 0
    for layer in range(1, 17):
        weights = _weights(rng, 4, 4)
        states = [message_layer(graph, state, *weights) for state in states]
        [aggregate(graph, state) for state in literally]  # collected again and again, and never made a state
        noticed, ball = np.any(states[0] != states[1], axis=1), ball | (graph @ ball > 0)
        arrival, right = np.minimum(arrival, np.where(noticed, layer, 99)), right + np.array_equal(noticed, ball)
    report.check("16 layers: those in which exactly the nodes that many edges away have noticed", right, 16)
    report.check("read literally: nodes that have noticed, the changed one included",
                 np.any(literally[0] != literally[1], axis=1).sum(), 1)  # fmt: skip
    report.correction("rounds of a graph network", "repeat steps 1 and 2", "repeat steps 2 and 3, collect and renew",
                      "a literal run: no state ever changes, so that nobody hears of a change")  # fmt: skip
    places = np.stack([keep % 7, -(keep // 7)], axis=1)
    plots.graph(graph, places, ax, arrival, labels=arrival, title="The layer that brings the news")


def _an_image_is_a_graph(report, rng):
    image, weights, graph = rng.normal(size=(6, 8, 3)), _weights(rng, 3, 2), grid_graph(6, 8)
    cross = np.tile(np.array([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])[:, :, None, None], (1, 1, 3, 1))
    report.check("grid: the sum over neighbours is a depthwise convolution with a cross",
                 np.reshape(aggregate(graph, image.reshape(48, 3)), (6, 8, 3)),
                 tf.nn.depthwise_conv2d(image[None], cross, (1, 1, 1, 1), "SAME")[0])  # fmt: skip
    pair = [np.reshape(message_layer(graph, x.reshape(48, 3), *weights), (6, 8, 2)) for x in (image, image[:, ::-1])]
    report.check("grid: a mirrored image gives the mirrored output", pair[1], pair[0][:, ::-1])
    kernel = rng.normal(size=(3, 3, 3, 2))
    pair = [tf.nn.conv2d(x[None], kernel, 1, "SAME")[0] for x in (image, image[:, ::-1])]
    report.at_least("a convolution of the mirrored image: differs by", np.abs(pair[1] - pair[0][:, ::-1]).max(), 0.1)
    report.correction("images as graphs", "an image is a graph of pixels with four neighbours each",
                      "it can be taken for one, but left and right are lost: the sum is a convolution with a cross",
                      "equal to a depthwise convolution; a mirrored image gives the mirrored output")  # fmt: skip


def _what_a_message_tells(report):
    rows = []
    for states in ([[1], [1, 1]], [[1, 2], [1, 2, 2]], [[1, 3], [2, 2]]):
        h, ids = np.concatenate(states)[:, None], np.repeat([0, 1], [len(each) for each in states])
        seen = ["told apart" if np.ptp(readout(h, ids, kind)) > 0 else "alike" for kind in KINDS]
        rows.append([" against ".join(map(str, states)), *seen])
    report.table("which messages tell two neighbourhoods apart", ["states of the neighbours", *KINDS], rows)
    report.check("one neighbour doubled, of one, of two: sum, mean, maximum", [row[1:] for row in rows[:2]],
                 [["told apart", "alike", "alike"], ["told apart", "told apart", "alike"]])  # fmt: skip
    report.correction("sum, mean, maximum", "the aggregates are alike, as none depends on the order",
                      "they tell different neighbourhoods apart; none of them counts triangles",
                      "neighbours 1 and 1, 1; 1, 2 and 1, 2, 2; two triangles and a hexagon")  # fmt: skip


def _edges_are_counted(report, rng, graphs, nodes):
    """Fit the two weights that answer "how many edges?" from states of 1, and ask about graphs twice as large."""
    known = [_random_graph(rng, rng.integers(nodes // 2, nodes + 1)) for _ in range(graphs)]
    new, rows = [_random_graph(rng, 2 * nodes) for _ in range(graphs)], []
    for kind, of_graph in [(kind, of_graph) for kind in KINDS for of_graph in KINDS]:
        x, more = ([readout(tf.concat([ones, aggregate(graph, ones, kind)], axis=1), kind=of_graph)[0]
                    for graph in group for ones in [np.ones((len(graph), 1))]] for group in (known, new))  # fmt: skip
        w = np.linalg.lstsq(np.array(x), [graph.sum() / 2 for graph in known], rcond=None)[0]
        wrong = np.abs(np.array(more) @ w - [graph.sum() / 2 for graph in new])
        rows.append([kind, of_graph, *(w.round(6) + 0).tolist(), round(wrong.mean(), 6)])
    report.table("how many edges? fitted to small graphs, asked about graphs twice as large", ["messages", "readout",
                 "weight of the own state", "of the message", "mean error, edges"], rows)  # fmt: skip
    report.check("edges, by sums: weights and error", rows[0][2:], [0.0, 0.5, 0.0])
    report.at_least("edges, by any other pair: the smallest mean error", min(row[4] for row in rows[1:]), 1.0)


def _triangles_are_not(report, rng, ax):
    two = adjacency([[0, 1], [1, 2], [2, 0], [3, 4], [4, 5], [5, 3]], 6)
    hexagon = adjacency([[node, (node + 1) % 6] for node in range(6)], 6)
    graph, apart = _blocks(two, hexagon), []
    for kind in 10 * KINDS:
        h = np.ones((12, 1))
        for features in (1, 4, 4):
            h = message_layer(graph, h, *_weights(rng, features, 4), kind)
        apart += [np.ptp(readout(h, np.arange(12) // 6, each), axis=0).max() for each in KINDS]
    report.check("triangles in either graph", [np.trace(each @ each @ each) / 6 for each in (two, hexagon)], [2, 0])
    report.at_most("two triangles and a hexagon, 30 random networks: readouts differ by", apart, 1e-6)
    report.check("two triangles and a hexagon: colours", weisfeiler_lehman(graph, 6), np.zeros(12, int))
    turn = np.pi / 3 * np.arange(6)
    corner, aside = np.stack([np.sin(turn), np.cos(turn)], axis=1), np.array([1.2, 0])
    places = np.concatenate([corner[::2] - aside, corner[::2] + aside, corner - (0, 2.2)])
    plots.graph(graph, places, ax, np.full(12, "C0"), labels=[2] * 12, title="Alike to every network")

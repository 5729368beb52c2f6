"""Graph networks: TensorFlow's segment sums, loops over nodes, and what no order of the nodes changes."""

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter13.graph_network import (
    adjacency,
    aggregate,
    grid_graph,
    message_layer,
    neighbors,
    readout,
    weisfeiler_lehman,
)

KINDS = ("sum", "mean", "max")
PATH = adjacency([[0, 1], [1, 2], [2, 3]], 4)


def random_graph(rng, nodes, share=0.4):
    upper = np.triu(rng.random((nodes, nodes)) < share, 1)
    return (upper | upper.T).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_messages_and_their_gradients_are_those_of_segment_operations(kind, seed):
    rng = np.random.default_rng(seed)
    nodes, features = rng.integers(2, 9, 2)
    graph = (rng.random((nodes, nodes)) < 0.4).astype(np.float32)  # directed, some nodes may hear nobody or themselves
    hearer, speaker = np.nonzero(graph)
    h, upstream = tf.constant(rng.normal(size=(nodes, features))), rng.normal(size=(nodes, features))
    results = []
    for ours in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(h)
            if ours:
                message = aggregate(graph, h, kind)
            else:
                message = getattr(tf.math, f"unsorted_segment_{kind}")(tf.gather(h, speaker), hearer, nodes)
                message = tf.where(graph.any(axis=1)[:, None], message, 0)  # the maximum of nothing
            loss = tf.reduce_sum(message * upstream)
        results.append((message, tf.convert_to_tensor(tape.gradient(loss, h))))
    np.testing.assert_allclose(*[message for message, _ in results], atol=1e-12)
    np.testing.assert_allclose(*[gradient for _, gradient in results], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lonely_node_gets_zero_and_no_gradient_is_nan(kind):
    h = tf.constant([[-1.0], [-2.0], [-3.0]])
    with tf.GradientTape() as tape:
        tape.watch(h)
        message = aggregate(adjacency([[0, 1]], 3), h, kind)
    np.testing.assert_array_equal(message, [[-2.0], [-1.0], [0.0]])
    np.testing.assert_array_equal(tape.gradient(message, h), [[1.0], [1.0], [0.0]])
    np.testing.assert_array_equal(aggregate(np.zeros((3, 3)), h, kind), np.zeros((3, 1)))


def test_the_kinds_by_hand():
    star, h = adjacency([[0, 1], [0, 2], [0, 3]], 4), np.array([[9], [1], [2], [6]])
    for kind, want in (("sum", 9.0), ("mean", 3.0), ("max", 6.0)):
        got = aggregate(star, h, kind)
        assert got.dtype == tf.float32
        assert got[:, 0].numpy().tolist() == [want, 9.0, 9.0, 9.0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_is_tanh_of_one_matrix_and_the_state_beside_the_message(kind):
    rng = np.random.default_rng(1)
    graph, h = random_graph(rng, 7), rng.normal(size=(7, 3))
    w, b = rng.normal(size=(6, 4)), rng.normal(size=4)
    got = message_layer(graph, h, w[:3], w[3:], b, kind)
    want = [np.tanh(np.concatenate([h[node], aggregate(graph, h, kind)[node]]) @ w + b) for node in range(7)]
    np.testing.assert_allclose(got, want, atol=1e-12)
    linear = message_layer(graph, h, w[:3], w[3:], b, kind, activation=tf.identity)
    np.testing.assert_allclose(np.tanh(linear), want, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_renaming_the_nodes_renames_the_outputs(kind, seed):
    rng = np.random.default_rng(seed)
    graph, h, order = random_graph(rng, 8), rng.normal(size=(8, 2)), rng.permutation(8)
    w_self, w_neighbors, b = rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), rng.normal(size=3)
    out = message_layer(graph, h, w_self, w_neighbors, b, kind)
    renamed = message_layer(graph[order][:, order], h[order], w_self, w_neighbors, b, kind)
    np.testing.assert_allclose(renamed, out.numpy()[order], atol=1e-12)
    np.testing.assert_allclose(readout(renamed, kind=kind), readout(out, kind=kind), atol=1e-12)
    np.testing.assert_array_equal(weisfeiler_lehman(graph[order][:, order], 5), weisfeiler_lehman(graph, 5)[order])


@pytest.mark.parametrize(("kind", "want"), [("sum", [4, 0, 9]), ("mean", [2, 0, 3]), ("max", [3, 0, 5])])
def test_readout_of_several_graphs(kind, want):
    got = readout(np.array([[1.0], [3.0], [1.0], [3.0], [5.0]]), [0, 0, 2, 2, 2], kind)
    np.testing.assert_array_equal(got, np.array(want, float)[:, None])
    assert readout(np.array([[1.0], [3.0]]), kind="sum").numpy().tolist() == [[4.0]]


def test_graphs_by_hand():
    np.testing.assert_array_equal(PATH, [[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]])
    assert PATH.dtype == np.float32
    np.testing.assert_array_equal(adjacency([[0, 1], [1, 0], [0, 1]], 2), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(adjacency(np.zeros((0, 2), int), 2), np.zeros((2, 2)))
    assert neighbors(PATH).dtype == bool
    ring = [[0, 1], [1, 3], [3, 2], [2, 0]]
    np.testing.assert_array_equal(grid_graph(2, 2), adjacency(ring, 4))
    np.testing.assert_array_equal(grid_graph(1, 4), PATH)
    np.testing.assert_array_equal(grid_graph(4, 1), PATH)


@pytest.mark.parametrize(("height", "width"), [(3, 5), (6, 2), (1, 1)])
def test_a_pixel_has_its_four_neighbours(height, width):
    graph, pixels = grid_graph(height, width), np.argwhere(np.ones((height, width)))
    distance = np.abs(pixels[:, None] - pixels[None]).sum(axis=2)
    np.testing.assert_array_equal(graph, distance == 1)


def test_colours_begin_alike_and_are_refined():
    path = adjacency([[0, 1], [1, 2], [2, 3], [3, 4]], 5)
    assert weisfeiler_lehman(path, 0).tolist() == [0] * 5
    assert weisfeiler_lehman(path, 1).tolist() == [0, 1, 1, 1, 0]
    assert weisfeiler_lehman(path, 2).tolist() == [0, 1, 2, 1, 0]
    assert weisfeiler_lehman(path, 9).tolist() == [0, 1, 2, 1, 0]
    star_beside_path = np.zeros((8, 8))
    star_beside_path[:4, :4], star_beside_path[4:, 4:] = adjacency([[0, 1], [0, 2], [0, 3]], 4), PATH
    colours = weisfeiler_lehman(star_beside_path, 2)
    assert sorted(colours[:4]) != sorted(colours[4:])


def test_nodes_of_one_colour_have_one_state():
    # A triangle, a node hanging on each of two corners, and a node alone.
    graph = adjacency([[0, 1], [1, 2], [2, 0], [0, 3], [1, 4]], 6)
    rng, h = np.random.default_rng(3), np.ones((6, 2))
    for _ in range(3):
        h = message_layer(graph, h, *rng.normal(size=(2, 2, 2)), rng.normal(size=2))
    same = np.abs(h[:, None] - h[None]).max(axis=2) < 1e-9
    colours = weisfeiler_lehman(graph, 3)
    np.testing.assert_array_equal(same, colours[:, None] == colours)
    assert len(set(colours)) == 4


W = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: adjacency([[0, 3]], 3), "edges: expected pairs of two different nodes from 0 to 2"),
        (lambda: adjacency([[-1, 1]], 3), "edges: expected pairs"),
        (lambda: adjacency([[1, 1]], 3), "edges: expected pairs"),
        (lambda: adjacency([[0.0, 1.0]], 3), "edges: expected pairs"),
        (lambda: adjacency([0, 1], 3), "edges: expected the shape"),
        (lambda: adjacency([[0, 1]], 0), "nodes: expected a whole number"),
        (lambda: neighbors(np.zeros((2, 3))), "adjacency: expected a square matrix of 0 and 1"),
        (lambda: neighbors([[0.0, 0.5], [0.5, 0.0]]), "adjacency: expected a square matrix"),
        (lambda: neighbors([0, 1]), "adjacency: expected a square matrix"),
        (lambda: aggregate(PATH, np.ones((3, 1))), "h: expected the shape"),
        (lambda: aggregate(PATH, np.ones(4)), "h: expected the shape"),
        (lambda: aggregate(PATH, np.ones((4, 1)), "average"), "kind: expected one of sum, mean, max, got 'average'"),
        (lambda: message_layer(PATH, np.ones((4, 2)), W[:1], W, W[0]), "w_self: expected the shape"),
        (lambda: message_layer(PATH, np.ones((4, 2)), W, W[:, :1], W[0]), "w_neighbors: expected the shape"),
        (lambda: message_layer(PATH, np.ones((4, 2)), W, W, [1.0]), "b: expected the shape"),
        (lambda: readout(np.ones((3, 1)), [0, 0]), "graph_ids: expected the shape"),
        (lambda: readout(np.ones((3, 1)), [0, -1, 0]), "graph_ids: expected whole numbers"),
        (lambda: readout(np.ones((3, 1)), [0.0, 1.0, 0.0]), "graph_ids: expected whole numbers"),
        (lambda: readout(np.ones((3, 1)), kind="min"), "kind: expected one of"),
        (lambda: readout(np.ones(3)), "h: expected the shape"),
        (lambda: grid_graph(0, 3), "height: expected a whole number"),
        (lambda: grid_graph(3, 1.5), "width: expected a whole number"),
        (lambda: weisfeiler_lehman(PATH, -1), "rounds: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Graph attention: the paper's sums node by node, Keras's masked softmax, heads, and one ranking for all."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter13.graph_attention import GraphAttention, build_gat, graph_attention
from kerasnotes.chapter13.graph_network import adjacency, aggregate

PATH = adjacency([[0, 1], [1, 2]], 3)


def random_graph(rng, nodes, share=0.3):
    upper = np.triu(rng.random((nodes, nodes)) < share, 1)
    return (upper | upper.T).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_the_sums_of_the_paper_node_by_node(seed):
    rng = np.random.default_rng(seed)
    nodes, features, units = rng.integers(2, 7, 3)
    graph, h = (rng.random((nodes, nodes)) < 0.4).astype(float), rng.normal(size=(nodes, features))  # directed
    w, a = rng.normal(size=(features, units)), rng.normal(size=2 * units)
    output, weights = graph_attention(h, graph, w, a[:units], a[units:], slope=0.3)
    for i in range(nodes):  # TensorFlow keeps the slope in single precision
        heard = [j for j in range(nodes) if graph[i, j] or i == j]
        scores = np.array([a @ np.concatenate([h[i] @ w, h[j] @ w]) for j in heard])
        shares = np.exp(np.where(scores > 0, scores, 0.3 * scores))
        shares /= shares.sum()
        np.testing.assert_allclose(weights.numpy()[i, heard], shares, atol=1e-6)
        np.testing.assert_array_equal(np.delete(weights[i], heard), 0)
        np.testing.assert_allclose(output[i], shares @ (h[heard] @ w), atol=1e-6)


def test_weights_and_gradients_are_those_of_keras_softmax():
    rng = np.random.default_rng(1)
    graph = random_graph(rng, 6)
    values = [tf.constant(rng.normal(size=size), tf.float32) for size in ((6, 3), (3, 4), (4,), (4,))]
    upstream, results = rng.normal(size=(6, 4)), []
    for ours in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(values)
            h, w, a_self, a_neighbor = values
            if ours:
                output, _ = graph_attention(h, graph, w, a_self, a_neighbor)
            else:
                states = h @ w
                scores = tf.linalg.matvec(states, a_self)[:, None] + tf.linalg.matvec(states, a_neighbor)[None]
                output = keras.layers.Softmax()(keras.ops.leaky_relu(scores, 0.2), mask=graph + np.eye(6) > 0) @ states
            loss = tf.reduce_sum(output * upstream)
        results.append((output, *tape.gradient(loss, values)))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_by_hand():
    # Node 1 hears all three: scores 2, 3, -0.6, as -3 is flattened by the slope.
    output, weights = graph_attention([[1.0], [2.0], [-4.0]], PATH, [[1.0]], [0.5], [1.0])
    shares = np.exp([2, 3, -0.6]) / np.exp([2, 3, -0.6]).sum()
    np.testing.assert_allclose(weights[1], shares, atol=1e-6)
    np.testing.assert_allclose(output[1, 0], shares @ [1, 2, -4], atol=1e-6)
    assert weights[0, 2] == 0


def test_a_lonely_node_keeps_its_own_state_and_zero_weights_give_the_mean():
    rng = np.random.default_rng(2)
    graph, h, w = adjacency([[0, 1]], 3), rng.normal(size=(3, 2)), rng.normal(size=(2, 2))
    output, weights = graph_attention(h, graph, w, [1.0, 2.0], [3.0, -1.0])
    np.testing.assert_allclose(output[2], h[2] @ w)
    assert weights[2].numpy().tolist() == [0, 0, 1]
    equal, _ = graph_attention(h, graph, w, [0.0, 0.0], [0.0, 0.0])
    np.testing.assert_allclose(equal, aggregate(graph + np.eye(3), h @ w, "mean"))


@pytest.mark.parametrize("seed", range(3))
def test_who_asks_changes_no_ranking_and_without_a_bend_no_weight(seed):
    rng = np.random.default_rng(seed)
    everybody, h, w = 1 - np.eye(7), rng.normal(size=(7, 3)), rng.normal(size=(3, 3))
    a_self, a_neighbor = rng.normal(size=(2, 3))
    _, weights = graph_attention(h, everybody, w, a_self, a_neighbor)
    assert len(np.unique(np.argsort(weights, axis=1), axis=0)) == 1
    assert np.ptp(weights, axis=0).max() > 1e-3
    _, straight = graph_attention(h, everybody, w, a_self, a_neighbor, slope=1.0)
    np.testing.assert_allclose(straight, np.tile(straight[:1], (7, 1)), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_renaming_the_nodes_renames_the_outputs(seed):
    rng = np.random.default_rng(seed)
    graph, h, order = random_graph(rng, 7), rng.normal(size=(7, 3)), rng.permutation(7)
    weights = rng.normal(size=(3, 2)), rng.normal(size=2), rng.normal(size=2)
    output, _ = graph_attention(h, graph, *weights)
    renamed, _ = graph_attention(h[order], graph[order][:, order], *weights)
    np.testing.assert_allclose(renamed, output.numpy()[order], atol=1e-12)


def test_heads_stand_side_by_side_or_give_their_mean():
    rng = np.random.default_rng(3)
    graph, h = random_graph(rng, 6), rng.normal(size=(6, 4)).astype(np.float32)
    beside = GraphAttention(3, num_heads=2, seed=5)
    output = beside(h, graph)
    kernel, a_self, a_neighbor = beside.get_weights()
    assert [each.shape for each in (kernel, a_self, a_neighbor)] == [(2, 4, 3), (2, 3), (2, 3)]
    heads = [graph_attention(h, graph, kernel[n], a_self[n], a_neighbor[n])[0] for n in range(2)]
    np.testing.assert_allclose(output, np.concatenate(heads, axis=1), atol=1e-6)
    mean = GraphAttention(3, num_heads=2, concat=False, activation="relu")
    mean.build(h.shape, graph.shape)
    mean.set_weights(beside.get_weights())
    np.testing.assert_allclose(mean(h, graph), np.maximum(np.mean(heads, axis=0), 0), atol=1e-6)
    assert not np.allclose(kernel[0], kernel[1])
    again = GraphAttention(3, num_heads=2, seed=5)
    np.testing.assert_array_equal(again(h, graph), output)


def test_the_network_is_its_two_layers():
    model = build_gat(PATH, units=4, num_heads=2, classes=3, seed=1)
    w, a, b, w2, a2, b2 = model.get_weights()
    elu = keras.ops.elu
    h = elu(tf.concat([graph_attention(np.eye(3, dtype="f"), PATH, w[n], a[n], b[n])[0] for n in range(2)], axis=1))
    want = tf.reduce_mean([graph_attention(h, PATH, w2[n], a2[n], b2[n])[0] for n in range(2)], axis=0)
    np.testing.assert_allclose(model(np.eye(3)), want, atol=1e-6)
    assert not np.array_equal(w, build_gat(PATH, 4, 2, 3, seed=2).get_weights()[0])


H, W = np.ones((3, 2)), np.ones((2, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: graph_attention(H[:2], PATH, W, np.ones(4), np.ones(4)), "h: expected the shape"),
        (lambda: graph_attention(H[:, 0], PATH, W, np.ones(4), np.ones(4)), "h: expected the shape"),
        (lambda: graph_attention(H, PATH * 2, W, np.ones(4), np.ones(4)), "adjacency: expected a square matrix"),
        (lambda: graph_attention(H, PATH, W.T, np.ones(4), np.ones(4)), "w: expected the shape"),
        (lambda: graph_attention(H, PATH, W, np.ones(1), np.ones(4)), "a_self: expected the shape"),
        (lambda: graph_attention(H, PATH, W, np.ones(4), np.ones(1)), "a_neighbor: expected the shape"),
        (lambda: GraphAttention(0, 1), "units: expected a whole number"),
        (lambda: GraphAttention(1, 0), "num_heads: expected a whole number"),
        (lambda: build_gat([[0, 1]]), "adjacency: expected a square matrix"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

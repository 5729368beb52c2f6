"""Filters on graphs: scipy's Laplacian, Fourier's waves, Keras's dense layers, and labels that spread step by step."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.sparse import csgraph

from kerasnotes.chapter13.graph_convolution import (
    GraphConvolution,
    build_gcn,
    chebyshev_filter,
    label_propagation,
    laplacian,
    normalized_adjacency,
    polynomial_filter,
    spectral_filter,
)
from kerasnotes.chapter13.graph_network import adjacency

PATH = adjacency([[0, 1], [1, 2]], 3)


def random_graph(rng, nodes, share=0.3):
    upper = np.triu(rng.random((nodes, nodes)) < share, 1)
    return (upper | upper.T).astype(np.float32)


def ring(nodes):
    return adjacency([[node, (node + 1) % nodes] for node in range(nodes)], nodes)


@pytest.mark.parametrize("seed", range(5))
def test_the_laplacian_is_scipys(seed):
    graph = random_graph(np.random.default_rng(seed), 9, 0.2)  # with nodes that have no edges
    for normalized in (True, False):
        np.testing.assert_allclose(
            laplacian(graph, normalized), csgraph.laplacian(graph.astype(float), normed=normalized), atol=1e-12
        )
    components, _ = csgraph.connected_components(graph)
    assert np.sum(np.linalg.eigvalsh(laplacian(graph)) < 1e-9) == components


def test_the_laplacian_by_hand():
    np.testing.assert_array_equal(laplacian(PATH, normalized=False), [[1, -1, 0], [-1, 2, -1], [0, -1, 1]])
    r = 0.5**0.5
    np.testing.assert_allclose(laplacian(PATH), [[1, -r, 0], [-r, 1, -r], [0, -r, 1]])
    np.testing.assert_allclose(np.linalg.eigvalsh(laplacian(PATH)), [0, 1, 2], atol=1e-12)  # 2: a graph of two colours


@pytest.mark.parametrize("nodes", [3, 6, 11])
def test_on_a_ring_a_filter_is_fouriers(nodes):
    rng = np.random.default_rng(nodes)
    x = rng.normal(size=(nodes, 2))
    at = 1 - np.cos(2 * np.pi * np.arange(nodes) / nodes)
    want = np.fft.ifft(np.exp(-at)[:, None] * np.fft.fft(x, axis=0), axis=0).real
    np.testing.assert_allclose(spectral_filter(x, ring(nodes), lambda values: np.exp(-values)), want, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_three_forms_of_one_filter(seed):
    rng = np.random.default_rng(seed)
    graph, x = random_graph(rng, 8), rng.normal(size=(8, 3))
    c = rng.normal(size=seed + 1)
    by_powers = polynomial_filter(x, graph, c)
    want = sum(each * np.linalg.matrix_power(laplacian(graph), n) @ x for n, each in enumerate(c))
    np.testing.assert_allclose(by_powers, want, atol=1e-12)
    np.testing.assert_allclose(spectral_filter(x, graph, np.polynomial.Polynomial(c)), want, atol=1e-12)
    by_chebyshev = spectral_filter(x, graph, lambda values: np.polynomial.chebyshev.chebval(values - 1, c))
    np.testing.assert_allclose(chebyshev_filter(x, graph, c), by_chebyshev, atol=1e-12)


def test_a_response_is_asked_for_no_negative_eigenvalue():
    assert np.isfinite(spectral_filter(np.eye(12), ring(12), np.sqrt)).all()
    np.testing.assert_allclose(
        spectral_filter(spectral_filter(np.eye(12), ring(12), np.sqrt), ring(12), np.sqrt),
        laplacian(ring(12)),
        atol=1e-7,
    )


def test_a_layers_matrix_by_hand():
    r = 6**-0.5
    np.testing.assert_allclose(normalized_adjacency(PATH), [[1 / 2, r, 0], [r, 1 / 3, r], [0, r, 1 / 2]])
    np.testing.assert_array_equal(normalized_adjacency(np.zeros((4, 4))), np.eye(4))
    np.testing.assert_allclose(normalized_adjacency(ring(5)).sum(axis=1), np.ones(5))


@pytest.mark.parametrize("seed", range(3))
def test_a_layer_is_a_dense_layer_on_mixed_nodes(seed):
    rng = np.random.default_rng(seed)
    p, h = normalized_adjacency(random_graph(rng, 7)), tf.constant(rng.normal(size=(7, 4)), tf.float32)
    layer, dense = (
        GraphConvolution(3, "relu", seed=seed),
        keras.layers.Dense(3, "relu", use_bias=False),
    )
    layer(h, p)
    dense.build((None, 4))
    dense.set_weights(layer.get_weights())
    upstream, results = rng.normal(size=(7, 3)), []
    for call, weights in (
        (lambda: layer(h, p), layer.trainable_weights),
        (lambda: dense(p @ h), dense.trainable_weights),
    ):
        with tf.GradientTape() as tape:
            tape.watch(h)
            output = call()
            loss = tf.reduce_sum(output * upstream)
        results.append((output, *tape.gradient(loss, [h, *weights])))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_network_is_its_layers():
    graph = ring(6)
    model = build_gcn(graph, hidden=5, classes=3, layers=3, seed=4)
    p, h = normalized_adjacency(graph), np.eye(6)
    for number, w in enumerate(weights := model.get_weights()):
        h = p @ h @ w
        h = h if number == len(weights) - 1 else np.maximum(h, 0)
    assert [w.shape for w in weights] == [(6, 5), (5, 5), (5, 3)]
    np.testing.assert_allclose(model(np.eye(6)), h, atol=1e-5)
    for same, other in zip(weights, build_gcn(graph, 5, 3, 3, seed=4).get_weights(), strict=True):
        np.testing.assert_array_equal(same, other)
    assert not np.array_equal(weights[0], build_gcn(graph, 5, 3, 3, seed=5).get_weights()[0])
    assert [w.shape for w in build_gcn(graph, layers=1).get_weights()] == [(6, 2)]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.95])
def test_labels_spread_as_step_by_step(alpha):
    rng = np.random.default_rng(2)
    graph, labels = random_graph(rng, 9, 0.5).astype(float), np.array([0, -1, 2, -1, -1, 1, -1, -1, -1])
    degree = np.maximum(graph.sum(axis=1), 1)
    known = (labels[:, None] == np.arange(3)).astype(float)
    scores = known
    for _ in range(600):
        scores = alpha * graph / np.sqrt(np.outer(degree, degree)) @ scores + (1 - alpha) * known
    np.testing.assert_allclose(label_propagation(graph, labels, alpha), scores, atol=1e-9)


def test_no_label_reaches_another_component():
    graph = adjacency([[0, 1], [2, 3]], 5)
    scores = label_propagation(graph, [1, -1, -1, -1, -1], 0.5)
    assert scores.shape == (5, 2)
    assert scores[1, 1] > 0
    np.testing.assert_array_equal(scores[2:], np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: laplacian([[0, 1], [0, 0]]), "adjacency: expected a symmetric matrix"),
        (lambda: laplacian([[0, 2], [2, 0]]), "adjacency: expected a square matrix of 0 and 1"),
        (lambda: spectral_filter(np.ones(3), PATH, np.sqrt), "x: expected the shape"),
        (lambda: spectral_filter(np.ones((2, 1)), PATH, np.sqrt), "x: expected the shape"),
        (lambda: spectral_filter(np.ones((3, 1)), PATH, lambda values: 1.0), "response: expected the shape"),
        (lambda: polynomial_filter(np.ones((1, 1)), PATH, [1.0]), "x: expected the shape"),
        (lambda: polynomial_filter(np.ones((3, 1)), PATH, [[1.0]]), "coefficients: expected the shape"),
        (lambda: chebyshev_filter(np.ones((1, 1)), PATH, [1.0]), "x: expected the shape"),
        (lambda: chebyshev_filter(np.ones((3, 1)), PATH, 1.0), "coefficients: expected the shape"),
        (lambda: normalized_adjacency(np.eye(3)), "adjacency: expected zeros on the diagonal"),
        (lambda: normalized_adjacency([[0, 1], [0, 0]]), "adjacency: expected a symmetric matrix"),
        (lambda: GraphConvolution(0), "units: expected a whole number"),
        (lambda: build_gcn(PATH, layers=0), "layers: expected a whole number"),
        (lambda: build_gcn(PATH, hidden=0), "units: expected a whole number"),
        (lambda: label_propagation(PATH, [0, -1], 0.5), "labels: expected the shape"),
        (lambda: label_propagation(PATH, [0, -2, 1], 0.5), "labels: expected classes from 0"),
        (lambda: label_propagation(PATH, [-1, -1, -1], 0.5), "labels: expected classes from 0"),
        (lambda: label_propagation(PATH, [0.0, 1.0, -1.0], 0.5), "labels: expected classes from 0"),
        (lambda: label_propagation(PATH, [0, 1, -1], 1.0), "alpha: expected a number from 0 and below 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Tests of chapter04.backpropagation: gradients, their check, training beside Keras, and bad arguments."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter04.backpropagation import (
    SigmoidNetwork,
    gradient_check,
    half_squared_error,
    keras_network,
)

shapes = st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple)
seeds = st.integers(0, 2**32 - 1)


def batch(sizes, seed, count=5):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, sizes[0])), rng.random((count, sizes[-1]))


def tape_gradients(network, x, y):
    weights, biases = ([tf.constant(array) for array in arrays] for arrays in (network.weights, network.biases))
    with tf.GradientTape() as tape:
        tape.watch([weights, biases])
        h = tf.constant(x)
        for w, b in zip(weights, biases, strict=True):
            h = tf.sigmoid(h @ w + b)
        loss = tf.reduce_sum(tf.square(h - y)) / (2 * len(x))
    return loss.numpy(), [[g.numpy() for g in group] for group in tape.gradient(loss, [weights, biases])]


@settings(max_examples=30, deadline=None)
@given(shapes, seeds, st.integers(1, 7))
def test_loss_and_gradients_equal_the_tape(sizes, seed, count):
    network = SigmoidNetwork(sizes, seed, "float64")
    rng = np.random.default_rng(seed)
    network.biases = [rng.standard_normal(b.shape) for b in network.biases]
    x, y = batch(sizes, seed, count)
    loss, expected = tape_gradients(network, x, y)
    assert network.loss(x, y) == pytest.approx(loss, rel=1e-12)
    for got, want in zip(network.gradients(x, y), expected, strict=True):
        for g, w in zip(got, want, strict=True):
            np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-13)


@settings(max_examples=15, deadline=None)
@given(shapes, seeds)
def test_gradient_check_finds_nothing_and_changes_nothing(sizes, seed):
    network = SigmoidNetwork(sizes, seed, "float64")
    before = [w.copy() for w in network.weights]
    assert gradient_check(network, *batch(sizes, seed)) < 1e-6
    assert all(np.array_equal(a, b) for a, b in zip(before, network.weights, strict=True))


def test_gradient_check_finds_a_wrong_gradient(monkeypatch):
    network, (x, y) = SigmoidNetwork((4, 3, 2), 0), batch((4, 3, 2), 0)
    assert gradient_check(network, x, y) < 1e-6  # a float32 network is checked in float64
    right = SigmoidNetwork.gradients

    def wrong(self, x, y):
        weights, biases = right(self, x, y)
        weights[0][1, 2] *= 1.01
        return weights, biases

    monkeypatch.setattr(SigmoidNetwork, "gradients", wrong)
    assert gradient_check(network, x, y) > 1e-4


def test_one_unit_by_hand():
    network = SigmoidNetwork((1, 1, 1), 0, "float64")
    network.weights, network.biases = [np.array([[2.0]]), np.array([[-1.0]])], [np.array([0.5]), np.array([1.0])]
    h = 1 / (1 + np.exp(-(2 * 3 + 0.5)))
    o = 1 / (1 + np.exp(-(-h + 1)))
    delta = (o - 0.25) * o * (1 - o)
    hidden_delta = delta * -1.0 * h * (1 - h)
    layers = network.activations([[3.0]])
    np.testing.assert_allclose(network.forward([[3.0]]), [[o]], rtol=1e-12)
    np.testing.assert_allclose(np.concatenate(network.deltas(layers, [[0.25]])), [[hidden_delta], [delta]], rtol=1e-12)
    (w1, w2), (b1, b2) = network.gradients([[3.0]], [[0.25]])
    np.testing.assert_allclose([w1[0, 0], w2[0, 0], b1[0], b2[0]], [3 * hidden_delta, h * delta, hidden_delta, delta])


def test_training_takes_the_steps_of_keras():
    sizes = (6, 5, 4, 3)
    network, (x, y) = SigmoidNetwork(sizes, 1), batch(sizes, 1, count=22)
    model = keras_network(network)
    np.testing.assert_allclose(model(x.astype("float32")), network.forward(x), rtol=1e-5)
    model.compile(keras.optimizers.SGD(2.0), loss=half_squared_error)
    losses = model.fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0).history["loss"]
    history = network.train(x, y, learning_rate=2.0, epochs=2, batch_size=5, shuffle=False)  # a last batch of 2
    np.testing.assert_allclose(history, losses, rtol=1e-4)
    parameters = [array for pair in zip(network.weights, network.biases, strict=True) for array in pair]
    for got, want in zip(parameters, model.get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
        assert got.dtype == np.float32


def test_one_example_half_precision_booleans_and_whole_numbers():
    network = SigmoidNetwork((3, 4, 2), 0)
    rows, targets = np.array([[True, False, True]]), np.array([[0, 1]])
    for x in (rows, rows.astype("int8"), rows.astype("float16"), tf.constant(rows.astype("float32"))):
        loss, expected = tape_gradients(network, rows.astype("float32"), targets.astype("float32"))
        assert network.loss(x, targets) == pytest.approx(loss, rel=1e-5)
        for got, want in zip(network.gradients(x, targets), expected, strict=True):
            for g, w in zip(got, want, strict=True):
                np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-7)
                assert g.dtype == np.float32
    before = [w.copy() for w in network.weights]
    network.train(rows, targets, 1.0, epochs=1, batch_size=5)
    assert not np.array_equal(before[0], network.weights[0])


def test_training_learns_xor_and_repeats_itself():
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0], [1], [1], [0]])
    networks = [SigmoidNetwork((2, 8, 1), 0) for _ in range(2)]
    histories = [network.train(x, y, 3.0, 1500, 2) for network in networks]
    assert histories[0] == histories[1]
    np.testing.assert_array_equal(networks[0].forward(x).round(), y)
    assert histories[0][-1] < 0.01


def test_no_overflow():
    network = SigmoidNetwork((1, 1), 0)
    network.weights = [np.array([[1.0]], "float32")]
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_array_equal(network.forward([[-1e4], [1e4]]), [[0.0], [1.0]])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda n: SigmoidNetwork((3,)), "sizes: expected at least two"),
        (lambda n: SigmoidNetwork((3, 0)), "sizes: expected a whole number of at least 1"),
        (lambda n: SigmoidNetwork((3, 2.5)), "sizes: expected a whole number"),
        (lambda n: SigmoidNetwork((3, 2), dtype="int8"), "dtype: expected 'float32'"),
        (lambda n: n.forward(np.zeros((2, 4))), r"x: expected the shape \(any, 3\)"),
        (lambda n: n.forward(np.zeros(3)), r"x: expected the shape \(any, 3\)"),
        (lambda n: n.forward(np.zeros((0, 3))), "x: expected finite numbers, at least one example"),
        (lambda n: n.forward(np.full((1, 3), np.nan)), "x: expected finite numbers"),
        (lambda n: n.loss(np.zeros((2, 3)), np.zeros((1, 2))), r"y: expected the shape \(2, 2\)"),
        (lambda n: n.gradients(np.zeros((2, 3)), np.zeros((1, 2))), r"y: expected the shape \(2, 2\)"),
        (lambda n: n.gradients(np.zeros((2, 3)), np.zeros((2, 1))), r"y: expected the shape \(2, 2\)"),
        (lambda n: n.train(np.zeros((2, 3)), np.zeros((2, 2)), 0, 1, 1), "learning_rate: expected a positive"),
        (lambda n: n.train(np.zeros((2, 3)), np.zeros((2, 2)), np.nan, 1, 1), "learning_rate: expected a positive"),
        (lambda n: n.train(np.zeros((2, 3)), np.zeros((2, 2)), 1, 0, 1), "epochs: expected a whole number"),
        (lambda n: n.train(np.zeros((2, 3)), np.zeros((2, 2)), 1, 1, 1.5), "batch_size: expected a whole number"),
        (lambda n: n.train(np.zeros((2, 3)), np.zeros((3, 2)), 1, 1, 1), r"y: expected the shape \(2, 2\)"),
        (lambda n: gradient_check(n, np.zeros((2, 3)), np.zeros((2, 2)), 0), "epsilon: expected a positive number"),
    ],
)
def test_bad_arguments(function, message):
    with pytest.raises(ValueError, match=message):
        function(SigmoidNetwork((3, 2)))

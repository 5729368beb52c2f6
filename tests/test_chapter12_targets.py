"""Targets, Huber's loss, the estimated maximum and compiled updates: by hand and against Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter12.targets import build_q_network, compile_updates, estimated_maximum, huber_loss, td_target


def test_targets_by_hand():
    got = td_target([1.0, 2.0, -1.0], [0, 1, 0], [10.0, 10.0, 4.0], 0.5)
    np.testing.assert_allclose(got, [6.0, 2.0, 1.0])
    np.testing.assert_allclose(td_target([1.0], [True], [np.inf], 0.9), [1.0])  # what cannot follow cannot disturb


def test_any_numbers_make_targets():
    """Integers, Booleans and half precision, an unknown batch, and XLA."""
    np.testing.assert_allclose(td_target([1, 2], [False, True], [10, 10], 0.5), [6.0, 2.0])
    half = td_target(tf.constant([1.0], tf.float16), [False], tf.constant([3.0], tf.float16), 0.5)
    assert half.dtype == tf.float16
    assert float(half[0]) == 2.5
    signature = [tf.TensorSpec((None,)), tf.TensorSpec((None,), tf.bool), tf.TensorSpec((None,))]
    for compiled in (False, True):
        target = tf.function(lambda r, end, v: td_target(r, end, v, 0.5), signature, jit_compile=compiled)
        np.testing.assert_allclose(target([1.0, 1.0], [True, False], [8.0, 8.0]), [1.0, 5.0])
        loss = tf.function(huber_loss, signature[::2], jit_compile=compiled)
        assert float(loss(tf.constant([0.0, 0.0]), tf.constant([0.5, 3.0]))) == pytest.approx((0.125 + 2.5) / 2)
    assert float(huber_loss([0, 0], [3, 1])) == pytest.approx((2.5 + 0.5) / 2)


def test_huber_loss_and_its_gradient_equal_keras():
    rng = np.random.default_rng(0)
    target, value = tf.constant(rng.normal(size=50) * 3), tf.Variable(rng.normal(size=50))
    results = []
    for loss_of in (huber_loss, keras.losses.Huber()):
        with tf.GradientTape() as tape:
            loss = loss_of(target, value)
        results.append((float(loss), tape.gradient(loss, value).numpy()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-5, atol=1e-7)


def test_one_estimate_chooses_and_another_values():
    first, second = [[1.0, 3.0, 2.0], [5.0, 0.0, 0.0]], [[10.0, 20.0, 30.0], [7.0, 8.0, 9.0]]
    np.testing.assert_array_equal(estimated_maximum(first, second), [20.0, 7.0])
    np.testing.assert_array_equal(estimated_maximum(first, first), [3.0, 5.0])


def table_network(values):
    """A Q-network without hidden layers whose outputs for one-hot states are the rows of `values`."""
    network = build_q_network(*values.shape, hidden=())
    network.set_weights([values, np.zeros(values.shape[1])])
    return network


@pytest.mark.parametrize("double", [False, True])
def test_one_update_by_hand(double):
    """Online and target network disagree on the best next action: 0 has 5 online, 1 has 8 in the target."""
    network = table_network(np.array([[1.0, 2.0], [5.0, 4.0]]))
    target_network = table_network(np.array([[0.0, 0.0], [3.0, 8.0]]))
    learn = compile_updates(network, target_network, keras.optimizers.SGD(1.0), 0.1, double)
    states = np.eye(2, dtype="float32")
    for terminated, following in ((False, 3.0 if double else 8.0), (True, 0.0)):
        network.set_weights([np.array([[1.0, 2.0], [5.0, 4.0]]), np.zeros(2)])
        learn(states[None, :1], np.array([[1]]), np.float32([[1.5]]), states[None, 1:], np.array([[terminated]]))
        error = 1.5 + 0.1 * following - 2.0  # inside the quadratic part, so the step is the error itself
        np.testing.assert_allclose(network.get_weights()[0], [[1.0, 2.0 + error], [5.0, 4.0]], rtol=1e-5)
        np.testing.assert_allclose(target_network.get_weights()[0], [[0.0, 0.0], [3.0, 8.0]])


def test_many_updates_in_a_call_are_as_many_calls():
    rng = np.random.default_rng(2)
    states, next_states = rng.normal(size=(2, 4, 8, 3)).astype("float32")
    actions, rewards, ended = rng.integers(2, size=(4, 8)), rng.normal(size=(4, 8)), rng.random((4, 8)) < 0.3
    batches = (states, actions, rewards.astype("float32"), next_states, ended)
    results = []
    for together, compiled in ((True, True), (False, True), (True, False)):
        network, target_network = build_q_network(3, 2, (6,), 0), build_q_network(3, 2, (6,), 1)
        learn = compile_updates(network, target_network, keras.optimizers.Adam(0.01), 0.9, compiled=compiled)
        if together:
            learn(*batches)
        else:
            for i in range(4):
                learn(*(part[i : i + 1] for part in batches))
        results.append(network.get_weights())
    for one, other, slow in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(one, slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: td_target([1.0], [0], [1.0], 1.5), "discount: expected a number"),
        (lambda: td_target([1.0], [0], [1.0], float("nan")), "discount: expected a number"),
        (lambda: td_target([1.0], [0.5], [1.0], 0.9), "terminated: expected 0 or 1"),
        (lambda: td_target([1.0], [0], [1.0, 2.0], 0.9), "three equal shapes"),
        (lambda: huber_loss([1.0], [1.0, 2.0]), "expected equal shapes"),
        (lambda: huber_loss([], []), "expected numbers"),
        (lambda: estimated_maximum([1.0], [1.0]), "chosen_by, valued_by: expected"),
        (lambda: estimated_maximum([[1.0]], [[1.0, 2.0]]), "chosen_by, valued_by: expected"),
        (lambda: build_q_network(4, 0), "expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

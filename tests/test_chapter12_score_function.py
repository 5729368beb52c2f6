"""The loss and its gradient, exact sums over all courses of a small problem, and weights of steps."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter12.score_function import (
    build_policy_network,
    log_probabilities_of,
    reinforce_loss,
    sample_actions,
    step_weights,
    two_step_trajectories,
)


def test_the_loss_by_hand():
    loss = reinforce_loss(np.log([0.5, 0.25]), [2.0, -4.0])
    assert float(loss) == pytest.approx(-(2 * np.log(0.5) - 4 * np.log(0.25)) / 2)


def test_the_gradient_is_that_of_weighted_cross_entropy():
    rng = np.random.default_rng(0)
    logits, actions = tf.Variable(rng.normal(size=(9, 3))), rng.integers(3, size=9)
    returns = rng.normal(size=9)
    with tf.GradientTape() as tape:
        loss = reinforce_loss(log_probabilities_of(logits, actions), returns)
    with tf.GradientTape() as keras_tape:
        entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        keras_loss = entropy(actions, logits, sample_weight=returns)
    assert float(loss) == pytest.approx(float(keras_loss), rel=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, logits), keras_tape.gradient(keras_loss, logits), rtol=1e-5)


def test_no_gradient_flows_through_the_returns():
    logits = tf.Variable([0.3, -0.2])
    with tf.GradientTape(persistent=True) as tape:
        log_probabilities = tf.nn.log_softmax(logits)
        depending, fixed = tf.exp(log_probabilities), np.exp(tf.nn.log_softmax([0.3, -0.2]))
        losses = reinforce_loss(log_probabilities, depending), reinforce_loss(log_probabilities, fixed)
    np.testing.assert_allclose(*(tape.gradient(loss, logits) for loss in losses), rtol=1e-6)


def test_trajectories_by_enumeration():
    rng = np.random.default_rng(1)
    logits, rewards = rng.normal(size=(2, 3, 2))
    policy = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    log_probabilities, gained = two_step_trajectories(logits, rewards)
    for row, (first, second) in enumerate(itertools.product((0, 1), (0, 1))):
        want = [policy[0, first], policy[1 + first, second]]
        np.testing.assert_allclose(np.exp(log_probabilities[row]), want)
        np.testing.assert_allclose(gained[row], [rewards[0, first], rewards[1 + first, second]])


@pytest.mark.parametrize("kind", ["whole", "to go", "constant off", "state value off"])
def test_the_mean_estimate_is_the_gradient_by_differences(kind):
    """Expected return by products of probabilities, its gradient by central differences."""
    rng = np.random.default_rng(2)
    start, rewards = rng.normal(size=(2, 3, 2))

    def expected_return(logits):
        policy = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        later = (policy[1:] * rewards[1:]).sum(axis=1)
        return policy[0] @ (rewards[0] + later)

    want = np.zeros((3, 2))
    for place in np.ndindex(3, 2):
        shift = np.zeros((3, 2))
        shift[place] = 1e-5
        want[place] = (expected_return(start + shift) - expected_return(start - shift)) / 2e-5
    logits, total = tf.Variable(start), np.zeros((3, 2))
    for course in range(4):
        gained = two_step_trajectories(start, rewards)[1].numpy()[course]
        weights = {"whole": [gained.sum()] * 2, "to go": [gained.sum(), gained[1]],
                   "constant off": [gained.sum() - 7.0] * 2,
                   "state value off": [gained.sum() + 3.0, gained[1] - (course // 2)]}[kind]  # fmt: skip
        with tf.GradientTape() as tape:
            log_probabilities = two_step_trajectories(logits, rewards)[0][course]
            loss = reinforce_loss(log_probabilities, weights)
        probability = float(tf.exp(tf.reduce_sum(log_probabilities)))
        total -= 2 * probability * tape.gradient(loss, logits).numpy()
    np.testing.assert_allclose(total, want, rtol=1e-6, atol=1e-8)


def test_actions_are_drawn_as_often_as_the_softmax_says():
    logits = np.array([[0.0, 1.0, -2.0], [5.0, 5.0, 5.0]])
    want = tf.nn.softmax(logits).numpy()
    rng, draws = np.random.default_rng(3), 40_000
    for row in range(2):
        actions = sample_actions(np.repeat(logits[row : row + 1], draws, axis=0), rng)
        share = np.bincount(actions, minlength=3) / draws
        np.testing.assert_array_less(np.abs(share - want[row]), 4 * np.sqrt(want[row] * (1 - want[row]) / draws))
    huge = np.array([[1000.0, -1000.0], [-1000.0, 1000.0]])
    np.testing.assert_array_equal(sample_actions(huge, rng), [0, 1])


def test_weights_of_steps_by_hand():
    """Three episodes: terminated after two steps, after three, and cut off after three with a value of 8 to follow."""
    rewards = np.array([[1.0, 4.0, 0.0], [2.0, 0.0, 2.0], [0.0, 4.0, 4.0]])
    lengths, tails = [2, 3, 3], [0.0, 0.0, 8.0]
    to_go = step_weights(rewards, lengths, 0.5, True, tails)
    np.testing.assert_allclose(to_go, [[2.0, 5.0, 3.0], [2.0, 2.0, 6.0], [0.0, 4.0, 8.0]])
    whole = step_weights(rewards, lengths, 0.5, False, tails)
    np.testing.assert_allclose(whole, np.repeat(to_go[:1], 3, axis=0))
    assert rewards[2, 2] == 4.0  # the caller's array stays
    np.testing.assert_allclose(step_weights(rewards[:, :2], [2, 3], 1.0)[0], [3.0, 8.0])


def test_a_tail_belongs_to_the_episodes_own_last_step():
    np.testing.assert_allclose(step_weights(np.zeros((3, 2)), [1, 3], 0.5, tails=[8.0, 8.0])[0], [4.0, 1.0])


def test_the_policy_starts_nearly_even():
    network = build_policy_network(4, 3, (16,), 0)
    probabilities = tf.nn.softmax(network(np.random.default_rng(0).normal(size=(50, 4)))).numpy()
    assert np.abs(probabilities - 1 / 3).max() < 0.05
    again = build_policy_network(4, 3, (16,), 0)
    np.testing.assert_array_equal(network.get_weights()[0], again.get_weights()[0])


def test_half_precision_an_unknown_batch_and_xla():
    half = reinforce_loss(tf.constant([-1.0, -2.0], tf.float16), [1, 2])
    assert half.dtype == tf.float16
    assert float(half) == 2.5
    signature = [tf.TensorSpec((None, 3)), tf.TensorSpec((None,), tf.int64), tf.TensorSpec((None,))]
    logits, actions = np.random.default_rng(0).normal(size=(4, 3)).astype("float32"), np.array([0, 1, 2, 2])
    want = float(reinforce_loss(log_probabilities_of(logits, actions), [1.0, 2.0, 3.0, 4.0]))
    for compiled in (False, True):
        loss = tf.function(
            lambda logits, actions, returns: reinforce_loss(log_probabilities_of(logits, actions), returns),
            signature,
            jit_compile=compiled,
        )
        assert float(loss(logits, actions, [1.0, 2.0, 3.0, 4.0])) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reinforce_loss([], []), "expected two equal shapes"),
        (lambda: reinforce_loss([-1.0], [1.0, 2.0]), "expected two equal shapes"),
        (lambda: reinforce_loss([[-1.0]], [[1.0]]), "expected two equal shapes"),
        (lambda: reinforce_loss([0.5], [1.0]), "log_probabilities: expected numbers of at most 0"),
        (lambda: reinforce_loss([np.nan], [1.0]), "log_probabilities: expected numbers of at most 0"),
        (lambda: reinforce_loss([-1.0], [np.nan]), "returns: expected numbers"),
        (lambda: sample_actions([1.0, 2.0], np.random.default_rng(0)), "logits: expected finite numbers"),
        (lambda: sample_actions([[np.nan, 2.0]], np.random.default_rng(0)), "logits: expected finite numbers"),
        (lambda: build_policy_network(0, 2), "expected a whole number"),
        (lambda: step_weights(np.zeros(3), [3], 0.9), "rewards, lengths: expected"),
        (lambda: step_weights(np.zeros((3, 1)), [4], 0.9), "lengths: expected 1 to 3"),
        (lambda: step_weights(np.zeros((3, 1)), [3], 1.1), "discount: expected a number"),
        (lambda: two_step_trajectories(np.zeros((2, 2)), np.zeros((3, 2))), r"expected shapes \(3, 2\)"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

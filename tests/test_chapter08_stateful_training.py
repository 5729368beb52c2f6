"""Stateful training: the formula, rows that go on, and a compiled loop against a plain one."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter08.stateful_training import CharacterModel, stateful_batches, training_function


@pytest.fixture(scope="module")
def model():
    return CharacterModel(5, 4, seed=1)


@given(st.integers(1, 3), st.integers(2, 7), st.integers(0, 2**16))
@settings(max_examples=15, deadline=None)
def test_logits_equal_the_formula_and_the_state_carries(model, batch, steps, seed):
    ids = np.random.default_rng(seed).integers(0, 5, (batch, steps))
    w_xh, w_hh, b, w_ho, b_o = model.get_weights()
    h, want = np.zeros((batch, 4)), []
    for t in range(steps):
        h = np.tanh(w_xh[ids[:, t]] + h @ w_hh + b)
        want.append(h @ w_ho + b_o)
    logits, state = model(ids, return_state=True)
    np.testing.assert_allclose(logits, np.stack(want, 1), atol=1e-5)
    np.testing.assert_allclose(state, h, atol=1e-5)
    cut = steps // 2
    first, middle = model(ids[:, :cut], return_state=True)
    second = model(ids[:, cut:], initial_state=middle)
    np.testing.assert_allclose(np.concatenate([first, second], 1), logits, atol=1e-5)


def test_a_seed_fixes_the_initial_weights():
    weights = [CharacterModel(5, 4, seed=seed).get_weights() for seed in (1, 1, 2)]
    for same, again, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(same, again)
        assert not same.any() or not np.array_equal(same, other)


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_rows_continue_the_rows_before(batch_size, steps, batches, rest):
    rest = min(rest, batch_size * steps - 1)
    text = np.arange(batches * batch_size * steps + 1 + rest)
    inputs, targets = stateful_batches(text, batch_size, steps)
    assert inputs.shape == targets.shape == (batches, batch_size, steps)
    np.testing.assert_array_equal(targets, inputs + 1)
    rows = inputs.swapaxes(0, 1).reshape(batch_size, -1)
    np.testing.assert_array_equal(rows.ravel(), text[: rows.size])


def test_training_equals_a_plain_loop_and_stops_the_gradient_between_batches():
    inputs, targets = stateful_batches(np.random.default_rng(0).integers(0, 5, 61), 2, 10)
    ours, plain = CharacterModel(5, 4, seed=2), CharacterModel(5, 4, seed=2)
    train = training_function(ours, keras.optimizers.SGD(0.5), clip_norm=0.3)
    losses, last = train(tf.constant(inputs), tf.constant(targets), tf.zeros((2, 4)))
    state, want = tf.zeros((2, 4)), []
    optimizer = keras.optimizers.SGD(0.5, global_clipnorm=0.3)
    for x, y in zip(inputs, targets, strict=True):
        with tf.GradientTape() as tape:
            logits, new_state = plain(x, initial_state=tf.stop_gradient(state), return_state=True)
            loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True))
        optimizer.apply(tape.gradient(loss, plain.trainable_variables), plain.trainable_variables)
        state = new_state
        want.append(float(loss))
    np.testing.assert_allclose(losses, want, rtol=1e-5)
    np.testing.assert_allclose(last, state, atol=1e-5)
    for got, expected in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: CharacterModel(1, 4), "vocabulary_size: expected a whole number of at least 2, got 1"),
        (lambda m: CharacterModel(5, 0), "units: expected a whole number of at least 1, got 0"),
        (lambda m: m(np.array([[0, 5]])), "ids: expected ids from 0 to 4"),
        (lambda m: stateful_batches([1, 2, 3], 0, 1), "batch_size: expected a whole number of at least 1, got 0"),
        (lambda m: stateful_batches([1, 2, 3], 1, 0), "steps: expected a whole number of at least 1, got 0"),
        (lambda m: stateful_batches([1, 2, 3], 3, 1), "ids: expected more than batch_size"),
        (lambda m: stateful_batches([1.0, 2.0], 1, 1), "ids: expected at least 2 integers"),
        (lambda m: training_function(m, keras.optimizers.SGD(), clip_norm=0.0), "clip_norm: expected a positive"),
    ],
)
def test_bad_arguments_are_refused(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)

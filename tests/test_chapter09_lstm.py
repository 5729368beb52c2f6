"""The LSTM cell against Keras over random shapes, with masks and states, in compiled code and half precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter09.lstm import LSTMCell, lstm, lstm_step, peephole_lstm_step

SIZES = st.integers(1, 5)
SEEDS = st.integers(0, 2**32 - 1)


def problem(seed, batch=3, steps=4, inputs=2, units=3):
    rng = np.random.default_rng(seed)
    shapes = [(batch, steps, inputs), (inputs, 4 * units), (units, 4 * units), (4 * units,), *[(batch, units)] * 2]
    return [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]


def assert_close(ours, theirs):
    for a, b in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@settings(max_examples=15)
@given(SIZES, SIZES, SIZES, SIZES, SEEDS, st.booleans(), st.booleans())
def test_equal_to_keras(batch, steps, inputs, units, seed, masked, started):
    x, w, u, b, h, c = problem(seed, batch, steps, inputs, units)
    mask = np.random.default_rng((seed, 1)).random((batch, steps)) < 0.6 if masked else None
    layer = keras.layers.LSTM(units, return_sequences=True, return_state=True)
    layer.build(x.shape)
    layer.set_weights([w, u, b])
    variables = [weight.value for weight in layer.weights]
    with tf.GradientTape() as tape:
        tape.watch([x, h, c, w, u, b])
        outputs, states = lstm(x, w, u, b, (h, c) if started else None, mask)
        loss = tf.reduce_sum(tf.sin(outputs)) + tf.reduce_sum(tf.cos(states[0]) * states[1])
    with tf.GradientTape() as their_tape:
        their_tape.watch([x, h, c])
        want = layer(x, initial_state=[h, c] if started else None, mask=mask)
        their_loss = tf.reduce_sum(tf.sin(want[0])) + tf.reduce_sum(tf.cos(want[1]) * want[2])
    assert_close([outputs, *states], want)
    sources = [x, h, c] if started else [x]
    ours = tape.gradient(loss, [*sources, w, u, b])
    assert_close(ours, their_tape.gradient(their_loss, [*sources, *variables]))


def test_gates_come_in_keras_order():
    """A bias of 50 on one of the four columns opens that gate, whose name the dictionary must carry."""
    for number, name in enumerate(("input", "forget", "candidate", "output")):
        b = tf.one_hot(number, 4) * 50.0
        _, _, gates = lstm_step(
            tf.zeros((1, 1)), tf.zeros((1, 1)), tf.zeros((1, 1)), tf.zeros((1, 4)), tf.zeros((1, 4)), b
        )
        closed = {"input": 0.5, "forget": 0.5, "candidate": 0.0, "output": 0.5}
        assert {key: float(value[0, 0]) for key, value in gates.items()} == {**closed, name: 1.0}


def test_a_step_by_hand():
    """All weights zero but the candidate's bias, atanh(0.6): c = 0.5 · 2 + 0.5 · 0.6 = 1.3, h = 0.5 tanh 1.3."""
    b = tf.constant([0.0, 0.0, np.arctanh(0.6), 0.0])
    h, c, _ = lstm_step(tf.ones((1, 1)), tf.ones((1, 1)), tf.fill((1, 1), 2.0), tf.zeros((1, 4)), tf.zeros((1, 4)), b)
    assert float(c[0, 0]) == pytest.approx(1.3)
    assert float(h[0, 0]) == pytest.approx(0.5 * np.tanh(1.3))


def test_the_cell_in_a_keras_layer():
    x, w, u, b, h, c = problem(1)
    ours = keras.layers.RNN(LSTMCell(3), return_sequences=True, return_state=True)
    theirs = keras.layers.RNN(keras.layers.LSTMCell(3), return_sequences=True, return_state=True)
    for layer in (ours, theirs):
        layer.build(x.shape)
        layer.set_weights([w, u, b])
    assert_close(ours(x, initial_state=[h, c]), theirs(x, initial_state=[h, c]))
    assert [weight.name for weight in ours.weights] == [weight.name for weight in theirs.weights]


def test_one_seed_gives_one_start():
    starts = [LSTMCell(4, seed=seed) for seed in (1, 1, 2)]
    for cell in starts:
        cell.build((None, 3))
    assert_close(starts[0].get_weights(), starts[1].get_weights())
    assert not np.allclose(starts[0].kernel, starts[2].kernel)
    np.testing.assert_array_equal(starts[0].bias, np.repeat([0, 1, 0, 0], 4))


@pytest.mark.parametrize(("number", "name"), [(1, "w"), (2, "u"), (3, "b")])
def test_shapes_that_do_not_fit(number, name):
    arguments = problem(0)
    arguments[number] = arguments[number][..., :-1]
    x, w, u, b, h, c = arguments
    with pytest.raises(ValueError, match=f"{name}: expected the shape"):
        lstm_step(x[:, 0], h, c, w, u, b)
    with pytest.raises(ValueError, match=f"{name}: expected the shape"):
        lstm(x, w, u, b)
    with pytest.raises(ValueError, match=f"{name}: expected the shape"):
        peephole_lstm_step(x[:, 0], h, c, w, u, b, tf.zeros((3, 3)))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_batch_may_be_unknown_when_traced(jit_compile):
    x, w, u, b, h, c = problem(3)
    mask = tf.constant([[True] * 4, [True, True, False, False], [False, True, True, True]])
    unknown = [tf.TensorSpec((None, *each.shape[1:]), each.dtype) for each in (x, h, c, mask)]

    @tf.function(input_signature=unknown, jit_compile=jit_compile)
    def run(x, h, c, mask):
        with tf.GradientTape() as tape:
            tape.watch(x)
            plain, started = lstm(x, w, u, b), lstm(x, w, u, b, (h, c), mask)
            total = tf.reduce_sum(started[0]) + tf.reduce_sum(plain[0])
        return plain, started, tape.gradient(total, x)

    layer = keras.layers.LSTM(3, return_sequences=True, return_state=True)
    layer.build(x.shape)
    layer.set_weights([w, u, b])
    with tf.GradientTape() as tape:
        tape.watch(x)
        plain, started = layer(x), layer(x, initial_state=[h, c], mask=mask)
        total = tf.reduce_sum(started[0]) + tf.reduce_sum(plain[0])
    assert_close(run(x, h, c, mask), (plain, started, tape.gradient(total, x)))
    assert run(x[:1], h[:1], c[:1], mask[:1])[0][0].shape == (1, 4, 3)
    if not jit_compile:
        assert run(x[:0], h[:0], c[:0], mask[:0])[0][0].shape == (0, 4, 3)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 5e-3), ("float64", 1e-12)])
def test_other_precisions(dtype, tolerance):
    x, w, u, b, h, c = [tf.cast(each, dtype) for each in problem(4)]
    layer = keras.layers.LSTM(3, return_sequences=True, return_state=True, dtype=dtype)
    layer.build(x.shape)
    layer.set_weights([w, u, b])
    outputs, states = lstm(x, w, u, b, (h, c))
    for ours, theirs in zip([outputs, *states], layer(x, initial_state=[h, c]), strict=True):
        assert ours.dtype == theirs.dtype == dtype
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_a_mask_may_be_a_list_or_numbers():
    x, w, u, b, _, _ = problem(5)
    mask = [[1, 1, 0, 0], [1, 1, 1, 1], [0, 1, 0, 1]]
    assert_close(lstm(x, w, u, b, mask=mask), lstm(x, w, u, b, mask=tf.constant(mask) > 0))


def test_the_cell_can_be_copied_and_mixed_precision_kept():
    layer = keras.layers.Bidirectional(keras.layers.RNN(LSTMCell(3, seed=1)))
    assert layer(tf.ones((2, 4, 5))).shape == (2, 6)
    copy = LSTMCell.from_config(LSTMCell(4, seed=2, name="memory").get_config())
    assert (copy.units, copy.seed, copy.name) == (4, 2, "memory")


def test_other_errors():
    x, w, u, b, h, c = problem(0)
    with pytest.raises(ValueError, match="x: expected the shape"):
        lstm(x[:, 0], w, u, b)
    with pytest.raises(ValueError, match="x: expected a known number of steps, at least one"):
        lstm(x[:, :0], w, u, b)
    with pytest.raises(ValueError, match="x: expected a known number of steps, at least one"):
        tf.function(lambda x: lstm(x, w, u, b)[0]).get_concrete_function(tf.TensorSpec((None, None, 2)))
    with pytest.raises(ValueError, match=r"mask: expected the shape \(3, 4\)"):
        lstm(x, w, u, b, mask=tf.ones((3, 5), tf.bool))
    for states in ((h[:2], c[:2]), (h[:1], c[:1]), (h, c[:1])):  # one row would be used for the whole batch
        with pytest.raises(ValueError, match=r"a state: expected the shape \(3, 3\)"):
            lstm(x, w, u, b, states)
    with pytest.raises(ValueError, match="peephole: expected 'diagonal' or 'full', got 'round'"):
        peephole_lstm_step(x[:, 0], h, c, w, u, b, tf.zeros((3, 3)), peephole="round")
    with pytest.raises(ValueError, match=r"peepholes: expected the shape \(3, 3, 3\)"):
        peephole_lstm_step(x[:, 0], h, c, w, u, b, tf.zeros((3, 3)), peephole="full")
    for units in (0, 2.5, True):
        with pytest.raises(ValueError, match="units: expected a whole number of at least 1"):
            LSTMCell(units)

"""The LSTM cell against Keras over random shapes, with masks and states, and its gates at their limits."""

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


@settings(max_examples=10)
@given(SIZES, SIZES, SIZES, SEEDS)
def test_peepholes_equal_tensorflow(batch, inputs, units, seed):
    x, w, u, b, h, c = problem(seed, batch, 1, inputs, units)
    peepholes = tf.constant(np.random.default_rng((seed, 2)).normal(size=(3, units)), tf.float32)
    ours = peephole_lstm_step(x[:, 0], h, c, w, u, b, peepholes)

    def columns(packed):
        i, f, g, o = tf.split(packed, 4, axis=-1)
        return tf.concat([i, g, f, o], axis=-1)

    block = tf.raw_ops.LSTMBlockCell(
        x=x[:, 0], cs_prev=c, h_prev=h, w=tf.concat([columns(w), columns(u)], 0), wci=peepholes[0], wcf=peepholes[1],
        wco=peepholes[2], b=columns(b), forget_bias=0.0, cell_clip=-1.0, use_peephole=True,
    )  # fmt: skip
    assert_close(ours[:2], (block.h, block.cs))
    full = peephole_lstm_step(x[:, 0], h, c, w, u, b, tf.linalg.diag(peepholes), peephole="full")
    assert_close(full, ours)


def test_full_peepholes_mix_units():
    x, w, u, b, h, c = problem(0)
    swap = tf.constant(np.tile(np.roll(np.eye(3), 1, axis=1), (3, 1, 1)), tf.float32)  # unit k is seen by unit k + 1
    h_new, c_new, gates = peephole_lstm_step(x[:, 0], h, c, w, u, b, swap, peephole="full")
    seen = tf.roll(c, 1, axis=1)
    z_f = (x[:, 0] @ w + h @ u + b)[:, 3:6]
    assert_close(gates["forget"], tf.sigmoid(z_f + seen))
    z_o = (x[:, 0] @ w + h @ u + b)[:, 9:]
    assert_close(h_new, tf.sigmoid(z_o + tf.roll(c_new, 1, axis=1)) * tf.tanh(c_new))


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


def test_other_errors():
    x, w, u, b, h, c = problem(0)
    with pytest.raises(ValueError, match=r"x: expected the shape \(batch, steps, inputs\)"):
        lstm(x[:, 0], w, u, b)
    with pytest.raises(ValueError, match="steps > 0"):
        lstm(x[:, :0], w, u, b)
    with pytest.raises(ValueError, match=r"mask: expected the shape \(3, 4\)"):
        lstm(x, w, u, b, mask=tf.ones((3, 5), tf.bool))
    with pytest.raises(ValueError, match="initial_state: expected two tensors"):
        lstm(x, w, u, b, (h[:2], c[:2]))
    with pytest.raises(ValueError, match="peephole: expected 'diagonal' or 'full', got 'round'"):
        peephole_lstm_step(x[:, 0], h, c, w, u, b, tf.zeros((3, 3)), peephole="round")
    with pytest.raises(ValueError, match=r"peepholes: expected the shape \(3, 3, 3\) for full"):
        peephole_lstm_step(x[:, 0], h, c, w, u, b, tf.zeros((3, 3)), peephole="full")
    with pytest.raises(ValueError, match="units: expected at least 1, got 0"):
        LSTMCell(0)

"""The cell with peepholes against TensorFlow's over random shapes, and the timer that it makes possible."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter09.lstm import lstm, peephole_lstm_step
from kerasnotes.chapter09.peepholes import peephole_lstm, timer

SIZES = st.integers(1, 5)
SEEDS = st.integers(0, 2**32 - 1)


def problem(seed, batch=3, steps=4, inputs=2, units=3):
    rng = np.random.default_rng(seed)
    shapes = [(batch, steps, inputs), (inputs, 4 * units), (units, 4 * units), (4 * units,), *[(batch, units)] * 2]
    return [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]


def assert_close(ours, theirs):
    for a, b in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


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


def test_over_a_sequence_without_weights_it_is_the_plain_cell():
    x, w, u, b, _, _ = problem(2)
    states, cells = peephole_lstm(x, w, u, b, tf.zeros((3, 3)))
    want, (_, last) = lstm(x, w, u, b)
    assert_close([states, cells[:, -1]], [want, last])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_batch_may_be_unknown_when_traced(jit_compile):
    x, w, u, b, _, _ = problem(2)
    matrices = tf.random.stateless_normal((3, 3, 3), (0, 2))
    signature = [tf.TensorSpec((None, 4, 2))]
    run = tf.function(lambda x: peephole_lstm(x, w, u, b, matrices, "full"), signature, jit_compile=jit_compile)
    assert_close(run(x), peephole_lstm(x, w, u, b, matrices, "full"))


@pytest.mark.parametrize("moment", [2, 3, 9])
def test_the_timer_speaks_at_its_moment(moment):
    w, u, b, peepholes = timer(moment)
    x = tf.random.stateless_normal((2, 10, 1), (0, 1))  # the input does not matter
    states, cells = peephole_lstm(x, w, u, b, peepholes)
    np.testing.assert_allclose(cells[..., 0], [0.1 * np.arange(1, 11)] * 2, rtol=1e-5)
    loud = np.arange(1, 11) >= moment
    np.testing.assert_allclose(states[..., 0], np.where(loud, np.tanh(cells[..., 0]), 0), atol=1e-4)


def test_the_timer_s_weights():
    w, u, b, peepholes = timer(4)
    assert not np.any(w)
    assert not np.any(u)
    np.testing.assert_allclose(peepholes, [[0], [0], [200]])  # only the output gate looks at the cell
    np.testing.assert_allclose(b[2:], [np.arctanh(0.1), -200 * 0.35], rtol=1e-6)
    np.testing.assert_array_equal(tf.sigmoid(b[:2]), [1, 1])


def test_errors():
    x, w, u, b, _, _ = problem(0)
    with pytest.raises(ValueError, match=r"peepholes: expected the shape \(3, 3\)"):
        peephole_lstm(x, w, u, b, tf.zeros((3, 1)))  # would broadcast

"""Cells side by side against Keras's layers, slopes against the tape, start matrices, and every error message."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter08.fading_gradients import gradient_by_lag
from kerasnotes.chapter08.recurrent_activations import run_cells, slopes_of, start_matrix

SEEDS = st.integers(0, 2**32 - 1)
NAMES = ("tanh", "sigmoid", "relu")


def problem(seed, cells=3, batch=2, steps=5, inputs=3, units=4):
    rng = np.random.default_rng(seed)
    sizes = (cells, batch, steps, inputs), (cells, inputs, units), (cells, units, units), (cells, 1, units)
    return [tf.constant(rng.normal(size=size)) for size in sizes]


@settings(max_examples=8, deadline=None)
@given(SEEDS, st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.permutations(NAMES))
def test_equal_to_keras_with_gradients(seed, batch, steps, units, names):
    x, *weights = problem(seed, 3, batch, steps, 3, units)
    with tf.GradientTape() as tape:
        tape.watch([x, *weights])
        states = run_cells(x, *weights, names)
        loss = tf.reduce_sum(tf.sin(states))
    ours = tape.gradient(loss, [x, *weights])
    for number, name in enumerate(names):
        layer = keras.layers.SimpleRNN(units, activation=name, return_sequences=True, dtype="float64")
        layer.build(x[number].shape)
        layer.set_weights([weights[0][number], weights[1][number], weights[2][number, 0]])
        inputs = x[number]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            want = layer(inputs)
            loss = tf.reduce_sum(tf.sin(want))
        np.testing.assert_allclose(states[number], want, atol=1e-10)
        for got, slope in zip(ours, tape.gradient(loss, [inputs, *(v.value for v in layer.weights)]), strict=True):
            np.testing.assert_allclose(np.reshape(got[number], slope.shape), slope, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(NAMES), SEEDS)
def test_slopes_are_the_tapes(name, seed):
    sums = tf.constant(np.random.default_rng(seed).normal(size=(3, 4)))
    with tf.GradientTape() as tape:
        tape.watch(sums)
        values = keras.activations.get(name)(sums)
    np.testing.assert_allclose(slopes_of(name, values), tape.gradient(values, sums), atol=1e-12)


def test_products_are_the_tapes_jacobian():
    x, w_xh, w_hh, b = problem(1, cells=1, batch=1)
    for name in NAMES:
        states = run_cells(x, w_xh, w_hh, b, [name])[0, 0]
        norms = gradient_by_lag(w_hh[0], 4, slopes_of(name, states[1:]))
        start = states[0]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(start)
            h = start
            for t in range(1, 5):
                h = keras.activations.get(name)(x[0, 0, t, None] @ w_xh[0] + h[None] @ w_hh[0] + b[0])[0]
        jacobian = tape.jacobian(h, start, experimental_use_pfor=False)
        assert norms[3] == pytest.approx(np.linalg.norm(jacobian, ord=2))


def test_start_matrices():
    np.testing.assert_array_equal(start_matrix("identity", 3, 0), np.eye(3))
    matrix = start_matrix("orthogonal", 6, 1)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(6), atol=1e-12)
    assert not np.allclose(matrix, start_matrix("orthogonal", 6, 2))


def test_errors():
    x, w_xh, w_hh, b = problem(0)
    for activations in (["tanh"], ["tanh", "relu", "tanh"], ["tanh"] * 4):
        with pytest.raises(ValueError, match="activations: expected a name for each of 3 cells, equal ones side by"):
            run_cells(x, w_xh, w_hh, b, activations)
    with pytest.raises(ValueError, match="w_xh: expected the shape"):
        run_cells(x, w_xh[:, :2], w_hh, b, NAMES)
    with pytest.raises(ValueError, match="w_hh: expected the shape"):
        run_cells(x, w_xh, w_hh[:1], b, NAMES)
    with pytest.raises(ValueError, match="b: expected the shape"):
        run_cells(x, w_xh, w_hh, b[:, 0], NAMES)
    with pytest.raises(ValueError, match="activation: expected tanh, sigmoid or relu, got 'gelu'"):
        slopes_of("gelu", np.zeros(2))
    with pytest.raises(ValueError, match="kind: expected orthogonal or identity, got 'zeros'"):
        start_matrix("zeros", 2, 0)
    with pytest.raises(ValueError, match="units: expected a whole number"):
        start_matrix("identity", 0, 0)

"""The gradient by lag: exact for linear cells, the tape's for tanh; the task's parts."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter08 import bptt
from kerasnotes.chapter08.fading_gradients import (
    delayed_signs,
    gradient_by_lag,
    start_weights,
)

SEEDS = st.integers(0, 2**32 - 1)


def test_the_name_stays_where_it_was():
    assert bptt.gradient_by_lag is gradient_by_lag


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 6), st.floats(0.01, 3.0), st.integers(1, 200))
def test_a_multiple_of_an_orthogonal_matrix_gives_powers(seed, units, radius, steps):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(units, units)))[0]
    lag = np.arange(1, steps + 1)
    np.testing.assert_allclose(gradient_by_lag(radius * q, steps, log=True), lag * np.log(radius), rtol=0, atol=1e-10)
    if radius > 0.1:
        np.testing.assert_allclose(gradient_by_lag(radius * q, steps), radius**lag, rtol=1e-11)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 5), st.integers(1, 6))
def test_norms_equal_those_of_the_tapes_jacobians(seed, units, steps):
    rng = np.random.default_rng(seed)
    w_hh, drives = 0.7 * rng.normal(size=(units, units)), rng.normal(size=(steps, units))
    copies = [tf.zeros((units, units), tf.float64)]
    with tf.GradientTape() as gradient_tape:
        gradient_tape.watch(copies)
        for t in range(steps):
            copies.append(tf.tanh(drives[t] + copies[-1] @ w_hh))
        trace = tf.linalg.trace(copies[-1])
    want = [np.linalg.norm(jacobian, 2) for jacobian in gradient_tape.gradient(trace, copies[-2::-1])]
    slopes = 1 - np.stack([state[0] for state in copies[1:]]) ** 2
    got = gradient_by_lag(w_hh, steps, slopes)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-15)
    bound = np.cumprod(slopes[::-1].max(axis=1)) * np.linalg.norm(w_hh, 2) ** np.arange(1, steps + 1)
    assert np.all(got <= bound * (1 + 1e-12))


@pytest.mark.parametrize("entries", ["normal", "uniform"])
@pytest.mark.parametrize("units", [2, 8, 32])
def test_random_matrices_go_by_the_spectral_radius(entries, units):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        size = (units, units)
        matrix = rng.normal(size=size) if entries == "normal" else rng.uniform(-1, 1, size=size)
        slope = np.polyfit(np.arange(200), gradient_by_lag(matrix, 200, log=True), 1)[0]
        assert slope == pytest.approx(np.log(np.abs(np.linalg.eigvals(matrix)).max()), abs=0.02)


def test_equals_matrix_powers_by_definition():
    matrix = np.array([[0.5, 3.0], [0.0, 0.25]])
    want = [np.linalg.norm(np.linalg.matrix_power(matrix, lag), 2) for lag in range(1, 30)]
    np.testing.assert_allclose(gradient_by_lag(matrix, 29), want, rtol=1e-12)


def test_logarithms_neither_underflow_nor_overflow():
    for factor in (1e-5, 1e5):
        np.testing.assert_allclose(gradient_by_lag([[factor]], 500, log=True)[-1], 500 * np.log(factor), rtol=1e-12)
    with np.errstate(all="raise"):
        assert gradient_by_lag([[1e-5]], 500)[-1] == 0.0
        assert gradient_by_lag([[1e5]], 500)[-1] == np.inf
    np.testing.assert_allclose(gradient_by_lag([[1e5]], 61)[-1], 1e305, rtol=1e-12)


def test_a_nilpotent_matrix_forgets_everything():
    np.testing.assert_array_equal(gradient_by_lag([[0.0, 2.0], [0.0, 0.0]], 3), [2.0, 0.0, 0.0])
    np.testing.assert_array_equal(gradient_by_lag([[0.0, 2.0], [0.0, 0.0]], 3, log=True)[1:], [-np.inf, -np.inf])


def test_the_targets_are_the_signs_three_steps_ago():
    x, y = delayed_signs(np.random.default_rng(0), 4, 9)
    assert x.shape == y.shape == (9, 4, 1)
    assert set(np.unique(x)) == {-1, 1}
    np.testing.assert_array_equal(y[3:], x[:-3])
    assert not y[:3].any()


def test_the_recurrent_matrix_has_its_radius():
    w_x, w_h, b, w_o, b_o = start_weights(1, 6, 1.5)
    np.testing.assert_allclose(np.abs(np.linalg.eigvals(w_h)), 1.5, rtol=1e-5)
    assert [tuple(w.shape) for w in (w_x, b, w_o, b_o)] == [(1, 6), (1, 6), (6, 1), (1, 1)]


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, None, "2"])
def test_steps_are_counted(bad):
    with pytest.raises(ValueError, match=r"^steps: expected a whole number of at least 1, got"):
        gradient_by_lag(np.eye(2), bad)


def test_bad_matrices():
    with pytest.raises(ValueError, match=r"^w_hh: expected the shape \(2, 2\), got \(2, 3\)"):
        gradient_by_lag(np.ones((2, 3)), 2)
    with pytest.raises(ValueError, match=r"must not contain infs or NaNs"):
        gradient_by_lag([[np.nan]], 2)
    with pytest.raises(ValueError, match=r"^slopes: expected the shape \(2, 1\), got \(1, 2\)"):
        gradient_by_lag([[1.0]], 2, slopes=[[1.0, 1.0]])

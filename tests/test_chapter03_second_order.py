"""Newton and Quickprop against closed forms and SciPy."""

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter03.second_order import newton, quickprop, secant_curvature

SEEDS, DIMS = st.integers(0, 2**32 - 1), st.integers(1, 5)


@settings(max_examples=20, deadline=None)
@given(SEEDS, DIMS, st.floats(0.1, 2.5))
def test_newton_on_a_quadratic(seed, dims, rate):
    rng = np.random.default_rng(seed)
    root, optimum, start = rng.normal(size=(dims, dims)), rng.normal(size=dims), rng.normal(size=dims)
    matrix = root @ root.T + np.eye(dims)
    path = newton(lambda w: tf.tensordot(w - optimum, tf.linalg.matvec(matrix, w - optimum), 1), start, 4, rate)
    want = optimum + (1 - rate) ** np.arange(5)[:, None] * (start - optimum)
    np.testing.assert_allclose(path, want, atol=1e-7)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_newton_finds_scipys_minimum(seed):
    start = np.random.default_rng(seed).uniform(-0.5, 0.5, size=2)
    path = newton(lambda w: tf.reduce_sum(tf.cosh(w)) + w[0] * w[1] / 2 - w[0], start, 12)
    found = scipy.optimize.minimize(lambda w: np.cosh(w).sum() + w[0] * w[1] / 2 - w[0], start, tol=1e-10)
    np.testing.assert_allclose(path[-1], found.x, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(SEEDS, DIMS)
def test_quickprop_solves_separable_quadratics_in_two_steps(seed, dims):
    rng = np.random.default_rng(seed)
    curvatures, optimum = rng.uniform(0.5, 10, size=dims), rng.normal(size=dims)
    start = optimum + rng.choice([-1.0, 1.0], size=dims)

    def gradient(w):
        return curvatures * (w - optimum)

    path = quickprop(gradient, start, 2, learning_rate=0.01, max_growth=np.inf)
    np.testing.assert_allclose(path[2], optimum, atol=1e-9)
    found = secant_curvature(path[1], gradient(path[1]), path[0], gradient(path[0]))
    np.testing.assert_allclose(found, curvatures, rtol=1e-6)
    np.testing.assert_allclose(quickprop(gradient, start, 30)[-1], optimum, atol=1e-9)


def test_quickprop_is_the_secant_method():
    """On cosh(w) − w, without a bound: the root of sinh(w) = 1, and each step the secant's."""
    path = quickprop(lambda w: np.sinh(w) - 1, [0.0], 8, learning_rate=0.5, max_growth=np.inf)[:, 0]
    for a, b, c in zip(path, path[1:5], path[2:], strict=False):
        slope = (np.sinh(b) - np.sinh(a)) / (b - a)
        np.testing.assert_allclose(c, b - (np.sinh(b) - 1) / slope, rtol=1e-9)
    np.testing.assert_allclose(path[-1], np.arcsinh(1), rtol=1e-9)


def test_quickprop_keeps_its_bound_and_goes_on_downhill():
    path = quickprop(lambda w: np.ones(1), [0.0], 3, learning_rate=0.1)[:, 0]  # a slope that never changes
    np.testing.assert_allclose(path[:2], [0, -0.1])
    np.testing.assert_allclose(np.diff(path), -0.1 * 1.75 ** np.arange(3))
    steps = np.diff(quickprop(lambda w: 0.01 * w, [1.0], 5, learning_rate=0.1)[:, 0])
    assert np.all(np.abs(steps[1:]) <= 1.75 * np.abs(steps[:-1]) * (1 + 1e-12))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: newton(tf.reduce_sum, [1.0], 1), "function: expected an invertible Hessian"),
        (lambda: newton(tf.reduce_sum, [], 1), "start: expected finite numbers"),
        (lambda: newton(tf.reduce_sum, [np.nan], 1), "start: expected finite numbers"),
        (lambda: newton(tf.reduce_sum, [1.0], 0), "steps: expected a whole number of at least 1"),
        (lambda: newton(tf.reduce_sum, [1.0], 1, 0.0), "learning_rate: expected a positive number"),
        (lambda: quickprop(np.sin, 1.0, 1), "start: expected finite numbers"),
        (lambda: quickprop(np.sin, [1.0], 1.5), "steps: expected a whole number of at least 1"),
        (lambda: quickprop(np.sin, [1.0], 1, -1.0), "learning_rate: expected a positive number"),
        (lambda: quickprop(np.sin, [1.0], 1, max_growth=0), "max_growth: expected a positive number"),
        (lambda: secant_curvature([1.0], [1.0], [1.0], [2.0]), "w, last_w: expected every weight to have moved"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()

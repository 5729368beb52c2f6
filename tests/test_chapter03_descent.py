"""Descent against closed forms, proven bounds, Keras's SGD and SciPy's minimum."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from kerasnotes.chapter03.descent import (
    convergence_ratio,
    gradient_descent,
    nesterov_descent,
    subgradient_descent,
)

seeds, dims = st.integers(0, 2**32 - 1), st.integers(1, 6)


@settings(max_examples=25, deadline=None)
@given(dims=dims, steps=st.integers(0, 12), share=st.floats(0.05, 2.2), seed=seeds)
def test_descent_on_a_quadratic_in_closed_form(dims, steps, share, seed):
    rng = np.random.default_rng(seed)
    curvatures, optimum, start = rng.uniform(0.1, 3, dims), rng.normal(size=dims), rng.normal(size=dims)
    rate = share / curvatures.max()
    path = gradient_descent(lambda w: curvatures * (w - optimum), start, rate, steps)
    powers = (1 - rate * curvatures) ** np.arange(steps + 1)[:, None]
    np.testing.assert_allclose(path, optimum + powers * (start - optimum), rtol=1e-9, atol=1e-9)


def test_descent_equals_keras_sgd():
    w, sgd = keras.Variable([1.0, -2.0]), keras.optimizers.SGD(0.1)
    path = gradient_descent(lambda w: w**3, [1.0, -2.0], 0.1, 10)
    for point in path[1:]:
        sgd.apply([keras.ops.convert_to_tensor(w) ** 3], [w])
        np.testing.assert_allclose(w, point, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(dims=dims, seed=seeds)
def test_bounds_of_smooth_convex_functions(dims, seed):
    rng = np.random.default_rng(seed)
    root, start, steps = rng.normal(size=(dims, dims)), rng.normal(size=dims), np.arange(1, 101)
    matrix = root @ root.T
    largest, distance = np.linalg.eigvalsh(matrix)[-1], start @ start
    for descend, bound in (
        (gradient_descent, largest * distance / (2 * steps)),
        (nesterov_descent, 2 * largest * distance / (steps + 1) ** 2),
    ):
        path = descend(lambda w: matrix @ w, start, 1 / largest, 100)
        values = np.einsum("ti,ij,tj->t", path, matrix, path) / 2
        assert (values[1:] <= bound * (1 + 1e-9)).all()


def test_nesterov_by_hand():
    s1 = (1 + math.sqrt(5)) / 2
    s2 = (1 + math.sqrt(1 + 4 * s1**2)) / 2
    w1 = 1 - 0.1  # the first step is a plain one, and no momentum follows it
    w2 = w1 - 0.1 * w1
    ahead = w2 + (s1 - 1) / s2 * (w2 - w1)
    path = nesterov_descent(lambda w: w, [1.0], 0.1, 3)
    np.testing.assert_allclose(path[:, 0], [1, w1, w2, ahead - 0.1 * ahead], rtol=1e-14)


@settings(max_examples=25, deadline=None)
@given(dims=dims, steps=st.integers(1, 200), seed=seeds)
def test_bound_of_subgradients(dims, steps, seed):
    rng = np.random.default_rng(seed)
    weights, start = rng.uniform(0.1, 2, dims), rng.normal(size=dims)
    reach, slope = np.linalg.norm(start), np.linalg.norm(weights)
    path = subgradient_descent(lambda w: weights * np.where(w < 0, -1, 1), start, reach / slope, steps)
    assert (np.abs(path) @ weights).min() <= reach * slope / math.sqrt(steps) + 1e-12
    np.testing.assert_allclose(np.linalg.norm(path[1] - path[0]), reach / math.sqrt(steps), rtol=1e-9)


def test_nesterov_and_descent_find_scipys_minimum():
    def value(w):
        return np.logaddexp(0, w).sum() + w @ w / 2

    def gradient(w):
        return 1 / (1 + np.exp(-w)) + w

    found = minimize(value, np.ones(3), jac=gradient, tol=1e-10).x
    for descend in (gradient_descent, nesterov_descent):
        np.testing.assert_allclose(descend(gradient, np.ones(3), 0.8, 300)[-1], found, atol=1e-5)


def test_convergence_ratio():
    np.testing.assert_allclose(convergence_ratio([[4.0, 0], [0, 2], [1, 0]], [0, 0]), [0.5, 0.5])
    ratio = convergence_ratio([[3.0], [1], [1], [2]], [1.0])
    assert ratio[0] == 0
    assert np.isnan(ratio[1:]).all()
    near = convergence_ratio([[3.0 + 1e-3], [3.0 + 1e-4], [3.0 + 1e-9]], [3.0])
    np.testing.assert_allclose(near, [1e-1, 1e-5], rtol=1e-5)
    assert convergence_ratio([[3.0]], [1.0]).shape == (0,)


def test_a_diverging_path_ends_in_infinity():
    assert not np.isfinite(gradient_descent(lambda w: w**3, [3.0], 1.0, 50)[-1]).any()


@pytest.mark.parametrize("descend", [gradient_descent, nesterov_descent, subgradient_descent])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.sign, 1.0, 0.1, 3), "start: expected finite"),
        ((np.sign, [], 0.1, 3), "start: expected finite"),
        ((np.sign, [np.nan], 0.1, 3), "start: expected finite"),
        ((np.sign, [1.0], 0.0, 3), "learning_rate: expected a positive"),
        ((np.sign, [1.0], math.nan, 3), "learning_rate: expected a positive"),
        ((np.sign, [1.0], 0.1, -1), "steps: expected a whole number"),
        ((np.sign, [1.0], 0.1, 2.5), "steps: expected a whole number"),
        ((np.sum, [1.0], 0.1, 3), "gradient: expected shape"),
    ],
)
def test_bad_arguments(descend, arguments, message):
    with pytest.raises(ValueError, match=message):
        descend(*arguments)


@pytest.mark.parametrize(("path", "optimum"), [([1.0], [1.0]), ([[1.0]], [1.0, 2.0]), (np.zeros((0, 1)), [1.0])])
def test_bad_paths(path, optimum):
    with pytest.raises(ValueError, match="path: expected points"):
        convergence_ratio(path, optimum)

"""Averages of a path against their weights, and against the solution that they should find."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from kerasnotes.chapter03 import batch_size
from kerasnotes.chapter03.stochastic import polynomial_average, sgd, smooth, subgradient_bound

seeds = st.integers(0, 2**32 - 1)


def slope(w, x, y):
    return x.T @ (x @ w - y) / len(x)


def problem(n, dims, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dims)), rng.normal(size=n), rng.normal(size=dims)


def test_averaged_sgd_finds_scikit_learns_solution():
    x, y, start = problem(400, 3, 0)
    path = sgd(slope, x, y, start, 0.05, 1, 50)
    want = LinearRegression(fit_intercept=False).fit(x, y).coef_
    error, last = np.linalg.norm(polynomial_average(path)[-1] - want), np.linalg.norm(path[-1] - want)
    assert error < 0.05 < last


@settings(max_examples=25, deadline=None)
@given(steps=st.integers(1, 30), gamma=st.integers(0, 5), shape=st.lists(st.integers(1, 3), max_size=2), seed=seeds)
def test_weights_of_the_average(steps, gamma, shape, seed):
    path = np.random.default_rng(seed).normal(size=(steps, *shape))
    rising = [math.prod(range(t, t + gamma)) for t in range(1, steps + 1)]  # t (t + 1) … (t + γ − 1)
    want = [np.average(path[:t], axis=0, weights=rising[:t]) for t in range(1, steps + 1)]
    np.testing.assert_allclose(polynomial_average(path, gamma), want, atol=1e-12)


def test_averaging_leaves_the_path_alone():
    path = np.arange(5.0)
    np.testing.assert_allclose(polynomial_average(path, 0), path / 2)
    np.testing.assert_allclose(polynomial_average([0.0, 1.0, 1.0]), [0, 4 / 5, 1 / 3 * 4 / 5 + 2 / 3], rtol=1e-12)
    np.testing.assert_array_equal(path, np.arange(5.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: polynomial_average([]), "path: expected at least one"),
        (lambda: polynomial_average(3.0), "path: expected at least one"),
        (lambda: polynomial_average([1.0], -1), "gamma: expected a number"),
        (lambda: polynomial_average([1.0], math.nan), "gamma: expected a number"),
        (lambda: polynomial_average([1.0], math.inf), "gamma: expected a number"),
    ],
)
def test_bad_averages(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@settings(max_examples=25, deadline=None)
@given(steps=st.integers(1, 40), dims=st.integers(1, 4), seed=seeds)
def test_the_best_point_stays_below_the_bound(steps, dims, seed):
    rng = np.random.default_rng(seed)
    scales, start, rates = rng.uniform(0.1, 3, dims), rng.normal(size=dims), rng.uniform(0.01, 1, steps)
    path = [start]
    for rate in rates:
        path.append(path[-1] - rate * scales * np.sign(path[-1]))
    best = np.minimum.accumulate(np.abs(path[:-1]) @ scales)
    assert (best <= subgradient_bound(rates, np.linalg.norm(start), np.linalg.norm(scales)) * (1 + 1e-12)).all()


def test_bound_by_hand():
    np.testing.assert_allclose(subgradient_bound([1, 0.5], 2, 3), [(4 + 9) / 2, (4 + 9 * 1.25) / 3])
    reached = subgradient_bound(np.full(100, 2 / 10), 2, 1)[-1]  # equal steps R/(G√T): the bound is RG/√T
    np.testing.assert_allclose(reached, 2 / 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 1, 1), "rates: expected positive"),
        ((0.1, 1, 1), "rates: expected positive"),
        (([0.1, 0.0], 1, 1), "rates: expected positive"),
        (([math.inf], 1, 1), "rates: expected positive"),
        (([0.1], 0, 1), "distance: expected a positive"),
        (([0.1], 1, -1), "slope: expected a positive"),
    ],
)
def test_bad_bounds(arguments, message):
    with pytest.raises(ValueError, match=message):
        subgradient_bound(*arguments)


def test_descent_and_smoothing_are_found_here_too():
    assert sgd is batch_size.sgd
    assert smooth is batch_size.smooth

"""Windows, autoregression and forecasts by hand, against least squares of NumPy, and what they must not see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter09.autoregression import (
    autoregression,
    autoregressive_forecast,
    forecast_ahead,
    root_mean_square,
    windows,
)

SEEDS = st.integers(0, 2**32 - 1)


def test_windows_by_hand():
    x, y = windows([1, 2, 3, 4, 5], 3)
    assert x.tolist() == [[1, 2, 3], [2, 3, 4]]
    assert y.tolist() == [4, 5]


@settings(max_examples=40)
@given(st.integers(2, 30), st.data(), SEEDS)
def test_windows(n, drawn, seed):
    size = drawn.draw(st.integers(1, n - 1))
    series = np.random.default_rng(seed).normal(size=n)
    x, y = windows(series, size)
    assert x.shape == (n - size, size)
    for row, (stretch, following) in enumerate(zip(x, y, strict=True)):
        assert np.array_equal(stretch, series[row : row + size])
        assert following == series[row + size]


@settings(max_examples=30)
@given(st.integers(1, 4), SEEDS)
def test_a_recurrence_gives_its_coefficients_back(order, seed):
    rng = np.random.default_rng(seed)
    wanted = np.concatenate([rng.normal(size=1), rng.uniform(-1, 1, order) / order])
    series = list(rng.normal(size=order))
    for shock in rng.normal(size=40):  # enough surprise to tell the coefficients apart, known to the fit as a change
        series.append(wanted[0] + np.dot(wanted[1:], series[: -order - 1 : -1]) + shock)
    series = np.array(series)
    x, y = windows(series, order)
    noise = y - autoregressive_forecast(x, wanted)  # the shocks again
    got = autoregression(series, order)
    inputs = np.column_stack([np.ones(len(x)), *(series[order - lag : -lag] for lag in range(1, order + 1))])
    off = np.linalg.solve(inputs.T @ inputs, inputs.T @ noise)  # normal equations: what the shocks add
    np.testing.assert_allclose(got, wanted + off, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(inputs.T @ (y - autoregressive_forecast(x, got)), 0, atol=1e-8)


def test_without_noise_the_recurrence_is_exact():
    """Fibonacci's numbers: y_t = y_(t−1) + y_(t−2), and five more of them."""
    numbers = np.array([1, 1, 2, 3, 5, 8, 13, 21, 34, 55.0])
    coefficients = autoregression(numbers, 2)
    np.testing.assert_allclose(coefficients, [0, 1, 1], atol=1e-9)
    made = forecast_ahead(lambda x: autoregressive_forecast(x, coefficients), numbers[None, -4:], 5)
    np.testing.assert_allclose(made, [[89, 144, 233, 377, 610]], rtol=1e-9)


def test_forecast_of_an_autoregression_by_hand():
    x = np.array([[9.0, 1.0, 2.0], [9.0, 0.0, 4.0]])
    assert autoregressive_forecast(x, [1.0, 10.0, 100.0]).tolist() == [1 + 20 + 100, 1 + 40]
    assert autoregressive_forecast(x, [5.0]).tolist() == [5, 5]


def test_ahead_by_hand():
    """Next value = sum of the last two: 1, 2 → 3, 5, 8, from the method's own forecasts."""
    x = np.array([[1.0, 2.0], [0.0, 1.0]])
    assert forecast_ahead(lambda w: w.sum(axis=1), x, 3).tolist() == [[3, 5, 8], [1, 2, 3]]
    assert x.tolist() == [[1, 2], [0, 1]]
    last = forecast_ahead(lambda w: w[:, -1], x, 4)
    assert last.tolist() == [[2] * 4, [1] * 4]


@settings(max_examples=20)
@given(st.integers(1, 6), st.integers(1, 10), SEEDS)
def test_the_future_does_not_matter(order, later, seed):
    rng = np.random.default_rng(seed)
    series = rng.normal(size=40)
    changed = series.copy()
    changed[-later:] += rng.normal(size=later)
    known = 40 - later
    assert np.array_equal(autoregression(series[:known], order), autoregression(changed[:known], order))
    (x, _), (z, _) = windows(series, order), windows(changed, order)
    coefficients = autoregression(series[:known], order)
    old, new = autoregressive_forecast(x, coefficients), autoregressive_forecast(z, coefficients)
    assert np.array_equal(old[: known - order + 1], new[: known - order + 1])
    assert later == 1 or old[known - order + 1] != new[known - order + 1]


def test_root_mean_square():
    assert root_mean_square([3, 4, 0, 0]) == 2.5
    assert root_mean_square([[3, 4], [0, 0]], axis=1).tolist() == [np.sqrt(12.5), 0]


def test_errors():
    with pytest.raises(ValueError, match="size: expected a whole number from 1 to 2, got 3"):
        windows([1.0, 2.0, 3.0], 3)
    with pytest.raises(ValueError, match="size: expected a whole number of at least 1, got 0"):
        windows([1.0, 2.0, 3.0], 0)
    for bad in ([1.0, np.nan, 2.0], np.ones((3, 2)), 5.0):
        with pytest.raises(ValueError, match="series: expected finite numbers of shape"):
            windows(bad, 1)
    with pytest.raises(ValueError, match="series: expected at least 7 numbers for order 3, got 6"):
        autoregression(np.arange(6.0), 3)
    assert autoregression(np.arange(7.0) ** 2, 3).shape == (4,)
    with pytest.raises(ValueError, match=r"x: expected the shape \(n, size\) with size at least 2, got \(3, 1\)"):
        autoregressive_forecast(np.ones((3, 1)), [0.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="x: expected the shape"):
        forecast_ahead(lambda x: x[:, 0], np.ones(3), 1)
    with pytest.raises(ValueError, match="steps: expected a whole number of at least 1, got 0"):
        forecast_ahead(lambda x: x[:, 0], np.ones((3, 1)), 0)
    with pytest.raises(ValueError, match=r"forecast, its result: expected the shape \(3\), got \(3, 1\)"):
        forecast_ahead(lambda x: x, np.ones((3, 1)), 1)

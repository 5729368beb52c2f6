"""Bumps and rows of bumps against closed forms and SciPy's integrals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expit

from kerasnotes.chapter02.approximation import bump, bump_2d, fit_steps


@settings(max_examples=25, deadline=None)
@given(left=st.floats(-3, 3), width=st.floats(0.1, 4), steepness=st.floats(0.5, 30))
def test_bump(left, width, steepness):
    right, x = left + width, np.linspace(-9, 9, 50)
    want = expit(steepness * (x - left)) - expit(steepness * (x - right))
    np.testing.assert_allclose(bump(x, left, right, steepness), want, atol=1e-12)
    np.testing.assert_allclose(
        bump(left + width / 2, left, right, steepness), np.tanh(steepness * width / 4), atol=1e-12
    )
    reach = 40 / steepness
    area, _ = quad(lambda z: bump(z, left, right, steepness), left - reach, right + reach, points=[left, right])
    np.testing.assert_allclose(area, width, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(units=st.integers(1, 60), start=st.floats(-3, 3), length=st.floats(0.1, 5), frequency=st.floats(0.1, 5))
def test_error_stays_below_its_bound(units, start, length, frequency):
    x = np.linspace(start, start + length, 1001)
    network = fit_steps(lambda z: np.sin(frequency * z), (start, start + length), units)
    assert network.w.shape == network.b.shape == network.v.shape == (units,)
    assert np.abs(network(x) - np.sin(frequency * x)).max() <= frequency * length / (2 * (units + 1)) * 1.001
    middles = start + length * (np.arange(units + 1) + 0.5) / (units + 1)
    jumps = np.abs(network.v).max()
    np.testing.assert_allclose(network(middles), np.sin(frequency * middles), atol=4e-9 * jumps * units + 1e-9)


def test_a_constant_needs_no_walls():
    network = fit_steps(lambda z: np.full(z.shape, 2.5), (0, 1), 3)
    np.testing.assert_array_equal(network([[0.1, 0.9]]), [[2.5, 2.5]])


@settings(max_examples=25, deadline=None)
@given(center=st.tuples(st.floats(-2, 2), st.floats(-2, 2)), width=st.floats(0.5, 3), seed=st.integers(0, 2**32 - 1))
def test_bump_2d_is_a_square(center, width, seed):
    x = np.random.default_rng(seed).uniform(-4, 4, size=(50, 4, 2))
    away = np.abs(x - np.array(center)).max(axis=-1) - width / 2
    clear = np.abs(away) > 0.1
    y = bump_2d(x, center, width, 100.0)
    assert y.shape == (50, 4)
    np.testing.assert_allclose(y[clear], (away < 0)[clear], atol=1e-3)


def test_bump_2d_by_its_formula():
    x = np.random.default_rng(0).uniform(-2, 2, size=(30, 2))
    walls = [expit(3 * (x[:, i] - low)) - expit(3 * (x[:, i] - low - 2)) for i, low in enumerate((-0.5, -1.5))]
    want = expit(3 * (walls[0] + walls[1] - 1.5))
    np.testing.assert_allclose(bump_2d(x, (0.5, -0.5), 2.0, 3.0), want, rtol=1e-10)


def test_a_network_of_steps_by_hand():
    network = fit_steps(lambda z: 10 * z, (0, 1), 1)  # heights 2.5 and 7.5, a wall at a half, forty over a half steep
    np.testing.assert_allclose([*network.w, *network.b, *network.v, network.c], [80, -40, 5, 2.5])
    assert network([0.5]) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bump(0.0, 1.0, 1.0, 1.0), "right: expected a wall to the right of 1.0"),
        (lambda: bump(0.0, 0.0, 1.0, 0.0), "steepness: expected a positive number, got 0.0"),
        (lambda: bump(0.0, 0.0, 1.0, np.nan), "steepness: expected a positive number"),
        (lambda: bump(0.0, -np.inf, 1.0, 1.0), "right: expected a wall to the right of -inf"),
        (lambda: fit_steps(np.sin, (1, 0), 3), "interval: expected"),
        (lambda: fit_steps(np.sin, (1, 1), 3), "interval: expected"),
        (lambda: fit_steps(np.sin, (0, np.inf), 3), "interval: expected"),
        (lambda: fit_steps(np.sin, (0, 1), 0), "units: expected a whole number of at least 1, got 0"),
        (lambda: fit_steps(np.log, (-1, 1), 0.5), "units: expected a whole number of at least 1"),
        (lambda: fit_steps(lambda z: z * np.nan, (0, 1), 3), "function: expected 4 finite values"),
        (lambda: fit_steps(lambda z: 1.0, (0, 1), 3), "function: expected 4 finite values"),
        (lambda: bump_2d([1.0], (0, 0), 1.0, 1.0), "x, center: expected shapes"),
        (lambda: bump_2d([1.0, 2.0], (0, 0, 0), 1.0, 1.0), "x, center: expected shapes"),
        (lambda: bump_2d([1.0, 2.0], (0, 0), -1.0, 1.0), r"width: expected a positive number, got -1\.0"),
        (lambda: bump_2d([1.0, 2.0], (0, 0), 1.0, 0.0), "steepness: expected a positive number"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()

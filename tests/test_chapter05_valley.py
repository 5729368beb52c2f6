"""The best parameters against closed forms, the proven ratios, and all other parameters of a grid."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter05.momentum import heavy_ball, nesterov
from kerasnotes.chapter05.valley import best_parameters


@settings(max_examples=20)
@given(st.floats(2, 1e4))
def test_double_roots_of_the_best_parameters(condition):
    root = math.sqrt(condition)
    r, t = (root - 1) / (root + 1), np.arange(30)
    rate, beta, ratio = best_parameters(1.0, condition)["heavy ball"]
    assert (rate, beta, ratio) == pytest.approx((4 / (1 + root) ** 2, r**2, r))
    path = heavy_ball(lambda w: np.array([1, condition]) * w, [1.0, 1.0], rate, beta, 29)
    closed = np.stack([(1 + (1 - r) * t) * r**t, (1 + (1 + r) * t) * (-r) ** t], axis=1)
    np.testing.assert_allclose(path, closed, rtol=1e-6, atol=1e-8)


def spectral_radius(rate, beta, curvature):
    """Of the matrix that takes (w, last w) of the heavy ball one step on."""
    return np.abs(np.linalg.eigvals([[1 + beta - rate * curvature, -beta], [1, 0]])).max()


@settings(max_examples=20)
@given(st.floats(0.1, 10), st.floats(1.1, 1000))
def test_no_other_rate_or_momentum_is_better(small, condition):
    large, found = small * condition, best_parameters(small, small * condition)
    for name, betas in (("plain descent", [0.0]), ("heavy ball", np.linspace(0, 0.99, 12))):
        best_rate, best_beta, ratio = found[name]
        worst = max(spectral_radius(best_rate, best_beta, curvature) for curvature in (small, large))
        assert worst == pytest.approx(ratio, abs=1e-5)
        for rate in np.linspace(0.05, 3.9, 25) / large:
            for beta in betas:
                assert max(spectral_radius(rate, beta, curvature) for curvature in (small, large)) >= ratio - 1e-6


@settings(max_examples=20)
@given(st.floats(1.5, 400))
def test_nesterov_stays_below_its_bound(condition):
    rate, beta, ratio = best_parameters(1.0, condition)["Nesterov"]
    path = nesterov(lambda w: np.array([1, condition]) * w, [1.0, 1.0], rate, beta, 400)
    distance = np.linalg.norm(path, axis=1)
    assert distance[-1] <= distance[0] * 400 * ratio**400 + 1e-300


@pytest.mark.parametrize("curvatures", [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (1.0, math.inf), (math.nan, 1.0)])
def test_errors(curvatures):
    with pytest.raises(ValueError, match="small, large: expected curvatures 0 < small <= large"):
        best_parameters(*curvatures)

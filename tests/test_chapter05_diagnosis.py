"""Verdicts by the table, polynomials beside NumPy's, and every error message."""

import numpy as np
import pytest

from kerasnotes.chapter05.diagnosis import ADVICE, diagnose, fit_polynomial


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        ((0.01, 0.02, 0.05), "fine"),
        ((0.05, 0.05, 0.05), "fine"),
        ((0.01, 0.2, 0.05), "overfitting"),
        ((0.01, 0.2, 0.05, 0.001), "overfitting"),
        ((0.1, 0.2, 0.05), "bias"),
        ((0.1, 0.01, 0.05), "bias"),
        ((0.1, 0.2, 0.05, 0.3), "bias"),
        ((0.1, 0.2, 0.05, 0.1), "bias"),
        ((0.1, 0.2, 0.05, 0.04), "optimization"),
        ((np.inf, np.inf, 0.05, 0.04), "optimization"),
    ],
)
def test_verdicts(errors, verdict):
    assert diagnose(*errors) == verdict
    assert verdict in ADVICE


def test_the_best_fit_is_numpys_and_descent_comes_to_it():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, size=(2, 30))
    best = fit_polynomial(x, y, 3)
    np.testing.assert_allclose(best, np.polyfit(x, y, 3)[::-1], atol=1e-9)
    np.testing.assert_allclose(fit_polynomial(x, y, 3, steps=5000), best, atol=1e-6)
    errors = [np.mean((np.vander(x, 4, increasing=True) @ fit_polynomial(x, y, 3, n) - y) ** 2) for n in (1, 10, 100)]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ((-0.1, 0.2, 0.05), "training_error: expected a number of at least 0"),
        ((np.nan, 0.2, 0.05), "training_error: expected a number of at least 0"),
        ((0.1, np.nan, 0.05), "validation_error: expected a number of at least 0"),
        ((0.1, 0.2, 0.05, -1), "smaller_training_error: expected a number of at least 0"),
        ((0.1, 0.2, 0.0), "hoped: expected a positive number"),
    ],
)
def test_errors(errors, message):
    with pytest.raises(ValueError, match=message):
        diagnose(*errors)

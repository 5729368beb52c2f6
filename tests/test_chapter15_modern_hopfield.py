"""The modern Hopfield network: Keras's attention, scipy's sums, and an energy that falls."""

import keras
import numpy as np
import pytest
from scipy.special import logsumexp

from kerasnotes.chapter15.modern_hopfield import modern_energy, modern_update


@pytest.mark.parametrize("seed", range(4))
def test_the_update_is_attention(seed):
    rng = np.random.default_rng(seed)
    patterns, state = rng.normal(size=(9, 6)), rng.normal(size=(4, 6))
    theirs = keras.layers.Attention()([state[None], patterns[None], patterns[None]])[0]
    np.testing.assert_allclose(modern_update(state, patterns, 1.0), theirs, atol=1e-5)


@pytest.mark.parametrize("beta", [0.01, 1.0, 50.0])
def test_the_energy_is_the_formula_and_falls(beta):
    rng = np.random.default_rng(1)
    patterns, state = rng.normal(size=(12, 5)), 3 * rng.normal(size=(40, 5))
    largest = np.max(np.linalg.norm(patterns, axis=1)) ** 2
    want = (
        -logsumexp(beta * state @ patterns.T, axis=1) / beta
        + np.linalg.norm(state, axis=1) ** 2 / 2
        + np.log(12) / beta
        + largest / 2
    )
    got = modern_energy(state, patterns, beta)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
    after = modern_energy(modern_update(state, patterns, beta), patterns, beta)
    assert np.all(after <= got + 1e-9)
    assert np.all(after >= -1e-9)
    assert np.all(after <= 2 * largest + 1e-9)


def test_the_update_goes_down_the_slope_of_the_energy():
    # With E = -lse + ½‖ξ‖², ξ - dE/dξ is the update.
    rng = np.random.default_rng(2)
    patterns, state = rng.normal(size=(7, 3)), rng.normal(size=(1, 3))
    slope = [
        (modern_energy(state + step, patterns, 2.0)[0] - modern_energy(state - step, patterns, 2.0)[0]) / 2e-5
        for step in 1e-5 * np.eye(3)
    ]
    np.testing.assert_allclose(state[0] - slope, modern_update(state, patterns, 2.0)[0], atol=1e-6)


def test_the_limits_of_beta():
    patterns = np.array([[1.0, 1.0], [1.0, -1.0], [-4.0, 0.0]])
    np.testing.assert_allclose(modern_update([[0.5, 2.0]], patterns, 1e-9), [patterns.mean(axis=0)], atol=1e-6)
    np.testing.assert_allclose(modern_update([[0.5, 2.0]], patterns, 1e4), [[1.0, 1.0]])


@pytest.mark.parametrize("function", [modern_energy, modern_update])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, 2.0]], [[1.0, 2.0, 3.0]], 1.0), "state: expected the shape"),
        (([1.0, 2.0], [[1.0, 2.0]], 1.0), "state: expected the shape"),
        (([[1.0, 2.0]], [1.0, 2.0], 1.0), "patterns: expected the shape"),
        (([[1.0, 2.0]], [[1.0, 2.0]], 0.0), "beta: expected a positive"),
        (([[1.0, np.nan]], [[1.0, 2.0]], 1.0), "must not contain"),
    ],
)
def test_errors(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)

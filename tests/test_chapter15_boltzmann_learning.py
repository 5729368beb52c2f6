"""Learning of Boltzmann machines: likelihoods by enumeration, gradients by differences, moments that match."""

import math

import numpy as np
import pytest

from kerasnotes.chapter15.boltzmann import binary_states, boltzmann_distribution, random_machine
from kerasnotes.chapter15.boltzmann_learning import (
    PARITY,
    divergence,
    likelihood_gradient,
    log_likelihood,
    train_boltzmann,
)


@pytest.mark.parametrize("hidden", [0, 1, 3])
def test_the_likelihood_is_a_sum_over_hidden_states(hidden):
    rng = np.random.default_rng(hidden)
    w, b = random_machine(5, rng)
    data = rng.integers(0, 2, (6, 5 - hidden))
    states, p = boltzmann_distribution(w, b)
    want = [math.log(p[(states[:, : 5 - hidden] == sample).all(axis=1)].sum()) for sample in data]
    assert log_likelihood(w, b, data, hidden) == pytest.approx(np.mean(want))


@pytest.mark.parametrize("hidden", [0, 2])
def test_the_gradient_is_the_slope(hidden):
    rng = np.random.default_rng(7)
    w, b = random_machine(4, rng)
    data = rng.integers(0, 2, (5, 4 - hidden))
    dw, db = likelihood_gradient(w, b, data, hidden)
    np.testing.assert_allclose(dw, dw.T, atol=1e-12)
    step = np.zeros((4, 4))
    step[3, 1] = step[1, 3] = 1e-5
    ends = [log_likelihood(w + sign * step, b, data, hidden) for sign in (1, -1)]
    assert dw[3, 1] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-8)
    ends = [log_likelihood(w, b + sign * 1e-5 * np.eye(4)[2], data, hidden) for sign in (1, -1)]
    assert db[2] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-8)


def test_without_hidden_units_it_takes_over_means_and_pairs():
    data = binary_states(3)[[0, 1, 3, 3, 6]]
    w, b = train_boltzmann(data, 0, 3000, 0.02, seed=0)
    states, p = boltzmann_distribution(w, b)
    np.testing.assert_allclose((states.T * p) @ states, data.T @ data / 5, atol=0.02)


def test_parity_is_nothing_that_pairs_show():
    w, b = train_boltzmann(PARITY, 0, 800, 0.02, seed=3)
    assert divergence(w, b, PARITY) == pytest.approx(math.log(2), abs=1e-3)
    assert divergence(np.zeros((3, 3)), np.zeros(3), PARITY) == pytest.approx(math.log(2))


def test_one_seed_gives_the_same_machine_and_drawing_learns():
    first, again = (train_boltzmann(PARITY, 2, 5, 0.1, 4, exact=False, chains=20) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    pair = np.array([[0, 0], [1, 1]])
    w, b = train_boltzmann(pair, 0, 60, 1.0, 0, exact=False, momentum=0.0, chains=400)
    assert divergence(w, b, pair) < 0.35  # log 2 for two fair coins
    assert not np.diag(w).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_likelihood(np.zeros((3, 3)), np.zeros(3), [[1, 0]]), "data: expected the shape"),
        (lambda: log_likelihood(np.zeros((2, 2)), np.zeros(2), [[1, 2]]), "data: expected states 0 and 1"),
        (lambda: log_likelihood(np.zeros((2, 2)), np.zeros(2), [[1]], -1), "hidden: expected a whole number"),
        (lambda: likelihood_gradient(np.eye(2), np.zeros(2), [[1, 1]]), "w: expected symmetric weights"),
        (lambda: train_boltzmann(PARITY, 0, 0, 0.1, 0), "steps: expected a whole number"),
        (lambda: train_boltzmann(PARITY, 0, 1, 0.0, 0), "learning_rate: expected a positive"),
        (lambda: train_boltzmann([[1, -1]], 0, 1, 0.1, 0), "data: expected states 0 and 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Boltzmann machines: distributions by enumeration, chains that follow them, annealing."""

import numpy as np
import pytest
from scipy.special import expit

from kerasnotes.chapter15.boltzmann import (
    anneal,
    binary_states,
    boltzmann_distribution,
    boltzmann_energy,
    gibbs_sample,
    random_machine,
    unit_probability,
)


def test_states_are_counted_with_unit_0_as_the_lowest_bit():
    assert binary_states(2).tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]


def test_one_unit_and_two_by_hand():
    _, p = boltzmann_distribution(np.zeros((1, 1)), [0.4], 2.5)
    np.testing.assert_allclose(p, [1 - expit(0.16), expit(0.16)])
    w = np.array([[0.0, 2.0], [2.0, 0.0]])
    states, p = boltzmann_distribution(w, [0.0, -1.0])
    # energies 0, 0, 1, -2 + 1
    weights = np.exp([0.0, 0.0, -1.0, 1.0])
    np.testing.assert_allclose(p, weights / weights.sum())
    np.testing.assert_allclose(boltzmann_energy(states, w, np.array([0.0, -1.0])), [0, 0, 1, -1])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_a_units_probability_is_a_ratio_of_two_states(temperature):
    w, b = random_machine(5, np.random.default_rng(0))
    states, p = boltzmann_distribution(w, b, temperature)
    for number, state in enumerate(states):
        for unit in range(5):
            on, off = number | 1 << unit, number & ~(1 << unit)
            got = unit_probability(state, unit, w, b, temperature)
            assert got == pytest.approx(p[on] / (p[on] + p[off]))
    assert unit_probability(states, 2, w, b, temperature).shape == (32,)


def test_large_sums_do_not_overflow():
    w = np.array([[0.0, 1e5], [1e5, 0.0]])
    assert unit_probability([0.0, 1.0], 0, w, [0.0, 0.0]) == 1.0
    assert unit_probability([0.0, 1.0], 0, -w, [0.0, 0.0]) == 0.0
    _, p = boltzmann_distribution(w, [0.0, 0.0], 0.01)
    np.testing.assert_allclose(p, [0, 0, 0, 1])


def test_chains_follow_the_distribution():
    w, b = random_machine(3, np.random.default_rng(4))
    visited = gibbs_sample(w, b, 300, 200, temperature=1.5, seed=1)
    assert visited.shape == (200, 300, 3)
    numbers = (visited[:, 50::10] @ [1, 2, 4]).astype(int).ravel()
    _, p = boltzmann_distribution(w, b, 1.5)
    share = np.bincount(numbers, minlength=8) / len(numbers)
    assert np.all(np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / len(numbers)))
    np.testing.assert_array_equal(visited, gibbs_sample(w, b, 300, 200, temperature=1.5, seed=1))


def test_annealing_ends_at_rest_and_low():
    w, b = random_machine(8, np.random.default_rng(2))
    states, energies = anneal(w, b, [*np.geomspace(5, 0.1, 60), 0.0, 0.0], 50, seed=0)
    assert energies.shape == (50, 62)
    np.testing.assert_allclose(energies[:, -1], boltzmann_energy(states, w, b))
    np.testing.assert_array_equal(states, (states @ w + b > 0).astype(float))
    lowest = boltzmann_energy(binary_states(8), w, b).min()
    assert np.mean(energies[:, -1] < lowest + 1e-9) > 0.5
    assert energies[:, -1].min() >= lowest - 1e-9


SYMMETRIC = np.array([[0.0, 1.0], [1.0, 0.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: boltzmann_distribution(np.eye(2), [0, 0]), "w: expected symmetric weights"),
        (lambda: boltzmann_distribution([[0, 1], [2, 0]], [0, 0]), "w: expected symmetric weights"),
        (lambda: boltzmann_distribution(SYMMETRIC, [0.0]), "w: expected the shape"),
        (lambda: boltzmann_distribution(SYMMETRIC, [0, 0], 0.0), "temperature: expected a positive"),
        (lambda: boltzmann_distribution(np.zeros((21, 21)), np.zeros(21)), "at most 20"),
        (lambda: gibbs_sample(SYMMETRIC, [0, 0], 0, 1), "steps: expected a whole number"),
        (lambda: gibbs_sample(SYMMETRIC, [0, 0], 1, 0), "chains: expected a whole number"),
        (lambda: anneal(SYMMETRIC, [0, np.inf], [1.0], 1), "must not contain"),
        (lambda: binary_states(0), "units: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

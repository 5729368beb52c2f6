"""Hopfield networks: closed forms, energies by enumeration, every error."""

import numpy as np
import pytest

from kerasnotes.chapter15.hopfield import (
    all_states,
    asynchronous_sweep,
    energy,
    hebbian_weights,
    recall,
    synchronous_step,
)


def network(rng, units=6):
    w = rng.normal(size=(units, units))
    w = w + w.T
    np.fill_diagonal(w, 0.0)
    return w, rng.normal(size=units)


def test_weights_of_two_patterns_by_hand():
    w = hebbian_weights([[1, 1, -1], [1, -1, -1]])
    np.testing.assert_allclose(w, np.array([[0, 0, -2], [0, 0, 0], [-2, 0, 0]]) / 3)


def test_the_energy_by_hand():
    w, b = np.array([[0.0, 2.0], [2.0, 0.0]]), np.array([0.5, -1.0])
    # -½ (2·2·s0 s1) - 0.5 s0 + s1
    np.testing.assert_allclose(energy([[1, 1], [1, -1], [-1, -1]], w, b), [-2 - 0.5 + 1, 2 - 0.5 - 1, -2 + 0.5 - 1])
    np.testing.assert_allclose(energy([[1, 1]], w), [-2.0])


@pytest.mark.parametrize("seed", range(5))
def test_a_sweep_is_one_unit_after_the_other(seed):
    rng = np.random.default_rng(seed)
    w, b = rng.normal(size=(7, 7)), rng.normal(size=7)  # not symmetric: a sweep needs no symmetry
    state = rng.choice([-1.0, 1.0], size=7)
    want = state.copy()
    for unit in range(7):
        want[unit] = np.sign(sum(w[unit, j] * want[j] for j in range(7)) + b[unit])
    np.testing.assert_array_equal(asynchronous_sweep(state, w, b), want)
    order = np.random.default_rng(3).permutation(7)
    want = state.copy()
    for unit in order:
        want[unit] = np.sign(w[unit] @ want + b[unit])
    np.testing.assert_array_equal(asynchronous_sweep(state, w, b, np.random.default_rng(3)), want)


def test_a_sum_of_zero_keeps_the_unit():
    w = np.zeros((2, 2))
    np.testing.assert_array_equal(asynchronous_sweep([1, -1], w), [1, -1])
    np.testing.assert_array_equal(synchronous_step([[1, -1]], w), [[1, -1]])


@pytest.mark.parametrize("seed", range(5))
def test_recall_ends_where_no_unit_wants_to_leave(seed):
    rng = np.random.default_rng(seed)
    w, b = network(rng)
    for start in all_states(6)[::7]:
        state, energies = recall(start, w, b, seed=seed)
        np.testing.assert_array_equal(synchronous_step(state[None], w, b)[0], state)
        assert np.all(np.diff([energy(start[None], w, b)[0], *energies]) <= 1e-12)
        assert energies[-1] == pytest.approx(energy(state[None], w, b)[0])


def test_the_start_is_not_changed():
    w, b = network(np.random.default_rng(0))
    start = np.ones(6)
    recall(start, w, b)
    asynchronous_sweep(start, w, b)
    assert start.tolist() == [1.0] * 6


def test_no_more_sweeps_than_allowed():
    _, energies = recall([1, 1], np.array([[0.0, 1.0], [-1.0, 0.0]]), max_sweeps=7)
    assert len(energies) == 7


def test_states_are_counted_with_the_first_unit_fastest():
    assert all_states(2).tolist() == [[-1, -1], [1, -1], [-1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hebbian_weights([[0, 1]]), "patterns: expected states"),
        (lambda: hebbian_weights([1, -1]), "patterns: expected the shape"),
        (lambda: hebbian_weights(np.zeros((0, 3))), "patterns: expected states"),
        (lambda: energy([[1, 1, 1]], np.eye(2)), "states: expected the shape"),
        (lambda: energy([[1, 0.5]], np.eye(2)), "states: expected states"),
        (lambda: energy([[1, 1]], np.eye(2), [1.0]), "b: expected the shape"),
        (lambda: asynchronous_sweep([1, 1], np.ones((2, 3))), "w: expected the shape"),
        (lambda: asynchronous_sweep([[1, 1]], np.eye(2)), "state: expected the shape"),
        (lambda: synchronous_step([1, 1], np.eye(2)), "states: expected the shape"),
        (lambda: recall([1, 1], np.array([[0, np.nan], [0, 0]])), "array must not contain"),
        (lambda: recall([1, 1], np.eye(2), max_sweeps=0), "max_sweeps: expected a whole number"),
        (lambda: all_states(0), "units: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_tie_stays_a_tie_whatever_the_rounding():
    # Multiples of 1/40 seldom cancel to an exact zero.
    rng = np.random.default_rng(0)
    ties = 0
    for _ in range(200):
        patterns = rng.choice([-1.0, 1.0], size=(12, 40))
        w = hebbian_weights(patterns)
        exact = patterns @ (patterns.T @ patterns - 12 * np.eye(40))  # whole numbers
        kept = synchronous_step(patterns, w) == patterns
        assert kept[exact == 0].all()
        ties += np.sum(exact == 0)
        swept = asynchronous_sweep(patterns[0], w)
        if exact[0, 0] == 0:
            assert swept[0] == patterns[0, 0]
    assert ties > 100

"""Capacity: the exact share of wrong bits against scipy, recall at low load, unlearning."""

import math

import numpy as np
import pytest
from scipy import stats

from kerasnotes.chapter15.hopfield import hebbian_weights
from kerasnotes.chapter15.hopfield_capacity import (
    exact_first_step_error,
    first_step_error,
    overlap_after_recall,
    stable_share,
    unlearning,
)


@pytest.mark.parametrize(("n", "patterns"), [(10, 3), (11, 2), (40, 9), (100, 14), (101, 30)])
def test_the_exact_share_is_a_binomial_tail(n, patterns):
    coins = (n - 1) * (patterns - 1)
    want = sum(stats.binom.pmf(heads, coins, 0.5) for heads in range(coins + 1) if 2 * heads - coins < -(n - 1))
    assert exact_first_step_error(n, patterns) == pytest.approx(want, rel=1e-9)


def test_two_patterns_of_two_units_by_hand():
    # One coin: its sum is at least -1, which is a tie and keeps the unit.
    assert exact_first_step_error(2, 2) == 0.0
    # Three patterns: two coins, -2 < -1 in one case of four.
    assert exact_first_step_error(2, 3) == pytest.approx(0.25)


def test_the_measured_share_is_the_exact_one():
    share, error = first_step_error(40, 12, seed=5, trials=400)
    assert abs(share - exact_first_step_error(40, 12)) < 4 * error
    assert error < 0.01


def test_for_many_units_it_is_normal():
    normal = math.erfc(math.sqrt(3000 / (2 * 600))) / 2
    assert exact_first_step_error(3000, 600) == pytest.approx(normal, rel=0.02)


def test_few_patterns_are_all_there_in_the_end():
    np.testing.assert_array_equal(overlap_after_recall(200, 2, seed=0, trials=5, starts=2), np.ones(5))
    assert overlap_after_recall(200, 100, seed=0, trials=3).max() < 0.9
    first, again = (overlap_after_recall(60, 12, seed=3, trials=4) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_unlearning_stores_what_hebb_does_not():
    patterns = np.random.default_rng(0).choice([-1, 1], size=(15, 50))
    w = unlearning(patterns, 600, 0.02, seed=0)
    np.testing.assert_array_equal(w, w.T)
    assert not np.diag(w).any()
    assert stable_share(patterns, hebbian_weights(patterns)) < 0.5
    assert stable_share(patterns, w) == 1.0
    np.testing.assert_array_equal(unlearning(patterns, 0, 0.02, seed=0), hebbian_weights(patterns))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: first_step_error(10, 2, 0, 1), "trials: expected a whole number of at least 2"),
        (lambda: first_step_error(10, 0, 0, 2), "patterns: expected a whole number"),
        (lambda: exact_first_step_error(1, 3), "n: expected a whole number of at least 2"),
        (lambda: overlap_after_recall(10, 2, 0, 0), "trials: expected a whole number"),
        (lambda: unlearning([[1, -1]], 3, 0.0, 0), "learning_rate: expected a positive"),
        (lambda: unlearning([[1, -1]], -1, 0.1, 0), "steps: expected a whole number"),
        (lambda: unlearning([[1, 0]], 3, 0.1, 0), "patterns: expected states"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Regret: counted by hand, bounded from above and from below."""

import math

import numpy as np
import pytest

from kerasnotes.chapter12.bandits import regret_bound
from kerasnotes.chapter12.confidence_bounds import (
    bound_player,
    greedy_player,
    lowest_slope,
    regrets_of,
)


def test_regret_by_hand():
    """The worst arm for ever costs its gap a pull; the arms in turn cost the mean gap."""
    worst = regrets_of(lambda values, counts, step, rng: np.full(3, 1), [0.9, 0.5], [1, 2, 10], 3, 0)
    np.testing.assert_allclose(worst, [[0.4, 0.8, 4.0]] * 3)
    turns = regrets_of(lambda values, counts, step, rng: np.full(2, step % 2), [0.9, 0.5], np.array([2, 10]), 2, 0)
    np.testing.assert_allclose(turns, [[0.4, 2.0]] * 2)


def test_players_see_the_means_of_their_rewards():
    def check(values, counts, step, rng):
        assert counts.sum(axis=1).tolist() == [step - 1] * 4
        assert np.all((values >= 0) & (values <= 1))
        np.testing.assert_allclose(values * counts, np.round(values * counts), atol=1e-9)  # sums of 0 and 1
        return rng.integers(2, size=4)

    regrets_of(check, [0.3, 0.6], [50], 4, 1)


def test_the_lower_slope_is_a_ratio_of_gap_and_divergence():
    divergence = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert lowest_slope([0.75, 0.5]) == pytest.approx(0.25 / divergence)
    assert lowest_slope([0.75, 0.5, 0.5]) == pytest.approx(0.5 / divergence)
    assert lowest_slope([0.9, 0.89]) > lowest_slope([0.9, 0.1])  # what is hard to tell apart costs more


def test_a_bound_bends_and_a_fixed_share_does_not():
    times = [500, 1000, 2000, 4000]
    bound, greedy = (
        regrets_of(player, [0.8, 0.3], times, 40, 0).mean(axis=0) for player in (bound_player(1.0), greedy_player(0.2))
    )
    assert np.all(bound <= regret_bound([0.0, 0.5], times))
    assert np.diff(greedy)[-1] / 2000 == pytest.approx(0.2 * 0.5 / 2, rel=0.15)
    assert bound[-1] - bound[-2] < bound[1]


def test_errors():
    with pytest.raises(ValueError, match="players: expected a whole number"):
        regrets_of(greedy_player(0.1), [0.5, 0.4], [10], 0, 0)
    with pytest.raises(ValueError, match="means: expected probabilities"):
        regrets_of(greedy_player(0.1), [1.5, 0.4], [10], 2, 0)

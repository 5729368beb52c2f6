"""Families: returns computed instead of played, and a model estimated from steps."""

import gymnasium
import numpy as np
import pytest

from kerasnotes.chapter12.dynamic_programming import simulate, value_iteration
from kerasnotes.chapter12.environment import Episode
from kerasnotes.chapter12.families import estimate_transitions, expected_return

STAY_OR_TAKE = {0: {0: [(1.0, 0, 0.6, False)], 1: [(1.0, 0, 1.0, True)]}}


def lake():
    return gymnasium.make("FrozenLake-v1").unwrapped.P


def test_returns_by_hand():
    """Staying pays 0.6 a step; taking pays 1 once and ends; who sees the clock stays, and takes at last."""
    assert expected_return(STAY_OR_TAKE, [0], 0, 3) == pytest.approx(1.8)
    assert expected_return(STAY_OR_TAKE, [1], 0, 3) == pytest.approx(1.0)
    assert expected_return(STAY_OR_TAKE, None, 0, 3) == pytest.approx(2.2)
    assert expected_return(STAY_OR_TAKE, [[0.5, 0.5]], 0, 2) == pytest.approx(0.8 + 0.5 * 0.8)
    assert expected_return(lake(), np.full(16, 2), 14, 1) == pytest.approx(1 / 3)  # the goal is to the right of 14


@pytest.mark.parametrize("limit", [20, 100])
def test_returns_equal_the_mean_of_episodes(limit):
    table = lake()
    for policy in (value_iteration(table, 0.99)[1], np.full((16, 4), 0.25)):
        sums = np.array([episode.rewards.sum() for episode in simulate(table, policy, 0, 4000, limit, 3)])
        error = sums.std() / np.sqrt(len(sums))
        assert expected_return(table, policy, 0, limit) == pytest.approx(sums.mean(), abs=4 * error)


def test_no_policy_beats_the_one_that_sees_the_clock():
    table, rng = lake(), np.random.default_rng(1)
    best = expected_return(table, None, 0, 30)
    assert all(expected_return(table, rng.integers(0, 4, 16), 0, 30) <= best for _ in range(20))
    assert expected_return(table, value_iteration(table, 0.99)[1], 0, 30) < best


def test_a_model_by_hand():
    episodes = [
        Episode(np.array([0, 1, 0, 2]), np.array([1, 0, 1]), np.array([0.0, 0.0, 5.0]), True, False),
        Episode(np.array([0, 1]), np.array([1]), np.array([0.0]), False, True),
    ]
    table = estimate_transitions(episodes, 3, 2)
    shares = {tuple(rest): probability for probability, *rest in table[0][1]}
    assert shares == pytest.approx({(1, 0.0, False): 2 / 3, (2, 5.0, True): 1 / 3})
    assert table[1] == {0: [(1.0, 0, 0.0, False)], 1: [(1.0, 1, 0.0, False)]}  # truncated is no end, untried stays
    assert table[2] == {0: [(1.0, 2, 0.0, False)], 1: [(1.0, 2, 0.0, False)]}


def test_a_model_from_many_steps_is_the_true_one():
    true = lake()
    alive = [state for state in range(16) if state not in (5, 7, 11, 12, 15)]
    starts = np.array(alive)[np.random.default_rng(0).integers(len(alive), size=6000)]
    table = estimate_transitions(simulate(true, np.full((16, 4), 0.25), starts, 6000, 50, 2), 16, 4)
    for state in alive:
        for action in range(4):
            want = {}
            for probability, *rest in true[state][action]:
                want[tuple(rest)] = want.get(tuple(rest), 0) + probability
            got = {tuple(rest): probability for probability, *rest in table[state][action]}
            assert got.keys() == want.keys()
            assert all(got[key] == pytest.approx(want[key], abs=0.08) for key in want)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, [0], 0, 5), "transitions: expected"),
        ((STAY_OR_TAKE, [2], 0, 5), "policy: expected"),
        ((STAY_OR_TAKE, [0], 1, 5), "start: expected a state from 0 to 0, got 1"),
        ((STAY_OR_TAKE, [0], 0, 0), "max_steps: expected a whole number of at least 1, got 0"),
        ((STAY_OR_TAKE, [0], 0, 1.5), "max_steps: expected a whole number of at least 1, got 1.5"),
    ],
)
def test_errors_of_a_return(arguments, message):
    with pytest.raises(ValueError, match=message):
        expected_return(*arguments)


def test_errors_of_a_model():
    episode = Episode(np.array([0, 1]), np.array([1]), np.array([0.0]), True, False)
    with pytest.raises(ValueError, match="episodes: expected at least one"):
        estimate_transitions([], 3, 2)
    with pytest.raises(ValueError, match="episodes: expected states below 1"):
        estimate_transitions([episode], 1, 2)
    with pytest.raises(ValueError, match="episodes: expected states below 2 and actions below 1"):
        estimate_transitions([episode], 2, 1)

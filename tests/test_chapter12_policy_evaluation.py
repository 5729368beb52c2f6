"""Tables as arrays, values against Bellman's equation, and episodes drawn from a table."""

import gymnasium
import numpy as np
import pytest

from kerasnotes.chapter12.dynamic_programming import is_proper, value_iteration
from kerasnotes.chapter12.policy_evaluation import (
    action_values,
    policy_evaluation,
    policy_probabilities,
    repeat_sweeps,
    simulate,
    steps_to_end,
    transition_arrays,
    under_policy,
)

STAY = {0: {0: [(1.0, 0, 0.0, False)], 1: [(1.0, 0, 1.0, True)]}}  # stay for nothing, or end with 1


PAY = {0: {0: [(1.0, 0, -1.0, False)], 1: [(1.0, 0, -5.0, True)]}}  # staying costs

EARN = {0: {0: [(1.0, 0, 1.0, False)], 1: [(1.0, 0, 0.0, True)]}}  # staying pays


def lake(name="4x4", **arguments):
    return gymnasium.make("FrozenLake-v1", map_name=name, **arguments).unwrapped.P


def random_table(seed, states=6, actions=3):
    rng = np.random.default_rng(seed)
    return {
        s: {
            a: [
                (p, int(rng.integers(states)), float(rng.normal()), bool(rng.random() < 0.2))
                for p in rng.dirichlet([1, 1, 1])
            ]
            for a in range(actions)
        }
        for s in range(states)
    }


def expected_outcomes(table, policy, values, discount):
    """The right-hand side of Bellman's equation, outcome by outcome."""
    return [
        sum(
            share * p * (r + (0 if end else discount * values[t]))
            for a, share in enumerate(policy[s])
            for p, t, r, end in table[s][a]
        )
        for s in table
    ]


def broken(**changes):
    return {0: {0: changes.get("outcomes", [(1.0, 0, 0.0, True)])}, **changes.get("more", {})}


def test_the_arrays_of_a_table():
    table = {
        0: {0: [(0.25, 1, 4.0, False), (0.25, 1, 0.0, False), (0.5, 0, 2.0, True)]},
        1: {0: [(1.0, 0, -1.0, False)]},
    }
    p, r = transition_arrays(table)
    assert p.tolist() == [[[0.0, 0.5]], [[1.0, 0.0]]]
    assert r.tolist() == [[2.0], [-1.0]]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("discount", [0.0, 0.7, 0.95])
def test_evaluation_solves_bellmans_equation(seed, discount):
    table = random_table(seed)
    policy = np.random.default_rng(seed + 10).dirichlet([1, 1, 1], size=6)
    values = policy_evaluation(table, policy, discount)
    np.testing.assert_allclose(values, expected_outcomes(table, policy, values, discount), atol=1e-8)


def test_a_rewarded_way_into_a_silent_loop_has_a_value():
    table = {0: {0: [(1.0, 1, 3.0, False)]}, 1: {0: [(1.0, 1, 0.0, False)]}}
    assert policy_evaluation(table, [0, 0], 1.0).tolist() == [3.0, 0.0]
    assert not is_proper(table, [0, 0])


def test_policies_as_probabilities():
    assert policy_probabilities([1, 0], 2, 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    rows = [[0.5, 0.5], [0.0, 1.0]]
    assert policy_probabilities(rows, 2, 2).tolist() == rows


def test_simulated_episodes_follow_the_table():
    table = random_table(5)
    policy = np.random.default_rng(1).dirichlet([1, 1, 1], size=6)
    start = np.arange(3000) % 6
    episodes = simulate(table, policy, start, 3000, 200, 7)
    pairs, outcomes = np.zeros((6, 3)), {}
    for begin, episode in zip(start, episodes, strict=True):
        assert episode.observations[0] == begin
        assert len(episode.observations) == len(episode.actions) + 1 == len(episode) + 1
        assert episode.terminated != episode.truncated
        assert episode.terminated or len(episode) == 200
        for s, a, r, t in zip(episode.observations, episode.actions, episode.rewards, episode.observations[1:]):  # noqa: B905
            pairs[s, a] += 1
            outcomes[s, a, t, r] = outcomes.get((s, a, t, r), 0) + 1
    visits = pairs.sum(axis=1, keepdims=True)
    assert np.all(np.abs(pairs / visits - policy) < 5 * np.sqrt(policy * (1 - policy) / visits) + 1e-3)
    for s in range(6):
        for a in range(3):
            assert sum(outcomes.get((s, a, t, r), 0) for _, t, r, _ in table[s][a]) == pairs[s, a]
            for p, t, r, _ in table[s][a]:
                share = outcomes.get((s, a, t, r), 0) / pairs[s, a]
                assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / pairs[s, a]) + 1e-3
    totals = np.array([e.rewards @ 0.9 ** np.arange(len(e)) for e in episodes])
    want = policy_evaluation(table, policy, 0.9)
    for s in range(6):
        mine = totals[start == s]
        assert mine.mean() == pytest.approx(want[s], abs=4 * mine.std() / np.sqrt(len(mine)))


def test_one_seed_one_simulation_and_cuts():
    table = lake()
    policy = value_iteration(table, 0.99)[1]
    first, again, other = (simulate(table, policy, 0, 20, 10, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a.observations, b.observations) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a.observations, b.observations) for a, b in zip(first, other, strict=True))
    cut = [episode for episode in first if episode.truncated]
    assert cut
    assert all(len(episode) == 10 for episode in cut)


def test_a_policy_makes_a_chain_of_a_table():
    p, r = transition_arrays(random_table(2))
    chain, rewards = under_policy(p, r, np.array([0, 1, 2, 0, 1, 2]))
    for state, action in enumerate([0, 1, 2, 0, 1, 2]):
        np.testing.assert_array_equal(chain[state], p[state, action])
        assert rewards[state] == r[state, action]
    np.testing.assert_allclose(under_policy(p, r, np.full((6, 3), 1 / 3))[0], p.mean(axis=1))


def test_shortest_ways_to_an_end():
    """Three states in a row, the last of which ends half of the time, and a fourth that never does."""
    chain = np.array([[0.0, 1.0, 0.0, 0.0], [0.5, 0.0, 0.5, 0.0], [0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    assert steps_to_end(chain).tolist() == [3.0, 2.0, 1.0, np.inf]


def test_sweeps_end_where_nothing_moves():
    assert repeat_sweeps(lambda v: v / 2 + 1, 3, 1e-12, 100) == pytest.approx([2.0] * 3)
    with pytest.raises(ValueError, match="max_sweeps: expected enough to settle"):
        repeat_sweeps(lambda v: v + 1, 3, 1e-12, 100)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: transition_arrays({}), "transitions: expected states counted from 0"),
        (lambda: transition_arrays({1: {0: []}}), "transitions: expected states counted from 0"),
        (lambda: transition_arrays(broken(outcomes=[(0.5, 0, 0.0, True)])), "probabilities that add up to 1"),
        (lambda: transition_arrays(broken(outcomes=[(2.0, 0, 0, True), (-1.0, 0, 0, True)])), "add up to 1"),
        (lambda: transition_arrays(broken(outcomes=[(1.0, 3, 0.0, True)])), "known states and finite rewards"),
        (lambda: transition_arrays(broken(outcomes=[(1.0, 0, np.nan, True)])), "known states and finite rewards"),
        (lambda: transition_arrays(broken(more={1: {}})), "expected 1 actions in every state"),
        (lambda: policy_probabilities([0, 2], 2, 2), "policy: expected actions"),
        (lambda: policy_probabilities([0.0, 1.0], 2, 2), "policy: expected actions"),
        (lambda: policy_probabilities([[0.5, 0.6]], 1, 2), "policy: expected actions"),
        (lambda: policy_probabilities([[1.5, -0.5]], 1, 2), "policy: expected actions"),
        (lambda: policy_evaluation(STAY, [0], 1.5), "discount: expected a number"),
        (lambda: policy_evaluation(STAY, [0], 0.9, tolerance=0), "tolerance: expected a positive"),
        (lambda: policy_evaluation(STAY, [0], 0.9, max_sweeps=0), "max_sweeps: expected a whole"),
        (lambda: policy_evaluation(PAY, [0], 1.0), "policy: expected one that leaves every loop"),
        (lambda: policy_evaluation(EARN, [0], 0.99, max_sweeps=3), "max_sweeps: expected enough to settle, got 3"),
        (lambda: action_values(STAY, [1.0, 2.0], 0.9), "values: expected finite numbers"),
        (lambda: simulate(STAY, [1], 0, 0, 5, 0), "episodes: expected a whole number"),
        (lambda: simulate(STAY, [1], 0, 5, 0, 0), "max_steps: expected a whole number"),
        (lambda: simulate(STAY, [1], 1, 5, 5, 0), "start: expected a state from 0 to 0"),
        (lambda: simulate(STAY, [1], [0, 0], 5, 5, 0), "start: expected a state"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

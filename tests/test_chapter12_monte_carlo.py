"""Means of returns: by hand, against a plain loop with a dictionary, and against dynamic programming."""

import gymnasium
import numpy as np
import pytest

from kerasnotes.chapter12.dynamic_programming import policy_evaluation, simulate
from kerasnotes.chapter12.environment import Episode
from kerasnotes.chapter12.monte_carlo import epsilon_soft, monte_carlo_control, monte_carlo_prediction


def lake(**arguments):
    return gymnasium.make("FrozenLake-v1", **arguments)


def episode(states, rewards, terminated=True):
    return Episode(np.array(states), np.zeros(len(rewards), int), np.array(rewards, float), terminated, not terminated)


def plain(episodes, states, discount, first_visit):
    """The book's loop: from the end of each episode to its start."""
    returns = {state: [] for state in range(states)}
    for each in episodes:
        total, seen = 0.0, each.observations[:-1].tolist()
        for t in reversed(range(len(each.rewards))):
            total = each.rewards[t] + discount * total
            if not first_visit or seen[t] not in seen[:t]:
                returns[seen[t]].append(total)
    return [np.mean(r) if r else np.nan for r in returns.values()], [len(r) for r in returns.values()]


def test_three_visits_by_hand():
    one = [episode([0, 0, 1, 0, 2], [1, 2, 4, 8])]
    values, counts = monte_carlo_prediction(one, 3, 0.5)
    assert values[:2].tolist() == [1 + 1 + 1 + 1, 4 + 4]
    assert np.isnan(values[2])  # the end is not a visit: nothing follows it
    assert counts.tolist() == [1, 1, 0]
    values, counts = monte_carlo_prediction(one, 3, 0.5, first_visit=False)
    assert values[:2].tolist() == [(4 + 6 + 8) / 3, 8]
    assert counts.tolist() == [3, 1, 0]


@pytest.mark.parametrize("discount", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("first_visit", [True, False])
def test_equal_to_the_books_loop(discount, first_visit):
    table = lake().unwrapped.P
    episodes = simulate(table, np.full((16, 4), 0.25), 0, 150, 10000, 3)
    values, counts = monte_carlo_prediction(episodes, 16, discount, first_visit)
    want, visits = plain(episodes, 16, discount, first_visit)
    np.testing.assert_allclose(values, want, rtol=1e-12)
    assert counts.tolist() == visits


@pytest.mark.parametrize("first_visit", [True, False])
def test_many_episodes_come_near_the_value(first_visit):
    table = lake().unwrapped.P
    policy = np.full((16, 4), 0.25)
    episodes = simulate(table, policy, 14, 4000, 10000, 4)
    values, _ = monte_carlo_prediction(episodes, 16, 0.9, first_visit)
    assert values[14] == pytest.approx(policy_evaluation(table, policy, 0.9)[14], abs=0.03)


def test_epsilon_soft_by_hand():
    got = epsilon_soft([[0.0, 1.0, 0.5, 0.2], [2.0, 2.0, 0.0, 0.0]], 0.2)
    np.testing.assert_allclose(got, [[0.05, 0.85, 0.05, 0.05], [0.45, 0.45, 0.05, 0.05]])
    assert epsilon_soft([[0.0, 1.0]], 0.0).tolist() == [[0.0, 1.0]]
    assert epsilon_soft([[0.0, 1.0]], 1.0).tolist() == [[0.5, 0.5]]


class Fork(gymnasium.Env):
    """Action 0 ends with the reward 1; action 1 waits once at a cost of 1, and then every action ends with 4."""

    observation_space, action_space = gymnasium.spaces.Discrete(2), gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = 0
        return 0, {}

    def step(self, action):
        if self.state == 1:
            return 1, 4.0, True, False, {}
        self.state = action
        return action, (1.0, -1.0)[action], action == 0, False, {}


def test_control_learns_exact_values_of_a_fork():
    values, returns = monte_carlo_control(Fork(), 200, 0.5, 0.3, 0)
    np.testing.assert_allclose(values, [[1.0, 1.0], [4.0, 4.0]])  # −1 + ½ · 4 ties with 1
    assert set(returns) == {1.0}
    values, returns = monte_carlo_control(Fork(), 200, 1.0, 0.3, 0)
    np.testing.assert_allclose(values, [[1.0, 3.0], [4.0, 4.0]])
    assert np.mean(returns[50:] == 3.0) == pytest.approx(0.85, abs=0.12)


def test_a_cut_counts_as_if_nothing_followed():
    values, returns = monte_carlo_control(Fork(), 50, 1.0, 1.0, 0, max_steps=1)
    np.testing.assert_allclose(values, [[1.0, -1.0], [0.0, 0.0]])
    assert set(returns) == {1.0, -1.0}


def test_control_solves_the_lake_without_slips():
    env = lake(is_slippery=False)
    values, returns = monte_carlo_control(env, 600, 0.99, 0.2, 1)
    assert policy_evaluation(env.unwrapped.P, values.argmax(axis=1), 0.99)[0] == pytest.approx(0.99**5)
    assert returns[-100:].mean() > returns[:100].mean()


def test_one_seed_one_run():
    first, again = (monte_carlo_control(lake(), 60, 0.99, 0.2, 1) for _ in range(2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    returns = [monte_carlo_control(Fork(), 60, 1.0, 0.5, seed)[1] for seed in (1, 2)]
    assert not np.array_equal(*returns)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: monte_carlo_prediction([], 3, 0.9), "episodes: expected at least one"),
        (lambda: monte_carlo_prediction([episode([0, 1], [1])], 0, 0.9), "states: expected a whole number"),
        (lambda: monte_carlo_prediction([episode([0, 1], [1], False)], 2, 0.9), "one that was cut off"),
        (lambda: monte_carlo_prediction([episode([5, 1], [1])], 2, 0.9), "episodes: expected states from 0 to 1"),
        (lambda: monte_carlo_prediction([episode([-1, 1], [1])], 2, 0.9), "episodes: expected states from 0 to 1"),
        (lambda: monte_carlo_prediction([episode([0.5, 1], [1])], 2, 0.9), "episodes: expected states from 0 to 1"),
        (lambda: monte_carlo_prediction([episode([0, 1], [1])], 2, 1.9), "discount: expected a number"),
        (lambda: epsilon_soft([1.0, 2.0], 0.1), r"values: expected finite numbers \(states, actions\)"),
        (lambda: epsilon_soft([[np.nan, 2.0]], 0.1), "values: expected finite numbers"),
        (lambda: epsilon_soft([[1.0, 2.0]], -0.1), "epsilon: expected a number from 0 to 1"),
        (
            lambda: monte_carlo_control(gymnasium.make("CartPole-v1"), 1, 0.9, 0.1, 0),
            "env: expected an observation_space Discrete",
        ),
        (lambda: monte_carlo_control(None, 1, 0.9, 0.1, 0), "env: expected an observation_space Discrete"),
        (lambda: monte_carlo_control(Fork(), 0, 0.9, 0.1, 0), "episodes: expected a whole number"),
        (lambda: monte_carlo_control(Fork(), 1, 0.9, 2.0, 0), "epsilon: expected a number"),
        (lambda: monte_carlo_control(Fork(), 1, -0.9, 0.1, 0), "discount: expected a number"),
        (lambda: monte_carlo_control(Fork(), 1, 0.9, 0.1, -1), "seed: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Detours along the cliff: their actions, and what they are worth to somebody who explores."""

import gymnasium
import numpy as np
import pytest

from kerasnotes.chapter12.cliff import detour, explorers_values
from kerasnotes.chapter12.monte_carlo import epsilon_soft, with_exploration
from kerasnotes.chapter12.policy_evaluation import policy_evaluation
from kerasnotes.chapter12.sarsa import greedy_path


@pytest.mark.parametrize(("row", "steps"), [(2, 13), (1, 15), (0, 17)])
def test_detours_arrive(row, steps):
    env = gymnasium.make("CliffWalking-v1")
    states, arrived = greedy_path(env, np.eye(4)[detour(row)])
    assert (len(states) - 1, arrived) == (steps, True)
    assert {state // 12 for state in states[1:-1]} == set(range(row, 3))
    assert explorers_values(env.unwrapped.P, detour(row), 0.0)[36] == pytest.approx(-steps)


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.7, 1.0])
def test_a_world_of_misteps_is_a_policy_of_misteps(epsilon):
    transitions, policy = gymnasium.make("CliffWalking-v1").unwrapped.P, detour(1)
    soft = epsilon_soft(np.eye(4)[policy], epsilon)
    want = policy_evaluation(transitions, soft, 0.95)
    np.testing.assert_allclose(explorers_values(transitions, policy, epsilon, 0.95), want, rtol=1e-9)


def test_probabilities_still_add_up():
    mixed = with_exploration(gymnasium.make("FrozenLake-v1").unwrapped.P, 0.3)
    assert all(sum(p for p, *_ in listed) == pytest.approx(1) for row in mixed.values() for listed in row.values())


def test_errors():
    transitions = gymnasium.make("CliffWalking-v1").unwrapped.P
    with pytest.raises(ValueError, match="row: expected 0, 1 or 2, got 3"):
        detour(3)
    with pytest.raises(ValueError, match="epsilon: expected a number"):
        explorers_values(transitions, detour(0), 1.1)
    with pytest.raises(ValueError, match="policy: expected"):
        explorers_values(transitions, detour(0)[:40], 0.1)

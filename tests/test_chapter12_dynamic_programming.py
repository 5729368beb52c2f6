"""Optimal values against a linear program, fractions and gymnasium; ties and loops at discount 1."""

from fractions import Fraction

import gymnasium
import numpy as np
import pytest
from scipy import optimize

from kerasnotes.chapter12 import dynamic_programming
from kerasnotes.chapter12.dynamic_programming import (
    action_values,
    greedy_policy,
    is_proper,
    policy_evaluation,
    policy_iteration,
    simulate,
    value_iteration,
)

STAY = {0: {0: [(1.0, 0, 0.0, False)], 1: [(1.0, 0, 1.0, True)]}}  # stay for nothing, or end with 1

PAY = {0: {0: [(1.0, 0, -1.0, False)], 1: [(1.0, 0, -5.0, True)]}}  # staying costs

EARN = {0: {0: [(1.0, 0, 1.0, False)], 1: [(1.0, 0, 0.0, True)]}}  # staying pays

NO_END = {0: {0: [(1.0, 1, 0.0, False)]}, 1: {0: [(1.0, 0, 0.0, False)]}}


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


def linear_program(table, discount):
    """min Σ v subject to v(s) ≥ r + γ Σ p v for each pair."""
    rows, bounds = [], []
    for s, actions in table.items():
        for outcomes in actions.values():
            row = np.zeros(len(table))
            row[s] -= 1
            for p, t, _, end in outcomes:
                row[t] += 0 if end else discount * p
            rows.append(row)
            bounds.append(-sum(p * r for p, _, r, _ in outcomes))
    return optimize.linprog(np.ones(len(table)), rows, bounds, bounds=(None, None)).x


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("discount", [0.5, 0.95])
def test_both_iterations_solve_the_linear_program(seed, discount):
    table = random_table(seed)
    want = linear_program(table, discount)
    for values, policy in (value_iteration(table, discount), policy_iteration(table, discount)):
        np.testing.assert_allclose(values, want, atol=1e-6)
        np.testing.assert_allclose(policy_evaluation(table, policy, discount), want, atol=1e-6)


def test_the_small_lake_in_fractions():
    """Gauss's elimination with exact numbers, for the policy that value iteration finds at discount 1."""
    table, states = lake(), 16
    _, policy = value_iteration(table, 1.0)
    rows = []
    for s in range(states):
        row = [Fraction(int(s == t)) for t in range(states)] + [Fraction(0)]
        for _, t, reward, end in table[s][policy[s]]:
            third = Fraction(1, len(table[s][policy[s]]))
            row[t] -= 0 if end else third
            row[-1] += third * int(reward)
        rows.append(row)
    for i in range(states):
        pivot = next(k for k in range(i, states) if rows[k][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for k in range(states):
            if k != i:
                rows[k] = [x - rows[k][i] * y for x, y in zip(rows[k], rows[i], strict=True)]
    assert rows[0][-1] == Fraction(14, 17)
    np.testing.assert_allclose(value_iteration(table, 1.0)[0], [float(row[-1]) for row in rows], atol=1e-7)


def test_a_lake_without_slips():
    values, policy = value_iteration(lake(is_slippery=False), 0.9)
    assert values[0] == pytest.approx(0.9**5)  # six steps
    episode = simulate(lake(is_slippery=False), policy, 0, 1, 100, 0)[0]
    assert len(episode) == 6


def test_at_discount_1_ties_take_the_shortest_way():
    """Without slips every way to the goal is worth 1, and going round in circles ties with all of them."""
    table = lake(is_slippery=False)
    for values, policy in (value_iteration(table, 1.0), policy_iteration(table, 1.0)):
        assert values[0] == 1.0
        assert is_proper(table, policy)
        assert len(simulate(table, policy, 0, 1, 100, 0)[0]) == 6
    open_lake = gymnasium.make("FrozenLake-v1", desc=["SFF", "FFF", "FFG"], is_slippery=False).unwrapped.P
    values, policy = policy_iteration(open_lake, 1.0)
    assert np.all(values[:8] == 1)
    assert [len(simulate(open_lake, policy, s, 1, 50, 0)[0]) for s in range(8)] == [4, 3, 2, 3, 2, 1, 2, 1]


def test_on_the_large_lake_ties_take_the_fewest_expected_steps():
    """The least cost of the tied actions alone, at one a step, as a linear program."""
    table = lake("8x8")
    values, policy = value_iteration(table, 1.0)
    q = action_values(table, values, 1.0)
    tied = {
        s: {a: [(p, t, -1.0, end) for p, t, _, end in table[s][a]] for a in range(4) if q[s, a] > q[s].max() - 1e-6}
        for s in table
    }
    assert sum(len(actions) > 1 for s, actions in tied.items() if values[s] > 0) > 10
    want = linear_program(tied, 1.0)
    every = {s: {0: [(p, t, -1.0, end) for p, t, _, end in table[s][policy[s]]]} for s in table}
    np.testing.assert_allclose(policy_evaluation(every, np.zeros(64, int), 1.0), want, rtol=1e-6)


def test_a_greedy_policy_may_never_arrive():
    values, policy = value_iteration(STAY, 1.0)
    assert values.tolist() == [1.0]
    assert policy.tolist() == [1]
    assert action_values(STAY, values, 1.0).tolist() == [[1.0, 1.0]]
    assert not is_proper(STAY, [0])
    assert is_proper(STAY, [1])
    assert is_proper(STAY, [[0.99, 0.01]])
    assert policy_evaluation(STAY, [0], 1.0).tolist() == [0.0]
    assert policy_evaluation(STAY, [[0.99, 0.01]], 1.0) == pytest.approx([1.0], abs=1e-6)


def test_loops_that_cost_are_left():
    for values, policy in (value_iteration(PAY, 1.0), policy_iteration(PAY, 1.0)):
        assert values.tolist() == [-5.0]
        assert policy.tolist() == [1]
    assert policy_evaluation(PAY, [0], 0.5) == pytest.approx([-2.0])


def test_the_cliff():
    table = gymnasium.make("CliffWalking-v1").unwrapped.P
    values, policy = policy_iteration(table, 1.0)
    assert values[36] == pytest.approx(-13)
    assert len(simulate(table, policy, 36, 1, 50, 0)[0]) == 13


def test_greedy_takes_the_best_action():
    table = random_table(3)
    values = np.random.default_rng(0).normal(size=6)
    q = [expected_outcomes(table, np.eye(3)[[a] * 6], values, 0.9) for a in range(3)]
    np.testing.assert_allclose(action_values(table, values, 0.9), np.transpose(q))
    assert greedy_policy(table, values, 0.9).tolist() == np.argmax(q, axis=0).tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: value_iteration(EARN, 1.0, max_sweeps=50), "max_sweeps: expected enough"),
        (lambda: value_iteration(STAY, np.nan), "discount: expected"),
        (lambda: policy_iteration(NO_END, 1.0), "an end within reach of every state"),
        (lambda: policy_iteration(EARN, 1.0), "loops that do not pay"),
        (lambda: policy_iteration(EARN, 0.9, max_improvements=0), "max_improvements: expected"),
        (lambda: policy_iteration(EARN, 0.9, max_improvements=1), "max_improvements: expected enough"),
        (lambda: greedy_policy(STAY, [np.nan], 0.9), "values: expected finite numbers"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_without_ends_a_discount_is_enough():
    values, policy = policy_iteration(NO_END, 0.9)
    assert values.tolist() == [0.0, 0.0]
    assert policy.tolist() == [0, 0]


@pytest.mark.parametrize(
    "name", ["transition_arrays", "policy_probabilities", "policy_evaluation", "action_values", "simulate"]
)
def test_its_foundations_can_be_imported_from_here(name):
    assert callable(getattr(dynamic_programming, name))

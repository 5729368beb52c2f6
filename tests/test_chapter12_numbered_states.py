"""Numbers for states, choices from a row of a table, and messages that say how to number what has none."""

import re

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from kerasnotes.chapter12.monte_carlo import monte_carlo_control
from kerasnotes.chapter12.numbered_states import (
    choose_action,
    cut_states,
    epsilon_greedy_actions,
    number_states,
    table_sizes,
)
from kerasnotes.chapter12.q_learning import q_learning
from kerasnotes.chapter12.sarsa import sarsa


def test_greedy_choices_take_the_best_and_break_ties_evenly():
    rng = np.random.default_rng(1)
    values = np.repeat([[1.0], [3.0], [3.0], [-5.0]], 40_000, axis=1)
    counts = np.bincount(epsilon_greedy_actions(values, 0.0, *rng.random((2, 40_000))), minlength=4)
    assert counts[[0, 3]].sum() == 0
    assert counts[1] == pytest.approx(20_000, abs=4 * 100)
    assert epsilon_greedy_actions([1.0, 3.0, 2.0], 0.0, 0.0, 0.999) == 1


def test_exploring_takes_every_action_alike():
    rng, n = np.random.default_rng(2), 80_000
    actions = epsilon_greedy_actions(np.repeat([[0.0], [0.0], [1.0], [0.0]], n, axis=1), 0.4, *rng.random((2, n)))
    shares = np.bincount(actions, minlength=4) / n
    np.testing.assert_allclose(shares, [0.1, 0.1, 0.7, 0.1], atol=4 * np.sqrt(0.25 / n))


def test_one_choice_and_many_choices_agree():
    rng = np.random.default_rng(3)
    values, (explore, choice) = rng.integers(0, 2, (4, 50)) * 1.0, rng.random((2, 50))
    many = epsilon_greedy_actions(values, 0.3, explore, choice)
    one = [epsilon_greedy_actions(values[:, i], 0.3, explore[i], choice[i]) for i in range(50)]
    np.testing.assert_array_equal(many, one)


def test_a_choice_from_a_list_is_that_from_an_array():
    rng = np.random.default_rng(4)
    for _ in range(500):
        row, (explore, choice) = rng.integers(0, 3, rng.integers(1, 6)) * 1.0, rng.random(2)
        want = epsilon_greedy_actions(row, 0.3, explore, choice)
        assert choose_action(row.tolist(), 0.3, explore, choice) == want
    largest = np.nextafter(1.0, 0.0)
    for actions in range(1, 40):
        assert choose_action([0.0] * actions, 0.0, 0.5, largest) == actions - 1


class Given(gymnasium.Env):
    """Draws observations from a space, and ends after three steps that pay what the action says."""

    def __init__(self, states, actions):
        self.observation_space, self.action_space = states, actions

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.steps += 1
        return self.observation_space.sample(), float(np.sum(action)), self.steps == 3, False, {}


@pytest.mark.parametrize(
    ("space", "count"),
    [
        (spaces.Tuple([spaces.Discrete(4), spaces.Discrete(3, start=-1), spaces.Discrete(2)]), 24),
        (spaces.MultiDiscrete([3, 5]), 15),
        (spaces.MultiDiscrete([3, 5], start=[10, -2]), 15),
    ],
)
def test_numbers_are_one_to_one(space, count):
    env = number_states(Given(space, spaces.Discrete(2)))
    space.seed(0)
    seen = {tuple(map(int, part)): env.func(part) for part in (space.sample() for _ in range(1000))}
    assert sorted(seen.values()) == list(range(count)) == list(range(table_sizes(env)[0]))


def test_cuts_by_hand():
    env = cut_states(gymnasium.make("CartPole-v1"), [(), (0.0,), (-1.0, 1.0), ()])
    assert table_sizes(env) == (6, 2)
    numbers = [env.func(np.array([9, speed, angle, 9])) for speed in (-1, 1) for angle in (-2, 0, 2)]
    assert numbers == list(range(6))
    assert env.func(np.array([9, 0.0, 1.0, 9])) == 5  # an edge belongs to the part above it


def typed(message):
    """Run what a message says to type."""
    (line,) = re.findall(r"env = gymnasium.*", message)

    def apply(env):
        names = {"env": env, "np": np, "gymnasium": gymnasium}
        exec(line, names)
        return names["env"]

    return apply


@pytest.mark.parametrize(
    ("states", "actions"),
    [
        (spaces.Tuple([spaces.Discrete(4), spaces.Discrete(3)]), spaces.Discrete(2)),
        (spaces.Tuple([spaces.Discrete(4), spaces.Discrete(3, start=1)]), spaces.Discrete(2)),
        (spaces.MultiDiscrete([3, 2, 2]), spaces.Discrete(2)),
        (spaces.Discrete(3, start=5), spaces.Discrete(2)),
        (spaces.Box(-1.0, 1.0, (3,)), spaces.Discrete(2)),
        (spaces.Discrete(3), spaces.Discrete(2, start=1)),
        (spaces.Discrete(3), spaces.MultiDiscrete([2, 3])),
        (spaces.Discrete(3), spaces.Box(np.float32([-2.0, 0.0]), np.float32([2.0, 1.0]))),
        (spaces.MultiDiscrete([3, 2]), spaces.MultiDiscrete([2, 2], start=[1, 1])),
    ],
)
@pytest.mark.parametrize("learn", ["sarsa", "q_learning", "monte_carlo_control"])
def test_what_the_message_says_can_be_typed(states, actions, learn):
    def run(env):
        if learn == "monte_carlo_control":
            return monte_carlo_control(env, 5, 0.9, 0.5, 0)[0]
        return {"sarsa": sarsa, "q_learning": q_learning}[learn](env, 5, 0.5, 0.9, 0.5, 0).values

    env = Given(states, actions)
    for _ in range(2):
        try:
            table_sizes(env)
        except ValueError as error:
            with pytest.raises(ValueError, match="counted from 0"):
                run(env)
            env = typed(str(error))(env)
    assert run(env).shape == table_sizes(env)


def test_blackjack():
    env = gymnasium.make("Blackjack-v1")
    with pytest.raises(ValueError, match=r"observation_space Discrete\(n\) counted from 0, got Tuple") as caught:
        q_learning(env, 10, 0.1, 1.0, 0.1, 0)
    numbered = typed(str(caught.value))(env)
    table = q_learning(numbered, 3000, 0.05, 1.0, 0.1, 0)
    assert table.values.shape == (704, 2)
    twenty = [np.ravel_multi_index((20, card, 0), (32, 11, 2)) for card in range(1, 11)]
    assert (table.values[twenty, 0] > table.values[twenty, 1]).mean() > 0.7  # who has 20 had better stay
    assert np.array_equal(table.values, q_learning(number_states(env), 3000, 0.05, 1.0, 0.1, 0).values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: table_sizes(None), "observation_space Discrete"),
        (lambda: table_sizes(gymnasium.make("Pendulum-v1")), "chapter12.dqn needs no cut"),
        (lambda: table_sizes(Given(spaces.Box(0, 1, (2, 2)), spaces.Discrete(2))), "see chapter12.dqn"),
        (lambda: number_states(gymnasium.make("CartPole-v1")), "env: expected a Tuple"),
        (lambda: cut_states(gymnasium.make("CartPole-v1"), [()] * 3), "edges: expected one sequence"),
        (lambda: cut_states(gymnasium.make("CartPole-v1"), [(), (), (), (1.0, 0.0)]), "sequences that rise"),
        (lambda: cut_states(gymnasium.make("FrozenLake-v1"), []), "edges: expected one sequence"),
        (lambda: epsilon_greedy_actions([np.nan, 1.0], 0.1, 0.5, 0.5), "values: expected numbers"),
        (lambda: epsilon_greedy_actions([0.0, 1.0], 1.5, 0.5, 0.5), "epsilon: expected a number"),
        (lambda: epsilon_greedy_actions([0.0, 1.0], 0.1, 0.5, 1.0), "choice: expected numbers in"),
        (lambda: epsilon_greedy_actions(np.zeros((2, 3)), 0.1, 0.5, np.zeros(3)), "explore: expected numbers in"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""SARSA: one update, single runs in gymnasium, batches of them, and paths."""

import gymnasium
import numpy as np
import pytest

from kerasnotes.chapter12 import sarsa as lesson
from kerasnotes.chapter12.sarsa import (
    TableWalks,
    batched_sarsa,
    check_settings,
    epsilon_greedy_actions,
    greedy_path,
    sarsa,
    sarsa_update,
)
from kerasnotes.chapter12.table_walks import TableEnvironment


class Corridor(gymnasium.Env):
    """Three cells; action 1 goes right, action 0 stays. Each step costs 1, and the last cell is the end."""

    observation_space = gymnasium.spaces.Discrete(3)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cell = 0
        return 0, {}

    def step(self, action):
        self.cell += action
        return self.cell, -1.0, self.cell == 2, False, {}


def settings_for(env, **changes):
    limit = env.spec.max_episode_steps or 10_000
    settings = {"episodes": 25, "learning_rate": 0.5, "discount": 0.9, "epsilon": 0.2, **changes}
    return settings, {**settings, "max_steps": settings.get("max_steps", limit)}


def test_updates_by_hand():
    q = np.array([[1.0, 2.0], [4.0, 8.0]])
    assert sarsa_update(q, 0, 1, 3.0, 1, 0, False, 0.5, 0.9) is q
    assert q[0, 1] == pytest.approx(2 + 0.5 * (3 + 0.9 * 4 - 2))
    sarsa_update(q, 1, 1, -4.0, 0, 0, True, 0.25, 0.9)
    np.testing.assert_allclose(q, [[1.0, 4.3], [4.0, 5.0]])
    sarsa_update(q, 1, 0, 1.0, 1, 0, False, 1.0, 1.0)  # the pair that follows may be the pair itself
    assert q[1, 0] == 5.0


@pytest.mark.parametrize("name", ["CliffWalking-v1", "FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalkingSlippery-v1"])
@pytest.mark.parametrize("rate", [0.5, lambda visits: 8 / (7 + visits)])
def test_a_batch_gives_what_single_runs_in_gymnasium_give(name, rate):
    env = gymnasium.make(name)
    one, many = settings_for(env, learning_rate=rate, max_steps=60)
    batch = batched_sarsa(env.unwrapped.P, env.unwrapped.initial_state_distrib, seeds=[5, 0, 123], **many)
    assert batch.values.shape == batch.visits.shape
    for number, seed in enumerate([5, 0, 123]):
        single = sarsa(env, seed=seed, **one)
        np.testing.assert_allclose(batch.values[number], single.values, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(batch.returns[number], single.returns)
        np.testing.assert_array_equal(batch.visits[number], single.visits)


def test_a_batch_starts_where_taxis_start():
    env = gymnasium.make("Taxi-v4")
    one, many = settings_for(env, episodes=3)
    batch = batched_sarsa(env.unwrapped.P, env.unwrapped.initial_state_distrib, seeds=[1, 2], **many)
    single = sarsa(env, seed=2, **one)
    np.testing.assert_allclose(batch.values[1], single.values, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(batch.returns[1], single.returns)


def test_a_run_does_not_depend_on_its_neighbours():
    env = gymnasium.make("FrozenLake-v1")
    _, many = settings_for(env, learning_rate=0.3)
    together = batched_sarsa(env.unwrapped.P, 0, seeds=range(9), **many)
    alone = batched_sarsa(env.unwrapped.P, 0, seeds=[7], **many)
    np.testing.assert_array_equal(together.values[7], alone.values[0])
    np.testing.assert_array_equal(together.returns[7], alone.returns[0])


def test_other_environments_and_their_ends():
    """Without exploring, a corridor of two moves is learnt: −2 at the start, and nothing at the end."""
    table = sarsa(Corridor(), 200, 0.5, 1.0, 0.0, seed=4)
    assert table.values[:2, 1] == pytest.approx([-2, -1])
    assert np.all(table.values[2] == 0)
    assert table.returns[-1] == -2
    assert table.visits.sum() == -table.returns.sum()


@pytest.mark.parametrize("limited", ["by gymnasium", "by max_steps"])
def test_a_truncated_episode_goes_on_in_value(limited):
    """Staying costs 1 for ever: −1/(1 − 0.5) = −2 whatever the limit of time; as an end it would lie above."""

    class Waiting(Corridor):
        action_space = gymnasium.spaces.Discrete(1)

    env = gymnasium.wrappers.TimeLimit(Waiting(), 3) if limited == "by gymnasium" else Waiting()
    table = sarsa(env, 60, 0.5, 0.5, 0.0, seed=0, max_steps=1000 if limited == "by gymnasium" else 3)
    assert table.values[0, 0] == pytest.approx(-2.0, abs=1e-6)
    assert np.all(table.returns == -3)


def test_paths():
    cliff = gymnasium.make("CliffWalking-v1")
    q = np.zeros((48, 4))
    states, arrived = greedy_path(cliff, q, max_steps=7)  # up, of equal actions the first, until the wall
    assert states.tolist() == [36, 24, 12, 0, 0, 0, 0, 0]
    assert not arrived
    q[:, 1] = 1.0
    q[36, 0] = q[35, 2] = 2.0
    states, arrived = greedy_path(cliff, q)
    assert states.tolist() == [36, *range(24, 36), 47]
    assert arrived


def test_one_seed_gives_one_result():
    env = gymnasium.make("FrozenLake-v1")
    first, again, other = (sarsa(env, 30, 0.5, 0.9, 0.5, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.visits, again.visits)
    assert not np.array_equal(first.visits, other.visits)


GOOD = {"q": np.zeros((2, 2)), "s": 0, "a": 0, "r": 1.0, "s2": 1, "a2": 1, "terminated": False, "learning_rate": 0.5,
        "discount": 0.9}  # fmt: skip


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("q", np.zeros((2, 2), int), r"q: expected an array \(states, actions\) of floats"),
        ("q", np.zeros(4), r"q: expected an array"),
        ("s", 2, "state: expected 0 to 1"),
        ("s2", -1, "state: expected 0 to 1"),
        ("a2", 2, "action: expected 0 to 1"),
        ("r", np.nan, "r: expected a finite reward"),
        ("learning_rate", 0.0, "learning_rate: expected a number"),
        ("discount", 1.1, "discount: expected a number"),
    ],
)
def test_errors_of_an_update(argument, value, message):
    with pytest.raises(ValueError, match=message):
        sarsa_update(**{**GOOD, argument: value})


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("episodes", 0, "episodes: expected a whole number of at least 1, got 0"),
        ("max_steps", 2.5, "max_steps: expected a whole number"),
        ("learning_rate", 1.5, "learning_rate: expected a number"),
        ("learning_rate", np.nan, "learning_rate: expected a number"),
        ("discount", -0.1, "discount: expected a number"),
        ("epsilon", np.nan, "epsilon: expected a number"),
        ("episodes", True, "episodes: expected a whole number"),
        ("seeds", [], "seed: expected whole numbers"),
        ("seeds", [-1], "seed: expected a whole number"),
    ],
)
def test_errors_of_settings(argument, value, message):
    good = {"episodes": 1, "learning_rate": 0.5, "discount": 1.0, "epsilon": 0.1, "seeds": [0], "max_steps": 5}
    changed = {**good, argument: value}
    with pytest.raises(ValueError, match=message):
        check_settings(**changed)
    transitions = gymnasium.make("FrozenLake-v1").unwrapped.P
    with pytest.raises(ValueError, match=message):
        batched_sarsa(transitions, 0, **changed)
    with pytest.raises(ValueError, match=message):
        TableWalks(transitions, 0, **changed)


@pytest.mark.parametrize("start", [16, -1, 0.5, [1.0], np.full(16, 0.1), np.nan])
def test_episodes_must_start_somewhere(start):
    with pytest.raises(ValueError, match="start: expected a state"):
        batched_sarsa(gymnasium.make("FrozenLake-v1").unwrapped.P, start, 1, 0.5, 1.0, 0.1, [0])


def test_other_errors():
    cliff = gymnasium.make("CliffWalking-v1")
    with pytest.raises(ValueError, match="observation_space Discrete"):
        sarsa(gymnasium.make("CartPole-v1"), 1, 0.5, 1.0, 0.1, 0)
    with pytest.raises(ValueError, match=r"q: expected a table of numbers \(48, 4\)"):
        greedy_path(cliff, np.zeros((4, 48)))
    with pytest.raises(ValueError, match="max_steps: expected a whole number"):
        greedy_path(cliff, np.zeros((48, 4)), max_steps=0)


class Odd(Corridor):
    """A corridor whose rewards are half precision, or not finite."""

    def __init__(self, reward):
        self.reward = reward

    def step(self, action):
        self.cell += action
        return np.int64(self.cell), self.reward, np.bool_(self.cell == 2), False, {}


def test_rewards_of_any_kind():
    """A third in half precision is 0.33325; the values are kept in double precision all the same."""
    third = np.float16(1 / 3)
    table = sarsa(Odd(third), 300, 0.5, 0.7, 0.0, seed=0)
    assert table.values[1, 1] == float(third)
    assert table.values.dtype == np.float64
    assert table.values[0, 1] == pytest.approx(float(third) * 1.7, abs=1e-12)
    for reward in (np.nan, np.inf):
        with pytest.raises(ValueError, match="env: expected finite rewards"):
            sarsa(Odd(reward), 2, 0.5, 1.0, 0.1, seed=0)


def test_a_rate_that_leaves_its_range_is_refused():
    with pytest.raises(ValueError, match="learning_rate: expected a number above 0 to 1, got 2"):
        sarsa(Corridor(), 3, lambda visits: 2.0, 1.0, 0.1, 0)


@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalkingSlippery-v1", "Taxi-v4"])
def test_a_table_in_place_of_its_environment(name):
    env = gymnasium.make(name, max_episode_steps=60)
    table = TableEnvironment(env.unwrapped.P, env.unwrapped.initial_state_distrib, 60)
    first, second = (sarsa(world, 20, 0.3, 0.95, 0.2, seed=3) for world in (env, table))
    for part in ("values", "returns", "visits"):
        np.testing.assert_array_equal(getattr(first, part), getattr(second, part))


def plain(env, episodes, rate, discount, epsilon, seed):
    """The method in arrays, step by step, with every argument checked: slow, and the same numbers."""
    q, rng = np.zeros((env.observation_space.n, env.action_space.n)), np.random.default_rng((seed, 1))
    for episode in range(episodes):
        state, _ = env.reset(seed=None if episode else seed)
        action, over = epsilon_greedy_actions(q[state], epsilon, *rng.random(2)), False
        while not over:
            following, reward, terminated, truncated, _ = env.step(int(action))
            after = epsilon_greedy_actions(q[following], epsilon, *rng.random(2))
            sarsa_update(q, state, action, reward, following, after, terminated, rate, discount)
            state, action, over = following, after, terminated or truncated
    return q


@pytest.mark.parametrize("name", ["CliffWalking-v1", "FrozenLake-v1"])
def test_lists_give_the_numbers_of_arrays(name):
    env = gymnasium.make(name)
    settings = (40, 0.5, 0.99, 0.3, 7)
    np.testing.assert_array_equal(sarsa(env, *settings).values, plain(env, *settings))


@pytest.mark.parametrize(
    "name",
    [
        "QTable",
        "sarsa_update",
        "epsilon_greedy_actions",
        "batched_sarsa",
        "greedy_path",
        "empty_table",
        "check_settings",
        "check_update",
        "TableWalks",
    ],
)
def test_its_parts_can_be_imported_from_here(name):
    assert callable(getattr(lesson, name))

"""Q-learning: one update, single runs in gymnasium, batches of them, and the table they lead to."""

import gymnasium
import numpy as np
import pytest

from kerasnotes.chapter12.numbered_states import epsilon_greedy_actions
from kerasnotes.chapter12.q_learning import batched_q_learning, q_learning, q_learning_update
from kerasnotes.chapter12.sarsa import batched_sarsa


def optimum(transitions, discount, sweeps=2000):
    """Best action values by plain loops over the table."""
    q = np.zeros((len(transitions), len(transitions[0])))
    for _ in range(sweeps):
        best = q.max(axis=1)
        q = np.array([
            [sum(p * (r + discount * best[after] * (not end)) for p, after, r, end in each) for each in row.values()]
            for row in transitions.values()
        ])  # fmt: skip
        if np.abs(q.max(axis=1) - best).max() < 1e-12:
            break
    return q


def test_updates_by_hand():
    q = np.array([[1.0, 2.0], [4.0, 8.0]])
    assert q_learning_update(q, 0, 1, 3.0, 1, False, 0.5, 0.9) is q
    assert q[0, 1] == pytest.approx(2 + 0.5 * (3 + 0.9 * 8 - 2))
    q_learning_update(q, 1, 0, -4.0, 0, True, 0.25, 0.9)
    np.testing.assert_allclose(q, [[1.0, 6.1], [2.0, 8.0]])
    q_learning_update(q, 1, 1, 1.0, 1, False, 1.0, 1.0)  # the state may follow upon itself
    assert q[1, 1] == 9.0


@pytest.mark.parametrize("name", ["CliffWalking-v1", "FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalkingSlippery-v1"])
@pytest.mark.parametrize("rate", [0.5, lambda visits: 8 / (7 + visits)])
def test_a_batch_gives_what_single_runs_in_gymnasium_give(name, rate):
    env = gymnasium.make(name)
    settings = (25, rate, 0.9, 0.2)
    batch = batched_q_learning(env.unwrapped.P, env.unwrapped.initial_state_distrib, *settings, [5, 0, 123], 60)
    for number, seed in enumerate([5, 0, 123]):
        single = q_learning(env, *settings, seed, 60)
        np.testing.assert_allclose(batch.values[number], single.values, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(batch.returns[number], single.returns)
        np.testing.assert_array_equal(batch.visits[number], single.visits)


def plain(env, episodes, rate, discount, epsilon, seed):
    """The method in arrays, step by step, with every argument checked: slow, and the same numbers."""
    q, rng = np.zeros((env.observation_space.n, env.action_space.n)), np.random.default_rng((seed, 1))
    for episode in range(episodes):
        state, _ = env.reset(seed=None if episode else seed)
        action, over = epsilon_greedy_actions(q[state], epsilon, *rng.random(2)), False
        while not over:
            following, reward, terminated, truncated, _ = env.step(int(action))
            q_learning_update(q, state, action, reward, following, terminated, rate, discount)
            state, over = following, terminated or truncated
            action = epsilon_greedy_actions(q[state], epsilon, *rng.random(2))
    return q


@pytest.mark.parametrize("name", ["CliffWalking-v1", "FrozenLake-v1"])
def test_lists_give_the_numbers_of_arrays(name):
    env = gymnasium.make(name)
    settings = (40, 0.5, 0.99, 0.3, 7)
    np.testing.assert_array_equal(q_learning(env, *settings).values, plain(env, *settings))


def test_a_batch_starts_where_taxis_start():
    env = gymnasium.make("Taxi-v4")
    settings = (3, 0.5, 0.9, 0.2)
    batch = batched_q_learning(env.unwrapped.P, env.unwrapped.initial_state_distrib, *settings, [1, 2], 200)
    single = q_learning(env, *settings, 2)
    np.testing.assert_allclose(batch.values[1], single.values, rtol=0, atol=1e-12)


@pytest.mark.parametrize("discount", [0.9, 1.0])
def test_a_random_walk_on_solid_ice_finds_the_optimum_exactly(discount):
    """Nothing is slippery, so a learning rate of 1 copies the equations; the policy that plays is all random."""
    transitions = gymnasium.make("FrozenLake-v1", is_slippery=False).unwrapped.P
    learnt = batched_q_learning(transitions, 0, 3000, 1.0, discount, 1.0, range(4), 100)
    exact = optimum(transitions, discount)
    seen = learnt.visits.min(axis=0) > 20
    assert seen.sum() >= 40
    for values in learnt.values:
        np.testing.assert_allclose(values[seen], exact[seen], atol=1e-12)


def test_it_takes_the_best_where_sarsa_takes_what_is_played():
    """Two states: the second offers 1 or −1 and the end. Played at random, it is worth 0; at its best, 1."""
    transitions = {
        0: {0: [(1.0, 1, 0.0, False)], 1: [(1.0, 1, 0.0, False)]},
        1: {0: [(1.0, 1, 1.0, True)], 1: [(1.0, 1, -1.0, True)]},
    }
    settings = (transitions, 0, 400, lambda visits: 1 / visits, 1.0, 1.0, range(200))
    best, played = batched_q_learning(*settings).values, batched_sarsa(*settings).values
    np.testing.assert_allclose(best[:, 1], [[1.0, -1.0]] * 200)
    assert best[:, 0].mean() == pytest.approx(1.0, abs=0.05)
    assert played[:, 0].mean() == pytest.approx(0.0, abs=0.05)


def test_a_truncated_episode_goes_on_in_value():
    """Reward 1 for ever at discount 0.5 is worth 2, whatever the limit of time; as an end it would be worth less."""
    endless = {0: {0: [(1.0, 0, 1.0, False)]}}
    learnt = batched_q_learning(endless, 0, 60, 0.5, 0.5, 0.0, [0], max_steps=3)
    assert learnt.values[0, 0, 0] == pytest.approx(2.0, abs=1e-6)
    assert np.all(learnt.returns == 3)
    assert learnt.visits.sum() == 180


def test_single_runs_truncate_too():
    class Waiting(gymnasium.Env):
        observation_space = action_space = gymnasium.spaces.Discrete(1)

        def reset(self, *, seed=None, options=None):
            return 0, {}

        def step(self, action):
            return 0, 1.0, False, False, {}

    for env, limit in ((Waiting(), 3), (gymnasium.wrappers.TimeLimit(Waiting(), 3), 1000)):
        table = q_learning(env, 60, 0.5, 0.5, 0.0, 0, max_steps=limit)
        assert table.values[0, 0] == pytest.approx(2.0, abs=1e-6)
        assert np.all(table.returns == 3)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("q", np.zeros((2, 2), int), r"q: expected an array \(states, actions\) of floats"),
        ("s", 2, "state: expected 0 to 1"),
        ("s2", -1, "state: expected 0 to 1"),
        ("a", 2, "action: expected 0 to 1"),
        ("r", np.inf, "r: expected a finite reward"),
        ("learning_rate", np.nan, "learning_rate: expected a number"),
        ("discount", -0.1, "discount: expected a number"),
    ],
)
def test_errors_of_an_update(argument, value, message):
    good = {"q": np.zeros((2, 2)), "s": 0, "a": 0, "r": 1.0, "s2": 1, "terminated": False, "learning_rate": 0.5}
    with pytest.raises(ValueError, match=message):
        q_learning_update(**{**good, "discount": 0.9, argument: value})


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("episodes", 0, "episodes: expected a whole number"),
        ("learning_rate", 0, "learning_rate: expected a number"),
        ("discount", 2, "discount: expected a number"),
        ("epsilon", -1, "epsilon: expected a number"),
        ("seed", -3, "seed: expected a whole number"),
        ("max_steps", 0, "max_steps: expected a whole number"),
    ],
)
def test_errors_of_settings(argument, value, message):
    env = gymnasium.make("FrozenLake-v1")
    good = {"episodes": 1, "learning_rate": 0.5, "discount": 1.0, "epsilon": 0.1, "seed": 0, "max_steps": 5}
    changed = {**good, argument: value}
    with pytest.raises(ValueError, match=message):
        q_learning(env, **changed)
    changed["seeds"] = [changed.pop("seed")]
    with pytest.raises(ValueError, match=message):
        batched_q_learning(env.unwrapped.P, 0, **changed)


def test_other_errors():
    with pytest.raises(ValueError, match="observation_space Discrete"):
        q_learning(gymnasium.make("CartPole-v1"), 1, 0.5, 1.0, 0.1, 0)
    with pytest.raises(ValueError, match="transitions: expected"):
        batched_q_learning({}, 0, 1, 0.5, 1.0, 0.1, [0])
    with pytest.raises(ValueError, match="start: expected a state"):
        batched_q_learning(gymnasium.make("FrozenLake-v1").unwrapped.P, 99, 1, 0.5, 1.0, 0.1, [0])


@pytest.mark.parametrize("reward", [np.nan, -np.inf])
def test_rewards_must_be_finite(reward):
    class Broken(gymnasium.Env):
        observation_space = action_space = gymnasium.spaces.Discrete(1)

        def reset(self, *, seed=None, options=None):
            return 0, {}

        def step(self, action):
            return 0, reward, True, False, {}

    with pytest.raises(ValueError, match="env: expected finite rewards"):
        q_learning(Broken(), 2, 0.5, 0.9, 0.1, 0)

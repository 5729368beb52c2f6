"""Rollouts, returns and the cart: by hand, against SciPy's filter and against gymnasium."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from scipy import signal

from kerasnotes.chapter12.environment import Episode, cart_pole_step, discounted_returns, rollout


class Counter(gymnasium.Env):
    """Observations count the steps; it terminates or truncates itself when asked to."""

    observation_space, action_space = spaces.Discrete(100), spaces.Discrete(2)

    def __init__(self, ends_at=None, cut_at=None):
        self.ends_at, self.cut_at, self.count = ends_at, cut_at, np.zeros(1, int)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count[:] = 0
        return self.count, {}

    def step(self, action):
        self.count += 1  # one buffer for all observations
        return self.count, 10 * action, self.count[0] == self.ends_at, self.count[0] == self.cut_at, {}


def chance(observation, rng):
    return int(rng.integers(2))


def test_an_episode_by_hand():
    episode = rollout(Counter(ends_at=3), lambda observation, rng: int(observation[0] % 2), 0)
    assert episode.observations.tolist() == [[0], [1], [2], [3]]
    assert episode.actions.tolist() == [0, 1, 0]
    assert episode.rewards.tolist() == [0.0, 10.0, 0.0]
    assert (episode.terminated, episode.truncated, len(episode)) == (True, False, 3)


@pytest.mark.parametrize(
    ("env", "steps", "ends"),
    [
        (Counter(ends_at=5), 5, (True, False)),
        (Counter(cut_at=4), 4, (False, True)),
        (Counter(), 7, (False, True)),
        (Counter(ends_at=7), 7, (True, False)),  # an end at the last allowed step is an end
        (Counter(ends_at=6, cut_at=6), 6, (True, True)),
    ],
)
def test_the_two_ways_to_stop(env, steps, ends):
    episode = rollout(env, chance, 1, max_steps=7)
    assert len(episode) == steps
    assert (episode.terminated, episode.truncated) == ends


def test_one_seed_one_episode():
    env = gymnasium.make("CartPole-v1")
    first, again, other = (rollout(env, chance, seed) for seed in (3, 3, 4))
    for name in ("observations", "actions", "rewards"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.observations[0], other.observations[0])
    assert first.observations.shape == (len(first) + 1, 4)


def test_the_policy_has_a_stream_of_its_own():
    drawn = []
    env = gymnasium.make("CartPole-v1")
    rollout(env, lambda observation, rng: drawn.append(rng.random()) or 0, 5, max_steps=4)
    env.reset(seed=5)
    world = np.random.default_rng(5).random(1000)
    assert env.unwrapped.np_random.random() == world[4]
    assert not np.isin(drawn, world).any()


@pytest.mark.parametrize("discount", [0.0, 0.3, 0.9, 1.0])
def test_returns_are_a_filter_run_backwards(discount):
    rewards = np.random.default_rng(0).normal(size=(3, 2, 40))
    want = signal.lfilter([1.0], [1.0, -discount], rewards[..., ::-1], axis=-1)[..., ::-1]
    np.testing.assert_allclose(discounted_returns(rewards, discount), want, rtol=1e-12, atol=1e-12)


def test_returns_by_hand():
    assert discounted_returns([1, 2, 4], 0.5).tolist() == [3.0, 4.0, 4.0]
    assert discounted_returns([1, 2, 4], 0.5, bootstrap=8).tolist() == [4.0, 6.0, 8.0]
    assert discounted_returns([[1, 0], [0, 1]], 0.5, bootstrap=[4, 0]).tolist() == [[2.0, 2.0], [0.5, 1.0]]
    rewards = np.array([1, 2])
    discounted_returns(rewards, 1.0)
    assert rewards.tolist() == [1, 2]


def test_the_cart_is_gymnasiums():
    env = gymnasium.make("CartPole-v1").unwrapped
    rng = np.random.default_rng(0)
    states = rng.uniform([-2.5, -3, -0.22, -3], [2.5, 3, 0.22, 3], size=(200, 4))
    actions = rng.integers(2, size=200)
    following, terminated = cart_pole_step(states, actions)
    for state, action, after, end in zip(states, actions, following, terminated, strict=True):
        env.reset(seed=0)
        env.state = tuple(state)
        _, reward, want, _, _ = env.step(int(action))
        np.testing.assert_allclose(after, env.state, rtol=1e-12)
        assert (end, reward) == (want, 1.0)
    assert 20 < terminated.sum() < 180


def test_the_cart_mirrors():
    state = np.array([0.1, -0.4, 0.05, 0.7])
    right, left = cart_pole_step(state, 1)[0], cart_pole_step(-state, 0)[0]
    np.testing.assert_allclose(right, -left, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rollout(None, chance, 0), "env: expected an environment"),
        (lambda: rollout(Counter(), 3, 0), "policy: expected a callable"),
        (lambda: rollout(Counter(), chance, -1), "seed: expected a whole number"),
        (lambda: rollout(Counter(), chance, 0.5), "seed: expected a whole number"),
        (lambda: rollout(Counter(), chance, 0, max_steps=0), "max_steps: expected a whole number"),
        (lambda: discounted_returns([], 0.9), "rewards: expected finite numbers"),
        (lambda: discounted_returns(1.0, 0.9), "rewards: expected finite numbers"),
        (lambda: discounted_returns([np.nan], 0.9), "rewards: expected finite numbers"),
        (lambda: discounted_returns([1.0], 1.1), "discount: expected a number"),
        (lambda: discounted_returns([1.0], np.nan), "discount: expected a number"),
        (lambda: discounted_returns([1.0], 0.9, np.inf), "bootstrap: expected finite numbers"),
        (lambda: discounted_returns([[1.0], [2.0]], 0.9, [1, 2, 3]), "bootstrap: expected finite numbers of shape"),
        (lambda: cart_pole_step([0.0, 0.0, 0.0], 1), r"state: expected finite numbers \(\.\.\., 4\)"),
        (lambda: cart_pole_step([0.0, 0.0, np.nan, 0.0], 1), "state: expected finite numbers"),
        (lambda: cart_pole_step(np.zeros(4), 2), "action: expected 0 or 1"),
        (lambda: cart_pole_step(np.zeros((3, 4)), [0, 1]), "action: expected 0 or 1, of shape"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_episode_is_a_record():
    episode = Episode(np.zeros(2), np.zeros(1), np.ones(1), True, False)
    with pytest.raises(AttributeError):
        episode.rewards = np.zeros(1)

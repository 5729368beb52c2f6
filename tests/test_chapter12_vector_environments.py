"""Steps of vector environments against single ones, and whole episodes side by side."""

import gymnasium
import numpy as np
import pytest

from kerasnotes.chapter12.vector_environments import make_environments, play_episodes, vector_steps


@pytest.mark.parametrize("mode", ["vector_entry_point", "sync"])
def test_only_real_steps_come_out_of_both_vector_forms(mode):
    """Every kept step is repeated in a single environment that is set to the same state."""
    env = gymnasium.make_vec("CartPole-v1", num_envs=6, vectorization_mode=mode, max_episode_steps=11)
    assert env.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.NEXT_STEP

    def policy(observations):
        balance = (observations[:, 2] + observations[:, 3] > 0).astype(int)
        return np.where(np.arange(len(observations)) < 3, 0, balance)

    single = gymnasium.make("CartPole-v1").unwrapped
    single.reset(seed=0)
    lengths, seen = np.zeros(6, int), {"terminated": 0, "truncated": 0}
    stream = vector_steps(env, policy, 5)
    for _ in range(40):
        moved, *rows = next(stream)
        for copy, state, action, reward, following, terminated, truncated in zip(moved, *rows, strict=True):
            single.state, single.steps_beyond_terminated = tuple(state.astype(float)), None
            want, want_reward, want_terminated, _, _ = single.step(int(action))
            np.testing.assert_allclose(following, want, rtol=1e-5, atol=1e-6)
            assert (reward, terminated) == (want_reward, want_terminated)
            lengths[copy] += 1
            assert truncated == (lengths[copy] == 11)
            if terminated or truncated:
                seen["terminated" if terminated else "truncated"] += 1
                lengths[copy] = 0
    assert min(seen.values()) >= 3


def test_rows_of_the_stream_are_copies():
    env, _ = make_environments("CartPole-v1", 2)
    stream = vector_steps(env, lambda observations: np.zeros(2, int), 0)
    first = next(stream)
    kept = first[1].copy()
    next(stream)
    np.testing.assert_array_equal(first[1], kept)


@pytest.mark.parametrize("limit", [5, 30])
def test_episodes_side_by_side(limit):
    """Always pushed to the left, a pole falls after 8 to 10 steps; a limit of 5 cuts all episodes off before."""
    played = play_episodes("CartPole-v1", lambda seen: np.zeros(len(seen), int), 12, 3, {"max_episode_steps": limit})
    np.testing.assert_array_equal(played.returns, played.lengths)
    np.testing.assert_array_equal(played.played.sum(axis=0), played.lengths)
    assert played.observations.shape == (played.lengths.max(), 12, 4)
    assert played.terminated.all() == (limit == 30)
    assert set(played.lengths) == {5} if limit == 5 else set(played.lengths) <= {8, 9, 10}
    assert (np.abs(played.last[:, 2]) > np.deg2rad(12)).all() == (limit == 30)
    again = play_episodes("CartPole-v1", lambda seen: np.zeros(len(seen), int), 12, 3, {"max_episode_steps": limit})
    np.testing.assert_array_equal(played.observations, again.observations)


class Short(gymnasium.Env):
    """Cuts itself off after three steps, without a wrapper that counts."""

    observation_space, action_space = gymnasium.spaces.Discrete(5), gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return 0, {}

    def step(self, action):
        self.steps += 1
        return self.steps, 1.0, False, self.steps == 3, {}


def test_an_episode_ends_where_the_environment_cuts_it_off():
    spec = gymnasium.envs.registration.EnvSpec("Short-v0", entry_point=Short, max_episode_steps=10)
    played = play_episodes(spec, lambda seen: np.zeros(len(seen), int), 2, 0)
    np.testing.assert_array_equal(played.lengths, [3, 3])
    np.testing.assert_array_equal(played.last, [3, 3])
    np.testing.assert_array_equal(played.returns, [3, 3])
    assert not played.terminated.any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_environments("CartPole-v1", 0), "count: expected a whole number"),
        (lambda: make_environments("CliffWalking-v1", 1), "env_id: expected an environment with max_episode_steps"),
        (lambda: make_environments("Pendulum-v1", 1), "env_id: expected actions"),
        (lambda: make_environments("Nothing-v9", 1), "env_id: expected the name"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_other_autoreset_modes_are_refused():
    same_step = {"vector_kwargs": {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}}
    with pytest.raises(ValueError, match="autoreset mode"):
        make_environments("FrozenLake-v1", 2, same_step)

"""The deep Q-network's parts against the library, by hand, and through real vector environments."""

import gymnasium
import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from kerasnotes.chapter12.dqn import (
    Checkpoint,
    ReplayBuffer,
    build_q_network,
    compile_updates,
    greedy_policy_of,
    huber_loss,
    make_environments,
    numpy_forward,
    play_episodes,
    state_encoder,
    td_target,
    train_dqn,
    vector_steps,
)


def test_the_bound_of_the_lesson_is_the_quantile():
    assert scipy.stats.chi2.ppf(0.999, 49) == pytest.approx(85.351, abs=5e-4)


def filled(capacity, count, seed=0):
    memory = ReplayBuffer(capacity, (2,), seed)
    numbers = np.arange(count)
    memory.add(np.stack([numbers, -numbers], axis=1), numbers, numbers / 2, np.zeros((count, 2)), numbers % 3 == 0)
    return memory


@pytest.mark.parametrize(("count", "size"), [(3, 3), (7, 7), (10, 7), (100, 7)])
def test_the_buffer_keeps_the_newest(count, size):
    at_once, one_by_one = filled(7, count), ReplayBuffer(7, (2,), 0)
    for number in range(count):
        one_by_one.add([number, -number], number, number / 2, [0, 0], number % 3 == 0)
    assert len(at_once) == len(one_by_one) == size
    for memory in (at_once, one_by_one):
        assert sorted(memory.actions[:size]) == list(range(count - size, count))
    np.testing.assert_array_equal(at_once.actions, one_by_one.actions)
    at_once.add([0, 0], count, 0.0, [0, 0], False)
    assert count in at_once.actions
    assert (count - size in at_once.actions[: len(at_once)]) == (size < 7)


def test_draws_are_whole_transitions_uniform_and_repeatable():
    memory = filled(20, 50, seed=3)
    states, actions, rewards, next_states, terminated = memory.sample(20_000)
    np.testing.assert_array_equal(states, np.stack([actions, -actions], axis=1))
    np.testing.assert_array_equal(rewards, np.float32(actions / 2))
    np.testing.assert_array_equal(terminated, actions % 3 == 0)
    assert next_states.shape == (20_000, 2)
    assert scipy.stats.chisquare(np.bincount(actions - 30, minlength=20)).pvalue > 1e-4
    np.testing.assert_array_equal(actions, filled(20, 50, seed=3).sample(20_000)[1])
    assert not np.array_equal(actions, memory.sample(20_000)[1])


def test_targets_by_hand():
    got = td_target([1.0, 2.0, -1.0], [0, 1, 0], [10.0, 10.0, 4.0], 0.5)
    np.testing.assert_allclose(got, [6.0, 2.0, 1.0])
    np.testing.assert_allclose(td_target([1.0], [True], [np.inf], 0.9), [1.0])  # what cannot follow cannot disturb


def test_huber_loss_and_its_gradient_equal_keras():
    rng = np.random.default_rng(0)
    target, value = tf.constant(rng.normal(size=50) * 3), tf.Variable(rng.normal(size=50))
    results = []
    for loss_of in (huber_loss, keras.losses.Huber()):
        with tf.GradientTape() as tape:
            loss = loss_of(target, value)
        results.append((float(loss), tape.gradient(loss, value).numpy()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_forward_pass_in_numpy_is_keras(activation):
    layers = [keras.Input((3,)), keras.layers.Dense(5, activation, bias_initializer="ones"), keras.layers.Dense(2)]
    network, x = keras.Sequential(layers), np.random.default_rng(1).normal(size=(7, 3)).astype("float32")
    np.testing.assert_allclose(numpy_forward(network)(x), network(x), rtol=1e-5, atol=1e-6)


def table_network(values):
    """A Q-network without hidden layers whose outputs for one-hot states are the rows of `values`."""
    network = build_q_network(*values.shape, hidden=())
    network.set_weights([values, np.zeros(values.shape[1])])
    return network


@pytest.mark.parametrize("double", [False, True])
def test_one_update_by_hand(double):
    """Online and target network disagree on the best next action: 0 has 5 online, 1 has 8 in the target."""
    network = table_network(np.array([[1.0, 2.0], [5.0, 4.0]]))
    target_network = table_network(np.array([[0.0, 0.0], [3.0, 8.0]]))
    learn = compile_updates(network, target_network, keras.optimizers.SGD(1.0), 0.1, double)
    states = np.eye(2, dtype="float32")
    for terminated, following in ((False, 3.0 if double else 8.0), (True, 0.0)):
        network.set_weights([np.array([[1.0, 2.0], [5.0, 4.0]]), np.zeros(2)])
        learn(states[None, :1], np.array([[1]]), np.float32([[1.5]]), states[None, 1:], np.array([[terminated]]))
        error = 1.5 + 0.1 * following - 2.0  # inside the quadratic part, so the step is the error itself
        np.testing.assert_allclose(network.get_weights()[0], [[1.0, 2.0 + error], [5.0, 4.0]], rtol=1e-5)
        np.testing.assert_allclose(target_network.get_weights()[0], [[0.0, 0.0], [3.0, 8.0]])


def test_many_updates_in_a_call_are_as_many_calls():
    rng = np.random.default_rng(2)
    states, next_states = rng.normal(size=(2, 4, 8, 3)).astype("float32")
    actions, rewards, ended = rng.integers(2, size=(4, 8)), rng.normal(size=(4, 8)), rng.random((4, 8)) < 0.3
    batches = (states, actions, rewards.astype("float32"), next_states, ended)
    results = []
    for together in (True, False):
        network, target_network = build_q_network(3, 2, (6,), 0), build_q_network(3, 2, (6,), 1)
        learn = compile_updates(network, target_network, keras.optimizers.Adam(0.01), 0.9)
        if together:
            learn(*batches)
        else:
            for i in range(4):
                learn(*(part[i : i + 1] for part in batches))
        results.append(network.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


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


def test_encoders():
    size, encode = state_encoder(gymnasium.spaces.Discrete(3, start=1))
    assert size == 3
    np.testing.assert_array_equal(encode(np.array([3, 1])), [[0, 0, 1], [1, 0, 0]])
    size, encode = state_encoder(gymnasium.spaces.Box(-1, 1, (2,)))
    assert (size, encode(np.zeros((5, 2))).dtype) == (2, np.float32)


def test_the_checkpoint_keeps_the_best_weights():
    network = build_q_network(4, 2, ())
    checkpoint = Checkpoint("CartPole-v1", network, 8, 60.0, 0)
    balance, left = np.array([[0, 0], [0, 0], [0, 1], [0, 1]]), np.zeros((4, 2))
    reached = []
    for kernel, bias in ((left, [1, 0]), (balance, [0, 0]), (left, [1, 0])):
        network.set_weights([kernel, np.array(bias)])
        reached.append(checkpoint.evaluate(0))
    run = checkpoint.finish([], [], 7)
    assert reached == [False, True, False]
    np.testing.assert_array_equal(run.network.get_weights()[0], balance)
    np.testing.assert_array_equal(run.policy(np.array([[0, 0, 0.1, 0.0], [0, 0, -0.1, 0.0]])), [1, 0])


SMALL = {"max_steps": 400, "copies": 4, "warmup_steps": 100, "steps_a_round": 50, "updates_a_round": 5, "hidden": (8,),
         "evaluation_episodes": 2, "evaluate_every": 3, "seed": 1}  # fmt: skip


def test_training_is_repeatable_and_counts_right():
    runs = [train_dqn("CartPole-v1", **SMALL) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].returns, runs[1].returns)
    assert runs[0].evaluations == runs[1].evaluations
    run = runs[0]
    assert 400 <= run.steps < 404
    assert run.steps - 4 * 500 < run.returns.sum() <= run.steps  # a reward of 1 for each step of a finished episode
    assert np.all(np.diff(run.ends) >= 0)
    assert run.ends[-1] <= run.steps
    assert [round(steps / 50) for steps, _ in run.evaluations] == [3, 6, 8]
    assert not run.reached


def test_on_numbered_states_the_network_learns_the_table():
    """Four cells in a row, a reward of 1 for the last: three, two, one steps away it is worth 0.81, 0.9 and 1."""
    row = {"desc": ["SFFG"], "is_slippery": False, "max_episode_steps": 10}
    run = train_dqn("FrozenLake-v1", environment=row, max_steps=4000, discount=0.9, final_epsilon=0.5, hidden=(32,),
                    warmup_steps=500, evaluation_episodes=1, evaluate_every=16, seed=0)  # fmt: skip
    values = numpy_forward(run.network)(np.eye(4, dtype="float32")[:3])
    np.testing.assert_array_equal(values.argmax(axis=1), [2, 2, 2])
    np.testing.assert_allclose(values.max(axis=1), [0.81, 0.9, 1.0], atol=0.05)
    np.testing.assert_allclose(values[1, [0, 1, 3]], [0.729, 0.81, 0.81], atol=0.08)  # back, or against the wall
    assert run.evaluations[-1][1] == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ReplayBuffer(0, (2,), 0), "capacity: expected positive whole numbers"),
        (lambda: ReplayBuffer(2, (0,), 0), "state_shape: expected positive whole numbers"),
        (lambda: ReplayBuffer(2, (2,), 0).sample(1), "at least one transition"),
        (lambda: filled(2, 2).sample(0), "batch_size: expected a positive whole number"),
        (lambda: filled(2, 2).add([1], 0, 0.0, [1, 2], False), "expected shapes"),
        (lambda: filled(2, 2).add([1, 2], 0.5, 0.0, [1, 2], False), "actions: expected whole numbers"),
        (lambda: td_target([1.0], [0], [1.0], 1.5), r"discount: expected a number in \[0, 1\]"),
        (lambda: td_target([1.0], [0], [1.0], float("nan")), r"discount: expected a number in \[0, 1\]"),
        (lambda: td_target([1.0], [0.5], [1.0], 0.9), "terminated: expected 0 or 1"),
        (lambda: td_target([1.0], [0], [1.0, 2.0], 0.9), "three equal shapes"),
        (lambda: huber_loss([1.0], [1.0, 2.0]), "expected equal shapes"),
        (lambda: build_q_network(4, 0), "expected positive whole numbers"),
        (lambda: numpy_forward(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "elu")])), "network: "),
        (lambda: numpy_forward(keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.1)])), "network: "),
        (lambda: state_encoder(gymnasium.spaces.Box(0, 1, (2, 2))), "space: expected a Box with one axis"),
        (lambda: make_environments("CartPole-v1", 0), "count: expected a positive whole number"),
        (lambda: make_environments("CliffWalking-v1", 1), "env_id: expected an environment with max_episode_steps"),
        (lambda: make_environments("Pendulum-v1", 1), "env_id: expected actions"),
        (lambda: make_environments("Nothing-v9", 1), "env_id: expected the name"),
        (lambda: train_dqn("CartPole-v1", max_steps=0), "max_steps: expected a positive whole number"),
        (lambda: train_dqn("CartPole-v1", discount=2.0), r"discount: expected a number in \[0, 1\]"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_other_autoreset_modes_are_refused():
    same_step = {"vector_kwargs": {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}}
    with pytest.raises(ValueError, match="autoreset mode"):
        make_environments("FrozenLake-v1", 2, same_step)


def test_the_greedy_policy_keeps_the_weights_of_its_moment():
    network = build_q_network(4, 2, ())
    network.set_weights([np.zeros((4, 2)), np.array([1.0, 0.0])])
    policy = greedy_policy_of(network, gymnasium.spaces.Box(-1, 1, (4,)))
    network.set_weights([np.zeros((4, 2)), np.array([0.0, 1.0])])
    assert policy(np.zeros((1, 4)))[0] == 0

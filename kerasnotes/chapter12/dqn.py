"""A network takes the table's place, with a memory of old steps, a target that waits, and two estimates of a maximum.

CartPole's state is four real numbers, so no table can hold it. What the reader should see: steps are drawn at random
from a memory; the network learns towards a frozen copy of itself, not towards its own moving shadow; a step that ends
the episode has nothing to bootstrap from, while one that a clock cut off has; and a vector environment puts steps
between episodes that never happened. The pole then stands after some seconds of computing, on every seed; what two of
the parts are worth is measured by leaving them out.

Notes: chapter 12, "Deep Q-network" (深度Q网络: DQN).
Source: Mnih et al. 2015, https://doi.org/10.1038/nature14236, algorithm 1; van Hasselt, Guez, Silver 2016,
arXiv:1509.06461, equation 4 (double DQN); https://gymnasium.farama.org/api/vector
"""

import dataclasses
import time

import gymnasium
import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter12.environment import cart_pole_step

SMOKE = {"max_steps": 600, "comparison_steps": 300, "seeds": 1, "evaluation_episodes": 3}
FULL = {"comparison_steps": 100_000}
SECONDS = 32

LIMIT = 500  # steps after which CartPole-v1 cuts an episode off: the largest return


class ReplayBuffer:
    """The last `capacity` transitions, to draw from at random. New ones overwrite the oldest.

    Args:
        capacity: Number of transitions that it holds, at least 1.
        state_shape: Shape of one state, such as `(4,)`.
        seed: Seed of the draws.

    Raises:
        ValueError: If `capacity` or a size is not a positive whole number.

    Source: Lin 1992, https://doi.org/10.1007/BF00992699; Mnih et al. 2015, algorithm 1.
    """

    def __init__(self, capacity, state_shape, seed):
        for name, sizes in (("capacity", (capacity,)), ("state_shape", tuple(state_shape))):
            if not all(isinstance(size, (int, np.integer)) and size >= 1 for size in sizes):
                raise ValueError(f"{name}: expected positive whole numbers, got {sizes}")
        self.capacity, self.added = int(capacity), 0
        self.states = np.zeros((capacity, *state_shape), np.float32)
        self.next_states = np.zeros_like(self.states)
        self.actions = np.zeros(capacity, np.int32)
        self.rewards = np.zeros(capacity, np.float32)
        self.terminated = np.zeros(capacity, bool)
        self.rng = np.random.default_rng(seed)

    def __len__(self):
        """Number of transitions held."""
        return min(self.added, self.capacity)

    def add(self, states, actions, rewards, next_states, terminated):
        """Store one transition, or a batch of them with one more axis in front.

        `terminated` says that nothing follows the next state. It is False for a step that was only truncated.

        Raises:
            ValueError: If shapes do not fit together, or an action is not a whole number.
        """
        new = [np.asarray(part) for part in (states, actions, rewards, next_states, terminated)]
        if new[1].ndim == 0:
            new = [part[None] for part in new]
        count, shape = len(new[1]), self.states.shape[1:]
        want = [(count, *shape), (count,), (count,), (count, *shape), (count,)]
        if [part.shape for part in new] != want:
            raise ValueError(f"states, ...: expected shapes {want}, got {[part.shape for part in new]}")
        if new[1].dtype.kind not in "iu":
            raise ValueError(f"actions: expected whole numbers, got {new[1].dtype}")
        new = [part[-self.capacity :] for part in new]  # of a larger batch only the end would be left anyway
        places = np.arange(self.added + count - len(new[1]), self.added + count) % self.capacity
        for kept, part in zip(self._parts(), new, strict=True):
            kept[places] = part
        self.added += count

    def sample(self, batch_size):
        """Draw transitions uniformly, with replacement.

        Returns:
            `(states, actions, rewards, next_states, terminated)`, each (batch_size, ...).

        Raises:
            ValueError: If the buffer is empty, or `batch_size` is not a positive whole number.
        """
        if not (isinstance(batch_size, (int, np.integer)) and batch_size >= 1):
            raise ValueError(f"batch_size: expected a positive whole number, got {batch_size!r}")
        if not len(self):
            raise ValueError("sample: expected a buffer with at least one transition, got an empty one")
        drawn = self.rng.integers(len(self), size=batch_size)
        return tuple(part[drawn] for part in self._parts())

    def _parts(self):
        return self.states, self.actions, self.rewards, self.next_states, self.terminated


def td_target(rewards, terminated, next_values, discount):
    """What Q(s, a) should have been: reward + discount · value of the next state, unless the episode terminated there.

    Args:
        rewards: Tensor (batch,).
        terminated: Tensor (batch,), booleans or 0 and 1: nothing follows. A truncated step is *not* terminated: it has
            a next state, whose value counts.
        next_values: Tensor (batch,), estimated values of the next states.
        discount: From 0 to 1.

    Returns:
        Tensor (batch,).

    Raises:
        ValueError: If shapes differ, `discount` lies outside [0, 1], or `terminated` is neither 0 nor 1.

    Source: Mnih et al. 2015, algorithm 1.
    """
    if not 0 <= discount <= 1:
        raise ValueError(f"discount: expected a number in [0, 1], got {discount!r}")
    next_values = tf.convert_to_tensor(next_values)
    rewards, ended = tf.cast(rewards, next_values.dtype), tf.cast(terminated, next_values.dtype)
    if not rewards.shape == ended.shape == next_values.shape or 0 in rewards.shape:
        shapes = [tuple(part.shape) for part in (rewards, ended, next_values)]
        raise ValueError(f"rewards, terminated, next_values: expected three equal shapes, got {shapes}")
    if tf.executing_eagerly() and not np.isin(ended, (0, 1)).all():
        raise ValueError(f"terminated: expected 0 or 1, got {ended.numpy()}")
    return rewards + discount * tf.where(ended > 0, tf.zeros_like(next_values), next_values)


def huber_loss(target, value):
    """Half the squared error up to an error of 1, and its tangent beyond: no error pulls with more than 1.

    Args:
        target, value: Tensors of one shape.

    Returns:
        Scalar tensor, the mean.

    Raises:
        ValueError: If the shapes differ, or there is nothing to average.

    Source: Huber 1964, https://doi.org/10.1214/aoms/1177703732; Mnih et al. 2015, methods (error clipping).
    """
    target, value = tf.convert_to_tensor(target), tf.convert_to_tensor(value)
    if target.shape != value.shape or 0 in target.shape:
        raise ValueError(f"target, value: expected equal shapes, got {tuple(target.shape)} and {tuple(value.shape)}")
    error = tf.abs(target - value)
    return tf.reduce_mean(tf.where(error < 1, tf.square(error) / 2, error - 0.5))


def build_q_network(state_size, actions, hidden=(64, 64), seed=0):
    """A dense network from states (batch, state_size) to one value for each action (batch, actions).

    Raises:
        ValueError: If a size is not a positive whole number.
    """
    sizes = (state_size, *hidden, actions)
    if not all(isinstance(size, (int, np.integer)) and size >= 1 for size in sizes):
        raise ValueError(f"state_size, hidden, actions: expected positive whole numbers, got {sizes}")
    seeds = np.random.default_rng(seed).integers(2**31, size=len(sizes)).tolist()
    layers = [
        keras.layers.Dense(size, "relu", kernel_initializer=keras.initializers.HeUniform(layer_seed))
        for size, layer_seed in zip(hidden, seeds[1:], strict=False)
    ]
    last = keras.layers.Dense(actions, kernel_initializer=keras.initializers.GlorotUniform(seeds[0]))
    return keras.Sequential([keras.Input((state_size,)), *layers, last])


def numpy_forward(network):
    """The forward pass of a stack of dense layers in NumPy, with the weights that it has now.

    A call of Keras costs about a millisecond whatever the size; this one some twenty microseconds. Acting needs it at
    every step.

    Args:
        network: A `keras.Sequential` of `Dense` layers with the activations relu, tanh or linear.

    Returns:
        Callable from an array (batch, inputs) to an array (batch, outputs).

    Raises:
        ValueError: If a layer is not dense, or has another activation.
    """
    functions = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh, "linear": lambda x: x}
    stack = []
    for layer in network.layers:
        name = layer.activation.__name__ if isinstance(layer, keras.layers.Dense) else None
        if name not in functions:
            raise ValueError(f"network: expected Dense layers with relu, tanh or linear, got {layer} with {name}")
        stack.append((*layer.get_weights(), functions[name]))

    def forward(x):
        for kernel, bias, activation in stack:
            x = activation(x @ kernel + bias)
        return x

    return forward


def state_encoder(space):
    """How observations become the inputs of a network: real numbers as they are, state numbers one-hot.

    Args:
        space: A `gymnasium.spaces.Box` of one dimension, or a `gymnasium.spaces.Discrete`.

    Returns:
        `(size, encode)`: number of inputs, and a callable from observations (batch, ...) to float32 (batch, size).

    Raises:
        ValueError: If the space is neither.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        rows = np.eye(int(space.n), dtype=np.float32)
        return int(space.n), lambda observations: rows[np.asarray(observations) - space.start]
    if isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1:
        return space.shape[0], lambda observations: np.asarray(observations, np.float32)
    raise ValueError(f"space: expected a Box with one axis or a Discrete space, got {space!r}")


def make_environments(env_id, count, environment=None):
    """`count` copies of an environment that take their steps together, each restarting by itself when it has ended.

    Args:
        env_id: Name of a gymnasium environment (or its specification) with discrete actions and a limit of steps.
        count: Number of copies.
        environment: Dictionary of further arguments for the environment, such as `{"max_episode_steps": 100}`.

    Returns:
        `(env, limit)`: a `gymnasium.vector.VectorEnv`, and the number of steps after which episodes are cut off.

    Raises:
        ValueError: If `count` is not positive, there is no limit of steps, actions are not discrete, or the copies do
            not restart at the step that follows an end.
    """
    if not (isinstance(count, (int, np.integer)) and count >= 1):
        raise ValueError(f"count: expected a positive whole number, got {count!r}")
    arguments = dict(environment or {})
    try:
        env = gymnasium.make_vec(env_id, num_envs=int(count), **arguments)
    except gymnasium.error.Error as error:
        raise ValueError(f"env_id: expected the name of a gymnasium environment, got {env_id!r}") from error
    limit = arguments.get("max_episode_steps", env.spec.max_episode_steps)
    if limit is None:
        raise ValueError(f"env_id: expected an environment with max_episode_steps, got {env_id!r}, which has none")
    if not isinstance(env.single_action_space, gymnasium.spaces.Discrete) or env.single_action_space.start != 0:
        raise ValueError(f"env_id: expected actions 0, 1, ..., got {env.single_action_space}")
    mode = env.metadata.get("autoreset_mode")
    if mode != gymnasium.vector.AutoresetMode.NEXT_STEP:
        raise ValueError(f"env_id: expected copies that restart at the next step, got autoreset mode {mode}")
    return env, limit


def vector_steps(env, policy, seed):
    """The steps that many copies of an environment take, without those that only restart a copy.

    After an episode's end the next call of `step` ignores that copy's action and returns the first observation of a
    new episode: from the last state of one to the first of another. This is no transition, and is left out.

    Args:
        env: A vector environment that restarts at the next step, such as from `make_environments`.
        policy: Callable from observations (copies, ...) to actions (copies,).
        seed: Seed of the first reset.

    Yields:
        `(copies, states, actions, rewards, next_states, terminated, truncated)` of one call of `step`, without end:
        the numbers of the copies that moved, and one row for each of them. Where `truncated`, the next state is the
        episode's own last one.
    """
    observations, _ = env.reset(seed=seed)
    ended = np.zeros(env.num_envs, bool)
    while True:
        actions = policy(observations)
        following, rewards, terminated, truncated, _ = env.step(actions)
        moved = np.flatnonzero(~ended)
        parts = (observations, actions, rewards, following, terminated, truncated)
        yield moved, *(np.array(part[moved]) for part in parts)
        observations, ended = following, terminated | truncated


@dataclasses.dataclass
class Episodes:
    """Episodes that were played side by side, padded to the length of the longest.

    Attributes:
        observations: Array (steps, episodes, ...), what each action saw.
        actions: Array (steps, episodes).
        rewards: Array (steps, episodes), 0 after an episode's end.
        lengths: Array (episodes,), number of steps.
        last: Array (episodes, ...), the last observation of each.
        terminated: Array (episodes,), whether it ended by itself; otherwise it was cut off.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray
    last: np.ndarray
    terminated: np.ndarray

    @property
    def returns(self):
        """Sum of rewards of each episode (episodes,), not discounted."""
        return self.rewards.sum(axis=0)

    @property
    def played(self):
        """Whether an entry belongs to an episode or pads it (steps, episodes)."""
        return np.arange(len(self.rewards))[:, None] < self.lengths


def play_episodes(env_id, policy, episodes, seed, environment=None):
    """Play one episode in each of many copies of an environment.

    New copies every time: a reset in the middle of an episode would not clear the mark that CartPole's vector form
    keeps of copies about to restart.

    Args:
        env_id, environment: As in `make_environments`.
        policy: Callable from observations (episodes, ...) to actions (episodes,).
        episodes: How many.
        seed: Seed of the reset.

    Returns:
        `Episodes`.
    """
    env, limit = make_environments(env_id, episodes, environment)
    observations, _ = env.reset(seed=seed)
    running, steps = np.ones(episodes, bool), []
    lengths, last, terminal = np.zeros(episodes, int), observations.copy(), np.zeros(episodes, bool)
    while running.any() and len(steps) < limit:
        actions = policy(observations)
        following, rewards, terminated, truncated, _ = env.step(actions)
        steps.append((observations.copy(), actions, np.where(running, rewards, 0.0)))
        lengths += running
        last[running], terminal[running] = following[running], terminated[running]
        running &= ~(terminated | truncated)
        observations = following
    env.close()
    return Episodes(*(np.stack(part) for part in zip(*steps, strict=True)), lengths, last, terminal)


@dataclasses.dataclass
class TrainingRun:
    """What training left behind.

    Attributes:
        network: The network with the weights of the best evaluation.
        policy: Its greedy policy, from observations (batch, ...) to actions (batch,).
        returns: Returns of the training episodes, in the order in which they ended.
        ends: For each of them, the number of environment steps taken by all copies until then.
        evaluations: List of `(steps, mean return)` of the greedy policy.
        steps: Environment steps taken in training; those of evaluations do not count.
        reached: Whether an evaluation reached the target, and so training ended there.
    """

    network: keras.Model
    policy: object
    returns: np.ndarray
    ends: np.ndarray
    evaluations: list
    steps: int
    reached: bool


def greedy_policy_of(network, space):
    """The policy that takes the action with the largest output, from observations (batch, ...) to actions (batch,)."""
    forward, (_, encode) = numpy_forward(network), state_encoder(space)
    return lambda observations: np.argmax(forward(encode(observations)), axis=1)


class Checkpoint:
    """Periodic evaluation: keeps the weights of the best one, and says when the target is reached.

    Args:
        env_id, environment: As in `make_environments`.
        network: The network whose greedy policy is evaluated.
        episodes: Episodes in an evaluation.
        target: Mean return at which training may stop, or None for never.
        seed: Seed from which the reset seeds of the evaluations are drawn.
    """

    def __init__(self, env_id, network, episodes, target, seed, environment=None):
        self.env_id, self.network, self.episodes, self.target = env_id, network, episodes, target
        self.environment, self.rng = environment, np.random.default_rng(seed)
        env, _ = make_environments(env_id, 1, environment)
        self.space = env.single_observation_space
        env.close()
        self.evaluations, self.reached = [], False
        self.best, self.weights = -np.inf, network.get_weights()

    def evaluate(self, steps):
        """Evaluate after `steps` environment steps. Returns True if the target is reached."""
        policy, seed = greedy_policy_of(self.network, self.space), int(self.rng.integers(2**31))
        mean = float(play_episodes(self.env_id, policy, self.episodes, seed, self.environment).returns.mean())
        self.evaluations.append((steps, mean))
        if mean > self.best:
            self.best, self.weights = mean, self.network.get_weights()
        self.reached = self.target is not None and mean >= self.target
        return self.reached

    def finish(self, returns, ends, steps):
        """Put the best weights back. Returns the `TrainingRun`."""
        self.network.set_weights(self.weights)
        policy = greedy_policy_of(self.network, self.space)
        return TrainingRun(self.network, policy, np.array(returns), np.array(ends), self.evaluations, steps,
                           self.reached)  # fmt: skip


def compile_updates(network, target_network, optimizer, discount, double=True):
    """Many gradient steps in one compiled call. Only `network` learns; `target_network` stays as it is.

    Args:
        network, target_network: Two Q-networks of one shape.
        optimizer: A Keras optimizer.
        discount: From 0 to 1.
        double: Whether the next action is chosen by `network` and valued by `target_network` (double DQN), or both by
            the latter, whose maximum favours what it overestimates.

    Returns:
        Callable `learn(states, actions, rewards, next_states, terminated)` on arrays (steps, batch, ...), which takes
        one gradient step for each entry of the first axis.
    """
    weights = network.trainable_weights
    optimizer.build(weights)

    def step(states, actions, rewards, next_states, terminated):
        outputs = target_network(next_states)
        chosen = tf.argmax(network(next_states) if double else outputs, axis=1)
        next_values = tf.gather(outputs, chosen, axis=1, batch_dims=1)
        target = td_target(rewards, terminated, next_values, discount)
        with tf.GradientTape() as tape:
            values = tf.gather(network(states), actions, axis=1, batch_dims=1)
            loss = huber_loss(target, values)
        optimizer.apply(tape.gradient(loss, weights), weights)

    @tf.function(jit_compile=True, autograph=False)
    def learn(*batches):
        def body(i):
            step(*(part[i] for part in batches))
            return (i + 1,)

        tf.while_loop(lambda i: i < batches[0].shape[0], body, (tf.constant(0),), parallel_iterations=1)

    return lambda *batches: learn(*(tf.convert_to_tensor(part) for part in batches))


def train_dqn(
    env_id,
    *,
    max_steps=200_000,
    target=None,
    copies=16,
    hidden=(64, 64),
    learning_rate=2.3e-3,
    discount=0.99,
    batch_size=64,
    capacity=50_000,
    steps_a_round=256,
    updates_a_round=128,
    warmup_steps=1000,
    exploration_steps=10_000,
    final_epsilon=0.04,
    double=True,
    evaluate_every=16,
    evaluation_episodes=100,
    environment=None,
    seed=0,
    track=None,
):
    """Deep Q-learning, in rounds: act for some steps, learn from the memory, copy the network to its target.

    Every few rounds the greedy policy is evaluated. Training stops at the first evaluation that reaches `target`, or
    after `max_steps`; the weights of the best evaluation are kept.

    Args:
        env_id: Name of a gymnasium environment with a flat or a discrete observation and discrete actions.
        max_steps: Environment steps after which training stops.
        target: Mean return of an evaluation at which training stops, or None for never.
        copies: Copies of the environment that act together.
        hidden: Units of the hidden layers.
        learning_rate: Step size of Adam.
        discount: From 0 to 1.
        batch_size: Transitions in a gradient step.
        capacity: Transitions that the memory holds.
        steps_a_round, updates_a_round: Environment steps and gradient steps between two copies to the target network.
        warmup_steps: Environment steps before the first gradient step.
        exploration_steps: Environment steps over which the share of random actions falls from 1 to `final_epsilon`.
        final_epsilon: Share of random actions in the end.
        double: Whether to use the double estimator.
        evaluate_every: Rounds between two evaluations.
        evaluation_episodes: Episodes in an evaluation.
        environment: Dictionary of further arguments for the environment, or None.
        seed: Seed of all random draws.
        track: Callable `(iterable, description) -> iterable` that shows progress, or None.

    Returns:
        `TrainingRun`.

    Raises:
        ValueError: If the environment or a setting is out of range.

    Source: Mnih et al. 2015, algorithm 1; van Hasselt et al. 2016, equation 4. The defaults of the learning rate, the
    batch and the rounds are those of https://github.com/DLR-RM/rl-baselines3-zoo for CartPole-v1, on a smaller network.
    """
    counts = {"max_steps": max_steps, "copies": copies, "batch_size": batch_size, "steps_a_round": steps_a_round,
              "updates_a_round": updates_a_round, "evaluate_every": evaluate_every,
              "evaluation_episodes": evaluation_episodes}  # fmt: skip
    for name, value in counts.items():
        if not (isinstance(value, (int, np.integer)) and value >= 1):
            raise ValueError(f"{name}: expected a positive whole number, got {value!r}")
    for name, value in (("discount", discount), ("final_epsilon", final_epsilon)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: expected a number in [0, 1], got {value!r}")
    env, _ = make_environments(env_id, copies, environment)
    actions, space = int(env.single_action_space.n), env.single_observation_space
    size, encode = state_encoder(space)
    network, target_network = (build_q_network(size, actions, hidden, (seed, 0)) for _ in range(2))
    learn = compile_updates(network, target_network, keras.optimizers.Adam(learning_rate), discount, double)
    memory, rng = ReplayBuffer(capacity, (size,), (seed, 1)), np.random.default_rng((seed, 2))
    checkpoint = Checkpoint(env_id, network, evaluation_episodes, target, (seed, 3), environment)
    greedy, steps, returns, ends, running = greedy_policy_of(network, space), 0, [], [], np.zeros(copies)

    def explore(observations):
        epsilon = max(final_epsilon, 1 - (1 - final_epsilon) * steps / max(exploration_steps, 1))
        random = rng.random(copies) < epsilon
        return np.where(random, rng.integers(actions, size=copies), greedy(observations))

    stream = vector_steps(env, explore, int(rng.integers(2**31)))
    rounds = range(1, -(-max_steps // steps_a_round) + 1)
    for number in rounds if track is None else track(rounds, "training"):
        while steps < min(number * steps_a_round, max_steps):
            moved, states, chosen, rewards, next_states, terminated, truncated = next(stream)
            memory.add(encode(states), chosen, rewards, encode(next_states), terminated)
            steps += len(moved)
            running[moved] += rewards
            ended = moved[terminated | truncated]
            returns.extend(running[ended])
            ends.extend([steps] * len(ended))
            running[ended] = 0
        if steps >= warmup_steps:
            drawn = memory.sample(updates_a_round * batch_size)
            learn(*(part.reshape(updates_a_round, batch_size, *part.shape[1:]) for part in drawn))
            target_network.set_weights(network.get_weights())
            greedy = greedy_policy_of(network, space)
        if (number % evaluate_every == 0 or number == rounds[-1]) and checkpoint.evaluate(steps):
            break
    env.close()
    return checkpoint.finish(returns, ends, steps)


def lesson(
    report,
    *,
    max_steps: int = 200_000,
    comparison_steps: int = 50_000,
    seeds: int = 3,
    evaluation_episodes: int = 100,
    discount: float = 0.99,
    seed: int = 0,
):
    """Look at the parts one by one, then let the pole stand.

    Args:
        report: The report to write to.
        max_steps: Environment steps after which a run gives up (300 to 10000000).
        comparison_steps: Environment steps of the runs that go without one part (300 to 10000000).
        seeds: Independent runs of each kind (1 to 100).
        evaluation_episodes: Episodes in each evaluation of the stopping rule (1 to 1000).
        discount: Weight of one step's delay (0 to 1).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _memory(report, seed)
    _targets(report, discount, seed)
    _between_episodes(report, discount, seed)
    _two_estimators(report, seed)

    runs, rows, fresh = [], [], []
    for run_seed in range(seed, seed + seeds):
        started = time.perf_counter()
        run = train_dqn("CartPole-v1", max_steps=max_steps, target=LIMIT, discount=discount, seed=run_seed,
                        evaluation_episodes=evaluation_episodes, warmup_steps=min(1000, max_steps // 2),
                        track=report.track)  # fmt: skip
        seconds = time.perf_counter() - started
        played = play_episodes("CartPole-v1", run.policy, 20, int(np.random.default_rng((run_seed, 9)).integers(2**31)))
        value = numpy_forward(run.network)(played.observations[0]).max(axis=1).mean()
        best = max(mean for _, mean in run.evaluations)
        rows.append([run_seed, run.steps, len(run.returns), best, played.returns.mean(), played.returns.min(), value,
                     seconds])  # fmt: skip
        runs.append(run)
        fresh.append(played.returns.mean())
    label = "CartPole-v1, greedy: mean return of 20 fresh episodes, first seed"
    report.at_least(label, got=fresh[0], bound=475.0, trained=True)
    report.at_least(f"share of the {seeds} seeds that reach 475", np.mean(np.array(fresh) >= 475), 0.8, trained=True)
    never_ends = f"Q at the start (1/(1 − γ) = {1 / (1 - discount):.0f})" if discount < 1 else "Q at the start"
    report.table(
        "runs on CartPole-v1",
        ["seed", "environment steps", "episodes", "best evaluation", "20 fresh episodes", "worst of them", never_ends,
         "seconds"],
        rows,
    )  # fmt: skip
    report.note(
        f"Stopping rule: about every 4,096 environment steps the greedy policy plays {evaluation_episodes} episodes; "
        f"training stops when all of them last {LIMIT} steps, or after {max_steps:,} steps. The weights of the best "
        "evaluation are kept, and judged by 20 other episodes with reset seeds from a stream of their own."
    )
    report.note(
        "How long it takes varies: of the seeds 0 to 7, seven stood within 80,000 environment steps, one after "
        "160,000, and nothing in its first 140,000 steps gave it away. More seeds, each in a process of its own: "
        "python -m kerasnotes sweep chapter12.dqn --seeds 0-4 --set seeds=1"
    )
    report.note(
        "Deviations from Mnih et al. 2015: four numbers in place of images, 16 copies of the environment in place of "
        "one, Adam in place of RMSProp, double DQN, and 128 gradient steps in a row after every 256 environment steps."
    )
    _without(report, runs, comparison_steps, evaluation_episodes, discount, seed)
    report.figure(
        "learning to balance, and what was learnt",
        _figure(runs, seed),
        alt="Left: returns of training episodes climb from about 20 towards 500, and so do the evaluations of the "
        "runs, not always steadily. Right: the difference of the two values over the pole's angle and speed; push "
        "right where it falls to the right, left where it falls to the left.",
    )


def _memory(report, seed):
    memory = ReplayBuffer(5, (1,), seed)
    for number in range(8):
        memory.add([number], 0, 0.0, [number + 1], False)
    report.check("eight transitions into five places: the oldest three are gone", memory.states[:, 0], [5, 6, 7, 3, 4])
    places, draws = 50, 100_000
    memory = ReplayBuffer(places, (1,), (seed, 4))
    memory.add(np.arange(places)[:, None], np.arange(places), np.zeros(places), np.zeros((places, 1)), np.zeros(places))
    counts = np.bincount(memory.sample(draws)[1], minlength=places)
    expected = draws / places
    # The 0.999 quantile of the chi-squared distribution with 49 degrees of freedom.
    statistic = float(np.sum((counts - expected) ** 2) / expected)
    report.at_most("chi-squared statistic of 100,000 draws from 50 places", got=statistic, bound=85.351)


def _targets(report, discount, seed):
    got = td_target([1.0, 1.0], [True, False], [10.0, 10.0], discount)
    label = "a terminated step's target is its reward, a truncated one's adds the next value"
    report.check(label, got=got, want=[1.0, 1.0 + discount * 10.0])
    errors = tf.Variable([-3.0, -0.5, 0.0, 0.5, 3.0])
    with tf.GradientTape() as tape:
        loss = huber_loss(tf.zeros(5), errors)
    report.check("Huber loss equals keras.losses.Huber", got=loss, want=keras.losses.Huber()(tf.zeros(5), errors))
    label = "no error pulls with more than 1: slopes at −3, −0.5, 0, 0.5, 3"
    report.check(label, got=5 * tape.gradient(loss, errors), want=[-1.0, -0.5, 0.0, 0.5, 1.0])

    network, target_network = (build_q_network(4, 2, (8,), (seed, number)) for number in (5, 6))
    before = [np.array(weight) for weight in network.get_weights()]
    kept = [np.array(weight) for weight in target_network.get_weights()]
    learn = compile_updates(network, target_network, keras.optimizers.Adam(0.01), discount)
    rng = np.random.default_rng((seed, 7))
    states, next_states = rng.normal(size=(2, 3, 16, 4)).astype(np.float32)
    actions, terminated = rng.integers(2, size=(2, 3, 16))
    learn(states, actions, np.ones((3, 16), np.float32), next_states, terminated)
    moved = max(np.abs(new - old).max() for new, old in zip(network.get_weights(), before, strict=True))
    report.at_least("three gradient steps move the network", got=moved, bound=0.01)
    report.check("but not its target", got=target_network.get_weights(), want=kept, rtol=0, atol=0)
    target_network.set_weights(network.get_weights())
    label = "until the network is copied"
    report.check(label, got=target_network.get_weights(), want=network.get_weights(), rtol=0, atol=0)


def _between_episodes(report, discount, seed):
    """CartPole cut off after 12 steps; half of the copies are balanced, half are always pushed to the left."""

    def half_balanced(observations):
        actions = (observations[:, 2] + observations[:, 3] > 0).astype(int)
        actions[: len(actions) // 2] = 0
        return actions

    copies, calls = 8, 60
    env, _ = make_environments("CartPole-v1", copies, {"max_episode_steps": 12})
    stream = vector_steps(env, half_balanced, seed)
    steps = [next(stream) for _ in range(calls)]
    _, states, actions, _, next_states, terminated, truncated = (
        np.concatenate(part) for part in zip(*steps, strict=True)
    )
    distances = np.abs(cart_pole_step(states, actions)[0] - next_states)
    report.at_most("every step kept obeys the equations of motion, largest error", got=distances.max(), bound=1e-5)
    ended_before_last = sum(np.sum(step[5] | step[6]) for step in steps[:-1])
    label = "steps left out of a vector environment's stream: one after each end"
    report.check(label, got=calls * copies - len(states), want=int(ended_before_last))

    env, _ = make_environments("CartPole-v1", copies, {"max_episode_steps": 12})
    observations, _ = env.reset(seed=seed)
    worst = 0.0
    for _ in range(calls):
        actions_now = half_balanced(observations)
        following = env.step(actions_now)[0]
        worst = max(worst, float(np.abs(cart_pole_step(observations, actions_now)[0] - following).max()))
        observations = following
    report.at_least("with the steps between episodes kept, largest error", got=worst, bound=0.1)

    memory = ReplayBuffer(len(states), (4,), seed)
    memory.add(states, actions, np.ones(len(states)), next_states, terminated)
    cut = truncated & ~terminated
    ends = [int(terminated.sum()), int(cut.sum())]
    report.at_least("both ends occur: terminated, truncated", got=ends, bound=1)
    targets = td_target(memory.rewards, memory.terminated, np.full(len(states), 7.0, np.float32), discount).numpy()
    report.check("from this stream, a terminated step's target", got=targets[terminated], want=np.ones(ends[0]))
    label = "and a truncated one's, whose next state is its own"
    report.check(label, got=targets[cut], want=np.full(ends[1], 1 + 7 * discount))


def _two_estimators(report, seed):
    """Ten actions of value 0, each estimated with an error of standard deviation 1."""
    first, second = np.random.default_rng((seed, 8)).normal(size=(2, 40_000, 10))
    single = first.max(axis=1)
    double = np.take_along_axis(second, first.argmax(axis=1)[:, None], axis=1)[:, 0]
    for label, estimate, want in (
        ("the maximum of ten noisy zeros promises 1.5388 on average", single, 1.53875),  # Teichroew 1956, table I
        ("chosen by one estimate and valued by another, 0", double, 0.0),
    ):
        error = estimate.std() / np.sqrt(len(estimate))
        report.at_most(f"{label}; distance in standard errors", got=abs(estimate.mean() - want) / error, bound=4)


def _without(report, runs, steps, evaluation_episodes, discount, seed):
    """The same seeds with a part left out, as far as `steps`."""
    kinds = {"all parts": runs}
    for name, change in (
        ("memory of the last 256 steps only", {"capacity": 256}),
        ("next action chosen and valued by the target", {"double": False}),
    ):
        kinds[name] = [
            train_dqn("CartPole-v1", max_steps=steps, target=LIMIT, discount=discount, seed=seed + number,
                      evaluation_episodes=evaluation_episodes, warmup_steps=min(1000, steps // 2),
                      track=report.track, **change)
            for number in range(len(runs))
        ]  # fmt: skip
    rows = []
    for name, group in kinds.items():
        best = [max([mean for at, mean in run.evaluations if at <= 1.01 * steps], default=0.0) for run in group]
        rows.append([name, *plots.mean_and_error(best), int(np.sum(np.array(best) >= 475))])
    columns = ["trained with", "best evaluation, mean", "standard error", f"runs of {len(runs)} that reach 475"]
    report.note(
        "Sixteen copies that act together mix their steps already: CartPole asks little of the memory. The maximum "
        "over values that are themselves estimates does harm, because what is overestimated is what it picks."
    )
    report.table(f"what is reached within {steps:,} environment steps", columns, rows)


def _figure(runs, seed):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.3))
    left.plot(runs[0].ends / 1000, runs[0].returns, ".", color="gray", markersize=3, alpha=0.5,
              label=f"episodes, seed {seed}")  # fmt: skip
    for number, run in enumerate(runs[:4]):
        steps, means = zip(*run.evaluations, strict=True)
        style = plots.LINE_STYLES[number % len(plots.LINE_STYLES)]
        left.plot(
            np.array(steps) / 1000, means, style, marker="o", color=f"C{number}", label=f"greedy, seed {seed + number}"
        )
    left.set(xlabel="environment steps, thousands", ylabel="return", ylim=(0, LIMIT * 1.04))
    left.set_title("Episodes get longer until\nthe pole stands to the end")
    left.legend(loc="upper left")
    angles, speeds = np.linspace(-12, 12, 81), np.linspace(-1.5, 1.5, 81)
    grid = np.zeros((81, 81, 4), np.float32)
    grid[..., 2], grid[..., 3] = np.deg2rad(angles), speeds[:, None]
    values = numpy_forward(runs[0].network)(grid.reshape(-1, 4)).reshape(81, 81, 2)
    difference = values[..., 1] - values[..., 0]
    limit = max(float(np.quantile(np.abs(difference), 0.98)), 1e-6)
    picture = right.imshow(difference, origin="lower", extent=(-12, 12, -1.5, 1.5), aspect="auto", cmap="PuOr",
                           vmin=-limit, vmax=limit)  # fmt: skip
    if difference.min() < 0 < difference.max():
        right.contour(angles, speeds, difference, levels=[0], colors="black", linewidths=1.5)
    right.grid(False)
    figure.colorbar(picture, ax=right, label="Q(push right) − Q(push left)")
    right.set(xlabel="angle of the pole, degrees", ylabel="its speed, radians/s")
    right.set_title("It pushes to the side\nto which the pole falls")
    return figure

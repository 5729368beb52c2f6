"""The best of many evaluations flatters itself: its weights are worth keeping, its number is not.

While a network learns, its greedy policy is tried now and then, and the weights of the best trial are kept. What the
reader should see: among networks that are nearly alike, the best of many short trials looks far better than it is,
and the shorter the trials, the more; played again with other seeds it comes down. So checkpoints are judged by
fresh episodes. And acting needs no Keras: the forward pass in NumPy gives the same numbers many times faster.

Notes: chapter 12, "Deep Q-network" (深度Q网络: 评估与检查点).
Source: Henderson et al. 2018, arXiv:1709.06560 (evaluation of deep reinforcement learning); Smith and Winkler 2006,
"The optimizer's curse", Management Science 52.
"""

import dataclasses
import time

import gymnasium
import keras
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.vector_environments import make_environments, play_episodes
from kerasnotes.parts import layer_seeds

SMOKE = {"networks": 4, "trials": (1, 2), "fresh": 8}
SECONDS = 3


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


def example():
    """A network's values by Keras and in NumPy, and the best of twenty random networks tried and tried again."""
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(2)])
    states = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    print("Keras:", network(states).numpy()[0], "NumPy:", numpy_forward(network)(states)[0])

    rng = np.random.default_rng(0)
    checkpoint = Checkpoint("CartPole-v1", network, episodes=2, target=500.0, seed=0)
    for step in range(20):
        network.set_weights([rng.normal(size=weight.shape) for weight in network.get_weights()])
        checkpoint.evaluate(step)
    run = checkpoint.finish(returns=[], ends=[], steps=0)
    fresh = play_episodes("CartPole-v1", run.policy, episodes=50, seed=1).returns
    print(f"the best of 20 trials had {checkpoint.best:.0f} steps, its policy has {fresh.mean():.0f}")


def lesson(
    report,
    *,
    networks: int = 40,
    trials: tuple[int, ...] = (1, 2, 5, 20),
    fresh: int = 100,
    seed: int = 0,
):
    """Choose the best of networks that are nearly alike, by short and long trials, and try it again.

    Args:
        report: The report to write to.
        networks: Networks with slightly different weights (2 to 1000).
        trials: Episodes in a trial (1 to 1000).
        fresh: Other episodes by which all networks are judged (2 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    network = _network((seed, 0))
    _same_numbers(report, network, seed)
    _best_weights(report, network)
    played = _play_all(report, network, networks, max(trials) + fresh, seed)  # (networks, episodes)
    truth, rows = played[:, max(trials) :].mean(axis=1), []
    for episodes in trials:
        tried = played[:, :episodes].mean(axis=1)
        rows.append([episodes, float(tried.max()), float(truth[tried.argmax()]), float(truth.max())])
    columns = ["episodes a trial", "the best trial", "its network, fresh episodes", "the best network"]
    report.table(f"{networks} networks that are nearly alike, on CartPole", columns, rows)
    gaps = [row[1] - row[2] for row in rows]
    report.at_least("the best of single episodes promises more than it keeps, steps", gaps[0], 0.0, trained=True)
    report.at_least("the promise of the shortest trials over that of the longest, steps", gaps[0] - gaps[-1], 0.0,
                    trained=True)  # fmt: skip
    figure, ax = plots.subplots()
    tried = played[:, : min(trials)].mean(axis=1)
    ax.plot(truth, tried, "o", color="C0", label="one network")
    ax.plot(truth[tried.argmax()], tried.max(), "D", color="C1", markersize=10, label="the best trial")
    ax.axline((0, 0), slope=1, color="black", linestyle=":", label="a trial that tells the truth")
    ax.set(xlabel=f"steps, mean of {fresh} fresh episodes", ylabel=f"steps in a trial of {min(trials)}")
    ax.set_title("The best trial lies above the line")
    ax.legend()
    report.figure(
        "The best of many trials",
        figure,
        alt="Each network as a point, fresh episodes against its trial: the points scatter about the diagonal, and the "
        "highest one lies far above it.",
    )


def _network(seed):
    seeds = layer_seeds(seed)
    hidden, last = (keras.initializers.GlorotUniform(next(seeds)) for _ in range(2))
    return keras.Sequential([
        keras.Input((4,)),
        keras.layers.Dense(16, "tanh", kernel_initializer=hidden),
        keras.layers.Dense(2, kernel_initializer=last),
    ])  # fmt: skip


def _same_numbers(report, network, seed):
    states = np.random.default_rng((seed, 1)).normal(size=(16, 4)).astype(np.float32)
    forward, rows = numpy_forward(network), []
    report.check("the forward pass in NumPy is Keras's", got=forward(states), want=network(states), atol=1e-6)
    for name, call in (("Keras", network), ("NumPy", forward)):
        begun = time.perf_counter()
        for _ in range(50):
            call(states)
        rows.append([name, (time.perf_counter() - begun) / 50 * 1e6])
    report.table("one forward pass of 16 states", ["by", "µs"], rows)


def _best_weights(report, network):
    """Three known policies: the second is the best, and its weights are the ones that stay."""
    checkpoint = Checkpoint("CartPole-v1", network, 8, 60.0, 0)
    zeros = [np.zeros_like(weight) for weight in network.get_weights()]
    balance = [np.array(weight) for weight in zeros]
    balance[0][[2, 3], 0] = balance[2][0, 1] = 1.0  # push to the side to which the pole falls
    reached = []
    for number, weights in enumerate((zeros, balance, zeros)):
        network.set_weights(weights)
        reached.append(checkpoint.evaluate(number))
    run = checkpoint.finish([], [], 0)
    report.check("only the policy that balances reaches 60 steps", got=reached, want=[False, True, False])
    report.check("and its weights are back in the end", got=run.network.get_weights(), want=balance, rtol=0, atol=0)


def _play_all(report, network, networks, episodes, seed):
    """Lengths (networks, episodes) of policies that differ little: all push to the side to which the pole leans.

    They see the pole's angle only, so that none balances it for long: at the limit of 500 steps nothing is left to
    promise.
    """
    rng, lengths = np.random.default_rng((seed, 2)), []
    space = gymnasium.make("CartPole-v1").observation_space
    for _ in report.track(range(networks), "networks"):
        weights = [0.1 * rng.normal(size=weight.shape) for weight in network.get_weights()]
        weights[0][[0, 1, 3]], weights[1][:] = 0.0, 0.0  # neither where the cart is nor how fast anything moves
        weights[3] *= 0.2  # they differ in the angle at which they change sides
        weights[0][2, 0] += 1.0  # the first hidden unit is the pole's angle,
        weights[2][0, 1] += 1.0  # and speaks for a push to the right
        network.set_weights(weights)
        played = play_episodes("CartPole-v1", greedy_policy_of(network, space), episodes, int(rng.integers(2**31)))
        lengths.append(played.lengths)
    return np.array(lengths, dtype=float)

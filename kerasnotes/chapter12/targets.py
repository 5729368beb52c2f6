"""What a value should have been: a target that knows its end, and a maximum in two halves.

A network's values are moved towards targets that are themselves estimates. What the reader should see: where an episode
terminated nothing is added, where a clock cut it off the next value is; Huber's loss lets no error pull with more than
1; and the maximum over noisy estimates promises too much, the more so the more actions there are, which goes away if
one estimate chooses and another one values.

Notes: chapter 12, "Deep Q-network" (深度Q网络: 目标值).
Source: Mnih et al. 2015, doi:10.1038/nature14236, algorithm 1; van Hasselt, Guez, Silver 2016, arXiv:1509.06461,
section "Double DQN"; Teichroew 1956, doi:10.1214/aoms/1177728266 (expected maxima).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter12.replay import ReplayBuffer
from kerasnotes.chapter12.vector_environments import make_environments, vector_steps
from kerasnotes.parts import floating, share, whole

SMOKE = {"draws": 2000}
SECONDS = 2


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
    share("discount", discount)
    next_values = floating("next_values", next_values)
    rewards, ended = tf.cast(rewards, next_values.dtype), tf.cast(terminated, next_values.dtype)
    shapes = rewards.shape, ended.shape, next_values.shape
    if not all(a.is_compatible_with(b) for a in shapes for b in shapes) or 0 in rewards.shape:
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

    Source: Huber 1964, doi:10.1214/aoms/1177703732; Mnih et al. 2015, methods (error clipping).
    """
    value = floating("value", value)
    target = tf.cast(target, value.dtype)
    if not target.shape.is_compatible_with(value.shape):
        raise ValueError(f"target, value: expected equal shapes, got {target.shape} and {value.shape}")
    error = tf.abs(target - value)
    return tf.reduce_mean(tf.where(error < 1, tf.square(error) / 2, error - 0.5))


def estimated_maximum(chosen_by, valued_by):
    """The value of the action that one estimate takes for the best, read from another one.

    With one estimate in both places this is its maximum, which promises too much: what is overestimated is what it
    picks. Errors that do not depend on each other cancel.

    Args:
        chosen_by, valued_by: Tensors (batch, actions), two estimates of the same values.

    Returns:
        Tensor (batch,).

    Raises:
        ValueError: If the shapes differ.

    Source: van Hasselt et al. 2016, equation 4.
    """
    chosen_by, valued_by = tf.convert_to_tensor(chosen_by), tf.convert_to_tensor(valued_by)
    if len(chosen_by.shape) != 2 or not chosen_by.shape.is_compatible_with(valued_by.shape):
        raise ValueError(f"chosen_by, valued_by: expected (batch, actions), got {chosen_by.shape}, {valued_by.shape}")
    return tf.gather(valued_by, tf.argmax(chosen_by, axis=1), axis=1, batch_dims=1)


def build_q_network(state_size, actions, hidden=(64, 64), seed=0):
    """A dense network from states (batch, state_size) to one value for each action (batch, actions).

    Raises:
        ValueError: If a size is not a positive whole number.
    """
    sizes = [whole("state_size, hidden, actions", size) for size in (state_size, *hidden, actions)]
    seeds = np.random.default_rng(seed).integers(2**31, size=len(sizes)).tolist()
    layers = [
        keras.layers.Dense(size, "relu", kernel_initializer=keras.initializers.HeUniform(layer_seed))
        for size, layer_seed in zip(hidden, seeds[1:], strict=False)
    ]
    last = keras.layers.Dense(actions, kernel_initializer=keras.initializers.GlorotUniform(seeds[0]))
    return keras.Sequential([keras.Input((state_size,)), *layers, last])


def compile_updates(network, target_network, optimizer, discount, double=True, compiled=True):
    """Many gradient steps in one compiled call. Only `network` learns; `target_network` stays as it is.

    Args:
        network, target_network: Two Q-networks of one shape.
        optimizer: A Keras optimizer.
        discount: From 0 to 1.
        double: Whether the next action is chosen by `network` and valued by `target_network` (double DQN), or both by
            the latter, whose maximum favours what it overestimates.
        compiled: False takes the steps one by one, as slow as it is easy to look into.

    Returns:
        Callable `learn(states, actions, rewards, next_states, terminated)` on arrays (steps, batch, ...), which takes
        one gradient step for each entry of the first axis.
    """
    weights = network.trainable_weights
    optimizer.build(weights)

    def step(states, actions, rewards, next_states, terminated):
        # the target: from the frozen copy, with the action that the network itself would choose
        outputs = target_network(next_states)
        next_values = estimated_maximum(network(next_states) if double else outputs, outputs)
        target = td_target(rewards, terminated, next_values, discount)
        # one step of the network towards it
        with tf.GradientTape() as tape:
            values = tf.gather(network(states), actions, axis=1, batch_dims=1)
            loss = huber_loss(target, values)
        optimizer.apply(tape.gradient(loss, weights), weights)

    def steps(*batches):
        def body(i):
            step(*(part[i] for part in batches))
            return (i + 1,)

        tf.while_loop(lambda i: i < batches[0].shape[0], body, (tf.constant(0),), parallel_iterations=1)

    learn = tf.function(steps, jit_compile=True, autograph=False) if compiled else steps
    return lambda *batches: learn(*(tf.convert_to_tensor(part) for part in batches))


def example():
    """Three transitions' targets, Keras's loss beside ours, and what a maximum of noise promises."""
    target = td_target([1.0, 1.0, 1.0], terminated=[False, False, True], next_values=[10.0, 0.0, 10.0], discount=0.9)
    print("targets:", target.numpy())
    values = tf.constant([9.5, 4.0, 1.0])
    print("Huber:  ", keras.losses.Huber()(target, values).numpy(), "and ours", huber_loss(target, values).numpy())

    network, other = (tf.random.stateless_normal((10_000, 4), (seed, 0)) for seed in (1, 2))  # four actions worth 0
    print("maximum of one estimate:   ", tf.reduce_mean(tf.reduce_max(network, axis=1)).numpy())
    print("chosen by one, valued by other:", tf.reduce_mean(estimated_maximum(network, other)).numpy())


def lesson(report, *, draws: int = 40_000, discount: float = 0.99, seed: int = 0):
    """Check targets by hand and on a stream of steps, and count what a maximum promises.

    Args:
        report: The report to write to.
        draws: Draws of the estimates (1000 to 10000000).
        discount: Weight of one step's delay (0 to 1).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _by_hand(report, discount)
    _from_a_stream(report, discount, seed)
    bias = _two_estimators(report, draws, seed)
    report.figure(
        "A maximum of noise",
        plots.curves(np.arange(2, 11), bias, xlabel="actions, all of value 0", ylabel="estimate of the best value",
                     marker="o", title="The maximum promises too much"),
        alt="The mean maximum of noisy estimates rises with the number of actions from 0.56 for two to 1.54 for ten; "
        "chosen by one estimate and valued by another it stays at 0.",
    )  # fmt: skip


def _by_hand(report, discount):
    got = td_target([1.0, 1.0], [True, False], [10.0, 10.0], discount)
    label = "a terminated step's target is its reward, a truncated one's adds the next value"
    report.check(label, got=got, want=[1.0, 1.0 + discount * 10.0])
    errors = tf.Variable([-3.0, -0.5, 0.0, 0.5, 3.0])
    with tf.GradientTape() as tape:
        loss = huber_loss(tf.zeros(5), errors)
    report.check("Huber loss equals keras.losses.Huber", got=loss, want=keras.losses.Huber()(tf.zeros(5), errors))
    label = "no error pulls with more than 1: slopes at −3, −0.5, 0, 0.5, 3"
    report.check(label, got=5 * tape.gradient(loss, errors), want=[-1.0, -0.5, 0.0, 0.5, 1.0])


def _from_a_stream(report, discount, seed):
    """CartPole cut off after 12 steps, always pushed to the left or balanced: both ends occur."""
    env, _ = make_environments("CartPole-v1", 8, {"max_episode_steps": 12})
    side = np.arange(8) < 4
    stream = vector_steps(env, lambda seen: np.where(side, 0, seen[:, 2] + seen[:, 3] > 0).astype(int), seed)
    _, states, actions, rewards, next_states, terminated, truncated = (
        np.concatenate(part) for part in zip(*(next(stream) for _ in range(60)), strict=True)
    )
    memory = ReplayBuffer(len(states), (4,), seed)
    memory.add(states, actions, rewards, next_states, terminated)
    targets = td_target(memory.rewards, memory.terminated, np.full(len(states), 7.0, np.float32), discount).numpy()
    report.check("from a stream, a terminated step's target", targets[terminated], np.ones(int(terminated.sum())))
    cut = truncated & ~terminated
    label = "and a truncated one's, whose next state is its own"
    report.check(label, got=targets[cut], want=np.full(int(cut.sum()), 1 + 7 * discount))


def _two_estimators(report, draws, seed):
    """Ten actions of value 0, each estimated with an error of standard deviation 1. Returns means by actions."""
    first, second = np.random.default_rng((seed, 8)).normal(size=(2, draws, 10))
    single, double = (estimated_maximum(first, valued).numpy() for valued in (first, second))
    for label, estimate, want in (
        ("the maximum of ten noisy zeros promises 1.5388 on average", single, 1.53875),  # Teichroew 1956, table I
        ("chosen by one estimate and valued by another, 0", double, 0.0),
    ):
        error = estimate.std() / np.sqrt(len(estimate))
        report.at_most(f"{label}; distance in standard errors", got=abs(estimate.mean() - want) / error, bound=4)
    return {
        name: [float(np.mean(estimated_maximum(first[:, :n], valued[:, :n]))) for n in range(2, 11)]
        for name, valued in (("one estimate", first), ("chosen by one, valued by another", second))
    }

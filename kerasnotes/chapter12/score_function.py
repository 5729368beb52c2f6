"""The gradient of an expectation is itself an expectation; a baseline leaves its mean alone and takes away its noise.

How can one follow the gradient of a return that no formula gives? By making the actions that were taken more likely, by
as much as the return was high. What the reader should see: on a problem of two steps the estimate's mean is the exact
gradient, to the last digit; to leave out rewards of the past, or to take off a baseline, does not change that mean, but
takes away some of the noise, the baseline most of it.

Notes: chapter 12, "Policy gradient" (策略梯度: 得分函数).
Source: Williams 1992, doi:10.1007/BF00992696; Sutton and Barto 2018, ISBN 978-0-262-03924-6, sections 13.2 to 13.4.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter12.environment import discounted_returns
from kerasnotes.parts import whole

SMOKE = {"samples": 2000}
SECONDS = 2


def reinforce_loss(log_probabilities, returns):
    """The mean over steps of −log π(a | s) · return: its gradient is minus an estimate of the policy gradient.

    The returns are numbers, not functions of the policy: no gradient flows through them.

    Args:
        log_probabilities: Tensor (steps,), logarithms of the probabilities of the actions that were taken, at most 0.
        returns: Tensor (steps,), what each action is weighed by: the episode's return, the reward-to-go, or either of
            them minus a baseline.

    Returns:
        Scalar tensor.

    Raises:
        ValueError: If the shapes differ, there is no step, or, outside of compiled code, a logarithm is above 0 or a
            number is NaN.

    Source: Williams 1992; Sutton and Barto 2018, equation 13.8.
    """
    log_probabilities = tf.convert_to_tensor(log_probabilities)
    returns = tf.stop_gradient(tf.cast(returns, log_probabilities.dtype))
    shapes = log_probabilities.shape, returns.shape
    if len(shapes[0]) != 1 or not shapes[0].is_compatible_with(shapes[1]) or 0 in shapes[0]:
        raise ValueError(f"log_probabilities, returns: expected two equal shapes (steps,), got {shapes}")
    if tf.executing_eagerly():
        if not np.all(log_probabilities <= 1e-6):
            raise ValueError(f"log_probabilities: expected numbers of at most 0, got {log_probabilities.numpy()}")
        if np.isnan(returns).any():
            raise ValueError(f"returns: expected numbers, got {returns.numpy()}")
    return -tf.reduce_mean(log_probabilities * returns)


def log_probabilities_of(logits, actions):
    """Logarithms of the probabilities that a softmax over `logits` (steps, actions) gives to `actions` (steps,).

    Raises:
        ValueError: If the shapes do not fit.
    """
    logits, actions = tf.convert_to_tensor(logits), tf.convert_to_tensor(actions)
    if len(logits.shape) != 2 or not logits.shape[:1].is_compatible_with(actions.shape):
        raise ValueError(f"logits, actions: expected (steps, actions) and (steps,), got {logits.shape} and "
                         f"{actions.shape}")  # fmt: skip
    return -tf.nn.sparse_softmax_cross_entropy_with_logits(labels=actions, logits=logits)


def sample_actions(logits, rng):
    """Draw one action from each row of logits.

    Args:
        logits: Array (batch, actions).
        rng: A `numpy.random.Generator`.

    Returns:
        Array (batch,) of whole numbers.

    Raises:
        ValueError: If `logits` is not (batch, actions), or not finite.
    """
    logits = np.asarray(logits)
    if logits.ndim != 2 or 0 in logits.shape or not np.isfinite(logits).all():
        raise ValueError(f"logits: expected finite numbers (batch, actions), got {logits!r}")
    weights = np.cumsum(np.exp(logits - logits.max(axis=1, keepdims=True)), axis=1)
    return np.sum(weights[:, :-1] <= rng.random((len(logits), 1)) * weights[:, -1:], axis=1)


def build_policy_network(state_size, actions, hidden=(64,), seed=0):
    """A dense tanh network from states (batch, state_size) to logits (batch, actions), nearly equal at the start.

    Raises:
        ValueError: If a size is not a positive whole number.
    """
    sizes = [whole("state_size, hidden, actions", size) for size in (state_size, *hidden, actions)]
    seeds = np.random.default_rng(seed).integers(2**31, size=len(sizes)).tolist()
    layers = [
        keras.layers.Dense(size, "tanh", kernel_initializer=keras.initializers.GlorotUniform(layer_seed))
        for size, layer_seed in zip(hidden, seeds[1:], strict=False)
    ]
    last = keras.layers.Dense(actions, kernel_initializer=keras.initializers.RandomNormal(0.0, 0.01, seeds[0]))
    return keras.Sequential([keras.Input((state_size,)), *layers, last])


def step_weights(rewards, lengths, discount, reward_to_go=True, tails=0.0):
    """What each step of several episodes is weighed by, before a baseline is taken off.

    Args:
        rewards: Array (steps, episodes), 0 after an episode's end.
        lengths: Array (episodes,), number of steps of each.
        discount: From 0 to 1.
        reward_to_go: True: the discounted rewards from the step on. False: those of the whole episode, the past
            included, on which the action had no influence.
        tails: Array (episodes,): value of what follows the last step. 0 after a terminated episode; for a truncated
            one an estimate, if there is any.

    Returns:
        Array (steps, episodes), float32; meaningless after an episode's end.

    Raises:
        ValueError: If shapes do not fit, or `discount` lies outside [0, 1].
    """
    rewards, lengths = np.array(rewards, dtype=np.float64), np.asarray(lengths)
    if rewards.ndim != 2 or lengths.shape != rewards.shape[1:] or 0 in rewards.shape:
        raise ValueError(f"rewards, lengths: expected (steps, episodes) and (episodes,), got {rewards.shape} and "
                         f"{lengths.shape}")  # fmt: skip
    if lengths.min() < 1 or lengths.max() > len(rewards):
        raise ValueError(f"lengths: expected 1 to {len(rewards)}, got {lengths}")
    rewards[lengths - 1, np.arange(len(lengths))] += discount * np.asarray(tails)  # as if it came with the last reward
    returns = discounted_returns(rewards.T, discount).T
    return np.float32(returns if reward_to_go else np.broadcast_to(returns[:1], returns.shape))


def two_step_trajectories(logits, rewards):
    """All four courses of a problem of two steps, in which the first action decides on the second state.

    Args:
        logits: Tensor (3, 2), one softmax policy for each state: the first one, and the two that its actions lead to.
        rewards: Array (3, 2), one for each state and action.

    Returns:
        `(log_probabilities, rewards)`, each (4, 2): courses in the order 00, 01, 10, 11, and the two steps of each.

    Raises:
        ValueError: If a shape is not (3, 2).
    """
    logits, rewards = tf.convert_to_tensor(logits), tf.cast(rewards, logits.dtype)
    if logits.shape != (3, 2) or rewards.shape != (3, 2):
        raise ValueError(f"logits, rewards: expected shapes (3, 2), got {logits.shape} and {rewards.shape}")
    visited = [[[0, first], [1 + first, second]] for first in (0, 1) for second in (0, 1)]  # (4, 2, state and action)
    return tf.gather_nd(tf.nn.log_softmax(logits), visited), tf.gather_nd(rewards, visited)


def example():
    """One loss, its gradient by Keras's weighted cross-entropy and by ours, and a gradient from drawn actions."""
    logits, actions = tf.Variable([[0.2, -0.3], [0.5, 0.1], [-0.4, 0.3]]), np.array([0, 1, 1])
    returns = np.array([9.0, 8.0, 6.0], dtype="float32")
    with tf.GradientTape(persistent=True) as tape:
        entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        theirs = entropy(actions, logits, sample_weight=returns)
        ours = reinforce_loss(log_probabilities_of(logits, actions), returns)
    print("loss:    ", theirs.numpy(), ours.numpy())
    print("gradient:", tape.gradient(theirs, logits)[0].numpy(), tape.gradient(ours, logits)[0].numpy())

    pays, state = np.array([4.0, 5.0]), tf.Variable([[0.2, -0.3]])  # one state, two actions, two rewards
    drawn = sample_actions(np.repeat(state.numpy(), 20_000, axis=0), np.random.default_rng(0))
    with tf.GradientTape(persistent=True) as tape:
        exact = tf.reduce_sum(tf.nn.softmax(state)[0] * pays)
        loss = reinforce_loss(log_probabilities_of(tf.repeat(state, 20_000, axis=0), drawn), pays[drawn])
    print(
        "exact gradient:", tape.gradient(exact, state)[0].numpy(), "estimated:", -tape.gradient(loss, state)[0].numpy()
    )


def lesson(report, *, samples: int = 50_000, seed: int = 0):
    """Sum the estimate over all courses of a problem of two steps, and sample it.

    Args:
        report: The report to write to.
        samples: Episodes drawn on the problem of two steps (1000 to 10000000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    variances = _two_steps(report, samples, seed)
    report.figure(
        "The noise of one estimate",
        plots.bars([name.replace(" − ", "\n− ") for name in variances], list(variances.values()),
                   ylabel="variance of one episode's estimate", title="The same mean, with less noise"),
        alt="Four bars: the whole return varies most, the reward-to-go less, and either of them less a baseline only a "
        "fraction of that.",
    )  # fmt: skip


def _two_steps(report, samples, seed):
    logits = tf.Variable([[0.2, -0.3], [0.5, 0.1], [-0.4, 0.3]], dtype=tf.float64)
    table = np.array([[4.0, 5.0], [3.0, 5.0], [2.0, 6.0]])
    with tf.GradientTape() as tape:
        log_probabilities, rewards = two_step_trajectories(logits, table)
        probabilities = tf.exp(tf.reduce_sum(log_probabilities, axis=1))  # (4,)
        expected_return = tf.reduce_sum(probabilities * tf.reduce_sum(rewards, axis=1))
    exact, p, r = tape.gradient(expected_return, logits).numpy(), probabilities.numpy(), rewards.numpy()
    report.check("the probabilities of all four courses sum to", got=p.sum(), want=1.0)

    policy = tf.nn.softmax(logits).numpy()
    later = np.sum(policy[1:] * table[1:], axis=1)  # value of the two second states
    values = np.stack([np.full(4, float(expected_return)), np.repeat(later, 2)], axis=1)  # (4, 2)
    whole, to_go = np.repeat(r.sum(axis=1, keepdims=True), 2, axis=1), np.cumsum(r[:, ::-1], axis=1)[:, ::-1]
    weightings = {
        "whole return": whole,
        "whole return − its mean": whole - float(expected_return),
        "reward-to-go": to_go,
        "reward-to-go − value of the state": to_go - values,
    }
    rng = np.random.default_rng((seed, 4))
    first = sample_actions(np.repeat(logits.numpy()[:1], samples, axis=0), rng)
    drawn = 2 * first + sample_actions(logits.numpy()[1 + first], rng)  # which of the four courses
    rows, variances = [], {}
    for name, weights in weightings.items():
        with tf.GradientTape() as tape:
            courses, _ = two_step_trajectories(logits, table)
            losses = tf.stack([2 * reinforce_loss(courses[i], weights[i]) for i in range(4)])  # sums over two steps
        estimates = -tape.jacobian(losses, logits).numpy().reshape(4, 6)
        mean = p @ estimates
        report.check(f"{name}: summed over all courses, the estimate is the exact gradient", mean, exact.ravel())
        variances[name] = float(np.sum(p @ estimates**2 - mean**2))
        sampled = estimates[drawn]
        error = sampled.std(axis=0, ddof=1) / np.sqrt(samples)
        off = np.max(np.abs(sampled.mean(axis=0) - exact.ravel()) / error)
        report.at_most(f"{name}: {samples:,} episodes, largest distance in standard errors", got=off, bound=4)
        squared = np.sum((sampled - sampled.mean(axis=0)) ** 2, axis=1)
        off = abs(squared.mean() - variances[name]) / (squared.std() / np.sqrt(samples))
        report.at_most(f"{name}: its sampled variance from the exact one, standard errors", got=off, bound=4)
        rows.append([name, variances[name], float(squared.mean())])
    with tf.GradientTape() as tape:
        courses, _ = two_step_trajectories(logits, table)
        taken = tf.gather(courses, drawn)
        loss = reinforce_loss(tf.reshape(taken, [-1]), weights[drawn].ravel())
    label = "one loss over all steps gives the mean of the episodes' estimates"
    report.check(label, got=-2 * tape.gradient(loss, logits).numpy().ravel(), want=sampled.mean(axis=0))
    names = list(weightings)
    for with_baseline, without in ((names[1], names[0]), (names[3], names[2])):
        ratio = variances[with_baseline] / variances[without]
        report.at_most(f"{with_baseline}: share of the variance that is left", got=ratio, bound=0.5)
    ratio = variances["reward-to-go"] / variances["whole return"]
    report.at_most("reward-to-go: share of the whole return's variance that is left", got=ratio, bound=0.9)
    report.note(
        "A value of the state is a good baseline but not always the best one, nor do past rewards always add noise: "
        "here, where a small first reward goes with large later ones, the whole return less its mean varies least."
    )
    columns = ["an episode's steps weighed by", "variance, exact", "variance, sampled"]
    report.table("variance of one episode's estimate, summed over the six logits", columns, rows)
    return variances

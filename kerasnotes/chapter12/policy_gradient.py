"""Act, see what came of it, and make the actions that came before more likely by as much as the return was high.

No table and no value is needed: the gradient of an expectation is itself an expectation, which episodes estimate. What
the reader should see: on a problem of two steps the estimate's mean is the exact gradient, to the last digit; to leave
out rewards of the past, or to take off a baseline, does not change that mean, but takes away some of the noise, the
baseline most of it; and the same few lines learn to hold up a pole.

Notes: chapter 12, "Policy gradient" (策略梯度: REINFORCE).
Source: Williams 1992, https://doi.org/10.1007/BF00992696, theorem 1; Sutton and Barto 2018, sections 13.2 to 13.4.
"""

import time

import keras
import numpy as np
import tensorflow as tf
from matplotlib.animation import FuncAnimation

from kerasnotes import plots
from kerasnotes.chapter12.dqn import (
    Checkpoint,
    greedy_policy_of,
    make_environments,
    numpy_forward,
    play_episodes,
    state_encoder,
)
from kerasnotes.chapter12.environment import discounted_returns

SMOKE = {"max_steps": 300, "comparison_steps": 200, "seeds": 1, "evaluation_episodes": 3, "frames": 3}
FULL = {"comparison_steps": 200_000}
SECONDS = 18

WEIGHTINGS = {  # name -> (reward_to_go, baseline)
    "reward-to-go, baseline": (True, True),
    "reward-to-go": (True, False),
    "whole return": (False, False),
}


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

    Source: Williams 1992, theorem 1; Sutton and Barto 2018, equation 13.8.
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
    sizes = (state_size, *hidden, actions)
    if not all(isinstance(size, (int, np.integer)) and size >= 1 for size in sizes):
        raise ValueError(f"state_size, hidden, actions: expected positive whole numbers, got {sizes}")
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


def train_reinforce(
    env_id,
    *,
    max_steps=200_000,
    target=None,
    baseline=True,
    reward_to_go=True,
    copies=16,
    hidden=(64,),
    learning_rate=0.01,
    discount=0.99,
    evaluate_every=5,
    evaluation_episodes=100,
    environment=None,
    seed=0,
):
    """REINFORCE: play a batch of whole episodes, take one gradient step, and forget them.

    Every few batches the greedy policy is evaluated. Training stops at the first evaluation that reaches `target`, or
    after `max_steps`; the weights of the best evaluation are kept.

    Args:
        env_id: Name of a gymnasium environment with a flat or a discrete observation and discrete actions.
        max_steps: Environment steps after which no further batch is played.
        target: Mean return of an evaluation at which training stops, or None for never.
        baseline: Whether a second network learns the value of each state, which is taken off the return; a truncated
            episode then also counts the value of its last state. Without it nothing is known of what would follow.
        reward_to_go: Whether an action is weighed by the rewards that follow it, or by those of the whole episode.
        copies: Episodes in a batch, played side by side.
        hidden: Units of the hidden layers of each network.
        learning_rate: Step size of Adam, for both networks.
        discount: From 0 to 1.
        evaluate_every: Batches between two evaluations.
        evaluation_episodes: Episodes in an evaluation.
        environment: Dictionary of further arguments for the environment, or None.
        seed: Seed of all random draws.

    Returns:
        A `TrainingRun`; its `returns` have `copies` entries for each batch.

    Raises:
        ValueError: If the environment or a setting is out of range.

    Source: Sutton and Barto 2018, section 13.4, without the factor discount^t, as most programs have it.
    """
    counts = {"max_steps": max_steps, "copies": copies, "evaluate_every": evaluate_every,
              "evaluation_episodes": evaluation_episodes}  # fmt: skip
    for name, value in counts.items():
        if not (isinstance(value, (int, np.integer)) and value >= 1):
            raise ValueError(f"{name}: expected a positive whole number, got {value!r}")
    if not 0 <= discount <= 1:
        raise ValueError(f"discount: expected a number in [0, 1], got {discount!r}")
    env, limit = make_environments(env_id, 1, environment)
    size, encode = state_encoder(env.single_observation_space)
    policy_network = build_policy_network(size, int(env.single_action_space.n), hidden, (seed, 0))
    value_network = build_policy_network(size, 1, hidden, (seed, 1))
    env.close()
    horizon = float(np.sum(discount ** np.arange(limit)))  # the value network's unit, so that it answers in ones
    learn = _compile_learning(policy_network, value_network, size, learning_rate, horizon, baseline)
    checkpoint = Checkpoint(env_id, policy_network, evaluation_episodes, target, (seed, 2), environment)
    rng, steps, returns, ends, batch = np.random.default_rng((seed, 3)), 0, [], [], 0
    while steps < max_steps:
        logits_of, value_of = numpy_forward(policy_network), numpy_forward(value_network)
        played = play_episodes(env_id, lambda seen: sample_actions(logits_of(encode(seen)), rng), copies,  # noqa: B023
                               int(rng.integers(2**31)), environment)  # fmt: skip
        tails = np.zeros(copies)
        if baseline:
            tails = np.where(played.terminated, 0.0, horizon * value_of(encode(played.last))[:, 0])
        weights = step_weights(played.rewards, played.lengths, discount, reward_to_go, tails)
        to_go = weights if reward_to_go else step_weights(played.rewards, played.lengths, discount, True, tails)
        states = encode(played.observations[played.played])
        learn(states, played.actions[played.played], weights[played.played], to_go[played.played])
        batch, steps = batch + 1, steps + int(played.lengths.sum())
        returns.extend(played.returns)
        ends.extend([steps] * copies)
        if (batch % evaluate_every == 0 or steps >= max_steps) and checkpoint.evaluate(steps):
            break
    return checkpoint.finish(returns, ends, steps)


def _compile_learning(policy_network, value_network, size, learning_rate, horizon, baseline):
    """One gradient step of the policy, and with a baseline one of the value network, for any number of steps."""
    weights_of = [network.trainable_weights for network in (policy_network, value_network)]
    optimizers = [keras.optimizers.Adam(learning_rate) for _ in weights_of]
    for optimizer, weights in zip(optimizers, weights_of, strict=True):
        optimizer.build(weights)
    floats = tf.TensorSpec((None,), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, size)), tf.TensorSpec((None,), tf.int64), floats, floats],
                 autograph=False)  # fmt: skip
    def learn(states, actions, weights, to_go):
        if baseline:
            with tf.GradientTape() as tape:
                values = horizon * value_network(states)[:, 0]
                error = tf.reduce_mean(tf.square((values - to_go) / horizon))
            weights -= values  # from before the step: a baseline must not know what it is compared with
            optimizers[1].apply(tape.gradient(error, weights_of[1]), weights_of[1])
        with tf.GradientTape() as tape:
            loss = reinforce_loss(log_probabilities_of(policy_network(states), actions), weights)
        optimizers[0].apply(tape.gradient(loss, weights_of[0]), weights_of[0])

    return learn


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


def lesson(
    report,
    *,
    max_steps: int = 400_000,
    comparison_steps: int = 60_000,
    seeds: int = 3,
    samples: int = 50_000,
    evaluation_episodes: int = 100,
    frames: int = 100,
    discount: float = 0.99,
    seed: int = 0,
):
    """Prove the estimate on two steps, then learn CartPole and watch it.

    Args:
        report: The report to write to.
        max_steps: Environment steps after which a run gives up (100 to 10000000).
        comparison_steps: Environment steps of the runs that compare what steps are weighed by (100 to 10000000).
        seeds: Independent runs of each kind (1 to 100).
        samples: Episodes drawn on the problem of two steps (1000 to 10000000).
        evaluation_episodes: Episodes in each evaluation of the stopping rule (1 to 1000).
        frames: Pictures of the animation (2 to 1000).
        discount: Weight of one step's delay (0 to 1).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _two_steps(report, samples, seed)

    runs = {}
    jobs = [(None, run_seed) for run_seed in range(seed, seed + seeds)]
    jobs += [(name, run_seed) for name in WEIGHTINGS for run_seed in range(seed, seed + seeds)]
    rows, fresh = [], []
    for name, run_seed in report.track(jobs, "training"):
        started = time.perf_counter()
        if name is None:
            run = train_reinforce("CartPole-v1", max_steps=max_steps, target=500, discount=discount, seed=run_seed,
                                  evaluation_episodes=evaluation_episodes)  # fmt: skip
            seconds = time.perf_counter() - started
            reset_seed = int(np.random.default_rng((run_seed, 9)).integers(2**31))
            played = play_episodes("CartPole-v1", run.policy, 20, reset_seed)
            best = max(mean for _, mean in run.evaluations)
            rows.append([run_seed, run.steps, len(run.returns), best, played.returns.mean(), played.returns.min(),
                         seconds])  # fmt: skip
            fresh.append(played.returns.mean())
        else:
            reward_to_go, baseline = WEIGHTINGS[name]
            run = train_reinforce("CartPole-v1", max_steps=comparison_steps, discount=discount, seed=run_seed,
                                  baseline=baseline, reward_to_go=reward_to_go, evaluate_every=10**6,
                                  evaluation_episodes=evaluation_episodes)  # fmt: skip
        runs.setdefault(name, []).append(run)
    label = "CartPole-v1, greedy: mean return of 20 fresh episodes, first seed"
    report.at_least(label, got=fresh[0], bound=475.0, trained=True)
    report.at_least(f"share of the {seeds} seeds that reach 475", np.mean(np.array(fresh) >= 475), 0.8, trained=True)
    report.table(
        "runs on CartPole-v1, reward-to-go with a baseline",
        ["seed", "environment steps", "episodes", "best evaluation", "20 fresh episodes", "worst of them", "seconds"],
        rows,
    )
    report.note(
        f"Stopping rule: after every fifth batch the greedy policy plays {evaluation_episodes} episodes; training "
        f"stops when all of them last 500 steps, or after {max_steps:,} steps. The weights of the best evaluation are "
        "kept, and judged by 20 other episodes with reset seeds from a stream of their own. More seeds, each in a "
        "process of its own: python -m kerasnotes sweep chapter12.policy_gradient --seeds 0-4 --set seeds=1"
    )
    compared = []
    for name in WEIGHTINGS:
        last = [run.returns[-32:].mean() for run in runs[name]]
        compared.append([name, *plots.mean_and_error(last), min(last), max(last)])
    report.table(
        f"mean return of the last 32 training episodes before {comparison_steps:,} environment steps, {seeds} seeds",
        ["steps weighed by", "mean", "standard error", "least", "largest"],
        compared,
    )
    report.note(
        "In CartPole every reward is 1 and the reward-to-go already tells good steps from bad ones by how long "
        "the pole still stood. That a baseline lowers the variance is shown on the two steps, not by these few runs."
    )
    report.figure(
        "return against environment steps",
        _figure(runs, seed),
        alt="Left: mean return of each batch of training episodes climbs to 500, and the greedy evaluations with it. "
        "Right: with the reward-to-go the return climbs faster than with the whole return, with or without a baseline.",
    )
    report.figure(
        "a pole before and after learning",
        _animation(runs[None][0], frames, seed),
        alt="Two carts with a pole each, at the same time. Before learning the pole falls within a second; after "
        "learning the cart moves a little to and fro under it, and it stands.",
    )


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


def _figure(runs, seed):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.3), sharey=True)

    def batches(run):
        return np.array(run.ends).reshape(-1, 16)[:, 0] / 1000, np.array(run.returns).reshape(-1, 16).mean(axis=1)

    for number, run in enumerate(runs[None][:4]):
        style = plots.LINE_STYLES[number]
        left.plot(*batches(run), style, color=f"C{number}", label=f"training, seed {seed + number}")
        steps, means = zip(*run.evaluations, strict=True)
        label = "greedy evaluations" if number == 0 else None
        left.plot(np.array(steps) / 1000, means, "o", color=f"C{number}", markeredgecolor="black", label=label)
    left.set(xlabel="environment steps, thousands", ylabel="return", ylim=(0, 520))
    left.set_title("From falling to standing\nin a few dozen gradient steps")
    for number, name in enumerate(WEIGHTINGS):
        for run_number, run in enumerate(runs[name]):
            style = plots.LINE_STYLES[number]
            right.plot(*batches(run), style, color=f"C{number}", alpha=0.8, label=None if run_number else name)
    right.set(xlabel="environment steps, thousands")
    right.set_title("Rewards of the past\nslow it down")
    left.legend(loc="lower right")
    right.legend(loc="upper left")
    return figure


def _animation(run, frames, seed, every=2):
    """One fresh episode of the trained policy, and one of an untrained network, from the same start."""
    space = make_environments("CartPole-v1", 1)[0].single_observation_space
    untrained = greedy_policy_of(build_policy_network(4, 2, seed=(seed, 0)), space)
    courses = []
    for policy in (untrained, run.policy):
        played = play_episodes("CartPole-v1", policy, 1, int(np.random.default_rng((seed, 10)).integers(2**31)))
        courses.append(np.concatenate([played.observations[:, 0], played.last]))
    figure, axes = plots.subplots(1, 2, figsize=(3.8, 2.0))
    reach = 0.5 + max(0.7, *(float(np.abs(course[: frames * every, 0]).max()) for course in courses))
    carts, poles, texts = [], [], []
    for ax, title in zip(axes, ("before learning", "after learning"), strict=True):
        ax.set(xlim=(-reach, reach), ylim=(-0.4, 1.25), xticks=[], yticks=[], aspect="equal")
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.set_title(title, fontsize=9, loc="center")
        ax.grid(False)
        ax.axhline(0, color="gray", linewidth=1)
        carts.append(ax.plot([], [], color="C0", linewidth=9, solid_capstyle="butt")[0])
        poles.append(ax.plot([], [], color="C1", linewidth=4)[0])
        texts.append(ax.text(0, -0.35, "", fontsize=9, ha="center"))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, so that no frame differs from the others

    def draw(frame):
        for course, cart, pole, text in zip(courses, carts, poles, texts, strict=True):
            step = min(frame * every, len(course) - 1)
            x, _, angle, _ = course[step]
            cart.set_data([x - 0.3, x + 0.3], [0, 0])
            pole.set_data([x, x + np.sin(angle)], [0.05, 0.05 + np.cos(angle)])  # the pole is 1 m long
            ended = step == len(course) - 1 and step < 500
            text.set_text(f"fell after {0.02 * step:.1f} s" if ended else f"{0.02 * step:.1f} s")
        return [*carts, *poles, *texts]

    return FuncAnimation(figure, draw, frames=frames, interval=20 * every)

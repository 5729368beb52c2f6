"""Act, see what came of it, and make the actions that came before more likely by as much as the return was high.

A network gives every action a probability. No table is needed, and a value only as a baseline: what a state returns on
average is taken off, and noise with it. What the reader should see: a few lines learn to hold up a pole, and one can
watch it; weighed by the rewards that came after them (the reward-to-go), actions seem to be learnt faster, on a few
seeds, than by the return of the whole episode.

Notes: chapter 12, "Policy gradient" (策略梯度: REINFORCE).
Source: Williams 1992, doi:10.1007/BF00992696; Sutton and Barto 2018, ISBN 978-0-262-03924-6, sections 13.3 and 13.4.
"""

import time

import keras
import numpy as np
import tensorflow as tf
from matplotlib.animation import FuncAnimation

from kerasnotes import plots
from kerasnotes.chapter12.checkpoints import Checkpoint, greedy_policy_of, numpy_forward, state_encoder
from kerasnotes.chapter12.score_function import (
    build_policy_network,
    log_probabilities_of,
    reinforce_loss,
    sample_actions,
    step_weights,
)
from kerasnotes.chapter12.score_function import two_step_trajectories as two_step_trajectories
from kerasnotes.chapter12.vector_environments import make_environments, play_episodes
from kerasnotes.parts import share, whole

SMOKE = {"max_steps": 300, "comparison_steps": 200, "seeds": 1, "evaluation_episodes": 3, "frames": 3}
FULL = {"comparison_steps": 200_000}
SECONDS = 18

WEIGHTINGS = {  # name -> (reward_to_go, baseline)
    "reward-to-go, baseline": (True, True),
    "reward-to-go": (True, False),
    "whole return": (False, False),
}


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
            episode then also counts the value of its last state.
        reward_to_go: Whether an action is weighed by the rewards that follow it, or by those of the whole episode.
        copies: Episodes in a batch, played side by side.
        hidden: Units of the hidden layers of each network.
        learning_rate: Step size of Adam, for both networks.
        discount: From 0 to 1.
        evaluate_every, evaluation_episodes: Batches between two evaluations, and episodes in one.
        environment: Dictionary of further arguments for the environment, or None.
        seed: Seed of all random draws.

    Returns: A `TrainingRun`; its `returns` have `copies` entries for each batch.

    Raises: ValueError: If the environment or a setting is out of range.

    Source: Sutton and Barto 2018, section 13.4, without the factor discount^t, as most programs have it.
    """
    for name, value in (("max_steps", max_steps), ("copies", copies), ("evaluate_every", evaluate_every),
                        ("evaluation_episodes", evaluation_episodes)):  # fmt: skip
        whole(name, value)
    share("discount", discount)
    env, limit = make_environments(env_id, 1, environment)
    size, encode = state_encoder(env.single_observation_space)
    policy_network = build_policy_network(size, int(env.single_action_space.n), hidden, (seed, 0))
    value_network = build_policy_network(size, 1, hidden, (seed, 1))
    env.close()
    horizon = float(np.sum(discount ** np.arange(limit)))  # what 1 a step returns: the unit in which values are small
    learn = _compile_learning(policy_network, value_network, size, learning_rate, horizon, baseline)
    checkpoint = Checkpoint(env_id, policy_network, evaluation_episodes, target, (seed, 2), environment)
    rng, steps, returns, ends, batch = np.random.default_rng((seed, 3)), 0, [], [], 0
    while steps < max_steps:
        # act: a batch of whole episodes by the policy as it is
        logits_of, value_of = numpy_forward(policy_network), numpy_forward(value_network)  # faster than Keras
        played = play_episodes(env_id, lambda seen: sample_actions(logits_of(encode(seen)), rng), copies,  # noqa: B023
                               int(rng.integers(2**31)), environment)  # fmt: skip
        # weigh: what came after each action, and what would have come after a cut, as far as a value network knows
        tails = np.zeros(copies)
        if baseline:
            tails = np.where(played.terminated, 0.0, horizon * value_of(encode(played.last))[:, 0])
        weights = step_weights(played.rewards, played.lengths, discount, reward_to_go, tails)  # (steps, copies)
        # the value network learns from the reward-to-go, whatever the actions are weighed by
        to_go = weights if reward_to_go else step_weights(played.rewards, played.lengths, discount, True, tails)
        # learn: one gradient step, then forget the episodes, for they are those of the policy as it was
        states = encode(played.observations[played.played])  # (steps of all copies, size), without the padding
        learn(states, played.actions[played.played], weights[played.played], to_go[played.played])
        batch, steps = batch + 1, steps + int(played.lengths.sum())
        returns.extend(played.returns)
        ends.extend([steps] * copies)
        # evaluate, and keep the best: more training can also make the policy worse
        if (batch % evaluate_every == 0 or steps >= max_steps) and checkpoint.evaluate(steps):
            break
    return checkpoint.finish(returns, ends, steps)


def _compile_learning(policy_network, value_network, size, learning_rate, horizon, baseline):
    """One gradient step of the policy, and with a baseline one of the value network, for any number of steps."""
    weights_of = [network.trainable_weights for network in (policy_network, value_network)]  # variables
    optimizers = [keras.optimizers.Adam(learning_rate) for _ in weights_of]
    for optimizer, weights in zip(optimizers, weights_of, strict=True):
        optimizer.build(weights)
    floats = tf.TensorSpec((None,), tf.float32)  # of any length, as batches differ in their steps: compiled once

    @tf.function(input_signature=[tf.TensorSpec((None, size)), tf.TensorSpec((None,), tf.int64), floats, floats],
                 autograph=False)  # fmt: skip
    def learn(states, actions, weights, to_go):  # `weights` are what the steps are weighed by
        if baseline:
            with tf.GradientTape() as tape:
                values = horizon * value_network(states)[:, 0]  # (steps,)
                error = tf.reduce_mean(tf.square((values - to_go) / horizon))
            weights -= values  # from before the step: a baseline must not know what it is compared with
            optimizers[1].apply(tape.gradient(error, weights_of[1]), weights_of[1])
        with tf.GradientTape() as tape:
            loss = reinforce_loss(log_probabilities_of(policy_network(states), actions), weights)
        optimizers[0].apply(tape.gradient(loss, weights_of[0]), weights_of[0])

    return learn


def example():
    """Four frozen cells in a row: how likely the way to the goal is before and after learning."""
    row = {"desc": ["SFFG"], "is_slippery": False, "max_episode_steps": 10}
    states = np.eye(4, dtype="float32")[:3]
    untrained = build_policy_network(4, 4, seed=(0, 0))
    print("right, at first:  ", tf.nn.softmax(untrained(states)).numpy()[:, 2])
    run = train_reinforce("FrozenLake-v1", environment=row, target=1.0, max_steps=20_000, evaluation_episodes=1, seed=0)
    print("right, in the end:", tf.nn.softmax(run.network(states)).numpy()[:, 2])
    print("goals in the last batch of 16 episodes:", int(run.returns[-16:].sum()), "after", run.steps, "steps")


def lesson(
    report,
    *,
    max_steps: int = 400_000,
    comparison_steps: int = 60_000,
    seeds: int = 3,
    evaluation_episodes: int = 100,
    frames: int = 100,
    discount: float = 0.99,
    seed: int = 0,
):
    """Learn CartPole, compare what steps are weighed by, and watch it.

    Args:
        report: The report to write to.
        max_steps: Environment steps after which a run gives up (100 to 10000000).
        comparison_steps: Environment steps of the runs that compare what steps are weighed by (100 to 10000000).
        seeds: Independent runs of each kind (1 to 100).
        evaluation_episodes: Episodes in each evaluation of the stopping rule (1 to 1000).
        frames: Pictures of the animation (2 to 1000).
        discount: Weight of one step's delay (0 to 1).
        seed: Seed of all random draws (0 to 4294967295).
    """
    common, run_seeds = {"discount": discount, "evaluation_episodes": evaluation_episodes}, range(seed, seed + seeds)
    runs = {None: _learn(report, {**common, "max_steps": max_steps}, run_seeds)}  # the others follow by name
    report.note(
        f"Stopping rule: after every fifth batch the greedy policy plays {evaluation_episodes} episodes; training "
        f"stops when all of them last 500 steps, or after {max_steps:,}. The best weights are kept, judged by 20 other "
        "episodes. More seeds: python -m kerasnotes sweep chapter12.policy_gradient --seeds 0-4 --set seeds=1"
    )
    runs |= _compare(report, {**common, "max_steps": comparison_steps}, run_seeds)
    report.figure(
        "return against environment steps",
        _figure(runs, seed),
        alt="Left: mean return of each batch of training episodes climbs, in most runs to about 500, and "
        "greedy evaluations with it. Right: with the reward-to-go the return climbs faster than with the whole return.",
    )
    report.figure(
        "a pole before and after learning",
        _animation(runs[None][0], frames, seed),
        alt="Two carts with a pole each. Before learning the pole falls within a second; afterwards it stands.",
    )


def _learn(report, settings, seeds):
    """Train until the pole stands, and judge by fresh episodes. Returns the runs."""
    runs, rows, fresh = [], [], []
    for number in report.track(seeds, "training"):
        started = time.perf_counter()
        run = train_reinforce("CartPole-v1", target=500, seed=number, **settings)
        seconds = time.perf_counter() - started
        played = play_episodes("CartPole-v1", run.policy, 20, int(np.random.default_rng((number, 9)).integers(2**31)))
        runs.append(run)
        fresh.append(played.returns.mean())
        best = max(mean for _, mean in run.evaluations)
        rows.append([number, run.steps, len(run.returns), best, fresh[-1], played.returns.min(), seconds])
    paid, taken = [run.returns.sum() for run in runs], [run.steps for run in runs]
    report.check("every step pays 1: the returns add up to the steps", got=paid, want=taken)
    label = "CartPole-v1, greedy: mean return of 20 fresh episodes, first seed"
    report.at_least(label, got=fresh[0], bound=475.0, trained=True)
    good = np.mean(np.array(fresh) >= 475)
    report.at_least(f"share of the {len(seeds)} seeds that reach 475", good, 0.8, trained=True)
    names = ["seed", "environment steps", "episodes", "best evaluation", "20 fresh ones", "worst of them", "seconds"]
    report.table("runs on CartPole-v1, reward-to-go with a baseline", names, rows)
    return runs


def _compare(report, settings, seeds):
    """The same seeds with other weights of the steps, evaluated at the end only. Returns `{name: runs}`."""
    runs, rows = {}, []
    for name, (reward_to_go, baseline) in report.track(WEIGHTINGS.items(), "weightings"):
        kind = {**settings, "baseline": baseline, "reward_to_go": reward_to_go, "evaluate_every": 10**6}
        runs[name] = [train_reinforce("CartPole-v1", seed=number, **kind) for number in seeds]
        last = [run.returns[-32:].mean() for run in runs[name]]
        rows.append([name, *plots.mean_and_error(last), min(last), max(last)])
    title = f"mean return of the last 32 training episodes before {settings['max_steps']:,} environment steps"
    columns = ["steps weighed by", "mean", "standard error", "least", "largest"]
    report.table(f"{title}, {len(seeds)} seeds", columns, rows)
    report.note(
        "In CartPole the reward-to-go already tells good steps from bad ones by how long the pole still stood. That a "
        "baseline lowers the variance is shown on the two steps of the lesson before, not by these few runs."
    )
    return runs


def _figure(runs, seed):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.3), sharey=True)

    def batches(run):  # 16 episodes in each, the default of `copies`
        return np.array(run.ends).reshape(-1, 16)[:, 0] / 1000, np.array(run.returns).reshape(-1, 16).mean(axis=1)

    for number, run in enumerate(runs[None][:4]):
        color, (steps, means) = f"C{number}", np.transpose(run.evaluations)
        left.plot(*batches(run), plots.LINE_STYLES[number], color=color, label=f"training, seed {seed + number}")
        label = None if number else "greedy evaluations"
        left.plot(steps / 1000, means, "o", color=color, markeredgecolor="black", label=label)
    for number, name in enumerate(WEIGHTINGS):
        for run_number, run in enumerate(runs[name]):
            style, label = plots.LINE_STYLES[number], None if run_number else name
            right.plot(*batches(run), style, color=f"C{number}", alpha=0.8, label=label)
    left.set(xlabel="environment steps, thousands", ylabel="return", ylim=(0, 520))
    left.set_title("From falling to standing\nin a few dozen gradient steps")
    left.legend(loc="lower right")
    right.set(xlabel="environment steps, thousands", title="Rewards of the past\nslow it down")
    right.legend(loc="upper left")
    return figure


def _animation(run, frames, seed, every=2):
    """One fresh episode of the trained policy, and one of an untrained network, from the same start."""
    space = make_environments("CartPole-v1", 1)[0].single_observation_space
    untrained = greedy_policy_of(build_policy_network(4, 2, seed=(seed, 0)), space)  # how the trained one began
    courses, start = [], int(np.random.default_rng((seed, 10)).integers(2**31))
    for policy in (untrained, run.policy):
        played = play_episodes("CartPole-v1", policy, 1, start)
        courses.append(np.concatenate([played.observations[:, 0], played.last]))  # (steps + 1, 4)
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

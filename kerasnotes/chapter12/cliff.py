"""SARSA learns the worth of what it does, missteps included, and so it keeps away from the cliff.

What the reader should see: told to act at random, it learns the values of acting at random; along the cliff the
shortest way has 13 steps, yet it walks the long way round: for somebody who takes one step in ten at random, the exact
equations say that the edge costs more than any detour, if not that the longest is the best. Hundreds of independent
runs are counted, those whose greedy path is a loop included.

Notes: chapter 12, "SARSA: on-policy temporal difference" (SARSA算法: 同策略时序差分).
Source: Sutton and Barto 2018, ISBN 978-0-262-03924-6, example 6.6;
https://gymnasium.farama.org/environments/toy_text/cliff_walking
"""

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.dynamic_programming import value_iteration
from kerasnotes.chapter12.monte_carlo import with_exploration
from kerasnotes.chapter12.policy_evaluation import action_values, policy_evaluation
from kerasnotes.chapter12.sarsa import batched_sarsa, greedy_path
from kerasnotes.parts import share

SMOKE = {"seeds": 3, "episodes": 20, "random_episodes": 40}
SECONDS = 5


def detour(row):
    """Actions (48,) that go up to a row of the cliff's grid, along it to the last column, and down.

    Args:
        row: 2 along the edge, 1 one row higher, 0 along the top.

    Raises:
        ValueError: If the grid has no such row above the cliff.
    """
    if row not in (0, 1, 2):
        raise ValueError(f"row: expected 0, 1 or 2, got {row!r}")
    up, right, down = 0, 1, 2
    policy = np.full((4, 12), right)
    policy[row + 1 :] = up
    policy[:row] = down
    policy[:, -1] = down
    return policy.ravel()


def explorers_values(transitions, policy, epsilon, discount=1.0):
    """Exact values (states,) for somebody who follows a policy (states,), but takes a random action now and then.

    Args:
        transitions: gymnasium's `env.unwrapped.P`.
        policy: Array (states,) of actions.
        epsilon: Probability of a random action, from 0 to 1.
        discount: From 0 to 1.

    Raises:
        ValueError: If the policy does not fit, or a number is out of range.
    """
    return policy_evaluation(with_exploration(transitions, share("epsilon", epsilon)), policy, discount)


def example():
    """Three ways along the cliff, for somebody who never stumbles and for somebody who does, and what SARSA takes."""
    env = gymnasium.make("CliffWalking-v1")
    start = env.unwrapped.start_state_index
    for row in (2, 1, 0):
        sure, stumbling = (explorers_values(env.unwrapped.P, detour(row), epsilon)[start] for epsilon in (0.0, 0.1))
        print(f"row {row}: {sure:.0f} without exploring, {stumbling:.1f} with a random step in ten")
    learnt = batched_sarsa(env.unwrapped.P, start, 300, 0.5, 1.0, 0.1, seeds=range(20))
    steps = [len(greedy_path(env, q)[0]) - 1 for q in learnt.values]
    print("steps of SARSA's greedy paths, 100 for a loop:", sorted(steps))


def lesson(
    report,
    *,
    seeds: int = 200,
    episodes: int = 500,
    learning_rate: float = 0.5,
    epsilon: float = 0.1,
    random_episodes: int = 6000,
    seed: int = 0,
):
    """Walk along the cliff with many seeds, and compare what is learnt with exact equations.

    Args:
        report: The report to write to.
        seeds: Independent runs on the cliff (2 to 10000).
        episodes: Episodes of each run (10 to 100000).
        learning_rate: Learning rate on the cliff (0.001 to 1).
        epsilon: Probability of a random action on the cliff (0.001 to 0.9).
        random_episodes: Episodes in which a random policy is evaluated on the ice (10 to 1000000).
        seed: Seed of everything drawn; each value gives other runs (0 to 4294967295).
    """
    _random_policy(report, gymnasium.make("FrozenLake-v1").unwrapped.P, random_episodes, seed)
    cliff = gymnasium.make("CliffWalking-v1")
    transitions, start = cliff.unwrapped.P, int(cliff.unwrapped.start_state_index)
    many = range(seed * seeds, (seed + 1) * seeds)
    learnt = batched_sarsa(transitions, start, episodes, learning_rate, 1.0, epsilon, many)
    mean, error = plots.mean_and_error(learnt.returns[:, -100:].mean(axis=1))
    label = f"mean return of the last 100 episodes, {seeds} runs (Sutton and Barto 2018, figure of example 6.6)"
    report.check(label, got=mean, want=-27.0, rtol=0, atol=4.0, trained=True)
    paths = [greedy_path(cliff, q) for q in learnt.values]
    _count_paths(report, paths, episodes)
    best = _detours(report, transitions, start, epsilon)
    label = "no explorer beats the exact optimum: mean return less four standard errors"
    report.at_most(label, mean - 4 * error, best, trained=True)
    report.note(
        f"Returns while learning: {mean:.1f} ± {error:.1f} in the last 100 episodes; the best that one can do with "
        f"ε = {epsilon:g} is {best:.1f}. A part of the rest is a way that is longer still; a learning rate "
        f"that stays at {learning_rate:g}, so that each fall shakes the values near it, is the likely reason for more."
    )
    report.figure(
        "SARSA keeps away from the cliff",
        _figure(paths, learnt.returns, best, epsilon),
        alt="Left: the grid with the share of runs whose greedy path uses each cell; most go up to the top row, along "
        "it and down again. Right: the mean return rises from below −140 to about −27 within 200 episodes.",
    )


def _random_policy(report, transitions, episodes, seed):
    """With ε = 1 SARSA evaluates the random policy, whose values follow from linear equations."""
    actions, discount = len(transitions[0]), 0.9
    values = policy_evaluation(transitions, np.full((len(transitions), actions), 1 / actions), discount)
    exact = action_values(transitions, values, discount)
    live = exact.any(axis=1)
    many, settings = range(100 * seed, 100 * (seed + 1)), (lambda visits: 1 / visits**0.8, discount, 1.0)
    learnt = batched_sarsa(transitions, live / live.sum(), episodes, *settings, many, 100)
    mean, error = plots.mean_and_error(learnt.values)
    worst = np.unravel_index(np.argmax(np.abs(mean - exact)), exact.shape)
    label = "random actions on the ice: largest error of 100 runs' mean table, against the exact values"
    report.at_most(label, got=np.abs(mean - exact)[worst], bound=0.01, trained=True)
    report.table(
        "the random policy on FrozenLake, γ = 0.9: values at the start and where the error is largest",
        ["state", "action", "exact", "SARSA, mean of 100 runs", "standard error"],
        [[int(s), int(a), exact[s, a], mean[s, a], error[s, a]] for s, a in ((0, 0), worst)],
    )
    report.note(
        "These episodes start in every state that is not an end, so that all pairs are visited. Far from the goal the "
        "means are still below the exact values: they began at zero, and a falling rate forgets that slowly."
    )


def _count_paths(report, paths, episodes):
    steps = np.array([len(states) - 1 for states, _ in paths])
    arrived = np.array([end for _, end in paths])
    label = "median greedy path, steps, loops counted as 100"
    report.check(label, got=np.median(steps), want=17.0, rtol=0, atol=0, trained=True)
    counted = [[f"{n} steps", int(np.sum(arrived & (steps == n)))] for n in np.unique(steps[arrived])]
    counted.append(["loop", int(np.sum(~arrived))])
    report.table(f"greedy paths after {episodes} episodes, {len(paths)} runs", ["path", "runs"], counted)


def _detours(report, transitions, start, epsilon):
    """Exact returns of going along the edge and higher up, for an explorer. Returns that of the best policy."""
    rows = []
    for name, row in (("along the edge", 2), ("one row higher", 1), ("along the top", 0)):
        values = explorers_values(transitions, detour(row), epsilon)
        rows.append([name, 13 + 2 * (2 - row), -(13.0 + 2 * (2 - row)), values[start]])
    best = float(value_iteration(with_exploration(transitions, epsilon), 1.0)[0][start])
    rows.append(["best of all policies", None, None, best])
    columns = ["policy", "steps", "return without exploring", f"return with ε = {epsilon:g}"]
    report.table("what a detour is worth, exactly", columns, rows)
    gains = [row[3] - rows[0][3] for row in rows[1:3]]
    if epsilon >= 0.02:  # who hardly explores hardly falls, and the edge is best
        report.at_least("with exploration a detour gains over the edge, reward", gains, 0.0)
    return best


def _figure(paths, returns, best, epsilon):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 3.8), width_ratios=(1.35, 1))
    used = np.zeros((len(paths), 4, 12))
    for number, (states, _) in enumerate(paths):
        used[number].ravel()[states] = 1
    share_of_runs = used.mean(axis=0)
    left.imshow(share_of_runs, cmap="Blues", vmin=0, vmax=1.2)
    plots.cliff(left)
    for (row, column), value in np.ndenumerate(share_of_runs):
        if row < 3 or column in (0, 11):
            left.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=9)
    left.set_title("Runs whose greedy path uses a cell, %:\nthe long way round")
    series = {"SARSA, mean ± standard error": returns}
    plots.curves(np.arange(1, returns.shape[1] + 1), series, xlabel="episode", ylabel="sum of rewards", ax=right,
                 title="Return while learning,\nand the best that explorers can do")  # fmt: skip
    right.axhline(best, color="C1", linestyle="--", label=f"exact optimum with ε = {epsilon:g}")
    right.set_ylim(-150, 0)
    right.legend(loc="lower right")
    return figure

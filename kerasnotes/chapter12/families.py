"""With the model, planning needs no step; without it every method has to try, and not every one arrives in time.

The map of the chapter: methods that know the model, estimate it or do without, and methods that learn values or the
policy itself. What the reader should see: all of them are set before one small lake and judged exactly, without drawing
an episode. Planning is done before the first step; a model estimated from random steps plans as well with half as many
steps as SARSA and Q-learning are given; a deep Q-network, made for what no table can hold, is given as many as a table
and takes far more time; and the policy gradient, which learns from rewards alone, has hardly begun with as many.

Notes: chapter 12, "Families of reinforcement learning" (强化学习方法的分类).
Source: Sutton and Barto 2018, ISBN 978-0-262-03924-6, sections 1.7, 4.3, 8.1 and 13.1; https://gymnasium.farama.org/environments/toy_text/frozen_lake
"""

import time

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.dqn import train_dqn
from kerasnotes.chapter12.dynamic_programming import policy_iteration, value_iteration
from kerasnotes.chapter12.monte_carlo import monte_carlo_control
from kerasnotes.chapter12.policy_evaluation import policy_probabilities, simulate, transition_arrays
from kerasnotes.chapter12.policy_gradient import train_reinforce
from kerasnotes.chapter12.q_learning import batched_q_learning
from kerasnotes.chapter12.sarsa import batched_sarsa
from kerasnotes.parts import whole

SMOKE = {"seeds": 2, "episodes": 20, "network_seeds": 2, "network_steps": 600}
FULL = {"seeds": 30, "episodes": 10_000, "network_seeds": 10, "network_steps": 100_000}
SECONDS = 33

LAKE = "FrozenLake-v1"
PLACES = {  # on the map: what is known of the model, and what is learnt
    "acting at random": ("none", "nothing"),
    "policy iteration": ("known", "values and policy"),
    "value iteration": ("known", "values"),
    "estimated model": ("estimated", "values"),
    "Monte Carlo": ("none", "values"),
    "SARSA": ("none", "values"),
    "Q-learning": ("none", "values"),
    "DQN": ("none", "values"),
    "REINFORCE": ("none", "policy"),
}
NETWORKS = ("DQN", "REINFORCE")
LEARNT = tuple(PLACES)[3:]


def expected_return(transitions, policy, start, max_steps):
    """The mean sum of rewards of a policy in episodes of at most `max_steps` steps, computed instead of played.

    Args:
        transitions: gymnasium's `env.unwrapped.P`.
        policy: Array (states,) of actions, or (states, actions) of probabilities; None for the best of all policies,
            which may also look at the clock.
        start: State in which episodes begin.
        max_steps: Steps after which an episode is cut off.

    Returns:
        A float.

    Raises:
        ValueError: If the table or the policy has the wrong form, or a number is out of range.

    Source: Sutton and Barto 2018, equations 4.5 and 4.10, repeated once for each step that is left.
    """
    p, r = transition_arrays(transitions)
    if whole("start", start, least=0) >= len(r):
        raise ValueError(f"start: expected a state from 0 to {len(r) - 1}, got {start!r}")
    probabilities = None if policy is None else policy_probabilities(policy, *r.shape)
    values = np.zeros(len(r))
    for _ in range(whole("max_steps", max_steps)):
        q = r + p @ values  # (states, actions)
        values = q.max(axis=1) if policy is None else np.sum(probabilities * q, axis=1)
    return float(values[start])


def estimate_transitions(episodes, states, actions):
    """A model from experience: how often each pair of state and action led where, and with which reward.

    Args:
        episodes: List of `Episode`, with states as observations.
        states, actions: Numbers of states and actions.

    Returns:
        A table in the form of gymnasium's `env.unwrapped.P`. A pair that was never tried stays where it is, without
        reward.

    Raises:
        ValueError: If there is no episode, or one holds a state or an action that is not known.
    """
    if len(episodes) == 0:
        raise ValueError("episodes: expected at least one, got none")
    steps = np.concatenate([
        np.stack([each.observations[:-1], each.actions, each.observations[1:], each.rewards,
                  [0] * (len(each) - 1) + [each.terminated]], axis=1)
        for each in episodes
    ])  # fmt: skip
    if steps[:, :3].min() < 0 or steps[:, [0, 2]].max() >= states or steps[:, 1].max() >= actions:
        raise ValueError(f"episodes: expected states below {states} and actions below {actions}, got others")
    table = {state: {action: [] for action in range(actions)} for state in range(states)}
    different, counts = np.unique(steps, axis=0, return_counts=True)
    tried = np.zeros((states, actions))
    np.add.at(tried, (different[:, 0].astype(int), different[:, 1].astype(int)), counts)
    for (state, action, after, reward, end), count in zip(different, counts, strict=True):
        listed = table[int(state)][int(action)]
        listed.append((count / tried[int(state), int(action)], int(after), float(reward), bool(end)))
    for state, row in table.items():
        for listed in row.values():
            if not listed:
                listed.append((1.0, state, 0.0, False))
    return table


def example():
    """A model counted from random steps, and how well plans made with it do, without drawing an episode."""
    lake = gymnasium.make("FrozenLake-v1").unwrapped.P
    _, best = value_iteration(lake, discount=0.99)
    print(f"planned with the known model: {expected_return(lake, best, start=0, max_steps=100):.3f}")
    for count in (30, 300, 3000):
        played = simulate(lake, np.full((16, 4), 0.25), 0, count, 100, seed=0)
        _, policy = value_iteration(estimate_transitions(played, 16, 4), discount=0.99)
        steps = sum(len(episode) for episode in played)
        print(f"from {steps:6d} steps at random:  {expected_return(lake, policy, 0, 100):.3f}")


def lesson(
    report,
    *,
    seeds: int = 8,
    episodes: int = 2500,
    network_seeds: int = 3,
    network_steps: int = 40_000,
    discount: float = 0.99,
    epsilon: float = 0.3,
    seed: int = 0,
):
    """Run every method of the chapter on the slippery lake, and draw the map.

    Args:
        report: The report to write to.
        seeds: Independent runs of each method with a table (2 to 100).
        episodes: Episodes of each of these runs (10 to 1000000).
        network_seeds: Independent runs of each method with a network (2 to 100).
        network_steps: Environment steps of each of these runs (100 to 10000000).
        discount: Weight of one step's delay while learning (0.5 to 1).
        epsilon: Share of random actions while a table is learnt (0 to 1).
        seed: Seed of everything drawn; each value gives other runs (0 to 4294967295).
    """
    env = gymnasium.make(LAKE)
    transitions, limit = env.unwrapped.P, env.spec.max_episode_steps
    tables, networks = (range(seed * n, (seed + 1) * n) for n in (seeds, network_seeds))
    runs = [
        *_planned(report, transitions, limit),
        *_estimated(transitions, limit, tables, episodes, discount),
        *_monte_carlo(report, env, tables, episodes, discount, epsilon),
        *_tables(transitions, limit, tables, episodes, discount, epsilon),
        *_networks(report, networks, network_steps, discount),
    ]
    rows = []
    for name, policies, steps, seconds in runs:
        reached = [expected_return(transitions, policy, 0, limit) for policy in policies]
        each = None if steps is None else seconds / len(policies)
        rows.append([*PLACES[name], name, len(policies), steps, each, *plots.mean_and_error(reached), min(reached)])
    columns = ["model", "learns", "method", "runs", "steps a run", "seconds a run", "return", "its error", "worst run"]
    report.table(f"{LAKE}, slippery: exact return of the greedy policy within {limit} steps", columns, rows)
    results = {row[2]: row[4:5] + row[6:8] for row in rows}
    _check(report, results, expected_return(transitions, None, 0, limit))
    figure, (left, right) = plots.subplots(1, 2, figsize=(12, 4.6), width_ratios=(1.1, 1))
    _draw_map(left)
    _draw_results(right, results)
    report.figure(
        "map of the field",
        figure,
        alt="Left: a grid of the chapter's methods; rows say whether the model is known, estimated or absent, "
        "columns whether values or the policy are learnt. Right: return on the lake over the environment "
        "steps that each was given; the estimated model reaches the planned policy with the fewest steps.",
    )


def _planned(report, transitions, limit):
    for name, plan in (("policy iteration", policy_iteration), ("value iteration", value_iteration)):
        begun = time.perf_counter()
        _, policy = plan(transitions, 1.0)
        seconds = time.perf_counter() - begun
        label = f"{name}: exact return within {limit} steps (0.74 in gymnasium's registration)"
        report.check(label, got=expected_return(transitions, policy, 0, limit), want=0.74, rtol=0, atol=0.005)
        label = f"{name}: and without a limit of steps, 14/17"
        report.check(label, got=expected_return(transitions, policy, 0, 10_000), want=14 / 17)
        yield name, [policy], 0, seconds
    yield "acting at random", [np.full((16, 4), 0.25)], None, None


def _estimated(transitions, limit, seeds, episodes, discount):
    begun, policies, steps = time.perf_counter(), [], 0
    for seed in seeds:
        played = simulate(transitions, np.full((16, 4), 0.25), 0, episodes, limit, (seed, 2))
        policies.append(value_iteration(estimate_transitions(played, 16, 4), discount)[1])
        steps += sum(len(episode) for episode in played)
    yield "estimated model", policies, steps // len(seeds), time.perf_counter() - begun


class _Counted(gymnasium.Wrapper):
    """An environment that counts its steps."""

    steps = 0

    def step(self, action):
        self.steps += 1
        return self.env.step(action)


def _monte_carlo(report, env, seeds, episodes, discount, epsilon):
    env, begun = _Counted(env), time.perf_counter()
    tracked = report.track(seeds, "Monte Carlo")
    tables = [monte_carlo_control(env, episodes, discount, epsilon, seed)[0] for seed in tracked]
    seconds = time.perf_counter() - begun
    yield "Monte Carlo", [q.argmax(axis=1) for q in tables], env.steps // len(seeds), seconds


def _learning_rate(visits):
    return np.maximum(visits**-0.6, 0.02)


def _tables(transitions, limit, seeds, episodes, discount, epsilon):
    for name, learn in (("SARSA", batched_sarsa), ("Q-learning", batched_q_learning)):
        begun = time.perf_counter()
        learnt = learn(transitions, 0, episodes, _learning_rate, discount, epsilon, seeds, limit)
        seconds = time.perf_counter() - begun
        yield name, [q.argmax(axis=1) for q in learnt.values], int(learnt.visits.sum()) // len(seeds), seconds


def _networks(report, seeds, steps, discount):
    common = {"max_steps": steps, "hidden": (32,), "discount": discount}
    for name, train, settings in (
        ("DQN", train_dqn, {"exploration_steps": steps // 2, "final_epsilon": 0.2, "evaluate_every": 40}),
        ("REINFORCE", train_reinforce, {"copies": 64, "learning_rate": 0.02, "evaluate_every": 20}),
    ):
        begun = time.perf_counter()
        runs = [train(LAKE, seed=seed, **common, **settings) for seed in report.track(seeds, name)]
        seconds = time.perf_counter() - begun
        yield name, [run.policy(np.arange(16)) for run in runs], sum(run.steps for run in runs) // len(runs), seconds


def _check(report, results, optimum):
    best = max(mean for _, mean, _ in results.values())
    report.at_most("no policy beats the best one that also sees the clock: largest return", best, optimum + 1e-9)
    random, planned = results["acting at random"][1], results["value iteration"][1]
    for name in LEARNT[:-1]:
        _, mean, error = results[name]
        label = f"{name}: return less four standard errors, over that of acting at random"
        report.at_least(label, (mean - 4 * error) / random, 1.0, trained=True)
    for name in ("estimated model", "Q-learning", "DQN"):
        label = f"{name}: return over that of planning with the known model"
        report.at_least(label, results[name][1] / planned, 0.9, trained=True)
    report.note(
        "Tables learn in one batch, whose seconds are divided by the runs. SARSA and Monte Carlo control value a policy"
        " that explores; its greedy form need not be the best. Networks see one-hot states and keep the best weights; "
        "tables are the last ones. REINFORCE has a learnt baseline, a first step towards actor and critic."
    )
    steps, mean, error = results["REINFORCE"]
    report.note(
        f"REINFORCE reaches {mean:.2f} ± {error:.2f} in {steps} steps, so nothing is claimed for it here: at random, "
        f"{1 - random:.1%} of the episodes end without a reward, and without one there is hardly a gradient. "
        "Other batches and rates, and more steps, helped single runs and not all."
    )


def _draw_map(ax):
    models, learns = ("known", "estimated", "none"), ("values", "values and policy", "policy")
    ax.set(xlim=(-0.5, 2.5), ylim=(2.6, -0.5))
    for place in (0.5, 1.5):
        ax.axvline(place, color="0.7", linewidth=1)
        ax.axhline(place, color="0.7", linewidth=1)
    cells = {}
    for name, (model, learnt) in PLACES.items():
        if model in models and learnt in learns:
            cells.setdefault((learns.index(learnt), models.index(model)), []).append(name)
    for (column, row), names in cells.items():
        for number, name in enumerate(names):
            color = "C1" if name in NETWORKS else "C0"
            height = row + 0.21 * (number - (len(names) - 1) / 2)
            ax.text(column, height, name, ha="center", va="center", color=color, weight="bold", fontsize=10)
    ax.text(1, 2, "actor-critic\n(not in this chapter)", ha="center", va="center", color="0.5", fontsize=9)
    ax.set_xticks(range(3), [f"learns\n{learnt}" for learnt in learns])
    ax.set_yticks(range(3), [f"model\n{model}" for model in models])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.set_title("Tables (blue) and networks (orange)\nby what they know and learn")


def _draw_results(ax, results):
    for number, name in enumerate(LEARNT):
        steps, mean, error = results[name]
        style = {"fmt": "osD^vP"[number], "color": f"C{number}", "capsize": 4, "markersize": 8}
        ax.errorbar(steps, mean, yerr=error, label=name, **style)
    ax.axhline(results["value iteration"][1], color="0.3", linestyle="--", label="planned, model known")
    ax.axhline(results["acting at random"][1], color="0.6", linestyle=":", label="acting at random")
    ax.set(xlabel="environment steps a run", ylabel="goals an episode, exact", xscale="log", xlim=(100, 1e6))
    ax.set(ylim=(0, 0.8), title="What they reach on the lake,\nand with how many steps")
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))

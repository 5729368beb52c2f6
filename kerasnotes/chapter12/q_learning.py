"""Q-learning learns the best policy while it follows another one, and pays for that as long as it explores.

One thing separates it from SARSA: the target takes the best next action instead of the one that is played. What the
reader should see: on the cliff it finds the shortest path of 13 steps along the edge, and falls again and again while
it explores there; on slippery ice, acting at random half of the time, it converges to the table of value iteration
without knowing the model. Without the maximum nothing of that remains.

Notes: chapter 12, "Q-learning: off-policy temporal difference" (Q学习算法: 异策略时序差分).
Source: Watkins and Dayan 1992, doi:10.1007/BF00992698; Sutton and Barto 2018, ISBN 978-0-262-03924-6, section 6.5 and
example 6.6; https://gymnasium.farama.org/environments/toy_text/frozen_lake
"""

import math
import time

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.cliff import explorers_values
from kerasnotes.chapter12.dynamic_programming import value_iteration
from kerasnotes.chapter12.numbered_states import check_settings, check_update, choose_action, rate_of
from kerasnotes.chapter12.policy_evaluation import action_values
from kerasnotes.chapter12.sarsa import QTable, batched_sarsa, empty_table, greedy_path
from kerasnotes.chapter12.table_walks import TableEnvironment, TableWalks, numbers_of

SMOKE = {"seeds": 3, "episodes": 20, "ice_seeds": 2, "ice_episodes": 160}
SECONDS = 22


def q_learning_update(q, s, a, r, s2, terminated, learning_rate, discount):
    """Q(s, a) ← Q(s, a) + learning_rate · (r + discount · max Q(s2, ·) − Q(s, a)), in place.

    Where the episode terminated, nothing follows and the target is r. Where it was only truncated, by a limit of time,
    pass `terminated=False`: the state s2 is still worth something.

    Arguments, result and errors are those of `sarsa_update`, without the next action.

    Source: Sutton and Barto 2018, equation 6.8.
    """
    check_update(q, (s, s2), (a,), r, learning_rate, discount)
    target = r if terminated else r + discount * q[s2].max()
    q[s, a] += learning_rate * (target - q[s, a])
    return q


def q_learning(env, episodes, learning_rate, discount, epsilon, seed, max_steps=10_000):
    """Learn a table by Q-learning, acting ε-greedily.

    Arguments, result and errors are those of `sarsa`: any environment with discrete states and actions counted from 0,
    a rate that is a number or a callable of a pair's visits, and a `QTable` whose values start at zero.

    Source: Sutton and Barto 2018, section 6.5.
    """
    check_settings(episodes, learning_rate, discount, epsilon, [seed], max_steps)
    table = empty_table(env, episodes)
    q, visits = table.values.tolist(), table.visits.tolist()  # lists, as single numbers of arrays are slow to reach
    rate, numbers = rate_of(learning_rate), numbers_of((seed, 1))
    for episode in range(episodes):
        s, _ = env.reset(seed=None if episode else int(seed))
        a, total = choose_action(q[s], epsilon, next(numbers), next(numbers)), 0.0
        for _ in range(max_steps):
            # act: the reward and the next state
            s2, reward, terminated, truncated, _ = env.step(a)
            r = float(reward)
            # learn: correct the value by the best next one, or by nothing where the episode terminated
            target = r if terminated else r + discount * max(q[s2])
            visits[s][a] += 1
            q[s][a] += rate(visits[s][a]) * (target - q[s][a])
            # choose: only now, by the values that have just been learnt
            a = choose_action(q[s2], epsilon, next(numbers), next(numbers))
            # go on from there
            s, total = s2, total + r
            if terminated or truncated:
                break
        if not math.isfinite(total):
            raise ValueError(f"env: expected finite rewards, got an episode with the sum {total}")
        table.returns[episode] = total
    return QTable(np.array(q), table.returns, np.array(visits))


def batched_q_learning(transitions, start, episodes, learning_rate, discount, epsilon, seeds, max_steps=10_000):
    """`q_learning` for many seeds at once, on a known table of transitions.

    The result is that of `q_learning(env, ..., seed)` for each seed, number for number, on gymnasium's tabular
    environments. Arguments, result and errors are those of `batched_sarsa`.
    """
    walks = TableWalks(transitions, start, episodes, learning_rate, discount, epsilon, seeds, max_steps)
    q = walks.q
    s, a = walks.begin()  # one state and one action for each seed
    while walks.under_way:
        r, discounts, s2 = walks.move(s, a)
        walks.learn(s, a, target=r + discounts * q.take(s2, axis=1).max(axis=0))
        s, a = s2, walks.choose(s2)  # after the update, where SARSA chooses before it
    return QTable(*walks.results())


def example():
    """One update by hand, then the cliff: the greedy paths of Q-learning and of SARSA."""
    q = np.array([[1.0, 2.0], [4.0, 8.0]])
    q_learning_update(q, s=0, a=1, r=3.0, s2=1, terminated=False, learning_rate=0.5, discount=0.9)
    print("2 + 0.5 · (3 + 0.9 · max(4, 8) − 2) =", q[0, 1])

    env = gymnasium.make("CliffWalking-v1")
    table = q_learning(env, episodes=300, learning_rate=0.5, discount=1.0, epsilon=0.1, seed=0)
    states, arrived = greedy_path(env, table)
    print("one run's greedy path:", len(states) - 1, "steps, arrived:", arrived)
    for learn in (batched_q_learning, batched_sarsa):
        many = learn(env.unwrapped.P, 36, 300, 0.5, 1.0, 0.1, seeds=range(100))
        lengths = [len(greedy_path(env, values)[0]) - 1 for values in many.values]
        print(f"{learn.__name__}: median {np.median(lengths):.0f} steps,", end=" ")
        print(f"{many.returns[:, -50:].mean():.0f} an episode while learning")


def lesson(
    report,
    *,
    seeds: int = 200,
    episodes: int = 500,
    learning_rate: float = 0.5,
    epsilon: float = 0.1,
    ice_seeds: int = 20,
    ice_episodes: int = 32_000,
    seed: int = 0,
):
    """Walk along the cliff beside SARSA, learn value iteration's table on the ice, and try a wrong form.

    Args:
        report: The report to write to.
        seeds: Independent runs on the cliff (2 to 10000).
        episodes: Episodes of each run on the cliff (10 to 100000).
        learning_rate: Learning rate on the cliff (0.001 to 1).
        epsilon: Probability of a random action on the cliff (0.001 to 0.9).
        ice_seeds: Independent runs that converge on the ice (2 to 1000).
        ice_episodes: Episodes of each of these (16 to 10000000).
        seed: Seed of everything drawn; each value gives other runs (0 to 4294967295).
    """
    cliff = gymnasium.make("CliffWalking-v1")
    ice = gymnasium.make("FrozenLake-v1")
    _by_hand(report)
    _single_and_batch(report, cliff, ice, seed)
    _along_the_cliff(report, cliff, range(seed * seeds, (seed + 1) * seeds), episodes, learning_rate, epsilon)
    _to_the_optimum(report, ice.unwrapped.P, range(seed * ice_seeds, (seed + 1) * ice_seeds), ice_episodes)
    _without_the_maximum(report, cliff)


def _by_hand(report):
    q = np.array([[1.0, 2.0], [4.0, 8.0]])
    label = "Q(0, 1) = 2, reward 3, best next value 8, α = 0.5, γ = 0.9: 2 + 0.5 · (3 + 7.2 − 2)"
    report.check(label, got=q_learning_update(q.copy(), 0, 1, 3.0, 1, False, 0.5, 0.9), want=[[1.0, 6.1], [4.0, 8.0]])
    label = "terminated, the next state does not count: 2 + 0.5 · (3 − 2)"
    report.check(label, got=q_learning_update(q.copy(), 0, 1, 3.0, 1, True, 0.5, 0.9), want=[[1.0, 2.5], [4.0, 8.0]])
    endless = {0: {0: [(1.0, 0, 1.0, False)]}}
    learnt = batched_q_learning(endless, 0, 100, 0.5, 0.9, 0.0, [0], max_steps=10)
    report.check("one state, reward 1 for ever, truncated every 10 steps: 1/(1 − 0.9)", learnt.values, [[[10.0]]])


def _single_and_batch(report, cliff, ice, seed):
    rows = []
    for name, env, episodes, settings in (
        ("CliffWalking-v1", cliff, 30, (0.5, 1.0, 0.1)),
        ("FrozenLake-v1, slippery", ice, 100, (lambda visits: 10 / (9 + visits), 0.95, 0.3)),
    ):
        known, limit = (env.unwrapped.P, env.unwrapped.initial_state_distrib), env.spec.max_episode_steps or 10_000
        seeds = range(3 * seed, 3 * seed + 3)
        batch = batched_q_learning(*known, episodes, *settings, seeds, limit)
        for form, world in (("gymnasium", env), ("lists of its table", TableEnvironment(*known, limit))):
            begun = time.perf_counter()
            single = [q_learning(world, episodes, *settings, each) for each in seeds]
            rows.append([name, form, 1, time.perf_counter() - begun, sum(int(run.visits.sum()) for run in single)])
            for part in ("values", "returns", "visits"):
                want = np.stack([getattr(run, part) for run in single])
                label = f"{name}: {part} of a batch and of single runs, {form}"
                report.check(label, got=getattr(batch, part), want=want, rtol=0, atol=1e-12)
        begun = time.perf_counter()
        wide = batched_q_learning(*known, episodes, *settings, range(500), limit)
        rows.append([name, "arrays, side by side", 500, time.perf_counter() - begun, int(wide.visits.sum())])
    columns = ["environment", "form", "runs", "µs a step", "steps a second"]
    rows = [[*row, 1e6 * seconds / steps, steps / seconds] for *row, seconds, steps in rows]
    report.table("time for a step", columns, rows)


def _along_the_cliff(report, env, seeds, episodes, learning_rate, epsilon):
    transitions, start = env.unwrapped.P, int(env.unwrapped.start_state_index)
    settings = (transitions, start, episodes, learning_rate, 1.0, epsilon, seeds)
    runs, rows, best = {"SARSA": batched_sarsa(*settings), "Q-learning": batched_q_learning(*settings)}, [], {}
    for name, learnt in runs.items():
        mean, error = plots.mean_and_error(learnt.returns[:, -100:].mean(axis=1))
        paths = [greedy_path(env, q) for q in learnt.values]
        arrived = [tuple(map(int, states)) for states, end in paths if end]
        median = float(np.median([len(states) - 1 for states, _ in paths]))
        best[name] = max(set(arrived), key=lambda path: (arrived.count(path), path)) if arrived else (start,)
        rows.append([name, mean, error, median, sum(len(path) == 14 for path in arrived), len(paths) - len(arrived)])
    columns = ["method", "return, last 100", "standard error", "median steps, greedy", "runs with 13", "runs that loop"]
    report.table(f"the cliff, {len(seeds)} runs of {episodes} episodes, loops counted as 100 steps", columns, rows)
    label = f"Q-learning: mean return of the last 100 episodes, {len(seeds)} runs (Sutton and Barto 2018, example 6.6)"
    report.check(label, got=rows[1][1], want=-49.0, rtol=0, atol=5.0, trained=True)
    report.check("SARSA: the same", got=rows[0][1], want=-27.0, rtol=0, atol=4.0, trained=True)
    report.check("Q-learning's greedy path, median steps", got=rows[1][3], want=13.0, trained=True)
    edge = [36, *range(24, 36), 47]
    report.check("its path leads along the edge", got=best["Q-learning"], want=edge, trained=True)
    along = np.array(edge)[:-1]
    policy = np.ones(48, dtype=int)
    policy[[along[0], along[-1]]] = 0, 2
    policy[:24] = 2  # whoever was pushed up goes down again
    exact = explorers_values(transitions, policy, epsilon)[start]
    report.note(
        f"Exactly, whoever walks along the edge with ε = {epsilon:g} gets {exact:.1f} an episode; without exploring, "
        "−13. Q-learning's values are those of the second, its returns while it learns those of the first."
    )
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 3.8), width_ratios=(1.35, 1))
    _draw_paths(left, best)
    series = {name: learnt.returns for name, learnt in runs.items()}
    plots.curves(np.arange(1, episodes + 1), series, xlabel="episode", ylabel="sum of rewards", ax=right)
    right.set_title("Return while learning: exploring\nat the edge costs more")
    right.set_ylim(-120, 0)
    report.figure(
        "two paths along the cliff",
        figure,
        alt="Left: Q-learning's path runs beside the cliff, SARSA's along the top of the grid. Right: SARSA's returns "
        "level off above Q-learning's, with narrow bands of the standard error.",
    )


def _draw_paths(ax, paths):
    plots.cliff(ax)
    for number, (name, path) in enumerate(paths.items()):
        rows, columns = np.divmod(np.array(path), 12)
        shift = 0.12 * (2 * number - 1)  # so that the two stay apart where they share cells
        ax.plot(columns + shift, rows, "-o" if number == 0 else "--s", color=f"C{number}", markersize=4,
                label=f"{name}: {len(path) - 1} steps")  # fmt: skip
    ax.set_xticks(np.arange(0.5, 11), minor=True)
    ax.set_yticks(np.arange(0.5, 3), minor=True)
    ax.grid(True, which="minor")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    ax.set_title("The most frequent greedy path of each method")


def _to_the_optimum(report, transitions, seeds, episodes):
    """Half of the actions at random, a learning rate that falls with the visits: to value iteration's table."""
    discount = 0.9
    exact = action_values(transitions, value_iteration(transitions, discount)[0], discount)
    live = exact.any(axis=1)
    rows, errors = [], None
    for count in (episodes // 16, episodes // 4, episodes):
        settings = (count, _falling_rate, discount, 0.5, seeds, 100)
        learnt = batched_q_learning(transitions, live / live.sum(), *settings)
        errors = np.abs(learnt.values - exact)[:, live].max(axis=(1, 2))
        fewest = int(learnt.visits[:, live].min())
        rows.append([count, int(learnt.visits.sum() / len(seeds)), fewest, *plots.mean_and_error(errors), errors.max()])
    columns = ["episodes", "steps a run", "fewest visits", "largest error, mean", "standard error", "of the worst run"]
    report.table(f"FrozenLake, slippery, γ = {discount:g}: distance from value iteration's table", columns, rows)
    report.at_least("every pair was visited, in every run: fewest visits", rows[-1][2], 100, trained=True)
    label = f"largest error of a table's values, mean of {len(seeds)} runs"
    report.at_most(label, got=rows[-1][3], bound=0.02, trained=True)
    ratio = rows[-1][3] / rows[0][3]
    report.at_most("16 times the episodes at least halve the error: ratio", ratio, 0.5, trained=True)
    report.note(
        "Episodes start in any state that is not an end (exploring starts), ε is 0.5, the learning rate 1/visits^0.85. "
        "From the lake's own start the last cells are reached too seldom."
    )


def _falling_rate(visits):
    return visits**-0.85


def _without_the_maximum(report, env):
    """An update with the old value in place of the best next one, in sweeps over all pairs of the cliff."""
    transitions, discount, rate = env.unwrapped.P, 0.9, 0.5
    wrong, right = np.zeros((48, 4)), np.zeros((48, 4))
    rewards = np.array([[transitions[s][a][0][2] for a in range(4)] for s in range(48)], dtype=float)
    live = [s for s in range(48) if not 37 <= s <= 47]
    for _ in range(300):
        for s in live:
            for a in range(4):
                ((_, s2, r, terminated),) = transitions[s][a]
                q_learning_update(right, s, a, r, int(s2), terminated, rate, discount)
                wrong[s, a] += rate * (r + discount * wrong[s, a] - wrong[s, a])
    optimum = action_values(transitions, value_iteration(transitions, discount)[0], discount)
    label = "without maximum and next state the fixed point is R/(1 − γ): −10, and −1000 at the cliff"
    report.check(label, got=wrong[live], want=rewards[live] / (1 - discount))
    report.check("with them it is value iteration's table", got=right[live], want=optimum[live], atol=1e-3)
    (lost, never), (found, arrived) = greedy_path(env, wrong), greedy_path(env, right)
    report.check("the first table leads nowhere, the second to the goal", [never, arrived], [False, True])
    report.check("in 13 steps", got=len(found) - 1, want=13)
    report.correction(
        "Q-learning's update",
        course="Q(s, a) ← Q(s, a) + α (R + γ Q(s, a) − Q(s, a)).",
        correct="Q(s, a) ← Q(s, a) + α (R + γ max Q(s′, ·) − Q(s, a)), and only R where the episode terminates.",
        shown_by=f"300 sweeps over the cliff, γ = 0.9: the first is R/(1 − γ) everywhere and its greedy path has "
        f"not arrived after {len(lost) - 1} steps; the second equals value iteration and arrives in {len(found) - 1}",
    )

"""Q-learning learns the best policy while it follows another one, and pays for that as long as it explores.

One thing separates it from SARSA: the target takes the best next action instead of the one that is played. What the
reader should see: on the cliff it finds the shortest path of 13 steps along the edge, and falls again and again while
it explores there; on slippery ice, acting at random half of the time, it converges to the table of value iteration
without knowing the model. Without the maximum, or without exploration, nothing of that remains.

Notes: chapter 12, "Q-learning: off-policy temporal difference" (Q学习算法: 异策略时序差分).
Source: Watkins and Dayan 1992, "Q-learning", Machine Learning 8; Sutton and Barto 2018, section 6.5 and example 6.6;
https://gymnasium.farama.org/environments/toy_text/frozen_lake
"""

import time

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.dynamic_programming import action_values, policy_evaluation, value_iteration
from kerasnotes.chapter12.sarsa import (
    TableWalks,
    batched_sarsa,
    check_settings,
    check_update,
    empty_table,
    epsilon_greedy_actions,
    greedy_path,
)

SMOKE = {"seeds": 3, "episodes": 20, "ice_seeds": 2, "ice_episodes": 160, "tries": 40}
SECONDS = 24


def q_learning_update(q, s, a, r, s2, terminated, learning_rate, discount):
    """Q(s, a) ← Q(s, a) + learning_rate · (r + discount · max Q(s2, ·) − Q(s, a)), in place.

    Where the episode terminated, nothing follows and the target is r. Where it was only truncated, by a limit of time,
    pass `terminated=False`: the state s2 is still worth something.

    Args:
        q: Table (states, actions) of floats, changed in place.
        s, a, r: State, action taken in it, and reward that came of it.
        s2: State reached.
        terminated: Whether the episode ended in s2 by the environment's own rules.
        learning_rate: Above 0, at most 1.
        discount: From 0 to 1.

    Returns:
        `q`.

    Raises:
        ValueError: If `q` is not a table of floats, a state or an action is unknown, or a number is out of range.

    Source: Sutton and Barto 2018, equation 6.8.
    """
    check_update(q, (s, s2), (a,), r, learning_rate, discount)
    target = r if terminated else r + discount * q[s2].max()
    q[s, a] += learning_rate * (target - q[s, a])
    return q


def q_learning(env, episodes, learning_rate, discount, epsilon, seed, max_steps=10_000):
    """Learn a table by Q-learning, acting ε-greedily.

    Args:
        env: gymnasium environment with discrete states and actions, both counted from 0.
        episodes: Episodes to play.
        learning_rate: Above 0, at most 1; or a callable from the number of visits of a pair, 1 the first time, to it.
        discount: From 0 to 1.
        epsilon: Probability of an action at random; ties of the others are broken at random.
        seed: Seed of the environment (at its first reset), and with a 1 beside it of the choices.
        max_steps: Episodes are truncated after so many steps, if the environment does not do so before.

    Returns:
        `QTable`. Values start at zero.

    Raises:
        ValueError: If the environment's spaces are not discrete, or a number is out of range.

    Source: Sutton and Barto 2018, section 6.5.
    """
    check_settings(episodes, learning_rate, discount, epsilon, [seed], max_steps)
    table = empty_table(env, episodes)
    q, rng = table.values, np.random.default_rng((seed, 1))
    for episode in range(episodes):
        state, _ = env.reset(seed=None if episode else int(seed))
        action = epsilon_greedy_actions(q[state], epsilon, *rng.random(2))
        for _ in range(max_steps):
            next_state, reward, terminated, truncated, _ = env.step(int(action))
            table.visits[state, action] += 1
            rate = learning_rate(table.visits[state, action]) if callable(learning_rate) else learning_rate
            q_learning_update(q, state, action, reward, next_state, terminated, rate, discount)
            state, action = next_state, epsilon_greedy_actions(q[next_state], epsilon, *rng.random(2))
            table.returns[episode] += reward
            if terminated or truncated:
                break
    return table


def batched_q_learning(transitions, start, episodes, learning_rate, discount, epsilon, seeds, max_steps=10_000):
    """`q_learning` for many seeds at once, on a known table of transitions.

    The result is that of `q_learning(env, ..., seed)` for each seed, number for number, on gymnasium's tabular
    environments: the same draws decide about transitions and actions.

    Args:
        transitions: gymnasium's `env.unwrapped.P`.
        start: State in which episodes start, or probabilities (states,), `env.unwrapped.initial_state_distrib`.
        episodes, learning_rate, discount, epsilon: As in `q_learning`; a callable rate takes and returns arrays.
        seeds: Whole numbers, one for each run.
        max_steps: Steps after which an episode is truncated; `env.spec.max_episode_steps` where that is not None.

    Returns:
        `QTable` with one more axis in front: values and visits (seeds, states, actions), returns (seeds, episodes).

    Raises:
        ValueError: If the table has gaps, or a number is out of range.
    """
    walks = TableWalks(transitions, start, episodes, learning_rate, discount, epsilon, seeds, max_steps)
    q = walks.q
    while walks.under_way:
        pair, reward, discounts, state = walks.move()
        target = reward + discounts * walks.values(state).max(axis=0)
        q[pair] += walks.rate(pair) * (target - q[pair])
        walks.go_on(state, walks.choose(state))  # after the update, where SARSA chooses before it
    return walks.table()


def lesson(
    report,
    *,
    seeds: int = 200,
    episodes: int = 500,
    learning_rate: float = 0.5,
    epsilon: float = 0.1,
    ice_seeds: int = 20,
    ice_episodes: int = 32_000,
    tries: int = 2000,
    seed: int = 0,
):
    """Walk along the cliff beside SARSA, learn value iteration's table on the ice, and try two wrong forms.

    Args:
        report: The report to write to.
        seeds: Independent runs on the cliff (2 to 10000).
        episodes: Episodes of each run on the cliff (10 to 100000).
        learning_rate: Learning rate on the cliff (0.001 to 1).
        epsilon: Probability of a random action on the cliff (0.001 to 0.9).
        ice_seeds: Independent runs that converge on the ice (2 to 1000).
        ice_episodes: Episodes of each of these (16 to 10000000).
        tries: Episodes with and without exploration on the ice (10 to 1000000).
        seed: Seed of everything drawn; each value gives other runs (0 to 4294967295).
    """
    cliff = gymnasium.make("CliffWalking-v1")
    ice = gymnasium.make("FrozenLake-v1")
    _by_hand(report)
    _single_and_batch(report, cliff, ice, seed)
    _along_the_cliff(report, cliff, range(seed * seeds, (seed + 1) * seeds), episodes, learning_rate, epsilon)
    _to_the_optimum(report, ice.unwrapped.P, range(seed * ice_seeds, (seed + 1) * ice_seeds), ice_episodes)
    _without_the_maximum(report, cliff)
    _without_exploration(report, ice, tries, seed)


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
        table, starts = env.unwrapped.P, env.unwrapped.initial_state_distrib
        limit = env.spec.max_episode_steps or 10_000
        begun = time.perf_counter()
        single = [q_learning(env, episodes, *settings, each) for each in range(3 * seed, 3 * seed + 3)]
        one = (time.perf_counter() - begun) / sum(run.visits.sum() for run in single) * 1e6
        batch = batched_q_learning(table, starts, episodes, *settings, range(3 * seed, 3 * seed + 3), limit)
        for part in ("values", "returns", "visits"):
            want = np.stack([getattr(run, part) for run in single])
            label = f"{name}: {part} of a batch and of single runs"
            report.check(label, got=getattr(batch, part), want=want, rtol=0, atol=1e-12)
        begun = time.perf_counter()
        wide = batched_q_learning(table, starts, episodes, *settings, range(500), limit)
        many = (time.perf_counter() - begun) / wide.visits.sum() * 1e6
        rows.append([name, one, many, one / many])
    columns = ["environment", "µs a step, one run", "µs a step, 500 runs", "one run's µs over a batch's"]
    report.table("time for a step", columns, rows)
    report.note("500 runs at once should be at least 20 times faster a step than one alone; see the table of times.")


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
    explorer = np.full((48, 4), epsilon / 4) + (1 - epsilon) * np.eye(4)[policy]
    exact = policy_evaluation(transitions, explorer, 1.0)[start]
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
        "level off near −27, Q-learning's near −49, with narrow bands of the standard error.",
    )


def _draw_paths(ax, paths):
    ax.fill_between((0.5, 10.5), 2.5, 3.5, color="0.35", linewidth=0)
    ax.text(5.5, 3, "cliff: −100, back to the start", color="white", ha="center", va="center")
    for number, (name, path) in enumerate(paths.items()):
        rows, columns = np.divmod(np.array(path), 12)
        shift = 0.12 * (2 * number - 1)  # so that the two stay apart where they share cells
        ax.plot(columns + shift, rows, "-o" if number == 0 else "--s", color=f"C{number}", markersize=4,
                label=f"{name}: {len(path) - 1} steps")  # fmt: skip
    ax.set(xlim=(-0.5, 11.5), ylim=(3.5, -0.5), xticks=[], aspect="equal")
    ax.set_xticks([0, 11], ["start", "goal"])
    ax.set_yticks([])
    ax.set_xticks(np.arange(0.5, 11), minor=True)
    ax.set_yticks(np.arange(0.5, 3), minor=True)
    ax.grid(False)
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
        "From the lake's own start the last cells are reached so seldom that 50,000 steps leave errors above 0.05."
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


def _always_the_first(env, episodes, learning_rate, discount, seed):
    """Q-learning that never explores and takes the first of equal actions. Returns the sums of rewards."""
    q, returns = empty_table(env, episodes).values, np.zeros(episodes)
    for episode in range(episodes):
        state, ended = env.reset(seed=None if episode else seed)[0], False
        while not ended:  # the environment truncates after 100 steps
            action = int(np.argmax(q[state]))
            next_state, reward, terminated, truncated, _ = env.step(action)
            q_learning_update(q, state, action, reward, next_state, terminated, learning_rate, discount)
            returns[episode] += reward
            state, ended = next_state, terminated or truncated
    return q, returns


def _without_exploration(report, env, episodes, seed):
    transitions, rate, discount = env.unwrapped.P, 0.1, 0.99
    stuck = [_always_the_first(env, episodes, rate, discount, each) for each in range(3 * seed, 3 * seed + 3)]
    outcomes = {"greedy, the first of equal actions": ([q for q, _ in stuck], np.array([sums for _, sums in stuck]))}
    for name, chance in (("greedy, equal actions at random", 0.0), ("ε = 0.1", 0.1), ("ε = 0.3", 0.3)):
        seeds = range(50 * seed, 50 * (seed + 1))
        many = batched_q_learning(transitions, 0, episodes, rate, discount, chance, seeds, 100)
        outcomes[name] = many.values, many.returns
    rows = []
    for name, (tables, sums) in outcomes.items():
        reached = [policy_evaluation(transitions, q.argmax(axis=1), 1.0)[0] for q in tables]
        recent = sums[:, -min(episodes, 500) :].mean(axis=1)
        rows.append([name, len(tables), *plots.mean_and_error(recent), *plots.mean_and_error(reached)])
    columns = ["choice", "runs", "goals while learning", "standard error", "goals of the greedy policy", "its error"]
    report.table(f"FrozenLake: share of episodes that reach the goal, after {episodes} episodes", columns, rows)
    label = "greedy from a table of zeros, ties to the first action: goals reached in all episodes"
    report.check(label, got=outcomes["greedy, the first of equal actions"][1].sum(), want=0.0)
    label = "with ε = 0.1 the learnt policy reaches the goal: share of episodes, mean of 50 runs"
    report.at_least(label, rows[2][4] - 4 * rows[2][5], 0.5, trained=True)
    report.correction(
        "acting greedily from the start",
        course="Take the best action of the table in every step, starting from a table of zeros.",
        correct="Explore: with probability ε any action, and break ties at random.",
        shown_by=f"{episodes} episodes on FrozenLake: always the first of equal actions never reaches the goal, "
        f"whatever the seed, as no reward is ever met; with ε = 0.1 the learnt policy does in {100 * rows[2][4]:.0f}%, "
        f"with ties broken at random alone in {100 * rows[1][4]:.0f}%",
    )

"""Values can be learnt from whole episodes alone, with an error that halves when their number is quadrupled.

Without the table of transitions, the mean of observed returns takes the place of the expectation. What the reader
should see: the error of prediction falls like one over the square root of the episodes; counting a state's every visit
instead of its first brings a bias that fades; and a policy that keeps exploring can improve itself from its own
episodes, up to what a policy with that much chance in it can reach at all.

Notes: chapter 12, "Monte Carlo methods" (蒙特卡罗方法).
Source: Sutton and Barto 2018, ISBN 978-0-262-03924-6, sections 5.1 to 5.4; Singh and Sutton 1996,
doi:10.1007/BF00114726, section 3 (bias of every-visit estimates).
"""

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.dynamic_programming import value_iteration
from kerasnotes.chapter12.environment import discounted_returns, rollout
from kerasnotes.chapter12.numbered_states import table_sizes
from kerasnotes.chapter12.policy_evaluation import policy_evaluation, simulate
from kerasnotes.parts import share, whole

SMOKE = {"runs": 2, "episodes": 400, "control_episodes": 150, "control_seeds": 2, "loops": 100}
SECONDS = 9


def monte_carlo_prediction(episodes, states, discount, first_visit=True):
    """Mean return that followed the visits to each state.

    Args:
        episodes: Sequence of episodes with `observations` (steps + 1,), which are states counted from 0, and `rewards`
            (steps,). They have to be whole: a return that was cut off is not a return.
        states: Number of states.
        discount: Weight of one step's delay, from 0 to 1.
        first_visit: Count only the first visit to a state in an episode. Then the estimate is unbiased; counting every
            visit uses more of the data, but returns of one episode are not independent.

    Returns:
        `(values, counts)`: arrays (states,). A state that was never visited has the value NaN and the count 0.

    Raises:
        ValueError: If there is no episode, one was cut off, a state is unknown, or `discount` lies outside [0, 1].

    Source: Sutton and Barto 2018, section 5.1.
    """
    whole("states", states)
    if len(episodes) == 0:
        raise ValueError("episodes: expected at least one, got none")
    if any(not episode.terminated for episode in episodes):
        raise ValueError("episodes: expected episodes that ran to their end, got one that was cut off")
    lengths = np.array([len(episode.rewards) for episode in episodes])
    visited = np.concatenate([episode.observations[:-1] for episode in episodes])
    if visited.ndim != 1 or visited.dtype.kind not in "iu" or visited.min() < 0 or visited.max() >= states:
        raise ValueError(f"episodes: expected states from 0 to {states - 1} as observations, got {visited!r}")
    number = np.repeat(np.arange(len(episodes)), lengths)
    at = number, lengths.max() - np.repeat(lengths, lengths) + np.concatenate([np.arange(n) for n in lengths])
    padded = np.zeros((len(episodes), lengths.max()))  # aligned at their ends, so that one pass computes every return
    padded[at] = np.concatenate([episode.rewards for episode in episodes])
    returns = discounted_returns(padded, discount)[at]
    if first_visit:
        first = np.unique(number * states + visited, return_index=True)[1]
        visited, returns = visited[first], returns[first]
    counts = np.bincount(visited, minlength=states)
    totals = np.bincount(visited, weights=returns, minlength=states)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan), counts


def epsilon_soft(values, epsilon):
    """The policy that takes the best action with probability 1 − ε + ε/n and each of the other n − 1 with ε/n.

    Takes action values (states, actions) and returns probabilities of the same shape; equally good actions share what
    the best one gets.

    Raises:
        ValueError: If `values` is not (states, actions) and finite, or `epsilon` lies outside [0, 1].

    Source: Sutton and Barto 2018, section 5.4.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"values: expected finite numbers (states, actions), got {values!r}")
    share("epsilon", epsilon)
    best = values == values.max(axis=1, keepdims=True)
    return epsilon / values.shape[1] + (1 - epsilon) * best / best.sum(axis=1, keepdims=True)


def with_exploration(transitions, epsilon):
    """A table in which each action is replaced by a random one with probability ε: its optimum is the best ε-soft."""
    mixed = {}
    for state, actions in transitions.items():
        anything = [(epsilon / len(actions) * p, *rest) for listed in actions.values() for p, *rest in listed]
        mixed[state] = {
            action: [((1 - epsilon) * p, *rest) for p, *rest in listed] + anything for action, listed in actions.items()
        }
    return mixed


def monte_carlo_control(env, episodes, discount, epsilon, seed, max_steps=10_000):
    """Learn action values from an ε-soft policy's own episodes, each of which improves the policy at once.

    A pair's value is the mean of the returns that followed its first visit in each episode. An episode that was cut off
    by a limit of steps counts as if nothing followed.

    Args:
        env: A gymnasium environment with states and actions counted from 0.
        episodes: Number of episodes.
        discount, epsilon: Weight of one step's delay and share of random actions, from 0 to 1.
        seed: Seed of the environment and of the policy; episode k is reset with seed · `episodes` + k.
        max_steps: Episodes are cut off here.

    Returns:
        `(values, returns)`: action values (states, actions), and the discounted return of each episode (episodes,).

    Raises:
        ValueError: If an argument is outside its domain.

    Source: Sutton and Barto 2018, section 5.4 (on-policy first-visit control).
    """
    whole("episodes", episodes)
    share("epsilon", epsilon)
    states, actions = table_sizes(env)
    values, counts, returns = np.zeros((states, actions)), np.zeros((states, actions)), np.empty(episodes)

    def act(state, rng):
        if rng.random() < epsilon:
            return int(rng.integers(actions))
        row = values[state]
        best = np.flatnonzero(row == row.max())  # ties by chance: from a table of zeros, the first would never move on
        return int(best[rng.integers(len(best))])

    for number in range(episodes):
        # act: a whole episode with the table as it is
        episode = rollout(env, act, int(seed) * episodes + number, max_steps)
        # look back: what followed the first visit of each pair
        following = discounted_returns(episode.rewards, discount)
        pairs, first = np.unique(episode.observations[:-1] * actions + episode.actions, return_index=True)
        # learn: the mean of all returns so far, which changes what is best at once
        at = pairs // actions, pairs % actions
        counts[at] += 1
        values[at] += (following[first] - values[at]) / counts[at]
        returns[number] = following[0]
    return values, returns


def example():
    """A policy evaluated by episodes and by equations, and another one improved by playing."""
    transitions, policy = gymnasium.make("FrozenLake-v1").unwrapped.P, np.full((16, 4), 0.25)
    episodes = simulate(transitions, policy, start=14, episodes=4000, max_steps=10_000, seed=0)
    learnt = monte_carlo_prediction(episodes, states=16, discount=0.9)[0][14]
    print(f"state 14, at random: learnt {learnt:.3f}, exact {policy_evaluation(transitions, policy, 0.9)[14]:.3f}")
    env = gymnasium.make("FrozenLake-v1", is_slippery=False)
    values, returns = monte_carlo_control(env, episodes=600, discount=0.99, epsilon=0.2, seed=1)
    print("goals in the first and the last 100 episodes:", np.sum(returns[:100] > 0), np.sum(returns[-100:] > 0))
    exact, learnt = value_iteration(env.unwrapped.P, 0.99)[0][0], values.argmax(axis=1)
    print(f"the learnt policy is worth {policy_evaluation(env.unwrapped.P, learnt, 0.99)[0]:.4f}, the best {exact:.4f}")


def lesson(
    report,
    *,
    runs: int = 16,
    episodes: int = 10_000,
    loops: int = 2000,
    control_episodes: int = 3000,
    control_seeds: int = 4,
    epsilon: float = 0.1,
    seed: int = 0,
):
    """Predict the values of a policy from more and more episodes, then improve one.

    Args:
        report: The report to write to.
        runs: Independent runs of prediction (2 to 1000).
        episodes: Episodes of each (200 to 1000000).
        loops: Repetitions of the experiment that shows the bias (100 to 1000000).
        control_episodes: Episodes of each run of control (20 to 1000000).
        control_seeds: Independent runs of control (2 to 100).
        epsilon: Share of random actions in control (0.01 to 0.9).
        seed: Seed of all random draws (0 to 100000).
    """
    _bias(report, loops, seed)
    sizes, errors, slope = _prediction(report, runs, episodes, seed)
    learnt = _control(report, control_episodes, control_seeds, epsilon, seed)
    report.figure(
        "Learning from whole episodes",
        _figure(sizes, errors, slope, learnt, epsilon),
        alt=f"Left: the error of prediction falls along a straight line of slope {slope:.2f} on logarithmic axes. "
        "Right: the return of control rises within some hundred episodes to the best that its ε allows.",
    )


def _bias(report, loops, seed):
    """One state that pays 1 and comes back with probability ½: its value is 2."""
    table = {0: {0: [(0.5, 0, 1.0, False), (0.5, 0, 1.0, True)]}}
    three = simulate(table, [0], 0, 50, 1000, seed)
    three = [episode for episode in three if len(episode) == 3][:1]
    got = [monte_carlo_prediction(three, 1, 1.0, first)[0][0] for first in (True, False)]
    report.check("three visits with returns 3, 2, 1: the first is 3, the mean of all is 2", got=got, want=[3.0, 2.0])
    rows = []
    for count in (1, 4, 16):
        pool = simulate(table, [0], 0, loops * count, 1000, (seed, count))
        groups = [pool[start : start + count] for start in range(0, len(pool), count)]
        row = [count]
        for first in (True, False):
            values = [monte_carlo_prediction(group, 1, 1.0, first)[0][0] for group in groups]
            mean, error = plots.mean_and_error(values)
            name, want = ("first", 2.0) if first else ("every", 2 - 1 / (count + 1))
            label = f"{name} visit, n = {count}: mean estimate off {want:.3f}, standard errors"
            report.at_most(label, abs(mean - want) / error, 4.0)
            row += [float(mean), float(np.mean(np.square(np.subtract(values, 2))))]
        rows.append([*row, 2 - 1 / (count + 1)])
    columns = ["episodes", "first visit: mean", "squared error", "every visit: mean", "squared error", "exact mean"]
    report.table("a loop of value 2: bias and squared error", columns, rows)
    report.note("After n episodes the every-visit estimate has the mean 2 − 1/(n + 1) (Singh and Sutton 1996).")


def _prediction(report, runs, episodes, seed):
    """Errors of the random policy's values on the slippery lake. Returns sizes, errors by kind, and the slope."""
    table = gymnasium.make("FrozenLake-v1", is_slippery=True).unwrapped.P
    policy = np.full((16, 4), 0.25)
    truth = policy_evaluation(table, policy, 1.0)
    alive = np.flatnonzero([not all(end for *_, end in table[state][0]) for state in table])
    sizes = np.unique(np.geomspace(100, episodes, 9).astype(int))
    errors = {name: np.empty((runs, len(sizes))) for name in ("first visit", "every visit")}
    scores = np.empty((runs, len(sizes)))
    for run in report.track(range(runs), "prediction"):
        # starts take turns, so that no state is left out
        found = simulate(table, policy, alive[np.arange(episodes) % len(alive)], episodes, 10_000, (seed, run))
        for column, size in enumerate(sizes):
            for name in errors:
                values, counts = monte_carlo_prediction(found[:size], 16, 1.0, name == "first visit")
                off = values[alive] - truth[alive]
                errors[name][run, column] = np.sqrt(np.mean(off**2))
                if name == "first visit":
                    variance = truth[alive] * (1 - truth[alive]) / counts[alive]  # returns are 0 or 1
                    scores[run, column] = np.mean(off**2 / variance)
    rows, slopes = [], {}
    for name, each in errors.items():
        together = np.sqrt(np.mean(each**2, axis=0))
        slopes[name] = float(np.polyfit(np.log(sizes), np.log(together), 1)[0])
        single = np.polyfit(np.log(sizes), np.log(each).T, 1)[0]
        rows.append([name, together[0], together[-1], slopes[name], *plots.mean_and_error(single)])
        label = f"{name}: slope of the error of {runs} runs on logarithmic axes"
        report.check(label, got=slopes[name], want=-0.5, rtol=0, atol=0.1, trained=True)
    columns = ["visits", "error at first", "error at last", "slope of all runs", "mean slope, a run", "standard error"]
    report.table(f"error of the random policy's values, {sizes[0]} to {sizes[-1]} episodes", columns, rows)
    mean, error = plots.mean_and_error(scores[:, -1])
    report.at_most("squared error over v (1 − v)/n: its mean off 1, standard errors", abs(mean - 1) / error, 4.0)
    report.note(f"The squared error of a first-visit mean is its variance: {mean:.2f} ± {error:.2f} times v (1 − v)/n.")
    return sizes, errors, slopes["first visit"]


def _control(report, episodes, seeds, epsilon, seed):
    """Control on a lake with and without slips. Returns `(returns, best)` without, returns (seeds, episodes)."""
    discount, rows, kept = 0.99, [], None
    for slippery in (False, True):
        env = gymnasium.make("FrozenLake-v1", is_slippery=slippery)
        table = env.unwrapped.P
        optimum, best = (value_iteration(each, discount)[0][0] for each in (table, with_exploration(table, epsilon)))
        soft, greedy, returns = [], [], []
        name = "slippery lake" if slippery else "lake without slips"
        for number in report.track(range(seeds), f"control, {name}"):
            values, got = monte_carlo_control(env, episodes, discount, epsilon, seed * seeds + number)
            soft.append(policy_evaluation(table, epsilon_soft(values, epsilon), discount)[0])
            greedy.append(policy_evaluation(table, values.argmax(axis=1), discount)[0])
            returns.append(got)
        report.at_most(f"{name}: no ε-soft policy beats the best of them", np.max(soft) - best, 1e-8)
        if not slippery:
            report.check(f"{name}: the greedy policy of every run is optimal", greedy, [optimum] * seeds, trained=True)
            label = f"{name}: every run's value over the best ε-soft one"
            report.at_least(label, np.array(soft) / best, 0.98, trained=True)
            kept = np.array(returns), best
        rows.append([name, optimum, best, *plots.mean_and_error(soft), *plots.mean_and_error(greedy)])
    columns = ["", "optimal", "best ε-soft", "learnt, ε-soft", "its error", "learnt, greedy", "error of that"]
    title = f"value of the start after {episodes} episodes of control, ε = {epsilon:g}, {seeds} seeds"
    report.table(title, columns, rows)
    report.note(
        f"On the slippery lake {episodes} episodes reach {rows[1][3] / rows[1][2]:.0%} of the best ε-soft value: most "
        "return 0, and old returns, of worse policies, stay in the mean."
    )
    return kept


def _figure(sizes, errors, slope, learnt, epsilon):
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.4))
    plots.curves(sizes, errors, xlabel="episodes", ylabel="error of the values (root mean square)", xscale="log",
                 yscale="log", marker="o", ax=left)  # fmt: skip
    line = 0.75 * np.mean(errors["first visit"][:, 0]) * (sizes / sizes[0]) ** -0.5
    left.plot(sizes, line, ":", color="black", label="slope −½")
    left.set_title(f"Four times the episodes,\nhalf the error (slope −{-slope:.2f})")
    left.legend()
    returns, best = learnt
    middles, smooth, window = plots.window_means(returns, 80)
    ylabel = f"return (mean of {window} episodes)"
    plots.curves(middles, {"learnt": smooth}, xlabel="episode", ylabel=ylabel, ax=right)
    right.axhline(best, color="C1", linestyle="--", label=f"best with ε = {epsilon:g}")
    right.axhline(0.99**5, color="black", linestyle=":", label="optimal")
    right.set(ylim=(0, 1.05), title="Control comes up to the best\nthat its ε allows")
    right.legend(loc="lower right")
    return figure

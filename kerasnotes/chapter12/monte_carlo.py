"""Values can be learnt from whole episodes alone, with an error that halves when their number is quadrupled.

Without the table of transitions, the mean of observed returns takes the place of the expectation. What the reader
should see: the error of prediction falls like one over the square root of the episodes; counting a state's every visit
instead of its first brings a bias that fades; and a policy that keeps exploring can improve itself from its own
episodes, up to what a policy with that much chance in it can reach at all.

Notes: chapter 12, "Monte Carlo methods" (蒙特卡罗方法).
Source: Sutton and Barto 2018, sections 5.1 to 5.4; Singh and Sutton 1996, "Reinforcement learning with replacing
eligibility traces", Machine Learning 22, section 3 (bias of every-visit estimates).
"""

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.dynamic_programming import policy_evaluation, simulate, value_iteration
from kerasnotes.chapter12.environment import discounted_returns, rollout

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
    if len(episodes) == 0:
        raise ValueError("episodes: expected at least one, got none")
    if not states >= 1:
        raise ValueError(f"states: expected a whole number from 1 on, got {states!r}")
    if any(not episode.terminated for episode in episodes):
        raise ValueError("episodes: expected episodes that ran to their end, got one that was cut off")
    lengths = np.array([len(episode.rewards) for episode in episodes])
    visited = np.concatenate([episode.observations[:-1] for episode in episodes])
    if visited.ndim != 1 or visited.dtype.kind not in "iu" or visited.min() < 0 or visited.max() >= states:
        raise ValueError(f"episodes: expected states from 0 to {states - 1} as observations, got {visited!r}")
    number = np.repeat(np.arange(len(episodes)), lengths)
    # all episodes in one array, aligned at their ends, so that one pass computes every return
    at = number, lengths.max() - np.repeat(lengths, lengths) + np.concatenate([np.arange(n) for n in lengths])
    padded = np.zeros((len(episodes), lengths.max()))
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

    Args:
        values: Action values (states, actions).
        epsilon: From 0 to 1.

    Returns:
        Array (states, actions) of probabilities; equally good actions share what the best one gets.

    Raises:
        ValueError: If `values` is not (states, actions) and finite, or `epsilon` lies outside [0, 1].

    Source: Sutton and Barto 2018, section 5.4.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"values: expected finite numbers (states, actions), got {values!r}")
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon: expected a probability in [0, 1], got {epsilon!r}")
    best = values == values.max(axis=1, keepdims=True)
    return epsilon / values.shape[1] + (1 - epsilon) * best / best.sum(axis=1, keepdims=True)


def monte_carlo_control(env, episodes, discount, epsilon, seed, max_steps=10_000):
    """Learn action values from an ε-soft policy's own episodes, each of which improves the policy at once.

    The value of a pair of state and action is the mean of the returns that followed its first visit in each episode. An
    episode that was cut off by a limit of steps counts as if nothing followed.

    Args:
        env: A gymnasium environment with discrete observations and actions.
        episodes: Number of episodes.
        discount: Weight of one step's delay, from 0 to 1.
        epsilon: Share of random actions, from 0 to 1.
        seed: Seed of the environment and of the policy; episode k is reset with seed · `episodes` + k.
        max_steps: Episodes are cut off here.

    Returns:
        `(values, returns)`: action values (states, actions), and the discounted return of each episode (episodes,).

    Raises:
        ValueError: If an argument is outside its domain.

    Source: Sutton and Barto 2018, section 5.4 (on-policy first-visit control).
    """
    if not (hasattr(getattr(env, "observation_space", None), "n") and hasattr(env.action_space, "n")):
        raise ValueError(f"env: expected discrete observations and actions, got {env!r}")
    if not (isinstance(episodes, (int, np.integer)) and episodes >= 1):
        raise ValueError(f"episodes: expected a whole number from 1 on, got {episodes!r}")
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon: expected a probability in [0, 1], got {epsilon!r}")
    actions = int(env.action_space.n)
    values, counts = np.zeros((int(env.observation_space.n), actions)), np.zeros((env.observation_space.n, actions))
    returns = np.empty(episodes)

    def act(state, rng):
        if rng.random() < epsilon:
            return int(rng.integers(actions))
        row = values[state]
        best = np.flatnonzero(row == row.max())  # ties by chance: from a table of zeros, the first would never move on
        return int(best[rng.integers(len(best))])

    for number in range(episodes):
        episode = rollout(env, act, int(seed) * episodes + number, max_steps)
        following = discounted_returns(episode.rewards, discount)
        pairs = episode.observations[:-1] * actions + episode.actions
        pairs, first = np.unique(pairs, return_index=True)
        at = pairs // actions, pairs % actions
        counts[at] += 1
        values[at] += (following[first] - values[at]) / counts[at]
        returns[number] = following[0]
    return values, returns


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
        alt=f"Left: the error of prediction falls along a straight line of slope {slope:.2f} on logarithmic axes, for "
        "first and every visits alike. Right: the return of control on a lake without slips rises within some hundred "
        "episodes to the best that a policy with that share of random actions can reach.",
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
            want = 2.0 if first else 2 - 1 / (count + 1)
            name = "first" if first else "every"
            label = f"{name} visit, n = {count}: mean estimate off {want:.3f}, standard errors"
            report.at_most(label, abs(mean - want) / error, 4.0)
            row += [float(mean), float(np.mean(np.square(np.subtract(values, 2))))]
        rows.append([*row, 2 - 1 / (count + 1)])
    report.table(
        "a loop of value 2: bias and squared error",
        [
            "episodes",
            "first visit: mean",
            "its squared error",
            "every visit: mean",
            "squared error of that",
            "exact mean of that",
        ],
        rows,
    )
    report.note(
        "After n episodes the every-visit estimate of the loop has the expectation 2 − 1/(n + 1), as every way to "
        "share out a number of visits among n episodes is equally likely (Singh and Sutton 1996)."
    )


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
    report.table(
        f"error of the random policy's values, {sizes[0]} to {sizes[-1]} episodes",
        ["visits", "error at first", "error at last", "slope of all runs", "mean slope of a run", "standard error"],
        rows,
    )
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
        best, (optimum, _) = value_iteration(_mixed(table, epsilon), discount)[0][0], value_iteration(table, discount)
        soft, greedy, returns = [], [], []
        name = "slippery lake" if slippery else "lake without slips"
        for number in report.track(range(seeds), f"control, {name}"):
            values, got = monte_carlo_control(env, episodes, discount, epsilon, seed * seeds + number)
            soft.append(policy_evaluation(table, epsilon_soft(values, epsilon), discount)[0])
            greedy.append(policy_evaluation(table, values.argmax(axis=1), discount)[0])
            returns.append(got)
        report.at_most(f"{name}: no ε-soft policy beats the best of them", np.max(soft) - best, 1e-8)
        if not slippery:
            report.check(
                f"{name}: the greedy policy of every run is optimal", greedy, [optimum[0]] * seeds, trained=True
            )
            report.at_least(
                f"{name}: every run's value over the best ε-soft one", np.array(soft) / best, 0.98, trained=True
            )
            kept = np.array(returns), best
        rows.append([name, optimum[0], best, *plots.mean_and_error(soft), *plots.mean_and_error(greedy)])
    report.table(
        f"value of the start after {episodes} episodes of control, ε = {epsilon:g}, {seeds} seeds",
        [
            "",
            "optimal",
            "best ε-soft",
            "learnt, ε-soft",
            "its standard error",
            "learnt, greedy",
            "standard error of that",
        ],
        rows,
    )
    report.note(
        f"On the slippery lake {episodes} episodes are not enough: the learnt policies reach "
        f"{rows[1][3] / rows[1][2]:.0%} of the best ε-soft value. Most episodes "
        "return 0, and old returns, of worse policies, stay in the mean."
    )
    return kept


def _mixed(table, epsilon):
    """A table in which every action is replaced by a random one with probability ε: its optimum is the best ε-soft."""
    actions = len(table[0])
    return {
        state: {
            action: [((1 - epsilon) * chance, *rest) for chance, *rest in table[state][action]]
            + [(epsilon / actions * chance, *rest) for other in table[state] for chance, *rest in table[state][other]]
            for action in table[state]
        }
        for state in table
    }


def _figure(sizes, errors, slope, learnt, epsilon):
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.4))
    plots.curves(sizes, errors, xlabel="episodes", ylabel="error of the values (root mean square)", xscale="log",
                 yscale="log", marker="o", ax=left)  # fmt: skip
    start = np.mean(errors["first visit"][:, 0])
    left.plot(sizes, 0.75 * start * (sizes / sizes[0]) ** -0.5, ":", color="black", label="slope −½")
    left.set_title(f"Four times the episodes,\nhalf the error (slope −{-slope:.2f})")
    left.legend()
    returns, best = learnt
    window = max(1, returns.shape[1] // 80)
    cut = returns.shape[1] // window * window
    smooth = returns[:, :cut].reshape(len(returns), -1, window).mean(axis=2)
    plots.curves(np.arange(window / 2, cut, window), {"learnt": smooth}, xlabel="episode",
                 ylabel=f"return (mean of {window} episodes)", ax=right)  # fmt: skip
    right.axhline(best, color="C1", linestyle="--", label=f"best with ε = {epsilon:g}")
    right.axhline(0.99**5, color="black", linestyle=":", label="optimal")
    right.set_ylim(0, 1.05)
    right.set_title("Control comes up to the best\nthat its ε allows")
    right.legend(loc="lower right")
    return figure

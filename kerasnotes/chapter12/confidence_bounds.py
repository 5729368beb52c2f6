"""Playing by a confidence bound costs a regret that grows like a logarithm, while a fixed ε costs one like a line.

Regret is what the pulls of a player lose against those of the best arm. What the reader should see: a proof bounds
UCB1's regret by a logarithm of the pulls, and no player of twenty comes near that bound in a hundred thousand pulls;
ε-greedy's regret becomes a line, whose slope is the price of exploring for ever; and the weight α of the bonus says
how much is explored, not how fast is learnt.

Notes: chapter 12, "Multi-armed bandits" (多臂老虎机: 上置信界).
Source: Auer, Cesa-Bianchi, Fischer 2002, doi:10.1023/A:1013689704352, theorem 1; Lai and Robbins 1985,
doi:10.1016/0196-8858(85)90002-8 (lower bound); Sutton and Barto 2018, ISBN 978-0-262-03924-6, section 2.7.
"""

import math

import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.bandits import (
    Bandit,
    epsilon_greedy,
    regret_bound,
    run_testbed,
    upper_confidence_bound,
)
from kerasnotes.parts import whole

SMOKE = {"bandits": 60, "steps": 120, "regret_steps": 2000, "regret_seeds": 3}
SECONDS = 12

ARMS = (0.9, 0.8, 0.8, 0.7, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)  # success probabilities of the fixed bandit


def regrets_of(policy, means, times, players, seed):
    """Regret Σ Δ m of many players of one Bernoulli bandit: what their pulls cost against the best arm.

    Counted by means, without the luck of the rewards.

    Args:
        policy: Callable `policy(values, counts, step, rng) -> arm`, as in `run_testbed`.
        means: Success probabilities (arms,).
        times: Numbers of pulls, rising, after which the regret is read.
        players: Independent players.
        seed: Seed of rewards and choices.

    Returns:
        Array (players, times).

    Raises:
        ValueError: If the means are no probabilities, or `players` is not positive.
    """
    means = np.asarray(means, dtype=np.float64)
    machine = Bandit(np.tile(means, (whole("players", players), 1)), (seed, 3), "bernoulli")
    rng, rows, gaps = np.random.default_rng((seed, 4)), np.arange(players), means.max() - means
    values, counts, kept = np.zeros((players, len(means))), np.zeros((players, len(means))), {}
    wanted = set(np.asarray(times).tolist())
    for step in range(1, max(wanted) + 1):
        # act: an arm for each player
        arm = policy(values, counts, step, rng)
        reward = machine.pull(arm)
        # learn: the mean of its rewards so far
        counts[rows, arm] += 1
        values[rows, arm] += (reward - values[rows, arm]) / counts[rows, arm]
        # remember: what has been lost until now
        if step in wanted:
            kept[step] = counts @ gaps
    return np.array([kept[step] for step in times]).T


def lowest_slope(means):
    """Lai and Robbins's Σ Δ / KL: no player that learns every bandit loses less than this times ln n in the limit.

    Args:
        means: Success probabilities (arms,) between 0 and 1; KL is the divergence of an arm from the best one.

    Source: Lai and Robbins 1985.
    """
    means = np.asarray(means, dtype=np.float64)
    best, wrong = means.max(), means[means < means.max()]
    divergence = wrong * np.log(wrong / best) + (1 - wrong) * np.log((1 - wrong) / (1 - best))
    return float(np.sum((best - wrong) / divergence))


def greedy_player(epsilon):
    """The policy that explores with probability ε, for `regrets_of` and `run_testbed`."""
    return lambda values, counts, step, rng: epsilon_greedy(values, counts, epsilon, rng)


def bound_player(alpha):
    """The policy that plays the upper confidence bound with weight α, for `regrets_of` and `run_testbed`."""
    return lambda values, counts, step, rng: upper_confidence_bound(values, counts, step, alpha)


def example():
    """Two thousand pulls by three players, and what the theory says of them."""
    means, times = [0.9, 0.6, 0.3], [20, 200, 2000]
    players = {"UCB1": bound_player(1.0), "half its bonus": bound_player(0.5), "ε-greedy 0.1": greedy_player(0.1)}
    for name, player in players.items():
        print(f"{name:15s}", regrets_of(player, means, times, players=20, seed=0).mean(axis=0).round(1))
    print("Auer's bound   ", regret_bound([0.0, 0.3, 0.6], times).round(1))
    print("in the limit   ", (lowest_slope(means) * np.log(times)).round(1))


def lesson(
    report,
    *,
    bandits: int = 2000,
    steps: int = 1000,
    regret_steps: int = 100_000,
    regret_seeds: int = 20,
    alphas: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0),
    seed: int = 0,
):
    """Play the testbed with several weights, then one bandit for long, and hold the regret against its bound.

    Args:
        report: The report to write to.
        bandits: Bandits of the testbed (10 to 100000).
        steps: Pulls of each of them (110 to 100000).
        regret_steps: Pulls of the fixed bandit (1000 to 10000000).
        regret_seeds: Independent players of the fixed bandit (2 to 1000).
        alphas: Exploration weights to compare (0 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _weights(report, bandits, steps, alphas, seed)
    regrets = _regret(report, regret_steps, regret_seeds, seed)
    report.figure(
        "Exploring by confidence",
        _figure(*regrets),
        alt="Regret over pulls on logarithmic axes; ε-greedy's rises in proportion to the pulls, UCB1's bends "
        "and stays below the bound.",
    )


def _weights(report, bandits, steps, alphas, seed):
    """What α does: nothing to the values that the same rewards teach, much to the choice."""
    rows = []
    for alpha in report.track(alphas, "exploration weights"):
        rewards, best = run_testbed(bound_player(alpha), bandits, steps, seed)
        rows.append([alpha, alpha * math.sqrt(2), *plots.mean_and_error(rewards.mean(axis=1)), best.mean()])
    report.table(
        f"mean reward over all {steps} steps",
        ["exploration weight α", "c of Sutton and Barto", "mean reward", "standard error", "best arm pulled"],
        rows,
    )
    # one history of pulls and rewards: what a learner with rate α makes of it, and what the sample mean makes of it
    history = np.random.default_rng((seed, 5)).normal(1.0, 1.0, size=(4000, 200))
    kept, sample = {}, np.cumsum(history, axis=1) / np.arange(1, 201)
    for rate in (0.1, 0.5):
        value = np.zeros(len(history))
        for reward in history.T:
            value += rate * (reward - value)
        kept[rate] = float(value.var())
    label = "a learning rate of 0.1 or 0.5 leaves the variance rate/(2 − rate) in a value"
    report.check(label, got=list(kept.values()), want=[0.1 / 1.9, 0.5 / 1.5], rtol=0.1, atol=0)
    label = "the mean of 200 rewards has the variance 1/200, whatever the weight α"
    report.check(label, got=sample[:, -1].var(), want=1 / 200, rtol=0.1)
    choices = [int(upper_confidence_bound([0.5, 0.4], [80, 20], 100, alpha)) for alpha in (0.0, 0.29, 0.3, 40.0)]
    label = "α moves the choice, where 0.1 of value meets 0.3393 α of bonus: at α = 0.2947"
    report.check(label, got=choices, want=[0, 0, 1, 1])
    report.correction(
        "α in the confidence bound",
        course="α in μ + α √(2 ln t / m) is a learning rate.",
        correct="It weighs exploration, and may exceed 1. The learning rate is 1/m, whatever α is.",
        shown_by=f"values are the means of the rewards (variance 1/m; a rate of 0.5 would keep {kept[0.5]:.2f}), and "
        f"values ½ and 0.4 after 80 and 20 pulls give the first arm at α = 0.29 and the second at α = 0.3 and 40",
    )


def _regret(report, steps, seeds, seed):
    """UCB1 and ε-greedy on one Bernoulli bandit. Returns times and regrets by name, each (players, times)."""
    means = np.array(ARMS)
    gaps = means.max() - means
    times = np.unique(np.geomspace(10, steps, 60).astype(int))
    players = {"UCB1": bound_player(1.0), "ε-greedy 0.1": greedy_player(0.1)}
    tracked = report.track(players.items(), "players")
    regrets = {name: regrets_of(player, means, times, seeds, seed) for name, player in tracked}
    bound = regret_bound(gaps, times)
    mean, error = plots.mean_and_error(regrets["UCB1"])
    report.at_most(f"UCB1's mean regret over Auer's bound, at every time up to {steps}", np.max(mean / bound), 1.0)
    report.at_most("and that of every single player", np.max(regrets["UCB1"] / bound), 1.0)
    half = np.searchsorted(times, steps // 10)
    late = regrets["ε-greedy 0.1"][:, -1] - regrets["ε-greedy 0.1"][:, half]
    pulls = times[-1] - times[half]
    expected = 0.1 * gaps.mean()  # exploring alone costs ε times the mean gap a step
    deviation = math.sqrt(pulls * (0.1 * np.mean(gaps**2) - expected**2) / seeds)
    label = "ε-greedy's late regret over what exploring alone costs"
    report.at_least(label, late.mean() / (expected * pulls), 1 - 4 * deviation / (expected * pulls))
    ratio = mean[-1] / regrets["ε-greedy 0.1"][:, -1].mean()
    report.at_most("UCB1's regret at the end over ε-greedy's", ratio, 1.0, trained=True)
    lower = lowest_slope(means)
    shown = np.unique([np.searchsorted(times, each) for each in (100, 1000, 10_000, steps) if each <= steps])
    last = regrets["ε-greedy 0.1"].mean(axis=0)
    report.table(
        f"regret on the fixed bandit, {seeds} players",
        ["pulls", "UCB1", "standard error", "Auer's bound", "Lai and Robbins, in the limit", "ε-greedy 0.1"],
        [[int(times[i]), mean[i], error[i], bound[i], lower * math.log(times[i]), last[i]] for i in shown],
    )
    report.note(
        "Regret is counted as Σ Δ m, the means lost by pulls, without the luck of the rewards. For more than ten "
        "thousand pulls ε-greedy loses less than UCB1, which tries all arms: a bound for ever is no short plan."
    )
    return times, regrets, bound


def _figure(times, runs, bound):
    figure = plots.curves(times, runs, xlabel="pulls", ylabel="regret", xscale="log", yscale="log",
                          title="One bandit for long: a logarithm beats a line")  # fmt: skip
    ax = figure.axes[0]
    ax.plot(times, bound, ":", color="black", label="Auer's bound for UCB1")
    ax.set_ylim(2, 1e5)
    ax.legend(loc="upper left")
    return figure

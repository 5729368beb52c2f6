"""Whoever explores too little pays every day, whoever explores for ever pays too; confidence bounds know when to stop.

A bandit has arms with unknown mean rewards, and each pull is either used to learn or to earn. What the reader should
see: on the ten-armed testbed a greedy player gets stuck, an ε-greedy one keeps paying for its ε, and upper confidence
bounds end above both; their regret stays below a bound that grows like a logarithm, while ε-greedy's grows like a line;
and the formula for the bound needs every arm tried once, because it divides by the number of pulls.

Notes: chapter 12, "Multi-armed bandits" (多臂老虎机: 探索与利用).
Source: Sutton and Barto 2018, sections 2.2 to 2.7 and figures 2.2 and 2.4; Auer, Cesa-Bianchi, Fischer 2002,
"Finite-time analysis of the multiarmed bandit problem", Machine Learning 47, theorem 1;
Lai and Robbins 1985 (lower bound).
"""

import math

import numpy as np

from kerasnotes import plots

SMOKE = {"bandits": 60, "steps": 120, "regret_steps": 2000, "regret_seeds": 3}
SECONDS = 12

ARMS = (0.9, 0.8, 0.8, 0.7, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)  # success probabilities of the fixed bandit


class Bandit:
    """A machine with several arms; each pull of an arm pays a random reward.

    Args:
        means: Mean rewards (arms,), or (bandits, arms) for as many bandits side by side.
        seed: Seed of the rewards.
        kind: `"normal"` for rewards with standard deviation 1, or `"bernoulli"` for rewards of 1 with the mean as
            probability, else 0.

    Raises:
        ValueError: If `means` is not one of these shapes and finite, a Bernoulli mean lies outside [0, 1], or `kind` is
            unknown.
    """

    def __init__(self, means, seed, kind="normal"):
        self.means = np.array(means, dtype=np.float64)
        if self.means.ndim not in (1, 2) or self.means.size == 0 or not np.isfinite(self.means).all():
            raise ValueError(f"means: expected finite numbers (arms,) or (bandits, arms), got {means!r}")
        if kind not in ("normal", "bernoulli"):
            raise ValueError(f"kind: expected 'normal' or 'bernoulli', got {kind!r}")
        if kind == "bernoulli" and not np.all((self.means >= 0) & (self.means <= 1)):
            raise ValueError(f"means: expected probabilities in [0, 1], got {means!r}")
        self.kind, self.rng = kind, np.random.default_rng(seed)

    def pull(self, arm):
        """Rewards of an arm, or of one arm (bandits,) of each bandit: a float, or an array (bandits,).

        Raises:
            ValueError: If there is no such arm, or not one for each bandit.
        """
        arm, shape = np.asarray(arm), self.means.shape
        if arm.shape != shape[:-1] or arm.dtype.kind not in "iu" or np.any((arm < 0) | (arm >= shape[-1])):
            raise ValueError(
                f"arm: expected whole numbers from 0 to {shape[-1] - 1} of shape {shape[:-1]}, got {arm!r}"
            )
        mean = np.take_along_axis(self.means, arm[..., None], axis=-1)[..., 0]
        if self.kind == "normal":
            reward = mean + self.rng.standard_normal(arm.shape)
        else:
            reward = (self.rng.random(arm.shape) < mean).astype(np.float64)
        return reward if arm.ndim else float(reward)


def epsilon_greedy(values, counts, epsilon, rng):
    """The arm with the highest estimate, or with probability ε any arm.

    Args:
        values: Estimated mean rewards (..., arms).
        counts: Pulls so far (..., arms). The choice does not depend on them; the shape has to fit.
        epsilon: Probability of a random arm, which may be the best one.
        rng: A `numpy.random.Generator`; it also decides between equal estimates.

    Returns:
        Arm, or arms (...), as integers.

    Raises:
        ValueError: If shapes do not fit, a value is NaN, a count is negative, or `epsilon` lies outside [0, 1].

    Source: Sutton and Barto 2018, section 2.2.
    """
    values, _ = _checked_estimates(values, counts)
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon: expected a probability in [0, 1], got {epsilon!r}")
    best = values == values.max(axis=-1, keepdims=True)
    greedy = np.argmax(best * (1.0 - rng.random(values.shape)), axis=-1)
    explores = rng.random(greedy.shape) < epsilon
    return np.where(explores, rng.integers(values.shape[-1], size=greedy.shape), greedy)[()]


def upper_confidence_bound(values, counts, step, alpha):
    """The arm with the highest estimate plus α √(2 ln t / m), where m counts its pulls and t all of them.

    An arm that was never pulled comes first, as the formula would divide by zero. α weighs exploration: α = 1 is UCB1,
    and Sutton and Barto's c is α √2. It plays no part in how the values are learnt.

    Args:
        values: Mean rewards so far (..., arms).
        counts: Pulls so far (..., arms).
        step: The number t of the present step, from 1 on.
        alpha: Weight of the bonus, not negative.

    Returns:
        Arm, or arms (...), as integers; of equal ones the first.

    Raises:
        ValueError: If shapes do not fit, a value is NaN, a count or `alpha` is negative, or `step` is below 1.

    Source: Auer et al. 2002, figure 1 (UCB1); Sutton and Barto 2018, equation 2.10.
    """
    values, counts = _checked_estimates(values, counts)
    if not step >= 1:
        raise ValueError(f"step: expected a number from 1 on, got {step!r}")
    if not 0 <= alpha < math.inf:
        raise ValueError(f"alpha: expected a weight from 0 on, got {alpha!r}")
    bonus = alpha * np.sqrt(2 * math.log(step) / np.maximum(counts, 1))
    return np.argmax(np.where(counts > 0, values + bonus, np.inf), axis=-1)


def run_testbed(policy, bandits=2000, steps=1000, seed=0, arms=10):
    """Play many bandits side by side, whose means come from N(0, 1) and whose rewards from N(mean, 1).

    Values are the means of the rewards so far: each pull moves its arm's value by (reward − value) / count.

    Args:
        policy: Callable `policy(values, counts, step, rng) -> arm`: values and counts (bandits, arms), steps from 1 on,
            `rng` a `numpy.random.Generator`; it returns arms (bandits,).
        bandits: Number of bandits.
        steps: Pulls of each.
        seed: Seed of the means, the rewards and `rng`; the same seed gives every policy the same bandits.
        arms: Arms of each bandit.

    Returns:
        `(rewards, best)`: arrays (bandits, steps), the rewards and whether the best arm was pulled.

    Raises:
        ValueError: If a size is not a whole number from 1 on.

    Source: Sutton and Barto 2018, section 2.3.
    """
    for name, size in (("bandits", bandits), ("steps", steps), ("arms", arms)):
        if not (isinstance(size, (int, np.integer)) and size >= 1):
            raise ValueError(f"{name}: expected a whole number from 1 on, got {size!r}")
    means = np.random.default_rng((seed, 0)).standard_normal((bandits, arms))
    machine, rng, rows = Bandit(means, (seed, 1)), np.random.default_rng((seed, 2)), np.arange(bandits)
    values, counts = np.zeros((bandits, arms)), np.zeros((bandits, arms), dtype=np.int64)
    rewards, best = np.empty((bandits, steps)), np.empty((bandits, steps), dtype=bool)
    for step in range(steps):
        arm = policy(values, counts, step + 1, rng)
        rewards[:, step] = reward = machine.pull(arm)
        best[:, step] = arm == means.argmax(axis=1)
        counts[rows, arm] += 1
        values[rows, arm] += (reward - values[rows, arm]) / counts[rows, arm]
    return rewards, best


def regret_bound(gaps, steps):
    """Auer's bound on UCB1's expected regret after n pulls: 8 Σ (ln n / Δ) + (1 + π²/3) Σ Δ, over arms with Δ > 0.

    Args:
        gaps: How far each arm's mean lies below the best one's, (arms,); rewards lie in [0, 1].
        steps: Numbers of pulls n (...), from 1 on.

    Returns:
        Array (...).

    Raises:
        ValueError: If a gap lies outside [0, 1], or a number of pulls is below 1.

    Source: Auer et al. 2002, theorem 1.
    """
    gaps, steps = np.asarray(gaps, dtype=np.float64), np.asarray(steps, dtype=np.float64)
    if gaps.ndim != 1 or gaps.size == 0 or not np.all((gaps >= 0) & (gaps <= 1)):
        raise ValueError(f"gaps: expected numbers in [0, 1] of shape (arms,), got {gaps!r}")
    if not np.all(steps >= 1):
        raise ValueError(f"steps: expected numbers from 1 on, got {steps!r}")
    gaps = gaps[gaps > 0]
    return 8 * np.log(steps) * np.sum(1 / gaps) + (1 + math.pi**2 / 3) * np.sum(gaps)


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
    """Play the ten-armed testbed, then one bandit for long, and hold the regret against its bound.

    Args:
        report: The report to write to.
        bandits: Bandits of the testbed (10 to 100000).
        steps: Pulls of each of them (110 to 100000).
        regret_steps: Pulls of the fixed bandit (1000 to 10000000).
        regret_seeds: Independent players of the fixed bandit (2 to 1000).
        alphas: Exploration weights to compare (0 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _first_pulls(report, seed)
    root = math.sqrt(2)  # c = 2
    players = {"greedy": _player(0.0), "ε-greedy 0.01": _player(0.01), "ε-greedy 0.1": _player(0.1)}
    players["confidence bound, c = 2"] = _bound_player(root)
    rewards, best = {}, {}
    for name, player in report.track(players.items(), "testbed"):
        rewards[name], best[name] = run_testbed(player, bandits, steps, seed)
    last = {name: each[:, -100:].mean(axis=1) for name, each in rewards.items()}  # (bandits,)
    report.table(
        f"ten arms, {bandits} bandits: the last 100 of {steps} steps",
        ["player", "mean reward", "standard error", "best arm pulled"],
        [[name, *plots.mean_and_error(last[name]), best[name][:, -100:].mean()] for name in players],
    )
    greedy, _, tenth, bound = last.values()
    for name, ahead in (
        ("the confidence bound above ε-greedy", bound - tenth),
        ("ε-greedy above greedy", tenth - greedy),
    ):
        mean, error = plots.mean_and_error(ahead)
        report.at_least(f"{name}, in standard errors over the same bandits", mean / error, 4.0, trained=True)
    for name, ends, read in (("the confidence bound", bound, 1.49), ("ε-greedy 0.1", tenth, 1.37)):
        label = f"{name} ends near the curve of Sutton and Barto's figure 2.4"
        report.check(label, ends.mean(), read, rtol=0, atol=0.05, trained=True)
    _weights(report, bandits, steps, alphas, seed)
    regrets = _regret(report, regret_steps, regret_seeds, seed)
    report.figure(
        "Exploring by confidence",
        _figure(rewards, regrets),
        alt="Left: mean reward over 1000 steps; greedy levels off near 1, ε-greedy 0.1 near 1.4, the bound near 1.5. "
        "Right: regret over pulls on logarithmic axes; ε-greedy's rises in proportion to the pulls, UCB1's bends "
        "and stays below the bound.",
    )


def _player(epsilon):
    return lambda values, counts, step, rng: epsilon_greedy(values, counts, epsilon, rng)


def _bound_player(alpha):
    return lambda values, counts, step, rng: upper_confidence_bound(values, counts, step, alpha)


def _first_pulls(report, seed):
    got = upper_confidence_bound([0.5, 0.4], [8, 2], 10, 1.0)
    bonuses = np.sqrt(2 * np.log(10) / np.array([8, 2]))
    report.check("values ½ and 0.4 after 8 and 2 pulls: the bonuses 0.76 and 1.52 decide for the second arm",
                 got=[bonuses, got], want=[[0.758713, 1.517427], 1])  # fmt: skip
    report.check("without a bonus the first arm wins", got=upper_confidence_bound([0.5, 0.4], [8, 2], 10, 0.0), want=0)

    machine, values, counts, order = Bandit(ARMS, seed, "bernoulli"), np.zeros(10), np.zeros(10, dtype=int), []
    for step in range(1, 11):
        order.append(int(upper_confidence_bound(values, counts, step, 1.0)))
        counts[order[-1]] += 1
        values[order[-1]] = machine.pull(order[-1])
    report.check("every arm is tried once first", got=sorted(order), want=list(range(10)))
    with np.errstate(divide="ignore", invalid="ignore"):
        literal = np.sqrt(2 * np.log([1, 2]) / 0.0)  # first and second step, an arm that was never pulled
    report.check("the formula with m = 0: 0/0 at the first step, infinite at the second",
                 got=[bool(np.isnan(literal[0])), bool(np.isposinf(literal[1]))], want=[True, True])  # fmt: skip
    report.correction(
        "counts of the confidence bound",
        course="The counts of all arms start at 0, and the arm with the largest μ + α √(2 ln t / m) is pulled.",
        correct="Every arm is pulled once first; from then on the formula decides.",
        shown_by="the literal formula gives 0/0 for every arm at t = 1, and infinity for arms not yet pulled later",
    )


def _weights(report, bandits, steps, alphas, seed):
    """What α does: nothing to the values that the same rewards teach, much to the choice."""
    rows, tested = [], {}
    for alpha in report.track(alphas, "exploration weights"):
        rewards, best = run_testbed(_bound_player(alpha), bandits, steps, seed)
        tested[alpha] = rewards.mean(axis=1)
        rows.append([alpha, alpha * math.sqrt(2), *plots.mean_and_error(tested[alpha]), best.mean()])
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
    report.check(
        "a learning rate of 0.1 or 0.5 leaves the variance rate/(2 − rate) in a value", list(kept.values()),
        [0.1 / 1.9, 0.5 / 1.5], rtol=0.1, atol=0,
    )  # fmt: skip
    report.check(
        "the mean of 200 rewards has the variance 1/200, whatever the weight α", sample[:, -1].var(), 1 / 200, rtol=0.1
    )
    choices = [int(upper_confidence_bound([0.5, 0.4], [80, 20], 100, alpha)) for alpha in (0.0, 0.29, 0.3, 40.0)]
    report.check(
        "α moves the choice, where 0.1 of value meets 0.3393 α of bonus: at α = 0.2947",
        got=choices,
        want=[0, 0, 1, 1],
    )
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
    regrets = {}
    for name, policy in (("UCB1", _bound_player(1.0)), ("ε-greedy 0.1", _player(0.1))):
        machine = Bandit(np.tile(means, (seeds, 1)), (seed, 3), "bernoulli")
        rng, rows = np.random.default_rng((seed, 4)), np.arange(seeds)
        values, counts = np.zeros((seeds, len(means))), np.zeros((seeds, len(means)))
        at = iter([*times, 0])
        next_time, kept = next(at), []
        for step in report.track(range(1, steps + 1), name):
            arm = policy(values, counts, step, rng)
            reward = machine.pull(arm)
            counts[rows, arm] += 1
            values[rows, arm] += (reward - values[rows, arm]) / counts[rows, arm]
            if step == next_time:
                kept.append(counts @ gaps)  # Σ Δ m: what the pulls cost against the best arm
                next_time = next(at)
        regrets[name] = np.array(kept).T  # (players, times)
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
    wrong = means[means < means.max()]
    divergence = wrong * np.log(wrong / 0.9) + (1 - wrong) * np.log((1 - wrong) / 0.1)
    lower = np.sum((0.9 - wrong) / divergence)
    shown = np.unique([np.searchsorted(times, each) for each in (100, 1000, 10_000, steps) if each <= steps])
    report.table(
        f"regret on the fixed bandit, {seeds} players",
        ["pulls", "UCB1", "standard error", "Auer's bound", "Lai and Robbins, in the limit", "ε-greedy 0.1"],
        [
            [
                int(times[i]),
                mean[i],
                error[i],
                bound[i],
                lower * math.log(times[i]),
                regrets["ε-greedy 0.1"][:, i].mean(),
            ]
            for i in shown
        ],
    )
    report.note(
        "Regret is counted as Σ Δ m, the means lost by pulls, without the luck of the rewards. Before some thousand "
        "pulls ε-greedy loses less than UCB1, which tries all arms: a bound for ever is not the best for a short game."
    )
    return times, regrets, bound


def _figure(rewards, regrets):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.5))
    steps = next(iter(rewards.values())).shape[1]
    window = max(1, steps // 100)
    rewards = dict(reversed(rewards.items()))
    cut = steps // window * window
    smooth = {name: each[:, :cut].reshape(len(each), -1, window).mean(axis=2) for name, each in rewards.items()}
    middle = np.arange(window / 2, cut, window)
    plots.curves(
        middle, smooth, xlabel="step", ylabel="mean reward", title="Ten arms: confidence\nbounds end highest", ax=left
    )
    left.legend(loc="lower right", ncols=2, fontsize=9)
    left.set_ylim(0, 1.6)
    times, runs, bound = regrets
    plots.curves(times, runs, xlabel="pulls", ylabel="regret", xscale="log", yscale="log", ax=right)
    right.plot(times, bound, ":", color="black", label="Auer's bound for UCB1")
    right.set_ylim(2, 1e5)
    right.set_title("One bandit for long:\na logarithm beats a line")
    right.legend(loc="upper left")
    return figure


def _checked_estimates(values, counts):
    values, counts = np.asarray(values, dtype=np.float64), np.asarray(counts)
    if values.ndim == 0 or values.size == 0 or np.isnan(values).any():
        raise ValueError(f"values: expected numbers (..., arms), got {values!r}")
    if counts.shape != values.shape or not np.all(counts >= 0):
        raise ValueError(f"counts: expected numbers from 0 on of shape {values.shape}, got {counts!r}")
    return values, counts

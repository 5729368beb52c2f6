"""Whoever explores too little pays every day, who does so for ever pays too; confidence bounds explore ever less.

A bandit has arms with unknown mean rewards, and each pull is either used to learn or to earn. What the reader should
see: on the ten-armed testbed a greedy player gets stuck, an ε-greedy one keeps paying for its ε, and upper confidence
bounds end above both; and the formula for the bound needs every arm tried once, because it divides by the number of
pulls.

Notes: chapter 12, "Multi-armed bandits" (多臂老虎机: 探索与利用).
Source: Sutton and Barto 2018, ISBN 978-0-262-03924-6, sections 2.2 to 2.7 and figures 2.2 and 2.4; Auer, Cesa-Bianchi,
Fischer 2002, doi:10.1023/A:1013689704352 (UCB1).
"""

import math

import numpy as np

from kerasnotes import plots
from kerasnotes.parts import share, whole

SMOKE = {"bandits": 60, "steps": 120}
SECONDS = 3

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
    share("epsilon", epsilon)
    best = values == values.max(axis=-1, keepdims=True)
    greedy = np.argmax(best * (1.0 - rng.random(values.shape)), axis=-1)
    explores = rng.random(greedy.shape) < epsilon
    return np.where(explores, rng.integers(values.shape[-1], size=greedy.shape), greedy)[()]


def upper_confidence_bound(values, counts, step, alpha):
    """The arm with the highest estimate plus α √(2 ln t / m), where m counts its pulls and t is the present step.

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

    Source: Auer et al. 2002 (UCB1); Sutton and Barto 2018, equation 2.10.
    """
    values, counts = _checked_estimates(values, counts)
    if not step >= 1:
        raise ValueError(f"step: expected a number from 1 on, got {step!r}")
    if not 0 <= alpha < math.inf:
        raise ValueError(f"alpha: expected a weight from 0 on, got {alpha!r}")
    bonus = alpha * np.sqrt(2 * math.log(step) / np.maximum(counts, 1))
    return np.argmax(np.where(counts > 0, values + bonus, np.inf), axis=-1)


def _checked_estimates(values, counts):
    values, counts = np.asarray(values, dtype=np.float64), np.asarray(counts)
    if values.ndim == 0 or values.size == 0 or np.isnan(values).any():
        raise ValueError(f"values: expected numbers (..., arms), got {values!r}")
    if counts.shape != values.shape or not np.all(counts >= 0):
        raise ValueError(f"counts: expected numbers from 0 on of shape {values.shape}, got {counts!r}")
    return values, counts


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
    whole("bandits", bandits)
    whole("steps", steps)
    whole("arms", arms)
    means = np.random.default_rng((seed, 0)).standard_normal((bandits, arms))
    machine, rng, rows = Bandit(means, (seed, 1)), np.random.default_rng((seed, 2)), np.arange(bandits)
    values, counts = np.zeros((bandits, arms)), np.zeros((bandits, arms), dtype=np.int64)
    rewards, best = np.empty((bandits, steps)), np.empty((bandits, steps), dtype=bool)
    for step in range(steps):
        # act: one arm of each bandit
        arm = policy(values, counts, step + 1, rng)
        rewards[:, step] = reward = machine.pull(arm)
        best[:, step] = arm == means.argmax(axis=1)
        # learn: the mean of the arm's rewards so far
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


def example():
    """One choice by hand, and four hundred pulls of two hundred machines by two players."""
    for alpha in (0.0, 1.0):
        bonus = alpha * np.sqrt(2 * np.log(10) / np.array([8, 2]))
        print("values 0.5 and 0.4, bonuses", bonus, "-> arm", upper_confidence_bound([0.5, 0.4], [8, 2], 10, alpha))

    players = {
        "ε = 0.1:         ": lambda values, counts, step, rng: epsilon_greedy(values, counts, 0.1, rng),
        "confidence bound:": lambda values, counts, step, rng: upper_confidence_bound(values, counts, step, 0.5),
    }
    for name, player in players.items():
        rewards, best = run_testbed(player, bandits=200, steps=400, seed=0)
        print(name, f"{rewards[:, -100:].mean():.2f} a pull, the best arm in {best[:, -100:].mean():.0%}")


def lesson(report, *, bandits: int = 2000, steps: int = 1000, seed: int = 0):
    """Play the ten-armed testbed, greedily, ε-greedily and by confidence bounds.

    Args:
        report: The report to write to.
        bandits: Bandits of the testbed (10 to 100000).
        steps: Pulls of each of them (110 to 100000).
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
    report.figure(
        "Three ways to explore",
        _figure(rewards),
        alt="Mean reward over 1000 steps: greedy levels off near 1, ε-greedy 0.1 near 1.4, the bound near 1.5.",
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


def _figure(rewards):
    smooth = {name: plots.window_means(each, 100)[:2] for name, each in reversed(rewards.items())}
    middles = next(iter(smooth.values()))[0]
    figure = plots.curves(middles, {name: means for name, (_, means) in smooth.items()}, xlabel="step",
                          ylabel="mean reward", title="Ten arms: confidence\nbounds end highest")  # fmt: skip
    figure.axes[0].legend(loc="lower right", ncols=2, fontsize=9)
    figure.axes[0].set_ylim(0, 1.6)
    return figure

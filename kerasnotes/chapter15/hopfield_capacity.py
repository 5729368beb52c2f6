"""A Hopfield network holds 0.138 patterns a unit, with a few wrong bits; beyond, it forgets, the larger the faster.

Random patterns disturb each other. What the reader should see: the share of bits that flip in a first step is that of a
known formula, small at every load; what follows is an avalanche. Up to a load of about 0.138 it stops after a few bits,
beyond it runs on until little of the pattern is left, the more surely the larger the network. And the limit is one of
Hebb's rule: pushing up the false valleys ("unlearning") stores twice as much.

Notes: chapter 15, "Hopfield network: capacity" (Hopfield网络: 存储容量).
Source: Amit, Gutfreund, Sompolinsky 1985, doi:10.1103/PhysRevLett.55.1530; McEliece et al. 1987,
doi:10.1109/TIT.1987.1057328; Hopfield, Feinstein, Palmer 1983, doi:10.1038/304158a0.
"""

import math

import numpy as np

from kerasnotes import plots
from kerasnotes.chapter15.hopfield import asynchronous_sweep, hebbian_weights, recall, signs, synchronous_step
from kerasnotes.chapter15.projection_rule import overlap
from kerasnotes.parts import positive, shape, whole

LOADS = (0.05, 0.138, 0.185, 0.37)
LIMIT = 0.138

SMOKE = {"sizes": (30, 60), "trials": 2, "starts": 1, "loads": (0.1, 0.12, 0.15, 0.2), "steps": 30}
SECONDS = 20


def first_step_error(n, patterns, seed, trials):
    """Share of the bits of stored random patterns that one step turns round.

    Args:
        n: Units.
        patterns: Patterns that are stored by Hebb's rule.
        seed: Seed of the patterns.
        trials: Networks, at least 2.

    Returns:
        `(share, standard_error)`, mean and its error over the networks.
    """
    shares = []
    for trial in range(whole("trials", trials, 2)):
        stored = _random_patterns(n, patterns, (seed, trial))
        shares.append(np.mean(synchronous_step(stored, hebbian_weights(stored)) != stored))
    return float(np.mean(shares)), float(np.std(shares, ddof=1) / math.sqrt(trials))


def exact_first_step_error(n, patterns):
    """The expected share: a bit flips if (n - 1)(patterns - 1) independent signs add up to less than -(n - 1).

    The other patterns' contributions to a unit's sum are that many products, each +1 or -1 like a coin. For many of
    them the share is the normal one, ½ erfc(√(n / 2 patterns)).

    Args:
        n: Units, at least 2.
        patterns: Patterns, at least 2.

    Returns:
        Float, a sum of binomial probabilities.

    Source: Hertz, Krogh, Palmer 1991, ISBN 978-0-201-51560-2, chapter 2.
    """
    coins = (whole("n", n, 2) - 1) * (whole("patterns", patterns, 2) - 1)
    heads = np.arange(-(-(coins - (n - 1)) // 2))  # 2 heads - coins < -(n - 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, coins + 1)))])
    logs = log_factorial[-1] - log_factorial[heads] - log_factorial[coins - heads] - coins * math.log(2)
    return float(np.exp(logs).sum())


def overlap_after_recall(n, patterns, seed, trials, starts=1):
    """How much of a stored random pattern is left when the network, begun at it, has come to rest.

    Args:
        n: Units.
        patterns: Patterns that are stored by Hebb's rule.
        seed: Seed of patterns and orders.
        trials: Networks.
        starts: Patterns of each network that are recalled, at most `patterns`.

    Returns:
        Overlaps (trials,), each a mean over `starts`: 1 all of it, 0 nothing.
    """
    found = []
    for trial in range(whole("trials", trials)):
        stored = _random_patterns(n, patterns, (seed, trial))
        w, begun = hebbian_weights(stored), stored[: whole("starts", starts)]
        ends = np.array([recall(state, w, seed=(seed, trial))[0] for state in begun])
        found.append(overlap(ends, begun).mean())
    return np.array(found)


def unlearning(patterns, steps, learning_rate, seed):
    """Hebb's weights, then again and again: deepen a pattern, fill the valley into which the network runs from it.

    Args:
        patterns: Array (patterns, units) of +1 and -1.
        steps: Presentations, each of a pattern drawn at random, at least 0.
        learning_rate: α in w ← w + α (x xᵀ - v vᵀ), with v where the network is after 2 sweeps from x.
        seed: Seed of the presentations and of the orders.

    Returns:
        Weights (units, units), symmetric with a diagonal of zeros.
    """
    patterns = shape("patterns", signs("patterns", patterns), None, None)
    positive("learning_rate", learning_rate)
    w, rng = hebbian_weights(patterns), np.random.default_rng(seed)
    for _ in range(whole("steps", steps, 0)):
        x = patterns[rng.integers(len(patterns))]
        v = x
        for _ in range(2):
            v = asynchronous_sweep(v, w, rng=rng)
        w += learning_rate * (np.outer(x, x) - np.outer(v, v))  # nothing changes where the pattern rests, v = x
    return w


def stable_share(patterns, w):
    """Share of patterns (patterns, units) that rest under weights (units, units)."""
    return float(np.mean((synchronous_step(patterns, w) == patterns).all(axis=1)))


def _random_patterns(n, patterns, seed):
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(whole("patterns", patterns), whole("n", n)))


def example():
    """A hundred units: how many bits flip at first, what is left in the end, and more patterns by unlearning."""
    for patterns in (10, 14, 20, 30):
        flipped, _ = first_step_error(100, patterns, seed=0, trials=20)
        left = overlap_after_recall(100, patterns, seed=0, trials=20).mean()
        print(f"{patterns} patterns: {flipped:.4f} of the bits flip in a first step, overlap in the end {left:.2f}")
    stored = np.random.default_rng(0).choice([-1, 1], size=(30, 100))
    for steps in (0, 200, 1000):
        w = unlearning(stored, steps, learning_rate=0.01, seed=0)
        print(f"30 patterns, {steps} presentations: {stable_share(stored, w):.2f} of them rest")


def lesson(
    report,
    *,
    sizes: tuple[int, ...] = (250, 1000, 4000),
    loads: tuple[float, ...] = (0.08, 0.1, 0.12, 0.138, 0.15, 0.17, 0.2),
    trials: int = 120,
    starts: int = 4,
    steps: int = 1000,
    seed: int = 0,
):
    """Count wrong bits after one step and in the end, for growing networks; then store more by unlearning.

    Args:
        report: The report to write to.
        sizes: Units of the networks, growing (10 to 20000).
        loads: Patterns a unit, rising; 0.1, 0.12, 0.15 and 0.2 among them (0.01 to 0.5).
        trials: Networks of the smallest size; fewer of the larger ones (1 to 10000).
        starts: Patterns of each network that are recalled (1 to 100).
        steps: Presentations in unlearning (1 to 100000).
        seed: Seed of patterns and orders (0 to 4294967295).
    """
    middle = sizes[len(sizes) // 2]
    _first_step(report, middle, seed)
    jobs, found = [(size, load) for size in sizes for load in loads], {}
    for size, load in report.track(jobs, "networks"):
        count = max(2, round(trials * (sizes[0] / size) ** 1.5))  # a large network is costly, and scatters less
        found[size, load] = overlap_after_recall(size, max(1, round(load * size)), seed, count, starts)
    left = {key: float(each.mean()) for key, each in found.items()}
    report.at_least(f"{middle} units, load 0.10: overlap in the end", left[middle, 0.1], 0.98, trained=True)
    report.at_most(f"{middle} units, load 0.20", left[middle, 0.2], 0.6, trained=True)
    growth = f"from {sizes[0]} to {sizes[-1]} units the overlap"
    report.at_most(
        f"load 0.15, {growth} falls: change", left[sizes[-1], 0.15] - left[sizes[0], 0.15], -0.05, trained=True
    )
    report.at_least(f"load 0.12, {growth} does not fall: change, but for 0.01",
                    left[sizes[-1], 0.12] - left[sizes[0], 0.12], -0.01, trained=True)  # fmt: skip
    columns = ["patterns a unit", *(f"overlap, {size} units" for size in sizes)]
    report.table(
        "What is left of a stored pattern", columns, [[load, *(left[s, load] for s in sizes)] for load in loads]
    )
    report.correction(
        "how many patterns fit",
        course="0.15 N patterns",
        correct="0.138 N for large N, with about 1.5 % wrong bits; N/(2 ln N) if most are to have none.",
        shown_by=f"load 0.15: overlap {left[sizes[0], 0.15]:.2f} with {sizes[0]} units, {left[sizes[-1], 0.15]:.2f} "
        f"with {sizes[-1]}; load 0.12: {left[sizes[0], 0.12]:.2f} and {left[sizes[-1], 0.12]:.2f}",
    )
    report.figure(
        "Beyond 0.138 patterns a unit memory breaks down",
        _figure(sizes, loads, found),
        alt="Overlap with the stored pattern against load, one curve for each size. All stay near 1 up to about 0.13; "
        "beyond the dotted line at 0.138 they fall, the largest network most steeply.",
    )
    _unlearn(report, steps, seed)


def _first_step(report, n, seed):
    rows, distances = [], []
    for load in LOADS:
        patterns = max(2, round(load * n))
        share, error = first_step_error(n, patterns, seed, 20)
        exact, normal = exact_first_step_error(n, patterns), math.erfc(math.sqrt(n / (2 * patterns))) / 2
        error = max(error, math.sqrt(exact / (20 * n * patterns)))  # where hardly a bit flips, chance is Poisson's
        distances.append(abs(share - exact) / error)
        rows.append([patterns / n, share, error, exact, normal])
    report.at_most("bits that flip in a first step: distance from the exact share, standard errors", distances, 4.0)
    many = exact_first_step_error(4000, 552)
    report.check(
        "4000 units: the exact share is ½ erfc(√(n / 2p))", many, math.erfc(math.sqrt(4000 / 1104)) / 2, rtol=0.02
    )
    report.check("which is 0.0036 at 0.138 patterns a unit", round(math.erfc(math.sqrt(1 / 0.276)) / 2, 4), 0.0036)
    columns = ["patterns a unit", "bits that flip, share", "standard error", "exact", "½ erfc(√(n/2p))"]
    report.table(f"one step from a stored pattern, {n} units, 20 networks", columns, rows)


def _unlearn(report, steps, seed):
    stored = _random_patterns(100, 30, (seed, 10**6))
    by_hebb = stable_share(stored, hebbian_weights(stored))
    share = stable_share(stored, unlearning(stored, steps, 0.01, (seed, 1)))
    report.at_most("30 patterns in 100 units: share that rests by Hebb's rule", by_hebb, 0.3)
    report.at_least(f"after {steps} presentations of unlearning", share, 1.0, trained=True)


def _figure(sizes, loads, found):
    figure, ax = plots.subplots(figsize=(7.5, 4.4))
    for number, size in enumerate(sizes):
        mean, error = np.array([plots.mean_and_error(found[size, load]) for load in loads]).T
        ax.errorbar(loads, mean, error, marker="os^D"[number % 4], linestyle=plots.LINE_STYLES[number % 4], capsize=3,
                    label=f"{size} units")  # fmt: skip
    ax.axvline(LIMIT, color="black", linestyle=":", label="0.138, Amit et al. 1985")
    ax.set(xlabel="load: stored patterns a unit", ylabel="overlap with the pattern, in the end", ylim=(0, 1.05))
    ax.set_title("Beyond 0.138 patterns a unit memory breaks down")
    ax.legend(loc="lower left")
    return figure

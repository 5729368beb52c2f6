"""Pictures that resemble each other blur into one under Hebb's rule; the projection rule keeps them apart.

Three pieces of clothing are stored, and come back from their upper half. What the reader should see: unlike pictures
do, random patterns do, but five handwritten threes all settle in one blur, which is none of them. Hebb's rule adds up
what patterns have in common as if it were said five times. The projection rule takes that out, so that every set of
linearly independent patterns rests exactly. It pays with locality: a weight then depends on all units.

Notes: chapter 15, "Hopfield network" (Hopfield网络).
Source: Personnaz, Guyon, Dreyfus 1985, doi:10.1051/jphyslet:01985004608035900; Hopfield 1982,
doi:10.1073/pnas.79.8.2554.
"""

import numpy as np

from kerasnotes import data, plots
from kerasnotes.chapter15.hopfield import hebbian_weights, recall, signs, synchronous_step
from kerasnotes.parts import shape

PIXELS = 784

SMOKE = {"runs": 1}
SECONDS = 6


def projection_weights(patterns):
    """Weights under which every stored pattern rests, however much the patterns resemble each other.

    W = X⁺X projects on the space that the patterns X span, so that W x = x. Its diagonal is not negative, which is all
    that a network needs to come to rest; it stays, because it may be all that a unit has to hold on to.

    Args:
        patterns: Array (patterns, units) of +1 and -1, linearly independent.

    Returns:
        Symmetric weights (units, units), the diagonal between 0 and 1.

    Raises:
        ValueError: If a state is neither +1 nor -1, or one pattern is a sum of multiples of others.

    Source: Personnaz, Guyon, Dreyfus 1985.
    """
    patterns = shape("patterns", signs("patterns", patterns), None, None)
    if np.linalg.matrix_rank(patterns) < len(patterns):
        raise ValueError("patterns: expected linearly independent ones, got one that others make up")
    w = np.linalg.pinv(patterns) @ patterns  # (units, units)
    return (w + w.T) / 2  # a projection is symmetric but for rounding


def overlap(states, patterns):
    """How alike states and patterns are: 1 equal, 0 no more than chance, -1 opposite in every unit.

    Args:
        states, patterns: Arrays (batch, units) of +1 and -1.

    Returns:
        Overlaps (batch,), the mean over units of the products.
    """
    states = signs("states", states)
    patterns = shape("patterns", signs("patterns", patterns), *states.shape)
    return np.mean(states * patterns, axis=-1)


def example():
    """Three patterns of which two differ in one unit of eight, stored by both rules."""
    patterns = np.array([[1, 1, 1, 1, -1, -1, -1, -1], [1, 1, 1, -1, -1, -1, -1, -1], [1, 1, -1, -1, 1, 1, -1, -1]])
    for name, rule in (("Hebb", hebbian_weights), ("projection", projection_weights)):
        rests = (synchronous_step(patterns, rule(patterns)) == patterns).all(axis=1)
        print(f"{name:10} patterns that rest: {rests}")


def lesson(report, *, runs: int = 5, seed: int = 0):
    """Store and recall clothes, random patterns and threes, by Hebb's rule and by projection.

    Args:
        report: The report to write to.
        runs: Sets of pictures and noise (1 to 100).
        seed: Seed of pictures, noise and orders (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _small_cases(report, rng)
    found = {}
    for run in report.track(range(runs), "sets of pictures"):
        cases = _cases(rng)
        ends = {}
        for name, (patterns, begun) in cases.items():
            for rule in (hebbian_weights, projection_weights):
                w = rule(patterns)
                ends[name, rule] = np.array([recall(state, w, seed=run)[0] for state in begun])
                found.setdefault((name, rule), []).append(overlap(ends[name, rule], patterns))
        if run == 0:
            report.figure(
                "A picture comes back from half of itself",
                _figure(cases, ends),
                alt="Trousers, a bag and a boot are stored and come back from their upper half. Five threes that were "
                "stored settle in one and the same blur by Hebb's rule, and stay apart by the projection rule.",
            )
    _judge(report, {key: np.array(each) for key, each in found.items()})


def _small_cases(report, rng):
    orthogonal = np.array([[1, 1, 1, 1], [1, -1, 1, -1]])
    ours, hebb = projection_weights(orthogonal), hebbian_weights(orthogonal)
    report.check("orthogonal patterns: the projection rule is Hebb's with its diagonal", ours, hebb + 0.5 * np.eye(4))
    rests = []
    for _ in range(100):
        base = rng.choice([-1.0, 1.0], size=40)
        p = np.where(rng.random((8, 40)) < 0.15, -base, base)  # eight children of one parent
        rests.append(
            [(synchronous_step(p, rule(p)) == p).all(axis=1).mean() for rule in (hebbian_weights, projection_weights)]
        )
    by_hebb, by_projection = np.mean(rests, axis=0)
    report.check("8 patterns of 40 units that resemble each other, 100 times: share that rests by projection",
                 by_projection, 1.0)  # fmt: skip
    report.at_most("by Hebb's rule", by_hebb, 0.2)


def _cases(rng):
    """`{name: (patterns, states to begin at)}`."""
    (clothes, kinds), _ = data.fashion_mnist()
    (digits, labels), _ = data.mnist()
    stored = _signs_of(clothes, kinds, (1, 8, 9), rng)  # trousers, a bag, a boot: as unlike as clothes are
    threes, strange = _signs_of(digits, labels, (3,) * 5, rng), rng.choice([-1.0, 1.0], size=(5, PIXELS))
    turned = np.where(rng.random(stored.shape) < 0.2, -stored, stored)
    return {
        "clothes, a fifth of the pixels turned round": (stored, turned),
        "clothes, the lower half noise": (stored, _half(stored, rng)),
        "random patterns, the second half noise": (strange, _half(strange, rng)),
        "five threes, begun at themselves": (threes, threes),
    }


def _signs_of(pictures, labels, classes, rng):
    """One picture of each class, not twice the same, as signs (pictures, 784): above its own median or not."""
    drawn = [rng.choice(np.flatnonzero(labels == c), classes.count(c), replace=False) for c in dict.fromkeys(classes)]
    flat = pictures[np.concatenate(drawn)].reshape(len(classes), -1).astype(float)
    return np.where(flat > np.median(flat, axis=1, keepdims=True), 1.0, -1.0)


def _half(patterns, rng):
    spoilt = patterns.copy()
    spoilt[:, PIXELS // 2 :] = rng.choice([-1.0, 1.0], size=(len(patterns), PIXELS // 2))
    return spoilt


def _judge(report, found):
    rows = []
    for (name, rule), overlaps in found.items():
        rows.append([name, "Hebb" if rule is hebbian_weights else "projection", overlaps.mean(), overlaps.min()])
        if "threes" not in name:
            continue
        if rule is hebbian_weights:
            report.at_most(f"Hebb, {name}: overlap, the best", overlaps.max(), 0.99, trained=True)
        else:
            report.check(f"projection, {name}: overlap, the worst", overlaps.min(), 1.0)
    for name in [name for name, rule in found if rule is hebbian_weights and "threes" not in name]:
        mean = found[name, hebbian_weights].mean()  # now and then one picture of fifty settles elsewhere
        report.at_least(f"Hebb, {name}: overlap, mean", mean, 0.9, trained=True)
    columns = ["begun at", "rule", "overlap, mean", "overlap, worst"]
    report.table("Overlap of what settles with what was stored", columns, rows)


def _figure(cases, ends):
    stored, half = cases["clothes, the lower half noise"]
    recalled = ends["clothes, the lower half noise", hebbian_weights]
    threes = cases["five threes, begun at themselves"][0]
    by = [ends["five threes, begun at themselves", rule] for rule in (hebbian_weights, projection_weights)]
    figure, axes = plots.subplots(1, 2, figsize=(10, 4.4), width_ratios=(3, 5))
    left = np.reshape([stored, half, recalled], (3, 3, 28, 28))
    plots.tiles(left, axes[0], labels=("stored", "begun at", "recalled"))
    right = np.reshape([threes, *by], (3, 5, 28, 28))
    plots.tiles(right, axes[1], labels=("stored", "Hebb", "projection"))
    axes[0].set_title("Unlike pictures come back")
    axes[1].set_title("Pictures that resemble each other")
    return figure

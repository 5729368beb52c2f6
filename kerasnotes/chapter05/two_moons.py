"""Labels walk along the data from the few that are given, if only those are believed that are sure enough.

Two half moons, and on each a single label near its end. What the reader should see: at a threshold of 0.5 every point
gets the label of the nearer label at once, and the moons are cut in two. At a higher threshold only the neighbours of a
labelled point are believed, then theirs, and labels walk along each moon to its other end. Higher still, nobody is sure
enough and nothing is learnt. So a threshold has to be tried, here all of them; that near points share a class and a gap
divides the classes is what self-training assumes.

Notes: chapter 05, "Self-training" (自训练).
Source: https://scikit-learn.org/stable/modules/generated/sklearn.semi_supervised.SelfTrainingClassifier.html;
Chapelle et al. 2006, ISBN 978-0-262-03358-9 (the assumptions).
"""

import numpy as np

from kerasnotes import plots
from kerasnotes.chapter05.semi_supervised import self_training
from kerasnotes.parts import positive

SMOKE = {"points": 40, "draws": 2}
SECONDS = 8


def kernel_votes(x, y, width=0.12, prior=0.1):
    """A classifier without training: every example votes for its class, the nearer the louder. A `fit` for two classes.

    Args:
        x: Examples (n, inputs).
        y: Labels (n,), 0 or 1.
        width: Standard deviation of the bell of loudness around an example.
        prior: What both classes have without any vote, as a part of the loudest vote; so that one is unsure far away.

    Returns: `predict`, from points (m, inputs) to probabilities (m, 2).
    Raises: ValueError: If labels are neither 0 nor 1, or `width` or `prior` is no positive number.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y)
    if y.shape != (len(x),) or not np.isin(y, (0, 1)).all():
        raise ValueError(f"y: expected 0 or 1 for each of {len(x)} examples, got {y}")
    positive("width", width), positive("prior", prior)

    def predict(points):
        squares = np.sum((np.asarray(points)[:, None] - x) ** 2, axis=-1)  # (points, examples)
        votes = np.exp(-squares / (2 * width**2)) @ np.eye(2)[y] + prior  # (points, 2)
        return votes / votes.sum(axis=1, keepdims=True)

    return predict


def two_moons(angles, classes):
    """Points of two half circles of radius 1 that reach into each other.

    Args:
        angles: Array (n,), in radians, from 0 to π along a moon, from its right end (moon 0) or its left end (moon 1).
        classes: The moon, 0 (the upper one) or 1, of each point, (n,).

    Returns: Points (n, 2).
    Raises: ValueError: If there is not one class, 0 or 1, for each angle.
    """
    angles, classes = np.asarray(angles, np.float64), np.asarray(classes)
    if angles.ndim != 1 or classes.shape != angles.shape or not np.isin(classes, (0, 1)).all():
        raise ValueError(f"classes: expected 0 or 1 for each of the angles {angles.shape}, got shape {classes.shape}")
    upper = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.where(classes[:, None] == 0, upper, [1, 0.5] - upper)


def example():
    """Seven points on a line between two labels; round by round the labels walk inwards."""
    x, y = np.array([[0.0], [9.0]]), np.array([0, 1])
    unlabelled = np.array([[1.0], [2.0], [3.0], [5.0], [6.0], [7.0], [8.0]])

    def fit(x, y):
        return kernel_votes(x, y, width=1.0, prior=0.1)

    print("from the labels alone:", fit(x, y)(unlabelled)[:, 1].round(2))
    for threshold in (0.5, 0.7, 0.95):
        _, history = self_training(fit, x, y, unlabelled, threshold, rounds=9, keep=True)
        print(f"threshold {threshold}:", *(labels.tolist() for labels in history))


def lesson(report, *, points: int = 400, draws: int = 10, seed: int = 0):
    """Try every threshold on two moons.

    Args:
        report: The report to write to.
        points: Points in the two moons (20 to 2000).
        draws: Draws of the points (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _moons(report, points, draws, seed)


def _moons(report, points, draws, seed):
    """One label on each moon, near its end; every threshold from 0.5 to 1 in steps of 0.01."""
    x, y = two_moons([0.3, 0.3], [0, 1]), np.array([0, 1])
    thresholds = np.linspace(0.5, 1, 51)
    accuracy, kept = np.zeros((draws, len(thresholds))), {}
    for draw in report.track(range(draws), "two moons"):
        rng = np.random.default_rng((seed, draw))
        right = rng.integers(0, 2, points)
        free = two_moons(np.pi * rng.random(points), right) + 0.08 * rng.normal(size=(points, 2))
        for number, threshold in enumerate(thresholds):
            predict, history = self_training(kernel_votes, x, y, free, threshold, rounds=100, keep=True)
            accuracy[draw, number] = np.mean(predict(free).argmax(axis=1) == right)
            kept[draw, number] = history
        if draw == 0:
            shown = free
    best = accuracy.mean(axis=0).argmax()
    report.check("two moons, threshold 1: nothing is chosen", sum(len(kept[draw, 50]) for draw in range(draws)), 0)
    gain = (accuracy[:, 0] - accuracy[:, -1]).mean()
    report.at_most("two moons, threshold 0.5, which believes everything: gain", gain, 0.05, trained=True)
    report.at_least("two moons, best threshold: accuracy, mean", accuracy[:, best].mean(), 0.95, trained=True)
    rows = [[float(thresholds[i]), *plots.mean_and_error(accuracy[:, i]),
             float(np.mean([len(kept[draw, i]) for draw in range(draws)]))] for i in range(0, 51, 5)]  # fmt: skip
    report.table(f"two moons, one label each, {draws} draws", ["threshold", "accuracy in the end", "standard error",
                 "rounds until nothing is added"], rows)  # fmt: skip
    _moon_figure(report, x, shown, kept[0, best], thresholds, accuracy, best)


def _moon_figure(report, x, points, history, thresholds, accuracy, best):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.2))
    rounds = 1 + np.argmax(history >= 0, axis=0) if len(history) else np.zeros(len(points))
    final = history[-1] if len(history) else np.full(len(points), -1)
    for label, marker in ((0, "o"), (1, "s"), (-1, "x")):
        of = final == label
        drawn = left.scatter(*points[of].T, c=rounds[of], marker=marker, s=22, vmin=1, vmax=max(2, len(history)))
    figure.colorbar(drawn, ax=left, label="round in which the label was given")
    left.plot(*x.T, "*", color="C1", markersize=18, markeredgecolor="k", label="the two labels")
    left.set(xlabel="first input", ylabel="second input", title=f"Threshold {thresholds[best]:.2f}: labels walk along")
    left.legend(loc="upper right")
    plots.curves(thresholds, {"self-training": accuracy}, xlabel="threshold", ylabel="accuracy in the end",
                 title="Every threshold, all rounds", ax=right)  # fmt: skip
    right.axhline(accuracy[:, -1].mean(), color="C1", linestyle="--", label="from the two labels alone")
    right.legend(loc="upper left")
    report.figure("Labels walk along the moons", figure,
                  alt="Left: two moons, coloured by the round in which points got their label; rounds follow each "
                  "other from the labelled ends along the moons. Right: accuracy against threshold; near 0.5 as low as "
                  "without self-training, rising to 1 in between, low again above.")  # fmt: skip

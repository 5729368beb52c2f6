"""What an autoencoder cannot rebuild is strange to it: its error tells unknown images from known ones.

It is trained on one kind of image only and learns to rebuild that kind. What the reader should see: other kinds come
out with a larger error, so that the error is a score; the area under the ROC curve says how good a score is, whatever
threshold is chosen later; and how well it works depends on the kind: trousers stand apart, shirts much less so.

Notes: chapter 10, "Anomaly detection" (异常检测).
Source: Japkowicz, Myers, Gluck 1995, https://www.ijcai.org/Proceedings/95-1/Papers/068.pdf; Fawcett 2006,
doi:10.1016/j.patrec.2005.10.010, section 7; Xiao et al. 2017, arXiv:1708.07747 (the images).
"""

import math

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.chapter10.autoencoder import build_autoencoder

SMOKE = {"images": 64, "epochs": 1, "kinds": 2, "test_images": 300, "code_size": 4}
FULL = {"epochs": 60}
SECONDS = 21

EASY = 1  # trousers: of one shape, and unlike everything else


def reconstruction_error(model, x):
    """How badly a model gives back each input: the sum of squared differences.

    Args:
        model: Callable from (samples, features) to the same shape, such as an autoencoder.
        x: Inputs (samples, features).

    Returns:
        Array (samples,), at least 0; large where an input is unlike what the model was trained on.

    Raises:
        ValueError: If `x` is not (samples, features), or the model gives another shape.
    """
    x = np.asarray(x, np.float32)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"x: expected the shape (samples, features), got {x.shape}")
    rebuilt = np.asarray(model(x))
    if rebuilt.shape != x.shape:
        raise ValueError(f"model: expected outputs of the shape {x.shape}, got {rebuilt.shape}")
    return np.sum((x - rebuilt) ** 2, axis=1)


def roc_auc(scores, labels):
    """Area under the ROC curve: the chance that a positive scores higher than a negative, ties counted as half.

    Args:
        scores: Numbers (samples,), high for what is believed to be positive.
        labels: Booleans or 0 and 1 (samples,), both present.

    Returns:
        Float from 0 to 1; 0.5 for scores that say nothing.

    Raises:
        ValueError: If shapes differ, a score is NaN, or one of the two labels is missing.

    Source: Fawcett 2006, section 7 (equivalent to the Wilcoxon-Mann-Whitney statistic).
    """
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(f"scores, labels: expected one label for each score, got {scores.shape} and {labels.shape}")
    if np.isnan(scores).any():
        raise ValueError("scores: expected numbers, got NaN")
    if not np.isin(labels, (0, 1)).all() or len(np.unique(labels)) != 2:
        raise ValueError(f"labels: expected both 0 and 1 and nothing else, got {np.unique(labels)[:5].tolist()}")
    positive = labels.astype(bool)
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # from 1; ties share their mean rank
    positives = int(positive.sum())
    wins = ranks[positive].sum() - positives * (positives + 1) / 2  # pairs (positive, negative) in the right order
    return float(wins / (positives * (len(scores) - positives)))


def roc_curve(scores, labels):
    """The ROC curve: share of negatives and of positives above each threshold.

    Args:
        scores, labels: As in `roc_auc`.

    Returns:
        `(false_positive_rate, true_positive_rate)`, arrays that rise from 0 to 1, one point for each different score
        and the origin.

    Raises:
        ValueError: As `roc_auc`.
    """
    roc_auc(scores, labels)  # the same conditions
    scores, positive = np.asarray(scores, np.float64), np.asarray(labels).astype(bool)
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.diff(scores[order]) != 0, True)
    true, false = np.cumsum(positive[order])[last_of_ties], np.cumsum(~positive[order])[last_of_ties]
    return np.append(0, false / false[-1]), np.append(0, true / true[-1])


def example():
    """A network that knows one kind of numbers: its error as a score, and Keras's area under the curve beside ours."""
    rng = np.random.default_rng(0)
    known = np.float32(rng.normal(size=(600, 1)) * np.ones(8))  # eight equal numbers
    strange = np.float32(rng.normal(size=(100, 8)))
    model, _, _ = build_autoencoder(code_size=1, inputs=8)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(known[:500], known[:500], epochs=10, verbose=0)
    scores = reconstruction_error(model, np.concatenate([known[500:], strange]))
    labels = np.repeat([0, 1], 100)
    metric = keras.metrics.AUC(num_thresholds=2000)
    metric.update_state(labels, scores / scores.max())
    print(
        "area under the ROC curve:", roc_auc(scores, labels), "by Keras, from 2000 thresholds:", float(metric.result())
    )
    false, true = roc_curve(scores, labels)
    print("found without a false alarm:", true[false == 0].max())


def lesson(
    report,
    *,
    images: int = 6000,
    test_images: int = 10000,
    epochs: int = 8,
    kinds: int = 10,
    code_size: int = 16,
    seed: int = 0,
):
    """Train one autoencoder for each kind of clothing, and let its error judge all the others.

    Args:
        report: The report to write to.
        images: Training images of the one kind (32 to 6000).
        test_images: Test images of all kinds (100 to 10000).
        epochs: Training epochs (1 to 1000).
        kinds: How many kinds to try, the easy one among them (2 to 10).
        code_size: Numbers in a code (1 to 256).
        seed: Seed of all random draws (0 to 4294967295).
    """
    (x_train, y_train), (x_test, y_test) = data.fashion_mnist()
    x_train, x_test = (np.float32(x).reshape(len(x), -1) / 255 for x in (x_train, x_test[:test_images]))
    y_test = y_test[:test_images]
    _by_hand(report, seed)
    areas, simple, errors = {}, {}, None
    for kind in report.track(range(kinds), "training"):
        known = x_train[y_train == kind][:images]
        model, _, _ = build_autoencoder(code_size, (64,), seed=(seed, kind))
        model.compile(keras.optimizers.Adam(3e-3), "mean_squared_error")
        training.fit(model, known, known, batch_size=64, epochs=epochs, seed=seed)
        scores = reconstruction_error(lambda x, model=model: training.predict(model, x), x_test)
        areas[kind] = roc_auc(scores, y_test != kind)
        simple[kind] = roc_auc(np.sum((x_test - known.mean(axis=0)) ** 2, axis=1), y_test != kind)
        errors = scores if kind == EASY else errors
    name = data.FASHION_LABELS[EASY]
    label = f"trained on {name} only: area under the ROC curve against all others"
    report.at_least(label, got=areas[EASY], bound=0.95, trained=True)
    better = [areas[kind] - simple[kind] for kind in areas]
    label = "better than the distance from the mean image, mean over kinds"
    report.at_least(label, got=float(np.mean(better)), bound=0.0, trained=True)
    report.table(
        "area under the ROC curve, one kind against all others",
        ["trained on", "reconstruction error", "distance from the mean image"],
        [[data.FASHION_LABELS[kind], areas[kind], simple[kind]] for kind in areas],
    )
    hardest = min(areas, key=areas.get)
    report.note(f"0.5 is chance. The hardest kind here: {data.FASHION_LABELS[hardest]}, which others resemble.")
    _figure(report, errors, y_test, areas)


def _by_hand(report, seed):
    label = "of four pairs (positive, negative) three are in order: 0.75"
    report.check(label, got=roc_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), want=0.75)
    report.check("a tie counts as half", got=roc_auc([1.0, 1.0], [0, 1]), want=0.5)
    rng = np.random.default_rng(seed)
    labels = rng.random(20000) < 0.3
    scores = rng.normal(size=20000) + labels  # two Gaussians, one deviation apart
    area = roc_auc(scores, labels)
    report.check("Gaussians one deviation apart: Φ(1/√2)", got=area, want=(1 + math.erf(0.5)) / 2, rtol=0, atol=0.015)
    report.check("minus the scores: one minus the area", got=roc_auc(-scores, labels), want=1 - area)
    report.check("only the order counts: exp of the scores", got=roc_auc(np.exp(scores), labels), want=area)
    x, y = roc_curve(scores, labels)
    under = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
    report.check("it is the area under the curve, by trapezoids", got=under, want=area)


def _figure(report, errors, y_test, areas):
    kinds = sorted(set(y_test.tolist()))
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4), width_ratios=(1.3, 1))
    rows = np.arange(len(kinds))
    low, first, median, third, high = np.array(
        [np.percentile(errors[y_test == kind], (5, 25, 50, 75, 95)) for kind in kinds]
    ).T
    left.hlines(rows, low, high, color="black", linewidth=1)
    left.barh(rows, third - first, left=first, height=0.5, color=["C1" if kind == EASY else "C0" for kind in kinds])
    left.plot(median, rows, "|", color="black", markersize=14)
    left.set_yticks(rows, [data.FASHION_LABELS[kind] for kind in kinds])
    left.invert_yaxis()
    left.set(xlabel="squared error, summed over pixels (5 %, quartiles, 95 %)")
    left.set_title(f"An autoencoder that knows\n{data.FASHION_LABELS[EASY]}s only")
    x, y = roc_curve(errors, y_test != EASY)
    right.plot(x, y, color="C1", label=f"area {areas[EASY]:.3f}")
    right.plot([0, 1], [0, 1], ":", color="gray", label="chance, 0.5")
    right.set(xlabel=f"share of {data.FASHION_LABELS[EASY]}s raised as strange", ylabel="share of others found")
    right.set_title("Every threshold at once")
    right.legend(loc="lower right")
    report.figure(
        "error by kind, and the ROC curve",
        figure,
        alt="Left: boxes of the error by kind; trousers, which the network knows, have by far the lowest. Right: the "
        "ROC curve runs close to the upper left corner.",
    )

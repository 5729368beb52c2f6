"""A network may learn from labels of its own: that helps if its first labels are fair, and harms if they are not.

Self-training: learn from the few labels there are, label the rest, believe the labels of which the network is sure,
and learn again. What the reader should see: with 100 labelled digits and 10,000 without labels, the test accuracy rises
by some points. The surer a label, the more often it is right, but less often than the network believes. If the first
labels say too little of some classes, those are drowned by the others' labels, and the network becomes worse.

Notes: chapter 05, "Self-training" (自训练).
Source: Scudder 1965, doi:10.1109/TIT.1965.1053799; Grandvalet and Bengio 2004,
https://papers.nips.cc/paper/2004/hash/96f2b50b5d3613adf9c27049b2a888c7-Abstract.html.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.parts import share, whole

SMOKE = {"unlabelled": 60, "test_images": 200, "updates": 3, "runs": 2, "rounds": 2, "units": 8}
SECONDS = 15
FAIR, BIASED = (10,) * 10, (19,) * 5 + (1,) * 5  # labelled digits of each class, 100 in all


def select_confident(probabilities, threshold):
    """The examples whose likeliest class has at least a probability of `threshold`, and these classes.

    Args:
        probabilities: Array (n, classes), rows that sum to 1.
        threshold: Smallest probability, 0 to 1; with 0 all are chosen.

    Returns: `(indices, labels)`, integers (chosen,) each, in the order of the examples.
    Raises: ValueError: If rows are no probabilities or `threshold` is out of range.
    """
    probabilities = np.asarray(probabilities)
    shape = probabilities.shape
    if probabilities.ndim != 2 or not ((probabilities >= 0).all() and np.allclose(probabilities.sum(-1), 1, atol=1e-4)):
        raise ValueError(f"probabilities: expected (n, classes), rows summing to 1, got shape {shape}")
    indices = np.flatnonzero(probabilities.max(axis=1) >= share("threshold", threshold))
    return indices, probabilities[indices].argmax(axis=1)


def self_training(fit, x, y, unlabelled, threshold=0.9, rounds=5, keep=False):
    """Learn, label what one is sure of, learn from that as well, and so on.

    Args:
        fit: `fit(x, y) -> predict`, where `predict(x)` gives probabilities (n, classes).
        x: Examples (n, ...) with labels.
        y: Their labels (n,), whole numbers from 0 on. They are never changed.
        unlabelled: Examples (m, ...) without labels.
        threshold: Smallest probability of a label that is believed, 0 to 1.
        rounds: How often to label and learn again, at most; it ends sooner once no label changes.
        keep: True: a label once given stays, and only the rest is labelled, as in scikit-learn (whose threshold has to
            be exceeded, not reached). False: every round labels all examples anew.

    Returns:
        `(predict, history)`: what the last `fit` returned, and the labels given to the unlabelled examples in each
        round, integers (rounds run, m), with −1 for those that have none.

    Raises:
        ValueError: If there is not one label for each example, there is nothing to label, or an argument is out of
            range.
    """
    x, y, unlabelled = np.asarray(x), np.asarray(y), np.asarray(unlabelled)
    if y.shape != x.shape[:1] or not len(y) or y.dtype.kind not in "iu" or y.min() < 0:
        raise ValueError(f"y: expected a whole number of at least 0 for each of {len(x)} examples, got {y}")
    if not len(unlabelled) or unlabelled.shape[1:] != x.shape[1:]:
        raise ValueError(f"unlabelled: expected examples {x.shape[1:]}, at least one, got shape {unlabelled.shape}")
    share("threshold", threshold)
    labels, history, predict = np.full(len(unlabelled), -1), [], fit(x, y)
    for _ in range(whole("rounds", rounds, least=0)):
        before = labels
        waiting = np.flatnonzero(labels < 0) if keep else np.arange(len(unlabelled))
        if len(waiting):
            chosen, given = select_confident(predict(unlabelled[waiting]), threshold)
            labels = labels.copy() if keep else np.full(len(unlabelled), -1)
            labels[waiting[chosen]] = given
        if (labels == before).all():
            break
        history.append(labels)
        has = labels >= 0
        predict = fit(np.concatenate([x, unlabelled[has]]), np.concatenate([y, labels[has]]))
    return predict, np.array(history, int).reshape(len(history), len(unlabelled))


def example():
    """Points on a line, labelled by the nearer class mean; a point in the middle is left without a label."""

    def fit(x, y):
        means = np.array([x[y == label].mean() for label in (0, 1)])

        def predict(points):
            likeness = np.exp(-((points - means) ** 2))  # (points, 2): bells around both means
            return likeness / likeness.sum(axis=1, keepdims=True)

        return predict

    x, y, unlabelled = np.array([[0.0], [2.0]]), np.array([0, 1]), np.array([[0.1], [0.3], [1.1], [1.2], [2.5]])
    print("sure of (indices, labels):", *select_confident(fit(x, y)(unlabelled), 0.9))
    for threshold in (0.5, 0.9):
        predict, history = self_training(fit, x, y, unlabelled, threshold)
        print(
            f"threshold {threshold}: labels {history.tolist()}, p(class 1) at 1: {predict(np.array([[1.0]]))[0, 1]:.3f}"
        )


def lesson(
    report,
    *,
    unlabelled: int = 10000,
    test_images: int = 10000,
    rounds: int = 4,
    updates: int = 300,
    units: int = 128,
    threshold: float = 0.9,
    runs: int = 5,
    seed: int = 0,
):
    """Say what own labels teach, then self-training on digits, with fair first labels and with biased ones.

    Args:
        report: The report to write to.
        unlabelled: Digits without labels (20 to 50000).
        test_images: Digits for the test (100 to 10000).
        rounds: Rounds of labelling (1 to 50).
        updates: Updates of every training, whatever it learns from (1 to 100000).
        units: Hidden units (1 to 4096).
        threshold: Probability from which on a label is believed (0.001 to 0.999).
        runs: Runs, each with its own digits and first weights (2 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _what_own_labels_teach(report, np.random.default_rng(seed))
    pictures, fit = _digits(test_images), _Fit(units, updates)
    numbers = range(seed * runs, (seed + 1) * runs)
    tasks = [(FAIR, each) for each in sorted({0.0, 0.7, threshold, 0.99})] + [(BIASED, threshold)]
    found = {}
    for run, task in report.track([(run, task) for run in numbers for task in tasks], "self-training"):
        found.setdefault(task, []).append(_run(pictures, fit, run, *task, unlabelled, rounds))
    _judge(report, found, threshold)
    _figure(report, found, threshold)


def _what_own_labels_teach(report, rng):
    logits = tf.constant(rng.normal(size=(5, 4)))
    own = tf.nn.softmax(logits)
    slopes = {}
    for name, target in (("soft", own), ("hard", tf.one_hot(tf.argmax(own, axis=1), 4, dtype=tf.float64))):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(target, logits))
        slopes[name] = tape.gradient(loss, logits).numpy()
    report.check("the network's own probabilities as targets: gradient", slopes["soft"], np.zeros((5, 4)), atol=1e-12)
    report.at_least("its likeliest class as target: the gradient's least norm", np.linalg.norm(slopes["hard"], axis=1),
                    0.05)  # fmt: skip
    report.note(
        "Own probabilities as targets teach nothing. Own labels do, as they ask for more certainty than there is."
    )


def _digits(test_images):
    (x, y), (x_test, y_test) = data.mnist()
    halve = lambda images: np.float32(images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) / 255)  # noqa: E731
    return halve(x), y.astype(int), halve(x_test[:test_images]), y_test[:test_images]


class _Fit:
    """One network for all trainings: each begins with the run's first weights and takes equally many updates."""

    def __init__(self, units, updates, batch_size=100):
        self.units, self.draws, self.batch_size, self.run = units, updates * batch_size, batch_size, 0
        self.model = self.network()
        self.model.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        self.restart = training.restarter(self.model)

    def network(self):
        starts = [keras.initializers.GlorotUniform(2 * self.run + layer) for layer in range(2)]
        hidden = keras.layers.Dense(self.units, "relu", kernel_initializer=starts[0])
        logits = keras.layers.Dense(10, kernel_initializer=starts[1])
        return keras.Sequential([keras.Input((14, 14)), keras.layers.Flatten(), hidden, logits])

    def __call__(self, x, y):
        self.restart(self.network().get_weights())
        rng = np.random.default_rng(self.run)
        passes = [rng.permutation(len(x)) for _ in range(-(-self.draws // len(x)))]
        order = np.concatenate(passes)[: self.draws]  # always as many, so that one trace serves all
        training.fit(self.model, x[order], y[order], batch_size=self.batch_size, shuffle=False)
        return lambda x: tf.nn.softmax(training.predict(self.model, x, batch_size=2000)).numpy()


def _run(pictures, fit, run, counts, threshold, unlabelled, rounds):
    """One self-training. Returns `(accuracies, right, sure)`: test accuracies (1 + rounds,); of the first network's
    labels of the unlabelled digits, whether they are right and how sure it was, (unlabelled,) each."""
    x, y, x_test, y_test = pictures
    order = np.random.default_rng((run, 0)).permutation(len(x))
    first = np.concatenate([order[y[order] == label][:count] for label, count in enumerate(counts)])
    rest = order[~np.isin(order, first)][:unlabelled]
    fit.run, accuracies, firsts = run, [], []

    def fit_and_test(x, y):
        predict = fit(x, y)
        accuracies.append(float(np.mean(predict(x_test).argmax(axis=1) == y_test)))
        if not firsts:
            firsts.append(predict(pictures[0][rest]))
        return predict

    self_training(fit_and_test, x[first], y[first], x[rest], threshold, rounds)
    accuracies += accuracies[-1:] * (1 + rounds - len(accuracies))  # where no label changed any more
    return np.array(accuracies), firsts[0].argmax(axis=1) == y[rest], firsts[0].max(axis=1)


def _mean(values):
    return values.mean() if len(values) else np.nan  # where no label is sure enough


def _judge(report, found, threshold):
    gains, rows, precision = {}, [], {}
    for (counts, each), runs in found.items():
        accuracies = np.array([accuracy for accuracy, _, _ in runs])
        gains[counts, each] = accuracies[:, -1] - accuracies[:, 0]
        chosen = [sure >= each for _, _, sure in runs]
        precision[counts, each] = np.mean([_mean(right[of]) for (_, right, _), of in zip(runs, chosen, strict=True)])
        believed = np.mean([_mean(sure[of]) for (_, _, sure), of in zip(runs, chosen, strict=True)])
        rows.append(["fair" if counts == FAIR else "biased", each, np.mean(chosen), precision[counts, each], believed,
                     accuracies[:, 0].mean(), accuracies[:, -1].mean(),
                     *plots.mean_and_error(100 * gains[counts, each])])  # fmt: skip
    columns = ["first labels", "threshold", "share labelled in round 1", "of these right", "probability believed",
               "accuracy before", "accuracy after", "gain, points", "standard error of the gain"]  # fmt: skip
    report.table("Self-training on digits, of which 100 have labels: means over the runs", columns, rows)
    fair, biased = gains[FAIR, threshold], gains[BIASED, threshold]
    report.at_least("fair first labels: gain, mean", fair.mean(), 0.01, trained=True)
    report.at_most("biased first labels: gain, mean", biased.mean(), 0.0, trained=True)
    by_threshold = [value for (counts, _), value in precision.items() if counts == FAIR]
    report.at_least(
        "a higher threshold, more of the labels right: least rise", np.diff(by_threshold), 0.0, trained=True
    )
    rights, sures = (np.array([run[which] for run in found[FAIR, threshold]]) for which in (1, 2))
    excess = _mean(sures[sures >= threshold]) - _mean(rights[sures >= threshold])
    report.at_least("believed probability above the share that is right", excess, 0.0, trained=True)
    report.note(
        "Fair: ten labelled digits of each class. Biased: nineteen of each of the digits 0 to 4, one of each of 5 to "
        "9. Every training begins with the same first weights and takes equally many updates, from 100 labels or from "
        "thousands. Pictures have 14 × 14 pixels, each the mean of four."
    )


def _figure(report, found, threshold):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.2))
    curves = {name: np.array([run[0] for run in found[counts, threshold]])
              for name, counts in (("fair: 10 labels a class", FAIR), ("biased: 19 or 1 a class", BIASED))}  # fmt: skip
    plots.curves(np.arange(len(found[FAIR, threshold][0][0])), {
        name: 100 * (values - values[:, :1]) for name, values in curves.items()
    }, xlabel="rounds of self-training", ylabel="gain in test accuracy, points", marker="o", ax=left,
        title="It repeats what the first labels say")  # fmt: skip
    left.axhline(0, color="gray", linewidth=1)
    left.set_xticks(np.arange(len(found[FAIR, threshold][0][0])))
    rights, sures = (np.concatenate([run[which] for run in found[FAIR, threshold]]) for which in (1, 2))
    thresholds = np.linspace(0, 0.99, 34)
    series = {
        "right, of the chosen": [100 * _mean(rights[sures >= each]) for each in thresholds],
        "as the network believes": [100 * _mean(sures[sures >= each]) for each in thresholds],
        "chosen, of all": [100 * np.mean(sures >= each) for each in thresholds],
    }
    plots.curves(thresholds, series, xlabel="threshold", ylabel="percent", ax=right,
                 title="Surer labels are fewer and better")  # fmt: skip
    report.figure("Self-training with fair and with biased labels", figure,
                  alt="Left: with fair labels the test accuracy rises over the rounds, with biased labels it falls. "
                  "Right: with the threshold fewer labels are chosen and more of them are right, but fewer than the "
                  "network believes.")  # fmt: skip

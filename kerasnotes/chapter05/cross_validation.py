"""Cross-validation tests on every example once; `validation_split` tests once, on the last rows as they stand.

Each of four networks is trained on three quarters of 569 tumours and tested on the fourth: the mean of the four
accuracies uses all the data, and their spread shows how far one single split could have misled. On flowers that are
sorted by species, `validation_split` tests on a species that training never saw. And whatever is learnt from the data,
a scale or a choice of features, must be learnt inside each fold: otherwise pure noise seems predictable.

Notes: chapter 05, "Cross-validation" (交叉验证).
Source: Stone 1974, doi:10.1111/j.2517-6161.1974.tb00994.x; Hastie et al. 2009, The Elements of Statistical Learning,
doi:10.1007/978-0-387-84858-7, Sections 7.10.1 and 7.10.2; https://keras.io/api/models/model_training_apis/
(`validation_split`).
"""

import keras
import numpy as np

from kerasnotes import data, plots
from kerasnotes.chapter02.mlp import build_mlp
from kerasnotes.parts import whole

SMOKE = {"folds": 2, "epochs": 1, "batch_size": 256, "seeds": 1, "simulations": 2, "eager": True}
SECONDS = 9


def k_fold(n, k, seed):
    """Deal the numbers 0 to n − 1 at random into k parts; each part is the validation set of one fold.

    Parts are as equal as possible: the first n mod k of them have one example more.

    Args:
        n: Number of examples.
        k: Number of folds, from 2 to n.
        seed: Seed of the random order.

    Returns:
        List of k pairs `(train_index, validation_index)` of integer arrays, both in random order.

    Raises:
        ValueError: If `n` or `k` is not an integer, or `k` is not between 2 and `n`.
    """
    if whole("k", k, least=2) > whole("n", n, least=2):
        raise ValueError(f"k: expected at most n = {n} folds, got {k!r}")
    parts = np.array_split(np.random.default_rng(seed).permutation(n), k)
    return [(np.concatenate(parts[:fold] + parts[fold + 1 :]), parts[fold]) for fold in range(k)]


def cross_validate(build_model, x, y, k, seed=0, **fit_arguments):
    """Train a fresh model for every fold and test it on the examples that this fold leaves out.

    `keras.layers.Normalization` layers among the model's layers learn their scale from the training part alone.

    Args:
        build_model: Takes nothing, returns a compiled Keras model with one metric besides the loss.
        x: Inputs (n, ...).
        y: Targets (n, ...).
        k: Number of folds, from 2 to n.
        seed: Seed of the folds.
        **fit_arguments: Further arguments of `model.fit`. `shuffle=False` makes results repeatable; the training
            examples are in random order as it is.

    Returns:
        The metric on the validation part of each fold, array (k,).

    Raises:
        ValueError: If sizes do not fit, `fit_arguments` bring data of their own, `build_model` returns the same model
            twice or one without a metric.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ValueError(f"x, y: expected equally many examples, got shapes {x.shape} and {y.shape}")
    if own := {"x", "y", "validation_data", "validation_split"} & set(fit_arguments):
        raise ValueError(f"fit_arguments: expected no data, the folds provide it, got {sorted(own)}")
    scores, models = [], []
    for train, validation in k_fold(len(x), k, seed):
        # Every fold begins anew.
        model = build_model()
        if any(model is earlier for earlier in models):
            raise ValueError("build_model: expected a fresh model at each call, got the same one again")
        models.append(model)
        # What is learnt from data is learnt from the training part: the scale first, then the weights.
        for layer in model.layers:
            if isinstance(layer, keras.layers.Normalization):
                layer.adapt(x[train])
        model.fit(x[train], y[train], **{"verbose": 0, **fit_arguments})
        # The rest has had no part in it.
        results = model.evaluate(x[validation], y[validation], batch_size=len(validation), verbose=0)
        if np.ndim(results) != 1 or len(results) != 2:
            raise ValueError(f"build_model: expected a model with a loss and one metric, got results {results!r}")
        scores.append(results[1])
    return np.array(scores)


def example():
    """Sixty examples, sorted by class: Keras's hold-out of the last third, and three folds."""
    rng, y = np.random.default_rng(0), np.repeat([0, 1, 2], 20)
    x = rng.normal(np.array([[0, 0], [4, 0], [0, 4]])[y], 1.0)  # (60, 2), a cloud for each class

    def build_model():
        layers = [keras.Input((2,)), keras.layers.Dense(3, "softmax", kernel_initializer="zeros")]
        model, loss = keras.Sequential(layers), "sparse_categorical_crossentropy"
        model.compile(keras.optimizers.Adam(0.5), loss, metrics=["accuracy"], run_eagerly=True)  # for few steps
        return model

    model, fit = build_model(), {"batch_size": 5, "verbose": 0}
    history = model.fit(x, y, validation_split=1 / 3, **fit).history
    print("accuracy on the last third, a class that training never saw:", history["val_accuracy"][-1])
    accuracies = cross_validate(build_model, x, y, 3, **fit)
    print("accuracies of three folds:", accuracies, "mean", accuracies.mean())
    for train, validation in k_fold(7, 3, seed=0):
        print("  of seven examples, train on", train, "and test on", validation)


def lesson(
    report,
    *,
    folds: int = 4,
    epochs: int = 5,
    batch_size: int = 8,
    seeds: int = 3,
    simulations: int = 50,
    eager: bool = False,
    seed: int = 0,
):
    """Cross-validate a network on tumours, hold out sorted flowers, and select features in the wrong place.

    Args:
        report: The report to write to.
        folds: Number of folds (2 to 20).
        epochs: Training epochs of each network (1 to 1000).
        batch_size: Examples in a batch (1 to 1000).
        seeds: Networks trained with `validation_split` on flowers (1 to 20).
        simulations: Data sets of pure noise (2 to 1000).
        eager: Run networks step by step, without compiling: slower, but for few steps sooner done.
        seed: Seed of all random draws (0 to 4294967295).
    """
    x, y = data.breast_cancer()
    sizes = _parts(report, len(x), folds, seed)
    fit = {"epochs": epochs, "batch_size": batch_size, "shuffle": False}
    accuracies = cross_validate(lambda: _model(x.shape[1], 2, seed, 0.01, eager), x, y, folds, seed, **fit)
    right = accuracies * sizes
    report.check("each accuracy is a whole number of tumours over the part's size", right, np.round(right), atol=1e-3)
    report.at_least(f"mean accuracy over {folds} folds", accuracies.mean(), 0.95, trained=True)
    majority = max(np.mean(y), 1 - np.mean(y))
    report.at_least("every fold beats the larger class's share by", accuracies - majority, 0.2, trained=True)
    report.table(
        f"{folds}-fold cross-validation of a network with 16 hidden units on {len(x)} tumours",
        ["part", "examples", "accuracy"],
        [
            *([str(fold + 1), size, accuracies[fold]] for fold, size in enumerate(sizes)),
            ["mean of the folds", len(x), accuracies.mean()],
            ["standard deviation of the folds", None, accuracies.std(ddof=1)],
        ],
    )
    report.note(
        "The deviation is that of one fold. Divided by √k it is only a rough error of the mean: training parts overlap."
    )
    held_out, crossed = _sorted_flowers(report, fit, seeds, eager, seed)
    wrong, correct = _selection(report, simulations, seed)
    report.figure(
        "Every example is tested once, by a model that has not seen it",
        _figure(folds, accuracies, held_out, crossed, wrong, correct),
        alt=f"Left: {folds} rows of blocks, one block of each row is the validation part, with its accuracy, "
        f"{accuracies.min():.2f} to {accuracies.max():.2f}. Right: accuracy on sorted flowers is near 0 with "
        "validation_split and above 0.9 with cross-validation; on pure noise it is near 1 if features are chosen "
        "before the folds and near 0.5 if inside.",
    )


def _parts(report, n, folds, seed):
    """Check the folds; return the sizes of their validation parts."""
    parts = k_fold(n, folds, seed)
    validation = [part for _, part in parts]
    report.check("every tumour is in exactly one validation part", np.sort(np.concatenate(validation)), range(n))
    overlaps = [len(np.intersect1d(train, part)) + abs(len(train) + len(part) - n) for train, part in parts]
    report.check("training and validation parts are disjoint and together everything", overlaps, [0] * folds)
    sizes = [n // folds + (fold < n % folds) for fold in range(folds)]
    report.check("the first n mod k parts have one tumour more", [len(part) for part in validation], sizes)
    return sizes


def _model(inputs, classes, seed, learning_rate, eager):
    model = keras.Sequential(
        [keras.Input((inputs,)), keras.layers.Normalization(), build_mlp([16], classes, seed=seed)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(learning_rate), loss, metrics=["accuracy"], run_eagerly=eager)
    return model


def _sorted_flowers(report, fit, seeds, eager, seed):
    x, y = data.iris()
    model = _model(4, 3, seed, 0.0, eager)  # this one does not learn: it shows which rows are used
    history = model.fit(x, y, validation_split=1 / 3, epochs=1, shuffle=True, verbose=0).history
    last = model.evaluate(x[100:], y[100:], verbose=0)[0]
    report.check("validation_split=1/3 tests on the last 50 rows, also with shuffle=True", history["val_loss"][0], last)
    report.check("in sorted data these are the one species that training never sees", np.unique(y[100:]), [2])
    report.check("and training never sees it", np.intersect1d(y[:100], y[100:]).size, 0)
    held_out = []
    for run in report.track(range(seed, seed + seeds), "training"):
        model = _model(4, 3, run, 0.05, eager)
        model.layers[0].adapt(x[:100])
        order = np.append(np.random.default_rng((run, 1)).permutation(100), range(100, 150))  # the last part stays last
        history = model.fit(x[order], y[order], validation_split=1 / 3, verbose=0, **fit).history
        held_out.append(history["val_accuracy"][-1])
    crossed = cross_validate(lambda: _model(4, 3, seed, 0.05, eager), x, y, 3, seed, **fit)
    report.at_most("sorted flowers: validation_split's accuracy, every run", held_out, 0.05, trained=True)
    report.at_least("the same flowers: mean accuracy over 3 folds", crossed.mean(), 0.9, trained=True)
    report.correction(
        "validation_split",
        course="model.fit(validation_split=…) is cross-validation.",
        correct="It is one hold-out of the last fraction of the rows, taken before shuffling.",
        shown_by=f"flowers sorted by species: accuracy {np.mean(held_out):.2f} on the hold-out (mean of {seeds}), "
        f"{np.mean(crossed):.2f} over 3 folds",
    )
    return held_out, crossed


def _selection(report, simulations, seed, examples=50, features=5000, kept=100, folds=5):
    """Labels that have nothing to do with the features: no classifier can be better than 1/2."""

    def best_features(x, y):
        return np.argsort(-np.abs((x - x.mean(axis=0)).T @ (y - y.mean())))[:kept]  # largest covariance with the label

    def accuracy(x, y, inside):
        right, chosen = 0, best_features(x, y)
        for train, validation in folds_of:
            if inside:
                chosen = best_features(x[train], y[train])
            distances = np.sum((x[validation][:, None, chosen] - x[train][:, chosen]) ** 2, axis=2)
            right += np.sum(y[train][distances.argmin(axis=1)] == y[validation])  # the nearest neighbour's label
        return right / len(y)

    wrong, correct = [], []
    for simulation in report.track(range(simulations), "noise"):
        rng = np.random.default_rng((seed, 2, simulation))
        x, y = rng.normal(size=(examples, features)), rng.permutation(np.arange(examples) % 2)
        folds_of = k_fold(examples, folds, (seed, 3, simulation))
        wrong.append(accuracy(x, y, inside=False))
        correct.append(accuracy(x, y, inside=True))
    rows = [[name, *plots.mean_and_error(values), 0.5] for name, values in
            (("before the folds, with all labels", wrong), ("inside each fold", correct))]  # fmt: skip
    report.table(f"pure noise, {kept} of {features} features chosen by covariance, one nearest neighbour: accuracy",
                 ["features chosen", "mean", "standard error", "true accuracy"], rows)  # fmt: skip
    report.check("chosen before the folds, noise is predicted with an error of 3% (Hastie et al., 7.10.2)",
                 got=1 - rows[0][1], want=0.03, rtol=0.0, atol=0.03, trained=True)  # fmt: skip
    report.at_most("chosen inside each fold, the mean accuracy is not above 1/2 by more than 4 standard errors",
                   rows[1][1] - 4 * rows[1][2], 0.5, trained=True)  # fmt: skip
    return wrong, correct


def _figure(folds, accuracies, held_out, crossed, wrong, correct):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1, 1.15))
    for fold, accuracy in enumerate(accuracies):
        for part in range(folds):
            left.barh(fold, 0.96, left=part + 0.02, height=0.7, color="C1" if part == fold else "C6")
        left.text(fold + 0.5, fold, f"{accuracy:.3f}", ha="center", va="center")
    left.barh([0], [0], color="C1", label="validation: accuracy")
    left.barh([0], [0], color="C6", label="training")
    left.set_yticks(range(folds), [f"fold {fold + 1}" for fold in range(folds)])
    left.set_xticks(np.arange(folds) + 0.5, [f"part {part + 1}" for part in range(folds)])
    left.set_ylim(folds - 0.5, -1.2)
    left.grid(False)
    left.legend(loc="upper center", ncols=2)
    left.set_title(f"{folds} folds of the tumours:\n{accuracies.mean():.3f} ± {accuracies.std(ddof=1):.3f}")
    values = [plots.mean_and_error(each) for each in (held_out, crossed, wrong, correct)]
    names = [
        "flowers,\nhold-out\n(last third)",
        "flowers,\n3 folds",
        "noise, chosen\nbefore\nthe folds",
        "noise, chosen\nin each\nfold",
    ]
    plots.bars(names, [value[0] for value in values], errors=[value[1] for value in values],
               ylabel="measured accuracy", title="The wrong split misleads\nin either direction", ax=right)  # fmt: skip
    for position, (value, error) in enumerate(values):
        right.text(position, value + error + 0.03, f"{value:.2f}", ha="center")
    right.set_ylim(0, 1.12)
    return figure

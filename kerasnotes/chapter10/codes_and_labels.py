"""Codes learnt without labels save no labels: a linear classifier does better on components, and on pixels.

Thousands of images cost little, their labels do. So it is tempting to learn codes from all images, and then a linear
classifier on the codes of the few that have labels. What the reader should see: one classifier, with its penalty chosen
by leaving each image out in turn, on the pixels, on thirty principal components, on the thirty numbers of an
autoencoder, and on those of the same network before training. From three labels a class on training makes codes better,
yet with few labels they lose to components and to pixels: an autoencoder has no reason to put the class where a
straight line finds it.

Notes: chapter 10, "Codes and few labels" (编码与少量标签).
Source: Hinton and Salakhutdinov 2006, doi:10.1126/science.1127647 (codes); Hoerl and Kennard 1970,
doi:10.1080/00401706.1970.10488634 (the penalty); Golub, Heath, Wahba 1979, doi:10.1080/00401706.1979.10489751 (leaving
one out).
"""

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.chapter10.autoencoder import build_autoencoder, principal_components
from kerasnotes.parts import positive, shape, whole

SMOKE = {"images": 512, "epochs": 1, "hidden": (8,), "sizes": (1, 3), "draws": 2, "test_images": 200}
FULL = {"images": 60000, "epochs": 50, "hidden": (1000, 500, 250), "draws": 20}
SECONDS = 6


def leave_one_out_error(x, y, penalty):
    """Mean squared error of ridge regression at each sample when it is left out, without fitting anew.

    Args:
        x: Features (samples, features).
        y: Targets (samples, outputs).
        penalty: Factor of the squared weights, positive; the bias is free.

    Returns:
        Float: the mean over samples of the squared error, summed over outputs.

    Raises:
        ValueError: If the shapes do not fit, there are fewer than two samples, or the penalty is not positive.

    Source: Golub, Heath, Wahba 1979.
    """
    left, values, _, y = _decomposed(x, y)
    return _left_out(left, values, y, penalty)


def ridge_classifier(x, labels, classes, penalties):
    """A linear classifier by least squares on one-hot targets, with the penalty that leaving one out likes best.

    Args:
        x: Features (samples, features).
        labels: Classes (samples,), 0 to classes − 1.
        classes: Number of classes.
        penalties: Penalties to choose from, positive.

    Returns:
        `(weights, bias, penalty)`: (features, classes), (classes,) and the one chosen. The class of a row z is the
        place of the largest number of `z @ weights + bias`.

    Raises:
        ValueError: If labels are out of range, or as `leave_one_out_error`.

    Source: Hoerl and Kennard 1970.
    """
    labels = shape("labels", np.asarray(labels), len(x))
    if not (labels.min() >= 0 and labels.max() < whole("classes", classes)):
        raise ValueError(f"labels: expected classes from 0 to {classes - 1}, got {labels.min()} to {labels.max()}")
    y = np.eye(classes)[labels]
    left, values, right, y = _decomposed(x, y)
    penalty = min(penalties, key=lambda each: _left_out(left, values, y, each))
    weights = right.T @ ((values / (values**2 + penalty))[:, None] * (left.T @ y))
    return weights, np.bincount(labels, minlength=classes) / len(labels) - np.mean(x, axis=0) @ weights, penalty


def _decomposed(x, y):
    """Singular vectors of the centred features, and the centred targets."""
    x = shape("x", np.asarray_chkfinite(x, np.float64), None, None)
    y = shape("y", np.asarray_chkfinite(y, np.float64), len(x), None)
    whole("samples", len(x), 2)
    left, values, right = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    return left, values, right, y - y.mean(axis=0)


def _left_out(left, values, y, penalty):
    shares = values**2 / (values**2 + positive("penalty", penalty))
    residual = y - left @ (shares[:, None] * (left.T @ y))
    own = 1 / len(y) + left**2 @ shares  # how much each prediction depends on its own target
    return float(np.mean(np.sum((residual / (1 - own)[:, None]) ** 2, axis=1)))


def few_of_each(labels, each, seed):
    """Which samples get a label: as many of each class, at random.

    Args:
        labels: Classes (samples,).
        each: Samples of each class, at most as many as there are.
        seed: Seed of the choice.

    Returns:
        Indices (classes · each,).

    Raises:
        ValueError: If a class has fewer samples.
    """
    labels, rng = np.asarray(labels), np.random.default_rng(seed)
    found = [np.flatnonzero(labels == number) for number in np.unique(labels)]
    if min(map(len, found)) < whole("each", each):
        raise ValueError(f"each: expected at most {min(map(len, found))}, what the rarest class has, got {each}")
    return np.concatenate([rng.choice(where, each, replace=False) for where in found])


def example():
    """Two classes in ten numbers, of which one matters: ridge regression here and by Keras's descent."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 15)
    x = rng.normal(size=(30, 10)) + 2 * labels[:, None] * np.eye(10)[0]
    for penalty in (0.01, 10.0, 1000.0):
        print(f"penalty {penalty:7}: error when left out {leave_one_out_error(x, np.eye(2)[labels], penalty):.3f}")
    weights, bias, penalty = ridge_classifier(x, labels, 2, (0.01, 10.0, 1000.0))
    print("chosen:", penalty, "- right:", np.mean((x @ weights + bias).argmax(axis=1) == labels))
    model = keras.Sequential(
        [keras.Input((10,)), keras.layers.Dense(2, kernel_regularizer=keras.regularizers.L2(10 / 60))]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.fit(x, np.eye(2)[labels], batch_size=30, epochs=300, verbose=0)
    print("weights, ours and Keras's:", weights[0].round(3), model.get_weights()[0][0].round(3))


def lesson(
    report,
    *,
    images: int = 10000,
    epochs: int = 6,
    hidden: tuple[int, ...] = (200,),
    code_size: int = 30,
    sizes: tuple[int, ...] = (1, 3, 10, 30, 100),
    draws: int = 4,
    test_images: int = 10000,
    seed: int = 0,
):
    """Learn codes from digits without labels, then classify with few labels.

    Args:
        report: The report to write to.
        images: Images without labels, of which few get one (512 to 60000).
        epochs: Training epochs of the autoencoder (1 to 10000).
        hidden: Units of its hidden layers (1 to 4096).
        code_size: Numbers in a code, and principal components (2 to 500).
        sizes: Labels of each class (1 to 1000).
        draws: How often labels are drawn anew (2 to 1000).
        test_images: Images to test with (100 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _left_out_by_hand(report, np.random.default_rng((seed, 1)))
    (x, y), (x_test, y_test) = data.mnist()
    x, x_test = (np.float32(each).reshape(len(each), -1) / 255 for each in (x[:images], x_test[:test_images]))
    y, y_test = y[:images], y_test[:test_images]
    features = _features(report, x, x_test, epochs, hidden, code_size, seed)
    right = {name: _accuracies(pair, y, y_test, sizes, draws, seed) for name, pair in features.items()}
    _compare(report, right, sizes)
    figure = plots.curves(
        10 * np.array(sizes),
        right,
        xlabel="labels in all",
        ylabel="accuracy on test digits",
        xscale="log",
        marker="o",
        title="One linear classifier, four kinds of features",
    )
    report.figure(
        "Accuracy by the number of labels",
        figure,
        alt="Accuracy of a linear classifier rises with the number of labels for all features; with few labels the "
        "autoencoder's codes stay below principal components and pixels, with many they come near them; the codes of "
        "the untrained network stay far below, but for one label a class.",
    )


def _left_out_by_hand(report, rng):
    x, y = rng.normal(size=(12, 5)), rng.normal(size=(12, 2))
    errors = []
    for out in range(12):
        kept = np.arange(12) != out
        a, b = x[kept] - x[kept].mean(axis=0), y[kept] - y[kept].mean(axis=0)
        weights = np.linalg.solve(a.T @ a + 0.7 * np.eye(5), a.T @ b)
        errors.append(np.sum((y[out] - y[kept].mean(axis=0) - (x[out] - x[kept].mean(axis=0)) @ weights) ** 2))
    label = "leaving one out without fitting anew, and by fitting anew each time"
    report.check(label, leave_one_out_error(x, y, 0.7), np.mean(errors), rtol=1e-9)


def _features(report, x, x_test, epochs, hidden, code_size, seed):
    """Pairs of features for training and test images, by name; none has seen a label."""
    components, mean = principal_components(x, code_size)
    model, encoder, _ = build_autoencoder(code_size, hidden, seed=seed)
    untrained = [training.predict(encoder, each) for each in (x, x_test)]
    steps = epochs * -(-len(x) // 128)
    rate = keras.optimizers.schedules.CosineDecay(2e-4, steps, 0.0, warmup_target=2e-3, warmup_steps=steps // 10)
    model.compile(keras.optimizers.Adam(rate), "mean_squared_error")
    training.fit(model, x, x, batch_size=128, epochs=epochs, seed=seed, track=report.track)
    return {
        "codes": [training.predict(encoder, each) for each in (x, x_test)],
        "principal components": [(each - mean) @ components.T for each in (x, x_test)],
        "pixels": [x, x_test],
        "codes before training": untrained,
    }


def _accuracies(pair, y, y_test, sizes, draws, seed):
    """Array (draws, sizes); every kind of features gets the same labels."""
    train, test = (np.float64(each) / np.std(pair[0]) for each in pair)  # one unit for all kinds of features
    right = []
    for draw in range(draws):
        for each in sizes:
            chosen = few_of_each(y, each, (seed, 2, draw))
            penalties = 10.0 ** np.arange(-2, 5) * train.shape[1] / 30
            weights, bias, _ = ridge_classifier(train[chosen], y[chosen], 10, penalties)
            right.append(np.mean((test @ weights + bias).argmax(axis=1) == y_test))
    return np.reshape(right, (draws, len(sizes)))


def _compare(report, right, sizes):
    columns = ["features", *(f"{10 * each} labels" for each in sizes), "largest standard error"]
    summaries = {name: plots.mean_and_error(each) for name, each in right.items()}
    rows = [[name, *map(float, mean), float(error.max())] for name, (mean, error) in summaries.items()]
    report.table("accuracy on test digits, mean over draws of the labels", columns, rows)
    codes, components, pixels, untrained = right.values()
    middle = len(sizes) // 2
    gain = np.mean((codes - untrained)[:, middle])
    report.at_least("training of the codes, labels in the middle: accuracy gained", gain, 0.05, trained=True)
    for name, other in (("principal components", components), ("pixels", pixels)):
        gain, error = plots.mean_and_error((other - codes)[:, 0])
        report.at_least(f"fewest labels: {name} over codes, accuracy gained", gain, 0.0, trained=True)
        report.note(f"Fewest labels: {name} over codes {gain:.3f} ± {error:.3f}, over the same draws of labels.")
    gap = np.mean((components - codes)[:, -1])
    report.at_most("most labels: what codes lack of the components' accuracy", gap, 0.05, trained=True)

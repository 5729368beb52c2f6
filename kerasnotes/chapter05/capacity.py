"""A model can be too small, right or too large for its data; training error only shows the first of the three.

A polynomial is fitted to the fuel consumption of 40 cars. Each further degree lowers the error on these cars, while the
error on the other 352 falls, turns and explodes. A network that is wide enough learns random labels by heart, so
training accuracy alone says nothing; yet with true labels the same wide network is the best one.

Notes: chapter 05, "Underfitting, overfitting and capacity" (欠拟合、过拟合与模型容量).
Source: Goodfellow et al. 2016, Deep Learning, https://www.deeplearningbook.org, Section 5.2; Zhang et al. 2017,
arXiv:1611.03530 (random labels).
"""

import itertools

import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter05.shattering import line_labellings  # noqa: F401 (may be taken from here as well)
from kerasnotes.parts import positive, whole

SMOKE = {"splits": 3, "seeds": 2, "widths": (1, 4), "pictures": 100, "steps": 3}
SECONDS = 7


def polynomial_features(x, degree):
    """The powers of a number as the inputs of a linear model: 1, x, x², …

    Args:
        x: Numbers (n,). Scale them to [-1, 1] first, or high powers drown low ones.
        degree: Highest power, at least 0.

    Returns:
        Array (n, degree + 1), float64.

    Raises:
        ValueError: If `x` is empty, not one-dimensional or not finite, or `degree` is not an integer of at least 0.
    """
    return _finite("x", x)[:, None] ** np.arange(whole("degree", degree, least=0) + 1)  # (n, degree + 1)


def error_curves(x_train, y_train, x_test, y_test, degrees):
    """Mean squared errors of the best polynomial of each degree, on the examples it was fitted to and on others.

    Inputs are scaled so that the training inputs fill [-1, 1]. The fit goes through Chebyshev polynomials, which span
    the same functions as `polynomial_features` but keep the digits that powers would lose at high degrees.

    Args:
        x_train, y_train: Inputs and targets (n,) to fit.
        x_test, y_test: Inputs and targets (m,) of other examples.
        degrees: Degrees to fit, each smaller than the number of different training inputs.

    Returns:
        `(train_errors, test_errors)`, each (degrees,).

    Raises:
        ValueError: If shapes or values do not fit, or a degree is negative or too high to have a single best fit.
    """
    x_train, y_train, x_test, y_test = (
        _finite(name, value)
        for name, value in (("x_train", x_train), ("y_train", y_train), ("x_test", x_test), ("y_test", y_test))
    )
    for name, x, y in (("y_train", x_train, y_train), ("y_test", x_test, y_test)):
        if x.shape != y.shape:
            raise ValueError(f"{name}: expected one target for each input, {x.shape}, got {y.shape}")
    different, degrees = len(np.unique(x_train)), list(degrees)
    if not degrees or min(degrees) < 0 or max(degrees) >= different or any(d != int(d) for d in degrees):
        raise ValueError(f"degrees: expected integers from 0 to {different - 1}, got {degrees!r}")
    low, high = x_train.min(), max(x_train.max(), np.nextafter(x_train.min(), np.inf))
    basis, basis_test = (
        np.polynomial.chebyshev.chebvander((2 * x - low - high) / (high - low), max(degrees)) for x in (x_train, x_test)
    )  # (n, columns), (m, columns)
    q, r = np.linalg.qr(basis)  # the first columns of q span all polynomials of the lower degrees
    part = q.T @ y_train
    errors = []
    for size in (int(degree) + 1 for degree in degrees):
        weights = np.linalg.solve(r[:size, :size], part[:size])
        residuals = y_train - q[:, :size] @ part[:size], y_test - basis_test[:, :size] @ weights
        errors.append([np.mean(residual**2) for residual in residuals])
    return tuple(np.array(errors).T)


def width_curves(widths, x_train, y_train, x_test, y_test, steps=200, learning_rate=0.003, seed=0):
    """Accuracies of networks with one hidden layer, from narrow to wide, trained with Adam on all examples at a time.

    Args:
        widths: Units of the hidden layer, one network for each entry.
        x_train, x_test: Inputs (n, inputs) and (m, inputs).
        y_train, y_test: Labels (n,) and (m,), integers from 0.
        steps: Training steps.
        learning_rate: Adam's learning rate.
        seed: Seed of the initial weights.

    Returns:
        `(train_accuracies, test_accuracies)`, each (widths,).

    Raises:
        ValueError: If shapes do not fit, a label is no integer of at least 0, a setting is not positive, or there is
            no width.
    """
    steps, learning_rate = whole("steps", steps), positive("learning_rate", learning_rate)
    if not len(widths):
        raise ValueError("widths: expected at least one width, got none")
    for name, x, y in (("y_train", x_train, y_train), ("y_test", x_test, y_test)):
        x, y = np.asarray(x), np.asarray(y)
        if x.ndim != 2 or y.shape != x.shape[:1] or not y.size or y.dtype.kind not in "iu" or y.min() < 0:
            raise ValueError(f"{name}: expected a label from 0 for each row of {x.shape}, got {y.dtype} {y.shape}")
    x_train, x_test = (tf.constant(x, tf.float32) for x in (x_train, x_test))
    if x_train.shape[1] != x_test.shape[1]:
        raise ValueError(f"x_test: expected {x_train.shape[1]} inputs a row as in x_train, got {x_test.shape[1]}")
    classes = int(max(np.max(y_train), np.max(y_test))) + 1
    accuracies = []
    for width in (whole("widths", width) for width in widths):
        rng, sizes = np.random.default_rng((seed, width)), (x_train.shape[1], width, classes)
        weights = []
        for inputs, units in itertools.pairwise(sizes):
            weights += [rng.normal(0, np.sqrt(2 / inputs), (inputs, units)), np.zeros(units)]
        weights = [tf.constant(w, tf.float32) for w in weights]
        weights = _adam(weights, x_train, tf.constant(y_train, tf.int32), tf.constant(steps), learning_rate)
        outputs = [_logits(weights, x).numpy().argmax(axis=1) for x in (x_train, x_test)]
        accuracies.append([np.mean(output == y) for output, y in zip(outputs, (y_train, y_test), strict=True)])
    return tuple(np.array(accuracies).T)


def _logits(weights, x):
    w_1, b_1, w_2, b_2 = weights
    return tf.nn.relu(x @ w_1 + b_1) @ w_2 + b_2  # (n, classes)


@tf.function(reduce_retracing=True)
def _adam(weights, x, y, steps, learning_rate):
    mean, square = [tf.zeros_like(w) for w in weights], [tf.zeros_like(w) for w in weights]
    for step in tf.range(1, steps + 1):
        # Forwards and backwards, with all examples.
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, _logits(weights, x)))
        gradients = tape.gradient(loss, weights)
        # Running means of the gradient and of its square.
        mean = [0.9 * m + 0.1 * g for m, g in zip(mean, gradients, strict=True)]
        square = [0.999 * s + 0.001 * g * g for s, g in zip(square, gradients, strict=True)]
        # A step as long as the mean is against the root of the square; the rate makes up for both starting at 0.
        t = tf.cast(step, tf.float32)
        rate = learning_rate * tf.sqrt(1 - tf.pow(0.999, t)) / (1 - tf.pow(0.9, t))
        weights = [w - rate * m / (tf.sqrt(s) + 1e-7) for w, m, s in zip(weights, mean, square, strict=True)]
    return weights


def _finite(name, values):
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"{name}: expected finite numbers (n,), got shape {values.shape}")
    return values


def example():
    """Polynomials through twelve noisy points, by NumPy and by the functions above."""
    rng = np.random.default_rng(0)
    x, x_new = np.linspace(-1, 1, 12), rng.uniform(-1, 1, 100)
    y, y_new = (np.sin(3 * points) + rng.normal(0, 0.3, len(points)) for points in (x, x_new))
    degrees = [0, 1, 3, 9]
    fits = [np.polynomial.Polynomial.fit(x, y, degree) for degree in degrees]
    train_errors, test_errors = error_curves(x, y, x_new, y_new, degrees)
    print("degrees        ", degrees)
    print("training, NumPy", np.round([np.mean((fit(x) - y) ** 2) for fit in fits], 4))
    print("training, ours ", train_errors.round(4))
    print("test, NumPy    ", np.round([np.mean((fit(x_new) - y_new) ** 2) for fit in fits], 4))
    print("test, ours     ", test_errors.round(4))


def lesson(
    report,
    *,
    cars: int = 40,
    largest: int = 8,
    splits: int = 40,
    pictures: int = 1000,
    widths: tuple[int, ...] = (1, 4, 16, 64, 512),
    steps: int = 120,
    seeds: int = 3,
    seed: int = 0,
):
    """Fit polynomials to cars, and let networks learn true and random labels.

    Args:
        report: The report to write to.
        cars: Cars to fit the polynomials to (30 to 200).
        largest: Largest degree (3 to 12).
        splits: Random choices of the cars to fit to (2 to 1000).
        pictures: Pictures to train on (50 to 5000).
        widths: Hidden units of each network; the first and the last are checked (1 to 4096).
        steps: Training steps of each network (1 to 10000).
        seeds: Networks of each width and kind of labels (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    train_errors, test_errors = _cars(report, cars, largest, splits, seed)
    true, random = _labels(report, pictures, widths, steps, seeds, seed)
    report.figure(
        "Training error cannot tell too large from right",
        _figure(train_errors, test_errors, cars, widths, true, random),
        alt="Left: over the degree, training error falls slowly while test error falls at first and then rises by "
        "orders of magnitude. Right: over the width, training accuracy reaches 1 with true and with random labels; "
        "test accuracy rises with true labels and stays at chance with random ones.",
    )


def _cars(report, cars, largest, splits, seed):
    features, y = data.auto_mpg()
    x = features[:, data.AUTO_MPG_FEATURES.index("horsepower")]
    degrees, curves = np.arange(largest + 1), []
    for split in range(splits):
        order = np.random.default_rng((seed, split)).permutation(len(x))
        train, test = order[:cars], order[cars:]
        curves.append(error_curves(x[train], y[train], x[test], y[test], degrees))
    train_errors, test_errors = np.array(curves).transpose(1, 0, 2)  # (splits, degrees) each
    report.at_most("training error never rises with the degree, every split", np.diff(train_errors, axis=1), 0.0)
    x, y = x[train], y[train]
    powers = polynomial_features((2 * x - x.min() - x.max()) / np.ptp(x), 3)
    fitted = powers @ np.linalg.lstsq(powers, y, rcond=None)[0]
    report.check("degree 3: the training error is that of least squares on 1, x, x², x³",
                 got=train_errors[-1, 3], want=np.mean((fitted - y) ** 2))  # fmt: skip

    (mean, error), train_mean = plots.mean_and_error(test_errors), train_errors.mean(axis=0)
    best = int(mean.argmin())
    report.at_least("the degree with the lowest mean test error is above 1: a line is too small", best, 2, trained=True)
    report.at_most("and below the largest: a minimum in between", best, largest - 1, trained=True)
    for name, degree in (("a straight line", 1), ("the largest degree", largest)):
        gap, gap_error = plots.mean_and_error(test_errors[:, degree] - test_errors[:, best])
        more = "test error above the best degree's, less 3 standard errors"
        ratio = np.median(test_errors[:, degree] / test_errors[:, best])
        if degree == 1:
            report.at_least(f"{name}: {more}", gap - 3 * gap_error, 0.0, trained=True)
        report.at_least(f"{name}: median ratio of its test error to the best degree's", ratio, 1.1, trained=True)
    rows = [[int(d), train_mean[d], np.median(test_errors[:, d]), mean[d], error[d]] for d in degrees]
    report.table(f"squared error, (miles per gallon)², {splits} choices of {cars} cars",
                 ["degree", "training, mean", "test, median", "test, mean", "test, standard error"], rows)  # fmt: skip
    report.note("The choices share most of their test cars, so their standard errors are a little too small.")
    return train_errors, test_errors


def _labels(report, pictures, widths, steps, seeds, seed):
    """Train on true and on random labels. Returns accuracies {part: (seeds, widths)} for each kind of labels."""
    (images, digits), (test_images, test_digits) = data.mnist()
    test_images, test_digits = test_images[:2000], test_digits[:2000]
    runs = {"true": [], "random": []}
    for run in report.track(range(seeds), "training"):
        rng = np.random.default_rng((seed, 2, run))
        chosen = rng.choice(len(images), pictures, replace=False)
        x, x_test = (part.reshape(len(part), -1) / 255 for part in (images[chosen], test_images))  # (n, 784)
        for kind, y in (("true", digits[chosen]), ("random", rng.integers(10, size=pictures))):
            runs[kind].append(width_curves(widths, x, y, x_test, test_digits, steps, seed=seed + run))
    true, random = (
        dict(zip(("training", "test"), np.array(runs[kind]).transpose(1, 0, 2), strict=True)) for kind in runs
    )
    wide = f"{widths[-1]} units"
    report.check(f"{wide}, random labels: training accuracy, every seed", random["training"][:, -1], np.ones(seeds),
                 rtol=0.0, atol=0.0, trained=True)  # fmt: skip
    report.check(f"{wide}, true labels: the same training accuracy", true["training"][:, -1], np.ones(seeds),
                 rtol=0.0, atol=0.0, trained=True)  # fmt: skip
    report.at_most("random labels: test accuracy stays near chance, 0.1", random["test"][:, -1], 0.2, trained=True)
    report.at_least("true labels: test accuracy", true["test"][:, -1], 0.8, trained=True)
    report.at_most(f"{widths[0]} unit is too small: training accuracy, true labels", true["training"][:, 0], 0.8,
                   trained=True)  # fmt: skip
    gain = np.mean(true["test"][:, -1:] - true["test"][:, :-1], axis=0)
    report.at_least(f"true labels: {wide} beat every narrower network on the test pictures, mean gain", gain, 0.0,
                    trained=True)  # fmt: skip
    rows = []
    for kind, results in (("true", true), ("random", random)):
        for part, accuracies in results.items():
            mean, error = plots.mean_and_error(accuracies)
            rows.append([kind, part, *(f"{m:.3f} ± {e:.3f}" for m, e in zip(mean, error, strict=True))])
    report.table(f"accuracy (mean ± standard error of {seeds}) with {pictures} training pictures, by hidden units",
                 ["labels", "pictures", *(str(width) for width in widths)], rows)  # fmt: skip
    report.note("Wider is not worse here: the U over the capacity is not a law for networks (arXiv:1812.11118).")
    return true, random


def _figure(train_errors, test_errors, cars, widths, true, random):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4))
    degrees = np.arange(train_errors.shape[1])
    for color, style, name, errors in (
        ("C1", "--", "the other cars", test_errors),
        ("C0", "-", f"the {cars} fitted", train_errors),
    ):
        left.plot(degrees, errors.T, color=color, linewidth=0.6, alpha=0.25)
        left.plot(degrees, np.median(errors, axis=0), style, color=color, marker="o", label=name)
    left.set(
        xlabel="degree of the polynomial", ylabel="squared error, (miles per gallon)²", yscale="log", ylim=(5, 1e4)
    )
    left.set_title(f"Too small, right, too large\n(median of {len(train_errors)} choices of cars)")
    left.legend(title="cars", loc="upper left")
    series = {
        "training, true labels": true["training"], "training, random labels": random["training"],
        "test, true labels": true["test"], "test, random labels": random["test"],
    }  # fmt: skip
    plots.curves(widths, series, xlabel="hidden units", ylabel="accuracy", xscale="log", marker="o", ax=right)
    right.set_xticks(widths, [str(width) for width in widths])
    right.minorticks_off()
    right.set_title("A wide network learns\nrandom labels by heart")
    right.set_ylim(0, 1.04)
    return figure

"""One neuron and a fitting loss are already statistics: a straight line for numbers, a probability for classes.

Linear regression has a solution in closed form, and gradient descent walks to the same place, if its steps are not too
long. Logistic regression has no closed form; where a plane separates the classes it has no finite solution at all
without a penalty, as longer weights are always better. Both run on real data: fuel consumption and a diagnosis.

Notes: chapter 02, "Linear and logistic regression" (线性回归与逻辑回归).
Source: Bishop 2006, Pattern Recognition and Machine Learning, ISBN 978-0-387-31073-2, Sections 3.1.1 and 4.3.2; Albert
and Anderson 1984, doi:10.1093/biomet/71.1.1 (when there is no finite solution).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter02.activations import sigmoid
from kerasnotes.parts import positive, whole

SMOKE = {"steps": 200}
SECONDS = 3


def fit_linear(x, y, learning_rate, steps, history=False):
    """Linear regression by gradient descent from zero on the mean squared error of x·w + b.

    Args:
        x: Inputs (n, features). Descent is fast if their columns have mean 0 and standard deviation 1.
        y: Targets (n,).
        learning_rate: Below 2/λ for the largest eigenvalue λ of the loss's second derivatives, else the error grows.
        steps: Steps over all examples.
        history: Whether to return the losses as well.

    Returns: `(w, b)`, an array (features,) and a number; with `history` also the losses (steps + 1,), start included.
    Raises: ValueError: If shapes or values do not fit, or if the weights grow beyond all numbers.
    """
    return _descend(x, y, learning_rate, steps, 0.0, history, _squared_error)


def solve_least_squares(x, y):
    """Linear regression in closed form: the `(w, b)` of the smallest squared error, from (XᵀX)(w, b) = Xᵀy.

    X is x with a column of ones for the bias. If several solutions are equally good, it is the shortest one.

    Raises: ValueError: If shapes or values do not fit.
    """
    x, y = _numbers(x, y)
    with_bias = np.column_stack([x, np.ones(len(x))])  # (n, features + 1)
    solution = np.linalg.lstsq(with_bias, y, rcond=None)[0]  # keeps twice the digits that inverting XᵀX would keep
    return solution[:-1], float(solution[-1])


def fit_logistic(x, y, learning_rate, steps, l2=0.0, history=False):
    """Logistic regression by gradient descent from zero: σ(x·w + b) is the probability of class 1.

    The loss is the mean cross-entropy in nats plus l2·‖w‖², as with Keras's `kernel_regularizer=L2(l2)`; the bias goes
    free. scikit-learn's C is 1 / (2·n·l2).

    Args:
        x: Inputs (n, features).
        y: Labels (n,), 0 or 1.
        learning_rate, steps, history: As in `fit_linear`.
        l2: Penalty, at least 0. Without one, separable classes have no finite solution.

    Returns: `(w, b)`, with `history` also the losses (steps + 1,).
    Raises: ValueError: If shapes or values do not fit, a label is not 0 or 1, or the weights grow beyond all numbers.
    """
    if not np.isin(y, (0, 1)).all():
        raise ValueError(f"y: expected labels 0 or 1, got {np.unique(y)[:5]}")
    if not 0 <= l2 < np.inf:
        raise ValueError(f"l2: expected a number of at least 0, got {l2!r}")
    return _descend(x, y, learning_rate, steps, l2, history, _cross_entropy)


def _squared_error(sums, y):
    """The loss, and its slope along each example's sum."""
    return np.mean((sums - y) ** 2), 2 * (sums - y) / len(y)


def _cross_entropy(sums, y):
    """The loss, written so that e^|sum| is never computed, and its slope along each example's sum."""
    losses = np.maximum(sums, 0) - y * sums + np.log1p(np.exp(-np.abs(sums)))
    return losses.mean(), (sigmoid(sums) - y) / len(y)


def _descend(x, y, learning_rate, steps, l2, history, loss_and_slope):
    (x, y), steps = _numbers(x, y), whole("steps", steps)
    positive("learning_rate", learning_rate)
    w, b, losses = np.zeros(x.shape[1]), 0.0, []
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps + 1):
            # answer, and compare with the targets
            loss, slope = loss_and_slope(x @ w + b, y)  # slope: (n,)
            # remember
            losses.append(loss + l2 * (w @ w))
            before = w, b
            # learn
            w, b = w - learning_rate * (x.T @ slope + 2 * l2 * w), b - learning_rate * slope.sum()
    w, b = before  # the last pass was for the loss after the last step
    if not (np.isfinite(w).all() and np.isfinite(losses[-1])):
        raise ValueError(f"learning_rate: expected steps short enough to go downhill, got {learning_rate!r}")
    return (w, float(b), np.array(losses)) if history else (w, float(b))


def _numbers(x, y):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or x.size == 0 or not np.isfinite(x).all():
        raise ValueError(f"x: expected finite inputs of shape (n, features), got shape {x.shape}")
    if y.shape != x.shape[:1] or not np.isfinite(y).all():
        raise ValueError(f"y: expected {len(x)} finite targets, one for each input, got shape {y.shape}")
    return x, y


def example():
    """A line through noisy points and a probability for two classes, beside Keras's Dense layer."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 2))
    y = x @ [2.0, -1.0] + 0.5 + rng.normal(scale=0.1, size=50)
    print("closed form     ", solve_least_squares(x, y))
    print("gradient descent", fit_linear(x, y, learning_rate=0.1, steps=200))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.1), "mean_squared_error")
    model.fit(x, y[:, None], batch_size=50, epochs=30, verbose=0)
    print("Keras, 30 epochs", [weight.ravel() for weight in model.get_weights()])
    print("ours, 30 steps  ", fit_linear(x, y, learning_rate=0.1, steps=30))
    w, b = fit_logistic(x, y > 0.5, learning_rate=0.5, steps=500, l2=0.01)
    print("logistic: share of right answers", np.mean((sigmoid(x @ w + b) > 0.5) == (y > 0.5)))


def lesson(report, *, steps: int = 10000, seed: int = 0):
    """Fuel consumption by a straight line, a diagnosis by a probability, and what happens without a penalty.

    Args:
        report: The report to write to.
        steps: Steps of gradient descent (100 to 1000000).
        seed: Seed of the split into training and test rows (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    predicted = _consumption(report, steps, rng)
    lengths = _diagnosis(report, steps, rng)
    report.figure(
        "A line for numbers, a penalty for classes",
        _draw(*predicted, lengths),
        alt="Left: predicted against measured miles per gallon of test cars, near the diagonal. Right: the weights' "
        "length levels off with a penalty and grows on and on without.",
    )


def _split(x, y, rng):
    """Seven of ten rows to train on; columns scaled to mean 0 and standard deviation 1 of these."""
    order = rng.permutation(len(x))
    train, test = np.split(order, [len(x) * 7 // 10])
    mean, deviation = x[train].mean(axis=0), x[train].std(axis=0)
    return (x[train] - mean) / deviation, y[train], (x[test] - mean) / deviation, y[test]


def _consumption(report, steps, rng):
    x, y, x_test, y_test = _split(*data.auto_mpg(), rng)
    with_bias = np.column_stack([x, np.ones(len(x))])
    largest = 1.0 / np.linalg.eigvalsh(with_bias.T @ with_bias / len(x)).max()  # 2/λ: second derivatives are 2XᵀX/n
    w, b = solve_least_squares(x, y)
    found, found_b = fit_linear(x, y, largest / 2, steps)
    report.check("gradient descent reaches the closed form", [*found, found_b], [*w, b], rtol=1e-3, trained=True)
    errors = x @ w + b - y
    report.check(
        "closed form: errors are orthogonal to every input", with_bias.T @ errors / len(x), np.zeros(len(w) + 1)
    )
    library = tf.linalg.lstsq(tf.constant(with_bias), y[:, None])[:, 0]
    report.check("closed form equals tf.linalg.lstsq", [*w, b], library)
    dense = keras.Sequential([keras.Input((x.shape[1],)), keras.layers.Dense(1, kernel_initializer="zeros")])
    dense.compile(keras.optimizers.SGD(0.1), "mean_squared_error")
    for _ in range(3):
        dense.train_on_batch(x.astype(np.float32), y[:, None].astype(np.float32))
    ours = fit_linear(x, y, 0.1, 3)
    report.check(
        "three steps equal Keras's Dense with SGD", np.append(*ours), np.append(*dense.get_weights()), rtol=1e-4
    )
    rows = [[share, *fit_linear(x, y, share * largest, 200, history=True)[2][[0, 1, 10, 200]]]
            for share in (0.1, 0.5, 0.95, 1.05)]  # fmt: skip
    columns = ["learning rate over 2/λ", "at the start", "after 1 step", "10 steps", "200 steps"]
    report.table("Mean squared error of gradient descent, mpg²", columns, rows)
    report.at_most("below 2/λ it falls: error after 200 steps over 10 steps", [r[4] / r[3] for r in rows[:3]], 1.0)
    report.at_least("5 % above 2/λ it grows: error after 200 steps over 10 steps", rows[3][4] / rows[3][3], 10.0)
    guess = x_test @ w + b
    explained = 1 - np.mean((guess - y_test) ** 2) / np.mean((y_test - y.mean()) ** 2)
    report.at_least("test cars: share of the variance explained", explained, 0.7)
    report.table(
        f"Miles per gallon; typical error on test cars {np.sqrt(np.mean((guess - y_test) ** 2)):.1f}",
        ["feature", "weight per standard deviation"], [*zip(data.AUTO_MPG_FEATURES, w, strict=True), ("bias", b)],
    )  # fmt: skip
    report.note("The origin (1 America, 2 Europe, 3 Japan) enters as a number; one-hot vectors would be cleaner.")
    return guess, y_test


def _diagnosis(report, steps, rng):
    features, labels = data.breast_cancer()
    x, y, x_test, y_test = _split(features, labels, rng)
    l2 = 1 / (2 * len(x))  # scikit-learn's C = 1
    w, b = fit_logistic(x, y, 0.3, steps, l2)
    accuracy = np.mean((x_test @ w + b > 0) == y_test)
    report.at_least("diagnosis with a penalty: test accuracy", accuracy, 0.95, trained=True)
    variables = tf.Variable(w), tf.Variable(b, dtype=tf.float64)
    with tf.GradientTape() as tape:
        sums = tf.linalg.matvec(x, variables[0]) + variables[1]
        losses = tf.nn.sigmoid_cross_entropy_with_logits(y.astype(np.float64), sums)
        loss = tf.reduce_mean(losses) + l2 * tf.reduce_sum(variables[0] ** 2)
    slopes = np.append(*tape.gradient(loss, variables))
    report.check("there the tape's slopes are zero", slopes, np.zeros(len(slopes)), atol=1e-4, trained=True)

    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    plane = _separating_plane(scaled, labels)
    sums = np.column_stack([scaled, np.ones(len(scaled))]) @ plane
    sums /= np.abs(sums).min()  # the nearest row has sum 1 or −1
    report.at_least("all 569 rows: smallest margin to a plane", ((2 * labels - 1) * sums).min(), 0.99)
    losses = [_cross_entropy(factor * sums, labels)[0] for factor in (1, 10, 100)]
    report.table("Unpenalized loss on this plane", ["weights times", "nats"], zip((1, 10, 100), losses, strict=True))
    report.at_most("ten times longer weights: the loss falls at least to", np.array(losses[1:]) / losses[:-1], 0.1)
    report.note("A plane separates the rows, so longer weights are always better and no finite weights are the best.")
    counts, runs = np.unique(np.geomspace(10, steps, 7).astype(int)), (("no penalty", 0.0), ("penalty, C = 1", l2))
    lengths = {}
    for name, penalty in runs:
        lengths[name] = [np.linalg.norm(fit_logistic(scaled, labels, 0.3, int(count), penalty)[0]) for count in counts]
    return counts, lengths


def _separating_plane(x, y):
    """Newton's method with a penalty that is lowered step by step; a row of ones carries the bias."""
    x = np.column_stack([x, np.ones(len(x))])
    w = np.zeros(x.shape[1])
    for l2 in np.geomspace(1e-2, 1e-10, 17):
        for _ in range(15):
            p = sigmoid(x @ w)
            curvature = x.T @ (x * (p * (1 - p))[:, None]) / len(x) + 2 * l2 * np.eye(len(w))
            slope = x.T @ (p - y) / len(x) + 2 * l2 * w
            step = np.linalg.solve(curvature, slope)
            lengths = 0.5 ** np.arange(20)  # a full step can go too far
            losses = [_cross_entropy(x @ v, y)[0] + l2 * (v @ v) for v in (w - lengths[:, None] * step)]
            w = w - lengths[np.argmin(losses)] * step
    return w


def _draw(guess, y, lengths):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4))
    ends = [min(y.min(), guess.min()), max(y.max(), guess.max())]
    left.scatter(y, guess, s=22, alpha=0.7)
    left.plot(ends, ends, "--", color="C1", label="right answer")
    left.set(xlabel="measured, miles per gallon", ylabel="predicted, miles per gallon")
    left.set_title("One linear neuron on test cars")
    left.legend()
    plots.curves(*lengths, xlabel="steps of gradient descent", ylabel="length of the weights", xscale="log", marker="o",
                 title="Separable: the weights never stop", ax=right)  # fmt: skip
    return figure

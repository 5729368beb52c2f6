"""A batch gives the gradient with noise of variance 1/batch: its size trades the number of updates for their quality.

What the reader should see: on least squares, small batches arrive in fewer epochs and then hover, by an amount that
the batch size sets; by the clock it is closer. With B examples in each of T updates the error is of order
1/√(BT) + 1/T. Which batch size tests best on pictures is measured, not argued.

Notes: chapter 03, "Batch size" (批量大小).
Source: Dekel et al. 2012, arXiv:1012.1367 (the rate with batches); Bottou, Curtis, Nocedal 2018, arXiv:1606.04838,
section 4.
"""

import math
import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.parts import positive, share, whole

SMOKE = {"updates": 512, "epochs": 2, "test_epochs": 1, "images": 512, "batch_sizes": (128,), "seeds": 2}
SECONDS = 6


def sgd(gradient_of_batch, x, y, start, learning_rate, batch_size, epochs, seed=0):
    """Stochastic gradient descent: shuffle, take the examples batch by batch, step against each batch's gradient.

    Args:
        gradient_of_batch: Takes weights (dims,), x (batch, ...), y (batch, ...); returns the mean gradient (dims,).
        x, y: Examples and targets, (n, ...).
        start: First weights, (dims,).
        learning_rate: A number, or a function from the number of the update, counted from 0, to a number.
        batch_size: Examples of a batch; the last of an epoch may be shorter. n or more: the full batch.
        epochs: Passes over the examples, each in a new order.
        seed: Seed of the orders.

    Returns: The path of weights, float64 (updates + 1, dims), start included.
    Raises: ValueError: If the sizes differ or are 0, or a number is out of range.
    """
    x, y, w = np.asarray(x), np.asarray(y), np.array(start, np.float64)
    if not x.ndim or x.shape[:1] != y.shape[:1] or not len(x):
        raise ValueError(f"x, y: expected equally many examples, at least one, got shapes {x.shape} and {y.shape}")
    if w.ndim != 1 or not w.size or not np.isfinite(w).all():
        raise ValueError(f"start: expected finite numbers (dims,), got {w}")
    batch_size, epochs = whole("batch_size", batch_size), whole("epochs", epochs)
    if not callable(learning_rate):
        positive("learning_rate", learning_rate)
    rng, path = np.random.default_rng(seed), [w]
    for _ in range(epochs):
        # shuffle
        order = rng.permutation(len(x))
        for first in range(0, len(x), batch_size):
            # look at a batch
            batch = order[first : first + batch_size]
            rate = learning_rate(len(path) - 1) if callable(learning_rate) else learning_rate
            # learn
            w = w - rate * gradient_of_batch(w, x[batch], y[batch])
            # remember
            path.append(w)
    return np.array(path)


def smooth(values, decay=0.9):
    """A noisy curve made readable: the exponential mean of what came before, without a pull towards zero at the start.

    Args:
        values: The curve, (n,).
        decay: Weight of the past, in [0, 1): the mean reaches back over about 1 / (1 − decay) values.

    Returns: An array (n,), float64.
    Raises: ValueError: If `values` is empty or not one row, or `decay` is outside [0, 1).
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"values: expected a row of numbers, got shape {values.shape}")
    share("decay", decay, high=False)
    result, total, weight = [], 0.0, 0.0
    for value in values:
        total, weight = decay * total + (1 - decay) * value, decay * weight + (1 - decay)
        result.append(total / weight)
    return np.array(result)


def least_squares_gradient(w, x, y):
    """The slope of half the mean squared error of x·w: `w` (dims,), `x` (batch, dims), `y` (batch,) to (dims,)."""
    return x.T @ (x @ w - y) / len(x)


def least_squares_excess(path, x, y):
    """How far half the mean squared error lies above its minimum, for points (..., dims) an array (...)."""
    away = path - np.linalg.lstsq(x, y, rcond=None)[0]
    return ((away @ (x.T @ x / len(x))) * away).sum(axis=-1) / 2


def example():
    """Least squares batch by batch, beside Keras's `fit` with the same sizes of batches."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 3))
    y = x @ [1.0, 2.0, 3.0] + rng.normal(size=256)
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    for size in (4, 256):
        path = sgd(least_squares_gradient, x, y, np.zeros(3), 0.05, size, epochs=4, seed=1)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "linear", False, "zeros")])
        model.compile(keras.optimizers.SGD(0.025), "mse")  # Keras does not halve the squared error
        model.fit(x, y[:, None], batch_size=size, epochs=4, verbose=0)
        away = np.linalg.norm(path[-1] - best), np.linalg.norm(model.get_weights()[0][:, 0] - best)
        print(f"batch {size:>3}: {len(path) - 1:>3} updates, off by {away[0]:.3f}; Keras, other orders: {away[1]:.3f}")
    print("above the minimum, first and last:", least_squares_excess(path[[0, -1]], x, y))
    print("a noisy row made smooth:", smooth([0.0, 1.0, 0.0, 1.0], decay=0.5))


def lesson(
    report,
    *,
    updates: int = 4096,
    epochs: int = 10,
    test_epochs: int = 8,
    images: int = 4096,
    batch_sizes: tuple[int, ...] = (8, 64, 512, 4096),
    seeds: int = 5,
    seed: int = 0,
):
    """Least squares with all batch sizes, the noise, the error for every B and T, and test errors on clothing.

    Args:
        report: The report to write to.
        updates: Updates of the longest runs for the rate (128 to 1000000).
        epochs: Passes over the data of the least-squares problem (2 to 1000).
        test_epochs: Passes over the pictures (1 to 1000).
        images: Training pictures (64 to 40000).
        batch_sizes: Batch sizes for the pictures (1 to 40000).
        seeds: Seeds of the networks (1 to 20).
        seed: The first seed; the others follow it (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2048, 10)) * np.geomspace(1, 0.2, 10)
    y = x @ rng.normal(size=10) + rng.normal(size=2048)
    _batches(report, x, y, epochs, seed)
    _noise(report, x, y, rng)
    _batch_rate(report, updates, rng)
    _test_errors(report, images, test_epochs, batch_sizes, seeds, seed)


def _batches(report, x, y, epochs, seed):
    sizes, rows, across, spent, losses = (1, 16, 256, 2048), [], {}, {}, {}
    floor = np.mean((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2) / 2
    for size in sizes:
        started = time.perf_counter()
        path = sgd(least_squares_gradient, x, y, np.zeros(10), 0.03, size, epochs, seed)
        seconds, name = time.perf_counter() - started, f"batch {size}"
        shown = np.unique(np.linspace(0, len(path) - 1, 201).astype(int))
        across[name], losses[name] = shown * epochs / (len(path) - 1), floor + least_squares_excess(path[shown], x, y)
        spent[name] = 1000 * seconds * shown / (len(path) - 1) + 0.02
        rows.append([size, len(path) - 1, losses[name][-1], losses[name][-1] - floor, seconds])
    columns = ["batch", "updates", "loss at the end", "above the minimum", "seconds"]
    report.table(f"Least squares, learning rate 0.03, {epochs} epochs", columns, rows)
    figure, axes = plots.subplots(1, 3, figsize=(15, 4.4))
    for axis, places, label, scale, title in (
        (axes[0], across, "epochs", "linear", "Small batches arrive in fewer epochs"),
        (axes[1], spent, "milliseconds", "log", "By the clock it is closer"),
    ):
        plots.curves(places, losses, xlabel=label, ylabel="loss on all data", xscale=scale, title=title, ax=axis)
    path = sgd(least_squares_gradient, x, y, np.zeros(10), 0.03, 16, epochs, seed)
    order = np.random.default_rng(seed)
    batches = np.concatenate([order.permutation(len(x)).reshape(-1, 16) for _ in range(epochs)])  # as sgd drew them
    raw = np.array([np.mean((x[i] @ w - y[i]) ** 2) / 2 for i, w in zip(batches, path, strict=False)])
    smoothed = smooth(raw, 0.95)
    plots.curves(np.arange(len(raw)) / 128, {"raw": raw, "smoothed, decay 0.95": smoothed}, xlabel="epochs",
                 ylabel="loss on the batch of 16", title="Smoothing shows the trend", ax=axes[2])  # fmt: skip
    report.figure(
        "Loss with batches of 1 to 2048",
        figure,
        alt="Left: over epochs, small batches fall sooner. Middle: over milliseconds. Right: the loss of batches of 16 "
        "is noise; its exponential mean falls and levels off.",
    )
    late = slice(len(raw) // 2, None)  # here the loss is level: what moves is noise
    ratio = smoothed[late].std() / raw[late].std()
    report.at_most(
        "spread of the smoothed loss over the raw one, theory √(0.05 / 1.95) = 0.16", ratio, 0.25, trained=True
    )


def _noise(report, x, y, rng, draws=500):
    w, sizes = np.zeros(10), 2 ** np.arange(12)
    each = x * (x @ w - y)[:, None]  # (n, dims): the gradient of every example
    spread = ((each - each.mean(axis=0)) ** 2).sum(axis=1).mean()
    measured = []
    for size in sizes:
        gradients = [each[rng.choice(len(x), size, replace=False, shuffle=False)].mean(axis=0) for _ in range(draws)]
        measured.append(((gradients - each.mean(axis=0)) ** 2).sum(axis=1).mean())
    exact = spread / sizes * (len(x) - sizes) / (len(x) - 1)
    power = np.polyfit(np.log(sizes[:8]), np.log(measured[:8]), 1)[0]
    report.check("variance of the step: power of the batch size, 1 to 128", power, -1.0, atol=0.1)
    report.check("variance over σ²/B · (n − B)/(n − 1)", np.array(measured[:-1]) / exact[:-1], np.ones(11), atol=0.2)
    report.check("variance of the full batch", measured[-1], 0.0)
    figure, ax = plots.subplots(figsize=(7.5, 4.6))
    plots.curves(sizes[:-1], {"σ²/B": spread / sizes[:-1], "σ²/B · (n − B)/(n − 1), drawn without putting back":
                 exact[:-1]}, xlabel="batch size B", ylabel="variance of the gradient", xscale="log", yscale="log",
                 title="Twice the batch, half the variance", ax=ax)  # fmt: skip
    ax.plot(sizes[:-1], measured[:-1], "ko", label=f"measured, {draws} batches")
    ax.legend()
    report.figure(
        "Noise of the step", figure, alt="Variance over batch size falls as 1/B, faster near all 2048 examples."
    )


def _batch_rate(report, updates, rng, copies=10):
    """The error at the best learning rate, for each batch size B and number of updates T, on a convex function."""
    curvatures, rates = np.geomspace(1e-6, 1, 40), np.geomspace(1, 1e-3, 16)[:, None, None]
    sizes, times = 4 ** np.arange(6), 4 ** np.arange(2, int(math.log(updates, 4)) + 1)[:, None]
    spread = np.sqrt(curvatures / sizes[:, None])[:, None, None, :]  # as the noise of least squares, less by √B
    w, error = np.ones((len(sizes), len(rates), copies, 40)), []
    for t in range(1, times[-1, 0] + 1):
        w = w - rates * (curvatures * w + spread * rng.normal(size=(copies, 40)))
        if t in times:
            error.append((w**2 @ curvatures / 2).mean(axis=-1).min(axis=-1))
    error, root = np.array(error), np.sqrt(sizes * times)  # (times, sizes)
    for label, power in (
        ("batch 1: power of T", np.polyfit(np.log(times[:, 0]), np.log(error[:, 0]), 1)[0]),
        (f"T = {times[-1, 0]}: power of B", np.polyfit(np.log(sizes), np.log(error[-1]), 1)[0]),
    ):
        report.check(f"{label}, as in 1/√(BT)", power, -0.5, atol=0.1, trained=True)
    right, notes = (error / formula for formula in (1 / root + 1 / times, 1 / (root + times)))
    report.at_most(
        "error over 1/√(BT) + 1/T: largest by smallest, all B and T", right.max() / right.min(), 4, trained=True
    )
    report.at_least(
        "error over the notes' 1/(√(BT) + T): largest by smallest", notes.max() / notes.min(), 10, trained=True
    )
    report.table("Error at the best rate", ["T", *(f"B = {size}" for size in sizes)], np.hstack([times, error]))
    report.correction(
        "rate of descent with batches",
        course="1/(√(BT) + T)",
        correct="1/√(BT) + 1/T, for B examples in each of T updates",
        shown_by="errors at the best learning rate: proportional to the sum of both within a factor of 4",
    )


def _test_errors(report, images, epochs, batch_sizes, seeds, seed):
    (x, y), (x_test, y_test) = data.fashion_mnist()
    x, x_test = (part.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196) / 255 for part in (x, x_test))
    x, y, x_test = (
        tf.constant(x[: images + 2000], tf.float32),
        tf.constant(y[: images + 2000], tf.int32),
        np.float32(x_test),
    )
    rates, rows = np.float32([0.03, 0.1, 0.3, 1.0]), []

    @tf.function(jit_compile=True)
    def train(weights, batches):  # batches (updates, seeds, batch); every rate sees the same ones
        for i in tf.range(tf.shape(batches)[0]):
            pictures, labels = tf.gather(x, batches[i]), tf.gather(y, batches[i])
            with tf.GradientTape() as tape:
                tape.watch(weights)
                logits = _network(weights, pictures[:, None])  # (seeds, rates, batch, 10)
                each = tf.nn.sparse_softmax_cross_entropy_with_logits(
                    tf.broadcast_to(labels[:, None], tf.shape(logits)[:3]), logits
                )
                loss = tf.reduce_sum(tf.reduce_mean(each, axis=-1))  # a sum over runs, which do not meet
            slopes = tape.gradient(loss, weights)
            weights = [w - rates[:, None, None] * slope for w, slope in zip(weights, slopes, strict=True)]
        return weights

    for size in report.track(batch_sizes, "batch sizes"):
        size, draws = min(size, images), [np.random.default_rng(number) for number in range(seed, seed + seeds)]
        weights = [np.stack([rng.normal(size=shape) for rng in draws]) * scale
                   for shape, scale in (((196, 32), 0.1), ((1, 32), 0), ((32, 10), 0.2), ((1, 10), 0))]  # fmt: skip
        weights = [tf.constant(np.repeat(w[:, None], len(rates), axis=1), tf.float32) for w in weights]
        for _ in range(epochs):
            order = np.stack([rng.permutation(images)[: images // size * size] for rng in draws])
            weights = train(weights, tf.constant(order.reshape(seeds, -1, size).swapaxes(0, 1)))
        wrong = [np.mean(np.argmax(_network(weights, part), axis=-1) != labels, axis=-1)
                 for part, labels in ((x[images:], y[images:]), (x_test, y_test))]  # fmt: skip
        best = wrong[0].mean(axis=0).argmin()
        mean, error = plots.mean_and_error(100 * wrong[1])
        rows.append([size, images // size * epochs, round(float(rates[best]), 2), mean[best], error[best], mean[1]])
    columns = ["batch", "updates", "best rate", "test error, %", "standard error", "test error at rate 0.1, %"]
    report.table(f"{images} pictures of clothing, {epochs} epochs, {seeds} seeds", columns, rows)
    report.note("The best rate is chosen on 2000 other pictures. Nothing is asserted: this is what came out.")
    found = ", ".join(f"{row[0]}: {row[3]:.1f} %" for row in rows)
    report.correction(
        "size of batches",
        course="as large as memory allows; elsewhere: small batches are better",
        correct="at equal epochs the smaller batch makes more updates; measure where the best lies",
        shown_by=f"test errors by batch size: {found}",
    )


def _network(weights, x):
    w, b, w_out, b_out = weights
    return tf.nn.relu(x @ w + b) @ w_out + b_out  # (seeds, rates, examples, 10)

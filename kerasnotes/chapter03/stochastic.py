"""A batch gives the gradient with noise of variance 1/batch, and averaging the weights takes the noise out again.

What the reader should see: on least squares, small batches arrive in fewer epochs and then hover, by an amount that
the batch size sets. A weighted mean of the path, kept beside it, settles where the path itself does not. Noise also
helps: it leaves a saddle on which the whole data set would rest. Which batch size tests best is measured, not argued.

Notes: chapter 03, "Stochastic gradient descent, batch size and averaging" (随机梯度下降、批量大小与平均).
Source: Shamir and Zhang 2013, arXiv:1212.1824, section 4 (the averaging) and Theorem 1; Rakhlin et al. 2012,
arXiv:1109.5647; Dekel et al. 2012, arXiv:1012.1367 (the rate with batches).
"""

import math
import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots

SMOKE = {"updates": 1024, "epochs": 2, "test_epochs": 1, "images": 512, "batch_sizes": (128,), "runs": 2, "seeds": 2}
SECONDS = 7


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
    for name, value in (("batch_size", batch_size), ("epochs", epochs)):
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name}: expected a positive integer, got {value!r}")
    if not callable(learning_rate) and not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate: expected a positive number or a function, got {learning_rate!r}")
    rng, path = np.random.default_rng(seed), [w]
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for first in range(0, len(x), batch_size):
            batch = order[first : first + batch_size]
            rate = learning_rate(len(path) - 1) if callable(learning_rate) else learning_rate
            w = w - rate * gradient_of_batch(w, x[batch], y[batch])
            path.append(w)
    return np.array(path)


def polynomial_average(path, gamma=3):
    """The running mean of a path that gives later points more weight: about t^gamma for point t.

    The mean is a sequence of its own, m(t) = (1 − c) m(t − 1) + c w(t) with c = (gamma + 1) / (t + gamma), t from 1 on;
    the path never sees it.

    Args:
        path: Points (steps + 1, ...).
        gamma: 0 for the plain mean; the larger, the sooner the start is forgotten.

    Returns: The means, float64, of the shape of `path`.
    Raises: ValueError: If `path` is empty or `gamma` is negative.
    Source: Shamir and Zhang 2013, arXiv:1212.1824, section 4.
    """
    path = np.asarray(path, np.float64)
    if not path.ndim or not path.size:
        raise ValueError(f"path: expected at least one point, got shape {path.shape}")
    if not 0 <= gamma < math.inf:
        raise ValueError(f"gamma: expected a number of at least 0, got {gamma!r}")
    means = path.copy()
    for t in range(2, len(path) + 1):
        share = (gamma + 1) / (t + gamma)
        means[t - 1] = (1 - share) * means[t - 2] + share * path[t - 1]
    return means


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
    if not 0 <= decay < 1:
        raise ValueError(f"decay: expected a number in [0, 1), got {decay!r}")
    result, total, weight = [], 0.0, 0.0
    for value in values:
        total, weight = decay * total + (1 - decay) * value, decay * weight + (1 - decay)
        result.append(total / weight)
    return np.array(result)


def example():
    """Least squares batch by batch, the mean of its path, and Keras's SGD with and without such a mean."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 3))
    y = x @ [1.0, 2.0, 3.0] + rng.normal(size=256)
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    for size in (1, 16, 256):
        path = sgd(lambda w, x, y: x.T @ (x @ w - y) / len(x), x, y, np.zeros(3), 0.05, size, epochs=20)
        ends = [np.linalg.norm(points[-1] - best) for points in (path, polynomial_average(path))]
        print(f"batch {size:>3}: {len(path) - 1:>4} updates, off by {ends[0]:.4f}, their mean by {ends[1]:.4f}")
    print("a noisy row made smooth:", smooth([0.0, 1.0, 0.0, 1.0], decay=0.5))

    for average in (False, True):  # Keras's own mean is exponential; it is put into the weights when training ends
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        model.compile(keras.optimizers.SGD(0.025, use_ema=average, ema_momentum=0.99), "mse")
        model.fit(x, y[:, None], batch_size=1, epochs=2, verbose=0)
        print("Keras, batch 1, use_ema:", average, np.linalg.norm(model.get_weights()[0][:, 0] - best))


def lesson(
    report,
    *,
    updates: int = 8192,
    epochs: int = 10,
    test_epochs: int = 8,
    images: int = 4096,
    batch_sizes: tuple[int, ...] = (8, 64, 512, 4096),
    runs: int = 10,
    seeds: int = 5,
    seed: int = 0,
):
    """Least squares with all batch sizes, the noise, averages, two rates, a saddle, and test errors on clothing.

    Args:
        report: The report to write to.
        updates: Updates of the longest runs for the rates (256 to 1000000).
        epochs: Passes over the data of the least-squares problem (2 to 1000).
        test_epochs: Passes over the pictures (1 to 1000).
        images: Training pictures (64 to 40000).
        batch_sizes: Batch sizes for the pictures (1 to 40000).
        runs: Seeds of the averages and of the saddle (1 to 100).
        seeds: Seeds of the networks (1 to 20).
        seed: The first seed; the others follow it (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2048, 10)) * np.geomspace(1, 0.2, 10)
    y = x @ rng.normal(size=10) + rng.normal(size=2048)
    _batches(report, x, y, epochs, seed)
    _noise(report, x, y, rng)
    _averages(report, x, y, runs, seed)
    _strongly_convex(report, updates, seed)
    _batch_rate(report, updates // 2, rng)
    _saddle(report, runs, seed)
    _test_errors(report, images, test_epochs, batch_sizes, seeds, seed)


def _slope(w, x, y):
    return x.T @ (x @ w - y) / len(x)  # of half the mean squared error


def _excess(path, x, y):
    """Half the mean squared error above its minimum; path (..., dims) -> (...)."""
    away = path - np.linalg.lstsq(x, y, rcond=None)[0]
    return ((away @ (x.T @ x / len(x))) * away).sum(axis=-1) / 2


def _batches(report, x, y, epochs, seed):
    sizes, rows, across, spent, losses = (1, 16, 256, 2048), [], {}, {}, {}
    floor = np.mean((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2) / 2
    for size in sizes:
        started = time.perf_counter()
        path = sgd(_slope, x, y, np.zeros(10), 0.03, size, epochs, seed)
        seconds, name = time.perf_counter() - started, f"batch {size}"
        shown = np.unique(np.linspace(0, len(path) - 1, 201).astype(int))
        across[name], losses[name] = shown * epochs / (len(path) - 1), floor + _excess(path[shown], x, y)
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
    path = sgd(_slope, x, y, np.zeros(10), 0.03, 16, epochs, seed)
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


def _averages(report, x, y, runs, seed):
    rows = []
    for number in range(seed, seed + runs):
        path = sgd(_slope, x, y, np.zeros(10), 0.03, 8, 10, number)
        mixed = sgd(_slope, x, y, np.zeros(10), lambda t: 0.03 * 4 / (t + 5), 8, 10, number)
        rows.append(_excess(np.stack([path[-1], polynomial_average(path)[-1], mixed[-1]]), x, y))
    last, mean, mixed = np.array(rows).T
    report.at_least(f"seeds of {runs} where the mean with γ = 3 beats the last weights", int((mean < last).sum()), runs)
    columns = ["error at constant learning rate", "mean of the seeds", "largest"]
    names = ("last weights", "mean with γ = 3, beside the path", "the notes' formula: the mean put back into w")
    rows = [[name, errors.mean(), errors.max()] for name, errors in zip(names, (last, mean, mixed), strict=True)]
    report.table(f"Averaging, {runs} seeds", columns, rows)
    (w, slope), share = np.random.default_rng(seed).normal(size=(2, 4)), 4 / 7
    put_back, short = (1 - share) * w + share * (w - 0.03 * slope), w - 0.03 * share * slope
    report.check("the mean put back is a plain step with the rate times (γ + 1)/(t + γ)", put_back, short)
    report.at_least("error of the notes' formula over that of the mean beside the path", mixed.mean() / mean.mean(), 2)
    report.correction(
        "polynomial averaging",
        course="w_t on both sides of the formula",
        correct="the mean is a sequence of its own; the steps go on from w_t, not from the mean",
        shown_by="put back into w it is plain descent with ever shorter steps, and its error stays larger",
    )


def _strongly_convex(report, updates, seed, copies=100):
    """½w² with a kink at its minimum 0, slopes 2 and −0.2; every copy has noise of its own."""

    def gradient(w, x, y):
        return w + np.where(w > 0, 2.0, -0.2) + y.mean(axis=0)

    noise, start = np.random.default_rng(seed).normal(size=(updates, copies)), np.ones(copies)
    path = sgd(gradient, noise, noise, start, lambda t: 1 / (t + 1), 1, 1, seed)
    times, error = 2 ** np.arange(4, int(math.log2(updates)) + 1), {}
    for name, points in (("last weights", path), ("plain mean", polynomial_average(path, 0)),
                         ("mean with γ = 3", polynomial_average(path, 3))):  # fmt: skip
        values = points**2 / 2 + np.where(points > 0, 2, -0.2) * points
        error[name] = values.mean(axis=1)[times - 1]
    power = {name: np.polyfit(np.log(times), np.log(errors), 1)[0] for name, errors in error.items()}
    report.check("mean with γ = 3: power of T, 1/T", power["mean with γ = 3"], -1.0, atol=0.1)
    log_rate = np.polyfit(np.log(times), np.log((1 + np.log(times)) / times), 1)[0]
    report.check("plain mean: power of T, as (1 + ln T)/T over the same T", power["plain mean"], log_rate, atol=0.1)
    grown = {name: errors[-1] * times[-1] / (errors[0] * times[0]) for name, errors in error.items()}
    steepest = (np.abs(path).max() + 2) ** 2 + 1  # E‖g‖² is at most this where the paths went
    over = error["last weights"] / (17 * steepest * (1 + np.log(times)) / times)
    report.at_most("last weights: error over 17 G² (1 + ln T)/(λT)", over, 1)
    rows = [[name, power[name], *errors[[0, -1]], grown[name]] for name, errors in error.items()]
    columns = ["weights", "power of T", "error at T = 16", f"error at T = {times[-1]}", "growth of T · error"]
    report.table(f"A strongly convex function with a kink, rate 1/t, mean of {copies} runs", columns, rows)
    report.note("The last weights reach log T/T only on specially built functions; here they keep 1/T.")


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


def _saddle(report, runs, seed, limit=500):
    """Descent on ‖w‖⁴/4 − wᵀCw/2, lowest at the first principal component; the second one is a saddle."""
    x = data.iris()[0]
    x -= x.mean(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    saddle, rows, left = math.sqrt(values[-2]) * vectors[:, -2], [], {}
    for size, off in ((1, 0.0), (4, 0.0), (16, 0.0), (150, 0.0), (150, 0.001)):
        left[size, off] = []
        for number in range(seed, seed + runs):
            epochs, start = -(-limit // -(-len(x) // size)), saddle + off * vectors[:, -1]
            path = sgd(lambda w, x, y: (w @ w) * w - x.T @ (x @ w) / len(x), x, x, start, 0.01, size, epochs, number)
            along = np.abs(path[:limit] @ vectors[:, -1])  # √λ₁ at the minimum
            left[size, off].append(int((along < math.sqrt(values[-1]) / 2).sum()))
        mean, error = plots.mean_and_error(left[size, off])
        rows.append([size, off, mean, error, max(left[size, off])])
    columns = ["batch", "start off the saddle by", "updates until half-way out, mean", "standard error", "largest"]
    report.table(f"Leaving a saddle, {runs} seeds, at most {limit} updates", columns, rows)
    report.check("full batch, on the saddle: updates it stays, of all", left[150, 0.0], [limit] * runs)
    for size in (1, 4, 16):
        report.at_most(f"batch {size}, on the saddle: updates, slowest seed", max(left[size, 0.0]), limit - 1)


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

"""Averaging the weights takes the noise of stochastic descent out again, and the noise itself leaves saddles.

What the reader should see: with batches the path hovers around the minimum; a weighted mean of the path, kept beside
it, settles where the path itself does not. On a function with a kink the mean's error falls as 1/T. And noise helps:
it leaves a saddle on which the whole data set would rest for good. On |w|, whose slope never fades, steps of one size
jump at that size for ever; jumps of steps 1/√t shrink, and the best value stays below a published bound at every t.

Notes: chapter 03, "Stochastic gradient descent and averaging" (随机梯度下降与平均).
Source: Shamir and Zhang 2013, arXiv:1212.1824, section 4 (the averaging); Rakhlin et al. 2012, arXiv:1109.5647;
    Boyd et al. 2003, https://web.stanford.edu/class/ee392o/subgrad_method.pdf (the bound for subgradients).
"""

import math

import keras
import numpy as np

from kerasnotes import data, plots
from kerasnotes.chapter03.batch_size import least_squares_excess, least_squares_gradient, sgd
from kerasnotes.chapter03.batch_size import smooth as smooth  # looked for here too
from kerasnotes.parts import positive

SMOKE = {"updates": 1024, "runs": 2}
SECONDS = 3


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


def subgradient_bound(rates, distance, slope):
    """How far above the minimum the best point of subgradient descent may still be, for any convex function.

    After t steps of sizes η it is at most (R² + G² Σ η²) / (2 Σ η), whatever the function's kinks are.

    Args:
        rates: The learning rates η of the steps, (steps,).
        distance: R, the distance from the start to the minimum, or more.
        slope: G, the length of the longest subgradient, or more.

    Returns: Bounds (steps,), float64; the one at index t is for the best of the first t + 1 points, start included.
    Raises: ValueError: If a rate, the distance or the slope is no positive number.
    Source: Boyd et al. 2003, https://web.stanford.edu/class/ee392o/subgrad_method.pdf.
    """
    rates = np.asarray(rates, np.float64)
    if rates.ndim != 1 or not rates.size or not ((rates > 0) & np.isfinite(rates)).all():
        raise ValueError(f"rates: expected positive numbers (steps,), got {rates!r}")
    squares = positive("distance", distance) ** 2 + positive("slope", slope) ** 2 * np.cumsum(rates**2)
    return squares / (2 * np.cumsum(rates))


def example():
    """The last weights and the mean of their path, on least squares; then Keras's own mean of the weights."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 3))
    y = x @ [1.0, 2.0, 3.0] + rng.normal(size=256)
    path = sgd(least_squares_gradient, x, y, np.zeros(3), 0.05, batch_size=1, epochs=8)
    for name, w in (("last weights", path[-1]), ("their mean", polynomial_average(path)[-1])):
        print(f"{name:<22} {w}, above the minimum by {least_squares_excess(w, x, y):.5f}")

    for average in (False, True):  # Keras's mean is exponential; it is put into the weights when training ends
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        model.compile(keras.optimizers.SGD(0.025, use_ema=average, ema_momentum=0.99), "mse")
        model.fit(x, y[:, None], batch_size=4, epochs=8, verbose=0)
        w = model.get_weights()[0][:, 0]
        print(f"Keras, use_ema={average!s:<5}   {w}, above the minimum by {least_squares_excess(w, x, y):.5f}")


def lesson(report, *, updates: int = 8192, runs: int = 10, epochs: int = 25, seed: int = 0):
    """Averages on least squares and on a function with a kink, steps on |w|, and a saddle.

    Args:
        report: The report to write to.
        updates: Updates of the longest runs for the rates (256 to 1000000).
        runs: Seeds of the averages and of the saddle (1 to 100).
        epochs: Passes through the data of the averages, so many that they forget their start (1 to 1000).
        seed: The first seed; the others follow it (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2048, 10)) * np.geomspace(1, 0.2, 10)
    y = x @ rng.normal(size=10) + rng.normal(size=2048)
    paths = _averages(report, x, y, runs, epochs, seed)
    times, error = _strongly_convex(report, updates, seed)
    _generic_convex(report, updates, seed)
    _saddle(report, runs, seed)
    report.figure(
        "The weighted mean settles where the path hovers",
        _figure(paths, times, error),
        alt="Left, least squares, constant rate: the loss of the last weights stays at one level, that of their mean "
        "goes on falling. Right, a kink and rate 1/t: all fall in straight lines, the plain mean above the others.",
    )


def _averages(report, x, y, runs, epochs, seed):
    rows = []
    for number in range(seed, seed + runs):
        path = sgd(least_squares_gradient, x, y, np.zeros(10), 0.03, 8, epochs, number)
        mixed = sgd(least_squares_gradient, x, y, np.zeros(10), lambda t: 0.03 * 4 / (t + 5), 8, epochs, number)
        rows.append(least_squares_excess(np.stack([path[-1], polynomial_average(path)[-1], mixed[-1]]), x, y))
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
    paths = {"last weights": path, "mean with γ = 3": polynomial_average(path)}  # of the last seed
    return {name: least_squares_excess(points, x, y) for name, points in paths.items()}


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
    return times, error


def _generic_convex(report, updates, seed, copies=100, size=0.1):
    """|w| from many starts up to 2 away: R = 2, G = 1. At 0 the slope is 1: at slope 0 it would rest."""
    start, empty = np.random.default_rng(seed).uniform(0.5, 2, copies), np.zeros((updates, 1))
    times, rates = np.arange(1, updates + 1), {}
    rates["steps 1/√t"], rates[f"steps {size:g}"] = 1 / np.sqrt(times), np.full(updates, size)
    rows, newest, best, bound = [], {}, {}, {}
    for name, eta in rates.items():
        path = sgd(
            lambda w, x, y: np.where(w >= 0, 1.0, -1.0), empty, empty, start, lambda t, eta=eta: eta[t], 1, 1, seed
        )
        newest[name], bound[name] = np.abs(path), subgradient_bound(eta, 2, 1)
        best[name] = np.minimum.accumulate(newest[name][:-1])
        over = (best[name] / bound[name][:, None]).max()
        report.at_most(f"|w|, {name}: best value over its bound, largest of all t and starts", over, 1)
        rows.append(
            [name, newest[name][-2:].max(axis=0).mean(), best[name][-1].mean(), best[name][-1].max(), bound[name][-1]]
        )
    falling, fixed = rates
    late, larger = updates // 2, {name: np.maximum(values[:-1], values[1:]) for name, values in newest.items()}
    over = newest[falling][late + 1 :] / rates[falling][late:, None]
    report.at_most("|w|, steps 1/√t: newest value over the last step, largest of the second half", over.max(), 1)
    over = (larger[falling] / rates[falling][:, None]).min()
    report.at_least("|w|, steps 1/√t: larger of two neighbouring values over the step, smallest", over, 0.5)
    pairs = newest[fixed][late:-1] + newest[fixed][late + 1 :]
    report.check("|w|, equal steps: two neighbouring values add up to the step", pairs, np.full_like(pairs, size))
    columns = ["on |w|", "newest two, larger, mean", "best, mean", "best, largest", "bound of the best"]
    report.table(f"A generic convex function, {copies} starts, after {updates} updates", columns, rows)
    shown = np.unique(np.geomspace(1, updates, 200).astype(int)) - 1
    lines = {f"{falling}: bound of the best": bound[falling],
             f"{falling}: larger of the newest two": larger[falling].mean(axis=1),
             f"{fixed}: bound of the best": bound[fixed],
             f"{fixed}: larger of the newest two": larger[fixed].mean(axis=1)}  # fmt: skip
    figure = plots.curves(shown + 1, {name: values[shown] for name, values in lines.items()}, xlabel="updates t",
                          ylabel="|w|, mean of the starts", xscale="log", yscale="log",
                          title="A slope that does not fade asks for shorter steps")  # fmt: skip
    report.note("The bound must hold for every function with this slope. On |w| the best value falls far faster than "
                "1/√t: a path that jumps across the minimum also comes down next to it. "
                "The jumps fall as 1/√t.")  # fmt: skip
    report.figure("Equal steps jump at their size and falling steps come closer", figure,
                  alt="With equal steps the value stays near the step. With steps 1/√t it goes on falling, "
                  "below its bound.")  # fmt: skip


def _figure(paths, times, error):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4))
    shown = np.unique(np.geomspace(1, len(paths["last weights"]) - 1, 200).astype(int))
    plots.curves(shown, {name: values[shown] for name, values in paths.items()}, xlabel="updates", xscale="log",
                 ylabel="loss above minimum", yscale="log", title="Constant rate: the path hovers,\nits mean settles",
                 ax=left)  # fmt: skip
    plots.curves(times, error, xlabel="updates T", ylabel="error, mean of the runs", xscale="log", yscale="log",
                 marker="o", title="Rate 1/t: all settle,\nthe plain mean lags", ax=right)  # fmt: skip
    return figure


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

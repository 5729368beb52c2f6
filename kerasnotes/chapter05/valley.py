"""In a narrow valley the best momentum needs steps in proportion to √κ, where plain descent needs κ.

What the reader should see: in a valley that is a hundred times as steep across as along, plain descent at its best
rate needs 691 steps for six digits; a heavy ball needs 95, because its ratio depends on √κ instead of κ. The same holds
for real data: a line through the car data lies in such a valley. The best momentum belongs to its valley, and it
overshoots before it settles.

Notes: chapter 05, "Momentum, RMSprop and the learning rate" (动量法).
Source: Polyak 1964, Some methods of speeding up the convergence of iteration methods,
doi:10.1016/0041-5553(64)90137-5; Lessard et al. 2016, arXiv:1408.3595, Proposition 1 (the best parameters).
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter03.descent import convergence_ratio, gradient_descent
from kerasnotes.chapter05.momentum import heavy_ball, nesterov

SMOKE = {"starts": 3, "epochs": 3}
SECONDS = 2

COLUMNS = ["method", "proven ratio a step", "steps by theory, 6 digits", "measured, 3 digits", "6 digits", "9 digits"]


def best_parameters(small, large):
    """Learning rates and momenta that suit a valley best, and what they leave of the distance in every step.

    Args:
        small, large: The smallest and the largest curvature of a quadratic loss, 0 < small <= large; κ is their ratio.

    Returns:
        Dictionary from "plain descent", "heavy ball" and "Nesterov" to `(learning_rate, beta, ratio)`: after many
        steps, each leaves the share `ratio` of the distance. Nesterov's is a bound, for `learning_rate` 1/large.

    Raises:
        ValueError: If a curvature is not positive, or `small` is above `large`.

    Source: Lessard et al. 2016, Proposition 1; Polyak 1964 (heavy ball).
    """
    if not 0 < small <= large < math.inf:
        raise ValueError(f"small, large: expected curvatures 0 < small <= large, got {small!r} and {large!r}")
    root = math.sqrt(large / small)
    swing = (root - 1) / (root + 1)
    return {
        "plain descent": (2 / (small + large), 0.0, (root**2 - 1) / (root**2 + 1)),
        "heavy ball": (4 / (math.sqrt(small) + math.sqrt(large)) ** 2, swing**2, swing),
        "Nesterov": (1 / large, swing, 1 - 1 / root),
    }


def example():
    """A valley a hundred times as steep across as along: a hundred steps, by Keras's SGD and by the paths above."""
    curvatures, start = np.array([1.0, 100.0]), np.array([1.0, 1.0])
    forms = {"plain descent": heavy_ball, "heavy ball": heavy_ball, "Nesterov": nesterov}
    for name, (rate, beta, ratio) in best_parameters(1.0, 100.0).items():
        optimizer = keras.optimizers.SGD(rate, momentum=beta, nesterov=name == "Nesterov")
        w = keras.Variable(start, dtype="float64")
        for _ in range(100):
            optimizer.apply([tf.constant(curvatures) * w], [w])
        path = forms[name](lambda w: curvatures * w, start, rate, beta, 100)
        left = [float(np.linalg.norm(end)) / math.sqrt(2) for end in (w.numpy(), path[-1])]
        print(
            f"{name:13} rate {rate:.4f}, β {beta:.3f}: left {left[0]:.2e} and {left[1]:.2e}, ratio^100 {ratio**100:.0e}"
        )


def lesson(report, *, condition: float = 100.0, starts: int = 20, epochs: int = 150, seed: int = 0):
    """Count steps in two valleys, a drawn one and that of the car data.

    Args:
        report: The report to write to.
        condition: κ of the valley: curvature across over curvature along (100 to 10000).
        starts: Random starting points for the counts (1 to 1000).
        epochs: Full-batch epochs of the Keras model on the car data (1 to 10000).
        seed: Seed of the starting points (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _valley(report, condition, rng.normal(size=(starts + 1, 2))[1:])  # the first one is that of the lesson on momentum
    _cars(report, epochs, rng, starts)


def _methods(small, large):
    """Name → (path function, its proven ratio a step); rates and β are the best, and the usual β for comparison."""
    (plain, _, slow), (ball, beta, fast), (rate, share, bound) = best_parameters(small, large).values()
    return {
        "plain descent": (lambda g, w, n: gradient_descent(g, w, plain, n), slow),
        "heavy ball": (lambda g, w, n: heavy_ball(g, w, ball, beta, n), fast),
        "Nesterov": (lambda g, w, n: nesterov(g, w, rate, share, n), bound),
        "heavy ball, β = 0.9": (
            lambda g, w, n: heavy_ball(g, w, 1 / large, 0.9, n),
            np.abs(np.roots([1, small / large - 1.9, 0.9])).max(),
        ),
    }


def _steps_to(paths, digits):
    """Steps after which every path (steps + 1, starts, dims) stays nearer to 0 than 10^−digits of its start."""
    distance = np.linalg.norm(paths, axis=2)
    return np.max(np.sum(np.maximum.accumulate(distance[::-1])[::-1] > distance[0] / 10**digits, axis=0))


def _count(gradient, small, large, starts, digits=(3, 6, 9)):
    """Rows of counts for each method, from all starts (starts, dims) at once; and the paths."""
    shape, rows, paths = starts.shape, {}, {}
    methods = _methods(small, large)
    limit = int(digits[-1] * math.log(10) / -math.log(methods["plain descent"][1])) + 2
    for name, (run, ratio) in methods.items():
        paths[name] = run(lambda w: gradient(w.reshape(shape)).ravel(), starts.ravel(), limit).reshape(-1, *shape)
        theory = math.log(10**6) / -math.log(ratio)
        rows[name] = [name, ratio, theory, *(int(_steps_to(paths[name], each)) for each in digits)]
    return rows, paths


def _valley(report, condition, starts):
    curvatures = np.array([1.0, condition])
    rows, paths = _count(lambda w: curvatures * w, 1.0, condition, starts)
    report.table(f"Steps in a valley, κ = {condition:g}; slowest of {len(starts)} starts", COLUMNS, rows.values())
    plain, ball = rows["plain descent"], rows["heavy ball"]
    ratios = [convergence_ratio(path, [0.0, 0.0])[:100] for path in np.moveaxis(paths["plain descent"], 1, 0)]
    report.check("plain descent: every step leaves (κ − 1)/(κ + 1)", ratios, np.full((len(starts), 100), plain[1]))
    r, t = ball[1], np.arange(60)[:, None]
    closed = np.hstack([(1 + (1 - r) * t) * r**t, (1 + (1 + r) * t) * (-r) ** t])  # a double root, hence the t
    report.check("heavy ball: along (1 + (1 − r)t)·rᵗ, across (1 + (1 + r)t)·(−r)ᵗ, r = (√κ − 1)/(√κ + 1)",
                 paths["heavy ball"][:60], closed[:, None] * starts)  # fmt: skip
    rates = np.linspace(0.5, 1, 51)[:-1] * 2 / condition  # all at once: a curvature ηλ at rate 1 is λ at rate η
    tried = gradient_descent(lambda w: np.outer(rates, curvatures).ravel() * w, np.ones(100), 1.0, plain[4])
    left = np.abs(tried[-1]).reshape(50, 2).max(axis=1) / plain[1] ** plain[4]
    report.at_least("50 other rates of plain descent: what is left of (1, 1), over that of the best", left, 1 - 1e-9)
    report.at_least(f"six digits, κ = {condition:g}: steps of the best plain descent over the heavy ball's",
                    plain[4] / ball[4], 6.0)  # fmt: skip
    far = np.abs(closed[:, 1]).max()
    report.note(
        f"The heavy ball's best β goes with overshooting: across the valley it swings out to {far:.1f} times its start "
        f"before it settles, so for three digits it saves less: {plain[3]} steps become {ball[3]}. And β belongs to "
        "the valley: the usual 0.9 is not the best here."
    )
    figure, (left, right) = plots.subplots(1, 2, figsize=(11.5, 4.6))
    grid = np.stack(np.meshgrid(np.linspace(-0.3, 1.1, 120), np.linspace(-0.5, 0.5, 120)), axis=-1)
    left.contour(*np.moveaxis(grid, -1, 0), grid**2 @ curvatures / 2, np.geomspace(0.01, 10, 9), colors="0.8",
                 linewidths=1)  # fmt: skip
    begin, distances = np.array([1.0, 1 / math.sqrt(condition)]), {}
    for number, (name, (run, _)) in enumerate(_methods(1.0, condition).items()):
        path = run(lambda w: curvatures * w, begin, 250)
        distances[name] = np.linalg.norm(path, axis=1)
        if number < 3:
            left.plot(*path[:40].T, plots.LINE_STYLES[number], marker=".", linewidth=1.3, label=name)
    left.plot(0, 0, "*", color="black", markersize=13)
    left.set(
        xlabel="weight 1", ylabel="weight 2 (steep)", xlim=(-0.3, 1.1), ylim=(-0.5, 0.5), title="The first 40 steps"
    )
    left.legend(loc="upper left", fontsize=9)
    left.grid(False)
    plots.curves(np.arange(251), distances, xlabel="step", ylabel="distance to the minimum", yscale="log",
                 title="The best momentum wins by far", ax=right)  # fmt: skip
    right.set_ylim(1e-13, 3)
    report.figure(
        "Momentum in a narrow valley",
        figure,
        alt="Left: plain descent swings across the valley and creeps along it; the paths with momentum reach the "
        "minimum. Right: distance over 250 steps; plain descent gains two digits, the heavy ball all thirteen shown.",
    )


def _cars(report, epochs, rng, starts):
    """The line through the car data: κ is that of the data's second derivatives."""
    x, y = ((values - values.mean(axis=0)) / values.std(axis=0) for values in data.auto_mpg())
    hessian, best = 2 * x.T @ x / len(x), np.linalg.lstsq(x, y, rcond=None)[0]  # of the mean squared error
    small, large = np.linalg.eigvalsh(hessian)[[0, -1]]
    begin = rng.normal(size=(starts, len(best)))
    rows, _ = _count(lambda w: w @ hessian, small, large, begin)  # w: distance from the best line
    report.table(f"Steps to the best line through the car data, κ = {large / small:.0f}", COLUMNS, rows.values())
    report.at_least("car data, six digits: steps of the best plain descent over the heavy ball's",
                    rows["plain descent"][4] / rows["heavy ball"][4], 6.0)  # fmt: skip

    rate, beta, _ = best_parameters(small, large)["heavy ball"]
    start = keras.initializers.Constant((best + begin[0])[:, None])
    model = keras.Sequential(
        [keras.Input((len(best),)), keras.layers.Dense(1, use_bias=False, kernel_initializer=start)]
    )
    model.compile(keras.optimizers.SGD(rate, beta), "mean_squared_error")
    training.fit(model, x, y[:, None], batch_size=len(x), epochs=epochs, shuffle=False, form="step")
    path = best + heavy_ball(lambda w: hessian @ w, begin[0], rate, beta, epochs)
    report.check(f"a Dense layer after {epochs} epochs of fit is where our path ends", model.get_weights()[0][:, 0],
                 path[-1], rtol=1e-4, atol=1e-4)  # fmt: skip

"""The step size decides whether descent arrives, and the shape of the function decides how fast.

What the reader should see: on a parabola of curvature λ every step multiplies the error by 1 − ηλ: it creeps below
η = 1/λ, swings up to 2/λ, and flies off beyond. Four kinds of function then give four rates, each below its proven
bound: exponential, 1/T², 1/T and 1/√T. At a kink even a correct step can raise the function.

Notes: chapter 03, "Step size and the speed of convergence" (学习率与收敛速度).
Source: Bubeck 2015, arXiv:1405.4980, Theorems 3.2, 3.3 and 3.19 and section 3.4.2; Beck and Teboulle 2009,
doi:10.1137/080716542 (the momentum).
"""

import math

import numpy as np

from kerasnotes import plots
from kerasnotes.parts import positive, whole

SMOKE = {"rates": 101}  # the rest takes half a second
SECONDS = 1


def gradient_descent(gradient, start, learning_rate, steps):
    """Step against the gradient, again and again.

    Args:
        gradient: Takes an array (dims,), returns the gradient there, (dims,).
        start: Where to begin, (dims,).
        learning_rate: The step is this number times the gradient.
        steps: How many steps.

    Returns: The path, float64 (steps + 1, dims), start included. A path that diverges may end in infinity.
    Raises: ValueError: If the shapes do not fit, `learning_rate` is not positive, or `steps` is negative.
    """
    path = _path(gradient, start, learning_rate, steps)
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(steps):
            path[t + 1] = path[t] - learning_rate * gradient(path[t])
    return path


def nesterov_descent(gradient, start, learning_rate, steps):
    """Nesterov's accelerated descent for smooth convex functions: the gradient is taken ahead, where momentum leads.

    The momentum (s − 1) / s′, with s′ = (1 + √(1 + 4s²)) / 2, grows from 0 towards 1.

    Args, Raises: As for `gradient_descent`; the rate is at most 1 / (the largest curvature).
    Returns: The path, float64 (steps + 1, dims). The function may rise on it now and then.
    """
    path = _path(gradient, start, learning_rate, steps)
    ahead, s = path[0], 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(steps):
            path[t + 1] = ahead - learning_rate * gradient(ahead)
            s, previous = (1 + math.sqrt(1 + 4 * s**2)) / 2, s
            ahead = path[t + 1] + (previous - 1) / s * (path[t + 1] - path[t])
    return path


def subgradient_descent(gradient, start, learning_rate, steps):
    """Descent for convex functions with kinks, where slopes do not fade: every step is √steps times shorter.

    With learning_rate = R / G (the distance to the minimum over the steepest slope), the best point of the path is
    within R·G / √steps of the minimum.

    Args, Raises: As for `gradient_descent`; `gradient` returns a subgradient, the slope of a plane that touches the
        function from below.
    Returns: The path, float64 (steps + 1, dims). Its last point need not be its best.
    """
    return gradient_descent(gradient, start, learning_rate / math.sqrt(max(steps, 1)), steps)


def convergence_ratio(path, optimum):
    """How much of the distance to the optimum each step leaves: ‖w(t + 1) − w*‖ / ‖w(t) − w*‖.

    Args:
        path: Points (steps + 1, dims).
        optimum: The minimum w*, (dims,).

    Returns: An array (steps,); NaN after the optimum has been met exactly.
    Raises: ValueError: If the shapes do not fit.
    """
    path, optimum = np.asarray(path, np.float64), np.asarray(optimum, np.float64)
    if path.ndim != 2 or not path.size or optimum.shape != path.shape[1:]:
        raise ValueError(f"path: expected points (steps + 1, dims), got {path.shape} for optimum {optimum.shape}")
    distance = np.linalg.norm(path - optimum, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(distance[:-1] > 0, distance[1:] / distance[:-1], np.nan)


def _path(gradient, start, learning_rate, steps):
    """Check the arguments; the path to be filled, with its start."""
    start = np.array(start, np.float64)
    if start.ndim != 1 or not start.size or not np.isfinite(start).all():
        raise ValueError(f"start: expected finite numbers (dims,), got {start}")
    positive("learning_rate", learning_rate)
    steps = whole("steps", steps, least=0)
    if np.shape(gradient(start)) != start.shape:
        raise ValueError(f"gradient: expected shape {start.shape}, got {np.shape(gradient(start))}")
    return np.concatenate([start[None], np.zeros((steps, start.size))])


def example():
    """Descent on ½·4·w² at four step sizes, then with momentum and without in a long valley."""
    for rate in (0.125, 0.25, 0.375, 0.525):  # half of 1/λ, 1/λ, and on both sides of 2/λ
        path = gradient_descent(lambda w: 4 * w, [1.0], rate, 4)
        print(f"rate {rate:.3f}:", path[:, 0], "each step leaves", convergence_ratio(path, [0.0])[0])
    curvatures = np.array([1.0, 0.001])
    for name, descend in (("plain", gradient_descent), ("Nesterov", nesterov_descent)):
        path = descend(lambda w: curvatures * w, [1.0, 1.0], 1.0, 200)
        print(f"{name:<8} in a long valley: value {(curvatures * path[-1] ** 2).sum() / 2:.2g} after 200 steps")
    path = subgradient_descent(np.sign, [1.0, -0.5], 1.0, 100)
    print("best |x| + |y| by subgradients, 100 steps:", np.abs(path).sum(axis=1).min())


def lesson(report, *, steps: int = 4096, rates: int = 401, seed: int = 0):
    """One parabola at many step sizes, long valleys, four rates of convergence, and a kink.

    Args:
        report: The report to write to.
        steps: Longest run for the rates (64 to 100000).
        rates: Step sizes tried in each valley (21 to 10001).
        seed: Seed of the starting points (0 to 4294967295).
    """
    _parabola(report)
    _valleys(report, rates)
    _rates(report, steps, np.random.default_rng(seed))
    _kink(report)


def _parabola(report, curvature=4.0):
    series, rows, wanted = {}, [], []
    for scaled in (0.5, 0.9, 1.0, 1.5, 1.9, 2.0, 2.1):  # η as a share of 1/λ
        path = gradient_descent(lambda w: curvature * w, [1.0], scaled / curvature, 10)
        ratio, signs, sizes = convergence_ratio(path, [0.0])[0], np.sign(path[:2, 0]), np.abs(path[:2, 0])
        course = "arrives" if ratio == 0 else "one side" if signs[0] == signs[1] else "swings"
        course += "" if ratio == 0 else ", nearer" if sizes[1] < sizes[0] else ", no nearer"
        values = curvature * path[:2, 0] ** 2 / 2
        rows.append([scaled, ratio, values[1] / values[0], course])
        wanted.append([abs(1 - scaled), (1 - scaled) ** 2])
        if scaled in (0.5, 1.0, 1.5, 2.1):
            series[f"η = {scaled:.1f} / λ"] = path[:, 0]
    columns = ["η·λ", "ratio of errors in w", "ratio of errors in f", "course"]
    report.table("Descent on ½ λ w², λ = 4", columns, rows)
    want = ["one side, nearer"] * 2 + ["arrives"] + ["swings, nearer"] * 2 + ["swings, no nearer"] * 2
    report.check("steady below 1/λ, swinging up to 2/λ, no nearer from there on", [row[3] for row in rows], want)
    report.check("measured ratios: |1 − ηλ| in w, (1 − ηλ)² in f", [row[1:3] for row in rows], wanted)
    report.correction(
        "rate of convergence R",
        course="R is of the parameters; its formula divides values of f",
        correct="the parameters' ratio is |1 − ηλ|; the printed ratio of values is its square",
        shown_by="both ratios measured on ½ λ w²",
    )
    figure = plots.curves(range(11), series, xlabel="step", ylabel="w − w*", marker="o",
                          title="One step multiplies the error by 1 − ηλ")  # fmt: skip
    report.figure(
        "Step sizes on a parabola",
        figure,
        alt="Error over 10 steps: it fades at half of 1/λ, is gone after one step at 1/λ, swings and fades at 1.5/λ, "
        "and swings and grows at 2.1/λ.",
    )


def _valleys(report, rates):
    rows = []
    for condition in (2, 10, 100):
        curvatures = np.array([1.0, condition])
        tried = np.linspace(0.01, 2, rates) / condition
        paths = [gradient_descent(lambda w, c=curvatures: c * w, [1.0, 1.0], rate, 1) for rate in tried]
        worst = [np.abs(path[1]).max() for path in paths]  # what is left in the slower of the two directions
        path = gradient_descent(lambda w, c=curvatures: c * w, [1.0, 1.0], 2 / (1 + condition), 50)
        ratio = convergence_ratio(path, [0.0, 0.0])
        best = (condition - 1) / (condition + 1)
        report.check(f"κ = {condition}: ratio at η = 2 / (λ₁ + λ₂) is (κ − 1) / (κ + 1)", ratio, np.full(50, best))
        report.at_least(f"κ = {condition}: best ratio of {rates} other step sizes", min(worst), best - 1e-12)
        rows.append([condition, best, min(worst), tried[np.argmin(worst)], math.log(10) / -math.log(best)])
    columns = ["condition κ", "(κ − 1) / (κ + 1)", "best of the step sizes tried", "at η", "steps per digit"]
    report.table("Long valleys", columns, rows)


def _rates(report, steps, rng):
    every, horizons = np.arange(1, steps + 1), 2 ** np.arange(int(math.log2(steps)) + 1)  # T
    curvatures, start = np.geomspace(1e-10, 1, 200), np.ones(200)  # the flattest directions never come to an end
    plain, fast = (
        descend(lambda w: curvatures * w, start, 1.0, steps)[1:] ** 2 @ curvatures / 2
        for descend in (gradient_descent, nesterov_descent)
    )
    kinked, slope = rng.normal(size=100), 10.0  # ‖w‖₁ in 100 dimensions is √100 steep
    reach = np.linalg.norm(kinked)
    paths = (subgradient_descent(np.sign, kinked, reach / slope, T) for T in horizons)
    best = np.array([np.abs(path).sum(axis=1).min() for path in paths])
    # log cosh has curvatures from 0 to 1, and 1 at its minimum: with the parabola, 0.1 to 2 in all
    parabola, begin, rate, shown = np.geomspace(0.1, 1, 5), rng.normal(size=5), (2 - 0.1) / (2 + 0.1), every[:64]
    path = gradient_descent(lambda w: parabola * w + np.tanh(w), begin, 2 / (2 + 0.1), len(shown))[1:]
    strong = path**2 @ parabola / 2 + (np.abs(path) + np.log1p(np.expm1(-2 * np.abs(path)) / 2)).sum(axis=1)
    runs = {
        "Lipschitz: 1/√T": (horizons, best, reach * slope / np.sqrt(horizons), -0.5),
        "smooth: 1/T": (every, plain, 200 / (2 * every), -1.0),
        "smooth, Nesterov: 1/T²": (every, fast, 2 * 200 / (every + 1) ** 2, -2.0),
        "strongly convex: exponential": (shown, strong, begin @ begin * rate ** (2 * shown), None),  # L/2 is 1
    }
    rows = []
    for name, (times, gap, bound, power) in runs.items():
        report.at_most(f"{name}: error over its bound, largest of all T", gap / bound, 1)
        late, slope = times >= 16, None
        if power:
            slope = np.polyfit(np.log(times[late]), np.log(gap[late]), 1)[0]
            report.check(f"{name}: measured power of T", slope, power, atol=0.1)
        rows.append([name, power, slope, (gap / bound).max(), gap[-1]])
    falls, fall = np.diff(np.log(strong[31:])), 2 * math.log(rate)  # from T = 32 on, where only the slowest is left
    report.check(
        "strongly convex: log error falls by 2 ln((κ − 1)/(κ + 1)) a step", falls, np.full(32, fall), rtol=0.01
    )
    columns = ["function: rate", "power of T", "measured", "largest error over bound", "error at the last T"]
    report.table(f"Rates up to T = {steps}", columns, rows)
    report.correction(
        "table of rates",
        course="generic convex 1/T, smooth 1/√T, momentum 1/T²",
        correct="smooth convex 1/T, Lipschitz convex 1/√T, smooth convex with Nesterov's momentum 1/T²",
        shown_by="measured powers of T: −1 on a smooth function, −½ on ‖w‖₁, −2 with momentum",
    )
    figure, ax = plots.subplots(figsize=(8, 5))
    plots.curves({name: run[0] for name, run in runs.items()}, {name: run[1] for name, run in runs.items()},
                 xlabel="steps T", ylabel="f − f*", xscale="log", yscale="log",
                 title="Four kinds of function, four rates", ax=ax)  # fmt: skip
    for number, (times, _, bound, _) in enumerate(runs.values()):
        ax.plot(times, bound, color=f"C{number}", linewidth=0.8, label="their proven bounds" if number == 0 else None)
    ax.set_ylim(1e-8, 1e4)
    ax.legend(loc="lower left")
    report.figure(
        "Four rates of convergence",
        figure,
        alt="Error over steps, both logarithmic: straight lines of slopes −1/2, −1 and −2, and one curve that plunges. "
        "Each stays below a thin line, its bound.",
    )


def _kink(report):
    value = lambda w: np.abs(w[..., 0]) + 3 * np.abs(w[..., 1])  # noqa: E731
    corner, around = np.array([1.0, 0.0]), np.stack(np.meshgrid(*[np.linspace(-2, 2, 41)] * 2), axis=-1)
    rows = []
    for name, g in (("a direction of growth", (0.0, 1.0)), ("a subgradient", (1.0, 3.0)), ("another one", (1.0, 0.0))):
        below = (value(around) - value(corner) - (around - corner) @ g).min()  # a supporting plane is nowhere above
        path = gradient_descent(lambda w, g=g: np.array(g), corner, 0.1, 1)
        rows.append([name, str(g), below, value(path[1]), np.linalg.norm(path[1])])
    columns = ["g", "value", "f less its plane, smallest", "f after a step of 0.1 g", "distance to the minimum"]
    report.table("f = |x| + 3·|y| at (1, 0), where f = 1", columns, rows)
    report.check("the direction of growth (0, 1) gives a plane that cuts f", rows[0][2], -1.0)
    report.check("(1, 3) and (1, 0) give planes below f", [row[2] for row in rows[1:]], [0.0, 0.0])
    report.check("a step along the subgradient (1, 3) raises f from 1 to", rows[1][3], 1 + 8 * 0.1)
    report.check("and yet comes nearer to the minimum, distance² 1 − 2η + 10η²", rows[1][4] ** 2, 1 - 0.2 + 0.1)
    stuck = gradient_descent(lambda w: np.array([0.0, np.sign(w[1]) or 1.0]), corner, 0.1, 100)
    report.check("steps against directions of growth never reach the minimum: f at best", value(stuck).min(), 1.0)
    path = subgradient_descent(lambda w: np.array([1, 3]) * np.sign(w), corner, 1 / math.sqrt(10), 1000)
    report.at_most("subgradients from (1, 0), 1000 steps: best f", value(path).min(), math.sqrt(10 / 1000))
    report.correction(
        "subgradients",
        course="any direction in which the function grows will do",
        correct="g must be the slope of a plane below the function; and even then a step can raise the function",
        shown_by="|x| + 3·|y| at (1, 0): the growth direction (0, 1) never arrives; the subgradient (1, 3) first rises",
    )

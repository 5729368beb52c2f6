"""What a trained model loses against the best possible prediction has three causes, and each has its own number.

A line is fitted to twenty points of a parabola by a few steps of descent. No line is a parabola (approximation), twenty
points are not all points (estimation), and the descent ends early (optimization). What the reader should see: the three
parts, all known in closed form, sum to the excess risk that is measured on 400,000 new examples; more steps lower one
of them only; and the training error is another number than their sum.

Notes: chapter 05, "Bias, variance and the parts of the error" (偏差、方差与误差分解).
Source: Bottou and Bousquet 2008, https://papers.nips.cc/paper/2007/hash/0d3180d672e08b4c5312dcdafdf6ef36-Abstract.html.
"""

import numpy as np

from kerasnotes import plots
from kerasnotes.chapter03.descent import gradient_descent
from kerasnotes.chapter05.capacity import polynomial_features

SMOKE = {"repeats": 30}
SECONDS = 2

DEVIATION, RATE = 0.5, 0.5  # standard deviation of the noise; step size of the descent


def excess_risk(best_in_class_risk, erm_risk, achieved_risk, bayes_risk):
    """Cut a model's excess risk, its risk less the lowest possible one, into three parts.

    Risks are expected losses on new data, not training errors.

    Args:
        best_in_class_risk: Lowest risk within the class of models.
        erm_risk: Risk of the model of the class that fits the training set best (empirical risk minimization).
        achieved_risk: Risk of the model that training returned.
        bayes_risk: Lowest risk of any prediction: the noise.

    Returns:
        `(approximation, estimation, optimization)`: they sum to achieved_risk − bayes_risk. The last one may be
        negative: training that ends early can land at a better model than the best fit.

    Raises:
        ValueError: If a risk is not finite, or one is below the lowest that is possible.

    Source: Bottou and Bousquet 2008.
    """
    risks = {"best_in_class_risk": best_in_class_risk, "erm_risk": erm_risk, "achieved_risk": achieved_risk}
    for name, risk in {**risks, "bayes_risk": bayes_risk}.items():
        if not np.isfinite(risk):
            raise ValueError(f"{name}: expected a finite number, got {risk!r}")
        bound_name, bound = ("bayes_risk", bayes_risk) if "best" in name else ("best_in_class_risk", best_in_class_risk)
        if name != "bayes_risk" and risk < bound:
            raise ValueError(f"{name}: expected at least {bound_name} = {bound!r}, got {risk!r}")
    return best_in_class_risk - bayes_risk, erm_risk - best_in_class_risk, achieved_risk - erm_risk


def example():
    """A line through eight noisy points of a parabola: the best fit by NumPy, three steps of descent, the parts."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 8)
    y = x + x**2 + rng.normal(0, DEVIATION, 8)
    inputs = polynomial_features(x, 1)  # (8, 2): 1 and x
    best_fit = np.polynomial.Polynomial.fit(x, y, 1).convert().coef
    descended = gradient_descent(lambda w: inputs.T @ (inputs @ w - y) / len(y), np.zeros(2), RATE, 3)[-1]
    parts = excess_risk(_risk([1 / 3, 1]), _risk(best_fit), _risk(descended), DEVIATION**2)
    for name, part in zip(("approximation", "estimation", "optimization"), parts, strict=True):
        print(f"{name:13} {part:.4f}")
    new = rng.uniform(-1, 1, 100_000)
    measured = np.mean((descended[0] + descended[1] * new - new - new**2) ** 2)  # against the best possible, x + x²
    print(f"their sum     {sum(parts):.4f}, measured on 100,000 new inputs {measured:.4f}")


def _risk(line):
    """The risk of a + b·x where y = x + x² + noise and x is uniform on [-1, 1]."""
    return DEVIATION**2 + 4 / 45 + (line[0] - 1 / 3) ** 2 + (line[1] - 1) ** 2 / 3


def lesson(report, *, repeats: int = 1000, examples: int = 20, steps: int = 10, seed: int = 0):
    """Cut the excess risk of lines that were fitted by descent into its three parts, and measure their sum.

    Args:
        report: The report to write to.
        repeats: Training sets (10 to 100000).
        examples: Examples in each training set (3 to 10000).
        steps: Steps of descent (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    parts, training_errors, risks = [], [], []
    for repeat in range(repeats):
        x, y = _sample(np.random.default_rng((seed, 3, repeat)), examples)
        inputs = polynomial_features(x, 1)  # (examples, 2)
        best_fit = np.linalg.lstsq(inputs, y, rcond=None)[0]
        path = gradient_descent(lambda w: inputs.T @ (inputs @ w - y) / examples, np.zeros(2), RATE, steps)  # noqa: B023
        risks.append(_risk(path.T))  # (steps + 1,)
        parts.append(excess_risk(_risk([1 / 3, 1]), _risk(best_fit), risks[-1][-1], DEVIATION**2))
        training_errors.append(np.mean((inputs @ path[-1] - y) ** 2))
    parts, risks, achieved = np.array(parts), np.array(risks), path[-1]  # (repeats, 3), (repeats, steps + 1)

    x, y = _sample(np.random.default_rng((seed, 4)), 400_000)
    losses = (achieved[0] + achieved[1] * x - y) ** 2 - (x + x**2 - y) ** 2  # best possible: x + x²
    error = losses.std() / np.sqrt(len(x))
    report.check("one line's three parts sum to its excess risk on 400,000 new examples (4 standard errors)",
                 got=losses.mean(), want=parts[-1].sum(), rtol=0.0, atol=4 * error)  # fmt: skip
    curvature = inputs.T @ inputs / examples
    left = np.linalg.matrix_power(np.eye(2) - RATE * curvature, steps) @ -best_fit
    report.check("its descent stops where the formula (I − ηH)^t (w₀ − ŵ) says", achieved - best_fit, left)
    report.check("approximation: what x² leaves over a line, 4/45", parts[:, 0], np.full(repeats, 4 / 45))
    report.at_least("estimation is never negative", parts[:, 1], 0.0)
    gap, error = plots.mean_and_error(risks[:, -1] - training_errors)
    report.at_least("risk above training error, mean less 4 standard errors", gap - 4 * error, 0.0, trained=True)
    sums = np.array([parts.sum(axis=1), np.array(training_errors) - DEVIATION**2])
    names = "approximation", "estimation", "optimization", "their sum: excess risk", "training error less noise"
    report.table(
        f"a line, {examples} examples, {steps} steps of descent, mean over {repeats} training sets",
        ["part", "mean", "standard error"],
        [[name, *plots.mean_and_error(values)] for name, values in zip(names, [*parts.T, *sums], strict=True)],
    )
    report.correction(
        "three parts of the error",
        course="The training error consists of approximation, estimation and optimization error.",
        correct="They are the parts of the excess risk: expected loss on new data less the lowest possible one.",
        shown_by=f"sum of the parts {sums[0].mean():.3f} = excess risk; training error less noise {sums[1].mean():.3f}",
    )
    report.figure(
        "More steps lower one part of the three",
        _figure(parts, risks),
        alt="The three parts over the steps of descent, stacked: approximation and estimation stay as they are, "
        "optimization falls from step to step.",
    )


def _sample(rng, size):
    x = rng.uniform(-1, 1, size)
    return x, x + x**2 + rng.normal(0, DEVIATION, size)


def _figure(parts, risks):
    figure, ax = plots.subplots(figsize=(7.5, 4.4))
    (approximation, estimation, _), by_step = parts.mean(axis=0), risks.mean(axis=0) - DEVIATION**2
    steps, ones = np.arange(len(by_step)), np.ones(len(by_step))
    optimization = by_step - approximation - estimation
    labels = ["approximation", "estimation", "optimization"]
    ax.stackplot(steps, approximation * ones, estimation * ones, optimization, labels=labels, alpha=0.8)
    ax.set(xlabel="steps of descent", ylabel="excess risk (squared error)", xlim=(0, steps[-1]), ylim=(0, None))
    ax.set_title("The best line stays as far from the truth as it is")
    ax.legend()
    return figure

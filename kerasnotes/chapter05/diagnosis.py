"""A model does worse than hoped: three errors say whether it is too small, badly optimized, or overfitted.

The first question goes to the training data: is the error there as small as hoped? If not, more data cannot help. Then
a smaller model decides: where it does better on the same training data, the larger one could have done so too, and it
is the search that failed; else both are too small. Only a model that has learnt its training data can overfit. What the
reader should see: polynomials that were built to fail, each in one way, and the verdicts on them.

Notes: chapter 05, "Underfitting, overfitting and capacity" (欠拟合、过拟合与模型容量).
Source: Goodfellow et al. 2016, Deep Learning, https://www.deeplearningbook.org, Sections 5.2 and 11.3; He et al. 2016,
arXiv:1512.03385, section 1 (a deeper network with the larger training error).
"""

import numpy as np

from kerasnotes import plots
from kerasnotes.chapter03.descent import gradient_descent
from kerasnotes.chapter05.capacity import polynomial_features
from kerasnotes.parts import positive

SMOKE = {"data_sets": 5}
SECONDS = 2

ADVICE = {
    "fine": "nothing to mend",
    "bias": "a larger model, more or better inputs",
    "optimization": "a better search: step size, momentum, start, more steps",
    "overfitting": "more data, a smaller model, regularization, stopping earlier",
}
CASES = {  # what is built to fail in which way: degree, examples, steps of descent or None for the best fit
    "fine": (3, 40, None),
    "bias": (1, 40, None),
    "optimization": (9, 40, 20),
    "overfitting": (9, 10, None),
}


def diagnose(training_error, validation_error, hoped, smaller_training_error=None):
    """Say what a model suffers from, by its errors on the data it was trained on and on other data.

    Args:
        training_error: Error on the training data, not negative.
        validation_error: Error on data that the model has not seen.
        hoped: The largest error that would be good enough, a positive number.
        smaller_training_error: Training error of a smaller model, one that the larger contains; None if there is none.

    Returns:
        "bias", "optimization", "overfitting" or "fine"; what helps against each stands in `ADVICE`. Without a smaller
        model "bias" stands for either of the first two.

    Raises:
        ValueError: If an error is negative or NaN, or `hoped` is not positive.
    """
    errors = {"training_error": training_error, "validation_error": validation_error}
    errors |= {} if smaller_training_error is None else {"smaller_training_error": smaller_training_error}
    for name, value in errors.items():
        if not value >= 0:  # NaN is refused as well
            raise ValueError(f"{name}: expected a number of at least 0, got {value!r}")
    if training_error > positive("hoped", hoped):
        worse_than_a_part = smaller_training_error is not None and smaller_training_error < training_error
        return "optimization" if worse_than_a_part else "bias"
    return "overfitting" if validation_error > hoped else "fine"


def fit_polynomial(x, y, degree, steps=None):
    """Weights of a polynomial: the best for the squared error, or those that so many steps of descent reach from 0.

    Args:
        x, y: Inputs in [-1, 1] and targets (n,).
        degree: Highest power, at least 0.
        steps: Steps of gradient descent at the largest rate that is safe, or None for least squares.

    Returns:
        Array (degree + 1,).
    """
    features = polynomial_features(x, degree)
    if steps is None:
        return np.linalg.lstsq(features, y)[0]
    rate = len(x) / np.linalg.norm(features, 2) ** 2  # one over the largest curvature of half the mean squared error
    return gradient_descent(lambda w: features.T @ (features @ w - y) / len(x), np.zeros(degree + 1), rate, steps)[-1]


def example():
    """Four models of one curve, by NumPy's fit, and the verdict on each."""
    rng = np.random.default_rng(0)
    x, x_new = rng.uniform(-1, 1, 12), rng.uniform(-1, 1, 500)
    y, y_new = (np.sin(3 * each) + rng.normal(scale=0.1, size=len(each)) for each in (x, x_new))
    for degree in (1, 3, 11):
        weights = np.polyfit(x, y, degree)
        errors = [np.mean((np.polyval(weights, a) - b) ** 2) for a, b in ((x, y), (x_new, y_new))]
        verdict = diagnose(*errors, hoped=0.04)
        print(f"degree {degree:2}: {errors[0]:.4f} here, {errors[1]:.4g} elsewhere: {verdict}; {ADVICE[verdict]}")
    print("a larger network, trained worse than a small one:", diagnose(0.30, 0.35, 0.04, smaller_training_error=0.03))


def lesson(report, *, data_sets: int = 200, seed: int = 0):
    """Build models that fail in one way each, and ask what they suffer from.

    Args:
        report: The report to write to.
        data_sets: Data sets, each with its own noise, for every kind of failure (1 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    rows, shown = [], {}
    for name, (degree, examples, steps) in CASES.items():
        results = [_one(rng, degree, examples, steps) for _ in range(data_sets)]
        verdicts = [diagnose(*errors) for errors, _ in results]
        right = float(np.mean([verdict == name for verdict in verdicts]))
        medians = np.median([errors[:2] for errors, _ in results], axis=0)
        rows.append([name, degree, examples, steps or "best fit", *map(float, medians), right])
        report.at_least(f"built to show {name}: share of right verdicts", right, 0.9, trained=True)
        shown[name] = results[0]
    report.table("models that fail in one way each", ["built to show", "degree", "examples", "steps",
                 "error here, median", "elsewhere, median", "right verdicts"], rows)  # fmt: skip
    blind = diagnose(0.3, 0.3, 0.04), diagnose(0.3, 0.3, 0.04, smaller_training_error=0.1)
    report.check("without a smaller model a failed search looks like bias", blind == ("bias", "optimization"), True)
    report.table("what helps", ["verdict", "advice"], [[*pair] for pair in ADVICE.items()])
    report.figure("Four models, four verdicts", _figure(shown),
                  alt="Four fits of one curve: the first follows it; a straight line misses its bends; one of degree 9 "
                  "after a few steps of descent is off too; one of degree 9 through ten points swings.")  # fmt: skip


def _one(rng, degree, examples, steps):
    """Errors of one model, and what a figure needs. A cubic contains a line, and degree 9 contains a cubic."""
    x, x_new = np.sort(rng.uniform(-1, 1, examples)), rng.uniform(-1, 1, 1000)
    y, y_new = (np.sin(3 * each) + rng.normal(scale=0.1, size=len(each)) for each in (x, x_new))
    weights, smaller = fit_polynomial(x, y, degree, steps), fit_polynomial(x, y, min(degree - 1, 3))

    def error(w, inputs, targets):
        return float(np.mean((polynomial_features(inputs, len(w) - 1) @ w - targets) ** 2))

    # The noise has the variance 0.01; four times that is hoped for.
    return (error(weights, x, y), error(weights, x_new, y_new), 0.04, error(smaller, x, y)), (x, y, weights)


def _figure(shown):
    figure, axes = plots.subplots(1, 4, figsize=(12, 3.4), sharey=True)
    line = np.linspace(-1, 1, 200)
    for ax, (errors, (x, y, weights)) in zip(axes, shown.values(), strict=True):
        ax.plot(x, y, ".", color="C3", label="examples")
        ax.plot(line, np.sin(3 * line), ":", color="0.4", label="truth")
        ax.plot(line, polynomial_features(line, len(weights) - 1) @ weights, color="C0", label="model")
        ax.set(ylim=(-1.8, 1.8), xlabel="input")
        ax.set_title(diagnose(*errors), loc="center")
    axes[0].set_ylabel("target")
    axes[0].legend(fontsize=9)
    return figure

"""A method errs by its bias, by its variance and by the noise; larger models trade the first for the second.

Polynomials of growing degree are fitted to a thousand training sets that differ in their noise alone. The mean answer
comes closer to the truth (bias falls) while the single answers scatter more (variance rises), both as the formulas of
least squares say. Variance is a scatter over training sets, not over inputs. On real cars a linear unit has the higher
bias and a network the higher variance.

Notes: chapter 05, "Bias, variance and the parts of the error" (偏差、方差与误差分解).
Source: Geman et al. 1992, doi:10.1162/neco.1992.4.1.1 (bias and variance); Hastie et al. 2009, The Elements of
Statistical Learning, doi:10.1007/978-0-387-84858-7, Section 7.3.
"""

import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter02.regression import solve_least_squares
from kerasnotes.chapter05.capacity import polynomial_features
from kerasnotes.chapter05.excess_risk import excess_risk  # noqa: F401 (may be taken from here as well)
from kerasnotes.parts import whole

SMOKE = {"repeats": 30, "training_sets": 2, "network_steps": 3}
SECONDS = 3

POINTS, DEVIATION = 25, 0.3  # the synthetic problem: examples in a training set, standard deviation of the noise


def bias_variance(fit, sample_data, x, true_function, repeats, seed):
    """Cut the expected squared error of a learning method at fixed inputs into bias², variance and noise.

    The method is fitted to many training sets. Bias is the distance of the mean prediction from the truth; variance is
    the scatter of predictions around their mean, at each input over the training sets, never over inputs; noise is
    what the targets scatter around the truth. The total is measured apart, as the squared error for new targets. The
    four are means over the inputs. Noise is assumed to be the same at all inputs.

    Args:
        fit: `fit(x, y) -> predict`, where `predict(x)` takes inputs (points, ...) and returns numbers (points,).
        sample_data: `sample_data(rng) -> (x, y)`, a new training set with the noise in it.
        x: Inputs (points, ...) at which to measure.
        true_function: Takes inputs, returns the targets without noise.
        repeats: Number of training sets, at least 2.
        seed: Seed of all draws; the training sets are the same for every `fit`.

    Returns:
        `(bias2, variance, noise, total)`, floats. `total` differs from the sum of the others by chance alone.

    Raises:
        ValueError: If `repeats` is not an integer of at least 2, there is no input, or a prediction has a wrong shape
            or is not finite.

    Source: Hastie et al. 2009, Section 7.3.
    """
    whole("repeats", repeats, least=2)
    x = np.asarray(x)
    if x.ndim == 0 or not len(x):
        raise ValueError(f"x: expected at least one input, got shape {x.shape}")
    truth = np.asarray(true_function(x), np.float64)  # (points,)
    predictions, noises = np.empty((repeats, len(x))), np.empty((repeats, len(x)))
    for repeat in range(repeats):
        rng = np.random.default_rng((seed, repeat))
        prediction = np.asarray(fit(*sample_data(rng))(x))
        if prediction.shape != truth.shape or not np.isfinite(prediction).all():
            raise ValueError(f"fit: expected finite predictions of shape {truth.shape}, got {prediction.shape}")
        predictions[repeat] = prediction
        x_new, y_new = sample_data(rng)  # a second set, whose noise the fit has not seen
        noises[repeat] = _draw(rng, np.asarray(y_new) - true_function(x_new), len(x))
    bias2 = np.mean((predictions.mean(axis=0) - truth) ** 2)
    variance = np.mean(predictions.var(axis=0))
    total = np.mean((truth + noises - predictions) ** 2)
    return float(bias2), float(variance), float(np.mean(noises**2)), float(total)


def _draw(rng, noise, size):
    return rng.choice(noise, size, replace=size > len(noise))


def example():
    """A constant, a line and a polynomial of degree 6, fitted by NumPy to many training sets from one parabola."""
    x = np.linspace(-1, 1, 20)

    def sample_data(rng):
        return x, x**2 + rng.normal(0, 0.3, len(x))

    print("degree   bias²  variance   noise   their sum   total, measured apart")
    for degree in (0, 1, 2, 6):
        parts = bias_variance(
            lambda x, y, degree=degree: np.polynomial.Polynomial.fit(x, y, degree), sample_data, x, np.square, 500, 0
        )
        print(f"{degree:6}" + "{:8.4f}{:10.4f}{:8.4f}{:12.4f}{:12.4f}".format(*parts[:3], sum(parts[:3]), parts[3]))


def lesson(
    report,
    *,
    repeats: int = 1000,
    largest: int = 10,
    training_sets: int = 100,
    cars: int = 60,
    units: int = 8,
    network_steps: int = 500,
    seed: int = 0,
):
    """Measure bias and variance where both are known, then on cars.

    Args:
        report: The report to write to.
        repeats: Training sets of the synthetic problems (10 to 100000).
        largest: Largest degree of the polynomials (7 to 20).
        training_sets: Training sets of cars (2 to 1000).
        cars: Cars in each training set (20 to 200).
        units: Hidden units of the network (1 to 256).
        network_steps: Training steps of each network (1 to 100000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    measured, exact = _polynomials(report, repeats, largest, seed)
    _not_over_features(report, repeats, seed)
    linear, network = _linear_or_network(report, training_sets, cars, units, network_steps, seed)
    report.figure(
        "Bias falls and variance rises with the size of the model",
        _figure(measured, exact, linear, network),
        alt="Left: over the degree, bias² falls below the noise and on, variance rises in equal steps, and the "
        "total has its lowest point between. Right: on cars, bars of bias² and variance for a linear unit and "
        "for a network: the linear unit has more bias, the network more variance.",
    )


def _wave(x):
    return np.sin(4 * x + 1)


def _wave_data(rng):
    """Training sets with the same inputs and new noise: then bias and variance are known exactly."""
    x = np.linspace(-1, 1, POINTS)
    return x, _wave(x) + rng.normal(0, DEVIATION, POINTS)


def _polynomial_fit(degree):
    def fit(x, y):
        weights = np.linalg.lstsq(polynomial_features(x, degree), y, rcond=None)[0]
        return lambda new: polynomial_features(new, degree) @ weights

    return fit


def _polynomials(report, repeats, largest, seed):
    x, degrees = np.linspace(-1, 1, POINTS), np.arange(largest + 1)
    measured = np.array([bias_variance(_polynomial_fit(d), _wave_data, x, _wave, repeats, seed) for d in degrees])
    bias2, variance, noise, total = measured.T
    projections = [q @ q.T for q in (np.linalg.qr(polynomial_features(x, d))[0] for d in degrees)]
    exact_bias2 = np.array([np.mean((p @ _wave(x) - _wave(x)) ** 2) for p in projections])
    exact_variance = DEVIATION**2 * (degrees + 1) / POINTS
    # Standard errors: a sum of squares of k normal numbers has relative deviation √(2/k).
    report.check("variance, every degree: σ²(degree + 1)/n", variance, exact_variance, atol=0.0,
                 rtol=4 * np.sqrt(2 / repeats) + 1 / repeats)  # fmt: skip
    # The mean prediction still scatters by variance / repeats, which adds to the measured bias².
    distance = np.abs(bias2 - exact_bias2) / (exact_variance / repeats)
    report.at_most("bias², every degree: distance from the projection formula, in variances of the mean prediction",
                   distance, 20.0)  # fmt: skip
    report.check("noise: σ²", noise, np.full(len(degrees), DEVIATION**2), atol=0.0,
                 rtol=4 * np.sqrt(2 / (repeats * POINTS)))  # fmt: skip
    spread = 4 * DEVIATION * np.sqrt(4 * (bias2 + variance) / (POINTS * repeats))
    report.at_most("bias² + variance + noise against the measured total, in units of 4 standard errors",
                   np.abs(bias2 + variance + noise - total) / spread, 1.0)  # fmt: skip
    report.at_most("bias² falls with every degree up to 7", np.diff(bias2[:8]), 0.0, trained=True)
    report.at_least("variance rises with every degree", np.diff(variance), 0.0)
    rows = [[int(d), *measured[d], measured[d, :3].sum(), exact_bias2[d], exact_variance[d]] for d in degrees]
    report.table(f"polynomials, {POINTS} points, {repeats} training sets",
                 ["degree", "bias²", "variance", "noise", "total", "sum of the three", "bias², exact",
                  "variance, exact"], rows)  # fmt: skip
    return measured, (exact_bias2, exact_variance)


def _not_over_features(report, repeats, seed):
    x = np.linspace(-1, 1, POINTS)

    def fit_mean(x, y):
        return lambda new: np.full(len(new), y.mean())

    def stay(x, y):
        return _wave

    variance = {
        name: bias_variance(fit, _wave_data, x, _wave, repeats, seed)[1]
        for name, fit in (("mean", fit_mean), ("fixed", stay))
    }
    report.check("a fixed curve that varies with its input: variance", variance["fixed"], 0.0, atol=1e-20)
    report.at_least("its spread over the inputs, which is not the variance", np.var(_wave(x)), 0.1)
    report.check("a constant, the mean of the targets, does not react to its input: variance σ²/n", variance["mean"],
                 DEVIATION**2 / POINTS, atol=0.0, rtol=4 * np.sqrt(2 / repeats) + 1 / repeats)  # fmt: skip
    report.correction(
        "variance",
        course="Variance is how sensitive the model is to the features.",
        correct="Variance is how much the prediction at a fixed input changes from training set to training set.",
        shown_by=f"fixed curve: spread over inputs {np.var(_wave(x)):.2f}, variance 0; constant: spread 0, variance "
        f"{variance['mean']:.4f}",
    )


def _linear_or_network(report, training_sets, cars, units, steps, seed):
    features, y = data.auto_mpg()
    order = np.random.default_rng((seed, 1)).permutation(len(y))
    held_out, pool = order[:100], order[100:]

    def sample_data(rng):
        chosen = rng.choice(pool, cars, replace=False)
        return chosen, y[chosen]  # the rows stand for the cars: the truth about a car is its own consumption

    def scaled(rows):
        center, scale = features[rows].mean(axis=0), features[rows].std(axis=0) + 1e-6
        return lambda new: (features[new] - center) / scale

    def fit_linear(rows, targets):
        inputs = scaled(rows)
        w, b = solve_least_squares(inputs(rows), targets)
        return lambda new: inputs(new) @ w + b

    def fit_network(rows, targets):
        inputs, center, scale = scaled(rows), targets.mean(), targets.std()
        rng = np.random.default_rng((seed, 2))  # one start for all, so that training sets are the only difference
        shapes = (features.shape[1], units), (units,), (units, 1), (1,)
        weights = [tf.constant(rng.normal(size=s) / np.sqrt(s[0]) * (len(s) > 1), tf.float32) for s in shapes]
        x, t = (tf.constant(a, tf.float32) for a in (inputs(rows), (targets - center)[:, None] / scale))
        weights = train(weights, x, t)
        return lambda new: outputs(weights, tf.constant(inputs(new), tf.float32)).numpy()[:, 0] * scale + center

    def outputs(weights, x):
        return tf.tanh(x @ weights[0] + weights[1]) @ weights[2] + weights[3]

    @tf.function(jit_compile=steps >= 100)
    def train(weights, x, t, rate=0.01):
        mean, square = [tf.zeros_like(w) for w in weights], [tf.zeros_like(w) for w in weights]
        for step in tf.range(1.0, steps + 1.0):  # Adam
            with tf.GradientTape() as tape:
                tape.watch(weights)
                loss = tf.reduce_mean(tf.square(outputs(weights, x) - t))
            gradients = tape.gradient(loss, weights)
            mean = [0.9 * m + 0.1 * g for m, g in zip(mean, gradients, strict=True)]
            square = [0.999 * s + 0.001 * g * g for s, g in zip(square, gradients, strict=True)]
            now = rate * tf.sqrt(1 - tf.pow(0.999, step)) / (1 - tf.pow(0.9, step))
            weights = [w - now * m / (tf.sqrt(s) + 1e-7) for w, m, s in zip(weights, mean, square, strict=True)]
        return weights

    results = [
        bias_variance(fit, sample_data, held_out, lambda rows: y[rows], training_sets, seed)
        for fit in (fit_linear, fit_network)
    ]
    (linear, network), names = np.array(results), ("linear unit", f"network, {units} hidden units")
    report.at_least("on cars the linear unit has the higher bias²: ratio", linear[0] / network[0], 1.1, trained=True)
    report.at_least("and the network the higher variance: ratio", network[1] / linear[1], 1.5, trained=True)
    report.table(f"100 cars, {training_sets} training sets of {cars} others, (miles per gallon)²",
                 ["model", "bias² and noise", "variance", "total"],
                 [[name, *np.array(row)[[0, 1, 3]]] for name, row in zip(names, results, strict=True)])  # fmt: skip
    report.note("Each car's own consumption stands for the unknown truth. Its noise is in bias², alike for both.")
    report.correction(
        "perceptron and network",
        course="A perceptron has lower bias and more variance than a more flexible network.",
        correct="The other way round: the small model has more bias, the flexible one more variance.",
        shown_by=f"cars: bias² {linear[0]:.1f} and {network[0]:.1f}, variance {linear[1]:.1f} and {network[1]:.1f}",
    )
    return linear, network


def _figure(measured, exact, linear, network):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4), width_ratios=(1.5, 1))
    degrees = np.arange(len(measured))
    for color, name, values in zip(
        ("C0", "C1", "C2"), ("bias²", "variance", "total"), measured.T[[0, 1, 3]], strict=True
    ):
        left.plot(degrees, values, "o", color=color, label=f"{name}, measured")
    for color, values in zip(("C0", "C1"), exact, strict=True):
        left.plot(degrees, values, color=color, linewidth=1.2)
    left.plot(degrees, sum(exact) + DEVIATION**2, color="C2", linewidth=1.2, label="lines: formulas")
    left.set(yscale="log", ylim=(1e-4, 2), xlabel="degree of the polynomial", ylabel="squared error")
    left.set_title("Least squares: one falls,\nthe other rises")
    left.legend()
    positions = np.arange(2)
    right.bar(positions, [linear[0], network[0]], width=0.55, color="C0", label="bias² (with noise)")
    right.bar(positions, [linear[1], network[1]], width=0.55, bottom=[linear[0], network[0]], color="C1",
              label="variance")  # fmt: skip
    right.set_xticks(positions, ["linear unit", "network"])
    right.set(ylabel="squared error, (miles per gallon)²", ylim=(0, 1.35 * max(linear[3], network[3])))
    right.set_title("Cars: the small model has\nmore bias, less variance")
    right.legend()
    return figure

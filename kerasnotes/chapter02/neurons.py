"""A perceptron finds a separating line after a bounded number of mistakes, if there is one.

Three kinds of neuron: one that fires or not, one that adds, one that answers to a place. Rosenblatt's rule moves the
first kind whenever it errs. On two species of iris it stops erring, well inside Novikoff's bound, and sooner if the
mean is subtracted first. On XOR, where no line separates the classes, it errs for ever.

Notes: chapter 02, "Neurons and the perceptron" (神经元与感知机).
Source: McCulloch and Pitts 1943, doi:10.1007/BF02478259; Rosenblatt 1958, doi:10.1037/h0042519; Novikoff 1962,
https://cs.uwaterloo.ca/~y328yu/classics/novikoff.pdf.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.parts import floating, whole

SMOKE = {"max_epochs": 200, "seeds": 1}
SECONDS = 3


def threshold_unit(x, w, b):
    """The McCulloch-Pitts unit: 1 where the weighted sum of the inputs plus the bias reaches zero, else 0.

    It is written in NumPy: its slope is zero wherever it has one, so a gradient could never train it.

    Args:
        x: Inputs (..., inputs).
        w: Weights (inputs,), or (inputs, units) for several units at once.
        b: Bias, a number, or (units,). A threshold is a bias with its sign turned.

    Returns: Zeros and ones, float32 (...) or (..., units).
    Raises: ValueError: If the shapes do not fit or a value is NaN.
    """
    x, w, b = (np.asarray(value, np.float64) for value in (x, w, b))
    _check_shapes(x, w, b)
    if any(np.isnan(value).any() for value in (x, w, b)):
        raise ValueError("x, w, b: expected numbers, got NaN")
    return (x @ w + b >= 0).astype(np.float32)  # (..., units)


def linear_unit(x, w, b):
    """The weighted sum of the inputs plus the bias; `x`, `w`, `b` as in `threshold_unit`, also as tensors.

    Returns: A tensor (...) or (..., units).
    Raises: ValueError: If the shapes do not fit.
    """
    x = floating("x", x)
    w, b = _like(w, x), _like(b, x)
    _check_shapes(x, w, b)
    return tf.tensordot(x, w, axes=1) + b  # (..., units)


def rbf_unit(x, center, beta):
    """The radial-basis unit exp(−β‖x − center‖²): 1 at its centre, and less the farther away.

    Args:
        x: Inputs (..., inputs).
        center: Where the unit answers most, (inputs,).
        beta: Sharpness, one positive number, in units of 1 / length².

    Returns: A tensor (...) of values in [0, 1].
    Raises: ValueError: If the shapes do not fit or `beta` is not positive and finite.
    """
    x = floating("x", x)
    center, beta = _like(center, x), _like(beta, x)
    known_beta = tf.get_static_value(beta)  # None while a tf.function is traced
    if beta.shape.rank or (known_beta is not None and not 0 < known_beta < np.inf):
        raise ValueError(f"beta: expected one positive number, got {known_beta}")
    if center.shape.rank != 1 or not x.shape[-1:].is_compatible_with(center.shape):
        raise ValueError(f"center: expected one value for each input, got {center.shape} for inputs {x.shape}")
    return tf.exp(-beta * tf.reduce_sum((x - center) ** 2, axis=-1))


def rbf_gradients(x, center, beta):
    """The slopes of `rbf_unit` by hand: 2β(x − center)·y along the centre, −‖x − center‖²·y along β.

    The first is positive because the unit's value grows when its centre moves towards the input.

    Returns: `(d_center, d_beta)`, tensors (..., inputs) and (...).
    """
    y = rbf_unit(x, center, beta)
    away = floating("x", x) - _like(center, y)  # (..., inputs)
    return 2 * _like(beta, y) * away * y[..., None], -tf.reduce_sum(away**2, axis=-1) * y


class PerceptronResult(NamedTuple):
    """What `train_perceptron` found: weights (inputs,), a bias, the mistakes of each epoch, whether it came to rest."""

    w: np.ndarray
    b: float
    mistakes_per_epoch: list[int]
    converged: bool


def train_perceptron(x, y, max_epochs=1000, seed=0):
    """Rosenblatt's rule: at each mistake, add the input to the weights or take it away.

    Args:
        x: Inputs (n, inputs).
        y: Labels (n,), 0 or 1.
        max_epochs: Passes over the data at most; training ends after a pass without mistakes.
        seed: Seed of the order of the examples, a new one in each epoch.

    Returns: A `PerceptronResult`.
    Raises: ValueError: If an input is not finite, a label is not 0 or 1, or `max_epochs` is not a positive integer.
    """
    (x, y), max_epochs = _labelled(x, y), whole("max_epochs", max_epochs)
    rng = np.random.default_rng(seed)
    w, b, mistakes_per_epoch = np.zeros(x.shape[1]), 0.0, []
    while len(mistakes_per_epoch) < max_epochs and 0 not in mistakes_per_epoch[-1:]:
        mistakes = 0
        for i in rng.permutation(len(x)):
            # answer
            error = y[i] - (x[i] @ w + b >= 0)  # 1: should have fired; −1: should not have
            # learn, from mistakes only
            if error:
                w, b, mistakes = w + error * x[i], b + error, mistakes + 1
        # remember; an epoch without mistakes is the last
        mistakes_per_epoch.append(mistakes)
    return PerceptronResult(w, float(b), mistakes_per_epoch, mistakes_per_epoch[-1] == 0)


def novikoff_bound(x, y, steps=20000):
    """How many mistakes the perceptron can make in total on separable data: (R/γ)².

    R is the length of the longest input, γ the distance from the separating line to the nearest one; the bias counts
    as the weight of one more input, always 1. Gilbert's method finds the line: it looks for the point nearest to zero
    among all mixtures of the inputs, those of class 0 with their signs turned. More `steps` only tighten the bound.

    Raises: ValueError: If the data are not as in `train_perceptron`, or no separating line was found.
    Source: Novikoff 1962; Gilbert 1966, doi:10.1137/0304007.
    """
    x, y = _labelled(x, y)
    signed = (2 * y - 1)[:, None] * np.column_stack([x, np.ones(len(x))])  # (n, inputs + 1)
    nearest, margin = signed.mean(axis=0), 0.0
    for _ in range(steps):
        along, length = signed @ nearest, np.linalg.norm(nearest)
        margin = max(margin, along.min() / length if length else 0.0)
        move = signed[along.argmin()] - nearest
        nearest = nearest + np.clip(-(nearest @ move) / max(move @ move, 1e-300), 0, 1) * move
    if margin <= 0:
        raise ValueError(f"y: expected classes that a line separates, found no line in {steps} steps")
    return float((signed**2).sum(axis=1).max() / margin**2)


def _like(value, x):
    return tf.cast(tf.convert_to_tensor(value, dtype_hint=x.dtype), x.dtype)  # the hint saves digits of plain floats


def _check_shapes(x, w, b):
    x, w, b = (tuple(value.shape) for value in (x, w, b))
    if not x or len(w) not in (1, 2) or x[-1] not in (w[0], None):  # None: not known while a tf.function is traced
        raise ValueError(f"w: expected one weight for each input, got shape {w} for inputs of shape {x}")
    if b not in ((), w[1:]):
        raise ValueError(f"b: expected one bias for each unit, got shape {b} for weights of shape {w}")


def _labelled(x, y):
    x, y = np.asarray(x, np.float64), np.asarray(y)
    if x.ndim != 2 or x.size == 0 or not np.isfinite(x).all():
        raise ValueError(f"x: expected finite inputs of shape (n, inputs), got shape {x.shape}")
    if y.shape != x.shape[:1] or not np.isin(y, (0, 1)).all():
        raise ValueError(f"y: expected {len(x)} labels 0 or 1, got shape {y.shape}, values {np.unique(y)[:5]}")
    return x, y.astype(np.int64)


def example():
    """Three neurons on the same inputs, and a perceptron that learns OR."""
    x, w, b = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([1.0, 1.0]), -0.5
    print("fires or not", threshold_unit(x, w, b))
    print("adds        ", linear_unit(x, w, b).numpy())
    print("TensorFlow  ", (tf.linalg.matvec(x, w) + b).numpy())
    print("has a place ", rbf_unit(x, [1.0, 1.0], 0.5).numpy())
    center = tf.Variable([1.0, 1.0], dtype=tf.float64)
    with tf.GradientTape() as tape:
        y = rbf_unit(x, center, 0.5)
    print("its slope along the centre, by hand", tf.reduce_sum(rbf_gradients(x, center, 0.5)[0], axis=0).numpy())
    print("and from the tape                  ", tape.gradient(y, center).numpy())

    found = train_perceptron(x, [0, 1, 1, 1])
    print("OR learnt:", found, "at most", novikoff_bound(x, [0, 1, 1, 1]), "mistakes")


def lesson(report, *, max_epochs: int = 1000, seeds: int = 5, seed: int = 0):
    """Three units, then Rosenblatt's rule on flowers, on XOR, and on every Boolean function of two and three inputs.

    Args:
        report: The report to write to.
        max_epochs: Passes over the data at most (1 to 10000).
        seeds: Orders of the examples to try (1 to 100).
        seed: Seed of the first order; the others follow it (0 to 4294967295).
    """
    _units(report, np.random.default_rng(seed))
    pairs, histories, rows, rested = _pairs(), {}, [], {}
    for name, (x, y) in pairs.items():
        runs = [train_perceptron(x, y, max_epochs, seed + i) for i in range(seeds)]
        histories[name], rested[name] = [run.mistakes_per_epoch for run in runs], sum(run.converged for run in runs)
        total, bound = max(map(sum, histories[name])), None
        if "setosa" in name:  # no line separates the other two pairs
            bound = novikoff_bound(x, y)
            report.at_most(f"{name}: mistakes in all, against (R/γ)²", total, bound)
            report.check(f"{name}: orders of the examples that come to rest", rested[name], seeds, trained=True)
        rows.append([name, rested[name], max(map(len, histories[name])), total, bound])
    columns = ["classes", "orders that came to rest", "epochs at most", "mistakes in all at most", "(R/γ)²"]
    report.table(f"The perceptron rule, {seeds} orders of the examples", columns, rows)
    report.at_least(f"XOR: fewest mistakes in any of {max_epochs} epochs", min(map(min, histories["XOR"])), 1)
    report.note("Subtracting the mean turns hundreds of epochs into a few: the line then starts among the data.")

    for inputs, published in ((2, 14), (3, 104)):
        examples = (np.arange(2**inputs)[:, None] >> np.arange(inputs)) & 1  # (2**inputs, inputs)
        tables = (np.arange(2 ** len(examples))[:, None] >> np.arange(len(examples))) & 1  # every function's labels
        learned = sum(train_perceptron(examples, table, 100, seed).converged for table in tables)
        report.check(f"Boolean functions of {inputs} inputs that it learns, of {len(tables)}", learned, published)
    report.note("14 and 104 are the published numbers of threshold functions of two and three inputs (OEIS A000609).")
    report.figure(
        "Decision lines of a perceptron while it learns",
        _draw(*pairs["sepals, setosa or versicolor"], histories, max_epochs, seed),
        alt="Left: two iris species and the perceptron's line after some epochs; the last one separates them. Right: "
        "all mistakes so far; the count stops for the iris and grows for ever for XOR.",
    )


def _units(report, rng):
    a, b = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]).T
    outputs = [threshold_unit(np.stack([a, b], 1), [1, 1], bias) for bias in (-1.5, -0.5)]
    truth = np.stack([a, b, *outputs, threshold_unit(a[:, None], [-1], 0.5)], axis=1).astype(int)
    report.table("One threshold unit each", ["a", "b", "a AND b (b −1.5)", "a OR b (b −0.5)", "NOT a"], truth)
    report.check("AND, OR and NOT are threshold units", truth, np.stack([a, b, a & b, a | b, 1 - a], axis=1))
    x, w, b = (rng.normal(size=size).astype(np.float32) for size in ((6, 3), (3, 2), 2))
    report.check("linear unit equals TensorFlow's matmul and bias_add", linear_unit(x, w, b), tf.nn.bias_add(x @ w, b))
    center, beta = tf.Variable(w[:, 0]), tf.Variable(0.3)
    with tf.GradientTape() as tape:
        y = rbf_unit(x[0], center, beta)
    tape_center, tape_beta = tape.gradient(y, (center, beta))
    d_center, d_beta = rbf_gradients(x[0], center, beta)
    report.check("radial-basis unit: slope along the centre equals the tape's", d_center, tape_center)
    report.check("radial-basis unit: slope along beta equals the tape's", d_beta, tape_beta)
    notes = -2 * beta * (x[0] - center) * y
    report.check("the notes' slope along the centre is the tape's with its sign turned", notes, -tape_center)
    report.correction(
        "slope of the radial-basis unit along its centre",
        course="∂y/∂w = −2β(x − w)·y",
        correct="∂y/∂w = +2β(x − w)·y",
        shown_by="gradient tape: the same size, the opposite sign",
    )


def _pairs():
    flowers, species = data.iris()
    first, second = species < 2, species > 0
    sepals = flowers[first, :2]  # length and width, cm
    return {
        "sepals, setosa or versicolor": (sepals, species[first]),
        "the same less its mean, setosa or versicolor": (sepals - sepals.mean(axis=0), species[first]),
        "petals, setosa or versicolor": (flowers[first, 2:], species[first]),
        "petals, versicolor or virginica": (flowers[second, 2:], species[second] - 1),
        "XOR": (np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])),
    }


def _draw(x, y, histories, max_epochs, seed):
    figure, (plane, totals) = plots.subplots(1, 2, figsize=(11, 4.4))
    for label, (name, marker) in enumerate((("setosa", "o"), ("versicolor", "^"))):
        plane.scatter(*x[y == label].T, s=28, marker=marker, color=f"C{label}", label=name, alpha=0.8)
    across, last = np.array([4.0, 7.3]), len(histories["sepals, setosa or versicolor"][0])
    for epochs in np.unique(np.geomspace(1, last, 7).astype(int)):
        w, b, *_ = train_perceptron(x, y, int(epochs), seed)  # the same seed: the same run, stopped earlier
        grey = str(0.75 * (1 - np.log(epochs) / max(np.log(last), 1)))
        line = -(w[0] * across + b) / w[1] if w[1] else np.full(2, np.nan)  # a vertical line is left out
        plane.plot(across, line, "-" if epochs == last else "--", color=grey, label=f"epoch {epochs}")
    plane.set(xlim=across, ylim=(1.8, 4.6), xlabel="sepal length, cm", ylabel="sepal width, cm")
    plane.set_title("Each mistake moves the line")
    plane.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    shown = ("XOR", "sepals, setosa or versicolor", "the same less its mean, setosa or versicolor")
    runs = [np.cumsum(histories[name][0]) for name in shown]
    curves = {name: np.pad(run, (0, max_epochs - len(run)), mode="edge")
              for name, run in zip(("XOR", "sepals", "sepals less their mean"), runs, strict=True)}  # fmt: skip
    plots.curves(1 + np.arange(max_epochs), curves, xlabel="epoch", ylabel="mistakes so far", xscale="log",
                 yscale="log", title="Mistakes end, if a line exists", ax=totals)  # fmt: skip
    return figure

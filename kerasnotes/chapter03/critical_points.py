"""A loss that stops falling need not be at a minimum: the signs of the Hessian's eigenvalues tell.

At a critical point the gradient is zero; if the curvature is negative in one direction, it is a saddle and that
direction leads down. A network whose weights are all zero sits on one and never leaves by itself. A learning rate that
is too large also stops the loss, but far from any critical point. And features on one scale make the valley rounder.

Notes: chapter 03, "Critical points" (临界点: 极小值、极大值与鞍点).
Source: Goodfellow et al. 2016, Deep Learning, https://www.deeplearningbook.org, Sections 4.3.1 and 8.2.3; LeCun et al.
1998, doi:10.1007/3-540-49430-8_2, Section 4.3.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training

SMOKE = {"epochs": 5, "steps": 2000}
SECONDS = 5


def classify(hessian, tolerance=1e-6):
    """What a critical point is, by the signs of its Hessian's eigenvalues.

    Args:
        hessian: Symmetric matrix (dims, dims).
        tolerance: Eigenvalues of at most this size count as zero.

    Returns: `"saddle"` if both signs occur, `"minimum"` or `"maximum"` if all have one sign, else `"undecided"`: along
        a direction without curvature, higher derivatives decide.
    Raises: ValueError: If the matrix is not symmetric and finite, or the tolerance is negative.
    """
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"tolerance: expected a number of at least 0, got {tolerance!r}")
    eigenvalues = np.linalg.eigvalsh(_symmetric(hessian))
    up, down = eigenvalues > tolerance, eigenvalues < -tolerance
    if up.any() and down.any():
        return "saddle"
    return "minimum" if up.all() else "maximum" if down.all() else "undecided"


def escape_direction(hessian):
    """The direction of most negative curvature, (dims,), of length 1; its largest component is positive.

    Raises: ValueError: If the matrix is not symmetric and finite, or no eigenvalue is negative.
    """
    eigenvalues, vectors = np.linalg.eigh(_symmetric(hessian))
    if not eigenvalues[0] < 0:
        raise ValueError(f"hessian: expected a negative eigenvalue, got {eigenvalues[0]:.3g} as the smallest")
    return vectors[:, 0] * np.sign(vectors[np.argmax(np.abs(vectors[:, 0])), 0])


def loss_and_hessian(model, x, y):
    """The loss of a compiled Keras model, and its second derivatives by all trainable weights.

    Args:
        model: Compiled `keras.Model`; its weights are taken in order, each flattened, P numbers in all.
        x, y: Inputs and targets, (samples, ...).

    Returns: `(loss, hessian)`: a float and a symmetric array (P, P).
    Raises: ValueError: If the model is not compiled.
    """
    loss, _, hessian = _derivatives(model, x, y)
    return loss, hessian


def _derivatives(model, x, y):
    if not getattr(model, "compiled", False):
        raise ValueError(f"model: expected a compiled model, got {model!r}; call model.compile(loss=…) first")
    if not model.trainable_variables:
        raise ValueError("model: expected weights to differentiate by, got none that is trainable")

    def compute(x, y):
        weights = [weight.value for weight in model.trainable_variables]
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                loss = model.compute_loss(x=x, y=y, y_pred=model(x, training=False))
            slopes = inner.gradient(loss, weights, unconnected_gradients="zero")
            gradient = tf.concat([tf.reshape(slope, [-1]) for slope in slopes], axis=0)  # (P,)
        rows = outer.jacobian(gradient, weights, unconnected_gradients="zero")
        return loss, gradient, tf.concat([tf.reshape(row, (gradient.shape[0], -1)) for row in rows], axis=1)

    x, y = (tf.convert_to_tensor(value, model.dtype) for value in (x, y))
    loss, gradient, hessian = (value.numpy() for value in tf.function(compute)(x, y))
    return float(loss), gradient, (hessian + hessian.T) / 2


def _symmetric(hessian):
    matrix = np.asarray(hessian, np.float64)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] > 0
    if not (square and np.isfinite(matrix).all() and np.allclose(matrix, matrix.T, rtol=1e-4, atol=1e-6)):
        raise ValueError(f"hessian: expected a symmetric matrix of finite numbers, got {hessian!r}")
    return (matrix + matrix.T) / 2


def example():
    """Three flat places told apart, and a small Keras network whose zero weights are a saddle."""
    for name, matrix in (("x² + y²", np.diag([2.0, 2.0])), ("x² − y²", np.diag([2.0, -2.0]))):
        print(name, "has at 0 a", classify(matrix), "with eigenvalues", np.linalg.eigvalsh(matrix))
    print("the way out of x² − y²:", escape_direction(np.diag([2.0, -2.0])))

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, "tanh"), keras.layers.Dense(1)])
    model.compile(loss="mean_squared_error")
    x = np.array([[-1.0], [1.0]])
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    loss, matrix = loss_and_hessian(model, x, x)
    print("a network of zeros: loss", loss, classify(matrix))
    steps = np.split(0.5 * escape_direction(matrix), 4)  # four weights of one number each
    model.set_weights([step.reshape(weight.shape) for step, weight in zip(steps, model.get_weights(), strict=True)])
    print("half a step along its way out: loss", loss_and_hessian(model, x, x)[0])


def lesson(report, *, epochs: int = 2000, units: int = 4, steps: int = 20000, seed: int = 0):
    """Tell critical points apart: of polynomials, of a network of two weights, and of a network for the car data.

    Args:
        report: The report to write to.
        epochs: Epochs of training of the network (2 to 100000).
        units: Its hidden units (1 to 16).
        steps: Most steps of gradient descent on the features of each scale (10 to 1000000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _by_hand(report)
    _two_weights(report)
    _too_fast(report)
    x, y = data.auto_mpg()
    _network(report, (x - x.mean(axis=0)) / x.std(axis=0), (y - y.mean()) / y.std(), epochs, units, seed)
    _scaling(report, x, y - y.mean(), steps)


def _by_hand(report):
    for name, hessian, want in (
        ("x² + y²", [[2, 0], [0, 2]], "minimum"),
        ("−x² − y²", [[-2, 0], [0, -2]], "maximum"),
        ("x² − y²", [[2, 0], [0, -2]], "saddle"),
        ("xy", [[0, 1], [1, 0]], "saddle"),
        ("x² + y⁴, though a minimum,", [[2, 0], [0, 0]], "undecided"),
    ):
        report.check(f"at 0, {name} is by its Hessian", got=classify(hessian), want=want)
    report.check("x² − y² falls along", got=escape_direction([[2, 0], [0, -2]]), want=[0.0, 1.0])


def _two_weights_loss(w):
    return (1 - w[..., 0] * w[..., 1]) ** 2


def _two_weights_gradient(w):
    return -2 * (1 - w[0] * w[1]) * w[::-1]


def _two_weights(report):
    """The network w₂·w₁·x, to learn y = x: loss (1 − w₁w₂)², with gradient −2(1 − w₁w₂)(w₂, w₁)."""
    hessian = np.array([[0.0, -2.0], [-2.0, 0.0]])
    direction = escape_direction(hessian)
    report.check("two weights: at (0, 0) the gradient is 0", _two_weights_gradient(np.zeros(2)), want=[0.0, 0.0])
    report.check("it is a saddle", got=classify(hessian), want="saddle")
    report.check("whose way out is the diagonal", got=direction, want=np.full(2, math.sqrt(0.5)))
    lower = _two_weights_loss(0.1 * direction)
    report.check("a step of 0.1 along it lowers the loss from 1 to (1 − 0.005)²", got=lower, want=0.995**2)
    valley = classify([[2.0, 2.0], [2.0, 2.0]])
    report.check("its minima (w₁w₂ = 1) form a valley without curvature along it", got=valley, want="undecided")

    path = [np.array([0.9, -0.898])]
    for _ in range(120):
        path.append(path[-1] - 0.05 * _two_weights_gradient(path[-1]))
    path = np.array(path)
    grid = np.stack(np.meshgrid(np.linspace(-1.5, 1.5, 120), np.linspace(-1.5, 1.5, 120)), axis=-1)
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.6))
    surface = left.contourf(*np.moveaxis(grid, -1, 0), _two_weights_loss(grid), np.linspace(0, 5, 21), extend="max")
    figure.colorbar(surface, ax=left, label="loss")
    left.plot(*path.T, ".-", color="white", label="gradient descent")
    left.plot(0, 0, "X", color="C1", markersize=12, linestyle="none", label="saddle")
    left.annotate("", 0.75 * direction, (0, 0), arrowprops={"arrowstyle": "-|>", "color": "C1", "linewidth": 3})
    left.legend(labelcolor="white", loc="upper left", fontsize=10)
    left.set(xlabel="weight 1", ylabel="weight 2", title="Escape along negative curvature")
    plots.curves(np.arange(121), {"loss": _two_weights_loss(path), "length of the gradient":
                 np.linalg.norm([_two_weights_gradient(w) for w in path], axis=1)}, ax=right, xlabel="step",
                 ylabel="loss, length of the gradient", title="It rests at the saddle first")  # fmt: skip
    report.figure("A saddle and its escape", figure,
                  alt="Left: descent comes down to the saddle and leaves along the diagonal. Right: the loss stays "
                  "at 1 while the gradient is almost 0, then falls to 0.")  # fmt: skip


def _too_fast(report, rate=4.0):
    """ln cosh w: at rate 4 descent jumps between w and −w, where w = 2·tanh w; the loss stands still."""
    w = 1.0
    for _ in range(200):
        w = w - rate * math.tanh(w)
    after = w - rate * math.tanh(w)
    report.check("too large a rate: the loss stands still", math.log(math.cosh(after)), math.log(math.cosh(w)))
    report.check("while w jumps from side to side", got=after, want=-w)
    report.check("and the gradient stays at |w|/2, far from 0", got=abs(math.tanh(w)), want=abs(w) / 2)
    for _ in range(200):
        w = w - 0.5 * math.tanh(w)
    report.at_most("at rate 0.5 the gradient goes to", abs(math.tanh(w)), 1e-6)


def _network(report, x, y, epochs, units, seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((x.shape[1],)), keras.layers.Dense(units, "tanh"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mean_squared_error")
    start, rows, norms = model.get_weights(), [], []

    def record(name):
        loss, gradient, hessian = _derivatives(model, x, y)
        eigenvalues = np.linalg.eigvalsh(hessian)
        kinds = (eigenvalues < -1e-4, np.abs(eigenvalues) <= 1e-4, eigenvalues > 1e-4)
        counts = [int(np.sum(kind)) for kind in kinds]
        rows.append([name, loss, np.linalg.norm(gradient), *counts, classify(hessian, 1e-4)])
        return gradient, hessian

    model.set_weights([np.zeros_like(weight) for weight in start])
    gradient, hessian = record("all weights zero")
    report.check("a network of zero weights has gradient 0", got=gradient, want=np.zeros_like(gradient), atol=1e-6)
    report.check("and is on a saddle", got=rows[0][-1], want="saddle")
    weights, direction = model.get_weights(), 0.1 * escape_direction(hessian)
    parts = np.split(direction, np.cumsum([weight.size for weight in weights])[:-1])
    model.set_weights([weight + part.reshape(weight.shape) for weight, part in zip(weights, parts, strict=True)])
    loss, _ = loss_and_hessian(model, x, y)
    report.at_most("a step of 0.1 along its escape direction lowers the loss by", loss - rows[0][1], 0.0)
    model.set_weights(start)
    record("random weights")
    for part in (epochs // 2, epochs - epochs // 2):
        training.fit(model, x, y, batch_size=len(x), epochs=part, seed=seed, track=report.track)
        norms.append(record(f"after {part + (len(norms) > 0) * (epochs // 2)} epochs")[0])
    columns = ["network for the car data", "loss", "gradient's length", "λ < 0", "λ ≈ 0", "λ > 0", "by its Hessian"]
    report.table(f"eigenvalues λ of the Hessian, {len(direction)} weights", columns, rows)
    report.at_most("gradient's length at the end over that at the start", rows[-1][2] / rows[1][2], 0.1, trained=True)
    report.at_most(
        "negative eigenvalues at the end, over those at the start", rows[-1][3] - rows[1][3], 0, trained=True
    )


def _scaling(report, x, y, steps):
    centred = x - x.mean(axis=0)
    spread = centred / x.var(axis=0), centred / x.std(axis=0)
    report.check("divided by the standard deviation, features have spread 1", spread[1].std(axis=0), want=np.ones(7))
    report.check("by the variance, 1/σ", got=spread[0].std(axis=0), want=1 / x.std(axis=0))
    values, vectors = np.linalg.eigh(np.cov(centred.T))
    kinds = {
        "as they are": x,
        "minus the mean": centred,
        "and divided by the variance": spread[0],
        "and divided by the standard deviation": spread[1],
        "whitened (also uncorrelated)": centred @ vectors / np.sqrt(values),
    }
    rows = []
    for name, features in kinds.items():
        hessian = 2 * features.T @ features / len(x)  # of the mean squared error of a line through the mean of y
        slopes, eigenvalues = 2 * features.T @ y / len(x), np.linalg.eigvalsh(hessian)
        best = np.linalg.solve(hessian, slopes)
        w, rate, needed = np.zeros(x.shape[1]), 2 / (eigenvalues[0] + eigenvalues[-1]), None
        target = 1e-3 * best @ hessian @ best
        for step in range(1, steps + 1):
            w = w - rate * (hessian @ w - slopes)
            if (w - best) @ hessian @ (w - best) < target:
                needed = step
                break
        rows.append([name, eigenvalues[-1] / eigenvalues[0], needed])
    report.table(f"car data: steps at the best rate until 99.9 % of the loss that can go is gone, at most {steps}",
                 ["features", "condition number", "steps"], rows)  # fmt: skip
    condition, needed = ([row[i] for row in rows] for i in (1, 2))
    report.at_least("standardizing lowers the condition number, by a factor of", condition[0] / condition[3], 10.0)
    report.at_least("and the number of steps, by", (needed[0] or steps + 1) - (needed[3] or steps + 1), 1, trained=True)
    report.check("whitened, the condition number is 1", got=condition[4], want=1.0)
    report.correction(
        "normalizing features",
        course="Subtract the mean and divide by the variance.",
        correct="Divide by the standard deviation.",
        shown_by=f"spreads after dividing by the variance {spread[0].std(axis=0).min():.2g} to "
        f"{spread[0].std(axis=0).max():.2g}, by the standard deviation 1; condition number {condition[2]:.2g} "
        f"and {condition[3]:.2g}",
    )

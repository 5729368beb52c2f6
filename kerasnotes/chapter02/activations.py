"""An activation bends the neuron's sum; its slope decides how much of the error comes back through it.

Sigmoid and tanh squash: their slopes are at most 1/4 and 1, and die away on both sides. ReLU and its relatives keep
slope 1 for positive sums. Maxout learns its own shape. The output layer's activation has to fit the targets: any
number, a probability, a distribution, or a value between −1 and 1.

Notes: chapter 02, "Activation functions" (激活函数).
Source: Goodfellow et al. 2013, arXiv:1302.4389, Section 3 (maxout); Clevert et al. 2015, arXiv:1511.07289 (ELU);
https://keras.io/api/layers/activations.
"""

import numpy as np
import tensorflow as tf

from kerasnotes import plots

SMOKE = {"samples": 50}
SECONDS = 1


def sigmoid(x):
    """1 / (1 + e^−x), from any number to (0, 1). Only e^−|x| is computed, which cannot overflow."""
    x = _as_floats(x)
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def tanh(x):
    """(e^x − e^−x) / (e^x + e^−x), from any number to (−1, 1)."""
    x = _as_floats(x)
    below_one = -np.expm1(-2 * np.abs(x))  # expm1(z) is e^z − 1 without loss of digits near zero
    return np.sign(x) * below_one / (2 - below_one)


def relu(x):
    """The larger of x and 0."""
    return np.maximum(_as_floats(x), 0)


def leaky_relu(x, alpha=0.2):
    """x where it is positive, αx elsewhere, so that the slope is never zero.

    TensorFlow keeps α in single precision: for float64 its values differ from these by 1.5e-8 of themselves.

    Raises: ValueError: If `alpha` is negative or not finite.
    """
    x = _as_floats(x)
    return np.where(x > 0, x, _slope(alpha) * x).astype(x.dtype)


def elu(x, alpha=1.0):
    """x where it is positive, α(e^x − 1) elsewhere: like ReLU, but it settles at −α.

    Raises: ValueError: If `alpha` is negative or not finite.
    """
    x = _as_floats(x)
    return np.where(x > 0, x, _slope(alpha) * np.expm1(np.minimum(x, 0))).astype(x.dtype)


def maxout(x, w, b):
    """The largest of several linear pieces for each unit: any convex shape, learnt.

    Args:
        x: Inputs (..., inputs).
        w: Weights (inputs, units, pieces).
        b: Biases (units, pieces).

    Returns: Array (..., units).
    Raises: ValueError: If the shapes do not fit.
    """
    x, w, b = (_as_floats(value, name) for value, name in ((x, "x"), (w, "w"), (b, "b")))
    if w.ndim != 3 or x.shape[-1:] != w.shape[:1]:
        raise ValueError(f"w: expected shape (inputs, units, pieces) for inputs of shape {x.shape}, got {w.shape}")
    if b.shape != w.shape[1:]:
        raise ValueError(f"b: expected shape {w.shape[1:]}, (units, pieces), got {b.shape}")
    return (np.tensordot(x, w, axes=1) + b).max(axis=-1)  # (..., units, pieces) -> (..., units)


def softmax(x, axis=-1):
    """e^x over the sum of all e^x along `axis`: numbers become a distribution.

    Adding a constant to every x changes nothing, so the largest is subtracted first and nothing overflows.

    Raises: ValueError: If `x` has no such axis.
    """
    x = _as_floats(x)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis: expected an axis of an array of shape {x.shape}, got {axis!r}")
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def softmax_jacobian(x):
    """Every slope ∂y_i/∂x_j of y = softmax(x): y_i(δ_ij − y_j), for `x` (..., n) an array (..., n, n)."""
    y = softmax(x)
    return y[..., :, None] * (np.eye(y.shape[-1], dtype=y.dtype) - y[..., None, :])


def derivative(name, x, **parameters):
    """The slope of an elementwise activation.

    At 0, where the rectifiers have a corner, it is the slope on the left, as in TensorFlow. At NaN it is NaN, where
    TensorFlow's rectifiers have a number.

    Args:
        name: `"sigmoid"`, `"tanh"`, `"relu"`, `"leaky_relu"` or `"elu"`.
        x: Where, an array of any shape.
        **parameters: `alpha` of the two that have one.

    Returns: Array of the shape of `x`.
    Raises: ValueError: If the name or a parameter is unknown.
    """
    slopes = {
        "sigmoid": lambda x: sigmoid(x) * sigmoid(-x),  # y(1 − y), as 1 − σ(x) = σ(−x)
        "tanh": lambda x: 1 - tanh(x) ** 2,  # 1 − y²
        "relu": lambda x: np.where(x > 0, 1, 0),
        "leaky_relu": lambda x, alpha=0.2: np.where(x > 0, 1, _slope(alpha)),
        "elu": lambda x, alpha=1.0: np.where(x > 0, 1, _slope(alpha) * np.exp(np.minimum(x, 0))),
    }
    if name not in slopes:
        raise ValueError(f"name: expected one of {', '.join(slopes)}, got {name!r}")
    unknown = parameters.keys() - ({"alpha"} if name in ("leaky_relu", "elu") else set())
    if unknown:
        raise ValueError(f"parameters: {name} does not take {', '.join(sorted(unknown))}")
    x = _as_floats(x)
    return np.where(np.isnan(x), x, slopes[name](x, **parameters)).astype(x.dtype)


def _as_floats(x, name="x"):
    """An array of floats: those that are floats keep their precision."""
    x = np.asarray(x)
    if x.dtype.kind not in "biuf" or x.size == 0:
        raise ValueError(f"{name}: expected numbers, got an array of shape {x.shape} and type {x.dtype}")
    return x if x.dtype.kind == "f" else x.astype(np.float32)


def _slope(alpha):
    if not (np.ndim(alpha) == 0 and 0 <= alpha < np.inf):
        raise ValueError(f"alpha: expected a number of at least 0, got {alpha!r}")
    return alpha


def example():
    """Each activation beside TensorFlow's on the same numbers, and the slopes of softmax beside the tape's."""
    x = np.array([-2.0, 0.0, 3.0], np.float32)
    for name, theirs, ours in (
        ("sigmoid", tf.sigmoid(x), sigmoid(x)),
        ("tanh", tf.tanh(x), tanh(x)),
        ("relu", tf.nn.relu(x), relu(x)),
        ("leaky_relu", tf.nn.leaky_relu(x), leaky_relu(x)),
        ("elu", tf.nn.elu(x), elu(x)),
    ):
        print(f"{name:<10}", theirs.numpy(), ours, "slope", derivative(name, x))
    print("softmax   ", tf.nn.softmax(x).numpy(), softmax(x), "sum", softmax(x).sum())

    logits = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        y = tf.nn.softmax(logits)
    print("every slope of softmax, from the tape and by hand:")
    print(np.hstack([tape.jacobian(y, logits), softmax_jacobian(x)]))
    print("maxout of x and −x:", maxout(x[:, None], [[[1, -1]]], [[0, 0]])[:, 0])


def lesson(report, *, samples: int = 2000, seed: int = 0):
    """Every activation beside TensorFlow's, every slope beside the gradient tape's, and what each output layer can say.

    Args:
        report: The report to write to.
        samples: Random inputs (2 to 1000000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(scale=4, size=samples).astype(np.float32)
    library = {
        "sigmoid": (sigmoid, tf.sigmoid),
        "tanh": (tanh, tf.tanh),
        "relu": (relu, tf.nn.relu),
        "leaky_relu": (leaky_relu, tf.nn.leaky_relu),
        "elu": (elu, tf.nn.elu),
    }
    inputs = tf.constant(x)
    for name, (ours, theirs) in library.items():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = theirs(inputs)
        report.check(f"{name} equals TensorFlow's", ours(x), y)
        report.check(f"slope of {name} equals the tape's", derivative(name, x), tape.gradient(y, inputs))
    extreme = [function([-1e3, 1e3]) for function in (sigmoid, tanh, softmax)]
    report.check("sigmoid, tanh and softmax at ±1000", extreme, [[0.0, 1.0], [-1.0, 1.0], [0.0, 1.0]])
    report.check("tanh(z) = 2σ(2z) − 1", tanh(x), 2 * sigmoid(2 * x) - 1)
    grid = np.linspace(-8, 8, 1601)
    slopes = derivative("sigmoid", grid)
    report.check("the sigmoid's largest slope is 1/4, at 0", [slopes.max(), grid[slopes.argmax()]], [0.25, 0.0])
    rows, w, b = rng.normal(size=(5, 3)), rng.normal(size=(3, 2, 4)), rng.normal(size=(2, 4))
    pieces = tf.tensordot(rows, w, axes=1) + b  # (batch, units, pieces)
    report.check("maxout equals TensorFlow's", maxout(rows, w, b), tf.reduce_max(pieces, axis=-1))
    folded = maxout(x[:, None], [[[1, 0], [1, -1]]], np.zeros((2, 2)))
    report.check("maxout of x and 0 is ReLU, of x and −x is |x|", folded, np.stack([relu(x), np.abs(x)], axis=1))
    _corrections(report, x, rng.normal(scale=3, size=(4, 3)).astype(np.float32))
    _output_layers(report, x[: samples // 2 * 2].reshape(-1, 2))
    rows = [[depth, 0.25**depth, 1.0, 1.0] for depth in (1, 5, 10, 20)]
    report.table("Largest factor that the slopes leave of an error", ["layers", "sigmoid", "tanh", "ReLU"], rows)
    report.figure(
        "Activations and their slopes",
        _draw(),
        alt="Sigmoid, tanh, ReLU, leaky ReLU, ELU and a maxout unit with their slopes. The first two slopes die away "
        "on both sides; the next three stay 1 on the right; maxout's takes three values.",
    )


def _corrections(report, x, logits):
    inputs = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = tf.nn.softmax(inputs)
    report.check("softmax equals TensorFlow's", softmax(logits), y)
    report.check("softmax sums to 1", softmax(logits).sum(axis=-1), np.ones(len(logits)))
    moved = softmax(logits + 100)
    report.check("softmax does not change when all logits move by 100", moved, softmax(logits), atol=1e-5)
    sums = [softmax(np.zeros(3)).sum(), sigmoid(np.zeros(3)).sum()]
    report.check("three zeros: softmax sums to 1, the notes' 1/(1 + e^−x) to 1.5", sums, [1.0, 1.5])
    jacobian = tape.batch_jacobian(y, inputs)
    report.check("softmax's Jacobian y_i(δ_ij − y_j) equals the tape's", softmax_jacobian(logits), jacobian)
    report.check("the sigmoid is softmax over x and 0", softmax(np.stack([x, 0 * x], axis=1))[:, 0], sigmoid(x))
    others = np.abs(jacobian * (1 - np.eye(3))).max()
    report.at_least("largest slope between different outputs, which y(1 − y) alone leaves out", others, 0.01)
    report.correction(
        "what softmax is", course="softmax is 1/(1 + e^−x), with slope y(1 − y)",
        correct="that is the sigmoid; softmax is e^x_i / Σ e^x_j, with slopes y_i(δ_ij − y_j)",
        shown_by="sums over three zeros, 1.5 and 1; the tape's Jacobian, whose entries off the diagonal are not zero",
    )  # fmt: skip
    at = tf.constant([-2.0, 0.5, 3.0])
    with tf.GradientTape() as tape:
        tape.watch(at)
        y = tf.nn.relu(at)
    slope = tape.gradient(y, at)
    notes = relu(at)  # I(x > 0)·x
    report.table("ReLU at three places", ["x", "tape", "I(x > 0)", "notes: I(x > 0)·x"],
                 zip(at.numpy(), slope.numpy(), derivative("relu", at), notes, strict=True))  # fmt: skip
    report.check("slope of ReLU at −2, 0.5 and 3", slope, [0.0, 1.0, 1.0])
    report.check("the notes' slope at 3 is too large by", notes[2] - slope[2], 2.0)
    report.correction("slope of ReLU", course="I(x > 0)·x", correct="I(x > 0)",
                      shown_by="gradient tape at 3: 1, not 3; I(x > 0)·x is ReLU itself")  # fmt: skip


def _output_layers(report, logits):
    layers = {
        "none": ("any number", "squared error", logits),
        "sigmoid": ("probabilities, each for itself", "binary cross-entropy", sigmoid(logits)),
        "softmax": ("one distribution", "categorical cross-entropy", softmax(logits)),
        "tanh": ("from −1 to 1", "squared error", tanh(logits)),
    }
    report.table("Output layers: what they say, measured on random sums",
                 ["activation", "targets", "loss", "smallest", "largest", "sums to 1"],
                 [[name, targets, loss, y.min(), y.max(), bool(np.allclose(y.sum(axis=1), 1, atol=1e-5))]
                  for name, (targets, loss, y) in layers.items()])  # fmt: skip


def _draw():
    x = np.linspace(-4, 4, 401)
    w, b = [[[-1.0, 0.2, 1.5]]], [[-1.0, 0.5, -1.5]]
    shape = maxout(x[:, None], w, b)[:, 0]
    names = {"sigmoid": sigmoid, "tanh": tanh, "relu": relu, "leaky_relu": leaky_relu, "elu": elu}
    titles = ("Sigmoid", "Tanh", "ReLU", "Leaky ReLU, α = 0.2", "ELU, α = 1")
    figure, axes = plots.subplots(2, 3, figsize=(11, 6), sharex=True, sharey=True)
    for ax, (name, function), title in zip(axes.flat, names.items(), titles, strict=False):
        plots.curves(x, {"value": function(x), "slope": derivative(name, x)}, xlabel="x", ylabel="", title=title, ax=ax)
    curves = {"value": shape, "slope": np.gradient(shape, x)}
    plots.curves(x, curves, xlabel="x", ylabel="", title="Maxout, three pieces", ax=axes[1, 2])
    for ax in axes.flat:
        ax.set_ylim(-1.5, 2.5)
        ax.label_outer()
    return figure

"""A radial-basis unit is a bump by itself: a row of them draws a curve, and what one of them does stays near it.

The units' places and widths are set beforehand, so the best output weights come from least squares, without training.
What the reader should see: bells draw a sine as sigmoids at the same places do. Which kind is closer depends on the
bells' width, and width has a price, since the weights of wide bells grow large and cancel each other. One example, with
one step of the output weights, moves the bells' curve near the example only; the sigmoids' curve moves everywhere.

Notes: chapter 02, "Networks as universal approximators" (神经网络的通用近似).
Source: Park and Sandberg 1991, doi:10.1162/neco.1991.3.2.246 (units of one width suffice to approximate any continuous
function); Moody and Darken 1989, doi:10.1162/neco.1989.1.2.281 (learning with units that answer locally).
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter02.activations import sigmoid
from kerasnotes.chapter02.neurons import rbf_gradients, rbf_unit
from kerasnotes.parts import positive, share, whole

SMOKE = {"points": 401}
SECONDS = 3

KINDS = ("bells", "sigmoids")


def hidden_units(kind, x, centers, width):
    """The outputs of one hidden layer whose units differ only in their places.

    A bell is exp(−(x − center)² / 2·width²). A sigmoid has height ½ at its centre, and its slope there is a bump that
    is as wide as the bell: the standard deviation of both is `width`.

    Args:
        kind: "bells" or "sigmoids".
        x: Places (...).
        centers: (units,).
        width: Of all units, positive.

    Returns: Array (..., units), from 0 to 1.
    Raises: ValueError: If the kind is unknown, or the width is not positive.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    away = (np.asarray(x, np.float64)[..., None] - centers) / positive("width", width)  # (..., units)
    # σ′ is a density of variance π²/3.
    return np.exp(-(away**2) / 2) if kind == "bells" else sigmoid(np.pi / np.sqrt(3) * away)


class UnitNetwork(NamedTuple):
    """One hidden layer and a linear output: Σ v·unit(x) + c, with centers, v (units,). Call it on an array."""

    kind: str
    centers: np.ndarray
    width: float
    v: np.ndarray
    c: float

    def __call__(self, x):
        """The network's outputs, an array of the shape of `x`."""
        return hidden_units(self.kind, x, self.centers, self.width) @ self.v + self.c


def fit_units(kind, x, y, units, width=1.0):
    """A network for points of a curve: even centres over the points, output weights and bias by least squares.

    Args:
        kind: "bells" or "sigmoids".
        x, y: Points of the curve, (points,) each.
        units: Hidden units, at least 2.
        width: Of a unit, in distances of neighbouring centres, positive.

    Returns: A `UnitNetwork`.
    Raises: ValueError: If the shapes differ, all x are the same, or a value is not finite or out of range.
    """
    x, y, units = np.asarray(x, np.float64), np.asarray(y, np.float64), whole("units", units, least=2)
    if x.ndim != 1 or x.shape != y.shape or not np.isfinite([x, y]).all() or not (x.size and np.ptp(x) > 0):
        raise ValueError(f"x, y: expected finite points (points,) at several x, got shapes {x.shape} and {y.shape}")
    centers = np.linspace(x.min(), x.max(), units)
    width = float(positive("width", width) * (centers[1] - centers[0]))
    hidden = np.column_stack([hidden_units(kind, x, centers, width), np.ones(len(x))])
    *v, c = np.linalg.lstsq(hidden, y, rcond=1e-12)[0]
    return UnitNetwork(kind, centers, width, np.array(v), float(c))


def learn_one(network, x, y):
    """One step of the output weights down the squared error of one example, just long enough to meet it.

    The bias stays: it would lift the whole curve, whatever the units are. The curve moves by
    (y − f(x))·k(·, x) / k(x, x) with k(a, b) = Σ unit(a)·unit(b).

    Args:
        network: A `UnitNetwork`.
        x, y: Where, and what the curve should be there: two numbers.

    Returns: The `UnitNetwork` after the step.
    Raises: ValueError: If x or y is not one finite number, or no unit answers at x.
    """
    if np.ndim(x) or np.ndim(y) or not np.isfinite([x, y]).all():
        raise ValueError(f"x, y: expected two finite numbers, got {x!r} and {y!r}")
    slope = hidden_units(network.kind, x, network.centers, network.width)  # of the output along v
    if not slope @ slope > 1e-200:
        raise ValueError(f"x: expected a place where some unit answers, got {x!r}")
    return network._replace(v=network.v + (y - network(x)) * slope / (slope @ slope))


def reach(change, least=0.01):
    """The share of places where a curve has changed by more than `least` of its largest change.

    Args:
        change: New curve less old curve, at even places (points,).
        least: From 0 to below 1.

    Raises: ValueError: If nothing changed, a value is not finite, or `least` is out of range.
    """
    change = np.abs(np.asarray(change, np.float64))
    if change.ndim != 1 or not change.size or not np.isfinite(change).all() or not change.any():
        raise ValueError(f"change: expected finite values (points,), not all 0, got shape {change.shape}")
    return float(np.mean(change > share("least", least, high=False) * change.max()))


def build_keras(network):
    """A network of bells as a Keras model, inputs and outputs (n, 1): `Lambda` for the bells, `Dense` for their sum.

    Raises: ValueError: If its units are no bells.
    """
    if network.kind != "bells":
        raise ValueError(f"network: expected one of bells, got {network.kind!r}")
    beta, centers = 0.5 / network.width**2, network.centers

    def bells(x):
        return tf.stack([rbf_unit(x, center[None], beta) for center in centers], axis=-1)  # (n, units)

    dense = keras.layers.Dense(1)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Lambda(bells, output_shape=centers.shape), dense])
    dense.set_weights([network.v[:, None], np.array([network.c])])
    return model


def example():
    """A sine by eight bells and by eight sigmoids, the bells as a Keras model, and one new example."""
    x = np.linspace(0, 1, 1001)
    y = np.sin(2 * np.pi * x)
    networks = {kind: fit_units(kind, x, y, 8) for kind in KINDS}
    places = np.array([0.1, 0.4, 0.7])
    print("sin 2πx at 0.1, 0.4, 0.7:", np.sin(2 * np.pi * places).round(3))
    for kind, network in networks.items():
        print(
            f"{kind}: {network(places).round(3)}, root mean squared error {np.sqrt(np.mean((network(x) - y) ** 2)):.4f}"
        )
    print("as a Keras model:", build_keras(networks["bells"])(places[:, None]).numpy().ravel().round(3))
    for kind in KINDS:
        network = fit_units(kind, x, y, 32)
        moved = learn_one(network, 0.5, 1.0)(x) - network(x)
        print(f"{kind}, 32 units, one example at ½: {reach(moved):.0%} of the curve moves")


def lesson(report, *, points: int = 1001, units: int = 32, seed: int = 0):
    """Bells beside sigmoids at the same places: how close they come, and how far one weight and one example reach.

    Args:
        report: The report to write to.
        points: Even places on [0, 1] (101 to 100001).
        units: Hidden units where reach is measured (16 to 100).
        seed: Seed of random networks that are compared with Keras (0 to 4294967295).
    """
    x = np.linspace(0, 1, points)
    _against_keras(report, np.random.default_rng(seed))
    errors = _errors(report, x)
    moved = _reach(report, x, units)
    report.figure("A bell stays near its place", _draw(x, errors, moved),
                  alt="Eight weighted bells and the sine that they add up to; errors of bells and sigmoids against the "
                  "bells' width, which cross; the change of both curves by one example, a narrow bump for bells and a "
                  "ramp over the whole interval for sigmoids.")  # fmt: skip


def _against_keras(report, rng):
    """Outputs and slopes of random bells, in Keras and by hand."""
    x, y = rng.uniform(size=(50, 1)), rng.normal(size=(50, 1))
    network = UnitNetwork("bells", rng.uniform(size=7), 0.2, rng.normal(size=7), 0.3)
    model = build_keras(network)
    dense, beta = model.layers[-1], 0.5 / 0.2**2
    centers = tf.Variable(network.centers[:, None])
    with tf.GradientTape(persistent=True) as tape:
        loss = keras.losses.MeanSquaredError()(y, model(x))
        moving = tf.stack([rbf_unit(x, centers[number], beta) for number in range(7)], axis=-1) @ network.v[:, None]
        moved = tf.reduce_mean((moving + network.c - y) ** 2)
    output = network(x[:, 0])
    report.check("bells and a sum are a Keras network of Lambda and Dense", output, model(x)[:, 0], atol=1e-5)
    pull, hidden = 2 * (output - y[:, 0]) / 50, hidden_units("bells", x[:, 0], network.centers, 0.2)
    slopes = [hidden.T @ pull, [pull.sum()]]
    theirs = [slope.numpy().ravel() for slope in tape.gradient(loss, dense.weights)]
    report.check("slopes of the squared error along output weights and bias: Keras's", np.concatenate(slopes),
                 np.concatenate(theirs), rtol=1e-3, atol=1e-5)  # fmt: skip
    along = [v * (pull @ rbf_gradients(x, center[None], beta)[0].numpy()[:, 0])
             for center, v in zip(network.centers, network.v, strict=True)]  # fmt: skip
    report.check("and along the centres: 2β(x − center)·bell, weighted", along, tape.gradient(moved, centers)[:, 0])


def _errors(report, x):
    """A sine by several widths and numbers of units, with the best output weights for each."""
    curve, widths, counts = np.sin(2 * np.pi * x), [0.25, 0.5, 1.0, 2.0], [4, 8, 16, 32]
    errors, sizes, left = {kind: np.empty((4, 4)) for kind in KINDS}, {kind: np.empty((4, 4)) for kind in KINDS}, 0.0
    for kind in KINDS:
        for row, count in enumerate(counts):
            for column, width in enumerate(widths):
                network = fit_units(kind, x, curve, count, width)
                gap = network(x) - curve
                errors[kind][row, column] = np.sqrt(np.mean(gap**2))
                sizes[kind][row, column] = np.abs(network.v).max()
                slope = hidden_units(kind, x, network.centers, network.width).T @ gap / len(x)
                left = max(left, np.abs(slope).max(), abs(gap.mean()))
    columns = [f"width {width:g}" for width in widths]
    for what, table in (("root mean squared error", errors), ("largest output weight", sizes)):
        rows = [[kind, count, *map(float, values)] for kind in KINDS
                for count, values in zip(counts, table[kind], strict=True)]  # fmt: skip
        report.table(f"sin 2πx: {what}", ["hidden units", "how many", *columns], rows)
    report.check("least squares: what is left is at right angles to every unit and the bias", left, 0.0, atol=1e-8)
    line = np.sqrt((1 - 6 / np.pi**2) / 2)  # the error of the best line
    report.at_most("8 bells or more, as wide as their distance: error over the best line's",
                   errors["bells"][1:, 2] / line, 0.05)  # fmt: skip
    ratio = errors["bells"][2] / errors["sigmoids"][2]  # of 16 units
    report.check(
        "16 bells of width ¼ are further off than sigmoids, of width 2 nearer", ratio[[0, 3]] > 1, [True, False]
    )
    growth = sizes["bells"][3, 3] / sizes["bells"][3, 2]
    report.at_least("32 bells: largest weight at width 2 over that at width 1", growth, 10.0)
    report.note("Widths are in distances of neighbouring centres. No kind wins: the width decides.")
    return widths, {kind: errors[kind][2] for kind in KINDS}


def _reach(report, x, units):
    """How much of the curve one weight moves, and one example."""
    rows, moved, curve, middle = [], {}, np.sin(2 * np.pi * x), units // 2
    for kind in KINDS:
        network = fit_units(kind, x, curve, units)
        heavier = network._replace(v=network.v + np.eye(units)[middle])
        weight, moved[kind] = heavier(x) - network(x), learn_one(network, 0.5, 1.0)(x) - network(x)
        rows.append([kind, reach(weight), reach(moved[kind])])
    report.table(f"Share of the curve that moves by over 1% of its largest move, {units} units",
                 ["hidden units", "one output weight", "one example, all output weights"], rows)  # fmt: skip
    width, center, grain = network.width, network.centers[middle], 2.1 / len(x)
    (bell, bells), (single, sigmoids) = (row[1:] for row in rows)
    wanted = 2 * width * np.sqrt(2 * np.log(100))
    report.check("one weight of a bell: 2·width·√(2 ln 100) of the interval", bell, wanted, atol=grain)
    wanted = 1 - center + width * np.sqrt(3) / np.pi * np.log(99)
    label = "one weight of a sigmoid: all beyond its centre, and width·(√3/π)·ln 99 before it"
    report.check(label, single, wanted, atol=grain)
    report.check("one example moves a curve of bells by a bell that is √2 times as wide", moved["bells"],
                 np.exp(-((x - 0.5) ** 2) / (4 * width**2)) * moved["bells"].max(), atol=1e-3)  # fmt: skip
    report.check("and lies 2·2·width·√(ln 100) wide", bells, 4 * width * np.sqrt(np.log(100)), atol=grain)
    report.at_least("one example moves this share of a curve of sigmoids", sigmoids, 0.95)
    report.note("One step moves the output weights only; the bias, which would lift the whole curve, stays.")
    return moved


def _draw(x, errors, moved):
    figure, (row, width, change) = plots.subplots(1, 3, figsize=(14, 4.4))
    network = fit_units("bells", x, np.sin(2 * np.pi * x), 8)
    row.plot(x, hidden_units("bells", x, network.centers, network.width) * network.v, color="C3", linewidth=1)
    row.plot([], [], color="C3", linewidth=1, label="weighted bells")
    row.plot(x, network(x), color="C0", linewidth=3, label="their sum and the bias")
    row.plot(x, np.sin(2 * np.pi * x), "--", color="black", linewidth=1.2, label="sin 2πx")
    row.set(xlabel="x", ylabel="value", title="Eight bells draw a sine")
    row.legend(loc="upper right", fontsize=9)
    plots.curves(errors[0], errors[1], xlabel="width, in distances of centres", ylabel="root mean squared error",
                 xscale="log", yscale="log", marker="o", title="16 units: the width decides", ax=width)  # fmt: skip
    width.set_xticks(errors[0], [f"{each:g}" for each in errors[0]])
    width.minorticks_off()
    plots.curves(x, moved, xlabel="x", ylabel="change of the curve", title="One example at x = ½", ax=change)
    change.plot(0.5, 1.0, "*", color="black", markersize=12)
    return figure

"""Where a search finds the gradient to be zero, small networks mostly have saddles, and seldom a minimum.

The index of a stationary point is the number of negative eigenvalues of its Hessian: 0 at a minimum. Two kinds of
saddles are known beforehand, and their index is checked exactly: a network with a dead unit, and one in which a unit
stands twice. The others have to be searched for. What the reader should see: a higher loss comes with a higher index,
but for the network of zeros, which has the highest loss of all. And the sample depends on where the search begins.

Notes: chapter 03, "Critical points" (临界点: 极小值、极大值与鞍点).
Source: Dauphin et al. 2014, arXiv:1406.2572; Fukumizu and Amari 2000, doi:10.1016/S0893-6080(00)00009-5 (a unit that
stands twice); Frye et al. 2021, arXiv:2003.10397 (where the search fails).
"""

import keras
import numpy as np

from kerasnotes import data, plots
from kerasnotes.chapter03.critical_points import loss_and_hessian
from kerasnotes.parts import positive, shape, whole

SMOKE = {"starts": 8, "steps": 20}
SECONDS = 6

ZERO = 1e-6  # eigenvalues up to this size count as zero


def derivatives(weights, x, y, penalty=0.0, hessian=True):
    """Loss, gradient and Hessian of many small networks v·tanh(Wx + b) + c at once.

    The loss is the mean squared error plus `penalty` times the sum of all squared weights.

    Args:
        weights: Array (networks, P) of float64, P = units · (features + 2) + 1; each row holds the numbers of
            `model.get_weights()` of two `Dense` layers, flattened in order.
        x: Inputs (samples, features).
        y: Targets (samples,).
        penalty: Weight decay, at least 0.
        hessian: Whether the second derivatives are wanted.

    Returns: `(loss, gradient, hessian)` of the shapes (networks,), (networks, P) and (networks, P, P), or None.
    Raises: ValueError: If a shape does not fit.
    """
    inputs = np.column_stack([x, np.ones(len(x))])
    samples, size = inputs.shape
    shape("y", y, samples)
    units = _units(weights, x)
    kernel, v, c = np.split(weights, [size * units, -1], axis=1)
    t = np.tanh(inputs @ kernel.reshape(-1, size, units))  # (networks, samples, units)
    slope = v[:, None] * (1 - t**2)
    error = np.sum(t * v[:, None], axis=-1) + c - y  # (networks, samples)
    by_kernel = (inputs[:, :, None] * slope[:, :, None]).reshape(len(t), samples, -1)
    jacobian = np.concatenate([by_kernel, t, np.ones((len(t), samples, 1))], axis=-1)  # of the output, by each weight
    loss = np.mean(error**2, axis=1) + penalty * np.sum(weights**2, axis=1)
    gradient = 2 / samples * (error[:, None] @ jacobian)[:, 0] + 2 * penalty * weights
    if not hessian:
        return loss, gradient, None
    matrix = 2 / samples * np.swapaxes(jacobian, 1, 2) @ jacobian + 2 * penalty * np.eye(weights.shape[1])
    for unit in range(units):  # what the output's own curvature adds: only weights of one unit bend together
        into, out = slice(unit, size * units, units), size * units + unit
        bend = 2 / samples * error * -2 * t[..., unit] * slope[..., unit]
        matrix[:, into, into] += (bend[:, None] * inputs.T) @ inputs
        mixed = 2 / samples * (error * (1 - t[..., unit] ** 2)) @ inputs
        matrix[:, into, out] += mixed
        matrix[:, out, into] += mixed
    return loss, gradient, matrix


def find_stationary(weights, x, y, penalty=0.0, steps=150, tolerance=1e-9):
    """Search for points without gradient: minimise its squared length by damped Newton steps (Levenberg-Marquardt).

    A step is −(H² + μ²)⁻¹ H g. With small μ it is Newton's, which goes to saddles as readily as to minima; μ grows
    when a step fails. The search may get stuck where g is not 0 but Hg is.

    Args:
        weights, x, y, penalty: As for `derivatives`; each row is a start.
        steps: Most steps.
        tolerance: Length of the gradient at which a search has arrived.

    Returns: `(weights, arrived)`: where each search ended (networks, P), and whether the gradient is that short there.
    Raises: ValueError: If a shape does not fit, or `tolerance` is not positive.
    """
    positive("tolerance", tolerance)
    weights, damping = np.array(weights, np.float64), np.full((len(weights), 1), 0.01)
    _, gradient, hessian = derivatives(weights, x, y, penalty)
    for _ in range(whole("steps", steps)):
        open_ = np.linalg.norm(gradient, axis=1) > tolerance
        if not open_.any():
            break
        values, vectors = np.linalg.eigh(hessian[open_])
        along = np.einsum("nij,ni->nj", vectors, gradient[open_])
        step = np.einsum("nij,nj->ni", vectors, -along * values / (values**2 + damping[open_] ** 2))
        _, there, curved = derivatives(weights[open_] + step, x, y, penalty)
        better = np.linalg.norm(there, axis=1) < np.linalg.norm(gradient[open_], axis=1)
        rows = np.flatnonzero(open_)[better]
        weights[rows] += step[better]
        gradient[rows], hessian[rows] = there[better], curved[better]
        damping[open_] = np.clip(damping[open_] * np.where(better, 1 / 3, 2.5)[:, None], 1e-9, 1e3)
    return weights, np.linalg.norm(gradient, axis=1) <= tolerance


def index(hessian, zero=ZERO):
    """How many eigenvalues are below zero, and how many count as zero.

    Args:
        hessian: Symmetric matrices (..., P, P).
        zero: Size up to which an eigenvalue counts as zero.

    Returns: `(negative, zeros)`, whole numbers of the shape (...). Without zeros, index 0 is a minimum, P a maximum.
    """
    eigenvalues = np.linalg.eigvalsh(hessian)
    return np.sum(eigenvalues < -zero, axis=-1), np.sum(np.abs(eigenvalues) <= zero, axis=-1)


def add_dead_unit(weights, x):
    """The same functions with one unit more, the last one, whose weights are all zero: (networks, P + features + 2).

    It adds the eigenvalues 2p − |q|, 2p (as often as there are features) and 2p + |q| to the Hessian, where p is the
    penalty and q = 2/n Σ error · (x, 1): a saddle wherever |q| > 2p. The other eigenvalues stay.
    """
    units = _units(weights, x)
    kernel, v, c = np.split(weights, [(x.shape[1] + 1) * units, -1], axis=1)
    kernel = np.pad(kernel.reshape(-1, x.shape[1] + 1, units), ((0, 0), (0, 0), (0, 1)))
    return np.concatenate([kernel.reshape(len(kernel), -1), np.pad(v, ((0, 0), (0, 1))), c], axis=1)


def split_last_unit(weights, x, part):
    """The same functions with the last unit standing twice: its output weight v becomes (1 − part)·v and part·v.

    Without a penalty a stationary point stays one, for every `part`: a whole line of them. The Hessian gains the signs
    of part·(1 − part)·B and a zero along the line, where B = 2/n Σ error · v · tanh″ · (x, 1)(x, 1)ᵀ.

    Returns: Array (networks, P + features + 2).
    Source: Fukumizu and Amari 2000.
    """
    units, size = _units(weights, x), x.shape[1] + 1
    larger = add_dead_unit(weights, x)
    last, new = (slice(unit, size * (units + 1), units + 1) for unit in (units - 1, units))
    larger[:, new] = larger[:, last]
    larger[:, -2], larger[:, -3] = part * larger[:, -3], (1 - part) * larger[:, -3]
    return larger


def _units(weights, x):
    units, rest = divmod(np.shape(weights)[-1] - 1, x.shape[1] + 2)
    if np.ndim(weights) != 2 or rest or units < 1:
        raise ValueError(f"weights: expected (networks, units · {x.shape[1] + 2} + 1), got {np.shape(weights)}")
    return units


def example():
    """The Hessian of a Keras network beside ours, and the index of three stationary points of one unit and of two."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, "tanh"), keras.layers.Dense(1)])
    model.compile(loss="mean_squared_error")
    x, y = np.array([[-1.0], [0.5], [2.0]]), np.array([-1.0, 1.0, 0.0])
    start = np.concatenate([weight.ravel() for weight in model.get_weights()])[None]
    print("Hessian's first row by TensorFlow:", loss_and_hessian(model, x, y[:, None])[1][0])
    print("and by hand:                      ", derivatives(start, x, y)[2][0, 0])

    found, arrived = find_stationary(start * np.linspace(0.1, 2, 20)[:, None], x, y, penalty=0.01)
    found = found[arrived][-1:]
    for name, weights in (("zeros", 0 * start), ("found", found), ("found, with a dead unit", add_dead_unit(found, x))):
        loss, gradient, hessian = derivatives(weights, x, y, penalty=0.01)
        print(f"{name}: gradient {np.linalg.norm(gradient):.0e}, loss {loss[0]:.4f}, index {index(hessian)[0][0]}")


def lesson(
    report,
    *,
    starts: int = 100,
    units: int = 4,
    cars: int = 100,
    penalty: float = 0.01,
    descent: int = 1000,
    steps: int = 150,
    seed: int = 0,
):
    """Saddles that are known, and those that a search finds in a network for the car data.

    Args:
        report: The report to write to.
        starts: Starts of the search, of each of two kinds (2 to 10000).
        units: Hidden units of the network (1 to 10).
        cars: Cars to learn from (20 to 392).
        penalty: Weight decay of the search, times the sum of all squared weights (0.000001 to 1).
        descent: Most steps of gradient descent before a search begins (2 to 100000).
        steps: Most steps of a search (1 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(392)[:cars]
    x, y = (values[chosen] for values in data.auto_mpg())
    x, y = ((values - values.mean(axis=0)) / values.std(axis=0) for values in (x, y))
    _by_hand(report, rng, x, y, units)
    line = _known(report, rng, x, y, units, penalty)
    losses, indices = _search(report, rng, x, y, units, penalty, starts, descent, steps)
    _figure(report, line, losses, indices, units)


def _by_hand(report, rng, x, y, units):
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    values = np.array([-3.0, -1.0, -1e-9, 0.0, 0.5, 2.0])
    report.check("−3, −1, −1e-9, 0, ½, 2 made a quadratic form: index, zeros", index(turn * values @ turn.T), (2, 2))
    keras.utils.set_random_seed(int(rng.integers(2**31)))
    layers = [keras.layers.Dense(units, "tanh", dtype="float64"), keras.layers.Dense(1, dtype="float64")]
    model = keras.Sequential([keras.Input((x.shape[1],), dtype="float64"), *layers])
    model.compile(loss="mean_squared_error")
    weights = np.concatenate([weight.ravel() for weight in model.get_weights()])[None]
    loss, _, hessian = derivatives(weights, x, y)
    wanted, by_tape = loss_and_hessian(model, x, y[:, None])
    report.check("a network's loss equals Keras's", got=loss[0], want=wanted)
    report.check("its Hessian by hand equals the one by two tapes", got=hessian[0], want=by_tape, atol=1e-6)


def _known(report, rng, x, y, units, penalty):
    """Stationary points of a larger network that come from those of a smaller one; their eigenvalues are known."""
    inputs = np.column_stack([x, np.ones(len(x))])
    zeros = np.zeros((1, units * (x.shape[1] + 2) + 1))
    _, gradient, hessian = derivatives(zeros, x, y, penalty)
    pull = np.linalg.norm(2 / len(x) * y @ inputs)  # |q| of add_dead_unit, where all errors are −y
    known = [2 * penalty - pull, *[2 * penalty] * x.shape[1], 2 * penalty + pull] * units + [2 + 2 * penalty]
    report.check("a network of zeros has gradient 0", got=gradient, want=np.zeros_like(gradient), atol=1e-9)
    report.check("and these eigenvalues", got=np.linalg.eigvalsh(hessian[0]), want=np.sort(known), atol=1e-9)
    report.check("its index is the number of units", got=index(hessian)[0][0], want=units)

    kernel = 0.5 * rng.normal(size=inputs.shape[1])
    t = np.tanh(inputs @ kernel)
    by_weights = np.column_stack([inputs * (1 - t**2)[:, None], t, np.ones(len(x))])  # of the output of one unit, v = 1
    error = t - y - by_weights @ np.linalg.lstsq(by_weights, t - y, rcond=None)[0]
    targets, small = t - error, np.concatenate([kernel, [1.0, 0.0]])[None]  # made so that no weight can help
    (loss,), _, (hessian,) = derivatives(small, x, targets)
    bend = 2 / len(x) * error * -2 * t * (1 - t**2)
    block = np.linalg.eigvalsh((inputs.T * bend) @ inputs)  # B of split_last_unit
    parts = np.linspace(-0.5, 1.5, 9)
    line = np.concatenate([split_last_unit(small, x, part) for part in parts])
    there, gradient, hessian_there = derivatives(line, x, targets)
    tiny = 1e-10  # signs are kept, sizes are not: an eigenvalue may be far smaller than B's
    wanted = index(hessian, tiny)[0] + np.sum((parts * (1 - parts))[:, None] * block < -tiny, axis=1)
    report.check("one unit stands twice: no gradient all along a line", gradient, np.zeros_like(gradient), atol=1e-8)
    report.check("and the loss of the smaller network", got=there, want=np.full(len(parts), loss))
    report.check("the index along the line is the smaller network's and B's", index(hessian_there, tiny)[0], wanted)
    return parts, hessian_there


def _descend(weights, x, y, penalty, moments, rate=0.2):
    """Gradient descent, whose row i stops after moments[i] steps."""
    weights = weights.copy()
    for step in range(max(moments)):
        on = moments > step
        weights[on] -= rate * derivatives(weights[on], x, y, penalty, hessian=False)[1]
    return weights


def _search(report, rng, x, y, units, penalty, starts, descent, steps):
    """Two kinds of starts: random weights, and points on the way down, shaken a little, after Dauphin et al."""
    size = units * (x.shape[1] + 2) + 1
    random, shaken = 0.5 * rng.normal(size=(2, starts, size)), 0.1 * rng.normal(size=(starts, size))
    moments = np.exp(rng.uniform(0, np.log(descent), starts)).astype(int)
    rows, points = [], {}
    for name, start in (
        ("random weights", random[0]),
        ("on descent's way", _descend(random[1], x, y, penalty, moments) + shaken),
    ):
        found, arrived = find_stationary(start, x, y, penalty, steps)
        loss, _, hessian = derivatives(found[arrived], x, y, penalty)
        negative, zeros = index(hessian)
        at_zero = np.max(np.abs(found[arrived]), axis=1) < 1e-6
        here = {(round(float(loss[i]), 7), int(negative[i])) for i in np.flatnonzero(~at_zero)}
        rows.append([name, starts, len(loss), int(at_zero.sum()), int(np.sum(negative > 0)), int(np.sum(negative == 0)),
                     int(zeros.sum()), len(here)])  # fmt: skip
        points |= dict.fromkeys(here)
    columns = ["starts", "searches", "arrived", "at zeros", "saddles", "index 0", "eigenvalues ≈ 0", "other points"]
    report.table(f"stationary points of a network of {size} weights; other points: each loss once", columns, rows)
    saddles = sum(row[4] for row in rows) / max(1, sum(row[2] for row in rows))
    report.at_least("share of saddles among the searches that arrived", saddles, 0.5, trained=True)
    losses, indices = np.array(sorted(points)).reshape(-1, 2).T
    together = np.corrcoef(losses, indices)[0, 1] if len(points) > 2 else np.nan
    report.at_least("correlation of loss and index, without the network of zeros", together, 0.0, trained=True)
    report.note("What is counted is where searches arrive, not what there is: a point counts by the starts it draws "
                "in, and another kind of start gives other shares. The rest may be slow, or stuck where the gradient "
                "is not zero, only its product with the Hessian.")  # fmt: skip
    return losses, indices


def _figure(report, line, losses, indices, units):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4))
    left.plot(indices, losses, "o", alpha=0.6)
    left.set(xlabel="index: negative eigenvalues of the Hessian", ylabel="loss with penalty")
    left.set_title(f"The higher, the more ways down\n(but for zero weights: index {units}, loss 1)")
    parts, hessians = line
    plots.curves(parts, {"lowest": np.linalg.eigvalsh(hessians)[:, 0]}, ax=right, marker="o", title="One unit twice:\n"
                 "a line without gradient", xlabel="part of the unit that stands in its copy",
                 ylabel="lowest eigenvalue of the Hessian")  # fmt: skip
    right.set_xticks(parts[::2])
    report.figure("Stationary points, found and made", figure, alt="Left: points, whose loss rises with their index. "
                  "Right: the lowest eigenvalue, 0 or less, along a line of stationary points.")  # fmt: skip

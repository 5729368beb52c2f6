"""Back-propagation through time is the chain rule over all steps; a window makes it faster and less exact.

What the reader should see: the network is unrolled forwards, then every loss is carried back step by step, and the
gradient by hand is the tape's. Cutting the way back at a window drops just what is older than the window: a shorter
window makes an update faster and the gradient less exact.

Notes: chapter 08, "Back-propagation through time" (随时间反向传播).
Source: Werbos 1990, doi:10.1109/5.58337; Williams and Peng 1990, doi:10.1162/neco.1990.2.4.490, BPTT(h; h').
"""

import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter08.fading_gradients import gradient_by_lag as gradient_by_lag
from kerasnotes.parts import shape, whole

PARAMETERS = ("w_xh", "w_hh", "w_ho", "b", "b_o")

SMOKE = {"units": 16, "steps": 8, "batch_size": 4}
FULL = {"steps": 256, "batch_size": 32}
SECONDS = 2


def bptt(x, y, parameters):
    """Gradients of a recurrent network's loss, by hand: one pass forward in time, one pass back.

    The network is h_t = tanh(x_t w_xh + h_(t-1) w_hh + b), o_t = h_t w_ho + b_o, with h_0 = 0. The loss is the mean
    over batch and steps of 1/2 ||o_t - y_t||^2.

    Args:
        x: Inputs (batch, steps, inputs).
        y: Targets (batch, steps, outputs).
        parameters: Dictionary of w_xh (inputs, units), w_hh (units, units), w_ho (units, outputs), b (units,) and
            b_o (outputs,).

    Returns:
        Dictionary of the gradients, with the same keys and shapes, float64.

    Raises:
        ValueError: If a key is missing or unknown, shapes do not fit, or a value is not finite.

    Source: Werbos 1990.
    """
    x, y, p = _arguments(x, y, parameters)
    states, d_outputs = _forward(x, y, p)
    d_states = d_outputs @ p["w_ho"].T  # (batch, steps, units), the part that does not come from later steps
    slopes = 1.0 - states[:, 1:] ** 2  # (batch, steps, units), tanh' = 1 - tanh^2
    d_sums = _carry_back(d_states, slopes, p["w_hh"], 0, x.shape[1], reach=0)
    return _sum_over_steps(x, states, d_outputs, d_sums)


def truncated_bptt(x, y, parameters, window, every=1):
    """Gradients in which a loss is carried back through at most `window` steps, its own included.

    The forward pass always runs over the whole sequence. After every `every` steps, the losses of these steps are
    carried back together until `window` steps are done, and what would go further back is dropped. With `every=1`,
    the original form BPTT(h) with h = window, each loss has a sliding window of its own. With `every=window` the
    sequence falls into chunks: this is training with Keras's `stateful=True`, or with PyTorch's `detach`, and
    most losses then reach less far. A last block shorter than `every` reaches as far as a full one would from the same
    start. So a window of at least `steps` gives `bptt` again if `every` divides `steps` or is at least as large.

    Args:
        x, y, parameters: As in `bptt`.
        window: Steps of the way back (h), at least 1; may exceed the length of the sequence.
        every: Steps between two ways back (h'), 1 to `window`.

    Returns:
        As `bptt`. The weights stay fixed, and the gradients of all ways back are added up.

    Raises:
        ValueError: As `bptt`, and if `window` or `every` is out of range.

    Source: Williams and Peng 1990, BPTT(h; h').
    """
    x, y, p = _arguments(x, y, parameters)
    if whole("every", every) > whole("window", window):
        raise ValueError(f"every: expected at most window={window}, got {every}")
    states, d_outputs = _forward(x, y, p)
    d_states = d_outputs @ p["w_ho"].T  # (batch, steps, units)
    slopes = 1.0 - states[:, 1:] ** 2  # (batch, steps, units)
    steps = x.shape[1]
    d_sums = np.zeros_like(slopes)
    for start in range(0, steps, every):
        stop = min(start + every, steps)
        reach = max(start + every - window, 0)
        d_sums[:, reach:stop] += _carry_back(d_states, slopes, p["w_hh"], start, stop, reach)
    return _sum_over_steps(x, states, d_outputs, d_sums)


def _forward(x, y, p):
    """States (batch, steps + 1, units), the zero start in front, and dloss/do (batch, steps, outputs)."""
    batch, steps, _ = x.shape
    states = np.zeros((batch, steps + 1, len(p["b"])))
    for t in range(steps):
        states[:, t + 1] = np.tanh(x[:, t] @ p["w_xh"] + states[:, t] @ p["w_hh"] + p["b"])  # (batch, units)
    outputs = states[:, 1:] @ p["w_ho"] + p["b_o"]  # (batch, steps, outputs)
    return states, (outputs - y) / (batch * steps)


def _carry_back(d_states, slopes, w_hh, start, stop, reach):
    """Carry the losses of steps start to stop - 1 back to step `reach`: dloss/da (batch, stop - reach, units)."""
    d_sums = np.empty_like(slopes[:, reach:stop])  # a_t is the sum inside tanh
    d_h = np.zeros_like(slopes[:, 0])  # (batch, units), what later steps hand back
    for t in reversed(range(reach, stop)):
        if t >= start:
            d_h = d_h + d_states[:, t]
        d_sums[:, t - reach] = d_h * slopes[:, t]
        d_h = d_sums[:, t - reach] @ w_hh.T
    return d_sums


def _sum_over_steps(x, states, d_outputs, d_sums):
    """The same weights serve at every step, so their gradients add up over batch and steps."""
    axes = ([0, 1], [0, 1])
    return {
        "w_xh": np.tensordot(x, d_sums, axes),  # (inputs, units)
        "w_hh": np.tensordot(states[:, :-1], d_sums, axes),  # (units, units)
        "w_ho": np.tensordot(states[:, 1:], d_outputs, axes),  # (units, outputs)
        "b": d_sums.sum((0, 1)),  # (units,)
        "b_o": d_outputs.sum((0, 1)),  # (outputs,)
    }


def _arguments(x, y, parameters):
    """Everything as float64 arrays, refused where shapes would broadcast or a number is none."""
    if not isinstance(parameters, dict) or set(parameters) != set(PARAMETERS):
        raise ValueError(f"parameters: expected a dictionary with the keys {', '.join(PARAMETERS)}, got {parameters!r}")
    x, y = (np.asarray_chkfinite(values, np.float64) for values in (x, y))
    p = {name: np.asarray_chkfinite(parameters[name], np.float64) for name in PARAMETERS}
    batch, steps, inputs = shape("x", x, None, None, None).shape
    outputs = shape("y", y, batch, steps, None).shape[2]
    for name, sizes in zip(PARAMETERS, _shapes(inputs, len(p["w_hh"]), outputs), strict=True):
        shape(name, p[name], *sizes)
    if x.size == 0:
        raise ValueError(f"x: expected at least one sequence with one step, got shape {x.shape}")
    return x, y, p


def _shapes(inputs, units, outputs):
    return (inputs, units), (units, units), (units, outputs), (units,), (outputs,)


def example():
    """The gradient of one small network, by hand, cut at two steps, and by TensorFlow's tape through Keras's layers."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 5, 1))
    layer, head = (
        keras.layers.SimpleRNN(4, return_sequences=True, dtype="float64"),
        keras.layers.Dense(1, dtype="float64"),
    )
    head(layer(x))
    names = ("w_xh", "w_hh", "b", "w_ho", "b_o")
    parameters = dict(zip(names, layer.get_weights() + head.get_weights(), strict=True))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((head(layer(x)) - y) ** 2) / 2
    gradient = tape.gradient(loss, layer.trainable_variables[1].value)
    print("norm of the gradient of w_hh, by the tape:", np.linalg.norm(gradient))
    print("by hand:", np.linalg.norm(bptt(x, y, parameters)["w_hh"]))
    print("carried back two steps at most:", np.linalg.norm(truncated_bptt(x, y, parameters, window=2)["w_hh"]))


def lesson(report, *, units: int = 64, steps: int = 128, batch_size: int = 8, seed: int = 0):
    """Compare gradients by hand with the tape's, and cut the way back short.

    Args:
        report: The report to write to.
        units: Size of the hidden state (2 to 512).
        steps: Length of the sequences on which truncation is timed (4 to 512).
        batch_size: Sequences in a batch when truncation is timed (1 to 1024).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _parity(report, rng)
    _price_of_truncation(report, rng, steps, units, batch_size)


def _problem(rng, batch_size, steps, inputs, units, outputs=2):
    """Random inputs, targets and parameters, float64; the recurrent matrix is orthogonal."""
    shapes = dict(zip(PARAMETERS, _shapes(inputs, units, outputs), strict=True))
    parameters = {name: rng.normal(size=shape) / np.sqrt(shape[0]) for name, shape in shapes.items()}
    parameters["w_hh"] = np.linalg.qr(parameters["w_hh"])[0]
    return rng.normal(size=(batch_size, steps, inputs)), rng.normal(size=(batch_size, steps, outputs)), parameters


def _parity(report, rng):
    tight = {"rtol": 1e-9, "atol": 1e-12}
    x, y, parameters = _problem(rng, batch_size=3, steps=10, inputs=4, units=5)
    full = bptt(x, y, parameters)
    layer = keras.layers.SimpleRNN(5, return_sequences=True, unroll=True, dtype="float64")
    head = keras.layers.Dense(2, dtype="float64")
    head(layer(x))
    layer.set_weights([parameters[name] for name in ("w_xh", "w_hh", "b")])
    head.set_weights([parameters[name] for name in ("w_ho", "b_o")])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.reduce_sum((head(layer(x)) - y) ** 2, axis=-1)) / 2
    variables = [variable.value for variable in layer.trainable_variables + head.trainable_variables]
    want = dict(zip(("w_xh", "w_hh", "b", "w_ho", "b_o"), tape.gradient(loss, variables), strict=True))
    report.check("by hand equals the tape through SimpleRNN and Dense", full, want, **tight)
    for every, form in ((1, "sliding windows"), (4, "chunks")):
        got, want = truncated_bptt(x, y, parameters, 4, every), _tape_gradients(x, y, parameters, 4, every)
        report.check(f"{form} of 4 steps equal the tape with stop_gradient", got, want, **tight)
    for window in (10, 25):
        got = truncated_bptt(x, y, parameters, window)
        report.check(f"10 steps, window {window}: the full gradient", got, full, rtol=1e-12, atol=1e-15)

    x[:, 6:] = 0.0  # inputs in steps 0 to 5 only, and below a loss in step 9 only
    outputs = _forward(x, y, parameters)[0][:, 1:] @ parameters["w_ho"] + parameters["b_o"]  # (batch, steps, outputs)
    y[:, :9] = outputs[:, :9]
    cut, full = truncated_bptt(x, y, parameters, window=4)["w_xh"], bptt(x, y, parameters)["w_xh"]
    report.check(
        "inputs only beyond the window: the truncated gradient of w_xh is 0", cut, np.zeros((4, 5)), atol=1e-15
    )
    report.at_least("and the full one is not, norm", np.linalg.norm(full), bound=1e-6)


def _tape_gradients(x, y, parameters, window, every):
    """The truncated gradient from TensorFlow: one forward pass for each way back, cut by stop_gradient."""
    p = {name: tf.constant(value) for name, value in parameters.items()}
    batch, steps, _ = x.shape
    with tf.GradientTape() as tape:
        tape.watch(p)
        loss = 0.0
        for start in range(0, steps, every):
            h = tf.zeros((batch, len(parameters["b"])), tf.float64)
            for t in range(min(start + every, steps)):
                if t == start + every - window:
                    h = tf.stop_gradient(h)
                h = tf.tanh(x[:, t] @ p["w_xh"] + h @ p["w_hh"] + p["b"])  # (batch, units)
                if t >= start:
                    loss += tf.reduce_sum((h @ p["w_ho"] + p["b_o"] - y[:, t]) ** 2) / (2 * batch * steps)
    return tape.gradient(loss, p)


def _price_of_truncation(report, rng, steps, units, batch_size):
    x, y, parameters = _problem(rng, batch_size, steps, inputs=4, units=units)
    x *= 0.2  # small inputs keep tanh nearly linear, so that the past matters
    windows = [2**power for power in range(steps.bit_length()) if 2**power < steps] + [steps]
    full = bptt(x, y, parameters)["w_hh"]
    errors, seconds = np.zeros((2, len(windows))), np.full((2, len(windows)), np.inf)
    for _ in report.track(range(3), "timing"):  # rounds, so that a busy moment of the machine does not hit one window
        for column, window in enumerate(windows):
            for row, every in enumerate((1, window)):
                begin = time.perf_counter()
                gradient = truncated_bptt(x, y, parameters, window, every)["w_hh"]
                updates = -(-steps // every)
                seconds[row, column] = min(seconds[row, column], (time.perf_counter() - begin) / updates)
                errors[row, column] = np.linalg.norm(gradient - full) / np.linalg.norm(full)
    report.check("window = steps, both forms: error of the gradient", errors[:, -1], [0.0, 0.0], atol=1e-12)
    rows = [[window, *errors[:, i], *seconds[:, i]] for i, window in enumerate(windows)]
    columns = ["window", "error, sliding", "error, chunks", "seconds an update, sliding", "seconds an update, chunks"]
    report.table(f"truncated gradient of w_hh, {steps} steps: relative error and time", columns, rows)
    report.note(
        "Williams and Peng update the weights after each way back. Here the weights stay fixed and the gradients are "
        "added up, so that they can be compared with the full gradient. The time of an update is that of the whole "
        "sequence, forward pass included, over the number of ways back; the first sliding windows are shorter."
    )
    figure, (left, right) = plots.subplots(1, 2, figsize=(10, 4.2))
    names = ("sliding, an update every step", "chunks, an update every window")
    style = {"xlabel": "window, steps", "xscale": "log", "yscale": "log", "marker": "o"}
    drawn = dict(zip(names, errors[:, :-1], strict=True))  # the last error is zero, which a logarithm cannot show
    plots.curves(windows[:-1], drawn, ylabel="relative error", title="A better gradient …", ax=left, **style)
    drawn = dict(zip(names, 1000 * seconds, strict=True))
    plots.curves(windows, drawn, ylabel="ms per update", title="… for a slower update", ax=right, **style)
    right.legend(loc="upper left")
    for ax, ticks in ((left, windows[:-1]), (right, windows)):
        ax.set_xticks(ticks, ticks)
        ax.minorticks_off()
    report.figure(
        "A longer window gives a better gradient for a slower update",
        figure,
        alt="Left: the relative error of the truncated gradient falls as the window grows, faster for sliding windows "
        "than for chunks. Right: the time per update grows with the window, for chunks in proportion to it.",
    )

"""A GRU has two gates and one state where an LSTM has three gates and two states.

The update gate mixes the old state with a candidate; the reset gate decides how much of the old state the candidate
sees. What the reader should see: ours equals Keras's in both of its forms; the course writes the mixture the other way
round than Keras, which is the same network with a negated gate; and a GRU has three quarters of an LSTM's weights.

Notes: chapter 09, "Gated recurrent unit" (门控循环单元).
Source: Cho et al. 2014, arXiv:1406.1078, equations 5 to 8; Chung et al. 2014, arXiv:1412.3555, equation 5;
https://keras.io/api/layers/recurrent_layers/gru/
"""

import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import shape

CONVENTIONS = ("keras", "course")

SMOKE = {"steps": 3, "units": 4, "batch_size": 2, "rounds": 1}
SECONDS = 4


def gru_step(x_t, h, w, u, b, reset_after=False, update_gate="keras"):
    """One step of the cell: how much of the old state stays, and what comes instead.

    Args:
        x_t: Input of this step (batch, inputs).
        h: State after the step before (batch, units).
        w: Weights from the input (inputs, 3 units), in Keras's order: update, reset, candidate.
        u: Weights from the state (units, 3 units).
        b: Biases (3 units,), or (2, 3 units) with `reset_after`: the second row belongs to the product with `u`.
        reset_after: False: the reset gate acts on the state before the product with `u` (Cho et al. 2014). True: on
            the product, as in Keras's default.
        update_gate: "keras": h ← z h + (1 − z) h̃, as Cho et al. 2014 write it. "course": h ← (1 − z) h + z h̃, as
            Chung et al. 2014 do.

    Returns:
        Tensor (batch, units), the new state.

    Raises:
        ValueError: If a shape does not fit, or `update_gate` is unknown.
    """
    if update_gate not in CONVENTIONS:
        raise ValueError(f"update_gate: expected one of {', '.join(CONVENTIONS)}, got {update_gate!r}")
    units = u.shape[0]
    shape("w", w, x_t.shape[-1], 3 * units)
    shape("u", u, units, 3 * units)
    shape("b", b, *([2] if reset_after else []), 3 * units)
    shape("h, the state", h, x_t.shape[0], units)
    b_x, b_h = (b[0], b[1]) if reset_after else (b, tf.zeros_like(b))
    from_x = x_t @ w + b_x  # (batch, 3 units)
    gates = tf.sigmoid(from_x[:, : 2 * units] + h @ u[:, : 2 * units] + b_h[: 2 * units])
    z, r = tf.split(gates, 2, axis=-1)  # update and reset gate, each (batch, units)
    u_h, b_h = u[:, 2 * units :], b_h[2 * units :]
    from_h = r * (h @ u_h + b_h) if reset_after else (r * h) @ u_h
    candidate = tf.tanh(from_x[:, 2 * units :] + from_h)
    return z * h + (1 - z) * candidate if update_gate == "keras" else (1 - z) * h + z * candidate


def gru(x, w, u, b, initial_state=None, mask=None, reset_after=False, update_gate="keras"):
    """The cell at every step, as `keras.layers.GRU`.

    Args:
        x: Inputs (batch, steps, inputs), at least one step; inside a `tf.function` the batch may be unknown.
        w, u, b, reset_after, update_gate: As in `gru_step`.
        initial_state: State before the first step (batch, units), or None for zeros.
        mask: Booleans (batch, steps), False where a step is padding, or None. A padded step leaves the state as it is
            and repeats the last output, which is zero before the first real step.

    Returns:
        `(states, h)`: the outputs (batch, steps, units) and the state after the last step (batch, units).

    Raises:
        ValueError: If a shape does not fit, the number of steps is unknown, or `update_gate` is.
    """
    shape("x", x, None, None, w.shape[0])
    if not x.shape[1]:
        raise ValueError(f"x: expected a known number of steps, at least one, got the shape {tuple(x.shape)}")
    h = tf.zeros((tf.shape(x)[0], u.shape[0]), x.dtype) if initial_state is None else initial_state
    real = None if mask is None else tf.cast(shape("mask", tf.convert_to_tensor(mask), *x.shape[:2]), tf.bool)
    output, outputs = tf.zeros_like(h), []
    for t in range(x.shape[1]):
        new_h = gru_step(x[:, t], h, w, u, b, reset_after, update_gate)
        now = True if mask is None else real[:, t, None]  # (batch, 1)
        h, output = tf.where(now, new_h, h), tf.where(now, new_h, output)
        outputs.append(output)
    return tf.stack(outputs, axis=1), h


def negate_update_gate(w, u, b):
    """The weights of the same network in the other convention: sigmoid(−s) = 1 − sigmoid(s).

    Args:
        w, u, b: Weights (…, 3 units) and biases as in `gru_step`.

    Returns:
        `(w, u, b)` with the update gate's columns, the first third, negated.
    """
    units = u.shape[0]
    sign = tf.concat([-tf.ones(units, w.dtype), tf.ones(2 * units, w.dtype)], axis=0)
    return w * sign, u * sign, b * sign


def example():
    """One batch of sequences through Keras's cell in a loop, through Keras's layer and through the function above."""
    x = tf.random.stateless_normal((2, 5, 3), seed=(0, 0))  # (batch, steps, inputs)
    cell = keras.layers.GRUCell(4)
    h = tf.zeros((2, 4))
    for t in range(5):
        output, (h,) = cell(x[:, t], [h])
    print("layers.GRUCell in a loop:", output[0].numpy())

    layer = keras.layers.GRU(4, return_sequences=True, return_state=True)
    layer.build(x.shape)
    layer.set_weights(cell.get_weights())
    outputs, h = layer(x)
    print("layers.GRU:              ", outputs[0, -1].numpy(), "the state is the output:", h[0].numpy())

    outputs, h = gru(x, *cell.get_weights(), reset_after=True)  # Keras's default
    print("ours:                    ", outputs[0, -1].numpy())
    for form in (True, False):
        layer = keras.layers.GRU(5, reset_after=form)
        layer.build((None, None, 3))
        print(f"parameters for 3 inputs and 5 units, reset_after={form}:", layer.count_params())


def lesson(report, *, steps: int = 64, units: int = 128, batch_size: int = 64, rounds: int = 15, seed: int = 0):
    """Compare the cell with Keras's in both forms and both conventions, count weights, and time three layers.

    Args:
        report: The report to write to.
        steps: Steps of the sequences that are timed (1 to 1000).
        units: Units of the layers that are timed (1 to 1024).
        batch_size: Sequences in a batch (1 to 4096).
        rounds: Alternating rounds of timing (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    before = _parity(report, rng, reset_after=False)
    _parity(report, rng, reset_after=True)
    _conventions(report, before)
    _forms(report, rng)
    _count_and_time(report, steps, units, batch_size, rounds, seed)
    _figure(report)


def _problem(rng, reset_after, inputs=3, units=5, batch=4, steps=6):
    bias = (2, 3 * units) if reset_after else (3 * units,)
    shapes = ((batch, steps, inputs), (inputs, 3 * units), (units, 3 * units), bias, (batch, units))
    return [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]


def _parity(report, rng, reset_after):
    x, w, u, b, h = _problem(rng, reset_after)
    mask = tf.constant(rng.random(x.shape[:2]) < 0.7)
    layer = keras.layers.GRU(5, return_sequences=True, return_state=True, reset_after=reset_after)
    layer.build(x.shape)
    layer.set_weights([w, u, b])
    for name, chosen in (("", None), (", under a mask", mask)):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([x, w, u, b, h])
            ours = gru(x, w, u, b, h, chosen, reset_after=reset_after)
            theirs = layer(x, initial_state=h, mask=chosen)
            our_loss, their_loss = (tf.add_n([tf.reduce_sum(tf.sin(v)) for v in each]) for each in (ours, theirs))
        got = [*ours, *tape.gradient(our_loss, [x, h, w, u, b])]
        want = [*theirs, *tape.gradient(their_loss, [x, h, *(weight.value for weight in layer.weights)])]
        label = f"layers.GRU(reset_after={reset_after}){name}: outputs, state and gradients"
        report.check(label, got=got, want=want, atol=1e-5)
    cell, state, outputs = keras.layers.GRUCell(5, reset_after=reset_after), h, []
    cell.build(x[:, 0].shape)
    cell.set_weights([w, u, b])
    for t in range(x.shape[1]):
        output, (state,) = cell(x[:, t], [state])
        outputs.append(output)
    label = f"a loop over layers.GRUCell(reset_after={reset_after}): outputs and state"
    report.check(label, [tf.stack(outputs, axis=1), state], want=layer(x, initial_state=h), atol=1e-5)
    return x, w, u, b, h, layer


def _conventions(report, problem):
    x, w, u, b, h, layer = problem
    keras_states, _ = layer(x, initial_state=h)
    literal, _ = gru(x, w, u, b, h, update_gate="course")
    negated, _ = gru(x, *negate_update_gate(w, u, b), h, update_gate="course")
    report.check(
        "the course's form with a negated update gate equals Keras's", got=negated, want=keras_states, atol=1e-5
    )
    gap = float(tf.reduce_max(tf.abs(literal - keras_states)))
    report.at_least("with Keras's weights as they are, it differs: largest difference", got=gap, bound=0.1)
    report.correction(
        "the last line of the GRU",
        course="One source has a weight matrix where the update gate belongs; the others write h ← (1 − z) h + z h̃.",
        correct="h ← z h + (1 − z) h̃ in Keras and in Cho et al. 2014; the course's form, from Chung et al. 2014, is "
        "the same network with the update gate's weights negated. A matrix in its place would not keep h in [−1, 1].",
        shown_by=f"layers.GRU: equal after negating, off by up to {gap:.2g} before",
    )
    start = tf.tanh(h)  # a state in [−1, 1], as any cell gives it
    candidate = tf.tanh(x[:, 0] @ w[:, 10:])
    literally = start - start @ u[:, :5] + candidate @ u[:, :5]  # (1 − U) h + U h̃ with a matrix U
    inside = gru_step(x[:, 0], start, w, u, b)
    report.at_most("with the gate, the state stays in [−1, 1]: largest entry", tf.reduce_max(tf.abs(inside)), bound=1)
    report.at_least("with a matrix, it leaves [−1, 1]: largest entry", tf.reduce_max(tf.abs(literally)), bound=1)


def _forms(report, rng):
    x, w, u, b, h = _problem(rng, reset_after=False)
    both_biases = tf.stack([b, tf.zeros_like(b)])
    before, after = (gru(x, w, u, bias, h, reset_after=form)[0] for form, bias in ((False, b), (True, both_biases)))
    gap = float(tf.reduce_max(tf.abs(before - after)))
    report.at_least("the same weights, reset before or after the product: largest difference", got=gap, bound=0.01)
    sizes = {}
    for form in (False, True):
        layer = keras.layers.GRU(5, reset_after=form)
        layer.build((None, None, 3))
        sizes[form] = layer.count_params()
    report.check(
        "parameters for 3 inputs and 5 units, without and with reset_after", [*sizes.values()], want=[135, 150]
    )


def _count_and_time(report, steps, units, batch_size, rounds, seed):
    rng = np.random.default_rng((seed, 1))
    x = tf.constant(rng.normal(size=(batch_size, steps, units)), tf.float32)
    layers = {
        "SimpleRNN": keras.layers.SimpleRNN(units, seed=seed),
        "GRU": keras.layers.GRU(units, reset_after=False, seed=seed),
        "GRU, reset_after": keras.layers.GRU(units, seed=seed),
        "LSTM": keras.layers.LSTM(units, seed=seed),
    }
    times, steps_of = {name: [] for name in layers}, {}
    for name, layer in layers.items():
        layer.build(x.shape)

        def step(layer=layer):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(x))
            return tape.gradient(loss, layer.trainable_variables)

        steps_of[name] = tf.function(tf.autograph.experimental.do_not_convert(step))
        steps_of[name]()
    for _ in report.track(range(rounds), "timing"):
        for name, run in steps_of.items():
            begin = time.perf_counter()
            run()[0].numpy()
            times[name].append(1000 * (time.perf_counter() - begin))
    rows = [[name, layer.count_params(), statistics.median(times[name])] for name, layer in layers.items()]
    title = f"{units} inputs and units, {steps} steps, batch {batch_size}: forward and backward"
    report.table(title, ["layer", "parameters", "ms a pass, median"], rows)
    gru_size, lstm_size = layers["GRU"].count_params(), layers["LSTM"].count_params()
    report.check("a GRU has three quarters of an LSTM's parameters", got=gru_size * 4, want=lstm_size * 3)


def _figure(report):
    """What the update gate does to one unit: half of the way to the candidate, or hardly a step."""
    figure, ax = plots.subplots(figsize=(7, 4))
    target = np.concatenate([np.zeros(5), np.ones(30), -np.ones(30)])
    x = tf.constant(np.arctanh(0.99 * target)[None, :, None], tf.float32)
    ax.step(np.arange(len(target)), 0.99 * target, "k:", where="mid", label="candidate h̃")
    for number, z in enumerate((0.5, 0.9, 0.98)):
        bias = tf.constant([np.log(z / (1 - z)), 0.0, 0.0], tf.float32)
        states, _ = gru(x, tf.constant([[0.0, 0.0, 1.0]]), tf.zeros((1, 3)), bias)
        ax.plot(states[0, :, 0], plots.LINE_STYLES[number], color=f"C{number}", label=f"update gate z = {z}")
        steady = 0.99 * (1 - z ** np.arange(1, 31))  # geometric approach from 0 to 0.99
        label = f"z = {z}: the state approaches its candidate geometrically, 1 − z^t"
        report.check(label, got=states[0, 5:35, 0], want=steady, atol=1e-5)
    ax.set(xlabel="step", ylabel="state of one unit")
    ax.set_title("The update gate is a memory's time constant")
    ax.legend(loc="lower left")
    alt = "A candidate that jumps between 0, 1 and −1, and the states that follow it: at once for z = 0.5, in twenty "
    report.figure("time constants", figure, alt=alt + "steps or so for 0.9, hardly for 0.98.")

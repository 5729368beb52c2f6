"""Back-propagation through an LSTM by hand equals the tape, and the weights' gradient can wait till the end.

The tape adds to the weights' gradient at every step back. By hand it is enough to collect, step by step, the gradient
of the four sums before the activations; one matrix product over all steps then gives the weights' gradient, just as
one product gave the inputs' part of the sums on the way forward. What the reader should see: the same numbers as the
tape, with and without a mask, and as a difference quotient; how the gradient of a loss at the last step walks back
through the gates; and that it can do so only because gates are analog: a gate that is a step has slope 0 everywhere, so
that nothing would teach it when to open.

Notes: chapter 09, "Back-propagation through an LSTM" (LSTM的反向传播).
Source: Graves and Schmidhuber 2005, doi:10.1016/j.neunet.2005.06.042 (full gradient); Appleyard, Kocisky, Blunsom 2016,
arXiv:1604.01946 (one product for all steps).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter09.lstm import lstm, lstm_step
from kerasnotes.parts import shape

SMOKE = {"steps": 12}
SECONDS = 2


def lstm_forward(x, w, u, b, h0, c0, mask=None):
    """Run an LSTM and keep what its backward pass needs.

    Args:
        x: Inputs (batch, steps, inputs), at least one step.
        w: Weights from the input (inputs, 4 units), in Keras's order: input, forget, candidate, output.
        u: Weights from the hidden state (units, 4 units).
        b: Biases (4 units,).
        h0, c0: States before the first step (batch, units).
        mask: Booleans (batch, steps), False where a step is padding and the states stay, or None.

    Returns:
        `(outputs, (h, c), saved)`: outputs (batch, steps, units), the last states (batch, units), and a dictionary for
        `lstm_backward`, its tensors with the steps first.

    Raises:
        ValueError: If a shape does not fit.
    """
    shape("x", x, None, None, w.shape[0])
    if x.shape[1] == 0:
        raise ValueError(f"x: expected at least one step, got the shape {tuple(x.shape)}")
    units = u.shape[0]
    for name, value, sizes in (("w", w, (None, 4 * units)), ("u", u, (None, 4 * units)), ("b", b, (4 * units,)),
                               ("h0", h0, (x.shape[0], units)), ("c0", c0, (x.shape[0], units))):  # fmt: skip
        shape(name, value, *sizes)
    mask = mask if mask is None else shape("mask", tf.convert_to_tensor(mask), *x.shape[:2])
    steps = x.shape[1] or tf.shape(x)[1]
    sums_of_x = _product(_steps_first(x), w) + b  # (steps, batch, 4 units), one product for all steps
    keep = None if mask is None else _steps_first(tf.cast(mask, tf.bool))[..., None]  # (steps, batch, 1)

    def step(t, h, c, output, *kept):
        i, f, g, o = tf.split(sums_of_x[t] + h @ u, 4, axis=-1)  # each (batch, units)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        new_c = f * c + i * g
        new_h = o * tf.tanh(new_c)
        if keep is None:
            h, c, output = new_h, new_c, new_h
        else:
            h, c, output = (tf.where(keep[t], new, old) for new, old in ((new_h, h), (new_c, c), (new_h, output)))
        values = (tf.concat([i, f, g, o], axis=-1), h, c, output)
        return t + 1, h, c, output, *(array.write(t, value) for array, value in zip(kept, values, strict=True))

    arrays = [tf.TensorArray(x.dtype, steps) for _ in range(4)]
    start = (tf.constant(0), h0, c0, tf.zeros_like(h0), *arrays)
    _, h, c, _, *arrays = tf.while_loop(lambda t, *_: t < steps, step, start)
    gates, hs, cs, outputs = (array.stack() for array in arrays)
    saved = {"x": x, "keep": keep, "gates": gates}
    saved["hs"], saved["cs"] = tf.concat([h0[None], hs], axis=0), tf.concat([c0[None], cs], axis=0)  # (steps + 1, …)
    return tf.transpose(outputs, (1, 0, 2)), (h, c), saved


def lstm_backward(saved, w, u, d_outputs, d_h, d_c):
    """The gradients of an LSTM, by hand: one pass back through the steps, then one product for each weight matrix.

    Args:
        saved: What `lstm_forward` kept.
        w, u: The weights as in `lstm_forward`.
        d_outputs: Gradient of the loss by the outputs (batch, steps, units).
        d_h, d_c: Gradient of the loss by the last states (batch, units).

    Returns:
        Dictionary of the gradients with the keys x, w, u, b, h0 and c0, each of its variable's shape.
    """
    gates, hs, cs, keep = (saved[name] for name in ("gates", "hs", "cs", "keep"))
    steps, units, dtype = saved["x"].shape[1] or tf.shape(saved["x"])[1], u.shape[0], u.dtype
    d_outputs, u_transposed = _steps_first(d_outputs), tf.transpose(u)

    def step(t, d_h, d_c, d_output, d_sums):
        d_output = d_output + d_outputs[t]
        real = tf.ones((), dtype) if keep is None else tf.cast(keep[t], dtype)  # 0 where a step is padding
        d_new_h, d_new_c = real * (d_h + d_output), real * d_c
        i, f, g, o = tf.split(gates[t], 4, axis=-1)
        tanh_c = tf.tanh(cs[t + 1])
        d_cell = d_new_c + d_new_h * o * (1 - tanh_c**2)
        d_sum = tf.concat(  # slopes from values: sigmoid' = s (1 - s), tanh' = 1 - tanh²
            [
                d_cell * g * i * (1 - i),
                d_cell * cs[t] * f * (1 - f),
                d_cell * i * (1 - g**2),
                d_new_h * tanh_c * o * (1 - o),
            ],
            axis=-1,
        )  # (batch, 4 units)
        d_h, d_c = d_sum @ u_transposed + (1 - real) * d_h, d_cell * f + (1 - real) * d_c
        return t - 1, d_h, d_c, (1 - real) * d_output, d_sums.write(t, d_sum)

    start = (steps - 1, d_h, d_c, tf.zeros_like(d_h), tf.TensorArray(dtype, steps))
    _, d_h0, d_c0, _, d_sums = tf.while_loop(lambda t, *_: t >= 0, step, start)
    d_sums = d_sums.stack()  # (steps, batch, 4 units)
    flat = tf.reshape(d_sums, (-1, 4 * units))
    x, h = (tf.reshape(each, (-1, each.shape[-1])) for each in (_steps_first(saved["x"]), hs[:-1]))
    d_x = tf.transpose(_product(d_sums, tf.transpose(w)), (1, 0, 2))
    d_w, d_u = tf.matmul(x, flat, transpose_a=True), tf.matmul(h, flat, transpose_a=True)
    return {"x": d_x, "w": d_w, "u": d_u, "b": tf.reduce_sum(flat, axis=0), "h0": d_h0, "c0": d_c0}


def _steps_first(tensor):
    return tf.transpose(tensor, (1, 0, *range(2, len(tensor.shape))))


def _product(sequences, matrix):
    """(steps, batch, n) times (n, m) as one matrix product."""
    flat = tf.reshape(sequences, (-1, sequences.shape[-1])) @ matrix
    return tf.reshape(flat, (*tf.unstack(tf.shape(sequences)[:2]), matrix.shape[1]))


def example():
    """The gradients of one loss through layers.LSTM by the tape, and by hand."""
    x = tf.random.stateless_normal((2, 6, 3), seed=(0, 0))  # (batch, steps, inputs)
    layer = keras.layers.LSTM(4, return_sequences=True)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    by_tape = tape.gradient(loss, layer.trainable_variables)

    w, u, b = (tf.constant(weight) for weight in layer.get_weights())
    zeros = tf.zeros((2, 4))
    outputs, _, saved = lstm_forward(x, w, u, b, zeros, zeros)
    by_hand = lstm_backward(saved, w, u, 2 * outputs, zeros, zeros)  # the loss has slope 2 h at each output
    print("loss:", float(loss), "and by hand", float(tf.reduce_sum(outputs**2)))
    for name, gradient in zip("wub", by_tape, strict=True):
        print(f"gradient of {name}, largest number: {float(tf.reduce_max(gradient)):.6f} by the tape,", end=" ")
        print(f"{float(tf.reduce_max(by_hand[name])):.6f} by hand")


def lesson(report, *, steps: int = 40, seed: int = 0):
    """Compare the gradients with the tape's and with finite differences, and follow one back through the gates.

    Args:
        report: The report to write to.
        steps: Steps of the sequences (2 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    problem = _problem(rng, steps)
    _against_the_tape(report, problem, rng)
    _against_differences(report, problem, rng)
    _walk_back(report, problem)
    _gates_have_slopes(report, problem)
    _output_gate_sees_the_state(report, problem)


def _problem(rng, steps, inputs=3, units=4, batch=3):
    shapes = [(batch, steps, inputs), (inputs, 4 * units), (units, 4 * units), (4 * units,), *[(batch, units)] * 2]
    return [tf.constant(rng.normal(size=each) / 2, tf.float64) for each in shapes]


def _against_the_tape(report, problem, rng):
    x, w, u, b, h, c = problem
    some = tf.constant(rng.random(x.shape[:2]) < 0.8)
    weighting = tf.constant(rng.normal(size=(*x.shape[:2], u.shape[0])))
    for name, mask in (("", None), (" under a mask", some)):
        with tf.GradientTape() as tape:
            tape.watch(problem)
            outputs, (last_h, last_c) = lstm(x, w, u, b, (h, c), mask)
            loss = tf.reduce_sum(outputs * weighting) + tf.reduce_sum(tf.sin(last_h)) + tf.reduce_sum(last_c**2)
        want = [outputs, last_h, last_c, *tape.gradient(loss, problem)]
        outputs, (last_h, last_c), saved = lstm_forward(*problem, mask)
        gradients = lstm_backward(saved, w, u, weighting, tf.cos(last_h), 2 * last_c)  # the slopes of that loss
        got = [outputs, last_h, last_c, *(gradients[each] for each in ("x", "w", "u", "b", "h0", "c0"))]
        label = f"outputs, states and six gradients by hand equal the tape's{name}"
        report.check(label, got=got, want=want, rtol=1e-10, atol=1e-12)


def _against_differences(report, problem, rng):
    x, w, u, b, h, c = problem
    direction = tf.constant(rng.normal(size=u.shape))

    def loss_at(distance):
        outputs, _, _ = lstm_forward(x, w, u + distance * direction, b, h, c)
        return tf.reduce_sum(outputs[:, -1])

    _, _, saved = lstm_forward(*problem)
    at_end = np.zeros((*x.shape[:2], u.shape[0]))
    at_end[:, -1] = 1
    gradients = lstm_backward(saved, w, u, tf.constant(at_end), tf.zeros_like(h), tf.zeros_like(c))
    got = tf.reduce_sum(gradients["u"] * direction)
    want = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
    report.check("along a random direction of u it is the central difference", got=got, want=want, rtol=1e-6)


def _walk_back(report, problem):
    """Norms of the gradient of the four sums at every step; the loss is the sum of the last output."""
    x, w, u, b, h, c = problem
    steps, sums = x.shape[1], w.shape[1]
    start = tf.zeros((1, steps, sums), tf.float64)  # an addition to the four sums of every step
    with tf.GradientTape() as tape:
        tape.watch(start)
        added = tf.concat([x[:1], start], axis=-1)
        outputs, _ = lstm(added, tf.concat([w, tf.eye(sums, dtype=tf.float64)], axis=0), u, b, (h[:1], c[:1]))
        loss = tf.reduce_sum(outputs[:, -1])
    d_sums = tape.gradient(loss, start)[0].numpy()  # (steps, 4 units)
    names = ("input gate", "forget gate", "candidate", "output gate")
    series = {name: np.linalg.norm(each, axis=1) for name, each in zip(names, np.split(d_sums, 4, axis=1), strict=True)}
    figure = plots.curves(
        np.arange(1, steps + 1), series, xlabel="step", ylabel="norm of the sum's gradient", yscale="log"
    )
    figure.axes[0].set_title("The loss stands at the last step; its gradient walks back")
    alt = "Norms of the gradient of the four sums, falling from the last step to the first."
    report.figure("back through the gates", figure, alt=alt)


def _gates_have_slopes(report, problem):
    """Norms of the gradient by the biases of each gate: sigmoids as gates, and steps that are open or shut."""
    x, w, u, b, h, c = problem

    def step(sums):
        return tf.cast(sums > 0, sums.dtype)

    def gradient(gate, moved=0.0):
        """Keras's layer with this gate: loss, and norms of its slope by the biases of i, f, g and o."""
        layer = keras.layers.LSTM(u.shape[0], recurrent_activation=gate, dtype="float64")
        layer.build(x.shape)
        layer.set_weights([w, u, b + moved])
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, initial_state=[h, c]))
        d_b = tape.gradient(loss, layer.cell.bias)
        return float(loss), np.linalg.norm(np.reshape(d_b, (4, -1)), axis=1)

    gates = [0, 1, 3]  # the candidate, 2, is no gate
    analog, digital = (gradient(gate) for gate in ("sigmoid", step))
    report.check("gates that are steps: gradient of their biases", digital[1][gates], np.zeros(3), rtol=0, atol=0)
    report.at_least("the candidate between such gates is still taught", digital[1][2], 1e-6)
    report.at_least("gates that are sigmoids: gradient of their biases, the least", analog[1][gates], 1e-6)
    nudge = 1e-9 * tf.repeat(tf.constant([1.0, 1, 0, 1], tf.float64), u.shape[0])
    report.check("a nudge of the steps' biases changes nothing", gradient(step, nudge)[0], digital[0], rtol=0, atol=0)
    rows = [[name, *map(float, norms)] for name, (_, norms) in (("sigmoid", analog), ("step", digital))]
    columns = ["gates", "input gate", "forget gate", "candidate", "output gate"]
    report.table("norm of the gradient by biases, analog gates and steps", columns, rows)


def _output_gate_sees_the_state(report, problem):
    """∂o_t / ∂h_(t−1) is no zero: the gates are made from the state that the cell showed."""
    x, w, u, b, h, c = problem
    with tf.GradientTape(persistent=True) as tape:  # batch_jacobian goes back once for each unit
        tape.watch(h)
        _, _, gates = lstm_step(x[:, 0], h, c, w, u, b)
    jacobian = tape.batch_jacobian(gates["output"], h, experimental_use_pfor=False)  # (batch, units of o, units of h)
    o = gates["output"]
    by_hand = (o * (1 - o))[:, :, None] * tf.transpose(tf.split(u, 4, axis=1)[3])[None]
    report.check("∂o_t / ∂h_(t−1) is o (1 − o) times the gate's recurrent weights", jacobian, by_hand, rtol=1e-9)
    report.at_least("and it is not 0: its norm", tf.norm(jacobian), 1e-3)

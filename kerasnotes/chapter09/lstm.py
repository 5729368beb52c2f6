"""An LSTM keeps a cell state that three gates write, keep and read, so that a gradient can pass unchanged.

A tanh cell multiplies its state by a matrix at every step, and what it knew is soon gone. The LSTM adds to its state
instead: c_t = f c_(t-1) + i g, and shows h_t = o tanh(c_t). The gates f (forget), i (input) and o (output) are sigmoids
of the input and of h_(t-1): numbers between 0, shut, and 1, open, one for each unit. The candidate g, a tanh, is what
may be written. What the reader should see: ours, a loop over Keras's cell and Keras's layer agree, with gradients and
masks; and from one cell state to a later one, with the gates held fixed, the gradient is the product of the forget
gates and nothing else, so that open gates carry it over a hundred steps, where a tanh cell has lost it.

Notes: chapter 09, "Long short-term memory" (长短期记忆网络).
Source: Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; Gers, Schmidhuber, Cummins 2000,
doi:10.1162/089976600300015015; Gers and Schmidhuber 2000, doi:10.1109/IJCNN.2000.861302 (peepholes);
https://keras.io/api/layers/recurrent_layers/lstm/
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import shape, whole

GATES = ("input", "forget", "candidate", "output")  # Keras's order; the candidate is no gate, but is packed with them

SMOKE = {"steps": 10}
SECONDS = 2


def lstm_step(x_t, h, c, w, u, b):
    """One step of the cell: forget, write, read.

    Args:
        x_t: Input of this step (batch, inputs).
        h: Hidden state (batch, units), what the cell showed at the step before.
        c: Cell state (batch, units), what it remembers.
        w: Weights from the input (inputs, 4 units), in Keras's order: input, forget, candidate, output.
        u: Weights from the hidden state (units, 4 units).
        b: Biases (4 units,).

    Returns:
        `(h, c, gates)`: the new states (batch, units), and a dictionary of the four activations (batch, units) with
        the keys "input", "forget", "candidate" and "output".

    Raises:
        ValueError: If a shape does not fit.

    Source: Gers, Schmidhuber, Cummins 2000; `keras.layers.LSTMCell`.
    """
    _fitting(x_t, h, c, w, u, b)
    i, f, g, o = tf.split(x_t @ w + h @ u + b, 4, axis=-1)  # each (batch, units); one product serves all four
    i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
    c = f * c + i * g  # on the right the old cell state, c_(t-1): keep a share f of it, add a share i of the candidate
    return o * tf.tanh(c), c, dict(zip(GATES, (i, f, g, o), strict=True))


def lstm(x, w, u, b, initial_state=None, mask=None):
    """The cell at every step, the same weights at each, as `keras.layers.LSTM`.

    Args:
        x: Inputs (batch, steps, inputs), at least one step; inside a `tf.function` the batch may be unknown.
        w, u, b: As in `lstm_step`.
        initial_state: `(h, c)`, each (batch, units), or None for zeros.
        mask: Booleans (batch, steps), False where a step is padding, or None. A padded step leaves both states as
            they are and repeats the last output, which is zero before the first real step.

    Returns:
        `(states, (h, c))`: the outputs (batch, steps, units) and the states after the last step (batch, units).

    Raises:
        ValueError: If a shape does not fit, or the number of steps is unknown.
    """
    shape("x", x, None, None, w.shape[0])
    if not x.shape[1]:
        raise ValueError(f"x: expected a known number of steps, at least one, got the shape {tuple(x.shape)}")
    h, c = [tf.zeros((tf.shape(x)[0], u.shape[0]), x.dtype)] * 2 if initial_state is None else initial_state
    real = True if mask is None else tf.cast(shape("mask", tf.convert_to_tensor(mask), *x.shape[:2]), tf.bool)
    output, outputs = tf.zeros_like(h), []  # not h: before the first real step zero is shown, whatever h begins with
    for t in range(x.shape[1]):
        new_h, new_c, _ = lstm_step(x[:, t], h, c, w, u, b)
        now = real if mask is None else real[:, t, None]  # (batch, 1)
        # A padded step must not touch what was read before it.
        h, c, output = tf.where(now, new_h, h), tf.where(now, new_c, c), tf.where(now, new_h, output)
        outputs.append(output)
    return tf.stack(outputs, axis=1), (h, c)


def peephole_lstm_step(x_t, h, c, w, u, b, peepholes, peephole="diagonal"):
    """One step of a cell whose gates see the cell state: input and forget gate the old one, the output gate the new.

    Of the two states a gate of `lstm_step` sees h only; what a shut output gate hides is hidden from it too. A peephole
    is a weight from c to a gate.

    Args:
        x_t, h, c, w, u, b: As in `lstm_step`.
        peepholes: Weights from the cell state to the input, forget and output gate: (3, units) if `peephole` is
            "diagonal", where each unit's gates see that unit only, or (3, units, units) if it is "full".
        peephole: "diagonal" (Gers and Schmidhuber 2000) or "full" (as the course draws it).

    Returns:
        `(h, c, gates)` as `lstm_step`.

    Raises:
        ValueError: If a shape does not fit, or `peephole` is unknown.
    """
    _fitting(x_t, h, c, w, u, b)
    if peephole not in ("diagonal", "full"):
        raise ValueError(f"peephole: expected 'diagonal' or 'full', got {peephole!r}")
    shape("peepholes", peepholes, 3, *[h.shape[-1]] * (1 if peephole == "diagonal" else 2))

    def seen(state, number):  # (batch, units): what a gate sees through its peephole
        return state * peepholes[number] if peephole == "diagonal" else state @ peepholes[number]

    i, f, g, o = tf.split(x_t @ w + h @ u + b, 4, axis=-1)
    i, f, g = tf.sigmoid(i + seen(c, 0)), tf.sigmoid(f + seen(c, 1)), tf.tanh(g)  # no peephole: g is no gate
    c = f * c + i * g
    o = tf.sigmoid(o + seen(c, 2))  # last, because it sees the new c
    return o * tf.tanh(c), c, dict(zip(GATES, (i, f, g, o), strict=True))


def _fitting(x_t, h, c, w, u, b):
    """Refuse shapes that do not fit: TensorFlow would stretch some of them in silence."""
    units = u.shape[0]
    shape("w", w, x_t.shape[-1], 4 * units)
    shape("u", u, units, 4 * units)
    shape("b", b, 4 * units)
    shape("h, a state", h, x_t.shape[0], units)
    shape("c, a state", c, x_t.shape[0], units)


@keras.saving.register_keras_serializable(package="kerasnotes")  # so that layers.Bidirectional can copy it
class LSTMCell(keras.layers.Layer):
    """Our cell for `keras.layers.RNN`, with the weights of `keras.layers.LSTMCell`: same names, shapes and start.

    The layer calls the cell at every step and hands the states on. The forget gate's biases start at one, so that a
    new network remembers first and learns to forget.

    Args:
        units: Size of both states.
        seed: Seed of the start, or None.
    """

    def __init__(self, units, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.units, self.seed = whole("units", units), seed
        self.state_size = [units, units]  # layers.RNN asks a cell for the sizes of h and c
        self.output_size = units

    def build(self, input_shape):
        glorot = keras.initializers.GlorotUniform(self.seed)
        orthogonal = keras.initializers.Orthogonal(seed=self.seed)
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 4 * self.units), initializer=glorot)
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(self.units, 4 * self.units), initializer=orthogonal
        )
        self.bias = self.add_weight(name="bias", shape=(4 * self.units,), initializer=_remember_first)

    def call(self, x_t, states, training=False):
        # The weights stand in the order of `build`, which is that of `lstm_step`.
        h, c, _ = lstm_step(x_t, *states, *(tf.convert_to_tensor(weight) for weight in self.weights))
        return h, [h, c]

    def get_config(self):
        return {**super().get_config(), "units": self.units, "seed": self.seed}


def _remember_first(shape, dtype=None):
    """Biases (4 units,) in the order of `GATES`: zeros, but ones for the forget gate."""
    return tf.repeat(tf.constant([0.0, 1.0, 0.0, 0.0], dtype), shape[0] // 4)


def example():
    """One batch of sequences through Keras's cell in a loop, through Keras's layer and through the function above."""
    x = tf.random.stateless_normal((2, 5, 3), seed=(0, 0))  # (batch, steps, inputs)
    cell = keras.layers.LSTMCell(4)
    h = c = tf.zeros((2, 4))
    for t in range(5):
        output, (h, c) = cell(x[:, t], [h, c])
    print("layers.LSTMCell in a loop:", output[0].numpy(), "cell state:", c[0].numpy())

    layer = keras.layers.LSTM(4, return_sequences=True, return_state=True)
    layer.build(x.shape)
    layer.set_weights(cell.get_weights())
    outputs, h, c = layer(x)
    print("layers.LSTM:              ", outputs[0, -1].numpy(), "cell state:", c[0].numpy())

    outputs, (h, c) = lstm(x, *cell.get_weights())
    print("ours:                     ", outputs[0, -1].numpy(), "cell state:", c[0].numpy())


def lesson(report, *, steps: int = 100, seed: int = 0):
    """Compare the cell with Keras's, count its weights, and follow the gradient through it.

    Args:
        report: The report to write to.
        steps: Steps over which a gradient is followed (10 to 300).
        seed: Seed of all random draws (0 to 4294967295).
    """
    cell = _parity(report, seed)
    _parameters(report)
    _old_state(report, seed, cell)
    _cell_path(report, steps, seed)


def _problem(seed, inputs=3, units=5, batch=4, steps=7):
    """Random numbers to compare on: x, w, u, b, and the states h and c."""
    rng = np.random.default_rng(seed)
    shapes = [(batch, steps, inputs), (inputs, 4 * units), (units, 4 * units), (4 * units,), *[(batch, units)] * 2]
    return [tf.constant(rng.normal(size=each), tf.float32) for each in shapes]


def _parity(report, seed):
    """Three ways to run the cell against Keras's layer. Returns Keras's cell, with the weights of `_problem`."""
    x, w, u, b, h, c = _problem(seed)
    layer = keras.layers.LSTM(5, return_sequences=True, return_state=True)
    cell = keras.layers.LSTMCell(5)
    own = keras.layers.RNN(LSTMCell(5), return_sequences=True, return_state=True)
    for each in (layer, cell, own):
        each.build(x.shape if each is not cell else (x.shape[0], x.shape[2]))  # a cell sees one step only
        each.set_weights([w, u, b])

    def loop():
        states, outputs = [h, c], []
        for t in range(x.shape[1]):
            output, states = cell(x[:, t], states)
            outputs.append(output)
        return tf.stack(outputs, axis=1), states

    def results(run, weights):
        sources = [x, h, c, *weights]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            values = tf.nest.flatten(run())
            # A sine, because under a plain sum every output would have the same slope, and a swap could hide.
            loss = tf.add_n([tf.reduce_sum(tf.sin(value)) for value in values])
        return [*values, *tape.gradient(loss, sources)]

    wanted = results(lambda: layer(x, initial_state=[h, c]), [v.value for v in layer.weights])
    label = "output, both states and the gradients of inputs, states and weights"
    for name, got in (
        ("ours equals layers.LSTM", results(lambda: lstm(x, w, u, b, (h, c)), [w, u, b])),
        ("a loop over layers.LSTMCell", results(loop, [v.value for v in cell.weights])),
        ("our cell in layers.RNN", results(lambda: own(x, initial_state=[h, c]), [v.value for v in own.weights])),
    ):
        report.check(f"{label}: {name}", got=got, want=wanted, atol=1e-5)
    mask = tf.constant(np.random.default_rng((seed, 1)).random(x.shape[:2]) < 0.7)
    masked, states = lstm(x, w, u, b, (h, c), mask)
    want = layer(x, initial_state=[h, c], mask=mask)
    report.check("with a mask and an initial state: ours equals layers.LSTM", [masked, *states], want, atol=1e-5)
    fresh, keras_fresh = LSTMCell(5, seed=seed), keras.layers.LSTMCell(5)
    for each in (fresh, keras_fresh):
        each.build((4, 3))
    report.check("biases start as Keras's: one for the forget gate", fresh.bias, keras_fresh.bias)
    return cell


def _parameters(report):
    """Four times, for three gates and the candidate: m n weights from the input, n² from h, and n biases."""
    rows = []
    for inputs, size in ((3, 5), (1, 1), (100, 128), (28, 64)):
        network = keras.layers.LSTM(size)
        network.build((None, None, inputs))
        rows.append([inputs, size, network.count_params(), 4 * (inputs * size + size**2 + size)])
    report.check("4 (m n + n² + n) parameters", got=[row[2] for row in rows], want=[row[3] for row in rows])
    report.table("parameters of layers.LSTM", ["inputs m", "units n", "parameters", "4 (m n + n² + n)"], rows)


def _old_state(report, seed, cell):
    """The course's line with c_t on both sides, read literally."""
    x, w, u, b, h, c = _problem(seed)
    _, _, gates = lstm_step(x[:, 0], h, c, w, u, b)
    i, f, g = (gates[name] for name in GATES[:3])
    _, (_, keras_c) = cell(x[:, 0], [h, c])
    report.check("c_t = f c_(t-1) + i g is Keras's cell state", got=f * c + i * g, want=keras_c)
    implicit = i * g / (1 - f)  # what solves c_t = f c_t + i g
    gap = float(tf.reduce_max(tf.abs(implicit - keras_c)))
    report.at_least("with c_t on both sides, the largest difference from Keras's", got=gap, bound=0.1)
    report.correction(
        "cell state",
        course="c_t = f c_t + i g, the same c_t on both sides.",
        correct="c_t = f c_(t-1) + i g: the old cell state on the right. Read literally, the printed line would forget "
        "everything: its solution i g / (1 - f) does not contain c_(t-1).",
        shown_by=f"Keras's cell state, within 1e-5; the literal reading is off by up to {gap:.2g}",
    )


def _cell_path(report, steps, seed, units=8, batch=4):
    """How much of ∂c_T/∂c_0 arrives through the cell state alone, against a tanh cell's ∂h_T/∂h_0."""
    rng = np.random.default_rng((seed, 2))
    # Follow the LSTM's gradient for three forget gates.
    x = tf.constant(rng.normal(size=(batch, steps, 3)), tf.float32)
    w, u = (tf.constant(rng.normal(size=(size, 4 * units)) / 3, tf.float32) for size in (3, units))
    held = "forget gates at 0.999"
    arriving, products = {}, {}
    for name, bias, scale in (
        ("forget gates about 0.5", 0.0, 1.0),
        ("forget gates about 0.73, as Keras starts", 1.0, 1.0),
        (held, np.log(999.0), 0.0),  # sigmoid(ln 999) = 0.999; without weights the gate stays there
    ):
        b = bias * _remember_first((4 * units,), tf.float32)
        arriving[name], products[name] = _gradient_along_cell(x, scale * w, scale * u, b)
    report.check("∂c_T/∂c_0 along the cell is the product of the forget gates", got=arriving, want=products)
    at_hundred = arriving[held][min(steps, 100)]
    report.at_least("with forget gates at 0.999 it is at least 0.9 after 100 steps", got=at_hundred, bound=0.9)

    # Follow the tanh cell's: its Jacobian is a product of one matrix a step. Where the LSTM shows a mean, the tanh cell
    # shows its largest norm, the most that any direction keeps, and loses all the same.
    matrix = tf.constant(0.9 * np.linalg.qr(rng.normal(size=(units, units)))[0], tf.float32)
    w_x = tf.constant(rng.normal(size=(3, units)), tf.float32)
    h, jacobian, norms = tf.zeros((batch, units)), tf.eye(units, batch_shape=[batch]), [1.0]
    for t in range(steps):
        h = tf.tanh(x[:, t] @ w_x + h @ matrix)
        jacobian = jacobian @ matrix * (1 - h**2)[:, None, :]  # (batch, units of h_0, units of h_t)
        norms.append(float(tf.reduce_max(tf.norm(jacobian, ord=2, axis=(1, 2)))))
    # The slope of tanh is at most 1 and the matrix stretches by 0.9, so the norm is at most 0.9**steps.
    bound = 1e-3 if steps >= 100 else 0.9**steps
    report.at_most(f"a tanh cell of spectral radius 0.9: largest ‖∂h_T/∂h_0‖ after {steps} steps", norms[-1], bound)
    series = {**arriving, "tanh cell, spectral radius 0.9": norms}
    figure = plots.curves(
        np.arange(steps + 1), series, xlabel="steps back", ylabel="share of the gradient that arrives", yscale="log"
    )
    figure.axes[0].set_title("Through open forget gates the gradient passes whole")
    figure.axes[0].set_ylim(1e-12, 3)
    figure.axes[0].legend(loc="upper right", bbox_to_anchor=(1.0, 0.94))
    alt = "Share of the gradient by steps back: nearly one for forget gates at 0.999; it falls straight on the "
    alt += "logarithmic axis for gates about 0.5 and 0.73, and fastest for the tanh cell."
    report.figure("gradient along the cell", figure, alt=alt)


def _gradient_along_cell(x, w, u, b):
    """Mean of ∂c_t/∂c_0 with the gates held fixed, and the mean product of the forget gates, for t = 0, 1, ….

    A `ForwardAccumulator` carries the derivative along with the numbers, from c_0 on, so that one pass gives it for
    every t; a tape would have to go back once for each. The gates are held fixed by stopping the gradient of h.
    """
    h = c = tf.zeros((x.shape[0], u.shape[0]))
    product, arriving, products = tf.ones_like(c), [1.0], [1.0]
    with tf.autodiff.ForwardAccumulator(c, tf.ones_like(c)) as forward:  # a unit's c_t depends on its own c_0 only
        for t in range(x.shape[1]):
            h, c, gates = lstm_step(x[:, t], tf.stop_gradient(h), c, w, u, b)
            product *= gates["forget"]
            arriving.append(float(tf.reduce_mean(forward.jvp(c))))
            products.append(float(tf.reduce_mean(product)))
    return arriving, products

"""An LSTM keeps a cell state that three gates write, keep and read, so that a gradient can pass unchanged.

A tanh cell multiplies its state by a matrix at every step, and what it knew is soon gone. The LSTM
adds to its state instead: c_t = f c_(t-1) + i g. What the reader should see: ours, a loop over Keras's cell and
Keras's layer agree; along the cell's path the gradient is the product of the forget gates and nothing else; and in a
network that reads a novel and keeps track of who speaks, gates open at the quotation marks and hold in between.

Notes: chapter 09, "Long short-term memory" (长短期记忆网络).
Source: Hochreiter and Schmidhuber 1997, Long short-term memory, Neural Computation 9; Gers, Schmidhuber, Cummins 2000,
Learning to forget; Gers and Schmidhuber 2000, Recurrent nets that time and count (peepholes);
https://keras.io/api/layers/recurrent_layers/lstm/
"""

import re

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training

GATES = ("input", "forget", "candidate", "output")  # Keras's order; the candidate is no gate, but is packed with them

SMOKE = {"steps": 10, "passages": 32, "epochs": 1, "units": 4}
SECONDS = 8


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

    Source: Gers, Schmidhuber, Cummins 2000; as `keras.layers.LSTMCell`.
    """
    _expect_shapes(x_t.shape[-1], h.shape[-1], w, u, b)
    i, f, g, o = tf.split(x_t @ w + h @ u + b, 4, axis=-1)  # each (batch, units)
    i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
    c = f * c + i * g  # the old cell state, c_(t-1), on the right
    return o * tf.tanh(c), c, dict(zip(GATES, (i, f, g, o), strict=True))


def lstm(x, w, u, b, initial_state=None, mask=None):
    """The cell at every step, as `keras.layers.LSTM`.

    Args:
        x: Inputs (batch, steps, inputs), at least one step.
        w, u, b: As in `lstm_step`.
        initial_state: `(h, c)`, each (batch, units), or None for zeros.
        mask: Booleans (batch, steps), False where a step is padding, or None. A padded step leaves both states as
            they are and repeats the last output, which is zero before the first real step.

    Returns:
        `(states, (h, c))`: the outputs (batch, steps, units) and the states after the last step (batch, units).

    Raises:
        ValueError: If a shape does not fit.
    """
    _expect_sequences(x, mask)
    _expect_shapes(x.shape[-1], u.shape[0], w, u, b)
    h, c = _initial_states(initial_state, (x.shape[0], u.shape[0]), x.dtype)
    output, outputs = tf.zeros_like(h), []
    for t in range(x.shape[1]):
        new_h, new_c, _ = lstm_step(x[:, t], h, c, w, u, b)
        if mask is None:
            h, c, output = new_h, new_c, new_h
        else:
            real = tf.cast(mask, tf.bool)[:, t, None]  # (batch, 1)
            h, c, output = tf.where(real, new_h, h), tf.where(real, new_c, c), tf.where(real, new_h, output)
        outputs.append(output)
    return tf.stack(outputs, axis=1), (h, c)


def peephole_lstm_step(x_t, h, c, w, u, b, peepholes, peephole="diagonal"):
    """One step of a cell whose gates see the cell state: input and forget gate the old one, the output gate the new.

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
    _expect_shapes(x_t.shape[-1], h.shape[-1], w, u, b)
    if peephole not in ("diagonal", "full"):
        raise ValueError(f"peephole: expected 'diagonal' or 'full', got {peephole!r}")
    expected = (3, *(h.shape[-1],) * (1 if peephole == "diagonal" else 2))
    if tuple(peepholes.shape) != expected:
        raise ValueError(f"peepholes: expected the shape {expected} for {peephole}, got {tuple(peepholes.shape)}")

    def seen(state, number):
        return state * peepholes[number] if peephole == "diagonal" else state @ peepholes[number]

    i, f, g, o = tf.split(x_t @ w + h @ u + b, 4, axis=-1)
    i, f, g = tf.sigmoid(i + seen(c, 0)), tf.sigmoid(f + seen(c, 1)), tf.tanh(g)
    c = f * c + i * g
    o = tf.sigmoid(o + seen(c, 2))
    return o * tf.tanh(c), c, dict(zip(GATES, (i, f, g, o), strict=True))


class LSTMCell(keras.layers.Layer):
    """Our cell for `keras.layers.RNN`, with the weights of `keras.layers.LSTMCell`: same names, shapes and start.

    The forget gate's biases start at one, so that a new network remembers first and learns to forget.

    Args:
        units: Size of both states.
        seed: Seed of the start, or None.
    """

    def __init__(self, units, seed=None, **kwargs):
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"units: expected at least 1, got {units!r}")
        self.units, self.seed = units, seed
        self.state_size = [units, units]
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
        h, c, _ = lstm_step(x_t, *states, *(tf.convert_to_tensor(weight) for weight in self.weights))
        return h, [h, c]


def _remember_first(shape, dtype=None):
    """Zeros, but ones for the forget gate."""
    return tf.repeat(tf.constant([0.0, 1.0, 0.0, 0.0], dtype), shape[0] // 4)


def _initial_states(states, shape, dtype):
    """The initial states, or zeros, after a look at their shapes."""
    states = [tf.zeros(shape, dtype)] * 2 if states is None else list(states)
    found = [tuple(state.shape) for state in states]
    if found != [shape] * 2:
        raise ValueError(f"initial_state: expected two tensors of the shape {shape}, got the shapes {found}")
    return states


def _expect_shapes(inputs, units, w, u, b):
    expected = {"w": (inputs, 4 * units), "u": (units, 4 * units), "b": (4 * units,)}
    for (name, shape), weights in zip(expected.items(), (w, u, b), strict=True):
        if tuple(weights.shape) != shape:
            raise ValueError(f"{name}: expected the shape {shape}, got {tuple(weights.shape)}")


def _expect_sequences(x, mask):
    if len(x.shape) != 3 or not x.shape[1]:
        raise ValueError(f"x: expected the shape (batch, steps, inputs) with steps > 0, got {tuple(x.shape)}")
    if mask is not None and tuple(mask.shape) != tuple(x.shape[:2]):
        raise ValueError(f"mask: expected the shape {tuple(x.shape[:2])}, (batch, steps), got {tuple(mask.shape)}")


def lesson(report, *, steps: int = 100, passages: int = 1200, epochs: int = 12, units: int = 16, seed: int = 0):
    """Compare the cell with Keras's, follow the gradient through it, and watch its gates at work in a novel.

    Args:
        report: The report to write to.
        steps: Steps over which a gradient is followed (10 to 300).
        passages: Passages of the novel to train on (32 to 2000).
        epochs: Training epochs (1 to 1000).
        units: Units of the trained network (2 to 512).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _parity(report, seed)
    _cell_path(report, steps, seed)
    _extremes(report, seed)
    _peepholes(report, seed)
    _who_speaks(report, passages, epochs, units, seed)


def _problem(seed, inputs=3, units=5, batch=4, steps=7):
    rng = np.random.default_rng(seed)
    shapes = (
        (batch, steps, inputs),
        (inputs, 4 * units),
        (units, 4 * units),
        (4 * units,),
        (batch, units),
        (batch, units),
    )
    return [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]


def _parity(report, seed):
    x, w, u, b, h, c = _problem(seed)
    mask = tf.constant(np.random.default_rng((seed, 1)).random(x.shape[:2]) < 0.7)
    layer = keras.layers.LSTM(5, return_sequences=True, return_state=True)
    cell = keras.layers.LSTMCell(5)
    own = keras.layers.RNN(LSTMCell(5), return_sequences=True, return_state=True)
    for each in (layer, cell, own):
        each.build(x.shape if each is not cell else (x.shape[0], x.shape[2]))
        each.set_weights([w, u, b])

    def loop(x, h, c):
        outputs = []
        for t in range(x.shape[1]):
            _, (h, c) = cell(x[:, t], [h, c])
            outputs.append(h)
        return tf.stack(outputs, axis=1), h, c

    def results(run, sources):
        with tf.GradientTape() as tape:
            tape.watch(sources)
            values = run()
            loss = tf.add_n([tf.reduce_sum(tf.sin(value)) for value in values])
        return [*values, *tape.gradient(loss, sources)]

    def ours():
        outputs, states = lstm(x, w, u, b, (h, c))
        return outputs, *states

    wanted = results(lambda: layer(x, initial_state=[h, c]), [x, h, c, *(v.value for v in layer.weights)])
    label = "output, both states and the gradients of inputs, states and weights"
    report.check(f"{label}: ours equals layers.LSTM", got=results(ours, [x, h, c, w, u, b]), want=wanted, atol=1e-5)
    got = results(lambda: loop(x, h, c), [x, h, c, *(v.value for v in cell.weights)])
    report.check(f"{label}: a loop over layers.LSTMCell", got=got, want=wanted, atol=1e-5)
    got = results(lambda: own(x, initial_state=[h, c]), [x, h, c, *(v.value for v in own.weights)])
    report.check(f"{label}: our cell in layers.RNN", got=got, want=wanted, atol=1e-5)
    masked, states = lstm(x, w, u, b, (h, c), mask)
    want = layer(x, initial_state=[h, c], mask=mask)
    report.check("with a mask and an initial state: ours equals layers.LSTM", [masked, *states], want, atol=1e-5)
    fresh, keras_fresh = LSTMCell(5, seed=seed), keras.layers.LSTMCell(5)
    for each in (fresh, keras_fresh):
        each.build((4, 3))
    report.check("biases start as Keras's: one for the forget gate", fresh.bias, keras_fresh.bias)

    rows = []
    for inputs, size in ((3, 5), (1, 1), (100, 128), (28, 64)):
        network = keras.layers.LSTM(size)
        network.build((None, None, inputs))
        rows.append([inputs, size, network.count_params(), 4 * (inputs * size + size**2 + size)])
    report.check("4 (m n + n² + n) parameters", got=[row[2] for row in rows], want=[row[3] for row in rows])
    report.table("parameters of layers.LSTM", ["inputs m", "units n", "parameters", "4 (m n + n² + n)"], rows)

    z = x[:, 0] @ w + h @ u + b
    i, f, g, _ = tf.split(z, 4, axis=-1)
    i, f, g = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g)
    implicit = i * g / (1 - f)  # what solves c_t = f c_t + i g
    _, (_, keras_c) = cell(x[:, 0], [h, c])
    report.check("c_t = f c_(t-1) + i g is Keras's cell state", got=f * c + i * g, want=keras_c)
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
    x = tf.constant(rng.normal(size=(batch, steps, 3)), tf.float32)
    w, u = (tf.constant(rng.normal(size=(size, 4 * units)) / 3, tf.float32) for size in (3, units))
    arriving, products = {}, {}
    for name, bias in (("forget gates about 0.5", 0.0), ("forget gates about 0.73, as Keras starts", 1.0)):
        b = bias * _remember_first((4 * units,), tf.float32)
        arriving[name], products[name] = _gradient_along_cell(x, w, u, b)
    b = np.log(999.0) * _remember_first((4 * units,), tf.float32)  # sigmoid(ln 999) = 0.999
    held = "forget gates at 0.999"
    arriving[held], products[held] = _gradient_along_cell(x, tf.zeros_like(w), tf.zeros_like(u), b)
    report.check("∂c_T/∂c_0 along the cell is the product of the forget gates", got=arriving, want=products)
    at_hundred = arriving[held][min(steps, 100)]
    report.at_least("with forget gates at 0.999 it is at least 0.9 after 100 steps", got=at_hundred, bound=0.9)

    matrix = tf.constant(0.9 * np.linalg.qr(rng.normal(size=(units, units)))[0], tf.float32)
    w_x = tf.constant(rng.normal(size=(3, units)), tf.float32)
    h, jacobian, norms = tf.zeros((batch, units)), tf.eye(units, batch_shape=[batch]), [1.0]
    for t in range(steps):
        h = tf.tanh(x[:, t] @ w_x + h @ matrix)
        jacobian = jacobian @ matrix * (1 - h**2)[:, None, :]  # (batch, units of h_0, units of h_t)
        norms.append(float(tf.reduce_max(tf.norm(jacobian, ord=2, axis=(1, 2)))))
    bound = 1e-3 if steps >= 100 else 0.9**steps
    report.at_most(f"a tanh cell of spectral radius 0.9: largest ‖∂h_T/∂h_0‖ after {steps} steps", norms[-1], bound)
    figure = plots.curves(
        np.arange(steps + 1),
        {**arriving, "tanh cell, spectral radius 0.9": norms},
        xlabel="steps back",
        ylabel="share of the gradient that arrives",
        yscale="log",
        title="Through open forget gates the gradient passes whole",
    )
    figure.axes[0].set_ylim(1e-12, 3)
    figure.axes[0].legend(loc="upper right", bbox_to_anchor=(1.0, 0.94))
    report.figure(
        "gradient along the cell",
        figure,
        alt="Share of the gradient by steps back: nearly one for forget gates at 0.999; it falls straight on the "
        "logarithmic axis for gates about 0.5 and 0.73, and fastest for the tanh cell.",
    )


def _gradient_along_cell(x, w, u, b):
    """Mean of ∂c_t/∂c_0 with the gates held fixed, by the tape, and the mean product of forget gates, for t = 0 …."""
    units = u.shape[0]
    start = tf.zeros((x.shape[0], units))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(start)
        h, c, product = start, start, tf.ones_like(start)
        cells, products = [c], [product]
        for t in range(x.shape[1]):
            h, c, gates = lstm_step(x[:, t], tf.stop_gradient(h), c, w, u, b)
            product = product * tf.stop_gradient(gates["forget"])
            cells.append(c)
            products.append(product)
    marks = sorted({0, 1, 2, 5, *range(0, len(cells), 10), len(cells) - 1})
    measured = {t: float(tf.reduce_mean(tape.gradient(cells[t], start))) for t in marks}
    means = [float(tf.reduce_mean(product)) for product in products]
    arriving = [measured.get(t, mean) for t, mean in enumerate(means)]
    return arriving, means


def _extremes(report, seed):
    """Biases of ±10000 drive a sigmoid to exactly 0 or 1 in float32."""
    x, w, u, _, h, c = _problem(seed)
    for name, open_gates, want in (
        ("forget gate 1, input gate 0: the cell state is kept exactly", {"forget"}, c),
        ("forget gate 0, input gate 0: it is erased exactly", set(), tf.zeros_like(c)),
    ):
        b = tf.repeat([1e4 if gate in open_gates else -1e4 for gate in GATES], c.shape[-1])
        _, (_, last) = lstm(x, w, u, b, (h, c))
        report.check(name, got=last, want=want, rtol=0, atol=0)
    b = tf.repeat([1e4, -1e4, 1e4, 1e4], c.shape[-1])
    _, (_, last) = lstm(x, w, u, b, (h, c))
    report.check(
        "forget gate 0, input gate 1: it is replaced by the candidate, 1", last, tf.ones_like(c), rtol=0, atol=0
    )


def _peepholes(report, seed):
    x, w, u, b, h, c = _problem(seed)
    rng = np.random.default_rng((seed, 3))
    diagonal = tf.constant(rng.normal(size=(3, h.shape[-1])), tf.float32)
    arguments = (x[:, 0], h, c, w, u, b)
    plain = lstm_step(*arguments)
    none = peephole_lstm_step(*arguments, tf.zeros_like(diagonal))
    report.check("peepholes of weight zero change nothing", got=none, want=plain)
    seen = peephole_lstm_step(*arguments, diagonal)
    full = peephole_lstm_step(*arguments, tf.linalg.diag(diagonal), peephole="full")
    report.check("diagonal peepholes are full ones with diagonal matrices", got=full, want=seen)

    def columns(packed):  # TensorFlow packs input, candidate, forget, output
        i, f, g, o = tf.split(packed, 4, axis=-1)
        return tf.concat([i, g, f, o], axis=-1)

    kernel = tf.concat([columns(w), columns(u)], axis=0)
    i, new_c, f, o, g, _, new_h = tf.raw_ops.LSTMBlockCell(
        x=x[:, 0], cs_prev=c, h_prev=h, w=kernel, wci=diagonal[0], wcf=diagonal[1], wco=diagonal[2], b=columns(b),
        forget_bias=0.0, cell_clip=-1.0, use_peephole=True,
    )  # fmt: skip
    want = (new_h, new_c, dict(zip(GATES, (i, f, g, o), strict=True)))
    report.check("diagonal peepholes equal TensorFlow's LSTMBlockCell", got=seen, want=want, atol=1e-5)
    gap = max(float(tf.reduce_max(tf.abs(a - b))) for a, b in zip(seen[:2], plain[:2], strict=True))
    report.at_least("gates that see the cell state give another result: largest difference", got=gap, bound=0.01)
    report.correction(
        "what the gates see",
        course="One source draws gates that see the cell state, through a full matrix; another draws them without.",
        correct="Both exist. Keras's LSTM has no peepholes. Gers and Schmidhuber's are diagonal: a unit's gates see "
        "that unit only; the output gate sees the new cell state.",
        shown_by=f"LSTMBlockCell and LSTMCell, each equal to ours; between them up to {gap:.2g}",
    )


def _who_speaks(report, passages, epochs, units, seed, length=160):
    """Train a small network to say at every character whether somebody is speaking, and draw its gates."""
    novel = [re.sub(r"\s+", " ", paragraph) for paragraph in data.novel().split("\n\n")]
    running = ["\n".join(novel[start : start + 40]) for start in range(len(novel))]  # from every paragraph's beginning
    texts = [text[:length] for text in running if '"' in text[:length] and len(text) >= length]
    letters = {letter: number for number, letter in enumerate(sorted(set("".join(texts))))}
    ids = np.array([[letters[letter] for letter in text] for text in texts], np.int32)  # (paragraphs, length)
    marks = ids == letters['"']
    spoken = (np.cumsum(marks, axis=1) % 2).astype(np.float32)  # 1 from an opening mark up to the closing one
    test, train = np.arange(len(ids))[-200:], np.arange(len(ids) - 220)  # the novel's end, a gap, and what comes before
    train = np.random.default_rng((seed, 4)).permutation(train)[:passages]

    keras.utils.set_random_seed(seed)
    model = keras.Sequential([
        keras.Input((length,), dtype="int32"),
        keras.layers.Embedding(len(letters), 16),
        keras.layers.RNN(LSTMCell(units, seed=seed), return_sequences=True),
        keras.layers.Dense(1),
        keras.layers.Reshape((length,)),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01, global_clipnorm=1.0), keras.losses.BinaryCrossentropy(from_logits=True))
    training.fit(model, ids[train], spoken[train], batch_size=32, epochs=epochs, seed=seed, track=report.track)
    predicted = training.predict(model, ids[test]) > 0
    right = predicted == spoken[test].astype(bool)

    since = np.zeros(marks[test].shape, int)  # characters since the last mark, or since the start
    for t in range(1, length):
        since[:, t] = np.where(marks[test][:, t], 0, since[:, t - 1] + 1)
    rows = []
    for low, high in ((0, 9), (10, 29), (30, 59), (60, length)):
        chosen = (since >= low) & (since <= high)
        rows.append([f"{low} to {high}", int(chosen.sum()), float(right[chosen].mean())])
    most_frequent = max(spoken[test].mean(), 1 - spoken[test].mean())
    report.table(
        "is somebody speaking? 200 passages held out", ["characters since the last mark", "cases", "right"], rows
    )
    report.note(
        f"Trained on {len(train)} passages of {length} characters, tested on the end of the novel. The more frequent "
        f"answer alone is right in {most_frequent:.3f}."
    )
    label = "speaking or not, held-out share of characters told right"
    report.at_least(label, got=float(right.mean()), bound=0.99, trained=True)
    _draw_gates(report, model, texts[test[0]], ids[test[:1]])


def _draw_gates(report, model, text, ids):
    embedding, layer, dense, _ = model.layers
    weights = [tf.convert_to_tensor(weight) for weight in layer.weights]
    x = tf.convert_to_tensor(embedding(ids))
    h = c = tf.zeros((1, weights[1].shape[0]))
    history = {"cell state": [], "forget": [], "input": [], "output": []}
    for t in range(len(text)):
        h, c, gates = lstm_step(x[:, t], h, c, *weights)
        for name, values in history.items():
            values.append((c if name == "cell state" else gates[name])[0].numpy())
    history = {name: np.array(values).T for name, values in history.items()}  # (units, steps)
    # The unit that carries the answer: the largest weight on the output times the spread of its cell state.
    unit = int(np.argmax(np.abs(dense.kernel.numpy()[:, 0]) * history["cell state"].std(axis=1)))
    shown = min(110, len(text))
    figure, (top, bottom) = plots.subplots(2, 1, figsize=(12, 5.2), sharex=True, height_ratios=(1, 1.2))
    positions = np.arange(shown)
    inside = np.cumsum([letter == '"' for letter in text]) % 2
    top.plot(positions, history["cell state"][unit][:shown], color="C0", label=f"cell state of unit {unit}")
    top.set(ylabel="cell state")
    for name, color, style in (("forget", "C0", "-"), ("input", "C1", "--"), ("output", "C3", ":")):
        bottom.plot(positions, history[name][unit][:shown], style, color=color, label=f"{name} gate")
    bottom.set(ylabel="gate, 0 to 1", ylim=(-0.05, 1.05))
    for ax in (top, bottom):
        ax.fill_between(positions, 0, 1, where=inside[:shown] > 0, transform=ax.get_xaxis_transform(), color="gray",
                        alpha=0.2, step="post", linewidth=0, label="speech")  # fmt: skip
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    bottom.set_xticks(positions, list(text[:shown]), fontsize=8, family="monospace")
    top.set_title("The forget gate empties the cell at quotation marks and holds it in between")
    bottom.grid(False, axis="x")
    top.grid(False, axis="x")
    report.figure(
        "gates over a sentence",
        figure,
        alt="Cell state and gates of one unit over a passage of the novel: the forget gate falls to zero at quotation "
        "marks and stays near one in between; the cell state has another sign in speech than in narration.",
    )

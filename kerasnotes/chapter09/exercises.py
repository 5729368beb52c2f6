"""The tasks of chapter 09: gated cells step by step, and what it takes to judge what they write and forecast."""

import math
from collections import Counter

import numpy as np

from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong

# --- 09.1 An LSTM that only forgets ---------------------------------------------------------------------------------


def _forgetting(steps, bias=None):
    """States (h, c) of one unit whose weights are zero, after some steps from c = 1."""
    import tensorflow as tf

    from kerasnotes.chapter09.lstm import lstm

    bias = math.log(9) if bias is None else bias
    zero, one = tf.zeros((1, 1), tf.float64), tf.ones((1, 1), tf.float64)
    weights = tf.zeros((1, 4), tf.float64)
    biases = tf.constant([-1e4, bias, 0, 0], tf.float64)
    _, (h, c) = lstm(tf.zeros((1, steps, 1), tf.float64), weights, weights, biases, (zero, one))
    return h.numpy().item(), c.numpy().item()


def _steps_to_half():
    return next(steps for steps in range(1, 100) if _forgetting(steps)[1] < 0.5)


def _bias_for_half():
    kept = 0.5 ** (1 / 100)
    return math.log(kept / (1 - kept))


forgetting = Predict(
    title="An LSTM that only forgets",
    lesson="chapter09.lstm",
    minutes=15,
    text=r"""An LSTM cell has one unit; all its weights are zero. The bias of the forget gate is ln 9, that of the input
gate −10000, the other two are 0, and the cell starts with $c_0 = 1$. What are $c_1$, $c_2$ and $h_1$?
After how many steps is less than half of the cell state left? Which bias of the forget gate keeps exactly
one half over 100 steps?""",
    hints=(
        "With weights of zero every sum is its bias, at every step. So the gates never change.",
        "σ(ln 9) = 9 / (9 + 1), σ(−10000) = 0, and σ(0) = ½.",
        "The cell state is multiplied by the forget gate at every step, and nothing is written; $h_1 = ½ \\tanh(c_1)$.",
        "For one half over 100 steps the gate is $f = 2^{-1/100}$; σ(b) = f is turned round by b = ln(f / (1 − f)).",
    ),
    values=(
        Value(
            "c_1",
            "cell state after one step",
            want=lambda: _forgetting(1)[1],
            wrong=(
                (lambda: math.log(9), "that is the bias: a gate is the sigmoid of its sum"),
                (lambda: math.tanh(math.log(9)), "that is a tanh: a gate is a sigmoid, 9 / 10 here"),
                (lambda: 0.5, "that is a gate whose bias is 0: the forget gate's is ln 9"),
                (lambda: 0.1, "that is what is forgotten: the forget gate says what is *kept*"),
            ),
        ),
        Value(
            "c_2",
            "cell state after two steps",
            want=lambda: _forgetting(2)[1],
            wrong=(
                (lambda: 0.8, "a tenth of what is *left* goes at every step: shares multiply"),
                (lambda: 0.9, "the second step forgets as well"),
            ),
        ),
        Value(
            "h_1",
            "hidden state after one step",
            want=lambda: _forgetting(1)[0],
            rtol=1e-3,
            wrong=(
                (lambda: math.tanh(0.9), "the output gate is missing: with a bias of 0 it is ½"),
                (lambda: 0.45, "the tanh is missing: h = o tanh(c)"),
                (lambda: 0.5 * math.tanh(1.0), "that shows the old cell state: h₁ is made from c₁"),
                (lambda: 0.0, "the output gate is not shut: σ(0) = ½"),
            ),
        ),
        Value(
            "steps_half",
            "the first number of steps after which less than half is left",
            want=_steps_to_half,
            wrong=(
                (lambda: 6, "after six steps a little more than half is still left: 0.9⁶ = 0.53"),
                (lambda: 5, "a tenth of what is *left* goes at every step: shares multiply"),
                (lambda: math.log(0.5) / math.log(0.9), "steps are whole: round up"),
            ),
        ),
        Value(
            "bias_100",
            "bias of the forget gate that keeps one half over 100 steps",
            want=_bias_for_half,
            rtol=1e-3,
            wrong=(
                (lambda: 0.5 ** (1 / 100), "that is the gate: its bias is ln(f / (1 − f))"),
                (lambda: -_bias_for_half(), "the sign is wrong: an open gate has a positive bias"),
                (lambda: math.log(199), "that is the gate 1 − 0.5 / 100: shares multiply, it is $2^{-1/100}$"),
            ),
        ),
    ),
    solution_code="""import math

forget = 9 / (9 + 1)  # sigmoid(ln 9); the input gate is shut, the output gate sigmoid(0) = 1/2
c_1 = forget
c_2 = forget**2
h_1 = math.tanh(c_1) / 2
steps_half = math.ceil(math.log(0.5) / math.log(forget))  # 0.9 ** 6 is still 0.53
kept = 0.5 ** (1 / 100)
bias_100 = math.log(kept / (1 - kept))  # the sigmoid turned round
""",
)

# --- 09.2 One step of an LSTM ---------------------------------------------------------------------------------------


def _four(x, h, c, w, u, b, order="ifgo"):
    """The four activations by their letters, with the blocks of columns read in an order."""
    import tensorflow as tf

    sums = dict(zip(order, tf.split(x @ w + h @ u + b, 4, axis=-1), strict=True))
    return {name: tf.tanh(each) if name == "g" else tf.sigmoid(each) for name, each in sums.items()}


def _finished(gates, c):
    import tensorflow as tf

    c = gates["f"] * c + gates["i"] * gates["g"]
    return gates["o"] * tf.tanh(c), c


def _candidate_third(x, h, c, w, u, b):
    return _finished(_four(x, h, c, w, u, b, "igfo"), c)


def _output_third(x, h, c, w, u, b):
    return _finished(_four(x, h, c, w, u, b, "ifog"), c)


def _forget_first(x, h, c, w, u, b):
    return _finished(_four(x, h, c, w, u, b, "figo"), c)


def _candidate_sigmoid(x, h, c, w, u, b):
    import tensorflow as tf

    gates = _four(x, h, c, w, u, b)
    return _finished({**gates, "g": tf.sigmoid(tf.atanh(gates["g"]))}, c)


def _shown_without_tanh(x, h, c, w, u, b):
    gates = _four(x, h, c, w, u, b)
    new = _finished(gates, c)[1]
    return gates["o"] * new, new


def _old_state_shown(x, h, c, w, u, b):
    import tensorflow as tf

    gates = _four(x, h, c, w, u, b)
    return gates["o"] * tf.tanh(c), _finished(gates, c)[1]


def _written_without_gate(x, h, c, w, u, b):
    gates = _four(x, h, c, w, u, b)
    return _finished({**gates, "i": 1.0}, c)


def _written_by_the_rest(x, h, c, w, u, b):
    gates = _four(x, h, c, w, u, b)
    return _finished({**gates, "i": 1 - gates["f"]}, c)


def _tanh_kept(x, h, c, w, u, b):
    import tensorflow as tf

    h, new = _finished(_four(x, h, c, w, u, b), c)
    return h, tf.tanh(new)


def _states_exchanged(x, h, c, w, u, b):
    return _finished(_four(x, h, c, w, u, b), c)[::-1]


def _no_hidden_state(x, h, c, w, u, b):
    return _finished(_four(x, 0 * h, c, w, u, b), c)


def _no_biases(x, h, c, w, u, b):
    return _finished(_four(x, h, c, w, u, 0 * b), c)


def _check_lstm(trial):
    import keras
    import tensorflow as tf

    one, ln3 = tf.ones((1, 1)), math.log(3)
    w, b = tf.constant([[0.0, ln3, 1.0, -ln3]], tf.float32), tf.zeros(4)
    label = "one unit: gates i = 1/2, f = 3/4, o = 1/4, candidate tanh 1, old cell state 2"
    trial.equal(label, one, 0 * one, 2 * one, w, tf.zeros((1, 4)), b)
    for batch, inputs, units in ((1, 2, 3), (4, 3, 5), (2, 6, 4)):
        sizes = ((batch, inputs), (batch, units), (batch, units), (inputs, 4 * units), (units, 4 * units), 4 * units)
        x, h, c, w, u, b = (tf.constant(trial.rng.normal(size=size) / 2, tf.float32) for size in sizes)
        trial.equal(f"{batch} samples, {inputs} inputs, {units} units", x, h, c, w, u, b)
    trial.gradient("gradients by all six", x, h, c, w, u, b, of=(0, 1, 2, 3, 4, 5))
    cell = keras.layers.LSTMCell(units)
    cell.build(x.shape)
    cell.set_weights([w, u, b])
    want = cell(x, [h, c])[1]
    trial.check("equals Keras's LSTMCell with the same weights", got=list(trial.answer(x, h, c, w, u, b)), want=want)


lstm = Write(
    title="One step of an LSTM",
    lesson="chapter09.lstm",
    minutes=15,
    text=r"""Write one step of an LSTM. The four sums come from one product, $x W + h U + b$, whose columns stand in
four blocks in Keras's order: input, forget, candidate, output. The gates i, f, o are sigmoids, the
candidate g a tanh; $c ← f c + i g$, unit by unit, and then $h ← o \tanh(c)$ with the new c.""",
    start='''import tensorflow as tf


def lstm_step(x, h, c, w, u, b):
    """One step of the cell: forget, write, read.

    Args:
        x: Input of this step (batch, inputs), a tensor of floats.
        h, c: Hidden state and cell state after the step before, each (batch, units).
        w: Weights (inputs, 4 * units), in the order input, forget, candidate, output.
        u: Weights (units, 4 * units), in the same order.
        b: Biases (4 * units,), in the same order.

    Returns:
        `(h, c)`: the new states, each (batch, units).
    """
    ...
''',
    name="lstm_step",
    solution_code="""import tensorflow as tf


def lstm_step(x, h, c, w, u, b):
    i, f, g, o = tf.split(x @ w + h @ u + b, 4, axis=-1)  # each (batch, units)
    i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
    c = f * c + i * g  # keep a share f of the old state, add a share i of the candidate
    return o * tf.tanh(c), c
""",
    hints=(
        "Compute all sums first, as one tensor (batch, 4 · units). Then cut it into four.",
        "`i, f, g, o = tf.split(x @ w + h @ u + b, 4, axis=-1)`: still sums, not yet gates.",
        "`tf.sigmoid` for i, f and o, `tf.tanh` for g. Then the cell state, and only then the hidden state.",
        "`c = f * c + i * g`, and return `o * tf.tanh(c), c`.",
    ),
    check=_check_lstm,
    wrong=(
        Wrong(_candidate_third, "blocks 2 and 3 are exchanged: the order is input, forget, candidate, output"),
        Wrong(_output_third, "blocks 3 and 4 are exchanged: the order is input, forget, candidate, output"),
        Wrong(_forget_first, "blocks 1 and 2 are exchanged: the order is input, forget, candidate, output"),
        Wrong(_candidate_sigmoid, "the candidate is a tanh: with a sigmoid only positive numbers could be written"),
        Wrong(_shown_without_tanh, "the hidden state is o tanh(c): the tanh is missing"),
        Wrong(_old_state_shown, "the hidden state was made from the old cell state: update c first"),
        Wrong(_written_without_gate, "the input gate is missing: only a share i of the candidate is written"),
        Wrong(_written_by_the_rest, "1 − f was used for the input gate: an LSTM has a gate of its own for writing"),
        Wrong(_tanh_kept, "the tanh went into the cell state: it belongs to the hidden state only"),
        Wrong(_states_exchanged, "returned in the wrong order: (h, c)"),
        Wrong(_no_hidden_state, "the hidden state is missing from the sums: + h U"),
        Wrong(_no_biases, "the biases are missing"),
    ),
)

# --- 09.3 A counter that is late ------------------------------------------------------------------------------------

_PEEPHOLES = '''import tensorflow as tf


def peephole_step(x, h, c, w, u, b, p):
    """One step of an LSTM whose gates see the cell state.

    Args:
        x: Input of this step (batch, inputs), a tensor of floats.
        h, c: Hidden state and cell state after the step before, each (batch, units).
        w, u, b: Weights (inputs, 4 * units) and (units, 4 * units), biases (4 * units,), in the order input, forget,
            candidate, output.
        p: Peepholes (3, units), of the input, the forget and the output gate.

    Returns:
        `(h, c)`: the new states, each (batch, units).
    """
    i, f, g, o = tf.split(x @ w + h @ u + b, 4, axis=-1)
{body}
'''


def _peeped(x, h, c, w, u, b, p, seen_by_output=lambda old, new: new, row=2, candidate=0.0):
    import tensorflow as tf

    i, f, g, o = tf.split(x @ w + h @ u + b, 4, axis=-1)
    new = tf.sigmoid(f + p[1] * c) * c + tf.sigmoid(i + p[0] * c) * tf.tanh(g + candidate * c)
    return tf.sigmoid(o + p[row] * seen_by_output(c, new)) * tf.tanh(new), new


def _output_sees_the_old(x, h, c, w, u, b, p):
    return _peeped(x, h, c, w, u, b, p, lambda old, new: old)


def _output_sees_what_is_shown(x, h, c, w, u, b, p):
    import tensorflow as tf

    return _peeped(x, h, c, w, u, b, p, lambda old, new: tf.tanh(new))


def _output_sees_nothing(x, h, c, w, u, b, p):
    return _peeped(x, h, c, w, u, b, p, lambda old, new: 0.0)


def _output_sees_the_hidden(x, h, c, w, u, b, p):
    return _peeped(x, h, c, w, u, b, p, lambda old, new: h)


def _row_of_forget(x, h, c, w, u, b, p):
    return _peeped(x, h, c, w, u, b, p, row=1)


def _candidate_sees(x, h, c, w, u, b, p):
    return _peeped(x, h, c, w, u, b, p, candidate=p[2])


def _old_cell_in_the_output(x, h, c, w, u, b, p):
    import tensorflow as tf

    o = tf.split(x @ w + h @ u + b, 4, axis=-1)[3]
    new = _peeped(x, h, c, w, u, b, p)[1]
    return tf.sigmoid(o + p[2] * new) * tf.tanh(c), new


def _check_peepholes(trial):
    import tensorflow as tf

    one = tf.ones((1, 1))
    nothing, p = tf.zeros((1, 4)), tf.constant([[0.0], [math.log(3)], [1.0]], tf.float32)
    label = "one unit, c = 1, all sums 0 but the candidate's, peepholes 0, ln 3 and 1"
    trial.equal(label, one, 0 * one, one, tf.constant([[0.0, 0.0, 1.0, 0.0]]), nothing, tf.zeros(4), p)
    for batch, inputs, units in ((2, 2, 3), (4, 3, 5)):
        sizes = ((batch, inputs), (batch, units), (batch, units), (inputs, 4 * units), (units, 4 * units), 4 * units)
        x, h, c, w, u, b = arguments = [tf.constant(trial.rng.normal(size=size), tf.float32) for size in sizes]
        p = tf.constant(trial.rng.normal(size=(3, units)), tf.float32)
        trial.equal(f"{batch} samples, {inputs} inputs, {units} units", *arguments, p)
    trial.gradient("gradients by input, states and peepholes", *arguments, p, of=(0, 1, 2, 6))

    def columns(packed):  # TensorFlow's cell has the order input, candidate, forget, output
        i, f, g, o = tf.split(packed, 4, axis=-1)
        return tf.concat([i, g, f, o], axis=-1)

    _, new_c, _, _, _, _, new_h = tf.raw_ops.LSTMBlockCell(
        x=x, cs_prev=c, h_prev=h, w=tf.concat([columns(w), columns(u)], axis=0), wci=p[0], wcf=p[1], wco=p[2],
        b=columns(b), forget_bias=0.0, cell_clip=-1.0, use_peephole=True,
    )  # fmt: skip
    got = list(trial.answer(*arguments, p))
    trial.check("equals TensorFlow's LSTMBlockCell", got=got, want=[new_h, new_c], atol=1e-5)

    h = c = 0 * one
    b = tf.constant([100.0, 100.0, math.atanh(0.1), -200 * 1.95], tf.float32)  # every step adds 0.1
    spoken = None
    for step in range(1, 25):
        h, c = trial.answer(one, h, c, nothing, nothing, b, tf.constant([[0.0], [0.0], [200.0]]))
        if spoken is None and float(tf.squeeze(h)) > 0.1:
            spoken = step
    trial.check("a counter set to 20 speaks for the first time at step", got=spoken or 0, want=20)


peepholes = Mend(
    title="A counter that is late",
    lesson="chapter09.peepholes",
    minutes=10,
    text=r"""This cell has peepholes. With weights set by hand it counts: every step adds 0.1 to the cell state, and the
output gate is to open as soon as the state is above 1.95, that is at step 20. It opens at step 21. The
state itself is right at every step. Mend `peephole_step`.""",
    start=_PEEPHOLES.format(
        body="""    i = tf.sigmoid(i + p[0] * c)
    f = tf.sigmoid(f + p[1] * c)
    o = tf.sigmoid(o + p[2] * c)
    c = f * c + i * tf.tanh(g)
    return o * tf.tanh(c), c"""
    ),
    name="peephole_step",
    solution_code=_PEEPHOLES.format(
        body="""    i = tf.sigmoid(i + p[0] * c)
    f = tf.sigmoid(f + p[1] * c)
    c = f * c + i * tf.tanh(g)
    o = tf.sigmoid(o + p[2] * c)  # after the update: this gate sees the new cell state
    return o * tf.tanh(c), c"""
    ),
    hints=(
        "Which cell state does each gate see: that of the step before, or that of this step? The page says it.",
        "Input and forget gate see $c_{t-1}$: they have to, since they make $c_t$. The output gate sees $c_t$.",
        "In the program all three lines stand before the line that updates `c`.",
        "Move the line of the output gate below the line `c = f * c + i * tf.tanh(g)`.",
    ),
    check=_check_peepholes,
    wrong=(
        Wrong(_output_sees_the_old, "the output gate still sees the cell state of the step before"),
        Wrong(_output_sees_what_is_shown, "the output gate sees c itself, not its tanh"),
        Wrong(_output_sees_nothing, "the output gate has lost its peephole"),
        Wrong(_output_sees_the_hidden, "the output gate sees h through its peephole: it has to see the cell state"),
        Wrong(_row_of_forget, "the output gate uses the forget gate's peephole: its own is `p[2]`"),
        Wrong(_candidate_sees, "the candidate has no peephole: it is no gate"),
        Wrong(_old_cell_in_the_output, "what is shown is now the tanh of the *old* cell state"),
    ),
)

# --- 09.4 One step back through an LSTM -----------------------------------------------------------------------------


def _back(d_h, d_c, i, f, g, o, c_old, c, *, slope=None, through=None, order=(0, 1, 2, 3)):
    """One step back with parts exchanged: the slope of what is shown, the cell state at the forget gate."""
    slope = 1 - np.tanh(c) ** 2 if slope is None else slope
    cell = d_c + d_h * o * slope
    parts = (
        cell * g * i * (1 - i),
        cell * (c_old if through is None else through) * f * (1 - f),
        cell * i * (1 - g**2),
        d_h * np.tanh(c) * o * (1 - o),
    )
    return np.concatenate([parts[each] for each in order], axis=-1), cell * f


def _nothing_from_later(d_h, d_c, i, f, g, o, c_old, c):
    return _back(d_h, 0 * d_c, i, f, g, o, c_old, c)


def _nothing_from_shown(d_h, d_c, i, f, g, o, c_old, c):
    s, _ = _back(d_h, d_c, i, f, g, o, c_old, c)
    s_cell, d_c_old = _back(0 * d_h, d_c, i, f, g, o, c_old, c)
    units = g.shape[-1]
    return np.concatenate([s_cell[:, : 3 * units], s[:, 3 * units :]], axis=-1), d_c_old


def _tanh_without_slope(d_h, d_c, i, f, g, o, c_old, c):
    return _back(d_h, d_c, i, f, g, o, c_old, c, slope=1.0)


def _tanh_of_tanh(d_h, d_c, i, f, g, o, c_old, c):
    return _back(d_h, d_c, i, f, g, o, c_old, c, slope=1 - c**2)


def _new_at_forget(d_h, d_c, i, f, g, o, c_old, c):
    return _back(d_h, d_c, i, f, g, o, c_old, c, through=c)


def _blocks_exchanged(d_h, d_c, i, f, g, o, c_old, c):
    return _back(d_h, d_c, i, f, g, o, c_old, c, order=(0, 2, 1, 3))


def _passed_on_whole(d_h, d_c, i, f, g, o, c_old, c):
    s, d_c_old = _back(d_h, d_c, i, f, g, o, c_old, c)
    return s, d_c_old / f


def _no_slopes_of_gates(d_h, d_c, i, f, g, o, c_old, c):
    s, d_c_old = _back(d_h, d_c, i, f, g, o, c_old, c)
    return s / np.concatenate([i * (1 - i), f * (1 - f), np.ones_like(g), o * (1 - o)], axis=-1), d_c_old


def _candidate_slope_of_sigmoid(d_h, d_c, i, f, g, o, c_old, c):
    s, d_c_old = _back(d_h, d_c, i, f, g, o, c_old, c)
    return s * np.concatenate(
        [np.ones_like(i), np.ones_like(f), g * (1 - g) / (1 - g**2), np.ones_like(o)], -1
    ), d_c_old


def _check_back(trial):
    import tensorflow as tf

    one = np.ones((1, 1))
    label = "one unit: every gate and the candidate 1/2, c from 1½ to 1, both gradients 1"
    trial.equal(label, one, one, one / 2, one / 2, one / 2, one / 2, 1.5 * one, one)
    for batch, units in ((1, 2), (3, 4), (5, 3)):
        sums = trial.rng.normal(size=(batch, 4 * units))
        c_old, d_h, d_c = trial.rng.normal(size=(3, batch, units))
        sums, c_old = tf.constant(sums), tf.constant(c_old)
        with tf.GradientTape() as tape:
            tape.watch((sums, c_old))
            i, f, g, o = tf.split(sums, 4, axis=-1)
            i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
            c = f * c_old + i * g
            loss = tf.reduce_sum(d_h * o * tf.tanh(c) + d_c * c)
        want = tape.gradient(loss, (sums, c_old))
        inputs = [d_h, d_c, *(each.numpy() for each in (i, f, g, o, c_old, c))]
        trial.equal(f"{batch} samples, {units} units", *inputs)
    trial.check("equals TensorFlow's automatic gradient", got=list(trial.answer(*inputs)), want=list(want))


back = Write(
    title="One step back through an LSTM",
    lesson="chapter09.backward_pass",
    minutes=20,
    text=r"""Known are the loss's gradient $δ^h_t$ at the hidden state, and `d_c`, the gradient that reaches the cell
state $c_t$ from the step after, $δ^c_{t+1} f_{t+1}$. Compute $δ^c_t$, from it the gradient $s_t$ at the
four sums (input, forget, candidate, output, joined along the units), and what the cell state passes back
to $c_{t-1}$: $δ^c_t f_t$. The formulas stand on the page, under "Back-propagation through an LSTM". NumPy
is enough.""",
    start='''import numpy as np


def step_back(d_h, d_c, i, f, g, o, c_old, c):
    """The gradients of one step, from those that reach its two states.

    Args:
        d_h: Gradient at the hidden state h_t, array (batch, units).
        d_c: Gradient that reaches the cell state c_t from the step after (batch, units).
        i, f, g, o: Input gate, forget gate, candidate and output gate of this step, after sigmoid and tanh, each
            (batch, units).
        c_old, c: Cell state before this step and after it, each (batch, units).

    Returns:
        `(s, d_c_old)`: the gradient at the four sums (batch, 4 * units), in the order input, forget, candidate, output;
        and the gradient passed back along the cell state (batch, units).
    """
    ...
''',
    name="step_back",
    solution_code="""import numpy as np


def step_back(d_h, d_c, i, f, g, o, c_old, c):
    shown = np.tanh(c)
    cell = d_c + d_h * o * (1 - shown**2)  # along the cell, and through h = o tanh(c)
    s = [
        cell * g * i * (1 - i),  # slopes from values: sigmoid' = s (1 - s), tanh' = 1 - tanh^2
        cell * c_old * f * (1 - f),
        cell * i * (1 - g**2),
        d_h * shown * o * (1 - o),  # the output gate acts on h only
    ]
    return np.concatenate(s, axis=-1), cell * f
""",
    hints=(
        "Two paths reach the cell state: from the step after, and through $h_t = o_t \\tanh(c_t)$. Both add.",
        "$δ^c = d_c + δ^h o (1 - \\tanh^2 c)$, and it is the same $δ^c$ in three of the four parts of s.",
        "Each part is: gradient at the product, times the other factor, times the slope. A sigmoid of value i has "
        "the slope i (1 − i), a tanh with the value g has 1 − g².",
        "The parts: `cell * g * i * (1 - i)`, `cell * c_old * f * (1 - f)`, `cell * i * (1 - g**2)` and "
        "`d_h * np.tanh(c) * o * (1 - o)`; join them with `np.concatenate(…, axis=-1)`. Second result is `cell * f`.",
    ),
    check=_check_back,
    wrong=(
        Wrong(_nothing_from_later, "the gradient from the step after, `d_c`, is missing"),
        Wrong(_nothing_from_shown, "the path through h = o tanh(c) to the cell state is missing"),
        Wrong(_tanh_without_slope, "the slope of the tanh in h = o tanh(c) is missing: 1 − tanh²(c)"),
        Wrong(_tanh_of_tanh, "1 − c² is not the slope of tanh at c: it is 1 − tanh²(c)"),
        Wrong(_new_at_forget, "the forget gate multiplies the *old* cell state: $c_{t-1}$, not $c_t$"),
        Wrong(_blocks_exchanged, "parts 2 and 3 are exchanged: the order is input, forget, candidate, output"),
        Wrong(_passed_on_whole, "what is passed back along the cell is multiplied by the forget gate"),
        Wrong(_no_slopes_of_gates, "the slopes of the three sigmoids are missing: i (1 − i), and so on"),
        Wrong(_candidate_slope_of_sigmoid, "the candidate is a tanh: its slope is 1 − g²"),
    ),
)

# --- 09.5 One step of a GRU -----------------------------------------------------------------------------------------


def _gates_of_gru(x, h, w, u, b, order=(0, 1)):
    """Update and reset gate, and a function from (state, rest) to the candidate."""
    import tensorflow as tf

    columns = [tf.split(each, 3, axis=-1) for each in (w, u, b)]
    z, r = (tf.sigmoid(x @ columns[0][k] + h @ columns[1][k] + columns[2][k]) for k in order)
    return z, r, x @ columns[0][2] + columns[2][2], columns[1][2]


def _mixed(z, h, sums):
    import tensorflow as tf

    return z * h + (1 - z) * tf.tanh(sums)


def _gate_weighs_the_new(x, h, w, u, b):
    z, r, from_x, u_h = _gates_of_gru(x, h, w, u, b)
    return _mixed(1 - z, h, from_x + (r * h) @ u_h)


def _reset_first(x, h, w, u, b):
    z, r, from_x, u_h = _gates_of_gru(x, h, w, u, b, (1, 0))
    return _mixed(z, h, from_x + (r * h) @ u_h)


def _reset_after(x, h, w, u, b):
    z, r, from_x, u_h = _gates_of_gru(x, h, w, u, b)
    return _mixed(z, h, from_x + r * (h @ u_h))


def _no_reset(x, h, w, u, b):
    z, _, from_x, u_h = _gates_of_gru(x, h, w, u, b)
    return _mixed(z, h, from_x + h @ u_h)


def _reset_of_all(x, h, w, u, b):
    z, r, from_x, u_h = _gates_of_gru(x, h, w, u, b)
    return _mixed(z, r * h, from_x + (r * h) @ u_h)


def _reset_turned(x, h, w, u, b):
    z, r, from_x, u_h = _gates_of_gru(x, h, w, u, b)
    return _mixed(z, h, from_x + ((1 - r) * h) @ u_h)


def _sigmoid_of_gru(x, h, w, u, b):
    import tensorflow as tf

    z, r, from_x, u_h = _gates_of_gru(x, h, w, u, b)
    return z * h + (1 - z) * tf.sigmoid(from_x + (r * h) @ u_h)


def _old_kept_whole(x, h, w, u, b):
    import tensorflow as tf

    z, r, from_x, u_h = _gates_of_gru(x, h, w, u, b)
    return h + (1 - z) * tf.tanh(from_x + (r * h) @ u_h)


def _gru_without_biases(x, h, w, u, b):
    z, r, from_x, u_h = _gates_of_gru(x, h, w, u, 0 * b)
    return _mixed(z, h, from_x + (r * h) @ u_h)


def _check_gru(trial):
    import keras
    import tensorflow as tf

    one, ln3 = tf.ones((1, 1)), math.log(3)
    w, u = tf.constant([[ln3, -ln3, 0.0]], tf.float32), tf.constant([[0.0, 0.0, 2.0]])
    trial.equal("one unit: z = 3/4, r = 1/4, old state 2, candidate tanh 1", one, 2 * one, w, u, tf.zeros(3))
    for batch, inputs, units in ((1, 2, 2), (4, 3, 5), (2, 5, 3)):
        sizes = ((batch, inputs), (batch, units), (inputs, 3 * units), (units, 3 * units), 3 * units)
        x, h, w, u, b = (tf.constant(trial.rng.normal(size=size), tf.float32) for size in sizes)
        trial.equal(f"{batch} samples, {inputs} inputs, {units} units", x, h, w, u, b)
    trial.gradient("gradients by all five", x, h, w, u, b, of=(0, 1, 2, 3, 4))
    cell = keras.layers.GRUCell(units, reset_after=False)
    cell.build(x.shape)
    cell.set_weights([w, u, b])
    want = cell(x, [h])[0]
    trial.check("equals Keras's GRUCell, reset_after=False", got=trial.answer(x, h, w, u, b), want=want)


gru = Write(
    title="One step of a GRU",
    lesson="chapter09.gru",
    minutes=15,
    text=r"""Write one step of a GRU as the page has it: gates z (update) and r (reset), the candidate
$\tanh(x W_h + (r h) U_h + b_h)$, and the new state $z h + (1 - z)$ · candidate. So z weighs the *old*
state, and the reset gate acts on the state *before* the product with $U_h$. The columns of `w`, `u` and
`b` stand in three blocks, in Keras's order: update, reset, candidate.""",
    start='''import tensorflow as tf


def gru_step(x, h, w, u, b):
    """One step of the cell: how much of the old state stays, and what comes instead.

    Args:
        x: Input of this step (batch, inputs), a tensor of floats.
        h: State after the step before (batch, units).
        w: Weights (inputs, 3 * units), in the order update, reset, candidate.
        u: Weights (units, 3 * units), in the same order.
        b: Biases (3 * units,), in the same order.

    Returns:
        Tensor (batch, units), the new state.
    """
    ...
''',
    name="gru_step",
    solution_code="""import tensorflow as tf


def gru_step(x, h, w, u, b):
    w_z, w_r, w_h = tf.split(w, 3, axis=-1)
    u_z, u_r, u_h = tf.split(u, 3, axis=-1)
    b_z, b_r, b_h = tf.split(b, 3)
    z = tf.sigmoid(x @ w_z + h @ u_z + b_z)  # (batch, units)
    r = tf.sigmoid(x @ w_r + h @ u_r + b_r)
    candidate = tf.tanh(x @ w_h + (r * h) @ u_h + b_h)
    return z * h + (1 - z) * candidate
""",
    hints=(
        "Cut `w`, `u` and `b` into three blocks each, with `tf.split(…, 3, axis=-1)`.",
        "Both gates are sigmoids of x W + h U + b, each with its own blocks, and both see the whole state h.",
        "The candidate has to wait for r: `(r * h) @ u_h`, first the product number by number, then the matrix.",
        "`candidate = tf.tanh(x @ w_h + (r * h) @ u_h + b_h)` and `z * h + (1 - z) * candidate`.",
    ),
    check=_check_gru,
    wrong=(
        Wrong(_gate_weighs_the_new, "z weighs the *old* state here; other sources have it the other way round"),
        Wrong(_reset_first, "the gates are exchanged: the first block is the update gate, the second the reset gate"),
        Wrong(_reset_after, "r acts after the product with $U_h$: here it acts on the state before it"),
        Wrong(_no_reset, "the reset gate is missing from the candidate"),
        Wrong(_reset_of_all, "r acts in the candidate only: the old state in the mixture is h itself"),
        Wrong(_reset_turned, "1 − r was used: r = 1 lets the whole old state into the candidate"),
        Wrong(_sigmoid_of_gru, "the candidate is a tanh: only the gates are sigmoids"),
        Wrong(_old_kept_whole, "the old state is kept whole: its share is z"),
        Wrong(_gru_without_biases, "the biases are missing"),
    ),
)

# --- 09.6 Parameters and time constants -----------------------------------------------------------------------------

_INPUTS, _UNITS = 10, 20


def _parameters(name, **arguments):
    import keras

    layer = getattr(keras.layers, name)(_UNITS, **arguments)
    layer.build((None, None, _INPUTS))
    return layer.count_params()


def _way_covered(z, steps):
    """Share of the way from zero to a fixed candidate, by the lesson's step with the gate held at z."""
    import tensorflow as tf

    from kerasnotes.chapter09.gru import gru_step

    one = tf.ones((1, 1), tf.float64)
    weights, h = tf.zeros((1, 3), tf.float64), 0 * one
    biases = tf.constant([math.log(z / (1 - z)), 0.0, 1.0], tf.float64)
    for _ in range(steps):
        h = gru_step(one, h, weights, weights, biases)
    return h.numpy().item() / math.tanh(1.0)


_BLOCK = _INPUTS * _UNITS + _UNITS**2  # numbers in two matrices
_NO_STATE = "the weights from the state are missing: a matrix (units, units)"
_BIASES_FORGOTTEN = "the biases are missing"

sizes = Predict(
    title="Parameters and time constants",
    lesson="chapter09.gru",
    minutes=10,
    text=r"""Layers have 10 inputs and 20 units. How many parameters have a simple recurrent layer, a GRU as the page
writes it (reset before the product), Keras's default GRU (reset after it, with one more row of biases) and an
LSTM? Then: a GRU's gate z is held at 0.9, and the candidate is fixed. Which share of the way from zero to the
candidate is covered after 10 steps? With which z is it one half after 50 steps?""",
    hints=(
        "A simple layer has a matrix from the inputs, one from the state, and biases.",
        "That is 10 · 20 + 20 · 20 + 20. How many such blocks has a GRU, and how many an LSTM?",
        "Two gates and a candidate make three, three gates and a candidate four. One more row is 3 · 20 biases.",
        "After t steps the share $1 - z^t$ is covered, so one half after 50 steps means $z^{50} = ½$.",
    ),
    values=(
        Value(
            "simple",
            "parameters of a simple recurrent layer",
            want=lambda: _parameters("SimpleRNN"),
            rtol=1e-6,
            wrong=(
                (lambda: _BLOCK, _BIASES_FORGOTTEN),
                (lambda: _INPUTS * _UNITS + _UNITS, _NO_STATE),
                (lambda: _INPUTS * _UNITS + 2 * _UNITS, "the state has a whole matrix (20, 20), not a number a unit"),
            ),
        ),
        Value(
            "gru_before",
            "parameters of a GRU, reset before the product",
            want=lambda: _parameters("GRU", reset_after=False),
            rtol=1e-6,
            wrong=(
                (lambda: 3 * _BLOCK, _BIASES_FORGOTTEN),
                (lambda: 2 * (_BLOCK + _UNITS), "two gates *and* a candidate: three blocks"),
                (lambda: 4 * (_BLOCK + _UNITS), "that is an LSTM: a GRU has three blocks"),
                (lambda: 3 * (_BLOCK + 2 * _UNITS), "that has two rows of biases: as the page writes it there is one"),
            ),
        ),
        Value(
            "gru_after",
            "parameters of Keras's default GRU",
            want=lambda: _parameters("GRU"),
            rtol=1e-6,
            wrong=(
                (lambda: 3 * (_BLOCK + _UNITS), "the second row of biases is missing: 3 · 20 more"),
                (lambda: 3 * (_BLOCK + _UNITS) + _UNITS, "a row of biases is 3 · 20 numbers: one for each block"),
            ),
        ),
        Value(
            "lstm",
            "parameters of an LSTM",
            want=lambda: _parameters("LSTM"),
            rtol=1e-6,
            wrong=(
                (lambda: 4 * _BLOCK, _BIASES_FORGOTTEN),
                (lambda: 3 * (_BLOCK + _UNITS), "three gates *and* a candidate: four blocks"),
                (lambda: 4 * (_BLOCK + 2 * _UNITS), "that has two rows of biases: Keras's LSTM has one"),
            ),
        ),
        Value(
            "share_10",
            "share of the way after 10 steps with z = 0.9",
            want=lambda: _way_covered(0.9, 10),
            rtol=1e-3,
            wrong=(
                (lambda: 0.9**10, "that is the share that is still ahead"),
                (lambda: 0.1, "that is the share after one step"),
                (lambda: 1.0, "a tenth of what is *left* is covered at every step, not a tenth of the whole"),
            ),
        ),
        Value(
            "z_half",
            "the z with which one half is covered after 50 steps",
            want=lambda: 0.5 ** (1 / 50),
            rtol=1e-4,
            wrong=(
                (lambda: 1 - 0.5 / 50, "what is left is multiplied, step by step: $z^{50} = ½$"),
                (lambda: 1 - 0.5 ** (1 / 50), "that is the weight of the candidate, 1 − z"),
            ),
        ),
    ),
    solution_code="""block = 10 * 20 + 20 * 20 + 20  # from the inputs, from the state, biases
simple = block
gru_before = 3 * block  # update, reset, candidate
gru_after = 3 * block + 3 * 20  # one more row of biases
lstm = 4 * block  # input, forget, output, candidate
share_10 = 1 - 0.9**10  # the distance to the candidate shrinks by the factor z at every step
z_half = 0.5 ** (1 / 50)
""",
)

# --- 09.7 Ten symbols, later ----------------------------------------------------------------------------------------

_BLANK, _ASK = 8, 9


def _copied(symbols, delay, asked=-1, answered=0, turned=False, blank=_BLANK):
    """The task with faults: where the delimiter and the answer stand, which way round, and what a blank is."""
    samples, count = symbols.shape
    x, y = np.full((2, samples, delay + 2 * count), blank, np.int32)
    x[:, :count] = symbols
    x[:, count + delay + asked] = _ASK
    start = count + delay + answered
    y[:, start : start + count] = symbols[:, ::-1] if turned else symbols
    return x, y


def _asked_late(symbols, delay):
    return _copied(symbols, delay, asked=0)


def _asked_early(symbols, delay):
    return _copied(symbols, delay, asked=-2)


def _answered_at_once(symbols, delay):
    return _copied(symbols, delay, answered=-1)


def _answered_backwards(symbols, delay):
    return _copied(symbols, delay, turned=True)


def _zeros_as_blanks(symbols, delay):
    return _copied(symbols, delay, blank=0)


def _asked_in_the_target(symbols, delay):
    x, y = _copied(symbols, delay)
    y[:, symbols.shape[1] + delay - 1] = _ASK
    return x, y


def _answer_in_the_input(symbols, delay):
    x, y = _copied(symbols, delay)
    x[:, -symbols.shape[1] :] = symbols
    return x, y


def _symbols_in_the_target(symbols, delay):
    x, y = _copied(symbols, delay)
    y[:, : symbols.shape[1]] = symbols
    return x, y


def _check_copying(trial):
    from kerasnotes.chapter09.memory_tasks import copy_task

    trial.equal("two symbols, 3 and 1, delay 3", np.array([[3, 1]]), 3)
    trial.equal("one symbol, delay 2", np.array([[5], [7]]), 2)
    for samples, count, delay in ((2, 4, 2), (3, 10, 12), (4, 3, 30)):
        trial.equal(
            f"{samples} samples of {count} symbols, delay {delay}", trial.rng.integers(0, 8, (samples, count)), delay
        )
    x, y = copy_task(samples=4, delay=7, seed=3)
    trial.check("equals the lesson's with the same ten symbols", got=list(trial.answer(x[:, :10], 7)), want=[x, y])


copying = Write(
    title="Ten symbols, later",
    lesson="chapter09.memory_tasks",
    minutes=10,
    text=r"""Make the copying task from n symbols (0 to 7) for each sample. The input x holds the n symbols, then
`delay` − 1 blanks (8), the delimiter (9) that asks for them, and n blanks. The target y has as many steps:
blanks, and in the last n places the symbols in the same order. For the symbols 3, 1 and the delay 3
they are 3 1 8 8 9 8 8 and 8 8 8 8 8 3 1. How many steps has a sequence?""",
    start='''import numpy as np


def copy_sequences(symbols, delay):
    """Symbols that are to be said again after a gap.

    Args:
        symbols: Integers (samples, n) from 0 to 7.
        delay: Steps from the last symbol to the delimiter, at least 1.

    Returns:
        `(x, y)`: two arrays of integers (samples, delay + 2 * n), inputs and targets; 8 is the blank, 9 the delimiter.
    """
    ...
''',
    name="copy_sequences",
    solution_code="""import numpy as np


def copy_sequences(symbols, delay):
    samples, n = symbols.shape
    x, y = np.full((2, samples, delay + 2 * n), 8)  # blanks everywhere
    x[:, :n] = symbols
    x[:, n + delay - 1] = 9  # the last symbol stands at n - 1
    y[:, -n:] = symbols
    return x, y
""",
    hints=(
        "Begin with two arrays full of blanks: `np.full((samples, steps), 8)`. Then write into them.",
        "A sequence has n + (delay − 1) + 1 + n steps.",
        "Places are counted from 0: the last symbol stands at n − 1, the delimiter `delay` places behind it.",
        "`x[:, :n] = symbols`, `x[:, n + delay - 1] = 9`, `y[:, -n:] = symbols`.",
    ),
    check=_check_copying,
    wrong=(
        Wrong(_asked_late, "the delimiter comes one step too late: there are delay − 1 blanks before it"),
        Wrong(_asked_early, "the delimiter comes one step too early"),
        Wrong(_answered_at_once, "the answer begins at the delimiter: it begins one step later, in the last n places"),
        Wrong(_answered_backwards, "the answer is the wrong way round: the same order is asked for"),
        Wrong(_zeros_as_blanks, "0 is a symbol here: the blank is 8"),
        Wrong(_asked_in_the_target, "the delimiter stands in the target: it belongs to the input only"),
        Wrong(_answer_in_the_input, "the answer stands in the input: then nothing has to be remembered"),
        Wrong(_symbols_in_the_target, "the symbols stand at the beginning of the target, too: there are blanks there"),
    ),
)

# --- 09.8 Perplexity of poems ---------------------------------------------------------------------------------------


def _surprises(logits, ids):
    """Nats for each character, and whether it is a character or padding."""
    import tensorflow as tf

    nats = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)
    return nats, tf.cast(ids != 0, nats.dtype)


def _padding_counted(logits, ids):
    import tensorflow as tf

    return tf.exp(tf.reduce_mean(_surprises(logits, ids)[0]))


def _divided_by_all(logits, ids):
    import tensorflow as tf

    nats, real = _surprises(logits, ids)
    return tf.exp(tf.reduce_mean(nats * real))


def _mean_of_poems(logits, ids):
    import tensorflow as tf

    nats, real = _surprises(logits, ids)
    return tf.reduce_mean(tf.exp(tf.reduce_sum(nats * real, axis=1) / tf.reduce_sum(real, axis=1)))


def _mean_of_means(logits, ids):
    import tensorflow as tf

    nats, real = _surprises(logits, ids)
    return tf.exp(tf.reduce_mean(tf.reduce_sum(nats * real, axis=1) / tf.reduce_sum(real, axis=1)))


def _mean_nats(logits, ids):
    import tensorflow as tf

    nats, real = _surprises(logits, ids)
    return tf.reduce_sum(nats * real) / tf.reduce_sum(real)


def _two_to_the_nats(logits, ids):
    return 2 ** _mean_nats(logits, ids)


def _sign_lost(logits, ids):
    import tensorflow as tf

    return tf.exp(-_mean_nats(logits, ids))


def _summed_nats(logits, ids):
    import tensorflow as tf

    nats, real = _surprises(logits, ids)
    return tf.exp(tf.reduce_sum(nats * real))


def _softmax_twice(logits, ids):
    import tensorflow as tf

    return tf.exp(_mean_nats(tf.nn.softmax(logits), ids))


def _logits_as_logarithms(logits, ids):
    import tensorflow as tf

    real = tf.cast(ids != 0, logits.dtype)
    chosen = tf.gather(logits, ids, axis=-1, batch_dims=2)
    return tf.exp(-tf.reduce_sum(chosen * real) / tf.reduce_sum(real))


def _mean_of_inverses(logits, ids):
    import tensorflow as tf

    nats, real = _surprises(logits, ids)
    return tf.reduce_sum(tf.exp(nats) * real) / tf.reduce_sum(real)


def _check_perplexity(trial):
    import keras
    import tensorflow as tf

    logits = tf.constant(np.log([[[1.0, 1.0, 2.0], [2.0, 1.0, 5.0], [1.0, 1.0, 8.0]]]), tf.float32)
    trial.equal("one line: characters of probability 1/2 and 1/8, then padding", logits, tf.constant([[2, 1, 0]]))
    for batch, steps, size in ((1, 3, 4), (3, 5, 6), (4, 7, 10)):
        logits = tf.constant(3 * trial.rng.normal(size=(batch, steps, size)), tf.float32)
        ids = trial.rng.integers(1, size, (batch, steps))
        for row, length in enumerate(trial.rng.integers(1, steps + 1, batch)):
            ids[row, length:] = 0
        trial.equal(f"{batch} poems of up to {steps} characters, {size} ids", logits, tf.constant(ids))
    trial.gradient("its gradient by the logits", logits / 3, tf.constant(ids))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    got, want = trial.answer(logits, tf.constant(ids)), tf.exp(loss(ids, logits))
    trial.check("equals exp of Keras's cross-entropy that ignores padding", got=got, want=want, rtol=1e-4)
    got = trial.answer(tf.zeros((2, 3, 50)), tf.constant([[4, 5, 6], [7, 0, 0]]))
    trial.check("who knows nothing of 50 ids has the perplexity 50", got=got, want=50.0, rtol=1e-4)


perplexity = Write(
    title="Perplexity of poems",
    lesson="chapter09.poetry",
    minutes=15,
    text=r"""Write the perplexity $\exp(-\frac1n \sum \ln p)$ of a batch of poems. The network gives logits, so that p
is their softmax at the right id. The logits at place t are those for the character at place t. The id 0 is
padding: it is not predicted, and not counted in n. The sum and n go over *all* characters of the batch.""",
    start='''import tensorflow as tf


def perplexity(logits, ids):
    """How many characters a network hesitates between, on average.

    Args:
        logits: Tensor (batch, steps, vocabulary) of floats.
        ids: Integer tensor (batch, steps), the right characters; 0 is padding.

    Returns:
        A scalar tensor, at least 1.
    """
    ...
''',
    name="perplexity",
    solution_code="""import tensorflow as tf


def perplexity(logits, ids):
    nats = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)  # (batch, steps), each -ln p
    real = tf.cast(ids != 0, nats.dtype)
    return tf.exp(tf.reduce_sum(nats * real) / tf.reduce_sum(real))
""",
    hints=(
        "First −ln p for every place, (batch, steps); then leave padding out; then the mean; then the exponential.",
        "`tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)` gives −ln p for every place, from logits.",
        "`real = tf.cast(ids != 0, nats.dtype)` is 1 at characters and 0 at padding; n is its sum.",
        "`tf.exp(tf.reduce_sum(nats * real) / tf.reduce_sum(real))`.",
    ),
    check=_check_perplexity,
    wrong=(
        Wrong(_padding_counted, "padding was counted as a character: it is neither in the sum nor in n"),
        Wrong(_divided_by_all, "padding is out of the sum, but still in n"),
        Wrong(
            _mean_of_poems,
            "that is a mean of the poems' perplexities: divide the sum over all characters by their number, then exp",
        ),
        Wrong(
            _mean_of_means,
            "that is the mean over poems of their own means: divide the sum over all characters by their number",
        ),
        Wrong(_mean_nats, "the exponential is missing: that is the cross-entropy in nats"),
        Wrong(_two_to_the_nats, "2 to the power of nats: with natural logarithms it is exp"),
        Wrong(_sign_lost, "the minus sign is missing: a perplexity is at least 1"),
        Wrong(_summed_nats, "the sum was not divided by n"),
        Wrong(_softmax_twice, "softmax was taken twice: the cross-entropy *with logits* takes it itself"),
        Wrong(_logits_as_logarithms, "logits are not yet ln p: the softmax is missing"),
        Wrong(_mean_of_inverses, "that is the mean of 1/p: the mean is taken of the logarithms"),
    ),
)

# --- 09.9 The coefficients of two waves -----------------------------------------------------------------------------


def _two_waves(k):
    from kerasnotes.chapter09.autoregression import autoregression

    t = np.arange(120)
    return float(autoregression(10 + np.cos(2 * np.pi * t / 12) + np.cos(2 * np.pi * t / 6), 4)[k])


def _left_after(steps, size, months=12, level=0.0):
    """A forecast of a wave by an autoregression whose roots have a size, by the lesson's functions."""
    from kerasnotes.chapter09.autoregression import autoregressive_forecast, forecast_ahead

    a_1, a_2 = 2 * size * math.cos(2 * math.pi / months), -(size**2)
    coefficients = np.array([level * (1 - a_1 - a_2), a_1, a_2])
    x = level + np.array([[math.cos(2 * math.pi / months) / size, 1.0]])  # the wave at the steps -1 and 0
    return float(forecast_ahead(lambda x: autoregressive_forecast(x, coefficients), x, steps)[0, -1])


_ROOT = math.sqrt(3)

waves = Predict(
    title="The coefficients of two waves",
    lesson="chapter09.autoregression",
    minutes=25,
    text=r"""$y_t = 10 + \cos(2πt/12) + \cos(2πt/6)$ obeys an autoregression
$y_t = a_0 + a_1 y_{t-1} + … + a_4 y_{t-4}$. Find its coefficients: one wave obeys $1 - 2 \cos(ω) L + L^2$
(L moves back by one step), two waves the product of their polynomials; applied to $y_t - 10$ it gives 0. A
fit to noisy values has smaller roots: its waves are $0.95^t \cos(ωt)$, say, not $\cos(ωt)$. Which share of
a wave's size is left 60 steps ahead, and where do forecasts end, if the fit has the right level?""",
    hints=(
        "2 cos(2π/12) = √3 and 2 cos(2π/6) = 1. Multiply $(1 - √3 L + L^2)(1 - L + L^2)$.",
        "The product is $1 - (√3 + 1) L + (2 + √3) L^2 - (√3 + 1) L^3 + L^4$, and it gives 0 on both waves.",
        "So $y_t$ less the level is what stands on the other side: signs change. For $a_0$ put the constant 10 in: "
        "$10 = a_0 + (a_1 + a_2 + a_3 + a_4) · 10$.",
        "Each step multiplies the size by 0.95. When all waves have died, the level is left.",
    ),
    values=(
        Value(
            "a_0",
            "the constant",
            want=lambda: _two_waves(0),
            rtol=1e-3,
            wrong=(
                (lambda: 10.0, "that is the level: the coefficients take their share of it, $10 (1 - a_1 - … - a_4)$"),
                (lambda: 0.0, "without a constant the series would have the level 0"),
                (lambda: 10 * (_ROOT - 1), "that is the *sum* of $a_1$ to $a_4$ times 10: what is missing to 10?"),
            ),
        ),
        Value(
            "a_1",
            "factor of the last value",
            want=lambda: _two_waves(1),
            rtol=1e-3,
            wrong=(
                (lambda: -1 - _ROOT, "the sign changes when the term goes to the other side"),
                (lambda: _ROOT, "that is one wave or a product: the factors of L add, √3 + 1"),
            ),
        ),
        Value(
            "a_2",
            "factor of the value before it",
            want=lambda: _two_waves(2),
            rtol=1e-3,
            wrong=(
                (lambda: 2 + _ROOT, "the sign changes when the term goes to the other side"),
                (lambda: -2.0, "the product of the two middle terms is missing: √3 L · L"),
                (lambda: -1.0, "that belongs to one wave alone"),
            ),
        ),
        Value(
            "a_3",
            "factor of the third value back",
            want=lambda: _two_waves(3),
            rtol=1e-3,
            wrong=((lambda: -1 - _ROOT, "the sign changes when the term goes to the other side"),),
        ),
        Value(
            "a_4",
            "factor of the fourth value back",
            want=lambda: _two_waves(4),
            rtol=1e-3,
            wrong=((lambda: 1.0, "the sign changes when the term goes to the other side"),),
        ),
        Value(
            "share_60",
            "share of a wave's size that is left 60 steps ahead",
            want=lambda: _left_after(60, 0.95),
            wrong=(
                (lambda: 1.0, "only roots of the size 1 keep a wave for ever: these are smaller"),
                (lambda: 1 - 0.95**60, "that is the share that is lost"),
                (lambda: 0.95**30, "the size is multiplied by 0.95 at *every* step"),
            ),
        ),
        Value(
            "in_the_end",
            "the number that forecasts go to",
            want=lambda: _left_after(400, 0.95, level=10.0),
            rtol=1e-4,
            wrong=(
                (lambda: 0.0, "the waves die, the level stays"),
                (lambda: 12.0, "that is the highest value: both waves die"),
                (lambda: 10 * (2 - _ROOT), "that is $a_0$: forecasts end where $y = a_0 + (a_1 + … + a_4) y$"),
            ),
        ),
    ),
    solution_code="""import math

root = math.sqrt(3)  # 2 cos(2 pi / 12); 2 cos(2 pi / 6) is 1
# (1 - root L + L^2)(1 - L + L^2) = 1 - (root + 1) L + (2 + root) L^2 - (root + 1) L^3 + L^4
a_1, a_2, a_3, a_4 = root + 1, -(2 + root), root + 1, -1
a_0 = 10 * (1 - a_1 - a_2 - a_3 - a_4)  # so that the level 10 obeys the equation, too
share_60 = 0.95**60  # far ahead, a fit to noisy values forecasts little but the level
in_the_end = 10
""",
)

# --- 09.10 Fed on its own forecasts ---------------------------------------------------------------------------------


def _fed(series, coefficients, steps, following=None, turned=False, constant=True):
    known, order = list(series), len(coefficients) - 1
    weights = coefficients[1:][::-1] if turned else coefficients[1:]
    made = []
    for step in range(steps):
        last = np.array(known[-order:])[::-1]
        made.append(coefficients[0] * constant + weights @ last)
        known.append(made[-1] if following is None else following(known, step))
    return np.array(made)


def _oldest_first(series, coefficients, steps):
    return _fed(series, coefficients, steps, turned=True)


def _no_constant(series, coefficients, steps):
    return _fed(series, coefficients, steps, constant=False)


def _last_repeated(series, coefficients, steps):
    return _fed(series, coefficients, steps, following=lambda known, step: series[-1])


def _same_forecast(series, coefficients, steps):
    return np.full(steps, _fed(series, coefficients, 1)[0])


def _from_the_beginning(series, coefficients, steps):
    return _fed(series[: len(coefficients) - 1], coefficients, steps)


def _wrong_end(series, coefficients, steps):
    known, order, made = list(series[-(len(coefficients) - 1) :]), len(coefficients) - 1, []
    for _ in range(steps):
        made.append(coefficients[0] + coefficients[1:] @ np.array(known[:order])[::-1])
        known = [made[-1], *known[:-1]]
    return np.array(made)


def _last_only(series, coefficients, steps):
    return _fed(series, coefficients, steps)[-1]


def _known_as_well(series, coefficients, steps):
    return np.concatenate([series, _fed(series, coefficients, steps)])[-steps - 1 : -1]


def _check_feeding(trial):
    from kerasnotes.chapter09.autoregression import autoregressive_forecast, forecast_ahead

    trial.equal("y = 1 + 2 · last − 1 · the one before", np.array([4.0, 1.0, 3.0]), np.array([1.0, 2.0, -1.0]), 3)
    for length, order, steps in ((5, 1, 4), (8, 3, 6), (20, 5, 12), (4, 4, 9)):
        series, coefficients = trial.rng.normal(size=length), trial.rng.normal(size=order + 1) / 2
        trial.equal(f"{length} known values, order {order}, {steps} steps", series, coefficients, steps)
    want = forecast_ahead(lambda x: autoregressive_forecast(x, coefficients), series[None], steps)[0]
    trial.check("equals the lesson's two functions", got=trial.answer(series, coefficients, steps), want=want)
    wave = np.cos(2 * np.pi * np.arange(60) / 12)
    got = trial.answer(wave[:12], np.array([0.0, math.sqrt(3), -1.0]), 48)
    trial.check("a wave of twelve months, four years ahead", got=got, want=wave[12:])


feeding = Write(
    title="Fed on its own forecasts",
    lesson="chapter09.autoregression",
    minutes=10,
    text=r"""Forecast several steps ahead with $\hat y_t = a_0 + a_1 y_{t-1} + … + a_p y_{t-p}$, where $a_1$ belongs to
the *last* value. From the second step on, values that are not known yet are replaced by the method's own
forecasts. Before you run it: with y = 1 + 2 · last − 1 · the one before, and the known values 4, 1, 3,
what are the next three?""",
    start='''import numpy as np


def forecast(series, coefficients, steps):
    """Forecast several steps, each from known values and the forecasts made so far.

    Args:
        series: Known values in the order of time, array (n,) with n at least p.
        coefficients: Array (p + 1,): the constant, then the factors of the last value, the one before, and so on.
        steps: Steps ahead, at least 1.

    Returns:
        Array (steps,).
    """
    ...
''',
    name="forecast",
    solution_code="""import numpy as np


def forecast(series, coefficients, steps):
    values, order = list(series), len(coefficients) - 1
    for _ in range(steps):
        last = np.array(values[-order:])[::-1]  # the last value first, as in the coefficients
        values.append(coefficients[0] + coefficients[1:] @ last)
    return np.array(values[-steps:])
""",
    hints=(
        "Keep a list of values. Forecast the next one, append it, and go on as if it were known.",
        "For 4, 1, 3: 1 + 2 · 3 − 1 = 6, then 1 + 2 · 6 − 3 = 10, then 1 + 2 · 10 − 6.",
        "The last p values are `values[-p:]`; the coefficients have the last value first, so turn them: `[::-1]`.",
        "`values.append(coefficients[0] + coefficients[1:] @ np.array(values[-p:])[::-1])`, `steps` times.",
    ),
    check=_check_feeding,
    wrong=(
        Wrong(_oldest_first, "$a_1$ belongs to the last value: turn the values (or the coefficients) round"),
        Wrong(_no_constant, "the constant $a_0$ is missing"),
        Wrong(_last_repeated, "the last *known* value was repeated: append the forecast itself"),
        Wrong(_same_forecast, "the same forecast for every step: the second one is made from the first"),
        Wrong(_from_the_beginning, "the forecast starts from the first p values: it starts from the last ones"),
        Wrong(_wrong_end, "forecasts were put in front: they come behind the last value"),
        Wrong(_last_only, "only the last forecast is returned: all `steps` are asked for"),
        Wrong(_known_as_well, "the result is late by one step: the first number is a forecast, not a known value"),
    ),
)

# --- 09.11 A look into the future -----------------------------------------------------------------------------------

_SCALING = '''import numpy as np


def training_windows(series, start, size):
    """Scaled windows of the training part, each with the value that follows it.

    Args:
        series: All values in the order of time (n,), training part and test part.
        start: Place of the first test value; the values before it are the training part.
        size: Number of values in a window, less than `start`.

    Returns:
        `(x, y)`: windows (start - size, size) and the values that follow (start - size,), in scaled units, that is with
        a mean taken off and divided by a standard deviation (that of NumPy's `std`).
    """
{body}
'''


def _windows_of(scaled, start, size):
    ends = range(size, start)
    return np.stack([scaled[end - size : end] for end in ends]), scaled[size:start]


def _scaled_by(series, known, spread=None):
    return (series - known.mean()) / (known if spread is None else spread).std()


def _scaled_by_all(series, start, size):
    return _windows_of(_scaled_by(series, series), start, size)


def _deviation_of_all(series, start, size):
    return _windows_of(_scaled_by(series, series[:start], series), start, size)


def _mean_of_all(series, start, size):
    return _windows_of(_scaled_by(series, series, series[:start]), start, size)


def _one_too_many(series, start, size):
    return _windows_of(_scaled_by(series, series[: start + 1]), start, size)


def _scaled_by_the_test(series, start, size):
    return _windows_of(_scaled_by(series, series[start:]), start, size)


def _each_window_itself(series, start, size):
    x, y = _windows_of(series, start, size)
    mean, deviation = x.mean(axis=1), x.std(axis=1)
    return (x - mean[:, None]) / deviation[:, None], (y - mean) / deviation


def _not_scaled(series, start, size):
    return _windows_of(series, start, size)


def _windows_of_all(series, start, size):
    return _windows_of(_scaled_by(series, series[:start]), len(series), size)


def _only_moved(series, start, size):
    return _windows_of(series - series[:start].mean(), start, size)


def _check_scaling(trial):
    trial.equal("training part 0, 2, 0, 2, test part 10, 20", np.array([0.0, 2.0, 0.0, 2.0, 10.0, 20.0]), 4, 2)
    for length, start, size in ((12, 8, 3), (40, 25, 6), (30, 26, 12)):
        series = trial.rng.normal(size=length) * 3 + np.arange(length)
        trial.equal(f"{length} values, test part from {start}, windows of {size}", series, start, size)
    other = np.concatenate([series[:start], 1000 + series[start:]])
    want = list(trial.answer(series, start, size))
    trial.check("another future: not one number changes", got=list(trial.answer(other, start, size)), want=want)


scaling = Mend(
    title="A look into the future",
    lesson="chapter09.forecasting",
    minutes=10,
    text=r"""This program makes the windows that a forecaster is trained on. To test it, somebody changed a value
*after* `start`, in the test part, and the windows of the training part changed: something of the future
gets into training. Mend `training_windows`. Windows and order are right, and stay as they are.""",
    start=_SCALING.format(
        body="""    scaled = (series - series.mean()) / series.std()
    ends = range(size, start)  # places of the values that follow a window
    x = np.stack([scaled[end - size : end] for end in ends])
    y = np.array([scaled[end] for end in ends])
    return x, y"""
    ),
    name="training_windows",
    solution_code=_SCALING.format(
        body="""    known = series[:start]  # at the time of training nothing else is known
    scaled = (series - known.mean()) / known.std()
    ends = range(size, start)  # places of the values that follow a window
    x = np.stack([scaled[end - size : end] for end in ends])
    y = np.array([scaled[end] for end in ends])
    return x, y"""
    ),
    hints=(
        "Which numbers in the program depend on values at `start` or later?",
        "The places of the windows end before `start`. But what about the mean and the standard deviation?",
        "Both have to be those of the training part, `series[:start]`; test values are scaled by the same two numbers.",
        "`scaled = (series - series[:start].mean()) / series[:start].std()`.",
    ),
    check=_check_scaling,
    wrong=(
        Wrong(_scaled_by_all, "mean and deviation still are those of the whole series"),
        Wrong(_deviation_of_all, "the mean is right, but the deviation is still that of the whole series"),
        Wrong(_mean_of_all, "the deviation is right, but the mean is still that of the whole series"),
        Wrong(_one_too_many, "the value at `start` is the first of the test part: `series[:start]` ends before it"),
        Wrong(_scaled_by_the_test, "these are mean and deviation of the *test* part"),
        Wrong(_each_window_itself, "every window was scaled by itself: one mean and one deviation for all"),
        Wrong(_not_scaled, "nothing is scaled any more: take the training part's mean and deviation"),
        Wrong(_windows_of_all, "now the windows reach into the test part: they were right"),
        Wrong(_only_moved, "the division by the deviation is gone"),
    ),
)

# --- 09.12 Two translations of a cat --------------------------------------------------------------------------------

_CAT = ["the", "cat", "is", "on", "the", "mat"]


def _score(candidate, order):
    from kerasnotes.chapter09.bleu import bleu

    return bleu([[_CAT]], [candidate.split()], order)


_LONG, _SHORT = "the cat sat on the mat", "the cat is"
_NO_PENALTY = "that is the share of right groups: three words for six cost the factor exp(1 − 6/3)"
_RATIO = "the price of brevity is exp(1 − r/c), not c/r"
_OTHER_WAY = "r and c are exchanged: exp(1 − r/c) with r = 6, c = 3"
_ARITHMETIC = "that is the arithmetic mean of the shares: it is exp of the mean *logarithm*, a geometric mean"
_SHARE_ALONE = "that is the share of the longest groups alone: BLEU takes the mean over all lengths"
_NO_ROOT = "the shares were multiplied, without the root: the logarithms' *mean* is taken"


def _long(order, name, *wrong):
    return Value(
        name,
        f'"{_LONG}", groups of up to {order}',
        want=lambda: _score(_LONG, order),
        rtol=1e-3,
        wrong=wrong,
    )


def _short(order, name, *wrong):
    return Value(
        name,
        f'"{_SHORT}", groups of up to {order}',
        want=lambda: _score(_SHORT, order),
        rtol=1e-3,
        wrong=wrong,
    )


def _short_slips():
    return (lambda: 1.0, _NO_PENALTY), (lambda: 0.5, _RATIO), (lambda: math.exp(0.5), _OTHER_WAY)


cats = Predict(
    title="Two translations of a cat",
    lesson="chapter09.bleu",
    minutes=15,
    text=r"""The reference is "the cat is on the mat". Compute BLEU with groups of up to one, two, three and
four words for "the cat sat on the mat" and for "the cat is": exp of the mean logarithm of the shares of
right groups, times exp(1 − r/c) if its c words are fewer than the reference's r. A group counts at most as
often as it stands in the reference. If no group of some length is right (or there is none), the score is 0.
Which of the eight are zero, and is that fair?""",
    hints=(
        "For the first translation count how many of its 6 words, 5 pairs, 4 triples and 3 groups of four stand in the "
        "reference. It has as many words as the reference, so that nothing is taken off.",
        "5 of 6, 3 of 5, 1 of 4, 0 of 3.",
        "Up to two words: exp((ln(5/6) + ln(3/5)) / 2) = √(5/6 · 3/5). Up to three: the third root of three shares.",
        "In the second translation all groups are right, but 3 words stand for 6: the factor is exp(1 − 6/3).",
    ),
    values=(
        _long(
            1,
            "long_1",
            (lambda: 4 / 5, 'different words were counted: "the" stands there twice, and twice in the reference'),
            (lambda: 4 / 6, 'both "the" are right: it stands in the reference twice'),
            (lambda: 1.0, '"sat" does not stand in the reference'),
        ),
        _long(
            2,
            "long_2",
            (lambda: 3 / 5, _SHARE_ALONE),
            (lambda: (5 / 6 + 3 / 5) / 2, _ARITHMETIC),
            (lambda: 5 / 6 * 3 / 5, _NO_ROOT),
        ),
        _long(
            3,
            "long_3",
            (lambda: 1 / 4, _SHARE_ALONE),
            (lambda: (5 / 6 + 3 / 5 + 1 / 4) / 3, _ARITHMETIC),
            (lambda: 5 / 6 * 3 / 5 / 4, _NO_ROOT),
        ),
        _long(
            4,
            "long_4",
            (lambda: 0.5, "no group of four words is right: ln 0 is −∞"),
            (lambda: (5 / 6 * 3 / 5 / 4) ** 0.25, "a share of 0 may not be left out: its logarithm is −∞"),
            (lambda: (5 / 6 + 3 / 5 + 1 / 4) / 4, _ARITHMETIC),
        ),
        _short(1, "short_1", *_short_slips()),
        _short(2, "short_2", *_short_slips()),
        _short(3, "short_3", *_short_slips()),
        _short(
            4,
            "short_4",
            (lambda: math.exp(-1), "three words have no group of four: then the score is 0"),
            (lambda: 1.0, "three words have no group of four: then the score is 0, even before the price of brevity"),
        ),
    ),
    solution_code="""import math

shares = 5 / 6, 3 / 5, 1 / 4  # of words, pairs and triples; "sat" spoils every group that it stands in
long_1 = shares[0]
long_2 = (shares[0] * shares[1]) ** (1 / 2)
long_3 = (shares[0] * shares[1] * shares[2]) ** (1 / 3)
long_4 = 0  # one wrong word in the middle of a short sentence is enough: hard, and no smoothing softens it
short_1 = short_2 = short_3 = math.exp(1 - 6 / 3)  # everything is right, but half is missing
short_4 = 0  # no group of four words
""",
)

# --- 09.13 BLEU of one sentence -------------------------------------------------------------------------------------


def _groups(words, n):
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _shares(reference, candidate, max_order, clipped=True, recall=False, different=False):
    """The share of right groups for each number of words; None if one of them is zero."""
    result = []
    for n in range(1, max_order + 1):
        found, wanted = _groups(candidate, n), _groups(reference, n)
        if different:
            found, wanted = Counter(set(found)), Counter(set(wanted))
        right = (found & wanted).total() if clipped else sum(found[each] for each in found if each in wanted)
        total = (wanted if recall else found).total()
        if not right:
            return None
        result.append(right / total)
    return result


def _brevity(reference, candidate):
    return min(1.0, math.exp(1 - len(reference) / len(candidate))) if candidate else 0.0


def _geometric(shares):
    return math.exp(sum(map(math.log, shares)) / len(shares)) if shares else 0.0


def _not_clipped(reference, candidate, max_order):
    return _geometric(_shares(reference, candidate, max_order, clipped=False)) * _brevity(reference, candidate)


def _share_of_reference(reference, candidate, max_order):
    return _geometric(_shares(reference, candidate, max_order, recall=True)) * _brevity(reference, candidate)


def _different_groups(reference, candidate, max_order):
    return _geometric(_shares(reference, candidate, max_order, different=True)) * _brevity(reference, candidate)


def _no_brevity(reference, candidate, max_order):
    return _geometric(_shares(reference, candidate, max_order))


def _length_without_limit(reference, candidate, max_order):
    shares = _shares(reference, candidate, max_order)
    return _geometric(shares) * math.exp(1 - len(reference) / len(candidate)) if shares else 0.0


def _length_exchanged(reference, candidate, max_order):
    shares = _shares(reference, candidate, max_order)
    return _geometric(shares) * min(1.0, math.exp(1 - len(candidate) / len(reference))) if shares else 0.0


def _arithmetic_mean(reference, candidate, max_order):
    shares = _shares(reference, candidate, max_order)
    return sum(shares) / max_order * _brevity(reference, candidate) if shares else 0.0


def _product_of_shares(reference, candidate, max_order):
    shares = _shares(reference, candidate, max_order)
    return math.prod(shares) * _brevity(reference, candidate) if shares else 0.0


def _longest_groups_only(reference, candidate, max_order):
    shares = _shares(reference, candidate, max_order)
    return shares[-1] * _brevity(reference, candidate) if shares else 0.0


def _check_bleu(trial):
    from kerasnotes.chapter09.bleu import bleu

    trial.equal('words alone: "the" stands in the reference twice', _CAT, ["the", "the", "the", "cat"], 1)
    trial.equal("words and pairs", _CAT, _LONG.split(), 2)
    trial.equal("up to four: none of four is right", _CAT, _LONG.split(), 4)
    trial.equal("a translation that is too short", _CAT, ["the", "cat", "is"], 3)
    trial.equal("one that is too long", ["the", "cat"], ["the", "cat", "is", "here"], 2)
    for length, written, order in ((8, 6, 2), (12, 15, 2), (20, 20, 3), (30, 18, 2)):
        reference, candidate = (["abc"[k] for k in trial.rng.integers(0, 3, size)] for size in (length, written))
        label = f"{written} words for {length}, of three different ones, groups of up to {order}"
        trial.equal(label, reference, candidate, order)
    got, want = trial.answer(reference, candidate, 3), bleu([[reference]], [candidate], 3)
    trial.check("equals the lesson's for one sentence", got=got, want=want)
    trial.check("the reference itself scores 1", got=trial.answer(_CAT, _CAT, 4), want=1.0)
    trial.check("an empty translation scores 0", got=trial.answer(_CAT, [], 4), want=0.0)


score = Write(
    title="BLEU of one sentence",
    lesson="chapter09.bleu",
    minutes=20,
    text=r"""Write BLEU = min(1, exp(1 − r/c)) · exp of the mean of $\ln p_1, …, \ln p_N$ for one sentence with one
reference. Here c and r count the words of translation and reference, and $p_n$ is the share of the
translation's groups of n neighbouring words that stand in the reference, where a group counts at most as
often as it stands there. If some $p_n$ is 0 (or there is no group of n words), the score is 0; so is that
of an empty translation.""",
    start='''import math
from collections import Counter


def bleu(reference, candidate, max_order):
    """BLEU of one translation, without smoothing.

    Args:
        reference: List of words.
        candidate: The translation, a list of words, which may be empty.
        max_order: N, the most words of a group.

    Returns:
        Float from 0 to 1.
    """
    ...
''',
    name="bleu",
    solution_code="""import math
from collections import Counter


def groups(words, n):
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def bleu(reference, candidate, max_order):
    logarithms = []
    for n in range(1, max_order + 1):
        found = groups(candidate, n)
        right = found & groups(reference, n)  # for each group the smaller one of both counts
        if not right:
            return 0.0
        logarithms.append(math.log(right.total() / found.total()))
    return min(1.0, math.exp(1 - len(reference) / len(candidate))) * math.exp(sum(logarithms) / max_order)
""",
    hints=(
        "Write a helper first that counts groups: "
        "`Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))`.",
        '`a & b` of two Counters takes the smaller count of each: that is "at most as often as it stands there".',
        "$p_n$ is the total of `found & wanted`, divided by the total of `found`; a Counter has `.total()`.",
        "Return 0.0 as soon as nothing is right. Else `min(1, math.exp(1 - r / c)) * math.exp(sum(logarithms) / N)`.",
    ),
    check=_check_bleu,
    wrong=(
        Wrong(
            _not_clipped, 'a group counts at most as often as it stands in the reference: "the the the" is not right'
        ),
        Wrong(
            _share_of_reference, "divided by the groups of the reference: p is a share of the *translation's* groups"
        ),
        Wrong(_different_groups, "different groups were counted: a group that is written twice counts twice"),
        Wrong(_no_brevity, "the factor for short translations is missing"),
        Wrong(_length_without_limit, "long translations are rewarded: the factor is at most 1"),
        Wrong(_length_exchanged, "r and c are exchanged: short translations are to lose, not long ones"),
        Wrong(_arithmetic_mean, "that is the arithmetic mean of the shares: the mean is taken of their logarithms"),
        Wrong(_product_of_shares, "the logarithms were summed: divide by N"),
        Wrong(_longest_groups_only, "only the longest groups count here: the mean goes over all lengths 1 to N"),
    ),
)

# --- 09.14 A decoder that reads the answer --------------------------------------------------------------------------

_FORCING = '''import numpy as np


def decoder_words(words, start, end):
    """What a decoder reads in training, and what it is to write at the same places.

    Args:
        words: Ids of the right translations (batch, length), with zeros behind the last word.
        start, end: Ids of the two tokens that stand for the beginning and the end.

    Returns:
        `(read, write)`: two integer arrays (batch, length + 1), with zeros where nothing is read or written any more.
    """
    count = (words != 0).sum(axis=1)  # words of each translation
    write = np.pad(words, ((0, 0), (0, 1)))  # one more column of zeros at the right
    write[np.arange(len(words)), count] = end  # directly behind the last word
{body}
'''


def _forced(words, end, behind=True):
    write = np.pad(words, ((0, 0), (0, 1)))
    if behind:
        write[np.arange(len(words)), (words != 0).sum(axis=1)] = end
    return write


def _shifted(words, start):
    read = np.pad(words, ((0, 0), (1, 0)))
    read[:, 0] = start
    return read


def _reads_the_answer(words, start, end):
    read = _forced(words, end)
    read[:, 0] = start
    return read, _forced(words, end)


def _reads_all_the_answer(words, start, end):
    return _forced(words, end), _forced(words, end)


def _reads_the_end(words, start, end):
    write = _forced(words, end)
    read = np.roll(write, 1, axis=1)
    read[:, 0] = start
    return read, write


def _reads_the_next(words, start, end):
    write = _forced(words, end)
    return np.pad(write[:, 1:], ((0, 0), (0, 1))), write


def _without_start(words, start, end):
    return np.pad(words, ((0, 0), (1, 0))), _forced(words, end)


def _without_end(words, start, end):
    return _shifted(words, start), _forced(words, end, behind=False)


def _end_in_the_last_column(words, start, end):
    write = _forced(words, end, behind=False)
    write[:, -1] = end
    return _shifted(words, start), write


def _two_late(words, start, end):
    read = np.pad(words, ((0, 0), (2, 0)))[:, :-1]
    read[:, :2] = start
    return read, _forced(words, end)


def _check_forcing(trial):
    trial.equal("the translations 5 6 7 and 8, start 2, end 3", np.array([[5, 6, 7], [8, 0, 0]]), 2, 3)
    for batch, length, start, end in ((1, 4, 1, 2), (4, 6, 30, 31), (6, 9, 2, 3)):
        words = trial.rng.integers(4, 30, (batch, length))
        for row, count in enumerate(trial.rng.integers(1, length + 1, batch)):
            words[row, count:] = 0
        trial.equal(f"{batch} translations of up to {length} words", words, start, end)
    read, write = trial.answer(words, start, end)
    label = "what is read at a place is what was to be written one place before"
    real = write[:, 1:] != 0
    trial.check(label, got=np.asarray(read)[:, 1:][real], want=np.asarray(write)[:, :-1][real])


forcing = Mend(
    title="A decoder that reads the answer",
    lesson="chapter09.encoder_decoder",
    minutes=10,
    text=r"""In training a decoder reads the right words: at every place the words *before* it, beginning with the start
token, and it is to write the word *at* that place, or the end token behind the last word. With this program
the training loss soon is lower than any translator's could be; but in use, where it reads its own words, the
decoder writes nonsense. Mend `decoder_words`; what is to be written is right.""",
    start=_FORCING.format(
        body="""    read = write.copy()  # teacher forcing: the right words
    read[:, 0] = start
    return read, write"""
    ),
    name="decoder_words",
    solution_code=_FORCING.format(
        body="""    read = np.pad(words, ((0, 0), (1, 0)))  # one column at the left: every word moves one place on
    read[:, 0] = start
    return read, write"""
    ),
    hints=(
        "Print both arrays for one translation, 5 6 7, below each other. What does the decoder read at the place where "
        "it is to write 6?",
        "It reads 6 itself. From the second place on it only has to copy, and in use there is nothing to copy from.",
        "It has to read start 5 6 7 and write 5 6 7 end. The word read is the one written one place before.",
        "`read = np.pad(words, ((0, 0), (1, 0)))` puts a column before the words; then `read[:, 0] = start`.",
    ),
    check=_check_forcing,
    wrong=(
        Wrong(_reads_the_answer, "the decoder still reads the word that it is to write"),
        Wrong(_reads_all_the_answer, "the decoder reads exactly what it is to write, from the first word on"),
        Wrong(_reads_the_end, "the end token is read: after it nothing is to be written, so it is never read"),
        Wrong(_reads_the_next, "moved the wrong way: the decoder reads the word *after* the one that it is to write"),
        Wrong(_without_start, "the start token is missing: the first place has a zero"),
        Wrong(_without_end, "the end token is missing from what is to be written: that part was right"),
        Wrong(_end_in_the_last_column, "the end token comes directly behind the last word, not in the last column"),
        Wrong(_two_late, "moved by two places: the word directly before is not read"),
    ),
)

TASKS = (
    forgetting,
    lstm,
    peepholes,
    back,
    gru,
    sizes,
    copying,
    perplexity,
    waves,
    feeding,
    scaling,
    cats,
    score,
    forcing,
)

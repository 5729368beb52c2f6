"""Gates that see the cell state can count: a closed output gate hides it from every other gate, a peephole does not.

The gates of Keras's LSTM read the input and the hidden state h = o tanh c. While the output gate is closed, h is zero,
and nothing that the cell has gathered can open it again. Peepholes let the gates read c itself. What the reader should
see: diagonal peepholes equal TensorFlow's cell with peepholes; a cell that counts steps opens its output gate at the
wanted step with a peephole, and never without.

Notes: chapter 09, "Peephole connections" (窥视孔连接).
Source: Gers and Schmidhuber 2000, doi:10.1109/IJCNN.2000.861302 (peepholes, and why);
https://www.tensorflow.org/api_docs/python/tf/raw_ops/LSTMBlockCell
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter09.lstm import lstm, lstm_step, peephole_lstm_step

SMOKE = {"steps": 12, "moment": 5}
SECONDS = 1


def peephole_lstm(x, w, u, b, peepholes, peephole="diagonal"):
    """A cell with peepholes at every step, from states of zero.

    Args:
        x: Inputs (batch, steps, inputs), at least one step.
        w, u, b, peepholes, peephole: As in `peephole_lstm_step`.

    Returns:
        `(states, cells)`: the outputs and the cell states after every step, each (batch, steps, units).

    Raises:
        ValueError: As `peephole_lstm_step`.
    """
    h = c = tf.zeros((tf.shape(x)[0], u.shape[0]), x.dtype)
    states, cells = [], []
    for t in range(x.shape[1]):
        h, c, _ = peephole_lstm_step(x[:, t], h, c, w, u, b, peepholes, peephole)
        states.append(h)
        cells.append(c)
    return tf.stack(states, axis=1), tf.stack(cells, axis=1)


def timer(moment, sharpness=200.0):
    """Weights of one unit that stays silent, counts its steps, and speaks from a given step on.

    The forget gate is open, and every step adds 0.1 to the cell state. The output gate is closed by its bias and opened
    by its peephole, once the cell state passes 0.1 (moment − ½).

    Args:
        moment: Step, counted from 1, at which the output gate opens.
        sharpness: Weight of the peephole; the larger, the more sudden the gate.

    Returns:
        `(w, u, b, peepholes)`: for one input that does not matter and one unit, peepholes (3, 1), float32.
    """
    w, u = tf.zeros((1, 4)), tf.zeros((1, 4))
    b = tf.constant([100.0, 100.0, np.arctanh(0.1), -sharpness * 0.1 * (moment - 0.5)], tf.float32)
    return w, u, b, tf.constant([[0.0], [0.0], [sharpness]])


def example():
    """One unit counts to five: with a peephole it speaks then, without one as in layers.LSTM it stays silent."""
    w, u, b, peepholes = timer(moment=5)
    x = tf.zeros((1, 8, 1))  # (batch, steps, inputs): eight steps without any news
    layer = keras.layers.LSTM(1, return_sequences=True)
    layer.build(x.shape)
    layer.set_weights([w, u, b])
    states, cells = peephole_lstm(x, w, u, b, peepholes)
    print("cell state     ", cells[0, :, 0].numpy().round(2))
    print("with a peephole", states[0, :, 0].numpy().round(2))
    print("layers.LSTM    ", layer(x)[0, :, 0].numpy().round(2))


def lesson(report, *, steps: int = 40, moment: int = 20, seed: int = 0):
    """Compare the cell with TensorFlow's, then let it count.

    Args:
        report: The report to write to.
        steps: Steps of the sequence (4 to 200).
        moment: Step at which the timer is to speak, at most `steps` (2 to 200).
        seed: Seed of all random draws (0 to 4294967295).
    """
    if moment > steps:
        raise ValueError(f"moment: expected at most steps = {steps}, got {moment!r}")
    _two_drawings(report, seed)
    _timer(report, steps, moment)


def _two_drawings(report, seed, inputs=3, units=5, batch=4):
    rng = np.random.default_rng(seed)
    shapes = [(batch, inputs), (batch, units), (batch, units), (inputs, 4 * units), (units, 4 * units), (4 * units,)]
    x, h, c, w, u, b = arguments = [tf.constant(rng.normal(size=each), tf.float32) for each in shapes]
    diagonal = tf.constant(rng.normal(size=(3, units)), tf.float32)
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
        x=x, cs_prev=c, h_prev=h, w=kernel, wci=diagonal[0], wcf=diagonal[1], wco=diagonal[2], b=columns(b),
        forget_bias=0.0, cell_clip=-1.0, use_peephole=True,
    )  # fmt: skip
    want = (new_h, new_c, {"input": i, "forget": f, "candidate": g, "output": o})
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


def _timer(report, steps, moment):
    w, u, b, peepholes = timer(moment)
    x = tf.zeros((1, steps, 1))
    states, cells = peephole_lstm(x, w, u, b, peepholes)
    numbers = np.arange(1, steps + 1)
    report.check("the cell state counts: 0.1 a step", got=cells[0, :, 0], want=0.1 * numbers, atol=1e-4)
    want = np.where(numbers < moment, 0.0, np.tanh(0.1 * numbers))
    label = f"with a peephole the output is 0 before step {moment} and tanh c from there on"
    report.check(label, got=states[0, :, 0], want=want, atol=1e-4)
    silent, _ = lstm(x, w, u, b)
    label = "without it the gate sees h = 0 at every step and never opens: largest output"
    report.at_most(label, tf.reduce_max(tf.abs(silent)), 1e-6)
    series = {"cell state": cells[0, :, 0], "output, peephole": states[0, :, 0], "output, none": silent[0, :, 0]}
    figure = plots.curves(numbers, series, xlabel="step", ylabel="state of one unit", title="A peephole can count")
    alt = f"A cell state that grows by 0.1 a step. With a peephole the output jumps from 0 to it at step {moment}; "
    report.figure("a cell that counts", figure, alt=alt + "without, it stays at 0.")

"""A gate at 0 or 1 erases or keeps exactly; a network that has learnt where speech begins empties a cell there.

A gate is a number between 0 and 1 that multiplies a state. What the reader should see: biases that hold the gates at
their limits make of the cell a memory that keeps, forgets or takes over without any loss; and in a network that reads a
novel and says whether somebody speaks, the forget gate of one unit empties the cell at quotation marks, and the cell
counts on while somebody speaks.

Notes: chapter 09, "Gates at work" (门的作用).
Source: Gers, Schmidhuber, Cummins 2000, doi:10.1162/089976600300015015; Karpathy, Johnson, Li 2015, arXiv:1506.02078
(cells that follow quotation marks).
"""

import re

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter09.lstm import LSTMCell, lstm, lstm_step

GATES = ("input", "forget", "candidate", "output")  # Keras's order; the candidate is no gate, but is packed with them

SMOKE = {"passages": 32, "epochs": 1, "units": 4}
SECONDS = 7


def gate_history(x, w, u, b):
    """What the gates of an LSTM do at every step, from states of zero.

    Args:
        x: Inputs (batch, steps, inputs), at least one step.
        w, u, b: Weights as in `lstm_step`; those of a `keras.layers.LSTM` are in this order.

    Returns:
        Dictionary of tensors (batch, steps, units): the activations "input", "forget", "candidate" and "output", and
        "cell state" after each step.

    Raises:
        ValueError: If a shape does not fit.
    """
    h = c = tf.zeros((x.shape[0], u.shape[0]), x.dtype)
    history = {name: [] for name in (*GATES, "cell state")}
    for t in range(x.shape[1]):
        h, c, gates = lstm_step(x[:, t], h, c, w, u, b)
        for name, values in history.items():
            values.append(c if name == "cell state" else gates[name])
    return {name: tf.stack(values, axis=1) for name, values in history.items()}


def example():
    """A layer of Keras's with weights set by hand: its one unit remembers the last marked number."""
    layer = keras.layers.LSTM(1, return_sequences=True)
    layer.build((None, None, 2))  # inputs: a number, and a marker that says when to take it over
    w = tf.constant([[0.0, 0.0, 1.0, 0.0], [200.0, -200.0, 0.0, 0.0]])  # to input, forget, candidate, output
    u, b = tf.zeros((1, 4)), tf.constant([-100.0, 100.0, 0.0, 100.0])  # without a marker: nothing in, all kept
    layer.set_weights([w, u, b])
    x = tf.constant([[[0.3, 1.0], [0.0, 0.0], [0.9, 0.0], [-0.5, 1.0], [0.7, 0.0]]])
    print("numbers        ", x[0, :, 0].numpy())
    print("markers        ", x[0, :, 1].numpy())
    print("layers.LSTM    ", layer(x)[0, :, 0].numpy())
    for name, values in gate_history(x, w, u, b).items():
        print(f"{name:15}", values[0, :, 0].numpy().round(3))


def lesson(report, *, passages: int = 1200, epochs: int = 12, units: int = 16, seed: int = 0):
    """Hold the gates at their limits by hand, then watch them in a network that reads a novel.

    Args:
        report: The report to write to.
        passages: Passages of the novel to train on (32 to 2000).
        epochs: Training epochs (1 to 1000).
        units: Units of the trained network (2 to 512).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _extremes(report, seed)
    _who_speaks(report, passages, epochs, units, seed)


def _extremes(report, seed, inputs=3, units=5, batch=4, steps=7):
    """Biases of ±10000 drive a sigmoid to exactly 0 or 1 in float32."""
    rng = np.random.default_rng(seed)
    shapes = [(batch, steps, inputs), (inputs, 4 * units), (units, 4 * units), (batch, units), (batch, units)]
    x, w, u, h, c = (tf.constant(rng.normal(size=each), tf.float32) for each in shapes)
    for name, open_gates, want in (
        ("forget gate 1, input gate 0: the cell state is kept exactly", {"forget"}, c),
        ("forget gate 0, input gate 0: it is erased exactly", set(), tf.zeros_like(c)),
        ("forget gate 0, input gate 1: it is replaced by the candidate, 1", {"input", "candidate"}, tf.ones_like(c)),
    ):
        b = tf.repeat([1e4 if gate in open_gates else -1e4 for gate in GATES], units)
        _, (_, last) = lstm(x, w, u, b, (h, c))
        report.check(name, got=last, want=want, rtol=0, atol=0)


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
    seen = gate_history(tf.convert_to_tensor(embedding(ids)), *weights)
    history = {name: values[0].numpy().T for name, values in seen.items()}  # (units, steps)
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
    top.set_title("The forget gate of one unit empties the cell at quotation marks")
    bottom.grid(False, axis="x")
    top.grid(False, axis="x")
    report.figure(
        "gates over a sentence",
        figure,
        alt="Cell state and gates of one unit over a passage of the novel: the forget gate falls to zero at quotation "
        "marks and is higher in between; the cell state tells speech from narration.",
    )

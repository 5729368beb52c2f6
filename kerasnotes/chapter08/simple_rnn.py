"""A recurrent network is one cell with one set of weights, used again at every step.

What the reader should see: the loop is all there is. Ours, a loop over Keras's cell and Keras's layer give the same
states and gradients, and the number of weights does not depend on the number of steps. What the network does depends
on where inputs go in and where outputs are read: the same cell classifies, spells, reads and adds.

Notes: chapter 08, "Simple recurrent network" (简单循环神经网络).
Source: Elman 1990, doi:10.1207/s15516709cog1402_1; Goodfellow et al. 2016, https://www.deeplearningbook.org, section
10.2.
"""

import keras
import numpy as np
import tensorflow as tf
from matplotlib.patches import FancyBboxPatch

from kerasnotes import plots, training
from kerasnotes.parts import shape, whole

SHAPES = ("one to one", "one to many", "many to one", "many to many")
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

SMOKE = {"steps": 1, "units": 4, "long": 12}
SECONDS = 5


def rnn_step(x_t, h, w_xh, w_hh, b):
    """One step of the cell: the new state from the input and the old state.

    Args:
        x_t: Input of this step (batch, inputs).
        h: State after the step before (batch, units).
        w_xh: Weights from input to state (inputs, units).
        w_hh: Weights from state to state (units, units).
        b: Biases (units,).

    Returns:
        Tensor (batch, units), the new state, between -1 and 1.
    """
    inputs, units = x_t.shape[-1], shape("h", h, x_t.shape[0], None).shape[1]
    for name, weights, *sizes in (("w_xh", w_xh, inputs, units), ("w_hh", w_hh, units, units), ("b", b, units)):
        shape(name, weights, *sizes)
    return tf.tanh(tf.matmul(x_t, w_xh) + tf.matmul(h, w_hh) + b)  # (batch, units)


def rnn(x, h0, w_xh, w_hh, b):
    """The cell at every step, always with the same weights.

    Args:
        x: Inputs (batch, steps, inputs); the number of steps is known, and at least one.
        h0: State before the first step (batch, units).
        w_xh, w_hh, b: As in `rnn_step`.

    Returns:
        Tensor (batch, steps, units), the state after every step.
    """
    if len(x.shape) != 3 or not x.shape[1]:
        raise ValueError(f"x: expected the shape (batch, steps, inputs), steps known and > 0, got {tuple(x.shape)}")
    h, states = shape("h0", h0, x.shape[0], None), []
    for t in range(x.shape[1]):
        h = rnn_step(x[:, t], h, w_xh, w_hh, b)
        states.append(h)
    return tf.stack(states, axis=1)


class SimpleRNN(keras.layers.Layer):
    """Our layer: a loop over one `keras.layers.SimpleRNNCell`, from a state of zeros.

    Args:
        units: Size of the state.
        return_sequences: True gives the state after every step (batch, steps, units), False the last (batch, units).
    """

    def __init__(self, units, return_sequences=False, **kwargs):
        super().__init__(**kwargs)
        self.cell = keras.layers.SimpleRNNCell(whole("units", units), dtype=self.dtype_policy)
        self.return_sequences = return_sequences

    def build(self, input_shape):
        self.cell.build((input_shape[0], input_shape[-1]))

    def call(self, x):
        if len(x.shape) != 3 or not x.shape[1]:
            raise ValueError(f"x: expected the shape (batch, steps, inputs), steps known and > 0, got {tuple(x.shape)}")
        h, states = tf.zeros((tf.shape(x)[0], self.cell.units), x.dtype), []
        for t in range(x.shape[1]):
            h, _ = self.cell(x[:, t], [h])
            states.append(h)
        return tf.stack(states, axis=1) if self.return_sequences else h


def output_sequence(states, w_ho):
    """An output at every step: states (batch, steps, units) times w_ho (units, outputs) are (batch, steps, outputs)."""
    shape("w_ho", w_ho, shape("states", states, None, None, None).shape[2], None)
    return tf.tensordot(states, w_ho, axes=1)


def build_network(shape, inputs, outputs, units, steps=None):
    """One cell in one of the four input-output shapes, with a dense layer that reads the state.

    Args:
        shape: One of `SHAPES`.
        inputs, outputs, units: Sizes of an input, an output and the state.
        steps: How many outputs "one to many" gives; the others take any number of steps.

    Returns:
        Keras model. "one" is (batch, inputs) or (batch, outputs), "many" (batch, steps, …). Outputs are logits.
    """
    if shape not in SHAPES:
        raise ValueError(f"shape: expected one of {', '.join(SHAPES)}, got {shape!r}")
    if shape == "one to many" and not steps:
        raise ValueError(f"steps: expected at least 1 for one to many, got {steps!r}")
    takes, gives = shape.split(" to ")
    x = sequence = keras.Input((inputs,) if takes == "one" else (None, inputs))
    if takes == "one":  # the only input stands at the first step; then the cell runs on its memory alone
        sequence = keras.layers.Reshape((1, inputs))(x)
        if gives == "many":
            sequence = keras.layers.ZeroPadding1D((0, steps - 1))(sequence)
    states = keras.layers.SimpleRNN(units, return_sequences=gives == "many")(sequence)
    return keras.Model(x, keras.layers.Dense(outputs)(states))


def example():
    """The cell in a loop, as the course writes it; Keras's layer and ours on the same weights."""
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 6, 3)), tf.float32)  # (batch, steps, inputs)
    cell = keras.layers.SimpleRNNCell(4)
    h = [tf.zeros((2, 4))]
    for x_t in tf.unstack(x, axis=1):
        out, h = cell(x_t, h)
    print("a loop over SimpleRNNCell:", out[0].numpy())
    layer = keras.layers.SimpleRNN(4, return_sequences=True)
    layer.build(x.shape)
    layer.set_weights(cell.get_weights())
    print("SimpleRNN, last step:     ", layer(x)[0, -1].numpy())
    weights = [weight.value for weight in cell.weights]  # w_xh, w_hh, b
    print("by hand:                  ", rnn(x, tf.zeros((2, 4)), *weights)[0, -1].numpy())


def lesson(report, *, steps: int = 300, units: int = 32, learning_rate: float = 0.01, long: int = 64, seed: int = 0):
    """Build the cell, match it with Keras, then let it classify, spell, read and add.

    Args:
        report: The report to write to.
        steps: Training steps for each of the four tasks (1 to 100000).
        units: Size of the state in the four tasks (1 to 1024).
        learning_rate: Learning rate of Adam (0.00001 to 1).
        long: Bits of the long sums that test the adder, trained on 8 bits (9 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _same_cell(report, seed)
    _four_shapes(report, steps, units, learning_rate, long, seed)


def _same_cell(report, seed, batch=2, length=6, inputs=3, units=5):
    rng = np.random.default_rng(seed)
    x, upstream = (tf.constant(rng.normal(size=(batch, length, size)), tf.float32) for size in (inputs, units))
    layer, ours = keras.layers.SimpleRNN(units, return_sequences=True), SimpleRNN(units, return_sequences=True)
    layer.build(x.shape)
    ours.build(x.shape)
    shared = [rng.normal(size=sizes).astype(np.float32) / 2 for sizes in ((inputs, units), (units, units), (units,))]
    layer.set_weights(shared)
    ours.set_weights(shared)
    variables = [tf.Variable(weights) for weights in shared]
    results = []
    for model, weights in (
        (lambda x: rnn(x, tf.zeros((batch, units)), *variables), variables),
        (ours, [weight.value for weight in ours.weights]),
        (layer, [weight.value for weight in layer.weights]),
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            states = model(x)  # (batch, steps, units)
            value = tf.reduce_sum(upstream * states)
        results.append({"states": states, "gradients": tape.gradient(value, [x, *weights])})
    by_hand, over_cell, keras_layer = results
    report.check("by hand equals Keras's layer: states and gradients", by_hand, keras_layer, atol=1e-5)
    report.check("a loop over Keras's cell, too", over_cell, keras_layer, atol=1e-5)
    ours.return_sequences = layer.return_sequences = False
    report.check("the last state alone", ours(x), layer(x), atol=1e-5)
    dense = keras.layers.Dense(4, use_bias=False)
    outputs = dense(keras_layer["states"])
    report.check("outputs at every step equal Keras's Dense", output_sequence(by_hand["states"], dense.kernel), outputs)
    lengths = (1, 6, 50)
    shapes = [ours(tf.ones((batch, steps, inputs))).shape.as_list() for steps in lengths]
    report.check("1, 6 and 50 steps run through the same layer", shapes, [[batch, units]] * len(lengths))
    report.check("which still has m·n + n² + n weights", ours.count_params(), inputs * units + units**2 + units)


def _letters(texts, length):
    """Letters as numbers 0 to 25, the end of a word as 26: (texts, length)."""
    return np.array([["abcdefghijklmnopqrstuvwxyz ".index(letter) for letter in text.ljust(length)] for text in texts])


def _sums(rng, samples, bits):
    """Two numbers and their sum, lowest bit first: (samples, bits, 2) and (samples, bits, 1)."""
    x = rng.integers(0, 2, size=(samples, bits, 2))
    y, carry = np.empty((samples, bits, 1)), np.zeros(samples, int)
    for t in range(bits):
        total = x[:, t].sum(axis=1) + carry
        y[:, t, 0], carry = total % 2, total // 2
    return x.astype(np.float32), y


def _four_shapes(report, steps, units, learning_rate, long, seed, batch_size=32):
    rng = np.random.default_rng(seed)
    pairs = np.float32([[0, 0], [0, 1], [1, 0], [1, 1]])
    length = max(map(len, NAMES)) + 1
    spelled, digits = _letters(NAMES, length), np.arange(10)
    data = {
        "one to one": (pairs, np.float32([[0], [1], [1], [0]])),
        "one to many": (np.eye(10, dtype=np.float32), spelled),
        "many to one": (np.eye(27, dtype=np.float32)[spelled], digits),
        "many to many": _sums(rng, 1000, 8),
    }
    models = {}
    for number, (name, (x, y)) in enumerate(report.track(list(data.items()), "four tasks")):
        classes = {"one to many": 27, "many to one": 10}.get(name)
        keras.utils.set_random_seed((seed + number) % 2**32)
        model = models[name] = build_network(name, x.shape[-1], classes or 1, units, length)
        loss = keras.losses.SparseCategoricalCrossentropy if classes else keras.losses.BinaryCrossentropy
        model.compile(keras.optimizers.Adam(learning_rate), loss(from_logits=True))
        drawn = rng.integers(len(x), size=steps * batch_size)
        training.fit(model, x[drawn], y[drawn], batch_size=batch_size, shuffle=False, form="loop")

    xor = models["one to one"](pairs).numpy()[:, 0] > 0
    report.check("one to one: exclusive or, cases right of 4", int(np.sum(xor == [0, 1, 1, 0])), 4, trained=True)
    written = models["one to many"](data["one to many"][0]).numpy().argmax(axis=-1)  # (10, length)
    spellings = int(np.sum(np.all(written == spelled, axis=1)))
    report.check("one to many: names spelled right of 10", spellings, 10, trained=True)
    read = models["many to one"](data["many to one"][0]).numpy().argmax(axis=-1)  # (10,)
    report.check("many to one: names read right of 10", int(np.sum(read == digits)), 10, trained=True)
    x, y = _sums(rng, 500, long)
    added = models["many to many"](x).numpy() > 0  # (500, long, 1)
    label = f"many to many: share of right bits in new sums of {long} bits, trained on 8"
    report.at_least(label, np.mean(added == y), 0.99, trained=True)
    rows = [
        ["one to one", "two bits", "are they different?", f"{np.sum(xor == [0, 1, 1, 0])} of 4"],
        ["one to many", "a digit", "the letters of its name", f"{spellings} of 10"],
        ["many to one", "the letters of a name", "the digit", f"{np.sum(read == digits)} of 10"],
        ["many to many", "bits of two numbers", "bits of their sum", f"{np.sum(np.all(added == y, axis=1))} of 500"],
    ]
    report.table(f"The same cell in four shapes ({long}-bit sums)", ["shape", "in", "out", "answers right"], rows)
    report.note(
        "One to one needs no memory: with a single step the cell is a dense layer, the hidden one for exclusive or."
    )

    bits = np.float32([[1, 0], [1, 1], [0, 1], [1, 0], [0, 0]])  # 11 + 6, lowest bit first
    total = (models["many to many"](bits[np.newaxis]).numpy()[0, :, 0] > 0).astype(int)
    letters = "abcdefghijklmnopqrstuvwxyz·"
    columns = {
        "one to one: are the bits different?": (["1, 0"], [str(int(xor[2]))]),
        "one to many: spell the digit": (["7", *[""] * (length - 1)], [letters[number] for number in written[7]]),
        "many to one: read the word": ([*"three", "·"], [*[""] * (length - 1), str(read[3])]),
        "many to many: add 11 and 6": ([f"{a:.0f}+{b:.0f}" for a, b in bits], [str(bit) for bit in total]),
    }
    report.figure(
        "Four shapes of one cell",
        _draw(columns),
        alt="Four diagrams of the unrolled cell, inputs below, states in the middle, outputs above. The trained "
        f"networks answer: {'; '.join(name + ' ' + ''.join(out) for name, (_, out) in columns.items())}.",
    )


def _draw(columns):
    figure, axes = plots.subplots(2, 2, figsize=(11, 6.4))
    arrow = {"arrowstyle": "-|>", "color": "#595959", "linewidth": 1.8}
    for ax, (title, texts) in zip(axes.flat, columns.items(), strict=True):
        steps = len(texts[0])
        shift = (6 - steps) / 2
        for t, (below, above) in enumerate(zip(*texts, strict=True)):
            left = t + shift
            ax.add_patch(FancyBboxPatch((left + 0.2, 0.8), 0.6, 0.4, "round,pad=0.05", fc="#a2c8ec", ec="#006ba4"))
            ax.text(left + 0.5, 1, f"$h_{t + 1}$", ha="center", va="center", fontsize=15)
            if t + 1 < steps:
                ax.annotate("", (left + 1.15, 1), (left + 0.85, 1), arrowprops=arrow)
            for text, start, end, place, colour in (
                (below, 0.35, 0.75, 0.15, "black"),
                (above, 1.25, 1.65, 1.85, "#c85200"),
            ):
                if text:
                    ax.annotate("", (left + 0.5, end), (left + 0.5, start), arrowprops=arrow)
                    ax.text(left + 0.5, place, text, ha="center", va="center", fontsize=18, color=colour, weight="bold")
        ax.set(xlim=(0, 6), ylim=(0, 2.05))
        ax.set_axis_off()
        ax.set_title(title)
    return figure

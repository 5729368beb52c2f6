"""Back-propagation through an LSTM by hand equals the tape; compiled by XLA it is faster, as weights wait till the end.

The tape adds to the weights' gradient at every step back. By hand it is enough to collect, step by step, the gradient
of the four sums before the activations; one matrix product over all steps then gives the weights' gradient, just as
one product gave the inputs' part of the sums on the way forward. What the reader should see: the same numbers as the
tape and as Keras, in a layer that takes the place of `layers.LSTM`, and what it saves under XLA. Without XLA it saves
nothing (`benchmarks/lstm.py`): many small operations cost more than the products that they spare.

Notes: chapter 09, "Back-propagation through an LSTM" (LSTM的反向传播).
Source: Graves and Schmidhuber 2005, Framewise phoneme classification with bidirectional LSTM (full gradient);
Appleyard, Kocisky, Blunsom 2016, arXiv:1604.01946 (one product for all steps);
https://www.tensorflow.org/api_docs/python/tf/custom_gradient
"""

import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter09.lstm import lstm

SMOKE = {"steps": 4, "units": 3, "batch_size": 2, "updates": 2, "rounds": 1}
SECONDS = 16


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
    _expect_shapes(x, w, u, b, h0, c0, mask)
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


def fast_lstm(x, w, u, b, initial_state=None, mask=None):
    """An LSTM whose gradient is `lstm_backward`: the numbers of `lstm`, for compiled training on a CPU.

    Args:
        x, w, u, b, mask: As in `lstm_forward`.
        initial_state: `(h, c)`, each (batch, units), or None for zeros.

    Returns:
        `(states, (h, c))` as `lstm`.

    Raises:
        ValueError: If a shape does not fit.
    """
    if initial_state is None:
        initial_state = (tf.zeros((tf.shape(x)[0], u.shape[0]), x.dtype),) * 2
    keep = mask  # no gradient goes to the mask

    @tf.custom_gradient
    def run(x, w, u, b, h0, c0):
        outputs, (h, c), saved = lstm_forward(x, w, u, b, h0, c0, keep)

        def backward(d_outputs, d_h, d_c):
            gradients = lstm_backward(saved, w, u, d_outputs, d_h, d_c)
            return [gradients[name] for name in ("x", "w", "u", "b", "h0", "c0")]

        return (outputs, h, c), backward

    outputs, h, c = run(*(tf.convert_to_tensor(each) for each in (x, w, u, b, *initial_state)))
    return outputs, (h, c)


@keras.saving.register_keras_serializable(package="kerasnotes")  # so that layers.Bidirectional can copy it
class FastLSTM(keras.layers.LSTM):
    """`keras.layers.LSTM` with `fast_lstm` inside: same arguments, weights, masks, states and results.

    Raises:
        ValueError: For what `fast_lstm` does not know: dropout, other activations, no biases, unrolling.
    """

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        config = self.get_config()
        for name, value in (("activation", "tanh"), ("recurrent_activation", "sigmoid"), ("use_bias", True),
                            ("dropout", 0.0), ("recurrent_dropout", 0.0), ("unroll", False)):  # fmt: skip
            if config[name] != value:
                raise ValueError(f"{name}: expected {value!r} for FastLSTM, got {config[name]!r}")

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """What `layers.LSTM` calls for the loop over the steps. Returns `(last output, outputs, states)`."""
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        if self.go_backwards:
            sequences, mask = tf.reverse(sequences, [1]), None if mask is None else tf.reverse(mask, [1])
        weights = [tf.convert_to_tensor(weight) for weight in self.cell.weights]
        outputs, states = fast_lstm(sequences, *weights, initial_state, mask)
        return outputs[:, -1], outputs, list(states)


def _steps_first(tensor):
    return tf.transpose(tensor, (1, 0, *range(2, len(tensor.shape))))


def _product(sequences, matrix):
    """(steps, batch, n) times (n, m) as one matrix product."""
    flat = tf.reshape(sequences, (-1, sequences.shape[-1])) @ matrix
    return tf.reshape(flat, (*tf.unstack(tf.shape(sequences)[:2]), matrix.shape[1]))


def _expect_shapes(x, w, u, b, h0, c0, mask):
    if len(x.shape) != 3 or x.shape[1] == 0:
        raise ValueError(f"x: expected the shape (batch, steps, inputs) with steps > 0, got {tuple(x.shape)}")
    inputs, units, batch = x.shape[-1], u.shape[0], x.shape[0]
    wanted = {"w": (inputs, 4 * units), "u": (units, 4 * units), "b": (4 * units,)}
    wanted.update({"h0": (batch, units), "c0": (batch, units)})
    for (name, shape), tensor in zip(wanted.items(), (w, u, b, h0, c0), strict=True):
        if not tensor.shape.is_compatible_with(shape):
            raise ValueError(f"{name}: expected the shape {shape}, got {tuple(tensor.shape)}")
    if mask is not None and not mask.shape.is_compatible_with(x.shape[:2]):
        raise ValueError(f"mask: expected the shape {tuple(x.shape[:2])}, (batch, steps), got {tuple(mask.shape)}")


def lesson(
    report,
    *,
    steps: int = 64,
    units: int = 128,
    batch_size: int = 64,
    updates: int = 20,
    rounds: int = 5,
    seed: int = 0,
):
    """Compare the gradients with the tape's and with finite differences, train the layer, and time it.

    Args:
        report: The report to write to.
        steps: Steps of the sequences that are timed (2 to 1000).
        units: Units of the network that is timed (2 to 1024).
        batch_size: Sequences in a batch (1 to 4096).
        updates: Training steps compared and timed in each round (1 to 1000).
        rounds: Alternating rounds of timing (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    norms = _parity(report, seed)
    times = _race(report, steps, units, batch_size, updates, rounds, seed)
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1.2, 1))
    series = dict(zip(("input gate", "forget gate", "candidate", "output gate"), norms, strict=True))
    plots.curves(
        np.arange(1, len(norms[0]) + 1), series, xlabel="step", ylabel="norm of the sum's gradient", yscale="log",
        title="The loss stands at the last step;\nits gradient walks back", ax=left,
    )  # fmt: skip
    right.barh(list(times), list(times.values()), color=["C0", "C1", "C1"])
    right.invert_yaxis()
    right.set(xlabel="ms a training step, median")
    right.set_title(f"LSTM({units}), {steps} steps,\nbatch {batch_size}")
    report.figure(
        "back through the gates",
        figure,
        alt="Left: norms of the gradient of the four sums, falling from the last step to the first. Right: time of a "
        "training step of Keras's layer and of ours.",
    )


def _parity(report, seed, inputs=3, units=4, batch=3, steps=40):
    rng = np.random.default_rng(seed)
    shapes = [(batch, steps, inputs), (inputs, 4 * units), (units, 4 * units), (4 * units,), *[(batch, units)] * 2]
    x, w, u, b, h, c = sources = [tf.constant(rng.normal(size=shape) / 2, tf.float64) for shape in shapes]
    mask = tf.constant(rng.random((batch, steps)) < 0.8)
    weighting = tf.constant(rng.normal(size=(batch, steps, units)))

    def results(run, mask):
        with tf.GradientTape() as tape:
            tape.watch(sources)
            outputs, (last_h, last_c) = run(x, w, u, b, (h, c), mask)
            loss = tf.reduce_sum(outputs * weighting) + tf.reduce_sum(tf.sin(last_h)) + tf.reduce_sum(last_c**2)
        return [outputs, last_h, last_c, *tape.gradient(loss, sources)]

    for name, chosen in (("", None), (" under a mask", mask)):
        ours, tape = results(fast_lstm, chosen), results(lstm, chosen)
        label = f"outputs, states and six gradients by hand equal the tape's{name}"
        report.check(label, got=ours, want=tape, rtol=1e-10, atol=1e-12)

    keras_layer = keras.layers.LSTM(units, return_sequences=True, return_state=True)
    fast = FastLSTM(units, return_sequences=True, return_state=True)
    single = [tf.cast(each, tf.float32) for each in (x, h, c)]
    both = []
    for layer in (fast, keras_layer):
        layer.build(x.shape)
        layer.set_weights([w, u, b])
        variables = [weight.value for weight in layer.weights]
        with tf.GradientTape() as tape:
            tape.watch(single)
            values = layer(single[0], initial_state=single[1:], mask=mask)
            loss = tf.add_n([tf.reduce_sum(tf.sin(value)) for value in values])
        both.append([*values, *tape.gradient(loss, [*single, *variables])])
    report.check("FastLSTM equals layers.LSTM: outputs, states, gradients", got=both[0], want=both[1], atol=1e-5)

    _, _, saved = lstm_forward(x, w, u, b, h, c)
    direction = tf.constant(rng.normal(size=u.shape))

    def loss_at(distance):
        outputs, _, _ = lstm_forward(x, w, u + distance * direction, b, h, c)
        return tf.reduce_sum(outputs[:, -1])

    at_end = tf.one_hot([steps - 1] * batch, steps, dtype=tf.float64)[..., None] * tf.ones(units, tf.float64)
    gradients = lstm_backward(saved, w, u, at_end, tf.zeros_like(h), tf.zeros_like(c))
    got = tf.reduce_sum(gradients["u"] * direction)
    want = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
    report.check("along a random direction of u it is the central difference", got=got, want=want, rtol=1e-6)

    start = tf.zeros((1, steps, 4 * units), tf.float64)  # an addition to the four sums of every step
    with tf.GradientTape() as tape:
        tape.watch(start)
        added = tf.concat([x[:1], start], axis=-1)
        outputs, _ = lstm(added, tf.concat([w, tf.eye(4 * units, dtype=tf.float64)], axis=0), u, b, (h[:1], c[:1]))
        loss = tf.reduce_sum(outputs[:, -1])
    d_sums = tape.gradient(loss, start)[0]  # (steps, 4 units)
    return [np.linalg.norm(part, axis=1) for part in np.split(d_sums.numpy(), 4, axis=1)]


def _race(report, steps, units, batch_size, updates, rounds, seed):
    """Train the same network with Keras's layer and ours, each in two ways; alternate, and take medians."""
    text = np.frombuffer(data.novel().encode("ascii", "replace"), np.uint8) % 64
    rng = np.random.default_rng((seed, 1))
    starts = rng.integers(len(text) - steps - 1, size=(updates, batch_size))
    windows = tf.constant(text[starts[..., None] + np.arange(steps + 1)].astype(np.int32))
    losses, compiled, plain = {}, {}, None
    for name, layer in (("layers.LSTM", keras.layers.LSTM), ("FastLSTM", FastLSTM)):
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([
            keras.Input((steps,), dtype="int32"),
            keras.layers.Embedding(64, units),
            layer(units, return_sequences=True),
            keras.layers.Dense(64),
        ])  # fmt: skip
        optimizer = keras.optimizers.Adam(1e-3)
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
        optimizer.build(model.trainable_variables)
        step = tf.function(tf.autograph.experimental.do_not_convert(model.train_step), jit_compile=True)
        losses[name] = []
        for window in windows:
            model.reset_metrics()
            losses[name].append(float(step((window[:, :-1], window[:, 1:]))["loss"]))
        compiled[f"{name}, one compiled step"] = step
        plain = model if layer is keras.layers.LSTM else plain
    label = f"trained for {updates} steps, the loss before each step equals that with layers.LSTM"
    report.check(label, got=losses["FastLSTM"], want=losses["layers.LSTM"], rtol=1e-3)

    x, y = (tf.reshape(part, (-1, steps)) for part in (windows[..., :-1], windows[..., 1:]))
    contestants = {"layers.LSTM, fit": lambda: plain.fit(x, y, batch_size, verbose=0, shuffle=False)}
    for name, step in compiled.items():
        contestants[name] = lambda step=step: [step((window[:, :-1], window[:, 1:])) for window in windows]
    times = {name: [] for name in contestants}
    for number in report.track(range(rounds + 1), "timing"):
        for name, run in contestants.items():
            begin = time.perf_counter()
            run()
            if number:  # the first round compiles
                times[name].append(1000 * (time.perf_counter() - begin) / updates)
    medians = {name: statistics.median(values) for name, values in times.items()}
    columns = ["way", "ms a step, median", "ms a step, least"]
    rows = [[name, medians[name], min(values)] for name, values in times.items()]
    report.table(f"LSTM({units}) over {steps} steps, batch {batch_size}, {rounds} alternating rounds", columns, rows)
    return medians

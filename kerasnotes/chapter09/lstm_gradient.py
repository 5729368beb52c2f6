"""A layer with a gradient of its own takes the place of `layers.LSTM`: same numbers, and hardly any time to win.

`tf.custom_gradient` hands TensorFlow a function together with its backward pass, so that the tape need not record the
steps. What the reader should see: the layer equals Keras's in outputs, states, gradients and every loss of a training;
and what a backward pass by hand is worth in time, with each layer compiled by TensorFlow's graph and by XLA
(`benchmarks/lstm.py` has more ways). No speed is promised: products of matrices take most of the time, and both layers
need them all.

Notes: chapter 09, "A layer with its own gradient" (自定义梯度的层).
Source: Appleyard, Kocisky, Blunsom 2016, arXiv:1604.01946 (one product for all steps);
https://www.tensorflow.org/api_docs/python/tf/custom_gradient
"""

import statistics
import time
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter09.backward_pass import lstm_backward, lstm_forward
from kerasnotes.chapter09.lstm import lstm

SMOKE = {"steps": 4, "units": 3, "batch_size": 2, "updates": 2, "rounds": 1, "ways": ("graph",)}
SECONDS = 16


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
        ValueError: For what `fast_lstm` does not know: dropout, other activations, no biases, unrolling, cuDNN.
    """

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        config = {**self.get_config(), "use_cudnn": self.use_cudnn}
        for name, known in (("activation", "tanh"), ("recurrent_activation", "sigmoid"), ("use_bias", True),
                            ("dropout", 0.0), ("recurrent_dropout", 0.0), ("unroll", False),
                            ("use_cudnn", "auto")):  # fmt: skip
            if config[name] != known and (name, config[name]) != ("use_cudnn", False):
                raise ValueError(
                    f"{name}: expected {known!r} for FastLSTM, got {config[name]!r}; keras.layers.LSTM has the others"
                )

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """What `layers.LSTM` calls for the loop over the steps. Returns `(last output, outputs, states)`."""
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        mask = mask if mask is None or len(mask.shape) == 2 else mask[..., 0]  # Keras takes (batch, steps, 1) as well
        if self.go_backwards:
            sequences, mask = tf.reverse(sequences, [1]), None if mask is None else tf.reverse(mask, [1])
        weights = [tf.convert_to_tensor(weight) for weight in self.cell.weights]
        outputs, states = fast_lstm(sequences, *weights, initial_state, mask)
        if mask is not None and self.zero_output_for_mask:  # layers.Bidirectional asks for it
            outputs = tf.where(tf.cast(mask, tf.bool)[..., None], outputs, tf.zeros_like(outputs))
        return outputs[:, -1], outputs, list(states)


def example():
    """One loss with layers.LSTM and with FastLSTM in its place, and its gradient."""
    x = tf.random.stateless_normal((2, 6, 3), seed=(0, 0))  # (batch, steps, inputs)
    layer, fast = keras.layers.LSTM(4), FastLSTM(4)
    layer.build(x.shape)
    fast.build(x.shape)
    fast.set_weights(layer.get_weights())
    for each in (layer, fast):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(each(x) ** 2)
        gradient = tape.gradient(loss, each.trainable_variables)[1]  # of the recurrent matrix
        print(f"{type(each).__name__:8} loss {float(loss):.6f}, gradient {gradient[0, :4].numpy()}")


def lesson(
    report,
    *,
    steps: int = 64,
    units: int = 128,
    batch_size: int = 64,
    updates: int = 20,
    rounds: int = 5,
    ways: tuple[str, ...] = ("graph", "xla"),
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
        ways: How a training step is compiled (one of: graph, xla).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _parity(report, seed)
    times = _race(report, steps, units, batch_size, updates, rounds, ways, seed)
    figure, ax = plots.subplots(figsize=(7, 3.6))
    ax.barh(list(times), list(times.values()), color=["C1" if "Fast" in name else "C0" for name in times])
    ax.invert_yaxis()
    ax.set(xlabel="ms a training step, median")
    ax.set_title(f"LSTM({units}), {steps} steps, batch {batch_size}")
    alt = "Time of a training step of Keras's layer and of ours, in TensorFlow's graph and under XLA."
    report.figure("time of a training step", figure, alt=alt)


def _parity(report, seed, inputs=3, units=4, batch=3, steps=40):
    rng = np.random.default_rng(seed)
    shapes = [(batch, steps, inputs), (inputs, 4 * units), (units, 4 * units), (4 * units,), *[(batch, units)] * 2]
    x, w, u, b, h, c = sources = [tf.constant(rng.normal(size=shape) / 2, tf.float64) for shape in shapes]
    mask = tf.constant(rng.random((batch, steps)) < 0.8)

    def results(run, watched):
        with tf.GradientTape() as tape:
            tape.watch(watched)
            values = tf.nest.flatten(run())
            loss = tf.add_n([tf.reduce_sum(tf.sin(value)) for value in values])
        return [*values, *tape.gradient(loss, watched)]

    for name, chosen in (("", None), (" under a mask", mask)):
        runs = [partial(run, x, w, u, b, (h, c), chosen) for run in (fast_lstm, lstm)]
        ours, tape = (results(run, sources) for run in runs)
        label = f"fast_lstm and its gradients equal those of the plain steps{name}"
        report.check(label, got=ours, want=tape, rtol=1e-10, atol=1e-12)
    single, both = [tf.cast(each, tf.float32) for each in (x, h, c)], []
    for kind in (FastLSTM, keras.layers.LSTM):
        layer = kind(units, return_sequences=True, return_state=True)
        layer.build(x.shape)
        layer.set_weights([w, u, b])
        watched = [*single, *(weight.value for weight in layer.weights)]
        both.append(results(partial(layer, single[0], initial_state=single[1:], mask=mask), watched))
    report.check("FastLSTM equals layers.LSTM: outputs, states, gradients", got=both[0], want=both[1], atol=1e-5)
    both = []
    for kind in (FastLSTM, keras.layers.LSTM):
        layer = keras.layers.Bidirectional(kind(units, return_sequences=True))
        layer.build(x.shape)
        layer.set_weights([w, u, b, -w, -u, b])
        both.append(layer(single[0], mask=mask))
    report.check("and in layers.Bidirectional under a mask", got=both[0], want=both[1], atol=1e-5)


def _race(report, steps, units, batch_size, updates, rounds, ways, seed):
    """Train the same network with Keras's layer and ours, compiled in the same ways; alternate, and take medians."""
    text = np.frombuffer(data.novel().encode("ascii", "replace"), np.uint8) % 64
    starts = np.random.default_rng((seed, 1)).integers(len(text) - steps - 1, size=(updates, batch_size))
    windows = tf.constant(text[starts[..., None] + np.arange(steps + 1)].astype(np.int32))
    losses, contestants = {}, {}
    for layer, way in [(layer, way) for way in ways for layer in (keras.layers.LSTM, FastLSTM)]:
        name = f"{layer.__name__}, {way}"
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
        step = tf.function(tf.autograph.experimental.do_not_convert(model.train_step), jit_compile=way == "xla")
        losses[name] = []
        for window in windows:
            model.reset_metrics()
            losses[name].append(float(step((window[:, :-1], window[:, 1:]))["loss"]))
        contestants[name] = step
    first, *others = losses.values()
    label = f"trained for {updates} steps, the loss before each step equals that with layers.LSTM"
    report.check(label, got=others, want=[first] * len(others), rtol=1e-3)

    times = {name: [] for name in contestants}
    for _ in report.track(range(rounds), "timing"):
        for name, step in contestants.items():
            begin = time.perf_counter()
            for window in windows:
                step((window[:, :-1], window[:, 1:]))
            times[name].append(1000 * (time.perf_counter() - begin) / updates)
    medians = {name: statistics.median(values) for name, values in times.items()}
    columns = ["layer and way", "ms a step, median", "ms a step, least"]
    rows = [[name, medians[name], min(values)] for name, values in times.items()]
    report.table(f"LSTM({units}) over {steps} steps, batch {batch_size}, {rounds} alternating rounds", columns, rows)
    best = {kind: min(medians[name] for name in medians if name.startswith(kind)) for kind in ("LSTM", "FastLSTM")}
    ratio = best["FastLSTM"] / best["LSTM"]
    report.note(
        f"Each layer in its faster way, a step with FastLSTM took {ratio:.2f} times as long as one with layers.LSTM. "
        "It saves additions to the weights' gradient, but no product of matrices. Which layer is ahead depends on "
        "sizes, compiler and what else the computer does."
    )
    return medians

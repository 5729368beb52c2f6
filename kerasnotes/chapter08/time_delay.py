"""A convolution sees a fixed window of steps and all steps at once; recurrence sees all that came, step after step.

The same sequence can be read in three ways: by a dense layer with weights for every step, by a convolution along time
(a time-delay network), which has the same few weights at every step but a window, and by recurrence. What the reader
should see: the slope of an output by an input is exactly 0 outside the window; weights, numbers kept for the way back
and steps that must wait for each other are three prices, and each way pays another one; a convolution with stride in
front of a recurrence makes the way through time shorter. Deep and bidirectional go together: every layer reads both
directions of the one below.

Notes: chapter 08, "Convolution and recurrence" (卷积与循环).
Source: Waibel et al. 1989, doi:10.1109/29.21701 (time-delay networks); Graves, Mohamed, Hinton 2013, arXiv:1303.5778
(deep bidirectional networks); https://keras.io/api/layers/convolution_layers/convolution1d
"""

import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots, training
from kerasnotes.chapter08.deep_rnn import bidirectional_rnn
from kerasnotes.parts import shape, whole

SMOKE = {"updates": 2, "rounds": 1, "units": 4, "samples": 20}
SECONDS = 6


def time_delay(x, w, b, stride=1):
    """A convolution along time that sees no later step: each output is made of this step and those just before it.

    Args:
        x: Inputs (batch, steps, inputs).
        w: Weights (window, inputs, units), the oldest step first.
        b: Biases (units,).
        stride: Keep every `stride`-th output, beginning with the first.

    Returns:
        Tensor (batch, ⌈steps / stride⌉, units). Before the first step stand zeros.

    Source: Waibel et al. 1989; `keras.layers.Conv1D(padding="causal")`.
    """
    shape("w", w, None, x.shape[2], None)
    shape("b", b, w.shape[2])
    window, steps = w.shape[0], x.shape[1]
    padded = tf.pad(x, [(0, 0), (window - 1, 0), (0, 0)])
    total = tf.add_n([padded[:, k : k + steps] @ w[k] for k in range(window)])  # the same weights at every step
    return total[:, :: whole("stride", stride)] + b


def deep_bidirectional_rnn(x, layers):
    """Several bidirectional layers, each reading the states of both directions of the one below.

    Args:
        x: Inputs (batch, steps, inputs).
        layers: For each layer, the lowest first, `(forward, backward)` as in `bidirectional_rnn`. A layer above one of
            n units in each direction has 2 n inputs.

    Returns:
        Tensor (batch, steps, units forward + units backward) of the highest layer.

    Raises:
        ValueError: If there is no layer.
    """
    if not layers:
        raise ValueError("layers: expected the weights of at least one layer, got none")
    for forward, backward in layers:
        x = bidirectional_rnn(x, forward, backward)
    return x


def prices(kind, steps, inputs, units, window=4, stride=4):
    """What a layer that reads a sequence costs: three numbers, each smallest for another kind.

    Args:
        kind: "dense" (an output for each step from all steps together), "convolution" along time, "recurrence", or
            "convolution, recurrence": a convolution with stride below a recurrence.
        steps, inputs, units: Length of the sequence, numbers a step, outputs a step.
        window, stride: Of the convolution.

    Returns:
        Dictionary: "weights", biases included; "numbers kept", the outputs that the way back needs, for one sequence;
        "steps in a row", which must wait for each other.
    """
    steps, inputs, units = whole("steps", steps), whole("inputs", inputs), whole("units", units)
    windowed, recurrent = window * inputs * units + units, inputs * units + units**2 + units
    short = -(-steps // whole("stride", stride))  # what a stride leaves of the steps
    table = {
        "dense": (steps * inputs * steps * units + steps * units, steps * units, 1),
        "convolution": (windowed, steps * units, 1),
        "recurrence": (recurrent, steps * units, steps),
        "convolution, recurrence": (windowed + 2 * units**2 + units, 2 * short * units, 1 + short),
    }
    if kind not in table:
        raise ValueError(f"kind: expected one of {'; '.join(table)}, got {kind!r}")
    return dict(zip(("weights", "numbers kept", "steps in a row"), table[kind], strict=True))


def build_readers(steps, inputs, units, window=4, stride=4, seed=0):
    """One Keras network of each kind of `prices`, as a dictionary; from (batch, steps, inputs) to (batch, ·, units)."""
    seeds = iter(np.random.default_rng(seed).integers(2**31, size=20).tolist())

    def start():
        return keras.initializers.GlorotUniform(next(seeds))

    def recurrence():
        square = keras.initializers.Orthogonal(seed=next(seeds))
        return keras.layers.SimpleRNN(units, return_sequences=True, kernel_initializer=start(),
                                      recurrent_initializer=square)  # fmt: skip

    def convolution(strides=1):
        return keras.layers.Conv1D(units, window, strides, "causal", activation="tanh", kernel_initializer=start())

    dense = keras.layers.Dense(steps * units, activation="tanh", kernel_initializer=start())
    stacks = {
        "dense": [keras.layers.Flatten(), dense, keras.layers.Reshape((steps, units))],
        "convolution": [convolution()],
        "recurrence": [recurrence()],
        "convolution, recurrence": [convolution(stride), recurrence()],
    }
    return {name: keras.Sequential([keras.Input((steps, inputs)), *stack]) for name, stack in stacks.items()}


def example():
    """A causal convolution and two stacked bidirectional layers of Keras, and ours on the same weights."""
    x = tf.random.stateless_normal((1, 6, 3), seed=(0, 0))  # (batch, steps, inputs)
    layer = keras.layers.Conv1D(2, 3, padding="causal")
    print("Conv1D, causal:    ", layer(x)[0, -1].numpy())
    print("time_delay:        ", time_delay(x, *(weight.value for weight in layer.weights))[0, -1].numpy())
    stack = [keras.layers.Bidirectional(keras.layers.SimpleRNN(2, return_sequences=True)) for _ in range(2)]
    y = x
    for each in stack:
        y = each(y)
    print("two Bidirectional: ", y[0, 0].numpy())
    weights = [[weight.value for weight in each.weights] for each in stack]
    print("ours:              ", deep_bidirectional_rnn(x, [(each[:3], each[3:]) for each in weights])[0, 0].numpy())
    for kind in ("dense", "convolution", "recurrence", "convolution, recurrence"):
        print(f"{kind}, 100 steps:", prices(kind, 100, 8, 16))


def lesson(
    report,
    *,
    steps: int = 40,
    units: int = 16,
    window: int = 4,
    updates: int = 300,
    samples: int = 1000,
    rounds: int = 10,
    seed: int = 0,
):
    """Match both layers with Keras's, see how far each way looks, and count what it costs.

    Args:
        report: The report to write to.
        steps: Steps of a sequence (12 to 1000).
        units: Units of every layer (1 to 1024).
        window: Steps that a convolution sees (2 to 8).
        updates: Updates of each network (1 to 100000).
        samples: Test sequences (10 to 100000).
        rounds: Alternating rounds of timing (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _parity(report, seed)
    readers = build_readers(steps, 1, units, window, seed=seed)
    shares = _one_task(report, readers, window, updates, samples, seed)
    reach = {name: _reach(readers[name], steps) for name in ("convolution", "recurrence")}
    back = np.subtract.outer(np.arange(steps), np.arange(steps))  # (state, input): how many steps ago the input was
    outside = reach["convolution"][(back < 0) | (back >= window)]
    report.check("convolution: slope of a state by an input outside its window", outside, np.zeros_like(outside))
    report.at_least("inside the window, the least", reach["convolution"][(back >= 0) & (back < window)], 1e-9)
    later = reach["recurrence"][back < 0]
    report.check("recurrence: slope by a later input", later, np.zeros_like(later))
    report.at_least("by the input one step before the window, the least", reach["recurrence"][back == window], 1e-12)
    costs = {name: prices(name, steps, 1, units, window) for name in readers}
    counted = [reader.count_params() for reader in readers.values()]
    report.check("weights as counted by Keras", [cost["weights"] for cost in costs.values()], counted)
    kept = [sum(np.prod(layer.output.shape[1:]) for layer in reader.layers if layer.weights)
            for reader in readers.values()]  # fmt: skip
    report.check("numbers kept: the sizes of Keras's outputs", [cost["numbers kept"] for cost in costs.values()], kept)
    milliseconds = _times(report, readers, steps, rounds, seed)
    rows = [[name, *costs[name].values(), milliseconds[name], *map(float, shares[name])] for name in readers]
    columns = ["network", "weights", "numbers kept", "steps in a row", "ms a pass",
               f"bit {window - 1} steps ago", f"bit {window + 2} steps ago"]  # fmt: skip
    report.table(f"four ways to read {steps} steps with {units} units: prices, and share of bits told right", columns,
                 rows)  # fmt: skip
    alt = (
        "Left: a band of slopes, of a convolution that sees a few steps. Middle: a triangle, of a recurrence that sees "
    )
    alt += "everything before. Right: both know the bit inside the window; the convolution tosses a coin for the other."
    report.figure("a window or everything before", _figure(reach, shares, window), alt=alt)


def _parity(report, seed):
    rng = np.random.default_rng((seed, 0))
    x = tf.constant(rng.normal(size=(3, 9, 4)), tf.float32)
    got, want = [], []
    for window, stride in ((1, 1), (3, 1), (4, 2), (5, 4)):
        layer = keras.layers.Conv1D(5, window, stride, "causal")
        want.append(layer(x))
        got.append(time_delay(x, *(weight.value for weight in layer.weights), stride))
    report.check("time_delay equals a causal Conv1D, windows and strides", got, want, atol=1e-5)
    layers = [keras.layers.Bidirectional(keras.layers.SimpleRNN(5, return_sequences=True)) for _ in range(3)]
    model = keras.Sequential([keras.Input((9, 4)), *layers])
    model.set_weights([rng.normal(size=weight.shape) / 2 for weight in model.weights])
    weights = [[weight.value for weight in layer.weights] for layer in layers]
    results = []
    for run in (model, lambda x: deep_bidirectional_rnn(x, [(each[:3], each[3:]) for each in weights])):
        with tf.GradientTape() as tape:
            tape.watch([x, weights])
            y = run(x)
            loss = tf.reduce_sum(tf.sin(y))
        results.append([y, *tape.gradient(loss, [x, *tf.nest.flatten(weights)])])
    report.check("deep and bidirectional equals Keras's stack: states and gradients", results[1], results[0],
                 rtol=1e-4, atol=1e-4)  # fmt: skip
    early = tf.tensor_scatter_nd_add(x, [[0, 8, 0]], [1.0])  # the last step of the first sequence
    moved = tf.reduce_max(tf.abs(model(early) - model(x))[0, 0])
    report.at_least("its first state knows the last input: change", moved, 1e-7)


def _one_task(report, readers, window, updates, samples, seed):
    """Train each network to repeat a bit from inside the window and one from before it. {name: (inside, before)}."""
    rng, shares = np.random.default_rng((seed, 1)), {}
    delays = (window - 1, window + 2)
    for name, reader in report.track(list(readers.items()), "four networks"):
        steps, left = reader.input_shape[1], reader.output_shape[1]
        ratio = steps // left  # of the steps, a stride keeps the first of each group
        bits = rng.choice(np.float32([-1, 1]), size=(32 * updates + samples, steps, 1))
        shifted = [np.roll(bits, delay, axis=1) for delay in delays]
        answers = np.float32(np.concatenate(shifted, axis=2)[:, ::ratio] > 0)
        asked = -(-max(delays) // ratio)  # the first steps have no such bit
        head = keras.layers.Dense(2, kernel_initializer=keras.initializers.GlorotUniform(seed=seed))
        model = keras.Sequential([reader, head, keras.layers.Cropping1D((asked, 0))])
        model.compile(
            keras.optimizers.Adam(0.01, global_clipnorm=1.0), keras.losses.BinaryCrossentropy(from_logits=True)
        )
        training.fit(model, bits[samples:], answers[samples:, asked:], batch_size=32, shuffle=False, form="loop")
        right = (training.predict(model, bits[:samples]) > 0) == answers[:samples, asked:]
        shares[name] = right.mean(axis=(0, 1))
    convolution = abs(shares["convolution"][1] - 0.5) / np.sqrt(0.25 / (samples * (steps - max(delays))))
    report.at_most("convolution: bit before the window, distance from 1/2 in standard errors", convolution, 4.0)
    report.at_least("convolution: bit inside the window, share right", shares["convolution"][0], 0.99, trained=True)
    report.at_least("recurrence: bit inside the window, share right", shares["recurrence"][0], 0.99, trained=True)
    gap = shares["recurrence"][1] - shares["convolution"][1]
    report.at_least("bit before the window: recurrence above convolution", gap, 0.2, trained=True)
    return shares


def _reach(reader, steps):
    """Largest slope of each state by each input at random weights and bits, (states, inputs)."""
    bits = tf.constant(np.random.default_rng(0).choice(np.float32([-1, 1]), size=(1, steps, 1)))
    with tf.GradientTape(persistent=True) as tape:  # the Jacobian goes back once for each step
        tape.watch(bits)
        sums = tf.reduce_sum(reader(bits), axis=2)
    return np.abs(tape.jacobian(sums, bits, experimental_use_pfor=False)[0, :, 0, :, 0].numpy())


def _times(report, readers, steps, rounds, seed, batch=32):
    """Milliseconds of a pass forwards and back, the median of alternating rounds."""
    x, passes = tf.constant(np.random.default_rng((seed, 2)).normal(size=(batch, steps, 1)), tf.float32), {}
    for name, reader in readers.items():

        def once(reader=reader):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(reader(x))
            return tape.gradient(loss, reader.trainable_variables)

        passes[name] = tf.function(tf.autograph.experimental.do_not_convert(once))
        passes[name]()
    times = {name: [] for name in readers}
    for _ in report.track(range(rounds), "timing"):
        for name, run in passes.items():
            begin = time.perf_counter()
            run()[0].numpy()
            times[name].append(1000 * (time.perf_counter() - begin))
    return {name: statistics.median(values) for name, values in times.items()}


def _figure(reach, shares, window):
    figure, axes = plots.subplots(1, 3, figsize=(14, 4.4), width_ratios=(1, 1, 1.2))
    for ax, (name, slopes) in zip(axes, reach.items(), strict=False):
        shown = np.log10(np.where(slopes > 1e-6, slopes, np.nan).T)  # blank: no influence, or hardly any
        plots.heatmap(shown, xlabel="state of step", ylabel="input of step", label="log10 of the slope",
                      title=name.capitalize(), ax=ax, vmin=-6, vmax=1)  # fmt: skip
    places = np.arange(len(shares))
    for side, (delay, hatch) in enumerate(((window - 1, ""), (window + 2, "//"))):
        values = [pair[side] for pair in shares.values()]
        axes[2].bar(
            places + 0.38 * side - 0.19, values, 0.36, label=f"{delay} steps ago", hatch=hatch, edgecolor="white"
        )
    axes[2].axhline(0.5, color="black", linestyle="--", label="coin toss")
    axes[2].set_xticks(places, [name.replace(", ", ",\n") for name in shares], fontsize=9)
    axes[2].set(ylabel="share of bits told right", ylim=(0, 1.55), yticks=np.linspace(0, 1, 5))
    axes[2].legend(loc="upper left")
    axes[2].set_title("Which bits it knows")
    return figure

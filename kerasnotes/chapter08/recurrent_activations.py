"""A sigmoid cell forgets at least four times faster than its matrix, tanh holds on longer, ReLU on an identity keeps.

Every step back multiplies a gradient by the recurrent matrix and by the slopes of the activation. What the reader
should see: the slope of a sigmoid is at most 1/4, so that with an orthogonal matrix nothing is left after ten steps;
that of tanh reaches 1, but only near 0; that of ReLU is exactly 1 or 0, so that an identity matrix keeps everything and
a slightly larger one explodes, with no bound on the state. Trained to recall a symbol amid noise, sigmoid and tanh
differ as these numbers say; ReLU on an orthogonal matrix does not: it passes on as much as tanh and fails at the longer
lag.

Notes: chapter 08, "Activations of a recurrent cell" (循环单元的激活函数).
Source: Pascanu et al. 2013, arXiv:1211.5063, section 2.1; Le, Jaitly, Hinton 2015, arXiv:1504.00941 (ReLU from an
identity matrix).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter08.fading_gradients import gradient_by_lag
from kerasnotes.chapter08.memory_span import recall_task
from kerasnotes.parts import shape, whole

SMOKE = {"updates": 2, "seeds": 1, "lags": (1, 2), "units": 4}
SECONDS = 7

CELLS = {  # activation and start of the recurrent matrix
    "tanh": ("tanh", "orthogonal"),
    "sigmoid": ("sigmoid", "orthogonal"),
    "ReLU": ("relu", "orthogonal"),
    "ReLU, identity": ("relu", "identity"),
}


def slopes_of(activation, states):
    """Slopes of an activation, from what it gave: one fact of each of the three that makes them cheap going back.

    Args:
        activation: "tanh", "sigmoid" or "relu".
        states: What the activation gave, any shape.

    Returns:
        1 − h², h (1 − h), or 1 where h > 0 and 0 elsewhere; float64 of the same shape.
    """
    states = np.asarray(states, np.float64)
    if activation not in ("tanh", "sigmoid", "relu"):
        raise ValueError(f"activation: expected tanh, sigmoid or relu, got {activation!r}")
    return {"tanh": 1 - states**2, "sigmoid": states * (1 - states), "relu": np.float64(states > 0)}[activation]


def run_cells(x, w_xh, w_hh, b, activations):
    """Simple recurrent cells side by side, each with weights, inputs and an activation of its own; from states of 0.

    Args:
        x: Inputs (cells, batch, steps, inputs).
        w_xh, w_hh, b: Weights (cells, inputs, units), (cells, units, units) and (cells, 1, units).
        activations: A name for each cell, such as "tanh"; cells of one name must stand side by side.

    Returns:
        The states after every step, tensor (cells, batch, steps, units).
    """
    cells, batch, steps, inputs = x.shape
    for name, value, sizes in (("w_xh", w_xh, (cells, inputs, None)), ("w_hh", w_hh, (cells, *[w_xh.shape[2]] * 2)),
                               ("b", b, (cells, 1, w_xh.shape[2]))):  # fmt: skip
        shape(name, value, *sizes)
    names = list(dict.fromkeys(activations))  # each once, in order
    counts = [list(activations).count(name) for name in names]
    if sum(counts) != cells or [name for name, n in zip(names, counts, strict=True) for _ in range(n)] != [
        *activations
    ]:
        raise ValueError(f"activations: expected a name for each of {cells} cells, equal ones side by side, "
                         f"got {activations!r}")  # fmt: skip
    from_x = tf.einsum("cbsi,ciu->scbu", x, w_xh) + b  # (steps, cells, batch, units)
    h, states = tf.zeros((cells, batch, w_xh.shape[2]), x.dtype), []
    for t in range(steps):
        sums = tf.split(from_x[t] + h @ w_hh, counts)
        h = tf.concat([keras.activations.get(name)(each) for name, each in zip(names, sums, strict=True)], axis=0)
        states.append(h)
    return tf.stack(states, axis=2)


def start_matrix(kind, units, seed):
    """A recurrent matrix (units, units) to start from: "orthogonal", drawn from the seed, or "identity"."""
    if kind not in ("orthogonal", "identity"):
        raise ValueError(f"kind: expected orthogonal or identity, got {kind!r}")
    if kind == "identity":
        return np.eye(whole("units", units))
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(whole("units", units), units)))[0]


def example():
    """Three layers of Keras's on the same inputs, ours, and what is left of a gradient after ten steps back."""
    x = np.float32(np.random.default_rng(0).normal(size=(1, 20, 4)))
    for activation in ("tanh", "sigmoid", "relu"):
        layer = keras.layers.SimpleRNN(4, activation=activation, return_sequences=True)
        states = layer(x)
        w_xh, w_hh, b = (weight[None] for weight in layer.get_weights())
        ours = run_cells(x[None], w_xh, w_hh, b[None], [activation])
        print(f"{activation}: Keras {states[0, -1, :2].numpy()}, ours {ours[0, 0, -1, :2].numpy()};", end=" ")
        norms = gradient_by_lag(layer.get_weights()[1], 20, slopes_of(activation, states[0]))
        print(f"ten steps back: {norms[9]:.1e}")


def lesson(
    report,
    *,
    lags: tuple[int, ...] = (3, 8),
    updates: int = 300,
    seeds: int = 2,
    units: int = 24,
    learning_rate: float = 0.005,
    seed: int = 0,
):
    """Slopes and their products, then four cells trained to recall a symbol amid noise.

    Args:
        report: The report to write to.
        lags: Steps to remember, increasing (1 to 100).
        updates: Updates of every cell (1 to 100000).
        seeds: Cells of each kind for each lag (1 to 20).
        units: Size of the hidden states (1 to 1024).
        learning_rate: Learning rate of Adam (0.000001 to 1).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _parity(report, seed)
    norms = _products(report, seed)
    accuracy = _recall(report, lags, updates, seeds, units, learning_rate, seed)
    means = {name: plots.mean_and_error(runs)[0] for name, runs in accuracy.items()}
    label = f"lag {lags[0]} amid noise: accuracy of tanh, mean of seeds"
    report.at_least(label, means["tanh"][0], 0.95, trained=True)
    gap = means["tanh"][-1] - means["sigmoid"][-1]
    report.at_least(f"lag {lags[-1]} amid noise: tanh above sigmoid, mean of seeds", gap, 0.2, trained=True)
    rows = [[name, lag, *map(float, plots.mean_and_error(accuracy[name][:, place]))]
            for name in accuracy for place, lag in enumerate(lags)]  # fmt: skip
    report.table(f"accuracy on fresh sequences after {updates} updates, {seeds} seeds",
                 ["cell", "lag", "mean accuracy", "standard error"], rows)  # fmt: skip
    report.note(
        "One learning rate for all, Adam, gradients clipped at norm 1 for each cell. Other rates and more updates move "
        "every cell's border outwards; the products on the left of the figure hold for any training's first step."
    )
    alt = (
        "Left, on a logarithmic axis: the share of a gradient left after some steps back. The sigmoid's falls fastest, "
    )
    alt += "tanh's and ReLU's slower, ReLU from an identity stays at 1. Right: accuracy of the four cells at two lags."
    report.figure("what an activation leaves of the past", _figure(norms, lags, accuracy), alt=alt)


def _parity(report, seed):
    rng = np.random.default_rng((seed, 0))
    x = np.float32(rng.normal(size=(3, 2, 6, 4)))
    weights = [np.float32(rng.normal(size=size)) / 2 for size in ((3, 4, 5), (3, 5, 5), (3, 1, 5))]
    names, wanted, slopes, tapes = ("tanh", "sigmoid", "relu"), [], [], []
    for number, name in enumerate(names):
        layer = keras.layers.SimpleRNN(5, activation=name, return_sequences=True)
        layer.build(x[number].shape)
        layer.set_weights([weights[0][number], weights[1][number], weights[2][number, 0]])
        wanted.append(layer(x[number]))
        sums = tf.constant(rng.normal(size=50))
        with tf.GradientTape() as tape:
            tape.watch(sums)
            values = keras.activations.get(name)(sums)
        tapes.append(tape.gradient(values, sums))
        slopes.append(slopes_of(name, values))
    report.check("cells side by side equal layers.SimpleRNN, each activation", run_cells(x, *weights, names), wanted,
                 atol=1e-5)  # fmt: skip
    report.check("slopes from the states are the tape's", slopes, tapes, atol=1e-12)


def _products(report, seed, units=24, steps=40):
    """Norms of dh_T / dh_(T − lag) for each cell on noise: {name: (steps + 1,)}."""
    rng, norms = np.random.default_rng((seed, 1)), {}
    x = rng.normal(size=(1, 1, steps, 10))
    w_xh = rng.normal(size=(1, 10, units)) / np.sqrt(10)
    for name, (activation, kind) in CELLS.items():
        w_hh = start_matrix(kind, units, (seed, 2))
        states = run_cells(x, w_xh, w_hh[None], np.zeros((1, 1, units)), [activation])[0, 0]
        norms[name] = np.array([1.0, *gradient_by_lag(w_hh, steps, slopes_of(activation, states))])
    lags = np.arange(steps + 1)
    report.at_most("sigmoid, orthogonal matrix: what is left, over 4^-lag", norms["sigmoid"] * 4.0**lags, 1 + 1e-9)
    report.at_most("tanh, orthogonal matrix: what is left", norms["tanh"], 1 + 1e-9)
    on = np.abs(x)  # inputs that keep every sum above 0
    for scale in (1.0, 1.1):
        w_hh = scale * np.eye(units)
        states = run_cells(on, np.abs(w_xh), w_hh[None], np.zeros((1, 1, units)), ["relu"])[0, 0]
        kept = gradient_by_lag(w_hh, steps, slopes_of("relu", states))
        report.check(f"ReLU, {scale} times identity, units on: {scale}^lag is left", kept, scale ** lags[1:], rtol=1e-9)
    return norms


def _recall(report, lags, updates, seeds, units, learning_rate, seed, batch_size=32, lead_in=5):
    """Train all cells at once, side by side. Accuracies {name: (seeds, lags)}."""
    runs = [(name, lag, run) for name in CELLS for lag in lags for run in range(seeds)]
    length, activations = lead_in + max(lags) + 1, [CELLS[name][0] for name, _, _ in runs]
    starts = [(np.random.default_rng((seed, 3, run)), start_matrix(CELLS[name][1], units, (seed, 4, run)))
              for name, _, run in runs]  # fmt: skip
    variables = [tf.Variable(np.float32(each)) for each in (
        [rng.normal(size=(10, units)) / np.sqrt(10) for rng, _ in starts],
        [matrix for _, matrix in starts],
        np.zeros((len(runs), 1, units)),
        [rng.normal(size=(units, 2)) / np.sqrt(units) for rng, _ in starts],
    )]  # fmt: skip
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(variables)

    def logits(x):
        return run_cells(x, *variables[:3], activations)[:, :, -1] @ variables[3]  # (runs, batch, 2)

    @tf.function(jit_compile=True)
    def train(x, y):  # (updates, runs, batch, length, 10), (updates, runs, batch)
        for_all = tf.constant(0)

        def update(number):
            with tf.GradientTape() as tape:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y[number], logits(x[number]))
                loss = tf.reduce_sum(tf.reduce_mean(losses, axis=1))  # the runs do not touch each other
            gradients = tape.gradient(loss, variables)
            squares = tf.add_n([tf.reduce_sum(each**2, axis=(1, 2), keepdims=True) for each in gradients])
            scale = 1 / tf.maximum(1.0, tf.sqrt(squares))  # (runs, 1, 1): each run's own norm is clipped at 1
            optimizer.apply([each * scale for each in gradients], variables)
            return (number + 1,)

        tf.while_loop(lambda number: number < x.shape[0], update, (for_all,), parallel_iterations=1)

    def draw(samples, part):
        drawn = [recall_task(samples, lag, np.random.default_rng((seed, 5, run, part)), length) for _, lag, run in runs]
        return np.stack([x for x, _ in drawn]), np.stack([y for _, y in drawn])

    at_once = min(updates, 50)
    for part in report.track(range(-(-updates // at_once)), "four cells"):
        x, y = draw(at_once * batch_size, part)
        x = x.reshape(len(runs), at_once, batch_size, length, 10).swapaxes(0, 1)
        train(tf.constant(x), tf.constant(y.reshape(len(runs), at_once, batch_size).swapaxes(0, 1)))
    x, y = draw(1000, 10**6)
    right = np.mean(logits(tf.constant(x)).numpy().argmax(axis=2) == y, axis=1).reshape(len(CELLS), len(lags), seeds)
    return {name: right[number].T for number, name in enumerate(CELLS)}


def _figure(norms, lags, accuracy):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11.5, 4.4))
    steps = np.arange(len(next(iter(norms.values()))))
    shown = {name: np.where(values > 1e-12, values, np.nan) for name, values in norms.items()}
    plots.curves(steps, shown, xlabel="steps back", ylabel="share of a gradient left", yscale="log", ax=left)
    left.set_title("Before training, amid noise")
    places, width = np.arange(len(lags)), 0.8 / len(accuracy)
    for number, (name, runs) in enumerate(accuracy.items()):
        means, errors = plots.mean_and_error(runs)
        right.bar(places + width * (number - 1.5), means, 0.92 * width, yerr=errors, capsize=3, label=name)
    right.axhline(0.5, color="black", linestyle="--", label="chance")
    right.set_xticks(places, [f"lag {lag}" for lag in lags])
    right.set(ylabel="accuracy of recall", ylim=(0, 1.45))
    right.legend(loc="upper right", ncols=2)
    right.set_title("After training")
    return figure

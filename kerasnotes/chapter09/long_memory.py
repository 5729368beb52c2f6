"""LSTM and GRU soon learn to add two numbers up to a hundred steps apart; a simple cell mostly stays at a guess.

At every step the network sees a random number and a marker; two steps are marked, one in each half of the sequence, and
the answer after the last step is the sum of their numbers. A constant answer of 1 has the variance of a sum of two
uniform numbers, 1/6, as mean squared error. What the reader should see: gated cells fall from there to nearly nothing;
the simple cell, with several learning rates and more updates, mostly stays close to it, though not at every rate (see
the lowest held-out error in the table). The derivative of the answer by a marked number, which should be 1 wherever the
marker stands, shows what each cell forgets; that of the simple cell was held against 1/2 before five seeds had been
seen.

Notes: chapter 09, "Long-term dependencies" (长程依赖问题).
Source: Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735 (the adding problem); Le, Jaitly, Hinton 2015,
arXiv:1504.00941 (markers 0 and 1, baseline); Arjovsky, Shah, Bengio 2016, arXiv:1511.06464 (one marker in each half).
"""

import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter09.memory_tasks import adding_problem
from kerasnotes.chapter09.memory_tasks import copy_task as copy_task
from kerasnotes.chapter09.memory_tasks import memoryless_cross_entropy as memoryless_cross_entropy
from kerasnotes.parts import positive, whole

SMOKE = {"steps": 4, "few_steps": 2, "updates": 2, "learning_rates": (1e-2,), "units": 2, "batch_size": 2,
         "test_samples": 64}  # fmt: skip
FULL = {"seeds": 3, "updates": 5000}
SECONDS = 25

CELLS = {"simple_rnn": keras.layers.SimpleRNN, "gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
NAMES = {"simple_rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}
UPDATES_PER_CALL = 100  # between two looks at the held-out error
TARGET = 0.005  # held-out mean squared error at which a gated cell has learnt the task


def build_adder(cell_name, units, seed=0):
    """A recurrent layer that reads the sequence and a dense layer that gives the sum.

    Args:
        cell_name: "simple_rnn" (tanh), "gru" or "lstm".
        units: Size of the hidden state, at least 1.
        seed: Seed of the initial weights, drawn by Keras's standard initializers.

    Returns:
        `keras.Sequential` from (batch, steps, 2) to (batch, 1).

    Raises:
        ValueError: If there is no such cell, or `units` is too small.
    """
    if cell_name not in CELLS:
        raise ValueError(f"cell_name: expected one of {', '.join(CELLS)}, got {cell_name!r}")
    whole("units", units)
    seeds = keras.random.SeedGenerator(seed)
    layer = CELLS[cell_name](
        units,
        kernel_initializer=keras.initializers.GlorotUniform(seeds),
        recurrent_initializer=keras.initializers.Orthogonal(seed=seeds),
    )
    head = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seeds))
    return keras.Sequential([keras.Input((None, 2)), layer, head])


def adder_trainer(cell_name, steps, units=32, batch_size=64):
    """Compile the training of one cell on the adding problem, to be run with any seed and learning rate.

    Adam with clipping at global norm 1; every update sees sequences that were never seen before.

    Args:
        cell_name: "simple_rnn" (tanh), "gru" or "lstm".
        steps: Steps of a sequence, at least 2.
        units: Size of the hidden state, at least 1.
        batch_size: Sequences of an update, at least 1.

    Returns:
        Function `run(seed, learning_rate, updates, target=-1.0, track=None) -> (model, errors)`. It trains for
        `updates` updates, or until the held-out mean squared error, looked at every 100 updates, is at most `target`.
        `errors` is float64 (looks + 1,), the held-out errors, before training first. The model is the same object each
        time, with the weights of the last run. `track` passes an iterable through and shows how far it has come.

    Raises:
        ValueError: If an argument lies outside its range; so does `run`.
    """
    whole("steps", steps, 2)
    whole("batch_size", batch_size)
    model, optimizer = build_adder(cell_name, units), keras.optimizers.Adam(global_clipnorm=1.0)
    optimizer.build(model.trainable_variables)
    start = [variable.numpy() for variable in optimizer.variables]

    def train(x, y):  # (updates, batch_size, steps, 2), (updates, batch_size, 1)
        for update in tf.range(tf.shape(x)[0]):
            with tf.GradientTape() as tape:  # read the sequences and answer
                loss = tf.reduce_mean(tf.square(model(x[update]) - y[update]))
            # Learn from the answers' errors.
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    def error(x, y):
        return tf.reduce_mean(tf.square(model(x) - y))

    compiled = tf.function(train, jit_compile=True), tf.function(error)

    def run(seed, learning_rate, updates, target=-1.0, track=None):
        whole("updates", updates)
        positive("learning_rate", learning_rate)
        model.set_weights(build_adder(cell_name, units, seed).get_weights())
        for variable, value in zip(optimizer.variables, start, strict=True):
            variable.assign(value)
        optimizer.learning_rate.assign(learning_rate)
        # Compiling takes seconds, which a few steps do not earn back.
        advance, evaluate = compiled if updates * steps >= UPDATES_PER_CALL else (train, error)
        held_out = [tf.constant(part) for part in adding_problem(1000, steps, (seed, 0))]
        errors = [float(evaluate(*held_out))]
        # Draw sequences that were never seen, learn from them, look at the held-out ones.
        looks = range(0, updates, UPDATES_PER_CALL)
        for done in looks if track is None else track(looks, f"training {cell_name}"):
            count = min(UPDATES_PER_CALL, updates - done)
            x, y = adding_problem(count * batch_size, steps, (seed, 1, done))
            advance(tf.reshape(x, (count, batch_size, steps, 2)), tf.reshape(y, (count, batch_size, 1)))
            errors.append(float(evaluate(*held_out)))
            if errors[-1] <= target:
                break
        return model, np.array(errors)

    return run


def marked_derivatives(model, x):
    """Derivative of the answer by the two marked numbers: 1 for who has learnt to add, 0 for who has forgotten.

    Args:
        model: Model from `build_adder`.
        x: Sequences of the adding problem (samples, steps, 2).

    Returns:
        `(lags, derivatives)`, each (samples, 2): steps from the marked step to the last one, and ∂answer/∂number.

    Raises:
        ValueError: If not every sequence has two markers.
    """
    x = tf.convert_to_tensor(x)
    places = np.argwhere(x[..., 1].numpy() == 1)  # (2 samples, 2): sequence and step
    if len(x.shape) != 3 or not np.array_equal(places[:, 0], np.repeat(np.arange(len(x)), 2)):
        raise ValueError(f"x: expected two markers in every sequence (samples, steps, 2), got shape {tuple(x.shape)}")
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(model(x))  # a sequence's answer depends on that sequence only
    derivatives = tape.gradient(total, x)[..., 0].numpy()[tuple(places.T)]
    return (x.shape[1] - 1 - places[:, 1]).reshape(-1, 2), derivatives.reshape(-1, 2)


def example():
    """Train an LSTM for a moment to add two of twenty numbers, and ask what it knows of each."""
    x, y = adding_problem(samples=2000, steps=20, seed=0)
    print("numbers:", x[0, :, 0].round(2))
    print("markers:", x[0, :, 1].astype(int), "answer:", y[0])
    model = build_adder("lstm", units=16, seed=1)
    model.compile(keras.optimizers.Adam(0.02, global_clipnorm=1.0), "mean_squared_error")
    history = model.fit(x, y, batch_size=50, epochs=2, verbose=0).history
    print("mean squared error of two epochs:", history["loss"], "who answers 1 has", round(1 / 6, 3))
    lags, derivatives = marked_derivatives(model, x[:3])
    for lag, derivative in zip(lags.ravel(), derivatives.ravel(), strict=True):
        print(f"marked {lag:2} steps before the end: ∂answer/∂number {derivative:+.3f}, should be 1")


def lesson(
    report,
    *,
    steps: int = 100,
    updates: int = 3000,
    few_steps: int = 10,
    learning_rates: tuple[float, ...] = (1e-2, 3e-3, 1e-3),
    seeds: int = 1,
    units: int = 32,
    batch_size: int = 64,
    test_samples: int = 5000,
    seed: int = 0,
):
    """Train three cells on the adding problem, and ask each what it still knows of a marked number.

    Args:
        report: The report to write to.
        steps: Steps of a sequence (2 to 1000).
        updates: Updates of a run at most; the simple cell takes all of them (1 to 100000).
        few_steps: Steps of a short sequence, on which the simple cell shows that it can add (2 to 1000).
        learning_rates: Learning rates of Adam; gated cells take the first, the simple cell all (0.000001 to 1).
        seeds: Independent runs of each cell (1 to 100).
        units: Size of the hidden state (1 to 1024).
        batch_size: Sequences of an update (1 to 4096).
        test_samples: Fresh sequences for the final error (16 to 1000000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    runs = []
    for cell, length in (("lstm", steps), ("gru", steps), ("simple_rnn", steps), ("simple_rnn", few_steps)):
        test = [tf.constant(part) for part in adding_problem(test_samples, length, (seed, 2))]
        train = adder_trainer(cell, length, units, batch_size)
        for rate in learning_rates if cell == "simple_rnn" else learning_rates[:1]:
            for number in range(seed, seed + seeds):
                begin = time.perf_counter()
                target = -1.0 if (cell, length) == ("simple_rnn", steps) else TARGET  # -1: takes all updates
                model, errors = train(number, rate, updates, target, report.track)
                runs.append({
                    "cell": cell, "length": length, "rate": rate, "seed": number, "errors": errors,
                    "updates": min((len(errors) - 1) * UPDATES_PER_CALL, updates),
                    "final": float(tf.reduce_mean(tf.square(model(test[0]) - test[1]))),
                    "known": marked_derivatives(model, test[0][:2000]),
                    "seconds": time.perf_counter() - begin,
                })  # fmt: skip
    columns = ["cell", "numbers", "learning rate", "seed", "updates", "mean squared error", "lowest held-out error"]
    names = ("length", "rate", "seed", "updates", "final")
    rows = [[NAMES[run["cell"]], *map(run.get, names), run["errors"].min(), run["seconds"]] for run in runs]
    title = f"The sum of two marked numbers, {test_samples} fresh sequences; a constant answer has 1/6 = 0.1667"
    report.table(title, [*columns, "seconds"], rows)
    short, long = runs[-len(learning_rates) * seeds :], runs[: -len(learning_rates) * seeds]
    label = f"SimpleRNN with {few_steps} numbers: mean squared error, best learning rate"
    report.at_most(label, min(run["final"] for run in short), 0.01, trained=True)
    _compare(report, long, steps, updates, learning_rates[0])


def _compare(report, runs, steps, updates, rate):
    """Gated cells against the simple one, on sequences of one length."""
    far = {cell: [run["known"][1][run["known"][0] >= steps // 2].mean() for run in runs if run["cell"] == cell]
           for cell in CELLS}  # fmt: skip
    for cell in ("lstm", "gru"):
        finals = [run["final"] for run in runs if run["cell"] == cell]
        report.at_most(f"{NAMES[cell]}: mean squared error, every seed", finals, 0.01, trained=True)
        label = f"{NAMES[cell]}: ∂answer/∂number, mean over lags of at least {steps // 2}, nearer to 1 than to 0"
        report.at_least(label, far[cell], 0.5, trained=True)
    label = f"SimpleRNN: ∂answer/∂number, mean over lags of at least {steps // 2}, over the least of a gated cell"
    report.at_most(label, np.array(far["simple_rnn"]) / min(far["lstm"] + far["gru"]), 1.0, trained=True)
    simple = [run for run in runs if run["cell"] == "simple_rnn"]
    slowest = max(run["updates"] for run in runs if run["cell"] != "simple_rnn")
    matched = [run["errors"][1 : -(-slowest // UPDATES_PER_CALL) + 1].min() for run in simple]
    label = "SimpleRNN: lowest held-out error up to the slowest gated cell's last update, every learning rate and seed"
    report.at_least(label, matched, 0.15, trained=True)
    report.at_least("SimpleRNN: updates of each run", [run["updates"] for run in simple], slowest)
    finals, lowest = [run["final"] for run in simple], min(simple, key=lambda run: run["errors"].min())
    report.note(
        f"Gated cells take the learning rate {rate:g} and stop at a held-out error of {TARGET}; SimpleRNN takes every "
        f"learning rate and always {updates} updates. The bar of 0.15 is for as many as the slowest gated cell took, "
        f"{slowest}. After all of them SimpleRNN ends between {min(finals):.3f} and {max(finals):.3f}; its lowest "
        f"held-out error at any look is {lowest['errors'].min():.3f} (learning rate {lowest['rate']:g}, seed "
        f"{lowest['seed']}): with time it can begin to learn, and lose it again. Le et al. 2015 train with plain "
        "gradient descent; Hochreiter and Schmidhuber 1997 place the markers in another way."
    )
    best = [min((run for run in runs if run["cell"] == cell), key=lambda run: run["final"]) for cell in CELLS]
    alt = "Left: held-out error against updates, LSTM and GRU falling from 1/6 to below 0.01, and SimpleRNN's best "
    alt += "learning rate, which ends far above. Right: derivative of the answer by a marked number against its lag, "
    alt += "near 1 for LSTM and GRU, much lower for SimpleRNN."
    report.figure(f"Gates carry a number over {steps} steps", _figure(best, steps), alt=alt)


def _figure(runs, steps):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4))
    left.axhline(1 / 6, color="0.6", linestyle=":", label="always answering 1: 1/6")
    for number, run in enumerate(runs):
        style = {"color": f"C{number}", "linestyle": plots.LINE_STYLES[number]}
        looks = np.minimum(np.arange(len(run["errors"])) * UPDATES_PER_CALL, run["updates"])
        left.plot(looks, run["errors"], label=NAMES[run["cell"]], **style)
        lags, derivatives = run["known"]
        edges = np.linspace(0, steps, min(steps, 20) + 1)
        bins = np.digitize(lags, edges) - 1
        means = [derivatives[bins == each].mean() if np.any(bins == each) else np.nan for each in range(len(edges) - 1)]
        right.plot((edges[:-1] + edges[1:] - 1) / 2, means, label=NAMES[run["cell"]], **style)
    left.set(yscale="log", xlabel="update", ylabel="held-out mean squared error")
    left.set_title(f"Adding two of {steps} numbers")
    left.legend()
    right.axhline(1, color="0.6", linestyle=":", label="exact addition: 1")
    right.set(xlabel="lag of the marked number, steps", ylabel="∂answer / ∂number")
    right.set_title("What is left of a number")
    right.legend()
    return figure

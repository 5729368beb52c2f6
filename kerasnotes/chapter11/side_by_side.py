"""Many small networks train side by side in one product, many steps in one call, each as if it were alone.

A claim about training needs several runs, and small networks spend most of their time between the products. What the
reader should see: a layer with one matrix for each run equals as many dense layers; a sum of the runs' losses gives
each run its own gradient, so that Adam moves each as it would alone; and thirty-two runs take less than twice as long
as one.

Notes: chapter 11, "Training difficulties" (训练困难): the runs over which this chapter's claims are measured.
Source: https://www.tensorflow.org/api_docs/python/tf/linalg/matmul (products of batches of matrices); Kingma and Ba
2015, arXiv:1412.6980, algorithm 1 (Adam works weight by weight).
"""

import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import whole

SMOKE = {"steps": 4, "runs": 2, "most": 2}
SECONDS = 6


class ParallelDense(keras.layers.Layer):
    """A dense layer for each of several independent runs, side by side: (runs, batch, inputs) to (runs, batch, units).

    One product of batches of matrices computes all runs, many times faster than one run after the other. A sum over
    the runs' losses gives each run its own gradient, and optimizers that work weight by weight keep the runs apart.

    Args:
        runs: Number of runs.
        units: Outputs of the layer.
        activation: As in `keras.layers.Dense`.
        seed: Pair of whole numbers (start, layer); run i starts from start + i, uniform as in Glorot and Bengio 2010.

    Raises:
        ValueError: If runs or units are not positive, or the input has another number of runs.
    """

    def __init__(self, runs, units, activation=None, seed=(0, 0), **kwargs):
        super().__init__(**kwargs)
        self.runs, self.units, self.seed = whole("runs", runs), whole("units", units), seed
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        if len(input_shape) != 3 or input_shape[0] != self.runs:
            raise ValueError(f"inputs: expected ({self.runs} runs, batch, inputs), got the shape {tuple(input_shape)}")
        limit = np.sqrt(6 / (input_shape[-1] + self.units))
        rngs = [np.random.default_rng((self.seed[0] + run, *self.seed[1:])) for run in range(self.runs)]
        start = np.stack([rng.uniform(-limit, limit, (input_shape[-1], self.units)) for rng in rngs])
        self.kernel = self.add_weight(
            shape=start.shape, initializer=lambda shape, dtype: tf.constant(start, dtype), name="kernel"
        )
        self.bias = self.add_weight(shape=(self.runs, 1, self.units), initializer="zeros", name="bias")

    def call(self, x):
        return self.activation(tf.matmul(x, self.kernel) + self.bias)


def parallel_mlp(runs, inputs, hidden, outputs, seed=0, activation="relu"):
    """Fully connected networks for several runs at once, with a linear last layer.

    Args:
        runs: Number of independent runs.
        inputs, outputs: Numbers of a sample before and after.
        hidden: Units of the hidden layers.
        seed: Seed of the first run's start; the next runs take the next seeds.
        activation: Activation of the hidden layers.

    Returns:
        A `keras.Sequential` from (runs, batch, inputs) to (runs, batch, outputs), with its weights in place.

    Raises:
        ValueError: If a size is not positive.
    """
    layers = [ParallelDense(runs, units, activation, (seed, i)) for i, units in enumerate(hidden)]
    model = keras.Sequential([*layers, ParallelDense(runs, outputs, None, (seed, len(hidden)))])
    model(tf.zeros((runs, 1, whole("inputs", inputs))))
    return model


def take_turns(discriminator_turn, generator_turn, steps, discriminator_steps=1, every=None, record=None, seed=0):
    """Let two players take turns, many turns in one compiled call.

    Args:
        discriminator_turn, generator_turn: Callables from two seeds, an integer tensor (2, 2), to a loss. They must
            have made all variables before, and draw what they need from the seeds.
        steps: Turns of the generator.
        discriminator_steps: Turns of the discriminator before each of them.
        every: Steps between two calls of `record`; None for one call only, at the end.
        record: Callable of the number of steps so far, called at 0, after each `every` steps and at the end, or None.
        seed: Seed of all draws.

    Returns:
        Dictionary with `"step"` (records,), and the players' last losses `"discriminator"` and `"generator"`, each
        (records, ...), where the records are those after step 0.

    Raises:
        ValueError: If steps, discriminator_steps or every is no positive whole number.
    """
    turns = whole("steps", steps) * (whole("discriminator_steps", discriminator_steps) + 1)
    every = steps if every is None else whole("every", every)

    def seeds_of(turn):
        return tf.stack([(seed, 2 * turn), (seed, 2 * turn + 1)])

    # trace each turn once: a loop has to know the shapes of its losses before it begins
    discriminator_turn, generator_turn = traced = [
        tf.function(turn, autograph=False) for turn in (discriminator_turn, generator_turn)
    ]
    shapes = [turn.get_concrete_function(seeds_of(tf.constant(0, tf.int64))).output_shapes for turn in traced]

    def one_step(step, discriminator_value, generator_value):
        first = step * (discriminator_steps + 1)

        def one_turn(i, _):
            return i + 1, discriminator_turn(seeds_of(first + i))

        start = (tf.constant(0, tf.int64), discriminator_value)
        _, discriminator_value = tf.while_loop(lambda i, _: i < discriminator_steps, one_turn, start)
        return step + 1, discriminator_value, generator_turn(seeds_of(first + discriminator_steps))

    def many_steps(first, last):
        losses = tuple(tf.zeros(shape) for shape in shapes)
        return tf.while_loop(lambda step, *_: step < last, one_step, (first, *losses))[1:]

    worth_it = turns >= 200  # XLA takes seconds to compile, which few turns do not earn back
    compiled = tf.function(many_steps, jit_compile=worth_it, autograph=False)
    history = {"step": [], "discriminator": [], "generator": []}
    if record is not None:
        record(0)
    for first in range(0, steps, every):
        last = min(first + every, steps)
        losses = compiled(*(tf.constant(number, tf.int64) for number in (first, last)))
        for name, value in zip(history, (last, *losses), strict=True):
            history[name].append(np.asarray(value))
        if record is not None:
            record(last)
    return {name: np.stack(values) for name, values in history.items()}


def example():
    """Three networks in one product, beside three of Keras's dense layers with the same weights."""
    layer = ParallelDense(runs=3, units=2, activation="tanh", seed=(5, 0))
    x = tf.random.stateless_normal((3, 4, 6), seed=(0, 1))  # (runs, batch, inputs)
    together = layer(x)
    for run in range(3):
        dense = keras.layers.Dense(2, activation="tanh")
        dense.build((None, 6))
        dense.set_weights([layer.kernel[run], layer.bias[run, 0]])
        print("run", run, "beside keras.layers.Dense:", together[run, 0].numpy(), dense(x[run])[0].numpy())

    weights = keras.Variable([1.0, 1.0])  # a game of two: the one shrinks w₀ w₁ by w₀, the other makes it grow by w₁

    def turn(mine, sign):
        def play(seeds):
            weights.assign_add(sign * 0.1 * tf.one_hot(mine, 2) * weights.value[1 - mine])
            return weights.value[0] * weights.value[1]

        return play

    print("after 10 turns each:", take_turns(turn(0, -1.0), turn(1, 1.0), 10)["generator"], weights.numpy())


def lesson(report, *, steps: int = 200, runs: int = 8, most: int = 32, seed: int = 0):
    """Hold networks side by side against single ones, in their outputs, their training and their time.

    Args:
        report: The report to write to.
        steps: Training steps (2 to 100000).
        runs: Networks that are trained both ways (2 to 64).
        most: Largest number of networks that are timed (2 to 1024).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _one_layer(report, runs, seed)
    together, alone = _curve_fit(runs, steps, seed), [_curve_fit(1, steps, seed, run) for run in range(runs)]
    label = "each network's loss on the way is that of the same network trained alone"
    report.check(label, together, np.concatenate(alone, axis=1), rtol=1e-2, atol=1e-4)
    seconds = _times(report, most, seed)
    _figure(report, together, alone, seconds)


def _one_layer(report, runs, seed):
    layer = ParallelDense(runs, 4, "tanh", (seed, 0))
    x = tf.random.stateless_normal((runs, 6, 3), (seed, 1))
    y, want = layer(x), []
    for run in range(runs):
        dense = keras.layers.Dense(4, "tanh")
        dense.build((None, 3))
        dense.set_weights([layer.kernel[run], layer.bias[run, 0]])
        want.append(dense(x[run]))
    report.check("a layer of several runs is as many dense layers", y, tf.stack(want), rtol=1e-5, atol=1e-6)
    single = ParallelDense(1, 4, "tanh", (seed + 1, 0))
    single(x[:1])
    label = "run 1 of a seed starts as run 0 of the next seed"
    report.check(label, layer.kernel[1], single.kernel[0], rtol=0, atol=0)


def _trainer(networks, seed):
    """A compiled step of networks that learn the sine; the first starts from `seed`, the next from the next seeds."""
    model = parallel_mlp(networks, 1, (16, 16), 1, seed, "tanh")
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(model.trainable_variables)
    x = tf.tile(tf.linspace(-2.0, 2.0, 64)[None, :, None], (networks, 1, 1))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            losses = tf.reduce_mean((model(x) - tf.sin(2 * x)) ** 2, axis=(1, 2))  # (networks,)
            total = tf.reduce_sum(losses)  # not the mean: each network's own gradient, whole
        optimizer.apply(tape.gradient(total, model.trainable_variables), model.trainable_variables)
        return losses

    return step


def _curve_fit(networks, steps, seed, first=0):
    """Losses (steps, networks)."""
    step = _trainer(networks, seed + first)
    return np.stack([step().numpy() for _ in range(steps)])


def _times(report, most, seed, repeats=5, count=20):
    counts = [1 << power for power in range(most.bit_length()) if 1 << power <= most]
    seconds = []
    for networks in counts:
        step = _trainer(networks, seed)
        step()
        tries = []
        for _ in range(repeats):
            start = time.perf_counter()
            for _ in range(count):
                step()
            tries.append((time.perf_counter() - start) / count)
        seconds.append(min(tries))
    rows = [[n, 1e3 * s, 1e3 * s / n, s / seconds[0]] for n, s in zip(counts, seconds, strict=True)]
    columns = ["networks", "milliseconds a step", "milliseconds a step and network", "milliseconds over one network's"]
    report.table("networks of 16 and 16 units, batches of 64", columns, rows)
    return {"side by side": np.array(seconds), "one after the other": seconds[0] * np.array(counts), "": counts}


def _figure(report, together, alone, seconds):
    counts = seconds.pop("")
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.2))
    steps = np.arange(1, len(together) + 1)
    for run, losses in enumerate(alone):
        left.plot(steps, together[:, run], "-", color="C0", label="side by side" if run == 0 else None)
        left.plot(steps, losses[:, 0], ":", color="C1", label="alone" if run == 0 else None)
    left.set(xlabel="steps", ylabel="mean squared error", yscale="log")
    left.set_title("Each learns as if it were alone")
    left.legend()
    series = {name: 1e3 * each for name, each in seconds.items()}
    plots.curves(counts, series, xlabel="networks", ylabel="milliseconds a step", xscale="log", yscale="log",
                 marker="o", title="and many take about as long as two", ax=right)  # fmt: skip
    report.figure(
        "Many networks in one product",
        figure,
        alt="Left: the losses of networks trained side by side lie on those of the same networks trained alone. Right: "
        "the time of a step grows slowly with the number of networks side by side, in proportion one after the other.",
    )

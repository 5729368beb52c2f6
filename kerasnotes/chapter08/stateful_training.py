"""The state of a recurrent network goes on from batch to batch, while the gradient stops at each batch's beginning.

What the reader should see: a long text becomes rows that are read side by side, each batch going on where the last one
ended. The state is handed over, so nothing read is lost; the tape starts anew, so that an update stays short. Because
a step needs nothing but the last state, a whole epoch can run in one compiled call, which changes the time of a step
and not its result.

Notes: chapter 08, "Stateful training" (带状态的训练).
Source: Williams and Peng 1990, doi:10.1162/neco.1990.2.4.490; Mikolov et al. 2010, doi:10.21437/Interspeech.2010-343.
"""

import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter08.clipping import clip_by_global_norm
from kerasnotes.chapter08.counting_models import text_ids
from kerasnotes.chapter08.sequences import one_hot
from kerasnotes.parts import positive, whole

SMOKE = {"units": 4, "batches": 1, "batch_size": 2, "steps": 4}
SECONDS = 8

CLIP_NORM = 5.0


class CharacterModel(keras.Model):
    """A simple recurrent layer and a dense layer that give logits for the next character at every step.

    The call `model(ids, initial_state=None, return_state=False)` takes ids (batch, steps), integers from 0 to
    vocabulary_size - 1, and the state (batch, units) that an earlier call returned; None starts from zeros. It gives
    logits (batch, steps, vocabulary_size) or, with `return_state=True`, `(logits, state)`.

    Args:
        vocabulary_size: Number of different characters, at least 2.
        units: Size of the hidden state, positive.
        seed: Seed of the initial weights, or None for Keras's global one.
    """

    def __init__(self, vocabulary_size, units, seed=None):
        super().__init__()
        self.vocabulary_size, self.units = whole("vocabulary_size", vocabulary_size, 2), whole("units", units)
        seeds = keras.random.SeedGenerator(seed) if seed is not None else None
        self.rnn = keras.layers.SimpleRNN(
            units,
            return_sequences=True,
            return_state=True,
            kernel_initializer=keras.initializers.GlorotUniform(seeds),
            recurrent_initializer=keras.initializers.Orthogonal(seed=seeds),
        )
        self.head = keras.layers.Dense(vocabulary_size, kernel_initializer=keras.initializers.GlorotUniform(seeds))
        self.rnn.build((None, None, vocabulary_size))
        self.head.build((None, None, units))
        self.built = True

    def call(self, ids, initial_state=None, return_state=False):
        x = one_hot(ids, self.vocabulary_size)  # (batch, steps, vocabulary)
        states, last = self.rnn(x, initial_state=initial_state)  # (batch, steps, units), (batch, units)
        logits = self.head(states)  # (batch, steps, vocabulary)
        return (logits, last) if return_state else logits


def stateful_batches(ids, batch_size, steps):
    """Cut a text into batches whose rows continue the rows of the batch before.

    Row b reads its own part of the text from left to right, so that the state after one batch is the right start for
    the next. Characters at the end that do not fill a batch are left out.

    Args:
        ids: The text (length,), integers.
        batch_size: Rows of a batch, positive.
        steps: Characters of a row in one batch, positive: gradients reach back this far and no further.

    Returns:
        `(inputs, targets)`, int32 (batches, batch_size, steps); targets are one character ahead.

    Raises:
        ValueError: If a size is not positive, or the text does not fill one batch.
    """
    ids = text_ids("ids", ids, 2)
    batches = (len(ids) - 1) // (whole("batch_size", batch_size) * whole("steps", steps))
    if batches == 0:
        raise ValueError(f"ids: expected more than batch_size * steps = {batch_size * steps}, got {len(ids)}")
    used = batches * batch_size * steps
    parts = [part.reshape(batch_size, batches, steps).swapaxes(0, 1) for part in (ids[:used], ids[1 : used + 1])]
    return np.ascontiguousarray(parts[0]), np.ascontiguousarray(parts[1])


def training_function(model, optimizer, clip_norm=CLIP_NORM, jit_compile=False):
    """Compile truncated back-propagation through time over any number of stateful batches.

    Args:
        model: A `CharacterModel`, or a model with the same call.
        optimizer: A Keras optimizer.
        clip_norm: Bound of the gradients' global norm, positive.
        jit_compile: Whether to compile with XLA.

    Returns:
        Function `(inputs, targets, state) -> (losses (batches,), state)` that takes one step of the optimizer for each
        batch of inputs and targets (batches, batch_size, steps); state is (batch_size, units).

    Raises:
        ValueError: If `clip_norm` is not positive.
    """
    positive("clip_norm", clip_norm)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=jit_compile)
    def train(inputs, targets, state):
        def step(batch, losses, state):
            # The tape starts after the state was computed: the gradient stops there, the state itself goes on.
            with tf.GradientTape() as tape:
                logits, new_state = model(inputs[batch], initial_state=state, return_state=True)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets[batch], logits))
            # Shorten the gradient, learn, and go on to the next batch.
            gradients, _ = clip_by_global_norm(tape.gradient(loss, model.trainable_variables), clip_norm)
            optimizer.apply(gradients, model.trainable_variables)
            return batch + 1, losses.write(batch, loss), new_state

        batches, losses = inputs.shape[0], tf.TensorArray(tf.float32, inputs.shape[0])
        start = (0, losses, state)
        _, losses, state = tf.while_loop(lambda batch, *_: batch < batches, step, start, parallel_iterations=1)
        return losses.stack(), state

    return train


def example():
    """Read a text in two halves with the state handed over, then train on it, batch after batch."""
    ids = np.arange(61) % 5
    inputs, targets = stateful_batches(ids, batch_size=2, steps=10)
    print("batches, rows, steps:", inputs.shape, "- row 0 reads", inputs[:, 0].ravel()[:14], "…")
    model = CharacterModel(5, units=8, seed=0)
    _, state = model(inputs[0], return_state=True)
    _, state = model(inputs[1], initial_state=state, return_state=True)
    layer = keras.layers.SimpleRNN(8, stateful=True)  # Keras keeps the state inside the layer
    layer(one_hot(inputs[0], 5))
    layer.set_weights(model.rnn.get_weights())
    layer.reset_states()
    for batch in inputs[:2]:
        last = layer(one_hot(batch, 5))
    print("largest difference from Keras's stateful layer:", float(tf.reduce_max(tf.abs(last - state))))
    train = training_function(model, keras.optimizers.SGD(0.5))
    losses, state = train(tf.constant(inputs), tf.constant(targets), tf.zeros((2, 8)))
    print("losses of three steps in one call:", losses.numpy())


def lesson(
    report,
    *,
    units: int = 128,
    batches: int = 30,
    batch_size: int = 32,
    steps: int = 50,
    symbols: int = 64,
    seed: int = 0,
):
    """Hand the state over, and compile one step or many into a call.

    Args:
        report: The report to write to.
        units: Size of the hidden state (1 to 4096).
        batches: Batches of the text, in one call or one by one (1 to 1000).
        batch_size: Places of the text that are read side by side (1 to 1024).
        steps: Characters that the gradient reaches back (2 to 1000).
        symbols: Different characters (2 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    text = np.cumsum(rng.integers(1, 3, batches * batch_size * steps + 1)) % symbols  # the next one is one of two
    inputs, targets = (tf.constant(part) for part in stateful_batches(text, batch_size, steps))
    _handed_over(report, CharacterModel(symbols, units, seed=seed), inputs)
    _ways_to_compile(report, symbols, units, inputs, targets, seed)


def _handed_over(report, model, inputs):
    """The halves of a batch one after the other against one call on both, output and gradient."""
    half = inputs.shape[2] // 2
    first, second = inputs[0, :, :half], inputs[0, :, half:]  # (batch_size, steps of a half)
    whole_logits = model(inputs[0])
    logits, state = model(first, return_state=True)
    more = model(second, initial_state=state)
    report.check(
        "two calls with the state carried over equal one", tf.concat([logits, more], 1), whole_logits, atol=1e-5
    )
    forgetful = model(second)
    change = tf.reduce_max(tf.abs(forgetful - more)[:, 0])
    report.at_least("without the state: largest change of the first answer", change, bound=1e-3)
    with tf.GradientTape(persistent=True) as tape:
        x = tf.Variable(one_hot(first, model.vocabulary_size))
        _, state = model.rnn(x)
        after = model.rnn(one_hot(second, model.vocabulary_size), initial_state=state)[1]
        cut = model.rnn(one_hot(second, model.vocabulary_size), initial_state=tf.stop_gradient(state))[1]
    report.at_least("gradient that reaches the batch before, norm", tf.norm(tape.gradient(after, x)), 1e-12)
    stopped = tape.gradient(cut, x, unconnected_gradients="zero")
    report.check("with the tape started anew none does", got=tf.norm(stopped), want=0.0)


def _ways_to_compile(report, symbols, units, inputs, targets, seed):
    """One step or many in one compiled call, with XLA and without: the same weights, different times."""
    count = len(inputs)
    rows, last = [], []
    for compiled_by in ("XLA", "graph"):
        for batches in sorted({1, count}):
            model = CharacterModel(symbols, units, seed=seed)
            train = training_function(model, keras.optimizers.Adam(1e-3), jit_compile=compiled_by == "XLA")
            parts = [slice(number, number + batches) for number in range(0, count, batches)]
            state = tf.zeros((inputs.shape[1], units))
            for part in parts:  # the first call compiles
                loss, state = train(inputs[part], targets[part], state)
            last.append(float(loss[-1]))
            start = time.perf_counter()
            for part in parts:
                loss, state = train(inputs[part], targets[part], state)
            loss.numpy()
            rows.append([f"{batches} a call", compiled_by, 1000 * (time.perf_counter() - start) / count])
    report.table("Training steps in one compiled call", ["steps", "compiled by", "ms a step"], rows)
    report.check(
        f"loss of step {count}, however the steps are compiled", last[:-1], last[-1:] * (len(last) - 1), rtol=1e-3
    )
    names = [f"{compiled_by},\n{steps}" for steps, compiled_by, _ in rows]
    title = "Many steps in one call"
    figure = plots.bars(names, [row[2] for row in rows], ylabel="ms a training step", title=title)
    alt = "Milliseconds a training step: " + ", ".join(f"{by}, {steps}: {ms:.1f}" for steps, by, ms in rows)
    report.figure("Many steps in one call", figure, alt=alt + ".")

"""A recurrent network that reads a novel character by character learns to predict the next one.

What the reader should see: before training the network hesitates between all characters alike, and after a few passes
through a novel between four. It beats models that count groups of two, three or four characters; those that count
groups of five still win. What it writes turns from noise into something like English, more cautious at a low
temperature.

Notes: chapter 08, "Language model" (语言模型).
Source: Mikolov et al. 2010, Interspeech, "Recurrent neural network based language model"; Jelinek and Mercer 1980,
"Interpolated estimation of Markov source parameters from sparse data" (the counting models).
"""

import math
import re
import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter08.clipping import clip_by_global_norm
from kerasnotes.chapter08.sequences import Vocabulary, one_hot

SMOKE = {"epochs": 1, "units": 8, "batch_size": 4, "steps": 10, "characters": 6_000, "sample_length": 20}
FULL = {"epochs": 30, "units": 256}
SECONDS = 30

CLIP_NORM = 5.0
ORDERS = (2, 3, 4, 5)  # lengths of the counted groups of characters


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
        if vocabulary_size < 2:
            raise ValueError(f"vocabulary_size: expected at least 2, got {vocabulary_size!r}")
        if units < 1:
            raise ValueError(f"units: expected a positive number, got {units!r}")
        self.vocabulary_size, self.units = vocabulary_size, units
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
    ids = _checked_text(ids, 2)
    for name, value in (("batch_size", batch_size), ("steps", steps)):
        if value < 1:
            raise ValueError(f"{name}: expected a positive number, got {value!r}")
    batches = (len(ids) - 1) // (batch_size * steps)
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
    if not clip_norm > 0:
        raise ValueError(f"clip_norm: expected a positive number, got {clip_norm!r}")
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=jit_compile)
    def train(inputs, targets, state):
        losses = tf.TensorArray(tf.float32, inputs.shape[0])
        for batch in tf.range(inputs.shape[0]):
            # The tape starts after the state was computed: the gradient stops there, the state itself goes on.
            with tf.GradientTape() as tape:
                logits, new_state = model(inputs[batch], initial_state=state, return_state=True)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets[batch], logits))
            gradients, _ = clip_by_global_norm(tape.gradient(loss, model.trainable_variables), clip_norm)
            optimizer.apply(gradients, model.trainable_variables)
            losses, state = losses.write(batch, loss), new_state
        return losses.stack(), state

    return train


def perplexity(model, ids, steps=50):
    """Perplexity per character: exp of the mean cross-entropy of each character given all characters before it.

    A model that hesitates between k equally likely characters has perplexity k.

    Args:
        model: A `CharacterModel`, or a model with the same call.
        ids: The text (length,), at least two characters; the first one is given, not predicted.
        steps: Characters in one call. The state is carried on, so it changes speed and memory, not the result.

    Returns:
        The perplexity, float.

    Raises:
        ValueError: If `ids` is too short or not a list of valid integers, or `steps` is not positive.
    """
    ids = _checked_text(ids, 2, getattr(model, "vocabulary_size", None))
    if steps < 1:
        raise ValueError(f"steps: expected a positive number, got {steps!r}")
    total, state = 0.0, tf.zeros((1, model.units))
    for start in range(0, len(ids) - 1, steps):
        part = tf.constant(ids[start : start + steps + 1])
        loss, state = _loss_and_state(model, part[tf.newaxis, :-1], part[tf.newaxis, 1:], state)
        total += float(loss)
    return math.exp(total / (len(ids) - 1))


def generate(model, prefix, length, temperature=1.0, seed=0):
    """Let the model write on, one character after the other, each drawn from its own prediction.

    Args:
        model: A `CharacterModel`, or a model with the same call.
        prefix: Ids (n,) to read first, at least one.
        length: Characters to write, positive.
        temperature: Divides the logits, positive: below 1 likely characters become likelier, above 1 less so.
        seed: Seed of the draws.

    Returns:
        The new ids, int32 (length,), without the prefix.

    Raises:
        ValueError: If an argument lies outside its range.
    """
    prefix = _checked_text(prefix, 1, getattr(model, "vocabulary_size", None), name="prefix")
    if length < 1:
        raise ValueError(f"length: expected a positive number, got {length!r}")
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature: expected a positive number, got {temperature!r}")
    rng, written, state = np.random.default_rng(seed), [], tf.zeros((1, model.units))
    for number in range(len(prefix) + length - 1):
        last = prefix[number] if number < len(prefix) else written[-1]
        logits, state = _logits_and_state(model, tf.constant([[last]], tf.int32), state)
        if number >= len(prefix) - 1:
            scaled = logits.numpy()[0, -1].astype(np.float64) / temperature
            probabilities = np.exp(scaled - scaled.max())
            written.append(int(rng.choice(len(scaled), p=probabilities / probabilities.sum())))
    return np.array(written, np.int32)


def ngram_probabilities(train, ids, order, vocabulary_size):
    """Probability of each character of a text by counting groups of characters in another text.

    Args:
        train: The text to count in (length,), integers from 0 to vocabulary_size - 1.
        ids: The text to predict (n,); its first character is given, not predicted.
        order: Longest group: 2 counts pairs, 3 triples, and so on.
        vocabulary_size: Number of different characters.

    Returns:
        Array (order + 1, n - 1). Row 0 is 1 / vocabulary_size, row k the share of groups of k characters that end with
        the character at hand among all that begin alike. If none begins alike, row k repeats row k - 1.

    Raises:
        ValueError: If a text is too short or holds other ids, or the order is below 1 or too high for 64-bit numbers.
    """
    train, ids = _checked_text(train, 1, vocabulary_size, "train"), _checked_text(ids, 2, vocabulary_size)
    if order < 1 or order * math.log2(vocabulary_size + 1) > 62:
        raise ValueError(f"order: expected at least 1 and (vocabulary_size + 1) ** order below 2 ** 62, got {order!r}")
    train, ids = train.astype(np.int64) + 1, ids.astype(np.int64) + 1  # 0 stands for the time before the text
    rows = [np.full(len(ids) - 1, 1.0 / vocabulary_size)]
    for k in range(1, order + 1):
        groups, wanted = (_groups(text, k, vocabulary_size + 1) for text in (train, ids))
        hits = _count(groups, wanted[1:])
        begun = _count(groups // (vocabulary_size + 1), wanted[1:] // (vocabulary_size + 1))
        rows.append(np.where(begun > 0, hits / np.maximum(begun, 1), rows[-1]))
    return np.stack(rows)


def interpolation_weights(probabilities, iterations=100):
    """Weights that mix several predictions so that a text becomes most likely, by expectation maximization.

    Args:
        probabilities: What each model gives the characters of a text (models, n); no character may have 0 from all.
        iterations: Rounds, positive.

    Returns:
        Weights (models,), at least 0, with sum 1.

    Raises:
        ValueError: If the shape or a value is wrong, or `iterations` is not positive.

    Source: Jelinek and Mercer 1980.
    """
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or p.size == 0 or not ((p >= 0) & (p <= 1)).all() or not p.max(axis=0).all():
        raise ValueError(f"probabilities: expected (models, n) in [0, 1], none 0 in all models, got shape {p.shape}")
    if iterations < 1:
        raise ValueError(f"iterations: expected a positive number, got {iterations!r}")
    weights = np.full(len(p), 1.0 / len(p))
    for _ in range(iterations):
        shares = weights[:, np.newaxis] * p  # (models, n): which model does a character come from?
        weights = (shares / shares.sum(axis=0)).mean(axis=1)
    return weights


def lesson(
    report,
    *,
    epochs: int = 8,
    units: int = 128,
    batch_size: int = 32,
    steps: int = 50,
    learning_rate: float = 0.01,
    characters: int = 1_000_000,
    sample_length: int = 120,
    seed: int = 0,
):
    """Train a character model on a novel, beside models that count, and let it write.

    Args:
        report: The report to write to.
        epochs: Passes through the training part (1 to 1000).
        units: Size of the hidden state (1 to 4096).
        batch_size: Places of the text that are read side by side (1 to 1024).
        steps: Characters that the gradient reaches back (1 to 1000).
        learning_rate: Highest learning rate of Adam (0.000001 to 1).
        characters: Characters of the novel to use, all if it has fewer (6000 to 1000000).
        sample_length: Characters of each written sample (1 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    novel = data.novel()[:characters]
    cuts = int(0.9 * len(novel)), int(0.95 * len(novel))
    texts = novel[: cuts[0]], novel[cuts[0] : cuts[1]], novel[cuts[1] :]
    vocabulary = Vocabulary(texts[0])  # a character that only later parts have is unknown
    train, validation, test = (np.array(vocabulary.encode(text), np.int32) for text in texts)
    report.note(
        f"The novel's first 90 % are for training ({len(train):,} characters), the next 5 % for choosing the weights "
        f"of the counting models and the network's learning rate, the last 5 % ({len(test):,}) for the figures shown. "
        "The rate 0.01 was chosen on the middle part among rates from 0.002 to 0.016, not all with the same schedule "
        "and number of epochs."
    )
    counted = _counting(report, train, validation, test, len(vocabulary))

    model = CharacterModel(len(vocabulary), units, seed=seed)
    _carried_state(report, model, test[:201])
    inputs, targets = (tf.constant(part) for part in stateful_batches(train, batch_size, steps))
    untrained = perplexity(model, test, steps=1000)
    report.check("perplexity before training, near the vocabulary size", untrained, len(vocabulary), rtol=0.25)
    spread = float(tf.math.reduce_std(model(test[np.newaxis, :200]), axis=-1)[0].numpy().mean())
    report.note(
        "It may lie a little above: random logits of variance s² are confident by chance, which raises its logarithm "
        f"by about s²/2; here s is {spread:.2f}, which gives {len(vocabulary) * math.exp(spread**2 / 2):.1f}. Luck on "
        "frequent characters moves the logarithm by about s·√(Σ f²), f the characters' shares, near 0.07; three times "
        "that and s²/2 make the tolerance of 25 %. A model whose logits are all 0 has exactly the vocabulary's size."
    )
    flat = CharacterModel(len(vocabulary), 4)
    flat.head.kernel.assign(tf.zeros_like(flat.head.kernel))
    report.check("perplexity when all logits are 0", perplexity(flat, test[:201], 200), len(vocabulary), rtol=1e-5)
    samples = [("before", *row) for row in _samples(model, vocabulary, novel, sample_length, seed)]
    _ways_to_compile(report, vocabulary, units, inputs, targets, seed)

    updates = epochs * len(inputs)
    schedule = keras.optimizers.schedules.CosineDecay(  # the rate rises over 100 steps and then falls to 0
        learning_rate / 10, updates, warmup_target=learning_rate, warmup_steps=min(100, updates // 2)
    )
    train_epoch = training_function(model, keras.optimizers.Adam(schedule))
    curve = [untrained]
    for _ in report.track(range(epochs), "training"):
        train_epoch(inputs, targets, tf.zeros((batch_size, units)))
        curve.append(perplexity(model, test, steps=1000))
    report.at_most("held-out perplexity of the network, per character", curve[-1], 5.7, trained=True)
    for order, name in ((2, "pairs"), (3, "triples")):
        label = f"held-out perplexity of the network over that of counted {name}"
        report.at_most(label, curve[-1] / counted[order], 1.0, trained=True)
    samples += [("after", *row) for row in _samples(model, vocabulary, novel, sample_length, seed)]
    columns = ["training", "temperature", "words of the novel, %", "what the network writes after “It was ”"]
    report.table("Samples (↵ starts a new line)", columns, samples)

    sizes = [[f"counted groups of up to {order}", value] for order, value in counted.items()]
    report.table(
        "Held-out perplexity per character",
        ["model", "perplexity"],
        [["all characters alike", float(len(vocabulary))], *sizes, [f"network of {units} units", curve[-1]]],
    )
    report.figure("The network learns to predict the next character", _figure(curve, counted), alt=_alt(curve, counted))


def _counting(report, train, validation, test, size):
    """Held-out perplexity of the interpolated counting models, as a dictionary from order to value."""
    held_in = ngram_probabilities(train, validation, max(ORDERS), size)
    held_out = ngram_probabilities(train, test, max(ORDERS), size)
    result = {}
    for order in ORDERS:
        weights = interpolation_weights(held_in[: order + 1])
        result[order] = float(np.exp(-np.log(weights @ held_out[: order + 1]).mean()))
    context = test[: max(ORDERS) - 1]
    followed = np.concatenate([[*context, last] for last in range(size)])  # every character after the same context
    rows = ngram_probabilities(train, followed, max(ORDERS), size)[:, len(context) - 1 :: len(context) + 1]
    sums = rows.sum(axis=1)
    report.check("the counted probabilities of the next character sum to 1", got=sums, want=np.ones_like(sums))
    return result


def _carried_state(report, model, ids):
    whole = model(ids[np.newaxis])
    first, state = model(ids[np.newaxis, :80], return_state=True)
    second = model(ids[np.newaxis, 80:], initial_state=state)
    report.check("two calls with the state carried over equal one", tf.concat([first, second], 1), whole, atol=1e-5)
    short, long = perplexity(model, ids, steps=40), perplexity(model, ids, steps=200)
    report.check("perplexity with 40 and with 200 characters a call", got=short, want=long, rtol=1e-5)


def _ways_to_compile(report, vocabulary, units, inputs, targets, seed):
    """One step or many in one compiled call, with XLA and without: the same weights, different times."""
    count = min(30, len(inputs))
    rows, weights = [], []
    for jit_compile in (True, False):
        for batches in (1, count):
            model = CharacterModel(len(vocabulary), units, seed=seed)
            train = training_function(model, keras.optimizers.Adam(1e-3), jit_compile=jit_compile)
            state, losses = tf.zeros((inputs.shape[1], units)), []
            for number in range(0, count, batches):
                part = slice(number, number + batches)
                loss, state = train(inputs[part], targets[part], state)
                losses.append(loss)
            weights.append(float(tf.concat(losses, 0)[-1]))
            start = time.perf_counter()
            for number in range(0, count, batches):
                part = slice(number, number + batches)
                loss, state = train(inputs[part], targets[part], state)
            loss.numpy()
            milliseconds = 1000 * (time.perf_counter() - start) / count
            rows.append([f"{batches} a call", "XLA" if jit_compile else "graph", milliseconds])
    report.table("Training steps in one compiled call", ["steps", "compiled by", "ms a step"], rows)
    report.check(f"loss of step {count}, however the steps are compiled", weights[:3], weights[3:] * 3, rtol=1e-3)
    report.note("The training below runs a whole epoch a call, compiled as a graph.")


def _samples(model, vocabulary, novel, length, seed):
    known = set(re.findall(r"[a-z]+", novel.lower()))
    rows = []
    for temperature in (0.5, 0.8, 1.2):
        ids = generate(model, vocabulary.encode("It was "), length, temperature, seed)
        text = "".join(token if len(token) == 1 else "□" for token in vocabulary.decode(ids))
        words = re.findall(r"[a-z]+", text.lower().rpartition(" ")[0])  # the last word may be cut off
        share = 100 * sum(word in known for word in words) / max(len(words), 1)
        rows.append((temperature, round(share), text.replace("\n", "↵")))
    return rows


def _figure(curve, counted):
    figure = plots.curves(
        np.arange(len(curve)),
        {"recurrent network": curve},
        xlabel="epochs of training",
        ylabel="held-out perplexity per character",
        title=f"From {curve[0]:.0f} equal choices to {curve[-1]:.1f}",
        yscale="log",
        marker="o",
    )
    (ax,) = figure.axes
    for number, (order, value) in enumerate(counted.items(), 1):
        style = plots.LINE_STYLES[number % len(plots.LINE_STYLES)]
        ax.axhline(value, color=f"C{number}", linestyle=style, label=f"counted groups of {order}: {value:.1f}")
    ax.set_yticks([4, 6, 10, 20, 40, 80], ["4", "6", "10", "20", "40", "80"])
    ax.minorticks_off()
    ax.legend()
    return figure


def _alt(curve, counted):
    values = ", ".join(f"{value:.1f} for groups of {order}" for order, value in counted.items())
    return (
        f"Held-out perplexity of the network falls from {curve[0]:.0f} to {curve[-1]:.2f} in {len(curve) - 1} epochs; "
        f"horizontal lines show the counting models: {values}."
    )


@tf.function(jit_compile=True)
def _loss_and_state(model, inputs, targets, state):
    logits, state = model(inputs, initial_state=state, return_state=True)
    return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)), state


@tf.function(jit_compile=True)
def _logits_and_state(model, ids, state):
    return model(ids, initial_state=state, return_state=True)


def _checked_text(ids, shortest, vocabulary_size=None, name="ids"):
    ids = np.asarray(ids)
    if ids.ndim != 1 or len(ids) < shortest or ids.dtype.kind not in "iu":
        raise ValueError(f"{name}: expected at least {shortest} integers (length,), got {ids.dtype} {ids.shape}")
    if ids.min() < 0 or (vocabulary_size is not None and ids.max() >= vocabulary_size):
        raise ValueError(f"{name}: expected ids from 0 to vocabulary_size - 1, got {ids.min()} to {ids.max()}")
    return ids.astype(np.int32)


def _groups(text, k, base):
    """The group of k characters that ends at each place of the text, as one number in the given base."""
    padded = np.concatenate([np.zeros(k - 1, np.int64), text])
    return sum(padded[j : j + len(text)] * base ** (k - 1 - j) for j in range(k))


def _count(groups, wanted):
    """How often each of `wanted` occurs in `groups`."""
    different, counts = np.unique(groups, return_counts=True)
    places = np.minimum(np.searchsorted(different, wanted), len(different) - 1)
    return np.where(different[places] == wanted, counts[places], 0)

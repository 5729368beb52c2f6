"""A recurrent network that reads a novel character by character learns to predict the next one.

Its measure is the perplexity: the number of equally likely characters between which it would hesitate as much. What
the reader should see: before training it is about the vocabulary's size, and after a few passes through a novel four.
The network beats models that count groups of two, three or four characters; those that count groups of five still win.
What it writes turns from noise into something like English, more cautious at a low temperature, which makes likely
characters likelier still.

Notes: chapter 08, "Language model" (语言模型).
Source: Mikolov et al. 2010, doi:10.21437/Interspeech.2010-343.
"""

import math
import re

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter08.counting_models import interpolated_perplexities, text_ids, three_parts
from kerasnotes.chapter08.counting_models import interpolation_weights as interpolation_weights  # also found here
from kerasnotes.chapter08.counting_models import ngram_probabilities as ngram_probabilities  # also found here
from kerasnotes.chapter08.stateful_training import CharacterModel, stateful_batches, training_function
from kerasnotes.parts import positive, whole

SMOKE = {"epochs": 1, "units": 4, "batch_size": 27, "steps": 50, "characters": 6_000, "sample_length": 20}
FULL = {"epochs": 30, "units": 256}
SECONDS = 30

ORDERS = (2, 3, 4, 5)  # lengths of the counted groups of characters


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
    ids = text_ids("ids", ids, 2, getattr(model, "vocabulary_size", None))
    total, state = 0.0, tf.zeros((1, model.units))
    for start in range(0, len(ids) - 1, whole("steps", steps)):
        # A part's last character is its last target and the first input of the next part.
        part = tf.constant(ids[start : start + steps + 1])  # (steps + 1,); the last part may be shorter
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
    prefix = text_ids("prefix", prefix, 1, getattr(model, "vocabulary_size", None))
    positive("temperature", temperature)
    rng, written, state = np.random.default_rng(seed), [], tf.zeros((1, model.units))
    for number in range(len(prefix) + whole("length", length) - 1):
        # Read the prefix, then what was written last; all that came before is in the state.
        last = prefix[number] if number < len(prefix) else written[-1]
        logits, state = _logits_and_state(model, tf.constant([[last]], tf.int32), state)
        if number >= len(prefix) - 1:
            # Draw the next character, so that one beginning can go on in many ways.
            scaled = logits.numpy()[0, -1].astype(np.float64) / temperature  # (vocabulary,)
            probabilities = np.exp(scaled - scaled.max())  # the largest is 1: no overflow
            written.append(int(rng.choice(len(scaled), p=probabilities / probabilities.sum())))
    return np.array(written, np.int32)


@tf.function(jit_compile=True)
def _loss_and_state(model, inputs, targets, state):
    """The sum of the cross-entropies, not their mean: the last part of a text may be shorter than the others."""
    logits, state = model(inputs, initial_state=state, return_state=True)  # logits (1, steps, vocabulary)
    return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)), state


@tf.function(jit_compile=True)
def _logits_and_state(model, ids, state):
    return model(ids, initial_state=state, return_state=True)


def example():
    """Teach a small network one sentence, again and again; its perplexity by us and by Keras's loss; let it write."""
    text = "the cat sat on the mat. " * 20
    letters = sorted(set(text))
    ids = np.array([letters.index(letter) for letter in text], np.int32)
    model = CharacterModel(len(letters), units=16, seed=0)
    train = training_function(model, keras.optimizers.Adam(0.02))
    inputs, targets = (tf.constant(part) for part in stateful_batches(ids, batch_size=2, steps=20))
    print("perplexity before:", perplexity(model, ids[:101]), "of", len(letters), "characters")
    for _ in range(12):
        train(inputs, targets, tf.zeros((2, 16)))  # the state that a pass starts from: (batch_size, units)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(ids[1:101], model(ids[np.newaxis, :100])[0])
    print("and after:", perplexity(model, ids[:101]), "or, from Keras's loss, exp", float(loss))
    print("it writes:", "".join(letters[number] for number in generate(model, ids[:4], 24, temperature=0.5)))


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
    train, validation, test, vocabulary = three_parts(data.novel()[:characters])
    report.note(
        f"The novel's first 90 % are for training ({len(train):,} characters), the next 5 % for choosing the weights "
        f"of the counting models and the network's learning rate, the last 5 % ({len(test):,}) for the figures shown. "
        "The rate 0.01 was chosen on the middle part among rates from 0.002 to 0.016, not all with the same schedule "
        "and number of epochs."
    )
    # What is to beat: counting models, and the network before it has read anything.
    counted = interpolated_perplexities(train, validation, test, ORDERS, len(vocabulary))
    model = CharacterModel(len(vocabulary), units, seed=seed)
    untrained = _before_training(report, model, test, len(vocabulary))
    # Rows of text that are read side by side: (batches, batch_size, steps).
    inputs, targets = (tf.constant(part) for part in stateful_batches(train, batch_size, steps))
    samples = [("before", *row) for row in _samples(model, vocabulary, sample_length, seed)]

    updates = epochs * len(inputs)
    schedule = keras.optimizers.schedules.CosineDecay(  # the rate rises over 100 steps and then falls to 0
        learning_rate / 10, updates, warmup_target=learning_rate, warmup_steps=min(100, updates // 2)
    )
    train_epoch = training_function(model, keras.optimizers.Adam(schedule))
    curve = [untrained]
    for _ in report.track(range(epochs), "training"):
        # Learn: each pass starts at the beginning of its rows, so with an empty state.
        train_epoch(inputs, targets, tf.zeros((batch_size, units)))
        # Measure on text that is never learnt from; nothing is chosen by it, it only gives the curve.
        curve.append(perplexity(model, test, steps=1000))
    # Write again, with the same seed, and judge.
    samples += [("after", *row) for row in _samples(model, vocabulary, sample_length, seed)]
    _held_out(report, curve, counted, len(vocabulary), units)
    columns = ["training", "temperature", "words of the novel, %", "what the network writes after “It was ”"]
    report.table("Samples (↵ starts a new line)", columns, samples)
    report.figure("The network learns to predict the next character", _figure(curve, counted), alt=_alt(curve, counted))


def _before_training(report, model, test, size):
    """Three tests of the measure itself on a network that knows nothing; `size` is that of the vocabulary."""
    untrained = perplexity(model, test, steps=1000)
    short, long = perplexity(model, test[:201], steps=40), perplexity(model, test[:201], steps=200)
    report.check("perplexity with 40 and with 200 characters a call", got=short, want=long, rtol=1e-5)
    report.check("perplexity before training, near the vocabulary size", untrained, size, rtol=0.25)
    spread = float(tf.math.reduce_std(model(test[np.newaxis, :200]), axis=-1)[0].numpy().mean())
    report.note(
        "It may lie a little above: random logits of variance s² are confident by chance, which raises its logarithm "
        f"by about s²/2; here s is {spread:.2f}, which gives {size * math.exp(spread**2 / 2):.1f}. Luck on frequent "
        "characters moves the logarithm by about s·√(Σ f²), f the characters' shares, near 0.07; three times that and "
        "s²/2 make the tolerance of 25 %. A model whose logits are all 0 has exactly the vocabulary's size."
    )
    # The bias starts at 0, so weights of 0 give logits of 0. The random ones are put back: training starts from them.
    kernel = model.head.kernel.numpy()
    model.head.kernel.assign(np.zeros_like(kernel))
    report.check("perplexity when all logits are 0", perplexity(model, test[:201], 200), size, rtol=1e-5)
    model.head.kernel.assign(kernel)
    return untrained


def _held_out(report, curve, counted, size, units):
    """The network beside the counting models on the text's last part, which was held out: nothing learnt from it."""
    report.at_most("held-out perplexity of the network, per character", curve[-1], 5.7, trained=True)
    for order, name in ((2, "pairs"), (3, "triples")):
        label = f"held-out perplexity of the network over that of counted {name}"
        report.at_most(label, curve[-1] / counted[order], 1.0, trained=True)
    rows = [[f"counted groups of up to {order}", value] for order, value in counted.items()]
    rows = [["all characters alike", float(size)], *rows, [f"network of {units} units", curve[-1]]]
    report.table("Held-out perplexity per character", ["model", "perplexity"], rows)


def _samples(model, vocabulary, length, seed):
    """What the model writes at three temperatures, and how much of it are words: `(temperature, percent, text)`."""
    known = set(re.findall(r"[a-z]+", data.novel().lower()))
    rows = []
    for temperature in (0.5, 0.8, 1.2):
        ids = generate(model, vocabulary.encode("It was "), length, temperature, seed)
        text = "".join(token if len(token) == 1 else "□" for token in vocabulary.decode(ids))  # □: unknown
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

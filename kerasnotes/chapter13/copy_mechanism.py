"""A network that may point at its source writes names that no vocabulary has.

A softmax over a vocabulary can only write words that are in it. A pointer spreads another share of the probability over
the words of the source, where attention looks. What the reader should see: introductions with names that training has
never shown; without copying not one answer is right, with it nearly all are, and the gate between writing and copying
is open at the words of the template and shut at the names.

Notes: chapter 13, "Copy mechanism" (复制机制).
Source: See, Liu, Manning 2017, arXiv:1704.04368, equations 8 and 9; Vinyals, Fortunato, Jaitly 2015, arXiv:1506.03134.
"""

from collections import Counter

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter09.bleu import split_marks, split_pairs
from kerasnotes.chapter13.transformer import TransformerDecoder, TransformerEncoder
from kerasnotes.parts import floating, layer_seeds, shape, whole

SMOKE = {"samples": 100, "units": 8, "epochs": 1}
SECONDS = 12

VOCABULARY, FIRST_NAME, START, END = 30, 30, 1, 2  # ids below 30 can be written, names are ids from 30 on
WORDS = (3, 4, 5, 6)  # of the answer's template, between and behind the names


def pointer_mixture(vocabulary_probabilities, attention, source_ids, gate, extended_size):
    """Write with probability `gate`, else copy: gate·P_vocabulary(w) + (1 - gate)·Σ attention on the places of w.

    Args:
        vocabulary_probabilities: (batch, steps, vocabulary).
        attention: Weights over the source's places (batch, steps, source steps).
        source_ids: What stands there, ids (batch, source steps), also from beyond the vocabulary.
        gate: Probability to write (batch, steps), or with a last axis of 1.
        extended_size: Number of ids that can be written or copied.

    Returns:
        Probabilities (batch, steps, extended_size).

    Raises:
        ValueError: If shapes do not fit, or an id or the size is out of range.

    Source: See et al. 2017, equation 9.
    """
    written, attention = (
        floating("vocabulary_probabilities", vocabulary_probabilities),
        floating("attention", attention),
    )
    shape("vocabulary_probabilities", written, None, None, None)
    shape("attention", attention, written.shape[0], written.shape[1], None)
    source_ids = shape("source_ids", tf.convert_to_tensor(source_ids), attention.shape[0], attention.shape[2])
    more = whole("extended_size", extended_size) - written.shape[2]
    if more < 0:
        raise ValueError(f"extended_size: expected at least the vocabulary's {written.shape[2]}, got {extended_size}")
    gate = tf.reshape(gate, (-1, written.shape[1], 1))  # (batch, steps, 1)
    copied = tf.matmul(attention, tf.one_hot(source_ids, extended_size, dtype=attention.dtype))  # adds equal words up
    return gate * tf.pad(written, ((0, 0), (0, 0), (0, more))) + (1 - gate) * copied


def introductions(samples, names, seed):
    """Sentences with two names among ordinary words; the answer is a template with both, the second one first.

    Args:
        samples: Number of pairs.
        names: Ids of the names to draw from, 30 or more, at least two.
        seed: Seed of the draws.

    Returns:
        `(source, target)`: ids (samples, 8) and (samples, 6). The target is 3, the second name, 4, the first name, 5
        or 6 as the first ordinary word is even or odd, and the end token 2.

    Raises:
        ValueError: If there are fewer than two names, or one of them is an ordinary word.
    """
    names, rng = np.unique(names), np.random.default_rng(seed)
    if len(names) < 2 or names[0] < FIRST_NAME:
        raise ValueError(f"names: expected at least two ids from {FIRST_NAME} on, got {names.tolist()}")
    source = rng.integers(7, VOCABULARY, (whole("samples", samples), 8))
    places = np.sort(1 + rng.random((samples, 7)).argsort(axis=1)[:, :2], axis=1)  # never the first word
    drawn = names[rng.random((samples, len(names))).argsort(axis=1)[:, :2]]  # two different ones
    np.put_along_axis(source, places, drawn, axis=1)
    last = np.where(source[:, 0] % 2 == 0, WORDS[2], WORDS[3])
    fixed = (np.full(samples, each) for each in (WORDS[0], WORDS[1], END))
    first, between, end = fixed
    return source, np.stack([first, drawn[:, 1], between, drawn[:, 0], last, end], axis=1)


class PointerTransformer(keras.Model):
    """A Transformer that may copy: `model((source, target_in))` gives `(probabilities, gate)`.

    Probabilities (batch, steps, extended_size) of the next id, gate (batch, steps): the probability that it is written
    and not copied. Ids that cannot be written are read as one unknown word: only their places tell names apart.

    Args:
        vocabulary_size: Ids that can be written.
        extended_size: Ids that can be read, and copied.
        units: Numbers for a word.
        copy: Whether it may copy; else the gate is 1.
        seed: Seed of the initial weights.
    """

    def __init__(self, vocabulary_size, extended_size, units=32, copy=True, seed=0):
        super().__init__()
        seeds = layer_seeds(seed)
        self.unknown, self.extended_size, self.copy = vocabulary_size, extended_size, copy
        arguments = {"num_heads": 4, "layers": 1, "embedding_deviation": 0.2, "position_scale": 0.5}
        self.encoder = TransformerEncoder(vocabulary_size + 1, units, **arguments, seed=next(seeds))
        self.decoder = TransformerDecoder(vocabulary_size + 1, units, **arguments, seed=next(seeds))
        if copy:
            self.gate = keras.layers.Dense(
                1, "sigmoid", kernel_initializer=keras.initializers.GlorotUniform(next(seeds))
            )
            self.gate.build((None, None, units))
        self.built = True

    def call(self, inputs):
        source, target_in = inputs
        context = self.encoder(tf.minimum(source, self.unknown))
        states, _, weights = self.decoder.read(tf.minimum(target_in, self.unknown), context)
        written = tf.nn.softmax(self.decoder.head(states)[..., : self.unknown])  # all but the unknown word
        if not self.copy:
            more = self.extended_size - written.shape[-1]
            return tf.pad(written, ((0, 0), (0, 0), (0, more))), tf.ones_like(written[..., 0])
        gate = self.gate(states)
        attention = tf.reduce_mean(weights[-1], axis=1)  # of the last block, over its heads
        return pointer_mixture(written, attention, source, gate, self.extended_size), gate[..., 0]


def example():
    """The worked case: three words can be written, three stand in the source, one of them twice."""
    mixture = pointer_mixture([[[0.2, 0.5, 0.3]]], [[[0.7, 0.2, 0.1]]], [[3, 1, 3]], gate=[[0.8]], extended_size=4)
    print("P(w):", mixture.numpy().ravel().round(3))
    counted = 0.8 * np.array([0.2, 0.5, 0.3, 0]) + 0.2 * np.bincount([3, 1, 3], [0.7, 0.2, 0.1], minlength=4)
    print("by np.bincount:", counted.round(3))
    source, target = introductions(3, range(30, 40), seed=0)
    for asked, answer in zip(source, target, strict=True):
        print(asked, "→", answer)
    model = PointerTransformer(30, 40, units=8)
    probabilities, gate = model((source, np.roll(target, 1, axis=1)))
    print("untrained: sums", probabilities.numpy().sum(-1).round(3)[0], "gate", gate.numpy()[0].round(2))


def lesson(report, *, samples: int = 4000, units: int = 32, epochs: int = 5, seed: int = 0):
    """Mix by hand, learn to introduce people with and without copying, and count what copying could win.

    Args:
        report: The report to write to.
        samples: Introductions to learn from (100 to 100000).
        units: Numbers for a word, a multiple of 8 (8 to 256).
        epochs: Epochs of training (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _mixture(report, seed)
    gates = _unseen_names(report, samples, units, epochs, seed)
    _interface_texts(report, seed)
    target = ("template", "second name", "template", "first name", "template", "end")
    figure = plots.bars([f"{i + 1}: {name}" for i, name in enumerate(target)], gates, ylabel="probability to write",
                        title="The gate opens for the template and shuts for names")  # fmt: skip
    figure.axes[0].tick_params(axis="x", labelrotation=20)
    report.figure("When the network writes and when it copies", figure,
                  alt="Mean gate at each place of the answer, for names that training never showed: near 1 at the "
                  "words of the template and at the end, near 0 at the two names.")  # fmt: skip


def _mixture(report, seed):
    written, attention, ids = [[[0.2, 0.5, 0.3]]], [[[0.7, 0.2, 0.1]]], [[3, 1, 3]]
    got = pointer_mixture(written, attention, ids, [[0.8]], 4)
    report.check(
        "P = (0.2, 0.5, 0.3), attention (0.7, 0.2, 0.1) on 3, 1, 3, gate 0.8", got, [[[0.16, 0.44, 0.24, 0.16]]]
    )
    rng = np.random.default_rng((seed, 1))
    written, attention = (tf.nn.softmax(tf.constant(rng.normal(size=(2, 3, n)), tf.float32)) for n in (5, 4))
    ids, slopes = rng.integers(0, 9, (2, 4)), []
    for gate in (0.0, 0.5, 1.0):
        inputs = [written, attention, tf.fill((2, 3), gate)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            mixture = pointer_mixture(*inputs[:2], ids, inputs[2], 9)
            loss = tf.reduce_sum(tf.math.log(mixture + 1e-7))
        slopes += [tf.reduce_all(tf.math.is_finite(each)) for each in tape.gradient(loss, inputs)]
        report.check(f"gate {gate:g}: the mixture sums to", tf.reduce_sum(mixture, axis=-1), np.ones((2, 3)))
    report.check("gates 0, ½ and 1: all slopes are finite", slopes, [True] * len(slopes))


class _Probabilities(keras.Model):
    """The first output of a `PointerTransformer`, to be trained."""

    def __init__(self, pointer):
        super().__init__(name="probabilities")
        self.pointer, self.built = pointer, True

    def call(self, inputs):
        return self.pointer(inputs)[0]


def _unseen_names(report, samples, units, epochs, seed):
    known, new = np.arange(30, 80), np.arange(80, 130)
    learnt, asked = (introductions(n, names, (seed, n)) for n, names in ((samples, known), (500, new)))
    rows, gates = [], None
    for copy in report.track((False, True), "training"):
        pointer = PointerTransformer(VOCABULARY, 130, units, copy, seed=(seed, 2))
        model = _Probabilities(pointer)
        model.compile(keras.optimizers.Adam(5e-3), keras.losses.SparseCategoricalCrossentropy())
        training.fit(model, (learnt[0], _behind_start(learnt[1])), learnt[1], batch_size=50, epochs=epochs, seed=seed)
        right = []
        for source, target in (learnt, asked):
            written = _write(pointer, source[:500])
            right += [np.all(written == target[:500], axis=1).mean(), np.mean(written == target[:500])]
        rows.append(["with copying" if copy else "without", *map(float, right)])
        if copy:
            gates = pointer((asked[0], _behind_start(asked[1])))[1].numpy().mean(axis=0)
    report.table("share of right answers, written word by word", ["", "names of the training, answers", "words",
                 "new names, answers", "words"], rows)  # fmt: skip
    report.check("new names, without copying: whole answers right", rows[0][3], 0.0, trained=True)
    report.at_least("new names, with copying: whole answers right", rows[1][3], 0.95, trained=True)
    report.at_least("gate at the words of the template", gates[[0, 2, 4, 5]], 0.95, trained=True)
    report.at_most("gate at the names", gates[[1, 3]], 0.05, trained=True)
    return gates


def _behind_start(target):
    return np.concatenate([np.full((len(target), 1), START), target[:, :-1]], axis=1)


def _write(pointer, source, length=6):
    """The likeliest ids (batch, length), each read before the next is written."""
    ids = np.full((len(source), length + 1), END)
    ids[:, 0] = START
    for t in range(length):
        ids[:, t + 1] = np.argmax(pointer((source, ids[:, :-1]))[0][:, t], axis=-1)
    return ids[:, 1:]


def _interface_texts(report, seed):
    """How many words of real translations stand in the source as they are, and are unknown to a vocabulary."""
    parts = split_pairs(data.interface_texts("fr"), (0.9, 0.1), seed)
    train, test = ([[split_marks(text) for text in pair] for pair in part] for part in parts)
    counted = Counter(word for _, target in train for word in target)
    words = [(word, word in source) for source, target in test for word in target]
    rows = []
    for size in (500, 1500, 5000):
        known = {word for word, _ in counted.most_common(size)}
        unknown = [literal for word, literal in words if word not in known]
        rows.append([size, len(unknown) / len(words), sum(unknown) / len(words), float(np.mean(unknown))])
    literal = sum(found for _, found in words) / len(words)
    report.table("French words of test pairs: what copying could win at most", ["vocabulary", "unknown to it, share",
                 "unknown, and in the source as it is", "of the unknown ones"], rows)  # fmt: skip
    report.note(f"Of all words of the translations {literal:.2f} stand in the source literally, marks included; "
                "copying helps where such a word is unknown to the vocabulary.")  # fmt: skip

"""The best sequence of labels is not the sequence of the best labels.

Every step of a text gets a label, and which label may follow which is a number of its own. What the reader should see:
the sum over all sequences, exponentially many, takes one pass; its slopes are the probabilities of the labels; and the
best sequence comes out of the same pass with a maximum in place of the sum. Where labels are scored by themselves the
two kinds of "best" are one. Where a network finds the words in a novel without blanks and sees little of it, knowing
that words are seldom one letter long helps; the more it sees, the less is left to help.

Notes: chapter 08, "Sequence labelling" (序列标注).
Source: Collobert et al. 2011, arXiv:1103.0398 (windows and transitions); Lample et al. 2016, arXiv:1603.01360 (labels
whose order is restricted); Viterbi 1967, doi:10.1109/TIT.1967.1054010; Rabiner 1989, doi:10.1109/5.18626.
"""

import itertools
import re

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter08.sequences import Vocabulary, one_hot
from kerasnotes.parts import floating, layer_seeds, shape, whole

SMOKE = {"characters": 10_000, "epochs": 1, "units": 4}
SECONDS = 15

FORBIDDEN = -1e9  # a transition with this score never happens; minus infinity would make gradients NaN
PIECE, REACH, WIDTHS = 40, 4, (1, 2, 4)  # letters of a piece; how far a window reaches at most, and does


def sequence_score(emissions, tags, transitions, start, end, lengths=None):
    """The score of a sequence of labels: those of its labels, and those of its steps from one label to the next.

    Args:
        emissions: Scores of every label at every step (batch, steps, tags), as a network gives them.
        tags: Labels (batch, steps), integers from 0 to tags - 1, behind a sequence's end too, where they do not count.
        transitions: Score of going from one label to another (from, to).
        start, end: Scores of the first and of the last label (tags,).
        lengths: Steps of each sequence (batch,), or None if all have all steps.

    Returns:
        Scores (batch,), of the emissions' type.

    Raises:
        ValueError: If shapes do not fit, or a label or a length is out of range.
    """
    emissions, transitions, start, end, inside = _checked(emissions, transitions, start, end, lengths)
    tags = shape("tags", tf.convert_to_tensor(tags), *emissions.shape[:2])
    chosen = tf.cast(one_hot(tags, emissions.shape[2]), emissions.dtype) * inside  # (batch, steps, tags)
    last = inside - tf.pad(inside[:, 1:], [(0, 0), (0, 1), (0, 0)])  # 1 at the last step of each sequence
    pairs = tf.einsum("bti,btj->bij", chosen[:, :-1], chosen[:, 1:])  # how often each step was taken
    numbers = [chosen * emissions, (chosen * last) * end, pairs * transitions]
    return tf.add_n([tf.reduce_sum(each, (1, 2)) for each in numbers]) + tf.linalg.matvec(chosen[:, 0], start)


def log_partition(emissions, transitions, start, end, lengths=None):
    """Logarithm of the sum of exp(score) over all sequences of labels, (batch,). Arguments as in `sequence_score`.

    Source: Rabiner 1989 (forward procedure).
    """
    emissions, transitions, start, end, inside = _checked(emissions, transitions, start, end, lengths)
    return tf.reduce_logsumexp(_forward(emissions, transitions, start, inside)[-1] + end, axis=1)


def _forward(emissions, transitions, start, inside):
    """For every step, log Σ exp(score) over all beginnings that end in a label: a list of (batch, tags)."""
    alpha = [start + emissions[:, 0]]
    for step in range(1, emissions.shape[1]):
        ways = alpha[-1][:, :, None] + transitions  # (batch, from, to)
        new = tf.reduce_logsumexp(ways, axis=1) + emissions[:, step]
        alpha.append(tf.where(inside[:, step] > 0, new, alpha[-1]))  # behind its end a sequence stays as it is
    return alpha


def crf_loss(emissions, tags, transitions, start, end, lengths=None):
    """Minus the logarithm of a sequence's probability among all, (batch,). Arguments as in `sequence_score`.

    With zero transitions, starts and ends it is the sum of the steps' cross-entropies.

    Source: Collobert et al. 2011 (sentence-level log-likelihood).
    """
    rules = transitions, start, end, lengths
    return log_partition(emissions, *rules) - sequence_score(emissions, tags, *rules)


def viterbi(emissions, transitions, start, end, lengths=None):
    """The sequence with the highest score: the pass of `log_partition` with a maximum for the sum, then back.

    Returns:
        `(tags, score)`: int32 (batch, steps), 0 behind a sequence's end, and (batch,).

    Source: Viterbi 1967.
    """
    emissions, transitions, start, end, inside = _checked(emissions, transitions, start, end, lengths)
    best, origins = start + emissions[:, 0], []
    for step in range(1, emissions.shape[1]):
        ways = best[:, :, None] + transitions  # (batch, from, to)
        now, stay = inside[:, step] > 0, tf.range(ways.shape[2], dtype=tf.int32)
        origins.append(tf.where(now, tf.argmax(ways, axis=1, output_type=tf.int32), stay))  # (batch, to)
        best = tf.where(now, tf.reduce_max(ways, axis=1) + emissions[:, step], best)
    tags = [tf.argmax(best + end, axis=1, output_type=tf.int32)]
    for origin in reversed(origins):
        tags.append(tf.gather(origin, tags[-1], batch_dims=1))
    return tf.stack(tags[::-1], axis=1) * tf.cast(inside[:, :, 0], tf.int32), tf.reduce_max(best + end, axis=1)


def marginals(emissions, transitions, start, end, lengths=None):
    """Probability of each label at each step (batch, steps, tags): a pass forwards meets one from the end.

    It is 0 behind a sequence's end, and the slope of `log_partition` by the emissions.

    Source: Rabiner 1989 (forward-backward procedure).
    """
    emissions, transitions, start, end, inside = _checked(emissions, transitions, start, end, lengths)
    alpha = tf.stack(_forward(emissions, transitions, start, inside), axis=1)  # (batch, steps, tags)
    beta = [tf.zeros_like(emissions[:, 0]) + end]
    for step in range(emissions.shape[1] - 1, 0, -1):
        ways = transitions + (emissions[:, step] + beta[-1])[:, None]  # (batch, from, to)
        beta.append(tf.where(inside[:, step] > 0, tf.reduce_logsumexp(ways, axis=2), beta[-1]))
    return tf.nn.softmax(alpha + tf.stack(beta[::-1], axis=1)) * inside


def _checked(emissions, transitions, start, end, lengths):
    """The arguments as tensors of one type, and 1 at the steps inside each sequence (batch, steps, 1)."""
    emissions = shape("emissions", floating("emissions", emissions), None, None, None)
    batch, steps, tags = emissions.shape
    numbers = {"transitions": (transitions, (tags, tags)), "start": (start, (tags,)), "end": (end, (tags,))}
    others = [shape(name, tf.cast(value, emissions.dtype), *sizes) for name, (value, sizes) in numbers.items()]
    if lengths is None:
        return emissions, *others, tf.ones_like(emissions[:, :, :1])
    lengths = shape("lengths", tf.convert_to_tensor(lengths), batch)
    if tf.executing_eagerly() and not tf.reduce_all((lengths >= 1) & (lengths <= steps)):
        raise ValueError(f"lengths: expected numbers of steps from 1 to {steps}, got {lengths.numpy()}")
    return emissions, *others, tf.sequence_mask(lengths, steps, emissions.dtype)[:, :, None]


def unspaced(text, length):
    """A text without its blanks in pieces, and where its words begin.

    Args:
        text: A text; line breaks are blanks.
        length: Characters of a piece; what is left at the end is dropped.

    Returns:
        `(characters, begins)`, both (pieces, length): single characters, and int32, 1 where a word begins and else 0.
    """
    letters = np.array([letter for word in text.split() for letter in word])
    begins = np.array([place == 0 for word in text.split() for place in range(len(word))], np.int32)
    cut = len(letters) // whole("length", length) * length
    return letters[:cut].reshape(-1, length), begins[:cut].reshape(-1, length)


def example():
    """Two labels that dislike to follow themselves; the cross-entropy of Keras where nothing follows from anything."""
    emissions = tf.constant([[[1.0, 0.0], [0.6, 0.0], [0.9, 0.0]]])  # label 0 looks better at every step
    nothing, dislike, rim = tf.zeros((2, 2)), tf.constant([[-1.0, 0.0], [0.0, -1.0]]), tf.zeros(2)
    for name, transitions in (("no rules", nothing), ("no repeats", dislike)):
        tags, score = viterbi(emissions, transitions, rim, rim)
        print(f"{name}: best {tags[0].numpy()}, score {score[0]:.1f}; P(label 1 at each step)",
              marginals(emissions, transitions, rim, rim)[0, :, 1].numpy().round(2))  # fmt: skip
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    print("Keras, no rules:", float(theirs(tf.constant([[0, 1, 0]]), emissions)))
    print("ours,  no rules:", float(crf_loss(emissions, [[0, 1, 0]], nothing, rim, rim)[0]))


def lesson(report, *, characters: int = 400_000, epochs: int = 4, units: int = 64, seed: int = 0):
    """Count all sequences of small cases, forbid some, then find the words of a novel without blanks.

    Args:
        report: The report to write to.
        characters: Characters of the novel, of which nine tenths are for training (10000 to 684768).
        epochs: Passes over them (1 to 1000).
        units: Hidden units of the networks (1 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _counted(report, rng)
    _two_kinds_of_best(report, rng)
    _restricted(report, rng)
    _padded(report, rng)
    _novel(report, characters, epochs, units, seed)


def _random_case(rng, batch, steps, tags, deviation=1.0):
    sizes = (batch, steps, tags), (tags, tags), (tags,), (tags,)
    return [tf.constant(rng.normal(0, deviation, size)) for size in sizes]


def _counted(report, rng):
    """Three labels, five steps: all 243 sequences, one after another."""
    case, exact = _random_case(rng, 4, 5, 3), {"rtol": 0, "atol": 1e-9}
    paths = np.array(list(itertools.product(range(3), repeat=5)))
    scores = np.array([sequence_score(case[0], np.tile(path, (4, 1)), *case[1:]) for path in paths])  # (243, batch)
    with tf.GradientTape() as tape:
        tape.watch(case[0])
        total = log_partition(*case)
    label = "log of the sum over 243 sequences: one pass, and one by one"
    report.check(label, total, np.log(np.exp(scores).sum(axis=0)), **exact)
    p = np.exp(scores - total.numpy())
    report.check("the probabilities of all sequences sum to 1", p.sum(axis=0), np.ones(4), **exact)
    tags, score = viterbi(*case)
    report.check("Viterbi's sequence is the best of 243", tags, paths[scores.argmax(axis=0)])
    report.check("and its score theirs", score, scores.max(axis=0), **exact)
    counted = np.einsum("pb,pti->bti", p, np.eye(3)[paths])
    label = "probability of each label at each step: two passes, and counted"
    report.check(label, marginals(*case), counted, **exact)
    report.check("and the slope of that logarithm by the emissions", tape.gradient(total, case[0]), counted, **exact)


def _two_kinds_of_best(report, rng):
    emissions, *rules = _random_case(rng, 500, 10, 3, 1.5)
    none, labels = [tf.zeros_like(each) for each in rules], rng.integers(0, 3, (500, 10))
    theirs = keras.ops.sparse_categorical_crossentropy(labels, emissions, from_logits=True).numpy().sum(axis=1)
    label = "without rules, the loss is the sum of Keras's cross-entropies"
    report.check(label, crf_loss(emissions, labels, *none), theirs)
    report.check("and Viterbi takes each step's best", viterbi(emissions, *none)[0], np.argmax(emissions, axis=2))
    p, best, rows = marginals(emissions, *rules).numpy(), viterbi(emissions, *rules)[0].numpy(), []
    for name, tags in (("best sequence", best), ("likeliest label at each step", p.argmax(axis=2))):
        score, right = sequence_score(emissions, tags, *rules), np.take_along_axis(p, tags[:, :, None], axis=2)
        rows.append([name, float(np.mean((tags != best).any(axis=1))), float(np.mean(score)), float(right.mean())])
    report.at_least("likeliest labels: sentences in which they are not the best sequence, share", rows[1][1], 0.05)
    report.at_least("they give up score", rows[0][2] - rows[1][2], 0.0)
    report.at_least("for a higher expected share of right labels", rows[1][3] - rows[0][3], 0.0)
    report.table("500 sentences of random scores, three labels, ten steps", ["labels", "not the best sequence, share",
                 "mean score", "expected share of right labels"], rows)  # fmt: skip


def _restricted(report, rng):
    """Names in a text: outside, begin, inside; inside follows only begin or inside."""
    emissions, rim = rng.normal(0, 1.5, (500, 8, 3)), np.zeros(3)
    allowed, first = np.array([[1, 1, 0], [1, 1, 1], [1, 1, 1]]), np.array([1, 1, 0])  # from, to
    paths = np.array(list(itertools.product(range(3), repeat=8)))
    legal = paths[allowed[paths[:, :-1], paths[:, 1:]].all(axis=1) & (first[paths[:, 0]] == 1)]
    free = viterbi(emissions, np.zeros((3, 3)), rim, rim)[0].numpy()
    ruled = viterbi(emissions, FORBIDDEN * (1.0 - allowed), FORBIDDEN * (1.0 - first), rim)[0].numpy()
    broken = [1 - np.mean((tags[:, None] == legal).all(axis=2).any(axis=1)) for tags in (free, ruled)]
    report.at_least("no rules: share of sentences in which inside follows outside", broken[0], 0.3)
    report.check("that order forbidden: share of such sentences", broken[1], 0.0)
    scores = emissions[:, np.arange(8), legal].sum(axis=2)  # (sentences, legal sequences)
    report.check("and the best of the allowed sequences is found", ruled, legal[scores.argmax(axis=1)])


def _padded(report, rng):
    (emissions, *rules), labels = _random_case(rng, 4, 7, 3), rng.integers(0, 3, (4, 7))
    got = crf_loss(emissions, labels, *rules, np.full(4, 5)), viterbi(emissions, *rules, np.full(4, 5))[0][:, :5]
    want = crf_loss(emissions[:, :5], labels[:, :5], *rules), viterbi(emissions[:, :5], *rules)[0]
    report.check("two steps of padding do not change the loss", got[0], want[0], rtol=0, atol=1e-9)
    report.check("nor the best sequence", got[1], want[1])


def _novel(report, characters, epochs, units, seed):
    """A network sees a letter and 1, 2 or 4 on each side; those farther away are hidden, which reads as padding."""
    letters, begins = unspaced(re.sub(r"[^a-z\s]", "", data.novel()[:characters].lower()), PIECE)
    cut = len(letters) * 9 // 10
    vocabulary = Vocabulary(letters[:cut].ravel().tolist())
    ids, truth = np.array([vocabulary.encode(piece) for piece in letters]), begins[cut:]
    alone, linked = (_network(len(vocabulary), units, seed) for _ in range(2))
    rules = [linked.add_weight(size, "zeros") for size in ((2, 2), (2,), (2,))]  # transitions, start, end
    alone.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    linked.compile(keras.optimizers.Adam(0.01), lambda y, emissions: crf_loss(emissions, tf.cast(y, tf.int32), *rules))
    models = {"each letter by itself": alone, "with transitions": linked}
    fresh = {name: (training.restarter(model), model.get_weights()) for name, model in models.items()}
    f1 = {name: [] for name in models}
    for width, (name, model) in report.track(list(itertools.product(WIDTHS, models.items())), "training"):
        fresh[name][0](fresh[name][1])  # the same start for every window
        x = _windows(ids, width)
        training.fit(model, x[:cut], begins[:cut], batch_size=64, epochs=epochs, seed=seed)
        emissions = training.predict(model, x[cut:])
        tags = viterbi(emissions, *rules)[0] if model is linked else emissions.argmax(axis=2)
        f1[name].append(float(2 * np.sum(tags * truth) / (np.sum(tags) + np.sum(truth))))
    gains = np.subtract(*reversed(f1.values()))
    report.at_least("one letter on each side: gain in F1 by transitions", gains[0], 0.01, trained=True)
    report.at_most("four letters on each side: their gain over that with one", gains[-1] / gains[0], 1.0, trained=True)
    rows = [[width, *scores, float(gain)] for width, *scores, gain in zip(WIDTHS, *f1.values(), gains, strict=True)]
    report.table(f"Beginnings of words in {truth.size:,} letters of a novel without blanks: F1",
                 ["letters seen on each side", *models, "gain"], rows)  # fmt: skip
    title, x, y = ("Transitions help most where little is seen", "letters on each side", "F1 of the words' beginnings")
    report.figure(title, plots.curves(WIDTHS, f1, xlabel=x, ylabel=y, marker="o", title=title),
                  alt="F1 of the beginnings of words rises with the letters that are seen on each side. The curve with "
                  "transitions lies above the other, farthest where one letter is seen.")  # fmt: skip


def _network(vocabulary_size, units, seed):
    seeds, layers = layer_seeds(seed), keras.layers
    return keras.Sequential([
        keras.Input((PIECE, 2 * REACH + 1), dtype="int32"),
        layers.Embedding(vocabulary_size, 16, keras.initializers.RandomNormal(0.0, 0.3, next(seeds))),
        layers.Reshape((PIECE, -1)),
        layers.Dense(units, "tanh", kernel_initializer=keras.initializers.GlorotUniform(next(seeds))),
        layers.Dense(2, kernel_initializer=keras.initializers.GlorotUniform(next(seeds))),
    ])  # fmt: skip


def _windows(ids, width):
    """Each letter with REACH neighbours on each side (pieces, steps, 2 · REACH + 1); beyond the width they are 0."""
    padded = np.pad(ids, [(0, 0), (REACH, REACH)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * REACH + 1, axis=1)
    return (windows * (np.abs(np.arange(-REACH, REACH + 1)) <= width)).astype(np.int32)

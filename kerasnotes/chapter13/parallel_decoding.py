"""Words that are written all at once cannot agree with each other; a second look at the least certain ones mends it.

A decoder that sees placeholders in place of words writes a whole sentence in one pass, but every word is drawn without
knowing the others. What the reader should see: two good translations, of which independent words make two bad ones;
mask-predict, which hides the least certain words and writes them again; and one call of the decoder for each look,
however long the sentence is. How many words to write, something else must say: a length, or a number for each word.

Notes: chapter 13, "Non-autoregressive model" (非自回归模型).
Source: Ghazvininejad et al. 2019, arXiv:1904.09324, section 3 (mask-predict); Gu et al. 2018, arXiv:1711.02281
(words in parallel, fertilities, the problem of several translations).
"""

import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter13.transformer import TransformerDecoder, TransformerEncoder
from kerasnotes.parts import shape, whole

SMOKE = {"draws": 20, "units": 8}
SECONDS = 1


def placeholders(lengths, max_length, mask_id):
    """Sentences of nothing but masks: ids (batch, max_length), `mask_id` at the first places, then zeros.

    Args:
        lengths: Words of each sentence (batch,), 1 to `max_length`.
        max_length: Number of places.
        mask_id: Id that stands for a word to be written, not 0.
    """
    lengths = shape("lengths", np.asarray(lengths), None)
    if not np.all((lengths >= 1) & (lengths <= whole("max_length", max_length))):
        raise ValueError(f"lengths: expected 1 to {max_length} words, got {lengths.tolist()}")
    return np.where(np.arange(max_length) < lengths[:, None], whole("mask_id", mask_id), 0)


def masks_left(length, iterations, step):
    """How many words are hidden again after a step: ⌊length·(iterations - step)/iterations⌋, 0 after the last.

    Args:
        length: Words of the sentence, or an array of them.
        iterations: Number of steps in all.
        step: Steps that are done, 1 to `iterations`.

    Source: Ghazvininejad et al. 2019, section 3.
    """
    return np.asarray(length) * (whole("iterations", iterations) - whole("step", step)) // iterations


def mask_predict(predict, lengths, iterations, mask_id, max_length=None):
    """Write all words at once, then hide the least certain ones and write those again.

    Args:
        predict: From ids (batch, steps) with masks to logits (batch, steps, vocabulary).
        lengths: Words of each sentence (batch,).
        iterations: How often to look, 1 for a single pass.
        mask_id: Id of a hidden word; neither it nor padding, id 0, is written.
        max_length: Number of places, or None for the longest length.

    Returns:
        `(ids, log_probabilities)`, both (batch, max_length): the words and zeros behind them, and the log-probability
        that each word had when it was written, 0 at padding.

    Source: Ghazvininejad et al. 2019, section 3.
    """
    lengths = np.asarray(lengths)
    ids = placeholders(lengths, lengths.max() if max_length is None else max_length, mask_id)
    real, hidden, certainty = ids > 0, ids > 0, np.zeros(ids.shape)
    for step in range(1, whole("iterations", iterations) + 1):
        logits = np.asarray(predict(np.where(hidden, mask_id, ids)), np.float64).copy()  # (batch, steps, vocabulary)
        logits[..., [0, mask_id]] = -np.inf
        best = logits.argmax(axis=-1)
        log_p = tf.nn.log_softmax(logits).numpy().max(axis=-1)
        ids, certainty = np.where(hidden, best, ids), np.where(hidden, log_p, certainty)
        # Hide the least certain words; where there are no words, nothing is uncertain.
        order = np.argsort(np.argsort(np.where(real, certainty, np.inf), axis=1, kind="stable"), axis=1, kind="stable")
        hidden = order < masks_left(lengths, iterations, step)[:, None]
    return np.where(real, ids, 0), np.where(real, certainty, 0.0)


def cut_after_end(ids, end):
    """Zeros from the first end token on; ids (batch, steps)."""
    ids = shape("ids", np.asarray(ids), None, None)
    return np.where(np.cumsum(ids == end, axis=1) > 0, 0, ids)


def expand_by_fertility(x, fertilities, max_length):
    """Every word as often as it is translated into words: what the decoder reads in Gu et al. 2018.

    Args:
        x: Words, vectors (steps, units) or ids (steps,).
        fertilities: How often each is repeated (steps,), whole numbers, 0 or more.
        max_length: Number of places of the result; what is beyond is cut off.

    Returns:
        Array (max_length, …), zeros behind the last.
    """
    x, fertilities = np.asarray(x), np.asarray(fertilities)
    shape("fertilities", fertilities, len(x))
    if not np.issubdtype(fertilities.dtype, np.integer) or fertilities.min() < 0:
        raise ValueError(f"fertilities: expected whole numbers of at least 0, got {fertilities.tolist()}")
    repeated = np.repeat(x, fertilities, axis=0)[: whole("max_length", max_length)]
    return np.pad(repeated, [(0, max_length - len(repeated)), *[(0, 0)] * (x.ndim - 1)])


def example():
    """Two translations, AB and CD; independent words mix them, a second look does not."""
    words, mask_id, rng = {1: "A", 2: "B", 3: "C", 4: "D"}, 5, np.random.default_rng(0)

    def predict(ids):  # logits of P(word | the words that are not hidden), ties broken at random
        logits = np.full((*ids.shape, 6), -30.0)
        for row, (left, right) in enumerate(ids):
            for pair in ((1, 2), (3, 4)):
                if left in (pair[0], mask_id) and right in (pair[1], mask_id):
                    logits[row, [0, 1], pair] = 1e-6 * rng.random(2)
        return logits

    for iterations in (1, 2):
        ids, _ = mask_predict(predict, [2] * 8, iterations, mask_id)
        print(f"{iterations} look(s):", " ".join("".join(words[i] for i in row) for row in ids))
    print("masks left of 7 words, 3 looks:", [int(masks_left(7, 3, step)) for step in (1, 2, 3)])
    print("fertilities 2, 0, 1:", expand_by_fertility([7, 8, 9], [2, 0, 1], 4), tf.repeat([7, 8, 9], [2, 0, 1]).numpy())


def lesson(report, *, draws: int = 1000, units: int = 32, seed: int = 0):
    """Mix two translations, follow the masks, and look in both directions.

    Args:
        report: The report to write to.
        draws: Sentences written in the case of two translations (10 to 100000).
        units: Numbers for a word in an untrained network, a multiple of 8 (8 to 256).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _two_translations(report, rng, draws)
    _masks(report, rng)
    _both_directions(report, units, seed)
    _fertilities(report, rng)


def _choose(rng):
    """AB and CD with a half each, given what is not hidden; equal chances fall at random. A, B, C, D, mask: 1 to 5."""
    table = np.full((6, 6, 2, 6), -30.0)
    for left, right in np.ndindex(6, 6):
        for pair in ((1, 2), (3, 4)):
            if left in (pair[0], 5) and right in (pair[1], 5):
                table[left, right, [0, 1], pair] = 0.0
    return lambda ids: table[ids[:, 0], ids[:, 1]] + 1e-6 * rng.random((len(ids), 2, 6))


def _two_translations(report, rng, draws):
    # The best product of two distributions has the marginals, A or C and B or D with a half each.
    truth, product = np.array([0.5, 0.5, 0, 0]), np.full(4, 0.25)  # of AB, CD, AD, CB
    costs = [-float(np.sum(truth[:2] * np.log(each[:2]))) for each in (truth, product)]
    report.check("nats a sentence: independent words cost log 2 more than the truth", costs[1] - costs[0], np.log(2))
    best = min((-0.5 * np.log(a * b) - 0.5 * np.log((1 - a) * (1 - b)), a, b)
               for a in np.linspace(0.05, 0.95, 19) for b in np.linspace(0.05, 0.95, 19))  # fmt: skip
    report.check("of all pairs of independent words in steps of 0.05, the best has P(A), P(B)", best[1:], (0.5, 0.5))
    shares, rows = [], []
    for iterations in (1, 2, 4):
        ids, _ = mask_predict(_choose(rng), [2] * draws, iterations, 5)
        counts = [float(np.mean(np.all(ids == pair, axis=1))) for pair in ((1, 2), (3, 4), (1, 4), (3, 2))]
        rows.append([iterations, *counts])
        shares.append(counts)
    report.table("share of what is written", ["looks", "AB", "CD", "AD", "CB"], rows)
    report.check("one look: AD or CB", sum(shares[0][2:]), 0.5, rtol=0, atol=4 * 0.5 / draws**0.5)
    report.check("two and four looks: AD or CB", [sum(each[2:]) for each in shares[1:]], [0.0, 0.0])
    figure, ax = plots.subplots(figsize=(7, 4.2))
    place, below = np.arange(3), np.zeros(3)
    for i, name in enumerate(("AB", "CD", "AD", "CB")):
        values = np.array(shares)[:, i]
        ax.bar(place, values, bottom=below, label=name, hatch="//" if i > 1 else None)
        below += values
    ax.set_xticks(place, ["1 look", "2 looks", "4 looks"])
    ax.set(ylabel="share of sentences", title="AB and CD are right: independent words mix them", ylim=(0, 1.25))
    ax.legend(ncol=4)
    report.figure("Independent words mix two translations", figure,
                  alt="Stacked bars of what is written: with one look the wrong mixtures AD and CB make up half of the "
                  "sentences, with two or four looks there are none.")  # fmt: skip


def _masks(report, rng):
    lengths, calls = np.array([7, 3, 5]), []
    fixed = rng.normal(size=(3, 7, 12))

    def predict(ids):
        calls.append(ids)
        return fixed

    ids, log_p = mask_predict(predict, lengths, 1, 11)
    real = np.arange(7) < lengths[:, None]
    report.check(
        "one look is one pass: the likeliest word at every place",
        ids,
        np.where(real, fixed[..., 1:11].argmax(-1) + 1, 0),
    )
    calls.clear()
    mask_predict(predict, lengths, 4, 11)
    report.check("calls of the decoder for 3, 5 or 7 words: one for each look", len(calls), 4)
    report.check("words that are hidden at each look", [(each == 11).sum(axis=1) for each in calls],
                 [lengths, *(masks_left(lengths, 4, step) for step in (1, 2, 3))])  # fmt: skip
    least = [sorted(np.argsort(row[:n])[: n * 3 // 4]) for row, n in zip(log_p, lengths, strict=True)]
    hidden = [list(np.flatnonzero(row == 11)) for row in calls[1]]
    report.check("at the second look: the least certain words of the first", hidden, least)


def _both_directions(report, units, seed):
    decoder = TransformerDecoder(20, units, layers=1, causal=False, seed=(seed, 1))
    context = TransformerEncoder(20, units, layers=1, seed=(seed, 2))(np.full((1, 4), 7))
    ids = placeholders([6], 8, 19)
    plain, changed = decoder(ids, context)[0], ids.copy()
    changed[0, 3] = 8
    moved = np.abs(decoder(changed, context)[0] - plain).max(axis=(0, 2))[:6]
    report.at_least("word 3 is known: smallest change of the logits at any of the six words", moved, 1e-7)


def _fertilities(report, rng):
    x, fertilities = rng.normal(size=(5, 3)), np.array([2, 0, 1, 3, 1])
    want = np.pad(tf.repeat(x, fertilities, axis=0).numpy(), ((0, 3), (0, 0)))
    report.check("expand_by_fertility is tf.repeat, padded", expand_by_fertility(x, fertilities, 10), want)
    report.correction("fertility", course='"hello" becomes two characters, hence two inputs of the decoder.',
                      correct="The number must come from somewhere: an alignment of words, learnt or given by "
                      "another model; or one length is predicted for the whole sentence.",
                      shown_by="expand_by_fertility must be given the numbers; others give another length")  # fmt: skip

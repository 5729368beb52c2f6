"""Counting groups of characters predicts the next one, and a mixture of short and long groups does it best.

What the reader should see: counts of long groups know much about the text they were counted in and fail on groups that
they never saw; short groups always have an answer, and a vague one. Mixed with weights that are fitted on a third part
of the text, longer groups help again: the perplexity of new text falls from the size of the vocabulary to below four.

Notes: chapter 08, "Counting models" (计数模型).
Source: Jelinek and Mercer 1980, as in Chen and Goodman 1999, doi:10.1006/csla.1999.0128; Shannon 1951,
doi:10.1002/j.1538-7305.1951.tb01366.x (predicting the next letter).
"""

import math

import numpy as np

from kerasnotes import data, plots
from kerasnotes.chapter08.sequences import Vocabulary
from kerasnotes.parts import whole

SMOKE = {"characters": 6_000}
SECONDS = 4

ORDERS = (2, 3, 4, 5)  # lengths of the counted groups of characters


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
    train, ids = text_ids("train", train, 1, vocabulary_size), text_ids("ids", ids, 2, vocabulary_size)
    if whole("order", order) * math.log2(vocabulary_size + 1) > 62:
        raise ValueError(f"order: expected (vocabulary_size + 1) ** order below 2 ** 62, got {order!r}")
    train, ids = train.astype(np.int64) + 1, ids.astype(np.int64) + 1  # 0 stands for the time before the text
    rows = [np.full(len(ids) - 1, 1.0 / vocabulary_size)]
    for k in range(1, order + 1):
        groups, wanted = (_groups(text, k, vocabulary_size + 1) for text in (train, ids))
        hits = _count(groups, wanted[1:])
        begun = _count(groups // (vocabulary_size + 1), wanted[1:] // (vocabulary_size + 1))
        rows.append(np.where(begun > 0, hits / np.maximum(begun, 1), rows[-1]))
    return np.stack(rows)


def _groups(text, k, base):
    """The group of k characters that ends at each place of the text, as one number in the given base."""
    padded = np.concatenate([np.zeros(k - 1, np.int64), text])
    return sum(padded[j : j + len(text)] * base ** (k - 1 - j) for j in range(k))


def _count(groups, wanted):
    """How often each of `wanted` occurs in `groups`."""
    different, counts = np.unique(groups, return_counts=True)
    places = np.minimum(np.searchsorted(different, wanted), len(different) - 1)
    return np.where(different[places] == wanted, counts[places], 0)


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
    weights = np.full(len(p), 1.0 / len(p))
    for _ in range(whole("iterations", iterations)):
        shares = weights[:, np.newaxis] * p  # (models, n): which model does a character come from?
        weights = (shares / shares.sum(axis=0)).mean(axis=1)
    return weights


def interpolated_perplexities(train, validation, test, orders, vocabulary_size):
    """Perplexity per character of a text under mixtures of counting models.

    Args:
        train: The text to count in (length,), integers from 0 to vocabulary_size - 1.
        validation: The text on which the weights of each mixture are fitted.
        test: The text to predict.
        orders: Longest group of each mixture: 3 mixes equal probabilities, single characters, pairs and triples.
        vocabulary_size: Number of different characters.

    Returns:
        Dictionary from order to perplexity, floats.

    Raises:
        ValueError: As `ngram_probabilities`.
    """
    held_in = ngram_probabilities(train, validation, max(orders), vocabulary_size)
    held_out = ngram_probabilities(train, test, max(orders), vocabulary_size)
    result = {}
    for order in orders:
        weights = interpolation_weights(held_in[: order + 1])
        result[order] = float(np.exp(-np.log(weights @ held_out[: order + 1]).mean()))
    return result


def text_ids(name, ids, shortest, vocabulary_size=None):
    """A text as int32 ids (length,).

    Raises:
        ValueError: If it is too short, or not a list of integers from 0 to vocabulary_size - 1.
    """
    ids = np.asarray(ids)
    if ids.ndim != 1 or len(ids) < shortest or ids.dtype.kind not in "iu":
        raise ValueError(f"{name}: expected at least {shortest} integers (length,), got {ids.dtype} {ids.shape}")
    if ids.min() < 0 or (vocabulary_size is not None and ids.max() >= vocabulary_size):
        raise ValueError(f"{name}: expected ids from 0 to vocabulary_size - 1, got {ids.min()} to {ids.max()}")
    return ids.astype(np.int32)


def three_parts(text):
    """A text as ids of its characters: 90 % to learn from, 5 % to choose by, 5 % to judge by.

    Returns:
        `(train, validation, test, vocabulary)`: three int32 arrays, and the `Vocabulary` of the first part. A character
        that only later parts have is unknown.
    """
    cuts = int(0.9 * len(text)), int(0.95 * len(text))
    texts = text[: cuts[0]], text[cuts[0] : cuts[1]], text[cuts[1] :]
    vocabulary = Vocabulary(texts[0])
    return (*(np.array(vocabulary.encode(part), np.int32) for part in texts), vocabulary)


def example():
    """Which letter follows in a text that goes on as it began? Counted pairs, and their mixture with single letters."""
    text = "the cat sat on the mat and the rat sat on the cat "
    letters = sorted(set(text))
    ids = [letters.index(letter) for letter in text]
    train, validation, test = ids[:30], ids[30:40], ids[40:]
    rows = ngram_probabilities(train, test, 2, len(letters))
    print("each letter of", repr(text[41:]), "after the one before it:", rows[2].round(2))
    weights = interpolation_weights(ngram_probabilities(train, validation, 2, len(letters)))
    print("weights of: all alike, single letters, pairs:", weights.round(3))
    print("perplexity:", interpolated_perplexities(train, validation, test, (1, 2), len(letters)))


def lesson(report, *, characters: int = 1_000_000, longest: int = 7):
    """Count groups of characters in a novel, mix them, and predict another part of it.

    Args:
        report: The report to write to.
        characters: Characters of the novel to use, all if it has fewer (6000 to 1000000).
        longest: Longest group that is counted (5 to 8).
    """
    train, validation, test, vocabulary = three_parts(data.novel()[:characters])
    size = len(vocabulary)
    report.note(
        f"The novel's first 90 % are for counting ({len(train):,} characters), the next 5 % for the weights of the "
        f"mixtures, the last 5 % ({len(test):,}) for the figures shown."
    )
    _sums(report, train, test, size)
    orders = range(1, longest + 1)
    mixed = interpolated_perplexities(train, validation, test, orders, size)
    alone = np.exp(-np.log(np.maximum(ngram_probabilities(train, test, longest, size), 1e-4)).mean(axis=1))
    report.check("mixed or alone, equal probabilities have the vocabulary's size", got=alone[0], want=size)
    for order in ORDERS:
        label = f"groups of {order}, mixed with shorter ones: perplexity over that of groups of {order - 1}"
        report.at_most(label, mixed[order] / mixed[order - 1], 1.0, trained=True)
    report.at_least("long groups alone: perplexity over that of the mixture", alone[longest] / mixed[longest], 1.5)
    rows = [[order, alone[order], mixed[order]] for order in orders]
    columns = ["longest group", "alone (never seen: 1e-4)", "mixed with shorter ones"]
    report.table("Held-out perplexity per character of counting models", columns, rows)
    figure = plots.curves(
        [*orders],
        {"alone": alone[1:], "mixed with shorter groups": [*mixed.values()]},
        xlabel="characters in a group",
        ylabel="held-out perplexity per character",
        title="Longer groups help where they are mixed",
        yscale="log",
        marker="o",
    )
    best = min(mixed, key=mixed.get)
    report.figure(
        "Longer groups help where they are mixed",
        figure,
        alt=f"Perplexity of groups alone falls and rises again with their length; mixed with shorter groups it falls "
        f"to {mixed[best]:.2f} at {best} characters.",
    )


def _sums(report, train, test, size):
    context = test[: max(ORDERS) - 1]
    followed = np.concatenate([[*context, last] for last in range(size)])  # every character after the same context
    rows = ngram_probabilities(train, followed, max(ORDERS), size)[:, len(context) - 1 :: len(context) + 1]
    sums = rows.sum(axis=1)
    report.check("the counted probabilities of the next character sum to 1", got=sums, want=np.ones_like(sums))

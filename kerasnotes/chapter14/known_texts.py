"""Of texts whose law is known the best possible loss is known too, and both sides of a gap tell more than one.

How good could a model be at all? On a novel nobody knows. These texts are drawn by a law: each word belongs to a hidden
class, and a class is followed by one of two, in one case by one alone. What the reader should see: the law in the
counts of the texts; the least possible loss of a hidden word, equal to what a list of all texts gives; that it is
higher at the ends, where one side is missing, and higher for a model that reads the left side only; and labels that
depend on the classes, so that whoever has found the classes needs few of them.

Notes: chapter 14, "BERT" (BERT模型).
Source: Shannon 1948, doi:10.1002/j.1538-7305.1948.tb01338.x (entropy as the least possible loss); Baum et al. 1970,
doi:10.1214/aoms/1177697196 (hidden classes in a chain).
"""

from itertools import product

import keras
import numpy as np

from kerasnotes import plots
from kerasnotes.parts import shape, whole

SMOKE = {"samples": 500}
SECONDS = 2


def chain_transitions(classes=10, seed=0):
    """Probabilities (classes, classes) of the next class, a row for each class: two permutations, half and half."""
    rng = np.random.default_rng(seed)
    first, second = (np.eye(whole("classes", classes, 2))[rng.permutation(classes)] for _ in range(2))
    return (first + second) / 2


def class_chain(samples, steps, classes=10, words=30, seed=0):
    """Texts whose law is known: a hidden class follows by one of two permutations, equally likely; a word tells it.

    Args:
        samples, steps: Number of texts and their length.
        classes: Number of hidden classes; their law is `chain_transitions(classes, seed)`.
        words: Words of a class, equally likely.
        seed: Seed of the law and of the texts.

    Returns:
        `(ids, classes)`, each (samples, steps) int32. Word k of class c has the id 1 + c · words + k; 0 is padding.
    """
    whole("samples", samples), whole("steps", steps), whole("words", words)
    follow, rng = chain_transitions(classes, seed).cumsum(axis=1), np.random.default_rng((1, *np.atleast_1d(seed)))
    hidden = np.empty((samples, steps), np.int32)
    hidden[:, 0] = rng.integers(classes, size=samples)
    for step in range(1, steps):  # the first class whose summed probability is above a random number
        hidden[:, step] = (rng.random((samples, 1)) >= follow[hidden[:, step - 1]]).sum(axis=1)
    return (1 + hidden * words + rng.integers(words, size=hidden.shape)).astype(np.int32), hidden


def best_masked_loss(classes, place, transitions, words):
    """The least mean loss with which one hidden word of each text can be predicted from all others, in nats.

    The classes beside it are all that helps: p(c | left, right) is T[left, c] T[c, right], made to sum to 1.

    Args:
        classes: True classes (samples, steps).
        place: The place of the hidden word.
        transitions: Probabilities (classes, classes), whose columns sum to 1 too, so that all classes are as frequent.
        words: Words of a class, equally likely.
    """
    classes = shape("classes", np.asarray(classes), None, None)
    t = shape("transitions", np.asarray(transitions, float), *[len(transitions)] * 2)
    if (t < 0).any() or not np.allclose([t.sum(axis=0), t.sum(axis=1)], 1):
        raise ValueError("transitions: expected probabilities whose rows and columns sum to 1")
    if whole("place", place, 0) >= classes.shape[1]:
        raise ValueError(f"place: expected one of {classes.shape[1]} places, got {place}")
    if classes.size and not 0 <= classes.min() <= classes.max() < len(t):
        raise ValueError(f"classes: expected whole numbers from 0 to {len(t) - 1}")
    likely = np.ones((len(classes), len(t)))
    likely = likely * t[classes[:, place - 1]] if place else likely
    likely = likely * t.T[classes[:, place + 1]] if place + 1 < classes.shape[1] else likely
    right = np.take_along_axis(likely, classes[:, place, None], axis=1)[:, 0] / likely.sum(axis=1)
    return float(np.log(whole("words", words)) - np.log(right).mean())


def best_next_loss(classes, place, transitions, words):
    """The least mean loss with which the word at a place can be predicted from those before it; as `best_masked_loss`.

    Args:
        classes, place, transitions, words: As there.
    """
    classes = shape("classes", np.asarray(classes), None, None)
    return best_masked_loss(classes[:, : whole("place", place, 0) + 1], place, transitions, words)  # nothing behind it


def majority_labels(classes, half=5):
    """Whether more than half of a text's words are of the first classes.

    Args:
        classes: (samples, steps).
        half: Number of the first classes.

    Returns:
        `(labels, kept)`: Booleans (samples,); a text with as many words of both kinds is not kept.
    """
    first = 2 * (shape("classes", np.asarray(classes), None, None) < half).sum(axis=1)
    return first > np.shape(classes)[1], first != np.shape(classes)[1]


def example():
    """Three classes of two words, and a model that only counts: its loss and the least one."""
    print(chain_transitions(3, seed=1))
    ids, classes = class_chain(20_000, 5, classes=3, words=2, seed=1)
    print("text:", ids[0], "classes:", classes[0])
    counts = np.full((3, 3, 7), 1e-9)  # how often a word stands between two classes
    np.add.at(counts, (classes[:10_000, 1], classes[:10_000, 3], ids[:10_000, 2]), 1)
    p = (counts / counts.sum(axis=-1, keepdims=True))[classes[10_000:, 1], classes[10_000:, 3]]  # (texts, vocabulary)
    entropy = keras.losses.SparseCategoricalCrossentropy()
    print("counted, loss by Keras:", float(entropy(ids[10_000:, 2], p)))
    print("the least possible:    ", best_masked_loss(classes[10_000:], 2, chain_transitions(3, seed=1), words=2))
    print("majority of class 0:", majority_labels(classes[:4], half=1))


def lesson(report, *, samples: int = 20_000, seed: int = 0):
    """Count what the law says, list all texts of a small chain, and look at the best loss place by place.

    Args:
        report: The report to write to.
        samples: Texts to draw (200 to 1000000).
        seed: Seed of law and texts (0 to 4294967295).
    """
    ids, classes = class_chain(samples, 20, seed=seed)
    transitions = chain_transitions(seed=seed)
    _the_law(report, ids, classes, transitions)
    _all_texts(report, seed)
    _nothing_is_better(report, ids, classes, transitions)
    _labels(report, classes)
    _draw(report, classes, transitions)


def _the_law(report, ids, classes, transitions):
    """Counts against the law, within five standard errors: there are more than 300 of them."""
    report.check("a word tells its class: (id - 1) // 30", (ids - 1) // 30, classes)
    words, expected = np.bincount(ids.ravel(), minlength=301)[1:], np.repeat(np.bincount(classes.ravel()) / 30, 30)
    report.check("words that never occur, padding left out", int((words == 0).sum()), 0)
    away = np.abs(words - expected) / np.sqrt(expected * 29 / 30)
    report.at_most("words of a class: largest distance from equally many, standard errors", away.max(), 5.0)
    pairs = np.zeros((10, 10))
    np.add.at(pairs, (classes[:, :-1].ravel(), classes[:, 1:].ravel()), 1)
    report.check("pairs of classes that the law forbids", pairs[transitions == 0].sum(), 0.0)
    begun = pairs.sum(axis=1, keepdims=True) * np.ones((1, 10))
    half = transitions == 0.5
    away = np.abs(pairs - begun / 2)[half] / np.sqrt(begun / 4)[half]
    report.at_most("classes with two that may follow: distance from a half, standard errors", away, 5.0)


def _all_texts(report, seed):
    """Three classes of two words, four places: all paths are equally likely, and so are all texts of the list."""
    transitions = chain_transitions(3, (seed, 1))
    choices = [np.repeat(np.arange(3), (2 * row).astype(int)) for row in transitions]  # two for each class
    paths = []
    for start, *way in product(range(3), (0, 1), (0, 1), (0, 1)):
        path = [start]
        for turn in way:
            path.append(int(choices[path[-1]][turn]))
        paths.append(path)
    paths = np.array(paths)  # (24, 4), each with the probability 1/24
    spoken = np.array([[2 * c + w for c, w in zip(path, words, strict=True)]
                       for path in paths for words in product((0, 1), repeat=4)])  # fmt: skip
    want = []
    for place in range(4):
        others = np.delete(spoken, place, axis=1) @ 6 ** np.arange(3)  # one number for the rest of the text
        joint = np.zeros((216, 6))
        np.add.at(joint, (others, spoken[:, place]), 1 / len(spoken))
        given = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-12)
        want.append(-(joint * np.log(np.maximum(given, 1e-12))).sum())
    report.check("three classes, two words each, every place: the entropy given all other words, from all texts",
                 [best_masked_loss(paths, place, transitions, 2) for place in range(4)], want)  # fmt: skip


def _nothing_is_better(report, ids, classes, transitions):
    """Predictions that are a little off lose, by Gibbs' inequality, and counting comes near from above."""
    best = best_masked_loss(classes, 10, transitions, 30)
    likely = transitions[classes[:, 9]] * transitions.T[classes[:, 11]]
    likely /= likely.sum(axis=1, keepdims=True)
    right = np.arange(len(ids)), classes[:, 10]
    report.check("the loss of the right probabilities", -np.log(likely[right] / 30).mean(), best)
    losses = [-np.log(((1 - e) * likely + e / 10)[right] / 30).mean() for e in (0.01, 0.1, 0.5, 1.0)]
    report.at_least("mixed with equal chances, 1 % to all: loss above the best", np.array(losses) - best, 1e-3)
    one_side = best_next_loss(classes, 10, transitions, 30)
    report.at_least("from the left side only: loss above the best", one_side - best, 0.1)


def _labels(report, classes):
    labels, kept = majority_labels(classes)
    first = (classes < 5).sum(axis=1)
    report.check("kept: texts without a tie, label: more than ten of twenty", labels[kept], first[kept] > 10)
    report.table("Labels", ["", "share"], [["more than half of the words are of the first five classes",
                 float(labels.mean())], ["ties, left out", float(1 - kept.mean())]])  # fmt: skip


def _draw(report, classes, transitions):
    places = np.arange(classes.shape[1])
    series = {"no word seen": np.full(len(places), np.log(300)),
              "those on the left": [best_next_loss(classes, place, transitions, 30) for place in places],
              "those on both sides": [best_masked_loss(classes, place, transitions, 30) for place in places],
              "class known": np.full(len(places), np.log(30))}  # fmt: skip
    rows = [[name, *(float(values[place]) for place in (0, 10, 19))] for name, values in series.items()]
    columns = ["words seen", "first place", "place 11", "last place"]
    report.table("The least loss of one word, nats", columns, rows)
    figure = plots.curves(places + 1, series, xlabel="place in the text", ylabel="least possible loss, nats a word",
                          marker="o", title="What can be known about a hidden word")  # fmt: skip
    figure.axes[0].set_xticks(range(1, len(places) + 1, 3))
    report.figure("What can be known about a hidden word", figure,
                  alt="Least loss by place: highest with no word seen, lower from the left, lowest from both sides, "
                  "with steps up at the ends where one side is missing.")  # fmt: skip

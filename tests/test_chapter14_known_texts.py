"""Texts with a law: the law in the draws, the least loss against all texts, labels; every error."""

from itertools import pairwise, product

import numpy as np
import pytest

from kerasnotes.chapter14.known_texts import (
    best_masked_loss,
    best_next_loss,
    chain_transitions,
    class_chain,
    majority_labels,
)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("classes", "words"), [(10, 30), (4, 2), (2, 1)])
def test_the_law(seed, classes, words):
    t = chain_transitions(classes, seed)
    np.testing.assert_allclose([t.sum(axis=0), t.sum(axis=1)], 1)
    assert set(np.unique(t)) <= {0.0, 0.5, 1.0}
    ids, hidden = class_chain(2000, 12, classes, words, seed)
    assert ids.dtype == hidden.dtype == np.int32
    assert ids.min() >= 1
    np.testing.assert_array_equal((ids - 1) // words, hidden)
    assert t[hidden[:, :-1], hidden[:, 1:]].min() >= 0.5
    n = ids.size / classes / words
    assert abs(np.bincount(ids.ravel(), minlength=classes * words + 1)[1:] - n).max() < 12 * np.sqrt(n)
    for a, b in np.argwhere(t == 0.5):
        follows = hidden[:, 1:][hidden[:, :-1] == a] == b
        assert abs(follows.mean() - 0.5) < 5 * 0.5 / np.sqrt(len(follows))


def test_seeds_repeat_and_longer_draws_keep_the_law():
    for one, other in zip(class_chain(5, 6, seed=(1, 2)), class_chain(5, 6, seed=(1, 2)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (class_chain(5, 6, seed=1)[0] != class_chain(5, 6, seed=2)[0]).any()
    np.testing.assert_array_equal(chain_transitions(seed=3), chain_transitions(10, 3))


def entropy_given_others(transitions, words, steps, place, seen):
    """Exact, from the probabilities of all paths and texts: the entropy of one word given those at the places seen."""
    classes, joint = len(transitions), {}
    for path in product(range(classes), repeat=steps):
        p = np.prod([transitions[a, b] for a, b in pairwise(path)]) / classes / words**steps
        for spoken in product(range(words), repeat=steps) if p else ():
            text = [c * words + w for c, w in zip(path, spoken, strict=True)]
            key = tuple(text[i] for i in seen)
            joint.setdefault(key, {}).setdefault(text[place], 0.0)
            joint[key][text[place]] += p
    return -sum(p * np.log(p / sum(row.values())) for row in joint.values() for p in row.values())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("place", range(4))
def test_the_least_loss_is_the_conditional_entropy(seed, place):
    t = chain_transitions(3, seed)
    paths = []
    for path in product(range(3), repeat=4):  # as often as it is likely
        p = np.prod([t[a, b] for a, b in pairwise(path)])
        paths += [path] * round(8 * p)
    others = [i for i in range(4) if i != place]
    assert best_masked_loss(paths, place, t, 2) == pytest.approx(entropy_given_others(t, 2, 4, place, others))
    before = entropy_given_others(t, 2, 4, place, range(place))
    assert best_next_loss(paths, place, t, 2) == pytest.approx(before)


def test_by_hand():
    t = np.array([[0.5, 0.5], [0.5, 0.5]])
    assert best_masked_loss([[0, 1, 0]], 1, t, 7) == pytest.approx(np.log(14))
    t = np.array([[0, 1], [1, 0]])
    assert best_masked_loss([[0, 1, 0]], 2, t, 7) == pytest.approx(np.log(7))
    assert best_masked_loss([[1]], 0, t, 7) == pytest.approx(np.log(14))
    assert best_next_loss([[0, 1, 0]], 0, t, 7) == pytest.approx(np.log(14))


def test_labels():
    labels, kept = majority_labels([[0, 1, 5, 6], [0, 1, 4, 9], [5, 6, 7, 0], [4, 4, 4, 4]])
    np.testing.assert_array_equal(labels, [False, True, False, True])
    np.testing.assert_array_equal(kept, [False, True, True, True])
    labels, kept = majority_labels([[0, 1, 2]], half=2)
    assert labels[0]
    assert kept[0]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: chain_transitions(1), "classes: expected a whole number of at least 2"),
        (lambda: class_chain(0, 5), "samples: expected a whole number"),
        (lambda: class_chain(5, 0), "steps: expected a whole number"),
        (lambda: class_chain(5, 5, words=0), "words: expected a whole number"),
        (lambda: best_masked_loss([0, 1], 0, np.eye(2), 3), "classes: expected the shape"),
        (lambda: best_masked_loss([[0, 1]], 2, np.eye(2), 3), "place: expected one of 2 places, got 2"),
        (lambda: best_masked_loss([[0, 1]], -1, np.eye(2), 3), "place: expected a whole number"),
        (lambda: best_next_loss([[0, 1]], -1, np.eye(2), 3), "place: expected a whole number"),
        (lambda: best_next_loss([[0, 1]], 2, np.eye(2), 3), "place: expected one of 2 places, got 2"),
        (lambda: best_masked_loss([[0, 1]], 0, np.ones((2, 3)), 3), "transitions: expected the shape"),
        (lambda: best_masked_loss([[0, 1]], 0, [[1, 0], [1, 0]], 3), "transitions: expected probabilities"),
        (lambda: best_masked_loss([[0, 1]], 0, [[2, -1], [-1, 2]], 3), "transitions: expected probabilities"),
        (lambda: best_masked_loss([[0, 1]], 0, np.eye(2), 0), "words: expected a whole number"),
        (lambda: best_masked_loss([[0, 2]], 0, np.eye(2), 3), "classes: expected whole numbers from 0 to 1"),
        (lambda: majority_labels([0, 1]), "classes: expected the shape"),
    ],
)
def test_errors(function, message):
    with pytest.raises(ValueError, match=message):
        function()

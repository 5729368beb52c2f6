"""Labels in a row: every sum, maximum and slope against the list of all sequences."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter08.sequence_labelling import (
    FORBIDDEN,
    crf_loss,
    log_partition,
    marginals,
    sequence_score,
    unspaced,
    viterbi,
)


def case(seed, batch=3, steps=4, tags=3):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=size) for size in ((batch, steps, tags), (tags, tags), (tags,), (tags,))]


def score_by_hand(emissions, path, transitions, start, end):
    total = start[path[0]] + end[path[-1]] + sum(emissions[step, tag] for step, tag in enumerate(path))
    return total + sum(transitions[before, after] for before, after in itertools.pairwise(path))


@pytest.mark.parametrize(("seed", "steps", "tags"), [(0, 1, 2), (1, 4, 3), (2, 3, 1), (3, 5, 2)])
@pytest.mark.parametrize("padded", [False, True])
def test_everything_against_the_list_of_all_sequences(seed, steps, tags, padded):
    emissions, *rules = case(seed, 2, steps, tags)
    lengths = np.array([max(1, steps - 2), steps]) if padded else None
    labels = np.random.default_rng(seed).integers(0, tags, (2, steps))
    loss = crf_loss(emissions, labels, *rules, lengths)
    found, best = viterbi(emissions, *rules, lengths)
    p = marginals(emissions, *rules, lengths)
    for row, length in enumerate(lengths if padded else [steps, steps]):
        paths = list(itertools.product(range(tags), repeat=int(length)))
        scores = np.array([score_by_hand(emissions[row], path, *rules) for path in paths])
        total = np.log(np.exp(scores).sum())
        np.testing.assert_allclose(log_partition(emissions, *rules, lengths)[row], total, atol=1e-10)
        own = score_by_hand(emissions[row], labels[row, :length], *rules)
        np.testing.assert_allclose(sequence_score(emissions, labels, *rules, lengths)[row], own, atol=1e-10)
        np.testing.assert_allclose(loss[row], total - own, atol=1e-10)
        np.testing.assert_allclose(best[row], scores.max(), atol=1e-10)
        np.testing.assert_array_equal(found[row, :length], paths[scores.argmax()])
        assert not np.any(found[row, length:])
        counted = np.einsum("p,pti->ti", np.exp(scores - total), np.eye(tags)[np.array(paths)])
        np.testing.assert_allclose(p[row, :length], counted, atol=1e-10)
        assert not np.any(p[row, length:])


@pytest.mark.parametrize("lengths", [None, [4, 2, 1]])
def test_slopes(lengths):
    emissions, *rules = (tf.constant(each) for each in case(4))
    labels = np.random.default_rng(4).integers(0, 3, (3, 4))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([emissions, *rules])
        total, loss = log_partition(emissions, *rules, lengths), crf_loss(emissions, labels, *rules, lengths)
    p = marginals(emissions, *rules, lengths)
    np.testing.assert_allclose(tape.gradient(total, emissions), p, atol=1e-10)
    np.testing.assert_allclose(tape.gradient(total, rules[1]), tf.reduce_sum(p[:, 0], axis=0), atol=1e-10)
    inside = np.arange(4) < np.array([4, 4, 4] if lengths is None else lengths)[:, None]
    slope = p - np.eye(3)[labels] * inside[:, :, None]
    np.testing.assert_allclose(tape.gradient(loss, emissions), slope, atol=1e-10)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_without_rules_it_is_a_softmax_for_each_step(kind):
    emissions = case(5, 6, 7, 4)[0].astype(kind)
    labels = np.random.default_rng(5).integers(0, 4, (6, 7))
    none = np.zeros((4, 4)), np.zeros(4), np.zeros(4)
    loss = crf_loss(emissions, labels, *none)
    assert loss.dtype == kind
    theirs = keras.ops.sparse_categorical_crossentropy(labels, emissions, from_logits=True)
    np.testing.assert_allclose(loss, np.sum(theirs, axis=1), rtol=1e-5)
    np.testing.assert_allclose(marginals(emissions, *none), tf.nn.softmax(emissions), atol=1e-6)
    np.testing.assert_array_equal(viterbi(emissions, *none)[0], emissions.argmax(axis=2))


def test_what_is_forbidden_does_not_happen_and_slopes_stay_finite():
    emissions, transitions, start, end = (tf.constant(each, tf.float32) for each in case(6, 50, 8, 3))
    transitions = tf.where([[False, False, True], [False, False, False], [False, False, False]], FORBIDDEN, transitions)
    tags = viterbi(emissions, transitions, start, end)[0].numpy()
    assert not np.any((tags[:, :-1] == 0) & (tags[:, 1:] == 2))
    with tf.GradientTape() as tape:
        tape.watch([emissions, transitions])
        total = log_partition(emissions, transitions, start, end)
    slopes = tape.gradient(total, [emissions, transitions])
    assert all(np.all(np.isfinite(slope)) for slope in slopes)
    assert slopes[1][0, 2] == 0.0


def test_unspaced():
    letters, begins = unspaced("it is a\ntruth, yes", 4)
    assert ["".join(row) for row in letters] == ["itis", "atru", "th,y"]
    np.testing.assert_array_equal(begins, [[1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]])


EMISSIONS, TRANSITIONS, START, END = case(7)
LABELS = np.zeros((3, 4), int)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: EMISSIONS[0]}, "emissions: expected the shape"),
        ({2: TRANSITIONS[:2]}, "transitions: expected the shape"),
        ({3: START[:1]}, "start: expected the shape"),
        ({4: END[None]}, "end: expected the shape"),
        ({1: LABELS[:, :1]}, "tags: expected the shape"),
        ({1: LABELS + 3}, "ids: expected ids from 0 to 2"),
        ({1: LABELS + 0.5}, "ids: expected integers"),
        ({5: [4, 4]}, "lengths: expected the shape"),
        ({5: [4, 5, 1]}, "lengths: expected numbers of steps from 1 to 4"),
        ({5: [4, 0, 1]}, "lengths: expected numbers of steps from 1 to 4"),
    ],
)
def test_errors(change, message):
    arguments = [EMISSIONS, LABELS, TRANSITIONS, START, END, None]
    for place, value in change.items():
        arguments[place] = value
    with pytest.raises(ValueError, match=message):
        crf_loss(*arguments)
    if 1 not in change:
        for function in (viterbi, marginals, log_partition):
            with pytest.raises(ValueError, match=message):
                function(arguments[0], *arguments[2:])


def test_a_piece_has_a_length():
    with pytest.raises(ValueError, match="length: expected a whole number"):
        unspaced("it is", 0)

"""CTC: sums, best paths and slopes against the list of all paths, and against TensorFlow and Keras."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter08.ctc import (
    alignments,
    best_path_decode,
    collapse,
    ctc_log_likelihood,
    forced_alignment,
    occupancy,
    speech_toy,
)


@pytest.mark.parametrize(
    ("path", "labels"),
    [([0, 1, 1, 0, 1, 2], [1, 1, 2]), ([0, 0], []), ([], []), ([1, 1, 2, 2], [1, 2]), ([2, 0, 2], [2, 2])],
)
def test_collapse(path, labels):
    assert collapse(path) == labels
    moved = [(label - 1) % 3 for label in path]  # the blank is the last class
    assert collapse(moved, blank=2) == [label - 1 for label in labels]


@pytest.mark.parametrize(
    ("labels", "steps", "classes", "blank"),
    [([1, 2], 5, 3, 0), ([1, 1, 2], 6, 3, 0), ([1], 1, 2, 0), ([], 3, 2, 0), ([0, 2, 2], 5, 4, 3), ([0, 1], 4, 3, 2)],
)
def test_everything_against_the_list_of_all_paths(labels, steps, classes, blank):
    log_p = tf.nn.log_softmax(np.random.default_rng(steps).normal(size=(steps, classes)))
    labels = np.array(labels, int)
    paths = alignments(labels, steps, classes, blank)
    assert len(np.unique(paths, axis=0)) == len(paths) > 0
    scores = log_p.numpy()[np.arange(steps), paths].sum(axis=1)
    total = np.log(np.exp(scores).sum())
    np.testing.assert_allclose(ctc_log_likelihood(log_p, labels, blank), total, atol=1e-10)
    path, best = forced_alignment(log_p, labels, blank)
    np.testing.assert_array_equal(path, paths[scores.argmax()])
    np.testing.assert_allclose(best, scores.max(), atol=1e-10)
    counted = np.einsum("p,ptc->tc", np.exp(scores - total), np.eye(classes)[paths])
    np.testing.assert_allclose(occupancy(log_p, labels, blank), counted, atol=1e-10)


def test_the_probabilities_of_all_labels_sum_to_1():
    log_p = tf.nn.log_softmax(np.random.default_rng(0).normal(size=(4, 3)))
    every = {tuple(collapse(path)) for path in np.ndindex(3, 3, 3, 3)}
    total = sum(np.exp(ctc_log_likelihood(log_p, np.array(labels, int))) for labels in every)
    np.testing.assert_allclose(total, 1.0, atol=1e-12)


@pytest.mark.parametrize(("steps", "length"), [(2, 1), (4, 2), (6, 3), (5, 4), (3, 3)])
def test_number_of_paths(steps, length):
    labels = [1, 2, 1, 2][:length]
    assert len(alignments(labels, steps, 3)) == math.comb(steps + length, 2 * length)
    log_p = tf.fill((steps, 3), -np.log(3.0))
    counted = np.exp(ctc_log_likelihood(log_p, labels)) * 3.0**steps
    np.testing.assert_allclose(counted, math.comb(steps + length, 2 * length), rtol=1e-5)


@pytest.mark.parametrize(("steps", "length", "blank"), [(8, 3, 0), (12, 5, 0), (7, 1, 5)])
def test_parity_with_tensorflow(steps, length, blank):
    rng = np.random.default_rng(steps)
    logits = tf.constant(rng.normal(size=(4, steps, 6)), tf.float32)
    labels = rng.integers(1, 6, (4, length)) - (blank == 5)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        ours = -ctc_log_likelihood(tf.nn.log_softmax(logits), labels, blank)
        theirs = tf.nn.ctc_loss(labels, logits, [length] * 4, [steps] * 4, logits_time_major=False, blank_index=blank)
    assert ours.dtype == tf.float32
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(ours, logits), tape.gradient(theirs, logits), atol=1e-5)
    slope = tf.nn.softmax(logits) - occupancy(tf.nn.log_softmax(logits), labels, blank)
    np.testing.assert_allclose(tape.gradient(ours, logits), slope, atol=1e-5)
    if blank == 0:
        np.testing.assert_allclose(keras.losses.CTC(reduction="none")(labels, logits), ours, rtol=1e-5)


def test_axes_in_front_are_batches():
    rng = np.random.default_rng(1)
    log_p, labels = tf.nn.log_softmax(rng.normal(size=(2, 3, 7, 4))), rng.integers(1, 4, (2, 3, 2))
    together = (ctc_log_likelihood(log_p, labels), *forced_alignment(log_p, labels), occupancy(log_p, labels))
    for place in np.ndindex(2, 3):
        case = log_p[place], labels[place]
        alone = (ctc_log_likelihood(*case), *forced_alignment(*case), occupancy(*case))
        for whole, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(np.asarray(whole)[place], one, atol=1e-10)


def test_what_cannot_be_has_probability_0_and_no_slope():
    logits = tf.zeros((3, 3))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        got = ctc_log_likelihood(tf.nn.log_softmax(logits), [1, 1, 2])
    assert got == -np.inf
    assert np.all(np.isfinite(tape.gradient(got, logits)))
    with np.errstate(divide="ignore"):
        sure = np.log(np.eye(3, dtype=np.float32)[[1, 0, 2]])  # with probabilities 0 among them
    assert ctc_log_likelihood(sure, [1, 2]) == 0.0
    assert ctc_log_likelihood(sure, [2, 1]) == -np.inf


def test_best_path_decode():
    logits = np.eye(3)[[[0, 1, 1, 0, 1], [2, 2, 0, 0, 0], [0, 0, 0, 0, 0]]]
    assert best_path_decode(logits) == [[1, 1], [2], []]
    assert best_path_decode(logits, blank=2) == [[0, 1, 0, 1], [0], [0]]


def test_the_toy():
    frames, labels = speech_toy(300, 3)
    assert frames.shape == (300, 16, 8)
    assert labels.shape == (300, 4)
    assert (frames.dtype, labels.dtype) == (np.float32, np.int32)
    assert set(np.unique(labels)) == {1, 2, 3, 4}
    assert np.all(labels[:, 1:] != labels[:, :-1])
    np.testing.assert_array_equal(frames, speech_toy(300, 3)[0])
    assert np.abs(frames[:, :4]).mean() > 1.3 * np.abs(frames[:, 12:]).mean()  # speech first, noise alone at the end


LOG_P = np.log(np.full((4, 3), 1 / 3))


@pytest.mark.parametrize("function", [ctc_log_likelihood, forced_alignment, occupancy])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((4, 3)), [1]), "log_probabilities: expected logarithms of probabilities"),
        ((LOG_P * np.nan, [1]), "log_probabilities: expected logarithms of probabilities"),
        ((LOG_P, [0, 1]), "blank: expected a class from 0 to 2"),
        ((LOG_P, [1], 3), "blank: expected a class from 0 to 2"),
        ((LOG_P, [1, 3]), "ids: expected ids from 0 to 2"),
        ((LOG_P, [1.0, 2.0]), "ids: expected integers"),
        ((LOG_P, [[1, 2]]), "labels: expected the shape"),
    ],
)
def test_errors(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)


@pytest.mark.parametrize("function", [forced_alignment, occupancy])
def test_labels_need_room(function):
    with pytest.raises(ValueError, match="labels: expected labels that 4 frames have room for"):
        function(LOG_P, [1, 1, 2, 2])


def test_too_many_paths_and_too_few_axes():
    with pytest.raises(ValueError, match="steps: expected at most a million paths"):
        alignments([1], 20, 3)
    with pytest.raises(ValueError, match="logits: expected the shape"):
        best_path_decode(LOG_P)

"""Several labels: Keras's loss, measures by hand, thresholds by search, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter13.multi_label import (
    best_thresholds,
    build_network,
    digit_pairs,
    f1_score,
    multi_label_loss,
    subset_accuracy,
)


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_keras_binary_cross_entropy_with_its_gradient(seed):
    rng = np.random.default_rng(seed)
    labels, logits = (rng.random((5, 4)) < 0.4).astype("float32"), tf.constant(9 * rng.normal(size=(5, 4)), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        ours = multi_label_loss(labels, logits)
        theirs = keras.losses.BinaryCrossentropy(from_logits=True)(labels, logits)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(ours, logits), tape.gradient(theirs, logits), atol=1e-6)
    assert float(multi_label_loss([[1.0, 0.0]], [[-100.0, 100.0]])) == pytest.approx(100)
    assert float(multi_label_loss([[1.0, 0.0]], [[100.0, -100.0]])) == pytest.approx(0)


def test_measures_by_hand():
    labels = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0]])
    said = np.array([[1, 0, 0], [0, 0, 1], [1, 1, 0]])
    assert subset_accuracy(labels, said) == pytest.approx(1 / 3)
    # Label 0: all right, 1. Label 1: never there, 0. Label 2: one right, one missed, 2/3.
    assert f1_score(labels, said) == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert f1_score(labels, said, "micro") == pytest.approx(2 * 3 / (4 + 4))
    theirs = keras.metrics.F1Score(average="micro", threshold=0.5)
    theirs.update_state(labels.astype("float32"), said.astype("float32"))
    assert f1_score(labels, said, "micro") == pytest.approx(float(theirs.result()), abs=1e-5)
    macro = keras.metrics.F1Score(average="macro", threshold=0.5)
    macro.update_state(labels.astype("float32"), said.astype("float32"))
    assert f1_score(labels, said) == pytest.approx(float(macro.result()), abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_thresholds_are_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    labels, scores = (rng.random((30, 3)) < 0.4).astype(int), rng.random((30, 3))
    labels[0] = 1
    found = best_thresholds(labels, scores)
    for label in range(3):
        column = labels[:, [label]]
        best = max(f1_score(column, scores[:, [label]] > t) for t in (-1, *scores[:, label]))
        assert f1_score(column, scores[:, [label]] > found[label]) == pytest.approx(best)


def test_pictures_hold_the_digits_that_the_labels_name():
    images = np.arange(10, dtype=np.uint8)[:, None, None] * np.full((1, 28, 28), 25, np.uint8)
    x, y = digit_pairs(images + 1, np.arange(10), 400, seed=2)
    assert x.shape == (400, 14, 28, 1)
    for picture, labels in zip(x[..., 0], y, strict=True):
        halves = [picture[0, 0], picture[0, -1]]
        want = {round((255 * each - 1) / 25) for each in halves if each > 0}
        assert set(np.flatnonzero(labels)) == want
    counts = y.sum(axis=1)
    assert counts.min() >= 1
    assert counts.max() == 2
    # Both are there in 9/16 of the pictures, and in a tenth of those they are the same digit.
    assert np.mean(counts == 2) == pytest.approx(9 / 16 * 0.9, abs=0.08)
    assert build_network(1)(x[:2]).shape == (2, 10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: digit_pairs(np.zeros((3, 20, 20)), np.zeros(3), 2), "images: expected the shape"),
        (lambda: digit_pairs(np.zeros((3, 28, 28)), np.zeros(2), 2), "labels: expected the shape"),
        (lambda: multi_label_loss([[1.0]], [[1.0, 2.0]]), "labels: expected the shape"),
        (lambda: multi_label_loss([[0.5]], [[1.0]]), "labels: expected 0 or 1"),
        (lambda: subset_accuracy([[1, 0]], [[1]]), "predicted: expected the shape"),
        (lambda: f1_score([[1]], [[1]], "mean"), "average: expected macro or micro"),
        (lambda: best_thresholds([[1]], [[1, 2]]), "scores: expected the shape"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

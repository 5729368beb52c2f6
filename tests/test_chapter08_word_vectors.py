"""Word vectors: counts by hand, slopes by the tape, the best approximation, and training that finds like words."""

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter08.word_vectors import (
    cbow_windows,
    cooccurrence,
    nearest,
    negative_sampling_loss,
    negative_table,
    ppmi,
    same_class_share,
    skip_gram_gradient,
    skip_gram_pairs,
    svd_vectors,
    train_cbow,
    train_skip_gram,
)

IDS = np.random.default_rng(0).integers(0, 5, 40)


@pytest.mark.parametrize("window", [1, 2, 5])
def test_counts_by_hand(window):
    want = np.zeros((6, 6))
    for here, word in enumerate(IDS):
        for there, other in enumerate(IDS):
            want[word, other] += 0 < abs(here - there) <= window
    np.testing.assert_array_equal(cooccurrence(IDS, 6, window), want)


def test_ppmi_is_the_formula_and_zero_where_nothing_occurs():
    counts = np.array([[4.0, 0.0, 1.0], [0.0, 0.0, 0.0], [2.0, 3.0, 6.0]])
    contexts = counts.sum(axis=0) ** 0.75 / np.sum(counts.sum(axis=0) ** 0.75)
    got = ppmi(counts)
    for row, column in np.ndindex(3, 3):
        ratio = counts[row, column] / max(counts[row].sum(), 1) / contexts[column]
        assert got[row, column] == pytest.approx(np.log(max(ratio, 1.0)))
    symmetric = counts + counts.T
    np.testing.assert_allclose(ppmi(symmetric, 1.0), ppmi(symmetric, 1.0).T)


def test_svd_vectors_come_nearest():
    matrix = np.random.default_rng(1).normal(size=(7, 5))
    values = np.linalg.svd(matrix)[1]
    for size in (1, 3, 5):
        vectors, contexts = svd_vectors(matrix, size)
        assert (vectors.shape, contexts.shape) == ((7, size), (5, size))
        error = np.linalg.norm(matrix - vectors @ contexts.T)
        np.testing.assert_allclose(error, np.linalg.norm(values[size:]), atol=1e-12)


def test_pairs_are_neighbours_and_near_ones_count_more():
    ids = np.arange(2000)
    centers, contexts = skip_gram_pairs(ids, 4, 3)
    distance = np.abs(centers - contexts)
    assert set(distance) == {1, 2, 3, 4}
    shares = np.bincount(distance)[1:] / 4000
    np.testing.assert_allclose(shares, [1.0, 0.75, 0.5, 0.25], atol=0.04)
    np.testing.assert_array_equal(centers, skip_gram_pairs(ids, 4, 3)[0])
    assert len(skip_gram_pairs(IDS, 1, 0)[0]) == 2 * (len(IDS) - 1)


def test_windows():
    contexts, centers = cbow_windows([1, 2, 3, 4, 5, 6], 2)
    np.testing.assert_array_equal(centers, [3, 4])
    np.testing.assert_array_equal(contexts, [[1, 2, 4, 5], [2, 3, 5, 6]])


def test_negatives():
    np.testing.assert_allclose(negative_table([1, 16, 0]), [1 / 9, 8 / 9, 0])
    np.testing.assert_allclose(negative_table([1, 3], power=1.0), [0.25, 0.75])


@pytest.mark.parametrize("negatives", [1, 4])
def test_loss_and_slopes(negatives):
    rng = np.random.default_rng(negatives)
    case = [tf.constant(rng.normal(size=size)) for size in ((5, 3), (5, 3), (5, negatives, 3))]
    with tf.GradientTape() as tape:
        tape.watch(case)
        loss = negative_sampling_loss(*case)
    products = tf.concat([tf.reduce_sum(case[0] * case[1], 1)[:, None], tf.einsum("bs,bks->bk", case[0], case[2])], 1)
    labels = tf.one_hot(tf.zeros(5, tf.int32), negatives + 1, dtype=tf.float64)
    theirs = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels, products), axis=1)
    np.testing.assert_allclose(loss, theirs, atol=1e-12)
    for ours, taped in zip(skip_gram_gradient(*case), tape.gradient(loss, case), strict=True):
        np.testing.assert_allclose(ours, taped, atol=1e-12)


@pytest.mark.parametrize("train", [train_skip_gram, train_cbow])
def test_training_finds_words_with_the_same_neighbours(train):
    # 0 and 1 stand between 2 and 3, 4 and 5 between 6 and 7.
    rng = np.random.default_rng(5)
    parts = [[2, rng.integers(0, 2), 3] if rng.random() < 0.5 else [6, rng.integers(4, 6), 7] for _ in range(600)]
    ids = np.ravel(parts)
    vectors, contexts = train(ids, 8, size=6, window=1, epochs=30, batch_size=32, seed=1)
    assert vectors.shape == contexts.shape == (8, 6)
    assert nearest(vectors, 0, 1) == [1]
    assert nearest(vectors, 4, 1) == [5]
    np.testing.assert_array_equal(vectors, train(ids, 8, size=6, window=1, epochs=30, batch_size=32, seed=1)[0])


def test_same_class_share():
    vectors = np.array([[1.0, 0.1], [2.0, 0.3], [0.0, 1.0], [-0.1, 5.0], [-1.0, 0.1]])
    assert same_class_share(vectors, ["a", "a", "b", "b", "a"]) == 0.8
    assert list(nearest(vectors, 0, 2)) == [1, 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cooccurrence([0, 5], 5, 1), "ids: expected ids from 0"),
        (lambda: cooccurrence([0, 1], 5, 0), "window: expected a whole number"),
        (lambda: skip_gram_pairs([0, 1], 0, 0), "window: expected a whole number"),
        (lambda: cbow_windows([0, 1], 1), "ids: expected at least 3 integers"),
        (lambda: ppmi(np.ones(3)), "counts: expected the shape"),
        (lambda: ppmi(np.ones((3, 3)), 0.0), "smoothing: expected a positive"),
        (lambda: svd_vectors(np.ones(3), 1), "matrix: expected the shape"),
        (lambda: svd_vectors(np.ones((3, 3)), 0), "size: expected a whole number"),
        (lambda: negative_table(np.ones((2, 2))), "counts: expected the shape"),
        (lambda: same_class_share(np.ones((3, 2)), [1, 2]), "classes: expected the shape"),
        (lambda: nearest(np.ones(3), 0, 1), "vectors: expected the shape"),
        (lambda: train_cbow(IDS, 5, epochs=0), "epochs: expected a whole number"),
        (lambda: train_skip_gram(IDS, 4), "ids: expected ids from 0"),
        (lambda: train_skip_gram(IDS, 5, epochs=40, learning_rate=1e9), "learning_rate: expected one at which"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

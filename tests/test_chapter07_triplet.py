"""Triplets: the loss by hand, mining by a plain triple loop, the score by Keras and by counting couples of pairs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter07.triplet import (
    build_embedding,
    more_classes,
    random_triplets,
    semi_hard_triplets,
    squared_distances,
    train_embedding,
    triplet_loss,
    verification_auc,
)


def test_loss_by_hand():
    anchor, same, other = np.array([[[0.0, 0.0]], [[0.6, 0.0]], [[0.0, 0.5]]])
    np.testing.assert_allclose(triplet_loss(anchor, same, other, 0.2), [0.36 + 0.2 - 0.25], rtol=1e-6)
    np.testing.assert_array_equal(triplet_loss(anchor, same, np.array([[0.0, 0.8]]), 0.2), [0.0])


@pytest.mark.parametrize("margin", [0.1, 1.0])
def test_loss_is_zero_exactly_where_the_margin_is_kept(margin):
    points = np.random.default_rng(0).normal(size=(3, 200, 2))
    near, far = (np.sum((points[0] - each) ** 2, axis=1) for each in points[1:])
    losses = triplet_loss(*points, margin).numpy()
    np.testing.assert_array_equal(losses == 0, far >= near + margin)
    np.testing.assert_allclose(losses, np.maximum(near + margin - far, 0), atol=1e-12)


def test_gradient_by_hand():
    anchor, same, other = (tf.constant(each) for each in ([[0.0, 1.0]], [[1.0, 1.0]], [[0.5, 0.0]]))
    with tf.GradientTape() as tape:
        tape.watch([anchor, same, other])
        loss = triplet_loss(anchor, same, other, 0.5)
    got = tape.gradient(loss, [anchor, same, other])
    for gradient, want in zip(got, ([[-1.0, -2.0]], [[2.0, 0.0]], [[-1.0, 2.0]]), strict=True):
        np.testing.assert_allclose(gradient, want, atol=1e-6)  # 2 (n - p), 2 (p - a), 2 (a - n)


def test_distances():
    one, two = np.random.default_rng(1).normal(size=(5, 3)), np.random.default_rng(2).normal(size=(4, 3))
    want = np.sum((one[:, None] - two) ** 2, axis=2)
    np.testing.assert_allclose(squared_distances(one, two), want, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_mining_by_a_triple_loop(seed):
    rng = np.random.default_rng(seed)
    embeddings, labels, margin = rng.normal(size=(14, 2)), rng.integers(0, 3, 14), 0.5
    distances = np.sum((embeddings[:, None] - embeddings) ** 2, axis=2)
    want = set()
    for anchor in range(14):
        for same in range(14):
            if anchor == same or labels[anchor] != labels[same]:
                continue
            near = distances[anchor, same]
            fits = [n for n in range(14) if labels[n] != labels[anchor] and near < distances[anchor, n] < near + margin]
            if fits:
                want.add((anchor, same, min(fits, key=lambda n, a=anchor: distances[a, n])))
    assert want
    assert {tuple(row) for row in semi_hard_triplets(embeddings, labels, margin).numpy()} == want


def test_without_a_semi_hard_negative_there_is_no_triplet():
    embeddings = np.array([[0.0], [0.1], [9.0], [9.1]])
    assert semi_hard_triplets(embeddings, [0, 0, 1, 1]).shape == (0, 3)


def test_random_triplets_are_triplets():
    labels = np.random.default_rng(0).integers(0, 3, 20)
    triplets = random_triplets(labels, (0, 1)).numpy()
    assert len(triplets) == sum(np.sum(labels == label) * (np.sum(labels == label) - 1) for label in range(3))
    assert np.all(labels[triplets[:, 0]] == labels[triplets[:, 1]])
    assert np.all(triplets[:, 0] != triplets[:, 1])
    assert np.all(labels[triplets[:, 0]] != labels[triplets[:, 2]])


@pytest.mark.parametrize("seed", range(3))
def test_the_score_counts_couples_of_pairs(seed):
    rng = np.random.default_rng(seed)
    embeddings, labels = rng.integers(0, 3, (12, 2)).astype(float), rng.integers(0, 3, 12)  # with ties
    one, two = np.triu_indices(12, 1)
    values, same = np.sum((embeddings[one] - embeddings[two]) ** 2, axis=1), labels[one] == labels[two]
    right = (values[same][:, None] < values[~same]) + 0.5 * (values[same][:, None] == values[~same])
    assert verification_auc(embeddings, labels) == pytest.approx(right.mean())


def test_the_score_is_kerass():
    rng = np.random.default_rng(5)
    embeddings, labels = rng.random((30, 2)), rng.integers(0, 2, 30)
    one, two = np.triu_indices(30, 1)
    near = 1 - squared_distances(embeddings, embeddings).numpy()[one, two] / 2
    theirs = keras.metrics.AUC(num_thresholds=20000)(labels[one] == labels[two], near)
    assert verification_auc(embeddings, labels) == pytest.approx(float(theirs), abs=1e-3)


def test_perfect_and_reversed():
    assert verification_auc(np.array([[0.0], [0.1], [5.0], [5.1]]), [0, 0, 1, 1]) == 1.0
    assert verification_auc(np.array([[0.0], [5.0], [0.0], [5.0]]), [0, 0, 1, 1]) == pytest.approx(0.25)


def test_made_up_classes():
    images = np.random.default_rng(0).random((3, 4, 4, 1)) + np.arange(1, 4)[:, None, None, None]
    made, names = more_classes(images, np.arange(3), 0, symmetric=(1,))
    assert made.shape == (3 + 3 + 2 + 3 + 3, 4, 4, 1)
    np.testing.assert_array_equal(made[:3], images)
    np.testing.assert_array_equal(made[3:6], np.rot90(images, 1, (1, 2)))
    np.testing.assert_array_equal(made[6:8], images[[0, 2]][:, :, ::-1])
    np.testing.assert_array_equal(names[:8], [0, 1, 2, 3, 4, 5, 6, 8])
    for picture, name in zip(made[8:11], names[8:11] - 9, strict=True):
        one, two = divmod(name, 3)
        np.testing.assert_array_equal(picture, np.concatenate([images[one][:2], images[two][2:]]))
    for picture, name in zip(made[11:], names[11:] - 18, strict=True):
        one, two = divmod(name, 3)
        np.testing.assert_array_equal(picture, np.concatenate([images[one][:, :2], images[two][:, 2:]], axis=1))


def test_embeddings_have_length_one_and_learn():
    model = build_embedding(8, seed=1)
    embeddings = model(np.random.default_rng(0).random((5, 28, 28, 1))).numpy()
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), np.ones(5), rtol=1e-5)
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 120)
    images = rng.random((120, 28, 28, 1)).astype(np.float32) / 2
    images[np.arange(120), 8 * labels + 4] += 0.5  # a light line
    model, losses = train_embedding(images, labels, steps=20, batch_size=40, seed=0)
    assert len(losses) >= 20
    assert np.all(np.isfinite(losses))
    assert verification_auc(model(images), labels) > 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: triplet_loss(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((1, 3))), "negative: expected the shape"),
        (lambda: triplet_loss(np.zeros((2, 3)), np.zeros((2, 1)), np.zeros((2, 3))), "positive: expected"),
        (lambda: triplet_loss(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 3)), 0), "margin: expected"),
        (lambda: semi_hard_triplets(np.zeros((2, 3)), [0]), "labels: expected the shape"),
        (lambda: semi_hard_triplets(np.zeros((2, 3)), [0, 1], -1.0), "margin: expected"),
        (lambda: semi_hard_triplets(np.zeros((2, 3, 1)), [0, 1]), "embeddings: expected the shape"),
        (lambda: verification_auc(np.zeros((2, 3)), [0, 0]), "labels: expected pairs"),
        (lambda: verification_auc(np.zeros((2, 3)), [0, 1]), "labels: expected pairs"),
        (lambda: verification_auc(np.zeros((2, 3)), [0]), "labels: expected the shape"),
        (lambda: train_embedding(np.zeros((9, 28, 28, 1)), np.zeros(9), "hard"), "mining: expected"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

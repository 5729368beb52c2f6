"""Proposals: codes by hand and back, targets by a plain loop, the loss by Keras's, suppression by TensorFlow's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter07.detection import iou
from kerasnotes.chapter07.proposals import (
    build_region_proposal_network,
    decode_boxes,
    encode_boxes,
    proposal_loss,
    proposal_targets,
    propose,
)
from kerasnotes.chapter07.window_search import anchors

GRID = anchors((4, 4), 8, (8.0, 14.0), (1.0, 2.0))


def random_boxes(rng, *sizes, side=32):
    ends = np.sort(rng.uniform(0, side - 4, (*sizes, 2, 2)), axis=-2) + np.array([[0.0], [3.0]])
    return ends.reshape(*sizes, 4).astype(np.float32)


def test_codes_by_hand():
    anchor, box = np.array([0.0, 0, 10, 20]), np.array([-4.0, 4, 16, 14])
    np.testing.assert_allclose(encode_boxes(box, anchor), [0.1, -0.05, np.log(2), np.log(0.5)], atol=1e-9)
    np.testing.assert_allclose(decode_boxes(np.array([0.1, -0.05, np.log(2), np.log(0.5)]), anchor), box, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_decoding_is_the_inverse_of_encoding(seed):
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, 2, len(GRID))
    np.testing.assert_allclose(decode_boxes(encode_boxes(boxes, GRID), GRID), boxes, atol=1e-4)
    deltas = rng.normal(0, 0.5, (2, len(GRID), 4)).astype(np.float32)
    np.testing.assert_allclose(encode_boxes(decode_boxes(deltas, GRID), GRID), deltas, atol=1e-4)


def test_a_wild_guess_stays_finite():
    assert np.all(np.isfinite(decode_boxes(np.array([[0.0, 0, 1e6, 1e6]], np.float32), GRID[:1])))
    assert np.all(np.isfinite(encode_boxes(np.zeros((1, 4), np.float32), GRID[:1])))


@pytest.mark.parametrize("seed", range(4))
def test_targets_by_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, 3, 2)
    boxes[0, 1] = 0  # no object
    kinds, deltas = proposal_targets(boxes, GRID, 0.6, 0.2)
    for truth, row, towards in zip(boxes, kinds.numpy(), deltas.numpy(), strict=True):
        overlaps = iou(GRID, truth)
        for index, anchor in enumerate(GRID):
            own = any(overlaps[index, each] == overlaps[:, each].max() > 0 for each in range(2))
            best = overlaps[index].max()
            assert row[index] == (1 if own or best >= 0.6 else 0 if best < 0.2 else -1)
            if row[index] == 1:
                nearest = truth[overlaps[index].argmax()]
                np.testing.assert_allclose(towards[index], encode_boxes(nearest, anchor), atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_kerass(seed):
    rng = np.random.default_rng(seed)
    odds, deltas, wanted = (rng.normal(0, 2, size).astype(np.float32) for size in ((2, 9), (2, 9, 4), (2, 9, 4)))
    kinds = rng.integers(-1, 2, (2, 9)).astype(np.float32)
    kinds[:, :2] = [1, 0]
    want = keras.losses.BinaryCrossentropy(from_logits=True)(kinds[kinds >= 0], odds[kinds >= 0])
    want += 4 * keras.losses.Huber(1.0)(wanted[kinds == 1], deltas[kinds == 1])
    got = proposal_loss(tf.constant(odds), tf.constant(deltas), tf.constant(kinds), tf.constant(wanted), (0, seed))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_only_some_anchors_without_an_object_take_part():
    kinds = tf.concat([tf.ones((1, 3)), tf.zeros((1, 400)), -tf.ones((1, 5))], axis=1)
    odds, deltas = tf.Variable(tf.zeros((1, 408))), tf.zeros((1, 408, 4))
    with tf.GradientTape() as tape:
        loss = proposal_loss(odds, deltas, kinds, deltas, (0, 1))
    gradient = tape.gradient(loss, odds).numpy()[0]
    assert np.all(gradient[:3] < 0)
    assert np.sum(gradient[3:403] > 0) == 128
    np.testing.assert_array_equal(gradient[403:], 0)


def test_without_an_object_there_is_no_nan():
    zeros = tf.zeros((2, len(GRID), 4))
    kinds, wanted = proposal_targets(tf.zeros((2, 3, 4)), GRID)
    np.testing.assert_array_equal(kinds, np.zeros((2, len(GRID))))
    np.testing.assert_allclose(proposal_loss(zeros[..., 0], zeros, kinds, wanted, (0, 1)), np.log(2), rtol=1e-5)


def test_proposals_are_cut_sorted_and_suppressed():
    rng = np.random.default_rng(5)
    odds = rng.normal(size=(2, len(GRID))).astype(np.float32)
    deltas = rng.normal(0, 0.2, (2, len(GRID), 4)).astype(np.float32)
    got = propose(tf.constant(odds), tf.constant(deltas), GRID, 6, 32, 0.4).numpy()
    for row, changes, boxes in zip(odds, deltas, got, strict=True):
        moved = np.clip(decode_boxes(changes, GRID), 0, 32)
        kept = tf.image.non_max_suppression(moved, row, 6, 0.4)
        np.testing.assert_allclose(boxes, moved[kept.numpy()], atol=1e-5)


def test_zeros_fill_up():
    deltas = tf.zeros((1, len(GRID), 4))
    got = propose(tf.zeros((1, len(GRID))), deltas, np.repeat(GRID[5:6], len(GRID), axis=0), 4, 32).numpy()
    assert np.all(got[0, 0, 2:] > got[0, 0, :2])
    np.testing.assert_array_equal(got[0, 1:], 0)


def test_the_networks_outputs_stand_in_the_order_of_anchors():
    model = build_region_proposal_network((16, 24, 1), 2, width=0.25)
    features, odds, deltas = model(np.zeros((3, 16, 24, 1)))
    assert features.shape == (3, 4, 6, 12)
    assert odds.shape == (3, 48)
    assert deltas.shape == (3, 48, 4)
    # A change of one pixel moves the odds of anchors nearby most: place (row, column), then kind.
    canvas = np.zeros((1, 16, 24, 1))
    canvas[0, 2, 21] = 100.0
    change = np.abs(model(canvas)[1] - odds[:1]).reshape(4, 6, 2).max(axis=2)
    row, column = np.unravel_index(change.argmax(), change.shape)
    assert row <= 2
    assert column >= 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: encode_boxes(np.zeros((2, 3)), GRID[:2]), "boxes: expected floats"),
        (lambda: encode_boxes(GRID[:2], np.zeros((2, 4), int)), "anchors: expected floats"),
        (lambda: proposal_targets(np.zeros((1, 2, 3)), GRID), "boxes: expected the shape"),
        (lambda: proposal_targets(np.zeros((1, 2, 4)), GRID[None]), "anchors: expected the shape"),
        (lambda: proposal_targets(np.zeros((1, 2, 4)), GRID, 0.3, 0.7), "low, high: expected"),
        (lambda: build_region_proposal_network((30, 32, 1)), "input_shape: expected"),
        (lambda: build_region_proposal_network((32, 32, 1), 0), "anchors_each: expected"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

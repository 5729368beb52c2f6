"""Boxes: overlaps by counting pixels, suppression by TensorFlow, average precision by hand and by a plain loop."""

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter07.detection import (
    average_precision,
    digit_canvases,
    first_hits,
    iou,
    mean_average_precision,
    non_maximum_suppression,
)


def random_boxes(rng, *sizes):
    return np.sort(rng.random((*sizes, 2, 2)), axis=-2).reshape(*sizes, 4).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_iou_counts_pixels(seed):
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.integers(0, 17, (12, 2, 2)), axis=1).reshape(12, 4)
    masks = np.zeros((12, 16, 16), bool)
    for mask, (top, left, bottom, right) in zip(masks, ends, strict=True):
        mask[top:bottom, left:right] = True
    for one in range(12):
        for two in range(12):
            both, either = np.sum(masks[one] & masks[two]), np.sum(masks[one] | masks[two])
            got = iou(ends[one : one + 1].astype(float), ends[two : two + 1].astype(float))[0, 0]
            assert got == pytest.approx(both / max(either, 1))


def test_iou_of_tensors_is_that_of_arrays_and_has_a_gradient():
    rng = np.random.default_rng(3)
    boxes, others = random_boxes(rng, 2, 5), random_boxes(rng, 2, 7)
    assert iou(boxes, others).shape == (2, 5, 7)
    np.testing.assert_allclose(iou(tf.constant(boxes), others), iou(boxes, others), atol=1e-6)
    one = tf.constant([[0.0, 0.0, 1.0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch(one)
        value = iou(one, tf.constant([[0.0, 0.0, 1.0, 2.0]]))
    # Common area h·w, union 2 - h·w + h·w = 2: the overlap of a box inside another grows with its area.
    np.testing.assert_allclose(tape.gradient(value, one), [[-0.5, -0.5, 0.5, 0.5]], atol=1e-6)


def test_boxes_without_area_share_nothing():
    np.testing.assert_array_equal(iou(np.zeros((1, 4)), np.zeros((1, 4))), [[0.0]])


@pytest.mark.parametrize("seed", range(10))
def test_suppression_is_tensorflows(seed):
    rng = np.random.default_rng(seed)
    boxes, scores = random_boxes(rng, 25), rng.random(25).astype(np.float32)
    threshold = rng.uniform(0.05, 0.9)
    want = tf.image.non_max_suppression(boxes, scores, 25, threshold)
    np.testing.assert_array_equal(non_maximum_suppression(boxes, scores, threshold), want)


def test_suppression_keeps_all_with_one_and_none_of_none():
    boxes = np.repeat([[0.0, 0.0, 1.0, 1.0]], 3, axis=0)
    np.testing.assert_array_equal(non_maximum_suppression(boxes, [0.1, 0.3, 0.2], 1.0), [1, 2, 0])
    np.testing.assert_array_equal(non_maximum_suppression(boxes, [0.1, 0.3, 0.2], 0.99), [1])
    assert non_maximum_suppression(np.zeros((0, 4)), []).shape == (0,)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_an_area(seed):
    rng = np.random.default_rng(seed)
    scores, hits = rng.random(30), rng.random(30) < 0.4
    objects = int(hits.sum()) + 3
    order = np.argsort(-scores)
    recall = np.cumsum(hits[order]) / objects
    precision = np.cumsum(hits[order]) / np.arange(1, 31)
    at = (np.arange(60000) + 0.5) / 60000
    best = np.array([precision[recall >= level].max(initial=0.0) for level in np.unique(recall)])
    heights = np.append(best, 0.0)[np.searchsorted(np.unique(recall), at)]
    assert average_precision(scores, hits, objects) == pytest.approx(heights.mean(), abs=1e-3)


def test_average_precision_by_hand():
    assert average_precision([0.9, 0.8, 0.7], [True, False, True], 3) == pytest.approx(5 / 9)
    assert average_precision([0.7, 0.9, 0.8], [True, False, True], 2) == pytest.approx(2 / 3)
    assert average_precision([], [], 4) == 0.0
    assert average_precision([0.2], [True], 1) == 1.0


def test_an_object_is_found_once_and_by_what_overlaps_it_most():
    truth = np.array([[0.0, 0, 10, 10], [0, 10, 10, 20]])
    boxes = np.array([[0.0, 0, 10, 11], [0, 0, 10, 10], [0, 9, 10, 20], [40, 40, 50, 50]])
    np.testing.assert_array_equal(first_hits(boxes, [0.5, 0.9, 0.8, 0.99], truth), [False, True, True, False])
    np.testing.assert_array_equal(first_hits(boxes, [0.5, 0.9, 0.8, 0.99], truth, 0.95), [False, True, False, False])
    np.testing.assert_array_equal(first_hits(boxes, [0.5, 0.9, 0.8, 0.99], truth[:0]), np.zeros(4, bool))


def test_mean_average_precision_is_a_mean_over_classes_that_occur():
    boxes = np.array([[[0.0, 0, 10, 10], [20, 20, 30, 30]], [[0, 0, 10, 10], [0, 0, 0, 0]]])
    labels = np.array([[3, 5], [3, -1]])
    found = [
        (boxes[0][:1], np.array([0.9]), np.array([3])),
        (boxes[1][:1], np.array([0.8]), np.array([7])),  # a class that does not occur: left out, the object is missed
    ]
    assert mean_average_precision(found, boxes, labels) == pytest.approx((0.5 + 0.0) / 2)


def test_canvases_hold_what_is_said():
    rng = np.random.default_rng(0)
    digits = np.zeros((5, 28, 28), np.uint8)
    digits[:, 4:24, 8:20] = rng.integers(100, 256, (5, 20, 12))
    canvases, boxes, labels = digit_canvases(digits, np.arange(5), 40, 1)
    assert canvases.shape == (40, 64, 64, 1)
    assert 0 <= canvases.min() <= canvases.max() <= 1
    assert set((labels >= 0).sum(axis=1)) == {1, 2, 3, 4}
    for canvas, places, names in zip(canvases, boxes, labels, strict=True):
        np.testing.assert_array_equal(places[names < 0], 0)
        inside = np.zeros((64, 64), bool)
        for top, left, bottom, right in places[names >= 0].astype(int):
            assert 14 <= bottom - top <= 34
            assert not inside[top:bottom, left:right].any()
            inside[top:bottom, left:right] = True
        np.testing.assert_array_equal(canvas[..., 0] > 0, inside)  # ink fills these digits' boxes


def test_a_digit_of_its_own_size_is_copied():
    digit = np.random.default_rng(0).integers(1, 256, (1, 28, 28))
    canvases, boxes, _ = digit_canvases(digit, np.array([7]), 3, 0, side=28, most=1, heights=(28, 28))
    np.testing.assert_array_equal(boxes[:, 0], [[0, 0, 28, 28]] * 3)
    np.testing.assert_allclose(canvases[0, ..., 0], digit[0] / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: iou(np.array([[2.0, 0, 1, 1]]), np.zeros((1, 4))), "boxes: expected .* top <= bottom"),
        (lambda: iou(np.zeros((1, 4)), np.zeros((1, 3))), "others: expected"),
        (lambda: iou(tf.zeros((1, 3)), tf.zeros((1, 4))), "boxes: expected"),
        (lambda: iou(np.array([[0.0, 0, np.nan, 1]]), np.zeros((1, 4))), "boxes: expected"),
        (lambda: non_maximum_suppression(np.zeros((2, 4)), [1.0]), "scores: expected the shape"),
        (lambda: non_maximum_suppression(np.zeros((1, 4)), [np.nan]), "must not contain"),
        (lambda: non_maximum_suppression(np.zeros((1, 4)), [1.0], 1.5), "threshold: expected"),
        (lambda: average_precision([0.1], [True, False], 3), "hits: expected the shape"),
        (lambda: average_precision([0.1, 0.2], [True, True], 1), "hits: expected at most one"),
        (lambda: average_precision([0.1], [False], 0), "objects: expected a whole"),
        (lambda: mean_average_precision([], np.zeros((1, 2, 4)), np.zeros((1, 2))), "labels: expected the shape"),
        (lambda: digit_canvases(np.ones((1, 28, 28)), [0], 0, 0), "count: expected a whole"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

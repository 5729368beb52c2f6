"""Pooling by regions against a plain loop and Keras, its gradient, and the two stages on a made-up case."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter07.faster_rcnn import Detector, roi_pool


def by_loops(features, boxes, size):
    batch, height, width, channels = features.shape
    pooled = np.zeros((batch, boxes.shape[1], size, size, channels))
    for sample in range(batch):
        for number, box in enumerate(np.round(boxes[sample]).astype(int)):
            top, left = np.clip(box[0], 0, height - 1), np.clip(box[1], 0, width - 1)
            rows, columns = np.clip(box[2], top + 1, height) - top, np.clip(box[3], left + 1, width) - left
            for one in range(size):
                for two in range(size):
                    part = features[
                        sample,
                        top + one * rows // size : top + -(-(one + 1) * rows // size),
                        left + two * columns // size : left + -(-(two + 1) * columns // size),
                    ]
                    pooled[sample, number, one, two] = part.max(axis=(0, 1))
    return pooled


@pytest.mark.parametrize(
    ("height", "width", "size"), [(16, 16, 4), (7, 9, 3), (5, 12, 1), (4, 4, 4), (3, 5, 6), (16, 16, 2)]
)
def test_pooling_by_loops(height, width, size):
    rng = np.random.default_rng(height)
    features = rng.normal(size=(2, height, width, 3)).astype(np.float32)
    ends = rng.uniform(-2, 1.2, (2, 15, 2, 2)) * max(height, width)  # also outside, also empty
    boxes = np.sort(ends, axis=2).reshape(2, 15, 4).astype(np.float32)
    np.testing.assert_array_equal(roi_pool(features, boxes, size), by_loops(features, boxes, size).astype(np.float32))


def test_the_whole_is_kerass_max_pooling():
    features = np.random.default_rng(0).normal(size=(2, 12, 8, 3)).astype(np.float32)
    boxes = np.broadcast_to(np.array([0, 0, 12, 8], np.float32), (2, 1, 4))
    np.testing.assert_array_equal(roi_pool(features, boxes, 4)[:, 0], keras.layers.MaxPooling2D((3, 2))(features))


def test_the_gradient_reaches_the_largest_cells():
    rng = np.random.default_rng(1)
    features = tf.constant(rng.permutation(96).reshape(1, 8, 12, 1), tf.float32)  # no two alike
    boxes, weights = np.array([[[1, 2, 7, 9], [0, 0, 8, 12]]], np.float32), rng.normal(size=(1, 2, 2, 2, 1))
    with tf.GradientTape() as tape:
        tape.watch(features)
        value = tf.reduce_sum(roi_pool(features, boxes, 2) * weights)
    got = tape.gradient(value, features).numpy()
    want = np.zeros_like(got)
    pooled = roi_pool(features, boxes, 2).numpy()
    for place in np.ndindex(pooled.shape):
        want[features.numpy() == pooled[place]] += weights[place]
    np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: roi_pool(np.zeros((4, 4, 1)), np.zeros((1, 1, 4)), 2), "features: expected the shape"),
        (lambda: roi_pool(np.zeros((2, 4, 4, 1)), np.zeros((1, 1, 4)), 2), "boxes: expected the shape"),
        (lambda: roi_pool(np.zeros((1, 4, 4, 1)), np.zeros((1, 1, 4)), 0), "size: expected a whole"),
        (lambda: Detector(proposals=0), "proposals: expected a whole"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.fixture(scope="module")
def detector():
    return Detector(side=32, classes=3, proposals=5, units=8, seed=0)


def test_both_stages_learn_from_one_loss(detector):
    canvases = np.random.default_rng(0).random((2, 32, 32, 1)).astype(np.float32)
    boxes = np.array([[[4, 4, 20, 16], [0, 0, 0, 0]], [[2, 8, 18, 24], [20, 20, 32, 32]]], np.float32)
    labels = np.array([[1, -1], [0, 2]], np.int32)
    with tf.GradientTape() as tape:
        loss = detector.loss(canvases, boxes, labels, (0, 1))
    gradients = tape.gradient(loss, detector.trainable_variables)
    assert np.isfinite(loss)
    for gradient in gradients:
        assert np.all(np.isfinite(gradient))
        assert np.any(gradient != 0)


def test_a_canvas_without_objects_gives_no_nan(detector):
    canvases = np.zeros((1, 32, 32, 1), np.float32)
    loss = detector.loss(canvases, np.zeros((1, 2, 4), np.float32), np.full((1, 2), -1, np.int32), (0, 1))
    assert np.isfinite(loss)


def test_what_is_detected_lies_on_the_canvas(detector):
    canvases = np.random.default_rng(1).random((3, 32, 32, 1)).astype(np.float32)
    found = detector.detect(canvases, least=0.0)
    assert len(found) == 3
    for boxes, scores, labels in found:
        assert len(boxes) == len(scores) == len(labels) <= 5
        assert np.all((boxes >= 0) & (boxes <= 32))
        assert set(labels) <= {0, 1, 2}
        assert np.all(scores <= 1)
    assert all(len(scores) == 0 for _, scores, _ in detector.detect(canvases, least=1.0))

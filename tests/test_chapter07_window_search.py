"""Windows: a grid by hand, crops by slices and by a plain interpolation, and which windows are learnt from."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter07.detection import iou
from kerasnotes.chapter07.window_search import (
    anchors,
    crop_windows,
    sample_windows,
    search_windows,
    suppress_by_class,
    train_in_one_loop,
)

GRID = anchors((8, 8), 8, (12.0, 18.0), (1.0, 2.0))


def test_anchors_by_hand():
    got = anchors((1, 2), 10, (4, 8), (1, 4))
    want = []
    for column in (5, 15):
        for height, width in ((4, 4), (8, 2), (8, 8), (16, 4)):
            want.append([5 - height / 2, column - width / 2, 5 + height / 2, column + width / 2])
    np.testing.assert_allclose(got, want)
    assert got.dtype == np.float32


def test_a_window_of_whole_pixels_shows_them():
    canvas = np.random.default_rng(0).random((20, 30, 2)).astype(np.float32)
    got = crop_windows(canvas, np.array([[3, 4, 11, 12], [0, 22, 8, 30]]), 8)
    np.testing.assert_allclose(got[0], canvas[3:11, 4:12], atol=1e-5)
    np.testing.assert_allclose(got[1], canvas[:8, 22:], atol=1e-5)


def test_half_the_pixels_are_means():
    canvas = np.random.default_rng(1).random((16, 16, 1)).astype(np.float32)
    got = crop_windows(canvas, np.array([[4, 4, 12, 12]]), 4)[0, ..., 0]
    np.testing.assert_allclose(got, canvas[4:12, 4:12, 0].reshape(4, 2, 4, 2).mean(axis=(1, 3)), atol=1e-5)


def test_nothing_is_seen_beyond_the_edge():
    got = crop_windows(np.ones((10, 10, 1), np.float32), np.array([[-10, 0, 0, 10]]), 5)
    np.testing.assert_array_equal(got, np.zeros((1, 5, 5, 1)))


@pytest.mark.parametrize("seed", range(4))
def test_windows_to_learn_from_are_what_they_are_called(seed):
    boxes = np.array([[6, 6, 22, 18], [30, 30, 50, 48], [0, 0, 0, 0]], np.float32)
    labels = np.array([3, 8, -1])
    grid = anchors((16, 16), 4, (12.0, 18.0), (1.0, 2.0))
    indices, classes = sample_windows(boxes, labels, grid, 5, seed)
    assert len(indices) == len(classes) == 15
    overlaps = iou(grid[indices], boxes)
    np.testing.assert_array_equal(classes[:5], labels[overlaps[:5].argmax(axis=1)])
    assert np.all(overlaps[:5].max(axis=1) >= 0.6)
    assert np.all(classes[5:] == 10)
    assert np.all(overlaps[5:].max(axis=1) < 0.5)
    assert np.all(overlaps[5:10].max(axis=1) >= 0.2)
    again = sample_windows(boxes, labels, grid, 5, seed)
    np.testing.assert_array_equal(again[0], indices)


def test_suppression_stays_within_a_class():
    boxes = np.array([[0.0, 0, 10, 10], [0, 1, 10, 11], [0, 0, 10, 10]])
    kept = suppress_by_class(boxes, np.array([0.5, 0.9, 0.7]), np.array([1, 1, 2]))
    np.testing.assert_array_equal(kept[0], boxes[[1, 2]])
    np.testing.assert_array_equal(kept[1], [0.9, 0.7])
    np.testing.assert_array_equal(kept[2], [1, 2])
    assert [len(each) for each in suppress_by_class(boxes[:0], np.zeros(0), np.zeros(0, int))] == [0, 0, 0]


def test_a_search_reports_what_a_classifier_is_sure_of():
    # A "classifier" of bright windows: class 4 if the mean is high, else nothing.
    inputs = keras.Input((6, 6, 1))
    bright = keras.layers.GlobalAveragePooling2D()(inputs)
    kernel, bias = np.zeros((1, 11), np.float32), np.zeros(11, np.float32)
    kernel[0, 4], kernel[0, 10], bias[10] = 50.0, 0.0, 40.0
    dense = keras.layers.Dense(11)
    model = keras.Model(inputs, dense(bright))
    dense.set_weights([kernel, bias])
    canvas = np.zeros((64, 64, 1), np.float32)
    canvas[6:18, 6:18] = 1.0  # the window of 12 by 12 around (12, 12)
    boxes, scores, labels = search_windows(model, canvas, GRID)
    np.testing.assert_array_equal(labels, [4])
    np.testing.assert_allclose(boxes, [[6, 6, 18, 18]], atol=1e-4)
    assert scores[0] > 0.99


def test_one_loop_learns_and_repeats_itself():
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    y = x @ np.array([1.0, -2.0, 0.5], np.float32)

    def run(seed):
        w = tf.Variable(tf.zeros(3))
        losses = train_in_one_loop(
            lambda x, y, seed: tf.reduce_mean((tf.linalg.matvec(x, w) - y) ** 2), [w], (x, y), 40, 8, 0.1, seed
        )
        return losses, w.numpy()

    losses, w = run(0)
    assert losses.shape == (200,)
    np.testing.assert_allclose(w, [1.0, -2.0, 0.5], atol=0.05)
    np.testing.assert_allclose(run(0)[0], losses, rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: anchors((0, 2), 4, (8,), (1,)), "shape: expected a whole"),
        (lambda: anchors((2, 2), 0, (8,), (1,)), "stride: expected a positive"),
        (lambda: anchors((2, 2), 4, (), (1,)), "sizes, ratios: expected positive"),
        (lambda: anchors((2, 2), 4, (8, 0), (1,)), "sizes, ratios: expected positive"),
        (lambda: crop_windows(np.zeros((4, 4)), np.zeros((1, 4)), 2), "canvas: expected the shape"),
        (lambda: crop_windows(np.zeros((4, 4, 1)), np.zeros((1, 3)), 2), "windows: expected the shape"),
        (lambda: crop_windows(tf.zeros((4, 4, 1)), np.zeros((1, 4)), 0), "size: expected a whole"),
        (lambda: train_in_one_loop(None, [], (np.zeros((3, 1)),), 1, 4, 0.1, 0), "steps: expected"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

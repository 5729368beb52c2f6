"""Votes and histograms by hand and by symmetry, the linear classifier against least squares, and every error."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter07.hand_made_features import edge_votes, histograms_of_gradients, linear_classifier

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(2, 12), SEEDS)
def test_votes_by_a_loop(height, width, bins, seed):
    x = np.random.default_rng(seed).normal(size=(2, height, width))
    votes = edge_votes(x, bins)
    assert votes.dtype == np.float32
    want = np.zeros((2, height, width, bins))
    for place in np.ndindex(2, height, width):
        down, right = (np.gradient(x[place[0]], axis=axis)[place[1:]] for axis in (0, 1))
        position = np.arctan2(down, right) % np.pi / (np.pi / bins)
        for k in range(bins):
            away = abs(position - k)
            want[place][k] += np.hypot(down, right) * max(0, 1 - min(away, bins - away))
    np.testing.assert_allclose(votes, want, atol=1e-4)


def test_edges_by_hand():
    step = np.zeros((1, 4, 4))
    step[:, :, 2:] = 1  # dark on the left: the slope points to the right, in bin 0
    np.testing.assert_allclose(edge_votes(step, 4)[0, 1], [[0, 0, 0, 0], [0.5, 0, 0, 0], [0.5, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(edge_votes(step.swapaxes(1, 2), 4).sum(axis=(0, 1, 2)), [0, 0, 4, 0], atol=1e-6)
    features = histograms_of_gradients(step, cell=2, bins=4, block=2, epsilon=1e-9)
    assert features.shape == (1, 1, 1, 2, 2, 4)
    np.testing.assert_allclose(features[0, 0, 0, :, :, 0], np.full((2, 2), 0.5))


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.floats(0.1, 3), st.floats(-1, 1), st.integers(1, 3))
def test_brightness_and_contrast_are_forgotten(seed, contrast, brightness, block):
    x = np.random.default_rng(seed).uniform(size=(2, 12, 16))
    plain, changed = (
        histograms_of_gradients(each, block=block, epsilon=1e-9) for each in (x, contrast * x + brightness)
    )
    assert plain.shape == (2, 4 - block, 5 - block, block, block, 8)
    np.testing.assert_allclose(changed, plain, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(plain.reshape(2, 4 - block, 5 - block, -1), axis=-1), 1, rtol=1e-4)


def test_a_blank_picture_has_no_features():
    assert not histograms_of_gradients(np.full((1, 8, 8), 0.3)).any()


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 30), st.integers(1, 6), st.integers(2, 4), st.floats(0.01, 10), SEEDS)
def test_the_classifier_has_no_slope_left(examples, features, classes, ridge, seed):
    rng = np.random.default_rng(seed)
    x, labels = rng.normal(size=(examples, features)), rng.integers(0, classes, examples)
    weights, biases = linear_classifier(x, labels, classes, ridge)
    errors = x @ weights + biases - np.eye(classes)[labels]
    np.testing.assert_allclose(x.T @ errors + ridge * weights, 0, atol=1e-9)
    np.testing.assert_allclose(errors.sum(axis=0), 0, atol=1e-9)


def test_the_classifier_is_a_dense_layer():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 3))
    weights, biases = linear_classifier(x, rng.integers(0, 4, 20), 4)
    layer = keras.layers.Dense(4, dtype="float64")
    layer.build(x.shape)
    layer.set_weights([weights, biases])
    np.testing.assert_allclose(layer(x), x @ weights + biases)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: edge_votes(np.zeros((4, 4))), "pictures: expected the shape"),
        (lambda: edge_votes(np.zeros((1, 4, 4)), 1), "bins: expected a whole number of at least 2"),
        (lambda: histograms_of_gradients(np.zeros((1, 10, 8))), "cell, block: expected sizes that fit into 10 × 8"),
        (lambda: histograms_of_gradients(np.zeros((1, 8, 8)), block=3), "cell, block: expected sizes that fit"),
        (lambda: histograms_of_gradients(np.zeros((1, 8, 8)), cell=0), "cell: expected a whole number"),
        (lambda: histograms_of_gradients(np.zeros((1, 8, 8)), block=0), "block: expected a whole number"),
        (lambda: histograms_of_gradients(np.zeros((1, 8, 8)), epsilon=0), "epsilon: expected a positive number"),
        (lambda: linear_classifier(np.zeros(3), [0, 1, 1], 2), "features: expected the shape"),
        (lambda: linear_classifier(np.zeros((3, 1)), [0, 1], 2), "labels: expected the shape"),
        (lambda: linear_classifier(np.zeros((2, 1)), [0, 2], 2), "labels: expected whole numbers from 0 to 1"),
        (lambda: linear_classifier(np.zeros((2, 1)), [0, -1], 2), "labels: expected whole numbers from 0 to 1"),
        (lambda: linear_classifier(np.zeros((2, 1)), [0.0, 1.0], 2), "labels: expected whole numbers from 0 to 1"),
        (lambda: linear_classifier(np.zeros((2, 1)), [0, 0], 1), "classes: expected a whole number of at least 2"),
        (lambda: linear_classifier(np.zeros((2, 1)), [0, 1], 2, 0), "ridge: expected a positive number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Augmentation against SciPy and Keras over random shapes, and by hand."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from kerasnotes.chapter05.augmentation import add_noise, rotate, rotate_by, shift, shift_by, smooth_labels

SHAPES = hnp.array_shapes(min_dims=3, max_dims=4, min_side=1, max_side=9)
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=40)
@given(SHAPES, SEEDS)
def test_rotation_equals_scipy(shape, seed):
    rng = np.random.default_rng(seed)
    images, angles = rng.normal(size=shape), rng.uniform(-400, 400, shape[0])
    ours = rotate_by(images, angles)
    for image, angle, turned in zip(images, angles, ours, strict=True):
        theirs = ndimage.rotate(image, angle, reshape=False, order=1, mode="grid-constant")
        np.testing.assert_allclose(turned, theirs, atol=1e-9)


@settings(max_examples=40)
@given(SHAPES, SEEDS)
def test_shift_equals_scipy(shape, seed):
    rng = np.random.default_rng(seed)
    images, (down, right) = rng.normal(size=shape), rng.integers(-10, 11, (2, shape[0]))
    for image, rows, columns, moved in zip(images, down, right, shift_by(images, down, right), strict=True):
        amounts = (rows, columns, *[0] * (image.ndim - 2))
        np.testing.assert_array_equal(moved, ndimage.shift(image, amounts, order=0, mode="constant", prefilter=False))


def test_directions_by_hand():
    image = np.array([[[1, 2, 3], [4, 5, 6], [7, 8, 9]]])
    assert shift_by(image, [1], [0])[0].tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]
    assert shift_by(image, [0], [-2])[0].tolist() == [[3, 0, 0], [6, 0, 0], [9, 0, 0]]
    assert shift_by(image, [3], [0])[0].tolist() == [[0] * 3] * 3
    np.testing.assert_allclose(rotate_by(image, [90])[0], [[3, 6, 9], [2, 5, 8], [1, 4, 7]], atol=1e-5)
    assert shift_by(image, [0], [0]).dtype == image.dtype
    assert rotate_by(image, [0]).dtype == np.float32


def test_random_shifts_are_uniform_and_one_for_each_image():
    dot = np.zeros((4000, 7, 7, 2))
    dot[:, 3, 3] = (1, 5)
    moved = shift(dot, 2, 0)
    np.testing.assert_array_equal(moved[..., 1], 5 * moved[..., 0])
    counts = moved[..., 0].sum(axis=0)
    assert counts[1:6, 1:6].sum() == 4000
    assert abs(counts[1:6, 1:6] - 160).max() < 4.5 * math.sqrt(4000 / 25 * 24 / 25)


def test_random_angles_are_uniform():
    far = np.zeros((1000, 21, 21))
    far[:, 10, 18:] = 1  # a mark on the right, whose angle is its centre of mass
    turned = rotate(far, 60, 0)
    rows, columns = (np.tensordot(turned, grid, 2) for grid in np.mgrid[-10:11, -10:11])
    angles = np.degrees(np.arctan2(-rows, columns))
    assert -61 < angles.min() < -59
    assert 59 < angles.max() < 61
    assert abs(angles.mean()) < 4.5 * 60 / math.sqrt(3 * 1000)
    assert angles.std() == pytest.approx(60 / math.sqrt(3), rel=0.06)


@settings(max_examples=20)
@given(SHAPES, SEEDS)
def test_nothing_to_do_and_same_seed(shape, seed):
    images = np.random.default_rng(seed).normal(size=shape)
    for same in (add_noise(images, 0.0, seed), shift(images, 0, seed), rotate(images, 0.0, seed)):
        np.testing.assert_allclose(same, images, rtol=1e-12)
    for change, amount in ((add_noise, 1.0), (shift, 3), (rotate, 90.0)):
        first, again = change(images, amount, seed), change(images, amount, seed)
        np.testing.assert_array_equal(first, again)
        assert first.shape == images.shape


def test_noise_has_its_deviation():
    x = np.full((100, 1000), 7, np.uint8)
    noise = add_noise(x, 0.5, 1) - 7
    assert noise.dtype == np.float32
    assert abs(noise.mean()) < 4.5 * 0.5 / math.sqrt(1e5)
    assert noise.std() == pytest.approx(0.5, rel=4.5 / math.sqrt(2e5))
    assert add_noise(np.zeros(3), 1.0, 0).dtype == np.float64


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(2, 6), st.floats(0.0, 1.0), SEEDS)
def test_smoothing_equals_keras(n, classes, amount, seed):
    rng = np.random.default_rng(seed)
    y, logits = np.eye(classes)[rng.integers(classes, size=n)], rng.normal(size=(n, classes))
    plain = keras.losses.CategoricalCrossentropy(from_logits=True)(smooth_labels(y, amount), logits)
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=amount)(y, logits)
    np.testing.assert_allclose(plain, theirs, rtol=1e-5, atol=1e-6)


def test_smoothing_by_hand():
    np.testing.assert_allclose(smooth_labels([[0, 1, 0, 0]], 0.2), [[0.05, 0.85, 0.05, 0.05]], rtol=1e-6)
    np.testing.assert_allclose(smooth_labels([[0.5, 0.5]], 1.0), [[0.5, 0.5]])


one = np.ones((2, 3, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: add_noise([], 1.0, 0), "x: expected numbers, at least one"),
        (lambda: add_noise(["a"], 1.0, 0), "x: expected numbers"),
        (lambda: add_noise(one, -1.0, 0), "deviation: expected a number of at least 0, got -1.0"),
        (lambda: add_noise(one, math.nan, 0), "deviation: expected"),
        (lambda: shift(np.ones((3, 3)), 1, 0), r"images: expected \(n, height, width\) or with channels, got shape"),
        (lambda: shift(np.ones((0, 3, 3)), 1, 0), "images: expected"),
        (lambda: shift(one, -1, 0), "pixels: expected a whole number of at least 0, got -1"),
        (lambda: shift(one, 1.5, 0), "pixels: expected"),
        (lambda: shift_by(one, [1], [1, 2]), "down: expected one finite number for each of 2 images"),
        (lambda: shift_by(one, [1, 2], [1, math.nan]), "right: expected one finite number"),
        (lambda: shift_by(one, [1, 2], [1, 0.5]), "down, right: expected whole numbers"),
        (lambda: rotate(one, 181, 0), "degrees: expected a number from 0 to 180, got 181"),
        (lambda: rotate(one, -1, 0), "degrees: expected"),
        (lambda: rotate(np.ones(3), 1, 0), "images: expected"),
        (lambda: rotate_by(one, [1, 2, 3]), "degrees: expected one finite number for each of 2 images"),
        (lambda: rotate_by(np.full((1, 2, 2), "a"), [1]), "images: expected numbers"),
        (lambda: smooth_labels([1.0, 0.0], 0.1), "y: expected probabilities"),
        (lambda: smooth_labels([[1.0, 1.0]], 0.1), "y: expected probabilities"),
        (lambda: smooth_labels([[2.0, -1.0]], 0.1), "y: expected probabilities"),
        (lambda: smooth_labels([[1.0, 0.0]], 1.1), "amount: expected a number from 0 to 1, got 1.1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Augmentation against SciPy and Keras over random shapes, and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from kerasnotes.chapter05 import input_noise, label_smoothing
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


def test_angles_up_to_half_a_turn():
    images = np.random.default_rng(0).normal(size=(5, 4, 4))
    angles = np.random.default_rng(3).uniform(-180, 180, 5)
    np.testing.assert_allclose(rotate(images, 180, 3), rotate_by(images, angles), rtol=1e-12)


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


def test_noise_and_smoothing_may_be_taken_from_here_too():
    assert add_noise is input_noise.add_noise
    assert smooth_labels is label_smoothing.smooth_labels


def test_one_image_half_precision_and_booleans():
    image = np.random.default_rng(0).random((1, 4, 5))
    for dtype in ("float16", "float64", "bool", "int8"):
        typed = (10 * image).astype(dtype)
        turned = rotate_by(typed, [30.0])
        assert turned.dtype == (dtype if dtype.startswith("float") else "float32")
        np.testing.assert_allclose(turned, rotate_by(typed.astype("float64"), [30.0]), rtol=0.01, atol=0.01)
        assert shift_by(typed, [1], [0]).dtype == dtype


one = np.ones((2, 3, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shift(np.ones((3, 3)), 1, 0), r"images: expected numbers \(n, height, width\) or with channels, got"),
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
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

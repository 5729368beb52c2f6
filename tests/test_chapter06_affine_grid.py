"""Six numbers: NumPy's turns and shifts, Keras's transform and scipy's interpolation, and every error message."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import map_coordinates

from kerasnotes.chapter05.augmentation import rotate_by
from kerasnotes.chapter06.affine_grid import (
    affine_grid,
    bilinear_sample,
    nearest_sample,
    pixel_transform,
    rotation,
    scaling,
    translation,
)

IDENTITY = np.array([[1.0, 0, 0, 0, 1, 0]])


def read_by(theta, images, read=bilinear_sample):
    return read(images, affine_grid(theta, *images.shape[1:3])).numpy()


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_keras(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(2, 12, 2)
    images = rng.random((5, height, width, 3)).astype(np.float32)
    theta = IDENTITY + rng.normal(scale=0.4, size=(5, 6))
    transform = np.float32(pixel_transform(theta, height, width))
    theirs = keras.ops.image.affine_transform(images, transform, data_format="channels_last")
    np.testing.assert_allclose(read_by(theta, images), theirs, atol=1e-4)


@pytest.mark.parametrize(("read", "order"), [(bilinear_sample, 1), (nearest_sample, 0)])
def test_equal_to_scipy_at_any_places(read, order):
    rng = np.random.default_rng(order)
    image, places = rng.random((6, 9)), rng.uniform(-0.99, 0.99, size=(7, 4, 2))
    column, row = np.moveaxis((places + 1) * (np.array([9, 6]) - 1) / 2, -1, 0)
    want = map_coordinates(image, [row, column], order=order)
    np.testing.assert_allclose(read(image[None, :, :, None], places[None])[0, ..., 0], want, atol=1e-12)


def test_known_transforms():
    picture = np.random.default_rng(0).random((1, 7, 7, 2))
    for quarter in range(4):
        for read in (bilinear_sample, nearest_sample):
            want = np.rot90(picture, quarter, axes=(1, 2))
            np.testing.assert_allclose(read_by(rotation(90 * quarter), picture, read), want, atol=1e-12)
    np.testing.assert_allclose(read_by(-IDENTITY, picture), picture[:, ::-1, ::-1], atol=1e-12)
    moved = read_by(translation(1 / 3, -2 / 3), picture)  # one pixel to the right, two up
    np.testing.assert_allclose(moved[:, :5, 1:], picture[:, 2:, :-1], atol=1e-12)
    assert max(np.abs(moved[:, 5:]).max(), np.abs(moved[:, :, 0]).max()) < 1e-12
    larger = read_by(scaling(2), picture)
    np.testing.assert_allclose(larger[0, 3, 3], picture[0, 3, 3])
    np.testing.assert_allclose(larger[0, 1, 5], picture[0, 2, 4])


def test_the_same_turn_as_in_chapter_05():
    pictures, degrees = np.random.default_rng(1).random((3, 8, 8, 1)), np.array([20.0, -75, 130])
    np.testing.assert_allclose(read_by(rotation(degrees), pictures), rotate_by(pictures, degrees), atol=1e-12)


def test_a_row_of_transforms_is_the_product():
    first, second = rotation(30).reshape(2, 3), translation(0.3, 0.1).reshape(2, 3)
    product = (np.vstack([first, [0, 0, 1]]) @ np.vstack([second, [0, 0, 1]]))[:2]
    places = affine_grid(second[None], 4, 5).numpy()
    np.testing.assert_allclose(affine_grid(product[None], 4, 5), places @ first[:, :2].T + first[:, 2], atol=1e-12)
    np.testing.assert_allclose(affine_grid(product.reshape(1, 6), 4, 5), affine_grid(product[None], 4, 5))


def test_the_grid_by_hand():
    np.testing.assert_allclose(affine_grid(IDENTITY, 2, 3)[0, :, :, 0], [[-1, 0, 1]] * 2)
    np.testing.assert_allclose(affine_grid(IDENTITY, 2, 3)[0, :, :, 1], [[-1] * 3, [1] * 3])
    numbers = np.array([[2.0, 3, 5, 7, 11, 13]])
    np.testing.assert_allclose(affine_grid(numbers, 2, 2)[0, 0, 1], [2 - 3 + 5, 7 - 11 + 13])


def test_outside_lies_zero_and_half_a_pixel_out_is_half():
    image = np.ones((1, 3, 3, 1))
    places = np.array([[[[-1.0, -1], [-1.5, -1], [-2, -1], [1e9, 0], [0, -1e9]]]])
    np.testing.assert_allclose(bilinear_sample(image, places)[0, 0, :, 0], [1, 0.5, 0, 0, 0])
    np.testing.assert_allclose(nearest_sample(image, places)[0, 0, :, 0], [1, 1, 0, 0, 0])


def test_types_are_the_images():
    whole_numbers = np.arange(4).reshape(1, 2, 2, 1)
    assert read_by(IDENTITY, whole_numbers).dtype == np.float32
    assert read_by(IDENTITY, whole_numbers.astype(np.float64)).dtype == np.float64
    traced = tf.function(lambda x: bilinear_sample(x, affine_grid(tf.repeat(IDENTITY, tf.shape(x)[0], 0), 2, 2)))
    traced = traced.get_concrete_function(tf.TensorSpec((None, 2, 2, 1)))
    np.testing.assert_array_equal(traced(tf.constant(whole_numbers, tf.float32)), whole_numbers)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: affine_grid(np.ones((2, 5)), 3, 3), "theta: expected the shape"),
        (lambda: affine_grid(np.ones(6), 3, 3), "theta: expected the shape"),
        (lambda: affine_grid(np.ones((2, 3, 2)), 3, 3), "theta: expected the shape"),
        (lambda: affine_grid(IDENTITY, 1, 3), "height: expected a whole number of at least 2"),
        (lambda: affine_grid(IDENTITY, 3, 2.5), "width: expected a whole number of at least 2"),
        (lambda: bilinear_sample(np.ones((2, 3, 3)), np.ones((2, 3, 3, 2))), "images: expected the shape"),
        (lambda: bilinear_sample(np.ones((2, 3, 3, 1)), np.ones((1, 3, 3, 2))), "grid: expected the shape"),
        (lambda: nearest_sample(np.ones((2, 3, 3, 1)), np.ones((2, 3, 3, 3))), "grid: expected the shape"),
        (lambda: bilinear_sample(np.ones((1, 3, 1, 1)), np.ones((1, 3, 3, 2))), "width of the images: expected"),
        (lambda: bilinear_sample(np.ones((1, 1, 3, 1)), np.ones((1, 3, 3, 2))), "height of the images: expected"),
        (lambda: pixel_transform(np.ones((1, 2, 3)), 3, 3), "theta: expected the shape"),
        (lambda: pixel_transform(IDENTITY, 3, 1), "width: expected a whole number of at least 2"),
        (lambda: scaling(0), "factor: expected a positive number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

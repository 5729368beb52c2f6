"""Slopes of a picture by the place that is read: the tape's, central differences, by hand; and every error message."""

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter06.affine_grid import affine_grid, bilinear_sample, nearest_sample
from kerasnotes.chapter06.sampling_slope import fraction_weights, hat_weights, place_gradient, theta_gradient

IDENTITY = np.array([[1.0, 0, 0, 0, 1, 0]])


def case(seed, spread=0.3):
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(3, *rng.integers(2, 8, 2), 2))
    return images, IDENTITY + rng.normal(scale=spread, size=(3, 6)), rng.normal(size=images.shape)


@pytest.mark.parametrize(("seed", "spread"), [(0, 0.3), (1, 2.0), (2, 0.3), (3, 0.0)])
def test_by_hand_is_the_tapes(seed, spread):
    images, theta, dy = case(seed, spread)
    theta, images = tf.constant(theta), tf.constant(images)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(theta)
        grid = affine_grid(theta, *images.shape[1:3])
        loss = tf.reduce_sum(dy * bilinear_sample(images, grid))
    np.testing.assert_allclose(place_gradient(images, grid, dy), tape.gradient(loss, grid), atol=1e-12)
    np.testing.assert_allclose(theta_gradient(images, theta, dy), tape.gradient(loss, theta), atol=1e-11)


def test_by_hand_is_a_difference():
    images, theta, dy = case(5)
    grid = affine_grid(theta, *images.shape[1:3]).numpy()
    for axis in (0, 1):
        step = 1e-7 * np.eye(2)[axis]
        change = (bilinear_sample(images, grid + step) - bilinear_sample(images, grid - step)).numpy() / 2e-7
        want = np.sum(change * dy, axis=-1)
        np.testing.assert_allclose(place_gradient(images, grid, dy)[..., axis], want, atol=1e-5)


def test_on_a_pixel_it_is_the_slope_to_the_right_and_below():
    image = np.array([[0.0, 1, 5], [10, 0, 0]])[None, :, :, None]
    at = np.array([[[[0.0, -1.0]]]])  # column 1, row 0
    got = place_gradient(image, at, np.ones((1, 1, 1, 1)))
    np.testing.assert_allclose(
        got.ravel(), [5 - 1, (0 - 1) / 2]
    )  # half the width is a pixel, half the height half of one


def test_weights():
    x = tf.constant([0.0, 0.25, 3.0, -0.75], tf.float64)
    np.testing.assert_allclose(fraction_weights(x), [[1, 0.75, 1, 0.75], [0, 0.25, 0, 0.25]])
    np.testing.assert_allclose(hat_weights(x), fraction_weights(x))
    slopes = {}
    for weights in (fraction_weights, hat_weights):
        with tf.GradientTape() as tape:
            tape.watch(x)
            right = weights(x)[0]
        slopes[weights] = tape.gradient(right, x).numpy().tolist()
    assert slopes[fraction_weights] == [-1, -1, -1, -1]
    assert slopes[hat_weights] == [0, -1, 0, -1]


def test_rounding_has_no_gradient():
    images, theta, _ = case(7)
    theta = tf.constant(theta)
    with tf.GradientTape() as tape:
        tape.watch(theta)
        total = tf.reduce_sum(nearest_sample(images, affine_grid(theta, *images.shape[1:3])))
    assert tape.gradient(total, theta) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: place_gradient(np.ones((3, 3, 1)), np.ones((1, 3, 3, 2)), np.ones((1, 3, 3, 1))), "images: expected"),
        (lambda: place_gradient(np.ones((2, 3, 3, 1)), np.ones((1, 3, 3, 2)), np.ones((2, 3, 3, 1))), "grid: expected"),
        (lambda: place_gradient(np.ones((1, 3, 3, 2)), np.ones((1, 3, 3, 2)), np.ones((1, 3, 3, 1))), "dy: expected"),
        (lambda: theta_gradient(np.ones((2, 3, 3, 1)), IDENTITY, np.ones((2, 3, 3, 1))), "theta: expected the shape"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

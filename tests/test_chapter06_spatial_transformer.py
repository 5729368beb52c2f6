"""The spatial transformer layer: its start, its gradients, angles by hand, and every error message."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter06.affine_grid import affine_grid, bilinear_sample, rotation, scaling, translation
from kerasnotes.chapter06.sampling_slope import theta_gradient
from kerasnotes.chapter06.spatial_transformer import SpatialTransformer, angles_left, build_localization, turned_by

PICTURES = np.random.default_rng(0).normal(size=(4, 5, 5, 2)).astype(np.float32)  # whose places float32 holds exactly


def test_it_starts_with_the_identity_whatever_the_last_layer_was():
    localization = build_localization((5, 5, 2), 7, seed=1)
    before = localization.get_weights()
    assert np.abs(before[2]).max() > 0
    layer = SpatialTransformer(localization)
    np.testing.assert_allclose(layer(PICTURES), PICTURES, atol=1e-5)
    np.testing.assert_array_equal(localization.get_weights()[0], before[0])
    np.testing.assert_array_equal(localization.get_weights()[3], [1, 0, 0, 0, 1, 0])


def test_it_reads_where_the_localization_network_says():
    layer = SpatialTransformer(build_localization((5, 5, 2), 7, seed=1))
    layer.build((None, 5, 5, 2))
    layer.localization.layers[-1].kernel.assign(np.random.default_rng(1).normal(scale=0.1, size=(7, 6)))
    theta = layer.localization(PICTURES)
    assert np.std(theta, axis=0).min() > 0
    np.testing.assert_allclose(layer(PICTURES), bilinear_sample(PICTURES, affine_grid(theta, 5, 5)))


def test_the_gradient_of_the_bias_is_the_one_by_hand():
    layer = SpatialTransformer(build_localization((5, 5, 2), 7, seed=1))
    dy = np.random.default_rng(2).normal(size=PICTURES.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(dy * layer(PICTURES))
    got = tape.gradient(loss, layer.localization.layers[-1].bias)
    want = theta_gradient(PICTURES, np.repeat(rotation(0), 4, axis=0), dy).sum(axis=0)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


def test_it_has_no_weights_of_its_own_and_trains_inside_a_model():
    layer = SpatialTransformer(
        keras.Sequential([keras.layers.Conv2D(2, 3), keras.layers.Flatten(), keras.layers.Dense(6)])
    )
    model = keras.Sequential([keras.Input((5, 5, 2)), layer, keras.layers.Flatten(), keras.layers.Dense(1)])
    assert layer.count_params() == layer.localization.count_params()
    model.compile("sgd", "mse")
    model.fit(PICTURES, np.arange(4.0), verbose=0)
    assert np.abs(layer.localization.layers[-1].kernel).max() > 0


def test_angles():
    degrees = np.array([0.0, 30, -90, 179, -120])
    np.testing.assert_allclose(turned_by(rotation(degrees)), degrees, atol=1e-9)
    np.testing.assert_allclose(turned_by(1.7 * rotation(degrees)), degrees, atol=1e-9)
    np.testing.assert_allclose(turned_by(np.concatenate([scaling(3), translation(0.4, 1)])), 0)
    # The nearest rotation by the singular value decomposition.
    theta = np.random.default_rng(3).normal(size=(20, 6))
    u, _, v = np.linalg.svd(theta.reshape(-1, 2, 3)[:, :, :2])
    nearest = u @ np.einsum("bi,bij->bij", np.stack([np.ones(20), np.linalg.det(u @ v)], axis=1), v)
    np.testing.assert_allclose(turned_by(theta), np.degrees(np.arctan2(nearest[:, 1, 0], nearest[:, 0, 0])), atol=1e-6)


def test_angles_left():
    angles = np.array([-60.0, 0, 60])
    np.testing.assert_allclose(angles_left(angles, rotation(-angles)), 0, atol=1e-9)
    np.testing.assert_allclose(angles_left(angles, rotation(-angles + 25)), 0, atol=1e-9)
    np.testing.assert_allclose(angles_left(angles, rotation(-angles / 2)), angles / 2, atol=1e-9)
    np.testing.assert_allclose(angles_left([170.0, -170], rotation([0.0, 0])), [-10, 10], atol=1e-9)


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (keras.layers.Flatten(), "localization: expected a last layer"),
        (keras.layers.Dense(5), "localization: expected a last layer"),
        (keras.layers.Dense(6, use_bias=False), "localization: expected a last layer"),
        (keras.layers.Dense(6, activation="tanh"), "localization: expected a last layer"),
    ],
)
def test_refused_localization(last, message):
    with pytest.raises(ValueError, match=message):
        SpatialTransformer(keras.Sequential([keras.layers.Flatten(), last]))


def test_errors():
    with pytest.raises(ValueError, match="theta: expected the shape"):
        turned_by(np.ones((2, 2, 3)))
    with pytest.raises(ValueError, match="units: expected a whole number"):
        build_localization((3, 3, 1), 0, seed=0)

"""Noise on weights: what it adds on average, what it leaves alone, and every error message."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter05.weight_noise import GaussianWeightNoise, loss_around, noise_penalty

X = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (lambda: keras.layers.Dense(4, "tanh", bias_initializer="ones"), X),
        (lambda: keras.layers.Conv1D(2, 3, padding="same"), X[..., None]),
    ],
)
def test_noise_only_in_training_and_only_on_the_kernel(make, x):
    layer = GaussianWeightNoise(make(), 0.5, seed=1)
    np.testing.assert_array_equal(layer(x), layer.layer(x))
    kept = layer.layer.get_weights()
    first, second = layer(x, training=True), layer(x, training=True)
    assert np.abs(first - second).max() > 1e-3
    for before, after in zip(kept, layer.layer.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    nothing = np.zeros_like(x)  # only the bias is left, and it is exact
    np.testing.assert_array_equal(layer(nothing, training=True), layer(nothing))
    assert layer.compute_output_shape(x.shape) == first.shape


def test_the_noise_has_the_asked_deviation():
    layer = GaussianWeightNoise(keras.layers.Dense(200, use_bias=False, kernel_initializer="zeros"), 0.25, seed=2)
    kernels = np.stack([layer(np.eye(300, dtype=np.float32), training=True) for _ in range(2)])  # the noise itself
    assert kernels.std() == pytest.approx(0.25, rel=0.02)
    assert kernels.mean() == pytest.approx(0, abs=0.01)
    assert np.corrcoef(*kernels.reshape(2, -1))[0, 1] == pytest.approx(0, abs=0.03)
    again = GaussianWeightNoise(keras.layers.Dense(200, use_bias=False, kernel_initializer="zeros"), 0.25, seed=2)
    np.testing.assert_array_equal(again(np.eye(300, dtype=np.float32), training=True), kernels[0])


def test_the_gradient_is_that_at_the_noisy_weights():
    layer = GaussianWeightNoise(keras.layers.Dense(1, kernel_initializer="zeros", use_bias=False), 0.3, seed=3)
    eye = np.eye(5, dtype=np.float32)
    with tf.GradientTape() as tape:
        output = layer(eye, training=True)  # the noisy kernel itself
        loss = tf.reduce_sum(output**2)
    np.testing.assert_allclose(tape.gradient(loss, layer.layer.kernel), 2 * output)


def test_the_penalty_of_a_linear_layer():
    assert noise_penalty(np.array([[3.0, 4.0], [0, 0]]), 0.1) == pytest.approx(0.125)
    rng = np.random.default_rng(1)
    noise = rng.normal(scale=0.2, size=(20000, 5, 3))
    assert np.mean((X @ noise) ** 2) == pytest.approx(noise_penalty(X, 0.2), rel=0.02)


def test_loss_around_a_bowl():
    weights = [np.zeros((2, 3)), np.zeros(4)]
    values = loss_around(lambda w: sum(np.sum(each**2) for each in w), weights, (0, 1, 2.5), 4, seed=0)
    np.testing.assert_allclose(values, [[0, 1, 6.25]] * 4, rtol=1e-5)
    tilted = loss_around(lambda w: w[1][0], weights, (1,), 200, seed=0)
    assert tilted.std() == pytest.approx(10**-0.5, rel=0.2)  # directions are random: one of ten coordinates


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GaussianWeightNoise(keras.layers.Dense(1), 0.0), "deviation: expected a positive number"),
        (lambda: noise_penalty(np.ones(3), 0.1), "x: expected the shape"),
        (lambda: noise_penalty(np.ones((3, 2)), -0.1), "deviation: expected a positive number"),
        (lambda: loss_around(sum, [np.ones(2)], (1,), 0, 0), "directions: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

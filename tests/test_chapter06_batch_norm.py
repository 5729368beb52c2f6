"""Batch normalization against Keras over random shapes, its gradient and Jacobian, and every error message."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter06.batch_norm import BatchNorm, batch_norm_gradient, batch_norm_jacobian

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(lambda rest: (5, *rest))
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=20)
@given(SHAPES, st.integers(0, 100), st.floats(0, 1), st.sampled_from([1e-3, 0.1, 2.0]), SEEDS)
def test_equal_to_keras(shape, place, momentum, epsilon, seed):
    rng = np.random.default_rng(seed)
    axis = [*range(1, len(shape)), *range(1 - len(shape), 0)][place % (2 * len(shape) - 2)]
    channels = shape[axis]
    start = [
        rng.normal(size=channels),
        rng.normal(size=channels),
        rng.normal(size=channels),
        rng.uniform(1, 2, channels),
    ]
    x, dy = (tf.constant(rng.normal(1, 2, size=shape), tf.float32) for _ in range(2))
    seen = []
    for layer in (BatchNorm(axis, momentum, epsilon), keras.layers.BatchNormalization(axis, momentum, epsilon)):
        layer.build(shape)
        layer.set_weights(start)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        slopes = tape.gradient(y, [x, *layer.trainable_variables], output_gradients=dy)
        seen.append([y, *slopes, *layer.get_weights(), layer(x), layer(x, training=False)])
    for ours, theirs in zip(*seen, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-4)


@settings(max_examples=20)
@given(SHAPES, st.sampled_from([1e-3, 0.1]), SEEDS)
def test_gradient_is_the_tapes(shape, epsilon, seed):
    rng = np.random.default_rng(seed)
    x, dy, gamma = rng.normal(3, 2, size=shape), rng.normal(size=shape), rng.normal(size=shape[-1])
    inputs = [tf.constant(x), tf.constant(gamma), tf.zeros(shape[-1], tf.float64)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        mean, variance = tf.nn.moments(inputs[0], list(range(len(shape) - 1)))
        y = tf.nn.batch_normalization(inputs[0], mean, variance, inputs[2], inputs[1], epsilon)
    want = tape.gradient(y, inputs, output_gradients=tf.constant(dy))
    for ours, theirs in zip(batch_norm_gradient(x, gamma, dy, epsilon), want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-8)


@settings(max_examples=20)
@given(st.integers(1, 6), SEEDS)
def test_jacobian(batch, seed):
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(size=(2, batch))
    jacobian = batch_norm_jacobian(x, 0.01)
    np.testing.assert_allclose(jacobian, jacobian.T)
    np.testing.assert_allclose(jacobian.sum(axis=0), 0, atol=1e-12)
    rows = []
    for unit in np.eye(batch):  # central differences
        ends = [x + sign * 1e-6 * unit for sign in (1, -1)]
        rows.append(np.subtract(*((end - end.mean()) / np.sqrt(end.var() + 0.01) for end in ends)) / 2e-6)
    np.testing.assert_allclose(jacobian, np.transpose(rows), atol=1e-6)
    gradient = batch_norm_gradient(x[:, None], np.ones(1), dy[:, None], 0.01)[0]
    np.testing.assert_allclose(gradient[:, 0], jacobian @ dy, atol=1e-10)


def test_by_hand():
    layer = BatchNorm(momentum=0.75, epsilon=1e-9)
    np.testing.assert_allclose(
        layer(np.float32([[1], [3]]), training=True), [[-1], [1]], rtol=1e-6
    )  # mean 2, variance 1
    np.testing.assert_allclose(layer.moving_mean, [0.5])
    np.testing.assert_allclose(layer.moving_variance, [1.0])
    np.testing.assert_allclose(layer(np.float32([[7]])), [[6.5]], rtol=1e-6)
    np.testing.assert_array_equal(layer(np.float32([[7]]), training=True), [[0]])


def test_inference_is_the_default_and_changes_nothing():
    layer = BatchNorm()
    layer.build((None, 3))
    before = layer.get_weights()
    layer(np.ones((4, 3), "float32"))
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert [w.name for w in layer.trainable_variables] == ["gamma", "beta"]


def test_a_model_with_it_can_be_copied():
    model = keras.Sequential([keras.Input((3, 4)), BatchNorm(1, 0.5, 0.1)])
    copy = keras.models.model_from_json(model.to_json()).layers[0]
    assert (copy.axis, copy.momentum, copy.epsilon) == (1, 0.5, 0.1)


def test_errors_of_the_layer():
    for bad in (0, 1.0, True, None):
        with pytest.raises(ValueError, match="axis: expected an integer other than 0"):
            BatchNorm(bad)
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="momentum: expected a number from 0 to 1"):
            BatchNorm(momentum=bad)
    for bad in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="epsilon: expected a positive number"):
            BatchNorm(epsilon=bad)
    for axis, shape in ((2, (4, 3)), (-2, (4, 3)), (-1, (4,))):
        with pytest.raises(ValueError, match="axis: expected one of the shape"):
            BatchNorm(axis).build(shape)
    with pytest.raises(ValueError, match="x: expected a known, positive number of channels"):
        BatchNorm().build((4, None))
    with pytest.raises(ValueError, match="x: expected at least one example"):
        BatchNorm()(np.ones((0, 3), "float32"))


def test_errors_of_the_gradient():
    x, gamma = np.ones((4, 3)), np.ones(3)
    with pytest.raises(ValueError, match=r"x: expected numbers \(batch, ..., channels\)"):
        batch_norm_gradient(np.ones(3), gamma, np.ones(3))
    with pytest.raises(ValueError, match=r"x: expected numbers \(batch, ..., channels\)"):
        batch_norm_gradient(np.ones((0, 3)), gamma, np.ones((0, 3)))
    with pytest.raises(ValueError, match=r"gamma: expected the shape \(3,\)"):
        batch_norm_gradient(x, np.ones(4), x)
    with pytest.raises(ValueError, match=r"dy: expected x's shape \(4, 3\)"):
        batch_norm_gradient(x, gamma, np.ones((4, 1)))
    with pytest.raises(ValueError, match="epsilon: expected a positive number"):
        batch_norm_gradient(x, gamma, x, 0.0)
    for bad in (np.ones((2, 2)), np.ones(0)):
        with pytest.raises(ValueError, match=r"x: expected numbers \(batch,\)"):
            batch_norm_jacobian(bad)
    with pytest.raises(ValueError, match="epsilon: expected a positive number"):
        batch_norm_jacobian(np.ones(2), -1.0)

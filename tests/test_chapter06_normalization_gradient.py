"""The gradient through normalization against the tape and against differences, and every error message."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter06.normalization_gradient import batch_norm_gradient, batch_norm_jacobian

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(lambda rest: (5, *rest))
SEEDS = st.integers(0, 2**32 - 1)


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


def test_errors_of_the_gradient():
    x, gamma = np.ones((4, 3)), np.ones(3)
    with pytest.raises(ValueError, match=r"x: expected numbers \(batch, ..., channels\)"):
        batch_norm_gradient(np.ones(3), gamma, np.ones(3))
    with pytest.raises(ValueError, match=r"x: expected numbers \(batch, ..., channels\)"):
        batch_norm_gradient(np.ones((0, 3)), gamma, np.ones((0, 3)))
    with pytest.raises(ValueError, match=r"gamma: expected the shape \(3\)"):
        batch_norm_gradient(x, np.ones(4), x)
    with pytest.raises(ValueError, match=r"dy: expected the shape \(4, 3\)"):
        batch_norm_gradient(x, gamma, np.ones((4, 1)))
    with pytest.raises(ValueError, match="epsilon: expected a positive number"):
        batch_norm_gradient(x, gamma, x, 0.0)
    for bad in (np.ones((2, 2)), np.ones(0)):
        with pytest.raises(ValueError, match=r"x: expected numbers \(batch,\)"):
            batch_norm_jacobian(bad)
    with pytest.raises(ValueError, match="epsilon: expected a positive number"):
        batch_norm_jacobian(np.ones(2), -1.0)

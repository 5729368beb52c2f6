"""Dense blocks and transitions by hand and in plain TensorFlow."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter07.dense_block import dense_block, transition


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(2, 6))
def test_block_by_hand(layers, growth_rate, channels, size):
    x = keras.Input((size, size + 1, channels))
    model = keras.Model(x, dense_block(x, layers, growth_rate))
    assert model.output_shape == (None, size, size + 1, channels + layers * growth_rate)
    inputs, wide = [channels + layer * growth_rate for layer in range(layers)], 4 * growth_rate
    assert model.count_params() == sum(4 * c + c * wide + 4 * wide + 9 * wide * growth_rate for c in inputs)


def test_block_equals_plain_tensorflow():
    rng, x = np.random.default_rng(0), keras.Input((4, 4, 3))
    model = keras.Model(x, dense_block(x, 2, 2))
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) * rng.choice([-1, 1][len(w.shape) < 2 :], w.shape)
                       for w in model.weights])  # fmt: skip
    weights = iter([tf.constant(w) for w in model.get_weights()])

    def activate(y):
        gamma, beta, mean, variance = (next(weights) for _ in range(4))
        return tf.nn.relu(tf.nn.batch_normalization(y, mean, variance, beta, gamma, 1.001e-5))

    y = pictures = tf.constant(rng.normal(size=(2, 4, 4, 3)), tf.float32)
    for _ in range(2):
        new = tf.nn.conv2d(activate(y), next(weights), 1, "SAME")
        new = tf.nn.conv2d(activate(new), next(weights), 1, "SAME")
        y = tf.concat([y, new], axis=3)
    np.testing.assert_allclose(model(pictures), y, rtol=1e-4, atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 7), st.integers(2, 9), st.sampled_from([0.5, 0.7, 1.0]))
def test_transition(size, channels, reduction):
    x = keras.Input((size, size + 1, channels))
    model = keras.Model(x, transition(x, reduction))
    kept = int(channels * reduction)
    assert model.output_shape == (None, size // 2, (size + 1) // 2, kept)
    assert model.count_params() == 4 * channels + channels * kept


def test_a_transition_needs_two_pixels():
    with pytest.raises(ValueError, match="x: expected at least 2 x 2 pixels, got 1 x 4"):
        transition(tf.ones((1, 1, 4, 2)), 0.5)
    with pytest.raises(ValueError, match=r"reduction: expected a number that keeps a channel, got 0\.1"):
        transition(tf.ones((1, 4, 4, 2)), 0.1)

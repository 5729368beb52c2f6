"""Residual blocks against the formula and Keras's layers, their shortcuts, and errors."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter07.residual_block import preactivation_block, residual_block

EXACT = {"rtol": 0, "atol": 0}


def perturb(model, seed):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else w for w in model.get_weights()])


def created(layer):
    """Place in the order of creation: Keras numbers names, the first one of a kind has no number."""
    number = re.search(r"_(\d+)$", layer.name)
    return int(number[1]) if number else 0


def norm(x, gamma, beta, mean, variance):
    return (x - mean) / np.sqrt(variance + 1.001e-5) * gamma + beta


def convolution(x, kernel, bias, stride=1):
    return tf.nn.conv2d(x, kernel, stride, "SAME") + bias


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(3, 6), st.integers(1, 2), st.booleans(), st.integers(0, 99))
def test_a_block_is_its_formula(channels, filters, size, stride, bottleneck, seed):
    inputs = keras.Input((size, size, channels))
    model = keras.Model(inputs, residual_block(inputs, filters, stride, True, bottleneck, seed=seed))
    perturb(model, seed)
    layers = [layer for layer in model.layers if layer.weights]
    weights = {kind: [] for kind in (keras.layers.Conv2D, keras.layers.BatchNormalization)}
    for layer in sorted(layers, key=created):
        weights[type(layer)].append(layer.get_weights())
    convolutions, norms = weights.values()
    x = np.random.default_rng(seed).normal(size=(2, size, size, channels)).astype("float32")
    shortcut = norm(convolution(x, *convolutions[0], stride), *norms[0])
    branch = x
    for number in range(1, len(convolutions)):
        if number > 1:
            branch = tf.nn.relu(branch)
        branch = norm(convolution(branch, *convolutions[number], stride if number == 1 else 1), *norms[number])
    np.testing.assert_allclose(model(x, training=False), tf.nn.relu(shortcut + branch), rtol=1e-4, atol=1e-4)
    assert model.output_shape[-1] == filters * (4 if bottleneck else 1)


@pytest.mark.parametrize("block", [residual_block, preactivation_block])
def test_identity_shortcuts_skip_pixels_and_pad_channels(block):
    inputs = keras.Input((5, 5, 2))
    model = keras.Model(inputs, block(inputs, 3, 2, False))
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    x = np.random.default_rng(0).uniform(size=(2, 5, 5, 2)).astype("float32")
    want = np.concatenate([x[:, ::2, ::2], np.zeros((2, 3, 3, 1))], axis=-1)
    np.testing.assert_allclose(model(x), want, **EXACT)


def test_the_preactivation_block_is_its_formula():
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, preactivation_block(inputs, 3))
    perturb(model, 0)
    first, kernel_1, bias_1, second, kernel_2, bias_2 = (
        lambda w: (w[:4], w[4], w[5], w[6:10], w[10], w[11])
    )(model.get_weights())  # fmt: skip
    x = np.random.default_rng(1).normal(size=(2, 4, 4, 3)).astype("float32")
    h = convolution(tf.nn.relu(norm(x, *first)), kernel_1, bias_1)
    h = convolution(tf.nn.relu(norm(h, *second)), kernel_2, bias_2)
    np.testing.assert_allclose(model(x, training=False), x + h, rtol=1e-4, atol=1e-4)


def test_the_projection_of_the_preactivation_block_sees_the_normalized_input():
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, preactivation_block(inputs, 5, 2))
    perturb(model, 0)
    *_, last = sorted((each for each in model.layers if isinstance(each, keras.layers.Conv2D)), key=created)
    last.set_weights([np.zeros_like(w) for w in last.get_weights()])
    shortcut = next(each for each in model.layers if getattr(each, "kernel_size", None) == (1, 1))
    first = next(each for each in model.layers if isinstance(each, keras.layers.BatchNormalization))
    x = np.random.default_rng(1).normal(size=(2, 4, 4, 3)).astype("float32")
    want = convolution(tf.nn.relu(norm(x, *first.get_weights())), *shortcut.get_weights(), 2)
    np.testing.assert_allclose(model(x, training=False), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("projection", "convolutions"), [(None, 2), (True, 3), (False, 2)])
def test_where_a_projection_is_used(projection, convolutions):
    inputs = keras.Input((4, 4, 3))
    for block in (residual_block, preactivation_block):
        model = keras.Model(inputs, block(inputs, 3, projection=projection))
        assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == convolutions
        model = keras.Model(inputs, block(inputs, 6, projection=projection))
        wanted = 2 if projection is False else 3
        assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == wanted


def test_errors():
    x = keras.Input((4, 4, 3))
    for block in (residual_block, preactivation_block):
        with pytest.raises(ValueError, match="filters: expected a whole number of at least 1, got 0"):
            block(x, 0)
        with pytest.raises(ValueError, match="stride: expected a whole number of at least 1, got -1"):
            block(x, 3, -1)
        with pytest.raises(ValueError, match="ndim"):
            block(keras.Input((4,)), 3)
        with pytest.raises(ValueError, match="projection: expected True or None for 3 channels to 2, got False"):
            block(x, 2, projection=False)

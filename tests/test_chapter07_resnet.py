"""Residual blocks against the formula and Keras's layers, shortcuts, constructions, and errors."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter07.resnet import (
    build_cifar_resnet,
    build_resnet,
    insert_identities,
    preactivation_block,
    residual_block,
)

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


@pytest.mark.parametrize(("depth", "torch_parameters"), [(18, 11_689_512), (34, 21_797_672)])
def test_parameters_without_biases_are_the_published_ones(depth, torch_parameters):
    with keras.StatelessScope():  # nothing is allocated
        model = build_resnet(depth)
        biases = sum(layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
        assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) - biases == torch_parameters
    assert model.output_shape == (None, 1000)


@pytest.mark.parametrize("n", [1, 2])
def test_layers_and_stages_of_the_thin_network(n):
    plain, residual = (build_cifar_resnet(n, kind, (8, 8, 3), 5, 0.5) for kind in (False, True))
    for model in (plain, residual):
        weighted = [layer for layer in model.layers if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense))]
        assert len(weighted) == 6 * n + 2
        assert weighted[-2].output.shape == (None, 2, 2, 32)
        assert model.output_shape == (None, 5)
    for a, b in zip(plain.get_weights(), residual.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)  # option A: the same weights
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    assert not np.allclose(plain(x), residual(x))


def test_identities_keep_the_function():
    shallow, deep = (build_cifar_resnet(n, False, (8, 8, 1), 3, 0.25, seed=n) for n in (1, 3))
    perturb(shallow, 0)
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype("float32")
    want = shallow(x, training=False)
    assert not np.allclose(deep(x, training=False), want, atol=1e-3)
    insert_identities(shallow, deep)
    np.testing.assert_allclose(deep(x, training=False), want, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="deep: expected at least the depth of plain20"):
        insert_identities(deep, shallow)
    with pytest.raises(ValueError, match="deep: expected at least the depth of plain8 and its sizes"):
        insert_identities(shallow, build_cifar_resnet(1, False, (8, 8, 1), 4, 0.25))
    with pytest.raises(ValueError, match="expected plain networks"):
        insert_identities(shallow, build_cifar_resnet(1, True, (8, 8, 1), 3, 0.25))


def test_seeds():
    one, same, other = (build_cifar_resnet(1, seed=seed, width=0.1).get_weights() for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_errors():
    x = keras.Input((4, 4, 3))
    for block in (residual_block, preactivation_block):
        with pytest.raises(ValueError, match="filters: expected a positive integer, got 0"):
            block(x, 0)
        with pytest.raises(ValueError, match="stride: expected a positive integer, got -1"):
            block(x, 3, -1)
        with pytest.raises(ValueError, match="x: expected \\(batch, height, width, channels\\)"):
            block(keras.Input((4,)), 3)
        with pytest.raises(ValueError, match="projection: expected True or None for 3 channels to 2, got False"):
            block(x, 2, projection=False)
    with pytest.raises(ValueError, match="depth: expected one of 18, 34, 50, got 19"):
        build_resnet(19)
    with pytest.raises(ValueError, match="n: expected a positive integer, got 0"):
        build_cifar_resnet(0)
    for build in (build_resnet, lambda **arguments: build_cifar_resnet(1, **arguments)):
        with pytest.raises(ValueError, match="input_shape: expected three positive integers"):
            build(input_shape=(28, 28))
        with pytest.raises(ValueError, match="classes: expected a positive integer, got 0"):
            build(classes=0)
        with pytest.raises(ValueError, match="width: expected a positive number, got nan"):
            build(width=float("nan"))

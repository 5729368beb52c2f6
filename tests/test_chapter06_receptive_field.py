"""Receptive fields against the gradient of random stacks, and scanning against one network."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter06.receptive_field import (
    as_convolution,
    empirical_receptive_field,
    gradient_map,
    multiplications,
    receptive_field,
    scan,
)

layers = keras.layers


def zeros(kind, *arguments, **keywords):
    return kind(*arguments, kernel_initializer="zeros", **keywords)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.booleans()), min_size=1, max_size=3))
def test_the_formula_is_the_gradients_support(stack):
    stack = [(kernel, min(kernel, stride), pool) for kernel, stride, pool in stack]  # no pixel is jumped over
    size, jump = receptive_field([layer[:2] for layer in stack])
    model = keras.Sequential([keras.Input((size + 2 * jump, size + 2 * jump, 2))])
    for kernel, stride, pool in stack:
        model.add(layers.MaxPooling2D(kernel, stride) if pool else zeros(layers.Conv2D, 3, kernel, stride))
    assert empirical_receptive_field(model, model.layers[-1].name) == (size, size)


def test_fields_by_hand():
    assert receptive_field([]) == (1, 1)
    assert receptive_field([(3, 1), (3, 1)]) == (5, 1)
    assert receptive_field([(3, 2), (3, 2)]) == (7, 4)
    assert receptive_field([(2, 2), (1, 1), (2, 2)]) == (4, 4)
    resnet = [(7, 2), (3, 2)]
    for blocks, stride in ((3, 1), (4, 2), (6, 2), (3, 2)):  # the stride stands in a 1 × 1 convolution
        resnet += [(1, stride)] + [(3, 1)] * blocks
    assert receptive_field(resnet) == (483, 32)  # ResNet-50: Araujo et al. 2019


def test_bends_branches_and_weights_do_not_matter():
    x = keras.Input((20, 16, 3))
    h = layers.BatchNormalization()(zeros(layers.Conv2D, 4, (3, 1), padding="same", name="tall")(x))
    long = zeros(layers.Conv2D, 4, 5, padding="same", activation="tanh")(layers.ReLU()(h))
    h = layers.Dropout(0.5)(layers.Add(name="sum")([h, long]))
    h = layers.Flatten()(layers.MaxPooling2D()(h))
    model = keras.Model(x, layers.Softmax()(zeros(layers.Dense, 10, name="top")(h)))
    before = model.get_weights()
    assert empirical_receptive_field(model, "tall") == (3, 1)
    assert empirical_receptive_field(model, "sum") == (7, 5)
    assert empirical_receptive_field(model, "top") == (20, 16)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_gradient_map_counts_paths():
    model = keras.Sequential([keras.Input((9, 9, 1)), zeros(layers.Conv2D, 2, 3), zeros(layers.Conv2D, 2, 3, name="b")])
    counts = np.outer([1, 2, 3, 2, 1], [1, 2, 3, 2, 1]) / 81
    np.testing.assert_allclose(gradient_map(model, "b"), np.pad(counts, 2), atol=1e-15)


def dense_network(seed, inputs, sizes, activation="tanh", use_bias=True):
    rng = np.random.default_rng(seed)
    mlp = keras.Sequential([keras.Input((inputs,))])
    for units in sizes:
        mlp.add(zeros(layers.Dense, units, activation=activation, use_bias=use_bias))
    mlp.set_weights([rng.normal(0, 0.5, size=weight.shape) for weight in mlp.weights])
    return mlp


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 4), st.integers(1, 4)), st.integers(1, 3),
       st.lists(st.integers(1, 4), min_size=1, max_size=3), st.booleans())  # fmt: skip
def test_one_network_scans(seed, window, channels, sizes, use_bias):
    mlp = dense_network(seed, window[0] * window[1] * channels, sizes, use_bias=use_bias)
    image = np.random.default_rng(seed).normal(size=(5, 6, channels)).astype(np.float32)
    scanned = scan(mlp, image, window)
    assert scanned.shape == (6 - window[0], 7 - window[1], sizes[-1])
    np.testing.assert_allclose(as_convolution(mlp, window, channels)(image[None])[0], scanned, atol=1e-5)
    patch = image[1 : 1 + window[0], 2 : 2 + window[1]].reshape(1, -1)
    np.testing.assert_allclose(scanned[1, 2], mlp(patch)[0], atol=1e-6)


def test_scan_takes_pictures_without_channels():
    mlp = dense_network(0, 4, [1], activation=None, use_bias=False)
    mlp.set_weights([np.float32([[1], [2], [3], [4]])])
    image = np.arange(1, 10, dtype=np.float32).reshape(3, 3)
    np.testing.assert_array_equal(scan(mlp, image, 2)[..., 0], [[37, 47], [67, 77]])


def test_multiplications_by_hand():
    model = keras.Sequential([
        keras.Input((6, 6, 2)), zeros(layers.Conv2D, 3, 3), layers.MaxPooling2D(), layers.Flatten(),
        zeros(layers.Dense, 5),
    ])  # fmt: skip
    assert multiplications(model, (6, 6, 2)) == 4 * 4 * (3 * 3 * 2 * 3) + 2 * 2 * 3 * 5
    assert multiplications(keras.Sequential([keras.Input((7,)), zeros(layers.Dense, 2)]), (7,)) == 14


def small(padding="same"):
    return keras.Sequential([keras.Input((6, 6, 1)), zeros(layers.Conv2D, 1, 7, padding=padding, name="wide")])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: receptive_field([(3, 0)]), r"layers: expected positive integers, two of them, got \(3, 0\)"),
        (lambda: receptive_field([(3, 1, 1)]), "layers: expected positive integers, two of them"),
        (lambda: receptive_field([(3, 1.5)]), "layers: expected positive integers"),
        (lambda: empirical_receptive_field(small(), "narrow"), "layer_name: expected one of wide, got 'narrow'"),
        (lambda: empirical_receptive_field(small(), "wide"), r"model: expected a picture larger .* wide, got \(6, 6\)"),
        (lambda: gradient_map(dense_network(0, 4, [1]), "x"), "layer_name: expected one of"),
        (lambda: gradient_map(m := dense_network(0, 4, [1]), m.layers[0].name), "model: expected one input"),
        (lambda: scan(dense_network(0, 4, [1]), np.ones((3, 3)), 4), r"window: expected at most .* got \(4, 4\)"),
        (lambda: scan(dense_network(0, 4, [1]), np.ones((3, 3)), 0), "window: expected positive integers"),
        (lambda: scan(dense_network(0, 4, [1]), np.ones(9), 2), "window: expected at most"),
        (lambda: scan(dense_network(0, 4, [1]), np.ones((3, 3, 2)), 2), "mlp: expected 8 inputs .* got 4"),
        (lambda: as_convolution(small(), 2), "mlp: expected a built model of Dense layers, got Conv2D"),
        (lambda: as_convolution(keras.Sequential([layers.Dense(1)]), 2), "mlp: expected a built model"),
        (lambda: as_convolution(dense_network(0, 4, [1]), 3), r"mlp: expected 9 inputs for window \(3, 3\), got 4"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

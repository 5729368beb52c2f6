"""Receptive fields against the gradient of random stacks, published fields, and every error message."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter06 import receptive_field as lesson
from kerasnotes.chapter06 import scanning
from kerasnotes.chapter06.receptive_field import (
    empirical_receptive_field,
    gradient_map,
    receptive_field,
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
    assert receptive_field([(1, 1)]) == (1, 1)
    assert receptive_field([(3, 1), (3, 1)]) == (5, 1)
    assert receptive_field([(3, 2), (3, 2)]) == (7, 4)
    assert receptive_field([(2, 2), (1, 1), (2, 2)]) == (4, 4)
    resnet = [(7, 2), (3, 2)]
    for blocks, stride in ((3, 1), (4, 2), (6, 2), (3, 2)):  # the stride stands in a 1 × 1 convolution
        resnet += [(1, stride)] + [(3, 1)] * blocks
    assert receptive_field(resnet) == (483, 32)  # ResNet-50: Araujo et al. 2019


def test_scanning_is_offered_here_too():
    for name in ("scan", "as_convolution", "multiplications"):
        assert getattr(lesson, name) is getattr(scanning, name)


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


def dense():
    return keras.Sequential([keras.Input((4,)), layers.Dense(1)])


def small(padding="same"):
    return keras.Sequential([keras.Input((6, 6, 1)), zeros(layers.Conv2D, 1, 7, padding=padding, name="wide")])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: receptive_field([]), "layers: expected at least one pair .kernel, stride., got none"),
        (lambda: receptive_field([(3, 0)]), r"layers: expected a whole number of at least 1, got 0"),
        (lambda: receptive_field([(3, 1, 1)]), "layers: expected a positive integer or a pair"),
        (lambda: receptive_field([(3, 1.5)]), "layers: expected a whole number"),
        (lambda: empirical_receptive_field(small(), "narrow"), "layer_name: expected one of wide, got 'narrow'"),
        (lambda: empirical_receptive_field(small(), "wide"), r"model: expected a picture larger .* wide, got \(6, 6\)"),
        (lambda: gradient_map(dense(), "x"), "layer_name: expected one of"),
        (lambda: gradient_map(m := dense(), m.layers[0].name), "model: expected one input"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

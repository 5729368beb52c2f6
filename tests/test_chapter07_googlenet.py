"""Inception modules by hand: branches, parameters, multiply-adds; and the network's forms."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter07.alexnet import multiply_adds
from kerasnotes.chapter07.googlenet import build_googlenet, inception_module, inception_multiply_adds

FILTERS = st.tuples(*[st.integers(1, 5)] * 6)
SMALL = {"input_shape": (28, 28, 1), "classes": 10, "width": 0.05, "depth": (1, 1)}


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), FILTERS)
def test_module_by_hand(height, width, channels, filters):
    x = keras.Input((height, width, channels))
    model = keras.Model(x, inception_module(x, filters))
    one, reduce_three, three, reduce_five, five, projection = filters
    assert model.output_shape == (None, height, width, one + three + five + projection)
    first = (channels + 1) * (one + reduce_three + reduce_five + projection)
    assert model.count_params() == first + (9 * reduce_three + 1) * three + (25 * reduce_five + 1) * five
    assert multiply_adds(model) == inception_multiply_adds(height * width, channels, filters)


def test_branches_by_hand():
    """All kernels ones: 1 x 1 gives the input, larger ones sums over neighbours, pooling their maximum."""
    x = keras.Input((5, 5, 1))
    model = keras.Model(x, inception_module(x, (1,) * 6))
    model.set_weights([np.full(w.shape, float(len(w.shape) > 1)) for w in model.weights])
    picture = np.zeros((1, 5, 5, 1), "float32")
    picture[0, 2, 2, 0] = 3.0
    one, three, five, pooled = np.moveaxis(model(picture).numpy()[0], -1, 0)
    np.testing.assert_array_equal(one, picture[0, ..., 0])
    np.testing.assert_array_equal(five, np.full((5, 5), 3.0))
    square = np.pad(np.full((3, 3), 3.0), 1)
    np.testing.assert_array_equal(three, square)
    np.testing.assert_array_equal(pooled, square)


def test_multiply_adds_without_reductions():
    assert inception_multiply_adds(100, 10, (2, 9, 3, 9, 4, 9), reduced=False) == 100 * 10 * (2 + 9 * 3 + 25 * 4)


def test_auxiliary_classifiers():
    plain = build_googlenet((65, 65, 3), 10, 0.02, depth=(1, 4))
    model = build_googlenet((65, 65, 3), 10, 0.02, depth=(1, 4), auxiliary=True)
    assert [each.shape for each in model.outputs] == [(None, 10)] * 3
    assert plain.output_shape == (None, 10)
    # modules 4a and 4d give 10 channels at this width; a head pools 5 x 5 places to one, then 3 channels, 20 units
    heads = sum((c + 1) * 3 + (3 + 1) * 20 + 21 * 10 for c in (10, 10))
    assert model.count_params() - plain.count_params() == heads
    assert len(build_googlenet((65, 65, 3), 10, 0.02, depth=(1, 3), auxiliary=True).outputs) == 2


def test_siblings():
    model = build_googlenet(**SMALL)
    assert model(np.ones((2, 28, 28, 1), "float32")).shape == (2, 10)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    a, b = (build_googlenet(**SMALL, seed=seed).get_weights() for seed in (0, 1))
    assert all(np.array_equal(x, y) for x, y in zip(a, model.get_weights(), strict=True))
    assert not np.array_equal(a[0], b[0])


def test_places_of_the_published_form():
    model = build_googlenet((224, 224, 3), 10, 0.02, depth=(1, 1, 1))
    joined = [layer.output.shape[1] for layer in model.layers if isinstance(layer, keras.layers.Concatenate)]
    assert joined == [28, 14, 7]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (7, 28, 1)}, "input_shape: expected at least 8 x 8 pixels, got 7 x 28"),
        ({"classes": 0}, "classes: expected a positive integer"),
        ({"width": 0}, "width: expected a positive number"),
        ({"depth": 3}, "depth: expected one to three numbers of modules, got 3"),
        ({"depth": (3,)}, "depth: expected at most 2, 5 and 2 modules"),
        ({"depth": (1, 0)}, "depth: expected a positive integer, got 0"),
        ({"depth": (1,), "auxiliary": True}, "auxiliary: expected a second stage"),
        ({"input_shape": (16, 16, 1), "auxiliary": True}, "at least 5 x 5 pixels .* got 4 x 4"),
        ({"dropout": 1}, "dropout: expected a number in"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_googlenet(**{**SMALL, **arguments})


def test_other_errors():
    with pytest.raises(ValueError, match="filters: expected six numbers of channels"):
        inception_module(tf.ones((1, 4, 4, 1)), (1, 2, 3))
    with pytest.raises(ValueError, match="filters: expected a positive integer, got 0"):
        inception_module(tf.ones((1, 4, 4, 1)), (1, 2, 3, 0, 1, 1))
    with pytest.raises(ValueError, match="places: expected a positive integer, got 0"):
        inception_multiply_adds(0, 1, (1,) * 6)
    with pytest.raises(ValueError, match="channels: expected a positive integer, got 0"):
        inception_multiply_adds(1, 0, (1,) * 6)

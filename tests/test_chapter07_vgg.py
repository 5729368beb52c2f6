"""VGG against the library on a small picture, kernels composed against two convolutions, and sizes by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter07.vgg import build_vgg16, compose_kernels, vgg_block

SMALL = {"input_shape": (28, 28, 1), "classes": 10, "width": 0.125, "depth": (2, 2), "dense_units": 64}


def test_the_convolutions_are_those_of_the_library():
    library = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3), pooling="max")
    model = build_vgg16((32, 32, 3), 5, dense_units=8)
    features = keras.Model(model.input, next(x for x in model.layers if isinstance(x, keras.layers.Flatten)).output)
    for ours, theirs in zip(features.weights, library.weights, strict=True):
        theirs.assign(ours)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(features(x), library(x), rtol=1e-3, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 4), st.integers(2, 9), st.integers(1, 3))
def test_block(convolutions, filters, kernel_size, size, channels):
    x = keras.Input((size, size + 1, channels))
    model = keras.Model(x, vgg_block(x, convolutions, filters, kernel_size))
    assert model.output_shape == (None, size // 2, (size + 1) // 2, filters)
    first, later = kernel_size**2 * channels + 1, kernel_size**2 * filters + 1
    assert model.count_params() == (first + (convolutions - 1) * later) * filters


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 3)] * 4), st.tuples(*[st.integers(1, 3)] * 3), st.integers(0, 99))
def test_composed_kernel_equals_two_convolutions(sizes, channels, seed):
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(*sizes[:2], *channels[:2])).astype("float32")
    second = rng.normal(size=(*sizes[2:], *channels[1:])).astype("float32")
    x = rng.normal(size=(2, 7, 8, channels[0])).astype("float32")
    want = tf.nn.conv2d(tf.nn.conv2d(x, first, 1, "VALID"), second, 1, "VALID")
    got = tf.nn.conv2d(x, compose_kernels(first, second), 1, "VALID")
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_siblings():
    model = build_vgg16(**SMALL)
    dense = (7 * 7 * 16 + 1) * 8 + 9 * 8 + 9 * 10
    assert model.count_params() == 10 * 8 + 73 * 8 + 73 * 16 + 145 * 16 + dense
    assert model(np.ones((2, 28, 28, 1), "float32")).shape == (2, 10)
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.5, 0.5]
    a, b = build_vgg16(**SMALL, seed=0).get_weights(), build_vgg16(**SMALL, seed=1).get_weights()
    assert np.array_equal(model.get_weights()[0], a[0])
    assert not np.array_equal(a[0], b[0])
    assert not np.array_equal(np.ravel(a[2])[:9], np.ravel(a[0])[:9])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": (2, 2, 3, 3, 3)}, "input_shape: expected at least 32 x 32 pixels, got 28 x 28"),
        ({"depth": ()}, "depth: expected one to 5 numbers of convolutions"),
        ({"depth": 3}, "depth: expected one to 5 numbers"),
        ({"depth": (1,) * 6}, "depth: expected one to 5 numbers"),
        ({"depth": (1, 0)}, "convolutions: expected a whole number of at least 1, got 0"),
        ({"kernel_size": 0}, "kernel_size: expected a whole number of at least 1, got 0"),
        ({"classes": -1}, "classes: expected a whole number of at least 1"),
        ({"width": -1.0}, "width: expected a positive number"),
        ({"dense_units": 0}, "dense_units: expected a whole number of at least 1"),
        ({"dropout": -0.1}, "dropout: expected a number from 0 and below 1"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_vgg16(**{**SMALL, **arguments})


def test_other_errors():
    with pytest.raises(ValueError, match="of 2 x 2 pixels or more, got "):
        vgg_block(tf.ones((1, 1, 4, 1)), 1, 1)
    with pytest.raises(ValueError, match="filters: expected a whole number of at least 1, got 0"):
        vgg_block(tf.ones((1, 4, 4, 1)), 1, 0)
    with pytest.raises(ValueError, match="first, second: expected kernels that fit"):
        compose_kernels(np.ones((3, 3, 1, 2)), np.ones((3, 3, 1, 2)))

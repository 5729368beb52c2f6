"""Scanning window by window against one network, over random shapes, and every error message."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter06.scanning import as_convolution, multiplications, scan

layers = keras.layers


def zeros(kind, *arguments, **keywords):
    return kind(*arguments, kernel_initializer="zeros", **keywords)


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
        (lambda: scan(dense_network(0, 4, [1]), np.ones((3, 3)), 4), r"window: expected at most .* got \(4, 4\)"),
        (lambda: scan(dense_network(0, 4, [1]), np.ones((3, 3)), 0), "window: expected a whole number"),
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

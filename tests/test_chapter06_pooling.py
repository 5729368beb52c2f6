"""Pooling against TensorFlow and Keras over random shapes, hand-made windows, and every error message."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter06.pooling import (
    average_pool2d,
    max_pool2d,
    max_pool_gradient,
    p_norm_pool,
)

PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4))
SIDES = st.tuples(st.integers(4, 9), st.integers(4, 9))
SEEDS = st.integers(0, 2**32 - 1)
PADDINGS = st.sampled_from(["VALID", "SAME"])
PICTURE = np.arange(16.0).reshape(1, 4, 4, 1)


@settings(max_examples=40)
@given(SIDES, PAIRS, PAIRS, PADDINGS, SEEDS, st.sampled_from(["float16", "float32", "float64", "int32", "uint8"]))
def test_equal_to_tensorflow(sides, size, strides, padding, seed, dtype):
    rng = np.random.default_rng(seed)
    x = (rng.integers(0, 6, size=(2, *sides, 3)) - (0 if dtype == "uint8" else 3)).astype(dtype)  # many ties
    largest = max_pool2d(x, size, strides, padding)
    assert largest.dtype == x.dtype
    np.testing.assert_array_equal(largest, tf.nn.max_pool2d(x, size, strides, padding))
    if dtype.startswith("float"):
        mean = average_pool2d(x, size, strides, padding)
        assert mean.dtype == x.dtype
        want = tf.nn.avg_pool2d(x, size, strides, padding)
        np.testing.assert_allclose(
            mean, want, rtol=4e-3 if dtype == "float16" else 1e-5, atol=1e-3 if dtype == "float16" else 1e-6
        )


@settings(max_examples=30)
@given(SIDES, PAIRS, PAIRS, PADDINGS, SEEDS)
def test_gradient_is_the_tapes(sides, size, strides, padding, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, size=(2, *sides, 2)).astype("float64")
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = tf.nn.max_pool2d(inputs, size, strides, padding)
    dy = rng.normal(size=y.shape)
    want = tape.gradient(y, inputs, output_gradients=tf.constant(dy))
    np.testing.assert_allclose(max_pool_gradient(x, dy, size, strides, padding), want, atol=1e-12)


@settings(max_examples=20)
@given(SIDES, SEEDS)
def test_explicit_padding_is_tensorflows(sides, seed):
    x = (
        np.random.default_rng(seed).normal(-5, 1, size=(1, *sides, 2)).astype("float32")
    )  # below 0, so that padded zeros would win
    want = tf.nn.max_pool2d(x, 3, 2, [[0, 0], [1, 2], [0, 1], [0, 0]])
    np.testing.assert_array_equal(max_pool2d(x, 3, 2, ((1, 2), (0, 1))), want)


def test_padded_cells_do_not_count():
    x = np.full((1, 3, 3, 1), -2.0)
    for pool in (max_pool2d, average_pool2d):
        np.testing.assert_array_equal(pool(x, 2, padding="SAME"), np.full((1, 2, 2, 1), -2.0))
    lowest = np.full((1, 3, 3, 1), -np.inf)
    assert max_pool_gradient(lowest, np.ones((1, 3, 3, 1)), 3, 1, "SAME").sum() == 9


def test_by_hand():
    np.testing.assert_array_equal(max_pool2d(PICTURE, 2)[0, ..., 0], [[5, 7], [13, 15]])
    np.testing.assert_array_equal(average_pool2d(PICTURE.astype(int), 2)[0, ..., 0], [[2.5, 4.5], [10.5, 12.5]])
    pair = np.array([3.0, -4.0]).reshape(1, 1, 2, 1)
    assert p_norm_pool(pair, (1, 2), 2).item() == pytest.approx(5)
    assert p_norm_pool(pair, (1, 2), math.inf).item() == 4
    assert p_norm_pool(pair.astype(int), (1, 2), 1).item() == pytest.approx(7)
    assert p_norm_pool(1e200 * pair, (1, 2), 2).item() == pytest.approx(5e200)
    assert p_norm_pool(np.full((1, 20, 20, 1), 255, np.uint8), 20, 1).item() == 255 * 400  # too large for float16
    assert p_norm_pool(0 * pair, (1, 2), 3).item() == 0


@settings(max_examples=30)
@given(SIDES, PAIRS, PADDINGS, SEEDS, st.floats(0.5, 20))
def test_p_norm_between_its_limits(sides, size, padding, seed, p):
    x = np.random.default_rng(seed).uniform(size=(1, *sides, 2))
    norm, largest = p_norm_pool(x, size, p, padding=padding), max_pool2d(x, size, padding=padding)
    assert (norm >= largest * (1 - 1e-12)).all()
    assert (norm <= largest * (size[0] * size[1]) ** (1 / p) * (1 + 1e-12)).all()
    if padding == "VALID":
        power = average_pool2d(x**p, size) * size[0] * size[1]
        np.testing.assert_allclose(norm, power ** (1 / p), rtol=1e-9)


@pytest.mark.parametrize("x", [np.ones((2, 3, 3)), np.ones((2, 0, 3, 1)), np.array([[[["a"]]]])])
def test_x_must_be_pictures(x):
    with pytest.raises(ValueError, match=r"x: expected numbers \(batch, height, width, channels\)"):
        max_pool2d(x, 1)


def test_an_empty_batch_stays_empty():
    x = np.ones((0, 4, 4, 2), np.float32)
    for pool in (max_pool2d, average_pool2d):
        assert pool(x, 2).shape == tf.nn.max_pool2d(x, 2, 2, "VALID").shape
    assert max_pool_gradient(x, np.ones((0, 2, 2, 2)), 2).shape == x.shape


def test_errors():
    with pytest.raises(ValueError, match="x: expected numbers, got NaN"):
        max_pool2d(np.nan * PICTURE, 2)
    for bad in (0, -1, 2.0, True, (1, 2, 3), (2, 0), "2"):
        with pytest.raises(ValueError, match=r"size: expected a (positive integer or a pair|whole number)"):
            max_pool2d(PICTURE, bad)
    with pytest.raises(ValueError, match=r"strides: expected a (positive integer or a pair|whole number)"):
        average_pool2d(PICTURE, 2, 0)
    with pytest.raises(ValueError, match=r"size: expected a window that fits into \(4, 4\)"):
        max_pool2d(PICTURE, 5)
    for bad in ("half", None, 1, ((2, 0), (0, 0)), ((-1, 0), (0, 0)), ((0.5, 0), (0, 0))):
        with pytest.raises(ValueError, match=r"padding: expected 'VALID', 'SAME' or (two )?pairs"):
            max_pool2d(PICTURE, 2, padding=bad)
    for bad in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="p: expected a positive number"):
            p_norm_pool(PICTURE, 2, bad)
    with pytest.raises(ValueError, match=r"dy: expected the output's shape \(1, 2, 2, 1\)"):
        max_pool_gradient(PICTURE, np.ones((1, 4, 4, 1)), 2)

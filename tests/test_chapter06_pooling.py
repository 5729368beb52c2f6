"""Pooling against TensorFlow and Keras over random shapes, hand-made windows, and every error message."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter06 import pooling
from kerasnotes.chapter06.pooling import (
    adaptive_pool,
    average_pool2d,
    global_pool,
    max_pool2d,
    max_pool_gradient,
    p_norm_pool,
    spatial_pyramid_pool,
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
    np.testing.assert_array_equal(global_pool(PICTURE), [[7.5]])
    np.testing.assert_array_equal(global_pool(PICTURE, "max"), [[15]])
    pair = np.array([3.0, -4.0]).reshape(1, 1, 2, 1)
    assert p_norm_pool(pair, (1, 2), 2).item() == pytest.approx(5)
    assert p_norm_pool(pair, (1, 2), math.inf).item() == 4
    assert p_norm_pool(pair.astype(int), (1, 2), 1).item() == pytest.approx(7)
    assert p_norm_pool(1e200 * pair, (1, 2), 2).item() == pytest.approx(5e200)
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


@settings(max_examples=20)
@given(SIDES, PAIRS, SEEDS, st.sampled_from(["average", "max"]))
def test_adaptive_bins(sides, output_size, seed, kind):
    x = np.random.default_rng(seed).normal(size=(2, *sides, 3)).astype("float32")
    ours = adaptive_pool(x, output_size, kind)
    assert ours.shape == (2, *output_size, 3)
    pool = np.mean if kind == "average" else np.max
    for i in range(output_size[0]):
        for j in range(output_size[1]):
            rows, columns = ((math.floor(k * n / m), math.ceil((k + 1) * n / m))
                             for k, n, m in zip((i, j), sides, output_size, strict=True))  # fmt: skip
            want = pool(x[:, slice(*rows), slice(*columns)], axis=(1, 2))
            np.testing.assert_allclose(ours[:, i, j], want, rtol=1e-5, atol=1e-6)
    # Keras has these layers only since 3.15, and there the maximum over one bin a side ends the process.
    if hasattr(keras.layers, "AdaptiveAveragePooling2D") and min(output_size) > 1:
        layer = {"average": "AdaptiveAveragePooling2D", "max": "AdaptiveMaxPooling2D"}[kind]
        np.testing.assert_allclose(ours, getattr(keras.layers, layer)(output_size)(x), rtol=1e-5, atol=1e-6)


@settings(max_examples=20)
@given(st.tuples(st.integers(1, 12), st.integers(1, 12)), SEEDS)
def test_pyramid(sides, seed):
    x = np.random.default_rng(seed).normal(size=(2, *sides, 3))
    vector = spatial_pyramid_pool(x, (1, 3))
    assert vector.shape == (2, 30)
    np.testing.assert_array_equal(vector[:, :3], x.max(axis=(1, 2)))
    np.testing.assert_allclose(spatial_pyramid_pool(x, [1], "average"), x.mean(axis=(1, 2)))


def test_moving_pictures():
    x = np.pad(np.random.default_rng(0).uniform(size=(2, 6, 6, 1)), [(0, 0), (2, 2), (2, 2), (0, 0)])
    same, still = pooling._turn(np.zeros(2)), np.zeros((2, 2))
    moved = pooling._warp(x, same, still + np.array([1, -2]))
    np.testing.assert_allclose(moved, np.roll(x, (1, -2), axis=(1, 2)), atol=1e-12)
    halfway = pooling._warp(x, same, still + np.array([0, 0.5]))
    np.testing.assert_allclose(halfway, (x + np.roll(x, 1, axis=2)) / 2, atol=1e-12)
    np.testing.assert_allclose(pooling._warp(x, same / 2, still)[:, 0, 0], x[:, 2:4, 2:4].reshape(2, 4) @
                               np.outer([0.75, 0.25], [0.75, 0.25]).ravel()[:, None], atol=1e-12)  # fmt: skip


@pytest.mark.parametrize("x", [np.ones((2, 3, 3)), np.ones((0, 3, 3, 1)), np.array([[[["a"]]]])])
def test_x_must_be_pictures(x):
    for pool in (lambda: max_pool2d(x, 1), lambda: adaptive_pool(x, 1), lambda: global_pool(x)):
        with pytest.raises(ValueError, match=r"x: expected numbers \(batch, height, width, channels\)"):
            pool()


def test_errors():
    with pytest.raises(ValueError, match="x: expected numbers, got NaN"):
        max_pool2d(np.nan * PICTURE, 2)
    for bad in (0, -1, 2.0, True, (1, 2, 3), (2, 0), "2"):
        with pytest.raises(ValueError, match="size: expected one positive integer or two"):
            max_pool2d(PICTURE, bad)
    with pytest.raises(ValueError, match="strides: expected one positive integer or two"):
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
    for pool in (global_pool, lambda x, kind: adaptive_pool(x, 2, kind)):
        with pytest.raises(ValueError, match="kind: expected 'average' or 'max'"):
            pool(PICTURE, "median")
    with pytest.raises(ValueError, match="output_size: expected one positive integer or two"):
        adaptive_pool(PICTURE, 0)
    with pytest.raises(ValueError, match="levels: expected at least one level"):
        spatial_pyramid_pool(PICTURE, [])

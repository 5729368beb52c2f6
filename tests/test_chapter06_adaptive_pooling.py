"""Bins against plain means and maxima, Keras's layers where they are right, and every error message."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter06 import pooling
from kerasnotes.chapter06.adaptive_pooling import adaptive_pool, global_pool, spatial_pyramid_pool

PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4))
SIDES = st.tuples(st.integers(4, 9), st.integers(4, 9))
SEEDS = st.integers(0, 2**32 - 1)
PICTURE = np.arange(16.0).reshape(1, 4, 4, 1)


def test_by_hand():
    np.testing.assert_array_equal(global_pool(PICTURE), [[7.5]])
    np.testing.assert_array_equal(global_pool(PICTURE, "max"), [[15]])
    assert pooling.global_pool is global_pool
    assert pooling.adaptive_pool is adaptive_pool
    assert pooling.spatial_pyramid_pool is spatial_pyramid_pool


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


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "uint8"])
def test_types_and_an_empty_batch(dtype):
    x = np.arange(36).reshape(1, 3, 4, 3).astype(dtype)
    np.testing.assert_array_equal(global_pool(x, "max"), x.max(axis=(1, 2)))
    np.testing.assert_allclose(global_pool(x), x.mean(axis=(1, 2)))
    assert spatial_pyramid_pool(x[:0], (1, 2)).shape == (0, 15)


@pytest.mark.parametrize("x", [np.ones((2, 3, 3)), np.ones((2, 0, 3, 1)), np.array([[[["a"]]]])])
def test_x_must_be_pictures(x):
    for pool in (lambda: adaptive_pool(x, 1), lambda: global_pool(x)):
        with pytest.raises(ValueError, match=r"x: expected numbers \(batch, height, width, channels\)"):
            pool()


def test_errors():
    with pytest.raises(ValueError, match="x: expected numbers, got NaN"):
        global_pool(np.nan * PICTURE)
    for pool in (global_pool, lambda x, kind: adaptive_pool(x, 2, kind)):
        with pytest.raises(ValueError, match="kind: expected 'average' or 'max'"):
            pool(PICTURE, "median")
    for bad in (0, 1.5, (1, 2, 3)):
        with pytest.raises(ValueError, match=r"output_size: expected a (positive integer or a pair|whole number)"):
            adaptive_pool(PICTURE, bad)
    with pytest.raises(ValueError, match="levels: expected at least one level"):
        spatial_pyramid_pool(PICTURE, [])

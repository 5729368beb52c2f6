"""Interpolation and decibels against TensorFlow, a network that writes blocks, and the losses of both trainings."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter11.pix2pix import patch_discriminator
from kerasnotes.chapter11.super_resolution import (
    bicubic,
    build_upscaler,
    keys_kernel,
    nearest,
    psnr,
    shrink,
    train_upscaler,
)

SEEDS = st.integers(0, 2**32 - 1)


def images(seed, *size):
    return np.float32(np.random.default_rng(seed).uniform(-1, 1, size or (2, 28, 28, 1)))


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(1, 3))
def test_enlarging_is_tensorflows(seed, height, width, factor, channels):
    x = images(seed, 2, height, width, channels)
    size = (factor * height, factor * width)
    np.testing.assert_array_equal(nearest(x, factor), tf.image.resize(x, size, "nearest"))
    np.testing.assert_allclose(bicubic(x, factor), tf.image.resize(x, size, "bicubic", antialias=True), atol=2e-6)
    # without the filter TensorFlow looks the kernel up in a table of 1,024 places
    np.testing.assert_allclose(bicubic(x, factor), tf.image.resize(x, size, "bicubic"), atol=5e-3)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))
def test_shrinking_is_average_pooling_and_undoes_repetition(seed, height, width, factor):
    x = images(seed, 2, factor * height, factor * width, 3)
    np.testing.assert_allclose(shrink(x, factor), tf.nn.avg_pool2d(x, factor, factor, "VALID"), atol=1e-6)
    small = images(seed, 2, height, width, 1)
    np.testing.assert_allclose(shrink(nearest(small, factor), factor), small, atol=1e-6)


def test_the_kernel():
    np.testing.assert_array_equal(keys_kernel([0, 1, -1, 2, 2.5]), [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(keys_kernel([0.5, -1.5]), [9 / 16, -1 / 16])
    places = np.linspace(-1, 0, 11)[:, None] + np.arange(-1, 3)  # the four pixels around each
    np.testing.assert_allclose(keys_kernel(places).sum(axis=1), 1)
    numbers = np.arange(-1, 3.0)  # parabolas come back: third order
    np.testing.assert_allclose(keys_kernel(places) @ numbers**2, np.linspace(1, 0, 11) ** 2, atol=1e-12)
    slope = (keys_kernel(np.array([1, 2]) + 1e-6) - keys_kernel(np.array([1, 2]) - 1e-6)) / 2e-6
    np.testing.assert_allclose(slope, [-0.5, 0], atol=1e-5)  # no kink


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 5), st.integers(1, 3))
def test_decibels_are_tensorflows(seed, size, channels):
    x, y = images(seed, 3, size, 4, channels), images(seed + 1, 3, size, 4, channels)
    np.testing.assert_allclose(psnr(x, y), tf.image.psnr(x, y, max_val=2.0), rtol=1e-5)
    half = (x + y) / 2  # half of the error: 10 log₁₀ 4 decibels more
    np.testing.assert_allclose(psnr(half, y) - psnr(x, y), 10 * np.log10(4), rtol=1e-4)
    assert np.all(psnr(x, x) == np.inf)


def test_upscaler_begins_with_grey_and_sees_its_surroundings():
    model = build_upscaler(3, 2, 5)
    assert model(images(0, 2, 3, 3, 1)).shape == (2, 6, 6, 1)
    assert np.abs(model(images(0, 2, 3, 3, 1))).max() == 0
    last = model.layers[-2]
    last.kernel.assign(100 * tf.ones(last.kernel.shape))
    assert 1 < np.abs(model(images(0, 2, 3, 3, 1))).max() <= 1.25
    for a, b, c in zip(*(build_upscaler(3, 2, 5, seed).get_weights()[:-2] for seed in (0, 0, 1)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.ndim < 2 or np.any(a != c)


def test_its_step_to_the_large_picture_is_a_matrix_product_and_a_shuffle():
    model = build_upscaler(3, 4, 8)
    (layer,) = [each for each in model.layers if isinstance(each, keras.layers.Conv2DTranspose)]
    maps = images(1, 2, 3, 3, 8)
    kernel, _ = layer.get_weights()  # (4, 4, maps out, maps in)
    np.testing.assert_allclose(layer(maps), tf.nn.depth_to_space(maps @ kernel.reshape(-1, 8).T, 4), atol=1e-5)


def test_squared_error_alone():
    truth = images(1, 1, 28, 28, 1)
    model = build_upscaler(channels=4)
    want = np.mean(truth**2)  # it begins with grey
    losses = train_upscaler(model, None, truth, 30, batch_size=2, learning_rate=1e-2)
    assert losses.shape == (30, 1)
    assert losses[0, 0] == pytest.approx(want, rel=1e-5)
    assert losses[-1, 0] < losses[0, 0]


def test_the_losses_with_an_adversary():
    truth = images(1, 1, 28, 28, 1)
    model, discriminator = build_upscaler(channels=4), patch_discriminator((4, 4))
    bce = keras.losses.BinaryCrossentropy(from_logits=True)
    drawn, coarse = tf.zeros_like(truth), tf.constant(nearest(shrink(truth, 4), 4))
    real, fake = (tf.reshape(discriminator([coarse, each]), (-1, 1)) for each in (tf.constant(truth), drawn))
    want = bce(tf.ones_like(real), real) + bce(tf.zeros_like(fake), fake)
    losses = train_upscaler(model, discriminator, truth, 1, adversary=0.5, batch_size=3)
    assert losses[0, 0] == pytest.approx(float(want), rel=1e-4)
    fake = tf.reshape(discriminator([coarse, drawn]), (-1, 1))  # after its turn
    assert losses[0, 1] == pytest.approx(np.mean(truth**2) + 0.5 * float(bce(tf.ones_like(fake), fake)), rel=1e-4)
    assert np.abs(model(shrink(truth, 4))).max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shrink(3 * images(0), 4), "images: expected pixels from −1 to 1"),
        (lambda: shrink(images(0), 5), "factor: expected a divisor of 28 and 28, got 5"),
        (lambda: shrink(images(0, 1, 8, 6, 1), 4), "factor: expected a divisor of 8 and 6, got 4"),
        (lambda: shrink(images(0), 0), "factor: expected a whole number of at least 1, got 0"),
        (lambda: nearest(images(0), 1.5), "factor: expected a whole number of at least 1, got 1.5"),
        (lambda: bicubic(images(0)[0], 2), "images: expected the shape"),
        (lambda: bicubic(images(0), 0), "factor: expected a whole number of at least 1, got 0"),
        (lambda: psnr(images(0), images(0)[:1]), r"images: expected the shape \(1, 28, 28, 1\)"),
        (lambda: psnr(images(0), 2 * images(0)), "images: expected pixels from −1 to 1"),
        (lambda: psnr(np.full((1, 2, 2, 1), np.nan), np.ones((1, 2, 2, 1))), "images: expected pixels from −1 to 1"),
        (lambda: build_upscaler(0), "size: expected a whole number of at least 1, got 0"),
        (lambda: build_upscaler(factor=0), "factor: expected a whole number of at least 1, got 0"),
        (lambda: build_upscaler(channels=2.5), "channels: expected a whole number of at least 1, got 2.5"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"adversary": 0}, "adversary: expected a positive number, got 0"),
        ({"learning_rate": -1.0}, "learning_rate: expected a positive number, got -1.0"),
        ({"batch_size": 0}, "batch_size: expected a whole number of at least 1, got 0"),
        ({"steps": 0}, "steps: expected a whole number of at least 1, got 0"),
        ({"pictures": 2 * images(0)}, "images: expected pixels from −1 to 1"),
    ],
)
def test_errors_of_training(setting, message):
    given = {"generator": build_upscaler(channels=2), "discriminator": None, "pictures": images(0), "steps": 1}
    with pytest.raises(ValueError, match=message):
        train_upscaler(**{**given, **setting})

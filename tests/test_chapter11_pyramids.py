"""Halving and doubling against Keras's layers, pyramids that add up, and networks in the moment of growing."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter11.pyramids import (
    FadeIn,
    build_pair,
    double,
    grow,
    grow_discriminator,
    halve,
    laplacian_pyramid,
    rebuild,
    settle,
)

SEEDS = st.integers(0, 2**32 - 1)


def fades(*networks):
    return [layer for network in networks for layer in network.layers if isinstance(layer, FadeIn)]


def noise(seed, latent_size=5):
    return np.random.default_rng(seed).standard_normal((3, latent_size), np.float32)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_halve_and_double_are_keras_layers(seed, height, width, channels):
    x = np.random.default_rng(seed).standard_normal((2, 2 * height, 2 * width, channels), np.float32)
    np.testing.assert_allclose(halve(x), keras.layers.AveragePooling2D(2)(x), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(double(x), keras.layers.UpSampling2D(2)(x))
    np.testing.assert_array_equal(halve(double(x)), x)


def test_their_slopes():
    x = tf.Variable(np.random.default_rng(0).standard_normal((1, 4, 6, 2), np.float32))
    weights = np.random.default_rng(1).standard_normal((1, 2, 3, 2), np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(halve(x) * weights)
    np.testing.assert_allclose(tape.gradient(loss, x), double(weights) / 4, rtol=1e-6)  # the adjoint is a quarter
    small = tf.Variable(weights)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(double(small) * x)
    np.testing.assert_allclose(tape.gradient(loss, small), 4 * halve(x), rtol=1e-5, atol=1e-6)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 3), st.integers(1, 2))
def test_a_pyramid_adds_up(seed, levels, channels):
    rng = np.random.default_rng(seed)
    x = np.float32(rng.integers(0, 256, (2, 8, 16, channels)))
    pyramid = laplacian_pyramid(x, levels)
    assert [level.shape[1:3] for level in pyramid] == [
        *((8 >> i, 16 >> i) for i in range(levels)),
        (8 >> levels, 16 >> levels),
    ]
    np.testing.assert_array_equal(rebuild(pyramid), x)
    assert max(float(tf.reduce_max(abs(halve(level)))) for level in pyramid[:-1]) == 0  # details have no means
    energies = [np.mean(np.float64(level) ** 2) for level in pyramid]
    assert sum(energies) == pytest.approx(np.mean(np.float64(x) ** 2), rel=1e-9)
    np.testing.assert_allclose(rebuild(laplacian_pyramid(x / 255, levels)), x / 255, atol=1e-6)


def test_a_pyramid_by_hand():
    x = np.float32([[1, 3], [5, 7]]).reshape(1, 2, 2, 1)
    detail, small = laplacian_pyramid(x, 1)
    assert small.numpy().ravel().tolist() == [4]
    assert detail.numpy().ravel().tolist() == [-3, -1, 1, 3]
    assert laplacian_pyramid(np.array([[1, 3], [5, 7]]).reshape(1, 2, 2, 1), 1)[1].dtype == tf.float32


def test_rebuild_uses_every_level():
    pyramid = laplacian_pyramid(np.zeros((1, 4, 4, 1), np.float32), 2)
    for number, size in enumerate((4, 2, 1)):
        changed = list(pyramid)
        changed[number] = changed[number] + tf.one_hot(0, size)[None, :, None, None] * np.ones((1, 1, size, 1))
        got = rebuild(changed).numpy()[0, :, 0, 0]
        np.testing.assert_array_equal(got, [1] * (4 // size) + [0] * (4 - 4 // size))


def test_fade_in():
    old, new = np.float32([[1.0, 2.0]]), np.float32([[5.0, -2.0]])
    for alpha, want in ((0.0, old), (0.25, [[2.0, 1.0]]), (1.0, new)):
        layer = FadeIn(alpha)
        np.testing.assert_array_equal(layer([old, new]), want)
        assert not layer.trainable_variables
    layer.alpha.assign(0.5)
    np.testing.assert_array_equal(layer([old, new]), [[3.0, 0.0]])
    assert float(FadeIn().alpha) == 0


def test_a_pair_grows_twice():
    generator, discriminator = build_pair(5, 3)
    assert generator.output_shape == (None, 7, 7, 1) == discriminator.input_shape
    for seed, size in enumerate((14, 28)):
        for weight in generator.trainable_variables + discriminator.trainable_variables:
            weight.assign(weight + 0.3 * tf.random.stateless_normal(weight.shape, (seed, 1)))  # no tiny weights
        pictures, logits = generator(noise(0)), discriminator(generator(noise(0)))
        grown, judge = grow(generator, 2, seed), grow_discriminator(discriminator, 2, seed)
        assert grown.output_shape == (None, size, size, 1) == judge.input_shape
        assert len(fades(grown)) == len(fades(judge)) == 1
        # α = 0: nothing changes, neither in inference nor in training
        np.testing.assert_array_equal(grown(noise(0)), double(pictures))
        np.testing.assert_allclose(judge(grown(noise(0))), logits, rtol=1e-6, atol=1e-6)
        want = generator(noise(0), training=True)
        np.testing.assert_allclose(grown(noise(0), training=True), double(want), rtol=1e-6, atol=1e-6)
        # halved pictures are judged as the old network does
        any_pictures = np.float32(np.random.default_rng(seed).uniform(-1, 1, (2, size, size, 1)))
        np.testing.assert_allclose(judge(any_pictures), discriminator(halve(any_pictures)), rtol=1e-4, atol=1e-5)
        # α = 1: the new networks, which know nothing of the old paths, and differ
        for fade in fades(grown, judge):
            fade.alpha.assign(1)
        generator, discriminator = settle(grown), settle(judge)
        assert not fades(generator, discriminator)
        np.testing.assert_allclose(grown(noise(0)), generator(noise(0)), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(judge(any_pictures), discriminator(any_pictures), rtol=1e-6, atol=1e-7)
        assert np.abs(generator(noise(0)) - double(pictures)).max() > 0.05
        assert np.abs(judge(grown(noise(0))) - logits).max() > 1e-3
        assert generator.count_params() < grown.count_params()
    assert settle(generator) is generator


def test_layers_are_shared_and_new_ones_are_seeded():
    generator, discriminator = build_pair(5, 3, seed=1)
    grown, judge = grow(generator, 2, seed=1), grow_discriminator(discriminator, 2, seed=1)
    for old, new in ((generator, grown), (discriminator, judge)):
        assert set(map(id, old.weights)) < set(map(id, new.weights))
    for a, b in zip(grown.get_weights(), grow(generator, 2, seed=1).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(np.any(a != c) for a, c in zip(grown.get_weights(), grow(generator, 2, 2).get_weights(), strict=True))
    twins = build_pair(5, 3, seed=1), build_pair(5, 3, seed=2)
    for number, network in enumerate((generator, discriminator)):
        for a, b in zip(network.get_weights(), twins[0][number].get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        kernels = [layer.kernel for layer in network.layers if hasattr(layer, "kernel")]
        others = [layer.kernel for layer in twins[1][number].layers if hasattr(layer, "kernel")]
        assert all(np.any(a.numpy() != b.numpy()) for a, b in zip(kernels, others, strict=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: halve(np.zeros((1, 3, 4, 1))), "images: expected .* with even sides"),
        (lambda: halve(np.zeros((1, 4, 3, 1))), "images: expected .* with even sides"),
        (lambda: halve(np.zeros((4, 4, 1))), "images: expected .* with even sides"),
        (lambda: halve(np.zeros((0, 4, 4, 1))), "images: expected numbers, at least one"),
        (lambda: laplacian_pyramid(np.zeros((1, 4, 4, 1)), 3), "images: expected .* with even sides"),
        (lambda: laplacian_pyramid(np.zeros((1, 4, 4, 1)), 0), "levels: expected a whole number of at least 1, got 0"),
        (lambda: FadeIn(1.5), "alpha: expected a number from 0 to 1, got 1.5"),
        (lambda: build_pair(0), "latent_size: expected a whole number"),
        (lambda: build_pair(4, 0), "channels: expected a whole number"),
        (lambda: grow(None, 0), "channels: expected a whole number"),
        (lambda: grow_discriminator(None, 1.5), "channels: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""DCGAN: shapes, the two networks' steps against one tape each, reproducible training, and errors."""

import keras
import numpy as np
import pytest
import scipy.spatial
import tensorflow as tf

from kerasnotes.chapter11.dcgan import (
    build_discriminator,
    build_generator,
    dcgan_step,
    draw_images,
    nearest_distances,
    tile_images,
    train_dcgan,
)

SMALL = (4, 3, 2)


def pair(seed=0):
    return build_generator(5, SMALL, seed), build_discriminator(SMALL[::-1], seed)


def batch(seed=0, size=6):
    rng = np.random.default_rng(seed)
    return np.float32(rng.uniform(-1, 1, (size, 28, 28, 1))), rng.standard_normal((size, 5), np.float32)


def values_of(weights):
    return [weight.numpy() for weight in weights]


def assert_equal(ours, theirs, **tolerance):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def test_shapes_and_ranges():
    generator, discriminator = pair()
    real, noise = batch()
    drawn = generator(noise).numpy()
    assert drawn.shape == (6, 28, 28, 1)
    assert np.abs(drawn).max() <= 1
    assert discriminator(real).shape == (6, 1)
    maps = [layer.output.shape[1:3] for layer in generator.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    assert maps == [(7, 7), (14, 14), (28, 28)]
    maps = [layer.output.shape[1:3] for layer in discriminator.layers if isinstance(layer, keras.layers.Conv2D)]
    assert maps == [(14, 14), (7, 7), (4, 4)]
    slopes = [layer.negative_slope for layer in discriminator.layers if isinstance(layer, keras.layers.LeakyReLU)]
    assert slopes == [0.2] * 3


def test_number_of_weights_by_hand():
    generator, discriminator = build_generator(64, (64, 32, 16)), build_discriminator((16, 32, 64))
    drawing = 64 * 1024 + 2 * 64 * 16 + 9 * 64 * 32 + 2 * 32 + 16 * 32 * 16 + 2 * 16 + 16 * 16 + 1
    judging = 16 * 16 + 16 + 16 * 16 * 32 + 2 * 32 + 16 * 32 * 64 + 2 * 64 + 16 * 64 + 1
    counted = [
        sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) for model in (generator, discriminator)
    ]
    assert counted == [drawing, judging]


def test_starting_weights():
    generator, discriminator = build_generator(seed=1), build_discriminator(seed=1)
    kernels = [weight.numpy() for model in (generator, discriminator) for weight in model.trainable_weights
               if weight.name == "kernel"]  # fmt: skip
    assert len(kernels) == 8
    for kernel in kernels:
        assert kernel.std() == pytest.approx(0.02, rel=5 / np.sqrt(kernel.size))
    assert_equal(values_of(generator.weights), values_of(build_generator(seed=1).weights))
    assert not np.allclose(generator(np.ones((1, 64))), build_generator(seed=2)(np.ones((1, 64))))


def test_the_discriminators_step():
    """Against one tape over the binary cross-entropies of Keras; the generator rests."""
    real, noise = batch()
    generator, discriminator = pair()
    drawn = generator(noise, training=True)
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    _, fresh = pair()
    with tf.GradientTape() as tape:
        loss = entropy(np.ones((6, 1)), fresh(real, training=True)) + entropy(
            np.zeros((6, 1)), fresh(drawn, training=True)
        )
    want = [w - 0.5 * g for w, g in zip(values_of(fresh.trainable_variables),
                                        tape.gradient(loss, fresh.trainable_variables), strict=True)]  # fmt: skip
    generator, discriminator = pair()
    before = values_of(generator.trainable_variables)
    got, _ = dcgan_step(generator, discriminator, keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.5), real, noise)
    assert float(got) == pytest.approx(float(loss), rel=1e-5)
    assert_equal(values_of(discriminator.trainable_variables), want, rtol=1e-4, atol=1e-6)
    assert_equal(values_of(generator.trainable_variables), before)


def test_the_generators_step():
    """Against one tape through both networks; a discriminator with learning rate 0 rests."""
    real, noise = batch(1)
    generator, discriminator = pair(1)
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        loss = entropy(np.ones((6, 1)), discriminator(generator(noise, training=True), training=True))
    weights = generator.trainable_variables
    want = [w - 3.0 * g for w, g in zip(values_of(weights), tape.gradient(loss, weights), strict=True)]
    before = values_of(discriminator.trainable_variables)
    _, got = dcgan_step(generator, discriminator, keras.optimizers.SGD(3.0), keras.optimizers.SGD(0.0), real, noise)
    assert float(got) == pytest.approx(float(loss), rel=1e-5)
    assert_equal(values_of(weights), want, rtol=1e-4, atol=1e-6)
    assert_equal(values_of(discriminator.trainable_variables), before)


def test_the_generator_answers_the_discriminator_after_its_step():
    real, noise = batch(2)
    generator, discriminator = pair(2)
    _, got = dcgan_step(generator, discriminator, keras.optimizers.SGD(0.0), keras.optimizers.SGD(5.0), real, noise)
    logits = discriminator(generator(noise, training=True), training=True)
    want = keras.losses.BinaryCrossentropy(from_logits=True)(np.ones((6, 1)), logits)
    assert float(got) == pytest.approx(float(want), rel=1e-5)


def test_training_is_reproducible_and_reports():
    images, _ = batch(3, 12)
    results, seen = [], []
    for _ in range(2):
        generator, discriminator = pair(6)
        results.append(
            train_dcgan(generator, discriminator, images, 3, batch_size=4, every=2, seed=4, watch=seen.append)
        )
        assert np.isfinite(draw_images(generator, 2, 0)).all()
    assert results[0].shape == (3, 2)
    np.testing.assert_array_equal(results[0], results[1])
    assert len(np.unique(results[0])) == 6
    assert seen == [2, 3] * 2


def test_training_learns_one_picture():
    """Bright above, dark below: after a hundred steps the drawn pictures are, too."""
    picture = np.full((1, 28, 28, 1), -1, np.float32)
    picture[:, :14] = 1
    generator, discriminator = build_generator(2, (8, 8, 8)), build_discriminator((4, 8, 8))
    images = np.repeat(picture, 16, axis=0)
    train_dcgan(generator, discriminator, images, 100, batch_size=16, every=100, learning_rate=0.01)
    noise = np.random.default_rng(0).standard_normal((64, 2), np.float32)
    assert np.abs(generator(noise, training=True) - picture).mean() < 0.5  # 1 before


def test_drawing():
    generator, _ = pair()
    images = draw_images(generator, 7, seed=1, batch_size=3)
    np.testing.assert_allclose(images, draw_images(generator, 7, seed=1), atol=1e-6)
    assert images.shape == (7, 28, 28, 1)
    assert not np.allclose(images, draw_images(generator, 7, seed=2))


def test_nearest_distances():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(700, 3, 2)), rng.normal(size=(40, 3, 2))
    want = scipy.spatial.distance.cdist(a.reshape(-1, 6), b.reshape(-1, 6)).min(axis=1)
    np.testing.assert_allclose(nearest_distances(a, b), want, rtol=1e-4)
    assert nearest_distances(b[:5], b).max() < 1e-6  # exactly 0 up to the rounding of float32


def test_tiles_by_hand():
    images = np.arange(16).reshape(2, 2, 2, 2)
    want = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    np.testing.assert_array_equal(tile_images(images), want)
    np.testing.assert_array_equal(tile_images(images[..., None]), want)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: build_generator(0), "latent_size: expected a positive whole number, got 0"),
        (lambda: build_generator(8, (4, 4)), "channels: expected three positive whole numbers"),
        (lambda: build_discriminator((4, 0, 4)), "channels: expected three positive whole numbers"),
        (lambda: build_discriminator((4, 4, 4.5)), "channels: expected three positive whole numbers"),
        (lambda: train_dcgan(*pair(), batch()[0], 0), "steps: expected a positive whole number"),
        (lambda: train_dcgan(*pair(), batch()[0], 1, batch_size=0), "batch_size: expected"),
        (lambda: train_dcgan(*pair(), batch()[0], 1, every=True), "every: expected"),
        (lambda: train_dcgan(*pair(), batch()[0], 1, learning_rate=-1.0), "learning_rate: expected a positive number"),
        (lambda: train_dcgan(*pair(), batch()[0], 1, learning_rate=np.nan), "learning_rate: expected"),
        (lambda: train_dcgan(*pair(), batch()[0], 1, beta_1=1.0), "beta_1: expected a number from 0 to below 1"),
        (lambda: train_dcgan(*pair(), np.zeros((3, 28, 28)), 1), "images: expected"),
        (lambda: train_dcgan(*pair(), np.full((3, 28, 28, 1), 255.0), 1), "pixels from −1 to 1"),
        (lambda: train_dcgan(*pair(), np.full((3, 28, 28, 1), np.nan), 1), "pixels from −1 to 1"),
        (lambda: dcgan_step(*pair(), None, None, *(batch()[0], batch()[1][:3])), "real, noise: expected"),
        (lambda: draw_images(pair()[0], 0, 0), "count: expected a positive whole number"),
        (lambda: nearest_distances(np.zeros((0, 2)), np.zeros((3, 2))), "images, others: expected"),
        (lambda: nearest_distances(np.zeros((3, 2)), np.zeros((3, 4))), "images, others: expected"),
        (lambda: nearest_distances(np.full((3, 2), np.nan), np.zeros((3, 2))), "finite"),
        (lambda: tile_images(np.zeros((2, 28, 28))), "images: expected"),
        (lambda: tile_images(np.zeros((2, 2, 4, 4, 3))), "images: expected"),
    ],
)
def test_errors(call, match):
    with pytest.raises(ValueError, match=match):
        call()

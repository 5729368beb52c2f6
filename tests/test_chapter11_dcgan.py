"""DCGAN: the two networks' steps against one tape each, chunks of steps, reproducible training, and errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter11 import dcgan, dcgan_networks, judge
from kerasnotes.chapter11.dcgan import (
    build_discriminator,
    build_generator,
    dcgan_step,
    draw_images,
    train_dcgan,
    train_in_chunks,
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
            train_dcgan(generator, discriminator, images, 4, batch_size=4, every=2, seed=4, watch=seen.append)
        )
        assert np.isfinite(draw_images(generator, 2, 0)).all()
    assert results[0].shape == (4, 2)  # chunks of one length have one trace; of others: test_steps_in_chunks
    np.testing.assert_array_equal(results[0], results[1])
    assert len(np.unique(results[0])) == 8
    assert seen == [2, 4] * 2


def test_training_learns_one_picture():
    """Bright above, dark below: after a hundred steps the drawn pictures are, too."""
    picture = np.full((1, 28, 28, 1), -1, np.float32)
    picture[:, :14] = 1
    generator, discriminator = build_generator(2, (8, 8, 8)), build_discriminator((4, 8, 8))
    images = np.repeat(picture, 16, axis=0)
    train_dcgan(generator, discriminator, images, 100, batch_size=16, every=100, learning_rate=0.01)
    noise = np.random.default_rng(0).standard_normal((64, 2), np.float32)
    assert np.abs(generator(noise, training=True) - picture).mean() < 0.5  # 1 before


@pytest.mark.parametrize("vector", [False, True])
def test_steps_in_chunks(vector):
    """A step that counts: every step runs once, in its order, on what was drawn for it."""
    state, drawn, seen = tf.Variable(0.0), [], []

    def draw(first, count):
        drawn.append((first, count))
        return np.arange(first, first + count, dtype=np.float32), np.ones((count, 2), np.float32)

    def step(number, ones):
        state.assign(2 * state + number)
        losses = state.read_value(), number + tf.reduce_sum(ones)
        return tf.stack(losses) if vector else losses

    tracked = lambda chunks, description: [*chunks]  # noqa: E731
    history = train_in_chunks(step, draw, 7, every=3, track=tracked, watch=seen.append)
    assert drawn == [(0, 3), (3, 3), (6, 1)]
    assert seen == [3, 6, 7]
    np.testing.assert_array_equal(history[:, 0], [0, 1, 4, 11, 26, 57, 120])
    np.testing.assert_array_equal(history[:, 1], np.arange(7) + 2)


def test_names_that_moved_are_still_found():
    assert dcgan.build_generator is dcgan_networks.build_generator
    assert dcgan.nearest_distances is judge.nearest_distances
    assert dcgan.tile_images is plots.tile_images


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: train_dcgan(*pair(), batch()[0], 0), "steps"),
        (lambda: train_dcgan(*pair(), batch()[0], 1, batch_size=0), "batch_size: expected"),
        (lambda: train_dcgan(*pair(), batch()[0], 1, every=True), "every: expected"),
        (lambda: train_dcgan(*pair(), batch()[0], 1, learning_rate=-1.0), "learning_rate: expected a positive number"),
        (lambda: train_dcgan(*pair(), batch()[0], 1, learning_rate=np.nan), "learning_rate: expected"),
        (lambda: train_dcgan(*pair(), batch()[0], 1, beta_1=1.0), "beta_1: expected a number from 0"),
        (lambda: train_dcgan(*pair(), np.zeros((3, 28, 28)), 1), "images: expected"),
        (lambda: train_dcgan(*pair(), np.full((3, 28, 28, 1), 255.0), 1), "pixels from −1 to 1"),
        (lambda: train_dcgan(*pair(), np.full((3, 28, 28, 1), np.nan), 1), "pixels from −1 to 1"),
        (lambda: dcgan_step(*pair(), None, None, *(batch()[0], batch()[1][:3])), "noise: expected the shape"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

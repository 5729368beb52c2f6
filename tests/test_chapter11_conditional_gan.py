"""The conditional pair: what the condition adds, what moves in a turn, and an order that is learnt on a toy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter11.conditional_gan import (
    build_conditional_discriminator,
    build_conditional_generator,
    train_conditional_gan,
)
from kerasnotes.chapter11.dcgan_networks import build_discriminator, build_generator

SMALL = (4, 3, 2)


@pytest.fixture(scope="module")
def pair():
    return build_conditional_generator(3, 5, SMALL, seed=1), build_conditional_discriminator(3, SMALL[::-1], seed=1)


def images(seed, count=4):
    return np.float32(np.random.default_rng(seed).uniform(-1, 1, (count, 28, 28, 1)))


def test_shapes_and_rules(pair):
    generator, discriminator = pair
    drawn = generator([np.ones((2, 5)), np.eye(3)[:2]])
    assert drawn.shape == (2, 28, 28, 1)
    assert np.abs(drawn).max() <= 1
    assert discriminator([drawn, tf.eye(3)[:2]]).shape == (2, 1)
    assert [inputs.shape for inputs in generator.inputs] == [(None, 5), (None, 3)]


def test_the_networks_are_dcgans_but_for_the_condition(pair):
    plain = build_generator(5 + 3, SMALL).count_params(), build_discriminator(SMALL[::-1]).count_params()
    features = pair[1].get_layer("features").output.shape[1]
    assert [model.count_params() for model in pair] == [plain[0], plain[1] + 3 * features]


@pytest.mark.parametrize("training", [False, True])
def test_the_condition_adds_an_inner_product_to_the_logit(pair, training):
    discriminator = pair[1]
    x, asked = images(0), np.float32(np.random.default_rng(1).normal(size=(4, 3)))
    phi = keras.Model(discriminator.inputs[0], discriminator.get_layer("features").output)(x, training=training)
    kernel = discriminator.get_layer("embedding").get_weights()[0]
    added = discriminator([x, asked], training=training) - discriminator([x, 0 * asked], training=training)
    np.testing.assert_allclose(added[:, 0], np.sum(phi * (asked @ kernel), axis=1), rtol=1e-3, atol=1e-5)


def test_the_generator_reads_the_condition(pair):
    noise = np.repeat(np.random.default_rng(2).normal(size=(1, 5)), 3, axis=0)
    drawn = pair[0]([noise, np.eye(3)]).numpy()
    assert np.ptp(drawn, axis=0).max() > 0


def test_seeds():
    first, again, other = (build_conditional_generator(3, 5, SMALL, seed).get_weights() for seed in (0, 0, 1))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.ndim < 2 or np.any(a != c)


def test_one_turn_of_each_is_a_step_of_adam_on_the_games_loss():
    """The first step of Adam moves each weight by the learning rate along the sign of its gradient."""
    generator, discriminator = build_conditional_generator(2, 4, SMALL), build_conditional_discriminator(2, SMALL[::-1])
    generator.set_weights([20 * weight if weight.ndim == 4 else weight for weight in generator.get_weights()])
    discriminator.set_weights([20 * weight if weight.ndim == 2 else weight for weight in discriminator.get_weights()])
    x, conditions = images(3, 2), np.eye(2, dtype=np.float32)
    start = [weight.numpy() for weight in discriminator.trainable_variables]
    before = generator.get_weights(), discriminator.get_weights()
    rng = np.random.default_rng((7, 3))
    order = rng.integers(2, size=(1, 6), dtype=np.int32)[0]
    assert len(np.unique(order)) == 2
    noise = tf.constant(rng.standard_normal((1, 6, 4), np.float32)[0])
    batch, asked = tf.constant(x[order]), tf.constant(conditions[order])
    bce = keras.losses.BinaryCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        real = discriminator([batch, asked], training=True)
        fake = discriminator([generator([noise, asked], training=True), asked], training=True)
        loss = bce(tf.ones((6, 1)), real) + bce(tf.zeros((6, 1)), fake)
    slopes = tape.gradient(loss, discriminator.trainable_variables)
    generator.set_weights(before[0])
    discriminator.set_weights(before[1])
    losses = train_conditional_gan(generator, discriminator, x, conditions, 1, batch_size=6, learning_rate=1e-3, seed=7)
    assert losses.shape == (1, 2)
    assert losses[0, 0] == pytest.approx(float(loss), rel=1e-4)
    for old, new, slope in zip(start, discriminator.trainable_variables, slopes, strict=True):
        clear = np.abs(slope) > 1e-4
        np.testing.assert_allclose((old - new.numpy())[clear], 1e-3 * np.sign(slope)[clear], rtol=0.02, atol=1e-7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda g, d: build_conditional_generator(0, 5, SMALL),
            "classes: expected a whole number of at least 1, got 0",
        ),
        (lambda g, d: build_conditional_generator(3, 0, SMALL), "latent_size: expected a whole number of at least 1"),
        (lambda g, d: build_conditional_generator(3, 5, (4, 3)), "channels: expected three positive whole numbers"),
        (lambda g, d: build_conditional_discriminator(3, (4, 0, 3)), "channels: expected a whole number of at least 1"),
        (lambda g, d: build_conditional_discriminator(0, SMALL), "classes: expected a whole number of at least 1"),
        (
            lambda g, d: train_conditional_gan(g, d, images(0), np.eye(3), 1),
            r"conditions: expected the shape \(4, 3\), got \(3, 3\)",
        ),
        (
            lambda g, d: train_conditional_gan(g, d, images(0), np.zeros((4, 1)), 1),
            r"conditions: expected the shape \(4, 3\), got \(4, 1\)",
        ),
        (
            lambda g, d: train_conditional_gan(g, d, 2 * images(0), np.zeros((4, 3)), 1),
            "images: expected pixels from −1",
        ),
        (
            lambda g, d: train_conditional_gan(g, d, images(0), np.zeros((4, 3)), 1, batch_size=0),
            "batch_size: expected a whole number of at least 1",
        ),
        (
            lambda g, d: train_conditional_gan(g, d, images(0), np.zeros((4, 3)), 1, beta_1=1.0),
            "beta_1: expected a number from 0 and below 1",
        ),
        (
            lambda g, d: train_conditional_gan(g, d, images(0), np.full((4, 3), np.nan), 1),
            "conditions: expected finite numbers",
        ),
        (lambda g, d: train_conditional_gan(g, d, images(0), np.zeros((4, 3)), 0), "steps: expected a whole number"),
        (
            lambda g, d: train_conditional_gan(g, d, images(0), np.zeros((4, 3)), 1, learning_rate=0),
            "learning_rate: expected a positive number",
        ),
    ],
)
def test_errors(pair, call, message):
    with pytest.raises(ValueError, match=message):
        call(*pair)

"""Losses of several generators, the value of their game, and who moves in training."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize, special

from kerasnotes.chapter11.many_generators import draw_all, mad_gan_losses, mad_gan_value, train_mad_gan
from kerasnotes.chapter11.side_by_side import parallel_mlp


def test_losses_by_keras_with_unequal_counts():
    rng = np.random.default_rng(0)
    logits = tf.constant(rng.normal(size=(3, 9, 3)), tf.float32)  # three runs
    source = np.array([2, 0, 1, 1, 2, 2, 2, 0, 1])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        discriminator, generators = mad_gan_losses(logits, source)
        each = keras.losses.sparse_categorical_crossentropy(np.tile(source, (3, 1)), logits, from_logits=True)
        fooled = keras.losses.sparse_categorical_crossentropy(np.full((3, 9), 2), logits, from_logits=True)
        by_source = [tf.reduce_mean(tf.gather(each, np.flatnonzero(source == s), axis=1), axis=1) for s in range(3)]
        fool = [tf.reduce_mean(tf.gather(fooled, np.flatnonzero(source == s), axis=1), axis=1) for s in range(2)]
        want = sum(by_source), sum(fool)
    for ours, theirs in zip((discriminator, generators), want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
        np.testing.assert_allclose(tape.gradient(ours, logits), tape.gradient(theirs, logits), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("k", [1, 3])
def test_the_value_is_the_maximum_over_discriminators(k):
    rng = np.random.default_rng(k)
    p, q = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4), size=k)

    def loss(v):
        d = special.expit(v)
        return -np.sum(p * np.log(d)) - np.sum(q * np.log(1 - d))

    assert mad_gan_value(p, q) == pytest.approx(-optimize.minimize(loss, np.zeros(4)).fun, abs=1e-6)
    optimum = k * np.log(k) - (k + 1) * np.log(k + 1)
    assert mad_gan_value(p, q) > optimum
    assert mad_gan_value(p, np.tile(p, (k, 1))) == pytest.approx(optimum)


def test_generators_that_share_the_data():
    q = np.array([[0.5, 0.5, 0, 0], [0, 0, 0.3, 0.7]])
    assert mad_gan_value(q.mean(axis=0), q) == pytest.approx(2 * np.log(2) - 3 * np.log(3))


def test_each_generator_draws_its_part_of_the_batch():
    generator = parallel_mlp(4, 1, (), 1)  # two runs of two
    generator.set_weights([np.zeros((4, 1, 1)), np.float32([1, 2, 3, 4]).reshape(4, 1, 1)])
    drawn = draw_all(generator, 2, tf.zeros((2, 6, 1)))
    np.testing.assert_array_equal(drawn[..., 0], [[1, 1, 1, 2, 2, 2], [3, 3, 3, 4, 4, 4]])


def test_training_moves_draws_to_the_data():
    generator, discriminator = parallel_mlp(2, 2, (), 1, 0), parallel_mlp(1, 1, (8,), 3, 1, "tanh")
    samples = np.float32(np.random.default_rng(0).normal(3, 0.3, (200, 1)))
    before = generator.get_weights(), discriminator.get_weights()
    losses = train_mad_gan(generator, discriminator, samples, 150, generators=2, batch_size=16, learning_rate=0.02)
    assert losses.shape == (150, 2)
    assert np.all(generator.get_weights()[1] > 1.0)
    assert any(np.any(a != b) for a, b in zip(before[1], discriminator.get_weights(), strict=True))


LOGITS = np.zeros((4, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mad_gan_losses(LOGITS, np.array([0, 1, 2])), "source: expected the shape"),
        (lambda: mad_gan_losses(LOGITS, np.array([0, 1, 1, 1])), "source: expected all whole numbers from 0 to 2"),
        (lambda: mad_gan_losses(LOGITS, np.array([0, 1, 2, 3])), "source: expected all whole numbers from 0 to 2"),
        (lambda: mad_gan_losses(LOGITS, np.array([0, 1, 2, -1])), "source: expected all whole numbers"),
        (lambda: mad_gan_losses(LOGITS, np.array([0.0, 1, 2, 2])), "source: expected all whole numbers"),
        (lambda: mad_gan_value([0.5, 0.5], [[1.0]]), "q: expected the shape"),
        (lambda: mad_gan_value([0.0, 1.0], [[0.5, 0.5]]), "p, q: expected probabilities"),
        (lambda: mad_gan_value([0.5, 0.5], [[1.5, -0.5]]), "p, q: expected probabilities"),
        (lambda: draw_all(None, 3, tf.zeros((1, 4, 2))), "noise: expected a batch that 3 generators can share"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

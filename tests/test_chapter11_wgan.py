"""The critic: its loss, its clipped weights, and the bound that makes it a distance."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from kerasnotes.chapter11.gan import parallel_mlp
from kerasnotes.chapter11.wgan import (
    clip_weights,
    critic_loss,
    rank_correlation,
    train_wgan,
    wgan_generator_loss,
)


def draw(seed):
    return tf.random.stateless_normal((2, 16, 1), seed)


def test_losses_by_hand():
    real, fake = tf.constant([1.0, 3.0]), tf.constant([-1.0, 2.0])
    assert float(critic_loss(real, fake)) == -1.5
    assert float(critic_loss(real[:, None], fake[:, None])) == -1.5
    assert float(wgan_generator_loss(fake)) == -0.5
    by_run = critic_loss(tf.stack([real, fake])[..., None], tf.zeros((2, 2, 1)))
    np.testing.assert_allclose(by_run, [-2.0, -0.5])


def test_there_is_no_sigmoid():
    """A loss that is linear in the values: adding a constant to all changes nothing, doubling doubles."""
    real, fake = draw((0, 0)), draw((0, 1))
    np.testing.assert_allclose(critic_loss(2 * real + 1e3, 2 * fake + 1e3), 2 * critic_loss(real, fake), atol=1e-3)


def test_no_critic_of_slope_1_exceeds_the_distance():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=50), rng.normal(1.0, 2.0, size=50)
    distance = stats.wasserstein_distance(real, fake)
    for shift in np.linspace(-2, 2, 9):
        for critic in (np.sin, np.tanh, np.abs, lambda x: -x):
            assert -critic_loss(critic(real + shift), critic(fake + shift)) <= distance + 1e-6


def test_clipping():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    model.set_weights([np.linspace(-1, 1, 12).reshape(3, 4), np.full(4, 0.2)])
    clip_weights(model, 0.5)
    np.testing.assert_allclose(model.get_weights()[0], np.clip(np.linspace(-1, 1, 12).reshape(3, 4), -0.5, 0.5))
    np.testing.assert_allclose(model.get_weights()[1], np.full(4, 0.2))


def test_a_limit_for_each_run():
    model = parallel_mlp(2, 3, (4,), 1)
    clip_weights(model, np.float32([0.01, 0.1])[:, None, None])
    for weight in model.get_weights():
        assert np.abs(weight[0]).max() <= np.float32(0.01)
    assert np.abs(model.get_weights()[0][1]).max() == np.float32(0.1)


def test_weights_stay_inside_after_every_step():
    generator, critic = parallel_mlp(2, 1, (8,), 1, 0), parallel_mlp(2, 1, (8,), 1, 1)
    sizes = []

    def record(step):
        sizes.append(max(np.abs(weight).max() for weight in critic.get_weights()))

    train_wgan(generator, critic, lambda s: draw(s) + 3, draw, 6, critic_steps=1, learning_rate=0.05, limit=0.02,
               every=1, record=record)  # fmt: skip
    assert max(sizes[1:]) <= np.float32(0.02)
    assert max(np.abs(weight).max() for weight in generator.get_weights()) > 0.05  # the generator's are free


def test_the_optimizer_is_rmsprop_without_momentum():
    """One step of each player from a start of its own equals a step of Keras's RMSprop on the same gradient."""
    generator, critic = parallel_mlp(2, 1, (4,), 1, 0), parallel_mlp(2, 1, (4,), 1, 1)
    clip_weights(critic, 1.0)
    start = [weight.copy() for weight in critic.get_weights()]
    real = tf.ones((2, 3, 1))
    noise = 0.5 * tf.ones((2, 3, 1))
    with tf.GradientTape() as tape:
        loss = critic_loss(critic(real), critic(generator(noise)))
    gradients = tape.gradient(loss, critic.trainable_variables)
    train_wgan(generator, critic, lambda s: real, lambda s: noise, 1, critic_steps=1, learning_rate=0.01, limit=1.0)
    expected = [keras.Variable(weight) for weight in start]
    keras.optimizers.RMSprop(0.01).apply(gradients, expected)
    for got, want in zip(critic.get_weights(), expected, strict=True):
        np.testing.assert_allclose(got, np.clip(want, -1, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlation_equals_scipy(ties):
    a, b = np.random.default_rng(3).normal(size=(2, 40))
    b += a
    if ties:
        a, b = np.round(a), np.round(b)
    assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert rank_correlation(a, np.exp(a)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: critic_loss(tf.ones((2, 2)), tf.ones(2)), "real: expected the shape"),
        (lambda: critic_loss(tf.ones(2), tf.ones((0, 1))), "fake: expected numbers"),
        (lambda: wgan_generator_loss(3.0), "fake: expected"),
        (lambda: clip_weights(parallel_mlp(1, 1, (), 1), 0.0), "limit: expected a positive number"),
        (lambda: clip_weights(parallel_mlp(1, 1, (), 1), float("nan")), "limit: expected a positive number"),
        (lambda: clip_weights(keras.Sequential([keras.layers.Dense(1)]), 0.1), "model: expected trainable weights"),
        (lambda: rank_correlation([1, 2], [1, 2, 3]), "a, b: expected two series"),
        (lambda: rank_correlation([1, 2], [1, np.nan]), "a, b: expected finite values"),
        (lambda: rank_correlation([1, 2], [1, 1]), "a, b: expected series that vary"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

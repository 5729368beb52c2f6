"""WGAN-GP: the critic, the training step against one tape, and reproducible training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter11.wgan_gp import (
    build_critic,
    gradient_penalty,
    train_wgan_gp,
    wgan_gp_step,
)


def samples(shape, seed=0, dtype=tf.float32):
    rng = np.random.default_rng(seed)
    return [tf.constant(rng.normal(size=shape), dtype) for _ in range(2)]


def test_the_critic():
    critic, images = build_critic((2, 3, 4), seed=1), samples((5, 28, 28, 1))[0]
    assert critic(images).shape == (5, 1)
    assert critic.count_params() == 16 * 2 + 2 + 16 * 6 + 3 + 16 * 12 + 4 + 16 * 4 + 1
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in critic.layers)
    together, alone = critic(images, training=True), [critic(images[i : i + 1], training=True) for i in range(5)]
    np.testing.assert_allclose(together, tf.concat(alone, axis=0), rtol=1e-4, atol=1e-5)  # each for itself
    np.testing.assert_array_equal(critic(images), build_critic((2, 3, 4), seed=1)(images))
    assert not np.allclose(critic(images), build_critic((2, 3, 4), seed=2)(images))
    maps = [layer.output.shape[1:] for layer in critic.layers if isinstance(layer, keras.layers.Conv2D)]
    assert maps == [(14, 14, 2), (7, 7, 3), (4, 4, 4)]


def test_the_critics_activation_is_a_leaky_relu():
    critic, images = build_critic((2, 3, 4)), samples((5, 28, 28, 1))[0]
    x = images
    for layer in critic.layers:
        if isinstance(layer, keras.layers.Conv2D):
            x = keras.layers.LeakyReLU(0.2)(layer(x))
    np.testing.assert_allclose(critic.layers[-1](tf.reshape(x, (5, -1))), critic(images), rtol=1e-4, atol=1e-5)


def pair(units=4, latent_size=3):
    """A small generator and a critic of another kind than the lesson's: the training takes any two that fit."""
    layers, start = keras.layers, keras.initializers.GlorotNormal
    drawing = [layers.Input((latent_size,)), layers.Dense(units, "relu", kernel_initializer=start(1)),
               layers.Dense(784, "tanh", kernel_initializer=start(2)), layers.Reshape((28, 28, 1))]  # fmt: skip
    judging = [layers.Input((28, 28, 1)), layers.Flatten(), layers.Dense(2 * units, "elu", kernel_initializer=start(3)),
               layers.Dense(1, kernel_initializer=start(4))]  # fmt: skip
    return keras.Sequential(drawing), keras.Sequential(judging)


def batches(critic_steps=1, batch_size=5):
    rng = np.random.default_rng(4)
    real = np.float32(rng.uniform(-1, 1, (critic_steps, batch_size, 28, 28, 1)))
    return real, rng.standard_normal((critic_steps + 1, batch_size, 3), np.float32)


def test_one_step_of_each_against_a_tape():
    real, noise = batches()
    generator, critic = pair()
    drawn = generator(noise[0], training=True)
    with tf.GradientTape() as tape:
        estimate = tf.reduce_mean(critic(real[0])) - tf.reduce_mean(critic(drawn))
        slope_error = gradient_penalty(critic, real[0], drawn, (7, 0))
        loss = 2.5 * slope_error - estimate
    want = [w - 0.1 * g for w, g in zip(critic.trainable_variables, tape.gradient(loss, critic.trainable_variables),
                                        strict=True)]  # fmt: skip
    generator, critic = pair()
    still = [weight.numpy() for weight in generator.trainable_variables]
    got = wgan_gp_step(generator, critic, keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.1), real, noise, 7, 2.5)
    np.testing.assert_allclose(got, [estimate, slope_error], rtol=1e-5)
    for a, b in zip(critic.trainable_variables, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    for a, b in zip(generator.trainable_variables, still, strict=True):
        np.testing.assert_array_equal(a, b)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(critic(generator(noise[1], training=True)))
    want = [w - g for w, g in zip(generator.trainable_variables, tape.gradient(loss, generator.trainable_variables),
                                  strict=True)]  # fmt: skip
    wgan_gp_step(generator, critic, keras.optimizers.SGD(1.0), keras.optimizers.SGD(0.0), real, noise, 7, 2.5)
    for a, b in zip(generator.trainable_variables, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("critic_steps", [1, 5])
def test_steps_of_the_critic_for_one_of_the_generator(critic_steps):
    optimizers = keras.optimizers.Adam(), keras.optimizers.Adam()
    wgan_gp_step(*pair(), *optimizers, *batches(critic_steps), 0)
    assert [int(optimizer.iterations) for optimizer in optimizers] == [1, critic_steps]


def test_training_is_reproducible_and_reports():
    images = batches(1, 20)[0][0]
    results, seen = [], []
    for seed in (0, 0, 1):
        results.append(train_wgan_gp(*pair(), images, 4, batch_size=4, critic_steps=2, every=2, seed=seed,
                                     watch=seen.append))  # fmt: skip
    assert results[0].shape == (4, 2)  # chunks of one length have one trace
    assert np.isfinite(results[0]).all()
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.allclose(results[0], results[2])
    assert seen == [2, 4] * 3


def test_training_learns_one_picture():
    picture = np.full((1, 28, 28, 1), -1, np.float32)
    picture[:, :14] = 1
    generator, critic = pair(8, 2)
    noise = np.random.default_rng(0).standard_normal((64, 2), np.float32)
    before = np.abs(generator(noise, training=True) - picture).mean()
    train_wgan_gp(generator, critic, np.repeat(picture, 16, axis=0), 60, batch_size=16, every=60, learning_rate=0.01)
    assert np.abs(generator(noise, training=True) - picture).mean() < before / 2


def test_every_step_interpolates_with_a_seed_of_its_own(monkeypatch):
    """The steps are replaced by one that only says which seed it got."""

    def step(generator, critic, generator_optimizer, critic_optimizer, real, noise, seed, penalty):
        return tf.stack([tf.cast(seed % 1000, tf.float32), 0.0])

    monkeypatch.setattr("kerasnotes.chapter11.wgan_gp.wgan_gp_step", step)
    generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    critic = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    history = train_wgan_gp(generator, critic, np.zeros((8, 3), "float32"), 7, batch_size=4, every=3, seed=1)
    assert len(set(history[:, 0])) == 7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_critic((4, 0, 4)), "channels: expected a whole number"),
        (lambda: build_critic((4, 4)), "channels: expected three positive whole numbers"),
        (lambda: wgan_gp_step(*pair(), None, None, *batches(), 0, penalty=-1.0), "penalty: expected"),
        (lambda: wgan_gp_step(*pair(), None, None, batches(2)[0], batches(1)[1], 0), "noise: expected the shape"),
        (lambda: train_wgan_gp(*pair(), batches()[0][0], 0), "steps"),
        (lambda: train_wgan_gp(*pair(), batches()[0][0], 1, critic_steps=0), "critic_steps: expected"),
        (lambda: train_wgan_gp(*pair(), batches()[0][0], 1, learning_rate=0.0), "learning_rate: expected"),
        (lambda: train_wgan_gp(*pair(), batches()[0][0], 1, beta_2=1.0), "beta_2: expected"),
        (lambda: train_wgan_gp(*pair(), batches()[0][0], 1, penalty=np.nan), "penalty: expected"),
        (lambda: train_wgan_gp(*pair(), np.zeros((0, 28, 28, 1)), 1), "images: expected"),
        (lambda: train_wgan_gp(*pair(), batches()[0][0] * np.nan, 1), "images: expected finite"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""The two players' steps, their training, and the mean of the weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter11.gan import (
    average_weights,
    discriminator_step,
    generator_step,
    train_gan,
)
from kerasnotes.chapter11.saturation import discriminator_loss, generator_loss
from kerasnotes.chapter11.side_by_side import parallel_mlp


def numbers(*shape, seed=0, scale=1.0):
    return tf.constant(np.random.default_rng(seed).normal(scale=scale, size=shape), tf.float32)


def test_each_step_moves_one_player_downhill():
    generator, discriminator = parallel_mlp(1, 2, (8,), 1, 0), parallel_mlp(1, 1, (8,), 1, 1)
    real, noise = numbers(1, 32, 1, seed=3), numbers(1, 32, 2, seed=4)
    before = [model.get_weights() for model in (generator, discriminator)]
    first = discriminator_step(generator, discriminator, keras.optimizers.SGD(0.05), real, noise)
    assert float(first[0]) > float(discriminator_loss(discriminator(real), discriminator(generator(noise)))[0])
    assert all(np.array_equal(a, b) for a, b in zip(before[0], generator.get_weights(), strict=True))
    before[1] = discriminator.get_weights()
    first = generator_step(generator, discriminator, keras.optimizers.SGD(0.05), noise)
    assert float(first[0]) > float(generator_loss(discriminator(generator(noise)))[0])
    assert all(np.array_equal(a, b) for a, b in zip(before[1], discriminator.get_weights(), strict=True))


def test_plain_keras_models_learn_where_a_hill_lies():
    layers = [keras.layers.Dense(8, "relu", kernel_initializer=keras.initializers.GlorotUniform(1))]
    layers.append(keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(2)))
    discriminator = keras.Sequential([keras.Input((1,)), *layers])
    generator = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    draw = lambda seed: tf.random.stateless_normal((32, 1), seed)  # noqa: E731
    history = train_gan(
        generator, discriminator, lambda seed: 2.0 + draw(seed), draw, 300, learning_rate=0.02, every=100
    )
    assert history["step"].tolist() == [100, 200, 300]
    assert np.isfinite(history["generator"]).all()
    assert generator.layers[0].get_weights()[1][0] > 1.0


def test_the_mean_of_the_weights():
    moments = [[np.array([1.0, 2.0]), np.array([[4.0]])], [np.array([3.0, 6.0]), np.array([[0.0]])]]
    mean = average_weights(moments)
    np.testing.assert_array_equal(mean[0], [2.0, 4.0])
    np.testing.assert_array_equal(mean[1], [[2.0]])
    np.testing.assert_array_equal(average_weights(moments[:1])[0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: average_weights([]), "moments: expected the weights of at least one moment"),
        (lambda: average_weights([[np.ones(1)], []]), "zip"),
        (
            lambda: train_gan(*[parallel_mlp(1, 1, (), 1)] * 2, tf.identity, tf.identity, 0),
            "steps: expected a whole number",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

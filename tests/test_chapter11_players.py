"""Players against plain descent, Keras's training, and the steps of earlier lessons."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter11.gan import discriminator_step, generator_step
from kerasnotes.chapter11.players import Player, draw_batches, play, two_players
from kerasnotes.chapter11.saturation import discriminator_loss, generator_loss


def dense(inputs, units, seed=0):
    layer = keras.layers.Dense(units, kernel_initializer=keras.initializers.GlorotUniform(seed))
    return keras.Sequential([keras.Input((inputs,)), layer])


def test_a_turn_is_a_step_of_adam():
    model, again = dense(2, 1), dense(2, 1)
    x = tf.constant([[1.0, -2.0], [0.5, 3.0]])
    player = Player([model], lambda x: tf.reduce_sum(model(x) ** 2), 0.02, 0.3, 0.8)
    optimizer = keras.optimizers.Adam(0.02, 0.3, 0.8)
    for _ in range(3):
        with tf.GradientTape() as tape:
            want = tf.reduce_sum(again(x) ** 2)
        optimizer.apply(tape.gradient(want, again.trainable_variables), again.trainable_variables)
        np.testing.assert_allclose(player.turn(x), want, rtol=1e-6)
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_player_owns_the_weights_of_all_its_networks():
    models = dense(2, 3), dense(3, 1)
    player = Player(models, lambda x: tf.reduce_sum(models[1](models[0](x))))
    assert [weight.shape for weight in player.weights] == [(2, 3), (3,), (3, 1), (1,)]
    before = [weight.numpy() for weight in player.weights]
    player.turn(tf.ones((1, 2)))
    assert all(np.any(old != new.numpy()) for old, new in zip(before, player.weights, strict=True))


def test_turns_in_the_order_of_the_list():
    """Each player halves or adds to what the other has left: the losses tell the order."""
    a, b = dense(1, 1, 1), dense(1, 1, 2)
    for model in (a, b):
        model.set_weights([np.ones((1, 1)), np.zeros(1)])
    x = tf.ones((1, 1))
    players = [Player([each], lambda *_: tf.reduce_sum(a(x) * b(x)), 0.1) for each in (a, b)]
    for player in players:
        player.optimizer = keras.optimizers.SGD(0.25)
        player.optimizer.build(player.weights)
    losses = play([players[0], players[1], players[0]], draw_batches(1, 1, 1), 1)
    # a: 1, b: 1; each step moves weight and bias by 1/4 of the other's value
    assert losses[0] == pytest.approx([1.0, 0.5, 0.5 * 0.75])


def test_the_steps_of_a_gan():
    generator, discriminator = dense(3, 2, 3), dense(2, 1, 4)
    start = generator.get_weights(), discriminator.get_weights()
    samples = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    order, noise = draw_batches(30, 8, 3, seed=5)(0, 4)
    players = two_players(generator, discriminator, samples, discriminator_loss, generator_loss, learning_rate=0.01)
    losses = play(players, draw_batches(30, 8, 3, seed=5), 4)
    trained = generator.get_weights() + discriminator.get_weights()
    generator.set_weights(start[0]), discriminator.set_weights(start[1])
    optimizers, want = [keras.optimizers.Adam(0.01, 0.5) for _ in range(2)], []
    for each, z in zip(order, noise, strict=True):
        first = discriminator_step(generator, discriminator, optimizers[0], samples[each], z)
        want.append([first, generator_step(generator, discriminator, optimizers[1], z)])
    np.testing.assert_allclose(losses, want, rtol=1e-5)
    for ours, theirs in zip(trained, generator.get_weights() + discriminator.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_penalty_is_added_to_the_discriminators_loss_only():
    generator, discriminator = dense(3, 2), dense(2, 1)
    samples, seen = np.float32([[1, 2], [3, 4], [5, 6]]), []

    def penalty(real, drawn, seed):
        seen.append((real.numpy(), drawn.shape, seed.numpy()))
        return 7.0

    arguments = generator, discriminator, samples, discriminator_loss, generator_loss
    plain, more = two_players(*arguments), two_players(*arguments, penalty=penalty)
    drawn = np.int32([2, 0]), np.ones((2, 3), np.float32)
    difference = [float(b.loss(*drawn) - a.loss(*drawn)) for a, b in zip(plain, more, strict=True)]
    assert difference == pytest.approx([7.0, 0.0], abs=1e-5)
    real, shape, seed = seen[0]
    np.testing.assert_array_equal(real, samples[[2, 0]])
    assert shape == (2, 2)
    assert seed.tolist() == [2, 0]


def test_draws():
    order, noise = draw_batches(10, (3, 4), 2, seed=1)(0, 500)
    assert order.shape == (500, 3, 4)
    assert noise.shape == (500, 3, 4, 2)
    assert (order.dtype, noise.dtype) == (np.int32, np.float32)
    assert set(order.ravel()) == set(range(10))
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 1) < 0.05
    again = draw_batches(10, (3, 4), 2, seed=1)(0, 500)[0]
    np.testing.assert_array_equal(order, again)
    assert np.any(order != draw_batches(10, (3, 4), 2, seed=2)(0, 500)[0])
    assert draw_batches(10, 4, 2)(0, 5)[0].shape == (5, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Player([], None), "networks: expected trainable weights"),
        (lambda: Player([keras.Sequential([keras.layers.Dense(2)])], None), "call each network once to build it"),
        (lambda: Player([dense(1, 1)], None, 0.0), "learning_rate: expected a positive number"),
        (lambda: Player([dense(1, 1)], None, 0.1, 1.0), "beta_1: expected a number from 0 and below 1"),
        (lambda: Player([dense(1, 1)], None, 0.1, 0.5, -0.1), "beta_2: expected a number from 0 and below 1"),
        (lambda: play([], draw_batches(1, 1, 1), 1), "players: expected at least one"),
        (lambda: play([Player([dense(1, 1)], None)], draw_batches(1, 1, 1), 0), "steps: expected a whole number"),
        (lambda: draw_batches(0, 1, 1), "samples: expected a whole number"),
        (lambda: draw_batches(1, (2, 0), 1), "batch_size: expected a whole number"),
        (lambda: draw_batches(1, 1, 1.5), "latent_size: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

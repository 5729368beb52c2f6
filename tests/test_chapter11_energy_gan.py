"""Energies, the three members' formulas, and which way their players move."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter11.energy_gan import (
    BeganBalance,
    began_players,
    ebgan_losses,
    ebgan_players,
    energy,
    magan_margin,
)
from kerasnotes.chapter11.side_by_side import parallel_mlp


def test_energy_is_keras_absolute_error():
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    model = parallel_mlp(2, 3, (4,), 3)
    want = keras.losses.mean_absolute_error(x, model(x))
    np.testing.assert_allclose(energy(model, x), want, rtol=1e-5)
    assert energy(model, x).shape == (2, 5)


def test_ebgan_by_hand_and_slopes():
    rng = np.random.default_rng(1)
    real, fake = (tf.constant(rng.uniform(0, 2, (3, 6)), tf.float32) for _ in range(2))
    margin = np.float32([0.5, 1.0, 3.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        critic, generator = ebgan_losses(real, fake, margin)
    want = real.numpy().mean(1) + np.maximum(margin[:, None] - fake.numpy(), 0).mean(1)
    np.testing.assert_allclose(critic, want, rtol=1e-5)
    np.testing.assert_allclose(generator, fake.numpy().mean(1), rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(critic, fake), -np.float32(fake.numpy() < margin[:, None]) / 6, rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(critic, real), np.full((3, 6), 1 / 6), rtol=1e-6)
    one = ebgan_losses(real[0], fake[0], 0.5)
    np.testing.assert_allclose(one, [critic[0], generator[0]], rtol=1e-6)


def test_the_balance():
    balance = BeganBalance(0.5, 0.1, runs=2)
    np.testing.assert_allclose(balance.update(np.float32([1, 2]), np.float32([0.1, 0.4])), [0.04, 0.06], rtol=1e-5)
    np.testing.assert_allclose(balance.losses(np.float32([1, 2]), np.float32([1, 1]))[0], [0.96, 1.94], rtol=1e-5)
    np.testing.assert_allclose(balance.update(np.float32([0, 99]), np.float32([9, 0])), [0, 1])
    assert balance.convergence(2.0, 0.6) == pytest.approx(2.4)
    assert balance.convergence(2.0, 1.4) == pytest.approx(2.4)


def test_the_margin_falls_under_three_conditions():
    assert magan_margin(0.5, 0.4, 0.6, 0.6) == 0.4
    kept = [(0.5, 0.5, 0.6, 0.6), (0.5, 0.4, 0.4, 0.3), (0.5, 0.4, 0.6, 0.7)]
    assert [float(magan_margin(*each)) for each in kept] == [0.5, 0.5, 0.5]
    np.testing.assert_array_equal(magan_margin([0.5, 0.5], [0.4, 0.6], [0.7, 0.7], [0.1, 0.1]), [0.4, 0.5])


@pytest.fixture
def pair():
    return parallel_mlp(2, 2, (4,), 3, 0), parallel_mlp(2, 3, (2,), 3, 1)


def test_losses_of_the_players(pair):
    generator, autoencoder = pair
    samples = np.random.default_rng(2).normal(size=(10, 3)).astype(np.float32)
    order, noise = np.arange(10, dtype=np.int32).reshape(2, 5), np.ones((2, 5, 2), np.float32)
    real, fake = energy(autoencoder, samples[order]), energy(autoencoder, generator(noise))
    margin = tf.Variable([0.1, 5.0])
    tell, fool = ebgan_players(generator, autoencoder, samples, margin)
    want = ebgan_losses(real, fake, margin)
    np.testing.assert_allclose([p.loss(order, noise) for p in (tell, fool)], np.sum(want, axis=1), rtol=1e-5)

    balance = BeganBalance(0.5, 0.1, runs=2)
    balance.k.assign([0.2, 0.6])
    tell, fool = began_players(generator, autoencoder, samples, balance)
    means = np.mean(real, axis=1), np.mean(fake, axis=1)
    np.testing.assert_allclose(tell.loss(order, noise), np.sum(means[0] - np.float32([0.2, 0.6]) * means[1]), rtol=1e-5)
    np.testing.assert_allclose(balance.k, np.clip([0.2, 0.6] + 0.1 * (0.5 * means[0] - means[1]), 0, 1), rtol=1e-5)
    np.testing.assert_allclose(fool.loss(order, noise), means[1].sum(), rtol=1e-5)


def test_only_the_critics_turn_moves_k(pair):
    balance = BeganBalance(0.5, 0.1, runs=2)
    tell, fool = began_players(*pair, np.ones((10, 3), np.float32), balance)
    drawn = np.zeros((2, 5), np.int32), np.ones((2, 5, 2), np.float32)
    fool.turn(*drawn)
    np.testing.assert_array_equal(balance.k, [0, 0])
    tell.turn(*drawn)
    assert np.any(np.array(balance.k) > 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ebgan_losses(np.zeros(0), np.ones(2), 1.0), "real_energy: expected numbers"),
        (lambda: BeganBalance(0.0), "gamma: expected a number above 0 to 1"),
        (lambda: BeganBalance(1.5), "gamma: expected a number above 0 to 1"),
        (lambda: BeganBalance(0.5, 0.0), "rate: expected a positive number"),
        (lambda: magan_margin(0.5, np.nan, 0.6, 0.6), "expected finite numbers"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

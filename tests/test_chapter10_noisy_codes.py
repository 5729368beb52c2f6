"""Plain and variational coders from the same start, spoilt codes by hand, and the errors."""

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter10.likelihood_bounds import pixel_cross_entropy
from kerasnotes.chapter10.noisy_codes import PlainAutoencoder, build_coder, spoil
from kerasnotes.chapter10.vae import VAE


def images(samples=20, pixels=6, seed=0):
    return np.float32(np.random.default_rng(seed).random((samples, pixels)))


def test_both_kinds_start_alike():
    models = [build_coder(kind, 6, 2, 5, 10, seed=3) for kind in (PlainAutoencoder, VAE)]
    for model in models:
        model(images())
    assert len(models[0].weights) == len(models[1].weights)
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_plain_ones_loss_is_that_of_the_code_without_noise():
    model, x = build_coder(PlainAutoencoder, 6, 2, 5, 10), images()
    loss, reconstruction, kl = model.losses_of(x)
    want = np.mean(pixel_cross_entropy(x, model.decoder(model.encoder(x)[0])))
    np.testing.assert_allclose([loss, reconstruction, kl], [want, want, 0.0], rtol=1e-6)


def test_the_plain_one_learns_and_leaves_what_it_does_not_use():
    model, x = build_coder(PlainAutoencoder, 6, 2, 8, 40), images()
    before, unused = float(model.losses_of(x)[0]), model.encoder.log_variance.get_weights()
    model.fit(x, batch_size=20, epochs=40, verbose=0)
    assert float(model.losses_of(x)[0]) < before
    for one, other in zip(unused, model.encoder.log_variance.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_in_the_unit_of_each_numbers_spread(dtype):
    codes = (np.random.default_rng(0).normal(size=(20000, 3)) * [0.1, 1.0, 30.0] + 5).astype(dtype)
    noise = spoil(codes, 0.5, seed=1).numpy() - codes
    assert spoil(codes, 0.5, seed=1).dtype == dtype
    np.testing.assert_allclose(noise.std(axis=0) / codes.std(axis=0), 0.5, rtol=0.03)
    np.testing.assert_allclose(noise.mean(axis=0) / codes.std(axis=0), 0, atol=0.02)
    np.testing.assert_array_equal(spoil(codes, 0.0, seed=1), codes)
    np.testing.assert_array_equal(spoil(codes, 0.5, seed=1), spoil(tf.constant(codes), 0.5, seed=1))


def test_numbers_that_carry_nothing_get_no_noise():
    np.testing.assert_array_equal(spoil(np.ones((5, 2)), 1.0, seed=0), np.ones((5, 2)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spoil(np.zeros(3), 0.1, 0), r"codes: expected the shape \(any, any\)"),
        (lambda: spoil(np.zeros((2, 3)), -0.1, 0), "size: expected a number of at least 0, got -0.1"),
        (lambda: spoil(np.zeros((2, 3)), np.nan, 0), "size: expected a number of at least 0, got nan"),
        (lambda: build_coder(VAE, 6, 0, 5, 10), "latent_size: expected a whole number of at least 1, got 0"),
        (lambda: build_coder(VAE, 6, 2, 5, 0), "steps: expected a whole number of at least 1, got 0"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""The variational autoencoder: gradients through draws, the bound's parts, and its errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes import training
from kerasnotes.chapter10 import likelihood_bounds
from kerasnotes.chapter10 import vae as vae_lesson
from kerasnotes.chapter10.kl_divergence import gaussian_kl_to_standard
from kerasnotes.chapter10.vae import VAE, Decoder, Encoder, elbo, importance_weighted_bound


def small(seed=0, pixels=6, latent_size=2):
    vae = VAE(Encoder(latent_size, (5,), seed), Decoder(pixels, (5,), seed), seed)
    vae.compile(keras.optimizers.Adam(0.01))
    return vae


def images(samples=8, pixels=6, seed=0):
    return np.float32(np.random.default_rng(seed).random((samples, pixels)))


def test_the_weighted_bound_is_an_integral_in_the_limit():
    """One latent number: ln ∫ p(z) p(x | z) dz by quadrature, which many draws approach from below."""
    vae = small(1, pixels=4, latent_size=1)
    vae(np.zeros((1, 4), "float32"))
    for layer in vae.decoder.stack:
        layer.set_weights([3 * weight for weight in layer.get_weights()])
    vae.encoder.set_weights([0 * weight for weight in vae.encoder.get_weights()])  # q(z | x) is the prior
    x = np.float32([[0, 1, 1, 0]])
    z = np.linspace(-8, 8, 4001, dtype="float32")
    logits = vae.decoder(z[:, None]).numpy()
    log_likelihood = -np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
    density = np.exp(log_likelihood - z**2 / 2) / np.sqrt(2 * np.pi)
    want = np.log(np.sum(density) * (z[1] - z[0]))
    got = float(importance_weighted_bound(x, vae, 600, seed=2)[0])
    assert got == pytest.approx(want, abs=0.1)
    many = np.repeat(x, 500, axis=0)
    assert float(tf.reduce_mean(elbo(many, vae, 4))) < want


def test_parts_add_up_and_agree_with_the_bound():
    vae, x = small(2), images()
    total, reconstruction, kl = (float(value) for value in vae.losses_of(x))
    assert total == pytest.approx(reconstruction + kl, rel=1e-6)
    assert kl == pytest.approx(float(tf.reduce_mean(gaussian_kl_to_standard(*vae.encoder(x)))), rel=1e-6)
    many = np.repeat(x[:1], 4000, axis=0)  # the same bound, with other draws
    bound = float(-tf.reduce_mean(elbo(many, vae, 0)))
    assert float(vae.losses_of(many)[0]) == pytest.approx(bound, rel=0.01)


def test_the_gradient_reaches_the_encoder():
    vae, x = small(3), images()
    with tf.GradientTape() as tape:
        _, reconstruction, _ = vae.losses_of(x)
    variables = [weight.value for weight in vae.encoder.trainable_weights]
    assert all(float(tf.norm(gradient)) > 0 for gradient in tape.gradient(reconstruction, variables))


def test_it_trains_with_fit_and_one_seed_gives_one_result():
    x = images(64)
    results = []
    for _ in range(2):
        vae = small(4)
        history = training.fit(vae, x, batch_size=16, epochs=5, form="loop").history
        results.append((history["loss"], vae.get_weights()))
    for first, second in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_array_equal(first, second)
    # TensorFlow may add the parts of the running mean in another order, in Keras's fit as well: the last bit is free.
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6)
    assert results[0][0][-1] < results[0][0][0]
    assert set(history) == {"loss", "reconstruction", "kl"}


def test_a_step_goes_down_the_whole_loss():
    x, rate = images(), 0.1
    ours, by_hand = small(5), small(5)
    for vae in (ours, by_hand):
        vae(x)  # makes the weights
        vae.compile(keras.optimizers.SGD(rate))
    with tf.GradientTape() as tape:
        losses = by_hand.losses_of(x)
    slopes = tape.gradient(losses[0], [weight.value for weight in by_hand.trainable_weights])
    want = [weight - rate * slope for weight, slope in zip(by_hand.get_weights(), slopes, strict=True)]
    shown = ours.train_step((x,))
    for got, weight in zip(ours.get_weights(), want, strict=True):
        np.testing.assert_allclose(got, weight, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose([shown[name] for name in ("loss", "reconstruction", "kl")], losses, rtol=1e-5)
    np.testing.assert_array_equal(small(5)(x), by_hand.decoder(by_hand.encoder(x)[0]))


def test_labels_beside_the_images_are_not_looked_at():
    x = images()
    alone, beside = small(6).test_step((x,)), small(6).test_step((x, np.arange(8)))
    np.testing.assert_array_equal([alone[name] for name in alone], [beside[name] for name in beside])


def test_layers_and_their_starts():
    encoder, decoder = Encoder(2), Decoder()
    mean, log_variance = encoder(images(3, 784))
    assert decoder(mean).shape == (3, 784)
    shapes = [weight.shape for weight in (*encoder.weights, *decoder.weights) if len(weight.shape) == 2]
    assert shapes == [(784, 400), (400, 2), (400, 2), (2, 400), (400, 784)]
    assert not np.allclose(mean, log_variance)
    activations = [layer.activation for layer in (*encoder.hidden, encoder.mean, encoder.log_variance, *decoder.stack)]
    relu, linear = keras.activations.relu, keras.activations.linear
    assert activations == [relu, linear, linear, relu, linear]
    assert encoder.hidden[0].get_weights()[0].std() == pytest.approx(np.sqrt(2 / 784), rel=0.02)  # He's
    assert decoder.stack[1].get_weights()[0].std() == pytest.approx(np.sqrt(2 / 1184), rel=0.02)  # Glorot's


def test_sizes_are_counted():
    with pytest.raises(ValueError, match="latent_size: expected a whole number of at least 1, got 0"):
        Encoder(0)
    with pytest.raises(ValueError, match="hidden: expected a whole number of at least 1, got -1"):
        Decoder(10, (5, -1))


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "bool"])
def test_keras_fits_it_also_where_the_last_batch_is_short(dtype):
    """50 rows in batches of 16: Keras traces a batch of unknown size."""
    vae = VAE(Encoder(2, (8,)), Decoder(12, (8,)))
    vae.compile("adam")
    x = (np.random.default_rng(0).random((50, 12)) < 0.5).astype(dtype)
    history = vae.fit(x, batch_size=16, epochs=2, validation_data=(x[:5],), verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert set(vae.evaluate(x[:1], verbose=0, return_dict=True)) == {"loss", "reconstruction", "kl"}
    assert vae.predict(x, batch_size=16, verbose=0).shape == (50, 12)


def test_names_stay_where_they_were():
    for name in ("elbo", "importance_weighted_bound"):
        assert getattr(vae_lesson, name) is getattr(likelihood_bounds, name)

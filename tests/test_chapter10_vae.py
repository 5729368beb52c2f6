"""The variational autoencoder: gradients through draws, the bound's parts, and its errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes import training
from kerasnotes.chapter10.kl_divergence import gaussian_kl_to_standard
from kerasnotes.chapter10.vae import VAE, Decoder, Encoder, Sampling, elbo, importance_weighted_bound


def small(seed=0, pixels=6, latent_size=2):
    vae = VAE(Encoder(latent_size, (5,), seed), Decoder(pixels, (5,), seed), seed)
    vae.compile(keras.optimizers.Adam(0.01))
    return vae


def images(samples=8, pixels=6, seed=0):
    return np.float32(np.random.default_rng(seed).random((samples, pixels)))


class Fixed:
    """An encoder and a decoder that ignore their input, for bounds that can be computed by hand."""

    def __init__(self, mean, log_variance, logits):
        self.parts = mean, log_variance, logits

    def encoder(self, x):
        return tuple(tf.repeat(tf.constant([part], tf.float32), len(x), axis=0) for part in self.parts[:2])

    def decoder(self, z):
        return tf.repeat(tf.constant([self.parts[2]], tf.float32), len(z), axis=0)


def test_a_bound_by_hand():
    """Logits of 0 cost ln 2 a pixel; a code N(1, 1) costs ½ nat."""
    x = images(4, 3)
    want = -3 * np.log(2) - 0.5
    np.testing.assert_allclose(elbo(x, Fixed([1.0], [0.0], [0.0] * 3), 1), want, rtol=1e-6)


def test_a_decoder_that_ignores_the_code_makes_the_weights_equal_under_the_prior():
    """With q(z | x) = p(z) every weight is p(x), so that bound and likelihood agree whatever the number of draws."""
    x = images(4, 3)
    model = Fixed([0.0, 0.0], [0.0, 0.0], [0.3, -0.2, 1.0])
    for samples in (1, 7):
        bound = importance_weighted_bound(x, model, samples, seed=3)
        np.testing.assert_allclose(bound, elbo(x, model, 5), rtol=1e-5)


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


def test_sampling():
    mean, log_variance = tf.fill((50000, 2), 3.0), tf.fill((50000, 2), np.float32(np.log(4.0)))
    draws = Sampling(1)((mean, log_variance)).numpy()
    assert draws.mean(axis=0) == pytest.approx([3, 3], abs=4 * 2 / np.sqrt(50000))
    assert draws.var(axis=0) == pytest.approx([4, 4], rel=4 * np.sqrt(2 / 50000))
    assert abs(np.corrcoef(draws.T)[0, 1]) < 4 / np.sqrt(50000)
    layers = Sampling(1), Sampling(1), Sampling(2)
    first, again, other = (layer((mean[:5], log_variance[:5])).numpy() for layer in layers)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert not np.allclose(first, layers[0]((mean[:5], log_variance[:5])))  # the next draw is another one


def test_it_trains_with_fit_and_one_seed_gives_one_result():
    x = images(64)
    results = []
    for _ in range(2):
        vae = small(4)
        history = training.fit(vae, x, batch_size=16, epochs=5, form="loop").history
        results.append(history["loss"])
    assert results[0] == results[1]
    assert results[0][-1] < results[0][0]
    assert set(history) == {"loss", "reconstruction", "kl"}


@pytest.mark.parametrize("bad", [np.zeros((2, 3, 1), "float32"), np.zeros((0, 3), "float32")])
def test_images_must_be_flat(bad):
    with pytest.raises(ValueError, match=r"x: expected images of the shape \(batch, pixels\)"):
        elbo(bad, Fixed([0.0], [0.0], [0.0] * 3), 0)


@pytest.mark.parametrize("bad", [255.0, -0.1, np.nan])
def test_images_must_lie_between_0_and_1(bad):
    with pytest.raises(ValueError, match=r"x: expected values in \[0, 1\]"):
        importance_weighted_bound(np.full((2, 3), bad, "float32"), Fixed([0.0], [0.0], [0.0] * 3), 2)


def test_other_errors():
    with pytest.raises(ValueError, match="samples: expected at least 1, got 0"):
        importance_weighted_bound(images(2, 3), Fixed([0.0], [0.0], [0.0] * 3), 0)
    with pytest.raises(ValueError, match="latent_size: expected positive whole numbers, got 0"):
        Encoder(0)
    with pytest.raises(ValueError, match="hidden: expected positive whole numbers"):
        Decoder(10, (5, -1))

"""Bounds on a likelihood by hand, over types and batches of any size, and their errors."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from scipy.special import expit, logsumexp

from kerasnotes.chapter10.likelihood_bounds import elbo, importance_weighted_bound, pixel_cross_entropy


def images(samples=8, pixels=6, seed=0):
    return np.float32(np.random.default_rng(seed).random((samples, pixels)))


class Fixed:
    """An encoder and a decoder that ignore their input, for bounds that can be computed by hand."""

    def __init__(self, mean, log_variance, logits):
        self.parts = mean, log_variance, logits

    def encoder(self, x):
        return tuple(tf.repeat(tf.constant([part], tf.float32), tf.shape(x)[0], axis=0) for part in self.parts[:2])

    def decoder(self, z):
        return tf.repeat(tf.constant([self.parts[2]], tf.float32), tf.shape(z)[0], axis=0)


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


class Lines:
    """An encoder and a decoder that are matrices."""

    def __init__(self, seed):
        self.a, self.b, self.c = np.random.default_rng(seed).normal(size=(3, 3, 3)).astype(np.float32)

    def encoder(self, x):
        return x @ self.a, x @ self.b

    def decoder(self, z):
        return z @ self.c


def test_bounds_equal_scipys_densities_of_the_same_draws():
    x, model, rng = images(4, 3), Lines(1), np.random.default_rng(5)
    mean, logs = x @ model.a, x @ model.b
    q, weights = stats.norm(mean, np.exp(logs / 2)), []
    for _ in range(3):
        z = mean + np.exp(logs / 2) * rng.normal(size=(4, 3))
        p = expit(z @ model.c)
        likelihood = np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)
        weights.append(likelihood + stats.norm.logpdf(z).sum(axis=1) - q.logpdf(z).sum(axis=1))
        if len(weights) == 1:
            kl = 0.5 * np.sum(mean**2 + np.exp(logs) - 1 - logs, axis=1)
            np.testing.assert_allclose(elbo(x, model, 5), likelihood - kl, rtol=1e-4)
            np.testing.assert_allclose(importance_weighted_bound(x, model, 1, 5), weights[0], rtol=1e-4)
    want = logsumexp(weights, axis=0) - np.log(3)
    np.testing.assert_allclose(importance_weighted_bound(x, model, 3, 5), want, rtol=1e-4)


def test_one_grey_image_of_one_pixel():
    for grey in (0.0, 0.5, 1.0):
        np.testing.assert_allclose(elbo([[grey]], Fixed([0.0], [0.0], [0.0]), 1), -np.log(2), rtol=1e-6)


@pytest.mark.parametrize(("values", "text"), [([0, 255], "255: divide by 255$"), ([0, 1.5], "1.5: divide by 255$"),
                                              ([0, 256], "256$"), ([-1, 1], "-1 to 1$")])  # fmt: skip
def test_when_dividing_by_255_is_the_remedy(values, text):
    with pytest.raises(ValueError, match=text):
        elbo(np.array([values], np.float32), Fixed([0.0], [0.0], [0.0] * 2), 0)


@pytest.mark.parametrize("bad", [np.zeros((2, 3, 1), "float32"), np.zeros((0, 3), "float32")])
def test_images_must_be_flat(bad):
    with pytest.raises(ValueError, match=r"x: expected images of the shape \(batch, pixels\)"):
        elbo(bad, Fixed([0.0], [0.0], [0.0] * 3), 0)


@pytest.mark.parametrize("bad", [255.0, -0.1, np.nan])
def test_images_must_lie_between_0_and_1(bad):
    with pytest.raises(ValueError, match=r"x: expected values in \[0, 1\]"):
        importance_weighted_bound(np.full((2, 3), bad, "float32"), Fixed([0.0], [0.0], [0.0] * 3), 2)


def test_other_errors():
    with pytest.raises(ValueError, match="samples: expected a whole number of at least 1, got 0"):
        importance_weighted_bound(images(2, 3), Fixed([0.0], [0.0], [0.0] * 3), 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8, bool])
def test_pictures_of_any_type(dtype):
    x = (images(4, 3) < 0.5).astype(dtype)
    want = -3 * np.log(2) - 0.5
    np.testing.assert_allclose(elbo(x, Fixed([1.0], [0.0], [0.0] * 3), 1), want, rtol=1e-6)
    assert importance_weighted_bound(x, Fixed([1.0], [0.0], [0.0] * 3), 3).shape == (4,)


def test_the_remedy_for_pixels_up_to_255():
    with pytest.raises(ValueError, match=r"got 0 to 200: divide by 255"):
        elbo(np.array([[0, 200]], np.uint8), Fixed([0.0], [0.0], [0.0] * 2), 0)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_batch_of_unknown_size(jit_compile):
    model = Fixed([1.0], [0.0], [0.0] * 3)
    spec = [tf.TensorSpec((None, 3))]
    for bound in (elbo, lambda x, vae, seed: importance_weighted_bound(x, vae, 5, seed)):
        compiled = tf.function(lambda x, bound=bound: bound(x, model, 1), input_signature=spec, jit_compile=jit_compile)
        for samples in (1, 4):
            assert compiled(images(samples, 3)).shape == (samples,)
    np.testing.assert_allclose(compiled(images(2000, 3)).numpy().mean(), -3 * np.log(2), atol=0.3)


def test_pixels_equal_the_formula():
    x, logits = images(3, 4), np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    p = 1 / (1 + np.exp(-logits))
    want = -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)
    np.testing.assert_allclose(pixel_cross_entropy(x, tf.constant(logits)), want, rtol=1e-5)

"""Draws and their gradients: moments, seeds, and both estimates against a closed form."""

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter10 import vae
from kerasnotes.chapter10.reparameterization import Sampling, draw_gradients


def test_the_name_stays_where_it_was():
    assert vae.Sampling is Sampling


@pytest.mark.parametrize("log_variance", [-1.0, 0.5])
def test_both_estimates_have_the_slope_as_their_mean(log_variance):
    n = 200_000
    noise = np.random.default_rng(3).normal(size=n)
    through, density = draw_gradients(tf.sin, 0.4, log_variance, noise)
    want = np.cos(0.4) * np.exp(-np.exp(log_variance) / 2)  # d/d mean of E sin z = sin(mean) exp(−σ²/2)
    for estimate in (through.numpy(), density.numpy()):
        assert abs(estimate.mean() - want) < 4.5 * estimate.std() / np.sqrt(n)


def test_estimates_of_one_draw_by_hand():
    """z = 1 + 2 · 0.5 = 2: slopes e² through the draw, e² · (2 − 1) / 4 by the density."""
    through, density = draw_gradients(tf.exp, 1.0, np.log(4.0), np.array([0.5]))
    np.testing.assert_allclose([through, density], [[np.exp(2)], [np.exp(2) / 4]])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_sampling_keeps_the_type_and_takes_any_batch(dtype):
    sampling = Sampling(1, dtype=dtype)
    spec = tf.TensorSpec((None, 2), dtype)
    compiled = tf.function(lambda mean, log: sampling((mean, log)), input_signature=[spec, spec])
    for samples in (0, 1, 3):
        draw = compiled(tf.zeros((samples, 2), dtype), tf.zeros((samples, 2), dtype))
        assert draw.shape == (samples, 2)
        assert draw.dtype == dtype


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

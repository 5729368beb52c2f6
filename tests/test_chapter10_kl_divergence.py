"""The divergence against integration, scipy and sampling; its limits and its errors."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from kerasnotes.chapter10.kl_divergence import (
    gaussian_kl,
    gaussian_kl_to_standard,
    gaussian_log_density,
    monte_carlo_kl,
)

MEANS, LOGS, SEEDS = st.floats(-3, 3), st.floats(-2, 2), st.integers(0, 2**32 - 1)


def column(value):
    return tf.constant([[value]], tf.float64)


@settings(max_examples=30)
@given(MEANS, LOGS, MEANS, LOGS)
def test_equal_to_the_integral(m1, l1, m2, l2):
    one, two = stats.norm(m1, np.exp(l1 / 2)), stats.norm(m2, np.exp(l2 / 2))
    low, high = m1 - 12 * one.std(), m1 + 12 * one.std()
    want, _ = integrate.quad(lambda x: one.pdf(x) * (one.logpdf(x) - two.logpdf(x)), low, high, epsabs=1e-10)
    got = gaussian_kl(column(m1), column(l1), column(m2), column(l2))
    assert float(got[0]) == pytest.approx(want, rel=1e-6, abs=1e-8)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 4), st.integers(1, 5))
def test_log_density_equals_scipy(seed, batch, dimensions):
    rng = np.random.default_rng(seed)
    x, mean, log_variance = rng.normal(size=(3, batch, dimensions))
    want = stats.norm(mean, np.exp(log_variance / 2)).logpdf(x).sum(axis=1)
    np.testing.assert_allclose(gaussian_log_density(x, mean, log_variance), want, rtol=1e-10)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 4), st.integers(1, 5))
def test_properties(seed, batch, dimensions):
    rng = np.random.default_rng(seed)
    m1, l1, m2, l2 = rng.normal(size=(4, batch, dimensions))
    divergence = gaussian_kl(m1, l1, m2, l2).numpy()
    assert divergence.shape == (batch,)
    assert (divergence > 0).all()
    np.testing.assert_allclose(gaussian_kl(m1, l1, m1, l1), np.zeros(batch), atol=1e-12)
    np.testing.assert_allclose(gaussian_kl_to_standard(m1, l1), gaussian_kl(m1, l1, 0 * m1, 0 * l1), rtol=1e-12)
    shifted = gaussian_kl(m1 + 5, l1, m2 + 5, l2)  # only the distance of the means counts
    np.testing.assert_allclose(shifted, divergence, rtol=1e-9)


def test_by_hand():
    assert float(gaussian_kl(column(0.0), column(0.0), column(3.0), column(0.0))[0]) == pytest.approx(4.5)
    assert float(gaussian_kl_to_standard(column(0.0), column(np.log(4.0)))[0]) == pytest.approx(1.5 - np.log(2))


def test_sampling_has_the_error_that_it_states():
    """Over 200 repetitions the estimates spread as their standard errors say, around the closed form."""
    parts = [tf.constant(np.full((200, 2), value)) for value in (0.3, -0.4, -0.2, 0.5)]
    estimate, error = monte_carlo_kl(*parts, 400, seed=1)
    deviations = ((estimate - gaussian_kl(*parts)) / error).numpy()
    assert abs(deviations.mean()) < 4 / np.sqrt(200)
    assert 1 - 4 / np.sqrt(400) < deviations.std() < 1 + 4 / np.sqrt(400)


@pytest.mark.parametrize("samples", [2, 3])
def test_few_samples_by_hand(samples):
    means, logs = np.array([[0.3, -0.4]]), np.array([[0.5, -1.0]])
    noise = np.random.default_rng(7).normal(size=(samples, 1, 2))
    x = means + np.exp(logs / 2) * noise
    one = stats.norm(means, np.exp(logs / 2)).logpdf(x).sum(axis=-1)
    differences = one - stats.norm(0.1, np.exp(0.1)).logpdf(x).sum(axis=-1)
    estimate, error = monte_carlo_kl(means, logs, np.full((1, 2), 0.1), np.full((1, 2), 0.2), samples, 7)
    np.testing.assert_allclose(estimate, differences.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(error, differences.std(axis=0, ddof=1) / np.sqrt(samples), rtol=1e-10)


def test_more_axes_than_two_and_fewer():
    parts = np.random.default_rng(0).normal(size=(4, 2, 3, 4))
    flat = gaussian_kl(*(part.reshape(6, 4) for part in parts))
    np.testing.assert_allclose(gaussian_kl(*parts), np.reshape(flat, (2, 3)), rtol=1e-12)
    np.testing.assert_allclose(gaussian_kl(*parts[:, 0, 0]), flat[0], rtol=1e-12)
    with pytest.raises(ValueError, match=r"expected \(batch, dimensions\)"):
        gaussian_kl_to_standard(tf.zeros((2, 3, 0)), tf.zeros((2, 3, 0)))


def test_one_seed_gives_one_estimate():
    parts = [tf.ones((2, 3))] * 4
    np.testing.assert_array_equal(monte_carlo_kl(*parts, 10, 5)[0], monte_carlo_kl(*parts, 10, 5)[0])


def test_far_tails_do_not_overflow():
    """exp(log variance) alone overflows in float32 at 100, the ratio does not."""
    large = tf.constant([[100.0]])
    assert float(gaussian_kl(tf.zeros((1, 1)), large, tf.zeros((1, 1)), large)[0]) == 0.0


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("dtype", [tf.float16, tf.float32, tf.float64])
def test_a_batch_of_unknown_size(dtype, jit_compile):
    parts = [tf.cast(part, dtype) for part in np.random.default_rng(0).normal(size=(4, 3, 2))]
    specs = [tf.TensorSpec((None, 2), dtype)] * 4
    for function, n in ((gaussian_kl, 4), (gaussian_kl_to_standard, 2)):
        compiled = tf.function(function, input_signature=specs[:n], jit_compile=jit_compile)
        got, want = compiled(*parts[:n]), function(*parts[:n])
        assert got.dtype == want.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=1e-2 if dtype == tf.float16 else 1e-5)
        assert compiled(*(part[:1] for part in parts[:n])).shape == (1,)
        assert compiled(*(part[:0] for part in parts[:n])).shape == (0,)


def test_integers_count_as_numbers_and_one_row_serves_all():
    np.testing.assert_allclose(gaussian_kl_to_standard([[1], [0]], [[0], [0]]), [0.5, 0.0])
    mean = np.float32([[1.0, 2.0], [0.0, 0.0]])
    one = tf.zeros((1, 2))
    np.testing.assert_allclose(gaussian_kl(mean, one, one, one), [2.5, 0.0])
    np.testing.assert_allclose(gaussian_kl(one, one, mean, tf.zeros((2, 2))), [2.5, 0.0])


def test_errors():
    two, three = tf.zeros((1, 2)), tf.zeros((1, 3))
    with pytest.raises(ValueError, match=r"Incompatible shapes.*\(1, 3\)"):
        gaussian_kl(two, two, three, three)
    with pytest.raises(ValueError, match=r"expected \(batch, dimensions\)"):
        gaussian_kl_to_standard(tf.zeros((3, 0)), tf.zeros((3, 0)))
    with pytest.raises(ValueError, match=r"expected \(batch, dimensions\)"):
        gaussian_kl_to_standard(1.0, 1.0)
    with pytest.raises(ValueError, match="samples: expected a whole number of at least 2, got 1"):
        monte_carlo_kl(two, two, two, two, 1, 0)

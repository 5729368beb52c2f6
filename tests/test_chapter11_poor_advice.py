"""Advice by hand, the best discriminator's logits, scipy's densities and integrals, and the errors."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.integrate import quad
from scipy.stats import norm

from kerasnotes.chapter11.poor_advice import advice, agreement, best_logits, js_by_integration, log_mixture

HILLS = (0.3, 0.7), (-1.0, 2.0), (0.5, 1.5)
ONE = (1.0,), (0.0,), (1.0,)


def density(x, weights, means, deviations):
    return sum(w * norm(m, s).pdf(x) for w, m, s in zip(weights, means, deviations, strict=True))


@pytest.mark.parametrize("mixture", [HILLS, ONE])
def test_the_mixture_is_scipys(mixture):
    x = np.linspace(-4, 4, 9)
    np.testing.assert_allclose(log_mixture(x, *mixture), np.log(density(x, *mixture)), rtol=1e-9)


def test_the_best_logits_are_those_of_the_quotient():
    x = np.linspace(-3, 3, 7)
    p, q = density(x, *HILLS), density(x, *ONE)
    np.testing.assert_allclose(tf.sigmoid(best_logits(x, HILLS, ONE)), p / (p + q), rtol=1e-9)


@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize("shape", [(6,), (2, 6, 1)])
def test_advice_by_hand(saturating, shape):
    x = np.random.default_rng(0).normal(size=shape)
    share = 1 / (1 + np.exp(-3 * x))
    want = 3 * (share if saturating else 1 - share)  # with logits 3 x
    np.testing.assert_allclose(advice(lambda x: 3 * x, x, saturating), want, rtol=1e-6)


def test_divergence_against_scipy_and_its_ends():
    def integrand(x):
        p, q = density(x, *HILLS), density(x, *ONE)
        return (p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))) / 2

    assert js_by_integration(HILLS, ONE) == pytest.approx(quad(integrand, -10, 10, limit=200)[0], rel=1e-6)
    assert js_by_integration(ONE, ONE) == pytest.approx(0, abs=1e-12)
    apart = js_by_integration(((1.0,), (-8.0,), (0.3,)), ((1.0,), (8.0,), (0.3,)))
    assert apart == pytest.approx(np.log(2), rel=1e-6)


def test_agreement_is_a_cosine():
    one, other = np.random.default_rng(1).normal(size=(2, 3, 8))
    want = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(agreement(one, other), want)
    np.testing.assert_allclose(agreement(one, -2 * one), -1)
    np.testing.assert_allclose(agreement(one, 5 * one), 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: advice(lambda x: tf.stack([x, x], 1), np.zeros(3)), r"fake_logits: expected the shape \(batch,\)"),
        (lambda: agreement(np.ones((2, 3)), np.ones(3)), r"other: expected the shape \(2, 3\)"),
        (lambda: agreement(np.zeros(3), np.ones(3)), "length of the advice: expected a positive number"),
        (lambda: js_by_integration(ONE, ONE, points=1), "points: expected a whole number of at least 2, got 1"),
        (lambda: log_mixture(0.0, (1.0,), (0.0, 1.0), (1.0,)), "argument"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

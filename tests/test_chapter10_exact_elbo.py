"""The linear Gaussian model: scipy's densities, the identity for any guess, draws, and the errors."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from kerasnotes.chapter10.exact_elbo import (
    full_gaussian_kl,
    gaussian_log_density,
    linear_elbo,
    linear_evidence,
    linear_posterior,
)
from kerasnotes.chapter10.kl_divergence import gaussian_kl


def model(pixels=5, codes=3, batch=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, pixels)), rng.normal(size=(pixels, codes)), rng.normal(size=pixels), 0.7


def guess(batch=4, codes=3, seed=1):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(codes, codes))
    return rng.normal(size=(batch, codes)), root @ root.T + 0.1 * np.eye(codes)


@pytest.mark.parametrize("seed", range(3))
def test_the_evidence_is_scipys(seed):
    x, w, b, variance = model(seed=seed)
    want = multivariate_normal(b, w @ w.T + variance * np.eye(5)).logpdf(x)
    np.testing.assert_allclose(linear_evidence(x, w, b, variance), want, rtol=1e-10)


@pytest.mark.parametrize("sizes", [(5, 3, 4), (2, 4, 3), (1, 1, 1), (7, 1, 2)])
def test_bound_and_divergence_add_up(sizes):
    pixels, codes, batch = sizes
    parameters = model(pixels, codes, batch)
    q = guess(batch, codes)
    total = linear_elbo(parameters[0], *q, *parameters[1:]) + full_gaussian_kl(*q, *linear_posterior(*parameters))
    np.testing.assert_allclose(total, linear_evidence(*parameters), rtol=1e-10)


def test_the_posterior_is_the_quotient_of_joint_and_evidence():
    x, w, b, variance = model()
    mean, covariance = linear_posterior(x, w, b, variance)
    z = np.random.default_rng(3).normal(size=(4, 3))
    joint = gaussian_log_density(z, 0.0, np.eye(3)) + gaussian_log_density(x, z @ w.T + b, variance * np.eye(5))
    want = joint - linear_evidence(x, w, b, variance)
    np.testing.assert_allclose(gaussian_log_density(z, mean, covariance), want, rtol=1e-9)


def test_the_bound_is_the_mean_over_draws():
    x, w, b, variance = model(batch=1)
    mean, covariance = guess(batch=1)
    z = np.random.default_rng(4).multivariate_normal(mean[0], covariance, size=200000)
    values = gaussian_log_density(z, 0.0, np.eye(3)) + gaussian_log_density(x, z @ w.T + b, variance * np.eye(5))
    values = values - gaussian_log_density(z, mean, covariance)
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - linear_elbo(x, mean, covariance, w, b, variance)[0]) < 4 * error


def test_the_divergence_without_covariances_is_the_diagonal_one():
    rng = np.random.default_rng(5)
    one, two = rng.normal(size=(2, 6, 3))
    a, b = rng.uniform(0.2, 2, size=(2, 3))
    want = gaussian_kl(one, np.broadcast_to(np.log(a), (6, 3)), two, np.broadcast_to(np.log(b), (6, 3)))
    np.testing.assert_allclose(full_gaussian_kl(one, np.diag(a), two, np.diag(b)), want, rtol=1e-9)
    assert full_gaussian_kl(one, np.diag(a), one, np.diag(a)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((4, 6))}, r"x: expected the shape \(any, 5\)"),
        ({"w": np.zeros(5)}, r"w: expected the shape \(any, any\)"),
        ({"b": np.zeros(4)}, r"b: expected the shape \(5\)"),
        ({"b": 0.0}, r"b: expected the shape \(5\)"),
        ({"variance": 0.0}, "variance: expected a positive number, got 0.0"),
        ({"x": np.full((4, 5), np.nan)}, "infs or NaNs"),
    ],
)
def test_errors_of_the_model(change, message):
    x, w, b, variance = model()
    arguments = {"x": x, "w": w, "b": b, "variance": variance, **change}
    for function in (linear_evidence, linear_posterior):
        with pytest.raises(ValueError, match=message):
            function(**arguments)


@pytest.mark.parametrize(
    ("q", "message"),
    [
        ((np.zeros((1, 3)), np.eye(3)), r"mean: expected the shape \(4, 3\)"),
        ((np.zeros((4, 3)), np.ones(3)), r"covariance: expected the shape \(3, 3\)"),
        ((np.zeros((4, 3)), np.eye(2)), r"covariance: expected the shape \(3, 3\)"),
    ],
)
def test_errors_of_the_guess(q, message):
    x, *parameters = model()
    with pytest.raises(ValueError, match=message):
        linear_elbo(x, *q, *parameters)


def test_errors_of_the_divergence():
    with pytest.raises(ValueError, match=r"mean1: expected the shape \(any, any\)"):
        full_gaussian_kl(np.zeros(3), np.eye(3), np.zeros(3), np.eye(3))
    with pytest.raises(ValueError, match=r"mean: expected the shape \(2, 3\)"):
        full_gaussian_kl(np.zeros((2, 3)), np.eye(3), np.zeros((1, 3)), np.eye(3))

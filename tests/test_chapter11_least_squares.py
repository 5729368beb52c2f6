"""Losses by Keras, the value by Pearson's χ², and the best discriminator by search."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize

from kerasnotes.chapter11.least_squares import (
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    least_squares_optimum,
    least_squares_value,
)


@pytest.mark.parametrize(("a", "b", "c"), [(0.0, 1.0, 1.0), (-1.0, 1.0, 0.0), (0.3, 0.9, 0.8)])
def test_losses_and_slopes_by_keras(a, b, c):
    rng = np.random.default_rng(0)
    real, fake = (tf.constant(rng.normal(size=(7, 1)), tf.float32) for _ in range(2))
    squares = keras.losses.MeanSquaredError()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        ours = least_squares_discriminator_loss(real, fake, a, b), least_squares_generator_loss(fake, c)
        theirs = (
            (squares(tf.fill((7, 1), b), real) + squares(tf.fill((7, 1), a), fake)) / 2,
            squares(tf.fill((7, 1), c), fake) / 2,
        )
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)
        np.testing.assert_allclose(tape.gradient(x, fake), tape.gradient(y, fake), rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(ours[0], real), tape.gradient(theirs[0], real), rtol=1e-5)


def test_runs_side_by_side():
    real, fake = np.float32([[[1], [3]], [[0], [0]]]), np.float32([[[0], [2]], [[1], [1]]])
    np.testing.assert_allclose(least_squares_discriminator_loss(real, fake), [(2 + 2) / 2, (1 + 1) / 2])
    np.testing.assert_allclose(least_squares_generator_loss(fake), [0.5, 0.0])


def test_the_best_discriminator_by_search():
    p, q = np.array([0.2, 0.5, 0.3]), np.array([0.6, 0.1, 0.3])
    a, b = -0.5, 2.0
    found = optimize.minimize(lambda d: np.sum(p * (d - b) ** 2 + q * (d - a) ** 2), np.zeros(3)).x
    np.testing.assert_allclose(least_squares_optimum(p, q, a, b), found, atol=1e-5)


def test_the_value_is_half_of_chi_squared():
    rng = np.random.default_rng(1)
    p, q = rng.dirichlet(np.ones(4), size=(2, 6))
    want = np.sum((2 * q - (p + q)) ** 2 / (p + q), axis=-1) / 2
    np.testing.assert_allclose(least_squares_value(p, q, -1, 1, 0), want)
    np.testing.assert_allclose(least_squares_value(p, q, 0, 2, 1), want)
    np.testing.assert_allclose(least_squares_value(p, q), np.sum(q**2 / (p + q), axis=-1) / 2)
    assert least_squares_value(p, p, -1, 1, 0) == pytest.approx(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: least_squares_optimum([0.5, 0.5], [1.0]), "q: expected the shape"),
        (lambda: least_squares_value([0.0, 1.0], [0.5, 0.5]), "p, q: expected positive numbers"),
        (lambda: least_squares_value([0.5, 0.5], [np.nan, 0.5]), "p, q: expected positive numbers"),
        (lambda: least_squares_generator_loss(np.zeros((2, 3), np.float32)), "fake: expected the shape"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Momentum against Keras's SGD, and the textbook's Nesterov."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter03.descent import gradient_descent
from kerasnotes.chapter05.momentum import gradient_momentum, heavy_ball, look_ahead, nesterov

seeds, dims, betas = st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(0.0, 0.98)
FORMS = (heavy_ball, nesterov, look_ahead, gradient_momentum)


def problem(dims, seed):
    """A gradient that is not linear, a start, and one rate for each of 12 steps."""
    rng = np.random.default_rng(seed)
    curvatures, shift = rng.uniform(0.1, 5, dims), rng.normal(size=dims)
    return lambda w: curvatures * w + np.sin(w + shift), rng.normal(size=dims), rng.uniform(0.01, 0.2, 12)


def keras_path(optimizer, gradient, start, rates):
    variable, path = keras.Variable(start, dtype="float64"), [start]
    for rate in rates:
        optimizer.learning_rate = rate
        optimizer.apply([tf.constant(gradient(path[-1]))], [variable])
        path.append(variable.numpy())
    return path


@settings(max_examples=20)
@given(dims, seeds, betas)
def test_equal_to_keras_also_with_falling_rates(dims, seed, beta):
    gradient, start, rates = problem(dims, seed)
    for ours, is_nesterov in ((heavy_ball, False), (nesterov, True)):
        theirs = keras_path(keras.optimizers.SGD(0.1, beta, nesterov=is_nesterov), gradient, start, rates)
        np.testing.assert_allclose(ours(gradient, start, rates, beta, 12), theirs, rtol=1e-5, atol=1e-6)


@settings(max_examples=40)
@given(dims, seeds, betas)
def test_look_ahead_is_nesterov(dims, seed, beta):
    gradient, start, rates = problem(dims, seed)
    path, ahead = look_ahead(gradient, start, rates, beta, 12)
    np.testing.assert_allclose(ahead, nesterov(gradient, start, rates, beta, 12), rtol=1e-10, atol=1e-10)
    last, w = start, start  # Nesterov 1983: y = w + β(w − last w), w = y − ηg(y)
    for t, rate in enumerate(rates):
        y = w + beta * (w - last)
        last, w = w, y - rate * gradient(y)
        np.testing.assert_allclose(path[t + 1], w, rtol=1e-10, atol=1e-10)
    velocity, w = np.zeros(dims), start  # Sutskever et al. 2013: v = βv − ηg(w + βv), w = w + v
    for t, rate in enumerate(rates):
        velocity = beta * velocity - rate * gradient(w + beta * velocity)
        w = w + velocity
        np.testing.assert_allclose(path[t + 1], w, rtol=1e-10, atol=1e-10)


@settings(max_examples=40)
@given(dims, seeds, betas)
def test_the_form_with_slopes(dims, seed, beta):
    gradient, start, rates = problem(dims, seed)
    constant = heavy_ball(gradient, start, 0.1, beta, 12)
    np.testing.assert_allclose(gradient_momentum(gradient, start, 0.1, beta, 12), constant, rtol=1e-9, atol=1e-9)
    z, w = 0.0, start
    for rate in rates:
        z = beta * z + gradient(w)
        w = w - rate * z
    np.testing.assert_allclose(gradient_momentum(gradient, start, rates, beta, 12)[-1], w, rtol=1e-12)


@settings(max_examples=25)
@given(dims, seeds)
def test_without_momentum_all_are_plain_descent(dims, seed):
    gradient, start, _ = problem(dims, seed)
    plain = gradient_descent(gradient, start, 0.1, 12)
    for path in (*(form(gradient, start, 0.1, 0.0, 12) for form in FORMS if form is not look_ahead),
                 *look_ahead(gradient, start, 0.1, 0.0, 12)):  # fmt: skip
        np.testing.assert_allclose(path, plain, rtol=1e-12, atol=1e-12)


def test_by_hand():
    def one(w):
        return np.ones_like(w)

    for form, want in (
        (heavy_ball, [0, -0.1, -0.25, -0.425]),  # moves 0.1, 0.15, 0.175
        (gradient_momentum, [0, -0.1, -0.25, -0.425]),
        (nesterov, [0, -0.15, -0.325, -0.5125]),  # the moves after
    ):
        np.testing.assert_allclose(form(one, [0.0], 0.1, 0.5, 3)[:, 0], want, rtol=1e-12)
    rolled_on = heavy_ball(lambda w: np.where(w == 0, 1.0, 0.0), [0.0], [0.1, 0.01], 0.9, 2)
    np.testing.assert_allclose(rolled_on[:, 0], [0, -0.1, -0.19], rtol=1e-12)


def test_the_printed_pull():
    half = look_ahead(np.sin, [1.0], 0.1, 0.5, 20, pull=1 - 0.5)[1]
    np.testing.assert_allclose(half, nesterov(np.sin, [1.0], 0.1, 0.5, 20), rtol=1e-12)
    printed = look_ahead(np.sin, [1.0], 0.1, 0.9, 20, pull=1 - 0.9)[1]
    assert np.abs(printed - nesterov(np.sin, [1.0], 0.1, 0.9, 20)).max() > 0.1


def test_a_path_may_diverge_and_may_have_no_steps():
    for form in (heavy_ball, nesterov, gradient_momentum):
        assert not np.isfinite(form(lambda w: w**3, [2.0], 1.0, 0.9, 50)[-1]).all()
        assert form(np.sin, [2.0], 1.0, 0.9, 0).tolist() == [[2.0]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.sin, [[1.0]], 0.1, 0.9, 3), r"start: expected finite numbers \(dims,\)"),
        ((np.sin, [], 0.1, 0.9, 3), "start: expected finite numbers"),
        ((np.sin, [math.nan], 0.1, 0.9, 3), "start: expected finite numbers"),
        ((np.sin, [1.0], 0.1, 1.0, 3), r"beta: expected a number from 0 and below 1, got 1.0"),
        ((np.sin, [1.0], 0.1, -0.1, 3), "beta: expected"),
        ((np.sin, [1.0], 0.0, 0.9, 3), "learning_rate: expected a positive number, or one for each step, got 0.0"),
        ((np.sin, [1.0], math.inf, 0.9, 3), "learning_rate: expected"),
        ((np.sin, [1.0], [0.1, 0.1], 0.9, 3), "learning_rate: expected"),
        ((np.sin, [1.0], 0.1, 0.9, -1), "steps: expected a whole number of at least 0, got -1"),
        ((np.sin, [1.0], 0.1, 0.9, 2.0), "steps: expected a whole number"),
        ((np.sum, [1.0, 2.0], 0.1, 0.9, 3), r"gradient: expected shape \(2,\), got \(\)"),
    ],
)
def test_errors(form, arguments, message):
    with pytest.raises(ValueError, match=message):
        form(*arguments)

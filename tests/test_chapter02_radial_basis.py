"""Bells and sigmoids at the same places against SciPy, scikit-learn, Keras and closed forms."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expit
from sklearn.linear_model import LinearRegression

from kerasnotes.chapter02.neurons import rbf_unit
from kerasnotes.chapter02.radial_basis import (
    KINDS,
    UnitNetwork,
    build_keras,
    fit_units,
    hidden_units,
    learn_one,
    reach,
)

X = np.linspace(0, 1, 201)
Y = np.sin(2 * np.pi * X)
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=20, deadline=None)
@given(units=st.integers(1, 6), rows=st.integers(1, 5), width=st.floats(0.05, 3), seed=seeds)
def test_hidden_units(units, rows, width, seed):
    rng = np.random.default_rng(seed)
    x, centers = rng.normal(size=(rows, 3)), rng.normal(size=units)
    bells, sigmoids = (hidden_units(kind, x, centers, width) for kind in KINDS)
    assert bells.shape == sigmoids.shape == (rows, 3, units)
    theirs = [rbf_unit(x[..., None], center[None], 0.5 / width**2) for center in centers]
    np.testing.assert_allclose(bells, np.stack(theirs, axis=-1), rtol=1e-9)
    np.testing.assert_allclose(sigmoids, expit(np.pi / 3**0.5 * (x[..., None] - centers) / width), rtol=1e-9)


def test_the_slope_of_a_sigmoid_is_as_wide_as_a_bell():
    def slope(x):
        return np.diff(hidden_units("sigmoids", np.array([x - 1e-5, x + 1e-5]), [0.5], 0.2)[:, 0])[0] / 2e-5

    def bell(x):
        return hidden_units("bells", x, [0.5], 0.2)[0]

    for bump in (slope, bell):
        area, mean, square = (quad(lambda x, k=k, bump=bump: x**k * bump(x), -4, 5, points=[0.5])[0] for k in range(3))
        np.testing.assert_allclose([mean / area, square / area - (mean / area) ** 2], [0.5, 0.04], rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(kind=st.sampled_from(KINDS), units=st.integers(2, 9), width=st.floats(0.4, 1.5), seed=seeds)
def test_fit_is_linear_regression(kind, units, width, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-2, 3, size=40), rng.normal(size=40)
    network = fit_units(kind, x, y, units, width)
    np.testing.assert_allclose(network.centers, np.linspace(x.min(), x.max(), units))
    assert network.width == pytest.approx(width * np.ptp(x) / (units - 1))
    hidden = hidden_units(kind, x, network.centers, network.width)
    theirs = LinearRegression().fit(hidden, y)
    np.testing.assert_allclose(network(x), theirs.predict(hidden), atol=1e-5)
    np.testing.assert_allclose(network(x), hidden @ network.v + network.c, atol=1e-9)
    assert network(x.reshape(8, 5)).shape == (8, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_fit_finds_a_curve_of_its_own(kind):
    true = UnitNetwork(kind, np.linspace(0, 1, 5), 0.2, np.array([1.0, -2, 0.5, 3, -1]), 0.7)
    found = fit_units(kind, X, true(X), 5, 0.8)
    np.testing.assert_allclose([*found.v, found.c], [*true.v, true.c], atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(kind=st.sampled_from(KINDS), x=st.floats(0, 1), y=st.floats(-3, 3), units=st.integers(2, 12))
def test_learn_one(kind, x, y, units):
    network = fit_units(kind, X, Y, units)
    after = learn_one(network, x, y)
    assert after(x) == pytest.approx(y, abs=1e-6)
    assert after.c == network.c
    kernel = hidden_units(kind, X, network.centers, network.width) @ hidden_units(
        kind, x, network.centers, network.width
    )
    there = np.sum(hidden_units(kind, x, network.centers, network.width) ** 2)
    np.testing.assert_allclose(after(X) - network(X), (y - network(x)) * kernel / there, atol=1e-8)


def test_learn_one_is_a_step_down_the_gradient():
    network = fit_units("bells", X, Y, 6)
    model = build_keras(network)
    with tf.GradientTape() as tape:
        loss = (model(np.array([[0.3]])) - 2.0) ** 2
    slope = tape.gradient(loss, model.trainable_variables)[0].numpy()[:, 0]
    step = learn_one(network, 0.3, 2.0).v - network.v
    np.testing.assert_allclose(step / np.linalg.norm(step), -slope / np.linalg.norm(slope), atol=1e-5)


def test_one_example_moves_bells_by_a_wider_bell():
    network = fit_units("bells", X, Y, 41)
    moved = learn_one(network, 0.5, 3.0)(X) - network(X)
    np.testing.assert_allclose(moved, 3 * np.exp(-((X - 0.5) ** 2) / (4 * network.width**2)), atol=2e-3)


def test_reach():
    assert reach([0, -4, 1, 0.04]) == 0.5
    assert reach([0, -4, 1, 0.05]) == 0.75
    assert reach([0, -4, 1, 0.05], least=0.3) == 0.25
    assert reach([0, -4, 1, 0.05], least=0) == 0.75


def test_keras_has_the_same_curve_and_slopes():
    network = fit_units("bells", X, Y, 7, 1.3)
    model = build_keras(network)
    np.testing.assert_allclose(model(X[:, None])[:, 0], network(X), atol=1e-5)
    assert [weight.shape for weight in model.trainable_variables] == [(7, 1), (1,)]
    with tf.GradientTape() as tape:
        loss = keras.losses.MeanSquaredError()(Y[:, None], model(X[:, None]))
    for slope in tape.gradient(loss, model.trainable_variables):
        np.testing.assert_allclose(slope, np.zeros(slope.shape), atol=1e-5)  # least squares has left none


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hidden_units("bell", X, [0.5], 0.2), "kind: expected one of bells, sigmoids, got 'bell'"),
        (lambda: hidden_units("bells", X, [0.5], 0), "width: expected a positive number, got 0"),
        (lambda: fit_units("bells", X, Y, 1), "units: expected a whole number of at least 2, got 1"),
        (lambda: fit_units("bells", X, Y, 4, np.nan), "width: expected a positive number, got nan"),
        (lambda: fit_units("bells", X, Y[1:], 4), r"x, y: expected finite points .*\(201,\) and \(200,\)"),
        (lambda: fit_units("bells", X, np.where(X > 0.5, np.nan, 0), 4), "x, y: expected finite points"),
        (lambda: fit_units("bells", np.ones(3), np.ones(3), 4), "x, y: expected finite points .* at several x"),
        (lambda: fit_units("bells", [], [], 4), "x, y: expected finite points"),
        (lambda: fit_units("bells", X[:, None], Y[:, None], 4), "x, y: expected finite points"),
        (lambda: learn_one(fit_units("bells", X, Y, 4), [0.5], 1), "x, y: expected two finite numbers"),
        (lambda: learn_one(fit_units("bells", X, Y, 4), 0.5, np.inf), "x, y: expected two finite numbers"),
        (lambda: learn_one(fit_units("bells", X, Y, 4), 99.0, 1), "x: expected a place where some unit answers"),
        (lambda: reach([0.0, 0.0]), "change: expected finite values"),
        (lambda: reach([1.0, np.nan]), "change: expected finite values"),
        (lambda: reach([[1.0]]), "change: expected finite values"),
        (lambda: reach([]), "change: expected finite values"),
        (lambda: reach([1.0], least=1), "least: expected a number from 0 and below 1, got 1"),
        (lambda: build_keras(fit_units("sigmoids", X, Y, 4)), "network: expected one of bells, got 'sigmoids'"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()

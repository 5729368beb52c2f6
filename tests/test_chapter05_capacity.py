"""Polynomials against NumPy's, small networks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import PolynomialFeatures

from kerasnotes.chapter05.capacity import error_curves, polynomial_features, width_curves


@settings(max_examples=20)
@given(st.lists(st.floats(-2, 2), min_size=1, max_size=6), st.integers(0, 6))
def test_features_equal_scikit_learn(x, degree):
    expected = PolynomialFeatures(degree).fit_transform(np.reshape(x, (-1, 1)))
    np.testing.assert_allclose(polynomial_features(x, degree), expected, rtol=1e-12, atol=1e-12)


def test_features_by_hand():
    np.testing.assert_array_equal(polynomial_features([2, -3], 3), [[1, 2, 4, 8], [1, -3, 9, -27]])
    np.testing.assert_array_equal(polynomial_features([0.0], 0), [[1.0]])


@settings(max_examples=30)
@given(st.integers(6, 30), st.integers(0, 2**32 - 1), st.floats(0.1, 100), st.floats(-100, 100))
def test_errors_equal_polyfit(n, seed, scale, shift):
    rng = np.random.default_rng(seed)
    x, y, x_test, y_test = scale * rng.uniform(-1, 1, n) + shift, rng.normal(size=n), None, rng.normal(size=7)
    x_test = scale * rng.uniform(-1, 1, 7) + shift
    train, test = error_curves(x, y, x_test, y_test, range(5))
    for degree in range(5):
        fit = np.polynomial.Polynomial.fit(x, y, degree)
        np.testing.assert_allclose(train[degree], np.mean((fit(x) - y) ** 2), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(test[degree], np.mean((fit(x_test) - y_test) ** 2), rtol=1e-5, atol=1e-9)
    assert np.all(np.diff(train) <= 0)


def test_a_polynomial_is_found_and_enough_degrees_go_through_all_points():
    x, x_test = np.linspace(-3, 5, 12), np.linspace(-4, 6, 9)
    train, test = error_curves(x, x**3 - 2 * x, x_test, x_test**3 - 2 * x_test, [1, 3, 5])
    np.testing.assert_allclose([train[1:], test[1:]], 0, atol=1e-18)
    assert min(train[0], test[0]) > 1
    y = np.random.default_rng(0).normal(size=12)
    np.testing.assert_allclose(error_curves(x, y, x, y, [11]), 0, atol=1e-18)
    np.testing.assert_allclose(error_curves([4.0], [1.0], [9.0], [3.0], [0]), [[0.0], [4.0]])


def test_networks_learn_what_they_can():
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    x = np.eye(3)[y] + 0.01 * rng.normal(size=(30, 3))
    train, test = width_curves([1, 16], x, y, x[::2], y[::2], steps=200, learning_rate=0.05)
    assert train[1] == test[1] == 1.0
    start, _ = width_curves([16], x, y, x, y, steps=1, learning_rate=1e-9, seed=4)
    weights = np.random.default_rng((4, 16))
    hidden = np.maximum(x @ weights.normal(0, np.sqrt(2 / 3), (3, 16)), 0)
    outputs = hidden @ weights.normal(0, np.sqrt(2 / 16), (16, 3))
    assert start[0] == np.mean(outputs.argmax(axis=1) == y)


X, Y = np.arange(5.0), np.zeros(5)
PICTURES, LABELS = np.zeros((4, 2)), np.arange(4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: polynomial_features([], 2), r"x: expected finite numbers \(n,\), got shape \(0,\)"),
        (lambda: polynomial_features([np.nan], 2), "x: expected finite numbers"),
        (lambda: polynomial_features([1.0], -1), "degree: expected a whole number of at least 0, got -1"),
        (lambda: polynomial_features([1.0], 1.5), "degree: expected a whole number of at least 0, got 1.5"),
        (lambda: error_curves(X, Y[:4], X, Y, [1]), "y_train: expected one target for each input"),
        (lambda: error_curves(X, Y, X, Y[:4], [1]), "y_test: expected one target for each input"),
        (lambda: error_curves(X, Y, X + np.inf, Y, [1]), "x_test: expected finite numbers"),
        (lambda: error_curves(X, Y, X, Y, [5]), r"degrees: expected integers from 0 to 4, got \[5\]"),
        (lambda: error_curves(X * 0, Y, X, Y, [1]), r"degrees: expected integers from 0 to 0, got \[1\]"),
        (lambda: error_curves(X, Y, X, Y, [-1]), "degrees: expected integers"),
        (lambda: error_curves(X, Y, X, Y, [0.5]), "degrees: expected integers"),
        (lambda: error_curves(X, Y, X, Y, []), "degrees: expected integers"),
        (
            lambda: width_curves([0], PICTURES, LABELS, PICTURES, LABELS),
            "widths: expected a whole number of at least 1, got 0",
        ),
        (lambda: width_curves([2], PICTURES, LABELS, PICTURES, LABELS, steps=0), "steps: expected a whole number"),
        (lambda: width_curves([2], PICTURES, LABELS, PICTURES, LABELS, 1, -1.0), "learning_rate: expected a positive"),
        (lambda: width_curves([2], PICTURES, LABELS[:3], PICTURES, LABELS), "y_train: expected a label from 0"),
        (lambda: width_curves([2], PICTURES, LABELS, PICTURES, LABELS - 1), "y_test: expected a label from 0"),
        (lambda: width_curves([2], PICTURES, LABELS / 1.0, PICTURES, LABELS), "y_train: expected a label"),
        (lambda: width_curves([2], PICTURES, LABELS, PICTURES[:, :1], LABELS), "x_test: expected 2 inputs a row"),
        (lambda: width_curves([], PICTURES, LABELS, PICTURES, LABELS), "widths: expected at least one width"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()

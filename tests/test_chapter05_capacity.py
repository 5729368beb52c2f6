"""Polynomials against NumPy's, labellings by lines against linear programming and Cover's count, small networks."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from sklearn.preprocessing import PolynomialFeatures

from kerasnotes.chapter05.capacity import error_curves, line_labellings, polynomial_features, width_curves


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


def separable(points, labels):
    """Linear programming: is there a line with all points of label 1 at least 1 above and the others 1 below?"""
    signs = np.where(labels, 1.0, -1.0)
    rows = -signs[:, None] * np.column_stack([points, np.ones(len(points))])
    return linprog(np.zeros(3), rows, -np.ones(len(points)), bounds=[(None, None)] * 3).status == 0


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=1, max_size=5, unique=True))
def test_labellings_equal_linear_programming(points):
    points = np.array(points)
    expected = [ls for ls in itertools.product((0, 1), repeat=len(points)) if separable(points, np.array(ls))]
    assert [tuple(row) for row in line_labellings(points)] == expected


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_general_position_gives_covers_count(n, seed):
    points = np.random.default_rng(seed).integers(-1000, 1001, size=(n, 2))
    triples = itertools.combinations(points, 3)
    assume(len(np.unique(points, axis=0)) == n and all(np.linalg.det([b - a, c - a]).round() for a, b, c in triples))
    assert len(line_labellings(points)) == n * (n - 1) + 2


def test_labellings_by_hand():
    assert len(line_labellings([[0, 0], [1, 1], [2, 2]])) == 6  # on one line the middle cannot be alone
    assert len(line_labellings([[0, 0], [6, 0], [0, 6], [1, 1]])) == 14  # nor can the inner point of a triangle
    np.testing.assert_array_equal(line_labellings([[7, 7]]), [[0], [1]])


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
        (lambda: polynomial_features([1.0], -1), "degree: expected an integer of at least 0, got -1"),
        (lambda: polynomial_features([1.0], 1.5), "degree: expected an integer of at least 0, got 1.5"),
        (lambda: error_curves(X, Y[:4], X, Y, [1]), "y_train: expected one target for each input"),
        (lambda: error_curves(X, Y, X, Y[:4], [1]), "y_test: expected one target for each input"),
        (lambda: error_curves(X, Y, X + np.inf, Y, [1]), "x_test: expected finite numbers"),
        (lambda: error_curves(X, Y, X, Y, [5]), r"degrees: expected integers from 0 to 4, got \[5\]"),
        (lambda: error_curves(X * 0, Y, X, Y, [1]), r"degrees: expected integers from 0 to 0, got \[1\]"),
        (lambda: error_curves(X, Y, X, Y, [-1]), "degrees: expected integers"),
        (lambda: error_curves(X, Y, X, Y, [0.5]), "degrees: expected integers"),
        (lambda: error_curves(X, Y, X, Y, []), "degrees: expected integers"),
        (lambda: line_labellings([[0, 0, 0]]), r"points: expected finite points \(n, 2\), got shape \(1, 3\)"),
        (lambda: line_labellings([[0, np.inf]]), "points: expected finite points"),
        (lambda: line_labellings([[1, 2], [1, 2]]), "points: expected different points"),
        (lambda: width_curves([0], PICTURES, LABELS, PICTURES, LABELS), "widths: expected a positive integer, got 0"),
        (lambda: width_curves([2], PICTURES, LABELS, PICTURES, LABELS, steps=0), "steps: expected a positive integer"),
        (lambda: width_curves([2], PICTURES, LABELS, PICTURES, LABELS, 1, -1.0), "learning_rate: expected a positive"),
        (lambda: width_curves([2], PICTURES, LABELS[:3], PICTURES, LABELS), "y_train: expected a label of at least 0"),
        (lambda: width_curves([2], PICTURES, LABELS, PICTURES, LABELS - 1), "y_test: expected a label of at least 0"),
        (lambda: width_curves([2], PICTURES, LABELS / 1.0, PICTURES, LABELS), "y_train: expected a label"),
        (lambda: width_curves([2], PICTURES, LABELS, PICTURES[:, :1], LABELS), "x_test: expected 2 inputs a row"),
        (lambda: width_curves([], PICTURES, LABELS, PICTURES, LABELS), "widths: expected at least one width"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()

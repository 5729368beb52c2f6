"""Linear and logistic regression against NumPy's definitions, the tape, SciPy and scikit-learn."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from sklearn.linear_model import LinearRegression, LogisticRegression

from kerasnotes import data
from kerasnotes.chapter02.regression import fit_linear, fit_logistic, solve_least_squares

sizes = {"n": st.integers(1, 12), "features": st.integers(1, 4), "seed": st.integers(0, 2**32 - 1)}


def draw(n, features, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, features)), rng.normal(size=n)


@settings(max_examples=25, deadline=None)
@given(**sizes)
def test_one_step_is_the_tapes(n, features, seed):
    x, y = draw(n, features, seed)
    w, b = tf.Variable(np.zeros(features)), tf.Variable(0.0, dtype=tf.float64)
    labels = (y > 0).astype(np.float64)
    with tf.GradientTape(persistent=True) as tape:
        sums = tf.linalg.matvec(x, w) + b
        squared = tf.reduce_mean((sums - y) ** 2)
        entropy = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, sums))
    for loss, fit, targets in ((squared, fit_linear, y), (entropy, fit_logistic, labels)):
        found = fit(x, targets, 0.1, 1, history=True)
        for ours, slope in zip(found[:2], tape.gradient(loss, (w, b)), strict=True):
            np.testing.assert_allclose(ours, -0.1 * slope, atol=1e-12)
        assert found[2].shape == (2,)
        np.testing.assert_allclose(found[2][0], loss, rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(**sizes)
def test_closed_form_equals_scikit_learn(n, features, seed):
    x, y = draw(n + features + 1, features, seed)
    library = LinearRegression().fit(x, y)
    w, b = solve_least_squares(x, y)
    np.testing.assert_allclose([*w, b], [*library.coef_, library.intercept_], rtol=1e-6, atol=1e-8)


def test_descent_reaches_a_line_by_hand():
    w, b = fit_linear([[-1.0], [1.0]], [1.0, 5.0], 0.25, 200)
    np.testing.assert_allclose([*w, b], [2.0, 3.0])
    np.testing.assert_allclose(np.append(*solve_least_squares([[-1.0], [1.0]], [1.0, 5.0])), [2.0, 3.0])


def test_penalized_logistic_regression_equals_scikit_learn():
    x, y = data.breast_cancer()
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    w, b, losses = fit_logistic(x, y, 0.5, 8000, l2=1 / (2 * len(x)), history=True)
    library = LogisticRegression(C=1, tol=1e-8, max_iter=10000).fit(x, y)
    np.testing.assert_allclose([*w, b], [*library.coef_[0], *library.intercept_], atol=1e-2)
    assert (np.diff(losses) <= 1e-12).all()
    chances = library.predict_proba(x)[np.arange(len(y)), y]
    penalty = np.sum(library.coef_**2) / (2 * len(x))
    np.testing.assert_allclose(losses[[0, -1]], [np.log(2), penalty - np.log(chances).mean()], rtol=1e-5)


def test_the_tumours_are_linearly_separable():
    x, y = data.breast_cancer()
    x = np.column_stack([(x - x.mean(axis=0)) / x.std(axis=0), np.ones(len(x))]) * (2 * y - 1)[:, None]
    found = linprog(np.zeros(31), A_ub=-x, b_ub=-np.ones(len(x)), bounds=[(None, None)] * 31)
    assert found.status == 0


ONE = [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_linear([1.0], [1.0], 0.1, 1), "x: expected finite inputs"),
        (lambda: fit_linear([[np.nan]], [1.0], 0.1, 1), "x: expected finite inputs"),
        (lambda: solve_least_squares(ONE, [1.0]), "y: expected 2 finite targets"),
        (lambda: solve_least_squares(ONE, [1.0, np.inf]), "y: expected 2 finite targets"),
        (lambda: fit_linear(ONE, [1.0, 2.0], 0.0, 1), "learning_rate: expected a positive number, got 0.0"),
        (lambda: fit_linear(ONE, [1.0, 2.0], 0.1, 0), "steps: expected a whole number of at least 1, got 0"),
        (lambda: fit_linear(ONE, [1.0, 2.0], 1e6, 100), "learning_rate: expected steps short enough"),
        (lambda: fit_linear(ONE, [1.0, 2.0], 1e6, 30), "learning_rate: expected steps short enough"),  # w about 1e205
        (lambda: fit_logistic(ONE, [0, 2], 0.1, 1), "y: expected labels 0 or 1"),
        (lambda: fit_logistic(ONE, [0, 1], 0.1, 1, l2=-1.0), r"l2: expected a number of at least 0, got -1\.0"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Penalties against Keras over random shapes, priors against SciPy, and the lasso against scikit-learn."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import LogisticRegression

from kerasnotes import data
from kerasnotes.chapter05.regularizers import l0, l1, l1_l2, l2, proximal_gradient, soft_threshold

SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, max_side=5)
SEEDS = st.integers(0, 2**32 - 1)
STRENGTHS = st.floats(0.01, 10)  # at zero Keras has no gradient


@settings(max_examples=40, deadline=None)
@given(SHAPES, SEEDS, STRENGTHS, STRENGTHS)
def test_equal_to_keras(shape, seed, first, second):
    w = tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)
    for ours, theirs in (
        (lambda: l1(w, first), keras.regularizers.L1(first)),
        (lambda: l2(w, second), keras.regularizers.L2(second)),
        (lambda: l1_l2(w, first, second), keras.regularizers.L1L2(first, second)),
    ):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(w)
            values = ours(), theirs(w)
        np.testing.assert_allclose(*values, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(*(tape.gradient(value, w) for value in values), rtol=1e-5, atol=1e-6)


def test_hand_made_weights():
    w = [[3.0, 0.0], [-4.0, 0.0]]
    assert int(l0(w)) == 2
    assert float(l1(w, 0.5)) == 3.5
    assert float(l2(w, 0.5)) == 12.5
    assert float(l1_l2(w, 1, 1)) == 32.0
    assert float(l1([3, -4], 1.0)) == 7.0
    assert soft_threshold([3.0, -0.5, -2.0, 1.0, 0.0], 1.0).numpy().tolist() == [2.0, 0.0, -1.0, 0.0, 0.0]
    assert soft_threshold([3.0, -3.0], [0.0, 2.0]).numpy().tolist() == [3.0, -1.0]


@settings(max_examples=30)
@given(st.floats(-5, 5), st.floats(0, 3))
def test_soft_threshold_is_the_best_point(a, amount):
    best = float(soft_threshold(np.float64(a), amount))
    others = np.append(np.linspace(-6, 6, 1001), 0.0)

    def cost(z):
        return 0.5 * (z - a) ** 2 + amount * np.abs(z)

    assert cost(best) <= cost(others).min() + 1e-9
    assert abs(best) <= abs(a)


def test_priors_of_scipy():
    w = np.random.default_rng(0).normal(size=(10, 4))
    for density, penalty in (
        (scipy.stats.norm(scale=np.sqrt(1 / 1.4)), l2),
        (scipy.stats.laplace(scale=1 / 0.7), l1),
    ):
        of_prior = -density.logpdf(w).sum(axis=1)
        of_penalty = [float(penalty(row, 0.7)) for row in w]
        np.testing.assert_allclose(np.diff(of_prior), np.diff(of_penalty), rtol=1e-6)


def test_the_lasso_equals_scikit_learn():
    x, y = data.breast_cancer()
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    ones = np.column_stack([x, np.ones(len(x))])
    rate = 4 * len(y) / np.linalg.eigvalsh(ones.T @ ones).max()
    strengths = np.append(np.full(30, 0.1), 0)
    ours = proximal_gradient(
        lambda w: ones.T @ (1 / (1 + np.exp(-ones @ w)) - y) / len(y), np.zeros(31), rate, strengths, 8000
    )
    model = LogisticRegression(
        l1_ratio=1.0, C=1 / (0.1 * len(y)), solver="saga", tol=1e-7, max_iter=20000, random_state=0
    ).fit(x, y)
    np.testing.assert_allclose(ours, np.append(model.coef_, model.intercept_), atol=1e-3)
    assert np.array_equal(ours[:30] == 0, model.coef_[0] == 0)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_strengths_are_not_negative(bad):
    for call in (lambda: l1([1.0], bad), lambda: l1_l2([1.0], bad, 0.0)):
        with pytest.raises(ValueError, match="l1: expected a strength of at least 0"):
            call()
    for call in (lambda: l2([1.0], bad), lambda: l1_l2([1.0], 0.0, bad)):
        with pytest.raises(ValueError, match="l2: expected a strength of at least 0"):
            call()
    with pytest.raises(ValueError, match="amount: expected numbers of at least 0"):
        soft_threshold([1.0], bad)
    with pytest.raises(ValueError, match="strengths: expected numbers of at least 0"):
        proximal_gradient(lambda w: w, [1.0], 0.1, bad, 5)


def test_other_errors():
    for call in (lambda: l0([]), lambda: l1([], 1.0), lambda: l2([], 1.0), lambda: soft_threshold([], 1.0)):
        with pytest.raises(ValueError, match="w: expected at least one weight"):
            call()
    for rate in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="learning_rate: expected a positive number"):
            proximal_gradient(lambda w: w, [1.0], rate, 0.1, 5)
    for steps in (0, 1.5):
        with pytest.raises(ValueError, match="steps: expected a positive integer"):
            proximal_gradient(lambda w: w, [1.0], 0.1, 0.1, steps)
    with pytest.raises(ValueError, match="start, strengths: expected"):
        proximal_gradient(lambda w: w, [1.0], 0.1, [0.1, 0.2], 5)
    with pytest.raises(ValueError, match="amount: expected one number or a shape that fits"):
        soft_threshold([1.0, 2.0], [0.1, 0.2, 0.3])

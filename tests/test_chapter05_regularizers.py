"""Penalties against Keras over random shapes, and priors against SciPy."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import Lasso

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


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_equal_to_keras_in_compiled_code_with_an_unknown_batch(dtype, jit_compile):
    w = tf.constant([[3.0, 0.0], [-4.0, 0.5], [0.0, 1.0]], dtype)

    @tf.function(input_signature=[tf.TensorSpec((None, 2), dtype)], jit_compile=jit_compile)
    def ours(w):
        return l1(w, 0.5), l2(w, 0.25), l1_l2(w, 0.5, 0.25), l0(w), soft_threshold(w, 1.0)

    for rows in (w, w[:1]):
        theirs = [keras.regularizers.L1(0.5), keras.regularizers.L2(0.25), keras.regularizers.L1L2(0.5, 0.25)]
        *values, count, moved = ours(rows)
        for value, penalty in zip(values, theirs, strict=True):
            assert value.dtype == dtype
            np.testing.assert_allclose(value, penalty(rows), rtol=1e-3)
        assert int(count) == np.count_nonzero(rows)
        np.testing.assert_allclose(moved, np.sign(rows) * np.maximum(np.abs(rows) - 1, 0), rtol=1e-3)


def test_whole_numbers_and_booleans_count_as_float32():
    for w in (np.array([3, 0, -4], np.int64), np.array([True, False, True])):
        for value, plain in ((l1(w, 0.5), l1(w.astype("float32"), 0.5)), (l2(w, 0.5), l2(w.astype("float32"), 0.5))):
            assert value.dtype == tf.float32
            assert float(value) == float(plain)
        assert int(l0(w)) == 2
        assert soft_threshold(w, 0.5).dtype == tf.float32
    assert float(l1(np.float32([2.0]), 0.5)) == 1.0, "one weight"


@settings(max_examples=30)
@given(st.floats(-5, 5), st.floats(0, 3))
def test_soft_threshold_is_the_best_point(a, amount):
    best = float(soft_threshold(np.float64(a), amount))
    others = np.append(np.linspace(-6, 6, 1001), 0.0)

    def cost(z):
        return 0.5 * (z - a) ** 2 + amount * np.abs(z)

    assert cost(best) <= cost(others).min() + 1e-9
    assert abs(best) <= abs(a)


def test_proximal_gradient_by_hand():
    # From (2, −2, 0.5) with the slope (1, 1, 1): (1.5, −2.5, 0), then 0.5 · (1, 2, 1) towards zero.
    step = proximal_gradient(np.ones_like, [2.0, -2.0, 0.5], 0.5, [1.0, 2.0, 1.0], 1)
    np.testing.assert_allclose(step, [1.0, -1.5, 0.0], rtol=1e-12)
    # ½ Σ c (w − a)² + Σ s |w| has its minimum where each a is moved by s / c towards zero.
    a, curvatures, strengths = np.array([3.0, -3.0, 0.5, -0.1]), np.array([1.0, 2.0, 4.0, 0.5]), [0.5, 3.0, 0.0, 0.2]
    found = proximal_gradient(lambda w: curvatures * (w - a), np.zeros(4), 0.25, strengths, 400)
    np.testing.assert_allclose(found, [2.5, -1.5, 0.5, 0.0], atol=1e-12)


@settings(max_examples=10)
@given(SEEDS, st.floats(0.01, 0.5))
def test_proximal_gradient_is_the_lasso_of_scikit_learn(seed, strength):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(40, 5)), rng.normal(size=40)
    rate = 1 / np.linalg.eigvalsh(x.T @ x / 40).max()
    ours = proximal_gradient(lambda w: x.T @ (x @ w - y) / 40, np.zeros(5), rate, strength, 3000)
    theirs = Lasso(alpha=strength, fit_intercept=False, tol=1e-12, max_iter=10**5).fit(x, y)
    np.testing.assert_allclose(ours, theirs.coef_, atol=1e-7)
    assert not theirs.coef_[ours == 0].any()


def test_priors_of_scipy():
    w = np.random.default_rng(0).normal(size=(10, 4))
    for density, penalty in (
        (scipy.stats.norm(scale=np.sqrt(1 / 1.4)), l2),
        (scipy.stats.laplace(scale=1 / 0.7), l1),
    ):
        of_prior = -density.logpdf(w).sum(axis=1)
        of_penalty = [float(penalty(row, 0.7)) for row in w]
        np.testing.assert_allclose(np.diff(of_prior), np.diff(of_penalty), rtol=1e-6)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_strengths_are_not_negative(bad):
    for call in (lambda: l1([1.0], bad), lambda: l1_l2([1.0], bad, 0.0)):
        with pytest.raises(ValueError, match="l1: expected numbers of at least 0"):
            call()
    for call in (lambda: l2([1.0], bad), lambda: l1_l2([1.0], 0.0, bad)):
        with pytest.raises(ValueError, match="l2: expected numbers of at least 0"):
            call()
    with pytest.raises(ValueError, match="amount: expected numbers of at least 0"):
        soft_threshold([1.0], bad)
    with pytest.raises(ValueError, match="strengths: expected numbers of at least 0"):
        proximal_gradient(lambda w: w, [1.0], 0.1, bad, 5)


def test_other_errors():
    for call in (lambda: l0([]), lambda: l1([], 1.0), lambda: l2([], 1.0), lambda: soft_threshold([], 1.0)):
        with pytest.raises(ValueError, match="w: expected numbers, at least one"):
            call()
    for rate in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="learning_rate: expected a positive number"):
            proximal_gradient(lambda w: w, [1.0], rate, 0.1, 5)
    for steps in (0, 1.5):
        with pytest.raises(ValueError, match="steps: expected a whole number of at least 1"):
            proximal_gradient(lambda w: w, [1.0], 0.1, 0.1, steps)
    with pytest.raises(ValueError, match="start, strengths: expected"):
        proximal_gradient(lambda w: w, [1.0], 0.1, [0.1, 0.2], 5)
    with pytest.raises(ValueError, match="amount: expected one number or a shape that fits"):
        soft_threshold([1.0, 2.0], [0.1, 0.2, 0.3])

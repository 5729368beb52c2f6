"""Gradients of losses against the tape, Keras and scikit-learn."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from kerasnotes.chapter03.gradients import numerical_gradient
from kerasnotes.chapter03.loss_gradients import mse_gradient, softmax_cross_entropy_gradient

seeds, shapes = st.integers(0, 2**32 - 1), st.lists(st.integers(1, 5), min_size=1, max_size=3)


def pair(shape, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape), rng.normal(size=shape)


@settings(max_examples=25, deadline=None)
@given(shape=shapes, seed=seeds)
def test_mse_gradient_equals_keras(shape, seed):
    y, output = pair(shape, seed)
    variable = tf.Variable(output)
    with tf.GradientTape() as tape:
        loss = keras.losses.mean_squared_error(y, variable)
    np.testing.assert_allclose(mse_gradient(y, output), tape.gradient(loss, variable), atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(shape=shapes, seed=seeds)
def test_softmax_gradient_equals_differences_and_the_tape(shape, seed):
    y, logits = pair(shape, seed)
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_sum(y * tf.nn.log_softmax(variable))
    got = softmax_cross_entropy_gradient(y, logits)
    np.testing.assert_allclose(got, tape.gradient(loss, variable), atol=1e-12)

    def value(z):
        return np.sum(y * (np.log(np.exp(z).sum(axis=-1, keepdims=True)) - z))

    np.testing.assert_allclose(got, numerical_gradient(value, logits), atol=1e-7)


@settings(max_examples=15, deadline=None)
@given(batch=st.integers(1, 5), classes=st.integers(2, 5), seed=seeds)
def test_distributions_give_keras_gradient(batch, classes, seed):
    rng = np.random.default_rng(seed)
    y, logits = rng.dirichlet(np.ones(classes), size=batch), tf.Variable(rng.normal(size=(batch, classes)))
    with tf.GradientTape() as tape:
        loss = keras.losses.categorical_crossentropy(y, logits, from_logits=True)
    np.testing.assert_allclose(softmax_cross_entropy_gradient(y, logits), tape.gradient(loss, logits), atol=1e-9)


def test_the_gradient_vanishes_at_scikit_learns_logistic_regression():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(60, 2)), np.arange(60) % 3
    fitted = LogisticRegression(C=1e6, tol=1e-10, max_iter=2000).fit(x, labels)
    gradient = softmax_cross_entropy_gradient(np.eye(3)[labels], fitted.decision_function(x))
    np.testing.assert_allclose(x.T @ gradient.numpy(), np.zeros((2, 3)), atol=1e-3)
    np.testing.assert_allclose(gradient.numpy().sum(axis=0), np.zeros(3), atol=1e-3)


def test_huge_logits_and_whole_numbers():
    np.testing.assert_allclose(softmax_cross_entropy_gradient([0, 1], [1000.0, -1000.0]), [1.0, -1.0])
    np.testing.assert_allclose(mse_gradient([1, 0], [3, 4]), [2.0, 4.0])


def test_gradients_stay_differentiable():
    logits = tf.Variable([0.0, 1.0, 2.0])
    with tf.GradientTape() as tape:
        first = softmax_cross_entropy_gradient([1.0, 1.0, 0.0], logits)
    p = tf.nn.softmax(logits).numpy()
    np.testing.assert_allclose(tape.jacobian(first, logits), 2 * (np.diag(p) - np.outer(p, p)), atol=1e-6)


@pytest.mark.parametrize("gradient", [mse_gradient, softmax_cross_entropy_gradient])
@pytest.mark.parametrize(("y", "output"), [([1.0], [1.0, 2.0]), (1.0, 2.0), ([], []), ([[1.0]], [1.0])])
def test_bad_arguments(gradient, y, output):
    with pytest.raises(ValueError, match=r"expected the shape of y|expected numbers, at least one"):
        gradient(y, output)


@pytest.mark.parametrize("gradient", [mse_gradient, softmax_cross_entropy_gradient])
def test_unknown_sizes_and_xla(gradient):
    y, output = np.float32([[1, 0, 0], [0, 2, 1]]), np.float32([[3, 4, 1], [0, -1, 2]])
    for compile_it in (False, True):
        compiled = tf.function(gradient, input_signature=[tf.TensorSpec((None, None))] * 2, jit_compile=compile_it)
        np.testing.assert_allclose(compiled(y, output), gradient(y, output), rtol=1e-5)
    assert gradient(y.astype(bool), np.float16(output)).dtype == tf.float16

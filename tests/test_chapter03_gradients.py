"""Gradients and Hessians against closed forms, SciPy's differences and TensorFlow's forward mode."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from kerasnotes.chapter03.gradients import directional_derivative, hessian, numerical_gradient

seeds, dims = st.integers(0, 2**32 - 1), st.integers(1, 5)


def bowl(matrix):
    return lambda w: tf.tensordot(w, tf.linalg.matvec(matrix, w), 1)


@settings(max_examples=25, deadline=None)
@given(shape=st.lists(st.integers(1, 4), max_size=3), seed=seeds)
def test_numerical_gradient_equals_closed_form_and_scipy(shape, seed):
    rng = np.random.default_rng(seed)
    x, a = rng.normal(size=shape), rng.normal(size=shape)
    gradient = numerical_gradient(lambda w: np.sum(a * np.sin(w)), x)
    assert gradient.shape == tuple(shape)
    np.testing.assert_allclose(gradient, a * np.cos(x), atol=1e-8)
    forward = approx_fprime(x.ravel(), lambda w: np.sum(a.ravel() * np.sin(w)))
    np.testing.assert_allclose(gradient.ravel(), forward, atol=1e-6)


def test_central_differences_are_exact_on_parabolas_even_with_long_steps():
    np.testing.assert_allclose(numerical_gradient(lambda w: w @ w, [1, 2], step=0.5), [2, 4], rtol=1e-12)


def test_numerical_gradient_leaves_its_input_alone():
    x = np.ones(3)
    numerical_gradient(lambda w: float(w.sum()), x)
    np.testing.assert_array_equal(x, np.ones(3))


@settings(max_examples=25, deadline=None)
@given(dims=dims, many=st.integers(1, 4), seed=seeds)
def test_directional_derivative_equals_forward_mode(dims, many, seed):
    rng = np.random.default_rng(seed)
    matrix, x, directions = rng.normal(size=(dims, dims)), rng.normal(size=dims), rng.normal(size=(many, dims))
    got = directional_derivative(bowl(matrix), x, directions)
    for slope, direction in zip(got, directions, strict=True):
        unit = tf.constant(direction / np.linalg.norm(direction))
        point = tf.constant(x)
        with tf.autodiff.ForwardAccumulator(point, unit) as accumulator:
            value = bowl(matrix)(point)
        np.testing.assert_allclose(slope, accumulator.jvp(value), atol=1e-9)
        np.testing.assert_allclose(directional_derivative(bowl(matrix), x, 7 * direction), slope, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(dims=dims, seed=seeds)
def test_hessian_of_a_quadratic_is_its_symmetric_part_twice(dims, seed):
    rng = np.random.default_rng(seed)
    matrix, x = rng.normal(size=(dims, dims)), rng.normal(size=dims)
    np.testing.assert_allclose(hessian(bowl(matrix), x), matrix + matrix.T, atol=1e-12)


def test_hessian_of_other_shapes_and_functions():
    x = np.arange(1.0, 7).reshape(2, 3)
    second = hessian(lambda w: tf.reduce_sum(w**3), x)
    assert second.shape == (2, 3, 2, 3)
    np.testing.assert_allclose(tf.reshape(second, (6, 6)), np.diag(6 * x.ravel()))
    np.testing.assert_array_equal(hessian(tf.reduce_sum, x), np.zeros((2, 3, 2, 3)))
    np.testing.assert_array_equal(hessian(lambda w: 3.0, [1.0]), [[0.0]])
    gradient = directional_derivative(lambda w: w[0] ** 3, [2.0], [-1.0])
    np.testing.assert_allclose(gradient, -12)


def test_all_stay_differentiable_and_work_in_a_graph():
    x = tf.Variable([1.0, 2.0])

    @tf.function
    def slope():
        return directional_derivative(lambda w: tf.reduce_sum(w**3), x, [1.0, 0.0])

    with tf.GradientTape() as tape:
        value = slope()
    np.testing.assert_allclose(tape.gradient(value, x), [6.0, 0.0])
    with tf.GradientTape() as tape:
        trace = tf.linalg.trace(hessian(lambda w: tf.reduce_sum(w**3), x))
    np.testing.assert_allclose(tape.gradient(trace, x), [6.0, 6.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: numerical_gradient(np.sum, []), "x: expected finite"),
        (lambda: numerical_gradient(np.sum, [np.nan]), "x: expected finite"),
        (lambda: numerical_gradient(np.sum, [1.0], step=0), "step: expected a positive"),
        (lambda: numerical_gradient(np.sum, [1.0], step=np.inf), "step: expected a positive"),
        (lambda: numerical_gradient(lambda w: w, [1.0]), "function: expected one finite"),
        (lambda: numerical_gradient(lambda w: np.inf, [1.0]), "function: expected one finite"),
        (lambda: numerical_gradient(lambda w: np.inf if w[0] > 0 else 1.0, [0.0]), "function: expected one finite"),
        (lambda: numerical_gradient(lambda w: np.inf if w[0] < 0 else 1.0, [0.0]), "function: expected one finite"),
        (lambda: directional_derivative(tf.reduce_sum, [1.0], [0.0]), "direction: expected a positive"),
        (lambda: directional_derivative(tf.reduce_sum, [1.0], [np.nan]), "direction: expected a positive"),
        (lambda: directional_derivative(tf.reduce_sum, [1.0], [1.0, 2.0]), r"direction: expected \(..., dims\)"),
        (lambda: directional_derivative(tf.reduce_sum, [[1.0]], [1.0]), r"direction: expected \(..., dims\)"),
        (lambda: directional_derivative(lambda w: w, [1.0], [1.0]), "function: expected one number"),
        (lambda: hessian(lambda w: w, [1.0]), "function: expected one number"),
        (lambda: hessian(tf.reduce_sum, []), "x: expected numbers, at least one"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Activations and their slopes against TensorFlow, Keras and SciPy."""

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter02 import activations
from kerasnotes.chapter02.activations import derivative, maxout, sigmoid, softmax, softmax_jacobian, tanh

ELEMENTWISE = {
    "sigmoid": lambda x: tf.sigmoid(x),
    "tanh": lambda x: tf.tanh(x),
    "relu": lambda x: tf.nn.relu(x),
    "leaky_relu": lambda x, alpha=0.2: tf.nn.leaky_relu(x, alpha),
    "elu": lambda x, alpha=1.0: keras.activations.elu(x, alpha),
}
array_shapes = st.lists(st.integers(1, 4), min_size=0, max_size=3)
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("name", ELEMENTWISE)
@settings(max_examples=15, deadline=None)
@given(shape=array_shapes, scale=st.sampled_from([0.01, 1.0, 30.0]), seed=seeds)
def test_values_and_slopes_equal_the_library(name, shape, scale, seed):
    x = np.random.default_rng(seed).normal(scale=scale, size=shape)
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = ELEMENTWISE[name](inputs)
    np.testing.assert_allclose(getattr(activations, name)(x), y, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(derivative(name, x), tape.gradient(y, inputs), rtol=1e-7, atol=1e-12)
    single = x.astype(np.float32)
    for result in (getattr(activations, name)(single), derivative(name, single)):
        assert result.dtype == np.float32
        assert result.shape == tuple(shape)


@pytest.mark.parametrize("name", ["leaky_relu", "elu"])
@settings(max_examples=15, deadline=None)
@given(alpha=st.floats(0, 2), seed=seeds)
def test_alpha(name, alpha, seed):
    inputs = tf.constant(np.random.default_rng(seed).normal(size=8))  # TensorFlow keeps alpha in single precision
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = ELEMENTWISE[name](inputs, alpha)
    np.testing.assert_allclose(getattr(activations, name)(inputs, alpha), y, atol=1e-6)
    np.testing.assert_allclose(derivative(name, inputs, alpha=alpha), tape.gradient(y, inputs), atol=1e-6)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu"])
def test_the_corner_at_zero_is_tensorflows(name):
    inputs = tf.constant([0.0])  # single precision, as TensorFlow keeps alpha
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = ELEMENTWISE[name](inputs)
    np.testing.assert_array_equal(derivative(name, np.zeros(1, np.float32)), tape.gradient(y, inputs))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_finite_at_a_thousand(dtype):
    x = np.array([-1000, 1000], dtype)
    np.testing.assert_array_equal(sigmoid(x), [0, 1])
    np.testing.assert_array_equal(tanh(x), [-1, 1])
    np.testing.assert_array_equal(softmax(x), [0, 1])
    np.testing.assert_array_equal(activations.elu(x), [-1, 1000])
    for name in ELEMENTWISE:
        assert np.isfinite(derivative(name, x)).all()


def test_nan_is_passed_on():
    for name in ELEMENTWISE:
        assert np.isnan(getattr(activations, name)(np.nan))
        assert np.isnan(derivative(name, np.nan))


@settings(max_examples=25, deadline=None)
@given(x=st.floats(-300, 300))
def test_identities(x):
    np.testing.assert_allclose(tanh(x), 2 * sigmoid(2 * x) - 1, atol=1e-6)
    np.testing.assert_allclose(sigmoid(np.float64(x)), scipy.special.expit(x), rtol=1e-12)
    np.testing.assert_allclose(derivative("sigmoid", x), sigmoid(x) * (1 - sigmoid(x)), atol=1e-6)
    np.testing.assert_allclose(derivative("tanh", x), 1 - tanh(x) ** 2, atol=1e-6)
    np.testing.assert_allclose(softmax([x, 0.0])[0], sigmoid(x), rtol=1e-5)
    assert derivative("sigmoid", x) <= 0.25 + 1e-15  # one rounding step
    assert derivative("sigmoid", 0.0) == 0.25


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 4), classes=st.integers(1, 5), shift=st.floats(-100, 100), seed=seeds)
def test_softmax(rows, classes, shift, seed):
    x = np.random.default_rng(seed).normal(scale=3, size=(rows, classes))
    np.testing.assert_allclose(softmax(x), tf.nn.softmax(x), atol=1e-12)
    np.testing.assert_allclose(softmax(x, axis=0), tf.nn.softmax(x, axis=0), atol=1e-12)
    np.testing.assert_allclose(softmax(x).sum(axis=-1), 1, atol=1e-12)
    np.testing.assert_allclose(softmax(x + shift), softmax(x), atol=1e-9)
    inputs = tf.constant(x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        y = tf.nn.softmax(inputs)
    want = tape.batch_jacobian(y, inputs, experimental_use_pfor=False)
    np.testing.assert_allclose(softmax_jacobian(x), want, atol=1e-12)


def test_softmax_by_hand():
    np.testing.assert_allclose(softmax([np.log(1), np.log(2), np.log(5)]), [1 / 8, 2 / 8, 5 / 8], rtol=1e-6)
    np.testing.assert_array_equal(softmax([0.0, -np.inf]), [1, 0])  # a masked class


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 4), inputs=st.integers(1, 4), units=st.integers(1, 3), pieces=st.integers(1, 4), seed=seeds)
def test_maxout(batch, inputs, units, pieces, seed):
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(batch, inputs)), rng.normal(size=(inputs, units, pieces))
    b = rng.normal(size=(units, pieces))
    each = [x @ w[:, :, piece] + b[:, piece] for piece in range(pieces)]  # (batch, units) each
    np.testing.assert_allclose(maxout(x, w, b), np.maximum.reduce(each), atol=1e-12)
    np.testing.assert_allclose(maxout(x[0], w, b), maxout(x, w, b)[0], atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: activations.relu([]), "x: expected numbers, got an array of shape"),
        (lambda: sigmoid("text"), "x: expected numbers"),
        (lambda: sigmoid(1j), "x: expected numbers"),
        (lambda: activations.leaky_relu(1.0, -0.1), "alpha: expected a number of at least 0, got -0.1"),
        (lambda: activations.elu(1.0, np.nan), "alpha: expected a number of at least 0"),
        (lambda: activations.elu(1.0, np.inf), "alpha: expected a number of at least 0"),
        (lambda: softmax([1.0, 2.0], axis=1), "axis: expected an axis of an array of shape"),
        (lambda: softmax(1.0), "axis: expected an axis"),
        (
            lambda: derivative("softmax", 1.0),
            "name: expected one of sigmoid, tanh, relu, leaky_relu, elu, got 'softmax'",
        ),
        (lambda: derivative("relu", 1.0, alpha=1.0), "parameters: relu does not take alpha"),
        (lambda: derivative("elu", 1.0, beta=1.0), "parameters: elu does not take beta"),
        (lambda: derivative("elu", 1.0, alpha=-1.0), "alpha: expected a number of at least 0"),
        (lambda: maxout([1.0, 2.0], np.ones((3, 1, 2)), np.ones((1, 2))), "w: expected shape"),
        (lambda: maxout([1.0, 2.0], np.ones((2, 2)), np.ones((1, 2))), "w: expected shape"),
        (lambda: maxout([1.0, 2.0], np.ones((2, 1, 2)), np.ones(2)), "b: expected shape"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_where_tensorflow_differs():
    ours, theirs = activations.leaky_relu(np.float64([-1e4])), tf.nn.leaky_relu(np.float64([-1e4])).numpy()
    assert ours[0] == -2000.0
    assert 0 < abs(theirs[0] / ours[0] - 1) < 2e-8  # α is a float32 there
    x = tf.constant([np.nan])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.nn.relu(x)
    assert tape.gradient(y, x).numpy()[0] == 0.0
    assert np.isnan(derivative("relu", [np.nan])[0])


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "elu", "softmax"])
def test_half_and_double_precision(name, dtype):
    x = np.array([-200, -7, -1e-3, 0, 1e-3, 3, 200], dtype)
    library = {"sigmoid": tf.sigmoid, "tanh": tf.tanh, "relu": tf.nn.relu, "elu": tf.nn.elu, "softmax": tf.nn.softmax}
    ours = getattr(activations, name)(x)
    assert ours.dtype == dtype
    np.testing.assert_allclose(
        ours, library[name](x), rtol=2e-3 if dtype == "float16" else 1e-9, atol=1e-4 * (dtype == "float16")
    )

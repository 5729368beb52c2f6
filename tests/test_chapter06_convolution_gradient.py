"""The gradients of a convolution against TensorFlow's tape over random shapes, and their properties."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kerasnotes.chapter06.convolution import as_matrix, conv2d
from kerasnotes.chapter06.convolution_gradient import filter_gradient, input_gradient, spread

SEEDS = st.integers(0, 2**32 - 1)
PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4))
PADS = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(list)
PADDINGS = st.sampled_from(["VALID", "SAME"]) | st.tuples(PADS, PADS).map(lambda p: [[0, 0], *p, [0, 0]])


def case(seed, sizes, kernel, strides, padding, channels, batch):
    pads = padding[1:3] if isinstance(padding, list) else [[0, 0]] * 2
    assume(padding == "SAME" or all(k <= n + sum(p) for n, k, p in zip(sizes, kernel, pads, strict=True)))
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(batch, *sizes, channels[0])), rng.normal(size=(*kernel, *channels))
    x, w = tf.constant(x), tf.constant(w)
    with tf.GradientTape() as tape:
        tape.watch((x, w))
        y = tf.nn.conv2d(x, w, strides, padding)
    dy = rng.normal(size=y.shape)
    return x.numpy(), w.numpy(), dy, tape.gradient(y, (x, w), output_gradients=tf.constant(dy))


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(max_examples=40)
@given(SEEDS, SIZES, PAIRS, PAIRS, PADDINGS, PAIRS, st.integers(1, 3))
def test_equal_to_the_tape(seed, sizes, kernel, strides, padding, channels, batch):
    x, w, dy, (want_x, want_w) = case(seed, sizes, kernel, strides, padding, channels, batch)
    np.testing.assert_allclose(input_gradient(dy, w, x.shape, strides, padding), want_x, atol=1e-11)
    np.testing.assert_allclose(filter_gradient(x, dy, w.shape, strides, padding), want_w, atol=1e-11)


@settings(max_examples=20)
@given(SEEDS, SIZES, PAIRS, PAIRS, PADDINGS, PAIRS)
def test_forward_and_backward_are_adjoint(seed, sizes, kernel, strides, padding, channels):
    x, w, dy, _ = case(seed, sizes, kernel, strides, padding, channels, 2)
    inner = np.sum(conv2d(x, w, strides, padding) * dy)
    assert np.sum(x * input_gradient(dy, w, x.shape, strides, padding)) == pytest.approx(inner, abs=1e-9)
    assert np.sum(w * filter_gradient(x, dy, w.shape, strides, padding)) == pytest.approx(inner, abs=1e-9)


@settings(max_examples=15)
@given(SEEDS, PAIRS, PAIRS, PAIRS)
def test_backwards_is_the_matrix_transposed(seed, extra, kernel, channels):
    sizes = tuple(k + e - 1 for k, e in zip(kernel, extra, strict=True))
    x, w, dy, _ = case(seed, sizes, kernel, 1, "VALID", channels, 1)
    want = as_matrix(w, x.shape[1:]).T @ dy.ravel()
    np.testing.assert_allclose(input_gradient(dy, w, x.shape).ravel(), want, atol=1e-12)


def test_spread_by_hand():
    dy = np.array([[1.0, 2.0], [3.0, 4.0]])[None, ..., None]
    np.testing.assert_array_equal(spread(dy, 2)[0, ..., 0], [[1, 0, 2], [0, 0, 0], [3, 0, 4]])
    np.testing.assert_array_equal(spread(dy, (1, 3))[0, ..., 0], [[1, 0, 0, 2], [3, 0, 0, 4]])
    np.testing.assert_array_equal(spread(dy), dy)


def test_by_hand():
    w = np.array([[1.0, 2.0], [3.0, 4.0]])[..., None, None]
    dy = np.array([[1.0, 10.0]])[None, ..., None]  # each number stamps w into the picture
    np.testing.assert_array_equal(input_gradient(dy, w, (1, 2, 3, 1))[0, ..., 0], [[1, 12, 20], [3, 34, 40]])
    np.testing.assert_array_equal(
        input_gradient(dy, w, (1, 2, 5, 1), 2)[0, ..., 0], [[1, 2, 10, 20, 0], [3, 4, 30, 40, 0]]
    )
    x = np.arange(1.0, 11.0).reshape(1, 2, 5, 1)
    np.testing.assert_array_equal(filter_gradient(x, dy, (2, 2, 1, 1), 2)[..., 0, 0], [[31, 42], [86, 97]])


X, W, DY = np.ones((1, 5, 5, 2)), np.ones((3, 3, 2, 4)), np.ones((1, 2, 2, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: input_gradient(DY, W, X.shape), r"dy: expected shape \(1, 3, 3, 4\), got \(1, 2, 2, 4\)"),
        (lambda: filter_gradient(X, DY, W.shape), r"dy: expected shape \(1, 3, 3, 4\), got \(1, 2, 2, 4\)"),
        (lambda: input_gradient(DY, W, (1, 5, 5, 3), 2), "filter_shape: expected 3 channels"),
        (lambda: filter_gradient(X, DY, (3, 3, 1, 4), 2), "filter_shape: expected 2 channels"),
        (lambda: input_gradient(DY, W, (5, 5, 2), 2), r"input_shape: expected 4 sizes, got \(5, 5, 2\)"),
        (lambda: filter_gradient(X, DY, (3, 3), 2), "filter_shape: expected 4 sizes"),
        (lambda: input_gradient(DY, W[0], X.shape, 2), "w: expected numbers with 4 axes"),
        (lambda: filter_gradient(X[0], DY, W.shape, 2), "x: expected numbers with 4 axes"),
        (lambda: input_gradient(DY, np.ones((6, 3, 2, 4)), X.shape, 2), "kernel: expected at most 5"),
        (lambda: filter_gradient(X, DY, W.shape, 0), "strides: expected a whole number of at least 1, got 0"),
        (lambda: filter_gradient(X, DY, W.shape, 2, "FULL"), "padding: expected"),
        (lambda: spread(np.ones((2, 2)), 2), "dy: expected numbers with 4 axes"),
        (lambda: spread(DY, 0), "strides: expected a whole number of at least 1, got 0"),
        (lambda: spread(DY[:, :0]), "dy: expected numbers with 4 axes, none empty"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_empty_batch_has_an_empty_gradient_and_a_zero_one():
    x, dy = np.ones((0, 4, 4, 2)), np.ones((0, 3, 3, 3))
    assert input_gradient(dy, np.ones((2, 2, 2, 3)), x.shape).shape == x.shape
    np.testing.assert_array_equal(filter_gradient(x, dy, (2, 2, 2, 3)), np.zeros((2, 2, 2, 3)))

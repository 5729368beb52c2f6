"""Clipping by hand against Keras's losses: values, slopes, types, and what is refused."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter02.keras_losses import clipped_binary_cross_entropy, clipped_cross_entropy

PAIRS = {
    clipped_cross_entropy: keras.losses.categorical_crossentropy,
    clipped_binary_cross_entropy: keras.losses.binary_crossentropy,
}
pairs = pytest.mark.parametrize(("ours", "theirs"), PAIRS.items(), ids=["categorical", "binary"])


def with_slope(loss, target, output):
    output = tf.constant(output)
    with tf.GradientTape() as tape:
        tape.watch(output)
        value = loss(tf.constant(target), output)
    return value.numpy(), tape.gradient(value, output).numpy()


@pairs
@settings(max_examples=10, deadline=None)
@given(rows=st.integers(1, 3), outcomes=st.integers(2, 4), zeros=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_equal_to_keras(ours, theirs, rows, outcomes, zeros, seed):
    rng = np.random.default_rng(seed)
    target, output = rng.uniform(0, 1, size=(2, rows, outcomes))
    if zeros:
        output[..., 0] = rng.integers(0, 2)  # sure: 0 or 1
        output[..., -1] += 1e-3  # and not all 0, which nothing can divide
        output = np.minimum(output, 1)
    for one, other in zip(with_slope(ours, target, output), with_slope(theirs, target, output), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


@pairs
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_types_stay(ours, theirs, dtype):
    target, output = np.array([[1, 0]]), np.array([[0.25, 0.75]], dtype)
    value = ours(target, output)
    assert value.dtype == dtype
    np.testing.assert_allclose(value, theirs(target, output), rtol=1e-3)


@pairs
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (1, 2, 3, 2)])
def test_any_number_of_axes(ours, theirs, shape):
    target, output = np.random.default_rng(0).uniform(0.1, 0.9, size=(2, *shape))
    np.testing.assert_allclose(ours(target, output), theirs(target, output), rtol=1e-6)


@pairs
def test_unknown_batch_in_compiled_code(ours, theirs):
    compiled = tf.function(ours, input_signature=[tf.TensorSpec((None, 2))] * 2, jit_compile=True)
    target, output = np.float32([[1, 0], [0, 1]]), np.float32([[0.2, 0.8], [1, 0]])
    np.testing.assert_allclose(compiled(target, output), theirs(target, output), rtol=1e-5)


def test_the_largest_loss_and_its_slope():
    value, slope = with_slope(clipped_cross_entropy, np.float32([[1, 0]]), np.float32([[0, 1]]))
    np.testing.assert_allclose(value, [-math.log(1e-7)], rtol=1e-6)
    np.testing.assert_array_equal(slope, [[0, 0]])


@pairs
def test_bad_arguments(ours, theirs):
    with pytest.raises(ValueError, match="expected the shape"):
        ours([1.0, 0.0], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="expected numbers, at least one"):
        ours(np.zeros((1, 0)), np.zeros((1, 0)))

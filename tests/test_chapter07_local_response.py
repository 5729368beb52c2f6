"""Normalization across channels against TensorFlow over random constants, by hand, and every error message."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter07.local_response import LocalResponseNormalization, local_response_normalization


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 9), st.sampled_from([1, 3, 5, 7]), st.floats(0.5, 3), st.floats(0, 1), st.floats(0.2, 1),
    st.integers(0, 99),
)  # fmt: skip
def test_normalization_equals_tensorflow(channels, size, k, alpha, beta, seed):
    x = tf.constant(np.random.default_rng(seed).normal(size=(2, 2, 3, channels)), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours = local_response_normalization(x, size, k, alpha, beta)
        theirs = tf.nn.local_response_normalization(x, size // 2, k, alpha, beta)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(tape.gradient(ours, x), tape.gradient(theirs, x), rtol=1e-3, atol=1e-4)


def test_normalization_by_hand():
    x = tf.reshape(tf.constant([10.0, 20.0, 0.0, 0.0]), (1, 1, 1, 4))
    got = local_response_normalization(x, size=3, k=1.0, alpha=0.01, beta=1.0)
    np.testing.assert_allclose(np.ravel(got), [10 / 6, 20 / 6, 0, 0], rtol=1e-6)
    layer = LocalResponseNormalization()
    np.testing.assert_allclose(layer(100 * x), local_response_normalization(100 * x), rtol=1e-5)
    assert layer.count_params() == 0


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_with_an_unknown_batch(jit_compile):
    call = tf.function(local_response_normalization, jit_compile=jit_compile,
                       input_signature=[tf.TensorSpec((None, 2, 2, 3))])  # fmt: skip
    for batch in (2, 1):
        x = np.random.default_rng(batch).normal(size=(batch, 2, 2, 3)).astype("float32")
        np.testing.assert_allclose(call(x), tf.nn.local_response_normalization(x, 2, 2.0, 1e-4, 0.75), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float16", "float64"])
def test_other_types(dtype):
    x = np.arange(1, 7).reshape(1, 1, 2, 3).astype(dtype)
    got = local_response_normalization(x)
    assert got.dtype == (dtype if dtype.startswith("float") else "float32")
    want = tf.nn.local_response_normalization(x.astype("float32"), 2, 2.0, 1e-4, 0.75)
    np.testing.assert_allclose(got, want, rtol=2e-3)


def test_errors():
    with pytest.raises(ValueError, match="size: expected an odd number of channels, got 4"):
        local_response_normalization(tf.ones((1, 1, 1, 4)), size=4)
    with pytest.raises(ValueError, match=r"x: expected the shape \(any, any, any, any\), got \(2, 3\)"):
        local_response_normalization(tf.ones((2, 3)))

"""Dropout against TensorFlow's over random shapes, and its gradient."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kerasnotes.chapter05.dropout import classic_dropout, classic_inference, dropout

SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, max_side=6)
SEEDS = st.integers(0, 2**31 - 1)
RATES = st.floats(0.0, 0.95)


@settings(max_examples=40, deadline=None)
@given(SHAPES, SEEDS, RATES, st.sampled_from(["float32", "float64"]))
def test_equal_to_tensorflow(shape, seed, rate, dtype):
    x = tf.constant(np.random.default_rng(seed).normal(size=shape), dtype)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours = dropout(x, rate, seed)
        theirs = tf.nn.experimental.stateless_dropout(x, rate, seed=(seed, 0))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(ours, x), tape.gradient(theirs, x), rtol=1e-5)
    assert ours.dtype == x.dtype
    np.testing.assert_allclose(classic_dropout(x, rate, (seed, 0)) / (1 - rate), ours, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_equal_in_compiled_code_with_an_unknown_batch(dtype, jit_compile):
    signature = [tf.TensorSpec((None, 4), dtype), tf.TensorSpec((2,), "int32")]

    @tf.function(input_signature=signature, jit_compile=jit_compile)
    def both(x, seed):
        return dropout(x, 0.25, seed), tf.nn.experimental.stateless_dropout(x, 0.25, seed=seed)

    for batch in (5, 1, 0):
        ours, theirs = both(tf.ones((batch, 4), dtype), (1, batch))
        assert ours.dtype == dtype
        np.testing.assert_allclose(tf.cast(ours, "float32"), tf.cast(theirs, "float32"), rtol=1e-2)


def test_a_counter_of_steps_may_be_the_seed():
    step = tf.Variable(0, dtype=tf.int64)

    @tf.function
    def next_one():
        step.assign_add(1)
        return dropout(tf.ones(100), 0.5, step)

    first, second = next_one(), next_one()
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, dropout(tf.ones(100), 0.5, 1))


def test_seeds():
    x = tf.ones(1000)
    assert np.array_equal(dropout(x, 0.5, 7), dropout(x, 0.5, 7))
    assert not np.array_equal(dropout(x, 0.5, 7), dropout(x, 0.5, 8))
    assert not np.array_equal(dropout(x, 0.5, (7, 0)), dropout(x, 0.5, (7, 1)))
    assert set(np.unique(dropout(x, 0.75, 1))) == {0.0, 4.0}
    assert set(np.unique(classic_dropout(x, 0.75, 1))) == {0.0, 1.0}
    assert np.array_equal(dropout(x, 0.0, 1), x)


@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan"), 2])
def test_the_rate_is_below_one(rate):
    for call in (
        lambda: dropout([1.0], rate, 0),
        lambda: classic_dropout([1.0], rate, 0),
        lambda: classic_inference([1.0], rate),
    ):
        with pytest.raises(ValueError, match=r"rate: expected a number from 0"):
            call()


def test_other_errors():
    with pytest.raises(ValueError, match="x: expected floating-point numbers, got int32"):
        dropout([1, 2], 0.5, 0)
    with pytest.raises(ValueError, match="seed: expected an integer or two of them"):
        dropout([1.0], 0.5, (1, 2, 3))
    with pytest.raises(ValueError, match="seed: expected an integer or two of them"):
        dropout([1.0], 0.5, 0.5)

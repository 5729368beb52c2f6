"""Losses against Keras, SciPy and scikit-learn, with their slopes."""

import keras
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter02.losses import (
    binary_cross_entropy,
    cross_entropy,
    cross_entropy_from_logits,
    entropy,
    half_squared_error,
    information,
    kl_divergence,
    mean_squared_error,
)

shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3)
seeds = st.integers(0, 2**32 - 1)


def with_slope(loss, y, output):
    output = tf.constant(output)
    with tf.GradientTape() as tape:
        tape.watch(output)
        value = loss(tf.constant(y), output)
    return value.numpy(), tape.gradient(value, output).numpy()


@settings(max_examples=25, deadline=None)
@given(shape=shapes, seed=seeds)
def test_squared_errors(shape, seed):
    y, output = np.random.default_rng(seed).normal(size=(2, *shape))
    value, slope = with_slope(mean_squared_error, y, output)
    keras_value, keras_slope = with_slope(keras.losses.mean_squared_error, y, output)
    np.testing.assert_allclose(value, keras_value, atol=1e-12)
    np.testing.assert_allclose(slope, keras_slope, atol=1e-12)
    np.testing.assert_allclose(value, ((y - output) ** 2).mean(axis=-1), atol=1e-12)
    half, half_slope = with_slope(half_squared_error, y, output)
    np.testing.assert_allclose(half, value * shape[-1] / 2, atol=1e-12)
    np.testing.assert_allclose(half_slope, output - y, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(shape=shapes, seed=seeds)
def test_binary_cross_entropy(shape, seed):
    rng = np.random.default_rng(seed)
    y, p = rng.integers(0, 2, size=shape).astype(float), rng.uniform(0.001, 0.999, size=shape)
    for ours, theirs in zip(
        with_slope(binary_cross_entropy, y, p), with_slope(keras.losses.binary_crossentropy, y, p), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-12)
    flat = sklearn.metrics.log_loss(y.ravel(), p.ravel(), labels=[0, 1])
    np.testing.assert_allclose(np.mean(binary_cross_entropy(y, p)), flat, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 4), outcomes=st.integers(1, 5), base=st.sampled_from([2.0, np.e, 10.0]), seed=seeds)
def test_entropies(rows, outcomes, base, seed):
    p, q = np.random.default_rng(seed).dirichlet(np.ones(outcomes), size=(2, rows))
    np.testing.assert_allclose(entropy(p, base), scipy.stats.entropy(p, base=base, axis=-1), atol=1e-9)
    divergence = kl_divergence(p, q, base)
    np.testing.assert_allclose(divergence, scipy.stats.entropy(p, q, base=base, axis=-1), atol=1e-9)
    np.testing.assert_allclose(cross_entropy(p, q, base), entropy(p, base) + divergence, atol=1e-9)
    assert np.min(divergence) >= -1e-12
    np.testing.assert_array_equal(kl_divergence(p, p, base), np.zeros(rows))
    np.testing.assert_allclose(cross_entropy(p, q, base) * np.log(base), cross_entropy(p, q), atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 4), outcomes=st.integers(2, 5), seed=seeds)
def test_equal_keras(rows, outcomes, seed):
    rng = np.random.default_rng(seed)
    p, q = 0.99 * rng.dirichlet(np.ones(outcomes), size=(2, rows)) + 0.01 / outcomes
    logits = rng.normal(scale=5, size=(rows, outcomes))
    value, slope = with_slope(cross_entropy, p, q)
    keras_value, keras_slope = with_slope(keras.losses.categorical_crossentropy, p, q)
    np.testing.assert_allclose(value, keras_value, atol=1e-9)
    np.testing.assert_allclose(slope + 1, keras_slope, atol=1e-9)  # Keras divides q by its sum
    for ours, theirs in (
        (kl_divergence, keras.losses.kl_divergence),
        (cross_entropy_from_logits, lambda y, z: keras.losses.categorical_crossentropy(y, z, from_logits=True)),
    ):
        output = q if ours is kl_divergence else logits
        for one, other in zip(with_slope(ours, p, output), with_slope(theirs, p, output), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-9)
    np.testing.assert_allclose(
        with_slope(cross_entropy_from_logits, p, logits)[1], tf.nn.softmax(logits) - p, atol=1e-9
    )


def test_by_hand():
    np.testing.assert_allclose(information([1, 0.5, 0.25, 0.125], 2), [0, 1, 2, 3], rtol=1e-6)
    np.testing.assert_allclose(entropy([0.5, 0.25, 0.25], 2), 1.5, rtol=1e-6)
    np.testing.assert_allclose(entropy([1.0, 0.0]), 0)
    np.testing.assert_allclose(cross_entropy([0.5, 0.5], [0.25, 0.75], 2), 2 - np.log2(3) / 2, rtol=1e-6)
    np.testing.assert_allclose(kl_divergence([0.25, 0.75], [0.5, 0.5], 2), 0.75 * np.log2(3) - 1, rtol=1e-5)
    np.testing.assert_allclose(cross_entropy([0, 1], [0.2, 0.8]), -np.log(0.8), rtol=1e-6)
    np.testing.assert_allclose(binary_cross_entropy([1, 0], [0.8, 0.4]), -(np.log(0.8) + np.log(0.6)) / 2, rtol=1e-6)
    np.testing.assert_allclose(half_squared_error([1, 2], [4, 6]), 12.5)
    np.testing.assert_allclose(mean_squared_error([1, 2], [4.0, 6.0]), 12.5)


def test_zero_probabilities():
    assert np.isposinf(information(0.0))
    assert np.isposinf(cross_entropy([1.0, 0.0], [0.0, 1.0]))
    assert np.isposinf(kl_divergence([0.5, 0.5], [0.0, 1.0]))
    assert np.isposinf(binary_cross_entropy([1.0], [0.0]))
    assert np.isposinf(binary_cross_entropy([0.0], [1.0]))
    np.testing.assert_allclose(cross_entropy([1.0, 0.0], [1.0, 0.0]), 0)
    np.testing.assert_allclose(kl_divergence([0.0, 1.0], [0.5, 0.5]), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(binary_cross_entropy([1.0, 0.0], [1.0, 0.0]), 0)
    np.testing.assert_allclose(cross_entropy_from_logits([1.0, 0.0], [-1000.0, 1000.0]), 2000)


@settings(max_examples=15, deadline=None)
@given(logit=st.floats(-15, 15), target=st.sampled_from([0.0, 1.0]))
def test_slopes_against_the_logit(logit, target):
    z = np.array([logit])
    _, crossed = with_slope(lambda y, z: binary_cross_entropy(y, tf.sigmoid(z)), [target], z)
    _, squared = with_slope(lambda y, z: mean_squared_error(y, tf.sigmoid(z)), np.array([target]), z)
    p = 1 / (1 + np.exp(-logit))
    np.testing.assert_allclose(crossed, p - target, atol=1e-9)
    np.testing.assert_allclose(squared, 2 * (p - target) * p * (1 - p), atol=1e-9)


def test_inside_a_compiled_function():
    compiled = tf.function(lambda p, q: (kl_divergence(p, q), binary_cross_entropy(p, q), cross_entropy(p, q)))
    p, q = tf.constant([[0.3, 0.7]]), tf.constant([[0.6, 0.4]])
    for one, other in zip(compiled(p, q), (kl_divergence(p, q), binary_cross_entropy(p, q), cross_entropy(p, q)),
                          strict=True):  # fmt: skip
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_squared_error([1.0, 2.0], [1.0]), "output: expected the shape of y"),
        (lambda: mean_squared_error(1.0, 2.0), "output: expected the shape of y"),
        (lambda: mean_squared_error([], []), "output: expected numbers, at least one"),
        (lambda: half_squared_error([[1.0]], [1.0]), "output: expected the shape of y"),
        (lambda: information(-0.1), "p: expected probabilities between 0 and 1"),
        (lambda: information(np.nan), "p: expected probabilities between 0 and 1"),
        (lambda: information([]), "p: expected numbers, at least one"),
        (lambda: information(0.5, base=1), "base: expected a number above 1, got 1"),
        (lambda: information(0.5, base=np.inf), "base: expected a number above 1"),
        (lambda: entropy([0.5, 0.4]), "p: expected distributions that sum to 1"),
        (lambda: entropy([1.5, -0.5]), "p: expected probabilities between 0 and 1"),
        (lambda: entropy([0.5, 0.5], base=0.5), "base: expected a number above 1"),
        (lambda: cross_entropy([0.5, 0.5], [1.0]), "q: expected the shape of p"),
        (lambda: cross_entropy([0.5, 0.5], [0.7, 0.7]), "q: expected distributions that sum to 1"),
        (lambda: kl_divergence([0.5, 0.5], [1.1, -0.1]), "q: expected probabilities between 0 and 1"),
        (lambda: kl_divergence([0.9, 0.9], [0.5, 0.5]), "p: expected distributions that sum to 1"),
        (lambda: binary_cross_entropy([1.0], [1.1]), "p: expected probabilities between 0 and 1"),
        (lambda: binary_cross_entropy([2.0], [0.5]), "y: expected probabilities between 0 and 1"),
        (lambda: binary_cross_entropy([1.0], [0.5, 0.5]), "p: expected the shape of y"),
        (lambda: cross_entropy_from_logits([0.5, 0.6], [1.0, 2.0]), "p: expected distributions that sum to 1"),
        (lambda: cross_entropy_from_logits([0.5, 0.5], [1.0]), "logits: expected the shape of p"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


LOSSES = (mean_squared_error, half_squared_error, cross_entropy, kl_divergence, binary_cross_entropy,
          cross_entropy_from_logits)  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_unknown_sizes_and_xla(loss):
    p, q = np.float32([[0.25, 0.75], [1, 0]]), np.float32([[0.5, 0.5], [0.9, 0.1]])
    for compile_it in (False, True):
        compiled = tf.function(loss, input_signature=[tf.TensorSpec((None, None))] * 2, jit_compile=compile_it)
        np.testing.assert_allclose(compiled(p, q), loss(p, q), rtol=1e-5)
        np.testing.assert_allclose(compiled(p[:1], q[:1]), loss(p, q)[:1], rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_answers_type_decides(loss, dtype):
    truth, answer = np.array([[True, False]]), np.array([[0.5, 0.5]], dtype)
    for target in (truth, truth.astype(int), truth.astype("float64"), tf.constant([[1.0, 0.0]])):
        value = loss(target, answer)
        assert value.dtype == dtype
        np.testing.assert_allclose(value, loss(truth.astype("float64"), answer.astype("float64")), rtol=1e-3)


def test_three_thirds_in_bfloat16():
    third = tf.constant([1 / 3] * 3, tf.bfloat16)
    np.testing.assert_allclose(float(entropy(third)), np.log(3), rtol=0.02)
    with pytest.raises(ValueError, match="sum to 1"):
        entropy(tf.constant([0.5, 0.4], tf.bfloat16))


def test_convex_in_the_logit_or_not():
    z = tf.constant(np.linspace(-8, 8, 33)[:, None])
    p = tf.sigmoid(z)[:, 0].numpy()
    curvatures = []
    for loss in (binary_cross_entropy, mean_squared_error):
        with tf.GradientTape() as outer:
            outer.watch(z)
            with tf.GradientTape() as inner:
                inner.watch(z)
                value = loss(tf.ones_like(z), tf.sigmoid(z))
            slope = inner.gradient(value, z)
        curvatures.append(outer.gradient(slope, z)[:, 0].numpy())
    np.testing.assert_allclose(curvatures, [p * (1 - p), 2 * p * (1 - p) ** 2 * (3 * p - 1)], rtol=1e-9, atol=1e-15)
    assert (curvatures[0] > 0).all()
    assert ((curvatures[1] < 0) == (p < 1 / 3)).all()

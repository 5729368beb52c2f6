"""Batch normalization against Keras over random shapes, its gradient and Jacobian, and every error message."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter06 import batch_norm, normalization_gradient
from kerasnotes.chapter06.batch_norm import BatchNorm

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(lambda rest: (5, *rest))
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=20)
@given(SHAPES, st.integers(0, 100), st.floats(0, 1), st.sampled_from([1e-3, 0.1, 2.0]), SEEDS)
def test_equal_to_keras(shape, place, momentum, epsilon, seed):
    rng = np.random.default_rng(seed)
    axis = [*range(1, len(shape)), *range(1 - len(shape), 0)][place % (2 * len(shape) - 2)]
    channels = shape[axis]
    start = [
        rng.normal(size=channels),
        rng.normal(size=channels),
        rng.normal(size=channels),
        rng.uniform(1, 2, channels),
    ]
    x, dy = (tf.constant(rng.normal(1, 2, size=shape), tf.float32) for _ in range(2))
    seen = []
    for layer in (BatchNorm(axis, momentum, epsilon), keras.layers.BatchNormalization(axis, momentum, epsilon)):
        layer.build(shape)
        layer.set_weights(start)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        slopes = tape.gradient(y, [x, *layer.trainable_variables], output_gradients=dy)
        seen.append([y, *slopes, *layer.get_weights(), layer(x), layer(x, training=False)])
    for ours, theirs in zip(*seen, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-4)


def test_by_hand():
    layer = BatchNorm(momentum=0.75, epsilon=1e-9)
    np.testing.assert_allclose(
        layer(np.float32([[1], [3]]), training=True), [[-1], [1]], rtol=1e-6
    )  # mean 2, variance 1
    np.testing.assert_allclose(layer.moving_mean, [0.5])
    np.testing.assert_allclose(layer.moving_variance, [1.0])
    np.testing.assert_allclose(layer(np.float32([[7]])), [[6.5]], rtol=1e-6)
    np.testing.assert_array_equal(layer(np.float32([[7]]), training=True), [[0]])


def test_inference_is_the_default_and_changes_nothing():
    layer = BatchNorm()
    layer.build((None, 3))
    before = layer.get_weights()
    layer(np.ones((4, 3), "float32"))
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert [w.name for w in layer.trainable_variables] == ["gamma", "beta"]


def both(shape, **arguments):
    layers = BatchNorm(**arguments), keras.layers.BatchNormalization(**arguments)
    rng = np.random.default_rng(0)
    start = [*rng.normal(size=(3, shape[-1])), rng.uniform(1, 2, shape[-1])]
    for layer in layers:
        layer.build(shape)
        layer.set_weights(start)
    return layers


def test_a_frozen_layer_keeps_its_averages():
    ours, theirs = both((4, 3), momentum=0.9)
    x = np.random.default_rng(1).normal(2, 1, size=(4, 3)).astype("float32")
    for layer in (ours, theirs):
        layer.trainable = False
    before = ours.get_weights()
    np.testing.assert_allclose(ours(x, training=True), theirs(x, training=True), atol=1e-5)
    for old, new, other in zip(before, ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
        np.testing.assert_array_equal(old, other)


def test_masked_places_do_not_count():
    ours, theirs = both((2, 3, 4), momentum=0.9)
    x = np.random.default_rng(1).normal(2, 1, size=(2, 3, 4)).astype("float32")
    mask = np.array([[True, True, False], [True, False, False]])
    for _ in range(2):
        np.testing.assert_allclose(ours(x, training=True, mask=mask), theirs(x, training=True, mask=mask), atol=1e-5)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    kept = x[mask]
    np.testing.assert_allclose(ours(x, training=True, mask=mask)[0, 0], ours.gamma * (x[0, 0] - kept.mean(0)) /
                               np.sqrt(kept.var(0) + 1e-3) + ours.beta, atol=1e-4)  # fmt: skip
    assert ours.compute_mask(x, mask) is mask  # layers behind it see the mask, too


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "mixed_float16"])
def test_other_precisions(dtype):
    ours, theirs = both((8, 3), momentum=0.9, dtype=dtype)
    x = np.random.default_rng(1).normal(300, 100, size=(8, 3))
    for training in (True, True, False):
        got, want = ours(x, training=training), theirs(x, training=training)
        assert got.dtype == want.dtype
        np.testing.assert_allclose(tf.cast(got, tf.float64), tf.cast(want, tf.float64), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_with_an_unknown_batch(jit_compile):
    ours, theirs = both((None, 3), momentum=0.9)
    step = tf.function(lambda x: ours(x, training=True), jit_compile=jit_compile,
                       input_signature=[tf.TensorSpec((None, 3))])  # fmt: skip
    for batch in (5, 1):
        x = np.random.default_rng(batch).normal(size=(batch, 3)).astype("float32")
        np.testing.assert_allclose(step(x), theirs(x, training=True), atol=1e-4)
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, atol=1e-5)


def test_the_gradient_is_offered_here_too():
    assert batch_norm.batch_norm_gradient is normalization_gradient.batch_norm_gradient
    assert batch_norm.batch_norm_jacobian is normalization_gradient.batch_norm_jacobian


def test_a_model_with_it_can_be_copied():
    model = keras.Sequential([keras.Input((3, 4)), BatchNorm(1, 0.5, 0.1)])
    copy = keras.models.model_from_json(model.to_json()).layers[0]
    assert (copy.axis, copy.momentum, copy.epsilon) == (1, 0.5, 0.1)


def test_errors_of_the_layer():
    for bad in (0, 1.0, True, None):
        with pytest.raises(ValueError, match="axis: expected an integer other than 0"):
            BatchNorm(bad)
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="momentum: expected a number from 0 to 1"):
            BatchNorm(momentum=bad)
    for bad in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="epsilon: expected a positive number"):
            BatchNorm(epsilon=bad)
    for axis, shape in ((2, (4, 3)), (-2, (4, 3)), (-1, (4,))):
        with pytest.raises(ValueError, match=r"axis: expected one of .* behind the batch's"):
            BatchNorm(axis).build(shape)
    with pytest.raises(ValueError, match="x: expected a known, positive number of channels"):
        BatchNorm().build((4, None))
    with pytest.raises(ValueError, match="x: expected at least one example"):
        BatchNorm()(np.ones((0, 3), "float32"), training=True)
    assert BatchNorm()(np.ones((0, 3), "float32")).shape == (0, 3)  # as Keras's

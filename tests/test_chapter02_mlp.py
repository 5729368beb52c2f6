"""Our dense layer, one-hot vectors and networks against Keras and TensorFlow."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter02.mlp import Dense, build_mlp, one_hot

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 5)


@settings(max_examples=20, deadline=None)
@given(batch=sizes, inputs=sizes, units=sizes, kind=st.sampled_from([None, "relu", "tanh", "softmax"]), seed=seeds)
def test_dense_equals_keras(batch, inputs, units, kind, seed):
    x = tf.constant(np.random.default_rng(seed).normal(size=(batch, inputs)), tf.float32)
    ours, theirs = Dense(units, kind, seed=seed), keras.layers.Dense(units, kind)
    ours(x), theirs(x)
    assert np.abs(ours.w).max() <= np.sqrt(6 / (inputs + units))
    ours.b.assign(np.random.default_rng(seed).normal(size=units))
    theirs.set_weights([ours.w.numpy(), ours.b.numpy()])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        outputs = ours(x), theirs(x)
        sums = [tf.reduce_sum(y**2) for y in outputs]
    np.testing.assert_allclose(*outputs, atol=1e-5)
    slopes = tape.gradient(sums[0], [x, ours.w, ours.b]), tape.gradient(sums[1], [x, *theirs.trainable_weights])
    for one, other in zip(*slopes, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_dense_repeats_itself_and_takes_a_function():
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(Dense(4, tf.sin, seed=3)(x), tf.sin(Dense(4, seed=3)(x)))
    assert not np.array_equal(Dense(4, seed=3)(x), Dense(4, seed=4)(x))


@pytest.mark.parametrize("shape", [(2, 5, 3), (4, 1, 2, 3), (3,)])
def test_the_last_axis_holds_the_inputs(shape):
    x = np.random.default_rng(0).normal(size=shape)
    for inputs in (np.float32(x), x.tolist()):
        layer = Dense(4, seed=1)
        y = layer(inputs)
        assert layer.w.shape == (3, 4)
        np.testing.assert_allclose(y, x @ layer.w.numpy(), rtol=1e-5, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(shape=st.lists(sizes, max_size=3), classes=sizes, seed=seeds, kind=st.sampled_from(["uint8", "int32", "int64"]))
def test_one_hot_equals_tensorflow(shape, classes, seed, kind):
    labels = np.random.default_rng(seed).integers(0, classes, size=shape).astype(kind)
    np.testing.assert_array_equal(one_hot(labels, classes), tf.one_hot(labels, classes))
    assert one_hot(labels, classes).dtype == tf.float32


def test_the_start_is_glorots_uniform_one():
    ours, theirs = Dense(300), build_mlp([300], 10)
    ours(np.ones((2, 200), np.float32)), theirs(np.ones((2, 200), np.float32))
    bound = np.sqrt(6 / 500)
    for w in (ours.w, theirs.get_weights()[0]):
        assert 0.999 * bound < np.abs(w).max() <= bound
        assert np.std(w) == pytest.approx(bound / np.sqrt(3), rel=0.02)
        assert abs(np.mean(w)) < 5 * bound / np.sqrt(3 * 60_000)
    assert not np.any(ours.b)


def test_one_hot_in_a_compiled_function():
    compiled = tf.function(lambda labels: one_hot(labels, 300))
    np.testing.assert_array_equal(compiled(tf.constant([2, 255], tf.uint8)), np.eye(300)[[2, 255]])


def test_build_mlp_by_hand():
    model, x = build_mlp([4, 3], 2, activation="tanh", seed=5), np.random.default_rng(0).normal(size=(6, 5))
    outputs = model(x.astype(np.float32))
    w_1, b_1, w_2, b_2, w_3, b_3 = model.get_weights()
    np.testing.assert_allclose(outputs, np.tanh(np.tanh(x @ w_1 + b_1) @ w_2 + b_2) @ w_3 + b_3, atol=1e-5)
    again = build_mlp([4, 3], 2, activation="tanh", seed=5)
    np.testing.assert_array_equal(again(x.astype(np.float32)), outputs)
    assert len(build_mlp([], 3).layers) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Dense(0), "units: expected a whole number of at least 1, got 0"),
        (lambda: Dense(2.5), "units: expected a whole number of at least 1, got 2.5"),
        (lambda: Dense(2, "bend"), "activation: expected a function or a name that Keras knows, got 'bend'"),
        (lambda: one_hot([0.5], 3), "labels: expected integers, got float32"),
        (lambda: one_hot([0, 3], 3), "labels: expected integers from 0 to 2, got 0 to 3"),
        (lambda: one_hot([-1], 3), "labels: expected integers from 0 to 2, got -1 to -1"),
        (lambda: one_hot(np.zeros(0, int), 3), "labels: expected integers from 0 to 2, got none"),
        (lambda: one_hot([0], 0), "classes: expected a whole number of at least 1, got 0"),
        (lambda: build_mlp([4, 0], 2), "hidden: expected a whole number of at least 1, got 0"),
        (lambda: build_mlp([4], True), "classes: expected a whole number of at least 1, got True"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_labels_out_of_range_in_compiled_code_are_tensorflows():
    compiled = tf.function(lambda labels: one_hot(labels, 3), input_signature=[tf.TensorSpec((None,), tf.int32)])
    np.testing.assert_array_equal(compiled([0, 7]), tf.one_hot([0, 7], 3))

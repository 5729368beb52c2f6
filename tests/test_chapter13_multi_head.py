"""Several heads: Keras's layer over random sizes, masks and precisions, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter13.multi_head import (
    NAMES,
    MultiHeadAttention,
    attend,
    combine,
    multi_head_attention,
    parameter_count,
    project,
    window_attention,
    window_mask,
)


def results(layer, query, value, key, **arguments):
    inputs = [query, value, key]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output, weights = layer(query, value, key, return_attention_scores=True, **arguments)
        loss = tf.reduce_sum(tf.sin(output)) + tf.reduce_sum(tf.cos(2 * weights))
    return [output, weights, *tape.gradient(loss, [*inputs, *(each.value for each in layer.weights)])]


@pytest.mark.parametrize("seed", range(6))
def test_the_layer_is_keras(seed):
    rng = np.random.default_rng(seed)
    heads, key_dim, value_dim, inputs, other, steps, keys = rng.integers(1, 6, size=7).tolist()
    bias = bool(seed % 3) and (steps != heads != keys or min(key_dim, value_dim) > 1)  # see the fault below
    query, value, key = (
        tf.constant(rng.normal(size=size), tf.float32)
        for size in ((2, steps, inputs), (2, keys, other), (2, keys, inputs + 1))
    )
    theirs = keras.layers.MultiHeadAttention(heads, key_dim, value_dim, use_bias=bias)
    ours = MultiHeadAttention(heads, key_dim, value_dim, use_bias=bias)
    for layer in (theirs, ours):
        layer.build(query.shape, value.shape, key.shape)
    assert [each.shape for each in ours.weights] == [each.shape for each in theirs.weights]
    ours.set_weights([rng.normal(size=each.shape) for each in ours.weights])
    theirs.set_weights(ours.get_weights())
    seen = rng.random((2, steps, keys)) < 0.5
    seen[..., 0] = True
    for arguments in ({}, {"attention_mask": tf.constant(seen)}):
        wanted = results(theirs, query, value, key, **arguments)
        for got, want in zip(results(ours, query, value, key, **arguments), wanted, strict=True):
            np.testing.assert_allclose(got, want, atol=2e-5)


def test_keras_adds_the_bias_of_narrow_heads_along_another_axis():
    # If this fails, Keras has mended it: the note in the lesson and the exception above can go.
    x, bias = np.zeros((1, 2, 2, 1), np.float32), np.array([[1], [2]], np.float32)  # (batch, steps, heads, size)
    np.testing.assert_array_equal((x + bias).ravel(), [1, 2, 1, 2])
    np.testing.assert_array_equal(np.ravel(keras.ops.add(x, bias)), [1, 1, 2, 2])
    np.testing.assert_array_equal(np.ravel(project(x[..., 0, :], np.zeros((1, 2, 1), np.float32), bias)), [1, 1, 2, 2])


def test_causal_and_mask_together_are_keras():
    x = tf.constant(np.random.default_rng(7).normal(size=(2, 5, 4)), tf.float32)
    theirs, ours = keras.layers.MultiHeadAttention(2, 3), MultiHeadAttention(2, 3, seed=3)
    for layer in (theirs, ours):
        layer.build(x.shape, x.shape)
    theirs.set_weights(ours.get_weights())
    seen = np.ones((2, 5, 5), bool)
    seen[1, :, 2] = False
    for mask in (None, tf.constant(seen)):
        arguments = {"use_causal_mask": True, "attention_mask": mask}
        np.testing.assert_allclose(ours(x, x, **arguments), theirs(x, x, **arguments), atol=1e-6)


def test_the_function_takes_keras_weights_by_name():
    x = tf.constant(np.random.default_rng(1).normal(size=(1, 4, 6)), tf.float32)
    layer = keras.layers.MultiHeadAttention(2, 3)
    want = layer(x, x)
    parameters = dict(zip(NAMES, layer.get_weights(), strict=True))
    np.testing.assert_allclose(multi_head_attention(x, x, x, parameters)[0], want, atol=1e-6)
    causal = multi_head_attention(x, x, x, parameters, mask=np.tri(4, dtype=bool))[1]
    assert np.all(causal.numpy()[..., ~np.tri(4, dtype=bool)] == 0)


def test_a_head_of_ones_by_hand():
    # One head of one number: scores q·k, values are the inputs, the output is three times the mean.
    one = np.ones((1, 1, 1), np.float32)
    parameters = {"query_kernel": 0 * one, "key_kernel": one, "value_kernel": one, "output_kernel": 3 * one}
    output, weights = multi_head_attention(*[np.array([[[1.0], [2.0], [6.0]]], np.float32)] * 3, parameters)
    np.testing.assert_allclose(output, np.full((1, 3, 1), 9.0), rtol=1e-6)
    np.testing.assert_allclose(weights, np.full((1, 1, 3, 3), 1 / 3), rtol=1e-6)


@pytest.mark.parametrize("sizes", [(8, 3, 4, 5), (6, 2, 3, None), (5, 1, 7, 2)])
def test_parameters_are_counted_as_keras_does(sizes):
    inputs, heads, key_dim, value_dim = sizes
    layer = keras.layers.MultiHeadAttention(heads, key_dim, value_dim)
    layer.build((None, None, inputs), (None, None, inputs))
    assert parameter_count(*sizes) == layer.count_params()
    assert parameter_count(8, 3, 4, 5) == 479


def test_projecting_and_combining_are_einsums_and_lengths_may_be_unknown():
    rng = np.random.default_rng(2)
    x, kernel, bias = (tf.constant(rng.normal(size=size)) for size in ((2, 5, 3), (3, 4, 2), (4, 2)))
    want = np.einsum("bti,ihd->bhtd", x, kernel) + bias.numpy()[:, None]
    np.testing.assert_allclose(project(x, kernel, bias), want)
    back = tf.constant(rng.normal(size=(4, 2, 6)))
    np.testing.assert_allclose(combine(want, back), np.einsum("bhtd,hdo->bto", want, back))
    answers, _ = attend(want, want, want)
    run = tf.function(
        lambda each: combine(attend(*[project(each, kernel, bias)] * 3)[0], back),
        input_signature=[tf.TensorSpec((None, None, 3), tf.float64)],
    )
    np.testing.assert_allclose(run(x), combine(answers, back))


def test_seeds_start_alike_and_each_kernel_of_its_own():
    first, second = (MultiHeadAttention(2, 4, seed=5) for _ in range(2))
    for layer in (first, second):
        layer.build((None, None, 8))
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    query, key = first.get_weights()[0], first.get_weights()[2]
    assert np.abs(query - key).max() > 0.1
    assert window_attention.__name__ == "window_attention"
    assert window_mask.__name__ == "window_mask"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": np.zeros((2, 4))}, "query: expected the shape"),
        ({"key": np.zeros((1, 3, 5))}, "key: expected the shape"),
        ({"key": np.zeros((2, 4, 5))}, "key: expected the shape"),
        ({"value": np.zeros((2, 3, 4))}, "value: expected the shape"),
        ({"output_kernel": np.zeros((2, 3, 5))}, "output_kernel: expected the shape"),
        ({"mask": np.ones((2, 4, 2), bool)}, "mask: expected Booleans for 3 keys"),
        ({"mask": np.ones((2, 4, 3))}, "mask: expected Booleans"),
    ],
)
def test_errors(change, message):
    arguments = {"query": np.zeros((2, 4, 5)), "value": np.zeros((2, 3, 5)), "key": np.zeros((2, 3, 5)), "mask": None}
    kernel = np.zeros((5, 2, 2))
    parameters = {f"{name}_kernel": kernel for name in ("query", "key", "value")}
    parameters["output_kernel"] = np.zeros((2, 2, 5))
    for name, value in change.items():
        (parameters if name == "output_kernel" else arguments)[name] = value
    with pytest.raises(ValueError, match=message):
        multi_head_attention(**arguments, parameters=parameters)


@pytest.mark.parametrize("arguments", [(0, 4), (2, 0), (2, 4, 0), (2.0, 4)])
def test_sizes_are_whole_numbers(arguments):
    with pytest.raises(ValueError, match="expected a whole number"):
        MultiHeadAttention(*arguments)

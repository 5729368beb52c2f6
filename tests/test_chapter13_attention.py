"""Attention: Keras's layers over random shapes and masks, closed forms, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter13.attention import (
    additive_attention,
    attention_weights,
    causal_mask,
    distance_attention,
    dot_attention,
    padding_mask,
    scaled_dot_attention,
)


def problem(seed, batch=2, queries=3, keys=5, depth=4, value_depth=2, dtype="float32"):
    rng = np.random.default_rng(seed)
    sizes = (batch, queries, depth), (batch, keys, depth), (batch, keys, value_depth)
    return [tf.constant(rng.normal(size=size), dtype) for size in sizes]


def results(run, inputs):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output, weights = run(*inputs)
        loss = tf.reduce_sum(tf.sin(output)) + tf.reduce_sum(tf.cos(3 * weights))
    return [output, weights, *tape.gradient(loss, inputs)]


@pytest.mark.parametrize("seed", range(4))
def test_dot_products_are_keras_attention_and_its_masks(seed):
    rng = np.random.default_rng((seed, 1))
    batch, queries, keys, depth, value_depth = rng.integers(1, 7, size=5).tolist()
    inputs = problem(seed, batch, queries, keys, depth, value_depth)
    seen = rng.random((batch, keys)) < 0.5
    seen[:, 0] = True
    layer = keras.layers.Attention()
    for ours, mask in ((None, None), (seen[:, None], [None, tf.constant(seen)])):
        wanted = results(lambda q, k, v, m=mask: layer([q, v, k], mask=m, return_attention_scores=True), inputs)
        for got, want in zip(results(lambda *each, m=ours: dot_attention(*each, m), inputs), wanted, strict=True):
            np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_additive_scores_are_keras_and_with_matrices_bahdanaus(seed):
    rng = np.random.default_rng((seed, 2))
    inputs = problem(seed)
    layer = keras.layers.AdditiveAttention()
    layer.build([inputs[0].shape, inputs[2].shape, inputs[1].shape])
    scale = rng.normal(size=4).astype("float32")
    layer.set_weights([scale])
    wanted = results(lambda q, k, v: layer([q, v, k], return_attention_scores=True), inputs)
    for got, want in zip(results(lambda *each: additive_attention(*each, scale), inputs), wanted, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)
    query, key, value = problem(seed, depth=4)
    key = tf.concat([key, key[..., :2]], axis=-1)  # another depth than the query's
    w_query, w_key, scale = (rng.normal(size=size).astype("float32") for size in ((4, 3), (6, 3), 3))
    output, weights = additive_attention(query, key, value, scale, w_query=w_query, w_key=w_key)
    scores = np.array(
        [
            [[np.sum(scale * np.tanh(q @ w_query + k @ w_key)) for k in keys] for q in queries]
            for queries, keys in zip(query.numpy(), key.numpy(), strict=True)
        ]
    )
    want = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(weights, want, atol=1e-5)
    np.testing.assert_allclose(output, want @ value, atol=1e-5)


def test_scaled_scores_are_keras_dot_product_attention():
    query, key, value = problem(3, depth=4, value_depth=4)
    theirs = keras.ops.dot_product_attention(query[:, :, None], key[:, :, None], value[:, :, None])[:, :, 0]
    np.testing.assert_allclose(scaled_dot_attention(query, key, value)[0], theirs, atol=1e-5)


def test_numbers_that_one_can_follow():
    weights = attention_weights([[0.0, np.log(3.0)]])
    np.testing.assert_allclose(weights, [[0.25, 0.75]], atol=1e-6)
    np.testing.assert_allclose(attention_weights([[5.0, 0.0, np.log(3.0)]], [False, True, True]), [[0, 0.25, 0.75]])
    query, key, value = tf.constant([[[0.0]]]), tf.constant([[[0.0], [2.0]]]), tf.constant([[[1.0], [0.0]]])
    output, _ = distance_attention(query, key, value)  # scores 0 and -2
    np.testing.assert_allclose(output, [[[1 / (1 + np.exp(-2))]]], atol=1e-6)
    output, _ = dot_attention(tf.constant([[[3.0]]]), tf.constant([[[1.0], [2.0]]]), value, scale=0.0)
    np.testing.assert_allclose(output, [[[0.5]]])


def test_masked_keys_pass_nothing_and_rows_without_keys_are_zero_with_finite_slopes():
    inputs = problem(4)
    mask = np.array([[[True, False, True, False, True]], [[False] * 5]])
    output, weights, *slopes = results(lambda *each: dot_attention(*each, mask), inputs)
    assert np.all(weights.numpy()[0][:, [1, 3]] == 0)
    np.testing.assert_allclose(tf.reduce_sum(weights[0], -1), np.ones(3), atol=1e-6)
    assert not np.any(weights[1])
    assert not np.any(output[1])
    assert all(np.all(np.isfinite(each)) for each in slopes)
    assert not np.any(slopes[2].numpy()[0][[1, 3]])
    assert not any(np.any(each[1]) for each in slopes)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_large_scores_stay_finite_in_any_precision(dtype):
    scores = tf.constant([[30000.0, -30000.0, 100.0]], dtype)
    assert attention_weights(scores).dtype == dtype
    np.testing.assert_array_equal(attention_weights(scores), [[1, 0, 0]])
    np.testing.assert_array_equal(attention_weights(scores, [[False, True, False]]), [[0, 1, 0]])


def test_distance_is_dot_attention_for_keys_of_one_norm_only():
    query, key, value = problem(5, dtype="float64")
    same = key / tf.norm(key, axis=-1, keepdims=True)
    for ours, theirs in zip(distance_attention(query, same, value), dot_attention(query, same, value), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert np.abs(distance_attention(query, key, value)[1] - dot_attention(query, key, value)[1]).max() > 0.01


def test_masks():
    np.testing.assert_array_equal(causal_mask(3), [[True, False, False], [True, True, False], [True, True, True]])
    np.testing.assert_array_equal(padding_mask([[4, 0, 2], [0, 0, 1]]), [[[True, False, True]], [[False, False, True]]])
    np.testing.assert_array_equal(padding_mask([[4, 9]], value=9), [[[True, False]]])
    query, key, value = problem(6, queries=5)
    before = dot_attention(query, key, value, causal_mask(5))[0]
    key, value = (tf.concat([each[:, :3], each[:, 3:] + 1], axis=1) for each in (key, value))
    after = dot_attention(query, key, value, causal_mask(5))[0]
    np.testing.assert_array_equal(after[:, :3], before[:, :3])
    assert np.abs(after - before)[:, 3:].min() > 0


class Counted(float):
    """A number that counts how often it is multiplied."""

    products = 0

    def __mul__(self, other):
        Counted.products += 1
        return Counted(float(self) * float(other))

    def __add__(self, other):
        return Counted(float(self) + float(other))


@pytest.mark.parametrize(("queries", "keys", "depth", "value_depth"), [(3, 5, 4, 2), (6, 6, 8, 8), (12, 12, 8, 8)])
def test_multiplications_are_those_of_the_docstring(queries, keys, depth, value_depth):
    sizes = (queries, depth), (depth, keys), (queries, keys), (keys, value_depth)
    query, key, weights, value = (np.array([[Counted(1.0)] * n] * m, object) for m, n in sizes)
    Counted.products = 0
    query.dot(key), weights.dot(value)
    assert Counted.products == queries * keys * (depth + value_depth)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda q, k, v: dot_attention(q[0], k, v), "query: expected the shape"),
        (lambda q, k, v: dot_attention(q, k[:1], v), "key: expected the shape"),
        (lambda q, k, v: dot_attention(q, k[..., :3], v), "key: expected the shape"),
        (lambda q, k, v: dot_attention(q, k, v[:, :4]), "value: expected the shape"),
        (lambda q, k, v: scaled_dot_attention(q, k, v[:1]), "value: expected the shape"),
        (lambda q, k, v: distance_attention(q, k, v[0]), "value: expected the shape"),
        (lambda q, k, v: additive_attention(q, k, v, tf.ones(3)), "scale: expected the shape"),
        (lambda q, k, v: additive_attention(q, k, v, tf.ones((4, 1))), "scale: expected the shape"),
        (lambda q, k, v: dot_attention(q, k, v, np.ones((2, 3, 1), bool)), "mask: expected Booleans for 5 keys"),
        (lambda q, k, v: dot_attention(q, k, v, np.ones((2, 3, 5))), "mask: expected Booleans for 5 keys"),
        (lambda q, k, v: attention_weights([[]]), "scores: expected numbers"),
        (lambda q, k, v: causal_mask(0), "steps: expected a whole"),
        (lambda q, k, v: padding_mask([1, 0]), "ids: expected the shape"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(*problem(0))

"""Layers on several parts: the undivided layers' output and gradients, what is counted, sums on a ring, every error."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter13.multi_head import multi_head_attention
from kerasnotes.chapter14 import divided_vocabulary, model_parallel
from kerasnotes.chapter14.model_parallel import (
    block_costs,
    parallel_attention,
    parallel_feed_forward,
    ring_all_reduce,
    split_columns,
)


def drawn(seed, **sizes):
    rng = np.random.default_rng(seed)
    return {name: tf.Variable(rng.normal(size=size), dtype=tf.float32) for name, size in sizes.items()}


def feed_forward(seed, units=4, hidden=8, outputs=3):
    return drawn(seed, w1=(units, hidden), b1=hidden, w2=(hidden, outputs), b2=outputs)


def attention(seed, units=5, heads=4, size=3, bias=True):
    names = ("query", "key", "value")
    sizes = {f"{name}_kernel": (units, heads, size) for name in names} | {"output_kernel": (heads, size, units)}
    biases = {f"{name}_bias": (heads, size) for name in names} | {"output_bias": units}
    return drawn(seed, **sizes, **(biases if bias else {}))


def same(divided, whole, variables):
    with tf.GradientTape(persistent=True) as tape:
        (output, traffic), want = divided(), whole()
        values = [tf.reduce_sum(tf.sin(each)) for each in (output, want)]
    np.testing.assert_allclose(output, want, rtol=1e-4, atol=1e-5)
    got, wanted = (tape.gradient(value, variables) for value in values)
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)
    return traffic


def test_columns_stand_in_order():
    w, b = np.arange(8.0).reshape(2, 4), np.arange(4.0)
    pieces = split_columns(w, b, 2)
    np.testing.assert_array_equal(pieces[1][0], [[2, 3], [6, 7]])
    np.testing.assert_array_equal(pieces[1][1], [2, 3])


@pytest.mark.parametrize("parts", [1, 2, 4, 8])
def test_feed_forward_is_two_dense_layers(parts):
    weights, x = feed_forward(parts), drawn(9, x=(2, 6, 4))["x"]
    layers = keras.layers.Dense(8, activation="gelu"), keras.layers.Dense(3)
    for layer, names in zip(layers, (("w1", "b1"), ("w2", "b2")), strict=True):
        layer.build((None, weights[names[0]].shape[0]))
        layer.set_weights([weights[name].numpy() for name in names])
    traffic = same(lambda: parallel_feed_forward(x, **weights, parts=parts), lambda: layers[1](layers[0](x)), [x])
    assert traffic["forward"] == (2 * 6 * 3 if parts > 1 else 0)
    assert traffic["backward"] == (2 * 6 * 4 if parts > 1 else 0)


@pytest.mark.parametrize("parts", [2, 4])
def test_feed_forward_weights_get_their_gradients(parts):
    weights, x = feed_forward(parts), drawn(9, x=(6, 4))["x"]

    def whole():
        return tf.nn.gelu(x @ weights["w1"] + weights["b1"]) @ weights["w2"] + weights["b2"]

    same(lambda: parallel_feed_forward(x, **weights, parts=parts), whole, list(weights.values()))


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_attention_is_the_undivided_one(parts, bias):
    parameters, x = attention(parts, bias=bias), drawn(7, x=(2, 6, 5))["x"]
    mask = np.tri(6, dtype=bool)[None]
    traffic = same(
        lambda: parallel_attention(x, parameters, parts, mask),
        lambda: multi_head_attention(x, x, x, parameters, mask)[0],
        [x, *parameters.values()],
    )
    assert traffic["forward"] == traffic["backward"] == (60 if parts > 1 else 0)


def test_attention_is_that_of_keras():
    parameters, x = attention(3), drawn(7, x=(2, 6, 5))["x"]
    layer = keras.layers.MultiHeadAttention(4, 3)
    layer.build(x.shape, x.shape)
    order = [f"{part}_{kind}" for part in ("query", "key", "value", "output") for kind in ("kernel", "bias")]
    layer.set_weights([parameters[name].numpy() for name in order])
    np.testing.assert_allclose(parallel_attention(x, parameters, 2)[0], layer(x, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [(6,), (5, 3), (2,)])  # also with fewer numbers than parts
def test_a_ring_sums(parts, size):
    tensors = np.random.default_rng(parts).normal(size=(parts, *size))
    before = tensors.copy()
    sums, sent = ring_all_reduce(list(tensors))
    assert len(sums) == len(sent) == parts
    for each in sums:
        np.testing.assert_allclose(each, tensors.sum(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(tensors, before)
    assert sum(sent) == 2 * (parts - 1) * np.prod(size)


def test_costs():
    multiplications, sent = block_costs(tokens=10, units=4, parts=2)
    assert multiplications == 3 * (10 * 12 * 16 + 2 * 100 * 4) / 2
    assert sent == 4 * 40 * 2 / 2
    assert block_costs(10, 4, 1)[1] == 0


def test_the_divided_vocabulary_is_to_be_had_here():
    for name in ("parallel_embedding", "parallel_cross_entropy", "split_rows"):
        assert getattr(model_parallel, name) is getattr(divided_vocabulary, name)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: split_columns(np.ones((2, 6)), np.ones(6), 4), "parts: expected a divisor of the 6 outputs"),
        (lambda: split_columns(np.ones((2, 6)), np.ones(1), 2), "b: expected the shape"),
        (lambda: split_columns(np.ones(6), np.ones(6), 2), "w: expected the shape"),
        (lambda: parallel_attention(np.ones((1, 2, 5), np.float32), attention(0), 3), "divisor of the 4 heads"),
        (lambda: block_costs(0, 4, 1), "tokens: expected a whole number"),
        (lambda: block_costs(4, 4, 0), "parts: expected a whole number"),
    ],
)
def test_errors(function, message):
    with pytest.raises(ValueError, match=message):
        function()


@pytest.mark.parametrize(
    ("name", "size"), [("x", (6, 3)), ("w1", (4, 6)), ("b1", 1), ("w2", (6, 3)), ("b2", 1), ("w1", (3, 8))]
)
def test_feed_forward_refuses_what_does_not_fit(name, size):
    arguments = {"x": drawn(1, x=(6, 4))["x"], **feed_forward(0), **drawn(1, **{name: size})}
    with pytest.raises(ValueError, match="expected the shape"):
        parallel_feed_forward(**arguments, parts=2)

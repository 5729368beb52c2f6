"""Blocks: Keras's layers over random sizes, kept keys, the identity, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter13.attention import causal_mask
from kerasnotes.chapter13.transformer_block import (
    DecoderBlock,
    EncoderBlock,
    _of_keras,
    layer_norm,
    parameter_count,
)


def random_block(kind, rng, **arguments):
    heads = int(rng.integers(1, 4))
    block = kind(heads * int(rng.integers(1, 4)), heads, int(rng.integers(1, 9)), **arguments)
    block.set_weights([rng.normal(size=weight.shape) for weight in block.weights])
    return block


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("kind", [EncoderBlock, DecoderBlock])
@pytest.mark.parametrize("seed", range(2))
def test_blocks_are_keras_layers_with_all_gradients(kind, norm_first, seed):
    rng = np.random.default_rng((seed, 7))
    block = random_block(kind, rng, norm_first=norm_first)
    x, context = (tf.constant(rng.normal(size=(2, steps, block.units)), tf.float32) for steps in (7, 6))
    theirs = _of_keras(block)
    mask = rng.random((2, 7, 7)) < 0.6
    mask[:, :, 0] = True
    inputs = [x, context]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        ours = block(x, context, mask)[0] if kind is DecoderBlock else block(x, mask)
        want = theirs(x, context, tf.constant(mask))
        losses = [tf.reduce_sum(tf.sin(each)) for each in (ours, want)]
    np.testing.assert_allclose(ours, want, atol=1e-4)
    zero = {"unconnected_gradients": "zero"}
    for got, wanted in zip(*(tape.gradient(loss, inputs, **zero) for loss in losses), strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-3, rtol=1e-3)
    assert block.count_params() == sum(np.prod(weight.shape) for weight in block.weights)


@pytest.mark.parametrize(("units", "heads", "hidden"), [(8, 2, 16), (6, 3, 5), (12, 1, None)])
def test_weights_are_counted(units, heads, hidden):
    assert EncoderBlock(units, heads, hidden).count_params() == parameter_count(units, hidden or 4 * units)


def test_layer_norm_is_keras_and_sees_small_vectors():
    rng = np.random.default_rng(0)
    x, gamma, beta = (tf.constant(rng.normal(size=size), tf.float32) for size in ((3, 4, 5), 5, 5))
    layer = keras.layers.LayerNormalization(epsilon=1e-6)
    layer.build((None, None, 5))
    layer.set_weights([gamma, beta])
    np.testing.assert_allclose(layer_norm(x, gamma, beta), layer(x), atol=1e-5)
    np.testing.assert_allclose(layer_norm(x, gamma, beta, epsilon=0.5)[0, 0], (
        (x[0, 0] - np.mean(x[0, 0])) / np.sqrt(np.var(x[0, 0]) + 0.5) * gamma + beta), atol=1e-5)  # fmt: skip


@pytest.mark.parametrize("norm_first", [True, False])
def test_words_with_kept_keys_are_all_words_at_once(norm_first):
    rng = np.random.default_rng(3)
    block = random_block(DecoderBlock, rng, norm_first=norm_first)
    x, context = (tf.constant(rng.normal(size=(2, steps, block.units)), tf.float32) for steps in (6, 3))
    want, full, weights = block(x, context, causal_mask(6))
    np.testing.assert_allclose(tf.reduce_sum(weights, -1), np.ones((2, block.num_heads, 6)), atol=1e-5)
    _, state, _ = block(x[:, :4], context, causal_mask(4))
    rest, state, _ = block(x[:, 4:], context, np.tri(6, dtype=bool)[None, 4:], state=state)
    np.testing.assert_allclose(rest, want[:, 4:], atol=1e-4)
    for got, wanted in zip(state, full, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_zero_output_maps_leave_the_identity_only_with_the_normalization_before():
    x = tf.constant(np.random.default_rng(4).normal(size=(1, 3, 8)), tf.float32)
    for norm_first in (True, False):
        block = EncoderBlock(8, 2, norm_first=norm_first, seed=1)
        for name in ("attention_output_kernel", "output_kernel"):
            block.parameters[name].assign(tf.zeros_like(block.parameters[name]))
        assert np.array_equal(block(x), x) == norm_first


def test_dropout_works_in_training_only_and_seeds_repeat():
    x = tf.ones((1, 4, 8)) * tf.range(8.0)
    block, twin = (EncoderBlock(8, 2, dropout=0.5, seed=6) for _ in range(2))
    np.testing.assert_array_equal(block(x), twin(x))
    np.testing.assert_array_equal(block(x), block(x))
    first = block(x, training=True)
    np.testing.assert_array_equal(first, twin(x, training=True))
    assert np.abs(first - block(x)).max() > 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, 3), "units: expected a multiple of num_heads"),
        ((0, 1), "units: expected a whole"),
        ((8, 2, 0), "hidden_units: expected a whole"),
        ((8, 2, 4, True, 1.0), "dropout: expected a number"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        EncoderBlock(*arguments)
    with pytest.raises(ValueError, match="gamma: expected the shape"):
        layer_norm(tf.zeros((2, 3)), tf.zeros(1), tf.zeros(3))

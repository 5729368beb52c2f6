"""A band of keys: the numbers of a mask, its reach, its products, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter13.attention import scaled_dot_attention
from kerasnotes.chapter13.sliding_window import _products, window_attention, window_mask


@pytest.mark.parametrize("seed", range(5))
def test_the_band_is_the_masked_attention_with_its_gradients(seed):
    rng = np.random.default_rng(seed)
    steps, depth, value_depth, before, after = rng.integers([1, 1, 1, 0, 0], [12, 5, 5, 6, 6]).tolist()
    inputs = [tf.constant(rng.normal(size=(2, steps, size))) for size in (depth, depth, value_depth)]

    def results(run):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = run(*inputs)
            loss = tf.reduce_sum(tf.sin(output))
        return [output, *tape.gradient(loss, inputs, unconnected_gradients="zero")]

    mask = window_mask(steps, before, after)
    wanted = results(lambda *each: scaled_dot_attention(*each, mask)[0])
    for got, want in zip(results(lambda *each: window_attention(*each, before, after)), wanted, strict=True):
        np.testing.assert_allclose(got, tf.convert_to_tensor(want), atol=1e-12)


def test_the_mask_is_the_band():
    want = np.tril(np.ones((6, 6), bool), 1) & np.triu(np.ones((6, 6), bool), -2)
    np.testing.assert_array_equal(window_mask(6, 2, 1), want)
    np.testing.assert_array_equal(window_mask(3, 0, 0), np.eye(3, dtype=bool))


@pytest.mark.parametrize(("before", "after"), [(0, 0), (3, 0), (2, 4)])
def test_products_and_reach(before, after):
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 16, 3)))
    run = tf.function(lambda x: window_attention(x, x, x, before, after))
    assert _products(run, x) == 2 * 16 * (before + after + 1) * 3
    everywhere = tf.function(lambda x: scaled_dot_attention(x, x, x, window_mask(16, before, after))[0])
    assert _products(everywhere, x) == 2 * 16 * 16 * 3
    value = x + tf.one_hot([8], 16, dtype=x.dtype)[0, :, None]
    moved = np.any(window_attention(x, x, value, before, after) != run(x), axis=(0, 2))
    np.testing.assert_array_equal(np.flatnonzero(moved), np.arange(8 - after, 8 + before + 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: window_attention(x, x[:, :3], x, 1, 1), "key: expected the shape"),
        (lambda x: window_attention(x, x, x[:1], 1, 1), "value: expected the shape"),
        (lambda x: window_attention(x, x, x, -1, 1), "before: expected a whole"),
        (lambda x: window_attention(x, x, x, 1, 0.5), "after: expected a whole"),
        (lambda x: window_mask(0, 1, 1), "steps: expected a whole"),
        (lambda x: window_mask(4, 1, -1), "after: expected a whole"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(tf.zeros((2, 4, 3)))

"""Dense blocks by hand and in plain TensorFlow, and what the weights say about reuse."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter07.densenet import build_densenet121, dense_block, feature_reuse, transition

SMALL = {"input_shape": (28, 28, 1), "classes": 10, "depth": (3, 2), "growth_rate": 4}


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(2, 6))
def test_block_by_hand(layers, growth_rate, channels, size):
    x = keras.Input((size, size + 1, channels))
    model = keras.Model(x, dense_block(x, layers, growth_rate))
    assert model.output_shape == (None, size, size + 1, channels + layers * growth_rate)
    inputs, wide = [channels + layer * growth_rate for layer in range(layers)], 4 * growth_rate
    assert model.count_params() == sum(4 * c + c * wide + 4 * wide + 9 * wide * growth_rate for c in inputs)


def test_block_equals_plain_tensorflow():
    rng, x = np.random.default_rng(0), keras.Input((4, 4, 3))
    model = keras.Model(x, dense_block(x, 2, 2))
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) * rng.choice([-1, 1][len(w.shape) < 2 :], w.shape)
                       for w in model.weights])  # fmt: skip
    weights = iter([tf.constant(w) for w in model.get_weights()])

    def activate(y):
        gamma, beta, mean, variance = (next(weights) for _ in range(4))
        return tf.nn.relu(tf.nn.batch_normalization(y, mean, variance, beta, gamma, 1.001e-5))

    y = pictures = tf.constant(rng.normal(size=(2, 4, 4, 3)), tf.float32)
    for _ in range(2):
        new = tf.nn.conv2d(activate(y), next(weights), 1, "SAME")
        new = tf.nn.conv2d(activate(new), next(weights), 1, "SAME")
        y = tf.concat([y, new], axis=3)
    np.testing.assert_allclose(model(pictures), y, rtol=1e-4, atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 7), st.integers(2, 9), st.sampled_from([0.5, 0.7, 1.0]))
def test_transition(size, channels, reduction):
    x = keras.Input((size, size + 1, channels))
    model = keras.Model(x, transition(x, reduction))
    kept = int(channels * reduction)
    assert model.output_shape == (None, size // 2, (size + 1) // 2, kept)
    assert model.count_params() == 4 * channels + channels * kept


def test_siblings():
    model = build_densenet121(**SMALL)
    assert model(np.ones((2, 28, 28, 1), "float32")).shape == (2, 10)
    assert [model.get_layer(name).kernel.shape[2] for name in ("block1_1", "block1_3", "block2_1")] == [8, 16, 10]
    a, b = (build_densenet121(**SMALL, seed=seed).get_weights() for seed in (0, 1))
    assert all(np.array_equal(x, y) for x, y in zip(a, model.get_weights(), strict=True))
    assert not np.array_equal(a[0], b[0])
    assert build_densenet121(**{**SMALL, "width": 0.5}).get_layer("block1_1").kernel.shape[2:] == (4, 8)


def test_stem_depends_on_the_picture():
    models = [build_densenet121((size, size, 3), depth=(1,), growth_rate=2) for size in (63, 64)]
    assert [model.get_layer("block1_1").output.shape[1] for model in models] == [32, 16]
    kernels = [next(x for x in model.layers if isinstance(x, keras.layers.Conv2D)).kernel for model in models]
    assert [kernel.shape[0] for kernel in kernels] == [3, 7]


def test_feature_reuse_by_hand():
    model = build_densenet121(**SMALL)
    for layer, sources in ((1, [1]), (2, [2, -3]), (3, [4, 5, -6])):
        kernel = model.get_layer(f"block1_{layer}").kernel
        values = np.repeat(sources, [8, *[4] * (layer - 1)])  # 8 channels of the stem, then 4 of each layer
        kernel.assign(np.broadcast_to(values[:, None], kernel.shape))
    want = [[1, 2, 4], [np.nan, 3, 5], [np.nan, np.nan, 6]]
    np.testing.assert_array_equal(feature_reuse(model, 1), want)
    assert feature_reuse(model, 2).shape == (2, 2)
    for block in (0, 3):
        with pytest.raises(ValueError, match="block: expected the number of a dense block with two layers or more"):
            feature_reuse(model, block)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 28, 1)}, "input_shape: expected at least 4 x 4 pixels, got 3 x 28"),
        ({"classes": 0}, "classes: expected a positive integer"),
        ({"width": 0}, "width: expected a positive number"),
        ({"depth": ()}, "depth: expected the numbers of layers of each block"),
        ({"depth": (2, 0)}, "layers: expected a positive integer, got 0"),
        ({"growth_rate": 0}, "growth_rate: expected a positive integer, got 0"),
        ({"reduction": 0}, r"reduction: expected a number in \(0, 1\] that keeps a channel, got 0"),
        ({"reduction": 1.5}, "reduction: expected"),
        ({"reduction": 0.01}, "reduction: expected"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_densenet121(**{**SMALL, **arguments})


def test_a_transition_needs_two_pixels():
    with pytest.raises(ValueError, match="x: expected at least 2 x 2 pixels, got 1 x 4"):
        transition(tf.ones((1, 1, 4, 2)), 0.5)

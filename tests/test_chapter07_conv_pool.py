"""The one layer against Keras's two over random shapes, with ties, compiled, and every error message."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter07.conv_pool import MONOTONE, ConvPool, pooling_matrix


def gradients(layer, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = tf.reduce_sum(tf.sin(y))
    return [y, *tape.gradient(loss, [x, *(weight.value for weight in layer.trainable_weights)])]


def assert_equal(ours, theirs, tolerance=1e-4):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def pair(x, filters, size, activation, padding, weights):
    ours = ConvPool(filters, size, activation=activation, padding=padding)
    convolution = keras.layers.Conv2D(filters, size, activation=activation, padding=padding)
    theirs = keras.Sequential([convolution, keras.layers.MaxPooling2D(2)])
    ours.build(x.shape)
    theirs.build(x.shape)
    assert [weight.shape for weight in ours.weights] == [weight.shape for weight in theirs.weights]
    ours.set_weights([weights(weight.shape) for weight in ours.weights])
    theirs.set_weights(ours.get_weights())
    return ours, theirs


@settings(max_examples=25)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 6),
    st.sampled_from([None, *MONOTONE]), st.sampled_from(["valid", "same"]), st.booleans(), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_conv_pool_equals_keras(batch, rows, columns, channels, filters, size, activation, padding, ties, seed):
    rng = np.random.default_rng(seed)
    lost = size - 1 if padding == "valid" else 0
    shape = (batch, 2 * rows + lost, 2 * columns + lost, channels)
    ties = ties and activation in (None, "linear", "relu")  # these keep integers exact, so equal numbers stay equal

    def draw(shape):
        return (rng.integers(-1, 2, size=shape) if ties else rng.normal(size=shape)).astype(np.float32)

    x = tf.constant(draw(shape))
    ours, theirs = pair(x, filters, size, activation, padding, draw)
    if activation in ("sigmoid", "softplus", "tanh"):  # away from where they round different numbers to one
        ours.kernel.assign(0.2 * ours.kernel)
        theirs.set_weights(ours.get_weights())
    assert_equal(gradients(ours, x), gradients(theirs, x))
    assert ours.compute_output_shape(x.shape) == ours(x).shape == (batch, rows, columns, filters)


def test_in_a_tie_the_first_position_gets_the_gradient():
    layer = ConvPool(1, 1)
    x = tf.constant([[1.0, 2, 5, 5], [2, 2, 5, 5]])[None, :, :, None]
    layer.build(x.shape)
    layer.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    assert np.array_equal(y[0, :, :, 0], [[2, 5]])
    assert np.array_equal(tape.gradient(y, x)[0, :, :, 0], [[0, 1, 1, 0], [0, 0, 0, 0]])


def test_compiled_by_xla_it_gives_the_same():
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(2, 8, 6, 1)), tf.float32)
    ours, theirs = pair(x, 2, 3, "relu", "same", lambda shape: rng.normal(size=shape))
    assert_equal(tf.function(gradients, jit_compile=True)(ours, x), gradients(theirs, x))


def test_pooling_matrix_by_hand():
    assert np.array_equal(pooling_matrix(tf.fill((1, 1, 1, 1), 3.0)), 3 * np.eye(4))
    matrix = pooling_matrix(tf.reshape(tf.range(1.0, 10), (3, 3, 1, 1))).numpy()  # rows: blocks, then pixels in a block
    patches = matrix.reshape(2, 2, 2, 2, 4).transpose(0, 2, 1, 3, 4).reshape(4, 4, 4)
    kernel = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    for position, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        placed = np.zeros((4, 4))
        placed[row : row + 3, column : column + 3] = kernel
        assert np.array_equal(patches[:, :, position], placed)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_an_unknown_batch(jit_compile):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(3, 8, 6, 1)), tf.float32)
    ours, theirs = pair(x, 2, 3, "relu", "same", lambda shape: rng.normal(size=shape))
    call = tf.function(ours.call, jit_compile=jit_compile, input_signature=[tf.TensorSpec((None, 8, 6, 1))])
    for batch in (3, 1, 0):
        assert_equal([call(x[:batch])], [theirs(x[:batch])])


@pytest.mark.parametrize("dtype", ["float64", "float16", "mixed_float16"])
def test_other_precisions(dtype):
    x = np.random.default_rng(0).normal(size=(2, 8, 6, 1)).astype("float32")
    ours = ConvPool(2, 3, activation="relu", padding="same", dtype=dtype)
    layers = [keras.layers.Conv2D(2, 3, activation="relu", padding="same", dtype=dtype), keras.layers.MaxPooling2D(2)]
    theirs = keras.Sequential(layers)
    for layer in (ours, theirs):
        layer.build(x.shape)
    ours.set_weights(theirs.get_weights())
    assert ours(x).dtype == layers[0](x).dtype
    assert_equal([ours(x)], [theirs(x)], 1e-2)


def test_errors_of_the_layers():
    with pytest.raises(ValueError, match="filters: expected a whole number of at least 1, got 0"):
        ConvPool(0, 5)
    with pytest.raises(ValueError, match=r"kernel_size: expected a whole number of at least 1, got 2.5"):
        ConvPool(4, 2.5)
    with pytest.raises(ValueError, match=r"activation: expected None or one of linear, .*, got 'gelu'"):
        ConvPool(4, 5, activation="gelu")
    with pytest.raises(ValueError, match="padding: expected 'valid' or 'same', got 'causal'"):
        ConvPool(4, 5, padding="causal")
    with pytest.raises(ValueError, match="even height and width after the convolution, got 7 x 8"):
        ConvPool(4, 3).build((None, 9, 10, 1))
    with pytest.raises(ValueError, match="got 8 x 5"):
        ConvPool(4, 3, padding="same").build((None, 8, 5, 1))
    with pytest.raises(ValueError, match="got 0 x 4"):
        ConvPool(4, 5).build((None, 4, 8, 1))
    with pytest.raises(ValueError, match="all but batch known"):
        ConvPool(4, 5).build((None, None, 32, 1))
    with pytest.raises(ValueError, match=r"kernel: expected .size, size, channels, filters., got .2, 3, 1, 1."):
        pooling_matrix(tf.zeros((2, 3, 1, 1)))

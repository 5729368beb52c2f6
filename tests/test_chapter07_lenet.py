"""LeNet-5: the fast layer against Keras's two over random shapes, the published counts, and the parts of 1998."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter07.lenet import (
    C3_TABLE,
    MONOTONE,
    CodeDistance,
    ConvPool,
    PartialConv2D,
    TrainablePool,
    build_lenet5,
    pooling_matrix,
    scaled_tanh,
)


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


def test_the_published_numbers():
    assert build_lenet5().count_params() == build_lenet5(fast=True).count_params() == 61_706
    original = build_lenet5(original=True)
    counts = {
        layer.name: sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights) for layer in original.layers
    }
    published = {"C1": 156, "S2": 12, "C3": 1_516, "S4": 32, "C5": 48_120, "F6": 10_164, "logits": 0}
    assert {name: counts[name] for name in published} == published
    assert sum(counts.values()) == 60_000


def test_table_1():
    assert len(set(C3_TABLE)) == 16
    assert [len(row) for row in C3_TABLE] == [3] * 6 + [4] * 9 + [6]
    circles = [{(start + step) % 6 for step in range(size)} for size in (3, 4) for start in range(6)]
    assert [set(row) for row in C3_TABLE[:12]] == circles[:12]
    assert all(set(row) not in circles for row in C3_TABLE[12:])


@pytest.mark.parametrize("width", [0.5, 1.0])
def test_weights_copy_between_the_two_forms(width):
    x = np.random.default_rng(1).normal(size=(3, 28, 20, 3)).astype(np.float32)
    plain, fast = (build_lenet5((28, 20, 3), classes=7, width=width, seed=4, fast=fast) for fast in (False, True))
    for a, b in zip(plain.get_weights(), fast.get_weights(), strict=True):
        assert np.array_equal(a, b)  # one seed, one start
    plain.set_weights([weight + 0.01 for weight in plain.get_weights()])
    fast.set_weights(plain.get_weights())
    x = tf.constant(x)
    assert_equal(gradients(fast, x), gradients(plain, x), 1e-3)


def test_width_and_seed():
    model = build_lenet5(width=0.5)
    assert [model.get_layer(name).output.shape[-1] for name in ("C1", "C3", "C5", "F6", "logits")] == [3, 8, 60, 42, 10]
    for original in (False, True):
        one, same, other = (build_lenet5(seed=seed, original=original).get_weights() for seed in (1, 1, 2))
        assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
        assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True) if a.ndim > 1)


def test_partial_convolution_is_a_sum_over_the_maps_of_its_row():
    layer = PartialConv2D([(1,), (0, 2)], 3, seed=1)
    x = tf.constant(np.random.default_rng(2).normal(size=(2, 5, 6, 3)), tf.float32)
    layer(x)
    layer.bias.assign([0.5, -0.5])
    kernel = layer.kernel.numpy()
    single = [tf.nn.conv2d(x[..., source, None], kernel[..., [number], None], 1, "VALID")[..., 0]
              for number, source in enumerate((1, 0, 2))]  # fmt: skip
    wanted = scaled_tanh(tf.stack([single[0] + 0.5, single[1] + single[2] - 0.5], axis=-1))
    assert_equal([layer(x)], [wanted])
    assert np.abs(kernel[..., 0]).max() <= 2.4 / 9
    assert 2.4 / 18 * 0.8 < np.abs(kernel[..., 1:]).max() <= 2.4 / 18


def test_trainable_pool_and_codes_by_hand():
    pool = TrainablePool()
    x = tf.constant([[1.0, 2, 0, 0], [3, 4, 0, 4]])[None, :, :, None]
    assert_equal([pool(x)[0, 0, :, 0]], [scaled_tanh(tf.constant([2.5, 1.0]))])
    pool.set_weights([np.array([0.1]), np.array([1.0])])
    assert_equal([pool(x)[0, 0, :, 0]], [scaled_tanh(tf.constant([2.0, 1.4]))])
    codes = CodeDistance(3, seed=5)
    codes.build((None, 8))
    own = codes.codes.numpy()
    assert np.array_equal(np.abs(own), np.ones((3, 8)))
    assert codes.trainable_weights == []
    assert_equal([codes(own)], [-((own[:, None] - own) ** 2).sum(-1)])
    np.testing.assert_allclose(scaled_tanh(tf.constant([-1.0, 0.0, 1.0])), [-1, 0, 1], atol=1e-4)


@pytest.mark.parametrize("arguments", [{"fast": True}, {"original": True}])
def test_a_saved_model_gives_the_same(arguments, tmp_path):
    model = build_lenet5((16, 16, 1), seed=3, **arguments)
    x = np.random.default_rng(3).normal(size=(2, 16, 16, 1)).astype(np.float32)
    model.save(tmp_path / "model.keras")
    assert_equal([keras.saving.load_model(tmp_path / "model.keras")(x)], [model(x)], 1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (32, 32)}, "input_shape: expected .height, width, channels., positive integers"),
        ({"input_shape": (32, 30, 1)}, "input_shape: expected multiples of 4 from 16 on, got 32 x 30"),
        ({"input_shape": (12, 32, 1)}, "input_shape: expected multiples of 4 from 16 on, got 12 x 32"),
        ({"classes": 0}, "classes: expected a positive integer, got 0"),
        ({"classes": True, "original": True}, "classes: expected a positive integer, got True"),
        ({"width": 0}, "width: expected a positive number, got 0"),
        ({"width": float("nan")}, "width: expected a positive number"),
        ({"width": 0.5, "original": True}, "original: expected fast=False and width=1"),
        ({"fast": True, "original": True}, "original: expected fast=False and width=1"),
    ],
)
def test_errors_of_the_network(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_lenet5(**arguments)


def test_errors_of_the_layers():
    with pytest.raises(ValueError, match="filters: expected a positive integer, got 0"):
        ConvPool(0, 5)
    with pytest.raises(ValueError, match=r"kernel_size: expected a positive integer, got 2.5"):
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
    for table in ([], [(0, 0)], [()], [(-1,)]):
        with pytest.raises(ValueError, match="table: expected different numbers of input maps"):
            PartialConv2D(table, 3)
    with pytest.raises(ValueError, match="table: expected numbers below 2, the input maps"):
        PartialConv2D([(0, 2)], 3).build((None, 8, 8, 2))
    with pytest.raises(ValueError, match="classes: expected a positive integer"):
        CodeDistance(0)

"""The parts of 1998 by hand, table I, and every error message."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter07.lenet_1998 import (
    C3_TABLE,
    CodeDistance,
    PartialConv2D,
    TrainablePool,
    build_original,
    scaled_tanh,
)


def assert_equal(ours, theirs, tolerance=1e-4):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_table_1():
    assert len(set(C3_TABLE)) == 16
    assert [len(row) for row in C3_TABLE] == [3] * 6 + [4] * 9 + [6]
    circles = [{(start + step) % 6 for step in range(size)} for size in (3, 4) for start in range(6)]
    assert [set(row) for row in C3_TABLE[:12]] == circles[:12]
    assert all(set(row) not in circles for row in C3_TABLE[12:])


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


def test_a_saved_model_gives_the_same(tmp_path):
    model = build_original((16, 16, 1), seed=3)
    x = np.random.default_rng(3).normal(size=(2, 16, 16, 1)).astype(np.float32)
    model.save(tmp_path / "model.keras")
    assert_equal([keras.saving.load_model(tmp_path / "model.keras")(x)], [model(x)], 1e-6)


def test_errors_of_the_layers():
    for table in ([], [(0, 0)], [()], [(-1,)]):
        with pytest.raises(ValueError, match="table: expected different numbers of input maps"):
            PartialConv2D(table, 3)
    with pytest.raises(ValueError, match="table: expected numbers below 2, the input maps"):
        PartialConv2D([(0, 2)], 3).build((None, 8, 8, 2))
    with pytest.raises(ValueError, match="classes: expected a whole number of at least 1"):
        CodeDistance(0)

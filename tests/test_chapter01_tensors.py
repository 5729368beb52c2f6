"""Tensors: what `describe` says of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter01.tensors import describe


@pytest.mark.parametrize(
    ("tensor", "shape", "dtype", "size"),
    [
        (3.5, (), "float32", 4),
        ([[1, 2, 3], [4, 5, 6]], (2, 3), "int32", 24),
        (np.zeros((2, 1, 5)), (2, 1, 5), "float64", 80),
        (np.zeros(3, np.int16), (3,), "int16", 6),
        (tf.Variable([True, False]), (2,), "bool", 2),
        (tf.zeros((4, 4), tf.bfloat16), (4, 4), "bfloat16", 32),
        (tf.zeros(2, tf.complex64), (2,), "complex64", 16),
        (keras.Variable(np.ones((2, 2), "float32")), (2, 2), "float32", 16),
        (float("nan"), (), "float32", 4),
    ],
)
def test_describe(tensor, shape, dtype, size):
    assert describe(tensor) == {"shape": shape, "rank": len(shape), "dtype": dtype, "bytes": size}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint16", "int64", "bool", "complex128"])
def test_bytes_are_numpys(dtype):
    array = np.ones((3, 5), dtype)
    assert describe(array)["bytes"] == array.nbytes


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ([[1, 2], [3]], "rows of equal length"),
        ([1.0, "two"], "one type of number"),
        (None, "one type of number"),
        ("text", "numbers or booleans, got string"),
        ([], "at least one element"),
        (np.zeros((2, 0)), "at least one element"),
    ],
)
def test_errors(tensor, message):
    with pytest.raises(ValueError, match=f"tensor: expected .*{message}"):
        describe(tensor)

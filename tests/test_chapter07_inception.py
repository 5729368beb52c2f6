"""Inception modules by hand: branches, parameters, multiply-adds, and errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter07.alexnet import multiply_adds
from kerasnotes.chapter07.inception import inception_module, inception_multiply_adds, published_modules

FILTERS = st.tuples(*[st.integers(1, 5)] * 6)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), FILTERS)
def test_module_by_hand(height, width, channels, filters):
    x = keras.Input((height, width, channels))
    model = keras.Model(x, inception_module(x, filters))
    one, reduce_three, three, reduce_five, five, projection = filters
    assert model.output_shape == (None, height, width, one + three + five + projection)
    first = (channels + 1) * (one + reduce_three + reduce_five + projection)
    assert model.count_params() == first + (9 * reduce_three + 1) * three + (25 * reduce_five + 1) * five
    assert multiply_adds(model) == inception_multiply_adds(height * width, channels, filters)


def test_branches_by_hand():
    """All kernels ones: 1 x 1 gives the input, larger ones sums over neighbours, pooling their maximum."""
    x = keras.Input((5, 5, 1))
    model = keras.Model(x, inception_module(x, (1,) * 6))
    model.set_weights([np.full(w.shape, float(len(w.shape) > 1)) for w in model.weights])
    picture = np.zeros((1, 5, 5, 1), "float32")
    picture[0, 2, 2, 0] = 3.0
    one, three, five, pooled = np.moveaxis(model(picture).numpy()[0], -1, 0)
    np.testing.assert_array_equal(one, picture[0, ..., 0])
    np.testing.assert_array_equal(five, np.full((5, 5), 3.0))
    square = np.pad(np.full((3, 3), 3.0), 1)
    np.testing.assert_array_equal(three, square)
    np.testing.assert_array_equal(pooled, square)


def test_multiply_adds_without_reductions():
    assert inception_multiply_adds(100, 10, (2, 9, 3, 9, 4, 9), reduced=False) == 100 * 10 * (2 + 9 * 3 + 25 * 4)


def test_published_modules():
    assert [len(published_modules(stage)) for stage in range(3)] == [2, 5, 2]
    joined = [sum(module[place] for place in (0, 2, 4, 5)) for stage in range(3) for module in published_modules(stage)]
    assert joined == [256, 480, 512, 512, 512, 528, 832, 832, 1024]  # table 1, "output size"


def test_other_errors():
    with pytest.raises(ValueError, match="filters: expected six numbers of channels"):
        inception_module(tf.ones((1, 4, 4, 1)), (1, 2, 3))
    with pytest.raises(ValueError, match="filters: expected a whole number of at least 1, got 0"):
        inception_module(tf.ones((1, 4, 4, 1)), (1, 2, 3, 0, 1, 1))
    with pytest.raises(ValueError, match="places: expected a whole number of at least 1, got 0"):
        inception_multiply_adds(0, 1, (1,) * 6)
    with pytest.raises(ValueError, match="channels: expected a whole number of at least 1, got 0"):
        inception_multiply_adds(1, 0, (1,) * 6)

"""Shifts of pictures and of features: who follows whom, and how far the others stay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter06.convolution import conv2d
from kerasnotes.chapter06.equivariance import shift_distances

SEEDS = st.integers(0, 2**32 - 1)


def draw(seed, x_shape, w_shape):
    rng = np.random.default_rng(seed)
    return rng.normal(size=x_shape), rng.normal(size=w_shape)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 3), st.integers(0, 2), st.integers(0, 2))
def test_equivariance(seed, stride, down, right):
    x, w = draw(seed, (1, 6, 6, 2), (3, 3, 2, 2))
    x = np.pad(x, ((0, 0), (9, 9), (9, 9), (0, 0)))
    moved = conv2d(np.roll(x, (stride * down, stride * right), axis=(1, 2)), w, stride)
    np.testing.assert_array_equal(moved, np.roll(conv2d(x, w, stride), (down, right), axis=(1, 2)))


@settings(max_examples=20)
@given(SEEDS, st.integers(0, 4), st.sampled_from([1, 2]))
def test_the_distance_is_zero_where_the_copy_went(seed, places, axis):
    (before,) = draw(seed, (2, 5, 5, 3), (1,))[:1]
    distances = shift_distances(before, np.roll(before, places, axis=axis), axis)
    assert distances.shape == (5,)
    np.testing.assert_array_equal(distances == 0, np.arange(5) == places)


def test_by_hand():
    before = np.array([3.0, 4.0]).reshape(1, 2, 1, 1)
    np.testing.assert_allclose(shift_distances(before, before), [0, np.sqrt(2) / 5])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (np.ones((1, 2, 2, 1)), np.ones((1, 2, 1, 1)), "before, after: expected features of one shape"),
        (np.zeros((1, 2, 2, 1)), np.ones((1, 2, 2, 1)), "before, after: .* not all 0"),
        (np.ones((2, 2)), np.ones((2, 2)), "before: expected numbers with 4 axes"),
    ],
)
def test_errors(before, after, message):
    with pytest.raises(ValueError, match=message):
        shift_distances(before, after)

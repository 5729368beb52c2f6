"""Sizes and paddings by hand, against TensorFlow over random axes, and every error message."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kerasnotes.chapter06 import convolution
from kerasnotes.chapter06.padding import output_size, pad_widths, window_geometry

PADDINGS = st.sampled_from(["VALID", "SAME"]) | st.tuples(st.integers(0, 4), st.integers(0, 4))


@settings(max_examples=40)
@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 5), PADDINGS)
def test_sizes_are_tensorflows(size, kernel, stride, padding):
    assume(padding == "SAME" or kernel <= size + (0 if padding == "VALID" else sum(padding)))
    x, w = np.random.default_rng(0).normal(size=(1, size, 1, 1)), np.ones((kernel, 1, 1, 1))
    theirs = padding if isinstance(padding, str) else [[0, 0], padding, [0, 0], [0, 0]]
    want = tf.nn.conv2d(x, w, (stride, 1), theirs)
    assert output_size(size, kernel, stride, padding) == want.shape[1]
    explicit = [[0, 0], pad_widths(size, kernel, stride, padding), [0, 0], [0, 0]]
    np.testing.assert_allclose(tf.nn.conv2d(x, w, (stride, 1), explicit), want, atol=1e-12)


def test_two_axes():
    assert window_geometry((6, 7), (3, 2), (2, 1), "SAME") == ((2, 1), ((0, 1), (0, 1)), (3, 7))
    for pads in ([[1, 0], [0, 2]], [[0, 0], [1, 0], [0, 2], [0, 0]]):
        assert window_geometry((6, 7), (3, 2), 2, pads) == ((2, 2), ((1, 0), (0, 2)), (3, 4))


def test_the_convolution_offers_them_too():
    for name in ("pad_widths", "output_size", "window_geometry"):
        assert getattr(convolution, name) is globals()[name]


@pytest.mark.parametrize(
    ("arguments", "size", "pads"),
    [
        ((6, 3, 2), 2, (0, 0)), ((7, 3, 2), 3, (0, 0)), ((6, 3, 2, "SAME"), 3, (0, 1)), ((7, 3, 2, "SAME"), 4, (1, 1)),
        ((5, 2, 1, "SAME"), 5, (0, 1)), ((4, 1, 3, "SAME"), 2, (0, 0)), ((5, 3, 1, (1, 1)), 5, (1, 1)),
        ((224, 7, 2, (3, 3)), 112, (3, 3)),
    ],
)  # fmt: skip
def test_sizes_by_hand(arguments, size, pads):
    assert output_size(*arguments) == size
    assert pad_widths(*arguments) == pads


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: output_size(4, 5), r"kernel: expected at most 4"),
        (lambda: output_size(0, 1), "size: expected a whole number of at least 1, got 0"),
        (lambda: output_size(4, 2, 1, (1,)), "padding: expected"),
        (lambda: pad_widths(4, True), "kernel: expected a whole number of at least 1"),
        (lambda: output_size(4, 2, 1.5), "stride: expected a whole number of at least 1, got 1.5"),
        (lambda: window_geometry((4, 4), (2, 2), (1, 1, 1)), "strides: expected a positive integer or a pair"),
        (lambda: window_geometry((4, 4), (2, 2), 1, 2), r"padding: expected \[\[top, bottom\]"),
        (lambda: pad_widths(4, 2, 1, "FULL"), "padding: expected 'VALID', 'SAME' or pairs"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Heads that make a convolution: TensorFlow's over random shapes, the scores, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter13.convolution_as_attention import (
    attention_vector,
    convolution_as_attention,
    offset_attention,
    quadratic_encoding,
    relative_positions,
)


@pytest.mark.parametrize("seed", range(5))
def test_steep_heads_are_tensorflows_convolution_of_the_edge_padded_picture(seed):
    rng = np.random.default_rng(seed)
    height, width, inputs, outputs = rng.integers(1, 7, size=4).tolist()
    rows, columns = (1 + 2 * rng.integers(0, 3, size=2)).tolist()
    x, w = rng.normal(size=(2, height, width, inputs)), rng.normal(size=(rows, columns, inputs, outputs))
    padded = np.pad(x, ((0, 0), (rows // 2,) * 2, (columns // 2,) * 2, (0, 0)), mode="edge")
    want = tf.nn.conv2d(padded, w, 1, "VALID")
    np.testing.assert_allclose(convolution_as_attention(x, w, 45.0), want, atol=1e-11)
    with_less = np.abs(convolution_as_attention(x, w, 3.0) - want).max()
    assert with_less > 1e-3 or height == width == 1


def test_positions_and_scores_by_hand():
    relative = relative_positions(2, 3)
    np.testing.assert_array_equal(relative[0, 5], [1, 2])  # from the upper left pixel to the lower right one
    np.testing.assert_array_equal(relative[4], [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 0], [0, 1]])
    np.testing.assert_array_equal(relative, -relative.swapaxes(0, 1))
    np.testing.assert_array_equal(quadratic_encoding(2, 3)[0, 5], [5, 1, 2])
    np.testing.assert_array_equal(attention_vector((1, -2), 3.0), [-3, 6, -12])
    # At δ = (1, 2) and Δ = (1, 0): -α(5 - 2) = -α‖δ - Δ‖² + α‖Δ‖² = -4α + α.
    assert quadratic_encoding(2, 3)[0, 5] @ attention_vector((1, 0), 2.0) == -6


def test_weights_look_at_the_neighbour_and_at_the_border_at_the_nearest_pixel():
    weights = offset_attention(3, 3, (0, 1), 50.0)
    np.testing.assert_allclose(weights.argmax(axis=1), [1, 2, 2, 4, 5, 5, 7, 8, 8])
    np.testing.assert_allclose(weights.sum(axis=1), np.ones(9))
    # In a row the next pixels to the right one have e^-α of its weight.
    row = offset_attention(1, 5, (0, 0), 1.5)[2]
    np.testing.assert_allclose(row[[1, 3]] / row[2], np.exp(-1.5))
    np.testing.assert_allclose(row[[0, 4]] / row[2], np.exp(-6))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, w: convolution_as_attention(x[0], w, 1.0), "x: expected the shape"),
        (lambda x, w: convolution_as_attention(x, w[:, :, :1], 1.0), "w: expected the shape"),
        (lambda x, w: convolution_as_attention(x, w[:2], 1.0), "odd size, got 2 × 3"),
        (lambda x, w: convolution_as_attention(x, w, 0.0), "alpha: expected a positive"),
        (lambda x, w: convolution_as_attention(np.nan * x, w, 1.0), "infs or NaNs"),
        (lambda x, w: attention_vector((1, 2, 3), 1.0), "offset: expected the shape"),
        (lambda x, w: relative_positions(0, 2), "height: expected a whole"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((1, 4, 4, 2)), np.ones((3, 3, 2, 1)))

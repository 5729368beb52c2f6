"""Skewed images, diagonal LSTMs against Keras and pixel by pixel, what a pixel sees, and every error message."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter10.pixel_cnn import complete, input_gradients, log_likelihood
from kerasnotes.chapter10.pixel_rnn import (
    DiagonalBiLSTM,
    build_pixel_rnn,
    by_conv_lstm,
    diagonal_lstm,
    skew,
    unskew,
)


def weights(lstms, channels, units, seed=0):
    rng = np.random.default_rng(seed)
    return [
        np.float32(rng.normal(size=(lstms, *size)))
        for size in ((channels, 4 * units), (2 * units, 4 * units), (4 * units,))
    ]


def test_skew_by_hand():
    x = np.float32([[1, 2, 3], [4, 5, 6]]).reshape(1, 2, 3, 1)
    np.testing.assert_array_equal(skew(x)[0, :, :, 0], [[1, 2, 3, 0], [0, 4, 5, 6]])


@pytest.mark.parametrize("sizes", [(2, 1, 1, 1), (1, 1, 4, 2), (3, 4, 1, 2), (2, 5, 3, 1), (2, 3, 5, 4)])
def test_unskew_undoes_skew(sizes):
    x = np.random.default_rng(0).normal(size=sizes)
    skewed = skew(tf.constant(x))
    assert skewed.shape == (sizes[0], sizes[1], sizes[1] + sizes[2] - 1, sizes[3])
    for row in range(sizes[1]):
        np.testing.assert_array_equal(skewed[:, row, row : row + sizes[2]], x[:, row])
    assert np.count_nonzero(skewed) == x.size
    np.testing.assert_array_equal(unskew(skewed), x)


@pytest.mark.parametrize(("height", "width", "channels", "units"), [(1, 1, 1, 1), (3, 4, 2, 3), (5, 2, 1, 4)])
def test_states_and_gradients_equal_keras(height, width, channels, units):
    kernel, recurrent, _ = weights(1, channels, units, height)
    x = tf.constant(np.random.default_rng(1).normal(size=(1, 2, height, width, channels)), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours = diagonal_lstm(x, kernel, recurrent, np.zeros((1, 4 * units), "float32"))[0]
        theirs = by_conv_lstm(x[0], kernel, recurrent)
        losses = [tf.reduce_sum(tf.sin(3 * each)) for each in (ours, theirs)]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(tape.gradient(losses[0], x), tape.gradient(losses[1], x), atol=1e-4)


def test_states_pixel_by_pixel_with_a_bias():
    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    kernel, recurrent, bias = weights(2, 2, 3, 4)
    x = np.float32(np.random.default_rng(2).normal(size=(2, 2, 3, 4, 2)))
    ours = diagonal_lstm(tf.constant(x), kernel, recurrent, bias)
    for lstm, sample in np.ndindex(2, 2):
        h, c = np.zeros((4, 5, 3)), np.zeros((4, 5, 3))  # with a border of nothing above and to the left
        for row, column in np.ndindex(3, 4):
            both = np.concatenate([h[row, column + 1], h[row + 1, column]])
            i, f, g, o = np.split(x[lstm, sample, row, column] @ kernel[lstm] + both @ recurrent[lstm] + bias[lstm], 4)
            c[row + 1, column + 1] = sigmoid(f) * c[row + 1, column] + sigmoid(i) * np.tanh(g)
            h[row + 1, column + 1] = sigmoid(o) * np.tanh(c[row + 1, column + 1])
        np.testing.assert_allclose(ours[lstm, sample], h[1:, 1:], atol=1e-5)


@pytest.mark.parametrize("place", [(0, 0), (0, 2), (2, 0), (2, 1), (3, 3)])
def test_a_pixel_sees_all_earlier_ones_and_no_other(place):
    layer = DiagonalBiLSTM(6, seed=1)
    noise = np.random.default_rng(0).integers(0, 2, (4, 4, 4, 1))
    gradient = input_gradients(layer, noise, *place).ravel()
    number = 4 * place[0] + place[1]
    np.testing.assert_array_equal(gradient > 0, np.arange(16) < number)


@pytest.mark.parametrize(("height", "width"), [(1, 3), (3, 2)])
def test_all_pictures_together_have_probability_1(height, width):
    pictures = np.float32(list(itertools.product((0, 1), repeat=height * width))).reshape(-1, height, width, 1)
    total = np.exp(log_likelihood(pictures, build_pixel_rnn(3, seed=height))).sum()
    np.testing.assert_allclose(total, 1, rtol=1e-5)


def test_it_draws():
    model, known = build_pixel_rnn(3), np.array([[True, True, True], [False, False, False]])
    drawn = complete(np.ones((2, 2, 3, 1)), known, model)
    assert set(np.unique(drawn)) <= {0, 1}
    np.testing.assert_array_equal(drawn[:, 0], 1)


@pytest.mark.parametrize(
    ("changed", "sizes", "message"),
    [
        (0, (2, 3, 4, 4), "x: expected the shape"),
        (0, (1, 2, 3, 4, 2), "x: expected the shape"),
        (1, (2, 1, 8), "kernel: expected the shape"),
        (2, (2, 2, 8), "recurrent_kernel: expected the shape"),
        (2, (1, 4, 8), "recurrent_kernel: expected the shape"),
        (3, (1, 8), "bias: expected the shape"),
    ],
)
def test_shapes_that_would_broadcast(changed, sizes, message):
    arguments = [np.zeros((2, 2, 3, 4, 2), "float32"), *weights(2, 2, 2)]
    arguments[changed] = np.zeros(sizes, "float32")
    if changed == 0 and len(sizes) == 4:
        arguments[1] = np.zeros((2, 4, 8), "float32")
    with pytest.raises(ValueError, match=message):
        diagonal_lstm(*arguments)


def test_units():
    with pytest.raises(ValueError, match="units: expected a whole number of at least 1"):
        DiagonalBiLSTM(0)

"""Attention pooling: the average, a softmax by hand; pictures with a digit and its box; what is refused."""

import keras
import numpy as np
import pytest

from kerasnotes.chapter13.attention_pooling import AttentionPooling, _share_inside, cluttered_digits

X = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype("float32")


def test_pooling_is_the_average_at_first_and_then_a_softmax_over_places():
    layer = AttentionPooling()
    np.testing.assert_allclose(layer(X), keras.layers.GlobalAveragePooling2D()(X), atol=1e-6)
    score = np.array([2.0, -1.0], "float32")
    layer.score.assign(score)
    weights = np.exp(X @ score).reshape(3, 20)
    weights /= weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(layer.weights_of(X), weights, rtol=1e-4)
    np.testing.assert_allclose(layer(X), np.einsum("bp,bpc->bc", weights, X.reshape(3, 20, 2)), atol=1e-5)


def test_the_digit_stands_in_its_box():
    images = np.zeros((4, 28, 28), np.uint8)
    for digit in range(4):
        images[digit, digit * 4 : digit * 4 + 4, 4:20] = 200
    x, y, box = cluttered_digits(images, np.array([7, 8, 9, 1]), 6, size=30, seed=4)
    np.testing.assert_array_equal(y, [7, 8, 9, 1, 7, 8])
    assert x.shape == (6, 30, 30, 1)
    assert 0 <= x.min() <= x.max() <= 1
    for number, (top, left, bottom, right) in enumerate(box):
        assert (bottom - top, right - left) == (14, 14)
        small = images[number % 4].reshape(14, 2, 14, 2).mean(axis=(1, 3)) / 255
        assert np.all(x[number, top:bottom, left:right, 0] >= small - 1e-6)
    again = cluttered_digits(images, np.array([7, 8, 9, 1]), 6, size=30, seed=4)[0]
    np.testing.assert_array_equal(x, again)


def test_shares_of_cells_add_up_to_the_box():
    box = np.array([[0, 0, 14, 14], [3, 26, 17, 40]])
    share = _share_inside(box)
    np.testing.assert_allclose(share.sum(axis=(1, 2)), [14 * 14 / 16] * 2)
    assert share[0, 0, 0] == 1
    assert share[0, 3, 3] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda i, y: cluttered_digits(i[:, 1:], y, 2), "images: expected the shape"),
        (lambda i, y: cluttered_digits(i, y[1:], 2), "labels: expected the shape"),
        (lambda i, y: cluttered_digits(i, y, 0), "samples: expected a whole"),
        (lambda i, y: cluttered_digits(i, y, 2, size=13), "size: expected a whole"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((3, 28, 28), np.uint8), np.zeros(3, int))

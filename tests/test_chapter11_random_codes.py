"""Random codes with the moments they promise, pictures in range, and the errors."""

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter11.random_codes import draw_from, random_codes


def codes(numbers=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(500, numbers)) @ rng.normal(size=(numbers, numbers)) + 4


@pytest.mark.parametrize("numbers", [1, 3])
@pytest.mark.parametrize("way", ["standard", "each", "together"])
def test_moments(way, numbers):
    known = codes(numbers)
    covariance = np.atleast_2d(np.cov(known.T, bias=True))
    mean, covariance = {
        "standard": (np.zeros(numbers), np.eye(numbers)),
        "each": (known.mean(axis=0), np.diag(np.diag(covariance))),
        "together": (known.mean(axis=0), covariance),
    }[way]
    drawn = random_codes(known, 100000, way, seed=2)
    assert drawn.dtype == np.float32
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((drawn.mean(axis=0) - mean) / scale, 0, atol=0.02)
    np.testing.assert_allclose(np.atleast_2d(np.cov(drawn.T)) / np.outer(scale, scale),
                               covariance / np.outer(scale, scale), atol=0.03)  # fmt: skip


def test_codes_that_lie_on_a_line_give_codes_on_the_line():
    line = np.random.default_rng(0).normal(size=(50, 1)) * [1.0, 2.0, -1.0]
    drawn = random_codes(line, 20, "together", seed=1)
    np.testing.assert_allclose(drawn @ np.array([[2.0, -1.0, 0.0], [1.0, 0.0, 1.0]]).T, 0, atol=1e-5)


def test_pictures_lie_between_minus_one_and_one():
    logits = tf.constant(np.random.default_rng(0).normal(size=(3, 784)) * 50, tf.float32)
    pictures = draw_from(lambda z: logits, np.zeros((3, 2), "float32"))
    assert pictures.shape == (3, 28, 28, 1)
    np.testing.assert_allclose(pictures.reshape(3, 784), np.tanh(logits / 2), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: random_codes(np.zeros(3), 2, "each"), r"codes: expected the shape \(any, any\)"),
        (lambda: random_codes(codes(), 2, "neither"), "way: expected one of standard, each, together, got 'neither'"),
        (lambda: random_codes(codes(), 0, "each"), "samples: expected a whole number of at least 1, got 0"),
        (lambda: random_codes(codes()[:1], 2, "each"), "number of codes: expected a whole number of at least 2, got 1"),
        (lambda: random_codes([[np.nan, 0.0], [0.0, 1.0]], 2, "each"), "infs or NaNs"),
        (lambda: draw_from(lambda z: z, np.zeros((2, 3), "float32")), r"pixels: expected the shape \(any, 784\)"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Noise has its deviation, and its kind."""

import math

import numpy as np
import pytest

from kerasnotes.chapter05.input_noise import add_noise


def test_noise_has_its_deviation():
    x = np.full((100, 1000), 7, np.uint8)
    noise = add_noise(x, 0.5, 1) - 7
    assert noise.dtype == np.float32
    assert abs(noise.mean()) < 4.5 * 0.5 / math.sqrt(1e5)
    assert noise.std() == pytest.approx(0.5, rel=4.5 / math.sqrt(2e5))
    assert add_noise(np.zeros(3), 1.0, 0).dtype == np.float64


def test_types_stay():
    for dtype, want in (("float16", "float16"), ("float64", "float64"), ("bool", "float32"), ("int64", "float32")):
        assert add_noise(np.ones((1, 2), dtype), 0.1, 0).dtype == want


one = np.ones((2, 3, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: add_noise([], 1.0, 0), "x: expected numbers, at least one"),
        (lambda: add_noise(["a"], 1.0, 0), "x: expected numbers"),
        (lambda: add_noise(one, -1.0, 0), "deviation: expected a number of at least 0, got -1.0"),
        (lambda: add_noise(one, math.nan, 0), "deviation: expected"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

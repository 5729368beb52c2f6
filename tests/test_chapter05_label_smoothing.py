"""Label smoothing against Keras's, and the lead that it asks for."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter05.label_smoothing import best_lead, smooth_labels

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(2, 6), st.floats(0.0, 1.0), SEEDS)
def test_smoothing_equals_keras(n, classes, amount, seed):
    rng = np.random.default_rng(seed)
    y, logits = np.eye(classes)[rng.integers(classes, size=n)], rng.normal(size=(n, classes))
    plain = keras.losses.CategoricalCrossentropy(from_logits=True)(smooth_labels(y, amount), logits)
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=amount)(y, logits)
    np.testing.assert_allclose(plain, theirs, rtol=1e-5, atol=1e-6)


def test_smoothing_by_hand():
    np.testing.assert_allclose(smooth_labels([[0, 1, 0, 0]], 0.2), [[0.05, 0.85, 0.05, 0.05]], rtol=1e-6)
    np.testing.assert_allclose(smooth_labels([[0.5, 0.5]], 1.0), [[0.5, 0.5]])


def test_types_and_one_example():
    for dtype, want in (("float16", "float16"), ("float64", "float64"), ("bool", "float32"), ("int64", "float32")):
        smoothed = smooth_labels(np.eye(4, dtype=dtype)[:1], 0.25)
        assert smoothed.dtype == want
        np.testing.assert_allclose(smoothed, [[0.8125, 0.0625, 0.0625, 0.0625]], rtol=1e-3)


@settings(max_examples=20)
@given(st.integers(2, 50), st.floats(0.01, 0.99))
def test_the_lead_gives_back_the_smoothed_label(classes, amount):
    logits = best_lead(classes, amount) * np.eye(classes)[:1]
    probabilities = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(probabilities, smooth_labels(np.eye(classes)[:1], amount), rtol=1e-9)


def test_the_ends():
    assert best_lead(3, 0.0) == math.inf
    assert best_lead(3, 1.0) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smooth_labels([1.0, 0.0], 0.1), "y: expected probabilities"),
        (lambda: smooth_labels([[1.0, 1.0]], 0.1), "y: expected probabilities"),
        (lambda: smooth_labels([[2.0, -1.0]], 0.1), "y: expected probabilities"),
        (lambda: smooth_labels([[1.0, 0.0]], 1.1), "amount: expected a number from 0 to 1, got 1.1"),
        (lambda: smooth_labels(np.zeros((0, 3)), 0.1), "y: expected probabilities"),
        (lambda: best_lead(1, 0.1), "classes: expected a whole number of at least 2"),
        (lambda: best_lead(3, 1.5), "amount: expected a number from 0 to 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

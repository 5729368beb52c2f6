"""Stochastic descent against full-batch descent and Keras; smoothing against its weights."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from kerasnotes.chapter03.batch_size import least_squares_excess, least_squares_gradient, sgd, smooth
from kerasnotes.chapter03.descent import gradient_descent

seeds = st.integers(0, 2**32 - 1)


def slope(w, x, y):
    return x.T @ (x @ w - y) / len(x)


def problem(n, dims, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dims)), rng.normal(size=n), rng.normal(size=dims)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 12), dims=st.integers(1, 4), extra=st.integers(0, 3), seed=seeds)
def test_the_full_batch_is_plain_descent(n, dims, extra, seed):
    x, y, start = problem(n, dims, seed)
    path = sgd(slope, x, y, start, 0.05, n + extra, 6, seed)
    np.testing.assert_allclose(path, gradient_descent(lambda w: slope(w, x, y), start, 0.05, 6), atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 12), batch_size=st.integers(1, 14), epochs=st.integers(1, 3), seed=seeds)
def test_every_example_once_an_epoch_in_new_orders(n, batch_size, epochs, seed):
    seen = []

    def record(w, x, y):
        np.testing.assert_array_equal(2 * x, y)
        seen.append(x.tolist())
        return np.zeros(1)

    path = sgd(record, np.arange(n), 2 * np.arange(n), [0.0], 0.1, batch_size, epochs, seed)
    batches = -(-n // batch_size)
    assert path.shape == (epochs * batches + 1, 1)
    for epoch in range(epochs):
        part = seen[epoch * batches : (epoch + 1) * batches]
        assert sorted(number for batch in part for number in batch) == list(range(n))
        assert [len(batch) for batch in part] == [min(batch_size, n - i * batch_size) for i in range(batches)]


def test_seeds_and_orders():
    x, y, start = problem(50, 2, 0)
    paths = [sgd(slope, x, y, start, 0.05, 5, 2, seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(paths[0], paths[1])
    assert np.abs(paths[0] - paths[2]).max() > 1e-3


def test_sgd_equals_keras_on_the_same_batches():
    x, y, start = problem(20, 3, 0)
    batches, w = [], keras.Variable(start, dtype="float64")

    def record(w, x, y):
        batches.append((x, y))
        return slope(w, x, y)

    path = sgd(record, x, y, start, 0.05, 6, 3)
    optimizer = keras.optimizers.SGD(0.05)
    for point, batch in zip(path[1:], batches, strict=True):
        optimizer.apply([slope(w.numpy(), *batch)], [w])
        np.testing.assert_allclose(w, point, atol=1e-6)


def test_a_schedule_is_asked_at_every_update():
    asked = []
    sgd(slope, np.ones((6, 1)), np.ones(6), [0.0], lambda t: asked.append(t) or 0.1, 2, 2)
    assert asked == list(range(6))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 30), decay=st.floats(0, 0.99), seed=seeds)
def test_smoothing_equals_a_filter_over_its_weight(n, decay, seed):
    values = np.random.default_rng(seed).normal(size=n)
    filtered = [lfilter([1 - decay], [1, -decay], curve) for curve in (values, np.ones(n))]
    np.testing.assert_allclose(smooth(values, decay), filtered[0] / filtered[1], atol=1e-9)
    np.testing.assert_allclose(smooth(np.full(n, 3.0), decay), np.full(n, 3.0))


def test_least_squares_by_hand():
    x, y = np.eye(2), np.array([1.0, 2.0])
    np.testing.assert_allclose(least_squares_gradient(np.zeros(2), x, y), [-0.5, -1.0])
    np.testing.assert_allclose(least_squares_excess(np.array([[0.0, 0.0], [1.0, 2.0]]), x, y), [1.25, 0.0], atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(n=st.integers(4, 12), seed=seeds)
def test_the_excess_is_the_loss_above_its_minimum(n, seed):
    x, y, w = problem(n, 2, seed)
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    above = np.mean((x @ w - y) ** 2) / 2 - np.mean((x @ best - y) ** 2) / 2
    np.testing.assert_allclose(least_squares_excess(w, x, y), above, atol=1e-9)


GOOD = {"gradient_of_batch": slope, "x": np.ones((4, 1)), "y": np.ones(4), "start": [0.0], "learning_rate": 0.1,
        "batch_size": 2, "epochs": 1}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("y", np.ones(3), "x, y: expected equally many"),
        ("x", 1.0, "x, y: expected equally many"),
        ("start", 0.0, "start: expected finite"),
        ("start", [np.inf], "start: expected finite"),
        ("start", [], "start: expected finite"),
        ("learning_rate", -0.1, "learning_rate: expected a positive"),
        ("learning_rate", np.nan, "learning_rate: expected a positive"),
        ("batch_size", 0, "batch_size: expected a whole number"),
        ("batch_size", 1.5, "batch_size: expected a whole number"),
        ("batch_size", True, "batch_size: expected a whole number"),
        ("learning_rate", True, "learning_rate: expected a positive"),
        ("epochs", 0, "epochs: expected a whole number"),
    ],
)
def test_bad_arguments(name, value, message):
    with pytest.raises(ValueError, match=message):
        sgd(**{**GOOD, name: value})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sgd(slope, np.ones((0, 1)), [], [0.0], 0.1, 1, 1), "x, y: expected equally many"),
        (lambda: smooth([]), "values: expected a row"),
        (lambda: smooth([[1.0]]), "values: expected a row"),
        (lambda: smooth([1.0], 1.0), "decay: expected a number from 0 and below 1"),
        (lambda: smooth([1.0], math.nan), "decay: expected a number from 0 and below 1"),
    ],
)
def test_bad_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Stochastic descent against full-batch descent and Keras; averages and smoothing against their weights."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from sklearn.linear_model import LinearRegression

from kerasnotes.chapter03.descent import gradient_descent
from kerasnotes.chapter03.stochastic import polynomial_average, sgd, smooth

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


def test_averaged_sgd_finds_scikit_learns_solution():
    x, y, start = problem(400, 3, 0)
    path = sgd(slope, x, y, start, 0.05, 1, 50)
    want = LinearRegression(fit_intercept=False).fit(x, y).coef_
    error, last = np.linalg.norm(polynomial_average(path)[-1] - want), np.linalg.norm(path[-1] - want)
    assert error < 0.05 < last


@settings(max_examples=25, deadline=None)
@given(steps=st.integers(1, 30), gamma=st.integers(0, 5), shape=st.lists(st.integers(1, 3), max_size=2), seed=seeds)
def test_weights_of_the_average(steps, gamma, shape, seed):
    path = np.random.default_rng(seed).normal(size=(steps, *shape))
    rising = [math.prod(range(t, t + gamma)) for t in range(1, steps + 1)]  # t (t + 1) … (t + γ − 1)
    want = [np.average(path[:t], axis=0, weights=rising[:t]) for t in range(1, steps + 1)]
    np.testing.assert_allclose(polynomial_average(path, gamma), want, atol=1e-12)


def test_averaging_leaves_the_path_alone():
    path = np.arange(5.0)
    np.testing.assert_allclose(polynomial_average(path, 0), path / 2)
    np.testing.assert_array_equal(path, np.arange(5.0))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 30), decay=st.floats(0, 0.99), seed=seeds)
def test_smoothing_equals_a_filter_over_its_weight(n, decay, seed):
    values = np.random.default_rng(seed).normal(size=n)
    filtered = [lfilter([1 - decay], [1, -decay], curve) for curve in (values, np.ones(n))]
    np.testing.assert_allclose(smooth(values, decay), filtered[0] / filtered[1], atol=1e-9)
    np.testing.assert_allclose(smooth(np.full(n, 3.0), decay), np.full(n, 3.0))


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
        ("batch_size", 0, "batch_size: expected a positive integer"),
        ("batch_size", 1.5, "batch_size: expected a positive integer"),
        ("epochs", 0, "epochs: expected a positive integer"),
    ],
)
def test_bad_arguments(name, value, message):
    with pytest.raises(ValueError, match=message):
        sgd(**{**GOOD, name: value})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sgd(slope, np.ones((0, 1)), [], [0.0], 0.1, 1, 1), "x, y: expected equally many"),
        (lambda: polynomial_average([]), "path: expected at least one"),
        (lambda: polynomial_average(3.0), "path: expected at least one"),
        (lambda: polynomial_average([1.0], -1), "gamma: expected a number"),
        (lambda: polynomial_average([1.0], math.nan), "gamma: expected a number"),
        (lambda: smooth([]), "values: expected a row"),
        (lambda: smooth([[1.0]]), "values: expected a row"),
        (lambda: smooth([1.0], 1.0), r"decay: expected a number in \[0, 1\)"),
        (lambda: smooth([1.0], math.nan), r"decay: expected a number in \[0, 1\)"),
    ],
)
def test_bad_averages(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Eigenvalues decide: against made-up spectra, and the Hessian of a model against central differences."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter03.critical_points import classify, escape_direction, loss_and_hessian


def turned(eigenvalues, seed):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(eigenvalues),) * 2))[0]
    return (q * eigenvalues) @ q.T


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([-3.0, -0.5, 0.0, 0.7, 4.0]), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_classify(eigenvalues, seed):
    signs = {np.sign(value) for value in eigenvalues}
    want = "saddle" if {-1, 1} <= signs else {(1,): "minimum", (-1,): "maximum"}.get(tuple(signs), "undecided")
    matrix = turned(eigenvalues, seed)
    assert classify(matrix) == want
    if -1 in signs:
        direction = escape_direction(matrix)
        np.testing.assert_allclose(matrix @ direction, min(eigenvalues) * direction, atol=1e-9)
        assert np.linalg.norm(direction) == pytest.approx(1)
        assert direction[np.argmax(np.abs(direction))] > 0


def test_the_tolerance_is_absolute():
    assert classify(np.diag([1.0, 1e-3]), 1e-2) == "undecided"
    assert classify(np.diag([1.0, 1e-3]), 1e-4) == "minimum"
    assert classify(np.diag([1.0, -1e-3]), 1e-2) == "undecided"
    assert [classify([[value]], 0.5) for value in (0.5, -0.5, 0.6, -0.6)] == ["undecided"] * 2 + ["minimum", "maximum"]
    assert [classify([[value]], 0.0) for value in (1e-12, 0.0, -1e-12)] == ["minimum", "undecided", "maximum"]


@pytest.mark.parametrize("loss", ["mean_squared_error", "log_cosh"])
def test_loss_and_hessian_equal_central_differences(loss):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 2)), rng.uniform(1, 2, size=(6, 1))
    layers = [keras.layers.Dense(2, "tanh", dtype="float64"), keras.layers.Dense(1, dtype="float64")]
    model = keras.Sequential([keras.Input((2,), dtype="float64"), *layers])
    model.compile("sgd", loss)
    start = [rng.normal(size=weight.shape) for weight in model.get_weights()]

    def loss_at(shift):
        parts = np.split(shift, np.cumsum([weight.size for weight in start])[:-1])
        w1, b1, w2, b2 = (w + part.reshape(w.shape) for w, part in zip(start, parts, strict=True))
        error = np.tanh(x @ w1 + b1) @ w2 + b2 - y
        return np.mean(error**2 if loss == "mean_squared_error" else np.log(np.cosh(error)))

    size, step = sum(weight.size for weight in start), 1e-3
    units = step * np.eye(size)
    want = np.array([[(loss_at(a + b) - loss_at(a - b) - loss_at(b - a) + loss_at(-a - b)) / (4 * step**2)
                      for b in units] for a in units])  # fmt: skip
    want_loss = loss_at(np.zeros(size))
    model.set_weights(start)
    found_loss, found = loss_and_hessian(model, x, y)
    assert found_loss == pytest.approx(want_loss, rel=1e-5)
    np.testing.assert_allclose(found, want, atol=1e-5 + 1e-5 * np.abs(want).max())
    np.testing.assert_array_equal(found, found.T)


def test_a_linear_model_has_the_hessian_of_least_squares():
    x = np.random.default_rng(1).normal(size=(8, 3))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mean_squared_error")
    _, hessian = loss_and_hessian(model, x, np.zeros((8, 1)))
    np.testing.assert_allclose(hessian, 2 * x.T @ x / 8, rtol=1e-5, atol=1e-6)
    assert classify(hessian) == "minimum"


def test_nothing_is_dropped():
    x, layers = np.random.default_rng(1).normal(size=(8, 3)), [keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile("sgd", "mean_squared_error")
    _, hessian = loss_and_hessian(model, x, np.zeros((8, 1)))
    with_bias = np.column_stack([x, np.ones(8)])
    np.testing.assert_allclose(hessian, 2 * with_bias.T @ with_bias / 8, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: classify([[1, 2], [0, 1]]), "hessian: expected a symmetric matrix"),
        (lambda: classify([1, 2]), "hessian: expected a symmetric matrix"),
        (lambda: classify([[1.0, 1.0]]), "hessian: expected a symmetric matrix"),
        (lambda: escape_direction([[0.0]]), "hessian: expected a negative eigenvalue"),
        (lambda: classify(np.zeros((0, 0))), "hessian: expected a symmetric matrix"),
        (lambda: classify([[np.nan]]), "hessian: expected a symmetric matrix"),
        (lambda: classify([[1.0]], -1.0), "tolerance: expected a number of at least 0"),
        (lambda: escape_direction([[1.0]]), "hessian: expected a negative eigenvalue"),
        (lambda: loss_and_hessian(keras.Sequential(), [[1.0]], [[1.0]]), "model: expected a compiled model"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_model_without_trainable_weights_is_refused():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, trainable=False)])
    model.compile(loss="mean_squared_error")
    with pytest.raises(ValueError, match="got none that is trainable"):
        loss_and_hessian(model, [[1.0, 2.0]], [[1.0]])

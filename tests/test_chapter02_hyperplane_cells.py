"""Cells against SciPy's linear programs and the formula; best guesses and recovered places against NumPy and Keras."""

import itertools
from fractions import Fraction

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from kerasnotes.chapter02.hyperplane_cells import best_guess, cells, place_from_graded, printed_bound
from kerasnotes.chapter02.logic import count_cells
from kerasnotes.chapter02.neurons import threshold_unit

seeds = st.integers(0, 2**32 - 1)


def patterns_by_linear_programs(w, b):
    """Every pattern for which some point keeps a distance from all planes, tried one by one."""
    found = set()
    for pattern in itertools.product((0, 1), repeat=len(w)):
        signs = 2 * np.array(pattern) - 1
        rows = np.column_stack([-signs[:, None] * w, np.ones(len(w))])  # signs·(w·x + b) ≥ margin
        cost = np.r_[np.zeros(w.shape[1]), -1]
        bounds = [(None, None)] * w.shape[1] + [(None, 1)]
        solved = linprog(cost, rows, signs * b, bounds=bounds)
        if solved.status == 0 and -solved.fun > 1e-7:
            found.add(pattern)
    return found


@settings(max_examples=12, deadline=None)
@given(planes=st.integers(0, 5), dimensions=st.integers(1, 3), size=st.sampled_from([2, 50]), seed=seeds)
def test_cells_are_those_of_linear_programs(planes, dimensions, size, seed):
    rng = np.random.default_rng(seed)  # small numbers make parallel and equal planes, and many through one point
    w, b = rng.integers(-size, size + 1, (planes, dimensions)), rng.integers(-size, size + 1, planes)
    w[~w.any(axis=1), 0] = 1
    found = cells(w, b)
    assert set(found) == patterns_by_linear_programs(w, b)
    for pattern, point in found.items():
        for normal, offset, side in zip(w.tolist(), b.tolist(), pattern, strict=True):
            height = sum(v * x for v, x in zip(normal, point, strict=True)) + offset
            assert height != 0
            assert (height > 0) == side
    if found:
        points = np.array([[float(x) for x in point] for point in found.values()])
        np.testing.assert_array_equal(threshold_unit(points, w.T.astype(float), b.astype(float)), list(found))


@settings(max_examples=10, deadline=None)
@given(planes=st.integers(1, 6), dimensions=st.integers(1, 4), seed=seeds)
def test_general_position_has_as_many_as_the_formula(planes, dimensions, seed):
    rng = np.random.default_rng(seed)
    w, b = rng.integers(-(10**6), 10**6, (planes, dimensions)), rng.integers(-(10**6), 10**6, planes)
    assert len(cells(w, b)) == count_cells(planes, dimensions)
    assert len(cells(w, 0 * b)) == 2 * count_cells(planes - 1, dimensions - 1)


def test_special_positions():
    assert cells(np.zeros((0, 2), int), np.zeros(0, int)) == {(): (0, 0)}
    assert len(cells(np.ones((5, 3), int), np.arange(5))) == 6  # parallel
    assert set(cells([[1, 0], [2, 0], [-1, 0]], [0, 0, 0])) == {(0, 0, 1), (1, 1, 0)}  # one line, three times
    grid = np.repeat(np.eye(2, dtype=int), 3, axis=0)
    assert len(cells(grid, [0, 1, 2, 0, 1, 2])) == 16


def test_printed_bound():
    assert printed_bound(10, 3) == 500
    assert printed_bound(3, 4) == Fraction(27, 2)
    assert printed_bound(7, 1) == 7


@settings(max_examples=20, deadline=None)
@given(points=st.integers(1, 30), units=st.integers(1, 3), values=st.integers(1, 2), seed=seeds)
def test_best_guess(points, units, values, seed):
    rng = np.random.default_rng(seed)
    codes, targets = rng.integers(0, 2, (points, units)), rng.normal(size=(points, values))
    want = [targets[(codes == code).all(axis=1)].mean(axis=0) for code in codes]
    guess = best_guess(codes, targets)
    np.testing.assert_allclose(guess, want, atol=1e-12)
    table = np.array(list(itertools.product((0, 1), repeat=units)))  # a column for each code: least squares over them
    one_hot = (codes[:, None] == table).all(axis=2).astype(float)
    np.testing.assert_allclose(guess, one_hot @ np.linalg.lstsq(one_hot, targets, rcond=None)[0], atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(inputs=st.integers(1, 4), more=st.integers(0, 3), points=st.integers(1, 6), seed=seeds)
def test_place_from_graded(inputs, more, points, seed):
    rng = np.random.default_rng(seed)
    turned, _ = np.linalg.qr(rng.normal(size=(inputs + more, inputs)))
    w, b = 2 * turned.T, rng.normal(size=inputs + more)
    x = rng.uniform(-2, 2, (points, inputs))
    layer = keras.layers.Dense(inputs + more, activation="sigmoid", dtype="float64")
    layer.build((None, inputs))
    layer.set_weights([w, b])
    np.testing.assert_allclose(place_from_graded(layer(x), w, b), x, atol=1e-9)


W, B = np.array([[1, 0], [0, 1]]), np.array([0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cells(W, B[:1]), r"b: expected the shape \(2\), got \(1,\)"),
        (lambda: cells(W[0], B), r"w: expected the shape \(any, any\)"),
        (lambda: cells(W * 1.0, B), "w, b: expected whole numbers, got float64 and int"),
        (lambda: cells(W, B * 1.0), "w, b: expected whole numbers, got int"),
        (lambda: cells(0 * W, B), "w: expected normals other than 0"),
        (lambda: best_guess(W, np.ones((3, 1))), r"targets: expected the shape \(2, any\), got \(3, 1\)"),
        (lambda: best_guess(B, np.ones((2, 1))), r"codes: expected the shape \(any, any\)"),
        (lambda: place_from_graded([[0.5, 1.0]], W, B), "hidden: expected values above 0 and below 1"),
        (lambda: place_from_graded([[0.5, np.nan]], W, B), "hidden: expected values above 0 and below 1"),
        (lambda: place_from_graded([[0.5]], W, B), r"hidden: expected the shape \(any, 2\)"),
        (lambda: place_from_graded([[0.5, 0.5]], np.ones((2, 2)), B), "w: expected the rank 2 of the inputs, got 1"),
        (lambda: place_from_graded([[0.5, 0.5]], W, B[:1]), r"b: expected the shape \(2\)"),
        (lambda: printed_bound(0, 2), "hyperplanes: expected a whole number of at least 1, got 0"),
        (lambda: printed_bound(2, 0), "dimensions: expected a whole number of at least 1, got 0"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Labellings by lines against linear programming and Cover's count."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from kerasnotes.chapter05 import capacity
from kerasnotes.chapter05.shattering import line_labellings


def test_it_may_be_taken_from_the_lesson_on_capacity_too():
    assert capacity.line_labellings is line_labellings


def separable(points, labels):
    """Linear programming: is there a line with all points of label 1 at least 1 above and the others 1 below?"""
    signs = np.where(labels, 1.0, -1.0)
    rows = -signs[:, None] * np.column_stack([points, np.ones(len(points))])
    return linprog(np.zeros(3), rows, -np.ones(len(points)), bounds=[(None, None)] * 3).status == 0


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=1, max_size=5, unique=True))
def test_labellings_equal_linear_programming(points):
    points = np.array(points)
    expected = [ls for ls in itertools.product((0, 1), repeat=len(points)) if separable(points, np.array(ls))]
    assert [tuple(row) for row in line_labellings(points)] == expected


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_general_position_gives_covers_count(n, seed):
    points = np.random.default_rng(seed).integers(-1000, 1001, size=(n, 2))
    triples = itertools.combinations(points, 3)
    assume(len(np.unique(points, axis=0)) == n and all(np.linalg.det([b - a, c - a]).round() for a, b, c in triples))
    assert len(line_labellings(points)) == n * (n - 1) + 2


def test_labellings_by_hand():
    assert len(line_labellings([[0, 0], [1, 1], [2, 2]])) == 6  # on one line the middle cannot be alone
    assert len(line_labellings([[0, 0], [6, 0], [0, 6], [1, 1]])) == 14  # nor can the inner point of a triangle
    np.testing.assert_array_equal(line_labellings([[7, 7]]), [[0], [1]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: line_labellings([[0, 0, 0]]), r"points: expected the shape"),
        (lambda: line_labellings([[0, np.inf]]), "points: expected finite points"),
        (lambda: line_labellings([[1, 2], [1, 2]]), "points: expected different points"),
        (lambda: line_labellings(np.zeros((0, 2))), "points: expected finite points"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Votes of neighbours by hand and by SciPy, the shape of the moons, and how labels walk."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from kerasnotes.chapter05.semi_supervised import self_training
from kerasnotes.chapter05.two_moons import kernel_votes, two_moons


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 4), st.floats(0.1, 3), st.floats(0.01, 2))
def test_votes_are_sums_of_bells(seed, n, inputs, width, prior):
    rng = np.random.default_rng(seed)
    x, y, points = rng.normal(size=(n, inputs)), rng.integers(0, 2, n), rng.normal(size=(6, inputs))
    bells = np.exp(-(cdist(points, x) ** 2) / (2 * width**2))
    votes = np.stack([bells[:, y == label].sum(axis=1) + prior for label in (0, 1)], axis=1)
    found = kernel_votes(x, y, width, prior)(points)
    np.testing.assert_allclose(found, votes / votes.sum(axis=1, keepdims=True))


def test_far_away_nothing_is_known():
    predict = kernel_votes(np.array([[0.0]]), np.array([1]), width=1.0, prior=0.5)
    np.testing.assert_allclose(predict(np.array([[0.0], [100.0]])), [[0.25, 0.75], [0.5, 0.5]])


def test_moons_are_half_circles():
    angles = np.linspace(0, np.pi, 7)
    upper, lower = two_moons(angles, np.zeros(7, int)), two_moons(angles, np.ones(7, int))
    np.testing.assert_allclose(np.linalg.norm(upper, axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(lower - [1, 0.5], axis=1), 1)
    assert (upper[:, 1] >= 0).all()
    assert (lower[:, 1] <= 0.5).all()
    np.testing.assert_allclose(two_moons([0, 0], [0, 1]), [[1, 0], [0, 0.5]], atol=1e-12)


@pytest.mark.parametrize(("threshold", "low", "high"), [(0.5, 0.2, 0.55), (0.85, 0.99, 1.0), (0.99, 0.2, 0.55)])
def test_labels_walk_along_the_moons_if_the_threshold_is_right(threshold, low, high):
    right = np.arange(300) % 2
    free = two_moons(np.linspace(0, np.pi, 300), right)
    x, y = two_moons([0.3, 0.3], [0, 1]), np.array([0, 1])
    predict, history = self_training(kernel_votes, x, y, free, threshold, rounds=100, keep=True)
    assert low <= np.mean(predict(free).argmax(axis=1) == right) <= high
    if threshold == 0.85:
        order = (history >= 0).argmax(axis=0)  # the round in which a point got its label
        assert len(history) > 5
        assert order[:10].max() < order[-10:].min()


one = np.zeros((1, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernel_votes(one, [2]), "y: expected 0 or 1 for each of 1 examples"),
        (lambda: kernel_votes(one, [0, 1]), "y: expected"),
        (lambda: kernel_votes(one, [0], width=0), "width: expected a positive number, got 0"),
        (lambda: kernel_votes(one, [0], prior=-1.0), "prior: expected a positive number"),
        (lambda: two_moons([0.1, 0.2], [0]), "classes: expected 0 or 1 for each of the angles"),
        (lambda: two_moons([[0.1]], [[0]]), "classes: expected"),
        (lambda: two_moons([0.1], [2]), "classes: expected"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

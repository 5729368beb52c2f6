"""The projection rule: a projection, and patterns that rest under it."""

import numpy as np
import pytest

from kerasnotes.chapter15.hopfield import hebbian_weights, synchronous_step
from kerasnotes.chapter15.projection_rule import overlap, projection_weights


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_projection_on_the_patterns(seed):
    rng = np.random.default_rng(seed)
    patterns = rng.choice([-1.0, 1.0], size=(4, 12))
    w = projection_weights(patterns)
    q, _ = np.linalg.qr(patterns.T)
    np.testing.assert_allclose(w, q @ q.T, atol=1e-12)
    np.testing.assert_array_equal(w, w.T)
    np.testing.assert_array_equal(synchronous_step(patterns, w), patterns)


def test_patterns_that_differ_in_one_unit_rest_by_projection_only():
    patterns = np.ones((2, 8))
    patterns[1, 0] = -1.0
    np.testing.assert_array_equal(synchronous_step(patterns, projection_weights(patterns)), patterns)
    moved = synchronous_step(np.vstack([patterns, -patterns]), hebbian_weights(np.vstack([patterns, patterns[:1]])))
    assert not np.array_equal(moved[:2], patterns)


def test_the_overlap_by_hand():
    np.testing.assert_allclose(overlap([[1, 1, 1, 1]] * 3, [[1, 1, 1, 1], [1, 1, -1, -1], [-1] * 4]), [1, 0, -1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: projection_weights([[1, 1], [1, 1]]), "linearly independent"),
        (lambda: projection_weights([[1, 1], [1, -1], [-1, 1]]), "linearly independent"),
        (lambda: projection_weights([[1, 0]]), "patterns: expected states"),
        (lambda: projection_weights([1, -1]), "patterns: expected the shape"),
        (lambda: overlap([[1, 1]], [[1, 1, 1]]), "patterns: expected the shape"),
        (lambda: overlap([[1, 2]], [[1, 1]]), "states: expected states"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""The bound on a critic's slope."""

import numpy as np
import pytest

from kerasnotes.chapter11.critic_estimate import slope_bound


def test_by_hand():
    assert slope_bound([[[3.0, 4.0]], [[1.0], [0.0]]]) == pytest.approx(5.0)
    np.testing.assert_allclose(slope_bound([np.stack([np.eye(2), 2 * np.eye(2)])] * 3), [1.0, 8.0])


def test_no_slope_exceeds_it():
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=shape) for shape in ((3, 8), (8, 8), (8, 1))]
    x, y = rng.normal(size=(2, 500, 3))
    values = []
    for points in (x, y):
        for kernel in kernels[:-1]:
            points = np.maximum(points @ kernel, 0.2 * (points @ kernel))
        values.append((points @ kernels[-1])[:, 0])
    slopes = np.abs(values[0] - values[1]) / np.linalg.norm(x - y, axis=1)
    assert 0 < slopes.max() <= slope_bound(kernels)


def test_no_layers_are_refused():
    with pytest.raises(ValueError, match="kernels: expected at least one matrix"):
        slope_bound([])

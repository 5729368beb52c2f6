"""The ring, and the count of its modes."""

import numpy as np
import pytest
from scipy import stats

from kerasnotes.chapter11.ring import modes_found, ring_of_gaussians, share_near_a_mode


def test_the_ring():
    points, centers = ring_of_gaussians(4, 3.0, 0.05, 4000, seed=1)
    np.testing.assert_allclose(centers, [[3, 0], [0, 3], [-3, 0], [0, -3]], atol=1e-6)
    nearest = np.argmin(np.linalg.norm(points[:, None] - centers, axis=-1), axis=1)
    assert stats.chisquare(np.bincount(nearest, minlength=4)).pvalue > 1e-3
    offsets = (points - centers[nearest]) / 0.05
    for coordinate in offsets.T:
        assert stats.kstest(coordinate, "norm").pvalue > 1e-3
    again, other = (ring_of_gaussians(4, 3.0, 0.05, 4000, seed=seed)[0] for seed in (1, 2))
    np.testing.assert_array_equal(points, again)
    assert not np.array_equal(points, other)


def test_a_ring_without_width():
    points, centers = ring_of_gaussians(3, 1.0, 0.0, 50, seed=0)
    assert {tuple(point) for point in points} == {tuple(center) for center in centers}


def test_counting_by_hand():
    centers = [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]
    samples = np.zeros((100, 2))
    samples[0] = 10.0, 2.9  # one of a hundred is the least that counts, within 3 deviations of 1
    samples[1] = 0.0, 6.9
    assert modes_found(samples, centers, 1.0) == 2
    assert share_near_a_mode(samples, centers, 1.0) == pytest.approx(0.99)
    two_runs = np.stack([samples, np.full((100, 2), 50.0)])
    assert modes_found(two_runs, centers, 1.0).tolist() == [2, 0]
    assert share_near_a_mode(two_runs, centers, 1.0).tolist() == [0.99, 0.0]


def test_the_share_of_the_true_points():
    points, centers = ring_of_gaussians(8, 2.0, 0.02, 50000, seed=5)
    want = stats.chi2(2).cdf(9)
    assert share_near_a_mode(points, centers, 0.02) == pytest.approx(want, abs=4 * np.sqrt(want * (1 - want) / 50000))


RING = [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ring_of_gaussians(0, 1.0, 0.1, 10, 0), "modes: expected a whole number"),
        (lambda: ring_of_gaussians(8, 1.0, 0.1, 0, 0), "samples: expected a whole number"),
        (lambda: ring_of_gaussians(8, 0.0, 0.1, 10, 0), "radius: expected a positive number"),
        (lambda: ring_of_gaussians(8, 1.0, -0.1, 10, 0), "deviation: expected a number of at least 0"),
        (lambda: ring_of_gaussians(8, 1.0, float("nan"), 10, 0), "deviation: expected a number of at least 0"),
        (lambda: modes_found(np.zeros((0, 2)), RING, 1.0), "samples: expected the shape"),
        (lambda: modes_found(np.zeros((4, 3)), RING, 1.0), "samples: expected the shape"),
        (lambda: modes_found(RING, [0.0, 1.0], 1.0), "centers: expected the shape"),
        (lambda: modes_found([[np.nan, 0.0]], RING, 1.0), "samples: expected finite points"),
        (lambda: share_near_a_mode(RING, RING, 0.0), "deviation: expected a positive number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

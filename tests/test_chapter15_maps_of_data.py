"""Maps of data: the flat start, k-means' fixed point, purity by hand, distances of neighbours by hand."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

from kerasnotes.chapter15.maps_of_data import fit_map, k_means, neighbour_distances, purity, unit_classes
from kerasnotes.chapter15.self_organizing_map import SelfOrganizingMap, quantization_error, topographic_error


def cloud(samples=200, inputs=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(3, 1, (samples, inputs)) * np.linspace(3, 0.2, inputs)


def test_a_stiff_map_has_all_units_near_the_middle():
    x = cloud()
    som = fit_map(x, 3, 5, 1, last_radius=1e6)
    np.testing.assert_allclose(som.weights, np.broadcast_to(x.mean(axis=0), (3, 5, 4)), rtol=0.5, atol=0.5)
    assert fit_map(x, 3, 5, 2, last_radius=1e6).weights.std(axis=(0, 1)).max() < 1e-3


def test_columns_lie_along_the_longest_direction_and_nothing_is_chance():
    x = cloud()
    first, second = fit_map(x, 2, 8, 10), fit_map(x, 2, 8, 10)
    np.testing.assert_array_equal(first.weights, second.weights)
    along = first.weights.mean(axis=0)[:, 0]
    assert np.all(np.diff(along) > 0) or np.all(np.diff(along) < 0)
    assert topographic_error(first, x) < 0.1


def test_the_flat_start_reaches_two_deviations_to_each_side(monkeypatch):
    monkeypatch.setattr(SelfOrganizingMap, "batch_step", lambda som, x, radius: None)
    rng = np.random.default_rng(0)
    x = np.concatenate([part := rng.normal(size=(100, 2)) * [3, 0.5], -part, part * [1, -1], part * [-1, 1]])
    w = fit_map(x, 3, 5, 1).weights
    along, across = x.std(axis=0)
    np.testing.assert_allclose(
        np.sort(np.abs(w[..., 0]), axis=1), np.ones((3, 1)) * along * [0, 1, 1, 2, 2], atol=1e-12
    )
    np.testing.assert_allclose(np.abs(w[..., 1]), across * np.array([[2], [0], [2]]) * np.ones((1, 5)), atol=1e-12)


def test_k_means_ends_where_scikit_learn_says():
    x = cloud(inputs=2)
    som = k_means(x, 2, 3, 100, seed=1)
    centres = som.weights.reshape(6, 2)
    theirs = KMeans(6, init=centres, n_init=1).fit(x)
    np.testing.assert_allclose(theirs.cluster_centers_, centres, rtol=1e-6)  # a fixed point
    assert quantization_error(som, x) < quantization_error(k_means(x, 2, 3, 1, seed=1), x)


def test_k_means_begins_at_different_samples():
    x = np.arange(6.0)[:, None]
    som = k_means(x, 2, 3, 5, seed=0)
    np.testing.assert_array_equal(np.sort(som.weights.ravel()), x[:, 0])  # every sample is a centre


def test_classes_and_purity_by_hand():
    som = SelfOrganizingMap(2, 2, 1, 0)
    som.weights[..., 0] = [[0.0, 10.0], [20.0, 30.0]]
    x = np.array([[0.1], [0.2], [0.3], [11.0], [29.0], [31.0]])
    y = np.array([1, 1, 0, 2, 0, 0])
    np.testing.assert_array_equal(unit_classes(som, x, y, 3), [[1, 2], [-1, 0]])
    assert purity(som, x, y, 3) == pytest.approx(5 / 6)
    assert purity(som, x, np.zeros(6, int), 1) == 1.0


def test_purity_of_one_unit_is_the_largest_class():
    x, y = cloud(50), np.repeat([0, 1, 2], [10, 25, 15])
    assert purity(SelfOrganizingMap(1, 1, 4, 0), x, y, 3) == 0.5


def test_neighbour_distances_by_hand():
    som = SelfOrganizingMap(2, 3, 1, 0)
    som.weights[..., 0] = [[0, 1, 3], [10, 10, 10]]
    np.testing.assert_allclose(neighbour_distances(som), [[(1 + 10) / 2, (1 + 2 + 9) / 3, (2 + 7) / 2], [5, 3, 3.5]])
    chain = SelfOrganizingMap(1, 3, 2, 0)
    chain.weights[0] = [[0, 0], [3, 4], [3, 5]]
    np.testing.assert_allclose(neighbour_distances(chain), [[5, 3, 1]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_map(np.ones(4), 2, 2, 3), "x: expected the shape"),
        (lambda: fit_map(np.full((4, 2), np.nan), 2, 2, 3), "infs or NaNs"),
        (lambda: fit_map(cloud(), 2, 2, 3, last_radius=0), "last_radius: expected a positive"),
        (lambda: fit_map(cloud(), 2, 2, 0), "steps: expected a whole number"),
        (lambda: fit_map(cloud(), 0, 2, 3), "rows: expected a whole number"),
        (lambda: k_means(cloud(5), 2, 3, 3, 0), "x: expected 6 samples at least"),
        (lambda: k_means(cloud(), 2, 3, 0, 0), "steps: expected a whole number"),
        (lambda: purity(SelfOrganizingMap(1, 2, 4, 0), cloud(5), np.zeros(4, int), 2), "y: expected the shape"),
        (lambda: purity(SelfOrganizingMap(1, 2, 4, 0), cloud(5), np.zeros(5), 2), "y: expected whole numbers"),
        (lambda: purity(SelfOrganizingMap(1, 2, 4, 0), cloud(5), np.full(5, 2), 2), "y: expected whole numbers"),
        (lambda: purity(SelfOrganizingMap(1, 2, 4, 0), cloud(5), np.full(5, -1), 2), "y: expected whole numbers"),
        (lambda: purity(SelfOrganizingMap(1, 2, 4, 0), cloud(5), np.zeros(5, int), 0), "classes: expected a whole"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

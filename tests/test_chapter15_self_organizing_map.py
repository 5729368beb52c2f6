"""A map's steps against the formulas written out, k-means against two libraries, order kept and errors by hand."""

import warnings

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2
from sklearn.cluster import KMeans

from kerasnotes.chapter15.self_organizing_map import (
    SelfOrganizingMap,
    _folded,
    lloyd_step,
    quantization_error,
    topographic_error,
)

SHAPES = [(1, 6, 1), (3, 4, 2), (5, 2, 7)]


def made(rows, columns, inputs, samples=40):
    return SelfOrganizingMap(rows, columns, inputs, 3), np.random.default_rng(rows).normal(size=(samples, inputs))


def by_hand(som, x, radius):
    """The batch step in loops."""
    rows, columns, _ = som.weights.shape
    places = [(row, column) for row in range(rows) for column in range(columns)]
    best = [min(places, key=lambda place: np.sum((sample - som.weights[place]) ** 2)) for sample in x]
    new = som.weights.copy()
    for place in places:
        squares = np.array([(place[0] - row) ** 2 + (place[1] - column) ** 2 for row, column in best])
        along = np.exp(-squares / (2 * radius**2)) if radius else np.float64(squares == 0)
        if along.sum():
            new[place] = along @ x / along.sum()
    return best, new


@pytest.mark.parametrize("radius", [0, 0.7, 2.0])
@pytest.mark.parametrize("size", SHAPES)
def test_a_batch_step_is_the_formula(size, radius):
    som, x = made(*size)
    best, new = by_hand(som, x, radius)
    np.testing.assert_array_equal(som.best_unit(x), best)
    som.batch_step(x, radius)
    np.testing.assert_allclose(som.weights, new, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("radius", [0, 0.7, (2.0, 0.5)])
@pytest.mark.parametrize("size", SHAPES)
def test_training_is_the_formula(size, radius):
    som, x = made(*size)
    twin = SelfOrganizingMap(*size, 3)
    som.train(x, 5, (0.5, 0.1), radius)
    picked = twin.rng.integers(len(x), size=5)
    for step, number in enumerate(picked):
        best = np.argmin(np.sum((x[number] - twin.weights) ** 2, axis=2))
        row, column = np.unravel_index(best, size[:2])
        rate = 0.5 * 0.2 ** (step / 4)
        width = 2.0 * 0.25 ** (step / 4) if radius == (2.0, 0.5) else radius
        rows, columns = np.indices(size[:2])
        squares = (rows - row) ** 2 + (columns - column) ** 2
        along = np.exp(-squares / (2 * width**2)) if width else squares == 0
        twin.weights += (rate * along)[..., None] * (x[number] - twin.weights)
    np.testing.assert_allclose(som.weights, twin.weights, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", SHAPES)
def test_radius_0_is_a_step_of_k_means_in_three_ways(size):
    som, x = made(*size, samples=200)
    x = np.abs(x) / np.abs(x).max()  # so that every unit has samples
    centres = som.weights.reshape(-1, size[2]).copy()
    want = lloyd_step(x, centres)
    counted = np.bincount(np.linalg.norm(x[:, None] - centres, axis=2).argmin(axis=1), minlength=len(centres))
    som.batch_step(x, 0)
    np.testing.assert_allclose(som.weights.reshape(want.shape), want, rtol=1e-12)
    full = counted > 0
    np.testing.assert_allclose(kmeans2(x, centres[full], iter=1, minit="matrix")[0], want[full], rtol=1e-10)
    learnt = KMeans(full.sum(), init=centres[full], n_init=1, max_iter=1, algorithm="lloyd", tol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one step has not converged
        np.testing.assert_allclose(learnt.fit(x).cluster_centers_, want[full], rtol=1e-10)


def test_a_unit_without_samples_stays():
    som = SelfOrganizingMap(1, 3, 1, 0)
    som.weights[:] = np.array([0.0, 0.5, 9.0])[None, :, None]
    x = np.array([[0.1], [0.2], [0.6]])
    np.testing.assert_allclose(lloyd_step(x, som.weights[0])[:, 0], [0.15, 0.6, 9.0])
    som.batch_step(x, 0)
    np.testing.assert_allclose(som.weights[0, :, 0], [0.15, 0.6, 9.0])


def test_single_precision_gives_the_same_map():
    som, x = made(4, 4, 3)
    twin = SelfOrganizingMap(4, 4, 3, 3)
    for _ in range(3):
        som.batch_step(x, 1.0)
        twin.batch_step(np.float32(x), 1.0)
    np.testing.assert_allclose(som.weights, twin.weights, rtol=1e-4)


def test_errors_of_a_map_by_hand():
    som = SelfOrganizingMap(2, 2, 1, 0)
    som.weights[..., 0] = [[0.0, 4.0], [10.0, 1.0]]
    x = np.array([[0.25], [4.5], [9.0]])
    assert quantization_error(som, x) == pytest.approx((0.25 + 0.5 + 1.0) / 3)
    # Second nearest: 1 (over the corner), 1 (beside), 4 (over the corner).
    assert topographic_error(som, x) == 0.0
    assert topographic_error(som, x, diagonal=False) == pytest.approx(2 / 3)
    chain = SelfOrganizingMap(1, 4, 1, 0)
    chain.weights[0, :, 0] = [0.0, 2.0, 3.0, 1.0]
    assert topographic_error(chain, np.array([[0.4], [1.6], [2.6]])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("down", [False, True])
def test_an_ordered_chain_stays_in_order(down):
    rng = np.random.default_rng(5)
    for seed in range(50):
        som = SelfOrganizingMap(1, 9, 1, seed)
        som.weights = np.sort(som.weights, axis=1)[:, ::-1].copy() if down else np.sort(som.weights, axis=1)
        som.train(rng.random((30, 1)), 30, 0.5, rng.uniform(0.3, 4))
        steps = np.diff(som.weights[0, :, 0])
        assert np.all(steps < 0) if down else np.all(steps > 0)


def test_a_chain_puts_itself_in_order_and_starts_repeat():
    maps = [SelfOrganizingMap(1, 8, 1, 4) for _ in range(2)]
    for som in maps:
        som.train(np.random.default_rng(0).random((500, 1)), 1500, 0.2, (3.0, 0.5))
    steps = np.diff(maps[0].weights[0, :, 0])
    assert np.all(steps > 0) or np.all(steps < 0)
    np.testing.assert_array_equal(maps[0].weights, maps[1].weights)


def test_folded_cells():
    net = np.stack(np.meshgrid(np.arange(4.0), np.arange(3.0)), axis=-1)
    assert _folded(net) == _folded(net[::-1]) == 0.0
    net[0, 0] = [0.9, 0.9]  # its one cell is still the right way round
    assert _folded(net) == 0.0
    net[0, 0] = [3.0, 3.0]
    assert _folded(net) == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SelfOrganizingMap(0, 2, 1, 0), "rows: expected a whole number"),
        (lambda: SelfOrganizingMap(2, 1.5, 1, 0), "columns: expected a whole number"),
        (lambda: SelfOrganizingMap(2, 2, True, 0), "inputs: expected a whole number"),
        (lambda: SelfOrganizingMap(2, 2, 3, 0).best_unit(np.ones((4, 2))), "x: expected the shape"),
        (lambda: SelfOrganizingMap(2, 2, 3, 0).best_unit(np.ones(3)), "x: expected the shape"),
        (lambda: SelfOrganizingMap(2, 2, 1, 0).batch_step(np.array([[np.nan]]), 1), "infs or NaNs"),
        (lambda: SelfOrganizingMap(2, 2, 1, 0).batch_step(np.ones((3, 1)), -1), "radius: expected a positive"),
        (lambda: SelfOrganizingMap(2, 2, 1, 0).train(np.ones((3, 1)), 5, 0.1, -1), "radius: expected a positive"),
        (lambda: SelfOrganizingMap(2, 2, 1, 0).train(np.ones((3, 1)), 5, 0.1, np.nan), "radius: expected a positive"),
        (lambda: SelfOrganizingMap(2, 2, 1, 0).train(np.ones((3, 1)), 5, 0.1, (2, 0)), "radius: expected a positive"),
        (lambda: SelfOrganizingMap(2, 2, 1, 0).train(np.ones((3, 1)), 5, 1.1, 1), "learning_rate: expected a number"),
        (lambda: SelfOrganizingMap(2, 2, 1, 0).train(np.ones((3, 1)), 5, -0.1, 1), "learning_rate: expected"),
        (lambda: SelfOrganizingMap(2, 2, 1, 0).train(np.ones((3, 1)), 0, 0.1, 1), "steps: expected a whole number"),
        (lambda: quantization_error(SelfOrganizingMap(2, 2, 1, 0), np.ones((3, 2))), "x: expected the shape"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

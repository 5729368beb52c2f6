"""Pruned and shared weights: by hand, scikit-learn's k-means, masks under momentum, and every error message."""

import keras
import numpy as np
import pytest
from scipy.cluster.vq import kmeans2
from sklearn.cluster import KMeans

from kerasnotes.chapter05.connections import KeepMask, prune, prune_units, share_weights


def test_prune_by_hand():
    first, second = prune([np.array([[0.9, -0.1], [0.2, -1.1]]), np.array([1.0, 0.05])], 0.5)
    np.testing.assert_array_equal(first, [[True, False], [False, True]])
    np.testing.assert_array_equal(second, [True, False])
    assert first.dtype == bool


@pytest.mark.parametrize("keep", [0.001, 0.1, 0.37, 1])
def test_prune_keeps_the_largest_over_all_layers(keep):
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=(5, 7)), 3 * rng.normal(size=(7, 3)), rng.normal(size=(2, 2, 1, 3))]
    masks = prune(kernels, keep)
    flat, kept = (np.concatenate([each.ravel() for each in group]) for group in (kernels, masks))
    assert kept.sum() == max(1, round(keep * 68))
    assert np.abs(flat[kept]).min() >= np.abs(flat[~kept]).max(initial=0)
    assert [mask.shape for mask in masks] == [kernel.shape for kernel in kernels]


def test_equal_weights_are_cut_from_the_end():
    np.testing.assert_array_equal(prune([np.ones(4)], 0.5)[0], [True, True, False, False])


def test_prune_units():
    rng = np.random.default_rng(1)
    kernel, bias, out = rng.normal(size=(4, 6)), rng.normal(size=6), rng.normal(size=(6, 3))
    strength = np.linalg.norm(kernel, axis=0) * np.linalg.norm(out, axis=1)
    stay = sorted(np.argsort(strength)[-2:])
    small = prune_units(kernel, bias, out, 2)
    for got, want in zip(small, (kernel[:, stay], bias[stay], out[stay]), strict=True):
        np.testing.assert_array_equal(got, want)
    for got, want in zip(prune_units(kernel, bias, out, 6), (kernel, bias, out), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("seed", range(3))
def test_sharing_is_at_rest_and_as_good_as_scikit_learns(seed):
    kernel = np.random.default_rng(seed).normal(size=(20, 15))
    shared, labels = share_weights(kernel, 8, seed)
    values = np.unique(shared)
    assert len(values) == 8
    np.testing.assert_array_equal(values[labels], shared)
    centers, again = kmeans2(kernel.ravel(), values, minit="matrix")
    np.testing.assert_allclose(centers, values)
    np.testing.assert_array_equal(again, labels.ravel())
    theirs = KMeans(8, n_init=10, random_state=0).fit(kernel.reshape(-1, 1)).inertia_
    assert theirs <= 1.001 * np.sum((kernel - shared) ** 2) <= 1.5 * theirs


def test_sharing_with_enough_values_changes_nothing():
    rng = np.random.default_rng(3)
    kernel = rng.choice(np.float32([-3, -0.1, 0, 0.7, 2]), size=(6, 7))
    for clusters in (5, 9):
        shared, labels = share_weights(kernel, clusters, seed=rng)
        np.testing.assert_array_equal(shared, kernel)
        assert shared.dtype == np.float32
        np.testing.assert_array_equal(labels, np.searchsorted([-3, -0.1, 0, 0.7, 2], kernel - 1e-6))
    np.testing.assert_allclose(share_weights(kernel, 1, seed=0)[0], np.full((6, 7), kernel.mean()), rtol=1e-6)


@pytest.mark.parametrize(
    "optimizer", [lambda: keras.optimizers.SGD(0.1, momentum=0.9), lambda: keras.optimizers.Adam()]
)
def test_what_is_cut_stays_cut(optimizer):
    keep = KeepMask((3, 2))
    layer = keras.layers.Dense(2, kernel_constraint=keep)
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile(optimizer(), "mse")
    x, y = np.random.default_rng(0).normal(size=(2, 8, 3))
    model.fit(x, y[:, :2], epochs=2, verbose=0)  # momentum gathers, with nothing cut
    assert np.all(layer.kernel.numpy() != 0)
    mask = np.array([[1, 0], [0, 1], [1, 1]])
    keep.set(mask)
    model.fit(x, y[:, :2], epochs=5, verbose=0)
    np.testing.assert_array_equal(layer.kernel.numpy() != 0, mask)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: prune([np.ones(3)], 0.0), "keep: expected a number above 0 to 1"),
        (lambda: prune([np.ones(3)], 1.5), "keep: expected a number above 0 to 1"),
        (lambda: prune([np.array([1, np.nan])], 0.5), "must not contain"),
        (lambda: prune([], 0.5), "need at least one array"),
        (lambda: share_weights(np.ones(3), 0, 0), "clusters: expected a whole number"),
        (lambda: share_weights(np.array([1, np.inf]), 2, 0), "must not contain"),
        (lambda: share_weights(np.ones((0, 2)), 2, 0), "empty"),
        (lambda: prune_units(np.ones(3), np.ones(3), np.ones((3, 1)), 1), "kernel: expected the shape"),
        (lambda: prune_units(np.ones((2, 3)), np.ones(2), np.ones((3, 1)), 1), "bias: expected the shape"),
        (lambda: prune_units(np.ones((2, 3)), np.ones(3), np.ones((2, 3)), 1), "next_kernel: expected the shape"),
        (lambda: prune_units(np.ones((2, 3)), np.ones(3), np.ones((3, 1)), 4), "units: expected at most 3"),
        (lambda: prune_units(np.ones((2, 3)), np.ones(3), np.ones((3, 1)), 0), "units: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

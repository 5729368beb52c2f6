"""Positions as waves: the formula, rotations, products, the layer, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter13.positional_encoding import (
    Positions,
    build_classifier,
    frequencies,
    shift_matrix,
    sinusoidal_encoding,
)


@pytest.mark.parametrize(("indexing", "first"), [("paper", 0), ("course", 1)])
@pytest.mark.parametrize("depth", [2, 6, 16])
def test_the_encoding_is_the_formula(indexing, first, depth):
    got = sinusoidal_encoding([0, 1, 5, 123], depth, indexing=indexing)
    for row, t in zip(got, (0, 1, 5, 123), strict=True):
        for place in range(depth // 2):
            angle = t / 10000 ** (2 * (place + first) / depth)
            assert row[2 * place] == pytest.approx(np.sin(angle), abs=1e-12)
            assert row[2 * place + 1] == pytest.approx(np.cos(angle), abs=1e-12)
    np.testing.assert_array_equal(sinusoidal_encoding(4, depth), sinusoidal_encoding(np.arange(4), depth))


@pytest.mark.parametrize("indexing", ["paper", "course"])
@pytest.mark.parametrize("base", [10000.0, 50.0])
def test_a_shift_is_a_rotation(indexing, base):
    rng = np.random.default_rng(0)
    settings = {"base": base, "indexing": indexing}
    for shift in (*rng.integers(-1000, 1000, size=5), 0.25):
        t, rotation = rng.integers(-1000, 1000, size=7), shift_matrix(shift, 10, **settings)
        moved = sinusoidal_encoding(t, 10, **settings) @ rotation.T
        np.testing.assert_allclose(moved, sinusoidal_encoding(t + shift, 10, **settings), rtol=0, atol=1e-9)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(10), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_array_equal(shift_matrix(0, 6), np.eye(6))


def test_products_depend_on_the_distance_and_norms_are_half_the_depth():
    encoding = sinusoidal_encoding(np.arange(-20, 20), 12)
    products = encoding @ encoding.T
    for lag in (0, 1, 17):
        diagonal = np.diagonal(products, lag)
        np.testing.assert_allclose(diagonal, np.cos(lag * frequencies(12)).sum(), atol=1e-12)
    np.testing.assert_allclose((encoding**2).sum(axis=1), 6)


def test_the_notes_waves_are_the_papers_without_the_first():
    np.testing.assert_allclose(frequencies(16, indexing="course")[:-1], frequencies(16)[1:])
    assert frequencies(16)[0] == 1
    assert 2 * np.pi / frequencies(16, indexing="course")[0] == pytest.approx(19.869, abs=1e-3)


def test_the_layer_adds_what_its_kind_says():
    x = tf.constant(np.random.default_rng(1).normal(size=(2, 5, 4)), tf.float32)
    np.testing.assert_array_equal(Positions(9, "none")(x), x)
    np.testing.assert_allclose(Positions(9)(x) - x, [sinusoidal_encoding(5, 4)] * 2, atol=1e-6)
    layer = Positions(9, "learned", seed=3)
    got = layer(x)
    assert [tuple(each.shape) for each in layer.trainable_weights] == [(9, 4)]
    np.testing.assert_allclose(got - x, [layer.get_weights()[0][:5]] * 2, atol=1e-6)
    assert np.std(layer.get_weights()[0]) < 0.1
    assert not Positions(9).trainable_weights


def test_only_positions_tell_orders_apart():
    ids = np.random.default_rng(2).integers(0, 9, size=(3, 7))
    turned = ids[:, [3, 0, 6, 1, 5, 2, 4]]
    for kind, alike in (("none", True), ("learned", False), ("sinusoidal", False)):
        model = build_classifier(9, 8, Positions(7, kind, seed=1), heads=2, seed=4)
        assert np.allclose(model(ids), model(turned), atol=1e-5) == alike


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sinusoidal_encoding(3, 5), "depth: expected an even"),
        (lambda: frequencies(0), "depth: expected a whole"),
        (lambda: frequencies(4, base=0.0), "base: expected a positive"),
        (lambda: shift_matrix(1, 4, indexing="other"), "indexing: expected paper or course"),
        (lambda: sinusoidal_encoding(0, 4), "positions: expected a whole"),
        (lambda: sinusoidal_encoding([0.0, np.nan], 4), "infs or NaNs"),
        (lambda: Positions(4, "cosine"), "kind: expected sinusoidal"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

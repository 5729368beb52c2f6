"""Networks of threshold units on all their inputs, and the plane against independent geometry."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull, Delaunay

from kerasnotes.chapter02 import logic
from kerasnotes.chapter02.logic import (
    ThresholdNetwork,
    and_gate,
    count_cells,
    dnf_network,
    majority_gate,
    or_gate,
    parity_deep,
    parity_shallow,
    polygon_network,
    union_network,
)
from kerasnotes.chapter02.neurons import threshold_unit

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
seeds = st.integers(0, 2**32 - 1)


def all_inputs(n):
    return np.array([[(index >> k) & 1 for k in range(n)] for index in range(2**n)])


@pytest.mark.parametrize("n", range(1, 11))
def test_gates_and_parity_on_all_inputs(n):
    x = all_inputs(n)
    ones = x.sum(axis=1)
    np.testing.assert_array_equal(threshold_unit(x, *and_gate(n)), ones == n)
    np.testing.assert_array_equal(threshold_unit(x, *or_gate(n)), ones >= 1)
    np.testing.assert_array_equal(threshold_unit(x, *majority_gate(n)), ones > n / 2)
    shallow, deep, dnf = parity_shallow(n), parity_deep(n), dnf_network(ones % 2)
    for network in (shallow, deep, dnf):
        np.testing.assert_array_equal(network(x), ones % 2)
    assert shallow.hidden_count == n
    assert len(shallow.layers) == 2
    assert deep.hidden_count <= 2 * (n - 1) <= 3 * (n - 1)
    assert len(deep.layers) - 1 == int(math.log2(n))
    assert dnf.hidden_count == 2 ** (n - 1)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_function_as_an_or_of_ands(n):
    x = all_inputs(n)
    for code in range(2 ** (2**n)):
        table = [(code >> index) & 1 for index in range(2**n)]
        network = dnf_network(table)
        np.testing.assert_array_equal(network(x), table)
        assert network.hidden_count <= 2 ** (n - 1)
        assert set(np.unique(network.layers[0][0])) <= {-1, 0, 1}


@settings(max_examples=40, deadline=None)
@given(n=st.integers(4, 7), share=st.floats(0, 1), seed=seeds)
def test_random_functions_as_an_or_of_ands(n, share, seed):
    table = np.random.default_rng(seed).random(2**n) < share
    network = dnf_network(table)
    np.testing.assert_array_equal(network(all_inputs(n)), table)
    assert network.hidden_count <= 2 ** (n - 1)


def test_bit_zero_of_the_index_is_input_zero():
    np.testing.assert_array_equal(dnf_network([0, 1, 0, 0])([[1, 0], [0, 1]]), [1, 0])
    assert dnf_network([0, 1, 0, 1]).hidden_count == 2  # x0, for either x1
    assert dnf_network([0, 0, 0, 0]).hidden_count == 0


def test_network_keeps_leading_axes_and_counts_hidden_units():
    network = parity_deep(4)
    x = np.random.default_rng(0).integers(0, 2, size=(2, 3, 4))
    assert network(x).shape == (2, 3)
    np.testing.assert_array_equal(network(x), x.sum(axis=-1) % 2)
    assert network(x[0, 0]) == x[0, 0].sum() % 2
    assert ThresholdNetwork([([[1.0]], [0.0])]).hidden_count == 0


def test_only_and_gives_convex_regions():
    xor = dnf_network([0, 1, 1, 0])
    np.testing.assert_array_equal(xor([[1, 0], [0.5, 0.5], [0, 1]]), [1, 0, 1])


@settings(max_examples=40, deadline=None)
@given(corners=st.integers(3, 9), clockwise=st.booleans(), start=st.integers(0, 8), seed=seeds)
def test_polygon_equals_delaunay(corners, clockwise, start, seed):
    rng = np.random.default_rng(seed)
    cloud = rng.normal(size=(corners, 2)) * rng.uniform(0.1, 10, size=2) + rng.normal(scale=10, size=2)
    vertices = cloud[ConvexHull(cloud).vertices]
    x = rng.uniform(vertices.min(axis=0) - 0.1, vertices.max(axis=0) + 0.1, size=(500, 2))
    ordered = np.roll(vertices[::-1] if clockwise else vertices, start, axis=0)
    network = polygon_network(ordered)
    np.testing.assert_array_equal(network(x), Delaunay(vertices).find_simplex(x) >= 0)
    assert network.hidden_count == len(vertices)
    assert network(vertices.mean(axis=0)) == 1


def test_polygon_border_and_a_corner_of_180_degrees():
    network = polygon_network(np.insert(SQUARE, 1, [0.5, 0], axis=0)[:, ::-1])
    np.testing.assert_array_equal(network([[0, 0], [0.5, 0], [1, 0.5], [1.01, 0.5], [-0.01, 0.5]]), [1, 1, 1, 0, 0])


def test_union_of_touching_squares():
    network = union_network([SQUARE, SQUARE - 1])
    x = np.random.default_rng(0).uniform(-1.5, 1.5, size=(2000, 2)) * np.array([[1.0], [0.01]]).repeat(1000, axis=0)
    low, high = (((x > corner) & (x < corner + 1)).all(axis=1) for corner in (-1, 0))
    np.testing.assert_array_equal(network(x), low | high)
    assert len(network.layers) == 3
    assert network.hidden_count == 10


@settings(max_examples=30, deadline=None)
@given(units=st.integers(1, 12), through=st.floats(0, 1), seed=seeds)
def test_no_hidden_layer_draws_the_corner(units, through, seed):
    """Whatever the weights, what the hidden units report inside and outside adds up to the same."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(2, units))
    b = np.where(rng.random(units) < through, 0, np.linalg.norm(w, axis=0) * rng.choice([-1, 1], size=units))
    hidden = threshold_unit(np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]]) * 0.01, w, b)
    np.testing.assert_array_equal(hidden[:2].sum(axis=0), hidden[2:].sum(axis=0))


def test_cells():
    assert [count_cells(n, 2) for n in range(6)] == [1, 2, 4, 7, 11, 16]  # the lazy caterer's sequence
    assert [count_cells(n, 3) for n in range(6)] == [1, 2, 4, 8, 15, 26]  # the cake numbers
    assert count_cells(5, 0) == 1
    assert count_cells(3, 7) == 8
    rng = np.random.default_rng(1)
    for n, d in ((4, 1), (5, 2), (5, 3), (2, 3)):
        assert logic._cells(rng.normal(size=(n, d)), rng.normal(size=n)) == count_cells(n, d)


STAR = [[math.cos(angle), math.sin(angle)] for angle in 4 * math.pi / 5 * np.arange(5)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: and_gate(0), "n: expected a whole number of at least 1, got 0"),
        (lambda: or_gate(2.0), "n: expected a whole number of at least 1, got 2.0"),
        (lambda: majority_gate(-1), "n: expected a whole number of at least 1"),
        (lambda: parity_shallow(0), "n: expected a whole number of at least 1"),
        (lambda: parity_deep(0), "n: expected a whole number of at least 1"),
        (lambda: dnf_network([0, 1, 1]), "truth_table: expected 2, 4, 8"),
        (lambda: dnf_network([1]), "truth_table: expected"),
        (lambda: dnf_network([]), "truth_table: expected"),
        (lambda: dnf_network([[0, 1], [1, 0]]), "truth_table: expected"),
        (lambda: dnf_network([0, 2]), "truth_table: expected"),
        (lambda: polygon_network([[0, 0], [1, 1]]), "vertices: expected at least three"),
        (lambda: polygon_network([[0, 0], [1, 1], [np.nan, 0]]), "vertices: expected at least three finite"),
        (lambda: polygon_network([[0, 0], [1, 0], [2, 0]]), "vertices: expected a convex polygon"),
        (lambda: polygon_network([[0, 0], [0, 0], [1, 0], [0, 1]]), "vertices: expected a convex polygon"),
        (lambda: polygon_network(SQUARE[[0, 2, 1, 3]]), "vertices: expected a convex polygon"),  # a bow tie
        (lambda: polygon_network([[0, 0], [2, 0], [1, 0.5], [1, 2]]), "vertices: expected a convex polygon"),
        (lambda: polygon_network(STAR), "vertices: expected a convex polygon"),
        (lambda: union_network([]), "at least one"),
        (lambda: count_cells(-1, 2), "hyperplanes: expected a whole number of at least 0, got -1"),
        (lambda: count_cells(2, 1.5), "dimensions: expected a whole number of at least 0, got 1.5"),
        (lambda: ThresholdNetwork([]), "layers: expected"),
        (lambda: ThresholdNetwork([(np.ones((2, 2)), [0, 0])]), "layers: expected"),
        (lambda: ThresholdNetwork([(np.ones((2, 3)), np.zeros(3)), (np.ones((2, 1)), [0])]), "layers: expected"),
        (lambda: ThresholdNetwork([(np.ones((2, 1)), [0, 0])]), "layers: expected"),
        (lambda: parity_deep(3)([1, 0]), "w: expected one weight for each input"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()

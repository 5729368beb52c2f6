"""Derivatives against differences, the search, and what a dead unit and a doubled one do to the Hessian."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter03.saddles import add_dead_unit, derivatives, find_stationary, index, split_last_unit


def draw(seed, units, features, networks=2, samples=7):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(networks, units * (features + 2) + 1))
    return weights, rng.normal(size=(samples, features)), rng.normal(size=samples)


def by_differences(function, weights, step=1e-4):
    rows = [(function(weights + one) - function(weights - one)) / (2 * step) for one in step * np.eye(weights.shape[1])]
    return np.stack(rows, axis=1)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([0.0, 0.3]), st.integers(0, 2**32 - 1))
def test_derivatives_equal_differences(units, features, penalty, seed):
    weights, x, y = draw(seed, units, features)
    loss, gradient, hessian = derivatives(weights, x, y, penalty)
    kernel, bias, v, c = np.split(weights[0], np.cumsum([features * units, units, units]))
    output = np.tanh(x @ kernel.reshape(features, units) + bias) @ v + c
    assert loss[0] == pytest.approx(np.mean((output - y) ** 2) + penalty * np.sum(weights[0] ** 2))
    np.testing.assert_allclose(
        gradient, by_differences(lambda w: derivatives(w, x, y, penalty, hessian=False)[0], weights), atol=1e-5
    )
    np.testing.assert_allclose(
        hessian, by_differences(lambda w: derivatives(w, x, y, penalty, hessian=False)[1], weights), atol=1e-5
    )
    np.testing.assert_allclose(hessian, np.swapaxes(hessian, 1, 2), atol=1e-12)
    assert derivatives(weights, x, y, hessian=False)[2] is None


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.sampled_from([-3.0, -1e-3, -1e-8, 0.0, 1e-8, 0.7]), min_size=1, max_size=6), st.integers(0, 2**32 - 1)
)
def test_the_index_is_that_of_the_construction(values, seed):
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values),) * 2))[0]
    negative, zeros = index(np.stack([turn * values @ turn.T] * 2))
    assert negative.tolist() == [sum(value in (-3.0, -1e-3) for value in values)] * 2
    assert zeros.tolist() == [sum(abs(value) < 1e-6 for value in values)] * 2
    assert index(np.diag([-0.5, -2.0]), zero=1.0) == (1, 1)


def test_a_search_ends_without_gradient_and_one_that_has_arrived_stays():
    weights, x, y = draw(0, 2, 2, networks=20)
    ends, arrived = find_stationary(0.3 * weights, x, y, 0.05, steps=200)
    lengths = np.linalg.norm(derivatives(ends, x, y, 0.05)[1], axis=1)
    assert arrived.any()
    np.testing.assert_array_equal(arrived, lengths <= 1e-9)
    again, still = find_stationary(ends[arrived], x, y, 0.05, steps=1)
    np.testing.assert_array_equal(again, ends[arrived])
    assert still.all()


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_step_lengthens_the_gradient(seed):
    weights, x, y = draw(seed, 3, 2)
    kept, before = weights.copy(), np.linalg.norm(derivatives(weights, x, y, 0.1)[1], axis=1)
    for steps in (1, 5, 20):
        ends, _ = find_stationary(weights, x, y, 0.1, steps)
        after = np.linalg.norm(derivatives(ends, x, y, 0.1)[1], axis=1)
        assert np.all(after <= before)
        before = after
    np.testing.assert_array_equal(weights, kept)


def test_a_search_finds_saddles_as_well_as_minima():
    """Near the network of zeros, a saddle, descent would leave and Newton's step goes there."""
    weights, x, y = draw(1, 2, 3)
    y = y - y.mean()
    ends, arrived = find_stationary(1e-3 * weights, x, y, 0.01)
    assert arrived.all()
    np.testing.assert_allclose(ends, 0, atol=1e-6)
    assert index(derivatives(ends, x, y, 0.01)[2])[0].tolist() == [2, 2]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.sampled_from([0.0, 0.3]), st.integers(0, 2**32 - 1))
def test_a_dead_unit_adds_known_eigenvalues(units, features, penalty, seed):
    weights, x, y = draw(seed, units, features)
    larger = add_dead_unit(weights, x)
    assert larger.shape == (2, weights.shape[1] + features + 2)
    loss, _, hessian = derivatives(weights, x, y, penalty)
    loss_larger, gradient, hessian_larger = derivatives(larger, x, y, penalty)
    np.testing.assert_allclose(loss_larger, loss)
    new = np.r_[units : (features + 1) * (units + 1) : units + 1, -2]
    np.testing.assert_allclose(gradient[:, new], 0, atol=1e-12)
    for row in range(2):
        kernel, bias, v, c = np.split(weights[row], np.cumsum([features * units, units, units]))
        error = np.tanh(x @ kernel.reshape(features, units) + bias) @ v + c - y
        q = np.linalg.norm(2 / len(x) * error @ np.column_stack([x, np.ones(len(x))]))
        added = [2 * penalty - q, *[2 * penalty] * features, 2 * penalty + q]
        want = np.sort(np.concatenate([np.linalg.eigvalsh(hessian[row]), added]))
        np.testing.assert_allclose(np.linalg.eigvalsh(hessian_larger[row]), want, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.floats(-1, 2), st.integers(0, 2**32 - 1))
def test_a_doubled_unit_shares_its_gradient(units, features, part, seed):
    weights, x, y = draw(seed, units, features)
    kept = weights.copy()
    larger = split_last_unit(weights, x, part)
    loss, gradient, _ = derivatives(weights, x, y)
    loss_larger, gradient_larger, _ = derivatives(larger, x, y)
    np.testing.assert_allclose(loss_larger, loss)
    old, end = gradient[:, units - 1 : (features + 1) * units : units], (features + 1) * (units + 1)
    np.testing.assert_allclose(gradient_larger[:, units - 1 : end : units + 1], (1 - part) * old, atol=1e-9)
    np.testing.assert_allclose(gradient_larger[:, units : end : units + 1], part * old, atol=1e-9)
    np.testing.assert_allclose(gradient_larger[:, [-3, -2]], gradient[:, [-2, -2]], atol=1e-9)
    np.testing.assert_array_equal(weights, kept)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.floats(-1, 2), st.integers(0, 2**32 - 1))
def test_where_the_copies_part_the_curvature_is_that_of_b(units, features, part, seed):
    """The copies move against each other so that the output stays, to first order."""
    weights, x, y = draw(seed, units, features, networks=1)
    hessian = derivatives(split_last_unit(weights, x, part), x, y)[2][0]
    apart, end = np.zeros((features + 1, len(hessian))), (features + 1) * (units + 1)
    apart[:, units - 1 : end : units + 1] = -part * np.eye(features + 1)
    apart[:, units : end : units + 1] = (1 - part) * np.eye(features + 1)
    kernel, v, c = np.split(weights[0], [(features + 1) * units, -1])
    inputs = np.column_stack([x, np.ones(len(x))])
    t = np.tanh(inputs @ kernel.reshape(features + 1, units))
    second = -2 * t[:, -1] * (1 - t[:, -1] ** 2)
    b = 2 / len(x) * (inputs.T * (t @ v + c - y) * v[-1] * second) @ inputs
    np.testing.assert_allclose(apart @ hessian @ apart.T, part * (1 - part) * b, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: derivatives(np.zeros((1, 6)), np.zeros((3, 1)), np.zeros(3)), "weights: expected"),
        (lambda: derivatives(np.zeros(4), np.zeros((3, 1)), np.zeros(3)), "weights: expected"),
        (lambda: derivatives(np.zeros((1, 1)), np.zeros((3, 1)), np.zeros(3)), "weights: expected"),
        (lambda: derivatives(np.zeros((1, 4)), np.zeros((3, 1)), np.zeros((3, 1))), "y: expected the shape"),
        (lambda: derivatives(np.zeros((1, 4)), np.zeros((3, 1)), np.zeros(1)), "y: expected the shape"),
        (lambda: add_dead_unit(np.zeros((1, 5)), np.zeros((3, 1))), "weights: expected"),
        (lambda: split_last_unit(np.zeros((1, 5)), np.zeros((3, 1)), 0.5), "weights: expected"),
        (
            lambda: find_stationary(np.zeros((1, 4)), np.zeros((3, 1)), np.zeros(3), tolerance=0.0),
            "tolerance: expected",
        ),
        (lambda: find_stationary(np.zeros((1, 4)), np.zeros((3, 1)), np.zeros(3), steps=0), "steps: expected"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()

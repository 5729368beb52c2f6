"""Subsampling and the average's gradient against TensorFlow, boards counted by hand, and every error message."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter06.pooling import average_pool2d
from kerasnotes.chapter06.subsampling import (
    average_pool_gradient,
    best_accuracy,
    capture_boards,
    captured_by_one_filter,
    subsample,
)

PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4))
SIDES = st.tuples(st.integers(4, 9), st.integers(4, 9))
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=30, deadline=None)
@given(SIDES, PAIRS, PAIRS, st.sampled_from(["VALID", "SAME"]), SEEDS)
def test_gradient_is_the_tapes(sides, size, strides, padding, seed):
    rng = np.random.default_rng(seed)
    inputs = tf.constant(rng.normal(size=(2, *sides, 3)))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = tf.nn.avg_pool2d(inputs, size, strides, padding)
    dy = rng.normal(size=y.shape)
    want = tape.gradient(y, inputs, output_gradients=tf.constant(dy))
    np.testing.assert_allclose(average_pool_gradient(inputs, dy, size, strides, padding), want, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(SIDES, PAIRS, SEEDS)
def test_the_gradient_is_the_adjoint_of_the_mean(sides, size, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1, *sides, 2))
    y = average_pool2d(x, size, 2, "SAME")
    dy = rng.normal(size=y.shape)
    assert np.sum(dy * y) == pytest.approx(np.sum(x * average_pool_gradient(x, dy, size, 2, "SAME")))


def test_by_hand():
    x, dy = np.zeros((1, 3, 3, 1), np.float32), np.ones((1, 2, 2, 1), np.float32)
    got = average_pool_gradient(x, dy, 2, 2, "SAME")  # windows of 4, 2, 2 and 1 real cells
    np.testing.assert_array_equal(got[0, ..., 0], [[0.25, 0.25, 0.5], [0.25, 0.25, 0.5], [0.5, 0.5, 1]])
    assert got.dtype == np.float32
    assert average_pool_gradient(x, dy, 1, 2).sum() == 4
    picture = np.arange(20).reshape(1, 4, 5, 1)
    np.testing.assert_array_equal(subsample(picture)[0, ..., 0], [[0, 2, 4], [10, 12, 14]])
    np.testing.assert_array_equal(subsample(picture, (3, 1))[0, ..., 0], picture[0, [0, 3], :, 0])


def test_boards():
    boards, captured, probabilities = capture_boards()
    assert boards.shape == (40960, 4, 4, 2)
    assert len(np.unique(boards.reshape(len(boards), -1), axis=0)) == len(boards)
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities[captured].sum() == pytest.approx(0.5)
    assert (boards[..., 1].sum(axis=(1, 2)) == 1).all()
    assert not (boards[..., 0] * boards[..., 1]).any()
    for board, answer in zip(boards[::997], captured[::997], strict=True):
        ((row, column),) = np.argwhere(board[..., 1])
        around = [board[row + a, column + b, 0] for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        assert all(around) == answer
        assert sum(around) >= 3
    np.testing.assert_array_equal(captured_by_one_filter(boards), captured)


def test_the_best_accuracy_by_counting():
    rng = np.random.default_rng(0)
    seen, answers = rng.integers(0, 2, size=(12, 2)), rng.integers(0, 3, 12)
    probabilities = rng.dirichlet(np.ones(12))
    looks = [tuple(each) for each in seen]
    rules = itertools.product(range(3), repeat=len(set(looks)))
    places = [sorted(set(looks)).index(each) for each in looks]
    want = max(sum(p for p, a, k in zip(probabilities, answers, places, strict=True) if rule[k] == a) for rule in rules)
    assert best_accuracy(seen, answers, probabilities) == pytest.approx(want)
    assert best_accuracy(np.zeros(4), [0, 1, 1, 2], np.full(4, 0.25)) == 0.5
    assert best_accuracy(np.array([0.0, -0.0]), [0, 1], [0.5, 0.5]) == 0.5
    assert best_accuracy(np.arange(4), [0, 1, 1, 2], np.full(4, 0.25)) == 1


def test_a_ceiling_told_where_the_stone_is_is_five_eighths():
    boards, captured, probabilities = capture_boards()
    row, column = np.argwhere(boards[..., 1])[:, 1:].T
    told = np.concatenate([subsample(boards).reshape(len(boards), -1), row[:, None], column[:, None]], axis=1)
    assert best_accuracy(told, captured, probabilities) == pytest.approx(5 / 8)


def test_errors():
    x = np.zeros((1, 4, 4, 1))
    with pytest.raises(ValueError, match=r"dy: expected the shape \(1, 2, 2, 1\), got \(1, 4, 4, 1\)"):
        average_pool_gradient(x, x, 2)
    with pytest.raises(ValueError, match="size: expected"):
        average_pool_gradient(x, x, 0)
    with pytest.raises(ValueError, match="strides: expected"):
        average_pool_gradient(x, x, 2, 0)
    with pytest.raises(ValueError, match="padding: expected"):
        average_pool_gradient(x, x, 2, 2, "half")
    with pytest.raises(ValueError, match="stride: expected"):
        subsample(x, 0)
    with pytest.raises(ValueError, match="x: expected the shape"):
        subsample(x[0])
    with pytest.raises(ValueError, match=r"answers: expected the shape \(2\), got \(3,\)"):
        best_accuracy(np.zeros(2), [0, 1, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match=r"probabilities: expected the shape \(2\), got \(3,\)"):
        best_accuracy(np.zeros(2), [0, 1], [0.5, 0.25, 0.25])
    for bad in ([0.5, 0.6], [-0.5, 1.5], [np.nan, 1]):
        with pytest.raises(ValueError, match="probabilities: expected numbers from 0 that sum to 1"):
            best_accuracy(np.zeros(2), [0, 1], bad)

"""Moved pictures by hand, by NumPy, and against the distance that their ink was meant to move."""

import numpy as np
import pytest

from kerasnotes.chapter06.shift_tolerance import moved_equally, turn, warp


def test_moving_pictures():
    x = np.pad(np.random.default_rng(0).uniform(size=(2, 6, 6, 1)), [(0, 0), (2, 2), (2, 2), (0, 0)])
    same, still = turn(np.zeros(2)), np.zeros((2, 2))
    moved = warp(x, same, still + np.array([1, -2]))
    np.testing.assert_allclose(moved, np.roll(x, (1, -2), axis=(1, 2)), atol=1e-12)
    halfway = warp(x, same, still + np.array([0, 0.5]))
    np.testing.assert_allclose(halfway, (x + np.roll(x, 1, axis=2)) / 2, atol=1e-12)
    np.testing.assert_allclose(warp(x, same / 2, still)[:, 0, 0], x[:, 2:4, 2:4].reshape(2, 4) @
                               np.outer([0.75, 0.25], [0.75, 0.25]).ravel()[:, None], atol=1e-12)  # fmt: skip


def test_turns():
    np.testing.assert_allclose(turn(np.array([np.pi / 2, 0])), [[[0, -1], [1, 0]], np.eye(2)], atol=1e-15)
    x = np.random.default_rng(1).uniform(size=(3, 5, 5, 1))
    quarter = warp(x, turn(np.full(3, np.pi / 2)), np.zeros((3, 2)))
    np.testing.assert_allclose(quarter, np.rot90(x, axes=(2, 1)), atol=1e-12)


def test_ink_moves_as_far_as_asked():
    x = np.zeros((4, 41, 41, 1))
    x[:, 20, 30] = 1  # ten pixels to the right of the middle
    for versions, sizes in moved_equally(x, (0, 3), np.random.default_rng(0)).values():
        assert len(versions) == len(sizes) == 2
        np.testing.assert_allclose(versions[0], x, atol=1e-12)
        ink = versions[1][..., 0] / versions[1].sum(axis=(1, 2, 3))[:, None, None]
        row, column = (np.sum(ink * grid, axis=(1, 2)) for grid in np.mgrid[:41, :41])
        np.testing.assert_allclose(np.hypot(row - 20, column - 30), 3, atol=0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 3, 3)), np.ones((2, 2, 2)), np.ones((2, 2))), "pictures: expected the shape"),
        ((np.ones((2, 3, 3, 3)), np.ones((2, 2, 2)), np.ones((2, 2))), "pictures: expected the shape"),
        ((np.ones((2, 3, 3, 1)), np.ones((1, 2, 2)), np.ones((2, 2))), "matrices: expected the shape"),
        ((np.ones((2, 3, 3, 1)), np.ones((2, 2, 2)), np.ones((1, 2))), "shifts: expected the shape"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        warp(*arguments)

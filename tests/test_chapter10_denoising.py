"""Damage as probability has it, and its errors; the repair is checked by the lesson itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter10.denoising import add_noise, remove_block

SEEDS = st.integers(0, 2**32 - 1)


def test_noise_has_its_deviation_where_nothing_is_cut():
    x = np.full((100, 50, 50), 0.5)
    off = add_noise(x, 0.1, 3) - 0.5
    n = off.size
    assert abs(off.mean()) < 4 * 0.1 / np.sqrt(n)
    assert off.std() == pytest.approx(0.1, rel=4 / np.sqrt(2 * n))


def test_noise_is_cut_at_black_and_white():
    noisy = add_noise(np.zeros((50, 10, 10)), 1.0, 0)
    assert noisy.min() == 0.0
    assert noisy.max() == 1.0
    assert (noisy == 0).mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(5000))  # half of a Gaussian is negative


def test_no_noise_changes_nothing_and_one_seed_gives_one_image():
    x = np.random.default_rng(0).random((3, 4, 4), dtype=np.float32)
    np.testing.assert_array_equal(add_noise(x, 0.0, 1), x)
    np.testing.assert_array_equal(add_noise(x, 0.3, 1), add_noise(x, 0.3, 1))
    assert not np.array_equal(add_noise(x, 0.3, 1), add_noise(x, 0.3, 2))


@settings(max_examples=30)
@given(SEEDS, st.integers(1, 5), st.integers(3, 8), st.integers(3, 8), st.data())
def test_a_block_is_one_square_inside_the_image(seed, samples, height, width, draw):
    size = draw.draw(st.integers(1, min(height, width)))
    x = 0.1 + np.random.default_rng(seed).random((samples, height, width), dtype=np.float32)
    spoiled, missing = remove_block(x, size, seed, fill=-1.0)
    np.testing.assert_array_equal(spoiled == -1.0, missing)
    np.testing.assert_array_equal(spoiled[~missing], x[~missing])
    for picture in missing:
        rows, columns = np.nonzero(picture.any(axis=1))[0], np.nonzero(picture.any(axis=0))[0]
        assert len(rows) == len(columns) == size
        assert picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert picture.sum() == size**2


def test_blocks_come_everywhere_and_can_be_filled_with_an_image():
    x = np.zeros((4000, 3, 3))
    fill = np.arange(9.0).reshape(3, 3)
    spoiled, missing = remove_block(x, 2, 1, fill)
    corners = missing[:, [0, 0, 2, 2], [0, 2, 0, 2]].mean(axis=0)  # each of four places with probability 1/4
    assert corners == pytest.approx([0.25] * 4, abs=4 * np.sqrt(0.1875 / 4000))
    np.testing.assert_array_equal(spoiled, np.where(missing, fill, 0))


def test_black_white_and_one_pixel_are_images_too():
    for value in (0.0, 1.0):
        np.testing.assert_array_equal(add_noise(np.full((2, 3), value), 0.0), np.full((2, 3), value))
    spoiled, missing = remove_block(np.ones((1, 1, 1)), 1)
    assert spoiled.tolist() == [[[0.0]]], "black by default"
    assert missing.all()


def test_errors():
    for call in (lambda: add_noise(0.5, 0.1), lambda: remove_block(0.5, 1)):
        with pytest.raises(ValueError, match=r"x: expected images \(samples, …\), got an array of shape \(\)"):
            call()
    x = np.zeros((2, 4, 5))
    for bad in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="deviation: expected a number of at least 0"):
            add_noise(x, bad)
    with pytest.raises(ValueError, match=r"x: expected images \(samples, …\), got an array of shape \(0, 3\)"):
        add_noise(np.zeros((0, 3)), 0.1)
    for bad in (255.0, -1.0, np.nan):
        with pytest.raises(ValueError, match=r"x: expected values in \[0, 1\].*divide 8-bit images by 255"):
            add_noise(np.full((2, 4, 4), bad), 0.1)
    for bad in (0, 5):
        with pytest.raises(ValueError, match=f"size: expected 1 to 4 for images of 4 × 5, got {bad}"):
            remove_block(x, bad)
    with pytest.raises(ValueError, match=r"x: expected the shape \(samples, height, width\)"):
        remove_block(np.zeros((2, 4)), 1)

"""Width, slant and captions of digits against closed forms and moments computed one pixel at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter11.handwriting import (
    DIGITS,
    caption_vector,
    captions,
    outlines,
    shear,
    slant,
    stroke_width,
    thirds,
)

SEEDS = st.integers(0, 2**32 - 1)


def pictures(seed, count=3):
    return np.float32(np.random.default_rng(seed).uniform(-1, 1, (count, 9, 7, 1)))


@settings(max_examples=20)
@given(SEEDS)
def test_slant_is_the_slope_of_a_weighted_least_squares_line(seed):
    x = pictures(seed)
    rows, columns = np.mgrid[:9, :7]
    for picture, got in zip(x, slant(x), strict=True):
        ink = np.maximum((picture[..., 0] + 1) / 2, 0)
        slope, _ = np.polyfit(-rows.ravel(), columns.ravel(), 1, w=np.sqrt(ink.ravel()))
        assert got == pytest.approx(slope, abs=1e-5)


@settings(max_examples=20)
@given(SEEDS)
def test_width_pixel_by_pixel(seed):
    x = pictures(seed)
    for picture, got in zip(x, stroke_width(x), strict=True):
        ink = np.pad((np.float64(picture[..., 0]) + 1) / 2, 1)
        outline = sum(
            np.hypot(ink[i + 1, j] - ink[i, j], ink[i, j + 1] - ink[i, j])
            for i in range(len(ink) - 1)
            for j in range(ink.shape[1] - 1)
        )
        assert got == pytest.approx(2 * ink.sum() / outline, rel=1e-5)


@pytest.mark.parametrize("width", [1, 3, 6])
def test_width_of_a_long_bar(width):
    bar = np.full((1, 400, 20, 1), -1, np.float32)
    bar[:, 1:-1, 5 : 5 + width] = 1
    assert stroke_width(bar)[0] == pytest.approx(width, rel=0.02)
    assert stroke_width(bar.transpose(0, 2, 1, 3))[0] == pytest.approx(width, rel=0.02)  # lying


def test_grey_ink_has_the_width_of_black_ink():
    x = np.full((1, 30, 20, 1), -1, np.float32)
    x[:, 5:25, 8:11] = 1
    faint = np.where(x > 0, np.float32(0.2), x)
    assert stroke_width(faint) == pytest.approx(stroke_width(x), rel=1e-6)
    assert slant(shear(faint, 0.3)) == pytest.approx(slant(shear(x, 0.3)), abs=1e-6)


@settings(max_examples=20)
@given(SEEDS, st.floats(-0.5, 0.5))
def test_shear_adds_to_the_slant(seed, by):
    x = np.full((2, 11, 31, 1), -1, np.float32)
    x[:, :, 12:19] = np.random.default_rng(seed).uniform(-1, 1, (2, 11, 7, 1))
    assert slant(shear(x, by)) - slant(x) == pytest.approx([by] * 2, abs=1e-4)
    assert shear(x, by).sum() == pytest.approx(x.sum(), rel=1e-4)  # no ink is lost
    np.testing.assert_array_equal(shear(x, 0), x)


def test_a_mirrored_picture_leans_the_other_way():
    x = pictures(0)
    assert slant(x[:, :, ::-1]) == pytest.approx(-slant(x), abs=1e-6)
    assert slant(x[:, ::-1]) == pytest.approx(-slant(x), abs=1e-6)


def test_thirds_within_classes():
    values, labels = np.array([5, 1, 3, 50, 10, 30, 7.0]), np.array([0, 0, 0, 1, 1, 1, 2])
    assert thirds(values, labels).tolist() == [1, -1, 0, 1, -1, 0, 0]
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=3000)
    levels = thirds(rng.normal(size=3000) + 10 * labels, labels)
    for label in range(4):
        assert np.mean(levels[labels == label]) == pytest.approx(0, abs=0.01)
        assert np.mean(levels[labels == label] == 1) == pytest.approx(1 / 3, abs=0.01)


def test_captions():
    assert caption_vector("thick slanted seven").tolist() == [0] * 7 + [1, 0, 0, 1, 1]
    assert caption_vector("zero").tolist() == [1] + [0] * 11
    assert caption_vector("upright thin nine").tolist() == [0] * 9 + [1, -1, -1]
    assert caption_vector("zero").dtype == np.float32
    words = captions()
    assert len(words) == len(set(words)) == 90
    for number, caption in enumerate(words):
        vector = caption_vector(caption)
        assert vector[:10].argmax() == number // 9 == DIGITS.index(caption.split()[-1])
        assert vector[10:].tolist() == [number // 3 % 3 - 1, number % 3 - 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: caption_vector("thick"), "words: expected a digit's name, got 'thick'"),
        (lambda: caption_vector(""), "words: expected a digit's name, got ''"),
        (lambda: caption_vector("bold seven"), "words: expected words among zero, .* got 'bold'"),
        (
            lambda: caption_vector("one two"),
            "words: expected one digit and one word at most for a style, got 'one two'",
        ),
        (lambda: caption_vector("thin thick one"), "words: expected one digit and one word at most for a style"),
        (lambda: stroke_width(np.full((1, 5, 5, 1), 3.0)), "images: expected pixels from −1 to 1, got 3 to 3"),
        (lambda: stroke_width(np.zeros((1, 5, 5, 1))), "images: expected ink on paper, got an image of one grey"),
        (lambda: slant(np.zeros((1, 5, 5, 1))), "images: expected ink on paper, got an image of one grey"),
        (lambda: slant(np.zeros((1, 5, 5, 2))), r"images: expected the shape \(any, any, any, 1\), got \(1, 5, 5, 2\)"),
        (lambda: thirds([1.0, 2.0], [0]), r"labels: expected the shape \(2\), got \(1,\)"),
        (lambda: shear(np.full((1, 5, 5, 1), np.nan), 1), "images: expected pixels from −1 to 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_ink_in_one_row_has_no_slant():
    x = np.full((1, 5, 5, 1), -1, np.float32)
    x[0, 2, 1:3] = 1
    with pytest.raises(ValueError, match="ink in several rows"):
        slant(x)


def test_thirds_refuses_nan():
    with pytest.raises(ValueError, match="infs or NaNs"):
        thirds([np.nan, 1.0], [0, 0])


@settings(max_examples=15)
@given(SEEDS)
def test_outlines_pixel_by_pixel(seed):
    x = pictures(seed)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-1)
    drawn = outlines(x)
    for n, i, j in np.ndindex(x.shape[:3]):
        around = padded[n, i : i + 3, j : j + 3].max()
        assert drawn[n, i, j, 0] == pytest.approx(1 - (around - x[n, i, j, 0]), abs=1e-6)
    assert drawn.min() >= -1
    assert drawn.max() <= 1


def test_paper_has_no_outline_and_a_dot_has_a_ring():
    x = np.full((1, 5, 5, 1), -1, np.float32)
    np.testing.assert_array_equal(outlines(x), np.ones_like(x))
    x[0, 2, 2] = 1
    ring = outlines(x)[0, :, :, 0]
    assert np.sum(ring == -1) == 8
    assert ring[2, 2] == 1

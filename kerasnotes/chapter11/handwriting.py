"""How wide a stroke is and how far it leans can be read off the pixels, so words about them can be checked.

"Thick" and "slanted" are words for numbers: ink over outline is half a stroke's width, and how the ink's column moves
with its row is its lean. What the reader should see: both numbers exact for bars and for sheared pictures; both right
for handwritten digits that were thickened or sheared by a known amount; and digits of every class put into thirds, thin
to thick and upright to slanted, which is how each training image of the next lesson gets its caption.

Notes: chapter 11, "Conditional GAN" (条件生成对抗网络).
Source: Hu 1962, doi:10.1109/TIT.1962.1057692 (moments of a picture); Castro et al. 2019, arXiv:1809.10780 (thickness
and slant as measured factors of handwritten digits).
"""

import keras
import numpy as np

from kerasnotes import data, plots
from kerasnotes.chapter11.judge import as_pixels
from kerasnotes.chapter11.wgan import rank_correlation
from kerasnotes.parts import shape

SMOKE = {"images": 500}
SECONDS = 3

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
STYLES = (("thin", "thick"), ("upright", "slanted"))  # −1 and 1; without a word 0


def stroke_width(images):
    """Width of the strokes in pixels: twice the ink over the length of its outline.

    A stroke of width w and length l has w l ink, and an outline of 2 l. The outline's length is the sum of how steeply
    the ink changes, over all pixels.

    Args:
        images: Array (samples, height, width, 1), pixels from −1 (paper) to 1 (ink).

    Returns: float64 (samples,).

    Raises: ValueError: If a pixel is out of range, or an image is of one grey only.
    """
    ink = _ink(images)
    padded = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    down, right = np.diff(padded, axis=1)[:, :, :-1], np.diff(padded, axis=2)[:, :-1]
    return 2 * ink.sum(axis=(1, 2), dtype=np.float64) / np.hypot(down, right).sum(axis=(1, 2), dtype=np.float64)


def slant(images):
    """How many pixels the ink moves to the right for each pixel that it rises: 0 upright, 1 at 45 degrees.

    It is the slope of the line that predicts a spot of ink's column from its row, by least squares.

    Args:
        images: Array (samples, height, width, 1), pixels from −1 (paper) to 1 (ink).

    Returns: float64 (samples,).

    Raises: ValueError: If a pixel is out of range, an image is of one grey only, or all its ink lies in one row.
    """
    ink = _ink(images)
    ink = ink / ink.sum(axis=(1, 2), keepdims=True)
    row, column = (np.arange(size, dtype=np.float64) for size in ink.shape[1:])
    rows, columns = ink.sum(axis=2), ink.sum(axis=1)
    mean_row, mean_column = rows @ row, columns @ column
    variance = rows @ row**2 - mean_row**2
    if not variance.min() > 1e-9:
        raise ValueError("images: expected ink in several rows of every image, got one with all of it in one row")
    return -(np.einsum("nij,i,j->n", ink, row, column) - mean_row * mean_column) / variance


def _ink(images):
    images = as_pixels(images)
    shape("images", images, None, None, None, 1)
    if np.ptp(images, axis=(1, 2, 3)).min() == 0:
        raise ValueError("images: expected ink on paper, got an image of one grey")
    return (images[..., 0] + 1) / 2


def thirds(values, labels):
    """Which third of its class a value lies in.

    Classes differ: a seven leans by itself. Within its class, as many are called slanted as upright.

    Args:
        values: Numbers (samples,).
        labels: Classes (samples,).

    Returns: int (samples,): −1 for the lowest third of a class, 0, or 1 for the highest.

    Raises: ValueError: If the lengths differ, or a value is not finite.
    """
    values, labels = np.asarray_chkfinite(values, float), np.asarray(labels)
    shape("labels", labels, *values.shape)
    levels = np.zeros(values.shape, int)
    for label in np.unique(labels):
        one = labels == label
        low, high = np.quantile(values[one], (1 / 3, 2 / 3))
        levels[one] = (values[one] > high).astype(int) - (values[one] < low)
    return levels


def shear(images, by):
    """Pictures whose rows are moved to the right, each by so many pixels for each pixel that it lies higher.

    Args:
        images: Array (samples, height, width, 1), pixels from −1 to 1; what leaves on one side is lost.
        by: The slant that is added, a number.

    Returns: float32 array of that shape; between pixels, ink is shared between the neighbours.
    """
    images = as_pixels(images)
    height, width = images.shape[1:3]
    sheared = np.full_like(images, -1)
    for row in range(height):
        source = np.arange(width) - by * ((height - 1) / 2 - row)
        left = np.floor(source).astype(int)
        share = np.float32(source - left)[:, None]
        at = [np.where((x >= 0) & (x < width), x, width) for x in (left, left + 1)]
        line = np.pad(images[:, row], ((0, 0), (0, 1), (0, 0)), constant_values=-1)  # the place behind the end is paper
        sheared[:, row] = (1 - share) * line[:, at[0]] + share * line[:, at[1]]
    return sheared


def outlines(images):
    """Light outlines on dark paper: of each pixel, how much ink is around it beyond its own.

    A convolution can compute it: a pixel depends on its 3 x 3 neighbours.

    Args:
        images: Array (samples, height, width, 1), pixels from −1 (paper) to 1 (ink).

    Returns: float32 array of that shape, 1 on paper and −1 where ink begins.

    Raises: ValueError: If a pixel is out of range.
    """
    images = as_pixels(images)
    x = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-1)
    x = np.maximum(np.maximum(x[:, :-2], x[:, 1:-1]), x[:, 2:])  # the largest of three neighbours in a column
    x = np.maximum(np.maximum(x[:, :, :-2], x[:, :, 1:-1]), x[:, :, 2:])  # and of three in a row
    return 1 - (x - images)


def caption_vector(words):
    """A caption such as "thick slanted seven" as the numbers of a condition.

    Args:
        words: A digit's name, zero to nine, and before it or not: thin or thick, upright or slanted.

    Returns: float32 (12,): a one at the digit's place; thickness and slant, −1 or 1, or 0 if no word names them.

    Raises: ValueError: If a word is unknown, the caption names no digit, or it names something twice.
    """
    places = {name: (place, 1) for place, name in enumerate(DIGITS)}
    for place, (low, high) in enumerate(STYLES, len(DIGITS)):
        places |= {low: (place, -1), high: (place, 1)}
    vector, digits = np.zeros(len(DIGITS) + len(STYLES), np.float32), 0
    for word in words.split():
        if word not in places:
            raise ValueError(f"words: expected words among {', '.join(places)}, got {word!r}")
        place, value = places[word]
        digits += place < len(DIGITS)
        if vector[place] or digits > 1:
            raise ValueError(f"words: expected one digit and one word at most for a style, got {words!r}")
        vector[place] = value
    if digits == 0:
        raise ValueError(f"words: expected a digit's name, got {words!r}")
    return vector


def captions():
    """All 90 captions: for each digit thin, no word and thick, and for each of these upright, no word and slanted."""
    widths, slants = ((low, "", high) for low, high in STYLES)
    return [" ".join(f"{width} {lean} {digit}".split()) for digit in DIGITS for width in widths for lean in slants]


def example():
    """A bar of width 3, the same bar leaning, and Keras's widest stroke: a maximum over neighbours."""
    bar = np.full((1, 28, 28, 1), -1, np.float32)
    bar[:, 4:24, 12:15] = 1
    thicker = keras.ops.max_pool(bar, 3, 1, "same").numpy()  # every spot grows by one pixel on all sides
    print("a bar of 3 x 20 pixels, then of 5 x 22:", stroke_width(bar).round(2), stroke_width(thicker).round(2))
    for by in (0, 0.25, 0.5):
        print("sheared by", by, "the slant is", slant(shear(bar, by)).round(3))
    print("thirds:", thirds([1.0, 2, 3, 40, 50, 60], [0, 0, 0, 1, 1, 1]))


def lesson(report, *, images: int = 10000, seed: int = 0):
    """Measure bars, then digits that were changed by known amounts, and put digits into thirds.

    Args:
        report: The report to write to.
        images: Digits that are measured (500 to 60000).
        seed: Seed of the choice of digits (0 to 4294967295).
    """
    _bars(report)
    (x, y), _ = data.mnist()
    picked = np.random.default_rng(seed).permutation(len(x))[:images]
    x, y = np.float32(x[picked])[..., None] / 127.5 - 1, np.int32(y[picked])
    _changed(report, x)
    _thirds(report, x, y)


def _bars(report):
    rows = []
    for width in (1, 2, 4, 8):
        bar = np.full((1, 202, 28, 1), -1, np.float32)
        bar[:, 1:201, 9 : 9 + width] = 1
        rows.append([width, *stroke_width(bar), 2 * width * 200 / (2 * (200 + width))])
    report.check("bars: twice the ink over the outline", [row[1] for row in rows], [row[2] for row in rows], rtol=0.01)
    report.table(
        "a bar of 200 pixels' length", ["width, pixels", "measured", "width · length / (width + length)"], rows
    )
    bar = np.full((1, 21, 61, 1), -1, np.float32)
    bar[:, :, 29:32] = 1
    by = np.array([-1.0, -0.4, 0.0, 0.3, 1.0])
    report.check("a sheared bar's slant is the shear", [slant(shear(bar, each))[0] for each in by], by)


def _changed(report, x):
    """Digits that were sheared or thickened by a known amount."""
    middle = x[np.abs(x[:, :, [0, 1, 2, -3, -2, -1]] + 1).max(axis=(1, 2, 3)) == 0]  # nothing is lost at the sides
    before, by = slant(middle), 0.25
    after = slant(shear(middle, by))
    report.check("sheared digits: the slant grows by the shear, median", np.median(after - before), by, atol=0.01)
    thick = keras.ops.max_pool(x, 3, 1, "same").numpy()
    grown = np.median(stroke_width(thick) - stroke_width(x))
    report.check("digits grown by one pixel on each side: the width grows by 2, median", grown, 2.0, atol=0.5)
    unchanged = np.median(np.abs(slant(thick) - slant(x)))
    report.at_most("and their slant hardly changes, median", unchanged, 0.05)


def _thirds(report, x, y):
    measured = {"width, pixels": stroke_width(x), "slant, pixels a pixel": slant(x)}
    levels = [thirds(values, y) for values in measured.values()]
    rows = [[f"digit {digit}", *(float(np.median(values[y == digit])) for values in measured.values())]
            for digit in range(10)]  # fmt: skip
    report.table(f"medians of {len(x):,} digits", ["digits", *measured], rows)
    for level, (name, values) in zip(levels, measured.items(), strict=True):
        shares = [np.mean(level == each) for each in (-1, 0, 1)]
        report.check(f"thirds by {name.split(',')[0]}: their shares", shares, [1 / 3] * 3, atol=0.01)
        within = np.mean([rank_correlation(level[y == digit], values[y == digit]) for digit in range(10)])
        report.at_least(f"rank correlation of the {name.split(',')[0]} with its third, within a digit", within, 0.9)
    both = abs(rank_correlation(*(values[:1000] for values in measured.values())))
    report.note(f"Width and slant are two things: the size of their rank correlation is {both:.2f}.")
    figure, axes = plots.subplots(2, 1, figsize=(7, 5))
    for ax, level, words in zip(axes, levels, (("thin", "", "thick"), ("upright", "", "slanted")), strict=True):
        rows = [[x[(y == digit) & (level == each)][0] for digit in range(10)] for each in (-1, 0, 1)]
        plots.tiles(np.array(rows), ax, [words[0], "between", words[2]])
        ax.set_title(f"From {words[0]} to {words[2]}")
    report.figure("Digits in thirds", figure, alt="Handwritten digits 0 to 9 in three rows each: above from thin to "
                  "thick strokes, below from upright to slanted ones.")  # fmt: skip

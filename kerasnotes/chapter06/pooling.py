"""Pooling replaces each window by one number; the maximum hands its gradient to one cell, the average to all.

A window slides over the picture in steps, the strides; each place gives one number of the output. Maximum, average and
the p-norm, which leads from one to the other, are built in NumPy; maximum and average are compared with TensorFlow, the
maximum backwards too. What the reader should see: of equal maxima the first takes the gradient, and a cell that wins
several windows collects from all. In a p-norm over that of ones an outlier counts for more, the larger p is.

Notes: chapter 06, "Pooling" (池化).
Source: https://www.tensorflow.org/api_docs/python/tf/nn/max_pool2d;
https://keras.io/api/layers/pooling_layers/max_pooling2d
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter06.adaptive_pooling import (  # names with "noqa" are also to be had from here
    adaptive_pool,  # noqa: F401
    global_pool,  # noqa: F401
    pictures_of,
    spatial_pyramid_pool,  # noqa: F401
)
from kerasnotes.chapter06.padding import pad_widths, pair
from kerasnotes.parts import positive

SMOKE = {"shapes": 4, "images": 20}
SECONDS = 2


def max_pool2d(x, size, strides=None, padding="VALID"):
    """The largest number of each window; padded cells never win.

    Args:
        x: Array (batch, height, width, channels).
        size: Height and width of the window, one positive integer or two.
        strides: Steps from window to window, one positive integer or two; None for `size`.
        padding: "VALID", "SAME" as in TensorFlow, or ((top, bottom), (left, right)), each below `size`.

    Returns:
        Array (batch, rows, columns, channels) of the same type.

    Raises:
        ValueError: If an argument is out of range, or no window fits in.

    Source: https://www.tensorflow.org/api_docs/python/tf/nn/max_pool2d
    """
    windows, _ = _windows(x, size, strides, padding)  # (batch, rows, columns, channels, cells of the window)
    return windows.max(axis=-1)


def average_pool2d(x, size, strides=None, padding="VALID"):
    """The mean of each window over its real cells: padded ones are not counted.

    Args:
        x, size, strides, padding: As in `max_pool2d`.

    Returns:
        Array (batch, rows, columns, channels); integers become float64.

    Raises:
        ValueError: As in `max_pool2d`.
    """
    windows, real = _windows(x, size, strides, padding)  # real: False where a cell is padding
    kind = windows.dtype if windows.dtype.kind == "f" else np.float64
    return (np.sum(windows, axis=-1, where=real, dtype=np.float64) / real.sum(axis=-1)).astype(kind)


def p_norm_pool(x, size, p, strides=None, padding="VALID"):
    """The p-norm of each window, (Σ|x|^p)^(1/p): for p = 1 the sum of |x|, for p → ∞ the maximum of |x|.

    For numbers that are not negative p = 1 is the average times the number of cells. Below 1 it is no norm any more.

    Args:
        x, size, strides, padding: As in `max_pool2d`.
        p: Positive number or infinity. The larger, the more the largest numbers of a window count.

    Returns:
        Array (batch, rows, columns, channels); integers and Booleans become float64.

    Raises:
        ValueError: If `p` is not positive, or as in `max_pool2d`.
    """
    p = p if p == math.inf else positive("p", p)
    windows, real = _windows(x, size, strides, padding)
    kind = windows.dtype if windows.dtype.kind == "f" else np.float64
    windows = np.where(real, np.abs(windows.astype(kind)), 0)  # padding adds nothing
    largest = windows.max(axis=-1)
    if math.isinf(p):
        return largest
    scaled = windows / np.where(largest > 0, largest, 1)[..., None]  # so that no power overflows
    return (largest * np.sum(scaled.astype(np.float64) ** p, axis=-1) ** (1 / p)).astype(windows.dtype)


def max_pool_gradient(x, dy, size, strides=None, padding="VALID"):
    """Gradient of `max_pool2d` with respect to x: each window hands its slope to its maximum, a tie to the first only.

    A small change of another cell leaves the window's number as it is, so only the maximum has a slope. A tie: several
    are equal. A cell that is the maximum of several overlapping windows collects the slopes of all of them.

    Args:
        x, size, strides, padding: As in `max_pool2d`.
        dy: Slopes of a loss with respect to the output (batch, rows, columns, channels).

    Returns:
        Array (batch, height, width, channels).

    Raises:
        ValueError: If `dy` has another shape than the output, or as in `max_pool2d`.
    """
    windows, real = _windows(x, size, strides, padding)  # (batch, rows, columns, channels, cells of the window)
    dy = np.asarray(dy)
    if dy.shape != windows.shape[:-1]:
        raise ValueError(f"dy: expected the output's shape {windows.shape[:-1]}, got {dy.shape}")
    first = np.argmax(real & (windows == windows.max(axis=-1, keepdims=True)), axis=-1)  # its place in the window
    # Where is that cell in the picture? Number all cells, and cut the numbers into the same windows.
    place = np.arange(np.size(x)).reshape(np.shape(x))
    places, _ = _windows(place, size, strides, padding)
    winners = np.take_along_axis(places, first[..., None], axis=-1)  # (batch, rows, columns, channels, 1)
    # A cell may have won several windows: bincount adds their slopes, where an assignment would keep the last one.
    return np.bincount(winners.ravel(), dy.ravel(), minlength=place.size).reshape(place.shape).astype(dy.dtype)


def _windows(x, size, strides, padding):
    """The cells of each window (batch, rows, columns, channels, cells), and which of them lie in the picture.

    The second array has batch and channels of 1, because padding is the same for all.
    """
    x, size = pictures_of(x), pair("size", size)
    strides = size if strides is None else pair("strides", strides)
    margins = _margins(padding, x.shape[1:3], size, strides)
    if any(n + sum(margin) < k for n, margin, k in zip(x.shape[1:3], margins, size, strict=True)):
        raise ValueError(f"size: expected a window that fits into {x.shape[1:3]} with {padding!r}, got {size}")
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min  # so that a padded cell never wins

    def cut(cells, fill):
        cells = np.pad(cells, [(0, 0), *margins, (0, 0)], constant_values=fill)
        windows = np.lib.stride_tricks.sliding_window_view(cells, size, axis=(1, 2))  # at every place, stride 1
        windows = windows[:, :: strides[0], :: strides[1]]  # (batch, rows, columns, channels, height, width of window)
        return windows.reshape(*windows.shape[:4], size[0] * size[1])

    return cut(x, lowest), cut(np.ones((1, *x.shape[1:3], 1), bool), False)


def _margins(padding, lengths, size, strides):
    """Cells to add before and after, for height and for width."""
    if isinstance(padding, str):
        return [pad_widths(n, k, s, padding) for n, k, s in zip(lengths, size, strides, strict=True)]
    pairs = np.asarray(padding)
    # A margin as wide as the window would give windows of padding alone.
    if pairs.shape == (2, 2) and pairs.dtype.kind in "iu" and (pairs >= 0).all() and (size > pairs.T).all():
        return pairs.tolist()
    raise ValueError(f"padding: expected 'VALID', 'SAME' or two pairs from 0 to below the size, got {padding!r}")


def example():
    """One picture of 4 × 4 through TensorFlow's call, Keras's layer and the functions above."""
    x = np.float32([[1, 3, 2, 2], [4, 2, 2, 2], [0, 0, 5, 1], [0, 0, 1, 8]])[None, :, :, None]
    print("tf.nn.max_pool2d   ", np.ravel(tf.nn.max_pool2d(x, ksize=2, strides=2, padding="VALID")))
    layer = keras.layers.MaxPooling2D(pool_size=2, strides=2, padding="valid")
    print("layers.MaxPooling2D", np.ravel(layer(x)))
    print("max_pool2d         ", np.ravel(max_pool2d(x, 2)))
    print("average_pool2d     ", np.ravel(average_pool2d(x, 2)), np.ravel(tf.nn.avg_pool2d(x, 2, 2, "VALID")))
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = tf.nn.max_pool2d(inputs, ksize=2, strides=2, padding="VALID")
    print("the tape's gradient: the first of equal maxima has it all")
    print(tape.gradient(y, inputs)[0, :, :, 0].numpy())
    print("max_pool_gradient is the same:")
    print(max_pool_gradient(x, np.ones(y.shape), 2)[0, :, :, 0])


def lesson(report, *, shapes: int = 40, images: int = 200, seed: int = 0):
    """Pooling against TensorFlow, forwards and backwards, and what an outlier does to it.

    Args:
        report: The report to write to.
        shapes: Random shapes to compare with TensorFlow (1 to 10000).
        images: Digits whose windows are searched for ties (1 to 60000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _against_tensorflow(report, rng, shapes)
    _means_and_maxima(report, rng)
    x = data.mnist()[0][0]
    _ties(report, np.float32(x[rng.permutation(len(x))[:images], ..., None]) / 255)


def _against_tensorflow(report, rng, shapes):
    ours, theirs = [], []
    for number in range(shapes):
        size, strides = rng.integers(1, 4, 2).tolist(), rng.integers(1, 4, 2).tolist()
        x = rng.normal(size=(2, *rng.integers(3, 10, 2), 2)).round(number % 2 + 1)  # rounded, so that some cells tie
        padding = ("VALID", "SAME")[number // 2 % 2]
        inputs = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            largest = tf.nn.max_pool2d(inputs, size, strides, padding)
        dy = rng.normal(size=largest.shape)
        mean = tf.nn.avg_pool2d(inputs, size, strides, padding)
        theirs.append([largest, mean, tape.gradient(largest, inputs, output_gradients=tf.constant(dy))])
        arguments = (size, strides, padding)
        ours.append([max_pool2d(x, *arguments), average_pool2d(x, *arguments), max_pool_gradient(x, dy, *arguments)])
    names = ("max_pool2d equals", "average_pool2d equals", "max_pool_gradient is the tape's for")
    for number, name in enumerate(names):
        flat = [np.concatenate([np.ravel(each[number]) for each in side]) for side in (ours, theirs)]
        report.check(f"{name} tf.nn over random shapes, strides and paddings", *flat, rtol=1e-9, atol=1e-12)
    layers = keras.layers.MaxPooling2D(3, 2, "same"), keras.layers.AveragePooling2D(3, 2, "same")
    x = np.float32(rng.normal(size=(2, 8, 7, 3)))
    got = [pool(x, 3, 2, "SAME") for pool in (max_pool2d, average_pool2d)]
    report.check("layers.MaxPooling2D and AveragePooling2D say the same", got, [layer(x) for layer in layers])


def _means_and_maxima(report, rng):
    """What the p-norm is at both ends, and what it makes of an outlier."""
    x = rng.uniform(size=(3, 8, 8, 4))
    report.check("p = 1 is the average times the cells", p_norm_pool(x, 2, 1), 4 * average_pool2d(x, 2), rtol=1e-12)
    bound = 4 ** (1 / 200) - 1  # the norm of 4 numbers is at most 4^(1/p) times the largest
    over = p_norm_pool(x, 2, 200) / max_pool2d(x, 2) - 1
    report.at_least("p = 200 is never below the maximum", over, -1e-12)
    report.at_most("and above it by 4^(1/200) - 1 at most", over, bound)
    report.check("p = infinity is the maximum", p_norm_pool(x, 2, math.inf), max_pool2d(x, 2))

    window, spoilt = np.ones((1, 2, 2, 1)), np.array([1.0, 1, 1, 101]).reshape(1, 2, 2, 1)
    powers = (0.5, 1, 2, 4, 16)
    ours, theirs = [], []
    for p in powers:  # divided by 4^(1/p), so that four ones give 1 for every p
        norms = [p_norm_pool(cells, 2, p).item() / 4 ** (1 / p) for cells in (window, spoilt)]
        means = [tf.nn.avg_pool2d(cells**p, 2, 2, "VALID").numpy().item() ** (1 / p) for cells in (window, spoilt)]
        ours.append(norms[1] - norms[0])
        theirs.append(means[1] - means[0])
    report.check("what an outlier adds, by the p-norm and by tf.nn.avg_pool2d of powers", ours, theirs)
    report.at_least("an outlier counts for more, the larger p is", np.diff(ours), 1.0)
    rows = [(f"p = {p}", value) for p, value in zip(powers, ours, strict=True)]
    rows.append(("median", float(np.median(spoilt) - 1)))
    report.table("one of four cells jumps from 1 to 101: the pooled value rises by", ["pooling", "rise"], rows)
    report.correction(
        "p-norm pooling and outliers",
        course="Pooling with a p-norm handles outliers.",
        correct="Every p > 1 weighs an outlier more than the average does; a median or p < 1 weighs it less.",
        shown_by=f"1, 1, 1, 101: the average rises by {ours[1]:.0f}, p = 2 by {ours[2]:.0f}, p = 4 by {ours[3]:.0f}",
    )
    report.figure(
        "An outlier under p-norms",
        _figure(),
        alt="The pooled value of three ones and a growing fourth number. The curve of p = 1/2 rises least, those of "
        "the average, p = 2 and p = 4 rise faster one after the other, and the maximum is the number itself.",
    )


def _figure():
    jump = np.linspace(1, 101, 26)
    x = np.ones((len(jump), 2, 2, 1))
    x[:, 1, 1, 0] = jump
    series = {"maximum": max_pool2d(x, 2).ravel()}
    series |= {f"p = {p:g}": p_norm_pool(x, 2, p).ravel() / 4 ** (1 / p) for p in (4, 2, 1, 0.5)}
    labels = {"xlabel": "the fourth number", "ylabel": "pooled value"}
    return plots.curves(jump, series, title="Three ones and an outlier: the larger p, the more it counts", **labels)


def _ties(report, digits):
    """Who gets the gradient when maxima are equal, who when windows overlap, and how often digits have ties."""

    def both(x, dy, *arguments):
        inputs = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = tf.nn.max_pool2d(inputs, *arguments)
        return max_pool_gradient(x, dy, *arguments), tape.gradient(y, inputs, output_gradients=tf.constant(dy))

    flat = np.ones((1, 2, 2, 1))
    ours, theirs = both(flat, np.ones((1, 1, 1, 1)), 2, 2, "VALID")
    report.check("four equal cells: the first takes the gradient", ours.ravel(), [1.0, 0, 0, 0])
    report.check("so says the tape", theirs, ours)
    everywhere = np.float64(flat == flat.max())  # the notes: 1 wherever the maximum is attained
    step = 1e-3
    rise = (max_pool2d(flat + step, 2) - max_pool2d(flat, 2)).item() / step
    report.check(
        "raising all four raises the maximum by as much as one gradient of 1 says", rise, ours.sum(), rtol=1e-9
    )
    report.check("a gradient of 1 at every maximum would say four times that", everywhere.sum() / rise, 4.0, rtol=1e-9)
    peak = np.zeros((1, 5, 5, 1))
    peak[0, 2, 2, 0] = 1
    ours, theirs = both(peak, np.ones((1, 3, 3, 1)), 3, 1, "VALID")
    report.check("the maximum of nine overlapping windows collects nine gradients", ours[0, 2, 2, 0], 9.0)
    report.check("so says the tape of overlapping windows", theirs, ours)
    report.correction(
        "gradient of max pooling",
        course="The gradient is 1 at the maximum and 0 elsewhere.",
        correct="Of equal maxima TensorFlow takes the first only, and a cell collects from each window that it wins.",
        shown_by="four equal cells get 1, 0, 0, 0 from us and from the tape; a peak under nine windows gets 9",
    )
    windows, _ = _windows(digits, 2, None, "VALID")
    tied = np.mean(np.sum(windows == windows.max(axis=-1, keepdims=True), axis=-1) > 1)
    report.note(
        f"Ties are no rarity: {tied:.0%} of the 2 × 2 windows of handwritten digits have one, most of them black."
    )

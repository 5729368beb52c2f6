"""Upsampling is a convolution backwards with fixed weights; kernels that do not fit the stride make checkerboards.

The gradient of a convolution goes from a small picture to a large one. As a layer of its own it is called a transposed
convolution, or one with a fractional stride, since zeros between the pixels make each step of the kernel a fraction of
the old distance. What the reader should see: copying every pixel and blending between pixels are two choices of its
weights. With other weights each new pixel adds up what overlaps there; unless the stride divides the kernel's size,
neighbours add up different numbers of weights, and a flat picture comes out as a checkerboard.

Notes: chapter 06, "Backpropagation through convolutions" (卷积的反向传播).
Source: Dumoulin and Visin 2016, arXiv:1603.07285, chapter 4; Odena, Dumoulin and Olah 2016, doi:10.23915/distill.00003.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter06.convolution import conv2d, four_axes
from kerasnotes.chapter06.convolution_gradient import input_gradient, spread
from kerasnotes.chapter06.padding import pair
from kerasnotes.parts import whole

SMOKE = {"cases": 4, "kernels": 3}
SECONDS = 2

KINDS = {"nearest": "each pixel copied", "bilinear": "blended between pixels"}


def transposed_conv2d(x, w, strides=1, padding="VALID"):
    """A convolution backwards: every pixel lays the kernel, times its value, onto a larger picture.

    Args:
        x: Array (batch, rows, columns, channels).
        w: Weights (kernel height, kernel width, filters, channels), in the order of `keras.layers.Conv2DTranspose`.
        strides: Distance of two neighbouring pixels in the larger picture, a positive integer or a pair.
        padding: "VALID" for all of it, or "SAME" for a picture of the size of `x` times the stride.

    Returns:
        Array (batch, height, width, filters).

    Raises:
        ValueError: If the shapes do not fit or an argument is out of range.

    Source: Dumoulin and Visin 2016, chapter 4.
    """
    x, w, strides = four_axes("x", x), four_axes("w", w), pair("strides", strides)
    if padding not in ("VALID", "SAME"):
        raise ValueError(f"padding: expected 'VALID' or 'SAME', got {padding!r}")
    sizes = [n * s if padding == "SAME" else (n - 1) * s + max(k, s)
             for n, s, k in zip(x.shape[1:3], strides, w.shape[:2], strict=True)]  # fmt: skip
    return input_gradient(x, w, (len(x), *sizes, w.shape[2]), tuple(map(int, strides)), padding)


def upsampling_kernel(factor, channels, kind="nearest"):
    """The weights with which a transposed convolution of stride `factor` makes a picture larger.

    Args:
        factor: How many times as high and wide, a positive integer.
        channels: Channels of the picture; each is treated alone.
        kind: "nearest" copies every pixel, "bilinear" blends neighbours by their distance.

    Returns:
        Array (size, size, channels, channels): for "nearest" of size `factor`, all ones; for "bilinear" a tent of size
        2 · factor, less 1 if that is odd.

    Raises:
        ValueError: If an argument is out of range.
    """
    factor = whole("factor", factor)
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    size = factor if kind == "nearest" else 2 * factor - factor % 2
    distance = np.abs(np.arange(size) - (size - 1) / 2) / factor  # from the kernel's middle
    line = np.ones(size) if kind == "nearest" else 1 - distance
    return np.outer(line, line)[:, :, None, None] * np.eye(whole("channels", channels))


def overlap(kernel, stride):
    """How many kernels of a transposed convolution lie over each of `stride` neighbouring pixels, along one axis.

    Args:
        kernel, stride: Positive integers.

    Returns:
        Integers (stride,): all equal if and only if the stride divides the kernel's size.
    """
    offsets = np.arange(whole("kernel", kernel)) % whole("stride", stride)  # where its cells fall between two pixels
    return np.bincount(offsets, minlength=stride)


def example():
    """Two pixels made four, by Keras's layer and by a transposed convolution; then kernels of 3 with a stride of 2."""
    x = np.float32([[1, 3]])[None, :, :, None]
    print("UpSampling2D:      ", keras.layers.UpSampling2D(2)(x).numpy()[0, 0, :, 0])
    print("transposed:        ", transposed_conv2d(x, upsampling_kernel(2, 1), 2)[0, 0, :, 0])
    theirs = keras.layers.UpSampling2D(2, interpolation="bilinear")(x).numpy()[0, 0, :, 0]
    print("bilinear:          ", theirs)
    wide = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="edge")  # Keras goes on with the pixels of the edge
    print("transposed:        ", transposed_conv2d(wide, upsampling_kernel(2, 1, "bilinear"), 2, "SAME")[0, 2, 2:-2, 0])
    layer = keras.layers.Conv2DTranspose(1, 3, strides=2, kernel_initializer="ones")
    flat = np.ones((1, 4, 4, 1), np.float32)
    print("Conv2DTranspose of a flat picture, kernel 3, stride 2:", layer(flat).numpy()[0, 3, :, 0])
    print("kernels over a pixel:", overlap(3, 2), "with kernel 4:", overlap(4, 2))


def lesson(report, *, cases: int = 40, kernels: int = 200, seed: int = 0):
    """Transposed convolutions beside Keras's, upsampling as one of them, and where checkerboards come from.

    Args:
        report: The report to write to.
        cases: Random shapes, strides and paddings to compare (1 to 10000).
        kernels: Random kernels whose checkerboards are measured (2 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _against_keras(report, rng, cases)
    _upsampling(report, rng)
    _checkerboards(report, rng, kernels)
    _figure(report, data.mnist()[0][0][:1, ..., None] / 255)


def _against_keras(report, rng, cases):
    ours, theirs = [], []
    for number in report.track(range(cases), "comparing"):
        padding = ("VALID", "SAME")[number % 2]
        kernel, strides = rng.integers(1, 5, 2), rng.integers(1, 4, 2)
        if padding == "SAME":
            kernel = np.maximum(kernel, strides)
        x = rng.normal(size=(2, *rng.integers(2, 6, 2), 3))
        w = rng.normal(size=(*kernel, 4, 3))
        ours.append(transposed_conv2d(x, w, strides, padding))
        theirs.append(tf.nn.conv2d_transpose(x, w, ours[-1].shape, strides.tolist(), padding))
    report.check("tf.nn.conv2d_transpose over random shapes, strides and paddings", ours, theirs, atol=1e-10)
    x, w = rng.normal(size=(1, 4, 5, 2)), rng.normal(size=(3, 3, 3, 2))
    fractional = conv2d(spread(x, 2), w[::-1, ::-1].transpose(0, 1, 3, 2), padding=[[2, 2], [2, 2]])
    report.check(
        "a stride of one half: zeros between the pixels, then steps of 1", transposed_conv2d(x, w, 2), fractional
    )


def _upsampling(report, rng):
    x = rng.normal(size=(2, 5, 6, 3))
    for factor in (2, 3):
        copied = keras.ops.convert_to_numpy(keras.layers.UpSampling2D(factor, dtype="float64")(x))
        kernel = upsampling_kernel(factor, 3)
        report.check(f"factor {factor}: UpSampling2D is a transposed convolution with ones",
                     transposed_conv2d(x, kernel, factor), copied)  # fmt: skip
        layer = keras.layers.UpSampling2D(factor, interpolation="bilinear", dtype="float64")
        inside = (slice(None), slice(factor, -factor), slice(factor, -factor))  # at the edge Keras repeats pixels
        ours = transposed_conv2d(x, upsampling_kernel(factor, 3, "bilinear"), factor, "SAME")
        report.check(
            f"factor {factor}: the bilinear one with a tent", ours[inside], layer(x).numpy()[inside], atol=1e-5
        )


def _checkerboards(report, rng, kernels):
    rows, flat = [], np.ones((1, 8, 8, 1))
    for kernel, stride in ((2, 2), (3, 2), (4, 2), (5, 2), (4, 3), (6, 3)):
        ones = transposed_conv2d(flat, np.ones((kernel, kernel, 1, 1)), stride)[0, kernel:-kernel, kernel:-kernel, 0]
        counts = np.outer(overlap(kernel, stride), overlap(kernel, stride))
        found = np.unique(ones.round(9))
        report.check(f"kernel {kernel}, stride {stride}: weights over a pixel, fewest and most", found[[0, -1]],
                     [float(counts.min()), float(counts.max())])  # fmt: skip
        w = rng.uniform(size=(kernel, kernel, 1, kernels))  # non-negative kernels at random
        each = [
            transposed_conv2d(flat, w[..., i : i + 1], stride)[0, kernel:-kernel, kernel:-kernel]
            for i in range(kernels)
        ]
        contrast = [np.std(picture) / np.mean(picture) for picture in each]
        even = "yes" if kernel % stride == 0 else "no"
        rows.append(
            [f"{kernel} × {kernel}", stride, even, int(counts.min()), int(counts.max()), float(np.mean(contrast))]
        )
    columns = ["kernel", "stride", "stride divides kernel", "fewest weights over a pixel", "most", "random: contrast"]
    report.table("a flat picture behind a transposed convolution", columns, rows)
    uneven, fitting = ([row[-1] for row in rows if row[2] == word] for word in ("no", "yes"))
    report.note(
        f"Random kernels leave a contrast (standard deviation over mean) of {min(uneven):.2f} to {max(uneven):.2f} "
        f"where the stride does not divide the size, and of {min(fitting):.2f} to {max(fitting):.2f} where it does: a "
        "fitting size makes an even picture possible, and the weights must still learn it."
    )


def _figure(report, digit):
    small = digit.reshape(1, 14, 2, 14, 2, 1).mean(axis=(2, 4))
    pictures = {
        "14 × 14": small,
        "copied": transposed_conv2d(small, upsampling_kernel(2, 1), 2),
        "bilinear": transposed_conv2d(small, upsampling_kernel(2, 1, "bilinear"), 2, "SAME"),
        "ones, 3 × 3": transposed_conv2d(small, np.ones((3, 3, 1, 1)), 2, "SAME"),
        "ones, 4 × 4": transposed_conv2d(small, np.ones((4, 4, 1, 1)), 2, "SAME"),
    }
    figure, axes = plots.subplots(1, 5, figsize=(12, 2.9))
    for ax, (name, picture) in zip(axes, pictures.items(), strict=True):
        plots.bare_picture(picture[0, ..., 0] / picture.max(), ax, low=0)
        ax.set_title(name, loc="center")
    report.figure("A digit made larger by four kernels", figure,
                  alt="A small digit and four enlargements. Copying shows the pixels, the tent is smooth, a kernel of "
                  "ones of size 3 draws a checkerboard over the strokes, one of size 4 does not.")  # fmt: skip

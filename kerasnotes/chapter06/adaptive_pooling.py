"""Pooling into a fixed number of bins lets one dense layer read pictures of any size.

Global pooling keeps one number a channel. A fixed number of bins keeps roughly where it was; where the bins do not
divide the size, neighbours share cells. Several numbers of bins together are a pyramid, whose length does not depend on
the picture. Where bins divide the size, this is plain pooling, TensorFlow's and Keras's.

Notes: chapter 06, "Pooling" (池化).
Source: He et al. 2014, arXiv:1406.4729 (pyramid); https://keras.io/api/layers/pooling_layers/global_average_pooling2d
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter06.padding import pair

SMOKE = {"sizes": 3}
SECONDS = 1


def global_pool(x, kind="average"):
    """One number a channel, whatever the size: the average or the maximum of all places.

    Args:
        x: Array (batch, height, width, channels).
        kind: "average" or "max".

    Returns:
        Array (batch, channels).

    Raises:
        ValueError: If the kind is another one, or x is empty or not of rank 4.
    """
    return adaptive_pool(x, 1, kind)[:, 0, 0]


def adaptive_pool(x, output_size, kind="average"):
    """Pool into a fixed number of bins. Bin i of n covers rows floor(i·height/n) to ceil((i + 1)·height/n) - 1.

    Args:
        x: Array (batch, height, width, channels).
        output_size: Rows and columns of bins, one positive integer or two; more than x has repeats cells.
        kind: "average" or "max".

    Returns:
        Array (batch, *output_size, channels).

    Raises:
        ValueError: If an argument is out of range.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html; He et al. 2014, appendix.
    """
    x = pictures_of(x)
    rows, columns = pair("output_size", output_size)
    if kind not in ("average", "max"):
        raise ValueError(f"kind: expected 'average' or 'max', got {kind!r}")
    pool = np.mean if kind == "average" else np.max
    rows, columns = _bins(x.shape[1], rows), _bins(x.shape[2], columns)
    return np.stack([np.stack([pool(x[:, r, c], axis=(1, 2)) for c in columns], axis=1) for r in rows], axis=1)


def spatial_pyramid_pool(x, levels, kind="max"):
    """Adaptive pooling at several levels, n times n bins each, as one vector whose length does not depend on the size.

    Args:
        x: Array (batch, height, width, channels), of any height and width.
        levels: Bins a side of each level, such as (1, 2, 4).
        kind: "max", as in the paper, or "average".

    Returns:
        Array (batch, channels times the sum of the levels' squares), level after level.

    Raises:
        ValueError: If there is no level, or as in `adaptive_pool`.

    Source: He et al. 2014, arXiv:1406.4729.
    """
    x, levels = pictures_of(x), list(levels)
    if not levels:
        raise ValueError("levels: expected at least one level, got none")
    return np.concatenate([adaptive_pool(x, n, kind).reshape(len(x), n * n * x.shape[-1]) for n in levels], axis=1)


def pictures_of(x):
    """Pictures (batch, height, width, channels) as an array of its own type.

    Raises:
        ValueError: If there are other axes, a side of 0, what is no number, or NaN. An empty batch passes.
    """
    x = np.asarray(x)
    if x.ndim != 4 or 0 in x.shape[1:] or x.dtype.kind not in "fiu":
        raise ValueError(f"x: expected numbers (batch, height, width, channels), got {x.dtype} of shape {x.shape}")
    if np.isnan(x).any():
        raise ValueError("x: expected numbers, got NaN")
    return x


def _bins(size, count):
    return [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def example():
    """Pictures of three sizes become vectors of one length: Keras's layers beside ours."""
    dense = keras.layers.Dense(2)
    for height, width in ((4, 4), (7, 5), (9, 12)):
        x = np.arange(height * width * 3, dtype=np.float32).reshape(1, height, width, 3)
        average, largest = keras.layers.GlobalAveragePooling2D()(x), keras.layers.GlobalMaxPooling2D()(x)
        print(f"{height} × {width} × 3: averages {np.ravel(average)}, ours {np.ravel(global_pool(x))}")
        print(f"           largest  {np.ravel(largest)}, ours {np.ravel(global_pool(x, 'max'))}")
        pyramid = spatial_pyramid_pool(x, (1, 2, 4))
        print(
            f"           a pyramid of {pyramid.shape[1]} numbers; a dense layer makes {dense(pyramid).shape[1]} of it"
        )


def lesson(report, *, sizes: int = 10, seed: int = 0):
    """Bins that divide the size and bins that do not, and vectors of one length.

    Args:
        report: The report to write to.
        sizes: Sizes of pictures to pool into one length (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _any_size(report, np.random.default_rng(seed), sizes)
    report.figure(
        "Bins of rows of several lengths",
        _figure(),
        alt="Rows of 4, 7 and 9 cells, each with three bars for its bins below; in the rows of 4 and 7 neighbouring "
        "bars overlap in one cell, in the row of 9 they do not.",
    )


def _any_size(report, rng, count):
    x = rng.normal(size=(2, 12, 8, 3))
    report.check("adaptive pooling into bins that divide the size is plain pooling", adaptive_pool(x, (4, 2)),
                 tf.nn.avg_pool2d(x, (3, 4), (3, 4), "VALID"))  # fmt: skip
    layers = keras.layers.GlobalAveragePooling2D(), keras.layers.GlobalMaxPooling2D()
    ours = [global_pool(np.float32(x), kind) for kind in ("average", "max")]
    report.check("global pooling equals Keras's", ours, [layer(np.float32(x)) for layer in layers])
    row = np.arange(7.0).reshape(1, 1, 7, 1)  # bins of 7 in 3: cells 0 to 2, 2 to 4, 4 to 6
    report.check("seven cells in three bins: neighbours share a cell", adaptive_pool(row, (1, 3)).ravel(), [1.0, 3, 5])
    sides = [tuple(rng.integers(1, 40, 2).tolist()) for _ in range(count)]
    lengths = [spatial_pyramid_pool(rng.normal(size=(1, *size, 5)), (1, 2, 4)).shape[1] for size in sides]
    report.check("a pyramid of 1, 2 and 4 gives 21 numbers a channel for pictures of all sizes", lengths, [105] * count)


def _figure(lengths=(4, 7, 9), count=3):
    figure, axes = plots.subplots(len(lengths), 1, figsize=(7, 4), sharex=True)
    for ax, length in zip(axes, lengths, strict=True):
        ax.plot(np.arange(length), np.zeros(length), "s", color="0.6", markersize=12)
        for number, cells in enumerate(_bins(length, count)):
            ax.plot([cells.start - 0.3, cells.stop - 0.7], [-1 - 0.5 * number] * 2, color=f"C{number}", linewidth=5)
        ax.set(ylim=(-2.6, 0.8), yticks=[])
        ax.set_title(f"{length} cells, {count} bins")
        ax.grid(False)
    axes[-1].set_xlabel("cell")
    return figure

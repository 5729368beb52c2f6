"""SAME padding takes as few zeros as give ⌈size / stride⌉ outputs, and an odd one goes to the end.

How often does a kernel fit into an axis? The formula, with its floor, is built here, with TensorFlow's two words for
padding and with explicit numbers, and it gives TensorFlow's sizes on hundreds of random axes. SAME keeps the size at
stride 1 only; for size 6, kernel 3 and stride 2 it puts no zero before and one after, and the other way round gives
other numbers.

Notes: chapter 06, "Convolution" (卷积).
Source: Dumoulin and Visin 2016, arXiv:1603.07285, chapter 2; https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2.
"""

import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import whole

SMOKE = {"cases": 20}
SECONDS = 1


def pad_widths(size, kernel, stride=1, padding="VALID"):
    """Zeros before and after one axis. SAME takes as few as give ⌈size / stride⌉ outputs; an odd one goes to the end.

    Args:
        size, kernel, stride: Length of the axis, of the kernel along it, and step of the kernel; positive.
        padding: `"VALID"` (none), `"SAME"`, or a pair `(before, after)`.

    Returns: The pair `(before, after)`.
    Raises: ValueError: If a size is not a positive integer, or the padding is none of the three.
    """
    size, kernel, stride = whole("size", size), whole("kernel", kernel), whole("stride", stride)
    if isinstance(padding, str) and padding.upper() in ("VALID", "SAME"):
        needed = (-(-size // stride) - 1) * stride + kernel - size if padding.upper() == "SAME" else 0
        return max(needed, 0) // 2, (max(needed, 0) + 1) // 2
    both = np.asarray(padding)
    if both.shape != (2,) or both.dtype.kind not in "iu" or both.min() < 0:
        raise ValueError(f"padding: expected 'VALID', 'SAME' or pairs of integers of at least 0, got {padding!r}")
    return int(both[0]), int(both[1])


def output_size(size, kernel, stride=1, padding="VALID"):
    """How often a kernel fits: ⌊(size + before + after − kernel) / stride⌋ + 1.

    Args: As for `pad_widths`.
    Returns: Length of the output along this axis.
    Raises: ValueError: As `pad_widths`, and if the kernel is longer than the padded axis.
    """
    before, after = pad_widths(size, kernel, stride, padding)
    if kernel > size + before + after:
        raise ValueError(f"kernel: expected at most {size} + {before} + {after}, size and padding, got {kernel}")
    return (size + before + after - kernel) // stride + 1


def pair(name, value):
    """Sizes or steps downwards and to the right, from one positive integer for both or from two.

    Raises: ValueError: If the value is neither.
    """
    both = (value, value) if np.ndim(value) == 0 else tuple(value)
    if len(both) != 2:
        raise ValueError(f"{name}: expected a positive integer or a pair of them, got {value!r}")
    return tuple(whole(name, number) for number in both)


def window_geometry(sizes, kernel, strides=1, padding="VALID"):
    """Strides, padding and output size of a window that slides over a picture, as in TensorFlow.

    Args:
        sizes, kernel: Height and width of the picture and of the window.
        strides: Steps downwards and to the right: an integer or a pair.
        padding: `"VALID"`, `"SAME"`, or explicit pairs: `[[top, bottom], [left, right]]`, or TensorFlow's form with
            `[0, 0]` for batch and channels around them.

    Returns: `(strides, pads, output)`: two integers, two pairs and two integers.
    Raises: ValueError: If the window does not fit, or an argument is out of range.
    """
    steps = pair("strides", strides)
    both = (padding, padding) if isinstance(padding, str) else np.asarray(padding)
    if not isinstance(padding, str):
        if both.shape == (4, 2) and not both[[0, 3]].any():
            both = both[1:3]
        if both.shape != (2, 2):
            raise ValueError(f"padding: expected [[top, bottom], [left, right]], got {padding!r}")
    axes = list(zip(sizes, kernel, steps, both, strict=True))
    return steps, tuple(pad_widths(*axis) for axis in axes), tuple(output_size(*axis) for axis in axes)


def example():
    """Six numbers under three ones: what TensorFlow pads, and what the functions above say of it."""
    x = np.arange(1.0, 7.0).reshape(1, 1, 6, 1)  # one picture of a single row
    ones = np.ones((1, 3, 1, 1))
    for strides in (1, 2):
        for padding in ("VALID", "SAME"):
            y = tf.nn.conv2d(input=x, filters=ones, strides=strides, padding=padding)
            zeros, size = pad_widths(6, 3, strides, padding), output_size(6, 3, strides, padding)
            print(f"stride {strides}, {padding:5}: {np.ravel(y)}, {size} numbers; zeros before and after: {zeros}")


def lesson(report, *, cases: int = 300, seed: int = 0):
    """Sizes and paddings by hand and by TensorFlow, and where the zeros stand.

    Args:
        report: The report to write to.
        cases: Random pictures, kernels, strides and paddings to compare (2 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _random_sizes(report, rng, cases)
    _one_more_after(report, rng)
    report.figure(
        "Three paddings of six pixels, stride 2",
        _figure(),
        alt="Six pixels and the windows of three above them, at stride 2. VALID has two windows and leaves a pixel "
        "out, SAME has three with one zero after the last pixel, one zero on either side also makes three.",
    )


def _random_sizes(report, rng, cases):
    ours, tensorflow = [], []
    for number in report.track(range(cases), "comparing"):
        kernel, strides = rng.integers(1, 6, size=2), rng.integers(1, 4, size=2).tolist()
        padding = ("VALID", "SAME", [[0, 0], *rng.integers(0, 4, size=(2, 2)).tolist(), [0, 0]])[number % 3]
        sizes = rng.integers(1, 13, size=2) if padding == "SAME" else kernel + rng.integers(0, 9, size=2)
        _, pads, output = window_geometry(sizes, kernel, strides, padding)
        x, w = np.zeros((1, *sizes, 1)), np.zeros((*kernel, 1, 1))
        ours.append([output, output])
        explicit = [[0, 0], *map(list, pads), [0, 0]]
        tensorflow.append([tf.nn.conv2d(x, w, strides, each).shape[1:3] for each in (padding, explicit)])
    report.check("the size formula holds on all of them, and with our zeros put in by hand", ours, tensorflow)


def _one_more_after(report, rng):
    x, w = rng.normal(size=(1, 6, 6, 1)), rng.normal(size=(3, 3, 1, 1))
    valid, same = (tf.nn.conv2d(x, w, 2, padding) for padding in ("VALID", "SAME"))
    without_floor = (6 - 3) / 2 + 1
    report.check("size 6, kernel 3, stride 2: TensorFlow's size is the floor of 2.5",
                 got=[valid.shape[1], output_size(6, 3, 2)], want=[int(without_floor)] * 2)  # fmt: skip
    early, late = (tf.nn.conv2d(x, w, 2, [[0, 0], pads, pads, [0, 0]]) for pads in ([1, 0], [0, 1]))
    report.check("SAME pads 0 before and 1 after", got=pad_widths(6, 3, 2, "SAME"), want=(0, 1))
    report.check("TensorFlow's SAME equals this explicit padding", got=late, want=same)
    report.at_least("and not 1 before and 0 after: largest difference", np.abs(early - same).max(), 0.01)
    report.check("SAME keeps the size at stride 1 and gives ⌈6 / 2⌉ = 3 at stride 2",
                 got=[output_size(6, 3, stride, "SAME") for stride in (1, 2)],
                 want=[tf.nn.conv2d(x, w, stride, "SAME").shape[1] for stride in (1, 2)])  # fmt: skip
    report.correction(
        "size of the output",
        course="(N + 2P − F) / S + 1, without a floor; odd kernels are padded symmetrically and keep the size.",
        correct="The floor belongs to it; SAME keeps the size, with the same padding on both sides, only at stride 1.",
        shown_by=f"size 6, kernel 3, stride 2: {without_floor} against {valid.shape[1]}; SAME pads 0 and 1, size "
        f"{same.shape[1]}",
    )


def _figure(size=6, kernel=3, stride=2):
    figure, axes = plots.subplots(1, 3, figsize=(11, 2.6), sharey=True)
    for ax, (name, padding) in zip(axes, (("VALID", "VALID"), ("SAME", "SAME"), ("(1, 1)", (1, 1))), strict=True):
        before, after = pad_widths(size, kernel, stride, padding)
        for place in range(-before, size + after):
            inside = 0 <= place < size
            ax.text(place, 0, str(place + 1) if inside else "0", ha="center", va="center", fontsize=13,
                    color="black" if inside else "C1", bbox={"facecolor": "none", "edgecolor": "0.6"})  # fmt: skip
        count = output_size(size, kernel, stride, padding)
        for number in range(count):
            start = number * stride - before
            ax.plot([start - 0.35, start + kernel - 0.65], [number + 1] * 2, color="C0", linewidth=6)
        ax.set(xlim=(-1.6, size + 0.6), ylim=(-0.7, 3.7), xlabel="pixel", yticks=[1, 2, 3])
        ax.set_title(f"{name}: {count} windows")
        ax.grid(False)
    axes[0].set_ylabel("window")
    return figure

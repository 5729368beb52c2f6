"""The gradient of a convolution is again a convolution, and the stride becomes zeros between the numbers.

A pixel of the picture takes part in several windows, and its gradient collects from all of them: a convolution of the
output's gradient with the weights turned by 180°. The gradient of the weights is a convolution of the picture with the
output's gradient. Both equal the tape's for all strides and paddings once stride − 1 zeros stand between the rows and
columns of the output's gradient. Descent along them finds Sobel's edge filters from pictures and their edges alone.

Notes: chapter 06, "Backpropagation through convolutions" (卷积的反向传播).
Source: Dumoulin and Visin 2016, arXiv:1603.07285 (transposed convolution, with zeros inserted for strides);
https://www.tensorflow.org/api_docs/python/tf/nn/conv2d_transpose.
"""

import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter03.descent import nesterov_descent
from kerasnotes.chapter06.convolution import as_matrix, conv2d, flipped_conv2d, four_axes
from kerasnotes.chapter06.padding import window_geometry

SMOKE = {"cases": 12, "pictures": 4, "steps": 3}
SECONDS = 4

SOBEL = (((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)), ((-1, -2, -1), (0, 0, 0), (1, 2, 1)))  # vertical, horizontal edges


def spread(dy, strides=1):
    """Put stride − 1 zeros between rows and between columns: where each output's window began in the picture.

    Args:
        dy: Array (batch, rows, columns, filters).
        strides: An integer or a pair (down, right).

    Returns: Array (batch, (rows − 1) · down + 1, (columns − 1) · right + 1, filters).
    Raises: ValueError: If `dy` is no such array, or a stride is not a positive integer.
    """
    dy = four_axes("dy", dy)
    (down, right), _, _ = window_geometry(dy.shape[1:3], (1, 1), strides)
    batch, rows, columns, filters = dy.shape
    result = np.zeros((batch, (rows - 1) * down + 1, (columns - 1) * right + 1, filters), dy.dtype)
    result[:, ::down, ::right] = dy
    return result


def input_gradient(dy, w, input_shape, strides=1, padding="VALID"):
    """Gradient with respect to the picture: `dy`, spread and fully padded, convolved with `w` turned by 180°.

    Args:
        dy: Gradient of the loss with respect to the output, (batch, rows, columns, filters).
        w: Weights (kernel height, kernel width, channels, filters).
        input_shape: Shape of the picture, (batch, height, width, channels).
        strides, padding: As in `conv2d`.

    Returns: Gradient of the loss with respect to the picture, of shape `input_shape`.
    Raises: ValueError: If the shapes do not fit each other.
    """
    w = four_axes("w", w)
    strides, pads = _fit(dy, input_shape, w.shape, strides, padding)
    full = [[size - 1, size - 1] for size in w.shape[:2]]
    seen = flipped_conv2d(spread(dy, strides), w.transpose(0, 1, 3, 2), padding=full)  # filters become channels
    (top, bottom), (left, right) = pads
    height, width = input_shape[1:3]
    padded = np.zeros((len(seen), height + top + bottom, width + left + right, w.shape[2]), seen.dtype)
    padded[:, : seen.shape[1], : seen.shape[2]] = seen  # a stride may leave the last rows and columns unseen
    return padded[:, top : top + height, left : left + width]


def filter_gradient(x, dy, filter_shape, strides=1, padding="VALID"):
    """Gradient with respect to the weights: the picture convolved with `dy`, spread; sums run over the batch.

    Args:
        x: Pictures (batch, height, width, channels).
        dy: Gradient of the loss with respect to the output, (batch, rows, columns, filters).
        filter_shape: Shape of the weights, (kernel height, kernel width, channels, filters).
        strides, padding: As in `conv2d`.

    Returns: Gradient of the loss with respect to the weights, of shape `filter_shape`.
    Raises: ValueError: If the shapes do not fit each other.
    """
    x = four_axes("x", x)
    strides, pads = _fit(dy, x.shape, filter_shape, strides, padding)
    if not len(x):
        return np.zeros(filter_shape, x.dtype)  # an empty sum
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    windows = spread(dy, strides).transpose(1, 2, 0, 3)  # (height, width, batch, filters): dy is the kernel
    result = conv2d(padded.transpose(3, 1, 2, 0), windows)  # channels take the place of the batch, the batch theirs
    return result[:, : filter_shape[0], : filter_shape[1]].transpose(1, 2, 0, 3)


def _fit(dy, input_shape, filter_shape, strides, padding):
    """Strides and padding, as pairs, if the shapes fit each other."""
    for name, shape in (("input_shape", input_shape), ("filter_shape", filter_shape)):
        if len(shape) != 4:
            raise ValueError(f"{name}: expected 4 sizes, got {shape!r}")
    if input_shape[3] != filter_shape[2]:
        raise ValueError(f"filter_shape: expected {input_shape[3]} channels as in {input_shape}, got {filter_shape}")
    strides, pads, output = window_geometry(input_shape[1:3], filter_shape[:2], strides, padding)
    if np.shape(dy) != (expected := (input_shape[0], *output, filter_shape[3])):
        raise ValueError(f"dy: expected shape {expected}, got {np.shape(dy)}")
    return strides, pads


def example():
    """A picture of 1 to 9 under a kernel of ones: TensorFlow's two gradients beside ours."""
    x = tf.reshape(tf.range(1.0, 10.0), (1, 3, 3, 1))
    w = tf.Variable(tf.ones((2, 2, 1, 1)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.nn.conv2d(x, w, strides=1, padding="VALID")
        loss = tf.reduce_sum(y)
    dx, dw = tape.gradient(loss, (x, w))
    dy = np.ones(y.shape)  # the slope of a sum
    print("how many windows see a pixel:", np.ravel(dx), np.ravel(input_gradient(dy, w, x.shape)))
    print("the pixels that a weight met:", np.ravel(dw), np.ravel(filter_gradient(x, dy, w.shape)))
    back = tf.nn.conv2d_transpose(dy, tf.cast(w, tf.float64), x.shape, strides=1, padding="VALID")
    print("the first one by its own name:", np.ravel(back))
    print("stride 2 puts zeros between:", spread(dy, 2)[0, :, :, 0].tolist())


def lesson(report, *, cases: int = 150, pictures: int = 64, steps: int = 500, seed: int = 0):
    """Both gradients beside the tape's, then edge filters learnt from pictures with nothing but them.

    Args:
        report: The report to write to.
        cases: Random shapes, strides and paddings to compare (3 to 10000).
        pictures: Training pictures of Fashion-MNIST to learn the filters from (1 to 1000).
        steps: Steps of accelerated gradient descent (1 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _by_hand(report)
    _random_cases(report, rng, cases)
    _as_convolutions(report, rng)
    _without_zeros(report, rng)
    images = data.fashion_mnist()[0][0]
    chosen = images[rng.choice(len(images), pictures, replace=False)] / 255.0
    _learn_filters(report, chosen[..., None], steps)


def _tape_gradients(x, w, dy, strides, padding):
    """TensorFlow's `(input gradient, filter gradient)`."""
    x, w = tf.constant(x), tf.constant(w)
    with tf.GradientTape() as tape:
        tape.watch((x, w))
        y = tf.nn.conv2d(x, w, strides, padding)
    return tape.gradient(y, (x, w), output_gradients=tf.constant(dy))


def _by_hand(report):
    ones = np.ones((3, 3, 1, 1))
    for stride, counts in ((1, [1, 2, 3, 2, 1]), (2, [1, 1, 2, 1, 1])):
        rows = (5 - 3) // stride + 1
        gradient = input_gradient(np.ones((1, rows, rows, 1)), ones, (1, 5, 5, 1), stride)[0, ..., 0]
        report.check(f"all ones, stride {stride}: a pixel's gradient counts the windows that see it",
                     got=gradient, want=np.outer(counts, counts).astype(float))  # fmt: skip
    image = np.arange(1.0, 10.0).reshape(1, 3, 3, 1)
    gradient = filter_gradient(image, np.ones((1, 2, 2, 1)), (2, 2, 1, 1))[..., 0, 0]
    report.check("picture 1…9: a weight's gradient adds the pixels it met, 1 + 2 + 4 + 5 = 12, and so on",
                 got=gradient, want=[[12.0, 16.0], [24.0, 28.0]])  # fmt: skip


def _random_cases(report, rng, cases):
    ours, tape = [], []
    for number in report.track(range(cases), "comparing"):
        kernel, strides = rng.integers(1, 5, size=2), rng.integers(1, 4, size=2).tolist()
        padding = ("VALID", "SAME", [[0, 0], *rng.integers(0, 4, size=(2, 2)).tolist(), [0, 0]])[number % 3]
        sizes = rng.integers(1, 10, size=2) if padding == "SAME" else kernel + rng.integers(0, 7, size=2)
        batch, channels, filters = rng.integers(1, 4, size=3)
        x = rng.normal(size=(batch, *sizes, channels))
        w = rng.normal(size=(*kernel, channels, filters))
        dy = rng.normal(size=tf.nn.conv2d(x, w, strides, padding).shape)
        ours.append((input_gradient(dy, w, x.shape, strides, padding),
                     filter_gradient(x, dy, w.shape, strides, padding)))  # fmt: skip
        tape.append(_tape_gradients(x, w, dy, strides, padding))
    for number, name in enumerate(("input", "filter")):
        report.check(f"{name} gradient equals the tape's: {cases} shapes, strides 1 to 3, VALID, SAME, explicit",
                     got=[pair[number] for pair in ours], want=[pair[number] for pair in tape], atol=1e-10)  # fmt: skip


def _as_convolutions(report, rng):
    """The two statements themselves, with TensorFlow doing the convolutions."""
    x, w = rng.normal(size=(2, 9, 7, 3)), rng.normal(size=(3, 3, 3, 4))
    dy = rng.normal(size=(2, 4, 3, 4))
    want_x, want_w = _tape_gradients(x, w, dy, 2, "VALID")
    zeros = spread(dy, 2)  # (2, 7, 5, 4)
    swapped = w.transpose(0, 1, 3, 2)
    full = [[0, 0], [2, 2], [2, 2], [0, 0]]
    turned = tf.nn.conv2d(zeros, swapped[::-1, ::-1], 1, full)
    report.check("input gradient: dy with zeros between, full padding, tf.nn.conv2d with w turned", turned, want_x)
    twice = flipped_conv2d(zeros, swapped[::-1, ::-1], padding=full)
    report.at_least("w turned twice is w: largest error", np.abs(twice - want_x).max(), 0.1)
    as_kernel = tf.nn.conv2d(x.transpose(3, 1, 2, 0), zeros.transpose(1, 2, 0, 3), 1, "VALID")
    report.check("filter gradient: tf.nn.conv2d of the pictures, with dy with zeros between as the kernel",
                 got=tf.transpose(as_kernel, (1, 2, 0, 3)), want=want_w)  # fmt: skip
    back = tf.nn.conv2d_transpose(dy, w, x.shape, 2, "VALID")
    report.check("tf.nn.conv2d_transpose is the input gradient", input_gradient(dy, w, x.shape, 2), back)
    dy = rng.normal(size=(1, 7, 5, 4))
    matrix = as_matrix(w, x.shape[1:])  # (outputs, inputs)
    report.check("the convolution as a matrix: backwards, the matrix transposed",
                 got=input_gradient(dy, w, (1, 9, 7, 3)).ravel(), want=matrix.T @ dy.ravel())  # fmt: skip


def _without_zeros(report, rng):
    x, w, dy = (rng.normal(size=shape) for shape in ((1, 5, 5, 1), (3, 3, 1, 1), (1, 2, 2, 1)))
    want_x, want_w = _tape_gradients(x, w, dy, 2, "VALID")
    results = {
        True: (input_gradient(dy, w, x.shape, 2), filter_gradient(x, dy, w.shape, 2)),
        False: (flipped_conv2d(dy, w, padding=[[2, 2], [2, 2]]), conv2d(x, dy.transpose(1, 2, 0, 3))[0, ..., None]),
    }
    shapes = [(a.shape[1], b.shape[0]) for a, b in results.values()]
    report.check("picture 5 × 5, kernel 3 × 3, stride 2: sizes of both gradients, with zeros and without",
                 got=shapes, want=[(5, 3), (2 + 3 - 1, 5 - 2 + 1)])  # fmt: skip
    errors = [[np.abs(a[:, :4, :4] - want_x[:, :4, :4]).max(), np.abs(b[:3, :3] - want_w).max()]
              for a, b in results.values()]  # fmt: skip
    report.at_most("with zeros, largest error of both", errors[0], 1e-12)
    report.at_least("without, largest error of both where the sizes overlap", errors[1], 0.01)
    report.correction(
        "gradients of a convolution with stride",
        course="The stride is ignored: dy is convolved as it is.",
        correct="Put stride − 1 zeros between the rows and columns of dy first.",
        shown_by=f"picture 5 × 5, kernel 3 × 3, stride 2: without zeros, gradients of 4 × 4 and 4 × 4, off by "
        f"{errors[1][0]:.1f} and {errors[1][1]:.1f}; with zeros, the tape's",
    )
    panels = {
        "dy, spread and padded": np.pad(spread(dy, 2)[0, ..., 0], 2),
        "w turned by 180°": w[::-1, ::-1, 0, 0],
        "gradient of the picture": results[True][0][0, ..., 0],
    }
    figure, axes = plots.subplots(1, 3, figsize=(10.5, 4), width_ratios=[7, 3, 5])
    for ax, (title, values), sign in zip(axes, panels.items(), ("∗", "=", ""), strict=True):
        bound = np.abs(values).max()
        ax.imshow(values, cmap="PuOr_r", vmin=-1.6 * bound, vmax=1.6 * bound)
        for (row, column), value in np.ndenumerate(values):
            ax.text(column, row, f"{value:.1f}" if value else "0", ha="center", va="center", fontsize=11)
        ax.set_title(title, loc="center")
        ax.set_axis_off()
        ax.text(1.07, 0.5, sign, transform=ax.transAxes, ha="center", va="center", fontsize=22)
    report.figure(
        "Stride 2, backwards: zeros between the numbers of dy",
        figure,
        alt="Four numbers of dy stand two cells apart in a grid of 7 by 7 zeros; convolved with the 3 by 3 weights "
        "turned by 180 degrees, they give the 5 by 5 gradient of the picture.",
    )


def _learn_filters(report, x, steps):
    """Least squares: which 3 × 3 filters turn the pictures x into their edges?"""
    target = np.moveaxis(np.array([SOBEL], float), (0, 1), (2, 3))  # (3, 3, 1, filters)
    edges = conv2d(x, target)
    positions = edges[..., 0].size

    def error(w):
        return conv2d(x, w.reshape(target.shape)) - edges

    def gradient(w):
        return filter_gradient(x, error(w) / positions, target.shape).ravel()

    curvature = conv2d(x**2, np.ones((3, 3, 1, 1))).mean()  # the trace of the Hessian: no eigenvalue is larger
    path = nesterov_descent(gradient, np.zeros(target.size), 1 / curvature, steps)
    shown = np.unique(np.geomspace(1, steps, 60).round().astype(int))
    losses = np.array([np.sum(error(path[step]) ** 2) / (2 * positions) for step in shown])
    bounds = 2 * curvature * np.sum(target**2) / (shown + 1) ** 2
    report.at_most("learning: loss over Nesterov's bound, on the whole path", losses / bounds, 1.0)
    distance = np.linalg.norm(path[-1] - target.ravel()) / np.linalg.norm(target)
    report.at_most("learnt weights: distance from Sobel's, relative", distance, 0.01, trained=True)
    figure, axes = plots.subplots(1, 4, figsize=(12, 3.4), width_ratios=[2.4, 1, 1, 1])
    series = {"½ mean squared error": losses, "Nesterov's bound": bounds}
    plots.curves(shown, series, xlabel="step", ylabel="loss", xscale="log", yscale="log", ax=axes[0])
    axes[0].set_title("Error of the edges found")
    for ax, step in zip(axes[1:], (1, max(1, steps // 20), steps), strict=True):
        weights = path[step].reshape(target.shape)[..., 0, 0]
        ax.imshow(weights, cmap="PuOr_r", vmin=-3, vmax=3)
        for (row, column), value in np.ndenumerate(weights):
            ax.text(column, row, f"{round(value, 2) + 0.0:.2f}", ha="center", va="center", fontsize=11)
        ax.set_title(f"after {step} step{'s' if step > 1 else ''}", loc="center")
        ax.set_axis_off()
    report.figure(
        "Sobel's filter, learnt from pictures and their edges",
        figure,
        alt="Left: the error falls below Nesterov's bound at every step. Right: the nine weights of the first filter "
        "after one step, after a twentieth of all steps, and at the end, when they are -1, 0, 1; -2, 0, 2; -1, 0, 1.",
    )

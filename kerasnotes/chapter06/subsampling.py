"""A digit can lose every second row and column, a board of stones cannot: what is dropped has no gradient, either.

Stride 2 keeps one cell of four. Pooling looks at all four first: the maximum lets one of them through, the average a
share of each, and their gradients go back the same ways. What the reader should see: the same classifier reads digits
nearly as well after dropping, because neighbouring pixels tell the same. Whether a stone is captured hangs on single
points: the best answer that *anybody* can give is counted over all boards, and after dropping or max pooling it is
little above a coin toss. No network learns what was thrown away.

Notes: chapter 06, "Pooling" (池化).
Source: Silver et al. 2016, doi:10.1038/nature16961 (a network for Go without pooling);
https://keras.io/api/layers/pooling_layers/average_pooling2d
"""

import itertools

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter06.padding import pad_widths, pair
from kerasnotes.chapter06.pooling import average_pool2d, max_pool2d, max_pool_gradient
from kerasnotes.parts import shape

SMOKE = {"shapes": 3, "images": 64, "seeds": 1}
SECONDS = 2

WAYS = ("whole", "every second row and column", "maximum of 2 × 2", "average of 2 × 2")


def subsample(x, stride=2):
    """Keep the first of every `stride` rows and columns: a maximum over windows of one cell.

    Args:
        x: Array (batch, height, width, channels).
        stride: Steps downwards and to the right, one positive integer or two.

    Returns:
        Array (batch, rows, columns, channels).
    """
    down, right = pair("stride", stride)
    return shape("x", x, None, None, None, None)[:, ::down, ::right]


def average_pool_gradient(x, dy, size, strides=None, padding="VALID"):
    """Gradient of `average_pool2d` with respect to x: each window hands the same share of its slope to all its cells.

    The share is one over the number of real cells of the window; padded ones get nothing. Only the shape of x matters:
    the mean is linear, so its slope is the same wherever it is taken.

    Args:
        x: Array (batch, height, width, channels).
        dy: Slopes of a loss with respect to the output (batch, rows, columns, channels).
        size, strides, padding: As in `average_pool2d`; padding is "VALID" or "SAME".

    Returns:
        Array (batch, height, width, channels).

    Raises:
        ValueError: If `dy` has another shape than the output, or as in `average_pool2d`.
    """
    size = pair("size", size)
    strides = size if strides is None else pair("strides", strides)
    dy = shape("dy", np.asarray(dy), *average_pool2d(np.zeros(np.shape(x)), size, strides, padding).shape)
    margins = [pad_widths(n, k, s, padding) for n, k, s in zip(np.shape(x)[1:3], size, strides, strict=True)]

    def spread(shares):  # (batch, rows, columns, channels) to (batch, height, width, channels): add them up
        sums = np.pad(np.zeros((len(shares), *np.shape(x)[1:3], shares.shape[3])), [(0, 0), *margins, (0, 0)])
        stops = [s * (n - 1) + 1 for s, n in zip(strides, shares.shape[1:3], strict=True)]
        for a, b in itertools.product(range(size[0]), range(size[1])):  # cell (a, b) of every window
            sums[:, a : a + stops[0] : strides[0], b : b + stops[1] : strides[1]] += shares
        return sums[:, margins[0][0] : sums.shape[1] - margins[0][1], margins[1][0] : sums.shape[2] - margins[1][1]]

    inside = np.ones((1, *np.shape(x)[1:3], 1))
    cells = np.prod(size) * average_pool2d(np.pad(inside, [(0, 0), *margins, (0, 0)]), size, strides)  # real ones
    return spread(dy / cells).astype(dy.dtype)


def capture_boards():
    """All boards of 4 × 4 points with one white stone in the middle four, of whose neighbours at most one is empty.

    White is captured if all four neighbours are black. Each other point is empty or black.

    Returns:
        `(boards, captured, probabilities)`: float32 (40960, 4, 4, 2), planes of black and of white stones; Booleans;
        float64, which sum to 1: place and other points uniform, captured with 1/2, else each neighbour the empty one
        with the same probability.
    """
    boards, captured, probabilities = [], [], []
    others = np.array(list(itertools.product((0, 1), repeat=11)), np.float32)  # (2048, 11)
    for row, column in itertools.product((1, 2), repeat=2):
        around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        rest = [place for place in np.ndindex(4, 4) if place not in [*around, (row, column)]]
        for empty in (None, *around):
            board = np.zeros((len(others), 4, 4, 2), np.float32)
            board[:, row, column, 1] = 1
            for place in around:
                board[:, place[0], place[1], 0] = place != empty
            for number, place in enumerate(rest):
                board[:, place[0], place[1], 0] = others[:, number]
            boards.append(board)
            captured.append(np.full(len(others), empty is None))
            probabilities.append(np.full(len(others), (1 / 2 if empty is None else 1 / 8) / (4 * len(others))))
    return np.concatenate(boards), np.concatenate(captured), np.concatenate(probabilities)


def captured_by_one_filter(boards):
    """White is captured where one filter of 3 × 3 sees all of five: a white stone and black above, below, left, right.

    Args:
        boards: Array (batch, height, width, 2), planes of black and of white stones.

    Returns:
        Booleans (batch,): whether some place has all five.
    """
    cross = np.zeros((3, 3, 2, 1), np.float32)
    cross[[0, 1, 1, 2], [1, 0, 2, 1], 0] = 1  # black neighbours
    cross[1, 1, 1] = 1  # a white stone
    return tf.reduce_max(tf.nn.conv2d(boards, cross, 1, "VALID"), axis=(1, 2, 3)).numpy() == 5


def best_accuracy(seen, answers, probabilities):
    """The share of right answers of somebody who knows all probabilities and sees only `seen`.

    Of cases that look alike one answer only can be given; the likelier one is the best.

    Args:
        seen: What is to be seen of each case, array (cases, ...).
        answers: Whole numbers or Booleans (cases,).
        probabilities: Of the cases (cases,), summing to 1.

    Returns:
        float. No network whose input is `seen` can be right more often, whatever its weights.

    Raises:
        ValueError: If the numbers of cases differ, or the probabilities are none.
    """
    answers, probabilities = np.asarray(answers), np.asarray(probabilities, np.float64)
    shape("answers", answers, len(seen))
    shape("probabilities", probabilities, len(seen))
    if not (probabilities >= 0).all() or abs(probabilities.sum() - 1) > 1e-9:
        raise ValueError(f"probabilities: expected numbers from 0 that sum to 1, got a sum of {probabilities.sum()!r}")
    looks = [case.tobytes() for case in np.ascontiguousarray(seen) + 0]  # + 0: so that -0.0 looks like 0.0
    _, look = np.unique(looks, return_inverse=True)
    _, answer = np.unique(answers, return_inverse=True)
    table = np.zeros((look.max() + 1, answer.max() + 1))
    np.add.at(table, (look, answer), probabilities)
    return float(table.max(axis=1).sum())


def example():
    """A picture of 4 × 4 under three ways to halve it, and what each hands back of slopes of one."""
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    for name, layer in (
        ("Conv2D of 1 × 1, stride 2", keras.layers.Conv2D(1, 1, 2, use_bias=False, kernel_initializer="ones")),
        ("MaxPooling2D", keras.layers.MaxPooling2D(2)),
        ("AveragePooling2D", keras.layers.AveragePooling2D(2)),
    ):
        inputs = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = layer(inputs)
        print(f"{name}: {np.ravel(y)}, gradient of the first row {tape.gradient(y, inputs)[0, 0, :, 0].numpy()}")
    print("ours:", subsample(x).ravel(), max_pool2d(x, 2).ravel(), average_pool2d(x, 2).ravel())
    print("average_pool_gradient:", average_pool_gradient(x, np.ones((1, 2, 2, 1)), 2)[0, 0, :, 0])
    boards, captured, probabilities = capture_boards()
    for name, seen in (("whole boards", boards), ("every second row and column", subsample(boards))):
        print(f"captured or not, from {name}: at best {best_accuracy(seen, captured, probabilities):.3f}")


def lesson(report, *, shapes: int = 30, images: int = 2000, seeds: int = 3, seed: int = 0):
    """The average's gradient against the tape, then digits and boards, whole and halved in three ways.

    Args:
        report: The report to write to.
        shapes: Random shapes to compare with TensorFlow (1 to 10000).
        images: Digits to learn from, and as many to ask for (64 to 10000).
        seeds: Draws of digits (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _gradients(report, np.random.default_rng(seed), shapes)
    read = _digits(report, images, seeds, seed)
    best = _boards(report)
    rows = [[way, *map(float, plots.mean_and_error(read[way])), best[way]] for way in WAYS]
    columns = [
        "what is to be seen",
        f"digits read, {seeds} draws",
        "standard error",
        "boards: the best that anybody can do",
    ]
    report.table("digits and boards, whole and halved", columns, rows)
    report.note(
        "Digits are read by a sum of Gaussian kernels around the training digits, solved exactly: the same for all "
        "four. The numbers for boards are ceilings over all boards of the task, not results of a training."
    )
    alt = "Left: nearly the same share of digits is read from whole pictures and from each of three that are halved. "
    alt += "Right: of boards the best possible share falls from 1 to between 0.53 and 0.69."
    report.figure("A digit stays legible, a board does not", _figure(read, best), alt=alt)


def _gradients(report, rng, shapes):
    ours, theirs = [], []
    for number in range(shapes):
        x, (size, strides) = rng.normal(size=(2, *rng.integers(3, 10, 2), 2)), rng.integers(1, 4, 2).tolist()
        padding, inputs = ("VALID", "SAME")[number % 2], tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = tf.nn.avg_pool2d(inputs, size, strides, padding)
        dy = rng.normal(size=y.shape)
        theirs.append(np.ravel(tape.gradient(y, inputs, output_gradients=tf.constant(dy))))
        ours.append(average_pool_gradient(x, dy, size, strides, padding).ravel())
    label = "average_pool_gradient is the tape's over random shapes, strides and paddings"
    report.check(label, np.concatenate(ours), np.concatenate(theirs), rtol=1e-9, atol=1e-12)
    x = rng.normal(size=(1, 6, 6, 2))
    report.check("stride 2 alone is a maximum over windows of one cell", subsample(x), max_pool2d(x, 1, 2))
    slopes = [max_pool_gradient(x, np.ones((1, 3, 3, 2)), size, 2) for size in (1, 2)]
    slopes.append(average_pool_gradient(x, np.ones((1, 3, 3, 2)), 2))
    reached = [np.mean(each != 0) for each in slopes]
    report.check("share of the cells that a slope reaches: dropped, maximum, average", reached, [0.25, 0.25, 1.0])


def _halved(x):
    return dict(zip(WAYS, (x, subsample(x), max_pool2d(x, 2), average_pool2d(x, 2)), strict=True))


def _digits(report, images, seeds, seed):
    """Accuracies (seeds,) of each way, by least squares on Gaussian kernels."""
    (x, y), (x_test, y_test) = data.mnist()
    read = {way: np.zeros(seeds) for way in WAYS}
    for run in report.track(range(seeds), "digits"):
        rng = np.random.default_rng((seed, run))
        chosen, asked = rng.permutation(len(x))[:images], rng.permutation(len(x_test))[:images]
        known, new = (_halved(np.float32(each)[..., None] / 255) for each in (x[chosen], x_test[asked]))
        for way in WAYS:
            one, other = (each[way].reshape(len(each[way]), -1) for each in (known, new))
            wide = _distances(one, one).mean() / 8  # a width in proportion to the distances, the same rule for all
            kernels = np.exp(-_distances(one, one) / wide) + 1e-2 * np.eye(len(one), dtype=np.float32)
            weights = np.linalg.solve(kernels, np.eye(10, dtype=np.float32)[y[chosen]])
            answers = np.exp(-_distances(other, one) / wide) @ weights
            read[way][run] = np.mean(answers.argmax(axis=1) == y_test[asked])
    report.at_least("digits read from every second row and column, mean", read[WAYS[1]].mean(), 0.9, trained=True)
    lost = np.mean(read["whole"] - read[WAYS[1]])
    report.at_most("accuracy that digits lose by dropping, mean", lost, 0.02, trained=True)
    return read


def _distances(a, b):
    return np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1) - 2 * a @ b.T  # squared


def _boards(report):
    """The best possible accuracy of each way, over all boards."""
    boards, captured, probabilities = capture_boards()
    report.check("one filter sees on whole boards who is captured", captured_by_one_filter(boards), captured)
    best = {way: best_accuracy(seen, captured, probabilities) for way, seen in _halved(boards).items()}
    # By hand: in two of four places all neighbours are dropped. In the others two are seen; without the stone, only an
    # empty one says something, and what looks like it in the other places says the opposite.
    report.check("whole boards: the best that anybody can do", best["whole"], 1.0)
    report.at_most("every second row and column dropped: at best 5/8, even if told where the stone is", best[WAYS[1]],
                   5 / 8)  # fmt: skip
    report.at_most("the maximum of 2 × 2: no better than dropping", best[WAYS[2]], best[WAYS[1]])
    report.note(
        "That pooling does not change what is to be seen is a statement about the task: it holds for digits and fails "
        "where a single point decides. The network for Go of Silver et al. has no pooling."
    )
    return best


def _figure(read, best):
    figure, axes = plots.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    names = [way.replace(" and", "\nand").replace(" of", "\nof") for way in WAYS]
    for ax, values, title in (
        (axes[0], [read[way].mean() for way in WAYS], "Digits: neighbours tell the same"),
        (axes[1], [best[way] for way in WAYS], "Is the stone captured? The best possible"),
    ):
        bars = ax.bar(names, values, color=["C0", "C1", "C2", "C3"])
        ax.bar_label(bars, fmt="%.2f")
        ax.set_title(title)
        ax.tick_params(axis="x", labelsize=9)
    axes[0].axhline(0.1, color="black", linestyle="--", label="chance")
    axes[1].axhline(0.5, color="black", linestyle="--", label="coin toss")
    axes[0].set(ylabel="share of right answers", ylim=(0, 1.3))
    for ax in axes:
        ax.legend(loc="upper right")
    return figure

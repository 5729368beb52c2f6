"""Pooling forgets where in its window a feature was, so small shifts of a picture pass and rotations do not.

Maximum, average and what lies between them, built in NumPy and compared with TensorFlow forwards and backwards; pooling
into a fixed number of bins for pictures of any size. A bright pixel that moves by one leaves the pooled picture alone
more often the larger the window is. A network trained on upright digits then reads shifted ones, but not rotated or
scaled ones whose ink has moved just as far; strides in place of the small windows cost a little accuracy only.

Notes: chapter 06, "Pooling" (池化).
Source: He et al. 2014, arXiv:1406.4729 (pyramid); Springenberg et al. 2014, arXiv:1412.6806 (strides instead);
https://www.tensorflow.org/api_docs/python/tf/nn/max_pool2d
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter06.convolution import pad_widths

SMOKE = {"shapes": 4, "images": 64, "test_images": 50, "epochs": 1, "networks": 2, "seeds": 1}
SECONDS = 17

STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # one pixel to each side
DISTANCES = (0, 1, 2, 3)  # pixels by which the ink of a test digit moves, on average
NETWORKS = {  # how its convolutions reduce the picture, their filters, and how the last one is read
    "max pooling": ("pooling", (8, 16, 32), keras.layers.GlobalMaxPooling2D),
    "no pooling at all": ("strides", (8, 16, 32), keras.layers.Flatten),
    "strides instead": ("strides", (8, 16, 32), keras.layers.GlobalMaxPooling2D),
    "strides, more filters": ("strides", (12, 24, 32), keras.layers.GlobalMaxPooling2D),
}


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
    windows, _ = _windows(x, size, strides, padding)
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
    windows, real = _windows(x, size, strides, padding)
    kind = windows.dtype if windows.dtype.kind == "f" else np.float64
    return (np.sum(windows, axis=-1, where=real, dtype=np.float64) / real.sum(axis=-1)).astype(kind)


def p_norm_pool(x, size, p, strides=None, padding="VALID"):
    """The p-norm of each window, (Σ|x|^p)^(1/p): for p = 1 the sum of |x|, for p → ∞ the maximum of |x|.

    Args:
        x, size, strides, padding: As in `max_pool2d`.
        p: Positive number or infinity. The larger, the more the largest numbers of a window count.

    Returns:
        Array (batch, rows, columns, channels); integers become float64.

    Raises:
        ValueError: If `p` is not positive, or as in `max_pool2d`.
    """
    if not p > 0:
        raise ValueError(f"p: expected a positive number, got {p!r}")
    windows, real = _windows(x, size, strides, padding)
    windows = np.where(real, np.abs(windows.astype(np.result_type(windows, np.float16))), 0)
    largest = windows.max(axis=-1)
    if math.isinf(p):
        return largest
    scaled = windows / np.where(largest > 0, largest, 1)[..., None]  # so that no power overflows
    return (largest * np.sum(scaled.astype(np.float64) ** p, axis=-1) ** (1 / p)).astype(windows.dtype)


def max_pool_gradient(x, dy, size, strides=None, padding="VALID"):
    """Gradient of `max_pool2d` with respect to x: each window hands its slope to its maximum, a tie to the first only.

    A cell that is the maximum of several overlapping windows collects the slopes of all of them.

    Args:
        x, size, strides, padding: As in `max_pool2d`.
        dy: Slopes of a loss with respect to the output (batch, rows, columns, channels).

    Returns:
        Array (batch, height, width, channels).

    Raises:
        ValueError: If `dy` has another shape than the output, or as in `max_pool2d`.
    """
    windows, real = _windows(x, size, strides, padding)  # (batch, rows, columns, channels, cells)
    dy = np.asarray(dy)
    if dy.shape != windows.shape[:-1]:
        raise ValueError(f"dy: expected the output's shape {windows.shape[:-1]}, got {dy.shape}")
    first = np.argmax(real & (windows == windows.max(axis=-1, keepdims=True)), axis=-1)
    place = np.arange(np.size(x)).reshape(np.shape(x))
    places, _ = _windows(place, size, strides, padding)
    winners = np.take_along_axis(places, first[..., None], axis=-1)
    return np.bincount(winners.ravel(), dy.ravel(), minlength=place.size).reshape(place.shape).astype(dy.dtype)


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
    x = _pictures(x)
    rows, columns = _two("output_size", output_size)
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
    levels = list(levels)
    if not levels:
        raise ValueError("levels: expected at least one level, got none")
    return np.concatenate([adaptive_pool(x, n, kind).reshape(len(x), -1) for n in levels], axis=1)


def _pictures(x):
    x = np.asarray(x)
    if x.ndim != 4 or x.size == 0 or x.dtype.kind not in "fiu":
        raise ValueError(f"x: expected numbers (batch, height, width, channels), got {x.dtype} of shape {x.shape}")
    if np.isnan(x).any():
        raise ValueError("x: expected numbers, got NaN")
    return x


def _two(name, value):
    pair = tuple(np.broadcast_to(np.asarray(value), (2,)).tolist()) if np.shape(value) in ((), (2,)) else ()
    if not pair or not all(type(number) is int and number > 0 for number in pair):
        raise ValueError(f"{name}: expected one positive integer or two, got {value!r}")
    return pair


def _bins(size, count):
    return [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _margins(padding, lengths, size, strides):
    """Cells to add before and after, for height and for width."""
    if isinstance(padding, str):
        return [pad_widths(n, k, s, padding) for n, k, s in zip(lengths, size, strides, strict=True)]
    pairs = np.asarray(padding)
    if pairs.shape == (2, 2) and pairs.dtype.kind in "iu" and (pairs >= 0).all() and (size > pairs.T).all():
        return pairs.tolist()
    raise ValueError(f"padding: expected 'VALID', 'SAME' or two pairs from 0 to below the size, got {padding!r}")


def _windows(x, size, strides, padding):
    """The cells of each window (batch, rows, columns, channels, cells), and which of them lie in the picture."""
    x, size = _pictures(x), _two("size", size)
    strides = size if strides is None else _two("strides", strides)
    margins = _margins(padding, x.shape[1:3], size, strides)
    if any(n + sum(margin) < k for n, margin, k in zip(x.shape[1:3], margins, size, strict=True)):
        raise ValueError(f"size: expected a window that fits into {x.shape[1:3]} with {padding!r}, got {size}")
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min

    def cut(cells, fill):
        cells = np.pad(cells, [(0, 0), *margins, (0, 0)], constant_values=fill)
        windows = np.lib.stride_tricks.sliding_window_view(cells, size, axis=(1, 2))
        windows = windows[:, :: strides[0], :: strides[1]]
        return windows.reshape(*windows.shape[:4], -1)

    return cut(x, lowest), cut(np.ones((1, *x.shape[1:3], 1), bool), False)


def lesson(
    report,
    *,
    shapes: int = 40,
    images: int = 5000,
    test_images: int = 1000,
    epochs: int = 8,
    networks: int = 4,
    seeds: int = 2,
    seed: int = 0,
):
    """Pooling against TensorFlow, then what a trained network with pooling makes of pictures that have moved.

    Args:
        report: The report to write to.
        shapes: Random shapes to compare with TensorFlow (1 to 10000).
        images: Training digits (64 to 60000).
        test_images: Test digits (10 to 10000).
        epochs: Training epochs (1 to 1000).
        networks: Kinds of networks to compare, in the order of the table (2 to 4).
        seeds: Networks of each kind (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _against_tensorflow(report, rng, shapes)
    _means_and_maxima(report, rng)
    _any_size(report, rng)
    (x, y), (x_test, y_test) = data.mnist()
    chosen, chosen_test = rng.permutation(len(x))[:images], rng.permutation(len(x_test))[:test_images]
    x, x_test = (np.float32(pictures)[..., None] / 255 for pictures in (x[chosen], x_test[chosen_test]))
    _ties(report, x[:200])
    _one_pixel(report, x[:200])
    _moved(report, x, np.int32(y[chosen]), x_test, y_test[chosen_test], epochs, networks, seeds, seed)


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
    for number, name in enumerate(
        ("max_pool2d equals", "average_pool2d equals", "max_pool_gradient is the tape's for")
    ):
        flat = [np.concatenate([np.ravel(each[number]) for each in side]) for side in (ours, theirs)]
        report.check(f"{name} tf.nn over random shapes, strides and paddings", *flat, rtol=1e-9, atol=1e-12)


def _means_and_maxima(report, rng):
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


def _ties(report, digits):
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


def _any_size(report, rng):
    x = rng.normal(size=(2, 12, 8, 3))
    report.check("adaptive pooling into bins that divide the size is plain pooling", adaptive_pool(x, (4, 2)),
                 average_pool2d(x, (3, 4)))  # fmt: skip
    layers = keras.layers.GlobalAveragePooling2D(), keras.layers.GlobalMaxPooling2D()
    ours = [global_pool(np.float32(x), kind) for kind in ("average", "max")]
    report.check("global pooling equals Keras's", ours, [layer(np.float32(x)) for layer in layers])
    row = np.arange(7.0).reshape(1, 1, 7, 1)  # bins of 7 in 3: cells 0 to 2, 2 to 4, 4 to 6
    report.check("seven cells in three bins: neighbours share a cell", adaptive_pool(row, (1, 3)).ravel(), [1.0, 3, 5])
    sizes = [tuple(rng.integers(1, 40, 2).tolist()) for _ in range(10)]
    lengths = [spatial_pyramid_pool(rng.normal(size=(1, *size, 5)), (1, 2, 4)).shape[1] for size in sizes]
    report.check("a pyramid of 1, 2 and 4 gives 21 numbers a channel for pictures of ten sizes", lengths, [105] * 10)


def _one_pixel(report, x):
    """How much of a shift by one pixel is left after pooling."""
    rows = []
    for size in (2, 3, 4):
        pixels = np.zeros((size, 1, 3 * size + 1, 1))  # one bright pixel at each place of the middle window
        pixels[np.arange(size), 0, size + np.arange(size)] = 1
        pooled = max_pool2d(pixels, (1, size)), max_pool2d(np.roll(pixels, 1, axis=2), (1, size))
        changed = np.mean([not np.array_equal(*pair) for pair in zip(*pooled, strict=True)])
        report.check(f"one bright pixel, window of {size}: a step changes the pooled row in 1 of {size} cases",
                     changed, 1 / size)  # fmt: skip
        rows.append([size])
        for pool in (max_pool2d, average_pool2d):
            change = [_difference(pool(np.roll(x, s, (1, 2)), size), pool(x, size)) for s in STEPS]
            rows[-1].append(float(np.mean(change)))
    plain = np.mean([_difference(np.roll(x, s, (1, 2)), x) for s in STEPS])
    report.at_most("digits one pixel aside: change after pooling over change before", [row[1:] for row in rows], plain)
    report.table("change of digits one pixel aside, as a share of their length",
                 ["window", "maximum", "average"], [["none", float(plain), float(plain)], *rows])  # fmt: skip


def _difference(a, b):
    return np.mean(np.linalg.norm((a - b).reshape(len(a), -1), axis=1) / np.linalg.norm(b.reshape(len(b), -1), axis=1))


def _network(reduction, filters, read, seed):
    """Three convolutions, the first two followed by max pooling or with stride 2."""
    seeds = np.random.default_rng((seed, 1)).integers(2**31, size=4).tolist()
    layers = [keras.Input((28, 28, 1))]
    for number, channels in enumerate(filters):
        start = keras.initializers.HeNormal(seed=seeds[number])
        strides = 2 if number < 2 and reduction == "strides" else 1
        layers.append(keras.layers.Conv2D(channels, 3, strides, "same", activation="relu", kernel_initializer=start))
        if number < 2 and reduction == "pooling":
            layers.append(keras.layers.MaxPooling2D())
    logits = keras.layers.Dense(10, kernel_initializer=keras.initializers.GlorotUniform(seed=seeds[3]))
    return keras.Sequential([*layers, read(), logits])


def _multiplications(model):
    """Of the convolutions, for one picture."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    return sum(int(np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape)) for layer in layers)


def _warp(pictures, matrices, shifts):
    """Move pictures (n, height, width, 1): each pixel is read, bilinearly, at matrix @ place - shift."""
    n, height, width = pictures.shape[:3]
    centre = np.array([height - 1, width - 1]) / 2
    place = np.stack(np.mgrid[:height, :width], axis=-1).reshape(-1, 2) - centre  # (pixels, 2)
    source = place @ np.swapaxes(matrices, 1, 2) - shifts[:, None] + centre  # (n, pixels, 2)
    corner = np.floor(source).astype(int)
    padded = np.pad(pictures[..., 0], [(0, 0), (1, 1), (1, 1)])  # zeros outside
    result = 0
    for step in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = np.prod(1 - np.abs(source - corner - step), axis=-1)
        row, column = np.moveaxis(np.clip(corner + step + 1, 0, [height + 1, width + 1]), -1, 0)
        result = result + weight * padded[np.arange(n)[:, None], row, column]
    return result.reshape(pictures.shape).astype(pictures.dtype)


def _turn(angle):
    """Matrices (n, 2, 2) that turn by angles (n,) in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.moveaxis(np.array([[cos, -sin], [sin, cos]]), -1, 0)


def _moves(x, rng):
    """Digits shifted, turned and scaled so that their ink moves equally far, each to a random side.

    Returns:
        Dictionary from the move's name to `(pictures for each distance, positions for the figure's axis)`.
    """
    row, column = np.mgrid[:28, :28] - 13.5
    radius = np.mean(np.sum(x[..., 0] * np.hypot(row, column), (1, 2)) / np.sum(x[..., 0], (1, 2)))  # of the ink
    aside, sign = np.array(STEPS)[rng.integers(4, size=len(x))], rng.choice([-1, 1], size=len(x))
    angles = 2 * np.arcsin(np.array(DISTANCES) / (2 * radius))  # a turn moves ink at radius r by 2 r sin(angle / 2)
    factors = np.array(DISTANCES) / radius  # and a scale of 1 ± factor moves it by r times the factor
    same, still = _turn(np.zeros(len(x))), np.zeros((len(x), 2))
    return {
        "shifted": ([_warp(x, same, distance * aside) for distance in DISTANCES], DISTANCES),
        "turned": ([_warp(x, _turn(angle * sign), still) for angle in angles], np.degrees(angles)),
        "scaled": ([_warp(x, same / (1 + sign * f)[:, None, None], still) for f in factors], 100 * factors),
    }


def _moved(report, x, y, x_test, y_test, epochs, networks, seeds, seed):
    quarter = _warp(x_test, _turn(np.full(len(x_test), np.pi / 2)), np.zeros((len(x_test), 2)))
    report.check("a turn by 90 degrees is NumPy's", quarter, np.rot90(x_test, axes=(2, 1)), atol=1e-5)
    moves = _moves(x_test, np.random.default_rng((seed, 2)))
    names = list(NETWORKS)[:networks]
    accuracy = {name: {move: np.zeros((seeds, len(DISTANCES))) for move in moves} for name in names}
    costs = {}
    for name in report.track(names, "training"):
        model = _network(*NETWORKS[name], seed)
        costs[name] = model.count_params(), _multiplications(model)
        rate = keras.optimizers.schedules.CosineDecay(6e-3, epochs * -(-len(x) // 64))
        model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        restart = training.restarter(model)
        for run in range(seeds):
            restart(_network(*NETWORKS[name], seed + run).get_weights())
            training.fit(model, x, y, batch_size=64, epochs=epochs, seed=seed + run)
            for move, (versions, _) in moves.items():
                outputs = [training.predict(model, pictures, batch_size=1000) for pictures in versions]
                accuracy[name][move][run] = [100 * np.mean(logits.argmax(axis=1) == y_test) for logits in outputs]
    pooled, flat = accuracy["max pooling"], accuracy["no pooling at all"]
    lost = {move: values[:, 0] - values[:, -1] for move, values in pooled.items()}  # points, one for each seed
    report.at_least(
        "with pooling, accuracy on upright digits, %, every seed", pooled["shifted"][:, 0], 93, trained=True
    )
    for move in ("turned", "scaled"):
        label = f"accuracy lost by digits {move} over that by shifted ones, ink moved 3 px, every seed"
        report.at_least(label, lost[move] / np.maximum(lost["shifted"], 1), 2, trained=True)
    kept = pooled["shifted"][:, -1] - flat["shifted"][:, -1]
    report.at_least(
        "shifted by 3 px: accuracy with pooling minus without any, points, every seed", kept, 10, trained=True
    )
    rows = [[name, *costs[name], *plots.mean_and_error(accuracy[name]["shifted"][:, 0]),
             *(accuracy[name][move][:, -1].mean() for move in moves)] for name in names]  # fmt: skip
    columns = ["network", "weights", "multiplications a picture", "upright", "standard error", *moves]
    report.table(f"test accuracy, %, upright and with the ink moved by 3 px; {seeds} seeds", columns, rows)
    report.note(
        "All networks but the second end in global max pooling, and it is this that forgives shifts: strides in place "
        "of the 2 × 2 windows keep the tolerance. They need fewer multiplications; with more filters, about as many."
    )
    report.figure(
        "Pooling forgives shifts, not turns",
        _figure(moves, accuracy, x_test, y_test),
        alt="Three panels of test accuracy against how far digits were shifted, turned and scaled. With pooling the "
        "curve stays high for shifts and falls steeply for turns and scales; without pooling it falls in all three.",
    )


def _figure(moves, accuracy, x_test, y_test):
    figure, axes = plots.subplots(1, 3, figsize=(12, 4.6), sharey=True)
    labels = {"shifted": "shift, pixels", "turned": "turn to either side, degrees", "scaled": "scale, ± %"}
    example = int(np.argmax(y_test == 4))
    for ax, (move, (versions, positions)) in zip(axes, moves.items(), strict=True):
        series = {name: accuracy[name][move] for name in list(accuracy)[:3]}
        plots.curves(positions, series, xlabel=labels[move], ylabel="test accuracy, %", marker="o", ax=ax)
        ax.set_title({"shifted": "Shifts pass"}.get(move, f"{move.capitalize()} digits do not"))
        ax.set_ylim(0, 102)
        ax.label_outer()
        if move != "shifted":
            ax.get_legend().remove()
        inset = ax.inset_axes([0.02, 0.04, 0.3, 0.36])
        inset.imshow(versions[-1][example, ..., 0], cmap="gray")
        inset.set(xticks=[], yticks=[])
    axes[0].legend(loc="lower right")
    axes[0].set_xticks(DISTANCES)
    figure.suptitle("Test digits whose ink has moved by up to 3 pixels: with pooling, shifted ones stay legible")
    return figure

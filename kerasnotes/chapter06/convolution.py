"""A convolution slides one small set of weights over the picture: few weights, and features that move with the picture.

At every position the layer multiplies the window by the weights and adds. The layer built here, from windows and one
matrix product, equals TensorFlow's and Keras's on hundreds of random shapes, strides and paddings, and so does the
formula for the size of its output. It is a fully connected layer in which most weights are zero and the others are
shared. Shift the picture and the features shift with it; with stride 2 they do so only for even shifts.

Notes: chapter 06, "Convolution" (卷积).
Source: LeCun et al. 1998, doi:10.1109/5.726791; Dumoulin and Visin 2016, arXiv:1603.07285 (sizes and paddings);
https://www.tensorflow.org/api_docs/python/tf/nn/conv2d; https://keras.io/api/layers/convolution_layers/convolution2d.
"""

import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots

SMOKE = {"cases": 20, "batch": 2}
SECONDS = 3


def pad_widths(size, kernel, stride=1, padding="VALID"):
    """Zeros before and after one axis. SAME takes as few as give ⌈size / stride⌉ outputs; an odd one goes to the end.

    Args:
        size, kernel, stride: Length of the axis, of the kernel along it, and step of the kernel; positive.
        padding: `"VALID"` (none), `"SAME"`, or a pair `(before, after)`.

    Returns: The pair `(before, after)`.
    Raises: ValueError: If a size is not a positive integer, or the padding is none of the three.
    """
    for name, value in (("size", size), ("kernel", kernel), ("stride", stride)):
        _positive(name, value)
    if isinstance(padding, str) and padding.upper() in ("VALID", "SAME"):
        needed = (-(-size // stride) - 1) * stride + kernel - size if padding.upper() == "SAME" else 0
        return max(needed, 0) // 2, (max(needed, 0) + 1) // 2
    pair = np.asarray(padding)
    if pair.shape != (2,) or pair.dtype.kind not in "iu" or pair.min() < 0:
        raise ValueError(f"padding: expected 'VALID', 'SAME' or pairs of integers of at least 0, got {padding!r}")
    return int(pair[0]), int(pair[1])


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
    pair = (strides, strides) if np.ndim(strides) == 0 else tuple(strides)
    if len(pair) != 2:
        raise ValueError(f"strides: expected a positive integer or a pair of them, got {strides!r}")
    both = (padding, padding) if isinstance(padding, str) else np.asarray(padding)
    if not isinstance(padding, str):
        if both.shape == (4, 2) and not both[[0, 3]].any():
            both = both[1:3]
        if both.shape != (2, 2):
            raise ValueError(f"padding: expected [[top, bottom], [left, right]], got {padding!r}")
    axes = list(zip(sizes, kernel, [_positive("strides", step) for step in pair], both, strict=True))
    return pair, tuple(pad_widths(*axis) for axis in axes), tuple(output_size(*axis) for axis in axes)


def conv2d(x, w, strides=1, padding="VALID"):
    """The convolution of deep learning in NumPy: `tf.nn.conv2d`. Mathematics calls it cross-correlation.

    Every window becomes one row of a matrix ("im2col"), so that a single product with the weights does all positions.

    Args:
        x: Pictures (batch, height, width, channels).
        w: Weights (kernel height, kernel width, channels, filters).
        strides, padding: As for `window_geometry`.

    Returns: Feature maps (batch, rows, columns, filters), float64 unless both arguments are float32.
    Raises: ValueError: If shapes do not fit, an array is empty, or an argument is out of range.
    Source: Chellapilla, Puri, Simard 2006, High performance convolutional neural networks for document processing.
    """
    x, w = _numbers("x", x), _numbers("w", w)
    if x.shape[3] != w.shape[2]:
        raise ValueError(f"w: expected {x.shape[3]} channels as x {x.shape}, got {w.shape[2]} in {w.shape}")
    (down, right), pads, output = window_geometry(x.shape[1:3], w.shape[:2], strides, padding)
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[:2], axis=(1, 2))[:, ::down, ::right]
    rows = np.moveaxis(windows, 3, -1).reshape(-1, w[..., 0].size)  # (windows, numbers in a window)
    return (rows @ w.reshape(-1, w.shape[3])).reshape(len(x), *output, -1)


def flipped_conv2d(x, w, strides=1, padding="VALID"):
    """The convolution of mathematics: as `conv2d`, with the weights turned by 180°.

    Args, Returns, Raises: As for `conv2d`.
    """
    return conv2d(x, _numbers("w", w)[::-1, ::-1], strides, padding)


def as_matrix(w, input_shape):
    """The convolution (stride 1, VALID) as the weights of a fully connected layer: `as_matrix(w, shape) @ x.ravel()`.

    Args:
        w: Weights (kernel height, kernel width), or (kernel height, kernel width, channels, filters).
        input_shape: `(height, width)` or `(height, width, channels)`.

    Returns: Matrix (rows · columns · filters, height · width · channels); rows are outputs, columns are inputs.
    Raises: ValueError: If the shapes do not fit.
    """
    w = np.asarray(w)
    if (w.ndim, len(input_shape)) not in ((2, 2), (4, 3)):
        raise ValueError(f"input_shape: expected (height, width[, channels]) for w {w.shape}, got {input_shape!r}")
    shape = (*input_shape, 1)[:3]
    w = _numbers("w", w.reshape(*w.shape[:2], shape[2], -1) if w.ndim == 2 else w)
    if shape[2] != w.shape[2]:
        raise ValueError(f"input_shape: expected {w.shape[2]} channels as in w {w.shape}, got {input_shape!r}")
    _, _, (rows, columns) = window_geometry(shape[:2], w.shape[:2])
    places = np.arange(np.prod(shape)).reshape(shape)
    windows = np.lib.stride_tricks.sliding_window_view(places, w.shape[:2], axis=(0, 1))
    seen = np.moveaxis(windows, 2, -1).reshape(rows * columns, -1)  # inputs that each position sees
    matrix = np.zeros((rows * columns, w.shape[3], places.size), w.dtype)
    matrix[np.arange(rows * columns)[:, None], :, seen] = w.reshape(-1, w.shape[3])
    return matrix.reshape(-1, places.size)


def parameter_count(kernel, channels_in, filters):
    """Weights and biases of a convolutional layer; the size of the picture does not matter.

    Args:
        kernel: Height and width of the kernel: an integer or a pair.
        channels_in, filters: Channels that come in and go out.

    Returns: (height · width · channels_in + 1) · filters.
    Raises: ValueError: If an argument is not a positive integer.
    """
    height, width = (kernel, kernel) if np.ndim(kernel) == 0 else kernel
    inputs = _positive("kernel", height) * _positive("kernel", width) * _positive("channels_in", channels_in)
    return (inputs + 1) * _positive("filters", filters)


def tensorflow_misreads(x_shape, w_shape, strides=1, padding="VALID", dtype="float32"):
    """Whether `tf.nn.conv2d` may read memory that is not the picture's: a fault of its library oneDNN.

    It shows with TensorFlow 2.21 on processors with AVX-512, for float32 and bfloat16, one channel, two pictures or
    more, several rows out but one column, strides of 1 downwards and more than 1 to the right. A kernel of one column
    and some widths are right even so. Gradients, pooling, `tf.nn.depthwise_conv2d`, `tf.nn.conv1d` and
    `tf.nn.conv2d_transpose` were tried and are right; `tf.nn.conv3d` has the same fault, for one picture too.
    Remedies: float64; `TF_ENABLE_ONEDNN_OPTS=0` in the environment before TensorFlow is imported; XLA.

    Args:
        x_shape, w_shape: Shapes of the pictures and of the weights, as in `conv2d`.
        strides, padding: As for `window_geometry`.
        dtype: Type of both.

    Returns: True where the result is not to be trusted.
    Raises: ValueError: As `window_geometry`.
    """
    (down, right), _, (rows, columns) = window_geometry(x_shape[1:3], w_shape[:2], strides, padding)
    small = tf.as_dtype(dtype) in (tf.float32, tf.bfloat16)
    return small and x_shape[0] > 1 and x_shape[3] == 1 and rows > 1 and columns == 1 and down == 1 and right > 1


def _positive(name, value):
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}: expected a positive integer, got {value!r}")
    return int(value)


def _numbers(name, value):
    value = np.asarray(value)
    if value.ndim != 4 or not value.size or value.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected numbers with 4 axes, none empty, got {value.dtype} {value.shape}")
    return value if value.dtype in (np.float32, np.float64) else value.astype(np.float64)


def lesson(report, *, cases: int = 300, batch: int = 64, picture: int = 0, seed: int = 0):
    """Build the layer, compare it with the libraries, and look at what it keeps of a picture.

    Args:
        report: The report to write to.
        cases: Random shapes, strides and paddings to compare (2 to 10000).
        batch: Pictures in a batch when time is measured (1 to 1024).
        picture: Number of the test picture of Fashion-MNIST to filter (0 to 9999).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _by_hand(report, rng)
    _random_cases(report, rng, cases)
    _misread(report)
    _sizes(report, rng)
    _flipped(report, rng)
    image = data.fashion_mnist()[1][0][picture] / np.float32(255)  # (28, 28)
    _edges(report, image)
    _shifts(report, image, rng)
    _parameters(report)
    _times(report, rng, batch)


def _by_hand(report, rng):
    image, kernel = np.arange(1.0, 10.0).reshape(3, 3), np.array([[1.0, 2.0], [3.0, 4.0]])
    result = conv2d(image[None, ..., None], kernel[..., None, None])[0, ..., 0]
    report.check("1…9 under (1 2; 3 4): 1·1 + 2·2 + 3·4 + 4·5 = 37, and so on", result, [[37.0, 47.0], [67.0, 77.0]])
    matrix = as_matrix(kernel, (3, 3))  # (4 outputs, 9 inputs)
    report.check("the same as a fully connected layer", (matrix @ image.ravel()).reshape(2, 2), result)
    counts = [*matrix.shape, np.count_nonzero(matrix), len(np.unique(matrix[matrix != 0]))]
    report.check("its matrix: 4 × 9, 16 weights are not zero, 4 differ", got=counts, want=[4, 9, 16, 4])

    x, w = rng.normal(size=(1, 6, 7, 3)), rng.normal(size=(3, 2, 3, 4))
    maps = conv2d(x, w)
    single = [[conv2d(x[..., [c]], w[:, :, [c]][..., [f]])[..., 0] for c in range(3)] for f in range(4)]
    report.check("many channels: each has its own kernel, and the results are added; each filter makes one map",
                 got=maps, want=np.moveaxis(np.sum(single, axis=1), 0, -1))  # fmt: skip
    report.check("many channels as a matrix", as_matrix(w, (6, 7, 3)) @ x.ravel(), maps.ravel())


def _random_cases(report, rng, cases):
    results, tensorflow, in_keras, sizes = [], [], ([], []), ([], [])
    for number in report.track(range(cases), "comparing"):
        kernel, strides = rng.integers(1, 6, size=2), rng.integers(1, 4, size=2).tolist()
        channels, filters = rng.integers(1, 5, size=2)
        pads = [[0, 0], *rng.integers(0, 4, size=(2, 2)).tolist(), [0, 0]]
        padding = ("VALID", "SAME", pads)[number % 3]
        height, width = rng.integers(1, 13, size=2) if padding == "SAME" else kernel + rng.integers(0, 9, size=2)
        kind = np.float32 if rng.random() < 0.5 else np.float64
        x = rng.normal(size=(rng.integers(1, 4), height, width, channels)).astype(kind)
        w = rng.normal(0, 1 / np.sqrt(kernel.prod() * channels), size=(*kernel, channels, filters)).astype(kind)
        ours = conv2d(x, w, strides, padding)
        if tensorflow_misreads(x.shape, w.shape, strides, padding, kind):
            x, w, kind = x.astype(np.float64), w.astype(np.float64), np.float64  # in which TensorFlow is right
        theirs = tf.nn.conv2d(x, w, strides, padding)
        results.append(ours)
        tensorflow.append(theirs)
        explicit = pads[1:3] if number % 3 == 2 else [padding, padding]
        sizes[0].append([output_size(*axis) for axis in zip((height, width), kernel, strides, explicit, strict=True)])
        sizes[1].append(theirs.shape[1:3])
        if number % 3 < 2:  # Keras knows no explicit padding
            layer = keras.layers.Conv2D(filters, kernel.tolist(), strides, padding, dtype=np.dtype(kind).name,
                                        kernel_initializer="zeros")  # fmt: skip
            layer.build(x.shape)
            layer.set_weights([w, rng.normal(size=filters)])
            in_keras[0].append(ours + layer.bias.numpy())
            in_keras[1].append(layer(x))
    report.check(f"equals tf.nn.conv2d: {cases} random shapes, strides, paddings", results, tensorflow, atol=1e-5)
    report.check(f"equals keras.layers.Conv2D: {len(in_keras[0])} of them, with biases", *in_keras, atol=1e-5)
    report.check("the size formula holds on all of them", *map(np.array, sizes))


def _misread(report):
    x, w = np.arange(1, 19, dtype=np.float32).reshape(2, 3, 3, 1), np.ones((1, 3, 1, 1), np.float32)
    sums = x.sum(axis=2).ravel()  # 6, 15, 24, 33, 42, 51
    right = [conv2d(x, w, (1, 2)), tf.nn.conv2d(x.astype(float), w.astype(float), (1, 2), "VALID")]
    report.check("1…18 as two pictures of 3 × 3 under (1 1 1), strides 1 and 2: sums of rows, in TensorFlow's float64",
                 got=[np.ravel(each) for each in right], want=[sums, sums])  # fmt: skip
    answer = tf.nn.conv2d(x, w, (1, 2), "VALID").numpy().ravel()
    shown = [f"{value:g}" if place % 3 < 2 else "…" for place, value in enumerate(answer)]
    report.note(
        f"On 1…18 as two pictures of 3 × 3, kernel (1 1 1), strides 1 and 2, tf.nn.conv2d gives "
        f"{', '.join(f'{value:g}' for value in sums)} in float64 and {', '.join(shown)} in float32 here. On processors "
        "with AVX-512, its library oneDNN reads memory of others where tensorflow_misreads says so (the dots: whatever "
        "stood there). There the comparisons take TensorFlow's float64; TF_ENABLE_ONEDNN_OPTS=0, set before TensorFlow "
        "is imported, helps too."
    )


def _sizes(report, rng):
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


def _flipped(report, rng):
    a, b = rng.normal(size=(1, 9)), rng.normal(size=(1, 4))
    full = flipped_conv2d(a[None, ..., None], b[..., None, None], padding=[[0, 0], [3, 3]])[0, ..., 0]
    report.check("flipped and padded on one row: numpy.convolve", got=full[0], want=np.convolve(a[0], b[0]))
    a, b, (s, t) = rng.normal(size=(5, 4)), rng.normal(size=(3, 2)), rng.uniform(-1, 1, size=(2, 20))
    product = flipped_conv2d(a[None, ..., None], b[..., None, None], padding=[[2, 2], [1, 1]])[0, ..., 0]
    values = [np.polynomial.polynomial.polyval2d(s, t, each) for each in (a, b, product)]
    report.check("flipped in two dimensions: product of polynomials in s and t", values[2], values[0] * values[1])


FILTERS = {  # (height, width) of each
    "vertical edges": ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "horizontal edges": ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),
    "spots and lines": ((0, -1, 0), (-1, 4, -1), (0, -1, 0)),
}


def _edges(report, image):
    w = np.moveaxis(np.array([list(FILTERS.values())], np.float32), (0, 1), (2, 3))  # (3, 3, 1, filters)
    step = np.repeat(np.float32([[0, 0, 0, 1, 1, 1]]), 5, axis=0)  # dark on the left, bright on the right
    response = conv2d(step[None, ..., None], w)[0, 0]  # (columns, filters)
    report.check("an edge from 0 to 1 under vertical, horizontal edges", response[:, :2].T, [[0, 4, 4, 0], [0] * 4])
    maps = conv2d(image[None, ..., None], w)[0]  # (26, 26, filters)
    sobel = tf.image.sobel_edges(tf.constant(image)[None, ..., None])[0, 1:-1, 1:-1, 0]  # (26, 26, [down, right])
    report.check("on the picture: tf.image.sobel_edges", got=maps[..., :2], want=tf.reverse(sobel, [-1]))

    figure, axes = plots.subplots(2, 4, figsize=(11, 5.6), gridspec_kw={"height_ratios": [1, 2]})
    for ax in axes.flat:
        ax.set_axis_off()
    axes[1, 0].imshow(image, cmap="gray")
    axes[1, 0].set_title("picture, 28 × 28", loc="center")
    bound = float(np.abs(maps).max())
    for (name, kernel), (top, below), number in zip(FILTERS.items(), axes.T[1:], range(3), strict=True):
        top.imshow(kernel, cmap="PuOr_r", vmin=-4, vmax=4)
        for (row, column), value in np.ndenumerate(kernel):
            top.text(column, row, f"{value:+d}" if value else "0", ha="center", va="center", fontsize=13,
                     color="white" if abs(value) > 3 else "black")  # fmt: skip
        top.set_title(name, loc="center")
        colours = below.imshow(maps[..., number], cmap="PuOr_r", vmin=-bound, vmax=bound)
        below.set_title("feature map, 26 × 26", loc="center")
    figure.colorbar(colours, ax=axes[1, 3], label="response")
    axes[0, 0].text(0.5, 0.5, "Three filters,\n9 weights each", ha="center", va="center", fontsize=15, weight="bold")
    report.figure(
        "Three filters of nine weights find the edges of a picture",
        figure,
        alt="A picture of clothing; above, three kernels with their weights; below, their feature maps: the first "
        "answers on its left and right borders, the second on the upper and lower ones, the third on thin lines.",
    )


def _shifts(report, image, rng):
    x, w = np.pad(image, 12)[None, ..., None].astype(np.float64), rng.normal(size=(3, 3, 1, 1))  # room to move

    def change(a, b):
        return float(np.linalg.norm(a - b) / np.linalg.norm(b))

    maps, moved = (conv2d(picture, w) for picture in (x, np.roll(x, (3, 5), axis=(1, 2))))
    report.check("3 down and 5 to the right: so do the features", moved, np.roll(maps, (3, 5), axis=(1, 2)))
    changed = change(moved, maps)
    report.at_least("invariance would leave them; relative change", changed, 0.5)
    maps = conv2d(x, w, 2)
    even, odd = (conv2d(np.roll(x, shift, axis=1), w, 2) for shift in (2, 1))
    report.check("stride 2: two pixels of the picture move the features by one", even, np.roll(maps, 1, axis=1))
    closest = min(change(odd, np.roll(maps, shift, axis=1)) for shift in range(maps.shape[1]))
    report.at_least("one pixel changes them, however they are moved back; relative change", closest, 0.1)
    report.correction(
        "what a shift of the picture does",
        course="Convolution is invariant to shifts.",
        correct="It is equivariant: features move with the picture; with stride s, for shifts by multiples of s.",
        shown_by=f"after a shift, the output differs from the old one by {changed:.0%} and equals the shifted one; "
        f"at stride 2 and one pixel, it differs from every shifted one by {closest:.0%} or more",
    )


def _parameters(report):
    rows = []
    for size, channels, filters in ((28, 1, 8), (32, 3, 4)):
        outputs = (size - 2, size - 2, filters)
        layer = keras.layers.Conv2D(filters, 3, kernel_initializer="zeros")
        dense = keras.layers.Dense(np.prod(outputs).item(), kernel_initializer="zeros")
        for each, shape in ((layer, (None, size, size, channels)), (dense, (None, size * size * channels))):
            each.build(shape)
        ours = parameter_count(3, channels, filters)
        report.check(f"parameters, {channels} channels to {filters}: Keras's count", ours, layer.count_params())
        rows.append([f"{size} × {size} × {channels}", " × ".join(map(str, outputs)), ours, dense.count_params(),
                     dense.count_params() // ours])  # fmt: skip
    columns = ["input", "output", "3 × 3 convolution", "fully connected", "times as many"]
    report.table("parameters of two layers with the same input and output", columns, rows)


def _times(report, rng, batch, repeats=5):
    rows = []
    for size, channels, filters, kernel in ((28, 1, 16, 5), (28, 16, 32, 3), (14, 64, 64, 3)):
        x = rng.normal(size=(batch, size, size, channels)).astype(np.float32)
        w = rng.normal(0, 0.1, size=(kernel, kernel, channels, filters)).astype(np.float32)
        tensors, seconds = (tf.constant(x), tf.constant(w)), []
        for call, arguments in ((conv2d, (x, w)), (lambda *both: tf.nn.conv2d(*both, 1, "VALID").numpy(), tensors)):
            call(*arguments)
            taken = []
            for _ in range(repeats):
                start = time.perf_counter()
                call(*arguments)
                taken.append(time.perf_counter() - start)
            seconds.append(min(taken))
        name = f"{size} × {size} × {channels}, {filters} filters {kernel} × {kernel}"
        rows.append([name, *(round(1e3 * each, 2) for each in seconds), round(seconds[0] / seconds[1], 1)])
    report.table(f"time for {batch} pictures", ["layer", "ours, ms", "TensorFlow, ms", "ratio of the ms"], rows)

"""A convolution slides one small set of weights over the picture: few weights, and the same feature found everywhere.

At every position the layer multiplies the window by the weights and adds. The layer built here, from windows and one
matrix product, equals TensorFlow's and Keras's on hundreds of random shapes, strides and paddings; in one corner of
them TensorFlow itself is wrong, and a function says where. It is a fully connected layer in which most weights are zero
and the others are shared.

Notes: chapter 06, "Convolution" (卷积).
Source: LeCun et al. 1998, doi:10.1109/5.726791; Dumoulin and Visin 2016, arXiv:1603.07285 (sizes and paddings);
https://www.tensorflow.org/api_docs/python/tf/nn/conv2d; https://keras.io/api/layers/convolution_layers/convolution2d.
"""

import timeit

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter06.padding import output_size, pad_widths, window_geometry  # noqa: F401
from kerasnotes.parts import whole

SMOKE = {"cases": 20, "batch": 2}
SECONDS = 3


def four_axes(name, value):
    """Numbers with four axes as an array: float32 and float64 as they are, all others as float64.

    Raises: ValueError: If there are other axes, or what is no number. An empty batch passes.
    """
    value = np.asarray(value)
    if value.ndim != 4 or 0 in value.shape[1:] or value.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected numbers with 4 axes, none empty, got {value.dtype} {value.shape}")
    return value if value.dtype in (np.float32, np.float64) else value.astype(np.float64)


def conv2d(x, w, strides=1, padding="VALID"):
    """The convolution of deep learning in NumPy: `tf.nn.conv2d`. Mathematics calls it cross-correlation.

    Every window becomes one row of a matrix ("im2col"), so that a single product with the weights does all positions.

    Args:
        x: Pictures (batch, height, width, channels).
        w: Weights (kernel height, kernel width, channels, filters).
        strides, padding: As for `window_geometry`.

    Returns: Feature maps (batch, rows, columns, filters), float64 unless both arguments are float32.
    Raises: ValueError: If shapes do not fit, or an argument is out of range. An empty batch gives an empty result.
    Source: Chellapilla, Puri, Simard 2006, https://inria.hal.science/inria-00112631.
    """
    x, w = four_axes("x", x), four_axes("w", w)
    if x.shape[3] != w.shape[2]:
        raise ValueError(f"w: expected {x.shape[3]} channels as x {x.shape}, got {w.shape[2]} in {w.shape}")
    (down, right), pads, output = window_geometry(x.shape[1:3], w.shape[:2], strides, padding)
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[:2], axis=(1, 2))[:, ::down, ::right]
    rows = np.moveaxis(windows, 3, -1).reshape(-1, w[..., 0].size)  # (windows, numbers in a window)
    return (rows @ w.reshape(-1, w.shape[3])).reshape(len(x), *output, w.shape[3])


def flipped_conv2d(x, w, strides=1, padding="VALID"):
    """The convolution of mathematics: as `conv2d`, with the weights turned by 180°.

    Args, Returns, Raises: As for `conv2d`.
    """
    return conv2d(x, four_axes("w", w)[::-1, ::-1], strides, padding)


def as_matrix(w, input_shape):
    """The convolution (stride 1, VALID) as the weights of a fully connected layer: `as_matrix(w, shape) @ x.ravel()`.

    Args:
        w: Weights (kernel height, kernel width), or (kernel height, kernel width, channels, filters).
        input_shape: `(height, width)` or `(height, width, channels)`.

    Returns: Matrix (outputs, inputs). Raises: ValueError: If the shapes do not fit.
    """
    w = np.asarray(w)
    if (w.ndim, len(input_shape)) not in ((2, 2), (4, 3)):
        raise ValueError(f"input_shape: expected (height, width[, channels]) for w {w.shape}, got {input_shape!r}")
    shape = (*input_shape, 1)[:3]
    w = four_axes("w", w.reshape(*w.shape[:2], shape[2], -1) if w.ndim == 2 else w)
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
    inputs = whole("kernel", height) * whole("kernel", width) * whole("channels_in", channels_in)
    return (inputs + 1) * whole("filters", filters)


def tensorflow_misreads(x_shape, w_shape, strides=1, padding="VALID", dtype="float32"):
    """Whether `tf.nn.conv2d` may read memory that is not the picture's: a fault of its library oneDNN.

    It shows with TensorFlow 2.21 on processors with AVX-512, for float32 and bfloat16, one channel, two pictures or
    more, several rows out but one column, strides of 1 downwards and more than 1 to the right. A kernel of one column
    and some widths are right even so. Gradients, pooling, `tf.nn.depthwise_conv2d`, `tf.nn.conv1d` and
    `tf.nn.conv2d_transpose` were tried and are right; `tf.nn.conv3d` has the same fault, for one picture too.
    Remedies: float64; `TF_ENABLE_ONEDNN_OPTS=0` in the environment before TensorFlow is imported; XLA.

    Args: As for `conv2d`, with shapes in place of arrays; `dtype` is the type of both.
    Returns: True where the result is not to be trusted.
    """
    (down, right), _, (rows, columns) = window_geometry(x_shape[1:3], w_shape[:2], strides, padding)
    small = tf.as_dtype(dtype) in (tf.float32, tf.bfloat16)
    return small and x_shape[0] > 1 and x_shape[3] == 1 and rows > 1 and columns == 1 and down == 1 and right > 1


def example():
    """The numbers 1 to 9 under one kernel: TensorFlow's call, ours, and Keras's layer."""
    x = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3, 1)  # (batch, height, width, channels)
    w = np.float32([[1, 2], [3, 4]]).reshape(2, 2, 1, 1)  # (kernel height, kernel width, channels, filters)
    for padding in ("VALID", "SAME"):
        theirs = tf.nn.conv2d(input=x, filters=w, strides=1, padding=padding)
        print(f"{padding:5}", np.ravel(theirs), np.ravel(conv2d(x, w, 1, padding)))
    layer = keras.layers.Conv2D(filters=1, kernel_size=2, strides=1, padding="valid", activation="relu")
    layer.build(x.shape)
    layer.set_weights([w, np.float32([-50])])
    print("Keras, with bias -50 and ReLU:", np.ravel(layer(x)), "with", layer.count_params(), "weights")


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
    _flipped(report, rng)
    image = data.fashion_mnist()[1][0][picture] / np.float32(255)  # (28, 28)
    _edges(report, image)
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
    results, tensorflow, in_keras = [], [], ([], [])
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
        if number % 3 < 2:  # Keras knows no explicit padding
            layer = keras.layers.Conv2D(filters, kernel.tolist(), strides, padding, dtype=np.dtype(kind).name,
                                        kernel_initializer="zeros")  # fmt: skip
            layer.build(x.shape)
            layer.set_weights([w, rng.normal(size=filters)])
            in_keras[0].append(ours + layer.bias.numpy())
            in_keras[1].append(layer(x))
    report.check(f"equals tf.nn.conv2d: {cases} random shapes, strides, paddings", results, tensorflow, atol=1e-5)
    report.check(f"equals keras.layers.Conv2D: {len(in_keras[0])} of them, with biases", *in_keras, atol=1e-5)


def _misread(report):
    x, w = np.arange(1, 19, dtype=np.float32).reshape(2, 3, 3, 1), np.ones((1, 3, 1, 1), np.float32)
    sums = x.sum(axis=2).ravel()  # 6, 15, 24, 33, 42, 51
    right = [conv2d(x, w, (1, 2)), tf.nn.conv2d(x.astype(float), w.astype(float), (1, 2), "VALID")]
    report.check("1…18 as two pictures of 3 × 3 under (1 1 1), strides 1 and 2: sums of rows, in TensorFlow's float64",
                 got=[np.ravel(each) for each in right], want=[sums, sums])  # fmt: skip
    answer = tf.nn.conv2d(x, w, (1, 2), "VALID").numpy().ravel()
    shown = [f"{value:g}" if place % 3 < 2 else "…" for place, value in enumerate(answer)]  # … is whatever stood there
    report.note(
        f"On 1…18 as two pictures of 3 × 3, kernel (1 1 1), strides 1 and 2, tf.nn.conv2d gives "
        f"{', '.join(f'{value:g}' for value in sums)} in float64 and {', '.join(shown)} in float32 here. On processors "
        "with AVX-512, its library oneDNN reads memory of others where tensorflow_misreads says so. There the "
        "comparisons take TensorFlow's float64; TF_ENABLE_ONEDNN_OPTS=0, set before TensorFlow is imported, helps too."
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
    bound = np.abs(maps).max()
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
    report.table("parameters of two layers with the same input and output",
                 ["input", "output", "3 × 3 convolution", "fully connected", "times as many"], rows)  # fmt: skip


def _times(report, rng, batch):
    def shortest(call, *arguments):
        return min(timeit.repeat(lambda: call(*arguments), number=1, repeat=6))

    rows = []
    for size, channels, filters, kernel in ((28, 1, 16, 5), (28, 16, 32, 3), (14, 64, 64, 3)):
        x = rng.normal(size=(batch, size, size, channels)).astype(np.float32)
        w = rng.normal(0, 0.1, size=(kernel, kernel, channels, filters)).astype(np.float32)
        theirs = shortest(lambda *both: tf.nn.conv2d(*both, 1, "VALID").numpy(), tf.constant(x), tf.constant(w))
        seconds = shortest(conv2d, x, w), theirs
        name = f"{size} × {size} × {channels}, {filters} filters {kernel} × {kernel}"
        rows.append([name, *(round(1e3 * each, 2) for each in seconds), round(seconds[0] / seconds[1], 1)])
    report.table(f"time for {batch} pictures", ["layer", "ours, ms", "TensorFlow, ms", "ratio of the ms"], rows)

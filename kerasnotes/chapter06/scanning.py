"""A detector that scans a picture is one convolutional network, and shared blocks make it cheap.

A small dense network applied at every position of a picture is a convolution of the window's size, followed by 1 × 1
convolutions with the same weights: the same outputs, and nothing saved yet. If the detector's work is spread over
layers that look at small blocks, neighbouring positions share most of it, with fewer weights. Both detectors then find
and read digits on large pictures; the bound of 0.9 on how many, and the number of windows to learn from, were chosen
after runs had been seen.

Notes: chapter 06, "Receptive field; scanning with a small network" (感受野, 用多层感知机扫描).
Source: LeCun et al. 1998, doi:10.1109/5.726791 (space displacement networks); Sermanet et al. 2013, arXiv:1312.6229,
section 3.5.
"""

import time

import keras
import numpy as np
import tensorflow as tf
from matplotlib.patches import Rectangle

from kerasnotes import data, plots, training
from kerasnotes.chapter06.padding import pair

SMOKE = {"examples": 128, "epochs": 1, "canvases": 2, "canvas": 40}
SECONDS = 7

WINDOW, BLOCK = 28, 7  # sides of the detector's window, and of the blocks that its first layer looks at
NOTHING = 10  # the detector's class for windows without a digit in their middle


def scan(mlp, image, window):
    """Apply a network of dense layers to the window at every position of a picture.

    Args:
        mlp: A Keras model from (batch, height · width · channels) of the window to (batch, outputs).
        image: Array (height, width) or (height, width, channels).
        window: Height and width of the window: an integer or a pair.

    Returns: Array (rows, columns, outputs), one row and column for each position.
    Raises: ValueError: If the window does not fit into the picture, or the network does not fit the window.
    """
    image, window = np.asarray(image), pair("window", window)
    if image.ndim not in (2, 3) or any(w > n for w, n in zip(window, image.shape, strict=False)):
        raise ValueError(f"window: expected at most the picture's size {image.shape}, got {window}")
    image = image.reshape(*image.shape[:2], -1)
    inputs = window[0] * window[1] * image.shape[2]
    if mlp.built and mlp.input_shape[-1] != inputs:
        raise ValueError(f"mlp: expected {inputs} inputs for window {window}, got {mlp.input_shape[-1]}")
    views = np.lib.stride_tricks.sliding_window_view(image, window, axis=(0, 1))
    rows = [mlp(np.moveaxis(row, 1, -1).reshape(len(row), inputs), training=False).numpy() for row in views]
    return np.stack(rows)


def as_convolution(mlp, window, channels=1):
    """The convolutional network with the weights of `mlp` whose output is `scan(mlp, image, window)`.

    The first layer becomes a convolution with a kernel of the window's size, the others convolutions of 1 × 1.

    Args:
        mlp: A built `keras.Sequential` of dense layers.
        window: Height and width of the window: an integer or a pair.
        channels: Channels of the picture.

    Returns: A `keras.Sequential` for pictures (batch, height, width, channels) of any size.
    Raises: ValueError: If there is another layer than `Dense`, or the weights do not fit the window.
    """
    kernel = pair("window", window)
    others = [type(layer).__name__ for layer in mlp.layers if not isinstance(layer, keras.layers.Dense)]
    if others or not mlp.built:
        raise ValueError(f"mlp: expected a built model of Dense layers, got {', '.join(others) or 'one not built'}")
    inputs = kernel[0] * kernel[1] * channels
    if mlp.layers[0].kernel.shape[0] != inputs:
        raise ValueError(f"mlp: expected {inputs} inputs for window {kernel}, got {mlp.layers[0].kernel.shape[0]}")
    network = keras.Sequential([keras.Input((None, None, channels))])
    for layer in mlp.layers:
        network.add(keras.layers.Conv2D(layer.units, kernel, activation=layer.activation, use_bias=layer.use_bias,
                                        kernel_initializer="zeros"))  # fmt: skip
        weights = layer.get_weights()
        network.layers[-1].set_weights([weights[0].reshape(*kernel, -1, layer.units), *weights[1:]])
        kernel = (1, 1)
    return network


def multiplications(model, input_shape):
    """Multiplications by weights for one input, in dense and convolutional layers one after the other.

    Args:
        model: A `keras.Sequential`.
        input_shape: Shape of one input, without the batch.

    Returns: Their number.
    """
    shape, total = (1, *input_shape), 0
    for layer in model.layers:
        shape = layer.compute_output_shape(shape)
        if hasattr(layer, "kernel"):
            total += int(np.prod(shape[1:-1], dtype=int) * np.prod(layer.kernel.shape))
    return total


def example():
    """A dense network with three units, at every position of a picture of 5 × 6, and Keras's convolution."""
    layers = keras.layers
    mlp = keras.Sequential([keras.Input((9,)), layers.Dense(3, "relu"), layers.Dense(2)])
    image = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    network = as_convolution(mlp, 3)  # Conv2D(3, 3, activation="relu"), Conv2D(2, 1)
    windows, at_once = scan(mlp, image, 3), network(image[None, :, :, None])[0]
    print([(layer.filters, layer.kernel_size) for layer in network.layers], "give", at_once.shape)
    print("largest difference between 12 windows and one network:", np.abs(windows - at_once).max())
    print("multiplications:", 12 * multiplications(mlp, (9,)), "and", multiplications(network, (5, 6, 1)))


def lesson(report, *, examples: int = 48000, epochs: int = 4, canvases: int = 200, canvas: int = 84, seed: int = 0):
    """Find digits on a large picture with one network instead of thousands of windows.

    Args:
        report: The report to write to.
        examples: Windows to train the detectors on (128 to 120000).
        epochs: Passes over them (1 to 1000).
        canvases: Large pictures with one digit each (1 to 1000).
        canvas: Their height and width, in pixels (40 to 500).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    (x, y), (x_test, y_test) = data.mnist()
    windows, labels = _windows(x, y, examples, rng)
    plain, spread = _detectors(seed)
    for model, inputs in ((plain, windows.reshape(examples, -1)), (spread, windows[..., None])):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=keras.optimizers.Adam(2e-3), loss=loss)
        training.fit(model, inputs, labels, batch_size=64, epochs=epochs, seed=seed, track=report.track)
    pictures, places, digits = _canvases(x_test, y_test, canvases, canvas, rng)
    networks = {"one hidden layer": (plain, as_convolution(plain, WINDOW)),
                "spread over layers": (_unrolled(spread), _widened(spread))}  # fmt: skip
    _compare_scans(report, networks, spread, pictures[0])
    _find(report, networks, pictures, places, digits)


def _windows(x, y, examples, rng):
    """Windows of the detector's size: two thirds with a digit in the middle, the rest with one far from it, or cut."""
    chosen = rng.choice(len(x), examples, replace=examples > len(x))
    shifts = rng.integers(-1, 2, size=(examples, 2))
    off = np.arange(examples) % 3 == 0
    far = rng.integers(-20, 21, size=(examples, 2))
    near = np.abs(far).max(axis=1) < 5
    far[near] = np.where(far[near] < 0, far[near] - 5, far[near] + 5)
    shifts[off] = far[off]
    views = np.lib.stride_tricks.sliding_window_view(np.pad(x[chosen], ((0, 0), (20, 20), (20, 20))), (28, 28), (1, 2))
    windows = views[np.arange(examples), 20 + shifts[:, 0], 20 + shifts[:, 1]] / np.float32(255)
    return windows, np.where(off, NOTHING, y[chosen]).astype(np.int32)


def _detectors(seed, units=64, features=16, hidden=32):
    """A network with one hidden layer, and one whose first layer looks at blocks with shared weights."""

    def start(number):
        return keras.initializers.GlorotUniform(seed=seed % 2**31 + number)

    dense, conv = keras.layers.Dense, keras.layers.Conv2D
    plain = keras.Sequential([
        keras.Input((WINDOW**2,)),
        dense(units, "relu", kernel_initializer=start(0)),
        dense(NOTHING + 1, kernel_initializer=start(1)),
    ])  # fmt: skip
    spread = keras.Sequential([
        keras.Input((WINDOW, WINDOW, 1)),
        conv(features, BLOCK, BLOCK, activation="relu", kernel_initializer=start(2)),
        conv(hidden, WINDOW // BLOCK, activation="relu", kernel_initializer=start(3)),
        conv(NOTHING + 1, 1, kernel_initializer=start(4)),
        keras.layers.Flatten(),
    ])  # fmt: skip
    return plain, spread


def _unrolled(spread):
    """The detector spread over layers as a network of dense layers, with copies of the shared weights."""
    (w1, b1, w2, b2, w3, b3), blocks = spread.get_weights(), WINDOW // BLOCK
    first = np.zeros((WINDOW, WINDOW, blocks, blocks, len(b1)), np.float32)
    for row, column in np.ndindex(blocks, blocks):
        places = slice(BLOCK * row, BLOCK * (row + 1)), slice(BLOCK * column, BLOCK * (column + 1))
        first[(*places, row, column)] = w1[:, :, 0]
    weights = [first.reshape(WINDOW**2, -1), np.tile(b1, blocks**2), w2.reshape(-1, len(b2)), b2, w3[0, 0], b3]
    sizes = [len(bias) for bias in weights[1::2]]
    kinds = ["relu"] * (len(sizes) - 1) + [None]
    mlp = keras.Sequential([keras.Input((WINDOW**2,))])
    for units, kind in zip(sizes, kinds, strict=True):
        mlp.add(keras.layers.Dense(units, kind, kernel_initializer="zeros"))
    mlp.set_weights(weights)
    return mlp


def _widened(spread):
    """The same detector for all positions at once: every block position once, then blocks that lie 7 pixels apart."""
    network = keras.Sequential([keras.Input((None, None, 1))])
    for layer, dilation in zip(spread.layers[:3], (1, BLOCK, 1), strict=True):
        network.add(keras.layers.Conv2D(layer.filters, layer.kernel_size, dilation_rate=dilation,
                                        activation=layer.activation, kernel_initializer="zeros"))  # fmt: skip
    network.set_weights(spread.get_weights())
    return network


def _canvases(x, y, count, side, rng):
    """Large black pictures with one digit each, and where its window starts."""
    chosen = rng.choice(len(x), count, replace=False)
    places = rng.integers(0, side - WINDOW + 1, size=(count, 2))
    pictures = np.zeros((count, side, side), np.float32)
    for picture, digit, (row, column) in zip(pictures, x[chosen], places, strict=True):
        picture[row : row + WINDOW, column : column + WINDOW] = digit / np.float32(255)
    return pictures, places, y[chosen].astype(int)


def _compare_scans(report, networks, spread, picture):
    rows, positions = [], (len(picture) - WINDOW + 1) ** 2
    tensor = tf.constant(picture[None, ..., None])
    costs = {}
    for name, (mlp, network) in networks.items():
        compiled = tf.function(network, autograph=False)
        runs = {"window by window": lambda mlp=mlp: scan(mlp, picture, WINDOW),
                "one network": lambda compiled=compiled: compiled(tensor)[0].numpy()}  # fmt: skip
        outputs = {}
        for way, run in runs.items():
            outputs[way] = run()
            start = time.perf_counter()
            run()
            window_model = spread if name == "spread over layers" else mlp
            costs[name, way] = (
                multiplications(network, tensor.shape[1:]) if way == "one network"
                else positions * multiplications(window_model, window_model.input_shape[1:])
            )  # fmt: skip
            rows.append([name, way, network.count_params(), costs[name, way],
                         round(1e3 * (time.perf_counter() - start), 1)])  # fmt: skip
        report.check(f"{name}: one convolutional network gives the outputs of {positions} windows",
                     got=outputs["one network"], want=outputs["window by window"], atol=1e-4)  # fmt: skip
    report.table(f"a picture of {len(picture)} × {len(picture)}, {positions} positions",
                 ["detector", "way", "parameters", "multiplications", "ms"], rows)  # fmt: skip
    plain, layers = "one hidden layer", "spread over layers"
    report.check("one hidden layer: nothing is shared, the multiplications are as many",
                 got=costs[plain, "one network"], want=costs[plain, "window by window"])  # fmt: skip
    w = spread.layers
    first, second, third = ((layer.filters, int(np.prod(layer.kernel.shape))) for layer in w[:3])
    by_hand = positions * (second[1] + third[1]) + (len(picture) - BLOCK + 1) ** 2 * first[1]
    report.check("spread over layers: every block is multiplied once", costs[layers, "one network"], by_hand)
    report.at_least("spread over layers: times as many multiplications window by window",
                    costs[layers, "window by window"] / costs[layers, "one network"], 1.5)  # fmt: skip
    ratios = [rows[0][2] / rows[2][2], costs[plain, "one network"] / costs[layers, "one network"]]
    report.at_least("one hidden layer: times as many parameters, and multiplications, as spread over layers", ratios, 2)
    report.note(
        "Found and read: one detector of each kind and seed; the numbers do not rank the two. How many windows to "
        "train on was chosen on pictures such as these: half as many were too few."
    )
    report.note(
        "A first layer as large as the window shares nothing between positions, so one network saves time but no "
        "multiplication. The blocks of the other detector lie 7 pixels apart, hence dilation_rate=7 in one network."
    )


def _find(report, networks, pictures, places, digits):
    found, maps = {}, {}
    for name, (_, network) in networks.items():
        scores = training.predict(network, pictures[..., None], batch_size=20)  # (canvases, rows, columns, classes)
        digit, nothing = scores[..., :NOTHING], scores[..., NOTHING]
        best = tf.reduce_logsumexp(digit, axis=-1).numpy() - nothing  # log-odds of a digit, (canvases, rows, columns)
        peaks = np.stack(np.unravel_index(best.reshape(len(best), -1).argmax(axis=1), best.shape[1:]), axis=1)
        labels = digit[np.arange(len(best)), peaks[:, 0], peaks[:, 1]].argmax(axis=-1)
        near = np.abs(peaks - places).max(axis=1) <= 3
        found[name], maps[name] = (near, labels == digits), (best, peaks, labels)
        report.at_least(f"{name}: digits found within 3 pixels and read correctly, of {len(digits)} pictures",
                        np.mean(near & (labels == digits)), 0.9, trained=True)  # fmt: skip
    report.table("digits on large pictures", ["detector", "found within 3 pixels", "found and read"],
                 [[name, near.mean(), (near & read).mean()] for name, (near, read) in found.items()])  # fmt: skip
    best, peaks, labels = maps["spread over layers"]
    figure, axes = plots.subplots(1, 2, figsize=(9.5, 4.2), width_ratios=[1, 1.2])
    axes[0].imshow(pictures[0], cmap="gray")
    (row, column), label = peaks[0], labels[0]
    axes[0].add_patch(Rectangle((column, row), WINDOW, WINDOW, fill=False, edgecolor="C1", linewidth=2.5))
    axes[0].text(column, row - 2, f"{label}", color="C1", fontsize=16, weight="bold")
    axes[0].set(xlabel="pixels", ylabel="pixels")
    axes[0].grid(False)
    axes[0].set_title("Found and read")
    plots.heatmap(best[0], xlabel="window's left edge, pixels", ylabel="window's upper edge, pixels",
                  label="log-odds of a digit", ax=axes[1])  # fmt: skip
    axes[1].set_aspect("equal")
    axes[1].set_title("One network's output, all positions")
    report.figure(
        "One convolutional network scans a picture",
        figure,
        alt="Left: a large black picture with a digit, framed and read. Right: the score of every window's position, "
        "highest where the window holds the digit in its middle.",
    )

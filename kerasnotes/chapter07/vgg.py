"""VGG: two small convolutions see as far as one large one, for equal channels with fewer weights.

Sixteen layers with weights, all convolutions 3 x 3: the published network is built, counted and compared number by
number with the library's. The idea behind it is checked with kernels that can be multiplied out: two layers of 3 x 3
are one layer of 5 x 5 if nothing stands between them. A small sibling then learns pictures of clothing twice, once
with pairs of 3 x 3 layers and once with single 5 x 5 layers, as the paper compares them.

Notes: chapter 07, "VGGNet" (VGG 网络).
Source: Simonyan, Zisserman 2015, arXiv:1409.1556, sections 2.1, 2.3 and 4.1; https://keras.io/api/applications/vgg/
Multiply-adds from Sze et al. 2017, arXiv:1703.09039; benchmark from Xiao et al. 2017, arXiv:1708.07747.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter07.alexnet import multiply_adds, random_pictures
from kerasnotes.chapter07.lenet import check_picture, scaled
from kerasnotes.parts import layer_seeds, share, whole

SMOKE = {"image_size": 32, "images": 64, "test_images": 64, "epochs": 1, "seeds": 1}
FULL = {"images": 60000, "epochs": 5, "seeds": 5}
SECONDS = 36

FILTERS = (64, 128, 256, 512, 512)
LINEAR = 0.842  # test accuracy of the best linear model that Xiao et al. 2017 list, from 60,000 pictures


def vgg_block(x, convolutions, filters, kernel_size=3, seed=0):
    """Several convolutions that keep height and width, each with ReLU, and a pooling that halves them.

    Args:
        x: Keras tensor or tensor (batch, height, width, channels), at least 2 x 2 pixels.
        convolutions: How many convolutions.
        filters: Channels of each.
        kernel_size: Height and width of the kernels.
        seed: Seed of the initial weights, an integer or a tuple of integers.

    Returns: Tensor (batch, height // 2, width // 2, filters).
    Raises: ValueError: If a number is not a positive integer, or the pictures are too small.
    Source: Simonyan, Zisserman 2015, arXiv:1409.1556, section 2.1.
    """
    filters, kernel_size = whole("filters", filters), whole("kernel_size", kernel_size)
    if len(x.shape) != 4 or min(x.shape[1:3]) < 2:
        raise ValueError(f"x: expected (batch, height, width, channels) of 2 x 2 pixels or more, got {tuple(x.shape)}")
    for _, layer_seed in zip(range(whole("convolutions", convolutions)), layer_seeds(seed)):  # noqa: B905
        start = keras.initializers.HeUniform(layer_seed)
        x = keras.layers.Conv2D(filters, kernel_size, padding="same", activation="relu", kernel_initializer=start)(x)
    return keras.layers.MaxPooling2D(2)(x)


def build_vgg16(
    input_shape=(224, 224, 3),
    classes=1000,
    width=1.0,
    depth=(2, 2, 3, 3, 3),
    kernel_size=3,
    dense_units=4096,
    dropout=0.5,
    seed=0,
):
    """Build VGG-16 (configuration D), or a sibling with fewer blocks, layers and channels.

    Args:
        input_shape: `(height, width, channels)`. Every block halves height and width, so five blocks need 32 pixels,
            three need 8.
        classes: Number of logits.
        width: Factor on all channels and dense units, rounded.
        depth: Convolutions of each block, one to five blocks with 64, 128, 256, 512, 512 channels at width 1.
        kernel_size: Height and width of all kernels.
        dense_units: Units of the two dense layers at width 1.
        dropout: Share of their answers that is set to zero in training, in [0, 1).
        seed: Seed of the initial weights and of dropout.

    Returns: An uncompiled `keras.Model` that outputs logits (batch, classes).
    Raises: ValueError: If an argument is out of range or a picture too small.
    Source: Simonyan, Zisserman 2015, arXiv:1409.1556, table 1, column D.
    """
    if not (isinstance(depth, (tuple, list)) and 1 <= len(depth) <= len(FILTERS)):
        raise ValueError(f"depth: expected one to {len(FILTERS)} numbers of convolutions, got {depth!r}")
    shape, classes = check_picture(input_shape, 2 ** len(depth)), whole("classes", classes)
    share("dropout", dropout, high=False)
    units = scaled(whole("dense_units", dense_units), width)
    seeds = layer_seeds(seed)
    inputs = x = keras.Input(shape)
    for convolutions, filters in zip(depth, FILTERS, strict=False):
        x = vgg_block(x, convolutions, scaled(filters, width), kernel_size, next(seeds))
    x = keras.layers.Flatten()(x)  # (batch, 7 * 7 * 512) at the published size
    for _ in range(2):
        x = keras.layers.Dense(units, "relu", kernel_initializer=keras.initializers.HeUniform(next(seeds)))(x)
        x = keras.layers.Dropout(dropout, seed=next(seeds))(x)
    start = keras.initializers.GlorotUniform(next(seeds))
    return keras.Model(inputs, keras.layers.Dense(classes, kernel_initializer=start)(x))


def compose_kernels(first, second):
    """One kernel that does what two convolutions with stride 1 do one after another, without ReLU between them.

    Args:
        first: Kernel (height, width, channels, middle).
        second: Kernel (height, width, middle, filters); the sizes may differ.

    Returns: Array (height + height - 1, width + width - 1, channels, filters).
    Raises: ValueError: If the second kernel does not take as many channels as the first one gives.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.ndim != 4 or second.ndim != 4 or first.shape[3] != second.shape[2]:
        raise ValueError(f"first, second: expected kernels that fit, got shapes {first.shape} and {second.shape}")
    (height, width), (rows, columns) = first.shape[:2], second.shape[:2]
    result = np.zeros((height + rows - 1, width + columns - 1, first.shape[2], second.shape[3]), first.dtype)
    for row in range(rows):
        for column in range(columns):
            result[row : row + height, column : column + width] += first @ second[row, column]
    return result


def example():
    """Two convolutions of 3 × 3 by Keras's layers, as a block of VGG, and as one kernel of 5 × 5."""
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 8, 8, 3)), tf.float32)
    layers = keras.layers
    by_hand = keras.Sequential([
        layers.Conv2D(4, 3, padding="same", activation="relu"), layers.Conv2D(4, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
    ])  # fmt: skip
    print("by hand:", by_hand(x).shape, "and vgg_block:", vgg_block(x, convolutions=2, filters=4).shape)
    first, second = (layer.kernel for layer in by_hand.layers[:2])
    twice = tf.nn.conv2d(tf.nn.conv2d(x, first, 1, "VALID"), second, 1, "VALID")
    once = tf.nn.conv2d(x, compose_kernels(first, second), 1, "VALID")
    print(
        "without ReLU between them, one kernel does it: largest difference", float(tf.reduce_max(tf.abs(once - twice)))
    )


def lesson(
    report,
    *,
    image_size: int = 224,
    images: int = 16000,
    test_images: int = 10000,
    epochs: int = 3,
    seeds: int = 2,
    width: float = 0.125,
    dropout: float = 0.2,
    learning_rate: float = 0.002,
    batch_size: int = 32,
    seed: int = 0,
):
    """Compare the published network with the library's, then train pairs of 3 x 3 against single 5 x 5 layers.

    Args:
        report: The report to write to.
        image_size: Height and width of the pictures that the full-size network sees (32 to 320).
        images: Training pictures of the small siblings (32 to 60000).
        test_images: Test pictures (1 to 10000).
        epochs: Training epochs (1 to 1000).
        seeds: Networks of either kind (1 to 100).
        width: Factor on the channels of the small siblings (0.02 to 1).
        dropout: Dropout of the small siblings (0 to 0.9).
        learning_rate: First learning rate of Adam, which falls to zero along a cosine (0.000001 to 1).
        batch_size: Pictures in a batch (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    shares = _published(report, image_size, seed)
    _two_for_one(report, np.random.default_rng((seed, 1)))

    kinds = {
        "two of 3 x 3": {"depth": (2, 2, 2), "kernel_size": 3},
        "one of 5 x 5": {"depth": (1, 1, 1), "kernel_size": 5},
    }
    rng = np.random.default_rng((seed, 2))
    (x, y), test = (
        random_pictures(*part, count, rng)
        for part, count in zip(data.fashion_mnist(), (images, test_images), strict=True)
    )
    accuracies, rows = {}, []
    for name, options in kinds.items():
        options |= {"width": width, "dense_units": 1024, "dropout": dropout}
        starts = (build_vgg16((28, 28, 1), 10, **options, seed=(seed, 3, number)) for number in range(seeds))
        settings = {"epochs": epochs, "batch_size": batch_size, "track": report.track}
        model, accuracies[name] = _train(starts, x, y, test, learning_rate, seed, settings)
        rows.append([name, model.count_params(), multiply_adds(model), *plots.mean_and_error(accuracies[name])])
    _results(report, rows, accuracies, images, width)
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.2))
    _draw(left, right, shares, accuracies)
    report.figure(
        "Where VGG-16 keeps its weights and does its work",
        figure,
        alt="Left: bars of parameters and multiply-adds for five blocks and the dense part of VGG-16; the dense part "
        "has most parameters, the blocks do nearly all multiply-adds. Right: test accuracies of the small siblings.",
    )


def _train(starts, x, y, test, learning_rate, seed, settings):
    """Train the first of several equal networks from the weights of each. Returns it and the test accuracies."""
    model, accuracies = None, []
    for number, start in enumerate(starts):
        if model is None:  # compiled once
            model = start
            steps = settings["epochs"] * -(-len(x) // settings["batch_size"])
            falling = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.Adam(falling), loss, metrics=["accuracy"])
            restart = training.restarter(model)
        restart(start.get_weights())
        training.fit(model, x, y, seed=seed + number, **settings)
        accuracies.append(training.evaluate(model, *test)["accuracy"])
    return model, accuracies


def _results(report, rows, accuracies, images, width):
    seeds = len(accuracies["two of 3 x 3"])
    channels = ", ".join(str(scaled(filters, width)) for filters in FILTERS[:3])
    report.table(
        f"Fashion-MNIST: {images:,} pictures, {seeds} networks of each kind, {channels} channels in the blocks",
        ["convolutions of each block", "parameters", "multiply-adds", "test accuracy", "standard error"],
        rows,
    )
    learnt = "pairs of 3 x 3: test accuracy of every network above the best linear model's"
    report.at_least(learnt, accuracies["two of 3 x 3"], LINEAR, trained=True)
    mean, error = plots.mean_and_error(np.subtract(*accuracies.values()))
    report.note(
        f"""Two layers of 3 x 3 minus one of 5 x 5, same seeds: {mean:+.4f}, standard error {error:.4f}. Where
        this is not clearly positive, the paper's gain from depth does not show at this small scale."""
    )
    report.note(
        """The small siblings have three blocks instead of five, an eighth of the channels and dropout of 0.2 instead of
        0.5 by default. The paper compares pairs of 3 x 3 with single 5 x 5 layers on ImageNet (section 4.1: top-1 error
        7 % higher with 5 x 5). Weights start as He et al. 2015 propose, not from a smaller trained network."""
    )


def _published(report, image_size, seed):
    model = build_vgg16((image_size, image_size, 3), seed=seed)
    missing = (7 * 7 - (image_size // 32) ** 2) * 512 * 4096  # weights of the first dense layer for a smaller picture
    report.check("parameters: 138,357,544 at 224 pixels", got=model.count_params(), want=138_357_544 - missing)
    library = keras.applications.VGG16(
        weights=None, input_shape=(image_size, image_size, 3), classifier_activation=None
    )
    report.check("as many as in keras.applications.VGG16", got=model.count_params(), want=library.count_params())
    for ours, theirs in zip(model.weights, library.weights, strict=True):
        theirs.assign(ours)
    picture = np.random.default_rng((seed, 4)).standard_normal((1, image_size, image_size, 3), np.float32)
    want = library(picture)
    report.check("with the same weights, the same 1000 logits", got=model(picture), want=want, rtol=1e-3, atol=1e-4)

    rows, sizes = [], [(image_size // 2**block) ** 2 for block in range(5)]
    kernels = [layer.kernel.shape for layer in model.layers if hasattr(layer, "kernel")]
    blocks = np.repeat(range(6), (2, 2, 3, 3, 3, 3))
    for block in range(6):
        weights = [int(np.prod(shape)) for shape, of in zip(kernels, blocks, strict=True) if of == block]
        rows.append([f"block {block + 1}" if block < 5 else "dense", sum(weights), sum(weights) * (*sizes, 1)[block]])
    report.table(f"VGG-16 at {image_size} x {image_size}", ["part", "weights without biases", "multiply-adds"], rows)
    counted = multiply_adds(model)
    report.check(
        "multiply-adds of the model: weights of a block times its places", counted, sum(row[2] for row in rows)
    )
    grown = sum(row[1] * 7 * 7 * 4 ** (5 - block) for block, row in enumerate(rows[:5])) + rows[5][1] + missing
    report.check("at 224 pixels, billions of multiply-adds that Sze et al. 2017 list", grown / 1e9, 15.5, atol=0.05)
    return rows


def _two_for_one(report, rng, channels=4):
    x = rng.standard_normal((2, 9, 9, channels), np.float32)
    first, second, third = rng.standard_normal((3, 3, 3, channels, channels), np.float32)
    twice = tf.nn.conv2d(tf.nn.conv2d(x, first, 1, "VALID"), second, 1, "VALID")  # (2, 5, 5, channels)
    large = compose_kernels(first, second)
    report.check("two kernels of 3 x 3 make one of 5 x 5, three one of 7 x 7",
                 got=[large.shape[:2], compose_kernels(large, third).shape[:2]], want=[(5, 5), (7, 7)])  # fmt: skip
    report.check("without ReLU, two layers are that one layer", tf.nn.conv2d(x, large, 1, "VALID"), twice, atol=1e-3)
    inputs = keras.Input((9, 9, channels))
    weights = {}
    for size, layers in ((3, 2), (5, 1), (3, 3), (7, 1)):
        y = inputs
        for layer in range(layers):
            start = keras.initializers.HeUniform(layer)
            y = keras.layers.Conv2D(channels, size, use_bias=False, kernel_initializer=start)(y)
        weights[size, layers] = keras.Model(inputs, y).count_params() // channels**2
    report.check("their weights, in units of channels squared: 18 against 25, 27 against 49",
                 got=list(weights.values()), want=[18, 25, 27, 49])  # fmt: skip


def _draw(left, right, shares, accuracies):
    names, weights, work = zip(*shares, strict=True)
    places = np.arange(len(names))
    left.bar(places - 0.2, np.array(weights) / sum(weights), width=0.4, label="weights")
    left.bar(places + 0.2, np.array(work) / sum(work), width=0.4, label="multiply-adds")
    left.set_xticks(places, [name.replace("block ", "") for name in names])
    left.set(xlabel="block", ylabel="share of the whole network", ylim=(0, 1))
    left.set_title("Weights: dense part. Work: convolutions")
    left.legend(loc="upper left")
    for place, values in enumerate(accuracies.values()):
        right.plot(np.full(len(values), place), values, "o", color=f"C{place}", alpha=0.6)
        mean, error = plots.mean_and_error(values)
        right.errorbar(place + 0.12, mean, error, fmt="s", color=f"C{place}", capsize=4, label=f"mean {mean:.3f}")
    right.axhline(LINEAR, color="C2", linestyle="--", label="best linear model")
    right.set_xticks(range(len(accuracies)), list(accuracies))
    right.set(xlim=(-0.6, 1.8), xlabel="convolutions of each block", ylabel="test accuracy")
    right.set_title("Small siblings on Fashion-MNIST")
    right.legend(loc="best")

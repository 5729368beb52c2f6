"""AlexNet: sixty million weights, most of them dense, most of the work in convolutions.

The network that won the ImageNet contest of 2012 is built in its two forms, as one tower and with the two groups that
once shared it among two graphics cards, and both are counted. A small sibling from the same code learns pictures of
clothing. What its last hidden layer has learnt is shown as in the paper: pictures whose feature vectors lie close
together are of one kind, more often than pictures whose pixels lie close together.

Notes: chapter 07, "AlexNet" (AlexNet 网络).
Source: Krizhevsky, Sutskever, Hinton 2012,
https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html, sections 3 to 6; multiply-adds
from Sze et al. 2017, arXiv:1703.09039; benchmark from Xiao et al. 2017, arXiv:1708.07747.
"""

import math

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.chapter07.lenet import check_picture, scaled
from kerasnotes.chapter07.local_response import LocalResponseNormalization, local_response_normalization  # noqa: F401
from kerasnotes.parts import layer_seeds, shape, share, whole

SMOKE = {"image_size": 67, "full_width": 0.125, "images": 64, "test_images": 64, "queries": 32, "epochs": 1, "seeds": 1}
FULL = {"images": 60000, "epochs": 5, "seeds": 5}
SECONDS = 18

LINEAR = 0.842  # test accuracy of the best linear model that Xiao et al. 2017 list, from 60,000 pictures
NEAREST = 10  # neighbours of a picture that are looked at
ALEXNET_FROM, ALEXNET_SMALL_FROM = 67, 15  # the smallest pictures that leave one pixel after the last pooling


def build_alexnet(
    input_shape=(227, 227, 3), classes=1000, groups=1, width=1.0, dense_units=4096, dropout=0.5, normalize=True, seed=0
):
    """Build AlexNet: five convolutions, two dense layers with dropout, and a dense layer of logits.

    Pooling overlaps (3 x 3, stride 2), and the first two layers are normalized across channels. The weights start as
    He et al. 2015 propose, not with the paper's standard deviation of 0.01, with which a small network hardly starts.

    Args:
        input_shape: `(height, width, channels)`. Below 67 pixels the first layer is 5 x 5 with stride 1 and padding
            instead of 11 x 11 with stride 4; at least 15 pixels a side.
        classes: Number of logits.
        groups: 1 for one tower; 2 for the paper's form, in which layers 2, 4 and 5 see one half of the channels each.
        width: Factor on all channels and dense units, rounded to multiples of `groups`.
        dense_units: Units of the two dense layers at width 1.
        dropout: Share of their answers that is set to zero in training, in [0, 1).
        normalize: Whether the first two layers are normalized across channels, as in the paper. It takes half of the
            time of a small network; Simonyan and Zisserman 2015 found no gain in it.
        seed: Seed of the initial weights and of dropout.

    Returns: An uncompiled `keras.Model` from pictures to logits (batch, classes). The last hidden layer is "features".
    Raises: ValueError: If an argument is out of range or a picture too small.
    Source: Krizhevsky et al. 2012, figure 2 and section 3. (The paper writes 224 pixels; its sizes fit 227.)
    """
    size = check_picture(input_shape, ALEXNET_SMALL_FROM)
    classes, groups = whole("classes", classes), whole("groups", groups)
    units = scaled(whole("dense_units", dense_units), width)
    c1, c2, c3, c4, c5 = (scaled(channels, width, groups) for channels in (96, 256, 384, 384, 256))
    seeds = layer_seeds(seed)

    def convolution(filters, size, **options):
        start = keras.initializers.HeUniform(next(seeds))
        return keras.layers.Conv2D(filters, size, activation="relu", kernel_initializer=start, **options)

    norm = LocalResponseNormalization if normalize else keras.layers.Identity
    first = {"size": 11, "strides": 4} if min(size[:2]) >= ALEXNET_FROM else {"size": 5, "padding": "same"}
    inputs = x = keras.Input(size)
    x = convolution(c1, **first)(x)  # (batch, 55, 55, 96) at the published size
    x = keras.layers.MaxPooling2D(3, 2)(norm()(x))  # (batch, 27, 27, 96)
    x = convolution(c2, 5, padding="same", groups=groups)(x)
    x = keras.layers.MaxPooling2D(3, 2)(norm()(x))  # (batch, 13, 13, 256)
    x = convolution(c3, 3, padding="same")(x)
    x = convolution(c4, 3, padding="same", groups=groups)(x)
    x = convolution(c5, 3, padding="same", groups=groups)(x)
    x = keras.layers.Flatten()(keras.layers.MaxPooling2D(3, 2)(x))  # (batch, 6 * 6 * 256)
    for name in ("dense", "features"):
        start = keras.initializers.HeUniform(next(seeds))
        x = keras.layers.Dense(units, "relu", kernel_initializer=start, name=name)(x)
        x = keras.layers.Dropout(share("dropout", dropout, high=False), seed=next(seeds))(x)
    start = keras.initializers.GlorotUniform(next(seeds))
    return keras.Model(inputs, keras.layers.Dense(classes, kernel_initializer=start, name="logits")(x))


def multiply_adds(model):
    """Count the multiplications, each with an addition, that one forward pass takes for one sample.

    Every number of a kernel is used once for each place of the layer's output. Biases, activations, pooling and
    normalization are left out, as is usual.

    Args:
        model: A built `keras.Model` from `Dense` layers, convolutions of any kind that have one kernel, and layers
            without matrices. A layer that is used twice is refused by Keras.

    Returns: An integer. Raises: ValueError: If a layer has matrices of another kind, such as a recurrent one.
    """
    total = 0
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            total += math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
        elif isinstance(layer, keras.Model):
            total += multiply_adds(layer)
        elif any(len(weight.shape) > 1 for weight in layer.weights):
            raise ValueError(f"model: expected dense and convolutional layers only, got {type(layer).__name__}")
    return total


def nearest(queries, gallery, k=1):
    """Find the nearest vectors by Euclidean distance.

    Args:
        queries, gallery: Arrays (n, dims) and (m, dims).
        k: How many to find, at most m.

    Returns: Integer array (n, k), the nearest one first.
    Raises: ValueError: If the vectors differ in length, or `k` is not between 1 and m.
    """
    queries, gallery = np.asarray(queries), np.asarray(gallery)
    shape("queries", queries, None, *shape("gallery", gallery, None, None).shape[1:])
    if whole("k", k) > len(gallery):
        raise ValueError(f"k: expected 1 to {len(gallery)}, got {k!r}")
    distances = np.square(gallery).sum(axis=1) - 2 * queries @ gallery.T  # (n, m), short of the query's own square
    return np.argsort(distances, axis=1, kind="stable")[:, :k]


def random_pictures(x, y, count, rng):
    """Choose pictures at random, scaled to [-1, 1] and with an axis for their one channel.

    Args:
        x, y: Pictures (n, height, width), from 0 to 255, and labels (n,).
        count: How many to choose; all, in random order, if there are fewer.
        rng: A `numpy.random.Generator`.

    Returns: `(pictures, labels)`: float32 (count, height, width, 1) and int32 (count,).
    Raises: ValueError: If the shapes do not fit, or `count` is not positive.
    """
    shape("x", x, None, None, None), shape("y", y, len(x))
    chosen = rng.permutation(len(x))[: whole("count", count)]
    return np.float32((x[chosen, ..., None] / 255 - 0.5) / 0.5), y[chosen].astype(np.int32)


def example():
    """Keras's layers one by one, as the small sibling has them, beside the builder, and what they cost."""
    layers = keras.layers
    by_hand = keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(12, 5, padding="same", activation="relu"), layers.MaxPooling2D(3, 2),
        layers.Conv2D(32, 5, padding="same", activation="relu"), layers.MaxPooling2D(3, 2),
        *(layers.Conv2D(48, 3, padding="same", activation="relu") for _ in range(2)),
        layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPooling2D(3, 2),
        layers.Flatten(), *(layers.Dense(256, "relu") for _ in range(2)), layers.Dense(10),
    ])  # fmt: skip
    ours = build_alexnet((28, 28, 1), classes=10, width=0.125, dense_units=2048, normalize=False)
    for name, model in (("by hand", by_hand), ("by the builder", ours)):
        print(f"{name}: {model.count_params():,} weights, {multiply_adds(model):,} multiply-adds a picture")


def lesson(
    report,
    *,
    image_size: int = 227,
    full_width: float = 1.0,
    images: int = 14000,
    test_images: int = 10000,
    queries: int = 2000,
    epochs: int = 3,
    seeds: int = 1,
    width: float = 0.125,
    dense_units: int = 2048,
    dropout: float = 0.2,
    learning_rate: float = 0.002,
    batch_size: int = 32,
    seed: int = 0,
):
    """Count the published network, then train its small sibling and look for neighbours in its feature space.

    Args:
        report: The report to write to.
        image_size: Height and width of the pictures that the full-size network sees (67 to 512).
        full_width: Factor on the channels of the full-size network (0.03125 to 1).
        images: Training pictures of the small sibling (32 to 60000).
        test_images: Test pictures (3 to 10000).
        queries: Test pictures whose nearest training pictures are looked for, at most (3 to 10000).
        epochs: Training epochs (1 to 1000).
        seeds: Networks to train (1 to 100).
        width: Factor on the channels of the small sibling (0.02 to 1).
        dense_units: Dense units of the small sibling before that factor (1 to 4096).
        dropout: Dropout of the small sibling (0 to 0.9).
        learning_rate: First learning rate of Adam, which falls to zero along a cosine (0.000001 to 1).
        batch_size: Pictures in a batch (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _published(report, image_size, full_width, seed)
    rng = np.random.default_rng((seed, 1))
    parts = zip(data.fashion_mnist(), (images, test_images), strict=True)
    (x, y), (x_test, y_test) = (random_pictures(*part, count, rng) for part, count in parts)
    few, wanted = x_test[:queries], y_test[:queries]
    pixels = nearest(few.reshape(len(few), -1), x.reshape(len(x), -1), k=NEAREST)  # (queries, 10)
    rows, loss = [], keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for number in range(seeds):
        model = build_alexnet((28, 28, 1), 10, 1, width, dense_units, dropout, False, seed=(seed, 2, number))
        falling = keras.optimizers.schedules.CosineDecay(learning_rate, -(-images // batch_size) * epochs)
        model.compile(keras.optimizers.Adam(falling), loss, metrics=["accuracy"])
        training.fit(model, x, y, epochs=epochs, batch_size=batch_size, seed=seed + number, track=report.track)
        features = keras.Model(model.input, model.get_layer("features").output)
        found = nearest(training.predict(features, few), training.predict(features, x), NEAREST)
        shares = [np.mean(y[neighbours] == wanted[:, None]) for neighbours in (found, pixels)]
        rows.append((training.evaluate(model, x_test, y_test)["accuracy"], *shares))
    _results(report, rows, f"{images:,} training pictures, {model.count_params():,} parameters", len(few))
    shown = [*np.flatnonzero(y[pixels[:, 0]] != wanted)[:3], *range(3)][:3]  # named wrongly by pixels, if there are any
    report.figure(
        "Neighbours in pixels and in features",
        _draw(x, y, few[shown], wanted[shown], pixels[shown, :4], found[shown, :4]),
        alt="Each row shows a test picture that its nearest pixels name wrongly, its four nearest training pictures by "
        "pixels and its four nearest by features of the last hidden layer, with their classes.",
    )


def _results(report, rows, what, queries):
    names = ["test pictures that the network names rightly"]
    names += [f"{NEAREST} nearest by {kind}, of the same class" for kind in ("features", "pixels")]
    report.table(
        f"Fashion-MNIST: {what}, {len(rows)} networks, neighbours of {queries:,} test pictures",
        ["share of", "mean", "standard error"],
        [[name, *cells] for name, *cells in zip(names, *plots.mean_and_error(rows), strict=True)],
    )
    accuracies, by_features, by_pixels = np.transpose(rows)
    learnt = "small sibling: test accuracy of every network above the best linear model's"
    report.at_least(learnt, accuracies, LINEAR, trained=True)
    closer = "neighbours by features are of the same class more often than those by pixels, every network: difference"
    report.at_least(closer, by_features - by_pixels, 0.0, trained=True)
    report.note(
        """The small sibling is one tower with an eighth of the channels by default. Its first layer is 5 x 5 with
        stride 1, not 11 x 11 with stride 4; normalization across channels is left out for time; dropout is 0.2 instead
        of 0.5, since each picture is seen a few times only. Adam with a rate that falls along a cosine takes the place
        of momentum; there is no augmentation."""
    )


def _by_hand(image_size, groups, width=1.0):
    """Names, places, weights and biases of the layers, from the sizes in the paper's section 3.5."""
    c1, c2, c3, c5 = (scaled(channels, width, groups) for channels in (96, 256, 384, 256))
    units = scaled(4096, width)
    first = (image_size - 11) // 4 + 1
    second = (first - 3) // 2 + 1
    third = (second - 3) // 2 + 1
    last = (third - 3) // 2 + 1
    names = [f"convolution {number}" for number in range(1, 6)] + [f"dense {number}" for number in range(1, 4)]
    places = (first**2, second**2, third**2, third**2, third**2, 1, 1, 1)
    kernels = (121 * 3 * c1, 25 * c1 * c2 // groups, 9 * c2 * c3, 9 * c3 * c3 // groups, 9 * c3 * c5 // groups)
    weights = (*kernels, last**2 * c5 * units, units * units, units * 1000)
    return list(zip(names, places, weights, (c1, c2, c3, c3, c5, units, units, 1000), strict=True))


def _published(report, image_size, full_width, seed):
    for groups, name, published in ((1, "one tower", 62_378_344), (2, "two groups in layers 2, 4, 5", 60_965_224)):
        layers, at_227 = _by_hand(image_size, groups, full_width), _by_hand(227, groups)
        total = sum(weights + biases for _, _, weights, biases in at_227)
        report.check(f"parameters of {name}, added up by hand", got=total, want=published)
        model = build_alexnet((image_size, image_size, 3), groups=groups, width=full_width, seed=seed)
        want = sum(weights + biases for _, _, weights, biases in layers)
        report.check(f"parameters of the built network, {name}", got=model.count_params(), want=want)
        work = sum(places * weights for _, places, weights, _ in layers)
        report.check(f"multiply-adds of the built network, {name}", got=multiply_adds(model), want=work)
    picture = np.random.default_rng((seed, 4)).standard_normal((1, image_size, image_size, 3), np.float32)
    report.check("one forward pass of the last one: 1000 logits", got=model(picture).shape, want=(1, 1000))
    work = sum(places * weights for _, places, weights, _ in at_227)
    report.check("millions of multiply-adds with two groups, as Sze et al. 2017 list", round(work / 1e6), 724)
    report.table(
        "AlexNet with two groups at 227 x 227",
        ["layer", "places", "weights", "multiply-adds"],
        [[name, places, weights, places * weights] for name, places, weights, _ in at_227],
    )
    dense = np.sum([(w, p * w) for name, p, w, _ in at_227 if name.startswith("dense")], axis=0)
    report.at_least("share of the weights that is dense", dense[0] / sum(w for _, _, w, _ in at_227), 0.9)
    report.at_least("share of the multiply-adds that is convolution", 1 - dense[1] / work, 0.9)


def _draw(x, y, queries, wanted, pixels, found):
    widths = (1, 0.2, 1, 1, 1, 1, 0.2, 1, 1, 1, 1)  # the narrow columns stay empty
    figure, axes = plots.subplots(len(queries), 11, figsize=(10, 1.35 * len(queries) + 0.6), width_ratios=widths)
    for ax in axes.flat:
        ax.set_axis_off()
    for line, query, label, *neighbours in zip(axes, queries, wanted, pixels, found, strict=True):
        rows = np.concatenate(neighbours)
        pictures, kinds = [query, *x[rows]], [label, *y[rows]]
        for column, picture, kind in zip((0, 2, 3, 4, 5, 7, 8, 9, 10), pictures, kinds, strict=True):
            line[column].imshow(picture[..., 0], cmap="gray")
            name = data.FASHION_LABELS[kind].split("/")[0]
            line[column].set_title(name, fontsize=10, loc="center", color="C0" if kind == label else "C4")
    for column, name in ((0, "test picture"), (3, "nearest by pixels"), (8, "nearest by features")):
        at = {"x": 1.1 if column else 0.5, "y": 1.27, "transform": axes[0, column].transAxes}
        text = axes[0, column].text(s=name, ha="center", **at)
        text.set_in_layout(False)  # it may be wider than its column
    figure.suptitle("Three pictures that their nearest pixels name wrongly (orange: another class)\n", fontsize=13)
    return figure

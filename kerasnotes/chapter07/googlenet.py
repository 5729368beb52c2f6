"""GoogLeNet has nine times fewer parameters than AlexNet, not twelve, and no dense layers but the last.

The published network of nine inception modules is built and counted, with its two classifiers in the middle, which only
training needs. A small sibling from the same code reads handwritten digits about as well as a published dense network
that learnt from more of them.

Notes: chapter 07, "GoogLeNet" (GoogLeNet 网络, Inception 模块).
Source: Szegedy et al. 2015, arXiv:1409.4842, figure 3, table 1, section 5;
https://www.tensorflow.org/api_docs/python/tf/concat; LeCun et al. 1998, doi:10.1109/5.726791 (benchmark).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter07.alexnet import multiply_adds, random_pictures
from kerasnotes.chapter07.inception import (
    inception_convolution,
    inception_module,
    inception_multiply_adds,  # noqa: F401
    published_modules,
)
from kerasnotes.chapter07.lenet import check_picture, scaled
from kerasnotes.chapter07.local_response import LocalResponseNormalization
from kerasnotes.parts import layer_seeds, share, whole

SMOKE = {"image_size": 65, "images": 64, "test_images": 64, "epochs": 1, "seeds": 1, "depth": (1,), "width": 0.03}
FULL = {"images": 60000, "epochs": 5, "seeds": 5}
SECONDS = 30

GOOGLENET_FROM, GOOGLENET_SMALL_FROM = 64, 8
ALEXNET = (62_378_344, 60_965_224)  # parameters of AlexNet with one tower and with two groups
TWO_LAYERS = 0.953  # LeCun et al. 1998: test error 4.7 % with 300 hidden units in one layer, from 60,000 digits


def build_googlenet(
    input_shape=(224, 224, 3), classes=1000, width=1.0, depth=(2, 5, 2), auxiliary=False, dropout=0.4, seed=0
):
    """Build GoogLeNet, or a sibling with fewer modules and channels. There is no batch normalization in it.

    Args:
        input_shape: `(height, width, channels)`. From 64 pixels on, the published stem divides height and width by 8
            before the first module; below, a 3 x 3 convolution and a pooling divide them by 2,
            and normalization across channels is left out. At least 8 pixels.
        classes: Number of logits.
        width: Factor on all channels, rounded.
        depth: Modules of each stage, one to three stages of at most 2, 5 and 2. Between stages, pooling divides
            height and width by 2. The first modules of a stage are kept.
        auxiliary: Whether to add the classifiers in the middle: after the first module of the second stage, and after
            its fourth one if there are so many. They need 5 x 5 pixels there.
        dropout: Share of channels that is set to zero before the logits in training, in [0, 1); 0.7 in the
            classifiers in the middle.
        seed: Seed of the initial weights and of dropout.

    Returns:
        An uncompiled `keras.Model` that outputs logits (batch, classes); with `auxiliary=True` a list, with the logits
        of the classifiers in the middle after those of the end.
    Raises: ValueError: If an argument is out of range or a picture too small.
    Source: Szegedy et al. 2015, arXiv:1409.4842, table 1 and section 5, but the constants of normalization are
    AlexNet's.
    """
    shape, classes = check_picture(input_shape, GOOGLENET_SMALL_FROM), whole("classes", classes)
    if not (isinstance(depth, (tuple, list)) and 1 <= len(depth) <= 3):
        raise ValueError(f"depth: expected one to three numbers of modules, got {depth!r}")
    if any(whole("depth", modules) > most for modules, most in zip(depth, (2, 5, 2), strict=False)):
        raise ValueError(f"depth: expected at most 2, 5 and 2 modules, got {depth!r}")
    if auxiliary and len(depth) < 2:
        raise ValueError(f"auxiliary: expected a second stage in depth, got {depth!r}")
    share("dropout", dropout, high=False)
    seeds = layer_seeds(seed)

    def pool(x):
        return keras.layers.MaxPooling2D(3, 2, padding="same")(x)

    inputs = x = keras.Input(shape)
    if min(shape[:2]) >= GOOGLENET_FROM:
        x = LocalResponseNormalization()(pool(inception_convolution(x, scaled(64, width), 7, seeds, strides=2)))
        x = inception_convolution(x, scaled(64, width), 1, seeds)  # (batch, 56, 56, 64)
        x = pool(
            LocalResponseNormalization()(inception_convolution(x, scaled(192, width), 3, seeds))
        )  # (batch, 28, 28, 192)
    else:
        x = pool(inception_convolution(x, scaled(192, width), 3, seeds))
    heads = []
    for stage, modules in enumerate(depth):
        x = pool(x) if stage else x
        for number, filters in enumerate(published_modules(stage)[:modules]):
            x = inception_module(x, [scaled(channels, width) for channels in filters], next(seeds))
            if auxiliary and stage == 1 and number in (0, 3):
                heads.append(_classifier(x, classes, width, seeds))
    x = keras.layers.GlobalAveragePooling2D()(x)  # (batch, 1024)
    x = keras.layers.Dropout(dropout, seed=next(seeds))(x)
    start = keras.initializers.GlorotUniform(next(seeds))
    logits = keras.layers.Dense(classes, kernel_initializer=start)(x)
    return keras.Model(inputs, [logits, *heads] if auxiliary else logits)


def _classifier(x, classes, width, seeds):
    """Logits from the middle of the network, for training only (section 5)."""
    if min(x.shape[1:3]) < 5:
        raise ValueError(
            f"input_shape: expected at least 5 x 5 pixels in the second stage for auxiliary=True, got "
            f"{x.shape[1]} x {x.shape[2]}"
        )
    x = inception_convolution(
        keras.layers.AveragePooling2D(5, 3)(x), scaled(128, width), 1, seeds
    )  # (batch, 4, 4, 128)
    start = keras.initializers.HeUniform(next(seeds))
    x = keras.layers.Dense(scaled(1024, width), "relu", kernel_initializer=start)(keras.layers.Flatten()(x))
    x = keras.layers.Dropout(0.7, seed=next(seeds))(x)
    return keras.layers.Dense(classes, kernel_initializer=keras.initializers.GlorotUniform(next(seeds)))(x)


def example():
    """Branches joined by tf.concat as the course calls it, in a module, and in the network."""
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 28, 28, 1)), tf.float32)
    branches = [keras.layers.Conv2D(4, size, padding="same", activation="relu")(x) for size in (1, 3, 5)]
    branches.append(keras.layers.MaxPooling2D(3, strides=1, padding="same")(x))
    print("tf.concat([...], axis=3):", tf.concat(branches, axis=3).shape)
    print("inception_module:        ", inception_module(x, (4, 2, 4, 2, 4, 1)).shape)
    small = build_googlenet((28, 28, 1), classes=10, width=0.25, depth=(1, 1))
    print(f"a small network: {small.count_params():,} weights, logits {small(x).shape}")
    main, *middle = build_googlenet((96, 96, 3), classes=10, width=0.1, auxiliary=True).outputs
    print("with classifiers in the middle:", main.shape, "and", [logits.shape for logits in middle])


def lesson(
    report,
    *,
    image_size: int = 224,
    images: int = 10000,
    test_images: int = 10000,
    epochs: int = 3,
    seeds: int = 2,
    depth: tuple[int, ...] = (1, 1),
    width: float = 0.25,
    learning_rate: float = 0.003,
    batch_size: int = 32,
    seed: int = 0,
):
    """Count the published network and what the 1 x 1 convolutions save, then train its small sibling.

    Args:
        report: The report to write to.
        image_size: Height and width of the pictures that the full-size network sees (65 to 512).
        images: Training pictures of the small sibling (32 to 60000).
        test_images: Test pictures (1 to 10000).
        epochs: Training epochs (1 to 1000).
        seeds: Networks to train (1 to 100).
        depth: Modules of each stage of the small sibling (1 to 5).
        width: Factor on the channels of the small sibling (0.02 to 1).
        learning_rate: First learning rate of Adam, which falls to zero along a cosine (0.000001 to 1).
        batch_size: Pictures in a batch (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng((seed, 1))
    _published(report, image_size, rng, seed)

    parts = zip(data.mnist(), (images, test_images), strict=True)
    train, test = (random_pictures(*part, count, rng) for part, count in parts)
    accuracies, curves = [], []
    for number in range(seeds):
        model = build_googlenet((28, 28, 1), 10, width, tuple(depth), dropout=0.0, seed=(seed, 2, number))
        falling = keras.optimizers.schedules.CosineDecay(learning_rate, -(-images // batch_size) * epochs)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(falling), loss, metrics=["accuracy"])
        form = "step" if epochs * images < 100 * batch_size else "auto"  # a step alone compiles sooner
        settings = {"epochs": epochs, "batch_size": batch_size, "form": form, "track": report.track}
        history = training.fit(model, *train, seed=seed + number, **settings)
        curves.append(history.history["accuracy"])
        accuracies.append(training.evaluate(model, *test)["accuracy"])
    _results(report, model, images, curves, accuracies)
    report.figure(
        "Digits read by small siblings, epoch by epoch",
        _figure(curves, accuracies),
        alt="Training accuracy of each small sibling by epoch, and its test accuracy at the end beside that of a "
        "published dense network with one hidden layer, near which it ends.",
    )


def _results(report, model, images, curves, accuracies):
    report.table(
        f"small sibling on MNIST, {images:,} digits, {len(curves)} networks",
        ["parameters", "multiply-adds", "training accuracy", "test accuracy", "standard error"],
        [[model.count_params(), multiply_adds(model), np.mean(curves, axis=0)[-1], *plots.mean_and_error(accuracies)]],
    )
    learnt = "small sibling: test accuracy of every network above a dense network's with one hidden layer"
    report.at_least(learnt, accuracies, TWO_LAYERS, trained=True)
    report.note(
        """The small sibling has the modules 3a and 4a and a quarter of the channels by default, a 3 x 3
        convolution with pooling and without normalization as its stem, and no dropout, since it sees each picture a few
        times only."""
    )


def _published(report, image_size, rng, seed):
    model = build_googlenet((image_size, image_size, 3), auxiliary=True, seed=seed)
    places = ((-(-image_size // 16) - 5) // 3 + 1) ** 2  # of the pooled answers in a head, 4 x 4 at 224 pixels
    heads = (512 + 528) * 128 + 2 * (128 + 128 * places * 1024 + 1024 + 1024 * 1000 + 1000)
    report.check("parameters: 6,998,552 and the two heads'", got=model.count_params(), want=6_998_552 + heads)
    pixels = rng.standard_normal((1, image_size, image_size, 3), np.float32)
    shapes = [tuple(logits.shape) for logits in model(pixels)]
    report.check("one forward pass: three sets of 1000 logits", got=shapes, want=[(1, 1000)] * 3)
    ratios = [count / 6_998_552 for count in ALEXNET]
    times = "AlexNet has so many times the parameters: 8.9 with one tower, 8.7 with two groups"
    report.check(times, got=ratios, want=[8.9, 8.7], atol=0.05)
    report.note(
        f"""The paper (section 1) says "12 times fewer parameters" than AlexNet; counted, they are {ratios[1]:.1f} times
        fewer than in AlexNet with two groups and {ratios[0]:.1f} times fewer than in one tower."""
    )


def _figure(curves, accuracies):
    epochs = np.arange(1, np.shape(curves)[1] + 1)
    series = {f"training, network {number + 1}": values for number, values in enumerate(curves)}
    labels = {"xlabel": "epoch", "ylabel": "accuracy", "title": "Small siblings on MNIST"}
    figure = plots.curves(epochs, series, marker="o", **labels)
    (ax,) = figure.axes
    ax.plot(np.full(len(accuracies), epochs[-1]), accuracies, "D", color="C3", label="test")
    ax.axhline(TWO_LAYERS, color="gray", linestyle=":", label="dense network, one hidden layer")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    return figure

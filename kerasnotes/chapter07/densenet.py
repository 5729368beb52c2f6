"""DenseNet: every layer reads what all earlier layers of its block have written.

The published network of 121 layers is built from dense blocks, counted and compared number by number with the
library's. A small sibling learns pictures of clothing; then the weights show whether later layers do read what much
earlier ones wrote, and what is lost when they may not.

Notes: chapter 07, "DenseNet" (DenseNet 网络).
Source: Huang et al. 2017, arXiv:1608.06993, section 3, table 1 and figure 5; https://keras.io/api/applications/densenet/
Benchmark from Xiao et al. 2017, arXiv:1708.07747.
"""

import math

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.chapter07.alexnet import multiply_adds, random_pictures
from kerasnotes.chapter07.dense_block import (
    dense_block,
    normalize_and_bend,
    transition,
    unbiased_convolution,
)
from kerasnotes.chapter07.lenet import check_picture, scaled
from kerasnotes.parts import layer_seeds, whole

SMOKE = {"image_size": 64, "published_depth": (1, 1, 1, 1), "images": 64, "test_images": 64, "epochs": 1, "seeds": 1,
         "depth": (2,), "growth_rate": 4}  # fmt: skip
FULL = {"images": 60000, "epochs": 5, "seeds": 5}
SECONDS = 34

DEPTH = (6, 12, 24, 16)  # layers of the four blocks of DenseNet-121
DENSENET_FROM = 64
LINEAR = 0.842  # test accuracy of the best linear model that Xiao et al. 2017 list, from 60,000 pictures


def build_densenet121(
    input_shape=(224, 224, 3), classes=1000, width=1.0, depth=DEPTH, growth_rate=32, reduction=0.5, seed=0
):
    """Build DenseNet-121 (DenseNet-BC), or a sibling with fewer blocks, layers and channels.

    Args:
        input_shape: `(height, width, channels)`. From 64 pixels on, the published stem (7 x 7 convolution with stride
            2, pooling) divides height and width by 4; below, a 3 x 3 convolution with stride 2 divides them by 2.
        classes: Number of logits.
        width: Factor on the growth rate, rounded. The stem has twice as many channels.
        depth: Layers of each dense block; height and width are halved between blocks.
        growth_rate: New channels of every layer at width 1.
        reduction: Share of the channels that a transition keeps.
        seed: Seed of the initial weights.

    Returns:
        An uncompiled `keras.Model` that outputs logits (batch, classes). The 1 x 1 convolution of layer l in block b,
        both counted from 1, is called "block{b}_{l}".
    Raises: ValueError: If an argument is out of range or a picture too small.
    Source: Huang et al. 2017, arXiv:1608.06993, table 1.
    """
    if not (isinstance(depth, (tuple, list)) and len(depth) >= 1):
        raise ValueError(f"depth: expected the numbers of layers of each block, got {depth!r}")
    shape, classes = check_picture(input_shape, 2 ** len(depth)), whole("classes", classes)
    growth_rate = scaled(whole("growth_rate", growth_rate), width)
    seeds = layer_seeds(seed)
    inputs = x = keras.Input(shape)
    if min(shape[:2]) >= DENSENET_FROM:
        x = keras.layers.ZeroPadding2D(3)(x)  # padding on both sides, as in the paper's code and in Keras
        x = normalize_and_bend(
            unbiased_convolution(x, 2 * growth_rate, 7, seeds, strides=2, padding="valid")
        )  # (batch, 112, 112, 64)
        x = keras.layers.MaxPooling2D(3, 2)(keras.layers.ZeroPadding2D(1)(x))  # (batch, 56, 56, 64)
    else:
        x = unbiased_convolution(
            x, 2 * growth_rate, 3, seeds, strides=2
        )  # (batch, 14, 14, 2 * growth_rate) for 28 pixels
    for block, layers in enumerate(depth):
        x = transition(x, reduction, next(seeds)) if block else x
        x = dense_block(x, layers, growth_rate, next(seeds), name=f"block{block + 1}")
    x = keras.layers.GlobalAveragePooling2D()(normalize_and_bend(x))  # (batch, 1024)
    start = keras.initializers.GlorotUniform(next(seeds))
    return keras.Model(inputs, keras.layers.Dense(classes, kernel_initializer=start)(x))


def feature_reuse(model, block):
    """How much each layer of a dense block reads from the block's input and from each earlier layer.

    Args:
        model: From `build_densenet121`.
        block: Number of the block, from 1; it needs two layers.

    Returns:
        Array (layers, layers): mean absolute weight of the 1 x 1 convolution of layer l (column l - 1) on the channels
        of source s (row s; 0 is the block's input, s the s-th layer). NaN where the source comes later.
    Raises: ValueError: If the model has no such block with two layers.
    Source: Huang et al. 2017, arXiv:1608.06993, figure 5.
    """
    kernels = _reading_kernels(model, block)
    result = np.full((len(kernels), len(kernels)), np.nan)
    for layer, kernel in enumerate(kernels):
        for source, channels in enumerate(_sources(kernels, layer)):
            result[source, layer] = np.abs(kernel.numpy()[0, 0, channels]).mean()
    return result


def _reading_kernels(model, block):
    names = [layer.name for layer in model.layers if layer.name.startswith(f"block{block}_")]
    if len(names) < 2:
        raise ValueError(f"block: expected the number of a dense block with two layers or more, got {block!r}")
    return [model.get_layer(f"block{block}_{layer + 1}").kernel for layer in range(len(names))]


def _sources(kernels, layer):
    """Channels of the block's input and of every layer before `layer`, as slices."""
    ends = [kernel.shape[2] for kernel in kernels[: layer + 1]]
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def example():
    """A small sibling: its channels by tf.concat's rule, and who reads whom before training."""
    small = build_densenet121((28, 28, 1), classes=10, depth=(3, 3), growth_rate=8)
    print(f"{small.count_params():,} weights, logits {small(np.zeros((2, 28, 28, 1))).shape}")
    for layer in range(3):
        channels = small.get_layer(f"block1_{layer + 1}").kernel.shape[2]
        print(f"layer {layer + 1} of block 1 reads {channels} channels: 16 + {layer} * 8")
    print("mean absolute weight on each source (rows: input, layer 1, layer 2) of each layer (columns):")
    print(feature_reuse(small, block=1).round(3))


def lesson(
    report,
    *,
    image_size: int = 224,
    published_depth: tuple[int, ...] = (6, 12, 24, 16),
    images: int = 8000,
    test_images: int = 10000,
    epochs: int = 3,
    seeds: int = 1,
    depth: tuple[int, ...] = (4, 4, 4),
    growth_rate: int = 8,
    learning_rate: float = 0.01,
    batch_size: int = 32,
    seed: int = 0,
):
    """Compare the published network with the library's, then train its small sibling and cut its connections.

    Args:
        report: The report to write to.
        image_size: Height and width of the pictures that the full-size network sees (64 to 512).
        published_depth: Layers of each block of the full-size network, four blocks (1 to 48).
        images: Training pictures of the small sibling (32 to 60000).
        test_images: Test pictures (1 to 10000).
        epochs: Training epochs (1 to 1000).
        seeds: Networks to train (1 to 100).
        depth: Layers of each block of the small sibling, one to three blocks (2 to 32).
        growth_rate: Growth rate of the small sibling (1 to 64).
        learning_rate: First learning rate of Adam, which falls to zero along a cosine (0.000001 to 1).
        batch_size: Pictures in a batch (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng((seed, 1))
    _published(report, image_size, tuple(published_depth), rng, seed)

    parts = zip(data.fashion_mnist(), (images, test_images), strict=True)
    train, test = (random_pictures(*part, count, rng) for part, count in parts)
    rows, reuse = [], []
    for number in range(seeds):
        model = build_densenet121((28, 28, 1), 10, depth=depth, growth_rate=growth_rate, seed=(seed, 2, number))
        falling = keras.optimizers.schedules.CosineDecay(learning_rate, -(-images // batch_size) * epochs)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(falling), loss, metrics=["accuracy"])
        form = "step" if epochs * images < 100 * batch_size else "auto"  # a step alone compiles sooner
        settings = {"epochs": epochs, "batch_size": batch_size, "form": form, "track": report.track}
        training.fit(model, *train, seed=seed + number, **settings)
        whole = training.evaluate(model, *test)["accuracy"]
        reuse.append([feature_reuse(model, block + 1) for block in range(len(depth))])
        _cut(model, len(depth))
        rows.append((whole, training.evaluate(model, *test)["accuracy"]))
    _results(report, model, rows, images, test_images)
    report.figure(
        "Later layers read what early layers wrote",
        _draw(np.mean([blocks[0] for blocks in reuse], axis=0), rows),
        alt="Left: mean absolute weight from every earlier source to every layer of the first dense block; no source "
        "is left unread. Right: accuracy of the networks, whole and with the connections that skip a layer cut.",
    )


def _results(report, model, rows, images, test_images):
    mean, error = plots.mean_and_error(rows)
    report.table(
        f"small sibling on Fashion-MNIST: {images:,} pictures, {model.count_params():,} parameters, "
        f"{multiply_adds(model):,} multiply-adds, {len(rows)} networks",
        ["network", "test accuracy", "standard error"],
        [["whole", mean[0], error[0]], ["each layer reads the layer before it only", mean[1], error[1]]],
    )
    whole, cut = np.transpose(rows)
    report.at_least(
        "small sibling: test accuracy of every network above the best linear model's", whole, LINEAR, trained=True
    )
    chance = 3 * math.sqrt(2 * 0.25 / test_images)  # three standard errors of the difference of two shares, at most
    report.at_least(
        "connections that skip a layer are used: accuracy lost without them", whole - cut, chance, trained=True
    )
    report.note(
        """The connections are cut after training, and nothing is trained again: this shows that the network uses them,
        not how good a network would become that never had them."""
    )
    report.note(
        """The small sibling has three blocks instead of four, growth rate 8 instead of 32, and a 3 x 3 convolution with
        stride 2 as its stem, between the paper's two stems (7 x 7 with stride 2 and pooling for ImageNet, 3 x 3 with
        stride 1 for small pictures). Batch statistics are averaged with momentum 0.9."""
    )


def _cut(model, blocks):
    """Set the weights of every layer on all sources but the newest one to zero."""
    for block in range(1, blocks + 1):
        kernels = _reading_kernels(model, block)
        for layer, kernel in enumerate(kernels):
            kept = np.zeros(kernel.shape, np.float32)
            kept[:, :, _sources(kernels, layer)[-1]] = 1
            kernel.assign(kernel * kept)


def _parameters_by_hand(depth, growth_rate, classes):
    """(all, trainable): four numbers for each normalized channel, two of which are trained; no biases but the last."""
    channels = 2 * growth_rate
    weights, normalized = 49 * 3 * channels, channels
    for block, layers in enumerate(depth):
        if block:
            normalized, weights, channels = normalized + channels, weights + channels * (channels // 2), channels // 2
        for _ in range(layers):
            normalized += channels + 4 * growth_rate
            weights += channels * 4 * growth_rate + 9 * 4 * growth_rate * growth_rate
            channels += growth_rate
    normalized, weights = normalized + channels, weights + (channels + 1) * classes
    return weights + 4 * normalized, weights + 2 * normalized


def _published(report, image_size, depth, rng, seed):
    by_hand = _parameters_by_hand(DEPTH, 32, 1000)[0]
    report.check("parameters of DenseNet-121, added up by hand", got=by_hand, want=8_062_504)
    model = build_densenet121((image_size, image_size, 3), depth=depth, seed=seed)
    want = _parameters_by_hand(depth, 32, 1000)
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    report.check("parameters of the full-size network, all and trainable", (model.count_params(), trainable), want)
    picture = rng.standard_normal((1, image_size, image_size, 3), np.float32)
    logits = model(picture)
    report.check("one forward pass: 1000 logits", got=logits.shape, want=(1, 1000))
    report.table(
        f"full-size network, blocks of {', '.join(map(str, depth))} layers, {image_size} x {image_size} pixels",
        ["parameters", "multiply-adds"], [[model.count_params(), multiply_adds(model)]])  # fmt: skip
    if depth == DEPTH:
        library = keras.applications.DenseNet121(
            weights=None, input_shape=(image_size, image_size, 3), classifier_activation=None
        )
        report.check(
            "as many as in keras.applications.DenseNet121", got=model.count_params(), want=library.count_params()
        )
        for ours, theirs in zip(model.weights, library.weights, strict=True):
            if ours.path.endswith("moving_variance"):  # other statistics than 0 and 1, so that they matter
                ours.assign(rng.uniform(0.5, 1.5, ours.shape))
            theirs.assign(ours)
        report.check(
            "with the same weights, the same 1000 logits", model(picture), library(picture), rtol=1e-3, atol=1e-4
        )


def _draw(reuse, rows):
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.2), width_ratios=(1.2, 1))
    plots.heatmap(
        reuse, xlabel="layer that reads", ylabel="source that is read", label="mean absolute weight", ax=left, vmin=0
    )
    left.set_xticks(range(len(reuse)), range(1, len(reuse) + 1))
    left.set_yticks(range(len(reuse)), ["input", *(f"layer {source}" for source in range(1, len(reuse)))])
    left.set_title("First block: every source is read")
    mean, error = plots.mean_and_error(rows)
    names = ["whole", "newest source only"]
    plots.bars(
        names, mean, errors=error, ylabel="test accuracy", bound=LINEAR, bound_label="best linear model", ax=right
    )
    right.set(ylim=(0, 1), title="Cut connections cost accuracy")
    return figure

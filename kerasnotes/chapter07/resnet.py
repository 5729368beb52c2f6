"""Without shortcuts a deeper network trains worse, though it could copy the shallow one; with them it does not.

A shortcut adds a block's input to what the block's layers make of it; a plain network has the same layers and no
shortcuts. What the reader should see: one block builds ResNet-18, 34 and 50, and ResNet-50 gives the outputs of Keras's
own. A deep plain network can compute what its shallow sibling does, as a construction shows, but training does not find
it: it ends with a higher training loss, the residual one does not.

Notes: chapter 07, "Deep residual networks" (深度残差网络).
Source: He et al. 2016, arXiv:1512.03385, tables 1 and 6, section 4.2 and figure 6; He et al. 2016, arXiv:1603.05027.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter07.lenet import check_picture, scaled
from kerasnotes.chapter07.residual_block import (
    batch_norm,
    he_convolution,
    plain_branch,
    preactivation_block,  # noqa: F401
    residual_block,
)
from kerasnotes.parts import whole

SMOKE = {"blocks": 2, "epochs": 1, "images": 128, "largest_count": 3, "pool": 4}
FULL = {"blocks": 9, "epochs": 10, "images": 60000, "seeds": 3, "pool": 1, "largest_count": 18}
SECONDS = 68

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}  # blocks in each stage; table 1 of the paper
PAPER_MILLIONS = {3: 0.27, 5: 0.46, 7: 0.66, 9: 0.85, 18: 1.7}  # parameters of 6n + 2 layers, by n; table 6


def build_resnet(depth=50, input_shape=(224, 224, 3), classes=1000, width=1.0, seed=0):
    """Build ResNet-18, 34 or 50: a 7×7 convolution, max pooling, four stages of residual blocks, one dense layer.

    Args:
        depth: Layers with weights on the longest path: 18, 34 or 50. A block has two of them, in ResNet-50 three, and
            two stand outside the blocks.
        input_shape: (height, width, channels) of the images.
        classes: Number of logits.
        width: Factor on all numbers of channels.
        seed: Seed of the initial weights (He's normal start).

    Returns: An uncompiled `keras.Model` from images (batch, height, width, channels) to logits (batch, classes).
    Raises: ValueError: If an argument is out of range.
    Source: He et al. 2016, arXiv:1512.03385, table 1, with projections as in option B: a 1×1 convolution in the
    shortcut where a block changes the shape.
    """
    if depth not in BLOCKS:
        raise ValueError(f"depth: expected one of {', '.join(map(str, BLOCKS))}, got {depth!r}")
    input_shape, filters = check_picture(input_shape, 1), scaled(64, width)
    rng = np.random.default_rng(seed)
    inputs = keras.Input(input_shape)
    x = keras.layers.ZeroPadding2D(3)(inputs)
    x = keras.layers.ReLU()(batch_norm(he_convolution(x, filters, 7, 2, rng, padding="valid")))
    x = keras.layers.MaxPooling2D(3, strides=2)(keras.layers.ZeroPadding2D(1)(x))  # a quarter of height and width
    for stage, blocks in enumerate(BLOCKS[depth]):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            # `rng` goes on from block to block: the same number for all would start them alike.
            x = residual_block(x, filters * 2**stage, stride, bottleneck=depth >= 50, seed=rng)
    return keras.Model(inputs, _head(x, classes, rng), name=f"resnet{depth}")


def build_cifar_resnet(n, residual=True, input_shape=(28, 28, 1), classes=10, width=1.0, projection=False, seed=0):
    """Build the thin network with 6n + 2 layers: three stages of n blocks, with 16, 32 and 64 filters.

    Args:
        n: Blocks of two 3×3 convolutions in each stage; a first convolution and a dense layer make 6n + 2.
        residual: Whether blocks have shortcuts. Without them the network is "plain", layer after layer.
        input_shape: (height, width, channels) of the images.
        classes: Number of logits.
        width: Factor on all numbers of channels.
        projection: Shortcuts as in `residual_block`; the default has no weights in them (option A), so that the
            plain network has the same parameters.
        seed: Seed of the initial weights (He's normal start). With `projection=False` they do not depend on `residual`.

    Returns: An uncompiled `keras.Model` from images (batch, height, width, channels) to logits (batch, classes).
    Raises: ValueError: If an argument is out of range.
    Source: He et al. 2016, arXiv:1512.03385, section 4.2.
    """
    n, input_shape, filters = whole("n", n), check_picture(input_shape, 1), scaled(16, width)
    rng = np.random.default_rng(seed)
    inputs = keras.Input(input_shape)
    x = keras.layers.ReLU()(batch_norm(he_convolution(inputs, filters, 3, 1, rng)))
    for stage in range(3):
        for block in range(n):
            stride = 2 if stage and not block else 1  # each later stage begins by halving height and width
            if residual:
                x = residual_block(x, filters * 2**stage, stride, projection, seed=rng)
            else:
                x = keras.layers.ReLU()(plain_branch(x, filters * 2**stage, stride, rng))
    return keras.Model(inputs, _head(x, classes, rng), name=f"{'residual' if residual else 'plain'}{6 * n + 2}")


def _head(x, classes, rng):
    """The mean over all places, then a dense layer of logits."""
    x = keras.layers.GlobalAveragePooling2D()(x)
    start = keras.initializers.GlorotUniform(seed=int(rng.integers(2**31)))
    return keras.layers.Dense(whole("classes", classes), kernel_initializer=start)(x)


def insert_identities(shallow, deep):
    """Give a deep plain network weights with which it computes the same as a shallow one, when not training.

    Every layer that the shallow network does not have becomes the identity: its kernel passes each channel's centre
    on, its normalization changes nothing, and its ReLU sees no negative numbers. The networks come from
    `build_cifar_resnet(n, residual=False)` with equal sizes.

    Args:
        shallow: The network to copy.
        deep: The network whose weights are replaced.
    Raises: ValueError: If a network has shortcuts, or the sizes do not fit.
    Source: He et al. 2016, arXiv:1512.03385, section 1: the "solution by construction".
    """
    kinds = (keras.layers.Conv2D, keras.layers.BatchNormalization)
    few, many = ([layer for layer in model.layers if isinstance(layer, kinds)] for model in (shallow, deep))
    if any(isinstance(layer, keras.layers.Add) for layer in (*shallow.layers, *deep.layers)):
        raise ValueError("shallow, deep: expected plain networks, got one with shortcuts")
    # Layers in a stage; before the three stages stand the first convolution and its normalization.
    old, new = ((len(layers) - 2) // 3 for layers in (few, many))
    if new < old or deep.output_shape != shallow.output_shape or few[-1].output.shape != many[-1].output.shape:
        raise ValueError(f"deep: expected at least the depth of {shallow.name} and its sizes, got {deep.name}")
    for number, layer in enumerate(many):
        stage, place = divmod(number - 2, new)
        if number < 2:
            layer.set_weights(few[number].get_weights())
        elif place < old:  # the shallow network's stage comes first, and what is left of the deep one passes it on
            layer.set_weights(few[2 + stage * old + place].get_weights())
        elif isinstance(layer, keras.layers.Conv2D):
            kernel, bias = (np.zeros_like(array) for array in layer.get_weights())
            kernel[1, 1] = np.eye(len(bias))
            layer.set_weights([kernel, bias])
        else:
            ones, zeros = np.ones_like(layer.gamma), np.zeros_like(layer.gamma)
            # Gamma, beta, moving mean and variance: the layer adds epsilon to the variance, which makes it 1.
            layer.set_weights([ones, zeros, zeros, ones - layer.epsilon])
    deep.layers[-1].set_weights(shallow.layers[-1].get_weights())


def example():
    """A thin residual network and its plain twin: as many weights, and Keras's optimizer with momentum."""
    x = np.random.default_rng(0).normal(size=(8, 28, 28, 1)).astype(np.float32)
    for residual in (True, False):
        model = build_cifar_resnet(1, residual, input_shape=(28, 28, 1), classes=10, width=0.5)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(learning_rate=0.1, momentum=0.9), loss)
        print(f"{model.name}: {model.count_params():,} weights, logits {model(x).shape}")
    shallow, deep = (build_cifar_resnet(n, False, width=0.25) for n in (1, 2))
    insert_identities(shallow, deep)
    print("14 plain layers that do what 8 do, largest difference:", float(np.abs(deep(x) - shallow(x)).max()))


def lesson(
    report,
    *,
    blocks: int = 5,
    epochs: int = 5,
    images: int = 16000,
    width: float = 0.25,
    learning_rate: float = 0.1,
    pool: int = 2,
    largest_count: int = 5,
    seeds: int = 1,
    seed: int = 0,
):
    """Compare ResNet-50 with Keras's, count weights, then train deep and shallow networks, plain and residual.

    Args:
        report: The report to write to.
        blocks: Blocks in each stage of the deep networks; the shallow ones have 1 (2 to 18).
        epochs: Training epochs of each network (1 to 200).
        images: Training images (128 to 60000).
        width: Factor on the numbers of channels, 16, 32 and 64 (0.125 to 4).
        learning_rate: Learning rate of gradient descent with momentum 0.9 (0.0001 to 1).
        pool: Side of the squares of pixels that are averaged to one (1 to 7).
        largest_count: Blocks in each stage of the largest thin network whose parameters are counted (3 to 18).
        seeds: Runs of each network (1 to 20).
        seed: First seed of weights and orders (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _against_keras(report, rng, seed)  # before any training: is the builder right?
    _published_counts(report, largest_count)
    # Learn: four networks a seed, which differ in depth and shortcuts only.
    (x, y), (x_test, y_test) = data.fashion_mnist()
    names = {(kind, n): f"{kind}, {6 * n + 2} layers" for kind in ("plain", "residual") for n in (1, blocks)}
    losses, tests = {name: [] for name in names.values()}, {name: [] for name in names.values()}
    jobs = [(number, *key) for number in range(seed, seed + seeds) for key in names]
    for number, kind, n in report.track(jobs, "networks"):
        chosen = np.random.default_rng(number).permutation(len(x))[:images]
        pictures, test = _pooled(x[chosen], pool), _pooled(x_test[:images], pool)
        pictures, test = ((each - pictures.mean()) / pictures.std() for each in (pictures, test))  # the same for both
        model = build_cifar_resnet(n, kind == "residual", pictures.shape[1:], width=width, seed=number)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(learning_rate, momentum=0.9), loss, metrics=["accuracy"])
        model.optimizer.build(model.trainable_variables)
        form = "loop" if epochs * images >= 128 * 100 else "step"  # a loop takes longer to compile, and less to run
        fitted = training.fit(
            model, pictures, y[chosen], batch_size=128, epochs=epochs, seed=number, form=form, track=report.track
        )
        losses[names[kind, n]].append(fitted.history["loss"])  # remember how training went, and what new pictures give
        tests[names[kind, n]].append(100 * np.mean(training.predict(model, test).argmax(axis=1) == y_test[:images]))
        if (number, kind, n) == (seed, "plain", 1):
            _construction(report, model, blocks, width, test[:100])
    # Judge depth by the training loss: a network that only overfitted would have a small one.
    _results(report, names, losses, tests, blocks, f"after {epochs} epochs on {images} pictures; seeds: {seeds}")
    report.note(
        f"Thin networks as in section 4.2, with {width:g} of the channels, Fashion-MNIST at {test.shape[1]} by "
        f"{test.shape[2]} pixels, no augmentation. As in the paper: option A shortcuts, momentum 0.9, batches of 128, "
        "batch normalization. Not as there: one learning rate throughout, no weight decay, biases in convolutions. The "
        "training loss is the epoch's running mean. The 1202 layers are quoted, not trained here."
    )
    _figure(report, names, losses)


def _against_keras(report, rng, seed):
    theirs = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classifier_activation=None)
    ours = build_resnet(50, (32, 32, 3), seed=seed)
    report.check("parameters of ResNet-50", ours.count_params(), 25_636_712)
    report.check("parameters of keras.applications.ResNet50", theirs.count_params(), 25_636_712)
    for variable in theirs.weights:
        if len(variable.shape) == 1:  # biases, and all of batch normalization: else zeros and ones would hide mistakes
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    for mine, variable in zip(ours.weights, theirs.weights, strict=True):
        mine.assign(variable)
    pictures = tf.constant(rng.normal(size=(2, 32, 32, 3)), tf.float32)
    got, want = ours(pictures, training=False), theirs(pictures, training=False)
    scale = float(tf.reduce_max(tf.abs(want)))
    report.check("ResNet-50 on Keras's weights: logits over their largest", got / scale, want / scale, atol=1e-5)


def _published_counts(report, largest):
    rows = []
    for n, millions in PAPER_MILLIONS.items():
        if n <= largest:
            model = build_cifar_resnet(n, input_shape=(32, 32, 3))
            biases = sum(layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
            count = sum(int(np.prod(w.shape)) for w in model.trainable_weights) - biases  # the paper has no such biases
            rows.append([6 * n + 2, count, millions])
    report.table(
        "trainable parameters of the thin networks, without biases of convolutions",
        ["layers", "here", "He et al., table 6, millions"],
        rows,
    )
    got = [round(count / 1e6, 2 if millions < 1 else 1) for _, count, millions in rows]
    report.check("millions of parameters, rounded as in table 6", got, [row[2] for row in rows])


def _pooled(pictures, pool):
    """Pictures (samples, height, width) as (samples, rows, columns, 1), from 0 to 1, `pool` pixels a side in each."""
    return np.asarray(tf.nn.avg_pool2d(pictures[..., None] / np.float32(255), pool, pool, "SAME"))


def _construction(report, shallow, blocks, width, x):
    """A trained shallow network, made deep by identities."""
    deep = build_cifar_resnet(blocks, False, x.shape[1:], width=width)
    insert_identities(shallow, deep)
    got, want = deep(x, training=False), shallow(x, training=False)
    report.check("a deep plain network can compute what the shallow one does: logits", got, want, rtol=1e-4, atol=1e-4)


def _results(report, names, losses, tests, blocks, title):
    rows, final = [], {key: np.array([run[-1] for run in losses[name]]) for key, name in names.items()}
    for key, name in names.items():
        rows.append([name, *map(float, (*plots.mean_and_error(final[key]), *plots.mean_and_error(tests[name])))])
    columns = ("network", "training loss", "standard error", "test accuracy, %", "standard error, %")
    report.table(title, columns, rows)
    plain, residual = (final[kind, blocks] - final[kind, 1] for kind in ("plain", "residual"))
    deeper = f"training loss of the last epoch, {6 * blocks + 2} layers minus 8, every seed"
    report.at_least(f"plain: {deeper}", plain, 0.1, trained=True)
    report.at_most(f"residual: {deeper}", residual, 0.0, trained=True)
    report.correction(
        "what depth does to plain and to residual networks",
        course="Nonlinear layers cannot express the identity; with shortcuts there is no degradation any more.",
        correct="They can express it, but training does not find it; residual networks of extreme depth train well and "
        "still lose on new images.",
        shown_by=f"a plain network of {6 * blocks + 2} layers built from one of 8 gives the same logits, a trained one "
        f"differs by {plain.mean():+.2f} in training loss; He et al. (section 4.2) report a test error of 7.93 % with "
        "1202 layers against 6.43 % with 110 on CIFAR-10",
    )


def _figure(report, names, losses):
    epochs = np.shape(next(iter(losses.values())))[1]
    figure, axes = plots.subplots(1, 2, figsize=(10, 4.4), sharey=True)
    for ax, kind in zip(axes, ("plain", "residual"), strict=True):
        series = {name.split(", ")[1]: losses[name] for key, name in names.items() if key[0] == kind}
        title = "Plain: deeper is worse" if kind == "plain" else "Residual: deeper is no worse"
        labels = {"xlabel": "epoch", "ylabel": "training loss, nats", "title": title}
        plots.curves(np.arange(1, epochs + 1), series, yscale="log", marker="o", ax=ax, **labels)
        ax.label_outer()
        ax.xaxis.get_major_locator().set_params(integer=True)
    low, high = (limit(np.concatenate(list(losses.values()))) for limit in (np.min, np.max))
    ticks = [tick for tick in (0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0) if low / 1.1 <= tick <= high * 1.1]
    axes[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[0].minorticks_off()
    alt = "Training loss by epoch. Plain: the deep network stays far above the shallow one. Residual: it ends below."
    report.figure("Depth makes plain networks worse and residual ones not", figure, alt=alt)

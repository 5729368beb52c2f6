"""A network of rectifiers can learn in fewer epochs than one of tanh, also where no gradient fades yet.

A ReLU has slope 1 for half of its inputs; a tanh has it only near zero. What the reader should see: in a convolutional
network of four layers, each at its best learning rate, ReLU reaches the same training error in fewer epochs than tanh.
Whether, and how many fewer, depends on start and task: the notes at the end say what was tried.

Notes: chapter 04, "Vanishing gradients and rectified linear units" (梯度消失与ReLU).
Source: Krizhevsky, Sutskever, Hinton 2012,
https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html, section 3.1 and figure 1.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.parts import positive, shape, share, whole

SMOKE = {"images": 128, "max_epochs": 1, "seeds": 1}
FULL = {"seeds": 5}
SECONDS = 49

LEARNING_RATES = (0.04, 0.02)
STARTS = {"sigmoid": "GlorotUniform", "tanh": "GlorotUniform", "relu": "HeNormal"}
WORTH_COMPILING = 400  # steps: XLA takes seconds to compile, which fewer steps do not earn back


def build_four_layer_cnn(activation, seed=0, input_shape=(28, 28, 1), classes=10):
    """Build three convolutions with stride 2 and one dense layer of logits.

    The weights start as is usual for the activation: He's normal start for ReLU, Glorot's uniform one otherwise.
    """
    if activation not in STARTS:
        raise ValueError(f"activation: expected one of {', '.join(STARTS)}, got {activation!r}")
    start = getattr(keras.initializers, STARTS[activation])
    seeds = np.random.default_rng(seed).integers(2**31, size=4).tolist()
    layers = [
        keras.layers.Conv2D(
            filters, 3, strides=2, padding="same", activation=activation, kernel_initializer=start(seed=layer_seed)
        )
        for filters, layer_seed in zip((16, 32, 32), seeds, strict=False)
    ]
    logits = keras.layers.Dense(classes, kernel_initializer=keras.initializers.GlorotUniform(seed=seeds[3]))
    return keras.Sequential([keras.Input(input_shape), *layers, keras.layers.Flatten(), logits])


def epochs_to_error(
    activation,
    target_error,
    seed,
    x=None,
    y=None,
    *,
    learning_rates=LEARNING_RATES,
    batch_size=64,
    max_epochs=25,
    history=False,
):
    """Count the epochs that the four-layer network needs to a given training error, at its best learning rate.

    Gradient descent with momentum 0.9. Each learning rate starts from the same weights and sees the same batches. The
    training error is measured after every epoch on all training images, in evaluation mode.

    Args:
        activation: "relu", "tanh" or "sigmoid".
        target_error: Share of misclassified training images, in [0, 1).
        seed: Seed of the weights and of the order of the images.
        x: Images (n, height, width, channels), or None for `gratings(2000, seed)`.
        y: Labels (n,), integers from 0.
        learning_rates: The grid of learning rates. One that has fallen behind the best so far is given up.
        batch_size: Images for each update; the incomplete last batch of an epoch is left out.
        max_epochs: When to give up on a learning rate.
        history: Whether to return the errors, too.

    Returns:
        The number of epochs, infinity if no learning rate gets there; with `history=True`
        `(epochs, {learning rate: array of training errors by epoch})`. A run ends at the target.
    """
    share("target_error", target_error, high=False)
    batch_size, max_epochs = whole("batch_size", batch_size), whole("max_epochs", max_epochs)
    rates = [positive("learning_rates", rate) for rate in learning_rates]
    if not rates:
        raise ValueError("learning_rates: expected at least one, got none")
    if (x is None) != (y is None):
        raise ValueError(f"y: expected labels if and only if there are images, got {'labels' if x is None else None}")
    x, y = gratings(2000, seed) if x is None else (np.asarray(x, "float32"), np.asarray(y))
    shape("x", x, None, None, None, None)
    if y.shape != x.shape[:1] or len(x) < batch_size:
        raise ValueError(f"x: expected at least {batch_size} images with a label each, got {x.shape} and {y.shape}")
    model = build_four_layer_cnn(activation, seed, x.shape[1:], int(y.max()) + 1)
    start = model.get_weights()
    images, labels = tf.constant(x), tf.constant(y, tf.int32)
    weights = [variable.value for variable in model.trainable_variables]
    velocities = [tf.Variable(tf.zeros_like(w)) for w in weights]

    compiled = max_epochs * (len(x) // batch_size) >= WORTH_COMPILING

    @tf.function(jit_compile=compiled)
    def step(rows, learning_rate):
        # Forwards, with the loss of one batch.
        with tf.GradientTape() as tape:
            logits = model(tf.gather(images, rows), training=True)
            targets = tf.gather(labels, rows)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits))
        # Backwards, and a step with momentum.
        for w, velocity, gradient in zip(weights, velocities, tape.gradient(loss, weights), strict=True):
            velocity.assign(0.9 * velocity - learning_rate * gradient)
            w.assign_add(velocity)

    @tf.function(jit_compile=compiled)
    def mistakes(x, y):
        predicted = tf.argmax(model(x, training=False), axis=-1, output_type=tf.int32)
        return tf.math.count_nonzero(predicted != y)

    errors, epochs = {}, math.inf
    for learning_rate in rates:
        # Every learning rate starts from the same weights, at rest, with the same order of images.
        model.set_weights(start)
        for velocity in velocities:
            velocity.assign(tf.zeros_like(velocity))
        rng, run = np.random.default_rng(seed), []
        while len(run) < min(max_epochs, epochs) and (not run or run[-1] > target_error):
            # One epoch, then the error on all training images.
            order = tf.constant(rng.permutation(len(x)), tf.int32)
            for first in range(0, len(x) - batch_size + 1, batch_size):
                step(order[first : first + batch_size], tf.constant(learning_rate, tf.float32))
            wrong = sum(int(mistakes(images[i : i + 1000], labels[i : i + 1000])) for i in range(0, len(x), 1000))
            run.append(wrong / len(x))
        errors[learning_rate] = np.array(run)
        epochs = min(epochs, len(run) if run[-1] <= target_error else math.inf)
    return (epochs, errors) if history else epochs


def gratings(count, seed=0, size=28):
    """Draw noisy stripes in ten directions: images (count, size, size, 1) float32 and their labels (count,)."""
    count, size = whole("count", count), whole("size", size)
    rng = np.random.default_rng(seed)
    labels = rng.integers(10, size=count)
    angle, phase = (a[:, None, None] for a in (labels * np.pi / 10, rng.uniform(0, 2 * np.pi, count)))
    row, column = np.mgrid[:size, :size]
    stripes = np.sin(0.8 * (row * np.sin(angle) + column * np.cos(angle)) + phase)  # (count, size, size)
    return (stripes + rng.standard_normal(stripes.shape))[..., None].astype("float32"), labels


def example():
    """Striped pictures, three epochs of the small network: by Keras's fit, and by the function that counts epochs."""
    x, y = gratings(256, size=12)
    for activation in ("relu", "tanh"):
        model = build_four_layer_cnn(activation, input_shape=x.shape[1:])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.02, momentum=0.9), loss, metrics=["accuracy"])
        accuracies = model.fit(x, y, batch_size=32, epochs=3, shuffle=False, verbose=0).history["accuracy"]
        print(activation, "Keras, errors while training:  ", np.subtract(1, accuracies).round(3))
        settings = {"learning_rates": (0.02,), "batch_size": 32, "max_epochs": 3, "history": True}
        _, errors = epochs_to_error(activation, 0.0, 0, x, y, **settings)
        print(activation, "ours, errors after each epoch: ", errors[0.02].round(3))


def lesson(
    report,
    *,
    images: int = 4000,
    target_error: float = 0.03,
    max_epochs: int = 25,
    seeds: int = 3,
    seed: int = 0,
):
    """Count the epochs that ReLU and tanh need on pictures of clothing.

    Args:
        report: The report to write to.
        images: Training images (64 to 60000).
        target_error: Training error at which a run ends (0 to 0.9).
        max_epochs: Epochs after which a run gives up (1 to 1000).
        seeds: Networks of each kind (1 to 100).
        seed: First seed of weights and orders (0 to 4294967295).
    """
    kernels = [build_four_layer_cnn(name, seed).get_weights()[4] for name in ("relu", "tanh")]  # each (3, 3, 32, 32)
    spreads, inputs = [kernel.std() for kernel in kernels], 3 * 3 * 32
    report.check("spread of the third layer's first weights: He's for ReLU, Glorot's for tanh", spreads,
                 [math.sqrt(2 / inputs), math.sqrt(2 / (inputs + inputs))], rtol=0.05)  # fmt: skip

    (x, y), _ = data.fashion_mnist()
    rows, epochs, runs = [], {"relu": [], "tanh": []}, {"relu": [], "tanh": []}
    networks = [(number, activation) for number in range(seed, seed + seeds) for activation in epochs]
    for number, activation in report.track(networks, "convolutional networks"):
        chosen = np.random.default_rng(number).permutation(len(x))[:images]
        pictures = x[chosen, ..., None].astype("float32") / 255
        pictures = (pictures - pictures.mean()) / pictures.std()
        arguments = (activation, target_error, number, pictures, y[chosen])
        needed, errors = epochs_to_error(*arguments, max_epochs=max_epochs, history=True)
        epochs[activation].append(needed)
        runs[activation].append(errors)
        rows += [(activation, number, rate, len(run), float(100 * run[-1])) for rate, run in errors.items()]
    _tables(report, rows, epochs, runs, target_error, seeds)
    report.figure(
        "training error by epoch",
        _figure(runs, target_error),
        alt="Both errors fall; ReLU reaches the dotted target before tanh.",
    )
    rates = ", ".join(map(str, LEARNING_RATES))
    report.note(
        "Krizhevsky et al. reach 25 % on CIFAR-10 six times faster with ReLU. Here the task is easier and the gain far "
        f"smaller: {images} pictures of Fashion-MNIST to {target_error:.0%}, batches of 64 instead of 128, strides "
        f"instead of pooling, learning rates {rates} (0.08 was worse for both). As in the paper, each activation has "
        "its own best rate."
    )
    report.note(
        "The gain depends on the setting, and this one was found by trying about ten: He's start for ReLU and Glorot's "
        "for tanh. With Glorot's start for both, or with larger kernels, the two are about even, and with small random "
        "weights tanh is the faster one."
    )


def _tables(report, rows, epochs, runs, target_error, seeds):
    columns = ("activation", "seed", "learning rate", "epochs", "training error then, %")
    report.table(f"runs to a training error of {target_error:.0%}", columns, rows)
    levels = [level for level in (0.1, 0.05, 0.03) if level >= target_error]
    counts = [(name, *(_mean_epochs(runs[name], level) for level in levels)) for name in runs]
    columns = ("activation", *(f"epochs to {level:.0%}" for level in levels))
    report.table("epochs to other training errors, each at its best learning rate", columns, counts)
    pairs = zip(epochs["tanh"], epochs["relu"], strict=True)
    fewer = np.array([tanh - relu if relu < math.inf else math.nan for tanh, relu in pairs])
    label = f"epochs to a training error of {target_error:.0%}, all seeds together: tanh minus ReLU"
    report.at_least(label, got=fewer.sum(), bound=1, trained=True)
    means = [(name, *map(float, plots.mean_and_error(epochs[name]))) for name in epochs]
    difference = ("tanh minus ReLU", *map(float, plots.mean_and_error(fewer))) if np.isfinite(fewer).all() else ()
    report.table(
        f"epochs to a training error of {target_error:.0%}, {seeds} seeds",
        ("activation", "mean", "standard error"),
        [*means, *([difference] if difference else [])],
    )


def _mean_epochs(runs, level):
    """Epochs to an error, the best learning rate of each run, averaged over the runs; None if one never gets there."""
    counts = [
        min((np.argmax(r <= level) + 1 for r in run.values() if (r <= level).any()), default=None) for run in runs
    ]
    return None if None in counts else float(np.mean(counts))


def _figure(runs, target_error):
    curves = {}
    for activation, name in (("relu", "ReLU"), ("tanh", "tanh")):
        rate, run = min(runs[activation][0].items(), key=lambda item: (item[1][-1] > target_error, len(item[1])))
        curves[f"{name}, learning rate {rate}"] = 100 * run
    positions = {name: np.arange(1, len(run) + 1) for name, run in curves.items()}
    title = "Here the same four layers learn in fewer epochs with ReLU"
    labels = {"xlabel": "epoch", "ylabel": "training error on Fashion-MNIST, %", "title": title}
    figure = plots.curves(positions, curves, yscale="log", marker="o", **labels)
    ax = figure.axes[0]
    ax.axhline(100 * target_error, color="gray", linestyle=":")
    ax.set_yticks([2, 5, 10, 20], ["2", "5", "10", "20"])
    ax.minorticks_off()
    return figure

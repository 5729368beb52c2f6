"""Gradients fade on their way back through sigmoid layers; rectifiers with a fitting start keep them alive.

What the reader should see: a sigmoid's slope is at most a quarter, so that after twenty layers less than a millionth of
the gradient is left, from the smallest start to He's. ReLU layers that start with He's weights pass it on whole. In a
convolutional network of four layers, where fading is no danger yet, ReLU still needs fewer epochs than tanh.

Notes: chapter 04, "Vanishing gradients and rectified linear units" (梯度消失与ReLU).
Source: Krizhevsky, Sutskever, Hinton 2012, ImageNet classification with deep convolutional neural networks, section 3.1
and figure 1; Glorot and Bengio 2010, AISTATS, equation 12; He et al. 2015, arXiv:1502.01852, equation 10.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots

SMOKE = {"images": 128, "max_epochs": 1, "seeds": 1}
FULL = {"seeds": 5}
SECONDS = 50

LEARNING_RATES = (0.04, 0.02)
INITIALIZERS = {"small": lambda n: 0.01, "glorot": lambda n: math.sqrt(1 / n), "he": lambda n: math.sqrt(2 / n)}
ACTIVATIONS = {  # the function, and its slope from its value
    "sigmoid": (lambda z: 0.5 + 0.5 * np.tanh(0.5 * z), lambda h: h * (1 - h)),
    "tanh": (np.tanh, lambda h: 1 - h**2),
    "relu": (lambda z: np.maximum(z, 0), lambda h: (h > 0).astype(float)),
}


def gradient_norms_by_layer(depth, activation, initializer, width=128, seed=0, batch=64):
    """Measure how large the gradient of every weight matrix is at the start of training.

    The network has `depth` dense layers of `width` units without biases; inputs x and targets t are standard normal,
    the loss is ½ Σ (o − t)², averaged over the batch.

    Args:
        depth: Number of layers.
        activation: "sigmoid", "tanh" or "relu", for every layer.
        initializer: Standard deviation of the weights: "small" (0.01), "glorot" (√(1/width)) or "he" (√(2/width)).
        width: Units of every layer.
        seed: Seed of weights, inputs and targets.
        batch: Number of examples.

    Returns:
        Array (depth,): the norm of the gradient of each layer's weights, first layer first.
    """
    for name, value in (("depth", depth), ("width", width), ("batch", batch)):
        _positive_integer(name, value)
    _one_of("activation", activation, ACTIVATIONS)
    _one_of("initializer", initializer, INITIALIZERS)
    weights, x, t = _deep_network(depth, initializer, width, seed, batch)
    function, slope = ACTIVATIONS[activation]
    layers = [x]
    for w in weights:
        layers.append(function(layers[-1] @ w))  # (batch, width)
    delta = (layers[-1] - t) * slope(layers[-1])
    norms = []
    for number in reversed(range(depth)):
        norms.append(np.linalg.norm(layers[number].T @ delta) / batch)
        if number:
            delta = (delta @ weights[number].T) * slope(layers[number])
    return np.array(norms[::-1])


def build_four_layer_cnn(activation, seed=0, input_shape=(28, 28, 1), classes=10):
    """Build three convolutions with stride 2 and one dense layer of logits.

    The weights start as is usual for the activation: He's normal start for ReLU, Glorot's uniform one otherwise.
    """
    _one_of("activation", activation, ACTIVATIONS)
    start = keras.initializers.HeNormal if activation == "relu" else keras.initializers.GlorotUniform
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
    if not 0 <= target_error < 1:
        raise ValueError(f"target_error: expected a number in [0, 1), got {target_error!r}")
    for name, value in (("batch_size", batch_size), ("max_epochs", max_epochs)):
        _positive_integer(name, value)
    if len(learning_rates) == 0 or not all(math.isfinite(rate) and rate > 0 for rate in learning_rates):
        raise ValueError(f"learning_rates: expected positive numbers, got {learning_rates!r}")
    if (x is None) != (y is None):
        raise ValueError(f"y: expected labels if and only if there are images, got {'labels' if x is None else None}")
    x, y = gratings(2000, seed) if x is None else (np.asarray(x, "float32"), np.asarray(y))
    if x.ndim != 4 or len(x) < batch_size or y.shape != x.shape[:1]:
        raise ValueError(
            f"x: expected images (n, height, width, channels) with a label each and n of at least {batch_size}, "
            f"got shapes {x.shape} and {y.shape}"
        )
    model = build_four_layer_cnn(activation, seed, x.shape[1:], int(y.max()) + 1)
    start = model.get_weights()
    images, labels = tf.constant(x), tf.constant(y, tf.int32)
    weights = [variable.value for variable in model.trainable_variables]
    velocities = [tf.Variable(tf.zeros_like(w)) for w in weights]

    @tf.function(jit_compile=True)
    def step(rows, learning_rate):
        with tf.GradientTape() as tape:
            logits = model(tf.gather(images, rows), training=True)
            targets = tf.gather(labels, rows)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits))
        for w, velocity, gradient in zip(weights, velocities, tape.gradient(loss, weights), strict=True):
            velocity.assign(0.9 * velocity - learning_rate * gradient)
            w.assign_add(velocity)

    @tf.function(jit_compile=True)
    def mistakes(x, y):
        predicted = tf.argmax(model(x, training=False), axis=-1, output_type=tf.int32)
        return tf.math.count_nonzero(predicted != y)

    errors, epochs = {}, math.inf
    for learning_rate in learning_rates:
        model.set_weights(start)
        for velocity in velocities:
            velocity.assign(tf.zeros_like(velocity))
        rng, run = np.random.default_rng(seed), []
        while len(run) < min(max_epochs, epochs) and (not run or run[-1] > target_error):
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
    _positive_integer("count", count)
    _positive_integer("size", size)
    rng = np.random.default_rng(seed)
    labels = rng.integers(10, size=count)
    angle, phase = (a[:, None, None] for a in (labels * np.pi / 10, rng.uniform(0, 2 * np.pi, count)))
    row, column = np.mgrid[:size, :size]
    stripes = np.sin(0.8 * (row * np.sin(angle) + column * np.cos(angle)) + phase)  # (count, size, size)
    return (stripes + rng.standard_normal(stripes.shape))[..., None].astype("float32"), labels


def _deep_network(depth, initializer, width, seed, batch):
    rng = np.random.default_rng(seed)
    x, t = rng.standard_normal((2, batch, width))
    return INITIALIZERS[initializer](width) * rng.standard_normal((depth, width, width)), x, t


def _one_of(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


def _positive_integer(name, value):
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name}: expected a positive integer, got {value!r}")


def example():
    """Norms of the weights' gradients in ten layers: by TensorFlow's tape through Dense layers, and by hand."""
    for activation, start in (("sigmoid", "glorot"), ("relu", "he")):
        weights, x, t = _deep_network(10, start, width=128, seed=0, batch=64)
        layers = [keras.layers.Dense(128, activation, use_bias=False) for _ in weights]
        model = keras.Sequential([keras.Input((128,)), *layers])
        model.set_weights(weights)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(x) - t)) / (2 * len(x))
        norms = [float(tf.norm(gradient)) for gradient in tape.gradient(loss, model.trainable_variables)]
        ours = gradient_norms_by_layer(10, activation, start)
        print(
            f"{activation}: first layer {norms[0]:.3g} and {ours[0]:.3g}, last layer {norms[-1]:.3g} and {ours[-1]:.3g}"
        )


def lesson(
    report,
    *,
    layers: int = 20,
    images: int = 4000,
    target_error: float = 0.03,
    max_epochs: int = 25,
    seeds: int = 3,
    seed: int = 0,
):
    """Gradient norms by layer, then ReLU against tanh in a convolutional network on pictures of clothing.

    Args:
        report: The report to write to.
        layers: Layers of the dense network (2 to 200).
        images: Training images of the convolutional network (64 to 60000).
        target_error: Training error at which a run ends (0 to 0.9).
        max_epochs: Epochs after which a run gives up (1 to 1000).
        seeds: Number of convolutional networks of each kind (1 to 100).
        seed: First seed of weights and orders (0 to 4294967295).
    """
    _gradient_norms(report, layers, seed)

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

    curves = {}
    for activation, name in (("relu", "ReLU"), ("tanh", "tanh")):
        rate, run = min(runs[activation][0].items(), key=lambda item: (item[1][-1] > target_error, len(item[1])))
        curves[f"{name}, learning rate {rate}"] = 100 * run
    positions = {name: np.arange(1, len(run) + 1) for name, run in curves.items()}
    title = "The same four layers learn in fewer epochs with ReLU"
    labels = {"xlabel": "epoch", "ylabel": "training error on Fashion-MNIST, %", "title": title}
    figure = plots.curves(positions, curves, yscale="log", marker="o", **labels)
    ax = figure.axes[0]
    ax.axhline(100 * target_error, color="gray", linestyle=":")
    ax.set_yticks([2, 5, 10, 20], ["2", "5", "10", "20"])
    ax.minorticks_off()
    report.figure(
        "training error by epoch", figure, alt="Both errors fall; ReLU reaches the dotted target before tanh."
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


def _gradient_norms(report, layers, seed):
    norms = {
        (start, name): gradient_norms_by_layer(layers, name, start, seed=seed)
        for start in INITIALIZERS
        for name in ACTIVATIONS
    }
    weights, x, t = _deep_network(layers, "glorot", 128, seed, 64)
    tensors = [tf.constant(w) for w in weights]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        h = tf.constant(x)
        for w in tensors:
            h = tf.tanh(h @ w)
        loss = tf.reduce_sum(tf.square(h - t)) / (2 * len(x))
    want = [np.linalg.norm(gradient) for gradient in tape.gradient(loss, tensors)]
    report.check("gradient norms of the tanh network equal the tape's", got=norms["glorot", "tanh"], want=want)
    # He's weights have variance 2 / width and slopes are at most 1/4: (√2 / 4) a layer in the root of the mean square.
    bound = max(1e-6, (math.sqrt(2) / 4) ** (layers - 1))
    for start in INITIALIZERS:
        first, *_, last = norms[start, "sigmoid"]
        report.at_most(f"sigmoid, {start} start: first layer's norm over the last's", got=first / last, bound=bound)
    relu = norms["he", "relu"]
    report.at_most("ReLU, He start: largest norm over the smallest", got=relu.max() / relu.min(), bound=10)
    rows = [(start, name, float(n[0]), float(n[-1]), float(n[0] / n[-1])) for (start, name), n in norms.items()]
    columns = ("start", "activation", "first layer", "last layer", "ratio")
    report.table(f"gradient norms in a network of {layers} layers", columns, rows)
    figure, axes = plots.subplots(1, 3, figsize=(12, 4.4), sharey=True)
    titles = {"small": "small: 0.01", "glorot": "Glorot: √(1/width)", "he": "He: √(2/width)"}
    for ax, (start, title) in zip(axes, titles.items(), strict=True):
        series = {name: norms[start, name] for name in ACTIVATIONS}
        positions = np.arange(1, layers + 1)
        labels = {"xlabel": "layer", "ylabel": "norm of the weights' gradient", "title": title}
        plots.curves(positions, series, yscale="log", ax=ax, **labels)
        ax.label_outer()
    figure.suptitle("Sigmoid fades whatever the start; ReLU with He's start passes the gradient on")
    alt = "Norms by layer: sigmoid falls towards the first layer at every start; ReLU with He's start stays level."
    report.figure("gradient norm by layer", figure, alt=alt)


def _mean_epochs(runs, level):
    """Epochs to an error, the best learning rate of each run, averaged over the runs; None if one never gets there."""
    counts = [
        min((np.argmax(r <= level) + 1 for r in run.values() if (r <= level).any()), default=None) for run in runs
    ]
    return None if None in counts else float(np.mean(counts))

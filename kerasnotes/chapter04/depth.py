"""Gradients fade on their way back through sigmoid layers; rectifiers with a fitting start keep them alive.

What the reader should see: a sigmoid's slope is at most a quarter, so that after twenty layers less than a millionth of
the gradient is left, from the smallest start to He's. ReLU layers that start with He's weights pass it on: the gradient
of the first layer is of the size of that of the last. So do tanh layers with Glorot's weights, though each of them is a
sigmoid layer in disguise: its kernel is four times as large, and its bias puts the middle at 0.

Notes: chapter 04, "Vanishing gradients and rectified linear units" (梯度消失与ReLU).
Source: Glorot and Bengio 2010, https://proceedings.mlr.press/v9/glorot10a.html, equation 12; He et al. 2015,
arXiv:1502.01852.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter04.rectifiers import (  # noqa: F401 (may be taken from here as well)
    build_four_layer_cnn,
    epochs_to_error,
    gratings,
)
from kerasnotes.parts import whole

SMOKE = {"layers": 8}
SECONDS = 1

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
        whole(name, value)
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


def as_sigmoid_layers(weights):
    """Dense layers of sigmoids that compute what layers of tanh compute: tanh z = 2 σ(2z) − 1.

    Layer after layer, h = 2s − 1 stands for the sigmoid's s, so that h W = 2 s W − (the sums of W's columns).

    Args:
        weights: List of kernels (inputs, units) of tanh layers without biases, first layer first.

    Returns:
        List of `(kernel, bias)` of sigmoid layers; the tanh network's output is 2s − 1 of the last one's s.
    """
    layers = [(2 * weights[0], np.zeros(weights[0].shape[1]))]
    return layers + [(4 * w, -2 * w.sum(axis=0)) for w in weights[1:]]


def _deep_network(depth, initializer, width, seed, batch):
    rng = np.random.default_rng(seed)
    x, t = rng.standard_normal((2, batch, width))
    return INITIALIZERS[initializer](width) * rng.standard_normal((depth, width, width)), x, t


def _one_of(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


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


def lesson(report, *, layers: int = 20, seed: int = 0):
    """Gradient norms by layer, for three activations and three starts.

    Args:
        report: The report to write to.
        layers: Layers of the dense network (2 to 200).
        seed: Seed of weights, inputs and targets (0 to 4294967295).
    """
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
    values = {"tanh": x, "sigmoid": x}
    for w, (kernel, bias) in zip(weights, as_sigmoid_layers(weights), strict=True):
        values = {"tanh": np.tanh(values["tanh"] @ w), "sigmoid": tf.sigmoid(values["sigmoid"] @ kernel + bias)}
    report.check("a tanh network is a sigmoid network with other weights", 2 * values["sigmoid"] - 1, values["tanh"])
    # He's weights have variance 2 / width and slopes are at most 1/4: (√2 / 4) a layer in the root of the mean square.
    bound = max(1e-6, (math.sqrt(2) / 4) ** (layers - 1))
    for start in INITIALIZERS:
        first, *_, last = norms[start, "sigmoid"]
        report.at_most(f"sigmoid, {start} start: first layer's norm over the last's", got=first / last, bound=bound)
    for name, start, title in (("ReLU", "he", "He"), ("tanh", "glorot", "Glorot")):
        kept = norms[start, name.lower()]
        report.at_most(f"{name}, {title} start: largest norm over the smallest", got=kept.max() / kept.min(), bound=10)
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

"""Layer by layer less is left to do: stripes excite the first filters, digits the last, and linear probes gain.

LeNet-5 learns digits. Then: which picture excites a filter most, if one climbs up the slope of its output; which
pixels of a digit an answer hangs on most; and how well a linear classifier does with what a layer gives. What the
reader should see: stripes or one shade for the first layer, fine textures for the second, what looks like noise to us
after that, and the shadow of a digit for the logits. The linear classifier gains with almost every layer.

Notes: chapter 07, "Hierarchical features" (层次化特征).
Source: Simonyan et al. 2014, arXiv:1312.6034, sections 2 and 3 (climbing, saliency); Alain and Bengio 2017,
arXiv:1610.01644 (probes); Zeiler and Fergus 2014, arXiv:1311.2901 (layer by layer).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter07.lenet import build_lenet5
from kerasnotes.parts import floating, positive, whole

SMOKE = {"images": 64, "test_images": 64, "epochs": 1, "probe_images": 40, "steps": 3}
SECONDS = 11
LAYERS = ("C1", "C3", "C5", "F6", "logits")  # those with weights


def maximize_activation(model, layer, filter, steps=60, learning_rate=0.1, norm=None, start=None, seed=0):
    """The picture of a given norm that excites a filter most, sought by climbing along the gradient.

    Each step goes along the sphere of pictures with this norm, as brighter pictures would excite everything more.

    Args:
        model: A `keras.Model` of pictures (batch, height, width, channels).
        layer: Name of a layer of the model.
        filter: Number of its filter, channel or unit; or several numbers, for one picture each.
        steps: How many steps.
        learning_rate: Length of a step where the slope is the steepest so far, as a part of the norm; others are as
            much shorter as their slope is flatter.
        norm: Square root of the sum of all squares of a picture, or None for the start's.
        start: Picture (height, width, channels), or None for noise from `seed`.
        seed: Seed of the noise.

    Returns:
        `(picture, activations)`: (height, width, channels), and (steps + 1,), the filter's mean output over all
        places before each step and in the end; for several filters (n, height, width, channels) and (steps + 1, n).

    Raises:
        ValueError: If there is no such filter, an argument is out of range, or a filter does not answer to the start
            at all, so that there is no slope to climb.

    Source: Simonyan et al. 2014, section 2, with a fixed norm in place of their penalty on it.
    """
    inner = keras.Model(model.inputs[0], model.get_layer(layer).output)
    filters, units = np.atleast_1d(filter), inner.output_shape[-1]
    if filters.dtype.kind not in "iu" or filters.ndim != 1 or not ((filters >= 0) & (filters < units)).all():
        raise ValueError(f"filter: expected whole numbers from 0 to {units - 1}, got {filter!r}")
    whole("steps", steps, least=0), positive("learning_rate", learning_rate)
    size = model.input_shape[1:]
    start = np.random.default_rng(seed).random(size) if start is None else np.asarray(start)
    if start.shape != tuple(size) or not np.any(start):
        raise ValueError(f"start: expected a picture {tuple(size)} that is not 0, got shape {start.shape}")
    norm = np.linalg.norm(start) if norm is None else positive("norm", norm)
    chosen = tf.one_hot(filters, units, dtype=inner.compute_dtype)
    x = tf.cast(np.stack([start * (norm / np.linalg.norm(start))] * len(filters)), inner.compute_dtype)
    axes, activations, steepest = list(range(1, len(size) + 1)), [], tf.zeros((), x.dtype)
    for step in range(steps + 1):
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = inner(x)  # (filters, ..., units)
            places = tf.reshape(output, (len(filters), -1, units))
            activation = tf.reduce_sum(tf.reduce_mean(places, axis=1) * chosen, axis=1)  # (filters,)
        activations.append(activation.numpy())
        slope = tape.gradient(activation, x)
        slope -= x * tf.reduce_sum(slope * x, axes, keepdims=True) / norm**2  # along the sphere
        length = tf.sqrt(tf.reduce_sum(slope**2, axes, keepdims=True))
        if step == 0 and not np.all(length):
            dead = filters[np.flatnonzero(np.ravel(length) == 0)]
            raise ValueError(f"filter: {layer} {dead.tolist()} gives no slope at the start; take another start")
        steepest = tf.maximum(steepest, length)
        if step < steps:
            x += learning_rate * norm * slope / steepest
            x *= norm / tf.sqrt(tf.reduce_sum(x**2, axes, keepdims=True))
    pictures, activations = x.numpy(), np.array(activations)
    return (pictures, activations) if np.ndim(filter) else (pictures[0], activations[:, 0])


def saliency(model, x, label):
    """How much the logit of a class changes with each pixel: |∂ logit / ∂ pixel|, the largest of the channels.

    Args:
        model: A `keras.Model` from pictures to logits (batch, classes).
        x: Pictures (batch, height, width, channels).
        label: The class asked about: one whole number, or one for each picture (batch,).

    Returns: An array (batch, height, width).
    Raises: ValueError: If pictures are no numbers or there is no such class.
    Source: Simonyan et al. 2014, section 3.
    """
    x, labels = floating("x", x), np.broadcast_to(label, len(x))
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = model(x)  # (batch, classes)
        if labels.dtype.kind not in "iu" or not ((labels >= 0) & (labels < logits.shape[-1])).all():
            raise ValueError(f"label: expected whole numbers from 0 to {logits.shape[-1] - 1}, got {label!r}")
        asked = tf.gather(logits, labels, batch_dims=1)
    return tf.reduce_max(tf.abs(tape.gradient(asked, x)), axis=-1).numpy()


def probe(model, layer, x, y, l2=1e-2):
    """A linear classifier on what a layer gives: ridge regression from its output to one-hot labels.

    Args:
        model: A `keras.Model`.
        layer: Name of a layer of the model, or "input" for the pictures themselves.
        x: Pictures (n, ...) to learn from.
        y: Their labels (n,), whole numbers from 0 on.
        l2: Weight of the penalty, as a part of the mean squared length of a centred output.

    Returns: `predict`, from pictures (m, ...) to scores (m, classes), of which the largest is the answer.
    Raises: ValueError: If there is not one label for each picture or `l2` is no positive number.
    Source: Alain and Bengio 2017, with least squares in place of their logistic regression.
    """
    y = np.asarray(y)
    if y.shape != (len(x),) or y.dtype.kind not in "iu" or not len(y) or y.min() < 0:
        raise ValueError(f"y: expected a whole number of at least 0 for each of {len(x)} pictures, got shape {y.shape}")
    positive("l2", l2)
    inner = None if layer == "input" else keras.Model(model.inputs[0], model.get_layer(layer).output)

    def features(x):
        parts = [x[start : start + 500] for start in range(0, len(x), 500)]
        return np.concatenate([np.float64(part if inner is None else inner(part)) for part in parts]).reshape(
            len(x), -1
        )

    found, targets = features(x), np.eye(y.max() + 1)[y]
    mean, centre = found.mean(axis=0), targets.mean(axis=0)
    found = found - mean  # (n, features)
    kernel = found @ found.T  # (n, n): smaller than features x features
    ridge = l2 * np.trace(kernel) + 1e-12
    weights = found.T @ np.linalg.solve(kernel + ridge * np.eye(len(x)), targets - centre)
    return lambda x: (features(x) - mean) @ weights + centre


def example():
    """Two filters of a convolution, one for edges and one for brightness; saliency of a dense layer by hand."""
    layers = keras.layers
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 2, name="edges"), layers.Flatten(),
                              layers.Dense(3, name="logits")])  # fmt: skip
    kernel = np.array([[[1, 1], [-1, 1]], [[1, 1], [-1, 1]]], np.float32)[:, :, None, :]
    model.get_layer("edges").set_weights([kernel, np.zeros(2)])
    picture, activations = maximize_activation(model, "edges", 0, norm=1.0)
    print("left minus right:", picture.mean(axis=0).ravel().round(2), "activation", activations[[0, -1]].round(3))
    picture, activations = maximize_activation(model, "edges", 1, norm=1.0)
    print("sum of four:     ", picture.mean(axis=0).ravel().round(2), "activation", activations[[0, -1]].round(3))
    x = np.random.default_rng(0).random((1, 4, 4, 1)).astype(np.float32)
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        logit = model(variable)[0, 2]
    print("saliency, the tape's:", np.ravel(tape.gradient(logit, variable))[:3].round(4))
    print("saliency, ours:      ", saliency(model, x, 2).ravel()[:3].round(4))


def lesson(
    report,
    *,
    images: int = 8000,
    test_images: int = 2000,
    epochs: int = 3,
    probe_images: int = 1000,
    steps: int = 60,
    seed: int = 0,
):
    """Train LeNet-5 on digits, then ask its layers in three ways.

    Args:
        report: The report to write to.
        images: Digits to train on (32 to 50000).
        test_images: Digits for the test (32 to 10000).
        epochs: Training epochs (1 to 1000).
        probe_images: Digits for the linear classifiers (20 to 5000).
        steps: Steps up the slope (1 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    (x, y), (x_test, y_test) = data.mnist()
    order = rng.permutation(len(x))[: images + probe_images]
    x, y = np.float32(x[order] / 255)[..., None], y[order].astype(np.int32)
    x_test, y_test = np.float32(x_test[:test_images] / 255)[..., None], y_test[:test_images].astype(np.int32)
    model = build_lenet5((28, 28, 1), seed=seed)
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    training.fit(model, x[:images], y[:images], batch_size=64, epochs=epochs, seed=seed, track=report.track)
    _saliency_by_differences(report, rng)
    _climb(report, model, x_test, steps)
    _salient_pixels(report, model, x_test, y_test, rng)
    accuracies = _probe_layers(report, model, x[images:], y[images:], x_test, y_test)
    _second_figure(report, model, accuracies, x_test, y_test)


def _saliency_by_differences(report, rng):
    layers = keras.layers
    smooth = keras.Sequential([
        keras.Input((6, 6, 2), dtype="float64"), layers.Conv2D(3, 3, activation="tanh", dtype="float64"),
        layers.Flatten(dtype="float64"), layers.Dense(4, dtype="float64"),
    ])  # fmt: skip
    x, step = rng.normal(size=(1, 6, 6, 2)), 1e-5
    nudges = step * np.eye(72).reshape(72, 6, 6, 2)
    slopes = (smooth(x + nudges) - smooth(x - nudges)).numpy()[:, 3].reshape(6, 6, 2) / (2 * step)
    report.check(
        "saliency equals central differences", saliency(smooth, x, 3)[0], np.abs(slopes).max(axis=-1), rtol=1e-6
    )


def _alive(model, layer, start):
    """Filters that answer to the start, so that there is a slope to climb."""
    inner = keras.Model(model.inputs[0], model.get_layer(layer).output)
    output = np.abs(inner(start[None]).numpy()[0])
    return np.flatnonzero(output.reshape(-1, output.shape[-1]).max(axis=0) > 0.01)


def _climb(report, model, x_test, steps):
    norms = np.linalg.norm(x_test.reshape(len(x_test), -1), axis=1)
    norm, start = float(norms.mean()), x_test.mean(axis=0) + 0.05
    start *= norm / np.linalg.norm(start)
    scaled = x_test * (norm / norms)[:, None, None, None]  # all pictures compared have one norm
    rises, rows, made, nearest = [], [], [], []
    for layer in LAYERS:
        filters = _alive(model, layer, start)[:6]
        slow = maximize_activation(model, layer, filters, steps, learning_rate=0.005, norm=norm, start=start)[1]
        rises.append(np.diff(slow, axis=0).min() / np.abs(slow).max())
        pictures, activations = maximize_activation(model, layer, filters, steps, norm=norm, start=start)
        inner = keras.Model(model.inputs[0], model.get_layer(layer).output)
        answers = training.predict(inner, scaled).reshape(len(scaled), -1, inner.output_shape[-1]).mean(axis=1)
        best = answers[:, filters].max(axis=0)
        rows.append([layer, len(filters), activations[0].mean(), best.mean(), activations[-1].mean()])
        gap = np.zeros((6, 28, 28))
        gap[: len(filters)] = pictures[..., 0] / np.abs(pictures).max(axis=(1, 2, 3))[:, None, None]
        made.append(gap)
        gap = np.zeros((6, 28, 28))
        gap[: len(filters)] = x_test[answers[:, filters].argmax(axis=0), ..., 0]
        nearest.append(gap)
    report.at_least("small steps: the activation's least rise, as a part of its largest", rises, -1e-6)
    ratio = [row[4] / row[3] for row in rows]
    report.at_least("picture made: activation over the best digit's, all layers", ratio, 1.0, trained=True)
    report.table("mean activation of the first filters that answer, pictures of one norm",
                 ["layer", "filters", "at the start", "best digit", "picture made"], rows)  # fmt: skip
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.8))
    plots.tiles(np.array(made), left, labels=LAYERS)
    left.set_title("Pictures that excite a filter most")
    plots.tiles(np.array(nearest), right, labels=LAYERS)
    right.set_title("The digit that excites it most")
    report.figure("Layer by layer", figure,
                  alt="Six filters of each of five layers. Left: pictures made by climbing; stripes and blobs over the "
                  "whole frame for the first layers, noise for the last. Right: the test digit that excites "
                  "the same filter most.")  # fmt: skip


def _salient_pixels(report, model, x, y, rng):
    """What removing ten inked pixels takes from the logit: the most salient ones, or any."""
    inked = x[..., 0] > 0.5
    order = {
        "salient": np.where(inked, saliency(model, x, y), -1),
        "random": np.where(inked, rng.random(inked.shape), -1),
    }
    before = np.take_along_axis(training.predict(model, x), y[:, None], 1)
    drops = {}
    for name, values in order.items():
        flat = x.reshape(len(x), -1).copy()
        np.put_along_axis(flat, np.argsort(-values.reshape(len(x), -1), axis=1)[:, :10], 0, axis=1)
        after = np.take_along_axis(training.predict(model, flat.reshape(x.shape)), y[:, None], 1)
        drops[name] = float(np.mean(before - after))
    lead = drops["salient"] - drops["random"]
    report.at_least("ten inked pixels removed: the logit's fall, salient above random", lead, 0.0, trained=True)


def _probe_layers(report, model, x, y, x_test, y_test):
    found = {}
    for layer in ("input", *LAYERS):
        predict = probe(model, layer, x, y)
        found[layer] = float(np.mean(predict(x_test).argmax(axis=1) == y_test))
    whole_network = float(np.mean(training.predict(model, x_test).argmax(axis=1) == y_test))
    report.table(f"Linear classifiers from {len(x)} digits, on what a layer gives", ["layer", "test accuracy"],
                 [*map(list, found.items()), ["the network itself", whole_network]])  # fmt: skip
    label = "linear classifier: last layer above first, test accuracy"
    report.at_least(label, found["logits"] - found["C1"], 0.05, trained=True)
    return found


def _second_figure(report, model, accuracies, x_test, y_test):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.2))
    left.plot(range(len(accuracies)), accuracies.values(), "o-")
    left.set_xticks(range(len(accuracies)), list(accuracies))
    left.set(xlabel="layer", ylabel="test accuracy of a linear classifier", title="Less and less is left to do")
    maps = saliency(model, x_test[:8], y_test[:8])
    maps /= maps.max(axis=(1, 2), keepdims=True)
    plots.tiles(np.stack([x_test[:4, ..., 0], maps[:4], x_test[4:8, ..., 0], maps[4:]]), right, low=0.0,
                labels=("digit", "saliency", "digit", "saliency"))  # fmt: skip
    right.set_title("Pixels the answer hangs on")
    report.figure("Probes and saliency", figure,
                  alt="Left: accuracy of a linear classifier rises from the pixels over the layers to the logits. "
                  "Right: eight digits and, below each, the pixels on which the answer hangs most.")  # fmt: skip

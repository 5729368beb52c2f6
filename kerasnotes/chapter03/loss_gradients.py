"""The gradient of softmax cross-entropy is the answer minus the label, as long as the labels sum to one.

What the reader should see: two gradients by hand, equal to TensorFlow's tape on random data. Labels that sum to two
need p·Σy − y instead of p − y; TensorFlow's fused loss leaves the sum out, and descent then ends somewhere else.

Notes: chapter 03, "Gradients of common loss functions" (常见函数的梯度、激活函数与损失函数的梯度).
Source: Goodfellow, Bengio, Courville 2016, Deep Learning, https://www.deeplearningbook.org, section 6.2.2.3;
https://www.tensorflow.org/api_docs/python/tf/nn/softmax_cross_entropy_with_logits
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter02.losses import matched

SMOKE = {"batch": 4}
SECONDS = 1


def mse_gradient(y, output):
    """The slope of the mean squared error over the last axis: 2 (output − y) / d.

    Args:
        y: Targets (..., d).
        output: Outputs of the same shape.

    Returns: A tensor (..., d), for each example its own; a mean over a batch of n divides it once more, by n.
    Raises: ValueError: If the shapes differ or there is no axis.
    """
    y, output = matched("y", y, "output", output)
    return 2 * (output - y) / tf.cast(tf.shape(output)[-1], output.dtype)


def softmax_cross_entropy_gradient(y, logits):
    """The slope of −Σ y log softmax(logits) along the logits: p·Σy − y with p = softmax(logits).

    Args:
        y: Labels (..., classes): one-hot, or any numbers; they need not sum to one.
        logits: Any numbers of the same shape.

    Returns: A tensor (..., classes). Each row sums to zero: adding one number to all logits changes nothing.
    Raises: ValueError: If the shapes differ or there is no axis.
    """
    y, logits = matched("y", y, "logits", logits)
    return tf.nn.softmax(logits) * tf.reduce_sum(y, axis=-1, keepdims=True) - y


def example():
    """Both gradients beside the tape through TensorFlow's own losses."""
    y, logits = tf.constant([[0.0, 1.0, 0.0]]), tf.math.log([[0.7, 0.2, 0.1]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        squared = keras.losses.mean_squared_error(y, logits)
        entropy = keras.losses.categorical_crossentropy(y, logits, from_logits=True)
        fused = tf.nn.softmax_cross_entropy_with_logits(labels=2 * y, logits=logits)
    print("squared error, tape  ", tape.gradient(squared, logits).numpy()[0])
    print("2 (o − y) / d        ", mse_gradient(y, logits).numpy()[0])
    print("cross-entropy, tape  ", tape.gradient(entropy, logits).numpy()[0])
    print("p·Σy − y             ", softmax_cross_entropy_gradient(y, logits).numpy()[0])
    print("labels that sum to 2:", softmax_cross_entropy_gradient(2 * y, logits).numpy()[0])
    print("TensorFlow's p − y   ", tape.gradient(fused, logits).numpy()[0])


def lesson(report, *, batch: int = 50, steps: int = 200, seed: int = 0):
    """Both gradients against the tape and Keras, by the chain rule, and what labels that sum to two do.

    Args:
        report: The report to write to.
        batch: Random examples (1 to 100000).
        steps: Steps of descent on three logits (50 to 10000).
        seed: Seed of the random examples (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    output, targets, weights = rng.normal(size=(3, batch, 4))
    hot, soft = np.eye(4)[rng.integers(4, size=batch)], rng.dirichlet(np.ones(4), size=batch)
    _squared_error(report, targets, output)

    p = tf.nn.softmax(output).numpy()
    for name, y in (("one-hot", hot), ("soft", soft), ("arbitrary", weights)):
        ours = softmax_cross_entropy_gradient(y, output)
        report.check(f"{name} labels: p·Σy − y equals the tape's", ours, _slope(_cross_entropy, y, output))
        report.check(f"{name} labels: each row sums to 0", tf.reduce_sum(ours, axis=-1), np.zeros(batch), atol=1e-9)
        fused = _slope(tf.nn.softmax_cross_entropy_with_logits, y, output)
        report.check(f"{name} labels: TensorFlow's fused loss gives p − y, whatever they sum to", fused, p - y)
        if name != "arbitrary":
            report.check(f"{name} labels: Σy is 1, so p − y", ours, p - y)
    jacobian = p[:, :, None] * (np.eye(4) - p[:, None, :])  # (batch, classes, classes): ∂pᵢ/∂zⱼ = pᵢ(δᵢⱼ − pⱼ)
    chained = np.einsum("bi,bij->bj", -weights / p, jacobian)
    got = softmax_cross_entropy_gradient(weights, output)
    report.check("chain rule by hand: −y/p times softmax's Jacobian", got, chained)
    mean = _slope(lambda y, z: keras.losses.CategoricalCrossentropy(from_logits=True)(y, z), hot, output)
    report.check("Keras's mean over the batch divides by its size", mean, (p - hot) / batch)
    by_hand = softmax_cross_entropy_gradient([0.0, 1.0, 0.0], np.log([0.7, 0.2, 0.1]))
    report.check("answer (0.7, 0.2, 0.1), label (0, 1, 0)", by_hand, [0.7, -0.8, 0.1])
    _labels_that_sum_to_two(report, steps)


def _squared_error(report, y, output):
    tape = _slope(keras.losses.mean_squared_error, y, output)
    report.check("mean squared error: 2 (o − y) / d equals the tape's", mse_gradient(y, output), tape)
    report.check("example, y (1, 0), o (3, 4)", mse_gradient([1.0, 0.0], [3.0, 4.0]), [2.0, 4.0])
    half = _slope(lambda y, o: tf.reduce_sum((o - y) ** 2, axis=-1) / 2, y, output)
    report.check("½ Σ (o − y)²: o − y equals the tape's", output - y, half)
    ratio = (output - y) / tape
    report.check("d = 4: the notes' o − y for the mean is d/2 times the tape's", ratio, np.full(y.shape, 2.0))
    report.correction(
        "gradient of the mean squared error",
        course="with 1/d in the loss: o − y",
        correct="2 (o − y) / d; o − y belongs to ½ Σ (o − y)²",
        shown_by="gradient tape: o − y is d/2 times as long",
    )
    printed = 2 * output - y
    report.check("the notes' 2f − y for ½ (f − y)² is off by f", printed - half, output)
    report.correction(
        "gradient of half the squared error",
        course="2f − y",
        correct="f − y",
        shown_by="gradient tape: 2f − y is not even 0 where f = y",
    )


def _cross_entropy(y, logits):
    return -tf.reduce_sum(y * tf.nn.log_softmax(logits), axis=-1)


def _slope(loss, y, output):
    output = tf.constant(output)
    with tf.GradientTape() as tape:
        tape.watch(output)
        value = loss(tf.constant(y), output)
    return tape.gradient(value, output)


def _labels_that_sum_to_two(report, steps):
    y, names = tf.constant([1.0, 0.6, 0.4]), ("p·Σy − y", "p − y, the fused loss")
    courses = {name: [] for name in names}
    for name, gradient in zip(names, (softmax_cross_entropy_gradient, lambda y, z: tf.nn.softmax(z) - y), strict=True):
        logits = tf.zeros(3)
        for _ in range(steps):
            courses[name].append(tf.nn.softmax(logits).numpy())
            logits -= 0.5 * gradient(y, logits)
    ends = [courses[name][-1] for name in names]
    wants = ([0.5, 0.3, 0.2], [2 / 3, 4 / 15, 1 / 15])
    report.check("labels (1, 0.6, 0.4): descent on the loss ends at y / Σy", ends[0], wants[0], atol=0.01)
    report.check("the fused loss's gradient ends at y − (Σy − 1) / 3", ends[1], wants[1], atol=0.01)
    report.note("TensorFlow asks for labels that sum to one, and does not check it: divide by the sum first.")
    figure, axes = plots.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    titles = ("Gradient p·Σy − y ends at y / Σy", "Gradient p − y ends elsewhere")
    for axis, name, want, title in zip(axes, names, wants, titles, strict=True):
        lines = zip(y.numpy(), np.array(courses[name]).T, strict=True)
        series = {f"class {i}, label {label:.1f}": line for i, (label, line) in enumerate(lines)}
        plots.curves(range(steps), series, xlabel="step of descent on the logits", ylabel="probability p",
                     title=title, ax=axis)  # fmt: skip
        axis.set(xlim=(0, min(steps, 60)), ylim=(0, 1))
        axis.legend(loc="upper right")
        axis.plot([min(steps, 60)] * 3, want, "k<", clip_on=False, markersize=8)
    report.figure(
        "Descent with labels that sum to two",
        figure,
        alt="Probabilities of three classes over the steps. Left: they go to 0.5, 0.3, 0.2, the labels over their sum. "
        "Right, with p − y: to 0.67, 0.27, 0.07.",
    )

"""The errors of a hidden layer need the output weights of the forward pass: once these have moved, it is too late.

The course's notes change the output weights in step 5 and compute the hidden errors from them in step 6. What the
reader should see: on the first batch of digits only the errors from the old weights give the tape's gradient; those
from the new weights are off, the more so the larger the learning rate. The slip may well train all the same, and then
only a comparison with the true gradient finds it.

Notes: chapter 04, "The back-propagation algorithm" (反向传播算法).
Source: Rumelhart, Hinton, Williams 1986, doi:10.1038/323533a0, equations 4 to 8.
"""

import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter04.backpropagation import SigmoidNetwork, half_squared_error, keras_network
from kerasnotes.parts import positive

SMOKE = {"hidden": 20}
SECONDS = 2

BATCH_SIZE = 32


def late_hidden_delta(network, x, y, learning_rate):
    """The errors of the last hidden layer as the notes' order of steps has them: from output weights already changed.

    Args:
        network: A `SigmoidNetwork` with a hidden layer; it is not changed.
        x, y: Inputs (batch, inputs) and targets (batch, outputs).
        learning_rate: Positive factor of the step that comes too early.

    Returns:
        Array (batch, units of the last hidden layer); `network.deltas` gives the right one.
    """
    layers = network.activations(x)
    delta, h = network.deltas(layers, y)[-1], layers[-2]  # (batch, outputs), (batch, units)
    changed = network.weights[-1] - positive("learning_rate", learning_rate) * h.T @ delta / len(h)
    return (delta @ changed.T) * h * (1 - h)


def example():
    """The gradient of the first weights: by TensorFlow's tape, and from hidden errors taken in time and too late."""
    rng = np.random.default_rng(0)
    x, y, network = rng.random((8, 5)), rng.random((8, 2)), SigmoidNetwork((5, 4, 2))
    model = keras_network(network)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(half_squared_error(y.astype("float32"), model(x.astype("float32"))))
    print("tape:    ", tape.gradient(loss, model.trainable_variables)[0][0].numpy())
    hidden_delta, _ = network.deltas(network.activations(x), y)
    print("in time: ", (x.T @ hidden_delta / len(x))[0])
    for rate in (0.1, 1.0, 10.0):
        print(f"too late, rate {rate:4}:", (x.T @ late_hidden_delta(network, x, y, rate) / len(x))[0])


def lesson(report, *, learning_rate: float = 3.0, hidden: int = 100, seed: int = 0):
    """Compute the hidden errors of one batch of digits in both orders.

    Args:
        report: The report to write to.
        learning_rate: Step size of the update that comes first in the notes (0.0001 to 100).
        hidden: Units of the hidden layer (1 to 10000).
        seed: Seed of the weights and of the choice of digits (0 to 4294967295).
    """
    (x, labels), _ = data.mnist()
    chosen = np.random.default_rng(seed).permutation(len(x))[:BATCH_SIZE]
    x, y = x[chosen].reshape(-1, 784).astype("float32") / 255, np.eye(10, dtype="float32")[labels[chosen]]
    network = SigmoidNetwork((784, hidden, 10), seed)
    model = keras_network(network)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(half_squared_error(y, model(x)))
    gradient = tape.gradient(loss, model.trainable_variables)[0].numpy()

    def distance(delta):
        return np.linalg.norm(x.T @ delta / len(x) - gradient) / np.linalg.norm(gradient)

    hidden_delta, delta = network.deltas(network.activations(x), y)
    late = late_hidden_delta(network, x, y, learning_rate)
    deltas = (("output", delta), ("hidden", hidden_delta), ("hidden, from the changed weights", late))
    rows = [(name, str(d.shape), float(np.sqrt(np.mean(d**2)))) for name, d in deltas]
    report.table("δ of the first batch of digits", ("layer", "shape", "root mean square"), rows)
    report.at_most("relative distance of the hidden gradient from the tape's", distance(hidden_delta), 1e-5)
    report.at_least("the same, with the output weights changed first", distance(late), 1e-4)
    report.correction(
        "order of the algorithm's steps",
        course="the output weights are updated before the hidden δ is computed from them",
        correct="all δ are computed with the weights of the forward pass, then all weights are updated",
        shown_by="only the hidden gradient from the old weights equals the tape's",
    )
    rates = np.geomspace(0.01, 30, 20)
    off = [distance(late_hidden_delta(network, x, y, rate)) for rate in rates]
    report.at_least("a larger learning rate, a larger distance: growth from rate to rate", np.diff(off), 0.0)
    figure = plots.curves(rates, {"from the changed weights": off, "in time": [distance(hidden_delta)] * len(rates)},
                          xlabel="learning rate", ylabel="distance from the tape's gradient, relative", xscale="log",
                          yscale="log", title="Taken too late, the gradient is off")  # fmt: skip
    report.figure(
        "Distance of the hidden gradient",
        figure,
        alt="Over the learning rate, the relative distance of the gradient from the tape's: a rising line for errors "
        "from the changed weights, a flat one at rounding for errors taken in time.",
    )

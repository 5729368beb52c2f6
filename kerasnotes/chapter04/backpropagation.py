"""Back-propagation passes every layer's error δ to the layer before it, through the weights that caused it.

What the reader should see: two formulas give the gradient of a network of any depth, δ = (o − t) · o(1 − o) at the
output and δ = (δ of the next layer @ its weightsᵀ) · h(1 − h) below. They agree with the tape and with central
differences in every weight, and the NumPy network learns digits step by step as Keras does, at about the same speed.

Notes: chapter 04, "The back-propagation algorithm" (反向传播算法).
Source: Rumelhart, Hinton, Williams 1986, Nature 323, 533-536, equations 4 to 8; Nielsen 2015, Neural Networks and
Deep Learning, chapters 1 and 2 (the layer sizes, the batch of 10 and the learning rate 3).
"""

import time
from functools import partial
from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training

SMOKE = {"epochs": 2, "images": 500}
FULL = {"epochs": 30}
SECONDS = 15

BATCH_SIZE = 32


class SigmoidNetwork:
    """A fully connected network of sigmoid units in NumPy, with loss ½ Σ (o − t)², averaged over the batch.

    Args:
        sizes: Units of every layer, inputs first, for example (784, 100, 10).
        seed: Seed of the initial weights: normal with standard deviation 1/√inputs; the biases are 0.
        dtype: Floating-point type: "float32" trains twice as fast, "float64" suits `gradient_check`.

    Attributes `weights` and `biases` are lists, first layer first, of shapes (inputs, units) and (units,).
    """

    def __init__(self, sizes, seed=0, dtype="float32"):
        sizes = tuple(sizes)
        if len(sizes) < 2 or any(not isinstance(n, (int, np.integer)) or n < 1 for n in sizes):
            raise ValueError(f"sizes: expected at least two positive integers, got {sizes!r}")
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype: expected 'float32' or 'float64', got {dtype!r}")
        rng = np.random.default_rng(seed)
        self.sizes, self.seed, self.dtype = sizes, seed, dtype
        self.weights = [(rng.standard_normal((m, n)) / np.sqrt(m)).astype(dtype) for m, n in pairwise(sizes)]
        self.biases = [np.zeros(n, dtype) for n in sizes[1:]]

    def forward(self, x):
        """Compute the outputs (batch, outputs) of inputs x (batch, inputs)."""
        return self.activations(x)[-1]

    def activations(self, x):
        """List what every layer puts out, the inputs themselves first: arrays (batch, size of the layer)."""
        h = _batch("x", x, self.sizes[0], self.dtype)
        layers = [h]
        for w, b in zip(self.weights, self.biases, strict=True):
            h = _sigmoid(h @ w + b)  # (batch, units)
            layers.append(h)
        return layers

    def loss(self, x, y):
        """Compute ½ Σ (o − t)², summed over the outputs and averaged over the batch."""
        o, t = self.forward(x), _batch("y", y, self.sizes[-1], self.dtype)
        _same_length(o, t)
        return float(np.square(o - t).sum() / (2 * len(t)))

    def deltas(self, layers, y):
        """List every layer's error δ (batch, units): the derivative of one example's loss by the layer's weighted sum.

        Args:
            layers: What `activations` returned.
            y: Targets t, (batch, outputs).
        """
        t, o = _batch("y", y, self.sizes[-1], self.dtype), layers[-1]
        _same_length(o, t)
        delta = (o - t) * o * (1 - o)  # (batch, outputs)
        deltas = [delta]
        for w, h in zip(self.weights[:0:-1], layers[-2:0:-1], strict=True):
            delta = (delta @ w.T) * h * (1 - h)  # (batch, units): w is still the one of the forward pass
            deltas.insert(0, delta)
        return deltas

    def gradients(self, x, y):
        """Compute the gradient of the loss by all parameters.

        Args:
            x: Inputs (batch, inputs).
            y: Targets (batch, outputs).

        Returns:
            `(weight_gradients, bias_gradients)`, lists of arrays in the shapes of `weights` and `biases`.
        """
        layers = self.activations(x)
        deltas = self.deltas(layers, y)
        n = len(layers[0])
        weight_gradients = [h.T @ delta / n for h, delta in zip(layers, deltas, strict=False)]  # (inputs, units)
        return weight_gradients, [delta.mean(axis=0) for delta in deltas]

    def train(self, x, y, learning_rate, epochs, batch_size, shuffle=True):
        """Train with mini-batch gradient descent, the algorithm's eight steps.

        1 The weights start small and random (`__init__`). In every epoch, for every batch: 2 take the examples,
        3 compute the hidden layers, 4 compute the outputs, 5 find δ at the output, 6 find δ in the hidden layers,
        7 change all weights, 8 go on until the epochs are over.

        Args:
            x: Inputs (n, inputs).
            y: Targets (n, outputs).
            learning_rate: Positive factor of the gradient.
            epochs: Passes over the data.
            batch_size: Examples for each update; a shorter last batch is kept.
            shuffle: Whether each epoch draws a new order.

        Returns:
            The loss before each update, averaged over each epoch: a list of floats.
        """
        x, y = _batch("x", x, self.sizes[0], self.dtype), _batch("y", y, self.sizes[-1], self.dtype)
        _same_length(x, y)
        if not (np.isfinite(learning_rate) and learning_rate > 0):
            raise ValueError(f"learning_rate: expected a positive number, got {learning_rate!r}")
        for name, value in (("epochs", epochs), ("batch_size", batch_size)):
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name}: expected a positive integer, got {value!r}")
        rng, history, rate = np.random.default_rng(self.seed), [], np.asarray(learning_rate, self.dtype)
        for _ in range(epochs):
            order, total = rng.permutation(len(x)) if shuffle else np.arange(len(x)), 0.0
            for start in range(0, len(x), batch_size):
                rows = order[start : start + batch_size]
                layers = self.activations(x[rows])
                deltas = self.deltas(layers, y[rows])  # all of them before any weight changes
                for w, b, h, delta in zip(self.weights, self.biases, layers, deltas, strict=False):
                    step = rate / len(rows)
                    w -= step * (h.T @ delta)
                    b -= step * delta.sum(axis=0)
                total += np.square(layers[-1] - y[rows]).sum() / 2
            history.append(float(total / len(x)))
        return history


def gradient_check(network, x, y, epsilon=1e-5):
    """Compare `network.gradients` with central differences, in float64.

    Args:
        network: A `SigmoidNetwork`; it is not changed.
        x, y: Inputs (batch, inputs) and targets (batch, outputs).
        epsilon: Half the step of the central difference.

    Returns:
        The largest relative error: the largest difference in a weight matrix or bias vector, divided by that array's
        largest gradient; the worst of all arrays.
    """
    if not (np.isfinite(epsilon) and epsilon > 0):
        raise ValueError(f"epsilon: expected a positive number, got {epsilon!r}")
    exact = SigmoidNetwork(network.sizes, dtype="float64")
    exact.weights = [w.astype("float64") for w in network.weights]
    exact.biases = [b.astype("float64") for b in network.biases]
    weight_gradients, bias_gradients = exact.gradients(x, y)
    errors = []
    for array, gradient in zip(exact.weights + exact.biases, weight_gradients + bias_gradients, strict=True):
        numerical = np.empty_like(array)
        for index, value in np.ndenumerate(array):
            losses = []
            for array[index] in (value + epsilon, value - epsilon):
                losses.append(exact.loss(x, y))
            numerical[index] = (losses[0] - losses[1]) / (2 * epsilon)
            array[index] = value
        scale = max(np.abs(gradient).max(), np.abs(numerical).max(), np.finfo("float64").tiny)
        errors.append(np.abs(gradient - numerical).max() / scale)
    return float(max(errors))


def keras_network(network):
    """Build the same network in Keras, with the same weights; train it with the loss `half_squared_error`."""
    layers = [keras.layers.Dense(units, activation="sigmoid") for units in network.sizes[1:]]
    model = keras.Sequential([keras.Input((network.sizes[0],)), *layers])
    model.set_weights(_parameters(network))
    return model


def half_squared_error(y, output):
    """Compute ½ Σ (o − t)² for every example, (batch,)."""
    return tf.reduce_sum(tf.square(output - y), axis=-1) / 2


def _sigmoid(z):
    return 0.5 + 0.5 * np.tanh(0.5 * z)  # equals 1 / (1 + e^−z), and overflows nowhere


def _batch(name, values, width, dtype):
    array = np.asarray(values, dtype)
    if array.ndim != 2 or array.shape[1] != width or len(array) == 0:
        raise ValueError(f"{name}: expected shape (batch, {width}) with batch > 0, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return array


def _same_length(a, b):
    if len(a) != len(b):
        raise ValueError(f"y: expected one target for each of the {len(a)} inputs, got {len(b)}")


def example():
    """Exclusive or: a few epochs in step with Keras, then on until the network has learnt it."""
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0], [1], [1], [0]])
    network = SigmoidNetwork((2, 8, 1))
    print("relative distance from central differences:", gradient_check(network, x, y))

    model = keras_network(network)  # the same weights
    model.compile(keras.optimizers.SGD(3.0), loss=half_squared_error)
    history = model.fit(x, y, batch_size=2, epochs=3, shuffle=False, verbose=0).history
    print("losses of Keras:", np.round(history["loss"], 6))
    print("losses of ours: ", np.round(network.train(x, y, 3.0, epochs=3, batch_size=2, shuffle=False), 6))

    network.train(x, y, learning_rate=3.0, epochs=1500, batch_size=2)
    print("outputs for 00, 01, 10, 11:", network.forward(x).ravel().round(2))


def lesson(
    report, *, epochs: int = 10, learning_rate: float = 3.0, hidden: int = 100, images: int = 60000, seed: int = 0
):
    """The gradient by hand against the tape, and a NumPy network that learns digits beside Keras.

    Args:
        report: The report to write to.
        epochs: Epochs of the NumPy network; Keras's own `fit` runs the first two (1 to 1000).
        learning_rate: Step size (0.0001 to 100).
        hidden: Units of the hidden layer (1 to 10000).
        images: Training images (100 to 60000).
        seed: Seed of the weights and of the order of the images (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    small = SigmoidNetwork((12, 9, 7, 5), seed, "float64")
    x, y = rng.standard_normal((6, 12)), rng.random((6, 5))
    want = _tape_gradients(small, x, y)
    report.check("layers of 12, 9, 7, 5: every gradient equals the tape's", got=small.gradients(x, y), want=want)
    report.at_most("relative distance from central differences", got=gradient_check(small, x, y), bound=1e-7)

    (x, labels), (x_test, test_labels) = data.mnist()
    chosen = rng.permutation(len(x))[:images]
    x, y = x[chosen].reshape(-1, 784).astype("float32") / 255, np.eye(10, dtype="float32")[labels[chosen]]
    x_test = x_test.reshape(-1, 784).astype("float32") / 255
    network = SigmoidNetwork((784, hidden, 10), seed)
    _first_update(report, network, x[:BATCH_SIZE], y[:BATCH_SIZE], learning_rate)

    models = [keras_network(network), keras_network(network)]
    for model in models:
        model.compile(keras.optimizers.SGD(learning_rate), loss=half_squared_error)
    same = {"batch_size": BATCH_SIZE, "shuffle": False}
    twin, first = SigmoidNetwork((784, hidden, 10), seed), slice(100 * BATCH_SIZE)
    twin.train(x[first], y[first], learning_rate, epochs=1, **same)
    training.fit(models[0], x[first], y[first], **same)
    got, want = _parameters(twin), models[0].get_weights()
    updates = -(-len(x[first]) // BATCH_SIZE)
    report.check(f"after {updates} updates, all parameters equal Keras's", got=got, want=want, rtol=1e-4, atol=1e-4)
    models[0].set_weights(_parameters(network))
    fits = {
        "NumPy, by hand": lambda x, y: network.train(x, y, learning_rate, epochs=1, **same),
        "Keras, kerasnotes.training.fit": lambda x, y: training.fit(models[0], x, y, **same),
        "Keras, model.fit": lambda x, y: models[1].fit(x, y, verbose=0, **same),
    }
    outputs = [network.forward, *(partial(training.predict, model) for model in models)]
    errors, seconds = {name: [] for name in fits}, {name: [] for name in fits}
    for epoch in report.track(range(epochs), "training on digits"):
        order = rng.permutation(len(x))  # shuffled here, so that all three see the same batches
        x, y = x[order], y[order]
        for (name, fit), output in list(zip(fits.items(), outputs, strict=True))[: 3 if epoch < 2 else 2]:
            start = time.perf_counter()
            fit(x, y)
            seconds[name].append(time.perf_counter() - start)
            errors[name].append(100 * float(np.mean(output(x_test).argmax(axis=1) != test_labels)))
    report.at_least("test accuracy of the NumPy network", 1 - errors["NumPy, by hand"][-1] / 100, 0.95, trained=True)
    rows = [(name, run[0], run[-1], len(run), min(seconds[name])) for name, run in errors.items()]
    columns = ("network", "test error after one epoch, %", "after the last, %", "epochs", "seconds an epoch")
    report.table("the same weights and batches, three ways to train", columns, rows)
    by_hand, by_keras = list(errors.values())[:2]
    numbers, title = np.arange(1, epochs + 1), "By hand or by Keras: the same gradient, the same learning"
    figure, ax = plots.subplots()
    ax.plot(numbers, by_hand, linewidth=2, label="NumPy, by hand")
    ax.plot(numbers, by_keras, "o", markersize=10, fillstyle="none", markeredgewidth=2, label="Keras")
    ax.set(xlabel="epoch", ylabel="test error on MNIST, %", title=title, ylim=(0, None))
    ax.legend()
    report.figure(
        "test error by epoch", figure, alt="Test error falls epoch by epoch; Keras's points lie on the curve."
    )
    report.note(f"Nielsen trains for 30 epochs in batches of 10; here {epochs} in batches of {BATCH_SIZE}, for time.")


def _first_update(report, network, x, y, learning_rate):
    """The hidden gradient on the first batch of digits, with the output weights before and after their update."""
    layers = network.activations(x)
    hidden_delta, delta = network.deltas(layers, y)
    h, n = layers[1], len(x)
    changed = network.weights[1] - learning_rate * h.T @ delta / n
    wrong_delta = (delta @ changed.T) * h * (1 - h)
    tape = _tape_gradients(network, x, y)[0][0]
    off = [np.linalg.norm(layers[0].T @ d / n - tape) / np.linalg.norm(tape) for d in (hidden_delta, wrong_delta)]
    deltas = (("output", delta), ("hidden", hidden_delta), ("hidden, from the changed weights", wrong_delta))
    rows = [(name, str(d.shape), float(np.sqrt(np.mean(d**2)))) for name, d in deltas]
    report.table("δ of the first batch of digits", ("layer", "shape", "root mean square"), rows)
    report.at_most("relative distance of the hidden gradient from the tape's", got=off[0], bound=1e-5)
    report.at_least("the same, with the output weights changed first", got=off[1], bound=1e-4)
    report.correction(
        "order of the algorithm's steps",
        course="the output weights are updated before the hidden δ is computed from them",
        correct="all δ are computed with the weights of the forward pass, then all weights are updated",
        shown_by="only the hidden gradient from the old weights equals the tape's",
    )


def _parameters(network):
    return [array for pair in zip(network.weights, network.biases, strict=True) for array in pair]


def _tape_gradients(network, x, y):
    weights, biases = ([tf.constant(array) for array in arrays] for arrays in (network.weights, network.biases))
    with tf.GradientTape() as tape:
        tape.watch([weights, biases])
        h = tf.constant(x)
        for w, b in zip(weights, biases, strict=True):
            h = tf.sigmoid(h @ w + b)
        loss = tf.reduce_mean(half_squared_error(tf.constant(y), h))
    return tuple([g.numpy() for g in group] for group in tape.gradient(loss, [weights, biases]))

"""Back-propagation passes every layer's error δ to the layer before it, through the weights that caused it.

What the reader should see: two formulas give the gradient of a network of any depth, δ = (o − t) · o(1 − o) at the
output and δ = (δ of the next layer @ its weightsᵀ) · h(1 − h) below. They agree with the tape and with central
differences in every weight, and the NumPy network learns digits step by step as Keras does, at about the same speed.

Notes: chapter 04, "The back-propagation algorithm" (反向传播算法).
Source: Rumelhart, Hinton, Williams 1986, doi:10.1038/323533a0, equations 4 to 8; Nielsen 2015,
http://neuralnetworksanddeeplearning.com, chapters 1 and 2 (the layer sizes, the batch of 10 and the learning rate 3).
"""

import time
from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.parts import positive, shape, whole

SMOKE = {"epochs": 2, "images": 512, "hidden": 20}
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
        sizes = tuple(whole("sizes", n) for n in sizes)
        if len(sizes) < 2:
            raise ValueError(f"sizes: expected at least two, inputs and outputs, got {sizes!r}")
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
        o = self.forward(x)
        t = _batch("y", y, self.sizes[-1], self.dtype, len(o))
        return float(np.square(o - t).sum() / (2 * len(t)))

    def deltas(self, layers, y):
        """List every layer's error δ (batch, units): the derivative of one example's loss by the layer's weighted sum.

        Args:
            layers: What `activations` returned.
            y: Targets t, (batch, outputs).
        """
        o = layers[-1]
        t = _batch("y", y, self.sizes[-1], self.dtype, len(o))
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
        """Train with mini-batch gradient descent, the algorithm's eight steps: numbers 2 to 7 stand in the code.

        1 The weights start small and random (`__init__`). 8 Go on until the epochs are over.

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
        x = _batch("x", x, self.sizes[0], self.dtype)
        y = _batch("y", y, self.sizes[-1], self.dtype, len(x))
        rate, batch_size = (
            np.asarray(positive("learning_rate", learning_rate), self.dtype),
            whole("batch_size", batch_size),
        )
        rng, history = np.random.default_rng(self.seed), []
        for _ in range(whole("epochs", epochs)):
            order, total = rng.permutation(len(x)) if shuffle else np.arange(len(x)), 0.0
            for start in range(0, len(x), batch_size):
                # 2: take the examples
                rows = order[start : start + batch_size]
                # 3 and 4: forwards, through all layers
                layers = self.activations(x[rows])
                # 5 and 6: backwards, all errors before any weight changes
                deltas = self.deltas(layers, y[rows])
                # 7: change every weight by what went in and what went wrong
                for w, b, h, delta in zip(self.weights, self.biases, layers, deltas, strict=False):
                    w -= rate / len(rows) * (h.T @ delta)
                    b -= rate / len(rows) * delta.sum(axis=0)
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
    positive("epsilon", epsilon)
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


def _batch(name, values, width, dtype, examples=None):
    array = shape(name, np.asarray(values, dtype), examples, width)
    if not len(array) or not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, at least one example, got shape {array.shape}")
    return array


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
    models = [keras_network(network), keras_network(network)]
    for model in models:
        model.compile(keras.optimizers.SGD(learning_rate), loss=half_squared_error)
    _same_updates(report, network, models[0], x[: 100 * BATCH_SIZE], y[: 100 * BATCH_SIZE], learning_rate)

    same = {"batch_size": BATCH_SIZE, "shuffle": False}
    ways = {  # name -> (train on x and y, outputs for x)
        "NumPy, by hand": (lambda x, y: network.train(x, y, learning_rate, epochs=1, **same), network.forward),
        "Keras, kerasnotes.training.fit": (lambda x, y: training.fit(models[0], x, y, **same), models[0]),
        "Keras, model.fit": (lambda x, y: models[1].fit(x, y, verbose=0, **same), models[1]),
    }
    errors, seconds = {name: [] for name in ways}, {name: [] for name in ways}
    for epoch in report.track(range(epochs), "training on digits"):
        order = rng.permutation(len(x))  # shuffled here, so that all three see the same batches
        x, y = x[order], y[order]
        for name, (fit, outputs) in list(ways.items())[: 3 if epoch < 2 else 2]:
            start = time.perf_counter()
            fit(x, y)
            seconds[name].append(time.perf_counter() - start)
            errors[name].append(100 * float(np.mean(np.argmax(outputs(x_test), axis=1) != test_labels)))
    report.at_least("test accuracy of the NumPy network", 1 - errors["NumPy, by hand"][-1] / 100, 0.95, trained=True)
    rows = [(name, run[0], run[-1], len(run), min(seconds[name])) for name, run in errors.items()]
    columns = ("network", "test error after one epoch, %", "after the last, %", "epochs", "seconds an epoch")
    report.table("the same weights and batches, three ways to train", columns, rows)
    alt = "Test error falls epoch by epoch; Keras's points lie on the curve."
    report.figure("test error by epoch", _figure(*list(errors.values())[:2]), alt=alt)
    report.note(f"Nielsen trains for 30 epochs in batches of 10; here {epochs} in batches of {BATCH_SIZE}, for time.")


def _same_updates(report, network, model, x, y, learning_rate):
    """Train a copy of the network and its model in Keras on the same batches; the model gets its weights back."""
    twin, same = SigmoidNetwork(network.sizes, network.seed), {"batch_size": BATCH_SIZE, "shuffle": False}
    twin.train(x, y, learning_rate, epochs=1, **same)
    training.fit(model, x, y, **same)
    got, want, updates = _parameters(twin), model.get_weights(), -(-len(x) // BATCH_SIZE)
    report.check(f"after {updates} updates, all parameters equal Keras's", got=got, want=want, rtol=1e-4, atol=1e-4)
    model.set_weights(_parameters(network))


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


def _figure(by_hand, by_keras):
    figure, ax = plots.subplots()
    numbers = np.arange(1, len(by_hand) + 1)
    ax.plot(numbers, by_hand, linewidth=2, label="NumPy, by hand")
    ax.plot(numbers, by_keras, "o", markersize=10, fillstyle="none", markeredgewidth=2, label="Keras")
    ax.set(
        xlabel="epoch", ylabel="test error on MNIST, %", ylim=(0, None), title="By hand or by Keras: the same learning"
    )
    ax.legend()
    return figure

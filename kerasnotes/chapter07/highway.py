"""Gates that let the input through make fifty layers trainable at learning rates where plain layers stand still.

What the reader should see: a highway layer mixes a plain layer's output with its own input, and learns how much of
each. Shut gates make it the identity, open ones a plain layer. Starting almost shut, fifty of them learn MNIST in a few
hundred steps at large learning rates, where fifty plain layers do not leave chance. At a rate a tenth as large the
plain tanh network learns too; but each at its best rate, the gates win. The grid of rates was chosen after runs had
been seen.

Notes: chapter 07, "Highway networks" (高速公路网络).
Source: Srivastava et al. 2015, arXiv:1505.00387, equations 2 and 3 and figure 2.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.parts import whole

SMOKE = {"layers": 4, "epochs": 1, "images": 200, "learning_rates": (0.1, 0.01)}
FULL = {"seeds": 3, "images": 60000, "epochs": 5}
SECONDS = 28

SHOWN_RATE = 0.1  # of the training curves and of the check that plain tanh layers stand still


class HighwayDense(keras.layers.Layer):
    """A dense layer with gates: y = H(x) · T(x) + x · C(x), where T and C lie between 0 and 1.

    Args:
        units: Units, as many as the input has.
        activation: Activation of H, a name or a callable; None for none.
        transform_bias: Start of the transform gate's bias. Below zero the layer starts near the identity.
        carry_gate: False couples the gates, C = 1 - T. True gives C weights of its own; its bias starts at
            -transform_bias, so that both forms start alike.
        seed: Seed of the initial weights: He's normal start for H, Glorot's uniform one for the gates.

    Raises:
        ValueError: If `units` is not a positive integer, the bias is not finite, or the input has other units.

    Source: Srivastava et al. 2015, arXiv:1505.00387, equations 2 and 3.
    """

    def __init__(self, units, activation="relu", transform_bias=-1.0, carry_gate=False, seed=0, **arguments):
        super().__init__(**arguments)
        if not np.isfinite(transform_bias):
            raise ValueError(f"transform_bias: expected a finite number, got {transform_bias!r}")
        units = whole("units", units)
        self.units, self.transform_bias, self.carry_gate, self.seed = units, transform_bias, carry_gate, seed
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        """Create the weights: kernel and bias of H, of T, and of C if it has its own."""
        if input_shape[-1] != self.units:
            raise ValueError(f"x: expected {self.units} units, as many as the layer's, got {input_shape[-1]}")
        seeds = np.random.default_rng(self.seed).integers(2**31, size=3).tolist()
        he, glorot = keras.initializers.HeNormal, keras.initializers.GlorotUniform
        self.kernel, self.bias = self._dense("", he(seeds[0]), 0.0)
        self.transform_kernel, self.transform_start = self._dense("transform_", glorot(seeds[1]), self.transform_bias)
        if self.carry_gate:
            self.carry_kernel, self.carry_start = self._dense("carry_", glorot(seeds[2]), -self.transform_bias)

    def _dense(self, name, initializer, bias):
        kernel = self.add_weight(shape=(self.units, self.units), initializer=initializer, name=f"{name}kernel")
        start = keras.initializers.Constant(bias)
        return kernel, self.add_weight(shape=(self.units,), initializer=start, name=f"{name}bias")

    def transform(self, x):
        """The transform gate T(x) for x (batch, units): the share of H in the output, (batch, units)."""
        return keras.ops.sigmoid(x @ self.transform_kernel + self.transform_start)

    def call(self, x):
        """Outputs (batch, units) for x (batch, units)."""
        h, t = self.activation(x @ self.kernel + self.bias), self.transform(x)
        if self.carry_gate:
            return h * t + x * keras.ops.sigmoid(x @ self.carry_kernel + self.carry_start)
        return h * t + x * (1 - t)

    def get_config(self):
        """The arguments with which to build the layer again."""
        names = ("units", "transform_bias", "carry_gate", "seed")
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "activation": activation, **{name: getattr(self, name) for name in names}}


def build_highway(depth=50, input_shape=(784,), classes=10, units=50, transform_bias=-4.0, seed=0):
    """Build a network of highway layers: a dense layer to `units`, `depth` - 2 highway layers, a layer of logits.

    Returns: An uncompiled `keras.Model` from inputs (batch, features) to logits (batch, classes).
    Raises: ValueError: If an argument is out of range.

    Source: Srivastava et al. 2015, arXiv:1505.00387 (50 units on MNIST).
    """
    seeds = _seeds(depth, classes, seed)
    hidden = [HighwayDense(units, transform_bias=transform_bias, seed=each) for each in seeds[1:-1]]
    return _network(input_shape, units, "relu", hidden, classes, seeds)


def build_plain(depth=50, input_shape=(784,), classes=10, units=71, activation="tanh", seed=0):
    """Build the same network of plain dense layers: 71 units have the parameters of 50 highway units.

    The weights start as is usual: He's normal start for "relu", Glorot's uniform one otherwise.

    Returns: An uncompiled `keras.Model` from inputs (batch, features) to logits (batch, classes).
    Raises: ValueError: If an argument is out of range.
    """
    seeds = _seeds(depth, classes, seed)
    hidden = [_dense(units, activation, each) for each in seeds[1:-1]]
    return _network(input_shape, units, activation, hidden, classes, seeds)


def gate_activity(model, x):
    """Mean transform gate of every highway layer of a model built by `build_highway`.

    Args:
        model: The network.
        x: Inputs (samples, features).

    Returns: Array (highway layers,): the mean over samples and units, first layer first.
    Raises: ValueError: If the model has no highway layer.
    """
    means = []
    for layer in model.layers:
        if isinstance(layer, HighwayDense):
            means.append(float(keras.ops.mean(layer.transform(x))))
        x = layer(x)
    if not means:
        raise ValueError("model: expected at least one HighwayDense layer, got none")
    return np.array(means)


def _seeds(depth, classes, seed):
    whole("classes", classes)
    return np.random.default_rng(seed).integers(2**31, size=whole("depth", depth, 2)).tolist()


def _dense(units, activation, seed):
    start = keras.initializers.HeNormal if activation == "relu" else keras.initializers.GlorotUniform
    return keras.layers.Dense(whole("units", units), activation=activation, kernel_initializer=start(seed=seed))


def _network(input_shape, units, activation, hidden, classes, seeds):
    first, last = _dense(units, activation, seeds[0]), _dense(classes, None, seeds[-1])
    return keras.Sequential([keras.Input(input_shape), first, *hidden, last])


def example():
    """A highway layer with its gates shut and open, beside Keras's dense layer of the same weights."""
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 4)), tf.float32)
    highway, dense = HighwayDense(4, activation="tanh"), keras.layers.Dense(4, activation="tanh")
    highway.build(x.shape)
    dense.build(x.shape)
    dense.set_weights([highway.kernel, highway.bias])
    print("the input:  ", np.round(np.ravel(x), 3))
    print("layers.Dense:", np.round(np.ravel(dense(x)), 3))
    for name, bias in (("shut", -20.0), ("half", 0.0), ("open", 20.0)):
        highway.transform_start.assign(np.full(4, bias))
        print(f"gates {name}:  {np.round(np.ravel(highway(x)), 3)}, transform {float(highway.transform(x)[0, 0]):.2f}")
    model = build_highway(depth=50)
    gates = gate_activity(model, np.zeros((1, 784), "float32"))
    print(f"{len(gates)} highway layers of build_highway start with gates at {gates.mean():.3f}")


def lesson(
    report,
    *,
    layers: int = 50,
    epochs: int = 5,
    images: int = 10000,
    learning_rates: tuple[float, ...] = (0.1, 0.03, 0.01, 0.003, 0.001),
    transform_bias: float = -4.0,
    seeds: int = 1,
    seed: int = 0,
):
    """Open and shut the gates, then train three networks of equal depth at every learning rate of one grid.

    Args:
        report: The report to write to.
        layers: Layers of each network (3 to 200).
        epochs: Training epochs of each run (1 to 200).
        images: Training images (100 to 60000).
        learning_rates: Learning rates to compare; the first one is drawn and checked (0.00001 to 1).
        transform_bias: Start of the transform gates' biases (-20 to 5).
        seeds: Runs at each learning rate (1 to 20).
        seed: First seed of weights and orders (0 to 4294967295).
    """
    _gates(report, np.random.default_rng(seed))

    (x, y), (x_test, y_test) = data.mnist()
    x, x_test = (pictures.reshape(len(pictures), -1) / np.float32(255) for pictures in (x, x_test))
    networks = {
        "highway": lambda number: build_highway(layers, transform_bias=transform_bias, seed=number),
        "plain tanh": lambda number: build_plain(layers, seed=number),
        "plain ReLU": lambda number: build_plain(layers, activation="relu", seed=number),
    }
    losses = np.zeros((len(networks), len(learning_rates), seeds, epochs))
    accuracies, gates = np.zeros(losses.shape[:3]), {}
    for i, (name, build) in enumerate(report.track(networks.items(), "networks")):
        for run in range(seeds):
            chosen = np.random.default_rng(seed + run).permutation(len(x))[:images]
            model = build(seed + run)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.SGD(momentum=0.9), loss)
            restart, start = training.restarter(model), model.get_weights()
            for j, rate in enumerate(report.track(learning_rates, name)):
                restart(start)
                model.optimizer.learning_rate = rate
                form = "loop" if epochs * images >= 100 * 100 else "step"  # a loop takes longer to compile
                settings = {"batch_size": 100, "epochs": epochs, "seed": seed + run, "form": form}
                losses[i, j, run] = training.fit(model, x[chosen], y[chosen], **settings).history["loss"]
                accuracies[i, j, run] = np.mean(training.predict(model, x_test).argmax(axis=1) == y_test)
                if name == "highway" and (j, run) == (0, 0):
                    gates["after training"] = gate_activity(model, x_test)
            if name == "highway" and run == 0:
                model.set_weights(start)
                gates["before training"] = gate_activity(model, x_test)
    _results(report, list(networks), learning_rates, accuracies, epochs, images, transform_bias)
    _curves(report, list(networks), learning_rates, accuracies, losses)
    _gate_figure(report, gates)


def _gates(report, rng):
    x = tf.constant(rng.normal(size=(4, 6)), tf.float32)
    exact = {"rtol": 0.0, "atol": 0.0}
    for carry_gate, name in ((False, "coupled gates"), (True, "gates of their own")):
        layer = HighwayDense(6, "tanh", carry_gate=carry_gate, seed=int(rng.integers(2**31)))
        layer.build(x.shape)
        layer.bias.assign(rng.normal(size=6))
        plain = keras.layers.Dense(6, activation="tanh")
        plain.build(x.shape)
        plain.set_weights([layer.kernel, layer.bias])
        for gate, want, label in ((-1e4, x, "shut, the input"), (1e4, plain(x), "open, a plain layer")):
            layer.transform_start.assign(np.full(6, gate))
            if carry_gate:
                layer.carry_start.assign(np.full(6, -gate))
            tolerance = exact if gate < 0 else {}
            report.check(f"{name}: {label}", layer(x), want, **tolerance)
    report.check(
        "a plain layer of 71 units has the parameters of 50 highway units", 71 * 72 / (2 * 50 * 51), 1, rtol=0.01
    )


def _results(report, names, rates, accuracies, epochs, images, transform_bias):
    rows = []
    for name, by_rate in zip(names, accuracies, strict=True):
        for rate, runs in zip(rates, by_rate, strict=True):
            rows.append([name, rate, *map(float, plots.mean_and_error(100 * runs))])
    title = f"test accuracy after {epochs} epochs on {images} digits; seeds: {accuracies.shape[2]}"
    report.table(title, ["network", "learning rate", "test accuracy, %", "standard error, %"], rows)
    highway, tanh, relu = accuracies  # each (rates, runs)
    report.at_least(f"highway: test accuracy at rate {rates[0]:g}, every seed", highway[0], 0.90, trained=True)
    report.at_most(f"plain tanh: test accuracy at rate {rates[0]:g}, every seed", tanh[0], 0.20, trained=True)
    gain = highway.max(axis=0) - np.maximum(tanh, relu).max(axis=0)
    label = "each at its own best rate: highway's test accuracy minus the better plain one's, every seed"
    report.at_least(label, gain, 0.01, trained=True)
    best = [f"{name} {100 * a.mean(axis=1).max():.1f} % at {rates[int(a.mean(axis=1).argmax())]:g}"
            for name, a in zip(names, accuracies, strict=True)]  # fmt: skip
    report.note(
        f"Best of the grid: {', '.join(best)}. That plain tanh layers stay at chance is true of the rates at which the "
        "highway network learns fastest, not of every rate."
    )
    report.note(
        f"As in the paper: 50 highway and 71 plain units, a negative transform bias (here {transform_bias:g}), "
        "gradient descent with momentum 0.9, MNIST. The paper drew the settings of each network at random, the bias "
        "among them, and let the learning rate fall; here one grid of constant rates, batches of 100 and fewer steps. "
        "All networks of one seed see the same batches; each rate starts from the same weights."
    )


def _curves(report, names, rates, accuracies, losses):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4))
    epochs = np.arange(1, losses.shape[-1] + 1)
    labels = {"xlabel": "epoch", "ylabel": "training loss, nats", "title": f"All at learning rate {rates[0]:g}"}
    capped = {name: np.minimum(np.nan_to_num(runs[0], nan=1e9), 3.0) for name, runs in zip(names, losses, strict=True)}
    plots.curves(epochs, capped, ax=left, marker="o", **labels)
    left.set_ylim(0, 3.1)
    left.xaxis.get_major_locator().set_params(integer=True)
    order = np.argsort(rates)
    series = {name: 100 * a[order].T for name, a in zip(names, accuracies, strict=True)}
    labels = {"xlabel": "learning rate", "ylabel": "test accuracy, %", "title": "Each learning rate of the grid"}
    plots.curves(np.sort(rates), series, ax=right, marker="o", xscale="log", **labels)
    right.set_ylim(0, 100)
    right.axhline(10, color="gray", linestyle=":")
    alt = (
        "Left: at one learning rate the highway network's training loss falls, the plain ones stay at chance. Right: "
        "the highway network is the best at large rates and overall; the plain ones learn at small rates only."
    )
    report.figure("Fifty layers learn MNIST with gates", figure, alt=alt)


def _gate_figure(report, gates):
    positions = np.arange(2, 2 + len(gates["before training"]))
    labels = {"xlabel": "layer", "ylabel": "mean transform gate"}
    title = "Training opens the gates of some layers"
    series = {name: gates[name] for name in ("before training", "after training")}
    figure = plots.curves(positions, series, title=title, **labels)
    figure.axes[0].set_ylim(bottom=0)
    alt = "Mean transform gate of each layer over the test digits, level before training and uneven after it."
    report.figure("Transform gates by layer", figure, alt=alt)

"""One hidden layer with a bend solves what no stack of linear layers can, and reads digits well.

A dense layer is a weighted sum for each unit and a bend. Without the bend, layers collapse into one. With it, a few
hidden units learn XOR from nearly every start, and a single hidden layer misreads fewer than 2 of 100 handwritten
digits it has never seen. One network with ten outputs reads better, after the same short training, than ten
networks that answer yes or no, with as many hidden units in all.

Notes: chapter 02, "Multilayer perceptrons" (多层感知机).
Source: Rumelhart, Hinton, Williams 1986, doi:10.1038/323533a0; Glorot and Bengio 2010,
https://proceedings.mlr.press/v9/glorot10a.html, Equation 16 (initial weights);
https://keras.io/api/layers/core_layers/dense.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter02.neurons import linear_unit
from kerasnotes.chapter02.regression import solve_least_squares
from kerasnotes.parts import layer_seeds, whole

SMOKE = {"steps": 5, "epochs": 1, "examples": 512, "units": 16, "xor_units": (1,)}
SECONDS = 20


class Dense:
    """A fully connected layer: activation(x·w + b), with weights `w` (inputs, units) and biases `b` (units,).

    The weights are made when the first inputs come: uniform in ±√(6 / (inputs + units)), as in Keras; the biases are 0.

    Args:
        units: Outputs of the layer.
        activation: A function of tensors, the name of one in Keras, or None for a linear layer.
        seed: Seed of the initial weights.

    Raises: ValueError: If `units` is not a positive integer or the activation is unknown.
    """

    def __init__(self, units, activation=None, seed=0):
        self.units, self.seed, self.w, self.b = whole("units", units), seed, None, None
        try:
            self.activation = keras.activations.get(activation)
        except (ValueError, TypeError):
            raise ValueError(
                f"activation: expected a function or a name that Keras knows, got {activation!r}"
            ) from None

    def __call__(self, x):
        """The layer's outputs, (..., inputs) to (..., units)."""
        if self.w is None:
            self.build(x.shape[-1] if hasattr(x, "shape") else np.shape(x)[-1])
        return self.activation(linear_unit(x, self.w, self.b))

    def build(self, inputs):
        """Make the weights for so many inputs."""
        bound = np.sqrt(6 / (whole("inputs", inputs) + self.units))
        w = np.random.default_rng(self.seed).uniform(-bound, bound, size=(inputs, self.units))
        self.w, self.b = tf.Variable(w, dtype=tf.float32), tf.Variable(tf.zeros(self.units))


def one_hot(labels, classes):
    """A vector for every label, 1 at the label's place and 0 elsewhere.

    Args:
        labels: Integers (...), from 0 to classes - 1. Others are refused, where `tf.one_hot` makes zeros of them; in a
            `tf.function`, where values are not known, they become zeros here as well.
        classes: Length of the vectors.

    Returns: Tensor (..., classes), float32.
    Raises: ValueError: If a label is out of range or no integer, or there is none.
    """
    labels = tf.convert_to_tensor(labels)
    if not labels.dtype.is_integer:
        raise ValueError(f"labels: expected integers, got {labels.dtype.name}")
    known = tf.get_static_value(labels)  # None while a tf.function is traced
    if known is not None and not (known.size and known.min() >= 0 and known.max() < whole("classes", classes)):
        found = f"{known.min()} to {known.max()}" if known.size else "none"
        raise ValueError(f"labels: expected integers from 0 to {classes - 1}, got {found}")
    places = tf.range(whole("classes", classes), dtype=tf.int64)
    return tf.cast(tf.cast(labels, tf.int64)[..., None] == places, tf.float32)


def build_mlp(hidden, classes, activation="relu", seed=0):
    """A fully connected network in Keras; its outputs are logits, so its loss takes `from_logits=True`.

    Args:
        hidden: Units of each hidden layer, possibly none.
        classes: Outputs.
        activation: Activation of the hidden layers.
        seed: Seed of the initial weights.

    Returns: A `keras.Sequential`, built when the first inputs (batch, inputs) come.
    Raises: ValueError: If a layer has no positive integer of units.
    """
    sizes = [*(whole("hidden", units) for units in hidden), whole("classes", classes)]
    kinds, seeds = [activation] * (len(sizes) - 1) + [None], layer_seeds(seed)
    return keras.Sequential(
        [
            keras.layers.Dense(n, kind, kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)))
            for n, kind in zip(sizes, kinds, strict=True)
        ]
    )


def example():
    """A layer beside Keras's with the same weights, and a network with one hidden layer that learns XOR."""
    x, labels = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0])
    ours, theirs = Dense(3, "tanh", seed=1), keras.layers.Dense(3, "tanh")
    y = ours(x)
    theirs.build(x.shape)
    theirs.set_weights([ours.w.numpy(), ours.b.numpy()])
    print("ours, Keras's:", y[3].numpy(), theirs(x)[3].numpy())
    print("one-hot:", one_hot(labels, 2).numpy().tolist(), tf.one_hot(labels, 2).numpy().tolist())

    model = build_mlp([8], 2, activation="tanh", seed=0)
    model.compile(keras.optimizers.Adam(0.1), keras.losses.CategoricalCrossentropy(from_logits=True))
    history = model.fit(x, one_hot(labels, 2), epochs=40, batch_size=4, verbose=0)
    print("loss of XOR:", history.history["loss"][0], "to", history.history["loss"][-1])
    print("answers:", model(x).numpy().argmax(axis=1), "labels:", labels)


def lesson(
    report,
    *,
    steps: int = 3000,
    xor_units: tuple[int, ...] = (1, 2, 3, 4, 8),
    epochs: int = 6,
    units: int = 512,
    examples: int = 60000,
    seed: int = 0,
):
    """Our layer beside Keras's, XOR from ten starts, and handwritten digits with one hidden layer.

    Args:
        report: The report to write to.
        steps: Steps of gradient descent on XOR (1 to 100000).
        xor_units: Hidden units to try on XOR, the first and the last are checked (1 to 100).
        epochs: Passes over the digits (1 to 1000).
        units: Hidden units for the digits (1 to 8192).
        examples: Training digits to use (256 to 60000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _layers(report, np.random.default_rng(seed))
    _xor(report, steps, xor_units, seed)
    (x, y), (x_test, y_test) = data.mnist()
    x, x_test = (images.reshape(len(images), -1) / np.float32(255) for images in (x, x_test))  # (n, 784)
    x, y = x[:examples], y[:examples]
    y, y_test = y.astype(np.int32), y_test.astype(np.int32)
    _one_or_ten(report, x, y, x_test, y_test, max(1, epochs // 3), seed)
    model = build_mlp([units], 10, seed=seed)
    _train(report, model, keras.losses.SparseCategoricalCrossentropy(from_logits=True), x, y, epochs, seed)
    logits = training.predict(model, x_test)
    report.at_least("digits: test accuracy", np.mean(logits.argmax(axis=1) == y_test), 0.980, trained=True)
    report.note("The settings were chosen on 10,000 held-out training digits, not on the test digits.")
    sure = tf.nn.softmax(logits).numpy().max(axis=1)
    wrong = np.flatnonzero(logits.argmax(axis=1) != y_test)
    wrong = wrong[np.argsort(-sure[wrong])][:16]
    report.figure(
        "Digits that the network gets wrong and is surest of",
        plots.images(x_test[wrong].reshape(-1, 28, 28), columns=8, title="Sure and wrong: what it says (what it is)",
                     titles=[f"{logits[i].argmax()} ({y_test[i]})" for i in wrong]),
        alt="Sixteen handwritten digits, most of them untidy, each with the network's wrong answer and the label.",
    )  # fmt: skip


def _train(report, model, loss, x, y, epochs, seed):
    """Adam, with a rate that falls to zero along a cosine."""
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * -(-len(x) // 128))
    model.compile(keras.optimizers.Adam(rate), loss)
    training.fit(model, x, y, batch_size=128, epochs=epochs, seed=seed, track=report.track)


def _layers(report, rng):
    x = rng.normal(size=(5, 4)).astype(np.float32)
    ours, theirs = Dense(3, "tanh", seed=1), keras.layers.Dense(3, "tanh")
    inputs = tf.constant(x)
    theirs.build(x.shape)
    ours(inputs)
    theirs.set_weights([ours.w.numpy(), ours.b.numpy()])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        outputs = ours(inputs), theirs(inputs)
        sums = [tf.reduce_sum(y**2) for y in outputs]
    report.check("our layer equals Keras's Dense", *outputs)
    slopes = tape.gradient(sums[0], [inputs, ours.w, ours.b]), tape.gradient(sums[1], [inputs, *theirs.weights])
    report.check("its gradients, too", *slopes)
    stack = [Dense(units, seed=number) for number, units in enumerate((64, 2, 64, 6))]
    y = inputs
    for layer in stack:
        y = layer(y)
    product = np.linalg.multi_dot([layer.w.numpy() for layer in stack])  # (4, 6)
    report.check("four linear layers are one, with the product of their weights", y, x @ product)
    report.check("its rank is that of the narrowest layer", int(np.linalg.matrix_rank(product)), 2)
    corners = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    w, b = solve_least_squares(corners, [0, 1, 1, 0])
    report.check("the best linear answer to XOR is ½ everywhere", corners @ w + b, [0.5] * 4)


def _xor(report, steps, units, seed, runs=10):
    """Ten starts for every number of hidden units, all starts in one compiled loop."""
    x, y = tf.constant([[0.0, 0], [0, 1], [1, 0], [1, 1]]), tf.constant([[0.0], [1], [1], [0]])

    @tf.function(jit_compile=True)
    def descend(weights):
        def step(w_1, b_1, w_2, b_2):
            with tf.GradientTape() as tape:
                tape.watch([w_1, b_1, w_2, b_2])
                logits = tf.tanh(x @ w_1 + b_1) @ w_2 + b_2  # (runs, 4, 1)
                losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.broadcast_to(y, logits.shape), logits)
                loss = tf.reduce_sum(tf.reduce_mean(losses, axis=(1, 2)))  # each run's part knows its own weights only
            slopes = tape.gradient(loss, [w_1, b_1, w_2, b_2])
            return [w - 0.5 * slope for w, slope in zip((w_1, b_1, w_2, b_2), slopes, strict=True)]

        weights = tf.while_loop(lambda *_: True, step, weights, maximum_iterations=steps)
        return weights, tf.tanh(x @ weights[0] + weights[1]) @ weights[2] + weights[3]

    rows = []
    for hidden in units:
        starts = []
        for number in range(runs):
            layers = [Dense(hidden, seed=(seed + number, 0)), Dense(1, seed=(seed + number, 1))]
            layers[1](layers[0](x))
            starts.append([layers[0].w, layers[0].b[None], layers[1].w, layers[1].b[None]])
        weights, logits = descend([tf.stack(group) for group in zip(*starts, strict=True)])
        solved = np.all((logits.numpy() > 0) == (y.numpy() > 0), axis=(1, 2))
        rows.append([hidden, int(solved.sum())])
    report.table(f"XOR after {steps} steps", ["hidden units", f"runs of {runs} that get all four points right"], rows)
    report.at_least(f"XOR, {units[-1]} hidden units: runs of 10 that get all four right", rows[-1][1], 9, trained=True)
    if units[0] == 1:
        report.check("XOR with one hidden unit: runs that get all four right", rows[0][1], 0)
    side = np.linspace(-0.5, 1.5, 101)
    plane = np.stack(np.meshgrid(side, side), axis=-1)
    w_1, b_1, w_2, b_2 = (w[int(np.argmax(solved))].numpy() for w in weights)
    heights = tf.sigmoid(np.tanh(plane @ w_1 + b_1) @ w_2 + b_2)[..., 0]
    figure = plots.heatmap(heights, xlabel="first input", ylabel="second input", label="probability of 1",
                           origin="lower", extent=(-0.5, 1.5, -0.5, 1.5), title="Hidden units bend the border of XOR",
                           cmap="cividis", vmin=0, vmax=1)  # fmt: skip
    for (a, b), label in zip(x.numpy(), y.numpy()[:, 0], strict=True):
        figure.axes[0].text(a, b, f"{label:.0f}", ha="center", va="center",
                            bbox={"boxstyle": "circle", "facecolor": "white"})  # fmt: skip
    report.figure(
        "XOR learnt",
        figure,
        alt="The plane coloured by the answer: high at (0, 1) and (1, 0), low at the other corners.",
    )


def _one_or_ten(report, x, y, x_test, y_test, epochs, seed, hidden=20):
    """Ten networks of 20 hidden units, one for each digit, side by side in one model; against one network of 200."""
    parts = [
        keras.layers.Dense(10 * hidden, "relu", kernel_initializer=keras.initializers.GlorotUniform(seed=seed)),
        keras.layers.Reshape((10, hidden)),
        keras.layers.EinsumDense("bnk,nk->bn", 10, bias_axes="n",  # the sum keeps each network to itself
                                 kernel_initializer=keras.initializers.GlorotUniform(seed=seed ^ 1)),
    ]  # fmt: skip
    ten, one = keras.Sequential(parts), build_mlp([10 * hidden], 10, seed=seed)
    targets = one_hot(y, 10)
    _train(report, ten, keras.losses.BinaryCrossentropy(from_logits=True), x, targets, epochs, seed)
    _train(report, one, keras.losses.CategoricalCrossentropy(from_logits=True), x, targets, epochs, seed)
    rows, accuracy = [], []
    for name, model, squash in (
        ("ten networks, yes or no", ten, tf.sigmoid),
        ("one with ten outputs", one, tf.nn.softmax),
    ):
        logits = training.predict(model, x_test)
        off = np.abs(squash(logits).numpy().sum(axis=1) - 1).mean()
        accuracy.append(np.mean(logits.argmax(axis=1) == y_test))
        rows.append([name, model.count_params(), accuracy[-1], off])
    columns = ["200 hidden units in all", "parameters", "test accuracy", "mean distance of the sum of answers from 1"]
    report.table(f"Digits, {epochs} epochs", columns, rows)
    report.at_least("lead of the one network in test accuracy", accuracy[1] - accuracy[0], 0.0, trained=True)
    report.check("one network: its ten answers sum to 1", rows[1][3], 0.0, atol=1e-5)
    report.at_least("ten networks: theirs do not; mean distance", rows[0][3], 0.005)

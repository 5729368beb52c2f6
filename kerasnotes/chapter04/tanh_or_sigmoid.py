"""The deeper, the further a sigmoid network falls behind tanh, also when it starts as the very same function.

A tanh network is a sigmoid network in other numbers: kernels four times as large, and biases that put the middle at 0.
Gradient descent sees the numbers, not the function. One step of the rewritten network is, in the numbers of tanh, a
step at a sixteenth of the rate, and a far longer one along one direction, mostly the bias. What the reader should see:
how much of the sigmoid's delay is its start, and how much is this geometry.

Notes: chapter 04, "Vanishing gradients and rectified linear units" (梯度消失与ReLU).
Source: LeCun et al. 1998, doi:10.1007/3-540-49430-8_2, section 4.4; Glorot and Bengio 2010,
https://proceedings.mlr.press/v9/glorot10a.html, section 3.1 (the last hidden layer of a sigmoid network).
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.parts import layer_seeds, shape, whole

SMOKE = {"depth": 2, "images": 200, "steps": 10, "seeds": 1}
SECONDS = 9

TANH, SIGMOID = (1.0, 1.0, 0.0), (0.5, 0.5, 0.5)  # a, b, c of a·tanh(b·z) + c
RATES = (0.1, 0.3, 1.0, 3.0, 10.0)
DEPTHS = (1, 2, 3, 5, 8)


def glorot_layers(sizes, seed=0):
    """Kernels by Glorot's uniform start and biases of 0: a list of `(kernel, bias)`, float32.

    Args:
        sizes: Inputs, units of each hidden layer, outputs.
        seed: Seed of the kernels.
    """
    pairs = zip(sizes[:-1], sizes[1:], layer_seeds(seed))  # noqa: B905 (seeds do not end)
    return [(keras.initializers.GlorotUniform(one)((rows, columns)).numpy(), np.zeros(columns, np.float32))
            for rows, columns, one in pairs]  # fmt: skip


def as_sigmoid_network(layers):
    """The sigmoid network that computes what a tanh network with a linear last layer computes: tanh z = 2σ(2z) − 1.

    Args:
        layers: List of `(kernel, bias)` of the shapes (..., inputs, units) and (..., units), at least two.

    Returns: Such a list. The first layer is (2W, 2b), those behind it (4W, 2b − 2ΣW), the last (2W, b − ΣW), where Σ
        adds up each column.
    """
    sums = [np.sum(kernel, axis=-2) for kernel, _ in layers]
    (first, first_bias), *inner, (last, last_bias) = layers
    rewritten = [(4 * kernel, 2 * (bias - total)) for (kernel, bias), total in zip(inner, sums[1:-1], strict=True)]
    return [(2 * first, 2 * first_bias), *rewritten, (2 * last, last_bias - sums[-1])]


def step_in_tanh_terms(gradients):
    """Where a step of gradient descent on `as_sigmoid_network` moves the tanh network, for a learning rate of 1.

    A change of the sigmoid's kernel moves kernel and bias of tanh, so that a bias's gradient g_b comes into both:

        first layer:  ΔW = −g_W/4,           Δb = −g_b/4
        behind it:    ΔW = −(g_W + g_b)/16,  Δb = −g_b/4 + ΣΔW
        last layer:   ΔW = −(g_W + g_b)/4,   Δb = −g_b + ΣΔW

    Args:
        gradients: List of `(g_W, g_b)` of the tanh network, first layer first, at least two.

    Returns: List of `(ΔW, Δb)`.
    """
    (first, first_bias), *others = gradients
    steps = [(-first / 4, -first_bias / 4)]
    for number, (kernel, bias) in enumerate(others, start=1):
        last = number == len(others)
        change = -(kernel + bias) / (4 if last else 16)
        steps.append((change, -bias / (1 if last else 4) + np.sum(change, axis=0)))
    return steps


def inner_metric(units):
    """What multiplies the gradient of one unit's incoming weights and bias in `step_in_tanh_terms`, behind layer one.

    Returns: Array (units + 1, units + 1), the bias last. Its eigenvalues are 1/16, units − 1 times, and two others
        whose sum is (units + 5)/16 and whose product is 1/64.
    """
    ones = np.ones((whole("units", units), 1))
    return np.block([[np.eye(units) / 16, ones / 16], [ones.T / 16, np.array([[0.25 + units / 16]])]])


class Runs:
    """Many networks of one shape that learn side by side, each from its own start, at its own rate, by plain descent.

    Tanh and sigmoid are one function here, a·tanh(b·z) + c, so that one trace serves both.

    Args:
        layers: List of `(kernel, bias)` of the shapes (runs, inputs, units) and (runs, units); the last gives logits.
        activation: Numbers a, b and c (runs, 3): `TANH` or `SIGMOID`.
        rates: Learning rates (runs,).
    """

    def __init__(self, layers, activation, rates):
        runs = len(rates)
        shape("activation", np.asarray(activation), runs, 3)
        shape("layers", layers[0][0], runs, None, None)  # else one network would be copied to all runs
        self.layers = [[tf.Variable(kernel, dtype=tf.float32), tf.Variable(bias[:, None], dtype=tf.float32)]
                       for kernel, bias in layers]  # fmt: skip
        self.numbers = [tf.constant(column, tf.float32, (runs, 1, 1)) for column in np.transpose(activation)]
        self.rates = tf.constant(rates, tf.float32, (runs, 1, 1))
        self.step = tf.function(self._step)

    def forward(self, x):
        """Logits (runs, batch, classes) and the values of the last hidden layer, for inputs (runs or 1, batch, …)."""
        (a, b, c), h = self.numbers, x
        for kernel, bias in self.layers[:-1]:
            h = a * tf.tanh(b * (h @ kernel + bias)) + c
        kernel, bias = self.layers[-1]
        return h @ kernel + bias, h

    def losses(self, x, y):
        """Mean cross-entropy of each run, (runs,); labels y (runs or 1, batch)."""
        logits = self.forward(x)[0]
        labels = tf.broadcast_to(y, tf.shape(logits)[:-1])
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits), axis=1)

    def _step(self, x, y):
        weights = [weight for layer in self.layers for weight in layer]
        with tf.GradientTape() as tape:
            losses = self.losses(x, y)
            total = tf.reduce_sum(losses)  # no run's loss depends on another's weights
        for weight, gradient in zip(weights, tape.gradient(total, weights), strict=True):
            weight.assign_sub(self.rates * gradient)
        return losses


def keras_network(layers, activation):
    """The same network of Keras `Dense` layers, with logits; `layers` as `glorot_layers` returns them."""
    units = [kernel.shape[1] for kernel, _ in layers]
    hidden = [keras.layers.Dense(number, activation) for number in units[:-1]]
    model = keras.Sequential([keras.Input((len(layers[0][0]),)), *hidden, keras.layers.Dense(units[-1])])
    model.set_weights([weight for layer in layers for weight in layer])
    return model


def example():
    """A tanh network as a sigmoid network, and one step of gradient descent of each, in the numbers of tanh."""
    x, y = np.random.default_rng(0).normal(size=(8, 3)).astype("float32"), np.arange(8) % 2
    tanh = glorot_layers((3, 4, 4, 2))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for name, layers in (("tanh", tanh), ("sigmoid", as_sigmoid_network(tanh))):
        model = keras_network(layers, name)
        print(f"{name:>7}: logits of the first sample", model(x)[0].numpy())
        with tf.GradientTape() as tape:
            value = loss(y, model(x))
        gradients = tape.gradient(value, model.trainable_variables)
        if name == "tanh":
            wanted = step_in_tanh_terms([(gradients[i].numpy(), gradients[i + 1].numpy()) for i in (0, 2, 4)])
        else:
            print("sigmoid's step, a quarter of it in the second kernel:", -gradients[2].numpy()[0] / 4)
    print("the same in the numbers of tanh:                     ", wanted[1][0][0])


def lesson(
    report,
    *,
    depth: int = 8,
    units: int = 32,
    images: int = 2000,
    steps: int = 300,
    batch_size: int = 32,
    seeds: int = 3,
    seed: int = 0,
):
    """Exact rewriting and its step, then digits by networks of 1, 2, 3, 5 and 8 hidden layers.

    Args:
        report: The report to write to.
        depth: Most hidden layers, of the five depths (2 to 8).
        units: Units of each hidden layer (1 to 512).
        images: Images to learn from (100 to 60000).
        steps: Steps of gradient descent in each training (2 to 100000).
        batch_size: Images in each step (1 to 100).
        seeds: Trainings at each rate (1 to 20).
        seed: Seed of all random draws (0 to 4294967295).
    """
    train, test = ((_small(x), y.astype(np.int32)) for x, y in data.mnist())
    chosen = np.random.default_rng((seed, 1)).permutation(60000)[:images]
    x, y = train[0][chosen], train[1][chosen]
    mean = x.mean(axis=0)
    sizes = (x.shape[1], *[units] * 3, 10)
    _exact(report, x[:100] - mean, y[:100], sizes, seed)
    found = {}
    for hidden in report.track([each for each in DEPTHS if each <= depth], "depths"):
        sizes = (x.shape[1], *[units] * hidden, 10)
        found[hidden] = _train(
            sizes, x - mean, y, test[0][:2000] - mean, test[1][:2000], steps, batch_size, seeds, seed
        )
    _results(report, found, np.bincount(y) / len(y))


def _small(images):
    """Means over squares of 2 · 2 pixels, (n, 196), from 0 to 1."""
    return images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4), dtype=np.float32).reshape(-1, 196) / 255


def _train(sizes, x, y, x_test, y_test, steps, batch_size, seeds, seed):
    """All kinds, rates and seeds of one depth side by side: losses by step, then (kinds, rates, seeds) of the end."""
    starts = [glorot_layers(sizes, (seed, run)) for run in range(seeds)]
    starts = [tuple(np.stack(each) for each in zip(*layer, strict=True)) for layer in zip(*starts, strict=True)]
    kinds = starts, starts, as_sigmoid_network(starts)
    layers = [
        tuple(np.concatenate([np.concatenate([kind[number][part]] * len(RATES)) for kind in kinds]) for part in (0, 1))
        for number in range(len(starts))
    ]
    grid = (len(kinds), len(RATES), seeds)
    activation = np.repeat([TANH, SIGMOID, SIGMOID], len(RATES) * seeds, axis=0)
    runs = Runs(layers, activation, np.tile(np.repeat(RATES, seeds), len(kinds)))
    rng, courses = np.random.default_rng((seed, 2)), []
    many = (len(kinds) * len(RATES), 1)  # the runs of one seed see the same images at every step
    for rows in rng.integers(len(x), size=(steps, seeds, batch_size)):
        courses.append(runs.step(np.tile(x[rows], (*many, 1)), np.tile(y[rows], many)))
    whole_loss = runs.losses(x[None], y[None]).numpy().reshape(grid)
    logits, last = runs.forward(x_test[None])
    error = np.mean(np.argmax(logits, axis=-1) != y_test, axis=1).reshape(grid)
    return np.array(courses).reshape(-1, *grid), whole_loss, error, np.mean(last, axis=(1, 2)).reshape(grid)


def _exact(report, x, y, sizes, seed, rate=0.1):
    """Both networks are one function, and Keras's step on the sigmoid one moves it as `step_in_tanh_terms` says."""
    tanh, loss = glorot_layers(sizes, seed), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model, other = keras_network(tanh, "tanh"), keras_network(as_sigmoid_network(tanh), "sigmoid")
    same = "rewritten for sigmoids, a tanh network gives the same logits"
    report.check(same, got=np.array(other(x)), want=np.array(model(x)), atol=1e-5)
    with tf.GradientTape() as tape:
        value = loss(y, model(x))
    flat = [gradient.numpy() for gradient in tape.gradient(value, model.trainable_variables)]
    steps = step_in_tanh_terms(list(zip(flat[::2], flat[1::2], strict=True)))
    moved = [(kernel + rate * down, bias + rate * up) for (kernel, bias), (down, up) in zip(tanh, steps, strict=True)]
    want = np.array(keras_network(moved, "tanh")(x) - model(x))
    with tf.GradientTape() as tape:
        value = loss(y, other(x))
    keras.optimizers.SGD(rate).apply(tape.gradient(value, other.trainable_variables), other.trainable_variables)
    report.check(
        "Keras's SGD on the sigmoid network moves the logits as said", np.array(other(x) - model(x)), want, atol=1e-5
    )
    units = sizes[1]
    values = np.linalg.eigvalsh(inner_metric(units))
    root = math.sqrt((units + 5) ** 2 / 4 - 4)  # of the two others: their sum (units + 5)/16 and their product 1/64
    others = [((units + 5) / 2 - root) / 16, ((units + 5) / 2 + root) / 16]
    known = np.sort([*others, *[1 / 16] * (units - 1)])
    report.check("share of the rate along each direction of an inner unit's weights", got=values, want=known)


def _results(report, found, frequencies):
    kinds = ("tanh, Glorot's start", "sigmoid, Glorot's start", "sigmoid, started as the tanh network")
    rows, ends, courses = [], {kind: [] for kind in kinds}, {}
    for hidden, (course, losses, errors, last) in found.items():
        best = np.argmin(np.nan_to_num(losses.mean(axis=2), nan=np.inf), axis=1)
        for number, (kind, rate) in enumerate(zip(kinds, best, strict=True)):
            ends[kind].append(losses[number, rate])
            level, error = (plots.mean_and_error(values[number, rate]) for values in (losses, errors))
            rows.append([hidden, kind, RATES[rate], *level, *error, float(last[number, rate].mean())])
            if hidden <= 5:  # the deepest of these is what the figure shows, in means over ten steps
                tens = course[: len(course) // 10 * 10, number, rate].reshape(-1, 10, course.shape[-1])
                courses[kind] = tens.mean(axis=1).T
    columns = ["hidden layers", "network", "best rate", "training loss", "± error", "test error", "± error",
               "mean of the last hidden layer"]  # fmt: skip
    report.table(f"digits, {len(ends[kinds[0]][0])} seeds, each at the best of {len(RATES)} rates", columns, rows)
    tanh, sigmoid, rewritten = (np.mean(ends[kind], axis=1) for kind in kinds)  # (depths,)
    report.at_least("tanh is ahead of the same function in sigmoids, at every depth from 2 by",
                    (rewritten - tanh)[1:].min(), 0.0, trained=True)  # fmt: skip
    report.at_least("which is ahead of sigmoids with Glorot's start, at every depth from 2 by",
                    (sigmoid - rewritten)[1:].min(), 0.0, trained=True)  # fmt: skip
    for name, behind in (("the same function", rewritten - tanh), ("Glorot's start", sigmoid - tanh)):
        more = behind[-1] - behind[0]
        report.at_least(f"from one layer to most, sigmoids fall further behind ({name}) by", more, 0.0, trained=True)
    entropy = -np.sum(frequencies * np.log(frequencies, where=frequencies > 0, out=np.zeros(10)))
    report.at_most("most layers, sigmoids with Glorot's start: share of the digits' entropy that is learned",
                   1 - sigmoid[-1] / entropy, 0.1, trained=True)  # fmt: skip
    *_, (_, _, _, last) = found.values()
    report.at_most("at rate 1 their last hidden layer's mean went from ½ to", last[1, 2].mean(), 0.25, trained=True)
    report.note("Plain gradient descent, rates a factor of three apart, the best by training loss. A best rate at the "
                "end of the grid may hide a better one. Nothing is claimed for one hidden layer.")  # fmt: skip
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4))
    plots.curves(list(found), {kind: np.transpose(values) for kind, values in ends.items()}, ax=left, marker="o",
                 xlabel="hidden layers", ylabel="training loss at the best rate, nats",
                 title="The deeper, the further behind")  # fmt: skip
    shown = max(hidden for hidden in found if hidden <= 5)
    steps = 5 + 10 * np.arange(courses[kinds[0]].shape[1])
    name = f"{shown} hidden layers"
    plots.curves(steps, courses, ax=right, xlabel="step", ylabel="loss of a batch, nats", title=name)
    right.get_legend().remove()
    report.figure("One function, two geometries", figure, alt="Left: loss by depth; tanh lowest, its rewriting above, "
                  "sigmoids with Glorot's start at 2.3 from 5 layers on. Right: the same three by step.")  # fmt: skip

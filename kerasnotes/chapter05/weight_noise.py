"""Noise on the weights while a network trains leads it to flat places: the loss around them rises less.

At every step the layer works with weights that are a little off, anew each time; the exact ones are kept and updated.
What the reader should see: in random directions the loss rises less around weights that were trained so than around
those trained without, also when a step is measured by the length of the weights. The price is a higher loss on the
training data. For one linear layer alone and the squared error noise does nothing but raise the error by a constant:
there it chooses nothing.

Notes: chapter 05, "Fewer connections" (减少连接).
Source: Murray and Edwards 1994, doi:10.1109/72.317730; Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.1.1.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.parts import layer_seeds, positive, shape, whole

SMOKE = {"images": 200, "test_images": 100, "units": 8, "epochs": 1, "directions": 2, "seeds": 1}
SECONDS = 8

DISTANCES = (0, 4, 8, 12, 16)  # lengths of a step from the trained weights


class GaussianWeightNoise(keras.layers.Wrapper):
    """Another layer, whose kernel is disturbed anew at every call in training; biases stay.

    Args:
        layer: A Keras layer with a `kernel`, such as `keras.layers.Dense`.
        deviation: Standard deviation of the noise on each weight, a positive number.
        seed: Seed of the noise, an integer.

    Raises:
        ValueError: If `deviation` is not positive.
    """

    def __init__(self, layer, deviation, seed=0, **arguments):
        super().__init__(layer, **arguments)
        self.deviation = positive("deviation", deviation)
        self.seeds = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        """The layer's output, in training with other weights than its own."""
        if not training:
            return self.layer(inputs)
        variables = self.layer.trainable_variables
        noisy = [value + keras.random.normal(value.shape, 0.0, self.deviation, value.dtype, seed=self.seeds)
                 if value is self.layer.kernel else value for value in variables]  # fmt: skip
        return self.layer.stateless_call(noisy, self.layer.non_trainable_variables, inputs)[0]

    def compute_output_shape(self, input_shape):
        """As of the layer inside."""
        return self.layer.compute_output_shape(input_shape)


def noise_penalty(x, deviation):
    """What noise on the kernel of a linear layer adds to its mean squared error, on average over the noise.

    An output is that of the exact weights and noise on top, with mean 0 and variance deviation² ‖x‖².

    Args:
        x: Inputs (samples, inputs).
        deviation: Standard deviation of the noise on each weight, a positive number.

    Returns:
        A number, the mean over samples and outputs. No weight stands in it, so that no weight is preferred.

    Raises:
        ValueError: If `x` has another shape or `deviation` is not positive.
    """
    shape("x", x, None, None)
    return positive("deviation", deviation) ** 2 * np.mean(np.sum(np.square(x), axis=1))


def loss_around(loss, weights, distances, directions, seed):
    """A loss at given distances from some weights, along random directions.

    Args:
        loss: Callable from a list of arrays to a number.
        weights: List of arrays to start from.
        distances: Lengths of the steps (n,), over all weights together.
        directions: How many directions to draw.
        seed: Seed of the directions.

    Returns:
        Array (directions, n).
    """
    rng, values = np.random.default_rng(seed), []
    for _ in range(whole("directions", directions)):
        step = [rng.normal(size=np.shape(each)) for each in weights]
        length = np.sqrt(sum(np.sum(each**2) for each in step))
        at = [[np.asarray(w + d / length * each, np.float32) for w, each in zip(weights, step, strict=True)]
              for d in distances]  # fmt: skip
        values.append([loss(each) for each in at])
    return np.array(values, float)


def example():
    """A dense layer with and without noise on its kernel, and what the noise adds to a squared error."""
    layer = GaussianWeightNoise(keras.layers.Dense(1, kernel_initializer="ones"), deviation=0.1, seed=0)
    x = np.float32([[3, 4]])
    print("exact:", layer(x).numpy().item())
    outputs = np.array([layer(x, training=True).numpy().item() for _ in range(500)])
    print("in training:", outputs[:4].round(2), "...")
    print("mean squared distance from the exact output:", np.mean((outputs - 7) ** 2).round(3))
    print("0.1² · (3² + 4²) =", noise_penalty(x, 0.1))
    print("Keras's GaussianNoise disturbs activations instead:",
          keras.layers.GaussianNoise(0.1, seed=0)(x, training=True).numpy().round(2))  # fmt: skip


def lesson(
    report,
    *,
    images: int = 10000,
    test_images: int = 5000,
    units: int = 100,
    epochs: int = 6,
    deviation: float = 0.1,
    directions: int = 10,
    seeds: int = 3,
    seed: int = 0,
):
    """Noise on a linear layer, exactly; then networks for digits with and without, and the loss around them.

    Args:
        report: The report to write to.
        images: Training digits (100 to 60000).
        test_images: Test digits (50 to 10000).
        units: Hidden units (2 to 1000).
        epochs: Training epochs (1 to 1000).
        deviation: Standard deviation of the noise on each weight (0.0001 to 1).
        directions: Random directions along which the loss is measured (1 to 1000).
        seeds: Networks of each kind (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _linear(report, np.random.default_rng(seed), seed)
    train, test = ((np.float32(x[:n]).reshape(n, -1) / 255, np.int32(y[:n]))
                   for (x, y), n in zip(data.mnist(), (images, test_images), strict=True))  # fmt: skip
    found = {}
    for name, noise in report.track((("without noise", None), ("with noise", deviation)), "training"):
        found[name] = _measure(train, test, units, epochs, noise, directions, seeds, seed)
    _compare(report, found)


def _linear(report, rng, seed):
    x, y = rng.normal(size=(40, 5)).astype(np.float32), rng.normal(size=(40, 3)).astype(np.float32)
    layer = GaussianWeightNoise(keras.layers.Dense(3), 0.3, seed=seed % 2**31)
    exact = np.mean((layer(x) - y) ** 2)
    losses = [np.mean((layer(x, training=True) - y) ** 2) for _ in range(400)]
    error = np.std(losses) / np.sqrt(len(losses))
    report.check("linear layer: noise adds deviation² · mean ‖x‖² to the squared error, within 5 standard errors",
                 np.mean(losses) - exact, noise_penalty(x, 0.3), rtol=0, atol=5 * error)  # fmt: skip
    report.check("outside training there is no noise", layer(x), layer.layer(x))


def _network(units, noise, seed):
    seeds = layer_seeds(seed)
    layers = [keras.layers.Dense(n, activation, kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)))
              for n, activation in ((units, "relu"), (10, None))]  # fmt: skip
    if noise:
        layers = [GaussianWeightNoise(layer, noise, next(seeds)) for layer in layers]
    return keras.Sequential([keras.Input((784,)), *layers])


def _measure(train, test, units, epochs, noise, directions, seeds, seed):
    """For each seed: length of the kernels, loss on training digits around them, absolute and relative; accuracy."""
    model = _network(units, noise, (seed, 0))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rate = keras.optimizers.schedules.CosineDecay(5e-3, epochs * -(-len(train[1]) // 100))
    model.compile(keras.optimizers.Adam(rate), loss)
    restart = training.restarter(model)
    x, y = (each[:2000] for each in train)
    found = {"length": [], "around": [], "around, relative": [], "accuracy": []}

    @tf.function(reduce_retracing=True)
    def loss_of(kernel, bias, next_kernel, next_bias):
        return loss(y, tf.nn.relu(x @ kernel + bias) @ next_kernel + next_bias)

    for run in range(seeds):
        start = model.get_weights()  # with the noise's own state, which goes on
        start[:4] = _network(units, None, (seed, run)).get_weights()
        restart(start)
        training.fit(model, *train, batch_size=100, epochs=epochs, seed=seed + run)
        w = [variable.numpy() for variable in model.trainable_variables]
        length = np.sqrt(np.sum(w[0] ** 2) + np.sum(w[2] ** 2))

        def from_kernels(kernels, w=w):
            return float(loss_of(kernels[0], w[1], kernels[1], w[3]))

        found["length"].append(float(length))
        found["accuracy"].append(float(np.mean(training.predict(model, test[0]).argmax(axis=1) == test[1])))
        for name, unit in (("around", 1.0), ("around, relative", length / 16)):
            values = loss_around(from_kernels, w[::2], np.multiply(DISTANCES, unit), directions, (seed, run))
            found[name].append(values.mean(axis=0))
    return found


def _compare(report, found):
    rows = []
    for name, each in found.items():
        around, relative = np.array(each["around"]), np.array(each["around, relative"])
        rows.append([name, *(float(value) for value in (np.mean(each["length"]), around[:, 0].mean(),
                     around[:, 2].mean(), relative[:, 2].mean(), np.mean(each["accuracy"])))])  # fmt: skip
    report.table("trained weights and their surroundings, means over networks", [
        "trained", "length of the weights", "training loss", "8 away", "half their length away", "test accuracy"],
        rows)  # fmt: skip
    rises = {key: {name: np.array(each[key]) - np.array(each[key])[:, :1] for name, each in found.items()}
             for key in ("around", "around, relative")}  # fmt: skip
    for key, label in (("around", "8 away"), ("around, relative", "half their length away")):
        ratio = rises[key]["with noise"][:, 2] / rises[key]["without noise"][:, 2]
        report.at_most(f"rise of the loss {label}: with noise over without, mean", ratio.mean(), 0.8, trained=True)
    figure, axes = plots.subplots(1, 2, figsize=(11, 4.4), sharey=True)
    panels = ("around", 1, "step, absolute"), ("around, relative", 1 / 16, "step, share of the weights' length")
    for ax, (key, scale, label) in zip(axes, panels, strict=True):
        plots.curves(np.multiply(DISTANCES, scale), rises[key],
                     xlabel=label, ylabel="rise of the loss on training digits", marker="o", ax=ax)  # fmt: skip
    figure.suptitle("Noise in training makes the surroundings flat")
    report.figure("The loss around trained weights", figure,
                  alt="The rise of the loss over the length of a random step from the trained weights, absolute and "
                  "relative to their length. The curve of the networks trained with noise rises less.")  # fmt: skip

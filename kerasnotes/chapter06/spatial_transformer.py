"""A layer in front of a network can turn each picture back: six numbers, which a second, small network tells it.

The layer has no weights of its own. Its localization network looks at the picture and gives six numbers; the picture is
read anew where they say, and because reading has a slope, the loss of the classifier behind teaches the localization
network. What the reader should see: nobody says how far a digit is turned, and yet the layer learns to turn it back, if
the angles grow during training; the same classifier without the layer reads fewer digits. A classifier that has as many
weights in its convolution instead reads as many or more: the layer is one way to spend weights, and not the only one.

Notes: chapter 06, "Spatial transformer" (空间变换层).
Source: Jaderberg et al. 2015, arXiv:1506.02025, section 3.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter05.augmentation import rotate_by
from kerasnotes.chapter06.affine_grid import (  # names with "noqa" are also to be had from here
    affine_grid,
    bilinear_sample,
    nearest_sample,  # noqa: F401
    rotation,
    scaling,  # noqa: F401
    translation,  # noqa: F401
)
from kerasnotes.parts import layer_seeds, shape, whole

SMOKE = {"images": 128, "test_images": 50, "epochs": 2, "growing": 1, "seeds": 1}
SECONDS = 16

NETWORKS = {  # filters of the convolution, and whether the layer stands in front
    "the network": (8, False),
    "with the layer": (8, True),
    "more filters instead": (44, False),
}


class SpatialTransformer(keras.layers.Layer):
    """Reads each picture at places that a second network chooses by looking at it; the size stays.

    At the start it changes nothing: the last layer of `localization` is given a kernel of zeros and the bias
    1, 0, 0, 0, 1, 0 when this layer is built.

    Args:
        localization: A `keras.Model` from pictures (batch, height, width, channels) to six numbers (batch, 6), the
            last of its layers a `Dense(6)` with a bias and without activation.

    Raises:
        ValueError: If the last layer of `localization` is another one.

    Source: Jaderberg et al. 2015, section 3.
    """

    def __init__(self, localization, **arguments):
        super().__init__(**arguments)
        last = localization.layers[-1]
        dense = isinstance(last, keras.layers.Dense) and last.units == 6 and last.use_bias
        if not dense or last.activation is not keras.activations.linear:
            raise ValueError(f"localization: expected a last layer Dense(6) with a bias, no activation, got {last}")
        self.localization = localization

    def build(self, input_shape):
        """Let the layer begin with the identity."""
        if not self.localization.built:
            self.localization.build(input_shape)
        last = self.localization.layers[-1]
        last.kernel.assign(tf.zeros_like(last.kernel))
        last.bias.assign([1.0, 0, 0, 0, 1, 0])

    def call(self, images):
        """Transformed images, of the same shape."""
        theta = self.localization(images)  # (batch, 6)
        return bilinear_sample(images, affine_grid(theta, *images.shape[1:3]))


def build_localization(input_shape, units, seed):
    """A small localization network: all pixels, one hidden layer, six numbers.

    Args:
        input_shape: Shape of a picture (height, width, channels).
        units: Units of the hidden layer.
        seed: Seed of the weights, a non-negative integer.

    Returns:
        A `keras.Sequential`, pictures in, (batch, 6) out.
    """
    start = keras.initializers.HeNormal(seed=next(layer_seeds(seed)))
    hidden = keras.layers.Dense(whole("units", units), activation="relu", kernel_initializer=start)
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), hidden, keras.layers.Dense(6)])


def turned_by(theta):
    """How far six numbers turn a picture: the angle of the rotation that is nearest to their matrix.

    Args:
        theta: Array (batch, 6), as for `affine_grid`.

    Returns:
        Angles (batch,), counter-clockwise, from -180 to 180 degrees.

    Raises:
        ValueError: If `theta` has another shape.
    """
    a, b, _, d, e, _ = shape("theta", np.asarray(theta, np.float64), None, 6).T
    return np.degrees(np.arctan2(d - b, a + e))  # the trace of the matrix times a rotation is greatest at this angle


def angles_left(angles, theta):
    """How far pictures are still turned behind the layer, from their own common direction.

    A network does not mind if all digits lean to one side, so that the mean of all directions counts as upright.

    Args:
        angles: By how much each picture was turned before (batch,), in degrees.
        theta: What the layer did to them (batch, 6).

    Returns:
        Angles (batch,), from -180 to 180 degrees.
    """
    left = np.exp(1j * np.radians(np.asarray(angles) + turned_by(theta)))
    return np.degrees(np.angle(left / np.mean(left)))


def example():
    """A small picture goes through the layer: unchanged at the start, turned when the bias says so."""
    layer = SpatialTransformer(build_localization((3, 3, 1), units=4, seed=0))
    picture = np.float32([[1, 2, 3], [4, 5, 6], [7, 8, 9]])[None, :, :, None]
    print("at the start:", layer(picture).numpy().ravel())
    layer.localization.layers[-1].bias.assign(rotation(90)[0])
    print("a quarter turn:", layer(picture).numpy().ravel().round(4))
    print("six numbers:", layer.localization(picture).numpy().ravel().round(4))
    print("they turn by", turned_by(layer.localization(picture)), "degrees")
    print("weights of the localization network:", layer.localization.count_params(), "of", layer.count_params())


def lesson(
    report,
    *,
    images: int = 10000,
    test_images: int = 2000,
    epochs: int = 12,
    growing: int = 6,
    seeds: int = 2,
    seed: int = 0,
):
    """The layer at its start, then digits turned by up to 90 degrees, read with it and without.

    Args:
        report: The report to write to.
        images: Training digits (64 to 60000).
        test_images: Test digits (20 to 10000).
        epochs: Training epochs, each with new angles (1 to 1000).
        growing: Epochs in which the layer's training angles grow to 90 degrees (0 to 1000).
        seeds: Networks of each kind (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    draws = [_turned_digits(images, test_images, epochs, growing, (seed, run)) for run in range(seeds)]
    _at_the_start(report, draws[0]["test"][0][:8], seed)
    accuracy, thetas, weights = _trained(report, draws, epochs, seed)
    _compare(report, accuracy, weights)
    _angles(report, draws, thetas)
    report.note(
        f"Digits at half their resolution, for time. In front of the layer the angles grow from epoch to epoch, for "
        f"{growing} of {epochs} epochs; the other networks see all angles from the start, which suits them better. "
        "With all angles from the start (--growing 0) the layer, too, reads well, but turns less: far from the right "
        "angle the slope says little about it."
    )


def _turned_digits(images, test_images, epochs, growing, seed):
    """Digits of 14 × 14, newly turned for every epoch: with growing angles, with all angles, and for the test."""
    rng = np.random.default_rng(seed)
    sets = []
    for (x, y), count in zip(data.mnist(), (images, test_images), strict=True):
        chosen = rng.permutation(len(x))[:count]
        x = (np.float32(x[chosen]) / 255).reshape(-1, 14, 2, 14, 2, 1).mean(axis=(2, 4))
        sets.append((x, np.int32(y[chosen])))
    (x, y), (x_test, y_test) = sets
    growth, angles = [], []
    for epoch in range(epochs):
        angle = rng.uniform(-90, 90, images)
        angles.append(rotate_by(x, angle))
        share = min(1, (epoch + 1) / max(growing, 1))
        growth.append(angles[-1] if share == 1 else rotate_by(x, share * angle))
    angle = rng.uniform(-90, 90, test_images)
    return {"growing": growth, "all": angles, "y": y, "test": (rotate_by(x_test, angle), y_test, angle)}


def _network(filters, layer, seed):
    seeds = layer_seeds(seed)
    start = keras.initializers.HeNormal(seed=next(seeds))
    convolution = keras.layers.Conv2D(filters, 5, 2, activation="relu", kernel_initializer=start)
    logits = keras.layers.Dense(10, kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)))
    front = [SpatialTransformer(build_localization((14, 14, 1), 48, next(seeds)))] if layer else []
    return keras.Sequential([keras.Input((14, 14, 1)), *front, convolution, keras.layers.Flatten(), logits])


def _at_the_start(report, x, seed):
    layer = SpatialTransformer(build_localization((14, 14, 1), 48, seed))
    with tf.GradientTape() as tape:
        output = layer(x)
        loss = tf.reduce_sum(output**2 * np.arange(14.0, dtype=np.float32))
    slopes = tape.gradient(loss, layer.localization.layers[-1].bias)
    report.check("at the start the layer hands its pictures on", output, x, atol=1e-5)
    report.at_least("a slope arrives at all six numbers, the smallest", np.abs(slopes).min(), 1e-3)
    theta = layer.localization(x)
    report.check("six numbers for each picture", theta.shape, (len(x), 6))
    own = len(layer.trainable_variables) - len(layer.localization.trainable_variables)
    report.check("weights of the layer that are not the localization network's", own, 0)
    report.correction(
        "what a spatial transformer learns",
        course="Six parameters of the layer are trained: they turn, scale, shear and shift.",
        correct="Six numbers do suffice for that, but none of them is a weight: a localization network, which is "
        "trained, predicts them anew for each picture.",
        shown_by=f"{len(x)} pictures get {len(x)} × {theta.shape[1]} numbers; the layer has {own} weights of its own",
    )


def _trained(report, draws, epochs, seed):
    """Accuracies (networks, seeds), the layer's six numbers for test digits and for a fan of angles, and weights."""
    accuracy, thetas, weights = {name: [] for name in NETWORKS}, [], {}
    images = len(draws[0]["y"])
    for name in report.track(NETWORKS, "training"):
        model = _network(*NETWORKS[name], (seed, 0))
        weights[name] = model.count_params()
        rate = keras.optimizers.schedules.CosineDecay(6e-3, epochs * -(-images // 64))
        model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        restart = training.restarter(model)
        for run, draw in enumerate(draws):
            restart(_network(*NETWORKS[name], (seed, run)).get_weights())
            for epoch, x in enumerate(draw["growing" if NETWORKS[name][1] else "all"]):
                training.fit(model, x, draw["y"], batch_size=64, initial_epoch=epoch, epochs=epoch + 1, seed=seed + run)
            x, y, _ = draw["test"]
            accuracy[name].append(float(np.mean(training.predict(model, x).argmax(axis=1) == y)))
            if NETWORKS[name][1]:
                thetas.append(model.layers[0].localization(x).numpy())
    return accuracy, thetas, weights


def _compare(report, accuracy, weights):
    rows = [[name, weights[name], *map(float, plots.mean_and_error(accuracy[name]))] for name in NETWORKS]
    report.table(
        "digits turned by up to 90 degrees: test accuracy", ["network", "weights", "accuracy", "standard error"], rows
    )
    plain, layer, _ = (np.array(accuracy[name]) for name in NETWORKS)
    report.at_least("accuracy with the layer minus without, mean", np.mean(layer - plain), 0.02, trained=True)


def _angles(report, draws, thetas):
    rows = []
    for run, (draw, theta) in enumerate(zip(draws, thetas, strict=True)):
        angle = draw["test"][2]
        before, after = np.abs(angle).mean(), np.abs(angles_left(angle, theta)).mean()
        rows.append([run + 1, float(np.corrcoef(angle, -turned_by(theta))[0, 1]), float(before), float(after)])
    report.table("angles of the test digits, degrees", ["network", "correlation of angle and turn back",
                 "mean size before the layer", "mean size behind it"], rows)  # fmt: skip
    _, correlation, before, after = np.transpose(rows)
    report.at_least("correlation of a digit's angle and the turn back, mean", correlation.mean(), 0.5, trained=True)
    report.at_most("angle left behind the layer, share of the one before, mean", np.mean(after / before), 0.75,
                   trained=True)  # fmt: skip
    figure, axes = plots.subplots(1, 2, figsize=(11, 4.6), width_ratios=(3, 2))
    turned, _, angle = draws[0]["test"]
    steps = np.linspace(-75, 75, 6)
    chosen = [int(np.argmin(np.abs(angle - step))) for step in steps]
    behind = bilinear_sample(turned[chosen], affine_grid(thetas[0][chosen], 14, 14)).numpy()
    plots.tiles(np.array([turned[chosen], behind]), axes[0], ["in front", "behind"], low=0)
    axes[0].set_title("Six digits in front of the layer and behind it")
    axes[1].plot(angle, angles_left(angle, thetas[0]), ".", markersize=3, color="C0", label="test digits")
    axes[1].plot([-90, 90], [-90, 90], "--", color="C1", label="without the layer")
    axes[1].set(xlabel="digit turned by, degrees", ylabel="angle left, degrees", ylim=(-135, 135))
    axes[1].set_xticks([-90, -45, 0, 45, 90])
    axes[1].set_yticks([-90, -45, 0, 45, 90])
    axes[1].legend(loc="upper left")
    axes[1].set_title("Less of the turn is left")
    report.figure("The layer turns digits back", figure,
                  alt="Left: six test digits, turned by -75 to 75 degrees, and below them what the layer makes of "
                  "them, which is turned less. Right: the angle left over the angle before; the points lie flatter "
                  "than the diagonal of no layer.")  # fmt: skip

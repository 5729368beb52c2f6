"""Most weights of a trained network can go: the smallest are cut, and those that stay share a few values.

What the reader should see: a network for digits whose smallest weights are set to 0, over both layers at once, and
which is trained a little longer with the rest. Cut by chance it fails where by size it still reads; with a fifth of the
weights it reads nearly as well as whole. Then each layer keeps only sixteen different values, found by k-means, so that
a weight needs four bits and a table. Whole units can be cut too, which makes matrices smaller and not only emptier. The
bounds of 0.005 were set before any run, the settings were not, and sixteen values come near theirs.

Notes: chapter 05, "Fewer connections" (减少连接).
Source: Han, Mao, Dally 2016, arXiv:1510.00149, sections 2 and 3.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.parts import layer_seeds, shape, share, whole

SMOKE = {"images": 200, "test_images": 100, "units": 8, "epochs": 1, "retraining": 1, "seeds": 1}
SECONDS = 10

SHARES = (0.5, 0.3, 0.2, 0.1, 0.05)  # of the weights that are kept


def prune(kernels, keep):
    """Mark the largest weights of all layers together; the others are to be cut.

    Args:
        kernels: List of arrays of weights, of any shapes.
        keep: Share of all weights to keep, above 0 to 1. Of equal ones the first are kept.

    Returns:
        List of Boolean arrays of the kernels' shapes, True for what stays.

    Raises:
        ValueError: If there is no weight, one is not finite, or `keep` is out of range.

    Source: Han, Mao, Dally 2016, section 2, with one threshold for all layers.
    """
    sizes = np.concatenate([np.abs(np.asarray_chkfinite(kernel)).ravel() for kernel in kernels])
    kept = np.zeros(len(sizes), bool)
    kept[np.argsort(-sizes, kind="stable")[: max(1, round(share("keep", keep, low=False) * len(sizes)))]] = True
    ends = np.cumsum([np.size(kernel) for kernel in kernels])
    return [part.reshape(np.shape(kernel)) for part, kernel in zip(np.split(kept, ends[:-1]), kernels, strict=True)]


def prune_units(kernel, bias, next_kernel, units):
    """Take the weakest units out of a hidden layer: those with the smallest product of weights in and weights out.

    Args:
        kernel: Weights into the units (inputs, units).
        bias: Their biases (units,).
        next_kernel: Weights out of them (units, outputs).
        units: How many units stay, from 1 on.

    Returns:
        `(kernel, bias, next_kernel)` of the units that stay, in their order.

    Raises:
        ValueError: If the shapes do not fit, or more units are to stay than there are.
    """
    shape("kernel", kernel, None, None)
    shape("bias", bias, kernel.shape[1]), shape("next_kernel", next_kernel, kernel.shape[1], None)
    if whole("units", units) > kernel.shape[1]:
        raise ValueError(f"units: expected at most {kernel.shape[1]}, got {units}")
    strength = np.linalg.norm(kernel, axis=0) * np.linalg.norm(next_kernel, axis=1)
    stay = np.sort(np.argsort(-strength, kind="stable")[:units])
    return kernel[:, stay], bias[stay], next_kernel[stay]


def share_weights(kernel, clusters, seed):
    """Give each weight the mean of its cluster, by k-means over the weights as numbers on a line.

    Args:
        kernel: Array of weights, of any shape.
        clusters: How many different values stay at most.
        seed: Seed, or a `np.random.Generator`, for the weights that k-means begins at.

    Returns:
        `(shared, labels)`: the kernel with shared weights, and the number of each weight's cluster, in rising order of
        the values; both of the kernel's shape.

    Raises:
        ValueError: If a weight is not finite, there is none, or `clusters` is no positive whole number.

    Source: Han, Mao, Dally 2016, section 3 (there k-means starts at evenly spaced values, here as k-means++).
    """
    weights = np.asarray_chkfinite(kernel)
    numbers, rng = np.sort(weights, axis=None).astype(np.float64), np.random.default_rng(seed)
    centers = rng.choice(numbers, 1)
    for _ in range(min(whole("clusters", clusters), len(np.unique(numbers))) - 1):
        squares = np.min((numbers[:, None] - centers) ** 2, axis=1)
        centers = np.append(centers, rng.choice(numbers, p=squares / squares.sum()))
    centers, sums = np.sort(centers), np.append(0.0, np.cumsum(numbers))
    for _ in range(10000):  # k-means comes to rest long before; on a line a cluster is a piece of the sorted numbers
        middles = (centers[1:] + centers[:-1]) / 2
        ends = np.unique([0, *np.searchsorted(numbers, middles), len(numbers)])  # clusters without numbers vanish
        before, centers = centers, np.diff(sums[ends]) / np.diff(ends)
        if np.array_equal(before, centers):
            break
    labels = np.searchsorted((centers[1:] + centers[:-1]) / 2, weights, side="right")
    return centers[labels].astype(weights.dtype), labels


class KeepMask(keras.constraints.Constraint):
    """A constraint for `keras.layers.Dense(kernel_constraint=…)`: what the mask cuts is 0 again after every update.

    Setting weights to 0 once is not enough: the next gradient, or momentum from earlier ones, would move them.

    Args:
        size: Shape of the kernel. The mask is all ones until `set` gives another.
    """

    def __init__(self, size):
        self.mask = tf.Variable(tf.ones(size), trainable=False)

    def set(self, mask):
        """Take a new mask, an array of the kernel's shape, not 0 for what stays."""
        self.mask.assign(np.asarray(mask, np.float32))

    def __call__(self, w):
        """The kernel without what the mask cuts."""
        return w * self.mask


def example():
    """Two small kernels: half the weights stay, and share two values; a masked layer trains with momentum."""
    kernels = [np.array([[0.9, -0.1], [0.2, -1.1]]), np.array([[1.0], [0.05]])]
    masks = prune(kernels, keep=0.5)
    print("kept:", *(mask.ravel().astype(int) for mask in masks))
    shared, labels = share_weights(kernels[0] * masks[0], clusters=2, seed=0)
    print("two values:", shared.ravel().round(3), "labels", labels.ravel())
    keep = KeepMask((2, 2))
    layer = keras.layers.Dense(2, kernel_constraint=keep)
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    keep.set(masks[0])
    layer.set_weights([kernels[0] * masks[0], np.zeros(2)])
    model.fit(np.eye(2), np.ones((2, 2)), epochs=5, verbose=0)
    print("after five steps with momentum:", layer.kernel.numpy().round(3).ravel())


def lesson(
    report,
    *,
    images: int = 20000,
    test_images: int = 10000,
    units: int = 100,
    epochs: int = 5,
    retraining: int = 1,
    seeds: int = 3,
    seed: int = 0,
):
    """What is exact about sharing and cutting, then a network for digits with fewer and fewer weights.

    Args:
        report: The report to write to.
        images: Training digits (100 to 60000).
        test_images: Test digits (50 to 10000).
        units: Hidden units (2 to 1000).
        epochs: Epochs of the whole network (1 to 1000).
        retraining: Epochs after the cut (1 to 1000).
        seeds: Networks (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _sharing(report, rng)
    _units(report, rng)
    digits = [(np.float32(x[:n]).reshape(n, -1) / 255, np.int32(y[:n]))
              for (x, y), n in zip(data.mnist(), (images, test_images), strict=True)]  # fmt: skip
    network = _Network(units, digits, epochs, retraining, seed)
    found = [network.measure(run) for run in report.track(range(seeds), "training")]
    _compare(report, found)
    _figure(report, found)


def _sharing(report, rng):
    kernel = rng.choice([-2.0, -0.5, 0.25, 1.5], size=(6, 7))
    shared, labels = share_weights(kernel, 4, rng)
    report.check("as many values as there are: sharing changes nothing", shared, kernel)
    kernel = rng.normal(size=(30, 40))
    shared, labels = share_weights(kernel, 16, rng)
    means = np.array([kernel[labels == label].mean() for label in range(16)])
    report.check("16 values: each is the mean of its weights", shared, means[labels])
    error = np.min((kernel[..., None] - means) ** 2, axis=-1).sum()
    report.check("16 values: each weight has the nearest, so the error is k-means' own", np.sum((shared - kernel) ** 2),
                 error)  # fmt: skip


def _units(report, rng):
    """Cutting units that are strong nowhere is exact; so is leaving zeros in place of cut units."""
    x, kernel, bias, out = (rng.normal(size=size) for size in ((5, 4), (4, 6), (6,), (6, 3)))
    out[[1, 4]] = 0
    small = prune_units(kernel, bias, out, 4)
    whole_output, small_output = (np.maximum(x @ k + b, 0) @ o for k, b, o in ((kernel, bias, out), small))
    report.check("units whose weights out are 0 can go without any change", small_output, whole_output)


class _Network:
    """One compiled network with masks, for all seeds and shares."""

    def __init__(self, units, digits, epochs, retraining, seed):
        self.units, self.digits, self.epochs, self.retraining, self.seed = units, digits, epochs, retraining, seed
        self.masks = [KeepMask((784, units)), KeepMask((units, 10))]
        self.model = self.build(0, self.masks)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(keras.optimizers.SGD(0.03, momentum=0.9), loss)
        self.restart = training.restarter(self.model)

    def build(self, run, masks=(None, None)):
        start = [keras.initializers.GlorotUniform(seed=each) for each, _ in
                 zip(layer_seeds((self.seed, run)), range(2), strict=False)]  # fmt: skip
        hidden = keras.layers.Dense(self.units, "relu", kernel_initializer=start[0], kernel_constraint=masks[0])
        logits = keras.layers.Dense(10, kernel_initializer=start[1], kernel_constraint=masks[1])
        return keras.Sequential([keras.Input((784,)), hidden, logits])

    def accuracy(self, weights):
        kernel, bias, next_kernel, next_bias = weights
        x, y = self.digits[1]
        logits = np.maximum(x @ kernel + bias, 0) @ next_kernel + next_bias
        return float(np.mean(logits.argmax(axis=1) == y))

    def train(self, weights, masks, epochs, run):
        for mine, mask in zip(self.masks, masks, strict=True):
            mine.set(mask)
        self.restart(_cut(weights, masks))
        training.fit(self.model, *self.digits[0], batch_size=100, epochs=epochs, seed=self.seed + run)
        return self.model.get_weights()

    def measure(self, run):
        """Accuracies of one seed: by way of cutting and share, before and after retraining; shared; fewer units."""
        ones = [np.ones_like(mask.mask) for mask in self.masks]
        trained = self.train(self.build(run).get_weights(), ones, self.epochs, run)
        rng = np.random.default_rng((self.seed, run))
        found = {"whole": self.accuracy(trained)}
        found["whole, retrained"] = self.accuracy(self.train(trained, ones, self.retraining, run))
        for keep in SHARES:
            by_size = prune(trained[::2], keep)
            by_chance = prune([rng.random(kernel.shape) for kernel in trained[::2]], keep)
            for name, masks in (("by size", by_size), ("by chance", by_chance)):
                found[name, keep, "cut"] = self.accuracy(_cut(trained, masks))
                after = self.train(trained, masks, self.retraining, run)
                found[name, keep, "retrained"] = self.accuracy(after)
            found["units", keep] = self.accuracy(
                [*prune_units(*trained[:3], max(1, round(keep * self.units))), trained[3]])  # fmt: skip
        for clusters in (4, 16):
            found["shared", clusters] = self.accuracy(_shared(trained, clusters, rng))
        found["moved"] = max(np.abs(each[~mask]).max() for each, mask in zip(after[::2], masks, strict=True))
        return found


def _cut(weights, masks):
    kernels = [kernel * mask for kernel, mask in zip(weights[::2], masks, strict=True)]
    return [kernels[0], weights[1], kernels[1], weights[3]]


def _shared(weights, clusters, rng):
    kernels = [share_weights(kernel, clusters, rng)[0] for kernel in weights[::2]]
    return [kernels[0], weights[1], kernels[1], weights[3]]


def _compare(report, found):
    moved = max(each["moved"] for each in found)
    report.check("retrained with momentum: the largest weight that had been cut", moved, 0.0, atol=0)
    mean = {key: float(np.mean([each[key] for each in found])) for key in found[0]}
    rows = [[1.0, *2 * [mean["whole"]], *2 * [mean["whole, retrained"]], mean["whole"]]]
    rows += [[keep, *(mean[name, keep, when] for when in ("cut", "retrained") for name in ("by size", "by chance")),
             mean["units", keep]] for keep in SHARES]  # fmt: skip
    columns = ["share kept", "by size", "by chance", "by size, retrained", "by chance, retrained", "units, cut"]
    report.table("test accuracy with fewer weights", columns, rows)
    report.table("test accuracy with shared weights", ["weights", "test accuracy"], [
        ["all different", mean["whole"]], ["16 values a layer", mean["shared", 16]],
        ["4 values a layer", mean["shared", 4]]])  # fmt: skip
    gains = [each["by size", keep, when] - each["by chance", keep, when] for each in found for keep in SHARES[1:]
             for when in ("cut", "retrained")]  # fmt: skip
    report.at_least("below half the weights: by size minus by chance, the smallest", min(gains), 0.0, trained=True)
    lost = mean["whole, retrained"] - mean["by size", 0.2, "retrained"]
    report.at_most("share 0.2 by size, retrained: accuracy lost, mean", lost, 0.005, trained=True)
    report.at_most("16 values a layer: accuracy lost, mean", mean["whole"] - mean["shared", 16], 0.005, trained=True)


def _figure(report, found):
    series = {f"{name}, {when}": [[each[name, keep, when] for keep in SHARES] for each in found]
              for when in ("retrained", "cut") for name in ("by size", "by chance")}  # fmt: skip
    figure = plots.curves(SHARES, {name: np.array(values) for name, values in series.items()}, xscale="log", marker="o",
                          xlabel="share of the weights that is kept", ylabel="test accuracy",
                          title="Cut the smallest weights, train on: a fifth is enough")  # fmt: skip
    axes = figure.axes[0]
    axes.axhline(np.mean([each["whole, retrained"] for each in found]), color="0.5", linewidth=1, label="whole network")
    axes.legend()
    axes.set_xticks(SHARES, SHARES)
    axes.minorticks_off()
    report.figure("Accuracy over the share of weights kept", figure,
                  alt="Test accuracy over the share of weights kept. Cut by size and retrained the curve stays at the "
                  "whole network's line; cut by chance without retraining it falls first.")  # fmt: skip

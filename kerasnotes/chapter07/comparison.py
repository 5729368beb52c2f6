"""Seven networks on one data set: what an accuracy costs in multiplications, in weights and in seconds.

All small siblings come from the builders of this chapter, see the same pictures in the same order and get the same
number of updates. What the reader should see: more multiplications buy accuracy only where the network spends them
well; weights and multiplications are two different prices; and seconds are a third one, because many small layers keep
a processor busy with other things than multiplying.

Notes: chapter 07, "Comparison of classic networks" (经典网络的比较).
Source: Canziani, Paszke, Culurciello 2016, arXiv:1605.07678 (accuracy against operations); Xiao, Rasul, Vollgraf 2017,
arXiv:1708.07747, table 3 (other methods on this data set).
"""

import time

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.chapter07.alexnet import build_alexnet, multiply_adds
from kerasnotes.chapter07.densenet import build_densenet121
from kerasnotes.chapter07.googlenet import build_googlenet
from kerasnotes.chapter07.highway import HighwayDense, build_highway
from kerasnotes.chapter07.lenet import build_lenet5
from kerasnotes.chapter07.resnet import build_cifar_resnet
from kerasnotes.chapter07.vgg import build_vgg16

SMOKE = {"images": 64, "test_images": 50, "epochs": 1, "names": ("LeNet-5", "highway"), "batch_size": 32}
FULL = {"images": 60000, "epochs": 10, "seeds": 3}
SECONDS = 59

LINEAR = 0.842  # the best linear classifier of Xiao et al. 2017, table 3: logistic regression


def build_siblings(input_shape=(28, 28, 1), classes=10, seed=0, names=None):
    """Build small siblings of the chapter's networks, with the builders of the published ones.

    Args:
        input_shape: Shape of a picture (height, width, channels).
        classes: Number of logits.
        seed: Seed of the initial weights.
        names: Which to build, or None for all.

    Returns:
        Dictionary from name to an uncompiled `keras.Model` that gives logits (batch, classes).

    Raises:
        ValueError: If a name is unknown.
    """

    def highway():
        picture = keras.Input(input_shape)
        flat = keras.layers.Flatten()(picture)
        return keras.Model(picture, build_highway(10, flat.shape[1:], classes, transform_bias=-1.0, seed=seed)(flat))

    builders = {
        "LeNet-5": lambda: build_lenet5(input_shape, classes, seed=seed),
        "AlexNet": lambda: build_alexnet(
            input_shape, classes, width=0.0625, dense_units=2048, dropout=0.2, normalize=False, seed=seed
        ),
        "VGG": lambda: build_vgg16(
            input_shape, classes, 0.125, depth=(1, 1, 1), dense_units=1024, dropout=0.2, seed=seed
        ),
        "GoogLeNet": lambda: build_googlenet(input_shape, classes, 0.25, (1, 1), dropout=0.0, seed=seed),
        "ResNet": lambda: build_cifar_resnet(1, True, input_shape, classes, width=0.5, seed=seed),
        "DenseNet": lambda: build_densenet121(input_shape, classes, depth=(2, 2), growth_rate=8, seed=seed),
        "highway": highway,
    }
    unknown = set(names or ()) - set(builders)
    if unknown:
        raise ValueError(f"names: expected some of {', '.join(builders)}, got {', '.join(sorted(unknown))}")
    return {name: build() for name, build in builders.items() if names is None or name in names}


def pareto_front(costs, scores):
    """The choices that no other beats: nothing costs at most as much and scores at least as high, one of them better.

    Args:
        costs: Prices (n,), low is good.
        scores: What is bought (n,), high is good.

    Returns:
        Booleans (n,).

    Raises:
        ValueError: If the shapes differ, there is no choice, or a number is not finite.
    """
    costs, scores = np.asarray(costs, np.float64), np.asarray(scores, np.float64)
    if costs.ndim != 1 or costs.shape != scores.shape or not costs.size:
        raise ValueError(f"costs, scores: expected equally many numbers, got {costs.shape} and {scores.shape}")
    if not (np.isfinite(costs).all() and np.isfinite(scores).all()):
        raise ValueError("costs, scores: expected finite numbers")
    no_worse = (costs[:, None] <= costs) & (scores[:, None] >= scores)  # (others, choices)
    better = (costs[:, None] < costs) | (scores[:, None] > scores)
    return ~(no_worse & better).any(axis=0)


def example():
    """Two small networks, what they cost, and which of some choices no other beats."""
    for name, model in build_siblings(names=["LeNet-5", "AlexNet"]).items():
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        print(f"{name}: {model.count_params():,} weights, {multiply_adds(model):,} multiply-adds a picture")
    costs, scores = [1, 2, 3, 4], [0.80, 0.90, 0.85, 0.95]
    for cost, score, unbeaten in zip(costs, scores, pareto_front(costs, scores), strict=True):
        print(f"cost {cost}, score {score}:", "unbeaten" if unbeaten else "another is cheaper and better")


def lesson(
    report,
    *,
    images: int = 9000,
    test_images: int = 5000,
    epochs: int = 3,
    names: tuple[str, ...] = ("LeNet-5", "AlexNet", "VGG", "GoogLeNet", "ResNet", "DenseNet", "highway"),
    learning_rate: float = 0.003,
    batch_size: int = 32,
    seeds: int = 1,
    seed: int = 0,
):
    """Train the siblings on the same pictures and set accuracy against three prices.

    Args:
        report: The report to write to.
        images: Training pictures (32 to 60000).
        test_images: Test pictures (10 to 10000).
        epochs: Training epochs of each network (1 to 1000).
        names: The networks (one of: LeNet-5, AlexNet, VGG, GoogLeNet, ResNet, DenseNet, highway).
        learning_rate: First learning rate of Adam, which falls to zero along a cosine (0.000001 to 1).
        batch_size: Pictures in a batch (1 to 1000).
        seeds: Independent runs (1 to 20).
        seed: Seed of all random draws (0 to 4294967295).
    """
    (x, y), (x_test, y_test) = data.fashion_mnist()
    chosen = np.random.default_rng((seed, 1)).permutation(len(x))[:images]
    x, y = np.float32(x[chosen, ..., None]) / 255, y[chosen]
    x_test, y_test = np.float32(x_test[:test_images, ..., None]) / 255, y_test[:test_images]
    accuracies, costs, sizes, seconds = {}, {}, {}, {}
    for run in range(seeds):
        for name in names:
            model = build_siblings(seed=seed + run, names=[name])[name]
            rate = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * -(-images // batch_size))
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
            clock = _Clock()
            form = "step" if epochs * images < 100 * batch_size else "auto"  # a step alone compiles sooner
            training.fit(model, x, y, batch_size=batch_size, epochs=epochs, seed=seed + run, callbacks=[clock],
                         form=form, track=report.track)  # fmt: skip
            accuracies.setdefault(name, []).append(training.evaluate(model, x_test, y_test)["accuracy"])
            costs[name], sizes[name], seconds[name] = _multiply_adds(model), model.count_params(), clock.shortest()
    _check_costs(report, costs, sizes)
    _results(
        report, accuracies, costs, sizes, seconds, f"{images} pictures, {epochs} epochs, {seeds} run(s)", len(x_test)
    )


class _Clock(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.seconds = [*getattr(self, "seconds", []), time.perf_counter()]

    def on_epoch_end(self, epoch, logs=None):
        self.seconds[-1] = time.perf_counter() - self.seconds[-1]

    def shortest(self):
        """The least of them, as the first one compiles."""
        return min(self.seconds)


def _multiply_adds(model):
    """As `multiply_adds`, with the gates of highway layers, whose matrices are as large as the layers'."""
    layers = [layer for part in model.layers for layer in getattr(part, "layers", [part])]
    return multiply_adds(model) + sum(layer.units**2 for layer in layers if isinstance(layer, HighwayDense))


def _check_costs(report, costs, sizes):
    """LeNet-5 and the highway network by hand, on 28 × 28 pictures."""
    if "LeNet-5" in costs:
        convolutions = 24**2 * 25 * 6 + 8**2 * 25 * 6 * 16  # places × kernel × maps in × maps out
        by_hand = convolutions + 4 * 4 * 16 * 120 + 120 * 84 + 84 * 10
        report.check("LeNet-5: multiply-adds by hand", got=costs["LeNet-5"], want=by_hand)
    if "highway" in costs:
        by_hand = 784 * 50 + 8 * 2 * 50**2 + 50 * 10
        report.check("highway: multiply-adds by hand", got=costs["highway"], want=by_hand)
        biases = 50 + 8 * 2 * 50 + 10
        report.check("in dense layers every weight multiplies once", got=sizes["highway"], want=by_hand + biases)


def _results(report, accuracies, costs, sizes, seconds, what, tests):
    means = {name: float(np.mean(values)) for name, values in accuracies.items()}
    label = f"the best network's test accuracy, above the best linear method's published {LINEAR}"
    report.at_least(label, got=max(means.values()), bound=LINEAR, trained=True)
    convolutional = [name for name in means if name != "highway"]
    label = "every convolutional network's accuracy, above always the same answer's by at least 0.5"
    report.at_least(label, got=[means[name] for name in convolutional], bound=0.6, trained=True)
    front = pareto_front([costs[name] for name in means], list(means.values()))
    rows = [
        [name, sizes[name], costs[name], *plots.mean_and_error(accuracies[name]), bool(on_front), seconds[name]]
        for name, on_front in zip(means, front, strict=True)
    ]
    columns = ["network", "parameters", "multiply-adds a picture", "accuracy", "standard error", "unbeaten at its cost",
               "seconds an epoch"]  # fmt: skip
    report.table(f"small siblings on Fashion-MNIST: {what}", columns, rows)
    report.note(
        f"A test accuracy from {tests} pictures has a standard error of "
        f"{np.sqrt(0.87 * 0.13 / tests):.3f}. One size of each network and one recipe for all: this ranks these "
        "seven networks on a short budget, not the published ones."
    )
    _figure(report, rows, sampling=np.sqrt(0.87 * 0.13 / tests))


def _figure(report, rows, sampling):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11.5, 4.4), sharey=True)
    markers = "osD^vP*"
    for number, (name, size, cost, accuracy, error, _, _) in enumerate(rows):
        error = max(error, sampling)
        for ax, price in ((left, cost), (right, size)):
            ax.errorbar(price, accuracy, yerr=error, fmt=markers[number], color=f"C{number}", markersize=9, capsize=3,
                        label=name)  # fmt: skip
    front = sorted((row[2], row[3]) for row in rows if row[5])
    left.step(*zip(*front, strict=True), where="post", color="gray", linestyle=":")
    left.set(xscale="log", xlabel="multiply-adds a picture", ylabel="test accuracy ± standard error")
    left.set_title("What an accuracy costs\nin multiplications …")
    right.set(xscale="log", xlabel="parameters")
    right.set_title("… and in weights\n")
    right.set_xticks([20_000, 40_000, 80_000], ["20,000", "40,000", "80,000"])
    right.minorticks_off()
    right.plot([], [], color="gray", linestyle=":", label="unbeaten at its cost")
    right.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    report.figure(
        "accuracy against multiply-adds",
        figure,
        alt="Test accuracy of seven small networks against multiply-adds, left, and against parameters, right, both on "
        "logarithmic axes; a dotted line joins those that no cheaper network beats.",
    )

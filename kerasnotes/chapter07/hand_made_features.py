"""Edges counted by hand and a linear classifier read clothes from few pictures; a network needs to be told nothing.

Before networks learnt from pixels to answers, end to end, somebody wrote down what to look for: here the directions of
edges, counted in small cells. What the reader should see: these numbers do not change with brightness or contrast and
turn with the picture, by construction and not by training; a linear classifier on them is far better than one on
pixels, and is solved in one step. Beside it stands a small convolutional network that learns its features in a few
seconds and comes close: it had to be told nothing, and had to be trained.

Notes: chapter 07, "Hand-made features" (手工特征).
Source: Dalal and Triggs 2005, doi:10.1109/CVPR.2005.177 (histograms of oriented gradients); LeCun et al. 1998,
doi:10.1109/5.726791 (learning from pixels to answers).
"""

import itertools
import time

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.chapter07.lenet import build_lenet5
from kerasnotes.parts import positive, shape, whole

SMOKE = {"sizes": (32, 48), "test_images": 50, "updates": 2}
SECONDS = 11


def edge_votes(pictures, bins=8):
    """The length of the slope at every pixel, handed to the two directions that lie next to its own.

    A direction and its opposite count as one, so that a dark line on bright ground is like a bright one on dark. Bin k
    stands for the angle k π / bins; a slope between two bins is shared in proportion to its nearness.

    Args:
        pictures: Brightness (batch, height, width), at least 2 × 2.
        bins: Number of directions.

    Returns:
        float32 (batch, height, width, bins), whose sum over the bins is the length of the slope.
    """
    whole("bins", bins, 2)
    down, right = np.gradient(np.asarray(shape("pictures", pictures, None, None, None), np.float32), axis=(1, 2))
    angle = np.arctan2(down, right) % np.pi * (bins / np.pi)  # in bins, from 0 to `bins`
    low = np.floor(angle).astype(int)
    length, near = np.hypot(down, right), angle - low
    votes = np.zeros((*length.shape, bins), np.float32)
    for offset, part in ((0, 1 - near), (1, near)):
        chosen = ((low + offset) % bins)[..., None]  # bin 0 follows the last one
        before = np.take_along_axis(votes, chosen, axis=-1)
        np.put_along_axis(votes, chosen, before + (length * part)[..., None], axis=-1)
    return votes


def histograms_of_gradients(pictures, cell=4, bins=8, block=2, epsilon=0.05):
    """Votes added up in cells, and each block of neighbouring cells divided by its length.

    Args:
        pictures: Brightness from 0 to 1 (batch, height, width), sizes that `cell` divides.
        cell: Height and width of a cell in pixels.
        bins: Number of directions.
        block: Cells of a block, downwards and to the right; blocks overlap by all but one cell.
        epsilon: What keeps blocks without edges small; 0 < epsilon.

    Returns:
        float32 (batch, blocks down, blocks to the right, block, block, bins).

    Raises:
        ValueError: If a size does not fit.

    Source: Dalal and Triggs 2005, with cells of 4 pixels for small pictures and votes shared between directions only.
    """
    votes = edge_votes(pictures, bins)
    batch, height, width, _ = votes.shape
    rows, columns = height // whole("cell", cell), width // cell
    if height % cell or width % cell or whole("block", block) > min(rows, columns):
        raise ValueError(f"cell, block: expected sizes that fit into {height} × {width}, got {cell!r} and {block!r}")
    cells = votes.reshape(batch, rows, cell, columns, cell, bins).sum(axis=(2, 4))
    blocks = np.lib.stride_tricks.sliding_window_view(cells, (block, block), axis=(1, 2))  # (…, bins, block, block)
    lengths = np.sqrt(np.sum(blocks**2, axis=(3, 4, 5), keepdims=True) + positive("epsilon", epsilon) ** 2)
    return np.moveaxis(blocks / lengths, 3, 5)


def linear_classifier(features, labels, classes, ridge=1.0):
    """Weights and biases whose outputs are nearest to 1 for the right class and 0 for all others; solved, not trained.

    Minimizes the squared error over all examples plus `ridge` times the squared weights; biases are free.

    Args:
        features: Array (examples, features).
        labels: Whole numbers (examples,) from 0 to classes − 1.
        classes: Number of classes.
        ridge: Weight of the penalty.

    Returns:
        `(weights, biases)`: (features, classes) and (classes,); the answer is the largest of x @ weights + biases.

    Raises:
        ValueError: If a shape does not fit or a label is out of range.
    """
    features = np.asarray(shape("features", features, None, None), np.float64)
    labels = shape("labels", np.asarray(labels), len(features))
    if labels.dtype.kind not in "iu" or not ((labels >= 0) & (labels < whole("classes", classes, 2))).all():
        raise ValueError(f"labels: expected whole numbers from 0 to {classes - 1}, got {labels!r}")
    targets = np.eye(classes)[labels]
    mean, middle = features.mean(axis=0), targets.mean(axis=0)
    centred = features - mean
    square = centred.T @ centred + positive("ridge", ridge) * np.eye(len(mean))  # (features, features)
    weights = np.linalg.solve(square, centred.T @ (targets - middle))
    return weights, middle - mean @ weights


def example():
    """A line at four angles: which directions its edges have, and fainter lines read by Keras's layer and by ours."""
    grid = np.stack(np.meshgrid(np.arange(16) - 7.5, np.arange(16) - 7.5, indexing="ij"))
    angles = np.pi * np.arange(4) / 4
    lines = np.stack([np.exp(-((np.sin(a) * grid[0] + np.cos(a) * grid[1]) ** 2) / 4) for a in angles])
    for angle, votes in zip(angles, edge_votes(lines, bins=4), strict=True):
        print(f"across the line: {np.degrees(angle):3.0f} degrees; votes", votes.sum(axis=(0, 1)).round(1))
    features = histograms_of_gradients(lines).reshape(4, -1)
    weights, biases = linear_classifier(features, np.arange(4), 4, ridge=0.01)
    layer = keras.layers.Dense(4)
    layer.build(features.shape)
    layer.set_weights([weights, biases])
    fainter = histograms_of_gradients(lines / 2).reshape(4, -1)
    print("layers.Dense, fainter lines:", np.argmax(layer(fainter), axis=1))
    print("ours:                       ", np.argmax(fainter @ weights + biases, axis=1))


def lesson(
    report,
    *,
    sizes: tuple[int, ...] = (500, 5000),
    test_images: int = 4000,
    updates: int = 600,
    batch_size: int = 32,
    learning_rate: float = 0.003,
    seed: int = 0,
):
    """What the features keep and forget, then three ways to read digits and clothes.

    Args:
        report: The report to write to.
        sizes: Numbers of training pictures, increasing (32 to 60000).
        test_images: Test pictures (10 to 10000).
        updates: Updates of each network (1 to 100000).
        batch_size: Pictures of an update (1 to 32).
        learning_rate: First learning rate of Adam, which falls to zero along a cosine (0.000001 to 1).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _by_construction(report, np.random.default_rng((seed, 0)))
    sets = {"digits": data.mnist(), "clothes": data.fashion_mnist()}
    accuracy, seconds = _three_ways(report, sets, sizes, test_images, updates, batch_size, learning_rate, seed)
    _results(report, accuracy, seconds, sizes, updates)


def _by_construction(report, rng):
    x = rng.uniform(size=(3, 12, 12))
    down, right = np.gradient(x, axis=(1, 2))
    label = "votes of a pixel add up to the length of its slope"
    report.check(label, edge_votes(x).sum(axis=3), np.hypot(down, right), atol=1e-5)
    rows, columns = np.mgrid[:12, :12]
    ramps = np.stack([np.cos(np.pi * k / 8) * columns + np.sin(np.pi * k / 8) * rows for k in range(8)])
    report.check("a ramp along direction k votes for k only", edge_votes(ramps).mean(axis=(1, 2)), np.eye(8), atol=1e-5)
    plain = histograms_of_gradients(x, epsilon=1e-9)
    report.check("brighter: the same features", histograms_of_gradients(x + 0.3, epsilon=1e-9), plain, atol=1e-5)
    report.check("half the contrast: the same", histograms_of_gradients(x / 2, epsilon=1e-9), plain, atol=1e-5)
    report.check("a negative: the same", histograms_of_gradients(1 - x, epsilon=1e-9), plain, atol=1e-5)
    turned = histograms_of_gradients(np.rot90(x, axes=(1, 2)), epsilon=1e-9)
    want = np.roll(np.rot90(np.rot90(plain, axes=(1, 2)), axes=(3, 4)), 4, axis=5)  # four of eight bins: a right angle
    report.check("a quarter turn turns blocks, cells and directions", turned, want, atol=1e-5)
    features, labels = rng.normal(size=(40, 6)), rng.integers(0, 3, 40)
    weights, biases = linear_classifier(features, labels, 3, ridge=0.5)
    system = np.block([[features, np.ones((40, 1))], [np.sqrt(0.5) * np.eye(6), np.zeros((6, 1))]])
    solved = np.linalg.lstsq(system, np.concatenate([np.eye(3)[labels], np.zeros((6, 3))]), rcond=None)[0]
    report.check("the linear classifier is the least-squares solution", [weights, biases], [solved[:6], solved[6]],
                 rtol=1e-9)  # fmt: skip


def _three_ways(report, sets, sizes, test_images, updates, batch_size, learning_rate, seed):
    """Accuracies and seconds of each way on each set: {way: {set: [one for each size]}}."""
    model = build_lenet5((28, 28, 1), 10, seed=seed)
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, updates)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss)
    restart, start = training.restarter(model), model.get_weights()
    accuracy = {way: {name: [] for name in sets} for way in ("pixels", "edges", "network")}
    seconds = {way: [] for way in accuracy}
    for name, ((x, y), (x_test, y_test)) in report.track(list(sets.items()), "digits and clothes"):
        rng = np.random.default_rng((seed, 1))
        chosen, asked = rng.permutation(len(x))[: max(sizes)], rng.permutation(len(x_test))[:test_images]
        known, new = np.float32(x[chosen]) / 255, np.float32(x_test[asked]) / 255
        labels, wanted = np.int32(y[chosen]), y_test[asked]

        def linear(way, size, features, known=known, new=new, labels=labels, wanted=wanted, name=name):
            begin = time.perf_counter()
            weights, biases = linear_classifier(features(known[:size]), labels[:size], 10)
            seconds[way].append(time.perf_counter() - begin)
            accuracy[way][name].append(np.mean((features(new) @ weights + biases).argmax(axis=1) == wanted))

        for size in sizes:
            linear("pixels", size, lambda pictures: pictures.reshape(len(pictures), -1))
            linear("edges", size, lambda pictures: histograms_of_gradients(pictures).reshape(len(pictures), -1))
            restart(start)
            order = np.concatenate([rng.permutation(size) for _ in range(-(-updates * batch_size // size))])
            order = order[: updates * batch_size]  # as many updates for few pictures as for many
            begin = time.perf_counter()
            training.fit(model, known[order, ..., None], labels[order], batch_size=batch_size, shuffle=False)
            seconds["network"].append(time.perf_counter() - begin)
            answers = training.predict(model, new[..., None]).argmax(axis=1)
            accuracy["network"][name].append(np.mean(answers == wanted))
    return accuracy, seconds


def _results(report, accuracy, seconds, sizes, updates):
    gain = [np.subtract(accuracy["edges"][name], accuracy["pixels"][name]) for name in accuracy["edges"]]
    report.at_least("edges above pixels, accuracy, both sets and all sizes", gain, 0.02, trained=True)
    report.at_least("digits by edges, most pictures", accuracy["edges"]["digits"][-1], 0.95, trained=True)
    gain = [np.subtract(accuracy["network"][name], accuracy["pixels"][name]) for name in accuracy["network"]]
    report.at_least("the network above pixels, accuracy, both sets and all sizes", gain, 0.0, trained=True)
    names = {"pixels": "pixels, linear", "edges": "edges by hand, linear", "network": "LeNet-5, end to end"}
    rows = []
    places = enumerate(accuracy["edges"])
    for way, (place, name), (number, size) in itertools.product(names, places, enumerate(sizes)):
        took = seconds[way][number + len(sizes) * place]
        rows.append([names[way], name, size, float(accuracy[way][name][number]), took])
    columns = ["method", "pictures of", "training pictures", "test accuracy", "seconds of training"]
    report.table("hand-made features and a network", columns, rows)
    report.note(
        f"The network has {updates} updates for any number of pictures, the first of its times with compiling; the "
        "linear classifiers are solved. On this budget edges and network come close to each other. What a "
        "network does with all digits and more updates, LeNet-5 shows earlier in this chapter; edges were not tried."
    )
    figure, axes = plots.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    for ax, name in zip(axes, accuracy["pixels"], strict=True):
        series = {names[way]: accuracy[way][name] for way in names}
        plots.curves(sizes, series, xlabel="training pictures", ylabel="test accuracy", marker="o", xscale="log", ax=ax)
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
        ax.minorticks_off()
        ax.set_title(f"{name.capitalize()}")
        ax.label_outer()
    axes[0].get_legend().remove()
    axes[1].legend(loc="lower right")
    report.figure(
        "edges by hand against learnt features",
        figure,
        alt="Test accuracy against the number of training pictures for digits and clothes. Edges with a linear "
        "classifier and LeNet-5 lie close together, above pixels with a linear classifier.",
    )

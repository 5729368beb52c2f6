"""What a network has learnt on one task helps on another most where the new task is near and its data are few.

A small convolutional network learns five classes; then its layers serve for five others. What the reader should see:
with ten pictures a class of a near task, the old weights are a better start than random ones; for far tasks, or with
thousands of pictures, hardly. Layers that are kept frozen do worse here in every case. The course gives an advice for
each of four cases, and the table says case by case whether it was the best choice. A frozen layer stays as it is, its
batch normalization too: it uses the statistics of the old data.

Notes: chapter 05, "Transfer learning" (迁移学习).
Source: Yosinski et al. 2014, arXiv:1411.1792; https://keras.io/guides/transfer_learning (freezing).
"""

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.parts import layer_seeds, whole

SMOKE = {"source_images": 40, "source_updates": 2, "large": 40, "updates": 2, "test_images": 100, "seeds": 2}
SECONDS = 40
MODES = ("head", "first_layers", "fine_tune", "structure")
ADVICE = {("small", "near"): "head", ("small", "far"): "first_layers", ("large", "near"): "fine_tune",
          ("large", "far"): "structure"}  # fmt: skip
TASKS = (("digits", "digits", "near"), ("clothing", "digits", "far"), ("digits", "clothing", "far"))


def freeze(model, layers):
    """Exempt layers from training: neither their weights nor their statistics of batch normalization move any more.

    It holds from the next `compile` on.

    Args:
        model: A `keras.Model`; it is changed.
        layers: Names of layers, or a whole number: so many of the first layers that have weights.

    Returns: The model.
    Raises: ValueError: If there is no such layer, or there are fewer with weights.
    Source: https://keras.io/guides/transfer_learning.
    """
    weighted = [layer.name for layer in model.layers if layer.weights]
    if isinstance(layers, (int, np.integer)):
        if whole("layers", layers, least=0) > len(weighted):
            raise ValueError(f"layers: expected at most {len(weighted)} layers with weights, got {layers}")
        layers = weighted[:layers]
    names = [layers] if isinstance(layers, str) else list(layers)
    missing = [name for name in names if name not in {layer.name for layer in model.layers}]
    if missing:
        raise ValueError(f"layers: expected names of the model's layers, got {', '.join(map(repr, missing))}")
    for name in names:
        model.get_layer(name).trainable = False
    return model


def transfer_model(base, classes, mode="head", seed=0, first=2):
    """A network for a new task from one that has learnt another: all layers but the last, and new logits.

    Args:
        base: A `keras.Model` of one input whose last layer is dense and gives the logits. It is copied, not changed.
        classes: Classes of the new task.
        mode: What is taken over and what is trained:
            "head": all layers are kept and frozen, only the new logits are trained;
            "first_layers": as "head", but the first layers, near the input, are trained as well;
            "fine_tune": the weights are a start, and all are trained;
            "structure": only the form is kept, and all weights start at random.
        seed: Seed of the new weights.
        first: For "first_layers": how many layers with weights are trained.

    Returns: An uncompiled `keras.Model` that gives logits (batch, classes) by a layer named "new_logits".
    Raises: ValueError: If the mode is unknown, `base` does not end in a dense layer, or a number is out of range.
    """
    if mode not in MODES:
        raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}")
    if not isinstance(base.layers[-1], keras.layers.Dense):
        raise ValueError(f"base: expected a dense layer at the end, got {type(base.layers[-1]).__name__}")
    seeds = layer_seeds(seed)

    def copy(layer):  # with seeds of its own, else a random start would be the base's
        config = layer.get_config()
        for value in config.values():
            if isinstance(value, dict) and "seed" in (value.get("config") or {}):
                value["config"]["seed"] = next(seeds)
        return type(layer).from_config(config)

    body = keras.models.clone_model(base, clone_function=copy)
    if mode != "structure":
        body.set_weights(base.get_weights())
    start = keras.initializers.GlorotUniform(next(seeds))
    logits = keras.layers.Dense(whole("classes", classes), kernel_initializer=start, name="new_logits")
    model = keras.Model(body.inputs[0], logits(body.layers[-1].input))
    kept = [layer.name for layer in model.layers[:-1] if layer.weights]
    if mode == "first_layers":
        freeze(model, kept[whole("first", first) :])
    return freeze(model, kept) if mode == "head" else model


def build_base(classes=5, seed=0):
    """Two convolutions with batch normalization and pooling, a dense layer, and logits, for 14 × 14 pixels.

    Args:
        classes: Number of logits.
        seed: Seed of the first weights.

    Returns: An uncompiled `keras.Model`.
    Raises: ValueError: If `classes` is no whole number of at least 1.
    """
    layers, seeds = keras.layers, layer_seeds(seed)
    inputs = x = keras.Input((14, 14, 1))
    for filters in (16, 32):
        x = layers.Conv2D(filters, 3, padding="same", kernel_initializer=keras.initializers.HeUniform(next(seeds)))(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.MaxPooling2D(2)(layers.ReLU()(x))  # (batch, 7, 7, 16), then (batch, 3, 3, 32)
    x = layers.Dense(64, "relu", kernel_initializer=keras.initializers.HeUniform(next(seeds)))(layers.Flatten()(x))
    start = keras.initializers.GlorotUniform(next(seeds))
    return keras.Model(inputs, layers.Dense(whole("classes", classes), kernel_initializer=start)(x))


def example():
    """A small network taken over in each way: how many weights are trained; and by Keras's own calls."""
    layers = keras.layers
    base = keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu"), layers.BatchNormalization(), layers.Dense(3)])
    for mode in MODES:
        model = transfer_model(base, 2, mode, first=1)
        same = np.array_equal(model.layers[1].kernel, base.layers[0].kernel)
        print(f"{mode:12}", [layer.name for layer in model.layers if layer.trainable_weights], "same start:", same)
    base.trainable = False  # as Keras's guide does it: freeze all, then put new logits on top
    theirs = keras.Sequential([keras.Input((4,)), *base.layers[:-1], layers.Dense(2)])
    print("Keras, by hand:", len(theirs.trainable_weights), "trainable arrays; ours:",
          len(transfer_model(base, 2, "head").trainable_weights))  # fmt: skip


def lesson(
    report,
    *,
    source_images: int = 8000,
    source_updates: int = 500,
    small: int = 10,
    large: int = 4000,
    updates: int = 200,
    batch_size: int = 32,
    learning_rate: float = 0.005,
    test_images: int = 3000,
    seeds: int = 3,
    seed: int = 0,
):
    """See that frozen layers stay, then take over networks: near and far, with few pictures and with many.

    Args:
        report: The report to write to.
        source_images: Pictures of the first task (10 to 25000).
        source_updates: Updates on the first task (1 to 100000).
        small: Pictures of each of the five classes in the small tasks (1 to 1000).
        large: Pictures in the large tasks (10 to 25000).
        updates: Updates of every training on a new task (1 to 100000).
        batch_size: Pictures in a batch (2 to 10000).
        learning_rate: Learning rate of Adam, the same everywhere (0.000001 to 1).
        test_images: Test pictures of the new task (50 to 4500).
        seeds: Independent runs, each with its own pictures and first weights (2 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _frozen_layers_stay(report, np.random.default_rng(seed))
    pictures, learn = {"digits": data.mnist(), "clothing": data.fashion_mnist()}, _Learn(learning_rate, batch_size)
    found = {}
    for run in report.track(range(seed * seeds, (seed + 1) * seeds), "runs"):
        bases = {}
        for source in ("digits", "clothing"):
            x, y = _draw(pictures[source][0], range(5), source_images, (run, 0))
            trained = learn("base", build_base(5, run), x, y, source_updates, run)
            bases[source] = build_base(5, run)
            bases[source].set_weights(trained.get_weights())
        for size, count in (("small", 5 * small), ("large", large)):
            for source, target, distance in TASKS:
                x, y = _draw(pictures[target][0], range(5, 10), count, (run, 1), even=size == "small")
                x_test, y_test = _draw(pictures[target][1], range(5, 10), test_images, (run, 2))
                for mode in MODES:
                    trained = learn(mode, transfer_model(bases[source], 5, mode, run), x, y, updates, run)
                    accuracy = np.mean(training.predict(trained, x_test).argmax(axis=1) == y_test)
                    found.setdefault((size, distance, source, target), {}).setdefault(mode, []).append(accuracy)
    found = {case: {mode: np.array(values) for mode, values in each.items()} for case, each in found.items()}
    _judge(report, found)
    _figure(report, found)


def _draw(part, classes, count, seed, even=False):
    """Pictures of some classes, halved to 14 × 14 pixels, with labels from 0 on; `even`: equally many of each class."""
    images, labels = part
    order = np.random.default_rng(seed).permutation(len(labels))
    each = count // len(classes) if even else count
    groups = [order[labels[order] == label][:each] for label in classes]
    chosen = np.concatenate(groups) if even else order[np.isin(labels[order], classes)][:count]
    x = images[chosen].reshape(-1, 14, 2, 14, 2, 1).mean(axis=(2, 4)) / 255
    return x.astype(np.float32), labels[chosen].astype(np.int32) - classes[0]


class _Learn:
    """Trains networks of one mode by one compiled model, as compiling takes longer than many a training."""

    def __init__(self, learning_rate, batch_size):
        self.learning_rate, self.batch_size, self.compiled = learning_rate, batch_size, {}

    def __call__(self, mode, model, x, y, updates, seed):
        if mode not in self.compiled:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.Adam(self.learning_rate), loss)
            self.compiled[mode] = model, training.restarter(model)
        weights, (model, restart) = model.get_weights(), self.compiled[mode]
        restart(weights)
        rng, draws = np.random.default_rng((seed, 3)), updates * self.batch_size
        order = np.concatenate([rng.permutation(len(x)) for _ in range(-(-draws // len(x)))])[:draws]
        training.fit(model, x[order], y[order], batch_size=self.batch_size, shuffle=False)
        return model


def _frozen_layers_stay(report, rng):
    x, y = rng.normal(size=(32, 14, 14, 1)).astype(np.float32), rng.integers(0, 3, 32)
    base = build_base(5, 1)
    model = transfer_model(base, 3, "head")
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.get_weights()
    training.fit(model, x, y, epochs=3)
    moved = [np.abs(new - old).max() for new, old in zip(model.get_weights(), before, strict=True)]
    report.check("frozen weights and statistics move by", moved[:-2], [0.0] * (len(moved) - 2), atol=0)
    report.at_least("the new logits' weights move by", np.max(moved[-2:]), 1e-4)
    report.check("frozen, training=True gives what training=False gives", model(x, training=True), model(x))
    loose = transfer_model(base, 3, "fine_tune")  # no gradient is applied, but the layers are not frozen
    statistics = loose.layers[2].moving_mean.numpy()
    loose(x, training=True)
    shift = np.abs(loose.layers[2].moving_mean.numpy() - statistics).max()
    report.at_least("gradients left out, layers not frozen: running means still move by", shift, 1e-4)


def _judge(report, found):
    rows, others = [], []
    for (size, distance, source, target), by_mode in found.items():
        advised = ADVICE[size, distance]
        best = max(MODES, key=lambda mode: by_mode[mode].mean())
        row = [f"{size}, {distance}: {source} to {target}", *(by_mode[mode].mean() for mode in MODES)]
        short = plots.mean_and_error(by_mode[best] - by_mode[advised])
        rows.append([*row, best, advised, best == advised, *short])
        if (size, distance) == ("small", "far"):
            rivals = [by_mode[mode].mean() for mode in MODES if mode != advised]
            others.append(max(rivals) - by_mode[advised].mean())
    columns = ["task", *MODES, "best", "the course's advice", "advice was best", "best above advice", "standard error"]
    report.table("Test accuracy after transfer, mean of the runs", columns, rows)
    near = found["small", "near", "digits", "digits"]
    lead = max(near[mode].mean() for mode in MODES[:-1]) - near["structure"].mean()
    report.at_least("small and near: best transfer above the random start", lead, 0.01, trained=True)
    report.at_least("small and far: best other way above retraining the first layers", others, 0.0, trained=True)
    report.note(
        "Every training takes equally many updates with one learning rate. All tasks have five classes: the first task "
        "the classes 0 to 4, the new one 5 to 9. First layers: the first convolution and its batch normalization."
    )
    far = [found[case] for case in found if case[:2] == ("small", "far")]
    shown = [
        " or ".join(f"{each[mode].mean():.3f}" for each in far) for mode in ("first_layers", "fine_tune", "structure")
    ]
    report.correction(
        "small data, far task",
        course="Few data and another task: retrain the layers near the input.",
        correct="Usually not: the layers kept behind them do not fit the new task. Fine-tune all, or start anew.",
        shown_by="clothing to digits or digits to clothing, few pictures, accuracy: first layers {}, fine-tuned {}, "
        "random start {}".format(*shown),
    )


def _figure(report, found):
    figure, axes = plots.subplots(1, 2, figsize=(11, 4.4), sharey=True)
    names = ["new logits only", "first layers and logits", "all, from the old weights", "all, from a random start"]
    for ax, size in zip(axes, ("small", "large"), strict=True):
        cases = [case for case in found if case[0] == size]
        for number, mode in enumerate(MODES):
            mean, error = plots.mean_and_error(np.stack([found[case][mode] for case in cases], axis=1))
            places = np.arange(len(cases)) + 0.2 * (number - 1.5)
            ax.bar(places, mean, yerr=error, width=0.18, capsize=3, label=names[number], color=f"C{number}")
            for case, place, height in zip(cases, places, mean + error, strict=True):
                if ADVICE[case[:2]] == mode:
                    ax.plot(place, height + 0.03, "v", color="k", markersize=7)
        ax.set_xticks(range(len(cases)), [f"{case[1]}:\n{case[2]} to {case[3]}" for case in cases])
        ax.set_title("Few pictures of the new task" if size == "small" else "Many pictures")
    axes[0].set(ylabel="test accuracy", ylim=(0.4, 1.02))
    axes[0].plot([], [], "kv", label="the course's advice")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=10)
    report.figure("Transfer, near and far", figure,
                  alt="Test accuracy of four ways to take over a network, for three tasks with few and with many "
                  "pictures; training all weights leads everywhere, from the old weights clearly for few pictures of a "
                  "near task. The course's advice is marked.")  # fmt: skip

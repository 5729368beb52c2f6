"""Waiting longer before the stop costs epochs and brings ever less; training to the end costs test loss.

One run to the end shows what every patience would have kept. What the reader should see: on a few hundred pictures the
validation loss turns while the training loss falls to zero; Keras's callback stops where the recorded history says, and
gives back the weights of the best epoch; the test loss is lower with every patience than at the end. The accuracy gains
nothing from a stop: training on makes a network surer, also of its mistakes.

Notes: chapter 05, "Early stopping" (提前终止).
Source: Prechelt 1998, doi:10.1007/3-540-49430-8_3; https://keras.io/api/callbacks/early_stopping/
"""

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.chapter02.mlp import build_mlp
from kerasnotes.chapter05.early_stopping import best_epoch, stopping_epoch

SMOKE = {"epochs": 2, "images": 64, "seeds": 1, "patience": 1}
FULL = {"epochs": 200, "seeds": 10}
SECONDS = 7


def kept_epochs(history, patiences):
    """From one run to the end: where `EarlyStopping` would have stopped with each patience, and what it would keep.

    Args:
        history: The watched loss after each epoch (epochs,), as in `History.history["val_loss"]`.
        patiences: Numbers of epochs to wait, each at least 0.

    Returns:
        List of `(last, kept)` for each patience, both counted from 0: the last epoch run, and the epoch whose weights
        `restore_best_weights=True` gives back.

    Raises:
        ValueError: If there is no epoch, or a patience is no whole number of at least 0.
    """
    lasts = [stopping_epoch(history, patience=patience) for patience in patiences]
    lasts = [len(history) - 1 if last is None else last for last in lasts]
    return [(last, best_epoch(history[: last + 1])) for last in lasts]


def example():
    """A linear model with more weights than examples: one run to the end, and one for each patience by Keras."""
    rng = np.random.default_rng(0)
    x, start = rng.normal(size=(40, 30)), keras.initializers.GlorotUniform(seed=0)
    y = x[:, :1] + rng.normal(size=(40, 1))  # one feature matters, the others are there to be learnt by heart

    def losses(epochs, callbacks=()):
        model = keras.Sequential([keras.Input((30,)), keras.layers.Dense(1, kernel_initializer=start)])
        model.compile(keras.optimizers.SGD(0.05), loss="mse")
        settings = {"validation_split": 0.4, "shuffle": False, "callbacks": [*callbacks], "verbose": 0}
        return model.fit(x, y, epochs=epochs, batch_size=24, **settings).history["val_loss"]

    history, patiences = losses(25), [1, 4]
    for patience, (last, kept) in zip(patiences, kept_epochs(history, patiences), strict=True):
        stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=patience, restore_best_weights=True)
        run = len(losses(25, [stop]))
        print(f"patience {patience}: Keras ran {run} epochs, by the history {last + 1}, of which {kept + 1} is kept")
    print("of the run to the end:", np.round(history, 3))


def lesson(
    report,
    *,
    images: int = 500,
    units: int = 128,
    epochs: int = 80,
    patience: int = 8,
    seeds: int = 3,
    seed: int = 0,
):
    """Train networks that overfit, to the end and with Keras's callback, and test what each patience keeps.

    Args:
        report: The report to write to.
        images: Training pictures, and half as many for validation (32 to 30000).
        units: Hidden units of the network (1 to 4096).
        epochs: Epochs of the run to the end (2 to 1000).
        patience: Epochs to wait for progress (0 to 1000).
        seeds: Independent runs, each with other pictures and other weights (1 to 100).
        seed: Seed of all random draws (0 to 4294967000).
    """
    (x, y), test = data.fashion_mnist()
    waits = sorted({0, 2, 4, patience, 2 * patience})
    stops, weights, shown, tests = [], [], None, np.zeros((seeds, len(waits) + 1, 3))
    model = _network(units, seed)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    restart = training.restarter(model)
    for run, run_seed in enumerate(report.track(range(seed, seed + seeds), "networks")):
        chosen = np.random.default_rng((run_seed, 1)).choice(len(x), images + images // 2, replace=False)
        pairs = [(x[part] / np.float32(255), y[part]) for part in np.split(chosen, [images])]
        snapshots, histories = training.Snapshots(), []
        stop = keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)
        for callback in (snapshots, stop):  # to the end, then once more from the same start and with Keras's callback
            restart(_network(units, run_seed).get_weights())
            settings = {"epochs": epochs, "callbacks": [callback], "validation_data": pairs[1], "form": "loop"}
            histories.append(training.fit(model, *pairs[0], batch_size=32, seed=run_seed, **settings).history)
        watched, restored = histories[0]["val_loss"], model.get_weights()
        for number, (last, kept) in enumerate([*kept_epochs(watched, waits), (epochs - 1, epochs - 1)]):
            model.set_weights(snapshots.weights[kept])
            result = training.evaluate(model, test[0] / np.float32(255), test[1], batch_size=2000)
            tests[run, number] = last + 1, result["loss"], result["accuracy"]
            if number == waits.index(patience):
                stops.append((len(histories[1]["loss"]) - 1, last))
                weights.append((restored, snapshots.weights[kept]))
                shown = shown or (histories[0], last, kept)
    _results(report, stops, weights, tests, waits, patience)
    report.figure(
        "Validation loss turns while training loss still falls",
        _figure(*shown, tests, waits, patience),
        alt="Left: over the epochs the training loss falls towards zero; the validation loss falls, turns and rises. "
        "Two lines mark the restored epoch at its minimum and the stop some epochs later. Right: the test loss is "
        "lower with every patience than after training to the end.",
    )


def _network(units, seed):
    return keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), build_mlp([units], 10, seed=seed)])


def _results(report, stops, weights, tests, waits, patience):
    for label, pairs in (
        ("Keras stops where stopping_epoch says, given the history of the run to the end", stops),
        ("restore_best_weights gives back the weights of the best epoch", weights),
    ):
        report.check(label, got=[pair[0] for pair in pairs], want=[pair[1] for pair in pairs])
    chosen = tests[:, waits.index(patience)]
    ratio = chosen[:, 1] / tests[:, -1, 1]
    report.at_most("every seed: test loss when stopped over test loss at the end", ratio, 1.0, trained=True)
    means = tests[:, :, 1].mean(axis=0)  # (patiences and the end,)
    report.at_most("every patience: mean test loss over that at the end", means[:-1] / means[-1], 1.0, trained=True)
    guess = np.log(10)  # one of ten classes, each as likely
    report.at_most("every seed and patience: test loss over that of a guess, ln 10", tests[:, :-1, 1] / guess, 0.5,
                   trained=True)  # fmt: skip
    rows = [
        [name, *(f"{mean:.{places}f} ± {error:.{places}f}"
                 for mean, error, places in zip(*plots.mean_and_error(tests[:, number]), (1, 3, 4), strict=True))]
        for number, name in enumerate([*waits, "to the end"])
    ]  # fmt: skip
    report.table(
        f"what patience costs and brings (mean ± standard error of {len(tests)} networks, best weights restored)",
        ["patience, epochs", "epochs run", "test loss, nats", "test accuracy"],
        rows,
    )
    report.note(
        f"What was watched is what gains: the loss. The accuracy is {chosen[:, 2].mean():.3f} when stopped and "
        f"{tests[:, -1, 2].mean():.3f} at the end; training on makes a network surer, also of its mistakes."
    )


def _figure(history, last, restored, tests, waits, patience):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4), width_ratios=(1.5, 1))
    epochs = np.arange(1, len(history["loss"]) + 1)
    series = {"training": history["loss"], "validation": history["val_loss"]}
    plots.curves(epochs, series, xlabel="epoch", ylabel="loss, nats", ax=left)
    left.axvline(restored + 1, color="C2", linestyle=":", label=f"weights restored: epoch {restored + 1}")
    left.axvline(last + 1, color="C2", linewidth=1.2, label=f"last epoch, patience {patience}: {last + 1}")
    left.plot(restored + 1, history["val_loss"][restored], "o", color="C1")
    left.set(ylim=(0, None), title="Validation loss turns while training loss falls")
    left.legend()
    mean, error = plots.mean_and_error(tests[:, :, 1])
    names = [*map(str, waits), "to the\nend"]
    plots.bars(names, mean, errors=error, ylabel="test loss, nats", title="Test loss by patience", ax=right)
    right.set_xlabel("patience, epochs")
    return figure

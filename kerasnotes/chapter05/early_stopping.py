"""Early stopping counts the epochs without progress, and gives back the weights of the best one.

Training error falls for as long as one trains; validation error falls and then rises. Stopping where it turns costs
three rules of bookkeeping: what counts as progress (min_delta), how long to wait for it (patience), and when to begin
(start_from_epoch). Written out here, they agree with Keras's callback on hundreds of random histories, also where its
behaviour surprises: a missed baseline stops nothing while the loss still falls, and "stopped" is not yet "best".

Notes: chapter 05, "Early stopping" (提前终止).
Source: Prechelt 1998, doi:10.1007/3-540-49430-8_3; https://keras.io/api/callbacks/early_stopping/
"""

import contextlib
import io
import types

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import whole

SMOKE = {"histories": 100}
FULL = {"histories": 5000}
SECONDS = 3

DIRECTIONS = {  # what "auto" knows of a name without "val_": which way is better
    "loss": "min", "mse": "min", "mae": "min", "accuracy": "max", "auc": "max", "precision": "max", "recall": "max",
}  # fmt: skip


def stopping_epoch(
    history, min_delta=0.0, patience=0, mode="auto", baseline=None, start_from_epoch=0, monitor="val_loss"
):
    """Say after which epoch `keras.callbacks.EarlyStopping` with these arguments ends the training.

    Every watched epoch adds one to a count. One that beats the best value by more than `min_delta`, and the baseline
    too, sets it back to zero. One that does not beat the best value ends the training if the count has reached
    `patience`; so while the value keeps improving, nothing ends it. These are the rules of Keras 3.12 to 3.15.

    Args:
        history: The watched value after each epoch (epochs,), as in `History.history["val_loss"]`. NaN is no progress.
        min_delta: What progress has to exceed, at least 0, in the unit of the history.
        patience: Epochs without progress to wait for. 0 and 1 mean the same.
        mode: "min" (smaller is better), "max", or "auto": the one that goes with the name `monitor`.
        baseline: Value to be beaten as well, or None.
        start_from_epoch: First epoch to be watched, counted from 0.
        monitor: Name of the value; only "auto" reads it.

    Returns: The index of the last epoch run, counted from 0, or None if the training is never ended.
    Raises: ValueError: If an argument is out of range, or "auto" does not know the name.
    Source: https://keras.io/api/callbacks/early_stopping/
    """
    return _watch(history, min_delta, patience, mode, baseline, start_from_epoch, monitor)[0]


def best_epoch(history, mode="auto", min_delta=0.0, start_from_epoch=0, monitor="val_loss"):
    """The epoch whose weights `restore_best_weights=True` gives back, if `history` is all that was run.

    With `min_delta=0` it is the first one with the best value. Otherwise it is the last one that counted as progress,
    and later epochs may have been a little better.

    Args: As for `stopping_epoch`.
    Returns: The index of the epoch, counted from 0.
    Raises: ValueError: If an argument is out of range, or no epoch was watched.
    """
    epoch = _watch(history, min_delta, len(history), mode, None, start_from_epoch, monitor)[1]
    if epoch is None:
        raise ValueError(
            f"start_from_epoch: expected less than the {len(history)} epochs of the history, got {start_from_epoch!r}"
        )
    return epoch


def _watch(history, min_delta, patience, mode, baseline, start_from_epoch, monitor):
    """`(epoch of the stop or None, best epoch so far or None)`."""
    history = np.asarray(history, np.float64)
    if history.ndim != 1 or not history.size:
        raise ValueError(f"history: expected one value for each epoch, got shape {history.shape}")
    if not 0 <= min_delta < np.inf:
        raise ValueError(f"min_delta: expected a number of at least 0, got {min_delta!r}")
    whole("patience", patience, least=0)
    whole("start_from_epoch", start_from_epoch, least=0)
    if baseline is not None and not np.isfinite(baseline):
        raise ValueError(f"baseline: expected a finite number or None, got {baseline!r}")
    sign = 1 if _direction(mode, monitor) == "min" else -1

    def beats(value, reference):  # in float32, as Keras compares
        return np.float32(sign * value + min_delta) < np.float32(sign * reference)

    best, count = None, 0
    for epoch in range(start_from_epoch, len(history)):
        count += 1
        if best is None or beats(history[epoch], history[best]):
            best = epoch
            if baseline is None or beats(history[epoch], baseline):
                count = 0
        elif count >= patience:
            return epoch, best
    return None, best


def _direction(mode, monitor):
    if mode not in ("auto", "min", "max"):
        raise ValueError(f"mode: expected one of auto, min, max, got {mode!r}")
    if mode != "auto":
        return mode
    name = monitor.removeprefix("val_")
    if name not in DIRECTIONS:
        raise ValueError(
            f"monitor: expected one of {', '.join(DIRECTIONS)} with mode='auto', got {monitor!r}; "
            "pass mode='min' or mode='max'"
        )
    return DIRECTIONS[name]


def example():
    """A model with more weights than examples, stopped by Keras's callback; the same epochs by the rules above."""
    rng = np.random.default_rng(0)
    x, start = rng.normal(size=(40, 30)), keras.initializers.GlorotUniform(seed=0)
    y = x[:, :1] + rng.normal(size=(40, 1))  # one feature matters, the others are there to be learnt by heart
    model = keras.Sequential([keras.Input((30,)), keras.layers.Dense(1, kernel_initializer=start)])
    model.compile(keras.optimizers.SGD(0.05), loss="mse")
    stop = tf.keras.callbacks.EarlyStopping(
        monitor="val_loss", min_delta=0, patience=3, verbose=1, mode="auto", baseline=None, restore_best_weights=True
    )
    history = model.fit(x, y, validation_split=0.4, epochs=100, shuffle=False, callbacks=[stop], verbose=0).history
    watched = history["val_loss"]
    print("validation losses:", np.round(watched, 3))
    print(
        "Keras: the last epoch is",
        len(watched),
        "and the kept loss",
        np.round(model.evaluate(x[24:], y[24:], verbose=0), 3),
    )
    last, best = stopping_epoch(watched, patience=3), best_epoch(watched)
    print("ours:  the last epoch is", last + 1, "and the kept loss", np.round(watched[best], 3), "of epoch", best + 1)


def lesson(report, *, histories: int = 500, seed: int = 0):
    """Compare the rules with Keras's callback on random histories, and where it surprises.

    Args:
        report: The report to write to.
        histories: Random histories to compare on (100 to 100000).
        seed: Seed of all random draws (0 to 4294967000).
    """
    metrics = _metrics()
    _random_histories(report, metrics, histories, np.random.default_rng(seed))
    _surprises(report, metrics)
    _documented_example(report, seed)


def _metrics():
    """The metrics of a small model that has seen a batch; "auto" asks them which way is better."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros")])
    kinds = ["mse", "mae", "accuracy", keras.metrics.AUC(name="auc"), keras.metrics.Precision(name="precision")]
    strange = keras.metrics.MeanMetricWrapper(lambda y, output: abs(y - output), name="surprise")
    kinds += [keras.metrics.Recall(name="recall"), strange]
    model.compile(loss="mse", metrics=kinds, run_eagerly=True)
    model.test_on_batch(np.zeros((2, 1)), np.array([[0.0], [1.0]]))
    return model.metrics


def _keras(metrics, history, monitor="val_loss", **arguments):
    """Drive the real callback: `(last epoch or -1, epoch of the final weights, what it says)`."""
    callback, said = keras.callbacks.EarlyStopping(monitor, **arguments), io.StringIO()
    model = types.SimpleNamespace(metrics=metrics, stop_training=False, epoch=-1)  # as much of one as is touched
    model.get_weights = lambda: model.epoch  # its weights are the number of the epoch
    model.set_weights = lambda epoch: setattr(model, "epoch", epoch)
    callback.set_model(model)
    with contextlib.redirect_stdout(said):
        callback.on_train_begin()
        for epoch, value in enumerate(history):
            model.epoch = epoch
            callback.on_epoch_end(epoch, {monitor: float(value)})
            if model.stop_training:
                break
        last = epoch if model.stop_training else -1
        callback.on_train_end()
    return last, model.epoch, said.getvalue()


def _ours(history, monitor="val_loss", verbose=0, restore_best_weights=False, **arguments):
    stop = stopping_epoch(history, monitor=monitor, **arguments)
    final = last = len(history) - 1 if stop is None else stop
    said = "" if stop is None else f"Epoch {stop + 1}: early stopping\n"
    if restore_best_weights and arguments["start_from_epoch"] <= last:
        watched = {name: arguments[name] for name in ("mode", "min_delta", "start_from_epoch")}
        final = best_epoch(history[: last + 1], monitor=monitor, **watched)
        said += f"Restoring model weights from the end of the best epoch: {final + 1}.\n"
    return -1 if stop is None else stop, final, said if verbose else ""


def _random_histories(report, metrics, histories, rng):
    ours, theirs = [], []
    for _ in report.track(range(histories), "histories"):
        length, monitor = int(rng.integers(1, 25)), str(rng.choice([*DIRECTIONS, "val_loss", "val_accuracy"]))
        turn = rng.integers(0, 15)
        curve = 0.1 * np.abs(np.arange(length) - turn) + rng.normal(0, 0.15, length)  # falls, then rises
        curve *= 1 if _direction("auto", monitor) == "min" else -1
        history = np.round(curve, 1)  # one decimal makes ties, also with min_delta
        arguments = {
            "monitor": monitor,
            "min_delta": float(rng.choice([0, 0, 0.1, 0.3])),
            "patience": int(rng.integers(0, 5)),
            "verbose": int(rng.integers(2)),
            "mode": str(rng.choice(["auto", "auto", "min", "max"])),
            "baseline": float(rng.choice(history)) if rng.random() < 0.5 else None,
            "restore_best_weights": bool(rng.integers(2)),
            "start_from_epoch": int(rng.choice([0, 0, rng.integers(8)])),
        }
        theirs.append(_keras(metrics, history, **arguments))
        ours.append(_ours(history, **arguments))
    for number, what in enumerate(("last epoch (-1: never stopped)", "epoch of the final weights", "words")):
        got, want = ([row[number] for row in rows] for rows in (ours, theirs))
        report.check(f"{what}, equal to EarlyStopping's on every random history", got=got, want=want)
    shares = np.mean([row[0] >= 0 for row in theirs])
    report.at_least("both ends occur: share of the histories that stop, and that do not", [shares, 1 - shares], 0.05)


def _surprises(report, metrics):
    falling = [1.0 - 0.05 * epoch for epoch in range(12)]  # down to 0.45, and never to the baseline
    missed = {"baseline": 0.1, "patience": 3}
    never, _, _ = _keras(metrics, falling, **missed)
    report.check("a falling loss never stops at a missed baseline: -1 for never", never, -1)
    report.check("nor here", stopping_epoch(falling, **missed) is None, True)
    course = next(epoch for epoch in range(2, len(falling)) if min(falling[: epoch + 1]) > missed["baseline"]) + 1
    report.at_least("epochs that Keras runs on, where the course's rule would stop", len(falling) - course, 1)
    risen = [*falling, 0.6]
    report.check("but its first rise ends it: no patience is left", stopping_epoch(risen, **missed), len(falling))
    report.check("in Keras, too", _keras(metrics, risen, **missed)[0], len(falling))
    report.correction(
        "EarlyStopping's baseline",
        course="Training stops if the model does not reach the baseline (as Keras's documentation still says, and as "
        "TensorFlow 2.3 did).",
        correct="It does not stop while the loss keeps falling. But the count runs on, so that the first epoch without "
        "progress ends the training.",
        shown_by=f"loss 1.0, 0.95, … 0.45, baseline 0.1, patience 3: Keras runs all {len(falling)} epochs, where the "
        f"course's rule stops after {course}; one rise later Keras stops at once",
    )
    report.figure(
        "A missed baseline stops nothing while the loss falls",
        _figure(risen, missed, course),
        alt="A loss that falls for twelve epochs and then rises, above a dashed baseline. The course's rule would stop "
        "it early; Keras stops it at the first rise.",
    )
    late = [_keras(metrics, [1.0] * 6, start_from_epoch=start)[0] for start in range(5)]
    report.check("the first watched epoch never stops: a flat loss, patience 0, watched from 0 to 4", late, range(1, 6))
    report.check("ours neither", [stopping_epoch([1.0] * 6, start_from_epoch=start) for start in range(5)], late)
    creeping = [1.0, 0.95, 0.9, 0.85, 0.8, 0.75]  # progress, but never by more than 0.3 over the best
    arguments = {"min_delta": 0.3, "patience": 5}
    _, restored, _ = _keras(metrics, creeping, restore_best_weights=True, **arguments)
    report.check("with min_delta 0.3, a loss falling by 0.05 an epoch restores its worst weights", restored, 0)
    report.check("so does best_epoch", best_epoch(creeping, min_delta=0.3), restored)
    for what, decide in (
        ("in Keras", lambda: _keras(metrics, falling, "surprise")),
        ("here", lambda: stopping_epoch(falling, monitor="surprise")),
    ):
        try:
            answer = decide()
        except ValueError as error:
            answer = "mode='max'" in str(error)
        report.check(f"'auto' refuses a name that it does not know, {what}", answer, True)


def _documented_example(report, seed):
    """The example in Keras's documentation, whose comment says: Only 4 epochs are run."""
    start = keras.initializers.GlorotUniform(seed=seed)
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(10, kernel_initializer=start)])
    model.compile(keras.optimizers.SGD(), loss="mse")
    callback = keras.callbacks.EarlyStopping(monitor="loss", patience=3)
    x, y = np.arange(100).reshape(5, 20), np.zeros((5, 10))
    history = model.fit(x, y, epochs=10, batch_size=1, callbacks=[callback], verbose=0, shuffle=False).history["loss"]
    report.check("epochs of the example in Keras's documentation", len(history), 4)
    report.check("by our rule, too", stopping_epoch(history, patience=3, monitor="loss") + 1, 4)
    report.note(f"That example stops because it diverges: its losses are {', '.join(f'{v:.1g}' for v in history)}.")


def _figure(history, missed, course):
    ours, style = stopping_epoch(history, **missed) + 1, {"linestyle": "", "markersize": 13, "fillstyle": "none"}
    epochs, words = np.arange(1, len(history) + 1), f"with baseline, patience {missed['patience']}"
    figure = plots.curves(epochs, {"loss": history}, xlabel="epoch", ylabel="loss", marker=".")
    ax = figure.axes[0]
    ax.axhline(missed["baseline"], color="gray", linestyle="--", label=f"baseline {missed['baseline']}")
    ax.plot(ours, history[ours - 1], "s", color="C1", **style, label=f"Keras stops {words}")
    ax.plot(course, history[course - 1], "o", color="C2", **style, label="the course's rule would stop")
    ax.set(ylim=(0, 1.1), title="The count runs on, but only a rise reads it")
    ax.legend()
    return figure

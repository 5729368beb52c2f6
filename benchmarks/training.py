"""Times `kerasnotes.training.fit` against `model.fit` as users write it: medians of alternating runs in one process.

    python benchmarks/training.py [NAME ...] [--rounds 5]

Each round trains every contestant for one epoch, in turn, so that a busy machine slows all of them; compiling happens
before the first round and is printed by itself. The last column is the test accuracy after the same number of epochs.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from kerasnotes import data, training


def mlp():
    return keras.Sequential([keras.Input((784,)), layers.Dense(256, activation="relu"), layers.Dense(10)]), "flat", 128


def wide_mlp():
    hidden = [layers.Dense(1024, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.3)]
    return (
        keras.Sequential([keras.Input((784,)), *hidden, layers.Dense(1024, activation="relu"), layers.Dense(10)]),
        "flat",
        256,
    )


def lenet5():
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(6, 5, padding="same", activation="tanh"), layers.AveragePooling2D(2),
        layers.Conv2D(16, 5, activation="tanh"), layers.AveragePooling2D(2),
        layers.Flatten(), layers.Dense(120, activation="tanh"), layers.Dense(84, activation="tanh"), layers.Dense(10),
    ]), "image", 128  # fmt: skip


def small_cnn():
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(16, 3, strides=2, activation="relu"), layers.BatchNormalization(),
        layers.Conv2D(32, 3, strides=2, activation="relu"), layers.Flatten(), layers.Dense(10),
    ]), "image", 128  # fmt: skip


def simple_rnn():
    return keras.Sequential([keras.Input((28, 28)), layers.SimpleRNN(64), layers.Dense(10)]), "rows", 128


def lstm():
    return keras.Sequential([keras.Input((28, 28)), layers.LSTM(64), layers.Dense(10)]), "rows", 128


def large_lstm():
    return keras.Sequential([keras.Input((28, 28)), layers.LSTM(256), layers.Dense(10)]), "rows", 128


def linear():
    return keras.Sequential([keras.Input((784,)), layers.Dense(10)]), "flat", 32


MODELS = {
    function.__name__: function for function in (mlp, wide_mlp, lenet5, small_cnn, simple_rnn, lstm, large_lstm, linear)
}
SHAPES = {"flat": (-1, 784), "image": (-1, 28, 28, 1), "rows": (-1, 28, 28)}


def contest(name, rounds, samples):
    """One model: `{contestant: (first epoch's seconds, median seconds, test accuracy)}`."""
    (x_train, y_train), (x_test, y_test) = data.mnist()
    form = MODELS[name]()[1]
    x_train, x_test = (x.reshape(SHAPES[form]).astype("float32") / 255 for x in (x_train[:samples], x_test))
    y_train = y_train[:samples]
    contestants = {}
    for contestant in ("model.fit", "training.fit"):
        keras.utils.set_random_seed(0)
        model, _, batch_size = MODELS[name]()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
        contestants[contestant] = (model, batch_size)

    seconds = {contestant: [] for contestant in contestants}
    for epoch in range(rounds + 1):
        for contestant, (model, batch_size) in contestants.items():
            start = time.perf_counter()
            if contestant == "model.fit":
                model.fit(x_train, y_train, batch_size=batch_size, epochs=1, verbose=0)
            else:
                training.fit(model, x_train, y_train, batch_size=batch_size, initial_epoch=epoch, epochs=epoch + 1)
            seconds[contestant].append(time.perf_counter() - start)
    return {
        contestant: (
            seconds[contestant][0],
            statistics.median(seconds[contestant][1:]),
            float(np.mean(training.predict(model, x_test).argmax(1) == y_test)),
        )
        for contestant, (model, _) in contestants.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)}; all by default")
    parser.add_argument("--rounds", type=int, default=5, help="timed epochs for each contestant (default 5)")
    parser.add_argument("--samples", type=int, default=60_000, help="training images (default 60000)")
    options = parser.parse_args()
    head = ("model", "fit", "first epoch, s", "epoch, s (median)", "times faster", "test accuracy")
    print("| " + " | ".join(head) + " |\n| --- | --- | ---: | ---: | ---: | ---: |")
    for name in options.models or MODELS:
        results = contest(name, options.rounds, options.samples)
        slow = results["model.fit"][1]
        for contestant, (first, median, accuracy) in results.items():
            cells = (name, contestant, f"{first:.2f}", f"{median:.2f}", f"{slow / median:.1f}", f"{accuracy:.4f}")
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

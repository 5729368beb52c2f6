"""Times LeNet-5 with `ConvPool` against Keras's layers: medians of alternating epochs in one process.

    python benchmarks/lenet.py [--rounds 5] [--batch-size 64] [--epochs 10]

Every round trains each network for one epoch in the forms of `training.fit`, in turn, so that a busy machine slows all
of them; the first round compiles and is printed by itself. With `--epochs`, both networks then train from their start
by the lesson's recipe, each in its fastest form, until that many epochs are over; compiling is part of their seconds.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, training
from kerasnotes.chapter07.lenet import build_lenet5

# Keras's layers under XLA are left out: `training.fit` does not choose that form for convolutions.
CONTESTANTS = [(True, "xla"), (True, "loop"), (False, "loop"), (True, "step"), (False, "step")]
NAMES = {True: "ConvPool", False: "Conv2D, MaxPooling2D"}


def pictures(raw):
    return tf.constant(np.pad(raw / np.float32(255), ((0, 0), (2, 2), (2, 2)))[..., None])


def compiled(fast, seed, steps):
    """The lesson's network and recipe."""
    model = build_lenet5(seed=seed, fast=fast)
    warm = max(1, round(0.3 * steps))
    rate = keras.optimizers.schedules.CosineDecay(2e-4, max(1, steps - warm), warmup_target=5e-3, warmup_steps=warm)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.05), loss)
    return model


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def steps_of_all_forms(x, y, batch_size, rounds):
    steps = -(-len(x) // batch_size)
    models = {key: compiled(key[0], 0, steps * (rounds + 1)) for key in CONTESTANTS}
    seconds = {key: [] for key in CONTESTANTS}
    for epoch in range(rounds + 1):
        for key, model in models.items():
            start = time.perf_counter()
            training.fit(model, x, y, batch_size=batch_size, initial_epoch=epoch, epochs=epoch + 1, form=key[1])
            seconds[key].append(time.perf_counter() - start)
    row("network", "form", "first epoch, s", "epoch, s (median)", "ms a step")
    row("---", "---", "---:", "---:", "---:")
    for (fast, form), times in seconds.items():
        median = statistics.median(times[1:])
        row(NAMES[fast], form, f"{times[0]:.2f}", f"{median:.2f}", f"{1000 * median / steps:.2f}")


def seconds_to_accuracy(x, y, x_test, y_test, batch_size, epochs, seed, bound=0.99):
    """Seconds of training, without those of testing, until the test accuracy is first at the bound, and in all."""
    models = {fast: compiled(fast, seed, epochs * -(-len(x) // batch_size)) for fast in (True, False)}
    seconds, reached, accuracy = dict.fromkeys(models, 0.0), {}, {}
    for epoch in range(epochs):
        for fast, model in models.items():
            start = time.perf_counter()
            training.fit(
                model, x, y, batch_size=batch_size, initial_epoch=epoch, epochs=epoch + 1, seed=seed,
                form="xla" if fast else "loop",
            )  # fmt: skip
            seconds[fast] += time.perf_counter() - start
            accuracy[fast] = float(np.mean(training.predict(model, x_test).argmax(1) == y_test))
            if accuracy[fast] >= bound:
                reached.setdefault(fast, seconds[fast])
    for fast in models:
        first = f"{reached[fast]:.1f}" if fast in reached else "not reached"
        row(NAMES[fast], seed, first, f"{seconds[fast]:.1f}", f"{accuracy[fast]:.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="timed epochs in each form, 0 for none (default 5)")
    parser.add_argument("--batch-size", type=int, default=64, help="images in a batch (default 64)")
    parser.add_argument("--samples", type=int, default=60_000, help="training images (default 60000)")
    parser.add_argument("--epochs", type=int, default=0, help="epochs of the race to 0.990, 0 for none (default 0)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of the race (default 0)")
    options = parser.parse_args()
    (x, y), (x_test, y_test) = data.mnist()
    x, x_test = pictures(x[: options.samples]), pictures(x_test)
    y = tf.one_hot(y[: options.samples], 10) * 0.9 + 0.01
    if options.rounds:
        steps_of_all_forms(x, y, options.batch_size, options.rounds)
    if options.epochs:
        row("network", "seed", "seconds to 0.990", "seconds in all", "test accuracy")
        row("---", "---:", "---:", "---:", "---:")
        for seed in options.seeds:
            seconds_to_accuracy(x, y, x_test, y_test, options.batch_size, options.epochs, seed)


if __name__ == "__main__":
    main()

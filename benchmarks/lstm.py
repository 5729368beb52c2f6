"""Times `FastLSTM` against `keras.layers.LSTM`: medians of alternating rounds in one process.

    python benchmarks/lstm.py [--units 128] [--steps 64] [--batch 64] [--updates 20] [--rounds 7]

The network reads characters: an embedding, one recurrent layer, a dense layer to 64 logits, Adam. Each way of training
is compiled and run once before the first round. Both layers give the same losses (see `chapter09.lstm_gradient`).
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import training
from kerasnotes.chapter09.lstm_gradient import FastLSTM


def build(layer, units, steps, jit):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((steps,), dtype="int32"), keras.layers.Embedding(64, units), layer(units, return_sequences=True),
        keras.layers.Dense(64),
    ])  # fmt: skip
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=jit)
    return model


def contestants(units, steps, batch, updates):
    ids = np.random.default_rng(0).integers(64, size=(updates * batch, steps + 1)).astype(np.int32)
    x, y = tf.constant(ids[:, :-1]), tf.constant(ids[:, 1:])
    for name, layer in (("layers.LSTM", keras.layers.LSTM), ("FastLSTM", FastLSTM)):
        for jit in (False, True):
            model = build(layer, units, steps, jit)
            way = f"{name}, model.fit" + (", jit_compile=True" if jit else "")
            yield way, lambda model=model: model.fit(x, y, batch_size=batch, verbose=0, shuffle=False)
        for form in ("loop", "xla"):
            model = build(layer, units, steps, False)
            yield (
                f"{name}, training.fit, form={form}",
                lambda model=model, form=form: training.fit(model, x, y, batch_size=batch, form=form),
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("units", 128), ("steps", 64), ("batch", 64), ("updates", 20), ("rounds", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    runs = dict(contestants(options.units, options.steps, options.batch, options.updates))
    times = {name: [] for name in runs}
    for number in range(options.rounds + 1):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            if number:
                times[name].append(1000 * (time.perf_counter() - begin) / options.updates)
    print(f"LSTM({options.units}), {options.steps} steps, batch {options.batch}, ms a training step")
    for name, values in times.items():
        print(f"{name:45} median {statistics.median(values):7.2f}   least {min(values):7.2f}")


if __name__ == "__main__":
    main()

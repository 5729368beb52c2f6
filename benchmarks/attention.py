"""Times a step of our Transformer block against the same block of Keras's layers, both in one compiled function.

    python benchmarks/attention.py [--units 128] [--heads 4] [--steps 64] [--batch 64] [--updates 20] [--rounds 7]

A step is the block's output, a loss, and the gradients of all weights. Rounds alternate in one process, so that a busy
machine slows both; each function is traced before the first round. Printed are medians, and the ratio round by round.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

from kerasnotes.chapter13.transformer_block import EncoderBlock


class KerasBlock(keras.layers.Layer):
    """The same sublayers of Keras's layers, with the normalization before."""

    def __init__(self, units, heads):
        super().__init__()
        self.norms = [keras.layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self.attention = keras.layers.MultiHeadAttention(heads, units // heads)
        self.dense = [keras.layers.Dense(4 * units, "relu"), keras.layers.Dense(units)]

    def call(self, x):
        y = self.norms[0](x)
        x = x + self.attention(y, y)
        return x + self.dense[1](self.dense[0](self.norms[1](x)))


def steps_of(block, x, updates):
    """A function of no arguments: `updates` steps, one after the other, in one graph."""
    block(x)
    weights = [weight.value for weight in block.trainable_weights]

    @tf.function
    def run():
        total = tf.constant(0.0)
        for _ in tf.range(updates):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(block(x)))
            slopes = tape.gradient(loss, weights)
            total += loss + tf.add_n([tf.reduce_sum(slope) for slope in slopes])
        return total

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("units", 128), ("heads", 4), ("steps", 64), ("batch", 64), ("updates", 20), ("rounds", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    x = tf.random.stateless_normal((arguments.batch, arguments.steps, arguments.units), seed=(0, 0))
    blocks = {
        "ours": EncoderBlock(arguments.units, arguments.heads),
        "Keras's layers": KerasBlock(arguments.units, arguments.heads),
    }
    runs, seconds = {}, {name: [] for name in blocks}
    for name, block in blocks.items():
        begun = time.perf_counter()
        runs[name] = steps_of(block, x, arguments.updates)
        runs[name]().numpy()
        print(f"{name:15} first call, with tracing: {time.perf_counter() - begun:6.2f} s")
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            begun = time.perf_counter()
            run().numpy()
            seconds[name].append((time.perf_counter() - begun) / arguments.updates)
    for name, values in seconds.items():
        spread = f"from {1e3 * min(values):.2f} to {1e3 * max(values):.2f}"
        print(f"{name:15} {1e3 * statistics.median(values):8.2f} ms a step, {spread}")
    ratios = [theirs / ours for ours, theirs in zip(*seconds.values(), strict=True)]
    print(f"Keras over ours: {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()

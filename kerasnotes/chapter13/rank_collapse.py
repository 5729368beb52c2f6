"""Attention alone makes all rows alike: each layer is a mean of means, and residual connections slow it down.

Every output of attention is a weighted mean of values. Stacked without anything around it, it averages averages. What
the reader should see: within a few layers nothing is left that tells one word from another, faster and faster from
layer to layer; and with a residual connection around each layer the words draw together far more slowly.

Notes: chapter 13, "Transformer" (Transformer模型).
Source: Dong, Cordonnier, Loukas 2021, arXiv:2103.03404.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter13.multi_head import glorot, multi_head_attention
from kerasnotes.chapter13.transformer_block import EncoderBlock
from kerasnotes.parts import layer_seeds, shape, whole

SMOKE = {"depth": 2, "units": 8, "seeds": 1}
SECONDS = 5


def distance_from_equal_rows(x):
    """‖X - mean row‖ over ‖X‖: 0 if all rows are alike, 1 if they add up to nothing.

    Args:
        x: Words (rows, units).
    """
    x = shape("x", np.asarray_chkfinite(x, np.float64), None, None)
    return float(np.linalg.norm(x - x.mean(axis=0)) / np.linalg.norm(x))


def fresh_attention(units, num_heads, seed):
    """The parameters of one layer of self-attention without biases, as a fresh layer of Keras's has them.

    Args:
        units: Numbers for a word, a multiple of `num_heads`.
        num_heads: Number of heads.
        seed: A non-negative integer, or a tuple of them.

    Returns:
        Dictionary of tensors as `multi_head_attention` takes it, float64.
    """
    seeds, heads = layer_seeds(seed), (whole("units", units), num_heads, units // num_heads)
    sizes = {**{f"{name}_kernel": heads for name in ("query", "key", "value")}, "output_kernel": (*heads[1:], units)}
    starts = {name: glorot(next(seeds), axes=2 if name == "output_kernel" else 1) for name in sizes}
    return {name: tf.cast(starts[name](size), tf.float64) for name, size in sizes.items()}


def stack(x, layers, residual=True):
    """Self-attention, one layer after the other, with residual connections or alone.

    Args:
        x: Words (rows, units), float64.
        layers: A dictionary of parameters for each layer.
        residual: Whether each layer's output is added to its input, or replaces it.

    Returns:
        List of arrays (rows, units): x, and the words after every layer.
    """
    states = [np.asarray(x, np.float64)]
    for parameters in layers:
        x = states[-1][None]
        answer = multi_head_attention(x, x, x, parameters)[0].numpy()
        states.append((x + answer if residual else answer)[0])
    return states


def example():
    """Four words through three layers of Keras's attention, without residual connections and with them."""
    for residual in (False, True):
        x = tf.random.stateless_normal((1, 4, 8), seed=(0, 0))  # (batch, steps, units)
        print("with residuals" if residual else "alone", f"{distance_from_equal_rows(x[0]):.4f}", end="")
        for layer in range(3):
            start = keras.initializers.GlorotUniform(seed=layer)
            attention = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4, kernel_initializer=start)
            x = x + attention(x, x) if residual else attention(x, x)
            print(f" → {distance_from_equal_rows(x[0]):.4f}", end="")
        print()


def lesson(report, *, depth: int = 12, units: int = 32, words: int = 16, seeds: int = 10, seed: int = 0):
    """Stack attention alone, with residual connections, and as whole blocks.

    Args:
        report: The report to write to.
        depth: Layers that are stacked (2 to 48).
        units: Numbers for a word, a multiple of 4 (8 to 256).
        words: Words of a sentence (2 to 512).
        seeds: Random networks (1 to 20).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _built(report, units, words)
    forms = {"attention alone": [], "with residuals": [], "whole blocks": []}
    for number in report.track(range(seeds), "stacking"):
        x = np.random.default_rng((seed, number)).normal(size=(words, units))
        layers = [fresh_attention(units, 4, (seed, number, layer)) for layer in range(depth)]
        forms["attention alone"].append(stack(x, layers, residual=False))
        forms["with residuals"].append(stack(x, layers))
        blocks = [x]
        for layer in range(depth):
            block = EncoderBlock(units, 4, seed=(seed, number, layer), dtype="float64")
            blocks.append(block(blocks[-1][None])[0].numpy())
        forms["whole blocks"].append(blocks)
    found = {name: np.array([[distance_from_equal_rows(x) for x in states] for states in runs])
             for name, runs in forms.items()}  # fmt: skip
    _report(report, found, depth)


def _built(report, units, words):
    """Cases whose answer is known."""
    row = np.arange(1.0, units + 1)
    report.check("equal rows, and rows that add up to nothing", [distance_from_equal_rows(x) for x in (
                 np.tile(row, (words, 1)), np.concatenate([[row], [-row]]))], [0.0, 1.0])  # fmt: skip
    layer = fresh_attention(units, 4, 0)
    layer["query_kernel"] = 0 * layer["query_kernel"]  # all scores 0: the weights are 1/words
    answer = stack(np.eye(words, units), [layer], residual=False)[1]
    report.check("one layer with equal weights: every row is the same mean", distance_from_equal_rows(answer), 0.0)


def _report(report, found, depth):
    layers = sorted({n for n in (0, 1, 2, 4, 8, depth) if n <= depth})
    rows = [[n, *((float(each[:, n].mean()), float(each[:, n].std(ddof=1) if len(each) > 1 else 0) / len(each) ** 0.5)
                  for each in found.values())] for n in layers]  # fmt: skip
    report.table("distance from equal rows, ‖X - mean row‖/‖X‖; mean ± standard error", ["layers", *found], rows)
    last = min(8, depth)
    report.at_most(f"{last} layers of attention alone: largest distance", found["attention alone"][:, last], 1e-3,
                   trained=True)  # fmt: skip
    for name in ("with residuals", "whole blocks"):
        report.at_least(f"{name}, {last} layers: mean distance", found[name][:, last].mean(), 0.1, trained=True)
    report.correction("what an encoder is", course="Repeated self-attention.",
                      correct="Each layer also has residual connections, normalizations and two dense layers. Without "
                      "the residuals it averages averages: the rows become equal.",
                      shown_by="distance from equal rows after 8 layers, with residuals and without")  # fmt: skip
    figure = plots.curves(np.arange(depth + 1), {name: np.maximum(each, 1e-16) for name, each in found.items()},
                          xlabel="layers", ylabel="distance from equal rows", yscale="log", marker="o",
                          title="Attention alone makes all rows alike")  # fmt: skip
    report.figure("Attention alone makes all rows alike", figure,
                  alt="Distance from equal rows by layer, on a logarithmic scale: attention alone falls to the limits "
                  "of the numbers within a few layers, with residual connections far more slowly.")  # fmt: skip

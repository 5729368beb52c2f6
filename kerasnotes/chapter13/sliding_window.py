"""A window over the sequence saves work only if the rest is not computed; a mask over all pairs saves nothing.

Truncated self-attention looks at a few keys on either side. What the reader should see: the band gives the numbers of a
masked matrix with a fraction of the products; how far a change travels in one layer and in several, which is what
convolutions of that width reach; and what length costs. Beside a recurrent layer attention does more work as sequences
grow, n²·d products against n·d², but all at once and not one step after the other: who wins where is measured.

Notes: chapter 13, "Truncated self-attention" (截断自注意力).
Source: Vaswani et al. 2017, arXiv:1706.03762, table 1 (operations and steps in a row).
"""

import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter06.receptive_field import receptive_field
from kerasnotes.chapter13.attention import attention_weights, scaled_dot_attention
from kerasnotes.parts import shape, whole

SMOKE = {"longest": 64, "repeats": 1}
SECONDS = 3


def window_mask(steps, before, after):
    """Boolean (steps, steps): query t may see the keys t - before to t + after."""
    step = tf.range(whole("steps", steps))
    distance = step - step[:, None]  # key minus query
    return (distance >= -whole("before", before, 0)) & (distance <= whole("after", after, 0))


def window_attention(query, key, value, before, after):
    """Scaled dot attention to the keys t - before to t + after of query t; no other product is computed.

    Args:
        query, key: (batch, steps, depth).
        value: (batch, steps, value depth).
        before, after: Keys to see on either side, 0 or more.

    Returns:
        Output (batch, steps, value depth), for steps·(before + after + 1)·(depth + value depth) multiplications.

    Raises:
        ValueError: If shapes do not fit, or a side is negative.
    """
    query, key, value = (tf.convert_to_tensor(each) for each in (query, key, value))
    steps, before, after = query.shape[1], whole("before", before, 0), whole("after", after, 0)
    shape("key", key, query.shape[0], steps, query.shape[2])
    shape("value", value, query.shape[0], steps, None)
    place = np.arange(steps)[:, None] + np.arange(-before, after + 1)  # (steps, width): which keys a query sees
    keys, values = (tf.gather(each, place.clip(0, steps - 1), axis=1) for each in (key, value))
    scores = tf.matmul(keys, query[..., None])[..., 0] * query.shape[-1] ** -0.5  # (batch, steps, width)
    weights = attention_weights(scores, (place >= 0) & (place < steps))
    return tf.matmul(weights[:, :, None], values)[:, :, 0]


def example():
    """Six steps; each sees itself and one step on either side, by a mask and by the band alone."""
    x = tf.random.stateless_normal((1, 6, 4), seed=(0, 0))  # (batch, steps, depth)
    mask = window_mask(6, before=1, after=1)
    print(mask.numpy().astype(int))
    theirs = keras.ops.dot_product_attention(x[:, :, None], x[:, :, None], x[:, :, None], mask=mask[None, None])
    print("Keras, masked:", theirs[0, 2, 0].numpy().round(3), f"{6 * 6 * 4} products of queries and keys")
    print("the band:     ", window_attention(x, x, x, 1, 1)[0, 2].numpy().round(3), f"{6 * 3 * 4} products")


def lesson(report, *, before: int = 8, after: int = 8, longest: int = 1024, repeats: int = 5, seed: int = 0):
    """Compare a band with a mask, follow a change, and take times.

    Args:
        report: The report to write to.
        before: Keys to see before a query (0 to 31).
        after: Keys to see after it (0 to 31).
        longest: Longest sequence whose time is taken, in steps (64 to 8192).
        repeats: How often a time is taken; the shortest counts (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _window(report, rng)
    _seconds(report, before, after, longest, repeats)


def _window(report, rng):
    query, key, value = (tf.constant(rng.normal(size=(2, 20, 4))) for _ in range(3))
    got = window_attention(query, key, value, 3, 1)
    want = scaled_dot_attention(query, key, value, window_mask(20, 3, 1))[0]
    report.check("a window computes what a mask leaves", got, want, atol=1e-9)
    changed = key + tf.one_hot([10], 20, dtype=tf.float64)[0, :, None]
    moved = np.flatnonzero(np.any(window_attention(query, changed, value, 3, 1) != got, axis=(0, 2)))
    report.check("key 10 changes; with 3 before and 1 after it reaches the queries", moved, np.arange(9, 14))
    spans = []
    for layers in (1, 2, 3, 4):
        x = value
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x
            for _ in range(layers):
                y = window_attention(y, y, y, 1, 1)
            middle = tf.reduce_sum(y[:, 10])
        spans.append(int(np.any(tape.gradient(middle, x) != 0, axis=(0, 2)).sum()))
    report.check("1 to 4 layers, one key on either side: steps seen, as by convolutions of width 3", spans,
                 [receptive_field([(3, 1)] * layers)[0] for layers in (1, 2, 3, 4)])  # fmt: skip


def _products(function, x):
    """Multiplications in the matrix products of a traced function, from the shapes in its graph."""
    products = 0
    for op in function.get_concrete_function(x).graph.get_operations():
        if op.type.startswith("BatchMatMul"):
            products += op.outputs[0].shape.num_elements() * op.inputs[0].shape[-1]
    return products


def _seconds(report, before, after, longest, repeats, batch=8, units=64):
    recurrent = keras.layers.SimpleRNN(units, return_sequences=True)
    width = before + after + 1
    forms = {
        "all pairs": tf.function(lambda x: scaled_dot_attention(x, x, x)[0]),
        "masked": tf.function(lambda x: scaled_dot_attention(x, x, x, window_mask(x.shape[1], before, after))[0]),
        "window": tf.function(lambda x: window_attention(x, x, x, before, after)),
        "SimpleRNN": tf.function(recurrent),
    }
    lengths = [steps for steps in (64, 128, 256, 512, 1024, 2048, 4096, 8192) if steps <= longest]
    found, counted = {name: [] for name in forms}, {name: [] for name in forms}
    for steps in report.track(lengths, "taking times"):
        x = tf.random.stateless_normal((batch, steps, units), seed=(0, steps))
        for name, run in forms.items():
            times = []
            for _ in range(repeats + 1):  # the first call traces
                begun = time.perf_counter()
                run(x)
                times.append(time.perf_counter() - begun)
            found[name].append(min(times[1:]))
            counted[name].append(_products(run, x) // batch)
    for name, wide in (("masked", lengths), ("window", [width] * len(lengths))):
        want = [2 * units * steps * each for steps, each in zip(lengths, wide, strict=True)]
        report.check(f"{name}: products, counted in the graph", counted[name], want)
    rows = [[steps, 2 * steps**2 * units, 2 * steps * width * units, 2 * steps * units**2,
             *(1e3 * found[name][i] for name in forms)] for i, steps in enumerate(lengths)]  # fmt: skip
    columns = ["steps n", "2·n²·d", "2·n·window·d", "2·n·d²", *(f"{name}, ms" for name in forms)]
    report.table(f"products of one sequence, and milliseconds for {batch}; d = {units}", columns, rows)
    report.note("The shortest of several times on this machine. Large matrix products use it better than many small "
                "ones, so that a window gains less time than products.")  # fmt: skip
    report.correction("truncated attention", course="Truncated self-attention saves work.",
                      correct="Only if the band alone is computed: n·(before + after + 1) pairs. A mask over all pairs "
                      "computes n² of them, and then throws most away.",
                      shown_by="the same numbers from both; products counted in their graphs")  # fmt: skip
    report.correction("parallel or not", course="Self-attention is parallel, recurrence is not.",
                      correct="True of the steps. The work is n²·d against n·d² products: recurrence does less of it "
                      "in sequences longer than the number of units.",
                      shown_by="products and seconds of both in one table")  # fmt: skip
    figure = plots.curves(lengths, {name: 1e3 * np.array(found[name]) for name in forms if name != "masked"},
                          xlabel="steps n", ylabel=f"milliseconds for {batch} sequences", xscale="log", yscale="log",
                          marker="o", title=f"What length costs, {units} units")  # fmt: skip
    report.figure("What length costs", figure, alt="Milliseconds against length, both on logarithmic scales: attention "
                  "to all pairs rises most steeply, a window and a recurrent layer with the length.")  # fmt: skip

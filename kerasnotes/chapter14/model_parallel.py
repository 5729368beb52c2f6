"""Cut by columns first and by rows second, a Transformer's layer on many devices needs one sum in each direction.

A layer that is too large for one device is divided: each part keeps some hidden units, or some heads, and computes with
them alone. What the reader should see: outputs and gradients are those of the undivided layer; each half of a block
adds up one tensor of the size of its output, and one again on the way back, four in all; cut the other way round the
result is wrong, as GeLU of a sum is no sum of GeLUs; and the wider the layer, the less is sent for a multiplication.
The parts are simulated, one after the other on one device: what would be sent is counted, and nothing gets faster.

Notes: chapter 14, "Model parallelism" (模型并行).
Source: Shoeybi et al. 2019, arXiv:1909.08053, section 3; Patarasuk and Yuan 2009, doi:10.1016/j.jpdc.2008.09.002 (sums
around a ring).
"""

from collections import Counter
from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter13.multi_head import multi_head_attention
from kerasnotes.chapter14.divided_vocabulary import copy_to_parts, equal_size, split_rows, sum_of_parts
from kerasnotes.chapter14.divided_vocabulary import parallel_cross_entropy as parallel_cross_entropy  # also from here
from kerasnotes.chapter14.divided_vocabulary import parallel_embedding as parallel_embedding
from kerasnotes.parts import floating, shape, whole

SMOKE = {"tokens": 8, "units": 16}
SECONDS = 1


def split_columns(w, b, parts):
    """Cut a dense layer by its outputs: every part computes some of them, from the whole input.

    Args:
        w: Kernel (inputs, outputs).
        b: Bias (outputs,).
        parts: Number of parts, a divisor of `outputs`.

    Returns:
        List of pairs: kernel (inputs, outputs / parts) and bias (outputs / parts,).

    Raises:
        ValueError: If the shapes do not fit, or the outputs cannot be cut into equal parts.
    """
    w = shape("w", floating("w", w), None, None)
    b = shape("b", floating("b", b), w.shape[1])
    size = equal_size("outputs", w.shape[1], parts)
    return [(w[:, start : start + size], b[start : start + size]) for start in range(0, w.shape[1], size)]


def parallel_feed_forward(x, w1, b1, w2, b2, parts):
    """GeLU(x W₁ + b₁) W₂ + b₂, W₁ cut by columns and W₂ by rows: each part has hidden units of its own.

    Args:
        x: Input (..., units).
        w1, b1: First layer, (units, hidden) and (hidden,).
        w2, b2: Second layer, (hidden, outputs) and (outputs,).
        parts: Number of parts, a divisor of `hidden`.

    Returns:
        `(output, traffic)`: (..., outputs), and a `Counter` of the numbers that are added up over all parts: "forward",
        and "backward", which is there once a gradient by x has been computed. With one part both are 0.

    Raises:
        ValueError: If shapes do not fit.

    Source: Shoeybi et al. 2019, section 3, on the MLP block.
    """
    x, traffic = floating("x", x), Counter()
    shape("w1", w1, x.shape[-1], w2.shape[0])
    columns, rows = split_columns(w1, b1, parts), split_rows(w2, parts)
    b2 = shape("b2", floating("b2", b2), w2.shape[1])
    summands = [
        tf.matmul(tf.nn.gelu(tf.matmul(copy, kernel) + bias), row)  # (..., outputs), from some of the hidden units
        for copy, (kernel, bias), row in zip(copy_to_parts(x, parts, traffic), columns, rows, strict=True)
    ]
    return sum_of_parts(summands, traffic) + b2, traffic  # the bias once, not once a part


def parallel_attention(x, parameters, parts, mask=None):
    """Self-attention in which every part has whole heads of its own.

    Args:
        x: Input (batch, steps, units).
        parameters: As for chapter 13's `multi_head_attention`.
        parts: Number of parts, a divisor of the number of heads.
        mask: As for `multi_head_attention`, or None.

    Returns:
        `(output, traffic)`, as `parallel_feed_forward`.

    Raises:
        ValueError: If shapes do not fit.

    Source: Shoeybi et al. 2019, section 3, on the self-attention block.
    """
    x, traffic = floating("x", x), Counter()
    heads = parameters["output_kernel"].shape[0]
    size = equal_size("heads", heads, parts)
    summands = []
    for start, copy in zip(range(0, heads, size), copy_to_parts(x, parts, traffic), strict=True):
        own = {}  # heads are the second axis of kernels, the first of biases and of the kernel that projects them
        for name, value in parameters.items():
            if name != "output_bias":
                cut = slice(start, start + size)
                own[name] = value[cut] if name.endswith("bias") or name == "output_kernel" else value[:, cut]
        summands.append(multi_head_attention(copy, copy, copy, own, mask)[0])
    output = sum_of_parts(summands, traffic)
    return output + parameters["output_bias"] if "output_bias" in parameters else output, traffic


def ring_all_reduce(tensors):
    """Give every part the sum of all parts' tensors, where each part speaks to its neighbour only.

    Every tensor is cut into as many pieces as there are parts. The pieces travel round the ring once and are added up,
    then the finished sums travel round.

    Args:
        tensors: List of arrays of one shape, one for each part.

    Returns:
        `(sums, sent)`: a list of arrays, one for each part; how many numbers each part has sent, a list.
    """
    parts = len(tensors)
    held = [np.array_split(np.array(tensor, np.float64).ravel(), parts) for tensor in tensors]
    sent = [0] * parts
    for step in range(2 * (parts - 1)):
        # In this step part p passes piece p - step on: a summand in the first round, a finished sum in the second.
        messages = [((part - step) % parts, held[part][(part - step) % parts].copy()) for part in range(parts)]
        for part, (piece, numbers) in enumerate(messages):
            after = (part + 1) % parts
            held[after][piece] = held[after][piece] + numbers if step < parts - 1 else numbers
            sent[part] += numbers.size
    return [np.concatenate(pieces).reshape(np.shape(tensors[0])) for pieces in held], sent


def block_costs(tokens, units, parts):
    """What one part of a block has to do, forward and backward: `(multiplications, numbers sent)`.

    Four kernels of attention and two of the feed-forward network make 12 units² multiplications a token, attention
    itself 2 tokens · units; backward costs twice as much. Four tensors (tokens, units) go round the ring.
    """
    whole("tokens", tokens), whole("units", units), whole("parts", parts)
    multiplications = 3 * (12 * tokens * units**2 + 2 * tokens**2 * units) / parts
    return multiplications, 4 * tokens * units * 2 * (parts - 1) / parts


def example():
    """A feed-forward network in two parts and in one, beside two dense layers of Keras with the same weights."""
    rng = np.random.default_rng(1)
    x, w1, b1, w2, b2 = (rng.normal(size=size).astype(np.float32) for size in ((3, 4), (4, 8), 8, (8, 4), 4))
    layers = keras.layers.Dense(8, activation="gelu"), keras.layers.Dense(4)
    for layer, weights in zip(layers, ([w1, b1], [w2, b2]), strict=True):
        layer.build((None, len(weights[0])))
        layer.set_weights(weights)
    for parts in (1, 2, 8):
        output, traffic = parallel_feed_forward(x, w1, b1, w2, b2, parts)
        difference = float(tf.reduce_max(tf.abs(output - layers[1](layers[0](x)))))
        print(f"{parts} parts: largest difference from Keras {difference:.1e}, numbers added up {traffic['forward']}")
    sums, sent = ring_all_reduce([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0], [0.0, 0.0, 1.0]])
    print("around a ring of three:", sums[0], "each part has sent", sent)


def lesson(report, *, tokens: int = 64, units: int = 64, seed: int = 0):
    """Divide the two halves of a block, cut one of them the wrong way, and count what is sent.

    Args:
        report: The report to write to.
        tokens: Tokens of the batch, in two texts (2 to 10000).
        units: Units of the block, a multiple of 4 (4 to 4096).
        seed: Seed of weights and inputs (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    tokens, units = tokens // 2 * 2, units // 4 * 4
    x = tf.Variable(rng.normal(size=(2, tokens // 2, units)), dtype=tf.float32)
    feed_forward = _drawn(rng, {"w1": (units, 4 * units), "b1": (4 * units,), "w2": (4 * units, units), "b2": (units,)})
    sizes = {f"{name}_{kind}": (units, 4, units // 4) if kind == "kernel" else (4, units // 4)
             for name in ("query", "key", "value") for kind in ("kernel", "bias")}  # fmt: skip
    attention = _drawn(rng, {**sizes, "output_kernel": (4, units // 4, units), "output_bias": (units,)})
    _same_numbers(report, x, feed_forward, attention)
    _wrong_way_round(report, x, feed_forward)
    _ring(report, rng)
    _costs(report)


def _drawn(rng, sizes):
    return {name: tf.Variable(rng.normal(size=size) / np.sqrt(size[0]), dtype=tf.float32)
            for name, size in sizes.items()}  # fmt: skip


def _relative(got, want):
    """The difference as a share, of all arrays together: by the keys' bias the gradient is 0 but for rounding."""
    differences = [a - b for a, b in zip(got, want, strict=True)]
    return float(tf.linalg.global_norm(differences) / tf.linalg.global_norm(want))


def _same_numbers(report, x, feed_forward, attention):
    halves = {"feed-forward": (feed_forward, lambda parts: parallel_feed_forward(x, **feed_forward, parts=parts)),
              "attention": (attention, lambda parts: parallel_attention(x, attention, parts))}  # fmt: skip
    undivided = {"feed-forward": lambda: tf.matmul(tf.nn.gelu(tf.matmul(x, feed_forward["w1"]) + feed_forward["b1"]),
                                                   feed_forward["w2"]) + feed_forward["b2"],
                 "attention": lambda: multi_head_attention(x, x, x, attention)[0]}  # fmt: skip
    counted = Counter()
    for name, (weights, divided) in halves.items():
        variables = [x, *weights.values()]
        with tf.GradientTape() as tape:
            want = undivided[name]()
            value = tf.reduce_sum(tf.sin(want))
        gradients = tape.gradient(value, variables)
        for parts in (1, 2, 4):
            with tf.GradientTape() as tape:
                got, traffic = divided(parts)
                value = tf.reduce_sum(tf.sin(got))
            difference = _relative([got, *tape.gradient(value, variables)], [want, *gradients])
            report.at_most(f"{name}, parts {parts}: output and gradients, relative difference", difference, 1e-5)
            expected = x.shape.num_elements() if parts > 1 else 0
            sent = [traffic["forward"], traffic["backward"]]
            report.check(f"{name}, parts {parts}: numbers added up forward and backward", sent, [expected] * 2)
        counted += traffic
    tensors = counted.total() / x.shape.num_elements()
    report.check("a block, both halves, both directions: tensors (tokens, units) added up", tensors, 4)


def _wrong_way_round(report, x, w):
    """Rows first: each part has a summand of every hidden unit's input, and GeLU is not additive."""
    inputs = tf.split(x, 4, axis=-1)
    hidden = [tf.matmul(part, rows) + w["b1"] / 4 for part, rows in zip(inputs, split_rows(w["w1"], 4), strict=True)]
    want = tf.matmul(tf.nn.gelu(tf.add_n(hidden)), w["w2"]) + w["b2"]
    wrong = tf.matmul(tf.add_n([tf.nn.gelu(part) for part in hidden]), w["w2"]) + w["b2"]
    right, _ = parallel_feed_forward(x, **w, parts=4)
    report.at_most("columns first, 4 parts: largest difference", tf.reduce_max(tf.abs(right - want)), 1e-4)
    report.at_least(
        "rows first, without a sum before GeLU: largest difference", tf.reduce_max(tf.abs(wrong - want)), 0.1
    )
    zeros = tf.zeros_like(w["w2"])
    at_zero, _ = parallel_feed_forward(x, w["w1"], w["b1"], zeros, w["b2"], 4)
    report.check("the second bias is added once, not once a part", at_zero[0, 0], w["b2"])
    figure, ax = plots.subplots(figsize=(6.5, 5))
    shown = slice(0, 600)
    for name, values, style in (("rows first", wrong, "^C1"), ("columns first", right, "oC0")):
        ax.plot(*(np.ravel(each)[shown] for each in (want, values)), style, markersize=4, alpha=0.7, label=name)
    ax.set(xlabel="output of the undivided layer", ylabel="output of four parts", title="Which way to cut")
    ax.legend()
    alt = (
        "Outputs of four parts against those of the undivided layer. Columns first: all points on the diagonal. Rows "
        "first, without a sum before GeLU: a cloud around it."
    )
    report.figure("Which way to cut", figure, alt=alt)


def _ring(report, rng):
    for parts in (2, 4, 7):
        tensors = rng.normal(size=(parts, 5, 84))  # 420 numbers, a multiple of all three
        sums, sent = ring_all_reduce(list(tensors))
        report.check(
            f"ring of {parts} parts: everyone has the sum", sums, np.broadcast_to(tensors.sum(axis=0), tensors.shape)
        )
        report.check(f"ring of {parts} parts: share of the tensor that each sends", np.array(sent) / 420,
                     np.full(parts, 2 * (parts - 1) / parts))  # fmt: skip


def _costs(report, tokens=1024, parts=8):
    rows = []
    for units in (64, 256, 1024, 4096, 12_288):
        multiplications, sent = block_costs(tokens, units, parts)
        rows.append([units, multiplications / 1e6, sent / 1e6, 1e6 * sent / multiplications])
    columns = ["units", "multiplications, millions", "numbers sent, millions", "sent in a million multiplications"]
    report.table(f"One of {parts} parts of a block, {tokens} tokens, forward and backward", columns, rows)
    factors = [after[3] / before[3] for before, after in pairwise(rows)]
    report.at_most("more units: numbers sent for a multiplication, largest factor of a step", factors, 1.0)
    report.note("Parts are simulated one after the other on one device: sums are counted, and no time is measured.")

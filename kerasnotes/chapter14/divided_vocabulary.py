"""Over a vocabulary that is cut into parts, the loss needs three numbers a token, not the logits of all words.

The table of word vectors is often the largest array of a language model, and it is used twice: to read words and to
score the next one. On many devices each part keeps the rows of some words. What the reader should see: a look-up in
which every part has zeros for the words of others, and a sum; a cross-entropy to which each part adds its largest
logit, its sum of exponentials and, if it has it, the target's logit; both with the numbers and the gradients of the
undivided table. The parts are simulated one after the other: what would be sent is counted, and nothing gets faster.

Notes: chapter 14, "Model parallelism" (模型并行).
Source: Shoeybi et al. 2019, arXiv:1909.08053, section 3.
"""

from collections import Counter

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import floating, shape, whole

SMOKE = {"tokens": 8, "units": 8, "vocabulary": 24}
SECONDS = 1


def split_rows(w, parts):
    """Cut a kernel by its inputs: every part computes a summand of all outputs, from some of the inputs.

    Args:
        w: Kernel (inputs, outputs).
        parts: Number of parts, a divisor of `inputs`.

    Returns:
        List of kernels (inputs / parts, outputs).

    Raises:
        ValueError: If the inputs cannot be cut into equal parts.
    """
    w = shape("w", floating("w", w), None, None)
    size = equal_size("inputs", w.shape[0], parts)
    return [w[start : start + size] for start in range(0, w.shape[0], size)]


def copy_to_parts(x, parts, traffic):
    """One copy of x for each part; on the way back the parts' gradients are added up, which is counted.

    Every part has x already, so nothing is sent forward. Called f by Shoeybi et al. 2019.
    """

    @tf.custom_gradient
    def copies(x):
        def gradient(*upstream):
            traffic["backward"] += _sent(x, parts)
            return tf.add_n(upstream)

        return [tf.identity(x) for _ in range(parts)], gradient

    return copies(x)


def sum_of_parts(summands, traffic):
    """The sum of what the parts have computed, which is counted; on the way back each part has the gradient already.

    Called g by Shoeybi et al. 2019.
    """

    @tf.custom_gradient
    def total(*summands):
        return tf.add_n(summands), lambda upstream: [upstream] * len(summands)

    traffic["forward"] += _sent(summands[0], len(summands))
    return total(*summands)


def parallel_embedding(ids, table, parts):
    """Look words up in a divided table: each part knows some of the words, and has zeros for all others.

    Args:
        ids: Integers (...), from 0 to vocabulary - 1.
        table: One vector for each word, (vocabulary, units).
        parts: Number of parts, a divisor of `vocabulary`.

    Returns:
        `(output, traffic)`: (..., units), and a `Counter` of the numbers that are combined over all parts: "forward",
        and "backward", which is there once a gradient has been computed. With one part both are 0.

    Raises:
        ValueError: If an id is out of range, or the table cannot be cut into equal parts.
    """
    pieces, traffic = split_rows(table, parts), Counter()
    ids, size = _in_range("ids", ids, table.shape[0]), pieces[0].shape[0]
    summands = []
    for number, piece in enumerate(pieces):
        local = ids - number * size
        known = (local >= 0) & (local < size)
        found = tf.gather(piece, tf.where(known, local, 0))
        summands.append(tf.where(known[..., None], found, tf.zeros_like(found)))
    return sum_of_parts(summands, traffic), traffic


def parallel_cross_entropy(hidden, table, targets, parts):
    """Cross-entropy of logits that nobody has whole: each part scores its own words.

    Args:
        hidden: States (tokens, units).
        table: Embedding table (vocabulary, units), tied: the logits are hidden · tableᵀ.
        targets: Right words (tokens,), integers from 0 to vocabulary - 1.
        parts: Number of parts, a divisor of `vocabulary`.

    Returns:
        `(loss, traffic)`: the mean over the tokens in nats, and a `Counter` as in `parallel_embedding`. Forward, three
        numbers a token are combined: the largest logit, the sum of exponentials, the target's logit.

    Raises:
        ValueError: If shapes do not fit, or a target is out of range.
    """
    hidden, pieces, traffic = floating("hidden", hidden), split_rows(table, parts), Counter()
    shape("hidden", hidden, None, table.shape[1])
    targets, size = _in_range("targets", targets, table.shape[0]), pieces[0].shape[0]
    shape("targets", targets, hidden.shape[0])
    copies = copy_to_parts(hidden, parts, traffic)
    logits = [tf.matmul(copy, piece, transpose_b=True) for copy, piece in zip(copies, pieces, strict=True)]
    highest = tf.stop_gradient(tf.reduce_max([tf.reduce_max(part, axis=-1) for part in logits], axis=0))  # (tokens,)
    traffic["forward"] += _sent(highest, parts)
    exponentials = [tf.reduce_sum(tf.exp(part - highest[:, None]), axis=-1) for part in logits]
    wanted = []
    for number, part in enumerate(logits):
        is_target = targets[:, None] == number * size + tf.range(size, dtype=targets.dtype)  # (tokens, own words)
        wanted.append(tf.reduce_sum(tf.where(is_target, part, tf.zeros_like(part)), axis=-1))
    total = sum_of_parts(exponentials, traffic)
    return tf.reduce_mean(tf.math.log(total) + highest - sum_of_parts(wanted, traffic)), traffic


def equal_size(name, size, parts):
    """The size of a part, if `size` things are cut into equal parts; ValueError if they cannot be."""
    if size % whole("parts", parts):
        raise ValueError(f"parts: expected a divisor of the {size} {name}, got {parts}")
    return size // parts


def _in_range(name, ids, limit):
    """Ids as a tensor; in the parts' sums an id that no part knows would be a silent zero."""
    ids = tf.convert_to_tensor(ids)
    if not ids.dtype.is_integer or (tf.executing_eagerly() and not tf.reduce_all((ids >= 0) & (ids < limit))):
        raise ValueError(f"{name}: expected integers from 0 to {limit - 1}, got {ids.dtype.name}")
    return tf.cast(ids, tf.int64)


def _sent(tensor, parts):
    return int(np.prod(tensor.shape)) if parts > 1 else 0


def example():
    """Six words on three parts: the loss and what is sent, beside Keras's loss on undivided logits."""
    rng = np.random.default_rng(1)
    hidden, table = rng.normal(size=(4, 5)).astype(np.float32), rng.normal(size=(6, 5)).astype(np.float32)
    targets = np.array([0, 5, 2, 2])
    vectors, traffic = parallel_embedding(targets, table, parts=3)
    print("look-up, largest difference:", float(tf.reduce_max(tf.abs(vectors - table[targets]))), dict(traffic))
    loss, traffic = parallel_cross_entropy(hidden, table, targets, parts=3)
    print(f"loss of three parts: {loss:.6f}; numbers combined, for 4 tokens: {dict(traffic)}")
    keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(targets, hidden @ table.T)
    print(f"Keras, undivided:    {keras_loss:.6f}")


def lesson(report, *, tokens: int = 64, units: int = 32, vocabulary: int = 4096, seed: int = 0):
    """Compare a divided table with a whole one: look-up, loss, gradients, and what is sent.

    Args:
        report: The report to write to.
        tokens: Tokens of the batch (1 to 10000).
        units: Numbers for a word (1 to 1024).
        vocabulary: Words, a multiple of 8 (8 to 100000).
        seed: Seed of table, states and words (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    table = tf.Variable(rng.normal(size=(vocabulary // 8 * 8, units)), dtype=tf.float32)
    hidden = tf.Variable(rng.normal(size=(tokens, units)), dtype=tf.float32)
    ids = rng.integers(table.shape[0], size=tokens)
    _look_up(report, table, ids)
    _loss(report, hidden, table, ids)
    _large_logits(report, hidden, table, ids)
    _numbers_sent(report, tokens, units)


def _look_up(report, table, ids):
    layer = keras.layers.Embedding(*table.shape)
    layer.build()
    layer.set_weights([table.numpy()])
    for parts in (1, 2, 8):
        with tf.GradientTape() as tape:
            output, traffic = parallel_embedding(ids, table, parts)
            value = tf.reduce_sum(tf.sin(output))
        got = tf.convert_to_tensor(tape.gradient(value, table))
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(tf.sin(layer(ids)))
        want = tf.convert_to_tensor(tape.gradient(value, layer.embeddings.value))
        report.check(f"parts {parts}: vectors are those of layers.Embedding", output, layer(ids))
        report.check(f"parts {parts}: the table's gradient too", got, want)
        sent = output.shape.num_elements() if parts > 1 else 0
        report.check(f"parts {parts}: numbers added up are the vectors'", traffic["forward"], sent)


def _loss(report, hidden, table, ids):
    def undivided():
        logits = tf.matmul(hidden, table, transpose_b=True)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(ids, logits), None

    runs = {}
    for parts in (0, 1, 2, 8):
        with tf.GradientTape() as tape:
            loss, traffic = parallel_cross_entropy(hidden, table, ids, parts) if parts else undivided()
        runs[parts] = (loss, traffic, tape.gradient(loss, [hidden, table]))
    for parts in (1, 2, 8):
        report.check(f"parts {parts}: the loss is Keras's", runs[parts][0], runs[0][0])
        report.check(f"parts {parts}: gradients by states and table", runs[parts][2], runs[0][2], rtol=1e-4, atol=1e-6)
    traffic, (tokens, units) = runs[8][1], hidden.shape
    report.check("parts 8: numbers a token that are combined forward", traffic["forward"] / tokens, 3)
    report.check("parts 8: backward, the gradient of the states", traffic["backward"], tokens * units)
    report.check("parts 1: nothing is sent", runs[1][1]["forward"] + runs[1][1]["backward"], 0)


def _large_logits(report, hidden, table, ids):
    """Without the largest logit of all parts, exp would overflow in the one that has it."""
    loss, _ = parallel_cross_entropy(100 * hidden, 10 * table, ids, 2)
    logits = tf.matmul(100 * hidden, 10 * table, transpose_b=True)
    want = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(ids, logits)
    report.check("logits in the thousands: the loss stays finite and Keras's", loss, want)


def _numbers_sent(report, tokens, units):
    sizes = np.array([1000, 4000, 16_000, 64_000, 256_000])
    rows = [[int(size), int(size), 3, size / 3] for size in sizes]
    columns = ["words in the vocabulary", "all logits collected", "divided loss", "times fewer"]
    report.table("Numbers sent forward for a token's loss", columns, rows)
    series = {"collect all logits": sizes, "largest, sum, target": np.full(len(sizes), 3)}
    axes = {"xlabel": "words in the vocabulary", "ylabel": "numbers a token", "title": "What a token's loss sends"}
    figure = plots.curves(sizes, series, xscale="log", yscale="log", marker="o", **axes)
    alt = (
        "Numbers sent for a token against the size of the vocabulary: they grow with it if all logits are collected, "
        "and stay at three in the divided loss."
    )
    report.figure("What a token's loss sends", figure, alt=alt)
    report.note(f"Simulated: {tokens} tokens of {units} units, all parts on one device, one after the other.")

"""Attention asks every place at once how well it fits, and takes the mean of the answers, weighted by that.

A query is compared with all keys; a softmax turns the scores into weights, and the output is the weighted mean of the
values. What the reader should see: a dictionary whose look-up has become soft, so that a misspelt word still finds its
entry; four ways to score that are Keras's, or equal to them; masks, through which nothing passes at all; and why the
scores are divided by the root of the depth: else the softmax picks one key, and its slopes vanish.

Notes: chapter 13, "Attention" (注意力机制).
Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1 (scaled dot products); Bahdanau, Cho, Bengio 2014,
arXiv:1409.0473 (additive scores).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import floating, shape, whole

SMOKE = {"draws": 500}
SECONDS = 1

DICTIONARY = ("necessary", "receive", "receipt", "separate", "believe", "attention", "tension", "recurrent", "gradient")
SENTENCE = "the more you read the more you know"


def attention_weights(scores, mask=None):
    """Softmax over the keys, of those that may be seen.

    Args:
        scores: How well each key fits each query (..., queries, keys).
        mask: Boolean, True where a key may be seen; broadcasts against the scores, with as many keys. Or None.

    Returns:
        Weights of the scores' shape: 0 or more, with sum 1 in every row, exactly 0 where masked. A row without any key
        to see is all zeros; Keras spreads its weight over the masked keys there.

    Raises:
        ValueError: If the mask is not Boolean or of another number of keys.
    """
    scores = floating("scores", scores)
    if mask is None:
        return tf.nn.softmax(scores)
    mask = tf.convert_to_tensor(mask)
    if mask.dtype != tf.bool or mask.shape.rank == 0 or mask.shape[-1] != scores.shape[-1]:
        raise ValueError(f"mask: expected Booleans for {scores.shape[-1]} keys, got {mask.dtype.name} {mask.shape}")
    weights = tf.nn.softmax(tf.where(mask, scores, scores.dtype.min))  # (..., queries, keys)
    return tf.where(mask, weights, 0)  # a row without a key has equal weights up to here


def dot_attention(query, key, value, mask=None, scale=1.0):
    """Scores are inner products: q·k times `scale`.

    Args:
        query: What is asked (batch, queries, depth).
        key: What each place offers to be found by (batch, keys, depth).
        value: What each place answers (batch, keys, value depth).
        mask: Boolean, broadcasts against (batch, queries, keys), True where a key may be seen, or None.
        scale: Factor of all scores, a number.

    Returns:
        `(output, weights)`: (batch, queries, value depth) and (batch, queries, keys). A batch of one costs
        queries·keys·(depth + value depth) multiplications: twice the words, four times the work.

    Raises:
        ValueError: If shapes do not fit.
    """
    query, key, value = _fitting(query, key, value)
    weights = attention_weights(scale * tf.matmul(query, key, transpose_b=True), mask)  # (batch, queries, keys)
    return weights @ value, weights


def scaled_dot_attention(query, key, value, mask=None):
    """Inner products over the root of the depth; arguments and results as in `dot_attention`.

    Source: Vaswani et al. 2017, equation 1.
    """
    return dot_attention(query, key, value, mask, scale=query.shape[-1] ** -0.5)


def additive_attention(query, key, value, scale, mask=None, w_query=None, w_key=None):
    """Scores by a small network, Σ scale·tanh(q W_q + k W_k); without matrices Keras's Σ scale·tanh(q + k).

    Args:
        query, key, value, mask: As in `dot_attention`; with matrices queries and keys may differ in depth.
        scale: Weights of the sum (depth,), after the matrices if there are any.
        w_query, w_key: Matrices (query depth, depth) and (key depth, depth), or None.

    Returns:
        `(output, weights)` as in `dot_attention`.

    Raises:
        ValueError: If shapes do not fit.

    Source: Bahdanau et al. 2014.
    """
    query = query if w_query is None else tf.convert_to_tensor(query) @ w_query
    key = key if w_key is None else tf.convert_to_tensor(key) @ w_key
    query, key, value = _fitting(query, key, value)
    scale = shape("scale", tf.convert_to_tensor(scale), query.shape[-1])
    scores = tf.reduce_sum(scale * tf.tanh(query[:, :, None] + key[:, None]), axis=-1)  # (batch, queries, keys)
    weights = attention_weights(scores, mask)
    return weights @ value, weights


def distance_attention(query, key, value, mask=None):
    """Scores are minus half the squared distance, -½‖q - k‖²; arguments and results as in `dot_attention`."""
    query, key, value = _fitting(query, key, value)
    squared = tf.reduce_sum((query[:, :, None] - key[:, None]) ** 2, axis=-1)  # (batch, queries, keys)
    weights = attention_weights(-squared / 2, mask)
    return weights @ value, weights


def causal_mask(steps):
    """Boolean (steps, steps): query t may see the keys 0 to t."""
    step = tf.range(whole("steps", steps))
    return step[:, None] >= step


def padding_mask(ids, value=0):
    """Boolean (batch, 1, keys): False at the keys whose id is `value`; ids (batch, keys)."""
    return shape("ids", tf.convert_to_tensor(ids), None, None)[:, None] != value


def _fitting(query, key, value):
    query, key, value = floating("query", query), floating("key", key), floating("value", value)
    shape("query", query, None, None, None)  # (batch, queries, depth)
    shape("key", key, query.shape[0], None, query.shape[2])  # batches of 1 would broadcast
    return query, key, shape("value", value, key.shape[0], key.shape[1], None)


def example():
    """Three keys, one query; the library's layer, ours, and a mask."""
    key = tf.constant([[[4.0, 0.0], [0.0, 4.0], [2.0, 2.0]]])  # (batch, keys, depth)
    value = tf.constant([[[1.0], [2.0], [3.0]]])  # (batch, keys, value depth)
    query = tf.constant([[[1.0, 0.0]]])  # (batch, queries, depth)
    layer = keras.layers.Attention()
    output, weights = layer([query, value, key], return_attention_scores=True)  # in this order
    print("layers.Attention:", output.numpy().ravel(), "weights", weights.numpy().ravel().round(3))
    output, weights = dot_attention(query, key, value)
    print("ours:            ", output.numpy().ravel(), "weights", weights.numpy().ravel().round(3))
    output, weights = dot_attention(query, key, value, mask=[[[False, True, True]]])
    print("first key masked:", output.numpy().ravel(), "weights", weights.numpy().ravel().round(3))
    output, weights = scaled_dot_attention(query, key, value)
    print("scaled by 1/√2:  ", output.numpy().ravel(), "weights", weights.numpy().ravel().round(3))
    print("causal:", causal_mask(3).numpy().tolist())
    print("padding:", padding_mask([[7, 5, 0]]).numpy().tolist())


def lesson(report, *, query: str = "recieve", draws: int = 20000, seed: int = 0):
    """Look up a misspelt word, compare with Keras, count and scale.

    Args:
        report: The report to write to.
        query: A misspelt word to look up (one of: recieve, seperate, neccesary, atention, gradiant).
        draws: Random queries for the scale of scores (100 to 1000000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _look_up(report, query)
    _is_keras(report, seed)
    _masks(report, seed)
    _scale(report, draws, seed)
    _distance(report, seed)
    counted = sum(start + 25 <= 1000 for start in range(0, 1000, 10))
    report.check("windows of 25 ms, every 10 ms, that fit into 1000 ms", counted, 1 + (1000 - 25) // 10)
    report.correction("speech as a sequence", course="25 ms windows every 10 ms give 100 vectors a second.",
                      correct="98 fit: 98² weights.", shown_by="⌊(1000 - 25)/10⌋ + 1, and counted")  # fmt: skip


def _spelling(words):
    """Vectors of norm 1 (words, pairs) that count the pairs of letters; words that are spelt alike are near."""
    pairs = [[f" {word} "[i : i + 2] for i in range(len(word) + 1)] for word in words]
    known = sorted({pair for each in pairs for pair in each})
    counts = np.array([[each.count(pair) for pair in known] for each in pairs], np.float32)
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def _look_up(report, word):
    vectors = _spelling([word, *DICTIONARY])
    asked, keys = tf.constant(vectors[None, :1]), tf.constant(vectors[None, 1:])
    scales = np.linspace(0, 30, 61)
    weights = np.array([dot_attention(asked, keys, keys, scale=each)[1][0, 0] for each in scales])  # (scales, words)
    report.check("scale 0: the mean of all entries", weights[0], np.full(len(DICTIONARY), 1 / len(DICTIONARY)))
    report.check("scale 30: the largest weight is the nearest spelling's", DICTIONARY[int(weights[-1].argmax())],
                 DICTIONARY[int((vectors[1:] @ vectors[0]).argmax())])  # fmt: skip
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.6))
    best = np.argsort(-weights[-1])[:4]
    plots.curves(scales, {DICTIONARY[i]: weights[:, i] for i in best}, xlabel="factor of the scores",
                 ylabel="weight", title=f'Looking up "{word}":\nfrom the mean of all to one', ax=left)  # fmt: skip
    words = SENTENCE.split()
    sentence = tf.constant(_spelling(words)[None])
    itself = dot_attention(sentence, sentence, sentence, scale=8.0)[1][0]
    plots.heatmap(itself, xlabel="key", ylabel="query", label="weight", ax=right, cmap="cividis",
                  title="A sentence attends to itself,\nby spelling")  # fmt: skip
    right.set_xticks(range(len(words)), words, rotation=45, ha="right")
    right.set_yticks(range(len(words)), words)
    report.figure("A look-up made soft", figure,
                  alt="Left: weights of the four nearest words as the factor of the scores grows; all begin alike, "
                  "one ends near 1. Right: weights between a sentence's words; equal words share them.")  # fmt: skip


def _problem(seed, queries=4):
    rng = np.random.default_rng((seed, 1))
    return [tf.constant(rng.normal(size=(2, *each)), tf.float32) for each in ((queries, 5), (6, 5), (6, 3))], rng


def _results(run, inputs):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output, weights = run(*inputs)
        loss = tf.reduce_sum(tf.sin(output)) + tf.reduce_sum(weights**2)
    return [output, weights, *tape.gradient(loss, inputs)]


def _is_keras(report, seed):
    inputs, rng = _problem(seed)
    seen = tf.constant(rng.random((2, 6)) < 0.6) | tf.one_hot([0, 0], 6, on_value=True, off_value=False)
    plain, scaled = keras.layers.Attention(), keras.layers.Attention(use_scale=True)
    scaled.build([each.shape for each in inputs])
    scaled.set_weights([np.float32(0.7)])
    additive = keras.layers.AdditiveAttention()
    additive.build([inputs[0].shape, inputs[2].shape, inputs[1].shape])

    def theirs(layer, mask=None, **more):
        return lambda q, k, v: layer([q, v, k], mask=mask, return_attention_scores=True, **more)

    weight = additive.weights[0].value
    for name, ours, keras_form in (
        ("layers.Attention", dot_attention, theirs(plain)),
        ("layers.Attention, use_scale=True", lambda *each: dot_attention(*each, scale=0.7), theirs(scaled)),
        ("a mask of values", lambda *each: dot_attention(*each, seen[:, None]), theirs(plain, [None, seen])),
        ("layers.AdditiveAttention", lambda *each: additive_attention(*each, weight), theirs(additive)),
    ):
        report.check(f"{name}: output, weights and gradients by query, key and value", _results(ours, inputs),
                     _results(keras_form, inputs), atol=1e-5)  # fmt: skip
    (query, key, value), _ = _problem(seed, queries=6)
    causal = _results(lambda *each: dot_attention(*each, causal_mask(6)), [query, key, value])
    report.check("use_causal_mask=True: output, weights and gradients", causal,
                 _results(theirs(plain, use_causal_mask=True), [query, key, value]), atol=1e-5)  # fmt: skip
    (query, key, value), (output, weights) = inputs, dot_attention(*inputs)
    report.check("the weights of a query sum to", tf.reduce_sum(weights, -1), np.ones((2, 4)))
    report.at_least("and the smallest is", tf.reduce_min(weights), 0.0)
    raised = attention_weights(tf.add([[3.0], [-5.0], [0.0], [9.0]], tf.matmul(query, key, transpose_b=True)))
    report.check("a constant added to a row of scores changes nothing", raised, weights, atol=1e-5)
    order = rng.permutation(6)
    shuffled = dot_attention(query, tf.gather(key, order, axis=1), tf.gather(value, order, axis=1))[0]
    report.check("keys and values in another order: the same output", shuffled, output, atol=1e-5)


def _masks(report, seed):
    (query, key, value), _ = _problem(seed)
    layer = keras.layers.Attention()
    asked = tf.constant([[True, False, True, True]] * 2)
    theirs = layer([query, value, key], mask=[asked, None])
    report.check("Keras's mask of queries puts zeros into their rows of the output, and nowhere else", theirs,
                 tf.where(asked[..., None], dot_attention(query, key, value)[0], 0), atol=1e-5)  # fmt: skip
    nothing = tf.zeros((2, 6), bool)
    weights = layer([query, value, key], mask=[None, nothing], return_attention_scores=True)[1]
    ours = dot_attention(query, key, value, nothing[:, None])
    report.check("no key to see: Keras's weights add up to", tf.reduce_sum(weights, -1), np.ones((2, 4)))
    report.check("ours are zeros, and so is the output", ours, [np.zeros((2, 4, 3)), np.zeros((2, 4, 6))])


def _scale(report, draws, seed):
    rng, rows = np.random.default_rng((seed, 2)), []
    for depth in (4, 64, 1024):
        products = np.concatenate([rng.standard_normal((2, 100, depth)).prod(axis=0).sum(axis=1)
                                   for _ in range(draws // 100)])  # fmt: skip
        rows.append([depth, float(products.var()), float((products / depth**0.5).var())])
    report.table("variance of q·k, and of q·k/√depth", ["depth", "q·k", "q·k/√depth"], rows)
    report.check("variance over depth", [row[1] / row[0] for row in rows], np.ones(3), rtol=0.05, trained=True)
    scores = rng.standard_normal((1000, 1, 1024)) @ rng.standard_normal((1000, 1024, 10))  # (draws, 1, keys)
    largest, slopes = [], []
    for each in (scores, scores / 32):
        p = attention_weights(each).numpy()
        largest.append(float(p.max(axis=-1).mean()))
        slopes.append(float(np.median(p * (1 - p))))
    report.at_least("depth 1024, ten keys, not scaled: mean of the largest weight", largest[0], 0.9)
    report.at_most("median slope p(1 - p) of the softmax, not scaled over scaled", slopes[0] / slopes[1], 1e-3)
    rows = [[name, *each] for name, *each in zip(("q·k", "q·k/√depth"), largest, slopes, strict=True)]
    report.table("depth 1024, ten keys", ["scores", "mean largest weight", "median slope p(1 - p)"], rows)


def _distance(report, seed):
    (query, key, value), _ = _problem(seed)
    squared = tf.reduce_sum((query[:, :, None] - key[:, None]) ** 2, axis=-1)
    far = attention_weights(tf.sqrt(squared))  # the notes, read literally
    report.check("softmax of a distance: the largest weight is that of the farthest key", tf.argmax(far, -1),
                 tf.argmax(squared, -1))  # fmt: skip
    ours = distance_attention(query, key, value)[1]
    report.check("softmax of -½‖q - k‖²: that of the nearest", tf.argmax(ours, -1), tf.argmin(squared, -1))
    same = 2 * key / tf.norm(key, axis=-1, keepdims=True)  # all keys of norm 2
    report.check("keys of one norm: -½‖q - k‖² is dot attention", distance_attention(query, same, value)[1],
                 dot_attention(query, same, value)[1], atol=1e-6)  # fmt: skip
    gap = tf.reduce_max(tf.abs(ours - dot_attention(query, key, value)[1]))
    report.at_least("keys of different norms: the weights differ by up to", gap, 0.01)
    report.correction("what the weights are", course="The softmax of a distance d(k, q), the query outside the "
                      "brackets.", correct="Of a similarity, or of minus a distance; -½‖q - k‖² = q·k - ½‖q‖² - ½‖k‖², "
                      "which is dot attention if all keys have the same norm.",
                      shown_by="the farthest key's weight; keys of one norm: equal within 1e-6")  # fmt: skip

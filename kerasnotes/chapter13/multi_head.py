"""Several heads ask several questions side by side, where a single head could only ask their product.

Each head has small queries, keys and values of its own; what the heads find is put side by side and projected. What the
reader should see: the layer is Keras's, weight for weight; two heads with two questions, one for the word before, one
for the same word, and one head with both, which can only multiply them; and a network without a sense of order, as long
as nobody tells it positions.

Notes: chapter 13, "Multi-head attention" (多头注意力机制).
Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter13.attention import attention_weights, causal_mask, scaled_dot_attention
from kerasnotes.chapter13.sliding_window import window_attention as window_attention  # also to be had from here
from kerasnotes.chapter13.sliding_window import window_mask as window_mask
from kerasnotes.parts import layer_seeds, shape, whole

SMOKE = {}
SECONDS = 1

NAMES = tuple(f"{part}_{kind}" for part in ("query", "key", "value", "output") for kind in ("kernel", "bias"))
SENTENCE = "the more you read the more you know"


def project(x, kernel, bias=None):
    """All heads at once: (batch, steps, inputs) times (inputs, heads, size) is (batch, heads, steps, size).

    The bias, if there is one, is (heads, size).
    """
    inputs, heads, size = kernel.shape
    # one product for all heads and samples: matmul would take each sample alone, and add up their gradients
    y = tf.tensordot(x, tf.reshape(kernel, (inputs, heads * size)), 1)
    y = y if bias is None else y + tf.reshape(bias, (heads * size,))
    return tf.transpose(tf.reshape(y, (tf.shape(x)[0], tf.shape(x)[1], heads, size)), (0, 2, 1, 3))


def attend(query, key, value, mask=None):
    """Scaled dot products, head by head: queries (batch, heads, queries, size), keys and values likewise.

    Args:
        query, key, value: As `project` gives them.
        mask: Boolean, broadcasts against (batch, queries, keys), or None.

    Returns:
        `(answers, weights)`: (batch, heads, queries, value size) and (batch, heads, queries, keys).
    """
    scores = tf.matmul(query * query.shape[-1] ** -0.5, key, transpose_b=True)  # (batch, heads, queries, keys)
    if mask is not None:
        mask = tf.convert_to_tensor(mask)
        mask = mask[:, None] if mask.shape.rank == 3 else mask  # the same for all heads
    weights = attention_weights(scores, mask)
    return tf.matmul(weights, value), weights


def combine(answers, kernel, bias=None):
    """Answers of all heads (batch, heads, queries, size) side by side, times (heads, size, outputs), plus a bias."""
    heads, size, outputs = kernel.shape
    side_by_side = tf.transpose(answers, (0, 2, 1, 3))  # (batch, queries, heads, size)
    batch, queries = tf.shape(side_by_side)[0], tf.shape(side_by_side)[1]
    side_by_side = tf.reshape(side_by_side, (batch, queries, heads * size))
    y = tf.tensordot(side_by_side, tf.reshape(kernel, (heads * size, outputs)), 1)
    return y if bias is None else y + bias


def multi_head_attention(query, value, key, parameters, mask=None):
    """Attention with several heads; the order of the inputs is Keras's.

    Args:
        query: (batch, queries, inputs).
        value: (batch, keys, inputs of the values).
        key: (batch, keys, inputs of the keys).
        parameters: Dictionary of arrays: `query_kernel` (inputs, heads, key_dim), `query_bias` (heads, key_dim),
            `key_kernel`, `key_bias` likewise, `value_kernel` (inputs, heads, value_dim), `value_bias`, `output_kernel`
            (heads, value_dim, outputs), `output_bias` (outputs,). Biases may be missing.
        mask: Boolean, True where a key may be seen, broadcasts against (batch, queries, keys), or None.

    Returns:
        `(output, weights)`: (batch, queries, outputs) and (batch, heads, queries, keys).

    Raises:
        ValueError: If shapes do not fit.

    Source: Vaswani et al. 2017, section 3.2.2.
    """
    parts = {}
    for name, x in (("query", query), ("key", key), ("value", value)):
        x, kernel = tf.convert_to_tensor(x), tf.convert_to_tensor(parameters[f"{name}_kernel"])
        shape(name, x, query.shape[0], query.shape[1] if name == "query" else value.shape[1], kernel.shape[0])
        parts[name] = project(x, kernel, parameters.get(f"{name}_bias"))
    answers, weights = attend(parts["query"], parts["key"], parts["value"], mask)
    kernel = shape("output_kernel", tf.convert_to_tensor(parameters["output_kernel"]), *answers.shape[1::2], None)
    return combine(answers, kernel, parameters.get("output_bias")), weights


def glorot(seed, axes=1):
    """Glorot's uniform start for a kernel with axes of heads: drawn as for one matrix, whose rows are the first `axes`.

    Taken as it is, the kernel would pass for a convolution's, with too many inputs.
    """

    def start(shape, dtype=None):
        matrix = int(np.prod(shape[:axes])), int(np.prod(shape[axes:]))
        return tf.reshape(keras.initializers.GlorotUniform(seed)(matrix, dtype), shape)

    return start


class MultiHeadAttention(keras.layers.Layer):
    """`multi_head_attention` as a layer, called as `keras.layers.MultiHeadAttention`, with its order of weights.

    Args:
        num_heads: Number of heads.
        key_dim: Numbers of a query and of a key in each head.
        value_dim: Numbers of a value in each head, or None for `key_dim`.
        use_bias: Whether the four maps have biases.
        seed: Seed of the initial weights, or None.
    """

    def __init__(self, num_heads, key_dim, value_dim=None, use_bias=True, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.num_heads, self.key_dim = whole("num_heads", num_heads), whole("key_dim", key_dim)
        self.value_dim = key_dim if value_dim is None else whole("value_dim", value_dim)
        self.use_bias, self.seed = use_bias, seed

    def build(self, query_shape, value_shape=None, key_shape=None):
        value_shape = value_shape or query_shape
        inputs = {"query": query_shape[-1], "key": (key_shape or value_shape)[-1], "value": value_shape[-1]}
        seeds = layer_seeds(self.seed)
        self.parameters = {}
        for name in (*inputs, "output"):
            size = self.value_dim if name in ("value", "output") else self.key_dim
            kernel, bias = ((inputs[name], self.num_heads, size), (self.num_heads, size)) if name in inputs else (
                (self.num_heads, size, query_shape[-1]), (query_shape[-1],))  # fmt: skip
            start = glorot(None if self.seed is None else next(seeds), axes=1 if name in inputs else 2)
            self.parameters[f"{name}_kernel"] = self.add_weight(name=f"{name}_kernel", shape=kernel, initializer=start)
            if self.use_bias:
                self.parameters[f"{name}_bias"] = self.add_weight(name=f"{name}_bias", shape=bias, initializer="zeros")

    def call(self, query, value, key=None, attention_mask=None, use_causal_mask=False, return_attention_scores=False):
        mask = attention_mask
        if use_causal_mask:
            causal = causal_mask(query.shape[1])
            mask = causal if mask is None else mask & causal
        parameters = {name: tf.convert_to_tensor(weight) for name, weight in self.parameters.items()}
        output, weights = multi_head_attention(query, value, value if key is None else key, parameters, mask)
        return (output, weights) if return_attention_scores else output


def parameter_count(inputs, num_heads, key_dim, value_dim=None):
    """Weights of self-attention with biases: three maps into the heads, one out of them."""
    value_dim = key_dim if value_dim is None else value_dim
    return num_heads * (2 * key_dim + value_dim) * (inputs + 1) + (num_heads * value_dim + 1) * inputs


def example():
    """The library's layer and ours, on the same weights."""
    x = tf.random.stateless_normal((1, 4, 6), seed=(0, 0))  # (batch, steps, inputs)
    theirs = keras.layers.MultiHeadAttention(num_heads=2, key_dim=3)
    print("layers.MultiHeadAttention:", theirs(x, x, use_causal_mask=True)[0, 2].numpy().round(3))
    ours = MultiHeadAttention(num_heads=2, key_dim=3)
    ours.build(x.shape)
    ours.set_weights(theirs.get_weights())
    output, weights = ours(x, x, use_causal_mask=True, return_attention_scores=True)
    print("ours:                     ", output[0, 2].numpy().round(3))
    print("weights of head 0, third step:", weights[0, 0, 2].numpy().round(3))
    print("parameters:", theirs.count_params(), parameter_count(6, 2, 3))


def lesson(report, *, sharpness: float = 20.0, seed: int = 0):
    """Compare with Keras, ask two questions, and mix up the order.

    Args:
        report: The report to write to.
        sharpness: Score of what a head asks for, over that of the rest (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _is_keras(report, rng)
    _two_questions(report, sharpness)
    _order(report, rng)
    _narrow_heads(report)


def _is_keras(report, rng):
    x, y = (tf.constant(rng.normal(size=(2, steps, 8)), tf.float32) for steps in (5, 7))
    theirs, ours = keras.layers.MultiHeadAttention(3, 4, 5), MultiHeadAttention(3, 4, 5)
    for layer in (theirs, ours):
        layer.build(x.shape, y.shape)
    ours.set_weights([rng.normal(size=weight.shape) / 2 for weight in ours.weights])
    theirs.set_weights(ours.get_weights())

    def results(layer, value, **arguments):
        with tf.GradientTape() as tape:
            tape.watch([x, value])
            output, weights = layer(x, value, return_attention_scores=True, **arguments)
            loss = tf.reduce_sum(tf.sin(output)) + tf.reduce_sum(weights**2)
        return [output, weights, *tape.gradient(loss, [x, value, *(each.value for each in layer.weights)])]

    mask = tf.constant(rng.random((2, 5, 7)) < 0.6) | tf.one_hot([0] * 5, 7, on_value=True, off_value=False)
    for name, value, arguments in (("no mask", y, {}), ("attention_mask", y, {"attention_mask": mask}),
                                   ("use_causal_mask", x + 1, {"use_causal_mask": True})):  # fmt: skip
        report.check(f"layers.MultiHeadAttention, {name}: output, weights, gradients of inputs and all eight weights",
                     results(ours, value, **arguments), results(theirs, value, **arguments), atol=2e-5)  # fmt: skip
    parameters = {name: weight.value for name, weight in zip(NAMES, ours.weights, strict=True)}
    answers = [scaled_dot_attention(*(source @ parameters[f"{name}_kernel"][:, head] + parameters[f"{name}_bias"][head]
               for source, name in ((x, "query"), (y, "key"), (y, "value"))))[0] for head in range(3)]  # fmt: skip
    kernel = tf.reshape(parameters["output_kernel"], (15, 8))
    report.check("one head at a time, side by side, then projected", tf.concat(answers, -1) @ kernel +
                 parameters["output_bias"], ours(x, y), atol=1e-5)  # fmt: skip
    report.check("8 inputs, 3 heads, key_dim 4, value_dim 5: parameters", [theirs.count_params(), ours.count_params()],
                 [parameter_count(8, 3, 4, 5)] * 2)  # fmt: skip


def _two_questions(report, sharpness):
    """Queries and keys built by hand: for the place before, for the same word, and one head that asks for both."""
    words = SENTENCE.split()
    known, steps = sorted(set(words)), len(words)
    places, spelt = np.eye(steps), np.array([[word == each for each in known] for word in words], float)
    asked = {"one head asks\nfor the word before": (np.eye(steps, k=-1), places),
             "another\nfor the same word": (spelt, spelt)}  # fmt: skip
    both = [np.concatenate(parts, axis=1) for parts in zip(*asked.values(), strict=True)]
    asked["one head asks\nfor both"] = both
    weights = []
    for query, key in asked.values():
        scale = sharpness * query.shape[1] ** 0.5  # `attend` divides by the root
        query, key = (tf.constant(each[None, None], tf.float32) for each in (query, key))  # one batch, one head
        weights.append(attend(scale * query, key, key)[1][0, 0].numpy())
    before = weights[0][np.arange(1, steps), np.arange(steps - 1)]
    report.at_least("the word before: smallest weight", before, 0.9)
    same = spelt @ spelt.T
    report.at_least("the same word: smallest weight of all its places together", (weights[1] * same).sum(1), 0.9)
    # exp(a + b) = exp(a) exp(b): the weights of one head that asks both are the product, made to sum to 1 again.
    product = weights[0] * weights[1]
    report.check("one head that asks for both: the product of both weights", weights[2],
                 product / product.sum(1, keepdims=True), atol=1e-5)  # fmt: skip
    figure, axes = plots.subplots(1, 3, figsize=(13, 4.6))
    for ax, each, title in zip(axes, weights, asked, strict=True):
        plots.heatmap(each, xlabel="key", ylabel="query", label="weight", title=title, ax=ax, cmap="cividis",
                      vmin=0, vmax=1)  # fmt: skip
        ax.set_xticks(range(steps), words, rotation=60, ha="right")
        ax.set_yticks(range(steps), words)
    report.figure("Two heads, two questions", figure,
                  alt="Three matrices of weights over a sentence: a head that looks at the word before, one that looks "
                  "at equal words, and one that asks both and splits its weight among them.")  # fmt: skip


def _order(report, rng):
    layer = MultiHeadAttention(2, 4, seed=1)
    x, order = tf.constant(rng.normal(size=(1, 9, 6)), tf.float32), rng.permutation(9)
    positions = tf.constant(rng.normal(size=(9, 6)), tf.float32)
    for name, more, relation in (("words in another order: their outputs in that order", 0.0, report.check),
                                 ("with positions added they are not: difference", positions, None)):  # fmt: skip
        turned, plain = tf.gather(x, order, axis=1) + more, x + more
        got, want = layer(turned, turned), tf.gather(layer(plain, plain), order, axis=1)
        if relation:
            relation(name, got, want, atol=1e-5)
        else:
            report.at_least(name, tf.reduce_max(tf.abs(got - want)), 0.01)


def _narrow_heads(report):
    """Two heads of one number, two steps: the library adds the heads' biases to the steps."""
    layer = keras.layers.MultiHeadAttention(2, 1)
    layer.build((1, 2, 1), (1, 2, 1))
    parameters = {name: np.zeros(weight.shape) for name, weight in zip(NAMES, layer.weights, strict=True)}
    parameters["value_bias"], parameters["output_kernel"] = np.array([[1.0], [2.0]]), np.array([[[1.0]], [[0.0]]])
    layer.set_weights(parameters.values())
    x = np.zeros((1, 2, 1))
    ours = multi_head_attention(x, x, x, parameters)[0]
    report.check("two heads of one number: the first answers with its bias", ours, np.ones((1, 2, 1)))
    report.note(
        "A fault in Keras 3.15 on TensorFlow: keras.ops.add takes an addend of shape (n, 1) for a bias of the second "
        "axis if that has n places. With as many steps as heads, and heads of one number, MultiHeadAttention then "
        f"adds the heads' biases to the steps, here {layer(x, x).numpy().ravel().tolist()} in place of [1.0, 1.0]. "
        "Heads of two numbers or more, and other lengths, are right."
    )

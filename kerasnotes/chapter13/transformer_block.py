"""A Transformer's block adds to each word what attention and two dense layers find, normalized before or after.

Attention, then two dense layers for each word alone; around both a residual connection and a layer normalization,
before them or after. What the reader should see: blocks that equal a network of Keras's layers, output and gradient;
a decoder's block that keeps keys and values and so never computes them twice; and what the place of the normalization
does to the gradient that arrives at the first of twelve fresh blocks.

Notes: chapter 13, "Transformer" (Transformer模型).
Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1; Ba, Kiros, Hinton 2016, arXiv:1607.06450 (layer
normalization); Xiong et al. 2020, arXiv:2002.04745 (its place).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter13.attention import causal_mask
from kerasnotes.chapter13.multi_head import attend, combine, glorot, project
from kerasnotes.parts import layer_seeds, shape, share, whole

SMOKE = {"depth": 2, "units": 8, "seeds": 1}
SECONDS = 4


def layer_norm(x, gamma, beta, epsilon=1e-6):
    """Every vector of the last axis to mean 0 and variance 1, then times gamma plus beta.

    Args:
        x: (..., units).
        gamma, beta: Scale and offset (units,).
        epsilon: Added to the variance. Keras's default is 1e-3, which shrinks vectors of small variance.
    """
    for name, weight in (("gamma", gamma), ("beta", beta)):
        shape(name, weight, x.shape[-1])
    centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    variance = tf.reduce_mean(centred**2, axis=-1, keepdims=True)
    return centred * tf.math.rsqrt(variance + epsilon) * gamma + beta


class Block(keras.layers.Layer):
    """What both blocks share: sublayers, each with its normalization, its dropout and its residual connection.

    Args:
        units: Numbers for a word, a multiple of `num_heads`.
        num_heads: Heads of each attention.
        hidden_units: Units of the first dense layer, or None for 4·units.
        norm_first: Whether to normalize before a sublayer, x + f(norm(x)), or after it, norm(x + f(x)) as in the paper.
        dropout: Share of a sublayer's output to drop in training.
        seed: Seed of the initial weights and of dropout, or None.
    """

    attentions = ("attention",)  # of a subclass: a name for each

    def __init__(self, units, num_heads, hidden_units=None, norm_first=True, dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.units, self.num_heads, self.norm_first = whole("units", units), whole("num_heads", num_heads), norm_first
        if units % num_heads:
            raise ValueError(f"units: expected a multiple of num_heads, got {units} for {num_heads} heads")
        self.hidden_units = 4 * units if hidden_units is None else whole("hidden_units", hidden_units)
        seeds = layer_seeds(seed if seed is not None else np.random.SeedSequence().entropy)
        heads = (units, num_heads, units // num_heads)
        self.parameters = {}  # name: weight, in the order of Keras's layers
        for name in self.attentions:
            for part in ("query", "key", "value"):
                self._weight(f"{name}_{part}_kernel", heads, next(seeds))
                self._weight(f"{name}_{part}_bias", heads[1:])
            self._weight(f"{name}_output_kernel", (*heads[1:], units), next(seeds), axes=2)
            self._weight(f"{name}_output_bias", (units,))
        for name, size in (("hidden", (units, self.hidden_units)), ("output", (self.hidden_units, units))):
            self._weight(f"{name}_kernel", size, next(seeds))
            self._weight(f"{name}_bias", size[1:])
        for name in (*self.attentions, "dense"):
            self._weight(f"{name}_gamma", (units,), start="ones")
            self._weight(f"{name}_beta", (units,))
        share("dropout", dropout, high=False)
        self.drop = keras.layers.Dropout(dropout, seed=next(seeds)) if dropout else None
        self.built = True

    def _weight(self, name, size, seed=None, start="zeros", axes=1):
        start = start if seed is None else glorot(seed, axes)
        self.parameters[name] = self.add_weight(name=name, shape=size, initializer=start)

    def heads(self, name, part, x):
        """Queries, keys or values of one attention: (batch, steps, units) becomes (batch, heads, steps, size)."""
        kernel, bias = (tf.convert_to_tensor(self.parameters[f"{name}_{part}_{kind}"]) for kind in ("kernel", "bias"))
        return project(x, kernel, bias)

    def answer(self, name, x, key, value, mask):
        """The words x ask one attention's keys and values: (batch, steps, units), (batch, heads, steps, keys)."""
        answers, weights = attend(self.heads(name, "query", x), key, value, mask)
        kernel, bias = (tf.convert_to_tensor(self.parameters[f"{name}_output_{kind}"]) for kind in ("kernel", "bias"))
        return combine(answers, kernel, bias), weights

    def dense(self, x):
        """Two dense layers for each word alone."""
        weights = (f"{name}_{kind}" for name in ("hidden", "output") for kind in ("kernel", "bias"))
        w1, b1, w2, b2 = (tf.convert_to_tensor(self.parameters[name]) for name in weights)
        return tf.tensordot(tf.nn.relu(tf.tensordot(x, w1, 1) + b1), w2, 1) + b2

    def sublayer(self, name, x, function, training):
        """x and what a sublayer finds in it, with the normalization before or after."""
        gamma, beta = (tf.convert_to_tensor(self.parameters[f"{name}_{kind}"]) for kind in ("gamma", "beta"))
        found = function(layer_norm(x, gamma, beta) if self.norm_first else x)
        if self.drop is not None:
            found = self.drop(found, training=training)
        return x + found if self.norm_first else layer_norm(x + found, gamma, beta)


class EncoderBlock(Block):
    """Self-attention and two dense layers: `block(x, attention_mask=None)` on x (batch, steps, units).

    The mask is Boolean, True where a key may be seen, and broadcasts against (batch, steps, steps).
    """

    def call(self, x, attention_mask=None, training=False):
        def attention(x):
            key, value = (self.heads("attention", part, x) for part in ("key", "value"))
            return self.answer("attention", x, key, value, attention_mask)[0]

        x = self.sublayer("attention", x, attention, training)
        return self.sublayer("dense", x, self.dense, training)


class DecoderBlock(Block):
    """Self-attention, attention on the encoder, two dense layers.

    `block(x, context, attention_mask=None, context_mask=None, state=None)` gives `(y, state, weights)`: x and y (batch,
    steps, units), context (batch, source steps, units). The state holds keys and values of the words so far, and those
    of the context: given back with the next words, only these are computed. The weights are those of the attention on
    the context (batch, heads, steps, source steps). Masks are of x with all words so far, and of x with the context.
    """

    attentions = ("attention", "context")

    def call(self, x, context, attention_mask=None, context_mask=None, state=None, training=False):
        if state is None:  # the context's keys and values are computed once for a sentence
            past, asked = None, [self.heads("context", part, context) for part in ("key", "value")]
        else:
            past, asked = state[:2], state[2:]
        seen, looked_at = [], []

        def attention(x):
            for i, part in enumerate(("key", "value")):
                new = self.heads("attention", part, x)
                seen.append(new if past is None else tf.concat([past[i], new], axis=2))  # (batch, heads, so far, size)
            return self.answer("attention", x, *seen, attention_mask)[0]

        def encoded(x):
            found, weights = self.answer("context", x, *asked, context_mask)
            looked_at.append(weights)
            return found

        x = self.sublayer("attention", x, attention, training)
        x = self.sublayer("context", x, encoded, training)
        return self.sublayer("dense", x, self.dense, training), (*seen, *asked), looked_at[0]


def parameter_count(units, hidden_units):
    """Weights of an encoder block: four square maps with biases, two dense layers, two normalizations."""
    return 4 * units**2 + 4 * units + 2 * units * hidden_units + hidden_units + units + 4 * units


def example():
    """Three words through an encoder block, and two more through a decoder block, one after the other."""
    words = tf.random.stateless_normal((1, 3, 8), seed=(0, 0))  # (batch, steps, units)
    encoder, decoder = EncoderBlock(8, num_heads=2, seed=1), DecoderBlock(8, num_heads=2, seed=2)
    context = encoder(words)
    print("encoder block:", context[0, 0, :4].numpy().round(3), encoder.count_params(), "weights")
    norm = keras.layers.LayerNormalization(epsilon=1e-6)
    print("layers.LayerNormalization:", norm(words)[0, 0, :4].numpy().round(3))
    print("ours:                     ", layer_norm(words, tf.ones(8), tf.zeros(8))[0, 0, :4].numpy().round(3))
    _, state, _ = decoder(words[:, :1], context)
    second, _, _ = decoder(words[:, 1:2], context, state=state)
    both, _, _ = decoder(words[:, :2], context, causal_mask(2))
    print("one after the other:", second[0, 0, :4].numpy().round(3), "both at once:", both[0, 1, :4].numpy().round(3))


def lesson(report, *, depth: int = 12, units: int = 32, seeds: int = 3, seed: int = 0):
    """Compare with Keras's layers, count, and follow the gradient through many blocks.

    Args:
        report: The report to write to.
        depth: Blocks that are stacked (2 to 48).
        units: Numbers for a word, a multiple of 4 (8 to 256).
        seeds: Fresh stacks for each place of the normalization (1 to 20).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _is_keras(report, rng)
    _epsilon(report, rng)
    _counts_and_identity(report, rng)
    _gradients(report, depth, units, seeds, seed)


def _of_keras(block):
    """The same block of Keras's layers, with its weights: a function of x, the context and the two masks."""
    size, attentions = block.units, []
    weights = [weight.numpy() for weight in block.parameters.values()]
    for _ in block.attentions:
        attentions.append(keras.layers.MultiHeadAttention(block.num_heads, size // block.num_heads))
        attentions[-1].build((None, None, size), (None, None, size))
        attentions[-1].set_weights([weights.pop(0) for _ in range(8)])
    dense = [keras.layers.Dense(block.hidden_units, "relu"), keras.layers.Dense(size)]
    dense[0].build((None, None, size)), dense[1].build((None, None, block.hidden_units))
    norms = [keras.layers.LayerNormalization(epsilon=1e-6) for _ in (*attentions, None)]
    for layer, count in ((dense[0], 2), (dense[1], 2), *((norm, 2) for norm in norms)):
        layer.build((None, None, size)) if not layer.built else None
        layer.set_weights([weights.pop(0) for _ in range(count)])

    def run(x, context=None, mask=None, context_mask=None):
        steps = [lambda x: attentions[0](x, x, attention_mask=mask), lambda x: dense[1](dense[0](x))]
        if len(attentions) == 2:
            steps.insert(1, lambda x: attentions[1](x, context, attention_mask=context_mask))
        for norm, step in zip(norms, steps, strict=True):
            x = x + step(norm(x)) if block.norm_first else norm(x + step(x))
        return x

    return run


def _is_keras(report, rng):
    x, context = (tf.constant(rng.normal(size=(2, steps, 8)), tf.float32) for steps in (5, 4))
    causal, seen = causal_mask(5), tf.constant(rng.random((2, 1, 4)) < 0.7) | [True, False, False, False]
    for kind in (EncoderBlock, DecoderBlock):
        for norm_first in (True, False):
            block = kind(8, 2, 12, norm_first)
            block.set_weights([rng.normal(size=weight.shape) / 2 for weight in block.weights])
            inputs = [x, context] if kind is DecoderBlock else [x]
            masks = {"attention_mask": causal, **({"context_mask": seen} if kind is DecoderBlock else {})}
            theirs = _of_keras(block)
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(inputs)
                ours = block(*inputs, **masks)
                ours = ours[0] if kind is DecoderBlock else ours
                want = theirs(x, context, causal, seen)
                losses = [tf.reduce_sum(tf.sin(y)) for y in (ours, want)]
            got, wanted = ([y, *tape.gradient(loss, inputs)] for y, loss in zip((ours, want), losses, strict=True))
            order = "before" if norm_first else "after"
            report.check(f"{kind.__name__}, normalization {order}: Keras's layers, output and gradients", got, wanted,
                         atol=1e-4)  # fmt: skip


def _epsilon(report, rng):
    x = tf.constant(0.01 * rng.normal(size=(3, 8)), tf.float32)
    layer = keras.layers.LayerNormalization(epsilon=1e-6)
    report.check("layers.LayerNormalization(epsilon=1e-6)", layer_norm(x, tf.ones(8), tf.zeros(8)), layer(x), atol=1e-5)
    small = tf.math.reduce_std(keras.layers.LayerNormalization()(x), axis=-1)
    report.at_most("vectors of deviation 0.01: Keras's default, epsilon 1e-3, leaves them a deviation of", small, 0.5)


def _counts_and_identity(report, rng):
    sizes = ((8, 2, 16), (32, 4, 128), (128, 4, 256))
    counted = [EncoderBlock(units, heads, hidden).count_params() for units, heads, hidden in sizes]
    want = [parameter_count(units, hidden) for units, _, hidden in sizes]
    report.check("weights of an encoder block: 4d² + 4d + 2dh + h + d + 4d", counted, want)
    x, block = tf.constant(rng.normal(size=(1, 5, 8)), tf.float32), EncoderBlock(8, 2, seed=1)
    for name in ("attention_output_kernel", "output_kernel"):
        block.parameters[name].assign(tf.zeros_like(block.parameters[name]))
    report.check("normalization before, output maps zero: the block is the identity", block(x), x, rtol=0, atol=0)


def _gradients(report, depth, units, seeds, seed):
    norms = {"normalization before": [], "normalization after": []}
    for number in range(seeds):
        rng = np.random.default_rng((seed, number, 1))
        x, direction = (tf.constant(rng.normal(size=(8, 10, units)), tf.float32) for _ in range(2))
        for name, found in norms.items():
            blocks = [EncoderBlock(units, 4, norm_first="before" in name, seed=(seed, number, i)) for i in range(depth)]
            with tf.GradientTape() as tape:
                y = x
                for block in blocks:
                    y = block(y)
                y = layer_norm(y, tf.ones(units), tf.zeros(units))  # where it is first, the end has one of its own
                loss = tf.reduce_mean(y * direction)
            slopes = tape.gradient(loss, [[weight.value for weight in block.weights] for block in blocks])
            size = np.array([tf.linalg.global_norm(each) for each in slopes])
            found.append(size / size[-1])
    rows = [[name, *(each[0] for each in found)] for name, found in norms.items()]
    report.table(f"gradient at the first of {depth} fresh blocks, over the last block's",
                 ["", *(f"seed {number}" for number in range(seeds))], rows)  # fmt: skip
    figure = plots.curves(np.arange(1, depth + 1), norms, xlabel="block", marker="o", title="A fresh stack of blocks",
                          ylabel="gradient's norm over the last block's")  # fmt: skip
    report.figure("What gradient arrives at each block", figure,
                  alt="Norm of the gradient by block, over the last block's: larger towards the first block with the "
                  "normalization before, about level with the normalization after.")  # fmt: skip

"""A Transformer reads a sentence at once and writes the other word by word, and keeps what it has computed.

The encoder is a stack of blocks over words with their places; the decoder is one that sees no later word, and asks the
encoder. What the reader should see: a later word changes nothing before it, padding changes nothing at all; written
word by word with kept keys and values the logits are those of training, where all words are read at once; and how much
work the keeping saves. Both keep the contract of chapter 09, so that its greedy decoding runs unchanged.

Notes: chapter 13, "Transformer" (Transformer模型).
Source: Vaswani et al. 2017, arXiv:1706.03762, sections 3.1 to 3.4.
"""

import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter09.encoder_decoder import greedy_decode, sentence_loss
from kerasnotes.chapter13.attention import padding_mask
from kerasnotes.chapter13.positional_encoding import sinusoidal_encoding
from kerasnotes.chapter13.transformer_block import DecoderBlock, EncoderBlock
from kerasnotes.chapter13.transformer_block import layer_norm as layer_norm  # also to be had from here
from kerasnotes.parts import layer_seeds, shape, whole

SMOKE = {"units": 8, "longest": 8, "steps": 4}
SECONDS = 4


class WordReader(keras.layers.Layer):
    """What encoder and decoder share: words with their places, a stack of blocks, a normalization at the end.

    Args:
        vocabulary_size: Number of ids, padding 0 included.
        units: Numbers for a word, even, a multiple of `num_heads`.
        num_heads: Heads of each attention.
        hidden_units: Units of the first dense layer of a block, or None for 4·units.
        layers: Number of blocks.
        norm_first: Whether normalizations stand before the sublayers; then one more stands at the end.
        dropout: Share of each sublayer's output to drop in training.
        embedding_deviation: Standard deviation of the words' first vectors.
        position_scale: Factor of the places' encoding.
        seed: Seed of the initial weights and of dropout, or None.
    """

    block = None  # of a subclass

    def __init__(self, vocabulary_size, units, num_heads=4, hidden_units=None, layers=2, norm_first=True, dropout=0.0,
                 embedding_deviation=0.05, position_scale=0.1, seed=None, **kwargs):  # fmt: skip
        super().__init__(**kwargs)
        seeds = layer_seeds(seed if seed is not None else np.random.SeedSequence().entropy)
        whole("vocabulary_size", vocabulary_size, 2)
        whole("layers", layers)
        self.units, self.position_scale = units, position_scale
        start = keras.initializers.RandomNormal(stddev=embedding_deviation, seed=next(seeds))
        self.embedding = keras.layers.Embedding(vocabulary_size, units, start)
        self.embedding.build()
        arguments = {"hidden_units": hidden_units, "norm_first": norm_first, "dropout": dropout}
        self.blocks = [self.block(units, num_heads, **arguments, seed=next(seeds)) for _ in range(layers)]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6) if norm_first else None
        if norm_first:
            self.norm.build((None, None, units))
        self.seeds, self.built = seeds, True

    def words(self, ids, first=0):
        """Vectors of ids (batch, steps), the first of which stands at the place `first`."""
        places = sinusoidal_encoding(np.arange(first, first + ids.shape[1]), self.units)
        return self.embedding(ids) + tf.constant(self.position_scale * places, tf.float32)  # (batch, steps, units)


class TransformerEncoder(WordReader):
    """Reads sentences, ids (batch, steps) with zeros behind the last word, and returns the context.

    The context is the pair `(states, seen)`: (batch, steps, units), and Booleans (batch, 1, steps), False at padding.
    Arguments as for `WordReader`.
    """

    block = EncoderBlock

    def call(self, source, training=False):
        source = _ids("source", source)
        seen = padding_mask(source)
        x = self.words(source)
        for block in self.blocks:
            x = block(x, attention_mask=seen, training=training)
        return x if self.norm is None else self.norm(x), seen


class TransformerDecoder(WordReader):
    """Reads words and gives logits of the word that follows each: `decoder(tokens, context, state=None)`.

    `tokens` are ids (batch, steps), `context` is what the encoder returned, `state` what an earlier call returned, or
    None at the beginning. The result is `(logits, state)`: (batch, steps, vocabulary_size), and for each block the keys
    and values of the words so far and of the context, so that only those of new words are computed.

    Args:
        causal: Whether a word sees no later one. Without it a word sees all words but padding, and no state is kept.
        Others: As for `WordReader`.
    """

    block = DecoderBlock

    def __init__(self, vocabulary_size, units, *arguments, causal=True, **kwargs):
        super().__init__(vocabulary_size, units, *arguments, **kwargs)
        self.causal = causal
        start = keras.initializers.GlorotUniform(next(self.seeds))
        self.head = keras.layers.Dense(vocabulary_size, kernel_initializer=start)
        self.head.build((None, None, units))

    def call(self, tokens, context, state=None, training=False):
        x, kept, _ = self.read(tokens, context, state, training)
        return self.head(x), tuple(kept) if self.causal else None

    def read(self, tokens, context, state=None, training=False):
        """The words behind the last block (batch, steps, units), and for each block its state and its weights on the
        context (batch, heads, steps, source steps), two lists."""
        tokens = _ids("tokens", tokens)
        states, seen = context
        shape("context", states, tokens.shape[0], None, self.units)
        past = 0 if state is None else state[0][0].shape[2]  # words that were read before
        if self.causal:
            place = tf.range(past + tokens.shape[1])
            visible = place <= place[past:, None]  # (new words, all words)
        elif state is None:
            visible = padding_mask(tokens)
        else:
            raise ValueError("state: expected None, a decoder that sees later words keeps nothing")
        x, kept, weights = self.words(tokens, past), [], []
        for number, block in enumerate(self.blocks):
            x, *new = block(x, states, attention_mask=visible, context_mask=seen, training=training,
                            state=None if state is None else state[number])  # fmt: skip
            kept.append(new[0])
            weights.append(new[1])
        return x if self.norm is None else self.norm(x), kept, weights


class Transformer(keras.Model):
    """An encoder and a decoder with teacher forcing: `model((source, target_in))` gives logits of the next words.

    Args:
        encoder: A `TransformerEncoder`.
        decoder: A `TransformerDecoder` of as many units.
    """

    def __init__(self, encoder, decoder):
        super().__init__()
        if encoder.units != decoder.units:
            raise ValueError(f"encoder, decoder: expected equal units, got {encoder.units} and {decoder.units}")
        self.encoder, self.decoder = encoder, decoder
        self.built = True

    def call(self, inputs, training=False):
        source, target_in = inputs
        context = self.encoder(source, training=training)
        return self.decoder(target_in, context, training=training)[0]  # (batch, steps, vocabulary)


def _ids(name, ids):
    ids = shape(name, tf.convert_to_tensor(ids), None, None)
    if 0 in ids.shape or not ids.dtype.is_integer:
        raise ValueError(f"{name}: expected whole numbers, not empty, got {ids.dtype.name} of shape {tuple(ids.shape)}")
    return ids


def example():
    """Teach the reversal of four short sentences by heart, and write them with chapter 09's greedy decoding."""
    source = np.array([[3, 4, 5], [5, 4, 3], [4, 4, 6], [6, 3, 0]])  # (pairs, steps); 0 is padding
    target_in, target_out = np.zeros((2, 4, 4), int)
    for row, ids in enumerate(source):
        words = [each for each in ids[::-1] if each]
        target_in[row, : len(words) + 1] = [1, *words]  # 1 begins a sentence, 2 ends it
        target_out[row, : len(words) + 1] = [*words, 2]
    model = Transformer(TransformerEncoder(7, 16, 2, layers=1, seed=1), TransformerDecoder(7, 16, 2, layers=1, seed=2))
    model.compile(keras.optimizers.Adam(0.01), sentence_loss())
    model.fit((source, target_in), target_out, epochs=60, verbose=0)
    for asked, written in zip(source, greedy_decode(model, source, start=1, end=2, max_length=4), strict=True):
        print(asked, "→", [int(each) for each in written if each > 2])
    print("weights:", model.count_params())


def lesson(report, *, units: int = 64, longest: int = 32, steps: int = 12, seed: int = 0):
    """Change words, pad, write word by word, and count what is kept.

    Args:
        report: The report to write to.
        units: Numbers for a word, a multiple of 8 (8 to 512).
        longest: Words of the longest sentence whose writing is counted and timed (8 to 512).
        steps: Words of the sentences that are compared (2 to 64).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    size = 40
    model = Transformer(TransformerEncoder(size, units, layers=2, seed=(seed, 1)),
                        TransformerDecoder(size, units, layers=2, seed=(seed, 2)))  # fmt: skip
    source, target = rng.integers(3, size, (4, steps)), rng.integers(3, size, (4, steps))
    influence = _later_words(report, model, source, target)
    _padding(report, model, source, target)
    _kept(report, model, source, target)
    _no_order_of_time(report, source, target, units, seed)
    _who_asks_whom(report, model)
    _draw(report, influence, _work(report, model, longest))


def _later_words(report, model, source, target):
    plain = model((source, target)).numpy()
    moved = []
    for t in range(target.shape[1]):
        changed = target.copy()
        changed[:, t] = 3 + (changed[:, t] - 2) % 37  # another word
        moved.append(np.abs(model((source, changed)).numpy() - plain).max(axis=(0, 2)))
    influence = np.array(moved).T  # (place of the logits, changed word)
    report.check("word t changes, for every t: largest change of a logit before it", np.triu(influence, 1).max(), 0.0,
                 rtol=0, atol=0)  # fmt: skip
    report.at_least("and of one at its place", np.diagonal(influence), 1e-4)
    other = model((source[::-1], target)).numpy()
    report.at_least("another source: largest change of a logit", np.abs(other - plain).max(), 1e-4)
    return influence


def _padding(report, model, source, target):
    plain = model((source, target))
    longer = model([np.pad(ids, ((0, 0), (0, 5))) for ids in (source, target)])[:, : target.shape[1]]
    report.check("five zeros behind source and target", longer, plain, atol=1e-6)


def _kept(report, model, source, target):
    context, state, single = model.encoder(source), None, []
    for t in range(target.shape[1]):
        logits, state = model.decoder(target[:, t : t + 1], context, state)
        single.append(logits[:, 0])
    report.check("word by word, with kept keys and values: the logits of all words at once", tf.stack(single, axis=1),
                 model((source, target)), atol=1e-5)  # fmt: skip
    first, state = model.decoder(target[:, :3], context)
    rest, _ = model.decoder(target[:, 3:], context, state)
    if target.shape[1] > 3:
        report.check("three words, then the rest", tf.concat([first, rest], axis=1), model((source, target)), atol=1e-5)


def _no_order_of_time(report, source, target, units, seed):
    decoder = TransformerDecoder(40, units, layers=1, causal=False, seed=(seed, 3))
    context = TransformerEncoder(40, units, layers=1, seed=(seed, 4))(source)
    plain = decoder(target, context)[0]
    changed = target.copy()
    changed[:, -1] = 3 + (changed[:, -1] - 2) % 37
    moved = np.abs(decoder(changed, context)[0] - plain)[:, 0].max()
    report.at_least("causal=False: the last word changes, and the first word's logits by up to", moved, 1e-6)


def _who_asks_whom(report, model):
    """The attention on the encoder: queries from the decoder, keys and values from the encoder."""
    names = [name for name in model.decoder.blocks[0].parameters if name.startswith("context_") and "kernel" in name]
    report.check("maps of the attention on the encoder", names, [f"context_{part}_kernel" for part in (
                 "query", "key", "value", "output")])  # fmt: skip
    report.correction("attention on the encoder", course="W_q and W_k are trained for it.",
                      correct="W_v as well, and the output's map: queries come from the decoder, keys and values from "
                      "the encoder, all through maps of their own.",
                      shown_by="the block's weights by name, equal to layers.MultiHeadAttention's")  # fmt: skip


def _work(report, model, longest):
    """Rows of keys that are computed while a sentence is written, with keeping and without."""
    context, words, state = model.encoder(np.full((1, 8), 5)), np.full((1, longest), 7), None
    rows, seconds = np.zeros((2, longest + 1), int), np.zeros((2, longest + 1))  # (with, without; words written)
    for t in report.track(range(longest), "writing"):
        begun = time.perf_counter()
        _, state = model.decoder(words[:, t : t + 1], context, state)
        kept = time.perf_counter()
        _, whole_state = model.decoder(words[:, : t + 1], context)
        seconds[:, t + 1] = seconds[:, t] + (kept - begun, time.perf_counter() - kept)
        rows[:, t + 1] = state[0][0].shape[2], rows[1, t] + whole_state[0][0].shape[2]
    n = np.arange(longest + 1)
    report.check("rows of keys computed for n words: n with keeping, n(n + 1)/2 without", rows, [n, n * (n + 1) // 2])
    shown = [each for each in (8, 16, 32, 64, 128, 256, 512) if each <= longest]
    report.table("writing a sentence of n words", ["n", "rows, kept", "rows, anew", "seconds, kept", "seconds, anew"],
                 [[each, *map(int, rows[:, each]), *map(float, seconds[:, each])] for each in shown])  # fmt: skip
    return rows


def _draw(report, influence, rows):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4))
    plots.heatmap(np.where(influence, influence, np.nan), xlabel="word that is changed", ylabel="place of the logits",
                  label="largest change of a logit", ax=left, cmap="cividis",
                  title="No word changes what\nstands before it")  # fmt: skip
    plots.curves(np.arange(rows.shape[1]), {"kept": rows[0], "anew for every word": rows[1]}, xlabel="words written",
                 ylabel="rows of keys computed", title="Keys and values are kept", ax=right)  # fmt: skip
    report.figure("No word sees a later one, and none is computed twice", figure,
                  alt="Left: change of the logits at each place for each changed word, empty above the diagonal. "
                  "Right: rows of keys computed, a line with keeping, a parabola without.")  # fmt: skip

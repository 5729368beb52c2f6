"""GPT is a Transformer's decoder that asks no encoder: one pass predicts the next token at every place of a text.

It is a stack of blocks whose words see no later word. What the reader should see: chapter 13's decoder without its
attention on an encoder, and chapter 13's encoder with a causal mask, are this same network; one pass gives what as many
passes as there are tokens would give, one for each beginning; the probability of a text, or of its second half after
the first, is the product of those of its tokens; and kept keys and values save work and change nothing.

Notes: chapter 14, "GPT" (GPT模型).
Source: Radford et al. 2018,
https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf (the model and its loss);
Peng et al. 2023, arXiv:2305.13048, section 3.1 (token shift, an addition to GPT).
"""

import math
from itertools import product

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter08.counting_models import text_ids
from kerasnotes.chapter13.attention import causal_mask
from kerasnotes.chapter13.transformer import TransformerDecoder, TransformerEncoder, WordReader
from kerasnotes.chapter13.transformer_block import Block
from kerasnotes.chapter14.sampling import sample
from kerasnotes.parts import layer_seeds, shape, whole

SMOKE = {"units": 8, "steps": 6}
SECONDS = 3


class CausalBlock(Block):
    """A block whose words see themselves and earlier ones: `block(x, past=None)` gives `(y, kept)`.

    x and y are (batch, steps, units). Kept are keys and values of all words so far, (batch, heads, words, size), and
    the last word's input to the attention (batch, 1, units). Given back as `past`, only new words are computed. With
    the attribute `token_shift` the first half of the channels that enter the attention comes from the word before.
    """

    token_shift = False

    def call(self, x, past=None, training=False):
        kept = []

        def attention(x):
            last, half = x[:, -1:], self.units // 2
            if self.token_shift:
                before = tf.concat([tf.zeros_like(last) if past is None else past[2], x[:, :-1]], axis=1)
                x = tf.concat([before[..., :half], x[..., half:]], axis=-1)
            for i, part in enumerate(("key", "value")):
                new = self.heads("attention", part, x)
                kept.append(new if past is None else tf.concat([past[i], new], axis=2))
            kept.append(last)
            place = tf.range(kept[0].shape[2])
            visible = place <= place[-x.shape[1] :, None]  # (new words, all words)
            return self.answer("attention", x, *kept[:2], visible)[0]

        x = self.sublayer("attention", x, attention, training)
        return self.sublayer("dense", x, self.dense, training), tuple(kept)


class CausalReader(WordReader):
    """Words with their places, causal blocks, a normalization at the end: chapter 13's, without an encoder to ask."""

    block = CausalBlock


class Cache:
    """What a `Gpt` has read: `length`, the number of tokens, and `kept`, for each block what its call kept."""

    def __init__(self):
        self.length, self.kept = 0, None


class Gpt(keras.Model):
    """Logits (batch, steps, vocabulary_size) of the token that follows each: `model(ids, cache=None)`.

    With a `Cache` the ids go on where the call before ended; keys and values of earlier tokens are taken from it, and
    those of the new tokens are added to it.

    Args:
        vocabulary_size: Number of ids.
        units: Numbers for a token, even, a multiple of `num_heads`.
        num_heads: Heads of each attention.
        hidden_units: Units of the first dense layer of a block, or None for 4·units.
        layers: Number of blocks.
        context: Most tokens that are read together.
        token_shift: As in `CausalBlock`.
        seed: Seed of the initial weights.
    """

    def __init__(self, vocabulary_size, units=128, num_heads=4, hidden_units=512, layers=2, context=64,
                 token_shift=False, seed=0):  # fmt: skip
        super().__init__()
        self.vocabulary_size, self.context, seeds = vocabulary_size, whole("context", context, 2), layer_seeds(seed)
        self.reader = CausalReader(vocabulary_size, units, num_heads, hidden_units, layers, seed=next(seeds))
        for block in self.reader.blocks:
            block.token_shift = token_shift
        start = keras.initializers.GlorotUniform(next(seeds))
        self.head = keras.layers.Dense(vocabulary_size, kernel_initializer=start)
        self.head.build((None, None, units))
        self.built = True

    def call(self, ids, cache=None):
        ids, cache = shape("ids", tf.convert_to_tensor(ids), None, None), cache or Cache()
        if cache.length + ids.shape[1] > self.context:
            raise ValueError(f"ids: expected at most {self.context} tokens, got {cache.length + ids.shape[1]}")
        x, kept = self.reader.words(ids, cache.length), []  # (batch, steps, units)
        for number, block in enumerate(self.reader.blocks):
            x, new = block(x, cache.kept and cache.kept[number])
            kept.append(new)
        cache.length, cache.kept = cache.length + ids.shape[1], kept
        return self.head(self.reader.norm(x))


def token_losses(model, ids):
    """Minus the logarithm of the probability of each token of a text but the first, in nats, float64 (length - 1,).

    Windows as long as the context overlap by half, and each predicts its second half; the first one predicts all.
    """
    ids = text_ids("ids", ids, 2, model.vocabulary_size)
    steps, last = min(model.context, len(ids) - 1), max(0, len(ids) - 1 - model.context)
    starts, losses = np.array([*range(0, last, max(1, steps // 2)), last]), np.empty(len(ids) - 1)
    for some in np.split(starts, range(64, len(starts), 64)):
        rows = ids[some[:, None] + np.arange(steps + 1)]
        found = tf.nn.sparse_softmax_cross_entropy_with_logits(rows[:, 1:], model(rows[:, :-1])).numpy()
        for start, row in zip(some, found, strict=True):
            first = 0 if start == 0 else steps // 2
            losses[start + first : start + steps] = row[first:]
    return losses


def generate(model, prefix, length, temperature=1.0, top_k=None, seed=0):
    """Let the model write on, token by token, with kept keys and values.

    Args:
        model: A `Gpt`. When its context is full, it reads the second half of that again, and goes on.
        prefix: Ids to begin with (n,), at least one, or (texts, n) for several texts; of long ones the end is read.
        length: Tokens to write.
        temperature, top_k: As in `sample`.
        seed: Seed of the draws.

    Returns:
        The new ids, int32 (length,) or (texts, length).
    """
    prefix, rng = np.asarray(prefix), np.random.default_rng(seed)
    text = np.atleast_2d(prefix)
    text_ids("prefix", text.ravel(), 1, model.vocabulary_size)
    cache, unread = Cache(), text[:, -model.context :]
    for _ in range(whole("length", length)):
        if cache.length + unread.shape[1] > model.context:
            cache, unread = Cache(), text[:, -(model.context // 2) :]
        logits = model(unread, cache=cache)[:, -1].numpy()  # (texts, vocabulary)
        unread = np.array([[sample(row, temperature, top_k, rng)] for row in logits])
        text = np.concatenate([text, unread], axis=1)
    return text[:, -length:].astype(np.int32).reshape(*prefix.shape[:-1], length)


def example():
    """Teach a small model one sentence by heart; its loss beside Keras's; let it write, from kept keys."""
    text = "the cat sat on the mat. " * 20
    letters = sorted(set(text))
    ids = np.array([letters.index(letter) for letter in text])
    model = Gpt(len(letters), units=16, num_heads=2, hidden_units=32, layers=1, context=24)
    model.compile(keras.optimizers.Adam(0.02), loss := keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    windows = np.array([ids[start : start + 25] for start in range(60)])  # (windows, steps + 1)
    print("perplexity before:", np.exp(token_losses(model, ids).mean()), "of", len(letters), "letters")
    model.fit(windows[:, :-1], windows[:, 1:], batch_size=12, epochs=12, verbose=0)
    print("and after:", np.exp(token_losses(model, ids).mean()))
    print(
        "Keras's loss:", float(loss(ids[1:25], model(ids[None, :24])[0])), "ours:", token_losses(model, ids[:25]).mean()
    )
    print("it writes:", "".join(letters[i] for i in generate(model, ids[:4], 30, top_k=1)))


def lesson(report, *, units: int = 32, steps: int = 16, seed: int = 0):
    """Find the model in chapter 13's Transformer, multiply probabilities, and keep keys and values.

    Args:
        report: The report to write to.
        units: Numbers for a token, a multiple of 8 (8 to 512).
        steps: Tokens of the texts that are compared, even (6 to 64).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    model = _random_weights(Gpt(40, units, layers=2, context=steps), rng)
    ids = rng.integers(1, 40, (3, steps))  # 0 is padding in chapter 13
    encoder = _in_chapter_13(report, model, ids, rng)
    _all_at_once(report, model, ids)
    _all_texts(report, rng)
    _kept(report, model, ids, rng)
    _who_depends_on_whom(report, encoder, model, ids[0])


def _random_weights(model, rng):
    # Larger than at the start and without zeros, so that no equality holds by accident.
    model.set_weights([rng.normal(size=weight.shape) / 3 for weight in model.get_weights()])
    return model


def _in_chapter_13(report, model, ids, rng):
    """Its decoder and its encoder with this model's weights; the attention on the encoder is given output maps of 0."""
    reader, size = model.reader, model.vocabulary_size
    layers, heads = len(reader.blocks), reader.blocks[0].num_heads
    encoder, decoder = (kind(size, reader.units, heads, reader.blocks[0].hidden_units, layers)
                        for kind in (TransformerEncoder, TransformerDecoder))  # fmt: skip
    for other in (encoder, decoder):
        other.embedding.set_weights(reader.embedding.get_weights())
        other.norm.set_weights(reader.norm.get_weights())
        for theirs, ours in zip(other.blocks, reader.blocks, strict=True):
            for name, weight in theirs.parameters.items():
                weight.assign(ours.parameters[name] if name in ours.parameters else rng.normal(size=weight.shape))
                if name in ("context_output_kernel", "context_output_bias"):
                    weight.assign(tf.zeros_like(weight))
    decoder.head.set_weights(model.head.get_weights())
    context = tf.constant(rng.normal(size=(3, 5, reader.units)), tf.float32), np.ones((3, 1, 5), bool)
    report.check("chapter 13's decoder, output maps of its attention on the encoder 0: logits", model(ids),
                 decoder(ids, context)[0], atol=1e-4)  # fmt: skip
    x = encoder.words(ids)
    for block in encoder.blocks:
        x = block(x, attention_mask=causal_mask(ids.shape[1]))
    report.check("chapter 13's encoder with a causal mask, and a head: logits", model(ids), model.head(encoder.norm(x)),
                 atol=1e-4)  # fmt: skip
    asked = sum(np.prod(w.shape) for block in decoder.blocks for n, w in block.parameters.items() if "context_" in n)
    report.check("weights, with those of that attention", model.count_params() + asked, decoder.count_params())
    report.correction("GPT and the Transformer", course="GPT is the decoder of the Transformer.",
                      correct="It is the decoder without its attention on an encoder. What is left is an encoder's "
                      "block with a causal mask.",
                      shown_by="equal logits on shared weights, of the decoder whose attention on the encoder adds "
                      "nothing, and of the encoder with a causal mask")  # fmt: skip
    return encoder


def _all_at_once(report, model, ids):
    """One causal pass against one pass for each beginning, and the second half after the first."""
    logits = model(ids).numpy()
    single = np.stack([model(ids[:, :n])[:, -1] for n in range(1, ids.shape[1] + 1)], axis=1)
    report.check("one pass: at every place the logits of a pass over the beginning alone", logits, single, atol=1e-4)
    row, half = ids[0], ids.shape[1] // 2
    terms = keras.losses.sparse_categorical_crossentropy(row[1:], logits[0, :-1], from_logits=True).numpy()
    losses = token_losses(model, row)  # of tokens 1, 2, …
    report.check("token_losses: Keras's cross-entropy at every place", losses, terms, rtol=1e-4)
    given_first, total = token_losses(model, row[:half]).sum() - losses.sum(), -terms[half - 1 :].sum()
    report.check("log p(second half | first half) = log p(text) - log p(first half) = the sum of its next-token terms",
                 given_first, total, rtol=1e-4)  # fmt: skip
    report.correction("what GPT is trained for", course="It is given the first half of a sentence and completes the "
                      "second half.",
                      correct="It predicts the next token at every place: every beginning is a question, and one "
                      "causal pass answers all of them. That includes the second half, whose log-probability is the "
                      "sum of its tokens'.",
                      shown_by=f"{len(row)} separate passes over all beginnings give the same logits; log p(second "
                      f"half | first half) is {given_first:.3f}, the sum {total:.3f}")  # fmt: skip


def _all_texts(report, rng):
    """Three symbols, all 81 texts of four that may follow a beginning."""
    model, begun = _random_weights(Gpt(3, 8, 2, 16, context=6), rng), [1, 0]
    texts = np.array([[*begun, *rest] for rest in product(range(3), repeat=4)])
    terms = keras.losses.sparse_categorical_crossentropy(texts[:, 2:], model(texts)[:, 1:-1], from_logits=True)
    p = np.exp(-np.sum(terms, axis=1))
    report.check("all 81 texts of four symbols that may follow: sum of their probabilities", p.sum(), 1.0)
    drawn = generate(model, np.tile(begun, (2000, 1)), 4, seed=int(rng.integers(2**31)))
    counts, often = np.bincount(drawn @ 3 ** np.arange(3, -1, -1), minlength=81), p > 0.0025
    chi_square = ((counts - 2000 * p) ** 2 / (2000 * p))[often].sum() / often.sum()
    report.at_most("2,000 written texts of these: χ² of their frequencies, over its expected value", chi_square,
                   1 + 4 * math.sqrt(2 / often.sum()))  # fmt: skip


def _kept(report, model, ids, rng):
    for name, shifted in (("keys and values kept", False), ("with token shift", True)):
        other = _random_weights(Gpt(40, model.reader.units, context=ids.shape[1], token_shift=shifted), rng)
        cache = Cache()
        parts = [other(part, cache=cache) for part in np.split(ids, [1, 2, 5], axis=1)]
        report.check(f"{name}, one, one, three and the rest: the logits of all tokens at once", tf.concat(parts, 1),
                     other(ids), atol=1e-4)  # fmt: skip
    text = generate(model, ids[0, :2], ids.shape[1] - 2, top_k=1)
    greedy = model(np.append(ids[0, :2], text)[None]).numpy()[0, 1:-1].argmax(axis=-1)
    report.check("top_k = 1: written with kept keys, the likeliest token of one pass at every place", text, greedy)
    report.note("GPT learns a vector for each place, has GELU, and its head uses the table of tokens. Here places are "
                "chapter 13's waves, blocks have ReLU, and the head has weights of its own.")  # fmt: skip


def _who_depends_on_whom(report, encoder, model, row):
    """Which place's result changes when a token changes: row t of the batch has another token at place t."""
    changed, found = np.where(np.eye(len(row), dtype=bool), 1 + row % 39, row), {}
    for name, run in {"Encoder": lambda ids: encoder(ids)[0], "GPT": model}.items():
        found[name] = np.abs(run(changed) - run(row[None])).max(axis=-1).T  # (place of the result, changed token)
    before, behind = np.triu(found["GPT"], 1).max(), found["GPT"][np.tril_indices(len(row))].min()
    report.at_most("GPT: largest change before the token that changes", before, 1e-5)
    report.at_least("smallest change: GPT at it or behind, encoder", [behind, found["Encoder"].min()], 1e-6)
    figure, axes = plots.subplots(1, 2, figsize=(11, 4.6))
    for ax, (name, each) in zip(axes, found.items(), strict=True):
        shown = np.log10(np.where(each > 1e-5, each, np.nan))  # below that lies rounding
        plots.heatmap(shown, xlabel="token that is changed", ylabel="place of the result", ax=ax, cmap="cividis",
                      label="largest change, log10", title=name)  # fmt: skip
        ax.set_xticks(range(0, len(row), 4))
    report.figure("The same blocks, with and without a causal mask", figure,
                  alt="Change of the result at each place for each changed token. Encoder: everywhere. GPT: at the "
                  "token and behind it, nothing above the diagonal.")  # fmt: skip

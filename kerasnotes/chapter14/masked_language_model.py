"""A network that fills gaps reads both sides, and comes close to the best answer where that is known.

BERT learns from texts whose words are hidden here and there. What the reader should see: what takes the place of a
chosen word, a mask, a random word or itself; that the loss counts chosen places alone; that a hidden word's prediction
depends on both sides, a causal model's on the left only; a loss near the best that is possible, on texts whose law is
known; and a classifier that has learnt from such texts before it sees thirty labels.

Notes: chapter 14, "BERT" (BERT模型).
Source: Devlin et al. 2019, arXiv:1810.04805, section 3.1.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes.chapter13.attention import padding_mask
from kerasnotes.chapter13.transformer_block import EncoderBlock
from kerasnotes.chapter14.masked_words import mask_tokens, masked_loss
from kerasnotes.chapter14.masked_words import next_sentence_pairs as next_sentence_pairs  # also to be had from here
from kerasnotes.chapter14.masked_words import pack_pair as pack_pair
from kerasnotes.parts import layer_seeds, shape, whole

SMOKE = {}
SECONDS = 35


class TextEncoder(keras.layers.Layer):
    """Blocks that see both sides: `encoder(ids, segments=None)` gives states (batch, steps, units).

    A word's vector is the sum of three learnt ones: the word's, its place's and its segment's. Id 0 is padding, which
    no word sees. Arguments as for `MaskedLanguageModel`.
    """

    def __init__(self, vocabulary_size, units, num_heads, hidden_units, layers, max_length, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.max_length, seeds = whole("max_length", max_length), layer_seeds(seed)
        sizes = {"words": whole("vocabulary_size", vocabulary_size, 2), "places": max_length, "parts": 2}
        self.words, self.places, self.parts = (
            self.add_weight(name=name, shape=(size, whole("units", units)),
                            initializer=keras.initializers.RandomNormal(stddev=0.05, seed=next(seeds)))
            for name, size in sizes.items()
        )  # fmt: skip
        self.blocks = [EncoderBlock(units, num_heads, hidden_units, seed=next(seeds)) for _ in range(layers)]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6)
        self.norm.build((None, None, units))
        self.built = True

    def call(self, ids, segments=None):
        ids = shape("ids", tf.convert_to_tensor(ids), None, None)
        if ids.shape[1] is None or ids.shape[1] > self.max_length:
            raise ValueError(f"ids: expected at most {self.max_length} steps, got {ids.shape[1]}")
        segments = tf.zeros_like(ids) if segments is None else tf.convert_to_tensor(segments)
        shape("segments", segments, *ids.shape)
        words, places, parts = (tf.convert_to_tensor(table) for table in (self.words, self.places, self.parts))
        x = tf.gather(words, ids) + places[: ids.shape[1]] + tf.gather(parts, segments)  # (batch, steps, units)
        for block in self.blocks:
            x = block(x, attention_mask=padding_mask(ids))
        return self.norm(x)


class MaskedLanguageModel(keras.Model):
    """Logits of the word at every place, from both sides: `model(ids)` or `model((ids, segments))`.

    The head has no table of its own: a word's logit is the product of the state with the word's vector, plus a bias.

    Args:
        vocabulary_size: Number of ids, padding 0 and the mask included.
        units: Numbers for a word, a multiple of `num_heads`.
        num_heads: Heads of each attention.
        hidden_units: Units of the first dense layer of a block, or None for 4·units.
        layers: Number of blocks.
        max_length: Most words of a text.
        seed: Seed of the initial weights.
    """

    def __init__(self, vocabulary_size, units=48, num_heads=4, hidden_units=None, layers=2, max_length=64, seed=0):
        super().__init__()
        self.encoder = TextEncoder(vocabulary_size, units, num_heads, hidden_units, layers, max_length, seed)
        self.bias = self.add_weight(name="bias", shape=(vocabulary_size,), initializer="zeros")
        self.built = True

    def encode(self, ids, segments=None):
        """States (batch, steps, units) of ids (batch, steps), and of segments likewise, 0 or 1, or None for all 0."""
        return self.encoder(ids, segments)

    def call(self, inputs):
        states = self.encode(*inputs) if isinstance(inputs, (tuple, list)) else self.encode(inputs)
        return tf.matmul(states, tf.convert_to_tensor(self.encoder.words), transpose_b=True) + self.bias


def chain_transitions(classes=10, seed=0):
    """Probabilities (classes, classes) of the next class, a row for each class: two permutations, half and half."""
    rng = np.random.default_rng(seed)
    first, second = (np.eye(whole("classes", classes, 2))[rng.permutation(classes)] for _ in range(2))
    return (first + second) / 2


def class_chain(samples, steps, classes=10, words=30, seed=0):
    """Texts whose law is known: a hidden class follows by one of two permutations, equally likely; a word tells it.

    Args:
        samples, steps: Number of texts and their length.
        classes: Number of hidden classes; their law is `chain_transitions(classes, seed)`.
        words: Words of a class, equally likely.
        seed: Seed of the law and of the texts.

    Returns:
        `(ids, classes)`, each (samples, steps) int32. Word k of class c has the id 1 + c · words + k; 0 is padding.
    """
    whole("samples", samples), whole("steps", steps), whole("words", words)
    follow, rng = chain_transitions(classes, seed).cumsum(axis=1), np.random.default_rng((1, *np.atleast_1d(seed)))
    hidden = np.empty((samples, steps), np.int32)
    hidden[:, 0] = rng.integers(classes, size=samples)
    for step in range(1, steps):  # the first class whose summed probability is above a random number
        hidden[:, step] = (rng.random((samples, 1)) >= follow[hidden[:, step - 1]]).sum(axis=1)
    return (1 + hidden * words + rng.integers(words, size=hidden.shape)).astype(np.int32), hidden


def best_masked_loss(classes, place, transitions, words):
    """The least mean loss with which one hidden word of each text can be predicted from all others, in nats.

    The classes beside it are all that helps: p(c | left, right) is T[left, c] T[c, right], made to sum to 1.

    Args:
        classes: True classes (samples, steps).
        place: The place of the hidden word.
        transitions: Probabilities (classes, classes), whose columns sum to 1 too, so that all classes are as frequent.
        words: Words of a class, equally likely.
    """
    classes = shape("classes", np.asarray(classes), None, None)
    t = shape("transitions", np.asarray(transitions, float), *[len(transitions)] * 2)
    if (t < 0).any() or not np.allclose([t.sum(axis=0), t.sum(axis=1)], 1):
        raise ValueError("transitions: expected probabilities whose rows and columns sum to 1")
    if whole("place", place, 0) >= classes.shape[1]:
        raise ValueError(f"place: expected one of {classes.shape[1]} places, got {place}")
    likely = np.ones((len(classes), len(t)))
    likely = likely * t[classes[:, place - 1]] if place else likely
    likely = likely * t.T[classes[:, place + 1]] if place + 1 < classes.shape[1] else likely
    right = np.take_along_axis(likely, classes[:, place, None], axis=1)[:, 0] / likely.sum(axis=1)
    return float(np.log(whole("words", words)) - np.log(right).mean())


def majority_labels(classes, half=5):
    """Whether more than half of a text's words are of the first classes.

    Args:
        classes: (samples, steps).
        half: Number of the first classes.

    Returns:
        `(labels, kept)`: Booleans (samples,); a text with as many words of both kinds is not kept.
    """
    first = 2 * (shape("classes", np.asarray(classes), None, None) < half).sum(axis=1)
    return first > np.shape(classes)[1], first != np.shape(classes)[1]

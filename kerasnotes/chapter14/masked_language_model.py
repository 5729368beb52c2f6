"""A network that fills gaps reads both sides, and comes close to the best answer where that is known.

BERT learns from texts whose words are hidden here and there. What the reader should see: what takes the place of a
chosen word, a mask, a random word or itself; that the loss counts chosen places alone; that a hidden word's prediction
depends on both sides, a causal model's on the left only; a loss near the best that is possible, on texts whose law is
known; and a classifier that has learnt from such texts before it sees thirty labels.

Notes: chapter 14, "BERT" (BERT).
Source: Devlin et al. 2019, arXiv:1810.04805, section 3.1.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes.chapter13.attention import padding_mask
from kerasnotes.chapter13.transformer_block import EncoderBlock
from kerasnotes.parts import layer_seeds, shape, share, whole

SMOKE = {}
SECONDS = 35


def mask_tokens(ids, vocabulary_size, mask_id, rate=0.15, seed=0, special=(0,)):
    """Choose words at random and hide them: 80 % become the mask, 10 % a random token, 10 % stay as they are.

    Args:
        ids: Ids of any shape, integers from 0 to vocabulary_size - 1.
        vocabulary_size: Number of ids, the mask's and special ones included.
        mask_id: Id of the mask, which is never chosen and no random token.
        rate: Probability with which a word is chosen.
        seed: Seed of the draws.
        special: Ids that are never chosen and no random tokens, such as padding.

    Returns:
        `(inputs, targets, selected)`, each of the shape of ids: what the network reads, int32; the right word at chosen
        places and -1 elsewhere, int32; Booleans, True at chosen places.

    Raises:
        ValueError: If an id is out of range, or no id is left for random tokens.

    Source: Devlin et al. 2019, section 3.1.
    """
    ids, kept = _ids_below("ids", ids, vocabulary_size), [*special, mask_id]
    words = np.setdiff1d(np.arange(vocabulary_size), _ids_below("special, mask_id", kept, vocabulary_size))
    if not len(words):
        raise ValueError(f"vocabulary_size: expected words besides the special ids and the mask, got {vocabulary_size}")
    rng = np.random.default_rng(seed)
    selected = (rng.random(ids.shape) < share("rate", rate)) & ~np.isin(ids, kept)
    fate, another = rng.random(ids.shape), rng.choice(words, ids.shape)
    hidden = np.where(fate < 0.8, mask_id, np.where(fate < 0.9, another, ids))
    return np.where(selected, hidden, ids).astype(np.int32), np.where(selected, ids, -1).astype(np.int32), selected


def masked_loss(targets, logits):
    """Cross-entropy in nats, the mean over chosen places: those whose target is no -1. 0 if none is chosen.

    Args:
        targets: Ids (...), -1 where nothing is asked, as `mask_tokens` gives them.
        logits: (..., vocabulary_size).
    """
    targets = tf.cast(targets, tf.int32)
    shape("logits", logits, *targets.shape, None)
    chosen = tf.cast(targets >= 0, logits.dtype)
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.maximum(targets, 0), logits=logits)
    return tf.math.divide_no_nan(tf.reduce_sum(chosen * loss), tf.reduce_sum(chosen))


def next_sentence_pairs(sentences, seed=0, documents=None):
    """Pairs of sentences: in one half of them, by chance, the second follows the first, in the other it is any other.

    Args:
        sentences: List of sentences in their order, at least 3.
        seed: Seed of the draws.
        documents: For each sentence the number of its document, or None for one document. Pairs begin where the next
            sentence is of the same document; with several documents a false second one is of another document.

    Returns:
        `(first, second, is_next)`: two lists of sentences, and Booleans (pairs,).

    Raises:
        ValueError: If there are too few sentences, or no pair.

    Source: Devlin et al. 2019, section 3.1, task 2.
    """
    n = whole("sentences: number", len(sentences), 3)
    document = shape("documents", np.zeros(n, int) if documents is None else np.asarray(documents), n)
    begins = np.flatnonzero(document[1:] == document[:-1])
    if not len(begins):
        raise ValueError("documents: expected two neighbours in one document, got none")
    rng, several = np.random.default_rng(seed), len(np.unique(document)) > 1
    is_next, second = rng.random(len(begins)) < 0.5, begins + 1
    for pair in np.flatnonzero(~is_next):
        at = begins[pair]
        others = np.flatnonzero(document != document[at]) if several else np.delete(np.arange(n), [at, at + 1])
        second[pair] = rng.choice(others)
    return [sentences[i] for i in begins], [sentences[i] for i in second], is_next


def pack_pair(first, second, cls_id, sep_id, length):
    """Two sentences as one row: [CLS] first [SEP] second [SEP], then zeros. Too long a pair loses its longer ends.

    Args:
        first, second: Ids, lists or arrays (words,).
        cls_id, sep_id: Ids of the token before the first sentence and of the one behind each.
        length: Length of the row, at least 5.

    Returns:
        `(ids, segments)`, int32 (length,): segments are 1 from the second sentence to its [SEP], else 0.

    Source: Devlin et al. 2019, figure 2.
    """
    first, second = list(first), list(second)
    while len(first) + len(second) > whole("length", length, 5) - 3:
        (first if len(first) > len(second) else second).pop()
    row = [cls_id, *first, sep_id, *second, sep_id]
    ids, segments = np.zeros((2, length), np.int32)
    ids[: len(row)], segments[len(first) + 2 : len(row)] = row, 1
    return ids, segments


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


def _ids_below(name, ids, size):
    ids = np.asarray(ids)
    if ids.size == 0 or ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= size:
        raise ValueError(f"{name}: expected whole numbers from 0 to {size - 1}, at least one")
    return ids

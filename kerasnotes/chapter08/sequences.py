"""An embedding is a one-hot vector times a matrix, and a mask makes padding invisible.

What the reader should see: sentences become words, words become numbers, and sentences of different lengths become one
rectangular table. A one-hot vector tells which word it is and nothing else: any two words are equally far apart.
Multiplying it by a matrix picks a row, so an embedding layer looks the row up and saves the multiplication. The zeros
behind a short sentence are not words; without a mask they overwrite what a recurrent network remembers.

Notes: chapter 08, "Words as numbers" (词的表示).
Source: Bengio et al. 2003, https://jmlr.org/papers/v3/bengio03a.html;
https://keras.io/guides/understanding_masking_and_padding.
"""

import re
from collections import Counter

import keras
import numpy as np
import tensorflow as tf
from matplotlib.patches import Rectangle

from kerasnotes import data, plots
from kerasnotes.parts import whole

PADDING, UNKNOWN = 0, 1  # the ids that every vocabulary reserves, as Keras does
SENTENCES = (
    "What is his name?",
    "Is he married or single?",
    "What a fine thing for our girls!",
    "You have no compassion on my poor nerves.",
)

SMOKE = {"characters": 60_000}
SECONDS = 1


def split_words(text):
    """Split a text into lower-case words and punctuation marks: `"It isn't so."` gives `["it", "isn't", "so", "."]`."""
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]", text.lower())


class Vocabulary:
    """Numbers for tokens: 0 is padding, 1 is any unknown token, then the most frequent token comes first.

    Tokens are words, or characters: a Python string is a sequence of characters. Among equally frequent tokens the one
    that appears first comes first.

    Args:
        tokens: The tokens of the training text, in order and with repetitions.
        max_tokens: Largest size, the two reserved ids included; rarer tokens become unknown. None keeps all.

    Attributes: `tokens`, the list from id to token, and `ids`, the dictionary from token to id.
    """

    def __init__(self, tokens, max_tokens=None):
        counts = Counter(tokens)
        reserved = ["<pad>", "<unk>"]
        if not counts or any(name in counts for name in reserved):
            raise ValueError(f"tokens: expected at least one, and none of {reserved}, got {len(counts)} different ones")
        if max_tokens is not None and max_tokens < 3:
            raise ValueError(f"max_tokens: expected at least 3, two of them reserved, got {max_tokens!r}")
        room = None if max_tokens is None else max_tokens - len(reserved)
        self.tokens = reserved + [token for token, _ in counts.most_common(room)]
        self.ids = {token: number for number, token in enumerate(self.tokens)}

    def __len__(self):
        return len(self.tokens)

    def encode(self, tokens):
        """The id of every token, as a list of int."""
        return [self.ids.get(token, UNKNOWN) for token in tokens]

    def decode(self, ids):
        """The token of every id, as a list of str."""
        for number in ids:
            if not 0 <= number < len(self.tokens):
                raise ValueError(f"ids: expected ids from 0 to {len(self.tokens) - 1}, got {number}")
        return [self.tokens[int(number)] for number in ids]


def one_hot(ids, size):
    """A vector for every id, 1 at the id's place and 0 elsewhere.

    Args:
        ids: Integers (...), from 0 to size - 1. Others are refused; `tf.one_hot` turns them into zeros without a word,
            and so does this function in compiled code, where there are no values to look at yet.
        size: Length of the vectors, the number of tokens in the vocabulary.

    Returns:
        Tensor (..., size), float32.
    """
    ids = _checked_ids(ids, size)
    return tf.cast(ids[..., tf.newaxis] == tf.range(size, dtype=ids.dtype), tf.float32)


def embedding_product(ids, table):
    """Embed ids the long way, one-hot vectors times the table.

    Args:
        ids: Integers (...), from 0 to size - 1.
        table: One vector for each token (size, features), trained like any weight matrix.

    Returns:
        Tensor (..., features), of the table's type.
    """
    table = tf.convert_to_tensor(table)
    return tf.tensordot(
        tf.cast(one_hot(ids, table.shape[0]), table.dtype), table, axes=1
    )  # (..., size) · (size, features)


def embedding_lookup(ids, table):
    """Embed ids the short way, by picking rows of the table. Arguments and result as in `embedding_product`."""
    return tf.gather(table, _checked_ids(ids, table.shape[0]))


def pad(sequences, value=0):
    """Write sequences of different lengths into one array, each from the left, and fill up with `value`.

    Args:
        sequences: Sequences of numbers, each with at least one.
        value: The number that fills up; if it also occurs in a sequence, `mask` cannot tell the two apart.

    Returns:
        NumPy array (batch, longest), int32 if all numbers are integers, otherwise float32.
    """
    rows = [np.asarray(sequence) for sequence in sequences]
    if not rows:
        raise ValueError("sequences: expected at least one sequence, got none")
    for number, row in enumerate(rows):
        if row.ndim != 1 or row.size == 0 or row.dtype.kind not in "biuf":
            raise ValueError(f"sequences[{number}]: expected a list of numbers, not empty, got {sequences[number]!r}")
    whole = all(row.dtype.kind != "f" for row in [*rows, np.asarray(value)])
    padded = np.full((len(rows), max(map(len, rows))), value, dtype=np.int32 if whole else np.float32)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return padded


def mask(padded, value=0):
    """True where `padded` (batch, steps) holds a real token, False at padding; a tensor for a tensor, else an array."""
    padded = padded if tf.is_tensor(padded) else np.asarray(padded)
    if len(padded.shape) != 2:
        raise ValueError(f"padded: expected the shape (batch, steps), got {tuple(padded.shape)}")
    return padded != value


def _checked_ids(ids, size):
    ids = tf.convert_to_tensor(ids)
    whole("size", size)
    if not ids.dtype.is_integer:
        raise ValueError(f"ids: expected integers, got {ids.dtype.name}")
    if tf.executing_eagerly():  # while a tf.function is being traced there are no values to look at
        values = ids.numpy()
        if values.size == 0 or values.min() < 0 or values.max() >= size:
            found = f"{values.min()} to {values.max()}" if values.size else "none"
            raise ValueError(f"ids: expected ids from 0 to {size - 1}, got {found}")
    return tf.cast(ids, tf.int64)  # the types of pictures and of texts hold no number above 255


def example():
    """Two sentences as ids, and their vectors: by Keras's Embedding, by look-up and by a product."""
    sentences = [split_words(text) for text in ("What is his name?", "His name is Bingley.")]
    vocabulary = Vocabulary([word for sentence in sentences for word in sentence])
    ids = pad([vocabulary.encode(sentence) for sentence in (*sentences, ["Bingley", "?"])])  # (batch, steps)
    print(vocabulary.tokens, ids, sep="\n")
    layer = keras.layers.Embedding(len(vocabulary), 4, mask_zero=True)
    vectors = layer(ids)  # (batch, steps, 4)
    table = layer.embeddings.value
    for embed in (embedding_lookup, embedding_product):
        print("largest difference from Keras's:", float(tf.reduce_max(tf.abs(embed(ids, table) - vectors))))
    print("the mask is Keras's:", bool(np.all(mask(ids) == layer.compute_mask(ids))))


def lesson(
    report, *, characters: int = 684_768, max_tokens: int = 1000, features: int = 16, padding: int = 12, seed: int = 0
):
    """From sentences of a novel to numbers, vectors and masks.

    Args:
        report: The report to write to.
        characters: Length of the text to read, from the novel's beginning (10000 to 684768).
        max_tokens: Size of the vocabulary, padding and unknown included (3 to 10000).
        features: Length of an embedding vector and of the recurrent state (2 to 1024).
        padding: Padding behind the longest sentence in the experiment on masks, in steps (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    words = split_words(data.novel()[:characters])
    vocabulary = Vocabulary(words, max_tokens)
    ids = pad([vocabulary.encode(split_words(sentence)) for sentence in SENTENCES])  # (batch, steps)
    table = np.random.default_rng(seed).normal(size=(len(vocabulary), features)).astype(np.float32)
    _words_become_numbers(report, words, ids)
    _numbers_become_vectors(report, ids, table, seed)
    _padding_disappears(report, np.pad(ids, [(0, 0), (0, padding)]), table, seed)


def _words_become_numbers(report, words, ids):
    everything = Vocabulary(words)
    report.check("decoding the encoded novel gives its words back", everything.decode(everything.encode(words)), words)
    rows = [row[row != PADDING] for row in ids]
    report.check("pad equals Keras's pad_sequences", ids, keras.utils.pad_sequences(rows, padding="post"))
    report.note("Keras's pad_sequences fills up at the front by default; here, and with padding='post', at the end.")
    cut = len(words) * 4 // 5
    coverage = []
    for size in (100, 300, 1000, 3000, None):
        known = Vocabulary(words[:cut], size)
        unknown = [100 * np.mean(np.array(known.encode(part)) == UNKNOWN) for part in (words[:cut], words[cut:])]
        coverage.append([len(known), *(f"{share:.1f}" for share in unknown)])
    columns = ["vocabulary, tokens", "unknown in these four fifths, %", "unknown in the last fifth, %"]
    report.table("How much of the novel the vocabulary of its first four fifths covers", columns, coverage)
    report.figure(
        "Sentences become a table of numbers",
        _draw(ids),
        alt="A grid with one sentence in each row. Every cell shows a word and its id; cells of unknown words are "
        "orange and hold id 1; the cells behind the shorter sentences are grey and hold id 0.",
    )


def _numbers_become_vectors(report, ids, table, seed):
    size, features = table.shape
    vectors = one_hot(np.arange(size), size)
    cosines = vectors @ tf.transpose(vectors)  # the vectors have length 1
    report.check("cosine of any two different one-hot vectors is 0", cosines, np.eye(size))
    layer = keras.layers.Embedding(size, features)
    layer.build()
    layer.set_weights([table])
    weights = layer.embeddings.value  # one variable for all three ways
    upstream = np.random.default_rng((seed, 1)).normal(size=(*ids.shape, features)).astype(np.float32)
    results = []
    for embed in (embedding_product, embedding_lookup, lambda ids, _: layer(ids)):
        with tf.GradientTape() as tape:
            output = embed(ids, weights)  # (batch, steps, features)
            value = tf.reduce_sum(upstream * output)
        results.append((output.numpy(), tf.convert_to_tensor(tape.gradient(value, weights)).numpy()))
    product, lookup, keras_layer = results
    report.check("one-hot product equals look-up: output and gradient", product, lookup)
    report.check("look-up equals Keras's Embedding: output and gradient", lookup, keras_layer)
    summed = np.zeros_like(table)
    np.add.at(summed, ids, upstream)
    report.check("a word's gradient is the sum over all the places where it stands", lookup[1], summed)
    report.note(
        f"For these {ids.size} places the product writes down {ids.size * size:,} zeros and ones and multiplies "
        f"{ids.size * size * features:,} times; the look-up copies {ids.size * features:,} numbers."
    )


def _padding_disappears(report, ids, table, seed):
    embedding = keras.layers.Embedding(*table.shape, mask_zero=True)
    embedding.build()
    embedding.set_weights([table])
    initializers = keras.initializers.GlorotUniform(seed=seed), keras.initializers.Orthogonal(seed=seed)
    recurrent = keras.layers.SimpleRNN(
        table.shape[1], kernel_initializer=initializers[0], recurrent_initializer=initializers[1]
    )
    report.check("mask equals that of Keras's Embedding", mask(ids), embedding.compute_mask(ids))
    alone = np.concatenate([recurrent(embedding(row[np.newaxis, row != PADDING])) for row in ids])  # nothing padded
    report.check("last state of padded sentences equals that of unpadded ones", recurrent(embedding(ids)), alone)
    vectors = tf.Variable(embedding_lookup(ids, table))
    with tf.GradientTape() as tape:
        states = recurrent(vectors, mask=mask(ids))
    report.check("so it does with our look-up and our mask", states, alone)
    gradient = tape.gradient(states, vectors).numpy()
    report.check("padding gets no gradient", np.any(gradient != 0, axis=-1), mask(ids))
    moved = np.linalg.norm(recurrent(vectors) - alone, axis=-1) / np.linalg.norm(alone, axis=-1)
    report.at_least("without a mask the last state moves, by a part of its length", moved, 0.1)


def _draw(ids):
    figure, ax = plots.subplots(figsize=(11, 4))
    colours = {"known word": "#d3e5f3", "unknown word, id 1": "#ffbc79", "padding, id 0": "#e4e4e4"}
    for (row, column), number in np.ndenumerate(ids):
        kind = {PADDING: "padding, id 0", UNKNOWN: "unknown word, id 1"}.get(int(number), "known word")
        ax.add_patch(Rectangle((column, row), 1, 1, facecolor=colours[kind], edgecolor="white", linewidth=3))
        ax.text(column + 0.5, row + 0.68, str(number), ha="center", va="center", fontsize=15, weight="bold")
        if number != PADDING:
            ax.text(column + 0.5, row + 0.3, split_words(SENTENCES[row])[column], ha="center", va="center", fontsize=13)
    handles = [Rectangle((0, 0), 1, 1, facecolor=colour) for colour in colours.values()]
    figure.legend(handles, list(colours), ncols=3, loc="outside lower center", frameon=False, fontsize=12)
    ax.set(xlim=(0, ids.shape[1]), ylim=(len(ids), 0), xlabel="step", ylabel="sentence")
    ax.set_xticks(np.arange(ids.shape[1]) + 0.5, np.arange(1, ids.shape[1] + 1))
    ax.set_yticks(np.arange(len(ids)) + 0.5, np.arange(1, len(ids) + 1))
    ax.grid(False)
    ax.set_title("Words become ids, sentences become rows of one table")
    return figure

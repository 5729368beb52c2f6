"""A word with two senses has two vectors, if a language model reads the words around it; one side tells nearly all.

A table of vectors has one row for each word, whatever it means in a sentence. ELMo takes the states of two recurrent
language models instead, one that reads forward and one that reads backward. What the reader should see: forward states
know nothing of later words, backward states nothing of earlier ones; the layers are mixed by weights of their own; and
on texts whose hidden senses are known, a linear probe finds the sense of an ambiguous word in both states together
nearly always, and in the table hardly better than by the majority.

Notes: chapter 14, "ELMo" (ELMo词向量).
Source: Peters et al. 2018, arXiv:1802.05365, section 3 and equation 1.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots, training
from kerasnotes.parts import floating, layer_seeds, positive, shape, whole

SMOKE = {"samples": 128, "epochs": 1, "units": 4, "embedding_size": 4}
SECONDS = 5


class BidirectionalLanguageModel(keras.Model):
    """Two LSTMs that predict the next word and the word before, with one embedding and one head for both.

    Called with ids (batch, steps) it returns logits (batch, steps - 1, 2, vocabulary): for each pair of neighbours the
    second word from the words up to the first, and the first word from the words from the second on.

    Args:
        vocabulary_size: Number of ids.
        embedding_size: Numbers for a word.
        units: Units of each LSTM.
        seed: Seed of the initial weights.
    """

    def __init__(self, vocabulary_size, embedding_size, units, seed=0):
        super().__init__()
        seeds = layer_seeds(seed)
        self.embedding = keras.layers.Embedding(
            whole("vocabulary_size", vocabulary_size, 2), whole("embedding_size", embedding_size),
            embeddings_initializer=keras.initializers.RandomNormal(stddev=0.1, seed=next(seeds)))  # fmt: skip
        self.forward, self.backward = (
            keras.layers.LSTM(whole("units", units), return_sequences=True, go_backwards=backwards,
                              kernel_initializer=keras.initializers.GlorotUniform(next(seeds)),
                              recurrent_initializer=keras.initializers.Orthogonal(seed=next(seeds)))
            for backwards in (False, True)
        )  # fmt: skip
        self.head = keras.layers.Dense(
            vocabulary_size, kernel_initializer=keras.initializers.GlorotUniform(next(seeds))
        )
        self.embedding.build()
        self.forward.build((None, None, embedding_size)), self.backward.build((None, None, embedding_size))
        self.head.build((None, None, units))
        self.built = True

    def encode(self, ids):
        """The layers for each word: `[static, forward, backward]`, (batch, steps, embedding_size) and twice units."""
        x = self.embedding(shape("ids", tf.convert_to_tensor(ids), None, None))
        return [x, self.forward(x), tf.reverse(self.backward(x), [1])]  # Keras leaves the last word's state first

    def call(self, ids):
        _, forward, backward = self.encode(ids)
        return self.head(tf.stack([forward[:, :-1], backward[:, 1:]], axis=2))


def both_ways(ids):
    """Targets for the model: ids (batch, steps) to (batch, steps - 1, 2), the next word and the word before."""
    ids = shape("ids", np.asarray(ids), None, None)
    return np.stack([ids[:, 1:], ids[:, :-1]], axis=2)


def sum_of_directions(targets, logits):
    """Cross-entropy in nats: the mean forward plus the mean backward, from `both_ways` and the model's logits."""
    return tf.reduce_sum(tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.cast(targets, tf.int32), logits=logits), axis=(0, 1)
    ))  # fmt: skip


def scalar_mix(layers, weights, gamma):
    """One vector from several layers: γ Σ softmax(w)_j h_j.

    Args:
        layers: List of tensors of one shape (..., units).
        weights: One number for each layer, before the softmax.
        gamma: Factor of the whole.

    Returns:
        Tensor (..., units).

    Raises:
        ValueError: If the layers differ in shape, or the weights in number.

    Source: Peters et al. 2018, equation 1.
    """
    layers = [shape("layers", floating("layers", layer), *layers[0].shape) for layer in layers]
    weights = shape("weights", floating("weights", weights), len(layers))
    shares = tf.unstack(tf.nn.softmax(tf.cast(weights, layers[0].dtype)), len(layers))
    return gamma * tf.add_n([share * layer for share, layer in zip(shares, layers, strict=True)])


def ambiguous_chain(samples, steps, seed=0, classes=10, words=30):
    """Texts with hidden senses: a class for each place, and a word of the class, of which some belong to two.

    The next class follows by one of two random permutations, equally likely. A class has `words` words, equally likely.
    Classes come in pairs that share words, so that a quarter of the vocabulary stands for two classes.

    Args:
        samples, steps: Number of texts and their length.
        seed: Seed of permutations and texts.
        classes: Number of classes, even and at least 4.
        words: Words of a class, of which two fifths are shared.

    Returns:
        `(ids, classes)`, each (samples, steps) int32. The ids of shared words come first: with c classes and s shared
        words, word k of pair q is q · s + k and stands for the classes 2q and 2q + 1.
    """
    whole("samples", samples), whole("steps", steps), whole("classes", classes, 4), whole("words", words, 5)
    if classes % 2 or words % 5:
        raise ValueError(f"classes, words: expected an even number and a multiple of 5, got {classes!r} and {words!r}")
    rng = np.random.default_rng(seed)
    first = second = rng.permutation(classes)
    while np.any(first // 2 == second // 2):  # what may follow a class shall never be two classes that share words
        first, second = rng.permutation(classes), rng.permutation(classes)
    hidden = np.empty((samples, steps), np.int32)
    hidden[:, 0] = rng.integers(classes, size=samples)
    for step in range(1, steps):
        before = hidden[:, step - 1]
        hidden[:, step] = np.where(rng.random(samples) < 0.5, first[before], second[before])
    shared = 2 * words // 5
    drawn = rng.integers(words, size=hidden.shape)
    own = classes // 2 * shared + hidden * (words - shared) + drawn - shared
    return np.where(drawn < shared, hidden // 2 * shared + drawn, own).astype(np.int32), hidden


def linear_probe(train, labels, test, ridge=1e-3):
    """Which of two labels? The sign of a linear map that is fitted in closed form.

    Args:
        train: Vectors (n, features); labels: (n,), 0 or 1; test: vectors (m, features).
        ridge: Factor of the squared weights, so that the map is unique.

    Returns:
        Integers (m,), 0 or 1.
    """
    mean, scale = train.mean(axis=0), train.std(axis=0) + 1e-9
    a, b = (np.hstack([(x - mean) / scale, np.ones((len(x), 1))]).astype(np.float64) for x in (train, test))
    w = np.linalg.solve(a.T @ a + positive("ridge", ridge) * len(a) * np.eye(a.shape[1]), a.T @ (2.0 * labels - 1.0))
    return (b @ w > 0).astype(int)


def example():
    """Equal weights make the mean of the layers, and a forward state is that of Keras's LSTM."""
    layers = [tf.constant([[1.0, 2.0]]), tf.constant([[3.0, 6.0]])]
    print("mix of two layers, γ = 2:", scalar_mix(layers, [0.0, 0.0], 2.0).numpy())
    model = BidirectionalLanguageModel(vocabulary_size=9, embedding_size=4, units=3, seed=1)
    ids = np.array([[4, 1, 7, 2]])
    x, forward, _ = model.encode(ids)
    lstm = keras.layers.LSTM(3, return_sequences=True)
    lstm.build((None, None, 4))
    lstm.set_weights(model.forward.get_weights())
    print("largest difference from layers.LSTM:", float(tf.reduce_max(tf.abs(lstm(x) - forward))))


def lesson(report, *, samples: int = 4000, epochs: int = 4, embedding_size: int = 16, units: int = 32, seed: int = 0):
    """Look at what the states know, then train on texts with known senses, and ask a linear probe for them.

    Args:
        report: The report to write to.
        samples: Texts to train on (64 to 1000000).
        epochs: Training epochs (1 to 1000).
        embedding_size: Numbers for a word (2 to 1024).
        units: Units of each LSTM (2 to 1024).
        seed: Seed of texts and weights (0 to 4294967295).
    """
    _states(report, seed)
    ids, classes = ambiguous_chain(samples + 300, 20, seed)
    model = BidirectionalLanguageModel(240, embedding_size, units, seed)
    rate = keras.optimizers.schedules.CosineDecay(1e-2, epochs * -(-samples // 64))
    model.compile(keras.optimizers.Adam(rate), sum_of_directions)
    texts = ids[:samples]
    training.fit(
        model, texts, both_ways(texts), batch_size=64, epochs=epochs, seed=seed, form="loop", track=report.track
    )
    _senses(report, model, ids[samples:], classes[samples:])


def _states(report, seed):
    model = BidirectionalLanguageModel(12, 4, 5, (seed, 1))
    ids = np.random.default_rng((seed, 2)).integers(12, size=(6, 9))
    changed = ids.copy()
    changed[:, 4] = (ids[:, 4] + 1) % 12
    (_, forward, backward), after = model.encode(ids), model.encode(changed)
    report.check(
        "another word in the middle: forward states before it", after[1][:, :4], forward[:, :4], rtol=0, atol=0
    )
    report.check("backward states behind it", after[2][:, 5:], backward[:, 5:], rtol=0, atol=0)
    moved = [float(np.abs(a - b).max(axis=(0, 2))[k]) for a, b, k in ((after[1], forward, 8), (after[2], backward, 0))]
    report.at_least("the far ends do change: last forward and first backward state", moved, 1e-6)
    logits, targets = model(ids), both_ways(ids)
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    want = sum(entropy(targets[..., k], logits[:, :, k]) for k in (0, 1))
    report.check("the loss is Keras's, forward plus backward", sum_of_directions(targets, logits), want)
    mix = scalar_mix([forward, backward], [0.3, 0.3], 2.0)
    report.check("mix of equal weights: the mean times γ", mix, forward + backward)
    report.check(
        "mix with one weight far above: that layer", scalar_mix([forward, backward], [50.0, 0.0], 1.0), forward
    )


def _senses(report, model, ids, classes):
    """A probe fitted on 100 texts, judged on 200; words with ids below 60 stand for two classes."""
    static, forward, backward = (layer.numpy() for layer in model.encode(ids))
    kinds = {"static": static, "forward": forward, "backward": backward,
             "mixed": scalar_mix([forward, backward], [0.0, 0.0], 1.0).numpy(),
             "both": np.concatenate([forward, backward], axis=2)}  # fmt: skip
    double, label = ids < 60, classes % 2
    train, test = double[:100], double[100:]
    right = {}
    for name, vectors in kinds.items():
        found = linear_probe(vectors[:100][train], label[:100][train], vectors[100:][test])
        right[name] = float(np.mean(found == label[100:][test]))
    report.table("Share of ambiguous words whose sense a linear probe finds", ["vectors", "share"], list(right.items()))
    report.at_most("static vectors: senses found", right["static"], 0.6, trained=True)
    report.at_least("forward and backward states: senses found", right["both"], 0.95, trained=True)
    counts = np.bincount(ids[double])
    one = ids == counts.argmax()
    x = np.concatenate([forward, backward], axis=2)[one]
    axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:2]
    points = (x - x.mean(axis=0)) @ axes.T
    figure, ax = plots.subplots(figsize=(6.5, 5))
    for sense, style in ((0, "oC0"), (1, "^C1")):
        ax.plot(*points[label[one] == sense].T, style, markersize=6, alpha=0.8, label=f"sense {sense + 1}")
    ax.set(xlabel="first principal axis", ylabel="second principal axis", title="One word at all its places")
    ax.legend()
    alt = "States of one ambiguous word at all its places, on two principal axes: each of its senses has its own cloud."
    report.figure("One word at all its places", figure, alt=alt)
    report.note("ELMo has two layers of LSTMs and reads characters; here each direction has one layer and reads words.")

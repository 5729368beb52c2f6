"""A word is known by the company it keeps: vectors from counts, and vectors from predicting neighbours.

What the reader should see: nobody tells what a word means, and yet words of one kind end up together, mother beside
father and sister, because they have the same neighbours. Counting neighbours and taking a matrix apart gives such
vectors; so does predicting neighbours, whose best inner products are logarithms of the same counts. On one novel, near
neighbours make words of one kind alike in both ways; with far ones counting finds topics instead.

Notes: chapter 08, "Word vectors" (词向量).
Source: Mikolov et al. 2013, arXiv:1310.4546 (negative sampling); Mikolov et al. 2013, arXiv:1301.3781 (skip-gram and
CBOW); Levy and Goldberg 2014, https://papers.nips.cc/paper/5477-neural-word-embedding-as-implicit-matrix-factorization;
Levy, Goldberg, Dagan 2015, doi:10.1162/tacl_a_00134.
"""

import itertools

import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter08.counting_models import text_ids
from kerasnotes.chapter08.sequences import Vocabulary, split_words
from kerasnotes.parts import positive, shape, whole

SMOKE = {"epochs": 1, "size": 8}
SECONDS = 14

WORD_CLASSES = {
    "kin": "mother father sister brother aunt uncle daughter husband wife cousin",
    "people": "man woman girl lady gentleman ladies gentlemen", "numbers": "two three four five six ten twenty",
    "modals": "must may might can could will would shall should", "pronouns": "i you he she we they",
    "reflexives": "myself yourself himself herself themselves", "speech": "said cried replied added continued",
    "places": "netherfield longbourn meryton rosings pemberley hunsford london hertfordshire",
    "first names": "elizabeth jane lydia mary kitty charlotte", "surnames": "darcy bingley wickham collins gardiner",
}  # fmt: skip


def cooccurrence(ids, vocabulary_size, window):
    """How often one word of a text `ids` (length,) stands within `window` words of another: (words, words)."""
    ids = text_ids("ids", ids, 1, whole("vocabulary_size", vocabulary_size)).astype(np.int64)
    pairs = [ids[:-offset] * vocabulary_size + ids[offset:] for offset in range(1, whole("window", window) + 1)]
    counts = np.bincount(np.concatenate(pairs), minlength=vocabulary_size**2).reshape(vocabulary_size, -1)
    return (counts + counts.T).astype(np.float64)


def ppmi(counts, smoothing=0.75):
    """Positive pointwise mutual information: log of how much more often a pair occurs than by chance, 0 if less often.

    Counts are (words, contexts). A power `smoothing` below 1 of the contexts' frequencies makes rare ones less special.

    Source: Levy, Goldberg, Dagan 2015.
    """
    counts = shape("counts", np.asarray(counts, np.float64), None, None)
    words, contexts = counts.sum(axis=1), counts.sum(axis=0) ** positive("smoothing", smoothing)
    chance = np.outer(words, contexts / contexts.sum())
    return np.log(np.maximum(np.divide(counts, chance, out=np.ones_like(counts), where=chance > 0), 1.0))


def svd_vectors(matrix, size):
    """Vectors (words, size) and (contexts, size) whose inner products come nearest to a matrix (words, contexts)."""
    left, values, right = np.linalg.svd(shape("matrix", np.asarray(matrix), None, None), full_matrices=False)
    roots = np.sqrt(values[: whole("size", size)])
    return left[:, :size] * roots, right[:size].T * roots


def skip_gram_pairs(ids, window, seed):
    """Ids `(centers, contexts)` of words and neighbours. Each word draws how far it looks, 1 to `window`.

    Source: Mikolov et al. 2013, arXiv:1301.3781.
    """
    ids = text_ids("ids", ids, 2)
    reach, pairs = np.random.default_rng(seed).integers(1, whole("window", window) + 1, len(ids)), []
    for offset in range(1, window + 1):
        before, after = slice(None, -offset), slice(offset, None)
        for center, context in ((before, after), (after, before)):
            looks = reach[center] >= offset
            pairs.append((ids[center][looks], ids[context][looks]))
    return tuple(np.concatenate(each) for each in zip(*pairs, strict=True))


def cbow_windows(ids, window):
    """Every word with all of its neighbours: `(contexts, centers)`, (places, 2 · window) and (places,)."""
    ids = text_ids("ids", ids, 2 * whole("window", window) + 1)
    views = np.lib.stride_tricks.sliding_window_view(ids, 2 * window + 1)
    return np.delete(views, window, axis=1), views[:, window]


def negative_table(counts, power=0.75):
    """Probabilities of drawing each word as a negative: its count to a power, so that rare words come up more often.

    Source: Mikolov et al. 2013, arXiv:1310.4546.
    """
    weights = shape("counts", np.asarray(counts, np.float64), None) ** power
    return weights / weights.sum()


def negative_sampling_loss(center, context, negatives):
    """Tell a true neighbour from k drawn words: -log σ(c·o) - Σ log σ(-c·n), (batch,).

    The vectors c and o are (batch, size), n are (batch, k, size). With CBOW, c is the mean of the neighbours' vectors.

    Source: Mikolov et al. 2013, arXiv:1310.4546.
    """
    right, wrong = tf.einsum("bs,bs->b", center, context), tf.einsum("bs,bks->bk", center, negatives)
    return tf.nn.softplus(-right) + tf.reduce_sum(tf.nn.softplus(wrong), axis=1)


def skip_gram_gradient(center, context, negatives):
    """The slopes of the sum of `negative_sampling_loss` by its three arguments, by hand, in their shapes."""
    right = tf.sigmoid(tf.einsum("bs,bs->b", center, context)) - 1.0
    wrong = tf.sigmoid(tf.einsum("bs,bks->bk", center, negatives))
    by_center = right[:, None] * context + tf.einsum("bk,bks->bs", wrong, negatives)
    return by_center, right[:, None] * center, wrong[:, :, None] * center[:, None]


def train_skip_gram(ids, vocabulary_size, size=64, window=2, negatives=5, epochs=30, learning_rate=0.1, batch_size=512,
                    seed=0):  # fmt: skip
    """Train `(vectors, context_vectors)`, arrays (vocabulary_size, size), to predict a word's neighbours from it.

    Args:
        ids: A text (length,), integers from 0 to vocabulary_size - 1.
        vocabulary_size, size, window: Number of words, numbers in a vector, how far neighbours may be.
        negatives, batch_size: Drawn words for each pair, and pairs of a step.
        epochs, learning_rate, seed: Passes over the text, the first rate, which falls to 0 in a line, and a seed.
    """
    pairs = (skip_gram_pairs(ids, window, (seed, epoch)) for epoch in range(whole("epochs", epochs)))
    examples = ((centers[:, None], contexts) for centers, contexts in pairs)
    return _train(examples, ids, vocabulary_size, size, negatives, epochs, learning_rate, batch_size, seed)


def train_cbow(ids, vocabulary_size, size=64, window=2, negatives=5, epochs=30, learning_rate=0.1, batch_size=512,
               seed=0):  # fmt: skip
    """Train vectors to predict each word from the mean of its neighbours'. Arguments, result: `train_skip_gram`."""
    examples = itertools.repeat(cbow_windows(ids, window), whole("epochs", epochs))
    return _train(examples, ids, vocabulary_size, size, negatives, epochs, learning_rate, batch_size, seed)


def _train(examples, ids, vocabulary_size, size, negatives, epochs, learning_rate, batch_size, seed):
    """Descent, one pass for each pair of `examples`: words that are given (n, words), and the word to guess (n,)."""
    counts = np.bincount(text_ids("ids", ids, 2, vocabulary_size), minlength=vocabulary_size)
    rng, ends = np.random.default_rng((seed, 1)), np.cumsum(negative_table(counts))
    table = np.searchsorted(ends, (np.arange(1 << 20) + 0.5) / (1 << 20)).astype(np.int32)  # drawing is looking up
    vectors = tf.constant(rng.uniform(-0.5, 0.5, (vocabulary_size, size)) / size, tf.float32)
    context_vectors = tf.zeros_like(vectors)
    for epoch, (given, wanted) in enumerate(examples):
        steps = max(1, len(wanted) // batch_size)
        order = rng.permutation(len(wanted))[: steps * batch_size].reshape(steps, -1)
        drawn = table[rng.integers(0, len(table), (*order.shape, negatives), np.int32)]
        rates = learning_rate * (1 - (epoch + np.arange(steps) / steps) / epochs)
        batches = given[order], wanted[order], drawn, tf.constant(rates, tf.float32)
        vectors, context_vectors = _pass(vectors, context_vectors, *batches)
    if not tf.reduce_all(tf.math.is_finite(vectors)):
        raise ValueError(f"learning_rate: expected one at which training does not diverge, got {learning_rate!r}")
    return vectors.numpy(), context_vectors.numpy()


@tf.function(jit_compile=True)
def _pass(vectors, context_vectors, given, wanted, drawn, rates):
    def one(step, vectors, contexts):
        near, far = given[step], drawn[step]
        center = tf.reduce_mean(tf.gather(vectors, near), axis=1)  # (batch, size)
        slopes = skip_gram_gradient(center, tf.gather(contexts, wanted[step]), tf.gather(contexts, far))
        by_center, by_context, by_negative = (-rates[step] * slope for slope in slopes)
        shared = tf.repeat(by_center[:, None] / near.shape[1], near.shape[1], axis=1)
        vectors = tf.tensor_scatter_nd_add(vectors, near[:, :, None], shared)
        contexts = tf.tensor_scatter_nd_add(contexts, wanted[step][:, None], by_context)
        return step + 1, vectors, tf.tensor_scatter_nd_add(contexts, far[:, :, None], by_negative)

    return tf.while_loop(lambda step, *_: step < rates.shape[0], one, (0, vectors, context_vectors))[1:]


def nearest(vectors, index, count):
    """The words whose vectors have the highest cosine with a word's, the word itself left out: indices (count,)."""
    unit = _unit(vectors)
    likeness = unit @ unit[index]
    likeness[index] = -np.inf
    return np.argsort(-likeness)[: whole("count", count)]


def same_class_share(vectors, classes):
    """Share of vectors (n, size) whose nearest neighbour by cosine is of the same class; classes (n,)."""
    unit, classes = _unit(vectors), np.asarray(classes)
    likeness = unit @ unit.T
    np.fill_diagonal(likeness, -np.inf)
    return float(np.mean(classes[likeness.argmax(axis=1)] == shape("classes", classes, len(unit))))


def _unit(vectors):
    vectors = shape("vectors", np.asarray(vectors, np.float64), None, None)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def example():
    """Seven sentences: words with the same neighbours get the same vector, by counting and by predicting."""
    text = "a cat sleeps . a dog sleeps . the cat eats . the dog eats . a man reads . the man reads . the man sleeps ."
    vocabulary = Vocabulary(text.split())
    ids = vocabulary.encode(text.split())
    counted, _ = svd_vectors(ppmi(cooccurrence(ids, len(vocabulary), 1)), 4)
    trained, _ = train_skip_gram(ids, len(vocabulary), size=4, window=1, epochs=200, batch_size=8)
    for name, vectors in (("counted", counted), ("predicted", trained)):
        print(f"{name}: nearest to cat:", vocabulary.decode(nearest(vectors, vocabulary.ids["cat"], 2)))
    center, context, negatives = np.float32([[1, 0]]), np.float32([[2, 0]]), np.float32([[[0, 1], [-1, 0]]])
    theirs = tf.nn.sigmoid_cross_entropy_with_logits([1.0, 0.0, 0.0], [2.0, 0.0, -1.0])  # the three inner products
    print("TensorFlow:", theirs.numpy().sum(), "ours:", negative_sampling_loss(center, context, negatives).numpy()[0])


def lesson(report, *, epochs: int = 20, size: int = 32, seed: int = 0):
    """Check the formulas on small cases, then give the words of a novel vectors, by counting and by predicting.

    Args:
        report: The report to write to.
        epochs: Passes over the text with window 2; with window 5 fewer, for as much work (1 to 1000).
        size: Numbers in a vector that is learnt by predicting (2 to 1024).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _slopes(report, rng)
    _optimum(report, rng)
    words = [word for word in split_words(data.novel()) if word[0].isalpha()]
    vocabulary = Vocabulary(words, 1226)  # the 1,224 words that occur ten times or more
    ids = np.array([number for number in vocabulary.encode(words) if number > 1])  # 1 is unknown
    _novel(report, vocabulary, ids, epochs, size, seed)


def _slopes(report, rng):
    """Skip-gram: one word is given. CBOW: the mean of four, each of which gets a quarter of the slope."""
    for name, given in (("skip-gram", 1), ("CBOW", 4)):
        words, context, negatives = (tf.constant(rng.normal(size=size)) for size in ((6, given, 8), (6, 8), (6, 5, 8)))
        with tf.GradientTape() as tape:
            tape.watch([words, context, negatives])
            case = tf.reduce_mean(words, axis=1), context, negatives
            loss = negative_sampling_loss(*case)
        by_center, *others = skip_gram_gradient(*case)
        ours = tf.repeat(by_center[:, None] / given, given, axis=1), *others
        got, want = (np.hstack([*map(np.ravel, each)]) for each in (tape.gradient(loss, [words, *case[1:]]), ours))
        report.check(f"{name}: the tape's slopes are those by hand", got, want)


def _optimum(report, rng, negatives=5):
    """Inner products that are free to be anything: for each pair a scalar problem, solved by Newton's method."""
    counts = rng.integers(1, 50, (6, 6)).astype(float)
    counts += counts.T
    chance = np.outer(counts.sum(axis=1), negative_table(counts.sum(axis=0), power=1.0))
    scores = np.zeros_like(counts)
    for _ in range(50):
        p = 1 / (1 + np.exp(-scores))
        scores += (counts * (1 - p) - negatives * chance * p) / ((counts + negatives * chance) * p * (1 - p))
    matrix = np.log(counts / chance)  # PMI
    report.check("free scores: the best are PMI - log k", scores, matrix - np.log(negatives), rtol=0, atol=1e-6)
    vectors, contexts = svd_vectors(matrix, 2)
    label, left_out = "two numbers a word: error is the singular values left out", np.linalg.svd(matrix)[1][2:]
    report.check(label, np.linalg.norm(matrix - vectors @ contexts.T), np.linalg.norm(left_out))


def _novel(report, vocabulary, ids, epochs, size, seed):
    total, rows, found = len(vocabulary), [], {}
    named = [(word, name) for name, words in WORD_CLASSES.items() for word in words.split()]
    places, classes = np.array(vocabulary.encode(word for word, _ in named)), [name for _, name in named]
    rest = {"size": size, "negatives": 5, "seed": seed}
    ways = {"counted": lambda window, passes: svd_vectors(ppmi(cooccurrence(ids, total, window)), 64),
            "skip-gram": lambda window, passes: train_skip_gram(ids, total, window=window, epochs=passes, **rest),
            "CBOW": lambda window, passes: train_cbow(ids, total, window=window, epochs=passes, **rest)}  # fmt: skip
    for name, way in report.track(list(ways.items()), "vectors"):
        found[name] = way(2, epochs), way(5, max(1, 2 * epochs // 5))
        near = vocabulary.decode(nearest(found[name][0][0], vocabulary.ids["mother"], 5))
        rows.append([name, *(same_class_share(each[0][places], classes) for each in found[name]), " ".join(near)])
    report.at_least("counted: words whose nearest is of the same class, share", rows[0][1], 0.85, trained=True)
    report.at_least("skip-gram: the same share", rows[1][1], 0.6, trained=True)
    report.at_most("counted with window 5, over that with window 2", rows[0][2] / rows[0][1], 0.9, trained=True)
    report.note("Whether counting or predicting is better depends on settings, as the two windows show.")
    report.table(f"{len(named)} words in ten classes: share whose nearest of them is of the same class (chance 0.1)",
                 ["vectors", "window 2", "window 5", "nearest to mother, window 2"], rows)  # fmt: skip
    _against_the_notes(report, ids, cooccurrence(ids, total, 2), found["skip-gram"][0])
    unit, sizes = _unit(found["counted"][0][0][places]), np.array([classes.count(name) for name in WORD_CLASSES])
    figure = plots.heatmap(unit @ unit.T, xlabel="words, by class", ylabel="", label="cosine", vmin=0, vmax=1,
                           title="Words of one class have like vectors", cmap="cividis")  # fmt: skip
    figure.axes[0].set_yticks(np.cumsum(sizes) - sizes / 2 - 0.5, WORD_CLASSES)
    figure.axes[0].set_xticks([])
    report.figure("Words of one class have like vectors", figure,
                  alt="Cosines between 68 words, sorted by class: squares along the diagonal for most.")  # fmt: skip


def _against_the_notes(report, ids, counts, trained):
    frequency = np.bincount(ids, minlength=len(counts))
    neighbours = frequency / len(ids) @ (counts > 0) @ negative_table(frequency)
    report.at_least("negatives that do occur next to the word, share", neighbours, 0.1)
    report.correction("negative samples", course="words that did not occur next to the word",
                      correct="drawn from all words by frequency^0.75; most of them did occur next to it somewhere",
                      shown_by="the share of such draws, summed over all words")  # fmt: skip
    pairs = np.nonzero(counts >= 5)
    products = (trained[0] @ trained[1].T)[pairs]
    often, chance = counts[pairs], np.outer(counts.sum(axis=1), counts.sum(axis=0))[pairs]
    ranks = [np.argsort(np.argsort(each)) for each in (products, often, often / chance)]  # PMI grows with the ratio
    by_count, by_pmi = np.corrcoef(ranks)[0, 1:]
    report.at_least("rank correlation: with PMI, less with counts", by_pmi - by_count, 0.0, trained=True)
    report.note(f"Skip-gram, pairs that occur five times or more: rank correlation of inner products with counts "
                f"{by_count:.2f}, with PMI {by_pmi:.2f}.")  # fmt: skip
    report.correction("inner products of word vectors", course="near the number of times two words occur together",
                      correct="near the logarithm of how much more often than by chance: PMI - log k at best",
                      shown_by="free scores at their optimum; rank correlations on the novel")  # fmt: skip

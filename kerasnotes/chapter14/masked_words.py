"""A model that fills gaps learns from the chosen words alone, and one chosen word in ten is left as it is.

BERT's pre-training makes its own questions. What the reader should see: fifteen words in a hundred are chosen, of which
most become a mask, some a random word, and some stay, so that no word can be trusted; places that were not chosen do
not enter the loss, and nothing is learnt from them; and how two sentences become one row with a question of its own,
whether the second follows the first.

Notes: chapter 14, "BERT" (BERT模型).
Source: Devlin et al. 2019, arXiv:1810.04805, section 3.1.
"""

import math
import re

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.parts import shape, share, whole

SMOKE = {"tokens": 20_000}
SECONDS = 2


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


def _ids_below(name, ids, size):
    ids = np.asarray(ids)
    if ids.size == 0 or ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= size:
        raise ValueError(f"{name}: expected whole numbers from 0 to {size - 1}, at least one")
    return ids


def example():
    """Eight words of which some are hidden; the loss beside Keras's; two sentences in one row."""
    ids = np.array([[3, 4, 5, 6, 7, 8, 9, 0]])  # (texts, steps); 0 is padding, 1 the mask
    inputs, targets, _ = mask_tokens(ids, vocabulary_size=10, mask_id=1, rate=0.4, seed=4)
    print("ids    ", ids[0])
    print("inputs ", inputs[0])
    print("targets", targets[0])
    logits = tf.random.stateless_normal((1, 8, 10), seed=(0, 0))
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    print("Keras's loss:", float(theirs(targets, logits)), "ours:", float(masked_loss(targets, logits)))
    row, segments = pack_pair([5, 6, 7], [8, 9], cls_id=2, sep_id=3, length=10)
    print("pair    ", row)
    print("segments", segments)


def lesson(report, *, tokens: int = 200_000, rate: float = 0.15, seed: int = 0):
    """Count what happens to chosen words, look at the loss, and put sentences in pairs.

    Args:
        report: The report to write to.
        tokens: Tokens of the novel's beginning among which words are chosen (20000 to 1000000).
        rate: Probability with which a word is chosen (0.01 to 0.99).
        seed: Seed of all random draws (0 to 4294967295).
    """
    words = re.findall(r"\w+|[^\w\s]", data.novel())
    words = (words * -(-tokens // len(words)))[:tokens]
    _shares(report, words, rate, seed)
    _loss(report, seed)
    _pairs(report, seed)
    _draw(report, words, rate, seed)


def _shares(report, words, rate, seed):
    """Within four standard errors of what is meant; marks stand for special tokens here."""
    known = sorted(set(words))
    special = tuple(number for number, word in enumerate(known) if not word[0].isalnum())
    ids, mask_id = np.searchsorted(known, words), len(known)
    inputs, targets, selected = mask_tokens(ids, mask_id + 1, mask_id, rate, seed, special)
    open_to_choice = ~np.isin(ids, special)
    report.check("marks among the chosen, as special tokens", int(np.isin(ids[selected], special).sum()), 0)
    report.check("places that were not chosen: changed words", int((inputs != ids)[~selected].sum()), 0)
    report.check("targets: the right word where chosen, else -1", targets, np.where(selected, ids, -1))
    chosen, fate = int(selected.sum()), inputs[selected]
    masked, left = fate == mask_id, fate == ids[selected]
    counted = {"chosen, of all words": (chosen, int(open_to_choice.sum()), rate),
               "mask, of the chosen": (int(masked.sum()), chosen, 0.8),
               "left as it is": (int(left.sum()), chosen, 0.1),
               "another word": (int((~masked & ~left).sum()), chosen, 0.1)}  # fmt: skip
    rows, shares = [], {}
    for name, (number, total, want) in counted.items():
        error = math.sqrt(want * (1 - want) / total)
        shares[name] = number / total
        rows.append([name, number, shares[name], want, error])
        report.at_most(f"{name}: share less the one meant, standard errors", abs(shares[name] - want) / error, 4.0)
    report.table("What happens to words", ["", "words", "share", "meant", "standard error"], rows)
    strange = np.isin(fate[~masked], [*special, mask_id])
    report.check("random tokens that are special or the mask", int(strange.sum()), 0)
    report.correction("what a masked token becomes", course="It is replaced by a special vector or by a random one.",
                      correct="By the special token (80 %), by a random token of the vocabulary (10 %), or by nothing: "
                      "a tenth stays as it is. Vectors come from the table of tokens, as always.",
                      shown_by=f"of {chosen:,} chosen words {shares['mask, of the chosen']:.1%} became the mask, "
                      f"{shares['another word']:.1%} another word, {shares['left as it is']:.1%} stayed")  # fmt: skip


def _loss(report, seed):
    rng = np.random.default_rng((seed, 1))
    logits = tf.constant(rng.normal(size=(6, 20, 30)), tf.float32)
    _, targets, selected = mask_tokens(rng.integers(2, 30, (6, 20)), 30, 1, 0.3, seed)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        ours = masked_loss(targets, logits)
        theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)(targets, logits)
    slope = tape.gradient(ours, logits)
    report.check("the loss is Keras's with ignore_class=-1, value and gradient", [ours, slope],
                 [theirs, tape.gradient(theirs, logits)])  # fmt: skip
    report.check("places that were not chosen: gradient", tf.boolean_mask(slope, ~selected), np.zeros((1, 30)) *
                 np.ones((int((~selected).sum()), 1)), rtol=0, atol=0)  # fmt: skip
    report.at_least("chosen places: smallest norm of the gradient",
                    tf.norm(tf.boolean_mask(slope, selected), axis=-1), 1e-4)  # fmt: skip


def _pairs(report, seed):
    sentences = list(range(4000))  # a sentence is its number here
    first, second, is_next = next_sentence_pairs(sentences, seed)
    follows = np.array(second) == np.array(first) + 1
    report.check("pairs whose second sentence follows the first: those marked", follows, is_next)
    error = 0.5 / math.sqrt(len(first))
    report.at_most("share of true pairs less a half, standard errors", abs(is_next.mean() - 0.5) / error, 4.0)
    document = np.repeat(np.arange(40), 100)
    first, second, is_next = next_sentence_pairs(sentences, seed, document)
    same = document[first] == document[second]
    report.check("40 documents: pairs of one document are those marked", same, is_next)
    rows, parts = zip(*(pack_pair([5, 6, 7], [8, 9], 2, 3, length) for length in (8, 10)), strict=True)
    report.check("[CLS] three words [SEP] two words [SEP]", rows[0], [2, 5, 6, 7, 3, 8, 9, 3])
    report.check("its segments", parts[0], [0, 0, 0, 0, 0, 1, 1, 1])
    report.check("a longer row: two zeros more", [rows[1], parts[1]], [[*rows[0], 0, 0], [*parts[0], 0, 0]])


def _draw(report, words, rate, seed, draws=10, shown=24):
    """The novel's first words in several draws: 0 not chosen, 1 the mask, 2 another word, 3 left as it is."""
    known, at = sorted(set(words)), words.index("It")  # the first sentence behind the title
    shown, size = words[at : at + shown], len(known) + 2
    ids = np.tile(np.searchsorted(known, shown) + 1, (draws, 1))  # 0 is padding, the last id the mask
    inputs, _, selected = mask_tokens(ids, size, size - 1, rate, (seed, 2))
    fate = np.where(inputs == size - 1, 1, np.where(inputs != ids, 2, 3)) * selected
    figure, ax = plots.subplots(figsize=(12, 5))
    styles = {"not chosen": "s#eeeeee", "mask": "sC0", "another word": "^C1", "chosen, left as it is": "oblack"}
    for number, (name, style) in enumerate(styles.items()):
        rows, columns = np.nonzero(fate == number)
        ax.scatter(columns, rows, s=230, marker=style[0], color=style[1:], label=name)
    ax.set_xticks(range(len(shown)), shown, rotation=60, ha="right")
    ax.set_yticks(range(draws), range(1, draws + 1))
    ax.set(ylabel="draw", title="Every draw asks for other words")
    ax.invert_yaxis()
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=0.6)
    report.figure("Every draw asks for other words", figure, alt="A grid of the novel's first words by draws: a few "
                  "places in each row are chosen, most become the mask, some another word, some are left.")  # fmt: skip

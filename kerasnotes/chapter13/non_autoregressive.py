"""A translator that writes all words in one go is faster and worse; second looks and several lengths win some back.

A student predicts the length of a translation and then all its words at once. It learns from a teacher's translations,
which should be more alike than people's. What the reader should see: what is lost, and how often a word is said twice;
what several looks and several lengths win back; and what is gained in time.

Notes: chapter 13, "Non-autoregressive model" (非自回归模型).
Source: Gu et al. 2018, arXiv:1711.02281 (distillation, rescoring); Ghazvininejad et al. 2019, arXiv:1904.09324 (masks).
"""

import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter09.bleu import translation_corpus
from kerasnotes.chapter09.encoder_decoder import greedy_decode
from kerasnotes.chapter13.parallel_decoding import cut_after_end, mask_predict
from kerasnotes.chapter13.parallel_decoding import expand_by_fertility as expand_by_fertility  # also to be had here
from kerasnotes.chapter13.parallel_decoding import placeholders as placeholders
from kerasnotes.chapter13.transformer import TransformerDecoder, TransformerEncoder
from kerasnotes.chapter13.translation import (
    build_translator,
    compile_translator,
    learning_pairs,
    translation_bleu,
    written_words,
)
from kerasnotes.parts import layer_seeds, shape, whole

SMOKE = {"pairs": 100, "longest": 6, "vocabulary": 60, "units": 8, "epochs": 1, "student_epochs": 1,
         "timed": 1}  # fmt: skip
SECONDS = 70


class LengthPredictor(keras.layers.Layer):
    """Logits (batch, max_length) of 1 to `max_length` words, from a context of `TransformerEncoder`.

    Args:
        max_length: Longest sentence.
        seed: Seed of the initial weights, or None.
    """

    def __init__(self, max_length, seed=None, **kwargs):
        super().__init__(**kwargs)
        start = keras.initializers.GlorotUniform(seed)
        self.head = keras.layers.Dense(whole("max_length", max_length), kernel_initializer=start)

    def build(self, context_shape):
        self.head.build(context_shape[0])

    def call(self, context):
        states, seen = context
        real = tf.cast(tf.transpose(seen, (0, 2, 1)), states.dtype)  # (batch, steps, 1)
        mean = tf.reduce_sum(real * states, axis=1) / tf.maximum(tf.reduce_sum(real, axis=1), 1)
        return self.head(mean)


class ParallelTranslator(keras.Model):
    """`model((source, ids))` gives logits of the words at all places, and of the number of words.

    The ids (batch, steps) hold `mask_id` where a word is to be written. The decoder sees in both directions.

    Args:
        source_size, target_size: Number of ids; the mask is one more, `target_size`.
        max_length: Longest translation.
        units, num_heads, hidden_units, layers, seed: As for `TransformerEncoder`.
    """

    def __init__(self, source_size, target_size, max_length, units=64, num_heads=4, hidden_units=256, layers=2, seed=0):
        super().__init__()
        seeds, arguments = layer_seeds(seed), (units, num_heads, hidden_units, layers)
        self.mask_id, self.max_length = target_size, max_length
        self.encoder = TransformerEncoder(source_size, *arguments, seed=next(seeds))
        self.decoder = TransformerDecoder(target_size + 1, *arguments, causal=False, seed=next(seeds))
        self.lengths = LengthPredictor(max_length, next(seeds))
        self.lengths.build(((None, None, units), None))
        self.built = True

    def call(self, inputs):
        source, ids = inputs
        context = self.encoder(source)
        return self.decoder(ids, context)[0], self.lengths(context)

    def write(self, source, iterations=1, lengths=None):
        """Translations of source ids (batch, steps), of the likeliest or the given `lengths`; as `mask_predict`'s."""
        context = self.encoder(source)
        if lengths is None:
            lengths = np.argmax(self.lengths(context), axis=-1) + 1
        return mask_predict(
            lambda ids: self.decoder(ids, context)[0], lengths, iterations, self.mask_id, self.max_length
        )


def distill(model, source, start, end, max_length):
    """A teacher's greedy translations, as a student learns them.

    Args:
        model: A translator of chapter 09's form.
        source: Ids (pairs, steps).
        start, end, max_length: As in `greedy_decode`.

    Returns:
        `(target_in, target_out)`, ids (pairs, max_length + 1): with the start before, and the end behind the words.
    """
    words = cut_after_end(greedy_decode(model, source, start, end, max_length), end)
    before = np.concatenate([np.full_like(words[:, :1], start), words], axis=1)
    behind = np.concatenate([words, np.zeros_like(words[:, :1])], axis=1)
    behind[np.arange(len(words)), (words > 0).sum(axis=1)] = end
    return before, behind


def rescore(teacher, source, candidates, start=2, end=3):
    """The candidate of each sentence that a teacher finds likeliest, by the mean log-probability of its words.

    Args:
        teacher: A model of `(source, target_in)`.
        source: Ids (batch, steps).
        candidates: Ids (batch, several, steps), zeros behind the last word, without start and end.
        start, end: Ids of the tokens around a sentence.

    Returns:
        Array (batch,): which of the several.

    Source: Gu et al. 2018, section 3.4 (noisy parallel decoding).
    """
    candidates = shape("candidates", np.asarray(candidates), len(source), None, None)
    batch, several, steps = candidates.shape
    words = candidates.reshape(-1, steps)
    read = np.concatenate([np.full_like(words[:, :1], start), words], axis=1)
    right = np.concatenate([words, np.zeros_like(words[:, :1])], axis=1)
    right[np.arange(len(words)), (words > 0).sum(axis=1)] = end
    log_p = tf.nn.log_softmax(teacher((np.repeat(source, several, axis=0), read)))
    chosen = np.take_along_axis(log_p.numpy(), right[..., None], axis=-1)[..., 0] * (right > 0)
    return np.argmax((chosen.sum(axis=1) / (right > 0).sum(axis=1)).reshape(batch, several), axis=1)


def repeated_words(ids):
    """Share of words (batch, steps) that are the same as the word before them, of those that have one before."""
    ids = shape("ids", np.asarray(ids), None, None)
    pairs = (ids[:, 1:] > 0) & (ids[:, :-1] > 0)
    return float(((ids[:, 1:] == ids[:, :-1]) & pairs).sum() / max(1, pairs.sum()))


def hidden_words(target, mask_id, rng):
    """Hide a random number of the words of each sentence, at least one: `(read, targets)`, zeros where none is asked.

    Args:
        target: Ids (batch, steps), zeros behind the last word.
        mask_id: Id of a hidden word.
        rng: A `numpy.random.Generator`. Source: Ghazvininejad et al. 2019, section 2.
    """
    lengths = (target > 0).sum(axis=1, keepdims=True)
    order = np.argsort(np.argsort(np.where(target > 0, rng.random(target.shape), 2.0), axis=1), axis=1)
    hidden = order < np.ceil(rng.random(lengths.shape) * lengths)
    return np.where(hidden, mask_id, target), np.where(hidden, target, 0)


def example():
    """An untrained student: lengths, one look, and Keras's Dense as the head that predicts the length."""
    model = ParallelTranslator(source_size=12, target_size=10, max_length=5, units=8, num_heads=2, seed=1)
    source = np.array([[3, 4, 5, 6], [7, 8, 0, 0]])
    logits, lengths = model((source, np.full((2, 5), model.mask_id)))
    print("logits of words and lengths:", logits.shape, lengths.shape, type(model.lengths.head).__module__)
    print("written with 4 and 2 words:", model.write(source, lengths=np.array([4, 2]))[0].tolist())
    print("repeated:", repeated_words([[3, 3, 4, 0], [5, 6, 6, 6]]))
    print("hidden at random:", hidden_words(np.array([[3, 4, 5, 0]]), 10, np.random.default_rng(2))[0].tolist())


def lesson(
    report,
    *,
    pairs: int = 12360,
    longest: int = 8,
    vocabulary: int = 1500,
    units: int = 64,
    epochs: int = 8,
    student_epochs: int = 12,
    timed: int = 4,
    seed: int = 0,
):
    """Train a teacher, let a student learn its translations, and compare what both write.

    Args:
        report: The report to write to.
        pairs: Pairs to draw sentences from (100 to 12360).
        longest: Longest sentence, in words (6 to 30).
        vocabulary: Size of each vocabulary, with four reserved ids (10 to 5000).
        units: Numbers for a word, a multiple of 4 (8 to 512).
        epochs: Training epochs of the teacher (1 to 100).
        student_epochs: Training epochs of the student (1 to 100).
        timed: Sentences that are written one by one for their time (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    texts = data.interface_texts("fr")
    texts = [texts[i] for i in np.random.default_rng((seed, 1)).permutation(len(texts))[:pairs]]
    corpus = translation_corpus(texts, longest, vocabulary, seed)
    teacher = build_translator(corpus, units, hidden_units=4 * units, seed=seed)
    batch = min(64, len(corpus.train.source))
    compile_translator(teacher, epochs * (len(corpus.train.source) // batch), learning_rate=4e-3)
    learnt = learning_pairs(corpus.train, batch_size=batch)
    form = "xla" if len(learnt[1]) >= 100 * batch else "loop"  # products of 64 units are small enough for it
    training.fit(teacher, *learnt, batch_size=batch, epochs=epochs, form=form, seed=seed, track=report.track)
    student = _student(report, corpus, teacher, units, student_epochs, batch, form, seed)
    _compare(report, corpus, teacher, student)
    _seconds(report, corpus, teacher, student, timed)


def _student(report, corpus, teacher, units, epochs, batch, form, seed):
    source, longest = corpus.train.source, corpus.longest + 1
    words = cut_after_end(greedy_decode(teacher, source, corpus.start, corpus.end, longest), corpus.end)
    kept = np.flatnonzero(words[:, 0] > 0)
    kept = kept[: max(1, len(kept) // batch) * batch]  # a short batch would be traced on its own
    source, words = source[kept], words[kept]
    student = ParallelTranslator(len(corpus.source_vocabulary), len(corpus.target_vocabulary), longest, units,
                                 hidden_units=4 * units, seed=(seed, 3))  # fmt: skip
    compile_translator(student, epochs * -(-len(words) // batch), learning_rate=4e-3)
    lengths = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    student.compile(student.optimizer, [student.loss, lengths], loss_weights=[1.0, 0.2])
    for epoch in report.track(range(epochs), "training the student"):
        read, targets = hidden_words(words, student.mask_id, np.random.default_rng((seed, 4, epoch)))
        if epoch == 0:
            again = np.where(read == student.mask_id, targets, read)
            report.check("what is hidden is asked, and nothing else", again, words)
        asked = (targets, (words > 0).sum(axis=1) - 1)
        training.fit(student, (source, read), asked, batch_size=batch, initial_epoch=epoch, epochs=epoch + 1,
                     form=form, seed=seed)  # fmt: skip
    return student


def _compare(report, corpus, teacher, student):
    test, longest = corpus.test, corpus.longest + 1
    written = greedy_decode(teacher, test.source, corpus.start, corpus.end, longest)
    found = {"teacher, word by word": cut_after_end(written, corpus.end)}
    order = np.argsort(-student.lengths(student.encoder(test.source)).numpy(), axis=-1)[:, :3] + 1
    for looks in (1, 4):
        several = np.stack([student.write(test.source, looks, order[:, i])[0] for i in range(3)], axis=1)
        best = rescore(teacher, test.source, several, corpus.start, corpus.end)
        name = f"student, {looks} look" + "s" * (looks > 1)
        found[name] = several[:, 0]
        found[f"{name}, three lengths rescored"] = several[np.arange(len(best)), best]
    true = np.maximum(1, (test.target_out > 0).sum(axis=1) - 1)
    found["student, 1 look, the reference's length"] = student.write(test.source, 1, np.minimum(true, longest))[0]
    scores = {name: translation_bleu(corpus, test, written_words(corpus, ids)) for name, ids in found.items()}
    repeats = {name: repeated_words(ids) for name, ids in found.items()}
    report.table(f"{len(test.source)} test pairs", ["translation", "BLEU, %", "repeated neighbours, share"],
                 [[name, score, repeats[name]] for name, score in scores.items()])  # fmt: skip
    report.note(f"The predicted length is the reference's in {np.mean(order[:, 0] == true):.2f} of the pairs.")
    base, once, best_once, _, best_four, _ = scores.values()
    report.at_least("one look: BLEU, %", once, 15.0, trained=True)
    report.at_least("four looks and three lengths: BLEU above one look", best_four - once, 3.0, trained=True)
    report.at_least(
        "one look, three lengths rescored: BLEU above the likeliest length", best_once - once, 1.0, trained=True
    )
    report.at_least("the teacher's BLEU above one look", base - once, 5.0, trained=True)
    shares = list(repeats.values())
    report.at_least("repeated neighbours, one look over the teacher's share", shares[1] / max(shares[0], 1e-9), 3.0,
                    trained=True)  # fmt: skip
    figure = plots.bars([name.replace(", ", ",\n", 1) for name in scores], list(scores.values()), ylabel="BLEU, %",
                        title="All words at once cost quality; second looks win some back")  # fmt: skip
    figure.set_size_inches(10, 5)
    figure.axes[0].tick_params(axis="x", labelrotation=25, labelsize=9)
    report.figure("What writing all at once costs", figure,
                  alt="BLEU of the teacher, which writes word by word, and of the student with one look and four, with "
                  "one length and three that the teacher rescores, and with the reference's length.")  # fmt: skip


def _greedy_anew(model, source, start, length):
    """Greedy writing that keeps nothing: every word reads the whole beginning again."""
    context, ids = model.encoder(source), np.full((len(source), 1), start)
    for _ in range(length):
        logits, _ = model.decoder(ids, context)
        ids = np.concatenate([ids, np.argmax(logits[:, -1:, 1:], axis=-1) + 1], axis=1)
    return ids[:, 1:]


def _seconds(report, corpus, teacher, student, timed):
    source, longest, rows = corpus.test.source, corpus.longest + 1, []
    for size, batches in ((1, timed), (64, -(-timed // 4))):
        forms = {
            "teacher, anew for every word": lambda x: _greedy_anew(teacher, x, corpus.start, longest),
            "teacher, keys and values kept": lambda x: greedy_decode(teacher, x, corpus.start, corpus.end, longest),
            "student, one look": lambda x: student.write(x)[0],
            "student, four looks": lambda x: student.write(x, 4)[0],
        }
        for name, write in forms.items():
            write(source[:size])
            begun = time.perf_counter()
            for i in range(batches):
                write(source[i * size : (i + 1) * size] if len(source) > (i + 1) * size else source[:size])
            rows.append([name, size, 1e3 * (time.perf_counter() - begun) / batches / size])
    report.table("milliseconds a sentence on this machine", ["", "sentences at once", "ms a sentence"], rows)
    first, _, once = (row[2] for row in rows[4:7])
    report.correction("less exact, faster", course="Non-autoregressive models are less exact, but faster.",
                      correct="By how much depends: on how many sentences are translated at once, on whether the other "
                      "model keeps its keys and values, and on how often one looks.",
                      shown_by=f"64 sentences at once: {first:.2g} ms a sentence word by word anew, {once:.2g} in one "
                      "look; the other cases in the table, BLEU in another")  # fmt: skip

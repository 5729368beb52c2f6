"""The same sentences and the same score as chapter 09's: a small Transformer reaches nearly twice its BLEU.

Chapter 09's LSTM had to carry a sentence in two vectors, and copying the translation of the most similar sentence beat
it. What the reader should see: a Transformer of a million weights that leaves both behind within a minute; which words
of the source it looks at while it writes, an alignment that nobody taught it; what a beam adds; and that the loss it
minimizes and the score it is judged by do not turn at the same epoch.

Notes: chapter 13, "Transformer" (Transformer模型).
Source: Vaswani et al. 2017, arXiv:1706.03762; Szegedy et al. 2016, arXiv:1512.00567, section 7 (label smoothing);
Papineni et al. 2002, doi:10.3115/1073083.1073135 (the score).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter09.bleu import bleu, most_similar, translation_corpus
from kerasnotes.chapter09.encoder_decoder import greedy_decode, likeliest
from kerasnotes.chapter13.beam_search import beam_decode
from kerasnotes.chapter13.transformer import Transformer, TransformerDecoder, TransformerEncoder
from kerasnotes.parts import layer_seeds, shape, share

SMOKE = {"pairs": 100, "longest": 6, "vocabulary": 60, "units": 8, "epochs": 1}
FULL = {"longest": 10, "vocabulary": 3000, "units": 256, "epochs": 12}
SECONDS = 55

PAD, UNSEEN = 0, 1  # ids of chapter 08's vocabulary: padding, and a word that it does not know
LSTM_BLEU = 21.9  # the best variant of chapter09.seq2seq's record, per cent; a test compares them


def smoothed_loss(targets, logits, smoothing=0.1):
    """Cross-entropy against targets that leave `smoothing` to all words alike, the mean over real words.

    Args:
        targets: Ids (batch, steps); 0 is padding and left out.
        logits: (batch, steps, vocabulary).
        smoothing: Share of the probability that is spread over the vocabulary, Keras's `label_smoothing`.

    Returns:
        A number, nats a word; 0 if there is no real word.

    Raises:
        ValueError: If shapes do not fit, or smoothing is no share.

    Source: Szegedy et al. 2016, section 7.
    """
    targets = tf.cast(targets, tf.int32)
    shape("logits", logits, *targets.shape, None)
    log_p = tf.nn.log_softmax(logits)
    right = tf.gather(log_p, targets, batch_dims=2)  # (batch, steps)
    share("smoothing", smoothing)
    loss = -(1 - smoothing) * right - smoothing * tf.reduce_mean(log_p, axis=-1)
    real = tf.cast(targets != PAD, loss.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(real * loss), tf.reduce_sum(real))


def build_translator(corpus, units=128, num_heads=4, hidden_units=256, layers=2, seed=0):
    """A Transformer for a `TranslationCorpus`'s vocabularies; arguments as for `TransformerEncoder`."""
    seeds = layer_seeds((seed, 2))
    sizes = len(corpus.source_vocabulary), len(corpus.target_vocabulary)
    parts = (kind(size, units, num_heads, hidden_units, layers, seed=next(seeds))
             for kind, size in zip((TransformerEncoder, TransformerDecoder), sizes, strict=True))  # fmt: skip
    return Transformer(*parts)


def train_translator(model, corpus, epochs, batch_size=64, learning_rate=2e-3, smoothing=0.1, seed=0, target_in=None,
                     callbacks=None, track=None):  # fmt: skip
    """Teach a translator the training pairs with teacher forcing, by Adam with warm-up and a falling rate.

    Args:
        model: A `Transformer`.
        corpus: A `TranslationCorpus`.
        epochs, batch_size, seed, callbacks, track: As in `training.fit`.
        learning_rate: Largest rate; an eighth of the steps lead up to it, a cosine down from it.
        smoothing: As in `smoothed_loss`.
        target_in: What the decoder reads in place of the right words (pairs, steps), or None.

    Returns:
        The history, a dictionary of lists.
    """
    steps = epochs * -(-len(corpus.train.source) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(
        0.05 * learning_rate, steps - steps // 8, 0.02, warmup_target=learning_rate, warmup_steps=max(1, steps // 8)
    )
    model.compile(keras.optimizers.Adam(rate, beta_2=0.98), lambda y, logits: smoothed_loss(y, logits, smoothing))
    read = corpus.train.target_in if target_in is None else target_in
    learnt = (corpus.train.source, read), known_words(corpus.train.target_out)
    return training.fit(model, *learnt, batch_size=min(batch_size, len(read)), epochs=epochs, seed=seed,
                        callbacks=callbacks, track=track).history  # fmt: skip


def known_words(target_out):
    """Targets whose unknown words are padding: an unknown word is no aim."""
    return np.where(target_out == UNSEEN, PAD, target_out)


def word_accuracy(ids, target_out):
    """Share of a part's words that are met; an unknown word never is."""
    return float(((ids == target_out) & (target_out > UNSEEN)).sum() / (target_out != PAD).sum())


def written_words(corpus, ids):
    """The words of written ids (pairs, steps), each list up to the end token."""
    found = []
    for row in ids:
        words = corpus.target_vocabulary.decode([i for i in row if i != PAD])
        found.append(words[: words.index("<end>")] if "<end>" in words else words)
    return found


def translation_bleu(corpus, part, written, chosen=slice(None)):
    """BLEU of written words, in per cent, on the pairs of a part, or on those with the numbers `chosen`."""
    numbers = np.arange(len(written))[chosen]
    return 100 * bleu([[part.words[i][1]] for i in numbers], [written[i] for i in numbers])


def example():
    """Four translations by heart; the smoothed loss beside Keras's."""
    texts = [("open", "ouvrir"), ("open file", "ouvrir le fichier"), ("save all", "tout garder"), ("cut", "couper")] * 10
    corpus = translation_corpus(texts, 4, 30)
    model = build_translator(corpus, units=16, num_heads=2, hidden_units=32, layers=1)
    train_translator(model, corpus, epochs=40, batch_size=8, learning_rate=1e-2)
    written = written_words(corpus, greedy_decode(model, corpus.train.source[:4], corpus.start, corpus.end, 5))
    for (source, _), words in zip(corpus.train.words, written, strict=False):
        print(f"{' '.join(source):10} → {' '.join(words)}")
    targets, logits = tf.constant([[1, 2]]), tf.constant([[[0.0, 2.0, 1.0], [1.0, 0.0, 3.0]]])
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    print("Keras:", float(theirs(tf.one_hot(targets, 3), logits)), "ours:", float(smoothed_loss(targets, logits)))


def lesson(
    report,
    *,
    pairs: int = 12360,
    longest: int = 8,
    vocabulary: int = 1500,
    units: int = 128,
    epochs: int = 8,
    learning_rate: float = 2e-3,
    smoothing: float = 0.1,
    seed: int = 0,
):
    """Translate texts of a program's interface from English to French.

    Args:
        report: The report to write to.
        pairs: Pairs to draw sentences from (100 to 12360).
        longest: Longest sentence, in words (6 to 30).
        vocabulary: Size of each vocabulary, with four reserved ids; rarer words become unknown (10 to 5000).
        units: Numbers for a word, a multiple of 4 (8 to 512).
        epochs: Training epochs (1 to 100).
        learning_rate: Largest learning rate (0.000001 to 1).
        smoothing: Probability that the targets leave to all words (0 to 0.5).
        seed: Seed of all random draws (0 to 4294967295).
    """
    texts = data.interface_texts("fr")
    texts = [texts[i] for i in np.random.default_rng((seed, 1)).permutation(len(texts))[:pairs]]
    corpus = translation_corpus(texts, longest, vocabulary, seed)
    _loss_is_keras(report, seed)
    model = build_translator(corpus, units, hidden_units=2 * units, seed=seed)
    history = _train(report, model, corpus, epochs, learning_rate, smoothing, seed)
    written = _scores(report, model, corpus)
    _two_measures(report, history)
    _by_length(report, corpus, written)
    _alignments(report, model, corpus, written)


def _loss_is_keras(report, seed):
    rng = np.random.default_rng((seed, 3))
    logits, targets = tf.constant(rng.normal(size=(4, 6, 9)), tf.float32), tf.constant(rng.integers(0, 9, (4, 6)))
    real = tf.cast(targets != PAD, tf.float32)
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, reduction=None)
    want = tf.reduce_sum(real * theirs(tf.one_hot(targets, 9), logits)) / tf.reduce_sum(real)
    report.check("the smoothed loss is Keras's label_smoothing, over real words", smoothed_loss(targets, logits), want)


def _train(report, model, corpus, epochs, learning_rate, smoothing, seed):
    """Train, and look after every epoch at the validation part's loss and score."""
    part = corpus.validation
    held_out, scores = [], []

    def look(epoch, logs=None):
        logits = training.predict(model, (part.source, part.target_in))
        held_out.append(float(smoothed_loss(known_words(part.target_out), logits, 0.0)))
        ids = greedy_decode(model, part.source, corpus.start, corpus.end, corpus.longest + 1)
        scores.append(translation_bleu(corpus, part, written_words(corpus, ids)))

    history = train_translator(model, corpus, epochs, learning_rate=learning_rate, smoothing=smoothing, seed=seed,
                               callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=look)], track=report.track)  # fmt: skip
    return {"training loss": history["loss"], "held-out loss": held_out, "held-out BLEU": scores}


def _scores(report, model, corpus):
    test, end = corpus.test, (corpus.start, corpus.end, corpus.longest + 1)
    nearest = most_similar(test.source, corpus.train.source, len(corpus.source_vocabulary))
    copied = translation_bleu(corpus, test, [corpus.train.words[i][1] for i in nearest])
    greedy = written_words(corpus, greedy_decode(model, test.source, *end))
    rows = [["translation of the most similar training source", copied], ["the LSTM of chapter 09, cited", LSTM_BLEU],
            ["Transformer, greedy", translation_bleu(corpus, test, greedy)]]  # fmt: skip
    for alpha in (0.0, 0.6, 1.0):
        found = written_words(corpus, beam_decode(model, test.source, *end, width=4, length_penalty=alpha))
        rows.append([f"Transformer, beam of 4, length penalty {alpha:g}", translation_bleu(corpus, test, found)])
        written = found if alpha == 0.6 else None or written if alpha else found
    report.table(f"{len(test.source)} test pairs", ["translation", "BLEU, %"], rows)
    score, beam = rows[2][1], rows[4][1]
    report.at_least("greedy BLEU, %", score, 32.0, trained=True)
    report.at_least("greedy BLEU above copying the most similar sentence's translation", score - copied, 5.0, trained=True)
    report.at_least("greedy BLEU above chapter 09's LSTM", score - LSTM_BLEU, 0.0, trained=True)
    report.at_least("beam of 4 above greedy, BLEU", beam - score, 1.0, trained=True)
    accuracy = [word_accuracy(likeliest(training.predict(model, (source, test.target_in))), test.target_out)
                for source in (test.source, np.roll(test.source, 1, axis=0))]  # fmt: skip
    report.at_least("words right after the right words", accuracy[0], 0.66, trained=True)
    report.at_least("with another sentence's source it falls by", accuracy[0] - accuracy[1], 0.3, trained=True)
    return written

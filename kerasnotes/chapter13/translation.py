"""The same sentences and the same score as chapter 09's: a small Transformer reaches 1.6 to 1.9 times its BLEU.

Chapter 09's LSTM had to carry a sentence in two vectors, and copying the translation of the most similar sentence beat
it. What the reader should see: a Transformer of a million weights that leaves both behind within a minute; which words
of the source it looks at while it writes, an alignment that nobody taught it; what a beam adds; and the loss it
minimizes beside the score it is judged by, epoch by epoch.

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
SECONDS = 48

PADDING_ID, UNKNOWN_ID = 0, 1  # ids of chapter 08's vocabulary: padding, and a word that it does not know
LSTM_BLEU = 22.2  # the best variant of chapter09.seq2seq's record, per cent; a test compares them


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
    real = tf.cast(targets != PADDING_ID, loss.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(real * loss), tf.reduce_sum(real))


def build_translator(corpus, units=128, num_heads=4, hidden_units=256, layers=2, seed=0):
    """A Transformer for a `TranslationCorpus`'s vocabularies; arguments as for `TransformerEncoder`."""
    seeds = layer_seeds((seed, 2))
    sizes = len(corpus.source_vocabulary), len(corpus.target_vocabulary)
    parts = (kind(size, units, num_heads, hidden_units, layers, seed=next(seeds))
             for kind, size in zip((TransformerEncoder, TransformerDecoder), sizes, strict=True))  # fmt: skip
    return Transformer(*parts)


def rise_and_fall(learning_rate, steps, share=1 / 8, end=0.02):
    """A learning rate for a Transformer: a straight way up from a twentieth of it, then a cosine down.

    Args:
        learning_rate: Largest rate.
        steps: Steps of the whole training.
        share: Share of the steps that lead up; one at least.
        end: What is left of the largest rate at the end.

    Returns: A `keras.optimizers.schedules.CosineDecay`.
    """
    rise = max(1, int(share * steps))
    return keras.optimizers.schedules.CosineDecay(
        learning_rate / 20, max(1, steps - rise), end, warmup_target=learning_rate, warmup_steps=rise
    )


def compile_translator(model, steps, learning_rate=2e-3, smoothing=0.1):
    """Adam with a rate that rises and falls, and the smoothed loss.

    Args:
        model: A `Transformer`.
        steps, learning_rate: As in `rise_and_fall`.
        smoothing: As in `smoothed_loss`.
    """
    rate = rise_and_fall(learning_rate, steps)
    model.compile(keras.optimizers.Adam(rate, beta_2=0.98), lambda y, logits: smoothed_loss(y, logits, smoothing))


def learning_pairs(part, target_in=None, batch_size=1):
    """What to learn from a corpus's part, as `fit` takes it: `((source, target_in), targets)`.

    Args:
        part: A `SentencePairs`.
        target_in: What the decoder reads in place of the right words (pairs, steps), or None.
        batch_size: The last pairs, fewer than this, are left out: a short batch would be traced on its own.
    """
    kept = slice(len(part.source) // batch_size * batch_size)
    target_in = part.target_in if target_in is None else target_in
    return (part.source[kept], target_in[kept]), known_words(part.target_out[kept])


def known_words(target_out):
    """Targets whose unknown words are padding: an unknown word is no aim."""
    return np.where(target_out == UNKNOWN_ID, PADDING_ID, target_out)


def word_accuracy(ids, target_out):
    """Share of a part's words that are met; an unknown word never is."""
    return float(((ids == target_out) & (target_out > UNKNOWN_ID)).sum() / (target_out != PADDING_ID).sum())


def written_words(corpus, ids):
    """The words of written ids (pairs, steps), each list up to the end token."""
    found = []
    for row in ids:
        words = corpus.target_vocabulary.decode([i for i in row if i != PADDING_ID])
        found.append(words[: words.index("<end>")] if "<end>" in words else words)
    return found


def translation_bleu(corpus, part, written, chosen=slice(None)):
    """BLEU of written words, in per cent, on the pairs of a part, or on those with the numbers `chosen`."""
    numbers = np.arange(len(written))[chosen]
    return 100 * bleu([[part.words[i][1]] for i in numbers], [written[i] for i in numbers])


def example():
    """Four translations by heart; the smoothed loss beside Keras's."""
    texts = [("open", "ouvrir"), ("open file", "ouvrir le fichier"), ("save all", "garder"), ("cut", "couper")] * 10
    corpus = translation_corpus(texts, 4, 30)
    model = build_translator(corpus, units=16, num_heads=2, hidden_units=32, layers=1)
    compile_translator(model, steps=200, learning_rate=1e-2)
    model.fit(*learning_pairs(corpus.train), batch_size=8, epochs=40, verbose=0)
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
    real = tf.cast(targets != PADDING_ID, tf.float32)
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

    batch = min(64, len(corpus.train.source))
    compile_translator(model, epochs * (len(corpus.train.source) // batch), learning_rate, smoothing)
    watch = keras.callbacks.LambdaCallback(on_epoch_end=look)
    learnt = learning_pairs(corpus.train, batch_size=batch)
    form = "xla" if len(learnt[1]) >= 100 * batch else "loop"  # worth its compiling in a long training of this size
    history = training.fit(model, *learnt, batch_size=batch, epochs=epochs, form=form, seed=seed,
                           callbacks=[watch], track=report.track).history  # fmt: skip
    return {"training loss": history["loss"], "held-out loss": held_out, "held-out BLEU": scores}


def _scores(report, model, corpus):
    test, end = corpus.test, (corpus.start, corpus.end, corpus.longest + 1)
    nearest = most_similar(test.source, corpus.train.source, len(corpus.source_vocabulary))
    copied = translation_bleu(corpus, test, [corpus.train.words[i][1] for i in nearest])
    greedy = written_words(corpus, greedy_decode(model, test.source, *end))
    rows = [["translation of the most similar training source", copied], ["the LSTM of chapter 09, cited", LSTM_BLEU],
            ["Transformer, greedy", translation_bleu(corpus, test, greedy)]]  # fmt: skip
    written = []
    for alpha in (0.0, 0.6, 1.0):
        found = written_words(corpus, beam_decode(model, test.source, *end, width=4, length_penalty=alpha))
        rows.append([f"Transformer, beam of 4, length penalty {alpha:g}", translation_bleu(corpus, test, found)])
        written.append(found)
    report.table(f"{len(test.source)} test pairs", ["translation", "BLEU, %"], rows)
    score, beam = rows[2][1], rows[4][1]
    report.at_least("greedy BLEU, %", score, 32.0, trained=True)
    report.at_least("greedy BLEU above copying the most similar translation", score - copied, 5.0, trained=True)
    report.at_least("greedy BLEU above chapter 09's LSTM", score - LSTM_BLEU, 0.0, trained=True)
    report.at_least("beam of 4 above greedy, BLEU", beam - score, 1.0, trained=True)
    accuracy = [word_accuracy(likeliest(training.predict(model, (source, test.target_in))), test.target_out)
                for source in (test.source, np.roll(test.source, 1, axis=0))]  # fmt: skip
    report.at_least("words right after the right words", accuracy[0], 0.66, trained=True)
    report.at_least("with another sentence's source it falls by", accuracy[0] - accuracy[1], 0.3, trained=True)
    return written[1]


def _two_measures(report, history):
    """Held-out loss and BLEU by epoch, which need not turn together."""
    rows = [[i + 1, *map(float, row)] for i, row in enumerate(zip(*history.values(), strict=True))]
    report.table("by epoch, on the validation part", ["epoch", *history], rows)
    lowest = int(np.argmin(history["held-out loss"])) + 1
    highest = int(np.argmax(history["held-out BLEU"])) + 1
    report.correction("what is minimized", course="The network is trained to translate well.",
                      correct="It is trained for the next word after right words; the score counts groups of its own "
                      "words. The best epochs by the two need not be the same.",
                      shown_by=f"of {len(rows)} epochs, the lowest held-out loss in epoch {lowest}, the highest "
                      f"held-out BLEU in epoch {highest}")  # fmt: skip


def _by_length(report, corpus, written):
    test, lengths = corpus.test, (corpus.test.source != PADDING_ID).sum(axis=1)
    groups = {"one to three words": lengths <= 3, "four to six": (lengths > 3) & (lengths <= 6), "seven or more":
              lengths > 6, "a word unknown": (test.source == UNKNOWN_ID).any(axis=1)}  # fmt: skip
    report.table("where it fails: a beam of 4", ["source", "pairs", "BLEU, %"],
                 [[name, int(chosen.sum()), translation_bleu(corpus, test, written, chosen)]
                  for name, chosen in groups.items() if chosen.any()])  # fmt: skip
    rows = [[" ".join(source), " ".join(target), " ".join(words)]
            for (source, target), words in zip(test.words[:10], written, strict=False)]  # fmt: skip
    report.table("ten test pairs, the first of the split", ["source", "reference", "beam of 4"], rows)


def _alignments(report, model, corpus, written):
    """Where the decoder looks: the last block's attention on the source, mean over its heads."""
    lengths = [(len(source), len(words)) for (source, _), words in zip(corpus.test.words, written, strict=True)]
    chosen = [i for i, (a, b) in enumerate(lengths) if min(a, b) >= 4 and UNKNOWN_ID not in corpus.test.source[i]][:3]
    chosen = chosen or [0]
    figure, axes = plots.subplots(1, len(chosen), figsize=(4.6 * len(chosen), 4.6), squeeze=False)
    for ax, i in zip(axes[0], chosen, strict=True):
        source, words = corpus.test.words[i][0], written[i]
        target_in = np.array([[corpus.start, *corpus.target_vocabulary.encode(words)]])
        context = model.encoder(corpus.test.source[i : i + 1])
        weights = model.decoder.read(target_in, context)[2][-1][0].numpy().mean(axis=0)[:, : len(source)]
        plots.heatmap(weights, xlabel="", ylabel="", label="weight", ax=ax, cmap="cividis", vmin=0)
        ax.set_xticks(range(len(source)), source, rotation=60, ha="right")
        ax.set_yticks(range(len(words) + 1), [*words, "<end>"])
    axes[0, 0].set_title("Word written, and source words it looked at")
    report.figure("An alignment that nobody taught", figure,
                  alt="Weights between the written French words, one a row, and the English words of the source, for "
                  "three test sentences: most rows are brightest near the word that they translate.")  # fmt: skip

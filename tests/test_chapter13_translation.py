"""The translator: its loss is Keras's, its beams are chapter 13's, its cited figure is the record's."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes import data
from kerasnotes.chapter09.bleu import translation_corpus
from kerasnotes.chapter09.encoder_decoder import greedy_decode
from kerasnotes.chapter13.beam_search import beam_candidates, beam_decode, beam_search, word_log_probabilities
from kerasnotes.chapter13.translation import (
    LSTM_BLEU,
    build_translator,
    compile_translator,
    known_words,
    learning_pairs,
    rise_and_fall,
    smoothed_loss,
    translation_bleu,
    word_accuracy,
    written_words,
)

TEXTS = [("open the file", "ouvrir le fichier ici"), ("save all", "tout garder"), ("cut", "couper"), ("go", "va")] * 9


@pytest.fixture(scope="module")
def corpus():
    return translation_corpus(TEXTS, 4, 30)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_keras_label_smoothing_over_real_words(smoothing, seed):
    rng = np.random.default_rng(seed)
    logits = tf.constant(rng.normal(size=(3, 5, 7)), tf.float32)
    targets = rng.integers(0, 7, (3, 5))
    targets[:, 0] = 1
    real = targets != 0
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        ours = smoothed_loss(targets, logits, smoothing)
        one_hot = tf.one_hot(targets[real], 7)
        theirs = keras.losses.categorical_crossentropy(
            one_hot, logits[real], from_logits=True, label_smoothing=smoothing
        )
        theirs = tf.reduce_mean(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(ours, logits), tape.gradient(theirs, logits), atol=1e-6)
    assert float(smoothed_loss(np.zeros((3, 5)), logits)) == 0


def test_an_untrained_translators_beams_are_greedy_and_those_of_single_sentences(corpus):
    model = build_translator(corpus, units=8, num_heads=2, hidden_units=8, layers=1, seed=1)
    model.set_weights([3 * weight for weight in model.get_weights()])
    source = corpus.train.source[:4]
    end = corpus.start, corpus.end, 5
    np.testing.assert_array_equal(beam_decode(model, source, *end, width=1), greedy_decode(model, source, *end))
    ids, log_p = beam_candidates(model, source, *end, width=3)
    for row, sentence in enumerate(source[:, None]):
        found = beam_search(
            lambda t, s=sentence: word_log_probabilities(model((s, np.array([t]))))[0, -1].numpy(), *end[:2], 3, 5, 0.6
        )
        for place, (tokens, value) in enumerate(found):
            np.testing.assert_array_equal(ids[row, place, : len(tokens)], tokens)
            assert log_p[row, place] == pytest.approx(value, abs=1e-4)


def test_words_scores_and_targets_by_hand(corpus):
    part = corpus.train
    (source, read), targets = learning_pairs(part)
    np.testing.assert_array_equal(source, part.source)
    np.testing.assert_array_equal(read, part.target_in)
    np.testing.assert_array_equal(targets, part.target_out)  # every word is known here
    np.testing.assert_array_equal(learning_pairs(part, read + 1)[0][1], read + 1)
    (source, read), targets = learning_pairs(part, batch_size=3)  # whole batches only
    assert len(source) == len(read) == len(targets) == len(part.source) // 3 * 3
    np.testing.assert_array_equal(source, part.source[: len(source)])
    np.testing.assert_array_equal(known_words(np.array([[4, 1, 2, 0]])), [[4, 0, 2, 0]])
    assert word_accuracy(part.target_out, part.target_out) == 1
    assert word_accuracy(np.array([[4, 1, 9, 9]]), np.array([[4, 1, 2, 0]])) == pytest.approx(1 / 3)
    written = written_words(corpus, part.target_out)
    assert written == [target for _, target in part.words]
    assert translation_bleu(corpus, part, written) == pytest.approx(100)
    written[0] = ["couper"] * 4
    assert translation_bleu(corpus, part, written, [1, 2]) == pytest.approx(100)
    assert translation_bleu(corpus, part, written) < 100


def test_the_rate_rises_for_an_eighth_and_then_falls(corpus):
    model = build_translator(corpus, units=8, num_heads=2, hidden_units=8, layers=1)
    compile_translator(model, steps=80, learning_rate=1e-2)
    rates = [float(model.optimizer._learning_rate(step)) for step in range(81)]
    assert np.argmax(rates) == 10
    assert rates[10] == pytest.approx(1e-2, rel=1e-3)
    assert rates[0] < 1e-3
    assert rates[80] < 3e-4


@pytest.mark.parametrize(("steps", "share", "end"), [(80, 1 / 8, 0.02), (50, 0.1, 0.0), (3, 0.1, 0.5)])
def test_rise_and_fall_is_a_line_and_a_cosine(steps, share, end):
    rise = max(1, int(share * steps))
    step = np.arange(steps + 1)
    fall = np.clip((step - rise) / max(1, steps - rise), 0, 1)
    want = np.where(step < rise, 0.05 + 0.95 * step / rise, end + (1 - end) * (1 + np.cos(np.pi * fall)) / 2)
    rate = rise_and_fall(2.0, steps, share, end)
    np.testing.assert_allclose([float(rate(each)) for each in step], 2 * want, rtol=1e-5, atol=1e-6)


def test_the_cited_figure_stands_in_chapter_09s_record():
    record = json.loads((data.results_directory() / "chapter09" / "seq2seq" / "report.json").read_text("utf-8"))
    table = next(each for each in record["records"] if each.get("title", "").endswith("accuracy with teacher forcing"))
    scores = [float(row[-1].split("±")[0]) for row in table["rows"] if row[0].startswith(("initial", "every"))]
    assert max(scores) == pytest.approx(LSTM_BLEU, abs=0.051)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smoothed_loss([[1, 2]], tf.zeros((1, 3, 4))), "logits: expected the shape"),
        (lambda: smoothed_loss([[1, 2]], tf.zeros((1, 2, 4)), 1.5), "smoothing: expected a number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

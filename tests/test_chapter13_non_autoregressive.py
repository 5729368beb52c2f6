"""The student: lengths, what it reads, what it learns from, and who picks its best sentence."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter09.encoder_decoder import greedy_decode
from kerasnotes.chapter13.non_autoregressive import (
    LengthPredictor,
    ParallelTranslator,
    distill,
    hidden_words,
    repeated_words,
    rescore,
)
from kerasnotes.chapter13.transformer import Transformer, TransformerDecoder, TransformerEncoder

SOURCE = np.array([[3, 4, 5, 6], [7, 8, 0, 0], [9, 3, 5, 0]])


@pytest.fixture(scope="module")
def teacher():
    return Transformer(TransformerEncoder(12, 8, 2, 8, 1, seed=1), TransformerDecoder(10, 8, 2, 8, 1, seed=2))


@pytest.fixture(scope="module")
def student():
    return ParallelTranslator(12, 10, 5, units=8, num_heads=2, hidden_units=8, layers=1, seed=3)


def test_the_length_is_a_dense_layer_of_the_mean_of_real_words(student):
    states, seen = student.encoder(SOURCE)
    means = np.array([states.numpy()[i, : (SOURCE[i] > 0).sum()].mean(axis=0) for i in range(3)])
    layer = keras.layers.Dense(5)
    layer.build((None, 8))
    layer.set_weights(student.lengths.get_weights())
    np.testing.assert_allclose(student.lengths((states, seen)), layer(means), atol=1e-5)
    alone = LengthPredictor(4, seed=1)((states, seen))
    assert alone.shape == (3, 4)


def test_the_student_writes_words_of_the_given_or_its_own_lengths(student):
    lengths = np.array([5, 1, 3])
    ids, log_p = student.write(SOURCE, iterations=3, lengths=lengths)
    np.testing.assert_array_equal((ids > 0).sum(axis=1), lengths)
    assert ids.max() < 10
    assert np.all((log_p < 0) == (ids > 0))
    own = np.argmax(student((SOURCE, np.full((3, 5), 10)))[1], axis=-1) + 1
    np.testing.assert_array_equal((student.write(SOURCE)[0] > 0).sum(axis=1), own)
    # One look is the likeliest word at every place, given nothing but masks.
    read = np.where(np.arange(5) < lengths[:, None], 10, 0)
    logits = student((SOURCE, read))[0].numpy()[..., 1:10]
    want = np.where(read > 0, logits.argmax(axis=-1) + 1, 0)
    np.testing.assert_array_equal(student.write(SOURCE, 1, lengths)[0], want)


def test_a_teachers_sentences_have_a_start_and_an_end(teacher):
    read, targets = distill(teacher, SOURCE, 1, 2, 4)
    written = greedy_decode(teacher, SOURCE, 1, 2, 4)
    for row, before, behind in zip(written, read, targets, strict=True):
        words = [int(i) for i in row if i > 2 or (i > 0 and i != 2)]
        words = words[: list(row).index(2)] if 2 in row else words
        np.testing.assert_array_equal(before, [1, *words, *[0] * (4 - len(words))])
        np.testing.assert_array_equal(behind, [*words, 2, *[0] * (4 - len(words))])


def test_the_teacher_picks_by_the_mean_log_probability(teacher):
    rng = np.random.default_rng(0)
    several = np.where(np.arange(4) < rng.integers(1, 5, (3, 6, 1)), rng.integers(3, 10, (3, 6, 4)), 0)
    want = []
    for source, candidates in zip(SOURCE[:, None], several, strict=True):
        values = []
        for row in candidates:
            words = [int(i) for i in row if i]
            log_p = tf.nn.log_softmax(teacher((source, np.array([[1, *words]])))).numpy()[0]
            values.append(np.mean([log_p[t, word] for t, word in enumerate([*words, 2])]))
        want.append(int(np.argmax(values)))
    np.testing.assert_array_equal(rescore(teacher, SOURCE, several, start=1, end=2), want)


def test_repeats_and_hidden_words():
    assert repeated_words([[3, 3, 4, 0], [5, 6, 6, 6]]) == pytest.approx(3 / 5)
    assert repeated_words([[3, 0], [4, 0]]) == 0
    target = np.where(np.arange(6) < np.random.default_rng(1).integers(1, 7, (4000, 1)), 5, 0)
    read, asked = hidden_words(target, 9, np.random.default_rng(2))
    np.testing.assert_array_equal(np.where(read == 9, asked, read), target)
    np.testing.assert_array_equal(asked > 0, read == 9)
    counts, lengths = (read == 9).sum(axis=1), (target > 0).sum(axis=1)
    assert counts.min() == 1
    for length in range(1, 7):  # every number from 1 to the length is as likely
        found = np.bincount(counts[lengths == length], minlength=length + 1)[1:]
        np.testing.assert_allclose(found / found.sum(), 1 / length, atol=0.08)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: LengthPredictor(0), "max_length: expected a whole"),
        (lambda m: rescore(m, SOURCE, np.ones((3, 4), int)), "candidates: expected the shape"),
        (lambda m: rescore(m, SOURCE, np.ones((2, 4, 3), int)), "candidates: expected the shape"),
        (lambda m: repeated_words([1, 2]), "ids: expected the shape"),
    ],
)
def test_errors(call, message, teacher):
    with pytest.raises(ValueError, match=message):
        call(teacher)

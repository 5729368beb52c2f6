"""Encoder and decoder: what a word sees, kept keys and values, chapter 09's contract, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter09.encoder_decoder import greedy_decode, likeliest
from kerasnotes.chapter13.positional_encoding import sinusoidal_encoding
from kerasnotes.chapter13.transformer import Transformer, TransformerDecoder, TransformerEncoder
from kerasnotes.chapter13.transformer_block import _of_keras


def model_of(norm_first=True, **arguments):
    parts = [
        kind(12, 8, 2, 6, norm_first=norm_first, seed=seed, **arguments)
        for seed, kind in enumerate((TransformerEncoder, TransformerDecoder))
    ]
    return Transformer(*parts)


SOURCE, TARGET = [[3, 4, 5, 6], [7, 8, 0, 0]], [[1, 9, 8, 7, 6], [1, 3, 4, 0, 0]]


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_whole_network_is_one_of_keras_layers(norm_first):
    model = model_of(norm_first)
    real = np.array(SOURCE) != 0

    def words(part, ids):
        return part.embedding(np.array(ids)) + 0.1 * sinusoidal_encoding(len(ids[0]), 8).astype("float32")

    context = words(model.encoder, SOURCE)
    for block in model.encoder.blocks:
        context = _of_keras(block)(context, mask=tf.constant(real[:, None]))
    norms = [keras.layers.LayerNormalization(epsilon=1e-6) if norm_first else (lambda x: x) for _ in range(2)]
    context, y = norms[0](context), words(model.decoder, TARGET)
    for block in model.decoder.blocks:
        y = _of_keras(block)(y, context, tf.constant(np.tri(5, dtype=bool)), tf.constant(real[:, None]))
    np.testing.assert_allclose(model((np.array(SOURCE), np.array(TARGET))), model.decoder.head(norms[1](y)), atol=1e-5)


@pytest.mark.parametrize("norm_first", [True, False])
def test_no_word_sees_a_later_one_and_padding_changes_nothing(norm_first):
    model, rng = model_of(norm_first), np.random.default_rng(0)
    source, target = rng.integers(1, 12, (3, 6)), rng.integers(1, 12, (3, 5))
    plain = model((source, target)).numpy()
    for t in range(5):
        changed = target.copy()
        changed[:, t] = changed[:, t] % 11 + 1
        moved = np.abs(model((source, changed)).numpy() - plain).max(axis=(0, 2))
        assert np.all(moved[:t] == 0)
        assert np.all(moved[t:] > 0)
    padded = model([np.pad(ids, ((0, 0), (0, 3))) for ids in (source, target)]).numpy()
    np.testing.assert_allclose(padded[:, :5], plain, atol=1e-6)


def test_pieces_with_kept_keys_are_the_whole():
    model, rng = model_of(), np.random.default_rng(1)
    source, target = rng.integers(1, 12, (2, 4)), rng.integers(1, 12, (2, 7))
    context, state, pieces = model.encoder(source), None, []
    for start, stop in ((0, 1), (1, 4), (4, 7)):
        logits, state = model.decoder(target[:, start:stop], context, state)
        pieces.append(logits)
        assert all(each.shape[2] == stop for block in state for each in block[:2])
        assert all(each.shape[2] == 4 for block in state for each in block[2:])
    np.testing.assert_allclose(tf.concat(pieces, axis=1), model((source, target)), atol=1e-5)


def test_greedy_decoding_of_chapter_09_is_teacher_forcing_on_own_words():
    model = model_of()
    source = np.array(SOURCE)
    ids = greedy_decode(model, source, start=1, end=2, max_length=6)
    target_in = np.concatenate([np.ones((2, 1), int), ids[:, :-1]], axis=1)
    again = likeliest(model((source, target_in)))
    for row, other in zip(ids, again, strict=True):
        until = np.flatnonzero(row == 2)[0] + 1 if 2 in row else len(row)
        np.testing.assert_array_equal(row[:until], other[:until])


def test_without_causality_every_word_counts_but_padding():
    decoder = TransformerDecoder(12, 8, 2, layers=1, causal=False, seed=3)
    context = TransformerEncoder(12, 8, 2, layers=1, seed=4)(np.array(SOURCE))
    target = np.array(TARGET)
    plain, state = decoder(target, context)
    assert state is None
    changed = target.copy()
    changed[:, 2] = 10
    assert np.abs(decoder(changed, context)[0] - plain)[:, 0].max() > 1e-6
    longer, _ = decoder(np.pad(target, ((0, 0), (0, 4))), context)
    np.testing.assert_allclose(longer[:, :3], plain[:, :3], atol=1e-6)
    with pytest.raises(ValueError, match="state: expected None"):
        decoder(target, context, state=model_of().decoder(target, context)[1])


def test_every_weight_has_a_gradient_and_dropout_needs_training():
    model = model_of(dropout=0.3)
    source, target = np.array(SOURCE), np.array(TARGET)
    np.testing.assert_array_equal(model((source, target)), model((source, target)))
    with tf.GradientTape() as tape:
        logits = model((source, target), training=True)
        loss = tf.reduce_sum(tf.sin(logits))
    assert np.abs(logits - model((source, target))).max() > 1e-3
    slopes = tape.gradient(loss, model.trainable_weights)
    assert len(slopes) == len(model.trainable_weights) == 2 * (1 + 2) + 2 + 2 * (16 + 26)
    assert all(slope is not None for slope in slopes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.encoder(np.ones((2, 3))), "source: expected whole numbers"),
        (lambda m: m.encoder(np.ones(3, int)), "source: expected the shape"),
        (lambda m: m((np.ones((2, 3), int), np.ones((2, 0), int))), "tokens: expected whole numbers"),
        (lambda m: m((np.ones((2, 3), int), np.ones((1, 3), int))), "context: expected the shape"),
        (lambda m: Transformer(m.encoder, TransformerDecoder(12, 4, 2)), "expected equal units, got 8 and 4"),
        (lambda m: TransformerEncoder(1, 8), "vocabulary_size: expected a whole"),
        (lambda m: TransformerEncoder(5, 8, layers=0), "layers: expected a whole"),
        (lambda m: TransformerDecoder(5, 6, 4), "multiple of num_heads"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(model_of())

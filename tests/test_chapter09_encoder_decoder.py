"""Encoder and decoder against Keras's layers and against themselves step by step."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter09.encoder_decoder import (
    CONTEXTS,
    Decoder,
    Encoder,
    Seq2Seq,
    greedy_decode,
    likeliest,
    sentence_loss,
)

START, END = 2, 3


def build(context, vocabulary=9, units=5, seed=0):
    model = Seq2Seq(Encoder(vocabulary + 2, units, seed=seed), Decoder(vocabulary, units, context, seed=seed + 7))
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])  # far from uniform logits
    return model


def sentences(rng, batch, steps, size):
    """Ids from 1 with zeros behind the last word; the first row has the full length, the second one word."""
    lengths = np.concatenate([[steps, 1], rng.integers(1, steps + 1, size=batch - 2)])
    return np.where(np.arange(steps) < lengths[:, None], rng.integers(1, size, size=(batch, steps)), 0).astype(np.int32)


@pytest.mark.parametrize("context", CONTEXTS)
@settings(max_examples=4)
@given(st.integers(2, 3), st.integers(2, 5), st.integers(2, 4), st.integers(0, 2**20))
def test_a_step_at_a_time_and_padding_change_nothing(context, batch, source_steps, target_steps, seed):
    rng = np.random.default_rng(seed)
    model = build(context, seed=seed)
    source, target = sentences(rng, batch, source_steps, 11), sentences(rng, batch, target_steps, 9)
    forced = model((source, target)).numpy()
    assert forced.shape == (batch, target_steps, 9)
    encoded, state, single = model.encoder(source), None, []
    for t in range(target_steps):
        logits, state = model.decoder(target[:, t : t + 1], encoded, state)
        single.append(logits.numpy()[:, 0])
    real = target != 0
    np.testing.assert_allclose(np.stack(single, axis=1)[real], forced[real], atol=1e-5)
    longer = model((np.pad(source, ((0, 0), (0, 3))), np.pad(target, ((0, 0), (0, 2))))).numpy()
    np.testing.assert_allclose(longer[:, :target_steps][real], forced[real], atol=1e-5)
    for row in range(batch):
        alone = model.encoder(source[row : row + 1, : np.count_nonzero(source[row])])
        np.testing.assert_allclose([part[row] for part in encoded], [part[0] for part in alone], atol=1e-5)
        last = model.decoder(target[row : row + 1, : np.count_nonzero(target[row])], alone)[1]
        np.testing.assert_allclose([part[row] for part in state], [part[0] for part in last], atol=1e-5)


@pytest.mark.parametrize("context", CONTEXTS)
def test_equal_to_the_layers_of_keras(context):
    rng = np.random.default_rng(1)
    model = build(context)
    source, target = sentences(rng, 4, 6, 11), sentences(rng, 4, 5, 9)
    table, *lstm = model.encoder.get_weights()
    layer = keras.layers.LSTM(5, return_state=True)
    layer.build((None, None, table.shape[1]))
    layer.set_weights(lstm)
    _, h, c = layer(table[source], mask=source != 0)
    table, *weights = model.decoder.get_weights()
    x = table[target]
    if context == "every_step":
        x = np.concatenate([x, np.broadcast_to(h.numpy()[:, None], (*target.shape, 5))], axis=-1)
    layer = keras.layers.LSTM(5, return_sequences=True)
    layer.build((None, None, x.shape[-1]))
    layer.set_weights(weights[:3])
    states = layer(x, mask=target != 0, initial_state=[h, c] if context == "initial_state" else None)
    np.testing.assert_allclose(model((source, target)), states @ weights[3] + weights[4], atol=1e-5)


@pytest.mark.parametrize("context", CONTEXTS)
@settings(max_examples=4)
@given(st.integers(2, 4), st.integers(2, 6), st.integers(0, 2**20))
def test_greedy_decoding_writes_what_teacher_forcing_on_it_predicts(context, batch, max_length, seed):
    rng = np.random.default_rng(seed)
    model = build(context, seed=seed)
    model.decoder.head.bias.assign_add(2 * np.eye(9)[END])  # so that some sentences end early
    source = sentences(rng, batch, 4, 11)
    ids = greedy_decode(model, source, START, END, max_length)
    assert ids.shape == (batch, max_length)
    assert ids.dtype == np.int32
    read = np.concatenate([np.full((batch, 1), START), ids[:, :-1]], axis=1).astype(np.int32)
    predicted = likeliest(model((source, read)))
    for row, wanted in zip(ids, predicted, strict=True):
        stop = np.argmax(row == END) + 1 if END in row else max_length
        assert np.array_equal(row[:stop], wanted[:stop])
        assert not row[stop:].any()
        assert row[:stop].all()


def test_the_likeliest_word_is_never_padding():
    assert likeliest(np.array([[9.0, 1.0, 2.0, 0.0], [5.0, -1.0, -3.0, -2.0]])).tolist() == [2, 1]


def test_a_seed_gives_the_weights_and_the_layers_have_their_own():
    one, same, other = (Decoder(9, 4, seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0], other[0])


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_batch_and_the_steps_may_be_unknown_when_traced(context):
    rng = np.random.default_rng(4)
    model, ids = build(context), tf.TensorSpec((None, None), tf.int32)
    run = tf.function(lambda source, target: model((source, target)), input_signature=[ids, ids])
    source, target = sentences(rng, 3, 4, 11), sentences(rng, 3, 5, 9)
    np.testing.assert_allclose(run(source, target), model((source, target)), atol=1e-6)


def test_a_word_has_half_as_many_numbers_as_there_are_units():
    for units, numbers in ((6, 3), (5, 2), (1, 1)):
        assert Encoder(4, units).get_weights()[0].shape == Decoder(4, units).get_weights()[0].shape == (4, numbers)
    assert Encoder(4, 6, embedding_size=5).get_weights()[0].shape == (4, 5)
    assert 0.49 < np.abs(Encoder(500, 8, seed=1).get_weights()[0]).max() <= 0.5


def test_the_loss_leaves_padding_out():
    logits = tf.constant([[[0.0, 1.0, 2.0], [5.0, 0.0, 0.0], [9.0, 0.0, 0.0]]])
    want = -tf.math.log_softmax(logits).numpy()[0, [0, 1], [2, 1]].mean()
    assert float(sentence_loss()(np.array([[2, 1, 0]]), logits)) == pytest.approx(float(want), rel=1e-6)


def test_errors():
    ids = np.ones((2, 3), np.int32)
    model = build("initial_state")
    with pytest.raises(ValueError, match="vocabulary_size: expected a whole number of at least 2, got 1"):
        Encoder(1, 3)
    with pytest.raises(ValueError, match="units: expected a whole number of at least 1, got 0"):
        Decoder(5, 0)
    with pytest.raises(ValueError, match="embedding_size: expected a whole number of at least 1, got 0"):
        Encoder(5, 3, embedding_size=0)
    with pytest.raises(ValueError, match="context: expected one of initial_state, every_step, got 'never'"):
        Decoder(5, 3, "never")
    with pytest.raises(ValueError, match="context_size: expected 3 as units, for a first state, got 4"):
        Decoder(5, 3, context_size=4)
    with pytest.raises(ValueError, match="encoder, decoder: expected a context of 4 units, got 3"):
        Seq2Seq(Encoder(5, 3), Decoder(5, 4))
    assert Seq2Seq(Encoder(5, 3), Decoder(5, 4, "every_step", context_size=3))((ids, ids)).shape == (2, 3, 5)
    for bad, message in (
        (ids[0], "source: expected the shape"),
        (ids[:, :0], "source: expected whole numbers, not empty"),
    ):
        with pytest.raises(ValueError, match=message):
            model.encoder.call(bad)
    with pytest.raises(ValueError, match="tokens: expected whole numbers, not empty, got float32"):
        model.decoder.call(ids.astype(np.float32), (tf.zeros((2, 5)),) * 2)
    for bad in (tf.zeros((2, 4)), tf.zeros((1, 5))):  # one row would be used for the whole batch
        with pytest.raises(ValueError, match=r"context: expected the shape \(2, 5\)"):
            model.decoder.call(ids, (bad, bad))
    with pytest.raises(ValueError, match="max_length: expected a whole number of at least 1, got 0"):
        greedy_decode(model, ids, START, END, 0)
    for name, marks in (("start", (0, END)), ("end", (START, 9))):
        with pytest.raises(ValueError, match=f"{name}: expected an id from 1 to 8"):
            greedy_decode(model, ids, *marks, 3)

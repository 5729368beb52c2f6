"""Pre-training counts gaps alone and draws new ones, a classifier on the encoder, fine-tuning, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter14.bert import GapFiller, build_bert_classifier, fine_tune, pretrain
from kerasnotes.chapter14.masked_language_model import MaskedLanguageModel
from kerasnotes.chapter14.masked_words import mask_tokens


def small(seed=1, **arguments):
    return MaskedLanguageModel(12, units=16, num_heads=2, layers=1, max_length=6, seed=seed, **arguments)


def texts(samples, seed=0):
    rng = np.random.default_rng(seed)
    ids = (rng.integers(0, 9, (samples, 1)) + np.arange(6)) % 9 + 2  # 11 is the mask
    return np.where(np.arange(6) < rng.integers(3, 7, (samples, 1)), ids, 0).astype(np.int32)


def test_the_filler_is_the_model_at_its_gaps_and_its_loss_keras_mean():
    model, ids = small(), texts(9)
    inputs, targets, chosen = mask_tokens(ids, 12, 11, rate=0.4, seed=3)
    logits, right = GapFiller(model).logits(inputs, targets)
    np.testing.assert_allclose(logits, model(inputs).numpy()[chosen], atol=1e-6)
    np.testing.assert_array_equal(right, ids[chosen])
    filler = GapFiller(model)
    with tf.GradientTape() as tape:
        filler((tf.constant(inputs), tf.constant(targets)))
        loss = tf.add_n(filler.losses)
    want = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(right, logits)
    np.testing.assert_allclose(loss, want, rtol=1e-5)
    slopes = tape.gradient(loss, [weight.value for weight in model.weights])
    assert all(slope is not None for slope in slopes)


@pytest.fixture(scope="module")
def trained():
    model = small()
    return model, pretrain(model, texts(200), epochs=24, learning_rate=0.02, batch_size=10, seed=4)


def test_pretraining_fills_gaps(trained):
    model, history = trained
    assert len(history["loss"]) == 24
    assert history["loss"][0] > 1.8
    assert history["loss"][-1] < 1.2
    filled = np.argmax(model(np.array([[3, 4, 11, 6, 7, 8], [10, 2, 11, 4, 5, 6]], np.int32)), axis=-1)[:, 2]
    np.testing.assert_array_equal(filled, [5, 3])


def test_every_epoch_has_gaps_of_its_own_and_unknown_words_are_none(monkeypatch):
    seen = []
    monkeypatch.setattr("kerasnotes.chapter14.bert._one_epoch", lambda _, x, *rest: seen.append(x) or [0.5])
    ids = texts(40)
    ids[:, 1] = 1
    assert pretrain(small(), ids, epochs=2, seed=5) == {"loss": [0.5, 0.5]}
    for inputs, targets in seen:
        texts_read = np.where(targets >= 0, targets, inputs)
        assert sorted(texts_read.tolist()) == sorted(ids.tolist())  # each text once, in another order
        assert targets[targets >= 0].min() >= 2
    (one, chosen), (other, later) = seen
    assert (one != other).any()
    words = (np.where(chosen >= 0, chosen, one) > 1) & (np.where(later >= 0, later, other) > 1)
    assert ((chosen >= 0) != (later >= 0))[words].any()  # other places, not the same ones under other texts
    assert (one != ids).any(axis=1).sum() > 20
    pretrain(small(), ids, epochs=1, seed=5)
    np.testing.assert_array_equal(seen[2], seen[0])


def test_padding_does_not_reach_the_classifier_and_it_shares_the_encoder(trained):
    model, _ = trained
    classifier = build_bert_classifier(model, dropout=0.0, seed=6)
    kernel, bias = classifier.get_layer("head").get_weights()
    ids = texts(7, seed=8)
    for row, logit in zip(ids, classifier(ids).numpy()[:, 0], strict=True):
        real = row[row != 0][None]
        np.testing.assert_allclose(
            model.encode(real).numpy()[0].mean(axis=0) @ kernel[:, 0] + bias[0], logit, atol=1e-5
        )
    assert classifier.count_params() == sum(weight.numpy().size for weight in model.encoder.weights) + 17
    before = model.encoder.norm.gamma.numpy()
    model.encoder.norm.gamma.assign(2 * before)
    assert np.abs(classifier(ids) - classifier.predict(ids, verbose=0)).max() < 1e-5
    model.encoder.norm.gamma.assign(before)
    assert np.isfinite(classifier(np.zeros((1, 6), np.int32))).all()


def test_dropout_acts_in_training_only():
    model = small()
    classifier, ids = build_bert_classifier(model, dropout=0.5, seed=1), texts(5)
    np.testing.assert_array_equal(classifier(ids), classifier(ids))
    assert np.abs(classifier(ids, training=True) - classifier(ids, training=True)).max() > 1e-4


def test_fine_tuning_trains_the_encoder_too_and_keeps_an_optimizer():
    model, ids = small(), texts(60)
    before = [weight.numpy() for weight in model.encoder.blocks[0].weights]
    classifier = build_bert_classifier(model, seed=2)
    history = fine_tune(classifier, ids, ids[:, 0] > 5, epochs=20, learning_rate=0.02, batch_size=10)["loss"]
    assert len(history) == 20
    assert history[-1] < 0.5 < history[0]
    moved = [np.abs(weight - old).max() for weight, old in zip(model.encoder.blocks[0].weights, before, strict=True)]
    assert max(moved) > 0.01
    optimizer = classifier.optimizer
    fine_tune(classifier, ids, ids[:, 0] > 5, epochs=1, batch_size=10)
    assert classifier.optimizer is optimizer
    assert int(optimizer.iterations) == 126


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pretrain(small(), texts(9), epochs=0), "epochs: expected a whole number"),
        (lambda: pretrain(small(), texts(9)[0], epochs=1), "ids: expected the shape"),
        (lambda: pretrain(small(), texts(9), epochs=1, learning_rate=0.0), "learning_rate: expected a positive"),
        (lambda: pretrain(small(), texts(9) + 9, epochs=1), "ids: expected whole numbers from 0 to 11"),
        (lambda: build_bert_classifier(small(), dropout=1.0), "dropout: expected a number"),
        (lambda: fine_tune(build_bert_classifier(small()), texts(9), np.ones((9, 1)), 1), "labels: expected the shape"),
        (lambda: fine_tune(build_bert_classifier(small()), texts(9), np.ones(8), 1), "labels: expected the shape"),
        (lambda: fine_tune(build_bert_classifier(small()), texts(9), np.ones(9), 0), "epochs: expected a whole"),
        (lambda: fine_tune(build_bert_classifier(small()), texts(9), np.full(9, 4), 1), "labels: expected 0 and 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Masked language model: both sides, padding, segments, the tied head; a classifier that shares; every error."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter14.masked_language_model import (
    MaskedLanguageModel,
    TextClassifier,
    TextEncoder,
    compile_masked,
    pack_pair,
)


@pytest.fixture(scope="module")
def model():
    model = MaskedLanguageModel(20, 8, 2, 12, layers=2, max_length=9, seed=1)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) / 2 for weight in model.get_weights()])
    return model


IDS = np.random.default_rng(1).integers(1, 20, size=(3, 9))


@pytest.mark.parametrize("place", [0, 4, 8])
def test_every_place_depends_on_every_word(model, place):
    changed = IDS.copy()
    changed[:, place] = 1 + IDS[:, place] % 19
    assert np.abs(model(changed) - model(IDS)).max(axis=(0, 2)).min() > 1e-5


def test_padding_is_seen_by_no_word(model):
    short = IDS[:, :6]
    padded = np.pad(short, ((0, 0), (0, 3)))
    np.testing.assert_allclose(model(padded)[:, :6], model(short), atol=1e-4)


def test_keras_layers_give_the_same_states(model):
    encoder = model.encoder
    segments = np.tile([0] * 4 + [1] * 5, (3, 1))
    x = encoder.words.numpy()[IDS] + encoder.places.numpy()[:9] + encoder.parts.numpy()[segments]
    seen = np.ones((3, 1, 9), bool)
    for block in encoder.blocks:
        x = block(tf.constant(x), attention_mask=seen)
    norm = keras.layers.LayerNormalization(epsilon=1e-6)
    norm.build(x.shape)
    norm.set_weights(encoder.norm.get_weights())
    want = norm(x)
    np.testing.assert_allclose(model.encode(IDS, segments), want, atol=1e-4)
    logits = want.numpy() @ encoder.words.numpy().T + model.bias.numpy()
    np.testing.assert_allclose(model((IDS, segments)), logits, atol=1e-4)
    np.testing.assert_allclose(model(IDS), model((IDS, np.zeros_like(IDS))), atol=1e-6)
    assert np.abs(model(IDS) - logits).max() > 0.01


def test_a_packed_pair_can_be_read(model):
    ids, segments = pack_pair([5, 6], [7, 8, 9], 2, 3, 9)
    assert model((ids[None], segments[None])).shape == (1, 9, 20)


def test_a_classifier_shares_the_encoder(model):
    classifier = TextClassifier(model.encoder, seed=3)
    assert classifier.encoder is model.encoder
    assert [id(weight) for weight in classifier.weights[:-2]] == [id(weight) for weight in model.encoder.weights]
    padded = np.pad(IDS[:, :5], ((0, 0), (0, 4)))
    mean = model.encode(IDS[:, :5]).numpy().mean(axis=1)
    np.testing.assert_allclose(classifier.features(padded), mean, atol=1e-4)
    want = mean @ classifier.head.kernel.numpy() + classifier.head.bias.numpy()
    np.testing.assert_allclose(classifier(padded), want, atol=1e-4)
    assert np.isfinite(classifier(np.zeros((1, 4), int))).all()


def test_the_encoder_serves_functional_models(model):
    ids = keras.Input((9,), dtype="int32")
    outside = keras.Model(ids, keras.layers.GlobalAveragePooling1D()(model.encoder(ids)))
    np.testing.assert_allclose(outside(IDS), model.encode(IDS).numpy().mean(axis=1), atol=1e-5)


def test_seeds_make_the_weights():
    a, b, c = (MaskedLanguageModel(9, 4, 2, layers=1, max_length=5, seed=seed).get_weights() for seed in (1, 1, (1, 2)))
    assert all(np.array_equal(*pair) for pair in zip(a, b, strict=True))
    assert any(not np.array_equal(*pair) for pair in zip(a, c, strict=True))


def test_the_schedule():
    model = MaskedLanguageModel(9, 4, 2, layers=1, max_length=5)
    compile_masked(model, steps=100, learning_rate=0.01)
    rate = model.optimizer._learning_rate
    assert [float(rate(step)) for step in (0, 10, 100)] == pytest.approx([0.0005, 0.01, 0.0002])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda model: MaskedLanguageModel(1), "vocabulary_size: expected a whole number of at least 2"),
        (lambda model: MaskedLanguageModel(9, 6, 4), "units: expected a multiple of num_heads"),
        (lambda model: MaskedLanguageModel(9, 0), "units: expected a whole number"),
        (lambda model: MaskedLanguageModel(9, layers=0), "layers: expected a whole number"),
        (lambda model: MaskedLanguageModel(9, max_length=0), "max_length: expected a whole number"),
        (lambda model: TextEncoder(9, 4, 0, None, 1, 5), "num_heads: expected a whole number"),
        (lambda model: model(np.ones(4, int)), "ids: expected the shape"),
        (lambda model: model(np.ones((1, 10), int)), "ids: expected at most 9 steps, got 10"),
        (lambda model: model((IDS, IDS[:, :4])), "segments: expected the shape"),
    ],
)
def test_errors(model, function, message):
    with pytest.raises(ValueError, match=message):
        function(model)

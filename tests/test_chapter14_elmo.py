"""Two language models in one: what states know, Keras's LSTMs and loss, the mix, texts with senses, every error."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter14.elmo import (
    BidirectionalLanguageModel,
    ambiguous_chain,
    both_ways,
    linear_probe,
    scalar_mix,
    sum_of_directions,
)


@pytest.fixture(scope="module")
def model():
    return BidirectionalLanguageModel(11, 3, 4, seed=1)


IDS = np.random.default_rng(0).integers(11, size=(5, 7))


def test_states_are_those_of_two_lstms(model):
    x, forward, backward = model.encode(IDS)
    np.testing.assert_array_equal(x, model.embedding.embeddings.numpy()[IDS])
    for ours, layer, turn in ((forward, model.forward, 1), (backward, model.backward, -1)):
        theirs = keras.layers.LSTM(4, return_sequences=True)
        theirs.build((None, None, 3))
        theirs.set_weights(layer.get_weights())
        np.testing.assert_allclose(ours, theirs(x[:, ::turn]).numpy()[:, ::turn], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("place", [0, 3, 6])
def test_what_states_know(model, place):
    changed = IDS.copy()
    changed[:, place] = (IDS[:, place] + 1) % 11
    for layer, (before, after) in enumerate(zip(model.encode(IDS), model.encode(changed), strict=True)):
        moved = np.abs(before - after).max(axis=(0, 2)) > 0
        want = {0: np.arange(7) == place, 1: np.arange(7) >= place, 2: np.arange(7) <= place}[layer]
        np.testing.assert_array_equal(moved, want)


def test_no_direction_sees_its_answer(model):
    for place in range(7):
        changed = IDS.copy()
        changed[:, place] = (IDS[:, place] + 1) % 11
        moved = np.abs(model(IDS) - model(changed)).max(axis=(0, 3)) > 0  # (steps - 1, 2)
        np.testing.assert_array_equal(moved[:, 0], np.arange(6) >= place)  # predicts step + 1
        np.testing.assert_array_equal(moved[:, 1], np.arange(1, 7) <= place)  # predicts step - 1


def test_the_loss(model):
    targets, logits = both_ways(IDS), model(IDS)
    np.testing.assert_array_equal(targets[..., 0], IDS[:, 1:])
    np.testing.assert_array_equal(targets[..., 1], IDS[:, :-1])
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    want = sum(float(entropy(targets[..., k], logits[:, :, k])) for k in (0, 1))
    assert float(sum_of_directions(targets, logits)) == pytest.approx(want, rel=1e-5)
    assert len(model.trainable_weights) == 1 + 3 + 3 + 2  # one embedding and one head for both


@pytest.mark.parametrize("count", [1, 2, 4])
def test_scalar_mix(count):
    rng = np.random.default_rng(count)
    layers, weights = list(rng.normal(size=(count, 2, 3))), rng.normal(size=count)
    shares = np.exp(weights) / np.exp(weights).sum()
    np.testing.assert_allclose(scalar_mix(layers, weights, 1.5), 1.5 * np.tensordot(shares, layers, 1), rtol=1e-9)
    np.testing.assert_allclose(scalar_mix(layers, np.ones(count), 2.0), 2 * np.mean(layers, axis=0), rtol=1e-9)
    variable = tf.Variable(weights)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(scalar_mix(layers, variable, 1.0))
    sums = np.sum(layers, axis=(1, 2))
    np.testing.assert_allclose(tape.gradient(value, variable), shares * (sums - shares @ sums), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_texts_with_senses(seed):
    ids, classes = ambiguous_chain(500, 20, seed)
    assert ids.min() == 0
    assert ids.max() == 239
    shared = ids < 60
    np.testing.assert_array_equal(classes[shared] // 2, ids[shared] // 12)
    np.testing.assert_array_equal(classes[~shared], (ids[~shared] - 60) // 18)
    assert abs(shared.mean() - 0.4) < 4 * np.sqrt(0.24 / shared.size)
    follow = [set(classes[:, 1:][classes[:, :-1] == c]) for c in range(10)]
    assert all(len(after) == 2 and len({c // 2 for c in after}) == 2 for after in follow)
    assert sorted(c for after in follow for c in after) == sorted([*range(10)] * 2)
    np.testing.assert_array_equal(ids, ambiguous_chain(500, 20, seed)[0])


def test_linear_probe():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5)) * [1, 10, 100, 1, 1] + [0, 5, 0, 0, 9]
    label = (x @ [1, 0.2, -0.01, 0, 0] > 1).astype(int)
    assert np.mean(linear_probe(x[:200], label[:200], x[200:]) == label[200:]) > 0.9
    assert set(linear_probe(x, label, x)) == {0, 1}


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: BidirectionalLanguageModel(1, 3, 4), "vocabulary_size: expected a whole number of at least 2"),
        (lambda: BidirectionalLanguageModel(5, 0, 4), "embedding_size: expected a whole number"),
        (lambda: BidirectionalLanguageModel(5, 3, 0), "units: expected a whole number"),
        (lambda: BidirectionalLanguageModel(5, 3, 4).encode([1, 2]), "ids: expected the shape"),
        (lambda: both_ways([1, 2]), "ids: expected the shape"),
        (lambda: scalar_mix([np.ones((2, 3)), np.ones((1, 3))], [0, 0], 1.0), "layers: expected the shape"),
        (lambda: scalar_mix([np.ones((2, 3))] * 2, [0.0], 1.0), "weights: expected the shape"),
        (lambda: ambiguous_chain(0, 5), "samples: expected a whole number"),
        (lambda: ambiguous_chain(5, 0), "steps: expected a whole number"),
        (lambda: ambiguous_chain(5, 5, classes=7), "classes, words: expected"),
        (lambda: ambiguous_chain(5, 5, words=31), "classes, words: expected"),
        (lambda: ambiguous_chain(5, 5, classes=2), "classes: expected a whole number of at least"),
        (lambda: linear_probe(np.ones((2, 1)), np.ones(2), np.ones((2, 1)), 0.0), "ridge: expected a positive"),
    ],
)
def test_errors(function, message):
    with pytest.raises(ValueError, match=message):
        function()

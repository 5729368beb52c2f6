"""Readers of sentences: masks, shapes, logistic regression; families and near-duplicates; errors."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter09.sentiment import CELLS, build_classifier, deal_families, families, near_duplicates


@pytest.mark.parametrize("cell", CELLS)
def test_padding_changes_nothing(cell):
    model = build_classifier(cell, 20, 3, 4, seed=1)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    ids = rng.integers(1, 20, size=(5, 6)).astype(np.int32)
    ids[1, 3:] = 0
    logits = np.asarray(model(ids))
    assert logits.shape == (5, 1)
    np.testing.assert_allclose(model(np.pad(ids, ((0, 0), (0, 4)))), logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model(ids[1:2, :3]), logits[1:2], rtol=1e-5, atol=1e-6)


def test_a_bag_counts_words_and_forgets_their_order():
    model = build_classifier("bag_of_words", 5)
    weights = np.array([[100.0], [0.5], [-1.0], [2.0], [0.0]])
    model.set_weights([weights])
    np.testing.assert_allclose(model(np.array([[3, 3, 2, 0]])), [[3.0]])
    ids = np.array([[1, 2, 3, 4]])
    np.testing.assert_allclose(model(ids), model(ids[:, ::-1]))


@pytest.mark.parametrize("cell", ["simple_rnn", "gru", "lstm", "bi_lstm"])
def test_a_recurrent_reader_sees_the_order(cell):
    model = build_classifier(cell, 5, 3, 4, seed=1)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    ids = np.array([[1, 2, 3, 4]])
    assert abs(float((model(ids) - model(ids[:, ::-1]))[0, 0])) > 1e-3


def test_one_seed_gives_one_start():
    first, again, other = (build_classifier("gru", 5, 3, 4, seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.allclose(first[0], other[0])


@settings(max_examples=40)
@given(st.lists(st.lists(st.integers(0, 12), max_size=4), min_size=1, max_size=12))
def test_families_are_connected_components(keys):
    family = families(keys)
    n = len(keys)
    kin = np.array([[i == j or bool(set(keys[i]) & set(keys[j])) for j in range(n)] for i in range(n)])
    reach = np.linalg.matrix_power(kin.astype(np.int64), n) > 0  # within n steps everyone is reached
    np.testing.assert_array_equal(family[:, None] == family[None], reach)
    assert set(family) == set(range(family.max() + 1))


def test_near_duplicates():
    sentences = [
        ["a", "good", "film", "about", "trains"],
        ["a", "good", "film", "about", "planes"],  # 4 of 6 words
        ["something", "else", "entirely", "here"],
        ["a", "good", "film", "about", "trains", "and", "planes"],  # 5 of 7 with the first
    ]
    assert near_duplicates(sentences, 0.6) == [(0, 1), (0, 3), (1, 3)]
    assert near_duplicates(sentences, 0.7) == [(0, 3), (1, 3)]
    assert near_duplicates(sentences, 1.0) == []
    assert near_duplicates([sentences[0]] * 2, 1.0) == [(0, 1)]


def test_sizes_and_dropout_before_and_after_the_reader():
    model = build_classifier("lstm", 10)
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.7, 0.7]
    kinds = [type(layer) for layer in model.layers]
    first, second = (place for place, kind in enumerate(kinds) if kind is keras.layers.Dropout)
    assert first < kinds.index(keras.layers.LSTM) < second
    assert [weight.shape for weight in model.get_weights()] == [(10, 64), (64, 256), (64, 256), (256,), (64, 1), (1,)]
    table = build_classifier("gru", 500).get_weights()[0]
    assert 0.099 < np.abs(table).max() <= 0.1
    assert not build_classifier("bag_of_words", 5).get_weights()[0].any()


def test_single_items_are_dealt_exactly():
    for seed in range(3):
        assert [len(part) for part in deal_families(list(range(8)), list(range(8)), [4, 6, 8], seed)] == [4, 2, 2]


@pytest.mark.parametrize(("own", "found"), [(4, [(0, 1)]), (5, [])])
def test_the_five_rarest_words_find_candidates(own, found):
    """The two share five words that others have, too, and have `own` rarer ones each."""
    shared = list("abcde")
    pair = [shared + [f"{side}{n}" for n in range(own)] for side in ("left", "right")]
    assert near_duplicates([*pair, *([word] for word in shared)], 0.3) == found


def test_six_of_ten_words_are_enough_by_default():
    words = [str(n) for n in range(20)]
    assert near_duplicates([words[:8], words[2:10]]) == [(0, 1)]  # 6 of 10
    assert near_duplicates([words[:11], words[4:15]]) == []  # 7 of 15


def test_errors():
    with pytest.raises(ValueError, match=r"cell: expected one of bag_of_words, .*, got 'transformer'"):
        build_classifier("transformer", 10)
    with pytest.raises(ValueError, match="vocabulary_size: expected a whole number of at least 1, got 0"):
        build_classifier("lstm", 0)
    with pytest.raises(ValueError, match="units: expected a whole number of at least 1, got -1"):
        build_classifier("lstm", 10, -1)
    for bad in (0, 1.1):
        with pytest.raises(ValueError, match="threshold: expected a number above 0 to 1"):
            near_duplicates([["a"]], bad)


def test_families_are_dealt_whole():
    items, kin = list("abcdefgh"), [0, 0, 1, 2, 2, 2, 3, 1]
    for seed in range(5):
        parts = deal_families(items, kin, [4, 6, 8], seed)
        assert sorted(item for part in parts for item in part) == items
        for number in set(kin):
            family = {item for item, own in zip(items, kin, strict=True) if own == number}
            assert sum(bool(family & set(part)) for part in parts) == 1
        assert len(parts[0]) >= 4
    assert deal_families(items, kin, [8]) != deal_families(items, kin, [8], seed=1)
    with pytest.raises(ValueError, match="items, kin, limits"):
        deal_families(items, kin[1:], [8])
    with pytest.raises(ValueError, match="items, kin, limits"):
        deal_families(items, kin, [])

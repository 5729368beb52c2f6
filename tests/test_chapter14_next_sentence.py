"""Pairs of halves, fair and unfair; rows with two segments; a head on the first token; shared characters; errors."""

import numpy as np
import pytest

from kerasnotes.chapter14.masked_language_model import MaskedLanguageModel
from kerasnotes.chapter14.next_sentence import any_pairs, build_pair_classifier, fair_pairs, pack_pairs, shared

POEMS = [(f"a{i}", f"b{i}") for i in range(2000)]


@pytest.mark.parametrize("draw", [any_pairs, fair_pairs])
def test_right_pairs_are_of_one_poem_and_wrong_ones_of_two(draw):
    first, second, is_next = draw(POEMS, seed=1)
    assert len(first) == len(second) == len(is_next)
    assert all(text[0] == "a" for text in first)
    same = np.array([one[1:] == two[1:] for one, two in zip(first, second, strict=True)])
    np.testing.assert_array_equal(same, is_next)
    assert all(two[0] == "b" for two, right in zip(second, is_next, strict=True) if right)
    assert abs(is_next.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(first))
    assert len(set(first)) == len(first)


def test_only_fair_pairs_hide_the_answer_from_a_reader_of_the_second_half():
    for draw, most in ((any_pairs, 0.75), (fair_pairs, 0.5)):
        _, second, is_next = draw(POEMS, seed=(2, 3))
        guess = [text[0] == "b" for text in second]
        assert abs(np.mean(guess == is_next) - most) < 4 * 0.5 / np.sqrt(len(second))
    assert 900 < len(second) < 1100  # a half of the poems


def test_draws_depend_on_the_seed():
    assert fair_pairs(POEMS, 5)[1] == fair_pairs(POEMS, 5)[1]
    assert fair_pairs(POEMS, 5)[1] != fair_pairs(POEMS, 6)[1]
    assert fair_pairs(POEMS, (5, 1))[1] != fair_pairs(POEMS, (5, 2))[1]


def test_rows():
    ids, segments = pack_pairs(["xy", "z"], ["z", "y?"], lambda text: ["?xyz".index(c) + 1 for c in text], 8)
    np.testing.assert_array_equal(ids, [[2, 4, 5, 3, 6, 3, 0, 0], [2, 6, 3, 5, 1, 3, 0, 0]])
    np.testing.assert_array_equal(segments, [[0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 0, 0]])


def test_the_head_reads_the_first_state_of_both_segments():
    model = MaskedLanguageModel(9, units=8, num_heads=2, layers=1, max_length=8, seed=1)
    classifier = build_pair_classifier(model, seed=2)
    ids = np.array([[2, 4, 5, 3, 6, 3, 0, 0], [2, 6, 3, 5, 1, 3, 0, 0]], np.int32)
    segments = np.array([[0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 0, 0]], np.int32)
    kernel, bias = classifier.layers[-1].get_weights()
    states = model.encode(ids, segments).numpy()
    np.testing.assert_allclose(classifier((ids, segments)), states[:, 0] @ kernel + bias, atol=1e-5)
    assert np.abs(classifier((ids, segments)) - classifier((ids, 0 * segments))).max() > 1e-3
    assert np.abs(kernel - build_pair_classifier(model, seed=3).layers[-1].get_weights()[0]).max() > 1e-3


def test_shared_characters_are_counted_once():
    np.testing.assert_array_equal(shared(["aabc", "xyz", "山水"], ["acca", "uvw", "水水"]), [2, 0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: any_pairs(POEMS[:1]), "sentences: number: expected a whole number of at least 3"),
        (lambda: fair_pairs([("a", "b", "c"), ("a", "b")]), "poems: expected pairs"),
        (lambda: any_pairs([("a",), ("b",), ("c",)]), "poems: expected pairs"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

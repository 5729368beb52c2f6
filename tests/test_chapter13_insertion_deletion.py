"""Edits against TensorFlow's distance and against definitions; rounds against the binary logarithm."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from kerasnotes.chapter13.insertion_deletion import (
    apply_edits,
    corrupt,
    edit_distance,
    edit_table,
    insertion_rounds,
    oracle_edits,
)

texts = st.lists(st.integers(0, 3), max_size=12)


def common(a, b):
    """Length of the longest common subsequence, by its definition."""
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + common(a[1:], b[1:])
    return max(common(a[1:], b), common(a, b[1:]))


@given(texts, texts)
def test_the_edits_give_the_target_and_are_as_many_as_the_distance(a, b):
    delete, insertions = oracle_edits(a, b)
    assert delete.dtype == bool
    assert delete.shape == (len(a),)
    assert len(insertions) == len(a) + 1
    assert apply_edits(a, delete, insertions) == b
    assert delete.sum() + sum(map(len, insertions)) == edit_distance(a, b)


@given(st.text("abc", max_size=7), st.text("abc", max_size=7))
def test_the_distance_is_that_of_the_longest_common_subsequence(a, b):
    assert edit_distance(a, b) == edit_distance(b, a) == len(a) + len(b) - 2 * common(a, b)


@given(st.text("abc", max_size=9), st.text("abc", max_size=9), st.text("abc", max_size=9))
def test_the_distance_obeys_the_triangle(a, b, c):
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)


@pytest.mark.parametrize("seed", range(10))
def test_with_exchanges_it_is_tensorflows(seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(1, 4, size=rng.integers(1, 12)).tolist() for _ in range(2))
    theirs = tf.edit_distance(*(tf.sparse.from_dense([each]) for each in (a, b)), normalize=False)
    table = edit_table(a, b, exchange=1)
    assert table[0, 0] == theirs.numpy()[0]
    for i, j in ((len(a) // 2, len(b) // 3), (0, len(b) // 2)):
        assert table[i, j] == edit_table(a[i:], b[j:], exchange=1)[0, 0]


def test_kitten_and_sitting():
    delete, insertions = oracle_edits("kitten", "sitting")
    assert "".join(letter for letter, goes in zip("kitten", delete, strict=True) if not goes) == "ittn"
    assert ["".join(each) for each in insertions] == ["", "s", "", "", "", "i", "g"]
    assert edit_table("kitten", "sitting", exchange=1)[0, 0] == 3


def test_texts_of_arrays_and_words():
    a, b = np.array([5, 6, 7]), np.array([6, 7, 8])
    assert apply_edits(a, *oracle_edits(a, b)) == [6, 7, 8]
    assert edit_distance(["a", "cat"], ["the", "cat"]) == 2


def test_edits_by_hand():
    assert apply_edits("cat", [False, True, False], ["s", [], "oo", ["s"]]) == [*"scoots"]
    assert apply_edits([], [], [[1, 2]]) == [1, 2]


@pytest.mark.parametrize("length", [*range(1, 40), 64, 127, 128])
def test_rounds(length):
    rounds = insertion_rounds(length)
    assert len(rounds) == math.ceil(math.log2(length + 1))
    assert sorted(place for places in rounds for place in places) == list(range(length))
    written = []
    for places in rounds:
        assert places == sorted(places)
        gaps = np.searchsorted(written, places)
        assert len({*gaps}) == len(gaps), "two words in one gap"
        if places is not rounds[-1]:
            assert len(gaps) == len(written) + 1, "a gap is left open before the last round"
        written = sorted([*written, *places])


def test_the_middle_comes_first():
    assert insertion_rounds(7) == [[3], [1, 5], [0, 2, 4, 6]]
    assert insertion_rounds(1) == [[0]]


def test_spoiling():
    text = list(range(100, 160))
    assert corrupt(text, 0, 10, 1) == text
    assert corrupt(text, 0.5, 10, 1) == corrupt(text, 0.5, 10, 1) != corrupt(text, 0.5, 10, 2)
    all_new = corrupt(text, 1.0, 10, 3)
    assert len(all_new) == 61
    assert {*all_new} == {*range(10)}
    spoilt = corrupt(text * 100, 0.3, 10, (4, 5))
    kept = [token for token in spoilt if token >= 100]
    assert kept != text * 100
    assert len(kept) / 6000 == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / 6000))
    assert (len(spoilt) - len(kept)) / 6001 == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 6000))
    assert corrupt([], 1.0, 1, 0) == [0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: edit_table("a", "b", exchange=3), "exchange: expected 1 or 2, got 3"),
        (lambda: apply_edits("ab", [True], [[], [], []]), "delete, insertions: expected 2 Booleans and 3 lists"),
        (lambda: apply_edits("ab", [True, False], [[], []]), "delete, insertions: expected 2 Booleans and 3 lists"),
        (lambda: apply_edits("ab", [0, 1], [[], [], []]), "delete, insertions: expected 2 Booleans and 3 lists"),
        (lambda: insertion_rounds(0), "length: expected a whole number of at least 1, got 0"),
        (lambda: insertion_rounds(2.0), "length: expected a whole number"),
        (lambda: corrupt([1, 2], 1.5, 3, 0), "rate: expected a number from 0 to 1, got 1.5"),
        (lambda: corrupt([1, 2], 0.5, 0, 0), "vocabulary_size: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

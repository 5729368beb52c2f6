"""Byte pair encoding: nothing is lost, learning by two ways, encoding as merges one after another, and every error."""

import numpy as np
import pytest

from kerasnotes import data
from kerasnotes.chapter14.subwords import (
    BytePairEncoding,
    Pieces,
    count_pairs,
    learn_merges,
    merge_pair,
    most_frequent,
    recounted_merges,
    split_with_blanks,
)

PUBLISHED = "low " * 5 + "lower " * 2 + "newest " * 6 + "widest " * 3
LETTERS = list("aab \n\t.'_0é中🙂\u0301")


def random_text(seed, length=200, letters=LETTERS):
    return "".join(np.random.default_rng(seed).choice(letters, size=length))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("so, he", ["so,", " he"]),
        ("a\n\n b ", ["a", "\n\n b", " "]),
        ("   ", ["   "]),
        ("", []),
        ("\u3000中 文", ["\u3000中", " 文"]),
    ],
)
def test_blanks_belong_to_the_word_behind_them(text, words):
    assert split_with_blanks(text) == words


@pytest.mark.parametrize(
    ("pieces", "pair", "merged"),
    [
        ("est", ("s", "t"), ("e", "st")),
        ("aaa", ("a", "a"), ("aa", "a")),
        ("aaaa", ("a", "a"), ("aa", "aa")),
        ("abab", ["a", "b"], ("ab", "ab")),
        (("ab", "c"), ("a", "b"), ("ab", "c")),
        (("a", "bc", "d"), ("ab", "cd"), ("a", "bc", "d")),
        ("", ("a", "b"), ()),
    ],
)
def test_a_merge(pieces, pair, merged):
    assert merge_pair(pieces, pair) == merged


def test_pairs_are_counted_with_their_words():
    counts = count_pairs({("a", "b", "a", "b"): 3, ("b", "a"): 2, ("c",): 9})
    assert counts == {("a", "b"): 6, ("b", "a"): 5}
    assert most_frequent({("b", "a"): 2, ("a", "z"): 2, ("a", "b"): 1}) == ("a", "z")


def test_the_published_example():
    # es stands in nine words, as does st; e comes before s. Then est; lo and ow stand in seven.
    assert learn_merges(PUBLISHED, 3) == [("e", "s"), ("es", "t"), ("l", "o")]
    assert learn_merges("low low lowest", 2) == [("l", "o"), ("lo", "w")]


@pytest.mark.parametrize("seed", range(8))
def test_learning_in_two_ways(seed):
    text = random_text(seed, 400)
    assert learn_merges(text, 60) == recounted_merges(text, 60)


def test_learning_ends_when_every_word_is_one_token():
    merges = learn_merges("ab ab abc", 50)
    assert len(merges) == 3  # ab, the blank before it, and c behind it
    assert BytePairEncoding(merges).encode("ab abc") == ["ab", " abc"]
    assert learn_merges("", 5) == recounted_merges("", 5) == []
    assert learn_merges("a b", 0) == []


@pytest.mark.parametrize("seed", range(6))
def test_counts_stay_right(seed):
    pieces = Pieces(random_text(seed))
    for _ in range(30):
        if not pieces.counts:
            break
        pair = most_frequent(pieces.counts)
        before = pieces.length
        pieces.merge(pair)
        assert pair not in pieces.counts
        assert pieces.counts == count_pairs(dict(zip(pieces.words, pieces.times, strict=True)))
        assert pieces.length == sum(n * len(word) for word, n in zip(pieces.words, pieces.times, strict=True)) < before


@pytest.mark.parametrize("seed", range(6))
def test_encoding_is_one_merge_after_the_other(seed):
    merges = learn_merges(random_text(seed, 600), 80)
    text = random_text(seed + 100, 300)
    want = []
    for word in split_with_blanks(text):
        pieces = tuple(word)
        for pair in merges:
            pieces = merge_pair(pieces, pair)
        want.extend(pieces)
    encoding = BytePairEncoding(merges)
    assert encoding.encode(text) == want
    assert encoding.encode(text) == want  # from what it remembers
    unlike = random_text(seed, 50, list("xyz  \n𝔘"))
    assert encoding.decode(encoding.encode(unlike)) == unlike


def test_real_text_comes_back_and_gets_shorter():
    novel = data.novel()[:30_000]
    merges = learn_merges(novel, 100)
    lengths = [len(BytePairEncoding(merges[:count]).encode(novel)) for count in (0, 1, 10, 100)]
    assert lengths[0] == len(novel)
    assert lengths == sorted(lengths, reverse=True)
    encoding = BytePairEncoding(merges)
    poem = "\n".join(data.tang_quatrains()[0].lines)
    assert encoding.encode(poem) == list(poem)
    assert encoding.decode(encoding.encode(novel)) == novel


def test_tokens_and_ids():
    merges = [("a", "b"), ("b", "a"), ("a", "ba"), ("ab", "a")]  # the last two have the same join
    encoding = BytePairEncoding(merges, characters="zb")
    assert encoding.tokens == ["a", "b", "z", "ab", "ba", "aba"]
    assert [encoding.ids[token] for token in encoding.tokens] == list(range(6))
    assert BytePairEncoding([]).tokens == []
    text = random_text(3)
    encoding = BytePairEncoding(learn_merges(text, 20), text)
    assert set(encoding.encode(text)) <= set(encoding.ids)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: learn_merges("a b", -1), "merges: expected a whole number"),
        (lambda: learn_merges("a b", 1.5), "merges: expected a whole number"),
        (lambda: recounted_merges("a b", True), "merges: expected a whole number"),
        (lambda: BytePairEncoding([("a", "b", "c")]), "merges: expected pairs"),
        (lambda: BytePairEncoding([("a",)]), "merges: expected pairs"),
        (lambda: BytePairEncoding([("a", "")]), "merges: expected pairs"),
        (lambda: BytePairEncoding([("es", "t")]), "earlier pairs"),
        (lambda: BytePairEncoding([("es", "t"), ("e", "s")]), "earlier pairs"),
    ],
)
def test_errors(function, message):
    with pytest.raises(ValueError, match=message):
        function()

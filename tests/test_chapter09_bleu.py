"""BLEU by hand, the split's promise, and the corpus as ids."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter09.bleu import bare, bleu, most_similar, split_marks, split_pairs, translation_corpus


def words(text):
    return text.split()


def test_published_examples_of_bleu():
    """Papineni et al. 2002, examples 1 to 3."""
    texts = (
        "it is a guide to action that ensures that the military will forever heed party commands",
        "it is the guiding principle which guarantees the military forces always being under the command of the party",
        "it is the practical guide for the army always to heed the directions of the party",
    )
    references = [[words(text) for text in texts]]
    good = words("it is a guide to action which ensures that the military always obeys the commands of the party")
    bad = words("it is to insure the troops forever hearing the activity guidebook that party direct")
    assert bleu(references, [good], 1) == pytest.approx(17 / 18)
    assert bleu(references, [good], 2) == pytest.approx(math.sqrt(17 / 18 * 10 / 17))
    brevity = math.exp(1 - 16 / 14)  # 14 words against references of 16, 18 and 16
    assert bleu(references, [bad], 1) == pytest.approx(8 / 14 * brevity)
    assert bleu(references, [bad], 2) == pytest.approx(math.sqrt(8 / 14 / 13) * brevity)
    cat = [[words("the cat is on the mat"), words("there is a cat on the mat")]]
    assert bleu(cat, [words("the the the the the the the")], 1) == pytest.approx(2 / 7)
    assert bleu(cat, [words("the the the the the the the")], 2) == 0.0


def test_bleu_counts_over_the_whole_corpus():
    references = [[words("a b c d")], [words("e f g h i j")]]
    assert bleu(references, [words("a b c d"), words("e f g h i j")]) == pytest.approx(1.0)
    right, total = [6, 4, 2, 1], [8, 6, 4, 2]  # all of the first; e f of the second, then two words that are not there
    score = math.prod(r / t for r, t in zip(right, total, strict=True)) ** 0.25 * math.exp(1 - 10 / 8)
    assert bleu(references, [words("a b c d"), words("e f x y")]) == pytest.approx(score)
    assert bleu(references, [[], []]) == 0.0
    assert bleu([[words("a")]], [words("a a")], 1) == pytest.approx(0.5)  # longer: no brevity penalty


def test_the_closest_reference_counts_and_of_two_the_shorter():
    candidate = words("a b c d e")
    assert bleu([[words("a b"), words("a b c d e f")]], [candidate], 1) == pytest.approx(math.exp(1 - 6 / 5))
    assert bleu([[words("a b c d e f"), words("a b c d")]], [candidate], 1) == pytest.approx(1.0)  # each off by one


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 25), st.integers(0, 25)), min_size=1, max_size=60), st.integers(0, 1000))
def test_no_sentence_stands_in_two_parts(numbers, seed):
    pairs = [
        (f"Source {a}" + "." * (n % 3), f"CIBLE {b}" if n % 2 else f"cible {b} !") for n, (a, b) in enumerate(numbers)
    ]
    parts = split_pairs(pairs, (0.6, 0.4), seed)
    assert parts == split_pairs(pairs, (0.6, 0.4), seed)
    for side in (0, 1):
        first, second = ({bare(pair[side]) for pair in part} for part in parts)
        assert not first & second
    kept = [tuple(map(bare, pair)) for part in parts for pair in part]
    assert len(kept) == len(set(kept))
    assert set(kept) == {tuple(map(bare, pair)) for pair in pairs}


def test_kin_of_kin_stay_together_and_the_rest_is_shared_out():
    chain = [("a", "1"), ("a", "2"), ("b", "2"), ("b", "3"), ("c", "3")]
    others = [(f"s{n}", f"t{n}") for n in range(95)]
    for seed in range(5):
        parts = split_pairs(chain + others, (0.5, 0.5), seed)
        assert sorted(sum(pair in part for pair in chain) for part in parts) == [0, 5]
        assert all(45 <= len(part) <= 55 for part in parts)


def test_bare():
    assert bare("Save  As...") == bare("save as") == "save as"
    assert bare("...") == "..."


def test_a_corpus_is_the_sentences_as_ids():
    texts = [(f"Save file {n}.", f"Garder l'ordre {n}") for n in range(40)] + [("a b c d e f g", "x")]
    corpus = translation_corpus(texts, longest=5, vocabulary_size=1000, seed=1)
    parts = (corpus.train, corpus.validation, corpus.test)
    assert sum(len(part.words) for part in parts) == 40  # the long one is left out
    for part in parts:
        assert part.source.shape == part.reversed.shape == (len(part.words), 5)
        assert part.target_in.shape == part.target_out.shape == (len(part.words), 6)
        assert part.source.dtype == part.target_in.dtype == np.int32
        for (source, target), read, back, before, after in zip(
            part.words, part.source, part.reversed, part.target_in, part.target_out, strict=True
        ):
            assert read.tolist() == [*corpus.source_vocabulary.encode(source), *[0] * (5 - len(source))]
            assert back.tolist() == [*corpus.source_vocabulary.encode(source[::-1]), *[0] * (5 - len(source))]
            ids, rest = corpus.target_vocabulary.encode(target), [0] * (5 - len(target))
            assert before.tolist() == [corpus.start, *ids, *rest]
            assert after.tolist() == [*ids, corpus.end, *rest]
    assert corpus.target_vocabulary.decode([corpus.start, corpus.end]) == ["<start>", "<end>"]


def test_the_vocabularies_know_the_words_to_train_on_and_no_others():
    texts = [(f"save{n} file.", f"garder{n} ordre") for n in range(40)]
    corpus = translation_corpus(texts, longest=3, vocabulary_size=1000, seed=1)  # sources of just this length
    assert sum(len(part.words) for part in (corpus.train, corpus.validation, corpus.test)) == 40
    for side, vocabulary in enumerate((corpus.source_vocabulary, corpus.target_vocabulary)):
        heard = {word for pair in corpus.train.words for word in pair[side]}
        assert set(vocabulary.tokens[2:]) == heard | {"<start>", "<end>"}


def test_words_and_marks():
    assert split_marks("Couper l'ordre, s.v.p.") == ["couper", "l'", "ordre", ",", "s", ".", "v", ".", "p", "."]


def test_the_most_similar_shares_the_largest_part():
    known = np.array([[2, 3, 4, 5], [2, 3, 0, 0], [6, 1, 0, 0]])
    asked = np.array([[3, 2, 0, 0], [4, 5, 2, 0], [1, 1, 6, 0], [1, 0, 0, 0]])
    assert most_similar(asked, known, 7).tolist() == [1, 0, 2, 0]


def test_a_sentence_of_one_word_and_one_of_none():
    assert most_similar(np.array([[2, 0]]), np.array([[2, 3], [2, 0]]), 4).tolist() == [1]
    assert most_similar(np.array([[1, 0]]), np.array([[2, 0], [1, 0]]), 4).tolist() == [0]


def test_errors():
    for references, candidates in (([], []), ([[["a"]]], []), ([[]], [["a"]])):
        with pytest.raises(ValueError, match="references, candidates: expected equally many"):
            bleu(references, candidates)
    with pytest.raises(ValueError, match="max_order: expected a whole number of at least 1, got 0"):
        bleu([[["a"]]], [["a"]], 0)
    for pairs, shares in (
        ([], (1.0,)),
        ([("a", "b")], (0.5, 0.4)),
        ([("a", "b")], (1.5, -0.5)),
        ([("a", "b")], (1.0, 0.0)),
        ([("a", "b")], ()),
    ):
        with pytest.raises(ValueError, match="pairs, shares: expected pairs, and positive shares"):
            split_pairs(pairs, shares)

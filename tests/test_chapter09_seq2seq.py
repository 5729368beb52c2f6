"""The ways between words that reversing shortens, and the names that this lesson takes from earlier ones."""

import pytest

from kerasnotes.chapter09 import bleu, encoder_decoder, seq2seq
from kerasnotes.chapter09.seq2seq import alignment_lags


def test_reversing_shortens_some_ways_and_not_the_mean():
    assert alignment_lags(4).tolist() == [4, 4, 4, 4]
    assert alignment_lags(4, reverse=True).tolist() == [1, 3, 5, 7]


@pytest.mark.parametrize("home", [bleu, encoder_decoder], ids=["bleu", "encoder_decoder"])
def test_names_that_moved_are_still_here(home):
    names = {
        bleu: ("bare", "bleu", "split_pairs"),
        encoder_decoder: ("CONTEXTS", "Decoder", "Encoder", "Seq2Seq", "greedy_decode", "likeliest"),
    }[home]
    for name in names:
        assert getattr(seq2seq, name) == getattr(home, name)


def test_errors():
    with pytest.raises(ValueError, match="length: expected a whole number of at least 1, got 0"):
        alignment_lags(0)

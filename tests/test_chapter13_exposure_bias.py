"""Wrong inputs and own mistakes: shares, places, and what is refused."""

import numpy as np
import pytest

from kerasnotes.chapter13.exposure_bias import accuracy_by_prefix, prefix_right, wrong_inputs


@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
def test_words_are_exchanged_at_the_rate_and_start_and_padding_never(rate):
    rng = np.random.default_rng(0)
    target_in = np.where(np.arange(9) < rng.integers(2, 10, (3000, 1)), rng.integers(3, 30, (3000, 9)), 0)
    target_in[:, 0] = 2
    got = wrong_inputs(target_in, rate, 30, start=2, seed=1)
    words = (target_in > 0) & (target_in != 2)
    np.testing.assert_array_equal(got[~words], target_in[~words])
    share = np.mean(got[words] != target_in[words])
    assert abs(share - rate) <= 4 * np.sqrt(rate * (1 - rate) / words.sum()) + 1e-12
    assert got[words].min() >= 1
    assert got.max() < 30
    assert not np.any(got[words] == 2)
    assert got.dtype == target_in.dtype
    np.testing.assert_array_equal(got, wrong_inputs(target_in, rate, 30, start=2, seed=1))


def test_every_other_word_is_as_likely():
    got = wrong_inputs(np.full((1, 40000), 4), 1.0, 6, start=3, seed=2)[0]
    counts = np.bincount(got, minlength=6)
    np.testing.assert_array_equal(counts[[0, 3, 4]], 0)
    np.testing.assert_allclose(counts[[1, 2, 5]] / 40000, 1 / 3, atol=0.01)


def test_places_by_hand():
    targets = np.array([[5, 6, 7, 2], [5, 8, 2, 0], [4, 2, 0, 0]])
    ids = np.array([[5, 9, 7, 2], [5, 8, 2, 0], [3, 2, 0, 0]])
    want = [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    np.testing.assert_array_equal(prefix_right(ids, targets), np.array(want, bool))
    # After a right beginning: 5 ✓ 9 ✗ | 5 ✓ 8 ✓ 2 ✓ | 3 ✗; after a wrong one: 7 ✓ 2 ✓ | 2 ✓.
    assert accuracy_by_prefix(ids, targets) == (pytest.approx(4 / 6), 1.0)
    assert accuracy_by_prefix(targets, targets)[0] == 1
    assert np.isnan(accuracy_by_prefix(targets, targets)[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wrong_inputs([1, 2], 0.1, 9, 1, 0), "target_in: expected the shape"),
        (lambda: wrong_inputs([[1, 2]], 1.1, 9, 1, 0), "rate: expected a number"),
        (lambda: wrong_inputs([[1, 9]], 0.1, 9, 1, 0), "vocabulary_size: expected more than the largest id, 9"),
        (lambda: prefix_right([[1, 2]], [[1, 2, 3]]), "ids: expected the shape"),
        (lambda: accuracy_by_prefix([[1]], [[1], [2]]), "ids: expected the shape"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

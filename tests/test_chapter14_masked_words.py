"""Hidden words: shares, what may not be chosen, Keras's loss; pairs of sentences and their rows; every error."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter14.masked_words import mask_tokens, masked_loss, next_sentence_pairs, pack_pair


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rate", [0.15, 0.5])
def test_shares(seed, rate):
    ids = np.random.default_rng(seed).integers(0, 40, (400, 500))
    inputs, targets, selected = mask_tokens(ids, 41, 40, rate, seed, special=(0, 7))
    assert inputs.shape == targets.shape == selected.shape == ids.shape
    assert inputs.dtype == targets.dtype == np.int32
    words = ~np.isin(ids, (0, 7))
    n, chosen = words.sum(), selected.sum()
    assert abs(chosen / n - rate) < 4 * np.sqrt(rate * (1 - rate) / n)
    assert not selected[~words].any()
    np.testing.assert_array_equal(inputs[~selected], ids[~selected])
    np.testing.assert_array_equal(targets, np.where(selected, ids, -1))
    fate = inputs[selected]
    for share, want in ((np.mean(fate == 40), 0.8), (np.mean(fate == ids[selected]), 0.1 + 0.1 / 38)):
        assert abs(share - want) < 4 * np.sqrt(want * (1 - want) / chosen)
    other = fate[(fate != 40) & (fate != ids[selected])]
    counts = np.bincount(other, minlength=41)
    assert counts[[0, 7, 40]].sum() == 0
    expected = len(other) / 38
    assert abs(np.delete(counts, [0, 7, 40]) - expected).max() < 5 * np.sqrt(expected)


def test_seeds_repeat_and_differ_and_the_ids_are_left_alone():
    ids = np.arange(1, 101).reshape(4, 25)
    first, same, other = (mask_tokens(ids, 102, 101, seed=seed)[0] for seed in ((1, 2), (1, 2), 3))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
    np.testing.assert_array_equal(ids, np.arange(1, 101).reshape(4, 25))


def test_rates_at_the_ends_and_a_mask_that_is_in_the_text():
    ids = np.array([0, 1, 2, 3, 9, 4])
    assert not mask_tokens(ids, 10, 9, rate=0.0)[2].any()
    np.testing.assert_array_equal(mask_tokens(ids, 10, 9, rate=1.0)[2], [False, True, True, True, False, True])
    assert mask_tokens(ids, 10, 9, rate=1.0, special=())[2][0]


@pytest.mark.parametrize("size", [(7,), (3, 5), (2, 3, 4)])
def test_the_loss_is_keras(size):
    rng = np.random.default_rng(len(size))
    logits = tf.constant(rng.normal(size=(*size, 6)), tf.float32)
    targets = rng.integers(-1, 6, size)
    targets.flat[0], targets.flat[1] = 3, -1
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        ours = masked_loss(targets, logits)
        theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)(targets, logits)
    slope = tape.gradient(ours, logits).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(slope, tape.gradient(theirs, logits), rtol=1e-4, atol=1e-7)
    assert not slope[targets < 0].any()
    assert np.abs(slope[targets >= 0]).max(axis=-1).min() > 0


def test_no_chosen_place_costs_nothing():
    assert float(masked_loss([[-1, -1]], tf.ones((1, 2, 3)))) == 0


@pytest.mark.parametrize("seed", range(5))
def test_pairs(seed):
    sentences = [[number] for number in range(300)]
    first, second, is_next = next_sentence_pairs(sentences, seed)
    assert [each[0] for each in first] == [*range(299)]
    follows = np.array([b[0] - a[0] == 1 for a, b in zip(first, second, strict=True)])
    np.testing.assert_array_equal(follows, is_next)
    assert all(a != b for a, b in zip(first, second, strict=True))
    assert abs(is_next.mean() - 0.5) < 4 * 0.5 / np.sqrt(299)
    assert len({each[0] for each in np.array(second)[~is_next]}) > 75


@pytest.mark.parametrize("seed", range(5))
def test_pairs_of_documents(seed):
    document = np.repeat([4, 1, 9], [50, 1, 40])
    first, second, is_next = next_sentence_pairs([*range(91)], seed, document)
    assert [*first] == [*range(49), *range(51, 90)]
    np.testing.assert_array_equal(document[first] == document[second], is_next)
    np.testing.assert_array_equal(np.array(second)[is_next], np.array(first)[is_next] + 1)


@pytest.mark.parametrize(
    ("lengths", "length", "kept"),
    [((3, 2), 8, (3, 2)), ((3, 2), 12, (3, 2)), ((9, 2), 8, (3, 2)), ((2, 9), 8, (2, 3)), ((9, 9), 8, (3, 2)),
     ((9, 9), 9, (3, 3)), ((0, 3), 6, (0, 3)), ((4, 0), 5, (2, 0))],
)  # fmt: skip
def test_rows(lengths, length, kept):
    first, second = np.arange(10, 10 + lengths[0]), np.arange(50, 50 + lengths[1])
    ids, segments = pack_pair(first, second, 1, 2, length)
    row = [1, *first[: kept[0]], 2, *second[: kept[1]], 2]
    np.testing.assert_array_equal(ids, row + [0] * (length - len(row)))
    want = [0] * (kept[0] + 2) + [1] * (kept[1] + 1)
    np.testing.assert_array_equal(segments, want + [0] * (length - len(want)))
    assert ids.dtype == segments.dtype == np.int32


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: mask_tokens([1, 5], 5, 4), "ids: expected whole numbers from 0 to 4"),
        (lambda: mask_tokens([1, -1], 5, 4), "ids: expected whole numbers"),
        (lambda: mask_tokens([1.5], 5, 4), "ids: expected whole numbers"),
        (lambda: mask_tokens([], 5, 4), "ids: expected whole numbers"),
        (lambda: mask_tokens([1], 5, 5), "special, mask_id: expected whole numbers"),
        (lambda: mask_tokens([1], 5, 4, special=(9,)), "special, mask_id: expected whole numbers"),
        (lambda: mask_tokens([1], 2, 1), "vocabulary_size: expected words"),
        (lambda: mask_tokens([1], 5, 4, rate=1.1), "rate: expected a number"),
        (lambda: masked_loss([1, 2], tf.ones((2, 3, 4))), "logits: expected the shape"),
        (lambda: next_sentence_pairs(["a", "b"]), "sentences: number: expected a whole number of at least 3"),
        (lambda: next_sentence_pairs(["a", "b", "c"], 0, [1, 2]), "documents: expected the shape"),
        (lambda: next_sentence_pairs(["a", "b", "c"], 0, [1, 2, 1]), "documents: expected two neighbours"),
        (lambda: pack_pair([1], [2], 1, 2, 4), "length: expected a whole number of at least 5"),
    ],
)
def test_errors(function, message):
    with pytest.raises(ValueError, match=message):
        function()

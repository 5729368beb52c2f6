"""Parallel writing: masks, looks, ends, fertilities, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter13.parallel_decoding import (
    cut_after_end,
    expand_by_fertility,
    mask_predict,
    masks_left,
    placeholders,
)


def test_masks_fall_to_none():
    assert [int(masks_left(7, 3, step)) for step in (1, 2, 3)] == [4, 2, 0]
    assert [int(masks_left(1, 4, step)) for step in (1, 2, 3, 4)] == [0, 0, 0, 0]
    np.testing.assert_array_equal(masks_left(np.array([10, 4]), 5, 2), [6, 2])
    np.testing.assert_array_equal(placeholders([2, 4], 4, 9), [[9, 9, 0, 0], [9, 9, 9, 9]])


@pytest.mark.parametrize("seed", range(3))
def test_looks_follow_the_paper_word_by_word(seed):
    # A second, slow reading: lists, one sentence at a time, logits that depend on all words that are seen.
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(6, 6, 8, 8))

    def logits_of(row):
        return np.array([sum(weights[t, s, word] for s, word in enumerate(row) if word) for t in range(len(row))])

    lengths, iterations, mask = [6, 3, 1], 4, 7
    ids, log_p = mask_predict(lambda ids: np.array([logits_of(row) for row in ids]), lengths, iterations, mask)
    for row, certainty, n in zip(ids, log_p, lengths, strict=True):
        words, values = [mask] * n + [0] * (6 - n), [0.0] * n
        for step in range(1, iterations + 1):
            logits = logits_of(words)[:n]
            logits[:, [0, mask]] = -np.inf
            log_words = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            for t in range(n):
                if words[t] == mask:
                    words[t], values[t] = int(np.argmax(logits[t])), float(log_words[t].max())
            shown = list(words)
            for t in sorted(range(n), key=lambda t: values[t])[: n * (iterations - step) // iterations]:
                words[t] = mask
        np.testing.assert_array_equal(row, shown)
        np.testing.assert_allclose(certainty[:n], values)
        assert not np.any(certainty[n:])


def test_neither_masks_nor_padding_are_written():
    logits = np.zeros((1, 3, 5))
    logits[..., 0], logits[..., 4] = 9, 8
    ids, log_p = mask_predict(lambda ids: logits, [2], 1, 4, max_length=3)
    np.testing.assert_array_equal(ids, [[1, 1, 0]])
    np.testing.assert_allclose(log_p, [[np.log(1 / 3)] * 2 + [0]])


def test_ends_and_fertilities():
    np.testing.assert_array_equal(cut_after_end([[5, 2, 6, 2], [5, 6, 7, 8], [2, 5, 5, 5]], 2),
                                  [[5, 0, 0, 0], [5, 6, 7, 8], [0, 0, 0, 0]])  # fmt: skip
    rng = np.random.default_rng(3)
    for _ in range(5):
        steps = int(rng.integers(1, 6))
        x, fertilities = rng.normal(size=(steps, 2)), rng.integers(0, 4, steps)
        repeated = tf.repeat(x, fertilities, axis=0).numpy()
        got = expand_by_fertility(x, fertilities, 8)
        np.testing.assert_array_equal(got[: len(repeated)], repeated[:8])
        assert not np.any(got[len(repeated) :])
    np.testing.assert_array_equal(expand_by_fertility([3, 4], [1, 5], 3), [3, 4, 4])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: placeholders([0, 2], 3, 9), "lengths: expected 1 to 3"),
        (lambda: placeholders([4], 3, 9), "lengths: expected 1 to 3"),
        (lambda: placeholders([1], 3, 0), "mask_id: expected a whole"),
        (lambda: masks_left(3, 0, 1), "iterations: expected a whole"),
        (lambda: mask_predict(None, [2], 0, 9), "iterations: expected a whole"),
        (lambda: cut_after_end([1, 2], 2), "ids: expected the shape"),
        (lambda: expand_by_fertility([1, 2], [1], 3), "fertilities: expected the shape"),
        (lambda: expand_by_fertility([1, 2], [1, -1], 3), "fertilities: expected whole"),
        (lambda: expand_by_fertility([1, 2], [1, 0.5], 3), "fertilities: expected whole"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

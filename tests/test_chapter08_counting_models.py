"""Counting models against dictionaries, by hand, and against a general optimizer."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from kerasnotes.chapter08.counting_models import (
    interpolated_perplexities,
    interpolation_weights,
    ngram_probabilities,
    three_parts,
)


def counted(train, ids, order, size):
    """The same probabilities, one character at a time, with dictionaries."""
    rows = [[1 / size] * (len(ids) - 1)]
    for k in range(1, order + 1):
        padded = [-1] * (k - 1) + list(train)
        groups = Counter(tuple(padded[i : i + k]) for i in range(len(train)))
        begun = Counter()
        for group, count in groups.items():
            begun[group[:-1]] += count
        padded, row = [-1] * (k - 1) + list(ids), []
        for i in range(1, len(ids)):
            group = tuple(padded[i : i + k])
            seen = begun[group[:-1]]
            row.append(groups[group] / seen if seen else rows[-1][i - 1])
        rows.append(row)
    return np.array(rows)


@given(st.integers(1, 4), st.integers(2, 4), st.integers(1, 40), st.integers(2, 20), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_counting_equals_dictionaries(order, size, train_length, length, seed):
    rng = np.random.default_rng(seed)
    train, ids = rng.integers(0, size, train_length), rng.integers(0, size, length)
    np.testing.assert_allclose(
        ngram_probabilities(train, ids, order, size), counted(train.tolist(), ids.tolist(), order, size), rtol=1e-12
    )


def test_pairs_by_hand():
    rows = ngram_probabilities([0, 1, 0, 1, 0, 0], [0, 1, 0], 2, 3)
    np.testing.assert_allclose(rows, [[1 / 3, 1 / 3], [2 / 6, 4 / 6], [2 / 3, 1.0]])


@given(st.integers(2, 4), st.integers(5, 60), st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_expectation_maximization_reaches_the_maximum(models, length, seed):
    p = np.random.default_rng(seed).uniform(0.05, 1.0, (models, length))
    weights = interpolation_weights(p, iterations=5000)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1.0)
    few, more = (np.log(interpolation_weights(p, rounds) @ p).mean() for rounds in (1, 2))
    assert more >= few - 1e-12
    found = minimize(
        lambda w: -np.log(w @ p).mean(),
        np.full(models, 1 / models),
        bounds=[(0, 1)] * models,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        method="SLSQP",
    )
    assert np.log(weights @ p).mean() >= -found.fun - 1e-4


def test_the_mixtures_perplexity_by_definition():
    train, validation, test = (np.random.default_rng(seed).integers(0, 3, 60) for seed in range(3))
    got = interpolated_perplexities(train, validation, test, (1, 2), 3)
    for order in (1, 2):
        weights = interpolation_weights(ngram_probabilities(train, validation, order, 3))
        mixed = weights @ ngram_probabilities(train, test, order, 3)
        assert got[order] == pytest.approx(math.exp(-np.log(mixed).mean()))


def test_three_parts_of_a_text():
    train, validation, test, vocabulary = three_parts("ab" * 45 + "cdefg" + "abcab")
    assert [len(part) for part in (train, validation, test)] == [90, 5, 5]
    assert vocabulary.tokens == ["<pad>", "<unk>", "a", "b"]
    assert validation.tolist() == [1] * 5  # characters that the first part lacks
    assert test.tolist() == [2, 3, 1, 2, 3]
    assert train.dtype == np.int32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ngram_probabilities([], [1, 2], 2, 5), "train: expected at least 1 integers"),
        (lambda: ngram_probabilities([1], [1, 7], 2, 5), "ids: expected ids from 0"),
        (lambda: ngram_probabilities([1], [1, 2], 0, 5), "order: expected a whole number of at least 1"),
        (lambda: ngram_probabilities([1], [1, 2], 60, 5), "order: expected"),
        (lambda: interpolation_weights([0.5]), "probabilities: expected"),
        (lambda: interpolation_weights([[0.0], [0.0]]), "probabilities: expected"),
        (lambda: interpolation_weights([[0.5], [1.5]]), "probabilities: expected"),
        (lambda: interpolation_weights([[0.5]], 0), "iterations: expected a whole number of at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

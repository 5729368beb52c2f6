"""Means over all masks, counted by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter05 import dropout
from kerasnotes.chapter05.thinned_networks import all_masks, exact_ensemble

SEEDS = st.integers(0, 2**31 - 1)
RATES = st.floats(0.0, 0.95)


def test_they_may_be_taken_from_the_lesson_on_dropout_too():
    assert dropout.exact_ensemble is exact_ensemble
    assert dropout.all_masks is all_masks


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8), st.integers(1, 3), SEEDS, RATES)
def test_the_mean_of_all_thinned_layers_is_the_scaled_layer(n, units, seed, rate):
    rng = np.random.default_rng(seed)
    w, x = rng.normal(size=(n, units)), rng.normal(size=n)
    mean = exact_ensemble(w, x, rate)
    np.testing.assert_allclose(mean, np.asarray(dropout.classic_inference(x, rate)) @ w, atol=1e-12)
    by_hand = 0.0
    for mask in itertools.product((0, 1), repeat=n):
        kept = sum(mask)
        by_hand = by_hand + rate ** (n - kept) * (1 - rate) ** kept * ((np.array(mask) * x) @ w)
    np.testing.assert_allclose(mean, by_hand, atol=1e-12)


def test_hand_made_masks():
    masks, probabilities = all_masks(2, 0.25)
    found = {tuple(mask): p for mask, p in zip(masks.tolist(), probabilities, strict=True)}
    assert found == pytest.approx({(0, 0): 1 / 16, (1, 0): 3 / 16, (0, 1): 3 / 16, (1, 1): 9 / 16})
    assert exact_ensemble([[2.0], [4.0]], [1.0, 1.0], 0.5).tolist() == [3.0]


@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan"), 2])
def test_the_rate_is_below_one(rate):
    for call in (lambda: exact_ensemble([[1.0]], [1.0], rate), lambda: all_masks(2, rate)):
        with pytest.raises(ValueError, match="rate: expected a number from 0"):
            call()


def test_other_errors():
    for n, message in ((0, "a whole number"), (1.5, "a whole number"), (True, "a whole number"), (21, "at most 20")):
        with pytest.raises(ValueError, match=f"n: expected {message}"):
            all_masks(n, 0.5)
    for w, x in (([[1.0]], [1.0, 2.0]), ([1.0], [1.0]), (np.ones((21, 1)), np.ones(21)), (np.ones((0, 1)), [])):
        with pytest.raises(ValueError, match="w, x: expected shapes"):
            exact_ensemble(w, x, 0.5)

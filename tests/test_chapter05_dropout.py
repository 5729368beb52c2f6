"""Dropout against TensorFlow's over random shapes, its gradient, and means over all masks counted by hand."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kerasnotes.chapter05.dropout import all_masks, classic_dropout, classic_inference, dropout, exact_ensemble

SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, max_side=6)
SEEDS = st.integers(0, 2**31 - 1)
RATES = st.floats(0.0, 0.95)


@settings(max_examples=40, deadline=None)
@given(SHAPES, SEEDS, RATES, st.sampled_from(["float32", "float64"]))
def test_equal_to_tensorflow(shape, seed, rate, dtype):
    x = tf.constant(np.random.default_rng(seed).normal(size=shape), dtype)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours = dropout(x, rate, seed)
        theirs = tf.nn.experimental.stateless_dropout(x, rate, seed=(seed, 0))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(ours, x), tape.gradient(theirs, x), rtol=1e-5)
    assert ours.dtype == x.dtype
    np.testing.assert_allclose(classic_dropout(x, rate, (seed, 0)) / (1 - rate), ours, rtol=1e-5)


def test_seeds():
    x = tf.ones(1000)
    assert np.array_equal(dropout(x, 0.5, 7), dropout(x, 0.5, 7))
    assert not np.array_equal(dropout(x, 0.5, 7), dropout(x, 0.5, 8))
    assert not np.array_equal(dropout(x, 0.5, (7, 0)), dropout(x, 0.5, (7, 1)))
    assert set(np.unique(dropout(x, 0.75, 1))) == {0.0, 4.0}
    assert set(np.unique(classic_dropout(x, 0.75, 1))) == {0.0, 1.0}
    assert np.array_equal(dropout(x, 0.0, 1), x)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8), st.integers(1, 3), SEEDS, RATES)
def test_the_mean_of_all_thinned_layers_is_the_scaled_layer(n, units, seed, rate):
    rng = np.random.default_rng(seed)
    w, x = rng.normal(size=(n, units)), rng.normal(size=n)
    mean = exact_ensemble(w, x, rate)
    np.testing.assert_allclose(mean, np.asarray(classic_inference(x, rate)) @ w, atol=1e-12)
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
    for call in (
        lambda: dropout([1.0], rate, 0),
        lambda: classic_dropout([1.0], rate, 0),
        lambda: classic_inference([1.0], rate),
        lambda: exact_ensemble([[1.0]], [1.0], rate),
        lambda: all_masks(2, rate),
    ):
        with pytest.raises(ValueError, match=r"rate: expected a number in \[0, 1\)"):
            call()


def test_other_errors():
    with pytest.raises(ValueError, match="x: expected floating-point numbers, got int32"):
        dropout([1, 2], 0.5, 0)
    for n in (0, 21, 1.5):
        with pytest.raises(ValueError, match="n: expected an integer from 1 to 20"):
            all_masks(n, 0.5)
    for w, x in (([[1.0]], [1.0, 2.0]), ([1.0], [1.0]), (np.ones((21, 1)), np.ones(21)), (np.ones((0, 1)), [])):
        with pytest.raises(ValueError, match="w, x: expected shapes"):
            exact_ensemble(w, x, 0.5)
    with pytest.raises(ValueError, match="seed: expected an integer or two of them"):
        dropout([1.0], 0.5, (1, 2, 3))
    with pytest.raises(ValueError, match="seed: expected an integer or two of them"):
        dropout([1.0], 0.5, 0.5)

"""Choosing a token: Keras's softmax, powers and tops, frequencies of draws; counted letters; every error."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from kerasnotes.chapter14.sampling import CountedLetters, equal_choices, open_choices, sample


@pytest.mark.parametrize("seed", range(4))
def test_temperature_and_top_k(seed):
    rng = np.random.default_rng(seed)
    size, temperature = int(rng.integers(3, 40)), float(rng.uniform(0.2, 3))
    logits = rng.normal(size=size) * 3 + 100
    p = open_choices(logits, temperature)
    np.testing.assert_allclose(p, keras.ops.softmax(logits / temperature), rtol=1e-6)
    for k in (1, 2, size - 1, size, size + 5):
        got = open_choices(logits, temperature, k)
        best = np.argsort(-logits)[:k]
        want = np.zeros(size)
        want[best] = p[best] / p[best].sum()
        np.testing.assert_allclose(got, want, rtol=1e-9)


def test_ends_ties_and_closed_tokens():
    np.testing.assert_array_equal(open_choices([1, 3, 3, 0], 1.0, 1), [0, 1, 0, 0])
    np.testing.assert_allclose(open_choices([1, 3, 3, 0], 1e-6), [0, 0.5, 0.5, 0])
    np.testing.assert_allclose(open_choices([-np.inf, 0, -np.inf, 0], 3.0, 3), [0, 0.5, 0, 0.5])
    np.testing.assert_allclose(open_choices([1e300, -1e300, 0], 1e-3), [1, 0, 0])
    np.testing.assert_allclose(open_choices([0.0, 5.0], 1e12), [0.5, 0.5])


def test_the_arguments_are_left_alone():
    logits = np.array([1.0, 2.0, 3.0])
    open_choices(logits, 0.5, 1)
    np.testing.assert_array_equal(logits, [1, 2, 3])


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.5, None), (2.0, 3), (1.0, 1)])
def test_draws_have_these_frequencies(temperature, top_k):
    logits, rng = np.array([-np.inf, 1.0, 0.0, 0.5, -2.0]), np.random.default_rng(1)
    p = open_choices(logits, temperature, top_k)
    drawn = np.bincount([sample(logits, temperature, top_k, rng) for _ in range(5000)], minlength=5) / 5000
    assert np.all(np.abs(drawn - p) <= 4 * np.sqrt(p * (1 - p) / 5000))


def test_draws_repeat_with_the_seed_and_do_without():
    logits = np.zeros(100)
    assert [sample(logits, rng=np.random.default_rng(3))] == [sample(logits, rng=np.random.default_rng(3))]
    assert 0 <= sample(logits) < 100


def test_equal_choices():
    assert equal_choices([1.0, 0.0]) == 1
    assert equal_choices(np.full(7, 1 / 7)) == pytest.approx(7)
    assert equal_choices([0.5, 0.25, 0.25]) == pytest.approx(2**1.5)


def test_counted_letters():
    model = CountedLetters("abab ac", 3)
    assert model.letters == [" ", "a", "b", "c"]
    np.testing.assert_allclose(np.exp(model.logits("xxab")), [1, 1, 0, 0])  # "aba", "ab "
    np.testing.assert_allclose(np.exp(model.logits("a")), [0, 0, 2, 1])  # "ab" twice, "ac" once
    np.testing.assert_allclose(np.exp(model.logits("ca")), [0, 0, 2, 1])  # "ca" was never seen: "a"
    np.testing.assert_allclose(np.exp(model.logits("zz")), [1, 3, 2, 1])  # nothing was: all letters
    np.testing.assert_allclose(np.exp(model.logits("")), [1, 3, 2, 1])
    assert CountedLetters("abcd" * 3).write("a", 7) == "bcdabcd"
    assert model.write("a", 30, seed=1) == model.write("a", 30, seed=1) != model.write("a", 30, seed=2)
    np.testing.assert_allclose(np.exp(CountedLetters("aab", 1).logits("aa")), [2, 1])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: open_choices([[1.0]]), "logits: expected the shape"),
        (lambda: open_choices([]), "logits: expected numbers"),
        (lambda: open_choices([np.nan, 1]), "logits: expected numbers"),
        (lambda: open_choices([np.inf, 1]), "logits: expected numbers"),
        (lambda: open_choices([-np.inf, -np.inf]), "logits: expected numbers"),
        (lambda: open_choices([1, 2], 0.0), "temperature: expected a positive number"),
        (lambda: open_choices([1, 2], np.nan), "temperature: expected a positive number"),
        (lambda: sample([1, 2], 1.0, 0), "top_k: expected a whole number of at least 1"),
        (lambda: equal_choices([0.5, 0.4]), "probabilities: expected numbers"),
        (lambda: equal_choices([1.5, -0.5]), "probabilities: expected numbers"),
        (lambda: CountedLetters("abc", 0), "order: expected a whole number"),
    ],
)
def test_errors(function, message):
    with pytest.raises(ValueError, match=message):
        function()


def test_a_closed_token_is_not_drawn_by_a_zero():
    zero = SimpleNamespace(random=lambda: 0.0)
    assert sample([-np.inf, 0.0, 0.0], rng=zero) == 1

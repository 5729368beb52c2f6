"""Both tasks by their definitions, and the price of an answer without memory."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter09.memory_tasks import adding_problem, copy_task, memoryless_cross_entropy, memoryless_logits

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=40)
@given(st.integers(1, 20), st.integers(2, 30), SEEDS)
def test_adding_problem(samples, steps, seed):
    x, y = adding_problem(samples, steps, seed)
    assert x.shape == (samples, steps, 2)
    assert y.shape == (samples, 1)
    assert x.dtype == y.dtype == np.float32
    assert np.all((x[..., 0] >= 0) & (x[..., 0] < 1))
    for sequence, answer in zip(x, y, strict=True):
        first, second = np.flatnonzero(sequence[:, 1])
        assert first < steps // 2 <= second
        assert np.all(sequence[[first, second], 1] == 1)
        assert answer[0] == sequence[first, 0] + sequence[second, 0]
    again = adding_problem(samples, steps, seed)
    assert np.array_equal(x, again[0])
    assert np.array_equal(y, again[1])


def test_every_step_is_marked_as_often_as_the_others_of_its_half():
    x, y = adding_problem(20_000, 5, 0)
    share = x[..., 1].mean(axis=0)
    np.testing.assert_allclose(share, [1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3], atol=5 * 0.5 / np.sqrt(20_000))
    assert np.mean(y) == pytest.approx(1.0, abs=5 / np.sqrt(6 * 20_000))
    assert np.var(x[..., 0]) == pytest.approx(1 / 12, rel=0.02)
    assert not np.array_equal(x, adding_problem(20_000, 5, 1)[0])


@settings(max_examples=30)
@given(st.integers(1, 10), st.integers(1, 40), SEEDS)
def test_copy_task(samples, delay, seed):
    x, y = copy_task(samples, delay, seed)
    assert x.shape == y.shape == (samples, delay + 20)
    assert x.dtype == y.dtype == np.int32
    assert np.all((x[:, :10] >= 0) & (x[:, :10] < 8))
    assert np.all(x[:, 10 : delay + 9] == 8)
    assert np.all(x[:, delay + 9] == 9)  # the delimiter comes `delay` steps after the last symbol, at step 9
    assert np.all(x[:, delay + 10 :] == 8)
    assert np.all(y[:, : delay + 10] == 8)
    assert np.array_equal(y[:, delay + 10 :], x[:, :10])
    assert np.array_equal(x, copy_task(samples, delay, seed)[0])


def test_copied_symbols_are_uniform():
    x, _ = copy_task(5000, 3, 0)
    share = np.bincount(x[:, :10].ravel(), minlength=8) / 50_000
    np.testing.assert_allclose(share, 1 / 8, atol=5 * np.sqrt(7 / 64 / 50_000))


def test_memoryless_cross_entropy_is_the_least_of_all_constant_tables():
    """At each step the best constant answer has the entropy of that step's targets."""
    _, y = copy_task(40_000, 7, 0)
    entropy = 0.0
    for column in y.T:
        share = np.bincount(column) / len(column)
        entropy -= np.sum(share[share > 0] * np.log(share[share > 0])) / y.shape[1]
    assert memoryless_cross_entropy(7) == pytest.approx(entropy, rel=1e-3)
    assert memoryless_cross_entropy(100) == pytest.approx(10 * np.log(8) / 120)


@pytest.mark.parametrize("delay", [1, 7, 40])
def test_the_table_without_memory_has_this_price(delay):
    _, y = copy_task(20, delay, 3)
    logits = np.stack([memoryless_logits(delay)] * 20)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, logits)
    assert float(loss) == pytest.approx(memoryless_cross_entropy(delay), rel=1e-5)


def test_errors():
    with pytest.raises(ValueError, match="samples: expected a whole number of at least 1, got 0"):
        adding_problem(0, 10, 0)
    with pytest.raises(ValueError, match="steps: expected a whole number of at least 2, got 1"):
        adding_problem(3, 1, 0)
    with pytest.raises(ValueError, match=r"samples: expected a whole number of at least 1, got 1\.5"):
        copy_task(1.5, 10, 0)
    for function in (lambda: copy_task(3, 0, 0), lambda: memoryless_cross_entropy(0)):
        with pytest.raises(ValueError, match="delay: expected a whole number of at least 1, got 0"):
            function()

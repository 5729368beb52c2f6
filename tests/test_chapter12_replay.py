"""The memory: what it keeps, what it draws, and what a batch is worth."""

import numpy as np
import pytest
import scipy.stats

from kerasnotes.chapter12.replay import ReplayBuffer, effective_size


def test_the_bound_of_the_lesson_is_the_quantile():
    assert scipy.stats.chi2.ppf(0.999, 49) == pytest.approx(85.351, abs=5e-4)


def filled(capacity, count, seed=0):
    memory = ReplayBuffer(capacity, (2,), seed)
    numbers = np.arange(count)
    memory.add(np.stack([numbers, -numbers], axis=1), numbers, numbers / 2, np.zeros((count, 2)), numbers % 3 == 0)
    return memory


@pytest.mark.parametrize(("count", "size"), [(3, 3), (7, 7), (10, 7), (100, 7)])
def test_the_buffer_keeps_the_newest(count, size):
    at_once, one_by_one = filled(7, count), ReplayBuffer(7, (2,), 0)
    for number in range(count):
        one_by_one.add([number, -number], number, number / 2, [0, 0], number % 3 == 0)
    assert len(at_once) == len(one_by_one) == size
    for memory in (at_once, one_by_one):
        assert sorted(memory.actions[:size]) == list(range(count - size, count))
    np.testing.assert_array_equal(at_once.actions, one_by_one.actions)
    at_once.add([0, 0], count, 0.0, [0, 0], False)
    assert count in at_once.actions
    assert (count - size in at_once.actions[: len(at_once)]) == (size < 7)


def test_draws_are_whole_transitions_uniform_and_repeatable():
    memory = filled(20, 50, seed=3)
    states, actions, rewards, next_states, terminated = memory.sample(20_000)
    np.testing.assert_array_equal(states, np.stack([actions, -actions], axis=1))
    np.testing.assert_array_equal(rewards, np.float32(actions / 2))
    np.testing.assert_array_equal(terminated, actions % 3 == 0)
    assert next_states.shape == (20_000, 2)
    assert scipy.stats.chisquare(np.bincount(actions - 30, minlength=20)).pvalue > 1e-4
    np.testing.assert_array_equal(actions, filled(20, 50, seed=3).sample(20_000)[1])
    assert not np.array_equal(actions, memory.sample(20_000)[1])


@pytest.mark.parametrize("size", [1, 4, 16])
def test_independent_draws_are_worth_their_number_and_copies_are_worth_one(size):
    rng = np.random.default_rng(0)
    steps = 3 + rng.normal(size=50_000)
    drawn = rng.choice(steps, size=(4000, size))
    assert effective_size(drawn, steps) == pytest.approx(size, rel=0.12)
    assert effective_size(np.repeat(drawn[:, :1], size, axis=1), steps) == pytest.approx(1, rel=0.12)


def test_steps_that_cancel_are_worth_more_than_their_number():
    steps = np.array([-1.0, 1.0, -1.0, 1.0])
    assert effective_size([[-1.0, 1.0], [1.0, 1.0]], steps) == pytest.approx(2.0)
    assert effective_size([[-1.0, 1.0], [1.0, -0.5]], steps) > 8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ReplayBuffer(0, (2,), 0), "capacity: expected a whole number"),
        (lambda: ReplayBuffer(True, (2,), 0), "capacity: expected a whole number"),
        (lambda: ReplayBuffer(2, (0,), 0), "state_shape: expected a whole number"),
        (lambda: ReplayBuffer(2, (2,), 0).sample(1), "at least one transition"),
        (lambda: filled(2, 2).sample(0), "batch_size: expected a whole number"),
        (lambda: filled(2, 2).add([1], 0, 0.0, [1, 2], False), "expected shapes"),
        (lambda: filled(2, 2).add([1, 2], 0.5, 0.0, [1, 2], False), "actions: expected whole numbers"),
        (lambda: effective_size([[1.0, 2.0]], [1.0, 2.0]), "batches: expected several"),
        (lambda: effective_size(np.ones((3, 2)), np.ones(5)), "batches: expected several"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

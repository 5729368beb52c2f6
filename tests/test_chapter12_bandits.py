"""Bandits: choices by hand, shares of chance, the testbed's bookkeeping and Auer's bound."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from kerasnotes.chapter12.bandits import (
    ARMS,
    Bandit,
    epsilon_greedy,
    regret_bound,
    run_testbed,
    upper_confidence_bound,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_rewards_have_the_arms_distribution():
    many = Bandit(np.tile([0.3, -2.0], (20000, 1)), 1)
    rewards = many.pull(np.repeat([0, 1], 10000))
    assert stats.kstest(rewards[:10000], stats.norm(0.3, 1).cdf).pvalue > 1e-3
    assert stats.kstest(rewards[10000:], stats.norm(-2.0, 1).cdf).pvalue > 1e-3
    coins = Bandit(np.tile([0.0, 0.7, 1.0], (9000, 1)), 2, "bernoulli")
    rewards = coins.pull(np.repeat([0, 1, 2], 3000))
    assert set(rewards) == {0.0, 1.0}
    assert rewards[:3000].sum() == 0
    assert rewards[6000:].sum() == 3000
    assert stats.binomtest(int(rewards[3000:6000].sum()), 3000, 0.7).pvalue > 1e-3


def test_one_bandit_gives_floats_and_one_seed_one_sequence():
    first, again, other = (Bandit([1.0, 2.0], seed) for seed in (3, 3, 4))
    rewards = [[machine.pull(arm) for arm in (0, 1, 1)] for machine in (first, again, other)]
    assert all(isinstance(reward, float) for reward in rewards[0])
    assert rewards[0] == rewards[1] != rewards[2]


def test_the_means_are_a_copy():
    means = np.array([0.0, 1.0])
    machine = Bandit(means, 0)
    means[0] = 9
    assert machine.means[0] == 0


def test_epsilon_greedy_explores_every_arm_with_epsilon_over_arms():
    values = np.tile([0.1, 0.5, 0.2, 0.5], (40000, 1))
    arms = epsilon_greedy(values, np.ones_like(values), 0.2, rng())
    counts = np.bincount(arms, minlength=4)
    want = [0.05, 0.45, 0.05, 0.45]  # the two best share what exploring leaves
    assert stats.chisquare(counts, 40000 * np.array(want)).pvalue > 1e-3


def test_epsilon_at_its_ends():
    assert epsilon_greedy([0.0, 3.0, 1.0], [0, 0, 0], 0.0, rng()) == 1
    arms = epsilon_greedy(np.tile([0.0, 3.0], (10000, 1)), np.zeros((10000, 2)), 1.0, rng())
    assert stats.binomtest(int(arms.sum()), 10000, 0.5).pvalue > 1e-3
    assert np.shape(epsilon_greedy([0.0, 3.0], [0, 0], 0.5, rng())) == ()
    assert epsilon_greedy([-np.inf, -np.inf], [0, 0], 0.0, rng()) in (0, 1)


def test_the_bound_by_hand():
    """At t = e² the bonus is α · 2 / √m: 2 after one pull, 1 after four."""
    t = math.e**2
    assert upper_confidence_bound([0.0, 0.9], [1, 4], t, 1.0) == 0  # 2 against 1.9
    assert upper_confidence_bound([0.0, 1.1], [1, 4], t, 1.0) == 1  # 2 against 2.1
    assert upper_confidence_bound([0.0, 1.1], [1, 4], t, 1.2) == 0  # 2.4 against 2.3
    assert upper_confidence_bound([0.0, 0.1], [1, 4], t, 0.0) == 1
    assert upper_confidence_bound([1.0, 1.0], [3, 3], 6, 1.0) == 0


def test_arms_never_pulled_come_first():
    assert upper_confidence_bound([100.0, 0.0, 0.0], [5, 0, 0], 6, 1.0) == 1
    assert upper_confidence_bound([100.0, 0.0], [1, 0], 1, 0.0) == 1
    values, counts = np.array([[9.0, 0.0], [0.0, 9.0]]), np.array([[1, 0], [1, 1]])
    assert upper_confidence_bound(values, counts, 2, 0.1).tolist() == [1, 1]


def test_the_testbed_keeps_sample_means():
    seen = []

    def policy(values, counts, step, generator):
        seen.append((values.copy(), counts.copy(), step))
        return generator.integers(4, size=len(values))

    rewards, best = run_testbed(policy, bandits=30, steps=50, seed=2, arms=4)
    assert rewards.shape == best.shape == (30, 50)
    assert [step for *_, step in seen] == list(range(1, 51))
    pulled = np.stack([np.argmax(b[1] - a[1], axis=1) for a, b in itertools.pairwise(seen)], axis=1)
    values, counts, _ = seen[-1]
    for row in range(30):
        for arm in range(4):
            mine = rewards[row, :49][pulled[row] == arm]
            assert counts[row, arm] == len(mine)
            assert values[row, arm] == pytest.approx(mine.mean() if len(mine) else 0.0)


def test_the_testbed_gives_every_policy_the_same_bandits():
    constant = [run_testbed(lambda v, c, t, r, arm=arm: np.full(len(v), arm), 3000, 3, 5) for arm in (0, 1)]
    assert sum(best[:, 0].mean() for _, best in constant) == pytest.approx(0.2, abs=0.03)
    assert not np.any(constant[0][1] & constant[1][1])
    noise = constant[0][0] - constant[0][0].mean(axis=1, keepdims=True)
    assert noise.var() * 3 / 2 == pytest.approx(1, abs=0.05)
    assert constant[0][0].mean(axis=1).var() == pytest.approx(1 + 1 / 3, rel=0.12)
    again = run_testbed(lambda v, c, t, r: np.full(len(v), 0), 3000, 3, 5)
    np.testing.assert_array_equal(again[0], constant[0][0])
    other = run_testbed(lambda v, c, t, r: np.full(len(v), 0), 3000, 3, 6)
    assert not np.allclose(other[0], constant[0][0])


def test_the_best_arm_is_the_one_that_pays_most():
    pays, best = np.empty((3, 200)), np.empty((3, 200), dtype=bool)
    for arm in range(3):
        rewards, flags = run_testbed(lambda v, c, t, r, arm=arm: np.full(len(v), arm), 200, 400, 8, arms=3)
        pays[arm], best[arm] = rewards.mean(axis=1), flags.all(axis=1)
        assert np.all(flags == flags[:, :1])
    assert np.all(best.sum(axis=0) == 1)
    clear = np.ptp(np.sort(pays, axis=0)[1:], axis=0) > 0.35  # five standard errors of a difference
    assert clear.sum() > 100
    assert np.array_equal(pays.argmax(axis=0)[clear], best.argmax(axis=0)[clear])


def test_auers_bound_by_hand():
    assert regret_bound([0.0, 0.5], 1) == pytest.approx(0.5 * (1 + np.pi**2 / 3))
    assert regret_bound([0.0, 0.5, 0.25], math.e) == pytest.approx(8 * (2 + 4) + 0.75 * (1 + np.pi**2 / 3))
    assert regret_bound([0.0], [1, 10]).tolist() == [0.0, 0.0]


def test_ucb1_loses_less_than_its_bound_on_two_arms():
    means = np.tile([0.6, 0.4], (30, 1))
    machine, values, counts = Bandit(means, 0, "bernoulli"), np.zeros((30, 2)), np.zeros((30, 2))
    rows = np.arange(30)
    for step in range(1, 2001):
        arm = upper_confidence_bound(values, counts, step, 1.0)
        counts[rows, arm] += 1
        values[rows, arm] += (machine.pull(arm) - values[rows, arm]) / counts[rows, arm]
        assert np.mean(counts[:, 1]) * 0.2 <= regret_bound([0.0, 0.2], step)
    assert counts[:, 1].mean() < 400  # chance would have pulled it a thousand times


def test_the_fixed_bandit_has_one_best_arm():
    assert sorted(ARMS)[-1] > sorted(ARMS)[-2]
    assert 0 <= min(ARMS) <= max(ARMS) <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Bandit([], 0), "means: expected finite numbers"),
        (lambda: Bandit([np.nan], 0), "means: expected finite numbers"),
        (lambda: Bandit(1.0, 0), "means: expected finite numbers"),
        (lambda: Bandit([1.5], 0, "bernoulli"), r"means: expected probabilities in \[0, 1\]"),
        (lambda: Bandit([0.5], 0, "cauchy"), "kind: expected 'normal' or 'bernoulli'"),
        (lambda: Bandit([0.5, 0.5], 0).pull(2), "arm: expected whole numbers from 0 to 1"),
        (lambda: Bandit([0.5, 0.5], 0).pull(-1), "arm: expected whole numbers"),
        (lambda: Bandit([0.5, 0.5], 0).pull(0.5), "arm: expected whole numbers"),
        (lambda: Bandit(np.zeros((3, 2)), 0).pull([0, 1]), r"arm: expected whole numbers from 0 to 1 of shape \(3,\)"),
        (lambda: epsilon_greedy([0.0], [0], 1.1, rng()), "epsilon: expected a number from 0 to 1"),
        (lambda: epsilon_greedy([0.0], [0], np.nan, rng()), "epsilon: expected a number"),
        (lambda: epsilon_greedy([], [], 0.1, rng()), "values: expected numbers"),
        (lambda: epsilon_greedy([np.nan], [0], 0.1, rng()), "values: expected numbers"),
        (lambda: epsilon_greedy([0.0, 1.0], [0], 0.1, rng()), "counts: expected numbers from 0 on"),
        (lambda: upper_confidence_bound([0.0], [-1], 1, 1.0), "counts: expected numbers from 0 on"),
        (lambda: upper_confidence_bound([0.0], [1], 0, 1.0), "step: expected a number from 1 on"),
        (lambda: upper_confidence_bound([0.0], [1], 1, -1.0), "alpha: expected a weight from 0 on"),
        (lambda: upper_confidence_bound([0.0], [1], 1, np.nan), "alpha: expected a weight"),
        (lambda: run_testbed(None, bandits=0), "bandits: expected a whole number"),
        (lambda: run_testbed(None, steps=0), "steps: expected a whole number"),
        (lambda: run_testbed(None, arms=1.5), "arms: expected a whole number"),
        (lambda: regret_bound([], 10), r"gaps: expected numbers in \[0, 1\]"),
        (lambda: regret_bound([1.2], 10), "gaps: expected"),
        (lambda: regret_bound([0.2], 0), "steps: expected numbers from 1 on"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Bias and variance against problems that are solved by hand."""

import numpy as np
import pytest

from kerasnotes.chapter05.error_decomposition import bias_variance


def coin_data(rng):
    """Three inputs, targets x plus or minus 1."""
    x = np.array([0.0, 1.0, 2.0])
    return x, x + rng.choice([-1.0, 1.0], 3)


def constant(value):
    return lambda x, y: lambda new: np.full(len(new), value)


def test_a_constant_has_bias_alone():
    bias2, variance, noise, total = bias_variance(constant(1.0), coin_data, np.array([0.0, 4.0]), lambda x: x, 50, 0)
    assert bias2 == pytest.approx((1 + 9) / 2)
    assert variance == 0.0
    assert noise == 1.0  # every draw is plus or minus 1
    assert all(isinstance(value, float) for value in (bias2, variance, noise, total))


def test_copying_the_targets_has_variance_alone():
    x, repeats = np.array([0.0, 1.0, 2.0]), 4000
    bias2, variance, noise, total = bias_variance(lambda x, y: lambda new: y, coin_data, x, lambda x: x, repeats, 1)
    assert bias2 == pytest.approx(0.0, abs=20 / repeats)
    assert variance == pytest.approx(1.0, abs=20 / repeats)
    assert noise == 1.0
    # new noise is independent of the noise that was learnt: (±1 ∓ 1)² has mean 2 and deviation 2
    assert total == pytest.approx(2.0, abs=4 * 2 / np.sqrt(3 * repeats))


def test_variance_is_over_training_sets_at_each_input():
    seen = []

    def fit(x, y):
        seen.append(y)
        return lambda new: y[0] + 100 * new

    x = np.array([0.0, 1.0])
    bias2, variance, _, _ = bias_variance(fit, coin_data, x, lambda x: 100 * x, 10, 2)
    first = np.array([y[0] for y in seen])
    assert len(seen) == 10
    assert variance == pytest.approx(first.var())
    assert bias2 == pytest.approx(first.mean() ** 2)
    assert bias2 + variance == pytest.approx(np.mean(first**2))


def test_one_seed_one_answer():
    def fit(x, y):
        return lambda new: np.full(len(new), y.mean())

    results = [bias_variance(fit, coin_data, np.zeros(7), lambda x: x, 5, seed) for seed in (0, 0, 1)]
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_more_inputs_than_noise_and_inputs_with_features():
    rows = np.arange(20.0).reshape(10, 2)

    def sample(rng):
        return rows[:3], rows[:3, 0]

    result = bias_variance(constant(0.0), sample, rows, lambda x: x[:, 0], 2, 0)
    assert result == pytest.approx((np.mean(rows[:, 0] ** 2), 0, 0, np.mean(rows[:, 0] ** 2)))


@pytest.mark.parametrize("repeats", [1, 0, 2.5, "9"])
def test_bad_repeats(repeats):
    with pytest.raises(ValueError, match="repeats: expected a whole number of at least 2, got"):
        bias_variance(constant(0.0), coin_data, np.zeros(2), lambda x: x, repeats, 0)


def test_bad_inputs_and_predictions():
    for x in (np.zeros(0), 1.0):
        with pytest.raises(ValueError, match="x: expected at least one input"):
            bias_variance(constant(0.0), coin_data, x, lambda x: x, 2, 0)
    for answer in (np.zeros(3), np.zeros((2, 1)), np.array([0.0, np.nan])):
        with pytest.raises(ValueError, match="fit: expected finite predictions of shape"):
            bias_variance(lambda x, y: lambda new: answer, coin_data, np.zeros(2), lambda x: x, 2, 0)  # noqa: B023

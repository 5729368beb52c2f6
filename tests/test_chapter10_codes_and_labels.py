"""Ridge regression by its normal equations, leaving one out by doing it, choice of labels, and the errors."""

import numpy as np
import pytest

from kerasnotes.chapter10.codes_and_labels import few_of_each, leave_one_out_error, ridge_classifier


def ridge(x, y, penalty):
    """Weights and bias by the normal equations with a column for the bias, which is not penalized."""
    a = np.column_stack([x, np.ones(len(x))])
    penalties = penalty * np.diag([*np.ones(x.shape[1]), 0])
    solution = np.linalg.solve(a.T @ a + penalties, a.T @ y)
    return solution[:-1], solution[-1]


def data(samples=15, features=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, features)) + 3, np.arange(samples) % classes


@pytest.mark.parametrize("features", [2, 6, 40])
@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_weights_are_those_of_the_normal_equations(features, penalty):
    x, labels = data(features=features)
    weights, bias, chosen = ridge_classifier(x, labels, 3, [penalty])
    want = ridge(x, np.eye(3)[labels], penalty)
    np.testing.assert_allclose(weights, want[0], atol=1e-8)
    np.testing.assert_allclose(bias, want[1], atol=1e-7)
    assert chosen == penalty


@pytest.mark.parametrize("features", [2, 6, 40])
def test_leaving_one_out(features):
    x, labels = data(features=features)
    y, errors = np.eye(3)[labels], []
    for out in range(len(x)):
        kept = np.arange(len(x)) != out
        weights, bias = ridge(x[kept], y[kept], 0.7)
        errors.append(np.sum((y[out] - x[out] @ weights - bias) ** 2))
    assert leave_one_out_error(x, y, 0.7) == pytest.approx(np.mean(errors), rel=1e-8)


def test_the_penalty_chosen_is_the_one_with_the_least_error():
    x, labels = data(30, 20)
    penalties = [0.01, 1.0, 30.0, 1000.0]
    errors = [leave_one_out_error(x, np.eye(3)[labels], each) for each in penalties]
    assert ridge_classifier(x, labels, 3, penalties)[2] == penalties[int(np.argmin(errors))]


def test_a_class_without_samples_is_never_named():
    x, labels = data(classes=2)
    weights, bias, _ = ridge_classifier(x, labels, 3, [1.0])
    np.testing.assert_allclose(weights[:, 2], 0, atol=1e-12)
    assert bias[2] == pytest.approx(0)


def test_as_many_of_each_class():
    labels = np.random.default_rng(0).integers(4, size=200)
    chosen = few_of_each(labels, 5, seed=1)
    np.testing.assert_array_equal(np.bincount(labels[chosen]), np.full(4, 5))
    assert len(set(chosen.tolist())) == 20
    np.testing.assert_array_equal(np.sort(few_of_each([0, 1] * 10, 10, seed=0)), np.arange(20))  # each of them once
    np.testing.assert_array_equal(chosen, few_of_each(labels, 5, seed=1))
    assert set(chosen.tolist()) != set(few_of_each(labels, 5, seed=2).tolist())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: leave_one_out_error(np.zeros(3), np.zeros((3, 1)), 1.0), r"x: expected the shape \(any, any\)"),
        (lambda: leave_one_out_error(np.eye(3), np.zeros((2, 1)), 1.0), r"y: expected the shape \(3, any\)"),
        (lambda: leave_one_out_error(np.eye(3), np.eye(3), 0.0), "penalty: expected a positive number, got 0.0"),
        (lambda: leave_one_out_error(np.ones((1, 2)), np.ones((1, 2)), 1.0), "samples: expected a whole number of at"),
        (lambda: ridge_classifier(np.eye(3), [0, 1, 2], 2, [1.0]), "labels: expected classes from 0 to 1, got 0 to 2"),
        (lambda: ridge_classifier(np.eye(3), [0, 1, -1], 2, [1.0]), "labels: expected classes from 0 to 1, got -1"),
        (lambda: ridge_classifier(np.eye(3), [0, 1], 2, [1.0]), r"labels: expected the shape \(3\)"),
        (lambda: few_of_each([0, 0, 1], 2, 0), "each: expected at most 1, what the rarest class has, got 2"),
        (lambda: few_of_each([0, 0, 1], 0, 0), "each: expected a whole number of at least 1, got 0"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

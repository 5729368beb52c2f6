"""Self-training against scikit-learn's, by hand, and its errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.semi_supervised import SelfTrainingClassifier

from kerasnotes.chapter05 import semi_supervised
from kerasnotes.chapter05.semi_supervised import select_confident, self_training
from kerasnotes.course.report import Report


def fit_bells(x, y):
    """Probabilities from a bell around each class's mean, and a little for every class."""
    classes = np.arange(3)
    means = np.stack([x[y == label].mean(axis=0) if (y == label).any() else x[0] * np.nan for label in classes])

    def predict(points):
        likeness = np.nan_to_num(np.exp(-np.sum((points[:, None] - means) ** 2, axis=-1))) + 0.05
        return likeness / likeness.sum(axis=1, keepdims=True)

    return predict


class Bells(ClassifierMixin, BaseEstimator):
    """The same as an estimator of scikit-learn."""

    def fit(self, x, y):
        self.classes_, self.predict_proba = np.arange(3), fit_bells(x, y)
        return self


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.35, 0.5, 0.7, 0.8, 0.95]), st.integers(1, 6))
def test_labels_that_are_kept_equal_scikit_learns(seed, threshold, rounds):
    rng = np.random.default_rng(seed)
    y = rng.permutation([0, 1, 2, 0, 1])
    x, unlabelled = rng.normal(size=(5, 2)) + y[:, None], rng.normal(size=(30, 2)) + rng.integers(0, 3, (30, 1))
    predict, history = self_training(fit_bells, x, y, unlabelled, threshold, rounds, keep=True)
    theirs = SelfTrainingClassifier(Bells(), threshold=threshold, max_iter=rounds)
    theirs.fit(np.concatenate([x, unlabelled]), np.concatenate([y, np.full(30, -1)]))
    labels = history[-1] if len(history) else np.full(30, -1)
    np.testing.assert_array_equal(labels, theirs.transduction_[5:])
    given_in = np.where((history >= 0).any(axis=0), 1 + (history >= 0).argmax(axis=0), -1) if len(history) else labels
    np.testing.assert_array_equal(given_in, theirs.labeled_iter_[5:])
    np.testing.assert_allclose(predict(unlabelled), theirs.predict_proba(unlabelled))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_labels_given_anew_are_the_sure_ones_of_each_round(seed, threshold):
    rng = np.random.default_rng(seed)
    x, y, unlabelled = rng.normal(size=(6, 2)), np.array([0, 1, 2, 0, 1, 2]), rng.normal(size=(20, 2))
    predict, history = self_training(fit_bells, x, y, unlabelled, threshold, rounds=3)
    fitted = fit_bells(x, y)
    for labels in history:
        chosen, given_now = select_confident(fitted(unlabelled), threshold)
        np.testing.assert_array_equal(np.flatnonzero(labels >= 0), chosen)
        np.testing.assert_array_equal(labels[chosen], given_now)
        fitted = fit_bells(np.concatenate([x, unlabelled[chosen]]), np.concatenate([y, given_now]))
    np.testing.assert_allclose(predict(unlabelled), fitted(unlabelled))


def test_selection_by_hand():
    probabilities = np.array([[0.6, 0.4], [0.05, 0.95], [0.9, 0.1]], np.float32)
    for threshold, chosen, labels in ((0, [0, 1, 2], [0, 1, 0]), (0.7, [1, 2], [1, 0]), (0.96, [], [])):
        indices, found = select_confident(probabilities, threshold)
        assert indices.tolist() == chosen
        assert found.tolist() == labels
    assert select_confident(np.array([[0.25, 0.75]]), 0.75)[0].tolist() == [0]  # reached is enough
    assert select_confident(np.array([[1.0, 0.0]]), 1)[1].tolist() == [0]


def test_it_ends_when_nothing_changes_and_never_asks_more_than_it_may():
    calls = []

    def fit(x, y):
        calls.append((len(x), y.tolist()))
        return fit_bells(x, y)

    x, y, unlabelled = np.array([[0.0], [4.0]]), np.array([0, 1]), np.array([[0.1], [3.9], [2.0]])
    _, history = self_training(fit, x, y, unlabelled, 0.8, rounds=50)
    assert history.tolist() == [[0, 1, -1]]
    assert calls == [(2, [0, 1]), (4, [0, 1, 0, 1])]
    for rounds, threshold, shape in ((0, 0.8, (0, 3)), (5, 0.99, (0, 3)), (1, 0.0, (1, 3))):
        assert self_training(fit, x, y, unlabelled, threshold, rounds)[1].shape == shape


def test_first_labels_stay_whatever_the_model_says():
    def fit(x, y):
        seen.append(y[:2].tolist())
        return lambda points: np.tile([0.0, 1.0], (len(points), 1))

    seen = []
    _, history = self_training(fit, np.zeros((2, 1)), np.array([0, 0]), np.zeros((3, 1)))
    assert history.tolist() == [[1, 1, 1]]
    assert seen == [[0, 0], [0, 0]]


def test_the_lesson_sees_own_probabilities_teach_nothing():
    report = Report()
    semi_supervised._what_own_labels_teach(report, np.random.default_rng(5))
    assert [record["status"] for record in report.records if record["kind"] == "check"] == ["passed", "passed"]


half = np.full((2, 2), 0.5)
x, y, free = np.zeros((2, 3)), np.array([0, 1]), np.zeros((4, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: select_confident(np.ones(3) / 3, 0.5), r"probabilities: expected \(n, classes\), rows summing to 1"),
        (lambda: select_confident(np.ones((2, 2)), 0.5), "probabilities: expected"),
        (lambda: select_confident(np.array([[1.5, -0.5]]), 0.5), "probabilities: expected"),
        (lambda: select_confident(half * np.nan, 0.5), "probabilities: expected"),
        (lambda: select_confident(half, 1.1), "threshold: expected a number from 0 to 1, got 1.1"),
        (lambda: self_training(fit_bells, x, y[:1], free), "y: expected a whole number of at least 0 for each of 2"),
        (lambda: self_training(fit_bells, x, y - 1, free), "y: expected"),
        (lambda: self_training(fit_bells, x, y * 0.5, free), "y: expected"),
        (lambda: self_training(fit_bells, x[:0], y[:0], free), "y: expected"),
        (lambda: self_training(fit_bells, x, y, free[:0]), r"unlabelled: expected examples \(3,\), at least one"),
        (lambda: self_training(fit_bells, x, y, free[:, :2]), "unlabelled: expected"),
        (lambda: self_training(fit_bells, x, y, free, -0.1), "threshold: expected"),
        (lambda: self_training(fit_bells, x, y, free, rounds=-1), "rounds: expected a whole number of at least 0"),
        (lambda: self_training(lambda x, y: lambda x: x, x, y, free), "probabilities: expected"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

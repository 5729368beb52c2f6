"""The area under the ROC curve against scikit-learn, with ties; reconstruction errors; errors of use."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from kerasnotes.chapter10.anomaly import reconstruction_error, roc_auc, roc_curve


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=40))
def test_equal_to_scikit_learn(pairs):
    scores, labels = (np.array(part) for part in zip(*pairs, strict=True))
    if len(set(labels.tolist())) < 2:
        labels[0] = not labels[0]
    assert roc_auc(scores, labels) == pytest.approx(metrics.roc_auc_score(labels, scores))
    ours, theirs = roc_curve(scores, labels), metrics.roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(ours, theirs[:2])


def test_by_hand():
    assert roc_auc([1, 2, 3], [False, False, True]) == 1.0
    assert roc_auc([1, 2, 3], [1, 0, 0]) == 0.0
    assert roc_auc([2, 2, 2], [1, 0, 0]) == 0.5
    assert roc_auc([np.inf, 0.0], [1, 0]) == 1.0


def test_many_samples_need_no_table_of_pairs():
    rng = np.random.default_rng(0)
    labels = rng.random(10**6) < 0.5
    assert roc_auc(rng.random(10**6), labels) == pytest.approx(0.5, abs=4 / np.sqrt(12 * 250_000))


def test_reconstruction_error_by_hand():
    x = [[1.0, 2.0], [0.0, -1.0]]
    np.testing.assert_allclose(reconstruction_error(lambda x: 0 * x, x), [5, 1])
    np.testing.assert_allclose(reconstruction_error(lambda x: x, x), [0, 0])


def test_one_sample_of_one_feature_and_none():
    np.testing.assert_allclose(reconstruction_error(lambda x: x - 3, [[1.0]]), [9])
    for nothing in (np.zeros((0, 3)), np.zeros((3, 0))):
        with pytest.raises(ValueError, match=r"x: expected the shape \(samples, features\)"):
            reconstruction_error(lambda x: x, nothing)


def test_errors():
    with pytest.raises(ValueError, match=r"scores, labels: expected one label for each score, got \(2,\) and \(3,\)"):
        roc_auc([1, 2], [0, 1, 1])
    with pytest.raises(ValueError, match="scores: expected numbers, got NaN"):
        roc_auc([1, np.nan], [0, 1])
    for labels in ([1, 1], [0, 2], [0.5, 1]):
        with pytest.raises(ValueError, match="labels: expected both 0 and 1"):
            roc_auc([1, 2], labels)
        with pytest.raises(ValueError, match="labels: expected both 0 and 1"):
            roc_curve([1, 2], labels)
    with pytest.raises(ValueError, match=r"x: expected the shape \(samples, features\), got \(3,\)"):
        reconstruction_error(lambda x: x, np.zeros(3))
    with pytest.raises(ValueError, match=r"model: expected outputs of the shape \(2, 3\), got \(2, 2\)"):
        reconstruction_error(lambda x: x[:, :2], np.zeros((2, 3)))

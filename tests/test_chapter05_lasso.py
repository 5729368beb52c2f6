"""The lasso against scikit-learn, and its conditions for a minimum."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from kerasnotes import data
from kerasnotes.chapter05.lasso import fit_lasso


def test_the_lasso_equals_scikit_learn():
    x, y = data.breast_cancer()
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    w, b = fit_lasso(x, y, 0.1, 8000)
    model = LogisticRegression(
        l1_ratio=1.0, C=1 / (0.1 * len(y)), solver="saga", tol=1e-7, max_iter=20000, random_state=0
    ).fit(x, y)
    np.testing.assert_allclose(np.append(w, b), np.append(model.coef_, model.intercept_), atol=1e-3)
    assert np.array_equal(w == 0, model.coef_[0] == 0)


def test_a_strong_penalty_leaves_the_bias_alone():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), np.arange(40) < 10
    w, b = fit_lasso(x, y, 10.0, 500)
    assert w.tolist() == [0.0, 0.0, 0.0]
    assert b == pytest.approx(np.log(10 / 30), rel=1e-6)
    again, same = fit_lasso(x, y, 10.0, 1, start=np.append(w, b))
    np.testing.assert_allclose(np.append(again, same), np.append(w, b), rtol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(3), [0, 1, 1], 0.1, 5), "x: expected the shape"),
        ((np.ones((3, 2)), [0, 1], 0.1, 5), "y: expected the shape"),
        ((np.ones((3, 2)), [[0], [1], [1]], 0.1, 5), "y: expected the shape"),
        ((np.ones((3, 2)), [1, 2, 1], 0.1, 5), "y: expected labels 0 and 1"),
        ((np.ones((3, 2)), [0, 1, 1], -0.1, 5), "strengths: expected numbers of at least 0"),
        ((np.ones((3, 2)), [0, 1, 1], 0.1, 0), "steps: expected a whole number"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_lasso(*arguments)

"""Folds against scikit-learn, and cross-validation against a loop written out by hand."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold

from kerasnotes.chapter05.cross_validation import cross_validate, k_fold


@settings(max_examples=40)
@given(st.data(), st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_folds_are_those_of_scikit_learn_in_size(data, n, seed):
    k = data.draw(st.integers(2, n))
    ours = k_fold(n, k, seed)
    theirs = list(KFold(k, shuffle=True, random_state=seed).split(np.zeros(n)))
    assert [(len(a), len(b)) for a, b in ours] == [(len(a), len(b)) for a, b in theirs]
    assert sorted(np.concatenate([validation for _, validation in ours])) == list(range(n))
    for train, validation in ours:
        assert sorted(np.concatenate([train, validation])) == list(range(n))


def test_the_seed_decides():
    first, again, other = (np.concatenate([v for _, v in k_fold(50, 5, seed)]) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, np.arange(50))


@pytest.mark.parametrize(
    ("n", "k", "message"),
    [
        (10, 1, "k: expected a whole number of at least 2, got 1"),
        (10, 2.5, "k: expected a whole number of at least 2, got 2.5"),
        (10, True, "k: expected a whole number of at least 2, got True"),
        (3, 4, "k: expected at most n = 3 folds, got 4"),
        (1, 2, "n: expected a whole number of at least 2, got 1"),
        ("9", 2, "n: expected a whole number of at least 2, got '9'"),
    ],
)
def test_bad_folds(n, k, message):
    with pytest.raises(ValueError, match=message):
        k_fold(n, k, 0)


class Recorder(keras.Model):
    """Stands in for a network: keeps what it is given, and scores a validation part by the sum of its targets."""

    def __init__(self):
        super().__init__()
        self.scale = keras.layers.Normalization()
        self.fitted = None

    def fit(self, x, y, **arguments):
        self.fitted = (x, y, arguments)

    def evaluate(self, x, y, **arguments):
        self.tested = (x, y)
        return [0.0, float(np.sum(y))]


def test_each_fold_trains_on_its_training_part_and_tests_on_the_other():
    rng = np.random.default_rng(0)
    x, y = rng.normal(3, 2, size=(11, 2)).astype(np.float32), np.arange(11)
    models = []

    def build():
        models.append(Recorder())
        return models[-1]

    scores = cross_validate(build, x, y, 3, seed=5, epochs=7, shuffle=False)
    folds = k_fold(11, 3, 5)
    assert len(models) == 3
    np.testing.assert_array_equal(scores, [np.sum(validation) for _, validation in folds])
    for model, (train, validation) in zip(models, folds, strict=True):
        np.testing.assert_array_equal(model.fitted[1], train)
        np.testing.assert_array_equal(model.fitted[0], x[train])
        assert model.fitted[2] == {"verbose": 0, "epochs": 7, "shuffle": False}
        np.testing.assert_array_equal(model.tested[0], x[validation])
        np.testing.assert_array_equal(model.tested[1], y[validation])
        np.testing.assert_allclose(np.ravel(model.scale.mean), x[train].mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(np.ravel(model.scale.variance), x[train].var(axis=0), rtol=1e-4)


def test_a_keras_model_that_cannot_learn_scores_what_it_can():
    def build():
        inputs = keras.Input((1,))
        model = keras.Model(inputs, keras.layers.Rescaling(1.0)(inputs))  # answers 1 where the input is above 1/2
        model.compile(loss="mse", metrics=["binary_accuracy"], run_eagerly=True)
        return model

    x = np.array([[0.0], [1.0], [0.0], [1.0], [0.0], [1.0]], np.float32)
    np.testing.assert_allclose(cross_validate(build, x, x, 2), [1.0, 1.0])
    np.testing.assert_allclose(cross_validate(build, x, 1 - x, 2), [0.0, 0.0])


def test_bad_arguments():
    x, y = np.zeros((6, 1)), np.zeros(6)
    with pytest.raises(ValueError, match="x, y: expected equally many examples"):
        cross_validate(Recorder, x, y[:5], 2)
    with pytest.raises(ValueError, match="k: expected at most n = 6 folds, got 7"):
        cross_validate(Recorder, x, y, 7)
    for name in ("validation_split", "validation_data"):
        with pytest.raises(ValueError, match=f"fit_arguments: expected no data, .*{name}"):
            cross_validate(Recorder, x, y, 2, **{name: 0.2})
    one = Recorder()
    with pytest.raises(ValueError, match="build_model: expected a fresh model"):
        cross_validate(lambda: one, x, y, 2)
    one.evaluate = lambda *_, **__: 0.5
    with pytest.raises(ValueError, match="build_model: expected a model with a loss and one metric"):
        cross_validate(lambda: one, x, y, 2)

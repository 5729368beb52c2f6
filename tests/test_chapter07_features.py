"""Climbing against a closed form, saliency against weights and differences, probes against scikit-learn's ridge."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from kerasnotes.chapter07.features import maximize_activation, probe, saliency


@pytest.fixture(scope="module")
def model():
    rng, layers = np.random.default_rng(0), keras.layers
    model = keras.Sequential([
        keras.Input((5, 4, 2)), layers.Conv2D(3, 2, activation="tanh", name="maps"), layers.Flatten(),
        layers.Dense(6, "softplus", name="units"), layers.Dense(4, name="logits"),
    ])  # fmt: skip
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def test_a_linear_unit_is_excited_most_by_its_own_weights():
    model = keras.Sequential([keras.Input((3, 3, 1)), keras.layers.Flatten(), keras.layers.Dense(2, name="logits")])
    weights = np.random.default_rng(1).normal(size=(9, 2))
    model.set_weights([weights, np.zeros(2)])
    picture, activations = maximize_activation(model, "logits", 1, steps=300, norm=2.0)
    want = 2.0 * weights[:, 1] / np.linalg.norm(weights[:, 1])
    np.testing.assert_allclose(picture.ravel(), want, atol=1e-3)
    assert activations[-1] == pytest.approx(2.0 * np.linalg.norm(weights[:, 1]), rel=1e-5)


@pytest.mark.parametrize(("layer", "number"), [("maps", 1), ("units", 5), ("logits", 0)])
def test_small_steps_rise_and_the_norm_stays(model, layer, number):
    picture, activations = maximize_activation(model, layer, number, steps=40, learning_rate=0.02, norm=3.0)
    assert activations.shape == (41,)
    assert (np.diff(activations) > -1e-6).all()
    assert activations[-1] > activations[0]
    assert np.linalg.norm(picture) == pytest.approx(3.0, rel=1e-5)
    inner = keras.Model(model.inputs[0], model.get_layer(layer).output)
    assert inner(picture[None]).numpy()[..., number].mean() == pytest.approx(activations[-1], rel=1e-4)


def test_several_filters_at_once_are_the_same_as_one_by_one(model):
    start = np.random.default_rng(2).normal(size=(5, 4, 2))
    pictures, activations = maximize_activation(model, "maps", [2, 0], steps=5, start=start)
    assert pictures.shape == (2, 5, 4, 2)
    for place, number in enumerate((2, 0)):
        picture, alone = maximize_activation(model, "maps", number, steps=5, start=start)
        np.testing.assert_allclose(pictures[place], picture, atol=1e-5)
        np.testing.assert_allclose(activations[:, place], alone, atol=1e-5)
    unchanged, _ = maximize_activation(model, "maps", 0, steps=0, start=start)
    np.testing.assert_allclose(unchanged, start, rtol=1e-5)


def test_saliency_equals_differences(model):
    rng = np.random.default_rng(3)
    x, labels, step = rng.normal(size=(2, 5, 4, 2)).astype(np.float32), np.array([3, 1]), 1e-2
    found = saliency(model, x, labels)
    nudges = step * np.eye(40, dtype=np.float32).reshape(40, 5, 4, 2)
    for picture, label, each in zip(x, labels, found, strict=True):
        slopes = (model(picture + nudges) - model(picture - nudges)).numpy()[:, label] / (2 * step)
        np.testing.assert_allclose(each, np.abs(slopes.reshape(5, 4, 2)).max(axis=-1), rtol=0.05, atol=5e-3)
    np.testing.assert_allclose(saliency(model, x, 3)[0], found[0])


@pytest.mark.parametrize(("layer", "l2"), [("input", 0.1), ("maps", 0.01), ("units", 1e-4)])
def test_probe_equals_ridge_regression(model, layer, l2):
    rng = np.random.default_rng(4)
    x, y, new = rng.normal(size=(30, 5, 4, 2)), rng.integers(0, 3, 30), rng.normal(size=(7, 5, 4, 2))
    y[:3] = 0, 1, 2

    def features(x):
        if layer == "input":
            return x.reshape(len(x), -1)
        return np.float64(keras.Model(model.inputs[0], model.get_layer(layer).output)(x)).reshape(len(x), -1)

    centred = features(x) - features(x).mean(axis=0)
    ridge = Ridge(alpha=l2 * np.sum(centred**2)).fit(features(x), np.eye(3)[y])
    np.testing.assert_allclose(probe(model, layer, x, y, l2)(new), ridge.predict(features(new)), atol=1e-6)


x, y = np.zeros((2, 5, 4, 2), np.float32), np.array([0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: maximize_activation(m, "maps", 3), "filter: expected whole numbers from 0 to 2, got 3"),
        (lambda m: maximize_activation(m, "maps", [0, -1]), "filter: expected whole numbers"),
        (lambda m: maximize_activation(m, "maps", 0.5), "filter: expected whole numbers"),
        (lambda m: maximize_activation(m, "maps", 0, steps=-1), "steps: expected a whole number"),
        (lambda m: maximize_activation(m, "maps", 0, learning_rate=0), "learning_rate: expected a positive number"),
        (lambda m: maximize_activation(m, "maps", 0, norm=-1.0), "norm: expected a positive number"),
        (lambda m: maximize_activation(m, "maps", 0, start=x[0]), r"start: expected a picture \(5, 4, 2\) that is not"),
        (lambda m: maximize_activation(m, "maps", 0, start=np.ones((5, 4))), "start: expected a picture"),
        (lambda m: saliency(m, x, 4), "label: expected whole numbers from 0 to 3, got 4"),
        (lambda m: saliency(m, x, [0.5, 1.0]), "label: expected whole numbers"),
        (lambda m: saliency(m, x[:0], 1), "x: expected numbers, at least one"),
        (lambda m: probe(m, "maps", x, y[:1]), "y: expected a whole number of at least 0 for each of 2 pictures"),
        (lambda m: probe(m, "maps", x, y - 1), "y: expected a whole number"),
        (lambda m: probe(m, "maps", x, y, l2=0), "l2: expected a positive number"),
    ],
)
def test_errors(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


def test_a_filter_without_a_slope_is_refused():
    dead = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Conv2D(2, 1, activation="relu", name="maps")])
    dead.set_weights([np.array([-1.0, 1.0]).reshape(1, 1, 1, 2), np.zeros(2)])
    with pytest.raises(ValueError, match=r"filter: maps \[0\] gives no slope at the start"):
        maximize_activation(dead, "maps", [0, 1], start=np.arange(4.0).reshape(2, 2, 1))

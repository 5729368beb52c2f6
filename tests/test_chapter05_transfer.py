"""What a transferred network keeps, what it trains, and that the base stays as it was."""

import keras
import numpy as np
import pytest

from kerasnotes import training
from kerasnotes.chapter05.transfer import MODES, build_base, freeze, transfer_model


@pytest.fixture(scope="module")
def base():
    model = build_base(5, seed=3)
    rng = np.random.default_rng(0)  # as if it had learnt something, statistics as well
    model.set_weights([rng.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    return model


def weighted(model):
    return [layer for layer in model.layers if layer.weights]


@pytest.mark.parametrize("mode", MODES)
def test_what_is_kept_and_what_is_trained(base, mode):
    before = base.get_weights()
    model = transfer_model(base, 3, mode, seed=1)
    assert model.output_shape == (None, 3)
    assert model.layers[-1].name == "new_logits"
    assert len(model.get_weights()) == len(before)
    same = [np.array_equal(new, old) for new, old in zip(model.get_weights(), before, strict=True)]
    assert all(same[:-2]) == (mode != "structure")
    assert not same[-2]
    trained = [bool(layer.trainable_weights) for layer in weighted(model)]
    want = {
        "head": [False] * 5 + [True],
        "first_layers": [True, True, False, False, False, True],
        "fine_tune": [True] * 6,
        "structure": [True] * 6,
    }
    assert trained == want[mode]
    for new, old in zip(base.get_weights(), before, strict=True):
        np.testing.assert_array_equal(new, old)
    assert all(layer.trainable for layer in base.layers)
    assert not {id(weight) for weight in model.weights} & {id(weight) for weight in base.weights}


def test_head_on_old_features_equals_keras_by_hand(base):
    model = transfer_model(base, 4, "head", seed=2)
    features = keras.Model(base.input, base.layers[-2].output)
    x = np.random.default_rng(1).normal(size=(6, 14, 14, 1)).astype(np.float32)
    kernel, bias = model.layers[-1].get_weights()
    want = features(x).numpy() @ kernel + bias
    for flag in (False, True):
        np.testing.assert_allclose(model(x, training=flag), want, rtol=1e-4, atol=1e-4)


def test_a_random_start_depends_on_the_seed_alone(base):
    first, again, other = (transfer_model(base, 3, "structure", seed=seed).get_weights() for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], build_base(5, seed=3).get_weights()[0])
    kernel = first[0]  # He's start: variance 2 / inputs, as the base's layers ask for
    assert kernel.std() == pytest.approx(np.sqrt(2 / 9), rel=0.3)


def test_training_moves_only_what_is_not_frozen(base):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(16, 14, 14, 1)).astype(np.float32), rng.integers(0, 3, 16)
    model = transfer_model(base, 3, "first_layers", seed=1, first=1)
    before = model.get_weights()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    training.fit(model, x, y, batch_size=16, epochs=2)
    moved = [not np.array_equal(new, old) for new, old in zip(model.get_weights(), before, strict=True)]
    assert moved == [True, True] + [False] * 12 + [True, True]


def test_freezing_by_number_and_by_name():
    model = build_base(2)
    assert freeze(model, 0) is model
    assert all(layer.trainable for layer in model.layers)
    freeze(model, 2)
    assert [layer.trainable for layer in weighted(model)] == [False, False, True, True, True, True]
    last = model.layers[-1].name
    freeze(model, last)
    assert not model.layers[-1].trainable
    freeze(model, [weighted(model)[3].name])
    assert [layer.trainable for layer in weighted(model)] == [False, False, True, False, True, False]


def test_networks_of_keras_sequential_may_be_taken_over():
    small = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(2)])
    model = transfer_model(small, 5)
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(
        model(x), small.layers[0](x) @ model.layers[-1].kernel + model.layers[-1].bias, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: transfer_model(model, 3, "none"), "mode: expected one of head, first_layers, fine_tune, struct"),
        (lambda model: transfer_model(model, 0), "classes: expected a whole number of at least 1, got 0"),
        (lambda model: transfer_model(model, 3, "first_layers", first=0), "first: expected a whole number"),
        (lambda model: transfer_model(keras.Model(model.input, model.layers[-2].input), 3), "base: expected a dense"),
        (lambda model: freeze(model, 7), "layers: expected at most 6 layers with weights, got 7"),
        (lambda model: freeze(model, -1), "layers: expected a whole number"),
        (lambda model: freeze(model, ["nobody"]), "layers: expected names of the model's layers, got 'nobody'"),
        (lambda model: build_base(0), "classes: expected a whole number"),
    ],
)
def test_errors(base, call, message):
    with pytest.raises(ValueError, match=message):
        call(base)

"""The forms of GoogLeNet: classifiers in the middle, siblings, places, and every error message."""

import keras
import numpy as np
import pytest

from kerasnotes.chapter07 import googlenet, inception
from kerasnotes.chapter07.googlenet import build_googlenet

SMALL = {"input_shape": (28, 28, 1), "classes": 10, "width": 0.05, "depth": (1, 1)}


def test_auxiliary_classifiers():
    plain = build_googlenet((65, 65, 3), 10, 0.02, depth=(1, 4))
    model = build_googlenet((65, 65, 3), 10, 0.02, depth=(1, 4), auxiliary=True)
    assert [each.shape for each in model.outputs] == [(None, 10)] * 3
    assert plain.output_shape == (None, 10)
    # modules 4a and 4d give 10 channels at this width; a head pools 5 x 5 places to one, then 3 channels, 20 units
    heads = sum((c + 1) * 3 + (3 + 1) * 20 + 21 * 10 for c in (10, 10))
    assert model.count_params() - plain.count_params() == heads
    assert len(build_googlenet((65, 65, 3), 10, 0.02, depth=(1, 3), auxiliary=True).outputs) == 2


def test_the_module_is_offered_here_too():
    assert googlenet.inception_module is inception.inception_module
    assert googlenet.inception_multiply_adds is inception.inception_multiply_adds


def test_siblings():
    model = build_googlenet(**SMALL)
    assert model(np.ones((2, 28, 28, 1), "float32")).shape == (2, 10)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    a, b = (build_googlenet(**SMALL, seed=seed).get_weights() for seed in (0, 1))
    assert all(np.array_equal(x, y) for x, y in zip(a, model.get_weights(), strict=True))
    assert not np.array_equal(a[0], b[0])


def test_places_of_the_published_form():
    model = build_googlenet((224, 224, 3), 10, 0.02, depth=(1, 1, 1))
    joined = [layer.output.shape[1] for layer in model.layers if isinstance(layer, keras.layers.Concatenate)]
    assert joined == [28, 14, 7]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (7, 28, 1)}, "input_shape: expected at least 8 x 8 pixels, got 7 x 28"),
        ({"classes": 0}, "classes: expected a whole number of at least 1"),
        ({"width": 0}, "width: expected a positive number"),
        ({"depth": 3}, "depth: expected one to three numbers of modules, got 3"),
        ({"depth": (3,)}, "depth: expected at most 2, 5 and 2 modules"),
        ({"depth": (1, 0)}, "depth: expected a whole number of at least 1, got 0"),
        ({"depth": (1,), "auxiliary": True}, "auxiliary: expected a second stage"),
        ({"input_shape": (16, 16, 1), "auxiliary": True}, "at least 5 x 5 pixels .* got 4 x 4"),
        ({"dropout": 1}, "dropout: expected a number from 0 and below 1"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_googlenet(**{**SMALL, **arguments})

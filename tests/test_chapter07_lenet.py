"""LeNet-5: the published counts, its two forms on the same weights, and every error message."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter07 import conv_pool, lenet, lenet_1998
from kerasnotes.chapter07.lenet import (
    build_lenet5,
    check_picture,
    scaled,
)


def gradients(layer, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = tf.reduce_sum(tf.sin(y))
    return [y, *tape.gradient(loss, [x, *(weight.value for weight in layer.trainable_weights)])]


def assert_equal(ours, theirs, tolerance=1e-4):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_the_published_numbers():
    assert build_lenet5().count_params() == build_lenet5(fast=True).count_params() == 61_706
    original = build_lenet5(original=True)
    counts = {
        layer.name: sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights) for layer in original.layers
    }
    published = {"C1": 156, "S2": 12, "C3": 1_516, "S4": 32, "C5": 48_120, "F6": 10_164, "logits": 0}
    assert {name: counts[name] for name in published} == published
    assert sum(counts.values()) == 60_000


@pytest.mark.parametrize("width", [0.5, 1.0])
def test_weights_copy_between_the_two_forms(width):
    x = np.random.default_rng(1).normal(size=(3, 28, 20, 3)).astype(np.float32)
    plain, fast = (build_lenet5((28, 20, 3), classes=7, width=width, seed=4, fast=fast) for fast in (False, True))
    for a, b in zip(plain.get_weights(), fast.get_weights(), strict=True):
        assert np.array_equal(a, b)  # one seed, one start
    plain.set_weights([weight + 0.01 for weight in plain.get_weights()])
    fast.set_weights(plain.get_weights())
    x = tf.constant(x)
    assert_equal(gradients(fast, x), gradients(plain, x), 1e-3)


def test_the_layers_are_offered_here_too():
    for module, names in ((conv_pool, ("ConvPool", "pooling_matrix")),
                          (lenet_1998, ("CodeDistance", "PartialConv2D", "TrainablePool", "scaled_tanh"))):  # fmt: skip
        for name in names:
            assert getattr(lenet, name) is getattr(module, name)


@settings(max_examples=30)
@given(st.integers(1, 600), st.floats(0.01, 4), st.integers(1, 5))
def test_scaled(channels, width, multiple):
    got = scaled(channels, width, multiple)
    assert got >= 1
    assert got % multiple == 0
    assert got == multiple or abs(got - channels * width) <= multiple / 2 + 1e-9
    assert check_picture([9, 8, 1], 8) == (9, 8, 1)


def test_width_and_seed():
    model = build_lenet5(width=0.5)
    assert [model.get_layer(name).output.shape[-1] for name in ("C1", "C3", "C5", "F6", "logits")] == [3, 8, 60, 42, 10]
    for original in (False, True):
        one, same, other = (build_lenet5(seed=seed, original=original).get_weights() for seed in (1, 1, 2))
        assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
        assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True) if a.ndim > 1)


@pytest.mark.parametrize("arguments", [{"fast": True}, {"original": True}])
def test_a_saved_model_gives_the_same(arguments, tmp_path):
    model = build_lenet5((16, 16, 1), seed=3, **arguments)
    x = np.random.default_rng(3).normal(size=(2, 16, 16, 1)).astype(np.float32)
    model.save(tmp_path / "model.keras")
    assert_equal([keras.saving.load_model(tmp_path / "model.keras")(x)], [model(x)], 1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (32, 32)}, "input_shape: expected .height, width, channels., positive integers"),
        ({"input_shape": (32, 30, 1)}, "input_shape: expected multiples of 4, got 32 x 30"),
        ({"input_shape": (12, 32, 1)}, "input_shape: expected at least 16 x 16 pixels, got 12 x 32"),
        ({"classes": 0}, "classes: expected a whole number of at least 1, got 0"),
        ({"classes": True, "original": True}, "classes: expected a whole number of at least 1, got True"),
        ({"width": 0}, "width: expected a positive number, got 0"),
        ({"width": float("nan")}, "width: expected a positive number"),
        ({"width": 0.5, "original": True}, "original: expected fast=False and width=1"),
        ({"fast": True, "original": True}, "original: expected fast=False and width=1"),
    ],
)
def test_errors_of_the_network(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_lenet5(**arguments)

"""Highway layers against Keras's dense layers, forward and backward; limits, settings and errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter07.highway import HighwayDense, build_highway, build_plain, gate_activity


def dense(activation, kernel, bias):
    layer = keras.layers.Dense(len(bias), activation=activation)
    layer.build((None, len(kernel)))
    layer.set_weights([kernel, bias])
    return layer


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 6), st.integers(1, 5), st.sampled_from(["relu", "tanh", None]), st.booleans(), st.integers(0, 999)
)
def test_equal_to_dense_layers(units, batch, activation, carry_gate, seed):
    rng = np.random.default_rng(seed)
    layer = HighwayDense(units, activation, carry_gate=carry_gate, seed=seed)
    layer.build((None, units))
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    weights = layer.get_weights()
    h, t = dense(activation, *weights[:2]), dense("sigmoid", *weights[2:4])
    c = dense("sigmoid", *weights[4:]) if carry_gate else None
    x = tf.Variable(rng.normal(size=(batch, units)), dtype=tf.float32)
    parts = [h, t, *([c] if carry_gate else [])]
    with tf.GradientTape(persistent=True) as tape:
        ours = layer(x)
        theirs = h(x) * t(x) + x * (c(x) if carry_gate else 1 - t(x))
        losses = [tf.reduce_sum(tf.sin(y)) for y in (ours, theirs)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(layer.transform(x), t(x), rtol=1e-5, atol=1e-6)
    got = tape.gradient(losses[0], [x, *(w.value for w in layer.weights)])
    want = tape.gradient(losses[1], [x, *(w.value for part in parts for w in part.weights)])
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("carry_gate", [False, True])
def test_a_low_bias_starts_near_the_identity(carry_gate):
    x = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    shut, half = (HighwayDense(5, transform_bias=b, carry_gate=carry_gate) for b in (-200.0, 0.0))
    np.testing.assert_array_equal(shut(x), x)
    assert not np.allclose(half(x), x, atol=1e-2)


def test_half_open_by_hand():
    layer = HighwayDense(1, None, transform_bias=0.0)
    layer.build((None, 1))
    layer.set_weights([np.float32(w) for w in ([[3.0]], [1.0], [[0.0]], [0.0])])
    np.testing.assert_allclose(layer(np.float32([[2.0]])), [[4.5]])  # (7 + 2) / 2
    np.testing.assert_allclose(layer.transform(np.float32([[2.0]])), [[0.5]])


def test_configuration_comes_back():
    layer = HighwayDense(3, "tanh", -2.5, True, 7, name="road")
    again = HighwayDense.from_config(layer.get_config())
    x = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    np.testing.assert_array_equal(layer(x), again(x))
    assert again.name == "road"
    assert len(again.weights) == 6
    other = HighwayDense(3, "tanh", -2.5, True, 8)
    assert not np.array_equal(other(x), layer(x))


def test_parameters_by_hand():
    assert build_highway(4).count_params() == 785 * 50 + 2 * 2 * 51 * 50 + 51 * 10
    assert build_plain(4).count_params() == 785 * 71 + 2 * 72 * 71 + 72 * 10


def test_the_start_of_plain_layers():
    tanh, relu = (build_plain(2, (400,), units=300, activation=name).get_weights()[0] for name in ("tanh", "relu"))
    assert tanh.std() == pytest.approx(np.sqrt(2 / 700), rel=0.02)
    assert relu.std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)


def test_fifty_layers_by_default_whose_gates_are_almost_shut():
    highway, plain = build_highway(input_shape=(4,), units=2), build_plain(input_shape=(4,), units=2)
    assert len(highway.layers) == len(plain.layers) == 50
    np.testing.assert_allclose(gate_activity(highway, np.zeros((1, 4), "float32")), np.full(48, 1 / (1 + np.exp(4))))
    assert plain.layers[1].activation is keras.activations.tanh
    layer = HighwayDense(2)
    layer.build((None, 2))
    np.testing.assert_allclose(layer.transform(np.zeros((1, 2), "float32")), [[1 / (1 + np.e)] * 2], rtol=1e-6)


@pytest.mark.parametrize("build", [build_highway, build_plain])
def test_no_two_kernels_start_alike(build):
    kernels = [w for w in build(5, (6,), 6, 6).get_weights() if w.ndim == 2]
    if build is build_highway:
        layer = HighwayDense(6, carry_gate=True, seed=1)
        layer.build((None, 6))
        kernels += [w for w in layer.get_weights() if w.ndim == 2]
    for i, kernel in enumerate(kernels):
        for other in kernels[:i]:
            assert abs(np.corrcoef(kernel.ravel(), other.ravel())[0, 1]) < 0.8


def test_gate_activity_at_the_start_is_the_bias():
    model = build_highway(5, (8,), units=6, transform_bias=-3.0)
    got = gate_activity(model, np.zeros((4, 8), "float32"))
    np.testing.assert_allclose(got, np.full(3, 1 / (1 + np.exp(3))), rtol=1e-5)
    x = np.random.default_rng(0).normal(size=(4, 8)).astype("float32")
    second = model.layers[1].transform(model.layers[0](x))
    assert gate_activity(model, x)[0] == pytest.approx(float(tf.reduce_mean(second)), rel=1e-5)
    third = model.layers[2].transform(model.layers[1](model.layers[0](x)))
    assert gate_activity(model, x)[1] == pytest.approx(float(tf.reduce_mean(third)), rel=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HighwayDense(0), "units: expected a whole number of at least 1, got 0"),
        (lambda: HighwayDense(3, transform_bias=float("nan")), "transform_bias: expected a finite number, got nan"),
        (lambda: HighwayDense(3)(tf.ones((2, 4))), "x: expected 3 units, as many as the layer's, got 4"),
        (lambda: build_highway(1), "depth: expected a whole number of at least 2, got 1"),
        (lambda: build_plain(2.5), "depth: expected a whole number of at least 2, got 2.5"),
        (lambda: build_plain(3, classes=0), "classes: expected a whole number of at least 1, got 0"),
        (lambda: build_plain(3, units=0), "units: expected a whole number of at least 1, got 0"),
        (lambda: gate_activity(build_plain(2, (4,)), np.ones((1, 4))), "model: expected at least one HighwayDense"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

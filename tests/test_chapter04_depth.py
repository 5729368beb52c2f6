"""Tests of chapter04.depth: gradient norms against the tape."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter04 import depth, rectifiers
from kerasnotes.chapter04.depth import (
    ACTIVATIONS,
    INITIALIZERS,
    _deep_network,
    as_sigmoid_layers,
    gradient_norms_by_layer,
)


def test_the_convolutional_network_may_be_taken_from_here_too():
    for name in ("build_four_layer_cnn", "epochs_to_error", "gratings"):
        assert getattr(depth, name) is getattr(rectifiers, name)


TENSORFLOW = {"sigmoid": tf.sigmoid, "tanh": tf.tanh, "relu": tf.nn.relu}


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 5),
    st.sampled_from(list(ACTIVATIONS)),
    st.sampled_from(list(INITIALIZERS)),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
)
def test_gradient_norms_equal_the_tape(depth, activation, initializer, width, seed):
    weights, x, t = _deep_network(depth, initializer, width, seed, batch=4)
    tensors = [tf.constant(w) for w in weights]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        h = tf.constant(x)
        for w in tensors:
            h = TENSORFLOW[activation](h @ w)
        loss = tf.reduce_sum(tf.square(h - t)) / 8
    want = [np.linalg.norm(gradient) for gradient in tape.gradient(loss, tensors)]
    got = gradient_norms_by_layer(depth, activation, initializer, width, seed, batch=4)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-30)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=5), st.integers(0, 2**32 - 1))
def test_tanh_layers_as_sigmoid_layers_of_keras(units, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, units[0]))
    weights = [rng.normal(size=size) for size in itertools.pairwise(units)]
    tanh, sigmoid = x, x
    for w, pair in zip(weights, as_sigmoid_layers(weights), strict=True):
        tanh = np.tanh(tanh @ w)
        layer = keras.layers.Dense(w.shape[1], "sigmoid", dtype="float64")
        layer.build((None, w.shape[0]))
        layer.set_weights(pair)
        sigmoid = layer(sigmoid)
    np.testing.assert_allclose(2 * sigmoid - 1, tanh, rtol=0, atol=1e-12)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_sigmoid_fades_and_relu_does_not(seed):
    for initializer in INITIALIZERS:
        norms = gradient_norms_by_layer(20, "sigmoid", initializer, 128, seed, batch=8)
        assert norms[0] < 1e-6 * norms[-1]
    norms = gradient_norms_by_layer(20, "relu", "he", 128, seed)
    assert norms.max() < 10 * norms.min()


@pytest.mark.parametrize(("initializer", "variance"), [("small", 1e-4), ("glorot", 1 / 300), ("he", 2 / 300)])
def test_initial_weights_have_their_variance(initializer, variance):
    weights, _, _ = _deep_network(2, initializer, 300, 0, 1)
    assert np.var(weights) == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: gradient_norms_by_layer(0, "relu", "he"), "depth: expected a whole number"),
        (lambda: gradient_norms_by_layer(2, "relu", "he", width=0), "width: expected a whole number"),
        (lambda: gradient_norms_by_layer(2, "relu", "he", batch=1.5), "batch: expected a whole number"),
        (lambda: gradient_norms_by_layer(2, "gelu", "he"), "activation: expected one of sigmoid, tanh, relu"),
        (lambda: gradient_norms_by_layer(2, "relu", "zeros"), "initializer: expected one of small, glorot, he"),
    ],
)
def test_bad_arguments(function, message):
    with pytest.raises(ValueError, match=message):
        function()

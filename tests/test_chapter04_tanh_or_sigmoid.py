"""Tanh as sigmoid: the same function, the step in the other's numbers, and many runs against Keras's single ones."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter04.depth import as_sigmoid_layers
from kerasnotes.chapter04.tanh_or_sigmoid import (
    SIGMOID,
    TANH,
    Runs,
    as_sigmoid_network,
    glorot_layers,
    inner_metric,
    keras_network,
    step_in_tanh_terms,
)


def draw(seed, units):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=pair), rng.normal(size=pair[1])) for pair in itertools.pairwise(units)]


def logits(layers, activation, x):
    *hidden, (last, last_bias) = layers
    for kernel, bias in hidden:
        x = activation(x @ kernel + bias)
    return x @ last + last_bias


UNITS = st.lists(st.integers(1, 5), min_size=3, max_size=6)


@settings(max_examples=30, deadline=None)
@given(UNITS, st.integers(0, 2**32 - 1))
def test_both_networks_are_one_function(units, seed):
    layers, x = draw(seed, units), np.random.default_rng(seed).normal(size=(4, units[0]))
    rewritten = as_sigmoid_network(layers)
    want = logits(layers, np.tanh, x)
    np.testing.assert_allclose(logits(rewritten, lambda z: 1 / (1 + np.exp(-z)), x), want, atol=1e-9)
    stacked = as_sigmoid_network([(np.stack([kernel, kernel]), np.stack([bias, bias])) for kernel, bias in layers])
    for (kernel, bias), (one, its_bias) in zip(stacked, rewritten, strict=True):
        np.testing.assert_allclose(kernel[1], one)
        np.testing.assert_allclose(bias[1], its_bias)


def test_without_biases_the_hidden_layers_are_those_of_the_lesson_before():
    layers = [(kernel, 0 * bias) for kernel, bias in draw(0, (3, 4, 2, 5))]
    for ours, theirs in zip(as_sigmoid_network(layers)[:-1], as_sigmoid_layers([w for w, _ in layers]), strict=False):
        np.testing.assert_allclose(ours[0], theirs[0])
        np.testing.assert_allclose(ours[1], theirs[1])


@settings(max_examples=20, deadline=None)
@given(UNITS, st.integers(0, 2**32 - 1))
def test_a_step_of_the_sigmoid_network_in_the_numbers_of_tanh(units, seed):
    """The change of the sigmoid's weights is linear in theirs, so the rewriting of a moved network is the moved one."""
    rng = np.random.default_rng(seed)
    layers, x, target = draw(seed, units), rng.normal(size=(4, units[0])), rng.normal(size=(4, units[-1]))

    def gradients(layers, activation):
        weights = [tf.constant(weight) for layer in layers for weight in layer]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            pairs = list(zip(weights[::2], weights[1::2], strict=True))
            loss = tf.reduce_mean((logits(pairs, activation, tf.constant(x)) - target) ** 2)
        found = [gradient.numpy() for gradient in tape.gradient(loss, weights)]
        return list(zip(found[::2], found[1::2], strict=True))

    steps = step_in_tanh_terms(gradients(layers, tf.tanh))
    sigmoid = as_sigmoid_network(layers)
    want = [
        (w - 0.3 * g_w, b - 0.3 * g_b)
        for (w, b), (g_w, g_b) in zip(sigmoid, gradients(sigmoid, tf.sigmoid), strict=True)
    ]
    got = as_sigmoid_network([(w + 0.3 * d_w, b + 0.3 * d_b) for (w, b), (d_w, d_b) in zip(layers, steps, strict=True)])
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours[0], theirs[0], atol=1e-9)
        np.testing.assert_allclose(ours[1], theirs[1], atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_metric_is_the_step(units, seed):
    rng = np.random.default_rng(seed)
    kernel, bias = rng.normal(size=(units, 3)), rng.normal(size=3)
    down, up = step_in_tanh_terms(
        [(np.zeros((2, units)), np.zeros(units)), (kernel, bias), (np.zeros((3, 1)), np.zeros(1))]
    )[1]
    np.testing.assert_allclose(np.vstack([down, up]), -inner_metric(units) @ np.vstack([kernel, bias]), atol=1e-12)
    values = np.linalg.eigvalsh(inner_metric(units))
    np.testing.assert_allclose(values[1:-1], 1 / 16)
    assert values[0] + values[-1] == pytest.approx((units + 5) / 16)
    assert values[0] * values[-1] == pytest.approx(1 / 64)


def test_runs_side_by_side_are_those_of_keras():
    rng, sizes = np.random.default_rng(0), (5, 4, 4, 3)
    x, y = rng.normal(size=(6, 8, 5)).astype("float32"), rng.integers(3, size=(6, 8)).astype("int32")
    starts = [glorot_layers(sizes, 0), as_sigmoid_network(glorot_layers(sizes, 1))]
    stacked = [tuple(np.stack(each) for each in zip(*layer, strict=True)) for layer in zip(*starts, strict=True)]
    rates = (0.1, 0.5)
    runs = Runs(stacked, [TANH, SIGMOID], rates)
    found = [runs.step(x[i][None], y[i][None]).numpy() for i in range(6)]
    for run, name in enumerate(("tanh", "sigmoid")):
        model = keras_network(starts[run], name)
        model.compile(keras.optimizers.SGD(rates[run]), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                      run_eagerly=True)  # fmt: skip
        want = [float(model.train_on_batch(x[i], y[i])) for i in range(6)]
        np.testing.assert_allclose([losses[run] for losses in found], want, rtol=1e-4)
        output, last = runs.forward(x[0][None])
        np.testing.assert_allclose(output[run], model(x[0]), atol=1e-5)
        hidden = keras.Model(model.inputs, model.layers[-2].output)
        np.testing.assert_allclose(last[run], hidden([x[0]]), atol=1e-5)
    assert runs.step.experimental_get_tracing_count() == 1


def test_glorot_layers():
    layers = glorot_layers((40, 30, 10), 3)
    assert [kernel.shape for kernel, _ in layers] == [(40, 30), (30, 10)]
    for kernel, bias in layers:
        limit = np.sqrt(6 / sum(kernel.shape))
        assert 0.9 * limit < np.abs(kernel).max() <= limit
        np.testing.assert_array_equal(bias, 0)
    np.testing.assert_array_equal(layers[0][0], glorot_layers((40, 30, 10), 3)[0][0])
    assert np.abs(layers[0][0] - glorot_layers((40, 30, 10), 4)[0][0]).max() > 0.1


def test_tanh_and_sigmoid_are_one_function_of_three_numbers():
    z = np.linspace(-3, 3, 7)
    for (a, b, c), want in ((TANH, np.tanh(z)), (SIGMOID, 1 / (1 + np.exp(-z)))):
        np.testing.assert_allclose(a * np.tanh(b * z) + c, want)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inner_metric(0), "units: expected a whole number"),
        (lambda: Runs([(np.zeros((2, 3, 1)), np.zeros((2, 1)))] * 2, [TANH], (0.1, 0.1)), "activation: expected"),
        (lambda: Runs([(np.zeros((3, 1)), np.zeros(1))] * 2, [TANH], (0.1,)), "layers: expected the shape"),
        (lambda: Runs([(np.zeros((3, 2, 1)), np.zeros((3, 1)))] * 2, [TANH], (0.1,)), "layers: expected the shape"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()

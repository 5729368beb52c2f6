"""Convolutions along time and deep bidirectional networks against Keras, prices by hand, and every error message."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter08.time_delay import build_readers, deep_bidirectional_rnn, prices, time_delay

KINDS = ("dense", "convolution", "recurrence", "convolution, recurrence")
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 8), st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), SEEDS)
def test_time_delay_is_a_causal_convolution(steps, window, stride, units, seed):
    rng = np.random.default_rng(seed)
    x, upstream = tf.constant(rng.normal(size=(2, steps, 3))), None
    layer = keras.layers.Conv1D(units, window, stride, "causal", dtype="float64")
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    weights, results = [weight.value for weight in layer.weights], []
    for run in (layer, lambda x: time_delay(x, *weights, stride)):
        with tf.GradientTape() as tape:
            tape.watch([x, *weights])
            y = run(x)
            upstream = rng.normal(size=y.shape) if upstream is None else upstream
            loss = tf.reduce_sum(y * upstream)
        results.append([y, *tape.gradient(loss, [x, *weights])])
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), SEEDS)
def test_deep_and_bidirectional_is_kerass_stack(depth, steps, units, seed):
    rng = np.random.default_rng(seed)
    x = tf.constant(rng.normal(size=(2, steps, 3)), tf.float32)
    y, layers = x, []
    for _ in range(depth):
        layer = keras.layers.Bidirectional(keras.layers.SimpleRNN(units, return_sequences=True))
        y = layer(y)
        weights = [weight.value for weight in layer.weights]
        layers.append((weights[:3], weights[3:]))
    np.testing.assert_allclose(deep_bidirectional_rnn(x, layers), y, atol=1e-5)


@pytest.mark.parametrize(("steps", "units", "window", "stride"), [(8, 3, 2, 4), (9, 2, 3, 2), (5, 4, 1, 1)])
def test_prices_are_kerass(steps, units, window, stride):
    readers = build_readers(steps, 2, units, window, stride, seed=1)
    assert tuple(readers) == KINDS
    for kind, reader in readers.items():
        cost = prices(kind, steps, 2, units, window, stride)
        assert cost["weights"] == reader.count_params()
        outputs = [layer.output.shape[1:] for layer in reader.layers if layer.weights]
        assert cost["numbers kept"] == sum(np.prod(each) for each in outputs)
    again = build_readers(steps, 2, units, window, stride, seed=1)
    for one, other in zip(readers["recurrence"].get_weights(), again["recurrence"].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_prices_by_hand():
    assert [prices(kind, 100, 8, 16)["weights"] for kind in KINDS] == [1281600, 528, 400, 1056]
    assert [prices(kind, 100, 8, 16)["numbers kept"] for kind in KINDS] == [1600, 1600, 1600, 800]
    assert [prices(kind, 100, 8, 16)["steps in a row"] for kind in KINDS] == [1, 1, 100, 26]


def test_errors():
    x = tf.zeros((1, 4, 2))
    with pytest.raises(ValueError, match="w: expected the shape"):
        time_delay(x, tf.zeros((3, 1, 2)), tf.zeros(2))
    with pytest.raises(ValueError, match="b: expected the shape"):
        time_delay(x, tf.zeros((3, 2, 2)), tf.zeros(1))
    with pytest.raises(ValueError, match="stride: expected a whole number"):
        time_delay(x, tf.zeros((3, 2, 2)), tf.zeros(2), 0)
    with pytest.raises(ValueError, match="layers: expected the weights of at least one layer, got none"):
        deep_bidirectional_rnn(x, [])
    with pytest.raises(ValueError, match="kind: expected one of dense; convolution; recurrence; convolution, rec"):
        prices("attention", 4, 1, 1)
    for name, arguments in (("steps", (0, 1, 1)), ("inputs", (1, 0, 1)), ("units", (1, 1, 0))):
        with pytest.raises(ValueError, match=f"{name}: expected a whole number"):
            prices("dense", *arguments)
    with pytest.raises(ValueError, match="stride: expected a whole number"):
        prices("dense", 1, 1, 1, stride=0)

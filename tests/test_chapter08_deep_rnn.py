import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter08.deep_rnn import bidirectional_rnn, build_bidirectional, build_deep_rnn, deep_rnn

few = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 3)


def normal(rng, *shape):
    return tf.constant(rng.normal(size=shape), tf.float32)


def layer_weights(rng, inputs, units):
    return normal(rng, inputs, units), normal(rng, units, units), normal(rng, units)


def keras_layer(parameters, **arguments):
    layer = keras.layers.SimpleRNN(parameters[1].shape[0], return_sequences=True, unroll=True, **arguments)
    layer.build((None, None, parameters[0].shape[0]))
    layer.set_weights([parameter.numpy() for parameter in parameters])
    return layer


def agree(ours, theirs, x, parameters, layers, upstream):
    """Output and gradients of our function and of a composition of Keras layers."""
    results = []
    for function, variables in ((ours, parameters), (theirs, [w.value for layer in layers for w in layer.weights])):
        with tf.GradientTape() as tape:
            tape.watch([x, *variables])
            states = function(x)
            value = tf.reduce_sum(upstream * states)
        results.append([states, *tape.gradient(value, [x, *variables])])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-4)


@few
@given(seeds, sizes, st.integers(1, 4), sizes, st.lists(sizes, min_size=1, max_size=3))
def test_deep_equals_stacked_keras_layers(seed, batch, steps, inputs, units):
    rng = np.random.default_rng(seed)
    parameters = [layer_weights(rng, m, n) for m, n in zip([inputs, *units], units, strict=False)]
    layers = [keras_layer(weights) for weights in parameters]

    def stacked(x):
        for layer in layers:
            x = layer(x)
        return x

    flat = [weight for weights in parameters for weight in weights]
    x, upstream = normal(rng, batch, steps, inputs), normal(rng, batch, steps, units[-1])
    agree(lambda x: deep_rnn(x, parameters), stacked, x, flat, layers, upstream)


@few
@given(seeds, sizes, st.integers(1, 4), sizes, sizes, sizes)
def test_bidirectional_equals_two_keras_layers(seed, batch, steps, inputs, units, other_units):
    rng = np.random.default_rng(seed)
    forward, backward = layer_weights(rng, inputs, units), layer_weights(rng, inputs, other_units)
    layers = [keras_layer(forward), keras_layer(backward, go_backwards=True)]

    def both(x):
        return tf.concat([layers[0](x), layers[1](x)[:, ::-1]], axis=-1)

    x, upstream = normal(rng, batch, steps, inputs), normal(rng, batch, steps, units + other_units)
    agree(lambda x: bidirectional_rnn(x, forward, backward), both, x, [*forward, *backward], layers, upstream)


@pytest.mark.parametrize(("layers", "units", "inputs"), [(1, 4, 3), (3, 2, 5)])
def test_models_have_the_weights_of_all_layers_and_take_any_length(layers, units, inputs):
    rng = np.random.default_rng(0)
    first = inputs * units + units**2 + units
    deep, both = build_deep_rnn(layers, units, inputs), build_bidirectional(units, inputs)
    assert deep.count_params() == first + (layers - 1) * (2 * units**2 + units)
    assert both.count_params() == 2 * first
    assert len({id(weight) for weight in deep.weights}) == 3 * layers
    for steps in (1, 6):
        x = normal(rng, 2, steps, inputs)
        variables = [weight.value for weight in deep.weights]
        groups = [variables[start : start + 3] for start in range(0, 3 * layers, 3)]
        np.testing.assert_allclose(deep(x), deep_rnn(x, groups), atol=1e-5)
        variables = [weight.value for weight in both.weights]
        np.testing.assert_allclose(both(x), bidirectional_rnn(x, variables[:3], variables[3:]), atol=1e-5)


def test_the_backward_half_sees_the_future_only():
    rng = np.random.default_rng(0)
    x, forward, backward = normal(rng, 1, 5, 2), layer_weights(rng, 2, 3), layer_weights(rng, 2, 4)
    changed = tf.concat([x[:, :2], x[:, 2:3] + 1, x[:, 3:]], axis=1)
    moved = np.abs(bidirectional_rnn(changed, forward, backward) - bidirectional_rnn(x, forward, backward))[0] > 1e-6
    assert moved[:, :3].any(axis=1).tolist() == [False, False, True, True, True]
    assert moved[:, 3:].any(axis=1).tolist() == [True, True, True, False, False]


def test_other_precision_unknown_batches_and_xla():
    rng = np.random.default_rng(1)
    for dtype in (tf.float16, tf.float64):
        forward, backward = ([tf.cast(weight, dtype) for weight in layer_weights(rng, 2, 3)] for _ in range(2))
        x = tf.cast(normal(rng, 2, 5, 2), dtype)
        want = bidirectional_rnn(x, forward, backward)
        assert want.dtype == dtype
        for jit_compile in (False, True):
            compiled = tf.function(
                lambda x, f=forward, b=backward: bidirectional_rnn(x, f, b),
                input_signature=[tf.TensorSpec((None, 5, 2), dtype)],
                jit_compile=jit_compile,
            )
            np.testing.assert_allclose(compiled(x), want, atol=1e-2 if dtype == tf.float16 else 1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: deep_rnn(tf.zeros((1, 2, 3)), []), "parameters: expected the weights of at least one layer, got none"),
        (lambda: build_deep_rnn(0, 2, 3), "layers: expected a whole number of at least 1, got 0"),
        (lambda: build_deep_rnn(1, 0, 3), "units: expected a whole number of at least 1, got 0"),
        (lambda: build_deep_rnn(1, 2, -1), "input_size: expected a whole number of at least 1, got -1"),
        (lambda: build_bidirectional(0, 3), "units: expected a whole number of at least 1, got 0"),
        (lambda: build_bidirectional(2, 0), "input_size: expected a whole number of at least 1, got 0"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter08.simple_rnn import SHAPES, SimpleRNN, _sums, build_network, output_sequence, rnn, rnn_step

few = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def arrays(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]


def weights(seed, inputs, units):
    return arrays((seed, 1), (inputs, units), (units, units), (units,))


@few
@given(seeds, st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.integers(1, 4))
def test_by_hand_over_the_cell_and_the_layer_agree(seed, batch, steps, inputs, units):
    x, h0, upstream = arrays(seed, (batch, steps, inputs), (batch, units), (batch, steps, units))
    parameters = [tf.Variable(weight) for weight in weights(seed, inputs, units)]
    cell, layer = keras.layers.SimpleRNNCell(units), keras.layers.SimpleRNN(units, return_sequences=True, unroll=True)
    cell.build((batch, inputs))
    layer.build(x.shape)
    for model in (cell, layer):
        model.set_weights([parameter.numpy() for parameter in parameters])

    def over_cell():
        h, states = h0, []
        for t in range(steps):
            h, _ = cell(x[:, t], [h])
            states.append(h)
        return tf.stack(states, axis=1)

    results = []
    for function, variables in (
        (lambda: rnn(x, h0, *parameters), parameters),
        (over_cell, [weight.value for weight in cell.weights]),
        (lambda: layer(x, initial_state=h0), [weight.value for weight in layer.weights]),
    ):
        with tf.GradientTape() as tape:
            tape.watch([x, h0])
            states = function()
            value = tf.reduce_sum(upstream * states)
        results.append([states, *tape.gradient(value, [x, h0, *variables])])
    for result in results[1:]:
        for ours, theirs in zip(results[0], result, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


@few
@given(seeds, st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.integers(1, 4))
def test_our_layer_equals_the_function_for_any_length(seed, batch, steps, inputs, units):
    parameters = weights(seed, inputs, units)
    last, every = SimpleRNN(units), SimpleRNN(units, return_sequences=True)
    for length in (steps, steps + 3):
        (x,) = arrays((seed, length), (batch, length, inputs))
        for layer in (last, every):
            layer(x)
            layer.set_weights([parameter.numpy() for parameter in parameters])
            assert layer.count_params() == inputs * units + units**2 + units
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            states = rnn(x, tf.zeros((batch, units)), *parameters)
            results = (every(x), states), (last(x), states[:, -1])
        for ours, expected in results:
            np.testing.assert_allclose(ours, expected, atol=1e-6)
            np.testing.assert_allclose(tape.gradient(ours, x), tape.gradient(expected, x), atol=1e-5)


def test_one_step_by_hand():
    x_t, h = tf.constant([[1.0, 2.0]]), tf.constant([[0.5]])
    state = rnn_step(x_t, h, tf.constant([[0.1], [0.2]]), tf.constant([[0.4]]), tf.constant([0.3]))
    np.testing.assert_allclose(state, [[np.tanh(0.1 + 0.4 + 0.2 + 0.3)]], atol=1e-6)


def test_a_linear_chain_by_hand():
    # For tiny inputs tanh is the identity, so a recurrent weight of 1/2 leaves 1, 1/2, 1/4, ... of the first input.
    x = tf.constant([[[1e-3], [0.0], [0.0], [0.0]]])
    states = rnn(x, tf.zeros((1, 1)), tf.ones((1, 1)), tf.constant([[0.5]]), tf.zeros(1))
    np.testing.assert_allclose(states[0, :, 0], 1e-3 / 2.0 ** np.arange(4), rtol=1e-5)


@few
@given(seeds, st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_output_sequence_equals_einsum(seed, batch, steps, units, outputs):
    states, w_ho = arrays(seed, (batch, steps, units), (units, outputs))
    np.testing.assert_allclose(output_sequence(states, w_ho), np.einsum("btu,uo->bto", states, w_ho), atol=1e-5)


def test_our_layer_trains_inside_a_model():
    model = keras.Sequential([keras.Input((4, 2)), SimpleRNN(3), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    before = [weight.numpy() for weight in model.weights]
    model.fit(np.ones((4, 4, 2)), np.ones((4, 1)), verbose=0)
    assert all(np.any(old != new.numpy()) for old, new in zip(before, model.weights, strict=True))


def test_a_batch_of_unknown_size():
    parameters = weights(0, 3, 4)
    (x,) = arrays(0, (2, 5, 3))
    want = rnn(x, tf.zeros((2, 4)), *parameters)
    specs = [tf.TensorSpec((None, 5, 3)), tf.TensorSpec((None, 4))]
    for jit_compile in (False, True):
        compiled = tf.function(lambda x, h: rnn(x, h, *parameters), input_signature=specs, jit_compile=jit_compile)
        np.testing.assert_allclose(compiled(x, tf.zeros((2, 4))), want, atol=1e-6)
        assert compiled(x[:0], tf.zeros((0, 4))).shape == (0, 5, 4)
    with pytest.raises(ValueError, match="steps known"):
        tf.function(lambda x: SimpleRNN(4)(x), input_signature=[tf.TensorSpec((None, None, 3))])(x)


@pytest.mark.parametrize("dtype", ["float16", "float64", "mixed_float16"])
def test_our_layer_has_one_precision(dtype):
    layer, keras_layer = SimpleRNN(4, dtype=dtype), keras.layers.SimpleRNN(4, dtype=dtype)
    (x,) = arrays(0, (2, 5, 3))
    states = layer(x)
    keras_layer.build(x.shape)
    keras_layer.set_weights(layer.get_weights())
    assert states.dtype == keras_layer(x).dtype
    np.testing.assert_allclose(states, keras_layer(x), atol=1e-2 if "16" in dtype else 1e-12)
    by_hand = rnn(
        tf.cast(x, states.dtype), tf.zeros((2, 4), states.dtype), *(tf.cast(w, states.dtype) for w in layer.weights)
    )
    np.testing.assert_allclose(by_hand[:, -1], states, atol=1e-2 if "16" in dtype else 1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape):
    model = build_network(shape, inputs=3, outputs=2, units=4, steps=5)
    takes, gives = shape.split(" to ")
    x = np.random.default_rng(0).normal(size=(6, 3) if takes == "one" else (6, 5, 3)).astype(np.float32)
    assert model(x).shape == ((6, 2) if gives == "one" else (6, 5, 2))
    assert model.count_params() == (3 * 4 + 4 * 4 + 4) + (4 * 2 + 2)
    w_xh, w_hh, b, w_ho, b_o = [weight.value for weight in model.weights]
    sequence = x if takes == "many" else np.concatenate([x[:, None], np.zeros((6, 4, 3), np.float32)], axis=1)
    states = rnn(sequence[:, :1] if shape == "one to one" else sequence, tf.zeros((6, 4)), w_xh, w_hh, b)
    expected = output_sequence(states, w_ho) + b_o
    np.testing.assert_allclose(model(x), expected if gives == "many" else expected[:, -1], atol=1e-5)


x, h0, (w_xh, w_hh, b) = np.zeros((2, 3, 4)), np.zeros((2, 5)), [np.zeros(s) for s in ((4, 5), (5, 5), (5,))]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rnn_step(x[:, 0], h0, w_xh[:3], w_hh, b), r"w_xh: expected the shape \(4, 5\), got \(3, 5\)"),
        (lambda: rnn_step(x[:, 0], h0, w_xh, w_hh[:3], b), r"w_hh: expected the shape \(5, 5\), got \(3, 5\)"),
        (lambda: rnn_step(x[:, 0], h0, w_xh, w_hh, b[:1]), r"b: expected the shape \(5\), got \(1,\)"),
        (lambda: rnn(x[:, 0], h0, w_xh, w_hh, b), r"x: expected the shape \(batch, steps, inputs\)"),
        (lambda: rnn(x[:, :0], h0, w_xh, w_hh, b), r"x: expected .* > 0, got \(2, 0, 4\)"),
        (lambda: rnn(x, h0[:1], w_xh, w_hh, b), r"h0: expected the shape \(2, any\).*got \(1, 5\)"),
        (lambda: SimpleRNN(0), "units: expected a whole number of at least 1, got 0"),
        (lambda: SimpleRNN(2).call(tf.zeros((2, 3))), r"x: expected the shape \(batch, steps, inputs\)"),
        (lambda: rnn_step(x[:, 0], h0[:1], w_xh, w_hh, b), r"h: expected the shape \(2, any\), got \(1, 5\)"),
        (lambda: output_sequence(h0, w_hh), r"states: expected the shape \(any, any, any\)"),
        (lambda: output_sequence(x, w_hh), r"w_ho: expected the shape \(4, any\)"),
        (lambda: build_network("one to all", 1, 1, 1), "shape: expected one of one to one.*got 'one to all'"),
        (lambda: build_network("one to many", 1, 1, 1), "steps: expected at least 1 for one to many, got None"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_bits_to_learn_are_those_of_sums():
    x, y = _sums(np.random.default_rng(0), 50, 10)
    assert x.shape == (50, 10, 2)
    places = 2 ** np.arange(10)  # lowest bit first
    np.testing.assert_array_equal(y[..., 0] @ places, (places @ x).sum(axis=1) % 2**10)

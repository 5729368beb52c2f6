"""The hand-written backward pass against the tape and Keras: random shapes, masks, states, directions, compilers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter09.lstm import lstm
from kerasnotes.chapter09.lstm_gradient import FastLSTM, fast_lstm, lstm_backward, lstm_forward

SIZES = st.integers(1, 4)
SEEDS = st.integers(0, 2**32 - 1)


def problem(seed, batch=3, steps=4, inputs=2, units=3, dtype=tf.float64):
    rng = np.random.default_rng(seed)
    shapes = [(batch, steps, inputs), (inputs, 4 * units), (units, 4 * units), (4 * units,), *[(batch, units)] * 2]
    return [tf.constant(rng.normal(size=shape), dtype) for shape in shapes]


def results(run, sources, mask, started):
    with tf.GradientTape() as tape:
        tape.watch(sources)
        x, w, u, b, h, c = sources
        outputs, (last_h, last_c) = run(x, w, u, b, (h, c) if started else None, mask)
        loss = tf.reduce_sum(tf.sin(outputs)) + tf.reduce_sum(last_h * last_c) + tf.reduce_sum(tf.cos(last_c))
    return [outputs, last_h, last_c, *tape.gradient(loss, sources if started else sources[:4])]


def assert_close(ours, theirs, tolerance=1e-10):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@settings(max_examples=20)
@given(SIZES, SIZES, SIZES, SIZES, SEEDS, st.booleans(), st.booleans())
def test_equal_to_the_tape(batch, steps, inputs, units, seed, masked, started):
    sources = problem(seed, batch, steps, inputs, units)
    mask = tf.constant(np.random.default_rng((seed, 1)).random((batch, steps)) < 0.6) if masked else None
    assert_close(results(fast_lstm, sources, mask, started), results(lstm, sources, mask, started))


def test_equal_to_the_tape_when_compiled():
    sources = problem(5)
    mask = tf.constant([[True, True, False, True], [False, True, True, True], [True, False, False, False]])
    compiled = tf.function(lambda: results(fast_lstm, sources, mask, True), jit_compile=True)
    assert_close(compiled(), results(lstm, sources, mask, True))


def test_the_shape_may_be_unknown_when_traced():
    x, w, u, b, *_ = problem(3)
    run = tf.function(lambda x: fast_lstm(x, w, u, b)[0], input_signature=[tf.TensorSpec((None, None, 2), tf.float64)])
    np.testing.assert_allclose(run(x), lstm(x, w, u, b)[0], rtol=1e-10)
    np.testing.assert_allclose(run(x[:2, :3]), lstm(x[:2, :3], w, u, b)[0], rtol=1e-10)


def test_finite_differences():
    x, w, u, b, h, c = problem(7)
    _, _, saved = lstm_forward(x, w, u, b, h, c)
    gradients = lstm_backward(saved, w, u, tf.ones((3, 4, 3), tf.float64), tf.zeros_like(h), tf.zeros_like(c))
    values = {"x": x, "w": w, "u": u, "b": b, "h0": h, "c0": c}
    for name, value in values.items():
        direction = tf.constant(np.random.default_rng(8).normal(size=value.shape))

        def loss(distance, name=name, value=value, direction=direction):
            return tf.reduce_sum(lstm_forward(**{**values, name: value + distance * direction})[0])

        slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
        assert float(tf.reduce_sum(gradients[name] * direction)) == pytest.approx(float(slope), rel=1e-6), name


@pytest.mark.parametrize("arguments", [{}, {"return_sequences": True}, {"return_sequences": True, "go_backwards": True},
                                       {"go_backwards": True}])  # fmt: skip
@pytest.mark.parametrize("masked", [False, True])
def test_the_layer_takes_the_place_of_keras(arguments, masked):
    x, w, u, b, _, _ = problem(2, dtype=tf.float32)
    mask = tf.constant([[True] * 4, [True, True, False, False], [False, True, True, True]]) if masked else None
    ours, theirs = FastLSTM(3, **arguments), keras.layers.LSTM(3, **arguments)
    for layer in (ours, theirs):
        layer.build(x.shape)
        layer.set_weights([w, u, b])
    np.testing.assert_allclose(ours(x, mask=mask), theirs(x, mask=mask), rtol=1e-5, atol=1e-6)


def test_inside_bidirectional_and_after_an_embedding():
    ids = np.array([[1, 2, 3, 0], [4, 0, 0, 0]])
    outputs = []
    for layer in (FastLSTM, keras.layers.LSTM):
        model = keras.Sequential(
            [
                keras.layers.Embedding(5, 3, mask_zero=True, embeddings_initializer=keras.initializers.Ones()),
                keras.layers.Bidirectional(layer(2, kernel_initializer="ones", recurrent_initializer="ones")),
            ]
        )
        outputs.append(model(ids))
    np.testing.assert_allclose(*outputs, rtol=1e-5)


def test_its_configuration_can_be_saved():
    layer = FastLSTM.from_config(FastLSTM(5, return_sequences=True, name="memory").get_config())
    assert (layer.units, layer.return_sequences, layer.name) == (5, True, "memory")


@pytest.mark.parametrize(
    ("name", "value"),
    [("activation", "relu"), ("recurrent_activation", "tanh"), ("use_bias", False), ("dropout", 0.1),
     ("recurrent_dropout", 0.1), ("unroll", True)],
)  # fmt: skip
def test_what_the_layer_does_not_know(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected .* for FastLSTM, got {value!r}"):
        FastLSTM(3, **{name: value})


@pytest.mark.parametrize(("number", "name"), [(1, "w"), (2, "u"), (3, "b"), (4, "h0"), (5, "c0")])
def test_shapes_that_do_not_fit(number, name):
    arguments = problem(0)
    arguments[number] = arguments[number][..., :-1]
    with pytest.raises(ValueError, match=f"{name}: expected the shape"):
        lstm_forward(*arguments)


def test_other_errors():
    x, *rest = problem(0)
    with pytest.raises(ValueError, match="steps > 0"):
        lstm_forward(x[:, :0], *rest)
    with pytest.raises(ValueError, match=r"x: expected the shape \(batch, steps, inputs\)"):
        lstm_forward(x[:, 0], *rest)
    with pytest.raises(ValueError, match=r"mask: expected the shape \(3, 4\)"):
        lstm_forward(x, *rest, mask=tf.ones((3, 5), tf.bool))

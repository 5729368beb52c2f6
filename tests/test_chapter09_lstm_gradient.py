"""The hand-written backward pass against the tape and Keras: random shapes, masks, states, directions, compilers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter09 import backward_pass, lstm_gradient
from kerasnotes.chapter09.lstm import lstm
from kerasnotes.chapter09.lstm_gradient import FastLSTM, fast_lstm

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
     ("recurrent_dropout", 0.1), ("unroll", True), ("use_cudnn", True)],
)  # fmt: skip
def test_what_the_layer_does_not_know(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected .* for FastLSTM, got {value!r}"):
        FastLSTM(3, **{name: value})


MASK = np.array([[True] * 4, [True, True, False, False], [False, True, False, True]])


def pair(wrap=lambda layer: layer, **arguments):
    """Keras's layer and ours, alike in arguments and weights."""
    x = problem(2, dtype=tf.float32)[0]
    both = [wrap(kind(3, **arguments)) for kind in (keras.layers.LSTM, FastLSTM)]
    for layer in both:
        layer.build(x.shape)
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=weight.shape) for weight in both[0].get_weights()]
    for layer in both:
        layer.set_weights(weights)
    return x, *both


def assert_alike(theirs, ours, tolerance=1e-5):
    for a, b in zip(tf.nest.flatten(theirs), tf.nest.flatten(ours), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(tf.cast(b, tf.float64), tf.cast(a, tf.float64), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("merge_mode", ["concat", None])
def test_both_ways_under_a_mask(merge_mode, return_state, mask):
    """Bidirectional asks its layers for zeros where a step is padding."""
    arguments = {"return_sequences": True, "return_state": return_state}
    x, theirs, ours = pair(lambda layer: keras.layers.Bidirectional(layer, merge_mode=merge_mode), **arguments)
    assert_alike(theirs(x, mask=mask), ours(x, mask=mask))


@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
def test_zeros_for_padding(return_sequences, go_backwards):
    x, theirs, ours = pair(
        return_sequences=return_sequences, return_state=True, go_backwards=go_backwards, zero_output_for_mask=True
    )
    states = [tf.ones((3, 3)), 2 * tf.ones((3, 3))]
    for mask in (None, MASK, MASK[..., None], MASK.astype("float32")):
        if mask is not None and mask.dtype != bool:
            assert_alike(theirs(x, mask=mask > 0), ours(x, mask=mask))  # Keras's takes no floats here
        else:
            assert_alike(theirs(x, mask=mask, initial_state=states), ours(x, mask=mask, initial_state=states))


def test_a_state_that_lasts_from_batch_to_batch():
    x, theirs, ours = pair(stateful=True)
    for _ in range(2):
        assert_alike(theirs(x), ours(x))
    theirs.reset_state()
    ours.reset_state()
    assert_alike(theirs(x, mask=MASK), ours(x, mask=MASK))


@pytest.mark.parametrize(("dtype", "tolerance"), [("mixed_float16", 1e-2), ("float16", 1e-2), ("float64", 1e-12)])
def test_other_precisions(dtype, tolerance):
    x, theirs, ours = pair(dtype=dtype, return_sequences=True, return_state=True)
    assert_alike(theirs(x, mask=MASK), ours(x, mask=MASK), tolerance)


@pytest.mark.parametrize("compiled", [False, True])
def test_the_gradient_of_a_gradient(compiled):
    x, *layers = pair(return_sequences=True)

    def penalty_gradients(layer):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(layer(x) ** 2)
            penalty = tf.reduce_sum(inner.gradient(loss, x) ** 2)
        return outer.gradient(penalty, [x, *(weight.value for weight in layer.weights)])

    run = tf.function(penalty_gradients) if compiled else penalty_gradients
    assert_alike(*(run(layer) for layer in layers), tolerance=1e-4)


def test_every_argument_comes_back_from_the_configuration():
    layer = FastLSTM(
        4, return_sequences=True, return_state=True, go_backwards=True, zero_output_for_mask=True, seed=3,
        unit_forget_bias=False, kernel_regularizer="l2", recurrent_constraint="max_norm", use_cudnn=False,
    )  # fmt: skip
    assert FastLSTM.from_config(layer.get_config()).get_config() == layer.get_config()


def test_names_that_moved_are_still_here():
    for name in ("lstm_forward", "lstm_backward"):
        assert getattr(lstm_gradient, name) is getattr(backward_pass, name)

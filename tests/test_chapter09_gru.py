"""The GRU against Keras over random shapes, in both forms and both conventions."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter09.gru import gru, gru_step, negate_update_gate

SIZES = st.integers(1, 4)
SEEDS = st.integers(0, 2**32 - 1)


def problem(seed, reset_after=False, batch=3, steps=4, inputs=2, units=3):
    rng = np.random.default_rng(seed)
    bias = (2, 3 * units) if reset_after else (3 * units,)
    shapes = [(batch, steps, inputs), (inputs, 3 * units), (units, 3 * units), bias, (batch, units)]
    return [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]


@settings(max_examples=20)
@given(SIZES, SIZES, SIZES, SIZES, SEEDS, st.booleans(), st.booleans(), st.booleans())
def test_equal_to_keras(batch, steps, inputs, units, seed, reset_after, masked, started):
    x, w, u, b, h = problem(seed, reset_after, batch, steps, inputs, units)
    mask = np.random.default_rng((seed, 1)).random((batch, steps)) < 0.6 if masked else None
    layer = keras.layers.GRU(units, return_sequences=True, return_state=True, reset_after=reset_after)
    layer.build(x.shape)
    layer.set_weights([w, u, b])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, w, u, b])
        ours = gru(x, w, u, b, h if started else None, mask, reset_after=reset_after)
        theirs = layer(x, initial_state=h if started else None, mask=mask)
        losses = [tf.reduce_sum(tf.sin(a)) + tf.reduce_sum(c**2) for a, c in (ours, theirs)]
    variables = [weight.value for weight in layer.weights]
    got, want = tape.gradient(losses[0], [x, w, u, b]), tape.gradient(losses[1], [x, *variables])
    for a, c in zip([*ours, *got], [*theirs, *want], strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-5, atol=1e-5)


@settings(max_examples=15)
@given(SEEDS, st.booleans())
def test_the_two_conventions_are_one_network(seed, reset_after):
    x, w, u, b, h = problem(seed, reset_after)
    keras_form = gru(x, w, u, b, h, reset_after=reset_after)
    course = gru(x, *negate_update_gate(w, u, b), h, reset_after=reset_after, update_gate="course")
    for a, c in zip(course, keras_form, strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-5, atol=1e-6)


def test_a_step_by_hand():
    """No weights but the candidate's bias: z = r = 0.5, h = 0.5 · 2 + 0.5 · 0.6 = 1.3; with z open it stays 2."""
    x, h, w, u = tf.ones((1, 1)), tf.fill((1, 1), 2.0), tf.zeros((1, 3)), tf.zeros((1, 3))
    assert float(gru_step(x, h, w, u, tf.constant([0.0, 0.0, np.arctanh(0.6)]))[0, 0]) == pytest.approx(1.3)
    assert float(gru_step(x, h, w, u, tf.constant([1e4, 0.0, 0.3]))[0, 0]) == 2.0
    closed = gru_step(x, h, w, u, tf.constant([1e4, 0.0, np.arctanh(0.6)]), update_gate="course")
    assert float(closed[0, 0]) == pytest.approx(0.6)


def test_the_reset_gate_stands_before_or_after_the_product():
    """Candidate tanh(u · r · h) or tanh(r · (u · h + b)): with r = 0.5, u = 1, h = 1 and second bias 1, and z = 0."""
    x, h, w, u = tf.zeros((1, 1)), tf.ones((1, 1)), tf.zeros((1, 3)), tf.constant([[0.0, 0.0, 1.0]])
    before = gru_step(x, h, w, u, tf.constant([-1e4, 0.0, 0.0]))
    assert float(before[0, 0]) == pytest.approx(np.tanh(0.5))
    after = gru_step(x, h, w, u, tf.constant([[-1e4, 0.0, 0.0], [0.0, 0.0, 1.0]]), reset_after=True)
    assert float(after[0, 0]) == pytest.approx(np.tanh(0.5 * (1 + 1)))


@pytest.mark.parametrize(("number", "name"), [(1, "w"), (2, "u"), (3, "b")])
def test_shapes_that_do_not_fit(number, name):
    arguments = problem(0)
    arguments[number] = arguments[number][..., :-1]
    x, w, u, b, h = arguments
    with pytest.raises(ValueError, match=f"{name}: expected the shape"):
        gru_step(x[:, 0], h, w, u, b)
    with pytest.raises(ValueError, match=f"{name}: expected the shape"):
        gru(x, w, u, b)


def test_other_errors():
    x, w, u, b, h = problem(0)
    with pytest.raises(ValueError, match=r"b: expected the shape \(2, 9\)"):
        gru_step(x[:, 0], h, w, u, b, reset_after=True)
    with pytest.raises(ValueError, match="update_gate: expected one of keras, course, got 'mine'"):
        gru_step(x[:, 0], h, w, u, b, update_gate="mine")
    with pytest.raises(ValueError, match="x: expected a known number of steps, at least one"):
        gru(x[:, :0], w, u, b)
    with pytest.raises(ValueError, match="x: expected the shape"):
        gru(x[:, 0], w, u, b)
    with pytest.raises(ValueError, match=r"mask: expected the shape \(3, 4\)"):
        gru(x, w, u, b, mask=tf.ones((3, 5), tf.bool))
    for state in (h[:2], h[:1]):  # one row would be used for the whole batch
        with pytest.raises(ValueError, match=r"h, the state: expected the shape \(3, 3\)"):
            gru(x, w, u, b, state)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("reset_after", [False, True])
def test_the_batch_may_be_unknown_when_traced(reset_after, jit_compile):
    x, w, u, b, h = problem(3, reset_after)
    mask = tf.constant([[True] * 4, [True, True, False, False], [False, True, True, True]])
    unknown = [tf.TensorSpec((None, *each.shape[1:]), each.dtype) for each in (x, h, mask)]

    @tf.function(input_signature=unknown, jit_compile=jit_compile)
    def run(x, h, mask):
        return gru(x, w, u, b, reset_after=reset_after), gru(x, w, u, b, h, mask, reset_after=reset_after)

    layer = keras.layers.GRU(3, return_sequences=True, return_state=True, reset_after=reset_after)
    layer.build(x.shape)
    layer.set_weights([w, u, b])
    want = layer(x), layer(x, initial_state=h, mask=mask)
    for ours, theirs in zip(tf.nest.flatten(run(x, h, mask)), tf.nest.flatten(want), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    assert run(x[:1], h[:1], mask[:1])[0][0].shape == (1, 4, 3)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 5e-3), ("float64", 1e-12)])
def test_other_precisions(dtype, tolerance):
    x, w, u, b, h = [tf.cast(each, dtype) for each in problem(4, reset_after=True)]
    layer = keras.layers.GRU(3, return_sequences=True, return_state=True, dtype=dtype)
    layer.build(x.shape)
    layer.set_weights([w, u, b])
    for ours, theirs in zip(gru(x, w, u, b, h, reset_after=True), layer(x, initial_state=h), strict=True):
        assert ours.dtype == theirs.dtype == dtype
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)

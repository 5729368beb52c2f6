"""The backward pass by hand against the tape and finite differences, and the shapes that it refuses."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter09.backward_pass import lstm_backward, lstm_forward
from kerasnotes.chapter09.lstm import lstm

SIZES = st.integers(1, 4)
SEEDS = st.integers(0, 2**32 - 1)


def problem(seed, batch=3, steps=4, inputs=2, units=3, dtype=tf.float64):
    rng = np.random.default_rng(seed)
    shapes = [(batch, steps, inputs), (inputs, 4 * units), (units, 4 * units), (4 * units,), *[(batch, units)] * 2]
    return [tf.constant(rng.normal(size=shape), dtype) for shape in shapes]


@settings(max_examples=15)
@given(SIZES, SIZES, SIZES, SIZES, SEEDS, st.booleans())
def test_equal_to_the_tape(batch, steps, inputs, units, seed, masked):
    x, w, u, b, h, c = sources = problem(seed, batch, steps, inputs, units)
    mask = np.random.default_rng((seed, 1)).random((batch, steps)) < 0.6 if masked else None
    with tf.GradientTape() as tape:
        tape.watch(sources)
        outputs, (last_h, last_c) = lstm(x, w, u, b, (h, c), mask)
        loss = tf.reduce_sum(tf.sin(outputs)) + tf.reduce_sum(last_h**2) + tf.reduce_sum(tf.cos(last_c))
    want = [outputs, last_h, last_c, *tape.gradient(loss, sources)]
    outputs, (last_h, last_c), saved = lstm_forward(*sources, mask)
    found = lstm_backward(saved, w, u, tf.cos(outputs), 2 * last_h, -tf.sin(last_c))
    assert list(found) == ["x", "w", "u", "b", "h0", "c0"]
    for ours, theirs in zip([outputs, last_h, last_c, *found.values()], want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


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


@pytest.mark.parametrize(("number", "name"), [(1, "w"), (2, "u"), (3, "b"), (4, "h0"), (5, "c0")])
def test_shapes_that_do_not_fit(number, name):
    arguments = problem(0)
    arguments[number] = arguments[number][..., :-1]
    with pytest.raises(ValueError, match=f"{name}: expected the shape"):
        lstm_forward(*arguments)


def test_other_errors():
    x, *rest = problem(0)
    with pytest.raises(ValueError, match="x: expected at least one step"):
        lstm_forward(x[:, :0], *rest)
    with pytest.raises(ValueError, match="x: expected the shape"):
        lstm_forward(x[:, 0], *rest)
    with pytest.raises(ValueError, match=r"mask: expected the shape \(3, 4\)"):
        lstm_forward(x, *rest, mask=tf.ones((3, 5), tf.bool))
    with pytest.raises(ValueError, match=r"h0: expected the shape \(3, 3\)"):  # would be used for the whole batch
        lstm_forward(x, *rest[:3], rest[3][:1], rest[4])

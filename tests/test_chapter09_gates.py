"""The history of the gates against Keras's layer, step by step, and a memory with weights set by hand."""

import keras
import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter09.gates import gate_history

SIZES = st.integers(1, 4)


@settings(max_examples=10)
@given(SIZES, SIZES, SIZES, SIZES, st.integers(0, 2**32 - 1))
def test_the_history_is_that_of_keras(batch, steps, inputs, units, seed):
    rng = np.random.default_rng(seed)
    shapes = [(batch, steps, inputs), (inputs, 4 * units), (units, 4 * units), (4 * units,)]
    x, *weights = (tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes)
    layer = keras.layers.LSTM(units, return_sequences=True, return_state=True)
    layer.build(x.shape)
    layer.set_weights(weights)
    history = gate_history(x, *weights)
    assert {name: values.shape for name, values in history.items()} == dict.fromkeys(
        ("input", "forget", "candidate", "output", "cell state"), (batch, steps, units)
    )
    states, _, last = layer(x)
    cells = history["cell state"]
    np.testing.assert_allclose(history["output"] * tf.tanh(cells), states, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(cells[:, -1], last, rtol=1e-5, atol=1e-5)
    before = tf.pad(cells[:, :-1], ((0, 0), (1, 0), (0, 0)))
    new = history["forget"] * before + history["input"] * history["candidate"]
    np.testing.assert_allclose(cells, new, rtol=1e-5, atol=1e-6)


def test_a_latch_by_hand():
    """The marker takes the number over, everything else is kept; the number between markers does not matter."""
    w = tf.constant([[0.0, 0.0, 1.0, 0.0], [200.0, -200.0, 0.0, 0.0]])
    x = tf.constant([[[0.3, 1.0], [0.0, 0.0], [0.9, 0.0], [-0.5, 1.0], [0.7, 0.0]]])
    history = gate_history(x, w, tf.zeros((1, 4)), tf.constant([-100.0, 100.0, 0.0, 100.0]))
    want = np.tanh([0.3, 0.3, 0.3, -0.5, -0.5])
    np.testing.assert_allclose(history["cell state"][0, :, 0], want, rtol=1e-6)
    np.testing.assert_allclose(history["forget"][0, :, 0], [0, 1, 1, 0, 1], atol=1e-6)

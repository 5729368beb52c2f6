"""The sensitivity of a recurrent layer against the tape's Jacobians."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter08 import memory_span
from kerasnotes.chapter08.sensitivity import sensitivity_by_lag


def test_the_name_stays_where_it_was():
    assert memory_span.sensitivity_by_lag is sensitivity_by_lag


@given(st.integers(1, 4), st.integers(2, 5), st.integers(2, 5), st.integers(0, 2**16))
@settings(max_examples=15, deadline=None)
def test_sensitivity_equals_the_tape(batch, steps, units, seed):
    rng, model = np.random.default_rng(seed), memory_span.build_recaller("simple_rnn", units, seed)
    cell = model.layers[0].cell
    x = rng.normal(size=(batch, steps, 10)).astype(np.float32)
    states = [tf.zeros((batch, units))]
    with tf.GradientTape(persistent=True) as tape:
        for t in range(steps):
            tape.watch(states[-1])
            states.append(cell(x[:, t], [states[-1]])[0])
        tape.watch(states[-1])
    want = []
    for state in reversed(states[1:-1]):
        jacobian = tape.batch_jacobian(states[-1], state, experimental_use_pfor=False)
        want.append(np.sqrt(np.mean(np.sum(np.square(jacobian), axis=(1, 2)))))
    np.testing.assert_allclose(sensitivity_by_lag(model, x), [np.sqrt(units), *want], rtol=1e-4)


def test_other_layers_are_refused():
    model = keras.Sequential([keras.Input((1, 10)), keras.layers.GRU(4)])
    with pytest.raises(ValueError, match="model: expected a simple recurrent layer"):
        sensitivity_by_lag(model, np.zeros((1, 2, 10), np.float32))

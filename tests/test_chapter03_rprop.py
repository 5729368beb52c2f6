"""Rprop by hand, its bounds, its form as a Keras optimizer, and what it does not look at."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter03 import optimizers
from kerasnotes.chapter03.rprop import KerasRprop, Rprop


def test_rprop_by_hand():
    """Slopes +, +, − (the last move is taken back), − (neither grows nor shrinks), − (grows)."""
    rprop, w, found = Rprop(0.1), np.zeros(1), []
    for slope in (5.0, 0.1, -1.0, -3.0, -3.0):
        w = rprop.step(w, [slope])
        found.append(w[0])
    np.testing.assert_allclose(found, [-0.1, -0.22, -0.1, -0.1 + 0.06, -0.04 + 0.072])


def test_rprop_keeps_its_bounds():
    rprop, w = Rprop(1.0, min_step=0.5, max_step=2.0), np.zeros(2)
    for step in range(20):
        before, w = w, rprop.step(w, [1.0, (-1.0) ** step])
        assert np.all(np.abs(w - before) <= 2.0 + 1e-9)
    np.testing.assert_allclose(rprop.step_size, [2.0, 0.5])


def test_keras_rprop_is_saved_and_takes_slices():
    restored = KerasRprop.from_config(KerasRprop(0.02, 1.5, 0.4, 1e-3, 7.0, clipnorm=1.0).get_config())
    assert restored.get_config() == {**KerasRprop(0.02, 1.5, 0.4, 1e-3, 7.0, clipnorm=1.0).get_config(),
                                     "name": restored.name}  # fmt: skip
    variable = keras.Variable(np.zeros((3, 2), np.float32))
    KerasRprop(0.5).apply([tf.IndexedSlices(tf.ones((1, 2)), tf.constant([1]), tf.constant([3, 2]))], [variable])
    np.testing.assert_allclose(variable, [[0, 0], [-0.5, -0.5], [0, 0]])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_only_signs_count(seed):
    rng = np.random.default_rng(seed)
    one, other, w, v = Rprop(), Rprop(), np.zeros(3), np.zeros(3)
    for gradient in rng.normal(size=(20, 3)):
        w, v = one.step(w, gradient), other.step(v, gradient * rng.uniform(1e-6, 1e6, size=3))
    np.testing.assert_array_equal(w, v)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_both_forms_take_one_path(seed):
    rng = np.random.default_rng(seed)
    start, slopes = rng.normal(size=4), rng.integers(-1, 2, size=(25, 4)) * rng.uniform(0.1, 2, size=(25, 4))
    slopes[10:20] = np.abs(slopes[10:20])  # up to the longest step
    rates = 0.3, 1.5, 0.4, 0.05, 2.0
    ours, theirs, w, variable = Rprop(*rates), KerasRprop(*rates), start, keras.Variable(start, dtype="float64")
    for slope in slopes:
        w = ours.step(w, slope)
        theirs.apply([tf.constant(slope)], [variable])
        np.testing.assert_allclose(variable, w, rtol=1e-5, atol=1e-5)


def test_the_published_settings():
    """Riedmiller and Braun: factors 1.2 and 0.5, steps from 1e-6 to 50."""
    expected = {"increase": 1.2, "decrease": 0.5, "min_step": 1e-6, "max_step": 50.0, "learning_rate": 0.01}
    assert KerasRprop().get_config().items() >= expected.items()
    rprop = Rprop()
    assert (rprop.step_size, rprop.factors, rprop.bounds) == (0.01, (0.5, 1.0, 1.2), (1e-6, 50.0))


def test_slices_are_added_up():
    twice = tf.IndexedSlices(tf.constant([[1.0, 1.0], [-3.0, 3.0]]), tf.constant([1, 1]), tf.constant([3, 2]))
    np.testing.assert_allclose(Rprop(0.5).step(np.zeros((3, 2)), twice), [[0, 0], [0.5, -0.5], [0, 0]])


def test_a_step_may_start_at_its_bounds():
    for rprop in (Rprop(0.5, min_step=0.5), Rprop(0.5, max_step=0.5), KerasRprop(0.5, min_step=0.5, max_step=0.5)):
        assert rprop is not None


def test_one_step_compiled_with_xla_equals_eager():
    eager, compiled = KerasRprop(0.1), KerasRprop(0.1)
    variables = [keras.Variable([1.0, -1.0]) for _ in range(2)]
    step = tf.function(lambda slope: compiled.apply([slope], [variables[1]]), jit_compile=True)
    compiled.build([variables[1]])
    for slope in ([1.0, 2.0], [1.0, -2.0], [0.0, -1.0], [-3.0, 1.0]):
        eager.apply([tf.constant(slope)], [variables[0]])
        step(tf.constant(slope))
        np.testing.assert_allclose(variables[0], variables[1], rtol=1e-6)


def test_the_names_are_found_beside_the_other_methods():
    assert optimizers.Rprop is Rprop
    assert optimizers.KerasRprop is KerasRprop


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Rprop(100.0), "learning_rate: expected 0 < min_step"),
        (lambda: Rprop(increase=0.9), "increase: expected"),
        (lambda: KerasRprop(decrease=1.0), "decrease: expected"),
        (lambda: KerasRprop(min_step=0.0), "learning_rate: expected 0 < min_step"),
        (lambda: Rprop(max_step=np.inf), "learning_rate: expected 0 < min_step"),
        (lambda: Rprop(increase=np.nan), "increase: expected"),
        (lambda: Rprop(increase=1.0), "increase: expected"),
        (lambda: Rprop(increase=np.inf), "increase: expected"),
        (lambda: Rprop(decrease=0.0), "decrease: expected"),
        (lambda: Rprop(0.1, min_step=0.2), "learning_rate: expected 0 < min_step"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()

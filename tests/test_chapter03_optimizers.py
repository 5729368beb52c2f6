"""The adaptive methods against Keras over random slopes, and their invariances."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter03.optimizers import AdaGrad, Adam, KerasRprop, RMSProp, Rprop

SEEDS, SHAPES = st.integers(0, 2**32 - 1), st.sampled_from([(1,), (4,), (2, 3), ()])


def paths(ours, theirs, shape, seed, steps=20):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=shape)
    variable, found = keras.Variable(w, dtype="float64"), []
    for gradient in rng.normal(size=(steps, *shape)) * rng.choice([0, 1e-2, 1, 10], size=(1, *shape)):
        theirs.apply([tf.constant(gradient)], [variable])
        w = ours.step(w, gradient)
        found.append((w, variable.numpy()))
    return np.array(found)


@settings(max_examples=15, deadline=None)
@given(SHAPES, SEEDS, st.floats(1e-3, 1.0), st.floats(0, 0.99), st.floats(0.01, 0.99))
def test_equal_to_keras(shape, seed, rate, share, momentum):
    for ours, theirs in (
        (AdaGrad(rate, share), keras.optimizers.Adagrad(rate, initial_accumulator_value=share)),
        (RMSProp(rate, share), keras.optimizers.RMSprop(rate, rho=share)),
        (RMSProp(rate, share, momentum), keras.optimizers.RMSprop(rate, rho=share, momentum=momentum)),
        (Adam(rate, momentum, 0.99), keras.optimizers.Adam(rate, beta_1=momentum, beta_2=0.99)),
        (Rprop(0.01, 1 + rate, momentum), KerasRprop(0.01, 1 + rate, momentum)),
    ):
        found = paths(ours, theirs, shape, seed)
        np.testing.assert_allclose(found[:, 0], found[:, 1], rtol=1e-4, atol=1e-5 * rate + 1e-6)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (AdaGrad(), keras.optimizers.Adagrad()),
        (RMSProp(), keras.optimizers.RMSprop()),
        (Adam(), keras.optimizers.Adam()),
        (Rprop(), KerasRprop()),
    ],
)
def test_the_defaults_are_those_of_keras(ours, theirs):
    found = paths(ours, theirs, (4,), 0, steps=100)
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.floats(1e-3, 1e3))
def test_the_unit_of_the_slopes_does_not_matter(seed, scale):
    gradients = np.random.default_rng(seed).normal(size=(20, 3))
    makers = (Rprop, lambda: AdaGrad(1, 0, 0), lambda: RMSProp(1, epsilon=0), lambda: Adam(1, epsilon=0))
    for make in makers:
        one, other, w, v = make(), make(), np.zeros(3), np.zeros(3)
        for gradient in gradients:
            w, v = one.step(w, gradient), other.step(v, scale * gradient)
        np.testing.assert_allclose(w, v, rtol=1e-8)


def test_adam_begins_with_the_learning_rate():
    np.testing.assert_allclose(Adam(0.5, epsilon=0).step([0.0, 0.0], [1e-3, -7.0]), [-0.5, 0.5])


def test_single_precision_stays():
    for optimizer in (Rprop(), AdaGrad(), RMSProp(momentum=0.5), Adam()):
        assert optimizer.step(np.zeros(2, np.float32), np.ones(2)).dtype == np.float32


@pytest.mark.parametrize("make", [Rprop, AdaGrad, RMSProp, Adam])
def test_bad_steps(make):
    with pytest.raises(ValueError, match="w, gradient: expected the shape"):
        make().step(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="expected numbers, got NaN"):
        make().step(np.zeros(2), [0.0, np.nan])
    optimizer = make()
    optimizer.step(np.zeros(2), np.ones(2))
    with pytest.raises(ValueError, match="w, gradient: expected the shape"):
        optimizer.step(np.zeros(3), np.ones(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Adam(0.0), "learning_rate: expected a positive number"),
        (lambda: AdaGrad(-1.0), "learning_rate: expected a positive number"),
        (lambda: RMSProp(np.nan), "learning_rate: expected a positive number"),
        (lambda: AdaGrad(initial_accumulator_value=-1), "initial_accumulator_value: expected"),
        (lambda: Adam(epsilon=-1), "epsilon: expected"),
        (lambda: Adam(beta_1=1.0), "beta_1: expected"),
        (lambda: Adam(beta_2=-0.1), "beta_2: expected"),
        (lambda: RMSProp(rho=1.5), "rho: expected"),
        (lambda: RMSProp(momentum=1.0), "momentum: expected"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(AdaGrad, keras.optimizers.Adagrad), (RMSProp, keras.optimizers.RMSprop), (Adam, keras.optimizers.Adam),
     (Rprop, KerasRprop)],
)  # fmt: skip
def test_an_embeddings_gradient_in_slices(ours, theirs):
    ours, theirs, w, variable = ours(0.1), theirs(0.1), np.ones((3, 2)), keras.Variable(np.ones((3, 2), "float32"))
    for rows in ([0, 1], [0, 2]):
        slices = tf.IndexedSlices(tf.constant([[1.0, -2.0], [3.0, 0.5]]), tf.constant(rows), tf.constant([3, 2]))
        w = ours.step(w, slices)
        theirs.apply([slices], [variable])
    np.testing.assert_allclose(w, variable, rtol=1e-4)


@pytest.mark.parametrize("make", [Rprop, AdaGrad, RMSProp, Adam])
def test_a_row_looked_up_twice_counts_with_the_sum_of_its_slopes(make):
    slices = tf.IndexedSlices(tf.constant([[1.0, -2.0], [3.0, 0.5]]), tf.constant([0, 0]), tf.constant([2, 2]))
    np.testing.assert_array_equal(
        make().step(np.ones((2, 2)), slices), make().step(np.ones((2, 2)), [[4, -1.5], [0, 0]])
    )

"""Gradients against differences, closed forms and TensorFlow's own tape."""

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

from kerasnotes.chapter01.autodiff import gradient


def test_by_hand():
    (slope,) = gradient(lambda x: x**2 + 3 * x, 2.0)
    assert float(slope) == 7.0
    slopes = gradient(lambda x, y: x * y**2, 3.0, 2.0)
    assert [float(each) for each in slopes] == [4.0, 12.0]


def test_second_and_third_derivatives():
    def first(x):
        return gradient(lambda x: x**3, x)[0]

    def second(x):
        return gradient(first, x)[0]

    assert float(second(tf.constant(2.0))) == 12.0
    assert float(gradient(second, 2.0)[0]) == 6.0


def test_against_differences():
    def function(x):
        library = tf if isinstance(x, tf.Tensor) else np
        total = tf.reduce_sum if library is tf else np.sum
        return total(library.sin(x) * library.exp(x / 2)) + total(x) ** 2

    x = np.random.default_rng(1).normal(size=5)
    want = scipy.optimize.approx_fprime(x, function, 1e-7)
    (got,) = gradient(function, x)
    assert got.dtype == tf.float64
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_a_result_with_several_elements_is_summed():
    x = np.random.default_rng(2).normal(size=(3, 2))
    np.testing.assert_allclose(gradient(lambda x: x**2, x)[0], 2 * x)


def test_unconnected():
    got = gradient(lambda x, z: x**2, 2.0, [1.0, 2.0])
    assert float(got[0]) == 4.0
    assert got[1] is None
    got = gradient(lambda x, z: x**2, 2.0, [1.0, 2.0], unconnected_gradients="zero")
    assert got[1].numpy().tolist() == [0.0, 0.0]
    assert gradient(lambda x: 3.0, 2.0) == [None]


@pytest.mark.parametrize("trainable", [True, False])
def test_variables(trainable):
    variable = tf.Variable([1.0, 2.0], trainable=trainable)
    other = tf.Variable(3.0)
    (got,) = gradient(lambda v: other * v**2, variable)
    assert got.numpy().tolist() == [6.0, 12.0]


def test_two_calls_do_not_accumulate():
    x = tf.Variable(2.0)
    assert [float(gradient(lambda x: x**2, x)[0]) for _ in range(3)] == [4.0, 4.0, 4.0]


def test_stop_gradient_is_a_constant():
    assert float(gradient(lambda x: tf.stop_gradient(x**2) * x, 2.0)[0]) == 4.0


def test_in_compiled_code():
    compiled = tf.function(lambda x: gradient(tf.sin, x)[0])
    np.testing.assert_allclose(compiled(tf.constant([0.0, 1.0])), np.cos([0.0, 1.0]), rtol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((), "inputs: expected at least one"),
        ((2,), "inputs: expected floating numbers such as 2.0, got int32"),
        ((1.0, [True]), "inputs: expected floating numbers"),
        ((np.zeros((0, 3)),), "inputs: expected at least one element"),
        (([1.0, np.nan],), "inputs: expected numbers, got NaN"),
    ],
)
def test_input_errors(inputs, message):
    with pytest.raises(ValueError, match=message):
        gradient(lambda *values: values[0], *inputs)


def test_other_errors():
    with pytest.raises(ValueError, match="function: expected a floating result, got int32"):
        gradient(lambda x: tf.cast(x, tf.int32), 2.0)
    with pytest.raises(ValueError, match="unconnected_gradients: expected 'none' or 'zero', got 'zeros'"):
        gradient(lambda x: x, 2.0, unconnected_gradients="zeros")


def test_rows_that_were_looked_up_make_a_whole_tensor():
    table = tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    (slope,) = gradient(lambda w: tf.reduce_sum(tf.gather(w, [0, 0, 2]) ** 2), table)
    assert isinstance(slope, tf.Tensor)
    np.testing.assert_allclose(slope, [[4, 8], [0, 0], [10, 12]])  # row 0 twice: 2 · 2w


def test_unknown_sizes_half_precision_and_xla():
    square = tf.function(lambda x: gradient(lambda z: tf.reduce_sum(z**2), x)[0], jit_compile=True,
                         input_signature=[tf.TensorSpec((None,), tf.float16)])  # fmt: skip
    assert square(np.float16([1, 2])).numpy().tolist() == [2.0, 4.0]


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("watched", [True, False])
def test_the_courses_tape_needs_neither_watch_nor_variables_of_its_own(inside, watched):
    x = tf.Variable([1.0, 2.0])
    with tf.GradientTape() as tape:
        if inside:
            x = tf.Variable([1.0, 2.0])
        if watched:
            tape.watch(x)
        z = tf.reduce_sum(tf.math.pow(x, 2))
    assert tape.gradient(z, x).numpy().tolist() == gradient(lambda x: tf.reduce_sum(x**2), x)[0].numpy().tolist()

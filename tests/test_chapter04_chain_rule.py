"""Tests of chapter04.chain_rule: every operation's value and slope, accumulation, depth, and bad arguments."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter04.chain_rule import Value, _random_expression

numbers = st.floats(-3, 3).filter(lambda number: abs(number) > 1e-3)
positive = st.floats(0.01, 3)


def both(function, tape_function, *arguments):
    """Value and gradients of a function, by `Value` and by the tape."""
    nodes = [Value(argument) for argument in arguments]
    output = function(*nodes)
    output.backward()
    tensors = [tf.constant(argument, tf.float64) for argument in arguments]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        expected = tape_function(*tensors)
    gradients = tape.gradient(expected, tensors, unconnected_gradients="zero")
    return [output.data, *(node.grad for node in nodes)], [expected.numpy(), *(g.numpy() for g in gradients)]


@settings(max_examples=25, deadline=None)
@given(numbers, numbers)
def test_arithmetic_equals_the_tape(a, b):
    for function in (
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: -a * a + b**2,
        lambda a, b: (1 + a) * (2 - b) + 3 * a - 4 / b + a / 2 + (b - 1),
    ):
        got, want = both(function, function, a, b)
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(positive, st.floats(-3, 3))
def test_powers_equal_the_tape(a, b):
    for function in (lambda a, b: a**b, lambda a, b: 2.0**b + 0 * a, lambda a, b: a**-1.5 + 0 * b):
        got, want = both(function, function, a, b)
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.floats(-30, 30, allow_subnormal=False), positive)  # TensorFlow flushes subnormal numbers to 0
def test_functions_equal_the_tape(a, b):
    for name, x in (("exp", a), ("tanh", a), ("relu", a), ("sigmoid", a), ("log", b)):
        got, want = both(getattr(Value, name), getattr(keras.ops, name), x)
        # 1 − tanh² cancels where tanh is close to 1, in TensorFlow as well
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-14, err_msg=name)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_expressions_equal_the_tape(seed):
    rng = np.random.default_rng(seed)
    arguments, choices = rng.uniform(-2, 2, 4), rng.integers(1000, size=(15, 3))
    got, want = both(
        lambda *nodes: _random_expression(Value, nodes, choices),
        lambda *tensors: _random_expression(keras.ops, tensors, choices),
        *arguments,
    )
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


def test_course_example():
    x, y, z = Value(-1), Value(3), Value(2)
    f = (x + y) * (y - z)
    f.backward()
    assert (f.data, x.grad, y.grad, z.grad, f.grad) == (2.0, 1.0, 3.0, -2.0, 1.0)


def test_edge_cases_of_powers_and_functions():
    for base, exponent, slopes in (
        (0, 2, (0, 0)),
        (0, 1, (1, 0)),
        (0, 0, (0, 0)),
        (-2, 3, (12, 0)),
        (-2, -1, (-0.25, 0)),
    ):
        node = Value(base) ** Value(exponent)
        assert node.data == float(base) ** exponent
        assert node.slopes == slopes
    assert Value(0).relu().slopes == (0.0,)
    assert Value(1000).sigmoid().data == 1.0
    assert Value(-1000).sigmoid().data == 0.0
    assert (np.float64(2) * Value(3)).data == 6.0
    assert repr(Value(2)) == "Value(data=2, grad=0)"


def test_backward_accumulates_and_zero_grad_resets():
    x = Value(3)
    h = x * x
    f = h + x
    f.backward()
    f.backward()
    assert (x.grad, h.grad, f.grad) == (14.0, 2.0, 2.0)
    (2 * h).backward()
    assert x.grad == 26.0
    f.zero_grad()
    assert (x.grad, h.grad, f.grad) == (0.0, 0.0, 0.0)


def test_graph_lists_every_node_once_after_its_parents():
    x = Value(2)
    h = x * x
    f = h + x * h
    order = f.graph()
    assert order[-1] is f
    assert len(order) == len(set(order)) == 4
    position = {node: number for number, node in enumerate(order)}
    assert all(position[parent] < position[node] for node in order for parent in node.parents)


def test_deep_chain_needs_no_recursion():
    x = h = Value(1)
    for _ in range(20000):
        h = h + 1
    h.backward()
    assert (h.data, x.grad) == (20001.0, 1.0)
    h.zero_grad()


def test_doublings_count_their_paths():
    x = h = Value(1)
    for _ in range(60):
        h = h + h
    h.backward()
    assert x.grad == 2.0**60


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: Value("a"), "data: expected a number"),
        (lambda: Value(None), "data: expected a number"),
        (lambda: Value(math.nan), "data: expected a finite number"),
        (lambda: Value(math.inf), "data: expected a finite number"),
        (lambda: Value(1e200) * 1e200, "data: expected a finite number"),
        (lambda: Value(1) + "a", "data: expected a number"),
        (lambda: Value(1) / 0, "divisor: expected a number other than 0"),
        (lambda: 1 / Value(0), "divisor: expected a number other than 0"),
        (lambda: Value(0) ** -1, "power: expected a base and an exponent"),
        (lambda: Value(0) ** 0.5, "power: expected a base and an exponent"),
        (lambda: Value(-1) ** 0.5, "power: expected a base and an exponent"),
        (lambda: Value(10) ** 1000, "power: expected a finite result"),
        (lambda: Value(0).log(), None),  # Python's own words, which differ from version to version
        (lambda: Value(-1).log(), None),
        (lambda: Value(710).exp(), "exp: expected an argument of at most 709"),
    ],
)
def test_bad_arguments(function, message):
    with pytest.raises(ValueError, match=message):
        function()

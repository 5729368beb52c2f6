"""Units against TensorFlow and the tape; the perceptron against Novikoff's bound and scikit-learn."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.svm import LinearSVC

from kerasnotes import data
from kerasnotes.chapter02.neurons import (
    linear_unit,
    novikoff_bound,
    rbf_gradients,
    rbf_unit,
    threshold_unit,
    train_perceptron,
)

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
shapes = {"batch": st.integers(1, 5), "inputs": st.integers(1, 6), "units": st.integers(1, 4)}
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=25, deadline=None)
@given(**shapes, seed=seeds)
def test_linear_unit_equals_dense(batch, inputs, units, seed):
    rng = np.random.default_rng(seed)
    x, w, b = rng.normal(size=(batch, inputs)), rng.normal(size=(inputs, units)), rng.normal(size=units)
    variables = [tf.Variable(value) for value in (x, w, b)]
    with tf.GradientTape(persistent=True) as tape:
        ours = linear_unit(*variables)
        theirs = tf.nn.bias_add(tf.matmul(*variables[:2]), variables[2])
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    np.testing.assert_allclose(linear_unit(x, w[:, 0], b[0]), theirs[:, 0], atol=1e-12)
    for one, other in zip(tape.gradient(ours, variables), tape.gradient(theirs, variables), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(**shapes, seed=seeds)
def test_threshold_unit_is_the_sign_of_the_linear_unit(batch, inputs, units, seed):
    rng = np.random.default_rng(seed)
    x, w, b = rng.normal(size=(batch, inputs)), rng.normal(size=(inputs, units)), rng.normal(size=units)
    y = threshold_unit(x, w, b)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, linear_unit(x, w, b).numpy() >= 0)
    np.testing.assert_array_equal(threshold_unit(x[0], w[:, 0], b[0]), y[0, 0])


def test_threshold_unit_fires_at_zero():
    assert threshold_unit([1.0, 1.0], [1.0, 1.0], -2.0) == 1
    assert threshold_unit([1.0, 1.0], [1.0, 1.0], -2.001) == 0


@settings(max_examples=25, deadline=None)
@given(batch=shapes["batch"], inputs=shapes["inputs"], beta=st.floats(0.01, 3), seed=seeds)
def test_rbf_unit_and_its_slopes(batch, inputs, beta, seed):
    rng = np.random.default_rng(seed)
    x, center = rng.normal(size=(batch, inputs)), rng.normal(size=inputs)
    centers, betas = tf.Variable(np.tile(center, (batch, 1))), tf.Variable(np.full(batch, beta))
    with tf.GradientTape() as tape:  # one copy of the parameters for each example
        y = tf.exp(-betas * tf.norm(x - centers, axis=1) ** 2)
    want = tape.gradient(y, (centers, betas))
    np.testing.assert_allclose(rbf_unit(x, center, beta), y, atol=1e-12)
    for ours, theirs in zip(rbf_gradients(x, center, beta), want, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
    variable = tf.Variable(center)
    with tf.GradientTape() as tape:
        y = rbf_unit(x[0], variable, beta)
    np.testing.assert_allclose(tape.gradient(y, variable), want[0][0], atol=1e-9)


def test_plain_numbers_keep_double_precision():
    np.testing.assert_allclose(rbf_unit(np.array([1.0]), [0.0], 0.1), np.exp(-0.1), rtol=1e-15)
    np.testing.assert_allclose(linear_unit(np.array([1.0]), [0.1], 0.2), 0.1 + 0.2, rtol=1e-15)


def test_rbf_unit_by_hand():
    np.testing.assert_allclose(rbf_unit([[3, 4], [0, 0]], [0, 0], 0.04), [np.exp(-1), 1], rtol=1e-6)
    d_center, d_beta = rbf_gradients([3.0, 4.0], [0.0, 0.0], 0.04)
    np.testing.assert_allclose(d_center, [0.24 / np.e, 0.32 / np.e], rtol=1e-6)  # towards the input
    np.testing.assert_allclose(d_beta, -25 / np.e, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 30), inputs=st.integers(1, 4), margin=st.floats(0.05, 1), seed=seeds)
def test_perceptron_stays_inside_the_bound(n, inputs, margin, seed):
    rng = np.random.default_rng(seed)
    x, direction = rng.normal(size=(n, inputs)), rng.normal(size=inputs)
    y = (x @ direction > 0).astype(int)
    x += margin * (2 * y - 1)[:, None] * direction / np.linalg.norm(direction)
    result = train_perceptron(x, y, max_epochs=10000, seed=seed)
    assert result.converged
    assert result.mistakes_per_epoch[-1] == 0
    assert 0 not in result.mistakes_per_epoch[:-1]
    np.testing.assert_array_equal(threshold_unit(x, result.w, result.b), y)
    radius = np.linalg.norm(np.column_stack([x, np.ones(n)]), axis=1).max()
    bound = novikoff_bound(x, y, steps=1000)
    assert sum(result.mistakes_per_epoch) <= bound <= (radius / margin) ** 2 * 1.1


def test_bound_agrees_with_the_support_vector_machine():
    flowers, species = data.iris()
    x, y = flowers[species < 2, 2:], species[species < 2]
    with_bias = np.column_stack([x, np.ones(len(x))])
    machine = LinearSVC(C=1e6, loss="hinge", fit_intercept=False, max_iter=1_000_000, tol=1e-8).fit(with_bias, y)
    margin = ((2 * y - 1) * (with_bias @ machine.coef_[0])).min() / np.linalg.norm(machine.coef_)
    np.testing.assert_allclose(novikoff_bound(x, y), (with_bias**2).sum(axis=1).max() / margin**2, rtol=0.02)


def test_first_steps_equal_scikit_learn_without_shuffling():
    """One example a call makes the order the same: Rosenblatt's rule then moves as scikit-learn's does."""
    flowers, species = data.iris()
    x, y = flowers[species < 2], species[species < 2]
    result = train_perceptron(x, y, seed=3)
    library = Perceptron(shuffle=False)
    rng = np.random.default_rng(3)
    for _ in result.mistakes_per_epoch:
        for i in rng.permutation(len(x)):
            library.partial_fit(x[i : i + 1], y[i : i + 1], classes=[0, 1])
    separates = LogisticRegression().fit(x, y)
    np.testing.assert_array_equal(library.predict(x), separates.predict(x))
    np.testing.assert_array_equal(threshold_unit(x, result.w, result.b), separates.predict(x))


def test_perceptron_never_learns_xor():
    result = train_perceptron(*XOR, max_epochs=1000)
    assert not result.converged
    assert len(result.mistakes_per_epoch) == 1000
    assert min(result.mistakes_per_epoch) >= 1


def test_perceptron_by_hand():
    """One example of class 0: the first answer is 1, so the example and the 1 of the bias are taken away once."""
    result = train_perceptron([[2.0, 3.0]], [0])
    np.testing.assert_array_equal(result.w, [-2, -3])
    assert (result.b, result.mistakes_per_epoch, result.converged) == (-1.0, [1, 0], True)
    assert train_perceptron([[2.0, 3.0]], [0], max_epochs=1).converged is False


def test_perceptron_repeats_itself_and_stops_early_on_the_same_path():
    x, y = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2
    long, again, short = (train_perceptron(x, y, epochs, seed=5) for epochs in (9, 9, 4))
    assert long.mistakes_per_epoch == again.mistakes_per_epoch
    assert long.mistakes_per_epoch[:4] == short.mistakes_per_epoch


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: threshold_unit([1, 2], [1, 2, 3], 0), "w: expected one weight for each input"),
        (lambda: threshold_unit(1.0, 1.0, 0), "w: expected one weight"),
        (lambda: threshold_unit([1, 2], [[1, 2], [3, 4]], [1, 2, 3]), "b: expected one bias"),
        (lambda: threshold_unit([1, np.nan], [1, 2], 0), "expected numbers, got NaN"),
        (lambda: linear_unit([1.0, 2.0], [1.0], 0), "w: expected one weight"),
        (lambda: linear_unit([1.0, 2.0], [1.0, 2.0], [1.0, 2.0]), "b: expected one bias"),
        (lambda: rbf_unit([1.0, 2.0], [1.0], 1.0), "center: expected one value for each input"),
        (lambda: rbf_unit([1.0], [[1.0]], 1.0), "center: expected"),
        (lambda: rbf_unit([1.0], [1.0], 0.0), "beta: expected one positive number, got 0"),
        (lambda: rbf_unit([1.0], [1.0], -1.0), "beta: expected one positive number, got -1"),
        (lambda: rbf_unit([1.0], [1.0], np.nan), "beta: expected one positive number"),
        (lambda: rbf_unit([1.0], [1.0], [1.0]), "beta: expected one positive number"),
        (lambda: train_perceptron([[1.0]], [2]), "y: expected 1 labels 0 or 1"),
        (lambda: train_perceptron([[1.0]], [0, 1]), "y: expected 1 labels"),
        (lambda: train_perceptron([1.0, 2.0], [0, 1]), "x: expected finite inputs"),
        (lambda: train_perceptron([[np.inf]], [0]), "x: expected finite inputs"),
        (lambda: train_perceptron(np.empty((0, 2)), []), "x: expected finite inputs"),
        (
            lambda: train_perceptron([[1.0]], [0], max_epochs=0),
            "max_epochs: expected a whole number of at least 1, got 0",
        ),
        (lambda: train_perceptron([[1.0]], [0], max_epochs=1.5), "max_epochs: expected a whole number of at least 1"),
        (lambda: novikoff_bound(*XOR, steps=100), "y: expected classes that a line separates"),
        (lambda: novikoff_bound([[1.0]], [3]), "y: expected 1 labels"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()

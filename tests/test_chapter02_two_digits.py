"""Both losses against TensorFlow and Keras, the best answers against gradient descent, and the answers by rank."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit
from scipy.special import softmax as scipy_softmax

from kerasnotes.chapter02.two_digits import (
    all_right,
    best_answers,
    choose_threshold,
    likeliest,
    side_by_side,
    sigmoid_loss,
    softmax_loss,
)

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=20, deadline=None)
@given(examples=st.integers(1, 5), classes=st.integers(2, 7), size=st.sampled_from([1.0, 10, 300]), seed=seeds)
def test_losses_and_slopes(examples, classes, size, seed):
    rng = np.random.default_rng(seed)
    logits, labels = size * rng.normal(size=(examples, classes)), rng.random((examples, classes)) < 0.4
    labels[:, 0] |= ~labels.any(axis=1)
    shares = labels / labels.sum(axis=1, keepdims=True)
    z = tf.constant(logits)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(z)
        one = tf.nn.softmax_cross_entropy_with_logits(shares, z)
        many = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels.astype(float), z), axis=1)
    for theirs, ours in ((one, softmax_loss(shares, logits)), (many, sigmoid_loss(labels.astype(float), logits))):
        np.testing.assert_allclose(ours[0], theirs, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(ours[1], tape.gradient(theirs, z), rtol=1e-9, atol=1e-9)
    mean = keras.losses.BinaryCrossentropy(from_logits=True)(labels.astype(np.float32), logits.astype(np.float32))
    np.testing.assert_allclose(sigmoid_loss(labels.astype(float), logits)[0].mean() / classes, mean, rtol=1e-4)


@settings(max_examples=10, deadline=None)
@given(sets=st.integers(1, 4), classes=st.integers(2, 5), seed=seeds)
def test_best_answers_are_where_a_search_ends(sets, classes, seed):
    rng = np.random.default_rng(seed)
    labels, chances = rng.random((sets, classes)) < 0.5, rng.dirichlet(3 * np.ones(sets))
    labels[:, 0] |= ~labels.any(axis=1)
    one, many = best_answers(labels, chances)
    assert one.sum() == pytest.approx(1)
    assert many.sum() == pytest.approx(chances @ labels.sum(axis=1))
    shares = labels / labels.sum(axis=1, keepdims=True)
    for targets, loss, squash, best in (
        (shares, softmax_loss, scipy_softmax, one),
        (labels.astype(float), sigmoid_loss, expit, many),
    ):

        def expected(z, targets=targets, loss=loss):
            losses, slopes = loss(targets, np.tile(z, (sets, 1)))
            return chances @ losses, chances @ slopes

        found = minimize(expected, np.zeros(classes), jac=True, method="BFGS", options={"gtol": 1e-8})
        np.testing.assert_allclose(squash(found.x), best, atol=1e-4)


def test_best_answers_by_hand():
    one, many = best_answers([[1, 0, 1]], [1.0])
    np.testing.assert_array_equal([one, many], [[0.5, 0, 0.5], [1, 0, 1]])
    one, many = best_answers([[1, 0, 0], [0, 0, 1]], [0.5, 0.5])
    np.testing.assert_array_equal([one, many], [[0.5, 0, 0.5], [0.5, 0, 0.5]])
    one, many = best_answers([[1, 0, 0], [1, 1, 0]], [0.25, 0.75])
    np.testing.assert_array_equal([one, many], [[0.625, 0.375, 0], [1, 0.75, 0]])


def test_side_by_side():
    left, right = np.zeros((2, 28, 28)), np.full((2, 28, 28), 255.0)
    left[1, :2, :4] = 51
    both = side_by_side(left, right)
    assert both.shape == (2, 14, 28)
    assert both.dtype == np.float32
    np.testing.assert_array_equal(both[:, :, 14:], 1)
    np.testing.assert_allclose(both[1, :2, :3], [[0.2, 0.2, 0], [0, 0, 0]], rtol=1e-6)
    assert not both[0, :, :14].any()


@settings(max_examples=20, deadline=None)
@given(samples=st.integers(1, 6), labels=st.integers(1, 6), seed=seeds)
def test_likeliest_is_top_k(samples, labels, seed):
    rng = np.random.default_rng(seed)
    scores, counts = rng.normal(size=(samples, labels)), rng.integers(0, labels + 1, samples)
    said = likeliest(scores, counts)
    for row, count, chosen in zip(scores, counts, said, strict=True):
        assert set(np.flatnonzero(chosen)) == set(tf.math.top_k(row, k=int(count)).indices.numpy())


def test_all_right_and_threshold():
    labels, scores = np.array([[1, 0], [1, 1], [0, 0]]), np.array([[0.9, 0.42], [0.8, 0.6], [0.3, 0.45]])
    assert all_right(labels, labels) == 1
    assert all_right(labels, scores > 0.4) == pytest.approx(1 / 3)
    assert choose_threshold(labels, scores) == 0.45  # the first that has all three right
    assert all_right(labels, scores > choose_threshold(labels, scores)) == 1


Y, Z = np.array([[0.5, 0.5, 0]]), np.zeros((1, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: softmax_loss(Y[:, :2], Z), "logits: expected the shape of y"),
        (lambda: softmax_loss(2 * Y, Z), "y: expected targets that sum to 1, got the sums"),
        (lambda: softmax_loss([[1.5, -0.5, 0]], Z), "y: expected targets that sum to 1"),
        (lambda: softmax_loss(Y, Z * np.nan), "infs or NaNs"),
        (lambda: softmax_loss(Y[0], Z[0]), r"expected the shape \(any, any\)"),
        (lambda: sigmoid_loss([[1.5, 0, 0]], Z), "y: expected targets from 0 to 1, got 0.0 to 1.5"),
        (lambda: sigmoid_loss([[-0.5, 0, 0]], Z), "y: expected targets from 0 to 1, got -0.5 to 0.0"),
        (lambda: best_answers([[1, 0], [0, 0]], [0.5, 0.5]), "sets: expected 0 and 1, and a label in each set"),
        (lambda: best_answers([[2, 0]], [1.0]), "sets: expected 0 and 1"),
        (lambda: best_answers([[1, 0]], [0.5, 0.5]), r"chances: expected the shape \(1\)"),
        (lambda: best_answers([[1, 0], [0, 1]], [0.5, 0.6]), "chances: expected 0 or more, with sum 1"),
        (lambda: best_answers([[1, 0], [0, 1]], [1.5, -0.5]), "chances: expected 0 or more, with sum 1"),
        (lambda: side_by_side(np.zeros((2, 28, 28)), np.zeros((1, 28, 28))), "pictures: expected the shape"),
        (lambda: side_by_side(np.zeros((2, 28, 14)), np.zeros((2, 28, 14))), "pictures: expected the shape"),
        (lambda: likeliest(Z, [4]), "counts: expected whole numbers from 0 to 3"),
        (lambda: likeliest(Z, [-1]), "counts: expected whole numbers from 0 to 3"),
        (lambda: likeliest(Z, [0.5]), "counts: expected whole numbers from 0 to 3"),
        (lambda: likeliest(Z, [1, 1]), r"counts: expected the shape \(1\)"),
        (lambda: likeliest(Z[0], [1]), r"scores: expected the shape \(any, any\)"),
        (lambda: likeliest(Z * np.nan, [1]), "infs or NaNs"),
        (lambda: all_right(Z, Z[:, :2]), r"said: expected the shape \(1, 3\)"),
        (lambda: choose_threshold(Z, Z[:, :2]), r"said: expected the shape \(1, 3\)"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()

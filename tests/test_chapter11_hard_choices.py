"""Ways to a slope through a choice of words: values and slopes by hand, by enumeration, and the errors."""

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter11.hard_choices import expected_value, hardest, score_gradient, soft_draws, straight_through


def logits(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def slope(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x)


def test_the_likeliest_word_is_one_hot_and_has_no_slope():
    x = logits(3, 4, 5)
    one_hot = hardest(x).numpy()
    np.testing.assert_array_equal(one_hot.argmax(axis=-1), x.numpy().argmax(axis=-1))
    np.testing.assert_array_equal(np.sort(one_hot, axis=-1)[..., -1], 1)
    np.testing.assert_array_equal(one_hot.sum(axis=-1), 1)
    assert slope(hardest, x) is None


@pytest.mark.parametrize("shape", [(4,), (3, 6), (2, 3, 5)])
def test_straight_through_has_hard_values_and_soft_slopes(shape):
    x, weights = logits(*shape), logits(*shape, seed=1)
    np.testing.assert_allclose(straight_through(x, hardest(x)), hardest(x), atol=1e-6)
    got = slope(lambda x: tf.reduce_sum(straight_through(x, hardest(x)) * weights), x)
    want = slope(lambda x: tf.reduce_sum(tf.nn.softmax(x) * weights), x)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
def test_soft_draws_choose_as_the_softmax_does_at_any_temperature(temperature):
    x = logits(5)
    drawn = soft_draws(tf.tile(x[None], (20000, 1)), temperature, (3, 4)).numpy()
    np.testing.assert_allclose(drawn.sum(axis=1), 1, rtol=1e-5)
    p = tf.nn.softmax(x).numpy()
    counts = np.bincount(drawn.argmax(axis=1), minlength=5) / 20000
    assert np.all(np.abs(counts - p) < 4.5 * np.sqrt(p * (1 - p) / 20000))


def test_cold_draws_are_words_and_hot_ones_are_even():
    x = tf.tile(logits(1, 4), (200, 1))
    assert np.median(soft_draws(x, 0.01, (0, 1)).numpy().max(axis=1)) > 0.99
    assert soft_draws(x, 1000.0, (0, 1)).numpy().max() < 0.27
    assert np.isfinite(slope(lambda x: soft_draws(x, 0.5, (0, 1))[..., 0], x)).all()


def test_the_scores_mean_is_the_exact_slope_with_any_constant():
    x, values = logits(7), logits(7, seed=1)
    p, want = tf.nn.softmax(x).numpy(), slope(lambda x: expected_value(x, values), x)
    for constant in (0.0, 5.0):
        mean = sum(p[word] * score_gradient(x, word, values[word] - constant) for word in range(7))
        np.testing.assert_allclose(mean, want, atol=1e-5)
    np.testing.assert_allclose(expected_value(x, values), np.sum(p * values), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: straight_through(logits(2, 3), logits(1, 3)), r"hard: expected the shape \(2, 3\)"),
        (lambda: soft_draws(logits(2, 3), 0.0, (0, 1)), "temperature: expected a positive number, got 0.0"),
        (lambda: soft_draws(logits(2, 3), -1, (0, 1)), "temperature: expected a positive number, got -1"),
        (lambda: expected_value(logits(3), logits(1)), r"values: expected the shape \(3\)"),
        (lambda: score_gradient(logits(3), 3, 1.0), "word: expected a number below 3, got 3"),
        (lambda: score_gradient(logits(3), -1, 1.0), "word: expected a whole number of at least 0, got -1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

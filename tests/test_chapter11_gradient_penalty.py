"""The gradient penalty: values by hand, derivatives by differences, and compiled code."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter11.gradient_penalty import gradient_penalty, interpolate, slope_norms


def samples(shape, seed=0, dtype=tf.float32):
    rng = np.random.default_rng(seed)
    return [tf.constant(rng.normal(size=shape), dtype) for _ in range(2)]


def test_weights_are_uniform():
    weights = interpolate(tf.zeros(10000), tf.ones(10000), 5).numpy()
    assert scipy.stats.kstest(weights, "uniform").pvalue > 1e-6
    assert 0 <= weights.min() <= weights.max() <= 1


@pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 3), (50, 4, 2), (50, 4, 2, 3)])
def test_one_weight_for_each_sample(shape):
    real, fake = samples(shape)
    share = ((interpolate(real, fake, 1) - real) / (fake - real)).numpy().reshape(50, -1)
    np.testing.assert_allclose(share, np.repeat(share[:, :1], share.shape[1], axis=1), atol=1e-2)
    assert len(np.unique(share[:, 0].round(4))) > 45


def test_seeds():
    real, fake = samples((9, 2))
    first = interpolate(real, fake, 3)
    np.testing.assert_array_equal(first, interpolate(real, fake, 3))
    np.testing.assert_array_equal(interpolate(real, fake, (3, 1)), interpolate(real, fake, tf.constant([3, 1])))
    np.testing.assert_array_equal(first, interpolate(real, fake, tf.constant(3)))
    for other in (4, (3, 1), 2**32 - 1):
        assert not np.allclose(first, interpolate(real, fake, other))


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 5), st.sampled_from([(6,), (6, 3), (6, 2, 3)]), st.integers(0, 2**32 - 1))
def test_a_linear_critic_pays_for_its_slope(slope, shape, seed):
    real, fake = samples(shape, seed % 1000)
    direction = np.ones(shape[1:]) / np.sqrt(np.prod(shape[1:], dtype=int))

    def critic(x):
        return tf.reduce_sum(tf.reshape(slope * x * tf.constant(direction, tf.float32), (6, -1)), axis=1)

    assert float(gradient_penalty(critic, real, fake, seed)) == pytest.approx((slope - 1) ** 2, rel=1e-4, abs=1e-5)


def test_the_norm_is_that_of_a_sample_not_of_a_number_or_a_batch():
    real, fake = samples((7, 3, 4))
    got = gradient_penalty(lambda x: tf.reduce_sum(x, axis=(1, 2)), real, fake, 0)
    assert float(got) == pytest.approx((np.sqrt(12) - 1) ** 2, rel=1e-5)


def test_slopes_that_differ_between_samples_are_averaged_after_the_square():
    x = tf.constant([[0.0], [1.0], [3.0]])  # both ends alike, so that the points between are known
    got = gradient_penalty(lambda x: tf.square(x) / 2, x, x, 0)  # slope x
    assert float(got) == pytest.approx((1 + 0 + 4) / 3)


@pytest.mark.parametrize("outputs", [lambda y: y, lambda y: y[:, 0]])
def test_second_derivatives_equal_differences(outputs):
    real, fake = samples((5, 3), dtype=tf.float64)
    rng = np.random.default_rng(3)
    start = rng.normal(size=(3, 4))
    last = tf.constant(rng.normal(size=(4, 1)))

    def penalty(w):
        return gradient_penalty(lambda x: outputs(tf.tanh(x @ w) @ last), real, fake, (1, 2))

    w = tf.Variable(start)
    with tf.GradientTape() as tape:
        value = penalty(w)
    gradient = tape.gradient(value, w).numpy()
    for index in np.ndindex(start.shape):
        step = np.zeros_like(start)
        step[index] = 1e-6
        difference = (penalty(tf.constant(start + step)) - penalty(tf.constant(start - step))) / 2e-6
        assert gradient[index] == pytest.approx(float(difference), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_slope_zero(jit_compile):
    """XLA, unlike TensorFlow's own kernel, makes 0 · ∞ of a root's gradient at 0."""
    real, fake = samples((4, 3))

    @tf.function(jit_compile=jit_compile)
    def value_and_gradient(w):
        with tf.GradientTape() as tape:
            tape.watch(w)
            value = gradient_penalty(lambda x: x @ w, real, fake, 0)
        return value, tape.gradient(value, w)

    value, gradient = value_and_gradient(tf.zeros((3, 1)))
    assert float(value) == 1.0
    assert np.isfinite(gradient).all()
    assert float(gradient_penalty(lambda x: tf.ones(4), real, fake, 0)) == 1.0  # does not depend on x at all


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_compiled_loops(jit_compile):
    real, fake = samples((8, 3))
    kernel = tf.constant(np.random.default_rng(1).normal(size=(3, 1)), tf.float32)

    @tf.function(jit_compile=jit_compile)
    def total(real, fake):
        def body(i, values):
            points = interpolate(real, fake, tf.stack([i, 9]))
            value = gradient_penalty(lambda x: tf.square(x) @ kernel, real, fake, tf.stack([i, 9]))
            return i + 1, values.write(i, tf.stack([value, tf.reduce_sum(points)]))

        start = (0, tf.TensorArray(tf.float32, 3, element_shape=(2,)))
        return tf.while_loop(lambda i, _: i < 3, body, start)[1].stack()

    values = total(real, fake).numpy()
    assert np.isfinite(values).all()
    assert len(np.unique(values)) == 6  # each turn draws anew
    np.testing.assert_array_equal(values, total(real, fake))


def test_slope_norms():
    x = tf.constant([[1.0, 2.0], [0.0, 0.0]])
    np.testing.assert_allclose(slope_norms(lambda x: tf.reduce_sum(tf.square(x), axis=1), x), [np.sqrt(20), 0])
    np.testing.assert_allclose(slope_norms(lambda x: tf.ones((2, 1)), x), [0, 0])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_batch_of_unknown_size(jit_compile):
    kernel = tf.constant([[3.0], [4.0], [0.0]])
    signature = [tf.TensorSpec((None, 3))] * 2
    compiled = tf.function(
        lambda real, fake: (
            gradient_penalty(lambda x: x @ kernel, real, fake, 1),
            slope_norms(lambda x: x @ kernel, real),
        ),
        input_signature=signature,
        jit_compile=jit_compile,
    )
    for size in (1, 6):
        penalty, norms = compiled(*samples((size, 3)))
        assert float(penalty) == pytest.approx(16.0, rel=1e-5)
        np.testing.assert_allclose(norms, np.full(size, 5.0), rtol=1e-6)


ONES = tf.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interpolate(ONES, tf.ones((2, 4)), 0), "real, fake: expected one shape"),
        (lambda: interpolate(ONES, tf.ones((1, 3)), 0), "real, fake: expected one shape"),
        (lambda: interpolate(tf.ones(()), tf.ones(()), 0), "real, fake: expected one shape"),
        (lambda: interpolate(tf.ones((0, 3)), tf.ones((0, 3)), 0), "not empty"),
        (lambda: interpolate(ONES, tf.ones((2, 3), tf.float64), 0), "one floating type"),
        (lambda: interpolate(tf.ones((2, 3), tf.int32), tf.ones((2, 3), tf.int32), 0), "one floating type"),
        (lambda: interpolate(ONES * np.nan, ONES, 0), "real: expected finite"),
        (lambda: interpolate(ONES, ONES / 0, 0), "fake: expected finite"),
        (lambda: interpolate(ONES, ONES, 0.5), "seed: expected a whole number"),
        (lambda: interpolate(ONES, ONES, (1, 2, 3)), "seed: expected a whole number"),
        (lambda: interpolate(ONES, ONES, -1), "seed: expected"),
        (lambda: interpolate(ONES, ONES, None), "seed: expected a whole number"),
        (lambda: gradient_penalty(lambda x: x, ONES, ONES, 0), r"critic: expected outputs \(batch,\)"),
        (lambda: gradient_penalty(tf.reduce_sum, ONES, ONES, 0), r"critic: expected outputs \(batch,\)"),
        (lambda: gradient_penalty(lambda x: x[:, 0], ONES, tf.ones((2, 2)), 0), "real, fake"),
        (lambda: slope_norms(lambda x: x, tf.ones((0, 3))), "samples: expected floats"),
        (lambda: slope_norms(lambda x: x, tf.ones((2, 3), tf.int32)), "samples: expected floats"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

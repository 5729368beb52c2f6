"""The losses of the two players, against TensorFlow's."""

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter11.saturation import batch_mean, discriminator_loss, generator_loss

ONE = tf.ones((2, 1))


def numbers(*shape, seed=0, scale=1.0):
    return tf.constant(np.random.default_rng(seed).normal(scale=scale, size=shape), tf.float32)


def test_losses_by_hand():
    half = tf.zeros((4, 1))
    assert float(discriminator_loss(half, half)) == pytest.approx(2 * np.log(2))
    assert float(generator_loss(half)) == pytest.approx(np.log(2))
    assert float(generator_loss(half, saturating=True)) == pytest.approx(-np.log(2))


@pytest.mark.parametrize("shape", [(7,), (7, 1), (3, 7, 1)])
def test_losses_equal_tensorflow_with_gradients(shape):
    real, fake = numbers(*shape, seed=1, scale=3), numbers(*shape, seed=2, scale=3)
    axis = (-2, -1) if len(shape) > 1 else -1

    def labelled(label, logits):
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(label * tf.ones_like(logits), logits), axis)

    for ours, theirs in (
        (discriminator_loss, lambda real, fake: labelled(1.0, real) + labelled(0.0, fake)),
        (lambda real, fake: generator_loss(fake), lambda real, fake: labelled(1.0, fake)),
        (lambda real, fake: generator_loss(fake, saturating=True), lambda real, fake: -labelled(0.0, fake)),
    ):
        results = []
        for loss in (ours, theirs):
            with tf.GradientTape() as tape:
                tape.watch((real, fake))
                value = loss(real, fake)
            results.append([value, *tape.gradient(value, (real, fake), unconnected_gradients="zero")])
        for a, b in zip(*results, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_losses_at_the_ends():
    sure = tf.constant([[100.0], [-100.0]])
    for value in (discriminator_loss(sure, sure), generator_loss(sure), generator_loss(sure, True)):
        assert np.isfinite(value)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "bool"])
def test_other_types_of_numbers(dtype):
    logits = np.array([[1], [0], [1]]).astype(dtype)
    want = np.mean(np.logaddexp(0, -logits.astype(float)))
    assert float(generator_loss(logits)) == pytest.approx(want, rel=2e-3)
    assert generator_loss(logits).dtype == (dtype if dtype.startswith("float") else "float32")


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_batch_of_unknown_size(jit_compile):
    compiled = tf.function(discriminator_loss, jit_compile=jit_compile, input_signature=[tf.TensorSpec((None, 1))] * 2)
    for size in (1, 5):
        real, fake = numbers(size, 1, seed=1), numbers(size, 1, seed=2)
        assert float(compiled(real, fake)) == pytest.approx(float(discriminator_loss(real, fake)), rel=1e-6)


def test_the_mean_is_each_runs_own():
    np.testing.assert_allclose(batch_mean("values", [[[1.0], [3.0]], [[5.0], [9.0]]], tf.square), [5.0, 53.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: discriminator_loss(tf.ones((0, 1)), ONE), "real_logits: expected numbers, at least one"),
        (lambda: discriminator_loss(ONE, tf.ones((2, 2))), "fake_logits: expected the shape"),
        (lambda: generator_loss(1.0), "fake_logits: expected the shape"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

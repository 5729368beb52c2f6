"""Two remedies by other means."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter11.remedies import MinibatchDiscrimination, smoothed_discriminator_loss
from kerasnotes.chapter11.saturation import discriminator_loss


@pytest.mark.parametrize("shape", [(9,), (9, 1), (2, 9, 1)])
def test_smoothing(shape):
    rng = np.random.default_rng(0)
    real, fake = (tf.constant(rng.normal(scale=4, size=shape), tf.float32) for _ in range(2))
    np.testing.assert_allclose(smoothed_discriminator_loss(real, fake, 1.0), discriminator_loss(real, fake), rtol=1e-5)
    each = tf.nn.sigmoid_cross_entropy_with_logits(tf.fill(shape, 0.7), real)
    each += tf.nn.sigmoid_cross_entropy_with_logits(tf.zeros(shape), fake)
    want = np.mean(each, axis=(-2, -1) if len(shape) > 1 else -1)
    np.testing.assert_allclose(smoothed_discriminator_loss(real, fake, 0.7), want, rtol=1e-5)


def test_the_smoothed_discriminator_wants_to_be_as_sure_as_the_target():
    logits = tf.constant([np.log(9.0)], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = smoothed_discriminator_loss(logits, tf.zeros(1), 0.9)
    assert float(tape.gradient(value, logits)[0]) == pytest.approx(0.0, abs=1e-6)


def test_minibatch_discrimination():
    layer = MinibatchDiscrimination(2, kernels=3, size=2, seed=4)
    x = np.float32(np.random.default_rng(1).normal(size=(2, 5, 4)))
    y = layer(x).numpy()
    assert y.shape == (2, 5, 7)
    np.testing.assert_array_equal(y[..., :4], x)
    for run in range(2):
        m = (x[run] @ layer.projection.kernel.numpy()[run]).reshape(5, 3, 2)
        for i in range(5):
            for k in range(3):
                want = sum(np.exp(-np.abs(m[i, k] - m[j, k]).sum()) for j in range(5) if j != i)
                assert y[run, i, 4 + k] == pytest.approx(want, rel=1e-4)


def test_minibatch_discrimination_sees_sameness():
    layer = MinibatchDiscrimination(1, kernels=2, size=3)
    near, far = (scale * tf.random.stateless_normal((1, 10, 2), (1, 2)) for scale in (1e-4, 1e3))
    np.testing.assert_allclose(layer(near)[..., 2:], np.full((1, 10, 2), 9.0), rtol=1e-2)
    assert np.max(layer(far)[..., 2:]) < 0.5
    assert isinstance(layer, keras.layers.Layer)
    assert len(layer.trainable_weights) == 2


def test_a_batch_of_unknown_size():
    layer = MinibatchDiscrimination(1, kernels=2, size=3)
    layer(tf.zeros((1, 1, 2)))
    compiled = tf.function(layer, input_signature=[tf.TensorSpec((1, None, 2))])
    for size in (1, 4):
        x = tf.random.stateless_normal((1, size, 2), (1, 2))
        np.testing.assert_allclose(compiled(x), layer(x), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smoothed_discriminator_loss(tf.ones(2), tf.ones(2), 0.0), "target: expected a number above 0 to 1"),
        (lambda: smoothed_discriminator_loss(tf.ones(2), tf.ones(2), 1.1), "target: expected a number above 0 to 1"),
        (lambda: MinibatchDiscrimination(2, kernels=0), "kernels: expected"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""The ring, the count of its modes, and two remedies by other means."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from kerasnotes.chapter11.gan import discriminator_loss
from kerasnotes.chapter11.mode_collapse import (
    MinibatchDiscrimination,
    modes_found,
    ring_of_gaussians,
    share_near_a_mode,
    smoothed_discriminator_loss,
)


def test_the_ring():
    points, centers = ring_of_gaussians(4, 3.0, 0.05, 4000, seed=1)
    np.testing.assert_allclose(centers, [[3, 0], [0, 3], [-3, 0], [0, -3]], atol=1e-6)
    nearest = np.argmin(np.linalg.norm(points[:, None] - centers, axis=-1), axis=1)
    assert stats.chisquare(np.bincount(nearest, minlength=4)).pvalue > 1e-3
    offsets = (points - centers[nearest]) / 0.05
    for coordinate in offsets.T:
        assert stats.kstest(coordinate, "norm").pvalue > 1e-3
    again, other = (ring_of_gaussians(4, 3.0, 0.05, 4000, seed=seed)[0] for seed in (1, 2))
    np.testing.assert_array_equal(points, again)
    assert not np.array_equal(points, other)


def test_a_ring_without_width():
    points, centers = ring_of_gaussians(3, 1.0, 0.0, 50, seed=0)
    assert {tuple(point) for point in points} == {tuple(center) for center in centers}


def test_counting_by_hand():
    centers = [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]
    samples = np.zeros((100, 2))
    samples[0] = 10.0, 2.9  # one of a hundred is the least that counts, within 3 deviations of 1
    samples[1] = 0.0, 6.9
    assert modes_found(samples, centers, 1.0) == 2
    assert share_near_a_mode(samples, centers, 1.0) == pytest.approx(0.99)
    two_runs = np.stack([samples, np.full((100, 2), 50.0)])
    assert modes_found(two_runs, centers, 1.0).tolist() == [2, 0]
    assert share_near_a_mode(two_runs, centers, 1.0).tolist() == [0.99, 0.0]


def test_the_share_of_the_true_points():
    points, centers = ring_of_gaussians(8, 2.0, 0.02, 50000, seed=5)
    want = stats.chi2(2).cdf(9)
    assert share_near_a_mode(points, centers, 0.02) == pytest.approx(want, abs=4 * np.sqrt(want * (1 - want) / 50000))


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


RING = [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ring_of_gaussians(0, 1.0, 0.1, 10, 0), "modes: expected a positive whole number"),
        (lambda: ring_of_gaussians(8, 1.0, 0.1, 0, 0), "samples: expected a positive whole number"),
        (lambda: ring_of_gaussians(8, 0.0, 0.1, 10, 0), "radius: expected a positive number"),
        (lambda: ring_of_gaussians(8, 1.0, -0.1, 10, 0), "deviation: expected a number of at least 0"),
        (lambda: ring_of_gaussians(8, 1.0, float("nan"), 10, 0), "deviation: expected a number of at least 0"),
        (lambda: modes_found(np.zeros((0, 2)), RING, 1.0), "samples: expected the shape"),
        (lambda: modes_found(np.zeros((4, 3)), RING, 1.0), "samples: expected the shape"),
        (lambda: modes_found(RING, [0.0, 1.0], 1.0), "centers: expected the shape"),
        (lambda: modes_found([[np.nan, 0.0]], RING, 1.0), "samples: expected finite points"),
        (lambda: share_near_a_mode(RING, RING, 0.0), "deviation: expected a positive number"),
        (lambda: smoothed_discriminator_loss(tf.ones(2), tf.ones(2), 0.0), "target: expected a number above 0"),
        (lambda: smoothed_discriminator_loss(tf.ones(2), tf.ones(2), 1.1), "target: expected a number above 0"),
        (lambda: MinibatchDiscrimination(2, kernels=0), "kernels: expected"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

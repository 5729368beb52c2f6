"""BigGAN's parts against SVD, Keras's layers, SciPy's distributions and sums over pairs."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter11.big_gan import (
    ConditionalBatchNorm,
    hinge_discriminator_loss,
    hinge_generator_loss,
    orthogonal_penalty,
    spectral_norm,
    truncated_normal,
)

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(1, 6), st.integers(1, 6))


def gapped(seed, sizes, gap=0.7):
    """A matrix whose second singular value is `gap` times its largest, so that the iteration converges."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(size, size)))[0] for size in sizes)
    values = rng.uniform(0.5, 3) * gap ** np.arange(min(sizes))
    return (left[:, : len(values)] * values) @ right[: len(values)], values[0], left[:, 0], right[0]


@settings(max_examples=20)
@given(SEEDS, SIZES)
def test_spectral_norm_and_its_gradient(seed, sizes):
    w, value, left, right = gapped(seed, sizes)
    w = tf.Variable(w)
    with tf.GradientTape() as tape:
        norm = spectral_norm(w, 80)
    assert float(norm) == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(tape.gradient(norm, w), np.outer(left, right), atol=1e-6)


def test_spectral_norm_never_exceeds_and_approaches_the_largest_singular_value():
    w = np.random.default_rng(0).normal(size=(8, 5))
    found = [float(spectral_norm(w, steps)) for steps in (1, 2, 4, 8, 16)]
    assert found == sorted(found)
    assert found[-1] <= np.linalg.norm(w, 2) * (1 + 1e-12)


def test_the_vectors_count_as_constants():
    """After one step, far from the end, the slope is still the outer product of two vectors of length 1."""
    w = tf.Variable(np.random.default_rng(2).normal(size=(6, 5)))
    with tf.GradientTape() as tape:
        norm = spectral_norm(w)
    slope = tape.gradient(norm, w).numpy()
    np.testing.assert_allclose(np.linalg.svd(slope, compute_uv=False), [1, 0, 0, 0, 0], atol=1e-12)
    assert np.sum(slope * w.numpy()) == pytest.approx(float(norm), rel=1e-12)


def test_spectral_norm_of_a_kernel_is_that_of_its_matrix():
    kernel = np.random.default_rng(1).normal(size=(3, 3, 2, 5)).astype(np.float32)
    assert float(spectral_norm(kernel, 200)) == pytest.approx(np.linalg.norm(kernel.reshape(18, 5), 2), rel=1e-5)
    assert float(spectral_norm(2 * kernel, 3)) == pytest.approx(2 * float(spectral_norm(kernel, 3)), rel=1e-6)


def test_spectral_norm_equals_kerass():
    layer = keras.layers.SpectralNormalization(keras.layers.Dense(4, use_bias=False), power_iterations=60)
    layer.build((None, 3))
    w = np.float32(gapped(3, (3, 4), gap=0.5)[0])
    layer.layer.set_weights([w])
    layer(np.ones((1, 3), np.float32), training=True)
    np.testing.assert_allclose(layer.layer.get_weights()[0], w / spectral_norm(w, 60), rtol=1e-4)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 8))
def test_hinge_losses(seed, count):
    real, fake = np.random.default_rng(seed).normal(0, 2, (2, count, 1))
    keras_loss = keras.losses.Hinge(dtype="float64")
    want = keras_loss(np.ones_like(real), real) + keras_loss(-np.ones_like(fake), fake)
    assert float(hinge_discriminator_loss(real, fake)) == pytest.approx(float(want), rel=1e-5)
    assert float(hinge_generator_loss(fake)) == pytest.approx(-fake.mean(), rel=1e-12)


def test_hinge_asks_nothing_beyond_the_margin():
    logits = tf.constant([-2.0, 0.0, 2.0])
    for loss, want in ((lambda x: hinge_discriminator_loss(x, [-5.0]), [-1 / 3, -1 / 3, 0]),
                       (lambda x: hinge_discriminator_loss([5.0], x), [0, 1 / 3, 1 / 3]),
                       (hinge_generator_loss, [-1 / 3] * 3)):  # fmt: skip
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(logits)
        np.testing.assert_allclose(tape.gradient(value, logits), want, rtol=1e-6)


@settings(max_examples=20)
@given(SEEDS, SIZES)
def test_orthogonal_penalty_by_pairs(seed, sizes):
    w = np.random.default_rng(seed).normal(size=sizes)
    want = sum((w[:, i] @ w[:, j]) ** 2 for i in range(sizes[1]) for j in range(sizes[1]) if i != j)
    assert float(orthogonal_penalty(w)) == pytest.approx(want, rel=1e-9, abs=1e-12)
    assert float(orthogonal_penalty(w.reshape(1, *sizes))) == pytest.approx(want, rel=1e-9, abs=1e-12)


def test_conditional_batch_norm_with_one_class_is_kerass_with_gradients():
    rng = np.random.default_rng(0)
    x, gamma, beta = (tf.constant(np.float32(rng.normal(size=size))) for size in ((6, 4, 3), 3, 3))
    ours, theirs = ConditionalBatchNorm(1, momentum=0.9), keras.layers.BatchNormalization(momentum=0.9)
    ours([x, np.zeros(6, int)])
    theirs.build(x.shape)
    ours.gamma.assign([gamma])
    ours.beta.assign([beta])
    theirs.set_weights([gamma, beta, *theirs.get_weights()[2:]])
    slopes = []
    for layer, inputs in ((ours, [x, np.zeros(6, int)]), (theirs, x)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(inputs, training=True)
            loss = tf.reduce_sum(y**3)
        slopes.append((y, tape.gradient(loss, [x, layer.gamma, layer.beta])))
    np.testing.assert_allclose(slopes[0][0], slopes[1][0], atol=1e-5)
    for got, want in zip(*(each[1] for each in slopes), strict=True):
        np.testing.assert_allclose(np.reshape(tf.convert_to_tensor(got), np.shape(want)), want, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ours([x, np.zeros(6, int)]), theirs(x), atol=1e-5)  # the moving statistics, too


@pytest.mark.parametrize("rank", [2, 4])
def test_conditional_batch_norm_takes_each_samples_class(rank):
    x = np.float32(np.random.default_rng(rank).normal(size=(5, *[3] * (rank - 2), 2)))
    layer, labels = ConditionalBatchNorm(3), np.array([2, 0, 1, 1, 0])
    plain = layer([x, labels]).numpy()
    layer.gamma.assign([[1, 1], [2, 2], [3, 3]])
    layer.beta.assign([[0, 0], [10, 10], [20, 20]])
    spread = (5, *[1] * (rank - 1))
    np.testing.assert_allclose(
        layer([x, labels]), plain * (labels + 1).reshape(spread) + 10 * labels.reshape(spread), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("threshold", [0.3, 1.0, 2.5])
def test_truncated_normal_has_scipys_distribution(threshold):
    numbers = truncated_normal((100, 50), threshold, 0)
    assert numbers.shape == (100, 50)
    assert numbers.dtype == np.float32
    assert np.abs(numbers).max() <= threshold
    assert scipy.stats.kstest(numbers.ravel(), scipy.stats.truncnorm(-threshold, threshold).cdf).pvalue > 0.001
    np.testing.assert_array_equal(numbers, truncated_normal((100, 50), threshold, 0))
    assert np.any(numbers != truncated_normal((100, 50), threshold, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spectral_norm(np.ones(3), 1), r"w: expected finite numbers .* got shape \(3,\)"),
        (lambda: spectral_norm(np.array([[np.nan]]), 1), "w: expected finite numbers"),
        (lambda: spectral_norm(np.ones((2, 2)), 0), "steps: expected a whole number of at least 1, got 0"),
        (lambda: hinge_generator_loss(np.zeros(0)), "fake: expected numbers, at least one"),
        (lambda: hinge_discriminator_loss(np.zeros(0), [1.0]), "real: expected numbers, at least one"),
        (lambda: ConditionalBatchNorm(0), "classes: expected a whole number of at least 1, got 0"),
        (lambda: ConditionalBatchNorm(2, momentum=1), "momentum: expected a number from 0 and below 1, got 1"),
        (lambda: ConditionalBatchNorm(2, epsilon=0), "epsilon: expected a positive number, got 0"),
        (lambda: truncated_normal((3,), 0.0, 0), "threshold: expected a positive number, got 0.0"),
        (
            lambda: ConditionalBatchNorm(2)([np.ones((3, 2), np.float32), np.zeros(2, int)]),
            r"labels: expected the shape \(3\), got \(2,\)",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Transposed convolutions: TensorFlow's and Keras's over random shapes, upsampling by hand, and every error message."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter06.upsampling import overlap, transposed_conv2d, upsampling_kernel


@pytest.mark.parametrize("seed", range(12))
def test_equal_to_keras(seed):
    rng = np.random.default_rng(seed)
    padding = ("VALID", "SAME")[seed % 2]
    kernel, strides = rng.integers(1, 5, 2), rng.integers(1, 4, 2)
    kernel = np.maximum(kernel, strides) if padding == "SAME" else kernel
    x, w = rng.normal(size=(2, *rng.integers(2, 6, 2), 3)), rng.normal(size=(*kernel, 4, 3))
    layer = keras.layers.Conv2DTranspose(
        4, kernel.tolist(), strides.tolist(), padding.lower(), use_bias=False, dtype="float64"
    )
    theirs = layer(x)
    layer.set_weights([w])
    theirs = layer(x)
    np.testing.assert_allclose(transposed_conv2d(x, w, strides, padding), theirs, atol=1e-12)


@pytest.mark.parametrize("strides", [1, 2, (1, 3)])
def test_it_is_the_gradient_of_the_convolution(strides):
    rng = np.random.default_rng(1)
    x, w = tf.constant(rng.normal(size=(1, 10, 10, 2))), rng.normal(size=(3, 4, 2, 5))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.nn.conv2d(x, w, strides, "VALID")
    dy = rng.normal(size=y.shape)
    got = transposed_conv2d(dy, w, strides)
    want = tape.gradient(y, x, tf.constant(dy))[:, : got.shape[1], : got.shape[2]]
    np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_copied_pixels(factor):
    x = np.random.default_rng(factor).normal(size=(2, 3, 4, 2))
    want = x.repeat(factor, axis=1).repeat(factor, axis=2)
    np.testing.assert_allclose(transposed_conv2d(x, upsampling_kernel(factor, 2), factor), want)


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_a_ramp_stays_a_ramp(factor):
    ramp = np.arange(6.0) * np.ones((1, 6, 1))
    large = transposed_conv2d(ramp[..., None], upsampling_kernel(factor, 1, "bilinear"), factor, "SAME")[0, ..., 0]
    inside = large[2 * factor, factor:-factor]
    np.testing.assert_allclose(np.diff(inside), 1 / factor)
    assert inside.mean() == pytest.approx(2.5)


def test_overlap():
    np.testing.assert_array_equal(overlap(3, 2), [2, 1])
    np.testing.assert_array_equal(overlap(4, 2), [2, 2])
    np.testing.assert_array_equal(overlap(1, 3), [1, 0, 0])
    for kernel in range(1, 8):
        for stride in range(1, 5):
            flat = transposed_conv2d(np.ones((1, 9, 9, 1)), np.ones((kernel, kernel, 1, 1)), stride)[0, ..., 0]
            counts = overlap(kernel, stride)
            middle = flat[4 * stride :, 4 * stride :][:stride, :stride] if kernel <= 4 else None
            assert (len(set(counts)) == 1) == (kernel % stride == 0)
            if middle is not None and kernel <= 4 * stride:
                np.testing.assert_allclose(middle, np.outer(counts, counts))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: transposed_conv2d(np.ones((3, 3, 1)), np.ones((2, 2, 1, 1))), "x: expected"),
        (lambda: transposed_conv2d(np.ones((1, 3, 3, 1)), np.ones((2, 2, 1))), "w: expected"),
        (lambda: transposed_conv2d(np.ones((1, 3, 3, 2)), np.ones((2, 2, 2, 1))), "dy: expected"),
        (lambda: transposed_conv2d(np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1)), 0), "strides: expected"),
        (lambda: transposed_conv2d(np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1)), 1, "same"), "padding: expected"),
        (lambda: upsampling_kernel(0, 1), "factor: expected a whole number"),
        (lambda: upsampling_kernel(2, 0), "channels: expected a whole number"),
        (lambda: upsampling_kernel(2, 1, "cubic"), "kind: expected one of nearest, bilinear"),
        (lambda: overlap(0, 1), "kernel: expected a whole number"),
        (lambda: overlap(1, 0), "stride: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

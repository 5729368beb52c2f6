"""Sketches against TensorFlow's Sobel filters, patches against their rule, and the losses of both kinds of training."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter06.receptive_field import receptive_field
from kerasnotes.chapter11.pix2pix import (
    PATCH_LAYERS,
    build_translator,
    gradient_energy,
    patch_discriminator,
    sketch,
    train_pix2pix,
)

SEEDS = st.integers(0, 2**32 - 1)


def images(seed, count=2, size=28):
    return np.float32(np.random.default_rng(seed).uniform(-1, 1, (count, size, size, 1)))


@settings(max_examples=20)
@given(SEEDS, st.sampled_from([0.3, 0.6, 1.0]))
def test_sketch_is_sobels_inside_the_border(seed, threshold):
    x = images(seed, size=9)
    slopes = tf.image.sobel_edges(tf.constant(x)).numpy()
    length = np.hypot(slopes[..., 0], slopes[..., 1]) / 8
    inside = np.s_[:, 1:-1, 1:-1]
    clear = np.abs(length - threshold)[inside] > 1e-5
    got = sketch(x, threshold)
    np.testing.assert_array_equal(got[inside][clear], np.where(length > threshold, 1, -1)[inside][clear])
    assert set(np.unique(got)) <= {-1.0, 1.0}


def test_sketch_of_an_edge():
    x = np.full((1, 8, 8, 1), -1, np.float32)
    x[:, :, 4:] = 1  # a slope of 1 over two columns: the step of 2 counts 2 · 4 / 8
    np.testing.assert_array_equal(sketch(x, 0.9)[0, :, :, 0], np.tile([-1, -1, -1, 1, 1, -1, -1, -1], (8, 1)))
    np.testing.assert_array_equal(sketch(x, 0.9), sketch(-x, 0.9))  # dark on light or light on dark
    np.testing.assert_array_equal(sketch(x.swapaxes(1, 2), 0.9), sketch(x, 0.9).swapaxes(1, 2))
    assert sketch(np.ones((1, 8, 8, 1))).max() == -1


def test_gradient_energy():
    x = np.zeros((3, 5, 5, 1), np.float32)
    assert gradient_energy(x) == 0
    x[:, :, ::2] = 0.5  # every step to the right is one of 0.5, no step down
    assert gradient_energy(x) == pytest.approx(0.25 / 2)
    noise = images(0, 50)
    assert gradient_energy(noise) == pytest.approx(2 / 3, rel=0.02)  # two independent uniform numbers: 2 · 1/3
    assert gradient_energy(0.5 * noise) == pytest.approx(gradient_energy(noise) / 4, rel=1e-6)


def test_a_logit_sees_its_patch_of_sketch_and_picture():
    size, jump = receptive_field(PATCH_LAYERS)
    discriminator = patch_discriminator((4, 4))
    lines, picture = (tf.Variable(images(seed, 1)) for seed in (0, 1))
    with tf.GradientTape(persistent=True) as tape:
        logits = discriminator([tf.identity(lines), tf.identity(picture)])
        two = logits[0, 3, 3, 0], logits[0, 3, 4, 0]
    for inputs in (lines, picture):
        first, second = (np.nonzero(tape.gradient(each, inputs).numpy()[0, :, :, 0]) for each in two)
        assert [np.ptp(axis) + 1 for axis in first] == [size, size]
        assert second[1].min() - first[1].min() == jump
    assert logits.shape == (1, 7, 7, 1)


def test_translator():
    model = build_translator((4, 6))
    assert model(images(0)).shape == (2, 28, 28, 1)
    assert np.abs(model(images(0))).max() == 0  # it begins with grey
    model.layers[-2].kernel.assign(100 * tf.ones(model.layers[-2].kernel.shape))
    assert 1 < np.abs(model(images(0))).max() <= 1.25
    for a, b, c in zip(*(build_translator((4, 6), seed).get_weights()[:-2] for seed in (0, 0, 1)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.ndim < 2 or np.any(a != c)


def test_l1_alone_is_the_weighted_mean_absolute_error():
    lines, truth = images(0, 1), images(1, 1)
    model = build_translator((4, 4))
    want = 3 * keras.losses.MeanAbsoluteError()(truth, model(lines))
    losses = train_pix2pix(model, None, lines, truth, 30, l1_weight=3.0, batch_size=2, learning_rate=1e-2)
    assert losses.shape == (30, 1)
    assert losses[0, 0] == pytest.approx(float(want), rel=1e-5)
    assert losses[-1, 0] < losses[0, 0]


def test_the_losses_with_an_adversary():
    lines, truth = images(0, 1), images(1, 1)
    model, discriminator = build_translator((4, 4)), patch_discriminator((4, 4))
    bce = keras.losses.BinaryCrossentropy(from_logits=True)
    drawn = model(lines)
    pairs = [[tf.constant(lines), tf.convert_to_tensor(each)] for each in (truth, drawn)]
    real, fake = (tf.reshape(discriminator(pair), (-1, 1)) for pair in pairs)
    want = bce(tf.ones_like(real), real) + bce(tf.zeros_like(fake), fake)
    kept = model.get_weights()
    losses = train_pix2pix(model, discriminator, lines, truth, 1, l1_weight=2.0, batch_size=3)
    assert losses[0, 0] == pytest.approx(float(want), rel=1e-4)
    fake = tf.reshape(discriminator(pairs[1]), (-1, 1))  # after its turn
    error = 2 * keras.losses.MeanAbsoluteError()(truth, drawn) + bce(tf.ones_like(fake), fake)
    assert losses[0, 1] == pytest.approx(float(error), rel=1e-4)
    assert any(np.any(old != new) for old, new in zip(kept, model.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sketch(3 * images(0)), "images: expected pixels from −1 to 1"),
        (lambda: sketch(images(0), 0.0), "threshold: expected a positive number, got 0.0"),
        (lambda: gradient_energy(np.full((1, 3, 3, 1), np.nan)), "images: expected pixels from −1 to 1"),
        (lambda: build_translator((4,)), "channels: expected two positive whole numbers"),
        (lambda: build_translator((4, 0)), "channels: expected a whole number of at least 1, got 0"),
        (lambda: patch_discriminator((4, 4, 4)), "channels: expected two positive whole numbers"),
        (
            lambda: train_pix2pix(None, None, images(0), images(0)[:1], 1),
            r"pictures: expected the shape \(2, 28, 28, 1\)",
        ),
        (lambda: train_pix2pix(None, None, images(0), 2 * images(0), 1), "images: expected pixels from −1 to 1"),
        (lambda: train_pix2pix(None, None, images(0), images(0), 1, l1_weight=0), "l1_weight: expected a positive"),
        (
            lambda: train_pix2pix(None, None, images(0), images(0), 1, learning_rate=-1),
            "learning_rate: expected a positive",
        ),
        (
            lambda: train_pix2pix(None, None, images(0), images(0), 1, batch_size=0),
            "batch_size: expected a whole number",
        ),
        (lambda: train_pix2pix(None, None, images(0), images(0), 0), "steps: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Measures of handwriting on drawn lines, ranks against SciPy, swaps by hand, parts of the loss, and every error."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage, stats

from kerasnotes.chapter10.disentangling import (
    build_content_style,
    rank_correlation,
    slant_and_thickness,
    swap,
    without_class_means,
)
from kerasnotes.chapter10.kl_divergence import gaussian_kl_to_standard


def small(seed=0, **weights):
    return build_content_style(pixels=6, classes=3, style_size=2, hidden=5, seed=seed, **weights)


def pictures(samples=4, seed=0):
    return np.float32(np.random.default_rng(seed).random((samples, 6)))


@pytest.mark.parametrize("slope", [-1, 0, 1, 2])
def test_the_slant_of_a_line(slope):
    images = np.zeros((1, 9, 40))
    for row in range(9):
        images[0, row, 20 + slope * (4 - row)] = 0.7
    np.testing.assert_allclose(slant_and_thickness(images)[0], [slope], atol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_the_thickness_of_a_long_line(width):
    images = np.zeros((1, 400, 12))
    images[0, :, 4 : 4 + width] = 1
    np.testing.assert_allclose(slant_and_thickness(images)[1], [width], rtol=0.01)


def test_measures_by_scipy_and_wherever_the_digit_stands():
    images = np.random.default_rng(0).random((5, 8, 9)) ** 4
    slant, thickness = slant_and_thickness(images)
    for number, image in enumerate(images):
        around = ndimage.uniform_filter(image, 5, mode="constant") * 5
        np.testing.assert_allclose(thickness[number], np.sum(around * image) / image.sum())
        row, column = (each - ndimage.sum(image * each) / image.sum() for each in np.indices(image.shape))
        np.testing.assert_allclose(slant[number], -(image * row * column).sum() / (image * row**2).sum())
    moved = np.pad(images, ((0, 0), (3, 1), (2, 5)))
    np.testing.assert_allclose(slant_and_thickness(moved), (slant, thickness))
    np.testing.assert_allclose(slant_and_thickness(images[:, :, ::-1]), (-slant, thickness))


def test_an_image_without_ink_is_refused_before_anything_is_divided_by_zero():
    images = np.ones((2, 4, 4))
    images[1] = 0
    with np.errstate(all="raise"), pytest.raises(ValueError, match="images: expected ink in at least two rows"):
        slant_and_thickness(images)


def test_ranks_equal_scipy():
    rng = np.random.default_rng(1)
    for size in (3, 50):
        a, b = rng.normal(size=(2, size))
        np.testing.assert_allclose(rank_correlation(a, b), stats.spearmanr(a, b).statistic)
    assert rank_correlation([1, 2, 3], [10, 100, 1000]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


def test_class_means():
    values = without_class_means(np.array([1.0, 3.0, 10.0, 5.0]), np.array([2, 2, 0, 2]))
    np.testing.assert_allclose(values, [-2, 0, 0, 2])


def test_a_swap_takes_each_code_from_its_source():
    model, one, two = small(), pictures(), pictures(seed=1)
    content, mean = model.codes(one)[0], model.codes(two)[1]
    np.testing.assert_allclose(np.sum(content, axis=1), 1, rtol=1e-6)
    want = tf.sigmoid(model.decoder(tf.concat([content, mean], axis=-1)))
    np.testing.assert_allclose(swap(one, two, model), want, rtol=1e-6)
    np.testing.assert_allclose(swap(one, one, model), tf.sigmoid(model(one)), rtol=1e-6)


@pytest.mark.parametrize(("label_weight", "kl_weight"), [(0.0, 0.0), (7.0, 0.5)])
def test_the_loss_and_its_parts(label_weight, kl_weight):
    model, x, labels = small(label_weight=label_weight, kl_weight=kl_weight), pictures(8), np.arange(8) % 3
    content, mean, log_variance = model.codes(x)
    model.compile(keras.optimizers.SGD(0.0))
    logs = model.fit(x, labels, batch_size=8, verbose=0).history
    parts = {name: values[0] for name, values in logs.items()}
    want = parts["reconstruction"] + label_weight * parts["label"] + kl_weight * parts["kl"]
    assert parts["loss"] == pytest.approx(want, rel=1e-5)
    assert parts["label"] == pytest.approx(-np.log(content.numpy()[np.arange(8), labels]).mean(), rel=1e-5)
    assert parts["kl"] == pytest.approx(float(np.mean(gaussian_kl_to_standard(mean, log_variance))), rel=1e-5)


def test_a_step_goes_down_the_whole_loss_through_a_draw_of_the_style():
    x, labels, rate = pictures(8), np.arange(8) % 3, 0.1
    ours, by_hand = (small(label_weight=7.0, kl_weight=0.5) for _ in range(2))
    ours.compile(keras.optimizers.SGD(rate))
    with tf.GradientTape() as tape:
        logits, mean, log_variance = by_hand.encoder(x)
        code = tf.concat([tf.nn.softmax(logits), by_hand.sampling((mean, log_variance))], axis=-1)
        pixels = keras.losses.binary_crossentropy(x, by_hand.decoder(code), from_logits=True) * 6  # of the six, the sum
        chosen = tf.reduce_sum(tf.one_hot(labels, 3) * tf.math.log_softmax(logits), axis=1)
        kl = 0.5 * tf.reduce_sum(mean**2 + tf.exp(log_variance) - 1 - log_variance, axis=1)
        loss = tf.reduce_mean(pixels - 7.0 * chosen + 0.5 * kl)
    weights = by_hand.trainable_weights
    slopes = tape.gradient(loss, [weight.value for weight in weights])
    logs = ours.train_step((tf.constant(x), tf.constant(labels)))
    assert float(logs["loss"]) == pytest.approx(float(loss), rel=1e-5)
    for got, weight, slope in zip(ours.trainable_weights, weights, slopes, strict=True):
        np.testing.assert_allclose(got, weight - rate * slope, rtol=1e-4, atol=1e-5)


def test_layers_by_default():
    model = build_content_style()
    shapes = [weight.shape for weight in model.trainable_weights if len(weight.shape) == 2]
    assert shapes == [(784, 256), (256, 10), (256, 8), (256, 8), (18, 256), (256, 784)]
    assert (float(model.label_weight), float(model.kl_weight)) == (50.0, 3.0)
    he, glorot = (model.encoder.get_weights()[0], model.decoder.get_weights()[2])
    assert he.std() == pytest.approx(np.sqrt(2 / 784), rel=0.02)
    assert glorot.std() == pytest.approx(np.sqrt(2 / 1040), rel=0.02)


def test_a_seed():
    x = pictures()
    np.testing.assert_array_equal(small(3)(x), small(3)(x))
    assert not np.array_equal(small(3)(x), small(4)(x))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: small(label_weight=-1.0), "label_weight, kl_weight: expected numbers of at least 0, got -1.0"),
        (lambda: small(kl_weight=np.nan), "label_weight, kl_weight: expected numbers of at least 0"),
        (lambda: build_content_style(hidden=0), "units: expected a whole number of at least 1"),
        (lambda: swap(pictures(4), pictures(1), None), "style_of: expected the shape"),
        (lambda: swap(pictures(4)[0], pictures(4)[0], None), "content_of: expected the shape"),
        (lambda: slant_and_thickness(np.zeros((2, 3, 3))), "images: expected ink in at least two rows"),
        (lambda: slant_and_thickness(np.full((2, 3, 3), np.nan)), "images: expected ink in at least two rows"),
        (lambda: slant_and_thickness(np.ones((3, 3))), "images: expected the shape"),
        (lambda: rank_correlation([1, 2], [1, 2, 3]), "a, b: expected two lists of one length"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

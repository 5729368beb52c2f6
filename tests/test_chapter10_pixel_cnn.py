"""Masked convolutions against Keras, likelihoods by enumeration, drawn pixels, and every error message."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter10.pixel_cnn import (
    MaskedConv2D,
    Positions,
    binarize,
    binary_images,
    build_pixel_cnn,
    complete,
    input_gradients,
    log_likelihood,
    sample_pixels,
)


def pictures(height, width):
    return np.float32(list(itertools.product((0, 1), repeat=height * width))).reshape(-1, height, width, 1)


@pytest.mark.parametrize(("size", "mask_type"), [(1, "B"), (3, "A"), (3, "B"), (5, "A"), (7, "B")])
def test_a_masked_convolution_is_keras_with_zeros_in_its_kernel(size, mask_type):
    rng = np.random.default_rng(size)
    x = tf.constant(rng.normal(size=(2, 6, 5, 3)), tf.float32)
    layer = MaskedConv2D(4, size, mask_type, seed=1)
    layer.build(x.shape)
    layer.bias.assign(rng.normal(size=4))
    kernel = np.zeros((size, size, 3, 4), "float32")
    flat = kernel.reshape(size * size, 3, 4)
    count = size * size // 2 + (mask_type == "B")  # the kernel's places before the middle one, in rows
    flat[:count] = layer.kernel.numpy().reshape(-1, 3, 4)[:count]
    by_keras = keras.layers.Conv2D(4, size, padding="same")
    by_keras.build(x.shape)
    by_keras.set_weights([kernel, layer.bias])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours, theirs = layer(x), by_keras(x)
        losses = [tf.reduce_sum(tf.sin(each)) for each in (ours, theirs)]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(tape.gradient(losses[0], x), tape.gradient(losses[1], x), atol=1e-5)
    by_kernel = tape.gradient(losses[0], layer.kernel).numpy().reshape(-1, 3, 4)
    wanted = tape.gradient(losses[1], by_keras.kernel).numpy().reshape(-1, 3, 4)
    np.testing.assert_allclose(by_kernel[:count], wanted[:count], rtol=1e-4, atol=1e-4)
    assert not by_kernel[count:].any()  # masked weights never move


def test_mask_a_shows_nothing_through_a_kernel_of_one():
    assert not np.any(MaskedConv2D(2, 1, "A")(np.ones((1, 3, 3, 1), "float32")))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (3, 2), (3, 3)])  # the last ones are more than a batch
def test_all_pictures_together_have_probability_1(height, width):
    model = build_pixel_cnn(5, 2, first_size=5, seed=height)
    np.testing.assert_allclose(np.exp(log_likelihood(pictures(height, width), model)).sum(), 1, rtol=1e-5)


def test_places_by_hand():
    found = Positions()(np.zeros((2, 3, 2, 1), "float32"))
    want = [[[i / 14 - 1, j / 14 - 1] for j in range(2)] for i in range(3)]
    np.testing.assert_allclose(found, [want], rtol=1e-6)
    ends = Positions()(np.zeros((1, 29, 29, 1), "float32")).numpy()
    np.testing.assert_allclose(ends[0, [0, 14, 28], [28, 14, 0]], [[-1, 1], [0, 0], [1, -1]], atol=1e-6)


def test_weights_by_default():
    first, later = 4 * 7 * 24 + 24, 2 * 3 * 24 * 24 + 24  # rows below the middle have none
    places, answer = 2 * 32 + 32 + 32 * 24 + 24, 24 * 32 + 32 + 32 + 1
    assert build_pixel_cnn().count_params() == first + 2 * later + places + answer
    assert build_pixel_cnn(positions=False).count_params() == first + 2 * later + answer
    a, b = (build_pixel_cnn(first_mask=mask, positions=False, layers=1) for mask in "AB")
    assert not np.any(input_gradients(a, np.ones((1, 3, 3, 1)), 1, 1)[1, 1])
    assert np.any(input_gradients(b, np.ones((1, 3, 3, 1)), 1, 1)[1, 1])


def test_the_likelihood_is_the_product_of_predictions_one_by_one():
    model = build_pixel_cnn(5, 1, seed=3)
    x = np.float32(np.random.default_rng(0).integers(0, 2, (1, 3, 4, 1)))
    before, total = np.zeros_like(x), 0.0
    for row, column in np.ndindex(3, 4):
        p = tf.sigmoid(model(before)[0, row, column, 0])
        on = x[0, row, column, 0]
        total += np.log(p if on else 1 - p)
        before[0, row, column, 0] = on
    np.testing.assert_allclose(log_likelihood(x, model), [total], rtol=1e-5)


@pytest.mark.parametrize("place", [(0, 0), (2, 2), (4, 1)])
def test_gradients_only_at_earlier_pixels(place):
    model = build_pixel_cnn(8, 4, first_size=3, seed=1)
    noise = np.random.default_rng(0).integers(0, 2, (8, 5, 5, 1))
    gradient = input_gradients(model, noise, *place).ravel()
    number = 5 * place[0] + place[1]
    assert not gradient[number:].any()
    assert gradient[:number].any() == (number > 0)


class Copies:
    """Each pixel is what its left neighbour is; the first of a row is on."""

    def __call__(self, x):
        return 200 * tf.concat([tf.ones_like(x[:, :, :1]), x[:, :, :-1]], axis=2) - 100


def test_draws_follow_the_predictions():
    np.testing.assert_array_equal(sample_pixels(Copies(), 3, (2, 4)), np.ones((3, 2, 4, 1)))
    known = np.zeros((2, 4), bool)
    known[0, 1] = True
    images = np.ones((1, 2, 4, 1))
    images[0, 0, 1] = 0
    want = [[1, 0, 0, 0], [1, 1, 1, 1]]
    np.testing.assert_array_equal(complete(images, known, Copies())[0, :, :, 0], want)


def test_draws_have_the_models_frequencies():
    model = build_pixel_cnn(4, 1, first_size=3, seed=5)
    drawn = sample_pixels(model, 4000, (2, 2), seed=1)
    p = np.exp(log_likelihood(pictures(2, 2), model))
    counted = np.bincount(drawn.reshape(-1, 4).astype(int) @ [8, 4, 2, 1], minlength=16) / 4000
    assert np.all(np.abs(counted - p) <= 5 * np.sqrt(p * (1 - p) / 4000) + 1e-9)


def test_a_seed_and_unknown_values():
    model, known = build_pixel_cnn(4, 1), np.array([[True, True, True], [False, False, False]])
    images = np.ones((4, 2, 3, 1))
    first = complete(images, known, model, 3)
    np.testing.assert_array_equal(first, complete(images * known[..., None], known, model, 3))
    np.testing.assert_array_equal(complete(images, np.ones((2, 3), bool), model), images)
    assert not np.array_equal(first, complete(images, known, model, 4))


def test_binarize():
    grey = np.full((100, 10, 10), 51, np.uint8)
    drawn = binarize(grey, 0)
    assert drawn.shape == (100, 10, 10, 1)
    assert set(np.unique(drawn)) == {0, 1}
    assert abs(drawn.mean() - 0.2) < 0.02
    ends = np.uint8([[[0, 255]]])
    np.testing.assert_array_equal(binarize(ends, 7).ravel(), [0, 1])
    # The same draw as in the lesson on variational autoencoders, whose images are flat.
    flat = np.float32(grey).reshape(100, -1) / 255
    np.testing.assert_array_equal(drawn.reshape(100, -1), np.random.default_rng(0).random(flat.shape) < flat)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MaskedConv2D(2, 3, "C"), "mask_type, kernel_size: expected A or B and an odd number, got 'C' and 3"),
        (lambda: MaskedConv2D(2, 4, "A"), "mask_type, kernel_size: expected A or B and an odd number, got 'A' and 4"),
        (lambda: MaskedConv2D(2, 0, "A"), "kernel_size: expected a whole number of at least 1"),
        (lambda: MaskedConv2D(0, 3, "A"), "filters: expected a whole number of at least 1"),
        (lambda: binary_images(np.zeros((2, 3, 3))), "images: expected"),
        (lambda: binary_images(np.zeros((0, 3, 3, 1))), "images: expected"),
        (lambda: log_likelihood(np.full((1, 2, 2, 1), 0.5), None), "images: expected pixels 0 and 1"),
        (lambda: log_likelihood(np.full((1, 2, 2, 1), np.nan), None), "images: expected pixels 0 and 1"),
        (lambda: complete(np.zeros((1, 2, 2, 1)), np.zeros((2, 2)), None), "known: expected Booleans"),
        (lambda: complete(np.zeros((1, 2, 2, 1)), np.zeros((2, 3), bool), None), "known: expected Booleans"),
        (lambda: sample_pixels(None, 0), "count: expected a whole number of at least 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

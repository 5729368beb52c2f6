"""Gram matrices that forget places, slopes against the tape, the distance of clouds, and a descent on pixels."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter11.style_transfer import (
    content_loss,
    feature_maps,
    gram_matrix,
    style_gradient,
    style_loss,
    textures,
    transfer,
)

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(*(st.integers(1, 4) for _ in range(4)))


def maps(seed, size):
    return np.random.default_rng(seed).normal(size=size)


@settings(max_examples=20)
@given(SEEDS, SIZES)
def test_gram_matrix(seed, size):
    features = maps(seed, size)
    gram = gram_matrix(features).numpy()
    for own, places in zip(gram, features.reshape(size[0], -1, size[3]), strict=True):
        np.testing.assert_allclose(own, places.T @ places, atol=1e-12)
        assert np.linalg.eigvalsh(own).min() > -1e-12
    np.testing.assert_allclose(gram_matrix(3 * features), 9 * gram)


@settings(max_examples=20)
@given(SEEDS, SIZES)
def test_places_are_forgotten_and_filters_are_not(seed, size):
    rng = np.random.default_rng(seed)
    features = np.float32(rng.integers(-9, 10, size))
    batch, height, width, filters = size
    shuffled = features.reshape(batch, -1, filters)[:, rng.permutation(height * width)]
    for other in (shuffled.reshape(size), shuffled.reshape(batch, 1, -1, filters)):
        np.testing.assert_array_equal(gram_matrix(other), gram_matrix(features))
    order = rng.permutation(filters)
    np.testing.assert_array_equal(
        gram_matrix(features[..., order]), gram_matrix(features).numpy()[:, order][..., order]
    )
    assert not style_loss(features, gram_matrix(features)).numpy().any()


@settings(max_examples=20)
@given(SEEDS, SIZES)
def test_losses_and_their_slopes(seed, size):
    features, others = tf.constant(maps(seed, size)), tf.constant(maps(seed + 1, size))
    gram = gram_matrix(others)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        style, content = style_loss(features, gram), content_loss(features, others)
    _, height, width, filters = size
    want = np.sum((gram_matrix(features) - gram).numpy() ** 2, axis=(1, 2)) / (4 * filters**2 * (height * width) ** 2)
    np.testing.assert_allclose(style, want)
    np.testing.assert_allclose(tape.gradient(style, features), style_gradient(features, gram), rtol=1e-9, atol=1e-12)
    squares = np.sum((features - others).numpy() ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(content, squares / 2)
    np.testing.assert_allclose(tape.gradient(content, features), features - others, rtol=1e-9, atol=1e-12)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 6), st.integers(1, 4))
def test_style_loss_is_a_distance_of_clouds(seed, places, filters):
    f, g = maps(seed, (2, places, filters))
    kernel = [np.mean((a @ b.T) ** 2) for a, b in ((f, f), (g, g), (f, g))]
    loss = style_loss(f[None, None], gram_matrix(g[None, None]))
    np.testing.assert_allclose(4 * filters**2 * loss[0], kernel[0] + kernel[1] - 2 * kernel[2], atol=1e-12)


def test_textures():
    patterns = textures(8)
    assert patterns.shape == (4, 8, 8, 1)
    assert set(np.unique(patterns)) == {0, 1}
    np.testing.assert_array_equal(patterns[2], patterns[1] * patterns[1].swapaxes(0, 1))  # dots: stripes both ways
    np.testing.assert_array_equal(patterns[[0, 3]], patterns[[0, 3]].swapaxes(1, 2))
    np.testing.assert_array_equal(textures(9)[3], textures(9)[3, ::-1, ::-1])


def network():
    inputs = keras.Input((6, 6, 1))
    starts = [keras.initializers.GlorotNormal(seed) for seed in (1, 2)]
    x = keras.layers.Conv2D(3, 3, name="one", kernel_initializer=starts[0])(inputs)
    return keras.Model(
        inputs, keras.layers.Conv2D(4, 3, activation="tanh", name="two", kernel_initializer=starts[1])(x)
    )


def test_feature_maps_share_the_weights():
    model = network()
    x = np.float32(maps(0, (2, 6, 6, 1)))
    first, second = feature_maps(model, ["one", "two"])(x)
    np.testing.assert_allclose(second, model(x), rtol=1e-6)
    assert first.shape == (2, 4, 4, 3)
    model.get_layer("one").kernel.assign(tf.zeros((3, 3, 1, 3)))
    assert np.abs(feature_maps(model, ["one"])(x)[0]).max() == 0


def test_transfer():
    model = network()
    layers, rng = feature_maps(model, ["one", "two"]), np.random.default_rng(0)
    content, style = np.float32(rng.random((2, 3, 6, 6, 1)))
    weights, kept = np.float32([1.0, 30.0, 1000.0]), model.get_weights()
    pictures, losses = transfer(content, style, layers, 12, weights, 0.02)
    assert pictures.shape == content.shape
    assert losses.shape == (13, 2, 3)
    assert 0 <= pictures.min() <= pictures.max() <= 1
    for row, x in ((0, content), (-1, pictures)):
        wanted = [gram_matrix(each) for each in layers(style)]
        found = [style_loss(each, gram).numpy() for each, gram in zip(layers(x), wanted, strict=True)]
        np.testing.assert_allclose(losses[row, 0], np.sum(found, axis=0), rtol=1e-4)
        np.testing.assert_allclose(losses[row, 1], content_loss(layers(x)[1], layers(content)[1]), rtol=1e-4, atol=1e-7)
    assert np.all(losses[-1, 0] < losses[0, 0])
    for before, after in zip(kept, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    # the first step of Adam goes a learning rate down the slope, whatever its length
    first, _ = transfer(content, style, layers, 1, weights, 0.02)
    variable = tf.Variable(content)
    with tf.GradientTape() as tape:
        found = layers(variable)
        grams = [gram_matrix(each) for each in layers(style)]
        total = tf.add_n([style_loss(each, gram) for each, gram in zip(found, grams, strict=True)])
    slope = weights[:, None, None, None] * tape.gradient(total, variable).numpy()  # that of the content is 0 so far
    clear = np.abs(slope) > 1e-3
    assert clear.mean() > 0.2
    np.testing.assert_allclose(first[clear], np.clip(content - 0.02 * np.sign(slope), 0, 1)[clear], atol=1e-4)
    alone, _ = transfer(content[2:], style[2:], layers, 12, 1000.0, 0.02)  # one picture does not touch another
    np.testing.assert_allclose(alone[0], pictures[2], atol=1e-3)


FEATURES = np.ones((2, 3, 3, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gram_matrix(FEATURES[0]), r"features: expected the shape \(any, any, any, any\)"),
        (lambda: gram_matrix(np.zeros((0, 3, 3, 4))), "features: expected numbers, at least one"),
        (lambda: style_loss(FEATURES, gram_matrix(FEATURES)[:1]), r"gram: expected the shape \(2, 4, 4\)"),
        (lambda: style_loss(FEATURES, gram_matrix(FEATURES[..., :1])), r"gram: expected the shape \(2, 4, 4\)"),
        (lambda: style_gradient(FEATURES, gram_matrix(FEATURES)[0]), r"gram: expected the shape \(2, 4, 4\)"),
        (lambda: content_loss(FEATURES, FEATURES[:1]), r"target: expected the shape \(2, 3, 3, 4\)"),
        (lambda: content_loss(FEATURES[0], FEATURES[0]), "features: expected the shape"),
        (lambda: feature_maps(network(), []), "names: expected names of layers, at least one"),
        (lambda: feature_maps(network(), "one"), "names: expected names of layers, at least one, got 'one'"),
        (lambda: feature_maps(network(), ["three"]), "three"),
        (lambda: transfer(FEATURES, FEATURES[:1], None, 1), r"style: expected the shape \(2, 3, 3, 4\)"),
        (lambda: transfer(FEATURES[0], FEATURES[0], None, 1), "content: expected the shape"),
        (lambda: transfer(FEATURES, FEATURES, None, 0), "steps: expected a whole number of at least 1, got 0"),
        (lambda: transfer(FEATURES, FEATURES, None, 1, 0.0), "style_weight: expected a positive number, got 0.0"),
        (lambda: transfer(FEATURES, FEATURES, None, 1, [1.0, np.nan]), "style_weight: expected a positive number"),
        (lambda: transfer(FEATURES, FEATURES, None, 1, 1.0, -1), "learning_rate: expected a positive number, got -1"),
        (lambda: textures(0), "size: expected a whole number of at least 1, got 0"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""The price of a step by hand, the losses while layers fade in by Keras, and what a size's training leaves alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter11.players import draw_batches
from kerasnotes.chapter11.progressive_growing import Size, build_sizes, multiplications, train_pyramid
from kerasnotes.chapter11.pyramids import FadeIn, build_pair, double, halve


def images(count=6, side=14, seed=0):
    return np.float32(np.random.default_rng(seed).uniform(-1, 1, (count, side, side, 1)))


def values(size):
    return [weight.numpy() for network in size.networks for weight in network.weights]


def test_multiplications_by_hand():
    layers = keras.layers
    generator = keras.Sequential([keras.Input((3,)), layers.Dense(8), layers.Reshape((2, 2, 2))])
    generator.add(layers.Conv2DTranspose(5, 4, 2, "same"))  # 2 x 2 places, 4 x 4 kernels
    generator.add(layers.BatchNormalization())
    generator.add(layers.Conv2D(1, 3, padding="same"))
    discriminator = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(6, 3, 2, "same"), layers.Flatten()])
    discriminator.add(layers.Dense(1))
    g = 3 * 8 + 4 * 16 * 2 * 5 + 16 * 9 * 5
    d = 4 * 9 * 6 + 24
    assert multiplications(generator, discriminator) == 4 * g + 8 * d


@pytest.fixture(scope="module")
def sizes():
    """Two sizes that most tests share: they trace their turns once."""
    return build_sizes(images(), 3, (2, 2), seed=1)


def test_sizes_share_layers_and_pictures(sizes):
    small, large = sizes
    np.testing.assert_allclose(small.images, halve(large.images), rtol=1e-6)
    assert set(map(id, small.networks[0].weights)) < set(map(id, large.networks[0].weights))
    assert small.price(False) == small.price(True) < large.price(False) < large.price(True)
    # the old paths are the first convolution of the small discriminator and the last of the small generator
    assert large.price(True) - large.price(False) == 49 * 9 * 2 * (4 + 8)


def test_the_price_and_when_it_is_looked_at(sizes):
    looks = []
    spent = train_pyramid(sizes, (4, 6), batch_size=2, looks=2, watch=lambda *look: looks.append(look))
    small, large = sizes[0].price(False), sizes[1].price(True)
    assert spent == 2 * (4 * small + 6 * large)
    assert [done for _, done in looks] == [2 * 2 * small, 2 * 4 * small, 2 * (4 * small + 3 * large), spent]
    assert [generator.output_shape[1] for generator, _ in looks] == [7, 7, 14, 14]
    assert train_pyramid(sizes, (0, 3), batch_size=2) == 2 * 3 * sizes[1].price(False)


def test_alpha_rises_and_ends(sizes):
    seen = []
    train_pyramid(sizes, (1, 4), batch_size=2, fade=1.0, looks=4, watch=lambda *_: seen.append(alphas(sizes[1])))
    np.testing.assert_allclose(seen[1:], [[0, 0], [1 / 3, 1 / 3], [2 / 3, 2 / 3], [1, 1]], rtol=1e-6)
    train_pyramid(sizes, (1, 4), batch_size=2, fade=0.5)
    assert alphas(sizes[1]) == [1, 1]
    train_pyramid(sizes, (0, 1), batch_size=2)  # nothing to fade from
    assert alphas(sizes[1]) == [1, 1]


def alphas(size):
    return [float(layer.alpha) for each in size.networks for layer in each.layers if isinstance(layer, FadeIn)]


def test_a_training_is_repeated_by_its_seed(sizes):
    start, ends = [values(size) for size in sizes], []
    for seed in (0, 0, 1):
        for size, kept in zip(sizes, start, strict=True):
            for weight, value in zip((w for network in size.networks for w in network.weights), kept, strict=True):
                weight.assign(value)
        train_pyramid(sizes, (3, 3), batch_size=2, seed=seed)
        ends.append(np.concatenate([np.ravel(each) for each in values(sizes[1])]))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5, atol=1e-6)  # optimizers begin anew
    assert np.abs(ends[0] - ends[2]).max() > 1e-4
    assert np.abs(ends[0] - np.concatenate([np.ravel(each) for each in start[1]])).max() > 1e-3


def test_a_size_leaves_new_layers_alone(sizes):
    before, small = values(sizes[1]), set(map(id, (w for network in sizes[0].networks for w in network.weights)))
    train_pyramid(sizes, (2, 0), batch_size=2)
    weights = [weight for network in sizes[1].networks for weight in network.weights]
    for weight, value in zip(weights, before, strict=True):
        assert np.array_equal(weight, value) != (id(weight) in small), weight.path


def test_the_losses_of_a_step_while_it_fades():
    """One picture only, so that every batch is that picture; α = ¼ in this step."""
    x = images(1)
    size, noise_seed = build_sizes(x, 3, (2, 2), seed=2)[1], 5
    noise = draw_batches(1, 2, 3, noise_seed)(0, 1)[1][0]
    generator, discriminator = size.networks
    for layer in size.fades:
        layer.alpha.assign(0.25)
    kept = values(size)
    bce = keras.losses.BinaryCrossentropy(from_logits=True)
    real = tf.repeat(0.75 * double(halve(x)) + 0.25 * x, 2, axis=0)
    logits = discriminator(real, training=True), discriminator(generator(noise, training=True), training=True)
    want = bce(tf.ones((2, 1)), logits[0]) + bce(tf.zeros((2, 1)), logits[1])
    for weight, value in zip((w for network in size.networks for w in network.weights), kept, strict=True):
        weight.assign(value)
    got = size.train([0.25], [0.01], 2, noise_seed)
    assert got.shape == (1, 2)
    assert got[0, 0] == pytest.approx(float(want), rel=1e-4)
    assert [float(player.optimizer.learning_rate) for player in size.players] == [pytest.approx(0.01)] * 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda sizes: Size(*build_pair(3, 2), images()), "images: expected pictures"),
        (lambda sizes: Size(*build_pair(3, 2), 2 * images(1, 7)), "images: expected pixels from −1 to 1"),
        (lambda sizes: build_sizes(images(), 3, (2,)), "images: expected pictures"),
        (lambda sizes: build_sizes(images(1, 7), 3, (2, 2)), "images: expected .* with even sides"),
        (lambda sizes: build_sizes(images(), 3, (2, 0)), "channels: expected a whole number"),
        (lambda sizes: train_pyramid(sizes, (1, 1, 1)), "steps: expected a count for each of 2 sizes"),
        (lambda sizes: train_pyramid(sizes, (0, 0)), "steps: expected a count for each of 2 sizes, not all 0"),
        (lambda sizes: train_pyramid(sizes, (1, -1)), "steps: expected a whole number of at least 0, got -1"),
        (lambda sizes: train_pyramid(sizes, (1, 1), learning_rate=0), "learning_rate: expected a positive number"),
        (lambda sizes: train_pyramid(sizes, (1, 1), fade=0), "fade: expected a number above 0 to 1"),
        (lambda sizes: train_pyramid(sizes, (1, 1), fade=1.5), "fade: expected a number above 0 to 1"),
        (lambda sizes: train_pyramid(sizes, (1, 1), looks=0), "looks: expected a whole number"),
        (lambda sizes: train_pyramid(sizes, (1, 1), batch_size=0), "batch_size: expected a whole number"),
    ],
)
def test_errors(sizes, call, message):
    with pytest.raises(ValueError, match=message):
        call(sizes)

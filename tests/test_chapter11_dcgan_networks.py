"""The networks of a DCGAN: shapes, numbers of weights, and their start."""

import keras
import numpy as np
import pytest

from kerasnotes.chapter11.dcgan_networks import build_discriminator, build_generator

SMALL = (4, 3, 2)


def pair(seed=0):
    return build_generator(5, SMALL, seed), build_discriminator(SMALL[::-1], seed)


def batch(seed=0, size=6):
    rng = np.random.default_rng(seed)
    return np.float32(rng.uniform(-1, 1, (size, 28, 28, 1))), rng.standard_normal((size, 5), np.float32)


def values_of(weights):
    return [weight.numpy() for weight in weights]


def assert_equal(ours, theirs, **tolerance):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def test_shapes_and_ranges():
    generator, discriminator = pair()
    real, noise = batch()
    drawn = generator(noise).numpy()
    assert drawn.shape == (6, 28, 28, 1)
    assert np.abs(drawn).max() <= 1
    assert discriminator(real).shape == (6, 1)
    maps = [layer.output.shape[1:3] for layer in generator.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    assert maps == [(7, 7), (14, 14), (28, 28)]
    maps = [layer.output.shape[1:3] for layer in discriminator.layers if isinstance(layer, keras.layers.Conv2D)]
    assert maps == [(14, 14), (7, 7), (4, 4)]
    slopes = [layer.negative_slope for layer in discriminator.layers if isinstance(layer, keras.layers.LeakyReLU)]
    assert slopes == [0.2] * 3


def test_number_of_weights_by_hand():
    generator, discriminator = build_generator(64, (64, 32, 16)), build_discriminator((16, 32, 64))
    drawing = 64 * 1024 + 2 * 64 * 16 + 9 * 64 * 32 + 2 * 32 + 16 * 32 * 16 + 2 * 16 + 16 * 16 + 1
    judging = 16 * 16 + 16 + 16 * 16 * 32 + 2 * 32 + 16 * 32 * 64 + 2 * 64 + 16 * 64 + 1
    counted = [
        sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) for model in (generator, discriminator)
    ]
    assert counted == [drawing, judging]


def test_starting_weights():
    generator, discriminator = build_generator(seed=1), build_discriminator(seed=1)
    kernels = [weight.numpy() for model in (generator, discriminator) for weight in model.trainable_weights
               if weight.name == "kernel"]  # fmt: skip
    assert len(kernels) == 8
    for kernel in kernels:
        assert kernel.std() == pytest.approx(0.02, rel=5 / np.sqrt(kernel.size))
    assert_equal(values_of(generator.weights), values_of(build_generator(seed=1).weights))
    assert not np.allclose(generator(np.ones((1, 64))), build_generator(seed=2)(np.ones((1, 64))))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_generator(0), "latent_size: expected a whole number"),
        (lambda: build_generator(8, (4, 4)), "channels: expected three positive whole numbers"),
        (lambda: build_discriminator((4, 0, 4)), "channels: expected a whole number"),
        (lambda: build_discriminator((4, 4, 4.5)), "channels: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

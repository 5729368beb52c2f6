"""BiGAN's losses, the divergence of pairs by hand, and the two trainings."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter11.two_way_gan import bigan_divergence, bigan_losses, build_mlp, train_bigan, train_inverse


def test_losses_by_keras_with_slopes():
    rng = np.random.default_rng(0)
    encoded, drawn = (tf.constant(rng.normal(size=(6, 1)), tf.float32) for _ in range(2))
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([encoded, drawn])
        ours = bigan_losses(encoded, drawn)
        ones, zeros = tf.ones((6, 1)), tf.zeros((6, 1))
        theirs = (
            cross_entropy(ones, encoded) + cross_entropy(zeros, drawn),
            cross_entropy(zeros, encoded) + cross_entropy(ones, drawn),
        )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
        np.testing.assert_allclose(tape.gradient(a, encoded), tape.gradient(b, encoded), rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(tape.gradient(a, drawn), tape.gradient(b, drawn), rtol=1e-4, atol=1e-7)


def test_the_divergence_of_pairs():
    half, third = [0.5, 0.5], [1 / 3] * 3
    assert bigan_divergence(half, half, [1, 0], [1, 0]) == pytest.approx(0)
    assert bigan_divergence(half, half, [0, 1], [1, 0]) == pytest.approx(np.log(2))  # no pair in common
    # one pair of each kind is shared, with half of the mass
    assert bigan_divergence(half, half, [0, 0], [0, 0]) == pytest.approx(np.log(2) / 2)
    # another number of codes than of samples: no two maps are inverse
    pairs = [(a, b) for a in np.ndindex(2, 2, 2) for b in np.ndindex(3, 3)]
    assert min(bigan_divergence(third, half, list(a), list(b)) for a, b in pairs) > 0.01
    # inverse maps that do not carry the one distribution to the other
    assert bigan_divergence([0.9, 0.1], [0.1, 0.9], [0, 1], [0, 1]) > 0.1
    assert bigan_divergence([0.9, 0.1], [0.1, 0.9], [1, 0], [1, 0]) == pytest.approx(0)


def test_build_mlp():
    model = build_mlp(3, (4, 5), 2, "tanh")
    assert model(tf.zeros((1, 3))).shape == (1, 2)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Dense", "BatchNormalization", "LeakyReLU"] * 2 + ["Dense"]
    assert "BatchNormalization" not in [type(layer).__name__ for layer in build_mlp(3, (4,), 2, normalize=False).layers]
    same, other = build_mlp(3, (4, 5), 2), build_mlp(3, (4, 5), 2, seed=1)
    np.testing.assert_array_equal(model.get_weights()[0], same.get_weights()[0])
    assert np.any(model.get_weights()[0] != other.get_weights()[0])


def test_who_moves_in_which_training():
    generator, encoder = build_mlp(2, (), 3), build_mlp(3, (), 2, seed=1)
    discriminator = build_mlp(5, (4,), 1, normalize=False, seed=2)
    samples = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    before = [model.get_weights()[0] for model in (generator, encoder, discriminator)]
    losses = train_bigan(generator, encoder, discriminator, samples, 3, batch_size=8)
    assert losses.shape == (3, 2)
    after = [model.get_weights()[0] for model in (generator, encoder, discriminator)]
    assert all(np.any(a != b) for a, b in zip(before, after, strict=True))
    train_inverse(encoder, generator, 2)
    np.testing.assert_array_equal(generator.get_weights()[0], after[0])
    assert np.any(encoder.get_weights()[0] != after[1])


def test_an_encoder_learns_to_invert_a_plane():
    generator, encoder = build_mlp(2, (), 3), build_mlp(3, (), 2, seed=1)
    assert train_inverse(encoder, generator, 600, learning_rate=0.03)[-1, 0] < 1e-2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bigan_losses(np.zeros((2, 3), np.float32), np.zeros((2, 1), np.float32)), "expected the shape"),
        (lambda: bigan_divergence([1.0], [1.0], [0, 0], [0]), "encoder: expected the shape"),
        (lambda: bigan_divergence([1.0], [1.0], [0], [0, 0]), "generator: expected the shape"),
        (lambda: bigan_divergence([1.0], [1.0], [1], [0]), "encoder: expected whole numbers from 0 to 0"),
        (lambda: bigan_divergence([1.0], [1.0], [0], [-1]), "generator: expected whole numbers from 0 to 0"),
        (lambda: bigan_divergence([1.0], [1.0], [0.0], [0]), "encoder: expected whole numbers"),
        (lambda: train_inverse(None, None, 0), "steps: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

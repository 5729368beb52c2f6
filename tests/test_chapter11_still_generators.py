"""The motion of generators by hand and by differences, one step of training as the WGAN's, and the errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter11.side_by_side import parallel_mlp
from kerasnotes.chapter11.still_generators import motion, train_clipped, train_decoder
from kerasnotes.chapter11.wgan import train_wgan


def noise(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


@pytest.mark.parametrize("shape", [(5, 3), (2, 5, 3)])
def test_a_linear_generator_moves_by_the_size_of_its_matrix(shape):
    matrix = noise(3, 4, seed=1)
    got = motion(lambda z: tf.matmul(z, matrix) + 2.0, noise(*shape))
    assert got.shape == shape[:-1]
    np.testing.assert_allclose(got, np.full(shape[:-1], np.linalg.norm(matrix)), rtol=1e-5)


def test_a_bent_generator_by_hand():
    z = noise(6, 2)
    got = motion(lambda z: tf.stack([z[:, 0] ** 2, tf.sin(z[:, 1])], axis=1), z)
    want = np.hypot(2 * z[:, 0], np.cos(z[:, 1]))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_what_does_not_move():
    np.testing.assert_array_equal(motion(lambda z: 0 * z, noise(4, 2)), np.zeros(4))
    np.testing.assert_array_equal(motion(lambda z: tf.ones((4, 3)), noise(4, 2)), np.zeros(4))


def test_one_vector_is_no_batch():
    with pytest.raises(ValueError, match=r"noise: expected the shape \(\.\.\., numbers\) with a batch, got \(3,\)"):
        motion(lambda z: z, noise(3))


def test_with_rmsprop_it_is_the_wgan():
    ends = []
    for train in (
        lambda *each, **more: train_wgan(*each, learning_rate=0.01, limit=0.2, **more),
        lambda *each, **more: train_clipped(*each, optimizer=lambda: keras.optimizers.RMSprop(0.01), limit=0.2, **more),
    ):
        generator, critic = parallel_mlp(2, 1, (4,), 1, 0), parallel_mlp(2, 1, (4,), 1, 5)
        draw = lambda seed: tf.random.stateless_normal((2, 8, 1), seed)  # noqa: E731
        train(generator, critic, draw, draw, 3, critic_steps=2, seed=7)
        ends.append([*generator.get_weights(), *critic.get_weights()])
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert max(np.abs(weight).max() for weight in critic.get_weights()) <= 0.2 + 1e-7


def test_a_decoder_learns_two_points():
    points = tf.constant([[-1.0, 0.0], [1.0, 0.0]])

    def draw(seed):
        return tf.gather(points, tf.random.stateless_uniform((2, 16), seed, 0, 2, tf.int32))

    bounds = []
    for steps in (2, 150):
        encoder, decoder = parallel_mlp(2, 2, (8,), 4, 0), parallel_mlp(2, 2, (8,), 2, 5)
        bounds.append(train_decoder(encoder, decoder, draw, steps, deviation=0.3, learning_rate=0.02))
    assert bounds[0].shape == (2,)
    assert np.all(bounds[1] < bounds[0])
    drawn = decoder(tf.random.stateless_normal((2, 50, 2), (0, 1))).numpy()
    assert np.all(np.abs(drawn[..., 0]).mean(axis=1) > 0.5)  # near the points, not between them


def test_errors_of_the_trainers():
    pair = parallel_mlp(1, 1, (2,), 1, 0), parallel_mlp(1, 1, (2,), 1, 1)
    draw = lambda seed: tf.random.stateless_normal((1, 4, 1), seed)  # noqa: E731
    with pytest.raises(ValueError, match="limit: expected a positive number, got 0"):
        train_clipped(*pair, draw, draw, 2, optimizer=keras.optimizers.Adam, limit=0)
    with pytest.raises(ValueError, match="steps: expected a whole number of at least 1, got 0"):
        train_clipped(*pair, draw, draw, 0, optimizer=keras.optimizers.Adam)
    with pytest.raises(ValueError, match="steps: expected a whole number of at least 1, got 0"):
        train_decoder(*pair, draw, 0, deviation=0.1, learning_rate=0.1)

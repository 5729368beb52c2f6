"""Four members' losses on numbers, the diff as text, and the distance of points in the plane."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter11.gradient_penalty import gradient_penalty
from kerasnotes.chapter11.members import (
    changed_lines,
    gan,
    hinge_gan,
    least_squares_gan,
    shadow_distance,
    slope_penalty,
    wgan_gp,
)
from kerasnotes.chapter11.side_by_side import parallel_mlp

REAL, FAKE = np.float32([2.0, 0.5, -1.0]), np.float32([-3.0, 1.0, 0.5])


class Nothing(keras.layers.Layer):
    """Passes values on; a weight without use makes it a player's network."""

    def __init__(self):
        super().__init__()
        self.unused = self.add_weight(shape=(1,))

    def call(self, x):
        return x + 0 * self.unused


def losses(member, penalty=False):
    nothing = keras.Sequential([Nothing()])
    nothing(tf.zeros((3, 1)))
    tell, fool = member(nothing, nothing, REAL[:, None])
    return float(fool.loss(None, FAKE[:, None])), (tell, FAKE[:, None])


@pytest.mark.parametrize(
    ("member", "tell", "fool"),
    [
        (gan, np.log1p(np.exp(-REAL)).mean() + np.log1p(np.exp(FAKE)).mean(), np.log1p(np.exp(-FAKE)).mean()),
        (least_squares_gan, ((REAL - 1) ** 2).mean() + (FAKE**2).mean(), ((FAKE - 1) ** 2).mean()),
        (hinge_gan, (0 + 0.5 + 2) / 3 + (0 + 2 + 1.5) / 3, -FAKE.mean()),
    ],
)
def test_losses_on_numbers(member, tell, fool):
    got, (player, fakes) = losses(member)
    assert got == pytest.approx(fool, rel=1e-5)
    assert float(player.loss(np.arange(3), fakes)) == pytest.approx(tell, rel=1e-5)


def test_wgan_gp_is_a_difference_and_a_penalty():
    critic = parallel_mlp(2, 2, (8,), 1, 3, "tanh")
    generator = parallel_mlp(2, 1, (4,), 2, 9)
    samples = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    tell, fool = wgan_gp(generator, critic, samples)
    order, noise = np.arange(10, dtype=np.int32).reshape(2, 5), np.ones((2, 5, 1), np.float32)
    real, fake = samples[order], generator(noise)
    plain = sum(float(tf.reduce_mean(critic(fake)[run]) - tf.reduce_mean(critic(real)[run])) for run in range(2))
    penalty = float(slope_penalty(critic, tf.constant(real), fake, (0, 1)))
    assert float(tell.loss(order, noise)) == pytest.approx(plain + 0.3 * penalty, rel=1e-5)
    assert float(fool.loss(order, noise)) == pytest.approx(-float(tf.reduce_sum(tf.reduce_mean(critic(fake), (1, 2)))))


def test_the_penalty_of_one_game_is_that_of_its_lesson():
    critic = parallel_mlp(1, 2, (8,), 1, 3, "tanh")
    rng = np.random.default_rng(1)
    real, fake = (tf.constant(rng.normal(size=(1, 16, 2)), tf.float32) for _ in range(2))
    want = gradient_penalty(lambda x: critic(x[None])[0], real[0], fake[0], (3, 4))
    np.testing.assert_allclose(slope_penalty(critic, real, fake, (3, 4)), want, rtol=1e-5)


def test_the_penalty_of_games_side_by_side_is_their_sum():
    """Linear critics: each has one slope everywhere, so that the points between do not matter."""
    critic = parallel_mlp(2, 2, (), 1)
    critic.set_weights([np.float32([[[3], [4]], [[0], [1]]]), np.zeros((2, 1, 1))])
    real, fake = tf.zeros((2, 5, 2)), tf.ones((2, 5, 2))
    assert float(slope_penalty(critic, real, fake, (0, 0))) == pytest.approx((5 - 1) ** 2 + 0)


def test_changed_lines():
    def first(x):
        """A docstring that is no line."""
        y = x + 1  # a comment that is none
        return y

    def second(x):
        y = x + 2
        return y

    assert changed_lines(first, second) == ["− y = x + 1", "+ y = x + 2"]
    assert changed_lines(first, first) == []
    assert [line[0] for line in changed_lines(gan, hinge_gan)] == ["−", "+", "−", "+"]


def test_shadow_distance():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 2))
    assert shadow_distance(points, rng.permutation(points)) == pytest.approx(0, abs=1e-12)
    angles = np.arange(8) * np.pi / 8
    want = np.mean(np.abs(3 * np.cos(angles) - 4 * np.sin(angles)))
    assert shadow_distance(points, points + np.array([3, -4]), 8) == pytest.approx(want)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shadow_distance(np.zeros((3, 3)), np.zeros((3, 2))), "a: expected the shape"),
        (lambda: shadow_distance(np.zeros((3, 2)), np.zeros((4, 2))), "b: expected the shape"),
        (lambda: shadow_distance(np.zeros((3, 2)), np.zeros((3, 2)), 0), "directions: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Conjugates, derivatives and activations of each row against definitions; bounds; the game on one step."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize, stats

from kerasnotes.chapter11.divergences import js, kl
from kerasnotes.chapter11.f_gan import DIVERGENCES, f_divergence, train_f_gan, variational_bound
from kerasnotes.chapter11.side_by_side import parallel_mlp

rows = pytest.mark.parametrize("name", DIVERGENCES)


def random_pair(seed, shape=(5, 4)):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(shape[-1]), shape[:-1]), rng.dirichlet(np.ones(shape[-1]), shape[:-1])


@rows
def test_a_conjugate_is_a_supremum(name):
    row = DIVERGENCES[name]
    for v in (-1.0, -0.2, 0.3, 1.4):
        t = float(row.activation(tf.constant(v, tf.float64)))
        found = optimize.minimize_scalar(
            lambda x, t=t: float(row.generator(tf.constant(np.exp(x), tf.float64))) - t * np.exp(x),
            bounds=(-12, 12),
            method="bounded",
            options={"xatol": 1e-10},
        )
        want = max(-found.fun, *(t * u - float(row.generator(tf.constant(u, tf.float64))) for u in (1e-12, 1.0)))
        assert float(row.conjugate(tf.constant(t, tf.float64))) == pytest.approx(want, abs=1e-5)


@rows
def test_the_derivative_is_that_of_the_generator(name):
    u = tf.constant([0.05, 0.4, 0.9, 1.3, 7.0], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(u)
        f = DIVERGENCES[name].generator(u)
    np.testing.assert_allclose(DIVERGENCES[name].derivative(u), tape.gradient(f, u), rtol=1e-9)


@rows
def test_an_activation_rises_inside_the_range(name):
    row = DIVERGENCES[name]
    t = row.activation(np.linspace(-6, 6, 50)).numpy() if name not in ("kl", "pearson") else np.linspace(-6, 6, 50)
    assert np.all(np.diff(t) > 0)
    assert row.low <= t.min()
    assert t.max() <= row.high


def test_divergences_by_their_formulas():
    p, q = random_pair(0)
    want = {
        "kl": stats.entropy(p, q, axis=-1),
        "reverse_kl": kl(q, p).numpy(),
        "js": 2 * js(p, q).numpy() - 2 * np.log(2),
        "pearson": np.sum((p - q) ** 2 / q, axis=-1),
        "hellinger": np.sum((np.sqrt(p) - np.sqrt(q)) ** 2, axis=-1),
        "total_variation": np.abs(p - q).sum(axis=-1) / 2,
    }
    for name, each in want.items():
        np.testing.assert_allclose(f_divergence(name, p, q), each, rtol=1e-9)


@rows
def test_the_best_critic_and_others(name):
    p, q = random_pair(1, (30, 5))
    row = DIVERGENCES[name]
    best = row.derivative(p / q)
    np.testing.assert_allclose(variational_bound(name, p, q, best), f_divergence(name, p, q), rtol=1e-9)
    rng = np.random.default_rng(2)
    for _ in range(10):
        others = row.activation(rng.normal(size=p.shape) * 2)
        assert np.all(variational_bound(name, p, q, others) <= f_divergence(name, p, q) + 1e-12)


@pytest.mark.parametrize("name", ["js", "pearson"])
def test_first_losses_of_a_game_are_the_bound(name):
    generator, critic = parallel_mlp(2, 1, (), 1, 0), parallel_mlp(2, 1, (4,), 1, 1, "tanh")
    samples, row = np.float32([[0.5]]), DIVERGENCES[name]
    start = [np.full((2, 1, 1), 1e-9, np.float32), np.full((2, 1, 1), -1.0, np.float32)]
    generator.set_weights(start)
    real, fake = (critic(tf.fill((2, 1, 1), x))[:, 0, 0] for x in (0.5, -1.0))
    want = np.mean(row.activation(real) - row.conjugate(row.activation(fake)))
    history = train_f_gan(name, generator, critic, samples, 1, critic_steps=1, batch_size=4, learning_rate=1e-9)
    assert history[0, 0] == pytest.approx(want, rel=1e-4)
    assert history[0, 1] == pytest.approx(np.mean(row.conjugate(row.activation(fake))), rel=1e-4)


def test_directions_of_the_two_players():
    """The critic raises the bound; the generator, against a critic that rises with x, draws to the right."""
    generator, critic = parallel_mlp(1, 1, (), 1, 0), parallel_mlp(1, 1, (), 1, 1)
    generator.set_weights([np.ones((1, 1, 1)), np.zeros((1, 1, 1))])
    critic.set_weights([np.ones((1, 1, 1)), np.zeros((1, 1, 1))])
    samples = np.full((10, 1), 5.0, np.float32)
    train_f_gan("kl", generator, critic, samples, 5, critic_steps=1, batch_size=8)
    assert generator.get_weights()[1].item() > 0.01
    assert critic.get_weights()[0].item() > 1.0


def test_keras_kl():
    p, q = random_pair(3)
    np.testing.assert_allclose(f_divergence("kl", p, q), keras.losses.kl_divergence(p, q), rtol=1e-5)


HALF = [0.5, 0.5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: f_divergence("chi", HALF, HALF), "name: expected one of kl, reverse_kl"),
        (lambda: f_divergence("kl", HALF, [1.0]), "q: expected the shape"),
        (lambda: f_divergence("kl", [0.0, 1.0], HALF), "p: expected positive numbers"),
        (lambda: f_divergence("kl", HALF, [1.5, -0.5]), "q: expected positive numbers"),
        (lambda: variational_bound("kl", HALF, HALF, [0.0]), "critic: expected the shape"),
        (lambda: variational_bound("js", HALF, HALF, [0.1, -1]), "critic: expected numbers from -inf to 0.0"),
        (
            lambda: variational_bound("total_variation", HALF, HALF, [0, -1]),
            "critic: expected numbers from -0.5 to 0.5",
        ),
        (lambda: variational_bound("kl", HALF, HALF, [0, np.nan]), "critic: expected numbers"),
        (lambda: train_f_gan("no", None, None, None, 1), "name: expected one of"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

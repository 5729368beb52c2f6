"""Cycle losses and the players of the game against Keras's losses, on networks whose answers are known."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter11.cycle_gan import build_judge, build_translation, cycle_loss, cycle_players, train_cycle_gan

SEEDS = st.integers(0, 2**32 - 1)


def pictures(seed, count=3):
    return np.float32(np.random.default_rng(seed).uniform(-1, 1, (count, 14, 14, 1)))


@pytest.fixture(scope="module")
def networks():
    return [build(seed) for build in (build_translation, build_judge) for seed in (0, 1)]


@settings(max_examples=20)
@given(SEEDS, st.sampled_from([(3,), (2, 4), (2, 3, 3, 1)]))
def test_cycle_loss_is_kerass_mean_absolute_error_with_its_gradient(seed, size):
    x, back = (tf.constant(each) for each in np.random.default_rng(seed).normal(size=(2, *size)))
    slopes = []
    for loss in (cycle_loss, lambda a, b: tf.reduce_mean(keras.losses.mean_absolute_error(a, b))):
        with tf.GradientTape() as tape:
            tape.watch([x, back])
            value = loss(x, back)
        slopes.append((value, *tape.gradient(value, [x, back])))
    for got, want in zip(*slopes, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_networks(networks):
    there, _, judge, _ = networks
    assert there(pictures(0)).shape == (3, 14, 14, 1)
    assert np.abs(there(100 * pictures(0))).max() <= 1.25
    assert judge(pictures(0)).shape == (3, 1)
    for build in (build_translation, build_judge):
        for a, b, c in zip(*(build(seed).get_weights() for seed in (0, 0, 1)), strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.ndim < 2 or np.any(a != c)


def test_a_translation_sees_13_pixels(networks):
    x = tf.Variable(pictures(0, 1))
    with tf.GradientTape() as tape:
        middle = networks[0](tf.identity(x))[0, 7, 7, 0]
    _, rows, columns, _ = np.nonzero(tape.gradient(middle, x).numpy())
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 13, 1, 13)


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_the_players_losses(networks, weight):
    there, back, judge_first, judge_second = networks
    x, y = pictures(1), pictures(2)
    judges, translations = cycle_players(*networks, x, y, weight)
    order = tf.constant([2, 0])
    x, y = tf.constant(x[[2, 0]]), tf.constant(y[[2, 0]])
    bce = keras.losses.BinaryCrossentropy(from_logits=True)
    ones, zeros = tf.ones((2, 1)), tf.zeros((2, 1))
    want = bce(ones, judge_second(y)) + bce(zeros, judge_second(there(x)))
    want += bce(ones, judge_first(x)) + bce(zeros, judge_first(back(y)))
    assert float(judges.loss(order, order)) == pytest.approx(float(want), rel=1e-5)
    mae = keras.losses.MeanAbsoluteError()
    want = bce(ones, judge_second(there(x))) + bce(ones, judge_first(back(y)))
    want += weight * (mae(x, back(there(x))) + mae(y, there(back(y))))
    assert float(translations.loss(order, order)) == pytest.approx(float(want), rel=1e-5)


def test_each_player_owns_its_networks(networks):
    judges, translations = cycle_players(*networks, pictures(1), pictures(2))
    counts = [sum(len(network.trainable_variables) for network in networks[at]) for at in (np.s_[:2], np.s_[2:])]
    assert [len(translations.weights), len(judges.weights)] == counts


def test_a_weight_can_be_changed_later(networks):
    weight = tf.Variable(0.0)
    _, translations = cycle_players(*networks, pictures(1), pictures(2), weight)
    order = tf.constant([0])
    values = []
    for number in (0.0, 1.0, 2.0):
        weight.assign(number)
        values.append(float(translations.loss(order, order)))
    assert values[2] - values[1] == pytest.approx(values[1] - values[0], rel=1e-4)
    assert values[1] > values[0]


def test_training_moves_all_four_and_repeats():
    losses = []
    for _ in range(2):
        networks = [build(seed) for build in (build_translation, build_judge) for seed in (0, 1)]
        before = [network.get_weights() for network in networks]
        losses.append(train_cycle_gan(networks, pictures(0), pictures(1), 2, batch_size=2, seed=3))
        for old, network in zip(before, networks, strict=True):
            assert all(np.any(a != b) for a, b in zip(old, network.get_weights(), strict=True) if a.ndim > 1)
    assert losses[0].shape == (2, 2)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n: cycle_loss(np.ones((2, 3)), np.ones((1, 3))), r"back: expected the shape \(2, 3\), got \(1, 3\)"),
        (lambda n: cycle_loss(np.ones(0), np.ones(0)), "x: expected numbers, at least one"),
        (lambda n: cycle_players(*n, 3 * pictures(0), pictures(1)), "images: expected pixels from −1 to 1"),
        (
            lambda n: train_cycle_gan(n, pictures(0), pictures(1), 1, cycle_weight=-1.0),
            "cycle_weight: expected a number",
        ),
        (
            lambda n: train_cycle_gan(n, pictures(0), pictures(1), 1, cycle_weight=np.nan),
            "cycle_weight: expected a number",
        ),
        (
            lambda n: train_cycle_gan(n, pictures(0), pictures(1), 1, batch_size=0),
            "batch_size: expected a whole number",
        ),
        (
            lambda n: train_cycle_gan(n, pictures(0), pictures(1), 1, learning_rate=0),
            "learning_rate: expected a positive",
        ),
        (lambda n: train_cycle_gan(n, pictures(0), pictures(1), 0), "steps: expected a whole number of at least 1"),
    ],
)
def test_errors(networks, call, message):
    with pytest.raises(ValueError, match=message):
        call(networks)

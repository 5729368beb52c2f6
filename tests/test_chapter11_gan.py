"""The game of two networks: losses, turns, runs side by side, and small games solved by other means."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize

from kerasnotes.chapter11.gan import (
    ParallelDense,
    bilinear_growth,
    bilinear_path,
    discriminator_loss,
    discriminator_step,
    equilibria,
    generator_loss,
    generator_step,
    parallel_mlp,
    take_turns,
    train_gan,
)


def numbers(*shape, seed=0, scale=1.0):
    return tf.constant(np.random.default_rng(seed).normal(scale=scale, size=shape), tf.float32)


def test_losses_by_hand():
    half = tf.zeros((4, 1))
    assert float(discriminator_loss(half, half)) == pytest.approx(2 * np.log(2))
    assert float(generator_loss(half)) == pytest.approx(np.log(2))
    assert float(generator_loss(half, saturating=True)) == pytest.approx(-np.log(2))


@pytest.mark.parametrize("shape", [(7,), (7, 1), (3, 7, 1)])
def test_losses_equal_tensorflow_with_gradients(shape):
    real, fake = numbers(*shape, seed=1, scale=3), numbers(*shape, seed=2, scale=3)
    axis = (-2, -1) if len(shape) > 1 else -1

    def labelled(label, logits):
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(label * tf.ones_like(logits), logits), axis)

    for ours, theirs in (
        (discriminator_loss, lambda real, fake: labelled(1.0, real) + labelled(0.0, fake)),
        (lambda real, fake: generator_loss(fake), lambda real, fake: labelled(1.0, fake)),
        (lambda real, fake: generator_loss(fake, saturating=True), lambda real, fake: -labelled(0.0, fake)),
    ):
        results = []
        for loss in (ours, theirs):
            with tf.GradientTape() as tape:
                tape.watch((real, fake))
                value = loss(real, fake)
            results.append([value, *tape.gradient(value, (real, fake), unconnected_gradients="zero")])
        for a, b in zip(*results, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_losses_at_the_ends():
    sure = tf.constant([[100.0], [-100.0]])
    for value in (discriminator_loss(sure, sure), generator_loss(sure), generator_loss(sure, True)):
        assert np.isfinite(value)


def test_parallel_runs_are_dense_layers_side_by_side():
    layer, x = ParallelDense(3, 4, "tanh", seed=(5, 0)), numbers(3, 6, 2)
    y = layer(x)
    for run in range(3):
        dense = keras.layers.Dense(4, "tanh")
        dense.build((None, 2))
        dense.set_weights([layer.kernel[run], layer.bias[run, 0]])
        np.testing.assert_allclose(y[run], dense(x[run]), rtol=1e-5, atol=1e-6)
    single = ParallelDense(1, 4, "tanh", seed=(6, 0))
    single(x[:1])
    np.testing.assert_array_equal(layer.kernel[1:2], single.kernel)  # run i of seed s starts as run 0 of seed s + i


def test_runs_do_not_touch_each_other():
    """Training two runs side by side and other data in the second: the first one's weights come out the same."""
    results = []
    for shift in (0.0, 5.0):
        generator, discriminator = parallel_mlp(2, 1, (), 1, 3), parallel_mlp(2, 1, (2,), 1, 9)
        moved = tf.constant([0.0, shift])[:, None, None]
        train_gan(generator, discriminator, lambda s, moved=moved: tf.random.stateless_normal((2, 8, 1), s) + moved,
                  lambda s: tf.random.stateless_normal((2, 8, 1), s), 5, learning_rate=0.01)  # fmt: skip
        results.append([weight for model in (generator, discriminator) for weight in model.get_weights()])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one[0], other[0], rtol=1e-6, atol=1e-7)
        assert not np.allclose(one[1], other[1])


def test_each_step_moves_one_player_downhill():
    generator, discriminator = parallel_mlp(1, 2, (8,), 1, 0), parallel_mlp(1, 1, (8,), 1, 1)
    real, noise = numbers(1, 32, 1, seed=3), numbers(1, 32, 2, seed=4)
    before = [model.get_weights() for model in (generator, discriminator)]
    first = discriminator_step(generator, discriminator, keras.optimizers.SGD(0.05), real, noise)
    assert float(first[0]) > float(discriminator_loss(discriminator(real), discriminator(generator(noise)))[0])
    assert all(np.array_equal(a, b) for a, b in zip(before[0], generator.get_weights(), strict=True))
    before[1] = discriminator.get_weights()
    first = generator_step(generator, discriminator, keras.optimizers.SGD(0.05), noise)
    assert float(first[0]) > float(generator_loss(discriminator(generator(noise)))[0])
    assert all(np.array_equal(a, b) for a, b in zip(before[1], discriminator.get_weights(), strict=True))


def test_turns_are_counted_and_seeds_never_repeat():
    counts = [tf.Variable(0), tf.Variable(0)]
    seen = tf.Variable(tf.zeros((40, 2), tf.int64))

    def turn(player):
        def play(seeds):
            total = tf.cast(counts[0] + counts[1], tf.int32)
            seen.scatter_nd_update([[2 * total], [2 * total + 1]], seeds)
            counts[player].assign_add(1)
            return tf.cast(counts[player], tf.float32)

        return play

    recorded = []
    history = take_turns(turn(0), turn(1), 5, 3, every=2, record=recorded.append, seed=7)
    assert recorded == [0, 2, 4, 5]
    assert history["step"].tolist() == [2, 4, 5]
    assert history["generator"].shape == (3,)
    np.testing.assert_array_equal([int(count) for count in counts], [15, 5])
    assert len(np.unique(seen.numpy(), axis=0)) == 40
    assert set(seen.numpy()[:, 0]) == {7}


def test_one_seed_one_result():
    totals = []
    for seed in (1, 1, 2):
        total = tf.Variable(tf.zeros(3))

        def turn(seeds, total=total):
            return total.assign_add(tf.random.stateless_normal((3,), seeds[0]))[0]

        take_turns(turn, turn, 4, seed=seed)
        totals.append(total.numpy())
    np.testing.assert_array_equal(totals[0], totals[1])
    assert not np.array_equal(totals[0], totals[2])


@pytest.mark.parametrize("seed", range(5))
def test_zero_sum_equilibria_equal_a_linear_program(seed):
    a = np.random.default_rng(seed).normal(size=(3, 4))
    # a's safest mixture: the largest v with pᵀA ≥ v in every column
    program = optimize.linprog(
        [0, 0, 0, -1], A_ub=np.hstack([-a.T, np.ones((4, 1))]), b_ub=np.zeros(4), A_eq=[[1, 1, 1, 0]], b_eq=[1],
        bounds=[(0, 1)] * 3 + [(None, None)],
    )  # fmt: skip
    found = equilibria(a, -a)
    assert len(found) == 1
    p, q = found[0]
    np.testing.assert_allclose(p, program.x[:3], atol=1e-7)
    assert p @ a @ q == pytest.approx(program.x[3])


def test_small_games():
    dilemma = np.array([[3, 0], [5, 1]])
    assert [[list(each) for each in pair] for pair in equilibria(dilemma, dilemma.T)] == [[[0, 1], [0, 1]]]
    chicken = np.array([[0, -1], [1, -10]])
    found = equilibria(chicken, chicken.T)
    assert len(found) == 3
    np.testing.assert_allclose(found[-1], [[0.9, 0.1], [0.9, 0.1]])


def test_bilinear():
    np.testing.assert_allclose(bilinear_path(2, 0.5), [[1, 0], [1, 0.5], [0.75, 1.0]])
    np.testing.assert_allclose(bilinear_path(1, 0.5, alternating=True, start=(0, 1)), [[0, 1], [-0.5, 0.75]])
    np.testing.assert_allclose(bilinear_path(2, 0.5, 0.5), [[1, 0], [1, 0.5], [0.75, 1.25]])
    assert bilinear_growth(0.1) == pytest.approx(np.sqrt(1.01))
    assert bilinear_growth(0.1, 0.5) > bilinear_growth(0.1)
    assert bilinear_growth(0.1, alternating=True) == pytest.approx(1.0)
    path = np.linalg.norm(bilinear_path(300, 0.2, 0.3), axis=1)
    assert path[300] / path[299] == pytest.approx(bilinear_growth(0.2, 0.3), rel=1e-6)


ONE = tf.ones((2, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: discriminator_loss(tf.ones((0, 1)), ONE), "real_logits: expected the shape"),
        (lambda: discriminator_loss(ONE, tf.ones((2, 2))), "fake_logits: expected the shape"),
        (lambda: generator_loss(1.0), "fake_logits: expected the shape"),
        (lambda: ParallelDense(0, 3), "runs: expected a whole number of at least 1"),
        (lambda: ParallelDense(2, 3)(tf.ones((3, 5, 1))), "inputs: expected"),
        (lambda: parallel_mlp(2, 0, (3,), 1), "inputs: expected a whole number"),
        (lambda: take_turns(None, None, 0), "steps: expected a whole number"),
        (lambda: take_turns(None, None, 3, 0), "discriminator_steps: expected a whole number"),
        (lambda: take_turns(None, None, 3, every=0.5), "every: expected a whole number"),
        (lambda: equilibria([[1, 2]], [[1], [2]]), "expected one shape"),
        (lambda: equilibria([[np.nan]], [[1]]), "expected finite numbers"),
        (lambda: bilinear_path(-1, 0.1), "steps: expected a whole number"),
        (lambda: bilinear_growth(0.0), "learning_rate: expected a positive number"),
        (lambda: bilinear_growth(0.1, 1.0), "momentum: expected a number between"),
        (lambda: bilinear_growth(0.1, float("nan")), "momentum: expected a number between"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

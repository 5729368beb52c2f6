"""Runs side by side equal single runs; turns are counted."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter11.gan import train_gan
from kerasnotes.chapter11.side_by_side import ParallelDense, parallel_mlp, take_turns


def numbers(*shape, seed=0, scale=1.0):
    return tf.constant(np.random.default_rng(seed).normal(scale=scale, size=shape), tf.float32)


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ParallelDense(0, 3), "runs: expected a whole number of at least 1"),
        (lambda: ParallelDense(2, 3)(tf.ones((3, 5, 1))), "inputs: expected"),
        (lambda: parallel_mlp(2, 0, (3,), 1), "inputs: expected a whole number"),
        (lambda: take_turns(None, None, 0), "steps: expected a whole number"),
        (lambda: take_turns(None, None, 3, 0), "discriminator_steps: expected a whole number"),
        (lambda: take_turns(None, None, 3, every=0.5), "every: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""The derivatives against differences, and the training's promises."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter09 import long_memory, memory_tasks
from kerasnotes.chapter09.long_memory import (
    adder_trainer,
    adding_problem,
    build_adder,
    marked_derivatives,
)


@pytest.mark.parametrize(
    ("name", "layer", "gates", "biases"),
    [
        ("simple_rnn", keras.layers.SimpleRNN, 1, 5),
        ("gru", keras.layers.GRU, 3, 2 * 15),
        ("lstm", keras.layers.LSTM, 4, 20),
    ],
)
def test_build_adder(name, layer, gates, biases):
    model = build_adder(name, 5, seed=3)
    assert isinstance(model.layers[0], layer)
    assert model.count_params() == gates * (2 * 5 + 5 * 5) + biases + 6
    assert model(tf.zeros((4, 7, 2))).shape == (4, 1)
    for a, b in zip(model.get_weights(), build_adder(name, 5, seed=3).get_weights(), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(model.get_weights()[0], build_adder(name, 5, seed=4).get_weights()[0])


def test_an_exact_adder_has_derivative_one_at_every_lag():
    """h ← h + number · marker is not a network of the lesson, but a model for which everything is known."""

    class Adder(keras.Model):
        def call(self, x):
            return tf.reduce_sum(x[..., 0] * x[..., 1], axis=1, keepdims=True)

    x, _ = adding_problem(6, 9, 0)
    lags, derivatives = marked_derivatives(Adder(), x)
    assert np.array_equal(derivatives, np.ones((6, 2)))
    for sequence, pair in zip(x, lags, strict=True):
        assert list(8 - pair) == list(np.flatnonzero(sequence[:, 1]))


@pytest.mark.parametrize("name", ["simple_rnn", "gru", "lstm"])
def test_derivatives_equal_differences(name):
    x, _ = adding_problem(3, 6, 0)
    model = build_adder(name, 4, seed=1)
    lags, derivatives = marked_derivatives(model, x)
    for row, column in np.ndindex(3, 2):
        up, down = x.copy(), x.copy()
        up[row, 5 - lags[row, column], 0] += 0.05
        down[row, 5 - lags[row, column], 0] -= 0.05
        difference = float(model(up)[row, 0] - model(down)[row, 0]) / 0.1
        assert derivatives[row, column] == pytest.approx(difference, rel=0.02, abs=1e-4)


def test_training_follows_a_plain_loop_of_keras():
    """Two updates equal `train_on_batch` on the same sequences from the same start; a second run repeats the first."""
    run = adder_trainer("gru", steps=4, units=3, batch_size=5)
    model, errors = run(seed=7, learning_rate=0.01, updates=2)
    got = [weight.copy() for weight in model.get_weights()]
    reference = build_adder("gru", 3, seed=7)
    reference.compile(keras.optimizers.Adam(0.01, global_clipnorm=1.0), "mse", run_eagerly=True)
    held_out = adding_problem(1000, 4, (7, 0))
    first = float(np.mean((reference(held_out[0]) - held_out[1]) ** 2))
    x, y = adding_problem(10, 4, (7, 1, 0))
    for start in (0, 5):
        reference.train_on_batch(x[start : start + 5], y[start : start + 5])
    for a, b in zip(got, reference.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    last = float(np.mean((reference(held_out[0]) - held_out[1]) ** 2))
    np.testing.assert_allclose(errors, [first, last], rtol=1e-4)
    run(seed=8, learning_rate=0.5, updates=1)
    assert all(np.array_equal(a, b) for a, b in zip(got, run(7, 0.01, 2)[0].get_weights(), strict=True))


def test_training_goes_in_parts_and_stops_at_the_target(monkeypatch):
    run = adder_trainer("simple_rnn", steps=2, units=2, batch_size=3)
    monkeypatch.setattr(long_memory, "UPDATES_PER_CALL", 4)
    tf.config.run_functions_eagerly(True)  # the same steps without compiling
    try:
        assert len(run(5, 0.01, 9)[1]) == 1 + 3  # parts of 4, 4 and 1 updates
        assert len(run(5, 0.01, 9, target=10.0)[1]) == 1 + 1  # below the target at the first look
        looks = []
        run(5, 0.01, 9, track=lambda parts, what: looks.append(what) or parts)
        assert looks == ["training simple_rnn"]
    finally:
        tf.config.run_functions_eagerly(False)


def test_sizes_by_default(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        long_memory, "adding_problem", lambda samples, *rest: drawn.append(samples) or adding_problem(samples, *rest)
    )
    model, errors = adder_trainer("simple_rnn", 2)(0, 0.01, 1)
    assert model.layers[0].units == 32
    assert drawn == [1000, 64]  # held-out ones, and those of one update
    assert len(errors) == 2


def test_errors():
    with pytest.raises(ValueError, match="cell_name: expected one of simple_rnn, gru, lstm, got 'rnn'"):
        build_adder("rnn", 3)
    with pytest.raises(ValueError, match="units: expected a whole number of at least 1, got 0"):
        build_adder("gru", 0)
    with pytest.raises(ValueError, match="steps: expected a whole number of at least 2, got 0"):
        adder_trainer("gru", 0)
    with pytest.raises(ValueError, match="batch_size: expected a whole number of at least 1, got 0"):
        adder_trainer("gru", 5, batch_size=0)
    run = adder_trainer("simple_rnn", 3, units=1, batch_size=1)
    with pytest.raises(ValueError, match="updates: expected a whole number of at least 1, got 0"):
        run(0, 0.01, 0)
    with pytest.raises(ValueError, match="learning_rate: expected a positive number, got nan"):
        run(0, float("nan"), 1)
    x, _ = adding_problem(2, 5, 0)
    x[1, :, 1] = 0
    with pytest.raises(ValueError, match="x: expected two markers in every sequence"):
        marked_derivatives(build_adder("gru", 2), x)


def test_names_that_moved_are_still_here():
    for name in ("adding_problem", "copy_task", "memoryless_cross_entropy"):
        assert getattr(long_memory, name) is getattr(memory_tasks, name)

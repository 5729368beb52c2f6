"""Recall: the task, the sensitivity against the tape, and one run against a plain Keras loop."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter08.memory_span import (
    build_recaller,
    recall_accuracies,
    recall_accuracy,
    recall_task,
)

TINY = {"steps": 3, "units": 4, "batch_size": 2, "lead_in": 1}


@given(st.integers(1, 20), st.integers(1, 12), st.integers(0, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_symbol_stands_lag_steps_before_the_end(samples, lag, before, seed):
    x, y = recall_task(samples, lag, np.random.default_rng(seed), length=lag + 1 + before)
    assert x.shape == (samples, lag + 1 + before, 10)
    assert x.dtype == np.float32
    assert set(y.tolist()) <= {0, 1}
    np.testing.assert_array_equal(x[:, -1 - lag, :2], np.eye(2)[y])
    np.testing.assert_array_equal(x[:, -1 - lag, 2:], 0)
    others = np.delete(x, before, axis=1)
    np.testing.assert_array_equal(others[:, :, :2], 0)
    assert (others[:, :, 2:] != 0).all()


def test_noise_has_its_standard_deviation_and_zero_is_blank():
    x, y = recall_task(2000, 5, np.random.default_rng(0), noise=2.0)
    assert abs(x[:, 1:, 2:].std() - 2.0) < 0.02  # 80,000 numbers: four standard errors
    assert abs(y.mean() - 0.5) < 0.05
    assert not recall_task(3, 5, np.random.default_rng(0), noise=0.0)[0][:, :, 2:].any()


def test_a_run_equals_keras_training():
    got = recall_accuracies("simple_rnn", (3, 2), (5, 6), learning_rates=(0.001, 0.02), **TINY)
    assert got.shape == (2, 2, 2)
    for place in ((0, 0, 0), (1, 1, 1)):
        rate, lag, seed = ((0.001, 0.02), (3, 2), (5, 6))
        rate, lag, seed = rate[place[0]], lag[place[1]], seed[place[2]]
        model = build_recaller("simple_rnn", 4, seed)
        model.compile(
            keras.optimizers.Adam(rate, global_clipnorm=1.0),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        x, y = recall_task(6, lag, np.random.default_rng((seed, 0)), length=5)
        for part in range(3):
            model.train_on_batch(x[2 * part : 2 * part + 2], y[2 * part : 2 * part + 2])
        x, y = recall_task(2000, lag, np.random.default_rng((seed, 1)), length=5)
        want = np.mean(np.argmax(model.predict_on_batch(x), axis=1) == y)
        assert abs(got[place] - want) <= 0.002  # rounding may turn a few answers near the border


def test_accuracy_of_one_run_repeats_and_stops_at_the_limit(monkeypatch):
    settings = {**TINY, "learning_rate": 0.02}
    first = recall_accuracy("simple_rnn", 2, 3, **settings)
    assert isinstance(first, float)
    assert first == recall_accuracy("simple_rnn", 2, 3, **settings)
    untrained = build_recaller("simple_rnn", 4, 3)
    x, y = recall_task(2000, 2, np.random.default_rng((3, 1)), length=4)
    want = np.mean(np.argmax(untrained(x), axis=1) == y)
    clock = iter(range(0, 10000, 100))
    monkeypatch.setattr("kerasnotes.chapter08.memory_span.time.monotonic", lambda: next(clock))
    assert abs(recall_accuracy("simple_rnn", 2, 3, 50.0, **settings) - want) <= 0.002


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 0}, "samples: expected a whole number of at least 1, got 0"),
        ({"lag": 0}, "lag: expected a whole number of at least 1, got 0"),
        ({"length": 3}, "length, more than the lag: expected a whole number of at least 4, got 3"),
        ({"lag": True}, "lag: expected a whole number of at least 1, got True"),
        ({"noise": -1.0}, "noise: expected a number of at least 0"),
        ({"noise": float("nan")}, "noise: expected a number of at least 0"),
    ],
)
def test_recall_task_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        recall_task(**{"samples": 2, "lag": 3, "rng": np.random.default_rng(0), **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell_name": "tanh"}, "cell_name: expected one of simple_rnn, gru, lstm, got 'tanh'"),
        ({"lag": 0}, "lags: expected at least one, all positive"),
        ({"seconds": 0}, "seconds: expected a positive number, got 0"),
        ({"steps": 0}, "steps: expected a whole number of at least 1, got 0"),
        ({"units": 0}, "units: expected a whole number"),
        ({"batch_size": 0}, "batch_size: expected a whole number"),
        ({"learning_rate": 0.0}, "learning_rates: expected at least one, all positive"),
        ({"lead_in": -1}, "lead_in: expected a whole number of at least 0, got -1"),
        ({"noise": -1.0}, "noise: expected a number of at least 0"),
    ],
)
def test_recall_accuracy_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        recall_accuracy(**{"cell_name": "simple_rnn", "lag": 2, "seed": 0, **arguments})


def test_build_recaller_refuses():
    with pytest.raises(ValueError, match="cell_name: expected one of"):
        build_recaller("tanh", 4)
    with pytest.raises(ValueError, match="units: expected a whole number"):
        build_recaller("gru", 0)

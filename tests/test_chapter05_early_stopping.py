"""Early stopping against Keras's callback, and histories that a person can follow."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter05.early_stopping import best_epoch, stopping_epoch

VALUES = st.one_of(st.integers(-5, 5).map(lambda n: n / 10), st.floats(-2, 2), st.sampled_from([np.nan, np.inf]))


class Stub:
    metrics, stop_training, epoch = (), False, -1

    def get_weights(self):
        return self.epoch

    def set_weights(self, weights):
        self.epoch = weights


def keras_stop(history, **arguments):
    callback, model = keras.callbacks.EarlyStopping(restore_best_weights=True, **arguments), Stub()
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(history):
        model.epoch = epoch
        callback.on_epoch_end(epoch, {"val_loss": value})
        if model.stop_training:
            break
    callback.on_train_end()
    return epoch if model.stop_training else None, model.epoch


@settings(max_examples=200, deadline=None)
@given(
    history=st.lists(VALUES, min_size=1, max_size=15),
    min_delta=st.sampled_from([0.0, 0.1, 0.3]),
    patience=st.integers(0, 5),
    mode=st.sampled_from(["auto", "min", "max"]),
    baseline=st.none() | st.integers(-5, 5).map(lambda n: n / 10),
    start_from_epoch=st.sampled_from([0, 0, 1, 4, 20]),
)
def test_equal_to_keras(history, **arguments):
    stop = stopping_epoch(history, **arguments)
    expected, kept = keras_stop(history, **arguments)
    assert stop == expected
    ran = history if stop is None else history[: stop + 1]
    if arguments["start_from_epoch"] < len(ran):
        watched = {name: arguments[name] for name in ("mode", "min_delta", "start_from_epoch")}
        assert best_epoch(ran, **watched) == kept
    else:
        assert stop is None


@settings(max_examples=40)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=15))
def test_without_min_delta_the_best_epoch_is_the_first_best(history):
    assert best_epoch(history) == int(np.argmin(history))
    assert best_epoch(history, "max") == int(np.argmax(history))
    assert stopping_epoch(history, patience=0) == stopping_epoch(history, patience=1)


def test_hand_made_histories():
    history = [0.9, 0.7, 0.8, 0.6, 0.65, 0.7, 0.5]
    assert [stopping_epoch(history, patience=p) for p in (1, 2, 3)] == [2, 5, None]
    assert stopping_epoch(history, patience=2, start_from_epoch=5) is None
    assert best_epoch(history[:6]) == 3
    assert best_epoch(history, min_delta=0.15) == 6
    assert best_epoch(history[:6], min_delta=0.15) == 1, "0.6 is better than 0.7, but not by more than 0.15"
    assert best_epoch(history[:6], min_delta=0.25) == 3
    assert stopping_epoch([0.5, 0.6, 0.6], patience=1, mode="max") == 2
    assert stopping_epoch([0.5, 0.6, 0.6], patience=1, monitor="val_accuracy") == 2
    assert stopping_epoch([1.0, 1.0 - 1e-9]) == 1, "Keras compares in float32, where the two are equal"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"history": []}, "history: expected one value"),
        ({"history": [[1.0]]}, "history: expected one value"),
        ({"min_delta": -0.1}, "min_delta: expected a number of at least 0"),
        ({"min_delta": float("nan")}, "min_delta: expected a number of at least 0"),
        ({"patience": -1}, "patience: expected a whole number of at least 0"),
        ({"patience": 1.5}, "patience: expected a whole number of at least 0"),
        ({"start_from_epoch": -1}, "start_from_epoch: expected a whole number of at least 0"),
        ({"baseline": float("nan")}, "baseline: expected a finite number or None"),
        ({"mode": "minimum"}, "mode: expected one of auto, min, max"),
        ({"monitor": "val_surprise"}, "monitor: expected one of loss, .*; pass mode='min' or mode='max'"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        stopping_epoch(**{"history": [1.0, 2.0], **arguments})


def test_no_epoch_watched():
    with pytest.raises(ValueError, match="start_from_epoch: expected less than the 2 epochs"):
        best_epoch([1.0, 2.0], start_from_epoch=2)

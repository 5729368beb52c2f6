"""Schedules against Keras's, at random settings and by hand."""

import itertools
import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter05.learning_rate_decay import cosine_decay, linear_decay, step_decay, warmup

library = keras.optimizers.schedules
rates, counts = st.floats(1e-4, 10.0), st.integers(1, 40)


def same(ours, theirs, until):
    epochs = sorted({0, 1, until // 2, until - 1, until, until + 3})
    got = [ours(epoch) for epoch in epochs]
    np.testing.assert_allclose(got, [float(theirs(epoch)) for epoch in epochs], rtol=1e-4, atol=1e-6)


@settings(max_examples=25)
@given(rates, counts, st.floats(0.0, 1.0), st.floats(0.05, 0.95))
def test_equal_to_keras(initial, epochs, share, factor):
    same(linear_decay(initial, epochs), library.PolynomialDecay(initial, epochs, 0.0, power=1.0), epochs)
    same(step_decay(initial, factor, epochs), library.ExponentialDecay(initial, epochs, factor, staircase=True), epochs)
    same(cosine_decay(initial, epochs, share * initial), library.CosineDecay(initial, epochs, alpha=share), epochs)


@settings(max_examples=40)
@given(rates, counts)
def test_properties(initial, epochs):
    linear, cosine = linear_decay(initial, epochs), cosine_decay(initial, epochs)
    assert linear(0) == cosine(0) == initial
    assert linear(epochs - 1) == pytest.approx(initial / epochs)
    for schedule in (linear, cosine, step_decay(initial, 0.5, epochs)):
        values = [schedule(epoch) for epoch in range(2 * epochs)]
        assert all(a >= b >= 0 for a, b in itertools.pairwise(values))
    assert linear(epochs) == linear(epochs + 5) == 0
    rise = warmup(initial, epochs, linear)
    np.testing.assert_allclose(np.diff([0, *map(rise, range(epochs))]), initial / epochs, rtol=1e-6)
    assert rise(epochs - 1) == pytest.approx(initial)
    assert [rise(epochs + epoch) for epoch in range(epochs)] == [linear(epoch) for epoch in range(epochs)]


def test_by_hand():
    assert [linear_decay(0.8, 4)(epoch) for epoch in range(5)] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0])
    assert [step_decay(0.8, 0.5, 2)(epoch) for epoch in range(6)] == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2, 0.2])
    assert [cosine_decay(1.0, 4, 0.2)(epoch) for epoch in (0, 2, 4, 9)] == pytest.approx([1.0, 0.6, 0.2, 0.2])
    assert cosine_decay(0.3, 3, 0.3)(1) == pytest.approx(0.3), "no fall at all"
    assert cosine_decay(1.0, 3)(1) == pytest.approx(0.75)  # cos 60° is ½
    assert [warmup(0.9, 3, lambda epoch: epoch)(epoch) for epoch in range(5)] == pytest.approx([0.3, 0.6, 0.9, 0, 1])


def test_in_keras_callback():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    scheduler = keras.callbacks.LearningRateScheduler(linear_decay(0.4, 4))
    scheduler.set_model(model)
    for epoch, rate in enumerate([0.4, 0.3, 0.2, 0.1]):
        scheduler.on_epoch_begin(epoch)
        assert float(model.optimizer.learning_rate) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: linear_decay(0.0, 3), "initial: expected a positive number, got 0.0"),
        (lambda: linear_decay(math.nan, 3), "initial: expected a positive number"),
        (lambda: linear_decay(math.inf, 3), "initial: expected a positive number"),
        (lambda: linear_decay(0.1, 0), "epochs: expected a whole number of at least 1, got 0"),
        (lambda: linear_decay(0.1, 2.5), "epochs: expected a whole number"),
        (lambda: step_decay(-1.0, 0.5, 3), "initial: expected"),
        (lambda: step_decay(0.1, 1.0, 3), "factor: expected a number above 0 and below 1, got 1.0"),
        (lambda: step_decay(0.1, 0.0, 3), "factor: expected"),
        (lambda: step_decay(0.1, 0.5, 0), "every: expected a whole number of at least 1, got 0"),
        (lambda: cosine_decay(0.1, 3, 0.2), "final: expected a number from 0 to initial, got 0.2"),
        (lambda: cosine_decay(0.1, 3, -0.1), "final: expected"),
        (lambda: cosine_decay(0.1, 0), "epochs: expected"),
        (lambda: warmup(0.0, 3, linear_decay(0.1, 3)), "peak: expected a positive number, got 0.0"),
        (lambda: warmup(0.1, 0, linear_decay(0.1, 3)), "epochs: expected"),
        (lambda: warmup(0.1, 3, 0.1), "then: expected a schedule"),
        (lambda: linear_decay(0.1, 3)(-1), "epoch: expected a number of at least 0, got -1"),
        (lambda: step_decay(0.1, 0.5, 3)(-1), "epoch: expected"),
        (lambda: cosine_decay(0.1, 3)(-1), "epoch: expected"),
        (lambda: warmup(0.1, 3, linear_decay(0.1, 3))(-1), "epoch: expected"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()

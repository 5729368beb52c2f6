"""SWATS: Adam before the switch, SGD after it, and Algorithm 1 in between."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter03.swats import Swats


def run(optimizer, start, gradients):
    variables = [keras.Variable(part, dtype="float64") for part in np.split(start, [2])]
    for gradient in gradients:
        optimizer.apply([tf.constant(part) for part in np.split(gradient, [2])], variables)
    return np.concatenate([variable.numpy() for variable in variables])


def draws(seed, steps):
    rng = np.random.default_rng(seed)
    return rng.normal(size=5), rng.normal(size=(steps, 5)) + 0.5


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_before_the_switch_it_is_adam(seed):
    start, gradients = draws(seed, 20)
    swats = Swats(0.01, tolerance=0.0)
    np.testing.assert_allclose(
        run(swats, start, gradients), run(keras.optimizers.Adam(0.01, epsilon=1e-9), start, gradients), atol=1e-5
    )
    assert swats.switched_at is None
    assert swats.sgd_learning_rate is None


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_wide_tolerance_switches_at_step_two_to_sgd(seed):
    """Constant slopes: Adam's step is −α·sign(g), so γ = α·n/Σ|g| in every step, over both variables together."""
    start, gradients = draws(seed, 1)
    gradients = np.repeat(gradients + np.sign(gradients), 12, axis=0)
    swats = Swats(0.01, epsilon=0.0, tolerance=1e-6)
    end = run(swats, start, gradients)
    assert swats.switched_at == 2
    rate = 0.01 * 5 / np.abs(gradients[0]).sum()
    np.testing.assert_allclose(swats.sgd_learning_rate, rate, rtol=1e-5)
    after_two = start - 0.02 * np.sign(gradients[0])
    sgd = keras.optimizers.SGD(0.1 * rate, momentum=0.9)
    np.testing.assert_allclose(end, run(sgd, after_two, gradients[2:]), atol=1e-5)


def test_never_at_the_first_step_and_only_once():
    start, gradients = draws(0, 30)
    swats = Swats(0.01, tolerance=1e9)
    run(swats, start, gradients[:1])
    assert swats.switched_at is None
    swats = Swats(0.01, tolerance=1e9)
    run(swats, start, gradients)
    assert swats.switched_at == 2


def test_a_negative_mean_does_not_switch():
    """The second slope is small and turned: Adam still goes on, uphill, and the estimate is far below zero."""
    swats = Swats(0.01, tolerance=1e9)
    run(swats, np.zeros(5), np.array([[1.0] * 5, [-0.01] * 5]))
    assert float(swats.newest) < 0
    assert float(swats.mean_rate) < 0
    assert swats.switched_at is None


def test_the_paper_s_settings():
    want = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-9, "tolerance": 1e-9}
    found = Swats().get_config()
    assert {name: pytest.approx(found[name]) for name in want} == want


def test_zero_slopes_change_nothing():
    swats = Swats(tolerance=1e9)
    np.testing.assert_array_equal(run(swats, np.ones(5), np.zeros((3, 5))), np.ones(5))
    assert swats.switched_at is None


def test_it_is_saved_and_compiles():
    restored = Swats.from_config(Swats(0.01, 0.8, 0.99, 1e-8, 1e-3, clipnorm=1.0).get_config())
    assert restored.own == {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-8, "tolerance": 1e-3}
    assert restored.clipnorm == 1.0
    assert Swats().switched_at is None
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(Swats(0.05, tolerance=1.0), "mean_squared_error")
    x = np.random.default_rng(0).normal(size=(64, 2))
    losses = model.fit(x, x.sum(axis=1), epochs=10, verbose=0).history["loss"]
    assert model.optimizer.switched_at == 2
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta_1": 1.0}, "beta_1: expected"),
        ({"beta_2": -0.1}, "beta_2: expected"),
        ({"epsilon": -1.0}, "epsilon: expected"),
        ({"tolerance": float("nan")}, "tolerance: expected"),
        ({"learning_rate": 0.0}, "learning_rate: expected a positive number"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Swats(**arguments)

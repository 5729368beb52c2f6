"""The network that adds a change to the last value, its first step ahead, and what moved to an earlier lesson."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter09 import autoregression, forecasting
from kerasnotes.chapter09.forecasting import build_forecaster, forecast_ahead


def test_ahead_equals_one_step_at_first():
    model = build_forecaster(5, units=3, seed=1)
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    made = forecast_ahead(lambda w: np.asarray(model(w))[:, 0], x, 2)
    assert np.array_equal(made[:, 0], np.asarray(model(x))[:, 0])
    shifted = np.concatenate([x[:, 1:], made[:, :1]], axis=1)
    assert np.array_equal(made[:, 1], np.asarray(model(shifted))[:, 0])


def test_the_network_adds_a_change_to_the_last_value():
    model = build_forecaster(6, units=4, seed=2)
    x = tf.random.stateless_normal((3, 6), (0, 0))
    gru = next(layer for layer in model.layers if isinstance(layer, keras.layers.GRU))
    dense = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
    np.testing.assert_allclose(model(x), x[:, -1:] + dense(gru(x[..., None])), rtol=1e-6, atol=1e-6)
    dense.set_weights([np.zeros((4, 1)), np.array([0.25])])
    np.testing.assert_allclose(model(x), x[:, -1:] + 0.25, rtol=1e-6)
    assert model.count_params() == 3 * (4 + 16 + 2 * 4) + 5
    for seed, same in ((2, True), (3, False)):
        other = build_forecaster(6, units=4, seed=seed).get_weights()
        assert np.array_equal(gru.get_weights()[1], other[1]) == same


def test_thirty_two_units_by_default():
    assert build_forecaster(7).count_params() == 3 * (32 + 32**2 + 2 * 32) + 33
    assert build_forecaster(7).input_shape == (None, 7)


def test_names_that_moved_are_still_here():
    for name in ("windows", "autoregression", "autoregressive_forecast", "forecast_ahead", "root_mean_square"):
        assert getattr(forecasting, name) is getattr(autoregression, name)


def test_errors():
    with pytest.raises(ValueError, match="size: expected a whole number of at least 1, got 0"):
        build_forecaster(0)
    with pytest.raises(ValueError, match=r"units: expected a whole number of at least 1, got 2\.5"):
        build_forecaster(3, units=2.5)

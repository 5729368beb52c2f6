"""Rows that become equal: the distance, the stack, and what is refused."""

import keras
import numpy as np
import pytest

from kerasnotes.chapter13.rank_collapse import distance_from_equal_rows, fresh_attention, stack


def test_the_distance_by_hand():
    assert distance_from_equal_rows([[3.0, 4.0], [3.0, 4.0]]) == 0
    assert distance_from_equal_rows([[3.0], [-3.0]]) == 1
    # Rows 1 and 3: mean 2, distances 1 and 1, norm √10.
    assert distance_from_equal_rows([[1.0], [3.0]]) == pytest.approx(np.sqrt(2 / 10))
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert distance_from_equal_rows(x) == pytest.approx(distance_from_equal_rows(-7 * x))


def test_fresh_parameters_and_layers_are_keras():
    parameters = fresh_attention(12, 3, 5)
    layer = keras.layers.MultiHeadAttention(3, 4, use_bias=False)
    layer.build((None, None, 12), (None, None, 12))
    for got, theirs in zip(parameters.values(), layer.weights, strict=True):
        assert got.shape == theirs.shape
        limit = np.abs(theirs.numpy()).max()
        assert 0.9 * limit < np.abs(got.numpy()).max() < 1.1 * limit
    layer.set_weights(list(parameters.values()))
    x = np.random.default_rng(1).normal(size=(6, 12))
    for residual in (True, False):
        states = stack(x, [parameters, parameters], residual)
        want = x[None].astype("float32")
        for state in states[1:]:
            want = residual * want + layer(want, want).numpy()
            np.testing.assert_allclose(state, want[0], atol=1e-5)
    np.testing.assert_array_equal(states[0], x)


def test_equal_weights_give_equal_rows_in_one_layer():
    parameters = fresh_attention(8, 2, 0)
    parameters["key_kernel"] = 0 * parameters["key_kernel"]
    x = np.random.default_rng(2).normal(size=(4, 8))
    assert distance_from_equal_rows(stack(x, [parameters], residual=False)[1]) < 1e-12
    assert distance_from_equal_rows(stack(x, [parameters])[1]) > 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: distance_from_equal_rows([1.0, 2.0]), "x: expected the shape"),
        (lambda: distance_from_equal_rows([[np.nan]]), "infs or NaNs"),
        (lambda: fresh_attention(0, 1, 0), "units: expected a whole"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

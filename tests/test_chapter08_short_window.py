"""The task, the states against Keras's layer, training that is Keras's Adam, and every error message."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter08.short_window import repeat_task, share_right, start_parameters, states_of, train_truncated


def test_the_task_by_hand():
    x, y = repeat_task(3, 7, 2, np.random.default_rng(0))
    assert x.shape == (3, 7, 5)
    assert y.shape == (3, 7, 1)
    assert set(np.unique(x[..., 0])) == {-1, 1}
    np.testing.assert_array_equal(y[:, 2:], x[:, :5, :1])
    assert repeat_task(3, 7, 2, np.random.default_rng(0), noise=0)[0].shape == (3, 7, 1)
    assert not y[:, :2].any()


def test_states_are_keras_layers():
    rng = np.random.default_rng(1)
    p = start_parameters(5, 6, rng)
    np.testing.assert_allclose(p["w_hh"] @ p["w_hh"].T, np.eye(6), atol=1e-12)
    x, _ = repeat_task(4, 6, 1, rng)
    layer = keras.layers.SimpleRNN(6, return_sequences=True, dtype="float64")
    layer.build(x.shape)
    layer.set_weights([p["w_xh"], p["w_hh"], p["b"]])
    np.testing.assert_allclose(states_of(x, p), layer(x), atol=1e-10)


def test_training_with_a_whole_window_is_kerass_adam():
    p = start_parameters(3, 4, np.random.default_rng(2))
    got = train_truncated(p, 2, 6, 4, np.random.default_rng(3), steps=6, batch_size=5, learning_rate=0.02)
    variables = {name: tf.Variable(value) for name, value in p.items()}
    optimizer, rng = keras.optimizers.Adam(0.02, epsilon=1e-7), np.random.default_rng(3)
    for _ in range(4):
        x, y = repeat_task(5, 6, 2, rng, 2)
        with tf.GradientTape() as tape:
            h, loss = tf.zeros((5, 4), tf.float64), 0.0
            for t in range(6):
                h = tf.tanh(x[:, t] @ variables["w_xh"] + h @ variables["w_hh"] + variables["b"])
                loss += tf.reduce_sum((h @ variables["w_ho"] + variables["b_o"] - y[:, t]) ** 2) / (2 * 5 * 6)
        optimizer.apply_gradients(zip(tape.gradient(loss, [*variables.values()]), variables.values(), strict=True))
    for name, variable in variables.items():
        np.testing.assert_allclose(got[name], variable, rtol=1e-4, atol=1e-6, err_msg=name)
    assert (p["b"] == 0).all(), "the start is not changed"


def test_share_right():
    y = np.array([0.0, 1, -1, 1]).reshape(1, 4, 1)
    assert share_right(np.array([5.0, 1, 1, 2]).reshape(1, 4, 1), y, 1) == pytest.approx(2 / 3)
    assert share_right(y, y, 1) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: repeat_task(2, 3, 3, rng), "steps, more than the lag: expected a whole number of at least 4"),
        (lambda rng: repeat_task(2, 3, 0, rng), "lag: expected a whole number"),
        (lambda rng: repeat_task(0, 3, 1, rng), "samples: expected a whole number"),
        (lambda rng: repeat_task(1, 3, 1, rng, -1), "noise: expected a whole number of at least 0"),
        (lambda rng: start_parameters(1, 0, rng), "units: expected a whole number"),
        (lambda rng: start_parameters(0, 1, rng), "inputs: expected a whole number"),
        (lambda rng: states_of(np.zeros((1, 2, 3)), start_parameters(1, 2, rng)), "x: expected the shape"),
        (lambda rng: train_truncated(start_parameters(1, 2, rng), 1, 2, 0, rng), "updates: expected a whole number"),
        (lambda rng: train_truncated(start_parameters(1, 2, rng), 1, 0, 1, rng), "window: expected a whole number"),
        (
            lambda rng: train_truncated(start_parameters(1, 2, rng), 1, 1, 1, rng, learning_rate=0),
            "learning_rate: expected a positive number",
        ),
        (lambda rng: share_right(np.zeros((1, 3, 1)), np.zeros((1, 4, 1)), 1), "outputs: expected the shape"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0))

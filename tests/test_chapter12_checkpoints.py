"""The forward pass in NumPy, encoders, and the weights of the best evaluation."""

import gymnasium
import keras
import numpy as np
import pytest

from kerasnotes.chapter12.checkpoints import Checkpoint, greedy_policy_of, numpy_forward, state_encoder
from kerasnotes.chapter12.targets import build_q_network


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_forward_pass_in_numpy_is_keras(activation):
    layers = [keras.Input((3,)), keras.layers.Dense(5, activation, bias_initializer="ones"), keras.layers.Dense(2)]
    network, x = keras.Sequential(layers), np.random.default_rng(1).normal(size=(7, 3)).astype("float32")
    np.testing.assert_allclose(numpy_forward(network)(x), network(x), rtol=1e-5, atol=1e-6)


def test_encoders():
    size, encode = state_encoder(gymnasium.spaces.Discrete(3, start=1))
    assert size == 3
    np.testing.assert_array_equal(encode(np.array([3, 1])), [[0, 0, 1], [1, 0, 0]])
    size, encode = state_encoder(gymnasium.spaces.Box(-1, 1, (2,)))
    assert (size, encode(np.zeros((5, 2))).dtype) == (2, np.float32)


def test_the_checkpoint_keeps_the_best_weights():
    network = build_q_network(4, 2, ())
    checkpoint = Checkpoint("CartPole-v1", network, 8, 60.0, 0)
    balance, left = np.array([[0, 0], [0, 0], [0, 1], [0, 1]]), np.zeros((4, 2))
    reached = []
    for kernel, bias in ((left, [1, 0]), (balance, [0, 0]), (left, [1, 0])):
        network.set_weights([kernel, np.array(bias)])
        reached.append(checkpoint.evaluate(0))
    run = checkpoint.finish([], [], 7)
    assert reached == [False, True, False]
    np.testing.assert_array_equal(run.network.get_weights()[0], balance)
    np.testing.assert_array_equal(run.policy(np.array([[0, 0, 0.1, 0.0], [0, 0, -0.1, 0.0]])), [1, 0])


def test_the_greedy_policy_keeps_the_weights_of_its_moment():
    network = build_q_network(4, 2, ())
    network.set_weights([np.zeros((4, 2)), np.array([1.0, 0.0])])
    policy = greedy_policy_of(network, gymnasium.spaces.Box(-1, 1, (4,)))
    network.set_weights([np.zeros((4, 2)), np.array([0.0, 1.0])])
    assert policy(np.zeros((1, 4)))[0] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: numpy_forward(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "elu")])), "network: "),
        (lambda: numpy_forward(keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.1)])), "network: "),
        (lambda: state_encoder(gymnasium.spaces.Box(0, 1, (2, 2))), "space: expected a Box with one axis"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

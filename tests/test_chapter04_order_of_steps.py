"""Hidden errors in the notes' order of steps, by hand."""

import numpy as np
import pytest

from kerasnotes.chapter04.backpropagation import SigmoidNetwork
from kerasnotes.chapter04.order_of_steps import late_hidden_delta


def test_one_unit_by_hand():
    network = SigmoidNetwork((1, 1, 1), 0, "float64")
    network.weights, network.biases = [np.array([[0.0]]), np.array([[2.0]])], [np.array([0.0]), np.array([-1.0])]
    # h = 1/2, o = 1/2, δ = (1/2 − 1)/4 = −1/8: the output weight moves from 2 to 2 + 8/16
    late = late_hidden_delta(network, [[2.0]], [[1.0]], 8.0)
    np.testing.assert_allclose(late, [[-1 / 8 * 2.5 / 4]], rtol=1e-12)
    np.testing.assert_allclose(network.deltas(network.activations([[2.0]]), [[1.0]])[0], [[-1 / 8 * 2 / 4]], rtol=1e-12)
    assert network.weights[1] == 2.0


def test_a_tiny_step_changes_nothing_and_deeper_networks_have_it_too():
    rng = np.random.default_rng(0)
    network, x, y = SigmoidNetwork((4, 5, 3, 2), 1, "float64"), rng.random((6, 4)), rng.random((6, 2))
    right = network.deltas(network.activations(x), y)[-2]
    np.testing.assert_allclose(late_hidden_delta(network, x, y, 1e-12), right, rtol=1e-9)
    assert np.abs(late_hidden_delta(network, x, y, 1.0) - right).max() > 1e-6


def test_errors():
    network = SigmoidNetwork((2, 2, 1))
    with pytest.raises(ValueError, match="learning_rate: expected a positive number"):
        late_hidden_delta(network, np.zeros((1, 2)), np.zeros((1, 1)), 0.0)
    with pytest.raises(ValueError, match="y: expected the shape"):
        late_hidden_delta(network, np.zeros((1, 2)), np.zeros((2, 1)), 1.0)

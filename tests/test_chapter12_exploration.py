"""Q-learning that never explores: what it misses, and what it finds where nothing is hidden."""

import gymnasium
import numpy as np
import pytest

from kerasnotes.chapter12.exploration import never_exploring
from kerasnotes.chapter12.q_learning import q_learning


def test_it_never_leaves_what_it_knows():
    env = gymnasium.make("FrozenLake-v1")
    for seed in range(3):
        table = never_exploring(env, 100, 0.1, 0.99, seed)
        assert np.all(table.values == 0)
        assert np.all(table.returns == 0)
        assert np.all(table.visits[:, 1:] == 0)  # only the first action was ever tried


def test_costs_make_it_look_around():
    """On the cliff every step costs, so what was tried looks worse than what was not: it explores without chance."""
    env = gymnasium.make("CliffWalking-v1")
    table = never_exploring(env, 200, 0.5, 1.0, 0)
    assert table.returns[-1] == -13
    assert table.visits.sum() >= -table.returns.max() * 200
    assert q_learning(env, 200, 0.5, 1.0, 0.0, 0).returns[-1] == -13


def test_errors():
    with pytest.raises(ValueError, match="episodes: expected a whole number"):
        never_exploring(gymnasium.make("FrozenLake-v1"), 0, 0.1, 0.9, 0)
    with pytest.raises(ValueError, match="observation_space Discrete"):
        never_exploring(gymnasium.make("CartPole-v1"), 1, 0.1, 0.9, 0)
    with pytest.raises(ValueError, match="learning_rate: expected a number"):
        never_exploring(gymnasium.make("FrozenLake-v1"), 1, 0.0, 0.9, 0)

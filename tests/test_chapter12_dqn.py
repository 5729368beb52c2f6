"""Training of deep Q-networks: repeatable, counted right, and true to a table."""

import numpy as np
import pytest

from kerasnotes.chapter12 import dqn
from kerasnotes.chapter12.dqn import numpy_forward, train_dqn

SMALL = {"max_steps": 400, "copies": 4, "warmup_steps": 100, "steps_a_round": 50, "updates_a_round": 5, "hidden": (8,),
         "evaluation_episodes": 2, "evaluate_every": 3, "seed": 1}  # fmt: skip


def test_training_is_repeatable_and_counts_right():
    runs = [train_dqn("CartPole-v1", **SMALL) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].returns, runs[1].returns)
    assert runs[0].evaluations == runs[1].evaluations
    run = runs[0]
    assert 400 <= run.steps < 404
    assert run.steps - 4 * 500 < run.returns.sum() <= run.steps  # a reward of 1 for each step of a finished episode
    assert np.all(np.diff(run.ends) >= 0)
    assert run.ends[-1] <= run.steps
    assert [round(steps / 50) for steps, _ in run.evaluations] == [3, 6, 8]
    assert not run.reached


def test_on_numbered_states_the_network_learns_the_table():
    """Four cells in a row, a reward of 1 for the last: three, two, one steps away it is worth 0.81, 0.9 and 1."""
    row = {"desc": ["SFFG"], "is_slippery": False, "max_episode_steps": 10}
    run = train_dqn("FrozenLake-v1", environment=row, max_steps=4000, discount=0.9, final_epsilon=0.5, hidden=(32,),
                    warmup_steps=500, evaluation_episodes=1, evaluate_every=16, seed=0)  # fmt: skip
    values = numpy_forward(run.network)(np.eye(4, dtype="float32")[:3])
    np.testing.assert_array_equal(values.argmax(axis=1), [2, 2, 2])
    np.testing.assert_allclose(values.max(axis=1), [0.81, 0.9, 1.0], atol=0.05)
    np.testing.assert_allclose(values[1, [0, 1, 3]], [0.729, 0.81, 0.81], atol=0.08)  # back, or against the wall
    assert run.evaluations[-1][1] == 1.0


@pytest.mark.parametrize(
    "name",
    [
        "ReplayBuffer",
        "td_target",
        "huber_loss",
        "build_q_network",
        "numpy_forward",
        "state_encoder",
        "make_environments",
        "vector_steps",
        "Episodes",
        "play_episodes",
        "TrainingRun",
        "greedy_policy_of",
        "Checkpoint",
        "compile_updates",
        "train_dqn",
    ],
)
def test_its_parts_can_be_imported_from_here(name):
    assert callable(getattr(dqn, name))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: train_dqn("CartPole-v1", max_steps=0), "max_steps: expected a whole number"),
        (lambda: train_dqn("CartPole-v1", discount=2.0), "discount: expected a number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""REINFORCE: training is repeatable, learns, takes the baseline off, and stops at its target."""

import numpy as np
import pytest

from kerasnotes.chapter12 import policy_gradient
from kerasnotes.chapter12.policy_gradient import _compile_learning, build_policy_network, train_reinforce


@pytest.mark.parametrize(("baseline", "reward_to_go"), [(True, True), (False, True), (False, False)])
def test_training_is_repeatable_and_learns(baseline, reward_to_go):
    settings = {"max_steps": 6000, "baseline": baseline, "reward_to_go": reward_to_go, "evaluation_episodes": 3,
                "evaluate_every": 4, "hidden": (16,), "learning_rate": 0.03, "seed": 1}  # fmt: skip
    run = train_reinforce("CartPole-v1", **settings)
    again = train_reinforce("CartPole-v1", **{**settings, "max_steps": 1000})
    np.testing.assert_array_equal(run.returns[: len(again.returns)], again.returns)
    assert run.steps == run.returns.sum() == run.ends[-1]
    batches = run.returns.reshape(-1, 16).mean(axis=1)
    assert batches[-3:].mean() > 1.5 * batches[:2].mean()
    assert [steps for steps, _ in run.evaluations] == [
        int(end) for number, end in enumerate(run.ends[15::16], 1) if number % 4 == 0 or end >= 6000
    ]


@pytest.mark.parametrize(("baseline", "direction"), [(True, -1), (False, 1)])
def test_the_baseline_is_taken_off(baseline, direction):
    """A return of 1 where 2 is expected makes the action less likely; without a baseline, more likely."""
    policy, value = build_policy_network(2, 2, (), 0), build_policy_network(2, 1, (), 0)
    value.set_weights([np.zeros((2, 1)), np.array([0.5])])  # in units of the horizon, 4
    learn = _compile_learning(policy, value, 2, 0.01, 4.0, baseline)
    state, one = np.float32([[1.0, 0.0]]), np.float32([1.0])
    before = policy(state).numpy()[0]
    learn(state, np.array([1]), one, one)
    change = policy(state).numpy()[0] - before
    assert np.sign(change[1] - change[0]) == direction
    assert (value.get_weights()[1][0] < 0.5) == baseline  # it learns that it had expected too much


def test_training_stops_at_the_target():
    run = train_reinforce("CartPole-v1", max_steps=5000, target=5.0, evaluation_episodes=3, evaluate_every=1, seed=0)
    assert run.reached
    assert len(run.returns) == 16


def test_training_on_states_that_are_numbers():
    """Four cells in a row, a reward of 1 for the last."""
    row = {"desc": ["SFFG"], "is_slippery": False, "max_episode_steps": 10}
    run = train_reinforce("FrozenLake-v1", environment=row, target=1.0, max_steps=20_000, evaluation_episodes=1, seed=0)
    assert run.reached
    np.testing.assert_array_equal(run.policy(np.array([0, 1, 2])), [2, 2, 2])


@pytest.mark.parametrize(
    "name",
    [
        "reinforce_loss",
        "log_probabilities_of",
        "sample_actions",
        "build_policy_network",
        "step_weights",
        "train_reinforce",
        "two_step_trajectories",
    ],
)
def test_its_parts_can_be_imported_from_here(name):
    assert callable(getattr(policy_gradient, name))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: train_reinforce("CartPole-v1", copies=0), "copies: expected a whole number"),
        (lambda: train_reinforce("CartPole-v1", discount=-0.1), "discount: expected a number"),
        (lambda: train_reinforce("Pendulum-v1"), "env_id: expected actions"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

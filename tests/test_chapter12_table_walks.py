"""Walks through a table, alone on lists and together in arrays, against gymnasium."""

import gymnasium
import numpy as np
import pytest

from kerasnotes.chapter12.table_walks import DRAWN_AT_ONCE, TableEnvironment, TableWalks, numbers_of


def known(name, limit):
    env = gymnasium.make(name, max_episode_steps=limit)
    return env, TableEnvironment(env.unwrapped.P, env.unwrapped.initial_state_distrib, limit)


def test_numbers_come_in_the_order_of_the_generator():
    numbers, rng = numbers_of((3, 1)), np.random.default_rng((3, 1))
    got = [next(numbers) for _ in range(2 * DRAWN_AT_ONCE + 5)]
    assert got == [rng.random() for _ in got]


@pytest.mark.parametrize(
    "name", ["CliffWalking-v1", "FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalkingSlippery-v1", "Taxi-v4"]
)
def test_the_table_is_the_environment(name):
    """Two seeded starts and the unseeded ones between them, with every value of every step."""
    env, table = known(name, 25)
    assert (table.observation_space, table.action_space) == (env.observation_space, env.action_space)
    actions = np.random.default_rng(0).integers(env.action_space.n, size=200).tolist()
    for seed in (4, 9):
        assert table.reset(seed=seed)[0] == env.reset(seed=seed)[0]
        for action in actions:
            got, want = table.step(action), env.step(action)
            assert got[:4] == want[:4]
            assert [type(each) for each in got] == [int, float, bool, bool, dict]
            if got[2] or got[3]:
                assert table.reset()[0] == env.reset()[0]


def test_without_a_limit_an_episode_is_not_cut_off():
    table = TableEnvironment({0: {0: [(1.0, 0, 1.0, False)]}}, 0)
    table.reset(seed=0)
    assert not any(table.step(0)[3] for _ in range(1000))


def test_an_unlikely_last_outcome_takes_what_rounding_leaves():
    thirds = {0: {0: [(1 / 3, 0, 1.0, False), (1 / 3, 0, 2.0, False), (1 / 3 - 1e-12, 0, 3.0, False)]}}
    table = TableEnvironment(thirds, [1.0 - 1e-12])
    table.reset(seed=0)
    table._numbers = iter([np.nextafter(1.0, 0.0)] * 2)
    assert table.reset()[0] == 0
    assert table.step(0)[1] == 3.0


def test_a_restart_is_nothing_to_learn_from():
    """Two states, the first of which ends at once: every second move of a run is a restart."""
    transitions = {0: {0: [(1.0, 1, 5.0, True)]}, 1: {0: [(1.0, 1, 7.0, True)]}}
    walks = TableWalks(transitions, 0, 3, 1.0, 0.9, 0.0, [0, 1], 100)
    s, a = walks.begin()
    moves = 0
    while walks.under_way:
        r, discount, s2 = walks.move(s, a)
        walks.learn(s, a, target=r)
        s, a, moves = s2, walks.choose(s2), moves + 1
    assert moves == 6
    assert np.all(discount == 0)
    values, returns, visits = walks.results()
    assert values.tolist() == [[[5.0], [0.0]]] * 2
    assert returns.tolist() == [[5.0] * 3] * 2
    assert visits.tolist() == [[[3], [0]]] * 2


def test_runs_that_have_finished_wait_for_the_others():
    """A coin decides when an episode ends, so that runs finish at different times; all returns are counted."""
    coin = {0: {0: [(0.5, 0, 1.0, False), (0.5, 0, 1.0, True)]}}
    walks = TableWalks(coin, 0, 4, 0.5, 1.0, 0.0, range(30), 1000)
    s, a = walks.begin()
    while walks.under_way:
        r, _, s2 = walks.move(s, a)
        walks.learn(s, a, r)
        s, a = s2, walks.choose(s2)
    _, returns, visits = walks.results()
    assert len({int(total) for total in returns.sum(axis=1)}) > 3
    np.testing.assert_array_equal(returns.sum(axis=1), visits[:, 0, 0])
    for seed in (0, 29):
        alone, lengths = TableEnvironment(coin, 0), []
        for episode in range(4):
            alone.reset(seed=None if episode else seed)
            steps = 1
            while not alone.step(0)[2]:
                steps += 1
            lengths.append(steps)
        assert returns[seed].tolist() == lengths


@pytest.mark.parametrize("start", [16, -1, 0.5, [1.0], np.full(16, 0.1), np.nan])
def test_episodes_must_start_somewhere(start):
    with pytest.raises(ValueError, match="start: expected a state"):
        TableEnvironment(gymnasium.make("FrozenLake-v1").unwrapped.P, start)

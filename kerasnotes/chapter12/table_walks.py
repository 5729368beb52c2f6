"""Hundreds of walks through a known table take their steps together, and each is the walk that gymnasium gives alone.

Averages over hundreds of runs need hundreds of runs, and nearly all the time of one is spent inside gymnasium. What the
reader should see: on plain lists, the same table gives the same walk, number for number, many times faster; side by
side in arrays, some hundred walks cost little more than one; and the visits of many walks agree with the linear
equations of the chain that they follow. A walk that ends only starts anew at its next move, as in gymnasium's vector
environments: so no walk ever waits for another.

Notes: chapter 12, "SARSA: on-policy temporal difference" (SARSA算法: 同策略时序差分).
Source: https://gymnasium.farama.org/api/vector (restart at the next step); Kemeny and Snell 1960, Finite Markov Chains,
ISBN 978-0-387-90192-3 (expected visits)
"""

import itertools
import time

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.numbered_states import check_settings
from kerasnotes.chapter12.policy_evaluation import transition_arrays

SMOKE = {"runs": 100, "episodes": 5, "widths": (1, 8)}
SECONDS = 3

DRAWN_AT_ONCE = 512  # moves for which random numbers are drawn in one call


def numbers_of(seed):
    """The numbers of `default_rng(seed).random()` one after another, drawn in blocks for speed."""
    rng = np.random.default_rng(seed)
    return itertools.chain.from_iterable(rng.random(DRAWN_AT_ONCE).tolist() for _ in itertools.count())


def _cumulative_start(start, states):
    """Upper ends (states,) of the shares of [0, 1) that the states have as starts; the last one takes all."""
    given = np.asarray(start, dtype=np.float64)
    probabilities = np.eye(states)[int(given)] if given.ndim == 0 and given in range(states) else given
    fits = probabilities.shape == (states,) and np.all(probabilities >= 0) and abs(probabilities.sum() - 1) < 1e-9
    if not fits:
        raise ValueError(f"start: expected a state from 0 to {states - 1} or probabilities ({states},), got {start!r}")
    below = np.cumsum(probabilities)
    below[np.flatnonzero(probabilities)[-1] :] = 2.0  # rounding leads to no state behind the last
    return below


class TableEnvironment:
    """A table of transitions as an environment with gymnasium's `reset` and `step`, on plain lists.

    With gymnasium's seed it gives gymnasium's episodes: one number is drawn at a reset and one at each step.

    Args:
        transitions: gymnasium's `env.unwrapped.P`.
        start: State in which episodes start, or probabilities (states,), `env.unwrapped.initial_state_distrib`.
        max_steps: Steps after which an episode is truncated, `env.spec.max_episode_steps`; None for no limit.

    Raises:
        ValueError: If the table has gaps, or `start` is no state.
    """

    def __init__(self, transitions, start, max_steps=None):
        states, actions = transition_arrays(transitions)[1].shape
        self.observation_space, self.action_space = (gymnasium.spaces.Discrete(n) for n in (states, actions))
        self._starts = _cumulative_start(start, states).tolist()
        self._outcomes = [[_cumulative(transitions[s][a]) for a in range(actions)] for s in range(states)]
        self._limit, self._numbers = max_steps or float("inf"), numbers_of(None)

    def reset(self, *, seed=None):
        """Begin an episode. Returns `(state, info)`."""
        self._numbers = self._numbers if seed is None else numbers_of(seed)
        number, self._steps = next(self._numbers), 0
        self._state = next(state for state, below in enumerate(self._starts) if number < below)
        return self._state, {}

    def step(self, action):
        """Take an action. Returns `(state, reward, terminated, truncated, info)`."""
        outcomes, number, k = self._outcomes[self._state][action], next(self._numbers), 0
        while number >= outcomes[k][0]:
            k += 1
        _, self._state, reward, terminated = outcomes[k]
        self._steps += 1
        return self._state, reward, terminated, self._steps >= self._limit, {}


def _cumulative(outcomes):
    """Outcomes of a pair as (upper end of its share of [0, 1), next state, reward, terminated); the last takes all."""
    below = [*np.cumsum([probability for probability, *_ in outcomes])[:-1].tolist(), 2.0]
    listed = zip(below, outcomes, strict=True)
    return [(end, int(state), float(reward), bool(last)) for end, (_, state, reward, last) in listed]


class TableWalks:
    """Walks of many runs through one table of transitions, one run for each seed, which move together.

    The runs' tables of values stand side by side in `q` (actions, runs · states): state s of run k is column
    k · states + s. A move takes one number of each run's world and two of its choices. After the end of an episode a
    run's next move only leads to a start, and takes as many, so that no run ever waits; `learn` leaves it out.
    `under_way` says whether a run has episodes left.

    Args:
        transitions, start: As in `TableEnvironment`.
        episodes: Episodes of each run.
        learning_rate: Above 0, at most 1; or a callable from numbers of visits (runs,) to rates.
        discount, epsilon: From 0 to 1.
        seeds: Whole numbers, one for each run.
        max_steps: Steps after which an episode is truncated.

    Raises:
        ValueError: If the table has gaps, or a number is out of range.
    """

    def __init__(self, transitions, start, episodes, learning_rate, discount, epsilon, seeds, max_steps):
        check_settings(episodes, learning_rate, discount, epsilon, seeds, max_steps)
        self._states, actions = transition_arrays(transitions)[1].shape
        self._rate, self._epsilon, self._limit = learning_rate, epsilon, max_steps
        self._starts = _cumulative_start(start, self._states)
        pairs = [_cumulative(transitions[s][a]) for a in range(actions) for s in range(self._states)]
        most = max(map(len, pairs))
        columns = np.array([pair + pair[-1:] * (most - len(pair)) for pair in pairs]).transpose(2, 1, 0)
        self._below = columns[0]  # (outcomes, actions · states), as all of what an outcome leads to
        self._following, self._reward = columns[1].astype(np.intp).ravel(), columns[2].ravel()
        self._ends = columns[3].ravel() > 0
        self._discount = np.where(self._ends, 0.0, discount)  # nothing follows an end

        runs = len(seeds)
        self._row = np.arange(runs) * self._states
        self.q = np.zeros((actions, runs * self._states))
        self._visits, self._returns = np.zeros(self.q.shape, dtype=np.int64), np.zeros((runs, episodes))
        self._episode, self._length, self._total = np.zeros(runs, np.intp), np.zeros(runs, np.intp), np.zeros(runs)
        self._moving, self.under_way = np.zeros(runs, bool), True
        self._rngs = [(np.random.default_rng(seed), np.random.default_rng((seed, 1))) for seed in seeds]
        self._draws = iter(())

    def begin(self):
        """Columns and actions (runs,) before the first move, which leads every run to a start."""
        return self._row, np.zeros(len(self._row), np.intp)

    def move(self, s, a):
        """One move of every run, a step or only the start of a new episode, from columns s by actions a (runs,).

        Returns:
            `(r, discount, s2)`, each (runs,): the reward, the discount of what follows, which is 0 at an end, and the
            columns reached.
        """
        world, start, *self._choice = next(self._draws, None) or self._draw()
        at = a * self._states + (s - self._row)
        if len(self._below) > 1:
            at = at + (self._below.take(at, axis=1) > world).argmax(axis=0) * self._below.shape[1]
        reward, self._moved = self._reward[at], self._moving
        self._total += reward * self._moved
        self._length += self._moved
        ended = self._moved & (self._ends[at] | (self._length >= self._limit))
        state = np.where(self._moved, self._following[at], start)
        if ended.any() or not self._moved.all():
            self._close(np.flatnonzero(ended))
        return reward, self._discount[at], self._row + state

    def choose(self, s):
        """ε-greedy actions (runs,) in columns (runs,): of those that come into question, one at random."""
        values, (exploring, choice) = self.q.take(s, axis=1), self._choice
        counted = ((values == values.max(axis=0)) | exploring).cumsum(axis=0)
        return (counted > choice * counted[-1]).argmax(axis=0)

    def learn(self, s, a, target):
        """Move the values of pairs (runs,) towards their targets by the learning rate, where a step was taken."""
        at, q, visits = a * self.q.shape[1] + s, self.q.reshape(-1), self._visits.reshape(-1)  # views of both tables
        visits[at] += self._moved
        rate = self._rate(np.maximum(visits[at], 1)) if callable(self._rate) else self._rate
        before = q[at]
        q[at] = before + rate * self._moved * (target - before)

    def results(self):
        """`(values, returns, visits)`: (runs, states, actions), (runs, episodes), (runs, states, actions)."""
        shape = len(self.q), len(self._row), self._states
        values, visits = (part.reshape(shape).transpose(1, 2, 0).copy() for part in (self.q, self._visits))
        return values, self._returns, visits

    def _close(self, ended):
        """Write down the returns of runs whose episode has ended."""
        self._returns[ended, self._episode[ended]] = self._total[ended]
        self._total[ended] = self._length[ended] = 0
        self._episode[ended] += 1
        self._moving = self._episode < self._returns.shape[1]
        self.under_way = bool(self._moving.any())
        self._moving[ended] = False

    def _draw(self):
        drawn = [(world.random(DRAWN_AT_ONCE), choices.random((DRAWN_AT_ONCE, 2))) for world, choices in self._rngs]
        world, choices = (np.stack(part, axis=1) for part in zip(*drawn, strict=True))  # (draws, runs), (…, 2)
        starts = np.searchsorted(self._starts, world, side="right")
        self._draws = zip(world, starts, choices[..., 0] < self._epsilon, choices[..., 1].copy(), strict=True)
        return next(self._draws)


def example():
    """One walk in gymnasium and on its table, then five hundred at once."""
    env = gymnasium.make("FrozenLake-v1")
    transitions, start = env.unwrapped.P, env.unwrapped.initial_state_distrib
    for name, world in (("gymnasium:", env), ("its table:", TableEnvironment(transitions, start, 100))):
        print(name, world.reset(seed=3)[0], *(world.step(action)[0] for action in (2, 2, 1, 1, 1, 2)))

    walks = TableWalks(transitions, start, 20, 0.5, 1.0, 1.0, range(500), 100)  # ε = 1: at random
    s, a = walks.begin()
    while walks.under_way:
        r, _, s2 = walks.move(s, a)
        walks.learn(s, a, target=r)
        s, a = s2, walks.choose(s2)
    _, returns, visits = walks.results()
    print(f"500 walks, {visits.sum()} steps: {returns.mean():.1%} of the episodes reach the goal")


def lesson(
    report,
    *,
    runs: int = 1000,
    episodes: int = 40,
    widths: tuple[int, ...] = (1, 4, 16, 64, 256, 1024),
    seed: int = 0,
):
    """Walk at random, alone and together; compare walks, visits and times.

    Args:
        report: The report to write to.
        runs: Walks whose visits are counted (2 to 100000).
        episodes: Episodes of each of them (1 to 10000).
        widths: Numbers of walks that move together while the time is taken (1 to 100000).
        seed: Seed of everything drawn; each value gives other walks (0 to 4294967295).
    """
    for name in ("FrozenLake-v1", "CliffWalkingSlippery-v1", "Taxi-v4"):
        env = gymnasium.make(name, max_episode_steps=100)
        ours = TableEnvironment(env.unwrapped.P, env.unwrapped.initial_state_distrib, 100)
        label = f"{name}: 500 steps on lists are gymnasium's, number for number"
        report.check(label, got=_steps(ours, 500, seed), want=_steps(env, 500, seed), rtol=0, atol=0)
    _visits(report, runs, episodes, seed)
    times = _times(report, widths, seed)
    figure = plots.curves(sorted(widths), times, xscale="log", yscale="log", marker="o", ylabel="time for a step, µs",
                          xlabel="walks together", title="Most of a step in gymnasium is gymnasium")  # fmt: skip
    report.figure(
        "What a step costs, alone and together",
        figure,
        alt="Time for a step on logarithmic axes: a level line for gymnasium, one for plain lists far below. That of "
        "walks that move together falls with their number from far above gymnasium's to below the lists'.",
    )


def _steps(world, count, seed):
    """What random steps bring, one episode after another: an array (count, 4) without the extras."""
    actions, seen = np.random.default_rng((seed, 1)).integers(world.action_space.n, size=count).tolist(), []
    world.reset(seed=seed)
    for action in actions:
        *result, _ = world.step(action)
        seen.append(result)
        if result[2] or result[3]:
            world.reset()
    return np.array(seen, dtype=float)


def _walk_together(transitions, episodes, limit, seeds):
    walks = TableWalks(transitions, 0, episodes, 0.5, 1.0, 1.0, seeds, limit)
    s, a = walks.begin()
    while walks.under_way:
        r, _, s2 = walks.move(s, a)
        walks.learn(s, a, r)
        s, a = s2, walks.choose(s2)
    return walks.results()[2]


def _visits(report, runs, episodes, seed):
    transitions = gymnasium.make("FrozenLake-v1").unwrapped.P
    chain = transition_arrays(transitions)[0].mean(axis=1)  # (states, states), each action with probability ¼
    expected = np.linalg.inv(np.eye(len(chain)) - chain)[0]
    visits = _walk_together(transitions, episodes, 10_000, range(seed * runs, (seed + 1) * runs))
    mean, error = plots.mean_and_error(visits.sum(axis=2) / episodes)
    seen = error > 0
    off = np.max(np.abs(mean - expected)[seen] / error[seen])
    report.at_most("visits of a state in an episode, largest distance from (I − P)⁻¹ in standard errors", off, 5.0)
    rows = [[int(state), expected[state], mean[state], error[state]] for state in np.argsort(-expected)[:5]]
    title = f"visits in an episode on FrozenLake, {runs} walks of {episodes} episodes at random"
    report.table(title, ["state", "expected", "mean", "standard error"], rows)


def _times(report, widths, seed):
    env, rows, times = gymnasium.make("FrozenLake-v1"), [], {}
    for name, world in (("gymnasium", env), ("lists of its table", TableEnvironment(env.unwrapped.P, 0, 100))):
        begun = time.perf_counter()
        _steps(world, 3000, seed)
        rows.append([name, 1, (time.perf_counter() - begun) / 3000 * 1e6])
        times[f"one walk, {name}"] = np.full(len(widths), rows[-1][-1])
    for width in report.track(sorted(widths), "walks"):
        begun = time.perf_counter()
        steps = _walk_together(env.unwrapped.P, 40, 100, range(seed, seed + width)).sum()
        rows.append(["side by side", width, (time.perf_counter() - begun) / steps * 1e6])
    times["side by side"] = np.array([row[-1] for row in rows[2:]])
    columns = ["form", "walks", "µs a step", "steps a second"]
    report.table("time for a step at random on FrozenLake", columns, [[*row, 1e6 / row[-1]] for row in rows])
    report.note("Walks side by side also choose and learn. Lists are hard to beat: arrays pay where many share a call.")
    return times

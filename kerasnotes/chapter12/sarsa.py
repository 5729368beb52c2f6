"""SARSA learns the worth of what it does, missteps included, and so it keeps away from the cliff.

The table method that learns from five things: state, action, reward, next state, next action. What the reader should
see: along the cliff the shortest way has 13 steps, yet SARSA walks the long way round: for somebody who takes one step
in ten at random, the exact equations say that the edge costs more than any detour, if not that the longest is the best.
Hundreds of independent runs are trained together, number for number as one run alone; that is what allows averages to
be trusted.

Notes: chapter 12, "SARSA: on-policy temporal difference" (SARSA算法: 同策略时序差分).
Source: Sutton and Barto 2018, section 6.4 and example 6.6; https://gymnasium.farama.org/environments/toy_text/cliff_walking
"""

import dataclasses
import time

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.dynamic_programming import (
    action_values,
    policy_evaluation,
    transition_arrays,
    value_iteration,
)

SMOKE = {"seeds": 3, "episodes": 20, "random_episodes": 40}
SECONDS = 5

DRAWN_AT_ONCE = 512  # steps for which a batch draws its random numbers


@dataclasses.dataclass
class QTable:
    """What a table method has learnt, and how. A batch has one more axis in front, with one entry for each seed.

    Attributes:
        values: Action values (states, actions).
        returns: Sum of rewards of each episode (episodes,), not discounted.
        visits: How often each pair was updated (states, actions); their sum is the number of steps.
    """

    values: np.ndarray
    returns: np.ndarray
    visits: np.ndarray


def sarsa_update(q, s, a, r, s2, a2, terminated, learning_rate, discount):
    """Q(s, a) ← Q(s, a) + learning_rate · (r + discount · Q(s2, a2) − Q(s, a)), in place.

    Where the episode terminated, nothing follows and the target is r. Where it was only truncated, by a limit of time,
    pass `terminated=False`: the state s2 is still worth something.

    Args:
        q: Table (states, actions) of floats, changed in place.
        s, a, r: State, action taken in it, and reward that came of it.
        s2, a2: State reached, and action chosen there by the same policy.
        terminated: Whether the episode ended in s2 by the environment's own rules.
        learning_rate: Above 0, at most 1.
        discount: From 0 to 1.

    Returns:
        `q`.

    Raises:
        ValueError: If `q` is not a table of floats, a state or an action is unknown, or a number is out of range.

    Source: Sutton and Barto 2018, equation 6.7.
    """
    check_update(q, (s, s2), (a, a2), r, learning_rate, discount)
    target = r if terminated else r + discount * q[s2, a2]
    q[s, a] += learning_rate * (target - q[s, a])
    return q


def epsilon_greedy_actions(values, epsilon, explore, choice):
    """Choose the best action, or with probability `epsilon` any action; ties are broken at random.

    Args:
        values: Action values (actions,), or (actions, n) for n choices at once.
        epsilon: Probability of exploring, from 0 to 1.
        explore, choice: Numbers drawn uniformly from [0, 1), of shape () or (n,): the first decides whether to explore,
            the second which of the actions that come into question is taken.

    Returns:
        Index of the action, or (n,) of them.

    Raises:
        ValueError: If `values` are empty or NaN, or the other numbers lie outside their ranges.
    """
    values, choice = np.asarray(values, dtype=np.float64), np.asarray(choice)
    if values.ndim not in (1, 2) or values.size == 0 or np.isnan(values).any():
        raise ValueError(f"values: expected numbers (actions,) or (actions, n), got {values!r}")
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon: expected a probability, got {epsilon!r}")
    for name, drawn in (("explore", np.asarray(explore)), ("choice", choice)):
        if drawn.shape != values.shape[1:] or not np.all((drawn >= 0) & (drawn < 1)):
            raise ValueError(f"{name}: expected numbers in [0, 1) of shape {values.shape[1:]}, got {drawn!r}")
    return _pick(values, explore < epsilon, choice)


def _pick(values, exploring, choice):
    candidates = (values == values.max(axis=0)) | exploring
    counted = candidates.cumsum(axis=0)
    return (counted > choice * counted[-1]).argmax(axis=0)


def sarsa(env, episodes, learning_rate, discount, epsilon, seed, max_steps=10_000):
    """Learn a table by SARSA, acting ε-greedily.

    Args:
        env: gymnasium environment with discrete states and actions, both counted from 0.
        episodes: Episodes to play.
        learning_rate: Above 0, at most 1; or a callable from the number of visits of a pair, 1 the first time, to it.
        discount: From 0 to 1.
        epsilon: Probability of an action at random.
        seed: Seed of the environment (at its first reset), and with a 1 beside it of the choices.
        max_steps: Episodes are truncated after so many steps, if the environment does not do so before.

    Returns:
        `QTable`. Values start at zero.

    Raises:
        ValueError: If the environment's spaces are not discrete, or a number is out of range.

    Source: Sutton and Barto 2018, section 6.4.
    """
    check_settings(episodes, learning_rate, discount, epsilon, [seed], max_steps)
    table = empty_table(env, episodes)
    q, rng = table.values, np.random.default_rng((seed, 1))
    for episode in range(episodes):
        state, _ = env.reset(seed=None if episode else int(seed))
        action = epsilon_greedy_actions(q[state], epsilon, *rng.random(2))
        for _ in range(max_steps):
            next_state, reward, terminated, truncated, _ = env.step(int(action))
            next_action = epsilon_greedy_actions(q[next_state], epsilon, *rng.random(2))
            table.visits[state, action] += 1
            rate = learning_rate(table.visits[state, action]) if callable(learning_rate) else learning_rate
            sarsa_update(q, state, action, reward, next_state, next_action, terminated, rate, discount)
            table.returns[episode] += reward
            state, action = next_state, next_action
            if terminated or truncated:
                break
    return table


def batched_sarsa(transitions, start, episodes, learning_rate, discount, epsilon, seeds, max_steps=10_000):
    """`sarsa` for many seeds at once, on a known table of transitions.

    The result is that of `sarsa(env, ..., seed)` for each seed, number for number, on gymnasium's tabular environments:
    the same draws decide about transitions and actions.

    Args:
        transitions: gymnasium's `env.unwrapped.P`.
        start: State in which episodes start, or probabilities (states,), `env.unwrapped.initial_state_distrib`.
        episodes, learning_rate, discount, epsilon: As in `sarsa`; a callable rate takes and returns arrays.
        seeds: Whole numbers, one for each run.
        max_steps: Steps after which an episode is truncated; `env.spec.max_episode_steps` where that is not None.

    Returns:
        `QTable` with one more axis in front: values and visits (seeds, states, actions), returns (seeds, episodes).

    Raises:
        ValueError: If the table has gaps, or a number is out of range.
    """
    walks = TableWalks(transitions, start, episodes, learning_rate, discount, epsilon, seeds, max_steps)
    q = walks.q
    while walks.under_way:
        pair, reward, discounts, state = walks.move()
        action = walks.choose(state)  # before the update, as the single form does
        target = reward + discounts * q[walks.pair(state, action)]
        q[pair] += walks.rate(pair) * (target - q[pair])
        walks.go_on(state, action)
    return walks.table()


def greedy_path(env, q, max_steps=100, seed=0):
    """Follow the best actions of a table from the start; of equal ones the first.

    Args:
        env: gymnasium environment with discrete states and actions. Where it is slippery, the path is one of many.
        q: Table (states, actions), or the `QTable` that holds it.
        max_steps: Steps after which the path counts as a loop.
        seed: Seed of the environment.

    Returns:
        `(states, arrived)`: the states (steps + 1,) from the start on, and whether the last step terminated. A policy
        that loops has `max_steps` steps and has not arrived.

    Raises:
        ValueError: If the table does not fit the environment, or `max_steps` is not positive.
    """
    q = np.asarray(getattr(q, "values", q))
    expected = empty_table(env, 1).values.shape
    if q.shape != expected or np.isnan(q).any():
        raise ValueError(f"q: expected a table of numbers {expected}, got an array of shape {q.shape}")
    if not max_steps >= 1:
        raise ValueError(f"max_steps: expected at least 1, got {max_steps!r}")
    states, terminated = [env.reset(seed=seed)[0]], False
    for _ in range(max_steps):
        state, _, terminated, truncated, _ = env.step(int(np.argmax(q[states[-1]])))
        states.append(state)
        if terminated or truncated:
            break
    return np.array(states), bool(terminated)


def empty_table(env, episodes):
    """A `QTable` of zeros for an environment.

    Raises:
        ValueError: If its states or actions are not discrete and counted from 0.
    """
    sizes = []
    for name in ("observation_space", "action_space"):
        space = getattr(env, name)
        if not (isinstance(space, gymnasium.spaces.Discrete) and space.start == 0):
            raise ValueError(f"env: expected an {name} Discrete(n) counted from 0, got {space!r}")
        sizes.append(int(space.n))
    return QTable(np.zeros(sizes), np.zeros(episodes), np.zeros(sizes, dtype=np.int64))


def check_settings(episodes, learning_rate, discount, epsilon, seeds, max_steps):
    """Raise a ValueError for a setting of a table method that lies outside its range."""
    for name, value in (("episodes", episodes), ("max_steps", max_steps)):
        if not (isinstance(value, (int, np.integer)) and value >= 1):
            raise ValueError(f"{name}: expected a positive whole number, got {value!r}")
    if not (callable(learning_rate) or 0 < learning_rate <= 1):
        raise ValueError(f"learning_rate: expected a number in (0, 1] or a callable, got {learning_rate!r}")
    for name, value in (("discount", discount), ("epsilon", epsilon)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: expected a number in [0, 1], got {value!r}")
    if len(seeds) == 0 or not all(isinstance(seed, (int, np.integer)) and seed >= 0 for seed in seeds):
        raise ValueError(f"seed: expected whole numbers of at least 0, got {seeds!r}")


def check_update(q, states, actions, reward, learning_rate, discount):
    """Raise a ValueError for an update of a table that lies outside of it, or whose numbers are out of range."""
    if not (isinstance(q, np.ndarray) and q.ndim == 2 and q.dtype.kind == "f"):
        raise ValueError(f"q: expected an array (states, actions) of floats, got {q!r}")
    for name, indices, size in (("state", states, q.shape[0]), ("action", actions, q.shape[1])):
        if not all(0 <= index < size for index in indices):
            raise ValueError(f"{name}: expected 0 to {size - 1}, got {indices}")
    if not -np.inf < reward < np.inf:
        raise ValueError(f"r: expected a finite reward, got {reward!r}")
    if not 0 < learning_rate <= 1:
        raise ValueError(f"learning_rate: expected a number in (0, 1], got {learning_rate!r}")
    if not 0 <= discount <= 1:
        raise ValueError(f"discount: expected a number in [0, 1], got {discount!r}")


class TableWalks:
    """Independent runs of a table method, one for each seed, that move through one transition table together.

    Two states are added to the table: one *between* episodes, from which the next move leads to a start, and one for
    runs that have *finished*, which leads to itself. Their values are learnt like the others, matter to nothing and are
    left out in the end. So every run takes one row of random numbers a move, whatever the others do.

    Args:
        transitions, start, episodes, learning_rate, discount, epsilon, seeds, max_steps: As in `batched_sarsa`.

    Attributes:
        q: Values of all pairs of all runs, flat; `pair` finds them.
        under_way: Whether a run has episodes left.

    Raises:
        ValueError: If the table has gaps, or a number is out of range.
    """

    def __init__(self, transitions, start, episodes, learning_rate, discount, epsilon, seeds, max_steps):
        check_settings(episodes, learning_rate, discount, epsilon, seeds, max_steps)
        self._states, self._actions = transition_arrays(transitions)[1].shape
        self._learning_rate, self._epsilon, self._max_steps = learning_rate, epsilon, max_steps
        self._size = self._states + 2
        self._between, self._finished = self._states, self._states + 1
        self._compile(transitions, discount)
        self._starts = self._cumulative_start(start)

        runs = len(seeds)
        self._run = np.arange(runs)
        self._offset = self._run * self._size
        self._values = np.zeros((self._actions, runs * self._size))
        self.q = self._values.reshape(-1)
        self._visits = np.zeros(self.q.shape, dtype=np.int64)
        self._returns = np.zeros((runs, episodes))
        self._episode, self._length, self._total = np.zeros(runs, np.intp), np.full(runs, -1), np.zeros(runs)
        self._state, self._action = np.full(runs, self._between), np.zeros(runs, np.intp)
        self.under_way = True
        self._rngs = [(np.random.default_rng(seed), np.random.default_rng((seed, 1))) for seed in seeds]
        self._row, self._draws = 0, ()

    def _compile(self, transitions, discount):
        """The outcomes of each pair as flat arrays, indexed by (outcome, action, state)."""
        outcomes = max(len(each) for actions in transitions.values() for each in actions.values())
        shape = (outcomes, self._actions, self._size)
        following = np.broadcast_to(np.arange(self._size), shape).copy()
        cumulative, reward, discounts, ends = (
            np.full(shape, 2.0),
            np.zeros(shape),
            np.full(shape, discount),
            np.zeros(shape),
        )
        for state, actions in transitions.items():
            for action, listed in actions.items():
                below = np.cumsum([probability for probability, *_ in listed])
                cumulative[: len(listed) - 1, action, state] = below[:-1]
                for outcome, (_, *rest) in enumerate(listed):
                    at = (outcome, action, state)
                    following[at], reward[at], ends[at] = rest
        discounts[ends > 0] = 0.0  # nothing follows an end
        self._cumulative = cumulative.reshape(outcomes, -1)
        self._following, self._reward, self._discounts = following.ravel(), reward.ravel(), discounts.ravel()
        self._ends = ends.ravel() > 0

    def _cumulative_start(self, start):
        probabilities = np.asarray(start, dtype=np.float64)
        if probabilities.ndim == 0:
            if not (0 <= start < self._states and start == int(start)):
                raise ValueError(f"start: expected a state from 0 to {self._states - 1}, got {start!r}")
            probabilities = np.eye(self._states)[int(start)]
        fits = probabilities.shape == (self._states,) and np.all(probabilities >= 0)
        if not (fits and abs(probabilities.sum() - 1) < 1e-9):
            raise ValueError(f"start: expected a state or probabilities ({self._states},), got {start!r}")
        cumulative = np.cumsum(probabilities)
        cumulative[np.flatnonzero(probabilities)[-1] :] = 2.0
        return cumulative

    def _draw(self):
        drawn = [(moves.random(DRAWN_AT_ONCE), choices.random((DRAWN_AT_ONCE, 2))) for moves, choices in self._rngs]
        where, choices = (np.stack(group, axis=1) for group in zip(*drawn, strict=True))  # (draws, runs), and (…, 2)
        explore, choice = np.ascontiguousarray(choices.transpose(2, 0, 1))
        start = np.searchsorted(self._starts, where, side="right")
        self._row, self._draws = 0, (where, start, explore < self._epsilon, choice)

    def move(self):
        """One step of every run, or the start of an episode.

        Returns:
            `(pair, reward, discounts, state)`, each (runs,): the pair that was left, the reward, the discount of what
            follows, which is 0 at an end, and the state reached.
        """
        if self._row == DRAWN_AT_ONCE or not self._draws:
            self._draw()
        where, start, *_ = (drawn[self._row] for drawn in self._draws)
        at = self._action * self._size + self._state
        if len(self._cumulative) > 1:
            outcome = (self._cumulative.take(at, axis=1) > where).argmax(axis=0)
            at = at + outcome * self._cumulative.shape[1]
        state = self._following[at]
        fresh = state == self._between
        if fresh.any():
            state = np.where(fresh, start, state)
        pair = self.pair(self._state, self._action)
        self._visits[pair] += 1
        reward = self._reward[at]
        self._total += reward
        self._length += 1
        self._ended = self._ends[at] | (self._length >= self._max_steps)
        return pair, reward, self._discounts[at], state

    def pair(self, state, action):
        """Where `q` holds the values of states and actions (runs,)."""
        return action * self._values.shape[1] + self._offset + state

    def values(self, state):
        """The values of all actions (actions, runs) in states (runs,)."""
        return self._values.take(self._offset + state, axis=1)

    def rate(self, pair):
        """The learning rate of the update of pairs (runs,)."""
        return self._learning_rate(self._visits[pair]) if callable(self._learning_rate) else self._learning_rate

    def choose(self, state):
        """ε-greedy actions (runs,) in states (runs,)."""
        _, _, exploring, choice = (drawn[self._row] for drawn in self._draws)
        return _pick(self.values(state), exploring, choice)

    def go_on(self, state, action):
        """Take `action` in `state` next, except for runs whose episode has just ended."""
        self._row += 1
        self._state, self._action = state, action
        if not self._ended.any():
            return
        ended = np.flatnonzero(self._ended)
        self._returns[ended, self._episode[ended]] = self._total[ended]
        self._total[ended] = 0.0
        self._length[ended] = -1  # the move to a start is no step
        self._episode[ended] += 1
        self._state = np.where(self._ended, self._between, state)
        finished = ended[self._episode[ended] == self._returns.shape[1]]
        if len(finished):
            self._state[finished] = self._finished
            self._length[finished] = np.iinfo(self._length.dtype).min  # no limit of steps is reached any more
            self.under_way = bool(np.any(self._episode < self._returns.shape[1]))

    def table(self):
        """What has been learnt, as a `QTable` with an axis of runs in front."""
        shape = (self._actions, len(self._run), self._size)
        values, visits = (
            array.reshape(shape).transpose(1, 2, 0)[:, : self._states].copy() for array in (self._values, self._visits)
        )
        return QTable(values, self._returns, visits)


def lesson(
    report,
    *,
    seeds: int = 200,
    episodes: int = 500,
    learning_rate: float = 0.5,
    epsilon: float = 0.1,
    random_episodes: int = 6000,
    seed: int = 0,
):
    """Walk along the cliff with many seeds, and compare what is learnt with exact equations.

    Args:
        report: The report to write to.
        seeds: Independent runs on the cliff (2 to 10000).
        episodes: Episodes of each run (10 to 100000).
        learning_rate: Learning rate on the cliff (0.001 to 1).
        epsilon: Probability of a random action on the cliff (0.001 to 0.9).
        random_episodes: Episodes in which a random policy is evaluated on the ice (10 to 1000000).
        seed: Seed of everything drawn; each value gives other runs (0 to 4294967295).
    """
    _one_update(report)
    cliff = gymnasium.make("CliffWalking-v1")
    ice = gymnasium.make("FrozenLake-v1")
    _one_and_many(report, cliff, ice, seed)
    _truncated_is_not_terminated(report)
    _random_policy(report, ice.unwrapped.P, random_episodes, seed)

    transitions, start = cliff.unwrapped.P, int(cliff.unwrapped.start_state_index)
    many = range(seed * seeds, (seed + 1) * seeds)
    learnt = batched_sarsa(transitions, start, episodes, learning_rate, 1.0, epsilon, many)
    last = learnt.returns[:, -100:].mean(axis=1)
    mean, error = plots.mean_and_error(last)
    label = f"mean return of the last 100 episodes, {seeds} runs (Sutton and Barto 2018, figure of example 6.6)"
    report.check(label, got=mean, want=-27.0, rtol=0, atol=4.0, trained=True)
    paths = [greedy_path(cliff, q) for q in learnt.values]
    steps = np.array([len(states) - 1 for states, _ in paths])
    arrived = np.array([end for _, end in paths])
    report.check(
        "median greedy path, steps, loops counted as 100", np.median(steps), 17.0, rtol=0, atol=0, trained=True
    )
    counted = [[f"{n} steps", int(np.sum(arrived & (steps == n)))] for n in np.unique(steps[arrived])]
    report.table(
        f"greedy paths after {episodes} episodes, {seeds} runs",
        ["path", "runs"],
        [*counted, ["loop", int(np.sum(~arrived))]],
    )
    best = _detours(report, transitions, start, epsilon)
    label = "no explorer beats the exact optimum: mean return less four standard errors"
    report.at_most(label, mean - 4 * error, best, trained=True)
    report.note(
        f"Returns while learning: {mean:.1f} ± {error:.1f} in the last 100 episodes; the best that one can do with "
        f"ε = {epsilon:g} is {best:.1f}. The rest is the price of a learning rate that stays at {learning_rate:g}: "
        "each fall shakes the values near it."
    )
    report.figure(
        "SARSA keeps away from the cliff",
        _figure(paths, learnt.returns, best, epsilon),
        alt="Left: the grid with the share of runs whose greedy path uses each cell; most go up to the top row, along "
        "it and down again. Right: the mean return rises from below −140 to about −27 within 200 episodes.",
    )


def _one_update(report):
    q = np.array([[1.0, 2.0], [4.0, 8.0]])
    label = "Q(0, 1) = 2, reward 3, next pair 4, α = 0.5, γ = 0.9: 2 + 0.5 · (3 + 3.6 − 2)"
    report.check(label, got=sarsa_update(q.copy(), 0, 1, 3.0, 1, 0, False, 0.5, 0.9), want=[[1.0, 4.3], [4.0, 8.0]])
    label = "terminated, the next pair does not count: 2 + 0.5 · (3 − 2)"
    report.check(label, got=sarsa_update(q.copy(), 0, 1, 3.0, 1, 0, True, 0.5, 0.9), want=[[1.0, 2.5], [4.0, 8.0]])


def _one_and_many(report, cliff, ice, seed):
    """The same numbers from single runs in gymnasium and from the batch; and the time that they take."""
    rows = []
    for name, env, episodes, settings in (
        ("CliffWalking-v1", cliff, 30, (0.5, 1.0, 0.1)),
        ("FrozenLake-v1, slippery", ice, 100, (lambda visits: 10 / (9 + visits), 0.95, 0.3)),
    ):
        limit = env.spec.max_episode_steps or 10_000
        seeds = range(3 * seed, 3 * seed + 3)
        begun = time.perf_counter()
        single = [sarsa(env, episodes, *settings, each) for each in seeds]
        between = time.perf_counter()
        batch = batched_sarsa(env.unwrapped.P, env.unwrapped.initial_state_distrib, episodes, *settings, seeds, limit)
        for part in ("values", "returns", "visits"):
            want = np.stack([getattr(table, part) for table in single])
            report.check(
                f"{name}: {part} of a batch and of single runs", getattr(batch, part), want, rtol=0, atol=1e-12
            )
        many = range(500)
        middle = time.perf_counter()
        wide = batched_sarsa(env.unwrapped.P, env.unwrapped.initial_state_distrib, episodes, *settings, many, limit)
        one = (between - begun) / sum(table.visits.sum() for table in single) * 1e6
        all_together = (time.perf_counter() - middle) / wide.visits.sum() * 1e6
        rows.append([name, one, all_together, one / all_together])
    columns = ["environment", "µs a step, one run", "µs a step, 500 runs", "one run's µs over a batch's"]
    report.table("time for a step", columns, rows)
    report.note(
        "A batch of hundreds of runs should be at least 20 times faster a step; the table has the times of this run. "
        "gymnasium draws one number at a reset and one at a step; the batch draws the same ones from the same seeds."
    )


def _truncated_is_not_terminated(report):
    """One state, reward 1 for ever, cut off after 10 steps: still worth 1/(1 − γ)."""
    endless = {0: {0: [(1.0, 0, 1.0, False)]}}
    learnt = batched_sarsa(endless, 0, 100, 0.5, 0.9, 0.0, [0], max_steps=10)
    report.check("one state, reward 1 for ever, truncated every 10 steps: 1/(1 − 0.9)", learnt.values, [[[10.0]]])
    chain = {state: {0: [(1.0, min(state + 1, 9), 1.0, state == 9)]} for state in range(10)}
    learnt = batched_sarsa(chain, 0, 10, 1.0, 0.9, 0.0, [0])
    label = "ten states in a row, terminated after 10 steps: (1 − 0.9¹⁰)/(1 − 0.9) at the first"
    report.check(label, got=learnt.values[0, 0, 0], want=(1 - 0.9**10) / (1 - 0.9))


def _random_policy(report, transitions, episodes, seed):
    """With ε = 1 SARSA evaluates the random policy, whose values follow from linear equations."""
    actions, discount = len(transitions[0]), 0.9
    values = policy_evaluation(transitions, np.full((len(transitions), actions), 1 / actions), discount)
    exact = action_values(transitions, values, discount)
    live = exact.any(axis=1)
    many, settings = range(100 * seed, 100 * (seed + 1)), (lambda visits: 1 / visits**0.8, discount, 1.0)
    learnt = batched_sarsa(transitions, live / live.sum(), episodes, *settings, many, 100)
    mean, error = plots.mean_and_error(learnt.values)
    worst = np.unravel_index(np.argmax(np.abs(mean - exact)), exact.shape)
    label = "random actions on the ice: largest error of 100 runs' mean table, against the exact values"
    report.at_most(label, got=np.abs(mean - exact)[worst], bound=0.01, trained=True)
    report.table(
        "the random policy on FrozenLake, γ = 0.9: values at the start and where the error is largest",
        ["state", "action", "exact", "SARSA, mean of 100 runs", "standard error"],
        [[int(s), int(a), exact[s, a], mean[s, a], error[s, a]] for s, a in ((0, 0), worst)],
    )
    report.note(
        "These episodes start in every state that is not an end, so that all pairs are visited. Far from the goal the "
        "means are still below the exact values: they began at zero, and a falling rate forgets that slowly."
    )


def _detours(report, transitions, start, epsilon):
    """Exact returns of going along the edge and higher up, for an explorer. Returns that of the best policy."""
    rows = []
    for name, row in (("along the edge", 2), ("one row higher", 1), ("along the top", 0)):
        policy = _detour(row)
        explorer = np.full((len(policy), 4), epsilon / 4) + (1 - epsilon) * np.eye(4)[policy]
        values = policy_evaluation(transitions, explorer, 1.0)
        rows.append([name, 13 + 2 * (2 - row), -(13.0 + 2 * (2 - row)), values[start]])
    values, policy = value_iteration(_with_exploration(transitions, epsilon), 1.0)
    best = float(values[start])
    rows.append(["best of all policies", None, None, best])
    columns = ["policy", "steps", "return without exploring", f"return with ε = {epsilon:g}"]
    report.table("what a detour is worth, exactly", columns, rows)
    gains = [row[3] - rows[0][3] for row in rows[1:3]]
    if epsilon >= 0.02:  # who hardly explores hardly falls, and the edge is best
        report.at_least("with exploration a detour gains over the edge, reward", gains, 0.0)
    return best


def _with_exploration(transitions, epsilon):
    """The world as an explorer meets it: each action is replaced by a random one with probability `epsilon`."""
    mixed = {}
    for state, actions in transitions.items():
        anything = [(epsilon / len(actions) * p, *rest) for listed in actions.values() for p, *rest in listed]
        mixed[state] = {
            action: [((1 - epsilon) * p, *rest) for p, *rest in listed] + anything for action, listed in actions.items()
        }
    return mixed


def _detour(row):
    """Actions (48,) that go up to a row of the cliff's grid, along it to the last column, and down."""
    up, right, down = 0, 1, 2
    policy = np.full((4, 12), right)
    policy[row + 1 :] = up
    policy[:row] = down
    policy[:, -1] = down
    return policy.ravel()


def _figure(paths, returns, best, epsilon):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 3.8), width_ratios=(1.35, 1))
    used = np.zeros((len(paths), 4, 12))
    for number, (states, _) in enumerate(paths):
        used[number].ravel()[states] = 1
    share = used.mean(axis=0)
    left.imshow(share, cmap="Blues", vmin=0, vmax=1.2)
    left.fill_between((0.5, 10.5), 2.5, 3.5, color="0.35", linewidth=0)
    left.text(5.5, 3, "cliff: −100, back to the start", color="white", ha="center", va="center")
    for (row, column), value in np.ndenumerate(share):
        if row < 3 or column in (0, 11):
            left.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=9)
    left.set_xticks([0, 11], ["start", "goal"])
    left.set_yticks([])
    left.grid(False)
    left.set_title("Runs whose greedy path uses a cell, %:\nthe long way round")
    episodes = np.arange(1, returns.shape[1] + 1)
    series = {"SARSA, mean ± standard error": returns}
    plots.curves(episodes, series, xlabel="episode", ylabel="sum of rewards", ax=right,
                 title="Return while learning,\nand the best that explorers can do")  # fmt: skip
    right.axhline(best, color="C1", linestyle="--", label=f"exact optimum with ε = {epsilon:g}")
    right.set_ylim(-150, 0)
    right.legend(loc="lower right")
    return figure

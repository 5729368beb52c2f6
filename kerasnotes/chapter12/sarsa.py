"""SARSA corrects a value by the next one: state, action, reward, next state, next action, and no episode has to end.

The table method that is named after the five things that it learns from. It is on-policy: the next action is the one
that is then played. What the reader should see: one update is one line. Where an episode terminated nothing follows;
where a clock cut it off, the next value still counts. The same line learns alone, in any world with numbered states,
and for hundreds of seeds together, number for number; and single runs vary so much that only hundreds tell what is
typical.

Notes: chapter 12, "SARSA: on-policy temporal difference" (SARSA算法: 同策略时序差分).
Source: Sutton and Barto 2018, ISBN 978-0-262-03924-6, section 6.4;
https://gymnasium.farama.org/environments/toy_text/cliff_walking
"""

import dataclasses
import math
import time

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.numbered_states import check_settings, check_update, choose_action, rate_of, table_sizes
from kerasnotes.chapter12.numbered_states import epsilon_greedy_actions as epsilon_greedy_actions
from kerasnotes.chapter12.table_walks import TableEnvironment, TableWalks, numbers_of
from kerasnotes.parts import whole

SMOKE = {"seeds": 3, "episodes": 20}
SECONDS = 5


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


def sarsa(env, episodes, learning_rate, discount, epsilon, seed, max_steps=10_000):
    """Learn a table by SARSA, acting ε-greedily.

    Args:
        env: gymnasium environment with discrete states and actions, both counted from 0; or a `TableEnvironment`.
        episodes: Episodes to play.
        learning_rate: Above 0, at most 1; or a callable from the number of visits of a pair, this one included.
        discount: From 0 to 1.
        epsilon: Probability of a random action; otherwise the best one is taken, and of several equal ones any.
        seed: Seed of the environment, at its first reset; actions are chosen by a stream of their own, (seed, 1).
        max_steps: Episodes are truncated after so many steps, if the environment does not do so before.

    Returns:
        `QTable`. Values start at zero.

    Raises:
        ValueError: If the environment's spaces are not discrete, a number is out of range, or a reward is not finite.

    Source: Sutton and Barto 2018, section 6.4.
    """
    check_settings(episodes, learning_rate, discount, epsilon, [seed], max_steps)
    table = empty_table(env, episodes)
    q, visits = table.values.tolist(), table.visits.tolist()  # lists, as single numbers of arrays are slow to reach
    rate, numbers = rate_of(learning_rate), numbers_of((seed, 1))  # a function of visits; random numbers one by one
    for episode in range(episodes):
        s, _ = env.reset(seed=None if episode else int(seed))  # seeded again, each episode would draw the same
        a, total = choose_action(q[s], epsilon, next(numbers), next(numbers)), 0.0  # whether to explore, and which
        for _ in range(max_steps):
            # act: the reward and the next state
            s2, reward, terminated, truncated, _ = env.step(a)
            r = float(reward)
            # choose: the next action, by the policy that is played; at an end too, to draw as many numbers as a batch
            a2 = choose_action(q[s2], epsilon, next(numbers), next(numbers))
            # learn: correct the value by the next one, or by nothing where the episode terminated
            target = r if terminated else r + discount * q[s2][a2]
            visits[s][a] += 1
            q[s][a] += rate(visits[s][a]) * (target - q[s][a])
            # go on from there
            s, a, total = s2, a2, total + r
            if terminated or truncated:
                break
        if not math.isfinite(total):
            raise ValueError(f"env: expected finite rewards, got an episode with the sum {total}")
        table.returns[episode] = total
    return QTable(np.array(q), table.returns, np.array(visits))


def batched_sarsa(transitions, start, episodes, learning_rate, discount, epsilon, seeds, max_steps=10_000):
    """`sarsa` for many seeds at once, on a known table of transitions.

    The result is that of `sarsa(env, ..., seed)` for each seed, number for number, on gymnasium's tabular environments:
    the same draws decide about transitions and actions.

    Args:
        transitions: gymnasium's `env.unwrapped.P`, for each state and action the outcomes (probability, next state,
            reward, terminated).
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
    q = walks.q  # (actions, seeds · states), the tables side by side: s and s2 are columns of it
    s, a = walks.begin()  # one column and one action for each seed
    while walks.under_way:
        r, discounts, s2 = walks.move(s, a)  # (seeds,) each; the discount is 0 where the episode terminated
        a2 = walks.choose(s2)
        walks.learn(s, a, target=r + discounts * q[a2, s2])  # not where a run has only started anew
        s, a = s2, a2
    return QTable(*walks.results())


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
    expected = table_sizes(env)
    if q.shape != expected or np.isnan(q).any():
        raise ValueError(f"q: expected a table of numbers {expected}, got an array of shape {q.shape}")
    states, terminated = [env.reset(seed=seed)[0]], False
    for _ in range(whole("max_steps", max_steps)):
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
    sizes = table_sizes(env)
    return QTable(np.zeros(sizes), np.zeros(episodes), np.zeros(sizes, dtype=np.int64))


def example():
    """One update by hand, a run along the cliff, and two hundred at once."""
    q = np.array([[1.0, 2.0], [4.0, 8.0]])
    sarsa_update(q, s=0, a=1, r=3.0, s2=1, a2=0, terminated=False, learning_rate=0.5, discount=0.9)
    print("2 + 0.5 · (3 + 0.9 · 4 − 2) =", q[0, 1])

    env = gymnasium.make("CliffWalking-v1")
    table = sarsa(env, episodes=200, learning_rate=0.5, discount=1.0, epsilon=0.1, seed=0)
    states, arrived = greedy_path(env, table)
    print("one run: the last return is", table.returns[-1], "- greedy:", len(states) - 1, "steps, arrived:", arrived)
    many = batched_sarsa(env.unwrapped.P, 36, 200, 0.5, 1.0, 0.1, seeds=range(200))  # 36: the start, bottom left
    print(
        "200 runs: returns of the last episode", many.returns[:, -1].mean(), "±", many.returns[:, -1].std() / 200**0.5
    )
    print("the first of them is the run alone:", np.array_equal(many.values[0], table.values))


def lesson(
    report,
    *,
    seeds: int = 200,
    episodes: int = 500,
    learning_rate: float = 0.5,
    epsilon: float = 0.1,
    seed: int = 0,
):
    """Update by hand, alone and together; compare numbers and times, and show one run beside hundreds.

    Args:
        report: The report to write to.
        seeds: Independent runs on the cliff (2 to 10000).
        episodes: Episodes of each run (10 to 100000).
        learning_rate: Learning rate on the cliff (0.001 to 1).
        epsilon: Probability of a random action on the cliff (0.001 to 0.9).
        seed: Seed of everything drawn; each value gives other runs (0 to 4294967295).
    """
    _one_update(report)
    _truncated_is_not_terminated(report)
    _one_and_many(report, seed)
    cliff = gymnasium.make("CliffWalking-v1").unwrapped.P
    many = range(seed * seeds, (seed + 1) * seeds)  # so that no two values of `seed` share a run
    returns = batched_sarsa(cliff, 36, episodes, learning_rate, 1.0, epsilon, many).returns
    label = "the mean of the second half is above that of the first tenth, every run: difference"
    gains = returns[:, episodes // 2 :].mean(axis=1) - returns[:, : episodes // 10].mean(axis=1)
    report.at_least(label, gains.min(), 0.0, trained=True)
    figure = plots.curves(np.arange(1, episodes + 1), {"one run": returns[0], f"mean of {seeds} runs": returns},
                          xlabel="episode", ylabel="sum of rewards", title="One run tells little")  # fmt: skip
    figure.axes[0].set_ylim(-300, 0)
    report.figure(
        "One run and the mean of hundreds",
        figure,
        alt="Return while learning on the cliff: a single run jumps between −13 and below −200 at every fall; the mean "
        "rises smoothly within a hundred episodes and levels off near −27.",
    )


def _one_update(report):
    """One step with a next pair and one without, on a table of two states and two actions."""
    q = np.array([[1.0, 2.0], [4.0, 8.0]])
    label = "Q(0, 1) = 2, reward 3, next pair 4, α = 0.5, γ = 0.9: 2 + 0.5 · (3 + 3.6 − 2)"
    report.check(label, got=sarsa_update(q.copy(), 0, 1, 3.0, 1, 0, False, 0.5, 0.9), want=[[1.0, 4.3], [4.0, 8.0]])
    label = "terminated, the next pair does not count: 2 + 0.5 · (3 − 2)"
    report.check(label, got=sarsa_update(q.copy(), 0, 1, 3.0, 1, 0, True, 0.5, 0.9), want=[[1.0, 2.5], [4.0, 8.0]])


def _truncated_is_not_terminated(report):
    """Reward 1 at each step: cut off after 10 steps it is worth 1/(1 − γ), terminated after 10 only those ten."""
    endless = {0: {0: [(1.0, 0, 1.0, False)]}}  # one outcome: (probability, next state, reward, terminated)
    learnt = batched_sarsa(endless, 0, 100, 0.5, 0.9, 0.0, [0], max_steps=10)
    report.check("one state, reward 1 for ever, truncated every 10 steps: 1/(1 − 0.9)", learnt.values, [[[10.0]]])
    chain = {state: {0: [(1.0, min(state + 1, 9), 1.0, state == 9)]} for state in range(10)}
    learnt = batched_sarsa(chain, 0, 10, 1.0, 0.9, 0.0, [0])  # at rate 1 each episode lets values see a step further
    label = "ten states in a row, terminated after 10 steps: (1 − 0.9¹⁰)/(1 − 0.9) at the first"
    report.check(label, got=learnt.values[0, 0, 0], want=(1 - 0.9**10) / (1 - 0.9))


def _one_and_many(report, seed):
    """The same numbers alone and together, and the time that they take."""
    rows = []
    for name, episodes, settings in (
        ("CliffWalking-v1", 30, (0.5, 1.0, 0.1)),  # learning rate, discount, epsilon
        ("FrozenLake-v1", 100, (lambda visits: 10 / (9 + visits), 0.95, 0.3)),
    ):
        env = gymnasium.make(name)
        limit = env.spec.max_episode_steps or 10_000
        known = env.unwrapped.P, env.unwrapped.initial_state_distrib
        seeds = range(3 * seed, 3 * seed + 3)
        batch = batched_sarsa(*known, episodes, *settings, seeds, limit)
        for form, world in (("gymnasium", env), ("lists of its table", TableEnvironment(*known, limit))):
            begun = time.perf_counter()
            single = [sarsa(world, episodes, *settings, each) for each in seeds]
            steps = sum(table.visits.sum() for table in single)
            rows.append([name, form, 1, (time.perf_counter() - begun) / steps * 1e6])
            for part in ("values", "returns", "visits"):
                label = f"{name}: {part} of a batch and of single runs, {form}"
                want = np.stack([getattr(table, part) for table in single])
                report.check(label, getattr(batch, part), want, rtol=0, atol=1e-12)
        begun = time.perf_counter()
        wide = batched_sarsa(*known, episodes, *settings, range(500), limit)
        rows.append([name, "arrays, side by side", 500, (time.perf_counter() - begun) / wide.visits.sum() * 1e6])
    columns = ["environment", "form", "runs", "µs a step", "steps a second"]
    report.table("time for a step", columns, [[*row, 1e6 / row[-1]] for row in rows])
    gymnasiums, lists, arrays = np.reshape([row[-1] for row in rows], (2, 3)).T  # a number for each environment
    report.note(
        f"A batch of 500 is {min(gymnasiums / arrays):.0f} times as fast a step as one run in gymnasium, but only "
        f"{min(lists / arrays):.1f} times as fast as one run on plain lists of the same table, in this run."
    )

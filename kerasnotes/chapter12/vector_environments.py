"""Many copies of an environment step together, and between two episodes there is a step that never happened.

A vector environment takes an action for each copy and restarts by itself what has ended. What the reader should see:
the call after an end ignores the action and leads from the last state of one episode to the first of another, which
obeys no equation of motion; left out, every step that remains does; a step that a clock cut off keeps its own last
state; and one call for many copies costs far less than as many calls.

Notes: chapter 12, "Deep Q-network" (深度Q网络: 并行环境).
Source: https://gymnasium.farama.org/api/vector (restart at the next step); Pardo et al. 2018, arXiv:1712.00378.
"""

import dataclasses
import time

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.environment import cart_pole_step
from kerasnotes.parts import whole

SMOKE = {"widths": (1, 4), "calls": 60}
SECONDS = 3


def make_environments(env_id, count, environment=None):
    """`count` copies of an environment that take their steps together, each restarting by itself when it has ended.

    Args:
        env_id: Name of a gymnasium environment (or its specification) with discrete actions and a limit of steps.
        count: Number of copies.
        environment: Dictionary of further arguments for the environment, such as `{"max_episode_steps": 100}`.

    Returns:
        `(env, limit)`: a `gymnasium.vector.VectorEnv`, and the number of steps after which episodes are cut off.

    Raises:
        ValueError: If `count` is not positive, there is no limit of steps, actions are not discrete, or the copies do
            not restart at the step that follows an end.
    """
    whole("count", count)
    arguments = dict(environment or {})
    try:
        env = gymnasium.make_vec(env_id, num_envs=int(count), **arguments)
    except gymnasium.error.Error as error:
        raise ValueError(f"env_id: expected the name of a gymnasium environment, got {env_id!r}") from error
    limit = arguments.get("max_episode_steps", env.spec.max_episode_steps)
    if limit is None:
        raise ValueError(f"env_id: expected an environment with max_episode_steps, got {env_id!r}, which has none")
    if not isinstance(env.single_action_space, gymnasium.spaces.Discrete) or env.single_action_space.start != 0:
        raise ValueError(f"env_id: expected actions 0, 1, ..., got {env.single_action_space}")
    mode = env.metadata.get("autoreset_mode")
    if mode != gymnasium.vector.AutoresetMode.NEXT_STEP:
        raise ValueError(f"env_id: expected copies that restart at the next step, got autoreset mode {mode}")
    return env, limit


def vector_steps(env, policy, seed):
    """The steps that many copies of an environment take, without those that only restart a copy.

    After an episode's end the next call of `step` ignores that copy's action and returns the first observation of a
    new episode: from the last state of one to the first of another. This is no transition, and is left out.

    Args:
        env: A vector environment that restarts at the next step, such as from `make_environments`.
        policy: Callable from observations (copies, ...) to actions (copies,).
        seed: Seed of the first reset.

    Yields:
        `(copies, states, actions, rewards, next_states, terminated, truncated)` of one call of `step`, without end:
        the numbers of the copies that moved, and one row for each of them. Where `truncated`, the next state is the
        episode's own last one.
    """
    observations, _ = env.reset(seed=seed)
    ended = np.zeros(env.num_envs, bool)
    while True:
        actions = policy(observations)
        following, rewards, terminated, truncated, _ = env.step(actions)
        moved = np.flatnonzero(~ended)
        parts = (observations, actions, rewards, following, terminated, truncated)
        yield moved, *(np.array(part[moved]) for part in parts)
        observations, ended = following, terminated | truncated


@dataclasses.dataclass
class Episodes:
    """Episodes that were played side by side, padded to the length of the longest.

    Attributes:
        observations: Array (steps, episodes, ...), what each action saw.
        actions: Array (steps, episodes).
        rewards: Array (steps, episodes), 0 after an episode's end.
        lengths: Array (episodes,), number of steps.
        last: Array (episodes, ...), the last observation of each.
        terminated: Array (episodes,), whether it ended by itself; otherwise it was cut off.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray
    last: np.ndarray
    terminated: np.ndarray

    @property
    def returns(self):
        """Sum of rewards of each episode (episodes,), not discounted."""
        return self.rewards.sum(axis=0)

    @property
    def played(self):
        """Whether an entry belongs to an episode or pads it (steps, episodes)."""
        return np.arange(len(self.rewards))[:, None] < self.lengths


def play_episodes(env_id, policy, episodes, seed, environment=None):
    """Play one episode in each of many copies of an environment.

    New copies every time: a reset in the middle of an episode would not clear the mark that CartPole's vector form
    keeps of copies about to restart.

    Args:
        env_id, environment: As in `make_environments`.
        policy: Callable from observations (episodes, ...) to actions (episodes,).
        episodes: How many.
        seed: Seed of the reset.

    Returns:
        `Episodes`.
    """
    env, limit = make_environments(env_id, episodes, environment)
    observations, _ = env.reset(seed=seed)
    running, steps = np.ones(episodes, bool), []
    lengths, last, terminal = np.zeros(episodes, int), observations.copy(), np.zeros(episodes, bool)
    while running.any() and len(steps) < limit:
        actions = policy(observations)
        following, rewards, terminated, truncated, _ = env.step(actions)
        steps.append((observations.copy(), actions, np.where(running, rewards, 0.0)))
        lengths += running
        last[running], terminal[running] = following[running], terminated[running]
        running &= ~(terminated | truncated)
        observations = following
    env.close()
    return Episodes(*(np.stack(part) for part in zip(*steps, strict=True)), lengths, last, terminal)


def example():
    """Eight carts pushed to the left in one vector environment: what gymnasium returns, and what of it are steps."""
    env = gymnasium.make_vec("CartPole-v1", num_envs=8)
    env.reset(seed=0)
    ended, calls = np.zeros(8, bool), 0
    while not ended.any():
        _, _, terminated, truncated, _ = env.step(np.zeros(8, int))
        ended, calls = terminated | truncated, calls + 1
    print("after", calls, "calls these copies have ended:", np.flatnonzero(ended))
    after = env.step(np.zeros(8, int))[0]
    print("the next call restarts them:", np.abs(after[ended][:, 2]).max() < 0.05)

    env, _ = make_environments("CartPole-v1", 8)
    stream = vector_steps(env, lambda seen: np.zeros(len(seen), int), seed=0)
    moved = [len(next(stream)[0]) for _ in range(calls + 2)]
    print("copies that moved in each call:", moved)
    played = play_episodes("CartPole-v1", lambda seen: np.zeros(len(seen), int), episodes=8, seed=0)
    print("lengths of whole episodes:", played.lengths)


def lesson(report, *, widths: tuple[int, ...] = (1, 4, 16, 64), calls: int = 60, seed: int = 0):
    """Hold every step of a vector environment against the equations of motion, and take the time of many copies.

    Args:
        report: The report to write to.
        widths: Numbers of copies whose time is taken (1 to 1000).
        calls: Calls of `step` that are looked at (40 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    errors, between = _between_episodes(report, calls, seed)
    rows = []
    for width in report.track(sorted(widths), "copies"):
        env, _ = make_environments("CartPole-v1", width)
        stream = vector_steps(env, _half_balanced, seed)
        begun = time.perf_counter()
        steps = sum(len(next(stream)[0]) for _ in range(300))
        rows.append([width, (time.perf_counter() - begun) / steps * 1e6])
        env.close()
    report.table("time for a step of CartPole", ["copies", "µs a step"], rows)
    figure, ax = plots.subplots()
    for name, at, color in (("steps", ~between, "C0"), ("between episodes", between, "C1")):
        ax.plot(np.flatnonzero(at), np.maximum(errors[at], 1e-9), ".", color=color, label=name)
    ax.set(xlabel="step of all copies, in order", ylabel="distance from the equations of motion", yscale="log")
    ax.set_title("Between episodes there is a step\nthat never happened")
    ax.legend()
    report.figure(
        "Steps and seams",
        figure,
        alt="Distance of each step from the equations of the cart, on a logarithmic axis: those of real steps lie "
        "below a millionth, those between two episodes at least a million times as high.",
    )


def _half_balanced(observations):
    actions = (observations[:, 2] + observations[:, 3] > 0).astype(int)
    actions[: len(actions) // 2] = 0
    return actions


def _between_episodes(report, calls, seed, copies=8):
    """CartPole cut off after 12 steps; half of the copies are balanced, half are always pushed to the left."""
    env, _ = make_environments("CartPole-v1", copies, {"max_episode_steps": 12})
    stream = vector_steps(env, _half_balanced, seed)
    steps = [next(stream) for _ in range(calls)]
    _, states, actions, _, next_states, terminated, truncated = (
        np.concatenate(part) for part in zip(*steps, strict=True)
    )
    distances = np.abs(cart_pole_step(states, actions)[0] - next_states)
    report.at_most("every step kept obeys the equations of motion, largest error", got=distances.max(), bound=1e-5)
    ended_before_last = sum(np.sum(step[5] | step[6]) for step in steps[:-1])
    label = "steps left out of a vector environment's stream: one after each end"
    report.check(label, got=calls * copies - len(states), want=int(ended_before_last))
    ends = [int(terminated.sum()), int(np.sum(truncated & ~terminated))]
    report.at_least("both ends occur: terminated, truncated", got=ends, bound=1)

    env, _ = make_environments("CartPole-v1", copies, {"max_episode_steps": 12})
    observations, _ = env.reset(seed=seed)
    errors, between, ended = [], [], np.zeros(copies, bool)
    for _ in range(calls):
        actions, before = _half_balanced(observations), ended
        following, _, terminated, truncated, _ = env.step(actions)
        errors.append(np.abs(cart_pole_step(observations, actions)[0] - following).max(axis=1))
        between.append(before)
        observations, ended = following, terminated | truncated
    errors, between = np.concatenate(errors), np.concatenate(between)
    report.at_least("with the steps between episodes kept, largest error", got=errors.max(), bound=0.1)
    return errors, between

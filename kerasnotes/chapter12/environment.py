"""An agent meets the world through five values per step; of the two ways to stop, only one means that nothing follows.

The loop between agent and environment is written out once, for any gymnasium environment, and returns are computed
from its rewards. What the reader should see: the environment is a function from state and action to the next state (the
equations of the cart and its pole give gymnasium's numbers); one seed gives one episode, but the policy needs a stream
of its own; and an episode that was cut off after 500 steps would have gone on, which the return has to know.

Notes: chapter 12, "State, action, reward" (状态、动作、奖励).
Source: Sutton and Barto 2018, ISBN 978-0-262-03924-6, equations 3.8 and 3.9; Barto, Sutton, Anderson 1983,
doi:10.1109/TSMC.1983.6313077 (cart and pole); Pardo et al. 2018, arXiv:1712.00378; https://gymnasium.farama.org/api/env
"""

from dataclasses import dataclass

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.parts import share, whole

SMOKE = {"episodes": 60, "simulated": 300}
SECONDS = 2


@dataclass(frozen=True, eq=False)
class Episode:
    """What happened from a reset to the end, or to the step at which it was cut off.

    Attributes:
        observations: Array (steps + 1, ...): the one that each action saw, and the last one.
        actions: Array (steps, ...).
        rewards: Array (steps,).
        terminated: True if the last observation is an end of the task: nothing follows, its value is 0.
        truncated: True if the episode was cut off: something would have followed, and its value is still to be counted.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    truncated: bool

    def __len__(self):
        """Number of steps."""
        return len(self.rewards)


def rollout(env, policy, seed, max_steps=10_000):
    """Let a policy act in an environment, from a reset to the end of the episode.

    Args:
        env: A gymnasium environment: `reset(seed=...)` gives (observation, info), and `step(action)` the five values
            (observation, reward, terminated, truncated, info).
        policy: Callable `policy(observation, rng) -> action`, where `rng` is a `numpy.random.Generator`.
        seed: Seed of the environment and of the policy's `rng`, a whole number from 0 on.
        max_steps: The episode is cut off here if the environment has not ended it before.

    Returns:
        An `Episode`.

    Raises:
        ValueError: If `env`, `policy`, `seed` or `max_steps` is none of these.
    """
    if not (hasattr(env, "reset") and hasattr(env, "step")):
        raise ValueError(f"env: expected an environment with reset and step, got {env!r}")
    if not callable(policy):
        raise ValueError(f"policy: expected a callable policy(observation, rng), got {policy!r}")
    whole("seed", seed, least=0)
    whole("max_steps", max_steps)
    rng = np.random.default_rng((seed, 1))  # default_rng(seed) would repeat the numbers that gymnasium draws
    observation, _ = env.reset(seed=int(seed))
    observations, actions, rewards = [np.array(observation)], [], []
    terminated = truncated = False
    while not (terminated or truncated):
        # act, and see what the environment answers
        action = policy(observation, rng)
        observation, reward, terminated, truncated, _ = env.step(action)
        # remember
        observations.append(np.array(observation))  # a copy: an environment may write into one buffer
        actions.append(action)
        rewards.append(float(reward))
        truncated = truncated or (not terminated and len(rewards) == max_steps)
    return Episode(np.stack(observations), np.array(actions), np.array(rewards), bool(terminated), bool(truncated))


def discounted_returns(rewards, discount, bootstrap=0.0):
    """The discounted sum of rewards from each step on: G_t = r_t + discount · G_{t+1}.

    Args:
        rewards: Array (..., steps): time runs along the last axis.
        discount: Weight of one step's delay, from 0 to 1.
        bootstrap: Value of what follows the last reward, a number or an array (...). It is 0 after a terminated
            episode; after a truncated one it is the estimated value of the last observation.

    Returns:
        Array (..., steps), float64.

    Raises:
        ValueError: If there is no reward, a number is not finite, or `discount` lies outside [0, 1].

    Source: Sutton and Barto 2018, equation 3.9.
    """
    rewards = np.asarray(rewards, dtype=np.float64)
    if rewards.ndim == 0 or rewards.size == 0 or not np.isfinite(rewards).all():
        raise ValueError(f"rewards: expected finite numbers (..., steps), got {rewards!r}")
    share("discount", discount)
    following = np.asarray(bootstrap, dtype=np.float64)
    if following.shape not in ((), rewards.shape[:-1]) or not np.isfinite(following).all():
        raise ValueError(f"bootstrap: expected finite numbers of shape {rewards.shape[:-1]}, got {bootstrap!r}")
    returns = np.empty_like(rewards)
    for step in reversed(range(rewards.shape[-1])):
        following = rewards[..., step] + discount * following
        returns[..., step] = following
    return returns


def cart_pole_step(state, action):
    """One fiftieth of a second of a cart with a pole on it, pushed left or right: gymnasium's CartPole-v1 by hand.

    Args:
        state: Array (..., 4): position in m, speed in m/s, the pole's angle in radians, its speed in radians/s.
        action: Array (...): 0 pushes to the left, 1 to the right, with 10 newton.

    Returns:
        `(state, terminated)`: the next state (..., 4), and whether the cart is more than 2.4 m away from the middle
        or the pole more than 12 degrees from upright. The reward is 1 for each step.

    Raises:
        ValueError: If the last axis of `state` is not 4 finite numbers, or an action is neither 0 nor 1.

    Source: Barto, Sutton, Anderson 1983, without friction.
    """
    state, action = np.asarray(state, dtype=np.float64), np.asarray(action)
    if state.ndim == 0 or state.shape[-1] != 4 or not np.isfinite(state).all():
        raise ValueError(f"state: expected finite numbers (..., 4), got {state!r}")
    if action.shape != state.shape[:-1] or not np.isin(action, (0, 1)).all():
        raise ValueError(f"action: expected 0 or 1, of shape {state.shape[:-1]}, got {action!r}")
    gravity, cart, pole, half_length, seconds = 9.8, 1.0, 0.1, 0.5, 0.02
    angle, turning = state[..., 2], state[..., 3]
    push = (20.0 * action - 10.0 + pole * half_length * turning**2 * np.sin(angle)) / (cart + pole)
    lever = half_length * (4 / 3 - pole * np.cos(angle) ** 2 / (cart + pole))
    angular = (gravity * np.sin(angle) - np.cos(angle) * push) / lever
    linear = push - pole * half_length * angular * np.cos(angle) / (cart + pole)
    following = state + seconds * np.stack([state[..., 1], linear, turning, angular], axis=-1)
    terminated = (np.abs(following[..., 0]) > 2.4) | (np.abs(following[..., 2]) > np.deg2rad(12))
    return following, terminated


def example():
    """The five values of a step, an episode, and what its cut costs a return."""
    env = gymnasium.make("CartPole-v1")
    observation, _ = env.reset(seed=0)
    print("gymnasium:", *env.step(1))
    print("by hand:  ", cart_pole_step(observation, 1)[0].astype("float32"))

    episode = rollout(env, lambda seen, rng: int(seen[2] + 0.5 * seen[3] > 0), seed=0, max_steps=100)
    print(len(episode), "steps, terminated:", episode.terminated, "truncated:", episode.truncated)
    print("worth, if that were the end:", discounted_returns(episode.rewards, 0.99)[0].round(2))
    print("worth, if it goes on:       ", discounted_returns(episode.rewards, 0.99, bootstrap=100.0)[0].round(2))


def lesson(report, *, episodes: int = 2000, simulated: int = 50_000, discount: float = 0.99, seed: int = 0):
    """Play CartPole at random and with a good policy, and count what follows a cut.

    Args:
        report: The report to write to.
        episodes: Random episodes played in gymnasium (10 to 100000).
        simulated: Random episodes computed from the equations (10 to 10000000).
        discount: Weight of one step's delay in the returns (0.5 to 0.999).
        seed: Seed of all random draws (0 to 4000000000).
    """
    _environments(report)
    _by_hand(report, discount, seed)
    env = gymnasium.make("CartPole-v1")
    _one_seed_one_episode(report, env, seed)
    _same_equations(report, env, seed)

    starts = range(seed * episodes, (seed + 1) * episodes)  # so that no two seeds share an episode
    played = np.array([len(rollout(env, _random, start)) for start in report.track(starts, "random episodes")])
    computed = _random_lengths(simulated, np.random.default_rng((seed, 2)))
    (mean, error), (mean_computed, error_computed) = map(plots.mean_and_error, (played, computed))
    rows = [
        [name, len(x), *plots.mean_and_error(x), int(x.min()), float(np.median(x)), int(x.max())]
        for name, x in (("gymnasium", played), ("the equations", computed))
    ]
    columns = ["episodes of", "number", "mean", "standard error", "smallest", "median", "largest"]
    report.table("return of a random policy on CartPole-v1 (one point a step)", columns, rows)
    apart = abs(mean - mean_computed) / np.hypot(error, error_computed)
    report.at_most("gymnasium's and the equations' mean return, standard errors apart", apart, 4.0)

    episode = rollout(env, _balance, seed)
    report.check("a policy that balances is cut off after 500 steps", got=len(episode), want=500)
    report.check("that is truncated, not terminated", [episode.terminated, episode.truncated], [False, True])
    forever = 1 / (1 - discount)  # one point a step without end
    as_end = discounted_returns(episode.rewards, discount)
    going_on = discounted_returns(episode.rewards, discount, bootstrap=forever)
    report.check("with the cut bootstrapped, every step is worth 1/(1 − γ)", got=going_on, want=np.full(500, forever))
    lost = forever * discount ** np.arange(500, 0, -1)  # what follows step 500, seen from each step
    report.check("taken for an end, step t loses γ^(500 − t)/(1 − γ)", got=forever - as_end, want=lost)
    report.note(
        "Before gymnasium, one flag `done` stood for both ends. Code that reads it as the end of the task teaches the "
        "agent that a pole that stands upright after 500 steps is worth nothing."
    )
    report.figure(
        "A random policy, and what a cut-off episode is worth",
        _figure(played, computed, as_end, going_on),
        alt=f"Left: returns of a random policy pile up around {mean:.0f} with a tail, alike in gymnasium and in the "
        "equations. Right: the return from each step on; taken for an end it falls to 1, bootstrapped it stays level.",
    )


def _random(observation, rng):
    return int(rng.integers(2))


def _balance(observation, rng):
    """Push to the side to which the pole falls, and gently back to the middle."""
    position, speed, angle, turning = observation
    return int(angle + 0.5 * turning + 0.05 * position + 0.1 * speed > 0)


def _environments(report):
    rows = []
    for name in ("CartPole-v1", "FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"):
        env = gymnasium.make(name)
        rows.append([name, str(env.observation_space), str(env.action_space), env.spec.max_episode_steps])
    report.table("the chapter's environments", ["name", "observations", "actions", "cut off after steps"], rows)


def _by_hand(report, discount, seed):
    got = discounted_returns([1.0, 2.0, 4.0], 0.5)
    report.check("rewards 1, 2, 4 at discount ½ return 3, 4, 4", got=got, want=[3.0, 4.0, 4.0])
    rewards = np.random.default_rng((seed, 3)).normal(size=50)
    returns = discounted_returns(rewards, discount)
    powers = discount ** np.subtract.outer(np.arange(50), np.arange(50)).T.clip(min=0)  # γ^(k − t)
    report.check("the recursion equals the direct sum Σ γ^(k − t) r_k", got=returns, want=np.triu(powers) @ rewards)
    report.check("and G_t − γ G_{t+1} is the reward", got=returns - discount * np.append(returns[1:], 0), want=rewards)
    got = discounted_returns(rewards[:20], discount, bootstrap=returns[20])
    report.check("cut after 20 steps, the return of step 21 as bootstrap restores it", got=got, want=returns[:20])


def _one_seed_one_episode(report, env, seed):
    first, again, other = (rollout(env, _random, number) for number in (seed, seed, seed + 1))
    pairs = [(e.observations, e.actions, e.rewards) for e in (first, again)]
    report.check("the same seed gives the same episode", got=pairs[0], want=pairs[1], rtol=0, atol=0)
    distance = np.abs(first.observations[0] - other.observations[0]).max()
    report.at_least("the next seed starts elsewhere, largest difference", distance, 1e-6)
    env.reset(seed=seed)
    drawn = env.unwrapped.np_random.random(5)
    stream = np.random.default_rng(seed).uniform(-0.05, 0.05, size=4), np.random.default_rng(seed).random(9)[4:]
    report.check("gymnasium's draws of a seed are those of default_rng(seed): the first four start CartPole",
                 got=[env.reset(seed=seed)[0], drawn], want=list(stream))  # fmt: skip
    report.note(
        "A policy that draws from default_rng(seed) beside env.reset(seed=seed) sees the environment's own numbers; "
        "`rollout` draws from default_rng((seed, 1))."
    )


def _same_equations(report, env, seed):
    """From gymnasium's state, step by step, so that no difference adds up."""
    states, actions, following, ended = [], [], [], []
    for number in range(20):
        env.reset(seed=seed + number)
        rng, terminated = np.random.default_rng((seed, 4, number)), False
        while not terminated:
            states.append(env.unwrapped.state)
            actions.append(int(rng.integers(2)))
            _, _, terminated, _, _ = env.step(actions[-1])
            following.append(env.unwrapped.state)
            ended.append(terminated)
    got = cart_pole_step(np.array(states, dtype=float), actions)
    want = (np.array(following, dtype=float), np.array(ended))
    report.check("the equations of cart and pole give gymnasium's states and ends", got=got, want=want)


def _random_lengths(count, rng):
    """Steps until the end of `count` random episodes of the equations, all at once."""
    state, lengths = rng.uniform(-0.05, 0.05, size=(count, 4)), np.zeros(count, dtype=int)
    going = np.arange(count)
    while len(going) and lengths.max() < 500:
        lengths[going] += 1
        state, terminated = cart_pole_step(state, rng.integers(2, size=len(going)))
        state, going = state[~terminated], going[~terminated]
    return lengths


def _figure(played, computed, as_end, going_on):
    figure, (left, right) = plots.subplots(1, 2, figsize=(10, 4.2))
    edges = np.arange(5, max(played.max(), computed.max()) + 5, 5) - 0.5
    left.hist(computed, edges, density=True, color="C0", alpha=0.35, label=f"{len(computed)} of the equations")
    style = {"histtype": "step", "color": "C1", "linewidth": 1.8, "label": f"{len(played)} of gymnasium"}
    left.hist(played, edges, density=True, **style)
    left.axvline(played.mean(), color="black", linestyle="--", label=f"mean {played.mean():.1f}")
    left.set(xlabel="return of an episode (steps)", ylabel="density", xlim=(0, 120))
    left.set_title("A random policy drops\nthe pole soon")
    left.legend()
    plots.curves(np.arange(len(as_end)), {"cut: what follows is counted": going_on, "taken for an end": as_end},
                 xlabel="step", ylabel="discounted return from here on", ax=right)  # fmt: skip
    right.set(ylim=(0, going_on.max() * 1.25), title="Upright at step 500:\nthe task goes on")
    return figure

"""Where the model is known, the values of a policy solve one linear equation, and episodes drawn from it confirm them.

A policy turns the table that gymnasium's small environments carry into a chain of states. What the reader should see:
sweeps over all states come to the solution of the chain's linear equations, a factor of the discount nearer each time;
when the values hardly change any more they may still be wrong by a hundred times as much; and thousands of episodes
drawn from the table, or played in gymnasium, have these values as their mean.

Notes: chapter 12, "Dynamic programming" (动态规划: 策略评估).
Source: Sutton and Barto 2018, ISBN 978-0-262-03924-6, sections 3.5 and 4.1; Puterman 1994, Markov Decision Processes,
doi:10.1002/9780470316887 (bounds of the error); https://gymnasium.farama.org/environments/toy_text/frozen_lake
"""

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.environment import Episode, discounted_returns, rollout
from kerasnotes.parts import positive, share, whole

SMOKE = {"simulated": 200, "played": 20}
SECONDS = 3


def transition_arrays(transitions):
    """The table of an environment as two arrays, for sweeps over all states at once.

    Args:
        transitions: gymnasium's `env.unwrapped.P`: `transitions[state][action]` is a list of
            (probability, next state, reward, terminated), with states and actions counted from 0.

    Returns:
        `(p, r)`: p (states, actions, states) holds the probability of going on to each state; what is missing to 1 is
        the probability that the episode ends. r (states, actions) is the expected reward.

    Raises:
        ValueError: If the table is empty, has gaps, or holds probabilities that do not add up to 1.
    """
    states = len(transitions)
    actions = len(transitions[0]) if states and 0 in transitions else 0
    if set(transitions) != set(range(states)) or not actions:
        raise ValueError(f"transitions: expected states counted from 0, each with its actions, got {states} states")
    p, r = np.zeros((states, actions, states)), np.zeros((states, actions))
    for state in range(states):
        if set(transitions[state]) != set(range(actions)):
            raise ValueError(f"transitions: expected {actions} actions in every state, got {set(transitions[state])}")
        for action in range(actions):
            outcomes = transitions[state][action]
            probabilities = np.array([outcome[0] for outcome in outcomes], dtype=float)
            if not (np.all(probabilities >= 0) and abs(probabilities.sum() - 1) < 1e-9):
                raise ValueError(f"transitions: expected probabilities that add up to 1, got {probabilities}")
            for probability, following, reward, terminated in outcomes:
                if not (0 <= following < states and np.isfinite(reward)):
                    raise ValueError(f"transitions: expected known states and finite rewards, got {outcomes!r}")
                r[state, action] += probability * reward
                if not terminated:
                    p[state, action, following] += probability
    return p, r


def policy_probabilities(policy, states, actions):
    """A tabular policy as probabilities.

    Args:
        policy: Array (states,) of actions, or (states, actions) of probabilities.
        states, actions: Sizes of the table.

    Returns:
        Array (states, actions); each row adds up to 1.

    Raises:
        ValueError: If the policy is neither.
    """
    policy = np.asarray(policy)
    if policy.shape == (states,) and policy.dtype.kind in "iu" and np.all((policy >= 0) & (policy < actions)):
        return np.eye(actions)[policy]
    rows = policy.shape == (states, actions) and np.all(policy >= 0) and np.allclose(policy.sum(axis=1), 1, atol=1e-9)
    if not rows:
        raise ValueError(
            f"policy: expected actions ({states},) from 0 to {actions - 1}, or probabilities ({states}, {actions}), "
            f"got an array of shape {policy.shape} and type {policy.dtype}"
        )
    return policy.astype(np.float64)


def under_policy(p, r, policy):
    """The chain that a policy makes of a table: transitions (states, states) and expected rewards (states,)."""
    probabilities = policy_probabilities(policy, *r.shape)
    return np.einsum("sa,sat->st", probabilities, p), np.sum(probabilities * r, axis=1)


def policy_evaluation(transitions, policy, discount, tolerance=1e-10, max_sweeps=1_000_000):
    """Values of a policy: v(s) = Σ_a π(a | s) (r(s, a) + discount Σ_s′ p(s′ | s, a) v(s′)), repeated from zero.

    A sweep's change bounds the error only through the discount: it may be discount/(1 − discount) times as large.

    Args:
        transitions: As in `transition_arrays`.
        policy: Array (states,) of actions, or (states, actions) of probabilities.
        discount: From 0 to 1.
        tolerance: Sweeps end when no value changes by more than this.
        max_sweeps: Largest number of sweeps.

    Returns:
        Array (states,): the expected sum of discounted rewards from each state.

    Raises:
        ValueError: If an argument is outside its domain; if at discount 1 the policy can loop for ever through
            rewards, so that their sum has no limit; or if the values still change after `max_sweeps`.

    Source: Sutton and Barto 2018, section 4.1.
    """
    p, r = transition_arrays(transitions)
    share("discount", discount)
    p, r = under_policy(p, r, policy)
    if discount == 1 and np.any(r[_recurrent(p)] != 0):
        raise ValueError("policy: expected one that leaves every loop with rewards at discount 1, got one that loops")
    return repeat_sweeps(lambda values: r + discount * p @ values, len(r), tolerance, max_sweeps)


def repeat_sweeps(sweep, states, tolerance, max_sweeps):
    """Values (states,) that `sweep` no longer changes by more than `tolerance`, from zeros on.

    Raises:
        ValueError: If they still change after `max_sweeps`, or a bound is not positive.
    """
    positive("tolerance", tolerance)
    values = np.zeros(states)
    for _ in range(whole("max_sweeps", max_sweeps)):
        values, before = sweep(values), values
        change = np.max(np.abs(values - before))
        if change <= tolerance:
            return values
    raise ValueError(f"max_sweeps: expected enough to settle, got {max_sweeps} and a last change of {change:.3g}")


def action_values(transitions, values, discount):
    """q(s, a) = r(s, a) + discount Σ_s′ p(s′ | s, a) v(s′), an array (states, actions).

    Raises:
        ValueError: If `values` is not (states,) and finite, or `discount` lies outside [0, 1].
    """
    p, r = transition_arrays(transitions)
    share("discount", discount)
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (len(r),) or not np.isfinite(values).all():
        raise ValueError(f"values: expected finite numbers ({len(r)},), got {values!r}")
    return r + discount * p @ values


def simulate(transitions, policy, start, episodes, max_steps, seed):
    """Many episodes at once, drawn from the table instead of the environment.

    Args:
        transitions: As in `transition_arrays`.
        policy: Array (states,) of actions, or (states, actions) of probabilities.
        start: State in which all episodes begin, or an array (episodes,) of states.
        episodes: Number of episodes.
        max_steps: Episodes are cut off here.
        seed: Seed of all draws.

    Returns:
        List of `Episode`, each with states as observations.

    Raises:
        ValueError: If an argument is outside its domain.
    """
    p, _ = transition_arrays(transitions)
    states, actions, _ = p.shape
    whole("episodes", episodes)
    whole("max_steps", max_steps)
    start = np.asarray(start)
    if start.shape not in ((), (episodes,)) or start.dtype.kind not in "iu" or start.min() < 0 or start.max() >= states:
        raise ValueError(f"start: expected a state from 0 to {states - 1}, or {episodes} of them, got {start!r}")
    choice = np.cumsum(policy_probabilities(policy, states, actions), axis=1)[:, :-1]
    outcomes = [[transitions[state][action] for action in range(actions)] for state in range(states)]
    most = max(len(each) for row in outcomes for each in row)
    padded = np.array([[[*each, *[(0.0, 0, 0.0, True)] * (most - len(each))] for each in row] for row in outcomes])
    cumulative = np.minimum(np.cumsum(padded[..., 0], axis=2), 1.0)
    cumulative[cumulative > 1 - 1e-9] = 2.0  # so that rounding leads to no padding
    following, rewards, ends = padded[..., 1].astype(np.int64), padded[..., 2], padded[..., 3] > 0

    rng, state, going = np.random.default_rng(seed), np.broadcast_to(start, (episodes,)), np.arange(episodes)
    steps, ended = [], np.zeros(episodes, dtype=bool)
    for _ in range(max_steps):
        action = np.sum(rng.random((len(going), 1)) >= choice[state], axis=1)
        outcome = np.sum(rng.random((len(going), 1)) >= cumulative[state, action], axis=1)
        ended[going] = stop = ends[state, action, outcome]
        steps.append((going, state, action, rewards[state, action, outcome], following[state, action, outcome]))
        state, going = steps[-1][-1][~stop], going[~stop]
        if len(going) == 0:
            break
    number, before, action, reward, after = (np.concatenate(column) for column in zip(*steps, strict=True))
    order = np.argsort(number, kind="stable")
    cuts = np.cumsum(np.bincount(number, minlength=episodes))[:-1]
    columns = zip(*(np.split(column[order], cuts) for column in (before, action, reward, after)), strict=True)
    return [
        Episode(np.append(before, after[-1]), action, reward, bool(end), not end)
        for (before, action, reward, after), end in zip(columns, ended, strict=True)
    ]


def steps_to_end(p):
    """Length of the shortest path of positive probability to an end, infinite where none is, for p (states, states)."""
    steps = np.where(p.sum(axis=1) < 1 - 1e-12, 1.0, np.inf)
    for _ in range(len(p)):
        through = np.min(np.where(p > 0, steps, np.inf), axis=1) + 1
        if np.all(through >= steps):
            break
        steps = np.minimum(steps, through)
    return steps


def _recurrent(p):
    """States to which the chain p (states, states) comes back for ever once it is in them."""
    reach = (p > 0) | np.eye(len(p), dtype=bool)
    for _ in range(max(1, int(np.ceil(np.log2(len(p)))))):
        reach = (reach.astype(np.float32) @ reach.astype(np.float32)) > 0
    endless = ~np.isfinite(steps_to_end(p))
    return endless & np.all(~reach | reach.T, axis=1)


def example():
    """The worth of a random policy: by linear equations in NumPy, by sweeps, and by episodes."""
    transitions = gymnasium.make("FrozenLake-v1").unwrapped.P
    policy = np.full((16, 4), 0.25)
    chain, rewards = under_policy(*transition_arrays(transitions), policy)
    print("solved:  ", np.linalg.solve(np.eye(16) - 0.9 * chain, rewards)[[0, 9, 14]])
    print("sweeps:  ", policy_evaluation(transitions, policy, discount=0.9)[[0, 9, 14]])
    for start in (9, 14):
        episodes = simulate(transitions, policy, start, 5000, max_steps=1000, seed=0)
        returns = [discounted_returns(episode.rewards, 0.9)[0] for episode in episodes]
        print(f"episodes from state {start}: {np.mean(returns):.4f}")


def lesson(report, *, simulated: int = 10_000, played: int = 1000, discount: float = 0.99, seed: int = 0):
    """Evaluate a random policy by equations, by sweeps and by episodes, and ask when to stop sweeping.

    Args:
        report: The report to write to.
        simulated: Episodes drawn from the table (10 to 1000000).
        played: Episodes played in gymnasium (2 to 100000).
        discount: Weight of one step's delay (0.5 to 0.999).
        seed: Seed of all random draws (0 to 4000000000).
    """
    loop = {0: {0: [(0.5, 0, 1.0, False), (0.5, 0, 1.0, True)]}}
    report.check("reward 1, and ½ to come again: worth 2", got=policy_evaluation(loop, [0], 1.0), want=[2.0])
    _episodes(report, simulated, played, discount, seed)
    curves = _sweeps(report, discount)
    report.figure(
        "When may one stop?",
        plots.curves(np.arange(1, len(curves["error"]) + 1), curves, xlabel="sweep", ylabel="largest over all states",
                     yscale="log", title="The cliff at random: small changes,\nlarge errors"),
        alt="Two nearly straight falling lines on a logarithmic axis. The error of the values lies above the change of "
        "the last sweep by a nearly constant factor, and takes hundreds of sweeps more to reach the same height.",
    )  # fmt: skip


def _episodes(report, simulated, played, discount, seed):
    env = gymnasium.make("FrozenLake-v1", max_episode_steps=10_000)
    policy, rows = np.full((16, 4), 0.25), []
    values = policy_evaluation(env.unwrapped.P, policy, discount)
    starts = range(seed * played, (seed + 1) * played)
    for name, episodes in (
        ("drawn from the table", simulate(env.unwrapped.P, policy, 0, simulated, 10_000, seed)),
        ("played in gymnasium", [rollout(env, lambda state, rng: int(rng.integers(4)), start) for start in starts]),
    ):
        returns = [episode.rewards[-1] * discount ** (len(episode) - 1) for episode in episodes]  # only the goal pays
        mean, error = plots.mean_and_error(returns)
        off = abs(mean - values[0]) / max(error, 1e-12)
        report.at_most(f"{name}: mean return off the value, standard errors", off, 4.0, trained=True)
        rows.append([name, len(returns), values[0], mean, error])
    columns = ["episodes", "number", "value", "mean return", "standard error"]
    report.table(f"a random policy on FrozenLake, discount {discount:g}", columns, rows)


def _sweeps(report, discount):
    """Errors and changes of sweeps for a random walk along the cliff, and the bound between them."""
    p, r = transition_arrays(gymnasium.make("CliffWalking-v1").unwrapped.P)
    chain, rewards = under_policy(p, r, np.full(r.shape, 0.25))
    exact, values = np.linalg.solve(np.eye(len(r)) - discount * chain, rewards), np.zeros(len(r))
    error, change = [], []
    while len(error) < 400:
        values, before = rewards + discount * chain @ values, values
        error.append(np.abs(values - exact).max())
        change.append(np.abs(values - before).max())
    ratios = np.array(error) / change
    factor = discount / (1 - discount)
    report.at_most("error over last change, every sweep: at most γ/(1 − γ)", ratios.max(), factor * (1 + 1e-6))
    falls = np.array(error[1:]) / error[:-1]
    report.at_most("each sweep shrinks the error to γ of it or less", falls.max(), discount * (1 + 1e-6))
    report.table("a random walk along the cliff: sweeps", ["sweep", "error", "last change", "ratio"],
                 [[k, error[k - 1], change[k - 1], ratios[k - 1]] for k in (1, 10, 100, 400)])  # fmt: skip
    swept = policy_evaluation(gymnasium.make("CliffWalking-v1").unwrapped.P, np.full(r.shape, 0.25), discount)
    report.check("swept until nothing moves by 1e-10, the values solve the equations", got=swept, want=exact)
    return {"error": np.array(error), "change of the last sweep": np.array(change)}

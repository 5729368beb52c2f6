"""Where the model is known, values follow from one equation; at discount 1 a tie can hide a policy that never arrives.

Two ways to the optimum, policy iteration and value iteration, work on the table that gymnasium's small environments
carry. What the reader should see: both give one answer, and simulated episodes confirm it; without discounting, an
action that stays where it is ties with one that goes on, so that being greedy is not enough; and gymnasium's limit of
100 steps costs a policy that is never in a hurry a tenth of its value.

Notes: chapter 12, "Dynamic programming" (动态规划: 策略迭代与值迭代).
Source: Sutton and Barto 2018, sections 4.1 to 4.4; Bertsekas and Tsitsiklis 1991, "An analysis of stochastic shortest
path problems", Mathematics of Operations Research 16(3) (proper policies);
https://gymnasium.farama.org/environments/toy_text/frozen_lake
"""

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.environment import Episode, rollout

SMOKE = {"simulated": 200, "played": 5}
SECONDS = 4

TIE = 1e-8  # relative to the largest value: actions closer than this are equally good


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


def is_proper(transitions, policy):
    """Whether a policy ends with probability 1 from every state: from everywhere some path leads to an end.

    Args:
        transitions: As in `transition_arrays`.
        policy: As in `policy_probabilities`.

    Source: Bertsekas and Tsitsiklis 1991, section 1.
    """
    p, _ = transition_arrays(transitions)
    return bool(np.isfinite(_steps_to_end(_under(p, policy_probabilities(policy, *p.shape[:2])))).all())


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
    _expect_sweeps(discount, tolerance, max_sweeps)
    probabilities = policy_probabilities(policy, *r.shape)
    p, r = _under(p, probabilities), np.sum(probabilities * r, axis=1)
    if discount == 1 and np.any(r[_recurrent(p)] != 0):
        raise ValueError("policy: expected one that leaves every loop with rewards at discount 1, got one that loops")
    return _repeat(lambda values: r + discount * p @ values, len(r), tolerance, max_sweeps)


def action_values(transitions, values, discount):
    """q(s, a) = r(s, a) + discount Σ_s′ p(s′ | s, a) v(s′), an array (states, actions).

    Raises:
        ValueError: If `values` is not (states,) and finite, or `discount` lies outside [0, 1].
    """
    p, r = transition_arrays(transitions)
    _expect_sweeps(discount)
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (len(r),) or not np.isfinite(values).all():
        raise ValueError(f"values: expected finite numbers ({len(r)},), got {values!r}")
    return r + discount * p @ values


def greedy_policy(transitions, values, discount):
    """The best action of each state, and of equally good ones those that end soonest.

    At discount 1 an action that stays where it is keeps the value of the state and so ties with the way out: a policy
    may be greedy for the optimal values and still wander about for ever. Here, among tied actions, a policy is built
    that is proper if any choice among the ties is, and then improved, again among ties only, until the expected number
    of steps to an end is least.

    Args:
        transitions: As in `transition_arrays`.
        values: Array (states,), such as the optimal values.
        discount: From 0 to 1.

    Returns:
        Array (states,) of actions.

    Raises:
        ValueError: As `action_values`.
    """
    q = action_values(transitions, values, discount)
    p, _ = transition_arrays(transitions)
    tied = q >= q.max(axis=1, keepdims=True) - TIE * max(1.0, np.abs(q).max())
    policy = _towards_the_end(p, tied)
    if np.isfinite(_steps_to_end(p[np.arange(len(q)), policy])).all():
        policy = _improve(p, np.where(tied, -1.0, -np.inf), 1.0, policy)[1]  # every step costs 1
    return policy


def value_iteration(transitions, discount, tolerance=1e-10, max_sweeps=1_000_000):
    """Optimal values: v(s) = max_a (r(s, a) + discount Σ_s′ p(s′ | s, a) v(s′)), repeated from zero.

    Args:
        transitions, discount, tolerance, max_sweeps: As in `policy_evaluation`.

    Returns:
        `(values, policy)`: arrays (states,), of numbers and of actions. Ties are resolved as in `greedy_policy`.

    Raises:
        ValueError: If an argument is outside its domain, or the values still change after `max_sweeps`.

    Source: Sutton and Barto 2018, section 4.4.
    """
    p, r = transition_arrays(transitions)
    _expect_sweeps(discount, tolerance, max_sweeps)
    values = _repeat(lambda values: np.max(r + discount * p @ values, axis=1), len(r), tolerance, max_sweeps)
    return values, greedy_policy(transitions, values, discount)


def policy_iteration(transitions, discount, max_improvements=10_000):
    """Optimal values by solving the equation of one policy exactly, improving the policy, and starting over.

    The first policy always can reach an end, and an action is replaced only by one that is strictly better. So no
    policy on the way loops for ever at discount 1: on a loop without rewards the values average to themselves, which
    leaves no room for a strict improvement.

    Args:
        transitions, discount: As in `policy_evaluation`.
        max_improvements: Largest number of improvements.

    Returns:
        `(values, policy)`: arrays (states,), of numbers and of actions. Ties are resolved as in `greedy_policy`.

    Raises:
        ValueError: If an argument is outside its domain; if at discount 1 some state cannot reach an end under any
            policy, or a loop through rewards pays without end; or if `max_improvements` are not enough.

    Source: Sutton and Barto 2018, section 4.3.
    """
    p, r = transition_arrays(transitions)
    _expect_sweeps(discount)
    if not max_improvements >= 1:
        raise ValueError(f"max_improvements: expected a whole number from 1 on, got {max_improvements!r}")
    policy = _towards_the_end(p, np.ones(r.shape, dtype=bool))
    if discount == 1 and not np.isfinite(_steps_to_end(p[np.arange(len(r)), policy])).all():
        raise ValueError("transitions: expected an end within reach of every state at discount 1, got a loop")
    values, _ = _improve(p, r, discount, policy, max_improvements)
    return values, greedy_policy(transitions, values, discount)


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
    for name, value in (("episodes", episodes), ("max_steps", max_steps)):
        if not (isinstance(value, (int, np.integer)) and value >= 1):
            raise ValueError(f"{name}: expected a whole number from 1 on, got {value!r}")
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


def lesson(report, *, simulated: int = 20_000, played: int = 500, seed: int = 0):
    """Solve two frozen lakes, set the trap of ties, and play the solution.

    Args:
        report: The report to write to.
        simulated: Episodes drawn from the table (10 to 1000000).
        played: Episodes played in gymnasium (2 to 100000).
        seed: Seed of all random draws (0 to 4000000000).
    """
    _stay_or_go(report)
    lakes = {name: gymnasium.make("FrozenLake-v1", map_name=name, is_slippery=True) for name in ("4x4", "8x8")}
    published = {("4x4", 0.99): 0.5420, ("4x4", 1.0): 14 / 17, ("8x8", 0.99): 0.4146, ("8x8", 1.0): 1.0}
    rows = []
    for (name, discount), want in report.track(published.items(), "lakes"):
        table = lakes[name].unwrapped.P
        values, policy = value_iteration(table, discount)
        exact, other = policy_iteration(table, discount)
        which = f"{name}, discount {discount:g}"
        report.check(f"{which}: value of the start", got=exact[0], want=want, rtol=0, atol=5e-5)
        evaluated = policy_evaluation(table, policy, discount)
        report.check(f"{which}: both iterations agree, and with their policy's evaluation", [values, evaluated],
                     [exact, exact], rtol=0, atol=1e-6)  # fmt: skip
        report.check(f"{which}: they agree on the policy", got=policy, want=other)
        report.check(f"{which}: the policy ends with probability 1", got=is_proper(table, policy), want=True)
        returns, lengths = _returns(simulate(table, policy, 0, simulated, 10_000, seed), discount)
        mean, error = plots.mean_and_error(returns)
        if (name, discount) == ("8x8", 1.0):  # a value of 1 leaves nothing to chance
            report.check(f"{which}: every simulated episode reaches the goal", got=returns, want=np.ones(simulated))
        else:
            report.at_most(f"{which}: simulation off the value, standard errors", abs(mean - exact[0]) / error, 3.0)
        p, _ = transition_arrays(table)
        under = p[np.arange(len(policy)), policy]
        steps = np.linalg.solve(np.eye(len(policy)) - under, np.ones(len(policy)))[0]
        rows.append([name, discount, exact[0], float(mean), float(error), steps, float(lengths.mean())])
    report.table(
        f"the optimal policy from the start, and {simulated} episodes of it, cut off at 10000 steps",
        ["lake", "discount", "value", "mean return", "standard error", "expected steps", "mean steps"],
        rows,
    )
    trap = _trap(report, lakes["8x8"].unwrapped.P)
    _limits(report, lakes, played, seed)
    cliff = gymnasium.make("CliffWalking-v1").unwrapped.P
    report.check("CliffWalking's start is 13 steps from its end", got=value_iteration(cliff, 1.0)[0][36], want=-13.0)
    report.figure(
        "Optimal values, and a greedy policy that never arrives",
        _figure(lakes, trap),
        alt="Three maps with an arrow in each square. On the 4x4 lake the start is worth 0.82. On the 8x8 lake, "
        "ties that lead on make the upper rows worth 1; with ties that stay, all arrows of the upper rows point up and "
        "the rows are worth 0.",
    )


def _stay_or_go(report):
    table = {0: {0: [(1.0, 0, 0.0, False)], 1: [(1.0, 0, 1.0, True)]}}  # stay for nothing, or end with the reward 1
    values, policy = value_iteration(table, 1.0)
    report.check("stay for nothing or end with 1: the state is worth 1", got=values, want=[1.0])
    report.check("and at discount 1 staying ties with going", got=action_values(table, values, 1.0), want=[[1.0, 1.0]])
    report.check("of the two, going ends", got=[policy.tolist(), is_proper(table, [0])], want=[[1], False])
    report.check("who stays gets nothing", got=policy_evaluation(table, [0], 1.0), want=[0.0])
    got = value_iteration(table, 0.9)[1], action_values(table, values, 0.9)
    report.check("at discount 0.9 there is no tie", got=got, want=([1], [[0.9, 1.0]]))


def _trap(report, table):
    """The 8x8 lake at discount 1, with the last of all tied actions, which is up."""
    values, policy = value_iteration(table, 1.0)
    q = action_values(table, values, 1.0)
    tied = q >= q.max(axis=1, keepdims=True) - 1e-6
    first, last = tied.argmax(axis=1), 3 - tied[:, ::-1].argmax(axis=1)
    chosen = q[np.arange(len(q)), last]
    report.check("the last of tied actions is greedy for the optimal values", chosen, values, rtol=0, atol=1e-6)
    report.check("yet that policy is not proper", got=is_proper(table, last), want=False)
    worth = policy_evaluation(table, last, 1.0)
    report.check("and its start is worth 0 instead of 1", got=worth[0], want=0.0)
    got = policy_evaluation(table, first, 1.0)[0]
    report.check("the first of tied actions, left, never arrives either", got=got, want=0.0)
    report.note(
        "The trap: up along the upper edge slips left and right for ever and never falls, so each square keeps the "
        "value 1 that the way to the goal gives it; left along the left edge does the same. Below discount 1 the way "
        "there costs, and such ties vanish."
    )
    return worth, last, values, policy


def _limits(report, lakes, played, seed):
    """What a limit of steps costs: exactly, by as many sweeps as there are steps, and in gymnasium."""
    rows, exact = [], {}
    for name, env in lakes.items():
        table, limit = env.unwrapped.P, 100 if name == "4x4" else 200
        p, r = transition_arrays(table)
        states = np.arange(len(r))
        for discount in (0.99, 1.0):
            policy = value_iteration(table, discount)[1]
            cut, best = np.zeros(len(r)), np.zeros(len(r))
            for _ in range(limit):
                cut = r[states, policy] + p[states, policy] @ cut
                best = np.max(r + p @ best, axis=1)
            exact[name, discount] = cut[0]
            unlimited = policy_evaluation(table, policy, 1.0)[0]
            rows.append([name, discount, unlimited, limit, cut[0], best[0]])
    report.table(
        "probability of reaching the goal",
        ["lake", "policy for discount", "without limit", "limit, steps", "within it", "best that counts the steps"],
        rows,
    )
    report.check("4x4: within 100 steps the goal is reached with 0.740", exact["4x4", 1.0], 0.740, rtol=0, atol=5e-4)

    table = lakes["4x4"].unwrapped.P
    policy = value_iteration(table, 1.0)[1]
    for steps, name, want in (
        (10_000, "gymnasium, max_episode_steps=10000", 14 / 17),
        (None, "gymnasium's default limit of 100 steps", exact["4x4", 1.0]),
    ):
        env = gymnasium.make("FrozenLake-v1", map_name="4x4", is_slippery=True, max_episode_steps=steps)
        episodes = [
            rollout(env, lambda state, rng: int(policy[state]), start)
            for start in report.track(range(seed * played, (seed + 1) * played), name)
        ]
        mean, error = plots.mean_and_error(_returns(episodes, 1.0)[0])
        label = f"{name}: mean of {played} off {want:.4f}, standard errors"
        report.at_most(label, abs(mean - want) / max(error, 1e-12), 3.0, trained=True)
        cut = np.mean([episode.truncated for episode in episodes])
        report.note(f"{name}: {mean:.4f} ± {error:.4f}, {cut:.1%} of {played} episodes cut off.")


def _returns(episodes, discount):
    """Discounted returns from the start, and lengths, each (episodes,)."""
    lengths = np.array([len(episode) for episode in episodes])
    # a lake pays once, at the goal, so that powers of the last step suffice
    rewards = np.array([episode.rewards[-1] for episode in episodes])
    return rewards * discount ** (lengths - 1.0), lengths


def _figure(lakes, trap):
    figure, axes = plots.subplots(1, 3, figsize=(12.5, 4.6))
    worth, last, values, policy = trap
    small = value_iteration(lakes["4x4"].unwrapped.P, 1.0)
    for ax, name, (numbers, actions), title in zip(
        axes,
        ("4x4", "8x8", "8x8"),
        (small, (worth, last), (values, policy)),
        ("4×4, discount 1:\nthe start is worth 14/17", "8×8, ties stay:\nthe start is worth 0",
         "8×8, ties lead on:\nthe start is worth 1"),
        strict=True,
    ):  # fmt: skip
        letters = lakes[name].unwrapped.desc.astype(str)
        size = len(letters)
        picture = ax.imshow(numbers.reshape(size, size), vmin=0, vmax=1, cmap="cividis")
        for (row, column), letter in np.ndenumerate(letters):
            number = numbers[row * size + column]
            if letter in "HG":
                square = type(ax.patch)((column - 0.5, row - 0.5), 1, 1, color="black" if letter == "H" else "C1")
                ax.add_patch(square)
                text = "hole" if letter == "H" else "goal"
            else:
                text = "←↓→↑"[actions[row * size + column]] + (f"\n{number:.2f}" if size == 4 else "")
            color = "black" if letter == "G" or (letter in "SF" and number > 0.5) else "white"
            points = 12 if size == 4 else 9 if letter in "HG" else 11
            ax.text(column, row, text, ha="center", va="center", color=color, fontsize=points)
        ax.set(xticks=range(size), yticks=range(size), xlabel="column", ylabel="row")
        ax.grid(False)
        ax.set_title(title)
    figure.colorbar(picture, ax=axes, label="probability of reaching the goal", fraction=0.03, pad=0.02)
    return figure


def _under(p, probabilities):
    """Transitions (states, states) of a policy (states, actions)."""
    return np.einsum("sa,sat->st", probabilities, p)


def _steps_to_end(p):
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
    endless = ~np.isfinite(_steps_to_end(p))
    return endless & np.all(~reach | reach.T, axis=1)


def _towards_the_end(p, allowed):
    """One allowed action in each state: the first that can come nearer to an end, else the first allowed."""
    spread = _under(p, allowed / allowed.sum(axis=1, keepdims=True))
    steps = _steps_to_end(spread)
    nearest = np.where(p > 0, steps, np.inf).min(axis=2)  # (states, actions)
    nearest[p.sum(axis=2) < 1 - 1e-12] = 0.0
    nearer = allowed & (nearest < steps[:, None])
    return np.where(nearer.any(axis=1), nearer.argmax(axis=1), allowed.argmax(axis=1))


def _improve(p, r, discount, policy, max_improvements=10_000):
    """Policy iteration from a policy (states,). Actions with the reward −∞ are never taken."""
    states = np.arange(len(r))
    for _ in range(max_improvements):
        if discount == 1 and not np.isfinite(_steps_to_end(p[states, policy])).all():
            raise ValueError("transitions: expected loops that do not pay at discount 1, got one that pays for ever")
        values = np.linalg.solve(np.eye(len(r)) - discount * p[states, policy], r[states, policy])
        q = r + discount * p @ values
        better = q.max(axis=1) > q[states, policy] + TIE * max(1.0, np.abs(values).max())
        if not better.any():
            return values, policy
        policy = np.where(better, q.argmax(axis=1), policy)
    raise ValueError(f"max_improvements: expected enough to settle, got {max_improvements}")


def _repeat(sweep, states, tolerance, max_sweeps):
    values = np.zeros(states)
    for _ in range(max_sweeps):
        values, before = sweep(values), values
        change = np.max(np.abs(values - before))
        if change <= tolerance:
            return values
    raise ValueError(f"max_sweeps: expected enough to settle, got {max_sweeps} and a last change of {change:.3g}")


def _expect_sweeps(discount, tolerance=1.0, max_sweeps=1):
    if not 0 <= discount <= 1:
        raise ValueError(f"discount: expected a number in [0, 1], got {discount!r}")
    if not tolerance > 0:
        raise ValueError(f"tolerance: expected a positive number, got {tolerance!r}")
    if not max_sweeps >= 1:
        raise ValueError(f"max_sweeps: expected a whole number from 1 on, got {max_sweeps!r}")

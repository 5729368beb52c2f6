"""Where the model is known, values follow from one equation; at discount 1 a tie can hide a policy that never arrives.

What the reader should see: policy iteration and value iteration give one answer, and simulated episodes confirm it;
without discounting, an action that stays where it is ties with one that goes on, so that being greedy is not enough;
and gymnasium's limit of 100 steps costs a policy that is never in a hurry a tenth of its value.

Notes: chapter 12, "Dynamic programming" (动态规划: 策略迭代与值迭代).
Source: Sutton and Barto 2018, ISBN 978-0-262-03924-6, sections 4.2 to 4.4; Bertsekas and Tsitsiklis 1991,
doi:10.1287/moor.16.3.580 (proper policies); https://gymnasium.farama.org/environments/toy_text/frozen_lake
"""

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.environment import rollout
from kerasnotes.chapter12.policy_evaluation import (
    action_values,
    policy_evaluation,
    repeat_sweeps,
    simulate,
    steps_to_end,
    transition_arrays,
    under_policy,
)
from kerasnotes.chapter12.policy_evaluation import policy_probabilities as policy_probabilities
from kerasnotes.parts import share, whole

SMOKE = {"simulated": 200, "played": 5}
SECONDS = 4

TIE = 1e-8  # relative to the largest value: actions closer than this are equally good


def is_proper(transitions, policy):
    """Whether a policy ends with probability 1 from every state: from everywhere some path leads to an end.

    Takes a table and a policy as `policy_evaluation` does.

    Source: Bertsekas and Tsitsiklis 1991.
    """
    return bool(np.isfinite(steps_to_end(under_policy(*transition_arrays(transitions), policy)[0])).all())


def greedy_policy(transitions, values, discount):
    """The best action of each state, and of equally good ones those that end soonest.

    At discount 1 an action that stays where it is ties with the way out: a policy may be greedy for the optimal values
    and still wander about for ever. Here, among tied actions, a policy is built that is proper if any choice among the
    ties is, and then improved, among ties only, until the expected number of steps to an end is least.

    Args:
        transitions, values, discount: As in `action_values`; values such as the optimal ones.

    Returns:
        Array (states,) of actions.

    Raises:
        ValueError: As `action_values`.
    """
    q, (p, _) = action_values(transitions, values, discount), transition_arrays(transitions)
    tied = q >= q.max(axis=1, keepdims=True) - TIE * max(1.0, np.abs(q).max())
    policy = _towards_the_end(p, tied)
    if np.isfinite(steps_to_end(p[np.arange(len(q)), policy])).all():
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
    share("discount", discount)
    values = repeat_sweeps(lambda values: np.max(r + discount * p @ values, axis=1), len(r), tolerance, max_sweeps)
    return values, greedy_policy(transitions, values, discount)


def policy_iteration(transitions, discount, max_improvements=10_000):
    """Optimal values by solving the equation of one policy exactly, improving the policy, and starting over.

    The first policy always can reach an end, and an action is replaced only by one that is strictly better: at discount
    1 no policy on the way loops for ever, as on a loop without rewards the values leave no room for an improvement.

    Args:
        transitions, discount: As in `policy_evaluation`.
        max_improvements: Largest number of improvements.

    Returns:
        `(values, policy)`: arrays (states,), of numbers and of actions. Ties are resolved as in `greedy_policy`.

    Raises:
        ValueError: If an argument is outside its domain; if at discount 1 some state cannot reach an end, or a loop
            pays without end; or if `max_improvements` are not enough.

    Source: Sutton and Barto 2018, section 4.3.
    """
    p, r = transition_arrays(transitions)
    share("discount", discount)
    whole("max_improvements", max_improvements)
    policy = _towards_the_end(p, np.ones(r.shape, dtype=bool))
    if discount == 1 and not np.isfinite(steps_to_end(p[np.arange(len(r)), policy])).all():
        raise ValueError("transitions: expected an end within reach of every state at discount 1, got a loop")
    values, _ = _improve(p, r, discount, policy, max_improvements)
    return values, greedy_policy(transitions, values, discount)


def _towards_the_end(p, allowed):
    """One allowed action in each state: the first that can come nearer to an end, else the first allowed."""
    spread = allowed / allowed.sum(axis=1, keepdims=True)
    steps = steps_to_end(np.einsum("sa,sat->st", spread, p))
    nearest = np.where(p > 0, steps, np.inf).min(axis=2)  # (states, actions)
    nearest[p.sum(axis=2) < 1 - 1e-12] = 0.0
    nearer = allowed & (nearest < steps[:, None])
    return np.where(nearer.any(axis=1), nearer.argmax(axis=1), allowed.argmax(axis=1))


def _improve(p, r, discount, policy, max_improvements=10_000):
    """Policy iteration from a policy (states,). Actions with the reward −∞ are never taken."""
    states = np.arange(len(r))
    for _ in range(max_improvements):
        if discount == 1 and not np.isfinite(steps_to_end(p[states, policy])).all():
            raise ValueError("transitions: expected loops that do not pay at discount 1, got one that pays for ever")
        values = np.linalg.solve(np.eye(len(r)) - discount * p[states, policy], r[states, policy])
        q = r + discount * p @ values
        better = q.max(axis=1) > q[states, policy] + TIE * max(1.0, np.abs(values).max())
        if not better.any():
            return values, policy
        policy = np.where(better, q.argmax(axis=1), policy)
    raise ValueError(f"max_improvements: expected enough to settle, got {max_improvements}")


def example():
    """The slippery lake solved in two ways, and the way to the goal drawn with arrows."""
    transitions = gymnasium.make("FrozenLake-v1").unwrapped.P
    for solve in (value_iteration, policy_iteration):
        values, policy = solve(transitions, discount=1.0)
        print(f"{solve.__name__}: the start is worth {values[0]:.4f}, 14/17 is {14 / 17:.4f}")
    for row in policy.reshape(4, 4):
        print(*("←↓→↑"[action] for action in row))

    stay_or_end = {0: {0: [(1.0, 0, 0.0, False)], 1: [(1.0, 0, 1.0, True)]}}
    print("staying ties with ending:", action_values(stay_or_end, [1.0], 1.0)[0])
    print("but only one is proper:  ", [is_proper(stay_or_end, [action]) for action in (0, 1)])


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
        both = [values, policy_evaluation(table, policy, discount)]
        label = f"{which}: both iterations agree, and with their policy's evaluation"
        report.check(label, got=both, want=[exact, exact], rtol=0, atol=1e-6)
        report.check(f"{which}: they agree on the policy", got=policy, want=other)
        report.check(f"{which}: the policy ends with probability 1", got=is_proper(table, policy), want=True)
        returns, lengths = _returns(simulate(table, policy, 0, simulated, 10_000, seed), discount)
        mean, error = plots.mean_and_error(returns)
        if want == 1.0:  # nothing is left to chance
            report.check(f"{which}: every simulated episode reaches the goal", got=returns, want=np.ones(simulated))
        else:
            report.at_most(f"{which}: simulation off the value, standard errors", abs(mean - exact[0]) / error, 3.0)
        chain = under_policy(*transition_arrays(table), policy)[0]
        steps = np.linalg.solve(np.eye(len(policy)) - chain, np.ones(len(policy)))[0]
        rows.append([name, discount, exact[0], float(mean), float(error), steps, float(lengths.mean())])
    columns = ["lake", "discount", "value", "mean return", "standard error", "expected steps", "mean steps"]
    title = f"the optimal policy from the start, and {simulated} episodes of it, cut off at 10000 steps"
    report.table(title, columns, rows)
    trap = _trap(report, lakes["8x8"].unwrapped.P)
    _limits(report, lakes, played, seed)
    cliff = value_iteration(gymnasium.make("CliffWalking-v1").unwrapped.P, 1.0)[0]
    report.check("CliffWalking's start is 13 steps from its end", got=cliff[36], want=-13.0)
    report.figure(
        "Optimal values, and a greedy policy that never arrives",
        _figure(lakes, trap),
        alt="Three maps with an arrow in each square. On the 4x4 lake the start is worth 0.82. On the 8x8 lake, ties "
        "that lead on make the upper rows worth 1; ties that stay point up there, and the rows are worth 0.",
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
    left = policy_evaluation(table, first, 1.0)[0]
    report.check("the first of tied actions, left, never arrives either", got=left, want=0.0)
    report.note(
        "The trap: up along the upper edge slips left and right for ever and never falls, so each square keeps the "
        "value 1; left along the left edge does the same. Below discount 1 delay costs, and such ties vanish."
    )
    return (worth, last), (values, policy)


def _limits(report, lakes, played, seed):
    """What a limit of steps costs: exactly, by as many sweeps as there are steps, and in gymnasium."""
    rows, exact = [], {}
    for name, env in lakes.items():
        table, limit = env.unwrapped.P, 100 if name == "4x4" else 200
        p, r = transition_arrays(table)
        for discount in (0.99, 1.0):
            policy = value_iteration(table, discount)[1]
            chain, rewards = under_policy(p, r, policy)
            cut = best = np.zeros(len(r))
            for _ in range(limit):
                cut, best = rewards + chain @ cut, np.max(r + p @ best, axis=1)
            exact[name, discount] = cut[0]
            rows.append([name, discount, policy_evaluation(table, policy, 1.0)[0], limit, cut[0], best[0]])
    names = ["lake", "policy for discount", "without limit", "limit, steps", "within it", "best that counts the steps"]
    report.table("probability of reaching the goal", names, rows)
    report.check("4x4: within 100 steps the goal is reached with 0.740", exact["4x4", 1.0], 0.740, rtol=0, atol=5e-4)

    policy = value_iteration(lakes["4x4"].unwrapped.P, 1.0)[1]
    starts = range(seed * played, (seed + 1) * played)
    for steps, name, want in (
        (10_000, "gymnasium, max_episode_steps=10000", 14 / 17),
        (None, "gymnasium's default limit of 100 steps", exact["4x4", 1.0]),
    ):
        env = gymnasium.make("FrozenLake-v1", max_episode_steps=steps)
        episodes = [rollout(env, lambda state, rng: int(policy[state]), start) for start in starts]
        mean, error = plots.mean_and_error(_returns(episodes, 1.0)[0])
        label = f"{name}: mean of {played} off {want:.4f}, standard errors"
        report.at_most(label, abs(mean - want) / max(error, 1e-12), 3.0, trained=True)
        cut = np.mean([episode.truncated for episode in episodes])
        report.note(f"{name}: {mean:.4f} ± {error:.4f}, {cut:.1%} of {played} episodes cut off.")


def _returns(episodes, discount):
    """Discounted returns from the start, and lengths, each (episodes,). A lake pays once, at the goal."""
    lengths = np.array([len(episode) for episode in episodes])
    return np.array([episode.rewards[-1] for episode in episodes]) * discount ** (lengths - 1.0), lengths


def _figure(lakes, trap):
    figure, axes = plots.subplots(1, 3, figsize=(12.5, 4.6))
    small = value_iteration(lakes["4x4"].unwrapped.P, 1.0)
    titles = "4×4, discount 1:\n14/17", "8×8, ties stay:\n0", "8×8, ties lead on:\n1"
    for ax, name, (numbers, actions), title in zip(axes, ("4x4", "8x8", "8x8"), (small, *trap), titles, strict=True):
        letters = lakes[name].unwrapped.desc.astype(str)
        size = len(letters)
        picture = ax.imshow(numbers.reshape(size, size), vmin=0, vmax=1, cmap="cividis")
        for (row, column), letter in np.ndenumerate(letters):
            number = numbers[row * size + column]
            text = "←↓→↑"[actions[row * size + column]] + (f"\n{number:.2f}" if size == 4 else "")
            if letter in "HG":
                fill = "black" if letter == "H" else "C1"
                ax.add_patch(type(ax.patch)((column - 0.5, row - 0.5), 1, 1, color=fill))
                text = "hole" if letter == "H" else "goal"
            color = "black" if letter == "G" or (letter in "SF" and number > 0.5) else "white"
            ax.text(column, row, text, ha="center", va="center", color=color, fontsize=12 if size == 4 else 9)
        ax.set(xticks=range(size), yticks=range(size), xlabel="column", ylabel="row", title=f"{title} at the start")
        ax.grid(False)
    figure.colorbar(picture, ax=axes, label="probability of reaching the goal", fraction=0.03, pad=0.02)
    return figure

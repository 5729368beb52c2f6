"""The tasks of chapter 12: returns, exploring, planning, learning from differences, and the gradient of a policy."""

import math

import numpy as np

from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong

# --- 12.1 Returns ---------------------------------------------------------------------------------------------------


def _returns(rewards, discount, following):
    returns = np.zeros(len(rewards))
    for step in reversed(range(len(rewards))):
        following = rewards[step] + discount * following
        returns[step] = following
    return returns


def _returns_of_the_past(rewards, discount, bootstrap):
    return np.cumsum(discount ** np.arange(len(rewards)) * rewards)


def _returns_seen_from_the_start(rewards, discount, bootstrap):
    steps = len(rewards)
    discounted = discount ** np.arange(steps + 1) * np.append(rewards, bootstrap)
    return np.cumsum(discounted[::-1])[::-1][:-1]


def _returns_without_discount(rewards, discount, bootstrap):
    return _returns(rewards, 1.0, bootstrap)


def _returns_of_one_step(rewards, discount, bootstrap):
    return rewards + discount * np.append(rewards[1:], bootstrap)


def _returns_discounted_twice(rewards, discount, bootstrap):
    return discount * _returns(rewards, discount, bootstrap)


def _bootstrap_ignored(rewards, discount, bootstrap):
    return _returns(rewards, discount, 0.0)


def _bootstrap_not_discounted(rewards, discount, bootstrap):
    return _returns(np.append(rewards[:-1], rewards[-1] + bootstrap), discount, 0.0)


def _bootstrap_everywhere(rewards, discount, bootstrap):
    return _returns(rewards, discount, 0.0) + discount * bootstrap


def _bootstrap_as_a_step(rewards, discount, bootstrap):
    return _returns(np.append(rewards, bootstrap), discount, 0.0)


def _check_returns(trial):
    rewards = np.array([2.0, 0.0, 4.0])
    trial.equal("rewards 2, 0, 4 at the discount ½, terminated", rewards, 0.5, 0.0)
    trial.equal("the same, truncated in a state that is worth 8", rewards, 0.5, 8.0)
    for steps in (1, 4, 50):
        rewards, worth = trial.rng.normal(size=steps), float(trial.rng.normal())
        trial.equal(f"{steps} random rewards, truncated", rewards, float(trial.rng.uniform(0.5, 1)), worth)
    trial.equal("without a discount", rewards, 1.0, 0.0)
    level = trial.answer(np.ones(100), 0.9, 10.0)
    trial.check("reward 1 for ever is worth 10 at the discount 0.9, at every step", got=level, want=np.full(100, 10.0))


returns = Write(
    title="Discounted returns",
    lesson="chapter12.environment",
    minutes=10,
    text=r"""Write the returns from every step on, G_t = r_t + γ G_{t+1}, with G_T the value of what follows the last
step. Before you run it: rewards 2, 0 and 4 come one after the other, and the discount is ½. What are the
returns if the episode terminated, and what if it was truncated in a state that is worth 8?""",
    start='''import numpy as np


def discounted_returns(rewards, discount, bootstrap):
    """The discounted sum of rewards from each step on.

    Args:
        rewards: Array (steps,), the rewards of one episode in their order.
        discount: From 0 to 1.
        bootstrap: Value of what follows the last reward: 0.0 if the episode terminated, else the worth of the state in
            which it was cut off. That state comes one step after the last reward.

    Returns:
        Array (steps,).
    """
    ...
''',
    name="discounted_returns",
    solution="chapter12.environment.discounted_returns",
    hints=(
        "Begin at the end: the last return needs the bootstrap only, and every other one the return after it.",
        "Walk through the rewards backwards (`reversed(range(len(rewards)))`) and carry along what follows.",
        "At each step: `following = rewards[step] + discount * following`, starting from `following = bootstrap`.",
    ),
    check=_check_returns,
    wrong=(
        Wrong(_returns_of_the_past, "those are sums of the past: a return counts the rewards from its step on"),
        Wrong(_returns_seen_from_the_start, "discounted from the first step: each return begins with the whole r_t"),
        Wrong(_returns_without_discount, "the discount is missing"),
        Wrong(_returns_of_one_step, "one step ahead only: the next *return* is discounted, not the next reward"),
        Wrong(_returns_discounted_twice, "the reward of the step itself is not discounted"),
        Wrong(_bootstrap_ignored, "a truncated episode goes on: what follows the last reward is missing"),
        Wrong(
            _bootstrap_not_discounted, "the state after the last reward comes one step later: discount its value once"
        ),
        Wrong(
            _bootstrap_everywhere, "what follows comes after the last reward: from earlier steps it is discounted more"
        ),
    ),
)

# --- 12.2 ε-greedy --------------------------------------------------------------------------------------------------


def _best_of(values):
    return (values == values.max()) / np.sum(values == values.max())


def _best_without_share(values, epsilon):
    best = values == values.max()
    return np.where(best, (1 - epsilon) / best.sum(), epsilon / len(values))


def _others_only(values, epsilon):
    best = _best_of(values)
    return np.where(best > 0, (1 - epsilon) * best, epsilon / max(1, np.sum(best == 0)))


def _first_of_ties(values, epsilon):
    return epsilon / len(values) + (1 - epsilon) * np.eye(len(values))[np.argmax(values)]


def _each_tie_is_best(values, epsilon):
    return epsilon / len(values) + (1 - epsilon) * (values == values.max())


def _shares_exchanged(values, epsilon):
    return (1 - epsilon) / len(values) + epsilon * _best_of(values)


def _no_exploring(values, epsilon):
    return _best_of(values)


def _by_worth(values, epsilon):
    weights = np.exp(values - values.max())
    return epsilon / len(values) + (1 - epsilon) * weights / weights.sum()


def _check_greedy(trial):
    trial.equal("four arms, the second is best, ε = 0.4", np.array([1.0, 3.0, 2.0, 0.0]), 0.4)
    trial.equal("four arms, two are equally good, ε = 0.4", np.array([3.0, 1.0, 3.0, 0.0]), 0.4)
    for arms in (2, 5, 10):
        values, epsilon = np.round(trial.rng.normal(size=arms)), float(trial.rng.uniform(0.05, 0.5))
        trial.equal(f"{arms} arms, some equal, ε = {epsilon:.3f}", values, epsilon)
        got = np.sum(trial.answer(values, epsilon))
        trial.check(f"probabilities of {arms} arms add up to 1", got=got, want=1.0)
    trial.equal("ε = 0 is greedy", values, 0.0)
    trial.equal("ε = 1 draws any arm", values, 1.0)


greedy = Write(
    title="ε-greedy, as probabilities",
    lesson="chapter12.bandits",
    minutes=10,
    text=r"""With probability ε any arm is drawn, each as likely as the others, the best one too; else the arm with the
largest estimate, and if several are equally good, any of these. With which probability is each arm pulled?
Nothing is drawn here: return the probabilities.""",
    start='''import numpy as np


def epsilon_greedy(values, epsilon):
    """The probability with which an epsilon-greedy player pulls each arm.

    Args:
        values: Array (arms,), the estimated mean rewards.
        epsilon: From 0 to 1.

    Returns:
        Array (arms,) of probabilities.
    """
    ...
''',
    name="epsilon_greedy",
    solution_code="""import numpy as np


def epsilon_greedy(values, epsilon):
    best = values == values.max()  # one arm, or several that are equally good
    return epsilon / len(values) + (1 - epsilon) * best / best.sum()
""",
    hints=(
        "There are two ways to an arm: it is drawn blindly, or it is the best. Add up both probabilities.",
        "Blindly every arm has ε / n, the best one as well. What is left for the best?",
        "The best arm gets 1 − ε on top; `values == values.max()` finds it, or all that are equally good.",
        "Equally good arms share the 1 − ε: divide by how many they are.",
    ),
    check=_check_greedy,
    wrong=(
        Wrong(_best_without_share, "the best arm can be drawn blindly, too: your probabilities add up to less than 1"),
        Wrong(_others_only, "ε was given to the other arms alone: a blind draw may fall on the best one"),
        Wrong(_first_of_ties, "the first of several best arms got everything (`argmax`): equally good ones share"),
        Wrong(_each_tie_is_best, "each of several best arms got 1 − ε: they share it, or the sum is above 1"),
        Wrong(_shares_exchanged, "ε and 1 − ε are exchanged: ε is the share of blind draws"),
        Wrong(_no_exploring, "this player never explores: where is ε?"),
        Wrong(_by_worth, "that is a softmax: here second best is no better than worst"),
    ),
)

# --- 12.3 One sweep of value iteration ------------------------------------------------------------------------------


def _sweep_of_means(p, r, values, discount):
    return np.mean(r + discount * p @ values, axis=1)


def _sweep_without_discount(p, r, values, discount):
    return np.max(r + p @ values, axis=1)


def _sweep_best_next(p, r, values, discount):
    return np.max(r + discount * np.max(p * values, axis=2), axis=1)


def _sweep_luckiest(p, r, values, discount):
    return np.max(r + discount * np.max(np.where(p > 0, values, -np.inf), axis=2, initial=-1e9), axis=1)


def _sweep_two_maxima(p, r, values, discount):
    return np.max(r, axis=1) + discount * np.max(p @ values, axis=1)


def _sweep_discounted_reward(p, r, values, discount):
    return np.max(discount * (r + p @ values), axis=1)


def _sweep_in_place(p, r, values, discount):
    values = np.array(values)
    for state in range(len(values)):
        values[state] = np.max(r[state] + discount * p[state] @ values)
    return values


def _sweep_over_states(p, r, values, discount):
    return np.max(r + discount * p @ values, axis=0)


def _sweep_of_pairs(p, r, values, discount):
    return r + discount * p @ values


def _world():
    """Two states: stop for 1 or go on; then 3 or back, with probability ½ each. Arrays and gymnasium's table."""
    p = np.zeros((2, 2, 2))
    p[0, 1, 1], p[1, :, 0] = 1.0, 0.5
    r = np.array([[1.0, 0.0], [1.5, 1.5]])
    back = [(0.5, 1, 3.0, True), (0.5, 0, 0.0, False)]
    return p, r, {0: {0: [(1.0, 0, 1.0, True)], 1: [(1.0, 1, 0.0, False)]}, 1: {0: back, 1: back}}


def _new_and_old(answer, p, r, values, discount):
    return answer(p, r, values, discount), values


def _check_sweep(trial):
    from kerasnotes.chapter12.dynamic_programming import value_iteration

    stay, pays = np.array([[[0.0], [1.0]]]), np.array([[1.0, 0.0]])
    trial.equal("one state: stop for 1, or stay for nothing; it was worth 4, γ = ½", stay, pays, np.array([4.0]), 0.5)
    p, r, table = _world()
    trial.equal("two states, of which the first can stop for 1, values (2, 6), γ = ½", p, r, np.array([2.0, 6.0]), 0.5)
    for states, actions in ((2, 3), (4, 2), (12, 4)):
        p = trial.rng.dirichlet(np.ones(states + 1), (states, actions))[:, :, :states]  # the rest ends the episode
        r, values = trial.rng.normal(size=(states, actions)), trial.rng.normal(size=states) + 1
        trial.equal(f"{states} states, {actions} actions", p, r, values, 0.9)
        trial.equal("the same, and the old values", p, r, values, 0.9, call=_new_and_old)
    (p, r, _), values = _world(), np.zeros(2)
    for _ in range(60):
        values = trial.answer(p, r, values, 0.5)
    trial.check("repeated 60 times, the lesson's optimal values", got=values, want=value_iteration(table, 0.5)[0])


sweep = Write(
    title="One sweep of value iteration",
    lesson="chapter12.dynamic_programming",
    minutes=10,
    text=r"""Write one sweep over all states: v(s) ← max_a (r(s, a) + γ Σ_s' p(s' | s, a) v(s')), with the *old* values
on the right everywhere. Where the probabilities p(s' | s, a) do not add up to 1, the rest is the
probability that the episode ends, after which nothing follows.""",
    start='''import numpy as np


def sweep(p, r, values, discount):
    """New values of all states, from the old ones.

    Args:
        p: Array (states, actions, states): p[s, a, s2] is the probability of going on from s to s2 by action a.
        r: Array (states, actions), the expected rewards.
        values: Array (states,), the old values; they must stay as they are.
        discount: From 0 to 1.

    Returns:
        Array (states,), the new values.
    """
    ...
''',
    name="sweep",
    solution_code="""import numpy as np


def sweep(p, r, values, discount):
    q = r + discount * p @ values  # (states, actions): p @ values sums over the last axis, the next states
    return q.max(axis=1)
""",
    hints=(
        "First the action values $q(s, a)$, an array (states, actions); the maximum over the actions comes last.",
        "The sum over next states is a product: `p @ values` has the shape (states, actions).",
        "`q = r + discount * p @ values`, and then the largest in each row.",
    ),
    check=_check_sweep,
    wrong=(
        Wrong(_sweep_of_means, "a mean over the actions evaluates a random policy: the best action is asked for"),
        Wrong(_sweep_without_discount, "the discount is missing"),
        Wrong(_sweep_best_next, "the largest term of the sum was taken: the next state is drawn, so sum over all"),
        Wrong(_sweep_luckiest, "the best *next state* was taken: the next state is drawn, only the action is chosen"),
        Wrong(_sweep_two_maxima, "reward and future were maximized apart: one and the same action has to give both"),
        Wrong(_sweep_discounted_reward, "the reward comes at once: only what follows is discounted"),
        Wrong(
            _sweep_in_place, "new values were used within the sweep: that converges as well, but old ones are asked for"
        ),
        Wrong(_sweep_over_states, "the maximum was taken over the states: actions are axis 1"),
        Wrong(_sweep_of_pairs, "those are the action values: take the largest of each state"),
    ),
)

# --- 12.4 Stop or go ------------------------------------------------------------------------------------------------


def _best_values(discount):
    from kerasnotes.chapter12.dynamic_programming import value_iteration

    return value_iteration(_world()[2], discount)[0].tolist()


def _going_pays_from():
    low, high = 0.0, 1.0
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (low, middle) if _best_values(middle)[0] > 1 + 1e-9 else (middle, high)
    return high


stop = Predict(
    title="Stop or go",
    lesson="chapter12.dynamic_programming",
    minutes=15,
    text=r"""In state 0 one can stop with the reward 1, or go to state 1 for nothing. In state 1 every action ends with
the reward 3 or leads back to state 0 for nothing, each with probability ½. Write $v(0)$ for somebody who
always goes, as a function of γ. From which γ on is going better than stopping? What are both optimal
values, $v(0)$ and $v(1)$, at γ = ½ and at γ = 1?""",
    hints=(
        "Somebody who always goes has v(0) = γ v(1) and v(1) = 3/2 + γ/2 v(0).",
        "Put one into the other: v(0) = 3/2 γ / (1 − γ²/2).",
        "Going is better if that exceeds 1: γ² + 3γ − 2 > 0.",
        "At γ = ½ stopping is better, so $v(0) = 1$, and $v(1)$ follows from it.",
    ),
    values=(
        Value(
            "discount_from",
            "the γ from which on going is better",
            want=_going_pays_from,
            rtol=5e-3,
            wrong=(
                (lambda: 2 / 3, "state 1 may lead back to state 0, and that is worth something, too"),
                (lambda: 1 / 3, "the reward 3 comes with probability ½ only"),
                (lambda: math.sqrt(2 / 3), "going takes one discount, not two"),
            ),
        ),
        Value(
            "values_half",
            "the list of v(0) and v(1) at γ = ½",
            want=lambda: _best_values(0.5),
            wrong=(
                (lambda: [6 / 7, 12 / 7], "those are the values of always going: at γ = ½ stopping pays more"),
                (lambda: [1.0, 1.5], "state 1 leads back to state 0 half of the time, which is worth 1 there"),
                (lambda: [1.0, 2.0], "what comes back from state 0 is discounted once"),
                (lambda: [1.0, 3.25], "the reward 3 comes with probability ½ only"),
                (lambda: [1.0, 12 / 7], "v(1) was computed for going on from state 0: there one stops now"),
            ),
        ),
        Value(
            "values_one",
            "the list of v(0) and v(1) at γ = 1",
            want=lambda: _best_values(1.0),
            wrong=(
                (lambda: [1.5, 1.5], "whoever is led back goes again, until the 3 comes"),
                (lambda: [1.0, 2.0], "that is for stopping in state 0: now going is better"),
                (lambda: [2.0, 2.0], "whoever is led back goes again instead of stopping for 1"),
            ),
        ),
    ),
    solution_code="""import math

# always going: v0 = γ v1 and v1 = 3/2 + γ/2 v0, so that v0 = 3/2 γ / (1 − γ²/2); it exceeds 1 where γ² + 3γ − 2 > 0
discount_from = (-3 + math.sqrt(17)) / 2
values_half = [1.0, 1.5 + 0.5 * 0.5 * 1.0]  # below it: stop, and a return to state 0 is worth 1
values_one = [3.0, 3.0]  # above it: without a discount the 3 comes sooner or later
""",
)

# --- 12.5 SARSA -----------------------------------------------------------------------------------------------------


def _moved(q, s, a, target, learning_rate):
    q[s, a] += learning_rate * (target - q[s, a])
    return q


def _sarsa_takes_best(q, s, a, r, s2, a2, terminated, learning_rate, discount):
    return _moved(q, s, a, r if terminated else r + discount * q[s2].max(), learning_rate)


def _sarsa_never_ends(q, s, a, r, s2, a2, terminated, learning_rate, discount):
    return _moved(q, s, a, r + discount * q[s2, a2], learning_rate)


def _sarsa_always_ends(q, s, a, r, s2, a2, terminated, learning_rate, discount):
    return _moved(q, s, a, r, learning_rate)


def _sarsa_without_discount(q, s, a, r, s2, a2, terminated, learning_rate, discount):
    return _moved(q, s, a, r if terminated else r + q[s2, a2], learning_rate)


def _sarsa_own_value(q, s, a, r, s2, a2, terminated, learning_rate, discount):
    return _moved(q, s, a, r if terminated else r + discount * q[s, a], learning_rate)


def _sarsa_adds_target(q, s, a, r, s2, a2, terminated, learning_rate, discount):
    q[s, a] += learning_rate * (r if terminated else r + discount * q[s2, a2])
    return q


def _sarsa_turned(q, s, a, r, s2, a2, terminated, learning_rate, discount):
    return _moved(q, s, a, r if terminated else r + discount * q[s2, a2], -learning_rate)


def _sarsa_whole_step(q, s, a, r, s2, a2, terminated, learning_rate, discount):
    return _moved(q, s, a, r if terminated else r + discount * q[s2, a2], 1.0)


def _sarsa_same_action(q, s, a, r, s2, a2, terminated, learning_rate, discount):
    return _moved(q, s, a, r if terminated else r + discount * q[s2, a], learning_rate)


def _sarsa_end_is_zero(q, s, a, r, s2, a2, terminated, learning_rate, discount):
    return _moved(q, s, a, 0.0 if terminated else r + discount * q[s2, a2], learning_rate)


def _check_sarsa(trial):
    q = np.array([[4.0, 0.0], [6.0, 10.0]])
    trial.equal("Q(0, 0) = 4, reward −1, then action 0 in state 1, α = ¼, γ = ½", q, 0, 0, -1.0, 1, 0, False, 0.25, 0.5)
    trial.equal("the same, but the episode terminated", q, 0, 0, -1.0, 1, 0, True, 0.25, 0.5)
    trial.equal("the same, then action 1 in state 1", q, 0, 0, -1.0, 1, 1, False, 0.25, 0.5)
    for _ in range(6):
        states, actions = (int(size) for size in trial.rng.integers(2, 7, size=2))
        q, r = trial.rng.normal(size=(states, actions)), float(trial.rng.normal())
        (s, s2), (a, a2) = trial.rng.integers(states, size=2), trial.rng.integers(actions, size=2)
        end, rates = bool(trial.rng.random() < 0.3), trial.rng.uniform(0.1, 1, 2).tolist()
        trial.equal(f"a random table of {states} × {actions}", q, int(s), int(a), r, int(s2), int(a2), end, *rates)


sarsa = Write(
    title="One update of SARSA",
    lesson="chapter12.sarsa",
    minutes=10,
    text=r"""Write one update of SARSA in a table. Before you run it: $Q(0, 0) = 4$, the reward is $-1$, in state 1 the
actions are worth 6 and 10, action 0 will be played there, and learning rate and discount are ¼ and ½. What
does SARSA make of $Q(0, 0)$, what if the episode terminated in state 1, and what would Q-learning make of it?""",
    start='''import numpy as np


def sarsa_update(q, s, a, r, s2, a2, terminated, learning_rate, discount):
    """One update of the value of action a in state s, in place.

    Args:
        q: Array (states, actions) of action values, to be changed in place.
        s, a, r: State, action taken in it, and the reward that came of it.
        s2, a2: Next state, and the action that will be played there.
        terminated: Whether the episode ended in s2, so that nothing follows.
        learning_rate, discount: From 0 to 1.

    Returns:
        The array `q` itself.
    """
    ...
''',
    name="sarsa_update",
    solution="chapter12.sarsa.sarsa_update",
    hints=(
        "Two steps: what should Q(s, a) have been (the target), and move it a part of the way there.",
        "The target is r + γ Q(s', a'), or $r$ alone if the episode terminated in $s'$.",
        "`q[s, a] += learning_rate * (target - q[s, a])`, and return `q`. Q-learning would take `q[s2].max()` in place "
        "of `q[s2, a2]`.",
    ),
    check=_check_sarsa,
    wrong=(
        Wrong(_sarsa_takes_best, "that is Q-learning: SARSA takes the action that will be played, not the best"),
        Wrong(_sarsa_never_ends, "where the episode terminated nothing follows: the target is the reward alone"),
        Wrong(_sarsa_always_ends, "the next value is missing in the target"),
        Wrong(_sarsa_without_discount, "the next value has to be discounted"),
        Wrong(_sarsa_own_value, "the target has Q(s, a) itself in it: the *next* pair's value belongs there"),
        Wrong(_sarsa_adds_target, "the old value was not taken off: move by α (target − Q(s, a))"),
        Wrong(_sarsa_turned, "this moves away from the target: the difference is target − Q(s, a)"),
        Wrong(_sarsa_whole_step, "the value was set to the target: the learning rate is missing"),
        Wrong(_sarsa_same_action, "the next state's value was read at the old action: take a2"),
        Wrong(_sarsa_end_is_zero, "at the end the reward still counts: the target is r, not 0"),
    ),
)

# --- 12.6 A detour --------------------------------------------------------------------------------------------------

_START = 36  # the cliff's lower left corner


def _way_is_worth(row, epsilon):
    import gymnasium

    from kerasnotes.chapter12.cliff import detour, explorers_values

    transitions = gymnasium.make("CliffWalking-v1").unwrapped.P
    return explorers_values(transitions, detour(row), epsilon)[_START]


def _detour_pays_from():
    low, high = 0.001, 0.1
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if _way_is_worth(2, middle) > _way_is_worth(1, middle) else (low, middle)
    return low


def _best_way(epsilon):
    best = max((2, 1, 0), key=lambda row: _way_is_worth(row, epsilon))
    return 13 + 2 * (2 - best)


_TOP_IS_LONG = "two steps more for safety that is hardly needed: a fall from there takes two false steps in a row"

cliff = Predict(
    title="When a detour pays",
    lesson="chapter12.cliff",
    minutes=20,
    text=r"""On the cliff, the ways along the edge, one row higher and along the top take 13, 15 and 17 steps of −1; a
fall costs 100 and leads back to the start. At each step a random one of the four actions is taken with
probability ε; whoever was pushed off his way goes back to it. Estimate, to a tenth or so, from which ε on one
row higher beats the edge: on how many squares can a single false step fall, how likely is it there, and what
does a fall cost, with the steps walked again? Then: how many steps has the best way at ε = 0.005, 0.02, 0.4?""",
    hints=(
        "The edge has ten squares above the cliff; one false step of four falls, with probability ε/4.",
        "A fall costs 100, and the steps done so far, some 6 on average, are walked again: about 106 in all, less the "
        "step itself.",
        "So the edge loses about 10 · ε/4 · 105 steps, the detour 2. The start, from which "
        "one can fall, too, is on all ways.",
        "One row higher takes two false steps in a row, about ten times (ε/4)² · 105: less than the 2 steps more of "
        "the way along the top up to ε ≈ 0.15, more beyond. `kerasnotes.chapter12.cliff.explorers_values` gives each "
        "way's exact worth.",
    ),
    values=(
        Value(
            "pays_from",
            "the ε from which on the way one row higher is better",
            want=_detour_pays_from,
            rtol=0.12,
            wrong=(
                (lambda: 2 / (10 * 105), "only one of the four random actions falls: the probability is ε/4"),
                (lambda: 2 / (105 / 4), "there are ten squares from which one can fall"),
                (lambda: 2 / 105, "count the squares, and that one of the four random actions falls"),
                (lambda: 1 / (10 / 4 * 105), "the detour has two steps more, not one"),
            ),
        ),
        Value(
            "steps_small",
            "steps of the best of the three ways at ε = 0.005",
            want=lambda: _best_way(0.005),
            rtol=1e-6,
            wrong=(
                (lambda: 15, "so rarely does one stumble that two steps more cost more than falls"),
                (lambda: 17, _TOP_IS_LONG),
            ),
        ),
        Value(
            "steps_middle",
            "steps of the best way at ε = 0.02",
            want=lambda: _best_way(0.02),
            rtol=1e-6,
            wrong=((lambda: 13, "falls from the edge cost more than two steps by now"), (lambda: 17, _TOP_IS_LONG)),
        ),
        Value(
            "steps_large",
            "steps of the best way at ε = 0.4",
            want=lambda: _best_way(0.4),
            rtol=1e-6,
            wrong=(
                (lambda: 13, "falls from the edge cost more than any detour by now"),
                (lambda: 15, "two steps in five are random: two false ones in a row are common now"),
            ),
        ),
    ),
    solution_code="""squares, fall = 10, 100 + 6 - 1  # squares above the cliff; a fall and what is walked again
pays_from = 2 / (squares * fall / 4)  # 2 more steps against squares · ε/4 · fall
steps_small = 13  # 0.005 is below it
steps_middle = 15  # one row higher a fall takes two false steps in a row, about ε²
steps_large = 17  # at ε = 0.4 that costs 10 · 0.1² · 105, some ten steps: more than the two of the longer way
""",
)

# --- 12.7 Q-learning with a clock -----------------------------------------------------------------------------------

_Q_LEARNING = '''import numpy as np


def q_learning(step, start, states, actions, episodes, max_steps, learning_rate, discount, epsilon, rng):
    """Learn a table of action values by Q-learning.

    Args:
        step: Function `step(state, action) -> (next state, reward, terminated)`, the world. Terminated means that
            nothing follows.
        start: State in which every episode starts.
        states, actions: How many there are.
        episodes: Episodes to play.
        max_steps: A clock cuts every episode off after so many steps.
        learning_rate, discount, epsilon: From 0 to 1.
        rng: NumPy's random generator.

    Returns:
        Array (states, actions).
    """
    q = np.zeros((states, actions))
    for _ in range(episodes):
        s = start
        for number in range(max_steps):
            # act: now and then at random
            a = int(rng.integers(actions)) if rng.random() < epsilon else int(np.argmax(q[s]))
            s2, r, terminated = step(s, a)
            truncated = number + 1 == max_steps
            # learn
            done = terminated or truncated
            target = {target}
            q[s, a] += learning_rate * (target - q[s, a])
            # go on from there
            if done:
                break
            s = s2
    return q
'''
_CLOCK_ENDS = "r if done else r + discount * q[s2].max()"
_CLOCK_GOES_ON = "r if terminated else r + discount * q[s2].max()"


def _clock(learner, states, ends, actions, episodes, max_steps, learning_rate, discount, seed):
    """What is learnt on a ring of states, on which the last action walks on for the reward 1 and others stay.

    Where the ring ends, the step that leads back to its first state terminates.
    """

    def step(state, action):
        walks = int(action == actions - 1)
        following = (state + walks) % states
        return following, float(walks), ends and walks == 1 and following == 0

    rng = np.random.default_rng(seed)
    return learner(step, 0, states, actions, episodes, max_steps, learning_rate, discount, 0.3, rng)


def _check_clock(trial):
    label = "one state, reward 1 for ever, one episode cut off after 2 steps, α = 1, γ = ½: first 1, then 1 + ½ · 1"
    first = {"episodes": 1, "max_steps": 2, "learning_rate": 1.0, "discount": 0.5, "seed": 0}
    trial.equal(label, states=1, ends=False, actions=1, **first, call=_clock)
    label = "the same, but each step terminates: its target is 1"
    trial.equal(label, states=1, ends=True, actions=1, **first, call=_clock)
    for seed, (states, steps) in enumerate(((1, 10), (3, 4), (4, 25)), 1):
        rest = {"states": states, "actions": 2, "episodes": 60, "max_steps": steps, "learning_rate": 0.5}
        for ends, word in ((False, "without an end"), (True, "with an end")):
            label = f"a ring of {states} states {word}, cut off after {steps} steps"
            trial.equal(label, ends=ends, **rest, discount=0.9, seed=seed, call=_clock)
    got = _clock(trial.answer, 1, False, 1, 60, 10, 0.5, 0.9, 0)
    trial.check("reward 1 for ever is worth 10 at γ = 0.9", got=got, want=[[10.0]], rtol=1e-2)


clock = Mend(
    title="Q-learning in a world with a clock",
    lesson="chapter12.q_learning",
    minutes=10,
    text=r"""In a world of one state every step pays 1, for ever. Episodes are cut off after 10 steps, only to begin
anew. At the discount 0.9 the state is worth 1/(1 − 0.9) = 10, but this program settles well below that,
however long it learns, and the shorter the episodes, the lower. In worlds that come to an end of their
own before the clock it learns the right values. Mend `q_learning`.""",
    start=_Q_LEARNING.format(target=_CLOCK_ENDS),
    name="q_learning",
    solution_code=_Q_LEARNING.format(target=_CLOCK_GOES_ON + "  # after a mere cut something follows"),
    hints=(
        "Two things end an episode. After which of them does nothing follow?",
        "A clock stops the *playing*. The state in which it stops is still worth something.",
        "`done` may decide about the `break`, but not about the target.",
        "The target is `r` only if `terminated`; a truncated step keeps its second term.",
    ),
    check=_check_clock,
    wrong=(
        Wrong(_Q_LEARNING.format(target=_CLOCK_ENDS), "a truncated step still counts as an end: something follows"),
        Wrong(
            _Q_LEARNING.format(target="r + discount * q[s2].max()"),
            "now nothing is an end: where the episode *terminated* the target is the reward alone",
        ),
        Wrong(
            _Q_LEARNING.format(target="r if truncated else r + discount * q[s2].max()"),
            "the other way round: a truncated step goes on, a terminated one does not",
        ),
        Wrong(
            _Q_LEARNING.format(target="r if terminated else r + discount * q[s].max()"),
            "the maximum is over the actions of the *next* state",
        ),
        Wrong(
            _Q_LEARNING.format(target="r if terminated else r + discount * q[s2, a]"),
            "the maximum went away: Q-learning takes the best next action",
        ),
        Wrong(
            _Q_LEARNING.format(target="r / (1 - discount) if truncated and not terminated else "
                               "r if terminated else r + discount * q[s2].max()"),
            "that fits a reward that stays as it is for ever; the table's own value of the next state fits always",
        ),
    ),
)  # fmt: skip

# --- 12.8 The target of double DQN ----------------------------------------------------------------------------------


def _target_of(rewards, terminated, following, discount):
    return rewards + discount * (1.0 - terminated) * following


def _picked(values, by):
    import tensorflow as tf

    return tf.gather(values, tf.argmax(by, axis=1), axis=1, batch_dims=1)


def _target_single(rewards, terminated, online, target, discount):
    return _target_of(rewards, terminated, _picked(target, target), discount)


def _target_online(rewards, terminated, online, target, discount):
    return _target_of(rewards, terminated, _picked(online, online), discount)


def _target_exchanged(rewards, terminated, online, target, discount):
    return _target_of(rewards, terminated, _picked(online, target), discount)


def _target_never_ends(rewards, terminated, online, target, discount):
    return rewards + discount * _picked(target, online)


def _target_end_turned(rewards, terminated, online, target, discount):
    return rewards + discount * terminated * _picked(target, online)


def _target_end_is_zero(rewards, terminated, online, target, discount):
    return (1.0 - terminated) * (rewards + discount * _picked(target, online))


def _target_without_discount(rewards, terminated, online, target, discount):
    return _target_of(rewards, terminated, _picked(target, online), 1.0)


def _target_least(rewards, terminated, online, target, discount):
    return _target_of(rewards, terminated, _picked(target, -online), discount)


def _target_of_all(rewards, terminated, online, target, discount):
    import tensorflow as tf

    return rewards[:, None] + discount * (1.0 - terminated[:, None]) * tf.cast(target, tf.float32)


def _check_target(trial):
    import tensorflow as tf

    from kerasnotes.chapter12.targets import estimated_maximum, td_target

    reward, going, ended = tf.constant([1.0]), tf.constant([0.0]), tf.constant([1.0])
    online, target = tf.constant([[2.0, 3.0]]), tf.constant([[6.0, 4.0]])
    trial.equal("one transition with the reward 1, γ = ½", reward, going, online, target, 0.5)
    trial.equal("the same, but terminated", reward, ended, online, target, 0.5)
    for batch, actions in ((1, 2), (5, 3), (32, 4)):
        rewards = tf.constant(trial.rng.normal(size=batch), tf.float32)
        ends = tf.constant(trial.rng.random(batch) < 0.3, tf.float32)
        tables = [tf.constant(trial.rng.normal(size=(batch, actions)), tf.float32) for _ in range(2)]
        trial.equal(f"{batch} random transitions, {actions} actions", rewards, ends, *tables, 0.99)
    want = td_target(rewards, ends, estimated_maximum(*tables), 0.99)
    trial.check("equals the lesson's", got=trial.answer(rewards, ends, *tables, 0.99), want=want)


target = Write(
    title="The target of double DQN",
    lesson="chapter12.targets",
    minutes=15,
    text=r"""Write y = r + γ Q_θ̄(s', argmax_a' Q_θ(s', a')) for a batch of transitions: the network that learns chooses
the next action, its older copy says what that is worth. A terminated transition has $y = r$.""",
    start='''import tensorflow as tf


def double_target(rewards, terminated, online, target, discount):
    """What the values of the actions taken should have been.

    Args:
        rewards: Tensor (batch,).
        terminated: Tensor (batch,), 1.0 where the episode terminated, else 0.0.
        online: Tensor (batch, actions), the learning network's values in the next states.
        target: Tensor (batch, actions), the older copy's values in the next states.
        discount: From 0 to 1.

    Returns:
        Tensor (batch,).
    """
    ...
''',
    name="double_target",
    solution_code="""import tensorflow as tf


def double_target(rewards, terminated, online, target, discount):
    best = tf.argmax(online, axis=1)  # (batch,): the learning network chooses
    following = tf.gather(target, best, axis=1, batch_dims=1)  # (batch,): its older copy values
    return rewards + discount * (1.0 - terminated) * following
""",
    hints=(
        "Three steps: choose an action in each next state, look up what it is worth, add it to the reward.",
        "Choosing is `tf.argmax(online, axis=1)`, one action a row.",
        "`tf.gather(target, best, axis=1, batch_dims=1)` reads one number of each row. (A one-hot mask does it, too.)",
        "`rewards + discount * (1 - terminated) * following`",
    ),
    check=_check_target,
    wrong=(
        Wrong(_target_single, "the copy chose by itself: that is plain DQN, which promises too much"),
        Wrong(_target_online, "the learning network valued its own choice: the copy's value is asked for"),
        Wrong(_target_exchanged, "the roles are exchanged: the learning network chooses, the copy values"),
        Wrong(_target_never_ends, "a terminated transition has y = r: nothing follows"),
        Wrong(_target_end_turned, "the other way round: it is the *terminated* transition that has no next value"),
        Wrong(_target_end_is_zero, "the reward of the last step still counts: only the next value goes"),
        Wrong(_target_without_discount, "the next value has to be discounted"),
        Wrong(_target_least, "the worst action was chosen: `argmax`, not `argmin`"),
        Wrong(_target_of_all, "one number for each action: choose one action a row"),
    ),
)

# --- 12.9 Learning a hundred times too slowly -----------------------------------------------------------------------

_SGD = '''import tensorflow as tf


def sgd_step(weights, states, actions, rewards, next_states, terminated, discount, learning_rate):
    """One step of gradient descent on ½ (y - Q(s, a))², averaged over a batch of transitions.

    The network is linear: its values are `states @ weights`. There is no older copy: it makes its own targets y.

    Args:
        weights: Tensor (features, actions).
        states, next_states: Tensors (batch, features).
        actions: Tensor (batch,) of whole numbers.
        rewards: Tensor (batch,).
        terminated: Tensor (batch,), 1.0 where the episode terminated, else 0.0.
        discount, learning_rate: From 0 to 1.

    Returns:
        Tensor (features, actions), the weights after the step.
    """
    with tf.GradientTape() as tape:
        tape.watch(weights)
        values = tf.gather(states @ weights, actions, axis=1, batch_dims=1)  # (batch,)
        next_values = tf.reduce_max(next_states @ weights, axis=1)  # (batch,)
        target = rewards + discount * (1.0 - terminated) * next_values
{loss}
    return weights - learning_rate * tape.gradient(loss, weights)
'''


def _sgd(error, loss="0.5 * tf.square(error)"):
    return _SGD.format(loss=f"        error = {error}\n        loss = tf.reduce_mean({loss})")


_FROZEN = "tf.stop_gradient(target) - values"


def _check_sgd(trial):
    import tensorflow as tf

    one, zero = tf.ones((1, 1)), tf.zeros((1, 1))
    first = tf.constant([0])
    label = "one state, one action, Q = 4, reward 1 for ever, γ = ½, α = ½: y = 3"
    trial.equal(label, 4.0 * one, one, first, tf.ones(1), one, tf.zeros(1), 0.5, 0.5)
    trial.equal("the same, but terminated: y = 1", 4.0 * one, one, first, tf.ones(1), one, tf.ones(1), 0.5, 0.5)
    for batch, features, actions in ((2, 3, 2), (8, 4, 3), (32, 6, 4)):
        weights, states, following = (
            tf.constant(trial.rng.normal(size=shape), tf.float32)
            for shape in ((features, actions), (batch, features), (batch, features))
        )
        chosen = tf.constant(trial.rng.integers(actions, size=batch))
        rewards = tf.constant(trial.rng.normal(size=batch), tf.float32)
        ends = tf.constant(trial.rng.random(batch) < 0.3, tf.float32)
        label = f"{batch} random transitions, {features} features, {actions} actions"
        trial.equal(label, weights, states, chosen, rewards, following, ends, 0.9, 0.1, rtol=1e-4)
    weights = zero
    for _ in range(60):
        weights = trial.answer(weights, one, first, tf.ones(1), one, tf.zeros(1), 0.9, 1.0)
    trial.check("reward 1 for ever at γ = 0.9: after 60 steps the value is 10", got=weights, want=[[10.0]], rtol=1e-2)


frozen = Mend(
    title="Learning a hundred times too slowly",
    lesson="chapter12.dqn",
    minutes=10,
    text=r"""A network makes its own targets here, without an older copy, as the target is only a number for the moment.
One state leads to itself with the reward 1, and γ = 0.99: each step should move its value by α (y − Q)
towards y = 1 + 0.99 Q. Instead it moves by a hundredth of that. And in longer chains the values of *next*
states move as well, away from what they should be. Mend `sgd_step`.""",
    start=_sgd("target - values"),
    name="sgd_step",
    solution_code=_sgd("tf.stop_gradient(target) - values  # the target is a number, not a function of the weights"),
    hints=(
        "Write down the gradient by hand for one weight $w$ with $Q = w$ and y = 1 + γ w. Where does 1 − γ come from?",
        "The target depends on the weights, and the tape knows it. The formula of Q-learning moves Q(s, a) only.",
        "`tf.stop_gradient(x)` has the value of x, and the tape takes it for a constant.",
        "`error = tf.stop_gradient(target) - values`, or compute the target before the tape begins.",
    ),
    check=_check_sgd,
    wrong=(
        Wrong(_sgd("target - values"), "the gradient still flows through the target: there it has to be stopped"),
        Wrong(
            _sgd("target - tf.stop_gradient(values)"),
            "the wrong one was stopped: the values learn, the target does not",
        ),
        Wrong(_sgd("tf.stop_gradient(rewards) - values"), "the next values are gone: the target is r + γ max Q(s′, ·)"),
        Wrong(_sgd(_FROZEN, "tf.square(error)"), "twice too far: the ½ in front of the square was lost"),
        Wrong(_sgd(_FROZEN, "-0.5 * tf.square(error)"), "this walks away from the target: the loss has the wrong sign"),
        Wrong(
            _sgd("tf.stop_gradient(rewards + discount * next_values) - values"),
            "a terminated transition counts as one that goes on now: keep (1 − terminated)",
        ),
        Wrong(
            _sgd(_FROZEN, "0.5 * tf.reduce_sum(tf.square(error))"),
            "summed over the batch: it was a mean, and has to stay one",
        ),
    ),
)

# --- 12.10 The loss of a policy -------------------------------------------------------------------------------------


def _chosen(logits, actions, axis=-1):
    import tensorflow as tf

    return tf.gather(tf.nn.log_softmax(logits, axis=axis), actions, axis=1, batch_dims=1)


def _policy_ascends(logits, actions, returns):
    import tensorflow as tf

    return tf.reduce_mean(_chosen(logits, actions) * returns)


def _policy_summed(logits, actions, returns):
    import tensorflow as tf

    return -tf.reduce_sum(_chosen(logits, actions) * returns)


def _policy_without_logarithm(logits, actions, returns):
    import tensorflow as tf

    return -tf.reduce_mean(tf.exp(_chosen(logits, actions)) * returns)


def _policy_bare_logarithm(logits, actions, returns):
    import tensorflow as tf

    chosen = tf.gather(tf.nn.softmax(logits), actions, axis=1, batch_dims=1)
    return -tf.reduce_mean(tf.math.log(chosen) * returns)


def _policy_means_apart(logits, actions, returns):
    import tensorflow as tf

    return -tf.reduce_mean(_chosen(logits, actions)) * tf.reduce_mean(returns)


def _policy_over_steps(logits, actions, returns):
    import tensorflow as tf

    return -tf.reduce_mean(_chosen(logits, actions, axis=0) * returns)


def _policy_raw_logits(logits, actions, returns):
    import tensorflow as tf

    return -tf.reduce_mean(tf.gather(logits, actions, axis=1, batch_dims=1) * returns)


def _policy_all_actions(logits, actions, returns):
    import tensorflow as tf

    return -tf.reduce_mean(tf.reduce_sum(tf.nn.log_softmax(logits), axis=1) * returns)


def _policy_without_returns(logits, actions, returns):
    import tensorflow as tf

    return -tf.reduce_mean(_chosen(logits, actions))


def _policy_baseline(logits, actions, returns):
    import tensorflow as tf

    return -tf.reduce_mean(_chosen(logits, actions) * (returns - tf.reduce_mean(returns)))


def _check_policy(trial):
    import keras
    import tensorflow as tf

    actions, returns = tf.constant([0, 1]), tf.constant([2.0, 4.0])
    trial.equal("two steps, both actions have probability ½, returns 2 and 4", tf.zeros((2, 2)), actions, returns)
    trial.equal("the same with the probabilities ¾ and ¼", tf.math.log([[3.0, 1.0], [3.0, 1.0]]), actions, returns)
    for steps, choices in ((1, 2), (6, 3), (50, 4)):
        logits = tf.constant(trial.rng.normal(size=(steps, choices)), tf.float32)
        actions = tf.constant(trial.rng.integers(choices, size=steps))
        returns = tf.constant(2 * trial.rng.normal(size=steps) + 1, tf.float32)
        trial.equal(f"{steps} steps, {choices} actions", logits, actions, returns)
        trial.gradient(f"slopes by the logits, {steps} steps", logits, actions, returns, of=(0,))
    trial.equal("a policy that is very sure", 100.0 * logits, actions, returns, rtol=1e-4)
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    want = entropy(actions, logits, sample_weight=returns)
    got = trial.answer(logits, actions, returns)
    trial.check("equals Keras's cross-entropy of the actions, weighted by the returns", got=got, want=want, rtol=1e-4)


policy = Write(
    title="The loss of a policy",
    lesson="chapter12.score_function",
    minutes=10,
    text=r"""Write a loss whose gradient is *minus* the estimate 1/N Σ_t ∇ ln π(a_t | s_t) G_t, so that an optimizer
that descends it improves the policy. The policy is a softmax over logits; G_t is given, with or without a
baseline taken off.""",
    start='''import tensorflow as tf


def policy_loss(logits, actions, returns):
    """Minus the mean over steps of ln pi(a | s) times the return.

    Args:
        logits: Tensor (steps, actions), the policy network's outputs.
        actions: Tensor (steps,) of whole numbers, the actions that were taken.
        returns: Tensor (steps,), what each of them is weighed by.

    Returns:
        Scalar tensor.
    """
    ...
''',
    name="policy_loss",
    solution_code="""import tensorflow as tf


def policy_loss(logits, actions, returns):
    # minus ln of the softmax's probability, from logits so that it stays finite
    surprise = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=actions, logits=logits)  # (steps,)
    return tf.reduce_mean(surprise * returns)
""",
    hints=(
        "For each step: the logarithm of the probability of the action that was taken, times the return of that step.",
        "`tf.nn.log_softmax(logits)` has the logarithms of all actions, (steps, actions); pick one in each row.",
        "`tf.gather(…, actions, axis=1, batch_dims=1)` picks it. Or `tf.nn.sparse_softmax_cross_entropy_with_logits`, "
        "which is minus that logarithm.",
        "Multiply by the returns step by step, take the mean over the steps, and minus it: optimizers descend.",
    ),
    check=_check_policy,
    wrong=(
        Wrong(_policy_ascends, "the sign is wrong: an optimizer descends, and this would make good actions rarer"),
        Wrong(_policy_summed, "summed over the steps: it is a mean"),
        Wrong(_policy_without_logarithm, "the probability itself was weighed: its logarithm is asked for"),
        Wrong(
            _policy_bare_logarithm, "a probability may be 0 in float32, and ln 0 is infinite: use `tf.nn.log_softmax`"
        ),
        Wrong(_policy_means_apart, "means were taken before multiplying: each step is weighed by its own return"),
        Wrong(_policy_over_steps, "the softmax ran over the steps: it runs over the actions, the last axis"),
        Wrong(_policy_raw_logits, "logits are no logarithms of probabilities: the softmax is missing"),
        Wrong(_policy_all_actions, "all actions were counted: only the one that was taken"),
        Wrong(_policy_without_returns, "the returns are missing: good and bad actions become equally likely"),
        Wrong(
            _policy_baseline, "a mean was taken off the returns: a baseline is the caller's choice, not this function's"
        ),
    ),
)

TASKS = (returns, greedy, sweep, stop, sarsa, cliff, clock, target, frozen, policy)

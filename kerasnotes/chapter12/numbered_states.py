"""A table needs states with numbers; what is finite can be numbered without loss, what is continuous must be cut first.

The methods of the next lessons keep one row for each state. What the reader should see: the three numbers that a hand
of blackjack consists of become one number and come back from it; where states are real numbers, a row stands for a
whole box of them, so that a policy no longer sees where in the box it is; and a fine cut lets the pole stand as long as
it may and a coarse one does not, though not every finer cut is better, while the rows multiply.

Notes: chapter 12, "Monte Carlo methods" (蒙特卡罗方法).
Source: Sutton and Barto 2018, ISBN 978-0-262-03924-6, example 5.1 (blackjack) and section 9.3 (state aggregation);
https://gymnasium.farama.org/api/wrappers/observation_wrappers
"""

import math

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.environment import rollout
from kerasnotes.parts import share, whole

SMOKE = {"episodes": 3, "cuts": (2, 6)}
SECONDS = 5


def number_states(env):
    """An environment whose states are several small numbers, with one number for each of their combinations.

    Args:
        env: gymnasium environment with observations `Tuple` of `Discrete` spaces, or `MultiDiscrete`.

    Returns:
        The environment with observations `Discrete(n)`, where n is the product of the sizes.

    Raises:
        ValueError: If the observations are neither.
    """
    sizes, starts = _sizes_of(env.observation_space)
    if sizes is None:
        raise ValueError(f"env: expected a Tuple of Discrete spaces or a MultiDiscrete, got {env.observation_space!r}")
    numbers = gymnasium.spaces.Discrete(math.prod(sizes))
    return gymnasium.wrappers.TransformObservation(
        env, lambda seen: int(np.ravel_multi_index(np.subtract(seen, starts), sizes)), numbers
    )


def cut_states(env, edges):
    """An environment with real numbers as states, cut into boxes that are numbered.

    Args:
        env: gymnasium environment with observations `Box` of one axis.
        edges: For each of the numbers a rising sequence of n − 1 edges, which cut it into n parts; an empty one leaves
            the number out.

    Returns:
        The environment with observations `Discrete(n)`, where n is the product of the numbers of parts.

    Raises:
        ValueError: If there is not one sequence for each number, or one does not rise.

    Source: Sutton and Barto 2018, section 9.3.
    """
    space = env.observation_space
    if not isinstance(space, gymnasium.spaces.Box) or space.shape != (len(edges),):
        raise ValueError(f"edges: expected one sequence for each number of {space!r}, got {len(edges)}")
    if not all(np.all(np.diff(each) > 0) for each in edges):
        raise ValueError(f"edges: expected sequences that rise, got {edges!r}")
    sizes = [len(each) + 1 for each in edges]

    def number(seen):
        return int(np.ravel_multi_index([np.digitize(x, each) for x, each in zip(seen, edges, strict=True)], sizes))

    return gymnasium.wrappers.TransformObservation(env, number, gymnasium.spaces.Discrete(math.prod(sizes)))


def table_sizes(env):
    """Numbers of states and actions of an environment, `(states, actions)`, as the axes of a table.

    Raises:
        ValueError: If states or actions are not counted from 0. The message names a wrapper that counts them.
    """
    sizes = []
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if not (isinstance(space, gymnasium.spaces.Discrete) and space.start == 0):
            raise ValueError(
                f"env: expected an {name} Discrete(n) counted from 0, got {space!r}.{_remedy(name, space)}"
            )
        sizes.append(int(space.n))
    return tuple(sizes)


def check_settings(episodes, learning_rate, discount, epsilon, seeds, max_steps):
    """Raise a ValueError for a setting of a table method that lies outside its range."""
    whole("episodes", episodes)
    whole("max_steps", max_steps)
    if not callable(learning_rate):
        share("learning_rate", learning_rate, low=False)
    share("discount", discount)
    share("epsilon", epsilon)
    if len(seeds) == 0:
        raise ValueError("seed: expected whole numbers of at least 0, got none")
    for seed in seeds:
        whole("seed", seed, least=0)


def check_update(q, states, actions, reward, learning_rate, discount):
    """Raise a ValueError for an update of a table that lies outside of it, or whose numbers are out of range."""
    if not (isinstance(q, np.ndarray) and q.ndim == 2 and q.dtype.kind == "f"):
        raise ValueError(f"q: expected an array (states, actions) of floats, got {q!r}")
    for name, indices, size in (("state", states, q.shape[0]), ("action", actions, q.shape[1])):
        if not all(0 <= index < size for index in indices):
            raise ValueError(f"{name}: expected 0 to {size - 1}, got {indices}")
    if not -np.inf < reward < np.inf:
        raise ValueError(f"r: expected a finite reward, got {reward!r}")
    share("learning_rate", learning_rate, low=False)
    share("discount", discount)


def rate_of(learning_rate):
    """The learning rate as a function of a pair's visits; what a callable gives is checked, a number was before."""
    if not callable(learning_rate):
        return lambda visits: learning_rate
    return lambda visits: float(share("learning_rate", learning_rate(visits), low=False))


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
    share("epsilon", epsilon)
    for name, drawn in (("explore", np.asarray(explore)), ("choice", choice)):
        if drawn.shape != values.shape[1:] or not np.all((drawn >= 0) & (drawn < 1)):
            raise ValueError(f"{name}: expected numbers in [0, 1) of shape {values.shape[1:]}, got {drawn!r}")
    candidates = (values == values.max(axis=0)) | (explore < epsilon)
    counted = candidates.cumsum(axis=0)
    return (counted > choice * counted[-1]).argmax(axis=0)


def choose_action(row, epsilon, explore, choice):
    """`epsilon_greedy_actions` for one row of a table that is a list: nothing is checked, for use at every step."""
    if explore < epsilon:
        return int(choice * len(row))
    best = max(row)
    if row.count(best) == 1:
        return row.index(best)
    ties = [action for action, value in enumerate(row) if value == best]
    return ties[int(choice * len(ties))]


def _sizes_of(space):
    """`(sizes, starts)` of a space that consists of whole numbers, else `(None, None)`."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return [int(space.n)], [int(space.start)]
    if isinstance(space, gymnasium.spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return space.nvec.tolist(), space.start.tolist()
    if isinstance(space, gymnasium.spaces.Tuple):
        parts = [_sizes_of(part) for part in space]
        if all(sizes is not None and len(sizes) == 1 for sizes, _ in parts):
            return [sizes[0] for sizes, _ in parts], [starts[0] for _, starts in parts]
    return None, None


def _remedy(name, space):
    """What to type before a table method, with gymnasium and NumPy alone."""
    sizes, starts = _sizes_of(space)
    wrapper = "Observation" if name == "observation_space" else "Action"
    if isinstance(space, gymnasium.spaces.Discrete):
        change = f"lambda n: n {'-' if wrapper == 'Observation' else '+'} {space.start}"
    elif sizes is not None and wrapper == "Observation":
        counted = f"np.subtract(seen, {starts})" if any(starts) else "seen"
        change = f"lambda seen: int(np.ravel_multi_index({counted}, {sizes}))"
    elif sizes is not None:
        change = f"lambda n: np.add(np.unravel_index(n, {sizes}), {starts})"
    elif isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1 and wrapper == "Observation":
        sizes = [2] * space.shape[0]
        change = f"lambda seen: int(np.ravel_multi_index([int(x > 0) for x in seen], {sizes}))"
    elif isinstance(space, gymnasium.spaces.Box) and space.is_bounded() and wrapper == "Action":
        sizes, ends = [5], f"{space.low.tolist()}, {space.high.tolist()}"
        change = f'lambda n: np.linspace({ends}, 5, dtype="float32")[n]'
    else:
        return " A network can take other states: see chapter12.dqn."
    text = f"env = gymnasium.wrappers.Transform{wrapper}(env, {change}, gymnasium.spaces.Discrete({math.prod(sizes)}))"
    coarse = {
        "Observation": " (cut in two at 0; chapter12.dqn needs no cut)",
        "Action": " (five pushes in their place)",
    }
    return f" Number them first{coarse[wrapper] if isinstance(space, gymnasium.spaces.Box) else ''}: {text}"


def example():
    """A hand of blackjack and a state of CartPole become numbers, by gymnasium's wrapper and by the functions above."""
    env = gymnasium.make("Blackjack-v1")
    try:
        table_sizes(env)
    except ValueError as error:
        print(error)
    sizes = 32, 11, 2  # the player's sum, the dealer's card, whether an ace counts 11
    theirs = gymnasium.wrappers.TransformObservation(
        env, lambda seen: int(np.ravel_multi_index(seen, sizes)), gymnasium.spaces.Discrete(704)
    )
    number = theirs.reset(seed=4)[0]
    print("gymnasium:", number, "which is", *np.unravel_index(number, sizes), "and was", env.reset(seed=4)[0])
    print("ours:     ", number_states(env).reset(seed=4)[0], "of", table_sizes(number_states(env))[0], "states")

    cart = gymnasium.make("CartPole-v1")
    cut = cut_states(cart, [(), (), (-0.02, 0.02), (0.0,)])  # the angle in three parts, its speed in two
    print(cart.reset(seed=0)[0], "is box", cut.reset(seed=0)[0], "of", table_sizes(cut)[0])


def lesson(report, *, episodes: int = 40, cuts: tuple[int, ...] = (2, 3, 4, 6, 8), seed: int = 0):
    """Number the hands of blackjack, and balance a pole that is seen through boxes.

    Args:
        report: The report to write to.
        episodes: Episodes for each cut (2 to 10000).
        cuts: Numbers of parts into which each of CartPole's numbers is cut (2 to 100).
        seed: Seed of all random draws (0 to 4000000000).
    """
    _blackjack(report, seed)
    cart = cut_states(gymnasium.make("CartPole-v1"), [(), (), (-0.1, 0.1), (0.0,)])
    numbers = [cart.func(np.array([0, 0, angle, speed])) for angle in (-0.2, 0, 0.2) for speed in (-1, 1)]
    report.check("three parts of the angle and two of its speed: six boxes in order", got=numbers, want=list(range(6)))

    rows, lengths = [], []
    starts = range(seed * episodes, (seed + 1) * episodes)
    for parts in report.track(sorted(cuts), "cuts"):
        env, centres = _cut_cart(parts)
        policy = _balance(centres)
        lengths.append([len(rollout(env, policy, start)) for start in starts])
        rows.append([parts, table_sizes(env)[0], *plots.mean_and_error(lengths[-1]), min(lengths[-1])])
    columns = ["parts of each number", "rows of a table", "mean steps", "standard error", "fewest steps"]
    report.table(
        f"one rule for balancing a pole, told only the box: {episodes} episodes, cut off at 500", columns, rows
    )
    ratio = rows[-1][2] / rows[0][2]
    report.at_least("the finest cut over the coarsest: mean steps", ratio, 2.0, trained=True)
    report.note("The rule acts on the middle of the box. It learns nothing: what is lost, is lost by the cut alone.")
    report.figure(
        "A pole seen through boxes",
        plots.curves(sorted(cuts), {"mean ± standard error": np.array(lengths).T}, xlabel="parts of each number",
                     ylabel="steps until the pole falls", marker="o", title="Coarse boxes hide the fall too long"),
        alt="The mean number of steps rises, though not at every cut, from below 200 for two parts of each number "
        "to the limit of 500 where the cut is fine.",
    )  # fmt: skip


def _blackjack(report, seed):
    env = gymnasium.make("Blackjack-v1")
    numbered = number_states(env)
    hands = [(mine, dealer, ace) for mine in range(32) for dealer in range(11) for ace in range(2)]
    numbers = [numbered.func(hand) for hand in hands]
    report.check("every hand of blackjack has a number of its own", got=sorted(numbers), want=list(range(704)))

    seeds = range(1000 * seed, 1000 * seed + 100)
    plain = [rollout(env, lambda hand, rng: int(hand[0] < 20), each) for each in seeds]
    by_number = [rollout(numbered, lambda n, rng: int(n // 22 < 20), each) for each in seeds]
    hands = [np.stack(np.unravel_index(episode.observations, (32, 11, 2)), axis=1) for episode in by_number]
    report.check("100 games by number: hands come back", got=hands, want=[episode.observations for episode in plain])
    rewards = [[episode.rewards.sum() for episode in group] for group in (by_number, plain)]
    report.check("and they end alike", got=rewards[0], want=rewards[1])


def _cut_cart(parts):
    """CartPole cut into parts⁴ boxes, and the middles of the parts of each number (4, parts)."""
    reach = np.array([1.2, 1.2, 0.15, 1.2])
    edges = np.linspace(-reach, reach, parts + 1)[1:-1].T  # (4, parts − 1)
    width = 2 * reach / parts
    centres = np.linspace(-reach + width / 2, reach - width / 2, parts).T
    return cut_states(gymnasium.make("CartPole-v1"), edges), centres


def _balance(centres):
    """The rule of the lesson on environments, told a box."""

    def policy(box, rng):
        places = np.unravel_index(box, (centres.shape[1],) * 4)
        position, speed, angle, turning = centres[np.arange(4), places]
        return int(angle + 0.5 * turning + 0.05 * position + 0.1 * speed > 0)

    return policy

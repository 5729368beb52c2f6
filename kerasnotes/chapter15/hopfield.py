"""A Hopfield network runs down its energy until it rests, if three conditions hold.

A Hopfield network has no output layer. Each unit takes the sign of its weighted sum, one after the other, until none
changes any more. What the reader should see: no such step raises the energy, so that every run ends in a valley. The
conditions matter: all units at once may swap for ever; weights that are not symmetric, or a unit that inhibits itself,
may go round in circles. States are +1 and -1.

Notes: chapter 15, "Hopfield network" (Hopfield网络).
Source: Hopfield 1982, doi:10.1073/pnas.79.8.2554; Hertz, Krogh, Palmer 1991, Introduction to the Theory of Neural
Computation, ISBN 978-0-201-51560-2, chapter 2.
"""

import numpy as np

from kerasnotes import plots
from kerasnotes.parts import shape, whole

TIE = 1e-10  # a sum below this is a zero that rounding has moved: the weights are multiples of 1/units

SMOKE = {"networks": 20}
SECONDS = 2


def signs(name, states):
    """States as a float array. Raises ValueError if one is neither +1 nor -1, or if there is none."""
    states = np.asarray(states, np.float64)
    if states.size == 0 or not np.isin(states, (-1.0, 1.0)).all():
        raise ValueError(f"{name}: expected states of +1 and -1, at least one")
    return states


def hebbian_weights(patterns):
    """Weights that store patterns: what fires together is wired together.

    Args:
        patterns: Array (patterns, units) of +1 and -1.

    Returns:
        Symmetric weights (units, units): the mean over units of x xᵀ, summed over patterns, with a diagonal of zeros.

    Raises:
        ValueError: If a state is neither +1 nor -1, or the array has another shape.

    Source: Hopfield 1982, equation 2, divided by the number of units.
    """
    patterns = shape("patterns", signs("patterns", patterns), None, None)
    w = patterns.T @ patterns / patterns.shape[1]  # (units, units)
    np.fill_diagonal(w, 0.0)
    return w


def energy(states, w, b=None):
    """The energy -½ sᵀ W s - bᵀ s of each state.

    Args:
        states: Array (batch, units) of +1 and -1.
        w, b: Symmetric weights (units, units) and biases (units,), or None for no biases.

    Returns:
        Energies (batch,).
    """
    states = shape("states", signs("states", states), None, len(w))
    w, b = _network(w, b)
    return -0.5 * np.sum((states @ w) * states, axis=1) - states @ b


def asynchronous_sweep(state, w, b=None, rng=None):
    """Let every unit once take the sign of its sum, one after the other; each sees what those before it have done.

    Args:
        state: Array (units,) of +1 and -1.
        w, b: Weights (units, units) and biases (units,), or None for no biases.
        rng: `numpy.random.Generator` that draws the order; None goes from the first unit to the last.

    Returns:
        The new state (units,). A unit whose sum is 0 keeps its state.
    """
    state = shape("state", signs("state", state), len(w)).copy()
    w, b = _network(w, b)
    _sweep(state, w @ state + b, w, rng)
    return state


def _sweep(state, totals, w, rng):
    """Change state and sums in place. Returns how many units have changed."""
    changed = 0
    for unit in range(len(w)) if rng is None else rng.permutation(len(w)):
        if totals[unit] * state[unit] < -TIE:
            state[unit] = -state[unit]
            totals += 2 * state[unit] * w[:, unit]  # what this unit sends to the others
            changed += 1
    return changed


def synchronous_step(states, w, b=None):
    """Let all units take the signs of their sums at once.

    Args:
        states: Array (batch, units) of +1 and -1.
        w, b: Weights (units, units) and biases (units,), or None for no biases.

    Returns:
        The new states (batch, units). A unit whose sum is 0 keeps its state.
    """
    states = shape("states", signs("states", states), None, len(w))
    w, b = _network(w, b)
    totals = states @ w.T + b  # (batch, units)
    return np.where(np.abs(totals) < TIE, states, np.sign(totals))


def recall(state, w, b=None, max_sweeps=100, seed=0):
    """Sweep until nothing changes any more.

    Args:
        state: Where to begin, (units,) of +1 and -1.
        w, b: Weights (units, units), symmetric and without a negative diagonal, or it may never end; biases, or None.
        max_sweeps: The most sweeps, at least 1.
        seed: Seed of the order of the units.

    Returns:
        `(state, energies)`: where it ended, and the energy after every sweep; the last one changed nothing.
    """
    state, rng, energies = shape("state", signs("state", state), len(w)).copy(), np.random.default_rng(seed), []
    w, b = _network(w, b)
    totals = w @ state + b
    for _ in range(whole("max_sweeps", max_sweeps)):
        changed = _sweep(state, totals, w, rng)
        energies.append(float(-0.5 * state @ (totals + b)))  # totals are W s + b
        if not changed:
            break
    return state, energies


def _network(w, b):
    w = np.asarray_chkfinite(w, np.float64)
    b = np.zeros(len(w)) if b is None else np.asarray_chkfinite(b, np.float64)
    return shape("w", w, len(w), len(w)), shape("b", b, len(w))


def all_states(units):
    """All 2^units states of +1 and -1, (2^units, units); unit 0 changes fastest."""
    return 2.0 * (np.arange(2 ** whole("units", units))[:, None] >> np.arange(units) & 1) - 1.0


def example():
    """Two patterns of eight units are stored; one comes back from a state in which two units are wrong."""
    patterns = np.array([[1, 1, 1, 1, -1, -1, -1, -1], [1, -1, 1, -1, 1, -1, 1, -1]])
    w = hebbian_weights(patterns)
    spoilt = patterns[0] * np.array([-1, 1, 1, 1, 1, 1, 1, -1])
    state, energies = recall(spoilt, w)
    print("begun at  ", spoilt, "energy", energy(spoilt[None], w)[0])
    print("ended at  ", state.astype(int), "energy", energies[-1], "after", len(energies), "sweeps")
    print("all at once, two units that want to be alike:", synchronous_step([[1, -1]], np.array([[0, 1], [1, 0]]))[0])


def lesson(report, *, networks: int = 1000, seed: int = 0):
    """Watch every step of random networks, then break the conditions one by one.

    Args:
        report: The report to write to.
        networks: Random networks in which every step is watched (1 to 100000).
        seed: Seed of networks and orders (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _steps_downhill(report, rng, networks)
    _without_its_conditions(report)
    _mirrored_states(report, rng)
    _course_formulas(report, rng)
    _every_state(report, rng)


def _random_network(rng, units=8, biases=True):
    w = rng.normal(size=(units, units))
    w = (w + w.T) / 2
    np.fill_diagonal(w, 0.0)
    return w, rng.normal(size=units) if biases else np.zeros(units)


def _steps_downhill(report, rng, networks):
    """Every single step of every run: the energy's change by the formula and by the definition."""
    changes, errors, ended = [], [], 0
    for _ in report.track(range(networks), "random networks"):
        w, b = _random_network(rng)
        state = rng.choice([-1.0, 1.0], size=len(b))
        for unit in rng.permutation(len(b)):
            before, total = state.copy(), w[unit] @ state + b[unit]
            state[unit] = np.sign(total)
            changes.append(float(np.diff(energy([before, state], w, b))[0]))
            errors.append(abs(changes[-1] + (state[unit] - before[unit]) * total))
        state, _ = recall(state, w, b)
        ended += np.array_equal(synchronous_step(state[None], w, b)[0], state)
    report.at_most(f"{networks} random networks: largest rise of the energy in a step", max(changes), 1e-12)
    report.at_most("a step changes the energy by -Δs times the unit's sum: largest error", max(errors), 1e-12)
    report.check("runs that end in a state which no unit wants to leave", int(ended), networks)


def _without_its_conditions(report):
    def visited(step, state):
        seen = [np.array(state)]
        for _ in range(4):
            seen.append(step(seen[-1]))
        return [each.tolist() for each in seen]

    pair, chase, lone = (np.array(w, float) for w in ([[0, 1], [1, 0]], [[0, 1], [-1, 0]], [[-1]]))
    at_once = visited(lambda s: synchronous_step(s[None], pair)[0], [1.0, -1.0])
    report.check("two units that want to be alike, all at once: they swap for ever", at_once,
                 [[1.0, -1.0], [-1.0, 1.0]] * 2 + [[1.0, -1.0]])  # fmt: skip
    circle = visited(lambda s: asynchronous_sweep(s, chase), [1.0, 1.0])
    report.check("one follows, the other flees, one after the other: they never rest", circle,
                 [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]])  # fmt: skip
    restless = visited(lambda s: asynchronous_sweep(s, lone), [1.0])
    report.check("nor does a unit with weight -1 to itself", restless, [[1.0], [-1.0], [1.0], [-1.0], [1.0]])
    report.correction(
        "when a Hopfield network comes to rest",
        course="The network always converges.",
        correct="With symmetric weights, no negative weight of a unit to itself, and one unit after the other.",
        shown_by="weights 1 and 1, all at once, swap for ever; weights 1 and -1, or a lone unit with weight -1, never "
        "rest even one after the other",
    )


def _mirrored_states(report, rng):
    """By enumeration of all 256 states: which ones rest, and whether their mirror images do."""
    states, shares = all_states(8), {}
    for biases in (False, True):
        rest, both = 0, 0
        for _ in range(20):
            w, b = _random_network(rng, 8, biases)
            resting = (synchronous_step(states, w, b) == states).all(axis=1)
            rest, both = rest + resting.sum(), both + (resting & resting[::-1]).sum()  # the last mirrors the first
        shares[biases] = float(both / rest)
    report.check("without biases: share of resting states whose mirror image rests", shares[False], 1.0)
    report.at_most("with biases: the same share", shares[True], 0.9)
    report.correction(
        "mirror images of the minima",
        course="The minima are symmetric: with x, -x is one as well.",
        correct="Without biases. A bias prefers one sign.",
        shown_by=f"all states of 20 networks of 8 units: with biases {shares[True]:.0%} of the resting states have a "
        "mirror image that rests",
    )


def _course_formulas(report, rng):
    """States 0 and 1 with a product of bits, against +1 and -1; and an energy without half and biases."""
    kept, rises = [], []
    for _ in range(20):
        bits = rng.integers(0, 2, size=(5, 100))
        totals = bits @ (bits.T @ bits - 5 * np.eye(100))  # the notes' weights
        patterns = 2.0 * bits - 1
        ours = synchronous_step(patterns, hebbian_weights(patterns)) == patterns
        kept.append([np.mean((totals > 0) == bits), ours.mean()])
        w, b = _random_network(rng)
        for state in all_states(8)[::5]:
            after = asynchronous_sweep(state, w, b, rng)
            rises.append(state @ w @ state - after @ w @ after)
    theirs, ours = np.mean(kept, axis=0)
    report.at_least("5 patterns of 100 units: share of bits that stay, states +1 and -1", ours, 0.99)
    report.at_most("states 0 and 1 with weights Σ y yᵀ - P I", theirs, 0.7)
    report.at_least("-yᵀ W y rises in a sweep of a network with biases, by up to", max(rises), 0.1)
    report.correction(
        "states and weights",
        course="States 0 and 1, activation by the sign, weights Σ y yᵀ - P I.",
        correct="States +1 and -1: a bit that is 0 adds nothing to Σ y yᵀ, so that hardly a weight is negative.",
        shown_by=f"share of stored bits that stay: {theirs:.2f} against {ours:.2f}",
    )
    report.correction(
        "the energy",
        course="E = -yᵀ W y",
        correct="E = -½ yᵀ W y - bᵀ y",
        shown_by=f"with biases the first rises by up to {max(rises):.1f} in a sweep, the second never rises",
    )


def _every_state(report, rng):
    """The tree of what ends where, for all 64 states of six units."""
    w, b = _random_network(rng, 6)
    states = all_states(6)
    ends = np.array([recall(state, w, b)[0] for state in states])
    heights, goals = energy(states, w, b), energy(ends, w, b)
    valley = np.unique(goals, return_inverse=True)[1]
    place = np.lexsort((heights, valley)).argsort()  # valley by valley, the lowest state first
    figure, ax = plots.subplots(figsize=(9, 4.4))
    for number in range(valley.max() + 1):
        x, y, color = place[valley == number], heights[valley == number], f"C{number % 10}"
        ax.plot([x, np.full(len(x), x.min())], [y, np.full(len(y), y.min())], color=color, linewidth=0.7)
        ax.plot(x, y, "os^Dv"[number % 5], color=color, label=f"valley {number + 1}")
    ax.set(xlabel="the 64 states of six units, valley by valley", ylabel="energy")
    ax.set_title("Every state runs down into a valley")
    ax.legend()
    alt = "States as points at the height of their energy, with lines to the lowest of their valley, in which they end."
    report.figure("Every state runs down into a valley", figure, alt=alt)

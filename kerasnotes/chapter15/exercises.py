"""Tasks of chapter 15: energies by hand, Hebb's weights, recall, chance at a temperature, awake minus asleep, a map."""

import math

import numpy as np

from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong

# --- 15.1 Three units by hand ---------------------------------------------------------------------------------------

_W = ((0.0, 1.0, -1.0), (1.0, 0.0, 2.0), (-1.0, 2.0, 0.0))


def _energy_of(state):
    from kerasnotes.chapter15.hopfield import energy

    return float(energy(np.array([state], float), np.array(_W))[0])


def _rest():
    from kerasnotes.chapter15.hopfield import asynchronous_sweep

    state = np.array([1.0, -1.0, 1.0])
    for _ in range(5):
        state = asynchronous_sweep(state, np.array(_W))
    return [float(s) for s in state]


def _resting():
    from kerasnotes.chapter15.hopfield import all_states, synchronous_step

    states = all_states(3)
    return int((synchronous_step(states, np.array(_W)) == states).all(axis=1).sum())


by_hand = Predict(
    title="Three units come to rest",
    lesson="chapter15.hopfield",
    minutes=15,
    text=r"""Three units, states +1 and −1, have the weights w₁₂ = 1, w₁₃ = −1, w₂₃ = 2 and no biases. They start in
the state (1, −1, 1). What is its energy, −½ sᵀWs? The units change one after the other, the first one
first: in which state does the network come to rest, and with which energy? How many of the eight states
rest? (A unit whose sum is 0 stays as it is.)""",
    hints=(
        "Each pair counts twice in sᵀWs, and the ½ takes that back: E = −(w₁₂ s₁s₂ + w₁₃ s₁s₃ + w₂₃ s₂s₃).",
        "The first unit's sum is w₁₂ s₂ + w₁₃ s₃ = −1 − 1. It takes the sign; the second one sees what it has done.",
        "Go on until a whole round changes nothing. Without biases, what is true of −s if s rests?",
        "After the first unit: (−1, −1, 1). The second has the sum −1 + 2 = 1 and becomes 1. Then the third …",
    ),
    values=(
        Value(
            "energy_start",
            "the energy of (1, −1, 1)",
            want=lambda: _energy_of([1, -1, 1]),
            wrong=(
                (lambda: 2 * _energy_of([1, -1, 1]), "that is −sᵀWs: the ½ is missing, each pair was counted twice"),
                (lambda: -_energy_of([1, -1, 1]), "the sign: the energy is *minus* ½ sᵀWs"),
            ),
        ),
        Value(
            "rest",
            "the state in which it comes to rest, a list of three",
            want=_rest,
            rtol=0,
            wrong=(
                (
                    lambda: [-1.0, 1.0, -1.0],
                    "that is one change of all units at once: here each sees what those before did",
                ),
            ),
        ),
        Value(
            "energy_rest",
            "its energy",
            want=lambda: _energy_of(_rest()),
            wrong=((lambda: 2 * _energy_of(_rest()), "that is −sᵀWs: the ½ is missing"),),
        ),
        Value(
            "resting",
            "how many of the eight states rest",
            want=_resting,
            rtol=0,
            wrong=((lambda: _resting() // 2, "without biases the mirror image of each rests as well"),),
        ),
    ),
    solution_code="""import itertools

w = {(0, 1): 1, (0, 2): -1, (1, 2): 2}


def energy(s):
    return -sum(weight * s[i] * s[j] for (i, j), weight in w.items())


def total(s, i):
    return sum(weight * s[a + b - i] for (a, b), weight in w.items() if i in (a, b))


energy_start = energy((1, -1, 1))
state = [1, -1, 1]
for _ in range(3):  # rounds
    for i in range(3):
        if total(state, i) * state[i] < 0:
            state[i] = -state[i]
rest = state
energy_rest = energy(rest)
resting = sum(all(total(s, i) * s[i] >= 0 for i in range(3)) for s in itertools.product((-1, 1), repeat=3))
""",
)

# --- 15.2 Hebb's weights --------------------------------------------------------------------------------------------


def _diagonal_kept(patterns):
    return patterns.T @ patterns / patterns.shape[1]


def _divided_by_patterns(patterns):
    w = patterns.T @ patterns / len(patterns)
    np.fill_diagonal(w, 0.0)
    return w


def _not_divided(patterns):
    w = patterns.T @ patterns
    np.fill_diagonal(w, 0.0)
    return w


def _between_patterns(patterns):
    w = patterns @ patterns.T / patterns.shape[1]
    np.fill_diagonal(w, 0.0)
    return w


def _identity_taken(patterns):
    return patterns.T @ patterns / patterns.shape[1] - np.eye(patterns.shape[1])


def _check_hebb(trial):
    trial.equal("two patterns of three units", np.array([[1.0, 1, -1], [1, -1, -1]]))
    trial.equal("three patterns of four units", np.array([[1.0, 1, 1, 1], [1, -1, 1, -1], [-1, -1, 1, 1]]))
    for count, units in ((1, 5), (4, 10), (7, 30)):
        trial.equal(f"{count} patterns of {units} units", trial.rng.choice([-1.0, 1.0], size=(count, units)))


hebb = Write(
    title="Hebb's weights",
    lesson="chapter15.hopfield",
    minutes=10,
    text=r"""Write Hebb's rule: w_ij is the sum over patterns of x_i x_j, divided by the number n of units, and no
unit has a weight to itself. Before you run it: which weights do the patterns (1, 1, −1) and (1, −1, −1)
give? (The page has the rule at `chapter15.projection_rule`.)""",
    start='''import numpy as np


def hebbian_weights(patterns):
    """Weights under which patterns become valleys of the energy.

    Args:
        patterns: Array (patterns, units) of +1.0 and -1.0.

    Returns:
        Array (units, units), symmetric, with a diagonal of zeros.
    """
    ...
''',
    name="hebbian_weights",
    solution_code="""import numpy as np


def hebbian_weights(patterns):
    w = patterns.T @ patterns / patterns.shape[1]  # (units, units): the sum over patterns of x_i x_j, over n
    np.fill_diagonal(w, 0.0)
    return w
""",
    hints=(
        "The product x_i x_j of one pattern is +1 where two units are alike and −1 where not.",
        "The sum over patterns of all these products at once is a matrix product.",
        "patterns.T @ patterns has the shape (units, units); divide by the number of units.",
        "Then np.fill_diagonal(w, 0.0), which changes w in place.",
    ),
    check=_check_hebb,
    wrong=(
        Wrong(_diagonal_kept, "the diagonal is still there: no unit has a weight to itself"),
        Wrong(_divided_by_patterns, "divided by the number of patterns: it is the number of units"),
        Wrong(_not_divided, "the division by the number of units is missing"),
        Wrong(_between_patterns, "that compares patterns with patterns: weights stand between units, (units, units)"),
        Wrong(
            _identity_taken,
            "each pattern adds 1/n · 1 to the diagonal: with several patterns taking off 1 leaves p/n − 1",
        ),
    ),
)

# --- 15.3 A network that flickers -----------------------------------------------------------------------------------

_AT_ONCE = '''import numpy as np


def recall(state, w, sweeps):
    """Let the units of a Hopfield network change, one after the other from the first to the last, again and again.

    Args:
        state: Array (units,) of +1.0 and -1.0, where to begin; it must stay as it is.
        w: Symmetric weights (units, units) with a diagonal of zeros.
        sweeps: How often every unit is asked.

    Returns:
        Array (units,), the state after the last sweep. A unit whose sum is 0 stays as it is.
    """
    state = state.copy()
    for _ in range(sweeps):
        totals = w @ state
        for unit in range(len(state)):
            if totals[unit] != 0:
                state[unit] = np.sign(totals[unit])
    return state
'''
_ONE_AFTER_ANOTHER = _AT_ONCE.replace(
    """        totals = w @ state
        for unit in range(len(state)):
            if totals[unit] != 0:
                state[unit] = np.sign(totals[unit])
""",
    """        for unit in range(len(state)):
            total = w[unit] @ state  # with what the units before have just done
            if total != 0:
                state[unit] = np.sign(total)
""",
)
_ZERO_DOWN = _ONE_AFTER_ANOTHER.replace(
    """            if total != 0:
                state[unit] = np.sign(total)
""",
    """            state[unit] = 1.0 if total > 0 else -1.0
""",
)
_BACKWARDS = _ONE_AFTER_ANOTHER.replace("for unit in range(len(state)):", "for unit in reversed(range(len(state))):")


def _end_and_start(answer, state, w, sweeps):
    return answer(state, w, sweeps), state


def _check_recall(trial):
    pair = np.array([[0.0, 1.0], [1.0, 0.0]])
    trial.equal("two units that want to be alike", np.array([1.0, -1.0]), pair, 1)
    trial.equal(
        "three units, of which one has nobody", np.array([1.0, -1, 1]), np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]]), 3
    )
    trial.equal(
        "the lone unit the other way", np.array([1.0, -1, -1]), np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]]), 2
    )
    for units, sweeps in ((4, 1), (6, 2), (9, 3), (12, 5)):
        w = trial.rng.integers(-3, 4, size=(units, units)).astype(float)
        w = np.triu(w, 1) + np.triu(w, 1).T
        for _ in range(3):
            state = trial.rng.choice([-1.0, 1.0], size=units)
            trial.equal(f"{units} units, {sweeps} sweeps", state, w, sweeps)
        trial.equal("the same, and the state that was given", state, w, sweeps, call=_end_and_start)


flicker = Mend(
    title="Two units that never agree",
    lesson="chapter15.hopfield",
    minutes=10,
    text=r"""Two units with the weight 1 between them want to be alike. Begun at (1, −1), this network swaps them for
ever; and with many units it may end, sweep after sweep, with a higher energy than before. Mend
`recall`.""",
    start=_AT_ONCE,
    name="recall",
    solution_code=_ONE_AFTER_ANOTHER,
    hints=(
        "Which states does the sum of the second unit look at: those before or after the first unit has changed?",
        "The proof that the energy falls is about *one* unit that changes.",
        "So each unit's sum has to be computed when it is asked, not once for the whole sweep.",
        "Inside the loop: total = w[unit] @ state.",
    ),
    check=_check_recall,
    wrong=(
        Wrong(
            _AT_ONCE.replace("    state = state.copy()", "\n    state = state.copy()"),
            "all sums are still computed before any unit changes",
        ),
        Wrong(_ZERO_DOWN, "a unit whose sum is 0 stays as it is"),
        Wrong(_BACKWARDS, "the units are asked from the first to the last here"),
    ),
)

# --- 15.4 Two units at a temperature --------------------------------------------------------------------------------


def _distribution(temperature=1.0):
    from kerasnotes.chapter15.boltzmann import boltzmann_distribution

    w = np.array([[0.0, 2.0], [2.0, 0.0]])
    return boltzmann_distribution(w, np.array([-1.0, -1.0]), temperature)[1]


def _given_on():
    from kerasnotes.chapter15.boltzmann import unit_probability

    return float(unit_probability(np.array([0.0, 1.0]), 0, np.array([[0.0, 2.0], [2.0, 0.0]]), np.array([-1.0, -1.0])))


chance = Predict(
    title="Two units at a temperature",
    lesson="chapter15.boltzmann",
    minutes=15,
    text=r"""Two units, states 0 and 1, have the weight 2 between them and biases of −1, at the temperature 1. What
are the probabilities of the states (0, 0), (1, 0), (0, 1) and (1, 1)? How likely is the first unit to
be 1 if the second one is 1? And where do the four probabilities go as the temperature falls towards 0?""",
    hints=(
        "E = −½ sᵀWs − bᵀs; with two units ½ sᵀWs is 2 s₁s₂, so E = −2 s₁s₂ + s₁ + s₂.",
        "The energies are 0, 1, 1 and 0. A state's weight is exp(−E/T), and the four weights add up to Z.",
        "If the second unit is 1, the first one's sum is 2 · 1 − 1.",
        "Z = 2 + 2/e. σ(1) = 1/(1 + 1/e). Cold: only states of the lowest energy are left, alike if there are several.",
    ),
    values=(
        Value(
            "probabilities",
            "of (0, 0), (1, 0), (0, 1), (1, 1), a list of four",
            want=lambda: [float(p) for p in _distribution()],
            wrong=(
                (
                    lambda: [float(p) for p in np.exp([0, 1, 1, 0]) / np.exp([0, 1, 1, 0]).sum()],
                    "the sign: low energies are likely, exp(−E)",
                ),
                (
                    lambda: [float(p) for p in np.exp([0, -1, -1, 2]) / np.exp([0, -1, -1, 2]).sum()],
                    "the pair counts twice: ½ sᵀWs takes w₁₂ once",
                ),
                (lambda: [1.0, math.exp(-1), math.exp(-1), 1.0], "these are the weights: divide by their sum Z"),
            ),
        ),
        Value(
            "first_given_second",
            "probability that the first unit is 1 if the second one is 1",
            want=_given_on,
            wrong=(
                (lambda: 0.5, "that is without knowing the second unit"),
                (lambda: 1 / (1 + math.exp(-2)), "the bias −1 is missing in the sum"),
                (lambda: 1 / (1 + math.e), "the sign: σ(1), not σ(−1)"),
            ),
        ),
        Value(
            "cold",
            "the four probabilities as the temperature falls towards 0",
            want=lambda: [float(p) for p in _distribution(0.01)],
            atol=1e-3,
            wrong=(
                (lambda: [0.25] * 4, "that is at an endless temperature"),
                (lambda: [0.0, 0.0, 0.0, 1.0], "(0, 0) has the same energy as (1, 1)"),
                (lambda: [1.0, 0.0, 0.0, 0.0], "(1, 1) has the same energy as (0, 0)"),
            ),
        ),
    ),
    solution_code="""import math

energies = [0, 1, 1, 0]  # -2 s1 s2 + s1 + s2
z = sum(math.exp(-e) for e in energies)
probabilities = [math.exp(-e) / z for e in energies]
first_given_second = 1 / (1 + math.exp(-(2 - 1)))  # the logistic function of its sum
cold = [0.5, 0.0, 0.0, 0.5]  # the two states of the lowest energy; hot, all four would have a quarter
""",
)

# --- 15.5 Awake minus asleep ----------------------------------------------------------------------------------------


def _asleep_minus_awake(w, b, data):
    dw, db = _awake_minus_asleep(w, b, data)
    return -dw, -db


def _every_state(units):
    return (np.arange(2**units)[:, None] >> np.arange(units) & 1).astype(float)


def _awake_minus_asleep(w, b, data, half=True, free=True, mean=True):
    states = _every_state(len(b))
    logs = (0.5 if half else 1.0) * np.sum(states @ w * states, axis=1) + states @ b
    p = np.exp(logs - logs.max())
    p /= p.sum()
    dw, db = data.T @ data, data.sum(axis=0)
    if mean:
        dw, db = dw / len(data), db / len(data)
    if free:
        dw, db = dw - (states.T * p) @ states, db - p @ states
    np.fill_diagonal(dw, 0.0)
    return dw, db


def _half_forgotten(w, b, data):
    return _awake_minus_asleep(w, b, data, half=False)


def _awake_only(w, b, data):
    return _awake_minus_asleep(w, b, data, free=False)


def _sums_over_data(w, b, data):
    return _awake_minus_asleep(w, b, data, mean=False)


def _check_learning(trial):
    from kerasnotes.chapter15.boltzmann_learning import log_likelihood

    two = np.array([[0.0, 0.0], [1.0, 1.0]])
    trial.equal("two units that are always alike, no weights yet", np.zeros((2, 2)), np.zeros(2), two)
    trial.equal("the same with a weight of 1", np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0.5, -0.5]), two)
    for units, samples in ((3, 5), (5, 9)):
        w = np.triu(trial.rng.normal(size=(units, units)), 1)
        data = trial.rng.integers(0, 2, size=(samples, units)).astype(float)
        trial.equal(f"{units} units, {samples} samples", w + w.T, trial.rng.normal(size=units), data)
    w, b = w + w.T, trial.rng.normal(size=units)
    step = np.zeros_like(w)
    step[0, 1] = step[1, 0] = 1e-5
    slope = (log_likelihood(w + step, b, data) - log_likelihood(w - step, b, data)) / 2e-5
    got = trial.answer(w, b, data)[0][0, 1]
    trial.check("it is the slope of the exact log-likelihood", got=got, want=slope, rtol=1e-5, atol=1e-6)


learning = Write(
    title="Awake minus asleep",
    lesson="chapter15.boltzmann_learning",
    minutes=25,
    text=r"""A Boltzmann machine of a few units, all of them visible, states 0 and 1, T = 1. Write the slope of the
mean log-likelihood of the data by weights and biases: the averages of s_i s_j and of s_i over the data,
minus the same averages over all states with their probabilities exp(−E)/Z, E = −½ sᵀWs − bᵀs. List the
states.""",
    start='''import numpy as np


def likelihood_gradient(w, b, data):
    """The slope of the mean log-likelihood.

    Args:
        w: Symmetric weights (units, units) with a diagonal of zeros.
        b: Biases (units,).
        data: Array (samples, units) of 0.0 and 1.0.

    Returns:
        `(dw, db)`: (units, units) with a diagonal of zeros, and (units,).
    """
    ...
''',
    name="likelihood_gradient",
    solution_code="""import itertools

import numpy as np


def likelihood_gradient(w, b, data):
    states = np.array(list(itertools.product((0.0, 1.0), repeat=len(b))))  # (2**units, units)
    minus_energy = 0.5 * np.sum(states @ w * states, axis=1) + states @ b
    p = np.exp(minus_energy - minus_energy.max())
    p /= p.sum()
    dw = data.T @ data / len(data) - (states.T * p) @ states  # awake minus asleep
    db = data.mean(axis=0) - p @ states
    np.fill_diagonal(dw, 0.0)
    return dw, db
""",
    hints=(
        "`itertools.product((0.0, 1.0), repeat=units)` lists all states; as an array they have the shape (2ⁿ, n).",
        "−E of every state is 0.5 * np.sum(states @ w * states, axis=1) + states @ b; then exp, divided by the sum.",
        "Awake: data.T @ data / samples. Asleep: the same product with each state weighted by its probability.",
        "Asleep: (states.T * p) @ states and p @ states. Set the diagonal of dw to zero in the end.",
    ),
    check=_check_learning,
    wrong=(
        Wrong(_asleep_minus_awake, "the sign: the slope is awake minus asleep"),
        Wrong(_half_forgotten, "in the energy ½ sᵀWs the ½ is missing: each pair would count twice"),
        Wrong(_awake_only, "that is the data's part alone: what the machine does by itself has to be taken off"),
        Wrong(_sums_over_data, "sums over the data in place of averages"),
    ),
)

# --- 15.6 One step of a map -----------------------------------------------------------------------------------------


def _map_step(w, x, learning_rate, radius, *, on_grid=True, alone=False, sign=1.0, half=True):
    away = x - w
    best = np.argmin(np.sum(away**2, axis=1))
    squares = (np.arange(len(w)) - best) ** 2.0 if on_grid else np.sum((w - w[best]) ** 2, axis=1)
    along = np.exp(-squares / ((2 if half else 1) * radius**2))
    if alone:
        along = np.float64(np.arange(len(w)) == best)
    return w + sign * learning_rate * along[:, None] * away


def _neighbours_in_space(w, x, learning_rate, radius):
    return _map_step(w, x, learning_rate, radius, on_grid=False)


def _best_alone(w, x, learning_rate, radius):
    return _map_step(w, x, learning_rate, radius, alone=True)


def _fleeing(w, x, learning_rate, radius):
    return _map_step(w, x, learning_rate, radius, sign=-1.0)


def _two_forgotten(w, x, learning_rate, radius):
    return _map_step(w, x, learning_rate, radius, half=False)


def _check_map_step(trial):
    from kerasnotes.chapter15.self_organizing_map import SelfOrganizingMap

    trial.equal("three units in a tangle", np.array([[0.0], [1.0], [0.2]]), np.array([0.05]), 0.5, 1.0)
    trial.equal("a sample beyond the last unit", np.array([[0.0], [1.0], [2.0]]), np.array([4.0]), 0.1, 2.0)
    for units, inputs in ((4, 1), (7, 3), (12, 2)):
        w, x = trial.rng.normal(size=(units, inputs)), trial.rng.normal(size=inputs)
        trial.equal(f"{units} units, {inputs} inputs", w, x, 0.3, float(trial.rng.uniform(0.5, 3)))
    som = SelfOrganizingMap(1, units, inputs, 0)
    som.weights = w[None].copy()
    som.train(x[None], 1, 0.3, 1.5)
    got = trial.answer(w, x, 0.3, 1.5)
    trial.check("the lesson's map takes the same step", got=got, want=som.weights[0], rtol=1e-6, atol=1e-9)


map_step = Write(
    title="One step of a map",
    lesson="chapter15.self_organizing_map",
    minutes=15,
    text=r"""Write one step of a self-organizing map whose units stand in a chain. The unit b with the nearest
weights to the sample x moves towards it, and every unit i is taken along:
w_i ← w_i + η · exp(−(i − b)²/(2r²)) · (x − w_i). Before you run it: three units at 0, 1 and 0.2, a sample
at 0.05, η = 0.5, r = 1. Which unit moves the furthest, the nearest one?""",
    start='''import numpy as np


def map_step(w, x, learning_rate, radius):
    """One step of a chain towards a sample.

    Args:
        w: Weights (units, inputs), in the order of the chain; they must stay as they are.
        x: Sample (inputs,).
        learning_rate: Number η from 0 to 1.
        radius: Number r above 0, in places along the chain.

    Returns:
        The new weights (units, inputs). Of equally near units the first is the best one.
    """
    ...
''',
    name="map_step",
    solution_code="""import numpy as np


def map_step(w, x, learning_rate, radius):
    away = x - w  # (units, inputs)
    best = np.argmin(np.sum(away**2, axis=1))
    along = np.exp(-((np.arange(len(w)) - best) ** 2) / (2 * radius**2))  # (units,), by places in the chain
    return w + learning_rate * along[:, None] * away
""",
    hints=(
        "x - w has the shape (units, inputs): one row for each unit. Whose row is the shortest?",
        "np.argmin(np.sum((x - w) ** 2, axis=1)) is the best unit, and the first one if several are as near.",
        "Neighbours are neighbours in the chain: np.arange(units) - best, whatever their weights are.",
        "w + learning_rate * np.exp(-(places - best) ** 2 / (2 * radius ** 2))[:, None] * (x - w).",
    ),
    check=_check_map_step,
    wrong=(
        Wrong(_neighbours_in_space, "neighbours by their weights: what counts is the distance in the chain"),
        Wrong(_best_alone, "only the best unit moves: its neighbours are taken along"),
        Wrong(_fleeing, "the sign: units move towards the sample, x - w"),
        Wrong(_two_forgotten, "in the exponent the 2 is missing: the distance's square over 2r²"),
    ),
)

TASKS = (by_hand, hebb, flicker, chance, learning, map_step)

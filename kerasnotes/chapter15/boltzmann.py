"""At a temperature a network does not come to rest: it visits every state, the lower its energy the more often.

A Boltzmann machine is a Hopfield network whose units decide by chance, with a probability that depends on their sum
over the temperature. What the reader should see: every number agrees with a list of all states and their probabilities
exp(-E/T)/Z; the mean energy rises with the temperature, its slope is the energy's variance over T²; and slow cooling
finds the deepest valley more often than one run downhill. States are 0 and 1.

Notes: chapter 15, "Boltzmann machine" (Boltzmann机), "Simulated annealing" (模拟退火).
Source: Ackley, Hinton, Sejnowski 1985, doi:10.1207/s15516709cog0901_7; Kirkpatrick, Gelatt, Vecchi 1983,
doi:10.1126/science.220.4598.671.
"""

import numpy as np

from kerasnotes import plots
from kerasnotes.parts import positive, shape, whole

MOST_UNITS = 20  # of a machine whose states are listed

SMOKE = {"units": 6, "chains": 20, "steps": 60, "runs": 8}
SECONDS = 6


def binary_states(units):
    """All 2^units states of 0 and 1, (2^units, units) float64; unit 0 is the lowest bit of a state's number.

    Raises:
        ValueError: If there are more than 20 units, or none.
    """
    if whole("units", units) > MOST_UNITS:
        raise ValueError(f"units: expected at most {MOST_UNITS}, got {units}: all their states would be listed")
    return (np.arange(2**units)[:, None] >> np.arange(units) & 1).astype(np.float64)


def boltzmann_energy(states, w, b):
    """E = -½ sᵀ W s - bᵀ s of states (batch, units), as (batch,)."""
    return -0.5 * np.sum((states @ w) * states, axis=1) - states @ b


def boltzmann_distribution(w, b, temperature=1.0):
    """The probability exp(-E/T)/Z of every state.

    Args:
        w: Symmetric weights (units, units) with a diagonal of zeros, at most 20 units.
        b: Biases (units,).
        temperature: T, a positive number.

    Returns:
        `(states, probabilities)`: (2^units, units) of 0 and 1, and (2^units,), which sum to 1.

    Raises:
        ValueError: If the weights are not symmetric, the diagonal is not 0, or a size does not fit.
    """
    w, b = machine(w, b)
    states = binary_states(len(b))
    logs = -boltzmann_energy(states, w, b) / positive("temperature", temperature)
    weights = np.exp(logs - logs.max())  # the constant drops out of the ratio, and keeps exp from overflowing
    return states, weights / weights.sum()


def unit_probability(state, unit, w, b, temperature=1.0):
    """The probability that a unit is 1, given all others: σ((Σ w_ij s_j + b_i)/T).

    Args:
        state: States (..., units) of 0 and 1; what the unit itself is does not matter.
        unit: Its index.
        w, b, temperature: As in `boltzmann_distribution`.

    Returns:
        Probabilities (...).
    """
    total = (np.asarray(state) @ w[unit] + b[unit]) / temperature
    return 0.5 * (1.0 + np.tanh(0.5 * total))  # σ(total), which cannot overflow


def gibbs_sample(w, b, steps, chains, temperature=1.0, seed=0):
    """Let every unit decide by chance, one after the other, again and again.

    Args:
        w, b, temperature: As in `boltzmann_distribution`, for any number of units.
        steps: Sweeps over all units.
        chains: Independent chains, each begun at a state drawn at random.
        seed: Seed of all draws.

    Returns:
        States (chains, steps, units), after each sweep.
    """
    (w, b), rng = machine(w, b), np.random.default_rng(seed)
    states = rng.integers(0, 2, size=(whole("chains", chains), len(b))).astype(np.float64)
    visited = np.empty((chains, whole("steps", steps), len(b)))
    for step in range(steps):
        _sweep(states, w, b, temperature, rng)
        visited[:, step] = states
    return visited


def _sweep(states, w, b, temperature, rng):
    for unit in range(len(b)):
        if temperature > 0:
            states[:, unit] = rng.random(len(states)) < unit_probability(states, unit, w, b, temperature)
        else:
            states[:, unit] = states @ w[unit] + b[unit] > 0


def anneal(w, b, temperatures, chains, seed=0):
    """Simulated annealing: a sweep at each of a row of falling temperatures.

    Args:
        w, b: As in `boltzmann_distribution`, for any number of units.
        temperatures: One for each sweep (sweeps,); 0 takes every unit to its better state.
        chains: Independent runs.
        seed: Seed of starts and draws.

    Returns:
        `(states, energies)`: where the runs end (chains, units), and the energy after each sweep (chains, sweeps).
    """
    (w, b), rng = machine(w, b), np.random.default_rng(seed)
    states = rng.integers(0, 2, size=(whole("chains", chains), len(b))).astype(np.float64)
    energies = []
    for temperature in temperatures:
        _sweep(states, w, b, temperature, rng)
        energies.append(boltzmann_energy(states, w, b))
    return states, np.array(energies).T


def machine(w, b):
    """Weights and biases as float64, after a look at them. Raises ValueError if they make no Boltzmann machine."""
    w, b = np.asarray_chkfinite(w, np.float64), np.asarray_chkfinite(b, np.float64)
    shape("w", w, len(b), len(b))
    if not np.allclose(w, w.T, rtol=0, atol=1e-12) or np.diag(w).any():
        raise ValueError("w: expected symmetric weights with a diagonal of zeros")
    return w, b


def example():
    """Three units: every state with its probability, and how often a chain visits it."""
    w, b = np.array([[0, 1, -1], [1, 0, 0.5], [-1, 0.5, 0]]), np.array([0.2, -0.5, 0.1])
    states, probabilities = boltzmann_distribution(w, b)
    visited = gibbs_sample(w, b, steps=2000, chains=10, seed=0).reshape(-1, 3)
    for state, probability in zip(states, probabilities, strict=True):
        share = np.mean((visited == state).all(axis=1))
        print(f"{state.astype(int)}: probability {probability:.3f}, visited {share:.3f}")
    print("unit 0 is 1, given 1 and 0:", unit_probability([0, 1, 0], 0, w, b), "at T = 10:",
          unit_probability([0, 1, 0], 0, w, b, 10.0))  # fmt: skip
    print("annealed:", anneal(w, b, np.geomspace(5, 0.1, 20), chains=3)[0].astype(int))


def lesson(report, *, units: int = 6, chains: int = 400, steps: int = 400, runs: int = 200, seed: int = 0):
    """Compare chance with a list of all states, then cool and run downhill.

    Args:
        report: The report to write to.
        units: Units of the machine whose chains are compared with all its states (2 to 10).
        chains: Chains (2 to 10000).
        steps: Sweeps of each chain, of which the first fifth is left out (20 to 100000).
        runs: Runs of annealing and of descent, each on 16 units (2 to 10000).
        seed: Seed of weights and draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    w, b = random_machine(units, rng)
    _conditionals(report, w, b)
    _visits(report, w, b, chains, steps, seed)
    curve = _mean_energies(report, w, b)
    shares = _annealing(report, rng, runs, seed)
    report.figure(
        "Colder is lower, and slow cooling beats one descent",
        _figure(*curve, shares),
        alt="Left: the mean energy and its slope over the temperature. Right: share of runs in the lowest state: "
        "annealing and the best of many descents far above a single descent.",
    )


def random_machine(units, rng, deviation=1.0):
    """Weights and biases of a machine, drawn from a normal distribution."""
    w = rng.normal(0, deviation, (units, units))
    w = np.triu(w, 1)
    return w + w.T, rng.normal(0, deviation, units)


def _conditionals(report, w, b):
    errors, cold = [], []
    for temperature in (0.5, 1.0, 3.0):
        states, p = boltzmann_distribution(w, b, temperature)
        for unit in range(len(b)):
            on = states[:, unit] == 1
            ratio = p[on] / (p[on] + p[~on])  # both lists run through the same states of the others
            errors.append(np.abs(ratio - unit_probability(states[on], unit, w, b, temperature)).max())
    report.at_most(
        "a unit's probability by the formula and by the list of all states: largest difference", errors, 1e-12
    )
    states, _ = boltzmann_distribution(w, b)
    for unit in range(len(b)):
        p = unit_probability(states, unit, w, b, 1e-6)
        cold.append(np.array_equal(p > 0.5, states @ w[unit] + b[unit] > 0) and np.all(np.abs(p - 0.5) > 0.499))
    report.check("T near 0: every unit takes the sign of its sum, as in a Hopfield network", all(cold), True)
    right, without = 1 / (1 + np.exp(-0.4 / 2.5)), 1 / (1 + np.exp(-0.4))
    by_list = float(boltzmann_distribution(np.zeros((1, 1)), np.array([0.4]), 2.5)[1][1])
    report.check("one unit with bias 0.4 at T = 2.5 is 1 with probability", by_list, right)
    report.correction(
        "the probability of a state and of a unit",
        course="exp(-1/(kT)); P ∝ exp(-(-E)/T); P(s = 1) = σ(Σ w s + b)",
        correct="P = exp(-E/T)/Z, low energies are likely; P(s = 1) = σ((Σ w s + b)/T)",
        shown_by=f"the list of all states: a bias of 0.4 at T = 2.5 gives {by_list:.3f}, without T it would be "
        f"{without:.3f}",
    )


def _visits(report, w, b, chains, steps, seed):
    """Pearson's χ² of visits that are far enough apart to be independent, and a mean that never settles."""
    _, p = boltzmann_distribution(w, b)
    visited = gibbs_sample(w, b, steps, chains, seed=seed)[:, steps // 5 :]
    energies = boltzmann_energy(visited.reshape(-1, len(b)), w, b).reshape(visited.shape[:2])
    gap = _independent_after(energies)
    numbers = (visited[:, ::gap] @ 2 ** np.arange(len(b))).astype(int).ravel()
    observed, expected = np.bincount(numbers, minlength=len(p)), p * len(numbers)
    common = expected >= 5  # rarer states are counted together, or χ² would not be χ²
    rest = [each[~common].sum() for each in (observed, expected)]
    pairs = [*zip(observed[common], expected[common], strict=True), *([rest] if rest[1] > 0 else [])]
    chi2, freedom = sum((o - e) ** 2 / e for o, e in pairs), len(pairs) - 1
    # The 0.999 quantile of χ², by Wilson and Hilferty's approximation; that of the normal distribution is 3.09.
    bound = freedom * (1 - 2 / (9 * freedom) + 3.0902 * np.sqrt(2 / (9 * freedom))) ** 3
    report.at_most(
        "visits to all states, sweeps far apart: χ² over its 0.999 quantile", chi2 / bound, 1.0, trained=True
    )
    logs = np.log(np.maximum(p, 1e-300))[(visited @ 2 ** np.arange(len(b))).astype(int)]  # (chains, steps)
    early, late = (np.std(part) for part in np.array_split(logs, 2, axis=1))
    report.at_least("log P of the visited states goes on changing: spread in the second half over the first",
                    late / early, 0.8, trained=True)  # fmt: skip
    report.correction(
        "when a machine is in equilibrium",
        course="When P(y) no longer rises, the network is in equilibrium.",
        correct="It fluctuates for ever; in equilibrium the shares of the states are constant.",
        shown_by=f"log P of visited states: spread {early:.2f} in the first half of all sweeps, then {late:.2f}",
    )


def _independent_after(energies):
    """Sweeps after which the energies of a chain have forgotten: autocorrelation below 0.02, then twice as many."""
    centred = energies - energies.mean()
    variance = np.mean(centred**2)
    for gap in range(1, energies.shape[1] // 4):
        if np.mean(centred[:, gap:] * centred[:, :-gap]) < 0.02 * variance:
            return 2 * gap
    return energies.shape[1] // 4


def _mean_energies(report, w, b):
    temperatures = np.geomspace(0.2, 10, 60)

    def moments(temperature):
        states, p = boltzmann_distribution(w, b, temperature)
        energies = boltzmann_energy(states, w, b)
        mean = p @ energies
        return mean, p @ (energies - mean) ** 2

    means, variances = np.array([moments(t) for t in temperatures]).T
    slopes = np.array(
        [(moments(t * 1.0001)[0] - moments(t / 1.0001)[0]) / (t * (1.0001 - 1 / 1.0001)) for t in temperatures]
    )
    report.at_least("the mean energy rises with the temperature: smallest slope", slopes, 0.0)
    report.check(
        "its slope is the variance of the energy over T²", slopes, variances / temperatures**2, rtol=1e-5, atol=1e-9
    )
    return temperatures, means, slopes


def _annealing(report, rng, runs, seed):
    """Shares of runs that end in the lowest of 2^16 states: annealing, one descent, and the best of many descents."""
    shares, sweeps, rest = [], 200, 10  # after ten sweeps downhill every unit rests
    for number in report.track(range(10), "machines of 16 units"):
        w, b = random_machine(16, rng)
        lowest = boltzmann_energy(binary_states(16), w, b).min() + 1e-9
        cooled = anneal(w, b, [*np.geomspace(5, 0.1, sweeps - 1), 0.0], runs, (seed, number))[1][:, -1]
        many = max(1, sweeps // rest)
        downhill = anneal(w, b, np.zeros(rest), runs * many, (seed, number, 1))[1][:, -1].reshape(runs, many)
        shares.append([np.mean(e < lowest) for e in (cooled, downhill[:, 0], downhill.min(axis=1))])
    names = ("annealing", "one descent", f"best of {many} descents")
    means = np.mean(shares, axis=0)
    report.at_least(f"annealing, {sweeps} sweeps: share of runs in the lowest state, less that of one descent",
                    means[0] - means[1], 0.0, trained=True)  # fmt: skip
    report.table(f"{runs} runs, 16 units, mean of 10 machines", ["method", "sweeps", "share in the lowest state"],
                 [*zip(names, (sweeps, rest, many * rest), means, strict=True)])  # fmt: skip
    report.note("With 16 units many short descents do better still: such a machine has few valleys to choose from.")
    return dict(zip(names, np.array(shares).T, strict=True))


def _figure(temperatures, energies, slopes, shares):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4), width_ratios=(3, 2))
    plots.two_scales(temperatures, ("mean energy", energies - energies.min()), ("its slope = variance / T²", slopes),
                     xlabel="temperature", title="The mean energy rises with the temperature", ax=left,
                     legend="center right")  # fmt: skip
    left.set(xscale="log", ylabel="mean energy, above its lowest")
    labels = [name.replace(" ", "\n", 1) for name in shares]
    values = [plots.mean_and_error(each) for each in shares.values()]
    means, errors = np.array(values).T
    plots.bars(labels, means, errors=errors, ylabel="share of runs in the lowest state", ax=right)
    right.set_title("Slow cooling beats one descent")
    return figure

"""A Boltzmann machine learns from the difference between what it sees and what it dreams.

The slope of the log-likelihood by a weight is the mean of s_i s_j while the data hold the visible units, minus the mean
while the machine runs free. What the reader should see: the rule equals the slope of an exact likelihood; without
hidden units a machine takes over all means and pair averages of the data and nothing else, so that even parity of three
bits is a riddle to it; hidden units solve that riddle. States are 0 and 1, the temperature is 1.

Notes: chapter 15, "Boltzmann machine: learning" (Boltzmann机: 参数学习).
Source: Ackley, Hinton, Sejnowski 1985, doi:10.1207/s15516709cog0901_7; MacKay 2003, Information Theory, Inference, and
Learning Algorithms, ISBN 978-0-521-64298-9, chapter 43.
"""

import math

import numpy as np

from kerasnotes import plots
from kerasnotes.chapter15.boltzmann import (
    anneal,
    binary_states,
    boltzmann_distribution,
    boltzmann_energy,
    machine,
    random_machine,
    unit_probability,
)
from kerasnotes.parts import positive, shape, whole

COOLING = (4.0, 2.8, 2.0, 1.6, 1.4, 1.2, 1.1, 1.0, 1.0, 1.0)  # temperatures of a free chain's sweeps, the last is 1

SMOKE = {"starts": 2, "steps": 30, "drawn_steps": 5}
SECONDS = 25


def log_likelihood(w, b, data, hidden=0):
    """Mean log-probability of the data, exact: a sum over all states of the hidden units, over one over all states.

    Args:
        w, b: Symmetric weights (units, units) and biases (units,), the visible units first.
        data: States of the visible units (samples, units - hidden) of 0 and 1.
        hidden: How many of the units, the last ones, are hidden.

    Returns:
        Nats, a float.
    """
    (w, b), data = machine(w, b), bits("data", data, len(b) - whole("hidden", hidden, 0))
    clamped = _log_sum(-boltzmann_energy(_completed(data, hidden), w, b).reshape(len(data), -1))
    return float(np.mean(clamped) - _log_sum(-boltzmann_energy(binary_states(len(b)), w, b)[None])[0])


def likelihood_gradient(w, b, data, hidden=0):
    """The slope of `log_likelihood`: averages while the data are held, minus averages while the machine runs free.

    Args:
        w, b, data, hidden: As in `log_likelihood`.

    Returns:
        `(dw, db)`: (units, units), symmetric with a diagonal of zeros, as one weight stands in two places and is one
        number; and (units,).

    Source: Ackley, Hinton, Sejnowski 1985.
    """
    (w, b), data = machine(w, b), bits("data", data, len(b) - whole("hidden", hidden, 0))
    states = _completed(data, hidden)  # (samples · 2^hidden, units)
    logs = -boltzmann_energy(states, w, b).reshape(len(data), -1)
    awake = np.exp(logs - _log_sum(logs)[:, None]).ravel() / len(data)  # P(hidden given visible), over the samples
    everything, asleep = boltzmann_distribution(w, b)
    dw = (states.T * awake) @ states - (everything.T * asleep) @ everything
    db = awake @ states - asleep @ everything
    np.fill_diagonal(dw, 0.0)
    return dw, db


def train_boltzmann(data, hidden, steps, learning_rate, seed, exact=True, momentum=0.98, chains=1000):
    """Follow the gradient, by lists of all states or by drawing.

    Args:
        data: States of the visible units (samples, visible) of 0 and 1.
        hidden: Number of hidden units.
        steps: Steps of gradient ascent.
        learning_rate: Their size; where averages are drawn it falls to 0 over the steps, so that their noise fades.
        seed: Seed of the first weights and of all draws.
        exact: True lists all states; False draws: for each step chains are cooled from a random start (`COOLING`).
        momentum: Share of the last step that is kept.
        chains: Chains of `exact=False`; as many hold the data.

    Returns:
        `(w, b)`, the visible units first.
    """
    data, rng = bits("data", data), np.random.default_rng(seed)
    visible, hidden = data.shape[1], whole("hidden", hidden, 0)
    positive("learning_rate", learning_rate)
    w, b = random_machine(visible + hidden, rng, 0.5)
    step_w, step_b = np.zeros_like(w), np.zeros_like(b)
    awake = np.repeat(data, -(-chains // len(data)), axis=0)
    awake = np.column_stack([awake, rng.integers(0, 2, (len(awake), hidden))])
    for step in range(whole("steps", steps)):
        rate = learning_rate if exact else learning_rate * (1 - step / steps)
        if exact:
            dw, db = likelihood_gradient(w, b, data, hidden)
        else:
            for unit in 2 * [*range(visible, len(b))]:  # the data hold the others
                awake[:, unit] = rng.random(len(awake)) < unit_probability(awake, unit, w, b)
            asleep, _ = anneal(w, b, COOLING, len(awake), seed=rng.integers(2**31))
            dw = (awake.T @ awake - asleep.T @ asleep) / len(awake)
            np.fill_diagonal(dw, 0.0)
            db = awake.mean(axis=0) - asleep.mean(axis=0)
        step_w, step_b = momentum * step_w + rate * dw, momentum * step_b + rate * db
        w, b = w + step_w, b + step_b
    return w, b


def divergence(w, b, data, hidden=0):
    """Kullback-Leibler divergence of the machine from the data, each sample equally likely, in nats."""
    return -math.log(len(data)) - log_likelihood(w, b, data, hidden)


def bits(name, states, size=None):
    """States (batch, size) of 0 and 1 as floats. Raises ValueError if one is neither, or the shape differs."""
    states = shape(name, np.asarray(states, np.float64), None, size)
    if states.size == 0 or not np.isin(states, (0.0, 1.0)).all():
        raise ValueError(f"{name}: expected states 0 and 1, at least one")
    return states


def _completed(data, hidden):
    """Every sample with every state of the hidden units, (samples · 2^hidden, units)."""
    if hidden == 0:
        return data
    tails = binary_states(hidden)
    return np.column_stack([np.repeat(data, len(tails), axis=0), np.tile(tails, (len(data), 1))])


def _log_sum(logs):
    highest = logs.max(axis=1)
    return highest + np.log(np.exp(logs - highest[:, None]).sum(axis=1))


PARITY = ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0))  # three bits with an even number of ones


def example():
    """Even parity of three bits, without and with hidden units."""
    for hidden in (0, 4):
        w, b = train_boltzmann(PARITY, hidden, steps=600, learning_rate=0.02, seed=1)
        print(
            f"{hidden} hidden units: divergence {divergence(w, b, PARITY, hidden):.3f} nats, log 2 = {math.log(2):.3f}"
        )
    dw, db = likelihood_gradient(np.zeros((2, 2)), np.zeros(2), [[1, 1], [0, 0]])
    print("two units that were always alike: dw", dw[0, 1], "(awake 1/2, asleep 1/4), db", db)


def lesson(report, *, starts: int = 5, steps: int = 3000, drawn_steps: int = 1000, seed: int = 0):
    """Check the gradient, learn moments, and learn parity with and without hidden units.

    Args:
        report: The report to write to.
        starts: First weights from which parity is learnt (1 to 1000).
        steps: Steps of learning by lists of all states (10 to 100000).
        drawn_steps: Steps of learning by drawing (5 to 100000).
        seed: First seed of weights and draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _slopes(report, rng)
    _moments(report, rng, steps)
    found = _parity(report, starts, steps, drawn_steps, seed)
    report.figure(
        "Parity needs hidden units",
        _figure(found),
        alt="Divergence from the data against hidden units, one point for each start. Without them all stay at log 2, "
        "with four or more nearly all come close to 0.",
    )


def _slopes(report, rng):
    errors = []
    for hidden in (0, 2):
        w, b = random_machine(5, rng)
        data = rng.integers(0, 2, (7, 5 - hidden))
        dw, db = likelihood_gradient(w, b, data, hidden)
        for i in range(5):
            for j in range(i):
                step = np.zeros((5, 5))
                step[i, j] = step[j, i] = 1e-5
                ends = [log_likelihood(w + sign * step, b, data, hidden) for sign in (1, -1)]
                errors.append(abs((ends[0] - ends[1]) / 2e-5 - dw[i, j]))
            ends = [log_likelihood(w, b + sign * 1e-5 * np.eye(5)[i], data, hidden) for sign in (1, -1)]
            errors.append(abs((ends[0] - ends[1]) / 2e-5 - db[i]))
    report.at_most("awake minus asleep, against central differences of the likelihood: largest error", errors, 1e-8)
    w, b = random_machine(3, rng)
    states, p = boltzmann_distribution(w, b)
    by_notes = w[0, 1] - p @ (states[:, 0] * states[:, 1])
    right = likelihood_gradient(w, b, PARITY)[0][0, 1]
    report.at_least("the notes' rule, distance from the slope", abs(by_notes - right), 1e-3)
    report.correction(
        "the rule of learning",
        course="Δw = w minus the average of s_i s_j in the running machine",
        correct="Δw ∝ the average while the data are held, minus the average while the machine runs free",
        shown_by=f"slope of the exact likelihood on parity data: {right:+.3f}; the notes' rule gives {by_notes:+.3f}",
    )


def _moments(report, rng, steps):
    """More patterns than units: what a machine without hidden units keeps of them."""
    states = binary_states(5)
    data = np.unique(states[rng.integers(0, 32, 40)], axis=0)
    w, b = train_boltzmann(data, 0, steps, 0.02, int(rng.integers(2**31)))
    everything, p = boltzmann_distribution(w, b)
    ours = (everything.T * p) @ everything
    report.at_most("without hidden units: largest difference of a mean or a pair average from the data's",
                   np.abs(ours - data.T @ data / len(data)).max(), 0.02, trained=True)  # fmt: skip
    chance = 1 / 32
    mass = p[(everything @ 2 ** np.arange(5)).astype(int)][(data @ 2 ** np.arange(5)).astype(int)].sum()
    report.table("five units, all that fits in means and pairs", ["", "number"],
                 [["samples", len(data)], ["their probability in the machine", float(mass)],
                  ["in a machine of fair coins", len(data) * chance]])  # fmt: skip
    report.correction(
        "what N units can store",
        course="N units store only N states.",
        correct="The machine learns a distribution: without hidden units, any means and pair averages, however many "
        "states have them; what does not show in pairs it cannot hold, were it four states.",
        shown_by=f"five units take over all averages of {len(data)} states; three units cannot hold the four of parity",
    )


def _parity(report, starts, steps, drawn_steps, seed):
    found, numbers = {}, range(seed, seed + starts)
    for hidden in report.track((0, 1, 2, 4, 6), "hidden units"):
        machines = [train_boltzmann(PARITY, hidden, steps, 0.02, number) for number in numbers]
        found[hidden] = np.array([divergence(w, b, PARITY, hidden) for w, b in machines])
    report.check("parity without hidden units: divergence log 2, every start", found[0], [math.log(2)] * starts, rtol=0,
                 atol=1e-3, trained=True)  # fmt: skip
    report.at_least(
        "with six hidden units: share of starts below 0.02 nats", np.mean(found[6] < 0.02), 0.8, trained=True
    )
    rows = [[h, "lists", steps, float(np.median(d)), float(d.max()), np.mean(d < 0.02)] for h, d in found.items()]
    for exact, momentum, rate in ((True, 0.9, 0.1), (False, 0.0, 1.0)):  # in the long run both go equally fast
        learnt = [train_boltzmann(PARITY, 6, drawn_steps, rate, number, exact, momentum) for number in numbers]
        d = np.array([divergence(w, b, PARITY, 6) for w, b in learnt])
        name = "lists" if exact else "draws"
        rows.append([6, name, drawn_steps, float(np.median(d)), float(d.max()), float(np.mean(d < 0.02))])
    report.at_most("averages drawn, no list of states: median divergence", np.median(d), math.log(2) / 2, trained=True)
    columns = ["hidden units", "averages from", "steps", "median", "worst", "share below 0.02"]
    report.table("divergence from even parity, nats", columns, rows)
    report.note(
        f"Averages that are drawn leave {rows[-1][3] / rows[-2][3]:.1f} times the divergence of exact ones after as "
        "many steps; twice was hoped for. Chains that go on from step to step did worse: growing weights trap them."
    )
    return found


def _figure(found):
    figure, ax = plots.subplots()
    for hidden, values in found.items():
        ax.plot([hidden] * len(values), values, "o", color="C0", label="one start" if hidden == 0 else None)
    ax.plot(list(found), [np.median(values) for values in found.values()], color="C1", label="median")
    ax.axhline(math.log(2), color="black", linestyle=":", label="log 2: independent fair bits")
    ax.set(xlabel="hidden units", ylabel="divergence from even parity, nats", yscale="log")
    ax.set_title("Parity needs hidden units")
    ax.legend(loc="lower left")
    return figure

"""One step of attention is one step of recall: with a softmax a Hopfield network stores far more than it has units.

The classical network compares its state with every stored pattern and adds the patterns up, weighted by how alike they
are. What the reader should see: with weights that grow exponentially with the likeness, a softmax, the nearest pattern
drowns the others, one step is enough, and ten times as many patterns as units come back. The step lowers an energy, and
it is the attention of a Transformer, with the stored patterns as keys and as values. Its factor β decides between the
mean of all patterns (small), the mean of a few (middle), and one pattern (large).

Notes: chapter 15, "Hopfield network" (Hopfield网络); chapter 13, "Attention" (注意力机制).
Source: Ramsauer et al. 2021, arXiv:2008.02217, equations 2 and 3, theorems 1 to 3.
"""

import keras
import numpy as np

from kerasnotes import data, plots
from kerasnotes.chapter15.hopfield import hebbian_weights, recall
from kerasnotes.chapter15.projection_rule import overlap
from kerasnotes.parts import positive, shape, whole

SMOKE = {"units": 16, "states": 8, "starts": 4, "digits": 50}
SECONDS = 4


def _checked(state, patterns, beta):
    patterns = shape("patterns", np.asarray_chkfinite(patterns, np.float64), None, None)
    state = shape("state", np.asarray_chkfinite(state, np.float64), None, patterns.shape[1])
    return state, patterns, positive("beta", beta)


def modern_energy(state, patterns, beta):
    """The energy that `modern_update` lowers: ½‖ξ‖² - log(Σ exp(β xᵢ·ξ))/β, and constants that make it 0 or more.

    Args:
        state: States ξ (batch, units), real numbers.
        patterns: Stored patterns xᵢ (patterns, units), real numbers.
        beta: How sharply the nearest pattern is preferred, a positive number.

    Returns:
        Energies (batch,), from 0 to twice the largest squared norm of a pattern for states among the patterns.

    Source: Ramsauer et al. 2021, equation 2.
    """
    state, patterns, beta = _checked(state, patterns, beta)
    scores = beta * state @ patterns.T  # (batch, patterns)
    highest = scores.max(axis=1, keepdims=True)  # subtracted, so that exp does not overflow
    log_sum = (highest + np.log(np.exp(scores - highest).sum(axis=1, keepdims=True)))[:, 0]
    largest = np.max(np.sum(patterns**2, axis=1))
    return -log_sum / beta + np.sum(state**2, axis=1) / 2 + np.log(len(patterns)) / beta + largest / 2


def modern_update(state, patterns, beta):
    """One step: the mean of the patterns, weighted by a softmax of how alike they are to the state.

    Args:
        state: States ξ (batch, units), real numbers.
        patterns: Stored patterns (patterns, units), real numbers.
        beta: How sharply the nearest pattern is preferred, a positive number.

    Returns:
        The new states (batch, units), softmax(β ξ Xᵀ) X.

    Source: Ramsauer et al. 2021, equation 3.
    """
    state, patterns, beta = _checked(state, patterns, beta)
    scores = beta * state @ patterns.T  # (batch, patterns)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ patterns


def example():
    """Four patterns of four units, a state near the first; the same step by Keras's attention."""
    patterns = np.array([[1, 1, 1, -1], [1, -1, -1, 1], [-1, 1, -1, -1], [-1, -1, 1, 1]], float)
    state = np.array([[1, 1, 0.5, 0]])
    for beta in (0.01, 0.5, 10):
        new = modern_update(state, patterns, beta)
        print(f"β = {beta}: {new[0].round(3)}, energy {modern_energy(state, patterns, beta)[0]:.3f} to "
              f"{modern_energy(new, patterns, beta)[0]:.3f}")  # fmt: skip
    attention = keras.layers.Attention()  # [query, value, key], without a factor: β = 1
    print("Keras, β = 1:", attention([state[None], patterns[None], patterns[None]]).numpy()[0, 0].round(3))
    print("ours,  β = 1:", modern_update(state, patterns, 1.0)[0].round(3))


def lesson(report, *, units: int = 64, states: int = 1000, starts: int = 200, digits: int = 2000, seed: int = 0):
    """Watch the energy, compare with attention, store ten times as many patterns as units, then digits.

    Args:
        report: The report to write to.
        units: Units of the networks with random patterns (8 to 1000).
        states: Random states from which the energy is watched (1 to 100000).
        starts: Stored patterns that are recalled from spoilt ones (1 to 600).
        digits: Handwritten digits that are stored as they are, in grey (10 to 60000).
        seed: Seed of patterns and states (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _energy_falls(report, rng, units, states)
    _is_attention(report, rng, units)
    _capacity(report, rng, units, starts)
    _digits(report, rng, digits)


def _energy_falls(report, rng, units, states):
    rises, moved = [], []
    for beta in (0.01, 0.1, 1.0, 10.0):
        patterns = rng.normal(size=(3 * units, units))
        state = rng.normal(size=(states, units))
        for _ in range(20):
            before, state = state, modern_update(state, patterns, beta)
            rises.append(np.max(modern_energy(state, patterns, beta) - modern_energy(before, patterns, beta)))
        moved.append(np.abs(state - before).max())
        report.at_least(f"β = {beta:g}: the lowest energy", modern_energy(state, patterns, beta).min(), 0.0)
    report.at_most(f"{states} random states, four β, 20 steps: largest rise of the energy", rises, 1e-9)
    report.table("how far a state still moves in step 20, the largest of all", ["β", "largest change of a number"],
                 [[beta, float(each)] for beta, each in zip((0.01, 0.1, 1.0, 10.0), moved, strict=True)])  # fmt: skip


def _is_attention(report, rng, units):
    patterns, state = rng.normal(size=(40, units)), rng.normal(size=(5, units))
    ours = modern_update(state, patterns, units**-0.5)
    query, value = (array[None, :, None].astype(np.float32) for array in (state, patterns))  # one batch, one head
    theirs = keras.ops.dot_product_attention(query, value, value)  # its factor is 1/√units
    report.check("Keras's dot-product attention, patterns as keys and values: β = 1/√units", theirs[0, :, 0], ours,
                 atol=1e-5)  # fmt: skip
    layer = keras.layers.Attention()
    theirs = layer([state[None], patterns[None], patterns[None]])[0]
    report.check("layers.Attention without a factor: β = 1", theirs, modern_update(state, patterns, 1.0), atol=1e-4)


def _capacity(report, rng, units, starts):
    """Ten times as many patterns as units; an eighth of the bits is turned round."""
    rows = []
    for load in (0.1, 1, 10):
        patterns = rng.choice([-1.0, 1.0], size=(max(2, round(load * units)), units))
        chosen = patterns[:starts]
        spoilt = np.where(rng.random(chosen.shape) < 1 / 8, -chosen, chosen)
        w = hebbian_weights(patterns)
        classical = np.mean(overlap(np.array([recall(state, w)[0] for state in spoilt]), chosen))
        once = np.mean(modern_update(spoilt, patterns, 1.0) * chosen)
        rows.append([len(patterns), float(overlap(spoilt, chosen).mean()), float(classical), float(once)])
    report.table(f"{units} units: overlap with the stored pattern", ["patterns stored", "of the spoilt one",
                 "classical, at rest", "softmax with β = 1, one step"], rows)  # fmt: skip
    report.at_most(f"{rows[-1][0]} patterns, classical network: overlap in the end", rows[-1][2], 0.5, trained=True)
    report.at_least("softmax, one step: overlap", rows[-1][3], 0.98, trained=True)


def _digits(report, rng, digits):
    (x, _), _ = data.mnist()
    patterns = x[rng.permutation(len(x))[: whole("digits", digits, 10)]].reshape(digits, -1) / 255.0
    patterns -= patterns.mean(axis=0)
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)  # so that no pattern is liked for its ink
    half = patterns.copy()
    half[:, 392:] = 0.0
    shown, found = [half[:8]], {}
    for beta in (1, 10, 1000):
        ends = modern_update(half, patterns, beta)
        shown.append(ends[:8])
        found[beta] = float(np.mean(np.linalg.norm(ends - patterns, axis=1)))
    nearest = float(np.mean((half @ patterns.T).argmax(axis=1) == np.arange(digits)))
    report.check("digits from their upper half: with β = 1000 the nearest stored one comes back, distance",
                 np.abs(modern_update(half, patterns, 1e5) - patterns[(half @ patterns.T).argmax(axis=1)]).max(), 0.0,
                 atol=1e-2)  # fmt: skip
    report.at_least("share whose nearest is the right one", nearest, 0.9, trained=True)
    report.table(f"{digits} stored digits, begun at the upper half, one step", ["β", "distance from the stored digit"],
                 [[beta, each] for beta, each in found.items()])  # fmt: skip
    figure, axes = plots.subplots(figsize=(9, 5.6))
    rows = np.array([*shown, patterns[:8]]).reshape(5, 8, 28, 28)
    rows /= np.abs(rows).max(axis=(2, 3), keepdims=True)
    plots.tiles(rows, axes, labels=("begun at", "β = 1", "β = 10", "β = 1000", "stored"))
    axes.set_title("From the mean of all patterns to one of them")
    report.figure("From the mean of all digits to one of them", figure,
                  alt="Eight digits, of which only the upper half is given. With small β one step leads to a blur "
                  "of many digits, with medium β of similar ones, with large β to the stored digit.")  # fmt: skip

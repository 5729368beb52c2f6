"""Two tasks with a known price for who forgets: 1/6 for adding two marked numbers, 10 ln 8 nats for ten symbols.

To know whether a network remembers, one needs a task that cannot be done otherwise, and the price of the best answer
without memory. What the reader should see: adding, where always answering 1 costs the variance of a sum of two uniform
numbers; copying, where ten symbols have to be said again after a gap; and that the price a step falls with the gap, so
that a small loss over a long gap says nothing about memory.

Notes: chapter 09, "Two tasks for memory" (两个记忆任务).
Source: Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735 (the adding problem); Arjovsky, Shah, Bengio
2016, arXiv:1511.06464 (one marker in each half; the copying memory problem and its baseline).
"""

import math

import keras
import numpy as np

from kerasnotes import plots
from kerasnotes.parts import whole

SMOKE = {"steps": 4, "delay": 12, "samples": 50}
SECONDS = 1

SYMBOLS, LENGTH = 8, 10  # kinds of symbols, and symbols to remember
BLANK, DELIMITER = SYMBOLS, SYMBOLS + 1


def adding_problem(samples, steps, seed):
    """Sequences of random numbers, two of them marked, and the sum of the two.

    Args:
        samples: Number of sequences, at least 1.
        steps: Steps of a sequence, at least 2.
        seed: Seed, anything that `numpy.random.default_rng` takes.

    Returns:
        `(x, y)`: float32 (samples, steps, 2), at each step a number uniform in [0, 1) and the marker, which is 1 at one
        step of the first half and at one of the second, and 0 elsewhere; float32 (samples, 1), the sum of the two.

    Raises:
        ValueError: If `samples` or `steps` is too small.

    Source: Hochreiter and Schmidhuber 1997; Arjovsky et al. 2016 (one marker in each half).
    """
    whole("samples", samples)
    whole("steps", steps, 2)
    rng = np.random.default_rng(seed)
    x = np.zeros((samples, steps, 2), np.float32)
    x[..., 0] = rng.random((samples, steps), dtype=np.float32)
    first, second = rng.integers(0, steps // 2, samples), rng.integers(steps // 2, steps, samples)
    rows = np.arange(samples)
    x[rows, first, 1] = x[rows, second, 1] = 1.0
    return x, x[rows, first, :1] + x[rows, second, :1]


def copy_task(samples, delay, seed):
    """Ten symbols to be said again `delay` steps after the last of them.

    Args:
        samples: Number of sequences, at least 1.
        delay: Steps from the last symbol to the delimiter that asks for them, at least 1.
        seed: Seed, anything that `numpy.random.default_rng` takes.

    Returns:
        `(x, y)`, each int32 (samples, delay + 20): x holds ten symbols 0 to 7, `delay` − 1 blanks (8), the delimiter
        (9) and ten blanks; y holds `delay` + 10 blanks and then the ten symbols.

    Raises:
        ValueError: If `samples` or `delay` is too small.

    Source: Arjovsky et al. 2016, arXiv:1511.06464, the copying memory problem.
    """
    whole("samples", samples)
    whole("delay", delay)
    symbols = np.random.default_rng(seed).integers(0, SYMBOLS, (samples, LENGTH))
    x, y = np.full((2, samples, delay + 2 * LENGTH), BLANK, np.int32)
    x[:, :LENGTH] = y[:, -LENGTH:] = symbols
    x[:, LENGTH + delay - 1] = DELIMITER
    return x, y


def memoryless_cross_entropy(delay):
    """Cross-entropy of the copying task, in nats a step, for the best answer without memory: 10 ln 8 / (delay + 20).

    It knows the step, so the blanks cost nothing, and guesses each of the ten symbols among eight.

    Raises:
        ValueError: If `delay` is too small.
    """
    whole("delay", delay)
    return LENGTH * math.log(SYMBOLS) / (delay + 2 * LENGTH)


def memoryless_logits(delay):
    """The best answer without memory: blanks until the delimiter, then every symbol alike.

    Args:
        delay: As in `copy_task`.

    Returns:
        Array (delay + 20, 10): at every step logits of the eight symbols, the blank and the delimiter.
    """
    asked = np.arange(whole("delay", delay) + 2 * LENGTH) >= delay + LENGTH
    symbols = np.where(np.arange(SYMBOLS + 2) < SYMBOLS, 0.0, -1e4)
    blank = np.where(np.arange(SYMBOLS + 2) == BLANK, 0.0, -1e4)
    return np.where(asked[:, None], symbols, blank)


def example():
    """One sequence of each task, and the price of the best answer without memory by Keras's losses."""
    x, y = adding_problem(samples=10_000, steps=6, seed=0)
    print("numbers:", x[0, :, 0].round(2), "markers:", x[0, :, 1].astype(int), "answer:", y[0].round(2))
    loss = keras.losses.MeanSquaredError()(y, np.ones_like(y))
    print("who always answers 1 has", float(loss), "and 1/6 is", round(1 / 6, 4))
    x, y = copy_task(samples=1, delay=4, seed=0)
    print("input: ", *x[0])
    print("target:", *y[0], "  (8 is the blank, 9 asks for the symbols)")
    logits = memoryless_logits(delay=4)[None]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    print("without memory, nats a step:", float(loss(y, logits)), "by the formula:", memoryless_cross_entropy(4))
    print("and over a gap of 1000 steps:", round(memoryless_cross_entropy(1000), 4))


def lesson(report, *, steps: int = 100, delay: int = 100, samples: int = 500, seed: int = 0):
    """Check both tasks and their prices, and draw the second.

    Args:
        report: The report to write to.
        steps: Steps of a sequence of the adding problem (2 to 1000).
        delay: Steps from the last symbol to the delimiter (1 to 10000).
        samples: Sequences to look at (2 to 100000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _adding(report, steps, seed)
    x, y = copy_task(samples, delay, (seed, 4))
    logits = np.stack([memoryless_logits(delay)] * samples)  # a table by step, which sees no input
    got = np.mean(keras.ops.sparse_categorical_crossentropy(y, logits, from_logits=True))
    label = f"copying with delay {delay}: without memory, the cross-entropy is 10 ln 8 / {delay + 2 * LENGTH}"
    report.check(label, got=got, want=memoryless_cross_entropy(delay))
    report.check("copying: the answer's last ten are the input's first ten", got=y[:, -LENGTH:], want=x[:, :LENGTH])
    delays = (1, 10, 30, 100, 300, 1000)
    prices = [memoryless_cross_entropy(each) for each in delays]
    totals = [price * (each + 2 * LENGTH) for each, price in zip(delays, prices, strict=True)]
    report.check("the price of all steps together is 10 ln 8 at any delay", totals, [LENGTH * math.log(SYMBOLS)] * 6)
    rows = [list(row) for row in zip(delays, prices, totals, strict=True)]
    report.table("best answer without memory", ["delay", "nats a step", "nats in all"], rows)
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 3.8), width_ratios=(1.5, 1))
    shown = copy_task(1, 20, (seed, 5))
    plots.heatmap(np.concatenate(shown), xlabel="step", ylabel="", label="symbol, 8 blank, 9 delimiter", ax=left,
                  title="Read, wait, say again", cmap="tab10", vmin=-0.5, vmax=9.5)  # fmt: skip
    left.set_yticks([0, 1], ["input", "target"])
    axes = {"xlabel": "delay, steps", "ylabel": "cross-entropy, nats a step", "xscale": "log", "yscale": "log"}
    plots.curves(delays, {"without memory": prices}, marker="o", ax=right, **axes)
    right.set_title("A longer gap costs less a step")
    alt = (
        "Left: a sequence of the task, ten symbols at the start of the input and at the end of the target. Right: the "
    )
    report.figure("the task and its price", figure, alt=alt + "cross-entropy without memory falls with the delay.")


def _adding(report, steps, seed, samples=20_000):
    x, y = adding_problem(samples, steps, (seed, 3))
    halves = np.stack([part.sum(axis=1) for part in np.split(x[..., 1], [steps // 2], axis=1)])
    report.check("one marker in each half of every sequence", got=halves, want=np.ones((2, samples)), atol=0.0)
    report.check("the answer is the sum of the marked numbers", got=y[:, 0], want=(x[..., 0] * x[..., 1]).sum(axis=1))
    # Var (u + v) = 2/12, and the fourth central moment of u + v is 1/15: the mean over samples has this standard error.
    error = math.sqrt((1 / 15 - 1 / 36) / samples)
    guess = np.mean((y - 1.0) ** 2)
    report.check("who answers 1 has mean squared error 1/6, within five standard errors", guess, 1 / 6, atol=5 * error)

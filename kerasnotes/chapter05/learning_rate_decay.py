"""A learning rate that falls takes large steps first and ends below the noise that a constant rate leaves.

What the reader should see: four schedules, each equal to Keras's own, and the same weights whether a rate is assigned
every epoch or comes from a schedule. Then why it pays: with noisy slopes a constant rate ends at a floor, high if the
rate is large; a small rate has a low floor but does not get there in time. One that begins large and falls does both.
Proven on a noisy parabola, whose losses can be computed exactly, and measured on the car data.

Notes: chapter 05, "Learning rate decay" (学习率衰减).
Source: Robbins and Monro 1951, doi:10.1214/aoms/1177729586; Loshchilov and Hutter 2017, arXiv:1608.03983 (cosine, eq. 5
without restarts); Goyal et al. 2017, arXiv:1706.02677 (warmup);
https://keras.io/api/optimizers/learning_rate_schedules/
"""

import math

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.parts import positive, share, whole

SMOKE = {"epochs": 4, "steps": 100, "copies": 100, "seeds": 2, "batch_size": 49}
SECONDS = 4


def linear_decay(initial, epochs):
    """Fall by the same amount every epoch, down to initial / epochs in the last one.

    Args:
        initial: Rate of epoch 0, positive.
        epochs: Number of epochs, at least 1.

    Returns: A callable from the epoch (0, 1, …) to the rate; 0 from `epochs` on.
    Raises: ValueError: If an argument is out of range; the callable, if the epoch is negative.
    Source: `keras.optimizers.schedules.PolynomialDecay(initial, epochs, end_learning_rate=0)`.
    """
    initial, epochs = positive("initial", initial), whole("epochs", epochs)
    return lambda epoch: initial * (1 - min(_epoch(epoch), epochs) / epochs)


def step_decay(initial, factor, every):
    """Multiply the rate by `factor` after every `every` epochs.

    Args:
        initial: Rate of epoch 0, positive.
        factor: Between 0 and 1.
        every: Epochs between two falls, at least 1.

    Returns, Raises: As for `linear_decay`; the rate never becomes 0.
    Source: `keras.optimizers.schedules.ExponentialDecay(initial, every, factor, staircase=True)`.
    """
    initial, every = positive("initial", initial), whole("every", every)
    share("factor", factor, low=False, high=False)
    return lambda epoch: initial * factor ** (_epoch(epoch) // every)


def cosine_decay(initial, epochs, final=0.0):
    """Fall along half a cosine from `initial` to `final`: slow at first, fast in the middle, slow at the end.

    Args:
        initial: Rate of epoch 0, positive.
        epochs: Number of epochs, at least 1.
        final: Rate from `epochs` on, 0 to `initial`.

    Returns, Raises: As for `linear_decay`.
    Source: Loshchilov and Hutter 2017, eq. 5; `keras.optimizers.schedules.CosineDecay(initial, epochs, alpha)`, alpha
    being final / initial.
    """
    initial, epochs = positive("initial", initial), whole("epochs", epochs)
    if not 0 <= final <= initial:
        raise ValueError(f"final: expected a number from 0 to initial, got {final!r}")

    return lambda epoch: final + (initial - final) * (1 + math.cos(math.pi * min(_epoch(epoch) / epochs, 1))) / 2


def warmup(peak, epochs, then):
    """Rise in equal steps to `peak` during the first epochs, then follow another schedule from its start.

    Args:
        peak: Rate of the last epoch of the rise, positive. The first one has peak / epochs.
        epochs: Epochs of the rise, at least 1.
        then: Schedule of the epochs after, called with 0, 1, …

    Returns, Raises: As for `linear_decay`.
    Source: Goyal et al. 2017.
    """
    peak, epochs = positive("peak", peak), whole("epochs", epochs)
    if not callable(then):
        raise ValueError(f"then: expected a schedule (epoch -> rate), got {then!r}")
    return lambda epoch: peak * (epoch + 1) / epochs if _epoch(epoch) < epochs else then(epoch - epochs)


def _epoch(epoch):
    if epoch < 0:
        raise ValueError(f"epoch: expected a number of at least 0, got {epoch!r}")
    return epoch


def example():
    """A rate assigned in every epoch, as the course does it; the same by Keras's schedule; then the other shapes."""
    rate, optimizer = linear_decay(0.2, 5), keras.optimizers.SGD(0.2)
    schedule = keras.optimizers.schedules.PolynomialDecay(0.2, decay_steps=5, end_learning_rate=0.0)
    counting = keras.optimizers.SGD(schedule)  # asks the schedule at every step: here an epoch is one step
    w, w_counting = keras.Variable([10.0]), keras.Variable([10.0])
    for epoch in range(5):
        optimizer.learning_rate = rate(epoch)
        optimizer.apply([w.value], [w])  # the slope of w² / 2
        counting.apply([w_counting.value], [w_counting])
        print(f"epoch {epoch}: rate {rate(epoch):.2f}, w {float(w[0]):.4f}, by the schedule {float(w_counting[0]):.4f}")

    for name, shape in (
        ("step_decay", step_decay(0.2, factor=0.5, every=2)),
        ("cosine_decay", cosine_decay(0.2, 5)),
        ("warmup", warmup(0.2, 2, then=linear_decay(0.2, 3))),
    ):
        print(f"{name:12}", [round(shape(epoch), 4) for epoch in range(5)])


def lesson(
    report,
    *,
    epochs: int = 40,
    batch_size: int = 8,
    steps: int = 2000,
    copies: int = 2000,
    rates: tuple[float, ...] = (0.1, 0.03, 0.01, 0.003, 0.001),
    seeds: int = 10,
    seed: int = 0,
):
    """Compare the schedules with Keras's, then constant and falling rates on a noisy parabola and on the car data.

    Args:
        report: The report to write to.
        epochs: Epochs of each training on the car data (4 to 1000).
        batch_size: Cars in a batch (4 to 392).
        steps: Steps on the parabola (100 to 20000).
        copies: Independent runs on the parabola (100 to 100000).
        rates: Constant rates, and first rates of the schedules, on the car data (0.00001 to 0.1).
        seeds: Independent trainings for each rate (2 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _equal_to_keras(report, epochs)
    x, y = ((values - values.mean(axis=0)) / values.std(axis=0) for values in data.auto_mpg())
    _same_weights(report, x, y, batch_size, seed)
    figure, axes = plots.subplots(1, 2, figsize=(11.5, 4.8))
    _parabola(report, steps, copies, np.random.default_rng(seed), axes[0])
    _cars(report, x, y, epochs, batch_size, rates, seeds, seed, axes[1])
    report.figure(
        "What a falling rate gains where slopes are noisy",
        figure,
        alt="Left: on a noisy parabola a large constant rate soon stops at a high loss, a small one falls slowly; the "
        "falling rate ends lowest. Right: for the car data, excess loss over the first rate; constant rates make a "
        "U-shaped curve, and schedules that begin at a large rate end far below its lowest point.",
    )


def _schedules(epochs):
    """Name → schedule of so many epochs, given the first rate."""
    return {
        "constant": lambda rate: lambda epoch: rate,
        "linear decay": lambda rate: linear_decay(rate, epochs),
        "step decay": lambda rate: step_decay(rate, 0.3, max(1, epochs // 4)),
        "cosine decay": lambda rate: cosine_decay(rate, epochs),
    }


def _equal_to_keras(report, epochs, initial=0.1):
    library = keras.optimizers.schedules
    rise = max(1, epochs // 4)
    for name, ours, theirs in (
        ("linear_decay: PolynomialDecay", linear_decay(initial, epochs), library.PolynomialDecay(initial, epochs, 0.0)),
        ("step_decay: ExponentialDecay", step_decay(initial, 0.5, 3), library.ExponentialDecay(initial, 3, 0.5, True)),
        ("cosine_decay: CosineDecay", cosine_decay(initial, epochs, 0.01), library.CosineDecay(initial, epochs, 0.1)),
    ):
        got, want = [ours(epoch) for epoch in range(epochs + 3)], [float(theirs(epoch)) for epoch in range(epochs + 3)]
        report.check(f"{name}, every epoch", got, want)
    report.check("linear_decay reaches initial / epochs in the last epoch", linear_decay(initial, epochs)(epochs - 1),
                 initial / epochs)  # fmt: skip
    rates = [warmup(initial, rise, cosine_decay(initial, epochs - rise))(epoch) for epoch in range(epochs)]
    theirs = library.CosineDecay(0.0, epochs - rise, warmup_target=initial, warmup_steps=rise)
    theirs = [float(theirs(epoch)) for epoch in (*range(1, rise + 1), *range(rise, epochs))]
    report.check("warmup rises as CosineDecay(warmup_steps), one step ahead, and then follows it", rates, theirs)


def _same_weights(report, x, y, batch_size, seed, epochs=4):
    """Rates assigned each epoch, by Keras's callback, and from schedules that count steps."""
    steps, ours = -(-len(x) // batch_size), step_decay(0.05, 0.3, 1)
    library, values = keras.optimizers.schedules, [ours(epoch) for epoch in range(epochs)]

    def weights(optimizer, callbacks=None, assign=False):
        start = [keras.initializers.GlorotUniform(seed=(seed + layer) % 2**31) for layer in range(2)]
        hidden = keras.layers.Dense(4, "tanh", kernel_initializer=start[0])
        model = keras.Sequential([keras.Input((7,)), hidden, keras.layers.Dense(1, kernel_initializer=start[1])])
        model.compile(optimizer, "mean_squared_error")
        for epoch in range(epochs) if assign else [None]:
            if assign:
                optimizer.learning_rate = ours(epoch)
            first, last = (epoch, epoch + 1) if assign else (0, epochs)
            settings = {"initial_epoch": first, "epochs": last, "callbacks": callbacks, "form": "loop"}
            training.fit(model, x, y[:, None], batch_size=batch_size, seed=seed, **settings)
        return np.concatenate([weight.ravel() for weight in model.get_weights()])

    sgd = keras.optimizers.SGD
    assigned = weights(sgd(1.0), assign=True)
    by_callback = weights(sgd(1.0), [keras.callbacks.LearningRateScheduler(ours)])
    by_steps = weights(sgd(library.ExponentialDecay(0.05, steps, 0.3, staircase=True)))
    report.check("optimizer.learning_rate = rate each epoch: as with LearningRateScheduler", assigned, by_callback)
    report.check("and as with ExponentialDecay(staircase=True), which counts steps", assigned, by_steps)
    last = [(epoch + 1) * steps - 1 for epoch in range(epochs - 1)]
    by_bounds = weights(sgd(library.PiecewiseConstantDecay(last, values)))
    report.check("and as with PiecewiseConstantDecay, bounds at the last step of an epoch", assigned, by_bounds)
    late = weights(sgd(library.PiecewiseConstantDecay([bound + 1 for bound in last], values)))
    report.at_least("with bounds at the first step of the next epoch: largest difference of a weight",
                    np.abs(late - assigned).max(), 1e-4)  # fmt: skip
    report.note("PiecewiseConstantDecay's bounds belong to the rate before them: the step of that number still has it.")


def _expected(rates, start=10.0):
    """Expected loss E[w²]/2 before and after every step w ← w − η(w + noise of deviation 1). Rates (steps, ...)."""
    square = [np.full(rates.shape[1:], start**2)]
    for rate in rates:
        square.append((1 - rate) ** 2 * square[-1] + rate**2)
    return np.array(square) / 2  # (steps + 1, ...)


def _parabola(report, steps, copies, rng, ax):
    floors = np.array([1.0, 0.3, 0.1])
    reached = _expected(np.tile(floors, (steps, 1)))[-1]
    report.check("parabola: the floor of a constant rate η is η / (2(2 − η))", reached, floors / (2 * (2 - floors)),
                 rtol=1e-3)  # fmt: skip
    tried, rows, best = np.geomspace(1e-4, 1, 200), [], {}
    for name, make in _schedules(steps).items():
        shape = make(1.0)
        final = _expected(np.array([shape(step) for step in range(steps)])[:, None] * tried)[-1]
        best[name] = tried[np.argmin(final)], final.min()
        rows.append([name, *best[name]])
    report.table(f"Parabola: lowest expected loss after {steps} steps, of 200 first rates from 0.0001 to 1",
                 ["schedule", "first rate", "expected loss"], rows)  # fmt: skip
    gains = [best["constant"][1] / row[2] for row in rows[1:]]
    report.at_least("parabola: loss of the best of 200 constant rates, over that of each schedule", gains, 1.0)

    middle, falling = best["constant"][0], best["linear decay"][0]
    large = min(30 * middle, 1.0)
    shown = {
        f"constant {large:.2g}": np.full(steps, large),
        f"constant {middle:.2g}, the best": np.full(steps, middle),
        f"constant {middle / 3:.2g}": np.full(steps, middle / 3),
        f"linear decay from {falling:.2g}": np.array([linear_decay(falling, steps)(step) for step in range(steps)]),
    }
    exact, w = _expected(np.stack([*shown.values()], axis=1)), np.full((copies, len(shown)), 10.0)
    for rate in np.stack([*shown.values()], axis=1):
        w = w - rate * (w + rng.normal(size=w.shape))
    mean, error = plots.mean_and_error(w**2 / 2)
    report.at_most(f"{copies} runs agree with the exact expectation, in standard errors", abs(mean - exact[-1]) / error,
                   4.5)  # fmt: skip
    plots.curves(np.arange(1, steps + 1), {name: exact[1:, i] for i, name in enumerate(shown)}, xlabel="step",
                 ylabel="expected loss", xscale="log", yscale="log", title="Noisy parabola: decay ends lowest",
                 ax=ax)  # fmt: skip
    ax.legend(loc="lower left", fontsize=10)


def _cars(report, x, y, epochs, batch_size, rates, seeds, seed, ax):
    """A line through the car data in random batches, for all schedules, rates and seeds at once."""
    runs = range(seed * seeds, (seed + 1) * seeds)  # another seed shares no run
    best, shapes = np.linalg.lstsq(x, y, rcond=None)[0], _schedules(epochs)
    w = np.zeros((len(shapes), len(rates), seeds, x.shape[1]))
    for epoch in report.track(range(epochs), "training"):
        order = np.stack([np.random.default_rng((run, epoch)).permutation(len(x)) for run in runs])
        rate = np.array([[make(first)(epoch) for first in rates] for make in shapes.values()])[:, :, None, None]
        for begin in range(0, len(x), batch_size):
            inputs, targets = x[order[:, begin : begin + batch_size]], y[order[:, begin : begin + batch_size]]
            error = np.einsum("sbf,...sf->...sb", inputs, w) - targets  # (schedules, rates, seeds, batch)
            w = w - rate * 2 * np.einsum("sbf,...sb->...sf", inputs, error) / inputs.shape[1]
    lowest = np.mean((x @ best - y) ** 2)
    excess = np.mean((w @ x.T - y) ** 2, axis=-1) - lowest  # (schedules, rates, seeds)

    zeros = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((x.shape[1],)), zeros])
    model.compile(keras.optimizers.SGD(), "mean_squared_error")
    follow = keras.callbacks.LearningRateScheduler(linear_decay(rates[0], epochs))
    training.fit(model, x, y[:, None], batch_size=batch_size, epochs=epochs, callbacks=[follow], seed=runs[0])
    report.check("a Keras layer in fit, with linear_decay, ends where the first run does", model.get_weights()[0][:, 0],
                 w[1, 0, 0], rtol=1e-3, atol=1e-3)  # fmt: skip
    rows = [
        [name, *(f"{m:.1e} ± {e:.0e}" for m, e in zip(*plots.mean_and_error(values.T), strict=True))]
        for name, values in zip(shapes, excess, strict=True)
    ]
    report.table(f"Car data, {epochs} epochs: loss above the best line's {lowest:.3f}, mean ± its error, {seeds} runs",
                 ["schedule", *(f"first rate {rate:g}" for rate in rates)], rows)  # fmt: skip
    for name, values in zip(list(shapes)[1:], excess[1:], strict=True):
        gain = excess[0].min(axis=0) / values[0]  # the constant rate may be chosen afterwards, run by run
        report.at_least(f"car data, {name} from {rates[0]:g}: excess of the best constant rate over its own, each run",
                        gain, 1.0, trained=True)  # fmt: skip
    report.note(
        "Every epoch takes each car once, in a new order; this lowers the noise further once the rate is small."
    )
    plots.curves(rates, {name: values.T for name, values in zip(shapes, excess, strict=True)}, marker="o",
                 xlabel="learning rate of the first epoch", ylabel="loss above the best line's", xscale="log",
                 yscale="log", title="Car data: begun large, decay wins", ax=ax)  # fmt: skip

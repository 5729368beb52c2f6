"""A GRU forecasts the monthly sunspot number, next to the last value, the mean and a linear autoregression.

Drawn over the series, any one-step forecast looks good, even the last value moved by a month; what counts is the error
beside such simple methods. What the reader should see: the series split by time; errors on months that no method has
met; a check that a change of the future changes no forecast; and how the error grows when a method looks years ahead
and has to feed on its own forecasts.

Notes: chapter 09, "Time series with recurrent networks" (时间序列预测).
Source: Yule 1927, On a method of investigating periodicities in disturbed series, with special reference to Wolfer's
sunspot numbers (autoregression); Cho et al. 2014, arXiv:1406.1078 (GRU); data of SIDC, Royal Observatory of Belgium.
"""

import math
import time
from typing import NamedTuple

import keras
import numpy as np

from kerasnotes import data, plots, training

SMOKE = {"size": 12, "order": 3, "units": 2, "epochs": 1, "seeds": 1, "ahead": 2, "batch_size": 512}
FULL = {"seeds": 10}
SECONDS = 24


def windows(series, size):
    """All stretches of `size` numbers, and the number that follows each.

    Args:
        series: Numbers in the order of time (n,).
        size: Numbers of a stretch, from 1 to n − 1.

    Returns:
        `(x, y)`: arrays (n − size, size) and (n − size,); row i of x is series[i : i + size], and y[i] what comes next.

    Raises:
        ValueError: If the series has another rank or numbers that are not finite, or if `size` does not fit.
    """
    series = np.asarray(series)
    if series.ndim != 1 or not np.all(np.isfinite(series)):
        raise ValueError(f"series: expected finite numbers of shape (n,), got {series!r}")
    if not (isinstance(size, (int, np.integer)) and 1 <= size < len(series)):
        raise ValueError(f"size: expected a whole number from 1 to {len(series) - 1}, got {size!r}")
    return np.lib.stride_tricks.sliding_window_view(series[:-1], size), series[size:]


def autoregression(series, order):
    """Least squares for y_t = a_0 + a_1 y_(t−1) + … + a_order y_(t−order).

    Args:
        series: Numbers in the order of time (n,).
        order: Number of earlier values, from 1; at least 2 order + 1 numbers are needed.

    Returns:
        Array (order + 1,): a_0, the constant, then a_1 of the last value, a_2 of the one before, and so on.

    Raises:
        ValueError: If the series is too short, or as in `windows`.
    """
    x, y = windows(series, order)
    if len(x) < order + 1:
        raise ValueError(f"series: expected at least {2 * order + 1} numbers for order {order}, got {len(series)}")
    inputs = np.concatenate([np.ones((len(x), 1)), x[:, ::-1]], axis=1)  # (n − order, order + 1), last value first
    return np.linalg.lstsq(inputs, y, rcond=None)[0]


def autoregressive_forecast(x, coefficients):
    """The next value by an autoregression.

    Args:
        x: Stretches (n, size) in the order of time; size at least the order.
        coefficients: What `autoregression` returned (order + 1,).

    Returns:
        Array (n,).

    Raises:
        ValueError: If the stretches are shorter than the order.
    """
    x, coefficients = np.asarray(x), np.asarray(coefficients)
    order = len(coefficients) - 1
    if x.ndim != 2 or x.shape[1] < order:
        raise ValueError(f"x: expected the shape (n, size) with size at least {order}, got {x.shape}")
    return coefficients[0] + x[:, ::-1][:, :order] @ coefficients[1:]


def forecast_ahead(forecast, x, steps):
    """Forecast several steps, each from what was known at the start and the method's own forecasts since.

    Args:
        forecast: Function from stretches (n, size) to the next values (n,).
        x: Stretches (n, size) that end at the last known value.
        steps: Steps ahead, at least 1.

    Returns:
        Array (n, steps).

    Raises:
        ValueError: If `steps` is too small, or `x` or a forecast has another shape.
    """
    x = np.asarray(x)
    if x.ndim != 2:
        raise ValueError(f"x: expected the shape (n, size), got {x.shape}")
    if not (isinstance(steps, (int, np.integer)) and steps >= 1):
        raise ValueError(f"steps: expected a whole number of at least 1, got {steps!r}")
    made = []
    for _ in range(steps):
        made.append(np.asarray(forecast(x)))
        if made[-1].shape != (len(x),):
            raise ValueError(f"forecast: expected results of shape ({len(x)},), got {made[-1].shape}")
        x = np.concatenate([x[:, 1:], made[-1][:, None]], axis=1)
    return np.stack(made, axis=1)


def build_forecaster(size, units=32, seed=0):
    """A GRU that reads a stretch of a series and adds a change to its last value.

    Args:
        size: Numbers of a stretch, at least 1.
        units: Size of the state, at least 1.
        seed: Seed of the initial weights, drawn by Keras's standard initializers.

    Returns:
        `keras.Model` from (batch, size) to (batch, 1), for numbers scaled to about mean 0 and deviation 1.

    Raises:
        ValueError: If `size` or `units` is too small.
    """
    for name, value in (("size", size), ("units", units)):
        if not (isinstance(value, (int, np.integer)) and value >= 1):
            raise ValueError(f"{name}: expected a whole number of at least 1, got {value!r}")
    seeds = keras.random.SeedGenerator(seed)
    inputs = keras.Input((size,))
    state = keras.layers.GRU(
        units,
        kernel_initializer=keras.initializers.GlorotUniform(seeds),
        recurrent_initializer=keras.initializers.Orthogonal(seed=seeds),
    )(keras.layers.Reshape((size, 1))(inputs))  # (batch, units)
    change = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seeds))(state)
    return keras.Model(inputs, inputs[:, -1:] + change)


def root_mean_square(errors, axis=None):
    """√ of the mean of the squares, in the unit of the errors."""
    return np.sqrt(np.mean(np.square(errors), axis=axis))


def lesson(
    report,
    *,
    size: int = 48,
    order: int = 24,
    units: int = 32,
    epochs: int = 60,
    patience: int = 15,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
    seeds: int = 3,
    ahead: int = 36,
    validation_from: int = 1930,
    test_from: int = 1957,
    seed: int = 0,
):
    """Fit two methods to the months before the test part, and compare four on it.

    Args:
        report: The report to write to.
        size: Months that the GRU reads (1 to 132).
        order: Order of the linear autoregression, at most `size` months (1 to 132).
        units: Size of the GRU's state (1 to 512).
        epochs: Training epochs at most (1 to 1000).
        patience: Epochs without a lower validation error before training stops (1 to 1000).
        batch_size: Windows in a batch (1 to 4096).
        learning_rate: Learning rate of Adam (0.000001 to 1).
        seeds: Independent runs of the GRU (1 to 100).
        ahead: Months to look ahead (1 to 132).
        validation_from: Year with which the part begins on which the GRU's epoch is chosen (1800 to 1950).
        test_from: Year with which the test part begins (1957 to 1990).
        seed: Seed of all random draws (0 to 4294967295).
    """
    if order > size:
        raise ValueError(f"order: expected at most size = {size}, got {order!r}")
    _cosine(report)
    years, series = data.sunspots()
    borders = np.searchsorted(years, (validation_from, test_from))

    fit_gru = _gru_trainer(report, borders, size, units, learning_rate, batch_size, epochs, patience)

    def fit_linear(series):
        return autoregression(series[: borders[1]], order)  # it has no epoch to choose, so it may use both parts

    fitted, rows = [], []
    for number in range(seed, seed + seeds):
        begin = time.perf_counter()
        fitted.append(fit_gru(series, number))
        rows.append([number, fitted[-1].epochs, time.perf_counter() - begin])
    coefficients = fit_linear(series)
    mean = series[: borders[1]].mean()
    methods = {
        "mean of the past": [lambda x: np.full(len(x), mean)],
        "last value": [lambda x: x[:, -1]],
        f"autoregression, order {order}": [lambda x: autoregressive_forecast(x, coefficients)],
        f"GRU, {units} units": [gru.forecast for gru in fitted],
    }
    changed = series.copy()
    middle = (borders[1] + len(series)) // 2
    changed[borders[1] : middle] += 10.0
    changed[middle:] = changed[middle:][::-1] + 50.0
    _no_look_ahead(report, series, changed, borders[1], size, (fitted[0], coefficients), (fit_gru, fit_linear), seed)
    report.table("training of the GRU", ["seed", "epochs", "seconds"], rows)
    _compare(report, years, series, borders[1], size, ahead, methods)


def _gru_trainer(report, borders, size, units, learning_rate, batch_size, epochs, patience):
    """`fit(series, seed)`; the network is compiled once, and each run starts it anew."""
    early, late = borders
    model = build_forecaster(size, units)
    model.compile(keras.optimizers.Adam(learning_rate), "mean_squared_error")
    restart = training.restarter(model)

    def fit(series, seed):
        scale = series[:early].mean(), series[:early].std()  # of the training part only
        scaled = np.float32((series[:late] - scale[0]) / scale[1])
        restart(build_forecaster(size, units, seed).get_weights())
        stop = keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)
        history = training.fit(
            model, *windows(scaled[:early], size), batch_size=batch_size, epochs=epochs, seed=seed,
            validation_data=windows(scaled[early - size :], size), callbacks=[stop], track=report.track,
        )  # fmt: skip
        return _Fitted(model, model.get_weights(), scale, len(history.history["loss"]))

    return fit


class _Fitted(NamedTuple):
    """What one training leaves behind: the weights to put into the network, and the scale of its numbers."""

    model: keras.Model
    weights: list
    scale: tuple
    epochs: int

    def forecast(self, x):
        """The next values (n,) after stretches (n, size)."""
        self.model.set_weights(self.weights)
        mean, deviation = self.scale
        made = training.predict(self.model, np.float32((x - mean) / deviation))
        return mean + deviation * made[:, 0].astype(np.float64)


def _cosine(report, months=12):
    """cos(t + ω) = 2 cos ω cos t − cos(t − ω): a wave obeys an autoregression of order 2."""
    wave = np.cos(2 * np.pi * np.arange(60) / months)
    coefficients = autoregression(wave[:36], 2)
    label = "a wave of twelve months obeys y_t = √3 y_(t−1) − y_(t−2)"
    report.check(label, got=coefficients, want=[0.0, math.sqrt(3), -1.0])
    made = forecast_ahead(lambda x: autoregressive_forecast(x, coefficients), wave[None, 34:36], 24)
    report.check("two years ahead, on its own forecasts, it follows the wave", got=made[0], want=wave[36:])


def _no_look_ahead(report, series, changed, start, size, fitted, fits, seed):
    """Fit again on a series with another test part; then change the test part from its middle on."""
    gru, coefficients = fitted
    again = fits[0](changed, seed)
    label = "another future: the GRU learns the same weights, with the same scale"
    got, want = ([*each.weights, each.scale] for each in (again, gru))
    report.check(label, got=got, want=want, rtol=0.0, atol=0.0)
    label = "another future: the autoregression has the same coefficients"
    report.check(label, got=fits[1](changed), want=coefficients, rtol=0.0, atol=0.0)
    middle = (start + len(series)) // 2
    changed = np.concatenate([series[:middle], changed[middle:]])
    before, after = (windows(each[start - size :], size)[0] for each in (series, changed))
    known = middle - start + 1  # the forecast of the middle month itself rests on the months before it
    linear = lambda x: autoregressive_forecast(x, coefficients)  # noqa: E731
    for name, forecast in (("GRU", gru.forecast), ("autoregression", linear)):
        old, new = forecast(before), forecast(after)
        label = f"{name}: forecasts up to the month of the change stay as they are"
        report.check(label, got=new[:known], want=old[:known], rtol=0.0, atol=0.0)
        label = f"{name}: the forecast of the next month changes, by at least"
        report.at_least(label, abs(new[known] - old[known]), 1e-3)


def _compare(report, years, series, start, size, ahead, methods):
    x, y = windows(series[start - size :], size)
    future = windows(series[start:], ahead)[0]  # (starts, ahead)
    one_step = {name: np.stack([forecast(x) for forecast in group]) for name, group in methods.items()}
    by_lag = {}  # name -> (runs, ahead)
    for name, group in methods.items():
        made = [forecast_ahead(forecast, x[: len(future)], ahead) for forecast in group]
        by_lag[name] = np.stack([root_mean_square(each - future, axis=0) for each in made])
    errors = {name: root_mean_square(made - y, axis=1) for name, made in one_step.items()}  # (runs,)
    _, last, linear, gru = methods
    far = min(12, ahead)
    year_of = np.floor(years[start:]).astype(int)
    squares = {name: np.mean((made - y) ** 2, axis=0) for name, made in one_step.items()}  # mean over the runs
    by_year = {name: np.array([each[year_of == year].mean() for year in np.unique(year_of)])
               for name, each in squares.items()}  # fmt: skip
    rows = []
    for name, runs in errors.items():
        mean, error = plots.mean_and_error(runs)
        skill = 1 - np.mean(runs**2) / errors[last][0] ** 2
        won = int(np.sum(by_year[name] < by_year[last]))
        rows.append([name, mean, error if len(runs) > 1 else None, skill, won, *_far(by_lag[name], far)])
    first, end = year_of[0], year_of[-1]
    report.table(
        f"root mean square error on {len(y)} months, {first} to {end}",
        ["method", "one month ahead", "standard error over seeds", "skill over the last value",
         f"years of {len(by_year[last])} better than the last value", f"{far} months ahead", "standard error, far"],
        rows,
    )  # fmt: skip
    mean, error = plots.mean_and_error(errors[gru])
    label = "GRU, one month ahead: error, mean of seeds, at most that of the last value"
    report.at_most(label, mean, errors[last][0], trained=True)
    label = "autoregression, one month ahead: error, at most that of the last value"
    report.at_most(label, errors[linear], errors[last][0])
    label = f"GRU, {far} months ahead: error, mean of seeds, at most that of the last value"
    report.at_most(label, by_lag[gru][:, far - 1].mean(), by_lag[last][0, far - 1], trained=True)
    gap, gap_error = plots.mean_and_error(by_year[gru] - by_year[linear])
    report.note(
        f"One month ahead the GRU's error is {mean:.2f} (standard error over seeds {error:.2f}), the autoregression's "
        f"{errors[linear][0]:.2f}: {_verdict(mean - errors[linear][0])}. By years, the GRU's squared error is "
        f"lower in {int(np.sum(by_year[gru] < by_year[linear]))} of {len(by_year[gru])}; the mean difference is "
        f"{gap:+.1f} with a standard error over years of {gap_error:.1f}."
    )
    report.note(
        "The autoregression is fitted to all months before the test part; the GRU learns on the training part, and the "
        "validation part only chooses its epoch. No forecast is held at zero from below, for any method. The patience "
        "was lengthened after one run with --epochs 40 --patience 8 had been seen, test part included: a seed had "
        "stopped at its tenth epoch. That hardly moves the error one month ahead, but much that at twelve, so take the "
        "order of GRU and autoregression there as a hint."
    )
    report.figure(
        "The error, not the plot, tells a forecast's worth",
        _figure(years[start:], y, one_step, by_lag),
        alt="Left: the last years of the series with the forecasts of the GRU and the last value, which both follow it "
        "closely. Right: error by months ahead; GRU and autoregression stay below the last value.",
    )


def _far(by_lag, far):
    mean, error = plots.mean_and_error(by_lag[:, far - 1])
    return mean, error if len(by_lag) > 1 else None


def _verdict(difference):
    return f"{'lost' if difference > 0 else 'won'} by {abs(difference):.2f}"


def _figure(years, y, one_step, by_lag):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11.5, 4.4), width_ratios=(1.15, 1))
    mean, last, linear, gru = by_lag
    shown = years >= 1998
    left.plot(years[shown], y[shown], ".", color="0.55", markersize=5, label="observed")
    left.plot(years[shown], one_step[last][0, shown], ":", color="C1", linewidth=1.4, label="last value")
    left.plot(years[shown], one_step[gru].mean(axis=0)[shown], color="C0", linewidth=1.8, label="GRU")
    left.set(xlabel="year", ylabel="monthly sunspot number")
    left.set_title("One month ahead, all look good")
    left.legend()
    months = np.arange(1, by_lag[gru].shape[1] + 1)
    series = {gru: by_lag[gru], last: by_lag[last][0], linear: by_lag[linear][0], mean: by_lag[mean][0]}
    plots.curves(
        months, series, xlabel="months ahead", ylabel="root mean square error", ax=right,
        title="Further ahead, they part",
    )  # fmt: skip
    right.set_ylim(bottom=0)
    return figure

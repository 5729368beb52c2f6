"""A linear autoregression, least squares on the last values, forecasts sunspots better than the last value does.

The oldest rival of any network that forecasts: the next value is a weighted sum of the last ones. What the reader
should see: a wave obeys such a sum exactly; on real numbers the weights come from least squares; how many of them pay
off on months that the fit has not met; and that far ahead a method has to live on its own forecasts.

Notes: chapter 09, "Linear autoregression" (线性自回归).
Source: Yule 1927, doi:10.1098/rsta.1927.0007 (autoregression); https://www.sidc.be/SILSO (the data).
"""

import math

import keras
import numpy as np

from kerasnotes import data, plots
from kerasnotes.parts import shape, whole

SMOKE = {"orders": (1, 2), "ahead": 2}
SECONDS = 3


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
    if whole("size", size) >= len(series):
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
    shape("x", x, None, None)
    made = []
    for _ in range(whole("steps", steps)):
        made.append(np.asarray(forecast(x)))
        shape("forecast, its result", made[-1], len(x))
        x = np.concatenate([x[:, 1:], made[-1][:, None]], axis=1)
    return np.stack(made, axis=1)


def root_mean_square(errors, axis=None):
    """√ of the mean of the squares, in the unit of the errors."""
    return np.sqrt(np.mean(np.square(errors), axis=axis))


def example():
    """A wave, its recurrence by least squares and by a Dense layer of Keras's, and half a year ahead."""
    wave = np.cos(2 * np.pi * np.arange(40) / 12)
    coefficients = autoregression(wave[:30], order=2)
    print("y_t = a_0 + a_1 y_(t-1) + a_2 y_(t-2):", coefficients.round(4), "with √3 =", round(math.sqrt(3), 4))

    x, y = windows(wave[:30], 2)
    layer = keras.layers.Dense(1)  # the same formula, its weights by gradient descent
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(keras.optimizers.Adam(0.1), "mean_squared_error")
    model.fit(x, y, epochs=60, verbose=0)
    print("layers.Dense after 60 epochs:         ", layer.bias.numpy(), layer.kernel.numpy()[::-1, 0])

    made = forecast_ahead(lambda x: autoregressive_forecast(x, coefficients), wave[None, 28:30], steps=6)
    print("six months ahead:", made[0].round(3))
    print("the wave itself: ", wave[30:36].round(3))


def lesson(
    report,
    *,
    orders: tuple[int, ...] = (1, 2, 3, 6, 9, 12, 18, 24, 36, 60, 96, 132),
    ahead: int = 36,
    validation_from: int = 1930,
    test_from: int = 1957,
):
    """Fit autoregressions of several orders to the months before a year, and look at the months behind it.

    Args:
        report: The report to write to.
        orders: Orders to compare on the validation part (1 to 132).
        ahead: Months to look ahead (1 to 132).
        validation_from: Year with which the part begins on which the order is chosen (1800 to 1950).
        test_from: Year with which the test part begins (1957 to 1990).
    """
    _cosine(report)
    years, series = data.sunspots()
    early, late = np.searchsorted(years, (validation_from, test_from))
    held_out = {order: _errors(series[:late], early, order, 1)[0] for order in orders}
    order = min(held_out, key=held_out.get)
    report.table(f"root mean square error from {validation_from} to {test_from}, one month ahead", ["order", "error"],
                 [list(row) for row in held_out.items()])  # fmt: skip
    errors = _errors(series, late, order, ahead)
    x, _ = windows(series[late - 1 :], 1)
    future = windows(series[late:], ahead)[0]
    last = root_mean_square(x[: len(future)] - future, axis=0)
    report.at_most(
        f"order {order}, one month ahead from {test_from} on: error, at most the last value's", errors[0], last[0]
    )
    report.at_most(f"and {ahead} months ahead", errors[-1], last[-1])
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.2))
    axes = {"ylabel": "root mean square error"}
    plots.curves(orders, {"held out": list(held_out.values())}, xlabel="order", marker="o", ax=left, **axes)
    left.set_title(f"One month ahead, {validation_from} to {test_from}")
    months = np.arange(1, ahead + 1)
    plots.curves(months, {f"order {order}": errors, "last value": last}, xlabel="months ahead", ax=right, **axes)
    right.set_title(f"From {test_from} on")
    alt = (
        "Left: held-out error by order, falling at first and then nearly level. Right: error by months ahead, that of "
    )
    report.figure("how many values, and how far", figure, alt=alt + "the autoregression below that of the last value.")


def _cosine(report, months=12):
    """cos(t + ω) = 2 cos ω cos t − cos(t − ω): a wave obeys an autoregression of order 2."""
    wave = np.cos(2 * np.pi * np.arange(60) / months)
    coefficients = autoregression(wave[:36], 2)
    label = "a wave of twelve months obeys y_t = √3 y_(t−1) − y_(t−2)"
    report.check(label, got=coefficients, want=[0.0, math.sqrt(3), -1.0])
    made = forecast_ahead(lambda x: autoregressive_forecast(x, coefficients), wave[None, 34:36], 24)
    report.check("two years ahead, on its own forecasts, it follows the wave", got=made[0], want=wave[36:])


def _errors(series, start, order, ahead):
    """Errors (ahead,) on the months from `start` on, by coefficients of the months before."""
    coefficients = autoregression(series[:start], order)
    future = windows(series[start:], ahead)[0] if ahead > 1 else series[start:, None]
    x = windows(series[start - order :], order)[0][: len(future)]
    made = forecast_ahead(lambda x: autoregressive_forecast(x, coefficients), x, ahead)
    return root_mean_square(made[: len(future)] - future[: len(made)], axis=0)

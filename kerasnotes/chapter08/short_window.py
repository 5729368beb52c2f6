"""Amid noise, a window that ends before the lag teaches a network nothing about it; without noise, an echo may do.

Truncated back-propagation cuts the way back at a window. What the reader should see: trained to repeat a sign that it
saw some steps ago, with noise at every step, a network learns it when its window covers the lag, and stays little above
chance when the window is one step too short, though the forward pass is the same. Without noise the border is soft:
the state of a fixed network is full of echoes of old inputs, and the output's weights alone can read some of what no
gradient has ever asked for.

Notes: chapter 08, "Back-propagation through time" (随时间反向传播).
Source: Williams and Peng 1990, doi:10.1162/neco.1990.2.4.490; Jaeger and Haas 2004, doi:10.1126/science.1091277
(echoes in a fixed network).
"""

import keras
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter08.bptt import truncated_bptt
from kerasnotes.parts import positive, shape, whole

SMOKE = {"windows": (1, 3), "lag": 2, "updates": 3, "seeds": 1, "units": 4, "steps": 5}
SECONDS = 5


def repeat_task(samples, steps, lag, rng, noise=4):
    """Random signs, and at every step the sign of `lag` steps ago; 0 at the first steps, which have none.

    Args:
        samples, steps: Number and length of the sequences; more steps than `lag`.
        lag: Steps from a sign to its repetition.
        rng: `numpy.random.Generator` that draws signs and noise.
        noise: Number of further inputs, standard normal numbers that mean nothing.

    Returns:
        `(x, y)`: float64 (samples, steps, 1 + noise), the signs first, and (samples, steps, 1).
    """
    whole("steps, more than the lag", steps, whole("lag", lag) + 1)
    signs = rng.choice([-1.0, 1.0], size=(whole("samples", samples), steps, 1))
    x = np.concatenate([signs, rng.normal(size=(samples, steps, whole("noise", noise, 0)))], axis=2)
    return x, np.concatenate([np.zeros((samples, lag, 1)), signs[:, :-lag]], axis=1)


def states_of(x, parameters):
    """States (batch, steps, units) of the network of `truncated_bptt`, from a state of zeros."""
    shape("x", x, None, None, len(parameters["w_xh"]))
    h, states = np.zeros((len(x), len(parameters["b"]))), []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ parameters["w_xh"] + h @ parameters["w_hh"] + parameters["b"])
        states.append(h)
    return np.stack(states, axis=1)


def start_parameters(inputs, units, rng):
    """Weights to start from, for one output: an orthogonal recurrent matrix, the others normal in proportion."""
    w_xh = rng.normal(size=(whole("inputs", inputs), whole("units", units))) / np.sqrt(inputs)
    matrix = np.linalg.qr(rng.normal(size=(units, units)))[0]
    w_ho = rng.normal(size=(units, 1)) / np.sqrt(units)
    return {"w_xh": w_xh, "w_hh": matrix, "w_ho": w_ho, "b": np.zeros(units), "b_o": np.zeros(1)}


def train_truncated(parameters, lag, window, updates, rng, steps=16, batch_size=16, learning_rate=0.02):
    """Train a network on `repeat_task` with Adam, each loss carried back through a sliding window.

    Args:
        parameters: Dictionary as in `truncated_bptt`; it is not changed. All inputs but one are noise.
        lag, steps: As in `repeat_task`.
        window: Steps of the way back, the loss's own included: the sign stands in it if it is larger than `lag`.
        updates, batch_size, learning_rate: Updates of the weights, sequences of each, step size.
        rng: `numpy.random.Generator` that draws the sequences.

    Returns:
        The trained parameters, a new dictionary.
    """
    p = {name: np.array(value, np.float64) for name, value in parameters.items()}
    noise = len(p["w_xh"]) - 1
    mean, square = ({name: np.zeros_like(value) for name, value in p.items()} for _ in range(2))
    for number in range(1, whole("updates", updates) + 1):
        x, y = repeat_task(batch_size, steps, lag, rng, noise)
        for name, gradient in truncated_bptt(x, y, p, window).items():
            mean[name] = 0.9 * mean[name] + 0.1 * gradient
            square[name] = 0.999 * square[name] + 0.001 * gradient**2
            rate = positive("learning_rate", learning_rate) * np.sqrt(1 - 0.999**number) / (1 - 0.9**number)
            p[name] = p[name] - rate * mean[name] / (np.sqrt(square[name]) + 1e-7)
    return p


def share_right(outputs, y, lag):
    """The share of signs that are repeated rightly, without the first `lag` steps: 0.5 is chance."""
    shape("outputs", outputs, *np.shape(y))
    return float(np.mean((outputs[:, lag:] > 0) == (y[:, lag:] > 0)))


def example():
    """Repeat the sign of two steps ago: with windows that cover it and not, and with Keras's layer, which has all."""
    x, y = repeat_task(500, 10, 2, np.random.default_rng(2))
    for window in (2, 3):
        start = start_parameters(5, 8, np.random.default_rng(0))
        p = train_truncated(start, 2, window, 200, np.random.default_rng(1), steps=10)
        print(f"window {window}: right", share_right(states_of(x, p) @ p["w_ho"] + p["b_o"], y, 2))
    model = keras.Sequential([keras.layers.SimpleRNN(8, return_sequences=True), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    model.fit(*repeat_task(16 * 200, 10, 2, np.random.default_rng(1)), batch_size=16, verbose=0)
    print("layers.SimpleRNN: right", share_right(model(x).numpy(), y, 2))


def lesson(
    report,
    *,
    lag: int = 4,
    windows: tuple[int, ...] = (1, 2, 4, 5, 8),
    updates: int = 400,
    seeds: int = 2,
    units: int = 16,
    steps: int = 16,
    noise: int = 8,
    seed: int = 0,
):
    """Gradients that no window before the lag can see, then training with one window after another.

    Args:
        report: The report to write to.
        lag: Steps from a sign to its repetition, below `steps` (1 to 100).
        windows: Windows, increasing, the first at most the lag, the last above it (1 to 200).
        updates: Updates of every network (1 to 100000).
        seeds: Networks for each window (1 to 100).
        units: Size of the hidden state (1 to 512).
        steps: Length of the sequences (3 to 500).
        noise: Inputs of noise beside the sign (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _slopes(report, lag, seed)
    right, echoes = {}, {}
    for name, inputs in (("amid noise", noise), ("without noise", 0)):
        right[name], echoes[name] = np.zeros((seeds, len(windows))), np.zeros(seeds)
        for run in report.track(range(seeds), name):
            start = start_parameters(1 + inputs, units, np.random.default_rng((seed, 1, run)))
            x, y = repeat_task(400, steps, lag, np.random.default_rng((seed, 2, run)), inputs)
            echoes[name][run] = _echo(x, y, start, lag)
            for place, window in enumerate(windows):
                p = train_truncated(start, lag, window, updates, np.random.default_rng((seed, 3, run)), steps)
                right[name][run, place] = share_right(states_of(x, p) @ p["w_ho"] + p["b_o"], y, lag)
    _results(report, right, echoes, windows, lag, updates, seeds)


def _slopes(report, lag, seed, units=6):
    """Where only the last step has a loss, and only the sign of `lag` steps ago an input: what arrives there."""
    rng = np.random.default_rng((seed, 0))
    start = start_parameters(1, units, rng)
    x, y = np.zeros((8, lag + 1, 1)), np.zeros((8, lag + 1, 1))
    x[:, 0] = rng.choice([-1.0, 1.0], size=(8, 1))
    outputs = states_of(x, start) @ start["w_ho"] + start["b_o"]
    y[:, :-1] = outputs[:, :-1]  # no loss before the last step
    y[:, -1] = x[:, 0]
    norms = [np.linalg.norm(truncated_bptt(x, y, start, window)["w_xh"]) for window in range(1, lag + 2)]
    report.check("windows up to the lag: the sign's input weights get no gradient", norms[:-1], np.zeros(lag),
                 atol=1e-15)  # fmt: skip
    report.at_least("one step more: they get one, norm", norms[-1], 1e-6)


def _echo(x, y, parameters, lag):
    """How often the best linear reader of an untrained network's states is right; solved on half of the sequences."""
    states = states_of(x, parameters)[:, lag:]
    states = np.concatenate([states, np.ones_like(states[..., :1])], axis=2)
    known, new = np.array_split(states, 2), np.array_split(y[:, lag:], 2)
    reader = np.linalg.lstsq(known[0].reshape(-1, states.shape[2]), new[0].reshape(-1, 1), rcond=None)[0]
    return share_right(known[1] @ reader, new[1], 0)


def _results(report, right, echoes, windows, lag, updates, seeds):
    mean, covers = right["amid noise"].mean(axis=0), np.array(windows) > lag
    label = "amid noise, windows up to the lag: right, mean of seeds"
    report.at_most(label, mean[~covers], 0.8, trained=True)
    report.at_least("amid noise, windows that cover the lag: right, mean of seeds", mean[covers], 0.95, trained=True)
    rows = [[name, window, *map(float, plots.mean_and_error(right[name][:, place]))]
            for name in right for place, window in enumerate(windows)]  # fmt: skip
    columns = ["inputs", "window", "signs repeated rightly", "standard error"]
    report.table(f"the sign of {lag} steps ago after {updates} updates, {seeds} seeds", columns, rows)
    rows = [[name, *map(float, plots.mean_and_error(values))] for name, values in echoes.items()]
    report.table("the echo: best linear reader of untrained states", ["inputs", "right", "standard error"], rows)
    report.note(
        "That a window must cover the lag is a rule about gradients. A network without noise breaks it: its state is "
        "an invertible mixture of old inputs, of as many numbers as it has units. With noise on further inputs there "
        "is more to hold than units, and what no gradient asks for is lost."
    )
    figure = plots.curves(windows, right, xlabel="window, steps", ylabel="signs repeated rightly", marker="o")
    (ax,) = figure.axes
    ax.axvline(lag + 1, color="C2", linestyle=":", label="window covers the lag")
    ax.axhline(0.5, color="black", linestyle="--", label="chance")
    ax.set_ylim(0.4, 1.05)
    ax.set_title(f"The sign of {lag} steps ago, learnt through a window")
    ax.legend(loc="center left", bbox_to_anchor=(0.02, 0.6))
    alt = f"Share of signs repeated rightly against the window. Amid noise it is near chance up to {lag} steps and 1 "
    alt += "from the next on; without noise even the shortest windows are often right."
    report.figure("a window shorter than the lag", figure, alt=alt)

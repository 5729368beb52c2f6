"""Noise makes the gradient of a recurrent network fade before any training; blank input keeps it alive.

What the reader should see: with blank input a fresh cell stays near zero, where tanh has slope 1, and what it held
forty steps ago still moves it. Noise drives the cell away from zero, where the slope is below 1, and its sensitivity to
earlier states falls by nearly the same factor at every step.

Notes: chapter 08, "Sensitivity amid noise" (噪声中的敏感度).
Source: Bengio, Simard, Frasconi 1994, doi:10.1109/72.279181.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots

SMOKE = {"steps": 12, "units": 8}
SECONDS = 3


def sensitivity_by_lag(model, x):
    """How strongly the last state of a simple recurrent layer of Keras reacts to its earlier states.

    Args:
        model: Model whose first layer is a `keras.layers.SimpleRNN` with tanh.
        x: Sequences (batch, steps, channels).

    Returns:
        Array (steps,): the root mean square over the batch of the Jacobian's Frobenius norm ‖∂h_T/∂h_(T − lag)‖, for
        lag 0 first, where it is √units.

    Raises:
        ValueError: If the model's first layer is not a simple recurrent layer.
    """
    if not isinstance(model.layers[0], keras.layers.SimpleRNN):
        raise ValueError(f"model: expected a simple recurrent layer first, got {type(model.layers[0]).__name__}")
    cell = model.layers[0].cell
    # Forwards: the states, and how steep tanh is at each of them.
    h, slopes, norms = tf.zeros((len(x), cell.units)), [], []
    for t in range(x.shape[1]):
        h, _ = cell(x[:, t], [h])  # (batch, units)
        slopes.append(1.0 - tf.square(h))
    # Backwards: one factor a step.
    jacobian = tf.eye(cell.units, batch_shape=[len(x)])  # ∂h_T/∂h_T (batch, units, units)
    for slope in reversed(slopes):
        norms.append(float(tf.sqrt(tf.reduce_mean(tf.reduce_sum(tf.square(jacobian), axis=(1, 2))))))
        # h_t = tanh(… + h_(t−1) w): ∂h_t/∂h_(t−1) is wᵀ with its rows scaled by the slopes.
        jacobian = (jacobian * slope[:, tf.newaxis, :]) @ tf.transpose(cell.recurrent_kernel)
    return np.array(norms)


def example():
    """A fresh layer of Keras: how much does the last state still depend on that of ten steps ago?"""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((11, 3)), keras.layers.SimpleRNN(16)])
    rng = np.random.default_rng(0)
    for name, x in (("blank input", np.zeros((1, 11, 3))), ("noise", rng.normal(size=(1, 11, 3)))):
        x = x.astype(np.float32)
        print(f"{name}: ", sensitivity_by_lag(model, x)[[0, 1, 10]], "after 0, 1 and 10 steps")


def lesson(report, *, steps: int = 41, units: int = 32, batch_size: int = 64, noise: float = 1.0, seed: int = 0):
    """Follow a fresh cell's sensitivity back in time, at rest, with blank input and amid noise.

    Args:
        report: The report to write to.
        steps: Steps of a sequence (4 to 1000).
        units: Size of the hidden state (2 to 1024).
        batch_size: Sequences (2 to 10000).
        noise: Standard deviation of the noise (0.1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    layer = keras.layers.SimpleRNN(
        units,
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        recurrent_initializer=keras.initializers.Orthogonal(seed=seed),
    )
    model = keras.Sequential([keras.Input((steps, 10)), layer])
    resting = sensitivity_by_lag(model, np.zeros((1, steps, 10), np.float32))
    report.check("a resting cell: ‖∂h_T/∂h_t‖ is √units at every lag", resting, np.full(steps, units**0.5), rtol=1e-4)
    rng = np.random.default_rng((seed, 2))
    blank = np.zeros((batch_size, steps, 10), np.float32)
    blank[:, 0] = rng.normal(size=(batch_size, 10))  # something to remember, then nothing
    noisy = np.float32(noise * rng.normal(size=blank.shape))
    result = {}
    for name, x in (("blank input", blank), ("noise", noisy)):
        norms = sensitivity_by_lag(model, x)
        result[name] = norms / norms[0]
        growth = norms[1:] / norms[:-1]
        report.at_most(f"{name}: growth of the sensitivity a step (slopes of tanh are at most 1)", growth, 1.0 + 1e-5)
    far = [values[-1] for values in result.values()]
    report.at_least("blank input over noise: sensitivity to the first state", far[0] / far[1], 2.0)

    rows = [[k, *(float(values[k]) for values in result.values())] for k in range(0, steps, max(1, steps // 4))]
    report.table("Sensitivity of the last state before training, relative to lag 0", ["lag", *result], rows)
    figure = plots.curves(
        np.arange(steps),
        result,
        xlabel="lag, steps",
        ylabel="relative ‖∂h(T) / ∂h(T − lag)‖",
        title="The gradient fades before training",
        yscale="log",
    )
    report.figure(
        "Sensitivity by lag",
        figure,
        alt=f"On a logarithmic axis, sensitivity amid noise falls along a straight line to {far[1]:.1e} at lag "
        f"{steps - 1}; with blank input it falls slowly, to {far[0]:.2f}.",
    )

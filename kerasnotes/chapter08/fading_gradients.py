"""A gradient that passes back through time is multiplied at every step, so that it fades or explodes.

What the reader should see: each step back multiplies by the recurrent matrix and by the slopes of the activation, not
by the weights of the inputs. In a linear cell the gradient shrinks or grows by the matrix's spectral radius at every
step; a tanh cell shrinks it further. A higher learning rate does not help against that: it enlarges the gradients of
all steps alike. Fewer steps and shorter ways do.

Notes: chapter 08, "Vanishing and exploding gradients" (梯度消失与梯度爆炸).
Source: Pascanu et al. 2013, arXiv:1211.5063, section 2.1; Goodfellow et al. 2016, Deep Learning,
https://www.deeplearningbook.org, section 10.9.1 (skip connections through time).
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import shape, whole

RADII = (0.5, 0.9, 1.0, 1.1)

SMOKE = {"units": 16, "sequence_length": 16}
SECONDS = 2


def gradient_by_lag(w_hh, steps, slopes=None, log=False):
    """How strongly the last state depends on the state `lag` steps earlier, for lag = 1 to `steps`.

    The measure is the spectral norm of the Jacobian dh_T / dh_(T-lag): the largest factor by which the way back can
    stretch a gradient. It is a product of `lag` matrices, w_hh diag(slopes_t) for each step. A linear cell
    h <- h w_hh has slopes 1, and a matrix rho Q with Q orthogonal gives exactly rho^lag.

    Args:
        w_hh: Recurrent weights (units, units).
        steps: The largest lag, at least 1.
        slopes: Slopes of the activation (steps, units), the last step last, such as 1 - h^2 for tanh; None is a linear
            cell.
        log: True returns natural logarithms, which neither underflow nor overflow; a Jacobian of zeros gives -inf.

    Returns:
        Norms (steps,), float64. Beyond float64's range they are 0 or inf.

    Raises:
        ValueError: If shapes do not fit, a value is not finite, or `steps` is not a positive integer.

    Source: Pascanu et al. 2013, arXiv:1211.5063, Section 2.1.
    """
    steps, w_hh = whole("steps", steps), np.asarray_chkfinite(w_hh, np.float64)
    shape("w_hh", w_hh, len(w_hh), len(w_hh))
    slopes = np.ones((steps, len(w_hh))) if slopes is None else np.asarray_chkfinite(slopes, np.float64)
    shape("slopes", slopes, steps, len(w_hh))
    jacobian, exponent = np.eye(len(w_hh)), 0  # the true Jacobian is jacobian * 2**exponent
    norms, exponents = np.zeros(steps), np.zeros(steps, dtype=int)
    for lag in range(1, steps + 1):
        jacobian = (w_hh * slopes[-lag]) @ jacobian  # (units, units)
        shift = int(np.frexp(np.abs(jacobian).max())[1])
        jacobian = np.ldexp(jacobian, -shift)  # scaling by a power of two rounds nothing
        exponent += shift
        norms[lag - 1], exponents[lag - 1] = np.linalg.norm(jacobian, 2), exponent
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        return np.log(norms) + exponents * np.log(2.0) if log else np.ldexp(norms, exponents)


def start_weights(seed, units, radius):
    """Weights of a network for the task of `delayed_signs`: `[w_xh, w_hh, b, w_ho, b_o]`, float32 tensors.

    The recurrent matrix is orthogonal times `radius`, which is then its spectral radius.
    """
    rng = np.random.default_rng(seed)
    w_h = radius * np.linalg.qr(rng.normal(size=(units, units)))[0]
    w_x, w_o = rng.normal(size=(1, units)), rng.normal(size=(units, 1)) / math.sqrt(units)
    return [tf.constant(w, tf.float32) for w in (w_x, w_h, np.zeros((1, units)), w_o, np.zeros((1, 1)))]


def delayed_signs(rng, batch_size, steps, delay=3):
    """Random signs, and the same signs `delay` steps later: `(x, y)`, each (steps, batch, 1), float32."""
    x = rng.choice(np.float32([-1, 1]), size=(steps, batch_size, 1))
    return x, np.concatenate([np.zeros_like(x[:delay]), x[:-delay]])


def example():
    """How much of a gradient arrives ten steps back, by our product of matrices and by TensorFlow's tape."""
    w_h = 0.9 * np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    cell = keras.layers.SimpleRNNCell(4, activation="linear", use_bias=False, dtype="float64")
    cell.build((1, 2))
    cell.recurrent_kernel.assign(w_h)
    start = h = tf.ones((1, 4), tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(start)
        for _ in range(10):
            h, _ = cell(tf.zeros((1, 2), tf.float64), [h])
    jacobian = tape.batch_jacobian(h, start, experimental_use_pfor=False)[0]
    print("by the tape:", np.linalg.norm(jacobian, 2))
    print("by hand:    ", gradient_by_lag(w_h, 10)[-1], "and 0.9 ** 10 is", 0.9**10)


def lesson(report, *, lags: int = 200, units: int = 64, sequence_length: int = 100, seed: int = 0):
    """Find what the way back multiplies by, follow gradients back in time, and try remedies.

    Args:
        report: The report to write to.
        lags: How many steps back the gradient norms are followed (200 to 5000).
        units: Size of the hidden state (2 to 512).
        sequence_length: Steps in time of the sequences on which remedies are tried (16 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _products(report, seed)
    _norms(report, np.random.default_rng((seed, 1)), lags, units)
    _remedies(report, sequence_length, min(units, 32), seed)


def _products(report, seed, steps=12, units=8):
    """Which matrix does the way back multiply by? Inputs and units are equally many, so that both products exist."""
    rng = np.random.default_rng(seed)
    w_xh, b = rng.normal(size=(units, units)) / np.sqrt(units), rng.normal(size=units)
    w_hh = np.linalg.qr(rng.normal(size=(units, units)))[0]
    inputs = rng.normal(size=(steps, units))
    states = [tf.zeros((units, units), tf.float64)]  # one copy of the sequence for each row of the Jacobian
    with tf.GradientTape() as tape:
        tape.watch(states)
        for t in range(steps):
            states.append(tf.tanh(inputs[t] @ w_xh + states[-1] @ w_hh + b))  # (units, units)
        trace = tf.linalg.trace(states[-1])
    tape_norms = np.linalg.norm(tape.gradient(trace, states[-2::-1]), 2, axis=(1, 2))  # (steps,), from lag 1 on
    slopes = 1 - np.stack([h[0] for h in states[1:]]) ** 2  # (steps, units)
    right, wrong = gradient_by_lag(w_hh, steps, slopes), gradient_by_lag(w_xh, steps)
    report.check("norms of the product of W_h and slopes equal the tape's", right, tape_norms, rtol=1e-9, atol=0.0)
    miss = np.abs(wrong / tape_norms - 1).max()
    report.at_least("product of W_x: largest relative error", miss, bound=0.5)
    rows = [[lag, tape_norms[lag - 1], right[lag - 1], wrong[lag - 1]] for lag in (1, 2, 4, 8, 12)]
    report.table("norm of dh_T / dh_(T-lag)", ["lag", "tape", "W_h and slopes", "W_x"], rows)
    report.correction(
        "what the way back multiplies by",
        course="The gradient through time contains the product of the input weights W_x.",
        correct="At each step the recurrent weights W_h times the activation's slopes, diag(1 − h²) for tanh.",
        shown_by=f"norm at lag 12: tape {tape_norms[-1]:.3g}, W_h and slopes {right[-1]:.3g}, W_x {wrong[-1]:.3g}",
    )


def _norms(report, rng, lags, units):
    """Linear cells with orthogonal and with random matrices, then a tanh cell with the largest radius."""
    lag, series, rows = np.arange(1, lags + 1), {}, []
    q = np.linalg.qr(rng.normal(size=(units, units)))[0]
    for radius in RADII:
        log_norms = gradient_by_lag(radius * q, lags, log=True)
        label = f"linear cell, {radius} Q: the norm is {radius}^lag, in logarithms"
        report.check(label, log_norms, lag * np.log(radius), rtol=0.0, atol=1e-9)
        series[f"linear, ρ = {radius}"] = log_norms
        for name, draw in (("normal", rng.normal), ("uniform", lambda size: rng.uniform(-1, 1, size))):
            matrix = draw(size=(units, units))
            matrix *= radius / np.abs(np.linalg.eigvals(matrix)).max()
            slope = np.polyfit(lag, gradient_by_lag(matrix, lags, log=True), 1)[0]
            rows.append([name, radius, np.linalg.norm(matrix, 2), slope, np.log(radius)])
    columns = ["entries", "spectral radius", "spectral norm", "log slope a step", "log of the radius"]
    report.table(f"random matrices: straight line through {lags} lags", columns, rows)
    slopes, want = ([row[column] for row in rows] for column in (3, 4))
    report.check("random matrices: log slope a step is log of the radius", slopes, want, rtol=0.0, atol=0.02)

    w_hh, h, slopes = RADII[-1] * q, np.zeros(units), np.empty((lags, units))
    for t, drive in enumerate(rng.normal(size=(lags, units))):  # inputs times their weights
        h = np.tanh(drive + h @ w_hh)
        slopes[t] = 1 - h**2
    log_norms = gradient_by_lag(w_hh, lags, slopes, log=True)
    log_bound = np.cumsum(np.log(slopes[::-1].max(axis=1) * np.linalg.norm(w_hh, 2)))
    # At lag 1 the two are equal, because the matrix is a multiple of an orthogonal one: leave room for rounding.
    label = "tanh cell: log of the norm over the product of ‖diag(1 − h²)‖‖W‖, largest"
    report.at_most(label, (log_norms - log_bound).max(), bound=1e-9)
    report.at_most(f"tanh cell, ρ = {RADII[-1]}: log of the norm at lag {lags}", log_norms[-1], bound=0.0)
    series[f"tanh, ρ = {RADII[-1]}"] = log_norms

    figure, ax = plots.subplots()
    plots.curves(
        lag,
        {name: values / np.log(10) for name, values in series.items()},
        ax=ax,
        xlabel="lag, steps",
        ylabel="log10 of the norm of dh_T / dh_(T−lag)",
        title="Gradients go as ρ^lag; tanh makes them fade",
    )
    ax.lines[-1].set_linewidth(3.5)
    ax.set(ylim=(-16, 10), xlim=(0, lags))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    report.figure(
        "Gradient norm against lag",
        figure,
        alt="On a logarithmic axis the norms of four linear cells are straight lines: 0.5 and 0.9 fall, 1.0 stays "
        "level, 1.1 rises. The tanh cell has radius 1.1 too, and yet its norm falls.",
    )


def _remedies(report, sequence_length, units, seed):
    """Remedies for gradients that fade (spectral radius 0.8): what arrives of the last step's gradient far back?"""
    far = sequence_length // 8 * 4
    w_x, w_h, b, w_o, b_o = start_weights(seed, units, radius=0.8)
    x, y = delayed_signs(np.random.default_rng((seed, 2)), 32, sequence_length // 4 * 4)

    def moves(learning_rate=1.0, inputs_a_step=1, skip=None):
        """How far one step of SGD shifts the pre-activation of every time step, by lag from the end."""
        inputs = tf.reduce_sum(tf.reshape(x @ w_x + b, (-1, inputs_a_step, 32, units)), axis=1)  # (steps, batch, units)
        shifts = [tf.Variable(tf.zeros((32, units))) for _ in inputs]
        with tf.GradientTape() as tape:
            states = [tf.zeros((32, units))]
            for t, (step, shift) in enumerate(zip(inputs, shifts, strict=True)):
                h = tf.tanh(step + shift + states[-1] @ w_h)
                states.append(h if skip is None or t < skip else (h + states[-skip]) / 2)
            loss = tf.reduce_mean(tf.square(states[-1] @ w_o + b_o - y[-1]))
        keras.optimizers.SGD(learning_rate).apply(tape.gradient(loss, shifts), shifts)
        return [float(tf.norm(shift)) for shift in shifts][::-1]

    rows = []
    for name, lag, norms in (
        ("as it is", far, moves()),
        ("learning rate times 10", far, moves(learning_rate=10.0)),
        ("less depth: four inputs a step", far // 4, moves(inputs_a_step=4)),
        ("skip connections over four steps", far, moves(skip=4)),
    ):
        rows.append([name, norms[0], norms[lag], norms[lag] / norms[0]])
    report.table(f"step of the last state, and {far} inputs earlier", ["remedy", "lag 0", f"lag {far}", "ratio"], rows)
    ratios = [row[3] for row in rows]
    report.check("ten times the learning rate leaves the ratio between lags", got=ratios[1], want=ratios[0], atol=0.0)
    report.at_least("less depth and skip connections raise it", np.array(ratios[2:]) / ratios[0], 10.0)
    report.note(
        "Skip connections here: the mean of tanh(…) and the state four steps back (Goodfellow et al. 2016, 10.9.1)."
    )
    report.correction(
        "remedies for fading gradients",
        course="A higher learning rate helps against gradients that fade.",
        correct="It scales the gradients of all lags alike; their ratio, which decides what is learnt, stays.",
        shown_by=f"ratio of lag {far} to lag 0: {ratios[0]:.2g} before and {ratios[1]:.2g} after",
    )

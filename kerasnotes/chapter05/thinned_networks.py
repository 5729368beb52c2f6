"""The mean over all 2^n networks with units missing is the scaled network: exactly if it is linear, nearly if not.

Dropout leaves out units at random, so it trains very many networks at once. What is the whole network worth of them?
Here every one of them is run and counted with its probability. What the reader should see: for a linear layer, and for
the geometric mean behind a softmax, scaling by the share kept gives the mean to the last digit; a ReLU breaks that,
already with two inputs. And what is left out are units, not connections: the covariance of two outputs tells.

Notes: chapter 05, "Dropout" (随机失活).
Source: Hinton et al. 2012, arXiv:1207.0580; Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html,
section 7.5; Wan et al. 2013, https://proceedings.mlr.press/v28/wan13.html (DropConnect).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import share, whole

SMOKE = {"draws": 1000}
SECONDS = 1


def all_masks(n, rate):
    """Every way to drop some of n units, and how probable it is.

    Args:
        n: Number of units, 1 to 20.
        rate: Probability of dropping, at least 0 and below 1.

    Returns:
        `(masks, probabilities)`: float64 (2^n, n) of 0 (dropped) and 1 (kept), and (2^n,), which sum to 1.

    Raises:
        ValueError: If an argument is out of range.
    """
    share("rate", rate, high=False)
    if whole("n", n) > 20:
        raise ValueError(f"n: expected at most 20 units, which have a million masks, got {n}")
    masks = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(np.float64)  # (2^n, n)
    return masks, np.prod(np.where(masks == 1, 1 - rate, rate), axis=1)


def exact_ensemble(w, x, rate):
    """The mean output of one linear layer over all 2^n networks that classic dropout of its inputs makes.

    Every thinned network is run, and counts by its probability, rate^dropped · (1 - rate)^kept.

    Args:
        w: Weights (n, units).
        x: One input (n,), n at most 20.
        rate: Probability of dropping, at least 0 and below 1.

    Returns:
        float64 array (units,).

    Raises:
        ValueError: If shapes or rate do not fit, or there are more than 20 inputs.
    """
    w, x = np.asarray(w, np.float64), np.asarray(x, np.float64)
    if w.ndim != 2 or x.shape != w.shape[:1] or not 1 <= len(x) <= 20:
        raise ValueError(f"w, x: expected shapes (n, units) and (n,) with n from 1 to 20, got {w.shape} and {x.shape}")
    masks, probabilities = all_masks(len(x), rate)
    return probabilities @ ((masks * x) @ w)


def example():
    """Ten inputs of one layer, half of them missing: the mean over all 1,024 ways, and over many of Keras's draws."""
    rng = np.random.default_rng(0)
    w, x, rate = rng.normal(size=(10, 3)), rng.normal(size=10), 0.5
    masks, probabilities = all_masks(10, rate)
    print(len(masks), "masks, from", masks[0], "to", masks[-1], "- probabilities sum to", probabilities.sum())
    print("mean of all thinned layers:", exact_ensemble(w, x, rate).round(4))
    print("the layer of scaled inputs:", (((1 - rate) * x) @ w).round(4))

    drop = keras.layers.Dropout(rate=rate, seed=0)  # scales up in training: times 1 - rate for the classic form
    draws = drop(np.tile(x, (100_000, 1)), training=True).numpy() * (1 - rate)
    print("mean of 100,000 draws:     ", (draws @ w).mean(axis=0).round(4))
    print("a ReLU behind it, mean of all:", (probabilities @ np.maximum((masks * x) @ w, 0)).round(4))
    print("a ReLU of the scaled layer:   ", np.maximum(((1 - rate) * x) @ w, 0).round(4))


def lesson(report, *, draws: int = 100000, seed: int = 0):
    """Count out the mean over all thinned networks, and tell units from connections.

    Args:
        report: The report to write to.
        draws: Outputs of `layers.Dropout` for its covariance (100 to 10000000).
        seed: Seed of all random draws (0 to 2000000000).
    """
    _ensembles(report, np.random.default_rng(seed))
    _units_not_connections(report, np.random.default_rng((seed, 1)), draws, seed)
    report.figure(
        "Scaling is exact where the network is linear",
        _figure(np.random.default_rng((seed, 5))),
        alt="Two outputs over the rate of dropout. Left, linear: the means over all thinned networks lie on the lines "
        "of the scaled network. Right, with a ReLU: the means lie above the lines.",
    )


def _ensembles(report, rng, n=10, rate=0.3):
    w, x = rng.normal(size=(n, 4)), rng.normal(size=n)
    mean = exact_ensemble(w, x, rate)
    scaled = ((1 - rate) * x) @ w
    report.check(
        f"the mean over all {2**n} thinned linear layers is the scaled layer", mean, scaled, rtol=0, atol=1e-12
    )
    report.check("scaling the weights does the same", x @ ((1 - rate) * w), mean, rtol=0, atol=1e-12)
    masks, probabilities = all_masks(n, rate)
    inverted = probabilities @ ((masks * x / (1 - rate)) @ w)
    report.check("the mean of the inverted form is the layer as it is", inverted, x @ w, rtol=0, atol=1e-12)
    replaced = np.full_like(w, 1 - rate).T @ x
    report.at_least("weights set to the share kept instead: largest error", np.abs(replaced - mean).max(), 0.1)
    report.correction(
        "weights at test time",
        course="At test time the weights become α.",
        correct="They are multiplied by α, the probability of keeping a unit (1 - rate), if training was classic. If "
        "it was inverted, as in Keras, they stay as they are.",
        shown_by=f"mean over all {2**n} thinned layers: {mean[0]:.4f}; weights times α: {scaled[0]:.4f}; "
        f"weights equal to α: {replaced[0]:.4f}",
    )
    logs = tf.nn.log_softmax((masks * x) @ w).numpy()  # (2^n, 4)
    geometric = tf.nn.softmax(probabilities @ logs)
    report.check("softmax: the geometric mean of all thinned ones is the scaled one", geometric, tf.nn.softmax(scaled))
    masks, probabilities = all_masks(2, 0.5)
    thinned = probabilities @ np.maximum(masks @ [1.0, -1.0], 0)
    whole = np.maximum((0.5 * np.ones(2)) @ [1.0, -1.0], 0)
    report.check("ReLU of x1 - x2 at (1, 1), rate ½: mean of the thinned, and the scaled", [thinned, whole], [0.25, 0])
    report.note("So the scaled network is the mean of the thinned ones only nearly, once there is a ReLU in it.")


def _units_not_connections(report, rng, draws, seed, n=4, rate=0.5):
    """A dropped unit falls silent towards all outputs at once; dropped connections do so one by one."""
    w, x = rng.normal(size=(n, 2)), rng.normal(size=n)
    masks, probabilities = all_masks(n, rate)
    units = (masks * x) @ w  # (2^n, 2)
    masks, of_connections = all_masks(2 * n, rate)
    connections = np.einsum("mio,i,io->mo", masks.reshape(-1, n, 2), x, w)  # (2^(2n), 2)
    exact = [_covariance(*pair) for pair in ((units, probabilities), (connections, of_connections))]
    formula = rate * (1 - rate) * np.sum(x**2 * w[:, 0] * w[:, 1])
    report.check("covariance of two outputs: units dropped, and connections dropped", exact, [formula, 0])
    inputs = tf.tile(tf.constant(x, tf.float32)[None], (draws, 1))
    outputs = keras.layers.Dropout(rate, seed=seed)(inputs, training=True).numpy() * (1 - rate) @ w  # (draws, 2)
    centred = outputs - outputs.mean(axis=0)
    products = centred[:, 0] * centred[:, 1]
    error = products.std() / np.sqrt(draws)
    report.at_most("layers.Dropout's, standard errors from the units'", abs(products.mean() - formula) / error, 4.0)
    report.at_least("and from the connections'", abs(products.mean()) / error, 10.0)
    report.correction(
        "what dropout drops",
        course="Dropout cuts connections between neurons at random.",
        correct="It drops units, each with all its connections at once; dropping connections is another method "
        "(DropConnect, Wan et al. 2013).",
        shown_by=f"covariance of two outputs over all masks: {exact[0]:.4f} with units, {exact[1]:.4f} with "
        f"connections; layers.Dropout has {products.mean():.4f} ± {error:.4f}",
    )


def _covariance(outputs, probabilities):
    centred = outputs - probabilities @ outputs
    return probabilities @ (centred[:, 0] * centred[:, 1])


def _figure(rng, n=10):
    w, x, rates = rng.normal(size=(n, 2)), rng.normal(size=n), np.linspace(0, 0.95, 20)
    w *= np.sign(x @ w) * [1, -1]  # the first output of the whole network is positive, the second one negative
    figure, axes = plots.subplots(1, 2, figsize=(11, 4.4))
    forms = {"linear: exact": lambda z: z, "ReLU: only nearly": lambda z: np.maximum(z, 0)}
    for ax, (title, form) in zip(axes, forms.items(), strict=True):
        for output in range(2):
            means = [p @ form((masks * x) @ w[:, output]) for masks, p in (all_masks(n, rate) for rate in rates)]
            ax.plot(rates, means, "os"[output], color=f"C{output}", label=f"output {output + 1}, mean of all 2ⁿ")
            scaled = form((1 - rates) * (x @ w[:, output]))
            ax.plot(rates, scaled, color=f"C{output}", label=f"output {output + 1}, scaled network")
        ax.set(xlabel="rate of dropout", ylabel="output", title=title)
    axes[0].legend()
    return figure

"""Depth gives more layers to look back with; only a second direction looks ahead.

What the reader should see: a deep recurrent network feeds the states of one layer to the next; a bidirectional one
reads the sequence from both ends and lays the two states side by side. Every layer and every direction has weights of
its own. Asked for a bit that has not come yet, a forward network can only toss a coin, however deep it is.

Notes: chapter 08, "Deep and bidirectional networks" (深层与双向循环神经网络).
Source: Schuster and Paliwal 1997, doi:10.1109/78.650093; Pascanu et al. 2014, arXiv:1312.6026 (stacked states).
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots, training
from kerasnotes.chapter08.simple_rnn import rnn
from kerasnotes.parts import whole

SMOKE = {"steps": 1, "samples": 64, "units": 4}
SECONDS = 9


def deep_rnn(x, parameters):
    """Several recurrent layers, each reading the states of the one below, from states of zeros.

    Args:
        x: Inputs (batch, steps, inputs).
        parameters: For each layer, the lowest first, `(w_xh, w_hh, b)` as in `rnn`.

    Returns:
        Tensor (batch, steps, units), the states of the highest layer.
    """
    if not parameters:
        raise ValueError("parameters: expected the weights of at least one layer, got none")
    for w_xh, w_hh, b in parameters:
        x = rnn(x, tf.zeros((tf.shape(x)[0], w_hh.shape[0]), x.dtype), w_xh, w_hh, b)
    return x


def bidirectional_rnn(x, forward, backward):
    """Two layers side by side, one of which reads the sequence from its end.

    Args:
        x: Inputs (batch, steps, inputs).
        forward, backward: `(w_xh, w_hh, b)` of each direction, as in `rnn`.

    Returns:
        Tensor (batch, steps, units forward + units backward). At each step the first part has seen everything up to
        this step, the second part everything from this step on.
    """
    ahead = deep_rnn(x, [forward])
    back = deep_rnn(tf.reverse(x, axis=[1]), [backward])
    return tf.concat([ahead, tf.reverse(back, axis=[1])], axis=-1)  # turned again, so that the steps belong together


def build_deep_rnn(layers, units, input_size):
    """Stacked `keras.layers.SimpleRNN` layers.

    Args:
        layers: Number of layers.
        units: Size of each layer's state.
        input_size: Size of an input.

    Returns:
        Keras model from (batch, steps, input_size) to (batch, steps, units), for any number of steps.
    """
    stack = [
        keras.layers.SimpleRNN(whole("units", units), return_sequences=True) for _ in range(whole("layers", layers))
    ]
    return keras.Sequential([keras.Input((None, whole("input_size", input_size))), *stack])


def build_bidirectional(units, input_size):
    """One `keras.layers.SimpleRNN` in each direction.

    Args:
        units: Size of each direction's state.
        input_size: Size of an input.

    Returns:
        Keras model from (batch, steps, input_size) to (batch, steps, 2 * units), for any number of steps.
    """
    layer = keras.layers.SimpleRNN(whole("units", units), return_sequences=True)
    return keras.Sequential([keras.Input((None, whole("input_size", input_size))), keras.layers.Bidirectional(layer)])


def example():
    """Stacked and bidirectional layers of Keras, and ours on the same weights."""
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 6, 3)), tf.float32)  # (batch, steps, inputs)
    stacked = keras.Sequential(
        [keras.layers.SimpleRNN(4, return_sequences=True), keras.layers.SimpleRNN(4, return_sequences=True)]
    )
    print("stacked:      ", stacked(x)[0, -1].numpy())
    weights = [weight.value for weight in stacked.weights]
    print("ours:         ", deep_rnn(x, [weights[:3], weights[3:]])[0, -1].numpy())
    both = keras.layers.Bidirectional(keras.layers.SimpleRNN(2, return_sequences=True))
    print("bidirectional:", both(x)[0, 0].numpy())
    weights = [weight.value for weight in both.weights]
    print("ours:         ", bidirectional_rnn(x, weights[:3], weights[3:])[0, 0].numpy())


def lesson(
    report,
    *,
    steps: int = 400,
    units: int = 32,
    distance: int = 2,
    length: int = 20,
    samples: int = 2000,
    learning_rate: float = 0.005,
    seed: int = 0,
):
    """Match both networks with ours, then ask each for a bit to the left and a bit to the right.

    Args:
        report: The report to write to.
        steps: Training steps of each network (1 to 100000).
        units: Size of each layer's and each direction's state (1 to 1024).
        distance: How far away the two bits are, in steps (1 to 8).
        length: Bits in a sequence (17 to 1000).
        samples: Test sequences (10 to 100000).
        learning_rate: Learning rate of Adam (0.00001 to 1).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _own_weights(report, seed)
    rng = np.random.default_rng(seed)
    x, y = _left_and_right(rng, samples, length, distance)
    networks = {
        "forward": build_deep_rnn(1, units, 1),
        "forward, 3 layers": build_deep_rnn(3, units, 1),
        "bidirectional": build_bidirectional(units, 1),
    }
    shares = {}
    for name, network in report.track(list(networks.items()), "three networks"):
        # The first and the last bits lack a neighbour on one side: they are read, but not asked about.
        model = keras.Sequential([network, keras.layers.Dense(2), keras.layers.Cropping1D(distance)])
        optimizer = keras.optimizers.Adam(learning_rate, global_clipnorm=1.0)
        model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))
        bits, answers = _left_and_right(rng, 64 * steps, length, distance)
        training.fit(model, bits, answers, batch_size=64, shuffle=False, form="loop")
        shares[name] = np.mean((model(x).numpy() > 0) == y, axis=(0, 1))  # (2,): left, right

    _known_bits(report, networks, shares, distance, samples, y.shape[1])
    reach = {name: _reach(network, x[0]) for name, network in networks.items()}
    for name, influence in reach.items():
        if name == "bidirectional":
            nearest = np.diag(influence, -1)  # how far each input moves the state of the step before it
            report.at_least(f"{name}: change of a state by the input of the next step", nearest, 1e-3)
        else:
            later = influence[np.tril_indices(length, -1)]
            report.check(f"{name}: change of a state by the inputs of later steps", later, np.zeros_like(later))
    report.figure(
        "Depth does not look ahead",
        _draw(reach["forward, 3 layers"], reach["bidirectional"], shares, distance),
        alt="Left: in a forward network of three layers a changed input changes the states of this and later steps "
        "only. Middle: in a bidirectional one it changes all. Right: every network knows the bit to the left, the bit "
        "to the right only the bidirectional one; the forward ones stay at one half.",
    )


def _known_bits(report, networks, shares, distance, samples, bits):
    error = math.sqrt(0.25 / (samples * bits))  # standard error of the share of heads among so many coin tosses
    for name, (left, right) in shares.items():
        report.at_least(f"{name}: bits to the left, share right", left, 0.99, trained=True)
        if name == "bidirectional":
            report.at_least(f"{name}: bits to the right, share right", right, 0.99, trained=True)
        else:
            label = f"{name}: bits to the right, share right, distance from 1/2 in standard errors"
            report.at_most(label, abs(right - 0.5) / error, 4.0)
    rows = [[name, networks[name].count_params(), *map(float, pair)] for name, pair in shares.items()]
    columns = ["network", "weights of the recurrent layers", "left bit, share right", "right bit, share right"]
    report.table(f"A fair bit {distance} steps away, on {samples} new sequences", columns, rows)
    report.note(
        "The ceiling of a forward network is exactly 1/2: its answer depends on the bits so far, and the bit to the "
        "right is a coin that is tossed after them. The check therefore holds for any weights, trained or not. "
        "Training is with Adam and clipped gradients, unlike in the sources."
    )


def _own_weights(report, seed, batch=2, steps=7, inputs=3, units=4):
    rng = np.random.default_rng(seed)
    x = tf.constant(rng.normal(size=(batch, steps, inputs)), tf.float32)
    one = inputs * units + units**2 + units  # weights of one layer that reads the inputs
    deep, both = build_deep_rnn(3, units, inputs), build_bidirectional(units, inputs)
    report.check("three layers: m·n + n² + n weights, then 2n² + n twice", deep.count_params(),
                 one + 2 * (2 * units**2 + units))  # fmt: skip
    report.check("two directions: m·n + n² + n weights each", both.count_params(), 2 * one)
    for name, model, ours in (
        ("three stacked layers", deep, lambda x, *parameters: deep_rnn(x, parameters)),
        ("a bidirectional layer", both, bidirectional_rnn),
    ):
        model.set_weights([rng.normal(size=weights.shape) / 2 for weights in model.weights])
        variables = [weights.value for weights in model.weights]
        upstream = tf.constant(rng.normal(size=model(x).shape), tf.float32)
        results = []
        groups = [variables[start : start + 3] for start in range(0, len(variables), 3)]  # one for each layer
        for network in (model, lambda x: ours(x, *groups)):  # noqa: B023
            with tf.GradientTape() as tape:
                tape.watch(x)
                states = network(x)
                value = tf.reduce_sum(upstream * states)
            results.append({"states": states, "gradients": tape.gradient(value, [x, *variables])})
        report.check(f"{name} of ours equal Keras's: states and gradients", results[1], results[0], atol=1e-5)


def _left_and_right(rng, samples, length, distance):
    """Fair bits, -1 or 1, (samples, length, 1); for each inner one the bits to its left and right (samples, ..., 2)."""
    x = rng.choice(np.float32([-1, 1]), size=(samples, length, 1))
    return x, np.concatenate([x[:, : -2 * distance], x[:, 2 * distance :]], axis=-1) > 0


def _reach(network, bits):
    """Turn over one bit after the other; how far does the state of every step move? (turned bit, step)."""
    turned = bits[np.newaxis] * (1 - 2 * np.eye(len(bits), dtype=np.float32))[:, :, np.newaxis]
    states = network(np.concatenate([bits[np.newaxis], turned])).numpy()  # (1 + length, length, units)
    return np.linalg.norm(states[1:] - states[0], axis=-1)


def _draw(forward, bidirectional, shares, distance):
    figure, axes = plots.subplots(1, 3, figsize=(14, 4.4), width_ratios=(1, 1, 1.15))
    top = max(forward.max(), bidirectional.max())
    for ax, influence, title in zip(
        axes, (forward, bidirectional), ("Forward, 3 layers", "Bidirectional"), strict=False
    ):
        plots.heatmap(
            np.where(influence > 1e-6, influence, np.nan),  # blank: no influence at all
            xlabel="state of step",
            ylabel="input of step",
            label="change of the state",
            title=title,
            ax=ax,
            vmin=0,
            vmax=top,
            extent=(0.5, len(influence) + 0.5, len(influence) + 0.5, 0.5),
        )
        for axis in (ax.xaxis, ax.yaxis):
            axis.get_major_locator().set_params(integer=True)
    positions = np.arange(len(shares))
    for side, (name, hatch) in enumerate(
        ((f"{distance} steps to the left", ""), (f"{distance} steps to the right", "//"))
    ):
        values = [pair[side] for pair in shares.values()]
        axes[2].bar(positions + 0.38 * side - 0.19, values, 0.36, label=name, hatch=hatch, edgecolor="white")
    axes[2].axhline(0.5, color="black", linestyle="--", label="coin toss")
    axes[2].set_xticks(positions, [name.replace(", ", ",\n") for name in shares])
    axes[2].set(ylabel="share of bits answered rightly", ylim=(0, 1.55), yticks=np.linspace(0, 1, 5))
    axes[2].legend(loc="upper left")
    axes[2].set_title("Which bits it knows")
    return figure

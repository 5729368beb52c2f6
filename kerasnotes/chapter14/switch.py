"""Of many experts one works on each token: parameters grow with the experts, multiplications do not.

A router gives every token to the expert that it finds most likely, and multiplies the answer by that probability, which
is how the router learns. What the reader should see: with room for all the layer is a loop over tokens; each expert has
a fixed number of places, and tokens that come too late get nothing; left alone the router overloads some experts; and a
small loss for balance, which reaches the router through its probabilities only, makes tokens spread and errors fall.

Notes: chapter 14, "Switch Transformer" (开关Transformer).
Source: Fedus, Zoph, Shazeer 2022, arXiv:2101.03961, sections 2.1 and 2.2, equations 1 to 6; Shazeer et al. 2017,
arXiv:1701.06538.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots, training
from kerasnotes.parts import floating, layer_seeds, positive, shape, whole

SMOKE = {"samples": 256, "steps": 2, "runs": 1}
SECONDS = 8


def route(x, w_router):
    """The router's choice for each token (Fedus et al. 2022, equation 1).

    Args:
        x: Tokens (tokens, units).
        w_router: Kernel (units, experts).

    Returns:
        `(probabilities, expert)`: softmax(x W) (tokens, experts), and the most likely expert (tokens,), int32.
    """
    x = shape("x", floating("x", x), None, None)
    shape("w_router", w_router, x.shape[1], None)
    probabilities = tf.nn.softmax(tf.matmul(x, w_router))
    return probabilities, tf.argmax(probabilities, axis=-1, output_type=tf.int32)


def capacity(tokens, experts, factor):
    """Places of each expert: ⌈tokens · factor / experts⌉, an int (Fedus et al. 2022, equation 3)."""
    return math.ceil(whole("tokens", tokens) * positive("factor", factor) / whole("experts", experts))


def dispatch(expert, experts, capacity):
    """Which token takes which place: first come, first served.

    Args:
        expert: The expert of each token (tokens,), integers from 0 to experts - 1.
        experts: Number of experts.
        capacity: Places of each expert.

    Returns:
        Boolean (tokens, experts, capacity), True at most once for each token and at most once for each place.
    """
    expert, _ = _chosen(expert, whole("experts", experts)), whole("capacity", capacity)
    chosen = tf.one_hot(expert, experts, dtype=tf.int32)  # (tokens, experts)
    place = tf.cumsum(chosen) * chosen - 1  # how many came before, -1 at experts that were not chosen
    return place[..., None] == tf.range(capacity)  # a place of `capacity` or more is none


def _chosen(expert, experts):
    """Numbers of experts as a tensor (tokens,); in one-hot vectors a number out of range would be a silent zero."""
    expert = shape("expert", tf.convert_to_tensor(expert), None)
    inside = (expert >= 0) & (expert < experts)
    if not expert.dtype.is_integer or (tf.executing_eagerly() and not tf.reduce_all(inside)):
        raise ValueError(f"expert: expected integers from 0 to {experts - 1}, got {expert.dtype.name}")
    return expert


def load_balancing_loss(probabilities, expert):
    """experts · Σ f P: f the share of tokens that each expert gets, P the mean of its probability.

    Args:
        probabilities: (tokens, experts), from `route`.
        expert: (tokens,), from `route`.

    Returns:
        Scalar: 1 if all experts get equally many, `experts` if one gets all with certainty. Shares are counts and have
        no gradient; it reaches the router through P (Fedus et al. 2022, equations 4 to 6, without the factor α).
    """
    probabilities = shape("probabilities", floating("probabilities", probabilities), None, None)
    tokens, experts = probabilities.shape
    expert = shape("expert", _chosen(expert, experts), tokens)
    share = tf.reduce_mean(tf.one_hot(expert, experts, dtype=probabilities.dtype), axis=0)  # (experts,)
    return experts * tf.reduce_sum(share * tf.reduce_mean(probabilities, axis=0))


def switch_layer(x, parameters, capacity_factor=1.25):
    """A feed-forward network with experts: each token passes one of them.

    Args:
        x: Tokens (tokens, units).
        parameters: Dictionary: `w_router` (units, experts); the experts' two layers `w1` (experts, units, hidden), `b1`
            (experts, hidden), `w2` (experts, hidden, units), `b2` (experts, units).
        capacity_factor: Places in all, as a multiple of the tokens.

    Returns:
        `(output, balance, dropped)`: (tokens, units), 0 for tokens without a place; `load_balancing_loss`; the share of
        tokens without a place (Fedus et al. 2022, section 2).
    """
    probabilities, expert = route(x, parameters["w_router"])
    tokens, experts = probabilities.shape
    _, units, hidden = shape("w1", parameters["w1"], experts, x.shape[1], None).shape
    shape("b1", parameters["b1"], experts, hidden), shape("w2", parameters["w2"], experts, hidden, units)
    shape("b2", parameters["b2"], experts, units)
    places = tf.cast(dispatch(expert, experts, capacity(tokens, experts, capacity_factor)), probabilities.dtype)
    given = tf.einsum("tec,tu->ecu", places, x)  # (experts, capacity, units), 0 at free places
    inner = tf.nn.relu(tf.matmul(given, parameters["w1"]) + parameters["b1"][:, None])
    answers = tf.matmul(inner, parameters["w2"]) + parameters["b2"][:, None]  # (experts, capacity, units)
    output = tf.einsum("tec,ecu->tu", places, answers) * tf.reduce_max(probabilities, axis=-1, keepdims=True)
    return output, load_balancing_loss(probabilities, expert), 1 - tf.reduce_sum(places) / tokens


class SwitchFeedForward(keras.layers.Layer):
    """`switch_layer` as a Keras layer on (batch, units) or (batch, steps, units), all tokens of the batch together.

    Args:
        experts: Number of experts.
        hidden_units: Hidden units of each.
        capacity_factor: Places in all, as a multiple of the tokens.
        balance_weight: Factor of `load_balancing_loss`, which the layer adds to the model's loss; a number or variable.
        seed: Seed of the initial weights.

    Attribute `dropped`: the share of tokens without a place in the last call.
    """

    def __init__(self, experts, hidden_units, capacity_factor=1.25, balance_weight=0.01, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.experts, self.hidden_units = whole("experts", experts), whole("hidden_units", hidden_units)
        self.capacity_factor, self.balance_weight, self.seed = capacity_factor, balance_weight, seed

    def build(self, input_shape):
        units, experts, hidden = input_shape[-1], self.experts, self.hidden_units
        seeds = layer_seeds(self.seed)
        sizes = {"w_router": (units, experts), "w1": (experts, units, hidden), "b1": (experts, hidden),
                 "w2": (experts, hidden, units), "b2": (experts, units)}  # fmt: skip
        self.parameters = {}
        for name, size in sizes.items():
            deviation = 0.0 if name[0] == "b" else size[-2] ** -0.5  # by the number of inputs
            initializer = keras.initializers.TruncatedNormal(stddev=deviation, seed=next(seeds))
            self.parameters[name] = self.add_weight(shape=size, initializer=initializer, name=name)
        self.dropped = self.add_weight(shape=(), initializer="zeros", trainable=False, name="dropped")

    def call(self, x):
        tokens = tf.reshape(x, (-1, x.shape[-1]))
        parameters = {name: tf.convert_to_tensor(weight) for name, weight in self.parameters.items()}
        output, balance, dropped = switch_layer(tokens, parameters, self.capacity_factor)
        self.add_loss(self.balance_weight * balance)
        self.dropped.assign(dropped)
        return tf.reshape(output, tf.shape(x))


def example():
    """Six tokens, two experts, two places each; and one expert, which is two dense layers of Keras."""
    places = dispatch([0, 0, 1, 0, 1, 0], experts=2, capacity=capacity(6, 2, 0.6))
    print("places of each token, expert by expert:", tf.cast(places, tf.int32).numpy().tolist())
    print("balance if one expert gets all:", float(load_balancing_loss([[1.0, 0.0]] * 4, [0, 0, 0, 0])))
    x = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    layer = SwitchFeedForward(experts=1, hidden_units=4)
    ours = layer(x)
    dense = [keras.layers.Dense(4, activation="relu"), keras.layers.Dense(3)]
    for number, (each, inputs) in enumerate(zip(dense, (3, 4), strict=True), 1):
        each.build((None, inputs))
        each.set_weights([layer.parameters[f"{kind}{number}"].numpy()[0] for kind in "wb"])
    print("one expert, largest difference from Keras:", float(tf.reduce_max(tf.abs(ours - dense[1](dense[0](x))))))


def lesson(report, *, samples: int = 6144, batch_size: int = 128, steps: int = 480, runs: int = 5, seed: int = 0):
    """Compare the layer with a loop over tokens, count its costs, and train it with and without a loss for balance.

    Args:
        report: The report to write to.
        samples: Tokens to train on, a multiple of the batch (128 to 1000000).
        batch_size: Tokens of a batch (8 to 4096).
        steps: Training steps of a run (1 to 100000).
        runs: Runs, each with clusters of its own (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng((seed, 0))
    layer = SwitchFeedForward(4, hidden_units=5)
    layer.build((None, 6))
    sizes = {"x": (40, 6)} | {name: weight.shape for name, weight in layer.parameters.items()}
    parameters = {name: tf.Variable(rng.normal(size=size), dtype=tf.float32) for name, size in sizes.items()}
    x = parameters.pop("x")
    _is_a_loop(report, x, parameters)
    _special_cases(report, x, parameters)
    _balance(report, x, parameters)
    _costs(report)
    _training(report, samples // batch_size * batch_size, batch_size, steps, runs, seed)


def _dense(x, p, number):
    return tf.matmul(tf.nn.relu(tf.matmul(x, p["w1"][number]) + p["b1"][number]), p["w2"][number]) + p["b2"][number]


def _is_a_loop(report, x, p):
    with tf.GradientTape(persistent=True) as tape:
        got, _, dropped = switch_layer(x, p, capacity_factor=4.0)
        q = tf.nn.softmax(tf.matmul(x, p["w_router"]))
        best = q.numpy().argmax(axis=1)
        want = tf.concat([q[i, best[i]] * _dense(x[i : i + 1], p, best[i]) for i in range(len(best))], axis=0)
        values = tf.reduce_sum(tf.sin(got)), tf.reduce_sum(tf.sin(want))
    report.check("places for all: nothing is dropped", dropped, 0.0)
    report.check("places for all: the loop over tokens, output", got, want, atol=1e-5)
    gradients = [tape.gradient(value, [x, *p.values()]) for value in values]
    report.check("the same, gradients by tokens and all parameters", *gradients, rtol=1e-4, atol=1e-4)


def _special_cases(report, x, p):
    one = {name: value[:, :1] if name == "w_router" else value[:1] for name, value in p.items()}
    report.check("one expert is the dense network", switch_layer(x, one, 1.0)[0], _dense(x, p, 0))
    equal = {name: value if name == "w_router" else tf.repeat(value[:1], 4, axis=0) for name, value in p.items()}
    probabilities, expert = route(x, p["w_router"])
    want = _dense(x, p, 0) * tf.reduce_max(probabilities, axis=1, keepdims=True)
    report.check("equal experts: the dense network times the largest probability", switch_layer(x, equal, 4.0)[0], want)
    places = dispatch(expert, 4, capacity(40, 4, 0.5)).numpy()
    output, _, dropped = switch_layer(x, p, 0.5)
    late = ~places.any(axis=(1, 2))
    report.check("half as many places as tokens: share dropped", dropped, late.mean())
    got, x = output.numpy()[late], x.numpy()[late]
    report.check("tokens without a place get 0, and with the residual themselves", [got, x + got], [0 * x, x])
    want = np.minimum(np.bincount(expert, minlength=4), 5)
    report.check("tokens of each expert: all, or the first five", places.sum(axis=(0, 2)), want)


def _balance(report, x, p):
    uniform, certain = np.full((40, 4), 0.25), np.eye(4)[[2] * 40]
    report.check("balance, equally likely and equally used", load_balancing_loss(uniform, np.arange(40) % 4), 1.0)
    report.check("balance, one expert gets all with certainty", load_balancing_loss(certain, [2] * 40), 4.0)
    with tf.GradientTape() as tape:
        probabilities, expert = route(x, p["w_router"])
        balance = load_balancing_loss(probabilities, expert)
    share, q = np.bincount(expert, minlength=4) / 40, probabilities.numpy()
    by_logits = 4 / 40 * q * (share - q @ share[:, None])  # of experts · Σ f P with f held fixed
    want = x.numpy().T @ by_logits
    report.check("its gradient by the router, with shares held fixed", tape.gradient(balance, p["w_router"]), want)


def _costs(report, tokens=1024, units=64, hidden=256):
    rows = []
    for experts in (1, 2, 4, 8, 16):
        layer = SwitchFeedForward(experts, hidden)
        layer.build((None, units))
        parameters = sum(weight.numpy().size for weight in layer.trainable_weights)
        work = experts * capacity(tokens, experts, 1.0) * 2 * units * hidden / tokens
        rows.append([experts, parameters, int(work), units * experts])
    columns = ["experts", "parameters", "multiplications in experts", "multiplications in the router"]
    report.table("As many places as tokens: what a token costs", columns, rows)
    report.check("multiplications in experts, for 1 to 16 of them", [row[2] for row in rows], [rows[0][2]] * 5)
    report.at_least("parameters with 16 experts against one: factor", rows[-1][1] / rows[0][1], 15)
    report.note("Not counted: tokens find their places here by a product with zeros and ones, where others copy them.")


def _training(report, samples, batch_size, steps, runs, seed, units=16, weights=(0.0, 0.01, 0.1)):
    """Eight clusters, each with a linear map of its own, for four experts."""
    weight, epochs = tf.Variable(0.0), max(1, steps * batch_size // samples)
    layer = SwitchFeedForward(4, 32, balance_weight=weight)
    model = keras.Sequential([keras.Input((units,), batch_size=batch_size), layer])
    model.compile(keras.optimizers.Adam(3e-3), "mse")
    restart = training.restarter(model)
    found = {each: [] for each in weights}  # weight -> runs of (share dropped, relative error)
    for run in report.track(range(runs), "runs"):
        rng = np.random.default_rng((seed, 1, run))
        which = rng.integers(8, size=samples + 16 * batch_size)
        x = rng.normal(size=(8, units))[which] + 0.3 * rng.normal(size=(len(which), units))
        y = np.einsum("tu,tuv->tv", x, rng.normal(size=(8, units, units))[which] / np.sqrt(units))
        start = SwitchFeedForward(4, 32, seed=(seed, run))
        start.build((None, units))
        for each in weights:
            restart(start.get_weights())
            weight.assign(each)
            training.fit(model, x[:samples], y[:samples], epochs=epochs, batch_size=batch_size, seed=run, form="loop")
            found[each].append(_judge(layer, x[samples:], y[samples:], batch_size))
    means = {each: [plots.mean_and_error(values) for values in zip(*found[each], strict=True)] for each in weights}
    columns = ["weight of the balance", "share of tokens dropped", "±", "relative squared error", "±"]
    rows = [[each, *(float(number) for pair in means[each] for number in pair)] for each in weights]
    report.table("Four experts, eight clusters: mean and error of the runs", columns, rows)
    for column, what, bound in ((1, "share dropped", 0.5), (3, "relative error", 1.0)):
        factor = rows[-1][column] / max(rows[0][column], 1e-9)
        report.at_most(f"{what} with weight 0.1, of that without", factor, bound, trained=True)
    figure, axes = plots.subplots(1, 2, figsize=(9, 4))
    for k, (ax, label) in enumerate(zip(axes, columns[1::2], strict=True)):
        values, errors = zip(*(means[each][k] for each in weights), strict=True)
        plots.bars([f"{each:g}" for each in weights], values, errors=errors, ylabel=label, ax=ax)
        ax.set_xlabel(columns[0])
    report.figure(
        "A loss for balance", figure, alt="Both fall with the weight: dropped tokens, and the relative error."
    )


def _judge(layer, x, y, batch_size):
    dropped, errors = [], []
    for start in range(0, len(x), batch_size):
        some = slice(start, start + batch_size)
        errors.append(np.sum((layer(x[some]) - y[some]) ** 2))
        dropped.append(layer.dropped.numpy())
    return np.mean(dropped), np.sum(errors) / np.sum(y**2)

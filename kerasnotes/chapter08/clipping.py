"""Clipping by global norm shortens the step and keeps its direction.

Exploding gradients throw the weights of a recurrent network far away in a single step. Three ways to limit the step
are built here and compared with TensorFlow and Keras: limiting every number, every tensor, or all tensors together.
Only the last one keeps the direction. A network whose recurrent matrix has spectral radius 1.5 then diverges without
clipping and learns with it; and gradients that fade instead of exploding turn out to be a different problem.

Notes: chapter 08, "Gradient clipping" (梯度裁剪).
Source: Pascanu et al. 2013, arXiv:1211.5063, Algorithm 1; https://www.tensorflow.org/api_docs/python/tf/clip_by_global_norm
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots

SMOKE = {"steps": 3, "seeds": 2, "sequence_length": 16, "units": 8, "bounds": (1.0, 5.0)}
SECONDS = 14

DELAY = 3  # the network has to repeat its input of three steps ago


def clip_by_value(tensors, low, high):
    """Limit every number to [low, high], each for itself. This can turn the gradient into another direction.

    Args:
        tensors: List of tensors of any shapes, or of None, which passes through.
        low, high: The bounds; low must not exceed high.

    Returns:
        List of tensors of the same shapes.

    Raises:
        ValueError: If a bound is NaN, or low is above high.
    """
    if not low <= high:
        raise ValueError(f"low, high: expected low <= high, got {low!r} and {high!r}")
    return [None if tensor is None else tf.minimum(tf.maximum(tensor, low), high) for tensor in tensors]


def clip_by_norm(tensor, clip_norm):
    """Shorten one tensor to the length `clip_norm` if it is longer.

    Several tensors that are clipped one by one change their lengths relative to each other, and so the direction of
    the whole gradient.

    Args:
        tensor: Tensor of any shape, or None, which passes through.
        clip_norm: Largest Euclidean norm allowed, positive.

    Returns:
        Tensor of the same shape.

    Raises:
        ValueError: If `clip_norm` is not positive, or the norm of the tensor is not finite.
    """
    if tensor is None:
        return None
    return clip_by_global_norm([tensor], clip_norm)[0][0]


def clip_by_global_norm(tensors, clip_norm):
    """Shorten all tensors by one common factor if their joint length exceeds `clip_norm`.

    The joint length is the norm of all numbers together: gradients (3, 4) and (12) have global norm 13. In compiled
    code a norm that is not finite raises `tf.errors.InvalidArgumentError`, or stays NaN under XLA.

    Args:
        tensors: List of tensors of any shapes, or of None, which passes through.
        clip_norm: Largest global norm allowed, positive.

    Returns:
        `(clipped, norm)`: the list of tensors, and the global norm before clipping, a scalar.

    Raises:
        ValueError: If `clip_norm` is not positive, if there is no tensor, or if the global norm is not finite.

    Source: Pascanu et al. 2013, arXiv:1211.5063, Algorithm 1.
    """
    if not tf.is_symbolic_tensor(clip_norm) and not clip_norm > 0:
        raise ValueError(f"clip_norm: expected a positive number, got {clip_norm!r}")
    present = [tf.convert_to_tensor(tensor) for tensor in tensors if tensor is not None]
    if not present:
        raise ValueError("tensors: expected at least one tensor that is not None, got none")
    norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(tensor)) for tensor in present]))
    if tf.executing_eagerly():
        if not math.isfinite(norm):
            raise ValueError(f"tensors: expected a finite global norm, got {norm.numpy()}")
    else:
        norm = tf.debugging.check_numerics(norm, "tensors: expected a finite global norm")
    scale = clip_norm / tf.maximum(norm, clip_norm)  # exactly 1 where nothing is to be clipped
    return [None if tensor is None else tensor * scale for tensor in tensors], norm


def cosine(tensors, others):
    """Cosine of the angle between two gradients, each a list of tensors, taken as one long vector.

    Raises:
        ValueError: If one of them has length zero.
    """
    a, b = (np.concatenate([np.ravel(tensor) for tensor in group]).astype(np.float64) for group in (tensors, others))
    if not (np.any(a) and np.any(b)):
        raise ValueError("tensors, others: expected gradients that are not zero, got a zero gradient")
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def example():
    """Three gradients' worth of numbers, clipped by TensorFlow and by the functions above."""
    gradients = [tf.constant([3.0, 4.0]), tf.constant([12.0])]  # lengths 5 and 12, together 13
    print(
        "by value ", tf.clip_by_value(gradients[0], -3.5, 3.5).numpy(), clip_by_value(gradients, -3.5, 3.5)[0].numpy()
    )
    print("by norm  ", tf.clip_by_norm(gradients[0], 1.0).numpy(), clip_by_norm(gradients[0], 1.0).numpy())
    for clip in (tf.clip_by_global_norm, clip_by_global_norm):
        clipped, norm = clip(gradients, 1.0)
        print("together ", [tensor.numpy() for tensor in clipped], "norm before:", float(norm))

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, global_clipnorm=1.0), "mse")  # Keras clips by itself, if asked
    history = model.fit(np.eye(4), np.full((4, 1), 1e6), epochs=1, verbose=0)
    print("a step with targets of a million moves the bias by", float(model.layers[0].bias[0]), history.history)


def lesson(
    report,
    *,
    steps: int = 150,
    seeds: int = 5,
    sequence_length: int = 100,
    units: int = 32,
    learning_rate: float = 0.3,
    bounds: tuple[float, ...] = (1.0, 0.1, 5.0, 20.0),
    seed: int = 0,
):
    """Compare the three ways to clip, then train a recurrent network that needs one of them.

    Args:
        report: The report to write to.
        steps: Training steps of each run (1 to 100000).
        seeds: Independent runs for each clipping bound (1 to 100).
        sequence_length: Steps in time of each sequence (16 to 1000).
        units: Size of the hidden state (2 to 1024).
        learning_rate: Learning rate of plain gradient descent (0.000001 to 100).
        bounds: Clipping bounds to compare; the first one is checked (0.000001 to 1000000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _three_ways(report, np.random.default_rng(seed))
    _fading(report, sequence_length, units, seed)

    runs = _train_all(
        report, (*bounds, math.inf), range(seed, seed + seeds), steps, sequence_length, units, learning_rate
    )
    final = runs[:, :, -10:].mean(axis=2)  # (bounds, seeds)
    constant = 1 - DELAY / sequence_length  # error of the best constant answer: the first targets are 0, the others ±1
    report.check("before training, every bound starts alike", got=runs[:-1, :, 0], want=runs[[-1] * len(bounds), :, 0])
    learnt = "clipped at the first bound, every run ends below half of a constant answer's error"
    report.at_most(learnt, final[0], constant / 2, trained=True)
    growth = np.nan_to_num(final[-1] / runs[-1, :, 0], nan=1e30, posinf=1e30)
    report.at_least("without clipping, final error over first error, every run", growth, 1.0, trained=True)
    names = [*(f"{bound:g}" for bound in bounds), "none"]
    summary = [
        [name, *(value if np.isfinite(value) else "overflow" for value in plots.mean_and_error(row)),
         int(np.sum(row < constant / 2))]
        for name, row in zip(names, final, strict=True)
    ]  # fmt: skip
    report.table(
        f"mean squared error after {steps} steps from spectral radius 1.5 (a constant answer has {constant:.2f})",
        ["clipping bound", "mean", "standard error", f"runs of {seeds} that learnt"],
        sorted(summary, key=lambda row: float(row[0].replace("none", "inf"))),
    )
    report.figure(
        "Clipping by global norm keeps the direction and the run",
        _figure(runs, names),
        alt="Left: a gradient (1, 8); clipped by value it turns to the right, clipped by global norm it keeps its "
        "direction. Right: the error of each unclipped run explodes while each clipped run falls far below 1.",
    )


def _three_ways(report, rng):
    gradients = [tf.constant([3.0, 4.0]), tf.constant([12.0])]
    clipped, norm = clip_by_global_norm(gradients, 6.5)
    report.check("gradients (3, 4) and (12) have global norm 13", got=norm, want=13.0)
    report.check("clipped at 6.5, all are halved", got=clipped, want=[[1.5, 2.0], [6.0]])
    kept = cosine(gradients, clipped)
    report.check("by global norm, the cosine with the gradient is 1", got=kept, want=1.0)
    turned = 85 / (13 * math.sqrt(50))  # both give (3, 4, 5) for (3, 4, 12)
    report.check("by value, it is below 1", got=cosine(gradients, clip_by_value(gradients, -5, 5)), want=turned)
    report.check("by norm, too", got=cosine(gradients, [clip_by_norm(g, 5) for g in gradients]), want=turned)
    zeros = [tf.zeros(3), tf.zeros((2, 2))]
    report.check("zero gradients stay zero", got=clip_by_global_norm(zeros, 1.0)[0], want=zeros)

    gradients = [tf.constant(rng.normal(size=shape), tf.float32) for shape in ((5, 3), (3,), (2, 2, 2))]
    ours = {
        "clipvalue": clip_by_value(gradients, -0.7, 0.7),
        "clipnorm": [clip_by_norm(gradient, 0.7) for gradient in gradients],
        "global_clipnorm": clip_by_global_norm(gradients, 0.7)[0],
    }
    tensorflow = {
        "clipvalue": [tf.clip_by_value(gradient, -0.7, 0.7) for gradient in gradients],
        "clipnorm": [tf.clip_by_norm(gradient, 0.7) for gradient in gradients],
        "global_clipnorm": tf.clip_by_global_norm(gradients, 0.7)[0],
    }
    report.check("the three functions equal tf.clip_by_value, clip_by_norm, clip_by_global_norm", ours, tensorflow)
    for argument, clipped in ours.items():
        weights = [keras.Variable(tf.zeros_like(gradient)) for gradient in gradients]
        keras.optimizers.SGD(learning_rate=1.0, **{argument: 0.7}).apply(gradients, weights)
        moved = [-weight.numpy() for weight in weights]
        report.check(f"a step of SGD(learning_rate=1, {argument}=0.7) is our clipped gradient", got=moved, want=clipped)


def _start(seed, units, radius):
    """Weights of one network; the recurrent matrix is orthogonal times `radius`, which is its spectral radius."""
    rng = np.random.default_rng(seed)
    w_h = radius * np.linalg.qr(rng.normal(size=(units, units)))[0]
    w_x, w_o = rng.normal(size=(1, units)), rng.normal(size=(units, 1)) / math.sqrt(units)
    return [tf.constant(w, tf.float32) for w in (w_x, w_h, np.zeros((1, units)), w_o, np.zeros((1, 1)))]


def _sequences(rng, batch_size, sequence_length):
    """Random signs, and the same signs `DELAY` steps later: `(x, y)`, each (steps, batch, 1)."""
    x = rng.choice(np.float32([-1, 1]), size=(sequence_length, batch_size, 1))
    return x, np.concatenate([np.zeros_like(x[:DELAY]), x[:-DELAY]])


def _train_all(report, bounds, seeds, steps, sequence_length, units, learning_rate, batch_size=32):
    """Train one network for every bound and seed, all of them at once. Returns losses (bounds, seeds, steps)."""
    starts = [_start(seed, units, radius=1.5) for seed in seeds]
    weights = [tf.stack(group * len(bounds)) for group in zip(*starts, strict=True)]
    limits = np.repeat([1e30 if math.isinf(bound) else bound for bound in bounds], len(seeds))

    def losses_of(weights, x, y):  # x, y: (steps, runs, batch, 1)
        w_x, w_h, b, w_o, b_o = weights
        inputs = x @ w_x + b  # (steps, runs, batch, units)
        h, states = tf.zeros(inputs.shape[1:]), tf.TensorArray(tf.float32, sequence_length)
        for t in tf.range(sequence_length):
            h = tf.tanh(inputs[t] + h @ w_h)  # (runs, batch, units)
            states = states.write(t, h)
        return tf.reduce_mean(tf.square(states.stack() @ w_o + b_o - y), axis=(0, 2, 3))  # (runs,)

    @tf.function(jit_compile=True)
    def train_step(weights, x, y):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            losses = losses_of(weights, tf.tile(x, (1, len(bounds), 1, 1)), tf.tile(y, (1, len(bounds), 1, 1)))
        gradients = tape.gradient(losses, weights)  # a run's loss depends on that run's weights only
        clipped = [clip_by_global_norm([g[run] for g in gradients], limit)[0] for run, limit in enumerate(limits)]
        moves = [learning_rate * tf.stack(group) for group in zip(*clipped, strict=True)]
        return [weight - move for weight, move in zip(weights, moves, strict=True)], losses

    rngs, history = [np.random.default_rng((seed, 1)) for seed in seeds], []
    for _ in report.track(range(steps), "training"):
        batches = [_sequences(rng, batch_size, sequence_length) for rng in rngs]
        x, y = (tf.constant(np.stack(group, axis=1)) for group in zip(*batches, strict=True))
        weights, losses = train_step(weights, x, y)
        history.append(losses.numpy())
    return np.stack(history, axis=-1).reshape(len(bounds), len(seeds), steps)


def _fading(report, sequence_length, units, seed):
    """Remedies for gradients that fade (spectral radius 0.8): what arrives of the last step's gradient far back?"""
    far = sequence_length // 8 * 4
    w_x, w_h, b, w_o, b_o = _start(seed, units, radius=0.8)
    x, y = _sequences(np.random.default_rng((seed, 2)), 32, sequence_length // 4 * 4)

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


def _figure(runs, names):
    figure, (left, right) = plots.subplots(1, 2, figsize=(10, 4.2))
    gradient = tf.constant([1.0, 8.0])
    arrows = {
        "gradient": gradient,
        "by value": clip_by_value([gradient], -4, 4)[0],
        "by global norm": clip_by_global_norm([gradient], 4.0)[0][0],
    }
    for color, (name, (x, y)) in zip(("C2", "C1", "C0"), arrows.items(), strict=True):
        left.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 2.5})
        left.plot([], [], color=color, label=name)
    left.set(xlim=(-1, 3), ylim=(0, 8.5), xlabel="gradient of weight 1", ylabel="gradient of weight 2")
    left.set_title("Only the global norm\nkeeps the direction")
    left.legend(loc="upper right")
    for color, row, name in (("C1", runs[-1], "no clipping"), ("C0", runs[0], f"global norm at most {names[0]}")):
        for number, run in enumerate(row):
            right.plot(run, color=color, linewidth=1.2, label=name if number == 0 else None)
    right.set(yscale="log", xlabel="training step", ylabel="mean squared error")
    right.set_title(f"Spectral radius 1.5,\n{runs.shape[1]} seeds each")
    right.legend()
    return figure

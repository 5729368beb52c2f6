"""Clipping by global norm shortens the step and keeps its direction.

Exploding gradients throw the weights of a recurrent network far away in a single step. Three ways to limit the step are
built here and compared with TensorFlow and Keras: limiting every number, the length of every tensor, or the length of
all tensors together. What the reader should see: only the last one keeps the direction, and a network whose recurrent
matrix has spectral radius 1.5 (it stretches by 1.5 at each step) diverges unclipped and learns with a small bound. The
gradient of an embedding comes in slices, one for every word read; TensorFlow measures each by itself.

Notes: chapter 08, "Gradient clipping" (梯度裁剪).
Source: Pascanu et al. 2013, arXiv:1211.5063, Algorithm 1; https://www.tensorflow.org/api_docs/python/tf/clip_by_global_norm
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter08.fading_gradients import delayed_signs, start_weights
from kerasnotes.parts import floating

SMOKE = {"steps": 2, "seeds": 1, "sequence_length": 16, "units": 4, "bounds": (1.0, 5.0)}
SECONDS = 14

DELAY = 3  # the network has to repeat its input of three steps ago


def clip_by_value(tensors, low, high):
    """Limit every number to [low, high], each for itself. This can turn the gradient into another direction.

    Args:
        tensors: A gradient as `clip_by_global_norm` takes it.
        low, high: The bounds, low at most high; for slices 0 lies between them, since rows without a slice stay 0.

    Returns:
        List of the same kinds and shapes.

    Raises:
        ValueError: If a bound is NaN, low is above high, or 0 lies outside where there are slices.
    """
    # Compiled code may not know its bounds yet; then they cannot be looked at.
    known, sparse = not any(map(tf.is_symbolic_tensor, (low, high))), any(hasattr(g, "indices") for g in tensors)
    if known and not (low <= 0 <= high if sparse else low <= high):
        raise ValueError(f"low, high: expected low <= high, for slices with 0 between, got {low!r} and {high!r}")
    return [_each(lambda x: tf.minimum(tf.maximum(x, low), high), tensor) for tensor in tensors]


def clip_by_norm(tensor, clip_norm):
    """Shorten one tensor to the length `clip_norm` if it is longer.

    Several tensors that are clipped one by one change their lengths relative to each other, and so the direction of
    the whole gradient.

    Args, Returns, Raises: As for `clip_by_global_norm`, but for one tensor, and without the norm; None stays None.
    """
    if tensor is None:
        return None
    return clip_by_global_norm([tensor], clip_norm)[0][0]


def clip_by_global_norm(tensors, clip_norm):
    """Shorten all tensors by one common factor if their joint length exceeds `clip_norm`.

    The joint length is the norm of all numbers together: for (3, 4) and (12) it is √(9 + 16 + 144) = 13. In
    compiled code a norm that is not finite raises `tf.errors.InvalidArgumentError`, or stays NaN under XLA.

    The gradient of an embedding comes as `tf.IndexedSlices`, with two slices for a word that was read twice. The word's
    row of the gradient is their sum, so slices of one row are added up here before anything is measured. TensorFlow's
    three functions take each slice for itself: for two slices (1, 1, 1) of one row the gradient has norm √12,
    `tf.clip_by_global_norm` says √6, and what it clips at 1 is still √2 long.

    Args:
        tensors: List of a tensor for each weight, of any shape; `tf.IndexedSlices` stay sparse; None, the gradient of a
            weight that the loss does not use, stays None.
        clip_norm: Largest global norm allowed, positive; infinity leaves everything as it is.

    Returns:
        `(clipped, norm)`: the list of tensors, and the global norm before clipping, a scalar: float64 if a tensor is,
        else float32, since half precision holds no norm above 65504 and no square of 300.

    Raises:
        ValueError: If `clip_norm` is not positive, if there is no tensor, or if the global norm is not finite.

    Source: Pascanu et al. 2013, arXiv:1211.5063, Algorithm 1.
    """
    if not tf.is_symbolic_tensor(clip_norm) and not clip_norm > 0:
        raise ValueError(f"clip_norm: expected a positive number, got {clip_norm!r}")
    # Measure: slices of one row become their sum first, once and for all.
    tensors = [_each(tf.identity, tensor) for tensor in tensors]
    norm = _global_norm([getattr(tensor, "values", tensor) for tensor in tensors if tensor is not None])
    # Refuse a norm that is not finite. Compiled code has no number yet, so there the test becomes a part of it.
    if tf.executing_eagerly():
        if not math.isfinite(norm):
            raise ValueError(f"tensors: expected a finite global norm, got {norm.numpy()}; leave out this step")
    else:
        norm = tf.debugging.check_numerics(norm, "tensors: expected a finite global norm")
    # Shorten, in the precision of the norm: half precision would lose a small factor.
    clip_norm = tf.minimum(tf.cast(clip_norm, norm.dtype), norm.dtype.max)  # infinity over infinity would be NaN
    scale = clip_norm / tf.maximum(norm, clip_norm)  # exactly 1 where nothing is to be clipped
    return [_each(lambda x: tf.cast(tf.cast(x, norm.dtype) * scale, x.dtype), tensor) for tensor in tensors], norm


def _global_norm(tensors):
    if not tensors:
        raise ValueError("tensors: expected at least one tensor that is not None, got none")
    dtype = tf.float64 if any(tensor.dtype == tf.float64 for tensor in tensors) else tf.float32
    tensors = [tf.cast(tensor, dtype) for tensor in tensors]
    # The square of a very large number leaves the range of its type, so such gradients are measured in another unit:
    # a largest number from max^0.4 to max becomes max^-0.3 to max^0.3, whose square is far inside the range.
    largest = tf.reduce_max(tf.stack([tf.reduce_max(tf.abs(tensor)) for tensor in tensors]))
    unit = tf.where(largest > dtype.max**0.4, tf.cast(dtype.max**-0.7, dtype), tf.cast(1.0, dtype))
    return tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(tensor * unit)) for tensor in tensors])) / unit


def _each(function, tensor):
    """Apply a function to a gradient's numbers; slices of one row are added up first, None stays None."""
    if not isinstance(tensor, tf.IndexedSlices):
        return None if tensor is None else function(floating("tensors", tensor))
    rows, place = tf.unique(tensor.indices)  # (rows,), and for each slice its place among them (slices,)
    summed = tf.math.unsorted_segment_sum(tensor.values, place, tf.size(rows))  # (rows, …)
    return tf.IndexedSlices(function(summed), rows, tensor.dense_shape)


def cosine(tensors, others):
    """Cosine of the angle between two gradients, each a list of tensors, taken as one long vector.

    Raises: ValueError: If one of them has length zero.
    """
    a, b = (np.concatenate([np.ravel(tensor) for tensor in group]).astype(np.float64) for group in (tensors, others))
    if not (np.any(a) and np.any(b)):
        raise ValueError("tensors, others: expected gradients that are not zero, got a zero gradient")
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def example():
    """A gradient of two tensors, clipped by TensorFlow and by the functions above; then Keras clips in `fit`."""
    first, second = tf.constant([3.0, 4.0]), tf.constant([12.0])  # lengths 5 and 12, together 13
    print("by value ", tf.clip_by_value(first, -3.5, 3.5).numpy(), clip_by_value([first], -3.5, 3.5)[0].numpy())
    print("by norm  ", tf.clip_by_norm(first, 1.0).numpy(), clip_by_norm(first, 1.0).numpy())
    for clipped, norm in (tf.clip_by_global_norm([first, second], 1.0), clip_by_global_norm([first, second], 1.0)):
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
    _slices(report)
    runs = _train_all(
        report, (*bounds, math.inf), range(seed, seed + seeds), steps, sequence_length, units, learning_rate
    )
    final = runs[:, :, -10:].mean(axis=2)  # (bounds, seeds); a single step's error jumps about
    constant = 1 - DELAY / sequence_length  # error of the best constant answer: the first targets are 0, the others ±1
    report.check("before training, every bound starts alike", got=runs[:-1, :, 0], want=runs[[-1] * len(bounds), :, 0])
    learnt = "clipped at the first bound, every run ends below half of a constant answer's error"
    report.at_most(learnt, final[0], constant / 2, trained=True)
    growth = np.nan_to_num(final[-1] / runs[-1, :, 0], nan=1e30, posinf=1e30)  # overflow: very large
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
    report.check("by global norm, the cosine with the gradient is 1", got=cosine(gradients, clipped), want=1.0)
    turned = 85 / (13 * math.sqrt(50))  # (3, 4, 12) becomes (3, 4, 5) either way: 85 = 3·3 + 4·4 + 12·5, by the lengths
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


def _slices(report):
    """The gradient of an embedding (5, 3) that read word 0 twice: two slices of ones, both for row 0."""
    slices = tf.IndexedSlices(tf.ones((2, 3)), tf.constant([0, 0]), tf.constant([5, 3]))  # values, rows, whole shape
    (ours,), norm = clip_by_global_norm([slices], 1.0)
    (theirs,), their_norm = tf.clip_by_global_norm([slices], 1.0)
    report.check("two slices (1, 1, 1) of one row are (2, 2, 2): norm √12", got=norm, want=math.sqrt(12))
    report.check("tf.clip_by_global_norm takes each slice for itself: √6", got=their_norm, want=math.sqrt(6))
    lengths = [tf.norm(tf.convert_to_tensor(clipped)) for clipped in (ours, theirs)]
    report.check("clipped at 1, ours is 1 long, TensorFlow's √2", got=lengths, want=[1.0, math.sqrt(2)])


def _train_all(report, bounds, seeds, steps, sequence_length, units, learning_rate, batch_size=32):
    """Train one network for every bound and seed, all of them at once. Returns losses (bounds, seeds, steps)."""
    starts = [start_weights(seed, units, radius=1.5) for seed in seeds]
    weights = [tf.stack(group * len(bounds)) for group in zip(*starts, strict=True)]  # (runs, …, …), bound after bound
    limits = np.repeat([1e30 if math.isinf(bound) else bound for bound in bounds], len(seeds))  # (runs,)

    def losses_of(weights, x, y):  # x, y: (time, runs, batch, 1)
        w_x, w_h, b, w_o, b_o = weights
        inputs = x @ w_x + b  # (time, runs, batch, units)
        h, states = tf.zeros(inputs.shape[1:]), tf.TensorArray(tf.float32, sequence_length)
        for t in tf.range(sequence_length):
            h = tf.tanh(inputs[t] + h @ w_h)  # (runs, batch, units)
            states = states.write(t, h)
        return tf.reduce_mean(tf.square(states.stack() @ w_o + b_o - y), axis=(0, 2, 3))  # (runs,)

    @tf.function(jit_compile=True)
    def train_step(weights, x, y):
        # Every bound meets the same sequences: those of the seed.
        with tf.GradientTape() as tape:
            tape.watch(weights)
            losses = losses_of(weights, tf.tile(x, (1, len(bounds), 1, 1)), tf.tile(y, (1, len(bounds), 1, 1)))
        gradients = tape.gradient(losses, weights)  # a run's loss depends on that run's weights only
        # Clip each run by its own bound, then take one step of plain descent.
        clipped = [clip_by_global_norm([g[run] for g in gradients], limit)[0] for run, limit in enumerate(limits)]
        moves = [learning_rate * tf.stack(group) for group in zip(*clipped, strict=True)]
        return [weight - move for weight, move in zip(weights, moves, strict=True)], losses

    rngs, history = [np.random.default_rng((seed, 1)) for seed in seeds], []
    for _ in report.track(range(steps), "training"):
        batches = [delayed_signs(rng, batch_size, sequence_length, DELAY) for rng in rngs]
        x, y = (tf.constant(np.stack(group, axis=1)) for group in zip(*batches, strict=True))  # (time, seeds, batch, 1)
        weights, losses = train_step(weights, x, y)
        history.append(losses.numpy())
    return np.stack(history, axis=-1).reshape(len(bounds), len(seeds), steps)


def _figure(runs, names):
    figure, (left, right) = plots.subplots(1, 2, figsize=(10, 4.2))
    gradient = tf.constant([1.0, 8.0])
    for color, name, (x, y) in (
        ("C2", "gradient", gradient),
        ("C1", "by value", clip_by_value([gradient], -4, 4)[0]),
        ("C0", "by global norm", clip_by_norm(gradient, 4.0)),  # of a single tensor the same
    ):
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

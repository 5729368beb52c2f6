"""Batch normalization lets deep sigmoid layers learn, and makes each example depend on its batch.

A layer of our own agrees with Keras's in training, in its moving averages and in inference, frozen and with masks. A
network of six sigmoid layers that stays at chance at three learning rates then learns in a few hundred updates. The
price: an example's output depends on its batch, small batches teach the network little, and a single example in
training mode comes out as beta, whatever it is.

Notes: chapter 06, "Batch normalization" (批归一化).
Source: Ioffe and Szegedy 2015, arXiv:1502.03167, Algorithm 1 and section 4.1;
https://keras.io/api/layers/normalization_layers/batch_normalization
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter06.normalization_gradient import batch_norm_gradient, batch_norm_jacobian  # noqa: F401
from kerasnotes.parts import positive, share

SMOKE = {"images": 96, "test_images": 10, "depth": 1, "units": 8, "updates": 3, "batch_sizes": (2, 32), "seeds": 1}
SECONDS = 17

RATES = (0.5, 0.1, 2.0)  # learning rates of the network without normalization; with it, the first
BATCH_SIZE = 60  # as in the paper's section 4.1
PLACES = ("none", "before the activation", "after the activation")


@keras.saving.register_keras_serializable("kerasnotes")
class BatchNorm(keras.layers.Layer):
    """Normalize each channel to mean 0 and variance 1 over the batch, then scale by gamma and move by beta.

    In training the batch's own mean and variance are taken, and moving averages of them are kept; in inference these
    averages, and also in training once `trainable` is False. Takes and returns tensors of rank 2 or more, with channels
    on `axis`. Places that a mask leaves out do not count in mean and variance.

    Args:
        axis: The axis of the channels, not the batch's.
        momentum: What the moving averages keep at each batch, from 0 to 1.
        epsilon: Positive number added to the variance.

    Raises:
        ValueError: If an argument is out of range, the axis does not exist, or a batch in training is empty.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, Algorithms 1 and 2, but the moving average as in Keras, over the
    batch's own variance, not the unbiased estimate of the paper.
    """

    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool) or axis == 0:
            raise ValueError(f"axis: expected an integer other than 0, the batch's axis, got {axis!r}")
        self.axis, self.momentum, self.epsilon = int(axis), share("momentum", momentum), positive("epsilon", epsilon)
        self.supports_masking = True

    def build(self, input_shape):
        rank = len(input_shape)
        if rank < 2 or not -rank < self.axis < rank:
            raise ValueError(f"axis: expected one of {tuple(input_shape)} behind the batch's, got {self.axis}")
        channels = input_shape[self.axis]
        if not channels:
            raise ValueError(f"x: expected a known, positive number of channels, got the shape {tuple(input_shape)}")
        self.gamma = self.add_weight(shape=(channels,), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(channels,), initializer="zeros", name="beta")
        moving = {"shape": (channels,), "trainable": False}
        self.moving_mean = self.add_weight(initializer="zeros", name="moving_mean", **moving)
        self.moving_variance = self.add_weight(initializer="ones", name="moving_variance", **moving)

    def call(self, x, training=False, mask=None):
        kind = x.dtype  # half precision is too coarse for sums: those are done in float32, as in Keras
        x = tf.cast(x, tf.float32) if kind in (tf.float16, tf.bfloat16) else x
        gamma, beta, mean, variance = (
            tf.cast(weight, x.dtype) for weight in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        channel_axis = self.axis % len(x.shape)
        if training and self.trainable:  # a frozen layer keeps its averages and uses them, as in Keras
            averages = mean, variance
            mean, variance = self._moments(x, [axis for axis in range(len(x.shape)) if axis != channel_axis], mask)
            for moving, old, new in zip((self.moving_mean, self.moving_variance), averages, (mean, variance)):  # noqa: B905
                moving.assign(self.momentum * old + (1 - self.momentum) * new)
        scale = gamma / tf.sqrt(variance + self.epsilon)
        shape = [-1 if axis == channel_axis else 1 for axis in range(len(x.shape))]
        y = (x - tf.reshape(mean, shape)) * tf.reshape(scale, shape) + tf.reshape(beta, shape)
        return tf.cast(y, kind)

    def _moments(self, x, axes, mask):
        """Mean and variance (channels,) over the axes, of what the mask (batch, ...) leaves."""
        if 0 in x.shape:
            raise ValueError(f"x: expected at least one example and one place, got the shape {tuple(x.shape)}")
        if mask is None:
            return tf.reduce_mean(x, axes), tf.math.reduce_variance(x, axes)
        kept = tf.broadcast_to(tf.cast(mask, x.dtype)[..., None], tf.shape(x))
        count = tf.reduce_sum(kept, axes, keepdims=True) + keras.config.epsilon()
        mean = tf.reduce_sum(kept * x, axes, keepdims=True) / count
        variance = tf.reduce_sum(kept * tf.square(x - mean), axes, keepdims=True) / count
        return tf.reshape(mean, (-1,)), tf.reshape(variance, (-1,))

    def get_config(self):
        return {**super().get_config(), "axis": self.axis, "momentum": self.momentum, "epsilon": self.epsilon}


def example():
    """Keras's layer and ours on the same batches: in training, in inference, and frozen."""
    x = np.float32([[1, 10], [3, 30], [5, 50]])  # (batch, channels)
    theirs, ours = keras.layers.BatchNormalization(axis=-1, momentum=0.9, epsilon=1e-3), BatchNorm(momentum=0.9)
    for name, layer in (("BatchNormalization", theirs), ("BatchNorm", ours)):
        print(f"{name}: in training {np.round(layer(x, training=True)[:, 0], 3)}, whatever the channel's scale")
        print("  averages kept:", np.round(layer.moving_mean, 3), np.round(layer.moving_variance, 3))
        print("  in inference they are used:", np.round(layer(x, training=False)[:, 0], 3))
        layer.trainable = False
        print("  frozen, in training too:   ", np.round(layer(x, training=True)[:, 0], 3))


def lesson(
    report,
    *,
    images: int = 10000,
    test_images: int = 2000,
    depth: int = 6,
    units: int = 100,
    updates: int = 400,
    batch_sizes: tuple[int, ...] = (2, 8, 32, 128, 512),
    seeds: int = 3,
    seed: int = 0,
):
    """Our layer beside Keras's, then a deep sigmoid network with and without it.

    Args:
        report: The report to write to.
        images: Training digits (60 to 60000).
        test_images: Test digits (10 to 10000).
        depth: Hidden layers (1 to 100).
        units: Sigmoid units in each (1 to 4096).
        updates: Updates of each run, whatever the batch size (1 to 100000).
        batch_sizes: Batch sizes to compare, in rising order (1 to 60000).
        seeds: Runs of each kind (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _against_keras(report, rng)
    _batch_of_one(report, rng)
    (x, y), (x_test, y_test) = data.mnist()
    chosen, chosen_test = rng.permutation(len(x))[:images], rng.permutation(len(x_test))[:test_images]
    x, x_test = (np.float32(p.reshape(len(p), -1)) / 255 for p in (x[chosen], x_test[chosen_test]))
    digits = x, np.int32(y[chosen]), x_test, np.int32(y_test[chosen_test])
    _train_all(report, digits, depth, units, updates, batch_sizes, seeds, seed)


def _against_keras(report, rng):
    for name, shape, axis in (
        ("rows, last axis", (32, 5), -1),
        ("pictures, last axis", (8, 6, 5, 3), -1),
        ("pictures, axis 1", (8, 3, 6, 5), 1),
    ):
        ours = BatchNorm(axis, momentum=0.9, epsilon=0.01)
        theirs = keras.layers.BatchNormalization(axis=axis, momentum=0.9, epsilon=0.01)
        channels, seen = shape[axis], []
        start = [rng.normal(size=channels) for _ in range(3)] + [rng.uniform(1, 2, channels)]
        batches = tf.constant(rng.normal(2, 3, size=(20, *shape)), tf.float32)
        dy = tf.constant(rng.normal(size=shape), tf.float32)
        for layer in (ours, theirs):
            layer.build(shape)
            layer.set_weights(start)
            with tf.GradientTape() as tape:
                tape.watch(batches)
                outputs = tf.stack([layer(batch, training=True) for batch in batches])
                loss = tf.reduce_sum(outputs[-1] * dy)
            slopes = tape.gradient(loss, [batches, *layer.trainable_variables])
            slopes[0] = slopes[0][-1]
            seen.append((outputs, slopes, layer.get_weights()[2:], layer(batches[0], training=False)))
        names = (
            "training outputs equal",
            "gradients equal",
            "moving averages after 20 batches equal",
            "inference equals",
        )
        for what, mine, other in zip(names, *seen, strict=True):
            report.check(f"{name}: {what} keras.layers.BatchNormalization", mine, other, atol=2e-5)
        if axis == -1:
            ours_by_hand = batch_norm_gradient(batches[-1], start[0], dy, 0.01)
            report.check(f"{name}: batch_norm_gradient equals the tape's", ours_by_hand, seen[1][1], atol=2e-5)


def _batch_of_one(report, rng):
    layer = BatchNorm()
    layer.build((None, 4))
    beta = rng.normal(size=4)
    layer.set_weights([rng.normal(size=4), beta, np.zeros(4), np.ones(4)])
    outputs = np.concatenate([layer(np.float32(rng.normal(size=(1, 4))), training=True) for _ in range(5)])
    report.check("a batch of one, in training mode: the output is beta, whatever the input", outputs, [beta] * 5)


def _network(place, depth, units, seed):
    seeds = np.random.default_rng((seed, 1)).integers(2**31, size=depth + 1).tolist()
    model = keras.Sequential([keras.Input((784,))])
    for layer_seed in seeds[:-1]:
        model.add(keras.layers.Dense(units, kernel_initializer=keras.initializers.GlorotUniform(layer_seed)))
        for kind in {PLACES[0]: "s", PLACES[1]: "ns", PLACES[2]: "sn"}[place]:
            model.add(keras.layers.Activation("sigmoid") if kind == "s" else BatchNorm(momentum=0.9))
    model.add(keras.layers.Dense(10, kernel_initializer=keras.initializers.GlorotUniform(seeds[-1])))
    return model


def _trainer(model, x, y):
    """Gradient descent as one compiled loop: `(rows (updates, batch), learning rate) -> losses (updates,)`."""
    weights, x, y = [variable.value for variable in model.trainable_variables], tf.constant(x), tf.constant(y)

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((), tf.float32)])
    def train(rows, learning_rate):
        losses = tf.TensorArray(tf.float32, tf.shape(rows)[0])
        for number in tf.range(tf.shape(rows)[0]):
            with tf.GradientTape() as tape:
                logits = model(tf.gather(x, rows[number]), training=True)
                labels = tf.gather(y, rows[number])
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
            for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
                weight.assign_sub(learning_rate * gradient)
            losses = losses.write(number, loss)
        return losses.stack()

    return train


def _accuracy(model, x, y, training=False):
    return float(100 * np.mean(np.argmax(model(x, training=training), axis=1) == y))


def _train_all(report, digits, depth, units, updates, batch_sizes, seeds, seed):
    x, y, x_test, y_test = digits

    def runner(place, depth):
        """A model, compiled once for all seeds, batch sizes and rates, and the function that trains it anew."""
        model = _network(place, depth, units, seed)
        trainer = _trainer(model, x, y)
        starts = [model.get_weights()]
        starts += [_network(place, depth, units, seed + number).get_weights() for number in range(1, seeds)]

        def run(number, batch_size, learning_rate):
            model.set_weights(starts[number])
            rows = np.random.default_rng((seed + number, 2)).integers(len(x), size=(updates, batch_size))
            losses = trainer(tf.constant(rows, tf.int32), learning_rate).numpy()
            return losses, _accuracy(model, x_test, y_test)

        return model, run

    plain, before, after = (runner(place, depth) for place in PLACES)
    kinds = [(PLACES[0], plain, rate) for rate in RATES]
    kinds += [(PLACES[1], before, RATES[0]), (PLACES[2], after, RATES[0])]
    results = []  # one list of (losses, accuracy) for each kind
    for _, (_, run), rate in report.track(kinds, "with and without"):
        results.append([run(number, BATCH_SIZE, rate) for number in range(seeds)])
    _modes(report, before[0], x_test, y_test)
    accuracy = np.array([[run[1] for run in runs] for runs in results])  # (kinds, seeds)
    title = f"test accuracy, %, of {depth} sigmoid layers"
    report.at_most(f"{title} without normalization, every rate and seed", accuracy[:3], 20, trained=True)
    report.at_least(f"{title} with it, at either place, every seed", accuracy[3:], 85, trained=True)
    report.table(
        f"{title} after {updates} updates of {BATCH_SIZE} digits, {seeds} seeds",
        ["normalization", "learning rate", "mean", "standard error"],
        [[name, rate, *plots.mean_and_error(row)] for (name, _, rate), row in zip(kinds, accuracy, strict=True)],
    )

    shallow, sizes = runner(PLACES[0], 1)[1], np.zeros((3, seeds, len(batch_sizes)))
    for column, batch_size in enumerate(report.track(batch_sizes, "batch sizes")):
        for number in range(seeds):
            sizes[0, number, column] = before[1](number, batch_size, RATES[0])[1]
            sizes[1, number, column] = _accuracy(before[0], x_test, y_test, training=True)
            sizes[2, number, column] = shallow(number, batch_size, RATES[0])[1]
    gap = sizes[0, :, -1] - sizes[0, :, 0]
    report.at_least("largest batch over smallest: points of accuracy, every seed", gap, 10, trained=True)
    means, errors = plots.mean_and_error(np.swapaxes(sizes, 0, 1))  # (3, sizes)
    report.table(
        f"test accuracy, %, by batch size, all after {updates} updates, {seeds} seeds",
        ["batch size", "normalized", "standard error", "by the test batch's statistics", "one layer, not normalized"],
        list(zip(batch_sizes, means[0], errors[0], means[1], means[2], strict=True)),
    )
    report.note(
        "Equal updates at one learning rate, so that a batch of 512 sees 256 times as many digits as one of 2; the "
        "last column tells how much noisier steps alone do to a network. The statistics of the whole test batch do "
        "about as well as the moving averages, so that it is training that small batches spoil: of two examples, a "
        "unit passes on little more than which one is larger."
    )
    report.note(
        "Plain gradient descent from Glorot's start. Ioffe and Szegedy have three such layers, small Gaussian weights "
        "and 50,000 updates, and their network learns without normalization, too, only later."
    )
    shown = zip(PLACES, (results[0], *results[3:]), strict=True)
    losses = {name: np.array([run[0] for run in runs]) for name, runs in shown}  # (seeds, updates)
    report.figure(
        "Batch normalization starts a deep sigmoid network",
        _figure(losses, sizes, batch_sizes, depth),
        alt="Left: the training loss stays at ln 10 without normalization and falls with it, at either place. Right: "
        "test accuracy rises with the batch size, from near chance at 2, while one layer without it is less affected.",
    )


def _modes(report, model, x_test, y_test, singles=50):
    """What a trained network answers in the wrong mode."""
    rows = [("inference: moving averages", _accuracy(model, x_test, y_test))]
    rows.append(("training mode, all digits at once", _accuracy(model, x_test, y_test, training=True)))
    outputs = np.concatenate([model(digit[None], training=True) for digit in x_test[:singles]])
    same = np.tile(outputs[:1], (len(outputs), 1))
    report.check("training mode, digits one by one: every digit has the same logits", outputs, same, atol=1e-5)
    right = 100 * np.mean(outputs.argmax(1) == y_test[:singles])
    rows.append((f"training mode, {len(outputs)} digits one by one", right))
    rows.append(("inference after that", _accuracy(model, x_test, y_test)))
    report.table("one trained network in several modes", ["mode", "test accuracy, %"], rows)


def _figure(losses, sizes, batch_sizes, depth):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4))
    updates = next(iter(losses.values())).shape[1]
    block = max(1, updates // 40)
    count = updates // block
    smooth = {name: runs[:, : count * block].reshape(len(runs), -1, block).mean(2) for name, runs in losses.items()}
    positions = (np.arange(count) + 0.5) * block
    title = f"{depth} sigmoid layers, by place\nof the normalization"
    plots.curves(positions, smooth, xlabel="update", ylabel="training loss, nats", title=title, ax=left)
    left.set_ylim(0, 2.6)
    series = {f"{depth} layers, normalized": sizes[0], "one layer, not normalized": sizes[2]}
    labels = {"xlabel": "batch size", "ylabel": "test accuracy, %", "xscale": "log", "marker": "o"}
    plots.curves(batch_sizes, series, title="Small batches spoil it", ax=right, **labels)
    right.set_xticks(batch_sizes, [str(size) for size in batch_sizes])
    right.minorticks_off()
    right.set_ylim(0, 102)
    return figure

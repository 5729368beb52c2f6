"""A network may weigh its channels, its places, or both; no such weight is a matrix between places.

A picture has no words to weigh, but it has places and channels. What the reader should see: channel attention gives one
number for each channel and does not care where anything is; spatial attention gives one for each place and does not
care in which channel; the weights of either on a picture, set by hand so that one can follow them; and, at full scale,
both on pictures of clothing, beside a rival that spends as many parameters on further filters.

Notes: chapter 13, "Attention in pictures" (空间注意力与通道注意力).
Source: Hu et al. 2018, arXiv:1709.01507 (squeeze and excitation); Woo et al. 2018, arXiv:1807.06521 (places, and both).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.parts import layer_seeds, whole

SMOKE = {"images": 64, "networks": 2, "seeds": 1}
FULL = {"images": 10_000, "seeds": 5}
SECONDS = 1


class SqueezeExcite(keras.layers.Layer):
    """Channel attention: two dense layers read the mean of each channel and give each a weight from 0 to 1.

    Args:
        reduction: The first layer has this many times fewer units than there are channels.
        maximum: Whether the same two layers read each channel's maximum, too, and the scores are added (Woo et al.).
        seed: Seed of the initial weights, or None.

    Raises:
        ValueError: If `reduction` is not positive, or larger than the number of channels.

    Source: Hu et al. 2018, section 3.
    """

    def __init__(self, reduction=4, maximum=False, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.reduction, self.maximum, self.seed = whole("reduction", reduction), maximum, seed

    def build(self, input_shape):
        """Create the two dense layers for pictures (batch, height, width, channels)."""
        channels = input_shape[-1]
        units = channels // self.reduction
        if units == 0:
            raise ValueError(f"reduction: expected at most {channels}, the number of channels, got {self.reduction}")
        self.squeeze = _dense(units, self.seed, activation="relu")
        self.excite = _dense(channels, None if self.seed is None else self.seed + 1)
        self.squeeze.build((None, channels))
        self.excite.build((None, units))

    def weights_of(self, x):
        """Weights (batch, 1, 1, channels)."""
        scores = self.excite(self.squeeze(tf.reduce_mean(x, axis=(1, 2))))
        if self.maximum:
            scores += self.excite(self.squeeze(tf.reduce_max(x, axis=(1, 2))))
        return tf.sigmoid(scores)[:, None, None]

    def call(self, x):
        """Weigh the channels of pictures (batch, height, width, channels)."""
        return x * self.weights_of(x)


class SpatialAttention(keras.layers.Layer):
    """Spatial attention: a convolution reads each place's mean and maximum over channels and gives it a weight.

    Args:
        kernel_size: Height and width of the convolution.
        seed: Seed of the initial weights, or None.

    Source: Woo et al. 2018, section 3.
    """

    def __init__(self, kernel_size=7, seed=None, **kwargs):
        super().__init__(**kwargs)
        start = keras.initializers.GlorotUniform(seed)
        self.convolution = keras.layers.Conv2D(1, kernel_size, padding="same", kernel_initializer=start)

    def build(self, input_shape):
        """Create the convolution."""
        self.convolution.build((*input_shape[:-1], 2))

    def weights_of(self, x):
        """Weights (batch, height, width, 1)."""
        read = tf.concat([tf.reduce_mean(x, -1, keepdims=True), tf.reduce_max(x, -1, keepdims=True)], axis=-1)
        return tf.sigmoid(self.convolution(read))

    def call(self, x):
        """Weigh the places of pictures (batch, height, width, channels)."""
        return x * self.weights_of(x)


class Cbam(keras.layers.Layer):
    """First the channels are weighed, by mean and maximum, then the places.

    Args:
        reduction, kernel_size, seed: As in `SqueezeExcite` and `SpatialAttention`.

    Source: Woo et al. 2018, section 3.
    """

    def __init__(self, reduction=4, kernel_size=7, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.channels = SqueezeExcite(reduction, maximum=True, seed=seed)
        self.places = SpatialAttention(kernel_size, seed=None if seed is None else seed + 1)

    def build(self, input_shape):
        """Create the weights of both."""
        self.channels.build(input_shape)
        self.places.build(input_shape)

    def call(self, x):
        """Weigh channels, then places, of pictures (batch, height, width, channels)."""
        return self.places(self.channels(x))


def _dense(units, seed, activation=None):
    return keras.layers.Dense(units, activation, kernel_initializer=keras.initializers.GlorotUniform(seed))


def build_network(attention=None, filters=(16, 32), seed=0):
    """Two convolutions, each followed by attention, and the mean over places: logits of ten classes for 28 × 28 pixels.

    Args:
        attention: None, "channel", "spatial" or "both".
        filters: Filters of the two convolutions.
        seed: Seed of the initial weights.

    Raises:
        ValueError: If the attention has another name.
    """
    kinds = {None: None, "channel": SqueezeExcite, "spatial": SpatialAttention, "both": Cbam}
    if attention not in kinds:
        raise ValueError(f"attention: expected None, 'channel', 'spatial' or 'both', got {attention!r}")
    seeds, layers = layer_seeds(seed), [keras.Input((28, 28, 1))]
    for count in filters:
        layers += [_convolution(count, next(seeds))]
        layers += [kinds[attention](seed=next(seeds))] if attention else []
        layers += [keras.layers.MaxPooling2D()]
    return keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), _dense(10, next(seeds))])


def _convolution(filters, seed):
    start = keras.initializers.HeNormal(seed)
    return keras.layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer=start)


def example():
    """The weights of untrained layers; Keras's layers that they are made of."""
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 2)).astype(np.float32)  # (batch, height, width, channels)
    channel, spatial = SqueezeExcite(reduction=2, seed=1), SpatialAttention(kernel_size=3, seed=1)
    for layer in (channel, spatial):
        layer.build(x.shape)
        print(layer.name, layer.weights_of(x).numpy().squeeze().round(2).tolist())
    mean = keras.layers.GlobalAveragePooling2D()(x)
    scores = channel.excite(channel.squeeze(mean))
    print("by Keras's layers:", keras.activations.sigmoid(scores).numpy().round(2).tolist())


def lesson(report, *, images: int = 0, networks: int = 5, seeds: int = 2, seed: int = 0):
    """What the layers ignore, and clothing.

    Args:
        report: The report to write to.
        images: Pictures of clothing to compare networks on, or none (0 to 60000).
        networks: Networks to compare at most, in the order of the table (2 to 5).
        seeds: Runs of each network (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _what_they_ignore(report, np.random.default_rng(seed))
    _by_hand(report)
    if images:
        _clothing(report, images, networks, seeds, seed)


def _what_they_ignore(report, rng, channels=8):
    x = rng.normal(size=(3, 6, 5, channels)).astype(np.float32)
    moved, mixed = rng.permutation(30), rng.permutation(channels)
    elsewhere = x.reshape(3, 30, channels)[:, moved].reshape(x.shape)
    channel, spatial = SqueezeExcite(seed=1), SpatialAttention(seed=1)
    for layer in (channel, spatial):
        layer.build(x.shape)
    report.check("channel weights, pixels permuted", channel.weights_of(elsewhere), channel.weights_of(x))
    report.check("spatial weights, channels permuted", spatial.weights_of(x[..., mixed]), spatial.weights_of(x))
    report.at_least("spatial weights, pixels permuted, change by",
                    tf.reduce_max(tf.abs(spatial.weights_of(elsewhere) - spatial.weights_of(x))), 1e-3)  # fmt: skip
    counts = [layer.count_params() for layer in (channel, spatial)]
    report.check("parameters: 2 C²/r + C/r + C, and 2 k² + 1", counts, [2 * 8 * 8 // 4 + 8 // 4 + 8, 2 * 49 + 1])
    shapes = [channel.weights_of(x).shape, spatial.weights_of(x).shape, spatial.convolution.kernel.shape]
    report.check("shapes: channel weights, spatial weights, spatial kernel", [[*each] for each in shapes],
                 [[3, 1, 1, channels], [3, 6, 5, 1], [7, 7, 2, 1]])  # fmt: skip
    report.correction("what attention learns in a picture", course="A hidden matrix over the places, or the channels.",
                      correct="A weight for each place or channel, computed from the picture: no matrix between them.",
                      shown_by="shapes (places, 1) and (1, channels); kernel (7, 7, 2, 1); 99 parameters")  # fmt: skip
    for variable in (*channel.excite.variables, *spatial.variables):
        variable.assign(tf.zeros_like(variable))
    report.check(
        "last weights 0: both halve their input exactly", [channel(x), spatial(x)], [x / 2] * 2, rtol=0, atol=0
    )


def _by_hand(report):
    """A shoe, its edges in two directions as channels; weights that ask for strong channels and for full places."""
    (pictures, _), _ = data.fashion_mnist()
    upright = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])[..., None]
    kernel = np.stack([upright, upright.swapaxes(0, 1)], axis=-1).astype(np.float32)  # (rows, columns, 1, 2)
    x = tf.abs(tf.nn.conv2d(np.float32(pictures[:1, ..., None]) / 255, kernel, 1, "SAME"))  # (1, 28, 28, 2)
    channel, spatial = SqueezeExcite(reduction=1), SpatialAttention(kernel_size=7)
    for layer in (channel, spatial):
        layer.build(x.shape)
    channel.squeeze.set_weights([np.eye(2), np.zeros(2)])
    channel.excite.set_weights([np.array([[20.0, -20], [-20, 20]]), np.zeros(2)])  # which of the two has more edges?
    spatial.convolution.set_weights(
        [np.full((7, 7, 2, 1), 0.05), np.array([-3.0])]
    )  # where are edges, in 7 × 7 pixels?
    means = tf.reduce_mean(x, axis=(1, 2))[0].numpy()
    weights = channel.weights_of(x)[0, 0, 0].numpy()
    report.check("the channel with more edges has the larger weight", int(weights.argmax()), int(means.argmax()))
    figure, axes = plots.subplots(1, 4, figsize=(12, 3.4))
    names = ("the picture", f"upright edges,\nweight {weights[0]:.2f}", f"level edges,\nweight {weights[1]:.2f}")
    for ax, picture, name in zip(axes, (pictures[0] / 255, x[0, ..., 0] / 4, x[0, ..., 1] / 4), names, strict=False):
        plots.bare_picture(picture, ax, low=0)
        ax.set_title(name, fontsize=11)
    plots.heatmap(spatial.weights_of(x).numpy()[0, ..., 0], xlabel="column", ylabel="row", label="weight", ax=axes[3],
                  cmap="cividis", title="a weight for each place")  # fmt: skip
    report.figure("A weight for each channel, a weight for each place", figure,
                  alt="A shoe, its upright and its level edges with one weight each, and a map with a weight for each "
                  "place, large where there are many edges.")  # fmt: skip


def _compiled(model, steps, rate):
    rate = keras.optimizers.schedules.CosineDecay(rate, max(1, steps))
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, training.restarter(model)


def _clothing(report, images, networks, seeds, seed, epochs=3):
    """No gain is claimed: the table shows what there is, and a rival with more filters instead."""
    (x, y), (x_test, y_test) = data.fashion_mnist()
    x, x_test = (np.float32(pictures)[..., None] / 255 for pictures in (x[:images], x_test))
    kinds = {"none": {}, "channel": {"attention": "channel"}, "spatial": {"attention": "spatial"},
             "both": {"attention": "both"}, "none, more filters": {"filters": (18, 34)}}  # fmt: skip
    rows = []
    for name in report.track([*kinds][:networks], "clothing"):
        model, restart = _compiled(build_network(**kinds[name], seed=seed), epochs * -(-images // 64), 2e-3)
        accuracy = []
        for run in range(seeds):
            restart(build_network(**kinds[name], seed=seed + run).get_weights())
            training.fit(model, x, y[:images], batch_size=64, epochs=epochs, seed=seed + run)
            logits = training.predict(model, x_test, batch_size=500)
            accuracy.append(np.mean(logits.argmax(axis=1) == y_test))
        rows.append([name, model.count_params(), plots.mean_and_error(accuracy)])
    report.table(f"Fashion-MNIST, {epochs} epochs", ["attention", "parameters", "test accuracy"], rows)
    report.note("No gain is claimed: the runs of one network differ by as much.")

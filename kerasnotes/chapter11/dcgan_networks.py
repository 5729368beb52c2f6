"""A generator enlarges maps by the transpose of the convolution that shrinks them; normalization keeps its signal.

The networks of a DCGAN follow four rules: strides in place of pooling, batch normalization in nearly every layer, no
hidden dense layers, ReLU against leaky ReLU. What the reader should see: the rules, read off the layers; a transposed
convolution whose matrix is the transpose of the strided convolution's; and that with weights of deviation 0.02 the
signal would fade to less than a hundredth on its way to the image, were it not for the normalization.

Notes: chapter 11, "DCGAN" (深度卷积生成对抗网络).
Source: Radford, Metz, Chintala 2016, arXiv:1511.06434, sections 3 and 4 and figure 1; Dumoulin and Visin 2016,
arXiv:1603.07285, chapter 4 (transposed convolutions).
"""

import itertools

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import whole

SMOKE = {"channels": (8, 4, 4), "samples": 16}
SECONDS = 1


def build_generator(latent_size=64, channels=(64, 32, 16), seed=0):
    """A DCGAN generator of 28 x 28 pixels: noise becomes 4 x 4 maps, which three transposed convolutions enlarge.

    Batch normalization and ReLU everywhere but in the output, which is tanh and has no normalization.

    Args:
        latent_size: Numbers of noise for an image, drawn from a standard normal.
        channels: Maps of 4 x 4, 7 x 7 and 14 x 14 pixels.
        seed: Seed of the initial weights, normal with deviation 0.02.

    Returns:
        An uncompiled `keras.Model` from (batch, latent_size) to images (batch, 28, 28, 1) in [−1, 1].

    Raises:
        ValueError: If a size is not a positive whole number, or `channels` are not three.

    Source: Radford et al. 2016, arXiv:1511.06434, section 3, with three enlargements in place of four.
    """
    whole("latent_size", latent_size)
    _three_sizes(channels)
    starts = _normal_starts((seed, 1), 4)
    layers = keras.layers
    stack = [
        layers.Input((latent_size,)),
        layers.Dense(16 * channels[0], use_bias=False, kernel_initializer=starts[0]),
        layers.BatchNormalization(momentum=0.9),
        layers.ReLU(),
        layers.Reshape((4, 4, channels[0])),
    ]
    for filters, size, extra, start in ((channels[1], 3, 0, starts[1]), (channels[2], 4, None, starts[2])):
        stack += [  # with 3 x 3 and no output padding, 4 x 4 maps become 7 x 7
            layers.Conv2DTranspose(
                filters, size, 2, "same", output_padding=extra, use_bias=False, kernel_initializer=start
            ),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
        ]
    return keras.Sequential(
        [*stack, layers.Conv2DTranspose(1, 4, 2, "same", activation="tanh", kernel_initializer=starts[3])]
    )


def build_discriminator(channels=(16, 32, 64), seed=0):
    """A DCGAN discriminator of 28 x 28 pixels: three strided convolutions, leaky ReLU, and one logit.

    Batch normalization everywhere but in the first layer, which sees the image, and in the logit. With three layers a
    map's number sees 22 x 22 pixels, nearly a whole digit; with two it would see strokes of 10 x 10.

    Args:
        channels: Maps of 14 x 14, 7 x 7 and 4 x 4 pixels.
        seed: Seed of the initial weights, normal with deviation 0.02.

    Returns:
        An uncompiled `keras.Model` from images (batch, 28, 28, 1) to logits (batch, 1).

    Raises:
        ValueError: If `channels` are not three positive whole numbers.

    Source: Radford et al. 2016, arXiv:1511.06434, section 3; Radford et al. 2016, section 4 (slope 0.2 of the leaky
    ReLU).
    """
    _three_sizes(channels)
    starts = _normal_starts((seed, 2), 4)
    layers = keras.layers
    stack = [layers.Input((28, 28, 1)), layers.Conv2D(channels[0], 4, 2, "same", kernel_initializer=starts[0])]
    stack.append(layers.LeakyReLU(0.2))
    for filters, start in zip(channels[1:], starts[1:3], strict=True):
        stack += [
            layers.Conv2D(filters, 4, 2, "same", use_bias=False, kernel_initializer=start),
            layers.BatchNormalization(momentum=0.9),
            layers.LeakyReLU(0.2),
        ]
    return keras.Sequential([*stack, layers.Flatten(), layers.Dense(1, kernel_initializer=starts[3])])


def _three_sizes(channels):
    if len(channels) != 3:
        raise ValueError(f"channels: expected three positive whole numbers, got {channels!r}")
    for size in channels:
        whole("channels", size)


def _normal_starts(seed, count):
    seeds = np.random.default_rng(seed).integers(2**31, size=count).tolist()
    return [keras.initializers.RandomNormal(stddev=0.02, seed=each) for each in seeds]


def example():
    """A convolution of stride 2 and its transpose, as Keras documents them; and a pair of networks."""
    down = keras.layers.Conv2D(5, 4, strides=2, padding="same", use_bias=False)
    up = keras.layers.Conv2DTranspose(3, 4, strides=2, padding="same", use_bias=False)
    x, y = (tf.random.stateless_normal(shape, (0, 1)) for shape in ((2, 14, 14, 3), (2, 7, 7, 5)))
    down.build(x.shape)
    up.build(y.shape)
    up.set_weights(down.get_weights())  # one kernel serves both
    print("shapes:", down(x).shape, up(y).shape)
    print(
        "⟨conv(x), y⟩ =", float(tf.reduce_sum(down(x) * y)), "and ⟨x, transposed(y)⟩ =", float(tf.reduce_sum(x * up(y)))
    )

    generator, discriminator = build_generator(latent_size=64), build_discriminator()
    noise = tf.random.stateless_normal((2, 64), (0, 2))
    images = generator(noise, training=True)
    print("images:", images.shape, "and their logits:", discriminator(images, training=True).numpy().ravel())


def lesson(
    report,
    *,
    channels: tuple[int, ...] = (64, 32, 16),
    latent_size: int = 64,
    samples: int = 256,
    seed: int = 0,
):
    """Read the rules off the layers, transpose a convolution, and follow a signal through a fresh generator.

    Args:
        report: The report to write to.
        channels: The generator's maps of 4 x 4, 7 x 7 and 14 x 14 pixels; the discriminator's in reverse (1 to 1024).
        latent_size: Numbers of noise for an image (1 to 1024).
        samples: Images in the batch that is followed (2 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    generator = build_generator(latent_size, channels, seed)
    _rules(report, generator, build_discriminator(channels[::-1], seed))
    _transpose(report, np.random.default_rng((seed, 5)))
    matrices = _matrices(report, np.random.default_rng((seed, 6)))
    noise = np.random.default_rng((seed, 7)).standard_normal((samples, latent_size), np.float32)
    signals = {
        name: _signal(generator, noise, skipped)
        for name, skipped in (("with normalization", ""), ("without", "BatchNormalization"))
    }
    _fading(report, signals, latent_size)
    _figure(report, matrices, signals)


def _rules(report, generator, discriminator):
    """The four rules of the paper, read off the layers."""
    kinds = [[type(layer).__name__ for layer in model.layers] for model in (generator, discriminator)]
    rows = [list(row) for row in itertools.zip_longest(*kinds, fillvalue="")]
    report.table("the layers", ["generator", "discriminator"], rows)
    convolutions = [
        layer for model in (generator, discriminator) for layer in model.layers if hasattr(layer, "strides")
    ]
    report.check("every convolution has stride 2", [layer.strides for layer in convolutions], [(2, 2)] * 6)
    report.check("no pooling", any("Pool" in name for name in kinds[0] + kinds[1]), want=False)
    label = "batch normalization after every layer with weights, but for output, input and logit"
    follows = [_followed_by_normalization(model) for model in (generator, discriminator)]
    report.check(label, got=follows, want=[[True, True, True, False], [False, True, True, False]])
    slopes = [layer.negative_slope for layer in discriminator.layers if hasattr(layer, "negative_slope")]
    report.check("ReLU in the generator", [kinds[0].count("ReLU"), kinds[0].count("LeakyReLU")], want=[3, 0])
    report.check("leaky ReLU of slope 0.2 in the discriminator", got=slopes, want=[0.2] * 3)
    report.check("the output is tanh", got=generator.layers[-1].activation.__name__, want="tanh")


def _followed_by_normalization(model):
    names = [type(layer).__name__ for layer in model.layers] + [""]
    weighted = ("Dense", "Conv2D", "Conv2DTranspose")
    return [names[i + 1] == "BatchNormalization" for i, name in enumerate(names) if name in weighted]


def _transpose(report, rng):
    """⟨conv(x), y⟩ = ⟨x, transposed conv(y)⟩ for one kernel: the one is the other's transpose."""
    x, y = (tf.constant(rng.normal(size=shape), tf.float32) for shape in ((2, 14, 14, 3), (2, 7, 7, 5)))
    kernel = tf.constant(rng.normal(size=(4, 4, 3, 5)), tf.float32)
    down, up = (
        keras.layers.Conv2D(5, 4, 2, "same", use_bias=False),
        keras.layers.Conv2DTranspose(3, 4, 2, "same", use_bias=False),
    )
    for layer, inputs in ((down, x), (up, y)):
        layer.build(inputs.shape)
        layer.set_weights([kernel])
    label = "a transposed convolution is the transpose of the convolution with its kernel"
    want = float(tf.reduce_sum(down(x) * y))
    report.check(label, got=float(tf.reduce_sum(x * up(y))), want=want, rtol=1e-4, atol=1e-3)


def _matrices(report, rng):
    """A strided convolution of 14 numbers in a row, and its transpose, written out as matrices."""
    kernel = rng.normal(size=(4, 1, 1)).astype(np.float32)
    matrices = []
    for layer, size in ((keras.layers.Conv1D, 14), (keras.layers.Conv1DTranspose, 7)):
        row = layer(1, 4, 2, "same", use_bias=False)
        row.build((None, size, 1))
        row.set_weights([kernel])
        matrices.append(row(np.eye(size, dtype=np.float32)[..., None]).numpy()[..., 0].T)  # a column for each input
    label = "in a row of 14: the one matrix, 7 by 14, is the transpose of the other"
    report.check(label, matrices[1], matrices[0].T, rtol=1e-6)
    return matrices


def _signal(generator, noise, skipped):
    """Deviation of the maps after each layer with weights, normalized where that is not skipped."""
    x, deviations = tf.constant(noise), []
    for layer in generator.layers:
        kind = type(layer).__name__
        if kind == skipped:
            continue
        x = layer(x, training=True)
        if kind in ("Dense", "Conv2DTranspose"):
            deviations.append(float(tf.math.reduce_std(x)))
    return deviations


def _fading(report, signals, latent_size):
    rows = [[number + 1, *pair] for number, pair in enumerate(zip(*signals.values(), strict=True))]
    report.table("deviation after each layer with weights, fresh generator", ["layer", *signals], rows)
    first = 0.02 * np.sqrt(latent_size)
    report.check("the first layer: 0.02 √(numbers of noise)", rows[0][1:], [first, first], rtol=0.1)
    label = "without normalization, the image's deviation over that with it"
    report.at_most(label, rows[-1][2] / rows[-1][1], 0.02)


def _figure(report, matrices, signals):
    figure, axes = plots.subplots(1, 3, figsize=(13, 4.2), width_ratios=(1.3, 0.9, 1.2))
    for ax, matrix, title in zip(axes, matrices, ("A convolution, stride 2", "Its transpose"), strict=False):
        plots.heatmap(matrix, xlabel="number that comes in", ylabel="number that goes out", label="weight", title=title,
                      ax=ax, cmap="RdBu", vmin=-3, vmax=3)  # fmt: skip
    plots.curves([1, 2, 3, 4], signals, xlabel="layer with weights", ylabel="deviation of its maps", yscale="log",
                 marker="o", title="Normalization carries the signal", ax=axes[2])  # fmt: skip
    axes[2].set_xticks([1, 2, 3, 4])
    report.figure(
        "the transpose of a convolution, and a signal on its way",
        figure,
        alt="Left: the matrix of a convolution of stride 2 from 14 to 7 numbers, a band that moves by two columns a "
        "row. Middle: that of the transposed convolution, the same band with rows and columns exchanged. Right: the "
        "deviation of a fresh generator's maps stays level with normalization and falls several hundredfold without.",
    )

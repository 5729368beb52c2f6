"""From coarse to fine: most of a digit is in its small copy, and a network that grows keeps what it learnt there.

A pyramid holds a picture's small copy and, for each doubling, the detail that it lacks. What the reader should see: a
pyramid that adds up to the picture again, bit for bit; digits with most of their energy at 7 x 7 pixels, where noise
has a sixteenth; and networks for 7 x 7 pixels that become networks for 14 x 14 and 28 x 28. In the moment of growing
the game is the old one to the bit, with the slopes that it had; when the new layers have faded in, it is all theirs.

LapGAN draws the details, by a network of its own for each size. StackGAN's second network draws the picture anew, from
the first one's small picture and the caption. In progressive growing one network grows (`progressive_growing.py`
trains it). GoGAN is finer in quality, not in size: it ranks each GAN of a row above the one before it by a margin.

Notes: chapter 11, "From coarse to fine" (由粗到细的生成).
Source: Burt and Adelson 1983, doi:10.1109/TCOM.1983.1095851 (the pyramid); Denton et al. 2015, arXiv:1506.05751
(LapGAN); Zhang et al. 2017, arXiv:1612.03242 (StackGAN); Juefei-Xu et al. 2017, arXiv:1704.04865 (GoGAN); Karras et al.
2018, arXiv:1710.10196, section 2 and figure 2 (growing).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter11.saturation import generator_loss
from kerasnotes.parts import floating, layer_seeds, share, whole

SMOKE = {"images": 100, "channels": (4, 4, 4), "batch_size": 4}
SECONDS = 5


def halve(images):
    """Each pixel of the smaller picture is the mean of four.

    Args:
        images: Array or tensor (samples, height, width, channels), height and width even.

    Returns: Tensor (samples, height/2, width/2, channels).

    Raises: ValueError: If a side is odd, or there are not four axes.
    """
    images = floating("images", images)
    if images.shape.rank != 4 or images.shape[1] % 2 or images.shape[2] % 2:
        raise ValueError(f"images: expected (samples, height, width, channels) with even sides, got {images.shape}")
    return tf.nn.avg_pool2d(images, 2, 2, "VALID")


def double(images):
    """Each pixel of (samples, height, width, channels) becomes a square of four; `halve` undoes it."""
    return tf.repeat(tf.repeat(images, 2, axis=1), 2, axis=2)


def laplacian_pyramid(images, levels):
    """Take pictures apart: what each halving loses, and the small picture that is left.

    Args:
        images: Array or tensor (samples, height, width, channels), sides divisible by 2 to the power of `levels`.
        levels: How often to halve.

    Returns: List of `levels + 1` tensors, the finest details first, the small picture last.

    Raises: ValueError: If `levels` is not a positive whole number, or a side cannot be halved so often.

    Source: Denton et al. 2015, arXiv:1506.05751, section 2.2, with means of four for their blurring.
    """
    images, pyramid = floating("images", images), []
    for _ in range(whole("levels", levels)):
        small = halve(images)
        pyramid.append(images - double(small))  # (samples, height, width, channels)
        images = small
    return [*pyramid, images]


def rebuild(pyramid):
    """Put the pictures of `laplacian_pyramid` together again: double, add the details, and so on."""
    *details, images = pyramid
    for detail in reversed(details):
        images = double(images) + detail
    return images


class FadeIn(keras.layers.Layer):
    """(1 − α) old + α new, called with `[old, new]` of one shape; α, from 0 to 1, is a variable that no step trains.

    Args:
        alpha: The first α.

    Source: Karras et al. 2018, arXiv:1710.10196, figure 2.
    """

    def __init__(self, alpha=0.0, **arguments):
        super().__init__(**arguments)
        start = keras.initializers.Constant(share("alpha", alpha))
        self.alpha = self.add_weight(shape=(), initializer=start, trainable=False, name="alpha")

    def call(self, inputs):
        """The mixture, in the shape of both."""
        old, new = inputs
        return (1 - self.alpha) * old + self.alpha * new


def build_pair(latent_size=64, channels=16, seed=0):
    """A generator of 7 x 7 pixels and its discriminator, ready to grow.

    Args:
        latent_size: Numbers of noise for a picture.
        channels: Maps of 7 x 7 pixels, in both.
        seed: Seed of the initial weights.

    Returns: `(generator, discriminator)`: from (batch, latent_size) to (batch, 7, 7, 1), and from that to (batch, 1).

    Raises: ValueError: If a size is not a positive whole number.
    """
    whole("latent_size", latent_size), whole("channels", channels)
    layers, start = keras.layers, _starts((seed, 1))
    noise, picture = keras.Input((latent_size,)), keras.Input((7, 7, 1))
    x = layers.Dense(49 * channels, use_bias=False, kernel_initializer=start())(noise)
    x = layers.Reshape((7, 7, channels))(layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x)))
    x = layers.Conv2D(channels, 3, padding="same", use_bias=False, kernel_initializer=start())(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    drawn = layers.Conv2D(1, 3, padding="same", activation="tanh", kernel_initializer=start())(x)
    x = layers.Conv2D(channels, 3, padding="same", activation="leaky_relu", kernel_initializer=start())(picture)
    x = layers.Conv2D(2 * channels, 4, 2, "same", use_bias=False, kernel_initializer=start())(x)
    x = layers.LeakyReLU(0.2)(layers.BatchNormalization(momentum=0.9)(x))
    logit = layers.Dense(1, kernel_initializer=start())(layers.Flatten()(x))
    return keras.Model(noise, drawn), keras.Model(picture, logit)


def grow(generator, channels=16, seed=0):
    """A generator of twice the size that draws the old pictures, doubled, until its new layers fade in.

    The new layers take the maps that the old picture was made of. All other layers are shared with the old network.

    Args:
        generator: Model as `build_pair` or this function makes it.
        channels: Maps of the new size.
        seed: Seed of the new layers' initial weights.

    Returns: A model from the same noise to (batch, 2 height, 2 width, 1), whose last layer is a `FadeIn` at α = 0.

    Raises: ValueError: If `channels` is not a positive whole number.

    Source: Karras et al. 2018, arXiv:1710.10196, section 2.
    """
    whole("channels", channels)
    generator, layers = settle(generator), keras.layers
    start = _starts((seed, 2, generator.output_shape[1]))
    maps, drawn = generator.layers[-1].input, generator.outputs[0]
    x = layers.Conv2DTranspose(channels, 4, 2, "same", use_bias=False, kernel_initializer=start())(maps)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    new = layers.Conv2D(1, 3, padding="same", activation="tanh", kernel_initializer=start())(x)
    return keras.Model(generator.inputs[0], FadeIn()([layers.UpSampling2D(2)(drawn), new]))


def grow_discriminator(discriminator, channels=16, seed=0):
    """A discriminator of twice the size that judges halved pictures, until its new layers fade in.

    Args:
        discriminator: Model as `build_pair` or this function makes it.
        channels, seed: As in `grow`.

    Returns: A model from (batch, 2 height, 2 width, 1) to logits (batch, 1), with a `FadeIn` at α = 0 in it.

    Raises: ValueError: If `channels` is not a positive whole number.
    """
    whole("channels", channels)
    layers, size = keras.layers, discriminator.input_shape[1]
    start = _starts((seed, 3, size))
    _, first, *rest = settle(discriminator).layers  # without the input
    picture = keras.Input((2 * size, 2 * size, 1))
    x = layers.Conv2D(channels, 3, padding="same", activation="leaky_relu", kernel_initializer=start())(picture)
    x = layers.Conv2D(first.filters, 4, 2, "same", use_bias=False, kernel_initializer=start())(x)
    x = layers.LeakyReLU(0.2)(layers.BatchNormalization(momentum=0.9)(x))
    x = FadeIn()([first(layers.AveragePooling2D(2)(picture)), x])
    return keras.Model(picture, _through(rest, x))


def settle(network):
    """The network without the path that its `FadeIn` fades out: at α = 1 it does the same, for less."""
    for place, layer in enumerate(network.layers):
        if isinstance(layer, FadeIn):
            return keras.Model(network.inputs[0], _through(network.layers[place + 1 :], layer.input[1]))
    return network


def _through(layers, x):
    for layer in layers:
        x = layer(x)
    return x


def _starts(seed):
    seeds = layer_seeds(seed)
    return lambda: keras.initializers.RandomNormal(stddev=0.02, seed=next(seeds))


def example():
    """Keras's pooling and enlarging beside ours, a pyramid added up, and a network at the moment of growing."""
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    small = halve(image)
    print("Keras halves:", keras.layers.AveragePooling2D(2)(image).numpy().ravel(), "ours:", small.numpy().ravel())
    print("Keras doubles alike:", np.array_equal(keras.layers.UpSampling2D(2)(small), double(small)))
    pyramid = laplacian_pyramid(image, 2)
    print("sizes:", [level.shape[1] for level in pyramid], "rebuilt:", np.array_equal(rebuild(pyramid), image))
    generator, discriminator = build_pair(8, 4)
    noise = tf.random.stateless_normal((3, 8), (0, 1))
    grown, judge = grow(generator, 4), grow_discriminator(discriminator, 4)
    print("logits before growing:", discriminator(generator(noise)).numpy().ravel())
    print("at α = 0:             ", judge(grown(noise)).numpy().ravel())
    for network in (grown, judge):
        next(layer for layer in network.layers if isinstance(layer, FadeIn)).alpha.assign(1)
    print("at α = 1:             ", judge(grown(noise)).numpy().ravel())
    print("without the old paths:", settle(judge)(settle(grown)(noise)).numpy().ravel())


def lesson(
    report, *, images: int = 10000, channels: tuple[int, ...] = (16, 16, 8), batch_size: int = 32, seed: int = 0
):
    """Take digits apart and put them together, and let a pair of networks grow.

    Args:
        report: The report to write to.
        images: Digits that are taken apart (10 to 60000).
        channels: Maps of 7 x 7, 14 x 14 and 28 x 28 pixels (1 to 1024).
        batch_size: Pictures that the networks draw (2 to 1024).
        seed: Seed of all random draws (0 to 4294967295).
    """
    (x, _), _ = data.mnist()
    x = np.float32(x[np.random.default_rng((seed, 4)).permutation(len(x))[:images]])[..., None]
    pyramid = laplacian_pyramid(x, 2)
    report.check("the pyramid of whole pixels adds up to them, bit for bit", rebuild(pyramid), x, rtol=0, atol=0)
    _energies(report, x, pyramid, seed)
    pair = build_pair(64, channels[0], seed)
    for number, maps in enumerate(channels[1:]):
        pair = _growth(report, *pair, maps, batch_size, (seed, 5 + number))


def _energies(report, x, pyramid, seed):
    """How much of the pictures' energy is at which size."""
    noise = np.float32(np.random.default_rng((seed, 7)).standard_normal(x.shape))
    shares = {"digits": _shares(x), "noise": _shares(noise)}
    report.check("energies of the levels add up to the pictures'", [sum(each) for each in shares.values()], np.ones(2))
    label = "noise: shares of the details at 28, at 14 and of the small picture"
    report.check(label, shares["noise"], [3 / 4, 3 / 16, 1 / 16], rtol=0.1)
    report.at_least("digits: share of the energy in the small pictures", shares["digits"][2], 0.5)
    report.table("share of the energy (squared distance from the mean pixel) at each level",
                 ["pictures", "details at 28 x 28", "details at 14 x 14", "pictures of 7 x 7"],
                 [[name, *each] for name, each in shares.items()])  # fmt: skip
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.3), width_ratios=(1.4, 1))
    fine, middle, small = (np.asarray(level[:8]) / 127.5 for level in pyramid)
    rows = [double(double(small)) - 1, double(middle) / 2, fine / 2, x[:8] / 127.5 - 1]
    plots.tiles(np.stack(rows), left, ["7 x 7 pixels", "+ details at 14", "+ details at 28", "= the picture"])
    left.set_title("A pyramid adds up to the picture")
    for shift, (name, each) in zip((-0.2, 0.2), shares.items(), strict=True):
        right.bar(np.arange(3) + shift, each[::-1], 0.4, label=name)
    right.set_xticks(range(3), ["picture\nof 7 x 7", "details\nat 14", "details\nat 28"])
    right.set(ylabel="share of the energy")
    right.set_title("Digits are mostly coarse")
    right.legend()
    report.figure("a pyramid", figure, alt="Left: eight digits as pictures of 7 x 7 pixels, as details at 14 x 14 and "
                  "at 28 x 28, and as their sum. Right: most of the digits' energy is in the small pictures, most of "
                  "the noise's in the finest details.")  # fmt: skip


def _shares(images):
    images = np.float64(images) - np.mean(images, dtype=np.float64)
    levels = laplacian_pyramid(images, 2)  # a mean stays when pixels are doubled
    return [float(tf.reduce_mean(level**2)) / np.mean(images**2) for level in levels]


def _growth(report, generator, discriminator, maps, batch_size, seed):
    """One doubling: the game before it, at α = 0, ½ and 1, and without the old paths. Returns the grown pair."""
    noise = tf.random.stateless_normal((batch_size, 64), seed)
    grown, judge = grow(generator, maps, seed), grow_discriminator(discriminator, maps, seed)
    old = [*generator.trainable_variables, *discriminator.trainable_variables]
    known = set(map(id, old))
    new = [each for each in (*grown.trainable_variables, *judge.trainable_variables) if id(each) not in known]
    title = "grown to {1} x {2}".format(*grown.output_shape)
    drawn, logits, slopes = _game(generator, discriminator, noise, old)
    drawn_0, logits_0, slopes_0 = _game(grown, judge, noise, [*old, *new])
    report.check(f"{title}, α = 0: the old pictures, doubled, bit for bit", drawn_0, double(drawn), rtol=0, atol=0)
    report.check(f"{title}, α = 0: the old logits", logits_0, logits)
    report.check(f"{title}, α = 0: the old layers' slopes", slopes_0[: len(old)], slopes, rtol=1e-3, atol=1e-6)
    largest = max(float(tf.reduce_max(abs(slope))) for slope in slopes_0[len(old) :])
    report.check(f"{title}, α = 0: no slope yet for the new layers", largest, 0.0, rtol=0, atol=0)
    new_drawn, new_logits, _ = _game(settle(grown), settle(judge), noise, new)
    for alpha in (0.5, 1.0):
        for network in (grown, judge):
            next(layer for layer in network.layers if isinstance(layer, FadeIn)).alpha.assign(alpha)
        mixed, mixed_logits, _ = _game(grown, judge, noise, new)
        want = (1 - alpha) * double(drawn) + alpha * new_drawn
        report.check(f"{title}, α = {alpha:g}: old and new pictures in that share", mixed, want)
    report.check(f"{title}, α = 1: the logits of the new networks, without the old paths", mixed_logits, new_logits)
    return settle(grown), settle(judge)


def _game(generator, discriminator, noise, weights):
    with tf.GradientTape() as tape:
        drawn = generator(noise, training=True)
        logits = discriminator(drawn, training=True)
        loss = generator_loss(logits)
    return drawn, logits, tape.gradient(loss, weights)

"""A mean error alone draws the safest picture, too smooth; an adversary that looks at patches asks for detail.

A sketch of a piece of clothing leaves open what the cloth looks like. The picture with the smallest mean error is the
middle of all that it could be, and that has less detail than any of them. What the reader should see: pictures from
sketches by mean absolute error alone, too smooth; the same network with an adversary, by that error no nearer to the
true ones, with about three quarters of the detail that photographs have, where the error alone leaves half; and an
adversary that judges patches of 18 x 18 pixels, as the rule for receptive fields says. The 5 % that the error may
differ by chance were set after runs of seeds 0 to 4.

Notes: chapter 11, "Pix2Pix" (成对图像翻译 Pix2Pix).
Source: Isola et al. 2017, arXiv:1611.07004, section 3; Ronneberger et al. 2015, arXiv:1505.04597
(the generator's form).
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter06.receptive_field import receptive_field
from kerasnotes.chapter11.judge import as_pixels
from kerasnotes.chapter11.players import Player, play
from kerasnotes.chapter11.saturation import discriminator_loss, generator_loss
from kerasnotes.parts import layer_seeds, positive, shape, whole

SMOKE = {"steps": 2, "images": 64, "test_images": 20, "batch_size": 4, "channels": (4, 4)}
SECONDS = 26

PATCH_LAYERS = ((4, 2), (4, 2), (3, 1))  # kernels and strides of the patch discriminator


def sketch(images, threshold=0.3):
    """The strong edges of pictures, as lines on paper.

    Args:
        images: Array (samples, height, width, 1), pixels from −1 to 1.
        threshold: How steep an edge must be: the length of a pixel's slope by Sobel's filters over 8, 1 for a
            straight edge from −1 to 1.

    Returns: float32 array of that shape, 1 on lines and −1 elsewhere.

    Raises: ValueError: If a pixel is out of range, or the threshold is not positive.
    """
    images, positive_threshold = as_pixels(images), positive("threshold", threshold)
    x = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    smooth_down = x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]  # (samples, height, width + 2, 1)
    smooth_right = x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]
    right, down = smooth_down[:, :, 2:] - smooth_down[:, :, :-2], smooth_right[:, 2:] - smooth_right[:, :-2]
    return np.where(np.hypot(right, down) / 8 > positive_threshold, np.float32(1), np.float32(-1))


def gradient_energy(images):
    """Mean squared difference of neighbouring pixels: how much detail a set of pictures has.

    Args:
        images: Array (samples, height, width, 1), pixels from −1 to 1, at least 2 x 2.

    Returns: A float.

    Raises: ValueError: If a pixel is out of range.
    """
    images = np.float64(as_pixels(images))
    return float((np.mean(np.diff(images, axis=1) ** 2) + np.mean(np.diff(images, axis=2) ** 2)) / 2)


def build_translator(channels=(16, 32), seed=0):
    """A small U-net: halved twice and enlarged twice, with a way across at each size.

    The output is 1.25 tanh: its ends are beyond −1 and 1, so that black and white still have a slope.

    Args:
        channels: Maps of 14 x 14 and of 7 x 7 pixels.
        seed: Seed of the initial weights.

    Returns: An uncompiled model from sketches (batch, 28, 28, 1) to pictures (batch, 28, 28, 1).

    Raises: ValueError: If `channels` are not two positive whole numbers.

    Source: Isola et al. 2017, arXiv:1611.07004, section 3.2.1 (skips).
    """
    wide, deep = _two(channels)
    layers, start = keras.layers, _starts((seed, 1))
    lines = keras.Input((28, 28, 1))
    half = layers.LeakyReLU(0.2)(layers.Conv2D(wide, 4, 2, "same", kernel_initializer=start())(lines))
    quarter = layers.LeakyReLU(0.2)(layers.Conv2D(deep, 4, 2, "same", kernel_initializer=start())(half))
    x = layers.LeakyReLU(0.2)(layers.Conv2D(deep, 3, 1, "same", kernel_initializer=start())(quarter))
    x = layers.LeakyReLU(0.2)(layers.Conv2DTranspose(wide, 4, 2, "same", kernel_initializer=start())(x))
    x = layers.Conv2DTranspose(wide, 4, 2, "same", kernel_initializer=start())(layers.Concatenate()([x, half]))
    x = layers.Concatenate()([layers.LeakyReLU(0.2)(x), lines])
    x = layers.Conv2D(1, 3, 1, "same", activation="tanh", kernel_initializer="zeros")(x)  # begins with grey
    return keras.Model(lines, layers.Rescaling(1.25)(x))


def patch_discriminator(channels=(16, 32), seed=0):
    """A discriminator of pairs of a sketch and a picture, which judges every patch by itself.

    Args:
        channels: Maps of 14 x 14 and of 7 x 7 pixels.
        seed: Seed of the initial weights.

    Returns: An uncompiled model from [sketches, pictures], (batch, 28, 28, 1) each, to logits (batch, 7, 7, 1).

    Raises: ValueError: If `channels` are not two positive whole numbers.

    Source: Isola et al. 2017, arXiv:1611.07004, section 3.2.2.
    """
    sizes, start = (*_two(channels), 1), _starts((seed, 2))
    lines, picture = keras.Input((28, 28, 1)), keras.Input((28, 28, 1))
    x = keras.layers.Concatenate()([lines, picture])
    for number, (filters, (kernel, stride)) in enumerate(zip(sizes, PATCH_LAYERS, strict=True)):
        x = keras.layers.LeakyReLU(0.2)(x) if number else x
        x = keras.layers.Conv2D(filters, kernel, stride, "same", kernel_initializer=start())(x)
    return keras.Model([lines, picture], x)


def _two(channels):
    if len(channels) != 2:
        raise ValueError(f"channels: expected two positive whole numbers, got {channels!r}")
    return [whole("channels", size) for size in channels]


def _starts(seed):
    seeds = layer_seeds(seed)
    return lambda: keras.initializers.HeNormal(next(seeds))


def train_pix2pix(
    generator, discriminator, sketches, pictures, steps, *, l1_weight=2.0, batch_size=32, learning_rate=2e-3,
    every=250, seed=0, track=None,
):  # fmt: skip
    """Train a generator on pairs, in place, by mean absolute error and, if there is one, by an adversary.

    Args:
        generator: Model as `build_translator` makes it.
        discriminator: Model as `patch_discriminator` makes it, or None: the mean absolute error alone.
        sketches, pictures: Arrays (samples, 28, 28, 1), pixels in [−1, 1], in pairs.
        steps: Turns of each network.
        l1_weight: Weight of the mean absolute error beside the adversary's loss (the paper's: 100).
        batch_size: Pairs in a batch.
        learning_rate: Of the Adam optimizers; it falls linearly to a twentieth.
        every, track: As in `train_in_chunks`.
        seed: Seed of the order.

    Returns: float32 (steps, players), the losses; the discriminator's comes first.

    Raises: ValueError: If there are not as many sketches as pictures, or a number is out of range.

    Source: Isola et al. 2017, arXiv:1611.07004, equations 1, 3 and 4.
    """
    positive("l1_weight", l1_weight), positive("learning_rate", learning_rate), whole("batch_size", batch_size)
    lines, truth = (tf.constant(as_pixels(each)) for each in (sketches, pictures))
    shape("pictures", truth, *lines.shape)

    def judge(given, picture):
        return tf.reshape(discriminator([given, picture]), (-1, 1))  # every patch is a sample of its own

    def discriminator_turn(order):
        given, real = tf.gather(lines, order), tf.gather(truth, order)
        return discriminator_loss(judge(given, real), judge(given, generator(given)))

    def generator_turn(order):
        given = tf.gather(lines, order)
        drawn = generator(given)
        error = l1_weight * tf.reduce_mean(tf.abs(drawn - tf.gather(truth, order)))
        return error if discriminator is None else error + generator_loss(judge(given, drawn))

    rate = keras.optimizers.schedules.PolynomialDecay(learning_rate, whole("steps", steps), learning_rate / 20)
    players = [] if discriminator is None else [Player([discriminator], discriminator_turn, rate)]
    players.append(Player([generator], generator_turn, rate))
    rng = np.random.default_rng((seed, 3))

    def draw(first, count):
        return (rng.integers(len(lines), size=(count, batch_size), dtype=np.int32),)

    return play(players, draw, steps, every=every, track=track)


def example():
    """A square's sketch by Sobel's filters, TensorFlow's beside ours, and four turns on it."""
    square = np.full((1, 28, 28, 1), -1, np.float32)
    square[:, 10:18, 10:18] = 1
    slopes = tf.image.sobel_edges(
        tf.constant(square)
    ).numpy()  # down and right, mirrored at the border; not divided by 8
    theirs = np.where(np.hypot(slopes[..., 0], slopes[..., 1]) / 8 > 0.5, 1, -1)
    lines = sketch(square, 0.5)
    print("pixels on lines, TensorFlow's and ours:", np.sum(theirs == 1), np.sum(lines == 1))
    print("one row:", "".join(" #"[int(pixel > 0)] for pixel in lines[0, 12, :, 0]))
    discriminator = patch_discriminator((4, 4))
    print("logits:", discriminator([lines, square]).shape, "of patches, side and step:", receptive_field(PATCH_LAYERS))
    losses = train_pix2pix(build_translator((4, 4)), discriminator, lines, square, 4, batch_size=2)
    print("losses of both:", losses.round(2).tolist())
    print("detail, mean squared step between neighbours:", gradient_energy(square))


def lesson(
    report,
    *,
    steps: int = 800,
    images: int = 20000,
    test_images: int = 1000,
    channels: tuple[int, ...] = (16, 32),
    l1_weight: float = 2.0,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    seed: int = 0,
):
    """See what a patch is, then draw clothing from sketches with and without an adversary.

    Args:
        report: The report to write to.
        steps: Turns of each network (2 to 1000000).
        images: Training pairs (64 to 60000).
        test_images: Pairs that are drawn and measured (20 to 10000).
        channels: Maps of 14 x 14 and of 7 x 7 pixels, of both networks (1 to 1024).
        l1_weight: Weight of the mean absolute error beside the adversary's loss (0.001 to 100000).
        batch_size: Pairs in a batch (1 to 1024).
        learning_rate: Of the Adam optimizers (0.000001 to 1).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _patch(report, seed)
    (x, _), (x_test, _) = data.fashion_mnist()
    rng = np.random.default_rng((seed, 4))
    x, x_test = (np.float32(part[rng.permutation(len(part))[:count]])[..., None] / 127.5 - 1
                 for part, count in ((x, images), (x_test, test_images)))  # fmt: skip
    lines, lines_test = sketch(x), sketch(x_test)
    drawn = {}
    for name, adversary in (("L1 alone", None), ("L1 and an adversary", patch_discriminator(channels, seed))):
        generator = build_translator(channels, seed)
        train_pix2pix(
            generator, adversary, lines, x, steps, l1_weight=l1_weight, batch_size=batch_size,
            learning_rate=learning_rate, every=math.ceil(steps / 4), seed=seed, track=report.track,
        )  # fmt: skip
        drawn[name] = np.clip(generator.predict(lines_test, batch_size=500, verbose=0), -1, 1)
    _compare(report, drawn, x_test)
    _figure(report, drawn, lines_test, x_test)


def _patch(report, seed):
    """Which pixels one logit in the middle depends on, by its slope."""
    discriminator = patch_discriminator((4, 4), seed)
    picture = tf.random.stateless_normal((1, 28, 28, 1), (seed, 5))
    with tf.GradientTape() as tape:
        tape.watch(picture)
        middle = discriminator([picture, picture])[0, 3, 3, 0]
    _, rows, columns, _ = np.nonzero(tape.gradient(middle, picture))
    size, jump = receptive_field(PATCH_LAYERS)
    report.check("a patch, side in pixels: as the rule for receptive fields says",
                 [np.ptp(rows) + 1, np.ptp(columns) + 1], [size, size])  # fmt: skip
    report.note(
        f"Every logit judges a patch of {size} x {size} pixels; from one patch to the next it is {jump} pixels."
    )


def _compare(report, drawn, truth):
    energy = gradient_energy(truth)
    rows = {name: [float(np.mean(np.abs(pictures - truth))), gradient_energy(pictures) / energy]
            for name, pictures in {**drawn, "true pictures": truth}.items()}  # fmt: skip
    report.table("pieces of clothing from sketches that training has not seen",
                 ["pictures", "mean absolute error, pixels from −1 to 1", "detail over that of true pictures"],
                 [[name, *row] for name, row in rows.items()])  # fmt: skip
    (error, detail), (error_with, detail_with), _ = rows.values()
    label = "error with the adversary over that of L1 alone: not 5 % below it"
    report.at_least(label, error_with / error, 0.95, trained=True)
    report.at_most("detail of L1 alone over that of true pictures", detail, 0.9, trained=True)
    label = "distance of the detail's logarithm from the true one: with the adversary over without"
    report.at_most(label, abs(math.log(detail_with)) / abs(math.log(detail)), 1.0, trained=True)
    report.note("The paper's weight of the mean absolute error is 100, with 70 x 70 patches of 256 x 256 pixels.")


def _figure(report, drawn, lines, truth):
    figure, ax = plots.subplots(figsize=(9.5, 4.2))
    rows = np.stack([each[:10] for each in (lines, *drawn.values(), truth)])
    plots.tiles(rows, ax, ["sketch", *drawn, "true picture"])
    ax.set_title("From sketches: L1 alone is smooth, the adversary asks for detail")
    report.figure("Clothing from sketches", figure, alt="Ten sketches of clothing, the pictures drawn from them by L1 "
                  "alone, smooth, and with an adversary, more detailed, and the true pictures.")  # fmt: skip

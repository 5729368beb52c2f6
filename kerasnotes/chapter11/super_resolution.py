"""The picture of smallest squared error is a mean of all that it could be; an adversary draws one, and pays decibels.

Digits are shrunk to 7 x 7 pixels and enlarged again. Many digits shrink to nearly the same 49 numbers, so the answer is
open. What the reader should see: repeated pixels and cubic interpolation, which know nothing of digits; a network
trained by squared error, far better in decibels and with little more than half of the detail of real digits; and the
same network with an adversary, with most of the detail and about a decibel behind. One that draws from all possible
truths, each as often as it occurs, has twice the squared error of their mean: looking real costs at most 3 decibels.
The adversary adds strokes, and no knowledge of which digit it was: a classifier reads its digits no better.

Notes: chapter 11, "Super-resolution" (超分辨率).
Source: Ledig et al. 2017, arXiv:1609.04802, section 2.2 (an adversary beside the error); Keys 1981,
doi:10.1109/TASSP.1981.1163711 (cubic convolution); Shi et al. 2016, arXiv:1609.05158 (sub-pixel convolution); Blau and
Michaeli 2018, arXiv:1711.06077 (what looking real costs).
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter11.judge import as_pixels, classify, trained_classifier
from kerasnotes.chapter11.pix2pix import gradient_energy, patch_discriminator
from kerasnotes.chapter11.players import Player, play
from kerasnotes.chapter11.saturation import discriminator_loss, generator_loss
from kerasnotes.parts import layer_seeds, positive, shape, whole

SMOKE = {"steps": 2, "images": 64, "test_images": 20, "channels": 4, "classifier_images": 512}
SECONDS = 15


def shrink(images, factor):
    """Pictures of smaller size; each pixel is the mean of a block.

    Args:
        images: Array (samples, height, width, channels), pixels from −1 to 1; `factor` divides height and width.
        factor: Side of a block in pixels.

    Returns: float32 (samples, height / factor, width / factor, channels).

    Raises: ValueError: If a pixel is out of range, or blocks do not fill the picture.
    """
    images, factor = as_pixels(images), whole("factor", factor)
    samples, height, width, channels = images.shape
    if height % factor or width % factor:
        raise ValueError(f"factor: expected a divisor of {height} and {width}, got {factor}")
    return images.reshape(samples, height // factor, factor, width // factor, factor, channels).mean(axis=(2, 4))


def nearest(images, factor):
    """Larger pictures (samples, factor · height, factor · width, channels): every pixel becomes a block."""
    return np.repeat(np.repeat(images, whole("factor", factor), axis=1), factor, axis=2)


def keys_kernel(distance):
    """Weights of cubic convolution: a curve through 1 at distance 0 and through 0 at 1 and 2, smooth, 0 from 2 on.

    Args:
        distance: Array of distances from a pixel, in pixels.

    Returns: float64 array of that shape.

    Source: Keys 1981, doi:10.1109/TASSP.1981.1163711 (the kernel of third order, a = −1/2).
    """
    s = np.abs(np.float64(distance))
    near, far = (1.5 * s - 2.5) * s**2 + 1, ((-0.5 * s + 2.5) * s - 4) * s + 2
    return np.where(s < 1, near, np.where(s < 2, far, 0.0))


def bicubic(images, factor):
    """Larger pictures by cubic convolution, one axis after the other: each axis is a product with one matrix.

    Near the border, where the kernel sees fewer than four pixels, its weights are divided by their sum.

    Args:
        images: Array (samples, height, width, channels).
        factor: By how much a side grows.

    Returns: float32 (samples, factor · height, factor · width, channels); it may overshoot the range of the input.

    Raises: ValueError: If there are not four axes, or the factor is not a positive whole number.
    """
    images = shape("images", np.float64(images), None, None, None, None)
    down, right = (_matrix(size, whole("factor", factor)) for size in images.shape[1:3])
    return np.float32(np.einsum("ip,jq,npqc->nijc", down, right, images, optimize=True))


def _matrix(size, factor):
    """Weights (factor · size, size): the new pixel i has its middle at (i + 1/2)/factor − 1/2 among the old ones."""
    places = (np.arange(factor * size) + 0.5) / factor - 0.5
    weights = keys_kernel(places[:, None] - np.arange(size))
    return weights / weights.sum(axis=1, keepdims=True)


def psnr(images, truth):
    """Peak signal-to-noise ratio in decibels: 10 log₁₀ of the squared range of a pixel over the mean squared error.

    Args:
        images, truth: Arrays (samples, height, width, channels), pixels from −1 to 1: a range of 2.

    Returns: float64 (samples,), infinite where a picture is the true one.

    Raises: ValueError: If a pixel is out of range, or the shapes differ.
    """
    images, truth = np.float64(as_pixels(images)), np.float64(as_pixels(truth))
    error = np.mean((shape("images", images, *truth.shape) - truth) ** 2, axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return 10 * np.log10(4 / error)


def build_upscaler(size=7, factor=4, channels=32, seed=0):
    """A small residual network that works on the small picture and writes a block of the large one at every place.

    Args:
        size, factor: Side of the small pictures, and by how much it grows.
        channels: Maps of the small pictures; large ones have a quarter of them.
        seed: Seed of the initial weights.

    Returns: An uncompiled model from (batch, size, size, 1) to (batch, factor · size, factor · size, 1); its output is
        1.25 tanh, so that black and white still have a slope.

    Raises: ValueError: If a size is not a positive whole number.

    Source: Ledig et al. 2017, arXiv:1609.04802 (residual blocks; there 16 of them, with batch normalization).
    """
    seeds, wide = layer_seeds((seed, 1)), whole("channels", channels)

    def convolution(x, kind=keras.layers.Conv2D, filters=wide, side=3, step=1):
        start = keras.initializers.HeNormal(next(seeds))
        return keras.layers.LeakyReLU(0.2)(kind(filters, side, step, "same", kernel_initializer=start)(x))

    small = keras.Input((whole("size", size), size, 1))
    x = convolution(small)
    for _ in range(2):
        x = keras.layers.Add()([x, convolution(convolution(x))])
    x = convolution(x, keras.layers.Conv2DTranspose, -(-wide // 4), whole("factor", factor), factor)  # sub-pixel
    x = keras.layers.Conv2D(1, 3, 1, "same", activation="tanh", kernel_initializer="zeros")(x)  # begins with grey
    return keras.Model(small, keras.layers.Rescaling(1.25)(x))


def train_upscaler(
    generator, discriminator, pictures, steps, *, adversary=0.1, batch_size=32, learning_rate=3e-3, seed=0, track=None,
):  # fmt: skip
    """Train a generator in place on shrunk pictures, by squared error and, if there is one, by an adversary.

    Args:
        generator: Model as `build_upscaler` makes it.
        discriminator: Model as `patch_discriminator` makes it, of [repeated pixels, picture], or None: no adversary.
        pictures: Array (samples, 28, 28, 1), pixels in [−1, 1]; they are shrunk to what the generator takes.
        steps: Turns of each network.
        adversary: Weight of the adversary's loss beside the squared error (the paper's: 0.001, on other scales).
        batch_size, seed: Pictures in a batch; seed of their order.
        learning_rate: Of the Adam optimizers; it falls linearly to a twentieth.
        track: As in `train_in_chunks`.

    Returns: float32 (steps, players), the losses; the discriminator's comes first.

    Raises: ValueError: If a pixel or a number is out of range.
    """
    positive("adversary", adversary), positive("learning_rate", learning_rate), whole("batch_size", batch_size)
    factor = generator.output_shape[1] // generator.input_shape[1]
    low = shrink(pictures, factor)
    small, coarse, large = tf.constant(low), tf.constant(nearest(low, factor)), tf.constant(as_pixels(pictures))

    def judge(order, picture):
        return tf.reshape(discriminator([tf.gather(coarse, order), picture]), (-1, 1))  # each patch is a sample

    def discriminator_turn(order):
        return discriminator_loss(
            judge(order, tf.gather(large, order)), judge(order, generator(tf.gather(small, order)))
        )

    def generator_turn(order):
        drawn = generator(tf.gather(small, order))
        error = tf.reduce_mean((drawn - tf.gather(large, order)) ** 2)
        return error if discriminator is None else error + adversary * generator_loss(judge(order, drawn))

    rate = keras.optimizers.schedules.PolynomialDecay(learning_rate, whole("steps", steps), learning_rate / 20)
    players = [] if discriminator is None else [Player([discriminator], discriminator_turn, rate)]
    players.append(Player([generator], generator_turn, rate))
    rng = np.random.default_rng((seed, 3))

    def draw(_, count):
        return (rng.integers(len(low), size=(count, batch_size), dtype=np.int32),)

    return play(players, draw, steps, every=-(-steps // 4), track=track)


def example():
    """Two pixels become eight by TensorFlow and by ours; decibels of an error; four turns on a square."""
    two = np.float32([-1, 1]).reshape(1, 1, 2, 1)
    print("TensorFlow:", tf.image.resize(two, (4, 8), "bicubic", antialias=True)[0, 0, :, 0].numpy().round(3))
    print("ours:      ", bicubic(two, 4)[0, 0, :, 0].round(3))
    square = np.float32(np.pad(np.ones((1, 10, 10, 1)), ((0, 0), (8, 10), (9, 9), (0, 0)), constant_values=-1))
    coarse = nearest(shrink(square, 4), 4)
    print("decibels:", tf.image.psnr(coarse, square, max_val=2.0).numpy(), psnr(coarse, square))
    losses = train_upscaler(build_upscaler(channels=4), patch_discriminator((4, 4)), square, 4, batch_size=2)
    print("losses of both:", losses.round(2).tolist())


def lesson(
    report,
    *,
    steps: int = 600,
    images: int = 30000,
    test_images: int = 2000,
    channels: int = 32,
    adversary: float = 0.1,
    classifier_images: int = 60000,
    seed: int = 0,
):
    """Count out what a squared error asks for, then enlarge digits in four ways.

    Args:
        report: The report to write to.
        steps: Turns of each network (2 to 1000000).
        images: Training pictures of the networks (64 to 60000).
        test_images: Test pictures that are enlarged and measured (20 to 10000).
        channels: Maps of the small pictures (1 to 1024).
        adversary: Weight of the adversary's loss beside the squared error (0.000001 to 1000).
        classifier_images: Digits that the judging classifier learns from (64 to 60000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _interpolation(report, seed)
    _what_an_error_asks_for(report, seed)
    (x, _), (x_test, digits) = data.mnist()
    rng = np.random.default_rng((seed, 4))
    order, order_test = rng.permutation(len(x))[:images], rng.permutation(len(x_test))[:test_images]
    x, truth = (np.float32(part)[..., None] / 127.5 - 1 for part in (x[order], x_test[order_test]))
    low = shrink(truth, 4)
    drawn = {"pixels repeated": nearest(low, 4), "bicubic": np.clip(bicubic(low, 4), -1, 1)}
    for name, judge in (("squared error", None), ("and an adversary", patch_discriminator(seed=seed))):
        generator = build_upscaler(channels=channels, seed=seed)
        train_upscaler(generator, judge, x, steps, adversary=adversary, seed=seed, track=report.track)
        drawn[name] = np.clip(generator.predict(low, batch_size=500, verbose=0), -1, 1)
    classifier = trained_classifier(data.mnist, training.fit, classifier_images, 4, seed)
    rows = _compare(report, drawn, truth, digits[order_test], classifier)
    _figure(report, drawn, rows, truth)


def _interpolation(report, seed):
    small = tf.random.stateless_uniform((2, 5, 7, 1), (seed, 5), -1)
    large = tf.image.resize(small, (20, 28), "bicubic", antialias=True)
    report.check("cubic convolution by two matrices: TensorFlow's resize", bicubic(small, 4), large, atol=1e-5)
    pair = nearest(small, 4) / 2, nearest(small, 4)
    report.check("decibels: TensorFlow's", psnr(*pair), tf.image.psnr(*pair, max_val=2.0), rtol=1e-4)
    maps, kernel = (tf.random.stateless_normal(size, (seed, 6)) for size in ((2, 3, 4, 8), (4, 4, 2, 8)))
    by_shuffling = tf.nn.depth_to_space(maps @ tf.transpose(tf.reshape(kernel, (32, 8))), 4)
    report.check("a block for every place: TensorFlow's channels to pixels, after a matrix product",
                 tf.nn.conv2d_transpose(maps, kernel, (2, 12, 16, 2), 4), by_shuffling, atol=1e-5)  # fmt: skip


def _what_an_error_asks_for(report, seed):
    """All 2 x 2 pictures in black and white, with random frequencies; the small picture is the mean pixel."""
    truth = 2.0 * np.reshape(list(np.ndindex(2, 2, 2, 2)), (16, 2, 2, 1)) - 1
    same = shrink(truth, 2)[:, 0, 0] == shrink(truth, 2)[:, 0, 0].T  # (16, 16), which have the same small picture
    frequency = np.random.default_rng((seed, 7)).dirichlet(np.ones(16))
    share = same * frequency / (same @ frequency)[:, None]  # of each truth among those with the same small picture
    mean = np.tensordot(share, truth, 1)
    error = frequency @ np.mean((mean - truth) ** 2, axis=(1, 2, 3))
    drawn = frequency @ np.sum(share * np.mean((truth[:, None] - truth) ** 2, axis=(2, 3, 4)), axis=1)
    report.check("all 2 x 2 pictures: squared error of a truth drawn at random over that of the mean", drawn / error, 2)
    detail = [frequency @ [gradient_energy(each[None]) for each in pictures] for pictures in (mean, truth)]
    report.at_most("detail of the mean over that of the truth", detail[0] / detail[1], 1.0)


def _compare(report, drawn, truth, digits, classifier):
    energy, rows = gradient_energy(truth), {}
    for name, pictures in {**drawn, "real digits": truth}.items():
        right = np.mean(classify(classifier, pictures)[1].argmax(axis=1) == digits)
        decibels = None if pictures is truth else float(psnr(pictures, truth).mean())
        rows[name] = [decibels, float(right), gradient_energy(pictures) / energy]
    columns = ["how", "PSNR, decibels", "the classifier's accuracy", "detail over that of real digits"]
    report.table("digits from 7 x 7 pixels, none of them seen in training", columns, [[k, *v] for k, v in rows.items()])
    (repeated, read, _), (cubic, _, _), error, both, _ = rows.values()
    gain, cost = error[0] - max(repeated, cubic), error[0] - both[0]
    report.at_least("decibels by squared error, more than the better interpolation", gain, 2.0, trained=True)
    report.at_least("decibels that the adversary costs", cost, 0.0, trained=True)
    report.at_most("and no more than drawing from all truths would", cost, 10 * math.log10(2), trained=True)
    report.at_least("accuracy by squared error, more than on repeated pixels", error[1] - read, 0.02, trained=True)
    report.at_most("detail by squared error over that of real digits", error[2], 0.75, trained=True)
    distances = [abs(math.log(row[2])) for row in (both, error)]
    report.at_most("log detail, distance from real: with over without", np.divide(*distances), 0.8, trained=True)
    report.at_most("accuracy with the adversary, more than without", both[1] - error[1], 0.01, trained=True)
    return rows


def _figure(report, drawn, rows, truth):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11.5, 4.4), width_ratios=(1.7, 1))
    plots.tiles(np.stack([each[:9] for each in (*drawn.values(), truth)]), left, [*drawn, "real digits"])
    left.set_title("From 7 x 7 to 28 x 28 pixels")
    for marker, (name, (decibels, _, detail)) in zip("sD^o", list(rows.items())[:-1], strict=True):
        right.plot(decibels, detail, marker, markersize=11, label=name)
    right.axhline(1, color="0.4", linestyle="--", label="real digits")
    right.set(xlabel="PSNR, decibels", ylabel="detail over that of real digits", ylim=(0, 1.1))
    right.set_title("Nearer, or more like real ones")
    right.legend(fontsize=10)
    report.figure("Digits from 49 pixels", figure, alt="Left: nine digits enlarged in four ways, above the real ones. "
                  "Right: squared error has the most decibels, the adversary the most detail.")  # fmt: skip

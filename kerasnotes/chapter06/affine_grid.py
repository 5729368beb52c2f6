"""Six numbers turn, scale, shear and shift a picture: they say where each of its new pixels is read from.

A new picture is made backwards: each of its pixels asks where in the old picture it comes from. The place seldom is a
pixel; then the four around it are mixed, or the nearest is taken. What the reader should see: six numbers give the
picture itself, its mirror image, turns and shifts, each the same as NumPy's or Keras's; and two transforms in a row are
one, whose matrix is the product.

Notes: chapter 06, "Spatial transformer" (空间变换层).
Source: Jaderberg et al. 2015, arXiv:1506.02025, sections 3.2 and 3.3;
https://keras.io/api/ops/image/#affine_transform-function
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.parts import floating, positive, shape, whole

SMOKE = {"transforms": 4}
SECONDS = 2


def rotation(degrees):
    """The six numbers that turn a picture counter-clockwise about its middle.

    Args:
        degrees: Angle, or angles (batch,), in degrees. A picture that is not square is sheared by it as well, since
            x and y are counted in halves of its width and height.

    Returns:
        Array (batch, 6), float64: for one angle, a batch of one.
    """
    angle = np.deg2rad(np.atleast_1d(np.asarray(degrees, np.float64)))
    cos, sin, zero = np.cos(angle), np.sin(angle), np.zeros_like(angle)
    return np.stack([cos, -sin, zero, sin, cos, zero], axis=-1)


def scaling(factor):
    """The six numbers that make a picture `factor` times as large, about its middle.

    Args:
        factor: A positive number; the picture is read at places that are closer together if it is above 1.

    Returns:
        Array (1, 6), float64.

    Raises:
        ValueError: If `factor` is not positive.
    """
    return np.array([[1, 0, 0, 0, 1, 0]]) / positive("factor", factor)


def translation(x, y):
    """The six numbers that move a picture by x to the right and by y down.

    Args:
        x, y: Numbers, in halves of the width and of the height: 2 moves the picture out of sight.

    Returns:
        Array (1, 6), float64. The places that are read move the other way.
    """
    return np.array([[1, 0, -x, 0, 1, -y]], np.float64)


def affine_grid(theta, height, width):
    """The places at which a transformed picture is read: (x', y') = A (x, y, 1) for every pixel (x, y).

    Args:
        theta: Six numbers for each picture, (batch, 6) or the matrices A (batch, 2, 3).
        height, width: Size of the new picture, 2 or more each.

    Returns:
        Tensor (batch, height, width, 2), x and y from -1 to 1: the middles of the first and the last pixel.

    Raises:
        ValueError: If `theta` has another shape, or a size is no whole number of at least 2.

    Source: Jaderberg et al. 2015, section 3.2.
    """
    theta = floating("theta", theta)
    theta = tf.reshape(shape("theta", theta, None, 6), (-1, 2, 3)) if theta.shape.rank == 2 else theta
    shape("theta", theta, None, 2, 3)
    x, y = np.meshgrid(np.linspace(-1, 1, whole("width", width, 2)), np.linspace(-1, 1, whole("height", height, 2)))
    pixels = tf.constant(np.stack([x, y, np.ones_like(x)], axis=-1), theta.dtype)  # (height, width, 3)
    return tf.einsum("hwj,bij->bhwi", pixels, theta)


def bilinear_sample(images, grid):
    """Read images at any places: the four pixels around a place, each weighted by how near it is; outside lies 0.

    Args:
        images: Tensor (batch, height, width, channels), 2 pixels or more in height and width.
        grid: Places (batch, rows, columns, 2), x and y as in `affine_grid`.

    Returns:
        Tensor (batch, rows, columns, channels), with gradients by the images and by the places.

    Raises:
        ValueError: If the shapes do not fit.

    Source: Jaderberg et al. 2015, section 3.3.
    """
    images, places = _pixels(images, grid)
    corner = tf.floor(places)  # the pixel to the left and above; as a function of the place it has slope 0
    fraction = places - corner  # (batch, rows, columns, 2), from 0 to below 1: it has slope 1, also on a pixel
    u, v = fraction[..., :1], fraction[..., 1:]  # how far to the right of it, and how far below
    result = 0
    for right, across in ((0, 1 - u), (1, u)):
        for below, down in ((0, 1 - v), (1, v)):
            result += across * down * _read(images, corner + tf.constant([right, below], corner.dtype))
    return result


def nearest_sample(images, grid):
    """Read images at the pixel nearest to each place; outside lies 0.

    Args:
        images, grid: As in `bilinear_sample`.

    Returns:
        Tensor (batch, rows, columns, channels), without a gradient by the places: the slope is 0 wherever there is one.

    Raises:
        ValueError: If the shapes do not fit.
    """
    images, places = _pixels(images, grid)
    return _read(images, tf.round(places))


def pixel_transform(theta, height, width):
    """The same transform for `keras.ops.image.affine_transform`, which counts in pixels from the upper left corner.

    Args:
        theta: Array (batch, 6).
        height, width: Size of the picture, 2 or more each.

    Returns:
        Array (batch, 8), float64: Keras's a0, a1, a2, b0, b1, b2 and two zeros.
    """
    a, b, c, d, e, f = np.moveaxis(shape("theta", np.asarray(theta, np.float64), None, 6), 1, 0)
    x, y = (whole("width", width, 2) - 1) / 2, (whole("height", height, 2) - 1) / 2  # pixels in half a picture
    rows = [a, b * x / y, x * (c + 1 - a - b), d * y / x, e, y * (f + 1 - d - e), 0 * a, 0 * a]
    return np.stack(rows, axis=1)


def _pixels(images, grid):
    """Images as floats; places as (column, row), counted in pixels."""
    images = floating("images", images)
    shape("images", images, None, None, None, None)
    grid = tf.cast(shape("grid", floating("grid", grid), images.shape[0], None, None, 2), images.dtype)
    size = [whole("width of the images", images.shape[2], 2), whole("height of the images", images.shape[1], 2)]
    return images, (grid + 1) * tf.constant([(n - 1) / 2 for n in size], images.dtype)


def _read(images, places):
    """Pixels at whole places (batch, rows, columns, 2), counted as (column, row); 0 outside."""
    height, width, channels = images.shape[1:]
    frame = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])  # a margin of zeros stands for all that lies outside
    cells = tf.reshape(frame, (-1, (height + 2) * (width + 2), channels))
    last = tf.constant([width + 1, height + 1], places.dtype)
    column, row = tf.unstack(tf.cast(tf.clip_by_value(places + 1, tf.zeros_like(last), last), tf.int32), axis=-1)
    return tf.gather(cells, row * (width + 2) + column, batch_dims=1)


def example():
    """A ramp of five columns, read half a pixel aside; the same by Keras."""
    ramp = np.float64([[0, 1, 2, 3, 4]] * 2)[None, :, :, None]
    theta = translation(-0.25, 0.0)  # a quarter of half the width: half a pixel to the left
    grid = affine_grid(theta, 2, 5)
    print("columns that are read", (2 * (grid.numpy()[0, 0, :, 0] + 1)).round(2))
    print("bilinear_sample      ", bilinear_sample(ramp, grid).numpy()[0, 0, :, 0])
    theirs = keras.ops.image.affine_transform(np.float32(ramp), np.float32(pixel_transform(theta, 2, 5)))
    print("Keras                ", theirs.numpy()[0, 0, :, 0])
    print("nearest_sample       ", nearest_sample(ramp, grid).numpy()[0, 0, :, 0])
    print("a quarter turn of 2 × 2 pixels, 1 2 above 3 4:")
    square = np.float64([[1, 2], [3, 4]])[None, :, :, None]
    print(bilinear_sample(square, affine_grid(rotation(90), 2, 2)).numpy()[0, :, :, 0].round(6))


def lesson(report, *, transforms: int = 100, seed: int = 0):
    """Turns and shifts that are known, Keras's transform, and two transforms in a row.

    Args:
        report: The report to write to.
        transforms: Random transforms to compare with Keras (2 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    digits = data.mnist()[0][0]
    digits = digits[rng.integers(len(digits), size=8), ..., None] / 255
    _known_transforms(report, digits)
    _against_keras(report, rng, transforms)
    _figure(report, digits[:1])


def _read_by(theta, images, read=bilinear_sample):
    return read(images, affine_grid(np.repeat(theta, len(images) // len(theta), axis=0), *images.shape[1:3])).numpy()


def _known_transforms(report, digits):
    """What is known without any interpolation."""
    report.check("turned by 0: the picture itself", _read_by(rotation(0), digits), digits, atol=1e-5)
    turned = [_read_by(rotation(90 * quarter), digits) for quarter in (1, 2, 3)]
    want = [np.rot90(digits, quarter, axes=(1, 2)) for quarter in (1, 2, 3)]
    report.check("quarter turns are NumPy's rot90", turned, want, atol=1e-5)
    mirror = np.array([[-1.0, 0, 0, 0, 1, 0]])
    report.check("x read backwards: a mirror image", _read_by(mirror, digits), digits[:, :, ::-1], atol=1e-5)
    moved = np.zeros_like(digits)
    moved[:, 2:, :-1] = digits[:, :-2, 1:]
    height, width = np.array(digits.shape[1:3]) - 1
    shift = _read_by(translation(-2 / width, 4 / height), digits)
    report.check("one pixel to the left and two down: shifted pixels", shift, moved, atol=1e-5)
    rows = [["turn by 30°", *rotation(30)[0]], ["twice as large", *scaling(2)[0]],
            ["half a picture to the right", *translation(1, 0)[0]], ["sheared", 1, 0.3, 0, 0, 1, 0]]  # fmt: skip
    report.table("six numbers: x' = a x + b y + c, y' = d x + e y + f is where a pixel is read from",
                 ["", *"abcdef"], [[name, *map(float, numbers)] for name, *numbers in rows])  # fmt: skip


def _random_thetas(rng, count):
    return np.array([1.0, 0, 0, 0, 1, 0]) + rng.normal(scale=0.3, size=(count, 6))


def _against_keras(report, rng, transforms):
    images, theta = rng.random((transforms, 9, 12, 2)).astype(np.float32), _random_thetas(rng, transforms)
    transform = np.float32(pixel_transform(theta, 9, 12))
    theirs = keras.ops.image.affine_transform(images, transform, data_format="channels_last")
    report.check("random transforms: keras.ops.image.affine_transform", _read_by(theta, images), theirs, atol=1e-4)
    last_row = np.broadcast_to([[[0, 0, 1]]], (transforms, 1, 3))
    first, second = (np.concatenate([each.reshape(-1, 2, 3), last_row], axis=1) for each in (theta, theta[::-1]))
    places = affine_grid(theta[::-1], 9, 12).numpy()  # of the second transform: what it reads is the first one's output
    places = np.einsum("bij,bhwj->bhwi", first[:, :2, :2], places) + first[:, None, None, :2, 2]
    product = affine_grid((first @ second)[:, :2], 9, 12)
    report.check("two transforms in a row: the grid of the product of their matrices", product, places, rtol=1e-9)


def _figure(report, digit):
    names = ("as it is", "turned", "larger", "wider", "sheared", "moved")
    thetas = np.concatenate([rotation(0), rotation(30), scaling(1.5), [[0.6, 0, 0, 0, 1, 0]], [[1, 0.5, 0, 0, 1, 0]],
                             translation(0.4, -0.3)])  # fmt: skip
    figure, axes = plots.subplots(2, len(names), figsize=(11, 4.4))
    edge = np.linspace(0, digit.shape[1] - 1, 8).astype(int)  # a grid of 8 × 8 of the places, so that one sees it
    for name, theta, (above, below) in zip(names, thetas, axes.T, strict=True):
        grid = affine_grid(theta[None], *digit.shape[1:3])
        places = (grid.numpy()[0][np.ix_(edge, edge)] + 1) * (np.array(digit.shape[2:0:-1]) - 1) / 2
        plots.bare_picture(digit[0, ..., 0], above, low=0)
        above.plot(*places.reshape(-1, 2).T, ".", color="C1", markersize=4, clip_on=False)
        above.set(title=name, xlim=(-9, 36), ylim=(36, -9))
        plots.bare_picture(bilinear_sample(digit, grid).numpy()[0, ..., 0], below, low=0)
    axes[0, 0].set_ylabel("places read")
    axes[1, 0].set_ylabel("new picture")
    report.figure("Where a new picture is read from", figure,
                  alt="Six columns: above, a digit with the grid of places that are read, below, the new picture. To "
                  "turn the digit one way the grid turns the other way; to enlarge it the grid shrinks.")  # fmt: skip

"""A picture read between its pixels has a slope by the place that is read; rounded to the nearest pixel it has none.

The slope is the difference of the pixels on both sides of the place. What the reader should see: the loss of a moved
digit is a curve over the shift where four pixels are mixed, and a staircase where the place is rounded. Descent walks
down the one and stands still on the other. The weights need care: written as 1 - |x - column| they have a wrong slope
on the pixels themselves, and there every training begins that begins with the picture as it is.

Notes: chapter 06, "Spatial transformer" (空间变换层).
Source: Jaderberg et al. 2015, arXiv:1506.02025, section 3.3.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter06.affine_grid import affine_grid, bilinear_sample, nearest_sample, rotation, translation
from kerasnotes.parts import shape

SMOKE = {"draws": 4, "steps": 3}
SECONDS = 3


def place_gradient(images, grid, dy):
    """Slope of a loss by the places at which `bilinear_sample` reads, by hand: differences of neighbouring pixels.

    On a pixel, where the slope differs to both sides, it is the one to the right and below.

    Args:
        images: Array (batch, height, width, channels); outside lies 0.
        grid: Places (batch, rows, columns, 2), x and y as in `affine_grid`.
        dy: Slopes of the loss by what is read (batch, rows, columns, channels).

    Returns:
        Array (batch, rows, columns, 2), float64.

    Raises:
        ValueError: If the shapes do not fit.

    Source: Jaderberg et al. 2015, section 3.3.
    """
    images, grid, dy = (np.asarray(each, np.float64) for each in (images, grid, dy))
    batch, height, width, channels = shape("images", images, None, None, None, None).shape
    shape("grid", grid, batch, None, None, 2)
    shape("dy", dy, *grid.shape[:3], channels)
    half = (np.array([width, height]) - 1) / 2  # pixels in half a picture
    places = (grid + 1) * half
    corner = np.floor(places)
    u, v = np.moveaxis((places - corner)[..., None], 3, 0)  # (batch, rows, columns, 1) each
    frame = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)])

    def pixel(right, below):
        column, row = np.moveaxis(np.clip(corner + np.array([right + 1, below + 1]), 0, [width + 1, height + 1]), 3, 0)
        return frame[np.arange(batch)[:, None, None], row.astype(int), column.astype(int)]

    across = (1 - v) * (pixel(1, 0) - pixel(0, 0)) + v * (pixel(1, 1) - pixel(0, 1))  # to the right, above and below
    down = (1 - u) * (pixel(0, 1) - pixel(0, 0)) + u * (pixel(1, 1) - pixel(1, 0))
    return np.stack([np.sum(across * dy, axis=-1), np.sum(down * dy, axis=-1)], axis=-1) * half


def theta_gradient(images, theta, dy):
    """Slope of a loss by the six numbers of `affine_grid`: every pixel's place moves with all three of its row.

    Args:
        images: Array (batch, height, width, channels).
        theta: Array (batch, 6).
        dy: Slopes of the loss by the transformed images, of their shape.

    Returns:
        Array (batch, 6), float64.

    Raises:
        ValueError: If the shapes do not fit.
    """
    theta = shape("theta", np.asarray(theta, np.float64), len(images), 6)
    height, width = np.shape(images)[1:3]
    slopes = place_gradient(images, affine_grid(theta, height, width), dy)  # (batch, height, width, 2)
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    pixels = np.stack([x, y, np.ones_like(x)], axis=-1)  # (height, width, 3)
    return np.einsum("bhwi,hwj->bij", slopes, pixels).reshape(-1, 6)


def hat_weights(x):
    """The weights 1 - |x - column| of the pixels to both sides of a place, as they are often written.

    Args:
        x: Tensor of floats, places counted in pixels.

    Returns:
        Tensor (2, ...): of column ⌊x⌋ and of column ⌊x⌋ + 1.
    """
    left = tf.floor(x)
    return tf.stack([1 - tf.abs(x - left), 1 - tf.abs(x - (left + 1))])


def fraction_weights(x):
    """The same weights from the fraction u = x - ⌊x⌋: 1 - u to the left and u to the right.

    Args:
        x: As in `hat_weights`.

    Returns:
        As in `hat_weights`. Only the slope differs, and only on pixels.
    """
    u = x - tf.floor(x)
    return tf.stack([1 - u, u])


def example():
    """A ramp of slope 1, read on and between pixels: the tape's slope by the place with both kinds of weights."""
    ramp = tf.range(6, dtype=tf.float64)
    for at in (3.0, 3.5):
        for weights in (fraction_weights, hat_weights):
            x = tf.constant(at, tf.float64)
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = tf.reduce_sum(weights(x) * ramp[3:5])
            print(f"column {at}, {weights.__name__:16}: value {value:.1f}, slope {tape.gradient(value, x):.1f}")
    picture = ramp.numpy().reshape(1, 1, 6, 1) + np.zeros((1, 2, 1, 1))
    by_hand = place_gradient(picture, [[[[3 / 2.5 - 1, -1]]]], [[[[1]]]]) / 2.5  # from halves of the width to pixels
    print("column 3.0, by hand         : slope", by_hand.ravel()[0])


def lesson(report, *, draws: int = 100, steps: int = 150, seed: int = 0):
    """Slopes by hand, by the tape and by differences; on a pixel; of rounded places; and a descent along them.

    Args:
        report: The report to write to.
        draws: Random transforms whose rounded pictures are watched under a tiny step (1 to 10000).
        steps: Steps of the descent towards a moved digit (1 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    digits = data.mnist()[0][0]
    digits = digits[rng.integers(len(digits), size=8), ..., None] / 255
    _gradients(report, rng)
    _on_a_pixel(report)
    _rounding(report, rng, digits, draws)
    _descent(report, digits, steps)


def _read_by(theta, images, read=bilinear_sample):
    return read(images, affine_grid(np.repeat(theta, len(images) // len(theta), axis=0), *images.shape[1:3])).numpy()


def _random_thetas(rng, count):
    return np.array([1.0, 0, 0, 0, 1, 0]) + rng.normal(scale=0.3, size=(count, 6))


def _gradients(report, rng):
    """The tape's slopes against central differences, in double precision."""
    images = rng.random((2, 4, 5, 2))
    candidates = [_random_thetas(rng, 2) for _ in range(50)]
    # Between pixels the output is a polynomial of the places; a difference must not cross a line of pixels.
    theta = max(candidates, key=lambda theta: _distance_from_lines(affine_grid(theta, 4, 5), (5, 4)))
    weights = rng.normal(size=images.shape)

    def loss(theta, images):
        return tf.reduce_sum(weights * bilinear_sample(images, affine_grid(theta, 4, 5)))

    variables = tf.constant(theta), tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(variables)
        value = loss(*variables)
    for name, got, of in zip(("six numbers", "pixels"), tape.gradient(value, variables), (0, 1), strict=True):
        want = np.zeros(variables[of].shape)
        for index in np.ndindex(want.shape):
            ends = []
            for sign in (1, -1):
                moved = [np.array(each) for each in variables]
                moved[of][index] += sign * 1e-5
                ends.append(float(loss(*moved)))
            want[index] = (ends[0] - ends[1]) / 2e-5
        error = np.abs(got - want).max() / np.abs(want).max()
        report.at_most(f"slopes by the {name} against central differences, largest relative error", error, 1e-6)
        if name == "six numbers":
            report.check("slopes by the six numbers, by hand", theta_gradient(images, theta, weights), got, rtol=1e-9)


def _distance_from_lines(grid, size):
    places = (grid.numpy() + 1) * (np.array(size) - 1) / 2
    return np.abs(places - np.round(places)).min()


def _on_a_pixel(report):
    """A ramp of slope 1, read on a pixel, as a picture is when the six numbers begin with the identity."""
    ramp, slopes = tf.range(6, dtype=tf.float64), {}
    for weights in (fraction_weights, hat_weights):
        for at in (3.0, 3.5):
            x = tf.constant(at, tf.float64)
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = tf.reduce_sum(weights(x) * ramp[3:5])
            slopes[weights.__name__, at] = float(tape.gradient(value, x))
    right, wrong = slopes["fraction_weights", 3.0], slopes["hat_weights", 3.0]
    report.check("a ramp of slope 1 on a pixel, weights u and 1 - u: its slope", right, 1.0)
    report.check("on pixel 3, weights 1 - |x - column|: the next pixel's value", wrong, 4.0)
    columns = ramp.numpy()  # the ramp's value on a column is the column's number
    rule = np.where(np.abs(columns - 3) >= 1, 0.0, np.where(columns >= 3, 1.0, -1.0))
    printed = np.sum(rule * columns)
    report.check("on pixel 3, the rule that Jaderberg et al. print: the pixel's own value", printed, 3.0)
    between = [slopes[name, 3.5] for name in ("fraction_weights", "hat_weights")]
    report.check("between pixels both are right", between, [1.0, 1.0])
    report.correction(
        "rounding and gradients",
        course="Rounded places break gradient descent, so pixels are mixed with weights 1 - |x - column|.",
        correct="Rounding has a gradient, 0, and teaches nothing. Mixing mends it, on a pixel too if the weights are u "
        "and 1 - u, u = x - ⌊x⌋: automatic differentiation takes 0 for the slope of |x - column| at 0.",
        shown_by=f"a ramp of slope 1 at pixel 3: slope {right:.0f} against {wrong:.0f}, and {printed:.0f} by the rule "
        "that Jaderberg et al. print",
    )


def _rounding(report, rng, digits, draws):
    theta = tf.constant(_random_thetas(rng, len(digits)))
    with tf.GradientTape() as tape:
        tape.watch(theta)
        value = tf.reduce_sum(nearest_sample(digits, affine_grid(theta, *digits.shape[1:3])))
    report.check("rounded places: no gradient reaches the six numbers", tape.gradient(value, theta) is None, True)
    changed = 0
    for _ in range(draws):
        theta, step = _random_thetas(rng, len(digits)), 1e-9 * rng.normal(size=(len(digits), 6))
        changed += np.sum(_read_by(theta, digits, nearest_sample) != _read_by(theta + step, digits, nearest_sample))
    report.check("rounded places: pixels that a step of 1e-9 changes", int(changed), 0)


def _descent(report, digits, steps):
    """From the digit as it is to one that is turned, sheared and moved, along the slope of the squared error."""
    wanted = np.repeat([[0.95, -0.25, 0.1, 0.35, 0.9, -0.1]], len(digits), axis=0)
    target, theta = _read_by(wanted, digits), tf.Variable(np.repeat(rotation(0), len(digits), axis=0))
    optimizer = keras.optimizers.Adam(0.02)
    optimizer.build([theta])

    @tf.function
    def descend():
        for _ in tf.range(steps):
            with tf.GradientTape() as tape:
                error = bilinear_sample(digits, affine_grid(theta, *digits.shape[1:3])) - target
                loss = tf.reduce_sum(error**2)
            optimizer.apply([tape.gradient(loss, theta)], [theta])

    descend()
    found = _read_by(theta.numpy(), digits)
    left = np.sum((found - target) ** 2) / np.sum((digits - target) ** 2)
    report.at_most("descent over six numbers: squared error left, as a share", left, 0.05, trained=True)
    figure, axes = plots.subplots(1, 2, figsize=(11, 4.4), width_ratios=(3, 2))
    plots.tiles(np.array([digits, target, found])[:, :5], axes[0], ["digit", "moved", "found"], low=0)
    axes[0].set_title("Six numbers, found by descent")
    shifts = np.linspace(0, 5, 401)
    half = (digits.shape[2] - 1) / 2
    goal, curves = _read_by(translation(2.5 / half, 0), digits[:1]), {}
    for name, read in (("four pixels mixed", bilinear_sample), ("nearest pixel", nearest_sample)):
        theta = np.concatenate([translation(shift / half, 0) for shift in shifts])
        errors = _read_by(theta, np.repeat(digits[:1], len(shifts), axis=0), read) - goal
        curves[name] = np.mean(errors**2, axis=(1, 2, 3))
    plots.curves(shifts, curves, xlabel="shift, pixels", ylabel="mean squared error", ax=axes[1],
                 title="Rounding makes stairs")  # fmt: skip
    report.figure("A slope where pixels are mixed, stairs where they are rounded", figure,
                  alt="Left: five digits, the same turned, sheared and moved, and what descent found, which looks "
                  "like the second row. Right: the error over the shift is a curve with a valley where pixels are "
                  "mixed, and flat steps where the place is rounded.")  # fmt: skip

"""A convolution moves its features with the picture instead of leaving them; at stride 2, for even shifts only.

"Invariant" would mean that a shifted picture gives the same features, "equivariant" that they shift along. The distance
of the features after a shift from every shifted copy of those before tells which it is: at stride 1 it is zero for the
copy that has moved as far, and large for the one that stayed. At stride 2 a shift by two pixels moves the features by
one place; after a shift by one pixel no copy of the old features comes close.

Notes: chapter 06, "Convolution" (卷积).
Source: Goodfellow, Bengio, Courville 2016, Deep Learning, https://www.deeplearningbook.org, section 9.2 (equivariance);
Azulay and Weiss 2019, arXiv:1805.12177 (what strides do to it);
https://keras.io/api/layers/convolution_layers/convolution2d.
"""

import keras
import numpy as np

from kerasnotes import data, plots
from kerasnotes.chapter06.convolution import conv2d, four_axes

SMOKE = {"picture": 1}
SECONDS = 1


def shift_distances(before, after, axis=1):
    """How far features are from every shifted copy of others: ‖after − copy‖ / ‖before‖.

    Equivariance to a shift means that one of the distances is 0, invariance that the first one is.

    Args:
        before, after: Feature maps of one shape (batch, rows, columns, filters); shifts go round the border.
        axis: Axis along which copies are shifted: 1 for down, 2 for the right.

    Returns: Array (places,): the distance to the copy that is shifted by 0, 1, 2, … places.
    Raises: ValueError: If the shapes differ or have no four axes, or `before` is zero everywhere.
    """
    before, after = four_axes("before", before), four_axes("after", after)
    if before.shape != after.shape or not before.any():
        raise ValueError(f"before, after: expected features of one shape, not all 0, got {before.shape}, {after.shape}")
    copies = [np.roll(before, places, axis=axis) for places in range(before.shape[axis])]
    return np.array([np.linalg.norm(after - copy) for copy in copies]) / np.linalg.norm(before)


def example():
    """Keras's layer sees a picture twice, the second time one pixel or two further down."""
    picture = np.zeros((1, 16, 16, 1), np.float32)
    picture[0, 5:9, 6:8, 0] = 1
    for strides in (1, 2):
        layer = keras.layers.Conv2D(filters=2, kernel_size=3, strides=strides, kernel_initializer="glorot_uniform")
        features = layer(picture)
        for shift in (1, 2):
            distances = shift_distances(features, layer(np.roll(picture, shift, axis=1)))
            closest = int(distances.argmin())
            print(f"stride {strides}, {shift} px down: features that stayed are {distances[0]:.2f} away, those moved "
                  f"by {closest} {distances[closest]:.2f}")  # fmt: skip


def lesson(report, *, picture: int = 0, seed: int = 0):
    """Move a picture under a convolution with strides 1 and 2, and look for its features.

    Args:
        report: The report to write to.
        picture: Number of the test picture of Fashion-MNIST to move (0 to 9999).
        seed: Seed of the kernel's weights (0 to 4294967295).
    """
    image = data.fashion_mnist()[1][0][picture] / 255.0  # (28, 28)
    x, w = np.pad(image, 12)[None, ..., None], np.random.default_rng(seed).normal(size=(3, 3, 1, 1))  # room to move
    changed = _stride_one(report, x, w)
    closest, curves = _stride_two(report, x, w)
    report.correction(
        "what a shift of the picture does",
        course="Convolution is invariant to shifts.",
        correct="It is equivariant: features move with the picture; with stride s, for shifts by multiples of s.",
        shown_by=f"after a shift, the output differs from the old one by {changed:.0%} and equals the shifted one; "
        f"at stride 2 and one pixel, it differs from every shifted one by {closest:.0%} or more",
    )
    report.figure(
        "Two strides, and where the features went",
        _figure(curves),
        alt="Distance of the features after a shift from every shifted copy of those before. At stride 1 a shift by "
        "two pixels touches zero at two places; at stride 2 it does so at one place, a shift by one pixel nowhere.",
    )


def _stride_one(report, x, w):
    maps, moved = (conv2d(each, w) for each in (x, np.roll(x, (3, 5), axis=(1, 2))))
    report.check("3 down and 5 to the right: so do the features", moved, np.roll(maps, (3, 5), axis=(1, 2)))
    changed = float(shift_distances(maps, moved)[0])
    report.at_least("invariance would leave them; relative change", changed, 0.5)
    return changed


def _stride_two(report, x, w):
    maps = conv2d(x, w, 2)
    even, odd = (conv2d(np.roll(x, shift, axis=1), w, 2) for shift in (2, 1))
    report.check("stride 2: two pixels of the picture move the features by one", even, np.roll(maps, 1, axis=1))
    closest = float(shift_distances(maps, odd).min())
    report.at_least("one pixel changes them, however they are moved back; relative change", closest, 0.1)
    whole = conv2d(x, w), conv2d(np.roll(x, 2, axis=1), w)
    return closest, {
        "stride 1, picture 2 px down": shift_distances(*whole),
        "stride 2, picture 2 px down": shift_distances(maps, even),
        "stride 2, picture 1 px down": shift_distances(maps, odd),
    }


def _figure(curves, shown=7):
    series = {name: distances[:shown] for name, distances in curves.items()}
    labels = {"xlabel": "places by which the old features are moved down", "ylabel": "relative distance"}
    figure = plots.curves(np.arange(shown), series, marker="o", title="Features move along, or get lost", **labels)
    figure.axes[0].set_ylim(bottom=0)
    return figure

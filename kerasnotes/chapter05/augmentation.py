"""Pictures that are moved or turned a little keep their label, and a network learns more from each of them.

What the reader should see: two ways to make more of 1,000 digits, each built here and equal to Keras's own; then one
network, trained on the same number of batches with and without them. Shifting and turning raise the test accuracy by
several points. What does not keep the label does harm: turned by any angle, a 6 becomes a 9.

Notes: chapter 05, "Data augmentation, noise and label smoothing" (数据增强).
Source: Simard et al. 2003, doi:10.1109/ICDAR.2003.1227801.
"""

import math

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.chapter05.input_noise import add_noise
from kerasnotes.chapter05.label_smoothing import smooth_labels
from kerasnotes.parts import whole

SMOKE = {"images": 100, "test_images": 200, "copies": 2, "passes": 1, "seeds": 2, "units": 8}
SECONDS = 20


def shift_by(images, down, right):
    """Move every image by whole pixels. What leaves the frame is lost; what enters is 0.

    Args:
        images: Array (n, height, width) or (n, height, width, channels).
        down, right: Whole numbers (n,): pixels down and to the right; negative ones up and to the left.

    Returns: An array of the shape and type of `images`.
    Raises: ValueError: If the shapes do not fit.
    """
    images = _images(images)
    n, height, width = images.shape[:3]
    down, right = (_one_each(name, value, n) for name, value in (("down", down), ("right", right)))
    if any((value != np.round(value)).any() for value in (down, right)):
        raise ValueError("down, right: expected whole numbers of pixels, got fractions")
    rows = np.arange(height) - down.astype(int)[:, None]  # (n, height): where each new row comes from
    columns = np.arange(width) - right.astype(int)[:, None]  # (n, width)
    return _pixels(images, rows[:, :, None], columns[:, None, :])


def shift(images, pixels, seed):
    """Move every image by random whole pixels, each direction uniform from −pixels to pixels.

    Args:
        images: Array (n, height, width) or (n, height, width, channels).
        pixels: Largest shift, a whole number of at least 0.
        seed: Seed, or a `np.random.Generator`.

    Returns: An array of the shape and type of `images`; what enters is 0.
    Raises: ValueError: If the shapes do not fit or `pixels` is not a whole number of at least 0.
    """
    images = _images(images)
    whole("pixels", pixels, least=0)
    return shift_by(images, *np.random.default_rng(seed).integers(-pixels, pixels, (2, len(images)), endpoint=True))


def rotate_by(images, degrees):
    """Turn every image about its centre, counter-clockwise, with bilinear interpolation; outside it is 0.

    Args:
        images: Array (n, height, width) or (n, height, width, channels). Whole numbers become float32.
        degrees: Angles (n,), in degrees.

    Returns: An array of the shape of `images`.
    Raises: ValueError: If the shapes do not fit.
    """
    images = _images(images)
    images = images if images.dtype.kind == "f" else images.astype(np.float32)
    n, height, width = images.shape[:3]
    angles = np.deg2rad(_one_each("degrees", degrees, n))[:, None, None]
    y, x = np.arange(height)[:, None] - (height - 1) / 2, np.arange(width) - (width - 1) / 2  # from the centre
    rows = np.cos(angles) * y + np.sin(angles) * x + (height - 1) / 2  # (n, height, width): where a pixel comes from
    columns = np.cos(angles) * x - np.sin(angles) * y + (width - 1) / 2
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    below, beside = (rows - top).astype(images.dtype), (columns - left).astype(images.dtype)
    turned = np.zeros_like(images)
    for row, row_weight in ((top, 1 - below), (top + 1, below)):
        for column, column_weight in ((left, 1 - beside), (left + 1, beside)):
            weight = (row_weight * column_weight).reshape(n, height, width, *[1] * (images.ndim - 3))
            turned += weight * _pixels(images, row, column)
    return turned


def rotate(images, degrees, seed):
    """Turn every image by a random angle, uniform from −degrees to degrees.

    Args:
        images: Array (n, height, width) or (n, height, width, channels). Whole numbers become float32.
        degrees: Largest angle, 0 to 180.
        seed: Seed, or a `np.random.Generator`.

    Returns: An array of the shape of `images`; what enters is 0.
    Raises: ValueError: If the shapes do not fit or `degrees` is out of range.
    """
    images = _images(images)
    if not 0 <= degrees <= 180:
        raise ValueError(f"degrees: expected a number from 0 to 180, got {degrees!r}")
    return rotate_by(images, np.random.default_rng(seed).uniform(-degrees, degrees, len(images)))


def _images(images):
    images = np.asarray(images)
    if images.ndim not in (3, 4) or not images.size or images.dtype.kind not in "biuf":
        raise ValueError(
            f"images: expected numbers (n, height, width) or with channels, got {images.dtype} {images.shape}"
        )
    return images


def _one_each(name, values, n):
    values = np.asarray(values, np.float64)
    if values.shape != (n,) or not np.isfinite(values).all():
        raise ValueError(f"{name}: expected one finite number for each of {n} images, got {values}")
    return values


def _pixels(images, rows, columns):
    """The pixels at integer places (n, height, width), or shapes that broadcast to it; 0 outside the frame."""
    height, width = images.shape[1:3]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    flat = images.reshape(-1, *images.shape[3:])  # one gather from a flat array is twice as fast as three indices
    places = (np.arange(len(images))[:, None, None] * height + rows.clip(0, height - 1)) * width
    found = flat[places + columns.clip(0, width - 1)]
    return np.where(inside.reshape(*inside.shape, *[1] * (images.ndim - 3)), found, np.zeros((), images.dtype))


def example():
    """A small picture, moved and turned by whole steps and by chance; a quarter turn by NumPy, too."""
    image = np.arange(1, 10).reshape(1, 3, 3)
    for name, changed in (
        ("a picture", image),
        ("one row down", shift_by(image, [1], [0])),
        ("turned by 90°", rotate_by(image, [90]).round()),
        ("np.rot90", np.rot90(image, axes=(1, 2))),
        ("shifted at random", shift(image, 1, seed=0)),
        ("turned at random", rotate(image, 30, seed=0).round(1)),
    ):
        print(f"{name:18}", changed[0].tolist())


def lesson(
    report,
    *,
    images: int = 1000,
    test_images: int = 10000,
    copies: int = 20,
    passes: int = 5,
    units: int = 128,
    batch_size: int = 50,
    pixels: int = 2,
    degrees: float = 15.0,
    deviation: float = 0.2,
    smoothing: float = 0.1,
    seeds: int = 3,
    seed: int = 0,
):
    """Compare the augmentations with Keras's, then train on a few digits with and without them.

    Args:
        report: The report to write to.
        images: Training images drawn from MNIST (20 to 60000).
        test_images: Test images (200 to 10000).
        copies: Versions made of each image (1 to 100).
        passes: Passes over all versions (1 to 1000).
        units: Hidden units (1 to 4096).
        batch_size: Images in a batch (1 to 10000).
        pixels: Largest shift, in pixels (0 to 28).
        degrees: Largest angle (0 to 180).
        deviation: Standard deviation of the noise; pixels lie between 0 and 1 (0 to 10).
        smoothing: Share of each label that is spread over all classes (0.001 to 0.9).
        seeds: Independent runs, each with its own images and first weights (2 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    (x_all, y_all), (x_test, y_test) = data.mnist()
    y_all, x_test, y_test = np.eye(10)[y_all], x_test[:test_images] / np.float32(255), np.eye(10)[y_test[:test_images]]
    _equal_to_keras(report, x_test[:40], np.random.default_rng(seed))
    methods = {  # from images and a seed to new images
        "none": lambda x, seed: x,
        "label smoothing": lambda x, seed: x,
        "noise": lambda x, seed: add_noise(x, deviation, seed),
        "rotate": lambda x, seed: rotate(x, degrees, seed),
        "shift": lambda x, seed: shift(x, pixels, seed),
        "shift and rotate": lambda x, seed: rotate(shift(x, pixels, (*seed, 0)), degrees, (*seed, 1)),
        "rotate by any angle": lambda x, seed: rotate(x, 180, seed),
    }
    runs, test = range(seed * seeds, (seed + 1) * seeds), (x_test, y_test)
    fit = {"batch_size": batch_size, "epochs": passes, "validation_data": test}
    found = _train(report, methods, runs, x_all, y_all, images, copies, units, smoothing, fit)
    _compare(report, found, images, passes * -(-images * copies // batch_size))
    digit = x_all[np.argmax(y_all[:, 6])][None] / np.float32(255)
    report.figure(
        "Each kind of augmentation and what it brings",
        _figure(digit, methods, found),
        alt="Left: five versions of a 6 for each augmentation; turned by any angle it can look like a 9. Right: test "
        "accuracy with standard errors; shift and rotate together are highest, any angle is lowest.",
    )


def _equal_to_keras(report, digits, rng):
    angles, centre = rng.uniform(-180, 180, len(digits)), (28 - 1) / 2
    cos, sin, zero = np.cos(np.deg2rad(angles)), np.sin(np.deg2rad(angles)), np.zeros(len(digits))
    turned = np.stack([cos, -sin, centre * (1 - cos + sin), sin, cos, centre * (1 - cos - sin), zero, zero], axis=1)
    down, right = rng.integers(-9, 10, (2, len(digits)))
    moved = np.stack([zero + 1, zero, -right, zero, zero + 1, -down, zero, zero], axis=1)
    for name, ours, transform in (
        ("rotate_by", rotate_by(digits, angles), turned),
        ("shift_by", shift_by(digits, down, right), moved),
    ):
        theirs = keras.ops.image.affine_transform(
            digits[..., None], transform.astype(np.float32), interpolation="bilinear", fill_mode="constant"
        )
        report.check(f"{name} equals keras.ops.image.affine_transform", ours, theirs[..., 0], atol=1e-4)
    quarter = rotate_by(digits, np.full(len(digits), 90.0))
    report.check("a quarter turn moves every pixel to its place", quarter, np.rot90(digits, axes=(1, 2)))
    dot = np.zeros((6000, 5, 5))
    dot[:, 2, 2] = 1
    counts = shift(dot, 2, rng).sum(axis=0)  # where the dot went
    spread = math.sqrt(6000 * (1 / 25) * (24 / 25))
    report.at_most("6000 dots shifted by up to 2 pixels: 25 places alike, in standard errors",
                   np.abs(counts - 6000 / 25) / spread, 4.5)  # fmt: skip


def _network(units, seed):
    first, last = (keras.initializers.GlorotUniform(seed=(2 * seed + layer) % 2**31) for layer in range(2))
    hidden = keras.layers.Dense(units, "relu", kernel_initializer=first)
    logits = keras.layers.Dense(10, kernel_initializer=last)
    return keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), hidden, logits])


def _train(report, methods, runs, x_all, y_all, images, copies, units, smoothing, fit):
    """Train on images made by each method. Returns {name: accuracies (runs, 1 + passes)}, first on the images."""
    model = _network(units, 0)
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    restart = training.restarter(model)
    found = {name: [] for name in methods}
    for name, run in report.track([(name, run) for run in runs for name in methods], "training"):
        chosen = np.random.default_rng((run, 0)).permutation(len(x_all))[:images]
        x, y = x_all[chosen] / np.float32(255), np.tile(y_all[chosen], (copies, 1))
        made = np.concatenate([methods[name](x, (run, 1, copy)) for copy in range(copies)])
        target = smooth_labels(y, smoothing) if name == "label smoothing" else y
        restart(_network(units, run).get_weights())
        history = training.fit(model, made, target, seed=run, **fit).history
        found[name].append([training.evaluate(model, x, y_all[chosen])["accuracy"], *history["val_accuracy"]])
    return {name: np.array(values) for name, values in found.items()}


def _compare(report, found, images, updates):
    gains = {name: values[:, -1] - found["none"][:, -1] for name, values in found.items()}
    rows = []
    for name, values in found.items():
        gain = plots.mean_and_error(gains[name] * 100)
        rows.append([name, values[:, 0].mean(), *plots.mean_and_error(values[:, -1]), values[:, 1:].max(axis=1).mean(),
                     *gain])  # fmt: skip
    columns = ["augmentation", "accuracy on the images themselves", "test accuracy", "standard error",
               "best of all passes", "gain, points", "standard error of the gain"]  # fmt: skip
    report.table(f"{images} digits, {updates} updates each, {len(gains['none'])} runs", columns, rows)
    for name in ("shift", "rotate", "shift and rotate"):
        report.at_least(f"{name}: gain in test accuracy, mean", gains[name].mean(), 0.01, trained=True)
    ahead = found["shift and rotate"][:, -1] - found["none"][:, 1:].max(axis=1)
    report.at_least("shift and rotate: lead over the best pass without, every run", ahead, 0.01, trained=True)
    report.at_most("any angle: gain", gains["rotate by any angle"], -0.01, trained=True)
    report.note(
        "All runs have the same number of updates; without augmentation they see the same images again and again. "
        "Augmentation has to keep the label: within a few degrees a digit stays what it is, upside down it does not."
    )


def _figure(digit, methods, found, versions=5):
    rows = [np.hstack([make(digit, (7, version))[0] for version in range(versions)]) for make in methods.values()]
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 6), width_ratios=(5, 6))
    left.imshow(np.vstack(rows).clip(0, 1), cmap="gray", aspect="auto", extent=(0, versions, len(rows) - 0.5, -0.5))
    left.set_yticks(range(len(rows)), list(methods))
    left.set_xticks([])
    left.grid(False)
    left.set_title("Five versions of one digit")
    mean, error = plots.mean_and_error(np.stack([values[:, -1] * 100 for values in found.values()], axis=1))
    right.barh(range(len(rows)), mean, xerr=error, capsize=4, height=0.6,
               color=["C2" if name == "none" else "C0" for name in found])  # fmt: skip
    for row, value in enumerate(mean):
        right.annotate(
            f"{value:.1f}", (mean.min() - 4, row), (4, 0), textcoords="offset points", va="center", color="w"
        )
    right.axvline(mean[0], color="C2", linestyle="--", linewidth=1.2)
    right.set(xlim=(mean.min() - 4, mean.max() + 2), ylim=(len(rows) - 0.5, -0.5), xlabel="test accuracy, percent",
              title="Moving and turning teach the most")  # fmt: skip
    right.set_yticks([])
    return figure

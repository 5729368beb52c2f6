"""A denoising autoencoder learns where images lie, so that it can bring spoiled ones back.

It sees a spoiled image and is asked for the clean one. What the reader should see: noise and missing blocks are mended
far better than by leaving them or by filling in the mean; the same network, trained to copy clean images, removes less
of the noise and leaves the holes.

Notes: chapter 10, "Denoising autoencoder" (去噪自编码器).
Source: Vincent et al. 2008, doi:10.1145/1390156.1390294.
"""

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.chapter10.autoencoder import squared_error

SMOKE = {"images": 256, "epochs": 1, "hidden": 4, "seeds": 1}
FULL = {"epochs": 40, "seeds": 5}
SECONDS = 21


def add_noise(x, deviation, seed=0):
    """Add Gaussian noise to images and cut what leaves [0, 1].

    Args:
        x: Images (samples, …) with values in [0, 1].
        deviation: Standard deviation of the noise before cutting.
        seed: Seed of the noise.

    Returns:
        Array of the shape of `x`, float32.

    Raises:
        ValueError: If the deviation is negative or not finite, or `x` is empty or leaves [0, 1].
    """
    if not 0 <= deviation < np.inf:
        raise ValueError(f"deviation: expected a number of at least 0, got {deviation!r}")
    x = _checked("x", x)
    if not 0 <= x.min() <= x.max() <= 1:
        raise ValueError(f"x: expected values in [0, 1], got {x.min():g} to {x.max():g}; divide 8-bit images by 255")
    noise = np.random.default_rng(seed).standard_normal(x.shape, dtype=np.float32)
    return np.clip(x + np.float32(deviation) * noise, 0, 1)


def remove_block(x, size, seed=0, fill=0.0):
    """Overwrite one square of every image, at a place of its own.

    Args:
        x: Images (samples, height, width).
        size: Side of the square in pixels, from 1 to the image's smaller side.
        seed: Seed of the places.
        fill: What to write: a number, or an image (height, width) such as the mean image.

    Returns:
        `(spoiled, missing)`, each (samples, height, width): float32, and booleans that are True inside the square.

    Raises:
        ValueError: If `x` does not have three axes, or the square does not fit.
    """
    x = _checked("x", x)
    if x.ndim != 3:
        raise ValueError(f"x: expected the shape (samples, height, width), got {x.shape}")
    samples, height, width = x.shape
    if not 1 <= size <= min(height, width):
        raise ValueError(f"size: expected 1 to {min(height, width)} for images of {height} × {width}, got {size!r}")
    rng = np.random.default_rng(seed)
    top, left = (rng.integers(side - size + 1, size=samples)[:, None] for side in (height, width))
    rows, columns = np.arange(height), np.arange(width)
    in_rows, in_columns = (rows >= top) & (rows < top + size), (columns >= left) & (columns < left + size)
    missing = in_rows[:, :, None] & in_columns[:, None, :]
    return np.where(missing, np.float32(fill), x), missing


def _checked(name, x):
    x = np.asarray(x, np.float32)
    if x.size == 0 or x.ndim == 0:
        raise ValueError(f"{name}: expected images (samples, …), got an array of shape {x.shape}")
    return x


def example():
    """A network of Keras's that is shown noisy stripes and asked for clean ones: what does it repair?"""
    rng = np.random.default_rng(0)
    clean = np.float32(np.tile(rng.random((600, 1, 6)) < 0.5, (1, 6, 1)))  # six columns, black or white
    noisy = add_noise(clean, 0.4, seed=1)
    holed, missing = remove_block(clean, 3, seed=2)
    repair = [keras.layers.Dense(32, "relu"), keras.layers.Dense(36, "sigmoid")]
    model = keras.Sequential([keras.layers.Flatten(), *repair, keras.layers.Reshape((6, 6))])
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    for name, spoiled in (("noise", noisy), ("block", holed)):
        model.fit(spoiled[:500], clean[:500], epochs=5, verbose=0)
        before, after = squared_error(clean[500:], spoiled[500:]), squared_error(clean[500:], model(spoiled[500:]))
        print(f"{name}: squared error {before:.2f} before, {after:.2f} after repair")
    print("pixels of a block:", int(missing[0].sum()))


def lesson(
    report,
    *,
    images: int = 20000,
    epochs: int = 6,
    hidden: int = 400,
    deviation: float = 0.5,
    block: int = 10,
    seeds: int = 2,
    seed: int = 0,
):
    """Train the same network to copy, to remove noise and to fill in blocks, and compare on unseen images.

    Args:
        report: The report to write to.
        images: Training images (256 to 60000).
        epochs: Training epochs (1 to 1000).
        hidden: Units of the hidden layer (1 to 4096).
        deviation: Standard deviation of the noise; pixels lie between 0 and 1 (0.1 to 2).
        block: Side of the missing square in pixels (2 to 20).
        seeds: Independent runs (1 to 20).
        seed: Seed of all random draws (0 to 4294967295).
    """
    (x_train, _), (x_test, _) = data.mnist()
    x_train, x_test = (np.float32(x) / 255 for x in (x_train[:images], x_test))
    mean = x_train.mean(axis=0)
    errors, shown = {}, None
    for run in range(seeds):
        noisy = add_noise(x_test, deviation, (seed, run, 1))
        holed, missing = remove_block(x_test, block, (seed, run, 2))
        filled = np.where(missing, mean, x_test)
        copier = _train(report, x_train, x_train, epochs, hidden, (seed, run))
        repairer = _train(report, add_noise(x_train, deviation, (seed, run, 3)), x_train, epochs, hidden, (seed, run))
        painter = _train(report, remove_block(x_train, block, (seed, run, 4))[0], x_train, epochs, hidden, (seed, run))
        repaired, painted = _run(repairer, noisy), np.where(missing, _run(painter, holed), x_test)
        copied = np.where(missing, _run(copier, holed), x_test)
        for name, rebuilt in (
            ("noise: left as it is", noisy),
            ("noise: trained to remove it", repaired),
            ("noise: trained to copy clean images", _run(copier, noisy)),
            ("block: left black", holed),
            ("block: filled with the mean image", filled),
            ("block: trained to fill it in", painted),
            ("block: trained to copy clean images", copied),
        ):
            errors.setdefault(name, []).append(squared_error(x_test, rebuilt))
        shown = shown or (noisy, repaired, holed, filled, painted)
    share = np.array(errors["noise: trained to remove it"]) / errors["noise: left as it is"]
    report.at_most("error after removing noise over error before, every run", got=share, bound=0.5, trained=True)
    worse = np.array(errors["noise: trained to copy clean images"]) / errors["noise: trained to remove it"]
    report.at_least("error of the copier over that of the repairer, every run", got=worse, bound=1.0, trained=True)
    worse = np.array(errors["block: filled with the mean image"]) / errors["block: trained to fill it in"]
    report.at_least("error of the mean image over that of the painter, every run", got=worse, bound=1.0, trained=True)
    _closed_forms(report, x_test, seed)
    rows = [[name, *plots.mean_and_error(values)] for name, values in errors.items()]
    report.table(f"squared error a test image, {seeds} runs", ["damage and repair", "mean", "standard error"], rows)
    _figure(report, x_test, shown, deviation, block)


def _train(report, x, target, epochs, hidden, seed):
    seeds = np.random.default_rng(seed).integers(2**31, size=2).tolist()
    model = keras.Sequential([
        keras.Input((784,)),
        keras.layers.Dense(hidden, activation="relu", kernel_initializer=keras.initializers.HeUniform(seeds[0])),
        keras.layers.Dense(784, activation="sigmoid", kernel_initializer=keras.initializers.GlorotUniform(seeds[1])),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(2e-3), "binary_crossentropy")
    training.fit(model, x.reshape(len(x), -1), target.reshape(len(x), -1), batch_size=128, epochs=epochs, seed=seeds[0],
                 track=report.track)  # fmt: skip
    return model


def _run(model, x):
    return training.predict(model, x.reshape(len(x), -1)).reshape(x.shape)


def _closed_forms(report, x_test, seed):
    """What damage costs before any repair, from probability alone."""
    grey = np.full((2000, 28, 28), 0.5, np.float32)  # far from 0 and 1: nothing is cut
    got = squared_error(grey, add_noise(grey, 0.05, (seed, 5)))
    spread = 784 * 0.05**2 * np.sqrt(2 / 784 / 2000)  # of the mean over 2,000 images
    report.check("noise of deviation σ costs 784 σ² a grey image", got=got, want=784 * 0.05**2, rtol=0, atol=4 * spread)
    spoiled, missing = remove_block(x_test, 10, (seed, 6))
    report.check("a block takes 100 pixels of every image", got=np.unique(missing.sum(axis=(1, 2))), want=[100])
    lost = float(np.sum(x_test[missing] ** 2, dtype=np.float64) / len(x_test))
    report.check("filled with black it costs the squares of what stood there", squared_error(x_test, spoiled), lost)


def _figure(report, x_test, shown, deviation, block):
    rows = [x_test, *shown]
    names = ["clean", f"noise, σ = {deviation:g}", "repaired", f"{block} × {block} missing", "mean image", "filled in"]
    figure, ax = plots.subplots(figsize=(9, 4.8))
    plots.tiles(np.stack([row[:12] for row in rows]), ax, names, low=0)  # (rows, 12, 28, 28)
    ax.set_title("What was spoiled, and what the network makes of it")
    report.figure(
        "spoiled and repaired digits",
        figure,
        alt="Test digits: clean; with noise; repaired, smooth and legible; with a black block; with the mean image "
        "in it; filled in, with strokes that continue through the block.",
    )

"""A network with pooling reads shifted digits far better than turned or scaled ones whose ink has moved as far.

A bright pixel that moves by one leaves the pooled picture alone more often the larger the window is. Networks trained
on upright digits are then tried on digits that were shifted, turned and scaled so that the ink moves equally far on
average. With pooling, the shifted ones stay legible; strides in place of the small windows cost a little accuracy only,
since it is the global maximum at the end that forgives shifts.

Notes: chapter 06, "Pooling" (池化).
Source: Springenberg et al. 2014, arXiv:1412.6806 (strides instead of pooling); Jaderberg et al. 2015, arXiv:1506.02025,
section 3 (reading a picture bilinearly at moved places).
"""

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.chapter06.pooling import average_pool2d, max_pool2d
from kerasnotes.parts import shape

SMOKE = {"images": 64, "test_images": 50, "epochs": 1, "networks": 2, "seeds": 1}
SECONDS = 15

STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # one pixel to each side
DISTANCES = (0, 1, 2, 3)  # pixels by which the ink of a test digit moves, on average
NETWORKS = {  # how its convolutions reduce the picture, their filters, and how the last one is read
    "max pooling": ("pooling", (8, 16, 32), keras.layers.GlobalMaxPooling2D),
    "no pooling at all": ("strides", (8, 16, 32), keras.layers.Flatten),
    "strides instead": ("strides", (8, 16, 32), keras.layers.GlobalMaxPooling2D),
    "strides, more filters": ("strides", (12, 24, 32), keras.layers.GlobalMaxPooling2D),
}


def warp(pictures, matrices, shifts):
    """Move pictures: each pixel is read, bilinearly, at matrix @ place - shift, counted from the middle.

    Args:
        pictures: Array (n, height, width, 1); outside it is 0.
        matrices: Array (n, 2, 2), for places (row, column).
        shifts: Array (n, 2), in pixels.

    Returns:
        Array of the pictures' shape and type.

    Raises:
        ValueError: If the shapes do not fit.

    Source: Jaderberg et al. 2015, arXiv:1506.02025, section 3.3.
    """
    n, height, width, _ = shape("pictures", pictures, None, None, None, 1).shape
    shape("matrices", matrices, n, 2, 2), shape("shifts", shifts, n, 2)
    centre = np.array([height - 1, width - 1]) / 2
    place = np.stack(np.mgrid[:height, :width], axis=-1).reshape(-1, 2) - centre  # (pixels, 2)
    source = place @ np.swapaxes(matrices, 1, 2) - shifts[:, None] + centre  # (n, pixels, 2)
    corner = np.floor(source).astype(int)
    padded = np.pad(pictures[..., 0], [(0, 0), (1, 1), (1, 1)])  # zeros outside
    result = 0
    for step in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = np.prod(1 - np.abs(source - corner - step), axis=-1)
        row, column = np.moveaxis(np.clip(corner + step + 1, 0, [height + 1, width + 1]), -1, 0)
        result = result + weight * padded[np.arange(n)[:, None], row, column]
    return result.reshape(pictures.shape).astype(pictures.dtype)


def turn(angles):
    """Matrices (n, 2, 2) for `warp` that turn pictures by angles (n,) in radians."""
    cos, sin = np.cos(angles), np.sin(angles)
    return np.moveaxis(np.array([[cos, -sin], [sin, cos]]), -1, 0)


def moved_equally(pictures, distances, rng):
    """Shift, turn and scale pictures so that their ink moves equally far on average, each to a random side.

    Args:
        pictures: Array (n, height, width, 1) of ink, not negative and not all 0.
        distances: How far, in pixels.
        rng: A `numpy.random.Generator`.

    Returns:
        Dictionary from the move's name to `(pictures for each distance, sizes of the move)`: pixels, degrees, per cent.
    """
    height, width = pictures.shape[1:3]
    row, column = np.mgrid[:height, :width] - np.reshape([height - 1, width - 1], (2, 1, 1)) / 2
    ink = pictures[..., 0]
    radius = np.mean(np.sum(ink * np.hypot(row, column), (1, 2)) / np.sum(ink, (1, 2)))  # of the ink
    aside, sign = np.array(STEPS)[rng.integers(4, size=len(ink))], rng.choice([-1, 1], size=len(ink))
    angles = 2 * np.arcsin(np.array(distances) / (2 * radius))  # a turn moves ink at radius r by 2 r sin(angle / 2)
    factors = np.array(distances) / radius  # and a scale of 1 ± factor moves it by r times the factor
    same, still = turn(np.zeros(len(ink))), np.zeros((len(ink), 2))
    return {
        "shifted": ([warp(pictures, same, distance * aside) for distance in distances], distances),
        "turned": ([warp(pictures, turn(angle * sign), still) for angle in angles], np.degrees(angles)),
        "scaled": ([warp(pictures, same / (1 + sign * f)[:, None, None], still) for f in factors], 100 * factors),
    }


def example():
    """A bar is shifted by one, two and three pixels: what Keras's pooling makes of it, and our moved pictures."""
    bar = np.zeros((1, 8, 8, 1), np.float32)
    bar[0, 2:6, 2] = 1
    for size in (2, 4):
        pool = keras.layers.MaxPooling2D(pool_size=size)
        before = np.ravel(pool(bar))
        for pixels in (1, 2, 3):
            moved = warp(bar, turn(np.zeros(1)), np.array([[0.0, pixels]]))
            print(f"windows of {size}, {pixels} px to the right: {np.sum(np.ravel(pool(moved)) != before)} of "
                  f"{before.size} numbers change")  # fmt: skip
    for name, (versions, sizes) in moved_equally(bar, (0, 1), np.random.default_rng(0)).items():
        print(f"{name} by {sizes[1]:.1f}: {np.abs(versions[1] - bar).sum():.1f} of {bar.sum():.0f} differ")


def lesson(
    report,
    *,
    images: int = 5000,
    test_images: int = 1000,
    epochs: int = 8,
    networks: int = 4,
    seeds: int = 2,
    seed: int = 0,
):
    """One pixel aside, then what networks with and without pooling make of digits that have moved.

    Args:
        report: The report to write to.
        images: Training digits (64 to 60000).
        test_images: Test digits (10 to 10000).
        epochs: Training epochs (1 to 1000).
        networks: Kinds of networks to compare, in the order of the table (2 to 4).
        seeds: Networks of each kind (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    (x, y), (x_test, y_test) = data.mnist()
    chosen, chosen_test = rng.permutation(len(x))[:images], rng.permutation(len(x_test))[:test_images]
    x, x_test = (np.float32(pictures)[..., None] / 255 for pictures in (x[chosen], x_test[chosen_test]))
    digits = x, np.int32(y[chosen]), x_test, y_test[chosen_test]
    _one_pixel(report, x[:200])
    moves = _moves(report, x_test, seed)
    accuracy, costs = _trained(report, digits, moves, epochs, list(NETWORKS)[:networks], seeds, seed)
    _compare(report, moves, accuracy, costs)
    report.note(
        "All networks but the second end in global max pooling, and it is this that forgives shifts: strides in place "
        "of the 2 × 2 windows keep the tolerance. They need fewer multiplications; with more filters, about as many."
    )
    report.figure(
        "Pooling forgives shifts, not turns",
        _figure(moves, accuracy, x_test, y_test[chosen_test]),
        alt="Three panels of test accuracy against how far digits were shifted, turned and scaled. With pooling the "
        "curve stays high for shifts and falls steeply for turns and scales; without pooling it falls in all three.",
    )


def _one_pixel(report, x):
    """How much of a shift by one pixel is left after pooling."""
    rows = []
    for size in (2, 3, 4):
        pixels = np.zeros((size, 1, 3 * size + 1, 1))  # one bright pixel at each place of the middle window
        pixels[np.arange(size), 0, size + np.arange(size)] = 1
        pooled = max_pool2d(pixels, (1, size)), max_pool2d(np.roll(pixels, 1, axis=2), (1, size))
        changed = np.mean([not np.array_equal(*pair) for pair in zip(*pooled, strict=True)])
        report.check(f"one bright pixel, window of {size}: a step changes the pooled row in 1 of {size} cases",
                     changed, 1 / size)  # fmt: skip
        rows.append([size])
        for pool in (max_pool2d, average_pool2d):
            change = [_difference(pool(np.roll(x, s, (1, 2)), size), pool(x, size)) for s in STEPS]
            rows[-1].append(float(np.mean(change)))
    plain = np.mean([_difference(np.roll(x, s, (1, 2)), x) for s in STEPS])
    report.at_most("digits one pixel aside: change after pooling over change before", [row[1:] for row in rows], plain)
    report.table("change of digits one pixel aside, as a share of their length",
                 ["window", "maximum", "average"], [["none", float(plain), float(plain)], *rows])  # fmt: skip


def _difference(a, b):
    return np.mean(np.linalg.norm((a - b).reshape(len(a), -1), axis=1) / np.linalg.norm(b.reshape(len(b), -1), axis=1))


def _moves(report, x_test, seed):
    quarter = warp(x_test, turn(np.full(len(x_test), np.pi / 2)), np.zeros((len(x_test), 2)))
    report.check("a turn by 90 degrees is NumPy's", quarter, np.rot90(x_test, axes=(2, 1)), atol=1e-5)
    return moved_equally(x_test, DISTANCES, np.random.default_rng((seed, 2)))


def _network(reduction, filters, read, seed):
    """Three convolutions, the first two followed by max pooling or with stride 2."""
    seeds = np.random.default_rng((seed, 1)).integers(2**31, size=4).tolist()
    layers = [keras.Input((28, 28, 1))]
    for number, channels in enumerate(filters):
        start = keras.initializers.HeNormal(seed=seeds[number])
        strides = 2 if number < 2 and reduction == "strides" else 1
        layers.append(keras.layers.Conv2D(channels, 3, strides, "same", activation="relu", kernel_initializer=start))
        if number < 2 and reduction == "pooling":
            layers.append(keras.layers.MaxPooling2D())
    logits = keras.layers.Dense(10, kernel_initializer=keras.initializers.GlorotUniform(seed=seeds[3]))
    return keras.Sequential([*layers, read(), logits])


def _multiplications(model):
    """Of the convolutions, for one picture."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    return sum(int(np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape)) for layer in layers)


def _trained(report, digits, moves, epochs, names, seeds, seed):
    """Accuracies (seeds, distances) of each network on each move, in per cent; weights and multiplications of each."""
    x, y, _, y_test = digits
    accuracy = {name: {move: np.zeros((seeds, len(DISTANCES))) for move in moves} for name in names}
    costs = {}
    for name in report.track(names, "training"):
        model = _network(*NETWORKS[name], seed)
        costs[name] = model.count_params(), _multiplications(model)
        rate = keras.optimizers.schedules.CosineDecay(6e-3, epochs * -(-len(x) // 64))
        model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        restart = training.restarter(model)
        for run in range(seeds):
            restart(_network(*NETWORKS[name], seed + run).get_weights())
            training.fit(model, x, y, batch_size=64, epochs=epochs, seed=seed + run)
            for move, (versions, _) in moves.items():
                outputs = [training.predict(model, pictures, batch_size=1000) for pictures in versions]
                accuracy[name][move][run] = [100 * np.mean(logits.argmax(axis=1) == y_test) for logits in outputs]
    return accuracy, costs


def _compare(report, moves, accuracy, costs):
    pooled, flat = accuracy["max pooling"], accuracy["no pooling at all"]
    lost = {move: values[:, 0] - values[:, -1] for move, values in pooled.items()}  # points, one for each seed
    report.at_least(
        "with pooling, accuracy on upright digits, %, every seed", pooled["shifted"][:, 0], 93, trained=True
    )
    for move in ("turned", "scaled"):
        label = f"accuracy lost by digits {move} over that by shifted ones, ink moved 3 px, every seed"
        report.at_least(label, lost[move] / np.maximum(lost["shifted"], 1), 2, trained=True)
    kept = pooled["shifted"][:, -1] - flat["shifted"][:, -1]
    report.at_least(
        "shifted by 3 px: accuracy with pooling minus without any, points, every seed", kept, 10, trained=True
    )
    rows = [[name, *costs[name], *plots.mean_and_error(accuracy[name]["shifted"][:, 0]),
             *(accuracy[name][move][:, -1].mean() for move in moves)] for name in costs]  # fmt: skip
    columns = ["network", "weights", "multiplications a picture", "upright", "standard error", *moves]
    report.table(
        f"test accuracy, %, upright and with the ink moved by 3 px; {len(pooled['shifted'])} seeds", columns, rows
    )


def _figure(moves, accuracy, x_test, y_test):
    figure, axes = plots.subplots(1, 3, figsize=(12, 4.6), sharey=True)
    labels = {"shifted": "shift, pixels", "turned": "turn to either side, degrees", "scaled": "scale, ± %"}
    example = int(np.argmax(y_test == 4))
    for ax, (move, (versions, positions)) in zip(axes, moves.items(), strict=True):
        series = {name: accuracy[name][move] for name in list(accuracy)[:3]}
        plots.curves(positions, series, xlabel=labels[move], ylabel="test accuracy, %", marker="o", ax=ax)
        ax.set_title({"shifted": "Shifts pass"}.get(move, f"{move.capitalize()} digits suffer"))
        ax.set_ylim(0, 102)
        ax.label_outer()
        if move != "shifted":
            ax.get_legend().remove()
        inset = ax.inset_axes([0.02, 0.04, 0.3, 0.36])
        inset.imshow(versions[-1][example, ..., 0], cmap="gray")
        inset.set(xticks=[], yticks=[])
    axes[0].legend(loc="lower right")
    axes[0].set_xticks(DISTANCES)
    figure.suptitle("Test digits whose ink has moved by up to 3 pixels: with pooling, shifted ones stay legible")
    return figure

"""Split first, then scale by the training part alone, then shuffle anew for every epoch.

Every row is seen exactly once in an epoch, in an order that another epoch does not repeat and that the same seed does.
The reader should see that a shuffle through a small buffer is hardly one, that a split by classes keeps their shares
to one row, and that test data are scaled by what the training data said, so that nothing of them leaks out.

Notes: chapter 01, "Data pipelines" (数据管道).
Source: https://www.tensorflow.org/guide/data; Hastie, Tibshirani, Friedman 2009, The Elements of Statistical Learning,
doi:10.1007/978-0-387-84858-7, section 7.10.2 (what must not see the test data); Quinlan 1993, doi:10.24432/C5859H (the
cars).
"""

import contextlib
import itertools
import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.parts import share, whole

SMOKE = {"splits": 5}
SECONDS = 2


def train_test_split(*arrays, test_size, seed, stratify=None):
    """Divide rows at random into a training and a test part, the same rows in every array.

    Args:
        arrays: Arrays or tensors (rows, ...) with equally many rows, at least one array.
        test_size: Share of the rows in (0, 1), rounded up to whole rows; or their number, a whole number.
        seed: Seed of the draw.
        stratify: Class of each row (rows,), or None. With it, the test part of each class is the share that it would
            have exactly, rounded up or down, so that all parts together have the size asked for.

    Returns: Tuple of NumPy arrays: training and test part of the first array, of the second, and so on.
    Raises: ValueError: If the numbers of rows differ, a part would be empty, a class has fewer than two rows or labels
            hold NaN, or a part has fewer rows than there are classes.
    """
    if not arrays:
        raise ValueError("arrays: expected at least one, got none")
    arrays = [np.asarray(array) for array in arrays]
    sizes = [array.shape[0] if array.ndim else 0 for array in arrays]
    if min(sizes) != max(sizes) or sizes[0] < 2:
        raise ValueError(f"arrays: expected equally many rows, at least two, got {sizes}")
    rows = sizes[0]
    counted = isinstance(test_size, (int, np.integer))
    tests = whole("test_size", test_size) if counted else math.ceil(share("test_size", test_size, low=False) * rows)
    if tests >= rows:
        raise ValueError(f"test_size: expected a row left to train on, got {test_size!r} of {rows}")
    rng = np.random.default_rng(seed)
    order = rng.permutation(rows)
    chosen = order[:tests]
    if stratify is not None:
        labels = np.asarray(stratify)
        if labels.shape != (rows,) or (labels.dtype.kind == "f" and np.isnan(labels).any()):
            raise ValueError(f"stratify: expected one class for each of {rows} rows, no NaN, got shape {labels.shape}")
        classes, labels, counts = np.unique(labels, return_inverse=True, return_counts=True)
        if counts.min() < 2 or min(tests, rows - tests) < len(classes):
            raise ValueError(f"stratify: expected at least two rows of every class and a row of each in both parts, "
                             f"got classes of {counts.tolist()} rows and {tests} test rows")  # fmt: skip
        shares, remainders = np.divmod(counts * tests, rows)  # whole numbers, so that equal remainders stay equal
        largest_first = np.lexsort((rng.random(len(classes)), -remainders))
        shares[largest_first[: tests - shares.sum()]] += 1
        chosen = np.concatenate([order[labels[order] == k][:count] for k, count in enumerate(shares)])
    in_test = np.zeros(rows, bool)
    in_test[chosen] = True
    train, test = order[~in_test[order]], order[in_test[order]]  # in random order, classes mixed
    return tuple(part for array in arrays for part in (array[train], array[test]))


def batches(x, y, batch_size, shuffle=True, seed=0):
    """Pairs of inputs and targets in batches; each pass over the data set is an epoch with an order of its own.

    The order of epoch e depends on `seed` and e only. `tf.data.Dataset.shuffle(…, seed=…)` depends on TensorFlow's
    global seed as well.

    Args:
        x: Inputs (rows, ...).
        y: Targets (rows, ...).
        batch_size: Rows in a batch; the last batch of an epoch holds what is left.
        shuffle: Whether to draw a new order for each epoch.
        seed: Seed of the orders, a whole number of at least 0.

    Returns: A `tf.data.Dataset` of `(x, y)` with shapes (batch, ...), whose length is the number of batches.
    Raises: ValueError: If the numbers of rows differ or are zero, or `batch_size` or `seed` is out of range.
    """
    x, y = tf.convert_to_tensor(x), tf.convert_to_tensor(y)
    sizes = [tensor.shape[0] if tensor.shape.rank else 0 for tensor in (x, y)]
    if sizes[0] != sizes[1] or sizes[0] == 0:
        raise ValueError(f"x, y: expected equally many rows, at least one, got {sizes[0]} and {sizes[1]}")
    rows, batch_size, seed = sizes[0], whole("batch_size", batch_size), whole("seed", seed, least=0)
    epochs = itertools.count()

    def orders():
        epoch = next(epochs)  # this function is called once for each pass over the data set
        order = np.random.default_rng((seed, epoch)).permutation(rows) if shuffle else np.arange(rows)
        for start in range(0, rows, batch_size):
            yield order[start : start + batch_size]

    indices = tf.data.Dataset.from_generator(orders, output_signature=tf.TensorSpec((None,), tf.int64))
    dataset = indices.map(lambda chosen: (tf.gather(x, chosen), tf.gather(y, chosen)))
    return dataset.apply(tf.data.experimental.assert_cardinality(-(-rows // batch_size)))


def standardize(train, *others):
    """Shift and scale every feature to mean 0 and standard deviation 1 over the training rows.

    Args:
        train: Training data (rows, ...), from which mean and deviation are taken. A feature that is the same in all
            rows is only shifted.
        others: Further data with the same features, such as test data, treated with the training data's figures.

    Returns: Tuple of NumPy arrays, as many as were given, float64 if `train` is, else float32.
    Raises: ValueError: If an array is empty or not finite, or the shapes after the first axis differ.
    """
    arrays = [np.asarray(array) for array in (train, *others)]
    for number, array in enumerate(arrays):
        name = "train" if number == 0 else f"others[{number - 1}]"
        if array.ndim == 0 or array.size == 0 or array.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(f"{name}: expected rows of the features of train, got shape {array.shape}")
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite real numbers, got {array.dtype}, or NaN or infinity among them")
    dtype = np.float64 if arrays[0].dtype == np.float64 else np.float32
    values = arrays[0].astype(np.float64)
    varies = values.max(axis=0) > values.min(axis=0)  # rounding can give a constant column a deviation just above 0
    mean, deviation = values.mean(axis=0), np.where(varies, values.std(axis=0), 1.0)
    if not np.isfinite(deviation).all():
        raise ValueError("train: expected numbers whose squares are finite; divide them by a power of ten first")
    return tuple(((array - mean) / deviation).astype(dtype) for array in arrays)


def example():
    """Split, scale and batch ten rows; Keras's layer and tf.data beside our functions."""
    x, y = np.arange(20.0).reshape(10, 2) ** 2, np.array([0, 1] * 5)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, seed=0, stratify=y)
    print("classes in training and test:", np.bincount(y_train), np.bincount(y_test))
    ours, ours_test = standardize(x_train, x_test)
    layer = keras.layers.Normalization(axis=-1)
    layer.adapt(x_train)
    print("test row, scaled by the training rows:", ours_test[0], layer(x_test)[0].numpy())

    number = np.arange(len(ours))
    dataset = batches(number, y_train, batch_size=3, seed=1)
    for epoch in range(2):
        print("epoch", epoch, [rows.numpy().tolist() for rows, _ in dataset])
    library = tf.data.Dataset.from_tensor_slices((number, y_train)).shuffle(len(number), seed=1).batch(3)
    print("tf.data", [rows.numpy().tolist() for rows, _ in library])


def lesson(report, *, splits: int = 200, seed: int = 0):
    """Split the cars, scale them, and follow every row through two epochs.

    Args:
        report: The report to write to.
        splits: Random splits over which class shares are counted (2 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    x, y = data.auto_mpg()
    _splitting(report, x, splits, seed)
    _scaling(report, x, y, seed)
    _table_row(report)
    _epochs(report, seed)


def _splitting(report, x, splits, seed):
    number, origin = np.arange(len(x)), np.int64(x[:, -1])
    train, test = train_test_split(number, test_size=0.2, seed=seed, stratify=origin)
    common = np.intersect1d(train, test)
    report.check("no row is in both parts", got=len(common), want=0)
    report.check("every row is in one of them", got=np.sort([*train, *test]), want=number)
    again = train_test_split(number, test_size=0.2, seed=seed, stratify=origin)[1]
    report.check("one seed gives one split", got=again, want=test)
    counts = np.bincount(origin)[1:]
    exact = counts * len(test) / len(x)
    drawn = {"stratified": [], "at random": []}
    for draw in range(splits):
        for name, labels in (("stratified", origin), ("at random", None)):
            part = train_test_split(origin, test_size=0.2, seed=(seed, draw), stratify=labels)[1]
            drawn[name].append(np.bincount(part, minlength=4)[1:])
    drawn = {name: np.array(numbers) for name, numbers in drawn.items()}
    off = np.abs(drawn["stratified"] - exact)
    report.at_most("stratified: test rows of a class off the exact share, largest", off, bound=1.0)
    shares = len(test) / len(x)
    # Without labels, the count of a class is hypergeometric: its variance is known.
    variance = shares * (1 - shares) * counts * (len(x) - counts) / (len(x) - 1)
    error = np.sqrt(variance / splits)
    report.at_most("at random: mean count, distance from the exact share in standard errors",
                   np.abs(drawn["at random"].mean(axis=0) - exact) / error, bound=4.5)  # fmt: skip
    rows = []
    for k, country in enumerate(("America", "Europe", "Japan")):
        least = [f"{drawn[name][:, k].min()} to {drawn[name][:, k].max()}" for name in ("stratified", "at random")]
        rows.append([country, int(counts[k]), float(exact[k]), *least])
    columns = ["origin", "cars", "exact share of the test part", "stratified", "at random"]
    report.table(f"test cars by origin, over {splits} splits into {len(train)} and {len(test)}", columns, rows)


def _scaling(report, x, y, seed):
    train, test, _, _ = train_test_split(x, y, test_size=0.2, seed=seed)
    scaled, scaled_test = standardize(train, test)
    report.check("scaled training data: mean 0", got=scaled.mean(axis=0), want=np.zeros(x.shape[1]))
    report.check("scaled training data: deviation 1", got=scaled.std(axis=0), want=np.ones(x.shape[1]))
    want = (test - train.mean(axis=0)) / train.std(axis=0)
    report.check("test data by the training data's figures", got=scaled_test, want=want)
    library = keras.layers.Normalization(axis=-1)
    library.adapt(train)
    report.check("equals Keras's Normalization layer", got=scaled_test, want=library(test), rtol=1e-4, atol=1e-5)
    leaked = standardize(np.concatenate([train, test]))[0][len(train) :]
    names = [name.partition(",")[0] for name in data.AUTO_MPG_FEATURES]
    numbers = (train.mean(axis=0), train.std(axis=0), scaled_test.mean(axis=0), scaled_test.std(axis=0))
    rows = [[name, *values] for name, *values in zip(names, *numbers, leaked.mean(axis=0), strict=True)]
    columns = ["feature", "training mean", "training deviation", "test mean, scaled", "test deviation, scaled",
               "test mean, scaled by all rows"]  # fmt: skip
    report.table("the cars before and after scaling", columns, rows)
    report.note("Test means are not 0, and should not be: they are measured on the training data's scale.")
    figure, (left, right) = plots.subplots(1, 2, figsize=(10, 4.2), sharey=True)
    style = {"orientation": "horizontal", "patch_artist": True, "boxprops": {"facecolor": "C6"}, "widths": 0.6,
             "medianprops": {"color": "C1", "linewidth": 2}, "flierprops": {"markersize": 3}}  # fmt: skip
    left.boxplot(train, tick_labels=names, **style)
    left.set(xlabel="value, each in its own unit", title="As measured:\nweight outweighs the rest")
    right.boxplot(scaled, tick_labels=names, **style)
    right.set(xlabel="training deviations from the training mean", title="Standardized:\nevery feature has a say")
    left.invert_yaxis()
    alt = ("Box plots of seven features of cars. As measured, weight in pounds spreads over thousands and the others "
           "are dots at zero; standardized, all boxes have about the same width around zero.")  # fmt: skip
    report.figure("Features before and after scaling", figure, alt=alt)


def _table_row(report):
    """A row of a table with text in it is an array of objects, its numbers too; a tensor has one type of number."""
    row = np.array([8, 3504.0, "chevrolet"], dtype=object)  # what pandas gives as `frame.iloc[0].to_numpy()`
    with contextlib.suppress(ImportError):
        import pandas

        row = pandas.DataFrame({"cylinders": [8], "weight": [3504.0], "name": ["chevrolet"]}).iloc[0].to_numpy()
    answers = []
    for part in (row, row[:2], row[:2].astype(np.float32)):
        try:
            answers.append(tf.convert_to_tensor(part).dtype.name)
        except ValueError:
            answers.append("refused")
    title = "a row of a table as a tensor: whole, its numbers, its numbers as float32"
    report.check(title, got=answers, want=["refused", "refused", "float32"])


def _epochs(report, seed, rows=40, batch_size=7):
    x = np.arange(rows)

    def epoch_of(dataset):
        """The rows of one pass, batch by batch."""
        return [inputs.numpy() for inputs, _ in dataset]

    dataset, again = (batches(x, x, batch_size, True, seed) for _ in range(2))
    first, second = epoch_of(dataset), epoch_of(dataset)
    for name, epoch in (("first", first), ("second", second)):
        report.check(f"{name} epoch: every row exactly once", got=np.sort(np.concatenate(epoch)), want=x)
    moved = np.mean(np.concatenate(first) != np.concatenate(second))
    report.at_least("share of places with another row in the second epoch", got=moved, bound=0.5)
    report.check("another run with the same seed: both epochs", [epoch_of(again), epoch_of(again)], [first, second])
    other = np.mean(np.concatenate(epoch_of(batches(x, x, batch_size, True, seed + 1))) != np.concatenate(first))
    report.at_least("share of places with another row under another seed", got=other, bound=0.5)
    sizes = [batch_size] * (rows // batch_size) + [rows % batch_size]
    report.check("the last short batch is kept", got=[len(batch) for batch in first], want=sizes)
    report.check("len(dataset) is the number of batches", got=len(dataset), want=len(sizes))
    pairs = [(inputs, targets) for inputs, targets in batches(x, 10 * x, batch_size, True, seed)]
    report.check("rows and targets stay together", [10 * a for a, _ in pairs], [b for _, b in pairs])
    library = tf.data.Dataset.from_tensor_slices((x, x))
    ordered = epoch_of(batches(x, x, batch_size, False, seed))
    report.check("unshuffled, it is from_tensor_slices(…).batch(…)", ordered, epoch_of(library.batch(batch_size)))

    buffers = (1, 4, 10, rows)
    kept = {size: np.concatenate(epoch_of(library.shuffle(size, seed=seed).batch(batch_size))) for size in buffers}
    table = [[size, float(np.max(kept[size] - x)), float(np.corrcoef(kept[size], x)[0, 1])] for size in buffers]
    early = [row[1] - (buffer - 1) for row, buffer in zip(table, buffers, strict=True)]
    report.at_most("a buffer of b lets no row come more than b − 1 places early: excess", got=early, bound=0.0)
    report.check("a buffer of 1 shuffles nothing", got=kept[1], want=x)
    columns = ["buffer", "most places that a row came early", "correlation of place and row"]
    report.table(f"tf.data's shuffle of {rows} rows, by size of the buffer", columns, table)
    cut = np.arange(batch_size, rows, batch_size)
    small = np.split(kept[4], cut)
    _grid_figure(report, rows, {"epoch 1": first, "epoch 2": second, "buffer of 4": small})


def _grid_figure(report, rows, epochs):
    figure, axes = plots.subplots(1, 3, figsize=(10, 4.2), sharey=True)
    for ax, (name, epoch) in zip(axes, epochs.items(), strict=True):
        grid = np.full((len(epoch), max(map(len, epoch))), np.nan)
        for number, batch in enumerate(epoch):
            grid[number, : len(batch)] = batch
        plots.numbered(grid, ax, highest=rows - 1)
        ax.set_xticks(range(grid.shape[1]), range(1, grid.shape[1] + 1))
        ax.set_yticks(range(len(epoch)), range(1, len(epoch) + 1))
        ax.set(xlabel="place in the batch", title=name)
    axes[0].set_ylabel("batch")
    alt = (f"Three grids of {rows} numbered rows in batches of seven, the last batch short. In epochs 1 and 2 the "
           "colours are mixed, differently; with a buffer of 4 they run from the first row to the last.")  # fmt: skip
    report.figure("Which row lands in which batch", figure, alt=alt)

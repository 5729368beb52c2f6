"""The tasks of chapter 01: shapes, slopes that a tape sees, splits, scaling and batches."""

import math

import numpy as np

from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong

# --- 01.1 A reshape, a division, five sums ---------------------------------------------------------------------------

_SHAPES = ((3, 1), (2, 1), (2, 1, 1), (3,), (5, 1, 1, 4))


def _numbers():
    import tensorflow as tf

    return tf.reshape(tf.range(24), (2, -1, 4))


def _described(what, divide=False):
    from kerasnotes.chapter01.tensors import describe

    return describe(_numbers() / 2 if divide else _numbers())[what]


def _fitting():
    import tensorflow as tf

    fits = []
    for shape in _SHAPES:
        try:
            fits.append(int(bool((_numbers() + tf.zeros(shape, tf.int32)).shape)))
        except tf.errors.InvalidArgumentError:
            fits.append(0)
    return fits


def _sum_shape():
    import tensorflow as tf

    return list((_numbers() + tf.zeros(_SHAPES[-1], tf.int32)).shape)


shapes = Predict(
    title="A reshape, a division, and what can be added",
    lesson="chapter01.tensors",
    minutes=10,
    text="""The numbers 0 to 23, `tf.range(24)`, are reshaped to (2, −1, 4). Which size stands in place of −1, and
which number lies at index (1, 0, 2)? How many bytes does the tensor take, and how many after a division by 2
with `/`? Which of the shapes (3, 1), (2, 1), (2, 1, 1), (3,) and (5, 1, 1, 4) can be added to it? (Write a
list of five numbers, 1 for yes and 0 for no.) And what is the shape of the sum with the last one?""",
    hints=(
        "A reshape keeps all 24 numbers and their order: the last index runs fastest.",
        "`tf.range(24)` is of the type int32, 4 bytes a number. In TensorFlow `/` of whole numbers has another type: "
        "it has to hold halves.",
        "For a sum write the two shapes one above the other, right-aligned. In each column the sizes must be equal, or "
        "one of them 1 or missing.",
        "Index (i, j, k) of the shape (2, 3, 4) stands at place 12 i + 4 j + k. `/` of int32 makes a float64.",
    ),
    values=(
        Value(
            "missing_size",
            "the size in place of −1",
            want=lambda: _described("shape")[1],
            rtol=0,
            wrong=((lambda: 4, "that would make 32 numbers: the three sizes multiply to 24"),),
        ),
        Value(
            "number",
            "the number at index (1, 0, 2)",
            want=lambda: int(_numbers()[1, 0, 2]),
            rtol=0,
            wrong=(
                (lambda: 6, "a step of the first index skips a whole block of 3 · 4 numbers, not one row of 4"),
                (lambda: 13, "that reads the first index as the fastest: the last one is"),
                (lambda: 15, "indices count from 0"),
                (lambda: 2, "that is index (0, 0, 2)"),
            ),
        ),
        Value(
            "bytes_before",
            "bytes of the tensor",
            want=lambda: _described("bytes"),
            rtol=0,
            wrong=(
                (lambda: 24, "that is how many numbers there are; each takes several bytes"),
                (lambda: 192, "that is 8 bytes a number: `tf.range` of whole numbers makes int32, NumPy makes int64"),
            ),
        ),
        Value(
            "bytes_after",
            "bytes after the division by 2",
            want=lambda: _described("bytes", divide=True),
            rtol=0,
            wrong=((lambda: 96, "that would be int32 or float32: `/` of int32 gives neither"),),
        ),
        Value(
            "fits",
            "for the five shapes in order: 1 if it can be added, else 0; a list of five",
            want=_fitting,
            rtol=0,
            wrong=(
                (lambda: [1, 1, 1, 0, 1], "(2, 1) was matched from the front: axes are matched from the last one"),
                (lambda: [1, 0, 1, 1, 1], "(3,) stands under the last axis, which has the size 4"),
                (lambda: [1, 1, 1, 1, 1], "(2, 1) and (3,) were matched from the front: start at the last axis"),
                (lambda: [1, 0, 1, 0, 0], "a tensor may also grow: axes of size 1, and missing ones, are repeated"),
            ),
        ),
        Value(
            "sum_shape",
            "the shape of the sum with (5, 1, 1, 4), a list",
            want=_sum_shape,
            rtol=0,
            wrong=(
                (lambda: [5, 1, 1, 4], "where one of two sizes is 1, the sum has the other one"),
                (lambda: [5, 1, 3, 4], "the second axis is 1 in one shape and 2 in the other: the sum has 2"),
            ),
        ),
    ),
    solution_code="""missing_size = 24 // (2 * 4)
number = 1 * 12 + 0 * 4 + 2  # a step of the first index skips 3 · 4 numbers, one of the second 4
bytes_before = 24 * 4  # int32
bytes_after = 24 * 8  # float64
fits = [1, 0, 1, 0, 1]  # (2, 1) has 2 under 3, and (3,) has 3 under 4
sum_shape = [5, 2, 3, 4]  # column by column the larger size: (2, 3, 4) under (5, 1, 1, 4)
""",
)

# --- 01.2 What the tape does not see ---------------------------------------------------------------------------------


def _stopped(x):
    import tensorflow as tf

    return x * tf.stop_gradient(x**2) + x**2


def _tape_slope(function, *inputs):
    from kerasnotes.chapter01.autodiff import gradient

    return float(gradient(function, *inputs)[0])


def _second(function):
    from kerasnotes.chapter01.autodiff import gradient

    return _tape_slope(lambda x: gradient(function, x)[0], 2.0)


def _nones(function):
    from kerasnotes.chapter01.autodiff import gradient

    return [int(each is None) for each in gradient(function, 2.0, 5.0)]


stopping = Predict(
    title="What the tape does not see",
    lesson="chapter01.autodiff",
    minutes=10,
    text=r"""Let $f(x) = x · stop(x^2) + x^2$, where stop is `tf.stop_gradient`. Which slope does a tape give at $x =
2$, and which slope has the function that $f$ computes? What does a tape around a tape give (the slope of the
slope that the inner tape returns), and what would be right? Then a function of two inputs: for which of $x$
and $z$ is the gradient of $x^2 + 0 · z$ `None`, and for which that of $x^2$? (Two numbers each, 1 for `None`,
else 0.)""",
    hints=(
        "Read stop(x²) as a number that happens to be 4: the tape does not know where it came from.",
        "The values of $f$ are those of x³ + x². Differentiate this for the slopes that would be right.",
        "The inner tape returns stop(x²) · 1 + 2x. In this, too, stop(x²) counts as a constant.",
        "`None` means that no path leads from the result to the input. A product with 0 is a path, with slope 0.",
    ),
    values=(
        Value(
            "tape_slope",
            "the slope that a tape gives",
            want=lambda: _tape_slope(_stopped, 2.0),
            wrong=(
                (lambda: 16.0, "that is the slope of the function: the tape misses what was stopped"),
                (lambda: 4.0, "x · stop(x²) still has a slope along its first factor"),
                (lambda: 12.0, "the slope of x³ counts x² too: here it is a constant factor"),
            ),
        ),
        Value(
            "true_slope",
            "the slope of the function that f computes",
            want=lambda: _tape_slope(lambda x: x * x**2 + x**2, 2.0),
            wrong=((lambda: 8.0, "that is what the tape gives; the values are those of x³ + x²"),),
        ),
        Value(
            "tape_second",
            "what a tape around a tape gives",
            want=lambda: _second(_stopped),
            wrong=(
                (lambda: 14.0, "that would be right; but the stopped factor is a constant for the outer tape as well"),
                (lambda: 6.0, "stop(x²) has no slope for the outer tape either, so no 2x comes from it"),
                (lambda: 0.0, "x² was not stopped: its second derivative counts"),
            ),
        ),
        Value(
            "true_second",
            "the second derivative that would be right",
            want=lambda: _second(lambda x: x * x**2 + x**2),
            wrong=(
                (lambda: 2.0, "that is what the tapes give; differentiate x³ + x² twice"),
                (lambda: 12.0, "x² contributes as well"),
            ),
        ),
        Value(
            "none_of_product",
            "x² + 0·z: 1 where the gradient is None, else 0; a list of two, for x and for z",
            want=lambda: _nones(lambda x, z: x**2 + 0 * z),
            rtol=0,
            wrong=(
                (lambda: [0, 1], "z does reach the result, if only with the slope 0: its gradient is a zero"),
                (lambda: [1, 0], "the other way round would be nearer: x has the slope 2x"),
            ),
        ),
        Value(
            "none_of_square",
            "x² alone: 1 where the gradient is None, else 0; a list of two, for x and for z",
            want=lambda: _nones(lambda x, z: x**2),
            rtol=0,
            wrong=((lambda: [0, 0], "no path leads from x² to z, and that is not the same as a path with slope 0"),),
        ),
    ),
    solution_code="""x = 2.0
tape_slope = x**2 + 2 * x  # stop(x²) is a constant factor of x; the second term is differentiated as usual
true_slope = 3 * x**2 + 2 * x  # f computes x³ + x²
tape_second = 2.0  # of stop(x²) + 2x, where stop(x²) is again a constant
true_second = 6 * x + 2
none_of_product = [0, 0]  # 0·z was recorded: the gradient of z is 0
none_of_square = [0, 1]  # z was never used: None
""",
)

# --- 01.3 The second derivative --------------------------------------------------------------------------------------


def _first_only(function, x):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x)


def _squared_slope(function, x):
    return _first_only(function, x) ** 2


def _asked_too_late(function, x):
    import tensorflow as tf

    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = function(x)
    slope = inner.gradient(y, x)  # the outer tape has stopped recording
    return outer.gradient(slope, x)


def _one_sum(function, x):
    import tensorflow as tf

    return tf.reduce_sum(_twice(function, x))


def _twice(function, x):
    import tensorflow as tf

    with tf.GradientTape() as outer:
        outer.watch(x)
        slope = _first_only(function, x)
    return outer.gradient(slope, x)


def _frozen(function, x):
    import tensorflow as tf

    return tf.stop_gradient(_twice(function, x))


def _check_second(trial):
    import tensorflow as tf

    trial.equal("x³ at 2: 6x is 12", lambda x: x**3, tf.constant(2.0))
    trial.equal("x³ at 1, 2 and −1, each number by itself", lambda x: x**3, tf.constant([1.0, 2.0, -1.0]))
    for shape in ((4,), (2, 3)):
        x = tf.constant(trial.rng.normal(size=shape))
        trial.equal(f"sin(x) · x, shape {shape}", lambda x: tf.sin(x) * x, x)
    trial.gradient("the result can be differentiated again", lambda x: x**4, tf.constant([1.0, -2.0]), of=(1,))
    x = tf.constant([0.3, 1.0])
    trial.check("of eˣ it is eˣ", got=trial.answer(tf.exp, x), want=tf.exp(x))


second = Write(
    title="The second derivative, by a tape around a tape",
    lesson="chapter01.autodiff",
    minutes=10,
    text="""A function maps every number of a tensor by itself, as `tf.sin` does. Find its second derivative at each
number of `x` with one `tf.GradientTape` around another. `x` is a constant, so a tape sees it only on request
(`tape.watch`). For $x^3$ at 2 the answer is 12.""",
    start='''import tensorflow as tf


def second_derivative(function, x):
    """Differentiate a function twice.

    Args:
        function: Takes a tensor, maps every number by itself, returns a tensor of the same shape; not a linear one, of
            whose slope, a constant, the outer tape would say None.
        x: Where to differentiate, a float tensor of any shape.

    Returns:
        The second derivative at every number of x, a tensor of the shape of x.
    """
    ...
''',
    name="second_derivative",
    solution_code="""import tensorflow as tf


def second_derivative(function, x):
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = function(x)
        slope = inner.gradient(y, x)  # still inside the outer tape, which records how the slope is computed
    return outer.gradient(slope, x)
""",
    hints=(
        "First get the first derivative right: `with tf.GradientTape() as tape:`, `tape.watch(x)`, then "
        "`tape.gradient(y, x)` after the block.",
        "The second derivative is the slope of the first. So the first one has to be *computed* while another tape "
        "records.",
        "Put `with tf.GradientTape() as inner:` inside the block of `outer`, and call `inner.gradient(y, x)` after the "
        "inner block but still inside the outer one. Both tapes have to watch x.",
        "`slope = inner.gradient(y, x)` is the last line of the outer block; then `return outer.gradient(slope, x)`.",
    ),
    check=_check_second,
    wrong=(
        Wrong(_first_only, "that is the first derivative: it has to be differentiated once more"),
        Wrong(_squared_slope, "that is the first derivative squared: f″ is the slope of f′, not its square"),
        Wrong(
            _asked_too_late,
            "None: the outer tape did not see how the first slope was computed; ask the inner tape inside its block",
        ),
        Wrong(_one_sum, "the numbers were added up: each number of x has a second derivative of its own"),
        Wrong(
            _frozen, "the values are right, but nothing can be differentiated a third time: something cut the record"
        ),
    ),
)

# --- 01.4 A stratified split, counted --------------------------------------------------------------------------------

_ORIGINS = (245, 68, 79)


def _labels():
    from kerasnotes import data

    return data.auto_mpg()[0][:, 6].astype(int)


def _test_size():
    from kerasnotes.chapter01.pipelines import train_test_split

    return len(train_test_split(_labels(), test_size=0.2, seed=0)[1])


def _stratified():
    from kerasnotes.chapter01.pipelines import train_test_split

    labels = _labels()
    test = train_test_split(labels, test_size=0.2, seed=0, stratify=labels)[1]
    return np.bincount(test)[1:].tolist()


def _japanese(power):
    """Moments of the number of Japanese cars, from the probability of every number."""
    rows, tests, japanese = len(_labels()), _test_size(), int((_labels() == 3).sum())
    ways = [math.comb(japanese, k) * math.comb(rows - japanese, tests - k) for k in range(tests + 1)]
    return sum(way * k**power for k, way in enumerate(ways)) / math.comb(rows, tests)


def _with_replacement():
    share = _ORIGINS[2] / sum(_ORIGINS)
    return math.sqrt(79 * share * (1 - share))


splits = Predict(
    title="A split by classes, and a split by chance",
    lesson="chapter01.pipelines",
    minutes=15,
    text="""Of the 392 cars of the course 245 come from America, 68 from Europe and 79 from Japan. A fifth of the rows,
rounded up, is the test part. How many cars of each origin are in a stratified test part, if all shares are
rounded down and the rows still missing go to the origins with the largest fractions? For a split at random,
what are mean and standard deviation of the number of Japanese cars in the test part?""",
    hints=(
        "Start with the number of test rows: 392 / 5, rounded up.",
        "Each origin's exact share is n_k t / n. Rounded down, the three of them leave a few test rows over.",
        "The largest fractions get a row more each. No two are equal, so the numbers are the same in every split.",
        "The variance stands on the page: t/n · (1 − t/n) · n_k (n − n_k) / (n − 1). The deviation is its root.",
    ),
    values=(
        Value(
            "test_rows",
            "rows in the test part",
            want=_test_size,
            rtol=0,
            wrong=((lambda: 78, "rounded down: it is rounded up"), (lambda: 78.4, "rows are whole: round up")),
        ),
        Value(
            "stratified",
            "test cars from America, Europe, Japan, a list",
            want=_stratified,
            rtol=0,
            wrong=(
                (lambda: [49, 13, 15], "all were rounded down: two test rows are still to be given away"),
                (lambda: [50, 14, 16], "all were rounded up: that is one row more than the test part has"),
                (lambda: [50, 14, 15], "the rows left over go to the largest fractions, not to the largest classes"),
                (lambda: [50, 13, 16], "the rows left over go to the largest fractions, not to the largest classes"),
            ),
        ),
        Value(
            "mean_japanese",
            "mean number of Japanese cars, split at random",
            want=lambda: _japanese(1),
            rtol=1e-3,
            wrong=(
                (lambda: 16.0, "that is the rounded number of the stratified split: the mean need not be whole"),
                (lambda: 79 / 3, "the three origins are not equally frequent"),
                (lambda: 79 * 0.2, "the test part is 79 rows of 392, a little more than a fifth"),
            ),
        ),
        Value(
            "deviation_japanese",
            "its standard deviation",
            want=lambda: math.sqrt(_japanese(2) - _japanese(1) ** 2),
            wrong=(
                (lambda: _japanese(2) - _japanese(1) ** 2, "that is the variance: take its root"),
                (_with_replacement, "that is for rows drawn with putting back: no row is drawn twice into a test part"),
            ),
        ),
    ),
    solution_code="""import math

n, t, japanese = 392, math.ceil(392 / 5), 79
test_rows = t
exact = [count * t / n for count in (245, 68, 79)]  # 49.4, 13.7, 15.9
stratified = [49, 14, 16]  # rounded down 49, 13, 15; the two rows left over go to the fractions 0.92 and 0.70
mean_japanese = japanese * t / n
deviation_japanese = math.sqrt(t / n * (1 - t / n) * japanese * (n - japanese) / (n - 1))
""",
)

# --- 01.5 Scale by the training rows ---------------------------------------------------------------------------------


def _deviations(x, ddof=0):
    return np.where(x.max(axis=0) > x.min(axis=0), x.std(axis=0, ddof=ddof), 1.0)


def _test_by_itself(train, test):
    return tuple((part - part.mean(axis=0)) / _deviations(part) for part in (train, test))


def _all_rows(train, test):
    rows = np.concatenate([train, test])
    return tuple((part - rows.mean(axis=0)) / _deviations(rows) for part in (train, test))


def _all_features(train, test):
    return tuple((part - train.mean()) / train.std() for part in (train, test))


def _by_variance(train, test):
    return tuple((part - train.mean(axis=0)) / _deviations(train) ** 2 for part in (train, test))


def _one_less(train, test):
    return tuple((part - train.mean(axis=0)) / _deviations(train, ddof=1) for part in (train, test))


def _division_by_zero(train, test):
    with np.errstate(invalid="ignore", divide="ignore"):
        return tuple((part - train.mean(axis=0)) / train.std(axis=0) for part in (train, test))


def _test_left_alone(train, test):
    return (train - train.mean(axis=0)) / _deviations(train), test


def _check_scaling(trial):
    train = np.array([[1.0, 10.0], [3.0, 30.0]])  # means 2 and 20, deviations 1 and 10
    trial.equal("two training rows, two test rows", train, np.array([[4.0, 40.0], [0.0, 0.0]]))
    for rows, tests, features in ((20, 5, 3), (50, 10, 7)):
        x = trial.rng.normal(size=(rows + tests, features)) * 3 + np.arange(features)
        trial.equal(f"{rows} and {tests} rows of {features} features", x[:rows], x[rows:])
    constant = np.array([[1.0, 5.0], [3.0, 5.0]])
    trial.equal("a feature that is 5 in every training row", constant, np.array([[2.0, 6.0]]))
    tenths = np.array([[1.0, 0.1], [2.0, 0.1], [3.0, 0.1]])  # whose deviation is 1e-17 by rounding
    trial.equal("a feature that is 0.1 in every training row", tenths, np.array([[2.0, 0.2]]))
    import keras

    layer = keras.layers.Normalization(axis=-1)
    layer.adapt(x[:rows])
    want = [layer(x[:rows]).numpy(), layer(x[rows:]).numpy()]
    got = [np.asarray(part) for part in trial.answer(x[:rows].copy(), x[rows:].copy())]
    trial.check("equals Keras's Normalization layer, adapted to the training rows", got, want, rtol=1e-4, atol=1e-5)


scaling = Write(
    title="Scale without a look at the test rows",
    lesson="chapter01.pipelines",
    minutes=10,
    text="""Bring every feature to mean 0 and standard deviation 1 over the *training* rows, $z = (x - m) / s$, and put
the test rows on the same scale. The deviation is the root of the mean squared distance from the mean (NumPy's
`std`). A feature that is the same in all training rows is only shifted by its mean, not divided.""",
    start='''import numpy as np


def standardize(train, test):
    """Scale both parts by what the training part says.

    Args:
        train: Float array (rows, features).
        test: Float array (test rows, features).

    Returns:
        `(train, test)`: both parts scaled, arrays of the same shapes.
    """
    ...
''',
    name="standardize",
    solution_code="""import numpy as np


def standardize(train, test):
    mean = train.mean(axis=0)  # (features,)
    varies = train.max(axis=0) > train.min(axis=0)  # rounding can leave a constant feature a tiny deviation
    deviation = np.where(varies, train.std(axis=0), 1.0)
    return (train - mean) / deviation, (test - mean) / deviation
""",
    hints=(
        "Which numbers may the scale depend on? Only those of the training rows, for both parts.",
        "Each feature is a column: mean and deviation go down the rows, `axis=0`, and have the shape (features,).",
        "A constant feature has the deviation 0, or by rounding a tiny number. Ask `train.max(axis=0) > "
        "train.min(axis=0)`, and with `np.where` divide by 1 where that is False.",
        "`(train - mean) / deviation` and `(test - mean) / deviation`, with `mean = train.mean(axis=0)`.",
    ),
    check=_check_scaling,
    wrong=(
        Wrong(_test_by_itself, "the test rows were scaled by their own mean: the training rows' figures are for both"),
        Wrong(_all_rows, "mean and deviation were taken over all rows: that way the test rows leak into the scale"),
        Wrong(_all_features, "one mean was taken of all features together: each column has its own (axis=0)"),
        Wrong(_by_variance, "divided by the variance: its root, the standard deviation, brings the spread to 1"),
        Wrong(_one_less, "the deviation divides by n − 1 (ddof=1): here it is the mean over all n rows"),
        Wrong(_division_by_zero, "a feature that is constant in the training rows was divided by its deviation, 0"),
        Wrong(_test_left_alone, "the test rows were left as they are: a model wants them on the training rows' scale"),
    ),
)

# --- 01.6 Pairs that come apart --------------------------------------------------------------------------------------

_BATCHES = """import numpy as np


def batches(x, y, batch_size, seed, epoch):
    rng = np.random.default_rng({seeds})
    {order}
    return [(x[i : i + batch_size], y[i : i + batch_size]) for i in range(0, {end}, batch_size)]
"""
_ONE_ORDER = "order = rng.permutation(len(x))\n    x, y = x[order], y[order]"
_TWO_ORDERS = "x, y = rng.permutation(x), rng.permutation(y)"


def _program(seeds="(seed, epoch)", order=_ONE_ORDER, end="len(x)"):
    return _BATCHES.format(seeds=seeds, order=order, end=end)


def _columns(given):
    """Batches as they come: rows of one input and one target each."""
    return [np.column_stack([np.asarray(x).reshape(len(x), -1), np.asarray(y)]) for x, y in given]


def _sorted_pairs(function, x, y, *others):
    rows = np.concatenate(_columns(function(x, y, *others)))
    return rows[np.lexsort(rows.T)]


def _sizes(function, *inputs):
    return [len(x) for x, _ in function(*inputs)]


def _orders(function, x, y, batch_size):
    """Are the rows mixed, in the same way for the same epoch, otherwise in another?"""

    def order(*numbers):
        return np.concatenate(_columns(function(x, y, batch_size, *numbers)))[:, 0].tolist()

    first = order(0, 0)
    return {
        "mixed": int(first != sorted(first)),
        "the same seed and epoch: the same order": int(order(0, 0) == first),
        "another epoch: another order": int(order(0, 1) != first),
        "another seed: another order": int(order(1, 0) != first),
    }


def _check_batches(trial):
    x, y = np.arange(5.0), 10 * np.arange(5.0)
    trial.equal("5 rows in batches of 2: the sizes of the batches", x, y, 2, 0, 0, call=_sizes)
    trial.equal("the pairs of input and target that come, sorted", x, y, 2, 0, 0, call=_sorted_pairs)
    for rows, size in ((12, 4), (20, 7)):
        x = trial.rng.normal(size=(rows, 1))
        trial.equal(f"{rows} rows in batches of {size}: sizes", x, x[:, 0] * 2, size, 3, 1, call=_sizes)
        trial.equal(f"{rows} rows in batches of {size}: pairs", x, x[:, 0] * 2, size, 3, 1, call=_sorted_pairs)
    x = np.arange(40.0)
    trial.equal("the order of 40 rows", x, -x, 8, call=_orders)


pairs = Mend(
    title="Pairs that come apart",
    lesson="chapter01.pipelines",
    minutes=10,
    text="""This program makes the batches of one epoch. It raises no error, but a model that is trained with it learns
nothing, however easy the task is; and somebody has noticed that of 10 rows in batches of 4 only 8 ever
arrive. Mend it: every row comes exactly once, beside its own target; the last batch holds what is left; every
epoch has an order of its own, and the same seed and epoch give the same order again.""",
    start='''import numpy as np


def batches(x, y, batch_size, seed, epoch):
    """The batches of one epoch, in random order.

    Args:
        x: Inputs (rows, ...).
        y: Targets (rows,).
        batch_size: Rows in a batch; the last batch holds what is left.
        seed, epoch: Whole numbers; the order depends on both, and on nothing else.

    Returns:
        List of pairs of arrays `(x, y)` of shapes (batch, ...) and (batch,).
    """
    rng = np.random.default_rng((seed, epoch))
    x = rng.permutation(x)
    y = rng.permutation(y)
    result = []
    for number in range(len(x) // batch_size):
        start = number * batch_size
        result.append((x[start : start + batch_size], y[start : start + batch_size]))
    return result
''',
    name="batches",
    solution_code='''import numpy as np


def batches(x, y, batch_size, seed, epoch):
    """The batches of one epoch, in random order."""
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(x))  # one order, for inputs and targets alike
    result = []
    for start in range(0, len(x), batch_size):  # the last slice is shorter by itself
        rows = order[start : start + batch_size]
        result.append((x[rows], y[rows]))
    return result
''',
    hints=(
        "There are two faults. For the first, print `x` and `y` of a batch when y is 10 · x.",
        "Two calls of `rng.permutation` draw two orders. Draw one order of the rows' *numbers*, and use it twice.",
        "For the second, count how often the loop runs: `//` rounds down.",
        "`order = rng.permutation(len(x))`; then `for start in range(0, len(x), batch_size)` and "
        "`rows = order[start : start + batch_size]`.",
    ),
    check=_check_batches,
    wrong=(
        Wrong(_program(order=_TWO_ORDERS), "inputs and targets still come apart: draw one order and use it for both"),
        Wrong(
            _program(end="len(x) - len(x) % batch_size"),
            "the rows that fill no whole batch are still missing: the last batch may be shorter",
        ),
        Wrong(
            _program(order="order = rng.integers(len(x), size=len(x))\n    x, y = x[order], y[order]"),
            "some rows come twice and others never: draw a permutation, not numbers that may repeat",
        ),
        Wrong(
            _program(seeds="seed"), "every epoch has the same order: the seed of the order has to hold the epoch, too"
        ),
        Wrong(_program(seeds="epoch"), "the order does not depend on the seed"),
        Wrong(_program(order="pass"), "the rows are not mixed at all: the order of the file is left"),
    ),
)

TASKS = (shapes, stopping, second, splits, scaling, pairs)

"""The tasks of chapter 06: sizes, cross-correlation, the way back through pooling, normalization, reach, scanning."""

import numpy as np

from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong

# --- 06.1 Sizes and counts ------------------------------------------------------------------------------------------


def _size(padding):
    from kerasnotes.chapter06.padding import output_size

    return output_size(28, 5, 2, padding)


def _zeros():
    from kerasnotes.chapter06.padding import pad_widths

    return [int(width) for width in pad_widths(28, 5, 2, "SAME")]


def _count():
    from kerasnotes.chapter06.convolution import parameter_count

    return parameter_count((5, 5), 3, 8)


def _row():
    from kerasnotes.chapter06.convolution import conv2d

    row, kernel = np.array([0.0, 0, 1, 1, 3]), np.array([-1.0, 0, 1])
    return [float(number) for number in np.ravel(conv2d(row.reshape(1, 1, 5, 1), kernel.reshape(1, 3, 1, 1)))]


sizes = Predict(
    title="Sizes and counts",
    lesson="chapter06.padding",
    minutes=10,
    text=r"""A picture of 28 × 28 pixels with 3 channels goes through a convolution of 5 × 5 with 8 filters and
stride 2. What is the height of the output with VALID and with SAME padding? How many zeros does SAME
put before and after each axis? How many weights and biases has the layer? And what does the row (0, 0,
1, 1, 3) become under the kernel (−1, 0, 1) with stride 1 and VALID? (The last
two are explained by `chapter06.convolution`.)""",
    hints=(
        "VALID: how many windows of 5 begin at 0, 2, 4, … and still fit into 28? SAME: every second pixel begins one.",
        "SAME needs (14 − 1) · 2 + 5 pixels in all; what 28 lacks is split, and an odd one goes behind.",
        "Each filter has 5 · 5 weights for each of the 3 channels, and one bias.",
        "The kernel is laid over the row as it is, not turned round: the first number is −1 · 0 + 0 · 0 + 1 · 1.",
    ),
    values=(
        Value(
            "height_valid",
            "height of the output, VALID",
            want=lambda: _size("VALID"),
            rtol=0,
            wrong=(
                (lambda: 24, "that is for stride 1"),
                (lambda: 11, "the last window begins at 22: count the one that begins at 0 as well"),
                (lambda: 14, "that is SAME: windows that do not fit are left out with VALID"),
            ),
        ),
        Value(
            "height_same",
            "height of the output, SAME",
            want=lambda: _size("SAME"),
            rtol=0,
            wrong=((lambda: 28, "SAME keeps the size at stride 1 only: here it is divided by the stride"),),
        ),
        Value(
            "zeros",
            "zeros before and after an axis with SAME, a list of two",
            want=_zeros,
            rtol=0,
            wrong=(
                (lambda: [2, 2], "that is for stride 1: with stride 2 the last window ends earlier"),
                (lambda: [2, 1], "an odd zero goes behind, not before"),
            ),
        ),
        Value(
            "parameters",
            "weights and biases of the layer together",
            want=_count,
            rtol=0,
            wrong=(
                (lambda: 5 * 5 * 8 + 8, "each filter has weights for all 3 channels"),
                (lambda: 5 * 5 * 3 * 8, "the biases are missing: one for each filter"),
                (lambda: 5 * 5 * 3 * 8 + 1, "each filter has a bias of its own"),
            ),
        ),
        Value(
            "row",
            "the row under the kernel, a list of three",
            want=_row,
            rtol=0,
            wrong=((lambda: [-1.0, -1.0, -2.0], "the kernel was turned round: libraries lay it on as it is"),),
        ),
    ),
    solution_code="""height_valid = (28 - 5) // 2 + 1
height_same = -(-28 // 2)  # rounded up
missing = (height_same - 1) * 2 + 5 - 28  # 3
zeros = [missing // 2, missing - missing // 2]  # the odd one behind
parameters = 5 * 5 * 3 * 8 + 8
values = (0, 0, 1, 1, 3)
row = [values[i + 2] - values[i] for i in range(3)]
""",
)

# --- 06.2 A convolution by loops ------------------------------------------------------------------------------------


def _turned(image, kernel):
    return _windows(image, kernel[::-1, ::-1])


def _transposed(image, kernel):
    return _windows(image, kernel.T) if kernel.shape[0] == kernel.shape[1] else _windows(image.T, kernel).T


def _windows(image, kernel):
    rows, columns = (a - b + 1 for a, b in zip(image.shape, kernel.shape, strict=True))
    return np.array(
        [
            [np.sum(image[i : i + kernel.shape[0], j : j + kernel.shape[1]] * kernel) for j in range(columns)]
            for i in range(rows)
        ]
    )


def _padded(image, kernel):
    return _windows(np.pad(image, [((k - 1) // 2, k // 2) for k in kernel.shape]), kernel)


def _one_short(image, kernel):
    return _windows(image, kernel)[:-1, :-1]


def _mean_not_sum(image, kernel):
    return _windows(image, kernel) / kernel.size


def _check_convolution(trial):
    import tensorflow as tf

    image = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 10]])
    trial.equal("three by three numbers and two by two", image, np.array([[1.0, 0], [2, -1]]))
    for shape, size in (((5, 4), (3, 2)), ((4, 6), (1, 3)), ((6, 6), (3, 3))):
        image, kernel = trial.rng.normal(size=shape), trial.rng.normal(size=size)
        trial.equal(f"a picture of {shape} and a kernel of {size}", image, kernel)
    theirs = tf.nn.conv2d(image[None, :, :, None], kernel[:, :, None, None], 1, "VALID")[0, :, :, 0]
    trial.check("equals tf.nn.conv2d", got=trial.answer(image, kernel), want=theirs)


convolution = Write(
    title="A convolution by loops",
    lesson="chapter06.convolution",
    minutes=15,
    text=r"""Write the convolution of a picture in grey with one kernel as libraries have it: the kernel is laid over
every place where it fits as a whole (VALID, stride 1), as it is, and the products are added up.""",
    start='''import numpy as np


def convolve(image, kernel):
    """A convolution of one channel, without padding.

    Args:
        image: Array (height, width).
        kernel: Array (rows, columns), not larger than the picture.

    Returns:
        Array (height - rows + 1, width - columns + 1).
    """
    ...
''',
    name="convolve",
    solution_code="""import numpy as np


def convolve(image, kernel):
    rows, columns = kernel.shape
    out = np.zeros((image.shape[0] - rows + 1, image.shape[1] - columns + 1))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = np.sum(image[i : i + rows, j : j + columns] * kernel)  # the window that begins at (i, j)
    return out
""",
    hints=(
        "How many places are there from top to bottom? height − rows + 1.",
        "Two loops over the places; at each, cut the window out: image[i : i + rows, j : j + columns].",
        "Multiply the window by the kernel, number by number, and add up.",
        "out[i, j] = np.sum(image[i : i + rows, j : j + columns] * kernel)",
    ),
    check=_check_convolution,
    wrong=(
        Wrong(_turned, "the kernel was turned round, as mathematics has it: libraries lay it on as it is"),
        Wrong(_transposed, "rows and columns of the kernel are exchanged"),
        Wrong(_padded, "the picture was padded: with VALID the kernel must fit as a whole"),
        Wrong(_one_short, "the last row and column of places are missing: there are height − rows + 1"),
        Wrong(_mean_not_sum, "the products are added up, not averaged"),
    ),
)

# --- 06.3 Back through max pooling ----------------------------------------------------------------------------------


def _pooled_back(x, dy, share):
    dx = np.zeros_like(x)
    for i in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            window = x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            dx[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] += dy[i, j] * share(window)
    return dx


def _largest_only(window):
    share = np.zeros(4)
    share[window.argmax()] = 1.0
    return share.reshape(2, 2)


def _to_all(x, dy):
    return _pooled_back(x, dy, lambda window: np.ones((2, 2)))


def _as_average(x, dy):
    return _pooled_back(x, dy, lambda window: np.full((2, 2), 0.25))


def _times_value(x, dy):
    return _pooled_back(x, dy, lambda window: window * _largest_only(window))


def _to_smallest(x, dy):
    return _pooled_back(x, dy, lambda window: _largest_only(-window))


def _check_pooling(trial):
    import tensorflow as tf

    x = np.array([[1.0, 3, 0, 2], [2, 0, 5, 1]])
    trial.equal("two windows side by side", x, np.array([[10.0, 20]]))
    for rows, columns in ((4, 4), (2, 6), (6, 8)):
        x, dy = trial.rng.normal(size=(rows, columns)), trial.rng.normal(size=(rows // 2, columns // 2))
        trial.equal(f"{rows} by {columns} numbers", x, dy)
    variable = tf.constant(x[None, :, :, None])
    with tf.GradientTape() as tape:
        tape.watch(variable)
        total = tf.reduce_sum(tf.nn.max_pool2d(variable, 2, 2, "VALID")[0, :, :, 0] * dy)
    want = tape.gradient(total, variable)[0, :, :, 0]
    trial.check("equals the tape through tf.nn.max_pool2d", got=trial.answer(x, dy), want=want)


pooling = Write(
    title="Back through max pooling",
    lesson="chapter06.pooling",
    minutes=15,
    text=r"""Max pooling with windows of 2 × 2 side by side passes on the largest number of each window. Write the
way back: the gradient of a window's output goes to the place where its largest number stood, and the
other three get nothing. (No two numbers of a window are equal here.)""",
    start='''import numpy as np


def pool_gradient(x, dy):
    """The gradient of max pooling, windows of 2 by 2 side by side.

    Args:
        x: Array (height, width), both even: what was pooled.
        dy: Array (height / 2, width / 2): the gradient of the loss by the pooled numbers.

    Returns:
        Array (height, width), the gradient by x.
    """
    ...
''',
    name="pool_gradient",
    solution_code="""import numpy as np


def pool_gradient(x, dy):
    largest = np.repeat(np.repeat(_pooled(x), 2, axis=0), 2, axis=1)  # each window's largest at all its places
    gradient = np.repeat(np.repeat(dy, 2, axis=0), 2, axis=1)
    return gradient * (x == largest)


def _pooled(x):
    return x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2).max(axis=(1, 3))
""",
    hints=(
        "Begin with zeros of the shape of x. Window (i, j) is x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].",
        "In each window find where the largest number stands; only there goes dy[i, j].",
        "`window == window.max()` is True at that place and False at the others.",
        "dx[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = dy[i, j] * (window == window.max())",
    ),
    check=_check_pooling,
    wrong=(
        Wrong(_to_all, "all four places get the gradient: only the largest number decided"),
        Wrong(_as_average, "that is the way back of *average* pooling"),
        Wrong(_times_value, "the gradient is passed on as it is, not times the number that stood there"),
        Wrong(
            _to_smallest,
            "the gradient goes to the smallest number of each window: it is the largest that was passed on",
        ),
    ),
)

# --- 06.4 The Jacobian of batch normalization -----------------------------------------------------------------------


def _jacobian(batch):
    from kerasnotes.chapter06.normalization_gradient import batch_norm_jacobian

    return [[float(number) for number in row] for row in np.asarray(batch_norm_jacobian(np.array(batch), 1e-9))]


jacobian = Predict(
    title="Examples that get no gradient",
    lesson="chapter06.normalization_gradient",
    minutes=20,
    text=r"""Work out by hand what batch normalization, x̂_i = (x_i − μ)/σ with ε = 0, does to small changes: the
slopes ∂x̂_i/∂x_j for the batch (0, 2) and for the batch (0, 0, 3). Write down the first row of each, i
= 1. And which share of the examples of the batch (0, 2) receives any gradient at all, whatever the
loss?""",
    hints=(
        "x̂ depends on every x_j through μ and σ. Write σ² as the mean of the squares of x_j − μ.",
        "∂x̂_i/∂x_j = (1/σ)(δ_ij − 1/B − x̂_i x̂_j/B), with B examples.",
        "For (0, 2): μ = 1, σ = 1, x̂ = (−1, 1). For (0, 0, 3): μ = 1, σ = √2, x̂ = (−1, −1, 2)/√2.",
        "With two different numbers x̂ is always (−1, 1) or (1, −1): nothing that changes them a little changes x̂.",
    ),
    values=(
        Value(
            "two",
            "first row of slopes for the batch (0, 2), a list of two",
            want=lambda: _jacobian([0.0, 2.0])[0],
            atol=1e-5,
            wrong=(
                (lambda: [1.0, 0.0], "mean and deviation were taken as fixed: they move with x"),
                (lambda: [0.5, -0.5], "the mean moves with x here, but the deviation does as well"),
            ),
        ),
        Value(
            "three",
            "first row of slopes for the batch (0, 0, 3), a list of three",
            want=lambda: _jacobian([0.0, 0.0, 3.0])[0],
            atol=1e-5,
            wrong=(
                (lambda: [2**-0.5, 0.0, 0.0], "mean and deviation were taken as fixed: they move with x"),
                (lambda: [2 / 3 / 2**0.5, -1 / 3 / 2**0.5, -1 / 3 / 2**0.5], "the deviation moves with x as well"),
                (lambda: [0.5, -0.5, 0.0], "divide by σ = √2 as well"),
            ),
        ),
        Value(
            "share",
            "share of the two examples (0, 2) that receive a gradient (0 to 1)",
            want=lambda: float(np.mean(np.abs(_jacobian([0.0, 2.0])).sum(axis=0) > 1e-5)),
            wrong=((lambda: 1.0, "look at the first answer: whatever the loss, it is multiplied by these slopes"),),
        ),
    ),
    solution_code="""import numpy as np


def slopes(x):
    normalized = (x - x.mean()) / x.std()
    return (np.eye(len(x)) - 1 / len(x) - np.outer(normalized, normalized) / len(x)) / x.std()


two = slopes(np.array([0.0, 2.0]))[0].tolist()  # zeros: two numbers always become -1 and 1
three = slopes(np.array([0.0, 0.0, 3.0]))[0].tolist()  # (1, -1, 0) / (2 √2): the third example gets nothing
share = 0.0
""",
)

# --- 06.5 Normalized by whom? ---------------------------------------------------------------------------------------

_ALWAYS_BATCH = '''import numpy as np


class BatchNorm:
    """Batch normalization of features, without scale and shift.

    Call it with an array (batch, features): `norm(x, training=True)` in training, `norm(x, training=False)` afterwards.
    In training the batch's own mean and variance are used, and moving averages of them are kept:
    moving <- momentum * moving + (1 - momentum) * of the batch. They begin at mean 0 and variance 1.
    """

    def __init__(self, features, momentum=0.9, epsilon=1e-3):
        self.mean, self.variance = np.zeros(features), np.ones(features)
        self.momentum, self.epsilon = momentum, epsilon

    def __call__(self, x, training):
        mean, variance = x.mean(axis=0), x.var(axis=0)
        if training:
            self.mean = self.momentum * self.mean + (1 - self.momentum) * mean
            self.variance = self.momentum * self.variance + (1 - self.momentum) * variance
        return (x - mean) / np.sqrt(variance + self.epsilon)
'''
_MENDED = _ALWAYS_BATCH.replace(
    """            self.variance = self.momentum * self.variance + (1 - self.momentum) * variance
""",
    """            self.variance = self.momentum * self.variance + (1 - self.momentum) * variance
        else:
            mean, variance = self.mean, self.variance
""",
)
_MOVING_ALWAYS = _ALWAYS_BATCH.replace(
    "        return (x - mean) / np.sqrt(variance + self.epsilon)",
    "        return (x - self.mean) / np.sqrt(self.variance + self.epsilon)",
)
_TURNED_ROUND = _MENDED.replace("(1 - self.momentum) * mean", "self.momentum * mean").replace(
    "= self.momentum * self.mean", "= (1 - self.momentum) * self.mean"
)
_MEAN_ONLY = _MENDED.replace("mean, variance = self.mean, self.variance", "mean = self.mean")


def _check_norm(trial):
    import keras

    def run(cls, training_batches, afterwards):
        norm = cls(afterwards.shape[1])
        trained = [norm(batch, training=True) for batch in training_batches]
        return trained, norm(afterwards, training=False), norm(afterwards[:1], training=False)

    x = np.array([[0.0, 10.0], [2.0, 30.0]])
    trial.equal("one batch in training, then two examples and one", [x], x, call=run)
    for features, count in ((3, 4), (2, 9)):
        batches = [trial.rng.normal(2, 3, size=(6, features)) for _ in range(count)]
        afterwards = trial.rng.normal(2, 3, size=(5, features))
        trial.equal(f"{count} batches of {features} features", batches, afterwards, call=run)
    layer = keras.layers.BatchNormalization(momentum=0.9, center=False, scale=False)
    for batch in batches:
        layer(batch, training=True)
    want, got = layer(x, training=False), run(trial.answer, batches, x)[1]
    trial.check("after training it equals layers.BatchNormalization", got=got, want=want, rtol=1e-4, atol=1e-4)


norm = Mend(
    title="An answer that depends on the neighbours",
    lesson="chapter06.batch_norm",
    minutes=10,
    text=r"""This layer works in training. But afterwards the same example gets another answer in every batch, and an
example alone comes out as zeros, whatever it holds. Mend `BatchNorm`.""",
    start=_ALWAYS_BATCH,
    name="BatchNorm",
    solution_code=_MENDED,
    hints=(
        "With `training=False`, whose mean and variance does the last line use?",
        "After training there may be one example only: its own mean is itself.",
        "That is what the moving averages are kept for.",
        "With `training=False`, take mean, variance = self.mean, self.variance before the last line.",
    ),
    check=_check_norm,
    wrong=(
        Wrong(
            _ALWAYS_BATCH.replace("    def __init__", "\n    def __init__", 1),
            "the batch's own mean and variance are still used",
        ),
        Wrong(
            _MOVING_ALWAYS, "in training the batch's own mean and variance are right: only afterwards the moving ones"
        ),
        Wrong(_TURNED_ROUND, "momentum is the share of the *old* average that is kept"),
        Wrong(_MEAN_ONLY, "the mean is the moving one now, the variance is still the batch's"),
    ),
)

# --- 06.6 How far a unit sees ---------------------------------------------------------------------------------------


def _no_jump(layers):
    size, jump = 1, 1
    for kernel, stride in layers:
        size, jump = size + kernel - 1, jump * stride
    return size, jump


def _last_stride(layers):
    size, jump = 1, 1
    for kernel, stride in layers:
        size, jump = size + (kernel - 1) * jump, stride
    return size, jump


def _jump_first(layers):
    size, jump = 1, 1
    for kernel, stride in layers:
        jump *= stride
        size += (kernel - 1) * jump
    return size, jump


def _kernels_multiplied(layers):
    size, jump = 1, 1
    for kernel, stride in layers:
        size, jump = size * kernel, jump * stride
    return size, jump


def _kernel_not_less_one(layers):
    size, jump = 1, 1
    for kernel, stride in layers:
        size, jump = size + kernel * jump, jump * stride
    return size, jump


def _jumps_added(layers):
    size, jump = 1, 1
    for kernel, stride in layers:
        size, jump = size + (kernel - 1) * jump, jump + stride - 1
    return size, jump


def _check_reach(trial):
    trial.equal("two convolutions of 3 with a pooling of 2 between", [(3, 1), (2, 2), (3, 1)])
    trial.equal("one convolution", [(5, 2)])
    trial.equal("strides twice", [(3, 2), (3, 2), (3, 1)])
    for _ in range(5):
        layers = [(int(k), int(s)) for k, s in trial.rng.integers(1, 5, size=(4, 2))]
        trial.equal(f"kernels and strides {layers}", layers)


reach = Write(
    title="How far a unit sees",
    lesson="chapter06.receptive_field",
    minutes=10,
    text=r"""Layers of convolution and pooling with square kernels stand one on another. How many pixels is it, in one
direction, from the first to the last one that can change a unit of the last layer, both included (where a
stride is larger than a kernel, some between them cannot), and how many pixels apart are the middles of what
two neighbouring units see? Before you run it: a convolution of 3, pooling of 2 with
stride 2, a convolution of 3.""",
    start='''def receptive_field(layers):
    """The side of what one unit sees, and the step to its neighbour.

    Args:
        layers: List of pairs (kernel, stride), from the picture on.

    Returns:
        `(size, jump)`, both in pixels, whole numbers.
    """
    ...
''',
    name="receptive_field",
    solution="chapter06.receptive_field.receptive_field",
    hints=(
        "Begin with one pixel, size 1 and jump 1, and go through the layers from the picture on.",
        "A kernel of k looks at k neighbours of the layer below, which lie one jump of *that* layer apart.",
        "So a layer adds (kernel − 1) · jump to the size, with the jump before this layer.",
        "size += (kernel − 1) · jump, and then jump *= stride.",
    ),
    check=_check_reach,
    wrong=(
        Wrong(_no_jump, "after a stride, neighbours lie further apart: a kernel adds (kernel − 1) · jump"),
        Wrong(_last_stride, "strides multiply: a layer of stride 1 keeps the step of the layers below"),
        Wrong(_jump_first, "a layer's own stride counts for the layers above it only: use the jump before"),
        Wrong(_kernels_multiplied, "sizes do not multiply: a layer adds (kernel − 1) · jump"),
        Wrong(_kernel_not_less_one, "a kernel of 1 adds nothing: (kernel − 1) · jump"),
        Wrong(_jumps_added, "strides multiply, they do not add"),
    ),
)

# --- 06.7 Two detectors scan a picture ------------------------------------------------------------------------------


def _detectors():
    import keras

    layers = keras.layers
    dense = keras.Sequential([keras.Input((784,)), layers.Dense(64), layers.Dense(11)])
    blocks = keras.Sequential(
        [keras.Input((28, 28, 1)), layers.Conv2D(16, 7, 7), layers.Conv2D(32, 4), layers.Conv2D(11, 1)]
    )
    return dense, blocks


def _as_one_network():
    """Both detectors for all positions at once; the blocks that a window looks at lie 7 pixels apart."""
    import keras

    from kerasnotes.chapter06.scanning import as_convolution

    layers = keras.layers
    blocks = keras.Sequential([
        keras.Input((None, None, 1)),
        layers.Conv2D(16, 7),
        layers.Conv2D(32, 4, dilation_rate=7),
        layers.Conv2D(11, 1),
    ])  # fmt: skip
    return as_convolution(_detectors()[0], 28), blocks


def _by_windows(which, side=56):
    from kerasnotes.chapter06.scanning import multiplications

    detector = _detectors()[which]
    return (side - 27) ** 2 * multiplications(detector, detector.input_shape[1:])


def _at_once(which, side=56):
    from kerasnotes.chapter06.scanning import multiplications

    return multiplications(_as_one_network()[which], (side, side, 1))


scan = Predict(
    title="Two detectors scan a picture",
    lesson="chapter06.scanning",
    minutes=25,
    text=r"""Two detectors look at every window of 28 × 28 in a grey picture of 56 × 56. The first is dense, 784 to 64
to 11 units. The second has 16 filters of 7 × 7 at stride 7, then 32 filters over its 4 × 4 blocks, then 11
outputs. How many positions are there, and how many multiplications by weights does each detector take, window
by window and as one network that computes every block once? To which ratio of its own two counts does the
second detector come on ever larger pictures?""",
    hints=(
        "A window can begin at 0, …, 28 in each direction.",
        "One window costs the first detector 784 · 64 + 64 · 11. The second: 16 blocks of 7 · 7 · 16, then "
        "4 · 4 · 16 · 32, then 32 · 11.",
        "As one network the first detector is a convolution with a kernel as large as the window: nothing is shared. "
        "The second computes each *block* once, wherever it begins: 50 · 50 of them lie in the picture.",
        "The later layers still work once for each position: 29² · (4 · 4 · 16 · 32 + 32 · 11) + 50² · 7 · 7 · 16. On "
        "large pictures there are as many blocks as positions, so the ratio is that of the costs of one position.",
    ),
    values=(
        Value(
            "positions",
            "positions of the window",
            want=lambda: 29**2,
            rtol=0,
            wrong=(
                (lambda: 28**2, "a window can begin at 0 and at 28: those are 29 places in each direction"),
                (lambda: 4, "windows overlap: they begin at every pixel"),
                (lambda: 29, "in both directions: the number of places is squared"),
            ),
        ),
        Value(
            "dense_windows",
            "multiplications of the first detector, window by window",
            want=lambda: _by_windows(0),
            rtol=1e-6,
            wrong=(
                (lambda: 784 * 64 + 64 * 11, "that is for one window"),
                (lambda: 841 * 784 * 64, "the second layer is missing: 64 · 11 for each window"),
            ),
        ),
        Value(
            "dense_network",
            "of the first detector, as one network",
            want=lambda: _at_once(0),
            rtol=1e-6,
            wrong=(
                (lambda: 784 * 64 + 64 * 11, "its first layer looks at each window as a whole: it works at each one"),
            ),
        ),
        Value(
            "blocks_windows",
            "of the second detector, window by window",
            want=lambda: _by_windows(1),
            rtol=1e-6,
            wrong=(
                (lambda: 16 * 784 + 8192 + 352, "that is for one window"),
                (lambda: 841 * (784 + 8192 + 352), "a window has 16 blocks, and the filters work on each of them"),
            ),
        ),
        Value(
            "blocks_network",
            "of the second detector, as one network",
            want=lambda: _at_once(1),
            rtol=1e-6,
            wrong=(
                (
                    lambda: 841 * (784 + 8192 + 352),
                    "there are more blocks than windows: a block of 7 fits at 50 · 50 places",
                ),
                (
                    lambda: 64 * 784 + 841 * (8192 + 352),
                    "windows begin at every pixel, and so do their blocks: not at every seventh",
                ),
                (lambda: 2500 * (784 + 8192 + 352), "the later layers work once for each position of the window"),
            ),
        ),
        Value(
            "limit",
            "its count window by window over that as one network, on ever larger pictures",
            want=lambda: _by_windows(1, 10**6) / _at_once(1, 10**6),
            rtol=2e-3,
            wrong=(
                (lambda: _by_windows(1) / _at_once(1), "that is at 56 × 56: later the border counts for nothing"),
                (lambda: 16.0, "only the first layer is shared: the others work at every position"),
                (lambda: 9328 / 21088, "upside down: window by window over one network"),
            ),
        ),
    ),
    solution_code="""positions = (56 - 28 + 1) ** 2
dense_windows = positions * (784 * 64 + 64 * 11)
dense_network = dense_windows  # a kernel as large as the window shares nothing between positions
block, later = 7 * 7 * 16, 4 * 4 * 16 * 32 + 32 * 11  # multiplications of one block, of the two layers after it
blocks_windows = positions * (16 * block + later)
blocks_network = (56 - 7 + 1) ** 2 * block + positions * later  # neighbouring windows have blocks in common
limit = (16 * block + later) / (block + later)  # on large pictures nearly as many positions as blocks
""",
)

TASKS = (sizes, convolution, pooling, jacobian, norm, reach, scan)

"""The tasks of chapter 07: what the parts of classic networks compute, and what they cost."""

import math

import numpy as np

from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong

# --- 07.1 LeNet-5 by hand -------------------------------------------------------------------------------------------


def _lenet_layer(name, original=False):
    from kerasnotes.chapter07.lenet import build_lenet5

    return build_lenet5(original=original).get_layer(name)


def _lenet_multiplications(name):
    layer = _lenet_layer(name)
    return math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])


_NO_BIASES = "the biases are missing: one for each map that is computed"
_WORK_OF_BIASES = "a bias is added, not multiplied: only the numbers of the kernels count"
_INPUT_PLACES = "those are the places of the input: without padding, a kernel of 5 × 5 fits at 4 places fewer each way"

lenet = Predict(
    title="LeNet-5 by hand",
    lesson="chapter07.lenet",
    minutes=15,
    text=r"""Today's form of LeNet-5 sees 32 × 32 pixels of one channel. C1 has 6 maps with kernels of 5 × 5; then comes
2 × 2 pooling; then C3 with 16 maps and kernels of 5 × 5; no padding in either. Count by hand the weights with
biases and the multiplications of C1 and of C3, and the weights with biases of C3 in the network of 1998,
whose table has 60 connections (a kernel of 5 × 5 for each; one bias for each of the 16 maps).""",
    hints=(
        "What are height and width after C1, after the pooling, and after C3?",
        "C1 gives 28 × 28 places, the pooling 14 × 14, C3 gives 10 × 10.",
        "Weights and biases are $(K^2 C + 1) F$. C3 sees all 6 maps in today's form, so $C = 6$ and $F = 16$.",
        "Every weight but the biases is used once at each place of the *output*: $P K^2 C F$ multiplications. In 1998 "
        "$K^2 C F$ becomes $K^2 T$ with $T = 60$.",
    ),
    values=(
        Value(
            "c1_weights",
            "weights and biases of C1",
            want=lambda: _lenet_layer("C1").count_params(),
            rtol=1e-6,
            wrong=((lambda: 25 * 6, _NO_BIASES), (lambda: 25 * 6 + 1, "one bias for all: every map has its own")),
        ),
        Value(
            "c1_multiplications",
            "multiplications of C1 for one picture",
            want=lambda: _lenet_multiplications("C1"),
            rtol=1e-6,
            wrong=(
                (lambda: 25 * 6 * 32 * 32, _INPUT_PLACES),
                (lambda: 26 * 6 * 28 * 28, _WORK_OF_BIASES),
                (lambda: 25 * 6 * 27 * 27, "32 − 5 is one too few: a kernel of 5 fits at 32 − 5 + 1 places"),
                (lambda: 25 * 6, "that is the number of weights: each of them is used at every place of the output"),
            ),
        ),
        Value(
            "c3_weights",
            "weights and biases of C3, today's form",
            want=lambda: _lenet_layer("C3").count_params(),
            rtol=1e-6,
            wrong=(
                (lambda: 25 * 6 * 16, _NO_BIASES),
                (lambda: 26 * 16, "each of the 16 maps has a kernel for *each* of the 6 maps that it sees"),
                (lambda: 26 * 6 * 16, "one bias for each map of C3, not for each of its kernels"),
            ),
        ),
        Value(
            "c3_multiplications",
            "multiplications of C3 for one picture, today's form",
            want=lambda: _lenet_multiplications("C3"),
            rtol=1e-6,
            wrong=(
                (lambda: 25 * 6 * 16 * 14 * 14, _INPUT_PLACES),
                (lambda: (25 * 6 + 1) * 16 * 10 * 10, _WORK_OF_BIASES),
                (lambda: 25 * 6 * 16 * 24 * 24, "the pooling before C3 is forgotten: it halves height and width"),
                (lambda: 25 * 16 * 10 * 10, "each of the 16 maps has a kernel for *each* of the 6 maps that it sees"),
            ),
        ),
        Value(
            "c3_weights_1998",
            "weights and biases of C3 in 1998",
            want=lambda: _lenet_layer("C3", original=True).count_params(),
            rtol=1e-6,
            wrong=(
                (lambda: 25 * 60, _NO_BIASES),
                (lambda: 26 * 60, "one bias for each of the 16 maps, not for each connection"),
                (lambda: (25 * 60 + 1) * 16, "the 60 connections are those of all 16 maps together"),
            ),
        ),
    ),
    solution_code="""c1_weights = (5 * 5 * 1 + 1) * 6  # 25 weights and a bias for each map
c1_multiplications = 28 * 28 * 5 * 5 * 1 * 6  # 32 - 5 + 1 = 28 places each way; biases are only added
c3_weights = (5 * 5 * 6 + 1) * 16  # a kernel for each of the 6 maps seen, and one bias
c3_multiplications = 10 * 10 * 5 * 5 * 6 * 16  # the pooling leaves 14 x 14, and 14 - 5 + 1 = 10
c3_weights_1998 = 5 * 5 * 60 + 16  # 60 of the 96 kernels are there, and 16 biases
""",
)

# --- 07.2 Normalize across channels ---------------------------------------------------------------------------------


def _neighbours_summed(x, reach, numbers):
    """Sum `numbers` over the channels at most `reach` away."""
    import tensorflow as tf

    channels = x.shape[-1]
    padded = tf.pad(numbers, ((0, 0), (0, 0), (0, 0), (reach, reach)))
    return tf.add_n([padded[..., shift : shift + channels] for shift in range(2 * reach + 1)])


def _without_itself(x, radius, k, alpha, beta):
    return x / (k + alpha * (_neighbours_summed(x, radius, x**2) - x**2)) ** beta


def _radius_as_size(x, radius, k, alpha, beta):
    return x / (k + alpha * _neighbours_summed(x, radius // 2, x**2)) ** beta


def _mean_of_squares(x, radius, k, alpha, beta):
    return x / (k + alpha / (2 * radius + 1) * _neighbours_summed(x, radius, x**2)) ** beta


def _not_squared(x, radius, k, alpha, beta):
    return x / (k + alpha * _neighbours_summed(x, radius, x)) ** beta


def _without_power(x, radius, k, alpha, beta):
    return x / (k + alpha * _neighbours_summed(x, radius, x**2))


def _power_of_the_sum(x, radius, k, alpha, beta):
    return x / (k + alpha * _neighbours_summed(x, radius, x**2) ** beta)


def _multiplied(x, radius, k, alpha, beta):
    return x * (k + alpha * _neighbours_summed(x, radius, x**2)) ** beta


def _round_the_end(x, radius, k, alpha, beta):
    import tensorflow as tf

    total = tf.add_n([tf.roll(x**2, shift, axis=-1) for shift in range(-radius, radius + 1)])
    return x / (k + alpha * total) ** beta


def _over_places(x, radius, k, alpha, beta):
    import tensorflow as tf

    height, width = x.shape[1:3]
    padded = tf.pad(x**2, ((0, 0), (radius, radius), (radius, radius), (0, 0)))
    steps = range(2 * radius + 1)
    total = tf.add_n([padded[:, row : row + height, column : column + width] for row in steps for column in steps])
    return x / (k + alpha * total) ** beta


def _check_local_response(trial):
    import tensorflow as tf

    x = tf.constant([[[[1.0, 2.0, 3.0, 4.0]]]])
    trial.equal("one place, four channels, exponent 1", x, 1, 1.0, 1.0, 1.0)
    for shape, radius, k, alpha, beta in (((2, 3, 3, 6), 2, 2.0, 0.5, 0.75), ((1, 4, 2, 5), 1, 1.0, 0.1, 0.5)):
        x = tf.constant(trial.rng.normal(size=shape), tf.float32)
        trial.equal(f"pictures {shape}, radius {radius}, exponent {beta}", x, radius, k, alpha, beta)
    trial.gradient("its gradient", x, 1, 1.0, 0.1, 0.5)
    want = tf.nn.local_response_normalization(10 * x, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)
    trial.check("equals TensorFlow's with AlexNet's constants", got=trial.answer(10 * x, 2, 2.0, 1e-4, 0.75), want=want)


local_response = Write(
    title="Normalize across channels",
    lesson="chapter07.local_response",
    minutes=15,
    text=r"""AlexNet divides the answer $a_i$ of channel $i$ by $(k + \alpha \sum_j a_j^2)^\beta$. The sum goes over all
channels $j$ at the same place with $|j - i| \le$ radius, $i$ itself included; beyond the first and the last
channel there is nothing to add. Write it without `tf.nn.local_response_normalization`.""",
    start='''import tensorflow as tf


def normalize_channels(x, radius, k, alpha, beta):
    """Divide every channel by a power of what itself and its neighbours answer at the same place.

    Args:
        x: Tensor (batch, height, width, channels) of floats.
        radius: Neighbours to each side, an integer from 1; AlexNet's is 2.
        k, alpha, beta: Constants of the denominator, floats.

    Returns:
        Tensor (batch, height, width, channels).
    """
    ...
''',
    name="normalize_channels",
    solution_code="""import tensorflow as tf


def normalize_channels(x, radius, k, alpha, beta):
    channels = x.shape[-1]
    squares = tf.pad(tf.square(x), ((0, 0), (0, 0), (0, 0), (radius, radius)))  # zeros beyond both ends
    shifted = [squares[..., shift : shift + channels] for shift in range(2 * radius + 1)]
    return x / (k + alpha * tf.add_n(shifted)) ** beta
""",
    hints=(
        "Only the last axis matters. For one place with the answers (1, 2, 3, 4) and radius 1 the sums of squares are "
        "5, 14, 29 and 25.",
        "A sum over neighbours is a sum of shifted copies. Pad the squares with `radius` zeros at both ends of the "
        "last axis first: `tf.pad(x**2, ((0, 0), (0, 0), (0, 0), (radius, radius)))`.",
        "The copies are `squares[..., s : s + channels]` for s from 0 to 2 · radius: 2 · radius + 1 of them.",
        "Then `x / (k + alpha * tf.add_n(copies)) ** beta`: the exponent belongs to the whole bracket.",
    ),
    check=_check_local_response,
    wrong=(
        Wrong(_without_itself, "the channel itself is missing from its sum: j = i counts, too"),
        Wrong(_radius_as_size, "the radius counts neighbours to *each* side: 2 · radius + 1 channels are added"),
        Wrong(_mean_of_squares, "that is the mean of the squares: this formula has their sum (other libraries differ)"),
        Wrong(_not_squared, "the answers themselves were added: the sum is of their squares"),
        Wrong(_without_power, "the exponent β is missing"),
        Wrong(_power_of_the_sum, "the exponent β belongs to the whole bracket, k included"),
        Wrong(_multiplied, "multiplied instead of divided: loud neighbours make a channel quieter"),
        Wrong(_round_the_end, "the first channel sees the last one: `tf.roll` goes round, beyond the ends is nothing"),
        Wrong(_over_places, "the sum went over neighbouring *places*: it goes over channels at one place (last axis)"),
    ),
)

# --- 07.3 Weights and work of a convolution -------------------------------------------------------------------------


def _places(size, kernel, stride, padding):
    return (math.ceil(size / stride) if padding == "same" else (size - kernel) // stride + 1) ** 2


def _at_input_places(size, channels, filters, kernel, stride, padding, groups):
    weights = kernel**2 * channels * filters // groups
    return weights, weights * size**2


def _one_side(size, channels, filters, kernel, stride, padding, groups):
    weights = kernel**2 * channels * filters // groups
    return weights, weights * math.isqrt(_places(size, kernel, stride, padding))


def _one_place_short(size, channels, filters, kernel, stride, padding, groups):
    weights = kernel**2 * channels * filters // groups
    side = math.ceil(size / stride) if padding == "same" else (size - kernel) // stride
    return weights, weights * side**2


def _with_biases(size, channels, filters, kernel, stride, padding, groups):
    weights = kernel**2 * channels * filters // groups + filters
    return weights, weights * _places(size, kernel, stride, padding)


def _without_groups(size, channels, filters, kernel, stride, padding, groups):
    weights = kernel**2 * channels * filters
    return weights, weights * _places(size, kernel, stride, padding)


def _groups_twice(size, channels, filters, kernel, stride, padding, groups):
    weights = kernel**2 * (channels // groups) * (filters // groups)
    return weights, weights * _places(size, kernel, stride, padding)


def _without_stride(size, channels, filters, kernel, stride, padding, groups):
    weights = kernel**2 * channels * filters // groups
    return weights, weights * _places(size, kernel, 1, padding)


def _never_padded(size, channels, filters, kernel, stride, padding, groups):
    weights = kernel**2 * channels * filters // groups
    return weights, weights * _places(size, kernel, stride, "valid")


def _flat_kernel(size, channels, filters, kernel, stride, padding, groups):
    weights = kernel * channels * filters // groups
    return weights, weights * _places(size, kernel, stride, padding)


def _check_costs(trial):
    import keras

    trial.equal("5 pixels a side, 3 x 3, two channels, four filters", 5, 2, 4, 3, 1, "valid", 1)
    trial.equal("10 pixels a side, stride 3, a rest that is not used", 10, 1, 2, 3, 3, "valid", 1)
    trial.equal("the same, padded", 10, 1, 2, 3, 3, "same", 1)
    trial.equal("two groups", 6, 4, 8, 3, 1, "valid", 2)
    for number in range(6):
        groups, kernel, stride = (int(trial.rng.integers(1, 5)) for _ in range(3))
        channels, filters = (groups * int(trial.rng.integers(1, 7)) for _ in range(2))
        size, padding = int(trial.rng.integers(8, 40)), ("valid", "same")[number % 2]
        label = f"{size} pixels, {channels} to {filters} channels, {kernel} x {kernel}, stride {stride}, {padding}"
        trial.equal(f"{label}, groups: {groups}", size, channels, filters, kernel, stride, padding, groups)
    layer = keras.layers.Conv2D(256, 5, padding="same", groups=2, use_bias=False)
    layer.build((None, 27, 27, 96))
    want = [layer.count_params(), layer.count_params() * math.prod(layer.compute_output_shape((1, 27, 27, 96))[1:3])]
    got = list(trial.answer(27, 96, 256, 5, 1, "same", 2))
    trial.check("AlexNet's second layer in two groups, as Keras builds it", got=got, want=want)


costs = Write(
    title="Weights and work of a convolution",
    lesson="chapter07.alexnet",
    minutes=10,
    text=r"""A convolution with kernel $K$, $C$ channels in, $F$ out and $g$ groups has $K^2 C F / g$ weights, and uses
each of them once at each of the $P$ places of its output. For square pictures, count both; leave biases
out. The output's side is ⌊(size − K) / stride⌋ + 1 with padding `"valid"`, and ⌈size / stride⌉ with `"same"`.""",
    start='''import math


def convolution_costs(size, channels, filters, kernel, stride, padding, groups):
    """Count the weights of a convolution, and its multiplications for one picture.

    Args:
        size: Height and width of the picture, an integer.
        channels, filters: Channels in and out, integers; multiples of `groups`.
        kernel: Height and width of the kernel, an integer, at most `size`.
        stride: Step of the kernel, an integer from 1.
        padding: "valid" (none) or "same".
        groups: Number of groups, an integer from 1.

    Returns:
        `(weights, multiplications)`, two integers, without biases.
    """
    ...
''',
    name="convolution_costs",
    solution_code="""import math


def convolution_costs(size, channels, filters, kernel, stride, padding, groups):
    weights = kernel**2 * channels * filters // groups  # each filter sees channels / groups
    side = math.ceil(size / stride) if padding == "same" else (size - kernel) // stride + 1
    return weights, weights * side**2  # every weight once at every place of the output
""",
    hints=(
        "Count the weights first; the multiplications are the weights times the number of places.",
        "5 pixels a side and a kernel of 3: it fits at 3 × 3 = 9 places.",
        "In groups, each filter sees `channels // groups` channels only. All `filters` are still there.",
        '`side = math.ceil(size / stride)` if padding is "same", else `(size - kernel) // stride + 1`; '
        "P is `side**2`, and the weights are `kernel**2 * channels * filters // groups`.",
    ),
    check=_check_costs,
    wrong=(
        Wrong(_at_input_places, "the weights are used at the places of the *output*, not of the input"),
        Wrong(_one_side, "one side only was counted: the output has side² places"),
        Wrong(_one_place_short, "one place too few each way: without padding (size − K) / stride + 1"),
        Wrong(_with_biases, "biases were counted: they were to be left out"),
        Wrong(_without_groups, "the groups are missing: a filter sees only C / g of the channels"),
        Wrong(_groups_twice, "divided by the groups twice: each filter sees C / g channels, but all F filters exist"),
        Wrong(_without_stride, "the stride is missing: it makes the places fewer"),
        Wrong(_never_padded, 'with padding "same" the output has ⌈size / stride⌉ places each way'),
        Wrong(_flat_kernel, "a kernel of K × K has K² numbers for each pair of channels"),
    ),
)

# --- 07.4 Two kernels in one ----------------------------------------------------------------------------------------


def _composed(first, second, place=lambda row, rows: row, product=lambda u, v: u @ v):
    (height, width), (rows, columns) = first.shape[:2], second.shape[:2]
    result = np.zeros((height + rows - 1, width + columns - 1, first.shape[2], second.shape[3]))
    for row in range(rows):
        for column in range(columns):
            i, j = place(row, rows), place(column, columns)
            result[i : i + height, j : j + width] += product(first, second[row, column])
    return result


def _turned(first, second):
    return _composed(first, second, place=lambda row, rows: rows - 1 - row)


def _matrices_exchanged(first, second):
    return _composed(first, second, product=lambda u, v: np.einsum("ijmf,cm->ijcf", u, v))


def _channel_by_channel(first, second):
    return _composed(first, second, product=lambda u, v: u * v)


def _overwritten(first, second):
    (height, width), (rows, columns) = first.shape[:2], second.shape[:2]
    result = np.zeros((height + rows - 1, width + columns - 1, first.shape[2], second.shape[3]))
    for row in range(rows):
        for column in range(columns):
            result[row : row + height, column : column + width] = first @ second[row, column]
    return result


def _kernels_added(first, second):
    return _composed(first, second, product=lambda u, v: (u @ np.ones_like(v) + v.sum(axis=0)) / first.shape[3])


def _same_size(first, second):
    return _composed(first, second)[: first.shape[0], : first.shape[1]]


def _check_kernels(trial):
    import tensorflow as tf

    u, v = np.array([1.0, 2.0]).reshape(1, 2, 1, 1), np.array([3.0, 4.0]).reshape(1, 2, 1, 1)
    trial.equal("two kernels of 1 x 2, one channel", u, v)
    two = np.array([[[[1.0, 2.0], [0.0, 1.0]]]]), np.array([[[[1.0, 0.0], [3.0, 1.0]]]])
    trial.equal("two kernels of 1 x 1, two channels: a product of matrices", *two)
    for sizes in (((3, 3, 2, 2), (3, 3, 2, 2)), ((3, 3, 2, 5), (2, 4, 5, 3)), ((1, 5, 3, 1), (5, 1, 1, 2))):
        first, second = (trial.rng.normal(size=size) for size in sizes)
        trial.equal(f"kernels {sizes[0]} and {sizes[1]}", first, second)
    x = trial.rng.normal(size=(2, 8, 9, 3))
    want = tf.nn.conv2d(tf.nn.conv2d(x, first, 1, "VALID"), second, 1, "VALID")
    got = tf.nn.conv2d(x, tf.convert_to_tensor(trial.answer(first, second)), 1, "VALID")
    trial.check("on pictures, equals the two convolutions one after another", got=got, want=want)


kernels = Write(
    title="Two kernels in one",
    lesson="chapter07.vgg",
    minutes=20,
    text=r"""Two convolutions with kernels $u$ and $v$, stride 1, no padding, with nothing between them, are one
convolution with the kernel $k_c = \sum_{a + b = c} u_a v_b$. Here $a$, $b$, $c$ are places (row, column),
counted from 0, and $u_a$, $v_b$ are matrices of the shapes (channels, middle) and (middle, filters): their
product is a product of matrices. Write it with NumPy, for kernels of any sizes.""",
    start='''import numpy as np


def compose(u, v):
    """One kernel that does what two convolutions do one after another.

    Args:
        u: Array (height, width, channels, middle), the kernel that comes first.
        v: Array (rows, columns, middle, filters), the kernel that comes second.

    Returns:
        Array (height + rows - 1, width + columns - 1, channels, filters).
    """
    ...
''',
    name="compose",
    solution="chapter07.vgg.compose_kernels",
    hints=(
        "By hand in one dimension, one channel: (1, 2) and (3, 4) give (1·3, 1·4 + 2·3, 2·4). It is how polynomials "
        "are multiplied.",
        "Begin with zeros of the shape that is returned. For every place b of v, something is added in a window of "
        "it that has the size of u.",
        "For b = (row, column) that window begins at row and column: `k[row : row + height, column : column + width]`.",
        "What is added there is `u @ v[row, column]`: `@` multiplies the last two axes of u by the matrix, at every "
        "place. It is `+=`, since windows overlap.",
    ),
    check=_check_kernels,
    wrong=(
        Wrong(_turned, "one kernel is turned round: u at a and v at b belong at a + b, counted from the upper left"),
        Wrong(_matrices_exchanged, "the matrices are in the wrong order: u comes first, $u_a v_b$"),
        Wrong(_channel_by_channel, "channels were multiplied number by number: it is a product of matrices, `@`"),
        Wrong(_overwritten, "windows overlap, and later ones overwrote earlier ones: add, `+=`"),
        Wrong(_kernels_added, "the kernels were added: their matrices are multiplied"),
        Wrong(_same_size, "cut off: the kernel of both is larger than each, height + rows − 1"),
    ),
)

# --- 07.5 What a reduction saves ------------------------------------------------------------------------------------

_PLACES, _CHANNELS, _MODULE = 28 * 28, 192, (64, 96, 128, 16, 32, 32)


def _module_work(reduced=True, reduce_three=96):
    from kerasnotes.chapter07.inception import inception_multiply_adds

    filters = (_MODULE[0], reduce_three, *_MODULE[2:])
    return inception_multiply_adds(_PLACES, _CHANNELS, filters, reduced)


def _largest_reduction():
    return max(r for r in range(1, 1000) if _module_work(True, r) < _module_work(False))


_NO_PLACES = "that is for one place: the module is computed at 28 × 28 of them"

inception = Predict(
    title="What a reduction saves",
    lesson="chapter07.inception",
    minutes=15,
    text=r"""Module 3a of GoogLeNet has 28 × 28 places and $C = 192$ channels. Its convolutions have $n_1 = 64$,
$n_3 = 128$ and $n_5 = 32$ filters; 1 × 1 convolutions reduce the input of the last two to $r_3 = 96$ and
$r_5 = 16$ channels, and one puts $q = 32$ behind the pooling (without reductions there is none). How many
multiplications does it take with reductions, and how many without? With which largest $r_3$, all else left,
is it still cheaper than without? Compare that with $C$: what does it say about the word "reduction"?""",
    hints=(
        "Both formulas stand on the page, for one place. Mind the 28 × 28.",
        "Without: $784 · 192 · (64 + 9 · 128 + 25 · 32)$.",
        "With: $784 · (192 · (64 + 96 + 16 + 32) + 9 · 96 · 128 + 25 · 16 · 32)$.",
        "For the last number the places do not matter. Each channel of $r_3$ costs $C + 9 n_3$ at a place: "
        "divide what is left for them by that, and round down.",
    ),
    values=(
        Value(
            "with_reductions",
            "multiplications of the module with reductions",
            want=_module_work,
            rtol=1e-5,
            wrong=(
                (lambda: _module_work() / _PLACES, _NO_PLACES),
                (
                    lambda: _PLACES * (192 * (64 + 32) + 9 * 96 * 128 + 25 * 16 * 32),
                    "the reductions are convolutions themselves: $C r_3$ and $C r_5$ are missing",
                ),
                (
                    lambda: _PLACES * (192 * (64 + 96 + 16) + 9 * 96 * 128 + 25 * 16 * 32),
                    "the projection after the pooling is missing: $C q$",
                ),
                (
                    lambda: _PLACES * (192 * (64 + 96 + 16 + 32) + 3 * 96 * 128 + 5 * 16 * 32),
                    "a kernel of 3 × 3 has 9 places, one of 5 × 5 has 25",
                ),
                (
                    lambda: _PLACES * 192 * (64 + 96 + 16 + 32 + 9 * 128 + 25 * 32),
                    "behind a reduction the large kernels see $r_3$ and $r_5$ channels, no longer $C$",
                ),
            ),
        ),
        Value(
            "without_reductions",
            "multiplications of the module without",
            want=lambda: _module_work(False),
            rtol=1e-5,
            wrong=(
                (lambda: _module_work(False) / _PLACES, _NO_PLACES),
                (
                    lambda: _PLACES * 192 * (64 + 9 * 128 + 25 * 32 + 32),
                    "without reductions there is no projection after the pooling, either",
                ),
                (
                    lambda: _PLACES * 192 * (64 + 3 * 128 + 5 * 32),
                    "a kernel of 3 × 3 has 9 places, one of 5 × 5 has 25",
                ),
            ),
        ),
        Value(
            "largest_r3",
            "the largest r₃ with which the module is still cheaper, a whole number",
            want=_largest_reduction,
            rtol=1e-4,
            wrong=(
                (lambda: _largest_reduction() + 1, "with that one the module is already dearer: round down"),
                (
                    lambda: (192 * (9 * 128 + 25 * 32 - 16 - 32) - 25 * 16 * 32) // (9 * 128),
                    "the reduction itself costs $C r_3$: a channel more costs $C + 9 n_3$",
                ),
                (
                    lambda: 192 * 9 * 128 // (192 + 9 * 128),
                    "only the 3 × 3 branch was compared: what the 5 × 5 branch saves may be spent, too",
                ),
                (lambda: 192, "the module is still cheaper with as many channels as it has, and with more: count"),
            ),
        ),
    ),
    solution_code="""places, channels = 28 * 28, 192
n1, r3, n3, r5, n5, q = 64, 96, 128, 16, 32, 32
with_reductions = places * (channels * (n1 + r3 + r5 + q) + 9 * r3 * n3 + 25 * r5 * n5)
without_reductions = places * channels * (n1 + 9 * n3 + 25 * n5)
# What r3 may cost at one place: everything without reductions, less what does not depend on r3. No multiple of
# channels + 9 * n3 fits exactly, so rounding down gives the largest that is cheaper.
left = channels * (9 * n3 + 25 * n5 - r5 - q) - 25 * r5 * n5
largest_r3 = left // (channels + 9 * n3)  # more than the 192 channels: the 5 x 5 branch alone saves so much
""",
)

# --- 07.6 A shortcut that is none -----------------------------------------------------------------------------------

_RESIDUAL = '''import tensorflow as tf


def residual_block(x, first, second):
    """relu(x + F(x)), where F is a convolution, ReLU, and another convolution.

    Args:
        x: Tensor (batch, height, width, channels) of floats.
        first: Kernel (size, size, channels, channels) of the branch's first convolution; usually 3 x 3.
        second: Kernel (size, size, channels, channels) of its second convolution.

    Returns:
        Tensor (batch, height, width, channels).
    """
{body}
'''


def _convolved(x, kernel):
    import tensorflow as tf

    return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")


def _branch(x, first, second):
    import tensorflow as tf

    return _convolved(tf.nn.relu(_convolved(x, first)), second)


def _added_to_itself(x, first, second):
    import tensorflow as tf

    return tf.nn.relu(2 * _branch(x, first, second))


def _no_shortcut(x, first, second):
    import tensorflow as tf

    return tf.nn.relu(_branch(x, first, second))


def _relu_before_the_sum(x, first, second):
    import tensorflow as tf

    return x + tf.nn.relu(_branch(x, first, second))


def _relu_before_and_after(x, first, second):
    import tensorflow as tf

    return tf.nn.relu(x + tf.nn.relu(_branch(x, first, second)))


def _no_last_relu(x, first, second):
    return x + _branch(x, first, second)


def _no_relu_between(x, first, second):
    import tensorflow as tf

    return tf.nn.relu(x + _convolved(_convolved(x, first), second))


def _shortcut_from_the_middle(x, first, second):
    import tensorflow as tf

    middle = tf.nn.relu(_convolved(x, first))
    return tf.nn.relu(middle + _convolved(middle, second))


def _check_residual(trial):
    import keras
    import tensorflow as tf

    one = tf.ones((1, 1, 1, 1))  # kernels of 1 x 1 can be followed by hand
    x = tf.constant([[[[1.0], [-3.0]]]])
    trial.equal("two pixels 1 and -3, a branch of zeros", x, 0 * one, 0 * one)
    trial.equal("a branch that takes the input twice, then minus five times", x, 2 * one, -5 * one)
    for channels, height, width in ((2, 4, 5), (3, 6, 3)):
        x = tf.constant(trial.rng.normal(size=(2, height, width, channels)), tf.float32)
        first, second = (
            tf.constant(trial.rng.normal(size=(3, 3, channels, channels)) / 4, tf.float32) for _ in range(2)
        )
        trial.equal(f"pictures of {height} x {width} with {channels} channels", x, first, second)
    trial.gradient("gradients by input and kernels", x, first, second, of=(0, 1, 2))
    layers = [keras.layers.Conv2D(3, 3, padding="same", use_bias=False, activation=name) for name in ("relu", None)]
    for layer, kernel in zip(layers, (first, second), strict=True):
        layer.build(x.shape)
        layer.set_weights([kernel])
    want = keras.layers.ReLU()(keras.layers.Add()([x, layers[1](layers[0](x))]))
    trial.check("equals Keras's layers joined by Add", got=trial.answer(x, first, second), want=want)


residual = Mend(
    title="A shortcut that is none",
    lesson="chapter07.residual_block",
    minutes=10,
    text=r"""This block is to compute relu(x + F(x)). It runs, and a few of them one after another even
train. But with kernels of zeros, where $F = 0$ and a positive input should come out as it went in, the output
is zero: thirty such blocks lose the input as thirty plain layers do. Mend `residual_block`.""",
    start=_RESIDUAL.format(
        body="""    x = tf.nn.conv2d(x, first, strides=1, padding="SAME")
    x = tf.nn.relu(x)
    x = tf.nn.conv2d(x, second, strides=1, padding="SAME")
    return tf.nn.relu(x + x)  # the sum of shortcut and branch"""
    ),
    name="residual_block",
    solution_code=_RESIDUAL.format(
        body="""    branch = tf.nn.conv2d(x, first, strides=1, padding="SAME")  # x itself is kept for the sum
    branch = tf.nn.relu(branch)
    branch = tf.nn.conv2d(branch, second, strides=1, padding="SAME")
    return tf.nn.relu(x + branch)"""
    ),
    hints=(
        "Set both kernels to zero and follow the name `x`, line by line. What is in it in the last line?",
        "The first line gives the name `x` to something else; from there on nobody knows the input any more.",
        "Give what the branch computes a name of its own, and leave `x` alone.",
        "`branch = conv(x)`, `branch = relu(branch)`, `branch = conv(branch)`, and `relu(x + branch)` at the end.",
    ),
    check=_check_residual,
    wrong=(
        Wrong(_added_to_itself, "the branch is still added to itself: the input is not in the sum"),
        Wrong(_no_shortcut, "now the sum is gone: this is a plain pair of layers without a shortcut"),
        Wrong(_relu_before_the_sum, "the last ReLU acts on the branch alone: it comes after the sum"),
        Wrong(
            _relu_before_and_after, "the branch ends in a ReLU: it could only add, never take away; ReLU after the sum"
        ),
        Wrong(_no_last_relu, "the ReLU after the sum is missing"),
        Wrong(_no_relu_between, "the ReLU between the two convolutions is missing: both together are one convolution"),
        Wrong(_shortcut_from_the_middle, "the shortcut begins after the first convolution: it begins at the input"),
    ),
)

# --- 07.7 A dense block ---------------------------------------------------------------------------------------------


def _newest_first(x, kernels):
    import tensorflow as tf

    for kernel in kernels:
        x = tf.concat([_convolved(tf.nn.relu(x), kernel), x], axis=-1)
    return x


def _without_the_input(x, kernels):
    return _dense(x, kernels)[..., x.shape[-1] :]


def _last_only(x, kernels):
    return _dense(x, kernels)[..., -kernels[-1].shape[-1] :]


def _dense(x, kernels):
    import tensorflow as tf

    for kernel in kernels:
        x = tf.concat([x, _convolved(tf.nn.relu(x), kernel)], axis=-1)
    return x


def _relu_afterwards(x, kernels):
    import tensorflow as tf

    for kernel in kernels:
        x = tf.concat([x, tf.nn.relu(_convolved(x, kernel))], axis=-1)
    return x


def _relu_kept(x, kernels):
    import tensorflow as tf

    for kernel in kernels:
        x = tf.nn.relu(x)
        x = tf.concat([x, _convolved(x, kernel)], axis=-1)
    return x


def _no_relu_at_all(x, kernels):
    import tensorflow as tf

    for kernel in kernels:
        x = tf.concat([x, _convolved(x, kernel)], axis=-1)
    return x


def _input_joined_twice(x, kernels):
    import tensorflow as tf

    return tf.concat([x, _dense(x, kernels)], axis=-1)


def _check_dense(trial):
    import tensorflow as tf

    x = tf.constant([[[[2.0]]]])
    kernels = [tf.constant([[[[3.0]]]]), tf.constant([[[[1.0], [10.0]]]])]  # each (1, 1, channels so far, 1)
    trial.equal("one pixel, kernels of 1 x 1: 3 times, then 1 and 10 times", x, kernels)
    trial.equal("the same with a pixel of -2", -x, kernels)
    trial.equal("kernels of -3, then 1 and 10", x, [-kernels[0], kernels[1]])
    for channels, growth, layers in ((2, 3, 3), (4, 2, 4)):
        x = tf.constant(trial.rng.normal(size=(2, 4, 3, channels)), tf.float32)
        kernels = [
            tf.constant(trial.rng.normal(size=(3, 3, channels + layer * growth, growth)) / 4, tf.float32)
            for layer in range(layers)
        ]
        trial.equal(f"{layers} layers of 3 x 3, from {channels} channels by {growth} each", x, kernels)
    trial.gradient("gradients by input and kernels", x, kernels, of=(0, 1))
    got = trial.answer(x, kernels)
    trial.check("channels: k₀ + L k", got=got.shape[-1], want=channels + layers * growth)
    trial.check("the first channels are the input itself", got=got[..., :channels], want=x)


dense = Write(
    title="A dense block",
    lesson="chapter07.dense_block",
    minutes=15,
    text=r"""Layer $l$ of a dense block reads everything written before it, $x_l = H_l([x_0, \dots, x_{l-1}])$, with the
oldest channels first. Let $H_l$ be ReLU, then a convolution with `kernels[l - 1]` (stride 1, padding "SAME"),
and nothing else. The block returns $[x_0, x_1, \dots, x_L]$, joined along the channels. What is joined are
the $x_l$ themselves, before any ReLU.""",
    start='''import tensorflow as tf


def dense_block(x, kernels):
    """Layers that each join new channels to all channels before them.

    Args:
        x: Tensor (batch, height, width, channels) of floats, the block's input.
        kernels: List of L tensors; the one at place i, from 0, has the shape (size, size, channels + i * growth,
            growth).

    Returns:
        Tensor (batch, height, width, channels + L * growth), the input's channels first.
    """
    ...
''',
    name="dense_block",
    solution_code="""import tensorflow as tf


def dense_block(x, kernels):
    for kernel in kernels:
        new = tf.nn.conv2d(tf.nn.relu(x), kernel, strides=1, padding="SAME")  # (batch, height, width, growth)
        x = tf.concat([x, new], axis=-1)  # x itself, not its ReLU
    return x
""",
    hints=(
        "By hand: one pixel 2, kernels of 1 × 1. The first layer gives 3 · 2 = 6, the second 1 · 2 + 10 · 6 = 62; the "
        "block returns (2, 6, 62).",
        "Keep one tensor with everything written so far, and a loop over the kernels.",
        'New channels are `tf.nn.conv2d(tf.nn.relu(x), kernel, strides=1, padding="SAME")`.',
        "`x = tf.concat([x, new], axis=-1)` after each of them; return x after the loop.",
    ),
    check=_check_dense,
    wrong=(
        Wrong(_newest_first, "the newest channels stand first: kernels expect the oldest first, `[x, new]`"),
        Wrong(_without_the_input, "the input's own channels are missing from what is returned"),
        Wrong(_last_only, "only the last layer's channels are returned: the block returns all that was written"),
        Wrong(_relu_afterwards, "ReLU comes *before* the convolution: new channels may be negative"),
        Wrong(_relu_kept, "the ReLU of x was joined: what is passed on is x itself"),
        Wrong(_no_relu_at_all, "the ReLU before each convolution is missing"),
        Wrong(_input_joined_twice, "the input is in the result twice"),
    ),
)

# --- 07.8 A highway layer -------------------------------------------------------------------------------------------


def _plain_and_gate(x, w, b, w_t, b_t):
    import tensorflow as tf

    return tf.nn.relu(x @ w + b), tf.sigmoid(x @ w_t + b_t)


def _gate_the_wrong_way(x, w, b, w_t, b_t):
    h, t = _plain_and_gate(x, w, b, w_t, b_t)
    return h * (1 - t) + x * t


def _carry_everything(x, w, b, w_t, b_t):
    h, t = _plain_and_gate(x, w, b, w_t, b_t)
    return h * t + x


def _carry_nothing(x, w, b, w_t, b_t):
    h, t = _plain_and_gate(x, w, b, w_t, b_t)
    return h * t


def _gate_without_sigmoid(x, w, b, w_t, b_t):
    h, _ = _plain_and_gate(x, w, b, w_t, b_t)
    t = x @ w_t + b_t
    return h * t + x * (1 - t)


def _gate_with_tanh(x, w, b, w_t, b_t):
    import tensorflow as tf

    h, _ = _plain_and_gate(x, w, b, w_t, b_t)
    t = tf.tanh(x @ w_t + b_t)
    return h * t + x * (1 - t)


def _gate_from_h(x, w, b, w_t, b_t):
    import tensorflow as tf

    h, _ = _plain_and_gate(x, w, b, w_t, b_t)
    t = tf.sigmoid(h @ w_t + b_t)
    return h * t + x * (1 - t)


def _gate_without_bias(x, w, b, w_t, b_t):
    return _gate_as_it_is(*_plain_and_gate(x, w, b, w_t, 0 * b_t), x)


def _gate_as_it_is(h, t, x):
    return h * t + x * (1 - t)


def _h_without_relu(x, w, b, w_t, b_t):
    _, t = _plain_and_gate(x, w, b, w_t, b_t)
    return _gate_as_it_is(x @ w + b, t, x)


def _one_gate_for_all(x, w, b, w_t, b_t):
    import tensorflow as tf

    h, t = _plain_and_gate(x, w, b, w_t, b_t)
    return _gate_as_it_is(h, tf.reduce_mean(t, axis=-1, keepdims=True), x)


def _check_highway(trial):
    import tensorflow as tf

    from kerasnotes.chapter07.highway import HighwayDense

    x, w, b = tf.constant([[2.0], [-1.0]]), tf.constant([[5.0]]), tf.constant([-1.0])
    open_wide = tf.constant([math.log(3.0)], tf.float32)  # the sigmoid of ln 3 is 3/4
    trial.equal("one unit, inputs 2 and -1: H is 9 and 0, the gate 3/4", x, w, b, tf.zeros((1, 1)), open_wide)
    for batch, units in ((3, 4), (5, 2)):
        x, w, b, w_t, b_t = (
            tf.constant(trial.rng.normal(size=size), tf.float32)
            for size in ((batch, units), (units, units), units, (units, units), units)
        )
        trial.equal(f"{batch} samples of {units} units", x, w, b, w_t, b_t)
    trial.gradient("gradients by all five", x, w, b, w_t, b_t, of=(0, 1, 2, 3, 4))
    layer = HighwayDense(units)
    layer.build(x.shape)
    layer.set_weights([w, b, w_t, b_t])
    trial.check("equals the lesson's layer with the same weights", got=trial.answer(x, w, b, w_t, b_t), want=layer(x))
    trial.check("shut gates: the input", got=trial.answer(x, w, b, w_t, b_t - 1000), want=x)
    trial.check("open gates: a plain layer", got=trial.answer(x, w, b, w_t, b_t + 1000), want=tf.nn.relu(x @ w + b))


highway = Write(
    title="A highway layer",
    lesson="chapter07.highway",
    minutes=10,
    text=r"""Write a highway layer with coupled gates, $y = H(x) \cdot T(x) + x \cdot (1 - T(x))$, unit by unit, where
$H(x) = relu(x W + b)$ and $T(x) = σ(x W_T + b_T)$. Before you run it: which output has a layer with
$T = (3/4, 1/4)$ for $x = (1, 2)$ and $H(x) = (9, 0)$?""",
    start='''import tensorflow as tf


def highway(x, w, b, w_t, b_t):
    """Mix a plain layer's output with its own input.

    Args:
        x: Inputs (batch, units), a tensor of floats.
        w, b: Weights (units, units) and biases (units,) of H, whose activation is ReLU.
        w_t, b_t: Weights (units, units) and biases (units,) of the transform gate T.

    Returns:
        Tensor (batch, units).
    """
    ...
''',
    name="highway",
    solution_code="""import tensorflow as tf


def highway(x, w, b, w_t, b_t):
    h = tf.nn.relu(x @ w + b)  # (batch, units)
    t = tf.sigmoid(x @ w_t + b_t)  # (batch, units): each unit has a gate of its own
    return h * t + x * (1 - t)
""",
    hints=(
        "Three lines: the plain layer, the gate, the mixture.",
        "Both H and T see the layer's input x. T lies between 0 and 1, because of the sigmoid.",
        "T = 1 has to give H(x), T = 0 has to give x. For the example: (9 · 3/4 + 1 · 1/4, 0 · 1/4 + 2 · 3/4).",
        "`h = tf.nn.relu(x @ w + b)`, `t = tf.sigmoid(x @ w_t + b_t)`, and then `h * t + x * (1 - t)`.",
    ),
    check=_check_highway,
    wrong=(
        Wrong(_gate_the_wrong_way, "the gate works the wrong way round: T = 1 is the plain layer, T = 0 the input"),
        Wrong(_carry_everything, "the input is added whole: that is a residual sum; here it is weighed with 1 − T"),
        Wrong(_carry_nothing, "the carry is missing: x · (1 − T)"),
        Wrong(_gate_without_sigmoid, "the gate has no sigmoid: it has to lie between 0 and 1"),
        Wrong(_gate_with_tanh, "the gate is a tanh: that lies between −1 and 1; a gate is a sigmoid"),
        Wrong(_gate_from_h, "the gate sees H(x): it sees the layer's input x"),
        Wrong(_gate_without_bias, "the gate's bias is missing"),
        Wrong(_h_without_relu, "H has no activation: it ends in ReLU"),
        Wrong(_one_gate_for_all, "one gate for all units: each unit has its own"),
    ),
)

# --- 07.9 Forty-eight gates -----------------------------------------------------------------------------------------


def _gate(bias):
    return 1 / (1 + math.exp(-bias))


def _carried(bias, layers=48):
    return (1 - _gate(bias)) ** layers


def _half_bias(layers):
    gate = 1 - 0.5 ** (1 / layers)
    return math.log(gate / (1 - gate))


def _carry_slips(bias):
    return (
        (lambda: _gate(bias) ** 48, "that is the share through 48 *transform* gates: the carry is 1 − T"),
        (lambda: 1 - _gate(bias), "that is the share after one layer: there are 48"),
        (lambda: 1 - 48 * _gate(bias), "shares are multiplied, layer by layer: 48 times the gate is not what is lost"),
        (lambda: 1 - _carried(bias), "that is the share that does *not* arrive by the carry alone"),
    )


gates = Predict(
    title="Forty-eight gates",
    lesson="chapter07.highway",
    minutes=20,
    text=r"""At the start, let every transform gate of a highway network equal σ(b), so that each layer carries the
share 1 − σ(b) of its input. After $L$ layers, which share of a unit's first value arrives by the carry
alone? Compute it for $L = 48$ and b = −2, −4, −10. For which b is it one half, with 48 layers and with 96?
What does doubling the depth do to that b, once the network is very deep? How open is a gate with b = −10?""",
    hints=(
        "One layer multiplies by 1 − σ(b); the layers multiply one after another.",
        "The share is $(1 - σ(b))^L$, and $1 - σ(b) = σ(-b)$.",
        "One half means $1 - σ(b) = 2^{-1/L}$; and σ(b) = s is turned round by b = ln(s / (1 − s)).",
        "For large $L$, σ(b) ≈ exp(b) is small and $(1 - e^b)^L ≈ \\exp(-L e^b)$: so $e^b ≈ \\ln 2 / L$, and a doubled "
        "$L$ halves $e^b$.",
    ),
    values=(
        Value("share_2", "share by the carry alone, b = −2", want=lambda: _carried(-2), wrong=_carry_slips(-2)),
        Value("share_4", "the same, b = −4", want=lambda: _carried(-4), wrong=_carry_slips(-4)),
        Value(
            "share_10",
            "the same, b = −10",
            want=lambda: _carried(-10),
            rtol=1e-4,
            wrong=(_carry_slips(-10)[0], _carry_slips(-10)[1], _carry_slips(-10)[3]),
        ),
        Value(
            "half_48",
            "the b at which it is one half, 48 layers",
            want=lambda: _half_bias(48),
            rtol=1e-3,
            wrong=(
                (lambda: -_half_bias(48), "the sign is wrong: gates have to be nearly shut, so b is negative"),
                (lambda: 1 - 0.5 ** (1 / 48), "that is the gate σ(b): b itself is ln(σ / (1 − σ))"),
                (lambda: math.log(0.5 / 48), "a half divided by 48: shares multiply, it is $1 - 2^{-1/48}$"),
            ),
        ),
        Value(
            "half_96",
            "the same, 96 layers",
            want=lambda: _half_bias(96),
            rtol=1e-3,
            wrong=(
                (lambda: -_half_bias(96), "the sign is wrong: gates have to be nearly shut, so b is negative"),
                (lambda: 2 * _half_bias(48), "b is not doubled: the gate is halved, and b is nearly its logarithm"),
                (lambda: math.log(0.5 / 96), "a half divided by 96: shares multiply, it is $1 - 2^{-1/96}$"),
            ),
        ),
        Value(
            "change",
            "what is added to that b when a very large depth is doubled",
            want=lambda: _half_bias(2**31) - _half_bias(2**30),
            rtol=3e-3,
            wrong=(
                (lambda: math.log(2), "the sign is wrong: a deeper network needs gates that are more shut"),
                (lambda: -math.log2(2), "in base 2: b is a natural logarithm"),
            ),
        ),
        Value(
            "gate_10",
            "σ(−10), the level of the gates before training in the lesson's figure",
            want=lambda: _gate(-10),
            wrong=(
                (lambda: _gate(10), "that is σ(10): the bias is negative"),
                (lambda: math.tanh(-10), "that is tanh(−10): the gate is a sigmoid"),
            ),
        ),
    ),
    solution_code="""import math


def carry(b):
    return 1 / (1 + math.exp(b))  # 1 - sigmoid(b) = sigmoid(-b)


share_2, share_4, share_10 = (carry(b) ** 48 for b in (-2, -4, -10))


def half(layers):
    kept = 0.5 ** (1 / layers)  # the carry of one layer
    return math.log((1 - kept) / kept)  # sigmoid(b) = 1 - kept, turned round


half_48, half_96 = half(48), half(96)
change = -math.log(2)  # b is nearly ln(ln 2 / L) = -0.37 - ln L: the rule of thumb
gate_10 = 1 - carry(-10)  # nearly exp(-10)
""",
)

# --- 07.10 The unbeaten ones ----------------------------------------------------------------------------------------


def _beats(costs, scores):
    """Whether the first of two is no worse, and whether it is better in something: (others, choices)."""
    no_worse = (costs[:, None] <= costs) & (scores[:, None] >= scores)
    better = (costs[:, None] < costs) | (scores[:, None] > scores)
    return no_worse, better


def _better_in_both(costs, scores):
    return ~((costs[:, None] < costs) & (scores[:, None] > scores)).any(axis=0)


def _beats_itself(costs, scores):
    return ~_beats(costs, scores)[0].any(axis=0)


def _equals_beat(costs, scores):
    return ~(_beats(costs, scores)[0] & ~np.eye(len(costs), dtype=bool)).any(axis=0)


def _better_in_one(costs, scores):
    return ~_beats(costs, scores)[1].any(axis=0)


def _the_beaten(costs, scores):
    return np.logical_and(*_beats(costs, scores)).any(axis=0)


def _those_that_beat_nobody(costs, scores):
    return ~np.logical_and(*_beats(costs, scores)).any(axis=1)


def _high_costs(costs, scores):
    return ~np.logical_and(*_beats(-costs, scores)).any(axis=0)


def _best_ratio(costs, scores):
    ratio = scores / costs
    return ratio == ratio.max()


def _check_front(trial):
    costs, scores = np.array([1.0, 2.0, 4.0, 8.0]), np.array([5.0, 7.0, 6.0, 9.0])
    trial.equal("the third costs more than the second and scores less", costs, scores)
    trial.equal("equal prices, or equal scores", np.array([1.0, 1.0, 3.0, 4.0]), np.array([5.0, 6.0, 6.0, 8.0]))
    trial.equal("two choices that are the same", np.array([2.0, 2.0, 5.0]), np.array([7.0, 7.0, 6.0]))
    for count in (1, 12, 40):
        costs, scores = (trial.rng.integers(1, 9, count).astype(float) for _ in range(2))
        trial.equal(f"{count} choices with whole numbers, many of them equal", costs, scores)
    costs = trial.rng.permutation(30) + 1.0
    trial.check(
        "if a higher price always buys more, all are unbeaten",
        got=np.asarray(trial.answer(costs, np.sqrt(costs))).astype(int),
        want=np.ones(30, int),
    )


front = Write(
    title="The unbeaten ones",
    lesson="chapter07.comparison",
    minutes=10,
    text=r"""Network $i$ with the cost $c_i$ and the score $a_i$ is *unbeaten* if there is no $j$ with $c_j \le c_i$ and
$a_j \ge a_i$, and at least one of the two strict: $c_j < c_i$ or $a_j > a_i$. Say which ones are unbeaten.
Before you run it: which are they for the costs 1, 2, 4, 8 and the scores 5, 7, 6, 9? And of two networks
that are equal in both, is either one beaten by the other?""",
    start='''import numpy as np


def unbeaten(costs, scores):
    """Which choices no other one beats.

    Args:
        costs: Array (n,) of positive floats; low is good.
        scores: Array (n,) of positive floats; high is good.

    Returns:
        Array (n,) of booleans, in the order given.
    """
    ...
''',
    name="unbeaten",
    solution="chapter07.comparison.pareto_front",
    hints=(
        "Two loops are good enough: for every i ask whether some j beats it.",
        "j beats i if it is no worse in both, *and* better in at least one. Of two equal ones, neither is beaten.",
        "That second half also keeps i from beating itself.",
        "`costs[j] <= costs[i] and scores[j] >= scores[i] and (costs[j] < costs[i] or scores[j] > scores[i])`; i is "
        "unbeaten if that holds for no j.",
    ),
    check=_check_front,
    wrong=(
        Wrong(_better_in_both, "better in *one* is enough, if the other is equal: one < and one ≤"),
        Wrong(_beats_itself, "everything beats itself here: one of the two has to be strictly better"),
        Wrong(_equals_beat, "of two equal choices neither beats the other: one of the two has to be strictly better"),
        Wrong(_better_in_one, "better in one thing is not enough: it must be no worse in the other"),
        Wrong(_the_beaten, "these are the beaten ones"),
        Wrong(_those_that_beat_nobody, "these are those that beat nobody: asked for are those that nobody beats"),
        Wrong(_high_costs, "high costs were taken for good"),
        Wrong(_best_ratio, "score by cost is another question, with one answer: a front keeps all sensible prices"),
    ),
)

TASKS = (lenet, local_response, costs, kernels, inception, residual, dense, highway, gates, front)

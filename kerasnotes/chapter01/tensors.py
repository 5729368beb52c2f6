"""A tensor has one shape, one type and one order in memory, and nothing changes it once it is made.

What a reader should see is what is left unsaid: types are never mixed by themselves, a division may change the type,
`+=` may or may not reach the other names of the same numbers, and a tensor made from an array is a copy of it. A
reshape reads the same numbers in the same order. Random draws are held against the mean and variance they should have.

Notes: chapter 01, "Tensors" (张量).
Source: https://www.tensorflow.org/guide/tensor; https://www.tensorflow.org/guide/variable;
https://numpy.org/doc/stable/user/basics.broadcasting.html.
"""

import itertools
import math

import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter01.equivalents import pytorch_equivalents as pytorch_equivalents  # looked for here too

SMOKE = {"draws": 20000}
SECONDS = 1


def describe(tensor):
    """What a tensor is, without its numbers.

    Args:
        tensor: Tensor, variable, array, or Python data that makes a tensor; numbers or booleans, at least one.

    Returns:
        Dictionary: `shape`, a tuple; `rank`, the number of axes; `dtype`, the name of the type; `bytes`, the memory
        that the numbers take.

    Raises:
        ValueError: If `tensor` is ragged, empty, or holds no numbers.
    """
    try:
        tensor = tf.convert_to_tensor(tensor)
    except (TypeError, ValueError) as error:
        raise ValueError(f"tensor: expected rows of equal length of one type of number, got {tensor!r}") from error
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_complex or tensor.dtype.is_bool):
        raise ValueError(f"tensor: expected numbers or booleans, got {tensor.dtype.name}")
    if not tensor.shape.is_fully_defined() or 0 in tensor.shape:
        raise ValueError(f"tensor: expected a known shape with at least one element, got {tensor.shape}")
    shape = tuple(tensor.shape)
    return {
        "shape": shape,
        "rank": len(shape),
        "dtype": tensor.dtype.name,
        "bytes": math.prod(shape) * tensor.dtype.size,
    }


def example():
    """Tensors made, typed, reshaped and changed, with what NumPy does beside it."""
    x = tf.constant([[1, 2, 3], [4, 5, 6]], tf.float32)
    print("described  ", describe(x), "\nin NumPy   ", describe(np.array([[1, 2, 3], [4, 5, 6]])))
    print("reshaped   ", tf.reshape(x, (3, -1)).numpy().tolist(), "transposed", tf.transpose(x).numpy().tolist())
    print("column+row ", (tf.constant([[10], [20]]) + tf.constant([1, 2, 3])).numpy().tolist())
    print("cast       ", tf.cast([1.7, -1.7], tf.int32).numpy(), "and one number:", tf.reduce_sum(x).numpy().item())
    variable = tf.Variable(x)
    variable.assign_add(tf.ones_like(x))  # in place; a tensor cannot be changed
    print("assign_add ", variable.numpy().tolist())
    try:
        print(tf.constant(1) + tf.constant(1.5))
    except tf.errors.InvalidArgumentError as error:
        print("int32 + float32 is refused:", type(error).__name__)


def lesson(report, *, draws: int = 1000000, seed: int = 0):
    """Make, type, combine and reshape tensors, and hold each result against NumPy or against arithmetic.

    Args:
        report: The report to write to.
        draws: Random numbers of each distribution (1000 to 10000000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    uniform, normal = _draws(report, draws, seed)
    _types(report)
    _shapes(report, seed)
    _in_place(report)
    report.figure(
        "Reshape keeps the order in memory, transpose does not",
        _layout_figure(),
        alt="Twelve numbers as grids of 3 by 4, 2 by 6 and, transposed, 4 by 3, coloured by their first order. In the "
        "reshaped grids the colours run along the rows as before, in the transposed one down the columns.",
    )
    report.figure(
        "Draws against their densities",
        _draws_figure(uniform, normal),
        alt="Two histograms: uniform draws are flat at density 1 between 0 and 1; normal draws follow the bell curve.",
    )


def _draws(report, draws, seed):
    pair = (seed % 2**31, 1)
    uniform = tf.random.stateless_uniform((draws,), seed=pair).numpy()
    normal = tf.random.stateless_normal((draws,), seed=(pair[0], 2)).numpy()
    report.at_least("uniform draws: least", uniform.min(), 0.0)
    report.at_most("uniform draws: largest, 1 itself excluded", uniform.max(), float(np.nextafter(np.float32(1), 0)))
    rows = []
    # The variance of a sample variance is (fourth central moment − variance²) / n: 1/80 − 1/144 = 1/180, and 3 − 1.
    for name, values, mean, variance, spread in (
        ("uniform", uniform, 1 / 2, 1 / 12, 1 / 180),
        ("normal", normal, 0.0, 1.0, 2.0),
    ):
        got = values.mean(dtype=np.float64), values.var(dtype=np.float64)
        errors = math.sqrt(variance / draws), math.sqrt(spread / draws)
        for what, value, want, error in zip(("mean", "variance"), got, (mean, variance), errors, strict=True):
            report.at_most(f"{name} {what}: distance in standard errors", abs(value - want) / error, bound=4.0)
            rows.append([name, what, value, want, error])
    report.table(f"{draws:,} draws", ["distribution", "", "drawn", "expected", "standard error"], rows)
    again = tf.random.stateless_uniform((draws,), seed=pair)
    report.check("one seed gives the same draws twice", got=again, want=uniform, rtol=0, atol=0)
    return uniform, normal


def _types(report):
    rows = []
    for dtype in (tf.float16, tf.float32, tf.float64, tf.int16, tf.int32, tf.int64, tf.uint8, tf.bool):
        size = describe(tf.zeros((1000,), dtype))["bytes"] // 1000
        spacing = float(np.finfo(dtype.as_numpy_dtype).eps) if dtype.is_floating else None
        limits = [None, None] if dtype == tf.bool else [f"{dtype.min:.6g}", f"{dtype.max:.6g}"]
        rows.append([dtype.name, size, *limits, spacing])
    report.table("types", ["type", "bytes a number", "lowest", "highest", "step above 1"], rows)
    sizes = {row[0]: row[1] for row in rows}
    want = {"float16": 2, "float32": 4, "float64": 8, "int16": 2, "int32": 4, "int64": 8, "uint8": 1, "bool": 1}
    report.check("a float32 takes 4 bytes, a float64 8, an int16 2", got=sizes, want=want)
    made = describe([[1, 2, 3], [4, 5, 6]])
    want = {"shape": (2, 3), "rank": 2, "dtype": "int32", "bytes": 24}
    report.check("two rows of three whole numbers", got=made, want=want)
    report.check("Python's 1.5 becomes a float32, NumPy's stays a float64",
                 [describe(1.5)["dtype"], describe(np.array(1.5))["dtype"]], ["float32", "float64"])  # fmt: skip
    odd = 2**24 + 1  # one more than a float32 can count to
    casts = [int(tf.cast(tf.constant(odd), dtype)) for dtype in (tf.float32, tf.float64)]
    report.check("2²⁴ + 1 as float32 loses the 1, as float64 keeps it", got=casts, want=[odd - 1, odd])
    report.check("a cast cuts the fraction off", tf.cast([-1.7, -0.2, 1.7], tf.int32), [-1, 0, 1])
    whole = tf.constant([-7, 7])
    report.check("// rounds down", got=whole // 2, want=[-4, 3])
    report.check("tf.truncatediv rounds towards zero", got=tf.truncatediv(whole, 2), want=[-3, 3])
    report.check("/ of int32 is a float64", got=[(whole / 2).dtype.name, *(whole / 2).numpy()],
                 want=["float64", -3.5, 3.5])  # fmt: skip
    report.check("int32 + float32 is refused", _error_of(lambda: whole + tf.constant(1.0)), "InvalidArgumentError")
    report.check("float32 + float64 too", _error_of(lambda: tf.ones(2) + tf.ones(2, tf.float64)),
                 "InvalidArgumentError")  # fmt: skip
    promoted = (np.ones(2, np.int32) + np.ones(2, np.float32)).dtype.name
    report.check("NumPy answers with a float64 instead", got=promoted, want="float64")
    total = tf.reduce_sum(tf.constant([1.5, 2.0]))
    report.check("a tensor of one element gives a Python number", [total.numpy().item(), float(total)], [3.5, 3.5])


def _shapes(report, seed):
    memory = tf.range(12)
    grid = tf.reshape(memory, (3, -1))
    want = [[4 * row + column for column in range(4)] for row in range(3)]
    report.check("reshape (3, −1): row i, column j holds number 4 i + j", got=grid, want=want)
    report.check("laid flat again, the order is the old one", got=tf.reshape(grid, (-1,)), want=memory)
    transposed = tf.transpose(grid)
    report.check("transposing moves the numbers", tf.reshape(transposed, (-1,)), [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11])
    report.check("twelve numbers make no five rows", _error_of(lambda: tf.reshape(memory, (5, -1))),
                 "InvalidArgumentError")  # fmt: skip
    array = grid.numpy()
    report.check("NumPy's transpose only swaps the strides, in bytes", [array.strides, array.T.strides],
                 [(16, 4), (4, 16)])  # fmt: skip

    rng = np.random.default_rng(seed)
    shapes = [(), (1,), (4,), (3, 1), (3, 4), (2, 1, 4), (2, 3, 1), (1, 1, 1)]
    got, want = [], []
    for first, second in itertools.product(shapes, repeat=2):
        a, b = rng.normal(size=first), rng.normal(size=second)
        got += [tf.constant(a) + tf.constant(b), tf.constant(a) * tf.constant(b)]
        want += [a + b, a * b]
    report.check(f"broadcasting over {len(shapes)}² pairs of shapes equals NumPy's", got, want, rtol=1e-12)
    table = tf.constant([[10], [20], [30]]) + tf.constant([1, 2, 3, 4])
    want = [[11, 12, 13, 14], [21, 22, 23, 24], [31, 32, 33, 34]]
    report.check("a column (3, 1) and a row (4,) make (3, 4)", got=table, want=want)
    report.check("(2, 3) and (2,) do not fit: axes are matched from the last", _error_of(
        lambda: tf.zeros((2, 3)) + tf.zeros(2)), "InvalidArgumentError")  # fmt: skip


def _in_place(report):
    y = tf.constant([10.0, 20.0])
    rows = []

    def record(code, alias, name):
        rows.append([code, str(np.asarray(name).tolist()), str(np.asarray(alias).tolist())])
        return np.asarray(alias)

    variable = tf.Variable([1.0, 2.0])
    alias = variable
    variable.assign_add(y)
    changed = record("variable.assign_add(y)", alias, variable)
    variable = alias = tf.Variable([1.0, 2.0])
    variable = variable + y
    kept = record("variable = variable + y", alias, variable)
    tensor = alias = tf.constant([1.0, 2.0])
    tensor += y
    tensor_kept = record("tensor += y", alias, tensor)
    array = alias = np.float32([1, 2])
    array += y.numpy()
    array_changed = record("array += y (NumPy)", alias, array)
    array = alias = np.float32([1, 2])
    array = array + y.numpy()
    array_kept = record("array = array + y (NumPy)", alias, array)
    report.table("y = [10, 20] is added to [1, 2], which has a second name", ["code", "name", "second name"], rows)
    report.check("assign_add and NumPy's += reach the second name", [changed, array_changed], [[11.0, 22.0]] * 2)
    rebound = [kept, tensor_kept, array_kept]
    report.check("x = x + y and a tensor's += do not", got=rebound, want=[[1.0, 2.0]] * 3)

    def add_to_variable():
        variable = tf.Variable([1.0, 2.0])
        variable += y

    def assign_to_tensor():
        tensor[0] = 1.0

    report.check("a variable refuses +=", got=_error_of(add_to_variable), want="RuntimeError")
    report.check("a tensor refuses tensor[0] = 1", got=_error_of(assign_to_tensor), want="TypeError")
    array = np.float32([1, 2])
    copy, view = tf.convert_to_tensor(array), np.asarray(array)
    array[0] = 9
    report.check("a tensor made from an array is a copy", got=copy, want=[1.0, 2.0])
    report.check("NumPy's own asarray is not", got=view, want=[9.0, 2.0])
    back = copy.numpy()
    back[0] = 5
    report.check("so is the array that comes back", got=copy, want=[1.0, 2.0])
    a, b = tf.constant([[1, 2], [3, 4]]), tf.constant([[10, 20], [30, 40]])
    products = [a * b, a @ b]
    report.check("a * b is element by element, a @ b the matrix product", products,
                 [[[10, 40], [90, 160]], [[70, 100], [150, 220]]])  # fmt: skip
    report.correction(
        "adding in place, and MATLAB's products",
        course="y.add_(x) is the same as y = y + x; x * y as in MATLAB.",
        correct="In place changes the numbers under every name that they have; y = y + x makes new ones and leaves the "
        "other names with the old. And MATLAB's * is the matrix product, here @; its .* is the * of tensors.",
        shown_by=f"second name after assign_add {changed.tolist()}, after x = x + y {kept.tolist()}; "
        f"a * b {products[0].numpy().tolist()}, a @ b {products[1].numpy().tolist()}",
    )


def _error_of(function):
    """The name of the exception that a call raises, or `"none"`."""
    try:
        function()
    except Exception as error:
        return type(error).__name__
    return "none"


def _layout_figure():
    numbers = tf.range(12)
    grid = tf.reshape(numbers, (3, -1))
    figure, axes = plots.subplots(1, 3, figsize=(10, 3.6))
    for ax, title, values in (
        (axes[0], "reshape(x, (3, −1))", grid),
        (axes[1], "reshape(x, (2, −1))", tf.reshape(numbers, (2, -1))),
        (axes[2], "transpose of the first", tf.transpose(grid)),
    ):
        plots.numbered(values.numpy(), ax, highest=11)
        memory = " ".join(str(number) for number in tf.reshape(values, (-1,)).numpy())
        ax.set(xlabel=f"in memory:\n{memory}", xticks=[], yticks=[])
        ax.set_title(f"{title}\nshape {tuple(values.shape)}")
    return figure


def _draws_figure(uniform, normal):
    figure, (left, right) = plots.subplots(1, 2, figsize=(10, 4))
    left.hist(uniform, bins=50, range=(0, 1), density=True, color="C6", label=f"{len(uniform):,} draws")
    left.plot([0, 0, 1, 1], [0, 1, 1, 0], color="C1", label="density")
    left.set(xlabel="value", ylabel="density", ylim=(0, 1.35))
    left.set_title("Uniform on [0, 1): flat")
    x = np.linspace(-4.5, 4.5, 300)
    right.hist(normal, bins=90, range=(-4.5, 4.5), density=True, color="C6", label=f"{len(normal):,} draws")
    right.plot(x, np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi), color="C1", label="density")
    right.set(xlabel="value", ylabel="density", ylim=(0, 0.54))
    right.set_title("Normal: mean 0, deviation 1")
    for ax in (left, right):
        ax.legend(loc="upper right")
    return figure

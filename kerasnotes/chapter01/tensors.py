"""A tensor has one shape, one type and one order in memory, and nothing changes it once it is made.

Readers who come from NumPy or PyTorch find the same operations under other names: a table gives them in three
spellings, each of which is run and compared. What differs is what is left unsaid: types are never mixed by themselves,
a division may change the type, `+=` may or may not reach the other names of the same numbers, and a tensor made from
an array is a copy of it. Random draws are held against the mean and the variance that they should have.

Notes: chapter 01, "Tensors" (张量).
Source: https://www.tensorflow.org/guide/tensor; https://www.tensorflow.org/guide/variable;
https://numpy.org/doc/stable/user/basics.broadcasting.html; https://docs.pytorch.org/docs/stable/tensors.html.
"""

import itertools
import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots

SMOKE = {"draws": 20000}
SECONDS = 1

EQUIVALENTS = (
    ("torch.tensor([[1, 2], [3, 4]], dtype=torch.float32)", "tf.constant([[1, 2], [3, 4]], tf.float32)",
     "np.array([[1, 2], [3, 4]], np.float32)"),
    ("torch.zeros(2, 3)", "tf.zeros((2, 3))", "np.zeros((2, 3), np.float32)"),
    ("torch.ones_like(x)", "tf.ones_like(x)", "np.ones_like(x)"),
    ("torch.full((2, 3), 7.0)", "tf.fill((2, 3), 7.0)", "np.full((2, 3), 7.0, np.float32)"),
    ("torch.eye(3)", "tf.eye(3)", "np.eye(3, dtype=np.float32)"),
    ("torch.arange(0, 10, 2)", "tf.range(0, 10, 2, tf.int64)", "np.arange(0, 10, 2)"),
    ("torch.linspace(0, 1, 5)", "tf.linspace(0.0, 1.0, 5)", "np.linspace(0, 1, 5, dtype=np.float32)"),
    ("torch.rand(2, 3).shape", "tf.random.stateless_uniform((2, 3), seed=(0, 1)).shape",
     "np.random.default_rng(0).random((2, 3)).shape"),
    ("torch.randn(2, 3).shape", "tf.random.stateless_normal((2, 3), seed=(0, 1)).shape",
     "np.random.default_rng(0).normal(size=(2, 3)).shape"),
    ("torch.from_numpy(array)", "tf.convert_to_tensor(array)", "np.asarray(array)"),
    ("z = torch.from_numpy(array); array[0] = 9",
     "z = tf.experimental.dlpack.from_dlpack(array.__dlpack__()); array[0] = 9", "z = np.asarray(array); array[0] = 9"),
    ("z = torch.tensor(array); array[0] = 9", "z = tf.constant(array); array[0] = 9",
     "z = np.array(array); array[0] = 9"),
    ("x.numpy()", "x.numpy()", "x"),
    ("x.shape", "x.shape", "x.shape"),
    ("x.numel()", "int(tf.size(x))", "x.size"),
    ("x.to(torch.int32)", "tf.cast(x, tf.int32)", "x.astype(np.int32)"),
    ("x.reshape(-1, 2)", "tf.reshape(x, (-1, 2))", "x.reshape(-1, 2)"),
    ("x.T", "tf.transpose(x)", "x.T"),
    ("x.unsqueeze(0)", "tf.expand_dims(x, 0)", "np.expand_dims(x, 0)"),
    ("torch.cat([x, y], dim=0)", "tf.concat([x, y], axis=0)", "np.concatenate([x, y], axis=0)"),
    ("torch.stack([x, y])", "tf.stack([x, y])", "np.stack([x, y])"),
    ("x * y", "x * y", "x * y"),
    ("x @ y.T", "x @ tf.transpose(y)", "x @ y.T"),
    ("x ** 2", "x ** 2", "x ** 2"),
    ("v.add_(x)", "v.assign_add(x)", "np.add(v, x, out=v)"),
    ("x.sum()", "tf.reduce_sum(x)", "x.sum()"),
    ("x.mean(dim=1)", "tf.reduce_mean(x, axis=1)", "x.mean(axis=1)"),
    ("x.std(correction=0)", "tf.math.reduce_std(x)", "x.std()"),
    ("x.argmax(dim=1)", "tf.argmax(x, axis=1)", "x.argmax(axis=1)"),
    ("x.clamp(2, 5)", "tf.clip_by_value(x, 2, 5)", "x.clip(2, 5)"),
    ("x.sum().item()", "tf.reduce_sum(x).numpy().item()", "x.sum().item()"),
    ("x[x > 2]", "tf.boolean_mask(x, x > 2)", "x[x > 2]"),
    ("torch.where(x > y, x, y)", "tf.where(x > y, x, y)", "np.where(x > y, x, y)"),
    ("torch.relu(x - 3)", "tf.nn.relu(x - 3)", "np.maximum(x - 3, 0)"),
    ("torch.softmax(x, dim=1)", "tf.nn.softmax(x)", "np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)"),
    ("torch.nn.functional.one_hot(labels, 3)", "tf.one_hot(labels, 3, dtype=tf.int64)",
     "np.eye(3, dtype=np.int64)[labels]"),
    ("torch.nn.MSELoss()(x, y)", "keras.losses.MeanSquaredError()(y, x)", "np.mean((x - y) ** 2)"),
    ("torch.nn.BCELoss()(p, t)", "keras.losses.BinaryCrossentropy()(t, p)",
     "-np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))"),
    ("torch.nn.CrossEntropyLoss()(x, labels)",
     "keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, x)",
     "np.mean(np.log(np.exp(x).sum(axis=1)) - x[[0, 1], labels])"),
    ("(v ** 2).sum().backward()\nz = v.grad",
     "with tf.GradientTape() as tape:\n    loss = tf.reduce_sum(v ** 2)\nz = tape.gradient(loss, v)", "2 * v"),
    ("with torch.no_grad():\n    z = v * x",
     "with tf.GradientTape() as tape, tape.stop_recording():\n    z = v * x", "v * x"),
    ("v.detach() * x", "tf.stop_gradient(v) * x", "v * x"),
    ("TensorDataset(x, y)[0]", "next(iter(tf.data.Dataset.from_tensor_slices((x, y))))", "(x[0], y[0])"),
    ("next(iter(DataLoader(TensorDataset(x, y), batch_size=2)))",
     "next(iter(tf.data.Dataset.from_tensor_slices((x, y)).batch(2)))", "(x[:2], y[:2])"),
)  # fmt: skip


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


def pytorch_equivalents():
    """The same operation in three libraries.

    In the code, x and y are float32 (2, 3), v is a variable like them (in PyTorch with `requires_grad`, except
    for `add_`, which refuses such a leaf), p holds probabilities and t targets of 0 or 1
    (2, 3), labels are int64 (2,), `array` is a NumPy array (2, 3). The result is the value of the expression; where
    there are statements, it is z.

    Keras's losses take the targets first, PyTorch's take them last. `x.std()` in PyTorch divides by n − 1 unless
    told otherwise. `from_numpy` shares the array's memory, `convert_to_tensor` copies.

    Returns:
        List of `(PyTorch, TensorFlow, NumPy)`, texts of code.

    Source: https://docs.pytorch.org/docs/stable; https://www.tensorflow.org/api_docs/python.
    """
    return list(EQUIVALENTS)


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
    print("\nPyTorch | TensorFlow | NumPy")
    for spellings in pytorch_equivalents()[16:22]:
        print(" | ".join(spellings))


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
    _equivalents(report)
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


def _equivalents(report):
    matlab = {
        "x * y": "x .* y",
        "x @ y.T": "x * y.'",
        "x ** 2": "x .^ 2",
        "x.T": "x.'",
        "x.sum()": 'sum(x, "all")',
        "x.reshape(-1, 2)": "reshape(x.', 2, []).' (it goes down columns)",
    }
    got, want, types, rows = {}, {}, {}, []
    for torch_code, tensorflow_code, numpy_code in pytorch_equivalents():
        got[torch_code] = _evaluate(tensorflow_code, _names(tf.constant, tf.Variable))
        want[torch_code] = _evaluate(numpy_code, _names(np.array, np.array))
        types[torch_code] = _type_of(got[torch_code]), _type_of(want[torch_code])
        rows.append([torch_code, tensorflow_code, numpy_code, matlab.get(torch_code)])
    report.check(f"{len(rows)} operations: TensorFlow's result equals NumPy's", got=got, want=want)
    report.check("and has its type", *({code: pair[side] for code, pair in types.items()} for side in (0, 1)))
    report.table("one operation, three spellings", ["PyTorch", "TensorFlow", "NumPy", "MATLAB, where it differs"], rows)
    report.note(
        "x, y, v: float32 (2, 3), v a variable; p probabilities, t targets, labels int64 (2,). The columns TensorFlow "
        "and NumPy are run here, PyTorch and MATLAB are text; PyTorch's was run once with version 2.13.0 "
        "and gave the same. torch.from_numpy shares the array's memory; in TensorFlow it takes DLPack, and a "
        "tensor that changes under its readers is nothing to build on."
    )


def _names(make, make_variable):
    """The names that the code of `pytorch_equivalents` uses, made anew so that no row sees what another one did."""
    x, y = np.float32([[1, 2, 3], [4, 5, 6]]), np.float32([[2, 2, 2], [5, 5, 5]])
    p, t = np.float32([[0.1, 0.5, 0.9], [0.2, 0.6, 0.7]]), np.float32([[0, 1, 1], [0, 0, 1]])
    tensors = {"x": x, "y": y, "p": p, "t": t, "labels": np.int64([2, 0])}
    made = {name: make(value) for name, value in tensors.items()}
    return {**made, "v": make_variable(y), "array": x.copy(), "tf": tf, "np": np, "keras": keras}


def _evaluate(code, names):
    """The value of an expression, or of z after statements."""
    try:
        return eval(code, names)
    except SyntaxError:
        exec(code, names)
        return names["z"]


def _type_of(value):
    value = value[0] if isinstance(value, (tuple, tf.TensorShape)) else value
    return np.dtype(value.dtype.name).name if hasattr(value, "dtype") else type(value).__name__


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
    for ax, (title, values) in zip(
        axes,
        (
            ("reshape(x, (3, −1))", grid),
            ("reshape(x, (2, −1))", tf.reshape(numbers, (2, -1))),
            ("transpose of the first", tf.transpose(grid)),
        ),
        strict=True,
    ):
        ax.imshow(values, cmap="cividis", aspect="auto")
        for (row, column), number in np.ndenumerate(values.numpy()):
            color = "white" if number < 6 else "black"
            ax.text(column, row, str(number), color=color, fontsize=16, weight="bold", ha="center", va="center")
        memory = " ".join(str(number) for number in tf.reshape(values, (-1,)).numpy())
        ax.set(xlabel=f"in memory:\n{memory}", xticks=[], yticks=[])
        ax.grid(False)
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

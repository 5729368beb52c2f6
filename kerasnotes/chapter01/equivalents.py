"""One operation has three names: what PyTorch and NumPy readers look for in TensorFlow.

A table gives the same operation in three spellings; TensorFlow's and NumPy's are run and compared, values and types.
The reader should see that most names differ little, that Keras's losses take the targets first, and where the order in
memory shows: MATLAB reads a matrix down its columns, the other three along its rows.

Notes: chapter 01, "PyTorch and its equivalents" (PyTorch 与对应写法).
Source: https://docs.pytorch.org/docs/stable; https://www.tensorflow.org/api_docs/python;
https://numpy.org/doc/stable/user/absolute_beginners.html.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots

SMOKE = {"repeats": 1}
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

FIXED = {
    "x": [[1, 2, 3], [4, 5, 6]], "y": [[2, 2, 2], [5, 5, 5]], "p": [[0.1, 0.5, 0.9], [0.2, 0.6, 0.7]],
    "t": [[0, 1, 1], [0, 0, 1]], "labels": [2, 0],
}  # fmt: skip


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
    """Some rows of the table, with the value of TensorFlow's and of NumPy's spelling."""
    x = np.float32([[1, 2, 3], [4, 5, 6]])
    for torch_code, tensorflow_code, numpy_code in pytorch_equivalents():
        if torch_code in ("x.T", "x.sum()", "x.mean(dim=1)", "x.argmax(dim=1)", "x.clamp(2, 5)", "x[x > 2]"):
            print("PyTorch    ", torch_code)
            value = eval(tensorflow_code, {"tf": tf, "x": tf.constant(x)})
            print("TensorFlow ", tensorflow_code, "=", value.numpy().tolist())
            print("NumPy      ", numpy_code, "=", eval(numpy_code, {"np": np, "x": x}).tolist())
    targets, outputs = tf.constant([0.0, 1.0]), tf.constant([0.5, 1.0])
    print("Keras's losses take the targets first:", keras.losses.MeanSquaredError()(targets, outputs).numpy())


def lesson(report, *, repeats: int = 5, seed: int = 0):
    """Run every row's TensorFlow and NumPy, compare them, and show in which order a matrix is read.

    Args:
        report: The report to write to.
        repeats: How often every row is run again on random numbers (1 to 1000).
        seed: Seed of these numbers (0 to 4294967295).
    """
    _equivalents(report)
    rng = np.random.default_rng(seed)
    pairs = [_run(_random_numbers(rng)) for _ in range(repeats)]
    got, want = ([values for pair in pairs for values in pair[side].values()] for side in (0, 1))
    report.check(f"on {repeats} sets of random numbers as well", got=got, want=want, rtol=1e-4)
    x = np.arange(1, 7).reshape(2, 3)
    rows, columns = tf.reshape(x, (-1, 2)).numpy(), np.reshape(x, (-1, 2), order="F")
    spelled = np.reshape(x.T, (2, -1), order="F").T  # MATLAB's reshape(x.', 2, []).'
    report.check("MATLAB's reshape(x.', 2, []).' is x.reshape(−1, 2)", got=spelled, want=rows)
    report.check("its reshape(x, [], 2) is not: it goes down the columns", columns, [[1, 5], [4, 3], [2, 6]])
    figure, axes = plots.subplots(1, 3, figsize=(10, 3.2))
    for ax, values, title in zip(axes, (x, rows, columns), ("x", "TensorFlow, PyTorch, NumPy", "MATLAB"), strict=True):
        plots.numbered(values, ax, highest=6)
        ax.set(xticks=[], yticks=[], xlabel=f"shape {values.shape}")
        ax.set_title(title)
    report.figure(
        "One reshape, two orders",
        figure,
        alt="A matrix with rows 1 2 3 and 4 5 6, reshaped to two columns: rows 12, 34, 56 along the rows; 15, 43, 26 "
        "down the columns.",
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
    rows = [[*spellings, matlab.get(spellings[0])] for spellings in EQUIVALENTS]
    got, want = _run(FIXED)
    types = [{code: _type_of(value) for code, value in values.items()} for values in (got, want)]
    report.check(f"{len(rows)} operations: TensorFlow's result equals NumPy's", got=got, want=want)
    report.check("and has its type", *types)
    report.table("one operation, three spellings", ["PyTorch", "TensorFlow", "NumPy", "MATLAB, where it differs"], rows)
    report.note(
        "x, y, v: float32 (2, 3), v a variable; p probabilities, t targets, labels int64 (2,). The columns TensorFlow "
        "and NumPy are run here, PyTorch and MATLAB are text; PyTorch's was run once with version 2.13.0 "
        "and gave the same. torch.from_numpy shares the array's memory; in TensorFlow it takes DLPack, and a "
        "tensor that changes under its readers is nothing to build on."
    )


def _random_numbers(rng):
    x, y = rng.normal(3, 2, size=(2, 2, 3))
    t = rng.integers(0, 2, size=(2, 3))
    return {"x": x, "y": y, "p": rng.uniform(0.05, 0.95, (2, 3)), "t": t, "labels": rng.integers(0, 3, size=2)}


def _run(numbers):
    """Every row's value in TensorFlow and in NumPy: two dictionaries from the row's PyTorch."""
    results = {}, {}
    for torch_code, *codes in EQUIVALENTS:
        for values, code, make, variable in zip(
            results, codes, (tf.constant, np.array), (tf.Variable, np.array), strict=True
        ):
            values[torch_code] = _evaluate(code, _names(numbers, make, variable))
    return results


def _names(numbers, make, make_variable):
    """The names that the rows' code uses, made anew so that no row sees what another one did."""
    numbers = {name: np.int64(value) if name == "labels" else np.float32(value) for name, value in numbers.items()}
    variable = make_variable(numbers["y"].copy())
    made = {name: make(value) for name, value in numbers.items()}
    return {**made, "v": variable, "array": numbers["x"].copy(), "tf": tf, "np": np, "keras": keras}


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

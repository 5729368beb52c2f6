"""The table of equivalents, run again on other numbers, and what single rows promise."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter01 import tensors
from kerasnotes.chapter01.equivalents import pytorch_equivalents

ROWS = pytorch_equivalents()


def value_of(code, make, make_variable):
    """The value of a row's code, on numbers that the lesson does not use."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(2, 2, size=(2, 2, 3)).astype("float32")
    names = {
        "x": make(x), "y": make(y), "v": make_variable(np.float32(x + y)), "array": y.copy(),
        "p": make(rng.uniform(0.05, 0.95, (2, 3)).astype("float32")), "labels": make(np.int64([1, 2])),
        "t": make(np.float32([[1, 0, 1], [0, 1, 1]])), "tf": tf, "np": np, "keras": keras,
    }  # fmt: skip
    lines = code.replace("; ", "\n").split("\n")
    if lines[-1].lstrip().startswith("z =") or any(line.lstrip().startswith("z =") for line in lines):
        exec(code, names)
        return names["z"]
    return eval(code, names)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].partition("\n")[0])
def test_tensorflow_and_numpy_agree(row):
    _, tensorflow_code, numpy_code = row
    got, want = value_of(tensorflow_code, tf.constant, tf.Variable), value_of(numpy_code, np.array, np.array)
    pairs = zip(got, want, strict=True) if isinstance(want, tuple) else [(got, want)]
    for ours, theirs in pairs:
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)


def test_the_table_has_what_a_reader_looks_for():
    assert len(ROWS) >= 24
    assert len({row[0] for row in ROWS}) == len(ROWS)
    assert all(len(row) == 3 and all(isinstance(text, str) and text for text in row) for row in ROWS)
    torch = "\n".join(row[0] for row in ROWS)
    for name in ("DataLoader", "TensorDataset", "no_grad", "MSELoss", "BCELoss", "from_numpy", "add_", "backward"):
        assert name in torch


def test_the_table_cannot_be_changed_from_outside():
    pytorch_equivalents().clear()
    assert len(pytorch_equivalents()) == len(ROWS)


def test_nothing_is_recorded_where_recording_is_stopped():
    code = next(row[1] for row in ROWS if "no_grad" in row[0])
    names = {"tf": tf, "v": tf.Variable([1.0, 2.0]), "x": tf.constant([3.0, 4.0])}
    exec(code, names)
    assert names["tape"].gradient(names["z"], names["v"]) is None


def test_shared_memory_and_copies():
    codes = {row[0]: row[1] for row in ROWS}
    for torch_code, first in (("z = torch.from_numpy(array); array[0] = 9", 9.0),
                              ("z = torch.tensor(array); array[0] = 9", 1.0)):  # fmt: skip
        names = {"tf": tf, "array": np.float32([1, 2, 3])}
        exec(codes[torch_code], names)
        assert names["z"].numpy().tolist() == [first, 2.0, 3.0]


def test_the_table_is_found_beside_tensors_too():
    assert tensors.pytorch_equivalents is pytorch_equivalents

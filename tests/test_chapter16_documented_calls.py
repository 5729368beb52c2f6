"""The documented calls: what the installed packages have, and what the syntax tree of an example shows."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter16.documented_calls import DOCUMENTED, api_state, api_table, calls_of, covered, lesson
from kerasnotes.course import catalog
from kerasnotes.course.report import Report


@pytest.fixture(scope="module")
def rows():
    return api_table()


def test_every_documented_call_has_a_row(rows):
    assert [row.call for row in rows] == [call for call, *_ in DOCUMENTED]


@pytest.mark.parametrize("call", [call for call, *_ in DOCUMENTED])
def test_every_documented_call_is_made_in_an_example_with_its_arguments(rows, call):
    row = next(row for row in rows if row.call == call)
    assert row.lesson, "no lesson's example makes this call"
    assert not row.unused, f"{row.lesson} does not pass {', '.join(row.unused)}"
    assert catalog.find_lesson(row.lesson).has_example


def test_states():
    assert api_state("tf.sigmoid") == ("same name", "tf.sigmoid", ())
    assert api_state("tf.no_such", today="tf.tanh") == ("renamed", "tf.tanh", ())
    assert api_state("tf.no_such.deeper") == ("gone", "", ())
    assert api_state("layers.Dropout", ("rate", "no_such")) == ("same name", "layers.Dropout", ("no_such",))
    with pytest.raises(ValueError, match="numpy"):
        api_state("numpy.sin")


def test_states_agree_with_the_packages_themselves():
    states = {row.call: row.state for row in api_table()}
    assert (states["tf.keras.losses.mean_squared_error"] == "same name") == hasattr(
        tf.keras.losses, "mean_squared_error"
    )
    assert states["layers.GRU"] == "same name"
    assert keras.layers.GRU is not None
    np.testing.assert_allclose(tf.losses.MSE([[0.0]], [[2.0]]), [4.0])


@pytest.mark.parametrize(
    ("text", "name", "positional", "keywords"),
    [
        ("import keras\n{}keras.callbacks.History(a=2)", "keras.callbacks.History", 0, ("a",)),
        ("import tensorflow as tf\n{}tf.keras.layers.GRUCell(4)", "tensorflow.keras.layers.GRUCell", 1, ()),
        ("from keras import layers\n{}layers.GRUCell(4)", "keras.layers.GRUCell", 1, ()),
        (
            "from tensorflow.keras.layers import GRUCell as Cell\n{}Cell(units=4)",
            "tensorflow.keras.layers.GRUCell",
            0,
            ("units",),
        ),
        ("import keras\n{}model.fit(x, y, validation_split=0.2)", ".fit", 2, ("validation_split",)),
        ("{}optimizer.learning_rate = 0.1", ".learning_rate", 0, ()),
        ("{}tape.watch(x)", ".watch", 1, ()),
        ("{}print(x)", "print", 1, ()),
    ],
)
def test_calls_of_an_example(text, name, positional, keywords):
    assert (name, positional, keywords) in calls_of(text.format("def example():\n    ") + "\n")
    assert calls_of(text.format("def lesson():\n    ") + "\n") == []


@pytest.mark.parametrize(
    ("call", "arguments", "statement"),
    [
        ("layers.GRUCell", "", "layers.GRUCell(4)"),
        ("layers.GRUCell", "", "keras.layers.GRUCell(4)"),
        ("layers.GRUCell", "", "tf.keras.layers.GRUCell(4)"),
        ("tf.keras.callbacks.EarlyStopping", "monitor patience", "keras.callbacks.EarlyStopping('loss', patience=1)"),
        ("tf.keras.callbacks.EarlyStopping", "patience", "tf.keras.callbacks.EarlyStopping(patience=1)"),
        ("model.fit", "validation_split", "network.fit(x, y, validation_split=0.1)"),
        ("optimizers.Optimizer.learning_rate", "", "optimizer.learning_rate = 0.1"),
        ("tf.GradientTape.gradient", "target sources", "tape.gradient(y, x)"),
        ("tf.nn.conv2d", "input filters strides padding", "tf.nn.conv2d(x, w, 1, padding='SAME')"),
        ("tf.nn.dropout", "rate", "tf.nn.dropout(x, rate=0.5)"),
    ],
)
def test_a_call_is_found_however_it_is_spelt(call, arguments, statement):
    program = f"import keras\nimport tensorflow as tf\nfrom keras import layers\n\n\ndef example():\n    {statement}\n"
    assert covered(call, tuple(arguments.split()), calls_of(program)) == set(arguments.split())
    assert covered(call, (), calls_of(program.replace("example", "lesson"))) is None


def test_an_argument_that_is_not_passed_is_named():
    program = "from keras import layers\n\n\ndef example():\n    layers.Dropout(0.5)\n    layers.Dense(1)\n"
    rows = {row.call: row for row in api_table({"chapter05.dropout": program})}
    assert (rows["layers.Dropout"].lesson, rows["layers.Dropout"].unused) == ("chapter05.dropout", ())
    assert rows["layers.Dense"].unused[0] == "kernel_initializer"
    assert rows["layers.GRU"].lesson == ""


def test_of_several_examples_the_first_of_the_course_is_named(rows):
    lessons = {row.call: row.lesson for row in rows}
    assert lessons["layers.SimpleRNNCell"] == "chapter08.simple_rnn"  # not fading_gradients, which comes later
    assert lessons["layers.Embedding"] == "chapter08.sequences"
    two = {
        f"chapter05.{name}": f"def example():\n    model.fit(x, {name}=1)\n" for name in ("epochs", "validation_split")
    }
    assert {row.call: row.lesson for row in api_table(two)}["model.fit"] == "chapter05.validation_split"


def test_the_tables_fit_a_narrow_terminal_with_whole_names():
    report = Report()
    lesson(report)
    assert report.ok
    tables = [record for record in report.records if record["kind"] == "table"]
    assert len(tables) >= 2
    for table in tables:
        columns = list(zip(table["columns"], *table["rows"], strict=True))
        widths = [max(len(word) for cell in column for word in [*str(cell).split(), ""]) for column in columns]
        assert sum(widths) + 3 * len(widths) + 1 <= 80, table["title"]

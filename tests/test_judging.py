"""How an answer to an exercise is judged: values, shapes, gradients, and whatever a learner's file may do."""

import json
import os
import subprocess
import sys
import textwrap
import time

import keras
import nbformat
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import kerasnotes
from kerasnotes.__main__ import main
from kerasnotes.course import catalog, check, exercises, judge, notebook
from kerasnotes.course.report import Report
from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong
from kerasnotes.course.trial import Trial, difference, line_text

ROOT = catalog.PACKAGE.parent
START = '''import numpy as np


def scale(x, factor):
    """Multiply.

    Args:
        x: Array of any shape.
        factor: A number.

    Returns:
        Array of the same shape.
    """
    ...
'''
RIGHT = START.replace("    ...\n", "    return x * factor\n")


def _forgot(x, factor):
    return x


def _added(x, factor):
    return x + factor


def _divided(x, factor):
    return x / factor


def _check_scale(trial):
    trial.equal("two numbers, doubled", np.array([2.0, 3.0]), 2.0)
    for shape in ((3,), (2, 2)):
        trial.equal(f"shape {shape}", trial.rng.normal(size=shape), 3.0)
    trial.check("equals np.multiply", got=trial.answer(np.ones(2), 3.0), want=np.multiply(np.ones(2), 3.0))


COMMON = {"lesson": "chapter08.clipping", "minutes": 5, "hints": ("Think.", "Multiply.", "$x f$")}
SCALE = Write(
    title="Scale an array",
    text="Multiply $x$ by a factor.",
    start=START,
    name="scale",
    check=_check_scale,
    solution_code=RIGHT,
    **COMMON,
    wrong=(Wrong(_forgot, "the factor is missing"), Wrong(_added, "that is a sum"), Wrong(_divided, "a quotient")),
)
BROKEN = Mend(
    title="Mend the scaling",
    text="Doubling gives a quarter more.",
    start=RIGHT.replace("* factor", "+ factor"),
    name="scale",
    check=_check_scale,
    solution_code=RIGHT,
    wrong=SCALE.wrong,
    **COMMON,
)
GUESS = Predict(
    title="Guess",
    text="What is it?",
    **COMMON,
    solution_code="half = 1 / 2\npair = [1, 2]\n",
    values=(
        Value("half", "a half", lambda: 0.5, wrong=((lambda: 2.0, "turned over"),)),
        Value("pair", "two", lambda: [1, 2]),
    ),
)


@pytest.fixture
def tasks(monkeypatch):
    """Chapter 08 with three small exercises, chapter 09 with none."""

    def of_chapter(chapter):
        found = (SCALE, BROKEN, GUESS) if chapter.name == "chapter08" else ()
        return tuple(exercises.Exercise(f"08.{i + 1}", chapter, task) for i, task in enumerate(found))

    monkeypatch.setattr(exercises, "of_chapter", of_chapter)
    return [exercises.find(f"8.{i}") for i in (1, 2, 3)]


def judged(tmp_path, exercise, text):
    path = tmp_path / exercise.file_name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return judge.judge_file(exercise, path)


def lines_of(report):
    outcome = {"exercise": "08.1", "title": "", "file": "f.py", "report": report.to_dict()}
    return "\n".join(text for _, text in check.outcome_lines(outcome))


def trial_of(answer, reference, wrong=()):
    return Trial(answer, reference, wrong, Report("exercise"), {__file__})


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (np.ones(3), tf.ones(3)),
        (tf.ones((2, 2)), np.ones((2, 2))),
        (1, 1.0),
        (tf.constant(2.0), 2),
        ((1, [2.0]), [1, (2.0,)]),
        ([1.0, 2.0], (1.0, 2.0)),
        (np.array([1.0, 2.0]), [1.0, 2.0]),
        ({"a": 1, "b": None}, {"b": None, "a": 1}),
        ("yes", "yes"),
        (None, None),
        (np.array([1, -np.inf]), np.array([1, -np.inf])),
        (1 + 1e-7, 1.0),
        (True, np.True_),
        (tf.Variable([1.0]), np.ones(1)),
        (keras.Variable([1.0]), np.ones(1)),
        (["a", "b"], ["a", "b"]),
        (tf.IndexedSlices(tf.ones((2, 3)), [0, 0], [2, 3]), np.array([[2.0] * 3, [0.0] * 3])),
    ],
)
def test_what_agrees(got, want):
    assert difference(got, want, 1e-5, 1e-6) is None


@pytest.mark.parametrize(
    ("got", "want", "said"),
    [
        (np.ones(3), np.ones((3, 1)), "shape: expected (3, 1), got (3,)"),
        (np.ones((1, 3)), np.ones(3), "shape: expected (3,), got (1, 3)"),
        (1.0, np.ones(1), "shape: expected (1,), got ()"),
        (np.ones(1), 1.0, "shape: expected (), got (1,)"),
        ([1.0, 1.0], np.ones(2), "expected an array of shape (2,), got a list of 2"),
        (None, np.ones(2), "expected an array of shape (2,), got None"),
        (np.nan, 1.0, "expected 1, got nan"),
        (np.array([1.0, np.nan]), np.ones(2), "first difference at [1]: expected 1, got nan"),
        (np.inf, 1.0, "expected 1, got inf"),
        (1.0, np.inf, "expected inf, got 1"),
        (-np.inf, np.inf, "expected inf, got -inf"),
        (
            [np.ones(2)],
            [np.ones(2), np.ones(1)],
            "expected a list of 2, shapes (2,), (1,), got a list of 1, shapes (2,)",
        ),
        ((np.ones(2), np.zeros(1)), (np.ones(2), np.ones(1)), "first difference at [1][0]: expected 1, got 0"),
        ({"a": 1}, {"a": 1, "b": 2}, "expected a dictionary with the keys a, b, got the keys a"),
        (3, "no", "expected 'no', got 3"),
        (
            np.array([[1.0, 2.0], [3.0, 4.0]]),
            np.array([[1.0, 2.5], [3.0, 5.0]]),
            "first difference at [0, 1]: expected 2.5, got 2",
        ),
        (np.arange(100.0), np.arange(100.0) + (np.arange(100) > 97), "(2 of 100 differ)"),
        ("1", 1.0, "expected 1, got '1'"),
        (1.0000123, 1.0, "expected 1.0, got 1.0000123"),
        (lambda: 1, 1.0, "expected 1, got a function"),
    ],
)
def test_what_differs_is_said(got, want, said):
    assert said in " ".join(difference(got, want, 1e-5, 1e-6))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5), st.integers(0, 4), st.floats(0.1, 10))
def test_one_changed_number_is_found_at_its_place(values, place, change):
    want = np.array(values)
    got, place = want.copy(), place % len(values)
    got[place] += change * (1 + abs(got[place]))
    assert f"[{place}]" in difference(got, want, 1e-5, 1e-6)[0]
    assert difference(want.copy(), want, 1e-5, 1e-6) is None


def test_a_reference_of_nan_is_the_authors_mistake():
    with pytest.raises(ValueError, match="the reference gives NaN"):
        difference(np.nan, np.nan, 1e-5, 1e-6)
    with pytest.raises(TypeError, match="not object"):
        difference(1, object(), 1e-5, 1e-6)


def test_inputs_are_copies_and_small_ones_are_shown():
    def spoils(x, k):
        x += 1
        return x * k

    trial = trial_of(spoils, lambda x, k: x * k)
    x = np.array([1.0, 2.0])
    assert not trial.equal("spoilt", x, 2)
    assert x.tolist() == [1.0, 2.0]
    assert trial.report.records[0]["detail"][:2] == [
        "inputs: x = [1, 2], k = 2",
        "first difference at [0]: expected 2, got 4",
    ]
    trial = trial_of(spoils, lambda x, k: x * k)
    trial.equal("large", np.zeros((20, 3)), k=2)
    assert trial.report.records[0]["detail"][0] == "inputs: x: an array of shape (20, 3), k = 2"


def test_global_draws_are_the_same_for_both():
    def draws(shape):
        return np.random.normal(size=shape) + tf.random.normal(shape) + keras.random.normal(shape, seed=3)  # noqa: NPY002

    assert trial_of(draws, lambda shape: draws(shape)).equal("draws", (3,))


# --- gradients -------------------------------------------------------------------------------------------------------


def test_a_right_gradient_passes_in_every_form():
    def ours(x, pair):
        return {"a": x * pair[0], "b": [tf.reduce_sum(pair[1] ** 2), tf.argmax(x)]}

    trial = trial_of(lambda x, pair: ours(x, pair), ours)
    assert trial.gradient("all", np.ones(3, np.float32), [tf.ones(3), tf.constant(2.0)], of=(0, 1))
    trial = trial_of(lambda x, y: x, lambda x, y: x + 0 * y)
    assert trial.gradient("a gradient of zero may as well not exist", tf.ones(2), tf.ones(2), of=(0, 1))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x, y: tf.stop_gradient(x) * y, "no gradient flows to x"),
        (lambda x, y: (x * y).numpy(), "no gradient flows to x"),
        (lambda x, y: x * tf.stop_gradient(y), "no gradient flows to y"),
        (lambda x, y: x * y + tf.stop_gradient(x) - x, "the values are right, the gradient by x is not:"),
        (lambda x, y: x + y, "the values already differ:"),
    ],
)
def test_a_wrong_gradient_is_said(answer, said):
    trial = trial_of(answer, lambda x, y: x * y)
    assert not trial.gradient("slopes", tf.constant([2.0, 3.0]), tf.constant([5.0, 7.0]), of=(0, 1))
    assert said in " ".join(trial.report.records[0]["detail"])


def test_a_gradient_of_a_plain_sum_is_not_enough():
    trial = trial_of(lambda x: x[::-1] + tf.stop_gradient(x - x[::-1]), lambda x: x)
    assert not trial.gradient("the same sum", tf.constant([2.0, 3.0]))


def test_a_call_adapts_what_is_called():
    class Doubles:
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, x):
            return self.factor * x

    trial = trial_of(Doubles, Doubles)
    assert trial.equal("a class", np.ones(2), 2.0, call=lambda made, x, factor: made(factor)(x))
    assert trial.gradient("its slope", tf.ones(2), 2.0, call=lambda made, x, factor: made(factor)(x))


# --- what goes wrong, and what is said -------------------------------------------------------------------------------


def test_after_the_first_failure_the_rest_is_not_reached(tasks, tmp_path):
    report = judged(tmp_path, tasks[0], RIGHT.replace("x * factor", "2 * x + factor"))
    assert [record["status"] for record in report.records] == ["failed", "skipped", "skipped", "failed"]
    assert report.counts == {"passed": 0, "failed": 2, "skipped": 2}
    assert "2 more, not reached" in lines_of(report)
    assert "→" not in lines_of(report)


@pytest.mark.parametrize("wrong", SCALE.wrong, ids=lambda wrong: wrong.message)
def test_the_answer_is_recognized_by_its_values(tasks, wrong):
    assert f"→ {wrong.message}" in lines_of(judge.judge(tasks[0], wrong.answer))


def test_later_inputs_tell_two_wrong_answers_apart():
    def at(power):
        return lambda x: x**power

    for power, message in ((2, "squared"), (3, "cubed")):
        trial = trial_of(at(power), at(4), [(at(2), "squared"), (at(3), "cubed")])
        trial.equal("zeros and ones alike", np.array([0.0, 1.0, -1.0]) if power == 5 else np.array([2.0]) ** 0 * 1.5)
        trial.equal("another", np.array([3.0]))
        assert trial.report.records[0]["diagnosis"] == message
    trial = trial_of(lambda x: -x, abs, [(lambda x: -abs(x), "minus the size"), (lambda x: -x, "minus")])
    trial.equal("one", np.array([1.0]))
    trial.equal("another", np.array([-3.0]))
    assert trial.report.records[0]["diagnosis"] == "minus"


def test_a_wrong_answer_that_raises_is_not_what_was_written():
    trial = trial_of(lambda x: x, lambda x: 2 * x, [(lambda x: 1 / 0, "by zero"), (lambda x: x, "the factor")])
    trial.equal("one", 1.0)
    assert trial.report.records[0]["diagnosis"] == "the factor"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "return np.ones(3) @ np.ones((4, 2))",
            ["ValueError: matmul", "in line 5 of exercise_08_1.py: return np.ones(3) @"],
        ),
        ("return missing", ["NameError: name 'missing' is not defined", "in line 5"]),
        ("sys.exit(3)", ["your program ended itself with sys.exit", "in line 5 of exercise_08_1.py: sys.exit(3)"]),
        ("return scale(x, factor)", ["RecursionError"]),
        ("pass", ["got None: is it still to be written"]),
        ("return tf.matmul(x, x)", ["in line 5 of exercise_08_1.py: return tf.matmul(x, x)"]),
        ("raise KeyError", ["KeyError"]),
    ],
)
def test_an_exception_is_shown_with_its_line(tasks, tmp_path, body, said):
    report = judged(
        tmp_path,
        tasks[0],
        f"import sys\nimport numpy as np\nimport tensorflow as tf\ndef scale(x, factor):\n    {body}\n",
    )
    text = lines_of(report)
    assert all(each in text for each in said), text
    assert "inputs: x = [2, 3], factor = 2" in text
    assert report.status == "failed"


def test_a_cell_of_a_notebook_has_no_file_name():
    assert line_text("/tmp/ipykernel_12/345.py", 2) == "in line 2 of the cell"
    assert line_text("<ipython-input-3>", 2) == "in line 2 of the cell"


def test_what_comes_back_may_be_of_no_use_to_a_check(tasks):
    def check_length(trial):
        trial.check("its length", got=len(trial.answer(1)), want=1)

    task = Write(**{**vars(SCALE), "check": check_length})
    text = lines_of(judge.judge(exercises.Exercise("08.1", tasks[0].chapter, task), lambda x: 3))
    assert "what your code returned could not be used" in text
    assert "object of type 'int' has no len()" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "def scale(x, factor)\n    return x\n",
            ["✗ the file is Python", "SyntaxError: expected ':'", "in line 1 of", "def scale(x, factor)"],
        ),
        ("def scale(x, factor):\nreturn x\n", ["IndentationError", "in line 2"]),
        ("x = '\0'", ["null bytes"]),
        ("import nothing_of_this_name\n", ["✗ the file runs", "ModuleNotFoundError", "in line 1"]),
        ("import sys\nsys.exit()\n", ["ended itself with sys.exit", "in line 2"]),
        ("def scales(x, factor):\n    return x\n", ["no function scale in the file; did you mean scales?"]),
        ("import numpy\ndef other(): pass\n", ["no function scale in the file; it defines other"]),
        ("scale = 3\n", ["no function scale in the file; it defines no function"]),
        (START, ["✗ your code is there", "not begun: `...` is still where your code should be"]),
        ("# a comment\n" + START, ["not begun"]),
    ],
)
def test_a_file_that_cannot_be_judged(tasks, tmp_path, text, said):
    report = judged(tmp_path, tasks[0], text)
    found = lines_of(report)
    assert all(each in found for each in said), found
    assert report.counts == {"passed": 0, "failed": 1, "skipped": 0}


def test_a_file_that_is_no_text_is_said(tasks, tmp_path):
    path = tmp_path / "exercise_08_1.py"
    path.write_bytes("def scale(x, factor):\n    return '尺度'\n".encode("gbk"))
    assert "UTF-8" in lines_of(judge.judge_file(tasks[0], path))
    path.write_bytes(b"\xef\xbb\xbf" + RIGHT.encode())
    assert judge.judge_file(tasks[0], path).ok


def test_a_program_to_mend(tasks, tmp_path):
    assert "not begun: the fault is still in it" in lines_of(judged(tmp_path, tasks[1], BROKEN.start))
    assert judged(tmp_path, tasks[1], RIGHT).ok
    assert "→ that is a sum" in lines_of(judged(tmp_path, tasks[1], BROKEN.start.replace("x + factor", "factor + x")))


@pytest.mark.parametrize(
    ("text", "said", "held"),
    [
        ("half = 0.5\npair = [1, 2]", [], 2),
        ("half = 0.504\npair = (1, 2.001)", [], 2),
        ("half = 2\npair = ...", ["→ turned over", "no value yet"], 0),
        ("half = 0.7", ["not yet", "no value yet"], 0),
        ("half = 'x'\npair = [1]", ["expected one number, got something else", "expected 2 numbers, got 1 numbers"], 0),
        ("half = [0.5]\npair = 1", ["expected one number, got 1 numbers", "expected 2 numbers, got one number"], 0),
        ("half = float('nan')\npair = [[1], [1, 2]]", ["not yet", "expected 2 numbers, got something else"], 0),
    ],
)
def test_a_prediction_is_judged_number_by_number(tasks, tmp_path, text, said, held):
    report = judged(tmp_path, tasks[2], text)
    found = lines_of(report)
    assert all(each in found for each in said), found
    assert report.counts["passed"] == held
    assert "0.5" not in json.dumps([record for record in report.records if record["status"] == "failed"])


# --- the commands ----------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "8.1",
        "08.1",
        "08_1",
        "exercise_08_1.py",
        "exercise_08_1",
        "chapter08.1",
        "sub/exercise_08_1.py",
        "exercise_08_1_li.py",
    ],
)
def test_an_exercise_has_many_names(tasks, name):
    assert exercises.find(name).number == "08.1"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("8.4", "There is no exercise 08.4. chapter08 has: 08.1 Scale an array, 08.2 Mend"),
        ("9.1", "chapter09 has none"),
        ("8.0", "no exercise 08.0"),
        ("99.1", "no chapter '99'"),
        ("scale", "expected a number such as 08.2"),
        ("exercise_08_12.py", "08.12"),
    ],
)
def test_an_unknown_exercise_is_answered_by_what_there_is(tasks, here, capsys, name, said):
    assert main(["exercise", name] if name != "scale" else ["hint", name]) == 2
    assert said in capsys.readouterr().err


def test_a_file_is_handed_out_once(tasks, here, capsys):
    assert main(["exercise", "8.1"]) == 0
    text = (here / "exercise_08_1.py").read_text(encoding="utf-8")
    assert text.startswith("# 08.1 Scale an array (write, 5 minutes)\n#\n# Multiply $x$ by a factor.\n")
    assert text.endswith(START)
    (here / "exercise_08_1.py").write_text("mine", encoding="utf-8")
    assert main(["exercise", "08.1"]) == 2
    assert "is there already and stays as it is" in capsys.readouterr().err
    assert (here / "exercise_08_1.py").read_text(encoding="utf-8") == "mine"
    assert main(["exercise", "08.3", "--out", "a/b"]) == 0
    assert (
        (here / "a" / "b" / "exercise_08_3.py")
        .read_text(encoding="utf-8")
        .endswith("half = ...  # a half\npair = ...  # two\n")
    )


def test_the_list_says_how_far_one_is(tasks, here, capsys, monkeypatch):
    def states():
        capsys.readouterr()
        assert main(["exercise", "8"]) == 0
        return [line.split("min")[1].strip() for line in capsys.readouterr().out.splitlines() if " min" in line]

    monkeypatch.setattr(
        check,
        "judge_path",
        lambda path, exercise, seconds: {
            "exercise": exercise.number,
            "title": "",
            "file": str(path),
            "report": judge.judge_file(exercise, path.resolve()).to_dict(),
        },
    )
    assert states() == ["", "", ""]
    main(["exercise", "8.1"])
    assert states() == ["begun", "", ""]
    assert main(["check", "8.1"]) == 1
    assert states() == ["begun", "", ""], "an untouched file is no try"
    (here / "exercise_08_1.py").write_text(RIGHT.replace("*", "+"))
    assert main(["check", "8.1"]) == 1
    assert main(["check", "8.1"]) == 1
    assert states() == ["0 of 4 checks hold", "", ""]
    (here / "exercise_08_1.py").write_text(RIGHT)
    assert states() == ["changed since its check", "", ""]
    assert main(["check"]) == 0
    assert states() == ["done", "", ""]
    assert exercises.notes_of(here)["08.1"]["tries"] == 2, "the same file twice is one try"
    assert main(["solution", "8.1"]) == 0, "after two tries nobody asks back"


def test_hints_come_one_by_one_and_stay(tasks, here, capsys):
    for count in (1, 2, 3, 3):
        assert main(["hint", "8.1"]) == 0
        text = capsys.readouterr().out
        assert [hint in text for hint in SCALE.hints] == [i < count for i in range(3)]
    assert "(new)" not in text
    assert "solution 08.1" in text
    assert main(["hint", "8.2", "--all"]) == 0
    assert all(hint in capsys.readouterr().out for hint in ("Think.",))


def test_the_solution_asks_back(tasks, here, capsys, monkeypatch):
    assert main(["solution", "8.1"]) == 2
    assert (
        "--yes is needed to see the solution of 08.1; a hint: python -m kerasnotes hint 08.1" in capsys.readouterr().err
    )
    assert main(["solution", "8.1", "--yes"]) == 0
    assert capsys.readouterr().out.endswith(RIGHT)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    for answer, code in (("n\n", 2), ("\n", 2), ("y\n", 0)):
        monkeypatch.setattr(sys.stdin, "readline", lambda answer=answer: answer, raising=False)
        assert main(["solution", "8.1"]) == code
    main(["hint", "8.1"])
    main(["hint", "8.1"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert main(["solution", "8.1"]) == 0


def test_a_folder_that_takes_nothing(tasks, here, capsys, monkeypatch):
    (here / "file").write_text("")
    assert main(["exercise", "8.1", "--out", "file/deep"]) == 2
    assert "file" in capsys.readouterr().err
    (here / exercises.NOTES).mkdir()  # notes cannot be written, as in a folder that is read-only
    assert main(["hint", "8.1"]) == 0
    assert "hint 08.1 --all" in capsys.readouterr().out
    assert main(["exercise", "8.1"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.py"], "there is no such file or folder"),
        (["other.py"], "which exercise is it?"),
        (["empty"], "no exercise in this folder"),
        ([], "no exercise in this folder"),
        (["--seconds", "0", "other.py"], "--seconds"),
        (["other.py", "a.py", "--exercise", "8.1"], "one file"),
        (["exercise_08_9.py"], "There is no exercise 08.9"),
        (["8.1"], "exercise_08_1.py: there is no such file"),
    ],
)
def test_wrong_usage_of_check(tasks, here, capsys, arguments, said):
    (here / "empty").mkdir()
    (here / "other.py").write_text("x = 1")
    if "exercise_08_9.py" in arguments:
        (here / "exercise_08_9.py").write_text("x = 1")
    assert main(["check", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_class_gives_a_table_and_json(tasks, here, capsys, monkeypatch):
    monkeypatch.setattr(
        check,
        "judge_path",
        lambda path, exercise, seconds: {
            "exercise": exercise.number,
            "title": "",
            "file": str(path),
            "report": judge.judge_file(exercise, path).to_dict(),
        },
    )
    for name, text in (("li", RIGHT), ("wang", RIGHT.replace("*", "+")), ("zhao", "def")):
        (here / name).mkdir()
        (here / name / "exercise_08_1.py").write_text(text)
    (here / "li" / "exercise_08_2_again.py").write_text(RIGHT)
    assert main(["check", "."]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "2 of 4 files pass" in text
    assert "0 of 4 that is a sum" in text
    assert "the file is Python: SyntaxError" in text
    assert not list(here.rglob(exercises.NOTES)), "other people's folders stay as they are"
    (here / "li" / "exercise_08_44.py").write_text("x = 1")
    assert main(["check", "li", "--json"]) == 0
    said = capsys.readouterr()
    assert [entry["report"]["status"] for entry in json.loads(said.out)] == ["passed", "passed"]
    assert "exercise_08_44.py is left out: There is no exercise 08.44" in said.err
    assert main(["check", "li/exercise_08_2_again.py", "--exercise", "8.1"]) == 0


def test_an_interrupted_check_says_so(tasks, here, capsys, monkeypatch):
    def interrupted(path, exercise, seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "judge_path", interrupted)
    (here / "exercise_08_1.py").write_text(RIGHT)
    assert main(["check"]) == 130
    assert "interrupted" in capsys.readouterr().out


# --- a process of its own: one exercise of the course stands for all -------------------------------------------------


FIRST = next((each for each in exercises.every() if isinstance(each.task, Write) and each.kind == "write"), None)
needs_one = pytest.mark.skipif(FIRST is None, reason="no exercise yet")


@needs_one
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "print('x' * 5_000_000)\nwhile True: pass  # for ever\n",
            ["still ran after 1 s", "in line 2 of", "pass  # for ever", "xxxx"],
        ),
        ("import os\nos._exit(7)\n", ["ended before it could be judged, with exit code 7"]),
    ],
    ids=["endless", "gone"],
)
def test_another_process_outlives_nothing(tmp_path, capsys, text, said):
    path = tmp_path / "练习" / FIRST.file_name
    path.parent.mkdir()
    path.write_text(text)
    assert main(["check", str(path), "--seconds", "1"]) == 1
    found = capsys.readouterr().out
    assert all(each in found for each in said), found
    assert len(found) < 2000


@needs_one
def test_a_solution_passes_in_its_own_process_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    path = tmp_path / "homework" / FIRST.file_name
    path.parent.mkdir()
    monkeypatch.chdir(path.parent)
    (path.parent / "beside.py").write_text("NAME = 'left-over.txt'\n")
    (path.parent / "wave.py").write_text("raise SystemExit('hides the library')\n")
    begin = """
        import wave, threading, time
        import beside
        open(beside.NAME, 'w').close()
        threading.Thread(target=time.sleep, args=(600,)).start()
    """
    code, dotted = FIRST.solution
    taken = (
        f"from kerasnotes.{dotted.rpartition('.')[0]} import {dotted.rpartition('.')[2]} as {FIRST.task.name}\n"
        if FIRST.task.solution_code is None
        else code
    )
    path.write_text(textwrap.dedent(begin) + taken)
    start = time.monotonic()
    assert main(["check", str(path), "--json"]) == 0
    assert time.monotonic() - start < check.START_SECONDS, "a thread that still runs keeps nobody waiting"
    (outcome,) = json.loads(capsys.readouterr().out)
    assert outcome["report"]["status"] == "passed"
    assert sorted(each.name for each in path.parent.iterdir()) == sorted(["beside.py", "wave.py", FIRST.file_name])


@pytest.mark.parametrize(
    "arguments",
    [
        ["exercise"],
        ["check", "--help"],
        ["exercise", "--help"],
        *([["hint", FIRST.number], ["solution", FIRST.number, "--yes"], ["exercise", FIRST.number]] if FIRST else []),
    ],
    ids=" ".join,
)
def test_learners_commands_do_without_tensorflow(arguments, tmp_path):
    code = (
        "import sys\nfrom kerasnotes.__main__ import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "found = {'tensorflow', 'keras', 'matplotlib', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'imported {found}' if found else 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert found.returncode == 0, found.stderr


# --- in a notebook ---------------------------------------------------------------------------------------------------


def test_a_notebook_shows_and_checks(tasks):
    shown = kerasnotes.exercise("8.1")
    assert all(part in shown._repr_markdown_() for part in ("### 08.1 Scale an array", START, "<details>", "$x f$"))
    assert "Multiply $x$ by a factor." in repr(shown)
    result = kerasnotes.check("08.1", _added)
    assert not result.ok
    assert "→ that is a sum" in repr(result)
    assert "that is a sum</span>" in result._repr_html_()
    assert "in line" in repr(kerasnotes.check("08.1", lambda x, factor: x.no_such))
    assert kerasnotes.check("08.1", lambda x, factor: factor * x).ok
    assert kerasnotes.check("08.3", half=0.5, pair=[1, 2]).ok
    assert "no value yet" in repr(kerasnotes.check("08.3", half=0.5))


@pytest.mark.parametrize(
    ("arguments", "values", "said"),
    [
        (("8.9",), {}, "no exercise 08.9"),
        (("8.1",), {}, "asks for your scale"),
        (("8.1", 3), {}, "asks for your scale"),
        (("8.3", _added), {}, "asks for numbers"),
        (("8.3",), {"hlaf": 1}, "expected half=…, pair=…"),
    ],
)
def test_a_notebooks_wrong_usage(tasks, arguments, values, said):
    with pytest.raises(ValueError, match=said):
        kerasnotes.check(*arguments, **values)


def test_a_chapters_exercises_are_a_notebook(tasks):
    made = notebook.exercises_notebook(tasks[0].chapter)
    nbformat.validate(made)
    code = [cell.source for cell in made.cells if cell.cell_type == "code"]
    assert code[0] == "from kerasnotes import check, exercise"
    assert [code[2], code[6]] == ['check("08.1", scale)', 'check("08.3", half=half, pair=pair)']
    namespace = {}
    exec("\n".join(code), namespace)
    assert notebook.exercises_as_text(tasks[0].chapter) == notebook.exercises_as_text(tasks[0].chapter)

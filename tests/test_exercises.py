"""Every exercise of every chapter: what is handed out, our solution passes, each wrong answer gets its word."""

import ast

import pytest

from kerasnotes.course import catalog, exercises, judge
from kerasnotes.course.tasks import Mend, Predict, Write

EXERCISES = exercises.every()
JUDGED = [exercise for exercise in EXERCISES if isinstance(exercise.task, Write)]
PREDICTED = [exercise for exercise in EXERCISES if isinstance(exercise.task, Predict)]
WRONG = [(exercise, i) for exercise in JUDGED for i in range(len(exercise.task.wrong))]
SLIPS = [
    (exercise, value, i)
    for exercise in PREDICTED
    for value in exercise.task.values
    for i in range(len(value.wrong))
]  # fmt: skip

every = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.number)


def failures(report):
    """What the learner reads of a report's failed checks, and the exception if there was one."""
    return [
        (r["label"], r["reason"], r["detail"] if "detail" in r else r["got"])
        for r in report.records
        if r["status"] == "failed"
    ]


@every
def test_an_exercise_is_complete(exercise):
    task = exercise.task
    assert catalog.find_lesson(task.lesson).chapter <= exercise.chapter.name
    assert 1 <= task.minutes <= 45
    assert 1 <= len(task.title) <= 60
    lines = task.text.strip().splitlines()
    assert len(lines) <= 5
    assert max(map(len, lines)) <= 110
    assert len(task.hints) >= 3
    assert len(set(task.hints)) == len(task.hints)


@every
def test_what_is_handed_out_is_python_and_holds_no_solution(exercise):
    tree = ast.parse(exercise.file_text)
    code, _ = exercise.solution
    if isinstance(exercise.task, Predict):
        assert [ast.unparse(node.value) for node in tree.body] == ["..."] * len(exercise.task.values)
    elif isinstance(exercise.task, Mend):
        assert ast.unparse(tree) != ast.unparse(ast.parse(code))
    else:
        written = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        assert exercise.task.name in {node.name for node in ast.walk(tree) if hasattr(node, "name")}
        asked = [
            node for node in written if isinstance(node.body[-1], ast.Expr) and ast.unparse(node.body[-1]) == "..."
        ]
        assert asked, "no function is left to write"
        assert all(ast.get_docstring(node) for node in asked)


@every
def test_the_untouched_file_fails_and_says_so(exercise, tmp_path):
    path = tmp_path / exercise.file_name
    path.write_text(exercise.file_text, encoding="utf-8")
    report = judge.judge_file(exercise, path)
    assert report.status == "failed"
    assert report.records[0]["detail"][0].startswith("not begun")


@every
def test_our_solution_passes(exercise, tmp_path):
    if isinstance(exercise.task, Predict):
        path = tmp_path / exercise.file_name
        path.write_text(exercise.task.solution_code, encoding="utf-8")
        report = judge.judge_file(exercise, path)
    else:
        report = judge.judge(exercise, judge.reference(exercise))
    assert not failures(report)
    assert report.counts["passed"] >= 1
    assert not report.counts["skipped"]


@pytest.mark.parametrize("exercise", JUDGED, ids=lambda exercise: exercise.number)
def test_it_has_three_wrong_answers(exercise):
    messages = [wrong.message for wrong in exercise.task.wrong]
    assert len(messages) >= 3
    assert len(set(messages)) == len(messages)


@pytest.mark.parametrize(("exercise", "i"), WRONG, ids=lambda each: getattr(each, "number", str(each)))
def test_a_wrong_answer_fails_with_its_message(exercise, i):
    function, message = list(judge.wrong_answers(exercise))[i]
    report = judge.judge(exercise, function)
    assert report.status == "failed"
    said = [record["diagnosis"] for record in report.records if record.get("diagnosis")]
    assert said == [message], failures(report)


@pytest.mark.parametrize(
    ("exercise", "value", "i"), SLIPS, ids=lambda each: getattr(each, "number", getattr(each, "name", str(each)))
)
def test_a_slip_gets_its_message_and_never_the_value(exercise, value, i):
    slip, message = value.wrong[i]
    report = judge.judge(exercise, {value.name: slip()})
    record = next(r for r in report.records if r["label"].startswith(f"{value.name}: "))
    assert (record["status"], record["diagnosis"], record["detail"]) == ("failed", message, [])
    assert record["want"] is None

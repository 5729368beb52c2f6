"""Judges one answer to an exercise: a learner's file or, in a notebook, a function or numbers.

`python -m kerasnotes.course.judge` judges one file in a process of its own; `check.py` starts it.
"""

import argparse
import ast
import contextlib
import difflib
import faulthandler
import importlib
import inspect
import json
import linecache
import os
import sys
import tokenize
import types
from pathlib import Path

import numpy as np

from kerasnotes.course import exercises
from kerasnotes.course.report import FAILED, PASSED, Report
from kerasnotes.course.tasks import Mend, Predict
from kerasnotes.course.trial import Trial, add_check, difference, exception_lines, line_text


def judge(exercise, answer, files=()):
    """Try an answer.

    Args:
        exercise: An `exercises.Exercise`.
        answer: The function or class; for numbers to predict `{name: value}`.
        files: Names of the files that the learner wrote.

    Returns:
        A `Report`; a record that failed may have lines `detail` and a `diagnosis`.
    """
    report = Report(f"exercise {exercise.number}")
    if isinstance(exercise.task, Predict):
        for value in exercise.task.values:
            _judge_value(report, value, answer.get(value.name, ...))
        return report
    trial = Trial(answer, reference(exercise), wrong_answers(exercise), report, files)
    try:
        exercise.task.check(trial)
    except (Exception, SystemExit) as error:
        trial.stopped(error)
    return report


def reference(exercise):
    """Our function or class."""
    task = exercise.task
    if task.solution_code is not None:
        return _defined(task.solution_code, f"<solution of {exercise.number}>", task.name)
    module, _, name = task.solution.rpartition(".")
    return getattr(importlib.import_module(f"kerasnotes.{module}"), name)


def wrong_answers(exercise):
    """Typical wrong answers as pairs `(function, message)`."""
    for i, wrong in enumerate(exercise.task.wrong):
        name = f"<wrong answer {i + 1} to {exercise.number}>"
        text = isinstance(wrong.answer, str)
        yield (_defined(wrong.answer, name, exercise.task.name) if text else wrong.answer), wrong.message


def judge_file(exercise, path):
    """Run a learner's file and judge it; whatever it does is told in the report. Returns a `Report`."""
    report = problem(exercise, path)
    if report is not None:
        return report
    report, name = Report(f"exercise {exercise.number}"), str(path)
    try:
        module = _run(_read(path), name, Path(path).stem)
    except (Exception, SystemExit) as error:
        add_check(report, "the file runs", FAILED, reason="an exception", detail=exception_lines(error, {name}))
        return report
    if isinstance(exercise.task, Predict):
        return judge(exercise, vars(module))
    answer = getattr(module, exercise.task.name, None)
    if callable(answer):
        return judge(exercise, answer, {name})
    own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    near = difflib.get_close_matches(exercise.task.name, own)
    there = f"did you mean {near[0]}?" if near else f"it defines {', '.join(own) or 'no function'}"
    add_check(
        report, f"the file defines {exercise.task.name}", FAILED, reason="missing",
        detail=[f"there is no function {exercise.task.name} in the file; {there}"],
    )  # fmt: skip
    return report


def problem(exercise, path):
    """What keeps a file from being judged, found without running it, as a `Report`; None if nothing does."""
    report = Report(f"exercise {exercise.number}")
    try:
        tree = ast.parse(text := _read(path), str(path))
    except (SyntaxError, OSError, ValueError) as error:  # ValueError: bytes that are no UTF-8, or null
        if getattr(error, "lineno", None):
            detail = [f"{type(error).__name__}: {error.msg}", line_text(str(path), error.lineno)]
        else:
            detail = [
                f"{type(error).__name__}: {error}",
                *([] if isinstance(error, OSError) else ["is it a text in UTF-8?"]),
            ]
        add_check(report, "the file is Python", FAILED, reason="not Python", detail=detail)
        return report
    if text.strip() in (exercise.file_text.strip(), exercise.start.strip()) or _untouched(exercise, tree):
        left = (
            "the fault is still in it"
            if isinstance(exercise.task, Mend)
            else "`...` is still where your code should be"
        )
        add_check(report, "your code is there", FAILED, reason="not begun", detail=[f"not begun: {left}"])
        return report
    return None


def _untouched(exercise, tree):
    """Whether a file's code is still what was handed out, whatever its comments say."""
    return ast.dump(tree) == ast.dump(ast.parse(exercise.start))


def files_of(answer):
    """The names of the files, or of the notebook's cells, that a function or class was written in."""
    parts = [answer, *(vars(answer).values() if isinstance(answer, type) else ())]
    plain = [inspect.unwrap(getattr(part, "python_function", part)) for part in parts if callable(part)]
    return {part.__code__.co_filename for part in plain if hasattr(part, "__code__")}


def _judge_value(report, value, given):
    label = f"{value.name}: {value.text}"
    if given is ... or given is None:
        add_check(report, label, FAILED, reason="no value", detail=["no value yet"])
        return
    want = value.want()
    problem = _form_problem(given, want)
    if problem is None and difference(given, want, value.rtol, value.atol) is None:
        add_check(report, label, PASSED, rtol=value.rtol, atol=value.atol)
        return
    record = add_check(report, label, FAILED, reason="differs", rtol=value.rtol, atol=value.atol)
    if problem is not None:
        record["detail"] = [problem]
        return
    slips = (message for slip, message in value.wrong if _same(given, slip(), value))
    record["diagnosis"] = next(slips, None)
    record["detail"] = [] if record["diagnosis"] else ["not yet"]  # never the value itself: it is what is asked for


def _same(given, slip, value):
    return _form_problem(given, slip) is None and difference(given, slip, value.rtol, value.atol, alike=True) is None


def _form_problem(given, want):
    """What is wrong with a predicted value before its numbers are looked at, or None."""
    shapes = []
    for each in (given, want):
        try:
            array = np.asarray(each)
        except ValueError:
            array = np.asarray(None)
        shapes.append(array.shape if array.dtype.kind in "biuf" else None)
    words = ["something else" if s is None else f"{s[0]} numbers" if s else "one number" for s in shapes]
    return None if shapes[0] == shapes[1] else f"expected {words[1]}, got {words[0]}"


def _read(path):
    with tokenize.open(path) as file:
        return file.read()


def _run(text, name, module_name):
    """Run a program's text as a module of its own, whose lines can be shown."""
    module = types.ModuleType(module_name)
    module.__file__ = name
    sys.modules[module_name] = module
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec"), vars(module))
    return module


def _defined(text, file_name, name):
    return getattr(_run(text, file_name, file_name), name)


# --- a process of its own --------------------------------------------------------------------------------------------


def main(argv=None):
    """Judge one file and write the report; after the given seconds the process ends and says where it was."""
    parser = argparse.ArgumentParser(prog="python -m kerasnotes.course.judge", description=main.__doc__)
    parser.add_argument("number")
    parser.add_argument("file", type=Path)
    parser.add_argument("result", type=Path, help="the report, as JSON")
    parser.add_argument("where", type=Path, help="where the program was when its time was over")
    parser.add_argument("seconds", type=float)
    options = parser.parse_args(argv)
    from kerasnotes.course.run import import_tensorflow

    import_tensorflow()  # takes seconds that are not the learner's
    sys.path.append(str(options.file.parent))  # files beside may be imported, and hide nothing
    with options.where.open("w") as where:
        faulthandler.dump_traceback_later(options.seconds, exit=True, file=where)
        report = judge_file(exercises.find(options.number), options.file)
        faulthandler.cancel_dump_traceback_later()
    options.result.write_text(json.dumps(report.to_dict()), encoding="utf-8")
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(0)  # what the learner's program left running must not keep it alive


if __name__ == "__main__":
    main()

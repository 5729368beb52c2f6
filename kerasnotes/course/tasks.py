"""What an exercise is: the data that a chapter's `exercises.py` holds; `exercises.py` here hands them out and judges.

A task knows no terminal and no file. Nothing here imports TensorFlow: tasks are listed, handed out and hinted at
without it, and a task's functions import what they need when they run.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Wrong:
    """An answer that learners typically give, and what to tell them.

    Args:
        answer: The wrong function, or the text of a program that defines it.
        message: What is wrong with it, in the learner's terms; shown when the learner's value equals its value.
    """

    answer: Callable | str
    message: str


@dataclass(frozen=True)
class Value:
    """One number to predict.

    Args:
        name: The variable in the learner's file.
        text: What it is, with its unit, in a few words.
        want: Function without arguments that computes it.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
        wrong: Pairs of a function without arguments that computes a typical slip, and the message for it.
    """

    name: str
    text: str
    want: Callable
    rtol: float = 1e-2
    atol: float = 1e-6
    wrong: tuple = ()


@dataclass(frozen=True)
class Task:
    """What all kinds of tasks have; the number comes from the place in the chapter's `TASKS`.

    Args:
        title: A few words.
        lesson: The lesson that explains it, such as `"chapter08.clipping"`.
        minutes: Of work, for a student who has read the lesson's section.
        text: The question, in Markdown with formulas.
        hints: Three or more, each says more than the one before.
    """

    title: str
    lesson: str
    minutes: int
    text: str
    hints: tuple


@dataclass(frozen=True)
class Write(Task):
    """Write a function.

    Args:
        start: The file to fill in: imports, signature, docstring with shapes, `...`.
        name: The function or class that is judged.
        check: Function of a `Trial` that judges it.
        wrong: `Wrong` answers.
        solution: Dotted name of ours, such as `"chapter08.clipping.clip_by_global_norm"`, or None.
        solution_code: Or its text, where ours has another signature.
    """

    start: str
    name: str
    check: Callable
    wrong: tuple
    solution: str | None = None
    solution_code: str | None = None


@dataclass(frozen=True)
class Mend(Write):
    """Mend a program with a classic fault: `start` is whole and wrong."""


@dataclass(frozen=True)
class Predict(Task):
    """Predict numbers before the lesson computes them.

    Args:
        values: One `Value` for each number.
        solution_code: A few lines that compute them, with comments that explain.
    """

    values: tuple
    solution_code: str

"""Benchmarks that change lessons find what they change: text in a lesson moves, and what is said of it must follow."""

import json
import runpy
from pathlib import Path

import pytest

from kerasnotes.course import catalog

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.mark.parametrize(("name", "changes"), runpy.run_path(str(BENCHMARKS / "trained_mutation.py"))["BREAKS"].items())
def test_what_is_broken_by_hand_stands_in_the_lesson_once(name, changes):
    source = catalog.find_lesson(name).source
    assert {what: source.count(old) for what, old, _ in changes} == {what: 1 for what, *_ in changes}
    assert all(old != new for _, old, new in changes)


@pytest.mark.parametrize(
    ("name", "changes"), json.loads((BENCHMARKS / "mutation.json").read_text(encoding="utf-8")).items()
)
def test_mutants_that_change_nothing_are_of_lines_that_are_there(name, changes):
    lines = {line.strip() for line in catalog.find_lesson(name).source.splitlines()}
    assert [change for change in changes if change.split(" → ")[0] not in lines] == []

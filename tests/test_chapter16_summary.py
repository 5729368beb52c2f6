"""The summary: what it reads from reports, and what it does where there is nothing to read."""

import json

import pytest

from kerasnotes.chapter16 import documented_calls, summary
from kerasnotes.chapter16.summary import collect, lesson
from kerasnotes.course.report import Report


def store(folder, name, *, checks=3, failing=0, seconds=1.5, correction=False):
    report = Report(name, seed=4)
    for number in range(checks):
        report.check(f"check {number}", got=1, want=1 if number >= failing else 2)
    report.at_least("needs training", got=1.0, bound=0.5, trained=True)
    if correction:
        report.correction("topic", course="wrong", correct="right", shown_by="computation")
    data = {**report.to_dict(), "point": "A point.", "times": {"seconds": seconds, "peak_memory_mb": 100}}
    path = folder / name.replace(".", "/") / "report.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(data), encoding="utf-8")


def test_reports_are_counted(tmp_path):
    store(tmp_path, "chapter08.clipping", checks=4, failing=1, seconds=2.0)
    store(tmp_path, "chapter08.bptt", correction=True)
    store(tmp_path, "chapter02.mlp")
    found = collect(tmp_path)
    assert [each.lesson for each in found.lessons] == ["chapter02.mlp", "chapter08.bptt", "chapter08.clipping"]
    assert found.counts == {"passed": 12, "failed": 1, "skipped": 0}
    assert list(found.chapters) == ["chapter02", "chapter08"]
    clipping = found.lessons[-1]
    assert (clipping.status, clipping.passed, clipping.failed, clipping.seconds) == ("failed", 4, 1, 2.0)
    assert (clipping.scale, clipping.seed, clipping.peak_memory_mb, clipping.point) == ("default", 4, 100, "A point.")
    assert found.corrections == (
        {
            "lesson": "chapter08.bptt",
            "topic": "topic",
            "course": "wrong",
            "correct": "right",
            "shown_by": "computation",
        },
    )
    assert found.unreadable == ()


def test_what_is_no_report_is_named_and_the_rest_is_read(tmp_path):
    store(tmp_path, "chapter02.mlp")
    for name, text in (("half", '{"lesson": "chapter08.'), ("other", "[1, 2]"), ("old", '{"lesson": "x"}')):
        path = tmp_path / "chapter08" / name / "report.json"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    found = collect(tmp_path)
    assert [each.lesson for each in found.lessons] == ["chapter02.mlp"]
    assert len(found.unreadable) == 3
    assert "half" in found.unreadable[0]


def test_no_reports_and_a_file_in_place_of_a_folder(tmp_path):
    assert collect(tmp_path / "nothing").lessons == ()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(ValueError, match="directory"):
        collect(tmp_path / "file")


def test_the_lesson_without_reports_says_which_commands_make_them(tmp_path):
    report = Report()
    lesson(report, directory=str(tmp_path))
    notes = [record["text"] for record in report.records if record["kind"] == "note"]
    assert "python -m kerasnotes.chapter08 --out" in notes[0]
    assert report.ok


def test_the_lesson_with_reports_lists_chapters_and_corrections(tmp_path):
    store(tmp_path, "chapter08.clipping", checks=4, failing=1)
    store(tmp_path, "chapter08.bptt", correction=True)
    report = Report()
    lesson(report, directory=str(tmp_path))
    tables = {record["title"]: record["rows"] for record in report.records if record["kind"] == "table"}
    assert tables["the course, chapter by chapter"] == [["chapter08", 2, 8, 1, 0, 3.0, 100]]
    assert tables["corrections to the course's notes"] == [["chapter08.bptt", "topic", "wrong", "right"]]
    assert report.ok  # a failed check elsewhere is shown, not repeated


def test_names_stay_where_they_were():
    for name in ("ApiRow", "api_state", "api_table"):
        assert getattr(summary, name) is getattr(documented_calls, name)

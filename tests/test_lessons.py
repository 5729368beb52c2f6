"""Every lesson runs: at smoke scale always, at default scale with `-m trained`."""

import pytest

from kerasnotes.course import catalog, render
from kerasnotes.course.run import effective_settings, run_lesson

LESSONS = [lesson for chapter in catalog.chapters() for lesson in chapter.lessons]
lessons = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.full_name)


def problems(report):
    failed = [f"{r['label']}: {render.check_text(r)}" for r in report["records"] if r.get("status") == "failed"]
    return "\n".join([report["error"] or "", *failed]).strip()


@lessons
def test_smoke(lesson):
    report, images = run_lesson(lesson, effective_settings(lesson, "smoke", 0), scale="smoke", seed=0)
    assert report["status"] == "passed", problems(report)
    assert report["counts"]["passed"] > 0
    assert images
    checks = [record for record in report["records"] if record["kind"] == "check"]
    assert all((record["status"] == "skipped") == record["trained"] for record in checks)
    assert len({record["label"] for record in checks}) == len(checks), "two checks with one label"


@pytest.mark.trained
@lessons
def test_trained(lesson):
    report, _ = run_lesson(lesson, effective_settings(lesson, "default", 0), scale="default", seed=0)
    assert report["status"] == "passed", problems(report)
    assert report["counts"]["skipped"] == 0

"""The whole course on one page: what was checked, what holds, and what was corrected.

What the reader should see: for every chapter, how many statements were checked and how many hold, in how many seconds;
and every correction to the course's notes. The lesson trains nothing. It reads the reports of recorded runs, or of your
own, and says which commands make them where there are none.

Notes: chapter 16, "Summary" (总结).
Source: the reports of this course's own lessons, `report.json`.
"""

import dataclasses
import json
import tempfile
from pathlib import Path

from kerasnotes import data, plots
from kerasnotes.chapter16.documented_calls import ApiRow as ApiRow
from kerasnotes.chapter16.documented_calls import api_state as api_state
from kerasnotes.chapter16.documented_calls import api_table as api_table

SMOKE = {"directory": "no reports"}
SECONDS = 1

CHAPTERS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12")
FIELDS = ("topic", "course", "correct", "shown_by")  # of a correction


@dataclasses.dataclass(frozen=True)
class LessonSummary:
    """What one report says: the lesson's dotted name, point and status, numbers of checks, seconds, memory in MB."""

    lesson: str
    point: str
    status: str
    scale: str
    seed: int
    passed: int
    failed: int
    skipped: int
    seconds: float
    peak_memory_mb: int | None

    @property
    def chapter(self):
        """The chapter's name, such as `"chapter08"`."""
        return self.lesson.partition(".")[0]


@dataclasses.dataclass(frozen=True)
class CourseSummary:
    """What all reports of a folder say.

    Args:
        lessons: Tuple of `LessonSummary`, in the order of their names.
        corrections: Tuple of dictionaries with lesson, topic, course, correct and shown_by.
        unreadable: Tuple of the files that are not reports, with the reason.
    """

    lessons: tuple
    corrections: tuple
    unreadable: tuple = ()

    @property
    def chapters(self):
        """`{chapter: tuple of its LessonSummary}`, in the order of the course."""
        names = sorted({lesson.chapter for lesson in self.lessons})
        return {name: tuple(lesson for lesson in self.lessons if lesson.chapter == name) for name in names}

    @property
    def counts(self):
        """Checks of the whole course: `{"passed": …, "failed": …, "skipped": …}`."""
        return {name: sum(getattr(each, name) for each in self.lessons) for name in ("passed", "failed", "skipped")}


def collect(directory):
    """Read the reports that runs left under a folder.

    Args:
        directory: The folder given to `--out`, with `chapterNN/lesson/report.json` in it.

    Returns:
        A `CourseSummary`; without reports, an empty one. What cannot be read is named in its `unreadable`.

    Raises:
        ValueError: If `directory` is a file.
    """
    directory = Path(directory)
    if directory.is_file():
        raise ValueError(f"directory: expected a folder with reports, got the file {directory}")
    lessons, corrections, unreadable = [], [], []
    for path in sorted(directory.glob("chapter[0-9][0-9]/*/report.json")):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            lessons.append(_lesson_summary(found))
            records = [record for record in found["records"] if record["kind"] == "correction"]
            corrections += [{"lesson": found["lesson"], **{name: each[name] for name in FIELDS}} for each in records]
        except (OSError, ValueError, KeyError, TypeError) as error:
            unreadable.append(f"{path}: {type(error).__name__}: {error}")
    return CourseSummary(tuple(lessons), tuple(corrections), tuple(unreadable))


def _lesson_summary(found):
    counts, times = found["counts"], found["times"]
    return LessonSummary(
        lesson=found["lesson"],
        point=found.get("point", ""),
        status=found["status"],
        scale=found["scale"],
        seed=found["seed"],
        passed=counts["passed"],
        failed=counts["failed"],
        skipped=counts["skipped"],
        seconds=float(times["seconds"]),
        peak_memory_mb=times.get("peak_memory_mb"),
    )


def example():
    """A report as a run leaves it, and what the summary makes of it."""
    report = {
        "lesson": "chapter08.clipping",
        "status": "passed",
        "scale": "default",
        "seed": 0,
        "counts": {"passed": 12, "failed": 0, "skipped": 1},
        "times": {"seconds": 9.5},
        "records": [{"kind": "correction", "topic": "a remedy", "course": "…", "correct": "…", "shown_by": "…"}],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chapter08" / "clipping" / "report.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(report), encoding="utf-8")
        summary = collect(folder)
    print(summary.counts, "in", list(summary.chapters))
    print(len(summary.corrections), "correction:", summary.corrections[0]["topic"])


def lesson(report, *, directory: str = "recorded"):
    """Read the reports of earlier runs and add them up.

    Args:
        report: The report to write to.
        directory: Folder with reports, as given to `--out` of a run; "recorded" for those that travel with the course.
    """
    summary = collect(data.results_directory() if directory == "recorded" else directory)
    others = tuple(each for each in summary.lessons if each.lesson != "chapter16.summary")  # not its own last result
    summary = dataclasses.replace(summary, lessons=others)
    for line in summary.unreadable:
        report.note(f"Not a report: {line}")
    missing = [number for number in CHAPTERS if f"chapter{number}" not in summary.chapters]
    if missing:
        commands = [f"python -m kerasnotes.chapter{number} --out {directory}" for number in missing]
        commands = "python -m kerasnotes record" if directory == "recorded" else " && ".join(commands)
        report.note(f"No reports of chapters {', '.join(missing)} in {directory!r}. This makes them: {commands}")
    if summary.lessons:
        _course(report, summary)
    total = sum(summary.counts.values())
    report.check("every check is counted in one chapter", sum(map(_checks, summary.chapters.values())), total)
    report.figure("what was checked", *_figure(summary))


def _checks(lessons):
    return sum(each.passed + each.failed + each.skipped for each in lessons)


def _course(report, summary):
    rows = []
    for chapter, lessons in summary.chapters.items():
        memory = [each.peak_memory_mb for each in lessons if each.peak_memory_mb is not None]
        counts = [sum(getattr(each, name) for each in lessons) for name in ("passed", "failed", "skipped")]
        rows.append([chapter, len(lessons), *counts, sum(e.seconds for e in lessons), max(memory, default=None)])
    columns = ["chapter", "lessons", "checks passed", "failed", "skipped", "seconds", "peak memory, MB"]
    report.table("the course, chapter by chapter", columns, rows)
    columns = ["lesson", "status", "scale", "seed", "checks passed", "failed", "skipped", "seconds", "peak memory, MB"]
    rows = [
        [e.lesson, e.status, e.scale, e.seed, e.passed, e.failed, e.skipped, e.seconds, e.peak_memory_mb]
        for e in summary.lessons
    ]
    report.table("the course, lesson by lesson", columns, rows)
    rows = [[each["lesson"], each["topic"], each["course"], each["correct"]] for each in summary.corrections]
    if rows:
        report.table("corrections to the course's notes", ["lesson", "topic", "the notes", "correct"], rows)
    wrong = [
        each.lesson
        for each in summary.lessons
        if each.status != "error" and (each.failed > 0) != (each.status == "failed")
    ]
    report.check("reports whose status contradicts their checks", len(wrong), 0)


def _figure(summary):
    figure, ax = plots.subplots(figsize=(8, 4.4))
    names = list(summary.chapters)
    positions, bottom = range(len(names)), [0] * len(names)
    for status, color in (("passed", "C0"), ("failed", "C1"), ("skipped", "C3")):
        heights = [sum(getattr(each, status) for each in summary.chapters[name]) for name in names]
        ax.bar(positions, heights, bottom=bottom, color=color, label=status)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    ax.set_xticks(positions, [name.removeprefix("chapter") for name in names])
    ax.set(xlabel="chapter", ylabel="checks")
    total = sum(summary.counts.values())
    ax.set_title(f"{total:,} checks in {len(summary.lessons)} lessons" if total else "no reports yet")
    if total:
        ax.legend()
    else:
        ax.set_axis_off()
    return figure, f"Bars: {total} checks by chapter and result."

"""Recorded runs: every one is fresh and holds; what a record is, how it is made, and what is said of a stale one."""

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from kerasnotes.course import catalog, contents, records, render, store
from kerasnotes.course.fingerprint import Fingerprints
from kerasnotes.course.run import run_lesson
from kerasnotes.course.terminal import Console

ROOT = catalog.PACKAGE.parent
LESSON = catalog.find_lesson("chapter08.clipping")
RUN_THEM = "python -m kerasnotes record runs it again"


# --- the course's own records ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prints():
    return records.fingerprints()


@pytest.mark.parametrize("lesson", records.every_lesson(), ids=lambda lesson: lesson.full_name)
def test_every_record_is_fresh_and_every_check_in_it_holds(lesson, prints):
    reason = records.reason_to_run(lesson, prints)
    assert reason is None, f"{lesson.full_name}: {reason}. {RUN_THEM}"


def test_the_index_and_the_table_repeat_the_records():
    entries = records.gather()
    assert records.index() == entries, RUN_THEM
    assert (catalog.results_directory() / "README.md").read_text(encoding="utf-8") == records.table(entries), RUN_THEM


def test_nothing_but_records_lies_among_the_records():
    expected = {"index.json", "README.md"}
    for lesson in records.every_lesson():
        place = records.folder(lesson)
        figures = [r["file"] for r in records.load(lesson)["records"] if r["kind"] == "figure"]
        names = ["report.json", *figures, *(["seeds.json"] if (place / "seeds.json").exists() else [])]
        expected |= {f"{lesson.chapter}/{lesson.name}/{name}" for name in names}
    root = catalog.results_directory()
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert found == expected


def test_the_records_stay_small():
    sizes = [path.stat().st_size for path in catalog.results_directory().rglob("*") if path.is_file()]
    assert sum(sizes) < 12_000_000
    pictures = [path.stat().st_size for path in catalog.results_directory().rglob("*.png")]
    assert sum(pictures) / len(pictures) < 40_000


def test_where_seeds_were_tried_the_checks_hold_on_nine_of_ten():
    entries = [entry for entry in records.index().values() if entry.get("same_code")]
    for entry in entries:
        assert entry["held"] >= 0.9 * entry["seeds"], entry


# --- one record ------------------------------------------------------------------------------------------------------


@pytest.fixture
def report():
    return {
        "lesson": LESSON.full_name, "scale": "default", "seed": 0, "status": "passed", "error": None,
        "settings": store.settings_as_json(store.default_settings(LESSON)),
        "counts": {"passed": 2, "failed": 0, "skipped": 0},
        "records": [
            {"kind": "check", "label": "a", "relation": "at least", "status": "passed", "trained": True, "got": 0.9,
             "want": 0.5, "difference": 0.4, "reason": None},
            {"kind": "table", "title": "t", "columns": ["x", "seconds"], "rows": [[1, 2.0]]},
            {"kind": "figure", "title": "f", "alt": "a picture", "file": "f.png"},
        ],
        "times": {"seconds": 1.5, "peak_memory_mb": 100, "cores": 2, "date": "2026-01-01"},
        "versions": store.versions(),
    }  # fmt: skip


@pytest.fixture
def picture():
    buffer = io.BytesIO()
    image = Image.effect_noise((90, 60), 80).convert("RGB")
    image.save(buffer, format="png")
    return buffer.getvalue()


@pytest.fixture
def recorded(tmp_path, report, picture, prints):
    records.save(LESSON, report, {"f.png": picture}, prints.depends(LESSON), tmp_path)
    return tmp_path


def edit(root, change):
    path = records.folder(LESSON, root) / "report.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(store.to_json(content), encoding="utf-8")


def test_a_run_becomes_a_fresh_record(recorded, prints):
    assert records.reason_to_run(LESSON, prints, recorded) is None
    assert records.load(LESSON, recorded)["fingerprint"] == prints.of(LESSON)


def test_what_makes_a_record_stale_is_named(recorded, report, picture, prints, tmp_path):
    place = records.folder(LESSON, recorded)
    assert records.reason_to_run(LESSON, prints, tmp_path / "none") == "no record"

    edit(recorded, lambda r: r["records"][0].update(got=0.95))
    assert "changed by hand" in records.reason_to_run(LESSON, prints, recorded)

    depends = {**prints.depends(LESSON), "clip_by_global_norm": "other"}
    records.save(LESSON, report, {"f.png": picture}, depends, recorded)
    assert records.reason_to_run(LESSON, prints, recorded) == "changed: clip_by_global_norm"

    records.save(LESSON, report, {"f.png": picture}, prints.depends(LESSON), recorded)
    (place / "f.png").write_bytes(b"another")
    assert "f.png" in records.reason_to_run(LESSON, prints, recorded)
    (place / "f.png").unlink()
    assert "f.png" in records.reason_to_run(LESSON, prints, recorded)

    for change, reason in (
        ({"seed": 1}, "seed 0"),
        ({"scale": "smoke"}, "default scale"),
        ({"settings": {**report["settings"], "steps": 3}}, "other settings"),
        ({"error": "Traceback"}, "raised an exception"),
        ({"records": [{**report["records"][0], "status": "failed"}, *report["records"][1:]]}, "does not hold: a"),
    ):
        records.save(LESSON, {**report, **change}, {"f.png": picture}, prints.depends(LESSON), recorded)
        assert reason in records.reason_to_run(LESSON, prints, recorded)


def test_figures_are_kept_in_256_colours(picture):
    small = records.smaller("f.png", picture)
    assert len(small) < len(picture)
    image = Image.open(io.BytesIO(small))
    assert image.size == (90, 60)
    assert image.mode == "P"
    assert records.smaller("f.gif", b"GIF89a") == b"GIF89a"


# --- running ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def quiet():
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def runs(monkeypatch, report, picture):
    """A run gives the report at once; what is in `outcomes` is raised, or changes the report."""
    outcomes, ran = {}, []

    def run_lesson(lesson, settings, **keywords):
        ran.append(lesson.full_name)
        outcome = outcomes.get(lesson.full_name, {})
        if isinstance(outcome, type):
            raise outcome
        given = {**report, "lesson": lesson.full_name, "settings": store.settings_as_json(settings), **outcome}
        return given, {"f.png": picture}

    monkeypatch.setattr("kerasnotes.course.run.run_lesson", run_lesson)
    monkeypatch.setattr(records, "run_apart", lambda lesson, settings, provenance: run_lesson(lesson, settings))
    run_lesson.outcomes, run_lesson.ran = outcomes, ran
    return run_lesson


THREE = [catalog.find_lesson(f"chapter08.{name}") for name in ("sequences", "simple_rnn", "clipping")]


def test_interruption_loses_nothing_that_had_ended(tmp_path, runs, prints, quiet):
    runs.outcomes[THREE[1].full_name] = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        records.run(THREE, prints, quiet, tmp_path)
    assert records.reason_to_run(THREE[0], prints, tmp_path) is None
    assert records.reason_to_run(THREE[2], prints, tmp_path) == "no record"
    runs.outcomes.clear()
    stale = [lesson for lesson in THREE if records.reason_to_run(lesson, prints, tmp_path)]
    assert records.run(stale, prints, quiet, tmp_path) == []
    assert runs.ran.count(THREE[0].full_name) == 1


def test_what_does_not_hold_is_no_record(tmp_path, runs, prints, quiet, report):
    failed = {**report["records"][0], "status": "failed", "reason": "missed by 1"}
    runs.outcomes[THREE[0].full_name] = {"status": "failed", "records": [failed, *report["records"][1:]]}
    assert records.run(THREE[:2], prints, quiet, tmp_path, tmp_path / "failed") == [THREE[0].full_name]
    assert records.load(THREE[0], tmp_path) is None
    assert records.load(THREE[1], tmp_path) is not None
    assert (tmp_path / "failed" / "chapter08" / "sequences" / "report.json").is_file()
    assert "missed by 1" in quiet.file.getvalue()


def test_a_lesson_runs_in_a_process_of_its_own_and_may_die_there(report):
    lesson, provenance = catalog.find_lesson("chapter01.tensors"), {"fingerprint": "f"}
    settings = store.default_settings(lesson)
    ran, images = records.run_apart(lesson, settings, provenance)
    here, _ = run_lesson(lesson, settings, provenance=provenance)
    assert render.without_times(ran)["records"] == render.without_times(here)["records"]
    assert {r["file"] for r in ran["records"] if r["kind"] == "figure"} == set(images)
    dead, images = records.run_apart(SimpleNamespace(full_name="chapter01.none", point=""), settings, provenance)
    assert "exit code 1" in dead["error"]
    assert (dead["status"], images) == ("error", {})
    assert set(dead) == set(ran)


def test_a_sample_depends_on_its_key_only_and_covers_the_course():
    lessons = records.every_lesson()
    assert records.sample_order(lessons, "a") == records.sample_order(reversed(lessons), "a")
    assert records.sample_order(lessons, "a") != records.sample_order(lessons, "b")
    firsts = {lesson for key in range(200) for lesson in records.sample_order(lessons, str(key))[:10]}
    assert firsts == set(lessons)


def test_a_sample_is_compared_with_the_records(runs, quiet, report):
    clipping = records.load(LESSON)
    assert records.verify([LESSON], "key", 1e-3, quiet) == []
    assert runs.ran == []  # no time for it
    runs.outcomes[LESSON.full_name] = {"records": clipping["records"]}
    assert records.verify([LESSON], "key", 60, quiet) == []
    assert "warning" not in quiet.file.getvalue() or clipping["versions"] != store.versions()
    runs.outcomes[LESSON.full_name] = {"status": "failed"}
    assert records.verify([LESSON], "key", 60, quiet) == [LESSON.full_name]


def test_differences_leave_out_times(report):
    again = json.loads(json.dumps(report))
    again["times"]["seconds"] = 99
    again["records"][1]["rows"][0][1] = 99.0  # the column of seconds
    assert records.compare(report, again) == []
    again["records"][1]["rows"][0][0] = 7
    again["records"][0]["got"] = 0.8
    assert records.compare(report, again) == ["a: got 0.8, recorded 0.9", "t: rows 7, recorded 1"]
    del again["records"][1]
    assert records.compare(report, again) == ["other checks, tables or figures than recorded"]


# --- seeds -----------------------------------------------------------------------------------------------------------


def seeded(report, seed, got, relation="at least", want=0.5, **more):
    status = "passed" if (got >= want) == (relation == "at least") else "failed"
    check = {**report["records"][0], "relation": relation, "want": want, "got": got, "status": status, **more}
    return {**report, "seed": seed, "records": [check]}


def test_seeds_are_summed_up_with_the_margin_in_deviations(report, prints):
    values = [0.8, 0.9, 1.0]
    reports = [seeded(report, seed, got) for seed, got in enumerate(values)]
    found = records.seeds_summary(LESSON, reports, prints.depends(LESSON))
    (check,) = found["checks"]
    assert (found["seeds"], found["held"], found["failed"]) == ([0, 1, 2], 3, {})
    assert check["mean"] == pytest.approx(0.9)
    assert check["deviation"] == pytest.approx(0.1)
    assert check["margin"] == pytest.approx(4.0)
    assert records.thinnest(found) == check

    found = records.seeds_summary(LESSON, [*reports, seeded(report, 3, 0.4)], prints.depends(LESSON))
    assert found["held"] == 3
    assert found["failed"] == {"3": ["a"]}
    upper = records.seeds_summary(LESSON, [seeded(report, s, g, "at most", 1.5) for s, g in enumerate(values)], {})
    assert upper["checks"][0]["margin"] == pytest.approx(6.0)
    equal = [seeded(report, s, g, "equals", 0.9, atol=0.3, rtol=0.0, status="passed") for s, g in enumerate(values)]
    assert records.seeds_summary(LESSON, equal, {})["checks"][0]["margin"] == pytest.approx(3.0)


def test_numbers_that_differ_by_factors_are_compared_by_factors(report):
    reports = [seeded(report, seed, got, want=1.0) for seed, got in enumerate([10.0, 100.0, 1000.0])]
    assert records.seeds_summary(LESSON, reports, {})["checks"][0]["margin"] == pytest.approx(2.0)


def test_seeds_that_agree_have_no_margin(report):
    found = records.seeds_summary(LESSON, [seeded(report, seed, 0.9) for seed in range(3)], {})
    assert found["checks"][0]["margin"] is None
    assert records.thinnest(found) is None


def test_seeds_are_kept_beside_the_record(recorded, report, prints):
    reports = [seeded(report, seed, 0.8 + seed / 10) for seed in range(3)]
    records.save_seeds(LESSON, reports, {"other": "code"}, "other code, without words", recorded)
    entry = records.write_index(recorded)[LESSON.full_name]
    assert (entry["seeds"], entry["held"], entry["same_code"]) == (3, 3, False)
    assert "3 of 3*" in records.table({LESSON.full_name: entry})
    assert records.index(recorded) == records.gather(recorded)

    numbers = Fingerprints(words=False).of(LESSON)
    records.save_seeds(LESSON, reports, {"other": "words"}, numbers, recorded)
    assert records.gather(recorded)[LESSON.full_name]["same_code"], "the same numbers, told in other words"


# --- the command -----------------------------------------------------------------------------------------------------


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "kerasnotes", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_command_lists_and_explains_itself():
    listed = command("record", "--list", "chapter08.clipping")
    assert listed.returncode == 0, listed.stdout
    assert "every record is fresh and holds" in listed.stdout
    assert "--verify" in command("record", "--help").stdout
    wrong = command("record", "chapter08.cliping")
    assert wrong.returncode == 2
    assert "Did you mean clipping" in wrong.stderr
    assert command("record", "--verify", "-1").returncode == 2


def test_recorded_results_are_shown_without_tensorflow(capsys):
    assert contents.print_results(LESSON, Console(width=120)) == 0
    shown = capsys.readouterr().out
    assert "recorded on" in shown
    assert render.counts_text(records.load(LESSON)["counts"]) in shown
    code = (
        "import sys; from kerasnotes.__main__ import main; main(['show', 'clipping', '--results']); "
        "assert not {'tensorflow', 'numpy'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_what_reads_the_records_is_recorded_again_after_them(runs, quiet, tmp_path, monkeypatch):
    summary = catalog.find_lesson("chapter16.summary")
    monkeypatch.setattr(catalog, "results_directory", lambda: tmp_path)
    monkeypatch.setattr(records, "every_lesson", lambda: (*THREE, summary))
    monkeypatch.setattr("kerasnotes.course.pages.write", lambda: None)  # README is not at stake
    options = SimpleNamespace(names=[], all=False, list=False, verify=None, key="")
    assert records.main(options, quiet) == 0
    assert runs.ran == [*(lesson.full_name for lesson in THREE), summary.full_name]
    store.write_atomically(records.folder(THREE[0]) / "report.json", "{}")
    runs.ran.clear()
    assert records.main(options, quiet) == 0
    assert runs.ran == [THREE[0].full_name, summary.full_name]
    runs.ran.clear()
    assert records.main(options, quiet) == 0
    assert runs.ran == []
    assert records.main(SimpleNamespace(**{**vars(options), "list": True}), quiet) == 0

"""The command line: settings, seeds, exit codes, interruption and resumption, on made-up lessons and on real ones."""

import json
import subprocess
import sys
import textwrap

import pytest

import kerasnotes
from kerasnotes.course import catalog, render, run, store

ROOT = catalog.PACKAGE.parent

GOOD = '''
"""A check that holds."""

import random

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from pathlib import Path

SMOKE = {"steps": 2}
SECONDS = 1


def lesson(report, *, steps: int = 5, rate: float = 0.5, kind: str = "a", fast: bool = True,
           sizes: tuple[int, ...] = (1, 2), seed: int = 0):
    """Draw numbers.

    Args:
        report: The report.
        steps: Steps to make, of
            course (1 to 100).
        rate: A rate (0 to 1).
        kind: Which kind (one of: a, b).
        fast: Whether to be quick, 100 % or not.
        sizes: Some sizes (1 to 9).
        seed: The seed (0 to 4294967295).
    """
    with open(Path(__file__).with_name("started.txt"), "a") as file:
        file.write("good ")
    for _ in report.track(range(steps), "stepping"):
        pass
    report.check("one", got=1, want=1)
    report.at_least("trained", got=0.9, bound=0.5, trained=True)
    draws = [random.random(), float(np.random.rand()), float(tf.random.normal(()))]
    report.table("draws", ["value", "seconds"], [[draw, random.SystemRandom().random()] for draw in draws])
    figure, ax = plt.subplots()
    ax.plot([1, 2])
    report.figure("line", figure, alt="a line")
'''

BAD = (
    '"""A check that fails."""\n\nSECONDS = 1\nSMOKE = {}\n\n\ndef lesson(report):\n'
    '    report.check("two", got=1, want=2)\n'
)
RAISES = (
    '"""An exception."""\n\nSECONDS = 1\nSMOKE = {}\n\n\ndef lesson(report):\n    raise RuntimeError("on purpose")\n'
)
STOPS = '"""Interrupted once."""\n\nfrom pathlib import Path\n\nSECONDS = 1\nSMOKE = {}\n\n\ndef lesson(report):\n' + (
    '    flag = Path(__file__).with_name("flag.txt")\n    if flag.exists():\n        flag.unlink()\n'
    '        raise KeyboardInterrupt\n    report.check("three", got=3, want=3)\n'
)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with one chapter of made-up lessons, in place of the real one."""
    package = tmp_path / "package"
    chapter = package / "chapter01"
    chapter.mkdir(parents=True)

    def build(**lessons):
        for name, source in lessons.items():
            (chapter / f"{name}.py").write_text(textwrap.dedent(source).lstrip(), encoding="utf-8")
        names = ", ".join(f'"{name}"' for name in lessons)
        (chapter / "__init__.py").write_text(
            f'"""Chapter 01 · Tests · 测试.\n\nAbout tests.\n"""\n\nLESSONS = ({names},)\n'
        )
        monkeypatch.setattr(catalog, "PACKAGE", package)
        monkeypatch.setattr(kerasnotes, "__path__", [str(package), *kerasnotes.__path__])
        for module in [name for name in sys.modules if name.startswith("kerasnotes.chapter01")]:
            monkeypatch.delitem(sys.modules, module)
        return chapter

    monkeypatch.chdir(tmp_path)
    yield build
    for module in [name for name in sys.modules if name.startswith("kerasnotes.chapter01")]:
        del sys.modules[module]


def read(folder, name):
    return json.loads((folder / "chapter01" / name / "report.json").read_text(encoding="utf-8"))


def test_all_checks_hold(course, tmp_path, capsys):
    course(good=GOOD)
    assert run.main("kerasnotes.chapter01", []) == 0
    text = capsys.readouterr().out
    assert "about 1 s" in text
    assert "2 checks hold" in text
    assert "MB" in text
    report = read(tmp_path / "out", "good")
    assert report["settings"] == {"steps": 5, "rate": 0.5, "kind": "a", "fast": True, "sizes": [1, 2], "seed": 0}
    assert report["scale"] == "default"
    assert report["times"]["seconds"] >= 0
    assert report["versions"]["tensorflow"]
    assert (tmp_path / "out/chapter01/good/line.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "out/chapter01/index.html").read_text(encoding="utf-8")
    assert "a line" in page
    assert "测试" in page
    assert not list((tmp_path / "out").rglob(".*"))


def test_flags_come_from_the_lesson(course, tmp_path):
    course(good=GOOD)
    arguments = ["good", "--steps", "7", "--rate=0.25", "--kind", "b", "--no-fast", "--sizes", "3", "4", "--seed", "9"]
    assert run.main("kerasnotes.chapter01", [*arguments, "--out", "elsewhere"]) == 0
    settings = read(tmp_path / "elsewhere", "good")["settings"]
    assert settings == {"steps": 7, "rate": 0.25, "kind": "b", "fast": False, "sizes": [3, 4], "seed": 9}
    assert not (tmp_path / "out").exists()


def test_smoke_skips_trained_checks(course, tmp_path, capsys):
    course(good=GOOD)
    assert run.main("kerasnotes.chapter01", ["--smoke"]) == 0
    assert read(tmp_path / "out", "good")["settings"]["steps"] == 2
    assert "1 check holds, 1 skipped (smoke)" in capsys.readouterr().out


def test_help_comes_from_the_docstring(course, capsys):
    course(good=GOOD, bad=BAD)
    with pytest.raises(SystemExit) as ended:
        run.main("kerasnotes.chapter01", ["good", "--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Steps to make, of course. Expected: a whole number from 1 to 100 (default 5)" in text
    assert "--no-fast" in text
    assert "100 % or not" in text
    with pytest.raises(SystemExit):
        run.main("kerasnotes.chapter01", ["--help"])
    text = capsys.readouterr().out
    assert "A check that fails." in text
    assert "--steps" not in text.partition("examples:")[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["god"], "no lesson 'god'. Did you mean good?"),
        (["nothing"], "There is: good, bad."),
        (["good", "--steps", "0"], "--steps: Expected a whole number from 1 to 100, got '0'"),
        (["good", "--steps", "-3"], "--steps: Expected a whole number from 1 to 100, got '-3'"),
        (["good", "--steps", "many"], "--steps: Expected a whole number from 1 to 100, got 'many'"),
        (["good", "--steps", "1.5"], "got '1.5'"),
        (["good", "--rate", "nan"], "--rate: Expected a number from 0 to 1, got 'nan'"),
        (["good", "--kind", "c"], "--kind: Expected one of a, b, got 'c'"),
        (["good", "--sizes", "1", "10"], "--sizes: Expected a whole number from 1 to 9, once or more, got '10'"),
        (["good", "--setps", "3"], "Did you mean --steps"),
        (["--steps", "3"], "--steps is a setting of good: name that one lesson to change it"),
        (["--seed", "-1"], "--seed: Expected a whole number from 0 to 4294967295, got '-1'"),
        (["--smoke", "--full"], "not allowed with"),
        (["--out", "file.txt"], "--out: expected a folder, got the file file.txt"),
    ],
)
def test_wrong_usage_exits_2_and_says_why(course, tmp_path, capsys, arguments, message):
    course(good=GOOD, bad=BAD)
    (tmp_path / "file.txt").write_text("")
    assert run.main("kerasnotes.chapter01", arguments) == 2
    error = capsys.readouterr().err
    assert message.lower() in " ".join(error.split()).lower()
    assert not (tmp_path / "out").exists()


def test_a_failed_check_exits_1(course, capsys):
    course(good=GOOD, bad=BAD)
    assert run.main("kerasnotes.chapter01", []) == 1
    text = capsys.readouterr().out
    assert "got 1, want 2: differs by 1" in text
    assert "look at: bad" in text


def test_an_exception_does_not_stop_the_others(course, tmp_path, capsys):
    course(raises=RAISES, good=GOOD)
    assert run.main("kerasnotes.chapter01", []) == 1
    text = capsys.readouterr().out
    assert "RuntimeError: on purpose" in text
    report = read(tmp_path / "out", "raises")
    assert report["status"] == "error"
    assert "on purpose" in report["error"]
    assert read(tmp_path / "out", "good")["status"] == "passed"
    assert "on purpose" in (tmp_path / "out/chapter01/index.html").read_text(encoding="utf-8")


def test_one_seed_gives_one_report(course, tmp_path):
    course(good=GOOD)
    for folder, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert run.main("kerasnotes.chapter01", ["--seed", seed, "--out", folder]) == 0
    a, b, c = (render.without_times(read(tmp_path / folder, "good")) for folder in "abc")
    assert a == b
    assert a["records"] != c["records"]


def test_an_interrupted_run_goes_on(course, tmp_path, capsys):
    chapter = course(good=GOOD, stops=STOPS, last=BAD.replace("want=2", "want=1"))
    (chapter / "flag.txt").write_text("")
    assert run.main("kerasnotes.chapter01", []) == 130
    text = capsys.readouterr().out
    assert "Interrupted during stops. Done: good." in text
    assert "--resume" in text
    assert "good" in (tmp_path / "out/chapter01/index.html").read_text(encoding="utf-8")

    assert run.main("kerasnotes.chapter01", ["--resume"]) == 0
    assert "kept from" in capsys.readouterr().out
    assert (chapter / "started.txt").read_text() == "good "

    assert run.main("kerasnotes.chapter01", ["--out", "whole"]) == 0
    for name in ("good", "stops", "last"):
        assert render.without_times(read(tmp_path / "out", name)) == render.without_times(
            read(tmp_path / "whole", name)
        )
    resumed, whole = ((tmp_path / folder / "chapter01/good/line.png").read_bytes() for folder in ("out", "whole"))
    assert resumed == whole


@pytest.mark.parametrize("change", ["seed", "setting", "source", "figure", "exception", "torn"])
def test_resume_repeats_what_is_not_the_same(course, tmp_path, change):
    chapter = course(good=GOOD)
    assert run.main("kerasnotes.chapter01", ["good"]) == 0
    stored = tmp_path / "out/chapter01/good"
    arguments = ["good", "--resume"]
    if change == "seed":
        arguments += ["--seed", "1"]
    elif change == "setting":
        arguments += ["--steps", "6"]
    elif change == "source":
        source = (chapter / "good.py").read_text()
        (chapter / "good.py").write_text(source.replace("got=0.9, bound=0.5", "got=0.9, bound=0.6"))
    elif change == "figure":
        (stored / "line.png").unlink()
    elif change == "exception":
        report = read(tmp_path / "out", "good")
        store.write_atomically(stored / "report.json", store.to_json({**report, "error": "Traceback"}))
    else:
        (stored / "report.json").write_text('{"lesson": ')
    assert run.main("kerasnotes.chapter01", arguments) == 0
    assert (chapter / "started.txt").read_text() == "good good "


@pytest.mark.parametrize("change", ["comment", "docstring", "another lesson"])
def test_resume_keeps_what_a_change_does_not_touch(course, tmp_path, change, capsys):
    chapter = course(good=GOOD, bad=BAD)
    assert run.main("kerasnotes.chapter01", ["good"]) == 0
    name = "bad" if change == "another lesson" else "good"
    source = (chapter / f"{name}.py").read_text()
    changed = {
        "comment": source + "\n# changed\n",
        "docstring": source.replace("Draw numbers.", "Draw some numbers."),
        "another lesson": source.replace("want=2", "want=3"),
    }[change]
    assert changed != source
    (chapter / f"{name}.py").write_text(changed)
    assert run.main("kerasnotes.chapter01", ["good", "--resume"]) == 0
    assert "kept from" in capsys.readouterr().out
    assert (chapter / "started.txt").read_text() == "good "


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    store.write_atomically(path, "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(store.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        store.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_figures_that_are_gone_are_removed(tmp_path):
    figure = {"kind": "figure", "title": "a", "alt": "a", "file": "a.png"}
    store.save(tmp_path, {"records": [figure]}, {"a.png": b"1"})
    store.save(tmp_path, {"records": [{**figure, "file": "b.png"}]}, {"b.png": b"2"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.png", "report.json"]


def test_json_goes_to_standard_output(course, capsys):
    course(good=GOOD, bad=BAD)
    assert run.main("kerasnotes.chapter01", ["--json"]) == 1
    captured = capsys.readouterr()
    printed = json.loads(captured.out)
    assert [report["status"] for report in printed["lessons"]] == ["passed", "failed"]
    assert "checks hold" in captured.err


def test_list(course, capsys):
    course(good=GOOD, bad=BAD)
    assert run.main("kerasnotes.chapter01", ["--list"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["good", "1", "s", "A", "check", "that", "holds."]


def test_run_from_a_notebook(course, tmp_path):
    course(good=GOOD, raises=RAISES)
    from kerasnotes.chapter01 import good, raises

    report = kerasnotes.run(good, steps=3, seed=2)
    assert report.ok
    assert report.settings["steps"] == 3
    assert report.settings["seed"] == 2
    assert "data:image/png" in report._repr_html_()
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="steps: expected a whole number from 1 to 100, got 0"):
        kerasnotes.run(good, steps=0)
    with pytest.raises(ValueError, match=r"stpes: .* no such setting\. Did you mean steps"):
        kerasnotes.run(good, stpes=3)
    with pytest.raises(ValueError, match="expected a lesson's module"):
        kerasnotes.run(json)
    with pytest.raises(RuntimeError, match="on purpose"):
        kerasnotes.run(raises)


# --- the real commands -----------------------------------------------------------------------------------------------

NO_TENSORFLOW = "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None; "


def command(module, *arguments, code=0):
    """Run a command where TensorFlow and Keras cannot be imported."""
    start = f"from {module} import main; raise SystemExit(main({list(arguments)!r}))"
    if module.startswith("kerasnotes.chapter"):
        start = f"from kerasnotes.course.run import main; raise SystemExit(main({module!r}, {list(arguments)!r}))"
    result = subprocess.run(
        [sys.executable, "-c", NO_TENSORFLOW + start], capture_output=True, text=True, cwd=ROOT, encoding="utf-8"
    )
    assert result.returncode == code, result.stderr
    return result


def test_contents_need_no_tensorflow():
    text = " ".join(command("kerasnotes.__main__").stdout.split())  # which has lines of 80 columns here
    assert "循环神经网络" in text
    assert "Clipping by global norm shortens the step and keeps its direction." in text


def test_show_and_snippet_need_no_tensorflow():
    shown = command("kerasnotes.__main__", "show", "chapter08.clipping").stdout
    assert shown == (ROOT / "kerasnotes/chapter08/clipping.py").read_text(encoding="utf-8")
    assert "def cosine" in command("kerasnotes.__main__", "snippet", "chapter08.clipping.cosine").stdout
    assert "Did you mean chapter08.clipping" in command("kerasnotes.__main__", "show", "cliping", code=2).stderr


def test_help_and_list_need_no_tensorflow():
    assert "sweep" in command("kerasnotes.__main__", "--help").stdout
    assert "--learning-rate" in command("kerasnotes.chapter08", "clipping", "--help").stdout
    assert "memory_span" in command("kerasnotes.chapter08", "--list").stdout


def test_a_misspelt_lesson_exits_2_and_is_suggested():
    result = command("kerasnotes.chapter08", "cliping", code=2)
    assert "Did you mean clipping?" in result.stderr
    assert result.stdout == ""


def test_a_real_lesson_as_a_process(tmp_path):
    arguments = ["clipping", "--smoke", "--json", "--out", str(tmp_path)]
    runs = [
        subprocess.run(
            [sys.executable, "-m", "kerasnotes.chapter08", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            encoding="utf-8",
        )
        for _ in range(2)
    ]
    assert [each.returncode for each in runs] == [0, 0], runs[0].stderr
    first, second = (json.loads(each.stdout)["lessons"][0] for each in runs)
    assert render.without_times(first) == render.without_times(second)
    assert "Could not find cuda" not in runs[0].stderr
    assert "oneDNN" not in runs[0].stderr

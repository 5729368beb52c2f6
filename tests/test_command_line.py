"""What every command does about places, encodings and readers that leave; and that reading costs no heavy import."""

import os
import subprocess
import sys

import pytest

from kerasnotes.__main__ import main
from kerasnotes.course import catalog, run, store

ROOT = catalog.PACKAGE.parent
FULL = "/dev/full"
needs_full_device = pytest.mark.skipif(not os.path.exists(FULL), reason="the system has no device that is always full")
GLYPHS = "chapter08.sequences.split_words"  # its pattern holds an apostrophe that ASCII lacks


def command(*arguments, encoding=None, **keywords):
    environment = {**os.environ, **({"PYTHONIOENCODING": encoding} if encoding else {})}
    return subprocess.run(
        [sys.executable, "-m", "kerasnotes", *arguments], cwd=ROOT, env=environment, check=False,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **keywords},
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "latin-1", "utf-16"])
def test_code_in_a_file_is_utf_8_whatever_the_console_uses(encoding):
    expected = command("snippet", GLYPHS, encoding="utf-8").stdout
    assert "’" in expected.decode("utf-8")
    assert command("snippet", GLYPHS, encoding=encoding).stdout == expected
    compile(expected, "mine.py", "exec")


def test_show_prints_the_file_as_it_is():
    lesson = catalog.find_lesson("chapter08.sequences")
    assert command("show", "sequences", encoding="gbk").stdout == lesson.source.encode("utf-8")


def test_a_snippet_goes_into_a_file(tmp_path, capsys):
    mine = tmp_path / "mine.py"
    assert main(["snippet", GLYPHS, "-o", str(mine)]) == 0
    assert "’" in mine.read_text(encoding="utf-8")
    assert str(mine) in capsys.readouterr().out
    before = mine.read_bytes()
    assert main(["snippet", "clipping.cosine", "-o", str(mine)]) == 2
    assert mine.read_bytes() == before
    assert "--force" in capsys.readouterr().err
    assert main(["snippet", "clipping.cosine", "-o", str(mine), "--force"]) == 0
    assert mine.read_bytes() != before
    assert main(["snippet", GLYPHS, "-o", str(tmp_path / "nowhere" / "mine.py")]) == 2
    assert "nowhere" in capsys.readouterr().err


@needs_full_device
@pytest.mark.parametrize(
    "arguments",
    [[], ["show", "clipping"], ["snippet", "clipping"], ["show", "clipping", "--results"], ["chapter08", "--list"]],
)
def test_a_full_place_is_said_in_one_line(arguments):
    with open(FULL, "wb") as full:
        found = command(*arguments, stdout=full)
    assert found.returncode == 2
    assert found.stderr.decode().count("\n") == 1
    assert b"No space left" in found.stderr


@pytest.mark.skipif(os.name == "nt", reason="pipes end in another way there")
@pytest.mark.parametrize("arguments", [[], ["show", "clipping"], ["snippet", "clipping"], ["chapter08", "--list"]])
def test_a_reader_that_has_seen_enough_is_no_error(arguments):
    process = subprocess.Popen(
        [sys.executable, "-m", "kerasnotes", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), errors) == (0, b"")


# --- places ----------------------------------------------------------------------------------------------------------


def test_a_place_that_takes_nothing_is_named_before_anything_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(run, "_run_chapter", lambda *arguments: pytest.fail("nothing may run"))
    for place in ("file", "file/inside", *(["/proc/x"] if os.path.isdir("/proc") else [])):
        for arguments in (
            ["chapter02", "losses", "--out", place],
            ["sweep", "chapter02.losses", "--out", place],
            ["site", "--out", place],
        ):
            assert main(arguments) == 2, (place, arguments)
            error = capsys.readouterr().err
            assert error.startswith("error: --out: ")
            assert error.count("\n") == 1
            assert place.partition("/")[0] in error


def test_a_full_or_read_only_place_is_refused(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(store.tempfile, "NamedTemporaryFile", lambda **keywords: refuse())
    with pytest.raises(catalog.UsageError, match=r"--out: nothing can be written to .*\(Read-only file system\)"):
        store.check_place(tmp_path / "new", "--out")


def test_a_good_place_is_left_as_it_was(tmp_path):
    store.check_place(tmp_path / "a" / "b", "--out")
    assert list(tmp_path.iterdir()) == []


# --- words that mean two things --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chapter", "arguments", "lesson", "changed"),
    [
        ("chapter09", ["sentiment", "--cells", "lstm", "gru"], "sentiment", {"cells": ("lstm", "gru")}),
        ("chapter07", ["comparison", "--names", "highway"], "comparison", {"names": ("highway",)}),
        ("chapter08", ["memory_span", "--cells", "simple_rnn"], "memory_span", {"cells": ("simple_rnn",)}),
        ("chapter09", ["--cells", "lstm", "--seed", "1", "sentiment"], "sentiment", {"cells": ("lstm",)}),
        ("chapter09", ["lstm", "gru"], "lstm gru", {}),
        ("chapter09", ["lstm"], "lstm", {}),
    ],
)
def test_a_settings_value_may_be_a_lessons_name(chapter, arguments, lesson, changed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, chosen, found = run._parse(catalog.find_chapter(chapter), arguments)
    assert " ".join(each.name for each in chosen) == lesson
    assert found == changed


def test_a_wrong_value_beside_a_lessons_name_is_what_is_complained_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(catalog.UsageError, match="got 'foo'"):
        run._parse(catalog.find_chapter("chapter09"), ["sentiment", "--cells", "lstm", "foo"])


# --- what reading costs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], ["show", "clipping"], ["show", "clipping", "--results"], ["snippet", "clipping"],
     ["record", "--help"], ["site", "--help"], ["chapter08", "--list"]],
)  # fmt: skip
def test_reading_imports_neither_tensorflow_nor_numpy(arguments):
    code = (
        "import sys\nfrom kerasnotes.__main__ import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "found = {'tensorflow', 'keras', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {found}' if found else 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_the_contents_parse_no_lesson(monkeypatch, capsys):
    monkeypatch.setattr(catalog.Lesson, "tree", property(lambda lesson: pytest.fail(f"{lesson.full_name} is parsed")))
    assert main([]) == 0
    text = capsys.readouterr().out
    assert "Clipping by global norm shortens the step" in text
    assert "show chapter08.clipping --results" in text

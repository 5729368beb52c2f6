"""What is built and installed: the wheel holds every lesson and all data, and the declared facts are true."""

import configparser
import re
import subprocess
import sys
import zipfile

import pytest

import kerasnotes
from kerasnotes import data
from kerasnotes.course import catalog, doctor, pages

ROOT = catalog.PACKAGE.parent
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg", encoding="utf-8")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel's file names, built without fetching anything."""
    folder = tmp_path_factory.mktemp("wheel")
    build = f"from setuptools import build_meta; print(build_meta.build_wheel({str(folder)!r}))"
    copy = tmp_path_factory.mktemp("source") / "kerasnotes"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    result = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


def test_the_wheel_holds_every_source_file(wheel):
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "kerasnotes").rglob("*")
        if path.suffix in {".py", ".mplstyle", ".css", ".html", ".json"}
    }
    assert sources <= set(wheel)


def test_the_wheel_holds_all_data(wheel):
    for name, expected in data.registry().items():
        assert wheel[f"kerasnotes/_data/{name}"] == expected["bytes"]
    assert "kerasnotes/_data/registry.json" in wheel
    assert "kerasnotes/_data/README.md" in wheel


def test_the_wheel_holds_all_records(wheel):
    root = catalog.results_directory()
    files = {path.relative_to(root).as_posix(): path.stat().st_size for path in root.rglob("*") if path.is_file()}
    assert "index.json" in files
    for name, size in files.items():
        assert wheel[f"kerasnotes/_results/{name}"] == size


def test_the_wheel_holds_nothing_else(wheel):
    assert {name.split("/")[0] for name in wheel} == {"kerasnotes", f"kerasnotes-{kerasnotes.__version__}.dist-info"}
    assert any(name.endswith("LICENSE") for name in wheel)


def test_every_package_is_declared():
    declared = CONFIG["options"]["packages"].split()
    folders = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for path in (ROOT / "kerasnotes").rglob("__init__.py")
    }
    assert set(declared) == folders | {"kerasnotes._data", "kerasnotes._results"}


def test_the_doctor_knows_the_declared_bounds():
    for line in CONFIG["options"]["install_requires"].split():
        name, _, bounds = line.partition(">=")
        lowest = tuple(int(part) for part in bounds.split(",")[0].split("."))
        if name in doctor.LOWEST:
            assert doctor.LOWEST[name] == (*lowest, 0)[:2], name
        assert ",<" in bounds, f"{name} has no upper bound"


def test_the_readme_prints_the_commands_that_ci_runs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "pip install -e . && python -m kerasnotes.chapter08" in readme
    assert 'pip install -e ".[test]" && python -m pytest' in readme
    assert 'pip install -q -e ".[test]" && python -m pytest' in script


def test_every_chapter_has_a_page_to_read():
    expected = {f"{chapter.name}.md" for chapter in catalog.chapters()}
    assert {path.name for path in (ROOT / "chapters").glob("chapter*.md")} == expected


def test_readme_and_corrections_say_what_the_records_say():
    for path, text in pages.texts().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: python -m kerasnotes record writes it again"


def test_readme_shows_twelve_figures_and_five_corrections_and_stays_short():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count("\n") < 160
    gallery = readme.partition("<!-- gallery -->")[2].partition("<!-- end of gallery -->")[0]
    pictures = re.findall(r"\]\((chapters/results/[^)]*)\)", gallery)
    assert len(pictures) == len(pages.highlights()["gallery"]) == 12
    assert all((ROOT / picture).is_file() for picture in pictures)
    corrections = readme.partition("<!-- corrections -->")[2].partition("<!-- end of corrections -->")[0]
    assert corrections.count("\n| [") == len(pages.highlights()["corrections"]) == 5


def test_every_file_that_readme_names_is_there():
    for name in ("README.md", "README.zh.md", "CONTRIBUTING.md", "chapters/tools.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", re.sub(r"`[^`]*`", "", text)):
            assert ((ROOT / name).parent / target).exists(), f"{name}: {target}"

"""What makes a result stale: a statement or a data file that the lesson uses, and nothing else."""

import ast
import shutil

import pytest

from kerasnotes import data
from kerasnotes.course import catalog
from kerasnotes.course.fingerprint import Fingerprints, difference, plain, without_words


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the course's sources whose files may be changed."""
    shutil.copytree(catalog.PACKAGE, tmp_path / "kerasnotes", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(catalog, "PACKAGE", tmp_path / "kerasnotes")
    return tmp_path / "kerasnotes"


def prints():
    """Fingerprints of some chapters: enough to tell what a change reaches."""
    fresh = Fingerprints()
    chapters = [chapter for chapter in catalog.chapters() if chapter.name in ("chapter02", "chapter08", "chapter09")]
    return {lesson.full_name: fresh.of(lesson) for chapter in chapters for lesson in chapter.lessons}


def change(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) >= 1, old
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def stale_after(before):
    after = prints()
    return {name for name in before if before[name] != after[name]}


def test_what_is_not_used_leaves_every_result_fresh(copy):
    before = prints()
    clipping = copy / "chapter08" / "clipping.py"
    change(clipping, "def lesson(", "# a comment\ndef lesson(")
    change(clipping, '"""Clipping by global norm shortens', '"""Clipping by the global norm shortens')
    change(clipping, "    Several tensors that are clipped", "    Tensors that are clipped")
    change(clipping, "SECONDS = ", "SECONDS = 1")
    change(clipping, "SMOKE = {", "UNUSED = 1\nSMOKE = {")
    change(clipping, "def example():\n", "def example():\n    print(1)\n")
    change(copy / "plots.py", "def subplots(", "def unused():\n    return 1\n\n\ndef subplots(")
    assert stale_after(before) == set()


def test_one_statement_makes_the_lessons_stale_that_use_it(copy):
    before = prints()
    change(copy / "chapter08" / "clipping.py", "scale = clip_norm / ", "scale = 2 * clip_norm / ")
    users = {
        lesson.full_name
        for lesson in catalog.find_chapter("chapter08").lessons
        if "clip_by_global_norm(" in lesson.source
    }
    stale = stale_after(before)
    assert "chapter08.clipping" in stale
    assert users <= stale
    assert all(_reaches(name, "clip_by_global_norm") for name in stale)
    assert len(stale) < len(before) / 3


def _reaches(name, function):
    return function in Fingerprints().depends(catalog.find_lesson(name))


def test_words_that_only_people_read_leave_the_numbers_as_they_are(copy):
    def both():
        lesson = catalog.find_lesson("chapter08.clipping")
        return Fingerprints().of(lesson), Fingerprints(words=False).of(lesson)

    clipping, before = copy / "chapter08" / "clipping.py", both()
    for old, new in (("alt=", 'alt="Twice. " + '), ("xlabel=", 'xlabel="x" or ')):
        change(clipping, old, new)
        after = both()
        assert after[0] != before[0], old
        assert after[1] == before[1], old
        before = after
    change(clipping, "report.at_least(", "report.at_most(")
    assert both()[1] != before[1]


def test_what_only_people_read_is_left_out_of_a_tree():
    code = "alt = f'{a}'\nalt += ' b'\ndraw(x, title='t', rate=2)\nreport.note('n', 1)\nax.set_title(t)\nlabel = 'l'"
    other = "alt = 'c'\nalt += d\ndraw(x, rate=2)\nreport.note()\nax.set_title('other')\nlabel = 'l'"
    assert plain(without_words(ast.parse(code))) == plain(without_words(ast.parse(other)))
    for old, new in (("'l'", "'m'"), ("rate=2", "rate=3"), ("draw(x", "draw(y")):
        assert plain(without_words(ast.parse(code.replace(old, new)))) != plain(without_words(ast.parse(other)))


def test_a_definition_may_move(copy):
    before = prints()
    source = (copy / "chapter08" / "clipping.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    node = next(each for each in tree.body if getattr(each, "name", "") == "cosine")
    text = "\n".join(source.splitlines()[node.lineno - 1 : node.end_lineno])
    change(copy / "chapter08" / "clipping.py", text, "from kerasnotes.chapter08.sequences import cosine")
    change(copy / "chapter08" / "sequences.py", "def lesson(", text + "\n\n\ndef lesson(")
    assert stale_after(before) == set()


def test_a_drawing_or_a_style_that_is_used_counts(copy):
    before = prints()
    change(copy / "plots.py", "values.ndim == 2", "values.ndim == 3")  # in curves()
    curves = stale_after(before)
    assert curves
    assert all(_reaches(name, "curves") for name in curves)
    (copy / "kerasnotes.mplstyle").write_text("lines.linewidth: 7\n", encoding="utf-8")
    assert len(stale_after(before)) > len(curves)


def test_a_changed_byte_of_data_makes_its_lessons_stale(copy, tmp_path, monkeypatch):
    folder = tmp_path / "files"
    shutil.copytree(data.data_directory(), folder)
    monkeypatch.setattr(data, "data_directory", lambda: folder)
    before = prints()
    content = bytearray((folder / "pride_and_prejudice.txt.gz").read_bytes())
    content[-2] ^= 1
    (folder / "pride_and_prejudice.txt.gz").write_bytes(content)
    stale = stale_after(before)
    assert stale == {
        name
        for name in before
        if "data: pride_and_prejudice.txt.gz" in Fingerprints().depends(catalog.find_lesson(name))
    }
    assert 0 < len(stale) < len(before) / 2


def test_every_loader_declares_what_it_reads(monkeypatch):
    real, seen = data.read_verified, []
    monkeypatch.setattr(data, "read_verified", lambda name: seen.append(name) or real(name))
    calls = {name: [()] for name in data.FILES}
    calls.update(tang_quatrains=[(5,), (7,)], interface_texts=[("fr",), ("zh",)])
    for name, arguments in calls.items():
        seen.clear()
        for each in arguments:
            getattr(data, name)(*each)
        assert sorted(seen) == sorted(data.FILES[name]), name
    assert {file for files in data.FILES.values() for file in files} == set(data.registry())
    readers = {node.name for node in ast.parse((catalog.PACKAGE / "data.py").read_text(encoding="utf-8")).body
               if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}  # fmt: skip
    assert readers - {"data_directory", "results_directory", "registry", "read_verified"} == set(data.FILES)


def test_a_syntax_tree_as_text_leaves_out_docstrings_and_places():
    one = ast.parse('def f(x):\n    """Text."""\n    return x + 1')
    two = ast.parse("# comment\n\ndef f(x): return x+1")
    assert plain(one) == plain(two)
    assert plain(one) != plain(ast.parse("def f(x): return x + 2"))
    assert plain(ast.parse("x = 'a'")) != plain(ast.parse("x = b'a'"))
    assert plain(ast.parse("def f():\n    'text'\n    pass")) == plain(ast.parse("def f():\n    pass"))


def test_the_difference_is_named():
    assert difference({"a": "1"}, {"a": "1"}) == ""
    assert difference({"a": "1", "b": "1"}, {"a": "2", "c": "1"}) == "changed: a; new: c; gone: b"
    assert difference({}, {str(n): "1" for n in range(6)}) == "new: 0, 1, 2, 3 and 2 more"

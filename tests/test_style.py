"""The rules of style that a syntax tree can show, for every lesson and for the project's files."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from kerasnotes.course import catalog, snippet

ROOT = catalog.PACKAGE.parent
CHAPTERS = catalog.chapters()
LESSONS = [lesson for chapter in CHAPTERS for lesson in chapter.lessons]
LINES, LESSON_LINES, CONCEPT_LINES = 300, 60, 150
LONGER = {  # lessons that may be longer, up to 350 lines, each with its reason; the list may only shrink
    "chapter09.lstm": "step, sequence, peepholes and cell are one concept, and later lessons take them from here",
    "chapter09.seq2seq": "all of its tables and figures come from the same trained runs, a minute of training",
    "chapter06.batch_norm": "one layer with all that Keras's does, and two experiments that share their networks",
}
REPORT_METHODS = {"check", "at_least", "at_most", "table", "figure", "note", "correction", "track"}
FORBIDDEN = {
    r"np\.random\.(?!default_rng|Generator|SeedSequence)": "NumPy's global random state",
    r"tf\.random\.(normal|uniform|set_seed|shuffle)\b": "TensorFlow's global random state",
    r"\brandom\.(random|seed|choice|shuffle)\(": "Python's global random state",
    r"\bpickle\b": "pickles",
    r"\bprint\(": "printing",
    r"\bopen\(": "the file system",
    r"urllib|requests|http\.client|\.get_file\(|load_data\(": "the network",
    r"/work/|/root/|/tmp/|/home/": "machine paths",
}

lessons = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.full_name)
chapters = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)


def functions_of(lesson):
    return {node.name: node for node in lesson.tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def calls_of(node):
    """The functions that evaluating an expression calls; what stands inside a lambda is not evaluated."""
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.Call):
        yield ast.unparse(node.func)
    for child in ast.iter_child_nodes(node):
        yield from calls_of(child)


@chapters
def test_a_chapter_holds_strings_and_its_lessons(chapter):
    kinds = {type(node) for node in chapter.tree.body}
    assert kinds == {ast.Expr, ast.Assign}
    number, english, chinese = chapter.titles
    assert number == f"Chapter {chapter.name[-2:]}"
    assert english
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert chapter.about
    files = {path.stem for path in chapter.path.glob("*.py")} - {"__init__", "__main__", "exercises"}
    assert files == {lesson.name for lesson in chapter.lessons}
    first = CHAPTERS[0].path / "__main__.py"
    assert (chapter.path / "__main__.py").read_text() == first.read_text()


@chapters
def test_a_chapter_stays_inside_its_budget(chapter):
    assert chapter.seconds <= chapter.budget


@lessons
def test_the_docstring_states_the_point(lesson):
    docstring = ast.get_docstring(lesson.tree)
    assert lesson.point.endswith(".")
    assert len(lesson.point) <= 117
    notes = re.search(r"^Notes: (.*?)(?=^Source:)", docstring, re.M | re.S)
    assert notes, "Notes: chapter and heading, in Chinese as well"
    assert re.search(r"[\u4e00-\u9fff]", notes[1])
    assert re.search(r"^Source: \S", docstring, re.M)
    assert len(docstring.split("\n\n")) >= 3, "what the reader should see stands between the point and the notes"


@lessons
def test_a_lesson_reads_in_five_minutes(lesson):
    assert lesson.source.count("\n") <= (350 if lesson.full_name in LONGER else LINES)
    defined = functions_of(lesson)
    assert defined["lesson"].end_lineno - defined["lesson"].lineno < LESSON_LINES
    example = {"example"} & set(defined)
    text = snippet.cut([f"{lesson.full_name}.{name}" for name in (*lesson.public_names, *example)])
    concept = [
        node
        for name, node in defined.items()
        if name not in example and (f"def {name}(" in text or f"class {name}" in text)
    ]
    spoken = [node.body[0] for node in concept if ast.get_docstring(node)]
    lines = sum(node.end_lineno - node.lineno + 1 for node in concept)
    lines -= sum(node.end_lineno - node.lineno + 1 for node in spoken)
    assert lines <= CONCEPT_LINES, f"{lines} lines of concept, docstrings not counted"


@lessons
def test_nothing_happens_at_import(lesson):
    for node in lesson.tree.body[1:]:
        assert isinstance(node, (ast.Import, ast.ImportFrom, ast.Assign, ast.FunctionDef, ast.ClassDef)), ast.unparse(
            node
        )
        if isinstance(node, ast.Assign):
            assert not set(calls_of(node.value)) - {"frozenset", "tuple", "range", "math.log", "math.sqrt"}


@lessons
def test_a_lesson_imports_backwards_only(lesson):
    order = [each.full_name for each in LESSONS]
    for node in ast.walk(lesson.tree):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("kerasnotes") for alias in node.names), "import names, not modules"
        if isinstance(node, ast.ImportFrom) and node.module.startswith("kerasnotes"):
            if node.module == "kerasnotes":
                assert {alias.name for alias in node.names} <= {"data", "plots", "training"}
                continue
            module = node.module.removeprefix("kerasnotes.")
            if module in ("data", "parts", "plots", "training"):
                continue
            assert module in order, f"{module}: import names from an earlier lesson"
            assert order.index(module) < order.index(lesson.full_name), f"{module} comes later"
            public = next(each for each in LESSONS if each.full_name == module).public_names
            assert {alias.name for alias in node.names} <= set(public)


@lessons
def test_public_names_are_described(lesson):
    for name, node in functions_of(lesson).items():
        if not name.startswith("_") and name != "example":
            assert ast.get_docstring(node), f"{name} has no docstring"
    assert lesson.public_names, "a lesson without anything to copy"


@lessons
def test_the_lesson_function_is_its_configuration(lesson):
    function = functions_of(lesson)["lesson"]
    arguments = function.args
    assert [argument.arg for argument in arguments.args] == ["report"]
    assert [arguments.vararg, arguments.kwarg, arguments.posonlyargs] == [None, None, []]
    for argument, setting in zip(arguments.kwonlyargs, lesson.settings, strict=True):
        assert argument.annotation is not None, setting.name
        assert setting.help, f"{setting.name} is not described"
        if setting.type in (int, float):
            assert setting.low is not None, f"{setting.name} has no range (LOW to HIGH)"
        if setting.type is str and setting.name != "directory":
            assert setting.choices, f"{setting.name} has no choices (one of: …)"
        assert setting.validate(setting.default) == setting.default


@lessons
def test_the_scales_fit_the_settings(lesson):
    known = {setting.name: setting for setting in lesson.settings}
    for scale in ("smoke", "full"):
        for name, value in lesson.scale_settings(scale).items():
            assert known[name].validate(value) == value, f"{scale}: {name}"
    assert lesson.constant("SMOKE") is not None
    assert isinstance(lesson.seconds, int)
    assert lesson.seconds > 0


@lessons
def test_a_lesson_uses_the_report_only_as_designed(lesson):
    used = {
        node.attr
        for node in ast.walk(lesson.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "report"
    }
    assert used <= REPORT_METHODS
    assert used & {"check", "at_least", "at_most"}
    assert "figure" in used


@lessons
def test_nothing_forbidden(lesson):
    code = re.sub(r'"""(.|\n)*?"""', "", lesson.source)
    code = re.sub(r"^def example\(.*?(?=^\S)", "", code, flags=re.M | re.S)  # the one place that prints
    for pattern, what in FORBIDDEN.items():
        assert not re.search(pattern, code), f"{what}: {re.search(pattern, code)[0]}"


@lessons
def test_one_random_lesson_one_seed(lesson):
    if re.search(r"default_rng|stateless_|set_random_seed|Generator\(|initializers\.\w+\(", lesson.source):
        assert "seed" in {setting.name for setting in lesson.settings}


def project_files():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [
        ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).suffix in {".py", ".md", ".cfg", ".toml"}
    ]


def test_the_project_names_no_machine():
    here = Path(__file__)
    for path in project_files():
        if path == here:
            continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/work/|/root/|/home/\w", text), path
        assert not re.search(r"pypi\.org|pythonhosted|registry\.npmjs", text), path

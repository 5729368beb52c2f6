"""Every public name of every lesson can be cut out and runs where kerasnotes cannot be imported."""

import ast
import builtins
import subprocess
import sys

import pytest

from kerasnotes.course import catalog, names, snippet

LESSONS = [lesson for chapter in catalog.chapters() for lesson in chapter.lessons]
NAMES = [f"{lesson.full_name}.{name}" for lesson in LESSONS for name in lesson.public_names]


@pytest.fixture
def without_kerasnotes(monkeypatch):
    real = builtins.__import__

    def guarded(name, *arguments, **keywords):
        if name.split(".")[0] == "kerasnotes":
            raise ImportError("a snippet must not import kerasnotes")
        return real(name, *arguments, **keywords)

    def execute(text):
        namespace = {"__name__": "snippet"}
        with monkeypatch.context() as patch:
            patch.setattr(builtins, "__import__", guarded)
            exec(compile(text, "snippet.py", "exec"), namespace)
        return namespace

    return execute


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_stands_alone_and_lacks_nothing(name, without_kerasnotes):
    text = snippet.cut([name])
    namespace = without_kerasnotes(text)
    short = name.rpartition(".")[2]
    assert callable(namespace[short])
    assert "kerasnotes." not in "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert "def lesson(" not in text
    missing = {each for each in names.globals_of(text) if each not in namespace and not hasattr(builtins, each)}
    assert not missing


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.full_name)
def test_a_lesson_is_cut_as_a_program_that_prints(lesson, without_kerasnotes, capsys):
    assert lesson.has_example, "every lesson has def example(): the library's call as documented, beside ours"
    (function,) = (node for node in lesson.tree.body if getattr(node, "name", "") == "example")
    assert ast.get_docstring(function)
    assert function.end_lineno - function.lineno < 25, "at most 25 lines"
    namespace = without_kerasnotes(snippet.cut([lesson.full_name]))
    assert {*lesson.public_names, "example"} <= namespace.keys()
    namespace["example"]()
    assert capsys.readouterr().out.strip()


def test_the_cut_function_computes(without_kerasnotes):
    cut = without_kerasnotes(snippet.cut(["chapter08.clipping.clip_by_global_norm"]))
    tf = cut["tf"]
    _, norm = cut["clip_by_global_norm"]([tf.constant([3.0, 4.0]), tf.constant([12.0])], 1.0)
    assert float(norm) == 13.0


def test_only_what_is_needed_is_cut():
    text = snippet.cut(["chapter08.clipping.clip_by_value"])
    assert "def clip_by_value" in text
    assert "import tensorflow as tf" in text
    for absent in ("clip_by_norm(", "import keras", "import math", "import numpy", "DELAY"):
        assert absent not in text


def test_several_names_make_one_program(without_kerasnotes):
    names = ["chapter08.clipping.clip_by_norm", "chapter08.clipping.cosine", "chapter08.clipping.clip_by_norm"]
    text = snippet.cut(names)
    assert text.count("def clip_by_norm") == text.count("import tensorflow") == 1
    assert {"clip_by_norm", "clip_by_global_norm", "cosine"} <= set(without_kerasnotes(text))


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """A course of two small lessons."""
    folder = tmp_path / "chapter01"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        '"""Chapter 01 · Test · 测试.\n\nAbout.\n"""\n\nLESSONS = ("first", "second")\n'
    )
    monkeypatch.setattr(catalog, "PACKAGE", tmp_path)

    def write(first, second="x = 1\n"):
        (folder / "first.py").write_text('"""One."""\n' + first)
        (folder / "second.py").write_text('"""Two."""\n' + second)

    return write


def test_earlier_lessons_helpers_and_constants_come_along(made_up, without_kerasnotes):
    made_up(
        "import math\nimport os\n\nSCALE = 2  # a constant\n\n\ndef _helper(x):\n    return SCALE * math.sqrt(x)\n\n\n"
        "def double_root(x):\n    return _helper(x)\n",
        "from functools import lru_cache\n\nfrom kerasnotes.chapter01.first import double_root as twice\n\n\n"
        "@lru_cache\ndef total(*numbers):\n    os = 1\n    return os * sum(twice(n) for n in numbers)\n",
    )
    text = snippet.cut(["chapter01.second.total"])
    assert without_kerasnotes(text)["total"](4.0, 9.0) == 10.0
    assert "import os" not in text
    assert "@lru_cache" in text


def test_functions_that_call_each_other(made_up, without_kerasnotes):
    made_up("def even(n):\n    return n == 0 or odd(n - 1)\n\n\ndef odd(n):\n    return n > 0 and even(n - 1)\n")
    assert without_kerasnotes(snippet.cut(["chapter01.first.odd"]))["odd"](7)


def test_two_meanings_of_one_name_are_refused(made_up):
    first = "def f():\n    return 1\n\n\ndef g():\n    return f()\n"
    second = (
        "from kerasnotes.chapter01.first import g\n\n\ndef f():\n    return 2\n\n\ndef h():\n    return f() + g()\n"
    )
    made_up(first, second)
    with pytest.raises(catalog.UsageError, match="f means different things"):
        snippet.cut(["chapter01.second.h"])


def test_parts_of_the_package_are_refused(made_up):
    made_up("from kerasnotes import plots\n\n\ndef draw():\n    return plots.subplots()\n")
    with pytest.raises(catalog.UsageError, match="part of the package"):
        snippet.cut(["chapter01.first.draw"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("chapter08.clipping.clip_by_nrom", "Did you mean clip_by_norm"),
        ("chapter08.cliping.clip_by_norm", "Did you mean clipping"),
        ("chapter99.clipping.clip_by_norm", "no chapter 'chapter99'"),
        ("clip_by_norm", "There is no lesson 'clip_by_norm'"),
        ("chapter08.clipping.clip_by_norm.more", "expected LESSON or LESSON.NAME"),
        ("chapter08.clipping.lesson", "nothing called 'lesson'"),
    ],
)
def test_wrong_names_are_explained(name, message):
    with pytest.raises(catalog.UsageError, match=message):
        snippet.cut([name])


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("chapter08.clipping.clip_by_global_norm",
         "print(float(clip_by_global_norm([tf.constant([3.0, 4.0]), tf.constant([12.0])], 1.0)[1]))"),
        ("chapter08.clipping.cosine", "print(cosine([np.ones(2)], [np.ones(2)]) * 13)"),
    ],
)  # fmt: skip
def test_in_a_fresh_interpreter(name, use, tmp_path):
    program = tmp_path / "mine.py"
    block = "import sys\nsys.modules['kerasnotes'] = None\n"
    program.write_text(block + snippet.cut([name]) + f"\n\n{use}\n", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-I", str(program)], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert float(result.stdout) == pytest.approx(13.0)


def test_a_name_is_cut_from_where_it_moved_to():
    lesson, names = snippet.find("chapter10.vae.elbo")
    assert (lesson.full_name, names) == ("chapter10.likelihood_bounds", ("elbo",))
    assert "def elbo(" in snippet.cut(["chapter10.vae.elbo"])

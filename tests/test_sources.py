"""Every source that a lesson names can be looked up: an arXiv number, a DOI, an ISBN or a web address, in one form."""

import ast
import re

import pytest

from kerasnotes.course import catalog

LESSONS = [lesson for chapter in catalog.chapters() for lesson in chapter.lessons]
WORK = re.compile(
    r"^(?P<authors>(?:(?:van |de )?[A-Z][^\W\d]*['’-]?[^\W\d]*(?:, | and | et al\. | ))+)(?P<year>\d{4})\b"
)
PLACE = re.compile(  # the one form of each; what is spelt otherwise is not found
    r"(?<![\w/.:])(?:"
    r"arXiv:\d{4}\.\d{4,5}"
    r"|doi:10\.\d{4,}/[^\s,;]*[^\s,;.:]"
    r"|ISBN 978-[\d-]{9,}[\dX]"
    r"|https?://[\w.-]+\.\w+(?:/[^\s,;]*[^\s,;.:])?"
    r")(?=[\s,;.)]|$)"
)
OTHER_FORMS = re.compile(r"doi\.org|arxiv\.org|DOI|doi: |arxiv|arXiv[^:]|arXiv: |ISBN:|ISBN (?!978-)")
LIBRARY = re.compile(r"`(keras|tf|torch)\.\w")  # a call that the library's pages explain
LIBRARIES = {"keras": "https://keras.io", "tf": "https://www.tensorflow.org", "torch": "https://docs.pytorch.org"}
OWN = re.compile(r"^(the reports of this course|[Tt]he course's notes|[Cc]hapter \d\d, `|[Aa]s for `)")


def entries(docstring):
    """The single sources after `Source:`, which stand apart by semicolons outside brackets."""
    for text in re.findall(r"(?:^|, )Source: *((?:.|\n(?!\s*\n))*)", docstring or "", re.M):
        depth, entry = 0, ""
        for letter in " ".join(text.split()):
            depth += {"(": 1, ")": -1}.get(letter, 0)
            if letter == ";" and depth == 0:
                yield entry.strip()
                entry = ""
            else:
                entry += letter
        yield entry.strip()


def named(entry):
    """Authors and year of a work, such as `Pascanu 2013`, by which a docstring may come back to it."""
    work = WORK.match(entry)
    return work and f"{re.match(r'(van |de )?[^ ,]+', work['authors'])[0]} {work['year']}"


def missing(lesson_tree):
    """Yields where a source stands, and the source, for each that has no place to be looked up."""
    own = list(entries(ast.get_docstring(lesson_tree)))
    known = {named(entry) for entry in own if PLACE.search(entry)} - {None}
    pages = " ".join(own)
    documented = [("the lesson", lesson_tree)]
    for node in lesson_tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            documented.append((node.name, node))
    for name, node in documented:
        for entry in entries(ast.get_docstring(node)):
            call = LIBRARY.match(entry)
            if not (
                PLACE.search(entry)
                or OWN.match(entry)
                or named(entry) in known
                or (call and LIBRARIES[call[1]] in pages)
            ):
                yield name, entry


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.full_name)
def test_every_source_can_be_looked_up(lesson):
    assert not list(missing(lesson.tree))


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.full_name)
def test_places_are_written_in_one_form(lesson):
    for node in [lesson.tree, *lesson.tree.body]:
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)):
            for entry in entries(ast.get_docstring(node)):
                assert not OTHER_FORMS.search(entry), entry


@pytest.mark.parametrize(
    ("docstring", "found"),
    [
        ("Source: Pascanu et al. 2013, arXiv:1211.5063, Algorithm 1.", []),
        ("Source: Pascanu et al. 2013, Algorithm 1.", ["Pascanu et al. 2013, Algorithm 1."]),
        ("Source: Fawcett 2006, doi:10.1016/j.patrec.2005.10.010; Yule 1927.", ["Yule 1927."]),
        (
            "Source: Bishop 2006, ISBN 978-0-387-31073-2;\nShannon 1948 (entropy; bits).",
            ["Shannon 1948 (entropy; bits)."],
        ),
        ("Source: https://keras.io/api/layers; `keras.layers.Dense`.", []),
        ("Source: https://numpy.org/doc/stable; `keras.layers.Dense`.", ["`keras.layers.Dense`."]),
        ("Source: Lin 1992, doi: 10.1007/BF00992699.", ["Lin 1992, doi: 10.1007/BF00992699."]),
    ],
)
def test_a_source_without_a_place_is_found(docstring, found):
    tree = ast.parse(repr(docstring))
    assert [entry for _, entry in missing(tree)] == found


def test_a_function_may_come_back_to_a_work_of_its_lesson():
    lesson = "Source: Lin 1992, doi:10.1007/BF00992699."
    function = 'def f():\n    """Source: {}"""\n'
    assert not list(missing(ast.parse(f'"""{lesson}"""\n' + function.format("Lin 1992, section 2."))))
    assert list(missing(ast.parse(f'"""{lesson}"""\n' + function.format("Lin 1991.")))) == [("f", "Lin 1991.")]

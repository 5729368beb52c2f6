"""A lesson as a notebook, cut into cells, with a last one that runs it; and a chapter's exercises as a notebook."""

import ast
import itertools
import textwrap

import nbformat

from kerasnotes.course import catalog

INSTALL = (
    "The cells need kerasnotes: `pip install -e .` in the folder of the project, or `%pip install FOLDER` in a cell "
    "of this notebook."
)
SETTINGS = """scale = "default"  # "smoke" takes a second or two, and skips the checks that need training
settings = {}  # for example {"seed": 1}"""


def lesson_notebook(lesson):
    """Turn a lesson's file into a notebook that runs from top to bottom.

    Args:
        lesson: A `catalog.Lesson`.

    Returns:
        An `nbformat` notebook (version 4). The cell tagged `parameters` holds the settings, the last one the run.
    """
    version = nbformat.v4
    docstring = ast.get_docstring(lesson.tree)
    cells = [version.new_markdown_cell(f"# {lesson.full_name}\n\n{docstring}\n\n{INSTALL}")]
    cells += [version.new_code_cell(text) for text in _pieces(lesson)]
    settings = version.new_code_cell(SETTINGS)
    settings.metadata["tags"] = ["parameters"]
    run = f"""
        from kerasnotes.course.report import Report

        report = Report({lesson.full_name!r}, scale=scale)
        lesson(report, **{{**(SMOKE if scale == "smoke" else {{}}), **settings}})
        report
    """
    cells += [settings, version.new_code_cell(textwrap.dedent(run).strip())]
    return _notebook(cells)


def exercises_notebook(chapter):
    """The exercises of a chapter (a `catalog.Chapter`) as a notebook: question, code to fill in, check, for each."""
    from kerasnotes.course import exercises

    version = nbformat.v4
    _, english, chinese = chapter.titles
    cells = [
        version.new_markdown_cell(f"# Exercises of {chapter.name}: {english} · {chinese}\n\n{INSTALL}"),
        version.new_code_cell("from kerasnotes import check, exercise"),
    ]
    for each in exercises.of_chapter(chapter):
        cells.append(version.new_markdown_cell(f'{each.question}\n\n`exercise("{each.number}")` shows hints.'))
        cells += [version.new_code_cell(text) for text in (each.start.rstrip(), each.call)]
    return _notebook(cells)


def _notebook(cells):
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # nbformat draws them at random, and one lesson should give one notebook
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def _pieces(lesson):
    """The file's text after its docstring: one piece for imports and constants, then one for each definition."""
    lines = lesson.source.splitlines()
    definitions = [node for node in lesson.tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    starts = [min([node.lineno, *(each.lineno for each in node.decorator_list)]) for node in definitions]
    borders = [lesson.tree.body[0].end_lineno, *(start - 1 for start in starts), len(lines)]
    pieces = ["\n".join(lines[low:high]).strip() for low, high in itertools.pairwise(borders)]
    return [piece for piece in pieces if piece]


def as_text(lesson):
    """The notebook of a lesson (a `catalog.Lesson`, or its name) as the text of an `.ipynb` file."""
    if isinstance(lesson, str):
        lesson = catalog.find_lesson(lesson)
    return nbformat.writes(lesson_notebook(lesson)) + "\n"


def exercises_as_text(chapter):
    """The notebook of a chapter's exercises as the text of an `.ipynb` file."""
    return nbformat.writes(exercises_notebook(chapter)) + "\n"

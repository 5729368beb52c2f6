"""Lessons as notebooks: they run from top to bottom, and a report shows itself."""

import ast

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from kerasnotes.course import catalog, notebook

LESSONS = [lesson for chapter in catalog.chapters() for lesson in chapter.lessons]


def execute(cells):
    made = cells if not isinstance(cells, list) else nbformat.v4.new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    NotebookClient(made, timeout=300, kernel_name="python3").execute()
    return made


def shown(cell):
    return "".join(out["data"].get("text/html", "") for out in cell.outputs if out.output_type == "execute_result")


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.full_name)
def test_a_notebook_holds_the_whole_lesson(lesson):
    made = notebook.lesson_notebook(lesson)
    nbformat.validate(made)
    code = "\n\n".join(cell.source for cell in made.cells if cell.cell_type == "code")
    kept = {ast.unparse(node) for node in ast.parse(code).body}
    assert {ast.unparse(node) for node in lesson.tree.body[1:]} <= kept
    assert notebook.as_text(lesson) == notebook.as_text(lesson.full_name)


@pytest.mark.parametrize("name", ["chapter08.clipping", "chapter06.pooling"])
def test_a_notebook_runs_from_top_to_bottom(name):
    made = notebook.lesson_notebook(catalog.find_lesson(name))
    parameters = next(cell for cell in made.cells if "parameters" in cell.metadata.get("tags", ()))
    parameters.source = parameters.source.replace('scale = "default"', 'scale = "smoke"')
    display = shown(execute(made).cells[-1])
    assert display.count("<tr>") > 5
    assert "data:image/png" in display


def test_the_way_in_shows_checks_and_figures():
    cells = [
        nbformat.v4.new_code_cell("from kerasnotes import run\nfrom kerasnotes.chapter08 import clipping"),
        nbformat.v4.new_code_cell("run(clipping, scale='smoke', steps=2)"),
    ]
    display = shown(execute(cells).cells[-1])
    assert "gradients (3, 4) and (12) have global norm 13" in display
    assert "data:image/png" in display


def test_a_wrong_setting_is_named_in_the_notebook():
    source = "from kerasnotes import run\nfrom kerasnotes.chapter08 import clipping\nrun(clipping, step=2)"
    with pytest.raises(CellExecutionError, match=r"has no such setting\. Did you mean steps"):
        execute([nbformat.v4.new_code_cell(source)])

"""The views of a report: what is in it must be seen, and nothing of it may be taken for markup."""

import base64
import io
import re

import matplotlib.pyplot as plt
import pytest
from rich.console import Console

from kerasnotes.course import render
from kerasnotes.course.report import Report


@pytest.fixture
def report():
    made = Report("chapter08.example", scale="smoke", settings={"steps": 3, "seed": 0})
    made.check("norm of [bold]<b>(3, 4)</b>", got=5.0, want=5.0)
    made.check("wrong sum", got=[1.0, 2.0], want=[1.0, 3.0])
    made.at_least("accuracy", got=0.5, bound=0.99, trained=True)
    made.at_most("loss", got=0.25, bound=0.5)
    made.table("speed", ["model", "ms a step", "accuracy"], [["MLP", 1.25, 0.98], ["[red]LeNet", None, 0.99]])
    figure, ax = plt.subplots()
    ax.plot([1, 2])
    made.figure("Loss falls", figure, alt='a line that "falls" & ends')
    made.note("Three steps <here>.")
    made.correction("sign", course="−2βy", correct="2βy", shown_by="tape")
    return made


def as_text(report):
    stream = io.StringIO()
    render.terminal(report.to_dict(), Console(file=stream, width=120))
    return stream.getvalue()


def test_the_terminal_shows_everything(report):
    text = as_text(report)
    for part in ("norm of [bold]<b>(3, 4)</b>", "wrong sum", "differs by 1", "skipped (smoke)", "0.25, at most 0.5",
                 "[red]LeNet", "loss-falls.png", "Three steps <here>.", "−2βy"):  # fmt: skip
        assert part in text
    symbols = {line.split()[0] for line in text.splitlines() if line.strip()[:1] in "✓✗–" and line.strip()}
    assert symbols == {"✓", "✗", "–"}


def test_a_skipped_check_is_never_shown_as_passed(report):
    line = next(line for line in as_text(report).splitlines() if "accuracy" in line and "ms a step" not in line)
    assert "✓" not in line
    assert "skipped (smoke)" in line


def test_html_is_self_contained_and_escaped(report):
    page = render.report_html(report.to_dict(), report.images)
    assert page.startswith("<!doctype html>")
    assert "<b>(3, 4)</b>" not in page
    assert "&lt;b&gt;(3, 4)" in page
    assert 'alt="a line that &#34;falls&#34; &amp; ends"' in page
    assert base64.b64encode(report.images["loss-falls.png"]).decode() in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "http" not in page


def test_a_notebook_shows_the_report(report):
    shown = report._repr_html_()
    assert shown.startswith('<div class="kn">')
    assert "data:image/png" in shown


def test_the_chapter_page_links_its_lessons(report):
    page = render.chapter_html(
        ("Chapter 08", "Recurrent networks", "循环神经网络"), "About.", [(report.to_dict(), report.images)]
    )
    assert 'href="#chapter08.example"' in page
    assert 'id="chapter08.example"' in page
    assert "循环神经网络" in page
    assert "2 checks hold, 1 fails, 1 skipped (smoke)" in page


def test_times_are_left_out_of_comparisons(report):
    stripped = render.without_times({**report.to_dict(), "times": {"seconds": 1.0}})
    assert "times" not in stripped
    table = next(record for record in stripped["records"] if record["kind"] == "table")
    assert table["columns"] == ["model", "accuracy"]
    assert table["rows"] == [["MLP", 0.98], ["[red]LeNet", 0.99]]


@pytest.mark.parametrize(
    ("value", "text"),
    [(61706, "61,706"), (0.123456, "0.1235"), (True, "True"), (None, "–"), ([1, 2.5], "[1, 2.5]"), ("a", "a"),
     ({"shape": [2, 3], "at": [0, 1], "value": 0.5}, "0.5 at [0, 1] of 2×3"), ({"shape": [2, 3]}, "array 2×3")],
)  # fmt: skip
def test_numbers(value, text):
    assert render.number(value) == text


def test_counts():
    assert render.counts_text({"passed": 1, "failed": 0, "skipped": 0}) == "1 check holds"
    assert render.counts_text({"passed": 2, "failed": 2, "skipped": 1}) == "2 checks hold, 2 fail, 1 skipped (smoke)"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_names_stay_whole_in_tables_of_any_width(width):
    names = ["tf.keras.losses.mean_squared_error", "optimizers.Optimizer.learning_rate", "tf.nn.softmax"]
    report = Report()
    report.table("calls", ["call", "state", "lesson"], [[name, "there", "chapter02.activations"] for name in names])
    console = Console(file=io.StringIO(), width=width)
    render.terminal(report.to_dict(), console)
    lines = console.file.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    for name in [*names, "chapter02.activations"]:
        assert any(name in line for line in lines), name


@pytest.mark.parametrize("column", ["seconds", "ms a step", "milliseconds a step", "µs", "microseconds", "second"])
def test_columns_of_times_are_left_out_of_comparisons(column):
    report = Report()
    report.table("steps", ["networks", column], [[1, 0.5]])
    (record,) = render.without_times(report.to_dict())["records"]
    assert (record["columns"], record["rows"]) == (["networks"], [[1]])

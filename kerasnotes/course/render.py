"""One report as terminal text, HTML, or plain data without times.

All views start from the report's dictionary, `Report.to_dict()`, so that a report read back from `report.json` looks
like one that has just been made.
"""

import base64
import functools
import itertools
import re
from pathlib import Path

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kerasnotes.course import language
from kerasnotes.course.language import word
from kerasnotes.course.terminal import broken

SYMBOLS = {"passed": ("✓", "green"), "failed": ("✗", "bold red"), "skipped": ("–", "yellow")}
INDENT, GAP = 2, 3  # characters before a block, and between the columns of a table
TEMPLATES = Path(__file__).with_name("templates")
TIME_COLUMN = re.compile(r"\b((milli|micro)?seconds?|ms|µs)\b")


def number(value):
    """A value of a report as short text: four digits for floats, thousands separated in counts."""
    if isinstance(value, bool) or value is None:
        return "–" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "[" + ", ".join(number(item) for item in value) + "]"
    if isinstance(value, dict):
        shape = "×".join(map(str, value["shape"]))
        return f"{number(value['value'])} at {value['at']} of {shape}" if "at" in value else f"array {shape}"
    return str(value)


def check_text(record):
    """What a check found, in words: `"13 equals 13"`, `"0.9912 at least 0.99"`."""
    got, want = number(record["got"]), number(record["want"])
    if record["status"] == "skipped":
        return "skipped (smoke)"
    if record["status"] == "failed":
        relation = "" if record["relation"] == "equals" else record["relation"] + " "
        return f"got {got}, want {relation}{want}: {record['reason']}"
    if record["relation"] != "equals":
        return f"{got}, {record['relation']} {want}"
    if record["difference"] is None:
        return f"all equal, {got}" if isinstance(record["got"], (list, dict)) else got
    if isinstance(record["got"], (list, dict)):
        return f"largest difference {number(record['difference'])}"
    return got if record["difference"] == 0.0 else f"{got}, expected {want}"


def counts_text(counts):
    """`"12 checks hold, 1 fails, 2 skipped (smoke)"`."""
    text = f"{counts['passed']} check{'' if counts['passed'] == 1 else 's'} hold{'s' if counts['passed'] == 1 else ''}"
    if counts["failed"]:
        text += f", {counts['failed']} fail{'s' if counts['failed'] == 1 else ''}"
    if counts["skipped"]:
        text += f", {counts['skipped']} skipped (smoke)"
    return text


def counts_words(counts):
    """How many checks hold, fail and are skipped, in the language of site and terminal."""
    if language.current() == "en":
        return counts_text(counts)
    parts = ("{} checks hold", counts["passed"]), ("{} fail", counts["failed"]), ("{} skipped", counts["skipped"])
    return "，".join(word(text).format(f"{count:,}") for text, count in parts if count or text == "{} checks hold")


def total_counts(reports):
    """The counts of several reports together."""
    every = [report["counts"] for report in reports]
    return {status: sum(counts[status] for counts in every) for status in SYMBOLS}


def without_times(report):
    """A copy of the report's dictionary without anything that may differ between two equal runs.

    Left out are the block `times`, and the columns of tables whose names speak of seconds or milliseconds.
    """
    report = {name: value for name, value in report.items() if name not in ("times", "digest")}
    report["records"] = [_table_without_times(r) if r["kind"] == "table" else r for r in report["records"]]
    return report


def _table_without_times(record):
    kept = [i for i, column in enumerate(record["columns"]) if not TIME_COLUMN.search(column)]
    columns = [record["columns"][i] for i in kept]
    return {**record, "columns": columns, "rows": [[row[i] for i in kept] for row in record["rows"]]}


def terminal(report, console):
    """Print one report to a rich console: checks, tables, notes, corrections; figures by their file names."""
    for kind, group in itertools.groupby(report["records"], key=lambda record: record["kind"]):
        if kind == "check":
            grid = Table.grid(padding=(0, 2))
            grid.add_column(no_wrap=True)
            grid.add_column()
            grid.add_column()
            for record in group:
                symbol, style = SYMBOLS[record["status"]]
                detail = Text(check_text(record), style="bold red" if record["status"] == "failed" else "dim")
                grid.add_row(Text(symbol, style=style), Text(record["label"]), detail)
            console.print(Padding(grid, (0, 0, 0, INDENT), expand=False))
            continue
        for record in group:
            block = _block(report["lesson"], kind, record, console.width - INDENT)
            console.print(Padding(block, (0, 0, 0, INDENT), expand=False))
    if report["error"]:
        console.print(Padding(Text(report["error"], style="red"), (0, 0, 0, 2), expand=False))


def _block(lesson, kind, record, width):
    if kind == "table":
        title = Text.assemble((f"{word('table')}  ", "cyan"), record["title"])
        columns, rows = record["columns"], [[number(cell) for cell in row] for row in record["rows"]]
        widths = _widths(list(zip(columns, *rows, strict=True)), width - GAP * (len(columns) - 1))
        if widths is None:
            title.append(f" ({columns[0]})" if columns[0] else "")
            return Group(title, *(_row_as_lines(columns, row) for row in rows))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for i, column in enumerate(columns):
            numeric = any(isinstance(row[i], (int, float)) for row in record["rows"])
            table.add_column(Text(column), justify="right" if numeric else "left", width=widths[i])
        for row in rows:
            table.add_row(*map(Text, row))
        return Group(title, table)
    if kind == "figure":
        return Text.assemble((f"{word('figure')}  ", "cyan"), record["file"])
    if kind == "note":
        return Text.assemble((f"{word('note')}  ", "cyan"), record["text"])
    record = language.correction(lesson, record)
    return Text.assemble(
        (f"{word('correction')}  ", "bold yellow"), (record["topic"], "bold"), *_correction_lines(record, width)
    )


def _correction_lines(record, width):
    """What the notes say, what is correct and what shows it, each beside its name, lines below each other."""
    names = {"course": "the notes", "correct": "correct", "shown_by": "shown by"}
    names = {key: f"{word(name)}{word(': ')}".rstrip() for key, name in names.items()}
    beside = 2 + max(map(cell_len, names.values())) + 2
    for key, name in names.items():
        for i, line in enumerate(broken(record[key], width - beside)):
            yield "\n" + set_cell_size("" if i else f"  {name}", beside) + line


def _widths(columns, width):
    """Widths that leave every word whole and add up to `width` at most, or None: then a row becomes several lines."""
    widths = [max(cell_len(part) for text in column for part in ["", *text.split()]) for column in columns]
    wanted = [max(map(cell_len, column)) for column in columns]
    if sum(widths) > width:
        return None
    while sum(widths) < min(width, sum(wanted)):
        missing = [most - now for most, now in zip(wanted, widths, strict=True)]
        widths[missing.index(max(missing))] += 1
    return widths


def _row_as_lines(columns, row):
    """A row that is too wide for a table: its first cell, then what the other columns say of it."""
    rest = "; ".join(
        f"{column} {cell}" for column, cell in zip(columns[1:], row[1:], strict=True) if cell not in ("", "–")
    )
    return Text.assemble((row[0], "bold"), f": {rest}" if rest else "")


def report_html(report, images, standalone=True):
    """One report as HTML, figures inside.

    Args:
        report: The report's dictionary.
        images: `{file name: bytes of a PNG or GIF}`.
        standalone: True gives a whole page, False a part of one (a notebook's display).
    """
    return _template("report.html").render(report=report, images=images, standalone=standalone)


def chapter_html(titles, about, reports):
    """A chapter's reports as one self-contained page.

    Args:
        titles: `(number, English title, Chinese title)`.
        about: What the chapter is about, one paragraph.
        reports: List of `(report, images)` in the chapter's order.
    """
    counts = total_counts(report for report, _ in reports)
    return _template("chapter.html").render(titles=titles, about=about, counts=counts, reports=reports)


def tables_html(title, about, sections, images):
    """A self-contained page of tables and figures.

    Args:
        title: The page's heading.
        about: One paragraph of text.
        sections: List of `(heading, columns, rows)`, rows of texts.
        images: `{file name: PNG bytes}`, shown at the end.
    """
    return _template("tables.html").render(title=title, about=about, sections=sections, images=images)


def judged_html(title, lines):
    """What a check of an exercise found, as part of a page: pairs `(kind, line)` below a title."""
    return _template("judged.html").render(title=title, lines=list(lines))


def facts(report):
    """Scale, seed, settings, seconds and memory of a run, as short texts."""
    times = report.get("times") or {}
    settings = [f"{name} {number(value)}" for name, value in report["settings"].items() if name != "seed"]
    found = [f"scale {report['scale']}", f"seed {report['seed']}", *settings]
    if times.get("seconds") is not None:
        found.append(f"{times['seconds']:.1f} s")
    if times.get("peak_memory_mb") is not None:
        found.append(f"{times['peak_memory_mb']:,} MB at most")
    return found


def blocks(report):
    """The report's records in their order, `(kind, records)`: checks that follow each other together."""
    for kind, group in itertools.groupby(report["records"], key=lambda record: record["kind"]):
        records = list(group)
        yield from [(kind, records)] if kind == "check" else [(kind, [record]) for record in records]


def _data_url(name, image):
    return f"data:image/{name.rpartition('.')[2]};base64," + base64.b64encode(image).decode("ascii")


@functools.cache
def _template(name):
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.globals.update(
        blocks=blocks, check_text=check_text, counts_text=counts_text, data_url=_data_url, facts=facts,
        style=jinja2.filters.do_mark_safe((TEMPLATES / "report.css").read_text(encoding="utf-8")), symbols=SYMBOLS,
    )  # fmt: skip
    environment.filters["number"] = number
    return environment.get_template(name)

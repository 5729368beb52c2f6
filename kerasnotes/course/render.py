"""One report as terminal text, HTML, or plain data without times.

All views start from the report's dictionary, `Report.to_dict()`, so that a report read back from `report.json` looks
like one that has just been made.
"""

import base64
import html
import itertools
import re

from rich import box
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

SYMBOLS = {"passed": ("✓", "green"), "failed": ("✗", "bold red"), "skipped": ("–", "yellow")}
TIME_COLUMN = re.compile(r"\b(seconds?|ms|µs)\b")

CSS = """
.kn { font: 16px/1.5 system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif; color: #1b1f24; background: #fff; }
.kn { max-width: 62rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
.kn h1, .kn h2, .kn h3 { line-height: 1.25; } .kn h2 { margin-top: 2.5rem; border-top: 1px solid #d0d7de; }
.kn h2 { padding-top: 1.2rem; } .kn .sub, .kn figcaption { color: #57606a; } .kn .wide { overflow-x: auto; }
.kn table { border-collapse: collapse; margin: .5rem 0 1rem; font-size: .92em; font-variant-numeric: tabular-nums; }
.kn th, .kn td { padding: .25rem .7rem; border-bottom: 1px solid #d0d7de; text-align: left; vertical-align: top; }
.kn figure { margin: 1rem 0; } .kn img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
.kn .passed { color: #1a6b3c; } .kn .failed, .kn .error { color: #b3261e; font-weight: 600; }
.kn .skipped { color: #7a5b00; } .kn pre { overflow-x: auto; padding: .8rem; background: #f6f8fa; }
.kn .correction { border-left: 4px solid #c85200; padding: .2rem 1rem; margin: 1rem 0; }
.kn .note { border-left: 4px solid #5f9ed1; padding: .2rem 1rem; margin: 1rem 0; }
@media (prefers-color-scheme: dark) {
  .kn, body.kn-page { color: #e6edf3; background: #0d1117; } .kn .sub, .kn figcaption { color: #9da7b1; }
  .kn th, .kn td, .kn h2 { border-color: #30363d; } .kn pre { background: #161b22; } .kn a { color: #79b8ff; }
  .kn .passed { color: #56d364; } .kn .failed, .kn .error { color: #ff8b84; } .kn .skipped { color: #e3b341; }
}
"""


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


def total_counts(reports):
    """The counts of several reports together."""
    every = [report["counts"] for report in reports]
    return {status: sum(counts[status] for counts in every) for status in SYMBOLS}


def without_times(report):
    """A copy of the report's dictionary without anything that may differ between two equal runs.

    Left out are the block `times`, and the columns of tables whose names speak of seconds or milliseconds.
    """
    report = {name: value for name, value in report.items() if name != "times"}
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
            console.print(Padding(grid, (0, 0, 0, 2), expand=False))
            continue
        for record in group:
            console.print(Padding(_block(kind, record), (0, 0, 0, 2), expand=False))
    if report["error"]:
        console.print(Padding(Text(report["error"], style="red"), (0, 0, 0, 2), expand=False))


def _block(kind, record):
    if kind == "table":
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for i, column in enumerate(record["columns"]):
            numeric = any(isinstance(row[i], (int, float)) for row in record["rows"])
            table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
        for row in record["rows"]:
            table.add_row(*(Text(number(cell)) for cell in row))
        return Group(Text.assemble(("table  ", "cyan"), record["title"]), table)
    if kind == "figure":
        return Text.assemble(("figure  ", "cyan"), record["file"])
    if kind == "note":
        return Text.assemble(("note  ", "cyan"), record["text"])
    return Text.assemble(
        ("correction  ", "bold yellow"),
        (record["topic"] + "\n", "bold"),
        f"  the notes:  {record['course']}\n  correct:    {record['correct']}\n  shown by:   {record['shown_by']}",
    )


def report_html(report, images, standalone=True):
    """One report as HTML, figures inside.

    Args:
        report: The report's dictionary.
        images: `{file name: bytes of a PNG or GIF}`.
        standalone: True gives a whole page, False a part of one (a notebook's display).
    """
    part = f'<div class="kn"><style>{CSS}</style>{_lesson_html(report, images)}</div>'
    return _page(report["lesson"], part) if standalone else part


def chapter_html(titles, about, reports):
    """A chapter's reports as one self-contained page.

    Args:
        titles: `(number, English title, Chinese title)`.
        about: What the chapter is about, one paragraph.
        reports: List of `(report, images)` in the chapter's order.
    """
    counts = total_counts(report for report, _ in reports)
    links = "".join(
        f'<li><a href="#{_e(report["lesson"])}">{_e(report["lesson"].partition(".")[2])}</a>: '
        f"{_e(report.get('point', ''))} "
        f'<span class="{report["status"]}">{_e(counts_text(report["counts"]))}</span></li>'
        for report, _ in reports
    )
    heading = " · ".join(_e(title) for title in titles if title)
    body = f'<h1>{heading}</h1><p class="sub">{_e(about)}</p><p>{_e(counts_text(counts))}</p><ol>{links}</ol>'
    body += "".join(_lesson_html(report, images) for report, images in reports)
    return _page(f"{titles[0]} · {titles[1]}", f'<main class="kn">{body}</main>')


def tables_html(title, about, sections, images):
    """A self-contained page of tables and figures.

    Args:
        title: The page's heading.
        about: One paragraph of text.
        sections: List of `(heading, columns, rows)`, rows of texts.
        images: `{file name: PNG bytes}`, shown at the end.
    """
    body = f'<h1>{_e(title)}</h1><p class="sub">{_e(about)}</p>'
    for heading, columns, rows in sections:
        body += f"<h2>{_e(heading)}</h2>" + _rows_html(map(_e, columns), ([_e(cell) for cell in row] for row in rows))
    for name, image in images.items():
        body += f'<figure><img src="{_data_url(name, image)}" alt="{_e(name)}"></figure>'
    return _page(title, f'<main class="kn">{body}</main>')


def _page(title, body):
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_e(title)}</title><style>body{{margin:0}}{CSS}</style></head>"
        f'<body class="kn-page">{body}</body></html>\n'
    )


def _lesson_html(report, images):
    times = report.get("times") or {}
    facts = [f"{name} {number(value)}" for name, value in report["settings"].items()]
    facts = [f"scale {report['scale']}", f"seed {report['seed']}", *(f for f in facts if not f.startswith("seed "))]
    if times.get("seconds") is not None:
        facts.append(f"{times['seconds']:.1f} s")
    if times.get("peak_memory_mb") is not None:
        facts.append(f"{times['peak_memory_mb']:,} MB at most")
    parts = [
        f'<h2 id="{_e(report["lesson"])}">{_e(report["lesson"])}</h2>',
        f"<p><strong>{_e(report['point'])}</strong></p>" if report.get("point") else "",
        f'<p class="sub">{_e(" · ".join(facts))}</p>',
    ]
    for kind, group in itertools.groupby(report["records"], key=lambda record: record["kind"]):
        if kind == "check":
            parts.append(_rows_html(("", "check", "found"), map(_check_cells, group)))
            continue
        parts += [_block_html(kind, record, images) for record in group]
    if report["error"]:
        parts.append(f'<pre class="error">{_e(report["error"])}</pre>')
    return f"<section>{''.join(parts)}</section>"


def _check_cells(record):
    status = record["status"]
    symbol = f'<span class="{status}" title="{status}">{SYMBOLS[status][0]}</span>'
    return symbol, _e(record["label"]), f'<span class="{status}">{_e(check_text(record))}</span>'


def _block_html(kind, record, images):
    if kind == "table":
        rows = ([_e(number(cell)) for cell in row] for row in record["rows"])
        return f"<h3>{_e(record['title'])}</h3>" + _rows_html(map(_e, record["columns"]), rows)
    if kind == "figure":
        source = _data_url(record["file"], images[record["file"]])
        caption = f"<figcaption>{_e(record['title'])}</figcaption>"
        return f'<figure><img src="{source}" alt="{_e(record["alt"])}">{caption}</figure>'
    if kind == "note":
        return f'<p class="note">{_e(record["text"])}</p>'
    return (
        f'<div class="correction"><p><strong>Correction: {_e(record["topic"])}</strong></p>'
        f"<p>The notes: {_e(record['course'])}<br>Correct: {_e(record['correct'])}<br>"
        f"Shown by: {_e(record['shown_by'])}</p></div>"
    )


def _data_url(name, image):
    return f"data:image/{name.rpartition('.')[2]};base64," + base64.b64encode(image).decode("ascii")


def _rows_html(columns, rows):
    head = "".join(f"<th>{column}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _e(text):
    return html.escape(str(text), quote=True)

"""Builds the site: pages of reading, lessons with their code, and recorded runs. It runs no lesson.

The pages in `chapters/` are copied, a page for every lesson and the indexes are written, and Sphinx makes HTML of them.
What a page includes by name comes from `site_directives.py`. A name, link or result that is not there fails the build.
"""

import importlib.util
import re
import shutil
import tempfile
from pathlib import Path

from kerasnotes import __version__
from kerasnotes.course import catalog, exercises, records, render, store

PAGES = catalog.PACKAGE.parent / "chapters"
NEEDED = ("sphinx", "myst_parser", "furo", "sphinx_copybutton", "nbformat")
EXTENSIONS = ["myst_parser", "sphinx_copybutton", "sphinx-mathjax-offline", "kerasnotes.course.site_directives"]
# A figure as every viewer of Markdown draws it; the site adds what the report says of it.
RESULT_IMAGE = r"^!\[[^\]]*\]\(results/(chapter\d\d)/(\w+)/([^)]+)\)$"
FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#006ba4"/>'
    '<path d="M4 12V4m7 0-6 4 6 4" fill="none" stroke="#fff" stroke-width="2"/></svg>'
)


class SiteError(catalog.UsageError):
    """The site cannot be built; the message names the pages and what they lack."""


def add_arguments(parser):
    """The options of `python -m kerasnotes site`."""
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="show your own runs: a folder that --out of a run has made"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/site"), metavar="DIR", help="folder for the site (default out/site)"
    )
    parser.add_argument(
        "--draft", action="store_true", help="show results also where they are stale, of smoke scale, or do not hold"
    )


def main(options, console):
    """Build the site as the command line asks. Returns the exit code."""
    out = options.out
    results = options.results or catalog.results_directory()
    if options.results is not None and not options.results.is_dir():
        raise catalog.UsageError(f"--results: expected a folder with reports, got {options.results}")
    store.check_place(out, "--out")
    try:
        build(PAGES, results, out, draft=options.draft, say=lambda text: console.print(text, style="dim"))
    except SiteError as error:
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    console.print(f"the site: {out / 'index.html'}")
    return 0


def build(pages, results, out, *, chapters=None, draft=False, say=lambda text: None):
    """Build the site.

    Args:
        pages: Folder with the pages `chapterNN.md`.
        results: Folder with reports, as `--out` of a run leaves them, or of the recorded runs.
        out: Folder for the site; it is replaced as a whole when the build succeeds.
        chapters: The chapters to show; all that there are by default.
        draft: Whether to show stale results, those of smoke scale, and those that do not hold.
        say: Called with a line of text about what is done.

    Raises:
        SiteError: If a package, a page or a result is missing, or a page names what does not exist.
    """
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        raise SiteError(f'the site needs {", ".join(lacking)}: pip install -e ".[docs]"')
    pages, results, out = Path(pages), Path(results), Path(out)
    if not pages.is_dir():
        raise SiteError(f"no pages in {pages}: the site is built in a clone of the project, where chapters/ is")
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / "objects.inv").exists())):
        raise SiteError(f"--out: {out} holds something else than a site; choose another folder")
    chapters = tuple(catalog.chapters() if chapters is None else chapters)
    reports = _reports(chapters, results, draft)
    missing = [f"{chapter.name}.md" for chapter in chapters if not (pages / f"{chapter.name}.md").is_file()]
    if missing:
        raise SiteError(f"{pages}: expected a page for every chapter, missing {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "site"
        say(f"writing {len(chapters)} chapters, {len(reports)} lessons …")
        _write_sources(source, pages, chapters, reports, results)
        say("Sphinx turns them into HTML …")
        _run_sphinx(source, target, Path(folder) / "doctrees", reports)
        if out.exists():
            shutil.rmtree(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(target, out)


def _reports(chapters, results, draft):
    """`{lesson's full name: report}`; raises if one is missing, or shows what a run today would not."""
    reports, missing, wrong, prints = {}, {}, [], records.fingerprints()
    recorded = results.resolve() == catalog.results_directory().resolve()
    for chapter in chapters:
        for lesson in chapter.lessons:
            stored = store.load(results / chapter.name / lesson.name)
            if stored is None:
                missing.setdefault(chapter.name, []).append(lesson.name)
                continue
            reports[lesson.full_name] = {**stored[0], "recorded": recorded}
            reason = (
                records.reason_to_run(lesson, prints) if recorded else _reason_not_to_show(lesson, stored[0], prints)
            )
            if reason:
                wrong.append(f"{lesson.full_name}: {reason}")
    if missing:
        lines = [f"page {name}: no results of {', '.join(names)} in {results}" for name, names in missing.items()]
        commands = [f"python -m kerasnotes.{name} --out {results} --resume" for name in missing]
        if recorded:
            commands = ["python -m kerasnotes record"]
        raise SiteError("\n".join([*lines, "These commands make them:", *commands]))
    if wrong and not draft:
        remedy = "python -m kerasnotes record runs them again" if recorded else "run them again"
        raise SiteError(
            "\n".join(["these results are no findings:", *wrong, f"{remedy}; --draft shows them all the same."])
        )
    return reports


def _reason_not_to_show(lesson, report, prints):
    """Why a run of the reader's own is no finding, or None."""
    if not store.untouched(report):
        return "the report was changed by hand"
    if report["scale"] == "smoke":
        return "a run of smoke scale, which trains nothing"
    if report["status"] != "passed":
        return "its checks do not all hold"
    if report.get("fingerprint") != prints.of(lesson):
        return "the lesson has changed since this run"
    return None


def origin_text(reports):
    """Where results come from, in words: recorded or the reader's own, scale, dates, versions."""
    kinds = sorted({"recorded" if report.get("recorded") else "your own run" for report in reports})
    scales = sorted({report["scale"] for report in reports})
    dates = sorted({report["times"]["date"] for report in reports if report.get("times", {}).get("date")})
    span = f" {dates[0]}" + (f" to {dates[-1]}" if len(dates) > 1 else "") if dates else ""
    versions = {
        name: sorted({report["versions"][name] or "?" for report in reports}) for name in ("tensorflow", "keras")
    }
    used = ", ".join(
        f"{title} {' and '.join(versions[name])}" for name, title in (("tensorflow", "TensorFlow"), ("keras", "Keras"))
    )
    return f"{' and '.join(kinds)}{span}, {' and '.join(scales)} scale, {used}"


# --- the sources that Sphinx reads -----------------------------------------------------------------------------------


def _write_sources(source, pages, chapters, reports, results):
    for chapter in chapters:
        text = (pages / f"{chapter.name}.md").read_text(encoding="utf-8")
        text = re.sub(r"^:(title|labels): *", "", text, flags=re.M)  # to directives these are content, not options
        text = re.sub(RESULT_IMAGE, r"```{result-figure} \1.\2\n\3\n```", text, flags=re.M)
        text += f"\n```{{origin}} {chapter.name}\n```\n"
        lessons = "\n".join(f"../lessons/{lesson.full_name}" for lesson in chapter.lessons)
        text += f"\n```{{toctree}}\n:hidden:\n\n{lessons}\n```\n"
        _write(source / "chapters" / f"{chapter.name}.md", text)
        if exercises.of_chapter(chapter):
            _write(source / "downloads" / f"{chapter.name}.exercises.ipynb", _exercises_text(chapter))
        for lesson in chapter.lessons:
            _write(source / "lessons" / f"{lesson.full_name}.md", _lesson_page(lesson, reports[lesson.full_name]))
            _write(source / "downloads" / f"{lesson.full_name}.py", lesson.source)
            _write(source / "downloads" / f"{lesson.full_name}.ipynb", _notebook_text(lesson))
            for record in reports[lesson.full_name]["records"]:
                if record["kind"] == "figure":
                    target = source / "figures" / lesson.full_name / record["file"]
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(results / chapter.name / lesson.name / record["file"], target)
    _write(source / "index.md", _front_page(chapters, reports, (pages / "tools.md").is_file()))
    _write(source / "records.md", _records_page(reports))
    if (pages / "tools.md").is_file():
        text = (pages / "tools.md").read_text(encoding="utf-8").replace("](results/README.md)", "](records.md)")
        _write(source / "tools.md", text)
    _write(source / "names.md", "# All public names\n\n```{all-names}\n```\n")
    _write(source / "corrections.md", "# Corrections to the course's notes\n\n```{all-corrections}\n```\n")
    _write(source / "apis.md", "# Calls that the course documents\n\n```{all-apis}\n```\n")
    _write(source / "_static" / "favicon.svg", FAVICON)
    shutil.copyfile(Path(__file__).with_name("site.css"), source / "_static" / "site.css")


def _records_page(reports):
    """The table of recorded runs, with links to the lessons' pages instead of files."""
    entries = {name: entry for name, entry in records.gather().items() if name in reports}
    text = records.table(entries)
    return re.sub(r"\[(chapter\d\d\.\w+)\]\([^)]*\)", r"{doc}`\1 <lessons/\1>`", text)


def _notebook_text(lesson):
    from kerasnotes.course import notebook

    return notebook.as_text(lesson)


def _exercises_text(chapter):
    from kerasnotes.course import notebook

    return notebook.exercises_as_text(chapter)


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _front_page(chapters, reports, tools):
    counts = render.total_counts(reports.values())
    lines = [
        "# kerasnotes",
        "",
        "Deep-learning notes that you can run, check and copy: the companion of a course on Keras and TensorFlow.",
        f"{len(reports)} lessons measure what the course says. In the runs that are shown here "
        f"{render.counts_text(counts)}.",
        "",
        f"*Results: {origin_text(list(reports.values()))}.*",
        "",
        "Read a chapter, look at what its lessons measured, copy a listing and run it: each is a whole program.",
        "",
        "```{gallery}\n```",
        "",
        "```{toctree}",
        ":caption: Chapters",
        ":maxdepth: 1",
        "",
        *(f"chapters/{chapter.name}" for chapter in chapters),
        "```",
        "",
        "```{toctree}",
        ":caption: Indexes",
        ":maxdepth: 1",
        "",
        *(["tools"] if tools else []),
        "records",
        "names",
        "apis",
        "corrections",
        "```",
        "",
    ]
    return "\n".join(lines)


def _lesson_page(lesson, report):
    point, _, rest = report_docstring(lesson)
    command = f"python -m kerasnotes.{lesson.chapter} {lesson.name}"
    lines = [
        f"# {lesson.full_name}",
        "",
        f"**{_escape(point)}**",
        "",
        *(_escape(rest).split("\n")),
        "",
        f"Chapter: {{doc}}`../chapters/{lesson.chapter}`. Download: "
        f"{{download}}`{lesson.name}.py <../downloads/{lesson.full_name}.py>`, "
        f"{{download}}`{lesson.name}.ipynb <../downloads/{lesson.full_name}.ipynb>`. Run it:",
        "",
        f"```console\n{command}\n```",
        "",
        *(["## Example", "", f"```{{example}} {lesson.full_name}\n```", ""] if lesson.has_example else []),
        "## Settings",
        "",
        f"```{{settings}} {lesson.full_name}\n```",
        "",
        "## Results",
        "",
        f"```{{results}} {lesson.full_name}\n```",
        "",
        "## Listings",
        "",
        "Each listing shows the function or class itself; what it needs is folded below it, and copying gives both.",
        "",
    ]
    for name in lesson.public_names:
        lines += [
            f"({label(lesson, name)})=",
            f"### `{name}`",
            "",
            f"```{{listing}} {lesson.full_name}.{name}\n```",
            "",
        ]
    lines += ["## The whole lesson", "", f"```{{whole-lesson}} {lesson.full_name}\n```", ""]
    return "\n".join(lines)


def report_docstring(lesson):
    """`(point, blank, rest)` of the lesson's docstring, with line breaks kept where a new field begins."""
    import ast

    point, blank, rest = (ast.get_docstring(lesson.tree) or "").partition("\n")
    return point, blank, re.sub(r"\n(Notes|Source):", r"\n\n\1:", rest).strip()


def _escape(text):
    """Plain text as Markdown that shows it unchanged; `code` stays code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\\*_\[\]<>$#|{}])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def label(lesson, name):
    """The link target of a public name: lower case, as Sphinx compares them, and still unique within the lesson."""
    twins = [other for other in lesson.public_names if other.lower() == name.lower()]
    number = twins.index(name)
    return f"{lesson.full_name}.{name}".lower() + (f"-{number + 1}" if number else "")


def _run_sphinx(source, target, doctrees, reports):
    from io import StringIO

    from docutils.utils import SystemMessage
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError

    warnings = StringIO()
    settings = {
        "project": "kerasnotes",
        "author": "The kerasnotes authors",
        "version": __version__,
        "release": __version__,
        "html_title": "kerasnotes",
        "extensions": EXTENSIONS,
        "html_theme": "furo",
        "html_static_path": ["_static"],
        "html_css_files": ["site.css"],
        "html_favicon": "_static/favicon.svg",
        "html_show_sphinx": False,
        "html_show_copyright": False,
        "copybutton_selector": "div.highlight > pre",
        "html_copy_source": False,
        "html_show_sourcelink": False,
        "myst_enable_extensions": ["dollarmath", "amsmath"],
        "myst_heading_anchors": 2,
        "nitpicky": True,
        "pygments_style": "friendly",
        "kerasnotes_reports": reports,
        "exclude_patterns": ["downloads"],
        "suppress_warnings": ["config.cache"],
    }
    try:
        app = Sphinx(
            srcdir=source, confdir=None, outdir=target, doctreedir=doctrees, buildername="html",
            confoverrides=settings, status=None, warning=warnings, freshenv=True,
        )  # fmt: skip
        app.build()
    except (SphinxError, SystemMessage) as error:
        raise SiteError(f"Sphinx: {error}\n{warnings.getvalue()}") from error
    text = re.sub(r"\x1b\[[0-9;]*m", "", warnings.getvalue()).replace(str(source) + "/", "")
    if app.statuscode or text.strip():
        raise SiteError(f"these pages are wrong:\n{text.strip()}")


def api_rows():
    """The rows of chapter 16's table of calls, or an empty list where the course has no chapter 16."""
    from kerasnotes.chapter16.summary import api_table
    from kerasnotes.course.run import import_tensorflow

    import_tensorflow()
    return api_table()

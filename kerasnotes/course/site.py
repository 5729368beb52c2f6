"""Builds the site: pages of reading, lessons with their code, and recorded runs. It runs no lesson.

The pages in `chapters/` are copied, a page for every lesson and the indexes are written, and Sphinx makes HTML of them,
once in English and once, below `zh/`, in Chinese. What a page includes by name comes from `site_directives.py`, its
Chinese from the catalogues in `chapters/locale`. A name, link or result that is not there fails the build.
"""

import functools
import importlib.util
import json
import re
import shutil
import tempfile
from pathlib import Path

from kerasnotes import __version__
from kerasnotes.course import catalog, exercises, language, records, render, store
from kerasnotes.course.language import word

PAGES = catalog.PACKAGE.parent / "chapters"
NEEDED = ("sphinx", "myst_parser", "furo", "sphinx_copybutton", "sphinx_intl", "nbformat")
EXTENSIONS = [
    "myst_parser",
    "sphinx_copybutton",
    "kerasnotes.course.site_directives",
    "kerasnotes.course.site_languages",
]
MATHJAX = "sphinx-mathjax-offline"
OTHER_PAGES = ("glossary", "tools")
# Words of the theme that neither it nor Sphinx has in Chinese, exactly as its templates write them.
THEME = ("Next", "Previous", "Home", "On this page", "Back to top", "Made with ", "\n  Skip to content\n  ")
RECORDS = ("](results/README.md)", "](records.md)")
CODES = {"en": "en", "zh": "zh_CN"}  # as Sphinx and gettext write them; HTML has a hyphen
FOLDERS = {"en": "", "zh": "zh/"}
# A figure as every viewer of Markdown draws it; the site adds what the report says of it.
RESULT_IMAGE = r"^!\[[^\]]*\]\(results/(chapter\d\d)/(\w+)/([^)]+)\)$"
SIDEBAR = [
    "sidebar/brand.html",
    "languages.html",
    "sidebar/search.html",
    "sidebar/scroll-start.html",
    "sidebar/navigation.html",
    "sidebar/scroll-end.html",
]
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
    parser.add_argument(
        "--catalogues", action="store_true", help="build nothing: bring the Chinese in chapters/locale up to date"
    )


def main(options, console):
    """Build the site as the command line asks. Returns the exit code."""
    if options.catalogues:
        from kerasnotes.course import catalogues

        return catalogues.main(console)
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
        target = Path(folder) / "site"
        for each in language.LANGUAGES:
            source = Path(folder) / each
            with language.using(each):
                say(f"{CODES[each]}: writing {len(chapters)} chapters, {len(reports)} lessons …")
                _write_sources(source, pages, chapters, reports, results)
                say(f"{CODES[each]}: Sphinx turns them into HTML …")
                _run_sphinx(source, target / FOLDERS[each], Path(folder) / f"doctrees-{each}", reports, each)
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
    kinds = sorted({word("recorded" if report.get("recorded") else "your own run") for report in reports})
    scales = sorted({report["scale"] for report in reports})
    dates = sorted({report["times"]["date"] for report in reports if report.get("times", {}).get("date")})
    span = f" {dates[0]}" + (f" {word('to')} {dates[-1]}" if len(dates) > 1 else "") if dates else ""
    versions = {
        name: sorted({report["versions"][name] or "?" for report in reports}) for name in ("tensorflow", "keras")
    }
    both = f" {word('and')} "
    comma = word(", ")
    used = comma.join(
        f"{title} {both.join(versions[name])}" for name, title in (("tensorflow", "TensorFlow"), ("keras", "Keras"))
    )
    return comma.join([f"{both.join(kinds)}{span}", f"{both.join(scales)} {word('scale')}", used])


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
    others = [name for name in OTHER_PAGES if (pages / f"{name}.md").is_file()]
    for name in others:
        text = (pages / f"{name}.md").read_text(encoding="utf-8").replace(*RECORDS)
        absent = [found for found in re.findall(r"\{lesson\}`([^`]+)`", text) if found not in reports]
        for lesson in absent:  # in a site of some chapters only
            text = text.replace(f"{{lesson}}`{lesson}`", f"`{lesson}`")
        _write(source / f"{name}.md", text)
    _write(source / "index.md", _front_page(chapters, reports, others))
    _write(source / "records.md", _records_page(reports))
    for name, heading, directive in (
        ("names", "All public names", "all-names"),
        ("corrections", "Corrections to the course's notes", "all-corrections"),
        ("apis", "Calls that the course documents", "all-apis"),
    ):
        _write(source / f"{name}.md", f"# {word(heading)}\n\n```{{{directive}}}\n```\n")
    if language.current() != "en":
        _copy_catalogues(pages, source / "locale" / CODES[language.current()] / "LC_MESSAGES")
    _write(source / "_static" / "favicon.svg", FAVICON)
    shutil.copyfile(Path(__file__).with_name("site.css"), source / "_static" / "site.css")


def _copy_catalogues(pages, target):
    """The pages' Chinese, each catalogue where Sphinx looks for it: a chapter's page stands in a folder there."""
    for path in sorted((pages / "locale" / CODES["zh"] / "LC_MESSAGES").glob("*.po")):
        place = target / ("chapters" if path.stem.startswith("chapter") else "") / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    theme = "".join(
        f"msgid {json.dumps(text)}\nmsgstr {json.dumps(word(text), ensure_ascii=False)}\n\n" for text in THEME
    )
    _write(target / "sphinx.po", 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n' + theme)


def _records_page(reports):
    """The table of recorded runs, with links to the lessons' pages instead of files."""
    entries = {name: entry for name, entry in records.gather().items() if name in reports}
    text = records.table(entries, say=word)
    return re.sub(r"\[(chapter\d\d\.\w+)\]\([^)]*\)", r"{lesson}`\1`", text)


def _notebook_text(lesson):
    from kerasnotes.course import notebook

    return notebook.as_text(lesson)


def _exercises_text(chapter):
    from kerasnotes.course import notebook

    return notebook.exercises_as_text(chapter)


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _front_page(chapters, reports, others):
    counts = render.total_counts(reports.values())
    measured = word("{lessons} lessons measure what the course says. In the runs that are shown here {counts}.")
    lines = [
        "# kerasnotes",
        "",
        word(
            "Deep-learning notes that you can run, check and copy: the companion of a course on Keras and TensorFlow."
        ),
        measured.format(lessons=len(reports), counts=render.counts_words(counts)),
        "",
        f"*{word('Results: {}.').format(origin_text(list(reports.values())))}*",
        "",
        word("Read a chapter, look at what its lessons measured, copy a listing and run it: each is a whole program."),
        "",
        "```{gallery}\n```",
        "",
        *_toctree(word("Chapters"), [f"chapters/{chapter.name}" for chapter in chapters]),
        *_toctree(word("Indexes"), [*others, "records", "names", "apis", "corrections"]),
    ]
    return "\n".join(lines)


def _toctree(caption, pages):
    return ["```{toctree}", f":caption: {caption}", ":maxdepth: 1", "", *pages, "```", ""]


def _lesson_page(lesson, report):
    _, _, rest = report_docstring(lesson)
    command = f"python -m kerasnotes.{lesson.chapter} {lesson.name}"
    links = word("Chapter: {chapter}. Download: {program}, {notebook}. Run it:").format(
        chapter=f"{{doc}}`../chapters/{lesson.chapter}`",
        program=f"{{download}}`{lesson.name}.py <../downloads/{lesson.full_name}.py>`",
        notebook=f"{{download}}`{lesson.name}.ipynb <../downloads/{lesson.full_name}.ipynb>`",
    )
    listings = (
        "Each listing shows the function or class itself; what it needs is folded below it, and copying gives both."
    )
    lines = [
        f"# {language.title(lesson)}",
        "",
        f"**{_escape(language.point(lesson))}**",
        "",
        *_names(lesson),
        *(_escape(rest).split("\n")),
        "",
        links,
        "",
        f"```console\n{command}\n```",
        "",
        *([f"## {word('Example')}", "", f"```{{example}} {lesson.full_name}\n```", ""] if lesson.has_example else []),
        f"## {word('Settings')}",
        "",
        f"```{{settings}} {lesson.full_name}\n```",
        "",
        f"## {word('Results')}",
        "",
        f"```{{results}} {lesson.full_name}\n```",
        "",
        f"## {word('Listings')}",
        "",
        word(listings),
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
    lines += [f"## {word('The whole lesson')}", "", f"```{{whole-lesson}} {lesson.full_name}\n```", ""]
    return "\n".join(lines)


def _names(lesson):
    """The lesson's names in the other language and in other books, by which search finds it; Markdown lines."""
    names = [_escape(name) for name in language.names(lesson)]
    if not names:
        return []
    if language.current() == "en":
        return [f"中文：{'、'.join(names)}。", ""]
    also = f"。又称或相关：{'、'.join(names[1:])}" if names[1:] else ""
    return [f"`{lesson.full_name}`{also}。", "", f"*{_escape(lesson.point)}*", ""]


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


def _run_sphinx(source, target, doctrees, reports, lang):
    from io import StringIO

    from docutils.utils import SystemMessage
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError
    from sphinx.util.docutils import docutils_namespace

    warnings = StringIO()
    settings = {
        "project": "kerasnotes",
        "author": "The kerasnotes authors",
        "version": __version__,
        "release": __version__,
        "html_title": "kerasnotes",
        "extensions": [*EXTENSIONS, MATHJAX] if lang == "en" else EXTENSIONS,
        "language": CODES[lang],
        "kerasnotes_language": lang,
        "locale_dirs": ["locale"],
        "gettext_compact": False,
        "html_search_language": "pairs",
        "templates_path": [str(Path(__file__).with_name("templates") / "site")],
        "html_sidebars": {"**": SIDEBAR},
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
    if lang != "en":
        settings["mathjax_path"] = "../../_static/mathjax/tex-chtml.js"  # 24 MB that the first language has brought
    try:
        with docutils_namespace():  # what one language's build registers is forgotten before the next
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


@functools.cache
def api_rows():
    """The rows of chapter 16's table of calls, or an empty list where the course has no chapter 16."""
    from kerasnotes.chapter16.summary import api_table
    from kerasnotes.course.run import import_tensorflow

    import_tensorflow()
    return api_table()

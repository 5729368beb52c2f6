"""The names by which pages include code and results, as a Sphinx extension: `listing`, `result-figure`, `measured` …

A page holds neither code nor results. What it names is looked up in the lessons' source and in the reports of the last
run; what does not exist is an error with the page's name, and the site is not built.
"""

import ast
import functools
import itertools

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective, SphinxRole

from kerasnotes.course import catalog, exercises, language, snippet
from kerasnotes.course.language import word
from kerasnotes.course.names import source_of, top_level
from kerasnotes.course.pages import highlights
from kerasnotes.course.render import SYMBOLS, check_text, counts_words, number
from kerasnotes.course.site import api_rows, label, origin_text


class Missing(Exception):
    """A page names something that is not there; the message says what there is."""


class _Named(SphinxDirective):
    """A directive with one name as its argument and lines of text as its content."""

    required_arguments = 1
    has_content = True

    @property
    def reports(self):
        return self.config.kerasnotes_reports

    def run(self):
        try:
            return self.make(*self.arguments, [line.strip() for line in self.content if line.strip()])
        except (Missing, catalog.UsageError) as error:
            raise self.error(f"{self.name} {' '.join(self.arguments)}: {error}") from error


class Listing(_Named):
    """A public name: its own code, below it folded what it needs; the copy button copies both as one program."""

    def make(self, name, _):
        lesson, short = _public(name)
        named, others, count, whole = _cut(f"{lesson.full_name}.{short}")
        needed = ("{} definition" if count == 1 else "{} definitions") if count else "imports"
        return [
            _listing(named, others, word(f"what it needs: {needed}").format(count), whole),
            _paragraph(word("From "), _link_to_lesson(lesson, self.env.docname), f": {short}"),
        ]


class Example(_Named):
    """A lesson's example, below it folded the concept; the copy button copies both as one program."""

    def make(self, name, _):
        lesson = _lesson(name)
        if not lesson.has_example:
            raise Missing(f"{lesson.full_name} has no example()")
        source = source_of(lesson.source, top_level(lesson.tree)["example"])
        whole = snippet.cut([lesson.full_name])
        return [_listing(source, whole, word("the whole program, with the concept"), whole)]


class WholeLesson(_Named):
    """A lesson's file, folded away."""

    def make(self, name, _):
        source = _lesson(name).source
        opened = f"<details><summary>{word('{} lines').format(source.count(chr(10)))}</summary>"
        return [nodes.raw("", opened, format="html"), _code(source), nodes.raw("", "</details>", format="html")]


class ResultFigure(_Named):
    """A figure of a run, by its file's name or the beginning of its title."""

    def make(self, name, lines):
        report = _report(self.reports, name)
        field = "file" if lines and lines[0].endswith((".png", ".gif")) else "title"
        return [self._translatable(_figure(name, _only(report, "figure", field, lines)))]

    def _translatable(self, figure):
        """Its caption is the page's own line, so that the page's catalogue holds its translation."""
        caption = figure[-1]
        caption.rawsource = caption.astext()
        self.set_source_info(caption)
        return figure


class ResultTable(_Named):
    """A table of the last run, by the beginning of its title."""

    def make(self, name, lines):
        record = _only(_report(self.reports, name), "table", "title", lines)
        return [_record_table(record)]


class ResultChecks(_Named):
    """Checks of the last run: all of a lesson, or those whose labels begin as the lines say."""

    def make(self, name, lines):
        report = _report(self.reports, name)
        if not lines:
            return [_checks(_kind(report, "check"))]
        chosen = []
        for line in lines:
            found = _matching(report, "check", "label", line)
            chosen += [record for record in found if record not in chosen]
        return [_checks(chosen)]


class Results(_Named):
    """Everything that a lesson's report holds, in its order."""

    def make(self, name, _):
        report = _report(self.reports, name)
        times = report.get("times") or {}
        facts = [origin_text([report]), f"{word('seed')} {report['seed']}", counts_words(report["counts"])]
        if times.get("seconds") is not None:
            facts.append(word("{} s").format(f"{times['seconds']:.1f}"))
        if times.get("peak_memory_mb") is not None:
            facts.append(word("{} MB at most").format(f"{times['peak_memory_mb']:,}"))
        parts = [_paragraph(" · ".join(facts))]
        for kind, group in itertools.groupby(report["records"], key=lambda record: record["kind"]):
            if kind == "check":
                parts.append(_checks(group))
                continue
            for record in group:
                parts.append(_figure(name, record) if kind == "figure" else _block(name, kind, record))
        return parts


class Origin(SphinxDirective):
    """Where the results of a chapter's page come from: recorded or the reader's own, scale, dates, versions."""

    required_arguments = 1

    def run(self):
        reports = self.config.kerasnotes_reports
        chapter = [report for name, report in reports.items() if name.startswith(self.arguments[0] + ".")]
        text = word("Results on this page: {}.").format(origin_text(chapter)) if chapter else ""
        return [_paragraph(nodes.emphasis(text=text))] if chapter else []


class Settings(_Named):
    """The settings of a lesson, which are its flags."""

    def make(self, name, _):
        lesson = _lesson(name)
        rows = [
            [f"`--{setting.name.replace('_', '-')}`", _default_text(setting), setting.expected, setting.help]
            for setting in lesson.settings
        ]
        if not rows:
            return [_paragraph(word("None."))]
        return [_table(["flag", "default", "expected", "meaning"], rows)]


class Tasks(_Named):
    """A chapter's exercises: text, the command to copy, the code to fill in; hints and solution folded."""

    def make(self, name, _):
        chapter = catalog.find_chapter(name)
        found = exercises.of_chapter(chapter)
        if not found:
            raise Missing(f"{chapter.name} has no exercises")
        whole = (
            f"{word('All of them as a notebook')}: {{download}}`{chapter.name}.exercises.ipynb "
            f"</downloads/{chapter.name}.exercises.ipynb>`."
        )
        return [*self.parse_text_to_nodes(whole), *map(self._exercise, found)]

    def _exercise(self, exercise):
        section = nodes.section(ids=[f"exercise-{exercise.number.replace('.', '-')}"])
        section += nodes.title(text=f"{exercise.number} {exercise.task.title}")
        facts = f"{word(exercise.kind)} · {word('{} minutes').format(exercise.task.minutes)} · {word('explained by')} "
        section += _paragraph(facts, _link_to_lesson(_lesson(exercise.task.lesson), self.env.docname))
        section += self.parse_text_to_nodes(exercise.task.text)
        section += _code(f"python -m kerasnotes exercise {exercise.number}", "text")
        section += _code(exercise.start.rstrip())
        for i, hint in enumerate(exercise.task.hints):
            section += self._folded(f"{word('Hint')} {i + 1}", self.parse_text_to_nodes(hint))
        code, dotted = exercise.solution
        origin = [] if dotted is None else [_paragraph(word("From "), self._name(dotted), ".")]
        section += self._folded(word("Solution"), [_code(code.rstrip()), *origin])
        return section

    def _name(self, dotted):
        lesson, short = _public(dotted)
        return _link(self.env.docname, "ref", label(lesson, short), dotted)

    @staticmethod
    def _folded(title, inside):
        opened = f'<details class="kn-task"><summary>{title}</summary>'
        return [nodes.raw("", opened, format="html"), *inside, nodes.raw("", "</details>", format="html")]


class _Index(SphinxDirective):
    """A directive without arguments."""

    @property
    def reports(self):
        return self.config.kerasnotes_reports

    def shown(self):
        """The lessons that have results, in their order."""
        return [
            lesson for chapter in catalog.chapters() for lesson in chapter.lessons if lesson.full_name in self.reports
        ]


class AllNames(_Index):
    """Every public name with its first line, and a link to its listing."""

    def run(self):
        rows = []
        for lesson in self.shown():
            bodies = {node.name: node for node in lesson.tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
            for name in lesson.public_names:
                about = (ast.get_docstring(bodies[name]) or "").partition("\n")[0]
                link = _link(self.env.docname, "ref", label(lesson, name), name)
                rows.append((name.lower(), [link, _link_to_lesson(lesson, self.env.docname), about]))
        return [_table(["name", "lesson", "what it is"], [row for _, row in sorted(rows, key=lambda pair: pair[0])])]


class AllCorrections(_Index):
    """Every correction that the last run recorded."""

    def run(self):
        rows = []
        for lesson in self.shown():
            link = _link_to_lesson(lesson, self.env.docname)
            for record in _kind(self.reports[lesson.full_name], "correction"):
                rows.append([link.deepcopy(), *language.correction(lesson.full_name, record).values()])
        return [
            _table(["lesson", "about", "the notes", "correct", "shown by"], rows) if rows else _paragraph(word("None."))
        ]


class AllApis(_Index):
    """Every call that the course documents, looked up in the installed packages."""

    def run(self):
        rows = []
        for row in api_rows():
            known = row.lesson in self.reports
            link = _link_to_lesson(_lesson(row.lesson), self.env.docname) if known else row.lesson
            rows.append(
                [f"`{row.call}`", ", ".join(row.arguments), row.state, f"`{row.today}`" if row.today else "", link]
            )
        return [_table(["call", "arguments named", "state", "today", "lesson"], rows)]


class Gallery(_Index):
    """A dozen figures of the last run, each with a link to its lesson."""

    def run(self):
        items = nodes.container(classes=["gallery"])
        for entry in highlights()["gallery"]:
            name = entry["lesson"]
            if name not in self.reports:
                continue
            try:
                record = _only(self.reports[name], "figure", "title", [entry["figure"]])
                figure = _figure(name, record, word(entry["caption"]))
            except Missing as error:
                raise self.error(f"gallery, {name}: {error}") from error
            figure[-1] += [nodes.Text(" "), _link_to_lesson(_lesson(name), self.env.docname)]
            items += figure
        return [items]


class LessonRole(SphinxRole):
    """A link to a lesson's page."""

    def run(self):
        return self.made(lambda: _link_to_lesson(_lesson(self.text), self.env.docname))

    def made(self, make):
        try:
            return [make()], []
        except (Missing, catalog.UsageError) as error:
            message = self.inliner.reporter.error(f"{self.name} {self.text}: {error}", line=self.lineno)
            return [nodes.inline(text=self.text)], [message]


class NameRole(LessonRole):
    """A link to the listing of a public name, which shows the name without its lesson."""

    def run(self):
        def make():
            lesson, short = _public(self.text)
            return _link(self.env.docname, "ref", label(lesson, short), short)

        return self.made(make)


class MeasuredRole(LessonRole):
    """The number that a check of the last run got, by the beginning of the check's label."""

    def run(self):
        def make():
            name, colon, start = self.text.partition(": ")
            if not colon:
                raise Missing("expected LESSON: BEGINNING OF A LABEL")
            record = _only(_report(self.config.kerasnotes_reports, name), "check", "label", [start])
            if not isinstance(record["got"], (int, float)):
                raise Missing(f"{record['label']!r} is not about one number")
            return nodes.strong(text=number(record["got"]), classes=["measured"])

        return self.made(make)


# --- looking up ------------------------------------------------------------------------------------------------------


def _report(reports, name):
    _lesson(name)
    if name not in reports:
        raise Missing(f"no results; python -m kerasnotes.{name.replace('.', ' ')} makes them")
    return reports[name]


@functools.cache
def _lesson(name):
    return catalog.find_lesson(name)


@functools.cache
def _public(name):
    lesson, names = snippet.find(name)
    if len(names) != 1 or names[0] not in lesson.public_names:
        raise Missing(f"{lesson.full_name} has no public {name.rpartition('.')[2]!r}")
    return lesson, names[0]


def _kind(report, kind):
    return [record for record in report["records"] if record["kind"] == kind]


def _matching(report, kind, field, start):
    found = [record for record in _kind(report, kind) if record[field].startswith(start)]
    if not found:
        titles = "; ".join(record[field] for record in _kind(report, kind))
        raise Missing(f"no {kind} begins with {start!r}. There is: {titles or 'none'}")
    return found


def _only(report, kind, field, lines):
    if len(lines) != 1:
        raise Missing(f"expected one line, the beginning of the {field}, got {len(lines)}")
    found = _matching(report, kind, field, lines[0])
    exact = [record for record in found if record[field] == lines[0]]
    if len(found) > 1 and len(exact) != 1:
        raise Missing(f"{lines[0]!r} is the beginning of {len(found)} of them; write more of it")
    return (exact or found)[0]


@functools.cache
def _cut(name):
    """A listing in both languages: what `snippet.parts` gives, and the whole program."""
    return *snippet.parts(name), snippet.cut([name])


# --- making nodes ----------------------------------------------------------------------------------------------------


def _link(page, kind, target, text):
    link = addnodes.pending_xref(
        "", nodes.inline(text=text), refdomain="std", reftype=kind, reftarget=target, refexplicit=True, refwarn=True
    )
    link["refdoc"] = page
    return link


def _link_to_lesson(lesson, page):
    return _link(page, "doc", f"/lessons/{lesson.full_name}", language.title(lesson))


def _inline(text):
    """Text nodes, with `code` between backticks as code."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:
        return [nodes.Text(str(text))]
    return [nodes.literal(text=part) if i % 2 else nodes.Text(part) for i, part in enumerate(parts) if part]


def _paragraph(*parts):
    paragraph = nodes.paragraph()
    for part in parts:
        paragraph += part if isinstance(part, nodes.Node) else _inline(part)
    return paragraph


def _code(text, language="python"):
    block = nodes.literal_block(text, text)
    block["language"] = language
    return block


def _listing(named, others, what, whole):
    """A definition with what it needs folded below it, and the whole program, unseen, for the copy button."""
    folded = [nodes.raw("", f"<details><summary>{what}</summary>", format="html"), _code(others)]
    program = nodes.container("", _code(whole), classes=["kn-program"])
    parts = nodes.container("", _code(named), *folded, nodes.raw("", "</details>", format="html"), classes=["kn-parts"])
    return nodes.container("", parts, program, classes=["kn-listing"])


def _figure(lesson, record, caption=None):
    image = nodes.image(uri=f"/figures/{lesson}/{record['file']}", alt=record["alt"], loading="lazy")
    title = record["title"][:1].upper() + record["title"][1:]
    return nodes.figure("", image, nodes.caption("", "", *_inline(caption or title)))


def _block(lesson, kind, record):
    if kind == "table":
        return _record_table(record)
    if kind == "note":
        return nodes.note("", _paragraph(record["text"]))
    record = language.correction(lesson, record)
    box = nodes.admonition("", nodes.title(text=f"{word('Correction')}: {record['topic']}"), classes=["attention"])
    for name, field in (("The notes", "course"), ("Correct", "correct"), ("Shown by", "shown_by")):
        box += _paragraph(nodes.emphasis(text=f"{word(name)}: "), record[field])
    return box


def _record_table(record):
    return nodes.container(
        "", _paragraph(nodes.strong(text=record["title"])),
        _table(record["columns"], [[number(cell) for cell in row] for row in record["rows"]]),
    )  # fmt: skip


def _checks(records):
    rows = []
    for record in records:
        symbol = nodes.inline(text=SYMBOLS[record["status"]][0], classes=[f"check-{record['status']}"])
        rows.append([_paragraph(symbol), record["label"], check_text(record)])
    return _table(["", "check", "found"], rows, classes=["checks"])


def _table(columns, rows, classes=()):
    group = nodes.tgroup(cols=len(columns))
    group += [nodes.colspec(colwidth=1) for _ in columns]
    head, body = nodes.thead(), nodes.tbody()
    head += _row([word(column) for column in columns])
    body += [_row(row) for row in rows]
    group += [head, body]
    return nodes.table("", group, classes=["colwidths-auto", *classes])


def _row(cells):
    row = nodes.row()
    for cell in cells:
        block = cell if isinstance(cell, nodes.paragraph) else _paragraph(cell)
        row += nodes.entry("", block)
    return row


def _default_text(setting):
    return " ".join(map(str, setting.default)) if setting.many else str(setting.default)


def setup(app):
    """Sphinx calls this."""
    app.add_config_value("kerasnotes_reports", {}, "", [dict])  # lesson's full name -> report
    for name, directive in (
        ("listing", Listing),
        ("example", Example),
        ("origin", Origin),
        ("whole-lesson", WholeLesson),
        ("result-figure", ResultFigure),
        ("result-table", ResultTable),
        ("result-checks", ResultChecks),
        ("results", Results),
        ("settings", Settings),
        ("tasks", Tasks),
        ("all-names", AllNames),
        ("all-corrections", AllCorrections),
        ("all-apis", AllApis),
        ("gallery", Gallery),
    ):
        app.add_directive(name, directive)
    for name, role in (("lesson", LessonRole), ("name", NameRole), ("measured", MeasuredRole)):
        app.add_role(name, role())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

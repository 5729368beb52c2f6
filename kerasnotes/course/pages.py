"""What README and the page of corrections take from the recorded runs: counts, seconds, figures, corrections.

Between `<!-- name -->` and `<!-- end of name -->` stands text that `python -m kerasnotes record` writes; a test demands
that it is what the records say. Which figures and corrections README shows: `chapters/highlights.json`.
"""

import json

from kerasnotes.course import catalog, language, records, store
from kerasnotes.course.language import word

PAGES = catalog.PACKAGE.parent / "chapters"
README = catalog.PACKAGE.parent / "README.md"
READMES = {"en": README, "zh": README.with_name("README.zh.md")}
COLUMNS = 3  # figures side by side


def highlights():
    """`{"gallery": …, "corrections": …}`: the figures of the front page, and the corrections that README keeps."""
    return json.loads((PAGES / "highlights.json").read_text(encoding="utf-8"))


def write(root=None):
    """Write all that README and the pages take from records; nothing where the package is installed without them."""
    if not README.is_file():
        return
    for path, text in texts(root).items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            store.write_atomically(path, text)


def texts(root=None):
    """`{path: text}` of every file that repeats what records say, as it should be."""
    reports = {lesson.full_name: records.load(lesson, root) for lesson in records.every_lesson()}
    reports = {name: report for name, report in reports.items() if report is not None}
    entries = records.gather(root)
    with language.using("en"):
        found = {PAGES / "corrections.md": corrections_page(reports)}
    for each, path in READMES.items():
        with language.using(each):
            parts = {
                "counts": counts(entries),
                "chapters": chapters_table(entries),
                "gallery": gallery_table(reports),
                "corrections": corrections_table(some_corrections(reports), depth=""),
            }
        readme = path.read_text(encoding="utf-8")
        for name, text in parts.items():
            readme = _replaced(readme, name, text)
        found[path] = readme
    return found


def _replaced(text, name, new):
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"README: expected {start.strip()} and {end}")
    return f"{before}{start}{new}\n\n{end}{after}"


def counts(entries):
    """One sentence: how many lessons and checks, how long they take."""
    checks = sum(entry["checks"] for entry in entries.values())
    minutes = sum(entry["seconds"] for entry in entries.values()) / 60
    text = word(
        "{lessons} lessons hold {checks} checks. All of them held when they were recorded, in {minutes}\n"
        "minutes on two CPU cores; [this table](chapters/results/README.md) holds seconds, memory and seeds of each."
    )
    return text.format(lessons=len(entries), checks=f"{checks:,}", minutes=f"{minutes:.0f}")


def chapters_table(entries):
    """Chapters with their lessons, checks and seconds."""
    columns = map(word, ("chapter", "lessons", "checks", "seconds"))
    lines = [f"| {' | '.join(columns)} |", "| --- | ---: | ---: | ---: |"]
    for chapter in catalog.chapters():
        found = [entries[lesson.full_name] for lesson in chapter.lessons if lesson.full_name in entries]
        checks, seconds = (sum(entry[name] for entry in found) for name in ("checks", "seconds"))
        title = f"[{chapter.name[-2:]} {language.chapter_titles(chapter)[1]}](chapters/{chapter.name}.md)"
        lines.append(f"| {title} | {len(chapter.lessons)} | {checks} | {seconds:.0f} |")
    return "\n".join(lines)


def figure_of(report, title):
    """The record of the one figure whose title begins so. Raises ValueError if there is none, or more than one."""
    found = [r for r in report["records"] if r["kind"] == "figure" and r["title"].startswith(title)]
    if len(found) != 1:
        raise ValueError(f"{report['lesson']}: expected one figure that begins with {title!r}, got {len(found)}")
    return found[0]


def gallery_table(reports):
    """The figures of the front page, three to a row, each a link to its lesson."""
    shown = [entry for entry in highlights()["gallery"] if entry["lesson"] in reports]
    lines = ["|" + " |" * COLUMNS, "|" + " --- |" * COLUMNS]
    for row in (shown[start : start + COLUMNS] for start in range(0, len(shown), COLUMNS)):
        pictures, captions = [], []
        for entry in row:
            place = entry["lesson"].replace(".", "/")
            record = figure_of(reports[entry["lesson"]], entry["figure"])
            caption = word(entry["caption"])
            picture = f"![{caption}](chapters/results/{place}/{record['file']})"
            pictures.append(f"[{picture}](kerasnotes/{place}.py)")
            captions.append(f"{caption}{word(': ')}[`{entry['lesson']}`](kerasnotes/{place}.py)")
        lines += ["| " + " | ".join(pictures) + " |", "| " + " | ".join(captions) + " |"]
    return "\n".join(lines)


def all_corrections(reports):
    """`[(lesson, correction), …]` in the order of the course."""
    return [(name, r) for name, report in reports.items() for r in report["records"] if r["kind"] == "correction"]


def some_corrections(reports):
    """The corrections that README keeps."""
    everything = {(name, record["topic"]): record for name, record in all_corrections(reports)}
    wanted = [(entry["lesson"], entry["topic"]) for entry in highlights()["corrections"]]
    return [(name, everything[name, topic]) for name, topic in wanted if (name, topic) in everything]


def corrections_table(rows, depth="../"):
    """Corrections as a Markdown table; `depth` leads from the page to the project's folder."""
    columns = map(word, ("lesson", "the notes", "correct", "shown by"))
    lines = [f"| {' | '.join(columns)} |", "| --- | --- | --- | --- |"]
    for name, record in rows:
        topic, *said = map(_cell, language.correction(name, record).values())
        link = f"[{name}]({depth}kerasnotes/{name.replace('.', '/')}.py){word(': ')}{topic}"
        lines.append("| " + " | ".join([link, *said]) + " |")
    return "\n".join(lines)


def _cell(text):
    for character in "\\|*_<>[]":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())


def corrections_page(reports):
    """The page of all corrections, chapter by chapter."""
    rows = all_corrections(reports)
    lines = [
        "# What the course's notes get wrong · 勘误",
        "",
        f"{len(rows)} statements of the notes that are wrong, imprecise or out of date. Each is computed both ways by",
        "its lesson; the last column says by which computation. `python -m kerasnotes record` writes this page.",
    ]
    for chapter in catalog.chapters():
        own = [(name, record) for name, record in rows if name.startswith(chapter.name + ".")]
        if own:
            lines += ["", f"## {' · '.join(chapter.titles)}", "", corrections_table(own)]
    return "\n".join(lines) + "\n"

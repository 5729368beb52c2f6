"""The pages to read: their shape, and that every name and command on them exists. Results are checked by the site."""

import re
import shlex

import pytest

from kerasnotes.course import catalog, exercises, records, snippet

PAGES = sorted((catalog.PACKAGE.parent / "chapters").glob("chapter*.md"))
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@pages
def test_a_page_has_the_shape_of_a_page(page):
    text, chapter = page.read_text(encoding="utf-8"), catalog.find_chapter(page.stem)
    assert text.partition("\n")[0] == "# " + " · ".join(chapter.titles)
    headings = re.findall(r"^## (.*)$", text, re.M)
    assert len(headings) >= len(chapter.lessons) + 1
    assert all(re.search(r"[\u4e00-\u9fff]", heading) for heading in headings)
    assert headings[-1] == "Exercises · 练习"
    asked = text.partition("## Exercises · 练习")[2]
    if exercises.of_chapter(chapter):
        assert f"python -m kerasnotes exercise {page.stem[-2:]}" in asked
        assert f"```{{tasks}} {page.stem}\n```\n" in asked
    else:
        assert re.findall(r"^(\d)\. ", asked, re.M) == ["1", "2", "3"]
        assert asked.count("*Check:*") == 3
    assert not re.search(r"^```(?!\{)\w", text, re.M), "code belongs to the lessons"


@pages
def test_every_lesson_of_the_chapter_is_on_its_page(page):
    text = page.read_text(encoding="utf-8")
    for lesson in catalog.find_chapter(page.stem).lessons:
        assert lesson.full_name in text


@pages
def test_every_name_exists(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"\{lesson\}`([^`]+)`|^```\{result-\w+\} (\S+)$", text, re.M):
        catalog.find_lesson(name[0] or name[1])
    for name in re.findall(r"\{measured\}`([^:`]+): ", text):
        catalog.find_lesson(name)
    for name in re.findall(r"\{name\}`([^`]+)`", text):
        lesson, _, public = name.rpartition(".")
        assert public in catalog.find_lesson(lesson).public_names, name
    for name in re.findall(r"^```\{listing\} (\S+)$", text, re.M):
        snippet.cut([name])


@pages
def test_figures_are_recorded_ones_that_every_viewer_draws(page):
    text = page.read_text(encoding="utf-8")
    assert "{result-figure}" not in text, "![title](results/chapterNN/lesson/figure.png)"
    pictures = re.findall(r"^!\[([^\]]*)\]\(results/(chapter\d\d)/(\w+)/([^)]+)\)$", text, re.M)
    assert pictures
    assert len(pictures) == text.count("](results/"), "a figure stands on a line of its own"
    for title, chapter, lesson, file in pictures:
        report = records.load(catalog.find_lesson(f"{chapter}.{lesson}"))
        titles = {record["file"]: record["title"] for record in report["records"] if record["kind"] == "figure"}
        assert titles[file][:1].upper() + titles[file][1:] == title
        assert (page.parent / "results" / chapter / lesson / file).is_file()


@pages
def test_checks_and_tables_on_a_page_are_recorded_ones(page):
    text = page.read_text(encoding="utf-8")

    def found(name, kind, field, start):
        report = records.load(catalog.find_lesson(name))
        there = [record[field] for record in report["records"] if record["kind"] == kind]
        begin = [each for each in there if each.startswith(start)]
        assert begin, f"{name}: no {kind} begins with {start!r}; there is: {'; '.join(there)}"
        return [start] if start in begin else begin

    for kind, name, body in re.findall(r"^```\{result-(checks|table)\} (\S+)\n(.*?)^```", text, re.M | re.S):
        assert body.strip() or kind == "checks", f"{name}: which table? The site wants a title"
        for line in filter(None, (re.sub(r"^:\w+: ?", "", each.strip()) for each in body.splitlines())):
            kinds = ("check", "label") if kind == "checks" else ("table", "title")
            assert len(found(name, *kinds, line)) == 1 or kind == "checks", line
    for name, start in re.findall(r"\{measured\}`([^:`]+): ([^`]+)`", text):
        assert len(found(name, "check", "label", " ".join(start.split()))) == 1, start


@pages
def test_every_command_is_valid(page):
    text = " ".join(page.read_text(encoding="utf-8").split())
    for chapter, rest in re.findall(r"`python -m kerasnotes\.(chapter\d\d) ?([^`]*)`", text):
        name, *flags = shlex.split(rest) or [None]
        if name is None or name.startswith("-"):
            continue
        known = {
            setting.name.replace("_", "-"): setting for setting in catalog.find_chapter(chapter).lesson(name).settings
        }
        flag = None
        for token in flags:
            if token.startswith("--"):
                flag = token.removeprefix("--").removeprefix("no-")
                assert flag in known or flag in ("smoke", "full", "seed", "out", "resume", "show"), token
            elif flag in known:
                known[flag].parse(token)

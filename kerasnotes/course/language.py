"""The course in Chinese beside English: which language is wanted, and what stands in `zh.json`.

`zh.json` is the one home of the Chinese titles, points and other names of lessons, of what the chapters are about, of
the exercises' tasks, of corrections, and of the words of site, README and terminal. It is read when it is first needed.
Every entry holds the English that it translates: where that has changed, English is shown, and a test says which entry
to translate anew. A correction's numbers may change: its Chinese takes them from the English. Pages to read have their
Chinese in `chapters/locale`.
"""

import contextlib
import dataclasses
import difflib
import functools
import hashlib
import json
import os
import re
import sys
from pathlib import Path

from kerasnotes.course import catalog

LANGUAGES = ("en", "zh")
FLAG = "--language"
VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")  # the first that is set decides, as in gettext
CORRECTION = ("topic", "course", "correct", "shown_by")  # the texts of a correction
# A number that stands alone: not the 2 of 2f, L2, 2^N or x_2, which belongs to a formula or a name.
NUMBER = re.compile(r"(?<![\w^.])[-+−]?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?(?![\w^]|\.[0-9])")

_asked = None  # what --language says


def speaking(argv, command):
    """Call `command(arguments without --language)` in the language that they name. Raises UsageError for others."""
    asked, rest, words = _asked, [], iter(argv)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag != FLAG:
            rest.append(word)
            continue
        asked = value if equals else next(words, None)
        if asked not in LANGUAGES:
            raise catalog.UsageError(f"{FLAG}: expected {' or '.join(LANGUAGES)}, got {asked!r}")
    with using(asked):
        return command(rest)


@contextlib.contextmanager
def using(language):
    """Everything in this language for a while; for what makes both."""
    global _asked
    before, _asked = _asked, language
    try:
        yield
    finally:
        _asked = before


def add_argument(parser):
    """Show `--language` in a command's help; `speaking` reads it before any parser."""
    parser.add_argument(FLAG, choices=LANGUAGES, help="language of headings and points; by default as LANG says")


def current():
    """`"zh"` or `"en"`: what `--language` says, else what the environment prefers and the console can show."""
    if _asked is not None:
        return _asked
    wanted = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")
    short = (re.split(r"[_.@-]", name)[0].lower() for name in wanted.split(":"))
    found = next((name for name in short if name in (*LANGUAGES, "c", "posix")), "en")
    return "zh" if found == "zh" and _shows_chinese() else "en"


def _shows_chinese():
    try:
        "中文，：—".encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


@functools.cache
def course():
    """What `zh.json` holds: `{"lessons": …, "chapters": …, "tasks": …, "corrections": …, "words": …}`."""
    return json.loads(Path(__file__).with_name("zh.json").read_text(encoding="utf-8"))


def word(text, language=None):
    """A word or sentence of site or terminal in the language; English where `zh.json` does not have it."""
    return course()["words"].get(text, text) if (language or current()) == "zh" else text


def _entry(kind, name, english, language):
    if (language or current()) != "zh":
        return None
    entry = course()[kind].get(name)
    return entry if entry is not None and entry["english"] == english else None


def point(lesson, language=None):
    """A lesson's one-line point."""
    entry = _entry("lessons", lesson.full_name, lesson.headline, language)
    return entry["point"] if entry else lesson.headline


def title(lesson, language=None):
    """A lesson's title in Chinese; elsewhere its full name."""
    entry = course()["lessons"].get(lesson.full_name) if (language or current()) == "zh" else None
    return entry["title"] if entry else lesson.full_name


def line(lesson, language=None):
    """A lesson's point, in Chinese after its title."""
    known = (language or current()) == "zh" and lesson.full_name in course()["lessons"]
    return (f"{title(lesson, language)} · " if known else "") + point(lesson, language)


def names(lesson):
    """A lesson's Chinese title and its other Chinese names, a tuple; empty where it has none."""
    entry = course()["lessons"].get(lesson.full_name)
    return (entry["title"], *entry["aliases"]) if entry else ()


def about(chapter, language=None):
    """What a chapter is about, one paragraph."""
    entry = _entry("chapters", chapter.name, chapter.about, language)
    return entry["about"] if entry else chapter.about


def chapter_titles(chapter, language=None):
    """`[number, title]` of a chapter in Chinese; elsewhere `[number, English title, Chinese title]`."""
    number, english, chinese = chapter.titles
    if (language or current()) == "zh" and chinese:
        return [f"第 {chapter.name[-2:]} 章", chinese]
    return [part for part in (number, english, chinese) if part]


def correction(lesson, record, language=None):
    """A report's correction in the language: `{"topic": …, "course": …, "correct": …, "shown_by": …}`.

    Args:
        lesson: The lesson's full name.
        record: The record of the report, in English.
    """
    said = {key: record[key] for key in CORRECTION}
    entry = _entry("corrections", f"{lesson}: {record['topic']}", correction_digest(record), language)
    return {key: with_numbers(entry[key], text) for key, text in said.items()} if entry else said


def correction_digest(record):
    """Twelve hexadecimal digits that change when a correction's words change; its numbers are measured, and may."""
    return digest(*(NUMBER.sub("#", record[key]) for key in CORRECTION))


def with_numbers(chinese, english):
    """The Chinese text with the numbers of the English one where it says `{0}`, `{1}`, …, counted from the left.

    Raises:
        ValueError: If it names a number that the English does not have.
    """
    numbers = NUMBER.findall(english)

    def number(found):
        place = int(found[1])
        if place >= len(numbers):
            raise ValueError(f"{found[0]} in {chinese!r}: there are {len(numbers)} numbers in {english!r}")
        return numbers[place]

    return re.sub(r"\{([0-9]+)\}", number, chinese)


def task(number, task, language=None):
    """An exercise's task in the language: Chinese title, text, hints and texts of values, the rest as it is.

    Args:
        number: Chapter and place, such as `"08.1"`.
        task: A `tasks.Write`, `Mend` or `Predict`.
    """
    entry = _entry("tasks", number, task_digest(task), language)
    if entry is None:
        return task
    said = {"title": entry["title"], "text": entry["text"], "hints": tuple(entry["hints"])}
    if "values" in entry:
        texts = zip(task.values, entry["values"], strict=True)
        said["values"] = tuple(dataclasses.replace(value, text=text) for value, text in texts)
    return dataclasses.replace(task, **said)


def task_digest(task):
    """Twelve hexadecimal digits that change when the task's English changes otherwise than in its spaces."""
    return digest(task.title, task.text, *task.hints, *(value.text for value in getattr(task, "values", ())))


def digest(*texts):
    """Twelve hexadecimal digits that change when one of the texts changes otherwise than in its spaces."""
    joined = "\n".join(" ".join(text.split()) for text in texts)
    return hashlib.sha256(joined.encode("utf-8")).hexdigest()[:12]


# --- lessons by their Chinese names ----------------------------------------------------------------------------------


def _folded(text):
    return re.sub(r"\s", "", text).casefold().replace("：", ":")


@functools.cache
def _lessons_by_name():
    return {
        _folded(name): full_name
        for full_name, entry in course()["lessons"].items()
        for name in (entry["title"], *entry["aliases"])
    }


def find(name):
    """The full name of the lesson whose Chinese title or other name it is, or None."""
    return _lessons_by_name().get(_folded(name))


def near(name):
    """Chinese names of lessons that were probably meant, at most three."""
    found = difflib.get_close_matches(_folded(name), _lessons_by_name(), cutoff=0.5)
    return [*found, *(each for each in _lessons_by_name() if _folded(name) in each and each not in found)][:3]

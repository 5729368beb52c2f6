"""What the course holds, read from the source files without importing any lesson.

Listing chapters, showing help or cutting snippets must not cost TensorFlow's import, so everything here is taken from
the syntax tree: titles from docstrings, settings from the keyword arguments of `lesson`, ranges from its docstring.
"""

import ast
import difflib
import functools
import re
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
RANGE = re.compile(r"\s*\((?P<low>[-+.\de]+) to (?P<high>[-+.\de]+)\)")
HEADLINE = re.compile(r'"""(.+?)(?:""")?\s*$')  # the first line of a docstring that begins the file
CHOICES = re.compile(r"\s*\(one of: (?P<names>[^)]*)\)")


def results_directory():
    """The folder of the recorded runs: inside the installed package, or `chapters/results` of the source tree."""
    installed = PACKAGE / "_results"
    return installed if installed.is_dir() else PACKAGE.parent / "chapters" / "results"


class UsageError(Exception):
    """The user asked for something that is not there or out of range; the message says what was expected."""


@dataclass(frozen=True)
class Setting:
    """One keyword argument of a lesson: name, type, default, help, and what values it takes."""

    name: str
    type: type
    many: bool
    default: object
    help: str
    low: float | None
    high: float | None
    choices: tuple[str, ...] | None

    @property
    def expected(self):
        """What a value must be, in words."""
        if self.choices:
            words = "one of " + ", ".join(self.choices)
        else:
            words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}[self.type]
            if self.low is not None:
                low, high = (f"{limit:.0f}" if limit == int(limit) else f"{limit:g}" for limit in (self.low, self.high))
                words += f" from {low} to {high}"
        return f"{words}, once or more" if self.many else words

    def parse(self, text):
        """One value of the setting from text, or from a Python value of a notebook.

        Raises:
            ValueError: If the value has another type, or is out of range.
        """
        problem = f"{self.name}: expected {self.expected}, got {text!r}"
        if self.type is bool:
            if not isinstance(text, bool):
                raise ValueError(problem)
            return text
        try:
            value = self.type(text)
            if self.type is int and not isinstance(text, str) and value != text:
                raise ValueError
        except (TypeError, ValueError):
            raise ValueError(problem) from None
        if self.choices and value not in self.choices:
            raise ValueError(problem)
        if self.low is not None and not self.low <= value <= self.high:
            raise ValueError(problem)
        return value

    def validate(self, value):
        """The value or tuple of values, checked. Raises ValueError as `parse` does."""
        if not self.many:
            return self.parse(value)
        if isinstance(value, (str, int, float)) or len(value) == 0:
            raise ValueError(f"{self.name}: expected {self.expected}, got {value!r}")
        return tuple(self.parse(item) for item in value)


@dataclass(frozen=True)
class Lesson:
    """One lesson's file."""

    chapter: str
    name: str
    path: Path

    @property
    def full_name(self):
        """Dotted name within the package, such as `chapter08.clipping`."""
        return f"{self.chapter}.{self.name}"

    @functools.cached_property
    def source(self):
        """The file's text."""
        return self.path.read_text(encoding="utf-8")

    @functools.cached_property
    def tree(self):
        """The file's syntax tree."""
        return _parsed(self.source, str(self.path))

    @functools.cached_property
    def point(self):
        """The first line of the docstring: what the lesson shows."""
        return _first_line(self.tree)

    @functools.cached_property
    def headline(self):
        """The point again, read from the file's first lines only: a list of all lessons must not parse every file."""
        with self.path.open(encoding="utf-8") as file:
            found = HEADLINE.match(file.readline())
        return found[1] if found else self.point

    @functools.cached_property
    def seconds(self):
        """Expected seconds at default scale, or None where the lesson does not say."""
        return self.constant("SECONDS")

    def constant(self, name, default=None):
        """The value of a top-level constant such as SMOKE, SECONDS or FULL."""
        return _constant(self.tree, name, default)

    def scale_settings(self, scale):
        """The lesson's settings at a scale: SMOKE, FULL or the defaults."""
        return dict(self.constant({"smoke": "SMOKE", "full": "FULL"}.get(scale, ""), {}))

    @functools.cached_property
    def settings(self):
        """The lesson's keyword arguments, as a tuple of `Setting`."""
        function = next((n for n in self.tree.body if isinstance(n, ast.FunctionDef) and n.name == "lesson"), None)
        if function is None:
            raise UsageError(f"{self.full_name}: has no function lesson(report, *, …)")
        helps = _argument_helps(ast.get_docstring(function) or "")
        return tuple(
            _setting(argument, default, helps.get(argument.arg, ""))
            for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
        )

    @functools.cached_property
    def public_names(self):
        """The functions and classes that can be imported or copied, in the order of the file."""
        kinds = (ast.FunctionDef, ast.ClassDef)
        names = [node.name for node in self.tree.body if isinstance(node, kinds)]
        return tuple(name for name in names if not name.startswith("_") and name not in ("lesson", "example"))

    @property
    def has_example(self):
        """Whether the lesson has a function `example()`, the smallest complete use of its concept."""
        return any(isinstance(node, ast.FunctionDef) and node.name == "example" for node in self.tree.body)


@dataclass(frozen=True)
class Chapter:
    """One chapter's folder."""

    name: str
    path: Path

    @functools.cached_property
    def tree(self):
        """The syntax tree of the chapter's `__init__.py`."""
        return ast.parse((self.path / "__init__.py").read_text(encoding="utf-8"))

    @functools.cached_property
    def titles(self):
        """`(number, English title, Chinese title)`, from the docstring's first line."""
        parts = [part.strip() for part in _first_line(self.tree).rstrip(".。").split("·")]
        return tuple([*parts, "", ""][:3])

    @functools.cached_property
    def about(self):
        """The docstring after its first line, in one line."""
        return " ".join((ast.get_docstring(self.tree) or "").partition("\n")[2].split())

    @functools.cached_property
    def lessons(self):
        """The chapter's lessons in their order, as a tuple of `Lesson`."""
        names = _constant(self.tree, "LESSONS", ())
        return tuple(Lesson(self.name, name, self.path / f"{name}.py") for name in names)

    @property
    def seconds(self):
        """Expected seconds of the whole chapter at default scale."""
        return sum(lesson.seconds or 0 for lesson in self.lessons)

    @property
    def budget(self):
        """Seconds that the whole chapter may take at default scale, on two CPU cores."""
        return _constant(self.tree, "BUDGET")

    def lesson(self, name):
        """The lesson of that name. Raises UsageError with the nearest names if there is none."""
        for lesson in self.lessons:
            if lesson.name == name:
                return lesson
        raise UsageError(f"{self.name} has no lesson {name!r}.{suggest(name, [each.name for each in self.lessons])}")


def chapters():
    """All chapters in order, as a tuple of `Chapter`."""
    folders = sorted(path for path in PACKAGE.glob("chapter[0-9][0-9]") if (path / "__init__.py").is_file())
    return tuple(Chapter(folder.name, folder) for folder in folders)


def find_chapter(name):
    """The chapter of that name (`"chapter08"`, `"08"` or `"8"`). Raises UsageError with the nearest names."""
    everything = chapters()
    number = name.removeprefix("kerasnotes.").removeprefix("chapter")
    for chapter in everything:
        if chapter.name == name or (number.isdecimal() and int(number) == int(chapter.name[-2:])):
            return chapter
    raise UsageError(f"There is no chapter {name!r}.{suggest(name, [chapter.name for chapter in everything])}")


def find_lesson(name):
    """The lesson of a name such as `"chapter08.clipping"`, `"clipping"` where that is unambiguous, or `"梯度裁剪"`."""
    name = name.removeprefix("kerasnotes.")
    found = []
    if "." not in name:
        found = [lesson for chapter in chapters() for lesson in chapter.lessons if lesson.name == name]
    if not found and not name.startswith("chapter"):
        from kerasnotes.course import language

        name = language.find(name) or name
    chapter, dot, lesson = name.partition(".")
    if dot:
        return find_chapter(chapter).lesson(lesson)
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{name!r} is ambiguous: {', '.join(lesson.full_name for lesson in found)}")
    everything = [lesson for chapter in chapters() for lesson in chapter.lessons]
    names = {lesson.name: lesson.full_name for lesson in everything}
    near = [names[each] for each in difflib.get_close_matches(name, names)] or language.near(name)
    raise UsageError(
        f"There is no lesson {name!r}." + (f" Did you mean {' or '.join(near)}?" if near else _see_contents())
    )


def suggest(name, names):
    """A sentence that names what was probably meant, or everything that there is."""
    near = difflib.get_close_matches(name, names)
    if near:
        return f" Did you mean {' or '.join(near)}?"
    return f" There is: {', '.join(names)}." if names else ""


def _see_contents():
    return " python -m kerasnotes lists them."


@functools.lru_cache(maxsize=512)
def _parsed(source, filename):
    """The syntax tree of a file; everybody gets the same one and changes nothing in it."""
    return ast.parse(source, filename=filename)


def _first_line(tree):
    return (ast.get_docstring(tree) or "").partition("\n")[0].strip()


def _constant(tree, name, default=None):
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return ast.literal_eval(node.value)
    return default


def _setting(argument, default, help_text):
    annotation = ast.unparse(argument.annotation) if argument.annotation else "str"
    many = annotation.startswith("tuple[")
    kind = annotation[len("tuple[") :].split(",")[0] if many else annotation
    types = {"int": int, "float": float, "str": str, "bool": bool}
    if kind not in types:
        raise UsageError(
            f"{argument.arg}: a lesson's setting is int, float, str, bool or a tuple of them, not {annotation}"
        )
    limits, choices = RANGE.search(help_text), CHOICES.search(help_text)
    return Setting(
        name=argument.arg,
        type=types[kind],
        many=many,
        default=ast.literal_eval(default),
        help=CHOICES.sub("", RANGE.sub("", help_text)).strip(),
        low=float(limits["low"]) if limits else None,
        high=float(limits["high"]) if limits else None,
        choices=tuple(name.strip() for name in choices["names"].split(",")) if choices else None,
    )


def _argument_helps(docstring):
    """`{argument: text}` from the Args section of a docstring."""
    helps, name = {}, None
    _, _, section = docstring.partition("Args:\n")
    for line in section.splitlines():
        if not line.strip() or not line.startswith(" "):
            break
        start = re.match(r" {4}(\w+): (.*)", line)
        if start:
            name = start[1]
            helps[name] = start[2].strip()
        elif name:
            helps[name] += " " + line.strip()
    return helps

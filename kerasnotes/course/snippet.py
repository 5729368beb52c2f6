"""Cuts one self-contained program out of the lessons.

The named functions and classes are taken with everything they need, and nothing else: constants, helpers and imports of
the same file, names of earlier lessons, and shared guards. A lesson's name alone stands for its whole concept with its
example, as a program that prints something. The result runs where kerasnotes is not installed. Only the syntax tree is
read; no lesson is imported.
"""

from kerasnotes import __version__
from kerasnotes.course import catalog, language
from kerasnotes.course.names import Alias, bound_names, globals_of, source_of, top_level

PACKAGE_PREFIX = "kerasnotes"
SHARED = "kerasnotes.parts"  # guards of many chapters: the one module besides lessons that can be cut
_SHARED = catalog.Lesson("kerasnotes", "parts", catalog.PACKAGE / "parts.py")


def cut(names):
    """Cut the named functions and classes out of their lessons.

    Args:
        names: Dotted names such as `"chapter08.clipping.clip_by_global_norm"`, or of a lesson, `"chapter08.clipping"`,
            for all its public names and its example, which the program then runs.

    Returns:
        The text of a Python program.

    Raises:
        UsageError: If a name does not exist, cannot stand alone, or two lessons mean different things by one name.
    """
    if not names:
        raise catalog.UsageError("Name what to cut, for example: snippet chapter08.clipping.clip_by_global_norm")
    cutter = _Cutter()
    examples = []
    for name in names:
        lesson, public = find(name)
        for each in public:
            cutter.add(lesson, each)
        if "example" in public:
            examples.append(lesson)
    if len(examples) > 1:
        raise catalog.UsageError("Cut one example at a time: two programs cannot both be called example()")
    text = cutter.program(names)
    return text + ('\n\nif __name__ == "__main__":\n    example()\n' if examples else "")


def parts(name):
    """A snippet in two parts: what was asked for, and what it needs.

    Args:
        name: A dotted name of one function or class.

    Returns:
        `(text of the named definition, text of everything else, number of definitions in it)`.
    """
    lesson, (public,) = find(name)
    cutter = _Cutter()
    cutter.add(lesson, public)
    named = cutter.definitions.pop(public)[1]
    others = len({text for _, text in cutter.definitions.values()})
    return named, cutter.program([name]), others


def find(name):
    """What a dotted name means.

    Args:
        name: `"chapter08.clipping.clip_by_norm"`, or without the chapter where the lesson's name is unambiguous, or a
            lesson's name alone.

    Returns:
        `(lesson, names)`: the `catalog.Lesson` and the names at its top level to cut.

    Raises:
        UsageError: If there is no such lesson or name.
    """
    parts = name.removeprefix(PACKAGE_PREFIX + ".").split(".")
    if len(parts) == 3 or (len(parts) == 2 and (parts[0] in _known() or language.find(parts[0]))):
        lesson = catalog.find_lesson(".".join(parts[:-1]))
        if parts[-1] == "example" and lesson.has_example:
            return lesson, ("example",)
        moved = top_level(lesson.tree).get(parts[-1])
        if isinstance(moved, Alias) and (moved.module or "").startswith(PACKAGE_PREFIX + ".chapter"):
            return find(f"{moved.module}.{moved.name}")  # a name that now lives in an earlier lesson
        if parts[-1] not in lesson.public_names:
            nearest = catalog.suggest(parts[-1], list(lesson.public_names))
            raise catalog.UsageError(f"{lesson.full_name} has nothing called {parts[-1]!r} to copy.{nearest}")
        return lesson, (parts[-1],)
    if len(parts) > 3:
        raise catalog.UsageError(
            f"{name!r}: expected LESSON or LESSON.NAME, such as chapter08.clipping.clip_by_global_norm"
        )
    lesson = catalog.find_lesson(".".join(parts))
    return lesson, (*lesson.public_names, *(["example"] if lesson.has_example else []))


def _known():
    return {lesson.name for chapter in catalog.chapters() for lesson in chapter.lessons}


class _Cutter:
    """Collects import lines and definitions, each definition after everything that it needs."""

    def __init__(self):
        self.imports = {}  # bound name -> import line
        self.definitions = {}  # name -> (lesson, source text), in order
        self._under_way = set()

    def add(self, lesson, name):
        if (lesson.full_name, name) in self._under_way:
            return  # functions that call each other
        top = top_level(lesson.tree)
        if name not in top:
            raise catalog.UsageError(f"{lesson.full_name}: {name} is not defined at the top of the file")
        node = top[name]
        if isinstance(node, Alias):
            self._add_import(lesson, name, node)
            return
        text = source_of(lesson.source, node)
        if name in self.definitions or name in self.imports:
            if self.definitions.get(name, (None, None))[1] != text:
                other = self.definitions[name][0].full_name if name in self.definitions else self.imports[name]
                raise catalog.UsageError(
                    f"{name} means different things in {lesson.full_name} and in {other}: cut them apart"
                )
            return
        self._under_way.add((lesson.full_name, name))
        for needed in sorted(globals_of(text) & top.keys(), key=lambda other: list(top).index(other)):
            if needed != name:
                self.add(lesson, needed)
        self._under_way.discard((lesson.full_name, name))
        for target in bound_names(node):
            self.definitions[target] = (lesson, text)

    def _add_import(self, lesson, name, alias):
        module = alias.module
        if module is not None and module.split(".")[0] == PACKAGE_PREFIX:
            parts = module.split(".")
            if module == SHARED:
                self.add(_SHARED, alias.name)
            elif len(parts) == 3 and parts[1].startswith("chapter"):
                self.add(catalog.find_lesson(f"{parts[1]}.{parts[2]}"), alias.name)
            else:
                raise catalog.UsageError(
                    f"{lesson.full_name} takes {name} from {module}, which is part of the package: it cannot be cut out"
                )
            if name != alias.name:
                self.definitions.setdefault(name, (lesson, f"{name} = {alias.name}"))
            return
        if name in self.definitions or self.imports.get(name, alias.line) != alias.line:
            raise catalog.UsageError(f"{name} means different things in two lessons: cut them apart")
        self.imports[name] = alias.line

    def program(self, names):
        short = [name.removeprefix(PACKAGE_PREFIX + ".") for name in names]
        head = [f"# {name}" for name in short]
        head += [f"# From kerasnotes {__version__}, copyright the kerasnotes authors, MIT licence; runs without it."]
        lessons = dict.fromkeys(lesson for lesson, _ in self.definitions.values())
        head += [f"# {lesson.full_name}: {lesson.point}" for lesson in lessons if lesson is not _SHARED]
        bodies = list(dict.fromkeys(text for _, text in self.definitions.values()))
        plain = sorted(set(self.imports.values()), key=_import_order)
        blocks = ["\n".join(head)]
        if plain:
            blocks.append("\n".join(plain))
        text = "\n\n".join(blocks)
        for body in bodies:
            compact = not body.startswith(("def ", "class ", "@"))
            text += ("\n\n" if compact else "\n\n\n") + body
        return text + "\n"


def _import_order(line):
    module = line.split()[1]
    return (module.split(".")[0] not in _STANDARD, line.startswith("from"), line)


_STANDARD = {"abc", "collections", "dataclasses", "enum", "functools", "itertools", "math", "operator", "re", "typing"}

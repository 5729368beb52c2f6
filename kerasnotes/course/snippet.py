"""Cuts one self-contained program out of the lessons.

The named functions and classes are taken with everything they need, and nothing else: constants, helpers and imports of
the same file, and names of earlier lessons. The result runs where kerasnotes is not installed. Only the syntax tree is
read; no lesson is imported.
"""

import ast
import symtable

from kerasnotes import __version__
from kerasnotes.course import catalog

PACKAGE_PREFIX = "kerasnotes"


def cut(names):
    """Cut the named functions and classes out of their lessons.

    Args:
        names: Dotted names such as `"chapter08.clipping.clip_by_global_norm"`.

    Returns:
        The text of a Python program.

    Raises:
        UsageError: If a name does not exist, cannot stand alone, or two lessons mean different things by one name.
    """
    if not names:
        raise catalog.UsageError("Name what to cut, for example: snippet chapter08.clipping.clip_by_global_norm")
    cutter = _Cutter()
    for name in names:
        lesson, public = _find(name)
        cutter.add(lesson, public)
    return cutter.program(names)


def _find(name):
    parts = name.removeprefix(PACKAGE_PREFIX + ".").split(".")
    if len(parts) != 3:
        raise catalog.UsageError(
            f"{name!r}: expected CHAPTER.LESSON.NAME, such as chapter08.clipping.clip_by_global_norm"
        )
    lesson = catalog.find_chapter(parts[0]).lesson(parts[1])
    if parts[2] not in lesson.public_names:
        nearest = catalog.suggest(parts[2], list(lesson.public_names))
        raise catalog.UsageError(f"{lesson.full_name} has nothing called {parts[2]!r} to copy.{nearest}")
    return lesson, parts[2]


class _Cutter:
    """Collects import lines and definitions, each definition after everything that it needs."""

    def __init__(self):
        self.imports = {}  # bound name -> import line
        self.definitions = {}  # name -> (lesson, source text), in order
        self._under_way = set()

    def add(self, lesson, name):
        if (lesson.full_name, name) in self._under_way:
            return  # functions that call each other
        top = _top_level(lesson)
        if name not in top:
            raise catalog.UsageError(f"{lesson.full_name}: {name} is not defined at the top of the file")
        node = top[name]
        if isinstance(node, ast.alias):
            self._add_import(lesson, name, node)
            return
        text = _source(lesson, node)
        if name in self.definitions or name in self.imports:
            if self.definitions.get(name, (None, None))[1] != text:
                other = self.definitions[name][0].full_name if name in self.definitions else self.imports[name]
                raise catalog.UsageError(
                    f"{name} means different things in {lesson.full_name} and in {other}: cut them apart"
                )
            return
        self._under_way.add((lesson.full_name, name))
        for needed in sorted(_globals_of(text) & top.keys(), key=lambda other: list(top).index(other)):
            if needed != name:
                self.add(lesson, needed)
        self._under_way.discard((lesson.full_name, name))
        for target in _bound_names(node):
            self.definitions[target] = (lesson, text)

    def _add_import(self, lesson, name, alias):
        module = alias.module
        if module is not None and module.split(".")[0] == PACKAGE_PREFIX:
            parts = module.split(".")
            if len(parts) != 3 or not parts[1].startswith("chapter"):
                raise catalog.UsageError(
                    f"{lesson.full_name} takes {name} from {module}, which is part of the package: it cannot be cut out"
                )
            self.add(catalog.find_lesson(f"{parts[1]}.{parts[2]}"), alias.name)
            if name != alias.name:
                self.definitions.setdefault(name, (lesson, f"{name} = {alias.name}"))
            return
        if module is None:
            line = f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else "")
        else:
            line = f"from {module} import {alias.name}" + (f" as {alias.asname}" if alias.asname else "")
        if name in self.definitions or self.imports.get(name, line) != line:
            raise catalog.UsageError(f"{name} means different things in two lessons: cut them apart")
        self.imports[name] = line

    def program(self, names):
        short = [name.removeprefix(PACKAGE_PREFIX + ".") for name in names]
        head = [f"# {name}" for name in short]
        head += [f"# From kerasnotes {__version__} (MIT licence); runs without it."]
        lessons = dict.fromkeys(lesson for lesson, _ in self.definitions.values())
        head += [f"# {lesson.full_name}: {lesson.point}" for lesson in lessons]
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


class _Alias(ast.alias):
    """An imported name together with the module that it comes from (None for `import …`)."""

    def __init__(self, alias, module):
        super().__init__(alias.name, alias.asname)
        self.module = module


def _top_level(lesson):
    """`{bound name: node}` of the file, in its order."""
    top = {}
    for node in lesson.tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top[alias.asname or alias.name.split(".")[0]] = _Alias(alias, None)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                top[alias.asname or alias.name] = _Alias(alias, node.module)
        else:
            for name in _bound_names(node):
                top[name] = node
    return top


def _bound_names(node):
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    return []


def _source(lesson, node):
    """The node's text with its decorators and a comment that ends its last line."""
    lines = lesson.source.splitlines()
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    return "\n".join(lines[first - 1 : node.end_lineno])


def _globals_of(text):
    """Names that a piece of code takes from the file's top level, local variables of the same name left out."""
    found = set()

    def visit(table):
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module"):
                found.add(symbol.get_name())
        for child in table.get_children():
            visit(child)

    visit(symtable.symtable(text, "<snippet>", "exec"))
    return found

"""What a lesson's results depend on: the definitions that `lesson` reaches, and the data files that they read.

The syntax tree is followed from `lesson` through its own file, earlier lessons and the modules that lessons share. A
comment, a docstring, another lesson or a drawing that is not used changes nothing; one statement that is used changes
the fingerprint. Where a definition stands does not count: code that moves keeps its results. Nothing is imported, and
the result does not depend on the version of Python. Titles, notes and the like belong to a result, but not to its
numbers: a second fingerprint leaves them out.
"""

import ast
import copy
import functools
import hashlib
import json
import re

from kerasnotes.course import catalog
from kerasnotes.course.names import Alias, globals_of, source_of, top_level

FORMAT = "1"  # raised when reports themselves change their meaning, which makes every record stale
SHARED = ("data", "parts", "plots", "training")
BESIDE = re.compile(
    r"Path\(__file__\)\.with_name\(\"([^\"]+)\"\)"
)  # a file beside a shared module, such as the style of plots
WORDS = ("alt", "title", "xlabel", "ylabel", "course", "correct", "shown_by")  # arguments that only people read
SAYING = ("note", "set_title", "suptitle", "set_xlabel", "set_ylabel")  # methods with nothing but such arguments


class Fingerprints:
    """Fingerprints of lessons, taken once; later changes of the files are not seen.

    Args:
        recorded: Callable that gives a text that changes when any recorded run changes; for lessons that read those.
        words: Whether words that only people read count: titles, labels of axes, alternative texts, notes, corrections.
    """

    def __init__(self, recorded=lambda: "", words=True):
        self._recorded = recorded
        self._words = words
        self._modules = {}
        self._definitions = {}  # (module, name) -> (hash, names that it needs as (module, name))
        self._depends = {}

    def depends(self, lesson):
        """What the lesson depends on.

        Args:
            lesson: A `catalog.Lesson`.

        Returns:
            `{name: hash}`: definitions by their names, data files as `data: NAME`.
        """
        if lesson.full_name not in self._depends:
            pairs, seen, left = set(), set(), [(f"kerasnotes.{lesson.full_name}", "lesson")]
            while left:
                key = left.pop()
                if key in seen:
                    continue
                seen.add(key)
                found, needed = self._definition(*key)
                pairs.update(found)
                left += needed
            depends = {"format": FORMAT}
            for name, digest in sorted(pairs):
                depends[name] = f"{depends[name]}+{digest}" if name in depends else digest
            self._depends[lesson.full_name] = depends
        return self._depends[lesson.full_name]

    def of(self, lesson):
        """The lesson's fingerprint: 32 hexadecimal digits."""
        return digest_of(self.depends(lesson))

    def _module(self, name):
        if name not in self._modules:
            *_, folder, file = name.split(".")
            parent = catalog.PACKAGE if folder == "kerasnotes" else catalog.PACKAGE / folder
            source = catalog.Lesson(folder, file, parent / f"{file}.py")
            self._modules[name] = source, top_level(source.tree)
        return self._modules[name]

    def _definition(self, module, name):
        """`([(name, hash), …], [(module, name), …])`: what a definition is, and what else it needs."""
        if (module, name) not in self._definitions:
            self._definitions[module, name] = self._look_up(module, name)
        return self._definitions[module, name]

    def _look_up(self, module, name):
        source, top = self._module(module)
        node = top.get(name)
        if node is None:
            return [], []
        if isinstance(node, Alias):
            origin = node.module or ""
            if origin.startswith("kerasnotes."):
                return [], [(origin, node.name)]
            return [(f"import {name}", short_hash(node.line))], []
        found, needed = [(name, short_hash(plain(node if self._words else without_words(node))))], []
        text = source_of(source.source, node)
        for each in sorted(globals_of(text) & top.keys() - {name}):
            alias = top[each]
            if isinstance(alias, Alias) and alias.module == "kerasnotes" and alias.name in SHARED:
                shared = f"kerasnotes.{alias.name}"
                needed += [(shared, attribute) for attribute in self._attributes(node, each, shared)]
            else:
                needed.append((module, each))
        for inner in ast.walk(node):  # imports inside functions
            if isinstance(inner, ast.ImportFrom) and (inner.module or "").startswith("kerasnotes."):
                needed += [(inner.module, alias.name) for alias in inner.names]
        if module.rpartition(".")[2] in SHARED:
            found += [(f"file {file}", file_hash(source.path.with_name(file))) for file in BESIDE.findall(text)]
        if module == "kerasnotes.data":
            from kerasnotes import data  # NumPy, which commands that only read need not wait for

            found += [(f"data: {file}", file_hash(data.data_directory() / file)) for file in data.FILES.get(name, ())]
            if name == "results_directory":
                found.append(("recorded runs", short_hash(self._recorded())))
        return found, needed

    def _attributes(self, node, alias, shared):
        """The attributes that code takes from a module; all there are if it uses the module in another way."""
        uses = [each for each in ast.walk(node) if isinstance(each, ast.Name) and each.id == alias]
        taken = [
            each.attr
            for each in ast.walk(node)
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == alias
        ]
        return sorted(set(taken)) if len(taken) == len(uses) else list(self._module(shared)[1])


def plain(node):
    """A syntax tree as text, without positions, docstrings, and fields that only some versions of Python know."""
    if isinstance(node, ast.AST):
        fields = []
        for field, value in ast.iter_fields(node):
            if field in ("ctx", "kind", "type_comment", "type_params", "lineno"):
                continue
            if field == "body" and isinstance(value, list) and _starts_with_text(node):
                value = value[1:]
            if value not in (None, []):
                fields.append(f"{field}={plain(value)}")
        return f"{type(node).__name__}({', '.join(fields)})"
    if isinstance(node, list):
        return "[" + ", ".join(map(plain, node)) + "]"
    return repr(node)


def without_words(node):
    """A copy of a syntax tree without what only people read: values of `WORDS`, and what `SAYING` is called with."""
    node = copy.deepcopy(node)
    for each in ast.walk(node):
        if isinstance(each, ast.Call):
            each.keywords = [keyword for keyword in each.keywords if keyword.arg not in WORDS]
            if isinstance(each.func, ast.Attribute) and each.func.attr in SAYING:
                each.args = []
        names = getattr(each, "targets", [getattr(each, "target", None)])
        if isinstance(each, (ast.Assign, ast.AugAssign)) and all(getattr(n, "id", None) in WORDS for n in names):
            each.value = ast.Constant("")
    return node


def _starts_with_text(node):
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return False
    first = node.body[0]
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def difference(old, new):
    """Why two dependencies differ, as a short text; empty if they do not."""
    if old == new:
        return ""
    changed = [name for name in new if name in old and old[name] != new[name]]
    parts = [
        ("changed", changed),
        ("new", [n for n in new if n not in old]),
        ("gone", [n for n in old if n not in new]),
    ]
    return "; ".join(f"{what}: {_few(names)}" for what, names in parts if names)


def _few(names):
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def digest_of(depends):
    """The fingerprint of dependencies as `Fingerprints.depends` gives them."""
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:32]


def short_hash(text):
    """Twelve hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.cache
def _file_hash(path, size, changed):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def file_hash(path):
    """Twelve hexadecimal digits of a file's SHA-256, or `missing`; read again only when the file has changed."""
    try:
        facts = path.stat()
        return _file_hash(path, facts.st_size, facts.st_mtime_ns)
    except OSError:
        return "missing"

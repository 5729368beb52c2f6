"""What stands at the top of a source file, and what a piece of its code takes from there. Nothing is imported."""

import ast
import functools
import symtable


class Alias(ast.alias):
    """An imported name together with the module that it comes from (None for `import …`)."""

    def __init__(self, alias, module):
        super().__init__(alias.name, alias.asname)
        self.module = module

    @property
    def line(self):
        """The import as a line of code."""
        start = "" if self.module is None else f"from {self.module} "
        return f"{start}import {self.name}" + (f" as {self.asname}" if self.asname else "")


def top_level(tree):
    """`{bound name: node}` of a file's syntax tree, in its order; imported names are `Alias`."""
    top = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top[alias.asname or alias.name.split(".")[0]] = Alias(alias, None)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                top[alias.asname or alias.name] = Alias(alias, node.module)
        else:
            for name in bound_names(node):
                top[name] = node
    return top


def bound_names(node):
    """The names that a definition or an assignment binds."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    return []


def source_of(source, node):
    """The node's text with its decorators and a comment that ends its last line."""
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    return "\n".join(source.splitlines()[first - 1 : node.end_lineno])


@functools.lru_cache(maxsize=8192)
def globals_of(text):
    """Names that a piece of code takes from the file's top level, local variables of the same name left out."""
    found = set()

    def visit(table):
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module"):
                found.add(symbol.get_name())
        for child in table.get_children():
            visit(child)

    visit(symtable.symtable(text, "<code>", "exec"))
    return frozenset(found)

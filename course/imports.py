"""Which names a chapter imports, and the rules about from where."""

import ast
from dataclasses import dataclass


@dataclass(frozen=True)
class Binding:
    """One name an import binds: `from module import attribute as name`.

    `attribute` is None for `import module as name`.
    """

    name: str
    module: str
    attribute: str | None

    def statement(self):
        """What a `from` import lists, or the whole of a plain `import`."""
        if self.attribute is None:
            dotted = "" if self.name == self.module.split(".")[0] else f" as {self.name}"
            return f"import {self.module}{dotted}"
        return self.attribute + ("" if self.attribute == self.name else f" as {self.name}")


def bindings(node):
    """The bindings of one import statement."""
    if isinstance(node, ast.Import):
        return [Binding(a.asname or a.name.split(".")[0], a.name, None) for a in node.names]
    return [Binding(a.asname or a.name, node.module, a.name) for a in node.names]


def chapter_bindings(chapter):
    """Every top-level import of a chapter, as {name: Binding}; the last one wins, as in Python."""
    return {
        binding.name: binding
        for tree in chapter.trees
        for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)
        for binding in bindings(node)
    }


def nnlib_modules(tree):
    """The nnlib modules a syntax tree imports from."""
    return {
        node.module.removeprefix("nnlib.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nnlib.")
    }


def check_imports(chapter, earlier, later):
    """Refuse imports that would not work for a reader who has come this far.

    `earlier` maps the modules of earlier chapters to the names they export; `later` maps
    the other modules, this chapter's own included, to the chapter that owns them.
    """
    for cell, tree in zip(chapter.code, chapter.trees):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                check_import(chapter, cell, node, earlier, later)


def check_import(chapter, cell, node, earlier, later):
    """The rules for one import statement, anywhere in a cell."""
    if isinstance(node, ast.ImportFrom) and (node.level or node.module == "__future__"):
        raise chapter.refuse(cell, node, "relative and __future__ imports have no place in a chapter")
    for binding in bindings(node):
        package, _, module = binding.module.partition(".")
        if binding.attribute == "*":
            raise chapter.refuse(cell, node, f"import names one by one, not * from {binding.module}")
        if package in ("course", "reference") and "export" in cell.tags:
            raise chapter.refuse(cell, node, f"exported code never imports {package}")
        if package != "nnlib":
            continue
        if binding.attribute is None or not module:
            raise chapter.refuse(cell, node, "import names from a module of nnlib, as in "
                                 "`from nnlib.dense import Dense`")
        if module in later:
            owner = later[module]
            whose = "its own chapter" if owner is chapter else f"a later chapter, {owner.place}"
            raise chapter.refuse(cell, node, f"forward import: nnlib.{module} is made by {whose}")
        if module not in earlier:
            raise chapter.refuse(cell, node, f"no chapter makes nnlib.{module}; the earlier ones "
                                 f"make {sorted(earlier)}")
        if binding.attribute not in earlier[module]:
            raise chapter.refuse(cell, node, f"nnlib.{module} does not export {binding.attribute}; "
                                 f"it exports {sorted(earlier[module])}")


def closure(names, needs):
    """`names` and all that they need, and what that needs, and so on."""
    reached, todo = set(), list(names)
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += needs(name)
    return reached

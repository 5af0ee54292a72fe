"""Tangle: the chapters' `export` cells become the modules of `nnlib`."""

import ast
import builtins
import os
import symtable
import sys
import threading
import tomllib
from dataclasses import dataclass
from itertools import groupby

from course.chapter import read_book
from course.imports import chapter_bindings, check_imports, nnlib_modules

HEADER = "# Generated from "
LIMIT = 40
WIDTH = 88
KNOWN = set(dir(builtins)) | {"__file__", "__name__", "__doc__"}


@dataclass(frozen=True, eq=False)
class Definition:
    """A function, a class or a constant: its exact text and where it stands."""

    name: str
    text: str
    heading: str
    cell: object
    node: ast.stmt

    @property
    def is_constant(self):
        return isinstance(self.node, ast.Assign | ast.AnnAssign)


@dataclass(frozen=True, eq=False)
class Module:
    """One module of nnlib: its text, what it exports and which nnlib modules it imports."""

    chapter: object
    definitions: tuple
    text: str
    needs: frozenset

    @property
    def name(self):
        return self.chapter.module

    @property
    def exports(self):
        return [d.name for d in self.definitions if not d.name.startswith("_")]


def tangle(root, through=None):
    """The modules of the book in `root`, up to chapter `through`; refuses what breaks a rule."""
    chapters = read_book(root, through)
    modules, owners = [], {}
    for k, chapter in enumerate(chapters):
        earlier = {module.name: module.exports for module in modules}
        check_imports(chapter, earlier, {c.module: c for c in chapters[k:]})
        module = make_module(chapter)
        for definition in module.definitions:
            if definition.name in module.exports:
                claim(owners, definition, chapter)
        modules.append(module)
    return modules


def claim(owners, definition, chapter):
    """Refuse a name that an earlier chapter exports."""
    owner = owners.setdefault(definition.name, chapter)
    if owner is not chapter:
        raise chapter.refuse(definition.cell, definition.node,
                             f"{definition.name} is already exported by {owner.place}")


def make_module(chapter):
    """Assemble one chapter's module."""
    definitions = []
    for cell, tree in zip(chapter.code, chapter.trees):
        if "export" in cell.tags:
            if chapter.module is None:
                raise chapter.refuse(cell, None, "an export cell, but the front matter says `nnlib: null`")
            definitions += read_definitions(chapter, cell, tree)
    check_names(chapter, definitions)
    imports = needed_imports(chapter, definitions)
    text = render(chapter, definitions, imports)
    return Module(chapter, tuple(definitions), text, frozenset(nnlib_modules(ast.parse(text))))


def read_definitions(chapter, cell, tree):
    """Cut an export cell into its definitions, word for word, comments with what follows them."""
    lines = cell.source.split("\n")
    start, pending = 0, []
    for node in tree.body:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
        if first < start:
            raise chapter.refuse(cell, node, "one statement a line in export cells")
        pending += lines[start:first]
        start = node.end_lineno
        if not isinstance(node, ast.Import | ast.ImportFrom):
            name = defined_name(chapter, cell, node)
            last = start if node is not tree.body[-1] else len(lines)
            text = "\n".join(pending + lines[first:last]).strip("\n")
            yield Definition(name, text, cell.heading or chapter.title, cell, node)
            pending = []


def defined_name(chapter, cell, node):
    """The name a top-level statement of an export cell defines; anything else is refused."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        check_length(chapter, cell, node)
        return node.name
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if len(targets) == 1 and isinstance(targets[0], ast.Name) and targets[0].id.isupper():
            return targets[0].id
    found = ast.unparse(node).split("\n")[0]
    raise chapter.refuse(cell, node, "export cells hold imports, functions, classes and "
                         f"CONSTANTS, found `{found}`")


def check_length(chapter, cell, node):
    """Refuse a function or class over 40 lines; docstrings are free, comments are not."""
    documented = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    docstrings = [n.body[0] for n in ast.walk(node)
                  if isinstance(n, documented) and ast.get_docstring(n) is not None]
    free = sum(d.end_lineno - d.lineno + 1 for d in docstrings)
    length = node.end_lineno - node.lineno + 1 - free
    if length > LIMIT:
        raise chapter.refuse(cell, node, f"{node.name} has {length} lines without its docstrings, "
                             f"expected at most {LIMIT}: derive a part of it on its own first")


def check_names(chapter, definitions):
    """Refuse a name exported twice by one chapter."""
    seen = {}
    for d in definitions:
        first = seen.setdefault(d.name, d)
        if first is not d:
            line = first.cell.line + first.node.lineno - 1
            raise chapter.refuse(d.cell, d.node, f"{d.name} is already exported on line {line}")


def needed_imports(chapter, definitions):
    """The imports of the chapter, from whichever cell, whose names the exported code uses."""
    available = chapter_bindings(chapter)
    defined = {d.name for d in definitions}
    needed = []
    for name in sorted(names_used(definitions) - defined):
        binding = available.get(name)
        if binding is None:
            if name not in KNOWN:
                raise unknown_name(chapter, definitions, name)
        elif binding.module.split(".")[0] in ("course", "reference"):
            raise unknown_name(chapter, definitions, name, f"which {binding.module} owns")
        else:
            needed.append(binding)
    return needed


def names_used(definitions):
    """Every global name the exported code reads, as Python's own compiler sees it."""
    def walk(table):
        top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (top or symbol.is_global()):
                yield symbol.get_name()
        for child in table.get_children():
            yield from walk(child)

    return set(walk(symtable.symtable("\n\n".join(d.text for d in definitions), "nnlib", "exec")))


def unknown_name(chapter, definitions, name, which="which no cell imports and no export cell defines"):
    """The refusal for a name the module would not have, at the first place that uses it."""
    uses = ((d, node) for d in definitions for node in ast.walk(d.node)
            if isinstance(node, ast.Name) and node.id == name)
    definition, node = next(uses, (definitions[0], None))
    return chapter.refuse(definition.cell, node, f"exported code uses {name}, {which}")


def render(chapter, definitions, imports):
    """The text of a module."""
    exports = [f'"{d.name}"' for d in definitions if not d.name.startswith("_")]
    head = [
        f"{HEADER}{chapter.place} by `python -m course tangle`.",
        "# Do not edit: change the chapter, then tangle again.",
        f'"""{chapter.title}."""',
    ]
    parts = ["\n".join(head), *render_imports(imports), listing("__all__ = [", exports, "]")]
    text = "\n\n".join(parts) + "\n"
    previous = None
    for d in definitions:
        together = previous and d.is_constant and previous.is_constant and d.cell is previous.cell
        address = "" if together else f'# {chapter.place}, "{d.heading}"\n'
        text += ("" if together else "\n" if d.is_constant else "\n\n") + f"{address}{d.text}\n"
        previous = d
    return text


def render_imports(imports):
    """Three groups, as a reader expects them: standard library, third party, our own."""
    for _, group in groupby(sorted(imports, key=import_order), key=lambda b: import_order(b)[0]):
        lines = []
        for (_, plain, module, *_), same in groupby(group, key=lambda b: import_order(b)[:3]):
            statements = [b.statement() for b in same]
            lines += statements if plain == 0 else [from_import(module, statements)]
        yield "\n".join(lines)


def import_order(binding):
    """Sort key: group, `import` before `from`, module, name."""
    package = binding.module.split(".")[0]
    group = 2 if package == "nnlib" else 0 if package in sys.stdlib_module_names else 1
    return group, int(binding.attribute is not None), binding.module, binding.name


def from_import(module, names):
    """`from module import names`, in parentheses when it is long."""
    line = f"from {module} import {', '.join(names)}"
    return line if len(line) <= WIDTH else listing(f"from {module} import (", names, ")")


def listing(opening, items, closing):
    """`[a, b]` on one line where it fits, one item a line where it does not."""
    line = opening + ", ".join(items) + closing
    return line if len(line) <= WIDTH else "\n".join([opening, *(f"    {i}," for i in items), closing])


def package_files(root, modules):
    """The whole package as {file name: text}."""
    files = {f"{module.name}.py": module.text for module in modules if module.name}
    return {"__init__.py": render_package(root, modules), **files}


def render_package(root, modules):
    """`nnlib/__init__.py`: light, so that importing one module imports only what it needs."""
    project = root / "pyproject.toml"
    version = tomllib.loads(project.read_text("utf-8"))["project"]["version"] if project.exists() else "0"
    modules = [m for m in modules if m.name]
    width = max((len(m.name) for m in modules), default=0)
    contents = "\n".join(f"{m.name:{width}}  {m.chapter.title}" for m in modules)
    return (f"{HEADER}book/ by `python -m course tangle`.\n"
            "# Do not edit: change the chapters, then tangle again.\n"
            '"""Neural networks, cell by cell: the library that the book\'s chapters write.\n\n'
            f'{contents}\n"""\n\n__version__ = "{version}"\n')


def write_package(files, folder):
    """Write what changed, remove modules whose chapter is gone; returns the names touched."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = [name for name, text in files.items() if read(folder / name) != text.encode()]
    for name in changed:
        write_atomically(folder / name, files[name].encode())
    for path in sorted(folder.glob("*.py")):
        if path.name not in files and read(path).startswith(HEADER.encode()):
            path.unlink()
            changed.append(path.name)
    return changed


def read(path):
    """The bytes of a file, or nothing when it does not exist."""
    return path.read_bytes() if path.exists() else b""


def write_atomically(path, data):
    """Write under another name, then rename: a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.write_bytes(data)
    os.replace(temporary, path)

"""The student's side: notebooks in, the student's own `nnlib` out.

Part of the student edition; it needs the standard library only. Cells tagged `export`, and cells
the student added that hold nothing but imports, functions, classes and CONSTANTS, go into the
chapter's module. A cell that is not Python stops nobody: it is left out and named.
"""

import ast
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

HEADER = "# Made from {} by the course. Do not edit: change the notebook.\n"
NOT_OURS = ("course", "reference", "matplotlib", "IPython", "__future__")


@dataclass(frozen=True)
class Code:
    """A code cell: its source without magics, its syntax tree (None if it has none) and what it is."""

    source: str
    tree: object
    exported: bool
    own: bool
    exercise: str

    @property
    def counts(self):
        """Do the cell's definitions belong to the chapter's module?"""
        return self.tree is not None and (self.exported or self.own)


@dataclass(frozen=True)
class Page:
    """One chapter's notebook as it is saved."""

    path: Path
    module: str
    cells: tuple

    @property
    def imports(self):
        """Every import of the notebook that an answer may need, as {name: statement}."""
        found = {}
        for cell in self.cells:
            for node in cell.tree.body if cell.tree else ():
                if isinstance(node, ast.Import | ast.ImportFrom):
                    found.update(statements(node))
        return found

    def sources(self, exercise):
        """What to execute to get at the answer to an exercise; None where the notebook has no cell for it."""
        place = next((k for k, c in enumerate(self.cells) if c.exercise == exercise), None)
        if place is None:
            return None
        answer = self.cells[place]
        before = [c.source for k, c in enumerate(self.cells)
                  if c.counts and c is not answer and (c.own or k < place)]
        return [*self.imports.values(), *before, answer.source]


def read_page(path):
    """Read a notebook; what is not a notebook has no cells."""
    try:
        notebook = json.loads(Path(path).read_text(encoding="utf-8"))
        cells = tuple(read_code(c) for c in notebook["cells"] if c["cell_type"] == "code")
        return Page(Path(path), notebook["metadata"].get("nnlib", ""), cells)
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return Page(Path(path), "", ())


def read_code(cell):
    """One code cell."""
    lines = "".join(cell["source"]).split("\n")
    source = "\n".join("" if re.match(r"\s*[%!]", line) else line for line in lines)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        tree = None
    ours = cell["metadata"].get("nnlib", {})
    exported = "export" in cell["metadata"].get("tags", [])
    own = not ours and not exported and bool(tree and tree.body) and all(map(is_definition, tree.body))
    return Code(source, tree, exported, own, ours.get("exercise", ""))


def is_definition(node):
    """Is a statement an import, a function, a class or a CONSTANT?"""
    if isinstance(node, ast.Assign):
        return all(isinstance(t, ast.Name) and t.id.isupper() for t in node.targets)
    return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)


def statements(node):
    """An import taken apart: one statement for each name it binds."""
    module = getattr(node, "module", None)
    for alias in node.names:
        if (module or alias.name).split(".")[0] not in NOT_OURS and alias.name != "*":
            one = ast.Import([alias]) if module is None else ast.ImportFrom(module, [alias], node.level)
            yield alias.asname or alias.name.split(".")[0], ast.unparse(one)


def pages(folder):
    """The chapters' notebooks, in the book's order."""
    return [read_page(path) for path in sorted(Path(folder).glob("[0-9][0-9]-*.ipynb"))]


def module_text(page):
    """The module a notebook makes."""
    cells = [cell for cell in page.cells if cell.counts]
    used = {node.id for cell in cells for node in ast.walk(cell.tree) if isinstance(node, ast.Name)}
    imports = [text for name, text in page.imports.items() if name in used]
    body = [cell.source.strip("\n") for cell in cells]
    return HEADER.format(page.path.name) + "\n".join(sorted(imports)) + "\n\n\n" + "\n\n\n".join(body) + "\n"


def build(folder, before=None):
    """Write `nnlib/` from the notebooks, up to but not including `before`; returns what was left out."""
    package, problems = Path(folder) / "nnlib", []
    package.mkdir(exist_ok=True)
    for page in pages(folder):
        if before is not None and page.path.name >= Path(before).name:
            break
        if not page.module:
            problems.append(f"{page.path.name} cannot be read")
            continue
        bad = sum(c.tree is None and (c.exported or bool(c.exercise)) for c in page.cells)
        if bad:
            problems.append(f"{page.path.name}: {bad} cell{'s' * (bad > 1)} with a syntax error left out")
        write(package / f"{page.module}.py", module_text(page))
    return problems


def write(path, text):
    """Write a file that changed, under another name first."""
    if not path.exists() or path.read_bytes() != text.encode():
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(text.encode())
        os.replace(temporary, path)

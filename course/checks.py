"""The rules for `check` cells, decided from the text alone, before any kernel starts."""

import ast

from course.chapter import parse_file
from course.imports import bindings, closure

QUIET = (ast.Expr, ast.For, ast.With, ast.Pass)
BINDING = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr, ast.FunctionDef,
           ast.ClassDef, ast.Import, ast.ImportFrom, ast.Delete, ast.AsyncFunctionDef)


def plan_checks(root, chapter, module):
    """{cell: (exports, uses, targets)} for each check cell: what `standin.enter` needs."""
    plans, visible, functions = {}, {}, {}
    for cell, tree in zip(chapter.code, chapter.trees):
        if "check" in cell.tags:
            plans[cell] = plan_check(root, chapter, cell, tree, visible, functions)
            continue
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module.startswith("nnlib."):
                source = node.module.removeprefix("nnlib.")
                visible.update({b.name: (source, b.attribute) for b in bindings(node)})
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                functions[node.name] = loads(node)
        for d in module.definitions:
            if d.cell is cell:
                visible[d.name] = (chapter.module, d.name)
                functions.pop(d.name, None)
    return plans


def plan_check(root, chapter, cell, tree, visible, functions):
    """Check one cell against the rules and say what to swap while it runs."""
    for node in ast.walk(tree):
        if isinstance(node, BINDING):
            found = ast.unparse(node).split("\n")[0]
            raise chapter.refuse(cell, node, "a check cell only shows things (it assigns and defines "
                                 f"nothing, its values would be the reference's), found `{found}`")
    for node in tree.body:
        if not isinstance(node, QUIET):
            raise chapter.refuse(cell, node, "a check cell holds expressions and for loops, found "
                                 f"`{ast.unparse(node).splitlines()[0]}`")
    uses = closure(loads(tree), lambda name: functions.get(name, ()))  # helpers' reads too
    for name in sorted(uses & visible.keys()):
        source, attribute = visible[name]
        if attribute not in reference_names(root, source):
            raise chapter.refuse(cell, first_use(tree, name), f"check uses {name}, which "
                                 f"reference/{source}.py does not have")
    if not uses & visible.keys():
        raise chapter.refuse(cell, None, "this check would check nothing: it uses no name that "
                             "nnlib exports and the reference also has")
    swaps = {name: where for name, where in visible.items()
             if where[1] in reference_names(root, where[0])}
    targets = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return swaps, sorted(uses), sorted(set(targets))


def loads(tree):
    """The names a piece of code reads."""
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def first_use(tree, name):
    """The first node that reads `name`, or None when only another function does."""
    return next((n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == name), None)


def reference_names(root, module):
    """The names reference/<module>.py defines, read from its text."""
    path = root / "reference" / f"{module}.py"
    if not path.exists():
        return set()
    names = set()
    for node in parse_file(path, root).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(t.id for t in node.targets if isinstance(t, ast.Name))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(b.name for b in bindings(node))
    return names

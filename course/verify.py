"""The drift check: what is committed is what the chapters say."""

import nbformat

from course.classroom import appendix
from course.inline import pattern
from course.outputs import blank_notebook
from course.tangle import package_files, tangle


def verify(root):
    """Every difference between the chapters and what was generated from them, as lines of text."""
    modules, answers = tangle(root), list(appendix.drift(root))
    return [*package_drift(root, package_files(root, modules)),
            *(problem for m in modules for problem in notebook_drift(root, m.chapter)),
            *stray_notebooks(root, modules), *answers]


def package_drift(root, files):
    """nnlib/ must be, byte for byte, what tangling writes, and nothing else."""
    folder = root / "nnlib"
    for name, text in files.items():
        path = folder / name
        if not path.exists():
            yield f"nnlib/{name}:1: missing; run `python -m course tangle`"
        elif path.read_bytes() != text.encode():
            line = first_difference(path.read_bytes().decode(errors="replace"), text)
            yield f"nnlib/{name}:{line}: differs from its chapter; edit that, then tangle again"
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        made = inside.as_posix() in files or inside.parts[0] in ("__pycache__", "pretrained")
        if path.is_file() and not made:
            yield f"nnlib/{inside.as_posix()}:1: no chapter makes this file"


def first_difference(one, other):
    """The first line where two texts differ, counted from 1."""
    pairs = zip([*one.split("\n"), None], [*other.split("\n"), None])
    return next((k for k, (a, b) in enumerate(pairs, 1) if a != b), 1)


def notebook_drift(root, chapter):
    """A committed notebook's cells must be its chapter's, and every code cell executed."""
    place = f"book/notebooks/{chapter.name}.ipynb"
    path = root / place
    if not path.exists():
        yield f"{place}:1: missing; run `python -m course weave`"
        return
    try:
        notebook = nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        yield f"{place}:1: cannot be read: {str(error).splitlines()[0]}"
        return
    if len(notebook.cells) != len(chapter.cells):
        yield (f"{place}:1: has {len(notebook.cells)} cells, {chapter.place} has "
               f"{len(chapter.cells)}; run `python -m course weave`")
        return
    for cell, expected, found in zip(chapter.cells, blank_notebook(chapter).cells, notebook.cells):
        where = f"{chapter.place}:{cell.line}"
        if not same_cell(expected, found):
            yield f"{where}: {path.name} has another cell here; run `python -m course weave`"
        elif cell.kind == "code" and found.execution_count is None:
            yield f"{where}: {path.name} has no execution count here, so nothing would compare it"


def same_cell(expected, found):
    """Is a notebook's cell the chapter's, its outputs and inline values left out?"""
    if expected.cell_type == "markdown":
        same = pattern(expected.source).fullmatch(found.source) is not None
    else:
        same = expected.source == found.source
    return same and (expected.cell_type, expected.id, expected.metadata) == (
        found.cell_type, found.get("id"), found.metadata)


def stray_notebooks(root, modules):
    """A notebook without a chapter."""
    names = {module.chapter.name for module in modules}
    for path in sorted((root / "book" / "notebooks").glob("*.ipynb")):
        if path.stem not in names:
            yield f"book/notebooks/{path.name}:1: no chapter makes this notebook"

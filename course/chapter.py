"""Read chapters: MyST Markdown in, cells that know their line in the file out."""

import ast
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml
from jupytext.myst import MystMetadataParsingError, myst_to_notebook

from course.errors import Refusal

TAGS = {
    "export", "check", "exercise", "hide-input", "nbval-ignore-output", "raises-exception",
    "hide-output", "hide-cell", "remove-input", "remove-output", "remove-cell",
}
CONTRADICTIONS = [("export", "check"), ("check", "nbval-ignore-output")]
FENCE = re.compile(r"\s*(`{3,}|~{3,})(.*)")


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell: `line` is where its source starts in the chapter, counted from 1."""

    kind: str
    source: str
    line: int
    metadata: dict = field(repr=False)
    heading: str

    @property
    def tags(self):
        return self.metadata.get("tags", [])


@dataclass(frozen=True, eq=False)
class Chapter:
    """One `book/NN-slug.md`, parsed."""

    path: Path
    place: str
    text: str = field(repr=False)
    metadata: dict
    title: str
    cells: tuple = field(repr=False)

    @property
    def name(self):
        return self.path.stem

    @property
    def number(self):
        return int(self.name[:2])

    @property
    def module(self):
        """The module it writes; None for a page of the gallery (`nnlib: null`)."""
        return self.metadata["nnlib"]

    @property
    def writes(self):
        return self.metadata.get("writes", [])

    @property
    def code(self):
        return [cell for cell in self.cells if cell.kind == "code"]

    @cached_property
    def trees(self):
        """The syntax tree of every code cell, in the order of `code`."""
        return [parse_cell(self, cell) for cell in self.code]

    def refuse(self, cell, node, message):
        """A refusal that points at `node` (a syntax node, a line within the cell, or None)."""
        offset = getattr(node, "lineno", node or 1)
        return Refusal(self.place, cell.line + offset - 1, message)


def read_book(root, last=None):
    """The chapters of the book in `root`, up to number `last`; sorted file names are their order."""
    paths = sorted((root / "book").glob("[0-9][0-9]-*.md"))
    numbers = [int(path.name[:2]) for path in paths]
    if last is not None and last not in numbers:
        raise Refusal("book", 0, f"no chapter {last:02d}; there are {[p.stem for p in paths]}")
    chapters = [read_chapter(path, root) for path, number in zip(paths, numbers)
                if last is None or number <= last]
    owners = {}
    for chapter in chapters:
        first = owners.setdefault(chapter.module, chapter)
        if first is not chapter and chapter.module:
            raise Refusal(chapter.place, line_of(chapter.text, "nnlib:"),
                          f"one chapter owns a module, but {first.place} already has "
                          f"nnlib: {chapter.module}")
    return chapters


def read_chapter(path, root):
    """Parse one chapter and check what can be checked without running anything."""
    text = path.read_text(encoding="utf-8")
    place = path.relative_to(root).as_posix()
    try:
        notebook = myst_to_notebook(text, add_source_map=True)
    except (MystMetadataParsingError, yaml.YAMLError) as error:
        raise Refusal(place, 1, f"cannot be read: {' '.join(str(error).split())}") from None
    metadata = dict(notebook.metadata)
    starts = metadata.pop("source_map")
    if metadata.get("nnlib", "") is not None and not re.fullmatch(r"[a-z][a-z0-9_]*", str(metadata.get("nnlib", ""))):
        raise Refusal(place, line_of(text, "nnlib:"),
                      "untagged chapter: its front matter must name its module, "
                      f"as in `nnlib: activations`, or say `nnlib: null`; got {metadata.get('nnlib')!r}")
    cells = tuple(read_cells(text.splitlines(), notebook.cells, starts))
    title = next((heading for cell in cells for level, heading in headings(cell) if level == 1), "")
    if not title:
        raise Refusal(place, 1, "expected a title, as in `# Activations`; found none")
    chapter = Chapter(path, place, text, metadata, title, cells)
    for cell in chapter.code:
        check_tags(chapter, cell)
    return chapter


def read_cells(lines, cells, starts):
    """Give each notebook cell its first line in the file and the heading it stands under."""
    heading = ""
    for cell, start in zip(cells, starts):
        body = cell.source.splitlines()
        end = len(lines) - len(body)
        begin = next((k for k in range(start, end + 1) if lines[k:k + len(body)] == body), start)
        read = Cell(cell.cell_type, cell.source, begin + 1, dict(cell.metadata), heading)
        yield read
        for _, heading in headings(read):
            pass


def headings(cell):
    """The (level, text) of each Markdown heading in a cell, those in code fences left out."""
    if cell.kind != "markdown":
        return
    for line, fence in fenced(cell.source):
        match = re.match(r"(#{1,6})\s+(.*?)\s*#*$", line)
        if match and fence is None:
            yield len(match[1]), match[2].replace('"', "'")


def fenced(text):
    """Pair each line of Markdown with the opening line's info of the fence it is in, or None."""
    stack = []
    for line in text.split("\n"):
        mark = FENCE.match(line)
        if mark and stack and mark[1].startswith(stack[-1][0]) and not mark[2].strip():
            stack.pop()
            yield line, "fence"
        elif mark and (not stack or is_directive(stack[-1][1])):
            stack.append((mark[1], mark[2].strip()))
            yield line, "fence"
        else:
            yield line, stack[-1][1] if stack else None


def is_directive(info):
    """Is a fence with this info read as Markdown (`{margin}`), rather than shown as code?"""
    return info.startswith("{") and not info.startswith(("{code", "{literal", "{math", "{bib"))


def check_tags(chapter, cell):
    """Refuse a tag nobody acts on (a typing slip would go unseen) and tags that contradict."""
    for tag in cell.tags:
        if tag not in TAGS:
            raise chapter.refuse(cell, None, f"unknown tag {tag!r}: expected {sorted(TAGS)}")
    for one, other in CONTRADICTIONS:
        if one in cell.tags and other in cell.tags:
            raise chapter.refuse(cell, None, f"a cell is either {one!r} or {other!r}, not both")
    if not cell.source.strip():
        raise chapter.refuse(cell, None, "empty code cell: it would never be executed")
    if "NBVAL_" in cell.source:
        raise chapter.refuse(cell, None, "say what nbval does with a cell in its tags, not its code")


def parse_cell(chapter, cell):
    """The syntax tree of a code cell; magics are refused in export cells, left out elsewhere."""
    lines = cell.source.split("\n")
    magic = [k for k, line in enumerate(lines, 1) if re.match(r"\s*[%!]|.*\w\?\s*$", line)]
    try:
        if "export" in cell.tags:
            compile(cell.source, chapter.place, "exec", dont_inherit=True)
        return ast.parse(cell.source)
    except SyntaxError as error:
        if "export" in cell.tags or not magic:
            if magic:
                raise chapter.refuse(cell, magic[0], "export cells are plain Python, found the magic "
                                     f"or shell escape `{lines[magic[0] - 1].strip()}`") from None
            if "raises-exception" in cell.tags:
                return ast.parse("")
            raise chapter.refuse(cell, error.lineno, f"syntax error: {error.msg}") from None
    if lines[0].lstrip().startswith("%%"):
        return ast.parse("")
    plain = [re.match(r"\s*", line)[0] + "pass" if k in magic else line
             for k, line in enumerate(lines, 1)]
    try:
        return ast.parse("\n".join(plain))
    except SyntaxError as error:
        raise chapter.refuse(cell, error.lineno, f"syntax error: {error.msg}") from None


def parse_file(path, root):
    """The syntax tree of a Python file of the repository."""
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        place = path.relative_to(root).as_posix()
        raise Refusal(place, error.lineno, f"syntax error: {error.msg}") from None


def line_of(text, start):
    """The first line of `text` that begins with `start`, counted from 1; 1 when there is none."""
    lines = text.splitlines()
    return next((k for k, line in enumerate(lines, 1) if line.startswith(start)), 1)

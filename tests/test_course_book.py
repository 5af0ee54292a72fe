"""The real book: what is committed is what its chapters say."""

import ast
import re
import sys

import nbformat
import pytest

from course.chapter import read_chapter
from course.environment import ROOT
from course.stages import check_tests, check_unchanged
from course.tangle import tangle
from course.verify import verify

CHAPTERS = sorted((ROOT / "book").glob("[0-9][0-9]-*.md"))
WRITING = [path for path in CHAPTERS if "\nnnlib: null" not in path.read_text(encoding="utf-8")]
NOTEBOOKS = sorted((ROOT / "book" / "notebooks").glob("*.ipynb"))
LONG = 300


def stem(path):
    return path.stem


@pytest.fixture(scope="module")
def modules():
    return [module for module in tangle(ROOT) if module.name]


def test_no_drift():
    assert verify(ROOT) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=stem)
def test_every_code_cell_has_an_execution_count(path):
    """nbval compares no cell without one."""
    notebook = nbformat.read(path, as_version=4)
    assert None not in [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("k", range(len(WRITING)), ids=map(stem, WRITING))
def test_a_modules_tests_need_no_later_chapter(modules, k):
    """What `python -m course stages` relies on; it runs the tests themselves."""
    check_tests(ROOT, modules[k], modules[k + 1:])
    check_unchanged(ROOT, modules, k)


def test_the_machinery_stays_readable():
    for path in sorted((ROOT / "course").rglob("*.py")):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= LONG, path.name


@pytest.mark.parametrize("path", CHAPTERS, ids=stem)
def test_no_visible_code_line_scrolls_on_the_page(path):
    """A page shows 88 columns; folded cells may be wider."""
    for cell in read_chapter(path, ROOT).code:
        if "hide-input" not in cell.tags:
            assert max(map(len, cell.source.splitlines())) <= 88, f"{path.name}:{cell.line}"


def imported(tree):
    """The top-level modules that a syntax tree imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", CHAPTERS, ids=stem)
def test_a_chapter_imports_only_what_is_installed_for_it(path):
    lock = set(re.findall(r"^[\w-]+(?===)", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE))
    known = {"nnlib", "course", *sys.stdlib_module_names}
    found = set().union(*(imported(ast.parse(cell.source)) for cell in read_chapter(path, ROOT).code))
    assert {{"PIL": "pillow", "yaml": "pyyaml"}.get(name, name.lower()) for name in found - known} <= lock


@pytest.mark.parametrize("path", CHAPTERS, ids=stem)
def test_no_formula_shows_the_backslash_of_an_underscore(path):
    """MathJax takes the underscore's backslash away in \\mathrm{fan\\_in}, not in \\text{fan\\_in}."""
    assert re.findall(r"\\text\{[^}]*\\_", path.read_text(encoding="utf-8")) == []

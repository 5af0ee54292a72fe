"""The drift check: what it finds between the chapters and what was generated from them."""

import nbformat
import pytest
from small_book import copy_to, edit

from course.chapter import read_book
from course.inline import substitute
from course.outputs import blank_notebook, dump
from course.tangle import package_files, tangle, write_package
from course.verify import verify


@pytest.fixture
def book(tmp_path):
    """The small book with everything generated; notebooks as if executed, values filled in."""
    root = copy_to(tmp_path)
    write_package(package_files(root, tangle(root)), root / "nnlib")
    (root / "book" / "notebooks").mkdir()
    for chapter in read_book(root):
        notebook = blank_notebook(chapter)
        for count, cell in enumerate(notebook.cells, 1):
            if cell.cell_type == "code":
                cell.execution_count = count
            elif "The last one" in cell.source:
                cell.source = substitute(cell.source, ["6.283", "4"])
        path(root, chapter.name).write_bytes(dump(notebook))
    return root


def path(root, name):
    return root / "book" / "notebooks" / f"{name}.ipynb"


def change(root, name, action):
    notebook = nbformat.read(path(root, name), as_version=4)
    action(notebook)
    path(root, name).write_bytes(dump(notebook))


def cell_with(notebook, text):
    return next(cell for cell in notebook.cells if text in cell.source)


def test_nothing_to_find(book):
    assert verify(book) == []


def test_an_edited_module(book):
    module = book / "nnlib" / "lines.py"
    module.write_text(module.read_text().replace("+ height", "- height"))
    assert verify(book) == ["nnlib/lines.py:13: differs from its chapter; edit that, then tangle again"]


def test_windows_line_ends_are_a_difference_too(book):
    module = book / "nnlib" / "lines.py"
    module.write_bytes(module.read_bytes().replace(b"\n", b"\r\n"))
    assert verify(book) == ["nnlib/lines.py:1: differs from its chapter; edit that, then tangle again"]


def test_a_missing_and_a_stray_module(book):
    (book / "nnlib" / "lines.py").rename(book / "nnlib" / "curves.py")
    (book / "nnlib" / "sub").mkdir()
    (book / "nnlib" / "sub" / "data.bin").write_bytes(b"")
    assert verify(book) == ["nnlib/lines.py:1: missing; run `python -m course tangle`",
                            "nnlib/curves.py:1: no chapter makes this file",
                            "nnlib/sub/data.bin:1: no chapter makes this file"]


def test_a_missing_and_a_stray_notebook(book):
    path(book, "03-lines").rename(path(book, "04-curves"))
    assert verify(book) == ["book/notebooks/03-lines.ipynb:1: missing; run `python -m course weave`",
                            "book/notebooks/04-curves.ipynb:1: no chapter makes this notebook"]


def test_a_notebook_with_a_merge_conflict(book):
    text = path(book, "03-lines").read_text()
    path(book, "03-lines").write_text(text.replace('"cells"', '<<<<<<< ours\n"cells"'))
    [problem] = verify(book)
    assert problem.startswith("book/notebooks/03-lines.ipynb:1: cannot be read: ")


def test_a_chapter_edited_after_the_weave(book):
    line = edit(book, "02", "np.arange(3)", "np.arange(4)")
    assert verify(book) == [f"book/02-shifting.md:{line}: 02-shifting.ipynb has another cell here; "
                            "run `python -m course weave`"]


def test_a_chapter_with_more_cells_than_its_notebook(book):
    change(book, "02-shifting", lambda notebook: notebook.cells.pop())
    assert verify(book)[0].startswith("book/notebooks/02-shifting.ipynb:1: has 6 cells, "
                                      "book/02-shifting.md has 7")


@pytest.mark.parametrize("text, edited", [("show(shift", {"source": "show(3)"}),
                                          ("show(shift", {"metadata": {"tags": ["nbval-ignore-output"]}}),
                                          ("# Shifting", {"source": "# Something else"}),
                                          ("# Shifting", {"id": "another"})])
def test_an_edited_notebook(book, text, edited):
    change(book, "02-shifting", lambda notebook: cell_with(notebook, text).update(edited))
    [problem] = verify(book)
    assert "02-shifting.ipynb has another cell here" in problem


def test_inline_values_may_differ_the_words_around_them_may_not(book):
    def other_value(notebook):
        cell = cell_with(notebook, "6.283")
        cell.source = cell.source.replace("6.283", "6.284")

    def other_words(notebook):
        cell = cell_with(notebook, "6.284")
        cell.source = cell.source.replace("The last one is", "The last was")

    change(book, "01-scaling", other_value)
    assert verify(book) == []
    change(book, "01-scaling", other_words)
    assert len(verify(book)) == 1


def test_a_cell_that_never_ran(book):
    def forget(notebook):
        cell_with(notebook, "Scaler(factor)").execution_count = None

    change(book, "01-scaling", forget)
    [problem] = verify(book)
    assert problem.endswith("01-scaling.ipynb has no execution count here, so nothing would compare it")

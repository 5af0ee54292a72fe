"""Weave: what a notebook holds, where its outputs come from, what is executed again, what refused.

Kernels start in the order of a second, so chapters are woven together where that says as much.
"""

import json
import shutil

import nbformat
import pytest
from small_book import add, copy_to, edit

from course import cache
from course.errors import Refusal
from course.tangle import package_files, tangle, write_package
from course.weave import weave

@pytest.fixture(scope="module")
def woven(tmp_path_factory):
    """The small book, woven once. Tests that change it take a copy."""
    root = copy_to(tmp_path_factory.mktemp("woven"))
    write_package(package_files(root, tangle(root)), root / "nnlib")
    assert weave(root) == ["01-scaling", "02-shifting", "03-lines"]
    return root


@pytest.fixture
def book(woven, tmp_path):
    shutil.copytree(woven, tmp_path / "small")
    return tmp_path / "small"


def notebooks(root):
    return {path.name: path.read_bytes() for path in (root / "book" / "notebooks").iterdir()}


def read(root, name):
    return nbformat.read(root / "book" / "notebooks" / f"{name}.ipynb", as_version=4)


def code_cells(root, name):
    return [cell for cell in read(root, name).cells if cell.cell_type == "code"]


def refusal(root, chapter="2"):
    with pytest.raises(Refusal) as caught:
        weave(root, [chapter])
    return str(caught.value)


def test_two_weaves_from_scratch_are_byte_identical(woven, tmp_path):
    again = copy_to(tmp_path)
    weave(again, jobs=1)
    assert notebooks(again) == notebooks(woven)


def test_every_code_cell_has_an_execution_count_and_ids_are_distinct(woven):
    for name in ("01-scaling", "02-shifting", "03-lines"):
        counts = [cell.execution_count for cell in code_cells(woven, name)]
        assert counts == list(range(1, len(counts) + 1))
        ids = [cell.id for cell in read(woven, name).cells]
        assert len(set(ids)) == len(ids)


def test_nothing_of_the_machine_is_in_a_notebook(woven):
    for name, data in notebooks(woven).items():
        if name.endswith(".ipynb"):
            assert str(woven).encode() not in data and b"at 0x" not in data
            assert set(json.loads(data)["metadata"]["language_info"]) == {
                "name", "file_extension", "mimetype", "pygments_lexer"}


def test_a_traceback_keeps_its_last_line_and_a_warning_its_message(woven):
    error, warning, figure = (cell.outputs[0] for cell in code_cells(woven, "02-shifting")[2:5])
    assert error.traceback == ["ValueError: expected a number, got 'two'"]
    assert warning.text == "RuntimeWarning: something to notice\n"
    assert list(figure.data) == ["image/png", "text/plain"]


def test_inline_values_are_in_the_text_and_fences_are_left_alone(woven):
    [text] = [cell.source for cell in read(woven, "01-scaling").cells if "The last one" in cell.source]
    assert text.startswith("The last one is 6.283, and there are 4 of them.")
    assert "print(\"{eval}`this is shown, not evaluated`\")" in text


def test_files_a_chapter_writes_reach_the_root_from_the_cache_too(book):
    assert (book / "line.csv").exists()
    (book / "line.csv").unlink()
    assert weave(book) == [] and (book / "line.csv").exists()


def test_one_edit_executes_only_what_depends_on_it(book):
    edit(book, "01", "FACTOR = 2.0", "FACTOR = 4.0")
    assert weave(book) == ["01-scaling", "03-lines"]
    reference = book / "reference" / "shifting.py"
    reference.write_text(reference.read_text() + "\n# a remark\n")
    assert weave(book) == ["02-shifting"]
    edit(book, "03", "A chapter that builds", "A chapter which builds")
    assert weave(book) == ["03-lines"] and weave(book) == []


def test_files_a_chapter_names_are_part_of_its_key(book):
    def key():
        modules = tangle(book)
        return cache.key(book, modules[1], modules)

    edit(book, "02", "A chapter that needs no other one.", "See long.csv.")
    before = key()
    (book / "book" / "results").mkdir()
    (book / "book" / "results" / "other.csv").write_text("1")
    assert key() == before
    (book / "book" / "results" / "long.csv").write_text("1")
    assert key() != before


def test_a_chapter_sees_nnlib_as_it_stood_before_it(book):
    add(book, "02", ("raises-exception", "__import__('nnlib.lines')"),
        ("raises-exception", "__import__('nnlib.shifting')"),
        ("", "__import__('nnlib.scaling').scaling.scale(3.0).item()"))
    assert weave(book, ["02-shifting"]) == ["02-shifting"]
    later, own, earlier = (cell.outputs[0] for cell in code_cells(book, "02-shifting")[-3:])
    assert (later.ename, own.ename) == ("ModuleNotFoundError", "ModuleNotFoundError")
    assert earlier.data["text/plain"] == "6.0"


def test_weave_removes_a_notebook_without_a_chapter(book):
    (book / "book" / "notebooks" / "09-gone.ipynb").write_text("{}")
    weave(book)
    assert "09-gone.ipynb" not in notebooks(book)


@pytest.mark.parametrize("tags, source, message", [
    ("", "1 / 0", "ZeroDivisionError: division by zero"),
    ("raises-exception", "1 + 1", "tagged raises-exception, but nothing was raised"),
    ("", "plt.plot([1, 2])", "its output shows a memory address"),
    ("", "import os\nos._exit(1)", "Kernel died"),
])
def test_refuses_what_a_cell_must_not_do(book, tags, source, message):
    [line] = add(book, "02", (tags, source))
    before = notebooks(book)
    assert refusal(book).startswith(f"book/02-shifting.md:{line}: {message}")
    assert notebooks(book) == before


def test_refuses_a_check_that_shows_nnlibs_own_objects(book):
    line = add(book, "01", ("", "triple = Scaler(3.0)"), ("check", "show(triple(x), scale(x))"))[1]
    assert refusal(book, "1").startswith(f"book/01-scaling.md:{line}: triple holds something made by nnlib")


def test_refuses_an_inline_expression_that_fails(book):
    line = edit(book, "02", "A chapter that needs no other one.", "One.\nTwo {eval}`1 / 0`.")
    assert refusal(book) == f"book/02-shifting.md:{line + 1}: {{eval}}`1 / 0`: ZeroDivisionError: division by zero"


def test_refuses_a_promised_file_that_is_not_written(book):
    edit(book, "03", "writes: [line.csv]", "writes: [other.csv]")
    assert refusal(book, "3") == "book/03-lines.md:1: its front matter says it writes other.csv, it did not"


def test_refuses_a_chapter_nobody_wrote(book):
    assert refusal(book, "7").startswith("book: no chapter 07")
    assert refusal(book, "seven").startswith("book: expected a chapter's number")


def test_after_a_refusal_no_other_chapter_starts(book):
    add(book, "01", ("", "1 / 0"))
    edit(book, "02", "A chapter that needs", "A chapter which needs")
    with pytest.raises(Refusal, match="ZeroDivisionError"):
        weave(book, jobs=1)
    assert weave(book, ["2"]) == ["02-shifting"]

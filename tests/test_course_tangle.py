"""Tangle: what it writes, and every rule it keeps, each broken once on a small made-up book."""

import subprocess
import sys

import pytest
from small_book import add, copy_to, edit

from course.errors import Refusal
from course.tangle import package_files, tangle, write_package


@pytest.fixture
def book(tmp_path):
    return copy_to(tmp_path)


def refusal(root):
    with pytest.raises(Refusal) as caught:
        tangle(root)
    return str(caught.value)


def long_body(lines):
    return "\n".join(f"    x = {k}" for k in range(lines))


def test_module_text(book):
    scaling = tangle(book)[0].text
    assert scaling.startswith("# Generated from book/01-scaling.md by `python -m course tangle`.\n")
    assert '"""Scaling."""\n\nimport numpy as np\n\n__all__ = ["FACTOR", "scale", "Scaler"]\n' in scaling
    assert '# book/01-scaling.md, "One function"\n# The factor that nobody chose.\nFACTOR = 2.0\n' in scaling
    assert '\n\n\n# book/01-scaling.md, "One class"\nclass Scaler:\n' in scaling
    assert "return np.multiply(x, factor)  # not in place" in scaling


def test_imports_are_gathered_grouped_and_only_those_used(book):
    add(book, "03", ("", "import os, math\nfrom collections import OrderedDict as OD, deque"),
        ("export", "def far(x):\n    return math.hypot(*x), np.max(x), deque(x), OD()"))
    text = tangle(book)[2].text
    assert ("import math\nfrom collections import OrderedDict as OD, deque\n\n"
            "import numpy as np\n\nfrom nnlib.scaling import scale\n\n__all__") in text
    assert "import os" not in text


def test_import_statements_leave_their_cell_and_comments_stay(book):
    add(book, "03", ("export", "import math  # gone\n# why this is here\n@staticmethod\ndef area(r):\n"
                               "    return math.pi * r**2\n\n# the last word"))
    text = tangle(book)[2].text
    assert '# book/03-lines.md, "Lines"\n# why this is here\n@staticmethod\ndef area(r):' in text
    assert text.endswith("    return math.pi * r**2\n\n# the last word\n") and "gone" not in text


def test_private_names_are_written_but_not_exported(book):
    for number in ("02", "03"):
        add(book, number, ("export", "def _inner():\n    return 1"))
    module = tangle(book)[2]
    assert module.exports == ["line"] and "def _inner" in module.text


def test_through_gives_the_package_as_it_stood(book):
    assert [module.name for module in tangle(book, 2)] == ["scaling", "shifting"]
    with pytest.raises(Refusal, match="no chapter 07; there are"):
        tangle(book, 7)


def test_later_chapters_are_not_even_read(book):
    edit(book, "03", "nnlib: lines\n", "")
    assert len(tangle(book, 2)) == 2


def test_writes_only_what_changed_and_removes_what_has_no_chapter(book):
    folder = book / "nnlib"
    assert len(write_package(package_files(book, tangle(book)), folder)) == 4
    (folder / "by_hand.py").write_text("# kept\n")
    before = (folder / "lines.py").stat().st_mtime_ns
    edit(book, "01", "FACTOR = 2.0", "FACTOR = 4.0")
    assert write_package(package_files(book, tangle(book)), folder) == ["scaling.py"]
    assert (folder / "lines.py").stat().st_mtime_ns == before
    (book / "book" / "03-lines.md").unlink()
    assert write_package(package_files(book, tangle(book)), folder) == ["__init__.py", "lines.py"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "__init__.py", "by_hand.py", "scaling.py", "shifting.py"]


def test_the_package_runs_and_importing_it_imports_nothing_else(book):
    write_package(package_files(book, tangle(book)), book / "nnlib")
    code = ("import sys, nnlib; assert 'numpy' not in sys.modules; from nnlib.lines import *; "
            "print(line([2.0], 3.0, 1.0))")
    done = subprocess.run([sys.executable, "-c", code], cwd=book, capture_output=True, text=True)
    assert done.stdout == "[7.]\n", done.stderr


@pytest.mark.parametrize("magic", ["%matplotlib inline", "!ls", "%%timeit", "scale?"])
def test_refuses_magics_in_export_cells(book, magic):
    [line] = add(book, "02", ("export", f"{magic}\ndef f():\n    return 1"))
    assert refusal(book).startswith(f"book/02-shifting.md:{line}: export cells are plain Python")


def test_magics_elsewhere_do_not_disturb(book):
    add(book, "02", ("", "%timeit shift(1, 2)\nimport math"), ("", "%%bash\nls | wc"),
        ("export", "def f(x):\n    return math.tau * (x\n        % 2)"))
    assert "import math" in tangle(book)[1].text


def test_refuses_a_syntax_error(book):
    [line] = add(book, "02", ("export", "def f():\n    return (1"))
    assert refusal(book).startswith(f"book/02-shifting.md:{line + 1}: syntax error: ")
    edit(book, "02", "return (1", "return 1\nreturn 2")
    assert refusal(book) == f"book/02-shifting.md:{line + 2}: syntax error: 'return' outside function"


def test_a_cell_may_show_a_syntax_error(book):
    add(book, "02", ("raises-exception", "def f(:"))
    assert len(tangle(book)) == 3


def test_refuses_a_name_exported_twice(book):
    line = edit(book, "01", "class Scaler:", "class scale:")
    assert refusal(book) == f"book/01-scaling.md:{line}: scale is already exported on line {line - 28}"


def test_refuses_a_name_another_chapter_exports(book):
    [line] = add(book, "02", ("export", "def scale(x):\n    return x"))
    assert refusal(book) == f"book/02-shifting.md:{line}: scale is already exported by book/01-scaling.md"


@pytest.mark.parametrize("statement, message", [
    ("from nnlib.lines import line", "forward import: nnlib.lines is made by a later chapter, book/03-lines.md"),
    ("from nnlib.shifting import shift", "forward import: nnlib.shifting is made by its own chapter"),
    ("from nnlib.nothing import x", "no chapter makes nnlib.nothing"),
    ("from nnlib.scaling import shrink", "nnlib.scaling does not export shrink; it exports"),
    ("import nnlib.scaling as s", "import names from a module of nnlib"),
    ("from nnlib import scaling", "import names from a module of nnlib"),
    ("from nnlib.scaling import *", "import names one by one"),
    ("from .scaling import scale", "relative and __future__ imports"),
    ("def f():\n    from nnlib.lines import line", "forward import"),
])
def test_refuses_imports_a_reader_could_not_run(book, statement, message):
    [line] = add(book, "02", ("", statement))
    assert refusal(book).startswith(f"book/02-shifting.md:{line + statement.count(chr(10))}: {message}")


@pytest.mark.parametrize("package", ["course.notebook", "reference.shifting", "reference"])
def test_refuses_exported_code_that_imports_the_machinery(book, package):
    [line] = add(book, "02", ("export", f"from {package} import shift as other"))
    assert refusal(book) == (f"book/02-shifting.md:{line}: exported code never imports "
                             f"{package.split('.')[0]}")


def test_refuses_exported_code_that_uses_the_machinery(book):
    [line] = add(book, "02", ("export", "def f(x):\n    show(x)"))
    assert refusal(book) == (f"book/02-shifting.md:{line + 1}: exported code uses show, which "
                             "course.notebook owns")


def test_refuses_an_unknown_name(book):
    [_, line] = add(book, "02", ("", "gain = 3"), ("export", "def f(x):\n    return gain * x"))
    assert refusal(book) == (f"book/02-shifting.md:{line + 1}: exported code uses gain, which no cell "
                             "imports and no export cell defines")


def test_refuses_an_untagged_chapter(book):
    edit(book, "02", "nnlib: shifting\n", "")
    assert refusal(book).startswith("book/02-shifting.md:1: untagged chapter")


def test_a_page_of_the_gallery_writes_nothing(book):
    edit(book, "03", "nnlib: lines", "nnlib: null")
    edit(book, "02", "nnlib: shifting", "nnlib: null")
    assert refusal(book).endswith("an export cell, but the front matter says `nnlib: null`")


def test_refuses_two_chapters_with_one_module(book):
    line = edit(book, "02", "nnlib: shifting", "nnlib: scaling")
    assert refusal(book) == (f"book/02-shifting.md:{line}: one chapter owns a module, but "
                             "book/01-scaling.md already has nnlib: scaling")


def test_refuses_a_long_class(book):
    body = '    """One.\n\n    Two.\n    """\n\n    # three\n    def f(self):\n        """Four."""\n'
    body += "\n".join(f"        x = {k}" for k in range(37))
    [line] = add(book, "02", ("export", f"class Long:\n{body}"))
    assert refusal(book).startswith(f"book/02-shifting.md:{line}: Long has 41 lines without its docstrings")
    edit(book, "02", "        x = 36\n", "")
    assert "class Long" in tangle(book)[1].text


def test_refuses_a_long_function(book):
    [line] = add(book, "02", ("export", f"def long():\n{long_body(40)}"))
    assert refusal(book).startswith(f"book/02-shifting.md:{line}: long has 41 lines without its docstrings, "
                                    "expected at most 40")


@pytest.mark.parametrize("statement", [
    "print(1)", "small = 1", "A, B = 1, 2", "A = B = 1", "if True:\n    A = 1", "async def f():\n    pass",
    "__all__ = []", "A += 1", "with open('x'):\n    pass",
])
def test_refuses_other_statements_in_export_cells(book, statement):
    [line] = add(book, "02", ("export", statement))
    assert refusal(book).startswith(f"book/02-shifting.md:{line}: export cells hold imports, functions, "
                                    "classes and CONSTANTS, found")


def test_refuses_two_statements_on_a_line(book):
    [line] = add(book, "02", ("export", "A = 1; B = 2"))
    assert refusal(book) == f"book/02-shifting.md:{line}: one statement a line in export cells"


@pytest.mark.parametrize("tags, message", [
    ("exprot", "unknown tag 'exprot'"),
    ("export, check", "a cell is either 'export' or 'check', not both"),
    ("check, nbval-ignore-output", "a cell is either 'check' or 'nbval-ignore-output', not both"),
])
def test_refuses_tags_nobody_acts_on(book, tags, message):
    [line] = add(book, "02", (tags, "shift(1, 2)"))
    assert refusal(book).startswith(f"book/02-shifting.md:{line}: {message}")


def test_refuses_an_empty_cell_and_nbval_comments(book):
    [line] = add(book, "02", ("", "# NBVAL_IGNORE_OUTPUT\n1"))
    assert refusal(book).startswith(f"book/02-shifting.md:{line}: say what nbval does")
    edit(book, "02", "# NBVAL_IGNORE_OUTPUT\n1", "")
    assert "empty code cell" in refusal(book)


def test_refuses_front_matter_that_is_not_yaml(book):
    edit(book, "02", "nnlib: shifting", "nnlib: [shifting")
    assert refusal(book).startswith("book/02-shifting.md:1: cannot be read: ")


def test_refuses_a_chapter_without_title(book):
    edit(book, "02", "# Shifting", "Shifting")
    assert refusal(book).startswith("book/02-shifting.md:1: expected a title")

"""Stages: each chapter's package passes its tests with nothing later in sight."""

import pytest
from small_book import copy_to, edit

from course.errors import Refusal
from course.stages import stages

QUIET = ["-p", "no:xdist", "-p", "no:hypothesispytest"]
TESTS = {
    "scaling": "from nnlib.scaling import scale\n\ndef test():\n    assert scale(2.0, 2.0) == 4.0\n",
    "shifting": "from nnlib.shifting import shift\n\ndef test():\n    assert shift(2.0, 1.0) == 3.0\n",
    "lines": "from nnlib import lines\n\ndef test():\n    assert lines.line(2.0, 1.0, 1.0) == 3.0\n",
}


@pytest.fixture
def book(tmp_path):
    root = copy_to(tmp_path)
    (root / "tests").mkdir()
    for name, text in TESTS.items():
        (root / "tests" / f"test_{name}.py").write_text(text)
    return root


def test_a_failing_stage_is_named_and_none_sees_a_later_module(book):
    edit(book, "03", "scale(x, slope) + height", "scale(x, slope) - height")
    (book / "tests" / "test_shifting.py").write_text(
        "import importlib\n\ndef test():\n    importlib.import_module('nnlib.' + 'lines')\n")
    assert stages(book, QUIET) == ["02-shifting", "03-lines"]


@pytest.mark.parametrize("statement", ["from nnlib.lines import line", "import nnlib.lines", "from nnlib import lines"])
def test_refuses_tests_that_need_a_later_chapter(book, statement):
    (book / "tests" / "test_shifting.py").write_text(f"\n{statement}\n")
    with pytest.raises(Refusal, match="tests/test_shifting.py:2: tests of shifting import nnlib.lines"):
        stages(book, QUIET)


def test_refuses_a_module_without_tests(book):
    (book / "tests" / "test_scaling.py").unlink()
    with pytest.raises(Refusal, match="tests/test_scaling.py:1: missing"):
        stages(book, QUIET)

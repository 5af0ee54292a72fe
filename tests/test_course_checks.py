"""The rules for `check` cells, and the stand-in itself, without a kernel."""

import functools
import sys
import types

import pytest
from small_book import add, copy_to, edit

from course import standin
from course.checks import plan_checks
from course.errors import Refusal
from course.tangle import tangle


@pytest.fixture
def book(tmp_path):
    return copy_to(tmp_path)


def plans(root, number="02"):
    module = tangle(root)[int(number) - 1]
    return plan_checks(root, module.chapter, module)


def refusal(root, number="02"):
    with pytest.raises(Refusal) as caught:
        plans(root, number)
    return str(caught.value)


def test_plan_swaps_own_and_imported_names_under_the_names_they_have_here(book):
    edit(book, "03", "from nnlib.scaling import scale\n", "from nnlib.scaling import scale, FACTOR as F\n")
    [(swaps, uses, targets)] = plans(book, "03").values()
    assert swaps == {"scale": ("scaling", "scale"), "F": ("scaling", "FACTOR"), "line": ("lines", "line")}
    assert "line" in uses and targets == []


def test_names_exported_further_down_are_not_swapped_yet(book):
    first, second = plans(book, "01").values()
    assert set(first[0]) == {"FACTOR", "scale"}
    assert "Scaler" not in first[0] and "Scaler" in second[0] and second[2] == ["factor"]


@pytest.mark.parametrize("source", [
    "y = shift(1, 2)", "y += 1", "y: int = 1", "show(y := shift(1, 2))", "def f():\n    return shift(1, 2)",
    "import math", "class C:\n    pass", "del np",
])
def test_refuses_a_check_that_binds_names(book, source):
    [line] = add(book, "02", ("check", source))
    assert refusal(book).startswith(f"book/02-shifting.md:{line}: a check cell only shows things")


def test_refuses_other_statements(book):
    [line] = add(book, "02", ("check", "while shift(0, 0):\n    show(1)"))
    assert refusal(book).startswith(f"book/02-shifting.md:{line}: a check cell holds expressions and for loops")


def test_refuses_a_name_the_reference_lacks(book):
    _, line = add(book, "02", ("export", "def lift(x):\n    return x"), ("check", "show(\n  lift(1))"))
    assert refusal(book) == (f"book/02-shifting.md:{line + 1}: check uses lift, which "
                             "reference/shifting.py does not have")


def test_refuses_a_name_the_reference_lacks_behind_a_function(book):
    _, _, line = add(book, "02", ("export", "def lift(x):\n    return x"),
                     ("", "def outer():\n    return inner()\ndef inner():\n    return lift(1)"),
                     ("check", "show(outer())"))
    assert refusal(book).startswith(f"book/02-shifting.md:{line}: check uses lift")


def test_refuses_a_check_that_checks_nothing(book):
    [line] = add(book, "02", ("check", "show(np.add(1, 2))"))
    assert refusal(book).startswith(f"book/02-shifting.md:{line}: this check would check nothing")


def test_refuses_a_check_without_a_reference(book):
    (book / "reference" / "shifting.py").unlink()
    assert "which reference/shifting.py does not have" in refusal(book)


def test_refuses_a_reference_that_is_not_python(book):
    (book / "reference" / "shifting.py").write_text("\ndef shift(:")
    assert refusal(book).startswith("reference/shifting.py:2: syntax error: ")


@pytest.fixture
def reference(monkeypatch):
    """A reference module `reference.made_up` with one function."""
    module = types.ModuleType("reference.made_up")
    module.double = lambda x: ("reference", 2 * x)
    monkeypatch.setitem(sys.modules, "reference.made_up", module)


class Layer:
    def forward(self, x):
        return x


def ours(x):
    return x


EXPORTS = {"double": ("made_up", "double"), "absent": ("made_up", "double")}


def test_swaps_and_puts_back(reference):
    names = {"double": ours, "k": "before"}
    assert standin.enter(names, EXPORTS, ["double", "k"], ["k", "new"]) == ""
    assert names["double"](1) == ("reference", 2) and "absent" not in names
    names["k"] = names["new"] = "from the reference"
    standin.leave(names)
    assert names == {"double": ours, "k": "before"}


@pytest.mark.parametrize("smuggled", [
    [ours], {"f": ours}, functools.partial(ours, 1), [(1, [ours])], lambda f=ours: f(1),
])
def test_refuses_nnlib_inside_other_things(reference, smuggled):
    names = {"double": ours, "thing": smuggled}
    assert "thing holds something made by nnlib" in standin.enter(names, EXPORTS, ["thing"], [])
    assert names["double"] is ours


@pytest.mark.parametrize("smuggled", [Layer(), [Layer()], Layer().forward])
def test_refuses_objects_that_nnlib_made(reference, smuggled):
    assert standin.enter({"double": Layer, "thing": smuggled}, EXPORTS, ["thing"], [])


def test_refuses_objects_whose_class_is_not_in_sight(reference, monkeypatch):
    monkeypatch.setattr(Layer, "__module__", "nnlib.dense")
    assert standin.enter({"thing": Layer()}, {}, ["thing"], [])


def test_plain_values_may_be_used(reference):
    import numpy as np
    plain = {"double": ours, "np": np, "x": np.ones(3), "rows": [[1.0]], "len": len, "s": "text"}
    assert standin.enter(plain, EXPORTS, list(plain), []) == ""
    standin.leave(plain)

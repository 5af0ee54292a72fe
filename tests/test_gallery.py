"""The gallery's pages, run again: what they say they show has floors here."""

import pytest

from course.chapter import read_book
from course.environment import ROOT

PAGES = {page.name: page for page in read_book(ROOT) if page.module is None}


@pytest.fixture
def run(monkeypatch):
    """A function that runs a page's cells, figures left out, and gives what they defined."""
    monkeypatch.chdir(ROOT / "book")

    def run(name):
        names = {}
        for cell in PAGES[name].code:
            if "mystnb" not in cell.metadata:
                exec(compile(cell.source, name, "exec"), names)
        return names
    return run


def test_pages_have_no_module_and_follow_the_chapters():
    assert list(PAGES) == ["90-xor", "91-iris", "92-spectrum", "93-fashion"]


def test_xor(run):
    solved = {hidden: sum(right == 1 for _, right in found) for hidden, found in run("90-xor")["tries"].items()}
    assert solved[8] >= 18 and 3 <= solved[2] <= 18 and solved[8] > solved[2]


def test_iris(run):
    wrong = run("91-iris")["wrong"]
    assert all(max(counts) <= 12 for counts in wrong.values()), wrong


def test_spectrum(run):
    right = run("92-spectrum")["right"]
    assert min(right["convolution"]) > 0.95 and right["dense"][1] > 0.95
    assert right["convolution"][-1] > right["dense"][-1] + 0.3


def test_fashion(run):
    names = run("93-fashion")
    assert names["accuracy"](names["outputs"], names["test_labels"]) > 0.76

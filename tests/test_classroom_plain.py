"""The chapters in Jupyter: nothing of MyST is left that Jupyter would show raw."""

import re

import pytest

from course.chapter import read_book
from course.classroom.handout import handout
from course.classroom.plain import Labels, labels
from course.environment import ROOT

BOOK = Labels({"ch-neurons": ("02-neurons.ipynb", "Neurons"), "appendix-answers": ("", "Answers")},
              {"eq-one": "3.1", "fig-one": "3.2"}, {})


@pytest.mark.parametrize(("text", "shown"), [
    ("(ch-x)=\n# Title", "# Title"),
    ("See {ref}`ch-neurons`, {ref}`there <ch-neurons>`, {ref}`appendix-answers` and {ref}`ch-not-here`.",
     "See [Neurons](02-neurons.ipynb), [there](02-neurons.ipynb), Answers and not here."),
    ("{eq}`eq-one` in {numref}`fig-one` says {eval}`2 + 2`", "(3.1) in Figure 3.2 says …"),
    ("$$\nx = 1\n$$ (eq-one)", "$$\nx = 1\n\\tag{3.1}\n$$"),
    ("A\n\n```{margin}\nB {ref}`ch-neurons`\n\nC\n```\n\nD", "A\n\n> B [Neurons](02-neurons.ipynb)\n>\n> C\n\nD"),
    ("```\n{ref}`ch-neurons`\n```", "```\n{ref}`ch-neurons`\n```"),
])
def test_a_text_for_jupyter(text, shown):
    assert BOOK.notebook(text) == shown


def test_a_hint_has_words_only():
    assert BOOK.words("Section *A* of {ref}`ch-neurons`, {eq}`eq-one`.") == "Section *A* of the chapter *Neurons*, (3.1)."


def test_sources():
    book = labels(ROOT)
    assert book.notebook("As in {cite}`nair2010,glorot2011`.") == "As in [Nair and Hinton, 2010; Glorot et al., 2011]."
    assert book.notebook("{cite:t}`nair2010`") == "Nair and Hinton [2010]"
    assert book.notebook("{cite}`nobody1900`") == "[nobody1900]"
    assert re.fullmatch(r"- .*Nair.*Rectified linear units.*2010.*", book.bibliography(["{cite}`nair2010`"]))


def test_no_chapter_shows_anything_raw():
    for chapter in read_book(ROOT):
        cells = handout(ROOT, chapter).cells
        text = "\n".join(re.sub(r"^```$.*?^```$", "", c.source, flags=re.DOTALL | re.MULTILINE)
                         for c in cells if c.cell_type == "markdown")
        raw = re.findall(r"\{[\w:]+\}`[^`]*`|^`{3,}\{.*|^\([\w-]+\)=|\(\?\)|Figure \?|Figure \.|<!-- sources", text, re.MULTILINE)
        assert not raw, f"{chapter.place}: {raw[:3]}"
        assert len({c.id for c in cells}) == len(cells)
        assert all("jupyter" in c.metadata for c in cells if "hide-input" in c.metadata.get("tags", []))

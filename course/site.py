"""Build the site from the executed notebooks, and say what is in the book.

Sphinx does the work; its settings are in book/conf.py. A chapter is whatever
book/notebooks/NN-slug.ipynb exists: its place in the book comes from its file
name and everything shown about it from the notebook, so that adding a chapter
edits no configuration.
"""

import html
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from course import draw

ROOT = Path(__file__).resolve().parent.parent
PARTS = (  # a part, and the number its first chapter's file name has at least
    ("I", "A network that learns", 1),
    ("II", "Seeing", 10),
    ("III", "Other shapes", 16),
    ("IV", "Out in the world", 19),
    ("V", "A gallery", 90),
)
NOT_PROSE = re.compile(r"\s*([#`:(|>$!+-]|\d+\.)")  # how a paragraph of something else begins


@dataclass(frozen=True)
class Chapter:
    """What the site says about one chapter outside the chapter itself."""

    number: int  # its place among the chapters that exist
    docname: str  # Sphinx's name of the page, notebooks/03-activations
    title: str
    description: str  # Markdown, one sentence
    module: str  # "" where the chapter exports nothing
    part: tuple  # of PARTS

    @property
    def plain(self):
        """The description without Markdown's signs, for a page's <meta>."""
        return html.escape(re.sub(r"\{\w+\}|[*`$\\]", "", self.description))


def describe(cells):
    """Title and first sentence of a notebook's Markdown cells."""
    text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    before, mark, after = text.partition("\n# ") if not text.startswith("# ") else ("", "# ", text[2:])
    if not mark:
        raise ValueError("the notebook has no title: expected a line '# Title'")
    title, _, rest = after.partition("\n")
    prose = (p for p in re.split(r"\n\s*\n", rest) if p.strip() and not NOT_PROSE.match(p))
    sentence = re.match(r".+?[.!?](?=\s|$)|.+", " ".join(next(prose, "").split()))
    return title.strip(), sentence[0] if sentence else ""


def chapters(source):
    """The chapters under source/notebooks, in the book's order: that of their file names."""
    found = []
    for path in sorted(Path(source, "notebooks").glob("[0-9][0-9]*-*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        try:
            title, first = describe(notebook["cells"])
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        meta, at = notebook["metadata"], int(re.match(r"\d+", path.name)[0])
        part = [p for p in PARTS if p[2] <= max(at, 1)][-1]
        found.append(Chapter(len(found) + 1, f"notebooks/{path.stem}", title,
                             meta.get("description", first), meta.get("nnlib") or "", part))
    return found


def by_part(found):
    """[(part, its chapters)] for the parts that have any."""
    return [(p, own) for p in PARTS if (own := [c for c in found if c.part == p])]


def build(quiet=False, source=ROOT / "book", output=ROOT / "build" / "site"):
    """Run Sphinx over `source` and return the folder with the site in it.

    A warning fails the build. Serial, because some extensions hang with -j.
    Sphinx reads only pages whose sources changed; after a failure it starts
    over, since a page that was read once would not warn again.

    Raises
    ------
    RuntimeError
        If Sphinx reports an error or a warning (it has printed which).
    """
    from sphinx.cmd.build import build_main

    source, output = Path(source), Path(output)
    for page in (output / "notebooks").glob("*.html"):  # of a chapter that was renamed or removed
        if not (source / "notebooks" / page.with_suffix(".ipynb").name).exists():
            page.unlink()
    work = memory(output)
    (work / "complete").unlink(missing_ok=True)
    arguments = ["-b", "html", "-W", "--keep-going", "-d", str(work), *["-q"] * quiet]
    if status := build_main([*arguments, str(source), str(output)]):
        shutil.rmtree(work, ignore_errors=True)
        raise RuntimeError(f"the site was not built (Sphinx's messages are above, its status is {status})")
    for sentence in draw.furnish(source, output):
        print(f"the page 'Draw a digit' will not answer: {sentence}")
    (work / "complete").touch()
    return output


def memory(output):
    """Where Sphinx remembers what it has read: beside the site, since it is not for publishing."""
    return output.with_name(output.name + "-doctrees")


def up_to_date(source=ROOT / "book", output=ROOT / "build" / "site"):
    """Was the site built without a warning since its sources last changed?"""
    stamp = memory(Path(output)) / "complete"
    sources = [p for p in Path(source).rglob("*") if p.is_file() and not {"results", "__pycache__"} & {*p.parts}]
    sources += [Path(draw.__file__), *draw.PRETRAINED.glob("*.safetensors")]
    return stamp.exists() and stamp.stat().st_mtime > max(p.stat().st_mtime for p in [Path(__file__), *sources])

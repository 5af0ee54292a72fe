"""Notebooks whose bytes depend on what a chapter says and prints, and on nothing else."""

import hashlib
import re

import nbformat

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python",
                      "pygments_lexer": "ipython3"},
}
OURS = ("jupytext", "jupyter", "writes", "kernelspec", "language_info")
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
ANSI = re.compile(r"\x1b\[[0-9;]*m")
WARNING = re.compile(r"^.*?:\d+: (\w+Warning: .*)\n(?:  .*\n?)?", re.MULTILINE)


def blank_notebook(chapter):
    """The chapter as a notebook that has not run, with cell ids made from its content."""
    make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell,
            "raw": nbformat.v4.new_raw_cell}
    cells = [make[cell.kind](cell.source, id=cell_id(chapter, index), metadata=cell.metadata)
             for index, cell in enumerate(chapter.cells)]
    metadata = {k: v for k, v in chapter.metadata.items() if k not in OURS}
    return nbformat.v4.new_notebook(cells=cells, metadata={**metadata, **METADATA})


def cell_id(chapter, index):
    """An id that changes when the cell does."""
    text = f"{chapter.name}\n{index}\n{chapter.cells[index].source}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def clean_outputs(chapter, cell, executed):
    """Take out of a cell's outputs what varies from run to run; refuse what cannot be."""
    failed = [o for o in executed.outputs if o.output_type == "error"]
    if "raises-exception" in cell.tags and not failed:
        raise chapter.refuse(cell, None, "tagged raises-exception, but nothing was raised")
    for output in failed:
        output.traceback = [ANSI.sub("", f"{output.ename}: {output.evalue}")]
    for output in executed.outputs:
        if output.get("name") == "stderr":
            output.text = WARNING.sub(r"\1\n", output.text)
        for text in texts(output):
            address = ADDRESS.search(text)
            if address:
                raise chapter.refuse(cell, None, "its output shows a memory address, different in "
                                     f"each run (end a plot with `;`): {line_around(text, address)}")


def texts(output):
    """Every text of an output."""
    yield output.get("text", "")
    yield output.get("evalue", "")
    for kind, value in output.get("data", {}).items():
        if kind.startswith("text/"):
            yield value


def line_around(text, match):
    """The line of `text` that holds the match."""
    return text[text.rfind("\n", 0, match.start()) + 1:].split("\n")[0][:80]


def dump(notebook):
    """The notebook's bytes."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4).rstrip("\n").encode() + b"\n"

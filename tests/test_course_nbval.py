"""nbval runs the chapters with nnlib and compares them with what the reference left in them."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
from small_book import copy_to, edit

from course.tangle import package_files, tangle, write_package
from course.weave import weave

REPOSITORY = Path(__file__).resolve().parent.parent


def nbval(root):
    """The names of the cells nbval finds wrong, `01-scaling.ipynb::Cell 2`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(REPOSITORY)])}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "book/notebooks", "--nbval", "--nbval-current-env", "-q", "-p",
         "course.nbval_plugin", "-p", "no:cacheprovider", "-p", "no:xdist", "--color=no", "-rf"],
        cwd=root, env=environment, capture_output=True, text=True)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert (done.returncode == 1) == bool(failed), done.stdout
    return [line.split()[1].rpartition("/")[2] + line.split("Cell")[1].split()[0] for line in failed]


def make(root):
    write_package(package_files(root, tangle(root)), root / "nnlib")
    weave(root)


def test_nbval_accepts_a_right_nnlib(tmp_path):
    """Plots, warnings and expected exceptions included."""
    book = copy_to(tmp_path)
    make(book)
    assert nbval(book) == []


def test_nbval_finds_a_wrong_sign(tmp_path):
    """The weave keeps the reference's numbers; nbval finds the chapter's, and its module's."""
    book = copy_to(tmp_path)
    edit(book, "01", "np.multiply(x, factor)", "np.multiply(x, -factor)")
    make(book)
    notebook = nbformat.read(book / "book" / "notebooks" / "01-scaling.ipynb", as_version=4)
    printed = [o.text for cell in notebook.cells for o in cell.get("outputs", []) if "text" in o]
    assert printed[0].startswith("scaled  2    -1\n")
    assert nbval(book) == ["01-scaling.ipynb::Cell3", "01-scaling.ipynb::Cell5", "03-lines.ipynb::Cell3"]

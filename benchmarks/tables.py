"""Small tables that say how they were made."""
import csv
import io

import numpy as np
from threadpoolctl import threadpool_info


def blas():
    """The BLAS behind NumPy and the kernels it chose, in words."""
    found = threadpool_info()[0]
    return f"{found['internal_api']} {found['version']} ({found['architecture']} kernels)"


def write_table(path, columns, rows, **notes):
    """A CSV that starts with its notes, in comment lines that pandas skips with comment="#"."""
    text = io.StringIO()
    text.writelines(f"# {name}: {note}\n" for name, note in notes.items())
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue(), encoding="utf-8", newline="\n")

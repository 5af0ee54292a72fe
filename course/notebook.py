"""What chapters import to show things: numbers that print the same everywhere, and a chart style.

Importing this module sets Matplotlib's style. `show` prints; the colours have names.
"""

from decimal import Decimal
from numbers import Integral, Real

import matplotlib as mpl
import numpy as np
from cycler import cycler

# The Okabe-Ito colours, which stay apart for colour-blind readers, on warm paper.
BLUE, ORANGE, GREEN, RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"
SKY, PURPLE, GREY, INK = "#56b4e9", "#b0609a", "#8a8a86", "#2b2b2a"
PAPER, GRID = "#fcfbf8", "#e4e1da"
PALETTE = [BLUE, RED, GREEN, ORANGE, PURPLE, SKY, GREY]
SEQUENTIAL, DIVERGING, DIGITS = "cividis", "RdBu_r", "gray_r"

STYLE = {
    "figure.figsize": (7.0, 3.6),
    "figure.dpi": 144,
    "savefig.dpi": 144,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "mathtext.fontset": "dejavusans",
    "text.color": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 10,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=PALETTE),
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "image.cmap": SEQUENTIAL,
    "image.interpolation": "nearest",
    "svg.hashsalt": "nnlib",
}
NEGLIGIBLE = 1e-12
WIDTH = 88


def set_style():
    """Start from Matplotlib's defaults, whatever the reader's own are, and apply ours."""
    mpl.rcdefaults()
    mpl.rcParams.update(STYLE)
    try:
        from IPython import get_ipython
        from matplotlib_inline.config import InlineBackend
    except ImportError:
        return
    if get_ipython():  # no version in the PNG: the same picture is the same bytes
        config = InlineBackend.instance(parent=get_ipython())
        config.print_figure_kwargs = {"bbox_inches": "tight", "metadata": {"Software": None}}


def show(*things, digits=6):
    """Print numbers, arrays, tables and text so that two correct programs print the same.

    Things stand side by side where they fit on a line, else one below the other.

    Parameters
    ----------
    *things : str, number, array-like of at most two dimensions, or DataFrame
    digits : int
        Significant digits. What is below 1e-12 of an array's largest value prints as 0.
    """
    blocks = [block(thing, digits) for thing in things]
    width = sum(max(map(len, rows), default=0) + 2 for rows in blocks)
    if width <= WIDTH + 2:
        blocks = [beside(blocks)]
    print("\n".join(row for rows in blocks for row in rows))


def block(thing, digits):
    """One thing as a list of lines."""
    if isinstance(thing, str):
        return thing.split("\n")
    if hasattr(thing, "columns") and hasattr(thing, "to_numpy"):
        return table(thing, digits)
    if isinstance(thing, bool | np.bool_) or thing is None:
        return [str(thing)]
    try:
        array = np.asarray(thing)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "biufU":
        return str(thing).split("\n")
    if array.ndim > 2:
        raise ValueError(f"show prints arrays of at most two dimensions, got shape {array.shape}")
    if array.size == 0:
        return [f"(empty, shape {array.shape})"]
    return grid(cells(np.atleast_2d(array), digits))


def table(frame, digits):
    """A DataFrame: a heading over each column, row labels only where they say something."""
    columns = [column(str(name), frame[name].to_numpy(), digits) for name in frame.columns]
    if type(frame.index).__name__ != "RangeIndex":
        columns.insert(0, column(str(frame.index.name or ""), frame.index.to_numpy(), digits))
    return ["  ".join(row).rstrip() for row in zip(*columns)]


def column(heading, values, digits):
    """A table's column: numbers end where their heading ends, words begin where it begins."""
    numeric = values.dtype.kind in "biuf"
    body = [row[0] for row in cells(values[:, None], digits)]
    texts = [heading, *(align(body) if numeric and body else body)]
    width = max(map(len, texts))
    return [text.rjust(width) if numeric else text.ljust(width) for text in texts]


def cells(array, digits):
    """Every number of a two-dimensional array as text."""
    if array.dtype.kind == "f":
        finite = np.abs(array[np.isfinite(array)])
        floor = NEGLIGIBLE * finite.max(initial=0.0)
        return [[number(0.0 if abs(x) < floor else x, digits) for x in row] for row in array.tolist()]
    return [[str(x) for x in row] for row in array.tolist()]


def number(x, digits=6):
    """One number with `digits` significant digits; never a negative zero.

    It is rounded to twelve digits first, so that a last bit cannot tip a tie.
    """
    if isinstance(x, Integral):
        return str(int(x))
    x = float(x)
    if x != x or x in (float("inf"), float("-inf")):
        return str(x)
    text = f"{Decimal(f'{x:.11e}'):.{digits - 1}e}"
    return f"{float(text) + 0.0:.{digits}g}"


def grid(rows):
    """Rows of text in columns, decimal points under each other."""
    columns = [align(column) for column in zip(*rows)]
    return ["  ".join(row).rstrip() for row in zip(*columns)]


def align(column):
    """Pad the texts of one column so that their decimal points line up."""
    parts = [text.partition(".") for text in column]
    left = max(len(whole) for whole, _, _ in parts)
    right = max(len(point + rest) for _, point, rest in parts)
    return [whole.rjust(left) + (point + rest).ljust(right) for whole, point, rest in parts]


def beside(blocks):
    """Blocks of lines next to each other, their first lines level."""
    height = max(map(len, blocks), default=0)
    padded = [[row.ljust(max(map(len, rows))) for row in rows + [""] * (height - len(rows))]
              for rows in blocks]
    return ["  ".join(row).rstrip() for row in zip(*padded)]


class Inline:
    """The value of an inline `{eval}`, as it stands in the text."""

    def __init__(self, value):
        self.text = number(value) if isinstance(value, Real) and not isinstance(value, bool) else str(value)

    def __repr__(self):
        return self.text


set_style()

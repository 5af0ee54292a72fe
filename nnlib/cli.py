# Generated from book/21-command-line.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""A command line."""

import numpy as np

from nnlib.dense import ShapeError

__all__ = [
    "find_ink",
    "crop_to_ink",
    "overlap_matrix",
    "fit_into",
    "center_of_mass",
    "prepare_digit",
    "PREPARATION",
]


# book/21-command-line.md, "From a photograph to 28 × 28 pixels"
def find_ink(gray):
    """How much ink each pixel has, whether it is dark on light or light on dark.

    The paper's level is the median of the border. What differs from it by no more
    than four times as much as a border pixel typically does (the median of their
    differences) is paper too.

    Parameters
    ----------
    gray : array_like, shape (height, width)
        Gray values in any unit, light ones large.

    Returns
    -------
    ndarray of float64, shape (height, width)
        From 0, paper, to 1, the most ink.

    Raises
    ------
    ValueError
        If it is not a picture, not finite, or has no ink.
    """
    gray = np.asarray(gray)
    if gray.ndim != 2 or gray.size == 0 or gray.dtype.kind not in "buif":
        raise ShapeError("expected a picture of gray values shaped (height, width), "
                         f"got {gray.dtype} shaped {gray.shape}")
    gray = gray.astype(np.float64)
    if not np.isfinite(gray).all():
        raise ValueError("expected finite gray values, got NaN or infinity")
    border = np.concatenate([gray[0], gray[-1], gray[1:-1, 0], gray[1:-1, -1]])
    paper = np.median(border)
    unevenness = np.median(np.abs(border - paper))
    dark_ink = paper > (gray.min() + gray.max()) / 2
    distance = paper - gray if dark_ink else gray - paper
    ink = np.maximum(distance - 4 * unevenness, 0)
    if ink.max() == 0:
        raise ValueError("no ink: nothing in the picture differs from its border")
    return ink / ink.max()


# book/21-command-line.md, "From a photograph to 28 × 28 pixels"
def crop_to_ink(ink, threshold=0.1):
    """Cut out the smallest box with every pixel above a share of the maximum."""
    there = ink > threshold * ink.max()
    rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


# book/21-command-line.md, "From a photograph to 28 × 28 pixels"
def overlap_matrix(new, old):
    """The matrix that averages a row of `old` pixels into `new` ones over their areas.

    Both rows are laid over the same stretch, divided into new * old parts: a new pixel
    covers `old` of them, an old pixel `new`.

    Returns
    -------
    ndarray of float64, shape (new, old)
        Which share of a new pixel lies over an old one; every row adds up to 1.
    """
    left, lower = old * np.arange(new)[:, None], new * np.arange(old)
    overlap = np.minimum(left + old, lower + new) - np.maximum(left, lower)
    return np.maximum(overlap, 0) / old


# book/21-command-line.md, "From a photograph to 28 × 28 pixels"
def fit_into(ink, side=20):
    """Scale a picture, keeping its proportions, until its longer side is `side`.

    The shorter side is rounded (halves up) to whole pixels, at least one.
    """
    height, width = (max(1, int(side * n / max(ink.shape) + 0.5)) for n in ink.shape)
    rows = overlap_matrix(height, ink.shape[0])
    columns = overlap_matrix(width, ink.shape[1])
    return rows @ ink @ columns.T


# book/21-command-line.md, "From a photograph to 28 × 28 pixels"
def center_of_mass(ink):
    """Mean row and column of the ink, each pixel weighted by how much it has."""
    total = ink.sum()
    row = ink.sum(axis=1) @ np.arange(ink.shape[0]) / total
    column = ink.sum(axis=0) @ np.arange(ink.shape[1]) / total
    return row, column


# book/21-command-line.md, "From a photograph to 28 × 28 pixels"
def prepare_digit(gray, size=28, side=20):
    """A picture of a digit as MNIST would have it.

    Its ink is cropped, scaled until the longer side is `side`, and put into a square
    with its centre of mass as near as whole pixels allow to row and column size / 2,
    where MNIST has it; moved back inside if it would stick out.

    Parameters
    ----------
    gray : array_like, shape (height, width)
        Gray values in any unit, light ones large; dark ink on light or light on dark.
    size, side : int

    Returns
    -------
    ndarray of float32, shape (size, size)
        From 0, paper, to 1, the most ink.

    Raises
    ------
    ValueError
        If it is not a picture, not finite, or has no ink.
    """
    small = fit_into(crop_to_ink(find_ink(gray)), side)
    small = small / small.max()
    canvas = np.zeros((size, size), np.float32)
    places = [int(np.clip(np.floor(size / 2 - center + 0.5), 0, size - length))
              for center, length in zip(center_of_mass(small), small.shape)]
    top, left = places
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas

# book/21-command-line.md, "From a photograph to 28 × 28 pixels"
PREPARATION = ("gray values; the ink found whether dark or light, 0 for paper and 1 for the "
               "most ink; cropped; averaged down over areas until the longer side is 20; "
               "in 28 x 28 pixels with the centre of mass at row and column 14")

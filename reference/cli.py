"""A picture of a digit made like MNIST's: pixel by pixel, in loops and plain floats."""

import math

from reference._edge import to_array, to_list


def median(values):
    """The middle one, or the mean of the two in the middle."""
    values = sorted(values)
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def find_ink(gray):
    """How much ink each pixel has, from 0 to 1."""
    gray = to_list(gray)
    height, width = len(gray), len(gray[0])
    border = [gray[r][c] for r in range(height) for c in range(width)
              if r in (0, height - 1) or c in (0, width - 1)]
    paper = median(border)
    unevenness = median([abs(value - paper) for value in border])
    lightest = max(max(row) for row in gray)
    darkest = min(min(row) for row in gray)
    sign = 1.0 if paper > (lightest + darkest) / 2 else -1.0
    ink = [[max(sign * (paper - value) - 2 * unevenness, 0.0) for value in row] for row in gray]
    most = max(max(row) for row in ink)
    if most == 0:
        raise ValueError("no ink")
    return to_array([[value / most for value in row] for row in ink])


def crop_to_ink(ink, threshold=0.1):
    """The smallest box with every pixel above a share of the maximum."""
    ink = to_list(ink)
    limit = threshold * max(max(row) for row in ink)
    inked = [(r, c) for r, row in enumerate(ink) for c, value in enumerate(row) if value > limit]
    top, bottom = min(r for r, _ in inked), max(r for r, _ in inked)
    left, right = min(c for _, c in inked), max(c for _, c in inked)
    return to_array([row[left:right + 1] for row in ink[top:bottom + 1]])


def overlap_matrix(new, old):
    """Which share of each new pixel lies over each old one: count units of a ruler, new * old long."""
    shares = [[0.0] * old for _ in range(new)]
    for unit in range(new * old):
        shares[unit // old][unit // new] += 1
    return to_array([[count / old for count in row] for row in shares])


def fit_into(ink, side=20):
    """Every new pixel is the mean of the old ones under it, weighted by area."""
    ink = to_list(ink)
    old = (len(ink), len(ink[0]))
    new = [max(1, math.floor(side * length / max(old) + 0.5)) for length in old]
    rows, columns = (to_list(overlap_matrix(n, o)) for n, o in zip(new, old))
    return to_array([[math.fsum(rows[i][r] * columns[j][c] * ink[r][c]
                                for r in range(old[0]) if rows[i][r]
                                for c in range(old[1]) if columns[j][c])
                      for j in range(new[1])] for i in range(new[0])])


def center_of_mass(ink):
    """Mean row and column of the ink."""
    ink = to_list(ink)
    total = math.fsum(value for row in ink for value in row)
    row = math.fsum(r * value for r, line in enumerate(ink) for value in line) / total
    column = math.fsum(c * value for line in ink for c, value in enumerate(line)) / total
    return row, column


def prepare_digit(gray, size=28, side=20):
    """A picture of a digit as MNIST would have it."""
    small = to_list(fit_into(crop_to_ink(find_ink(gray)), side))
    most = max(max(row) for row in small)
    small = [[value / most for value in row] for row in small]
    field = [[0.0] * size for _ in range(size)]
    places = []
    for center, length in zip(center_of_mass(small), (len(small), len(small[0]))):
        places.append(min(max(math.floor(size / 2 - center + 0.5), 0), size - length))
    for r, row in enumerate(small):
        for c, value in enumerate(row):
            field[places[0] + r][places[1] + c] = value
    return to_array(field)

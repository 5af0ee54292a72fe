"""Turn a picture of a digit into strokes: the line down the middle of its ink, traced as a pen would go.

The page "Draw a digit" replays such strokes where a reader has no pen at hand, and its
test draws them with a mouse.
"""

import numpy as np

ZOOM = 4  # thinning happens on a grid this much finer
RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # a pixel's neighbours, clockwise
STUB = 2.0  # strokes shorter than so many pixels of the picture are left out, unless there is no other


def strokes(image):
    """The strokes of one digit.

    Parameters
    ----------
    image : array_like, shape (height, width)
        Light ink on dark, in any unit.

    Returns
    -------
    list of list of (float, float)
        x and y of each stroke's points, in pixels of the picture from its upper left corner.
    """
    image = np.asarray(image, float)
    fine = image
    for _ in range(2):  # rows, then columns, by linear interpolation
        n = len(fine)
        at = (np.arange(n * ZOOM) + 0.5) / ZOOM - 0.5
        fine = np.stack([np.interp(at, np.arange(n), column) for column in fine.T])
    paths = [smooth(np.array(path) + 0.5) / ZOOM for path in trace(thin(fine > 0.45 * image.max()))]
    if not paths and image.any():  # a dot, which thinning takes away altogether
        weight = image / image.sum()
        return [[tuple(round(float(w @ np.arange(len(w)) + 0.5), 2) for w in (weight.sum(axis=0), weight.sum(axis=1)))]]
    longest = max(map(length, paths), default=0)
    paths = [path for path in paths if length(path) >= min(STUB, longest)]
    return [[(round(float(x), 2), round(float(y), 2)) for y, x in simplify(path, 0.1)] for path in paths]


def thin(ink):
    """Peel a shape down to lines one pixel wide (Zhang and Suen, 1984)."""
    ink = np.pad(ink, 1).astype(np.uint8)
    changed = True
    while changed:
        changed = False
        for one, other in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):
            ring = np.stack([np.roll(ink, (-dy, -dx), (0, 1)) for dy, dx in RING])
            count = ring.sum(axis=0)
            crossings = ((ring == 0) & (np.roll(ring, -1, axis=0) == 1)).sum(axis=0)
            gone = ((ink == 1) & (count >= 2) & (count <= 6) & (crossings == 1)
                    & ~ring[list(one)].all(axis=0) & ~ring[list(other)].all(axis=0))
            ink[gone] = 0
            changed = changed or gone.any()
    return ink[1:-1, 1:-1].astype(bool)


def trace(line):
    """Walk along lines one pixel wide: lists of (row, column), from free ends first, straight on at crossings."""
    left = {(int(r), int(c)) for r, c in np.argwhere(line)}
    whole, found = frozenset(left), []

    def around(pixel, pixels):
        return [p for dy, dx in RING if (p := (pixel[0] + dy, pixel[1] + dx)) in pixels]

    while left:
        ends = [p for p in left if len(around(p, whole)) == 1]
        branches = [p for p in left if len(around(p, left)) < len(around(p, whole))]
        path = [min(ends or branches or left)]
        left.discard(path[0])
        met = [p for p in around(path[0], whole) if p not in left]
        path = met[:1] + path  # a branch begins where it leaves the line
        while onward := around(path[-1], left):
            back = path[max(0, len(path) - 6)]
            ahead = np.subtract(path[-1], back)
            path.append(max(onward, key=lambda p: (np.subtract(p, path[-1]) @ ahead / np.hypot(*np.subtract(p, path[-1])), p)))
            left.discard(path[-1])
        closing = [p for p in around(path[-1], whole) if p not in left and p not in path[-3:]]
        found.append(path + closing[:1])
    return found


def length(path):
    """How long a line is."""
    return np.hypot(*np.diff(path, axis=0).T).sum()


def smooth(path, reach=3):
    """Each point becomes the mean of its neighbourhood; the ends stay."""
    out = path.copy()
    for i in range(1, len(path) - 1):
        k = min(reach, i, len(path) - 1 - i)
        out[i] = path[i - k : i + k + 1].mean(axis=0)
    return out


def simplify(path, tolerance):
    """Leave out points that lie within `tolerance` of the line without them (Douglas and Peucker, 1973)."""
    first, last = path[0], path[-1]
    along = last - first
    reach = np.hypot(*along)
    offset = path - first
    away = np.abs(along[0] * offset[:, 1] - along[1] * offset[:, 0]) / reach if reach else np.hypot(*offset.T)
    k = int(away.argmax())
    if away[k] <= tolerance or k in (0, len(path) - 1):
        return [first, last]
    return simplify(path[: k + 1], tolerance)[:-1] + simplify(path[k:], tolerance)

"""Warps, one pixel at a time.

A warp is inverted by Cramer's rule, a value between pixels is the sum of the pixels around it, each
weighted by how near it is, and smoothed noise is a sum over all places.
"""

import math
from dataclasses import dataclass

from reference._edge import to_array, to_list
from reference.dense import ShapeError


def _for_each(f, *values):
    """f of numbers; of nested lists, element by element, a number standing for a list of it."""
    lengths = {len(v) for v in values if isinstance(v, list)}
    if not lengths:
        return f(*values)
    return [_for_each(f, *(v[i] if isinstance(v, list) else v for v in values)) for i in range(max(lengths))]


def matrices(a, b, c, d):
    return to_array(_for_each(lambda a, b, c, d: [[a, b], [c, d]], *map(to_list, (a, b, c, d))))


def rotation_matrix(degrees):
    def one(degrees):
        angle = math.pi * degrees / 180.0
        return [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]

    return to_array(_for_each(one, to_list(degrees)))


def scaling_matrix(rows, columns):
    return to_array(_for_each(lambda r, c: [[r, 0.0], [0.0, c]], to_list(rows), to_list(columns)))


def shear_matrix(amount):
    return to_array(_for_each(lambda k: [[1.0, 0.0], [-k, 1.0]], to_list(amount)))


def _source(forward, shift, row, column, height, width):
    """The point that a warp takes to (row, column)."""
    (a, b), (c, d) = forward
    determinant = a * d - b * c
    down = row - shift[0] - (height - 1) / 2
    right = column - shift[1] - (width - 1) / 2
    return [(height - 1) / 2 + (d * down - b * right) / determinant,
            (width - 1) / 2 + (a * right - c * down) / determinant]


def affine_points(forward, shifts, height, width):
    return to_array([[[[_source(matrix, shift, row, column, height, width)[axis] for column in range(width)]
                       for row in range(height)] for axis in range(2)]
                     for matrix, shift in zip(to_list(forward), to_list(shifts))])


def mix(a, b, share):
    return to_array(_for_each(lambda a, b, share: (1 - share) * a + share * b, *map(to_list, (a, b, share))))


def _read(image, row, column):
    """One image, rows of pixels, at one point."""
    near = []
    for i in (math.floor(row), math.floor(row) + 1):
        for j in (math.floor(column), math.floor(column) + 1):
            if 0 <= i < len(image) and 0 <= j < len(image[0]):
                near.append(image[i][j] * (1 - abs(row - i)) * (1 - abs(column - j)))
    return math.fsum(near)


def _depth(x):
    return 1 + _depth(x[0]) if isinstance(x, list) and x else 0


def _stack(images):
    images = to_list(images)
    if _depth(images) not in (3, 4):
        raise ShapeError("expected images shaped (n, height, width) or (n, channels, height, width)")
    return images


def float_stack(images):
    return to_array(_stack(images))


def bilinear(images, points):
    def one(image, rows, columns):
        if _depth(image) == 3:
            return [one(channel, rows, columns) for channel in image]
        return [[_read(image, r, c) for r, c in zip(*line)] for line in zip(rows, columns)]

    return to_array([one(image, *where) for image, where in zip(_stack(images), to_list(points))])


def affine_warp(images, forward, shifts, displace=None):
    images = _stack(images)
    height, width = (len(images[0]), len(images[0][0])) if _depth(images) == 3 else (
        len(images[0][0]), len(images[0][0][0]))
    points = to_list(affine_points(forward, shifts, height, width))
    if displace:
        away = to_list(displace((len(images), 2, height, width)))
        points = _for_each(lambda point, more: point + more, points, away)
    return bilinear(images, points)


def smoothing_matrix(length, smoothness):
    rows = []
    for r in range(length):
        bump = [math.exp(-((r - i) ** 2) / (2 * smoothness**2)) for i in range(length)]
        size = math.sqrt(math.fsum(w * w for w in bump))
        rows.append([w / size for w in bump])
    return to_array(rows)


def _smooth(field, smoothness):
    """Each place: all places weighted by a bell of their distance, over the root of the squared weights."""
    height, width, smoothed = len(field), len(field[0]), []
    for r in range(height):
        smoothed.append([])
        for c in range(width):
            bell = [(math.exp(-((r - i) ** 2 + (c - j) ** 2) / (2 * smoothness**2)), field[i][j])
                    for i in range(height) for j in range(width)]
            smoothed[-1].append(math.fsum(w * x for w, x in bell) / math.sqrt(math.fsum(w * w for w, _ in bell)))
    return smoothed


def smooth_noise(noise, smoothness):
    def each(noise):
        return _smooth(noise, smoothness) if _depth(noise) == 2 else [each(inner) for inner in noise]

    return to_array(each(to_list(noise)))


def _filled(shape, number):
    return number() if not shape else [_filled(shape[1:], number) for _ in range(shape[0])]


@dataclass(frozen=True)
class Augmentation:
    rotation: float = 10.0
    scale: float = 0.1
    shear: float = 0.1
    shift: float = 1.0
    elastic: float = 0.0
    smoothness: float = 4.0

    def __post_init__(self):
        for name, value in vars(self).items():
            if not 0 <= value < math.inf or (name == "smoothness" and value == 0):
                raise ValueError(f"{name}: {value}")

    def draw(self, n, rng):
        forward, shifts = [], []
        for _ in range(n):
            turn, tall, wide, slant, down, right = (float(rng.uniform(-1.0, 1.0)) for _ in range(6))
            t, k = math.pi * self.rotation * turn / 180.0, self.shear * slant
            y, x = math.exp(self.scale * tall), math.exp(self.scale * wide)
            forward.append([[(math.cos(t) + math.sin(t) * k) * y, -math.sin(t) * x],
                            [(math.sin(t) - math.cos(t) * k) * y, math.cos(t) * x]])
            shifts.append([self.shift * down, self.shift * right])
        return to_array(forward), to_array(shifts)

    def __call__(self, images, rng):
        forward, shifts = self.draw(len(_stack(images)), rng)

        def wobble(shape):
            noise = _filled(shape, lambda: float(rng.standard_normal(dtype="float32")))
            smooth = to_list(smooth_noise(noise, self.smoothness))
            return _for_each(lambda x: self.elastic * x, smooth)

        return affine_warp(images, forward, shifts, wobble if self.elastic else None)

"""Pooling, one window at a time.

Images are nested lists x[channel][row][column][sample]. A window is a list of the places (row,
column) that it covers, in reading order; places in the padding are left out.
"""

import math

from reference._edge import to_array, to_list
from reference.dense import Layer, ShapeError


def _pair(name, value, least):
    values = list(value) if isinstance(value, (tuple, list)) else [value, value]
    if len(values) != 2 or any(v != int(v) or v < least for v in values):
        raise ValueError(f"expected {name} as a whole number >= {least} or a pair, got {value!r}")
    return int(values[0]), int(values[1])


def pool_settings(size, stride=None, padding=0):
    size = _pair("size", size, 1)
    stride = size if stride is None else _pair("stride", stride, 1)
    padding = _pair("padding", padding, 0)
    if padding[0] >= size[0] or padding[1] >= size[1]:
        raise ValueError(f"expected padding smaller than the window {size}, got {padding}")
    return size, stride, padding


def _shape(x):
    shape = []
    while isinstance(x, list):
        shape.append(len(x))
        x = x[0] if x else None
    if len(shape) != 4 or 0 in shape:
        raise ShapeError(f"expected images shaped (channels, height, width, batch), got {shape}")
    return shape


def _starts(length, size, stride, padding):
    """Where the windows along one axis start; what hangs over the far end of the padding is no window."""
    starts, start = [], -padding
    while start + size <= length + padding:
        starts.append(start)
        start = start + stride
    if not starts:
        raise ShapeError(f"a window of {size} does not fit into {length} with padding {padding}")
    return starts


def _windows(height, width, size, stride, padding):
    """Rows of windows; each window a list of places."""
    (size, stride, padding), rows = pool_settings(size, stride, padding), []
    for top in _starts(height, size[0], stride[0], padding[0]):
        rows.append([])
        for left in _starts(width, size[1], stride[1], padding[1]):
            places = []
            for i in range(top, top + size[0]):
                for j in range(left, left + size[1]):
                    if 0 <= i < height and 0 <= j < width:
                        places.append((i, j))
            rows[-1].append(places)
    return rows


def _pool(f, x, size, stride, padding):
    """f of the list of numbers in every window, for every channel and sample."""
    x = to_list(x)
    _, height, width, batch = _shape(x)
    windows = _windows(height, width, size, stride, padding)
    return to_array([[[[f([channel[i][j][n] for i, j in places]) for n in range(batch)]
                       for places in row] for row in windows] for channel in x])


def _zeros(shape):
    if not shape:
        return 0.0
    return [_zeros(shape[1:]) for _ in range(shape[0])]


def max_pool(x, size=2, stride=None, padding=0):
    return _pool(max, x, size, stride, padding)


def max_pool_backward(dy, x, y, size=2, stride=None, padding=0):
    """The winner is looked for in x again; y is not used."""
    dy, x = to_list(dy), to_list(x)
    shape = _shape(x)
    dx = _zeros(shape)
    for r, row in enumerate(_windows(shape[1], shape[2], size, stride, padding)):
        for s, places in enumerate(row):
            for c in range(shape[0]):
                for n in range(shape[3]):
                    winner = places[0]
                    for i, j in places[1:]:
                        if x[c][i][j][n] > x[c][winner[0]][winner[1]][n]:
                            winner = (i, j)
                    dx[c][winner[0]][winner[1]][n] += dy[c][r][s][n]
    return to_array(dx)


def average_pool(x, size=2, stride=None, padding=0):
    """Padding does not count."""
    return _pool(lambda numbers: math.fsum(numbers) / len(numbers), x, size, stride, padding)


def average_pool_backward(dy, x_shape, size=2, stride=None, padding=0):
    dy = to_list(dy)
    dx = _zeros(tuple(x_shape))
    for r, row in enumerate(_windows(x_shape[1], x_shape[2], size, stride, padding)):
        for s, places in enumerate(row):
            for c in range(x_shape[0]):
                for n in range(x_shape[3]):
                    for i, j in places:
                        dx[c][i][j][n] += dy[c][r][s][n] / len(places)
    return to_array(dx)


class Pool(Layer):
    input_dims, x = 3, None

    def __init__(self, size, stride=None, padding=0):
        super().__init__()
        self.size, self.stride, self.padding = pool_settings(size, stride, padding)

    def config(self):
        return {"size": list(self.size), "stride": list(self.stride), "padding": list(self.padding)}

    def build(self, input_shape):
        if len(input_shape) != 3:
            raise ShapeError(f"expected one sample shaped (channels, height, width), got {input_shape}")
        windows = _windows(input_shape[1], input_shape[2], self.size, self.stride, self.padding)
        return (input_shape[0], len(windows), len(windows[0]))

    def backward(self, dy, need_dx=True):
        if self.x is None:
            raise RuntimeError(f"{type(self).__name__}: backward before forward")
        if need_dx:
            return self.gradient(dy)


class MaxPool(Pool):
    def forward(self, x, training=False):
        self.x = x
        return max_pool(x, self.size, self.stride, self.padding)

    def gradient(self, dy):
        return max_pool_backward(dy, self.x, None, self.size, self.stride, self.padding)


class AveragePool(Pool):
    def forward(self, x, training=False):
        self.x = x
        return average_pool(x, self.size, self.stride, self.padding)

    def gradient(self, dy):
        return average_pool_backward(dy, _shape(to_list(self.x)), self.size, self.stride, self.padding)


class GlobalAveragePool(Layer):
    input_dims, x_shape = 3, None

    def build(self, input_shape):
        if len(input_shape) != 3:
            raise ShapeError(f"expected one sample shaped (channels, height, width), got {input_shape}")
        return (input_shape[0],)

    def forward(self, x, training=False):
        x = to_list(x)
        self.x_shape = _shape(x)
        _, height, width, batch = self.x_shape
        return to_array([[math.fsum(channel[i][j][n] for i in range(height) for j in range(width))
                          / (height * width) for n in range(batch)] for channel in x])

    def backward(self, dy, need_dx=True):
        if self.x_shape is None:
            raise RuntimeError("GlobalAveragePool: backward before forward")
        dy, (channels, height, width, batch) = to_list(dy), self.x_shape
        if need_dx:
            return to_array([[[[dy[c][n] / (height * width) for n in range(batch)] for _ in range(width)]
                              for _ in range(height)] for c in range(channels)])

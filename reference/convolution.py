"""Convolution, one multiplication at a time.

Images are nested lists x[channel][row][column][sample]. Nothing is padded: a pixel that lies
outside the image is a zero wherever it is asked for.
"""

import math

from reference._edge import to_array, to_list
from reference.dense import Layer, ShapeError, he_normal


def _shape(nested):
    shape = ()
    while isinstance(nested, list):
        shape = shape + (len(nested),)
        nested = nested[0] if nested else None
    return shape


def _zeros(shape):
    if not shape:
        return 0.0
    return [_zeros(shape[1:]) for _ in range(shape[0])]


def _two(value):
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def output_size(size, kernel, stride=1, padding=0, dilation=1):
    """Try the places one after the other until the kernel sticks out."""
    before, after = _two(padding)
    places, start = 0, -before
    while start + dilation * (kernel - 1) < size + after:
        places = places + 1
        start = start + stride
    if places == 0:
        raise ShapeError(f"a kernel of {kernel} does not fit on {size}")
    return places


def same_padding(size, kernel, stride=1, dilation=1):
    """Add zeros, first after, then before, until there is a place for every stride-th pixel."""
    before = after = 0
    wanted = math.ceil(size / stride)
    while before + size + after < (wanted - 1) * stride + dilation * (kernel - 1) + 1:
        if after > before:
            before = before + 1
        else:
            after = after + 1
    return before, after


def _settings(height, width, kernel, stride, padding, dilation):
    """kernel, stride, (top, left) and dilation as pairs, and the numbers of places."""
    (kh, kw), (sy, sx), (dy, dx) = _two(kernel), _two(stride), _two(dilation)
    if padding == "same":
        vertical, horizontal = same_padding(height, kh, sy, dy), same_padding(width, kw, sx, dx)
    else:
        vertical, horizontal = _two(padding)
        vertical, horizontal = _two(vertical), _two(horizontal)
    places = (output_size(height, kh, sy, vertical, dy), output_size(width, kw, sx, horizontal, dx))
    return (kh, kw), (sy, sx), (vertical[0], horizontal[0]), (dy, dx), places


def _meetings(height, width, kernel, stride=1, padding=0, dilation=1):
    """Yield (i, j, r, c, y, x): at place (r, c) the kernel's number (i, j) meets pixel (y, x)."""
    kernel, stride, corner, dilation, places = _settings(height, width, kernel, stride, padding, dilation)
    for r in range(places[0]):
        for c in range(places[1]):
            for i in range(kernel[0]):
                for j in range(kernel[1]):
                    y = r * stride[0] + i * dilation[0] - corner[0]
                    x = c * stride[1] + j * dilation[1] - corner[1]
                    if 0 <= y < height and 0 <= x < width:
                        yield i, j, r, c, y, x


def pad_image(x, padding):
    """((top, bottom), (left, right)) zeros around every image."""
    x = to_list(x)
    (top, bottom), (left, right) = padding
    channels, height, width, batch = _shape(x)
    padded = _zeros((channels, top + height + bottom, left + width + right, batch))
    for k in range(channels):
        for y in range(height):
            for z in range(width):
                for n in range(batch):
                    padded[k][top + y][left + z][n] = x[k][y][z][n]
    return to_array(padded)


def im2col(x, kernel, stride=1, dilation=1):
    """columns[k][i][j][r][c][n] is the pixel of channel k that (i, j) meets at place (r, c)."""
    x = to_list(x)
    channels, height, width, batch = _shape(x)
    (kh, kw), _, _, _, places = _settings(height, width, kernel, stride, 0, dilation)
    columns = _zeros((channels, kh, kw, *places, batch))
    for i, j, r, c, y, z in _meetings(height, width, kernel, stride, 0, dilation):
        for k in range(channels):
            for n in range(batch):
                columns[k][i][j][r][c][n] = x[k][y][z][n]
    return to_array(columns)


def col2im(columns, x_shape, stride=1, dilation=1):
    """Collect what every pixel gets, then add."""
    columns = to_list(columns)
    channels, kh, kw, _, _, batch = _shape(columns)
    image = _zeros(x_shape)
    for k in range(channels):
        for n in range(batch):
            terms = {}
            for i, j, r, c, y, z in _meetings(x_shape[1], x_shape[2], (kh, kw), stride, 0, dilation):
                terms.setdefault((y, z), []).append(columns[k][i][j][r][c][n])
            for (y, z), numbers in terms.items():
                image[k][y][z][n] = math.fsum(numbers)
    return to_array(image)


def _share(f, filters, channels, groups):
    """The channels that filter f sees."""
    if channels % groups or filters % groups:
        raise ShapeError(f"{groups} groups do not divide {channels} channels and {filters} filters")
    size = channels // groups
    first = f // (filters // groups) * size
    return range(first, first + size)


def convolution(x, W, b=None, stride=1, padding=0, dilation=1, groups=1):
    x, W = to_list(x), to_list(W)
    channels, height, width, batch = _shape(x)
    filters, share, kh, kw = _shape(W)
    if share * groups != channels:
        raise ShapeError(f"filters with {share} channels in {groups} groups, images with {channels}")
    *_, places = _settings(height, width, (kh, kw), stride, padding, dilation)
    meetings = list(_meetings(height, width, (kh, kw), stride, padding, dilation))
    z = _zeros((filters, *places, batch))
    for f in range(filters):
        bias = 0.0 if b is None else to_list(b)[f][0]
        for n in range(batch):
            terms = {}
            for i, j, r, c, y, p in meetings:
                for k, channel in enumerate(_share(f, filters, channels, groups)):
                    terms.setdefault((r, c), []).append(W[f][k][i][j] * x[channel][y][p][n])
            for r in range(places[0]):
                for c in range(places[1]):
                    z[f][r][c][n] = math.fsum([*terms.get((r, c), []), bias])
    return to_array(z)


def convolution_dW(dz, x, kernel, stride=1, padding=0, dilation=1, groups=1):
    """A weight multiplied a pixel at every place of every sample: collect dz times pixel."""
    dz, x = to_list(dz), to_list(x)
    channels, height, width, batch = _shape(x)
    filters = len(dz)
    kernel = _two(kernel)
    dW = _zeros((filters, channels // groups, *kernel))
    meetings = list(_meetings(height, width, kernel, stride, padding, dilation))
    for f in range(filters):
        for k, channel in enumerate(_share(f, filters, channels, groups)):
            terms = {}
            for i, j, r, c, y, p in meetings:
                for n in range(batch):
                    terms.setdefault((i, j), []).append(dz[f][r][c][n] * x[channel][y][p][n])
            for (i, j), numbers in terms.items():
                dW[f][k][i][j] = math.fsum(numbers)
    return to_array(dW)


def convolution_dx(dz, W, x_shape, stride=1, padding=0, dilation=1, groups=1):
    """A pixel was multiplied wherever a kernel met it: collect dz times weight."""
    dz, W = to_list(dz), to_list(W)
    channels, height, width, batch = x_shape
    filters, _, kh, kw = _shape(W)
    dx = _zeros(x_shape)
    meetings = list(_meetings(height, width, (kh, kw), stride, padding, dilation))
    for n in range(batch):
        terms = {}
        for f in range(filters):
            for k, channel in enumerate(_share(f, filters, channels, groups)):
                for i, j, r, c, y, p in meetings:
                    terms.setdefault((channel, y, p), []).append(dz[f][r][c][n] * W[f][k][i][j])
        for (channel, y, p), numbers in terms.items():
            dx[channel][y][p][n] = math.fsum(numbers)
    return to_array(dx)


class Convolution(Layer):
    input_dims = 3

    def __init__(self, filters, kernel, stride=1, padding=0, dilation=1, groups=1, bias=True, init=he_normal):
        super().__init__()
        self.filters, self.kernel, self.bias, self.init = filters, _two(kernel), bias, init
        self.settings = (stride, padding, dilation, groups)
        self.b = self.x = None

    def build(self, input_shape):
        if len(input_shape) != 3:
            raise ShapeError(f"expected one sample shaped (channels, height, width), got {input_shape}")
        channels, height, width = input_shape
        stride, padding, dilation, groups = self.settings
        *_, places = _settings(height, width, self.kernel, stride, padding, dilation)
        _share(0, self.filters, channels, groups)
        self.parameter_shapes = {"W": (self.filters, channels // groups, *self.kernel)}
        if self.bias:
            self.parameter_shapes["b"] = (self.filters, 1)
        return (self.filters, *places)

    def initialize(self, rng):
        self.W[...] = self.init(self.W.shape, rng)
        if self.bias:
            self.b[...] = to_array(_zeros((self.filters, 1)))

    def forward(self, x, training=False):
        self.x = to_list(x)
        return convolution(self.x, self.W, self.b, *self.settings)

    def backward(self, dz, need_dx=True):
        if self.x is None:
            raise RuntimeError("Convolution: backward before forward")
        self.dW[...] = convolution_dW(dz, self.x, self.kernel, *self.settings)
        if self.bias:
            sums = []
            for maps in to_list(dz):
                sums.append([math.fsum(number for row in maps for column in row for number in column)])
            self.db[...] = to_array(sums)
        if need_dx:
            return convolution_dx(dz, self.W, _shape(self.x), *self.settings)

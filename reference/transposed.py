"""Transposed convolution, one stamp at a time.

Images are nested lists x[channel][row][column][sample]. A number of the input puts a stamp, its
multiple of the kernel, onto the output. What falls outside the output is dropped, nothing is cut off.
"""

import math

from reference._edge import to_array, to_list
from reference.dense import Layer, ShapeError


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


def transposed_size(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    """Stamp along the axis, look how far the last weight falls, then cut and add."""
    if not 0 <= output_padding < stride:
        raise ValueError(f"output_padding {output_padding} with stride {stride}")
    before, after = _two(padding)
    last = 0
    for place in range(size):
        for i in range(kernel):
            last = max(last, place * stride + i * dilation)
    left = last + 1 - before - after + output_padding
    if left < 1:
        raise ShapeError(f"padding {before} + {after} leaves nothing of {last + 1} pixels")
    return left


def _geometry(size, kernel, stride, padding, output_padding, dilation):
    """Stride, (top, left) and dilation as pairs, and the image's height and width."""
    kernel, stride, dilation, extra = _two(kernel), _two(stride), _two(dilation), _two(output_padding)
    padding = _two(padding)
    padding = _two(padding[0]), _two(padding[1])
    image = []
    for axis in (0, 1):
        image.append(transposed_size(size[axis], kernel[axis], stride[axis], padding[axis], extra[axis],
                                     dilation[axis]))
    return kernel, stride, (padding[0][0], padding[1][0]), dilation, image


def transposed_geometry(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    """Height and width of the image, and (kernel, stride, dilation, padding, places)."""
    kernel, stride, _, dilation, image = _geometry(size, kernel, stride, padding, output_padding, dilation)
    padding = _two(padding)
    padding = _two(padding[0]), _two(padding[1])
    return tuple(image), (kernel, stride, dilation, padding, tuple(size))


def _stamps(size, kernel, stride, padding, output_padding, dilation):
    """Yield (r, c, i, j, y, x): number (r, c) puts its weight (i, j) on pixel (y, x)."""
    kernel, stride, corner, dilation, image = _geometry(size, kernel, stride, padding, output_padding, dilation)
    for r in range(size[0]):
        for c in range(size[1]):
            for i in range(kernel[0]):
                for j in range(kernel[1]):
                    y = r * stride[0] + i * dilation[0] - corner[0]
                    x = c * stride[1] + j * dilation[1] - corner[1]
                    if 0 <= y < image[0] and 0 <= x < image[1]:
                        yield r, c, i, j, y, x


def _partners(channel, channels, share, groups):
    """The filters that a channel reaches, as pairs: place among W's, number among all."""
    if groups < 1 or channels % groups:
        raise ShapeError(f"{groups} groups do not divide {channels} channels")
    group = channel // (channels // groups)
    return [(k, group * share + k) for k in range(share)]


def transposed_convolution(x, W, b=None, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    x, W = to_list(x), to_list(W)
    channels, height, width, batch = _shape(x)
    _, share, kh, kw = _shape(W)
    settings = (height, width), (kh, kw), stride, padding, output_padding, dilation
    *_, image = _geometry(*settings)
    y = _zeros((share * groups, *image, batch))
    stamps = list(_stamps(*settings))
    for n in range(batch):
        terms = {}
        for channel in range(channels):
            for k, f in _partners(channel, channels, share, groups):
                for r, c, i, j, row, column in stamps:
                    product = x[channel][r][c][n] * W[channel][k][i][j]
                    terms.setdefault((f, row, column), []).append(product)
        for f in range(share * groups):
            bias = 0.0 if b is None else to_list(b)[f][0]
            for row in range(image[0]):
                for column in range(image[1]):
                    y[f][row][column][n] = math.fsum([*terms.get((f, row, column), []), bias])
    return to_array(y)


def _transposed_dx(dy, W, size, stride, padding, output_padding, dilation, groups):
    """What a stamp's number changes: every weight of the stamp, times dy where it fell."""
    dy, W = to_list(dy), to_list(W)
    channels, share, kh, kw = _shape(W)
    batch = _shape(dy)[3]
    dx = _zeros((channels, *size, batch))
    stamps = list(_stamps(size, (kh, kw), stride, padding, output_padding, dilation))
    for n in range(batch):
        terms = {}
        for channel in range(channels):
            for k, f in _partners(channel, channels, share, groups):
                for r, c, i, j, row, column in stamps:
                    product = dy[f][row][column][n] * W[channel][k][i][j]
                    terms.setdefault((channel, r, c), []).append(product)
        for (channel, r, c), numbers in terms.items():
            dx[channel][r][c][n] = math.fsum(numbers)
    return to_array(dx)


def _transposed_dW(dy, x, kernel, stride, padding, output_padding, dilation, groups):
    """What a weight changes: x times dy, wherever it was stamped."""
    dy, x = to_list(dy), to_list(x)
    channels, height, width, batch = _shape(x)
    share = len(dy) // groups
    dW = _zeros((channels, share, *kernel))
    stamps = list(_stamps((height, width), kernel, stride, padding, output_padding, dilation))
    for channel in range(channels):
        for k, f in _partners(channel, channels, share, groups):
            terms = {}
            for r, c, i, j, row, column in stamps:
                for n in range(batch):
                    terms.setdefault((i, j), []).append(x[channel][r][c][n] * dy[f][row][column][n])
            for (i, j), numbers in terms.items():
                dW[channel][k][i][j] = math.fsum(numbers)
    return to_array(dW)


def he_transposed(shape, rng, stride=1, groups=1):
    channels, _, kh, kw = shape
    down, across = _two(stride)
    deviation = math.sqrt(2 * down * across * groups / (channels * kh * kw))
    W = _zeros(shape)
    for filters in W:
        for table in filters:
            for row in table:
                for j in range(kw):
                    row[j] = rng.normal(0.0, deviation)
    return to_array(W)


class TransposedConvolution(Layer):
    input_dims = 3

    def __init__(self, filters, kernel, stride=1, padding=0, output_padding=0, dilation=1, groups=1, bias=True,
                 init=None):
        super().__init__()
        self.filters, self.kernel, self.bias, self.init, self.groups = filters, _two(kernel), bias, init, groups
        self.settings = (stride, padding, output_padding, dilation)
        self.b = self.x = None

    def build(self, input_shape):
        channels, *self.size = input_shape
        *_, image = _geometry(self.size, self.kernel, *self.settings)
        if self.filters % self.groups or channels % self.groups:
            raise ShapeError(f"{self.groups} groups, {channels} channels, {self.filters} filters")
        self.parameter_shapes = {"W": (channels, self.filters // self.groups, *self.kernel)}
        if self.bias:
            self.parameter_shapes["b"] = (self.filters, 1)
        return (self.filters, *image)

    def initialize(self, rng):
        if self.init is None:
            self.W[...] = he_transposed(self.W.shape, rng, self.settings[0], self.groups)
        else:
            self.W[...] = self.init(self.W.shape, rng)
        if self.bias:
            self.b[...] = to_array(_zeros((self.filters, 1)))

    def forward(self, x, training=False):
        self.x = to_list(x)
        return transposed_convolution(self.x, self.W, self.b, *self.settings, self.groups)

    def backward(self, dy, need_dx=True):
        if self.x is None:
            raise RuntimeError("TransposedConvolution: backward before forward")
        self.dW[...] = _transposed_dW(dy, self.x, self.kernel, *self.settings, self.groups)
        if self.bias:
            sums = []
            for maps in to_list(dy):
                sums.append([math.fsum(number for row in maps for column in row for number in column)])
            self.db[...] = to_array(sums)
        if need_dx:
            return _transposed_dx(dy, self.W, self.size, *self.settings, self.groups)


def upsample(x, factor):
    """Pixel (r, c) of the result looks up the pixel it came from."""
    x, (down, across) = to_list(x), _two(factor)
    channels, height, width, batch = _shape(x)
    y = _zeros((channels, height * down, width * across, batch))
    for k in range(channels):
        for r in range(height * down):
            for c in range(width * across):
                for n in range(batch):
                    y[k][r][c][n] = x[k][r // down][c // across][n]
    return to_array(y)


def upsample_backward(dy, factor):
    """A pixel stands in a block: add up the block."""
    dy, (down, across) = to_list(dy), _two(factor)
    channels, height, width, batch = _shape(dy)
    dx = _zeros((channels, height // down, width // across, batch))
    for k in range(channels):
        for r in range(height // down):
            for c in range(width // across):
                for n in range(batch):
                    block = []
                    for i in range(down):
                        for j in range(across):
                            block.append(dy[k][r * down + i][c * across + j][n])
                    dx[k][r][c][n] = math.fsum(block)
    return to_array(dx)


class Upsample(Layer):
    input_dims = 3

    def __init__(self, factor):
        super().__init__()
        self.factor, self.called = _two(factor), False

    def build(self, input_shape):
        channels, height, width = input_shape
        return (channels, height * self.factor[0], width * self.factor[1])

    def forward(self, x, training=False):
        self.called = True
        return upsample(x, self.factor)

    def backward(self, dy, need_dx=True):
        if not self.called:
            raise RuntimeError("Upsample: backward before forward")
        if need_dx:
            return upsample_backward(dy, self.factor)

# Generated from book/14-transposed-convolution.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""Transposed convolution."""

import functools
import math

import numpy as np

from nnlib.convolution import (
    Geometry,
    convolution,
    convolution_dW,
    convolution_db,
    convolution_dx,
    expect_groups,
    filter_settings,
    fresh,
    margins,
    pad_image,
    pair,
    whole,
)
from nnlib.dense import Layer, ShapeError, expect_shape

__all__ = [
    "IMAGE",
    "rest",
    "transposed_size",
    "stamp_settings",
    "transposed_geometry",
    "transposed_convolution",
    "he_transposed",
    "starting_weights",
    "initialize_stamps",
    "stamp_config",
    "TransposedConvolution",
    "upsample",
    "upsample_backward",
    "Upsample",
]

# book/14-transposed-convolution.md, "How large is the picture?"
IMAGE = "channels", "height", "width"


# book/14-transposed-convolution.md, "How large is the picture?"
def rest(output_padding, stride):
    """The output padding along an axis as an int; ValueError unless 0 to stride - 1."""
    extra = whole("output_padding", output_padding, least=0)
    if extra >= stride:
        raise ValueError(f"expected output_padding smaller than the stride, {stride}, "
                         f"got {extra}: a convolution would have one more place")
    return extra


# book/14-transposed-convolution.md, "How large is the picture?"
def transposed_size(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    """How many pixels an axis has from which a convolution makes `size` places.

    Parameters
    ----------
    size, kernel : int
        Numbers to stamp, and weights of the kernel, along this axis.
    stride : int
        From one stamp to the next.
    padding : int or (int, int)
        Pixels cut off on each side, or before and after.
    output_padding : int
        Pixels added at the end, fewer than the stride.
    dilation : int
        From one weight of the kernel to the next; 1 leaves no holes.

    Returns
    -------
    int

    Raises
    ------
    ShapeError
        If nothing is left when the padding is cut off.
    ValueError
        If a setting is not a whole number, or is out of range.
    """
    stride, dilation = whole("stride", stride), whole("dilation", dilation)
    before, after = pair("padding", padding, least=0)
    extra = rest(output_padding, stride)
    covered = (size - 1) * stride + dilation * (kernel - 1) + 1 + extra
    if before + after >= covered:
        raise ShapeError(f"{size} kernels of {kernel} with stride {stride} cover "
                         f"{covered}: expected less padding to cut off, "
                         f"got {before} + {after}")
    return covered - before - after


# book/14-transposed-convolution.md, "How large is the picture?"
def stamp_settings(stride=1, padding=0, output_padding=0, dilation=1):
    """The settings of a transposed convolution, each as a pair: down, across.

    Parameters
    ----------
    stride, output_padding, dilation : int or (int, int)
    padding : int, (int, int) or ((top, bottom), (left, right))

    Returns
    -------
    tuple
        In the same order; padding as ((top, bottom), (left, right)).

    Raises
    ------
    ValueError
        If a setting makes no sense.
    """
    stride, dilation = pair("stride", stride), pair("dilation", dilation)
    extra = tuple(map(rest, pair("output_padding", output_padding, least=0), stride))
    if isinstance(padding, str):
        raise ValueError(f"expected padding in whole numbers >= 0, got {padding!r}: it "
                         "would depend on the image that is yet to be made")
    return stride, margins(padding, None, None, stride, dilation), extra, dilation


# book/14-transposed-convolution.md, "How large is the picture?"
def transposed_geometry(size, kernel, stride=1, padding=0, output_padding=0,
                        dilation=1):
    """The image that comes out, and the convolution that would lead back from it.

    Parameters
    ----------
    size : (int, int)
        Height and width of what goes in.
    kernel, stride, output_padding, dilation : int or (int, int)
    padding : int, (int, int) or ((top, bottom), (left, right))

    Returns
    -------
    image : (int, int)
        Height and width of what comes out.
    g : Geometry
        Of the convolution; its places are `size`.

    Raises
    ------
    ShapeError
        If nothing is left when the padding is cut off.
    ValueError
        If a setting makes no sense.
    """
    settings = stamp_settings(stride, padding, output_padding, dilation)
    kernel, (stride, padding, _, dilation) = pair("kernel", kernel), settings
    image = tuple(map(transposed_size, size, kernel, *settings))
    return image, Geometry(kernel, stride, dilation, padding, tuple(size))


# book/14-transposed-convolution.md, "Forwards"
def transposed_convolution(x, W, b=None, stride=1, padding=0, output_padding=0,
                           dilation=1, groups=1, workspace=fresh):
    """Stamp filters, weighted by the numbers of x, onto an empty image and add them up.

    The adjoint of `convolution` with the same W and settings, plus a bias.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
    W : ndarray, shape (channels, filters // groups, kh, kw)
        As of a convolution from `filters` channels to `channels` filters.
    b : ndarray, shape (filters, 1), optional
    stride, dilation : int or (int, int)
    padding : int, (int, int) or ((top, bottom), (left, right))
        Cut off from the result.
    output_padding : int or (int, int)
        Rows added at the bottom and columns on the right, fewer than the stride.
    groups : int
        Channels and filters are cut into so many groups that do not meet.
    workspace : callable (name, shape, dtype) -> ndarray
        Where large arrays come from, the result among them.

    Returns
    -------
    ndarray, shape (filters, out_height, out_width, batch)

    Raises
    ------
    ShapeError
        If shapes do not fit each other, or nothing is left to return.
    ValueError
        If a setting makes no sense.
    """
    x, W, groups = np.asarray(x), np.asarray(W), whole("groups", groups)
    dtype = np.result_type(x, W, np.float32)
    x, W = x.astype(dtype, copy=False), W.astype(dtype, copy=False)
    name = "transposed_convolution"
    expect_shape(name, "x", x.shape, (*IMAGE, "batch"))
    expect_shape(name, "W", W.shape, (len(x), "filters / groups", "kh", "kw"))
    filters = W.shape[1] * groups
    expect_groups(len(x), filters, len(x) // groups, groups)
    image, g = transposed_geometry(x.shape[1:3], W.shape[2:], stride, padding,
                                   output_padding, dilation)
    y = convolution_dx(x, W, (filters, *image, x.shape[3]), g.stride, g.padding,
                       g.dilation, groups, workspace)
    if b is not None:
        y += np.asarray(b, dtype).reshape(-1, 1, 1, 1)
    return y


# book/14-transposed-convolution.md, "How large should a stamp be?"
def he_transposed(shape, rng, stride=1, groups=1):
    """Normal weights of variance 2 / fan_in, for ReLU, where fan_in is the mean number
    of products in a pixel of a transposed convolution.

    Parameters
    ----------
    shape : tuple of int
        (channels, filters // groups, kh, kw).
    rng : numpy.random.Generator
    stride : int or (int, int)
    groups : int

    Returns
    -------
    ndarray of float64, of that shape
    """
    products = shape[0] / groups * math.prod(shape[2:])
    fan_in = products / math.prod(pair("stride", stride))
    return rng.normal(0.0, math.sqrt(2.0 / fan_in), shape)


# book/14-transposed-convolution.md, "The layer"
def starting_weights(init, stride, groups):
    """`init`, or `he_transposed` for this stride and these groups if it is None.

    Raises
    ------
    ValueError
        If it cannot be called.
    """
    if init is None:
        return functools.partial(he_transposed, stride=stride, groups=groups)
    if not callable(init):
        raise ValueError("TransposedConvolution: expected a callable init, "
                         f"got {init!r}")
    return init


# book/14-transposed-convolution.md, "The layer"
def initialize_stamps(layer, rng):
    """Starting weights from the layer's `init`; ShapeError if they do not fit."""
    W = np.asarray(layer.init(layer.W.shape, rng))
    expect_shape(layer.kind, "weights from init", W.shape, layer.W.shape)
    Layer.initialize(layer, rng)
    layer.W[...] = W


# book/14-transposed-convolution.md, "The layer"
def stamp_config(layer):
    """What a checkpoint must know to refuse the weights of another layer."""
    return {**filter_settings(layer), "output_padding": layer.settings[2]}


# book/14-transposed-convolution.md, "The layer"
class TransposedConvolution(Layer):
    """Filters stamped onto a larger image: (channels, height, width) to
    (filters, out_height, out_width). The adjoint of `Convolution`, plus a bias.

    Parameters
    ----------
    filters : int
        How many channels the output has.
    kernel, stride, dilation : int or (int, int)
    padding : int, (int, int) or ((top, bottom), (left, right))
        Cut off from the output.
    output_padding : int or (int, int)
        Rows added at the bottom and columns on the right, fewer than the stride.
    groups : int
        Divides the channels and the filters.
    bias : bool
        False leaves b out.
    init : callable (shape, rng) -> array, optional
        Makes the starting weights; `he_transposed` with stride and groups if not given.
        Biases start at zero.

    Raises
    ------
    ValueError
        For a setting that makes no sense.
    ShapeError
        From `build`, if nothing is left of the output; from the others, if an array
        does not fit.
    RuntimeError
        From `backward` before `forward`.
    """
    kind, input_dims, b, x = "TransposedConvolution", 3, None, None
    initialize, config, lends_output = initialize_stamps, stamp_config, True

    def __init__(self, filters, kernel, stride=1, padding=0, output_padding=0,
                 dilation=1, groups=1, bias=True, init=None):
        super().__init__()
        self.filters, self.groups = whole("filters", filters), whole("groups", groups)
        self.kernel, self.bias = pair("kernel", kernel), bias
        self.settings = stamp_settings(stride, padding, output_padding, dilation)
        self.init = starting_weights(init, stride, groups)

    def build(self, input_shape):
        expect_shape(self.kind, "one sample", input_shape, IMAGE)
        channels, *size = self.sample_shape = tuple(input_shape)
        expect_groups(channels, self.filters, channels // self.groups, self.groups)
        self.image, g = transposed_geometry(size, self.kernel, *self.settings)
        self.geometry, self.moves = g, (g.stride, 0, g.dilation, self.groups)
        W, b = (channels, self.filters // self.groups, *self.kernel), (self.filters, 1)
        self.parameter_shapes = {"W": W, "b": b} if self.bias else {"W": W}
        return (self.filters, *self.image)

    def forward(self, x, training=False):
        x = np.asarray(x, self.W.dtype)
        expect_shape(self.kind, "x", x.shape, (*self.sample_shape, "batch"))
        self.x = x
        return transposed_convolution(x, self.W, self.b, *self.settings, self.groups,
                                      self.workspace)

    def backward(self, dy, need_dx=True):
        if self.x is None:
            raise RuntimeError("TransposedConvolution: backward before forward")
        dy, shape = np.asarray(dy, self.W.dtype), (self.filters, *self.image)
        expect_shape(self.kind, "dy", dy.shape, (*shape, self.x.shape[3]))
        if self.bias:
            convolution_db(dy, out=self.db)
        dy = pad_image(dy, self.geometry.padding, self.workspace)
        convolution_dW(self.x, dy, self.kernel, *self.moves, self.dW, self.workspace)
        if need_dx:
            return convolution(dy, self.W, None, *self.moves, self.workspace)


# book/14-transposed-convolution.md, "Chessboards"
def upsample(x, factor, out=None):
    """Every pixel becomes a block of equal pixels.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
    factor : int or (int, int)
        Rows and columns of a block.
    out : ndarray, optional
        Filled and returned instead of a new array.

    Returns
    -------
    ndarray, shape (channels, rows * height, columns * width, batch)
    """
    down, across = pair("factor", factor)
    if out is None:
        channels, height, width, batch = x.shape
        out = np.empty((channels, height * down, width * across, batch), x.dtype)
    for i, j in np.ndindex(down, across):
        out[:, i::down, j::across] = x
    return out


# book/14-transposed-convolution.md, "Chessboards"
def upsample_backward(dy, factor, out=None):
    """The gradient of `upsample`'s input: the sum over every block.

    Parameters
    ----------
    dy : ndarray, shape (channels, rows * height, columns * width, batch)
        The upstream gradient.
    factor : int or (int, int)
    out : ndarray, optional
        Filled and returned instead of a new array.

    Returns
    -------
    ndarray, shape (channels, height, width, batch)
    """
    down, across = pair("factor", factor)
    out = np.zeros_like(dy[:, ::down, ::across]) if out is None else out
    out[...] = 0
    for i, j in np.ndindex(down, across):
        out += dy[:, i::down, j::across]
    return out


# book/14-transposed-convolution.md, "Chessboards"
class Upsample(Layer):
    """Every pixel becomes a block of equal pixels: nearest-neighbour upsampling.

    Parameters
    ----------
    factor : int or (int, int)
        Rows and columns of a block.

    Raises
    ------
    ValueError
        If the factor is not a whole number >= 1, or two.
    ShapeError
        From the methods, if an array does not fit.
    RuntimeError
        From `backward` before `forward`.
    """
    input_dims, x_shape = 3, None

    def __init__(self, factor):
        super().__init__()
        self.factor = pair("factor", factor)

    def config(self):
        """The setting, in values that JSON knows."""
        return {"factor": list(self.factor)}

    def build(self, input_shape):
        expect_shape("Upsample", "one sample", input_shape, IMAGE)
        channels, height, width = self.sample_shape = tuple(input_shape)
        self.image = height * self.factor[0], width * self.factor[1]
        return (channels, *self.image)

    def forward(self, x, training=False):
        x = np.asarray(x)
        expect_shape("Upsample", "x", x.shape, (*self.sample_shape, "batch"))
        self.x_shape, shape = x.shape, (len(x), *self.image, x.shape[3])
        return upsample(x, self.factor, self.workspace("y", shape, x.dtype))

    def backward(self, dy, need_dx=True):
        if self.x_shape is None:
            raise RuntimeError("Upsample: backward before forward")
        shape = self.x_shape[0], *self.image, self.x_shape[3]
        expect_shape("Upsample", "dy", dy.shape, shape)
        if need_dx:
            dx = self.workspace("dx", self.x_shape, dy.dtype)
            return upsample_backward(dy, self.factor, dx)

# Generated from book/10-convolution.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""Convolution."""

import functools
import math
from typing import NamedTuple

import numpy as np

from nnlib.dense import Layer, ShapeError, expect_shape, he_normal

__all__ = [
    "whole",
    "pair",
    "output_size",
    "same_padding",
    "margins",
    "Geometry",
    "geometry",
    "fresh",
    "padded_shape",
    "crop",
    "pad_image",
    "window_slices",
    "im2col",
    "BAND_BYTES",
    "band_rows",
    "bands",
    "expect_groups",
    "convolution",
    "convolution_db",
    "convolution_dW",
    "col2im",
    "convolution_dx",
    "unroll_across",
    "SMALL_PRODUCT",
    "FEW_WEIGHTS",
    "pieces_of_row",
    "row_pieces",
    "row_columns",
    "row_convolution",
    "row_convolution_dW",
    "zeros_around",
    "row_convolution_dx",
    "shares_rows",
    "POINTS",
    "powers",
    "winograd_matrices",
    "transform_filters",
    "tiles_share",
    "window_view",
    "transform_tiles",
    "winograd",
    "tiles_of",
    "transform_upstream",
    "add_tiles",
    "winograd_backward",
    "winograd_tile",
    "both_gradients",
    "choose_arithmetic",
    "check_moves",
    "plan_filters",
    "initialize_filters",
    "filter_settings",
    "Convolution",
]


# book/10-convolution.md, "Where a kernel fits"
def whole(name, value, least=1):
    """The value as an int; ValueError unless it is a whole number, `least` or more."""
    if not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"expected {name} to be a whole number >= {least}, "
                         f"got {value!r}")
    return int(value)


# book/10-convolution.md, "Where a kernel fits"
def pair(name, value, least=1):
    """Two whole numbers (down, across) from one number or two.

    Parameters
    ----------
    name : str
        What it is, for the message.
    value : int or (int, int)
    least : int
        The smallest number allowed.

    Raises
    ------
    ValueError
    """
    if not isinstance(value, tuple | list):
        value = value, value
    if len(value) != 2:
        raise ValueError(f"expected {name} to be one number or two, got {value!r}")
    return whole(name, value[0], least), whole(name, value[1], least)


# book/10-convolution.md, "Where a kernel fits"
def output_size(size, kernel, stride=1, padding=0, dilation=1):
    """How many places a kernel has along one axis.

    Parameters
    ----------
    size, kernel : int
        Pixels of the image and weights of the kernel along this axis.
    stride : int
        From one place to the next.
    padding : int or (int, int)
        Zeros added on each side, or before and after.
    dilation : int
        From one weight of the kernel to the next; 1 leaves no holes.

    Returns
    -------
    int

    Raises
    ------
    ShapeError
        If the kernel does not fit even once.
    ValueError
        If a setting is not a whole number, or is too small.
    """
    stride, dilation = whole("stride", stride), whole("dilation", dilation)
    before, after = pair("padding", padding, least=0)
    room, span = before + size + after, dilation * (kernel - 1) + 1
    if span > room:
        raise ShapeError(f"a kernel of {kernel} with dilation {dilation} spans {span}: "
                         f"expected at most {room} ({before} + {size} + {after})")
    return (room - span) // stride + 1


# book/10-convolution.md, "Same"
def same_padding(size, kernel, stride=1, dilation=1):
    """The fewest zeros (before, after) that give an axis ceil(size / stride) places.

    Half of them on each side, an odd one after; never fewer than none. Parameters as in
    `output_size`.
    """
    places = -(-size // stride)
    missing = (places - 1) * stride + dilation * (kernel - 1) + 1 - size
    return max(missing, 0) // 2, (max(missing, 0) + 1) // 2


# book/10-convolution.md, "Same"
def margins(padding, size, kernel, stride, dilation):
    """Any way to ask for padding as ((top, bottom), (left, right)).

    Parameters
    ----------
    padding : int, (int, int), ((int, int), (int, int)) or "same"
    size, kernel, stride, dilation : (int, int)
        Down and across.

    Raises
    ------
    ValueError
    """
    if isinstance(padding, str):
        if padding != "same":
            raise ValueError("expected padding to be a whole number >= 0 or 'same', "
                             f"got {padding!r}")
        return tuple(map(same_padding, size, kernel, stride, dilation))
    two = isinstance(padding, tuple | list) and len(padding) == 2
    down, across = padding if two else (padding, padding)
    return pair("padding", down, least=0), pair("padding", across, least=0)


# book/10-convolution.md, "Same"
class Geometry(NamedTuple):
    """Where a kernel goes on an image; each pair is down, then across."""
    kernel: tuple
    stride: tuple
    dilation: tuple
    padding: tuple       # ((top, bottom), (left, right))
    out: tuple           # places


# book/10-convolution.md, "Same"
def geometry(size, kernel, stride=1, padding=0, dilation=1):
    """Settings as users write them, worked out for images of one size.

    Parameters
    ----------
    size : (int, int)
        Height and width.
    kernel, stride, dilation : int or (int, int)
    padding : int, (int, int), ((top, bottom), (left, right)) or "same"

    Returns
    -------
    Geometry

    Raises
    ------
    ShapeError
        If the kernel does not fit.
    ValueError
        If a setting makes no sense.
    """
    kernel, stride = pair("kernel", kernel), pair("stride", stride)
    dilation = pair("dilation", dilation)
    padding = margins(padding, size, kernel, stride, dilation)
    out = tuple(map(output_size, size, kernel, stride, padding, dilation))
    return Geometry(kernel, stride, dilation, padding, out)


# book/10-convolution.md, "Zeros around"
def fresh(name, shape, dtype):
    """A new array of zeros: the workspace of who has none (see `Layer.workspace`)."""
    return np.zeros(shape, dtype)


# book/10-convolution.md, "Zeros around"
def padded_shape(x_shape, padding):
    """The shape of images (channels, height, width, batch) with zeros around them.

    Parameters
    ----------
    x_shape : tuple of int
    padding : ((top, bottom), (left, right))
    """
    channels, height, width, batch = x_shape
    return channels, height + sum(padding[0]), width + sum(padding[1]), batch


# book/10-convolution.md, "Zeros around"
def crop(x, padding):
    """The images without their padding, a view: the inverse of `pad_image`."""
    (top, bottom), (left, right) = padding
    if top == bottom == left == right == 0:
        return x
    return x[:, top:x.shape[1] - bottom, left:x.shape[2] - right]


# book/10-convolution.md, "Zeros around"
def pad_image(x, padding, workspace=fresh, name="padded"):
    """Zeros around images.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
    padding : ((top, bottom), (left, right))
    workspace : callable (name, shape, dtype) -> ndarray
        Where the array comes from, zeros when it is new, and its name there.

    Returns
    -------
    ndarray, shape (channels, top + height + bottom, left + width + right, batch)
        In C order. x itself if nothing is added and it is in that order already.
    """
    shape, ((top, bottom), (left, right)) = padded_shape(x.shape, padding), padding
    if shape == x.shape and x.flags.c_contiguous:
        return x
    padded = workspace((name, top, bottom, left, right), shape, x.dtype)
    padded[:, top:top + x.shape[1], left:left + x.shape[2]] = x
    return padded


# book/10-convolution.md, "im2col"
def window_slices(columns_shape, stride, dilation, rows=None):
    """For each number of a kernel, the pixels that it meets.

    Parameters
    ----------
    columns_shape : tuple of int
        (channels, kh, kw, rows, out_width, batch), see `im2col`.
    stride, dilation : int or (int, int)
    rows : (int, int), optional
        Which output rows these are: the first, and the one after the last.

    Yields
    ------
    i, j : int
        Which number of the kernel.
    down, across : slice
        Of the padded image.
    """
    _, kh, kw, height, width, _ = columns_shape
    (sy, sx), (dy, dx) = pair("stride", stride), pair("dilation", dilation)
    top = rows[0] * sy if rows else 0
    for i in range(kh):
        down = slice(top + i * dy, top + i * dy + (height - 1) * sy + 1, sy)
        for j in range(kw):
            across = slice(j * dx, j * dx + (width - 1) * sx + 1, sx)
            yield i, j, down, across


# book/10-convolution.md, "im2col"
def im2col(x, kernel, stride=1, dilation=1, rows=None, out=None):
    """Every window of the images as a column.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
        Padded already.
    kernel, stride, dilation : int or (int, int)
    rows : (int, int), optional
        Only these output rows: the first, and the one after the last.
    out : ndarray, optional
        Filled and returned instead of a new array.

    Returns
    -------
    ndarray, shape (channels, kh, kw, rows, out_width, batch)
        Reshaped to (channels * kh * kw, -1) it is a matrix whose columns are windows.
    """
    if out is None:
        g = geometry(x.shape[1:3], kernel, stride, 0, dilation)
        first, stop = rows or (0, g.out[0])
        out = np.empty((len(x), *g.kernel, stop - first, g.out[1], x.shape[3]), x.dtype)
    for i, j, down, across in window_slices(out.shape, stride, dilation, rows):
        out[:, i, j] = x[:, down, across]
    return out

# book/10-convolution.md, "One product, a band at a time"
BAND_BYTES = 2 * 1024 * 1024


# book/10-convolution.md, "One product, a band at a time"
def band_rows(height, most):
    """How many of the rows to take at a time, at most `most` unless that is less than
    one, so that all bands are about equally large."""
    count = -(-height // max(1, most))
    return -(-height // count)


# book/10-convolution.md, "One product, a band at a time"
def bands(x_shape, g, dtype, workspace=fresh, share=1):
    """The output rows in bands whose columns fit in about BAND_BYTES.

    Parameters
    ----------
    x_shape : tuple of int
        (channels, height, width, batch).
    g : Geometry
    dtype : dtype
    workspace : callable (name, shape, dtype) -> ndarray
    share : float
        The columns' part of BAND_BYTES, where other arrays go with them.

    Yields
    ------
    rows : (int, int)
        The first output row, and the one after the last.
    columns : ndarray, shape (channels, kh, kw, rows, out_width, batch)
        Room for the band's columns, the same for every band.
    """
    height, width = g.out
    per_row = x_shape[0] * math.prod(g.kernel) * width * x_shape[3]
    bytes_per_row = per_row * np.dtype(dtype).itemsize
    step = band_rows(height, int(share * BAND_BYTES) // bytes_per_row)
    room = workspace("columns", (step * per_row,), dtype)
    for start in range(0, height, step):
        stop = min(start + step, height)
        columns = room[:(stop - start) * per_row]
        yield (start, stop), columns.reshape(x_shape[0], *g.kernel, stop - start,
                                             width, x_shape[3])


# book/10-convolution.md, "Groups"
def expect_groups(channels, filters, W_channels, groups):
    """Refuse numbers of channels and filters that cannot be cut into groups.

    Raises
    ------
    ShapeError
    """
    if groups < 1 or channels % groups or filters % groups:
        raise ShapeError(f"expected channels and filters that {groups} groups divide, "
                         f"got {channels} and {filters}")
    if W_channels * groups != channels:
        raise ShapeError(f"expected filters with {channels // groups} channels "
                         f"({channels} in {groups} groups), got {W_channels}")


# book/10-convolution.md, "Groups"
def convolution(x, W, b=None, stride=1, padding=0, dilation=1, groups=1,
                workspace=fresh):
    """Slide filters over images: cross-correlation, as all libraries call convolution.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
    W : ndarray, shape (filters, channels // groups, kh, kw)
    b : ndarray, shape (filters, 1), optional
    stride, dilation : int or (int, int)
    padding : int, (int, int), ((top, bottom), (left, right)) or "same"
    groups : int
        Filters and channels are cut into so many groups that do not see each other.
    workspace : callable (name, shape, dtype) -> ndarray
        Where large arrays come from, the result among them.

    Returns
    -------
    ndarray, shape (filters, out_height, out_width, batch)

    Raises
    ------
    ShapeError
        If shapes do not fit each other, or the kernel does not fit on the image.
    ValueError
        If a setting makes no sense.
    """
    x, W = np.asarray(x, np.result_type(x, W)), np.asarray(W)
    expect_shape("convolution", "x", x.shape, ("channels", "height", "width", "batch"))
    expect_shape("convolution", "W", W.shape, ("filters", "channels", "kh", "kw"))
    expect_groups(len(x), len(W), W.shape[1], groups)
    g = geometry(x.shape[1:3], W.shape[2:], stride, padding, dilation)
    x = pad_image(x, g.padding, workspace)
    z = workspace("z", (len(W), *g.out, x.shape[3]), x.dtype)
    W = W.reshape(groups, len(W) // groups, -1)
    for rows, columns in bands(x.shape, g, x.dtype, workspace):
        im2col(x, *g[:3], rows, columns)
        band = z[:, slice(*rows)].reshape(*W.shape[:2], -1)
        np.matmul(W, columns.reshape(groups, W.shape[2], -1), out=band)
        if b is not None:
            band += b.reshape(groups, -1, 1)
    return z


# book/10-convolution.md, "The way back"
def convolution_db(dz, out=None):
    """The biases' gradient of `convolution`, summed over places and the batch.

    Parameters
    ----------
    dz : ndarray, shape (filters, out_height, out_width, batch)
        The upstream gradient.
    out : ndarray, shape (filters, 1), optional
        Filled and returned instead of a new array.

    Returns
    -------
    ndarray, shape (filters, 1)
    """
    db = np.empty((len(dz), 1), dz.dtype) if out is None else out
    np.einsum("fp->f", dz.reshape(len(dz), -1), out=db[:, 0])
    return db


# book/10-convolution.md, "The way back"
def convolution_dW(dz, x, kernel, stride=1, padding=0, dilation=1, groups=1,
                   out=None, workspace=fresh):
    """The filters' gradient of `convolution`, summed over places and the batch.

    Parameters
    ----------
    dz : ndarray, shape (filters, out_height, out_width, batch)
        The upstream gradient.
    x : ndarray, shape (channels, height, width, batch)
    kernel : int or (int, int)
    stride, padding, dilation, groups, workspace
        As given to `convolution`.
    out : ndarray, shape (filters, channels // groups, kh, kw), optional
        Filled and returned instead of a new array.

    Returns
    -------
    ndarray, shape (filters, channels // groups, kh, kw)

    Raises
    ------
    ShapeError, ValueError
        As `convolution`; also if dz is not shaped like its output.
    """
    g = geometry(x.shape[1:3], kernel, stride, padding, dilation)
    expect_groups(len(x), len(dz), len(x) // groups, groups)
    expect_shape("convolution_dW", "dz", dz.shape, (len(dz), *g.out, x.shape[3]))
    x = pad_image(x, g.padding, workspace)
    shape = groups, len(x) // groups * math.prod(g.kernel), len(dz) // groups
    dW, part = np.zeros(shape, dz.dtype), np.empty(shape, dz.dtype)     # transposed
    for rows, columns in bands(x.shape, g, x.dtype, workspace):
        im2col(x, *g[:3], rows, columns)
        band = dz[:, slice(*rows)].reshape(groups, shape[2], -1)
        columns = columns.reshape(*shape[:2], -1)
        dW += np.matmul(columns, band.swapaxes(1, 2), out=part)
    dW = dW.swapaxes(1, 2).reshape(len(dz), -1, *g.kernel)
    return dW if out is None else np.positive(dW, out=out)


# book/10-convolution.md, "Back to the image"
def col2im(columns, x_shape, stride=1, dilation=1, rows=None, out=None):
    """The adjoint of `im2col`: every number is added to the pixel it came from.

    Parameters
    ----------
    columns : ndarray, shape (channels, kh, kw, rows, out_width, batch)
    x_shape : tuple of int
        (channels, height, width, batch) of the images, padded.
    stride, dilation : int or (int, int)
    rows : (int, int), optional
        Which output rows the columns belong to: the first, and the one after the last.
    out : ndarray, shape x_shape, optional
        Added to and returned; without it, an array of zeros is.

    Returns
    -------
    ndarray, shape x_shape
    """
    out = np.zeros(x_shape, columns.dtype) if out is None else out
    for i, j, down, across in window_slices(columns.shape, stride, dilation, rows):
        out[:, down, across] += columns[:, i, j]
    return out


# book/10-convolution.md, "Back to the image"
def convolution_dx(dz, W, x_shape, stride=1, padding=0, dilation=1, groups=1,
                   workspace=fresh):
    """The input's gradient of `convolution`.

    Parameters
    ----------
    dz : ndarray, shape (filters, out_height, out_width, batch)
        The upstream gradient.
    W : ndarray, shape (filters, channels // groups, kh, kw)
    x_shape : tuple of int
        (channels, height, width, batch).
    stride, padding, dilation, groups, workspace
        As given to `convolution`.

    Returns
    -------
    ndarray, shape x_shape

    Raises
    ------
    ShapeError, ValueError
        As `convolution`; also if dz is not shaped like its output.
    """
    g = geometry(x_shape[1:3], W.shape[2:], stride, padding, dilation)
    expect_groups(x_shape[0], len(W), W.shape[1], groups)
    expect_shape("convolution_dx", "dz", dz.shape, (len(W), *g.out, x_shape[3]))
    shape = padded_shape(x_shape, g.padding)
    dx = workspace("dx", shape, dz.dtype)
    dx[...] = 0
    W = W.reshape(groups, len(W) // groups, -1)
    for rows, columns in bands(shape, g, dz.dtype, workspace):
        band = dz[:, slice(*rows)].reshape(*W.shape[:2], -1)
        np.matmul(W.swapaxes(1, 2), band, out=columns.reshape(groups, W.shape[2], -1))
        col2im(columns, shape, g.stride, g.dilation, rows, dx)
    return crop(dx, g.padding)


# book/10-convolution.md, "Fewer copies"
def unroll_across(x, dilation, first, out):
    """For some image rows, each column of the kernel: the pixels that it meets.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
        Padded already, in C order.
    dilation : int
    first : int
        The first of the rows.
    out : ndarray, shape (rows, channels, kw, out_width, batch)
        Filled and returned.
    """
    channel, row, pixel, sample = x.strides
    strides = row, channel, dilation * pixel, pixel, sample
    out[...] = np.ndarray(out.shape, x.dtype, x, first * row, strides)
    return out

# book/10-convolution.md, "Fewer copies"
SMALL_PRODUCT = 1_000_000
FEW_WEIGHTS = 2_048


# book/10-convolution.md, "Fewer copies"
def pieces_of_row(numbers, width, batch):
    """Into how few equal parts to cut a row of places, so that each is a small product.

    One multiplication for each of `numbers` weights, each place and each sample. Parts
    of fewer than 256 columns are not worth it: then one.
    """
    for pieces in range(1, width * batch // 256 + 1):
        columns = width // pieces * batch
        if width % pieces == 0 and numbers * columns <= SMALL_PRODUCT:
            return pieces
    return 1


# book/10-convolution.md, "Fewer copies"
def row_pieces(z, rows, pieces):
    """A view of some rows of places: (rows, pieces, filters, places and batch)."""
    filters, _, width, batch = z.shape
    some = z[:, slice(*rows)].reshape(filters, -1, pieces, width // pieces * batch)
    return some.transpose(1, 2, 0, 3)


# book/10-convolution.md, "Fewer copies"
def row_columns(x, g, pieces, workspace=fresh, unrolled=False):
    """The columns of whole rows of places, in bands, with the kernel unrolled across
    only: neighbouring rows share what they have in common.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
        Padded already, in C order.
    g : Geometry
        Of stride 1, and without dilation downwards.
    pieces : int
        Divides the places of a row.
    workspace : callable (name, shape, dtype) -> ndarray
    unrolled : bool
        Whether the last call with this workspace was for the same x. If one band is
        all, it is there still.

    Yields
    ------
    rows : (int, int)
        The first output row, and the one after the last.
    stack : ndarray, shape (rows, pieces, kh * channels * kw, places and batch)
        A view whose rows overlap in memory, for reading only.
    """
    (channels, *_, batch), (kh, kw), (height, width) = x.shape, g.kernel, g.out
    line = width * batch * x.itemsize
    step = band_rows(height, BAND_BYTES // (channels * kw * line) - kh + 1)
    room = workspace("columns", (step + kh - 1, channels, kw, width, batch), x.dtype)
    strides = channels * kw * line, line // pieces, line, x.itemsize
    for start in range(0, height, step):
        stop = min(start + step, height)
        if not unrolled or step < height:
            unroll_across(x, g.dilation[1], start, room[:stop - start + kh - 1])
        shape = stop - start, pieces, kh * channels * kw, width // pieces * batch
        yield (start, stop), np.ndarray(shape, x.dtype, room, strides=strides)


# book/10-convolution.md, "Fewer copies"
def row_convolution(x, W, b, g, workspace=fresh):
    """`convolution` of padded images with stride 1, without groups or dilation
    downwards, in kw copies instead of kh * kw.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
        Padded already, in C order.
    W, b, workspace
        As for `convolution`.
    g : Geometry
        Its padding is not looked at.

    Returns
    -------
    ndarray, shape (filters, out_height, out_width, batch)
    """
    z = workspace("z", (len(W), *g.out, x.shape[3]), x.dtype)
    pieces = pieces_of_row(W.size, g.out[1], x.shape[3])
    W = W.swapaxes(1, 2).reshape(len(W), -1)
    for rows, stack in row_columns(x, g, pieces, workspace):
        np.matmul(W, stack, out=row_pieces(z, rows, pieces))
        if b is not None:
            band = z[:, slice(*rows)]
            band += b[:, :, None, None]
    return z


# book/10-convolution.md, "Fewer copies"
def row_convolution_dW(dz, x, g, out=None, workspace=fresh, unrolled=False):
    """The filters' gradient of `row_convolution`, (filters, channels, kh, kw); x in C
    order. If that was called last with this workspace and x, `unrolled` may be True."""
    (kh, kw), numbers = g.kernel, len(dz) * len(x) * math.prod(g.kernel)
    pieces, parts = pieces_of_row(numbers, g.out[1], x.shape[3]), []
    for rows, stack in row_columns(x, g, pieces, workspace, unrolled):
        band = row_pieces(dz, rows, pieces)
        parts.append(np.matmul(band, stack.swapaxes(2, 3)).sum(axis=(0, 1)))
    dW = functools.reduce(np.add, parts)
    dW = dW.reshape(len(dz), kh, len(x), kw).swapaxes(1, 2)
    return np.ascontiguousarray(dW) if out is None else np.positive(dW, out=out)


# book/10-convolution.md, "Fewer copies"
def zeros_around(g):
    """What dz needs on each side for its windows to reach every pixel, padding left
    out: ((top, bottom), (left, right)); negative where there is more padding."""
    return [(d * (k - 1) - p, d * (k - 1) - q)
            for k, d, (p, q) in zip(g.kernel, g.dilation, g.padding)]


# book/10-convolution.md, "Fewer copies"
def row_convolution_dx(dz, W, x_shape, g, workspace=fresh):
    """The input's gradient for stride 1, and at most d * (k - 1) zeros on any side.

    Parameters
    ----------
    dz, W, workspace
        As for `convolution_dx`.
    x_shape : tuple of int
        Of the images without padding.
    g : Geometry

    Returns
    -------
    ndarray, shape x_shape
    """
    dz = pad_image(dz, zeros_around(g), workspace, "surrounded dz")
    turned = W[:, :, ::-1, ::-1].swapaxes(0, 1)
    return row_convolution(dz, turned, None, g._replace(out=x_shape[1:3]),
                           lambda name, *rest: workspace(f"back {name}", *rest))


# book/10-convolution.md, "Fewer copies"
def shares_rows(g, channels, filters, groups=1):
    """Whether to unroll the kernel across only: where it moves by one pixel, without
    dilation downwards, and with weights so few that copying counts."""
    inside = min(map(min, zeros_around(g))) >= 0
    few = filters * channels * math.prod(g.kernel) <= FEW_WEIGHTS
    plain = groups == 1 and g.stride == (1, 1) and g.dilation[0] == 1
    return plain and inside and few

# book/10-convolution.md, "Fewer multiplications"
POINTS = 0, 3 / 4, -3 / 4, 3 / 2, -3 / 2


# book/10-convolution.md, "Fewer multiplications"
def powers(count, tile, points=POINTS):
    """Rows 1, p, p², … of `count` numbers: the first tile + 1 points, and infinity."""
    finite = np.vander(points[:tile + 1], count, increasing=True)
    return np.vstack([finite, np.eye(count)[-1:]])


# book/10-convolution.md, "Fewer multiplications"
@functools.cache
def winograd_matrices(tile, dtype):
    """A, G and B for tiles of tile x tile places and 3x3 kernels, rows and columns in
    one: (t², tile²), (t², 9), (t², t²) with t = tile + 2 (Lavin and Gray, 2016)."""
    A, G = powers(tile, tile), powers(3, tile)
    B = np.linalg.inv(powers(tile + 2, tile)).T
    return tuple(np.kron(M, M).astype(dtype) for M in (A, G, B))


# book/10-convolution.md, "Fewer multiplications"
def transform_filters(W, G):
    """G g for every filter and channel: (t², filters, channels)."""
    return (G @ W.reshape(-1, 9).T).reshape(len(G), *W.shape[:2])


# book/10-convolution.md, "Fewer multiplications"
def tiles_share(W):
    """The tiles' part of what is at work at a time: tiles, V, M and (smaller) y."""
    filters, channels = W.shape[:2]
    return channels / (2 * channels + 2 * filters)


# book/10-convolution.md, "Fewer multiplications"
def window_view(x, shape, step, top, left=0):
    """Windows of images as a view. Written to only if they do not overlap.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
        In C order.
    shape : tuple of int
        (channels, window's rows, its columns, rows of windows, columns of them, batch).
    step : int
        From one window to the next, in pixels.
    top, left : int
        Where the first one begins.
    """
    channel, row, pixel, sample = x.strides
    strides = channel, row, pixel, step * row, step * pixel, sample
    return np.ndarray(shape, x.dtype, x, top * row + left * pixel, strides)


# book/10-convolution.md, "Fewer multiplications"
def transform_tiles(x, tile, rows, tiles, B, workspace):
    """B d for some rows of tiles: (channels, t², tiles). Fills `tiles` on the way."""
    tiles[...] = window_view(x, tiles.shape, tile, rows[0] * tile)
    d = tiles.reshape(len(x), len(B), -1)
    return np.matmul(B, d, out=workspace(("V", d.shape[2]), d.shape, x.dtype))


# book/10-convolution.md, "Fewer multiplications"
def winograd(x, W, b=None, tile=4, workspace=fresh):
    """`convolution` with 3x3 kernels and stride 1, in fewer multiplications.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
        Padded already, so that height - 2 and width - 2 are multiples of `tile`; in C
        order.
    W : ndarray, shape (filters, channels, 3, 3)
    b : ndarray, shape (filters, 1), optional
    tile : int
        Rows and columns of places that are computed together, 4 at most.
    workspace : callable (name, shape, dtype) -> ndarray

    Returns
    -------
    ndarray, shape (filters, height - 2, width - 2, batch)
    """
    A, G, B = winograd_matrices(tile, x.dtype)
    U, g = transform_filters(W, G), geometry(x.shape[1:3], tile + 2, tile)
    z = workspace("z", (len(W), *(n * tile for n in g.out), x.shape[3]), x.dtype)
    for rows, tiles in bands(x.shape, g, x.dtype, workspace, tiles_share(W)):
        V = transform_tiles(x, tile, rows, tiles, B, workspace)
        T = V.shape[2]
        M = workspace(("M", T), (len(W), len(B), T), x.dtype)
        np.matmul(U, V.swapaxes(0, 1), out=M.swapaxes(0, 1))
        y = workspace(("y", T), (len(W), tile * tile, T), x.dtype)
        np.matmul(A.T, M, out=y)
        places = tiles_of(z, tile, rows)
        start = 0 if b is None else b.reshape(-1, 1, 1, 1, 1, 1)
        np.add(y.reshape(places.shape), start, out=places)
    return z


# book/10-convolution.md, "Fewer multiplications"
def tiles_of(z, tile, rows):
    """A view of some rows of tiles: (filters, tile, tile, rows, columns, batch)."""
    filters, height, width, batch = z.shape
    view = z.reshape(filters, height // tile, tile, width // tile, tile, batch)
    return view[:, slice(*rows)].transpose(0, 2, 4, 1, 3, 5)


# book/10-convolution.md, "Fewer multiplications"
def transform_upstream(dz, tile, rows, A, workspace):
    """A dz for some rows of tiles: (filters, t², tiles)."""
    places = tiles_of(dz, tile, rows)
    T = math.prod(places.shape[3:])
    y = workspace(("y", T), (len(dz), tile * tile, T), dz.dtype)
    y.reshape(places.shape)[...] = places
    M = workspace(("M", T), (len(dz), len(A), T), dz.dtype)
    return np.matmul(A, y, out=M)


# book/10-convolution.md, "Fewer multiplications"
def add_tiles(tiles, tile, rows, dx):
    """`col2im` of some rows of tiles, in blocks of which none overlaps itself."""
    for i in range(0, tile + 2, tile):
        for j in range(0, tile + 2, tile):
            block = tiles[:, i:i + tile, j:j + tile]
            pixels = window_view(dx, block.shape, tile, rows[0] * tile + i, j)
            np.add(pixels, block, out=pixels)


# book/10-convolution.md, "Fewer multiplications"
def winograd_backward(dz, x, W, padding=((0, 0), (0, 0)), tile=4, need_dx=True,
                      out=None, workspace=fresh):
    """The gradients of `winograd`.

    Parameters
    ----------
    dz : ndarray, shape (filters, height - 2, width - 2, batch)
        The upstream gradient. In C order it is not copied.
    x, W, tile, workspace
        As for `winograd`.
    padding : ((top, bottom), (left, right))
        What of x is padding.
    need_dx : bool
    out : ndarray, shape of W, optional
        For dW.

    Returns
    -------
    dW : ndarray, shape of W
    dx : ndarray, shape of x without its padding; or None
    """
    A, G, B = winograd_matrices(tile, x.dtype)
    U, g = transform_filters(W, G), geometry(x.shape[1:3], tile + 2, tile)
    dU, part, dx = np.zeros_like(U), np.empty_like(U), None
    if need_dx:
        dx = workspace("dx", x.shape, x.dtype)
        dx[...] = 0
    for rows, tiles in bands(x.shape, g, x.dtype, workspace, tiles_share(W)):
        V = transform_tiles(x, tile, rows, tiles, B, workspace)
        M = transform_upstream(dz, tile, rows, A, workspace)
        dU += np.matmul(M.swapaxes(0, 1), V.transpose(1, 2, 0), out=part)
        if need_dx:
            np.matmul(U.swapaxes(1, 2), M.swapaxes(0, 1), out=V.swapaxes(0, 1))
            np.matmul(B.T, V, out=tiles.reshape(V.shape))
            add_tiles(tiles, tile, rows, dx)
    dW = np.matmul(dU.reshape(len(G), -1).T, G).reshape(W.shape)
    return (dW if out is None else np.positive(dW, out=out),
            crop(dx, padding) if need_dx else None)


# book/10-convolution.md, "Fewer multiplications"
def winograd_tile(g, channels, filters, groups=1):
    """The tile with the least to multiply, 4 or 3; None where tiles gain little."""
    plain = g.kernel == (3, 3) and g.stride == g.dilation == (1, 1) and groups == 1
    if not plain or channels * filters < 10 * (channels + filters):
        return None
    return min((4, 3), key=lambda tile: math.prod(-(-n // tile) * (tile + 2)
                                                  for n in g.out))


# book/10-convolution.md, "Fewer multiplications"
def both_gradients(dz, x, W, padding, dW, dx, need_dx=True, out=None, workspace=fresh):
    """Both gradients, from a function for each; as `winograd_backward`."""
    return (dW(dz, x, out=out, workspace=workspace),
            dx(dz, W, crop(x, padding).shape, workspace=workspace) if need_dx else None)


# book/10-convolution.md, "Fewer multiplications"
def choose_arithmetic(g, channels, filters, groups=1):
    """What a layer should use.

    Parameters
    ----------
    g : Geometry
    channels, filters, groups : int

    Returns
    -------
    forward, backward : callable
        With all settings filled in: forward(x, W, b), with x padded already, in C
        order, and then backward(dz, x, W), which returns (dW, dx); both also take
        `workspace`, the same, and the second also `out`, for dW, and `need_dx`.
    padding, rest : ((top, bottom), (left, right))
        Zeros for x; and rows and columns of places more than wanted, for whole tiles.
    """
    tile, set_up = winograd_tile(g, channels, filters, groups), functools.partial
    rest = tuple((0, -n % tile) for n in g.out) if tile else ((0, 0), (0, 0))
    padding = np.add(g.padding, rest).tolist()
    moves = {"stride": g.stride, "dilation": g.dilation, "groups": groups}
    if tile:
        return (set_up(winograd, tile=tile),
                set_up(winograd_backward, tile=tile, padding=padding), padding, rest)
    if shares_rows(g, channels, filters, groups):
        forward, dx = set_up(row_convolution, g=g), set_up(row_convolution_dx, g=g)
        dW = set_up(row_convolution_dW, g=g, unrolled=True)
    else:
        forward, dW = set_up(convolution, **moves), set_up(convolution_dW, **moves,
                                                           kernel=g.kernel)
        dx = set_up(convolution_dx, padding=padding, **moves)
    backward = set_up(both_gradients, padding=padding, dW=dW, dx=dx)
    return forward, backward, padding, rest


# book/10-convolution.md, "The layer"
def check_moves(stride, padding, dilation, init):
    """Refuse what makes no sense whatever the images; ValueError. Returns the first
    three, stride and dilation as pairs."""
    if not callable(init):
        raise ValueError(f"Convolution: expected a callable init, got {init!r}")
    stride, dilation = pair("stride", stride), pair("dilation", dilation)
    margins(padding, (1, 1), (1, 1), stride, dilation)
    return stride, padding, dilation


# book/10-convolution.md, "The layer"
def plan_filters(layer, input_shape):
    """Fix all that depends on the images' shape; returns the shape of the filters."""
    names = ("channels", "height", "width")
    expect_shape("Convolution", "one sample", input_shape, names)
    layer.sample_shape, (channels, *size) = tuple(input_shape), input_shape
    expect_groups(channels, layer.filters, channels // layer.groups, layer.groups)
    g = layer.geometry = geometry(size, layer.kernel, *layer.settings)
    *layer.functions, layer.padding, layer.rest = choose_arithmetic(
        g, channels, layer.filters, layer.groups)
    return layer.filters, channels // layer.groups, *layer.kernel


# book/10-convolution.md, "The layer"
def initialize_filters(layer, rng):
    """Starting weights from the layer's `init`; ShapeError if they do not fit."""
    W = np.asarray(layer.init(layer.W.shape, rng))
    expect_shape("Convolution", "weights from init", W.shape, layer.W.shape)
    Layer.initialize(layer, rng)
    layer.W[...] = W


# book/10-convolution.md, "The layer"
def filter_settings(layer):
    """What a checkpoint must know to refuse the weights of another layer."""
    return {"bias": layer.bias, "groups": layer.groups, **layer.geometry._asdict()}


# book/10-convolution.md, "The layer"
class Convolution(Layer):
    """Filters that slide over images: (channels, height, width) becomes
    (filters, out_height, out_width).

    Parameters
    ----------
    filters : int
        How many; the output has a channel for each.
    kernel, stride, dilation : int or (int, int)
    padding : int, (int, int), ((top, bottom), (left, right)) or "same"
        Zeros around the image. "same": ceil(size / stride) places.
    groups : int
        Divides the channels and the filters; depthwise if it equals the channels.
    bias : bool
        False leaves b out.
    init : callable (shape, rng) -> array
        Makes the starting weights. Biases start at zero.

    Raises
    ------
    ValueError
        For a setting that makes no sense.
    ShapeError
        From `build`, if the kernel does not fit; from the others, if an array does not.
    RuntimeError
        From `backward` before `forward`.
    """
    input_dims, lends_output, b, x = 3, True, None, None
    initialize, config = initialize_filters, filter_settings

    def __init__(self, filters, kernel, stride=1, padding=0, dilation=1, groups=1,
                 bias=True, init=he_normal):
        super().__init__()
        self.filters, self.groups = whole("filters", filters), whole("groups", groups)
        self.kernel, self.bias = pair("kernel", kernel), bias
        self.settings, self.init = check_moves(stride, padding, dilation, init), init

    def build(self, input_shape):
        W, b = plan_filters(self, input_shape), (self.filters, 1)
        self.parameter_shapes = {"W": W, "b": b} if self.bias else {"W": W}
        return (self.filters, *self.geometry.out)

    def forward(self, x, training=False):
        x = np.asarray(x, self.W.dtype)
        expect_shape("Convolution", "x", x.shape, (*self.sample_shape, "batch"))
        self.x = pad_image(x, self.padding, self.workspace)
        z = self.functions[0](self.x, self.W, self.b, workspace=self.workspace)
        return crop(z, self.rest)

    def backward(self, dz, need_dx=True):
        if self.x is None:
            raise RuntimeError("Convolution: backward before forward")
        dz, places = np.asarray(dz, self.W.dtype), (*self.geometry.out, self.x.shape[3])
        expect_shape("Convolution", "dz", dz.shape, (self.filters, *places))
        if self.bias:
            convolution_db(dz, out=self.db)
        dz = pad_image(dz, self.rest, self.workspace, "dz")
        return self.functions[1](dz, self.x, self.W, need_dx=need_dx, out=self.dW,
                                 workspace=self.workspace)[1]

    def replica(self):
        """A twin for another thread (see `Layer.replica`), which must go forward first:
        the columns of these images are in this layer's workspace."""
        twin = super().replica()
        twin.x = None
        return twin

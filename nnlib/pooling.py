# Generated from book/11-pooling.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""Pooling."""

import functools

import numpy as np

from nnlib.convolution import output_size, pair
from nnlib.dense import Layer, expect_shape

__all__ = [
    "pool_settings",
    "meet",
    "window_places",
    "float_images",
    "fold_windows",
    "max_pool",
    "window_shares",
    "average_pool",
    "tiles",
    "clear_rest",
    "max_pool_backward",
    "average_pool_backward",
    "neighbours",
    "larger_of_pairs",
    "give_to_winners",
    "pool_pairs",
    "pool_pairs_backward",
    "Pool",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
]


# book/11-pooling.md, "One number for a window"
def pool_settings(size, stride=None, padding=0):
    """Size, stride and padding as pairs; a stride of None is the size.

    Raises
    ------
    ValueError
        If one is not a whole number or a pair, or a window could lie in the padding.
    """
    size = pair("size", size)
    stride = size if stride is None else pair("stride", stride)
    padding = pair("padding", padding, least=0)
    if padding[0] >= size[0] or padding[1] >= size[1]:
        raise ValueError(f"pooling: expected padding smaller than the window {size}, "
                         f"got {padding}: a window could lie outside the image")
    return size, stride, padding


# book/11-pooling.md, "Turning the loop inside out"
def meet(length, count, offset, stride):
    """Along one axis: the windows that have a pixel at this offset, and those pixels.

    Parameters
    ----------
    length : int
        Pixels along the axis.
    count : int
        Windows along the axis. Window w starts at pixel w * stride - padding.
    offset : int
        Place in the window minus padding.
    stride : int

    Returns
    -------
    tuple of slice
        Which windows, which pixels: as many of one as of the other.
    """
    first = max(0, -(offset // stride))
    last = max(first, min(count, (length - 1 - offset) // stride + 1))
    start = first * stride + offset
    return slice(first, last), slice(start, start + (last - first) * stride, stride)


# book/11-pooling.md, "Turning the loop inside out"
@functools.lru_cache(maxsize=256)
def window_places(shape, size, stride, padding):
    """Where the windows' pixels are, as slices, for images of one shape.

    Parameters
    ----------
    shape : tuple of int
        (height, width).
    size, stride, padding : tuple of int
        Pairs, from `pool_settings`.

    Returns
    -------
    counts : tuple of int
        Rows and columns of windows.
    places : tuple of (tuple, tuple)
        For each place in the window, in reading order: an index for the pooled map
        and one for the image, (..., rows, columns, :) both.

    Raises
    ------
    ShapeError
        If no window fits.
    """
    counts = tuple(map(output_size, shape, size, stride, padding))
    rows, columns = ([meet(length, count, k - before, step) for k in range(window)]
                     for length, count, window, step, before
                     in zip(shape, counts, size, stride, padding))
    every = slice(None)
    return counts, tuple(((..., r[0], c[0], every), (..., r[1], c[1], every))
                         for r in rows for c in columns)


# book/11-pooling.md, "Two poolings, one fold"
def float_images(x, name="x"):
    """Images as an array with four axes, none of them empty.

    float32 and float64 stay what they are; everything else becomes float64.
    """
    x = np.asarray(x)
    expect_shape("pooling", name, x.shape, ("channels", "height", "width", "batch"))
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)


# book/11-pooling.md, "Two poolings, one fold"
def fold_windows(combine, start, x, settings, out=None):
    """Combine the pixels of every window into one number, in reading order.

    Parameters
    ----------
    combine : numpy.ufunc
        Of two numbers, such as np.maximum.
    start : float
        Changes nothing when combined: -inf for np.maximum, 0 for np.add.
    x : ndarray, shape (channels, height, width, batch)
    settings : tuple
        From `pool_settings`.
    out : ndarray, optional
        Filled and returned instead of a new array.

    Returns
    -------
    ndarray, shape (channels, rows of windows, columns of windows, batch)
    """
    x = float_images(x)
    counts, places = window_places(x.shape[1:3], *settings)
    y = np.empty((len(x), *counts, x.shape[3]), x.dtype) if out is None else out
    if len(places) == 1 or settings[2] != (0, 0):
        y[...] = start
        for window, pixels in places:
            combine(y[window], x[pixels], out=y[window])
        return y
    so_far = x[places[0][1]]
    for _, pixels in places[1:]:
        so_far = combine(so_far, x[pixels], out=y)
    return y


# book/11-pooling.md, "Two poolings, one fold"
def max_pool(x, size=2, stride=None, padding=0, out=None):
    """The largest pixel of every window.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
    size : int or pair of int
        Rows and columns of a window.
    stride : int or pair of int, optional
        From one window to the next; the size unless given.
    padding : int or pair of int
        Rows above and below, columns left and right, that windows may reach into but
        take nothing from; smaller than the window.
    out : ndarray, optional
        Filled and returned instead of a new array.

    Returns
    -------
    ndarray, shape (channels, rows of windows, columns of windows, batch)

    Raises
    ------
    ValueError, ShapeError
        For settings that make no sense, images that have not four axes, an empty
        batch, a window that does not fit.
    """
    settings = pool_settings(size, stride, padding)
    return fold_windows(np.maximum, -np.inf, x, settings, out)


# book/11-pooling.md, "Two poolings, one fold"
@functools.lru_cache(maxsize=256)
def window_shares(shape, size, stride, padding):
    """One over the number of pixels in each window, padding not counted.

    Returns
    -------
    float or ndarray of float64, shape (rows of windows, columns of windows, 1)
        A float where all windows are full, which they are without padding.
    """
    if padding == (0, 0):
        return 1.0 / (size[0] * size[1])
    counts, places = window_places(shape, size, stride, padding)
    pixels = np.zeros((*counts, 1))
    for window, _ in places:
        pixels[window] += 1
    return 1.0 / pixels


# book/11-pooling.md, "Two poolings, one fold"
def average_pool(x, size=2, stride=None, padding=0, out=None):
    """The mean of every window.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
    size, stride, padding : int or pair of int
        As for `max_pool`. Padding does not count: where a window reaches over the
        edge, the mean is that of the pixels it does cover.
    out : ndarray, optional
        Filled and returned instead of a new array.

    Returns
    -------
    ndarray, shape (channels, rows of windows, columns of windows, batch)

    Raises
    ------
    ValueError, ShapeError
        As `max_pool` does.
    """
    settings = pool_settings(size, stride, padding)
    y = fold_windows(np.add, 0.0, x, settings, out)
    return np.multiply(y, window_shares(np.shape(x)[1:3], *settings), out=y)


# book/11-pooling.md, "Ties"
def tiles(size, stride, padding):
    """Whether windows neither overlap, nor leave gaps, nor reach over the edge."""
    return size == stride and padding == (0, 0)


# book/11-pooling.md, "Ties"
def clear_rest(dx, counts, size):
    """Zero the rows and columns of images that tiles of this size do not reach."""
    dx[:, counts[0] * size[0]:] = 0
    dx[:, :, counts[1] * size[1]:] = 0


# book/11-pooling.md, "Ties"
def max_pool_backward(dy, x, y, size=2, stride=None, padding=0, out=None, work=None):
    """The images' gradient of `max_pool`: dy goes to the first maximum in each window.

    Parameters
    ----------
    dy : ndarray, shape of y
        The upstream gradient.
    x : ndarray, shape (channels, height, width, batch)
    y : ndarray, shape (channels, rows of windows, columns of windows, batch)
        What `max_pool` made of x.
    size, stride, padding
        As for `max_pool`.
    out : ndarray, shape of x, optional
        Filled and returned instead of a new array.
    work : ndarray of bool, shape (2, *y.shape), optional
        To work in, instead of a new array.

    Returns
    -------
    ndarray, shape of x
        Where windows overlap, what reaches a pixel is added up.

    Raises
    ------
    ValueError, ShapeError
        As `max_pool` does, and if dy or y is not shaped like the pooled images.
    """
    dy, x, y = float_images(dy, "dy"), float_images(x), np.asarray(y)
    settings = pool_settings(size, stride, padding)
    counts, places = window_places(x.shape[1:3], *settings)
    for name, array in (("dy", dy), ("y", y)):
        expect_shape("pooling", name, array.shape, (len(x), *counts, x.shape[3]))
    dx, tiled = np.empty_like(x) if out is None else out, tiles(*settings)
    if tiled:
        clear_rest(dx, counts, settings[0])
    else:
        dx[...] = 0
    free, hit = np.empty((2, *dy.shape), bool) if work is None else work
    free.fill(True)
    for k, (window, pixels) in enumerate(places, 1):
        wins = free[window]
        if not tiled or k < len(places):
            wins = np.equal(x[pixels], y[window], out=hit[window])
            np.logical_and(wins, free[window], out=wins)
            np.logical_xor(wins, free[window], out=free[window])
        if tiled:
            np.multiply(dy, wins, out=dx[pixels])
        else:
            dx[pixels] += dy[window] * wins
    return dx


# book/11-pooling.md, "The way back through a mean"
def average_pool_backward(dy, x_shape, size=2, stride=None, padding=0, out=None,
                          work=None):
    """The images' gradient of `average_pool`: dy spread evenly over each window.

    Parameters
    ----------
    dy : ndarray, shape (channels, rows of windows, columns of windows, batch)
        The upstream gradient.
    x_shape : tuple of int
        (channels, height, width, batch) of the images.
    size, stride, padding
        As for `average_pool`.
    out : ndarray of that shape, optional
        Filled and returned instead of a new array.
    work : ndarray, shape of dy, optional
        To work in, instead of a new array.

    Returns
    -------
    ndarray, shape x_shape

    Raises
    ------
    ValueError, ShapeError
        As `average_pool` does, and if dy is not shaped like the pooled images.
    """
    dy, settings = float_images(dy, "dy"), pool_settings(size, stride, padding)
    channels, height, width, batch = x_shape
    counts, places = window_places((height, width), *settings)
    expect_shape("pooling", "dy", dy.shape, (channels, *counts, batch))
    dx, tiled = np.empty(x_shape, dy.dtype) if out is None else out, tiles(*settings)
    if tiled:
        clear_rest(dx, counts, settings[0])
    else:
        dx[...] = 0
    shares = window_shares((height, width), *settings)
    share = np.multiply(dy, shares, out=np.empty_like(dy) if work is None else work)
    for window, pixels in places:
        if tiled:
            dx[pixels] = share
        else:
            dx[pixels] += share[window]
    return dx


# book/11-pooling.md, "Pairs of pairs"
def neighbours(x, axis):
    """The first and the second of all pairs, down (axis 1) or across (2): views."""
    return ((x[:, ::2], x[:, 1::2]) if axis == 1 else
            (x[:, :, ::2], x[:, :, 1::2]))


# book/11-pooling.md, "Pairs of pairs"
def larger_of_pairs(x, axis, out, won):
    """The larger of every pair, into `out`; into `won`, whether it is the first."""
    first, second = neighbours(x, axis)
    np.equal(first, np.maximum(first, second, out=out), out=won)
    return out


# book/11-pooling.md, "Pairs of pairs"
def give_to_winners(dy, won, axis, out):
    """The way back through `larger_of_pairs`."""
    first, second = neighbours(out, axis)
    np.subtract(dy, np.multiply(dy, won, out=first), out=second)
    return out


# book/11-pooling.md, "Pairs of pairs"
def pool_pairs(x, y, workspace):
    """`max_pool` with windows of two by two, into y.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
    y : ndarray, shape (channels, height // 2, width // 2, batch)
        Filled.
    workspace : callable (name, shape, dtype) -> ndarray

    Returns
    -------
    across, down : ndarray of bool
        Who won: what `pool_pairs_backward` wants.
    """
    channels, rows, columns, batch = y.shape
    wide = channels, 2 * rows, columns, batch
    won = workspace("won across", wide, bool), workspace("won down", y.shape, bool)
    half = workspace("half", wide, y.dtype)
    larger_of_pairs(x[:, :2 * rows, :2 * columns], 2, half, won[0])
    larger_of_pairs(half, 1, y, won[1])
    return won


# book/11-pooling.md, "Pairs of pairs"
def pool_pairs_backward(dy, won, dx, workspace):
    """The images' gradient of `pool_pairs`, into dx."""
    _, rows, columns, _ = dy.shape
    clear_rest(dx, (rows, columns), (2, 2))
    half = workspace("half", won[0].shape, dy.dtype)
    give_to_winners(dy, won[1], 1, half)
    give_to_winners(half, won[0], 2, dx[:, :2 * rows, :2 * columns])
    return dx


# book/11-pooling.md, "As layers"
class Pool(Layer):
    """What pooling layers share: settings, shapes, checks. No parameters.

    Parameters
    ----------
    size : int or pair of int
        Rows and columns of a window.
    stride : int or pair of int, optional
        From one window to the next; the size unless given.
    padding : int or pair of int
        Rows above and below, columns left and right; smaller than the window.

    Raises
    ------
    ValueError
        For settings that make no sense.
    ShapeError
        From `build`, `forward` and `backward`, if an array does not fit.
    RuntimeError
        From `backward` before `forward`.
    """
    input_dims, x = 3, None

    def __init__(self, size, stride=None, padding=0):
        super().__init__()
        self.size, self.stride, self.padding = pool_settings(size, stride, padding)
        self.settings = self.size, self.stride, self.padding

    def config(self):
        """The settings, in values that JSON knows."""
        return {"size": list(self.size), "stride": list(self.stride),
                "padding": list(self.padding)}

    def build(self, input_shape):
        words = ("channels", "height", "width")
        expect_shape(type(self).__name__, "one sample", input_shape, words)
        counts, _ = window_places(tuple(input_shape[1:]), *self.settings)
        return (input_shape[0], *counts)

    def take(self, x):
        """Check a batch, keep it, make room for its result, self.y."""
        self.x = None
        x = float_images(x)
        counts, _ = window_places(x.shape[1:3], *self.settings)
        shape = len(x), *counts, x.shape[3]
        self.x, self.y = x, self.workspace("y", shape, x.dtype)
        return x

    def take_back(self, dy):
        """Check an upstream gradient; return it and the rest of `backward`'s needs."""
        if self.x is None:
            raise RuntimeError(f"{type(self).__name__}: backward before forward")
        dy = np.asarray(dy, self.x.dtype)
        expect_shape(type(self).__name__, "dy", dy.shape, self.y.shape)
        dx = self.workspace("dx", self.x.shape, dy.dtype)
        return dy, (*self.settings, dx)


# book/11-pooling.md, "As layers"
class MaxPool(Pool):
    """The largest pixel of every window; see `Pool` and `max_pool`."""
    won = None

    def forward(self, x, training=False):
        x, self.won = self.take(x), None
        if training and self.settings == ((2, 2), (2, 2), (0, 0)):
            self.won = pool_pairs(x, self.y, self.workspace)
            return self.y
        return fold_windows(np.maximum, -np.inf, x, self.settings, self.y)

    def backward(self, dy, need_dx=True):
        dy, rest = self.take_back(dy)
        if not need_dx:
            return None
        if self.won is not None:
            return pool_pairs_backward(dy, self.won, rest[-1], self.workspace)
        work = self.workspace("masks", (2, *dy.shape), bool)
        return max_pool_backward(dy, self.x, self.y, *rest, work)


# book/11-pooling.md, "As layers"
class AveragePool(Pool):
    """The mean of every window; see `Pool` and `average_pool`."""

    def forward(self, x, training=False):
        return average_pool(self.take(x), *self.settings, self.y)

    def backward(self, dy, need_dx=True):
        dy, rest = self.take_back(dy)
        if need_dx:
            work = self.workspace("share", dy.shape, dy.dtype)
            return average_pool_backward(dy, self.x.shape, *rest, work)


# book/11-pooling.md, "The mean of everything"
class GlobalAveragePool(Layer):
    """The mean of every channel: (channels, height, width) becomes (channels,).

    Raises
    ------
    ShapeError, RuntimeError
        As `Pool` does.
    """
    input_dims, x_shape = 3, None

    def build(self, input_shape):
        words = ("channels", "height", "width")
        expect_shape("GlobalAveragePool", "one sample", input_shape, words)
        return (input_shape[0],)

    def forward(self, x, training=False):
        self.x_shape = None
        x = float_images(x)
        self.x_shape, channels, batch = x.shape, len(x), x.shape[3]
        self.y = self.workspace("y", (channels, batch), x.dtype)
        return np.mean(x.reshape(channels, -1, batch), axis=1, out=self.y)

    def backward(self, dy, need_dx=True):
        if self.x_shape is None:
            raise RuntimeError("GlobalAveragePool: backward before forward")
        dy = np.asarray(dy, self.y.dtype)
        expect_shape("GlobalAveragePool", "dy", dy.shape, self.y.shape)
        if need_dx:
            dx = self.workspace("dx", self.x_shape, dy.dtype)
            pixels = self.x_shape[1] * self.x_shape[2]
            return np.multiply(dy[:, None, None], 1.0 / pixels, out=dx)

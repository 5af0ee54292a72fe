# Generated from book/13-augmentation.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""Augmentation."""

from dataclasses import dataclass

import numpy as np

from nnlib.dense import ShapeError, expect_shape
from nnlib.optimizers import number_between

__all__ = [
    "matrices",
    "rotation_matrix",
    "scaling_matrix",
    "shear_matrix",
    "affine_points",
    "on_blank_page",
    "before_and_beyond",
    "float_stack",
    "mix",
    "bilinear",
    "BAND_PIXELS",
    "affine_warp",
    "smoothing_matrix",
    "smooth_noise",
    "Augmentation",
]


# book/13-augmentation.md, "Where does a pixel go?"
def matrices(a, b, c, d):
    """2 by 2 matrices from their entries, in reading order.

    Parameters
    ----------
    a, b, c, d : array_like
        Numbers, or arrays that broadcast to one shape: an entry for each matrix.

    Returns
    -------
    ndarray, shape (..., 2, 2)
    """
    entries = np.stack(np.broadcast_arrays(a, b, c, d), axis=-1)
    return entries.reshape(*entries.shape[:-1], 2, 2)


# book/13-augmentation.md, "Where does a pixel go?"
def rotation_matrix(degrees):
    """Turns (row, column) about the origin, counterclockwise as seen on the page.

    Parameters
    ----------
    degrees : array_like, shape (...)

    Returns
    -------
    ndarray, shape (..., 2, 2)
    """
    angle = np.radians(degrees)
    return matrices(np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle))


# book/13-augmentation.md, "Where does a pixel go?"
def scaling_matrix(rows, columns):
    """Stretches along the rows' axis by one factor, along the columns' by another.

    Parameters
    ----------
    rows, columns : array_like, shape (...)
        Factors; above 1 the picture grows taller, wider.

    Returns
    -------
    ndarray, shape (..., 2, 2)
    """
    return matrices(rows, 0.0, 0.0, columns)


# book/13-augmentation.md, "Where does a pixel go?"
def shear_matrix(amount):
    """Moves each point to the left by `amount` times its distance below the origin.

    Parameters
    ----------
    amount : array_like, shape (...)
        Pixels to the left for each pixel down; a positive one leans like italics.

    Returns
    -------
    ndarray, shape (..., 2, 2)
    """
    return matrices(1.0, 0.0, np.negative(amount), 1.0)


# book/13-augmentation.md, "Ask every pixel where it comes from"
def affine_points(forward, shifts, height, width):
    """Where each pixel of a warped image takes its value from.

    Parameters
    ----------
    forward : ndarray of float, shape (n, 2, 2)
        What each warp does to (row, column), measured from the image's centre.
    shifts : ndarray, shape (n, 2)
        How far it then moves, in pixels: down, and to the right.
    height, width : int
        Of the images.

    Returns
    -------
    ndarray, shape (n, 2, height, width)
        Rows [:, 0] and columns [:, 1] in the original, counted from 0, in pixels;
        of the dtype of `forward`.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a warp cannot be undone: a determinant of 0.
    """
    inverse = np.linalg.inv(forward)
    centre = np.array([[(height - 1) / 2], [(width - 1) / 2]], inverse.dtype)
    offset = centre - inverse @ (centre + shifts[..., None])
    pixels = np.indices((height, width), inverse.dtype).reshape(2, height * width)
    return (inverse @ pixels + offset).reshape(-1, 2, height, width)


# book/13-augmentation.md, "The edge of the page"
def on_blank_page(images):
    """Images (n, channels, h, w) with blank rows and columns: one before, two after."""
    n, channels, height, width = images.shape
    page = np.zeros((n, channels, height + 3, width + 3), images.dtype)
    page[:, :, 1:-2, 1:-2] = images
    return page


# book/13-augmentation.md, "The edge of the page"
def before_and_beyond(position, length):
    """Split positions along an axis: the pixel before, and the share of the way on.

    Parameters
    ----------
    position : ndarray of float
        In pixels of the image; what lies off the page is moved to its blank margin.
    length : int
        Pixels of the image along this axis.

    Returns
    -------
    before : ndarray of int
        Counted on the blank page, where the image begins at 1.
    beyond : ndarray of float
        How far beyond it, from 0 up to 1.
    """
    position = np.clip(position, -1, length)
    position += 1
    before = np.floor(position)
    position -= before
    return before.astype(np.intp), position


# book/13-augmentation.md, "The edge of the page"
def float_stack(images):
    """Images as floats: float32 and float64 as they are, all else as float32.

    Raises
    ------
    ShapeError
        If they are not shaped (n, height, width) or (n, channels, height, width),
        or there are none.
    """
    images = np.asarray(images)
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise ShapeError("expected images shaped (n, height, width) or (n, channels, "
                         f"height, width), n at least 1, got {images.shape}")
    kept = images.dtype in (np.float32, np.float64)
    return images if kept else images.astype(np.float32)


# book/13-augmentation.md, "The edge of the page"
def mix(a, b, share):
    """a where `share` is 0, b where it is 1, evenly in between; overwrites b."""
    b -= a
    b *= share
    b += a
    return b


# book/13-augmentation.md, "The edge of the page"
def bilinear(images, points):
    """Images read at any points, between pixels too; outside of them all is blank.

    Parameters
    ----------
    images : ndarray, shape (n, height, width) or (n, channels, height, width)
    points : ndarray of the images' dtype, shape (n, 2, rows, columns)
        Where to read each image, all its channels alike: rows [:, 0] and columns
        [:, 1], counted from 0, in pixels.

    Returns
    -------
    ndarray, shape (n, rows, columns) or (n, channels, rows, columns)

    Raises
    ------
    ShapeError
        If the images or the points have another shape.
    """
    images = float_stack(images)
    n, *channels, height, width = images.shape
    expect_shape("bilinear", "points", np.shape(points), (n, 2, "rows", "columns"))
    page = on_blank_page(images.reshape(n, -1, height, width))
    top, down = before_and_beyond(points[:, None, 0], height)
    left, right = before_and_beyond(points[:, None, 1], width)
    start = np.arange(0, page.size, page[0, 0].size).reshape(*page.shape[:2], 1, 1)
    step = page.shape[-1]
    corner = start + top * step + left
    pixels = page.ravel()
    a, b, c, d = (pixels[k:].take(corner) for k in (0, 1, step, step + 1))
    values = mix(mix(a, b, right), mix(c, d, right), down)
    return values.reshape(n, *channels, *values.shape[2:])

# book/13-augmentation.md, "Many images at a time"
BAND_PIXELS = 2**14


# book/13-augmentation.md, "Many images at a time"
def affine_warp(images, forward, shifts, displace=None):
    """Warp every image in its own way, about its centre, on an endless blank page.

    Parameters
    ----------
    images : ndarray, shape (n, height, width) or (n, channels, height, width)
    forward : array_like, shape (n, 2, 2)
        What each warp does to (row, column), measured from the centre.
    shifts : array_like, shape (n, 2)
        How far it then moves, in pixels: down, and to the right.
    displace : callable, optional
        Given a shape (band, 2, height, width), returns an array of it: how much
        further away, in pixels, the values of a band of images are taken from.

    Returns
    -------
    ndarray, of the shape of the images
        float64 for float64 images, else float32.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ValueError
        If a matrix or a shift is not finite.
    numpy.linalg.LinAlgError
        If a matrix cannot be inverted.
    """
    images = float_stack(images)
    n, height, width = len(images), *images.shape[-2:]
    forward, shifts = (np.asarray(array, images.dtype) for array in (forward, shifts))
    expect_shape("affine_warp", "matrices", forward.shape, (n, 2, 2))
    expect_shape("affine_warp", "shifts", shifts.shape, (n, 2))
    if not (np.isfinite(forward).all() and np.isfinite(shifts).all()):
        raise ValueError("affine_warp: expected finite matrices and shifts, "
                         "got nan or infinity")
    warped, size = np.empty_like(images), max(1, BAND_PIXELS // (height * width))
    for start in range(0, n, size):
        band = slice(start, start + size)
        points = affine_points(forward[band], shifts[band], height, width)
        if displace:
            points += displace(points.shape)
        warped[band] = bilinear(images[band], points)
    return warped


# book/13-augmentation.md, "Wobble"
def smoothing_matrix(length, smoothness):
    """Row r holds a Gaussian bump about place r, its squares adding up to 1.

    Parameters
    ----------
    length : int
    smoothness : float
        Standard deviation of the bump, in pixels.

    Returns
    -------
    ndarray of float64, shape (length, length)
    """
    place = np.arange(length)
    bumps = np.exp(-0.5 * ((place - place[:, None]) / smoothness) ** 2)
    return bumps / np.sqrt((bumps**2).sum(axis=1, keepdims=True))


# book/13-augmentation.md, "Wobble"
def smooth_noise(noise, smoothness):
    """Noise smoothed by a Gaussian; if its numbers had variance 1, they still have.

    Parameters
    ----------
    noise : ndarray of float, shape (..., height, width)
    smoothness : float
        Standard deviation of the Gaussian, in pixels.

    Returns
    -------
    ndarray, of the shape and dtype of the noise
    """
    down, across = (smoothing_matrix(length, smoothness).astype(noise.dtype)
                    for length in noise.shape[-2:])
    return down @ noise @ across.T


# book/13-augmentation.md, "A machine for other hands"
@dataclass(frozen=True)
class Augmentation:
    """Small random warps, a new one for every image of every call.

    augment(images, rng) returns warped images of the same shape.

    Parameters
    ----------
    rotation : float
        Largest angle to either side, in degrees.
    scale : float
        Height and width are each multiplied by exp(u), u between -scale and scale.
    shear : float
        Largest slant to either side, in pixels to the left for each pixel down.
    shift : float
        Largest move up, down, left and right, in pixels.
    elastic : float
        Wobble: root mean square displacement along each axis, in pixels.
    smoothness : float
        Of the wobble: standard deviation of its Gaussian, in pixels.

    Raises
    ------
    ValueError
        If a setting is negative or not a finite number, or smoothness is 0.

    References
    ----------
    Simard, Steinkraus and Platt, Best practices for convolutional neural networks
    applied to visual document analysis (2003).
    """
    rotation: float = 10.0
    scale: float = 0.1
    shear: float = 0.1
    shift: float = 1.0
    elastic: float = 0.0
    smoothness: float = 4.0

    def __post_init__(self):
        for name, value in vars(self).items():
            number_between(name, value, 0, closed=name != "smoothness")

    def draw(self, n, rng):
        """n random warps: matrices (n, 2, 2) and shifts (n, 2), in float64.

        A warp scales, then shears, then turns. It takes six random numbers from -1 to
        1: turn, height, width, slant, down, right; those of an image follow each other.
        """
        turn, tall, wide, slant, down, right = rng.uniform(-1.0, 1.0, (n, 6)).T
        forward = (rotation_matrix(self.rotation * turn)
                   @ shear_matrix(self.shear * slant)
                   @ scaling_matrix(np.exp(self.scale * tall),
                                    np.exp(self.scale * wide)))
        return forward, self.shift * np.stack([down, right], axis=1)

    def __call__(self, images, rng):
        images = float_stack(images)

        def wobble(shape):
            noise = rng.standard_normal(shape, np.float32).astype(images.dtype)
            return self.elastic * smooth_noise(noise, self.smoothness)

        return affine_warp(images, *self.draw(len(images), rng),
                           wobble if self.elastic else None)

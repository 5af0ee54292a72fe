# Generated from book/03-activations.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""Activations."""

import numpy as np

from nnlib.dense import Layer, ShapeError

__all__ = [
    "identity",
    "identity_backward",
    "relu",
    "relu_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "tanh",
    "tanh_backward",
    "softmax",
    "softmax_backward",
    "Activation",
    "Identity",
    "ReLU",
    "Sigmoid",
    "Tanh",
    "Softmax",
    "LeakyReLU",
]


# book/03-activations.md, "Identity"
def identity(z, out=None):
    """The same numbers, in another array.

    Parameters
    ----------
    z : ndarray
        Of any shape.
    out : ndarray, shape of z, optional
        Filled and returned instead of a new array; may be z.

    Returns
    -------
    ndarray, shape of z
    """
    return np.positive(z, out=out)


# book/03-activations.md, "Identity"
def identity_backward(dy, y, out=None):
    """Gradient of the loss with respect to the input of `identity`: dy itself.

    Parameters
    ----------
    dy : ndarray
        The upstream gradient.
    y : ndarray, shape of dy
        What `identity` returned. Not used.
    out : ndarray, shape of dy, optional
        Filled and returned instead of a new array; may be dy or y.

    Returns
    -------
    ndarray, shape of dy
    """
    return np.positive(dy, out=out)


# book/03-activations.md, "ReLU"
def relu(z, out=None):
    """Positive numbers stay, negative ones become zero (Nair and Hinton, 2010).

    Parameters
    ----------
    z : ndarray
        Of any shape; in a layer (units, batch).
    out : ndarray, shape of z, optional
        Filled and returned instead of a new array; may be z.

    Returns
    -------
    ndarray, shape of z
    """
    return np.asarray(z).clip(0, np.inf, out=out)


# book/03-activations.md, "Its derivative, and the kink"
def relu_backward(dy, y, out=None):
    """Gradient of the loss with respect to the input of `relu`.

    At the kink the derivative is taken to be 0.

    Parameters
    ----------
    dy : ndarray
        The upstream gradient.
    y : ndarray, shape of dy
        What `relu` returned.
    out : ndarray, shape of dy, optional
        Filled and returned instead of a new array; may be dy or y.

    Returns
    -------
    ndarray, shape of dy
    """
    return np.multiply(dy, np.greater(y, 0), out=out)


# book/03-activations.md, "In place, almost"
def _free(out, *needed):
    """`out`, if the arrays `needed` can be read after writing to it; else None.

    Parameters
    ----------
    out : ndarray or None
    *needed : array_like

    Returns
    -------
    ndarray or None
        None tells NumPy to make a new array.
    """
    if out is None or any(np.may_share_memory(out, array) for array in needed):
        return None
    return out


# book/03-activations.md, "In place, almost"
def _slope(slope):
    """The slope as a Python float, which leaves float32 arrays float32.

    Raises
    ------
    ValueError
        Unless 0 < slope < 1.
    """
    if not 0 < slope < 1:
        raise ValueError(f"leaky ReLU: expected 0 < slope < 1, got {slope}")
    return float(slope)


# book/03-activations.md, "In place, almost"
def leaky_relu(z, slope=0.01, out=None):
    """Positive numbers stay, negative ones are scaled down (Maas et al., 2013).

    Parameters
    ----------
    z : ndarray
        Of any shape; in a layer (units, batch).
    slope : float
        The factor for negative numbers, between 0 and 1.
    out : ndarray, shape of z, optional
        Filled and returned instead of a new array; may be z.

    Returns
    -------
    ndarray, shape of z

    Raises
    ------
    ValueError
        Unless 0 < slope < 1.
    """
    small = np.multiply(z, _slope(slope), out=_free(out, z))
    return np.maximum(z, small, out=out)


# book/03-activations.md, "In place, almost"
def leaky_relu_backward(dy, y, slope=0.01, out=None):
    """Gradient of the loss with respect to the input of `leaky_relu`.

    At the kink the derivative is taken to be the slope.

    Parameters
    ----------
    dy : ndarray
        The upstream gradient.
    y : ndarray, shape of dy
        What `leaky_relu` returned.
    slope : float
        The one `leaky_relu` was given.
    out : ndarray, shape of dy, optional
        Filled and returned instead of a new array; may be dy or y.

    Returns
    -------
    ndarray, shape of dy

    Raises
    ------
    ValueError
        Unless 0 < slope < 1.
    """
    y = np.asarray(y)
    d = np.clip(y > 0, _slope(slope), 1, out=_free(out, dy), dtype=y.dtype)
    return np.multiply(dy, d, out=out)


# book/03-activations.md, "One formula, three ways to fail"
def _floats(z):
    """z as an array of floats: whole numbers become float64.

    Parameters
    ----------
    z : array_like

    Returns
    -------
    ndarray
        z itself, if it is an array of floats.
    """
    z = np.asarray(z)
    return z if z.dtype.kind == "f" else z.astype(np.float64)


# book/03-activations.md, "One formula, three ways to fail"
def sigmoid(z, out=None):
    """1 / (1 + exp(-z)), between 0 and 1, computed so that nothing overflows.

    Parameters
    ----------
    z : ndarray
        Of any shape; in a layer (units, batch).
    out : ndarray, shape of z, optional
        Filled and returned instead of a new array; may be z.

    Returns
    -------
    ndarray, shape of z
    """
    z = _floats(z)
    q = np.exp(-np.abs(z))
    top = np.maximum(q, np.greater_equal(z, 0), out=out)
    return np.divide(top, 1 + q, out=out)


# book/03-activations.md, "Its derivative"
def sigmoid_backward(dy, y, out=None):
    """Gradient of the loss with respect to the input of `sigmoid`: dy y (1 - y).

    Parameters
    ----------
    dy : ndarray
        The upstream gradient.
    y : ndarray, shape of dy
        What `sigmoid` returned.
    out : ndarray, shape of dy, optional
        Filled and returned instead of a new array; may be dy or y.

    Returns
    -------
    ndarray, shape of dy
    """
    d = np.subtract(1, y, out=_free(out, dy, y))
    d = np.multiply(y, d, out=_free(out, dy))
    return np.multiply(dy, d, out=out)


# book/03-activations.md, "Tanh"
def tanh(z, out=None):
    """The hyperbolic tangent, between -1 and 1.

    Parameters
    ----------
    z : ndarray
        Of any shape; in a layer (units, batch).
    out : ndarray, shape of z, optional
        Filled and returned instead of a new array; may be z.

    Returns
    -------
    ndarray, shape of z
    """
    return np.tanh(_floats(z), out=out)


# book/03-activations.md, "Tanh"
def tanh_backward(dy, y, out=None):
    """Gradient of the loss with respect to the input of `tanh`: dy (1 - y^2).

    Parameters
    ----------
    dy : ndarray
        The upstream gradient.
    y : ndarray, shape of dy
        What `tanh` returned.
    out : ndarray, shape of dy, optional
        Filled and returned instead of a new array; may be dy or y.

    Returns
    -------
    ndarray, shape of dy
    """
    d = np.multiply(y, y, out=_free(out, dy))
    d = np.subtract(1, d, out=_free(out, dy))
    return np.multiply(dy, d, out=out)


# book/03-activations.md, "Only differences count"
def softmax(z, out=None):
    """Turn logits into probabilities (Bridle, 1990).

    Parameters
    ----------
    z : ndarray, shape (classes, batch)
        Or (classes,) for one sample, or more axes after the first.
    out : ndarray, shape of z, optional
        Filled and returned instead of a new array; may be z.

    Returns
    -------
    ndarray, shape of z
        Each column is positive, or zero where it underflows, and sums to one.

    Raises
    ------
    ShapeError
        If there are no classes or no samples.
    """
    z = _floats(z)
    if z.ndim == 0 or z.size == 0:
        raise ShapeError("softmax: expected logits shaped (classes, batch), "
                         f"at least 1 of each, got {z.shape}")
    e = np.subtract(z, z.max(axis=0), out=out)
    e = np.exp(e, out=out)
    return np.divide(e, e.sum(axis=0), out=out)


# book/03-activations.md, "Its gradient"
def softmax_backward(dy, y, out=None):
    """Gradient of the loss with respect to the input of `softmax`.

    It is y (dy - s), where s is the sum of dy y over the classes.

    Parameters
    ----------
    dy : ndarray, shape (classes, batch)
        The upstream gradient; or shaped like whatever `softmax` was given.
    y : ndarray, shape of dy
        What `softmax` returned.
    out : ndarray, shape of dy, optional
        Filled and returned instead of a new array; may be dy or y.

    Returns
    -------
    ndarray, shape of dy
    """
    d = np.multiply(dy, y, out=_free(out, dy, y))
    d = np.subtract(dy, d.sum(axis=0), out=_free(out, y))
    return np.multiply(y, d, out=out)


# book/03-activations.md, "A layer of it"
class Activation(Layer):
    """A layer that applies one function to its input and has no parameters.

    A subclass sets `function(z, out)` and, from the output, `gradient(dy, y, out)`.
    What forward and backward return lives in the workspace until the next call, or in
    that of a neighbour which lends an array (see `lend_arrays`).

    Attributes
    ----------
    in_place : bool
        Whether, in a network, `function` may get z as out, and `gradient` dy. Then
        neither may read what it has already overwritten.

    Raises
    ------
    ShapeError
        From `forward` if there are no samples, from `backward` if dy does not
        have the shape of y.
    RuntimeError
        From `backward` before `forward`.
    """
    function = gradient = y = None
    in_place, _lent = False, {}

    def room(self, name, array):
        """Where a result goes: over `array` if it is lent, else into one of our own."""
        drawer = self._lent.get(name, {}) if self.in_place else {}
        if any(array is lent for lent in drawer.values()):
            return array
        return self.workspace(name, array.shape, array.dtype)

    def forward(self, z, training=False):
        z = _floats(z)
        if z.size == 0:
            self.y = None
            raise ShapeError(f"{type(self).__name__}: expected at least one sample, "
                             f"got z shaped {z.shape}")
        self.y = self.function(z, out=self.room("y", z))
        return self.y

    def backward(self, dy, need_dx=True):
        if self.y is None:
            raise RuntimeError(f"{type(self).__name__}: backward before forward")
        dy = np.asarray(dy, self.y.dtype)
        if dy.shape != self.y.shape:
            raise ShapeError(f"{type(self).__name__}: expected dy shaped "
                             f"{self.y.shape}, got {dy.shape}")
        if need_dx:
            return self.gradient(dy, self.y, out=self.room("dz", dy))


# book/03-activations.md, "A layer of it"
class Identity(Activation):
    """y = z."""
    function, gradient = staticmethod(identity), staticmethod(identity_backward)


# book/03-activations.md, "A layer of it"
class ReLU(Activation):
    """y = max(0, z)."""
    function, gradient = staticmethod(relu), staticmethod(relu_backward)
    in_place = True


# book/03-activations.md, "A layer of it"
class Sigmoid(Activation):
    """y = 1 / (1 + exp(-z))."""
    function, gradient = staticmethod(sigmoid), staticmethod(sigmoid_backward)


# book/03-activations.md, "A layer of it"
class Tanh(Activation):
    """y = tanh(z)."""
    function, gradient = staticmethod(tanh), staticmethod(tanh_backward)


# book/03-activations.md, "A layer of it"
class Softmax(Activation):
    """Probabilities over the first axis, the classes."""
    function, gradient = staticmethod(softmax), staticmethod(softmax_backward)


# book/03-activations.md, "A layer of it"
class LeakyReLU(Activation):
    """y = max(z, slope z).

    Parameters
    ----------
    slope : float
        The factor for negative numbers.

    Raises
    ------
    ValueError
        Unless 0 < slope < 1.
    """

    def __init__(self, slope=0.01):
        super().__init__()
        self.slope = _slope(slope)

    def function(self, z, out):
        return leaky_relu(z, self.slope, out)

    def gradient(self, dy, y, out):
        return leaky_relu_backward(dy, y, self.slope, out)

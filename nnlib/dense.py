# Generated from book/02-neurons.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""Neurons."""

import copy
import math

import numpy as np

__all__ = [
    "dense",
    "dense_dW",
    "dense_db",
    "dense_dx",
    "dense_backward",
    "ShapeError",
    "fans",
    "he_normal",
    "glorot_uniform",
    "expect_shape",
    "Layer",
    "Dense",
]


# book/02-neurons.md, "Many neurons are a matrix"
def dense(x, W, b=None, out=None):
    """A layer of linear neurons: z = W x + b, one column per sample.

    Parameters
    ----------
    x : ndarray, shape (inputs, batch)
    W : ndarray, shape (units, inputs)
        One row of weights per neuron.
    b : ndarray, shape (units, 1), optional
        One bias per neuron; None means no bias.
    out : ndarray, shape (units, batch), optional
        Filled and returned instead of a new array.

    Returns
    -------
    ndarray, shape (units, batch)
    """
    z = np.matmul(W, x, out=out)
    return z if b is None else np.add(z, b, out=out)


# book/02-neurons.md, "The way back"
def dense_dW(dz, x, out=None):
    """The weights' gradient of `dense`, summed over the batch.

    Parameters
    ----------
    dz : ndarray, shape (units, batch)
        The upstream gradient.
    x : ndarray, shape (inputs, batch)
    out : ndarray, shape (units, inputs), optional

    Returns
    -------
    ndarray, shape (units, inputs)
    """
    return np.matmul(dz, x.T, out=out)


# book/02-neurons.md, "The way back"
def dense_db(dz, out=None):
    """The biases' gradient of `dense`, summed over the batch.

    Parameters
    ----------
    dz : ndarray, shape (units, batch)
        The upstream gradient.
    out : ndarray, shape (units, 1), optional

    Returns
    -------
    ndarray, shape (units, 1)
    """
    return np.sum(dz, axis=1, keepdims=True, out=out)


# book/02-neurons.md, "The way back"
def dense_dx(dz, W, out=None):
    """The input's gradient of `dense`.

    Parameters
    ----------
    dz : ndarray, shape (units, batch)
        The upstream gradient.
    W : ndarray, shape (units, inputs)
    out : ndarray, shape (inputs, batch), optional

    Returns
    -------
    ndarray, shape (inputs, batch)
    """
    return np.matmul(W.T, dz, out=out)


# book/02-neurons.md, "The way back"
def dense_backward(dz, x, W, dx=None, dW=None, db=None):
    """All three gradients of `dense`.

    Parameters
    ----------
    dz : ndarray, shape (units, batch)
        The upstream gradient.
    x : ndarray, shape (inputs, batch)
    W : ndarray, shape (units, inputs)
    dx, dW, db : ndarray, optional
        Filled and returned instead of new arrays.

    Returns
    -------
    tuple of ndarray
        dx (inputs, batch), dW (units, inputs), db (units, 1).
    """
    return dense_dx(dz, W, dx), dense_dW(dz, x, dW), dense_db(dz, db)


# book/02-neurons.md, "How large is right?"
class ShapeError(ValueError):
    """An array whose shape does not fit; the message has both shapes."""


# book/02-neurons.md, "How large is right?"
def fans(shape):
    """How many numbers a unit takes in, and how many units take in a number.

    Parameters
    ----------
    shape : tuple of int
        (units, inputs), or (filters, channels, height, width).

    Returns
    -------
    tuple of int
        (fan_in, fan_out).

    Raises
    ------
    ShapeError
        If the shape has fewer than two axes.
    """
    if len(shape) < 2:
        raise ShapeError(f"expected (units, inputs, ...), got {tuple(shape)}")
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


# book/02-neurons.md, "How large is right?"
def he_normal(shape, rng):
    """Normal weights of variance 2 / fan_in, for ReLU (He et al., 2015).

    Parameters
    ----------
    shape : tuple of int
        (units, inputs), or (filters, channels, height, width).
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float64, of that shape
    """
    fan_in, _ = fans(shape)
    return rng.normal(0.0, math.sqrt(2.0 / fan_in), shape)


# book/02-neurons.md, "How large is right?"
def glorot_uniform(shape, rng):
    """Uniform weights of variance 2 / (fan_in + fan_out) (Glorot, 2010).

    Parameters
    ----------
    shape : tuple of int
        (units, inputs), or (filters, channels, height, width).
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float64, of that shape
    """
    fan_in, fan_out = fans(shape)
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, shape)


# book/02-neurons.md, "A layer that remembers"
def expect_shape(owner, name, shape, expected):
    """Raise `ShapeError` unless a shape is the expected one.

    Parameters
    ----------
    owner, name : str
        Who asks, and what the array is called; both go into the message.
    shape : tuple of int
    expected : tuple
        For each axis a number, or a word for any size but 0: (784, "batch").
    """
    fits = len(shape) == len(expected)
    for size, want in zip(shape, expected):
        fits = fits and (size == want or size > 0 and isinstance(want, str))
    if not fits:
        wanted = str(tuple(expected)).replace("'", "")
        raise ShapeError(f"{owner}: expected {name} shaped {wanted}, "
                         f"got {tuple(shape)}")


# book/02-neurons.md, "A layer that remembers"
class Layer:
    """What every layer has: parameters, gradients, and arrays it uses again.

    Used in this order: `build` fixes shapes, `bind` (or `allocate`) provides
    arrays, `initialize` fills them, then two methods, which each kind of layer
    adds:

    - forward(x, training=False) returns the output for a batch x, batch axis
      last, and keeps what backward needs;
    - backward(dy, need_dx=True) overwrites the parameters' gradients, and
      returns the input's unless told that it is not needed.

    What these two return lives in the layer's workspace: the next call
    overwrites it, and in a network a neighbour's next call may.

    Attributes
    ----------
    parameter_shapes : dict
        Name to shape, known after `build`. Empty without parameters.
    buffers : dict
        Name to array: numbers that are kept but not learned, such as a running
        mean. `initialize` fills it with new arrays; empty for most layers.
    input_dims : int or None
        How many axes one sample must have, batch not counted; None means any.
    lends_output : bool
        Whether others may write over what forward returned: backward does not read it.
    """
    input_dims, lends_output = None, False

    def __init__(self):
        self.parameter_shapes, self.buffers, self._arrays = {}, {}, {}

    def build(self, input_shape):
        """Take the shape of one sample, return the shape of one output."""
        return input_shape

    def bind(self, parameters, gradients):
        """Use these arrays, in dicts by name, as self.W, ... and self.dW, ...

        Raises
        ------
        ShapeError
            If an array's shape is not the one that `build` fixed.
        """
        for name, shape in self.parameter_shapes.items():
            for label, array in ((name, parameters[name]),
                                 ("d" + name, gradients[name])):
                expect_shape(type(self).__name__, label, array.shape, shape)
                setattr(self, label, array)

    def allocate(self, dtype=np.float32):
        """Bind arrays of the layer's own, all zeros. Returns self."""
        shapes = self.parameter_shapes.items()
        self.bind({name: np.zeros(shape, dtype) for name, shape in shapes},
                  {name: np.zeros(shape, dtype) for name, shape in shapes})
        return self

    def initialize(self, rng):
        """Fill the parameters with their starting values: zeros, unless the
        layer says otherwise. Random ones come from `rng`."""
        for name in self.parameter_shapes:
            getattr(self, name)[...] = 0

    def workspace(self, name, shape, dtype):
        """The array of that name, made anew (zeros) if its shape or dtype changes."""
        array = self._arrays.get(name)
        if array is None or array.shape != shape or array.dtype != dtype:
            array = self._arrays[name] = np.zeros(shape, dtype)
        return array

    def __getattr__(self, name):
        """Say what to do about an attribute that is not there (yet)."""
        raise AttributeError(f"{type(self).__name__} has no {name}: build it, "
                             "allocate or bind, then forward, then backward")

    def replica(self):
        """The same layer with a workspace of its own, for another thread.

        It shares the parameters, and the gradients until `bind` changes them.
        Buffers are copied.
        """
        twin = copy.copy(self)
        twin._arrays, twin.buffers = {}, copy.deepcopy(getattr(self, "buffers", {}))
        return twin


# book/02-neurons.md, "A layer that remembers"
class Dense(Layer):
    """A layer of linear neurons, z = W x + b.

    Parameters
    ----------
    units : int
        How many neurons.
    bias : bool
        False leaves b out.
    init : callable (shape, rng) -> array
        Makes the starting weights. Biases start at zero.

    Raises
    ------
    ValueError
        If `units` is not a whole number >= 1, or `init` cannot be called.
    ShapeError
        From the methods, if an array does not fit.
    RuntimeError
        From `backward` before `forward`.
    """
    input_dims, lends_output, b, x = 1, True, None, None

    def __init__(self, units, bias=True, init=he_normal):
        super().__init__()
        if not isinstance(units, (int, np.integer)) or units < 1:
            raise ValueError(f"Dense: expected whole units >= 1, got {units!r}")
        if not callable(init):
            raise ValueError(f"Dense: expected a callable init, got {init!r}")
        self.units, self.bias, self.init = int(units), bias, init

    def build(self, input_shape):
        expect_shape("Dense", "one sample", input_shape, ("inputs",))
        W, b = (self.units, int(input_shape[0])), (self.units, 1)
        self.parameter_shapes = {"W": W, "b": b} if self.bias else {"W": W}
        return (self.units,)

    def initialize(self, rng):
        super().initialize(rng)
        W = np.asarray(self.init(self.W.shape, rng))
        expect_shape("Dense", "weights from init", W.shape, self.W.shape)
        self.W[...] = W

    def forward(self, x, training=False):
        x = np.asarray(x, self.W.dtype)
        expect_shape("Dense", "x", x.shape, (self.W.shape[1], "batch"))
        self.x = x
        z = self.workspace("z", (self.units, x.shape[1]), x.dtype)
        return dense(x, self.W, self.b, out=z)

    def backward(self, dz, need_dx=True):
        if self.x is None:
            raise RuntimeError("Dense: backward before forward")
        dz = np.asarray(dz, self.W.dtype)
        expect_shape("Dense", "dz", dz.shape, (self.units, self.x.shape[1]))
        dense_dW(dz, self.x, out=self.dW)
        if self.bias:
            dense_db(dz, out=self.db)
        if need_dx:
            return dense_dx(dz, self.W, self.workspace("dx", self.x.shape, dz.dtype))

"""Activations, one number at a time.

Arrays are nested lists of any depth; functions are applied to every number in them.
Softmax alone looks at a whole column: the numbers z[0], z[1], ... that share all other indices.
"""

import math

from reference._edge import to_array, to_list
from reference.dense import Layer, ShapeError


def _each(f, *arrays):
    """f of the numbers that stand at the same place, in nested lists of the same shape."""
    first = arrays[0]
    if not isinstance(first, list):
        return f(*arrays)
    if any(not isinstance(a, list) or len(a) != len(first) for a in arrays):
        raise ShapeError("expected arrays of one shape")
    return [_each(f, *parts) for parts in zip(*arrays)]


def _columns(f, *arrays):
    """f of the columns (lists along the first axis) that stand at the same place; f returns a column."""
    first = arrays[0]
    if not isinstance(first[0], list):
        return f(*arrays)
    slices = []
    for j in range(len(first[0])):
        slices.append(_columns(f, *[[row[j] for row in a] for a in arrays]))
    return [[s[i] for s in slices] for i in range(len(first))]


def _apply(f, *arrays):
    return to_array(_each(f, *[to_list(a) for a in arrays]))


def _slope(slope):
    if not 0 < slope < 1:
        raise ValueError(f"leaky ReLU: expected 0 < slope < 1, got {slope}")
    return slope


def identity(z):
    return _apply(lambda z: z, z)


def identity_backward(dy, y):
    return _apply(lambda dy, y: dy, dy, y)


def relu(z):
    return _apply(lambda z: z if z > 0 else 0.0, z)


def relu_backward(dy, y):
    """At y = 0 the derivative is taken to be 0."""
    return _apply(lambda dy, y: dy if y > 0 else 0.0, dy, y)


def leaky_relu(z, slope=0.01):
    slope = _slope(slope)
    return _apply(lambda z: z if z > 0 else slope * z, z)


def leaky_relu_backward(dy, y, slope=0.01):
    slope = _slope(slope)
    return _apply(lambda dy, y: dy if y > 0 else slope * dy, dy, y)


def _sigmoid(z):
    if z >= 0:
        return 1 / (1 + math.exp(-z))
    return math.exp(z) / (1 + math.exp(z))


def sigmoid(z):
    return _apply(_sigmoid, z)


def sigmoid_backward(dy, y):
    return _apply(lambda dy, y: dy * y * (1 - y), dy, y)


def tanh(z):
    return _apply(math.tanh, z)


def tanh_backward(dy, y):
    return _apply(lambda dy, y: dy * (1 - y) * (1 + y), dy, y)


def _softmax(column):
    m = max(column)
    total = math.fsum(math.exp(c - m) for c in column)
    return [math.exp(c - m) / total for c in column]


def softmax(z):
    z = to_list(z)
    inner = z
    while isinstance(inner, list) and inner:
        inner = inner[0]
    if isinstance(z, float) or isinstance(inner, list):
        raise ShapeError("softmax: expected logits shaped (classes, batch), both at least 1")
    return to_array(_columns(_softmax, z))


def _softmax_gradient(dy, p):
    """dz[j] = sum over i of dy[i] times dp[i]/dz[j], the whole Jacobian written out."""
    classes = len(p)
    dz = []
    for j in range(classes):
        terms = []
        for i in range(classes):
            derivative = p[i] * (1 - p[i]) if i == j else -p[i] * p[j]
            terms.append(dy[i] * derivative)
        dz.append(math.fsum(terms))
    return dz


def softmax_backward(dy, y):
    return to_array(_columns(_softmax_gradient, to_list(dy), to_list(y)))


class Activation(Layer):
    function = gradient = y = None

    def forward(self, z, training=False):
        self.y = None
        y = self.function(z)
        if y.size == 0:
            raise ShapeError(f"{type(self).__name__}: expected at least one sample, got {y.shape}")
        self.y = y
        return y

    def backward(self, dy, need_dx=True):
        if self.y is None:
            raise RuntimeError(f"{type(self).__name__}: backward before forward")
        if need_dx:
            return self.gradient(dy, self.y)


class Identity(Activation):
    function, gradient = staticmethod(identity), staticmethod(identity_backward)


class ReLU(Activation):
    function, gradient = staticmethod(relu), staticmethod(relu_backward)


class LeakyReLU(Activation):
    def __init__(self, slope=0.01):
        super().__init__()
        self.slope = _slope(slope)

    def function(self, z):
        return leaky_relu(z, self.slope)

    def gradient(self, dy, y):
        return leaky_relu_backward(dy, y, self.slope)


class Sigmoid(Activation):
    function, gradient = staticmethod(sigmoid), staticmethod(sigmoid_backward)


class Tanh(Activation):
    function, gradient = staticmethod(tanh), staticmethod(tanh_backward)


class Softmax(Activation):
    function, gradient = staticmethod(softmax), staticmethod(softmax_backward)

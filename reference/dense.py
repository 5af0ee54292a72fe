"""Linear neurons, one multiplication at a time.

Matrices are lists of rows. x is (inputs, batch): x[j][k] is input j of sample k.
"""

import copy
import math

from reference._edge import to_array, to_list


class ShapeError(ValueError):
    """An array whose shape does not fit."""


def _shape(matrix):
    return len(matrix), len(matrix[0])


def _expect(name, matrix, rows, columns):
    if _shape(matrix) != (rows, columns):
        raise ShapeError(f"expected {name} shaped {(rows, columns)}, got {_shape(matrix)}")


def dense(x, W, b=None):
    """z[i][k] = sum over j of W[i][j] x[j][k], plus b[i][0]."""
    x, W = to_list(x), to_list(W)
    units, inputs = _shape(W)
    batch = len(x[0])
    _expect("x", x, inputs, batch)
    if b is None:
        b = [[0.0] for _ in range(units)]
    else:
        b = to_list(b)
        _expect("b", b, units, 1)
    z = []
    for i in range(units):
        row = []
        for k in range(batch):
            terms = [W[i][j] * x[j][k] for j in range(inputs)]
            row.append(math.fsum(terms + [b[i][0]]))
        z.append(row)
    return to_array(z)


def dense_dx(dz, W):
    """dx[j][k]: input j of sample k reached every neuron i through W[i][j]."""
    dz, W = to_list(dz), to_list(W)
    units, inputs = _shape(W)
    batch = len(dz[0])
    _expect("dz", dz, units, batch)
    dx = []
    for j in range(inputs):
        row = []
        for k in range(batch):
            row.append(math.fsum(W[i][j] * dz[i][k] for i in range(units)))
        dx.append(row)
    return to_array(dx)


def dense_dW(dz, x):
    """dW[i][j]: the weight was used once for every sample k."""
    dz, x = to_list(dz), to_list(x)
    units, batch = _shape(dz)
    inputs = len(x)
    _expect("x", x, inputs, batch)
    dW = []
    for i in range(units):
        row = []
        for j in range(inputs):
            row.append(math.fsum(dz[i][k] * x[j][k] for k in range(batch)))
        dW.append(row)
    return to_array(dW)


def dense_db(dz):
    """db[i][0]: the bias was added once for every sample k."""
    return to_array([[math.fsum(row)] for row in to_list(dz)])


def dense_backward(dz, x, W):
    return dense_dx(dz, W), dense_dW(dz, x), dense_db(dz)


def fans(shape):
    if len(shape) < 2:
        raise ShapeError(f"expected (units, inputs, ...), got {tuple(shape)}")
    fan_out, fan_in = shape[0], shape[1]
    for side in shape[2:]:
        fan_in = fan_in * side
        fan_out = fan_out * side
    return fan_in, fan_out


def _filled(shape, draw):
    """Nested lists of that shape, one draw for each number, the last axis fastest."""
    if not shape:
        return draw()
    return [_filled(shape[1:], draw) for _ in range(shape[0])]


def he_normal(shape, rng):
    fan_in, _ = fans(shape)
    deviation = math.sqrt(2.0 / fan_in)
    return to_array(_filled(shape, lambda: deviation * float(rng.standard_normal())))


def glorot_uniform(shape, rng):
    fan_in, fan_out = fans(shape)
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return to_array(_filled(shape, lambda: limit * (2.0 * float(rng.random()) - 1.0)))


class Layer:
    """Parameters and gradients are kept as arrays; what is done with them is done on lists."""

    input_dims = None

    def __init__(self):
        self.parameter_shapes, self.buffers = {}, {}

    def build(self, input_shape):
        return input_shape

    def bind(self, parameters, gradients):
        for name, shape in self.parameter_shapes.items():
            for label, array in ((name, parameters[name]), ("d" + name, gradients[name])):
                if array.shape != shape:
                    raise ShapeError(f"{type(self).__name__}: expected {label} shaped {shape}, got {array.shape}")
                setattr(self, label, array)

    def allocate(self):
        parameters, gradients = {}, {}
        for name, shape in self.parameter_shapes.items():
            parameters[name] = to_array(_filled(shape, float))
            gradients[name] = to_array(_filled(shape, float))
        self.bind(parameters, gradients)
        return self

    def initialize(self, rng):
        pass

    def forward(self, x, training=False):
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, dy, need_dx=True):
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def replica(self):
        twin = copy.copy(self)
        twin.buffers = {name: to_array(to_list(array)) for name, array in self.buffers.items()}
        return twin


class Dense(Layer):
    input_dims = 1

    def __init__(self, units, bias=True, init=he_normal):
        super().__init__()
        if units != int(units) or units < 1:
            raise ValueError(f"Dense: expected whole units >= 1, got {units!r}")
        if not callable(init):
            raise ValueError(f"Dense: expected a callable init, got {init!r}")
        self.units, self.bias, self.init = int(units), bias, init
        self.W = self.b = self.x = None

    def build(self, input_shape):
        if len(input_shape) != 1 or input_shape[0] < 1:
            raise ShapeError(f"Dense: expected one sample shaped (inputs,), got {tuple(input_shape)}")
        self.parameter_shapes = {"W": (self.units, int(input_shape[0]))}
        if self.bias:
            self.parameter_shapes["b"] = (self.units, 1)
        return (self.units,)

    def initialize(self, rng):
        W = to_list(self.init(self.W.shape, rng))
        _expect("init's weights", W, *self.W.shape)
        for i, row in enumerate(W):
            for j, w in enumerate(row):
                self.W[i, j] = w
            if self.bias:
                self.b[i, 0] = 0.0

    def forward(self, x, training=False):
        if self.W is None:
            raise RuntimeError("Dense: no weights yet, call build and then allocate or bind")
        self.x = to_list(x)
        return dense(self.x, self.W, self.b)

    def backward(self, dz, need_dx=True):
        if self.x is None:
            raise RuntimeError("Dense: backward before forward")
        self.dW[...] = dense_dW(dz, self.x)
        if self.bias:
            self.db[...] = dense_db(dz)
        if need_dx:
            return dense_dx(dz, self.W)

"""Networks, one number at a time.

A batch is nested lists, the batch axis innermost: x[i][k] is number i of sample k, and an image
is x[row][column][k]. Nothing is shared: before each pass the flat vector's numbers are dealt out
to the layers, after a backward pass the layers' gradients are collected into a vector.
"""

import random

from reference._edge import to_array, to_list
from reference.dense import Layer, ShapeError


def _product(shape):
    product = 1
    for length in shape:
        product = product * length
    return product


def _shape(nested):
    """The shape of nested lists that are as deep everywhere."""
    shape = ()
    while isinstance(nested, list):
        shape = shape + (len(nested),)
        nested = nested[0] if nested else None
    return shape


def _columns_of(nested, axes):
    """The innermost lists of nested lists with that many axes, first index slowest."""
    if axes == 1:
        return [nested]
    return [column for part in nested for column in _columns_of(part, axes - 1)]


def _stack(columns, shape):
    """Put a list of columns (or of numbers) into nested lists of that shape, last index fastest."""
    if not shape:
        return columns[0]
    size = len(columns) // shape[0]
    return [_stack(columns[i * size:(i + 1) * size], shape[1:]) for i in range(shape[0])]


def _by_columns(numbers, rows, columns):
    """A matrix whose first column has the first numbers."""
    return [[numbers[j * rows + i] for j in range(columns)] for i in range(rows)]


def _in_order(nested):
    """An array's numbers as the flat vector has them."""
    if len(_shape(nested)) != 2:
        return _numbers(nested)
    return [row[j] for j in range(len(nested[0])) for row in nested]


def _reshaped(x, shape):
    """A batch whose samples have another shape; the numbers keep their order."""
    x = to_list(x)
    return to_array(_stack(_columns_of(x, len(_shape(x))), shape))


class Flatten(Layer):
    def build(self, input_shape):
        self.sample_shape = tuple(input_shape)
        return (_product(input_shape),)

    def forward(self, x, training=False):
        return _reshaped(x, (_product(_shape(to_list(x))[:-1]),))

    def backward(self, dy, need_dx=True):
        if need_dx:
            return _reshaped(dy, self.sample_shape)


class Reshape(Layer):
    def __init__(self, shape):
        super().__init__()
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)

    def config(self):
        return {"shape": list(self.shape)}

    def build(self, input_shape):
        self.sample_shape = tuple(input_shape)
        if _product(self.sample_shape) != _product(self.shape):
            raise ShapeError(f"Reshape: expected samples as large as {self.shape}, got {self.sample_shape}")
        return self.shape

    def forward(self, x, training=False):
        return _reshaped(x, self.shape)

    def backward(self, dy, need_dx=True):
        if need_dx:
            return _reshaped(dy, self.sample_shape)


def image_shape(numbers, earlier):
    for shape in reversed(earlier):
        if len(shape) == 3 and _product(shape) == numbers:
            return tuple(shape)
    side = 1
    while side * side < numbers:
        side = side + 1
    if side * side > numbers:
        raise ShapeError(f"{numbers} numbers are no square image, and no earlier one: expected Reshape before")
    return (1, side, side)


def adapt(layer, shape, earlier=()):
    wanted, have = layer.input_dims, len(shape)
    if isinstance(layer, Flatten) and have == 1:
        return []
    if wanted is None or wanted == have:
        return [layer]
    if wanted == 1 and have > 1:
        return [Flatten(), layer]
    if wanted == 3 and have == 2:
        return [Reshape((1, shape[0], shape[1])), layer]
    if wanted == 3 and have == 1:
        return [Reshape(image_shape(shape[0], earlier)), layer]
    raise ShapeError(f"{type(layer).__name__} takes {wanted} axes, got {shape}")


def connect(layers, input_shape):
    shape = tuple(input_shape)
    connected, shapes = [], [shape]
    for layer in layers:
        for piece in adapt(layer, shape, list(shapes)):
            shape = piece.build(shape)
            connected.append(piece)
            shapes.append(shape)
    if not connected:
        raise ValueError("a network needs at least one layer")
    return connected, shapes


def count_parameters(layers):
    count = 0
    for layer in layers:
        for shape in layer.parameter_shapes.values():
            count = count + _product(shape)
    return count


def parameter_views(layers, vector):
    """Copies here, not views: the vector's next numbers fill each array, a matrix column after column."""
    vector = to_list(vector)
    position, cut = 0, []
    for layer in layers:
        arrays = {}
        for name, shape in layer.parameter_shapes.items():
            numbers = []
            for _ in range(_product(shape)):
                numbers.append(vector[position])
                position = position + 1
            arrays[name] = to_array(_by_columns(numbers, *shape) if len(shape) == 2 else _stack(numbers, shape))
        cut.append(arrays)
    return cut


def layer_names(layers):
    counts, names = {}, []
    for layer in layers:
        kind = type(layer).__name__.lower()
        if kind not in counts:
            counts[kind] = 0
        if layer.parameter_shapes or layer.buffers:
            counts[kind] = counts[kind] + 1
        names.append(f"{kind}{counts[kind]}")
    return names


def named_views(layers, vector):
    names, pairs = layer_names(layers), []
    for k, arrays in enumerate(parameter_views(layers, vector)):
        for name, array in arrays.items():
            pairs.append((f"{names[k]}.{name}", array))
    return pairs


def named_buffers(layers):
    names, pairs = layer_names(layers), []
    for k, layer in enumerate(layers):
        for name, array in layer.buffers.items():
            pairs.append((f"{names[k]}.{name}", array))
    return pairs


def initialize_layers(layers, seed):
    rng = _Generator(seed)
    for layer in layers:
        layer.initialize(rng)


class _Generator:
    """The two draws that the reference's initialisers ask for (other numbers than NumPy's)."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def random(self):
        return self._random.random()

    def standard_normal(self):
        return self._random.gauss(0.0, 1.0)


def batch_last(x):
    """(n, ...) to (..., n): sample k's numbers become number k of every innermost list."""
    samples = to_list(x)
    shape = _shape(samples)
    if len(shape) < 2:
        raise ShapeError(f"expected samples first, got {shape}")
    flat = [_numbers(sample) for sample in samples]
    columns = []
    for i in range(_product(shape[1:])):
        columns.append([numbers[i] for numbers in flat])
    return to_array(_stack(columns, shape[1:]))


def _numbers(nested):
    if not isinstance(nested, list):
        return [nested]
    return [number for part in nested for number in _numbers(part)]


class Chain:
    """dtype is there for the call to be the same: everything is computed in double precision."""

    input_shape = None

    def __init__(self, *layers, dtype=float):
        self.given = []
        self.add(*layers)

    def add(self, *layers):
        self.given = self.layers = self.given + list(layers)
        return self

    def build(self, input_shape, seed=0):
        if isinstance(input_shape, int):
            input_shape = (input_shape,)
        self.layers, self.shapes = connect(self.given, input_shape)
        self.input_shape = self.shapes[0]
        for layer in self.layers:
            layer.allocate()
        initialize_layers(self.layers, seed)
        return self

    def forward(self, x, training=False):
        x = _reshaped(x, self.input_shape)
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def backward(self, dy, need_dx=False):
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        if need_dx:
            return dy


class Network(Chain):
    def build(self, input_shape, seed=0):
        super().build(input_shape, seed)
        self.parameters = self._collect("")
        self.gradients = self._collect("d")
        return self

    def _arrays(self, prefix):
        return [getattr(layer, prefix + name) for layer in self.layers for name in layer.parameter_shapes]

    def _collect(self, prefix):
        """The layers' arrays, row after row, as one vector."""
        return to_array([number for array in self._arrays(prefix) for number in _in_order(to_list(array))])

    def _deal(self):
        """The vector's numbers into the layers' arrays."""
        for layer, arrays in zip(self.layers, parameter_views(self.layers, self.parameters)):
            for name, array in arrays.items():
                setattr(layer, name, array)

    def forward(self, x, training=False):
        self._deal()
        return super().forward(x, training)

    def backward(self, dy, need_dx=False):
        dx = super().backward(dy, need_dx)
        self.gradients = self._collect("d")
        return dx

    def predict(self, x, batch_size=256):
        """One sample at a time, whatever the batch size."""
        if self.input_shape is None:
            self.build(_shape(to_list(x))[1:])
        rows = []
        for sample in to_list(x):
            y = to_list(self.forward(batch_last([sample])))
            rows.append(_stack([column[0] for column in _columns_of(y, len(_shape(y)))], self.shapes[-1]))
        return to_array(rows)

    @property
    def parameter_count(self):
        return count_parameters(self.layers)

    def named_parameters(self):
        return named_views(self.layers, self.parameters)

    def named_buffers(self):
        return named_buffers(self.layers)

"""Layers made of layers, one number at a time.

Every run of a loop is made of layers of its own. Before a forward pass each gets the numbers of the
parameters; after a backward pass, what all the copies of a parameter found is added up.
"""

import copy
import math

from reference._edge import to_array, to_list
from reference.dense import Layer, ShapeError
from reference.network import adapt, connect

WAYS = ("add", "subtract", "multiply", "mean", "overwrite", "concatenate")


def _shape(nested):
    shape = ()
    while isinstance(nested, list):
        shape = shape + (len(nested),)
        nested = nested[0] if nested else None
    return shape


def _numbers(nested):
    if not isinstance(nested, list):
        return [nested]
    return [number for part in nested for number in _numbers(part)]


def _nested(numbers, shape):
    if not shape:
        return numbers[0]
    size = len(numbers) // shape[0]
    return [_nested(numbers[i * size:(i + 1) * size], shape[1:]) for i in range(shape[0])]


def _each(function, arrays):
    """The function of the numbers that stand in the same place of equal arrays."""
    arrays = [to_list(array) for array in arrays]
    found = [function(list(numbers)) for numbers in zip(*map(_numbers, arrays))]
    return to_array(_nested(found, _shape(arrays[0])))


def _sum(arrays):
    return _each(math.fsum, arrays)


def check_way(how):
    if how not in WAYS:
        raise ValueError(f"how is one of {WAYS}, not {how!r}")
    return how


def merge_shapes(shapes, how, owner="merge"):
    check_way(how)
    shapes = [tuple(shape) for shape in shapes]
    if how == "overwrite":
        return shapes[-1]
    for shape in shapes:
        if shape[1:] != shapes[0][1:] or (how != "concatenate" and shape[0] != shapes[0][0]):
            raise ShapeError(f"{owner}: cannot {how} {shapes}")
    if how == "concatenate":
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])
    return shapes[0]


def merge(values, how):
    values = [to_list(value) for value in values]
    merge_shapes([_shape(value) for value in values], how)
    if how == "overwrite":
        return to_array(values[-1])
    if how == "concatenate":
        return to_array([part for value in values for part in value])
    return _each({
        "add": math.fsum,
        "subtract": lambda numbers: math.fsum([numbers[0]] + [-number for number in numbers[1:]]),
        "multiply": math.prod,
        "mean": lambda numbers: math.fsum(numbers) / len(numbers),
    }[how], values)


def merge_backward(dy, values, how):
    """How much the loss reacts to value i: dy times the derivative of the result by it."""
    dy, values = to_list(dy), [to_list(value) for value in values]
    gradients, start = [], 0
    for i, value in enumerate(values):
        others = values[:i] + values[i + 1:]
        if how == "concatenate":
            gradients.append(to_array(dy[start:start + len(value)]))
            start = start + len(value)
        elif how == "overwrite" and i < len(values) - 1:
            gradients.append(_each(lambda numbers: 0.0, [value]))
        elif how == "subtract" and i > 0:
            gradients.append(_each(lambda numbers: -numbers[0], [dy]))
        elif how == "multiply":
            gradients.append(_each(math.prod, [dy] + others))
        elif how == "mean":
            gradients.append(_each(lambda numbers: numbers[0] / len(values), [dy]))
        else:
            gradients.append(to_array(dy))
    return gradients


def _forward(layers, x, training):
    for layer in layers:
        x = layer.forward(x, training)
    return x


def _backward(layers, dy):
    for layer in reversed(layers):
        dy = layer.backward(dy)
    return dy


class _Block(Layer):
    """`self.inside`: pairs of a parameter's full name and every (layer, own name) that has it."""

    def __init__(self, *layers):
        super().__init__()
        if not layers:
            raise ValueError(f"{type(self).__name__} needs a layer")
        self.given, self.input_dims, self.inside = list(layers), layers[0].input_dims, {}

    def _enter(self, prefix, layers):
        """Give every layer arrays and note its parameters under their names."""
        counts = {}
        for layer in layers:
            kind = type(layer).__name__.lower()
            counts[kind] = counts.get(kind, 0) + 1
            layer.allocate()
            for name, shape in layer.parameter_shapes.items():
                full = f"{prefix}{kind}{counts[kind]}.{name}"
                self.inside.setdefault(full, []).append((layer, name))
                self.parameter_shapes[full] = shape

    def initialize(self, rng):
        for full, places in self.inside.items():
            layer, name = places[0]
            if name == list(layer.parameter_shapes)[0]:
                layer.initialize(rng)
            getattr(self, full)[...] = getattr(layer, name)

    def _hand_down(self):
        for full, places in self.inside.items():
            for layer, name in places:
                getattr(layer, name)[...] = getattr(self, full)

    def _hand_up(self):
        for full, places in self.inside.items():
            getattr(self, "d" + full)[...] = _sum([getattr(layer, "d" + name) for layer, name in places])


def _lay(layers, shape, earlier):
    """The layers with their adapters, built, and the shape at their end; there may be none."""
    laid = []
    for layer in layers:
        for piece in adapt(layer, shape, earlier):
            shape = piece.build(shape)
            laid.append(piece)
    return laid, shape


class Skips(_Block):
    def __init__(self, *layers, arrows, how="add"):
        super().__init__(*layers)
        self.arrows, self.how = [], check_way(how)
        for start, stop, *projection in arrows:
            if not 0 <= start < stop <= len(layers):
                raise ValueError(f"no arrow leads from {start} to {stop}")
            self.arrows.append((start, stop, [layer for layer in projection if layer is not None]))

    def build(self, input_shape):
        self.parameter_shapes, self.inside = {}, {}
        shape, enters, parts = tuple(input_shape), [], []
        self.straight, self.roads = [], {}
        for k in range(len(self.given) + 1):
            met = [shape]
            for a, (start, stop, projection) in enumerate(self.arrows):
                if stop == k:
                    self.roads[a], end = _lay(projection, enters[start], enters)
                    parts = parts + self.roads[a]
                    met.append(end)
            enters.append(merge_shapes(met, self.how))
            if k < len(self.given):
                layers, shape = _lay([self.given[k]], enters[k], enters)
                self.straight.append(layers)
                parts = parts + layers
        self._enter("", parts)
        return enters[-1]

    def forward(self, x, training=False):
        self._hand_down()
        self.met, u = [], []
        for k in range(len(self.given) + 1):
            met = [x]
            for a, (start, stop, _) in enumerate(self.arrows):
                if stop == k:
                    met.append(_forward(self.roads[a], u[start], training))
            self.met.append(met)
            u.append(merge(met, self.how))
            x = _forward(self.straight[k], u[k], training) if k < len(self.given) else u[k]
        return x

    def backward(self, dy, need_dx=True):
        used = [[] for _ in range(len(self.given) + 1)]     # what comes back to each place
        for k in reversed(range(len(self.given) + 1)):
            used[k].append(_backward(self.straight[k], dy) if k < len(self.given) else dy)
            dy, *shares = merge_backward(_sum(used[k]), self.met[k], self.how)
            for a, (start, stop, _) in enumerate(self.arrows):
                if stop == k:
                    used[start].append(_backward(self.roads[a], shares.pop(0)))
        self._hand_up()
        return dy if need_dx else None


class Skip(Skips):
    def __init__(self, *layers, how="add", projection=None):
        super().__init__(*layers, arrows=[(0, len(layers), projection)], how=how)


class Feedback(_Block):
    def __init__(self, *layers, times, shared=True, how_in="add", how_out="add", gradient_scale=1.0):
        super().__init__(*layers)
        self.times, self.shared, self.gradient_scale = times, shared, gradient_scale
        self.how_in, self.how_out = check_way(how_in), check_way(how_out)

    def build(self, input_shape):
        self.parameter_shapes, self.inside = {}, {}
        self.runs, ends, enters = [], [], tuple(input_shape)
        for t in range(self.times):
            if t > 0:
                enters = merge_shapes([input_shape, ends[-1]], self.how_in)
            if self.shared and enters != tuple(input_shape):
                raise ShapeError(f"run {t} would get {enters}")
            run, shapes = connect(copy.deepcopy(self.given), enters)
            self._enter("" if self.shared or self.times == 1 else f"{t + 1}.", run)
            self.runs.append(run)
            ends.append(shapes[-1])
        return merge_shapes(ends, self.how_out)

    def forward(self, x, training=False):
        self._hand_down()
        self.met, self.y = [], []
        for t in range(self.times):
            self.met.append([x] if t == 0 else [x, self.y[t - 1]])
            self.y.append(_forward(self.runs[t], merge(self.met[t], self.how_in), training))
        return merge(self.y, self.how_out)

    def backward(self, dy, need_dx=True):
        slopes, dx = merge_backward(dy, self.y, self.how_out), []
        for t in reversed(range(self.times)):
            shares = merge_backward(_backward(self.runs[t], slopes[t]), self.met[t], self.how_in)
            dx.append(shares[0])
            if t > 0:
                back = _each(lambda numbers: self.gradient_scale * numbers[0], [shares[1]])
                slopes[t - 1] = _sum([slopes[t - 1], back])
        self._hand_up()
        return _sum(dx) if need_dx else None


class Loop(Feedback):
    def __init__(self, *layers, times, how="add", gradient_scale=1.0):
        super().__init__(*layers, times=times, how_in=how, how_out="overwrite", gradient_scale=gradient_scale)

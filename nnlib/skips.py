# Generated from book/15-skips-and-feedback.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""Skips and feedback."""

import copy
import functools

import numpy as np

from nnlib.convolution import whole
from nnlib.dense import Layer, ShapeError, expect_shape
from nnlib.network import (
    adapt,
    claim_layers,
    connect,
    describe_layer,
    first_with_parameters,
)
from nnlib.optimizers import number_between

__all__ = [
    "WAYS",
    "check_way",
    "merge_shapes",
    "merge",
    "merge_backward",
    "forward_through",
    "backward_through",
    "number_layers",
    "name_runs",
    "replicate",
    "initialize_runs",
    "run_layers",
    "run_buffers",
    "take_batch",
    "take_upstream",
    "merge_into",
    "Composite",
    "check_arrows",
    "lay_out",
    "Skips",
    "Skip",
    "unroll",
    "stacks_of",
    "run_back",
    "Feedback",
    "Loop",
]

# book/15-skips-and-feedback.md, "Where roads meet"
WAYS = ("add", "subtract", "multiply", "mean", "overwrite", "concatenate")


# book/15-skips-and-feedback.md, "Where roads meet"
def check_way(how):
    """`how`, if it is one of WAYS; else ValueError."""
    if how not in WAYS:
        raise ValueError(f"expected how to be one of {', '.join(WAYS)}, got {how!r}")
    return how


# book/15-skips-and-feedback.md, "Where roads meet"
def merge_shapes(shapes, how, owner="merge"):
    """The shape of what comes out where arrays of these shapes meet.

    Parameters
    ----------
    shapes : sequence of tuple of int
        With or without the batch.
    how : str
        One of WAYS.
    owner : str
        Who asks; goes into the message.

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        If `how` is none of WAYS.
    ShapeError
        If the shapes do not fit: "concatenate" wants all axes but the first equal,
        "overwrite" takes any, the others want equal shapes.
    """
    check_way(how)
    first, rest = [shape[0] for shape in shapes], {tuple(shape[1:]) for shape in shapes}
    if how == "overwrite":
        return tuple(shapes[-1])
    if len(rest) > 1 or (how != "concatenate" and len(set(first)) > 1):
        met = " and ".join(str(tuple(shape)) for shape in shapes)
        raise ShapeError(f"{owner}: to {how}, expected shapes that are equal"
                         f"{' but for the first axis' * (how == 'concatenate')}, "
                         f"got {met}")
    return (sum(first) if how == "concatenate" else first[0], *shapes[0][1:])


# book/15-skips-and-feedback.md, "Where roads meet"
def merge(values, how, out=None):
    """Make one array of those that meet.

    Parameters
    ----------
    values : list of ndarray, shape (..., batch)
        In the order in which they arrive.
    how : str
        "add"; "subtract", all others from the first; "multiply"; "mean"; "overwrite",
        the last is kept; "concatenate", along the first axis.
    out : ndarray, optional
        Filled and returned where there is something to compute.

    Returns
    -------
    ndarray
        Of the shape that `merge_shapes` says. A single value, and what "overwrite"
        keeps, is that very array.

    Raises
    ------
    ValueError, ShapeError
        As `merge_shapes` does.
    """
    merge_shapes([np.shape(value) for value in values], how)
    if len(values) == 1 or how == "overwrite":
        return values[-1]
    if how == "concatenate":
        return np.concatenate(values, out=out)
    combine = {"subtract": np.subtract, "multiply": np.multiply}.get(how, np.add)
    y = values[0]
    for value in values[1:]:
        y = combine(y, value, out=out)
    return np.multiply(y, 1.0 / len(values), out=out) if how == "mean" else y


# book/15-skips-and-feedback.md, "Where roads meet"
def merge_backward(dy, values, how):
    """The gradient of each array that met.

    Parameters
    ----------
    dy : ndarray, shaped like what `merge` returned
        The upstream gradient.
    values : list of ndarray
    how : str
        As for `merge`.

    Returns
    -------
    list of ndarray, each shaped like its value
        To be read only: they may be one array, or views of dy.
    """
    n = len(values)
    if n == 1 or how == "overwrite":
        return [np.zeros_like(value) for value in values[:-1]] + [dy]
    if how == "concatenate":
        return np.split(dy, np.cumsum([len(value) for value in values[:-1]]))
    if how == "multiply":
        return [functools.reduce(np.multiply, values[:i] + values[i + 1:], dy)
                for i in range(n)]
    if how == "mean":
        return [dy * (1.0 / n)] * n
    return [dy] + [-dy if how == "subtract" else dy] * (n - 1)


# book/15-skips-and-feedback.md, "A layer made of layers"
def forward_through(layers, x, training=False):
    """The output of built layers, one after the other; x itself if there are none."""
    for layer in layers:
        x = layer.forward(x, training)
    return x


# book/15-skips-and-feedback.md, "A layer made of layers"
def backward_through(layers, dy, need_dx=True):
    """The way back through `forward_through`; the input's gradient if it is needed."""
    if not layers:
        return dy
    first = 0 if need_dx else first_with_parameters(layers)
    for layer in layers[:first:-1]:
        dy = layer.backward(dy)
    return layers[first].backward(dy, need_dx)


# book/15-skips-and-feedback.md, "A layer made of layers"
def number_layers(layers):
    """Pairs of a name and a layer: dense1, relu1, dense2, ... in the layers' order."""
    seen = {}
    for layer in layers:
        kind = type(layer).__name__.lower()
        seen[kind] = seen.get(kind, 0) + 1
        yield f"{kind}{seen[kind]}", layer


# book/15-skips-and-feedback.md, "A layer made of layers"
def name_runs(runs, shared):
    """Pairs of a name and a layer, run by run; each run has its number in front, if
    there are several, unless they share their names."""
    for number, run in enumerate(runs, 1):
        prefix = "" if shared or len(runs) == 1 else f"{number}."
        for name, layer in number_layers(run):
            yield prefix + name, layer


# book/15-skips-and-feedback.md, "A layer made of layers"
def replicate(layers):
    """Twins of layers: the same parameters, workspaces of their own."""
    return [layer.replica() for layer in layers]


# book/15-skips-and-feedback.md, "A layer made of layers"
def initialize_runs(runs, shared, rng):
    """Starting values for the layers of all runs; twins of the first where shared."""
    for run in runs[:1] if shared else runs:
        for layer in run:
            layer.initialize(rng)
    if shared:
        runs[1:] = [replicate(runs[0]) for _ in runs[1:]]


# book/15-skips-and-feedback.md, "A layer made of layers"
def run_layers(block):
    """All built layers of a block, run by run."""
    return [layer for run in block.runs for layer in run]


# book/15-skips-and-feedback.md, "A layer made of layers"
def run_buffers(runs):
    """All buffers inside, batchnorm1.mean or, of several runs, 2.batchnorm1.mean."""
    return {f"{name}.{key}": array for name, layer in name_runs(runs, shared=False)
            for key, array in layer.buffers.items()}


# book/15-skips-and-feedback.md, "A layer made of layers"
def take_batch(layer, x):
    """A batch for a composite layer, as floats of its dtype; ShapeError if none."""
    x = np.asarray(x, layer.dtype)
    x = x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)
    expect_shape(type(layer).__name__, "x", x.shape, (*layer.sample_shape, "batch"))
    return x


# book/15-skips-and-feedback.md, "A layer made of layers"
def take_upstream(layer, dy):
    """An upstream gradient for a composite layer, checked against its last output."""
    if layer.y is None:
        raise RuntimeError(f"{type(layer).__name__}: backward before forward")
    dy = np.asarray(dy, layer.y.dtype)
    expect_shape(type(layer).__name__, "dy", dy.shape, layer.y.shape)
    return dy


# book/15-skips-and-feedback.md, "A layer made of layers"
def merge_into(layer, name, values, how):
    """`merge`, into the layer's workspace of that name."""
    shape = values[0].shape
    if how == "concatenate":
        shape = sum(map(len, values)), *shape[1:]
    return merge(values, how, out=layer.workspace(name, shape, values[0].dtype))


# book/15-skips-and-feedback.md, "A layer made of layers"
class Composite(Layer):
    """What layers made of layers share: they name, bind and copy what is inside.

    A subclass's `build` hands `settle` its runs: lists of built layers, each to be run
    from first to last. W of the second Dense inside is called dense2.W; in several
    runs with weights of their own, 1.dense2.W, 2.dense2.W, ...

    Parameters
    ----------
    *layers : Layer

    Attributes
    ----------
    given : list of Layer
        As they were given, without adapters.
    runs : list of list of Layer
    layers : list of Layer
        All built layers inside, run by run.
    shared : bool
        Whether all runs use the first one's parameters.

    Raises
    ------
    TypeError, ValueError
        For something that is not a layer, a layer used twice, no layer at all.
    """
    runs, shared, dtype, y = (), False, None, None
    layers = property(run_layers)

    def __init__(self, *layers):
        super().__init__()
        if not layers:
            raise ValueError(f"{type(self).__name__}: expected at least one layer")
        claim_layers(layers, object())
        self.given, self.input_dims = list(layers), layers[0].input_dims

    def config(self):
        """The layers inside, in values that JSON knows."""
        return {"layers": [describe_layer(layer) for layer in self.given]}

    def settle(self, input_shape, runs):
        """Keep the built layers; their parameters are this layer's."""
        self.sample_shape, self.runs, self.y = tuple(input_shape), runs, None
        self.parameter_shapes = {f"{name}.{key}": shape
                                 for name, layer in name_runs(runs, self.shared)
                                 for key, shape in layer.parameter_shapes.items()}

    def bind(self, parameters, gradients):
        super().bind(parameters, gradients)
        if self.shared:
            gradients = {name: np.empty_like(g) for name, g in gradients.items()}
        self.slopes = gradients
        self.dtype = next((array.dtype for array in parameters.values()), None)
        for name, layer in name_runs(self.runs, self.shared):
            names = {key: f"{name}.{key}" for key in layer.parameter_shapes}
            layer.bind({key: parameters[full] for key, full in names.items()},
                       {key: gradients[full] for key, full in names.items()})

    def initialize(self, rng):
        initialize_runs(self.runs, self.shared, rng)
        self.buffers = run_buffers(self.runs)

    def replica(self):
        twin = super().replica()
        twin.runs = [replicate(run) for run in self.runs]
        twin.buffers = run_buffers(twin.runs)
        return twin


# book/15-skips-and-feedback.md, "Skips that cross"
def check_arrows(arrows, count):
    """Arrows as (start, stop), or (start, stop, projection) where there is one.

    Raises
    ------
    ValueError
        If an arrow does not lead forward, from one of `count` layers or its output.
    """
    checked = []
    for start, stop, *projection in arrows:
        if not whole("start", start, 0) < whole("stop", stop, 0) <= count:
            raise ValueError("expected an arrow to lead forward, 0 <= start < stop <= "
                             f"{count}, got {start} to {stop}")
        road = [layer for layer in projection if layer is not None]
        checked.append((start, stop, *road))
    return checked


# book/15-skips-and-feedback.md, "Skips that cross"
def lay_out(skips, input_shape):
    """Build the layers and the roads of a `Skips`.

    Returns
    -------
    parts : list of Layer
        All of them, adapters included.
    plan : list of (slice, list of (int, slice))
        For each place, which parts lead on from it, and which arrows arrive there:
        from which place, over which parts.
    shape : tuple of int
        Of one sample of the output.
    """
    parts, enters, plan, shape = [], [], [], input_shape

    def lay(layers, shape):
        first = len(parts)
        for layer in layers:
            for piece in adapt(layer, shape, enters):
                shape = piece.build(shape)
                parts.append(piece)
        return slice(first, len(parts)), shape

    for k in range(len(skips.given) + 1):
        roads = [(start, *lay(road, enters[start]))
                 for start, stop, *road in skips.arrows if stop == k]
        met = [shape, *(end for _, _, end in roads)]
        enters.append(merge_shapes(met, skips.how, type(skips).__name__))
        stretch, shape = lay(skips.given[k:k + 1], enters[k])
        plan.append((stretch, [(start, road) for start, road, _ in roads]))
    return parts, plan, shape


# book/15-skips-and-feedback.md, "Skips that cross"
class Skips(Composite):
    """A chain of layers with skips from the input of one to the input of a later one.

    Skips may lie side by side, inside each other, or cross. What arrives at the input
    of a layer from several sides meets there, and so does what starts there.

    Parameters
    ----------
    *layers : Layer
    arrows : sequence of (start, stop) or (start, stop, projection)
        From the input of layer number start to the input of layer number stop, counted
        from 0; the input of layer number len(layers) is the output of all. On its way
        an arrow may have a layer, a projection, that changes the shape.
    how : str
        How things meet, see `merge`: first what comes straight, then the arrows in
        their order.

    Raises
    ------
    ValueError, TypeError
        For a setting that makes no sense.
    ShapeError
        If shapes do not fit.
    RuntimeError
        From `backward` before `forward`.
    """

    def __init__(self, *layers, arrows, how="add"):
        super().__init__(*layers)
        self.arrows, self.how = check_arrows(arrows, len(layers)), check_way(how)
        claim_layers([*layers, *sum((a[2:] for a in self.arrows), ())], layers[0].owner)

    def config(self):
        arrows = [[start, stop, *map(describe_layer, road)]
                  for start, stop, *road in self.arrows]
        return {**super().config(), "arrows": arrows, "how": self.how}

    def build(self, input_shape):
        parts, self.plan, shape = lay_out(self, tuple(input_shape))
        self.settle(input_shape, [parts])
        return shape

    def forward(self, x, training=False):
        x, [parts] = take_batch(self, x), self.runs
        self.met, self.kept = [], []
        for k, (stretch, roads) in enumerate(self.plan):
            self.met.append([x] + [forward_through(parts[road], self.kept[i], training)
                                   for i, road in roads])
            self.kept.append(merge_into(self, f"u{k}", self.met[k], self.how))
            x = forward_through(parts[stretch], self.kept[k], training)
        self.y = x
        return x

    def backward(self, dy, need_dx=True):
        dy, [parts], back = take_upstream(self, dy), self.runs, [[] for _ in self.plan]
        for k in range(len(self.plan) - 1, -1, -1):
            stretch, roads = self.plan[k]
            dy = backward_through(parts[stretch], dy, need_dx or k > 0)
            if k == 0 and not need_dx:
                return None
            du = merge_into(self, f"du{k}", [dy, *back[k]], "add")
            dy, *shares = merge_backward(du, self.met[k], self.how)
            for (i, road), share in zip(roads, shares):
                back[i].append(backward_through(parts[road], share, need_dx or i > 0))
        return dy


# book/15-skips-and-feedback.md, "Skips that cross"
class Skip(Skips):
    """Layers with a skip around them all, from their input to their output.

    Parameters
    ----------
    *layers : Layer
    how : str
        How their output, first, and the input, second, meet: see `merge`.
    projection : Layer, optional
        On the skip, to give the input the output's shape.

    Raises
    ------
    ValueError, TypeError, ShapeError, RuntimeError
        As `Skips` does.
    """

    def __init__(self, *layers, how="add", projection=None):
        super().__init__(*layers, arrows=[(0, len(layers), projection)], how=how)
        self.projection = projection

    def config(self):
        projection = self.projection and describe_layer(self.projection)
        return {**Composite.config(self), "how": self.how, "projection": projection}


# book/15-skips-and-feedback.md, "Feedback blocks"
def unroll(block, input_shape):
    """Build the runs of a `Feedback`; returns them and the shape of one output."""
    runs, ends, enters, name = [], [], input_shape, type(block).__name__
    for t in range(block.times):
        if t > 0:
            enters = merge_shapes([input_shape, ends[-1]], block.how_in, name)
        if block.shared and enters != input_shape:
            raise ShapeError(f"{name}: with shared parameters, expected samples shaped "
                             f"{input_shape} in front of each run, got {enters}")
        if t == 0 or not block.shared:
            run, shapes = connect(block.stacks[t], enters)
        runs.append(replicate(run) if t and block.shared else run)
        ends.append(shapes[-1])
    return runs, merge_shapes(ends, block.how_out, name)


# book/15-skips-and-feedback.md, "Feedback blocks"
def stacks_of(layers, count):
    """The layers, and copies of them, so that there are `count` lists."""
    return [layers, *(copy.deepcopy(layers) for _ in range(count - 1))]


# book/15-skips-and-feedback.md, "Feedback blocks"
def run_back(block, t, dy, need_dx=True):
    """The way back through run t of a `Feedback`, which adds up shared gradients.

    The runs must come in their order, last to first.
    """
    dx = backward_through(block.runs[t], dy, need_dx)
    if block.shared:
        for name, slope in block.slopes.items():
            total = getattr(block, f"d{name}")
            np.add(total if t < block.times - 1 else 0, slope, out=total)
    return dx


# book/15-skips-and-feedback.md, "Feedback blocks"
class Feedback(Composite):
    """A short stack of layers, run several times.

    The first run gets the block's input. Each later one gets the input and the output
    of the run before, which meet. All outputs meet in the block's output.

    Parameters
    ----------
    *layers : Layer
    times : int
        How many runs.
    shared : bool
        True: every run uses the same parameters. False: each has its own.
    how_in : str
        How the input, first, and the last run's output, second, meet in front of a
        run: see `merge`. "overwrite" leaves the input out after the first run.
    how_out : str
        How the outputs of the runs meet. "overwrite" keeps the last alone.
    gradient_scale : float
        Factor for the gradient from each run to the output of the run before. Any
        other than 1 makes the gradients differ from the derivatives, on purpose.

    Raises
    ------
    ValueError, TypeError
        For a setting that makes no sense.
    ShapeError
        If shapes do not fit; with shared parameters, if a later run would not get the
        shape that the first gets.
    RuntimeError
        From `backward` before `forward`.
    """

    def __init__(self, *layers, times, shared=True, how_in="add", how_out="add",
                 gradient_scale=1.0):
        super().__init__(*layers)
        self.times, self.shared = whole("times", times), bool(shared)
        self.how_in, self.how_out = check_way(how_in), check_way(how_out)
        self.gradient_scale = number_between("gradient_scale", gradient_scale, 0)
        self.stacks = stacks_of(self.given, 1 if shared else self.times)

    def config(self):
        names = "times", "shared", "how_in", "how_out", "gradient_scale"
        return {**super().config(), **{name: getattr(self, name) for name in names}}

    def build(self, input_shape):
        runs, shape = unroll(self, tuple(input_shape))
        self.settle(input_shape, runs)
        return shape

    def forward(self, x, training=False):
        x, self.met, self.outputs = take_batch(self, x), [], []
        for t, run in enumerate(self.runs):
            self.met.append([x, *self.outputs[-1:]])
            u = merge_into(self, f"u{t}", self.met[t], self.how_in)
            self.outputs.append(forward_through(run, u, training))
        self.y = merge_into(self, "y", self.outputs, self.how_out)
        return self.y

    def backward(self, dy, need_dx=True):
        ends = merge_backward(take_upstream(self, dy), self.outputs, self.how_out)
        back, shares = [], []
        for t in range(self.times - 1, -1, -1):
            dy = merge_into(self, f"dy{t}", [ends[t], *back], "add")
            du = run_back(self, t, dy, need_dx or t > 0)
            if t == 0 and not need_dx:
                return None
            share, *back = merge_backward(du, self.met[t], self.how_in)
            back = [slope * self.gradient_scale for slope in back]
            shares.append(share)
        return merge_into(self, "dx", shares, "add")


# book/15-skips-and-feedback.md, "Feedback blocks"
class Loop(Feedback):
    """Layers whose output is fed back to their input; the last output is the output.

    Parameters
    ----------
    *layers : Layer
    times : int
        How often the layers are run, with the same parameters.
    how : str
        How the input, first, and what is fed back, second, meet: see `merge`.
        "overwrite" loops without the input.
    gradient_scale : float
        Factor for the gradient, each time it comes back through the loop.

    Raises
    ------
    ValueError, TypeError, ShapeError, RuntimeError
        As `Feedback` does.
    """

    def __init__(self, *layers, times, how="add", gradient_scale=1.0):
        super().__init__(*layers, times=times, how_in=how, how_out="overwrite",
                         gradient_scale=gradient_scale)

    def config(self):
        return {**Composite.config(self), "times": self.times, "how": self.how_in,
                "gradient_scale": self.gradient_scale}

# Generated from book/06-networks.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""Networks."""

import copy
import itertools
import math
import operator

import numpy as np

from nnlib.dense import Layer, ShapeError, expect_shape

__all__ = [
    "Flatten",
    "sample_shape",
    "Reshape",
    "image_shape",
    "adapt",
    "connect",
    "claim_layers",
    "NOT_BUILT",
    "same_sample",
    "check_batch",
    "check_upstream",
    "float_dtype",
    "initialize_layers",
    "first_with_parameters",
    "Chain",
    "count_parameters",
    "parameter_views",
    "bind_layers",
    "layer_names",
    "named_views",
    "named_buffers",
    "flat_vector",
    "batch_last",
    "check_samples",
    "predict_in_batches",
    "summary_table",
    "describe_layer",
    "lend_arrays",
    "make_replica",
    "Network",
]


# book/06-networks.md, "Shapes flow"
class Flatten(Layer):
    """Samples as columns: (28, 28, batch) becomes (784, batch), row after row."""

    def build(self, input_shape):
        self.sample_shape = tuple(input_shape)
        return (math.prod(self.sample_shape),)

    def forward(self, x, training=False):
        return x.reshape(-1, x.shape[-1])

    def backward(self, dy, need_dx=True):
        return dy.reshape(*self.sample_shape, dy.shape[-1])


# book/06-networks.md, "Shapes flow"
def sample_shape(shape):
    """A sample's shape as a tuple of positive integers; 784 stands for (784,).

    Raises
    ------
    ShapeError
        If it is anything else.
    """
    lengths = shape if isinstance(shape, (tuple, list)) else (shape,)
    try:
        lengths = tuple(operator.index(length) for length in lengths)
    except TypeError:
        lengths = ()
    if not lengths or min(lengths) < 1:
        raise ShapeError("expected the shape of one sample, such as (28, 28) or 784, "
                         f"got {shape!r}")
    return lengths


# book/06-networks.md, "Shapes flow"
class Reshape(Layer):
    """Samples in another shape: the same numbers in the same order.

    Parameters
    ----------
    shape : tuple of int, or int
        Of one sample, batch not counted.

    Raises
    ------
    ShapeError
        If the shape is not made of whole numbers >= 1; from `build`, if a sample has
        not as many numbers; from `forward` and `backward`, if an array does not fit.
    """

    def __init__(self, shape):
        super().__init__()
        self.shape = sample_shape(shape)

    def config(self):
        """The setting, in values that JSON knows."""
        return {"shape": list(self.shape)}

    def build(self, input_shape):
        self.sample_shape = tuple(input_shape)
        have, want = math.prod(self.sample_shape), math.prod(self.shape)
        if have != want:
            raise ShapeError(f"Reshape: expected samples of {want} numbers for "
                             f"{self.shape}, got {have} in {self.sample_shape}")
        return self.shape

    def forward(self, x, training=False):
        expect_shape("Reshape", "x", x.shape, (*self.sample_shape, "batch"))
        return x.reshape(*self.shape, x.shape[-1])

    def backward(self, dy, need_dx=True):
        expect_shape("Reshape", "dy", dy.shape, (*self.shape, "batch"))
        return dy.reshape(*self.sample_shape, dy.shape[-1])


# book/06-networks.md, "Shapes flow"
def image_shape(numbers, earlier):
    """The shape of an image, three axes, that a column of so many numbers becomes.

    Parameters
    ----------
    numbers : int
    earlier : sequence of tuple
        The shapes of the samples earlier in the chain. The latest with three axes and
        as many numbers is taken; if there is none, one square channel.

    Raises
    ------
    ShapeError
        If the numbers do not fill a square either.
    """
    known = [shape for shape in earlier
             if len(shape) == 3 and math.prod(shape) == numbers]
    side = math.isqrt(numbers)
    if not known and side * side != numbers:
        raise ShapeError(f"a column of {numbers} numbers should become an image, but "
                         "no image before it has as many and they fill no square: "
                         "expected Reshape((channels, height, width)) before the layer")
    return known[-1] if known else (1, side, side)


# book/06-networks.md, "Shapes flow"
def adapt(layer, shape, earlier=()):
    """The layers to put into a chain so that `layer` can take these samples.

    Parameters
    ----------
    layer : Layer
    shape : tuple of int
        The shape of one sample.
    earlier : sequence of tuple
        The shapes of the samples earlier in the chain.

    Returns
    -------
    list of Layer
        Usually [layer]; with a Flatten before it where the layer wants columns, or a
        Reshape where it wants images and gets a picture or a column; empty for a
        Flatten that has nothing to do.

    Raises
    ------
    ShapeError
        If no adapter is known.
    """
    if isinstance(layer, Flatten) and len(shape) == 1:
        return []
    if layer.input_dims in (None, len(shape)):
        return [layer]
    if layer.input_dims == 1:
        return [Flatten(), layer]
    if layer.input_dims == 3 and len(shape) == 2:
        return [Reshape((1, *shape)), layer]
    if layer.input_dims == 3 and len(shape) == 1:
        return [Reshape(image_shape(shape[0], earlier)), layer]
    raise ShapeError(f"{type(layer).__name__} takes samples with {layer.input_dims} "
                     f"axes, got samples shaped {shape}")


# book/06-networks.md, "Shapes flow"
def connect(layers, input_shape):
    """Run the input's shape through the layers, so that each fixes its own.

    Parameters
    ----------
    layers : list of Layer
    input_shape : tuple of int
        The shape of one sample.

    Returns
    -------
    connected : list of Layer
        The layers with the adapters between them.
    shapes : list of tuple
        The input's shape, then that of each layer's output: one more than layers.

    Raises
    ------
    ShapeError
        If a layer cannot take what the one before it makes.
    ValueError
        If there are no layers.
    """
    connected, shapes = [], [input_shape]
    for layer in layers:
        for piece in adapt(layer, shapes[-1], shapes):
            shapes.append(piece.build(shapes[-1]))
            connected.append(piece)
    if not connected:
        raise ValueError("a network needs at least one layer, got none")
    return connected, shapes


# book/06-networks.md, "A chain of layers"
def claim_layers(layers, owner):
    """Mark layers as one chain's; refuse what cannot be chained.

    Parameters
    ----------
    layers : list of Layer
    owner : object
        Kept by each layer; any object that is the chain's alone.

    Raises
    ------
    TypeError
        If something is not a layer.
    ValueError
        If a layer stands in the list twice, or belongs to another chain.
    """
    for position, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"layer {position} should be a layer such as Dense(10), "
                            f"got {layer!r}")
        kind = type(layer).__name__
        if any(layer is earlier for earlier in layers[:position]):
            raise ValueError(f"layer {position} ({kind}) is already in this network: "
                             f"make a second {kind}")
        if getattr(layer, "owner", owner) is not owner:
            raise ValueError(f"layer {position} ({kind}) belongs to another network: "
                             f"make a second {kind}")
    for layer in layers:
        layer.owner = owner

# book/06-networks.md, "A chain of layers"
NOT_BUILT = ("this network has no shapes yet: call network.build(input_shape) with "
             "the shape of one sample, as in network.build((28, 28)), or hand it data "
             "with network.predict(x)")


# book/06-networks.md, "A chain of layers"
def same_sample(shape, expected):
    """Whether a sample of this shape can stand for the expected one.

    True if they are equal, or hold as many numbers and one of them is flat.
    """
    if shape == expected:
        return True
    flat = len(shape) == 1 or len(expected) == 1
    return flat and math.prod(shape) == math.prod(expected)


# book/06-networks.md, "A chain of layers"
def check_batch(x, chain):
    """A batch as the chain takes it: its dtype, its shape, at least one sample.

    Parameters
    ----------
    x : array_like, shape (..., batch)
    chain : Chain

    Returns
    -------
    ndarray, shape (*chain.input_shape, batch)
        x itself where it fits.

    Raises
    ------
    RuntimeError
        If the chain is not built.
    ShapeError
        If x is not a batch of such samples, or is empty.
    """
    if chain.input_shape is None:
        raise RuntimeError(NOT_BUILT)
    x, wanted = np.asarray(x, chain.dtype), chain.input_shape
    if x.ndim < 2 or x.shape[-1] == 0 or not same_sample(x.shape[:-1], wanted):
        sizes = ", ".join(map(str, wanted))
        raise ShapeError(f"expected a batch shaped ({sizes}, n), n at least 1, "
                         f"got {x.shape}")
    return x if x.shape[:-1] == wanted else x.reshape(*wanted, -1)


# book/06-networks.md, "A chain of layers"
def check_upstream(dy, chain):
    """Refuse an upstream gradient not shaped like the chain's last output.

    Raises
    ------
    RuntimeError
        If there was no forward pass.
    ShapeError
        If the shapes differ.
    """
    if chain.output_shape is None:
        raise RuntimeError("backward needs what forward kept: call forward first")
    if np.shape(dy) != chain.output_shape:
        raise ShapeError("expected an upstream gradient shaped like the output, "
                         f"{chain.output_shape}, got {np.shape(dy)}")


# book/06-networks.md, "A chain of layers"
def float_dtype(dtype):
    """float32 or float64 as a NumPy dtype; ValueError for anything else."""
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"expected dtype float32 or float64, got {np.dtype(dtype)}")
    return np.dtype(dtype)


# book/06-networks.md, "A chain of layers"
def initialize_layers(layers, seed):
    """Fill all parameters with starting values: one generator, the layers' order."""
    rng = np.random.default_rng(seed)
    for layer in layers:
        layer.initialize(rng)


# book/06-networks.md, "A chain of layers"
def first_with_parameters(layers):
    """The place of the first built layer that has parameters; 0 if none has."""
    return next((i for i, layer in enumerate(layers) if layer.parameter_shapes), 0)


# book/06-networks.md, "A chain of layers"
class Chain:
    """Layers one after the other. Each layer owns its arrays.

    Parameters
    ----------
    *layers : Layer
        More can be added until the chain is built.
    dtype : float32 or float64
        Of all parameters, gradients and values in between.

    Attributes
    ----------
    given : list of Layer
        The layers as they were added.
    layers : list of Layer
        After `build` with the adapters between them.
    shapes : list of tuple
        After `build`: one sample's shape, at the input and after every layer.
    input_shape : tuple or None
        None until `build`.
    first : int
        After `build`: the place of the first layer with parameters.

    Raises
    ------
    TypeError, ValueError
        For something that is not a layer, a layer used twice, another dtype.
    """

    input_shape = output_shape = None

    def __init__(self, *layers, dtype=np.float32):
        self.dtype, self.owner, self.given = float_dtype(dtype), object(), []
        self.add(*layers)

    def add(self, *layers):
        """Append layers; returns the chain. RuntimeError once it is built."""
        if self.input_shape is not None:
            raise RuntimeError("this network is built: add layers before build()")
        claim_layers([*self.given, *layers], self.owner)
        self.layers = self.given = [*self.given, *layers]
        return self

    def build(self, input_shape, seed=0):
        """Fix all shapes, make and initialise the arrays; returns the chain.

        Building again starts afresh, with another seed or another input shape.

        Parameters
        ----------
        input_shape : tuple of int, or int
            The shape of one sample.
        seed : int
            For the starting values.

        Raises
        ------
        ShapeError
            If the shapes do not fit each other.
        ValueError
            If there are no layers.
        """
        self.layers, self.shapes = connect(self.given, sample_shape(input_shape))
        self.first = first_with_parameters(self.layers)
        self.allocate()
        initialize_layers(self.layers, seed)
        self.input_shape, self.output_shape = self.shapes[0], None
        return self

    def allocate(self):
        """Give every layer arrays of its own."""
        for layer in self.layers:
            layer.allocate(self.dtype)

    def forward(self, x, training=False):
        """The output for a batch.

        Parameters
        ----------
        x : array_like, shape (*input_shape, batch)
            Or flat, (numbers in a sample, batch).
        training : bool
            Handed to the layers; some behave differently while learning.

        Returns
        -------
        ndarray, shape (*shapes[-1], batch)
            In a layer's workspace: the next call overwrites it.
        """
        x = check_batch(x, self)
        for layer in self.layers:
            x = layer.forward(x, training)
        self.output_shape = x.shape
        return x

    def backward(self, dy, need_dx=False):
        """Overwrite the parameters' gradients with those of the last batch.

        Parameters
        ----------
        dy : array_like, shaped like forward's output
            The gradient of the loss with respect to it.
        need_dx : bool
            True also computes the input's gradient and returns it.
        """
        check_upstream(dy, self)
        first = 0 if need_dx else self.first
        for layer in self.layers[:first:-1]:
            dy = layer.backward(dy)
        return self.layers[first].backward(dy, need_dx)


# book/06-networks.md, "One vector"
def count_parameters(layers):
    """How many numbers built layers learn."""
    return sum(math.prod(shape) for layer in layers
               for shape in layer.parameter_shapes.values())


# book/06-networks.md, "One vector"
def parameter_views(layers, vector):
    """Cut a flat vector into the layers' arrays.

    Parameters
    ----------
    layers : list of Layer
        Built.
    vector : ndarray, shape (count_parameters(layers),)

    Returns
    -------
    list of dict
        For each layer its arrays by name, as views of the vector: matrices column after
        column, all else row after row.
    """
    views, start = [], 0
    for layer in layers:
        views.append({})
        for name, shape in layer.parameter_shapes.items():
            stop = start + math.prod(shape)
            order = "F" if len(shape) == 2 else "C"     # matrices by columns
            views[-1][name] = vector[start:stop].reshape(shape, order=order)
            start = stop
    return views


# book/06-networks.md, "One vector"
def bind_layers(layers, parameters, gradients):
    """Make every layer's arrays views of these two flat vectors."""
    values = parameter_views(layers, parameters)
    slopes = parameter_views(layers, gradients)
    for layer, own_values, own_slopes in zip(layers, values, slopes):
        layer.bind(own_values, own_slopes)


# book/06-networks.md, "One vector"
def layer_names(layers):
    """dense1, dense2, ...: each kind of layer that keeps numbers counted on its own."""
    seen, names = {}, []
    for layer in layers:
        kind = type(layer).__name__.lower()
        seen[kind] = seen.get(kind, 0) + bool(layer.parameter_shapes or layer.buffers)
        names.append(f"{kind}{seen[kind]}")
    return names


# book/06-networks.md, "One vector"
def named_views(layers, vector):
    """Names for the stretches of a flat vector.

    Parameters
    ----------
    layers : list of Layer
        Built.
    vector : ndarray, shape (count_parameters(layers),)
        Parameters, gradients, or what an optimizer keeps for each parameter.

    Returns
    -------
    list of (str, ndarray)
        dense1.W, dense1.b, dense2.W, ...
    """
    views = parameter_views(layers, vector)
    return [(f"{name}.{key}", view) for name, own in zip(layer_names(layers), views)
            for key, view in own.items()]


# book/06-networks.md, "One vector"
def named_buffers(layers):
    """Pairs of a name, such as batchnorm1.mean, and an array that a layer keeps."""
    return [(f"{name}.{key}", array) for name, layer in zip(layer_names(layers), layers)
            for key, array in layer.buffers.items()]


# book/06-networks.md, "One vector"
def flat_vector(name):
    """A property for a network's flat vector, kept under `name`.

    Reading gives the vector itself (RuntimeError before `build`). Assigning copies
    into it, so that the layers' views stay views (ShapeError if it does not fit).
    """
    def get(network):
        vector = getattr(network, name)
        if vector is None:
            raise RuntimeError(NOT_BUILT)
        return vector

    def put(network, value):
        vector = get(network)
        if np.shape(value) != vector.shape:
            raise ShapeError(f"expected a vector shaped {vector.shape}, "
                             f"got {np.shape(value)}")
        if value is not vector:
            vector[...] = value

    return property(get, put)


# book/06-networks.md, "The network"
def batch_last(x, dtype=np.float32):
    """Samples first to batch last.

    Parameters
    ----------
    x : array_like, shape (n, ...)
    dtype : float32 or float64

    Returns
    -------
    ndarray, shape (..., n)
        A view of x where its dtype is already this one.

    Raises
    ------
    ShapeError
        If there is no sample, or x has no axis beside the samples'.
    """
    x = np.asarray(x, dtype)
    if x.ndim < 2 or x.shape[0] == 0:
        raise ShapeError("expected at least one sample, samples first: (n, ...), "
                         f"got {x.shape}")
    return x.transpose(*range(1, x.ndim), 0)    # np.moveaxis(x, 0, -1), but quicker


# book/06-networks.md, "The network"
def check_samples(network, shape):
    """Refuse data of a shape, samples first, that a network does not take.

    A network that is not built yet is built for this data.

    Raises
    ------
    ShapeError
    """
    if network.input_shape is None:
        network.build(shape[1:])
    wanted = network.input_shape
    if len(shape) < 2 or shape[0] == 0 or not same_sample(shape[1:], wanted):
        sizes = ", ".join(map(str, wanted))
        flat = "" if len(wanted) == 1 else f" or (n, {math.prod(wanted)})"
        raise ShapeError(f"expected samples shaped (n, {sizes}){flat}, n at least 1, "
                         f"got {shape}")


# book/06-networks.md, "The network"
def predict_in_batches(network, x, batch_size=256):
    """The network's raw outputs, logits for a classifier.

    Parameters
    ----------
    x : array_like, shape (n, ...)
        Samples first, of any number type. Not searched for NaN: a sample that has
        one gets NaN for an output.
    batch_size : int
        How many samples go through at a time; changes memory and speed only.

    Returns
    -------
    ndarray, shape (n, ...)
        Samples first, the caller's own.

    Raises
    ------
    ShapeError
        If the network does not take such samples, or there are none.
    ValueError
        If batch_size is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"expected a batch size of at least 1, got {batch_size}")
    x = np.asarray(x)
    check_samples(network, x.shape)
    y = np.empty((len(x), *network.shapes[-1]), network.dtype)
    for start in range(0, len(x), batch_size):
        batch = slice(start, start + batch_size)
        outputs = network.forward(batch_last(x[batch], network.dtype))
        y[batch] = outputs.transpose(-1, *range(outputs.ndim - 1))
    return y


# book/06-networks.md, "The network"
def summary_table(network):
    """A table of the layers, their outputs' shapes and their parameter counts."""
    rows = [("layer", "output", "parameters")]
    if network.input_shape is None:
        rows += [(type(layer).__name__, "?", "?") for layer in network.layers]
        rows.append(("total", "not built", "?"))
    else:
        rows.append(("(input)", str(network.input_shape), ""))
        for layer, shape in zip(network.layers, network.shapes[1:]):
            count = f"{count_parameters([layer]):,}"
            rows.append((type(layer).__name__, str(shape), count))
        total = f"{network.parameter_count:,}"
        rows.append(("total", network.dtype.name, total))
    a, b, c = (max(len(row[i]) for row in rows) for i in range(3))
    lines = [f"{row[0]:<{a}}  {row[1]:<{b}}  {row[2]:>{c}}" for row in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


# book/06-networks.md, "The network"
def describe_layer(layer):
    """What makes a layer this layer, in values that JSON knows.

    Returns
    -------
    dict
        The class's name; the layer's `config()` where it has one, else its public
        attributes that are numbers, truth values or text; its parameters' shapes.
    """
    if hasattr(layer, "config"):
        settings = layer.config()
    else:
        public = [name for name in vars(layer) if not name.startswith("_")]
        settings = {name: getattr(layer, name) for name in public
                    if isinstance(getattr(layer, name), (bool, int, float, str))}
    shapes = {name: list(shape) for name, shape in layer.parameter_shapes.items()}
    return {"layer": type(layer).__name__, **settings, "parameters": shapes}


# book/06-networks.md, "The network"
def lend_arrays(layers):
    """Let activations write over arrays that their neighbours are done with.

    An activation goes back from its own output. Its output y can lie where its input
    was, if the layer before does not need that any more, and its input's gradient dz
    where the layer after it has put the upstream gradient. Sets `_lent` of every layer.
    """
    for layer in layers:
        layer._lent = {}
    for before, after in itertools.pairwise(layers):
        before._lent["dz"] = after._arrays
        if before.lends_output:
            after._lent["y"] = before._arrays


# book/06-networks.md, "The network"
def make_replica(network):
    """A second network on the same parameters; gradients and workspaces are its own.

    For threads: each runs its own replica, and the gradients are added up.
    """
    twin = copy.copy(network)
    twin.layers = [layer.replica() for layer in network.layers]
    lend_arrays(twin.layers)
    twin._gradients = np.zeros_like(network.gradients)
    bind_layers(twin.layers, network.parameters, twin._gradients)
    return twin


# book/06-networks.md, "The network"
class Network(Chain):
    """A chain of layers with all its parameters in one vector.

    The parameters of `Chain`, and:

    Attributes
    ----------
    parameters : ndarray, shape (parameter_count,)
        All weights and biases, in the order of the layers. The layers' arrays are
        views of it. Assigning copies into it.
    gradients : ndarray, shape (parameter_count,)
        The same for the gradients; `backward` overwrites it.
    """

    parameters = flat_vector("_parameters")
    gradients = flat_vector("_gradients")
    _parameters = _gradients = None
    predict, replica = predict_in_batches, make_replica
    __str__ = __repr__ = summary_table

    def allocate(self):
        """Make the two flat vectors; the layers get views of them."""
        size = count_parameters(self.layers)
        self._parameters = np.zeros(size, self.dtype)
        self._gradients = np.zeros(size, self.dtype)
        bind_layers(self.layers, self._parameters, self._gradients)
        lend_arrays(self.layers)

    def __setstate__(self, state):
        """After copy.deepcopy: make the layers' arrays views again."""
        self.__dict__.update(state)
        bind_layers(self.layers, self._parameters, self._gradients)

    @property
    def parameter_count(self):
        """How many numbers the network learns."""
        return self.parameters.size

    def named_parameters(self):
        """Pairs of a name and a view: dense1.W, dense1.b, dense2.W, ..."""
        return named_views(self.layers, self.parameters)

    def named_buffers(self):
        """Pairs of a name and what a layer keeps without learning it; often none."""
        return named_buffers(self.layers)

    def architecture(self):
        """The layers that were given, in values that JSON knows; no Flatten.

        Where two networks' are equal, one's parameters fit the other.
        """
        if self.input_shape is None:
            raise RuntimeError(NOT_BUILT)
        return [describe_layer(layer) for layer in self.given
                if not isinstance(layer, Flatten)]

# Generated from book/20-onnx.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""ONNX."""

import math

import numpy as np
import onnx

from nnlib.activations import Identity, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from nnlib.convolution import Convolution
from nnlib.dense import Dense
from nnlib.network import Flatten, NOT_BUILT, Network, Reshape
from nnlib.pooling import AveragePool, GlobalAveragePool, MaxPool
from nnlib.regularization import BatchNorm, Dropout
from nnlib.skips import Feedback, Loop, Skip, Skips, number_layers
from nnlib.training import write_atomically
from nnlib.transposed import TransposedConvolution, Upsample

__all__ = [
    "run_onnx",
    "ExportError",
    "TRANSLATIONS",
    "translates",
    "Graph",
    "weights_of",
    "translate_dense",
    "ELEMENTWISE",
    "translate_elementwise",
    "translate_leaky_relu",
    "translate_softmax",
    "translate_flatten",
    "translate_reshape",
    "onnx_pads",
    "window_settings",
    "translate_convolution",
    "translate_transposed",
    "translate_pool",
    "translate_global_average",
    "translate_upsample",
    "translate_batch_norm",
    "join",
    "follow",
    "finish",
    "translate_skips",
    "translate_feedback",
    "OPSET",
    "IR_VERSION",
    "SIZE_LIMIT",
    "PREPROCESSING",
    "tensor_info",
    "all_notes",
    "check_export",
    "assemble",
    "to_onnx",
    "export_onnx",
    "read_varint",
    "read_fields",
]


# book/20-onnx.md, "Arithmetic with names"
def run_onnx(model, images, threads=1):
    """Run a model in ONNX Runtime, which must be installed (package onnxruntime).

    Parameters
    ----------
    model : onnx.ModelProto, str or Path
    images : array_like, samples first
        For the model's one input.
    threads : int

    Returns
    -------
    dict of str to ndarray
        The model's outputs by name, samples first.
    """
    import onnxruntime
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.log_severity_level = 4
    whole = isinstance(model, onnx.ModelProto)
    program = onnxruntime.InferenceSession(
        model.SerializeToString() if whole else str(model), settings,
        providers=["CPUExecutionProvider"])
    [entry], names = program.get_inputs(), [y.name for y in program.get_outputs()]
    values = program.run(names, {entry.name: np.asarray(images, np.float32)})
    return dict(zip(names, values))


# book/20-onnx.md, "One translation for a layer"
class ExportError(ValueError):
    """A network that cannot be written as ONNX; no file was touched."""

# book/20-onnx.md, "One translation for a layer"
TRANSLATIONS = {}


# book/20-onnx.md, "One translation for a layer"
def translates(*kinds):
    """Decorator: this function writes layers of exactly these classes into a graph.

    It is called as function(graph, layer, x, y), where x is the name of the layer's
    input; it must add a node whose output is called y, see `Graph`. Whatever else it
    names should begin with y and an underscore. Classes derived from these are not
    included: they may compute something else.
    """
    def register(function):
        TRANSLATIONS.update(dict.fromkeys(kinds, function))
        return function
    return register


# book/20-onnx.md, "One translation for a layer"
class Graph:
    """A network on its way to ONNX, samples first.

    Parameters
    ----------
    network : Network, built

    Attributes
    ----------
    nodes : list of onnx.NodeProto
    tensors : dict of str to onnx.TensorProto
        The initializers by name.
    """

    def __init__(self, network):
        named = [*network.named_parameters(), *network.named_buffers()]
        self.names = {array.ctypes.data: name.replace(".", "_")
                      for name, array in named}
        self.nodes, self.tensors = [], {}

    def node(self, operator, inputs, y, **settings):
        """Add a node that makes the value y; returns y."""
        self.nodes.append(
            onnx.helper.make_node(operator, inputs, [y], name=y, **settings))
        return y

    def constant(self, name, array):
        """Add an initializer, unless there is one of that name; returns the name."""
        if name not in self.tensors:
            array = np.ascontiguousarray(array)
            self.tensors[name] = onnx.numpy_helper.from_array(array, name)
        return name

    def weight(self, array, shape=None):
        """A parameter or buffer of the network as an initializer of float32.

        Its name is that in the network; shared by several layers, it is stored once.

        Parameters
        ----------
        array : ndarray
            The layer's own, such as layer.W.
        shape : tuple of int or int, optional
            If the graph needs the numbers in another shape.

        Raises
        ------
        ExportError
            For another array, and for numbers that are not finite in float32.
        """
        name = self.names.get(array.ctypes.data)
        if name is None:
            raise ExportError("expected a parameter or a buffer of the network; other "
                              "arrays go in with constant(name, array)")
        with np.errstate(over="ignore"):
            numbers = np.asarray(array, np.float32)
        if not np.isfinite(numbers).all():
            raise ExportError(f"{name}: expected numbers that are finite in float32, "
                              f"got {array[~np.isfinite(numbers)][0]}")
        return self.constant(name, numbers if shape is None else numbers.reshape(shape))

    def layer(self, layer, x, y):
        """Translate a layer that takes x and makes y; returns y.

        Raises
        ------
        ExportError
            If there is no translation.
        """
        kind = type(layer)
        if kind not in TRANSLATIONS:
            raise ExportError(f"{y}: no translation of {kind.__name__} to ONNX; write "
                              "function(graph, layer, x, y) and decorate it with "
                              f"@translates({kind.__name__})")
        TRANSLATIONS[kind](self, layer, x, y)
        return y


# book/20-onnx.md, "One translation for a layer"
def weights_of(graph, layer):
    """The names of W and, if the layer has one, of b as a vector."""
    names = [graph.weight(layer.W)]
    return names if layer.b is None else [*names, graph.weight(layer.b, -1)]


# book/20-onnx.md, "One translation for a layer"
@translates(Dense)
def translate_dense(graph, layer, x, y):
    """Gemm: rows of x, times W transposed, plus b."""
    graph.node("Gemm", [x, *weights_of(graph, layer)], y, transB=1)

# book/20-onnx.md, "One translation for a layer"
ELEMENTWISE = {Identity: "Identity", Dropout: "Identity", ReLU: "Relu",
               Sigmoid: "Sigmoid", Tanh: "Tanh"}


# book/20-onnx.md, "One translation for a layer"
@translates(*ELEMENTWISE)
def translate_elementwise(graph, layer, x, y):
    """An operator without settings, number by number."""
    graph.node(ELEMENTWISE[type(layer)], [x], y)


# book/20-onnx.md, "One translation for a layer"
@translates(LeakyReLU)
def translate_leaky_relu(graph, layer, x, y):
    """LeakyRelu, which calls the slope alpha."""
    graph.node("LeakyRelu", [x], y, alpha=layer.slope)


# book/20-onnx.md, "One translation for a layer"
@translates(Softmax)
def translate_softmax(graph, layer, x, y):
    """Softmax over the classes: axis 0 of a sample, axis 1 of the batch."""
    graph.node("Softmax", [x], y, axis=1)


# book/20-onnx.md, "One translation for a layer"
@translates(Flatten)
def translate_flatten(graph, layer, x, y):
    """Flatten: all axes behind that of the samples become one."""
    graph.node("Flatten", [x], y, axis=1)


# book/20-onnx.md, "One translation for a layer"
@translates(Reshape)
def translate_reshape(graph, layer, x, y):
    """Reshape; 0 stands for however many samples there are."""
    shape = np.array([0, *layer.shape], np.int64)
    graph.node("Reshape", [x, graph.constant(f"{y}_shape", shape)], y)


# book/20-onnx.md, "Windows"
def onnx_pads(padding):
    """((top, bottom), (left, right)) in ONNX's order: top, left, bottom, right."""
    before, after = zip(*padding)
    return [*before, *after]


# book/20-onnx.md, "Windows"
def window_settings(g, groups):
    """A `Geometry` in the words of ONNX."""
    return {"kernel_shape": g.kernel, "strides": g.stride, "dilations": g.dilation,
            "pads": onnx_pads(g.padding), "group": groups}


# book/20-onnx.md, "Windows"
@translates(Convolution)
def translate_convolution(graph, layer, x, y):
    """Conv, by whichever arithmetic the layer itself computes it."""
    graph.node("Conv", [x, *weights_of(graph, layer)], y,
               **window_settings(layer.geometry, layer.groups))


# book/20-onnx.md, "Windows"
@translates(TransposedConvolution)
def translate_transposed(graph, layer, x, y):
    """ConvTranspose; padding is cut off there, too."""
    graph.node("ConvTranspose", [x, *weights_of(graph, layer)], y,
               output_padding=layer.settings[2],
               **window_settings(layer.geometry, layer.groups))


# book/20-onnx.md, "Windows"
@translates(MaxPool, AveragePool)
def translate_pool(graph, layer, x, y):
    """MaxPool or AveragePool; padding takes no part in either."""
    more = {"count_include_pad": 0} if isinstance(layer, AveragePool) else {}
    graph.node(type(layer).__name__, [x], y, kernel_shape=layer.size,
               strides=layer.stride, pads=onnx_pads([(p, p) for p in layer.padding]),
               **more)


# book/20-onnx.md, "Windows"
@translates(GlobalAveragePool)
def translate_global_average(graph, layer, x, y):
    """GlobalAveragePool leaves axes of length 1; Flatten takes them away."""
    mean = graph.node("GlobalAveragePool", [x], f"{y}_mean")
    graph.node("Flatten", [mean], y, axis=1)


# book/20-onnx.md, "Windows"
@translates(Upsample)
def translate_upsample(graph, layer, x, y):
    """Resize: output pixel i is input pixel floor(i / factor)."""
    scales = np.array([1, 1, *layer.factor], np.float32)
    graph.node("Resize", [x, "", graph.constant(f"{y}_scales", scales)], y,
               mode="nearest", nearest_mode="floor",
               coordinate_transformation_mode="asymmetric")


# book/20-onnx.md, "Windows"
@translates(BatchNorm)
def translate_batch_norm(graph, layer, x, y):
    """BatchNormalization by the running statistics."""
    arrays = layer.gamma, layer.beta, layer.buffers["mean"], layer.buffers["var"]
    names = [graph.weight(array, -1) for array in arrays]
    graph.node("BatchNormalization", [x, *names], y, epsilon=layer.eps)


# book/20-onnx.md, "Layers made of layers"
def join(graph, values, how, y):
    """The nodes of `merge`; returns the name of the result, y if there is a node."""
    if len(values) == 1 or how == "overwrite":
        return values[-1]
    if how == "concatenate":
        return graph.node("Concat", values, y, axis=1)
    if how in ("add", "mean"):
        return graph.node({"add": "Sum", "mean": "Mean"}[how], values, y)
    operator, result = {"subtract": "Sub", "multiply": "Mul"}[how], values[0]
    for i, value in enumerate(values[1:], 1):
        name = y if i == len(values) - 1 else f"{y}_{i}"
        result = graph.node(operator, [result, value], name)
    return result


# book/20-onnx.md, "Layers made of layers"
def follow(graph, named, x):
    """Translate layers one after the other, given with their names; returns the last
    one's, or x if there are none."""
    for y, layer in named:
        x = graph.layer(layer, x, y)
    return x


# book/20-onnx.md, "Layers made of layers"
def finish(graph, value, y):
    """See to it that a value is called y, by an Identity if need be."""
    if value != y:
        graph.node("Identity", [value], y)


# book/20-onnx.md, "Layers made of layers"
@translates(Skips, Skip)
def translate_skips(graph, layer, x, y):
    """Stretch by stretch, as `Skips.forward` goes."""
    [parts], kept, last = layer.runs, [], len(layer.plan) - 1
    named = [(f"{y}_{name}", part) for name, part in number_layers(parts)]
    for k, (stretch, roads) in enumerate(layer.plan):
        met = [x, *(follow(graph, named[road], kept[i]) for i, road in roads)]
        kept.append(join(graph, met, layer.how, y if k == last else f"{y}_in{k}"))
        x = follow(graph, named[stretch], kept[k])
    finish(graph, x, y)


# book/20-onnx.md, "Layers made of layers"
@translates(Feedback, Loop)
def translate_feedback(graph, layer, x, y):
    """Run after run, as `Feedback.forward` goes: unrolled."""
    outputs = []
    for t, run in enumerate(layer.runs, 1):
        u = join(graph, [x, *outputs[-1:]], layer.how_in, f"{y}_{t}_in")
        named = [(f"{y}_{t}_{name}", part) for name, part in number_layers(run)]
        outputs.append(follow(graph, named, u))
    finish(graph, join(graph, outputs, layer.how_out, y), y)

# book/20-onnx.md, "The model"
OPSET = 14
IR_VERSION = 7
SIZE_LIMIT = 2**31
PREPROCESSING = ("pixels from 0 to 255 divided by 255, as float32, nothing else; "
                 "bright strokes on a background of 0; samples first")


# book/20-onnx.md, "The model"
def tensor_info(name, shape):
    """A value for ONNX: float32, any number of samples first."""
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT,
                                              ["n", *shape])


# book/20-onnx.md, "The model"
def all_notes(network, metadata):
    """The metadata, with "preprocessing" if it is not among them."""
    digits = math.prod(network.input_shape) == 784
    usual = {"preprocessing": PREPROCESSING if digits else "not stated"}
    return {**usual, **(metadata or {})}


# book/20-onnx.md, "The model"
def check_export(network, metadata, outputs):
    """Refuse what cannot be exported; returns the layers with their names.

    Raises
    ------
    TypeError, RuntimeError, ValueError
        As `to_onnx`.
    """
    if not isinstance(network, Network):
        raise TypeError(f"expected a Network, got {type(network).__name__}")
    if network.input_shape is None:
        raise RuntimeError(NOT_BUILT)
    for key, text in metadata.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise ValueError(f"expected metadata that is text, got {key!r}: {text!r}")
    if 4 * network.parameter_count > SIZE_LIMIT - 2**20:
        raise ExportError(f"expected parameters of less than {SIZE_LIMIT} bytes, which "
                          f"a file can hold, got {4 * network.parameter_count}")
    named = list(number_layers(network.layers))
    names = [name for name, _ in named[:-1]]
    for output in outputs:
        if output not in names or list(outputs).count(output) > 1:
            raise ValueError(f"expected outputs to be different layers among {names}; "
                             f"the last one's are the logits anyway; got {output!r}")
    return named


# book/20-onnx.md, "The model"
def assemble(name, graph, named, network, outputs):
    """The GraphProto: nodes, initializers, and the shapes of all layers' outputs."""
    shapes = dict(zip([layer for layer, _ in named], network.shapes[1:]))
    last, rest = named[-1][0], {}
    for node in graph.nodes:
        node.output[:] = ["logits" if y == last else y for y in node.output]
    ends = [tensor_info("logits", shapes.pop(last))]
    ends += [tensor_info(output, shapes.pop(output)) for output in outputs]
    return onnx.helper.make_graph(
        graph.nodes, name, [tensor_info("images", network.input_shape)], ends,
        list(graph.tensors.values()),
        value_info=[tensor_info(y, shape) for y, shape in shapes.items()])


# book/20-onnx.md, "The model"
def to_onnx(network, name="nnlib", metadata=None, outputs=()):
    """A network as an ONNX model.

    The input, "images", is float32, shaped (n, *network.input_shape) for any n. The
    output, "logits", is what `network.predict` returns, whatever the last layer is.

    Parameters
    ----------
    network : Network, built
        One of float64 is rounded.
    name : str
        The graph's.
    metadata : dict of str to str, optional
        Notes in the file. If "preprocessing" is not among them, it says what
        `scale_pixels` does for samples of 784 numbers, and "not stated" for others.
    outputs : sequence of str
        Layers, such as relu1 for the first ReLU, whose outputs should be outputs of the
        graph, too, under these names.

    Returns
    -------
    onnx.ModelProto
        It has passed the full check of `onnx.checker`.

    Raises
    ------
    ExportError
        For a layer without a translation, and for numbers not finite in float32.
    TypeError, RuntimeError, ValueError
        For something else than a network, one that is not built, metadata that is not
        text, outputs that are not layers' names.
    """
    named, graph = check_export(network, metadata or {}, outputs), Graph(network)
    follow(graph, named, "images")
    model = onnx.helper.make_model(
        assemble(name, graph, named, network, outputs), producer_name="nnlib",
        ir_version=IR_VERSION, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    onnx.helper.set_model_props(model, all_notes(network, metadata))
    onnx.checker.check_model(model, full_check=True)
    return model


# book/20-onnx.md, "The model"
def export_onnx(network, path, name="nnlib", metadata=None, outputs=()):
    """Write a network as an ONNX file: all of it, or nothing if it cannot be done.

    Parameters
    ----------
    network : Network, built
    path : str or Path
    name, metadata, outputs
        As for `to_onnx`, which see, also for what is raised.

    Returns
    -------
    onnx.ModelProto
        What was written.
    """
    model = to_onnx(network, name, metadata, outputs)
    data = model.SerializeToString()
    write_atomically(path, lambda file: file.write(data))
    return model


# book/20-onnx.md, "Byte by byte"
def read_varint(data, start=0):
    """A number of Protocol Buffers: seven bits a byte, lowest first; 128 means more.

    Parameters
    ----------
    data : bytes
    start : int
        Where it begins.

    Returns
    -------
    value, end : int
        The number, and where the next thing begins.

    Raises
    ------
    ValueError
        If it does not end within the data, or within ten bytes.
    """
    value = 0
    for i, byte in enumerate(data[start:start + 10]):
        value |= (byte & 127) << 7 * i
        if byte < 128:
            return value, start + i + 1
    raise ValueError(f"expected a number at byte {start}, got one that does not end")


# book/20-onnx.md, "Byte by byte"
def read_fields(data):
    """The fields of a record of Protocol Buffers; what they mean is not in it.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    list of (int, int or bytes)
        The number of each field, and its value: an int for a varint, else bytes.

    Raises
    ------
    ValueError
        If it is no such record, or is cut off.
    """
    fields, place, sizes = [], 0, {1: 8, 5: 4}
    while place < len(data):
        start, (tag, place) = place, read_varint(data, place)
        number, kind = divmod(tag, 8)
        if kind in (0, 2):
            value, place = read_varint(data, place)
        if kind in (1, 2, 5):
            size = sizes.get(kind) or value
            value, place = data[place:place + size], place + size
        if kind not in (0, 1, 2, 5) or place > len(data) or number == 0:
            raise ValueError(f"expected a whole field at byte {start}, got {kind=} "
                             f"that ends at {place} of {len(data)}")
        fields.append((number, value))
    return fields

# Generated from book/20-onnx.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""ONNX."""

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
    "finish",
    "follow",
    "translate_skips",
    "translate_feedback",
    "OPSET",
    "IR_VERSION",
    "INPUT",
    "OUTPUT",
    "PREPROCESSING",
    "SIZE_LIMIT",
    "tensor_info",
    "check_export",
    "to_onnx",
    "export_onnx",
    "run_onnx",
]


# book/20-onnx.md, "ONNX"
class ExportError(ValueError):
    """A network that cannot be written as ONNX; no file was touched."""

# book/20-onnx.md, "ONNX"
TRANSLATIONS = {}


# book/20-onnx.md, "ONNX"
def translates(*kinds):
    """Decorator: this function writes layers of exactly these classes into a graph.

    It is called as function(graph, layer, x, y): x is the name of the layer's input,
    and it must add a node, see `Graph.node`, whose output has the name y. Names of more
    nodes begin with y and a dot. A class derived from one of these is not included.
    """
    def register(function):
        TRANSLATIONS.update(dict.fromkeys(kinds, function))
        return function
    return register


# book/20-onnx.md, "ONNX"
class Graph:
    """What is to become an ONNX graph, samples first.

    Parameters
    ----------
    network : Network, built
        Its parameters and buffers can be asked for, see `weight`.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
    tensors : dict of str to onnx.TensorProto
        Constants by name.
    """

    def __init__(self, network):
        named = [*network.named_parameters(), *network.named_buffers()]
        self.names = {array.ctypes.data: name for name, array in named}
        self.nodes, self.tensors = [], {}

    def node(self, operator, inputs, y, **settings):
        """Add a node that makes y, and is called y; returns y."""
        node = onnx.helper.make_node(operator, inputs, [y], name=y, **settings)
        self.nodes.append(node)
        return y

    def constant(self, name, array):
        """Add a constant unless there is one of that name; returns the name."""
        if name not in self.tensors:
            array = np.ascontiguousarray(array)
            self.tensors[name] = onnx.numpy_helper.from_array(array, name)
        return name

    def weight(self, array, shape=None):
        """One of the network's arrays as a constant of float32, under its name there.

        An array that several layers share becomes one constant.

        Parameters
        ----------
        array : ndarray
            A parameter or a buffer of the network.
        shape : tuple of int, optional
            If the graph needs the numbers in another.

        Raises
        ------
        ExportError
            If float32 cannot hold a number, or it is NaN.
        """
        name = self.names[array.ctypes.data]
        with np.errstate(over="ignore"):
            numbers = np.asarray(array, np.float32)
        if not np.isfinite(numbers).all():
            raise ExportError(f"{name}: expected finite numbers within float32, got "
                              f"{array[~np.isfinite(numbers)][0]}")
        return self.constant(name, numbers if shape is None else numbers.reshape(shape))

    def layer(self, layer, x, y):
        """Translate a layer that takes x and makes y; returns y.

        Raises
        ------
        ExportError
            If nobody has said how.
        """
        kind = type(layer)
        if kind not in TRANSLATIONS:
            raise ExportError(f"{y}: no translation of {kind.__name__} into ONNX: write "
                              "function(graph, layer, x, y) and decorate it with "
                              f"@translates({kind.__name__})")
        TRANSLATIONS[kind](self, layer, x, y)
        return y


# book/20-onnx.md, "ONNX"
def weights_of(graph, layer):
    """The names of W and, if the layer has it, of b as a vector."""
    names = [graph.weight(layer.W)]
    return names if layer.b is None else [*names, graph.weight(layer.b, -1)]


# book/20-onnx.md, "ONNX"
@translates(Dense)
def translate_dense(graph, layer, x, y):
    """Gemm: rows x, the matrix W transposed, plus b."""
    graph.node("Gemm", [x, *weights_of(graph, layer)], y, transB=1)

# book/20-onnx.md, "ONNX"
ELEMENTWISE = {Identity: "Identity", Dropout: "Identity", ReLU: "Relu",
               Sigmoid: "Sigmoid", Tanh: "Tanh"}


# book/20-onnx.md, "ONNX"
@translates(*ELEMENTWISE)
def translate_elementwise(graph, layer, x, y):
    """One operator without settings, number by number."""
    graph.node(ELEMENTWISE[type(layer)], [x], y)


# book/20-onnx.md, "ONNX"
@translates(LeakyReLU)
def translate_leaky_relu(graph, layer, x, y):
    """LeakyRelu; ONNX calls the slope alpha."""
    graph.node("LeakyRelu", [x], y, alpha=layer.slope)


# book/20-onnx.md, "ONNX"
@translates(Softmax)
def translate_softmax(graph, layer, x, y):
    """Softmax over the axis of the classes, which comes after that of the samples."""
    graph.node("Softmax", [x], y, axis=1)


# book/20-onnx.md, "ONNX"
@translates(Flatten)
def translate_flatten(graph, layer, x, y):
    """Flatten: all axes but that of the samples become one."""
    graph.node("Flatten", [x], y, axis=1)


# book/20-onnx.md, "ONNX"
@translates(Reshape)
def translate_reshape(graph, layer, x, y):
    """Reshape; 0 stands for as many samples as there are."""
    shape = graph.constant(f"{y}.shape", np.array([0, *layer.shape], np.int64))
    graph.node("Reshape", [x, shape], y)


# book/20-onnx.md, "ONNX"
def onnx_pads(padding):
    """((top, bottom), (left, right)) as ONNX lists it: top, left, bottom, right."""
    before, after = zip(*padding)
    return [*before, *after]


# book/20-onnx.md, "ONNX"
def window_settings(g, groups):
    """A convolution's geometry in the words of ONNX."""
    return {"kernel_shape": g.kernel, "strides": g.stride, "dilations": g.dilation,
            "pads": onnx_pads(g.padding), "group": groups}


# book/20-onnx.md, "ONNX"
@translates(Convolution)
def translate_convolution(graph, layer, x, y):
    """Conv, whichever arithmetic our layer uses."""
    graph.node("Conv", [x, *weights_of(graph, layer)], y,
               **window_settings(layer.geometry, layer.groups))


# book/20-onnx.md, "ONNX"
@translates(TransposedConvolution)
def translate_transposed(graph, layer, x, y):
    """ConvTranspose; pads are cut off there too."""
    graph.node("ConvTranspose", [x, *weights_of(graph, layer)], y,
               output_padding=layer.settings[2],
               **window_settings(layer.geometry, layer.groups))


# book/20-onnx.md, "ONNX"
@translates(MaxPool, AveragePool)
def translate_pool(graph, layer, x, y):
    """MaxPool or AveragePool; padding has no part in either."""
    more = {"count_include_pad": 0} if isinstance(layer, AveragePool) else {}
    pads = onnx_pads([(p, p) for p in layer.padding])
    graph.node(type(layer).__name__, [x], y, kernel_shape=layer.size,
               strides=layer.stride, pads=pads, **more)


# book/20-onnx.md, "ONNX"
@translates(GlobalAveragePool)
def translate_global_average(graph, layer, x, y):
    """GlobalAveragePool keeps axes of length 1; Flatten takes them away."""
    mean = graph.node("GlobalAveragePool", [x], f"{y}.mean")
    graph.node("Flatten", [mean], y, axis=1)


# book/20-onnx.md, "ONNX"
@translates(Upsample)
def translate_upsample(graph, layer, x, y):
    """Resize: output pixel i is input pixel floor(i / factor)."""
    scales = np.array([1, 1, *layer.factor], np.float32)
    graph.node("Resize", [x, "", graph.constant(f"{y}.scales", scales)], y,
               mode="nearest", nearest_mode="floor",
               coordinate_transformation_mode="asymmetric")


# book/20-onnx.md, "ONNX"
@translates(BatchNorm)
def translate_batch_norm(graph, layer, x, y):
    """BatchNormalization with the running statistics."""
    arrays = layer.gamma, layer.beta, layer.buffers["mean"], layer.buffers["var"]
    names = [graph.weight(array, -1) for array in arrays]
    graph.node("BatchNormalization", [x, *names], y, epsilon=layer.eps)


# book/20-onnx.md, "ONNX"
def join(graph, values, how, y):
    """The nodes of `merge`; returns the name of what comes out, y if there are any."""
    if len(values) == 1 or how == "overwrite":
        return values[-1]
    if how == "concatenate":
        return graph.node("Concat", values, y, axis=1)
    if how in ("add", "mean"):
        return graph.node({"add": "Sum", "mean": "Mean"}[how], values, y)
    first, *others = values
    for i, value in enumerate(others, 1):
        step = y if i == len(others) else f"{y}.{i}"
        first = graph.node({"subtract": "Sub", "multiply": "Mul"}[how],
                           [first, value], step)
    return first


# book/20-onnx.md, "ONNX"
def finish(graph, value, y):
    """Give a value the name y, with an Identity if it has another."""
    if value != y:
        graph.node("Identity", [value], y)


# book/20-onnx.md, "ONNX"
def follow(graph, named, x):
    """Translate layers one after the other, each with its name; returns the last."""
    for name, layer in named:
        x = graph.layer(layer, x, name)
    return x


# book/20-onnx.md, "ONNX"
@translates(Skips, Skip)
def translate_skips(graph, layer, x, y):
    """Stretch by stretch, as `Skips.forward` goes."""
    [parts], kept, last = layer.runs, [], len(layer.plan) - 1
    named = [(f"{y}.{name}", part) for name, part in number_layers(parts)]
    for k, (stretch, roads) in enumerate(layer.plan):
        met = [x, *(follow(graph, named[road], kept[i]) for i, road in roads)]
        kept.append(join(graph, met, layer.how, y if k == last else f"{y}.in{k}"))
        x = follow(graph, named[stretch], kept[k])
    finish(graph, x, y)


# book/20-onnx.md, "ONNX"
@translates(Feedback, Loop)
def translate_feedback(graph, layer, x, y):
    """Unrolled: run after run, as `Feedback.forward` goes."""
    outputs = []
    for t, run in enumerate(layer.runs, 1):
        u = join(graph, [x, *outputs[-1:]], layer.how_in, f"{y}.{t}.in")
        named = [(f"{y}.{t}.{name}", part) for name, part in number_layers(run)]
        outputs.append(follow(graph, named, u))
    finish(graph, join(graph, outputs, layer.how_out, y), y)

# book/20-onnx.md, "ONNX"
OPSET = 13
IR_VERSION = 7
INPUT = "images"
OUTPUT = "logits"
PREPROCESSING = ("whole numbers from 0 to 255, divided by 255, as float32; "
                 "not centred, not standardized; samples first")
SIZE_LIMIT = 2**31


# book/20-onnx.md, "ONNX"
def tensor_info(name, shape):
    """A value of float32, samples first, any number of them, as ONNX describes it."""
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT,
                                              ["n", *shape])


# book/20-onnx.md, "ONNX"
def check_export(network, metadata, outputs):
    """Refuse what cannot be exported; returns the network's layers by name.

    Raises
    ------
    TypeError, RuntimeError, ValueError
    """
    if not isinstance(network, Network):
        raise TypeError(f"expected a Network, got {type(network).__name__}")
    if network.input_shape is None:
        raise RuntimeError(NOT_BUILT)
    for name, text in metadata.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise ValueError("expected metadata as text by name, "
                             f"got {name!r}: {text!r}")
    if network.parameters.size * 4 > SIZE_LIMIT - 2**20:
        raise ExportError(f"an ONNX file holds less than {SIZE_LIMIT} bytes, got "
                          f"{network.parameters.size} parameters of 4")
    named = list(number_layers(network.layers))
    names = [name for name, _ in named[:-1]]
    for name in outputs:
        if name not in names or list(outputs).count(name) > 1:
            raise ValueError(f"expected outputs to be different layers among {names}, "
                             f"got {name!r}")
    return named


# book/20-onnx.md, "ONNX"
def to_onnx(network, name="nnlib", metadata=None, outputs=()):
    """A network as an ONNX model.

    Its input "images" is float32, shaped (n, *network.input_shape), its output "logits"
    what `network.predict` returns; n is free.

    Parameters
    ----------
    network : Network, built
        One in float64 becomes float32.
    name : str
        Of the graph.
    metadata : dict of str to str, optional
        Notes for people and programs. Without "preprocessing" among them, that of
        `scale_pixels` is stated.
    outputs : sequence of str
        Layers whose outputs become outputs of the graph, after the logits, under their
        names: relu1 is the first ReLU.

    Returns
    -------
    onnx.ModelProto
        Checked, with all shapes inferred.

    Raises
    ------
    ExportError
        For a layer without translation, and for numbers that float32 cannot hold.
    TypeError, RuntimeError, ValueError
        For another thing than a network, one that is not built, other metadata, other
        outputs.
    """
    metadata = {"preprocessing": PREPROCESSING, **(metadata or {})}
    named = check_export(network, metadata, outputs)
    graph, shapes = Graph(network), {}
    shapes = dict(zip([layer_name for layer_name, _ in named], network.shapes[1:]))
    last = follow(graph, named, INPUT)
    for node in graph.nodes:
        node.output[:] = [OUTPUT if y == last else y for y in node.output]
    shapes[OUTPUT] = shapes.pop(last)
    exposed = [tensor_info(y, shapes.pop(y)) for y in (OUTPUT, *outputs)]
    body = onnx.helper.make_graph(
        graph.nodes, name, [tensor_info(INPUT, network.input_shape)], exposed,
        [*graph.tensors.values()], value_info=[*map(tensor_info, shapes, shapes.values())])
    model = onnx.helper.make_model(
        body, producer_name="nnlib", ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model


# book/20-onnx.md, "ONNX"
def export_onnx(network, path, name="nnlib", metadata=None, outputs=()):
    """Write a network as an ONNX file, all of it or nothing; see `to_onnx`.

    Parameters
    ----------
    network : Network, built
    path : str or Path
    name, metadata, outputs
        As for `to_onnx`.

    Returns
    -------
    onnx.ModelProto
        What was written.
    """
    model = to_onnx(network, name, metadata, outputs)
    data = model.SerializeToString()
    write_atomically(path, lambda file: file.write(data))
    return model


# book/20-onnx.md, "ONNX"
def run_onnx(model, images, threads=1):
    """Run an ONNX model in ONNX Runtime, which must be installed.

    Parameters
    ----------
    model : onnx.ModelProto, str or Path
    images : array_like, samples first
    threads : int

    Returns
    -------
    dict of str to ndarray
        All outputs by name, samples first.
    """
    import onnxruntime
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    data = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    session = onnxruntime.InferenceSession(data, settings,
                                           providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {INPUT: np.asarray(images, np.float32)})
    return dict(zip(names, values))

"""The exercises of the chapter on networks: shapes, views, the two loops, and what a gradient says about a picture."""

import math

import numpy as np

from course.classroom.exercise import Case, Exercise, Made, Mutant, Question, Ref, Script
from reference.network import batch_last

RELU, TANH, FLATTEN = Made("nnlib.activations.ReLU"), Made("nnlib.activations.Tanh"), Made("Flatten")


def dense(units, **options):
    """A dense layer."""
    return Made("nnlib.dense.Dense", units, **options)


# What is drawn.

def flattened(rng, shape, batch, dtype=np.float64):
    """What Flatten makes of a sample's shape, of a batch, and of what comes back."""
    numbers = math.prod(shape)
    return (Script().make("layer", "Flatten").call("layer.build", shape)
            .call("layer.forward", rng.normal(size=(*shape, batch)).astype(dtype))
            .call("layer.backward", rng.normal(size=(numbers, batch)).astype(dtype)))


def connected(layers, shape, script=None):
    """The shapes that flow through, how many layers there are, and the first one's kind."""
    return ((script or Script()).make("both", "connect", layers, shape).call("both.__getitem__", 1)
            .make("layers", "both.__getitem__", 0).call("layers.__len__")
            .make("first", "layers.__getitem__", 0).get("first.__class__.__name__"))


def guesses_an_image(rng):
    """A layer that wants images, behind a column that was an image of four channels before."""
    images = (Script().make("images", "nnlib.dense.Layer").call("images.__setattr__", "input_dims", 3, keep=False))
    return connected([Made("Reshape", (4, 2, 2)), FLATTEN, Ref("images")], (16,), images)


def cut(rng, layers, shape, size):
    """A vector cut into views; then the vector changes, and then a view."""
    return (Script().given(vector=rng.normal(size=size)).make("both", "connect", layers, shape)
            .make("layers", "both.__getitem__", 0).call("count_parameters", Ref("layers"))
            .call("parameter_views", Ref("layers"), Ref("vector"), name="views"))


def written_into(rng):
    """The vector is written into, and what the views say; a view is written into, and what the vector says."""
    return (cut(rng, [dense(2), RELU, dense(1)], (2,), 9).call("vector.__setitem__", 3, 7.0, keep=False).get("views")
            .make("last", "views.__getitem__", 2).make("W", "last.__getitem__", "W").call("W.fill", -5.0, keep=False).get("vector"))


def chain(rng, layers, shape, sizes, dtype="float64", kind="Chain"):
    """A built chain whose dense layers have drawn parameters. sizes: {place in the chain: (units, inputs)}."""
    arrays = {}
    for k, (units, inputs) in sizes.items():
        arrays |= {f"W{k}": rng.normal(size=(units, inputs)), f"b{k}": rng.normal(size=(units, 1)),
                   f"dW{k}": np.zeros((units, inputs)), f"db{k}": np.zeros((units, 1))}
    script = (Script().given(**{name: array.astype(dtype) for name, array in arrays.items()})
              .make("chain", kind, *layers, dtype=dtype).call("chain.build", shape, keep=False))
    for k in sizes:
        script.make(f"layer{k}", "chain.layers.__getitem__", k).call(
            f"layer{k}.bind", {"W": Ref(f"W{k}"), "b": Ref(f"b{k}")}, {"W": Ref(f"dW{k}"), "b": Ref(f"db{k}")}, keep=False)
    return script


def back(script, rng, x, dy, sizes, **options):
    """Forward, backward, and the gradients."""
    script.call("chain.forward", x).call("chain.backward", dy, **options)
    for k in sizes:
        script.get(f"dW{k}").get(f"db{k}")
    return script


SIZES = {0: (3, 2), 2: (2, 3)}
GRADIENTS = tuple(f"{d}{k}" for k in range(4) for d in ("dW", "db"))


def two_layers(rng, size, dtype="float64", **options):
    """Dense, tanh, dense."""
    return back(chain(rng, [dense(3), TANH, dense(2)], 2, SIZES, dtype), rng, rng.normal(size=(2, size)).astype(dtype),
                rng.normal(size=(2, size)).astype(dtype), SIZES, **options)


def network(rng, layers, shape, size):
    """A built network with a drawn vector of parameters."""
    return (Script().given(theta=rng.normal(size=size)).make("network", "Network", *layers, dtype="float64")
            .call("network.build", shape, keep=False).call("network.__setattr__", "parameters", Ref("theta"), keep=False))


# References of those that `reference` has not: plain loops.

def parameter_views(layers, vector):
    """Views, a matrix as the transpose of its columns."""
    views, start = [], 0
    for layer in layers:
        own = {}
        for name, shape in layer.parameter_shapes.items():
            size = math.prod(shape)
            piece = vector[start:start + size]
            own[name] = piece.reshape(shape[::-1]).T if len(shape) == 2 else piece.reshape(shape)
            start += size
        views.append(own)
    return views


def predict_in_batches(chain, x, batch_size=256):
    """One sample at a time, whatever the batch size."""
    if chain.input_shape is None:
        chain.build(np.shape(x)[1:])
    return np.array([np.array(chain.forward(batch_last([sample])))[..., 0] for sample in np.asarray(x, float).tolist()])


def pixel_slopes(network, images, labels):
    """One picture at a time."""
    slopes = []
    for image, label in zip(images, labels):
        y = network.forward(batch_last([image.tolist()]))
        slopes.append(network.backward(np.array([[float(k == label)] for k in range(len(y))]), need_dx=True).reshape(image.shape))
    return np.array(slopes)


def reordered(network, k, order):
    """Find every number's place by counting."""
    old, dense_layers, start = network.parameters.tolist(), [], 0
    for layer in network.layers:
        places = {}
        for name, shape in layer.parameter_shapes.items():
            places[name] = (start, *shape)
            start += math.prod(shape)
        dense_layers += [places] if places else []
    new = list(old)
    for first, units, columns in dense_layers[k].values():
        for j in range(columns):
            for i, source in enumerate(order):
                new[first + j * units + i] = old[first + j * units + source]
    first, units, _ = dense_layers[k + 1]["W"]
    for i in range(units):
        for j, source in enumerate(order):
            new[first + j * units + i] = old[first + source * units + i]
    return np.array(new)


FLATTEN_EXERCISE = Exercise(
    name="flatten", kind="build", target="Flatten", difficulty=1, minutes=10,
    cases=(
        Case("two rows, three columns", 1, "Pixels in another order would be another picture to every weight.",
             lambda rng, size=2: flattened(rng, (2, 3), size)),
        Case("single precision", 1, "A layer that learns nothing has no reason to change a number.",
             lambda rng, size=2: flattened(rng, (2, 2), size, np.float32)),
        Case("three axes", 1, "Images have channels as well, and those come first.", hidden=True,
             draw=lambda rng, size=4: flattened(rng, (2, 3, 2), size)),
        Case("one after the other", 1, "The last minibatch of an epoch is shorter.", hidden=True,
             draw=lambda rng: flattened(rng, (3, 2), 4).call("layer.forward", rng.normal(size=(3, 2, 1)))
             .call("layer.backward", rng.normal(size=(6, 1)))),
    ),
    hints=(
        "No number moves. What does the array have to be told, and which axis keeps its meaning?",
        "`reshape` both ways: the batch axis stays last. On the way back the sample's shape is needed, which only `build` was "
        "told.",
        "Section *Shapes flow* of {ref}`ch-networks`, and its margin on $-1$.",
    ),
    mutants=(
        Mutant("samples and pixels mixed", ("x.reshape(-1, x.shape[-1])", "x.reshape(x.shape[-1], -1).T"), "two rows, three columns", 1),
        Mutant("column after column", ("x.reshape(-1, x.shape[-1])", 'x.reshape(-1, x.shape[-1], order="F")'),
               "two rows, three columns", 2),
        Mutant("says what it got", ("return (math.prod(self.sample_shape),)", "return self.sample_shape"), "two rows, three columns", 0),
        Mutant("stays flat", ("return dy.reshape(*self.sample_shape, dy.shape[-1])", "return dy"), "two rows, three columns", 1),
        Mutant("turned over", ("dy.reshape(*self.sample_shape, dy.shape[-1])", "dy.reshape(*self.sample_shape[::-1], dy.shape[-1])"),
               "two rows, three columns", 2),
    ),
    shown=("return dy.reshape(*self.sample_shape, dy.shape[-1])", "self.sample_shape = tuple(input_shape)"),  # so does Reshape
)

CONNECT = Exercise(
    name="connect", kind="build", target="connect", difficulty=2, minutes=20,
    cases=(
        Case("columns all the way", 1, "Only the input's shape is known; each layer finds its own.",
             lambda rng: connected([dense(4), RELU, dense(2)], (3,))),
        Case("a picture before a dense layer", 2, "Nobody should have to write a Flatten that is always the same.",
             lambda rng: connected([dense(4), dense(2)], (2, 3))),
        Case("a Flatten too many", 1, "What has nothing to do is left out, so that two ways of writing make one network.",
             lambda rng: connected([dense(4), FLATTEN, dense(2)], (3,))),
        Case("no layers", 1, "An empty chain would hand its input back and call it an answer.",
             lambda rng: Script().call("connect", [], (3,)), raises="ValueError"),
        Case("an image again", 2, "A column may have been an image of several channels before, and only the shapes so far tell.",
             hidden=True, draw=guesses_an_image),
        Case("a long chain", 1, "The same loop for twenty layers.", hidden=True,
             draw=lambda rng: connected([part for n in range(9, 1, -1) for part in (dense(n), TANH)], (2, 2, 3))),
    ),
    hints=(
        "This is the forward loop, with a shape where the signal was.",
        "`adapt` says which layers stand for one of the list: none, one or two. Build each with the latest shape, and keep both "
        "the layer and the shape that it returns.",
        "Section *Shapes flow* of {ref}`ch-networks`, {eq}`eq-network-shapes`.",
    ),
    mutants=(
        Mutant("no adapters", ("for piece in adapt(layer, shapes[-1], shapes):", "for piece in [layer]:"),
               "a picture before a dense layer", 1),
        Mutant("the past is forgotten", ("adapt(layer, shapes[-1], shapes)", "adapt(layer, shapes[-1])"), "an image again", 1),
        Mutant("every layer gets the input's shape", ("piece.build(shapes[-1])", "piece.build(input_shape)"), "columns all the way", 0),
        Mutant("the input's shape is left out", ("return connected, shapes", "return connected, shapes[1:]"), "columns all the way", 1),
        Mutant("the adapters are not kept", ("connected.append(piece)", "connected.append(layer)"), "a picture before a dense layer", 1),
        Mutant("empty chains pass", ("    if not connected:", "    if False:"), "no layers", 2),
    ),
)

PARAMETER_VIEWS = Exercise(
    name="parameter_views", kind="build", target="parameter_views", also=("count_parameters",), difficulty=2, minutes=30,
    expected=parameter_views,
    cases=(
        Case("the worked example", 1, "Matrices lie in the vector column after column.",
             lambda rng: cut(rng, [dense(2), RELU, dense(1)], (2,), 9)),
        Case("they are views", 2, "A copy would be improved by nobody, or used by nobody.", written_into, modifies=("vector",)),
        Case("without a bias", 1, "A layer says itself what it has.",
             lambda rng: cut(rng, [TANH, dense(2, bias=False), dense(2)], (3,), 12)),
        Case("other sizes", 1, "235,146 numbers are cut by the same few lines.", hidden=True,
             draw=lambda rng: cut(rng, [dense(5), TANH, dense(4, bias=False), RELU, dense(3)], (2, 2), 60)),
        Case("nothing to learn", 1, "A network may consist of functions only.", hidden=True,
             draw=lambda rng: cut(rng, [RELU, TANH], (4,), 0)),
    ),
    hints=(
        "Walk along the vector with one number, the place where the next array begins.",
        "A slice is a view, and `reshape` of a slice stays one. `order=\"F\"` deals the numbers out column after column; only "
        "matrices want that.",
        "Section *One vector* of {ref}`ch-networks`, {eq}`eq-network-theta`.",
    ),
    mutants=(
        Mutant("row after row", ('"F" if len(shape) == 2 else "C"', '"C"'), "the worked example", 1),
        Mutant("copies", ("vector[start:stop].reshape(shape, order=order)", "vector[start:stop].reshape(shape, order=order).copy()"),
               "they are views", 1),
        Mutant("all from the beginning", ("            start = stop\n", ""), "the worked example", 0),
        Mutant("layers without parameters are skipped", ("views.append({})", "views += [{}] * bool(layer.parameter_shapes)"),
               "the worked example", 2),
        Mutant("the biases are not counted", ("for shape in layer.parameter_shapes.values())",
                                              "for name, shape in layer.parameter_shapes.items() if name != 'b')"),
               "the worked example", 0),
    ),
)

CHAIN = Exercise(
    name="chain", kind="build", target="Chain.backward", also=("Chain.forward",), difficulty=3, minutes=40,
    cases=(
        Case("forward and back", 2, "Every layer's gradients, and nothing for the input, which nobody can change.",
             lambda rng, size=3: two_layers(rng, size), modifies=GRADIENTS),
        Case("the input's gradient", 1, "Whoever asks which pixels mattered wants this.",
             lambda rng, size=2: two_layers(rng, size, need_dx=True), modifies=GRADIENTS),
        Case("a batch that does not fit", 1, "A picture of another size has to be refused before it is multiplied.",
             lambda rng: chain(rng, [TANH], (2, 2), {}).call("chain.forward", rng.normal(size=(2, 3, 4))), raises="ShapeError"),
        Case("a function in front", 2, "Layers before the first with parameters need not be asked.", hidden=True, modifies=GRADIENTS,
             draw=lambda rng, size=3: back(chain(rng, [TANH, RELU, dense(2)], 3, {2: (2, 3)}), rng, rng.normal(size=(3, size)),
                                           rng.normal(size=(2, size)), {2: (2, 3)})),
        Case("pictures, and columns in their place", 1, "As many numbers in the same order are the same sample.", hidden=True,
             modifies=GRADIENTS, draw=lambda rng: back(chain(rng, [dense(2), TANH], (2, 2), {1: (2, 4)}), rng, rng.normal(size=(4, 3)),
                                                       rng.normal(size=(2, 3)), {1: (2, 4)}, need_dx=True)),
        Case("functions only", 1, "A chain may have nothing to learn.", hidden=True,
             draw=lambda rng: back(chain(rng, [TANH, TANH], 3, {}), rng, rng.normal(size=(3, 2)), rng.normal(size=(3, 2)), {}, need_dx=True)),
        Case("in single precision", 1, "The chain computes in the type it was made for.", hidden=True, modifies=GRADIENTS,
             draw=lambda rng, size=4: two_layers(rng, size, "float32")),
        Case("twice", 1, "Gradients are overwritten, not added to.", hidden=True, modifies=GRADIENTS,
             draw=lambda rng: back(two_layers(rng, 2), rng, rng.normal(size=(2, 4)), rng.normal(size=(2, 4)), SIZES)),
    ),
    hints=(
        "Both are the loops of the first two sections. What has to be checked before, and what does the way back need not do?",
        "`check_batch` returns x as the layers want it; keep the output's shape for `check_upstream`. On the way back stop at "
        "layer number `first`, which is told whether its dx is wanted; with `need_dx` at layer 0.",
        "Sections *A chain of layers* and *What backward need not do* of {ref}`ch-networks`.",
    ),
    mutants=(
        Mutant("the first layer is asked twice", ("self.layers[:first:-1]", "self.layers[::-1]"), "forward and back", 1),
        Mutant("the first layer is not asked", ("return self.layers[first].backward(dy, need_dx)", "return dy if need_dx else None"),
               "forward and back", 1),
        Mutant("in the wrong order", ("self.layers[:first:-1]", "self.layers[first + 1:]"), "the input's gradient", 0),
        Mutant("dx for everybody", ("return self.layers[first].backward(dy, need_dx)", "return self.layers[first].backward(dy, True)"),
               "forward and back", 1),
        Mutant("stops too early", ("first = 0 if need_dx else self.first", "first = self.first"), "pictures, and columns in their place", 2),
        Mutant("any batch will do", ("x = check_batch(x, self)", "x = np.asarray(x, self.dtype)"), "a batch that does not fit", 1),
    ),
)

PREDICT = Exercise(
    name="predict", kind="build", target="predict_in_batches", difficulty=2, minutes=30, expected=predict_in_batches,
    cases=(
        Case("three samples, two at a time", 2, "The last batch has what is left.",
             lambda rng, size=3: chain(rng, [dense(3), TANH, dense(2)], 2, SIZES)
             .call("predict_in_batches", Ref("chain"), rng.normal(size=(size, 2)), batch_size=2)),
        Case("a network that has no shapes yet", 1, "The data says what a sample looks like.",
             lambda rng, size=2: Script().make("chain", "Chain", TANH, FLATTEN, dtype="float64")
             .call("predict_in_batches", Ref("chain"), rng.normal(size=(size, 2, 3)))),
        Case("batches of less than nothing", 1, "A loop that never turns leaves what was in memory, and it may look like an answer.",
             lambda rng: Script().make("chain", "Chain", TANH, dtype="float64")
             .call("predict_in_batches", Ref("chain"), rng.normal(size=(4, 3)), batch_size=-2), raises="ValueError"),
        Case("many batches", 2, "What forward returns is overwritten by the next batch.", hidden=True,
             draw=lambda rng: chain(rng, [dense(3), TANH, dense(2)], 2, SIZES)
             .call("predict_in_batches", Ref("chain"), rng.normal(size=(11, 2)), batch_size=1)
             .call("predict_in_batches", Ref("chain"), rng.normal(size=(12, 2)), batch_size=4)),
        Case("pictures in, pictures out", 1, "Not every network ends in a column of classes.", hidden=True,
             draw=lambda rng: Script().make("chain", "Chain", TANH, dtype="float64").call("chain.build", (2, 3), keep=False)
             .call("predict_in_batches", Ref("chain"), rng.normal(size=(5, 2, 3)), batch_size=3)),
        Case("the results are the caller's", 1, "Whoever compares two predictions wants both.", hidden=True,
             draw=lambda rng: chain(rng, [dense(3), TANH, dense(2)], 2, SIZES)
             .call("predict_in_batches", Ref("chain"), rng.normal(size=(3, 2)), name="first", keep=False)
             .call("predict_in_batches", Ref("chain"), rng.normal(size=(3, 2)), keep=False).get("first")),
    ),
    hints=(
        "How large is the result, before any batch has gone through? And what happens to a batch's output when the next one "
        "comes?",
        "`check_samples` builds what is not built and refuses what does not fit. Make an array of (n, ...) for all; for each "
        "stretch: `batch_last`, forward, samples first again with `np.moveaxis`, and copy it to its place.",
        "Section *The network* of {ref}`ch-networks`.",
    ),
    mutants=(
        Mutant("the first batch only", ("range(0, len(x), batch_size)", "range(0, batch_size, batch_size)"), "three samples, two at a time", 0),
        Mutant("a short last batch is dropped", ("range(0, len(x), batch_size)", "range(0, len(x) - batch_size + 1, batch_size)"),
               "three samples, two at a time", 1),
        Mutant("axes mixed up", ("y[batch] = outputs.transpose(-1, *range(outputs.ndim - 1))", "y[batch] = outputs.reshape(y[batch].shape)"),
               "three samples, two at a time", 1),
        Mutant("nothing is checked", ("    if batch_size < 1:", "    if False:"), "batches of less than nothing", 2),
        Mutant("the workspace itself", ("y[batch] = outputs.transpose(-1, *range(outputs.ndim - 1))",
                                        "y[batch] = outputs.transpose(-1, *range(outputs.ndim - 1))\n        y = np.moveaxis(outputs, -1, 0) if "
                                        "len(x) <= batch_size else y"),
               "the results are the caller's", 0),
    ),
)

PIXEL_SLOPES = Exercise(
    name="pixel_slopes", kind="further", target="pixel_slopes", difficulty=3, minutes=45, expected=pixel_slopes,
    text="""*Which pixels?* For a picture and a class, the gradient of that class's logit with respect to the picture
says how each pixel would change it. Compute it for a whole batch, then draw it over some digits: over ones that are
read rightly with their own label, over the others with the label they were mistaken for.""",
    stub='''def pixel_slopes(network, images, labels):
    """How each pixel would change the logit of a class.

    Parameters
    ----------
    network : Network
        Built. Its parameters are left alone; its gradients may be overwritten.
    images : ndarray, shape (n, ...)
        Samples first: the network's input shape, or flat. Left alone.
    labels : ndarray of int, shape (n,)
        For each picture the class whose logit is asked about.

    Returns
    -------
    ndarray, shaped like images
        The caller's own: no later call changes it.
    """
''',
    solution='''def pixel_slopes(network, images, labels):
    """How each pixel would change the logit of a class."""
    logits = network.forward(batch_last(images, network.dtype))
    chosen = np.zeros_like(logits)
    chosen[labels, np.arange(len(labels))] = 1
    slopes = network.backward(chosen, need_dx=True)
    return np.moveaxis(slopes, -1, 0).reshape(images.shape).copy()
''',
    cases=(
        Case("two pixels, three classes", 2, "The question is about one class; the others' logits do not count.",
             lambda rng, size=2: network(rng, [dense(3)], 2, 9)
             .call("pixel_slopes", Ref("network"), rng.normal(size=(size, 2)), np.arange(size) % 3)),
        Case("pictures", 1, "The answer is drawn over the picture, so it has its shape.",
             lambda rng, size=2: network(rng, [dense(4), TANH, dense(2)], (2, 2), 30)
             .call("pixel_slopes", Ref("network"), rng.normal(size=(size, 2, 2)), np.arange(size) % 2)),
        Case("flat pictures", 1, "The network takes them either way; so should you.", hidden=True,
             draw=lambda rng, size=3: network(rng, [dense(4), TANH, dense(2)], (2, 2), 30)
             .call("pixel_slopes", Ref("network"), rng.normal(size=(size, 4)), np.arange(size) % 2)),
        Case("the next batch", 1, "What backward returns is a workspace.", hidden=True,
             draw=lambda rng: network(rng, [dense(4), TANH, dense(2)], 3, 26)
             .call("pixel_slopes", Ref("network"), rng.normal(size=(3, 3)), np.array([0, 1, 1]), name="first", keep=False)
             .call("pixel_slopes", Ref("network"), rng.normal(size=(3, 3)), np.array([1, 1, 0]), keep=False).get("first")),
        Case("all the same class", 1, "Ten pictures, one question.", hidden=True,
             draw=lambda rng, size=10: network(rng, [TANH, dense(3), TANH, dense(4)], (2, 3), 37)
             .call("pixel_slopes", Ref("network"), rng.normal(size=(size, 2, 3)), np.full(size, 3))),
    ),
    hints=(
        "If the loss were that one logit, what would the upstream gradient be at the output?",
        "Forward, samples turned to the end; an array like the logits with a one for each picture's class; backward with "
        "`need_dx=True`; samples to the front again, in the shape that came, and a copy.",
        "Exercise *Which pixels?* and section *What backward need not do* of {ref}`ch-networks`.",
    ),
    mutants=(
        Mutant("every class counts", ("np.zeros_like(logits)", "np.ones_like(logits)"), "two pixels, three classes", 0),
        Mutant("weighted by the logits", ("    chosen[labels, np.arange(len(labels))] = 1",
                                          "    chosen[labels, np.arange(len(labels))] = logits[labels, np.arange(len(labels))]"),
               "two pixels, three classes", 0),
        Mutant("axes mixed up", ("np.moveaxis(slopes, -1, 0).reshape", "slopes.reshape"), "two pixels, three classes", 1),
        Mutant("not copied", (".reshape(images.shape).copy()", ".reshape(images.shape)"), "the next batch", 1),
        Mutant("not in the shape that came", (".reshape(images.shape).copy()", ".copy()"), "flat pictures", 1),
    ),
)

REORDERED = Exercise(
    name="reordered", kind="further", target="reordered", difficulty=3, minutes=40, expected=reordered,
    text="""*The same network.* Let the hidden neurons of a layer stand in another order, with everything that belongs
to them. The function is the same, the vector is not. Write the function that makes the other vector; then check, on
digits, that the network answers as before, and count how many such vectors the 784-256-128-10 network has.""",
    stub='''def reordered(network, k, order):
    """The parameters of the same function, with a hidden layer's neurons in another
    order.

    Parameters
    ----------
    network : Network
        Built, of dense layers with elementwise functions between them. Left alone.
    k : int
        Which of its dense layers, counted from 0; not the last.
    order : ndarray of int, shape (units,)
        A permutation: neuron number order[i] becomes neuron number i.

    Returns
    -------
    ndarray, shape (network.parameter_count,)
        A new vector.
    """
''',
    solution='''def reordered(network, k, order):
    """The parameters of the same function, with a hidden layer's neurons in another order."""
    vector = network.parameters.copy()
    views = [arrays for arrays in parameter_views(network.layers, vector) if arrays]
    for array in views[k].values():
        array[...] = array[order]
    following = views[k + 1]["W"]
    following[...] = following[:, order]
    return vector
''',
    cases=(
        Case("three neurons", 2, "A neuron is a row here, a bias, and a column there.",
             lambda rng: network(rng, [dense(3), RELU, dense(2)], 2, 17).call("reordered", Ref("network"), 0, np.array([2, 0, 1]))),
        Case("the network is left alone", 1, "Two vectors are to be compared, so both are needed.",
             lambda rng: network(rng, [dense(2), RELU, dense(1)], 2, 9).call("reordered", Ref("network"), 0, np.array([1, 0]), keep=False)
             .get("network.parameters")),
        Case("without biases", 1, "What is not there cannot move.",
             lambda rng: network(rng, [dense(2, bias=False), TANH, dense(2, bias=False)], 3, 10)
             .call("reordered", Ref("network"), 0, np.array([1, 0]))),
        Case("the function is the same", 2, "That is the point of it.", hidden=True,
             draw=lambda rng: network(rng, [dense(5), TANH, dense(4), RELU, dense(2)], 3, 54)
             .call("reordered", Ref("network"), 1, rng.permutation(4), name="v").call("network.__setattr__", "parameters", Ref("v"), keep=False)
             .call("network.forward", rng.normal(size=(3, 6)))),
        Case("in the middle of many", 1, "The layers before and behind stay as they are.", hidden=True,
             draw=lambda rng: network(rng, [TANH, dense(3), TANH, dense(6), TANH, dense(2), RELU, dense(3)], (2, 2), 62)
             .call("reordered", Ref("network"), 1, rng.permutation(6))),
    ),
    hints=(
        "Which numbers does a hidden neuron own, and who else has weights that are meant for it?",
        "Copy the vector and cut the copy with `parameter_views`. Rows of this layer's W and b take their new order, and so do "
        "the columns of the next dense layer's W.",
        "Section *One vector* and exercise *The same network* of {ref}`ch-networks`.",
    ),
    mutants=(
        Mutant("the next layer is forgotten", ("    following[...] = following[:, order]\n", ""), "three neurons", 0),
        Mutant("the biases stay", ("for array in views[k].values():", 'for array in [views[k]["W"]]:'), "three neurons", 0),
        Mutant("the other way round", ("    vector = network.parameters.copy()", "    order = np.argsort(order)\n    vector = network.parameters.copy()"),
               "three neurons", 1),
        Mutant("not a copy", ("network.parameters.copy()", "network.parameters"), "the network is left alone", 1),
        Mutant("a bias is expected", ("for array in views[k].values():", 'for array in (views[k]["W"], views[k]["b"]):'), "without biases", 2),
    ),
)

EXERCISES = [FLATTEN_EXERCISE, CONNECT, PARAMETER_VIEWS, CHAIN, PREDICT, PIXEL_SLOPES, REORDERED]

QUESTIONS = [
    Question(
        "Two dense layers without a function between them are one dense layer. Then is a network `Dense(64), Dense(10)` the "
        "same as `Dense(10)`? Compare what they can compute, how many parameters they have, and how gradient descent moves "
        "them.",
        "They compute the same kind of function: $W_2(W_1 x + b_1) + b_2$ is linear in $x$, and since 64 is more than 10, the "
        "product $W_2 W_1$ can be any matrix of 10 rows. With five hidden neurons it could not: its rank would be five at "
        "most. The parameters are not the same: 784·64 + 64 + 64·10 + 10 = 50,890 against 7,850, so each function has very "
        "many vectors. Gradient descent sees the vectors. A step changes $W_1$ in proportion to $W_2^\\top$ and the other way "
        "round, so the product moves fast where it is already large and slowly where it is small; its learning rate depends on "
        "where it is, and zero for both is a point from which no gradient leads away. Same functions, another walk."),
    Question(
        "The network keeps all parameters in one vector and lets each layer have views. Name an operation that this makes "
        "trivial, one that it makes harder, and a mistake it makes possible that a list of arrays would not.",
        "Trivial: anything that treats all parameters alike. A step, a norm for clipping, an average over the last two hundred "
        "steps, a copy to go back to, a sum over threads are each one line on one array. Harder: anything that treats them "
        "differently. Freezing a layer, another learning rate for the biases, half precision for some, or two layers that "
        "share a matrix all need a mask or a trick, because the vector does not know where one array ends. The mistake: "
        "assigning `layer.W = new` hangs another array on the name. The layer goes on computing with it, the optimizer goes on "
        "improving the old numbers in the vector, and nothing crashes. With a list the optimizer would hold that very "
        "attribute, or fail. The cure is `layer.W[...] = new`."),
    Question(
        "A layer may stand in a chain only once. Suppose that it could stand there twice, and that `backward` simply ran "
        "through the list. What would its dW hold afterwards, and what should it hold?",
        "It was called twice going forward and remembers one input, the second. Going back, the second use is met first, and "
        "its gradient is right: the upstream gradient times the remembered input. Then the first use comes, with the right "
        "upstream gradient, if the layer's weights are all it takes to hand it on, but with the wrong input, the second one "
        "still; and it *overwrites* dW. So dW holds a product of things that do not belong together. It should hold the sum of "
        "two products, each with its own input, by the rule that a value used in several places collects the sum of what comes "
        "back. To allow it, a layer would have to keep a stack of inputs and add to its gradients, and somebody would have to "
        "set them to zero."),
]

"""The exercises of the chapter on a convolutional network: what places see, and five restraints."""

import math

import numpy as np

from course.classroom.exercise import Case, Exercise, Made, Mutant, Question, Random, Ref, Script, call


# Further exercises bring their own reference: plain Python, floats and loops.

def pixels_seen(place, layers):
    """The pixels that a place of the last map depends on: go down through the windows."""
    if not layers:
        return {place}
    *below, (kernel, stride, padding, dilation) = layers
    return set().union(*(pixels_seen(place * stride - padding + i * dilation, below) for i in range(kernel)))


def receptive_field(layers):
    """Ask two neighbouring places for their pixels."""
    first, second = pixels_seen(0, list(layers)), pixels_seen(1, list(layers))
    return max(first) - min(first) + 1, min(second) - min(first), min(first)


class LayerNorm:
    """Sample by sample, number by number."""

    def __init__(self, eps=1e-5):
        self.eps = eps

    def build(self, input_shape):
        self.parameter_shapes = {"gamma": (input_shape[0], 1), "beta": (input_shape[0], 1)}
        return tuple(input_shape)

    def bind(self, parameters, gradients):
        self.gamma, self.beta = parameters["gamma"], parameters["beta"]
        self.dgamma, self.dbeta = gradients["gamma"], gradients["beta"]

    def initialize(self, rng):
        self.gamma[...] = 1
        self.beta[...] = 0

    def samples(self, x):
        """For each sample, the places of its numbers."""
        for n in range(x.shape[-1]):
            yield n, [(*place, n) for place in np.ndindex(x.shape[:-1])]

    def forward(self, x, training=False):
        self.x, y = np.array(x, float), np.zeros(np.shape(x))
        self.xhat, self.deviations = np.zeros(np.shape(x)), []
        for n, places in self.samples(self.x):
            numbers = [float(self.x[place]) for place in places]
            mean = math.fsum(numbers) / len(numbers)
            self.deviations.append(math.sqrt(math.fsum((v - mean) ** 2 for v in numbers) / len(numbers) + self.eps))
            for place, number in zip(places, numbers):
                self.xhat[place] = (number - mean) / self.deviations[n]
                y[place] = float(self.gamma[place[0], 0]) * self.xhat[place] + float(self.beta[place[0], 0])
        return y

    def backward(self, dy, need_dx=True):
        dy, dx = np.array(dy, float), np.zeros(np.shape(dy))
        for c in range(len(dy)):
            self.dgamma[c, 0] = math.fsum((dy[c] * self.xhat[c]).ravel().tolist())
            self.dbeta[c, 0] = math.fsum(dy[c].ravel().tolist())
        for n, places in self.samples(dy):
            d = [float(dy[place]) * float(self.gamma[place[0], 0]) for place in places]
            h = [float(self.xhat[place]) for place in places]
            mean, along = math.fsum(d) / len(d), math.fsum(a * b for a, b in zip(d, h)) / len(d)
            for place, a, b in zip(places, d, h):
                dx[place] = (a - mean - b * along) / self.deviations[n]
        return dx if need_dx else None


# What is drawn. Channels, height, width and batch differ, unless a case says otherwise.

def normal(rng, *shape, dtype=np.float64):
    """Random numbers."""
    return rng.normal(size=shape).astype(dtype)


def columns(rng, channels, positive=False, dtype=np.float64):
    """A number for each channel, as a column."""
    return (rng.uniform(0.5, 2, (channels, 1)) if positive else rng.normal(size=(channels, 1))).astype(dtype)


def strengths(strength, input_shape, *layers):
    """decay_weights for a network of these layers."""
    return (Script().make("network", "nnlib.network.Network", *layers).call("network.build", input_shape, keep=False)
            .call("decay_weights", Ref("network"), strength))


def dense(units, **kwargs):
    return Made("nnlib.dense.Dense", units, **kwargs)


def probabilities(rng, classes, batch):
    """Columns of positive numbers that sum to one."""
    p = rng.uniform(0.1, 1.0, (classes, batch))
    return p / p.sum(axis=0)


def smoothed(rng, classes, batch, smoothing, dtype=np.float64, scale=2.0, labels=True):
    """Loss and gradient of label smoothing."""
    z = (scale * rng.normal(size=(classes, batch))).astype(dtype)
    y = rng.integers(0, classes, batch) if labels else probabilities(rng, classes, batch)
    return (Script().given(z=z, y=y).call("smoothed_cross_entropy", Ref("z"), Ref("y"), smoothing)
            .call("smoothed_cross_entropy_backward", Ref("z"), Ref("y"), smoothing))


def dropped(rng, shape, rate, dtype=np.float64):
    """Mask, numbers and gradients of dropout."""
    return (Script().call("dropout_mask", rng.random(size=shape).astype(dtype), rate, name="mask")
            .call("dropout", normal(rng, *shape, dtype=dtype), Ref("mask"))
            .call("dropout_backward", normal(rng, *shape, dtype=dtype), Ref("mask")))


def statistics(x):
    """Mean and variance of each channel, in double precision first."""
    rows = x.reshape(len(x), -1).astype(np.float64)
    return [a[:, None].astype(x.dtype) for a in (rows.mean(axis=1), rows.var(axis=1))]


def normalized(rng, shape, dtype=np.float64, **kwargs):
    """batch_norm with statistics that are not those of x."""
    x, channels = normal(rng, *shape, dtype=dtype), shape[0]
    return call("batch_norm", x, columns(rng, channels, dtype=dtype), columns(rng, channels, dtype=dtype),
                columns(rng, channels, dtype=dtype), columns(rng, channels, True, dtype), **kwargs)


def norm_back(rng, shape, dtype=np.float64, own=True, **kwargs):
    """batch_norm_backward, with the statistics of x or with others."""
    x, channels = normal(rng, *shape, dtype=dtype), shape[0]
    mean, var = statistics(x) if own else (columns(rng, channels, dtype=dtype), columns(rng, channels, True, dtype))
    return call("batch_norm_backward", normal(rng, *shape, dtype=dtype), x, columns(rng, channels, dtype=dtype), mean, var, **kwargs)


def batch_statistics(x, out=None):
    """The reference's, which needs no scratch paper."""
    from reference.regularization import batch_statistics as of_reference

    return of_reference(x)


def batch_norm_backward(dy, x, gamma, mean, var, eps=1e-5, training=True, out=None):
    """The reference's, which has no `out`: it is one of three results, so nobody else can fill it."""
    from reference.regularization import batch_norm_backward as of_reference

    gradients = of_reference(dy, x, gamma, mean, var, eps, training)
    if out is not None:
        out[...] = gradients[0]
    return gradients


def norm_out(rng, shape):
    """batch_norm_backward in evaluation, with an array for dx."""
    channels = shape[0]
    return (Script().given(out=np.full(shape, 9.0))
            .call("batch_norm_backward", normal(rng, *shape), normal(rng, *shape), columns(rng, channels), columns(rng, channels),
                  columns(rng, channels, True), 1e-5, False, Ref("out")).get("out"))


def running(rng, channels, count, *momentum):
    """update_running, and the two arrays that it changes."""
    return (Script().given(mean=columns(rng, channels), var=columns(rng, channels, True))
            .call("update_running", Ref("mean"), Ref("var"), columns(rng, channels), columns(rng, channels, True), count, *momentum, keep=False)
            .get("mean").get("var"))


def averaged(rng, size, steps, decay, optimizer, dtype=np.float64):
    """Several steps of an averaged optimizer; weights and average after each."""
    gradients = {f"g{t}": normal(rng, size, dtype=dtype) for t in range(steps)}
    script = Script().given(w=normal(rng, size, dtype=dtype), **gradients).make("opt", "Averaged", optimizer, decay)
    for name in gradients:
        script.call("opt.step", Ref("w"), Ref(name), keep=False).get("w").get("opt.average")
    return script


def layer_norm(rng, shape, dtype=np.float64):
    """A script in which `layer` is a LayerNorm with given parameters, and gradients full of nines."""
    gamma, beta = columns(rng, shape[0], dtype=dtype), columns(rng, shape[0], dtype=dtype)
    return (Script().given(gamma=gamma, beta=beta, dgamma=np.full_like(gamma, 9), dbeta=np.full_like(beta, 9))
            .make("layer", "LayerNorm").call("layer.build", shape, keep=False)
            .call("layer.bind", {n: Ref(n) for n in ("gamma", "beta")}, {n: Ref("d" + n) for n in ("gamma", "beta")}, keep=False))


def once(script, rng, shape, dtype=np.float64, **kwargs):
    """One forward and one backward more."""
    x, dy = normal(rng, *shape, dtype=dtype), normal(rng, *shape, dtype=dtype)
    return script.call("layer.forward", x, keep=False).call("layer.backward", dy, **kwargs)


GRADIENTS = ("dgamma", "dbeta")
SGD, ADAM = Made("nnlib.optimizers.SGD", 0.1, momentum=0.9), Made("nnlib.optimizers.Adam", 0.05)

DECAY_WEIGHTS = Exercise(
    name="decay_weights", kind="build", target="decay_weights", difficulty=2, minutes=20,
    cases=(
        Case("two dense layers", 1, "A bias only moves the output, so nothing is gained by making it small.",
             lambda rng: strengths(0.5, 3, dense(2), Made("nnlib.activations.ReLU"), dense(1))),
        Case("a layer without a bias", 1, "The vector must be as long as the parameters, whatever they are.",
             lambda rng: strengths(0.01, 2, dense(3, bias=False), dense(2))),
        Case("a negative strength", 1, "Weights that grow for ever are a strange kind of restraint.",
             lambda rng: strengths(-0.1, 2, dense(1)), raises="ValueError"),
        Case("filters decay too", 2, "What is called W is a weight, in whatever layer it is.", hidden=True,
             draw=lambda rng: strengths(float(rng.uniform(0.1, 1)), (5, 6), Made("nnlib.convolution.Convolution", 3, 2),
                                        Made("nnlib.activations.ReLU"), Made("nnlib.convolution.Convolution", 2, (3, 2), bias=False), dense(4))),
        Case("a strength of zero", 1, "No decay is a vector of zeros, not an error.", hidden=True,
             draw=lambda rng: strengths(0, 4, dense(2), dense(3))),
    ),
    hints=(
        "The flat vector of parameters has a view for each layer's W and b. Could a vector of strengths have the same views?",
        "Make zeros like the parameters; `named_views` gives the name and the place of every parameter in such a vector; fill those "
        "whose name ends in W. `number_between` checks the strength.",
        "Section *Weight decay, on weights* of {ref}`ch-a-convolutional-network`; the names are explained in {ref}`ch-networks`.",
    ),
    mutants=(
        Mutant("everything decays", ('if name.endswith("W"):', "if True:"), "two dense layers", 0),
        Mutant("the biases decay", ('name.endswith("W")', 'name.endswith("b")'), "two dense layers", 1),
        Mutant("only the first layer", ("view[...] = strength", "view[...] = strength\n            break"), "two dense layers", 1),
        Mutant("any strength will do", ('strength = number_between("strength", strength, 0)', "strength = float(strength)"), "a negative strength", 2),
        Mutant("only layers that are dense", ('name.endswith("W")', 'name.startswith("dense") and name.endswith("W")'), "filters decay too", 1),
    ),
)

LABEL_SMOOTHING = Exercise(
    name="label_smoothing", kind="build", target="smooth_targets", also=("smoothed_cross_entropy", "smoothed_cross_entropy_backward"),
    difficulty=2, minutes=25,
    cases=(
        Case("four classes, two samples", 1, "What is taken from the right class goes to all of them, itself included.",
             lambda rng: call("smooth_targets", np.eye(4)[:, [2, 0]], 0.2)),
        Case("loss and gradient, from labels", 2, "The gradient has a place to rest, where p = q.",
             lambda rng, size=2: smoothed(rng, size + 1, size, 0.1)),
        Case("targets that are distributions", 1, "Mixed pictures have mixed labels, and these can be smoothed as well.",
             lambda rng: smoothed(rng, 3, 2, 0.3, labels=False)),
        Case("no smoothing at all", 1, "Then it is the ordinary cross-entropy, to the last digit.", hidden=True,
             draw=lambda rng, size=3: smoothed(rng, size, 5, 0.0)),
        Case("more samples than classes", 2, "K is the number of classes, not of samples.", hidden=True,
             draw=lambda rng: Script().call("smooth_targets", probabilities(rng, 3, 8), 0.45).call("smooth_targets", probabilities(rng, 10, 2))),
        Case("sure logits, in single precision", 2, "A network that is sure has logits whose exponentials overflow in float32.", hidden=True,
             draw=lambda rng: smoothed(rng, 10, 6, 0.1, np.float32, scale=60.0)),
    ),
    hints=(
        "Only the targets change. Which functions of an earlier chapter do the rest?",
        "q = (1 - smoothing) y + smoothing / K. `as_prediction` and `class_columns` bring logits and labels into form; then the cross-entropy of "
        "the chapter on losses and its gradient take q for y.",
        "Section *Label smoothing* of {ref}`ch-a-convolutional-network`, {eq}`eq-cnn-smooth` and {eq}`eq-cnn-smooth-back`.",
    ),
    mutants=(
        Mutant("nothing is taken away", ("(1.0 - smoothing) * y", "y"), "four classes, two samples", 1),
        Mutant("shared by the other classes only", ("smoothing / len(y)", "smoothing / (len(y) - 1)"), "four classes, two samples", 1),
        Mutant("divided by the batch", ("smoothing / len(y)", "smoothing / y.shape[1]"), "more samples than classes", 1),
        Mutant("the gradient knows nothing of it", ("softmax_cross_entropy_backward(z, q)", "softmax_cross_entropy_backward(z, class_columns(y, z))"),
               "loss and gradient, from labels", 0),
        Mutant("the loss knows nothing of it", ("softmax_cross_entropy(z, smooth_targets(class_columns(y, z), smoothing))",
               "softmax_cross_entropy(z, class_columns(y, z))"), "loss and gradient, from labels", 0),
    ),
)

DROPOUT = Exercise(
    name="dropout", kind="build", target="dropout_mask", also=("dropout", "dropout_backward"), difficulty=1, minutes=15,
    cases=(
        Case("half of them", 2, "Those who stay speak twice as loudly, or the layer above would hear half of what it will hear later.",
             lambda rng, size=2: dropped(rng, (size + 1, size), 0.5)),
        Case("a fifth of them", 1, "The factor belongs to the share that stays.",
             lambda rng: dropped(rng, (3, 4), 0.2)),
        Case("three times into out", 1, "A layer keeps its mask and its results in arrays of its own.", modifies=("m", "y", "dx"),
             draw=lambda rng: Script().given(m=np.full((2, 3), 9.0), y=np.full((2, 3), 9.0), dx=np.full((2, 3), 9.0))
             .call("dropout_mask", rng.random((2, 3)), 0.4, out=Ref("m"), keep=False).call("dropout", normal(rng, 2, 3), Ref("m"), out=Ref("y"), keep=False)
             .call("dropout_backward", normal(rng, 2, 3), Ref("m"), out=Ref("dx"), keep=False).get("m").get("y").get("dx")),
        Case("nobody has to go", 1, "Rate 0 must change nothing.", hidden=True,
             draw=lambda rng, size=3: dropped(rng, (size, 2, 3, 2), 0.0)),
        Case("a draw that equals the rate", 1, "Below the rate one goes; at it one stays.", hidden=True,
             draw=lambda rng: call("dropout_mask", np.array([[0.25, 0.5, 0.75], [0.0, 0.5, 0.49]]), 0.5)),
        Case("masks of single precision", 1, "A wide mask would widen every layer above.", hidden=True,
             draw=lambda rng, size=4: dropped(rng, (size, 5), 0.25, np.float32)),
    ),
    hints=(
        "What must the mean of the mask be, so that on average nothing changes?",
        "The mask is a comparison, u ≥ rate, times 1 / (1 - rate). Forwards and backwards one multiplies by the same mask.",
        "Section *Dropout* of {ref}`ch-a-convolutional-network`, {eq}`eq-cnn-dropout`.",
    ),
    mutants=(
        Mutant("the factor forgotten", ("1.0 / (1.0 - rate)", "1.0"), "half of them", 0),
        Mutant("the other share's factor", ("1.0 / (1.0 - rate)", "1.0 / rate"), "a fifth of them", 0),
        Mutant("the others go", ("np.greater_equal(u, rate, out=out)", "np.less(u, rate, out=out)"), "a fifth of them", 1),
        Mutant("at the rate one goes", ("np.greater_equal", "np.greater"), "a draw that equals the rate", 1),
        Mutant("the gradient without the factor", ("np.multiply(dy, mask, out=out)", "np.multiply(dy, mask > 0, out=out)"), "half of them", 1),
        Mutant("out ignored", ("return np.multiply(x, mask, out=out)", "return np.multiply(x, mask)"), "three times into out", 2),
    ),
)

BATCH_STATISTICS = Exercise(
    name="batch_statistics", kind="build", target="batch_statistics", difficulty=2, minutes=20, expected=batch_statistics,
    cases=(
        Case("features of a batch", 1, "A dense layer's channel has one number for each sample.",
             lambda rng, size=2: call("batch_statistics", normal(rng, size + 1, size + 2))),
        Case("images", 2, "A filter is the same at every pixel, so all of a map's numbers are treated alike.",
             lambda rng, size=2: call("batch_statistics", normal(rng, size, 2, 3, size + 1))),
        Case("whole numbers as channels", 1, "Counts are numbers too, and their mean need not be one.", dtype="float64",
             draw=lambda rng: call("batch_statistics", rng.integers(0, 9, (2, 5)))),
        Case("far from zero, in single precision", 2, "Subtract first, then square; the other way round both terms are sixteen million and the difference is noise.",
             hidden=True, draw=lambda rng: call("batch_statistics", (4000 + rng.normal(size=(3, 4, 5, 6))).astype(np.float32))),
        Case("scratch paper is handed in", 1, "The batch is needed again, for the way back; the scratch paper is not.", hidden=True, modifies=("paper",),
             draw=lambda rng: Script().given(paper=np.zeros((2, 3, 4, 2))).call("batch_statistics", normal(rng, 2, 3, 4, 2), Ref("paper"))),
        Case("as many channels as samples", 1, "Only the numbers say here which way the mean was taken.", hidden=True,
             draw=lambda rng, size=4: call("batch_statistics", normal(rng, size, size))),
    ),
    hints=(
        "Which axes disappear for (features, batch)? For (channels, height, width, batch)?",
        "`as_rows` makes three axes of either, and `channel_sums` and `channel_products` add up in double precision. Subtract the mean, as a "
        "column, and then take the mean of the squares; bring both to the dtype of the batch.",
        "Section *The way forward* of {ref}`ch-a-convolutional-network`, and its margin on one pass.",
    ),
    mutants=(
        Mutant("squares minus square", ("channel_products(centred, centred) / count)", "channel_products(rows, rows) / count - mean * mean)"),
               "far from zero, in single precision", 1),
        Mutant("the unbiased variance", ("channel_products(centred, centred) / count)", "channel_products(centred, centred) / (count - 1))"),
               "features of a batch", 2),
        Mutant("divided by the batch", ("count = rows[0].size", "count = x.shape[-1]"), "images", 0),
        Mutant("the deviation", ("(channel_products(centred, centred) / count)", "np.sqrt(channel_products(centred, centred) / count)"), "features of a batch", 2),
        Mutant("x is the scratch paper", ("out = None if out is None else as_rows(out)", "out = rows"), "features of a batch", 1),
        Mutant("no columns", ("    return mean, (", "    mean = mean[:, 0]\n    return mean, ("), "features of a batch", 1),
    ),
)

BATCH_NORM = Exercise(
    name="batch_norm", kind="build", target="batch_norm", difficulty=2, minutes=20,
    cases=(
        Case("features normalized", 1, "Whatever the layer below does, the layer above gets numbers of one size.",
             lambda rng, size=2: normalized(rng, (size + 1, size + 2))),
        Case("maps normalized", 2, "A column of scales against an image with four axes: NumPy would stretch it along the wrong one.",
             lambda rng, size=2: normalized(rng, (size, 3, 2, size + 1))),
        Case("a channel that hardly varies", 1, "Without eps one dead neuron makes a nan, and the nan spreads.",
             lambda rng: call("batch_norm", normal(rng, 1, 3), np.ones((1, 1)), np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((1, 1)), eps=0.01)),
        Case("as many channels as rows and columns", 2, "Where all sizes agree, every wrong stretching fits.", hidden=True,
             draw=lambda rng, size=3: normalized(rng, (size, size, size, size))),
        Case("normalized into out", 1, "The layer's own array is filled.", hidden=True, modifies=("out",),
             draw=lambda rng: normalized(rng, (2, 3, 2, 4), out=Ref("out"), keep=False).given(out=np.full((2, 3, 2, 4), 9.0)).get("out")),
        Case("normalized in single precision", 1, "Statistics may come from elsewhere; the numbers stay as wide as they were.", hidden=True,
             draw=lambda rng: normalized(rng, (3, 4, 2, 5), np.float32, eps=1e-3)),
    ),
    hints=(
        "How many different factors does a channel need, and how many different shifts?",
        "Factor: gamma over the root of (var + eps). Work on rows, three axes, where a column needs one more axis to meet its channel: "
        "subtract the mean, multiply, add beta, all in y.",
        "Section *The way forward* of {ref}`ch-a-convolutional-network`, {eq}`eq-cnn-norm`.",
    ),
    mutants=(
        Mutant("eps outside of the root", ("np.sqrt(var + eps)", "(np.sqrt(var) + eps)"), "a channel that hardly varies", 1),
        Mutant("divided by the variance", ("np.sqrt(var + eps)", "(var + eps)"), "features normalized", 1),
        Mutant("the shift forgotten", ("    rows += beta[:, None]\n", ""), "features normalized", 0),
        Mutant("a mean for each row of pixels", ("np.subtract(as_rows(x), mean[:, None], out=as_rows(y))",
               "np.subtract(as_rows(x), mean if x.ndim == 4 and len(mean) == x.shape[1] else mean[:, None], out=as_rows(y))"),
               "as many channels as rows and columns", 1),
        Mutant("out ignored", ("if out is None else out\n    scale", "\n    scale"), "normalized into out", 2),
    ),
)

BATCH_NORM_BACKWARD = Exercise(
    name="batch_norm_backward", kind="build", target="batch_norm_backward", difficulty=4, minutes=90, expected=batch_norm_backward,
    cases=(
        Case("all three gradients of a batch", 3, "Every number moves the mean and the deviation, and through them all the others.",
             lambda rng, size=2: norm_back(rng, (size + 1, size + 2))),
        Case("all three gradients of images", 2, "m counts the pixels of all samples, and a channel's scale was used at each of them.",
             lambda rng, size=2: norm_back(rng, (size, 2, 3, size + 1))),
        Case("in evaluation", 2, "Running statistics do not depend on the batch, so nothing comes back through them.",
             lambda rng, size=2: norm_back(rng, (size, size + 2), own=False, training=False)),
        Case("only rearranged", 1, "A gradient that would move all numbers of a channel alike is taken out completely.", hidden=True, atol=1e-9,
             draw=lambda rng: (lambda x: call("batch_norm_backward", np.full((2, 6), 3.0), x, columns(rng, 2), *statistics(x)))(normal(rng, 2, 6))),
        Case("square images, four channels", 2, "Where all sizes agree, every wrong sum fits.", hidden=True,
             draw=lambda rng, size=4: norm_back(rng, (size, size, size, size), eps=0.1)),
        Case("images in evaluation, into out", 1, "dx has an array of its own; neither x nor dy is it.", hidden=True, modifies=("out",),
             draw=lambda rng: norm_out(rng, (2, 3, 4, 2))),
        Case("three gradients in single precision", 1, "They are subtracted from float32 parameters.", hidden=True,
             draw=lambda rng: norm_back(rng, (3, 4, 5, 2), np.float32)),
    ),
    hints=(
        "dgamma and dbeta first; they come back in dx. What would happen to y if all numbers of a channel grew alike?",
        "With h the normalized numbers: dx is gamma / s times (dy - mean of dy - h times mean of dy h) in training, and gamma dy / s in evaluation. "
        "Work in one array: it can begin as x - mean.",
        "Section *The way back* of {ref}`ch-a-convolutional-network`, {eq}`eq-cnn-norm-back`.",
    ),
    mutants=(
        Mutant("the mean is taken for a constant", ("        centred -= (dbeta / count).astype(x.dtype)[:, None]\n", ""), "all three gradients of a batch", 0),
        Mutant("the deviation is taken for a constant", ("centred *= (-inverse * dgamma / count).astype(x.dtype)[:, None]", "centred *= 0"),
               "all three gradients of a batch", 0),
        Mutant("statistics are always constants", ("    if training:\n", "    if False:\n"), "all three gradients of a batch", 0),
        Mutant("statistics are never constants", ("    if training:\n", "    if True:\n"), "in evaluation", 1),
        Mutant("m counts the samples only", ("x[0].size", "x.shape[-1]"), "all three gradients of images", 1),
        Mutant("gamma forgotten", ("(gamma * inverse).astype", "(inverse + 0 * gamma).astype"), "all three gradients of a batch", 1),
        Mutant("dgamma without the deviation", ("inverse * channel_products(back, centred)", "channel_products(back, centred)"),
               "in evaluation", 1),
    ),
)

UPDATE_RUNNING = Exercise(
    name="update_running", kind="build", target="update_running", difficulty=1, minutes=10,
    cases=(
        Case("the first minibatch", 1, "A tenth of the new, nine tenths of the old.", modifies=("mean", "var"),
             draw=lambda rng, size=2: running(rng, size, 8)),
        Case("a small minibatch", 2, "Around its own mean a small sample spreads less than the truth; for two numbers, half as much.", modifies=("mean", "var"),
             draw=lambda rng: running(rng, 2, 2, 0.5)),
        Case("the newest only", 1, "With a momentum of 1, the past is forgotten.", hidden=True, modifies=("mean", "var"),
             draw=lambda rng, size=3: running(rng, size, 5, 1.0)),
        Case("some momentum, some count", 1, "Neither is always what the default says.", hidden=True, modifies=("mean", "var"),
             draw=lambda rng, size=4: running(rng, size, int(rng.integers(3, 30)), float(rng.uniform(0.1, 0.4)))),
    ),
    hints=(
        "Two moving averages, and one factor.",
        "`moving_average` works in place and wants to know how much to keep, which is one minus the momentum. The new variance is multiplied by "
        "m / (m - 1) beforehand; the mean is not.",
        "Section *Running statistics* of {ref}`ch-a-convolutional-network`, {eq}`eq-cnn-running`.",
    ),
    mutants=(
        Mutant("the biased variance", ("(count / (count - 1))", "1.0"), "a small minibatch", 1),
        Mutant("keeps a tenth", ("moving_average(mean, batch_mean, 1.0 - momentum)", "moving_average(mean, batch_mean, momentum)"), "the first minibatch", 1),
        Mutant("the mean is corrected too", ("moving_average(mean, batch_mean,", "moving_average(mean, batch_mean * count / (count - 1),"),
               "a small minibatch", 0),
        Mutant("new arrays", ("    moving_average(mean, batch_mean, 1.0 - momentum)", "    mean, var = mean.copy(), var.copy()\n    moving_average(mean, batch_mean, 1.0 - momentum)"),
               "the first minibatch", 1),
        Mutant("the running variance is corrected", ("moving_average(var, batch_var * (count / (count - 1)), 1.0 - momentum)",
               "moving_average(var, batch_var, 1.0 - momentum)\n    var *= count / (count - 1)"), "a small minibatch", 2),
    ),
)

AVERAGED_STEP = Exercise(
    name="averaged_step", kind="build", target="Averaged.step", difficulty=2, minutes=30,
    cases=(
        Case("two steps", 2, "The average follows the walker, and the walker does not notice.", modifies=("w", "g0", "g1"),
             draw=lambda rng, size=2: averaged(rng, size, 2, 0.999, SGD)),
        Case("a short memory", 1, "At the start the average must forget its random weights, later it keeps as much as it was told.", modifies=("w", "g0", "g1", "g2"),
             draw=lambda rng: averaged(rng, 2, 3, 0.2, SGD)),
        Case("no memory", 1, "An average that keeps nothing is where the walker is.", hidden=True, modifies=("w", "g0", "g1", "g2"),
             draw=lambda rng, size=3: averaged(rng, size, 3, 0.0, SGD)),
        Case("ten steps of Adam", 2, "It works with every optimizer, because it looks at the weights only.", hidden=True, rtol=1e-5,  # ten roots in a row
             modifies=("w", *(f"g{t}" for t in range(10))), draw=lambda rng, size=5: averaged(rng, size, 10, 0.5, ADAM)),
        Case("an average in single precision", 1, "It will be put into a network of float32.", hidden=True, modifies=("w", "g0", "g1"),
             draw=lambda rng: averaged(rng, 4, 2, 0.99, SGD, np.float32)),
        Case("another network's parameters", 1, "An average serves one network, as an optimizer does.", hidden=True, modifies=("w", "g"),
             draw=lambda rng: Script().given(w=normal(rng, 3), g=normal(rng, 3)).make("opt", "Averaged", Made("nnlib.optimizers.SGD", 0.1), 0.9)
             .call("opt.step", Ref("w"), Ref("g"), keep=False).call("opt.step", normal(rng, 2), normal(rng, 2)), raises="ShapeError"),
    ),
    hints=(
        "Where is the average before the first step? And how many steps have been taken when it moves for the first time?",
        "Copy the parameters if there is no average yet; `check_state` compares it with the parameters; then let the optimizer step, ask "
        "`averaging_decay` how much to keep, and let `moving_average` do the rest in place. It may scribble on the gradients.",
        "Section *Averaged weights* of {ref}`ch-a-convolutional-network`, {eq}`eq-cnn-average` and {eq}`eq-cnn-warm`.",
    ),
    mutants=(
        Mutant("the average is the parameters", ("average = parameters.copy() if", "average = parameters if"), "two steps", 0),
        Mutant("it begins where the first step has led", ('        check_state({"average": average}, ["average"], parameters)\n        self.optimizer.step(parameters, gradients)\n',
               "        self.optimizer.step(parameters, gradients)\n        average = parameters.copy() if self.average is None else average\n"), "two steps", 0),
        Mutant("a constant decay", ("averaging_decay(self.steps, self.decay)", "self.decay"), "two steps", 1),
        Mutant("one step behind", ("averaging_decay(self.steps, self.decay)", "averaging_decay(self.steps - 1, self.decay)"), "two steps", 0),
        Mutant("the optimizer stands still", ("        self.optimizer.step(parameters, gradients)\n", ""), "two steps", 1),
        Mutant("shapes are not asked for", ('        check_state({"average": average}, ["average"], parameters)\n', ""), "another network's parameters", 1),
    ),
)

RECEPTIVE_FIELD = Exercise(
    name="receptive_field", kind="further", target="receptive_field", difficulty=1, minutes=15,
    text="""Before you build a deep network, ask it how far it will see. Write the three formulas of *How far a filter sees* as a function,
dilation included, and try it on exercise 1 above. How many convolutions of three, with nothing else, does it take to see a whole digit?
And with a pooling by two after every second one?""",
    stub='''def receptive_field(layers):
    """Field, jump and start of a place in the last map, along one axis.

    Parameters
    ----------
    layers : sequence of (kernel, stride, padding, dilation)
        Whole numbers, the lowest layer first; padding is that in front. Poolings have dilation 1.

    Returns
    -------
    field : int
        Pixels from the first to the last that a place depends on (with a dilation there may be holes).
    jump : int
        How many pixels further on the field of the next place begins.
    start : int
        The first pixel of the field of place 0; negative if it begins in the padding.
    """
''',
    solution='''def receptive_field(layers):
    """Field, jump and start of a place in the last map, along one axis."""
    field, jump, start = 1, 1, 0
    for kernel, stride, padding, dilation in layers:
        field += dilation * (kernel - 1) * jump
        start -= padding * jump
        jump *= stride
    return field, jump, start
''',
    expected=receptive_field,
    cases=(
        Case("the network of this chapter", 1, "Twelve pixels by twelve, four pixels apart.",
             lambda rng: call("receptive_field", ((5, 1, 0, 1), (2, 2, 0, 1), (3, 1, 0, 1), (2, 2, 0, 1)))),
        Case("no layers", 1, "A pixel sees itself.", lambda rng: call("receptive_field", ())),
        Case("padding above a pooling", 1, "One place of padding is as many pixels as the map's places are apart.",
             lambda rng: call("receptive_field", ((3, 1, 1, 1), (2, 2, 0, 1), (3, 1, 1, 1)))),
        Case("holes in the kernels", 1, "Dilated layers see far with few weights.", hidden=True,
             draw=lambda rng: call("receptive_field", ((3, 1, 1, 1), (3, 1, 2, 2), (3, 1, 4, 4)))),
        Case("layers drawn by lot", 2, "Stride, padding and dilation all at once, four layers high.", hidden=True,
             draw=lambda rng: call("receptive_field", tuple(tuple(int(rng.integers(low, high)) for low, high in ((2, 5), (2, 4), (1, 3), (1, 4)))
                                                            for _ in range(4)))),
    ),
    hints=(
        "For the image itself a place is a pixel: what are field, jump and start there?",
        "For each layer: the field grows by d(k-1) jumps, the start moves back by the padding times the jump, and only then the jump is multiplied by the stride.",
        "Section *How far a filter sees* of {ref}`ch-a-convolutional-network`, {eq}`eq-cnn-field-step`.",
    ),
    mutants=(
        Mutant("the new jump is used", ("        field += dilation * (kernel - 1) * jump\n        start -= padding * jump\n        jump *= stride\n",
               "        jump *= stride\n        field += dilation * (kernel - 1) * jump\n        start -= padding * jump\n"), "the network of this chapter", 1),
        Mutant("padding in pixels", ("padding * jump", "padding"), "padding above a pooling", 1),
        Mutant("no holes", ("dilation * (kernel - 1)", "(kernel - 1)"), "holes in the kernels", 1),
        Mutant("a hole after the last weight", ("dilation * (kernel - 1)", "(dilation * kernel - 1)"), "holes in the kernels", 1),
        Mutant("a field of nothing", ("start = 1, 1, 0", "start = 0, 1, 0"), "no layers", 0),
    ),
)

LAYER_NORM = Exercise(
    name="layer_norm", kind="further", target="LayerNorm", difficulty=4, minutes=120,
    text="""*Layer normalization* normalizes every sample by the mean and the variance of its own numbers, all channels and pixels together
(exercise 6 above). No minibatch is needed, nothing is kept, and training and evaluation are one function. Each channel still
has a scale $\\gamma$ and a shift $\\beta$. Derive the way back from {eq}`eq-cnn-norm-back`, write the layer, check it, and put it in place
of `BatchNorm` in {numref}`fig-cnn-rates`.""",
    stub='''class LayerNorm(Layer):
    """Every sample gets mean 0 and variance 1 over all its numbers; then channels are scaled and shifted.

    LayerNorm(eps=1e-5): y = gamma (x - mean) / sqrt(var + eps) + beta, where mean and var are those of the
    sample, and gamma and beta have one number for each channel (or feature).
    """

    def __init__(self, eps=1e-5):
        """Keep eps."""

    def build(self, input_shape):
        """Take (features,) or (channels, height, width), return the same as a tuple.

        The parameters are gamma and beta, in this order, both shaped (channels, 1).
        """

    def initialize(self, rng):
        """Set gamma to 1 and beta to 0, in the arrays that `bind` brought."""

    def forward(self, x, training=False):
        """Return y, shaped like x, samples last, and keep what backward needs."""

    def backward(self, dy, need_dx=True):
        """Overwrite dgamma and dbeta, sums over pixels and samples; return dx, or None if need_dx is False."""
''',
    solution='''class LayerNorm(Layer):
    """Every sample gets mean 0 and variance 1 over all its numbers; then channels are scaled and shifted."""

    def __init__(self, eps=1e-5):
        super().__init__()
        self.eps = eps

    def build(self, input_shape):
        self.parameter_shapes = {name: (input_shape[0], 1) for name in ("gamma", "beta")}
        return tuple(input_shape)

    def initialize(self, rng):
        self.gamma[...] = 1
        self.beta[...] = 0

    def forward(self, x, training=False):
        self.own = tuple(range(x.ndim - 1))
        self.deviation = np.sqrt(x.var(axis=self.own) + self.eps)
        self.xhat = (x - x.mean(axis=self.own)) / self.deviation
        scale, shift = (p.reshape(-1, *[1] * (x.ndim - 1)) for p in (self.gamma, self.beta))
        return scale * self.xhat + shift

    def backward(self, dy, need_dx=True):
        others = tuple(range(1, dy.ndim))
        self.dgamma[:, 0] = (dy * self.xhat).sum(axis=others)
        self.dbeta[:, 0] = dy.sum(axis=others)
        if need_dx:
            d = dy * self.gamma.reshape(-1, *[1] * (dy.ndim - 1))
            along = self.xhat * (d * self.xhat).mean(axis=self.own)
            return (d - d.mean(axis=self.own) - along) / self.deviation
''',
    expected=LayerNorm,
    cases=(
        Case("what it asks for", 1, "The network makes the arrays; the layer says which.",
             lambda rng: Script().make("layer", "LayerNorm").call("layer.build", (3, 4, 5)).get("layer.parameter_shapes")),
        Case("samples of a dense layer", 2, "Each sample has its own mean; its neighbours do not matter.",
             lambda rng, size=2: layer_norm(rng, (size + 1,)).call("layer.forward", normal(rng, size + 1, size))),
        Case("a dense layer's way back", 3, "Every number of a sample moves its mean and its deviation.", modifies=GRADIENTS,
             draw=lambda rng, size=2: once(layer_norm(rng, (size + 2,)), rng, (size + 2, size)).get("dgamma").get("dbeta")),
        Case("images, forth and back", 3, "One mean for all channels and pixels of a sample, one scale for each channel.", hidden=True, modifies=GRADIENTS,
             draw=lambda rng, size=2: once(layer_norm(rng, (size + 1, 3, 4)), rng, (size + 1, 3, 4, size)).get("dgamma").get("dbeta")
             .call("layer.forward", normal(rng, size + 1, 3, 4, 2))),
        Case("all axes equal", 2, "Where all sizes agree, only the numbers say which axis was meant.", hidden=True, modifies=GRADIENTS,
             draw=lambda rng: once(layer_norm(rng, (3, 3, 3)), rng, (3, 3, 3, 3)).get("dgamma").get("dbeta")),
        Case("one sample while training", 1, "That is what it was invented for.", hidden=True,
             draw=lambda rng: layer_norm(rng, (5,)).call("layer.forward", normal(rng, 5, 1), training=True)),
        Case("begins as nothing but a norm", 1, "Scales of one and shifts of zero, in the network's own arrays.", hidden=True, modifies=("gamma", "beta"),
             draw=lambda rng: layer_norm(rng, (3,)).call("layer.initialize", Random(0), keep=False).get("gamma").get("beta")),
        Case("a second batch, nobody below", 1, "Gradients are those of the last batch, and dx is made only for somebody.", hidden=True, modifies=GRADIENTS,
             draw=lambda rng: once(once(layer_norm(rng, (4,)), rng, (4, 3)), rng, (4, 2), need_dx=False).get("dgamma").get("dbeta")),
        Case("samples of single precision", 1, "All of it in float32.", hidden=True, modifies=GRADIENTS,
             draw=lambda rng: once(layer_norm(rng, (6,), np.float32), rng, (6, 4), np.float32).get("dgamma")),
    ),
    hints=(
        "The formula of batch normalization, over other axes. Which axes belong to a sample? Over which does a scale's gradient add up?",
        "Mean and variance over all axes but the last; dgamma and dbeta over all but the first. With d = gamma dy and h the normalized numbers, "
        "dx is (d - mean of d - h times mean of d h) / s, means over the sample: gamma is inside of them now, since it differs within a sample.",
        "Section *The way back* of {ref}`ch-a-convolutional-network`, and the design note.",
    ),
    mutants=(
        Mutant("gamma outside of the means", ("            d = dy * self.gamma.reshape(-1, *[1] * (dy.ndim - 1))\n", "            d = dy\n"), "a dense layer's way back", 1),
        Mutant("normalized over the batch", ("self.own = tuple(range(x.ndim - 1))", "self.own = tuple(range(1, x.ndim))"), "samples of a dense layer", 0),
        Mutant("every channel by itself", ("self.own = tuple(range(x.ndim - 1))", "self.own = tuple(range(1, x.ndim - 1)) or (0,)"), "images, forth and back", 0),
        Mutant("the deviation is taken for a constant", ("(d - d.mean(axis=self.own) - along)", "(d - d.mean(axis=self.own))"), "a dense layer's way back", 1),
        Mutant("adds to the last batch's", ("self.dbeta[:, 0] = dy", "self.dbeta[:, 0] += dy"), "a dense layer's way back", 1),
        Mutant("lets go of the network's array", ("self.beta[...] = 0", "self.beta = np.zeros_like(self.beta)"), "begins as nothing but a norm", 2),
        Mutant("always computes dx", ("        if need_dx:\n", "        if True:\n"), "a second batch, nobody below", 1),
    ),
)

EXERCISES = [DECAY_WEIGHTS, LABEL_SMOOTHING, DROPOUT, BATCH_STATISTICS, BATCH_NORM, BATCH_NORM_BACKWARD, UPDATE_RUNNING, AVERAGED_STEP,
             RECEPTIVE_FIELD, LAYER_NORM]

QUESTIONS = [
    Question(
        "A classmate's dropout forgets the factor $1/(1-r)$, at rate one half. His network trains about as well as yours. What goes wrong when it "
        "is evaluated, and in which layer? Does it go wrong with `BatchNorm` behind the next dense layer too?",
        "While training, the layer above adds up about half as many numbers as it will in evaluation, and its weights grow to suit that. In evaluation "
        "everybody is present, and every sum over dropped neurons is twice as large on average; its bias is what it was. If the dropout stands right "
        "before the last layer, the logits double and little changes in the order: the network is surer than it should be, and the loss is worse than the "
        "accuracy. Before a hidden layer, the doubled sums meet biases and ReLU kinks that were learned for half of them, and answers change as well. With batch "
        "normalization it is worse: the running mean and variance were measured on the halved sums, so the doubled ones are not normalized to "
        "what the layers above know. A factor at the right place saves all of it."),
    Question(
        "What happens if weight decay also acts on `gamma`? And what does decay alone, without any loss, do to the weights of a convolution right "
        "in front of batch normalization?",
        "A decaying `gamma` does what decay on weights was meant to do: it makes the numbers that the layer above gets smaller, and the layer above can grow its own "
        "weights to undo that, at a price. So it is a restraint, and where `gamma` is pushed to zero it silences a channel: sometimes that is even wanted, "
        "to find channels that a network can do without. In front of batch normalization, the length of the weights has no influence on what the "
        "network computes. Decay alone shrinks them by the factor $1-\\eta\\lambda$ a step, and nobody notices, until $\\sigma^2$ comes down to the size of "
        "$\\varepsilon$: then $\\hat x$ fades too. Before that, one thing does change: the shorter the weights, the more a gradient step turns them. Decay there is "
        "a way to set the learning rate."),
    Question(
        "Early stopping, a smaller network, larger minibatches: which of the three is regularization by this chapter's definition? Ask of each what it does "
        "to the loss on the digits that are learned from.",
        "Early stopping is: it ends the training while the loss on the training digits could still fall, because that on others has stopped falling. A smaller network "
        "works as a restraint and also cannot reach as low a training loss, but it is a choice of the family of functions and not a change of how one "
        "learns; whoever counts it must also count convolutions, which are the strongest restraint in this chapter. Larger minibatches are the odd one "
        "out. They make the gradient less noisy, so that the training loss falls further in a step, and are meant for speed. It is *small* minibatches whose noise "
        "restrains a little, as batch normalization's does, without anybody having meant it to. So the definition looks at intentions, and a "
        "measurement cannot: what it sees in all cases is a training loss that goes up, and an error on unseen digits that, with luck, goes down."),
]

"""The exercises of the chapter on neurons: a layer forwards and backwards, where it starts, and where it should end."""

import math

import numpy as np

from course.classroom.exercise import Case, Exercise, Mutant, Question, Random, Ref, Script, call


# Further exercises bring their own reference: plain Python, floats and loops.

def best_dense(x, y):
    """Solve the normal equations by elimination; an input that is always zero gets weight zero."""
    x, y = np.asarray(x, float).tolist(), np.asarray(y, float).tolist()
    lit = [j for j, row in enumerate(x) if any(row)]
    u = [x[j] for j in lit] + [[1.0] * len(y[0])]
    W, b = [[0.0] * len(x) for _ in y], []
    for weights, target in zip(W, y):
        found = solve([[math.fsum(p * q for p, q in zip(r, s)) for s in u] for r in u],
                      [math.fsum(p * q for p, q in zip(r, target)) for r in u])
        for j, w in zip(lit, found):
            weights[j] = w
        b.append([found[-1]])
    return np.array(W), np.array(b)


def solve(a, c):
    """The solution of a system of linear equations, by elimination with pivots."""
    rows = [[*row, right] for row, right in zip(a, c)]
    n = len(rows)
    for k in range(n):
        best = max(range(k, n), key=lambda i: abs(rows[i][k]))
        rows[k], rows[best] = rows[best], rows[k]
        for i in range(n):
            if i != k:
                factor = rows[i][k] / rows[k][k]
                rows[i] = [p - factor * q for p, q in zip(rows[i], rows[k])]
    return [rows[k][n] / rows[k][k] for k in range(n)]


class Scale:
    """y = g x, one gain for each input."""

    def __init__(self):
        self.parameter_shapes = {}

    def build(self, input_shape):
        self.parameter_shapes = {"g": (input_shape[0], 1)}
        return input_shape

    def bind(self, parameters, gradients):
        self.g, self.dg = parameters["g"], gradients["g"]

    def initialize(self, rng):
        self.g[...] = 1

    def forward(self, x, training=False):
        self.x = np.array(x, float).tolist()
        return np.array([[g * v for v in row] for (g,), row in zip(self.g.tolist(), self.x)])

    def backward(self, dy, need_dx=True):
        dy = np.asarray(dy, float).tolist()
        self.dg[...] = [[math.fsum(d * v for d, v in zip(ds, vs))] for ds, vs in zip(dy, self.x)]
        if need_dx:
            return np.array([[d * g for d in ds] for ds, (g,) in zip(dy, self.g.tolist())])


# What is drawn. Every size differs from the others, unless a case says otherwise.

def arrays(rng, *shapes, dtype=np.float64):
    """Random arrays of these shapes."""
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def forward(rng, units, inputs, batch, bias=True, dtype=np.float64):
    """dense(x, W, b)"""
    x, W, b = arrays(rng, (inputs, batch), (units, inputs), (units, 1), dtype=dtype)
    return call("dense", x, W, b) if bias else call("dense", x, W)


def bound(rng, units, inputs, bias=True, dtype=np.float64):
    """A script in which `layer` is a Dense with given weights, and gradients full of nines."""
    W, b = arrays(rng, (units, inputs), (units, 1), dtype=dtype)
    script = Script().given(W=W, dW=np.full_like(W, 9), **({"b": b, "db": np.full_like(b, 9)} if bias else {}))
    names = ("W", "b") if bias else ("W",)
    return (script.make("layer", "Dense", units, bias=bias).call("layer.build", (inputs,), keep=False)
            .call("layer.bind", {n: Ref(n) for n in names}, {n: Ref("d" + n) for n in names}, keep=False))


def learn_once(script, rng, units, inputs, batch, dtype=np.float64, **kwargs):
    """One forward and one backward more."""
    x, dz = arrays(rng, (inputs, batch), (units, batch), dtype=dtype)
    return script.call("layer.forward", x, keep=False).call("layer.backward", dz, **kwargs)


def gains(rng, inputs):
    """A script in which `layer` is a Scale with given gains."""
    g, = arrays(rng, (inputs, 1))
    return (Script().given(g=g, dg=np.full_like(g, 9)).make("layer", "Scale").call("layer.build", (inputs,), keep=False)
            .call("layer.bind", {"g": Ref("g")}, {"g": Ref("dg")}, keep=False))


def filled(path, rng, shape, *args):
    """A call that is to fill `out`."""
    return Script().given(out=np.full(shape, 9.0)).call(path, *args, out=Ref("out"), keep=False).get("out")


def samples(rng, inputs, outputs, batch, dtype=np.float64):
    """Inputs and noisy targets of a line, many more samples than weights."""
    x, V, noise = arrays(rng, (inputs, batch), (outputs, inputs), (outputs, batch))
    return x.astype(dtype), (V @ x + 2 + 0.5 * noise).astype(dtype)


DENSE = Exercise(
    name="dense", kind="build", target="dense", difficulty=1, minutes=10,
    cases=(
        Case("three neurons, two inputs", 1, "Each neuron weighs all inputs of a sample, and adds its own bias.",
             lambda rng, size=2: forward(rng, size + 1, size, size + 2)),
        Case("without a bias", 1, "Where a mean is subtracted next, a bias would be subtracted again.",
             lambda rng, size=2: forward(rng, size + 1, size, size + 2, bias=False)),
        Case("as many neurons as samples", 1, "When two sizes agree by accident, a bias can go to a sample, and no shape complains.",
             lambda rng: forward(rng, 3, 2, 3)),
        Case("out is filled", 1, "A layer calls this thousands of times; an array it owns spares it as many new ones.",
             lambda rng: filled("dense", rng, (3, 4), *arrays(rng, (2, 4), (3, 2), (3, 1))), modifies=("out",)),
        Case("a square layer", 1, "With as many neurons as inputs the transposed weights fit too.", hidden=True,
             draw=lambda rng, size=4: forward(rng, size, size, size + 1)),
        Case("a batch of one", 1, "A network must also answer for a single sample.", hidden=True,
             draw=lambda rng, size=5: forward(rng, size, 3, 1)),
        Case("single precision stays", 1, "One wide number widens all that come after.", hidden=True,
             draw=lambda rng, size=4: forward(rng, size, 6, 5, dtype=np.float32)),
        Case("out without a bias", 1, "An array that somebody handed over has to be filled in either case.", hidden=True,
             draw=lambda rng: filled("dense", rng, (4, 3), *arrays(rng, (2, 3), (4, 2))), modifies=("out",)),
    ),
    hints=(
        "Write down the shapes of W, x and b. Which product of two of them has the shape of z?",
        "A product of matrices, then a sum in which the column b is stretched over the batch. Both steps are NumPy functions "
        "that take `out`, and the second may write over the first one's result.",
        "Section *Many neurons are a matrix* of {ref}`ch-neurons`.",
    ),
    mutants=(
        Mutant("the bias goes to the samples", ("np.add(z, b, out=out)", "np.add(z, b.ravel(), out=out)"),
               "as many neurons as samples", 0),
        Mutant("the bias is forgotten", ("return z if b is None else np.add(z, b, out=out)", "return z"), "three neurons, two inputs", 1),
        Mutant("the weights transposed", ("np.matmul(W, x, out=out)", "np.matmul(W.T, x, out=out)"), "a square layer", 0),
        Mutant("out ignored", ("np.matmul(W, x, out=out)\n    return z if b is None else np.add(z, b, out=out)",
                               "np.matmul(W, x)\n    return z if b is None else np.add(z, b)"), "out is filled", 1),
        Mutant("a bias is demanded", ("z if b is None else ", ""), "without a bias", 2),
    ),
)

DENSE_DW = Exercise(
    name="dense_dw", kind="build", target="dense_dW", difficulty=2, minutes=15,
    cases=(
        Case("two samples", 2, "A weight was used once for every sample, and each use moved the loss.",
             lambda rng, size=2: call("dense_dW", *arrays(rng, (size + 1, size), (size + 2, size)))),
        Case("out is filled", 1, "A network keeps all its gradients in one long array, and expects them there.",
             lambda rng: filled("dense_dW", rng, (2, 4), *arrays(rng, (2, 3), (4, 3))), modifies=("out",)),
        Case("a single column of dz", 1, "For one sample every weight's gradient is a single product.", hidden=True,
             draw=lambda rng, size=3: call("dense_dW", *arrays(rng, (size, 1), (size + 2, 1)))),
        Case("all sizes equal", 2, "Shapes protect from a wrong transpose unless two of them are equal, and they often are.", hidden=True,
             draw=lambda rng, size=4: call("dense_dW", *arrays(rng, (size, size), (size, size)))),
        Case("single precision stays", 1, "The weights are float32, and so should be what is subtracted from them.", hidden=True,
             draw=lambda rng, size=4: call("dense_dW", *arrays(rng, (size, 7), (size + 1, 7), dtype=np.float32))),
    ),
    hints=(
        "In which numbers of z does one weight occur? Through what is it multiplied in each?",
        "Gradient i, j is the sum over the samples of neuron i's upstream gradient times input j: a product of matrices whose "
        "inner index is the sample.",
        "Section *The way back* of {ref}`ch-neurons`, the paragraph *A weight*.",
    ),
    mutants=(
        Mutant("the mean over the batch", ("np.matmul(dz, x.T, out=out)", "np.matmul(dz, x.T, out=out) / x.shape[1]"), "two samples", 1),
        Mutant("not transposed", ("x.T", "x"), "all sizes equal", 0),
        Mutant("the result transposed", ("np.matmul(dz, x.T, out=out)", "np.matmul(x, dz.T, out=out)"), "all sizes equal", 1),
        Mutant("out ignored", (", out=out)", ")"), "out is filled", 2),
        Mutant("another sample's input", ("x.T", "x[:, ::-1].T"), "two samples", 0),
    ),
)

DENSE_DB = Exercise(
    name="dense_db", kind="build", target="dense_db", difficulty=1, minutes=5,
    cases=(
        Case("a column comes out", 1, "A gradient without its second axis turns b - db into a square, quietly.",
             lambda rng, size=2: call("dense_db", *arrays(rng, (size + 1, size)))),
        Case("out is filled", 1, "A network keeps all its gradients in one long array, and expects them there.",
             lambda rng: filled("dense_db", rng, (3, 1), *arrays(rng, (3, 4))), modifies=("out",)),
        Case("a square dz", 1, "Only the numbers say here which way was summed.", hidden=True,
             draw=lambda rng, size=4: call("dense_db", *arrays(rng, (size, size)))),
        Case("many samples", 1, "The sum, not the mean: the loss has divided by the batch already.", hidden=True,
             draw=lambda rng, size=30: call("dense_db", *arrays(rng, (3, size)))),
    ),
    hints=(
        "What is multiplied to a bias? How many samples use it?",
        "Add up each row of dz, and keep the axis that you summed over, with length 1.",
        "Section *The way back* of {ref}`ch-neurons`, the paragraph *A bias*, and what is said of `keepdims`.",
    ),
    mutants=(
        Mutant("a flat result", (", keepdims=True", ""), "a column comes out", 1),
        Mutant("sums over the neurons", ("axis=1", "axis=0"), "a column comes out", 1),
        Mutant("the mean", ("np.sum(", "np.mean("), "many samples", 0),
        Mutant("out ignored", (", out=out)", ")"), "out is filled", 2),
    ),
)

GLOROT_UNIFORM = Exercise(
    name="glorot_uniform", kind="build", target="glorot_uniform", difficulty=1, minutes=10,
    cases=(
        Case("a layer of three", 1, "Weights a little too small fade out after twenty layers, a little too large they explode.",
             lambda rng: call("glorot_uniform", (3, 2), Random(1)), dtype="float64"),
        Case("more inputs than neurons", 1, "Forward wants 1/n, backward wants 1/m; this rule asks both.",
             lambda rng: call("glorot_uniform", (2, 6), Random(2)), dtype="float64"),
        Case("a window", 1, "A neuron that looks through a window takes in all numbers of it.", hidden=True, dtype="float64",
             draw=lambda rng: call("glorot_uniform", (3, 2, 4, 2), Random(int(rng.integers(1000))))),
        Case("another seed, another shape", 1, "The seed must be the caller's, or nobody can repeat the draw.", hidden=True, dtype="float64",
             draw=lambda rng, size=5: call("glorot_uniform", (size, 2 * size), Random(int(rng.integers(1000))))),
        Case("one axis", 1, "A bias has no fan-in; whoever asks for its weights has mixed something up.", hidden=True,
             draw=lambda rng: call("glorot_uniform", (4,), Random(0)), raises="ShapeError"),
    ),
    hints=(
        "A uniform draw between -a and a has variance a²/3. Which variance is wanted?",
        "`fans` gives the two numbers; solve a²/3 = 2 / (fan_in + fan_out) for a, and draw once, in the whole shape, from "
        "the generator that was handed in.",
        "Section *How large is right?* of {ref}`ch-neurons`, the paragraph on Glorot and Bengio.",
    ),
    mutants=(
        Mutant("a is taken for the deviation", ("6.0 /", "2.0 /"), "a layer of three", 0),
        Mutant("the root forgotten", ("math.sqrt(6.0 / (fan_in + fan_out))", "6.0 / (fan_in + fan_out)"), "a layer of three", 1),
        Mutant("fan-in twice", ("6.0 / (fan_in + fan_out)", "6.0 / (2 * fan_in)"), "more inputs than neurons", 1),
        Mutant("only positive weights", ("uniform(-limit, limit", "uniform(0, limit"), "a layer of three", 0),
        Mutant("the window forgotten", ("fan_in, fan_out = fans(shape)", "fan_out, fan_in = shape[:2]"), "a window", 1),
        Mutant("a generator of its own", ("rng.uniform(", "np.random.default_rng(1).uniform("), "another seed, another shape", 1),
    ),
)

DENSE_BACKWARD = Exercise(
    name="dense_layer_backward", kind="build", target="Dense.backward", difficulty=3, minutes=30,
    cases=(
        Case("all three gradients", 2, "A layer that learns but passes nothing on is the last one that learns.",
             lambda rng, size=2: learn_once(bound(rng, size + 1, size), rng, size + 1, size, size + 2).get("dW").get("db"),
             modifies=("dW", "db")),
        Case("the second batch", 1, "The gradients are those of this batch; what the last one left behind must be gone.",
             lambda rng: learn_once(learn_once(bound(rng, 3, 2), rng, 3, 2, 4), rng, 3, 2, 2).get("dW").get("db"),
             modifies=("dW", "db")),
        Case("nobody below", 1, "The first layer's dx is a large product, and nobody reads it.",
             lambda rng: learn_once(bound(rng, 3, 2), rng, 3, 2, 4, need_dx=False).get("dW").get("db"), modifies=("dW", "db")),
        Case("no bias", 1, "A layer without b has no db either.", hidden=True, modifies=("dW",),
             draw=lambda rng, size=3: learn_once(bound(rng, size, 4, bias=False), rng, size, 4, 5).get("dW")),
        Case("a gradient that does not fit", 1, "A dz of another batch size is another batch's, or another layer's.", hidden=True,
             draw=lambda rng: bound(rng, 3, 2).call("layer.forward", *arrays(rng, (2, 4)), keep=False)
             .call("layer.backward", *arrays(rng, (3, 1))), raises="ShapeError"),
        Case("single precision stays", 2, "One wide gradient would widen all the layers below.", hidden=True, dtype="float32",
             draw=lambda rng: bound(rng, 3, 4, dtype=np.float32).call("layer.forward", *arrays(rng, (4, 5), dtype=np.float32), keep=False)
             .call("layer.backward", *arrays(rng, (3, 5))).get("dW").get("db"), modifies=("dW", "db")),
    ),
    hints=(
        "The arithmetic is in three functions you have. Whose arrays must hold their results? What did `forward` keep?",
        "Refuse a call without a kept x; bring dz to the layer's dtype and ask `expect_shape`; let `dense_dW` and `dense_db` "
        "fill `self.dW` and `self.db`, and `dense_dx` an array of the workspace, if somebody needs it.",
        "Section *A layer that remembers* of {ref}`ch-neurons`, point 5 of the life story.",
    ),
    mutants=(
        Mutant("adds to the last batch's", ("dense_dW(dz, self.x, out=self.dW)", "self.dW += dense_dW(dz, self.x)"), "the second batch", 0),
        Mutant("an array of its own", ("dense_dW(dz, self.x, out=self.dW)", "self.dW = dense_dW(dz, self.x)"), "all three gradients", 0),
        Mutant("always computes dx", ("        if need_dx:\n", "        if True:\n"), "nobody below", 1),
        Mutant("asks for a bias that is not there", ("        if self.bias:\n", "        if True:\n"), "no bias", 1),
        Mutant("shapes are not asked for", ('        expect_shape("Dense", "dz", dz.shape, (self.units, self.x.shape[1]))\n', ""),
               "a gradient that does not fit", 1),
        Mutant("widens", ("dz = np.asarray(dz, self.W.dtype)", "dz = np.asarray(dz)"), "single precision stays", 1),
    ),
)

BEST_DENSE = Exercise(
    name="best_dense", kind="further", target="best_dense", difficulty=3, minutes=60,
    text="""The squared loss of linear neurons is a bowl, and its lowest point can be computed outright (exercise 8 above).
Do it, then compare: how many test digits does the exact solution read, and how far from it were we after three
passes of gradient descent?""",
    stub='''def best_dense(x, y):
    """The weights and biases with the smallest squared error.

    Parameters
    ----------
    x : ndarray, shape (inputs, batch)
    y : ndarray, shape (units, batch)
        What the neurons should say.

    Returns
    -------
    W : ndarray of float64, shape (units, inputs)
    b : ndarray of float64, shape (units, 1)
        With the smallest sum of (W x + b - y)². If several do equally well, those with the smallest
        sum of squares of all weights and biases: an input that is always zero gets weights of zero.
    """
''',
    solution='''def best_dense(x, y):
    """The weights and biases with the smallest squared error."""
    u = np.vstack([x, np.ones(x.shape[1])]).astype(np.float64)
    Wb = y @ u.T @ np.linalg.pinv(u @ u.T, hermitian=True)
    return Wb[:, :-1], Wb[:, -1:]
''',
    expected=best_dense,
    # The normal equations square the condition number; these draws keep it below 1e3, so 1e-6 is generous.
    cases=(
        Case("a line through points", 1, "One input, one neuron: the straight line of least squares.",
             lambda rng: call("best_dense", *samples(rng, 1, 1, 6))),
        Case("several neurons", 2, "Ten neurons are ten lines, each with its own answer to the same inputs.",
             lambda rng, size=2: call("best_dense", *samples(rng, size, size + 1, 12))),
        Case("a pixel that is never lit", 2, "Some pixels of MNIST are blank in every image, and a matrix with a row of zeros has no inverse.",
             lambda rng: call("best_dense", *(lambda x, y: (x * np.array([[1.0], [0.0]]), y))(*samples(rng, 2, 1, 8)))),
        Case("more of everything", 1, "Digits have 784 inputs and 10 answers.", hidden=True,
             draw=lambda rng, size=10: call("best_dense", *samples(rng, size, 4, 12 * size))),
        Case("several blank pixels", 2, "The borders are blank all around.", hidden=True,
             draw=lambda rng: call("best_dense", *(lambda x, y: (x * (np.arange(7) % 3 > 0)[:, None], y))(*samples(rng, 7, 2, 60)))),
        Case("in double precision", 1, "In float32 a few hundred inputs are enough to make the inverse nonsense.", hidden=True, dtype="float64",
             draw=lambda rng: call("best_dense", *samples(rng, 4, 2, 50, dtype=np.float32))),
    ),
    hints=(
        "The bias is a weight on an input that is always 1. Glue ones under x, and there is one matrix to find.",
        "At the lowest point the gradient is zero: the glued weights times u uᵀ equal y uᵀ. Where u uᵀ has no inverse, "
        "`np.linalg.pinv` gives the shortest solution; `np.linalg.lstsq` is another way.",
        "Section *Why the bias is a column* of {ref}`ch-neurons`, its end, and {eq}`eq-dense-squared`.",
    ),
    mutants=(
        Mutant("no bias", ("np.vstack([x, np.ones(x.shape[1])])", "np.vstack([x, np.zeros(x.shape[1])])"), "a line through points", 0),
        Mutant("an ordinary inverse", ("np.linalg.pinv(u @ u.T, hermitian=True)", "np.linalg.inv(u @ u.T)"),
               "a pixel that is never lit", 1),
        Mutant("a flat bias", ("Wb[:, -1:]", "Wb[:, -1]"), "a line through points", 2),
        Mutant("single precision", (".astype(np.float64)", ".astype(x.dtype)"), "in double precision", 1),
        Mutant("a nudge instead", ("np.linalg.pinv(u @ u.T, hermitian=True)", "np.linalg.inv(u @ u.T + 1e-3 * np.eye(len(u)))"),
               "several neurons", 1),
    ),
)

SCALE = Exercise(
    name="scale", kind="further", target="Scale", difficulty=3, minutes=45,
    text="""A layer of your own. `Scale` gives each input a *gain*, one number that it is multiplied by: $y=g\\,x$, where
$g$ is a column. At the start every gain is 1 and the layer does nothing; training makes of it what it needs.
(Layers that subtract a mean end in something like it.)""",
    stub='''class Scale(Layer):
    """y = g x: a learned gain for each input, one column per sample."""

    def build(self, input_shape):
        """Take the shape of one sample, (inputs,). The one parameter is g, shaped (inputs, 1).

        Returns the shape of one output, which is the same.
        """

    def initialize(self, rng):
        """Set all gains to 1, in the array that `bind` brought."""

    def forward(self, x, training=False):
        """Return y, shaped like x (inputs, batch), and keep what backward needs."""

    def backward(self, dy, need_dx=True):
        """Overwrite the array dg with this batch's gradient, summed over the batch.

        Returns dx, shaped like x, or None if need_dx is False. dy is left alone.
        """
''',
    solution='''class Scale(Layer):
    """y = g x: a learned gain for each input, one column per sample."""

    def build(self, input_shape):
        self.parameter_shapes = {"g": (input_shape[0], 1)}
        return input_shape

    def initialize(self, rng):
        self.g[...] = 1

    def forward(self, x, training=False):
        self.x = x
        return self.g * x

    def backward(self, dy, need_dx=True):
        np.sum(dy * self.x, axis=1, keepdims=True, out=self.dg)
        return self.g * dy if need_dx else None
''',
    expected=Scale,
    cases=(
        Case("shapes", 1, "The next layer builds on what this one returns, and the network makes arrays of these shapes.",
             lambda rng: Script().make("layer", "Scale").call("layer.build", (3,)).get("layer.parameter_shapes")),
        Case("forward", 1, "Every row has its own gain, every column is a sample.",
             lambda rng, size=2: gains(rng, size + 1).call("layer.forward", *arrays(rng, (size + 1, size)))),
        Case("backward", 2, "A gain was used once for every sample.", modifies=("dg",),
             draw=lambda rng, size=2: gains(rng, size + 1).call("layer.forward", *arrays(rng, (size + 1, size)), keep=False)
             .call("layer.backward", *arrays(rng, (size + 1, size))).get("dg")),
        Case("at the start", 1, "The array belongs to the network; letting go of it means that nobody trains this layer.",
             lambda rng: gains(rng, 3).call("layer.initialize", Random(0), keep=False).get("g"), modifies=("g",)),
        Case("two batches, and nobody below", 1, "Gradients are overwritten, and what nobody needs is not computed.", hidden=True,
             modifies=("dg",), draw=lambda rng, size=3: gains(rng, size).call("layer.forward", *arrays(rng, (size, 4)), keep=False)
             .call("layer.backward", *arrays(rng, (size, 4)), keep=False).call("layer.forward", *arrays(rng, (size, 2)), keep=False)
             .call("layer.backward", *arrays(rng, (size, 2)), need_dx=False).get("dg")),
        Case("as many inputs as samples", 1, "Only the numbers say here which way was summed.", hidden=True, modifies=("dg",),
             draw=lambda rng, size=4: gains(rng, size).call("layer.forward", *arrays(rng, (size, size)))
             .call("layer.backward", *arrays(rng, (size, size))).get("dg")),
    ),
    hints=(
        "Change one gain by a little. Which numbers of y move, and by how much?",
        "dg is, row by row, the sum over the samples of dy x, as a column; dx is g dy. Write into `self.g[...]` and "
        "`self.dg`, never replace them.",
        "Sections *The way back* and *A layer that remembers* of {ref}`ch-neurons`; `Dense` is the pattern.",
    ),
    mutants=(
        Mutant("lets go of the network's array", ("self.g[...] = 1", "self.g = np.ones_like(self.g)"), "at the start", 1),
        Mutant("starts at zero", ("self.g[...] = 1", "self.g[...] = 0"), "at the start", 0),
        Mutant("adds to the last batch's", ("np.sum(dy * self.x, axis=1, keepdims=True, out=self.dg)",
               "self.dg += np.sum(dy * self.x, axis=1, keepdims=True)"), "two batches, and nobody below", 1),
        Mutant("dx without the gain", ("self.g * dy if", "1.0 * dy if"), "backward", 1),
        Mutant("the input forgotten", ("np.sum(dy * self.x, axis", "np.sum(dy, axis"), "backward", 0),
        Mutant("a flat gain", ('{"g": (input_shape[0], 1)}', '{"g": (input_shape[0],)}'), "shapes", 2),
        Mutant("always computes dx", (" if need_dx else None", ""), "two batches, and nobody below", 1),
    ),
)

EXERCISES = [DENSE, DENSE_DW, DENSE_DB, GLOROT_UNIFORM, DENSE_BACKWARD, BEST_DENSE, SCALE]

QUESTIONS = [
    Question(
        "Show, in the manner of the XOR proof, that no perceptron without a bias computes AND. Can one compute OR? And what "
        "does the perceptron rule do when it is asked for AND but its bias is kept at zero?",
        "With $b=0$ the four cases of AND demand $0\\le0$, $w_2\\le0$, $w_1\\le0$ and $w_1+w_2>0$. The two in the middle add up to "
        "$w_1+w_2\\le0$, against the last: impossible. In the plane, a line through the origin would have to leave $(1,0)$ and "
        "$(0,1)$ on one side, and their sum on the other. OR demands $w_2>0$, $w_1>0$ and $w_1+w_2>0$, and $w=(1,1)$ does it; it lies on the "
        "line at $(0,0)$, which counts as 0, so it hangs on our decision about $z=0$. The rule, asked for AND without a bias, starts at "
        "$w=(0,0)$ and is right about the first three. At $(1,1)$ it corrects to $(1,1)$. In the next pass it "
        "is wrong about $(0,1)$, which makes $(1,0)$, then about $(1,0)$, which makes $(0,0)$, then about $(1,1)$, and is back at $(1,1)$. It goes "
        "round for ever."),
    Question(
        "`dense_dW` adds over the batch, and our loss divides by $N$. Leave the division out. By what must you multiply the "
        "learning rate when you double the batch, if steps are to keep their length? Is that exactly right or only roughly?",
        "Give the same batch twice over: every sample's term is in the sum twice, dW doubles, and the rate must be halved. For a "
        "batch twice as large with new samples in it that is only roughly so. The gradient is a sum over samples; the part "
        "on which they agree grows with $N$, but each also has an accident of its own, and accidents partly cancel: "
        "their sum grows like $\\sqrt N$. Early in training, when all samples pull the same way, the first part is large and halving is "
        "right. Near the bottom the common part fades, what is left is mostly accident, and doubling the batch makes "
        "the sum longer only by a factor of $\\sqrt2$. With the division by $N$ the agreed part keeps its size, and the accidents shrink: that is what we want of "
        "an average, and why a rate found for one batch size is a fair first guess for another."),
    Question(
        "Start the ten-neuron layer with `he_normal` instead of zeros, train it, and look at its weights. Accuracy hardly "
        "differs. What do you see near the borders, and why will no amount of training remove it? Could it do harm?",
        "Near the borders there is noise, exactly the random numbers the weights began with. A weight's gradient is a sum of "
        "products with its input. A border pixel that is zero in all training images makes every one of these products "
        "zero, so the weight never moves; in the language of the bowl, the curvature in that direction is 0. On images "
        "like the training images the ghosts are harmless, being multiplied by zero there too. They do harm on the day somebody hands in "
        "an image with ink where none has ever been: a scan with a dark edge, a digit that was not centred. Then neurons answer "
        "with sums of random weights, some 0.05 in size, that mean nothing. Starting at zero is the better "
        "choice here; with hidden layers it is not to be had, and a small penalty on all weights does the tidying."),
]
